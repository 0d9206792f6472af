/* Known answers, and the same answer whichever way the bytes arrive. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/base64.h"
#include "wire/hash.h"

#include "base/rng.h"

static void fnv1_is_that_of_its_authors(void **state)
{
    (void)state;
    assert_int_equal(hash_fnv1_32(FNV1_32_START, STR("")), 0x811c9dc5);
    assert_int_equal(hash_fnv1_32(FNV1_32_START, STR("a")), 0x050c5d7e);
    assert_int_equal(hash_fnv1_32(FNV1_32_START, STR("foobar")), 0x31f0b262);
    uint32_t h = hash_fnv1_32(FNV1_32_START, STR("foo"));
    assert_int_equal(hash_fnv1_32(h, STR("bar")), 0x31f0b262);
}

static void checksums_of_the_check_string_are_the_published_ones(void **state)
{
    (void)state;
    struct str check = STR("123456789");
    assert_int_equal(hash_crc32(0, check), 0xcbf43926);
    assert_int_equal(hash_crc32c(0, check), 0xe3069283);
    assert_int_equal(hash_crc32c_portable(0, check), 0xe3069283);
    assert_int_equal(hash_crc32(0, STR("")), 0);
    assert_int_equal(hash_crc32c(0, STR("")), 0);
    /* RFC 3720, B.4 */
    uint8_t b[32] = {0};
    assert_int_equal(hash_crc32c(0, str_of(b, 32)), 0x8a9136aa);
    memset(b, 0xff, sizeof b);
    assert_int_equal(hash_crc32c(0, str_of(b, 32)), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        b[i] = i;
    assert_int_equal(hash_crc32c(0, str_of(b, 32)), 0x46dd794e);
}

static void pieces_give_the_checksum_of_the_whole(void **state)
{
    (void)state;
    uint8_t b[300];
    struct rng r;
    rng_seed(&r, 3);
    rng_bytes(&r, b, sizeof b);
    for (size_t cut = 0; cut <= sizeof b; cut++) {
        struct str whole = str_of(b, sizeof b), head = str_head(whole, cut);
        struct str tail = str_skip(whole, cut);
        assert_int_equal(hash_crc32c(0, head), hash_crc32c_portable(0, head));
        assert_int_equal(hash_crc32c(hash_crc32c(0, head), tail), hash_crc32c(0, whole));
        assert_int_equal(hash_crc32(hash_crc32(0, head), tail), hash_crc32(0, whole));
    }
}

static void xxhash_is_that_of_its_author(void **state)
{
    (void)state;
    assert_true(hash_xxh64(STR(""), 0) == 0xef46db3751d8e999u);
    assert_true(hash_xxh64(str_of(NULL, 0), 0) == 0xef46db3751d8e999u);
    assert_true(hash_xxh64(STR("abc"), 0) == 0x44bc2cf5ad770999u);
    assert_true(hash_xxh3(STR(""), 0) == 0x2d06800538d394c2u);
    assert_true(hash_xxh3(STR("abc"), 0) == 0x78af5f94892f3950u);
    assert_true(hash_xxh3(STR("abc"), 1) != hash_xxh3(STR("abc"), 2));
}

static void md5_is_that_of_rfc_1321(void **state)
{
    (void)state;
    uint8_t out[MD5_SIZE];
    struct buf hex = {0};
    hash_md5(STR(""), out);
    hex_put(&hex, str_of(out, MD5_SIZE));
    assert_true(str_eq(buf_view(&hex), STR("d41d8cd98f00b204e9800998ecf8427e")));
    buf_clear(&hex);
    hash_md5(STR("message digest"), out);
    hex_put(&hex, str_of(out, MD5_SIZE));
    assert_true(str_eq(buf_view(&hex), STR("f96b697d7cb7938d525a2f31aaf161d0")));
    buf_reset(&hex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fnv1_is_that_of_its_authors),
        cmocka_unit_test(checksums_of_the_check_string_are_the_published_ones),
        cmocka_unit_test(pieces_give_the_checksum_of_the_whole),
        cmocka_unit_test(xxhash_is_that_of_its_author),
        cmocka_unit_test(md5_is_that_of_rfc_1321),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
