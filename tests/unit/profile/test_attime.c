/* Times in parameters mean what they mean at Pyroscope. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/attime.h"

#include <string.h>

#define S INT64_C(1000000000)

static const int64_t now = 1700000000 * S + 5;

static int64_t at(const char *text)
{
    return attime_parse(str_c(text), now);
}

static void words_are_now_and_offsets_add_up(void **state)
{
    (void)state;
    assert_int_equal(at("now"), now);
    assert_int_equal(at(""), now);
    assert_int_equal(at("yesterday"), now);
    assert_int_equal(at("now-1h"), now - 3600 * S);
    assert_int_equal(at("-90s"), now - 90 * S);
    assert_int_equal(at("now+1d2h"), now + 26 * 3600 * S);
    assert_int_equal(at("now - 1 min"), now - 60 * S);
    assert_int_equal(at("now-1mon"), now - 30 * 86400 * S);
    assert_int_equal(at("now-1M"), now - 30 * 86400 * S);
    assert_int_equal(at("now-1m"), now - 60 * S);
    assert_int_equal(at("now-2w1y"), now - (14 + 365) * 86400 * S);
    assert_int_equal(at("now-5parsecs"), now);
    assert_int_equal(at("now-h"), now);
    assert_int_equal(at("now-1h-30m"), now - 90 * 60 * S); /* the sign is the first one */
}

static void digits_are_a_date_or_unix_time_by_their_number(void **state)
{
    (void)state;
    assert_int_equal(at("20240229"), 1709164800 * S);
    assert_int_equal(at("2024_02_29"), 1709164800 * S);
    assert_int_equal(at("20230229"), 20230229 * S); /* no such day: seconds */
    assert_int_equal(at("19000101"), 19000101 * S);
    assert_int_equal(at("19690101"), -365 * 86400 * S);
    assert_int_equal(at("20001301"), 20001301 * S);
    assert_int_equal(at("0"), 0);
    assert_int_equal(at("1700000000"), 1700000000 * S);
    assert_int_equal(at("1700000000123"), 1700000000123 * (S / 1000));
    assert_int_equal(at("1700000000123456"), 1700000000123456 * (S / 1000000));
    assert_int_equal(at("1700000000123456789"), 1700000000123456789);
    assert_int_equal(at("17000000001"), INT64_MAX); /* seconds, far beyond */
}

static void too_much_of_anything_stops_at_the_end_of_the_range(void **state)
{
    (void)state;
    assert_int_equal(at("99999999999999999999999999"), INT64_MAX);
    assert_int_equal(at("now+99999999999999999999y"), INT64_MAX);
    assert_int_equal(at("now-99999999999999999999y"), INT64_MIN + now); /* of the offset */
    char text[5000];
    memset(text, '9', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(at(text), INT64_MAX);
}

static void milliseconds_are_rounded_down(void **state)
{
    (void)state;
    assert_int_equal(attime_parse_ms(STR("now-1s"), 5000), 4000);
    assert_int_equal(attime_parse_ms(STR("1700000000123456"), 0), 1700000000123);
    assert_int_equal(attime_parse_ms(STR("now-1s"), 999), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_now_and_offsets_add_up),
        cmocka_unit_test(digits_are_a_date_or_unix_time_by_their_number),
        cmocka_unit_test(too_much_of_anything_stops_at_the_end_of_the_range),
        cmocka_unit_test(milliseconds_are_rounded_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
