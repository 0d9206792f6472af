/* Which failures are tried again, when, and until when. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "retry.h"

static const struct retry_policy alloy = {.attempt_ms = 10000,
                                          .min_backoff_ms = 500,
                                          .max_backoff_ms = 300000,
                                          .attempts_max = 10,
                                          .retry_429 = true};
static const struct retry_policy better = {.attempt_ms = 10000,
                                           .min_backoff_ms = 500,
                                           .max_backoff_ms = 300000,
                                           .attempts_max = 10,
                                           .retry_429 = true,
                                           .better_codes = true,
                                           .honour_after = true,
                                           .budget = true};

/* Attempts until the end, when each one fails at once in the same way. */
static uint32_t attempts(const struct retry_policy *p, enum flow_kind kind, struct retry_fault f)
{
    struct retry r;
    struct rng rng;
    mono_ms now = 1000, at = 0;
    rng_seed(&rng, 1);
    retry_init(&r, p, kind, MONO_NEVER);
    for (;;) {
        assert_int_equal(retry_begin(&r, now), now + p->attempt_ms);
        if (retry_failed(&r, &f, now, &rng, &at) != RETRY_AGAIN)
            return r.attempts;
        assert_true(at > now);
        now = at;
    }
}

static uint32_t of_status(const struct retry_policy *p, enum flow_kind kind, unsigned status)
{
    enum rpc_code code = retry_code_of_status(status, p->better_codes);
    return attempts(p, kind, (struct retry_fault){code, status, false, -1});
}

static void the_matrix_of_answers_is_alloys(void **state)
{
    static const struct {
        unsigned status;
        uint32_t ingest, push, push_better;
    } rows[] = {
        {202, 1, 10, 10}, {400, 1, 10, 1}, {401, 1, 1, 1},  {403, 1, 1, 1},   {404, 1, 1, 1},
        {408, 10, 10, 10}, {413, 1, 10, 1}, {422, 1, 10, 1}, {429, 10, 10, 10}, {500, 10, 10, 10},
        {501, 10, 10, 1},  {502, 10, 10, 10}, {503, 10, 10, 10}, {504, 10, 10, 10},
        {599, 10, 10, 10}, {302, 1, 10, 10},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(of_status(&alloy, FLOW_INGEST, rows[i].status), rows[i].ingest);
        assert_int_equal(of_status(&better, FLOW_INGEST, rows[i].status), rows[i].ingest);
        assert_int_equal(of_status(&alloy, FLOW_PUSH, rows[i].status), rows[i].push);
        assert_int_equal(of_status(&better, FLOW_PUSH, rows[i].status), rows[i].push_better);
    }
}

static void the_codes_of_connect_are_alloys(void **state)
{
    static const enum rpc_code again[] = {RPC_DEADLINE_EXCEEDED, RPC_UNKNOWN, RPC_INTERNAL,
                                          RPC_UNAVAILABLE, RPC_DATA_LOSS, RPC_ABORTED,
                                          RPC_RESOURCE_EXHAUSTED};
    (void)state;
    for (int code = RPC_CANCELED; code <= RPC_UNAUTHENTICATED; code++) {
        bool useful = false;
        for (size_t i = 0; i < sizeof again / sizeof *again; i++)
            useful = useful || (int)again[i] == code;
        struct retry_fault f = {(enum rpc_code)code, 0, false, -1};
        assert_int_equal(attempts(&alloy, FLOW_PUSH, f), useful ? 10 : 1);
        assert_int_equal(attempts(&better, FLOW_PUSH, f), useful ? 10 : 1);
    }
}

static void too_many_requests_are_tried_again_only_when_that_is_set(void **state)
{
    struct retry_policy p = alloy;
    (void)state;
    p.retry_429 = false;
    assert_int_equal(of_status(&p, FLOW_INGEST, 429), 1);
    /* A plain 429 is `unavailable` to Connect's clients: Alloy tries it again all the same. */
    assert_int_equal(of_status(&p, FLOW_PUSH, 429), 10);
    p.better_codes = true;
    assert_int_equal(of_status(&p, FLOW_PUSH, 429), 1);
    assert_int_equal(attempts(&p, FLOW_PUSH,
                              (struct retry_fault){RPC_RESOURCE_EXHAUSTED, 429, false, -1}),
                     1);
}

static void a_network_error_and_a_timeout_are_tried_again(void **state)
{
    struct retry_fault network = {RPC_UNAVAILABLE, 0, false, -1};
    struct retry_fault late = {RPC_DEADLINE_EXCEEDED, 0, true, -1};
    struct retry_fault stopped = {RPC_CANCELED, 0, false, -1};
    (void)state;
    assert_int_equal(attempts(&alloy, FLOW_INGEST, network), 10);
    assert_int_equal(attempts(&alloy, FLOW_PUSH, network), 10);
    assert_int_equal(attempts(&alloy, FLOW_INGEST, late), 10);
    assert_int_equal(attempts(&alloy, FLOW_PUSH, late), 10);
    assert_int_equal(attempts(&alloy, FLOW_INGEST, stopped), 1);
}

static void attempts_are_counted_in_all_and_zero_is_no_end(void **state)
{
    struct retry_policy p = alloy;
    struct retry r;
    struct rng rng;
    mono_ms now = 0, at = 0;
    struct retry_fault f = {RPC_UNAVAILABLE, 0, false, -1};
    (void)state;
    p.attempts_max = 1;
    assert_int_equal(attempts(&p, FLOW_PUSH, f), 1);
    p.attempts_max = 0;
    rng_seed(&rng, 7);
    retry_init(&r, &p, FLOW_PUSH, MONO_NEVER);
    for (int i = 0; i < 1000; i++) {
        retry_begin(&r, now);
        assert_int_equal(retry_failed(&r, &f, now, &rng, &at), RETRY_AGAIN);
        assert_true(at - now <= 300000);
        now = at;
    }
}

static void waits_double_and_end_at_the_longest(void **state)
{
    struct rng rng;
    uint64_t sum[11] = {0};
    (void)state;
    rng_seed(&rng, 3);
    for (int n = 0; n < 2000; n++)
        for (uint32_t i = 0; i < 11; i++) {
            uint32_t wait = retry_backoff_ms(i, 500, 300000, &rng);
            uint64_t low = 500ull << i, high = low * 2;
            assert_true(wait >= (low > 300000 ? 300000 : low));
            assert_true(wait <= (high > 300000 ? 300000 : high));
            sum[i] += wait;
        }
    /* Uniform: the mean of the first is 750. */
    assert_in_range(sum[0] / 2000, 740, 760);
    assert_int_equal(retry_backoff_ms(60, 500, 300000, &rng), 300000);
    assert_int_equal(retry_backoff_ms(0, 0, 300000, &rng), 0);
    assert_int_equal(retry_backoff_ms(40, 0, 300000, &rng), 300000);
}

static void retry_after_is_honoured_when_that_is_set(void **state)
{
    struct retry_fault f = {RPC_UNAVAILABLE, 503, false, 20};
    struct retry r;
    struct rng rng;
    mono_ms at = 0;
    (void)state;
    rng_seed(&rng, 1);
    retry_init(&r, &better, FLOW_PUSH, MONO_NEVER);
    retry_begin(&r, 100);
    assert_int_equal(retry_failed(&r, &f, 100, &rng, &at), RETRY_AGAIN);
    assert_int_equal(at, 20100);
    retry_init(&r, &alloy, FLOW_PUSH, MONO_NEVER);
    retry_begin(&r, 100);
    assert_int_equal(retry_failed(&r, &f, 100, &rng, &at), RETRY_AGAIN);
    assert_true(at <= 1100);
    /* Nobody is held for a day. */
    struct retry_fault hostile = {RPC_UNAVAILABLE, 503, false, 86400};
    retry_init(&r, &better, FLOW_PUSH, MONO_NEVER);
    retry_begin(&r, 100);
    assert_int_equal(retry_failed(&r, &hostile, 100, &rng, &at), RETRY_AGAIN);
    assert_int_equal(at, 300100);
    /* It cannot be waited for: the queue takes over. */
    retry_init(&r, &better, FLOW_PUSH, 5000);
    retry_begin(&r, 100);
    assert_int_equal(retry_failed(&r, &f, 100, &rng, &at), RETRY_LATE);
}

static void none_begins_when_the_time_for_tries_is_over(void **state)
{
    const struct retry_fault f = {RPC_UNAVAILABLE, 503, false, -1};
    struct retry_policy p = better;
    struct retry r;
    struct rng rng;
    mono_ms at = 0;
    (void)state;
    rng_seed(&rng, 1);
    p.tries_ms = 5000;
    retry_init(&r, &p, FLOW_PUSH, MONO_NEVER);
    assert_int_equal(retry_begin(&r, 1000), 11000); /* an attempt has all its time */
    assert_int_equal(retry_failed(&r, &f, 1000, &rng, &at), RETRY_AGAIN);
    assert_in_range(at, 1500, 2000);
    (void)retry_begin(&r, at);
    assert_int_equal(retry_failed(&r, &f, 5999, &rng, &at), RETRY_LATE);
}

static void a_deadline_leaves_time_for_another_attempt(void **state)
{
    struct retry_fault late = {RPC_DEADLINE_EXCEEDED, 0, true, -1};
    struct retry r;
    struct rng rng;
    mono_ms at = 0, end;
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        rng_seed(&rng, seed);
        retry_init(&r, &better, FLOW_PUSH, 10000);
        end = retry_begin(&r, 0);
        assert_int_equal(end, 4750);
        assert_int_equal(retry_failed(&r, &late, end, &rng, &at), RETRY_AGAIN);
        assert_true(10000 - at >= 4000);
        assert_true(retry_begin(&r, at) <= 10000);
    }
    for (mono_ms deadline = 1000; deadline < 3000; deadline += 10) { /* short ones too */
        rng_seed(&rng, (uint64_t)deadline);
        retry_init(&r, &better, FLOW_PUSH, deadline);
        end = retry_begin(&r, 0);
        assert_int_equal(retry_failed(&r, &late, end, &rng, &at), RETRY_AGAIN);
        assert_true(deadline - at >= 200);
    }
    /* Alloy gives all of it to the first. */
    retry_init(&r, &alloy, FLOW_PUSH, 10000);
    end = retry_begin(&r, 0);
    assert_int_equal(end, 10000);
    assert_int_equal(retry_failed(&r, &late, end, &rng, &at), RETRY_LATE);
    /* Nothing is divided that is too short for it, or that is long enough for all. */
    retry_init(&r, &better, FLOW_PUSH, 800);
    assert_int_equal(retry_begin(&r, 0), 800);
    retry_init(&r, &better, FLOW_PUSH, 60000);
    assert_int_equal(retry_begin(&r, 0), 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_matrix_of_answers_is_alloys),
        cmocka_unit_test(the_codes_of_connect_are_alloys),
        cmocka_unit_test(too_many_requests_are_tried_again_only_when_that_is_set),
        cmocka_unit_test(a_network_error_and_a_timeout_are_tried_again),
        cmocka_unit_test(attempts_are_counted_in_all_and_zero_is_no_end),
        cmocka_unit_test(waits_double_and_end_at_the_longest),
        cmocka_unit_test(retry_after_is_honoured_when_that_is_set),
        cmocka_unit_test(none_begins_when_the_time_for_tries_is_over),
        cmocka_unit_test(a_deadline_leaves_time_for_another_attempt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
