/* The bytes on disk are final: what one small log and the files beside it look like, byte by byte,
 * and checksums computed here in another way. A change of any of these bytes is a new version. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "store/identity.h"
#include "store/store.h"

#include "../../lib/memdisk.h"
#include "../../lib/storekit.h"

/* CRC32C bit by bit. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    for (; n > 0; n--, p++) {
        crc ^= *p;
        for (unsigned k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Bodies of the records in order, as hex. */
static const char *const bodies[] = {
    "0101000174",           /* DEFINE tenant 0 "t" */
    "010200000173",        /* DEFINE partition 0 of tenant 0 "s" */
    "0103000002" "016105636f756e74036370750b6e616e6f7365636f6e6473036b6974"
     "016205636f756e74036370750b6e616e6f7365636f6e6473036b6974"
     "02" "016c0178" "0c736572766963655f6e616d650173", /* DEFINE stream 0, two members */
    "01040001026930",      /* DEFINE set 0 ["i0"] */
    "01050001010101010101010101010101010101" "00", /* DEFINE lane 0 */
    "0200" "500050"                                        /* PUSH, 80 bytes of symbols, as is */
     "050502030302" "726f6f7430" "6630" "673134" "663130" "6733"      /* strings */
     "00" "05" "01000000" "02000000" "03000000" "04000000" "05000000" /* functions */
     "05" "0200000000" "0200000100" "020000021c" "0200000314" "0200000406" /* locations */
     "05" "0100" "0101" "0203" "0202" "0204"                          /* nodes */
     "01" "000001" "07ca9a3b00000000" "04030201" "0a64"               /* a row: its head, */
     "0402" "0401" "00030000" "6a9d06" "010a",                /* stacks, columns */
    "01040101026931",       /* DEFINE set 1 ["i1"] */
    "01050102020202020202020202020202020202" "01", /* DEFINE lane 1 */
    "0601" "00" "07ca9a3b00000000" "0105" "0001",  /* ALIAS (1, 5) of (0, 1) */
    "0103010001" "016105636f756e74036370750b6e616e6f7365636f6e6473036b6974"
     "02" "016c0178" "0c736572766963655f6e616d650173",
    "0200" "00" "01" "01000a" "08ca9a3b00000000" "04030201" "0a64"  /* PUSH without symbols */
     "0402" "0401" "00030000" "6a9d06",
    "0500" "01" "00" "02" "0102" "0400",           /* COVER lane 0: 2-4, 9 */
    "03" "0c00000000000000" "0200000000000000" "01" "06050506", /* SEAL */
};

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (unsigned v; sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
        out[n] = (uint8_t)v;
    return n;
}

static void small_log(struct memdisk *d)
{
    unsigned forgotten = 0;
    struct store *s = NULL;
    struct store_config c = kit_config("/d", &forgotten);
    struct kit_profile p = {.service = "s", .label = "x", .members = 2, .proportional = true,
                            .time_ns = 1000000007, .nonce = 0x01020304, .seq = 1,
                            .stack_seed = 3, .samples = 2};
    assert_int_equal(store_open(&s, &c, memdisk_io(d), NULL), 0);
    assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
    p.writer = 1;
    p.seq = 5;
    assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
    struct vector *complete = NULL;
    uint32_t lane;
    struct buf form = {0};
    struct store_appended info;
    assert_int_equal(vector_init(&complete), 0);
    assert_int_equal(vector_lane(complete, kit_lane(0), &lane), 0);
    assert_int_equal(vector_add(complete, lane, 2, 4), 0);
    assert_int_equal(vector_add(complete, lane, 9, 9), 0);
    p.writer = 0;
    p.seq = 10;
    p.time_ns++;
    p.members = 1;
    kit_form(&p, 1, &form);
    assert_int_equal(kit_append(s, "t", buf_view(&form), complete, &info), 0);
    vector_free(&complete);
    buf_reset(&form);
    assert_int_equal(store_close(&s), 0);
}

static void a_small_log_has_just_these_bytes(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    size_t size, at = 64, batch = 64;
    small_log(d);
    const uint8_t *log = memdisk_bytes(d, "/d/log/0000000000000001-00000000.log", &size);
    assert_true(size > 64);
    assert_memory_equal(log, "EMBRLOG1\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0", 28);
    for (size_t i = 40; i < 56; i++)
        assert_int_equal(log[i], 7); /* the disk of kit_config() */
    assert_int_equal(u32(log + 56), 0);
    assert_int_equal(u32(log + 60), crc32c(0, log, 60));
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        uint8_t body[512], head[12];
        size_t n = unhex(bodies[i], body);
        assert_true(at + 12 + n <= size);
        batch = u32(log + at + 8) == 0 ? at : batch; /* where batches begin is a matter of time */
        assert_int_equal(u32(log + at), n);
        assert_int_equal(u32(log + at + 8), at - batch);
        assert_memory_equal(log + at + 12, body, n);
        memcpy(head, log + 28, 4); /* salt, length, back, body */
        memcpy(head + 4, log + at, 4);
        memcpy(head + 8, log + at + 8, 4);
        assert_int_equal(u32(log + at + 4), crc32c(crc32c(0, head, 12), body, n));
        for (at += 12 + n; at % 8 != 0; at++)
            assert_int_equal(log[at], 0);
    }
    assert_int_equal(at, size);
    memdisk_free(&d);
}

static void assert_bytes(const struct buf *b, const char *hex)
{
    uint8_t want[512];
    size_t n = unhex(hex, want);
    assert_int_equal(b->error, 0);
    assert_int_equal(b->size, n + 4);
    assert_memory_equal(b->data, want, n);
    assert_int_equal(u32((const uint8_t *)b->data + n), crc32c(0, want, n));
}

static void instance_and_seen_have_just_these_bytes(void **state)
{
    (void)state;
    struct buf b = {0};
    struct identity id = {.disk = {1}, .predecessor = {2}, .clean = true, .starts = 3,
                          .instance = "i", .domain = "zone", .rf = 3, .zone_aware = true};
    identity_encode(&id, &b);
    assert_bytes(&b, "454d4252494e5354" "01000000" "01000000000000000000000000000000"
                     "02000000000000000000000000000000" "01" "00" "0300000000000000" "0169"
                     "047a6f6e65" "03000000" "01");
    buf_reset(&b);
    struct seen_tenant t = {.name = (char[]){"t"}, .last = (wall_ms[]){258}};
    uint32_t lane;
    assert_int_equal(vector_init(&t.gone), 0);
    assert_int_equal(vector_lane(t.gone, kit_lane(0), &lane), 0);
    assert_int_equal(vector_add(t.gone, lane, 7, 8), 0);
    const struct seen seen = {.tenants = &t, .count = 1};
    seen_encode(&seen, &b);
    assert_bytes(&b, "454d42525345454e" "01000000" "01" "0174" "0101026930"
                     "0101010101010101010101010101010101" "010000" "01" "00" "0201000000000000"
                     "010601");
    vector_free(&t.gone);
    buf_reset(&b);
}

static void the_roster_file_has_just_these_bytes(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    size_t size;
    const struct store_io *io = memdisk_io(d);
    assert_int_equal(io->make_dir(io->self, "/d"), 0);
    assert_int_equal(roster_write(io, "/d", STR("abc")), 0);
    const uint8_t *p = memdisk_bytes(d, "/d/roster", &size);
    assert_int_equal(size, 19);
    assert_memory_equal(p, "EMBRRSTR\3\0\0\0abc", 15);
    assert_int_equal(u32(p + 15), crc32c(0, p, 15));
    memdisk_free(&d);
}

static uint64_t opened(struct memdisk *d, enum store_sync sync, bool stopped, bool kill,
                       unsigned *forgotten)
{
    struct store *s = NULL;
    struct view *v = NULL;
    struct store_config c = kit_config("/d", forgotten);
    c.sync = sync;
    c.stopped = stopped;
    assert_int_equal(store_open(&s, &c, memdisk_io(d), NULL), 0);
    assert_int_equal(store_view(s, STR("t"), &v), 0);
    uint64_t sum = kit_sum(v, NULL);
    view_free(&v);
    struct kit_profile p = {.service = "s", .members = 1, .time_ns = 1, .seq = 1, .samples = 2};
    assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
    if (kill)
        memdisk_freeze(d);
    assert_int_equal(store_close(&s) == 0, !kill);
    if (kill)
        memdisk_crash(d, 3);
    return sum;
}

/* What was acknowledged before it was synced may be gone; the configuration of the next start
 * cannot know. */
static void a_log_remembers_that_it_was_not_synced_before_the_answer(void **state)
{
    (void)state;
    for (int sync = STORE_SYNC_INTERVAL; sync <= STORE_SYNC_NEVER; sync++) {
        struct memdisk *d = memdisk_new();
        unsigned forgotten = 0;
        (void)opened(d, (enum store_sync)sync, true, true, &forgotten);
        assert_int_equal(forgotten, 0);
        (void)opened(d, STORE_SYNC_ALWAYS, false, true, &forgotten);
        assert_int_equal(forgotten, 1);
        memdisk_free(&d);
    }
}

/* A whole record that makes no sense was not left by a crash: what follows it is lost. */
static void a_record_that_cannot_be_read_is_damage_although_it_is_the_last(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    size_t size;
    unsigned forgotten = 0;
    small_log(d);
    uint8_t *log = memdisk_bytes(d, "/d/log/0000000000000001-00000000.log", &size);
    size_t at = size - 40; /* the SEAL: 22 bytes of body */
    assert_int_equal(log[at + 12], 3);
    log[at + 12] = 5; /* a COVER of a tenant that is not there */
    log[at + 13] = 99;
    uint32_t crc = crc32c(crc32c(crc32c(0, log + 28, 4), log + at, 4), log + at + 8, 4);
    crc = crc32c(crc, log + at + 12, u32(log + at));
    for (unsigned i = 0; i < 4; i++)
        log[at + 4 + i] = (uint8_t)(crc >> (8 * i));
    assert_true(opened(d, STORE_SYNC_ALWAYS, false, false, &forgotten) > 0);
    assert_int_equal(forgotten, 1);
    memdisk_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_log_has_just_these_bytes),
        cmocka_unit_test(instance_and_seen_have_just_these_bytes),
        cmocka_unit_test(the_roster_file_has_just_these_bytes),
        cmocka_unit_test(a_log_remembers_that_it_was_not_synced_before_the_answer),
        cmocka_unit_test(a_record_that_cannot_be_read_is_damage_although_it_is_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
