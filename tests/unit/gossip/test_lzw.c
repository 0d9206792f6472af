/* LZW gives Go's bytes, takes them back, and stops at the limit whatever it is fed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/lzw.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "gossip/digest.h"
#include "hex.h"

static void round_trip(struct str in)
{
    struct buf packed = {0}, out = {0};
    assert_int_equal(lzw_encode(&packed, in), 0);
    assert_int_equal(lzw_decode(&out, buf_view(&packed)), 0);
    assert_true(str_eq(buf_view(&out), in));
    buf_reset(&packed);
    buf_reset(&out);
}

static void the_vectors_of_go_come_out(void **state)
{
    (void)state;
    struct buf in = {0}, out = {0};
    assert_int_equal(lzw_encode(&out, (struct str){0}), 0);
    assert_hex(buf_view(&out), "000302");
    buf_clear(&out);
    assert_int_equal(lzw_encode(&out, STR("aaaaaaaaaa")), 0);
    assert_hex(buf_view(&out), "00c3081c483020");
    buf_clear(&out);
    hex_put(&in, VECTOR_ALIVE);
    assert_int_equal(lzw_encode(&out, buf_view(&in)), 0);
    assert_hex(buf_view(&out), VECTOR_ALIVE_LZW);
    buf_reset(&in);
    buf_reset(&out);
}

/* 20,000 bytes of Go's generator with seed 1: the dictionary fills and is cleared many times. */
static void a_long_input_gives_the_bytes_of_go(void **state)
{
    (void)state;
    struct buf in = {0}, out = {0}, back = {0};
    FILE *f = fopen("tests/unit/gossip/data/go-rand-seed-1.bin", "rb");
    assert_non_null(f);
    in.size = fread(buf_reserve(&in, 20001), 1, 20001, f);
    fclose(f);
    assert_int_equal(in.size, 20000);
    assert_int_equal(digest_crc32(buf_view(&in)), 0x344a9848);
    assert_int_equal(lzw_encode(&out, buf_view(&in)), 0);
    assert_int_equal(out.size, 27316);
    assert_int_equal(digest_crc32(buf_view(&out)), 0xd5a6a31d);
    assert_int_equal(lzw_decode(&back, buf_view(&out)), 0);
    assert_true(str_eq(buf_view(&back), buf_view(&in)));
    buf_reset(&in);
    buf_reset(&out);
    buf_reset(&back);
}

static void everything_comes_back(void **state)
{
    (void)state;
    struct rng r;
    struct buf in = {0};
    rng_seed(&r, 7);
    for (size_t size = 0; size < 60000; size = size * 2 + 1)
        for (uint64_t letters = 1; letters <= 256; letters *= 16) {
            buf_clear(&in);
            for (size_t i = 0; i < size; i++)
                buf_u8(&in, (uint8_t)rng_below(&r, letters));
            round_trip(buf_view(&in));
        }
    buf_reset(&in);
}

static void a_bomb_stops_at_the_limit(void **state)
{
    (void)state;
    struct buf in = {0}, packed = {0}, out = {.limit = 100000};
    memset(buf_reserve(&in, 10 << 20), 0, 10 << 20);
    in.size = 10 << 20;
    assert_int_equal(lzw_encode(&packed, buf_view(&in)), 0);
    assert_true(packed.size < 100000);
    assert_int_equal(lzw_decode(&out, buf_view(&packed)), ERR_LIMIT);
    assert_true(out.size <= 100000);
    buf_reset(&in);
    buf_reset(&packed);
    buf_reset(&out);
}

static void broken_input_is_refused(void **state)
{
    (void)state;
    static const char *bad[] = {"", "00", "0003", "ffffff", "00ffff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf in = {0}, out = {.limit = 1000};
        hex_put(&in, bad[i]);
        assert_int_equal(lzw_decode(&out, buf_view(&in)), ERR_PARSE);
        buf_reset(&in);
        buf_reset(&out);
    }
}

static void without_memory_it_says_so(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct buf packed = {0}, out = {0};
        mem_fail_at(n);
        int rc = lzw_encode(&packed, STR("some text, some text"));
        rc = rc == 0 ? lzw_decode(&out, buf_view(&packed)) : rc;
        int over = mem_fail_pending();
        mem_fail_at(0);
        buf_reset(&packed);
        buf_reset(&out);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_go_come_out),
        cmocka_unit_test(a_long_input_gives_the_bytes_of_go),
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(a_bomb_stops_at_the_limit),
        cmocka_unit_test(broken_input_is_refused),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
