/* What was synced is there after any crash, as it was, and nothing else is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "seglog.h"

#include <stdio.h>
#include <string.h>

#include "../../lib/memdisk.h"
#include "base/mem.h"
#include "base/rng.h"

enum { RECORDS = 4000, SEGMENT = 600 };

/* What a replay told. */
struct seen {
    unsigned data[RECORDS], done[RECORDS]; /* by record number */
    struct seg_ref refs[RECORDS];
    uint64_t keys[RECORDS];
    size_t total;
};

static void payload_of(uint64_t number, struct buf *out)
{
    buf_clear(out);
    for (uint64_t i = 0; i < 20 + number % 90; i++)
        buf_u8(out, (uint8_t)(number * 7 + i));
}

static void on_data(void *arg, const struct seg_record *r)
{
    struct seen *s = arg;
    struct buf want = {0};
    assert_true(r->ref.number < RECORDS);
    payload_of(r->ref.number, &want);
    assert_true(str_eq(r->payload, buf_view(&want)));
    assert_int_equal(r->time, (wall_ms)r->ref.number * 10);
    buf_reset(&want);
    s->data[r->ref.number]++;
    s->refs[r->ref.number] = r->ref;
    s->keys[r->ref.number] = r->key;
    s->total++;
}

static void on_done(void *arg, uint64_t number)
{
    assert_true(number < RECORDS);
    ((struct seen *)arg)->done[number]++;
}

static struct seglog *open_log(struct memdisk *d, struct seen *seen, struct seg_found *found)
{
    struct seglog *l = NULL;
    memset(seen, 0, sizeof *seen);
    assert_int_equal(seglog_open(&l, memdisk_io(d), STR("/q"), SEGMENT, on_data, on_done, seen,
                                 found, NULL),
                     0);
    return l;
}

static int append(struct seglog *l, uint64_t number, struct seg_ref *ref)
{
    struct buf b = {0};
    payload_of(number, &b);
    int rc = seglog_append(l, number % 3, (wall_ms)number * 10, buf_view(&b), ref);
    buf_reset(&b);
    return rc;
}

static void records_come_back_in_order_and_can_be_read(void **state)
{
    static struct seen seen;
    struct memdisk *d = memdisk_new();
    struct seg_found found;
    struct seglog *l = open_log(d, &seen, &found);
    struct seg_ref ref;
    struct buf b = {0}, want = {0};
    (void)state;
    assert_int_equal(found.segments, 0);
    for (uint64_t i = 1; i <= 50; i++) {
        assert_int_equal(append(l, i, &ref), 0);
        assert_int_equal(ref.number, i);
    }
    assert_int_equal(seglog_sync(l), 0);
    seglog_close(&l);
    l = open_log(d, &seen, &found);
    assert_true(found.segments > 3);
    assert_int_equal(found.torn_bytes, 0);
    assert_int_equal(seen.total, 50);
    for (uint64_t i = 1; i <= 50; i++) {
        assert_int_equal(seen.data[i], 1);
        assert_int_equal(seen.keys[i], i % 3);
        buf_clear(&b);
        payload_of(i, &want);
        assert_int_equal(seglog_read(l, &seen.refs[i], &b), 0);
        assert_true(str_eq(buf_view(&b), buf_view(&want)));
    }
    assert_int_equal(append(l, 51, &ref), 0);
    assert_int_equal(ref.number, 51); /* numbers go on */
    buf_reset(&b);
    buf_reset(&want);
    seglog_close(&l);
    memdisk_free(&d);
}

static void count_file(void *arg, const char *path)
{
    *(unsigned *)arg += strstr(path, ".queue") != NULL;
}

static void a_full_disk_is_not_littered_with_empty_segments(void **state)
{
    static struct seen seen;
    struct memdisk *d = memdisk_new();
    struct seg_found found;
    struct seglog *l = open_log(d, &seen, &found);
    struct seg_ref ref;
    unsigned files = 0;
    (void)state;
    assert_int_equal(append(l, 1, &ref), 0);
    memdisk_fail_at(d, 1, 1, ERR_NOSPC);
    assert_int_equal(append(l, 2, &ref), ERR_NOSPC);
    for (unsigned i = 0; i < 20; i++) {
        memdisk_fail_at(d, 4, 1, ERR_NOSPC); /* the file and its head have room, the record none */
        assert_int_equal(append(l, 2, &ref), ERR_NOSPC);
    }
    memdisk_fail_at(d, 0, 0, 0);
    memdisk_each(d, count_file, &files);
    assert_int_equal(files, 1);
    assert_int_equal(append(l, 2, &ref), 0);
    seglog_close(&l);
    l = open_log(d, &seen, &found);
    assert_int_equal(seen.total, 2);
    seglog_close(&l);
    memdisk_free(&d);
}

static void a_segment_that_somebody_deleted_is_damage(void **state)
{
    static struct seen seen;
    struct memdisk *d = memdisk_new();
    const struct store_io *io = memdisk_io(d);
    struct seg_found found;
    struct seglog *l = open_log(d, &seen, &found);
    struct seg_ref ref;
    struct buf b = {0};
    (void)state;
    assert_int_equal(append(l, 1, &ref), 0);
    for (uint64_t i = 2; i < 30; i++)
        assert_int_equal(append(l, i, &(struct seg_ref){0}), 0);
    assert_int_equal(io->unlink(io->self, "/q/0000000000000001.queue"), 0);
    assert_int_equal(seglog_read(l, &ref, &b), ERR_CORRUPT);
    buf_reset(&b);
    seglog_close(&l);
    memdisk_free(&d);
}

static void segments_go_when_nothing_in_them_is_needed(void **state)
{
    static struct seen seen;
    struct memdisk *d = memdisk_new();
    struct seg_found found;
    struct seglog *l = open_log(d, &seen, &found);
    struct seg_ref refs[60];
    (void)state;
    for (uint64_t i = 1; i < 60; i++)
        assert_int_equal(append(l, i, &refs[i]), 0);
    uint64_t full = seglog_bytes(l), first = seglog_oldest(l);
    for (uint64_t i = 59; i > 1; i--)
        seglog_done(l, &refs[i]);
    assert_int_equal(seglog_oldest(l), first); /* the oldest is needed: notes stay behind it */
    assert_true(seglog_bytes(l) >= full);
    seglog_close(&l);
    l = open_log(d, &seen, &found);
    for (uint64_t i = 2; i < 60; i++)
        assert_int_equal(seen.done[i], 1);
    assert_int_equal(seen.done[1], 0);
    for (uint64_t i = 2; i < 60; i++)
        seglog_forget(l, &seen.refs[i]);
    seglog_done(l, &seen.refs[1]);
    assert_true(seglog_bytes(l) < SEGMENT);
    seglog_close(&l);
    l = open_log(d, &seen, &found);
    assert_int_equal(seen.total, 0);
    seglog_close(&l);
    memdisk_free(&d);
}

static void a_log_cut_at_any_byte_has_the_records_before_it(void **state)
{
    static struct seen seen;
    struct memdisk *whole = memdisk_new();
    struct seg_found found;
    struct seglog *l = open_log(whole, &seen, &found);
    struct seg_ref refs[6];
    size_t size = 0;
    (void)state;
    for (uint64_t i = 1; i < 6; i++)
        assert_int_equal(append(l, i, &refs[i]), 0);
    assert_int_equal(seglog_sync(l), 0);
    seglog_close(&l);
    static const char path[] = "/q/0000000000000001.queue";
    assert_non_null(memdisk_bytes(whole, path, &size));
    assert_true(size > 200 && size < SEGMENT);
    for (size_t cut = 0; cut <= size; cut++) {
        struct memdisk *d = memdisk_copy(whole);
        memdisk_cut(d, path, cut);
        l = open_log(d, &seen, &found);
        for (uint64_t i = 1; i < 6; i++)
            assert_int_equal(seen.data[i],
                             cut >= refs[i].offset + 8 + refs[i].size); /* whole, or not there */
        struct seg_ref ref;
        assert_int_equal(append(l, seen.total + 1, &ref), 0);
        seglog_close(&l);
        l = open_log(d, &seen, &found);
        assert_int_equal(found.torn_bytes, 0); /* cut off the first time */
        seglog_close(&l);
        memdisk_free(&d);
    }
    memdisk_free(&whole);
}

static void a_changed_byte_is_found(void **state)
{
    static struct seen seen;
    struct memdisk *d = memdisk_new();
    struct seg_found found;
    struct seglog *l = open_log(d, &seen, &found);
    struct seg_ref refs[4];
    struct buf b = {0};
    size_t size;
    (void)state;
    for (uint64_t i = 1; i < 4; i++)
        assert_int_equal(append(l, i, &refs[i]), 0);
    uint8_t *bytes = memdisk_bytes(d, "/q/0000000000000001.queue", &size);
    bytes[refs[2].offset + 30] ^= 1;
    assert_int_equal(seglog_read(l, &refs[1], &b), 0);
    assert_int_equal(seglog_read(l, &refs[2], &b), ERR_CORRUPT);
    buf_reset(&b);
    seglog_close(&l);
    memdisk_free(&d);
}

static void a_directory_is_used_by_one_process(void **state)
{
    static struct seen seen;
    struct memdisk *d = memdisk_new();
    struct seg_found found;
    struct seglog *l = open_log(d, &seen, &found), *second = NULL;
    struct err err = {0};
    (void)state;
    assert_int_equal(seglog_open(&second, memdisk_io(d), STR("/q"), SEGMENT, on_data, on_done,
                                 &seen, &found, &err),
                     ERR_EXIST);
    assert_null(second);
    assert_string_equal(err.msg, "queue in /q: another process has it");
    seglog_close(&l);
    seglog_close(&l);
    memdisk_free(&d);
}

/* A life: append, sync, note, while the disk fails now and then; `promised`: what was synced. */
static void live(struct memdisk *d, struct rng *rng, bool *promised, bool *noted, uint64_t *next)
{
    static struct seen seen;
    struct seg_found found;
    struct seg_ref refs[64];
    size_t held = 0, synced = 0;
    struct seglog *l = open_log(d, &seen, &found);
    for (uint64_t i = 1; i < *next; i++) {
        if (promised[i] && !noted[i])
            assert_int_equal(seen.data[i], 1);
        assert_true(seen.data[i] <= 1);
        /* What this life knows to be there, needed or not: the numbers go on behind it. */
        if (seen.data[i] > 0 && (seen.done[i] > 0 || noted[i]))
            seglog_forget(l, &seen.refs[i]);
    }
    seglog_trim(l);
    for (int step = 0; step < 60 && *next < RECORDS; step++) {
        uint64_t what = rng_below(rng, 10);
        if (rng_chance(rng, 1, 20))
            memdisk_fail_at(d, 1 + rng_below(rng, 3), 1, ERR_IO);
        if (what < 6 && held < 64) {
            struct seg_ref ref;
            struct buf b = {0};
            payload_of(*next, &b);
            /* The number is the log's: it may not have seen all that came to nothing. */
            if (seglog_append(l, *next % 3, (wall_ms)*next * 10, buf_view(&b), &ref) == 0) {
                assert_int_equal(ref.number, *next);
                refs[held++] = ref;
                (*next)++;
            }
            buf_reset(&b);
        } else if (what < 8) {
            if (seglog_sync(l) == 0) {
                for (; synced < held; synced++)
                    promised[refs[synced].number] = true;
            } else {
                synced = held; /* unknown */
            }
        } else if (held > 0) {
            seglog_done(l, &refs[0]);
            noted[refs[0].number] = true;
            memmove(refs, refs + 1, --held * sizeof *refs);
            synced -= synced > 0;
        }
    }
    memdisk_fail_at(d, 0, 0, 0);
    memdisk_freeze(d);
    seglog_close(&l);
}

/* Numbers go on behind the highest that a replay finds, which a crash may have lowered. */
static uint64_t next_number(struct memdisk *d)
{
    static struct seen seen;
    struct seg_found found;
    struct seglog *l = NULL;
    uint64_t next = 1;
    struct memdisk *copy = memdisk_copy(d);
    l = open_log(copy, &seen, &found);
    for (uint64_t i = 1; i < RECORDS; i++)
        if (seen.data[i] + seen.done[i] > 0)
            next = i + 1;
    seglog_close(&l);
    memdisk_free(&copy);
    return next;
}

static void whatever_the_disk_does_what_was_synced_is_there(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        static bool promised[RECORDS], noted[RECORDS];
        struct memdisk *d = memdisk_new();
        struct rng rng;
        memset(promised, 0, sizeof promised);
        memset(noted, 0, sizeof noted);
        rng_seed(&rng, seed);
        for (int round = 0; round < 5; round++) {
            uint64_t next = next_number(d);
            for (uint64_t i = next; i < RECORDS; i++) {
                assert_false(promised[i] && !noted[i]); /* lost */
                promised[i] = noted[i] = false;         /* a new record will have it */
            }
            live(d, &rng, promised, noted, &next);
            if (rng_chance(&rng, 1, 2))
                memdisk_crash(d, rng_u64(&rng));
            else
                memdisk_thaw(d);
        }
        memdisk_free(&d);
    }
}

static void ignore_data(void *arg, const struct seg_record *r)
{
    (void)arg;
    (void)r;
}

static void running_out_of_memory_is_an_error(void **state)
{
    static struct seen seen;
    struct seg_found found;
    struct memdisk *d = memdisk_new();
    struct seg_ref ref;
    struct seglog *l = open_log(d, &seen, &found);
    (void)state;
    for (uint64_t i = 1; i < 20; i++)
        assert_int_equal(append(l, i, &ref), 0);
    seglog_close(&l);
    for (uint64_t n = 1;; n++) {
        mem_fail_at(n);
        int rc = seglog_open(&l, memdisk_io(d), STR("/q"), SEGMENT, ignore_data, on_done, &seen,
                             &found, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        if (rc == 0)
            seglog_close(&l);
        assert_null(l);
        if (over)
            break;
        assert_true(rc == ERR_NOMEM || rc == 0);
    }
    memdisk_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_in_order_and_can_be_read),
        cmocka_unit_test(a_full_disk_is_not_littered_with_empty_segments),
        cmocka_unit_test(a_segment_that_somebody_deleted_is_damage),
        cmocka_unit_test(segments_go_when_nothing_in_them_is_needed),
        cmocka_unit_test(a_log_cut_at_any_byte_has_the_records_before_it),
        cmocka_unit_test(a_changed_byte_is_found),
        cmocka_unit_test(a_directory_is_used_by_one_process),
        cmocka_unit_test(whatever_the_disk_does_what_was_synced_is_there),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
