/* Whatever fails, and whenever the power goes: what was acknowledged is there once, and the disk
 * keeps its name exactly when nothing was forgotten. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "store/store.h"

#include "../../lib/memdisk.h"
#include "../../lib/storekit.h"

enum { PUSHES = 50, TRIES = 4000 };

static const char *const first_segment = "/d/log/0000000000000001-00000000.log";

static int try_open(struct memdisk *d, struct store_config c, struct store **out)
{
    struct err err = {0};
    return store_open(out, &c, memdisk_io(d), &err);
}

static uint64_t sum_of(struct store *s)
{
    struct view *v;
    assert_int_equal(store_view(s, STR("t"), &v), 0);
    uint64_t sum = kit_sum(v, NULL);
    view_free(&v);
    return sum;
}

static struct kit_profile profile(unsigned i)
{
    return (struct kit_profile){.service = i % 2 == 0 ? "even" : "odd",
                                .members = 1,
                                .time_ns = 1000000000ll * (i + 1),
                                .nonce = i,
                                .writer = i % 3,
                                .seq = i / 3 + 1,
                                .stack_seed = i,
                                .samples = 20 + i % 30};
}

static void pause_briefly(void)
{
    struct timespec ms = {.tv_nsec = 500000};
    nanosleep(&ms, NULL);
}

/* Push as a client does: again, under a new dot, until it is acknowledged. */
static bool push_until_taken(struct store *s, unsigned i, unsigned tries)
{
    struct kit_profile p = profile(i);
    for (unsigned k = 0; k < tries; k++) {
        if (kit_push(s, "t", &p, 1, NULL) == 0)
            return true;
        p.writer = 10 + (p.writer + 1) % 30;
        p.seq = 1000 + k;
        pause_briefly();
    }
    return false;
}

/* One run in which call n fails once. Returns whether that call was reached. */
static bool run_with_failure(uint64_t n, int code, uint64_t seed)
{
    enum { COUNT = 14 };
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store_config c = kit_config("/d", &forgotten);
    struct store *s = NULL;
    uint64_t sum = 0;
    c.segment_bytes = 8192;
    memdisk_fail_at(d, n, 1, code);
    if (try_open(d, c, &s) != 0) { /* the folder itself could not be made ready */
        memdisk_thaw(d);
        assert_int_equal(try_open(d, c, &s), 0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(push_until_taken(s, i, TRIES));
        struct kit_profile p = profile(i);
        sum += kit_total(&p, 0);
        assert_int_equal(sum_of(s), sum);
    }
    bool reached = memdisk_calls(d) >= n;
    memdisk_freeze(d);
    (void)store_close(&s);
    memdisk_crash(d, seed);
    assert_int_equal(try_open(d, c, &s), 0);
    assert_int_equal(sum_of(s), sum);
    for (unsigned i = 0; i < COUNT; i++) /* sent again: counted once */
        assert_true(push_until_taken(s, i, 1));
    assert_int_equal(sum_of(s), sum);
    assert_int_equal(forgotten, 0);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
    return reached;
}

static void any_call_may_fail_once_and_the_next_generation_works(void **state)
{
    (void)state;
    static const int codes[] = {ERR_IO, ERR_NOSPC};
    for (unsigned k = 0; k < 2; k++)
        for (uint64_t n = 1; run_with_failure(n, codes[k], n * 2 + k); n++)
            assert_true(n < 500);
}

static void a_full_disk_refuses_by_name_reads_go_on_and_it_heals(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store_config c = kit_config("/d", &forgotten);
    struct store *s = NULL;
    struct store_stats stats;
    struct err err = {0};
    struct buf form = {0};
    c.segment_bytes = 8192;
    assert_int_equal(try_open(d, c, &s), 0);
    struct kit_profile p = profile(0);
    assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
    memdisk_fail_at(d, 1, UINT64_MAX, ERR_NOSPC);
    p = profile(1);
    assert_int_equal(kit_push(s, "t", &p, 1, NULL), ERR_NOSPC);
    kit_form(&p, 1, &form);
    for (unsigned i = 0; i < TRIES; i++) { /* until the first try to open a generation failed */
        int rc = store_append(s, STR("t"), buf_view(&form), NULL, NULL, NULL, &err);
        assert_int_not_equal(rc, 0);
        if (rc == ERR_NOSPC)
            break;
        pause_briefly();
    }
    assert_non_null(strstr(err.msg, "/d"));
    assert_non_null(strstr(err.msg, "12345"));
    store_stats(s, &stats);
    assert_false(stats.writable);
    p = profile(0);
    assert_int_equal(sum_of(s), kit_total(&p, 0));
    memdisk_fail_at(d, 0, 0, 0);
    assert_true(push_until_taken(s, 1, TRIES));
    struct kit_profile q = profile(1);
    assert_int_equal(sum_of(s), kit_total(&p, 0) + kit_total(&q, 0));
    buf_reset(&form);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

/* The process is killed at its n-th change of the disk, and the power goes. */
static bool run_with_kill(uint64_t n)
{
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store_config c = kit_config("/d", &forgotten);
    struct store *s = NULL;
    uint64_t sum = 0, pending = 0;
    c.segment_bytes = 8192;
    memdisk_fail_at(d, n, UINT64_MAX, ERR_IO);
    if (try_open(d, c, &s) == 0) {
        for (unsigned i = 0; i < 20 && pending == 0; i++) {
            struct kit_profile p = profile(i);
            if (kit_push(s, "t", &p, 1, NULL) == 0)
                sum += kit_total(&p, 0);
            else
                pending = kit_total(&p, 0);
        }
        memdisk_freeze(d);
        (void)store_close(&s);
    }
    bool reached = memdisk_calls(d) >= n;
    memdisk_crash(d, n);
    assert_int_equal(try_open(d, c, &s), 0);
    uint64_t now = sum_of(s);
    assert_true(now == sum || now == sum + pending);
    assert_int_equal(forgotten, 0);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
    return reached && pending > 0;
}

static void a_kill_at_any_call_loses_nothing_acknowledged(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 12 || run_with_kill(n); n++) {
        if (n < 12)
            (void)run_with_kill(n);
        assert_true(n < 500);
    }
}

/* A log of PUSHES pushes in one segment: the disk, and sum and offset after each. */
static struct memdisk *make_log(uint64_t sums[PUSHES + 1], uint64_t ends[PUSHES + 1],
                                struct store_config *c, unsigned *forgotten)
{
    struct memdisk *d = memdisk_new();
    struct store *s = NULL;
    struct store_stats stats;
    *c = kit_config("/d", forgotten);
    c->segment_bytes = 128 * 1024;
    assert_int_equal(try_open(d, *c, &s), 0);
    sums[0] = 0;
    ends[0] = 64;
    for (unsigned i = 0; i < PUSHES; i++) {
        struct kit_profile p = profile(i);
        p.samples = 4;
        assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
        store_stats(s, &stats);
        sums[i + 1] = sums[i] + kit_total(&p, 0);
        ends[i + 1] = 64 + stats.log_bytes;
    }
    memdisk_freeze(d);
    (void)store_close(&s);
    memdisk_thaw(d);
    return d;
}

static void a_log_that_was_cut_gives_the_whole_pushes_before(void **state)
{
    (void)state;
    uint64_t sums[PUSHES + 1], ends[PUSHES + 1];
    unsigned forgotten = 0;
    struct store_config c;
    struct memdisk *d = make_log(sums, ends, &c, &forgotten);
    unsigned k = 0;
    for (size_t cut = 0; cut <= ends[PUSHES]; cut += 61) {
        struct memdisk *copy = memdisk_copy(d);
        struct store *s = NULL;
        memdisk_cut(copy, first_segment, cut);
        while (k < PUSHES && ends[k + 1] <= cut)
            k++;
        c.stopped = cut % 5 == 0;
        forgotten = 0;
        assert_int_equal(try_open(copy, c, &s), 0);
        uint64_t sum = sum_of(s);
        /* The last record may lack some of its padding. */
        bool padding = k < PUSHES && cut + 8 > ends[k + 1] && sum == sums[k + 1];
        assert_true(sum == sums[k] || padding);
        if (!c.stopped)
            assert_int_equal(forgotten, 0);
        assert_int_equal(store_close(&s), 0);
        memdisk_free(&copy);
    }
    memdisk_free(&d);
}

static void a_flipped_bit_gives_a_prefix_and_costs_the_name(void **state)
{
    (void)state;
    uint64_t sums[PUSHES + 1], ends[PUSHES + 1];
    unsigned forgotten = 0, renamed = 0;
    struct store_config c;
    struct memdisk *d = make_log(sums, ends, &c, &forgotten);
    for (size_t at = 0; at < ends[PUSHES]; at += 43) {
        struct memdisk *copy = memdisk_copy(d);
        struct store *s = NULL;
        size_t size;
        memdisk_bytes(copy, first_segment, &size)[at] ^= (uint8_t)(1 << at % 8);
        forgotten = 0;
        int rc = try_open(copy, c, &s);
        assert_int_equal(rc, 0);
        uint64_t sum = sum_of(s);
        unsigned k = 0;
        while (k < PUSHES && sums[k] != sum)
            k++;
        assert_int_equal(sums[k], sum); /* some prefix */
        assert_true(k == PUSHES || forgotten == 1 || k == PUSHES - 1);
        if (k < PUSHES)
            assert_true(ends[k] <= at || at < 64);
        renamed += forgotten;
        assert_int_equal(store_close(&s), 0);
        unsigned before = forgotten; /* the next start finds nothing wrong any more */
        assert_int_equal(try_open(copy, c, &s), 0);
        assert_int_equal(forgotten, before);
        assert_int_equal(sum_of(s), sum);
        assert_int_equal(store_close(&s), 0);
        memdisk_free(&copy);
    }
    assert_true(renamed > 20);
    memdisk_free(&d);
}

static void a_missing_segment_costs_the_name_and_keeps_what_is_before_it(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store_config c = kit_config("/d", &forgotten);
    struct store *s = NULL;
    size_t size;
    c.segment_bytes = 4096;
    assert_int_equal(try_open(d, c, &s), 0);
    for (unsigned i = 0; i < 60; i++)
        assert_true(push_until_taken(s, i, TRIES));
    assert_int_equal(store_close(&s), 0);
    assert_non_null(memdisk_bytes(d, "/d/log/0000000000000001-00000002.log", &size));
    memdisk_io(d)->unlink(d, "/d/log/0000000000000001-00000001.log");
    c.stopped = true;
    assert_int_equal(try_open(d, c, &s), 0);
    assert_int_equal(forgotten, 1);
    assert_true(sum_of(s) > 0);
    assert_non_null(memdisk_bytes(d, "/d/bad/0000000000000001-00000002.log", &size));
    struct view *v;
    assert_int_equal(store_view(s, STR("t"), &v), 0);
    assert_int_equal(view_disk(v)[0], 0x81);
    view_free(&v);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

static void without_sync_a_crash_costs_the_name_and_a_clean_stop_does_not(void **state)
{
    (void)state;
    for (int mode = STORE_SYNC_INTERVAL; mode <= STORE_SYNC_NEVER; mode++) {
        struct memdisk *d = memdisk_new();
        unsigned forgotten = 0;
        struct store_config c = kit_config("/d", &forgotten);
        struct store *s = NULL;
        c.sync = (enum store_sync)mode;
        c.sync_interval_ms = 2;
        assert_int_equal(try_open(d, c, &s), 0);
        uint64_t sum = 0;
        for (unsigned i = 0; i < 30; i++) {
            struct kit_profile p = profile(i);
            assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
            sum += kit_total(&p, 0);
            if (i % 10 == 9)
                pause_briefly();
        }
        assert_int_equal(sum_of(s), sum);
        assert_int_equal(store_close(&s), 0);
        memdisk_crash(d, 1);
        c.stopped = true;
        assert_int_equal(try_open(d, c, &s), 0);
        assert_int_equal(sum_of(s), sum); /* a clean stop synced it */
        assert_int_equal(forgotten, 0);
        memdisk_freeze(d);
        (void)store_close(&s);
        memdisk_crash(d, 2);
        c.stopped = false;
        assert_int_equal(try_open(d, c, &s), 0);
        assert_int_equal(forgotten, 1);
        assert_int_equal(store_close(&s), 0);
        memdisk_free(&d);
    }
}

static void a_second_store_on_the_folder_is_refused(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store_config c = kit_config("/d", &forgotten);
    struct store *s = NULL, *other = NULL;
    const struct store_io *io = memdisk_io(d);
    struct store_file *half;
    size_t size;
    assert_int_equal(try_open(d, c, &s), 0);
    assert_int_equal(io->create(io->self, "/d/tmp/roster", &half), 0);
    assert_int_equal(io->write_at(io->self, half, 0, "x", 1), 0);
    assert_int_equal(try_open(d, c, &other), ERR_EXIST);
    assert_null(other);
    assert_non_null(memdisk_bytes(d, "/d/tmp/roster", &size));
    assert_int_equal(size, 1); /* and what the first one is writing is left alone */
    io->close(io->self, half);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

static void memory_may_run_out_anywhere_in_an_append(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store_config c = kit_config("/d", &forgotten);
    struct store *s = NULL;
    struct buf form = {0};
    assert_int_equal(try_open(d, c, &s), 0);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 2; i++) {
        for (uint64_t n = 1;; n++) {
            struct kit_profile p = profile((unsigned)(i * 1000 + n));
            struct view *v = NULL;
            buf_clear(&form);
            kit_form(&p, 1, &form);
            if (i == 1)
                assert_int_equal(store_view(s, STR("t"), &v), 0);
            mem_fail_at(n);
            int rc = kit_append(s, "t", buf_view(&form), NULL, NULL);
            bool over = mem_fail_pending() != 0;
            mem_fail_at(0);
            view_free(&v);
            assert_true(rc == 0 || rc == ERR_NOMEM || rc == ERR_IO);
            if (rc != 0)
                rc = kit_append(s, "t", buf_view(&form), NULL, NULL);
            assert_int_equal(rc, 0);
            sum += kit_total(&p, 0);
            assert_int_equal(sum_of(s), sum);
            if (over)
                break;
            assert_true(n < 2000);
        }
    }
    assert_int_equal(store_close(&s), 0);
    assert_int_equal(try_open(d, c, &s), 0);
    assert_int_equal(sum_of(s), sum);
    assert_int_equal(store_close(&s), 0);
    buf_reset(&form);
    memdisk_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_call_may_fail_once_and_the_next_generation_works),
        cmocka_unit_test(a_full_disk_refuses_by_name_reads_go_on_and_it_heals),
        cmocka_unit_test(a_kill_at_any_call_loses_nothing_acknowledged),
        cmocka_unit_test(a_log_that_was_cut_gives_the_whole_pushes_before),
        cmocka_unit_test(a_flipped_bit_gives_a_prefix_and_costs_the_name),
        cmocka_unit_test(a_missing_segment_costs_the_name_and_keeps_what_is_before_it),
        cmocka_unit_test(without_sync_a_crash_costs_the_name_and_a_clean_stop_does_not),
        cmocka_unit_test(a_second_store_on_the_folder_is_refused),
        cmocka_unit_test(memory_may_run_out_anywhere_in_an_append),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
