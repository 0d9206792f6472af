/* Two members of a ring on two gossips of one loop: each is found by its address in the other's
 * view, is counted, and is gone when it leaves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/ring_uv.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "gossip/config.h"
#include "gossip/gossip_uv.h"
#include "metrics/metrics.h"
#include "net/loop.h"
#include "ring/desc.h"

enum { PATIENCE_MS = 10000 };

#define KEY "collectors/distributor"

static struct loop *loop;

/* A gossip, and a life and a view in it. */
struct one {
    struct conf_section section;
    struct gossip_config config;
    struct conf *conf;
    struct gossip *g;
    struct ring_watch *watch;
    struct ring_life *life;
    bool gone;
};

static int setup(void **state)
{
    (void)state;
    return loop_init(&loop, "test", NULL);
}

static int teardown(void **state)
{
    (void)state;
    loop_turn(loop, 0);
    loop_free(&loop);
    return 0;
}

static void open_gossip(struct one *o, uint16_t seed)
{
    char join[64];
    struct err err = {0};
    memset(o, 0, sizeof *o);
    o->section = (struct conf_section){"Gossip",    "memberlist.", "memberlist",
                                       gossip_rows, &o->config,    gossip_config_validate};
    (void)snprintf(join, sizeof join, "-memberlist.join=127.0.0.1:%u", seed);
    const char *argv[] = {"x", "-memberlist.bind-addr=127.0.0.1", "-memberlist.bind-port=0",
                          "-memberlist.gossip-interval=20ms", join};
    assert_int_equal(conf_init(&o->conf, &o->section, 1, &err), 0);
    assert_int_equal(conf_args(o->conf, seed == 0 ? 4 : 5, argv, &err), 0);
    assert_int_equal(conf_apply(o->conf, &err), 0);
    if (gossip_init(&o->g, loop, &o->config, NULL, NULL, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(gossip_register(o->g, &ring_codec), 0);
}

static struct ring_watch_config view_of(const struct one *o, struct metrics *m)
{
    return (struct ring_watch_config){
        .loop = loop,
        .gossip = o->g,
        .key = KEY,
        .options = {.replication_factor = 1, .heartbeat_timeout_ms = 60000},
        .name = "distributor",
        .metrics = m};
}

static struct ring_life_config life_of(const struct one *o, const char *id, const char *addr,
                                       struct metrics *m)
{
    return (struct ring_life_config){.loop = loop,
                                     .gossip = o->g,
                                     .key = KEY,
                                     .life = {.id = str_c(id),
                                              .addr = str_c(addr),
                                              .num_tokens = 1,
                                              .heartbeat_period_ms = 1000,
                                              .unregister_on_shutdown = true,
                                              .basic = true},
                                     .tokens_path = "",
                                     .name = "distributor",
                                     .metrics = m};
}

static void begin(struct one *o, const char *id, const char *addr, uint16_t seed,
                  struct metrics *m)
{
    struct err err = {0};
    open_gossip(o, seed);
    struct ring_watch_config watch = view_of(o, m);
    struct ring_life_config life = life_of(o, id, addr, m);
    assert_int_equal(ring_watch_init(&o->watch, &watch, &err), 0);
    assert_int_equal(ring_life_init(&o->life, &life, &err), 0);
    assert_int_equal(gossip_start(o->g, &err), 0);
    ring_life_start(o->life);
}

static void end(struct one *o)
{
    ring_life_free(&o->life);
    gossip_free(&o->g);
    ring_watch_free(&o->watch);
    conf_free(&o->conf);
    loop_turn(loop, 0);
}

/* Turn the loop until `cond` holds. */
#define WAIT(cond)                                                                             \
    do {                                                                                       \
        mono_ms until = clock_mono_ms() + PATIENCE_MS;                                         \
        bool holds = false;                                                                    \
        while (!(holds = (cond)) && clock_mono_ms() < until)                                   \
            loop_turn(loop, 5);                                                                \
        assert_true(holds);                                                                    \
    } while (0)

/* The view's addresses are exactly these. */
static bool finds(struct one *o, const char *first, const char *second)
{
    struct arena *a = NULL;
    struct str *all = NULL;
    size_t count = 0, want = (first != NULL) + (size_t)(second != NULL);
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(ring_watch_addresses(o->watch, a, &all, &count), 0);
    bool same = count == want && (want < 1 || str_eq(all[0], str_c(first))) &&
                (want < 2 || str_eq(all[1], str_c(second)));
    arena_free(&a);
    return same;
}

static bool shows(struct metrics *m, const char *text)
{
    struct buf b = {0};
    metrics_expose(m, &b);
    bool found = str_contains(buf_view(&b), str_c(text));
    buf_reset(&b);
    return found;
}

static void on_gone(void *arg)
{
    ((struct one *)arg)->gone = true;
}

static void members_are_found_by_their_addresses_until_they_leave(void **state)
{
    (void)state;
    struct one a, b;
    struct metrics *m = NULL;
    assert_int_equal(metrics_init(&m, "pyroscope", NULL), 0);
    begin(&a, "a", "10.0.0.1:4040", 0, m);
    assert_true(finds(&a, NULL, NULL) || finds(&a, "10.0.0.1:4040", NULL));
    begin(&b, "b", "10.0.0.2:4040", gossip_self(a.g).port, NULL);
    WAIT(finds(&a, "10.0.0.1:4040", "10.0.0.2:4040"));
    WAIT(finds(&b, "10.0.0.1:4040", "10.0.0.2:4040"));
    assert_int_equal(ring_life_state(b.life), RING_ACTIVE);
    assert_true(shows(m, "pyroscope_ring_members{state=\"ACTIVE\",name=\"distributor\"} 2\n"));
    assert_true(shows(m, "pyroscope_ring_member_tokens_owned{name=\"distributor\"} 1\n"));
    assert_true(shows(m, "pyroscope_ring_clock_skews_total{name=\"distributor\"} 0\n"));
    WAIT(shows(m, "pyroscope_ring_member_heartbeats_total{name=\"distributor\"} 1\n"));
    ring_life_leave(b.life);
    WAIT(finds(&a, "10.0.0.1:4040", NULL)); /* it is there, but not to be called */
    ring_life_unregister(b.life, on_gone, &b);
    WAIT(b.gone);
    WAIT(shows(m, "pyroscope_ring_members{state=\"LEAVING\",name=\"distributor\"} 0\n"));
    end(&b);
    end(&a);
    metrics_free(&m);
}

static void who_left_a_moment_ago_is_back_at_once(void **state)
{
    (void)state;
    struct one a;
    struct err err = {0};
    begin(&a, "a", "10.0.0.1:4040", 0, NULL);
    for (int lives = 0; lives < 3; lives++) { /* all of it within a second or two */
        WAIT(finds(&a, "10.0.0.1:4040", NULL));
        a.gone = false;
        ring_life_unregister(a.life, on_gone, &a);
        WAIT(a.gone && finds(&a, NULL, NULL));
        ring_life_free(&a.life);
        struct ring_life_config life = life_of(&a, "a", "10.0.0.1:4040", NULL);
        assert_int_equal(ring_life_init(&a.life, &life, &err), 0);
        ring_life_start(a.life);
    }
    end(&a);
}

static void without_memory_there_is_no_watch_and_no_life(void **state)
{
    (void)state;
    int refused = 0;
    for (uint64_t n = 1;; n++) {
        struct one o;
        struct err err = {0};
        struct metrics *m = NULL;
        open_gossip(&o, 0);
        assert_int_equal(metrics_init(&m, "pyroscope", NULL), 0);
        struct ring_watch_config watch = view_of(&o, m);
        struct ring_life_config life = life_of(&o, "a", "10.0.0.1:4040", m);
        mem_fail_at(n);
        int rc = ring_watch_init(&o.watch, &watch, &err);
        if (rc == 0)
            rc = ring_life_init(&o.life, &life, &err);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        end(&o);
        metrics_free(&m);
        if (pending) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_true(rc == ERR_NOMEM || rc == 0); /* 0: a use of the store went uncounted */
        refused += rc == ERR_NOMEM;
    }
    assert_true(refused > 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(members_are_found_by_their_addresses_until_they_leave),
        TEST(who_left_a_moment_ago_is_back_at_once),
        TEST(without_memory_there_is_no_watch_and_no_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
