/* Render's timeline has the peer's steps and places for its points. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/timeline.h"

#include "base/err.h"
#include "base/mem.h"

static void the_step_is_a_1500th_of_the_range_made_round(void **state)
{
    (void)state;
    static const struct {
        int64_t span_s, step_s;
    } want[] = {
        {0, 15},
        {3600, 15},
        {17500 * 3 / 2, 15},
        {17500 * 3 / 2 + 1, 20},
        {25 * 1500, 20},
        {25 * 1500 + 1, 30},
        {45 * 1500 + 1, 60},
        {86400, 60},
        {90 * 1500 + 1, 120},
        {7 * 86400, 300},
        {30 * 86400, 1800},
        {365 * 86400, 21600},
        {3500 * INT64_C(86400), 86400},
        {10500 * INT64_C(86400) + 1, 7 * 86400},
        {42 * 1500 * INT64_C(86400) - 1, 30 * 86400},
        {42 * 1500 * INT64_C(86400), 365 * 86400},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(timeline_step_s(1000, 1000 + want[i].span_s * 1000), want[i].step_s);
    assert_int_equal(timeline_step_s(INT64_MIN, INT64_MAX), 365 * 86400);
    assert_int_equal(timeline_step_s(5000, 1000), 15);
}

static void the_start_is_snapped_down_and_the_end_up_to_the_step(void **state)
{
    (void)state;
    struct series_grid g = timeline_grid(1700000001234, 1700003601234);
    assert_int_equal(g.step_ms, 15000);
    assert_int_equal(g.start_ms, 1700000001234 / 15000 * 15000);
    assert_int_equal(g.end_ms, 1700003601234 / 15000 * 15000 + 15000);
    g = timeline_grid(-1, 20000);
    assert_int_equal(g.start_ms, -15000);
    assert_int_equal(g.end_ms, 30000);
    g = timeline_grid(15000, 30000);
    assert_int_equal(g.start_ms, 15000);
    assert_int_equal(g.end_ms, 30000);
    g = timeline_grid(INT64_MIN, INT64_MIN);
    assert_int_equal(g.start_ms, INT64_MIN);
    g = timeline_grid(0, INT64_MAX);
    assert_in_range(g.end_ms, 0, INT64_MAX);
}

static void gaps_and_edges_are_zero_and_the_end_has_a_place_if_something_was_there(void **state)
{
    (void)state;
    struct arena *a = NULL;
    struct timeline t;
    const struct series_grid g = {3000, 53000, 10000};
    const struct series_point p[] = {{5, -7000}, {69, 23000}, {1.9, 43000}, {91, 53000}};
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(timeline_fill(&g, p, 4, false, a, &t), 0);
    assert_int_equal(t.start_s, 3);
    assert_int_equal(t.step_s, 10);
    assert_int_equal(t.count, 5);
    static const uint64_t want[] = {0, 0, 69, 0, 1};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(t.samples[i], want[i]);
    assert_int_equal(timeline_fill(&g, NULL, 0, false, a, &t), 0);
    assert_int_equal(t.count, 5);
    assert_int_equal(t.samples[2], 0);
    assert_int_equal(timeline_fill(&g, p, 4, true, a, &t), 0);
    assert_int_equal(t.count, 6);
    assert_int_equal(t.samples[4], 1);
    assert_int_equal(t.samples[5], 91);
    const struct series_grid backwards = {9000, 1000, 1000};
    assert_int_equal(timeline_fill(&backwards, p, 4, false, a, &t), 0);
    assert_int_equal(t.count, 0);
    const struct series_grid endless = {0, INT64_MAX, 1000};
    assert_int_equal(timeline_fill(&endless, p, 4, false, a, &t), ERR_LIMIT);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_step_is_a_1500th_of_the_range_made_round),
        cmocka_unit_test(the_start_is_snapped_down_and_the_end_up_to_the_step),
        cmocka_unit_test(
            gaps_and_edges_are_zero_and_the_end_has_a_place_if_something_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
