/* Names, types, label sets, stacks and statistics of what a view has. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "profile/pprof_out.h"
#include "profile/selector.h"
#include "store/query.h"

#include "../../lib/memdisk.h"
#include "../../lib/storekit.h"

struct fixture {
    struct memdisk *disk;
    struct store *s;
    struct view *v;
    struct arena *a;
    unsigned forgotten;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){.disk = memdisk_new()};
    struct store_config c = kit_config("/d", &f->forgotten);
    assert_int_equal(store_open(&f->s, &c, memdisk_io(f->disk), NULL), 0);
    for (unsigned i = 0; i < 12; i++) {
        struct kit_profile p = {.service = i % 2 == 0 ? "web" : "api",
                                .label = i % 3 == 0 ? NULL : i % 3 == 1 ? "x" : "y",
                                .members = 1 + i % 2,
                                .time_ns = 1000000000ll * (i + 1),
                                .nonce = i,
                                .writer = 1,
                                .seq = i + 1,
                                .stack_seed = i,
                                .samples = 10};
        assert_int_equal(kit_push(f->s, "t", &p, 1, NULL), 0);
    }
    assert_int_equal(store_view(f->s, STR("t"), &f->v), 0);
    assert_int_equal(arena_init(&f->a, 0, NULL), 0);
}

static void teardown(struct fixture *f)
{
    arena_free(&f->a);
    view_free(&f->v);
    assert_int_equal(store_close(&f->s), 0);
    memdisk_free(&f->disk);
}

static void expect(const struct str *got, size_t count, const char *const *want, size_t n)
{
    assert_int_equal(count, n);
    for (size_t i = 0; i < n; i++)
        assert_true(str_eq(got[i], str_c(want[i])));
}

static void names_and_values_are_those_in_range_sorted_and_once(void **state)
{
    (void)state;
    struct fixture f;
    struct str *got;
    size_t count;
    setup(&f);
    struct query_ask all = {.end_ns = INT64_MAX};
    static const char *const names[] = {
        "__name__", "__period_type__", "__period_unit__", "__profile_type__",
        "__service_name__", "__type__", "__unit__", "l", "service_name"};
    assert_int_equal(query_label_names(f.v, &all, f.a, &got, &count), 0);
    expect(got, count, names, 9);
    static const char *const services[] = {"api", "web"};
    assert_int_equal(query_label_values(f.v, &all, STR("service_name"), f.a, &got, &count), 0);
    expect(got, count, services, 2);
    assert_int_equal(query_label_values(f.v, &all, STR("__service_name__"), f.a, &got, &count), 0);
    expect(got, count, services, 2);
    static const char *const types[] = {"kit:a:count:cpu:nanoseconds",
                                        "kit:b:count:cpu:nanoseconds"};
    assert_int_equal(query_profile_types(f.v, &all, f.a, &got, &count), 0);
    expect(got, count, types, 2);
    struct query_ask first = {.end_ns = 1000000000}; /* the first profile alone: no label l */
    assert_int_equal(query_label_names(f.v, &first, f.a, &got, &count), 0);
    assert_int_equal(count, 8);
    assert_int_equal(query_profile_types(f.v, &first, f.a, &got, &count), 0);
    expect(got, count, types, 1);
    struct query_ask none = {.end_ns = 999999999};
    assert_int_equal(query_label_names(f.v, &none, f.a, &got, &count), 0);
    assert_int_equal(count, 0);
    teardown(&f);
}

static void series_are_reduced_and_matched(void **state)
{
    (void)state;
    struct fixture f;
    struct labels *sets;
    struct selectors two = {0};
    const struct str texts[] = {STR("{l=\"x\"}"), STR("{service_name=\"web\",l=\"\"}")};
    const struct str by[] = {STR("l"), STR("service_name")};
    size_t count;
    setup(&f);
    struct query_ask ask = {.end_ns = INT64_MAX};
    assert_int_equal(query_series(f.v, &ask, NULL, 0, f.a, &sets, &count), 0);
    assert_int_equal(count, 9); /* 3 of web with one type, 3 of api with two */
    assert_int_equal(selectors_parse(&two, texts, 2, NULL), 0);
    ask.selectors = &two;
    assert_int_equal(query_series(f.v, &ask, by, 2, f.a, &sets, &count), 0);
    assert_int_equal(count, 3);
    assert_true(str_eq(labels_get(sets[0], STR("l")), STR("x")));
    assert_true(str_eq(labels_get(sets[0], STR("service_name")), STR("api")));
    assert_true(str_eq(labels_get(sets[2], STR("service_name")), STR("web")));
    assert_int_equal(sets[2].count, 1);
    selectors_reset(&two);
    teardown(&f);
}

static void stacks_have_every_value_once(void **state)
{
    (void)state;
    struct fixture f;
    struct pprof_out *out = NULL, *again = NULL;
    struct query *q = NULL;
    struct buf a = {0}, b = {0};
    const struct pprof_head head = {.type = STR("a"), .unit = STR("count")};
    setup(&f);
    struct query_ask ask = {.profile_type = kit_type(0), .end_ns = INT64_MAX};
    assert_int_equal(pprof_out_init(&out, NULL), 0);
    assert_int_equal(query_plan(&q, f.v, &ask, NULL), 0);
    assert_int_equal(query_cost(q).profiles, 12);
    assert_int_equal(query_pprof(q, out, NULL), 0);
    assert_true(pprof_out_count(out) > 20);
    assert_int_equal(pprof_out_emit(out, &head, &a), 0);
    assert_int_equal(pprof_out_init(&again, NULL), 0); /* merging what was emitted gives it back */
    assert_int_equal(pprof_out_merge(again, buf_view(&a), NULL), 0);
    assert_int_equal(pprof_out_emit(again, &head, &b), 0);
    assert_true(str_eq(buf_view(&a), buf_view(&b)));
    _Atomic(bool) stop = true;
    assert_int_equal(query_pprof(q, out, &stop), ERR_CANCELED);
    query_free(&q);
    pprof_out_free(&out);
    pprof_out_free(&again);
    buf_reset(&a);
    buf_reset(&b);
    teardown(&f);
}

static void statistics_give_the_oldest_and_the_newest(void **state)
{
    (void)state;
    struct fixture f;
    bool any;
    int64_t oldest, newest;
    struct view *v;
    setup(&f);
    query_stats(f.v, &any, &oldest, &newest);
    assert_true(any);
    assert_int_equal(oldest, 1000);
    assert_int_equal(newest, 12000);
    assert_int_equal(store_view(f.s, STR("nobody"), &v), 0);
    query_stats(v, &any, &oldest, &newest);
    assert_false(any);
    assert_int_equal(oldest + newest, 0);
    view_free(&v);
    teardown(&f);
}

static int note_key(void *arg, const struct store_key *key)
{
    *(struct store_key *)arg = *key;
    return 0;
}

static int count_key(void *arg, const struct store_key *key)
{
    (void)key;
    ++*(unsigned *)arg;
    return 0;
}

static void keys_are_found_with_all_their_dots(void **state)
{
    (void)state;
    struct fixture f;
    struct store_key key;
    unsigned n = 0;
    setup(&f);
    struct query_ask one = {.start_ns = 3000000000, .end_ns = 3000000000};
    struct vector *of = NULL;
    assert_int_equal(store_held(f.v, 0, 1, &of, NULL), 0);
    assert_int_equal(store_keys(f.v, &one, of, note_key, &key), 0);
    assert_int_equal(key.seq, 3);
    assert_int_equal(key.nonce, 2);
    struct kit_profile p = {.service = "web", .label = "y", .members = 1, .time_ns = 3000000000,
                            .nonce = 2, .writer = 4, .seq = 9, .stack_seed = 2, .samples = 10};
    struct store_appended info;
    assert_int_equal(kit_push(f.s, "t", &p, 1, &info), 0);
    assert_int_equal(info.repeats, 1);
    view_free(&f.v);
    assert_int_equal(store_view(f.s, STR("t"), &f.v), 0);
    assert_int_equal(store_find_keys(f.v, &key, 1, count_key, &n), 0);
    assert_int_equal(n, 2);
    key.nonce = 77;
    assert_int_equal(store_find_keys(f.v, &key, 1, count_key, &n), 0);
    assert_int_equal(n, 2);
    vector_free(&of);
    teardown(&f);
}

static void memory_may_run_out_in_a_query(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct mem_account account;
    mem_account_init(&account, NULL, "queries", 0);
    for (uint64_t n = 1;; n++) {
        struct query_ask ask = {.end_ns = INT64_MAX, .account = &account};
        struct query *q = NULL;
        struct pprof_out *out = NULL;
        struct str *names;
        size_t count;
        mem_fail_at(n);
        int rc = query_plan(&q, f.v, &ask, NULL);
        if (rc == 0)
            rc = pprof_out_init(&out, NULL);
        if (rc == 0)
            rc = query_pprof(q, out, NULL);
        if (rc == 0)
            rc = query_label_names(f.v, &ask, f.a, &names, &count);
        bool over = mem_fail_pending() != 0;
        mem_fail_at(0);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        query_free(&q);
        pprof_out_free(&out);
        assert_int_equal(account.used, 0);
        if (over)
            break;
    }
    account.limit = 100;
    struct query_ask ask = {.end_ns = INT64_MAX, .account = &account};
    struct query *q = NULL;
    struct pprof_out *out = NULL;
    assert_int_equal(query_plan(&q, f.v, &ask, NULL), 0);
    assert_int_equal(pprof_out_init(&out, NULL), 0);
    assert_int_equal(query_pprof(q, out, NULL), ERR_LIMIT);
    assert_int_equal(account.used, 0);
    query_free(&q);
    pprof_out_free(&out);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_values_are_those_in_range_sorted_and_once),
        cmocka_unit_test(series_are_reduced_and_matched),
        cmocka_unit_test(stacks_have_every_value_once),
        cmocka_unit_test(statistics_give_the_oldest_and_the_newest),
        cmocka_unit_test(keys_are_found_with_all_their_dots),
        cmocka_unit_test(memory_may_run_out_in_a_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
