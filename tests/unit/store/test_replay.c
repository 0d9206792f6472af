/* How a log ends is judged from its bytes alone: at every cut and with every bit turned. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "store/replay.h"
#include "store/store.h"

#include "../../lib/memdisk.h"
#include "../../lib/storekit.h"

enum { PUSHES = 50 };

/* Bytes of a log, and where the batches of its pushes end. */
struct made {
    uint8_t *bytes;
    size_t size;
    uint64_t ends[PUSHES + 1];
};

static struct made make_log(unsigned samples)
{
    struct made m = {0};
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store_config c = kit_config("/d", &forgotten);
    struct store *s = NULL;
    struct store_stats stats;
    size_t size;
    c.segment_bytes = 256 * 1024;
    assert_int_equal(store_open(&s, &c, memdisk_io(d), NULL), 0);
    m.ends[0] = 64;
    for (unsigned i = 0; i < PUSHES; i++) {
        struct kit_profile p = {.service = i % 40 % 7 == 0 ? "a" : "b",
                                .members = 1,
                                .time_ns = 1000 + i % 40,
                                .nonce = i % 40, /* the last ten are repeats */
                                .writer = i % 4,
                                .seq = i + 1,
                                .stack_seed = i % 40,
                                .samples = samples};
        assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
        store_stats(s, &stats);
        m.ends[i + 1] = 64 + stats.log_bytes;
    }
    memdisk_freeze(d);
    (void)store_close(&s);
    memdisk_thaw(d);
    uint8_t *bytes = memdisk_bytes(d, "/d/log/0000000000000001-00000000.log", &size);
    m.size = m.ends[PUSHES] + 256;
    m.bytes = mem_dup(bytes, m.size);
    memdisk_free(&d);
    return m;
}

static struct replay replay_bytes(const uint8_t *bytes, size_t size, wal_pos limit)
{
    struct head *h = NULL;
    struct vector *rows = NULL;
    assert_int_equal(head_init(&h, NULL), 0);
    assert_int_equal(vector_init(&rows), 0);
    struct replay r = {.head = h, .rows = rows, .generation = 1, .limit = limit};
    const struct replay_segment s = {bytes, size};
    assert_int_equal(replay_run(&r, &s, 1, NULL), 0);
    assert_int_equal(vector_size(rows), r.profiles);
    replay_reset(&r);
    vector_free(&rows);
    head_free(&h);
    return r;
}

static unsigned pushes_before(const struct made *m, uint64_t at)
{
    unsigned k = 0;
    while (k < PUSHES && m->ends[k + 1] <= at)
        k++;
    return k;
}

static void a_log_cut_at_any_byte_is_a_torn_tail_at_most(void **state)
{
    (void)state;
    struct made m = make_log(4);
    for (size_t cut = 64; cut <= m.ends[PUSHES]; cut++) {
        struct replay r = replay_bytes(m.bytes, cut, WAL_POS_NONE);
        assert_int_not_equal(r.verdict, REPLAY_DAMAGE);
        unsigned k = pushes_before(&m, cut);
        unsigned rows = k < 40 ? k : 40;
        assert_true(r.profiles == rows || (m.ends[k + 1] - cut < 8 && r.profiles == rows + 1));
        assert_true(r.end <= cut + 7);
        if (r.end >= m.ends[k])
            assert_true(r.end >= m.ends[k]);
    }
    mem_free(m.bytes);
}

static void zeros_instead_of_a_tail_are_the_same(void **state)
{
    (void)state;
    struct made m = make_log(4);
    for (size_t cut = m.ends[PUSHES]; cut >= 64; cut -= 5) {
        memset(m.bytes + cut, 0, m.size - cut);
        struct replay r = replay_bytes(m.bytes, m.size, WAL_POS_NONE);
        assert_int_not_equal(r.verdict, REPLAY_DAMAGE);
        unsigned k = pushes_before(&m, cut), rows = k < 40 ? k : 40;
        /* zeros may happen to be what was there */
        assert_true(r.profiles >= rows && r.profiles <= rows + 1);
        if (cut < 70)
            break;
    }
    mem_free(m.bytes);
}

static void a_turned_bit_in_an_older_batch_is_damage(void **state)
{
    (void)state;
    struct made m = make_log(4);
    unsigned damaged = 0, torn = 0;
    for (size_t at = 64; at < m.ends[PUSHES]; at++) {
        for (unsigned bit = (unsigned)(at % 3); bit < 8; bit += 3) {
            m.bytes[at] ^= (uint8_t)(1u << bit);
            struct replay r = replay_bytes(m.bytes, m.size, WAL_POS_NONE);
            m.bytes[at] ^= (uint8_t)(1u << bit);
            unsigned k = pushes_before(&m, at);
            if (r.verdict == REPLAY_CLEAN) { /* it was padding */
                assert_int_equal(r.profiles, 40);
                continue;
            }
            assert_int_equal(r.verdict, k < PUSHES - 1 ? REPLAY_DAMAGE : REPLAY_TORN);
            assert_true(r.end <= at && r.end >= m.ends[k]);
            damaged += r.verdict == REPLAY_DAMAGE;
            torn += r.verdict == REPLAY_TORN;
        }
    }
    assert_true(damaged > 1000 && torn > 10);
    mem_free(m.bytes);
}

static void replay_stops_where_a_fault_ended_the_generation(void **state)
{
    (void)state;
    struct made m = make_log(4);
    for (unsigned k = 0; k <= PUSHES; k++) {
        struct replay r = replay_bytes(m.bytes, m.size, m.ends[k]);
        assert_int_equal(r.verdict, REPLAY_CLEAN);
        assert_int_equal(r.end, m.ends[k]);
        assert_int_equal(r.profiles, k < 40 ? k : 40);
    }
    /* It was synced up to there: less is damage. */
    assert_int_equal(replay_bytes(m.bytes, m.ends[9], m.ends[10]).verdict, REPLAY_DAMAGE);
    mem_free(m.bytes);
}

static void records_of_a_newer_version_are_refused_by_name(void **state)
{
    (void)state;
    struct head *h = NULL;
    struct vector *rows = NULL;
    assert_int_equal(head_init(&h, NULL), 0);
    assert_int_equal(vector_init(&rows), 0);
    struct replay r = {.head = h, .rows = rows};
    assert_int_equal(replay_record(&r, STR("\x07junk"), 64), ERR_VERSION);
    assert_int_equal(replay_record(&r, STR("\x01\x09\x01x"), 64), ERR_VERSION);
    assert_int_equal(replay_record(&r, STR("\x02"), 64), ERR_CORRUPT);
    assert_int_equal(replay_record(&r, STR(""), 64), ERR_CORRUPT);
    vector_free(&rows);
    head_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_cut_at_any_byte_is_a_torn_tail_at_most),
        cmocka_unit_test(zeros_instead_of_a_tail_are_the_same),
        cmocka_unit_test(a_turned_bit_in_an_older_batch_is_damage),
        cmocka_unit_test(replay_stops_where_a_fault_ended_the_generation),
        cmocka_unit_test(records_of_a_newer_version_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
