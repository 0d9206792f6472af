/* Fields come out as they went in; what a peer made up is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/pb.h"

#include "base/mem.h"

static void every_wire_type_is_read_back(void **state)
{
    (void)state;
    struct buf b = {0};
    pb_put_varint(&b, 1, 300);
    pb_put_i64(&b, 2, -1);
    pb_put_fixed32(&b, 3, 0xdeadbeef);
    pb_put_fixed64(&b, 4, 0x0123456789abcdef);
    pb_put_double(&b, 5, 1.5);
    pb_put_bytes(&b, 536870911, STR("hello"));
    pb_put_varint_set(&b, 6, 0);
    pb_put_bytes_set(&b, 7, STR(""));
    assert_int_equal(b.error, 0);
    const uint64_t values[] = {300, UINT64_MAX, 0xdeadbeef, 0x0123456789abcdef,
                               0x3ff8000000000000};
    struct pb_reader r = pb_reader(buf_view(&b));
    struct pb_field f;
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(pb_next(&r, &f), 1);
        assert_int_equal(f.number, i + 1);
        assert_true(f.value == values[i]);
    }
    assert_true(pb_double(f.value) == 1.5);
    assert_int_equal(pb_next(&r, &f), 1);
    assert_int_equal(f.number, 536870911);
    assert_int_equal(f.wire, PB_BYTES);
    assert_true(str_eq(f.bytes, STR("hello")));
    assert_int_equal(pb_next(&r, &f), 0);
    buf_reset(&b);
}

static int walk(struct str bytes, size_t *fields)
{
    struct pb_reader r = pb_reader(bytes);
    struct pb_field f;
    int rc;
    *fields = 0;
    while ((rc = pb_next(&r, &f)) > 0)
        ++*fields;
    return rc;
}

static void malformed_bytes_are_refused(void **state)
{
    (void)state;
    const struct str bad[] = {
        STR_INIT("\x08"),     /* no value */
        STR_INIT("\x80"),     /* half a tag */
        STR_INIT("\x00\x01"), /* field 0 */
        STR_INIT("\x0e\x01"), /* wire type 6 */
        STR_INIT("\x0f\x01"), /* wire type 7 */
        STR_INIT("\x0a\x05"
                 "abc"),                                              /* length too large */
        STR_INIT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),     /* 2^64 - 1 bytes */
        STR_INIT("\x0d\x01\x02\x03"),                                 /* half a fixed32 */
        STR_INIT("\x09\x01\x02\x03\x04\x05\x06\x07"),                 /* half a fixed64 */
        STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),     /* 65 bits */
        STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* 11 bytes */
        STR_INIT("\x80\x80\x80\x80\x10\x00"),                         /* field 2^29 */
        STR_INIT("\x0c"),                                             /* ends no group */
        STR_INIT("\x0b\x14"),                                         /* ends another group */
        STR_INIT("\x0b\x08\x01"),                                     /* never ends */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t n;
        if (walk(bad[i], &n) != ERR_PARSE)
            fail_msg("case %zu was accepted", i);
    }
}

static void padded_varints_are_read_as_protobuf_does(void **state)
{
    (void)state;
    struct pb_reader r = pb_reader(STR("\x88\x00\x81\x80\x80\x00"));
    struct pb_field f;
    assert_int_equal(pb_next(&r, &f), 1);
    assert_int_equal(f.number, 1);
    assert_int_equal(f.value, 1);
    assert_int_equal(pb_next(&r, &f), 0);
}

static void groups_are_skipped_whole_to_a_bounded_depth(void **state)
{
    (void)state;
    size_t n;
    /* group 1 { 1: 5, group 2 { 3: "x" } } 2: 7 */
    assert_int_equal(walk(STR("\x0b\x08\x05\x13\x1a\x01x\x14\x0c\x10\x07"), &n), 0);
    assert_int_equal(n, 1);
    uint8_t deep[2 * (PB_GROUP_DEPTH_MAX + 1)];
    size_t d = PB_GROUP_DEPTH_MAX;
    memset(deep, 0x0b, d);
    memset(deep + d, 0x0c, d);
    assert_int_equal(walk(str_of(deep, 2 * d), &n), 0);
    d++;
    memset(deep, 0x0b, d);
    memset(deep + d, 0x0c, d);
    assert_int_equal(walk(str_of(deep, 2 * d), &n), ERR_PARSE);
}

static void nested_messages_get_the_length_they_turn_out_to_have(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 124, 125, 126, 127, 128, 16384, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct buf b = {0};
        size_t outer = pb_begin(&b, 2);
        size_t inner = pb_begin(&b, 40);
        for (size_t k = 0; k < sizes[i]; k++)
            buf_u8(&b, (uint8_t)k);
        pb_end(&b, inner);
        pb_end(&b, outer);
        assert_int_equal(b.error, 0);
        struct buf known = {0}; /* the same, with lengths that are known before */
        pb_put_head(&known, 2, pb_bytes_size(40, sizes[i]));
        pb_put_head(&known, 40, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            buf_u8(&known, (uint8_t)k);
        assert_true(str_eq(buf_view(&known), buf_view(&b)));
        buf_reset(&known);
        struct pb_reader r = pb_reader(buf_view(&b));
        struct pb_field f;
        assert_int_equal(pb_next(&r, &f), 1);
        assert_int_equal(f.number, 2);
        assert_int_equal(r.rest.len, 0);
        r = pb_reader(f.bytes);
        assert_int_equal(pb_next(&r, &f), 1);
        assert_int_equal(f.number, 40);
        assert_int_equal(f.bytes.len, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal((uint8_t)f.bytes.data[k], (uint8_t)k);
        assert_int_equal(pb_next(&r, &f), 0);
        buf_reset(&b);
    }
}

static void packed_varints_are_counted_and_read(void **state)
{
    (void)state;
    struct buf b = {0};
    for (uint64_t v = 1; v != 0; v <<= 3)
        buf_varint(&b, v);
    struct str in = buf_view(&b);
    size_t n = pb_varint_count(in);
    assert_int_equal(n, 22);
    uint64_t want = 1, v;
    for (size_t i = 0; i < n; i++, want <<= 3) {
        assert_int_equal(pb_varint(&in, &v), 0);
        assert_true(v == want);
    }
    assert_int_equal(in.len, 0);
    uint64_t all[22];
    size_t count = 0;
    assert_int_equal(pb_packed(buf_view(&b), all, 22, &count), 0);
    assert_int_equal(count, 22);
    for (size_t i = 0; i < n; i++)
        assert_true(all[i] == (uint64_t)1 << (3 * i));
    assert_int_equal(pb_packed(buf_view(&b), all, 21, &count), ERR_LIMIT);
    assert_int_equal(pb_packed(STR("\x01\x80"), all, 22, &count), ERR_PARSE);
    assert_int_equal(pb_packed(str_of(NULL, 0), all, 0, &count), 0);
    assert_int_equal(count, 0);
    buf_reset(&b);
}

static void a_full_buffer_stays_sticky_and_safe(void **state)
{
    (void)state;
    for (size_t limit = 1; limit < 160; limit++) {
        struct buf b = {.limit = limit};
        size_t m = pb_begin(&b, 1);
        for (int i = 0; i < 140; i++)
            buf_u8(&b, 'x');
        pb_end(&b, m);
        assert_int_equal(b.error, limit < 143 ? ERR_LIMIT : 0);
        buf_reset(&b);
    }
}

static void running_out_of_memory_is_reported_by_the_buffer(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        mem_fail_at(n);
        struct buf b = {0};
        size_t m = pb_begin(&b, 1);
        for (int i = 0; i < 5000; i++)
            pb_put_varint(&b, 1, (uint64_t)i);
        pb_end(&b, m);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(b.error, over ? 0 : ERR_NOMEM);
        buf_reset(&b);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wire_type_is_read_back),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(padded_varints_are_read_as_protobuf_does),
        cmocka_unit_test(groups_are_skipped_whole_to_a_bounded_depth),
        cmocka_unit_test(nested_messages_get_the_length_they_turn_out_to_have),
        cmocka_unit_test(packed_varints_are_counted_and_read),
        cmocka_unit_test(a_full_buffer_stays_sticky_and_safe),
        cmocka_unit_test(running_out_of_memory_is_reported_by_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
