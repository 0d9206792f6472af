/* What is written is JSON, whatever the strings hold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/json.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

static void commas_and_brackets_fall_into_place(void **state)
{
    (void)state;
    struct buf b = {0};
    struct json j = json_to(&b);
    json_begin_object(&j);
    json_key(&j, "a");
    json_begin_array(&j);
    json_end_array(&j);
    json_key(&j, "b");
    json_begin_array(&j);
    json_i64(&j, -1);
    json_u64(&j, UINT64_MAX);
    json_begin_object(&j);
    json_end_object(&j);
    json_bool(&j, true);
    json_null(&j);
    json_end_array(&j);
    json_key_str(&j, STR("c\"d"));
    json_c(&j, "x");
    json_key(&j, "f");
    json_base64(&j, STR("fo"));
    json_key(&j, "g");
    json_begin_array(&j);
    json_i64_text(&j, INT64_MIN);
    json_u64_text(&j, UINT64_MAX);
    json_end_array(&j);
    json_end_object(&j);
    assert_true(str_eq(
        buf_view(&b),
        STR("{\"a\":[],\"b\":[-1,18446744073709551615,{},true,null],\"c\\\"d\":\"x\","
            "\"f\":\"Zm8=\",\"g\":[\"-9223372036854775808\",\"18446744073709551615\"]}")));
    buf_reset(&b);
}

static void escapes_to(struct str in, const char *want)
{
    struct buf b = {0};
    struct json j = json_to(&b);
    json_str(&j, in);
    assert_int_equal(b.error, 0);
    struct str got = buf_view(&b);
    assert_true(got.len >= 2 && got.data[0] == '"' && got.data[got.len - 1] == '"');
    got = str_of(got.data + 1, got.len - 2);
    if (!str_eq(got, str_c(want)))
        fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(got), want);
    buf_reset(&b);
}

static void strings_are_escaped_and_made_valid(void **state)
{
    (void)state;
    escapes_to(STR(""), "");
    escapes_to(STR("plain /<>& text"), "plain /<>& text");
    escapes_to(STR("\"\\\b\f\n\r\t"), "\\\"\\\\\\b\\f\\n\\r\\t");
    escapes_to(str_of("\0\x01\x1f\x7f", 4), "\\u0000\\u0001\\u001f\x7f");
    escapes_to(STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
               "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    escapes_to(STR("a\xff"
                   "b"),
               "a\xef\xbf\xbd"
               "b");
    escapes_to(STR("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* surrogate */
    escapes_to(STR("\xc3"), "\xef\xbf\xbd");                                 /* cut off */
    escapes_to(STR("\xc3\xa9\xc3"), "\xc3\xa9\xef\xbf\xbd");
}

static void is_written(double v, const char *want)
{
    struct buf b = {0};
    struct json j = json_to(&b);
    json_f64(&j, v);
    if (!str_eq(buf_view(&b), str_c(want)))
        fail_msg("%a is \"%.*s\" instead of \"%s\"", v, STR_ARG(buf_view(&b)), want);
    buf_reset(&b);
}

static void doubles_are_the_shortest_digits_that_read_back(void **state)
{
    (void)state;
    is_written(0, "0");
    is_written(-0.0, "-0");
    is_written(1, "1");
    is_written(-1.5, "-1.5");
    is_written(0.1, "0.1");
    is_written(0.30000000000000004, "0.30000000000000004");
    is_written(100, "100");
    is_written(123456789, "123456789");
    is_written(9007199254740993.0, "9007199254740992");
    is_written(1e20, "100000000000000000000");
    is_written(1e21, "1e+21");
    is_written(1.25e-7, "1.25e-7");
    is_written(0.000001, "0.000001");
    is_written(5e-324, "5e-324");
    is_written(1.7976931348623157e308, "1.7976931348623157e+308");
    is_written((double)NAN, "\"NaN\"");
    is_written((double)INFINITY, "\"Infinity\"");
    is_written(-(double)INFINITY, "\"-Infinity\"");
}

static void no_memory_and_a_full_buffer_are_sticky(void **state)
{
    (void)state;
    for (int limited = 0; limited < 2; limited++) {
        for (uint64_t n = 1;; n++) {
            struct buf b = {.limit = limited ? n : 0};
            struct json j = json_to(&b);
            if (!limited)
                mem_fail_at(n);
            json_begin_array(&j);
            for (int i = 0; i < 40; i++) {
                json_c(&j, "a\n\xff");
                json_f64(&j, 1e-9);
                json_base64(&j, STR("abc"));
            }
            json_end_array(&j);
            bool over = limited ? b.error == 0 : mem_fail_pending();
            mem_fail_at(0);
            assert_int_equal(b.error, over ? 0 : limited ? ERR_LIMIT : ERR_NOMEM);
            buf_reset(&b);
            if (over)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_and_brackets_fall_into_place),
        cmocka_unit_test(strings_are_escaped_and_made_valid),
        cmocka_unit_test(doubles_are_the_shortest_digits_that_read_back),
        cmocka_unit_test(no_memory_and_a_full_buffer_are_sticky),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
