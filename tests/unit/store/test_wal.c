/* Records come back as they were put; batches go out whole, in order, and not across segments. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "store/wal.h"

enum { SEGMENT = 4096, SEGMENTS = 40 };

static void a_header_comes_back_and_a_turned_bit_does_not(void **state)
{
    (void)state;
    struct wal_header h = {
        .generation = 7, .flags = WAL_LAX, .segment = 3, .salt = 99, .created = 1234};
    struct wal_header back;
    uint8_t bytes[WAL_HEADER_SIZE];
    memset(h.disk, 5, sizeof h.disk);
    wal_header_put(&h, bytes);
    assert_memory_equal(bytes, "EMBRLOG1", 8);
    assert_int_equal(wal_header_read(str_of(bytes, sizeof bytes), &back), 0);
    uint8_t again[WAL_HEADER_SIZE];
    wal_header_put(&back, again);
    assert_memory_equal(bytes, again, sizeof bytes);
    for (unsigned bit = 0; bit < WAL_HEADER_SIZE * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(wal_header_read(str_of(bytes, sizeof bytes), &back), ERR_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(wal_header_read(str_of(bytes, 63), &back), ERR_CORRUPT);
    bytes[8] = 2; /* a newer version with a checksum that fits */
    uint32_t crc = store_crc(0, bytes, 60);
    for (unsigned i = 0; i < 4; i++)
        bytes[60 + i] = (uint8_t)(crc >> (8 * i));
    assert_int_equal(wal_header_read(str_of(bytes, sizeof bytes), &back), ERR_VERSION);
}

/* A disk of segments that takes batches. */
struct disk {
    uint8_t bytes[SEGMENTS][SEGMENT];
};

static void write_batch(struct disk *d, const struct wal_batch *b)
{
    assert_true(b->segment < SEGMENTS && b->offset + b->bytes.len <= SEGMENT);
    memcpy(d->bytes[b->segment] + b->offset, b->bytes.data, b->bytes.len);
}

static void records_come_back_in_order_over_segments(void **state)
{
    (void)state;
    static struct disk d;
    struct wal *w = NULL;
    struct rng rng;
    uint64_t put = 0, dots = 0, out_dots = 0;
    wal_pos at[600];
    size_t lens[600];
    memset(&d, 0, sizeof d);
    rng_seed(&rng, 3);
    assert_int_equal(wal_init(&w, 42, SEGMENT), 0);
    while (put < 600) {
        uint8_t body[600];
        struct wal_dot dot = {1, (uint32_t)put + 1};
        size_t len = 1 + rng_below(&rng, rng_chance(&rng, 1, 9) ? 600 : 90);
        memset(body, (int)put, len);
        const struct str pieces[] = {str_of(body, len / 2), str_of(body, len - len / 2)};
        int rc = wal_put(w, pieces, 2, &dot, put % 2, &at[put]);
        uint32_t segment;
        if (rc == 0) {
            lens[put] = len;
            dots += put % 2;
            put++;
        } else {
            assert_int_equal(rc, ERR_AGAIN);
        }
        if (wal_wants_segment(w, &segment) && (rc != 0 || rng_chance(&rng, 1, 3)))
            wal_segment_ready(w, segment);
        struct wal_batch b;
        if (rng_chance(&rng, 1, 4) && wal_next_batch(w, &b)) {
            write_batch(&d, &b);
            out_dots += b.dot_count;
            wal_batch_done(w, 0);
            assert_int_equal(wal_committed(w), b.end);
        }
    }
    for (struct wal_batch b; wal_next_batch(w, &b);) {
        write_batch(&d, &b);
        out_dots += b.dot_count;
        wal_batch_done(w, 0);
    }
    assert_int_equal(out_dots, dots);
    assert_int_equal(wal_pending(w), 0);
    assert_int_equal(wal_records(w), 600);
    uint64_t k = 0;
    for (uint32_t i = 0; i <= wal_segment(wal_committed(w)); i++) {
        struct wal_cursor c = {d.bytes[i], SEGMENT, 42, WAL_HEADER_SIZE, 0, 0};
        struct str body;
        while (wal_read(&c, &body) == 1) {
            assert_int_equal(wal_pos_of(i, c.body_at), at[k]);
            assert_int_equal(body.len, lens[k]);
            assert_int_equal((uint8_t)body.data[body.len - 1], (uint8_t)k);
            k++;
        }
        assert_false(wal_has_later(&c));
        assert_true(wal_is_zero_from(&c));
        struct wal_cursor other = {d.bytes[i], SEGMENT, 43, WAL_HEADER_SIZE, 0, 0};
        assert_int_equal(wal_read(&other, &body), ERR_CORRUPT); /* another file's salt */
    }
    assert_int_equal(k, 600);
    wal_free(&w);
}

static void a_failed_batch_ends_the_log_and_drops_what_came_later(void **state)
{
    (void)state;
    struct wal *w = NULL;
    struct wal_batch b;
    wal_pos pos;
    struct str body = STR("hello");
    assert_int_equal(wal_init(&w, 1, SEGMENT), 0);
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), 0);
    assert_true(wal_next_batch(w, &b));
    wal_batch_done(w, 0);
    wal_pos good = wal_committed(w);
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), 0);
    assert_true(wal_next_batch(w, &b));
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), 0);
    assert_int_equal(wal_waiting_records(w), 1);
    wal_batch_done(w, ERR_IO);
    assert_int_equal(wal_committed(w), good);
    assert_false(wal_next_batch(w, &b));
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), ERR_SEALED);
    wal_free(&w);
}

static void a_missing_segment_refuses_what_does_not_fit_until_it_is_there(void **state)
{
    (void)state;
    struct wal *w = NULL;
    wal_pos pos;
    static uint8_t big[SEGMENT];
    uint32_t segment;
    struct str body = str_of(big, 1000), large = str_of(big, sizeof big);
    assert_int_equal(wal_init(&w, 1, SEGMENT), 0);
    assert_int_equal(wal_put(w, &large, 1, NULL, 0, &pos), ERR_LIMIT);
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), 0);
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), 0);
    assert_false(wal_wants_segment(w, &segment));
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), 0);
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), ERR_AGAIN);
    assert_true(wal_wants_segment(w, &segment));
    assert_int_equal(segment, 1);
    wal_segment_failed(w, ERR_NOSPC);
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), ERR_NOSPC);
    struct str small = STR("x"); /* what fits still goes */
    assert_int_equal(wal_put(w, &small, 1, NULL, 0, &pos), 0);
    wal_segment_ready(w, 1);
    assert_int_equal(wal_put(w, &body, 1, NULL, 0, &pos), 0);
    assert_int_equal(pos, wal_pos_of(1, WAL_HEADER_SIZE + WAL_PREFIX_SIZE));
    wal_free(&w);
}

static void memory_may_run_out_in_a_put(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct wal *w = NULL;
        wal_pos pos = 0;
        struct wal_batch b;
        struct wal_dot dot = {0, 1};
        struct str body = STR("hello");
        mem_fail_at(n);
        int rc = wal_init(&w, 1, SEGMENT);
        if (rc == 0)
            rc = wal_put(w, &body, 1, &dot, 1, &pos);
        bool over = mem_fail_pending() != 0;
        mem_fail_at(0);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        if (w != NULL && rc != 0) { /* nothing was changed */
            assert_false(wal_next_batch(w, &b));
            assert_int_equal(wal_put(w, &body, 1, &dot, 1, &pos), 0);
            assert_true(wal_next_batch(w, &b));
            assert_int_equal(b.offset, WAL_HEADER_SIZE);
            assert_int_equal(b.dot_count, 1);
        }
        wal_free(&w);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_comes_back_and_a_turned_bit_does_not),
        cmocka_unit_test(records_come_back_in_order_over_segments),
        cmocka_unit_test(a_failed_batch_ends_the_log_and_drops_what_came_later),
        cmocka_unit_test(a_missing_segment_refuses_what_does_not_fit_until_it_is_there),
        cmocka_unit_test(memory_may_run_out_in_a_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
