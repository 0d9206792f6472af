/* Every value has one spelling, and no byte behind the slice is read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/uv.h"

static const uint64_t VALUES[] = {
    0, 1, 127, 128, 16383, 16384, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, UINT64_MAX};

enum { COUNT = sizeof VALUES / sizeof VALUES[0] };

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        struct buf b = {0};
        buf_varint(&b, VALUES[i]);
        zz_put(&b, (int64_t)VALUES[i]);
        zz_put(&b, (int64_t)(0 - VALUES[i]));
        assert_int_equal(b.error, 0);
        struct str in = buf_view(&b);
        uint64_t v = 1;
        int64_t s = 1;
        assert_int_equal(uv_read(&in, &v), 0);
        assert_true(v == VALUES[i]);
        assert_int_equal(in.data - (const char *)b.data, uv_size(v));
        assert_int_equal(zz_read(&in, &s), 0);
        assert_true(s == (int64_t)VALUES[i]);
        assert_int_equal(zz_read(&in, &s), 0);
        assert_true(s == (int64_t)(0 - VALUES[i]));
        assert_int_equal(in.len, 0);
        buf_reset(&b);
    }
}

static void small_magnitudes_have_small_zigzag_codes(void **state)
{
    (void)state;
    const int64_t values[] = {0, -1, 1, -2, 2, INT64_MAX, INT64_MIN};
    const uint64_t codes[] = {0, 1, 2, 3, 4, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < 7; i++) {
        assert_true(zz_map(values[i]) == codes[i]);
        assert_true(zz_unmap(codes[i]) == values[i]);
    }
}

static void refused(const char *bytes, size_t len)
{
    struct str in = str_of(bytes, len);
    uint64_t v = 77;
    assert_int_equal(uv_read(&in, &v), ERR_PARSE);
    assert_int_equal(in.len, len);
    assert_true(v == 77);
}

static void longer_forms_and_cut_ones_are_refused(void **state)
{
    (void)state;
    refused("", 0);
    refused("\x80", 1);
    refused("\x80\x00", 2);                                  /* 0 in two bytes */
    refused("\xff\x80\x00", 3);                              /* 127 in three */
    refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10); /* 65 bits */
    refused("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 10); /* 0 in ten */
    refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
}

static void a_value_above_32_bits_is_no_u32(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_varint(&b, (uint64_t)UINT32_MAX + 1);
    struct str in = buf_view(&b);
    uint32_t v = 5;
    assert_int_equal(uv_read_u32(&in, &v), ERR_PARSE);
    assert_int_equal(in.len, b.size);
    assert_int_equal(v, 5);
    buf_clear(&b);
    buf_varint(&b, UINT32_MAX);
    in = buf_view(&b);
    assert_int_equal(uv_read_u32(&in, &v), 0);
    assert_int_equal(v, UINT32_MAX);
    buf_reset(&b);
}

static void a_string_must_be_there_in_full(void **state)
{
    (void)state;
    struct str in = STR("\x03"
                        "abcd"),
               s = {0};
    assert_int_equal(uv_read_str(&in, &s), 0);
    assert_true(str_eq(s, STR("abc")));
    assert_int_equal(in.len, 1);
    in = STR("\x04"
             "abc");
    assert_int_equal(uv_read_str(&in, &s), ERR_PARSE);
    assert_int_equal(in.len, 4);
    in = str_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xx", 12); /* 2^64 - 1 bytes */
    assert_int_equal(uv_read_str(&in, &s), ERR_PARSE);
}

static void fixed_integers_are_little_endian(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_u8(&b, 9);
    buf_u32le(&b, 0x01020304);
    buf_u64le(&b, 0x0102030405060708);
    struct str in = buf_view(&b);
    uint8_t a = 0;
    uint32_t c = 0;
    uint64_t d = 0;
    assert_int_equal(u8_read(&in, &a), 0);
    assert_int_equal(u32le_read(&in, &c), 0);
    assert_int_equal(u64le_read(&in, &d), 0);
    assert_int_equal(a, 9);
    assert_int_equal(c, 0x01020304);
    assert_true(d == 0x0102030405060708);
    assert_int_equal(u8_read(&in, &a), ERR_PARSE);
    in = str_of(b.data, 7);
    assert_int_equal(u64le_read(&in, &d), ERR_PARSE);
    in.len = 3;
    assert_int_equal(u32le_read(&in, &c), ERR_PARSE);
    buf_reset(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(small_magnitudes_have_small_zigzag_codes),
        cmocka_unit_test(longer_forms_and_cut_ones_are_refused),
        cmocka_unit_test(a_value_above_32_bits_is_no_u32),
        cmocka_unit_test(a_string_must_be_there_in_full),
        cmocka_unit_test(fixed_integers_are_little_endian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
