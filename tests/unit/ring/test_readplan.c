/* Every dot is counted by one disk, silence is judged over all known disks, and what an abandoned
 * round brought is dropped. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/readplan.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

enum { DISKS = 4, CALLS = 64 };

static const uint8_t W1[WRITER_SIZE] = {1};
static const char *const names[DISKS] = {"in-0", "in-1", "in-2", "in-3"};
static const struct str sets[3][3] = {
    {STR_INIT("in-0"), STR_INIT("in-1"), STR_INIT("in-2")},
    {STR_INIT("in-1"), STR_INIT("in-2"), STR_INIT("in-0")},
    {STR_INIT("in-2"), STR_INIT("in-0"), STR_INIT("in-1")},
};

static struct lane_name lane(int set)
{
    return (struct lane_name){W1, sets[set], 3};
}

static struct disk_id id(int i)
{
    return (struct disk_id){{(uint8_t)(i + 1)}};
}

/* A group of three, and what its disks hold. */
struct group {
    struct roster *roster;
    struct vector *held[DISKS];
    struct aliases *repeats[DISKS];
};

static void group_init(struct group *g, int disks)
{
    *g = (struct group){0};
    assert_int_equal(roster_init(&g->roster), 0);
    assert_int_equal(roster_fix(g->roster, 3, false), 0);
    for (int i = 0; i < disks; i++) {
        struct disk d = {.id = id(i), .instance = str_c(names[i]), .domain = str_c(names[i]),
                         .addr = str_c(names[i]), .established = true};
        assert_int_equal(roster_put(g->roster, &d, NULL), 0);
    }
    for (int i = 0; i < DISKS; i++) {
        assert_int_equal(vector_init(&g->held[i]), 0);
        assert_int_equal(aliases_init(&g->repeats[i]), 0);
    }
}

static void group_free(struct group *g)
{
    roster_free(&g->roster);
    for (int i = 0; i < DISKS; i++) {
        vector_free(&g->held[i]);
        aliases_free(&g->repeats[i]);
    }
}

static void hold(struct vector *v, int set, uint32_t first, uint32_t last)
{
    uint32_t l;
    assert_int_equal(vector_lane(v, lane(set), &l), 0);
    assert_int_equal(vector_add(v, l, first, last), 0);
}

static void hold_all(struct group *g, int set, uint32_t first, uint32_t last)
{
    for (int i = 0; i < 3; i++)
        hold(g->held[i], set, first, last);
}

static struct readplan *plan_of(const struct group *g, bool with_roster, bool just_names)
{
    struct readplan *p = NULL;
    struct read_peer peers[3];
    const struct read_config c = {.replication_factor = 3, .deadline = 20000,
                                  .names = just_names};
    for (int i = 0; i < 3; i++)
        peers[i] = (struct read_peer){.instance = str_c(names[i]), .addr = str_c(names[i]),
                                      .domain = str_c(names[i])};
    assert_int_equal(readplan_init(&p, &c, peers, 3, with_roster ? g->roster : NULL, 0), 0);
    return p;
}

static int number(struct str addr)
{
    return addr.data[3] - '0';
}

/* Hand out the next action and expect it to be `verb`. */
static struct read_action expect(struct readplan *p, mono_ms now, enum read_verb verb)
{
    struct read_action a;
    assert_int_equal(readplan_next(p, now, &a, NULL), verb);
    return a;
}

static int reply_as(struct readplan *p, const struct group *g, int i, uint32_t call, mono_ms now,
                    bool truncated)
{
    struct read_reply r = {.disk = id(i), .instance = str_c(names[i]),
                           .domain = str_c(names[i]), .established = true,
                           .truncated = truncated, .held = g->held[i],
                           .repeats = g->repeats[i], .roster = g->roster};
    return readplan_replied(p, call, &r, now);
}

/* Answer every ASK of the round whose disk is in `mask`; the others' calls fail, or (`hang`) stay
 * open. */
static void gather(struct readplan *p, const struct group *g, unsigned mask, bool hang,
                   mono_ms now)
{
    uint32_t calls[CALLS];
    int who[CALLS], count = 0;
    struct read_action a;
    while (readplan_next(p, now, &a, NULL) == READ_ASK) {
        who[count] = number(a.addr);
        calls[count++] = a.call;
    }
    for (int i = 0; i < count; i++) {
        if ((mask >> who[i] & 1) != 0)
            assert_int_equal(reply_as(p, g, who[i], calls[i], now, false), 0);
        else if (!hang)
            assert_int_equal(readplan_failed(p, calls[i], ERR_UNAVAILABLE, now), 0);
    }
}

/* Answer all parts of the round and check that each dot is in one of them, and held by who got
 * it. Returns the union. */
static struct vector *count_all(struct readplan *p, const struct group *g, mono_ms now)
{
    struct vector *all = NULL;
    struct read_action a;
    assert_int_equal(vector_init(&all), 0);
    while (readplan_next(p, now, &a, NULL) == READ_COUNT) {
        assert_false(vector_meets(all, a.include));
        assert_true(vector_covers(g->held[number(a.addr)], a.include));
        assert_true(disk_eq(a.disk, id(number(a.addr))));
        assert_int_equal(vector_union(all, a.include), 0);
        assert_int_equal(readplan_counted(p, a.call, now), 0);
    }
    assert_int_equal(a.verb, READ_FINISH);
    return all;
}

static void assert_verdict(const struct readplan *p, const char *text)
{
    struct buf out = {0};
    read_verdict_text(readplan_verdict(p), &out);
    buf_u8(&out, 0);
    assert_string_equal((char *)out.data, text);
    buf_reset(&out);
}

static void a_healthy_read_gives_each_set_to_its_first_instance(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    for (int s = 0; s < 3; s++)
        hold_all(&g, s, 1, 100);
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 7, false, 1);
    for (int i = 0; i < 3; i++) {
        struct read_action a = expect(p, 2, READ_COUNT);
        int disk = number(a.addr);
        assert_int_equal(vector_size(a.include), 100);
        assert_true(vector_has(a.include, lane(disk), 100)); /* set s begins with in-s */
        assert_int_equal(readplan_counted(p, a.call, 3), 0);
        assert_int_equal(readplan_counted(p, a.call, 3), ERR_STALE);
    }
    expect(p, 4, READ_FINISH);
    assert_verdict(p, "complete");
    assert_int_equal(readplan_verdict(p)->rounds, 1);
    readplan_free(&p);
    group_free(&g);
}

static void one_silent_domain_is_waited_for_until_the_hedge(void **state)
{
    (void)state;
    struct group g;
    mono_ms due;
    struct read_action a;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 6, true, 1);
    assert_int_equal(readplan_next(p, 2, &a, &due), READ_WAIT);
    assert_int_equal(due, 500);
    a = expect(p, 500, READ_COUNT);
    assert_int_equal(number(a.addr), 1);
    assert_int_equal(readplan_counted(p, a.call, 501), 0);
    expect(p, 502, READ_FINISH);
    assert_true(readplan_verdict(p)->complete);
    assert_int_equal(readplan_verdict(p)->silent_count, 1);
    readplan_free(&p);
    group_free(&g);
}

static void two_silent_domains_are_waited_for_longer_and_make_it_uncertain(void **state)
{
    (void)state;
    struct group g;
    mono_ms due;
    struct read_action a;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 1, true, 1);
    assert_int_equal(readplan_next(p, 1999, &a, &due), READ_WAIT);
    assert_int_equal(due, 2000);
    a = expect(p, 2000, READ_KEYS); /* one holder: it may repeat what the silent ones have */
    assert_int_equal(readplan_keys(p, a.call, NULL, 0, 2001), 0);
    a = expect(p, 2002, READ_COUNT);
    assert_int_equal(readplan_counted(p, a.call, 2003), 0);
    expect(p, 2004, READ_FINISH);
    assert_verdict(p, "uncertain; reasons=\"silent\"; silent=\"in-1,in-2\"");
    readplan_free(&p);
    group_free(&g);
}

static void calls_that_failed_are_not_waited_for(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 3, false, 1);
    struct vector *all = count_all(p, &g, 2);
    assert_int_equal(vector_size(all), 9);
    assert_true(readplan_verdict(p)->complete);
    vector_free(&all);
    readplan_free(&p);
    group_free(&g);
}

static void a_disk_that_only_a_roster_names_is_asked_and_missed(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 4); /* in-3 is not in the ring view */
    hold_all(&g, 0, 1, 9);
    struct readplan *p = plan_of(&g, false, false);
    uint32_t calls[3];
    for (int i = 0; i < 3; i++)
        calls[i] = expect(p, 0, READ_ASK).call;
    assert_int_equal(reply_as(p, &g, 0, calls[0], 1, false), 0);
    struct read_action a = expect(p, 2, READ_ASK); /* a reply newly named it */
    assert_int_equal(number(a.addr), 3);
    assert_int_equal(reply_as(p, &g, 1, calls[1], 1, false), 0);
    assert_int_equal(readplan_failed(p, calls[2], ERR_TIMEOUT, 3), 0);
    assert_int_equal(readplan_failed(p, a.call, ERR_TIMEOUT, 3), 0);
    struct vector *all = count_all(p, &g, 4);
    assert_verdict(p, "uncertain; reasons=\"silent\"; silent=\"in-2,in-3\"");
    vector_free(&all);
    readplan_free(&p);
    group_free(&g);
}

static void a_ring_instance_that_no_roster_names_is_missed_too(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 1);
    struct readplan *p = plan_of(&g, false, false);
    gather(p, &g, 1, false, 1);
    expect(p, 2, READ_FINISH);
    assert_verdict(p, "uncertain; reasons=\"silent\"; silent=\"in-1,in-2\"");
    readplan_free(&p);
    group_free(&g);
}

static void dots_that_were_never_acknowledged_are_left_out(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 5);
    hold(g.held[1], 0, 8, 8); /* one domain of three that replied */
    hold(g.held[0], 0, 7, 7);
    hold(g.held[2], 0, 7, 7);
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 7, false, 1);
    struct vector *all = count_all(p, &g, 2);
    assert_int_equal(vector_size(all), 6);
    assert_false(vector_has(all, lane(0), 8));
    vector_free(&all);
    readplan_free(&p);
    group_free(&g);
}

static void repeats_are_given_once_with_all_dots_that_the_disk_holds(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 2);
    hold_all(&g, 1, 7, 7);
    for (int i = 0; i < 2; i++) /* in-2 had the second dot first */
        assert_int_equal(aliases_add(g.repeats[i], lane(1), 7, lane(0), 2), 0);
    assert_int_equal(aliases_add(g.repeats[2], lane(0), 2, lane(1), 7), 0);
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 7, false, 1);
    struct read_action a;
    int whole = 0;
    while (readplan_next(p, 2, &a, NULL) == READ_COUNT) {
        bool row = vector_has(a.include, lane(0), 2), repeat = vector_has(a.include, lane(1), 7);
        assert_int_equal(row, repeat);
        whole += row;
        assert_int_equal(readplan_counted(p, a.call, 3), 0);
    }
    assert_int_equal(a.verb, READ_FINISH);
    assert_int_equal(whole, 1);
    readplan_free(&p);
    group_free(&g);
}

static void equal_keys_are_found_when_somebody_is_silent(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold(g.held[0], 0, 1, 1); /* first try, acknowledged by in-0 and in-2 */
    hold(g.held[1], 1, 1, 1); /* the same again, by in-1 and in-2 */
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 3, false, 1);
    struct read_key one = {lane(0), 1, 5, 6, 7}, other = {lane(1), 1, 5, 6, 7};
    for (int i = 0; i < 2; i++) {
        struct read_action a = expect(p, 2, READ_KEYS);
        assert_int_equal(vector_size(a.of), 1);
        assert_int_equal(readplan_keys(p, a.call, number(a.addr) == 0 ? &one : &other, 1, 3), 0);
    }
    for (int i = 0; i < 2; i++) {
        struct read_action a = expect(p, 4, READ_KEYS);
        assert_int_equal(a.find_count, 1);
        assert_int_equal(readplan_keys(p, a.call, NULL, 0, 5), 0);
    }
    struct vector *all = count_all(p, &g, 6);
    assert_int_equal(vector_size(all), 1);
    assert_true(readplan_verdict(p)->complete);
    vector_free(&all);
    readplan_free(&p);
    group_free(&g);
}

static void a_failed_part_abandons_the_round_with_all_its_answers(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    hold_all(&g, 1, 1, 9);
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 7, false, 1);
    struct read_action a = expect(p, 2, READ_COUNT), b = expect(p, 2, READ_COUNT);
    assert_int_equal(readplan_counted(p, a.call, 3), 0);
    assert_int_equal(readplan_failed(p, b.call, ERR_MOVED, 3), 0);
    expect(p, 4, READ_RESTART);
    assert_int_equal(readplan_counted(p, b.call, 4), ERR_STALE);
    gather(p, &g, 7, false, 5);
    struct vector *all = count_all(p, &g, 6);
    assert_int_equal(vector_size(all), 18); /* what the first round counted is counted anew */
    assert_int_equal(readplan_verdict(p)->rounds, 2);
    assert_true(readplan_verdict(p)->complete);
    vector_free(&all);
    readplan_free(&p);
    group_free(&g);
}

static void a_slow_part_is_given_to_others_in_the_next_round(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 7, false, 1);
    struct read_action a = expect(p, 2, READ_COUNT);
    assert_int_equal(number(a.addr), 0);
    expect(p, 2001, READ_WAIT);
    expect(p, 2002, READ_RESTART);
    gather(p, &g, 7, false, 2003);
    a = expect(p, 2004, READ_COUNT);
    assert_int_equal(number(a.addr), 1);
    readplan_free(&p);
    group_free(&g);
}

static void the_last_round_keeps_what_came_and_says_so(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    hold_all(&g, 1, 1, 9);
    struct readplan *p = NULL;
    const struct read_config c = {.replication_factor = 3, .deadline = 20000, .rounds = 1};
    assert_int_equal(readplan_init(&p, &c, NULL, 0, g.roster, 0), 0);
    gather(p, &g, 7, false, 1);
    struct read_action a = expect(p, 2, READ_COUNT), b = expect(p, 2, READ_COUNT);
    assert_int_equal(readplan_failed(p, a.call, ERR_UNAVAILABLE, 3), 0);
    expect(p, 4, READ_WAIT);
    assert_int_equal(readplan_counted(p, b.call, 5), 0);
    expect(p, 6, READ_FINISH);
    assert_verdict(p, "uncertain; reasons=\"not-counted\"");
    assert_int_equal(readplan_verdict(p)->rc, 0);
    readplan_free(&p);
    group_free(&g);
}

static void errors_of_the_query_end_it(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 7, false, 1);
    struct read_action a = expect(p, 2, READ_COUNT);
    assert_int_equal(readplan_failed(p, a.call, ERR_LIMIT, 3), 0);
    expect(p, 4, READ_FINISH);
    assert_int_equal(readplan_verdict(p)->rc, ERR_LIMIT);
    readplan_free(&p);
    p = plan_of(&g, true, false);
    gather(p, &g, 0, false, 1);
    expect(p, 2, READ_FINISH);
    assert_int_equal(readplan_verdict(p)->rc, ERR_UNAVAILABLE);
    assert_false(readplan_verdict(p)->complete);
    readplan_free(&p);
    p = plan_of(&g, true, false);
    gather(p, &g, 3, true, 1);
    expect(p, 20000, READ_FINISH);
    assert_int_equal(readplan_verdict(p)->rc, ERR_TIMEOUT);
    readplan_free(&p);
    group_free(&g);
}

static void the_deadline_ends_counting_with_a_part_of_the_answer(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    hold(g.held[0], 1, 1, 3); /* only in-0 has it, but W - 1 silent: it may be acknowledged */
    struct readplan *p = plan_of(&g, true, false);
    gather(p, &g, 7, false, 1);
    struct read_action a = expect(p, 2, READ_COUNT);
    assert_int_equal(number(a.addr), 0);
    expect(p, 20000, READ_FINISH);
    assert_int_equal(readplan_verdict(p)->rc, 0);
    assert_verdict(p, "uncertain; reasons=\"not-counted\"");
    assert_int_equal(readplan_counted(p, a.call, 20001), ERR_STALE);
    readplan_free(&p);
    group_free(&g);
}

static void names_need_no_counting_but_the_same_verdict(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    struct readplan *p = plan_of(&g, true, true);
    gather(p, &g, 5, false, 1);
    expect(p, 2, READ_FINISH);
    assert_true(readplan_verdict(p)->complete);
    readplan_free(&p);
    p = plan_of(&g, true, true);
    gather(p, &g, 4, false, 1);
    expect(p, 2, READ_FINISH);
    assert_verdict(p, "uncertain; reasons=\"silent\"; silent=\"in-0,in-1\"");
    readplan_free(&p);
    group_free(&g);
}

static void a_truncated_reply_is_used_but_silent(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    struct readplan *p = plan_of(&g, true, false);
    for (int i = 0; i < 3; i++) {
        struct read_action a = expect(p, 0, READ_ASK);
        assert_int_equal(reply_as(p, &g, number(a.addr), a.call, 1, i > 0), 0);
    }
    struct vector *all = count_all(p, &g, 2);
    assert_int_equal(vector_size(all), 9);
    assert_verdict(p, "uncertain; reasons=\"silent,truncated\"; silent=\"in-1,in-2\"");
    vector_free(&all);
    readplan_free(&p);
    group_free(&g);
}

static void the_hedge_is_twice_the_median_within_limits(void **state)
{
    (void)state;
    assert_int_equal(read_hedge_ms(0), 50);
    assert_int_equal(read_hedge_ms(100), 200);
    assert_int_equal(read_hedge_ms(UINT32_MAX), 500);
}

static void broken_and_doubled_replies_are_dropped(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 3);
    struct readplan *p = plan_of(&g, true, true);
    struct read_reply none = {.instance = STR("x"), .domain = STR("x")};
    struct read_action a = expect(p, 0, READ_ASK), b = expect(p, 0, READ_ASK);
    assert_int_equal(readplan_replied(p, a.call, &none, 1), ERR_INVAL);
    assert_int_equal(readplan_replied(p, a.call, &none, 1), ERR_STALE);
    assert_int_equal(reply_as(p, &g, 1, b.call, 1, false), 0);
    b = expect(p, 0, READ_ASK);
    assert_int_equal(reply_as(p, &g, 1, b.call, 1, false), ERR_STALE); /* the same disk */
    expect(p, 2, READ_FINISH);
    assert_false(readplan_verdict(p)->complete);
    readplan_free(&p);
    group_free(&g);
}

static void whatever_they_hold_each_dot_of_two_domains_is_counted_once(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 3);
    for (int round = 0; round < 300; round++) {
        struct group g;
        struct vector *want = NULL;
        group_init(&g, 3);
        for (uint64_t n = rng_below(&r, 40); n > 0; n--) {
            uint32_t first = 1 + (uint32_t)rng_below(&r, 60);
            hold(g.held[rng_below(&r, 3)], (int)rng_below(&r, 3), first,
                 first + (uint32_t)rng_below(&r, 20));
        }
        struct readplan *p = plan_of(&g, true, false);
        gather(p, &g, 7, false, 1);
        struct vector *all = count_all(p, &g, 2);
        assert_int_equal(vector_in_at_least((const struct vector *const *)g.held, 3, 2, &want),
                         0);
        assert_true(vector_covers(all, want) && vector_covers(want, all));
        vector_free(&all);
        vector_free(&want);
        readplan_free(&p);
        group_free(&g);
    }
}

/* A read with a silent disk, keys and a class; every failure must end in an error or a verdict
 * that does not promise anything. */
static int everything_once(const struct group *g)
{
    struct readplan *p = NULL;
    struct read_action a;
    struct read_peer peer = {.instance = STR("in-2"), .addr = STR("in-2"), .domain = STR("in-2")};
    const struct read_config c = {.replication_factor = 3, .deadline = 20000};
    int rc = readplan_init(&p, &c, &peer, 1, g->roster, 0);
    for (mono_ms now = 0; rc == 0 && now < 40000; now += 100) {
        enum read_verb verb = readplan_next(p, now, &a, NULL);
        if (verb == READ_FINISH)
            break;
        struct read_key key = {lane(1), 1, 1, 2, 3};
        if (verb == READ_ASK && number(a.addr) == 2)
            assert_int_equal(readplan_failed(p, a.call, ERR_TIMEOUT, now), 0);
        else if (verb == READ_ASK)
            (void)reply_as(p, g, number(a.addr), a.call, now, false);
        else if (verb == READ_KEYS)
            (void)readplan_keys(p, a.call, &key, 1, now);
        else if (verb == READ_COUNT)
            (void)readplan_counted(p, a.call, now);
    }
    if (rc == 0) {
        const struct read_verdict *v = readplan_verdict(p);
        rc = v->rc != 0 ? v->rc : v->complete ? 0 : ERR_AGAIN;
    }
    readplan_free(&p);
    return rc;
}

static void every_failed_allocation_is_an_error_or_made_good(void **state)
{
    (void)state;
    struct group g;
    uint64_t errors = 0;
    group_init(&g, 3);
    hold_all(&g, 0, 1, 9);
    hold(g.held[0], 1, 1, 1);
    assert_int_equal(aliases_add(g.repeats[0], lane(1), 1, lane(0), 2), 0);
    hold(g.held[1], 2, 4, 4);
    for (uint64_t n = 1;; n++) {
        mem_fail_at(n);
        int rc = everything_once(&g);
        bool pending = mem_fail_pending();
        mem_fail_at(0);
        errors += rc != 0;
        if (!pending)
            continue;
        assert_int_equal(rc, 0);
        break;
    }
    assert_true(errors > 10);
    group_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_read_gives_each_set_to_its_first_instance),
        cmocka_unit_test(one_silent_domain_is_waited_for_until_the_hedge),
        cmocka_unit_test(two_silent_domains_are_waited_for_longer_and_make_it_uncertain),
        cmocka_unit_test(calls_that_failed_are_not_waited_for),
        cmocka_unit_test(a_disk_that_only_a_roster_names_is_asked_and_missed),
        cmocka_unit_test(a_ring_instance_that_no_roster_names_is_missed_too),
        cmocka_unit_test(dots_that_were_never_acknowledged_are_left_out),
        cmocka_unit_test(repeats_are_given_once_with_all_dots_that_the_disk_holds),
        cmocka_unit_test(equal_keys_are_found_when_somebody_is_silent),
        cmocka_unit_test(a_failed_part_abandons_the_round_with_all_its_answers),
        cmocka_unit_test(a_slow_part_is_given_to_others_in_the_next_round),
        cmocka_unit_test(the_last_round_keeps_what_came_and_says_so),
        cmocka_unit_test(errors_of_the_query_end_it),
        cmocka_unit_test(the_deadline_ends_counting_with_a_part_of_the_answer),
        cmocka_unit_test(names_need_no_counting_but_the_same_verdict),
        cmocka_unit_test(a_truncated_reply_is_used_but_silent),
        cmocka_unit_test(the_hedge_is_twice_the_median_within_limits),
        cmocka_unit_test(broken_and_doubled_replies_are_dropped),
        cmocka_unit_test(whatever_they_hold_each_dot_of_two_domains_is_counted_once),
        cmocka_unit_test(every_failed_allocation_is_an_error_or_made_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
