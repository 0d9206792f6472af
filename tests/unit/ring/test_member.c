/* A disk is known before it acknowledges: nothing is said before it is synced, the lowest founds,
 * newcomers need the established. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/member.h"

#include <stdio.h>

#include "base/mem.h"

enum { NODES = 4 };

/* A group whose calls and syncs take no time. */
static struct member *nodes[NODES];
static bool up[NODES];
static int actives[NODES], renames[NODES], quits[NODES], sends[NODES];
static const char *const names[NODES] = {"in-0", "in-1", "in-2", "in-3"};

static struct disk_id id(int i)
{
    return (struct disk_id){{(uint8_t)(i + 1)}};
}

static struct member_config config_of(int i)
{
    return (struct member_config){.disk = id(i), .starts = 1, .instance = str_c(names[i]),
                                  .domain = str_c(names[i]), .addr = str_c(names[i]),
                                  .replication_factor = 3};
}

static void start(int i, const struct roster *stored)
{
    struct member_config c = config_of(i);
    assert_int_equal(member_init(&nodes[i], &c, stored, 0, NULL), 0);
    up[i] = true;
}

static void stop_all(void)
{
    for (int i = 0; i < NODES; i++) {
        member_free(&nodes[i]);
        up[i] = false;
        actives[i] = renames[i] = quits[i] = sends[i] = 0;
    }
}

static void ring(int i, int count, mono_ms now)
{
    struct member_peer peers[NODES];
    for (int k = 0; k < count; k++)
        peers[k] = (struct member_peer){str_c(names[k]), str_c(names[k])};
    assert_int_equal(member_ring(nodes[i], peers, (uint32_t)count, true, now), 0);
}

static void pump(int i, mono_ms now);

/* The other side of an introduction: merge, sync, answer. */
static void introduce(int from, int to, uint64_t token, mono_ms now)
{
    struct member_action a;
    struct disk self = *member_self(nodes[from]);
    if (!up[to] || nodes[to] == NULL ||
        member_asked(nodes[to], &self, member_roster(nodes[from]), 77, now) != 0) {
        member_failed(nodes[from], token, now);
        return;
    }
    for (;;) {
        enum member_verb verb = member_next(nodes[to], now, &a, NULL);
        if (verb == MEMBER_SYNC)
            member_synced(nodes[to], true, now);
        else if (verb == MEMBER_ANSWER)
            break;
        else if (verb == MEMBER_ACTIVE)
            actives[to]++;
        else
            fail_msg("verb %d before the answer", (int)verb);
    }
    struct member_reply reply = {id(to), a.ok, a.fresh, a.your_starts, member_roster(nodes[to])};
    (void)member_replied(nodes[from], token, &reply, now);
}

static void pump(int i, mono_ms now)
{
    struct member_action a;
    for (;;) {
        switch (member_next(nodes[i], now, &a, NULL)) {
        case MEMBER_NONE:
            return;
        case MEMBER_SYNC:
            member_synced(nodes[i], true, now);
            break;
        case MEMBER_SEND:
            sends[i]++;
            introduce(i, a.addr.data[3] - '0', a.token, now);
            break;
        case MEMBER_ACTIVE:
            actives[i]++;
            break;
        case MEMBER_RENAME:
            renames[i]++;
            break;
        case MEMBER_QUIT:
            quits[i]++;
            break;
        case MEMBER_ANSWER:
            fail_msg("an answer nobody waits for");
        }
    }
}

static void run(mono_ms from, mono_ms to)
{
    for (mono_ms now = from; now <= to; now += 100)
        for (int i = 0; i < NODES; i++)
            if (nodes[i] != NULL && up[i])
                pump(i, now);
}

/* 0, 1 and 2, founded and established. */
static void found_three(void)
{
    for (int i = 0; i < 3; i++) {
        start(i, NULL);
        ring(i, 3, 0);
    }
    run(0, 20000);
    for (int i = 0; i < 3; i++)
        assert_true(member_is_established(nodes[i]));
}

static void nothing_is_said_before_the_own_record_is_synced(void **state)
{
    (void)state;
    struct member_action a;
    mono_ms due;
    start(0, NULL);
    ring(0, 3, 0);
    assert_null(member_self(nodes[0]));
    assert_int_equal(member_next(nodes[0], 0, &a, &due), MEMBER_SYNC);
    assert_non_null(roster_find(a.roster, id(0)));
    assert_int_equal(member_next(nodes[0], 5, &a, &due), MEMBER_NONE);
    member_synced(nodes[0], false, 5); /* the write failed */
    assert_int_equal(member_next(nodes[0], 6, &a, &due), MEMBER_NONE);
    assert_int_equal(due, 1005);
    assert_int_equal(member_next(nodes[0], 1005, &a, &due), MEMBER_SYNC);
    member_synced(nodes[0], true, 1006);
    assert_int_equal(member_next(nodes[0], 1006, &a, &due), MEMBER_SEND);
    stop_all();
}

static void the_lowest_founds_after_the_quiet_and_the_others_follow(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        start(i, NULL);
        ring(i, 3, 0);
    }
    run(0, 9900);
    for (int i = 0; i < 3; i++)
        assert_false(member_is_established(nodes[i]));
    run(10000, 20000);
    for (int i = 0; i < 3; i++) {
        assert_true(member_is_established(nodes[i]));
        assert_int_equal(actives[i], 1);
        assert_int_equal(roster_replication_factor(member_roster(nodes[i])), 3);
    }
    stop_all();
}

static void nobody_founds_while_a_condition_is_missing(void **state)
{
    (void)state;
    for (int missing = 0; missing < 4; missing++) {
        for (int i = 0; i < 3; i++)
            start(i, NULL);
        for (int i = 0; i < 3; i++)
            ring(i, missing == 0 ? 2 : 3, 0); /* too few are listed */
        if (missing == 1)
            up[2] = false; /* one does not answer */
        if (missing == 2) {
            struct member_peer self = {str_c(names[0]), str_c(names[0])};
            assert_int_equal(member_ring(nodes[0], &self, 1, false, 0), 0); /* not joined */
        }
        if (missing == 3) { /* one knows an established disk */
            struct disk other = {.id = id(9), .instance = STR("in-9"), .domain = STR("in-9"),
                                 .addr = STR(""), .established = true};
            struct roster *r = NULL;
            assert_int_equal(roster_init(&r), 0);
            assert_int_equal(roster_put(r, &other, NULL), 0);
            assert_int_equal(member_merge(nodes[2], r, 0), 0);
            roster_free(&r);
        }
        run(0, 40000);
        static const char *const why[] = {
            "a new cluster is founded by exactly 3 ingesters (set by "
            "-ingester.bootstrap-expect, each of an own -ingester.lifecycler.ID), and "
            "2 are in the ring",
            "founding a new cluster: all 3 ingesters must see each other for 10 s",
            "the gossip has reached nobody yet",
            "waiting for other ingesters to take note of it"};
        struct err err = {0};
        assert_int_equal(member_ready(nodes[0], &err), ERR_UNAVAILABLE);
        assert_string_equal(err.msg, why[missing]);
        for (int i = 0; i < 3; i++)
            assert_false(member_is_established(nodes[i]));
        stop_all();
    }
}

static void an_interrupted_quiet_starts_again(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        start(i, NULL);
        ring(i, 3, 0);
    }
    run(0, 8000);
    up[1] = false;
    run(8100, 15000);
    up[1] = true;
    run(15100, 24000);
    assert_false(member_is_established(nodes[0]));
    run(24100, 40000);
    assert_true(member_is_established(nodes[0]));
    stop_all();
}

static void a_newcomer_needs_the_ok_of_established_disks_of_two_domains(void **state)
{
    (void)state;
    found_three();
    up[1] = up[2] = false;
    start(3, NULL);
    ring(3, 4, 20000);
    run(20100, 60000);
    assert_false(member_is_established(nodes[3])); /* in-0 alone is one domain */
    up[2] = true;
    run(60100, 70000);
    assert_true(member_is_established(nodes[3]));
    assert_non_null(roster_find(member_roster(nodes[2]), id(3)));
    stop_all();
}

static void with_few_established_every_known_disk_must_say_ok(void **state)
{
    (void)state;
    struct disk founder = {.id = id(0), .instance = STR("in-0"), .domain = STR("in-0"),
                           .addr = STR("in-0"), .established = true};
    struct roster *r = NULL;
    assert_int_equal(roster_init(&r), 0);
    assert_int_equal(roster_fix(r, 3, false), 0);
    assert_int_equal(roster_put(r, &founder, NULL), 0);
    start(0, r);
    start(1, NULL);
    start(2, NULL);
    ring(1, 3, 0);
    ring(2, 3, 0);
    ring(0, 3, 0);
    run(0, 0); /* all have heard of each other */
    stop_all();
    start(0, r);
    start(1, NULL);
    struct disk third = {.id = id(2), .instance = STR("in-2"), .domain = STR("in-2"),
                         .addr = STR("in-2")};
    assert_int_equal(roster_put(r, &third, NULL), 0);
    assert_int_equal(member_merge(nodes[0], r, 0), 0);
    ring(1, 3, 0);
    run(0, 30000);
    assert_false(member_is_established(nodes[1])); /* in-2 is known, and silent */
    start(2, NULL);
    ring(2, 3, 30000);
    run(30100, 60000);
    assert_true(member_is_established(nodes[1]));
    roster_free(&r);
    stop_all();
}

static void an_established_disk_is_active_again_at_once(void **state)
{
    (void)state;
    struct roster *r = NULL;
    found_three();
    assert_int_equal(roster_copy(&r, member_roster(nodes[1])), 0);
    stop_all();
    start(1, r);
    ring(1, 3, 0);
    pump(1, 0);
    assert_true(member_is_established(nodes[1]));
    assert_int_equal(actives[1], 1);
    assert_int_equal(sends[1], 2); /* it tells the others all the same */
    roster_free(&r);
    stop_all();
}

static void the_heir_of_the_only_disk_does_not_wait_for_itself(void **state)
{
    (void)state;
    struct disk old = {.id = id(7), .instance = STR("in-0"), .domain = STR("in-0"),
                       .addr = STR("in-0"), .established = true, .starts = 4};
    struct member_config c = config_of(0);
    struct roster *r = NULL;
    assert_int_equal(roster_init(&r), 0);
    assert_int_equal(roster_fix(r, 1, false), 0);
    assert_int_equal(roster_put(r, &old, NULL), 0);
    c.replication_factor = 1;
    for (int heir = 0; heir < 2; heir++) {
        c.predecessor = heir ? id(7) : id(8);
        assert_int_equal(member_init(&nodes[0], &c, r, 0, NULL), 0);
        up[0] = true;
        ring(0, 1, 0);
        run(0, 20000);
        assert_int_equal(member_is_established(nodes[0]), heir);
        stop_all();
    }
    roster_free(&r);
}

static void an_answer_waits_for_the_sync_of_the_newcomer(void **state)
{
    (void)state;
    struct member_action a;
    found_three();
    struct disk self = {.id = id(3), .instance = STR("in-3"), .domain = STR("in-3"),
                        .addr = STR("in-3"), .starts = 1};
    assert_int_equal(member_asked(nodes[0], &self, NULL, 42, 20000), 0);
    assert_int_equal(member_next(nodes[0], 20000, &a, NULL), MEMBER_SYNC);
    assert_non_null(roster_find(a.roster, id(3)));
    assert_null(roster_find(member_roster(nodes[0]), id(3)));
    enum member_verb verb = member_next(nodes[0], 20000, &a, NULL);
    assert_true(verb == MEMBER_NONE || verb == MEMBER_SEND);
    member_synced(nodes[0], true, 20001);
    assert_int_equal(member_next(nodes[0], 20001, &a, NULL), MEMBER_ANSWER);
    assert_int_equal(a.token, 42);
    assert_true(a.ok);
    assert_false(a.fresh);
    assert_int_equal(a.your_starts, 1);
    stop_all();
}

static void other_replication_is_refused_by_name(void **state)
{
    (void)state;
    struct member_action a;
    struct roster *r = NULL;
    struct err err = {0};
    found_three();
    assert_int_equal(roster_init(&r), 0);
    assert_int_equal(roster_fix(r, 5, false), 0);
    struct disk self = {.id = id(3), .instance = STR("in-3"), .domain = STR("in-3"),
                        .addr = STR("in-3"), .starts = 1};
    assert_int_equal(member_asked(nodes[0], &self, r, 42, 20000), 0);
    pump(1, 20000);
    assert_int_equal(member_next(nodes[0], 20000, &a, NULL), MEMBER_ANSWER);
    assert_false(a.ok);
    assert_string_equal(a.why, "wrong_replication_factor");
    assert_int_equal(member_merge(nodes[0], r, 20000), ERR_REFUSED);
    assert_true(member_is_established(nodes[0]));
    start(3, NULL);
    assert_int_equal(member_merge(nodes[3], r, 20000), ERR_REFUSED);
    pump(3, 20000);
    assert_int_equal(quits[3], 1);
    member_free(&nodes[3]);
    struct member_config c = config_of(3);
    assert_int_equal(member_init(&nodes[3], &c, r, 0, &err), ERR_REFUSED);
    assert_null(nodes[3]);
    roster_free(&r);
    stop_all();
}

static void an_old_copy_of_a_disk_is_renamed_once(void **state)
{
    (void)state;
    struct roster *r = NULL;
    found_three();
    struct disk self = *member_self(nodes[1]);
    self.starts = 9;
    assert_int_equal(roster_init(&r), 0);
    assert_int_equal(roster_put(r, &self, NULL), 0);
    assert_int_equal(member_merge(nodes[1], r, 20000), 0);
    pump(1, 20000);
    pump(1, 30000);
    assert_int_equal(renames[1], 1);
    assert_false(member_is_established(nodes[1]));
    roster_free(&r);
    stop_all();
}

static void a_late_answer_does_not_pass_for_a_fresh_one(void **state)
{
    (void)state;
    struct member_action a;
    start(0, NULL);
    struct member_config c = config_of(0);
    member_free(&nodes[0]);
    c.expect = 2;
    c.quiet_ms = 1;
    assert_int_equal(member_init(&nodes[0], &c, NULL, 0, NULL), 0);
    ring(0, 2, 0);
    assert_int_equal(member_next(nodes[0], 0, &a, NULL), MEMBER_SYNC);
    member_synced(nodes[0], true, 0);
    assert_int_equal(member_next(nodes[0], 0, &a, NULL), MEMBER_SEND);
    uint64_t first = a.token;
    member_failed(nodes[0], first, 500);
    struct member_reply reply = {.disk = id(1), .ok = true, .fresh = true};
    assert_int_equal(member_replied(nodes[0], first, &reply, 600), 0);
    assert_int_equal(member_next(nodes[0], 700, &a, NULL), MEMBER_NONE);
    assert_int_equal(member_next(nodes[0], 1000, &a, NULL), MEMBER_SEND);
    assert_true(a.token != first);
    assert_int_equal(member_replied(nodes[0], a.token, &reply, 1001), 0);
    assert_int_equal(member_next(nodes[0], 1002, &a, NULL), MEMBER_SYNC); /* founded */
    stop_all();
}

static int everything_once(void)
{
    struct member *m = NULL;
    struct member_action a;
    struct member_config c = config_of(0);
    struct disk self = {.id = id(1), .instance = STR("in-1"), .domain = STR("in-1"),
                        .addr = STR("in-1"), .starts = 1};
    const struct member_peer peers[] = {{STR_INIT("in-0"), STR_INIT("in-0")},
                                        {STR_INIT("in-1"), STR_INIT("in-1")}};
    struct member_reply reply = {.disk = id(1), .ok = true, .fresh = true};
    c.expect = 2;
    c.quiet_ms = 1;
    int rc = member_init(&m, &c, NULL, 0, NULL);
    rc = rc != 0 ? rc : member_ring(m, peers, 2, true, 0);
    rc = rc != 0 ? rc : member_asked(m, &self, NULL, 1, 0);
    for (mono_ms now = 0; rc == 0 && now < 20000 && !member_is_established(m); now++) {
        enum member_verb verb = member_next(m, now, &a, NULL);
        if (verb == MEMBER_SYNC)
            member_synced(m, true, now);
        if (verb == MEMBER_SEND)
            (void)member_replied(m, a.token, &reply, now);
    }
    assert_true(rc != 0 || member_is_established(m)); /* a failure on the way is made good */
    member_free(&m);
    return rc;
}

static void every_failed_allocation_is_an_error_or_made_good(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        mem_fail_at(n);
        int rc = everything_once();
        bool pending = mem_fail_pending();
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        if (pending)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_said_before_the_own_record_is_synced),
        cmocka_unit_test(the_lowest_founds_after_the_quiet_and_the_others_follow),
        cmocka_unit_test(nobody_founds_while_a_condition_is_missing),
        cmocka_unit_test(an_interrupted_quiet_starts_again),
        cmocka_unit_test(a_newcomer_needs_the_ok_of_established_disks_of_two_domains),
        cmocka_unit_test(with_few_established_every_known_disk_must_say_ok),
        cmocka_unit_test(an_established_disk_is_active_again_at_once),
        cmocka_unit_test(the_heir_of_the_only_disk_does_not_wait_for_itself),
        cmocka_unit_test(an_answer_waits_for_the_sync_of_the_newcomer),
        cmocka_unit_test(other_replication_is_refused_by_name),
        cmocka_unit_test(an_old_copy_of_a_disk_is_renamed_once),
        cmocka_unit_test(a_late_answer_does_not_pass_for_a_fresh_one),
        cmocka_unit_test(every_failed_allocation_is_an_error_or_made_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
