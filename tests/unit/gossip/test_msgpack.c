/* msgpack in the dialect of memberlist: what is written is what Go writes, what is read may be
 * any form that Go reads, and no length or nesting from outside is believed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/msgpack.h"

#include <string.h>

#include "base/err.h"
#include "hex.h"

static void integers_take_the_forms_of_go(void **state)
{
    (void)state;
    struct buf b = {0};
    static const uint64_t u[] = {0, 127, 128, 255, 256, 65535, 65536, 4294967295u, 4294967296u};
    for (size_t i = 0; i < sizeof u / sizeof u[0]; i++)
        mp_put_uint(&b, u[i]);
    assert_hex(buf_view(&b), "007fcc80ccffcd0100cdffffce00010000ceffffffffcf0000000100000000");
    buf_clear(&b);
    static const int64_t s[] = {0, 127, 128, 200, 32767, 32768, 70000, 2147483648, -1, -33, -200};
    for (size_t i = 0; i < sizeof s / sizeof s[0]; i++)
        mp_put_int(&b, s[i]);
    assert_hex(buf_view(&b), "007fd10080d100c8d17fffd200008000d200011170d30000000080000000ffd0df"
                             "d1ff38");
    struct mp_reader r = mp_reader_of(buf_view(&b));
    for (size_t i = 0; i < sizeof s / sizeof s[0]; i++)
        assert_int_equal(mp_get_int(&r), s[i]);
    assert_int_equal(r.status, 0);
    buf_reset(&b);
}

static void strings_are_raw_and_never_str8(void **state)
{
    (void)state;
    struct buf b = {0}, text = {0};
    static const size_t sizes[] = {0, 31, 32, 70, 65535, 65536};
    static const char *heads[] = {"a0", "bf", "da0020", "da0046", "daffff", "db00010000"};
    for (size_t i = 0; i < 6; i++) {
        buf_clear(&b);
        buf_clear(&text);
        memset(buf_reserve(&text, sizes[i] + 1), 'x', sizes[i]);
        text.size = sizes[i];
        mp_put_raw(&b, buf_view(&text));
        assert_hex(str_head(buf_view(&b), strlen(heads[i]) / 2), heads[i]);
        struct mp_reader r = mp_reader_of(buf_view(&b));
        assert_true(str_eq(mp_get_raw(&r), buf_view(&text)));
        assert_int_equal(r.status, 0);
    }
    buf_reset(&b);
    buf_reset(&text);
}

static void strings_are_read_in_every_form(void **state)
{
    (void)state;
    static const char *forms[] = {"a26869", "d9026869", "da00026869", "db000000026869",
                                  "c4026869", "c500026869", "c6000000026869"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct buf b = {0};
        hex_put(&b, forms[i]);
        struct mp_reader r = mp_reader_of(buf_view(&b));
        assert_true(str_eq(mp_get_raw(&r), STR("hi")));
        assert_int_equal(r.status, 0);
        buf_reset(&b);
    }
}

/* Every prefix of a value is "too early", never a crash and never "wrong". */
static void a_cut_value_asks_for_more(void **state)
{
    (void)state;
    struct buf b = {0};
    hex_put(&b, "da0003616263");
    for (size_t n = 0; n < b.size; n++) {
        struct mp_reader r = mp_reader_of(str_head(buf_view(&b), n));
        (void)mp_get_raw(&r);
        assert_int_equal(r.status, ERR_AGAIN);
    }
    buf_reset(&b);
}

static void numbers_out_of_range_and_of_other_types_are_refused(void **state)
{
    (void)state;
    static const char *bad[] = {"ff", "cd0100", "cfffffffffffffffff", "a161", "c3", "c1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf b = {0};
        hex_put(&b, bad[i]);
        struct mp_reader r = mp_reader_of(buf_view(&b));
        assert_int_equal(mp_get_uint(&r, 255), 0);
        assert_int_equal(r.status, ERR_PARSE);
        buf_reset(&b);
    }
}

static void every_type_can_be_skipped(void **state)
{
    (void)state;
    static const char *values[] = {
        "c0", "c2", "7f", "e0", "cc01", "cd0102", "ce01020304", "cf0102030405060708", "d0ff",
        "d1ffff", "d2ffffffff", "d3ffffffffffffffff", "ca01020304", "cb0102030405060708", "a161",
        "d90161", "c40161", "d40101", "d8010102030405060708090a0b0c0d0e0f10", "c7020161ff",
        "82a161930102c0a162dc000291c080", "de0001a161df00000001a1620a", "dd00000001c0"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct buf b = {0};
        hex_put(&b, values[i]);
        buf_u8(&b, 0x2a);
        struct mp_reader r = mp_reader_of(buf_view(&b));
        mp_skip(&r);
        assert_int_equal(mp_get_uint(&r, 255), 0x2a);
        assert_int_equal(r.status, 0);
        buf_reset(&b);
    }
}

/* Five bytes that announce four thousand million values must cost nothing. */
static void an_absurd_container_is_refused(void **state)
{
    (void)state;
    static const char *bad[] = {"ddffffffff", "dfffffffff"};
    for (size_t i = 0; i < 2; i++) {
        struct buf b = {0};
        hex_put(&b, bad[i]);
        struct mp_reader r = mp_reader_of(buf_view(&b));
        mp_skip(&r);
        assert_int_equal(r.status, ERR_PARSE);
        buf_reset(&b);
    }
    struct buf deep = {0};
    for (int i = 0; i < 100000; i++)
        buf_u8(&deep, 0x91);
    struct mp_reader r = mp_reader_of(buf_view(&deep));
    mp_skip(&r);
    assert_int_equal(r.status, ERR_PARSE);
    buf_reset(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_take_the_forms_of_go),
        cmocka_unit_test(strings_are_raw_and_never_str8),
        cmocka_unit_test(strings_are_read_in_every_form),
        cmocka_unit_test(a_cut_value_asks_for_more),
        cmocka_unit_test(numbers_out_of_range_and_of_other_types_are_refused),
        cmocka_unit_test(every_type_can_be_skipped),
        cmocka_unit_test(an_absurd_container_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
