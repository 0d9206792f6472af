/* What was packed comes back; what lies about its size is stopped at the limit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/compress.h"
#include "wire/snappy.h"

#include "base/mem.h"
#include "base/rng.h"

/* Bytes that compress about 2x. */
static struct buf sample(size_t size)
{
    struct buf b = {0};
    struct rng r;
    rng_seed(&r, 7);
    while (b.size < size)
        buf_u8(&b, (uint8_t)rng_below(&r, 16));
    assert_int_equal(b.error, 0);
    return b;
}

static void gzip_gives_back_what_it_took(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 100, 70000};
    const int levels[] = {GZIP_FAST, GZIP_NORMAL, 9};
    for (size_t i = 0; i < 12; i++) {
        struct buf in = sample(sizes[i / 3]), packed = {0}, out = {0};
        assert_int_equal(gzip_pack(buf_view(&in), levels[i % 3], &packed), 0);
        assert_true(gzip_detect(buf_view(&packed)));
        assert_int_equal(gzip_unpack(buf_view(&packed), in.size, &out, NULL), 0);
        assert_true(str_eq(buf_view(&in), buf_view(&out)));
        buf_reset(&in);
        buf_reset(&packed);
        buf_reset(&out);
    }
}

static void every_optional_header_field_is_skipped(void **state)
{
    (void)state;
    /* extra field, name, comment and header checksum, then "hello, profile" */
    static const char gz[] =
        "\x1f\x8b\x08\x1e\x00\xf1\x53\x65\x00\x03\x04\x00\x61\x62\x00\x00\x63\x70\x75\x2e"
        "\x70\x62\x00\x6e\x6f\x74\x65\x00\x9f\x7c\xcb\x48\xcd\xc9\xc9\xd7\x51\x28\x28\xca"
        "\x4f\xcb\xcc\x49\xe5\x02\x00\x29\xb9\x7c\x38\x0f\x00\x00\x00";
    struct buf out = {0};
    assert_int_equal(gzip_unpack(str_of(gz, sizeof gz - 1), 15, &out, NULL), 0);
    assert_true(str_eq(buf_view(&out), STR("hello, profile\n")));
    assert_int_equal(out.cap,
                     15); /* the size in the trailer is true: one pass, no more memory */
    buf_reset(&out);
}

static void all_members_are_joined(void **state)
{
    (void)state;
    struct buf in = sample(5000), packed = {0}, want = {0}, out = {0};
    for (int i = 0; i < 5; i++) {
        size_t n = i == 4 ? 1 : 5000; /* ISIZE of the last says 1 */
        assert_int_equal(gzip_pack(str_of(in.data, n), GZIP_FAST, &packed), 0);
        buf_put(&want, in.data, n);
    }
    assert_int_equal(gzip_unpack(buf_view(&packed), want.size, &out, NULL), 0);
    assert_true(str_eq(buf_view(&want), buf_view(&out)));
    assert_int_equal(gzip_unpack(buf_view(&packed), want.size - 1, &out, NULL), ERR_LIMIT);
    buf_u8(&packed, 0);
    assert_int_equal(gzip_unpack(buf_view(&packed), want.size, &out, NULL), ERR_PARSE);
    assert_int_equal(out.size, 0);
    buf_reset(&in);
    buf_reset(&packed);
    buf_reset(&want);
    buf_reset(&out);
}

static void cut_or_flipped_bytes_are_refused(void **state)
{
    (void)state;
    struct buf in = sample(400), packed = {0}, out = {0};
    assert_int_equal(gzip_pack(buf_view(&in), GZIP_NORMAL, &packed), 0);
    for (size_t n = 0; n < packed.size; n++)
        assert_int_equal(gzip_unpack(str_of(packed.data, n), 1 << 20, &out, NULL), ERR_PARSE);
    for (size_t i = 10; i < packed.size; i++) { /* the header's time and system may change */
        packed.data[i] ^= 0x10;
        struct err e = {0};
        int rc = gzip_unpack(buf_view(&packed), 1 << 20, &out, &e);
        assert_true(rc == ERR_PARSE || rc == ERR_LIMIT);
        assert_int_equal(e.code, rc);
        packed.data[i] ^= 0x10;
    }
    buf_reset(&in);
    buf_reset(&packed);
    buf_reset(&out);
}

/* A bomb must end at the limit, with no more memory than that. */
static void a_bomb_costs_no_more_than_the_limit(void **state)
{
    (void)state;
    size_t size = 32 << 20;
    void *zeros = mem_zalloc(size);
    assert_non_null(zeros);
    struct buf bomb = {0}, out = {0};
    assert_int_equal(gzip_pack(str_of(zeros, size), 9, &bomb), 0);
    mem_free(zeros);
    assert_true(bomb.size < 64 * 1024);
    for (size_t limit = 0; limit < size; limit = limit * 3 + 1) {
        assert_int_equal(gzip_unpack(buf_view(&bomb), limit, &out, NULL), ERR_LIMIT);
        assert_true(out.cap <= limit || out.cap == 1);
    }
    for (size_t lie = 0; lie < 5; lie++) { /* ISIZE is a hint only: every lie is found out */
        const uint32_t sizes[] = {0, 1, 1 << 20, (32 << 20) + 1, UINT32_MAX};
        for (size_t k = 0; k < 4; k++)
            bomb.data[bomb.size - 4 + k] = (uint8_t)(sizes[lie] >> (8 * k));
        assert_int_equal(gzip_unpack(buf_view(&bomb), 1 << 20, &out, NULL), ERR_LIMIT);
        assert_int_equal(gzip_unpack(buf_view(&bomb), 64 << 20, &out, NULL), ERR_PARSE);
        assert_true(out.cap <= 64 << 20);
    }
    buf_reset(&bomb);
    buf_reset(&out);
}

static void the_buffers_own_limit_counts_too(void **state)
{
    (void)state;
    struct buf in = sample(1000), packed = {0}, out = {.limit = 999};
    assert_int_equal(gzip_pack(buf_view(&in), GZIP_FAST, &packed), 0);
    assert_int_equal(gzip_unpack(buf_view(&packed), 5000, &out, NULL), ERR_LIMIT);
    out.limit = 1000;
    assert_int_equal(gzip_unpack(buf_view(&packed), 5000, &out, NULL), 0);
    assert_int_equal(out.limit, 1000);
    struct buf tight = {.limit = 10};
    assert_int_equal(gzip_pack(buf_view(&in), GZIP_FAST, &tight), ERR_LIMIT);
    assert_int_equal(tight.error, ERR_LIMIT);
    buf_reset(&in);
    buf_reset(&packed);
    buf_reset(&out);
    buf_reset(&tight);
}

static void lz4_gives_back_exactly_what_it_took(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 100, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buf in = sample(sizes[i]), packed = {0}, out = {0};
        assert_int_equal(lz4_pack(buf_view(&in), &packed), 0);
        buf_c(&out, "head");
        assert_int_equal(lz4_unpack(buf_view(&packed), in.size, &out), 0);
        assert_true(str_eq(str_skip(buf_view(&out), 4), buf_view(&in)));
        out.size = 4;
        assert_int_equal(lz4_unpack(buf_view(&packed), in.size + 1, &out), ERR_PARSE);
        if (in.size > 0)
            assert_int_equal(lz4_unpack(buf_view(&packed), in.size - 1, &out), ERR_PARSE);
        assert_int_equal(out.size, 4);
        assert_int_equal(out.error, 0);
        buf_reset(&in);
        buf_reset(&packed);
        buf_reset(&out);
    }
}

static void a_size_that_a_block_cannot_fill_is_not_allocated(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(lz4_unpack(STR("\x10"
                                    "a"),
                                (size_t)1 << 40, &out),
                     ERR_PARSE);
    assert_int_equal(lz4_unpack(STR(""), 0, &out), ERR_PARSE);
    assert_int_equal(snappy_unpack(STR("\xff\xff\xff\xff\x0f"
                                       "ab"),
                                   SIZE_MAX, &out),
                     ERR_PARSE);
    assert_int_equal(snappy_unpack(STR(""), 10, &out), ERR_PARSE);
    assert_null(out.data);
}

static void snappy_speaks_the_block_format(void **state)
{
    (void)state;
    /* "abcabcabc...": 30 bytes as a literal of 3 and one copy of 27 bytes, 3 back */
    struct buf out = {0}, packed = {0};
    assert_int_equal(snappy_unpack(STR("\x1e\x08"
                                       "abc"
                                       "\x6a\x03\x00"),
                                   30, &out),
                     0);
    assert_true(str_eq(buf_view(&out), STR("abcabcabcabcabcabcabcabcabcabc")));
    assert_int_equal(snappy_unpack(STR("\x1e\x08"
                                       "abc"
                                       "\x6a\x03\x00"),
                                   29, &out),
                     ERR_LIMIT);
    assert_int_equal(snappy_unpack(STR("\x1f\x08"
                                       "abc"
                                       "\x6a\x03\x00"),
                                   99, &out),
                     ERR_PARSE);
    assert_int_equal(snappy_unpack(STR("\x1e\x08"
                                       "abc"
                                       "\x6a\x09\x00"),
                                   99, &out),
                     ERR_PARSE);
    assert_int_equal(out.size, 30);
    assert_int_equal(snappy_pack(buf_view(&out), &packed), 0);
    buf_clear(&out);
    assert_int_equal(snappy_unpack(buf_view(&packed), 30, &out), 0);
    assert_int_equal(out.size, 30);
    buf_clear(&packed);
    assert_int_equal(snappy_pack(STR(""), &packed), 0);
    assert_true(str_eq(buf_view(&packed), str_of("\0", 1)));
    assert_int_equal(snappy_unpack(buf_view(&packed), 0, &out), 0);
    buf_reset(&out);
    buf_reset(&packed);
}

static void running_out_of_memory_is_an_error_everywhere(void **state)
{
    (void)state;
    struct buf in = sample(3000), gz = {0}, lz = {0}, sn = {0};
    assert_int_equal(gzip_pack(buf_view(&in), 1, &gz), 0);
    assert_int_equal(lz4_pack(buf_view(&in), &lz), 0);
    assert_int_equal(snappy_pack(buf_view(&in), &sn), 0);
    for (int what = 0; what < 6; what++) {
        for (uint64_t n = 1;; n++) {
            struct buf out = {0};
            mem_fail_at(n);
            int rc = what == 0   ? gzip_pack(buf_view(&in), 1, &out)
                     : what == 1 ? gzip_unpack(buf_view(&gz), 3000, &out, NULL)
                     : what == 2 ? lz4_pack(buf_view(&in), &out)
                     : what == 3 ? lz4_unpack(buf_view(&lz), 3000, &out)
                     : what == 4 ? snappy_pack(buf_view(&in), &out)
                                 : snappy_unpack(buf_view(&sn), 3000, &out);
            bool over = mem_fail_pending();
            mem_fail_at(0);
            assert_int_equal(rc, over ? 0 : ERR_NOMEM);
            assert_true(over || out.size == 0);
            buf_reset(&out);
            if (over) {
                assert_true(n > 1);
                break;
            }
        }
    }
    buf_reset(&in);
    buf_reset(&gz);
    buf_reset(&lz);
    buf_reset(&sn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gzip_gives_back_what_it_took),
        cmocka_unit_test(every_optional_header_field_is_skipped),
        cmocka_unit_test(all_members_are_joined),
        cmocka_unit_test(cut_or_flipped_bytes_are_refused),
        cmocka_unit_test(a_bomb_costs_no_more_than_the_limit),
        cmocka_unit_test(the_buffers_own_limit_counts_too),
        cmocka_unit_test(lz4_gives_back_exactly_what_it_took),
        cmocka_unit_test(a_size_that_a_block_cannot_fill_is_not_allocated),
        cmocka_unit_test(snappy_speaks_the_block_format),
        cmocka_unit_test(running_out_of_memory_is_an_error_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
