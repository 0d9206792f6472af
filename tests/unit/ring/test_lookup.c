/* A look-up gives the members that a Go member would name, in their order, or its error. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "ring/desc.h"

enum { NOW_S = 1000 };
#define NOW ((wall_ms)NOW_S * 1000)

static struct ring_desc *desc;
static struct ring *ring;
static struct ring_set set;
static struct err err;

static void add(const char *id, const char *zone, int32_t state, int64_t age_s,
                const uint32_t *tokens, uint32_t count)
{
    const struct ring_instance in = {.id = str_c(id),
                                     .addr = str_c(id),
                                     .zone = str_c(zone),
                                     .state = state,
                                     .timestamp_s = NOW_S - age_s,
                                     .tokens = (uint32_t *)(uintptr_t)tokens,
                                     .token_count = count};
    assert_int_equal(ring_desc_put(desc, &in), 0);
}

#define TOKENS(...)                                                                            \
    ((const uint32_t[]){__VA_ARGS__}), (uint32_t)(sizeof(uint32_t[]){__VA_ARGS__} / 4)

static void build(uint32_t rf, bool zones)
{
    const struct ring_options o = {
        .replication_factor = rf, .zone_aware = zones, .heartbeat_timeout_ms = 60000};
    ring_drop(&ring);
    assert_int_equal(ring_init(&ring, desc, &o, &err), 0);
}

/* The ids of the set, joined: "a,b". */
static const char *ids(void)
{
    static char text[512];
    size_t n = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < set.count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i == 0 ? "" : ",",
                              set.items[i]->id.data);
    return text;
}

static int begin(void **state)
{
    (void)state;
    return ring_desc_init(&desc);
}

static int end(void **state)
{
    (void)state;
    ring_drop(&ring);
    ring_desc_free(&desc);
    ring_set_reset(&set);
    return 0;
}

static void four_members(void)
{
    add("a", "", RING_ACTIVE, 0, TOKENS(100, 500));
    add("b", "", RING_ACTIVE, 0, TOKENS(200, 600));
    add("c", "", RING_ACTIVE, 0, TOKENS(300, 700));
    add("d", "", RING_ACTIVE, 0, TOKENS(400, 800));
}

static void the_walk_starts_behind_the_token_and_goes_round(void **state)
{
    (void)state;
    four_members();
    build(3, false);
    assert_int_equal(ring_get(ring, 99, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,b,c");
    assert_int_equal(set.max_errors, 1);
    assert_int_equal(ring_get(ring, 100, RING_WRITE, 0, NOW, &set, &err),
                     0); /* strictly behind */
    assert_string_equal(ids(), "b,c,d");
    assert_int_equal(ring_get(ring, 750, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "d,a,b");
    assert_int_equal(ring_get(ring, UINT32_MAX, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,b,c");
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 1, NOW, &set, &err), 0); /* another factor */
    assert_string_equal(ids(), "a");
    assert_int_equal(set.max_errors, 0);
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 9, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "at least 5 live replicas required, could only find 4");
}

static void who_cannot_take_a_write_makes_the_set_larger(void **state)
{
    (void)state;
    four_members();
    add("b", "", RING_LEAVING, 0, TOKENS(200, 600));
    build(3, false);
    assert_int_equal(ring_set_of(ring, 0, RING_WRITE, 0, &set, &err), 0);
    assert_string_equal(ids(), "a,b,c,d");
    assert_int_equal(ring_set_filter(ring, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,c,d"); /* of 4, 3 are needed */
    assert_int_equal(set.max_errors, 0);
    assert_int_equal(ring_get(ring, 0, RING_WRITE_NO_EXTEND, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,c");
    assert_int_equal(ring_get(ring, 0, RING_READ, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,b,c"); /* a leaving one still answers */
    assert_int_equal(set.max_errors, 1);
}

static void the_living_stand_in_for_the_dead(void **state)
{
    (void)state;
    four_members();
    add("b", "", RING_ACTIVE, 61, TOKENS(200, 600));
    build(3, false);
    assert_int_equal(ring_set_living(ring, 0, RING_WRITE, 0, NOW - 1000, &set, &err), 0);
    assert_string_equal(ids(), "a,b,c"); /* not dead yet */
    assert_int_equal(ring_set_living(ring, 0, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,b,c,d");
    assert_int_equal(ring_set_filter(ring, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,c,d");
    assert_int_equal(set.max_errors, 1); /* two are enough, as of three */
    /* the remains of another cluster between ours */
    add("d", "", RING_ACTIVE, 61, TOKENS(400, 800));
    add("e", "", RING_ACTIVE, 61, TOKENS(150, 450));
    build(3, false);
    assert_int_equal(ring_get(ring, 100, RING_WRITE, 0, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_int_equal(ring_set_living(ring, 100, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "e,b,c,d,a");
    assert_int_equal(ring_set_filter(ring, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "c,a");
    assert_int_equal(set.max_errors, 0);
    /* one of three is not enough, whoever is dead */
    add("c", "", RING_ACTIVE, 61, TOKENS(300, 700));
    build(3, false);
    assert_int_equal(ring_set_living(ring, 100, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_int_equal(ring_set_filter(ring, RING_WRITE, 0, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "at least 2 live replicas required, could only find 1"));
    assert_string_equal(ids(), "a");
}

static void the_living_of_the_same_zone_stand_in(void **state)
{
    (void)state;
    add("a", "x", RING_ACTIVE, 61, TOKENS(100));
    add("b", "y", RING_ACTIVE, 0, TOKENS(200));
    add("c", "z", RING_ACTIVE, 0, TOKENS(300));
    add("d", "y", RING_ACTIVE, 0, TOKENS(400));
    add("e", "x", RING_ACTIVE, 0, TOKENS(500));
    build(3, true);
    assert_int_equal(ring_set_living(ring, 0, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,b,c,e");
    assert_int_equal(ring_set_filter(ring, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "b,c,e");
    assert_int_equal(set.max_errors, 1);
}

static void one_replica_on_a_leaving_member_fails_as_at_the_peer(void **state)
{
    (void)state;
    four_members();
    add("a", "", RING_LEAVING, 0, TOKENS(100, 500));
    build(1, false);
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 0, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg,
                        "at least 2 live replicas required, could only find 1 - unhealthy "
                        "instances: a");
}

static void the_silent_are_named_in_the_error(void **state)
{
    (void)state;
    four_members();
    add("a", "", RING_ACTIVE, 61, TOKENS(100, 500));
    add("b", "", RING_ACTIVE, 60, TOKENS(200, 600)); /* just in time */
    build(3, false);
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "b,c");
    assert_int_equal(set.max_errors, 0);
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 0, NOW + 1, &set, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg,
                        "at least 2 live replicas required, could only find 1 - unhealthy "
                        "instances: a,b");
}

static void an_empty_ring_says_so(void **state)
{
    (void)state;
    build(3, false);
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 0, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "empty ring");
    assert_int_equal(ring_set_all(ring, RING_READ, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_int_equal(ring_set_healthy(ring, RING_READ, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "empty ring");
    add("t", "", RING_LEFT, 0, NULL, 0);
    add("n", "", RING_ACTIVE, 0, NULL, 0); /* a member, but without tokens */
    build(3, false);
    assert_int_equal(ring_count(ring), 1);
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 0, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "empty ring");
    assert_int_equal(ring_set_healthy(ring, RING_READ, NOW, &set, &err), 0);
    const struct ring_options none = {0};
    struct ring *r = NULL;
    assert_int_equal(ring_init(&r, desc, &none, &err), ERR_INVAL);
}

static void six_in_three_zones(void)
{
    add("a1", "za", RING_ACTIVE, 0, TOKENS(100));
    add("a2", "za", RING_ACTIVE, 0, TOKENS(200));
    add("b1", "zb", RING_ACTIVE, 0, TOKENS(300));
    add("b2", "zb", RING_ACTIVE, 0, TOKENS(400));
    add("c1", "zc", RING_ACTIVE, 0, TOKENS(500));
    add("c2", "zc", RING_ACTIVE, 0, TOKENS(600));
}

static void each_zone_gives_one_replica(void **state)
{
    (void)state;
    six_in_three_zones();
    build(3, true);
    assert_int_equal(ring_zone_count(ring), 3);
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a1,b1,c1");
    assert_int_equal(set.max_errors, 1);
    assert_int_equal(ring_get(ring, 350, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "b2,c1,a1");
    /* Twice the factor: two of each zone. */
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 6, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a1,a2,b1,b2,c1,c2");
    build(3, false);
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a1,a2,b1");
}

static void a_zone_replaces_its_own(void **state)
{
    (void)state;
    six_in_three_zones();
    add("a1", "za", RING_LEAVING, 0, TOKENS(100));
    build(3, true);
    assert_int_equal(ring_set_of(ring, 0, RING_WRITE, 0, &set, &err), 0);
    assert_string_equal(ids(), "a1,a2,b1,c1"); /* four, and a2 stands for a1 */
    add("a2", "za", RING_JOINING, 0, TOKENS(200));
    build(3, true);
    assert_int_equal(ring_set_of(ring, 0, RING_WRITE, 0, &set, &err), 0);
    assert_string_equal(ids(), "a1,a2,b1,c1"); /* all of za looked at: others do not make up */
    assert_int_equal(ring_set_filter(ring, RING_WRITE, 0, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_string_equal(
        err.msg, "at least 3 live replicas required across different availability zones, "
                 "could only find 2 - unhealthy instances: a1,a2");
}

static void a_member_without_zone_is_taken_as_it_comes(void **state)
{
    (void)state;
    six_in_three_zones();
    add("x", "", RING_ACTIVE, 0, TOKENS(50, 250));
    build(3, true);
    assert_int_equal(ring_get(ring, 0, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "x,a1,b1");
}

static void all_of_the_ring_allows_half_of_the_factor_to_fail(void **state)
{
    (void)state;
    four_members();
    build(3, false);
    assert_int_equal(ring_set_all(ring, RING_READ, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,b,c,d");
    assert_int_equal(set.max_errors, 1);
    add("c", "", RING_ACTIVE, 99, TOKENS(300, 700));
    build(3, false);
    assert_int_equal(ring_set_all(ring, RING_READ, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,b,d");
    assert_int_equal(set.max_errors, 0);
    assert_int_equal(ring_set_healthy(ring, RING_READ, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a,b,d");
    add("d", "", RING_JOINING, 0, TOKENS(400, 800));
    build(3, false);
    assert_int_equal(ring_set_all(ring, RING_READ, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "too many unhealthy instances in the ring");
    build(1, false);
    assert_int_equal(ring_set_all(ring, RING_READ, NOW, &set, &err), ERR_UNAVAILABLE);
}

static void a_zone_with_one_silent_member_is_out_as_a_whole(void **state)
{
    (void)state;
    six_in_three_zones();
    build(3, true);
    assert_int_equal(ring_set_all(ring, RING_READ, NOW, &set, &err), 0);
    assert_int_equal(set.count, 6);
    assert_int_equal(set.max_unavailable_zones, 1);
    add("b2", "zb", RING_ACTIVE, 99, TOKENS(400));
    build(3, true);
    assert_int_equal(ring_set_all(ring, RING_READ, NOW, &set, &err), 0);
    assert_string_equal(ids(), "a1,a2,c1,c2");
    assert_int_equal(set.max_unavailable_zones, 0);
    add("c1", "zc", RING_ACTIVE, 99, TOKENS(500));
    build(3, true);
    assert_int_equal(ring_set_all(ring, RING_READ, NOW, &set, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "too many unhealthy instances in the ring");
}

static void ownership_is_measured_within_a_zone(void **state)
{
    (void)state;
    four_members();
    build(3, false);
    assert_true(ring_owned(ring, STR("b")) == 200);
    assert_true(ring_owned(ring, STR("a")) == 100 + (1ull << 32) - 700);
    assert_true(ring_owned(ring, STR("?")) == 0);
    add("z", "za", RING_ACTIVE, 0, TOKENS(150));
    build(3, false);
    assert_true(ring_owned(ring, STR("z")) == 1ull << 32); /* alone in its zone */
    assert_true(ring_owned(ring, STR("b")) == 200);
}

static void excluded_zones_are_not_there(void **state)
{
    (void)state;
    six_in_three_zones();
    struct str gone = STR("zb");
    const struct ring_options o = {.replication_factor = 2,
                                   .heartbeat_timeout_ms = 60000,
                                   .excluded_zones = &gone,
                                   .excluded_zone_count = 1};
    assert_int_equal(ring_init(&ring, desc, &o, &err), 0);
    assert_int_equal(ring_count(ring), 4);
    assert_null(ring_find(ring, STR("b1")));
    assert_int_equal(ring_get(ring, 200, RING_WRITE, 0, NOW, &set, &err), 0);
    assert_string_equal(ids(), "c1,c2");
}

static void a_view_lives_as_long_as_somebody_holds_it(void **state)
{
    (void)state;
    four_members();
    build(3, false);
    struct ring *mine = ring_hold(ring);
    ring_drop(&ring);
    assert_null(ring);
    assert_int_equal(ring_token_count(mine), 8);
    ring_drop(&mine);
    ring_drop(&mine); /* NULL-safe */
}

static void the_next_view_shares_tokens_and_sees_new_states(void **state)
{
    (void)state;
    const struct ring_options o = {
        .replication_factor = 3, .zone_aware = true, .heartbeat_timeout_ms = 60000};
    six_in_three_zones();
    build(3, true);
    for (int i = 0; i < 3; i++) {
        struct ring *next = NULL;
        if (i == 0)
            add("a1", "za", RING_LEAVING, 0, TOKENS(100));
        if (i == 1)
            add("a1", "za", RING_ACTIVE, 0, TOKENS(100, 700)); /* tokens change */
        if (i == 2)
            add("a0", "za", RING_ACTIVE, 0, NULL, 0); /* a member more, before all others */
        assert_int_equal(ring_next(&next, ring, desc, &o, &err), 0);
        ring_drop(&ring); /* the next one needs nothing of it */
        ring = next;
        assert_int_equal(ring_set_of(ring, 650, RING_WRITE, 0, &set, &err), 0);
        assert_string_equal(ids(), i == 0 ? "a1,a2,b1,c1" : "a1,b1,c1");
        assert_int_equal(ring_set_of(ring, 150, RING_WRITE, 0, &set, &err), 0);
        assert_string_equal(ids(), "a2,b1,c1");
        assert_true(ring_owned(ring, STR("a2")) == 100);
        assert_int_equal(ring_token_count(ring), i == 0 ? 6 : 7);
    }
    assert_int_equal(ring_count(ring), 7);
}

/* The plain rule without zones, written a second time and slowly: sort members by the distance
 * from the token to their nearest token, take them until the set is full. */
static uint32_t distance(const struct ring_instance *in, uint32_t token)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < in->token_count; i++) {
        uint32_t d = in->tokens[i] - token - 1; /* strictly behind: its own token is furthest */
        best = d < best ? d : best;
    }
    return best;
}

static uint32_t token_now;
static int by_distance(const void *a, const void *b)
{
    uint32_t x = distance(*(const struct ring_instance *const *)a, token_now);
    uint32_t y = distance(*(const struct ring_instance *const *)b, token_now);
    return (x > y) - (x < y);
}

static void random_rings_agree_with_a_naive_walk(void **state)
{
    (void)state;
    static const uint32_t ops[] = {RING_WRITE, RING_READ, RING_WRITE_NO_EXTEND};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        ring_desc_free(&desc);
        assert_int_equal(ring_desc_init(&desc), 0);
        uint32_t members = 1 + (uint32_t)rng_below(&rng, 12);
        for (uint32_t i = 0; i < members; i++) {
            uint32_t tokens[4];
            char id[16];
            (void)snprintf(id, sizeof id, "m%02u", i);
            for (uint32_t k = 0; k < 4; k++)
                tokens[k] = rng_u32(&rng);
            add(id, "", rng_chance(&rng, 2, 3) ? RING_ACTIVE : (int32_t)rng_below(&rng, 4), 0,
                tokens, 4);
        }
        uint32_t rf = 1 + (uint32_t)rng_below(&rng, 4);
        build(rf, false);
        for (int q = 0; q < 20; q++) {
            const struct ring_instance *sorted[16];
            uint32_t op = ops[rng_below(&rng, 3)], size = rf, taken = 0;
            token_now = rng_u32(&rng);
            for (uint32_t i = 0; i < members; i++)
                sorted[i] = ring_at(ring, i);
            qsort(sorted, members, sizeof *sorted, by_distance);
            assert_int_equal(ring_set_of(ring, token_now, op, 0, &set, NULL), 0);
            for (; taken < size && taken < members; taken++) {
                assert_true(taken < set.count && set.items[taken] == sorted[taken]);
                size += (op >> 16 >> sorted[taken]->state) & 1;
            }
            assert_int_equal(set.count, taken);
        }
    }
}

static void out_of_memory_is_an_error(void **state)
{
    (void)state;
    six_in_three_zones();
    for (uint64_t n = 1;; n++) {
        const struct ring_options o = {
            .replication_factor = 3, .zone_aware = true, .heartbeat_timeout_ms = 60000};
        ring_drop(&ring);
        ring_set_reset(&set);
        mem_fail_at(n);
        int rc = ring_init(&ring, desc, &o, NULL);
        if (rc == 0)
            rc = ring_get(ring, 0, RING_WRITE, 6, NOW, &set, NULL);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        if (pending) {
            assert_int_equal(rc, 0);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_walk_starts_behind_the_token_and_goes_round),
        TEST(who_cannot_take_a_write_makes_the_set_larger),
        TEST(the_living_stand_in_for_the_dead),
        TEST(the_living_of_the_same_zone_stand_in),
        TEST(one_replica_on_a_leaving_member_fails_as_at_the_peer),
        TEST(the_silent_are_named_in_the_error),
        TEST(an_empty_ring_says_so),
        TEST(each_zone_gives_one_replica),
        TEST(a_zone_replaces_its_own),
        TEST(a_member_without_zone_is_taken_as_it_comes),
        TEST(all_of_the_ring_allows_half_of_the_factor_to_fail),
        TEST(a_zone_with_one_silent_member_is_out_as_a_whole),
        TEST(ownership_is_measured_within_a_zone),
        TEST(excluded_zones_are_not_there),
        TEST(a_view_lives_as_long_as_somebody_holds_it),
        TEST(the_next_view_shares_tokens_and_sees_new_states),
        TEST(random_rings_agree_with_a_naive_walk),
        TEST(out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
