/* The store merges as dskit's does: what is new is kept, told on and watched, and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/kv.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "gossip/kv_pair.h"
#include "hex.h"
#include "kv_test_codec.h"

static const struct str K = STR_INIT("k");
static const struct kv_config config = {.retransmit_mult = 1, .tombstone_ms = 300000,
                                        .obsolete_ms = 30000};

static struct kv *store(void)
{
    struct kv *kv = NULL;
    assert_int_equal(kv_init(&kv, &config, NULL), 0);
    assert_int_equal(kv_register(kv, &tv_codec), 0);
    return kv;
}

/* A user message as a peer would send it. */
static int receive(struct kv *kv, const char *lines, bool deleted, wall_ms update, wall_ms now)
{
    struct buf msg = {0};
    kv_pair_put(&msg, &(struct kv_pair){K, str_c(lines), STR("test"), deleted, update});
    int rc = kv_on_message(kv, buf_view(&msg), now);
    buf_reset(&msg);
    return rc;
}

static void assert_value(const struct kv *kv, const char *want)
{
    struct buf out = {0};
    assert_non_null(kv_get(kv, K));
    tv_encode(kv_get(kv, K), &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    buf_reset(&out);
}

static void note_value(void *arg, struct str msg)
{
    struct kv_pair p;
    assert_int_equal(kv_pair_get(&p, msg), 0);
    buf_printf(arg, "%s%.*s|", p.deleted ? "deleted " : "", STR_ARG(p.value));
}

/* What is waiting to be told, each once. */
static void assert_told(struct kv *kv, const char *want)
{
    struct buf out = {0};
    (void)kv_take(kv, 100000, 3, 1, note_value, &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    buf_reset(&out);
}

static uint64_t version_of(const struct kv *kv)
{
    size_t at = 0;
    struct kv_key k;
    return kv_next(kv, &at, &k) ? k.version : 0;
}

static void the_vector_is_read_and_written(void **state)
{
    (void)state;
    struct buf in = {0}, out = {0}, framed = {0};
    struct kv_pair p, again;
    hex_put(&in, VECTOR_PAIR);
    assert_int_equal(kv_pair_get(&p, buf_view(&in)), 0);
    assert_true(str_eq(p.key, STR("collectors/ring")));
    assert_true(str_eq(p.codec, STR("ringDesc")));
    assert_int_equal(p.value.len, 57);
    assert_false(p.deleted);
    kv_pair_put(&out, &p);
    assert_hex(buf_view(&out), VECTOR_PAIR);
    p.deleted = true;
    p.update_ms = 1700000000123;
    kv_pair_put_framed(&framed, &p);
    kv_pair_put_framed(&framed, &p);
    struct str rest = buf_view(&framed);
    assert_int_equal(kv_pair_next(&rest, &again), 1);
    assert_true(again.deleted);
    assert_int_equal(again.update_ms, 1700000000123);
    assert_int_equal(kv_pair_next(&rest, &again), 1);
    assert_int_equal(kv_pair_next(&rest, &again), 0);
    rest = str_head(buf_view(&framed), framed.size - 1);
    assert_int_equal(kv_pair_next(&rest, &again), 1);
    assert_int_equal(kv_pair_next(&rest, &again), ERR_PARSE);
    buf_reset(&in);
    buf_reset(&out);
    buf_reset(&framed);
}

static void a_value_of_megabytes_is_borrowed_whole(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    struct buf value = {0}, msg = {0};
    struct kv_pair p;
    uint8_t *bytes = buf_reserve(&value, SIZE);
    assert_non_null(bytes);
    for (uint32_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
    value.size = SIZE;
    kv_pair_put(&msg, &(struct kv_pair){K, buf_view(&value), STR("test"), true, -1});
    assert_int_equal(msg.error, 0);
    assert_int_equal(kv_pair_get(&p, buf_view(&msg)), 0);
    assert_true(str_eq(p.value, buf_view(&value)));
    assert_true(p.value.data > (const char *)msg.data &&
                p.value.data < (const char *)msg.data + msg.size);
    assert_true(str_eq(p.codec, STR("test")));
    assert_true(p.deleted);
    assert_int_equal(p.update_ms, -1);
    buf_reset(&value);
    buf_reset(&msg);
}

static void malformed_pairs_are_refused_and_odd_ones_are_read(void **state)
{
    (void)state;
    static const struct {
        struct str bytes;
        bool good;
    } cases[] = {
        {STR_INIT(""), true},
        {STR_INIT("\x0a\x01k"), true},
        {STR_INIT("\x0a\x01x\x0a\x01k"), true},       /* the last one counts */
        {STR_INIT("\x0a\x81\x80\x00k"), true},        /* a padded length */
        {STR_INIT("\x0a\x01k\x3a\x02zz"), true},      /* field 7, of a later version */
        {STR_INIT("\x0a\x01k\x38\x05"), true},        /* the same as a number */
        {STR_INIT("\x0a\x01k\x39" "12345678"), true}, /* as 8 bytes */
        {STR_INIT("\x0a\x01k\x3d" "1234"), true},     /* as 4 */
        {STR_INIT("\x08\x01"), false},                 /* a number as key */
        {STR_INIT("\x09" "12345678"), false},
        {STR_INIT("\x0d" "1234"), false},
        {STR_INIT("\x10\x01"), false},                 /* as value */
        {STR_INIT("\x18\x01"), false},                 /* as codec */
        {STR_INIT("\x22\x01k"), false},                /* bytes as `deleted` */
        {STR_INIT("\x2a\x01k"), false},                /* as time */
        {STR_INIT("\x3b\x3c"), false},                 /* a group */
        {STR_INIT("\x02\x01k"), false},                /* field 0 */
        {STR_INIT("\x0a\x02k"), false},                /* cut */
        {STR_INIT("\x0a"), false},
        {STR_INIT("\x0a\xff\xff\xff\xff\x0fk"), false},
        {STR_INIT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01k"), false},
        {STR_INIT("\x20\x80"), false},
        {STR_INIT("\x3a\x7fzz"), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_pair p;
        int rc = kv_pair_get(&p, cases[i].bytes);
        if ((rc == 0) != cases[i].good)
            fail_msg("case %zu: %d", i, rc);
        if (rc == 0 && i > 0)
            assert_true(str_eq(p.key, K));
    }
}

static void only_the_change_is_told_on(void **state)
{
    (void)state;
    struct kv *kv = store();
    assert_int_equal(receive(kv, "a 100 0 1\nb 100 0 1\n", false, 0, 100000), 0);
    assert_told(kv, "a 100 0 1\nb 100 0 1\n|");
    assert_int_equal(receive(kv, "a 99 0 5\nb 101 0 2\n", false, 0, 100000), 0);
    assert_value(kv, "a 100 0 1\nb 101 0 2\n");
    assert_int_equal(version_of(kv), 2);
    assert_told(kv, "b 101 0 2\n|");
    assert_int_equal(receive(kv, "b 101 0 2\n", false, 0, 100000), 0); /* nothing new */
    assert_int_equal(version_of(kv), 2);
    assert_told(kv, "");
    kv_free(&kv);
}

static void what_cannot_be_understood_is_counted(void **state)
{
    (void)state;
    struct kv *kv = store();
    struct buf msg = {0};
    assert_int_equal(kv_on_message(kv, STR("\xff\xff"), 0), ERR_PARSE);
    kv_pair_put(&msg, &(struct kv_pair){.value = STR("x"), .codec = STR("test")});
    assert_int_equal(kv_on_message(kv, buf_view(&msg), 0), ERR_PARSE); /* no key */
    buf_clear(&msg);
    kv_pair_put(&msg, &(struct kv_pair){.key = K, .codec = STR("other")});
    assert_int_equal(kv_on_message(kv, buf_view(&msg), 0), ERR_NOENT);
    assert_int_equal(receive(kv, "not a line", false, 0, 0), ERR_PARSE);
    assert_int_equal(kv_stats(kv)->received_invalid, 4);
    assert_int_equal(kv_stats(kv)->received, 4);
    assert_null(kv_get(kv, K));
    assert_int_equal(receive(kv, "", false, 0, 0), 0); /* no value is the empty one */
    buf_reset(&msg);
    kv_free(&kv);
}

struct edit_arg {
    const char *name;
    int64_t at;
    uint32_t number;
    bool drop_all;
    int result;
    size_t seen; /* entries that the edit was shown */
};

static int edit(void *arg, void **value)
{
    struct edit_arg *e = arg;
    e->seen = *value == NULL ? 0 : ((struct tv *)*value)->count;
    if (*value == NULL)
        *value = tv_new();
    if (e->drop_all)
        ((struct tv *)*value)->count = 0;
    if (e->name != NULL)
        tv_put(*value, e->name, e->at, e->number);
    return e->result;
}

static void a_cas_sees_no_tombstones_and_makes_them(void **state)
{
    (void)state;
    struct kv *kv = store();
    struct edit_arg e = {.name = "a", .at = 100, .number = 1, .result = KV_STORE};
    assert_int_equal(kv_cas(kv, K, "test", edit, &e, 100000), 0);
    assert_int_equal(e.seen, 0);
    assert_told(kv, "a 100 0 1\n|");
    e = (struct edit_arg){.name = "b", .at = 101, .drop_all = true, .result = KV_STORE};
    assert_int_equal(kv_cas(kv, K, "test", edit, &e, 101000), 0);
    assert_int_equal(e.seen, 1);
    assert_value(kv, "a 101 1 1\nb 101 0 0\n");
    assert_told(kv, "a 101 1 1\nb 101 0 0\n|");
    e = (struct edit_arg){.result = KV_KEEP};
    assert_int_equal(kv_cas(kv, K, "test", edit, &e, 102000), 0);
    assert_int_equal(e.seen, 1); /* the tombstone of a is not shown */
    assert_int_equal(version_of(kv), 2);
    kv_free(&kv);
}

/* A second write within one second is lost by the rules of the merge: the caller must know. */
static void a_cas_that_changes_nothing_says_so(void **state)
{
    (void)state;
    struct kv *kv = store();
    struct edit_arg e = {.name = "a", .at = 100, .number = 1, .result = KV_STORE};
    assert_int_equal(kv_cas(kv, K, "test", edit, &e, 100000), 0);
    assert_int_equal(kv_cas(kv, K, "test", edit, &e, 100000), ERR_AGAIN);
    e.result = ERR_REFUSED;
    assert_int_equal(kv_cas(kv, K, "test", edit, &e, 100000), ERR_REFUSED);
    e.result = KV_STORE;
    assert_int_equal(kv_cas(kv, K, "nocodec", edit, &e, 100000), ERR_NOENT);
    assert_int_equal(kv_cas(kv, STR(""), "test", edit, &e, 100000), ERR_INVAL);
    assert_int_equal(kv_stats(kv)->cas_attempts, 5);
    assert_int_equal(kv_stats(kv)->cas_successes, 1);
    kv_free(&kv);
}

static void our_own_changes_are_told_first(void **state)
{
    (void)state;
    struct kv *kv = store();
    struct edit_arg e = {.name = "mine", .at = 100, .result = KV_STORE};
    assert_int_equal(receive(kv, "other-and-longer 100 0 1\n", false, 0, 100000), ERR_PARSE);
    assert_int_equal(receive(kv, "otherlonger 100 0 1\n", false, 0, 100000), 0);
    assert_int_equal(kv_cas(kv, K, "test", edit, &e, 100000), 0);
    assert_int_equal(kv_queued_local(kv), 1);
    assert_int_equal(kv_queued_gossip(kv), 1);
    assert_told(kv, "mine 100 0 0\n|otherlonger 100 0 1\n|");
    kv_close_local(kv); /* when stopping: merged, but not told */
    e.at = 101;
    assert_int_equal(kv_cas(kv, K, "test", edit, &e, 101000), 0);
    assert_told(kv, "");
    kv_free(&kv);
}

static void old_tombstones_go_and_do_not_come_back(void **state)
{
    (void)state;
    struct kv *kv = store();
    wall_ms now = 1000000; /* tombstones before second 700 are old */
    assert_int_equal(receive(kv, "a 600 1 0\n", false, 0, now), 0);
    assert_null(kv_get(kv, K)); /* nothing but an old tombstone: as if it had not come */
    assert_int_equal(receive(kv, "a 500 0 1\nb 500 0 1\n", false, 0, now), 0);
    assert_told(kv, "a 500 0 1\nb 500 0 1\n|");
    /* dskit's careful case: merged in place and cleaned, without a new version. */
    assert_int_equal(receive(kv, "a 650 1 0\n", false, 0, now), 0);
    assert_value(kv, "b 500 0 1\n");
    assert_int_equal(version_of(kv), 1);
    assert_told(kv, "");
    assert_int_equal(receive(kv, "b 900 1 1\n", false, 0, now), 0); /* a young one stays */
    assert_value(kv, "b 900 1 1\n");
    assert_int_equal(receive(kv, "b 899 0 7\n", false, 0, now), 0); /* and keeps older ones out */
    assert_value(kv, "b 900 1 1\n");
    kv_free(&kv);
}

static void a_deleted_key_is_told_kept_and_dropped(void **state)
{
    (void)state;
    struct kv *kv = store();
    assert_int_equal(kv_delete(kv, K, 1), ERR_NOENT);
    assert_int_equal(receive(kv, "a 100 0 1\n", true, 99000, 100000), 0);
    assert_null(kv_get(kv, K)); /* never revived, never made, by a deletion */
    assert_int_equal(receive(kv, "a 100 0 1\n", false, 0, 100000), 0);
    assert_told(kv, "a 100 0 1\n|");
    assert_int_equal(receive(kv, "a 100 0 1\n", true, 101000, 101000), 0);
    assert_told(kv, "deleted a 100 0 1\n|");
    assert_int_equal(receive(kv, "a 100 0 1\n", true, 101000, 101000), 0);
    assert_told(kv, "");
    kv_expire(kv, 131000);
    assert_non_null(kv_get(kv, K));
    kv_expire(kv, 131001);
    assert_null(kv_get(kv, K));
    assert_int_equal(receive(kv, "a 100 0 1\n", false, 0, 132000), 0);
    assert_told(kv, "a 100 0 1\n|");
    assert_int_equal(kv_delete(kv, K, 133000), 0);
    assert_told(kv, "deleted a 100 0 1\n|");
    kv_free(&kv);
}

static void a_state_carries_all_keys(void **state)
{
    (void)state;
    struct kv *kv = store(), *other = store();
    struct buf out = {0};
    struct edit_arg e = {.name = "a", .at = 100, .result = KV_STORE};
    assert_int_equal(kv_cas(kv, K, "test", edit, &e, 100000), 0);
    assert_int_equal(kv_cas(kv, STR("second"), "test", edit, &e, 100000), 0);
    kv_put_state(kv, &out);
    assert_int_equal(out.error, 0);
    assert_int_equal(kv_on_state(other, buf_view(&out), 100000), 0);
    assert_value(other, "a 100 0 0\n");
    assert_non_null(kv_get(other, STR("second")));
    assert_int_equal(kv_queued_gossip(other), 2);
    assert_int_equal(kv_on_state(other, str_head(buf_view(&out), out.size - 2), 100000), ERR_PARSE);
    buf_reset(&out);
    kv_free(&kv);
    kv_free(&other);
}

struct watch_arg {
    struct kv *kv;
    int calls;
    size_t count;
    bool write;
};

static void on_change(void *arg, struct str name, const void *value)
{
    struct watch_arg *w = arg;
    struct edit_arg e = {.name = "w", .at = 500, .result = KV_STORE};
    assert_true(str_eq(name, K));
    w->calls++;
    w->count = value == NULL ? 999 : ((const struct tv *)value)->count;
    if (w->write) {
        w->write = false;
        assert_int_equal(kv_cas(w->kv, K, "test", edit, &e, 500000), 0);
        assert_int_equal(kv_cas(w->kv, STR("new key"), "test", edit, &e, 500000), 0);
    }
}

static void watchers_hear_once_of_several_changes_and_may_write(void **state)
{
    (void)state;
    struct kv *kv = store();
    struct watch_arg w = {.kv = kv};
    assert_int_equal(kv_watch(kv, K, on_change, &w), 0);
    assert_false(kv_notify(kv));
    assert_int_equal(receive(kv, "a 100 0 1\n", false, 0, 100000), 0);
    assert_int_equal(receive(kv, "b 100 0 1\n", false, 0, 100000), 0);
    assert_int_equal(w.calls, 0);
    w.write = true;
    assert_true(kv_notify(kv));
    assert_int_equal(w.calls, 2); /* its own write came back to it */
    assert_int_equal(w.count, 3);
    assert_false(kv_notify(kv));
    struct watch_arg late = {.kv = kv};
    assert_int_equal(kv_watch(kv, K, on_change, &late), 0);
    (void)kv_notify(kv);
    assert_int_equal(late.calls, 1); /* the value was there already */
    assert_int_equal(kv_delete(kv, K, 600000), 0);
    (void)kv_notify(kv);
    assert_int_equal(late.count, 999);
    kv_free(&kv);
}

struct prefix_arg {
    struct buf keys;
};

static void on_prefix(void *arg, struct str name, const void *value)
{
    struct prefix_arg *p = arg;
    buf_printf(&p->keys, "%s%.*s ", value == NULL ? "-" : "", STR_ARG(name));
}

static void assert_heard(struct prefix_arg *p, const char *want)
{
    buf_u8(&p->keys, 0);
    assert_string_equal((const char *)p->keys.data, want);
    buf_clear(&p->keys);
}

static void a_watcher_of_a_prefix_hears_of_every_key(void **state)
{
    (void)state;
    static const struct kv_config two = {.retransmit_mult = 1, .prefix_buffer = 2};
    struct kv *kv = NULL;
    struct prefix_arg p = {0};
    struct edit_arg e = {.name = "a", .at = 100, .result = KV_STORE};
    static const char *const names[] = {"ring/1", "other", "ring/2", "ring/3"};
    assert_int_equal(kv_init(&kv, &two, NULL), 0);
    assert_int_equal(kv_register(kv, &tv_codec), 0);
    assert_int_equal(kv_cas(kv, STR("ring/0"), "test", edit, &e, 100000), 0);
    (void)kv_notify(kv);
    assert_int_equal(kv_watch_prefix(kv, STR("ring/"), on_prefix, &p), 0);
    assert_true(kv_notify(kv));
    assert_heard(&p, "ring/0 "); /* it was there already */
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(kv_cas(kv, str_c(names[i]), "test", edit, &e, 100000), 0);
    assert_int_equal(kv_pending(kv), 4);
    assert_true(kv_notify(kv));
    assert_heard(&p, "ring/1 ring/2 "); /* as many as its buffer holds */
    assert_int_equal(kv_pending(kv), 1);
    assert_true(kv_notify(kv));
    assert_heard(&p, "ring/3 "); /* and nothing is lost */
    assert_int_equal(kv_delete(kv, STR("ring/1"), 200000), 0);
    (void)kv_notify(kv);
    assert_heard(&p, "-ring/1 ");
    assert_false(kv_notify(kv));
    buf_reset(&p.keys);
    kv_free(&kv);
}

static void a_first_value_of_nothing_is_not_stored(void **state)
{
    (void)state;
    struct kv *kv = store();
    assert_int_equal(receive(kv, "", false, 0, 100000), 0);
    assert_null(kv_get(kv, K));
    assert_told(kv, "");
    kv_free(&kv);
}

static void tombstones_are_counted_and_expire_without_news(void **state)
{
    (void)state;
    struct kv *kv = store();
    struct kv_key k;
    size_t at = 0;
    assert_int_equal(receive(kv, "a 1000 0 1\nb 1000 1 1\n", false, 0, 1000000), 0);
    assert_true(kv_next(kv, &at, &k));
    assert_int_equal(k.tombstones, 1);
    kv_expire(kv, 1300000);
    at = 0;
    assert_true(kv_next(kv, &at, &k));
    assert_int_equal(k.tombstones, 1);
    kv_expire(kv, 1301000);
    at = 0;
    assert_true(kv_next(kv, &at, &k));
    assert_int_equal(k.tombstones, 0);
    assert_int_equal(k.tombstones_removed, 1);
    assert_value(kv, "a 1000 0 1\n");
    kv_free(&kv);
}

/* A message of a peer for `key` with `names` names from number `first` on. */
static int receive_names(struct kv *kv, const char *key, int first, int names)
{
    struct buf msg = {0}, value = {0};
    for (int i = first; i < first + names; i++)
        buf_printf(&value, "n%d 100 0 1\n", i);
    kv_pair_put(&msg, &(struct kv_pair){str_c(key), buf_view(&value), STR("test"), false, 0});
    int rc = kv_on_message(kv, buf_view(&msg), 100000);
    buf_reset(&msg);
    buf_reset(&value);
    return rc;
}

/* One name each: the limit of bytes is far away. */
static size_t small(const void *value)
{
    (void)value;
    return 1;
}

static void keys_that_peers_make_up_are_bounded_and_ours_are_not(void **state)
{
    (void)state;
    struct kv_codec codec = tv_codec;
    codec.size = small;
    struct kv *kv = NULL;
    assert_int_equal(kv_init(&kv, &config, NULL), 0);
    assert_int_equal(kv_register(kv, &codec), 0);
    struct edit_arg e = {.name = "a", .at = 100, .result = KV_STORE};
    struct watch_arg w = {0};
    char name[16];
    for (int i = 0; i <= KV_STRAY_KEYS_MAX; i++) {
        (void)snprintf(name, sizeof name, "key-%d", i);
        assert_int_equal(receive_names(kv, name, 0, 1), i < KV_STRAY_KEYS_MAX ? 0 : ERR_LIMIT);
    }
    assert_int_equal(kv_stats(kv)->stray_dropped, 1);
    assert_int_equal(kv_stats(kv)->received_dropped, 1);

    assert_int_equal(kv_watch(kv, K, on_change, &w), 0); /* ours have room all the same */
    assert_int_equal(receive(kv, "a 100 0 1\n", false, 0, 100000), 0);
    assert_value(kv, "a 100 0 1\n");
    assert_int_equal(kv_cas(kv, STR("mine"), "test", edit, &e, 1), 0);
    assert_int_equal(receive_names(kv, "another", 0, 1), ERR_LIMIT);
    assert_int_equal(kv_watch(kv, STR("key-7"), on_change, &w), 0); /* no longer a stray one */
    assert_int_equal(receive_names(kv, "another", 0, 1), 0);
    assert_int_equal(receive_names(kv, "one more", 0, 1), ERR_LIMIT);
    kv_free(&kv);
}

static void values_of_stray_keys_share_a_limit_of_memory(void **state)
{
    (void)state;
    enum { ALL = KV_STRAY_BYTES_MAX / TV_NAME_SIZE };
    struct kv *kv = store();
    struct watch_arg w = {0};
    assert_int_equal(kv_watch(kv, K, on_change, &w), 0);
    assert_int_equal(receive_names(kv, "a", 0, ALL / 2), 0);
    assert_int_equal(receive_names(kv, "b", 0, ALL / 2 + 1), ERR_LIMIT);
    assert_null(kv_get(kv, STR("b")));
    assert_int_equal(kv_stats(kv)->stray_dropped, 1);
    assert_int_equal(kv_stray_bytes(kv), ALL / 2 * TV_NAME_SIZE);
    assert_int_equal(receive_names(kv, "b", 0, ALL / 2), 0);
    assert_int_equal(kv_stray_bytes(kv), KV_STRAY_BYTES_MAX);

    assert_int_equal(receive_names(kv, "k", 0, ALL), 0); /* ours is not among them */
    assert_non_null(kv_get(kv, K));
    assert_int_equal(kv_stray_bytes(kv), KV_STRAY_BYTES_MAX);

    assert_int_equal(receive_names(kv, "a", ALL / 2, 1), ERR_LIMIT); /* who grows, goes */
    assert_null(kv_get(kv, STR("a")));
    assert_non_null(kv_get(kv, STR("b")));
    assert_int_equal(kv_stray_bytes(kv), ALL / 2 * TV_NAME_SIZE);
    assert_int_equal(kv_watch(kv, STR("b"), on_change, &w), 0);
    assert_int_equal(kv_stray_bytes(kv), 0);
    kv_free(&kv);
}

static void a_stray_value_gives_its_memory_back(void **state)
{
    (void)state;
    struct kv *kv = store();
    struct buf msg = {0};
    assert_int_equal(receive_names(kv, "gone", 0, 3), 0);
    kv_pair_put(&msg, &(struct kv_pair){STR("gone"), STR("n0 200 1 0\n"), STR("test"), true,
                                        150000});
    assert_int_equal(kv_on_message(kv, buf_view(&msg), 200000), 0);
    buf_reset(&msg);
    assert_int_equal(kv_stray_bytes(kv), 3 * TV_NAME_SIZE);
    kv_expire(kv, 180000);
    assert_int_equal(kv_stray_bytes(kv), 3 * TV_NAME_SIZE);
    kv_expire(kv, 190000); /* the key, deleted for more than 30 s */
    assert_int_equal(kv_stray_bytes(kv), 0);

    assert_int_equal(receive_names(kv, "less", 0, 3), 0);
    kv_pair_put(&msg, &(struct kv_pair){STR("less"), STR("n0 200 1 0\n"), STR("test"), false, 0});
    assert_int_equal(kv_on_message(kv, buf_view(&msg), 200000), 0);
    buf_reset(&msg);
    kv_expire(kv, 1000000); /* the tombstone */
    assert_int_equal(kv_stray_bytes(kv), 2 * TV_NAME_SIZE);
    kv_free(&kv);
}

static void without_memory_nothing_is_lost_or_leaked(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct kv *kv = NULL;
        struct watch_arg w = {0};
        struct edit_arg e = {.name = "b", .at = 100, .result = KV_STORE};
        struct buf msg = {0}, out = {0};
        kv_pair_put(&msg, &(struct kv_pair){K, STR("a 100 0 1\n"), STR("test"), false, 0});
        mem_fail_at(n);
        int rc = kv_init(&kv, &config, NULL);
        if (rc == 0)
            rc = kv_register(kv, &tv_codec);
        if (rc == 0)
            rc = kv_watch(kv, K, on_change, &w);
        if (rc == 0)
            rc = kv_on_message(kv, buf_view(&msg), 100000);
        if (rc == 0)
            rc = kv_cas(kv, K, "test", edit, &e, 100000);
        if (kv != NULL)
            kv_put_state(kv, &out);
        int over = mem_fail_pending();
        mem_fail_at(0);
        if (over) {
            assert_int_equal(rc, 0);
            assert_value(kv, "a 100 0 1\nb 100 0 0\n");
        }
        kv_free(&kv);
        buf_reset(&msg);
        buf_reset(&out);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vector_is_read_and_written),
        cmocka_unit_test(a_value_of_megabytes_is_borrowed_whole),
        cmocka_unit_test(malformed_pairs_are_refused_and_odd_ones_are_read),
        cmocka_unit_test(only_the_change_is_told_on),
        cmocka_unit_test(what_cannot_be_understood_is_counted),
        cmocka_unit_test(a_cas_sees_no_tombstones_and_makes_them),
        cmocka_unit_test(a_cas_that_changes_nothing_says_so),
        cmocka_unit_test(our_own_changes_are_told_first),
        cmocka_unit_test(old_tombstones_go_and_do_not_come_back),
        cmocka_unit_test(a_deleted_key_is_told_kept_and_dropped),
        cmocka_unit_test(a_state_carries_all_keys),
        cmocka_unit_test(watchers_hear_once_of_several_changes_and_may_write),
        cmocka_unit_test(a_watcher_of_a_prefix_hears_of_every_key),
        cmocka_unit_test(a_first_value_of_nothing_is_not_stored),
        cmocka_unit_test(tombstones_are_counted_and_expire_without_news),
        cmocka_unit_test(keys_that_peers_make_up_are_bounded_and_ours_are_not),
        cmocka_unit_test(values_of_stray_keys_share_a_limit_of_memory),
        cmocka_unit_test(a_stray_value_gives_its_memory_back),
        cmocka_unit_test(without_memory_nothing_is_lost_or_leaked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
