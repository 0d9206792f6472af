/* Borrowed strings: cutting, parsing, order, UTF-8. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

static void order_is_by_bytes_and_shorter_first(void **state)
{
    (void)state;
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("ab"), STR("a")) > 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_cmp(STR(""), str_of(NULL, 0)), 0);
    assert_true(str_eq(STR(""), str_of(NULL, 0)));
    assert_true(str_eq_nocase(STR("GZip"), STR("gzip")));
    assert_false(str_eq_nocase(STR("gzip"), STR("gzi")));
}

static void cutting_yields_every_part_the_empty_ones_too(void **state)
{
    (void)state;
    const char *want[] = {"a", "", "b", ""};
    struct str rest = STR("a,,b,"), part;
    size_t n = 0;
    while (str_cut(&rest, ',', &part)) {
        assert_true(n < 4);
        assert_true(str_eq(part, str_c(want[n++])));
    }
    assert_int_equal(n, 4);
}

static void numbers_are_parsed_whole_or_not_at_all(void **state)
{
    (void)state;
    uint64_t u = 7;
    assert_int_equal(str_u64(STR("18446744073709551615"), &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(str_u64(STR("18446744073709551616"), &u), ERR_LIMIT);
    assert_int_equal(str_u64(STR(""), &u), ERR_PARSE);
    assert_int_equal(str_u64(STR("1 "), &u), ERR_PARSE);
    assert_int_equal(str_u64(STR("-1"), &u), ERR_PARSE);
    int64_t i = 0;
    assert_int_equal(str_i64(STR("-9223372036854775808"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(str_i64(STR("9223372036854775808"), &i), ERR_LIMIT);
    assert_int_equal(str_i64(STR("+5"), &i), 0);
    assert_int_equal(i, 5);
    assert_int_equal(str_i64(STR("-"), &i), ERR_PARSE);
}

static void searching_and_trimming(void **state)
{
    (void)state;
    assert_int_equal(str_find(STR("a:b:c"), ':'), 1);
    assert_int_equal(str_rfind(STR("a:b:c"), ':'), 3);
    assert_true(str_rfind(STR("abc"), ':') == SIZE_MAX);
    assert_true(str_contains(STR("aab"), STR("ab")));
    assert_false(str_contains(STR("aa"), STR("ab")));
    assert_true(str_contains(STR(""), STR("")));
    assert_true(str_eq(str_trim(STR(" \t a b\r\n")), STR("a b")));
    assert_true(str_starts_with(STR("abc"), STR("ab")));
    assert_true(str_ends_with(STR("abc"), STR("bc")));
    assert_false(str_ends_with(STR("c"), STR("bc")));
    assert_int_equal(str_skip(STR("abc"), 9).len, 0);
}

static void utf8_is_checked_strictly(void **state)
{
    (void)state;
    assert_true(str_is_utf8(STR("plain text that is longer than eight bytes")));
    assert_true(str_is_utf8(STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\xa5")));
    assert_false(str_is_utf8(STR("\xc0\xaf")));         /* overlong */
    assert_false(str_is_utf8(STR("\xed\xa0\x80")));     /* surrogate */
    assert_false(str_is_utf8(STR("\xf4\x90\x80\x80"))); /* above U+10FFFF */
    assert_false(str_is_utf8(STR("12345678\xe2\x82")));  /* cut */
    assert_false(str_is_utf8(STR("\x80")));
}

static void copies_end_with_a_zero_that_does_not_count(void **state)
{
    (void)state;
    char *c = str_dup_c(STR("xy"));
    assert_string_equal(c, "xy");
    mem_free(c);
    struct arena *a = NULL;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    struct str s = str_dup(a, STR("xyz"));
    assert_int_equal(s.len, 3);
    assert_string_equal(s.data, "xyz");
    arena_free(&a);
    mem_fail_at(1);
    assert_null(str_dup_c(STR("x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_by_bytes_and_shorter_first),
        cmocka_unit_test(cutting_yields_every_part_the_empty_ones_too),
        cmocka_unit_test(numbers_are_parsed_whole_or_not_at_all),
        cmocka_unit_test(searching_and_trimming),
        cmocka_unit_test(utf8_is_checked_strictly),
        cmocka_unit_test(copies_end_with_a_zero_that_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
