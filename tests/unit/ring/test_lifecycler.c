/* A member registers, beats, survives being forgotten, and leaves; all through the real merge. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/lifecycler.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"

enum { START_S = 1700000000 };

/* One store, as gossip/kv.h edits it: a copy without tombstones is edited, then merged locally. */
static struct ring_desc *store;
static struct lifecycler *l;
static struct rng rng;
static mono_ms now;
static bool broken; /* the store refuses */

static struct lifecycler_config config(void)
{
    static const struct ring_version exact = {RING_VERSION_EXACT, 1};
    return (struct lifecycler_config){.id = STR("me"),
                                      .addr = STR("10.0.0.1:4040"),
                                      .zone = STR("za"),
                                      .num_tokens = 8,
                                      .heartbeat_period_ms = 5000,
                                      .heartbeat_timeout_ms = 60000,
                                      .forget_after_ms = 600000,
                                      .unregister_on_shutdown = true,
                                      .versions = &exact,
                                      .version_count = 1,
                                      .id_option = "-ingester.lifecycler.ID"};
}

/* As a distributor lives in its ring. */
static struct lifecycler_config basic(void)
{
    return (struct lifecycler_config){.id = STR("me"),
                                      .addr = STR("10.0.0.1:4040"),
                                      .num_tokens = 1,
                                      .heartbeat_period_ms = 15000,
                                      .forget_after_ms = 600000,
                                      .unregister_on_shutdown = true,
                                      .basic = true};
}

static wall_ms wall(void)
{
    return (wall_ms)START_S * 1000 + now;
}

/* 0, ERR_AGAIN when the merge saw nothing, or an error of the edit. */
static int cas(void)
{
    struct ring_desc *copy = NULL, *change = NULL;
    bool put = false;
    if (broken)
        return ERR_UNAVAILABLE;
    if (store != NULL) {
        int rc = ring_desc_clone(&copy, store);
        if (rc != 0)
            return rc;
        ring_desc_remove_tombstones(copy, 0);
    }
    int rc = lifecycler_edit(l, &copy, wall(), &put);
    if (rc == 0 && put) {
        rc = ring_desc_merge(&store, copy, true, wall() / 1000, &change);
        if (rc == 0 && change == NULL)
            rc = ERR_AGAIN;
    }
    ring_desc_free(&copy);
    ring_desc_free(&change);
    return rc;
}

/* Let the member do what it has to until `until`; true when its life is over. */
static bool run(mono_ms until)
{
    for (int steps = 0; steps < 10000; steps++) {
        enum lifecycler_verb verb = lifecycler_step(l, now);
        if (verb == LIFE_OVER)
            return true;
        if (verb == LIFE_EDIT) {
            lifecycler_edited(l, now, cas());
            continue;
        }
        mono_ms due = lifecycler_due(l);
        assert_true(due > now); /* a machine that waits has nothing to do now */
        if (due > until)
            break;
        now = due;
    }
    now = until;
    return false;
}

static const struct ring_instance *entry(const char *id)
{
    return store == NULL ? NULL : ring_desc_find(store, str_c(id));
}

static void put(const char *id, int32_t state, int64_t timestamp_s, uint32_t token_count)
{
    uint32_t tokens[16];
    for (uint32_t i = 0; i < 16; i++)
        tokens[i] = 1000 + i;
    const struct ring_instance in = {.id = str_c(id),
                                     .addr = str_c(id),
                                     .state = state,
                                     .timestamp_s = timestamp_s,
                                     .registered_s = 77,
                                     .read_only = true,
                                     .read_only_since_s = 78,
                                     .tokens = tokens,
                                     .token_count = token_count};
    if (store == NULL)
        assert_int_equal(ring_desc_init(&store), 0);
    assert_int_equal(ring_desc_put(store, &in), 0);
}

static void start(const struct lifecycler_config *c, const struct ring_tokens *file)
{
    assert_int_equal(lifecycler_init(&l, c, file, &rng, NULL, NULL), 0);
}

static int begin(void **state)
{
    (void)state;
    rng_seed(&rng, 1);
    now = 1000;
    broken = false;
    return 0;
}

static int end(void **state)
{
    (void)state;
    lifecycler_free(&l);
    ring_desc_free(&store);
    return 0;
}

static void a_new_member_is_active_at_once_and_beats(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    start(&c, NULL);
    assert_int_equal(lifecycler_state(l), RING_PENDING);
    assert_false(run(now));
    const struct ring_instance *me = entry("me");
    assert_non_null(me);
    assert_int_equal(me->state, RING_ACTIVE);
    assert_int_equal(me->token_count, 8);
    assert_int_equal(me->registered_s, START_S + 1);
    assert_int_equal(me->timestamp_s, START_S + 1);
    assert_int_equal(ring_instance_version(me, RING_VERSION_EXACT), 1);
    assert_true(str_eq(me->addr, STR("10.0.0.1:4040")) && str_eq(me->zone, STR("za")));
    for (uint64_t beat = 2; beat < 100; beat++) { /* a period apart, give or take a tenth */
        mono_ms due = lifecycler_due(l);
        assert_in_range(due - now, 4500, 5500);
        run(due);
        assert_int_equal(entry("me")->timestamp_s, wall() / 1000);
        assert_int_equal(lifecycler_edits(l), beat);
    }
    assert_in_range(now, 98 * 4800, 98 * 5200);
    assert_int_equal(entry("me")->registered_s, START_S + 1);
    uint32_t generation = 0;
    assert_int_equal(lifecycler_tokens(l, &generation)->count, 8);
    assert_int_equal(generation, 1);
}

static void it_is_joining_until_it_is_established(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    c.start_joining = true;
    start(&c, NULL);
    run(now);
    assert_int_equal(entry("me")->state, RING_JOINING);
    assert_int_equal(entry("me")->token_count, 8);
    run(12000);
    assert_int_equal(entry("me")->state, RING_JOINING);
    lifecycler_establish(l);
    assert_true(lifecycler_due(l) <= now);
    run(now); /* within the second of a heartbeat or not: it is seen */
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    lifecycler_unestablish(l);
    run(now);
    assert_int_equal(entry("me")->state, RING_JOINING);
    assert_int_equal(lifecycler_state(l), RING_JOINING);
}

static void tokens_of_the_file_are_used_when_the_ring_has_none(void **state)
{
    (void)state;
    struct ring_tokens file = {0};
    struct lifecycler_config c = config();
    c.join_after_ms = 60000; /* with all its tokens a member need not wait */
    c.observe_period_ms = 60000;
    assert_int_equal(ring_tokens_add(&file, 8, NULL, &rng), 0);
    start(&c, &file);
    run(now);
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    assert_memory_equal(entry("me")->tokens, file.all, 8 * sizeof *file.all);
    ring_tokens_reset(&file);
}

static void too_few_tokens_of_the_file_are_made_enough(void **state)
{
    (void)state;
    struct ring_tokens file = {0};
    struct lifecycler_config c = config();
    c.join_after_ms = 10000;
    assert_int_equal(ring_tokens_add(&file, 3, NULL, &rng), 0);
    start(&c, &file);
    run(now);
    assert_int_equal(entry("me")->state, RING_PENDING);
    assert_int_equal(entry("me")->token_count, 3);
    run(10999);
    assert_int_equal(entry("me")->state, RING_PENDING);
    assert_in_range(entry("me")->timestamp_s, START_S + 5, START_S + 11); /* it beats meanwhile */
    run(11000);
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    assert_int_equal(entry("me")->token_count, 8);
    ring_tokens_reset(&file);
}

static void it_observes_its_tokens_and_replaces_those_taken(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    c.observe_period_ms = 7000;
    start(&c, NULL);
    run(now);
    assert_int_equal(entry("me")->state, RING_JOINING);
    /* Another member claims our first token with a lower id: the merge takes it from us. */
    struct ring_desc *news = NULL, *change = NULL;
    uint32_t theirs = entry("me")->tokens[0];
    const struct ring_instance in = {
        .id = STR("a"), .timestamp_s = START_S + 2, .tokens = &theirs, .token_count = 1};
    assert_int_equal(ring_desc_init(&news), 0);
    assert_int_equal(ring_desc_put(news, &in), 0);
    assert_int_equal(ring_desc_merge(&store, news, false, 0, &change), 0);
    ring_desc_free(&news);
    ring_desc_free(&change);
    assert_int_equal(entry("me")->token_count, 7);
    run(7999);
    run(8000); /* observed: not ours any more, so once again */
    assert_int_equal(entry("me")->state, RING_JOINING);
    assert_int_equal(entry("me")->token_count, lifecycler_tokens(l, NULL)->count);
    run(40000);
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    assert_true(entry("me")->tokens[0] != theirs);
}

/* A copied data folder: two members with the same tokens. The one with the higher id loses all
 * of them, and would stay ACTIVE and unused for ever. */
static void a_member_that_lost_its_tokens_takes_new_ones(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    start(&c, NULL);
    run(now);
    uint32_t generation = 0, later = 0;
    struct ring_tokens mine = {0};
    assert_int_equal(
        ring_tokens_copy(&mine, lifecycler_tokens(l, &generation)->all, c.num_tokens), 0);
    struct ring_desc *news = NULL, *change = NULL;
    const struct ring_instance in = {.id = STR("a"),
                                     .timestamp_s = START_S + 2,
                                     .tokens = mine.all,
                                     .token_count = mine.count};
    assert_int_equal(ring_desc_init(&news), 0);
    assert_int_equal(ring_desc_put(news, &in), 0);
    assert_int_equal(ring_desc_merge(&store, news, false, 0, &change), 0);
    ring_desc_free(&news);
    ring_desc_free(&change);
    assert_int_equal(entry("me")->token_count, 0);
    run(6000);
    assert_int_equal(entry("me")->token_count, 8);
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t k = 0; k < mine.count; k++)
            assert_true(entry("me")->tokens[i] != mine.all[k]);
    (void)lifecycler_tokens(l, &later);
    assert_int_equal(later, generation + 1); /* and the file is to be written */
    ring_tokens_reset(&mine);
}

static void an_entry_of_an_earlier_life_is_taken_over(void **state)
{
    (void)state;
    static const struct {
        int32_t state;
        uint32_t tokens, want;
    } cases[] = {{RING_ACTIVE, 5, 5},   /* as it is */
                 {RING_LEAVING, 5, 8},  /* made enough */
                 {RING_LEAVING, 12, 8}, /* random ones dropped */
                 {RING_PENDING, 0, 8},  {RING_PENDING, 8, 8}, {RING_JOINING, 5, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lifecycler_config c = config();
        put("me", cases[i].state, START_S, cases[i].tokens);
        start(&c, NULL);
        run(now);
        const struct ring_instance *me = entry("me");
        assert_int_equal(me->state, RING_ACTIVE);
        assert_int_equal(me->token_count, cases[i].want);
        assert_int_equal(me->registered_s, 77);
        assert_true(me->read_only);
        assert_int_equal(me->read_only_since_s, 78);
        assert_true(str_eq(me->addr, STR("10.0.0.1:4040")));
        assert_int_equal(me->timestamp_s, START_S + 1);
        (void)end(NULL);
    }
}

static void a_write_within_one_second_or_after_a_slow_clock_is_still_news(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    put("me", RING_ACTIVE, START_S + 500, 8); /* our clock was ahead in an earlier life */
    start(&c, NULL);
    run(now);
    assert_int_equal(entry("me")->timestamp_s, START_S + 501);
    assert_int_equal(lifecycler_edits(l), 1);
    lifecycler_leave(l);
    run(now);
    assert_int_equal(entry("me")->state, RING_LEAVING);
    assert_int_equal(entry("me")->timestamp_s, START_S + 502);
}

static void a_forgotten_member_comes_back_as_a_new_one(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    start(&c, NULL);
    run(now);
    struct ring_desc *empty = NULL, *change = NULL;
    assert_int_equal(ring_desc_init(&empty), 0);
    assert_int_equal(ring_desc_merge(&store, empty, true, START_S + 2, &change), 0);
    ring_desc_free(&empty);
    ring_desc_free(&change);
    assert_int_equal(entry("me")->state, RING_LEFT);
    run(lifecycler_due(l));
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    assert_int_equal(entry("me")->token_count, 8);
    assert_int_equal(entry("me")->registered_s, wall() / 1000);
    assert_int_equal(entry("me")->timestamp_s, wall() / 1000);
}

static void it_leaves_beats_while_leaving_and_is_gone(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    start(&c, NULL);
    run(3000);
    lifecycler_leave(l);
    assert_false(run(now));
    assert_int_equal(entry("me")->state, RING_LEAVING);
    assert_int_equal(entry("me")->token_count, 8);
    assert_false(run(20000));
    assert_int_equal(entry("me")->timestamp_s, START_S + 18);
    lifecycler_unregister(l);
    assert_true(lifecycler_due(l) <= now);
    assert_true(run(now));
    assert_int_equal(entry("me")->state, RING_LEFT);
    assert_int_equal(entry("me")->token_count, 0);
    assert_int_equal(lifecycler_due(l), MONO_NEVER);
}

static void leaving_in_the_second_of_the_last_write_is_news(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    start(&c, NULL);
    run(now);
    lifecycler_unregister(
        l); /* the tombstone is of this second: as old as the entry, and gone */
    assert_true(run(now));
    (void)end(NULL);
    start(&c, NULL);
    run(now);
    lifecycler_leave(l); /* written with the next second's timestamp */
    run(now);
    int64_t written = entry("me")->timestamp_s;
    assert_int_equal(written, START_S + 2);
    lifecycler_unregister(l);
    assert_true(run(now));
    assert_int_equal(entry("me")->state, RING_LEFT);
    assert_true(entry("me")->timestamp_s >= written); /* news to those who have that entry */
}

static void who_left_with_a_clock_ahead_comes_back_with_a_right_one(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    put("me", RING_ACTIVE, START_S + 300, 8);
    start(&c, NULL);
    run(now);
    lifecycler_unregister(l);
    assert_true(run(now));
    assert_int_equal(entry("me")->state, RING_LEFT);
    int64_t left = entry("me")->timestamp_s;
    assert_true(left >= START_S + 300);
    lifecycler_free(&l);
    start(&c, NULL);
    lifecycler_was_left(l, left);
    lifecycler_was_left(l, left - 100); /* an older one changes nothing */
    assert_false(run(now));
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    assert_int_equal(entry("me")->timestamp_s, left + 1);
    run(now + 6000);
    assert_true(entry("me")->timestamp_s > left + 1); /* and its heartbeats are news */
}

static void an_entry_that_is_to_stay_stays_as_leaving(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    c.unregister_on_shutdown = false;
    start(&c, NULL);
    run(now);
    lifecycler_unregister(l);
    assert_true(run(now));
    assert_int_equal(entry("me")->state, RING_LEAVING);
    assert_int_equal(entry("me")->token_count, 8);
}

static void one_that_never_registered_is_over_at_once(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    start(&c, NULL);
    lifecycler_leave(l);
    assert_int_equal(lifecycler_step(l, now), LIFE_WAIT);
    assert_int_equal(lifecycler_due(l), MONO_NEVER);
    lifecycler_unregister(l);
    assert_int_equal(lifecycler_step(l, now), LIFE_OVER);
    assert_null(store);
}

static void a_failed_write_is_made_again_a_second_later(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    start(&c, NULL);
    broken = true;
    run(4500);
    assert_null(store);
    assert_int_equal(lifecycler_state(l), RING_PENDING);
    assert_int_equal(lifecycler_tokens(l, NULL)->count, 0);
    broken = false;
    run(5500);
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    assert_int_equal(lifecycler_edits(l), 1);
}

static void who_stood_still_for_long_is_forgotten(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    put("dead", RING_ACTIVE, START_S - 100000, 2);
    put("live", RING_ACTIVE, START_S, 0);
    start(&c, NULL);
    run(590000); /* however old its timestamp: we have not watched for long enough */
    assert_int_equal(entry("dead")->state, RING_ACTIVE);
    put("live", RING_ACTIVE, START_S + 300, 0);
    run(607000);
    assert_int_equal(entry("dead")->state, RING_LEFT);
    assert_int_equal(entry("live")->state, RING_ACTIVE);
    assert_int_equal(lifecycler_forgotten(l), 1);
    run(1300000);
    assert_int_equal(entry("live")->state, RING_LEFT);
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    assert_int_equal(lifecycler_forgotten(l), 2);
}

static void ready_is_said_in_the_peers_words_and_latched(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    struct err err = {0};
    c.start_joining = c.check_ring_health = true;
    c.min_ready_ms = 2000;
    start(&c, NULL);
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "this instance owns no tokens");
    run(now);
    assert_int_equal(lifecycler_ready(l, NULL, now, wall(), &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "no ring returned from the KV store");
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "instance 10.0.0.1:4040 in state JOINING");
    lifecycler_establish(l);
    run(now);
    put("old", RING_ACTIVE, START_S - 100, 0);
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "instance old past heartbeat timeout");
    put("old", RING_LEFT, START_S, 0); /* a tombstone is nobody */
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "waiting for 2000 ms after being ready");
    run(now + 2000);
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), 0);
    put("old", RING_ACTIVE, START_S - 100, 0);
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), 0);
    lifecycler_leave(l);
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "instance 10.0.0.1:4040 in state LEAVING");
}

static void two_processes_of_one_id_are_both_told(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    struct err err = {0};
    put("me", RING_ACTIVE, START_S, 8); /* of an earlier life at another address: nothing wrong */
    start(&c, NULL);
    run(now);
    run(now + 6000);
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), 0);
    put("me", RING_ACTIVE, wall() / 1000 + 1, 8); /* somebody else beats in our place */
    run(lifecycler_due(l));
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "me has the same ring id me: give each its own "
                                 "-ingester.lifecycler.ID");
    assert_int_equal(lifecycler_unique(l, NULL), ERR_UNAVAILABLE);
    for (int i = 1; i < LIFECYCLER_RIVAL_EDITS; i++)
        run(lifecycler_due(l));
    assert_int_equal(lifecycler_unique(l, NULL), ERR_UNAVAILABLE);
    run(lifecycler_due(l)); /* no more */
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), 0);
    put("me", RING_LEAVING, wall() / 1000 + 1, 8); /* the last word of who was here before */
    run(lifecycler_due(l));
    assert_int_equal(lifecycler_unique(l, &err), 0);
}

/* One of two processes with one id, each with a store of its own. */
struct twin {
    struct lifecycler *l;
    struct ring_desc *store;
    struct rng rng;
    bool told;
};

/* What this one has to do now. */
static void twin_run(struct twin *mine)
{
    l = mine->l;
    store = mine->store;
    while (lifecycler_step(l, now) == LIFE_EDIT)
        lifecycler_edited(l, now, cas());
    mine->store = store;
    mine->told = mine->told || lifecycler_unique(l, NULL) != 0;
    l = NULL;
    store = NULL;
}

/* What one has stored is at the other a little later. */
static void twin_tell(const struct twin *from, struct twin *to)
{
    struct ring_desc *change = NULL;
    assert_int_equal(ring_desc_merge(&to->store, from->store, false, wall() / 1000, &change), 0);
    ring_desc_free(&change);
}

static void two_processes_of_one_id_that_start_in_one_second_notice(void **state)
{
    (void)state;
    enum { SEEDS = 200, BEATS = 6 };
    for (int basics = 0; basics < 2; basics++) {
        int late = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct twin twins[2] = {{0}, {0}};
            struct lifecycler_config c = basics ? basic() : config();
            now = 1000;
            for (int i = 0; i < 2; i++) {
                rng_seed(&twins[i].rng, 2 * seed + (uint64_t)i);
                c.addr = i == 0 ? STR("10.0.0.1:4040") : STR("10.0.0.2:4040");
                assert_int_equal(lifecycler_init(&twins[i].l, &c, NULL, &twins[i].rng, NULL, NULL),
                                 0);
            }
            for (mono_ms end_at = now + BEATS * (mono_ms)c.heartbeat_period_ms; now < end_at;
                 now += 100) {
                twin_run(&twins[0]);
                twin_run(&twins[1]);
                twin_tell(&twins[0], &twins[1]);
                twin_tell(&twins[1], &twins[0]);
            }
            late += !twins[0].told + !twins[1].told;
            for (int i = 0; i < 2; i++) {
                lifecycler_free(&twins[i].l);
                ring_desc_free(&twins[i].store);
            }
        }
        assert_int_equal(late, 0);
    }
}

static void ready_without_ring_health_looks_at_itself_only(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    struct err err = {0};
    start(&c, NULL);
    put("old", RING_ACTIVE, START_S - 100, 0);
    run(now);
    struct ring_desc *other = NULL;
    assert_int_equal(ring_desc_init(&other), 0);
    assert_int_equal(lifecycler_ready(l, other, now, wall(), &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "instance me not found in the ring");
    ring_desc_free(&other);
    assert_int_equal(lifecycler_ready(l, store, now, wall(), &err), 0);
}

static void a_basic_member_is_active_in_one_step_whatever_was_there(void **state)
{
    (void)state;
    static const int32_t was[] = {RING_ACTIVE, RING_LEAVING, RING_PENDING, RING_JOINING};
    for (size_t i = 0; i < 4; i++) {
        struct lifecycler_config c = basic();
        c.num_tokens = 4;
        put("me", was[i], START_S - 30, 2);
        start(&c, NULL);
        assert_false(run(now));
        const struct ring_instance *me = entry("me");
        assert_int_equal(me->state, RING_ACTIVE);
        assert_int_equal(lifecycler_edits(l), 1);
        assert_true(str_eq(me->addr, STR("10.0.0.1:4040")));
        assert_int_equal(me->token_count, 4); /* its two, and two more */
        bool first = false, second = false;
        for (uint32_t t = 0; t < 4; t++) {
            first = first || me->tokens[t] == 1000;
            second = second || me->tokens[t] == 1001;
        }
        assert_true(first && second);
        assert_int_equal(me->registered_s, 77);
        assert_true(me->read_only && me->read_only_since_s == 78 && lifecycler_read_only(l));
        lifecycler_free(&l);
        ring_desc_free(&store);
    }
}

static void a_basic_member_beats_comes_back_when_forgotten_and_leaves(void **state)
{
    (void)state;
    struct lifecycler_config c = basic();
    start(&c, NULL);
    run(now);
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    assert_int_equal(entry("me")->token_count, 1);
    assert_int_equal(entry("me")->registered_s, START_S + 1);
    uint32_t token = entry("me")->tokens[0];
    run(lifecycler_due(l));
    run(lifecycler_due(l));
    assert_int_equal(entry("me")->timestamp_s, wall() / 1000);
    assert_in_range(now, 1000 + 2 * 13500, 1000 + 2 * 16500);
    assert_int_equal(lifecycler_heartbeats(l), 2);
    assert_true(ring_desc_remove(store, STR("me")));
    run(lifecycler_due(l));
    assert_int_equal(entry("me")->registered_s, wall() / 1000);
    assert_int_equal(entry("me")->tokens[0], token);
    run(now + 1000);
    lifecycler_leave(l);
    run(now);
    assert_int_equal(entry("me")->state, RING_LEAVING);
    lifecycler_unregister(l);
    assert_true(run(now + 5000));
    assert_int_equal(entry("me")->state, RING_LEFT);
}

static void a_basic_member_may_begin_as_joining_and_may_stay_as_leaving(void **state)
{
    (void)state;
    struct lifecycler_config c = basic();
    c.start_joining = true;
    c.unregister_on_shutdown = false;
    put("me", RING_ACTIVE, START_S - 30, 1);
    start(&c, NULL);
    run(now);
    assert_int_equal(entry("me")->state, RING_JOINING);
    lifecycler_establish(l);
    run(now);
    assert_int_equal(entry("me")->state, RING_ACTIVE);
    lifecycler_unregister(l);
    assert_true(run(now + 5000));
    assert_int_equal(entry("me")->state, RING_LEAVING);
}

static void capture(void *arg, enum log_level level, struct str line)
{
    (void)level;
    buf_str(arg, line);
    buf_c(arg, "\n");
}

static void state_changes_are_logged_heartbeats_are_not(void **state)
{
    (void)state;
    struct buf lines = {0};
    struct log log = {.sink = capture, .arg = &lines};
    struct lifecycler_config c = config();
    assert_int_equal(lifecycler_init(&l, &c, NULL, &rng, &log, NULL), 0);
    run(50000);
    size_t count = 0;
    for (size_t i = 0; i < lines.size; i++)
        count += lines.data[i] == '\n';
    assert_int_equal(count, 1);
    assert_true(str_contains(buf_view(&lines), STR("from=none to=ACTIVE tokens=8")));
    buf_reset(&lines);
}

static void a_member_without_id_or_tokens_is_refused(void **state)
{
    (void)state;
    struct lifecycler_config c = config();
    c.num_tokens = 0;
    assert_int_equal(lifecycler_init(&l, &c, NULL, &rng, NULL, NULL), ERR_INVAL);
    c = config();
    c.id = STR("");
    assert_int_equal(lifecycler_init(&l, &c, NULL, &rng, NULL, NULL), ERR_INVAL);
    assert_null(l);
}

static void out_of_memory_is_retried_and_nothing_is_lost(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct lifecycler_config c = config();
        struct ring_tokens file = {(uint32_t[]){1, 2}, 2};
        now = 1000;
        put("other", RING_ACTIVE, START_S, 2);
        mem_fail_at(n);
        int rc = lifecycler_init(&l, &c, &file, &rng, NULL, NULL);
        if (rc == 0) {
            run(now);
            run(8000);
        }
        int pending = mem_fail_pending();
        mem_fail_at(0);
        if (rc == 0) {
            assert_int_equal(entry("me")->state, RING_ACTIVE);
            assert_int_equal(entry("me")->token_count, 8);
        } else {
            assert_int_equal(rc, ERR_NOMEM);
        }
        (void)end(NULL);
        if (pending) {
            assert_true(n > 10);
            break;
        }
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_member_is_active_at_once_and_beats),
        TEST(it_is_joining_until_it_is_established),
        TEST(tokens_of_the_file_are_used_when_the_ring_has_none),
        TEST(too_few_tokens_of_the_file_are_made_enough),
        TEST(it_observes_its_tokens_and_replaces_those_taken),
        TEST(a_member_that_lost_its_tokens_takes_new_ones),
        TEST(an_entry_of_an_earlier_life_is_taken_over),
        TEST(a_write_within_one_second_or_after_a_slow_clock_is_still_news),
        TEST(a_forgotten_member_comes_back_as_a_new_one),
        TEST(it_leaves_beats_while_leaving_and_is_gone),
        TEST(leaving_in_the_second_of_the_last_write_is_news),
        TEST(who_left_with_a_clock_ahead_comes_back_with_a_right_one),
        TEST(an_entry_that_is_to_stay_stays_as_leaving),
        TEST(one_that_never_registered_is_over_at_once),
        TEST(a_failed_write_is_made_again_a_second_later),
        TEST(who_stood_still_for_long_is_forgotten),
        TEST(ready_is_said_in_the_peers_words_and_latched),
        TEST(two_processes_of_one_id_are_both_told),
        TEST(two_processes_of_one_id_that_start_in_one_second_notice),
        TEST(ready_without_ring_health_looks_at_itself_only),
        TEST(a_basic_member_is_active_in_one_step_whatever_was_there),
        TEST(a_basic_member_beats_comes_back_when_forgotten_and_leaves),
        TEST(a_basic_member_may_begin_as_joining_and_may_stay_as_leaving),
        TEST(state_changes_are_logged_heartbeats_are_not),
        TEST(a_member_without_id_or_tokens_is_refused),
        TEST(out_of_memory_is_retried_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
