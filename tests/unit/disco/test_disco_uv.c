/* The driver: literals need no resolver and no time, names are asked for by themselves, a change
 * is told once. The answers of a real server are tests/cluster/test_dns.py's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "disco/disco_uv.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "net/loop.h"

enum { PATIENCE_MS = 20000 };

static struct loop *loop;
static int changes;
static const char *const nobody[] = {"127.0.0.1:1"}; /* a port at which nobody listens */
static const struct disco_config config = {
    .servers = {1, nobody}, .refresh_ms = 30000, .timeout_ms = 100};

static void on_change(void *arg)
{
    (void)arg;
    changes++;
}

static const struct disco_options options = {
    .name = "test", .default_port = 80, .on_change = on_change};

static int setup(void **state)
{
    (void)state;
    changes = 0;
    return loop_init(&loop, "test", NULL);
}

static int teardown(void **state)
{
    (void)state;
    loop_free(&loop);
    return 0;
}

static void literals_are_there_at_once(void **state)
{
    (void)state;
    struct disco *d = NULL;
    struct err err = {0};
    struct metrics *m = NULL;
    struct buf text = {0};
    assert_int_equal(metrics_init(&m, "pyroscope", NULL), 0);
    assert_int_equal(disco_init(&d, loop, &config, &options, NULL, m, &err), 0);
    assert_int_equal(disco_add(d, STR("10.0.0.1,[::1]:9"), &err), 0);
    assert_int_equal(disco_add(d, STR("x+y"), &err), ERR_PARSE);
    assert_true(str_contains(str_c(err.msg), STR("x+y")));
    disco_start(d);
    loop_turn(loop, 50);
    assert_int_equal(names_count(disco_names(d)), 2);
    assert_int_equal(names_at(disco_names(d), 1).addrs[0].port, 9);
    assert_int_equal(changes, 1);
    disco_refresh(d);
    loop_turn(loop, 50);
    assert_int_equal(changes, 1);
    metrics_expose(m, &text);
    assert_true(str_contains(buf_view(&text),
                             STR("pyroscope_dns_provider_results{addr=\"10.0.0.1\","
                                 "name=\"test\"} 1")));
    assert_true(str_contains(buf_view(&text), STR("pyroscope_dns_lookups_total{name=\"test\"} 0")));
    buf_reset(&text);
    disco_free(&d);
    metrics_free(&m);
}

static void a_name_is_asked_for_and_its_failure_told(void **state)
{
    (void)state;
    struct disco *d = NULL;
    struct err err = {0};
    assert_int_equal(disco_init(&d, loop, &config, &options, NULL, NULL, &err), 0);
    assert_int_equal(disco_add(d, STR("dns+a.test."), &err), 0);
    disco_start(d);
    mono_ms end = clock_mono_ms() + PATIENCE_MS;
    while (!names_settled(disco_names(d)) && clock_mono_ms() < end)
        loop_turn(loop, 10);
    struct names_view v = names_at(disco_names(d), 0);
    assert_int_equal(v.state, NAMES_FAILED);
    assert_true(strlen(v.why) > 0);
    assert_true(changes >= 1);
    assert_int_equal(disco_add(d, STR("dnssrv+b.test."), &err), 0); /* while it runs */
    loop_turn(loop, 10);
    disco_free(&d); /* with a question on its way */
    loop_turn(loop, 0);
}

static void without_memory_there_is_none(void **state)
{
    (void)state;
    for (uint64_t at = 1;; at++) {
        struct disco *d = NULL;
        struct err err = {0};
        mem_fail_at(at);
        int rc = disco_init(&d, loop, &config, &options, NULL, NULL, &err);
        if (rc == 0)
            rc = disco_add(d, STR("a.test.,10.0.0.1"), &err);
        if (rc == 0) {
            disco_start(d);
            loop_turn(loop, 1);
        }
        bool over = mem_fail_pending() != 0;
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        disco_free(&d);
        loop_turn(loop, 0);
        if (over)
            break;
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(literals_are_there_at_once),
        T(a_name_is_asked_for_and_its_failure_told),
        T(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
