/* Numbers and bytes that a scraper would stumble over are written as the format says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "metrics/text.h"

#include <math.h>

static void expect(struct buf *b, const char *want)
{
    assert_true(str_eq(buf_view(b), str_c(want)));
    buf_reset(b);
}

static void special_numbers_have_their_names(void **state)
{
    (void)state;
    struct buf b = {0};
    struct metric_labels none = {0};
    metric_put_sample(&b, STR("a"), none, (double)NAN);
    metric_put_sample(&b, STR("a"), none, (double)INFINITY);
    metric_put_sample(&b, STR("a"), none, -(double)INFINITY);
    metric_put_sample(&b, STR("a"), none, 1e300);
    metric_put_sample(&b, STR("a"), none, 1700000000.25);
    metric_put_count(&b, STR("a"), none, UINT64_MAX);
    expect(&b, "a NaN\na +Inf\na -Inf\na 1e+300\na 1700000000.25\na 18446744073709551615\n");
}

static void help_and_labels_are_escaped_differently(void **state)
{
    (void)state;
    struct buf b = {0};
    metric_put_head(&b, METRIC_GAUGE, STR("g"), STR("a \"b\" \\ c\nd"));
    struct str names[] = {STR_INIT("l")}, values[] = {STR_INIT("\"\\\n\xff\xc3\xa9")};
    metric_put_sample(&b, STR("g"), (struct metric_labels){names, values, 1}, 1);
    expect(&b, "# HELP g a \"b\" \\\\ c\\nd\n# TYPE g gauge\n"
               "g{l=\"\\\"\\\\\\n\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"} 1\n");
}

static void names_follow_the_grammar(void **state)
{
    (void)state;
    assert_true(metric_name_is_valid(STR("a:b_9"), true));
    assert_false(metric_name_is_valid(STR("a:b"), false));
    assert_false(metric_name_is_valid(STR("__name__"), false));
    assert_true(metric_name_is_valid(STR("_x"), false));
    assert_false(metric_name_is_valid(STR("9a"), true));
    assert_false(metric_name_is_valid(STR(""), true));
    assert_false(metric_name_is_valid(STR("a-b"), true));
}

static void nan_is_counted_in_the_last_bucket(void **state)
{
    (void)state;
    static const double one[] = {1};
    static union {
        struct histogram h;
        char room[sizeof(struct histogram) + 2 * sizeof(uint64_t)];
    } u;
    u.h.bounds = one;
    u.h.count = 1;
    histogram_observe(&u.h, 1); /* bounds are included */
    histogram_observe(&u.h, (double)NAN);
    struct buf b = {0};
    metric_put_histogram(&b, STR("h"), (struct metric_labels){0}, &u.h);
    expect(&b, "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum NaN\nh_count 2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_numbers_have_their_names),
        cmocka_unit_test(help_and_labels_are_escaped_differently),
        cmocka_unit_test(names_follow_the_grammar),
        cmocka_unit_test(nan_is_counted_in_the_last_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
