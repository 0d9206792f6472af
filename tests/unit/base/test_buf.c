/* Buffers: failure is sticky, limits hold, numbers are encoded as said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

static void numbers_have_their_byte_order(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_u16be(&b, 0x0102);
    buf_u32be(&b, 0x03040506);
    buf_u32le(&b, 0x0a090807);
    buf_u64le(&b, 0x1211100f0e0d0c0bu);
    for (size_t i = 0; i < b.size; i++)
        assert_int_equal(b.data[i], i + 1);
    assert_int_equal(b.size, 18);
    buf_reset(&b);
}

static void varints_are_shortest(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_varint(&b, 127);
    buf_varint(&b, 128);
    buf_varint(&b, UINT64_MAX);
    assert_int_equal(b.size, 1 + 2 + 10);
    assert_memory_equal(b.data, "\x7f\x80\x01\xff", 4);
    assert_int_equal(b.data[12], 1);
    buf_reset(&b);
}

static void text_is_appended(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_dec(&b, INT64_MIN);
    buf_u8(&b, ' ');
    buf_udec(&b, UINT64_MAX);
    buf_printf(&b, " %s-%d", "x", 5);
    assert_true(str_eq(buf_view(&b), STR("-9223372036854775808 18446744073709551615 x-5")));
    buf_reset(&b);
}

static void a_limit_is_never_passed_and_the_failure_sticks(void **state)
{
    (void)state;
    struct buf b = {.limit = 100};
    for (int i = 0; i < 10; i++)
        buf_put(&b, "0123456789", 10);
    assert_int_equal(b.error, 0);
    assert_true(b.cap <= 100);
    buf_u8(&b, 'x');
    assert_int_equal(b.error, ERR_LIMIT);
    assert_int_equal(b.size, 100);
    buf_clear(&b);
    buf_u8(&b, 'x');
    assert_int_equal(b.error, 0);
    buf_reset(&b);
}

static void what_is_asked_for_at_first_is_what_is_taken(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_non_null(buf_reserve(&b, 40961));
    assert_int_equal(b.cap, 40961); /* not 64 KiB */
    b.size = 40961;
    buf_u8(&b, 'x'); /* and from there on it doubles */
    assert_int_equal(b.cap, 2 * 40961);
    buf_reset(&b);
    buf_u8(&b, 'x');
    assert_true(b.cap > 1);
    buf_reset(&b);
}

static void no_memory_sticks_and_keeps_what_was_there(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_c(&b, "abc");
    mem_fail_at(1);
    assert_null(buf_reserve(&b, 1000));
    buf_c(&b, "d");
    assert_int_equal(b.error, ERR_NOMEM);
    assert_true(str_eq(buf_view(&b), STR("abc")));
    buf_reset(&b);
    assert_null(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_their_byte_order),
        cmocka_unit_test(varints_are_shortest),
        cmocka_unit_test(text_is_appended),
        cmocka_unit_test(a_limit_is_never_passed_and_the_failure_sticks),
        cmocka_unit_test(what_is_asked_for_at_first_is_what_is_taken),
        cmocka_unit_test(no_memory_sticks_and_keeps_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
