/* Texts of settings read as in Go, and are printed so that they read back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf/value.h"

#include <string.h>

#include "base/err.h"

static void booleans_are_those_of_go(void **state)
{
    (void)state;
    bool v = false;
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    static const char *const bad[] = {"", "yes", "tRUE", "2", "true "};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(conf_parse_bool(str_c(yes[i]), &v), 0);
        assert_true(v);
        assert_int_equal(conf_parse_bool(str_c(no[i]), &v), 0);
        assert_false(v);
    }
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(conf_parse_bool(str_c(bad[i]), &v), ERR_PARSE);
}

static int64_t i64(const char *text)
{
    int64_t v = -12345;
    int rc = conf_parse_i64(str_c(text), &v);
    return rc != 0 ? rc * 1000000 : v;
}

static void numbers_have_prefixes_and_underscores(void **state)
{
    (void)state;
    assert_int_equal(i64("42"), 42);
    assert_int_equal(i64("-7"), -7);
    assert_int_equal(i64("+7"), 7);
    assert_int_equal(i64("0x1F"), 31);
    assert_int_equal(i64("0o17"), 15);
    assert_int_equal(i64("010"), 8);
    assert_int_equal(i64("0b101"), 5);
    assert_int_equal(i64("1_000_000"), 1000000);
    assert_int_equal(i64("0x_ff"), 255);
    assert_int_equal(i64("0"), 0);
    int64_t v;
    assert_int_equal(conf_parse_i64(STR("-9223372036854775808"), &v), 0);
    assert_true(v == INT64_MIN);
    assert_int_equal(i64("9223372036854775808"), ERR_LIMIT * 1000000);
    uint64_t u;
    assert_int_equal(conf_parse_u64(STR("18446744073709551615"), &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(conf_parse_u64(STR("18446744073709551616"), &u), ERR_LIMIT);
    assert_int_equal(conf_parse_u64(STR("99999999999999999999999"), &u), ERR_LIMIT);
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   "-",  "+-1",  "-+1", "1.5", "08", "0x",
                                      "1_", "_1", "1__0", "0b2", "ff",  " 1", "1 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(i64(bad[i]), ERR_PARSE * 1000000);
}

static void fractions_are_decimal_and_finite(void **state)
{
    (void)state;
    double v = 0;
    assert_int_equal(conf_parse_double(STR("0.05"), &v), 0);
    assert_true(v > 0.0499 && v < 0.0501);
    assert_int_equal(conf_parse_double(STR("1e-3"), &v), 0);
    assert_int_equal(conf_parse_double(STR("1e999"), &v), ERR_LIMIT);
    assert_int_equal(conf_parse_double(STR("inf"), &v), ERR_PARSE);
    assert_int_equal(conf_parse_double(STR("nan"), &v), ERR_PARSE);
    assert_int_equal(conf_parse_double(STR("0x1p3"), &v), ERR_PARSE);
    assert_int_equal(conf_parse_double(STR("1e"), &v), ERR_PARSE);
    assert_int_equal(conf_parse_double(STR(""), &v), ERR_PARSE);
}

static int64_t ms(const char *text)
{
    int64_t v = -1;
    int rc = conf_parse_ms(str_c(text), &v);
    return rc != 0 ? rc * 1000000 : v;
}

static void durations_are_those_of_go(void **state)
{
    (void)state;
    assert_int_equal(ms("0"), 0);
    assert_int_equal(ms("200ms"), 200);
    assert_int_equal(ms("1h2m3.5s"), 3723500);
    assert_int_equal(ms("1.5h"), 5400000);
    assert_int_equal(ms(".5s"), 500);
    assert_int_equal(ms("-5m"), -300000);
    assert_int_equal(ms("+5m"), 300000);
    assert_int_equal(ms("1d"), 86400000);
    assert_int_equal(ms("2w"), 2 * 7 * 86400000LL);
    assert_int_equal(ms("1ns"), 1); /* never rounded to "off" */
    assert_int_equal(ms("-1us"), -1);
    assert_int_equal(ms("1000000ns"), 1);
    assert_int_equal(ms("1500\xc2\xb5s"), 2);
    assert_int_equal(ms("292y"), 292 * 365 * 86400000LL);
    assert_int_equal(ms("293y"), ERR_LIMIT * 1000000);
    assert_int_equal(ms("99999999999999999999s"), ERR_LIMIT * 1000000);
    static const char *const bad[] = {"",    "5",  "s",   "1",  "-", "1x",
                                      "1s2", ".s", "1 s", "1S", "00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ms(bad[i]), ERR_PARSE * 1000000);
}

static void sizes_are_powers_of_1024(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t want;
    } good[] = {
        {"0", 0},           {"4096", 4096},         {"1k", 1024},        {"64MiB", 64 << 20},
        {"64mb", 64 << 20}, {"1.5GiB", 3ull << 29}, {"2 T", 2ull << 40}, {"7B", 7}};
    uint64_t v = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(conf_parse_size(str_c(good[i].text), &v), 0);
        assert_true(v == good[i].want);
    }
    static const char *const bad[] = {"", "-1", "k", "1.5", "1x", "1kk", "1kib2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(conf_parse_size(str_c(bad[i]), &v), ERR_PARSE);
    assert_int_equal(conf_parse_size(STR("18000000000GiB"), &v), ERR_LIMIT);
}

static void durations_print_as_in_go(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *want;
    } all[] = {{0, "0s"},       {200, "200ms"},      {1000, "1s"},   {1500, "1.5s"},
               {60000, "1m0s"}, {3600000, "1h0m0s"}, {-5000, "-5s"}, {3723050, "1h2m3.05s"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct buf b = {0};
        conf_put_ms(&b, all[i].ms);
        assert_true(str_eq(buf_view(&b), str_c(all[i].want)));
        assert_int_equal(ms(all[i].want), all[i].ms);
        buf_reset(&b);
    }
}

static void doubles_print_short_and_texts_escaped(void **state)
{
    (void)state;
    struct buf b = {0};
    conf_put_double(&b, 0.05);
    buf_u8(&b, ' ');
    conf_put_double(&b, -20);
    buf_u8(&b, ' ');
    conf_put_quoted(&b, STR("a\"\\\n\x7f\xc3\xa9"));
    assert_true(str_eq(buf_view(&b), STR("0.05 -20 \"a\\\"\\\\\\u000a\\u007f\xc3\xa9\"")));
    buf_reset(&b);
}

static void distance_counts_single_edits(void **state)
{
    (void)state;
    assert_int_equal(conf_distance(STR("kitten"), STR("sitting"), 99), 3);
    assert_int_equal(conf_distance(STR(""), STR("abc"), 99), 3);
    assert_int_equal(conf_distance(STR("abc"), STR(""), 4), 3);
    assert_int_equal(conf_distance(STR("same"), STR("same"), 1), 0);
    assert_int_equal(conf_distance(STR("kitten"), STR("sitting"), 3), 3);
    assert_int_equal(conf_distance(STR("kitten"), STR("sitting"), 2), 2);
    assert_int_equal(conf_distance(STR("a"), STR("abcdef"), 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(booleans_are_those_of_go),
        cmocka_unit_test(numbers_have_prefixes_and_underscores),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(fractions_are_decimal_and_finite),
        cmocka_unit_test(durations_are_those_of_go),
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(durations_print_as_in_go),
        cmocka_unit_test(doubles_print_short_and_texts_escaped),
        cmocka_unit_test(distance_counts_single_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
