/* Labels are checked, completed and written as Alloy does it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "labelset.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"

#define L(n, v) {STR_INIT(n), STR_INIT(v)}

static int set_up(void **state)
{
    struct arena *a = NULL;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    *state = a;
    return 0;
}

static int tear_down(void **state)
{
    struct arena *a = *state;
    arena_free(&a);
    return 0;
}

static const char *text(struct labels set)
{
    static char out[512];
    struct buf b = {0};
    labels_print(set, &b);
    snprintf(out, sizeof out, "%.*s", STR_ARG(buf_view(&b)));
    buf_reset(&b);
    return out;
}

static void a_name_becomes_labels_with_a_service(void **state)
{
    struct labels set;
    assert_int_equal(labelset_of_name(STR("app"), *state, &set, NULL), 0);
    assert_string_equal(text(set), "{__name__=\"app\", service_name=\"app\"}");
    assert_int_equal(labelset_of_name(STR("a/b.cpu{x=1, y.z = 2 ,empty=}"), *state, &set, NULL), 0);
    assert_string_equal(
        text(set), "{__name__=\"a/b.cpu\", service_name=\"a/b.cpu\", x=\"1\", \"y.z\"=\"2\"}");
    assert_int_equal(labelset_of_name(STR("app{service_name=svc}"), *state, &set, NULL), 0);
    assert_string_equal(text(set),
                        "{__name__=\"app\", app_name=\"app\", service_name=\"svc\"}");
    /* What Alloy forgives, and what it does not. */
    assert_int_equal(labelset_of_name(STR("app{junk}"), *state, &set, NULL), 0);
    assert_int_equal(set.count, 2);
    struct err err = {0};
    assert_int_equal(labelset_of_name(STR("app{junk,a=b}"), *state, &set, &err), ERR_INVAL);
    assert_int_equal(labelset_of_name(STR(""), *state, &set, &err), ERR_INVAL);
    assert_string_equal(err.msg, "service name is required");
}

static void a_series_keeps_its_labels_unless_alloys_rule_is_asked_for(void **state)
{
    const struct label items[] = {L("b", "1"), L("__name__", "process_cpu"), L("b", "2"),
                                  L("gone", ""), L("service_name", "svc")};
    struct labels set;
    assert_int_equal(labelset_of_series(items, 5, false, *state, &set), 0);
    assert_string_equal(text(set),
                        "{__name__=\"process_cpu\", b=\"2\", service_name=\"svc\"}");
    assert_int_equal(labelset_of_series(items, 5, true, *state, &set), 0);
    assert_string_equal(text(set), "{__name__=\"process_cpu\", app_name=\"process_cpu\", "
                                   "b=\"2\", service_name=\"svc\"}");
    assert_int_equal(labelset_of_series(items, 4, true, *state, &set), 0);
    assert_string_equal(text(set), "{__name__=\"process_cpu\", b=\"2\", "
                                   "service_name=\"process_cpu\"}");
}

static void a_client_may_send_any_number_of_labels_and_costs_no_minutes(void **state)
{
    enum { COUNT = 300000, WIDTH = 8 };
    char *names = mem_alloc(COUNT * WIDTH);
    struct label *items = mem_calloc(COUNT, sizeof *items);
    struct labels set;
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(names + i * WIDTH, WIDTH, "%07zu", COUNT - i % (COUNT / 2));
        items[i] = (struct label){str_of(names + i * WIDTH, WIDTH - 1),
                                  i < COUNT / 2 ? STR("first") : STR("last")};
    }
    mono_ms began = clock_mono_ms();
    assert_int_equal(labelset_of_series(items, COUNT, false, *state, &set), 0);
    assert_int_equal(labelset_check(set.items, set.count, NULL), 0);
    assert_true(clock_mono_ms() - began < 20000); /* each against each: a minute and more */
    assert_int_equal(set.count, COUNT / 2);
    assert_true(str_eq(set.items[0].value, STR("last")));
    mem_free(items);
    mem_free(names);
}

static void bad_labels_are_named(void **state)
{
    const struct label good[] = {L("__name__", "x"), L("a.b_C9", "\xc3\xa4"), L("0", "")};
    const struct label name[] = {L("a-b", "x")};
    const struct label none[] = {L("", "x")};
    const struct label value[] = {L("a", "\xff")};
    const struct label doubles[] = {L("a", "1"), L("b", "1"), L("a", "2")};
    struct err err = {0};
    (void)state;
    assert_int_equal(labelset_check(good, 3, &err), 0);
    assert_int_equal(labelset_check(good, 0, &err), ERR_INVAL);
    assert_int_equal(labelset_check(name, 1, &err), ERR_INVAL);
    assert_string_equal(err.msg, "invalid labels in profile: bad label name \"a-b\"");
    assert_int_equal(labelset_check(none, 1, &err), ERR_INVAL);
    assert_int_equal(labelset_check(value, 1, &err), ERR_INVAL);
    assert_int_equal(labelset_check(doubles, 3, &err), ERR_INVAL);
    assert_string_equal(err.msg, "invalid labels in profile: a is there twice");
}

static void a_push_loses_private_labels_and_gains_external_ones(void **state)
{
    const struct label items[] = {L("__name__", "cpu"), L("__delta__", "false"),
                                  L("__meta_x", "1"), L("__session_id__", "s"), L("zone", "a"),
                                  L("a", "b")};
    const struct alloy_pair pairs[] = {{STR_INIT("zone"), STR_INIT("z")},
                                       {STR_INIT("cluster"), STR_INIT("c")},
                                       {STR_INIT("a"), STR_INIT("")}};
    struct alloy_map external = {.count = 3, .items = pairs};
    struct labels set;
    assert_int_equal(labelset_push(items, 6, &external, *state, &set), 0);
    assert_string_equal(text(set), "{__delta__=\"false\", __name__=\"cpu\", cluster=\"c\", "
                                   "zone=\"z\"}");
}

static void an_ingest_is_named_after_its_service(void **state)
{
    const struct label items[] = {L("__name__", "app"), L("__session_id__", "s"),
                                  L("service_name", "svc"), L("b", "1"), L("a", "2")};
    struct alloy_map none = {0};
    struct labels set;
    struct buf name = {0};
    assert_int_equal(labelset_ingest(items, 5, &none, *state, &set), 0);
    labelset_put_name(set, &name);
    assert_true(str_eq(buf_view(&name), STR("svc{__session_id__=s,a=2,b=1,service_name=svc}")));
    buf_clear(&name);
    assert_int_equal(labelset_of_name(STR("app"), *state, &set, NULL), 0);
    labelset_put_name(set, &name);
    assert_true(str_eq(buf_view(&name), STR("app{service_name=app}")));
    buf_reset(&name);
}

static void running_out_of_memory_is_an_error(void **state)
{
    const struct label items[] = {L("__name__", "app"), L("b", "1")};
    struct alloy_map none = {0};
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct arena *a = NULL;
        struct labels set;
        assert_int_equal(arena_init(&a, 64, NULL), 0);
        mem_fail_at(n);
        int rc = labelset_of_name(STR("app{a=1,b=2,c=3}"), a, &set, NULL);
        rc = rc == 0 ? labelset_of_series(items, 2, true, a, &set) : rc;
        rc = rc == 0 ? labelset_push(items, 2, &none, a, &set) : rc;
        rc = rc == 0 ? labelset_ingest(items, 2, &none, a, &set) : rc;
        bool over = mem_fail_pending();
        mem_fail_at(0);
        arena_free(&a);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_becomes_labels_with_a_service, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_series_keeps_its_labels_unless_alloys_rule_is_asked_for,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_client_may_send_any_number_of_labels_and_costs_no_minutes, set_up, tear_down),
        cmocka_unit_test(bad_labels_are_named),
        cmocka_unit_test_setup_teardown(a_push_loses_private_labels_and_gains_external_ones,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_ingest_is_named_after_its_service, set_up, tear_down),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
