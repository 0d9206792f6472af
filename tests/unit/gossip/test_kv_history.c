/* What was sent and received last can be looked at, and costs no more than it may. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/kv_history.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "gossip/kv.h"
#include "kv_test_codec.h"

static const struct str K = STR_INIT("k");

static void add(struct kv_history *h, enum kv_direction d, const char *value, uint64_t version)
{
    struct buf msg = {0};
    kv_pair_put(&msg, &(struct kv_pair){K, str_c(value), STR("test"), false, 0});
    kv_history_add(h, d, 1000, buf_view(&msg), version, STR("a,b"));
    buf_reset(&msg);
}

static void the_newest_messages_stay_in_order(void **state)
{
    (void)state;
    struct kv_history *h = NULL;
    struct kv_message m;
    size_t at = 0;
    assert_int_equal(kv_history_init(&h, 2000), 0);
    assert_true(kv_history_is_on(h));
    for (uint64_t i = 1; i <= 100; i++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%d", (int)i);
        add(h, KV_RECEIVED, value, i);
    }
    size_t count = kv_history_count(h, KV_RECEIVED), seen = 0;
    assert_in_range(count, 10, 40); /* about 70 bytes each */
    assert_int_equal(kv_history_count(h, KV_SENT), 0);
    for (uint64_t want = 101 - count; kv_history_next(h, KV_RECEIVED, &at, &m); want++, seen++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%d", (int)want);
        assert_int_equal(m.id, want);
        assert_int_equal(m.version, want);
        assert_int_equal(m.at, 1000);
        assert_true(str_eq(m.pair.key, K));
        assert_true(str_eq(m.pair.value, str_c(value)));
        assert_true(str_eq(m.changes, STR("a,b")));
    }
    assert_int_equal(seen, count);
    kv_history_clear(h);
    assert_int_equal(kv_history_count(h, KV_RECEIVED), 0);
    kv_history_free(&h);
}

static void without_room_nothing_is_kept(void **state)
{
    (void)state;
    struct kv_history *h = NULL;
    char big[300];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(kv_history_init(&h, 0), 0);
    assert_false(kv_history_is_on(h));
    add(h, KV_SENT, "1", 1);
    assert_int_equal(kv_history_count(h, KV_SENT), 0);
    kv_history_free(&h);
    assert_int_equal(kv_history_init(&h, 256), 0);
    add(h, KV_SENT, "1", 1);
    add(h, KV_SENT, big, 2); /* longer than all the room: the others stay */
    assert_int_equal(kv_history_count(h, KV_SENT), 1);
    kv_history_free(&h);
}

static int edit(void *arg, void **value)
{
    (void)arg;
    if (*value == NULL && (*value = tv_new()) == NULL)
        return ERR_NOMEM;
    tv_put(*value, "own", 100, 1);
    return KV_STORE;
}

static void the_store_notes_what_it_hears_and_tells(void **state)
{
    (void)state;
    static const struct kv_config config = {
        .retransmit_mult = 1, .tombstone_ms = 300000, .history_bytes = 10000};
    struct kv *kv = NULL;
    struct kv_message m;
    struct buf msg = {0}, whole = {0};
    size_t at = 0;
    assert_int_equal(kv_init(&kv, &config, NULL), 0);
    assert_int_equal(kv_register(kv, &tv_codec), 0);
    kv_pair_put(&msg, &(struct kv_pair){K, STR("a 100 0 1\nb 100 0 1\n"), STR("test"), false, 0});
    assert_int_equal(kv_on_message(kv, buf_view(&msg), 100000), 0);
    assert_int_equal(kv_on_message(kv, buf_view(&msg), 100000), 0); /* nothing new */
    assert_int_equal(kv_cas(kv, K, "test", edit, NULL, 101000), 0);
    kv_pair_put_framed(&whole, &(struct kv_pair){STR("k2"), STR("c 100 0 1\n"), STR("test"), 0, 0});
    assert_int_equal(kv_on_state(kv, buf_view(&whole), 102000), 0);
    assert_int_equal(kv_history_count(kv_messages(kv), KV_RECEIVED), 3);
    assert_int_equal(kv_history_count(kv_messages(kv), KV_SENT), 3);
    assert_true(kv_history_next(kv_messages(kv), KV_RECEIVED, &at, &m));
    assert_int_equal(m.version, 1);
    assert_int_equal(m.size, msg.size);
    assert_true(str_eq(m.changes, STR("a,b")));
    assert_true(kv_history_next(kv_messages(kv), KV_RECEIVED, &at, &m));
    assert_int_equal(m.version, 0);
    assert_int_equal(m.changes.len, 0);
    assert_true(kv_history_next(kv_messages(kv), KV_RECEIVED, &at, &m));
    assert_true(str_eq(m.pair.key, STR("k2"))); /* out of a whole state */
    assert_int_equal(m.at, 102000);
    at = 1;
    assert_true(kv_history_next(kv_messages(kv), KV_SENT, &at, &m));
    assert_int_equal(m.version, 2);
    assert_true(str_eq(m.pair.value, STR("own 100 0 1\n"))); /* the change alone */
    buf_reset(&msg);
    buf_reset(&whole);
    kv_free(&kv);
}

static void without_memory_nothing_is_kept_or_leaked(void **state)
{
    (void)state;
    struct kv_history *h = NULL;
    mem_fail_at(1);
    assert_int_equal(kv_history_init(&h, 100), ERR_NOMEM);
    mem_fail_at(0);
    assert_null(h);
    assert_int_equal(kv_history_init(&h, 10000), 0);
    for (uint64_t i = 1; i <= 2; i++) {
        struct buf msg = {0};
        kv_pair_put(&msg, &(struct kv_pair){.key = K});
        mem_fail_at(i);
        kv_history_add(h, KV_SENT, 1, buf_view(&msg), 1, STR(""));
        mem_fail_at(0);
        buf_reset(&msg);
    }
    assert_int_equal(kv_history_count(h, KV_SENT), 0);
    kv_history_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_messages_stay_in_order),
        cmocka_unit_test(without_room_nothing_is_kept),
        cmocka_unit_test(the_store_notes_what_it_hears_and_tells),
        cmocka_unit_test(without_memory_nothing_is_kept_or_leaked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
