/* Beacons merge, travel and are measured as dskit's are. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/kv_tracker.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "gossip/kv.h"
#include "hex.h"
#include "wire/snappy.h"

#define KEY STR(KV_TRACKER_KEY)

static const struct kv_tracker_config config = {
    .enabled = true, .interval_ms = 60000, .lifetime_ms = 600000};

struct side {
    struct kv *kv;
    struct rng rng;
    struct kv_tracker *t;
    double last;
    int delays;
};

static void on_delay(void *arg, double seconds)
{
    struct side *s = arg;
    s->last = seconds;
    s->delays++;
}

static void side_init(struct side *s, const char *name, uint64_t seed)
{
    static const struct kv_config kc = {.retransmit_mult = 1, .tombstone_ms = 300000};
    *s = (struct side){0};
    rng_seed(&s->rng, seed);
    assert_int_equal(kv_init(&s->kv, &kc, NULL), 0);
    assert_int_equal(kv_tracker_init(&s->t, &config, s->kv, str_c(name), &s->rng, NULL, 0), 0);
    kv_tracker_observer(s->t, on_delay, s);
}

static void side_free(struct side *s)
{
    kv_free(&s->kv);
    kv_tracker_free(&s->t);
}

struct travel {
    struct side *to;
    wall_ms wall;
};

static void arrive(void *arg, struct str msg)
{
    struct travel *t = arg;
    assert_int_equal(kv_on_message(t->to->kv, msg, t->wall), 0);
}

/* What `from` has to tell arrives at `to` at `wall`. */
static void travel(struct side *from, struct side *to, wall_ms wall)
{
    struct travel t = {to, wall};
    (void)kv_take(from->kv, 1 << 20, 3, 1, arrive, &t);
    kv_tracker_time(to->t, wall);
    (void)kv_notify(to->kv);
}

static size_t beacons(const struct side *s)
{
    const struct beacons *b = kv_get(s->kv, KEY);
    return b == NULL ? 0 : beacons_count(b);
}

static void a_beacon_is_published_seen_and_measured_once(void **state)
{
    (void)state;
    struct side a, b;
    side_init(&a, "a", 1);
    side_init(&b, "b", 2);
    mono_ms first = kv_tracker_due(a.t);
    assert_in_range(first, 0, 60000); /* a random delay, so that not all publish at once */
    kv_tracker_tick(a.t, first, 1000000);
    assert_int_equal(kv_tracker_stats(a.t)->published, 1);
    travel(&a, &b, 1000300);
    assert_int_equal(b.delays, 0); /* what is there at first tells nothing */
    kv_tracker_tick(a.t, first + 60000, 1060000);
    assert_int_equal(kv_tracker_stats(a.t)->published, 2);
    (void)kv_notify(a.kv);
    assert_int_equal(a.delays, 0); /* its own */
    travel(&a, &b, 1060300);
    assert_int_equal(b.delays, 1);
    assert_true(b.last > 0.299 && b.last < 0.301);
    assert_int_equal(kv_tracker_stats(b.t)->received, 1);
    kv_tracker_tick(b.t, kv_tracker_due(b.t), 1060400); /* another's is young enough */
    assert_int_equal(kv_tracker_stats(b.t)->published, 0);
    assert_int_equal(beacons(&b), 2);
    side_free(&a);
    side_free(&b);
}

static void a_delay_is_never_negative(void **state)
{
    (void)state;
    struct side a, b;
    side_init(&a, "a", 1);
    side_init(&b, "b", 2);
    kv_tracker_tick(a.t, 60000, 1000000);
    travel(&a, &b, 1000300);
    kv_tracker_tick(a.t, 120000, 1060000);
    travel(&a, &b, 1000000); /* b's clock is a minute behind */
    assert_int_equal(b.delays, 1);
    assert_true(b.last >= 0 && b.last <= 0);
    side_free(&a);
    side_free(&b);
}

static void old_beacons_are_deleted_and_their_tombstones_go(void **state)
{
    (void)state;
    struct side a;
    side_init(&a, "a", 1);
    for (int i = 0; i < 30; i++)
        kv_tracker_tick(a.t, 60000 * (i + 1), 1000000 + 60000 * (wall_ms)i);
    assert_in_range(beacons(&a), 11, 17); /* 10 minutes alive, 5 as tombstones */
    size_t at = 0;
    struct kv_key k;
    assert_true(kv_next(a.kv, &at, &k));
    assert_in_range(k.tombstones, 4, 6);
    assert_in_range(k.tombstones_removed, 10, 20);
    side_free(&a);
}

/* published_at 1000, deleted_at 2000, published_by "n" under id 5; written by hand. */
static void the_bytes_are_those_of_the_protobuf(void **state)
{
    (void)state;
    struct buf raw = {0}, packed = {0}, out = {0}, back = {0};
    void *value = NULL;
    hex_put(&raw, "0a0d0805120908e80710d00f1a016e");
    assert_int_equal(snappy_pack(buf_view(&raw), &packed), 0);
    assert_int_equal(kv_tracker_codec.decode(&value, buf_view(&packed), NULL), 0);
    const struct beacon *b = beacons_at(value, 0);
    assert_int_equal(beacons_count(value), 1);
    assert_int_equal(b->id, 5);
    assert_int_equal(b->published, 1000);
    assert_int_equal(b->deleted, 2000);
    assert_true(str_eq(b->by, STR("n")));
    kv_tracker_codec.encode(value, &out);
    assert_int_equal(snappy_unpack(buf_view(&out), 1000, &back), 0);
    assert_true(str_eq(buf_view(&back), buf_view(&raw)));
    kv_tracker_codec.free(&value);
    buf_clear(&raw);
    hex_put(&raw, "0a03120f08"); /* a length that is not there */
    buf_clear(&packed);
    assert_int_equal(snappy_pack(buf_view(&raw), &packed), 0);
    assert_int_equal(kv_tracker_codec.decode(&value, buf_view(&packed), NULL), ERR_PARSE);
    assert_null(value);
    buf_reset(&raw);
    buf_reset(&packed);
    buf_reset(&out);
    buf_reset(&back);
}

/* A value of one beacon, through the wire. */
static void *one(uint64_t id, wall_ms published, wall_ms deleted)
{
    struct buf raw = {0}, inner = {0}, packed = {0};
    void *value = NULL;
    buf_u8(&inner, 0x08);
    buf_varint(&inner, (uint64_t)published);
    buf_u8(&inner, 0x10);
    buf_varint(&inner, (uint64_t)deleted);
    struct buf entry = {0};
    buf_u8(&entry, 0x08);
    buf_varint(&entry, id);
    buf_u8(&entry, 0x12);
    buf_varint(&entry, inner.size);
    buf_str(&entry, buf_view(&inner));
    buf_u8(&raw, 0x0a);
    buf_varint(&raw, entry.size);
    buf_str(&raw, buf_view(&entry));
    assert_int_equal(snappy_pack(buf_view(&raw), &packed), 0);
    assert_int_equal(kv_tracker_codec.decode(&value, buf_view(&packed), NULL), 0);
    buf_reset(&raw);
    buf_reset(&inner);
    buf_reset(&entry);
    buf_reset(&packed);
    return value;
}

static void the_newer_publication_wins_then_the_later_deletion(void **state)
{
    (void)state;
    static const wall_ms rows[][6] = {
        /* mine: published, deleted; theirs; then what stays */
        {100, 0, 200, 0, 200, 0},   {200, 0, 100, 50, 200, 0}, {100, 0, 100, 50, 100, 50},
        {100, 70, 100, 50, 100, 70}, {100, 70, 100, 0, 100, 70}, {100, 70, 200, 0, 200, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const wall_ms *r = rows[i];
        void *mine = one(7, r[0], r[1]), *theirs = one(7, r[2], r[3]), *change = NULL;
        assert_int_equal(kv_tracker_codec.merge(&mine, theirs, false, 0, &change), 0);
        assert_int_equal(beacons_at(mine, 0)->published, r[4]);
        assert_int_equal(beacons_at(mine, 0)->deleted, r[5]);
        assert_int_equal(change != NULL, r[0] != r[4] || r[1] != r[5]);
        kv_tracker_codec.free(&change);
        assert_int_equal(kv_tracker_codec.merge(&mine, theirs, false, 0, &change), 0);
        assert_null(change); /* idempotent */
        kv_tracker_codec.free(&mine);
        kv_tracker_codec.free(&theirs);
    }
}

static void without_memory_nothing_is_lost_or_leaked(void **state)
{
    (void)state;
    for (uint64_t i = 1;; i++) {
        void *mine = one(7, 1, 0), *theirs = one(8, 1, 0), *change = NULL;
        mem_fail_at(i);
        int rc = kv_tracker_codec.merge(&mine, theirs, true, 9, &change);
        mem_fail_at(0);
        assert_int_equal(beacons_count(mine), rc == 0 ? 2 : 1);
        kv_tracker_codec.free(&mine);
        kv_tracker_codec.free(&theirs);
        kv_tracker_codec.free(&change);
        if (rc == 0)
            break;
        assert_int_equal(rc, ERR_NOMEM);
    }
    for (uint64_t i = 1;; i++) {
        static const struct kv_config kc = {.retransmit_mult = 1};
        struct kv *kv = NULL;
        struct kv_tracker *t = NULL;
        struct rng rng;
        rng_seed(&rng, 1);
        assert_int_equal(kv_init(&kv, &kc, NULL), 0);
        mem_fail_at(i);
        int rc = kv_tracker_init(&t, &config, kv, STR("n"), &rng, NULL, 0);
        mem_fail_at(0);
        kv_free(&kv);
        kv_tracker_free(&t);
        if (rc == 0)
            break;
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_beacon_is_published_seen_and_measured_once),
        cmocka_unit_test(a_delay_is_never_negative),
        cmocka_unit_test(old_beacons_are_deleted_and_their_tombstones_go),
        cmocka_unit_test(the_bytes_are_those_of_the_protobuf),
        cmocka_unit_test(the_newer_publication_wins_then_the_later_deletion),
        cmocka_unit_test(without_memory_nothing_is_lost_or_leaked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
