/* Label sets have one order, one identity, and the private labels that clients look for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/labels.h"

#include "base/mem.h"
#include "profile/form.h"
#include "wire/hash.h"

static struct str printed(struct labels set, struct buf *b)
{
    buf_clear(b);
    labels_print(set, b);
    return buf_view(b);
}

#define ASSERT_STR(s, lit)                                                                     \
    do {                                                                                       \
        struct str got_ = (s);                                                                 \
        assert_int_equal(got_.len, sizeof(lit) - 1);                                           \
        assert_memory_equal(got_.data, lit, sizeof(lit) - 1);                                  \
    } while (0)

static const struct form_pair pairs[] = {
    {STR_INIT("env"), STR_INIT("prod")},
    {STR_INIT("service_name"), STR_INIT("shop")},
};

static const struct form_member cpu = {
    .type = STR_INIT("cpu"),
    .unit = STR_INIT("nanoseconds"),
    .period_type = STR_INIT("cpu"),
    .period_unit = STR_INIT("nanoseconds"),
    .name = STR_INIT("process_cpu"),
};

static void a_series_has_the_private_labels_of_its_sample_type(void **state)
{
    (void)state;
    struct arena *a = NULL;
    struct buf b = {0};
    struct labels set;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(labels_of_series(pairs, 2, &cpu, a, &set), 0);
    ASSERT_STR(printed(set, &b),
               "{__name__=\"process_cpu\", __period_type__=\"cpu\", "
               "__period_unit__=\"nanoseconds\", "
               "__profile_type__=\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\", "
               "__service_name__=\"shop\", __type__=\"cpu\", __unit__=\"nanoseconds\", "
               "env=\"prod\", service_name=\"shop\"}");
    buf_reset(&b);
    arena_free(&a);
}

static void private_labels_without_value_are_absent_but_their_colons_stay(void **state)
{
    (void)state;
    struct arena *a = NULL;
    struct buf b = {0};
    struct labels set;
    struct form_member m = {
        .type = STR("samples"), .unit = STR("bytes"), .name = STR("memory")};
    struct form_pair odd[] = {
        {STR("__type__"), STR("forged")}, {STR("a"), STR("")}, {STR("Z"), STR("1")}};
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(labels_of_series(odd, 3, &m, a, &set), 0);
    ASSERT_STR(printed(set, &b), "{Z=\"1\", __name__=\"memory\", "
                                 "__profile_type__=\"memory:samples:bytes::\", "
                                 "__type__=\"samples\", __unit__=\"bytes\"}");
    buf_reset(&b);
    arena_free(&a);
}

static void sets_are_ordered_by_name_then_value_then_length(void **state)
{
    (void)state;
    struct label ab[] = {{STR("a"), STR("1")}, {STR("b"), STR("1")}};
    struct label ac[] = {{STR("a"), STR("1")}, {STR("c"), STR("0")}};
    struct label a2[] = {{STR("a"), STR("2")}};
    struct label high[] = {{STR("a\xff"), STR("0")}};
    assert_true(labels_cmp((struct labels){ab, 1}, (struct labels){ab, 2}) < 0);
    assert_true(labels_cmp((struct labels){ab, 2}, (struct labels){ac, 2}) < 0);
    assert_true(labels_cmp((struct labels){ac, 2}, (struct labels){a2, 1}) < 0);
    assert_true(labels_cmp((struct labels){a2, 1}, (struct labels){high, 1}) < 0);
    assert_int_equal(labels_cmp((struct labels){ab, 2}, (struct labels){ab, 2}), 0);
    struct label mixed[] = {
        {STR("b"), STR("")}, {STR("a\xff"), STR("")}, {STR(""), STR("")}, {STR("a"), STR("")}};
    labels_sort(mixed, 4);
    ASSERT_STR(mixed[0].name, "");
    ASSERT_STR(mixed[1].name, "a");
    ASSERT_STR(mixed[2].name, "a\xff");
    ASSERT_STR(mixed[3].name, "b");
}

static void a_missing_label_reads_as_empty_and_a_set_is_reduced_to_names(void **state)
{
    (void)state;
    struct arena *a = NULL;
    struct labels set, kept, copy;
    struct buf b = {0};
    struct str names[] = {STR("service_name"), STR("nosuch"), STR("__unit__")};
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(labels_of_series(pairs, 2, &cpu, a, &set), 0);
    ASSERT_STR(labels_get(set, STR("env")), "prod");
    ASSERT_STR(labels_get(set, STR("nosuch")), "");
    assert_int_equal(labels_keep(set, names, 3, a, &kept), 0);
    assert_int_equal(labels_dup(kept, a, &copy), 0);
    ASSERT_STR(printed(copy, &b), "{__unit__=\"nanoseconds\", service_name=\"shop\"}");
    assert_ptr_not_equal(copy.items[1].value.data, kept.items[1].value.data);
    assert_true(labels_hash(copy) == labels_hash(kept));
    assert_true(labels_hash(set) != labels_hash(kept));
    buf_reset(&b);
    arena_free(&a);
}

static void printing_escapes_what_would_break_the_quotes(void **state)
{
    (void)state;
    struct buf b = {0};
    struct label odd[] = {{STR("a.b"), STR("x\"y\\z\n")}};
    ASSERT_STR(printed((struct labels){odd, 1}, &b), "{\"a.b\"=\"x\\\"y\\\\z\\n\"}");
    buf_reset(&b);
}

static void a_profile_type_has_five_parts_or_a_sixth_that_says_delta(void **state)
{
    (void)state;
    struct profile_type t;
    struct buf b = {0};
    struct err e = {0};
    assert_int_equal(
        profile_type_parse(STR("memory:alloc_space:bytes:space:bytes:delta"), &t, &e), 0);
    ASSERT_STR(t.name, "memory");
    ASSERT_STR(t.sample_type, "alloc_space");
    ASSERT_STR(t.sample_unit, "bytes");
    ASSERT_STR(t.period_type, "space");
    ASSERT_STR(t.period_unit, "bytes");
    profile_type_print(&t, &b);
    ASSERT_STR(buf_view(&b), "memory:alloc_space:bytes:space:bytes");
    assert_int_equal(profile_type_parse(STR("memory:samples:bytes::"), &t, &e), 0);
    assert_int_equal(t.period_unit.len, 0);
    static const char *const bad[] = {
        "", "a", "a:b:c:d", "a:b:c:d:e:f", "a:b:c:d:e:delta:", "a:b:c:d:e:delta:x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(profile_type_parse(str_c(bad[i]), &t, &e), ERR_PARSE);
    buf_reset(&b);
}

static void legacy_names_are_what_prometheus_2_allowed(void **state)
{
    (void)state;
    assert_true(label_name_is_legacy(STR("_a9Z")));
    assert_true(label_name_is_legacy(STR("__name__")));
    assert_false(label_name_is_legacy(STR("")));
    assert_false(label_name_is_legacy(STR("9a")));
    assert_false(label_name_is_legacy(STR("a.b")));
    assert_false(label_name_is_legacy(STR("a-b")));
    assert_false(label_name_is_legacy(STR("\xc3\xa9")));
}

static void a_fingerprint_is_xxh64_over_names_and_values_closed_by_0xff(void **state)
{
    (void)state;
    struct label items[] = {{STR("a"), STR("1")}, {STR("bb"), STR("22")}};
    assert_true(labels_fingerprint((struct labels){items, 2}) ==
                hash_xxh64(STR("a\xff"
                               "1\xff"
                               "bb\xff"
                               "22\xff"),
                           0));
    /* The published value of XXH64 with seed 0 for no bytes. */
    assert_true(labels_fingerprint((struct labels){0}) == UINT64_C(0xef46db3751d8e999));
}

static void running_out_of_memory_is_an_error_everywhere(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct arena *a = NULL;
        struct labels set = {0}, copy = {0};
        struct str name = STR("env");
        mem_fail_at(n);
        int rc = arena_init(&a, 16, NULL);
        if (rc == 0)
            rc = labels_of_series(pairs, 2, &cpu, a, &set);
        if (rc == 0)
            rc = labels_dup(set, a, &copy);
        if (rc == 0)
            rc = labels_keep(set, &name, 1, a, &copy);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, pending ? 0 : ERR_NOMEM);
        arena_free(&a);
        if (pending)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_series_has_the_private_labels_of_its_sample_type),
        cmocka_unit_test(private_labels_without_value_are_absent_but_their_colons_stay),
        cmocka_unit_test(sets_are_ordered_by_name_then_value_then_length),
        cmocka_unit_test(a_missing_label_reads_as_empty_and_a_set_is_reduced_to_names),
        cmocka_unit_test(printing_escapes_what_would_break_the_quotes),
        cmocka_unit_test(a_profile_type_has_five_parts_or_a_sixth_that_says_delta),
        cmocka_unit_test(legacy_names_are_what_prometheus_2_allowed),
        cmocka_unit_test(a_fingerprint_is_xxh64_over_names_and_values_closed_by_0xff),
        cmocka_unit_test(running_out_of_memory_is_an_error_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
