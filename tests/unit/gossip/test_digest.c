/* The checksums are those of their standards, at every length around a block's end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/digest.h"

#include "hex.h"

static void crc32_is_that_of_ieee(void **state)
{
    (void)state;
    struct buf alive = {0};
    assert_int_equal(digest_crc32((struct str){0}), 0);
    assert_int_equal(digest_crc32(STR("123456789")), 0xcbf43926);
    hex_put(&alive, VECTOR_ALIVE);
    assert_int_equal(digest_crc32(buf_view(&alive)), 0xe85ba1e3);
    buf_reset(&alive);
}

static void md5_is_that_of_rfc_1321(void **state)
{
    (void)state;
    static const struct {
        const char *in, *digest;
    } rows[] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t out[MD5_SIZE];
        digest_md5(str_c(rows[i].in), out);
        assert_hex(str_of(out, sizeof out), rows[i].digest);
    }
}

/* One digest over the digests of 0 .. 200 bytes: computed with a second implementation. */
static void md5_holds_at_all_lengths(void **state)
{
    (void)state;
    uint8_t in[200], all[201 * MD5_SIZE], out[MD5_SIZE];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 7);
    for (size_t n = 0; n <= sizeof in; n++)
        digest_md5(str_of(in, n), all + n * MD5_SIZE);
    digest_md5(str_of(all, sizeof all), out);
    assert_hex(str_of(out, sizeof out), "eb350bfbf075326c945ddb60048458ac");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32_is_that_of_ieee),
        cmocka_unit_test(md5_is_that_of_rfc_1321),
        cmocka_unit_test(md5_holds_at_all_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
