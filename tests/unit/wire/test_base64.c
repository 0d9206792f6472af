/* Text of either alphabet is read, text of none is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/base64.h"

#include "base/mem.h"

static const struct {
    const char *plain, *padded, *bare;
} VECTORS[] = {
    /* RFC 4648, section 10 */
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
};

static void reads_as(const char *text, struct str want)
{
    uint8_t out[64];
    size_t n = 99;
    assert_true(base64_room(strlen(text)) <= sizeof out);
    assert_int_equal(base64_read(str_c(text), out, &n), 0);
    assert_true(str_eq(str_of(out, n), want));
}

static void base64_gives_the_published_vectors_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof VECTORS / sizeof VECTORS[0]; i++) {
        struct buf b = {0};
        base64_put(&b, str_c(VECTORS[i].plain), true);
        assert_true(str_eq(buf_view(&b), str_c(VECTORS[i].padded)));
        buf_clear(&b);
        base64_put(&b, str_c(VECTORS[i].plain), false);
        assert_true(str_eq(buf_view(&b), str_c(VECTORS[i].bare)));
        buf_reset(&b);
        reads_as(VECTORS[i].padded, str_c(VECTORS[i].plain));
        reads_as(VECTORS[i].bare, str_c(VECTORS[i].plain));
    }
    reads_as("+/+/", STR("\xfb\xff\xbf"));
    reads_as("-_-_", STR("\xfb\xff\xbf"));
}

static void text_that_is_no_base64_is_refused(void **state)
{
    (void)state;
    const char *bad[] = {"Z",
                         "Zg=",
                         "Zg===",
                         "=",
                         "====",
                         "Zm9v=",
                         "Zm9vY",
                         "Zm 9v",
                         "Zm9v\n",
                         "Z=g=",
                         "Zh==",
                         "Zm9=",
                         "Zm9vYh",
                         "Zg==Zg==",
                         "Zm9v!",
                         "\303\251aa"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t out[64];
        size_t n;
        if (base64_read(str_c(bad[i]), out, &n) != ERR_PARSE)
            fail_msg("\"%s\" was accepted", bad[i]);
    }
}

static void hexadecimal_goes_both_ways(void **state)
{
    (void)state;
    struct buf b = {0};
    hex_put(&b, STR("\x00\x9f\xff"));
    assert_true(str_eq(buf_view(&b), STR("009fff")));
    uint8_t out[3];
    assert_int_equal(hex_read(STR("009FfF"), out, 3), 0);
    assert_memory_equal(out, "\x00\x9f\xff", 3);
    assert_int_equal(hex_read(STR("009ff"), out, 3), ERR_PARSE);
    assert_int_equal(hex_read(STR("009fff0"), out, 3), ERR_PARSE);
    assert_int_equal(hex_read(STR("009ff"), out, 2), ERR_PARSE);
    assert_int_equal(hex_read(STR("009fgf"), out, 3), ERR_PARSE);
    buf_reset(&b);
}

static void no_memory_is_the_buffers_error(void **state)
{
    (void)state;
    struct buf b = {0};
    mem_fail_at(1);
    base64_put(&b, STR("abc"), true);
    assert_int_equal(b.error, ERR_NOMEM);
    buf_reset(&b);
    mem_fail_at(1);
    hex_put(&b, STR("abc"));
    assert_int_equal(b.error, ERR_NOMEM);
    assert_int_equal(b.size, 0);
    buf_reset(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_gives_the_published_vectors_both_ways),
        cmocka_unit_test(text_that_is_no_base64_is_refused),
        cmocka_unit_test(hexadecimal_goes_both_ways),
        cmocka_unit_test(no_memory_is_the_buffers_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
