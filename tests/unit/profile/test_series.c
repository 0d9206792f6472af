/* Points in time are exact, however the profiles were shared out and in whichever order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/series.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct series_set *new_set(const struct series_grid *g)
{
    struct series_set *s = NULL;
    assert_int_equal(series_init(&s, g, NULL), 0);
    return s;
}

/* One profile of a series with label a (absent when NULL), grouped by a. */
static void add(struct series_set *s, const char *a, int64_t time_ms, uint64_t total)
{
    const struct str by = STR("a");
    struct label items[] = {{STR("a"), str_c(a)}, {STR("z"), STR("1")}};
    struct labels labels = {a == NULL ? items + 1 : items, a == NULL ? 1 : 2};
    uint32_t group;
    assert_int_equal(series_group(s, labels, &by, 1, &group), 0);
    assert_int_equal(series_add(s, group, time_ms, total), 0);
}

/* The answer as text: {labels}: time=value ... */
static const char *answer(struct series_set *s, enum series_aggregation how, uint64_t limit)
{
    static struct buf b;
    struct arena *a = NULL;
    struct series_row *rows;
    size_t count;
    buf_clear(&b);
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(series_finish(s, how, limit, a, &rows, &count), 0);
    for (size_t i = 0; i < count; i++) {
        labels_print(rows[i].labels, &b);
        for (size_t k = 0; k < rows[i].count; k++)
            buf_printf(&b, " %lld=%.17g", (long long)rows[i].points[k].time_ms,
                       rows[i].points[k].value);
        buf_c(&b, "\n");
    }
    buf_u8(&b, 0);
    arena_free(&a);
    return (const char *)b.data;
}

static void a_profile_belongs_to_the_first_grid_point_at_or_after_it(void **state)
{
    (void)state;
    const struct series_grid g = {10000, 45000, 10000};
    struct series_set *s = new_set(&g);
    assert_int_equal(series_grid_from(&g), 0);
    add(s, "x", 0, 1); /* start - step: the first bucket's */
    add(s, "x", 10000, 2);
    add(s, "x", 10001, 4);
    add(s, "x", 20000, 8);
    add(s, "x", 39999, 16);
    add(s, "x", 40000, 32);
    add(s, "x", 40001, 64); /* behind the last grid point, 40000 */
    assert_string_equal(answer(s, SERIES_SUM, 0), "{a=\"x\"} 10000=3 20000=12 40000=48\n");
    assert_string_equal(answer(s, SERIES_AVERAGE, 0), "{a=\"x\"} 10000=1.5 20000=6 40000=24\n");
    series_free(&s);
}

static void rows_come_by_falling_sum_then_by_labels_and_are_limited(void **state)
{
    (void)state;
    const struct series_grid g = {1000, 3000, 1000};
    struct series_set *s = new_set(&g);
    add(s, "c", 1000, 5);
    add(s, "b", 2000, 5);
    add(s, "d", 2000, 9);
    add(s, NULL, 1000, 5); /* without the label: the shorter set */
    add(s, "late", 9000, 100);
    assert_string_equal(answer(s, SERIES_SUM, 0), "{a=\"d\"} 2000=9\n"
                                                  "{} 1000=5\n"
                                                  "{a=\"b\"} 2000=5\n"
                                                  "{a=\"c\"} 1000=5\n");
    assert_string_equal(answer(s, SERIES_SUM, 2), "{a=\"d\"} 2000=9\n"
                                                  "{} 1000=5\n");
    series_free(&s);
}

static void the_average_is_over_profiles_not_over_parts(void **state)
{
    (void)state;
    const struct series_grid g = {1000, 1000, 1000};
    struct series_set *s = new_set(&g), *t = new_set(&g);
    add(s, "a", 1000, 1);
    add(s, "a", 1000, 1);
    add(s, "a", 1000, 1);
    add(t, "a", 1000, 9);
    assert_int_equal(series_merge(s, t), 0);
    assert_string_equal(answer(s, SERIES_AVERAGE, 0), "{a=\"a\"} 1000=3\n");
    series_free(&s);
    series_free(&t);
}

static void a_request_that_makes_no_grid_is_refused(void **state)
{
    (void)state;
    struct series_grid g;
    struct err e = {0};
    assert_int_equal(series_grid_init(&g, 1, 2, 0.001, &e), 0);
    assert_int_equal(g.step_ms, 1);
    assert_int_equal(series_grid_init(&g, 5, 5, 15, &e), 0);
    assert_int_equal(g.step_ms, 15000);
    assert_int_equal(series_grid_init(&g, 1, 2, 0.0009, &e), ERR_INVAL);
    assert_int_equal(series_grid_init(&g, 1, 2, 0, &e), ERR_INVAL);
    assert_int_equal(series_grid_init(&g, 1, 2, -1, &e), ERR_INVAL);
    assert_int_equal(series_grid_init(&g, 1, 2, (double)NAN, &e), ERR_INVAL);
    assert_int_equal(series_grid_init(&g, 1, 2, (double)INFINITY, &e), ERR_INVAL);
    assert_int_equal(series_grid_init(&g, 3, 2, 1, &e), ERR_INVAL);
    assert_int_equal(series_grid_init(&g, INT64_MIN, 2, 1, &e), ERR_INVAL);
}

/* --- against a plain reading of the rule -------------------------------------------------- */

enum { PROFILES = 400, NAMES = 4 };

struct profile {
    int name; /* NAMES: without the label */
    int64_t time_ms;
    uint64_t total;
};

static const char *const profile_names[NAMES + 1] = {"w", "x", "y", "z", NULL};

/* For each name and grid point: the sum of the profiles that belong there. */
static void check_against_plain(struct series_set *s, const struct series_grid *g,
                                const struct profile *p)
{
    struct arena *a = NULL;
    struct series_row *rows;
    size_t count, seen = 0;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(series_finish(s, SERIES_SUM, 0, a, &rows, &count), 0);
    for (int n = 0; n <= NAMES; n++) {
        const struct series_row *row = NULL;
        for (size_t i = 0; i < count; i++)
            if (str_eq(labels_get(rows[i].labels, STR("a")), str_c(profile_names[n])))
                row = &rows[i];
        size_t at = 0;
        for (int64_t point = g->start_ms; point <= g->end_ms; point += g->step_ms) {
            uint64_t sum = 0, hits = 0;
            for (int i = 0; i < PROFILES; i++) {
                bool in = p[i].time_ms <= point &&
                          (point == g->start_ms || p[i].time_ms > point - g->step_ms);
                if (p[i].name == n && in) {
                    sum += p[i].total;
                    hits++;
                }
            }
            if (hits == 0)
                continue;
            assert_non_null(row);
            assert_int_equal(row->points[at].time_ms, point);
            assert_true(row->points[at].value == (double)sum);
            at++;
        }
        assert_int_equal(row == NULL ? 0 : row->count, at);
        seen += at > 0;
    }
    assert_int_equal(seen, count);
    arena_free(&a);
}

static void random_profiles_are_summed_as_a_plain_reading_does(void **state)
{
    (void)state;
    const char *const *names = profile_names;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng r;
        struct profile p[PROFILES];
        rng_seed(&r, seed);
        int64_t step = 1 + (int64_t)rng_below(&r, 50),
                start = (int64_t)rng_below(&r, 1000) - 500;
        const struct series_grid g = {start, start + (int64_t)rng_below(&r, 1500), step};
        struct series_set *whole = new_set(&g), *merged = new_set(&g), *read = new_set(&g);
        struct series_set *part[3] = {new_set(&g), new_set(&g), new_set(&g)};
        for (int i = 0; i < PROFILES; i++) {
            p[i] = (struct profile){(int)rng_below(&r, NAMES + 1),
                                    start - step + (int64_t)rng_below(&r, 1700),
                                    rng_below(&r, 1000)};
            add(whole, names[p[i].name], p[i].time_ms, p[i].total);
            add(part[rng_below(&r, 3)], names[p[i].name], p[i].time_ms, p[i].total);
        }
        struct buf want = {0}, bytes = {0};
        buf_c(&want, answer(whole, SERIES_AVERAGE, 0));
        buf_u8(&want, 0);
        for (int i = 2; i >= 0; i--) {
            assert_int_equal(series_merge(merged, part[i]), 0);
            buf_clear(&bytes);
            assert_int_equal(series_encode(part[i], &bytes), 0);
            assert_int_equal(series_decode(read, buf_view(&bytes), NULL), 0);
            series_free(&part[i]);
        }
        assert_string_equal(answer(merged, SERIES_AVERAGE, 0), (const char *)want.data);
        assert_string_equal(answer(read, SERIES_AVERAGE, 0), (const char *)want.data);

        check_against_plain(whole, &g, p);
        buf_reset(&want);
        buf_reset(&bytes);
        series_free(&whole);
        series_free(&merged);
        series_free(&read);
    }
}

static void memory_follows_buckets_not_profiles(void **state)
{
    (void)state;
    struct mem_account account;
    mem_account_init(&account, NULL, "test", 0);
    const struct series_grid g = {0, 100000, 1000};
    struct series_set *s = NULL;
    uint32_t group;
    assert_int_equal(series_init(&s, &g, &account), 0);
    assert_int_equal(series_group(s, (struct labels){0}, NULL, 0, &group), 0);
    for (int i = 0; i < 200000; i++)
        assert_int_equal(series_add(s, group, (i * INT64_C(7919)) % 100000, 1), 0);
    assert_true(account.used < 20000);
    series_free(&s);
    assert_int_equal(account.used, 0);
}

static int decode(const char *bytes, size_t size, struct err *e)
{
    const struct series_grid g = {1000, 3000, 1000};
    struct series_set *s = new_set(&g);
    int rc = series_decode(s, str_of(bytes, size), e);
    series_free(&s);
    return rc;
}

#define DECODE(lit) decode(lit, sizeof(lit) - 1, &e)
#define HEAD        "\1\xd0\x0f\xd0\x0f\xe8\7"

static void hostile_bytes_are_refused(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(DECODE(HEAD "\0"), 0);
    assert_int_equal(DECODE(HEAD "\1\1\1a\1b\2\0\5\1\1\5\1"), 0);
    assert_int_equal(DECODE(HEAD "\1\1\1a\1b\2\0\5\1\1\5\1\0"), ERR_PARSE); /* more behind it */
    assert_int_equal(DECODE(HEAD "\1\1\1a\1b\2\0\5\1\2\5\1"), ERR_PARSE); /* bucket 3 of 0..2 */
    assert_int_equal(DECODE(HEAD "\1\1\1a\1b\1\0\5\0"), ERR_PARSE);       /* of no profile */
    assert_int_equal(DECODE(HEAD "\1\1\1a\1b\5\0\5\1"), ERR_PARSE);       /* fewer points */
    assert_int_equal(DECODE(HEAD "\1\2\1b\1x\1a\1x\0"), ERR_PARSE);       /* labels unsorted */
    assert_int_equal(DECODE(HEAD "\1\2\1a\1x\1a\1x\0"), ERR_PARSE);       /* or twice */
    assert_int_equal(DECODE(HEAD "\xff\xff\xff\xff\x0f"), ERR_PARSE);
    assert_int_equal(DECODE(HEAD "\1\xff\xff\xff\xff\x0f"), ERR_PARSE);
    assert_int_equal(DECODE(""), ERR_PARSE);
    assert_int_equal(DECODE("\2"), ERR_VERSION);
    assert_int_equal(DECODE("\1\xd0\x0f\xd0\x0f\xe8\6\0"), ERR_INVAL); /* another step */
    assert_string_equal(e.msg, "partial series of another range or step");
    const struct series_grid g = {1000, 3000, 1000}, h = {1000, 3000, 500};
    struct series_set *s = new_set(&g), *t = new_set(&h);
    assert_int_equal(series_merge(s, t), ERR_INVAL);
    series_free(&s);
    series_free(&t);
}

static int build_all(struct mem_account *account)
{
    const struct series_grid g = {0, 100000, 10};
    struct series_set *s = NULL, *t = NULL;
    struct arena *a = NULL;
    struct buf b = {0};
    struct series_row *rows;
    size_t count;
    const struct str by = STR("a");
    int rc = series_init(&s, &g, account);
    if (rc == 0)
        rc = series_init(&t, &g, account);
    if (rc == 0)
        rc = arena_init(&a, 0, account);
    for (int i = 0; i < 40 && rc == 0; i++) {
        char value[8];
        snprintf(value, sizeof value, "%d", i);
        struct label item = {STR("a"), str_c(value)};
        uint32_t group;
        rc = series_group(s, (struct labels){&item, 1}, &by, 1, &group);
        for (int k = 0; k < 40 && rc == 0; k++)
            rc = series_add(s, group, k * 100, 1);
    }
    if (rc == 0)
        rc = series_encode(s, &b);
    if (rc == 0)
        rc = series_decode(t, buf_view(&b), NULL);
    if (rc == 0)
        rc = series_merge(t, s);
    if (rc == 0)
        rc = series_finish(t, SERIES_SUM, 0, a, &rows, &count);
    if (rc == 0)
        assert_int_equal(count, 40);
    buf_reset(&b);
    arena_free(&a);
    series_free(&s);
    series_free(&t);
    return rc;
}

static void running_out_of_memory_or_budget_is_an_error_and_gives_all_back(void **state)
{
    (void)state;
    struct mem_account account;
    for (uint64_t n = 1;; n++) {
        mem_account_init(&account, NULL, "test", 0);
        mem_fail_at(n);
        int rc = build_all(&account);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, pending ? 0 : ERR_NOMEM);
        assert_int_equal(account.used, 0);
        if (pending)
            break;
    }
    uint64_t peak = account.peak;
    for (uint64_t limit = 1; limit < peak; limit += 997) {
        mem_account_init(&account, NULL, "test", limit);
        int rc = build_all(&account);
        assert_true(rc == ERR_LIMIT ||
                    rc == ERR_NOMEM); /* an arena says "no memory" for both */
        assert_int_equal(account.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_profile_belongs_to_the_first_grid_point_at_or_after_it),
        cmocka_unit_test(rows_come_by_falling_sum_then_by_labels_and_are_limited),
        cmocka_unit_test(the_average_is_over_profiles_not_over_parts),
        cmocka_unit_test(a_request_that_makes_no_grid_is_refused),
        cmocka_unit_test(random_profiles_are_summed_as_a_plain_reading_does),
        cmocka_unit_test(memory_follows_buckets_not_profiles),
        cmocka_unit_test(hostile_bytes_are_refused),
        cmocka_unit_test(running_out_of_memory_or_budget_is_an_error_and_gives_all_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
