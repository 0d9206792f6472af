/* Joining never gives up, never takes itself for a cluster, and comes back when all are gone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/join.h"

#include "base/err.h"
#include "base/mem.h"

static struct rng rng;
static const struct join_config config = {1000, 20000, 60000, 4, 0, 0};

static struct gossip_addr addr(uint8_t last)
{
    return (struct gossip_addr){.ip = {10, 0, 0, last}, .size = 4, .port = 7946};
}

static struct join *joiner(size_t seeds)
{
    struct join *j = NULL;
    struct gossip_addr list[8], self = addr(0);
    rng_seed(&rng, 1);
    for (size_t i = 0; i < seeds; i++)
        list[i] = addr((uint8_t)(i + 1));
    assert_int_equal(join_init(&j, &config, &rng, 0), 0);
    assert_int_equal(join_set_seeds(j, list, seeds, &self, 0), 0);
    return j;
}

/* Try until the round is over; how many seeds were tried. */
static int round_of(struct join *j, bool alone, mono_ms now, bool reached)
{
    struct gossip_addr to;
    uint64_t tag = 0;
    int tries = 0;
    for (; join_next(j, alone, now, &to, &tag); tries++)
        join_done(j, tag, reached, now);
    return tries;
}

static void without_seeds_one_is_joined(void **state)
{
    (void)state;
    struct join *j = joiner(0);
    assert_true(join_is_joined(j));
    assert_int_equal(join_due(j), MONO_NEVER);
    assert_int_equal(round_of(j, true, 0, true), 0);
    join_free(&j);
}

/* Two nodes that name only themselves would each be a cluster of one, and say "joined". */
static void our_own_address_is_no_seed(void **state)
{
    (void)state;
    struct join *j = joiner(0);
    struct gossip_addr self = addr(9), list[] = {addr(9), addr(8), addr(8)};
    assert_int_equal(join_set_seeds(j, list, 3, &self, 0), 0);
    assert_int_equal(join_seeds(j), 1);
    assert_false(join_is_joined(j));
    assert_int_equal(join_seed_of(j, &list[1]), JOIN_UNTRIED);
    assert_int_equal(join_seed_of(j, &list[0]), JOIN_NO_SEED);
    join_free(&j);
}

static void rounds_go_on_with_longer_pauses_for_ever(void **state)
{
    (void)state;
    struct join *j = joiner(3);
    mono_ms now = 0, pause = 0;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(round_of(j, true, now, false), 3);
        assert_false(join_is_joined(j));
        pause = join_due(j) - now;
        assert_true(pause >= 1000 && pause <= 20000);
        assert_int_equal(round_of(j, true, now + pause - 1, false), 0);
        now += pause;
    }
    assert_int_equal(pause, 20000);
    assert_int_equal(round_of(j, true, now, true), 3);
    assert_true(join_is_joined(j));
    assert_int_equal(join_reached(j), 3);
    struct gossip_addr one = addr(1);
    assert_int_equal(join_seed_of(j, &one), JOIN_REACHED);
    join_free(&j);
}

static void one_seed_is_tried_at_a_time_and_one_that_never_answers_is_left(void **state)
{
    (void)state;
    struct join *j = joiner(2);
    struct gossip_addr to;
    uint64_t first = 0, second = 0;
    assert_true(join_next(j, true, 0, &to, &first));
    assert_false(join_next(j, true, 10, &to, &second));
    assert_true(join_next(j, true, 60000, &to, &second));
    join_done(j, first, true, 60001); /* too late */
    assert_false(join_is_joined(j));
    join_done(j, second, true, 60002);
    assert_true(join_is_joined(j));
    join_free(&j);
}

static void once_joined_the_list_is_joined_anew_at_the_interval(void **state)
{
    (void)state;
    struct join *j = joiner(2);
    assert_int_equal(round_of(j, true, 0, true), 2);
    mono_ms first = join_due(j);
    assert_true(first > 0 && first <= 60000);
    assert_int_equal(round_of(j, false, first - 1, true), 0);
    assert_int_equal(round_of(j, false, first, true), 2);
    assert_int_equal(join_due(j), first + 60000);
    assert_int_equal(round_of(j, false, first + 60000, false), 2);
    assert_true(join_due(j) <= first + 60000 + 20000); /* nobody there: soon again */
    assert_true(join_is_joined(j));                    /* it has been in the cluster */
    join_free(&j);
}

/* The seed that does not answer may be on the other side of a partition. */
static void with_a_seed_that_does_not_answer_the_next_round_is_sooner(void **state)
{
    (void)state;
    struct join *j = joiner(2);
    assert_int_equal(round_of(j, true, 0, true), 2);
    mono_ms first = join_due(j), due = 0;
    struct gossip_addr to;
    uint64_t tag = 0;
    for (int i = 0; i < 2; i++) {
        assert_true(join_next(j, false, first, &to, &tag));
        join_done(j, tag, i == 0, first);
    }
    due = join_due(j);
    assert_true(due >= first + 10000 && due <= first + 20000);
    assert_int_equal(round_of(j, false, due, true), 2);
    assert_int_equal(join_due(j), due + 60000); /* both are there again */
    join_free(&j);
}

static void who_finds_itself_alone_does_not_wait_for_the_interval(void **state)
{
    (void)state;
    struct join *j = joiner(2);
    assert_int_equal(round_of(j, true, 0, true), 2);
    mono_ms first = join_due(j);
    assert_int_equal(round_of(j, false, first, true), 2);
    assert_int_equal(round_of(j, true, first + 100, true), 0);
    assert_true(join_due(j) <= first + 100 + 2000);
    join_free(&j);
}

/* "No such name" must not make a cluster of one that says it has joined. */
static void with_names_that_have_no_address_one_is_not_joined_and_tries_on(void **state)
{
    (void)state;
    struct join *j = joiner(0);
    struct gossip_addr to, seed = addr(1), self = addr(0);
    uint64_t tag = 0;
    join_set_names(j, true, true, 0); /* not looked up yet: no round fails */
    assert_false(join_is_joined(j));
    assert_false(join_next(j, true, 0, &to, &tag));
    assert_int_equal(join_due(j), MONO_NEVER);
    join_set_names(j, false, true, 5);
    assert_int_equal(join_due(j), 5);
    mono_ms now = 5;
    for (uint64_t i = 1; i < 100; i++) {
        assert_false(join_next(j, true, now, &to, &tag));
        assert_int_equal(join_rounds(j), i);
        assert_true(join_due(j) - now >= 1000 && join_due(j) - now <= 20000);
        now = join_due(j);
    }
    assert_false(join_is_joined(j));
    assert_int_equal(join_set_seeds(j, &seed, 1, &self, now - 1), 0);
    join_set_names(j, false, false, now - 1);
    assert_true(join_next(j, true, now - 1, &to, &tag)); /* a new address: at once */
    join_done(j, tag, true, now);
    assert_true(join_is_joined(j));
    assert_int_equal(join_set_seeds(j, NULL, 0, &self, now), 0);
    join_set_names(j, false, true, now);
    assert_true(join_is_joined(j)); /* it has been in */
    join_free(&j);
}

static void the_same_seeds_again_do_not_disturb_a_round(void **state)
{
    (void)state;
    struct join *j = joiner(2);
    struct gossip_addr to, list[] = {addr(2), addr(1), addr(3)}, self = addr(0);
    uint64_t tag = 0;
    assert_true(join_next(j, true, 0, &to, &tag));
    assert_int_equal(join_set_seeds(j, list, 2, &self, 1), 0);
    join_done(j, tag, true, 2);
    assert_int_equal(join_reached(j), 1);
    assert_int_equal(join_set_seeds(j, list, 3, &self, 3), 0);
    assert_int_equal(join_reached(j), 1);
    assert_int_equal(join_seed_of(j, &list[2]), JOIN_UNTRIED);
    join_free(&j);
}

static void too_few_in_the_first_round_and_too_many_rounds_are_failures(void **state)
{
    (void)state;
    struct join *j = joiner(2);
    const struct join_config strict = {1000, 20000, 60000, 4, 3, 2};
    struct gossip_addr list[] = {addr(1), addr(2)}, self = addr(0), to;
    uint64_t tag = 0;
    assert_int_equal(round_of(j, true, 0, false), 2);
    assert_int_equal(join_failure(j), JOIN_NOT_FAILED); /* nobody asked for it */
    join_free(&j);
    assert_int_equal(join_init(&j, &strict, &rng, 0), 0);
    assert_int_equal(join_set_seeds(j, list, 2, &self, 0), 0);
    join_set_names(j, true, true, 0);
    assert_int_equal(round_of(j, true, 0, false), 2);
    assert_int_equal(join_failure(j), JOIN_NOT_FAILED); /* another name may have the rest */
    join_set_names(j, false, false, 1);
    assert_int_equal(round_of(j, true, join_due(j), true), 2);
    assert_int_equal(join_failure(j), JOIN_FAST_FAILED); /* two of three */
    join_free(&j);
    struct join_config patient = strict;
    patient.fast_min = 0;
    assert_int_equal(join_init(&j, &patient, &rng, 0), 0);
    join_set_names(j, false, true, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(join_failure(j), JOIN_NOT_FAILED);
        assert_false(join_next(j, true, join_due(j), &to, &tag));
    }
    assert_int_equal(join_failure(j), JOIN_ROUNDS_FAILED); /* the first and two more */
    join_free(&j);
}

static void without_memory_nothing_changes(void **state)
{
    (void)state;
    struct join *j = NULL;
    struct gossip_addr list[] = {addr(1)}, self = addr(0);
    mem_fail_at(1);
    assert_int_equal(join_init(&j, &config, &rng, 0), ERR_NOMEM);
    mem_fail_at(0);
    assert_null(j);
    j = joiner(2);
    mem_fail_at(1);
    assert_int_equal(join_set_seeds(j, list, 1, &self, 0), ERR_NOMEM);
    mem_fail_at(0);
    assert_int_equal(join_seeds(j), 2);
    join_free(&j);
    struct join_config bad = config;
    bad.backoff_min_ms = 0;
    assert_int_equal(join_init(&j, &bad, &rng, 0), ERR_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_seeds_one_is_joined),
        cmocka_unit_test(our_own_address_is_no_seed),
        cmocka_unit_test(rounds_go_on_with_longer_pauses_for_ever),
        cmocka_unit_test(one_seed_is_tried_at_a_time_and_one_that_never_answers_is_left),
        cmocka_unit_test(once_joined_the_list_is_joined_anew_at_the_interval),
        cmocka_unit_test(with_a_seed_that_does_not_answer_the_next_round_is_sooner),
        cmocka_unit_test(who_finds_itself_alone_does_not_wait_for_the_interval),
        cmocka_unit_test(with_names_that_have_no_address_one_is_not_joined_and_tries_on),
        cmocka_unit_test(the_same_seeds_again_do_not_disturb_a_round),
        cmocka_unit_test(too_few_in_the_first_round_and_too_many_rounds_are_failures),
        cmocka_unit_test(without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
