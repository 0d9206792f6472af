/* Results add up whatever their order, and an item reaches every receiver of a list. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "flow.h"

#include <string.h>

#include "base/mem.h"

struct fake {
    struct receiver receiver; /* first */
    unsigned got, freed;
    bool later;
    struct flow_result result;
    flow_done_fn done;
    void *arg;
};

static void fake_append(struct receiver *r, const struct flow_thread *t,
                        const struct flow_item *item, flow_done_fn done, void *arg)
{
    struct fake *f = (struct fake *)r;
    (void)t;
    (void)item;
    f->got++;
    f->done = done;
    f->arg = arg;
    if (!f->later)
        done(arg, &f->result);
}

static void fake_free(struct receiver *r)
{
    ((struct fake *)r)->freed++;
}

static const struct receiver_ops fake_ops = {.append = fake_append, .free = fake_free};

static void fake_init(struct fake *f, bool later)
{
    memset(f, 0, sizeof *f);
    receiver_prepare(&f->receiver, &fake_ops);
    flow_result_init(&f->result);
    f->later = later;
}

struct seen {
    unsigned count;
    struct flow_result result;
};

static void on_done(void *arg, const struct flow_result *r)
{
    struct seen *s = arg;
    s->count++;
    s->result = *r;
}

static void an_item_reaches_all_and_the_sum_is_reported_once(void **state)
{
    struct fake f[3];
    struct receiver *list[3];
    struct flow_list *l = NULL;
    struct flow_item item = {.kind = FLOW_INGEST, .deadline = MONO_NEVER};
    struct seen seen = {0};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        fake_init(&f[i], i != 1);
        list[i] = &f[i].receiver;
    }
    f[0].result.stored = 1;
    f[1].result.failed = 1;
    flow_result_fault(&f[1].result, RPC_INVALID_ARGUMENT, 422, -1, STR("no"));
    f[2].result.stored = 2;
    assert_int_equal(flow_list_init(&l, list, 3), 0);
    assert_int_equal(flow_list_count(l), 3);
    flow_send(l, NULL, &item, on_done, &seen);
    assert_int_equal(seen.count, 0);
    /* The configuration is replaced meanwhile: the receivers live until they have answered. */
    flow_list_release(l);
    for (size_t i = 0; i < 3; i++)
        receiver_release(&f[i].receiver);
    assert_int_equal(f[0].freed + f[1].freed + f[2].freed, 0);
    f[2].done(f[2].arg, &f[2].result);
    assert_int_equal(seen.count, 0);
    f[0].done(f[0].arg, &f[0].result);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.result.stored, 3);
    assert_int_equal(seen.result.failed, 1);
    assert_int_equal(seen.result.code, RPC_INVALID_ARGUMENT);
    assert_int_equal(seen.result.status, 422);
    assert_string_equal(seen.result.message, "no");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f[i].got, 1);
        assert_int_equal(f[i].freed, 1);
    }
}

static void nobody_to_send_to_is_a_success_with_nothing_stored(void **state)
{
    struct flow_list *l = NULL;
    struct flow_item item = {.kind = FLOW_PUSH, .deadline = MONO_NEVER};
    struct seen seen = {0};
    (void)state;
    assert_int_equal(flow_list_init(&l, NULL, 0), 0);
    flow_send(l, NULL, &item, on_done, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.result.stored + seen.result.failed, 0);
    flow_list_release(l);
}

static void without_memory_every_receiver_counts_as_failed(void **state)
{
    struct fake f;
    struct receiver *one = &f.receiver;
    struct flow_list *l = NULL;
    struct flow_item item = {.kind = FLOW_PUSH, .deadline = MONO_NEVER};
    struct seen seen = {0};
    (void)state;
    fake_init(&f, false);
    mem_fail_at(1);
    assert_int_equal(flow_list_init(&l, &one, 1), ERR_NOMEM);
    assert_null(l);
    assert_int_equal(flow_list_init(&l, &one, 1), 0);
    mem_fail_at(1);
    flow_send(l, NULL, &item, on_done, &seen);
    assert_int_equal(f.got, 0);
    assert_int_equal(seen.result.failed, 1);
    assert_int_equal(seen.result.code, RPC_UNAVAILABLE);
    flow_list_release(l);
    receiver_release(one);
}

static void codes_that_differ_are_unavailable_and_the_longest_wait_wins(void **state)
{
    struct flow_result a, b, none;
    (void)state;
    flow_result_init(&a);
    flow_result_init(&b);
    flow_result_init(&none);
    flow_result_fault(&a, RPC_RESOURCE_EXHAUSTED, 429, 3, STR("a"));
    flow_result_fault(&a, RPC_RESOURCE_EXHAUSTED, 0, 7, STR("b"));
    assert_int_equal(a.code, RPC_RESOURCE_EXHAUSTED);
    assert_int_equal(a.faults, 2);
    assert_int_equal(a.retry_after_s, 7);
    assert_int_equal(a.status, 429);
    flow_result_add(&a, &none);
    assert_int_equal(a.code, RPC_RESOURCE_EXHAUSTED);
    flow_result_fault(&b, RPC_INVALID_ARGUMENT, 400, -1, STR("c"));
    flow_result_add(&a, &b);
    assert_int_equal(a.code, RPC_UNAVAILABLE);
    assert_string_equal(a.message, "a; b; c");
}

static void a_long_text_is_cut_between_characters(void **state)
{
    struct flow_result r;
    char text[FLOW_MESSAGE_MAX + 10];
    (void)state;
    flow_result_init(&r);
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    flow_result_fault(&r, RPC_UNKNOWN, 0, -1, str_of(text, sizeof text - sizeof text % 2));
    assert_true(strlen(r.message) < FLOW_MESSAGE_MAX);
    assert_true(str_is_utf8(str_c(r.message)));
    size_t before = strlen(r.message);
    flow_result_fault(&r, RPC_UNKNOWN, 0, -1, STR("more"));
    assert_true(strlen(r.message) <= before + 2);
    assert_true(strlen(r.message) < FLOW_MESSAGE_MAX);
}

static void bytes_and_profiles_of_both_kinds_are_counted(void **state)
{
    const struct flow_sample samples[] = {{STR_INIT("abc"), STR_INIT("1")},
                                          {STR_INIT("de"), STR_INIT("")}};
    struct flow_item push = {.kind = FLOW_PUSH, .samples = samples, .sample_count = 2};
    struct flow_item ingest = {.kind = FLOW_INGEST, .body = STR("12345678")};
    (void)state;
    assert_int_equal(flow_item_bytes(&push), 5);
    assert_int_equal(flow_item_profiles(&push), 2);
    assert_int_equal(flow_item_bytes(&ingest), 8);
    assert_int_equal(flow_item_profiles(&ingest), 1);
}

static void hurry(void *arg)
{
    (*(unsigned *)arg)++;
}

static void in_a_hurry_nobody_waits_any_more(void **state)
{
    struct flow_thread t;
    unsigned hurried = 0;
    struct flow_wait a = {.hurry = hurry, .arg = &hurried}, b = a, c = a;
    (void)state;
    mem_fail_at(1);
    assert_int_equal(flow_thread_init(&t, NULL, NULL, 3), ERR_NOMEM);
    assert_int_equal(flow_thread_init(&t, NULL, NULL, 3), 0);
    assert_true(flow_wait_begin(&t, &a));
    assert_true(flow_wait_begin(&t, &b));
    flow_wait_end(&b);
    flow_thread_hurry(&t);
    assert_int_equal(hurried, 1);
    assert_false(flow_wait_begin(&t, &c));
    flow_thread_reset(&t);
    assert_null(t.waits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_reaches_all_and_the_sum_is_reported_once),
        cmocka_unit_test(nobody_to_send_to_is_a_success_with_nothing_stored),
        cmocka_unit_test(without_memory_every_receiver_counts_as_failed),
        cmocka_unit_test(codes_that_differ_are_unavailable_and_the_longest_wait_wins),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
        cmocka_unit_test(bytes_and_profiles_of_both_kinds_are_counted),
        cmocka_unit_test(in_a_hurry_nobody_waits_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
