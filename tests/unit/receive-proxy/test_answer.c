/* What the client hears: a success only when its profile is safe, and else the truth, or what Alloy
 * would say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "answer.h"

static struct flow_result sum(unsigned stored, unsigned synced, unsigned kept, unsigned failed)
{
    struct flow_result r;
    flow_result_init(&r);
    r.stored = stored;
    r.synced = synced;
    r.kept = kept;
    r.failed = failed;
    return r;
}

static struct flow_result faulty(unsigned stored, unsigned failed, enum rpc_code code,
                                 unsigned status)
{
    struct flow_result r = sum(stored, 0, 0, failed);
    for (unsigned i = 0; i < failed; i++)
        flow_result_fault(&r, code, status, 9, STR("why"));
    return r;
}

static bool is_ok(struct flow_result r)
{
    struct flow_answer better, alloy;
    flow_answer(&r, FLOW_INGEST, true, &better);
    flow_answer(&r, FLOW_INGEST, false, &alloy);
    assert_int_equal(better.ok, alloy.ok);
    assert_int_equal(better.ok, better.status == 200);
    return better.ok;
}

static void a_success_means_that_somebody_or_a_disk_has_it(void **state)
{
    struct flow_result dropped = sum(0, 0, 0, 0);
    (void)state;
    assert_true(is_ok(sum(1, 0, 0, 0)));
    assert_true(is_ok(sum(0, 1, 0, 0)));
    assert_true(is_ok(sum(1, 0, 1, 0)));
    assert_true(is_ok(sum(0, 1, 1, 0)));
    assert_true(is_ok(sum(0, 0, 0, 0))); /* nobody to send to */
    dropped.dropped = 1;
    assert_true(is_ok(dropped));
    assert_false(is_ok(sum(0, 0, 1, 0))); /* in memory alone */
    assert_false(is_ok(sum(1, 0, 0, 1)));
    assert_false(is_ok(sum(0, 0, 0, 1)));
}

static void a_refusal_is_passed_on_and_not_made_retryable(void **state)
{
    struct flow_result r = faulty(0, 1, RPC_INVALID_ARGUMENT, 422);
    struct flow_answer a;
    (void)state;
    flow_answer(&r, FLOW_INGEST, true, &a);
    assert_int_equal(a.status, 422);
    assert_int_equal(a.retry_after_s, 9);
    assert_string_equal(a.message, "why");
    flow_answer(&r, FLOW_PUSH, true, &a);
    assert_int_equal(a.code, RPC_INVALID_ARGUMENT);
    r = faulty(0, 2, RPC_RESOURCE_EXHAUSTED, 0);
    flow_answer(&r, FLOW_PUSH, true, &a);
    assert_int_equal(a.code, RPC_RESOURCE_EXHAUSTED);
    assert_int_equal(a.status, 429);
    r = faulty(0, 1, RPC_DEADLINE_EXCEEDED, 0);
    flow_answer(&r, FLOW_INGEST, true, &a);
    assert_int_equal(a.status, 504);
}

static void a_status_that_all_have_is_passed_on(void **state)
{
    struct flow_result r = faulty(0, 1, RPC_INVALID_ARGUMENT, 422),
                       same = faulty(0, 1, RPC_INVALID_ARGUMENT, 422),
                       other = faulty(0, 1, RPC_INVALID_ARGUMENT, 413);
    struct flow_answer a;
    (void)state;
    flow_result_add(&r, &same);
    flow_answer(&r, FLOW_INGEST, true, &a);
    assert_int_equal(a.status, 422);
    flow_result_fault(&r, RPC_INVALID_ARGUMENT, 422, -1, STR("why"));
    flow_answer(&r, FLOW_INGEST, true, &a);
    assert_int_equal(a.status, 422);
    flow_result_add(&same, &other); /* one code, two statuses */
    flow_answer(&same, FLOW_INGEST, true, &a);
    assert_int_equal(a.status, 400);
    flow_result_fault(&r, RPC_INVALID_ARGUMENT, 0, -1, STR("why"));
    flow_answer(&r, FLOW_INGEST, true, &a);
    assert_int_equal(a.status, 400);
}

static void faults_of_several_kinds_are_unavailable(void **state)
{
    struct flow_result r = faulty(0, 1, RPC_INVALID_ARGUMENT, 400);
    struct flow_answer a;
    (void)state;
    r.failed++;
    flow_result_fault(&r, RPC_DEADLINE_EXCEEDED, 0, -1, STR("late"));
    flow_answer(&r, FLOW_INGEST, true, &a);
    assert_int_equal(a.code, RPC_UNAVAILABLE);
    assert_int_equal(a.status, 503);
}

static void an_answer_that_is_no_failure_there_is_one_here(void **state)
{
    struct flow_result r = faulty(0, 1, RPC_UNKNOWN, 302);
    struct flow_answer a;
    (void)state;
    flow_answer(&r, FLOW_INGEST, true, &a);
    assert_int_equal(a.status, 500);
    flow_answer(&r, FLOW_INGEST, false, &a);
    assert_int_equal(a.status, 302); /* Alloy's way */
}

static void alloys_answers_are_alloys(void **state)
{
    struct flow_result r = faulty(1, 1, RPC_INVALID_ARGUMENT, 400);
    struct flow_answer a;
    (void)state;
    flow_answer(&r, FLOW_PUSH, false, &a);
    assert_false(a.ok);
    assert_int_equal(a.code, RPC_INTERNAL);
    assert_int_equal(a.retry_after_s, -1);
    assert_string_equal(a.message, "why");
    flow_answer(&r, FLOW_INGEST, false, &a);
    assert_int_equal(a.status, 400);
    assert_string_equal(a.message, "Bad Request");
    r = faulty(0, 1, RPC_INVALID_ARGUMENT, 422);
    flow_answer(&r, FLOW_INGEST, false, &a);
    assert_int_equal(a.status, 422);
    assert_string_equal(a.message, "Unprocessable Entity");
    r = faulty(0, 1, RPC_UNKNOWN, 202); /* no success there, and told as it is */
    flow_answer(&r, FLOW_INGEST, false, &a);
    assert_int_equal(a.status, 202);
    assert_string_equal(a.message, "Accepted");
    r = faulty(0, 1, RPC_UNAVAILABLE, 0);
    flow_answer(&r, FLOW_INGEST, false, &a);
    assert_int_equal(a.status, 500);
    assert_string_equal(a.message, "Failed to process request");
}

static void the_series_of_a_push_are_summed_up(void **state)
{
    struct flow_result good = sum(1, 0, 0, 0), bad = faulty(0, 1, RPC_INVALID_ARGUMENT, 400),
                       late = faulty(0, 1, RPC_DEADLINE_EXCEEDED, 0);
    struct flow_answer all, one;
    (void)state;
    flow_answer(&good, FLOW_PUSH, true, &all);
    flow_answer(&bad, FLOW_PUSH, true, &one);
    flow_answer_add(&all, &one);
    assert_false(all.ok);
    assert_int_equal(all.code, RPC_INVALID_ARGUMENT);
    flow_answer(&good, FLOW_PUSH, true, &one);
    flow_answer_add(&all, &one);
    assert_false(all.ok);
    flow_answer(&late, FLOW_PUSH, true, &one);
    flow_answer_add(&all, &one);
    assert_int_equal(all.code, RPC_UNAVAILABLE);
    assert_int_equal(all.status, 503);
    assert_string_equal(all.message, "why; why");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_success_means_that_somebody_or_a_disk_has_it),
        cmocka_unit_test(a_refusal_is_passed_on_and_not_made_retryable),
        cmocka_unit_test(a_status_that_all_have_is_passed_on),
        cmocka_unit_test(faults_of_several_kinds_are_unavailable),
        cmocka_unit_test(an_answer_that_is_no_failure_there_is_one_here),
        cmocka_unit_test(alloys_answers_are_alloys),
        cmocka_unit_test(the_series_of_a_push_are_summed_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
