/* The page of /memberlist in dskit's schema. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/page.h"

#include "base/err.h"
#include "base/mem.h"
#include "gossip/core.h"
#include "gossip/kv_pair.h"
#include "kv_test_codec.h"

static int edit(void *arg, void **value)
{
    (void)arg;
    *value = tv_new();
    if (*value == NULL)
        return ERR_NOMEM;
    tv_put(*value, "a", 100, 7);
    return KV_STORE;
}

static int core_make(struct gossip_core **out)
{
    struct gossip_core_config c = gossip_core_config_default();
    c.members.name = STR("node");
    c.members.addr = (struct gossip_addr){.ip = {10, 0, 0, 5}, .size = 4, .port = 7946};
    int rc = gossip_core_init(out, &c, NULL, (struct gossip_time){0, 100000}, NULL);
    rc = rc == 0 ? kv_register(gossip_core_kv(*out), &tv_codec) : rc;
    return rc == 0 ? kv_cas(gossip_core_kv(*out), STR("k"), "test", edit, NULL, 100000) : rc;
}

static void assert_text(struct buf *out, const char *want)
{
    buf_u8(out, 0);
    assert_string_equal((const char *)out->data, want);
    buf_reset(out);
}

static void the_page_is_that_of_dskit(void **state)
{
    (void)state;
    struct gossip_core *core = NULL;
    struct buf out = {0};
    assert_int_equal(core_make(&core), 0);
    gossip_page_json(core, 1700000000123, &out);
    assert_text(&out,
                "{\"Now\":\"2023-11-14T22:13:20.123Z\",\"Memberlist\":{},\"SortedMembers\":["
                "{\"Name\":\"node\",\"Addr\":\"10.0.0.5\",\"Port\":7946,\"Meta\":null,"
                "\"State\":0,\"PMin\":1,\"PMax\":5,\"PCur\":2,\"DMin\":0,\"DMax\":0,\"DCur\":0}],"
                "\"Store\":{\"k\":{\"Version\":1,\"CodecID\":\"test\",\"Deleted\":false,"
                "\"UpdateTime\":\"0001-01-01T00:00:00Z\"}},\"StoreSizes\":{\"k\":10},"
                "\"TotalStoreSize\":10,\"MessageHistoryBufferBytes\":0,\"SentMessages\":null,"
                "\"ReceivedMessages\":null,\"ZoneAwareRouting\":{\"Enabled\":false,\"Zone\":\"\","
                "\"Role\":\"member\"}}\n");
    gossip_core_free(&core);
}

static void a_key_is_shown_and_taken_away(void **state)
{
    (void)state;
    struct gossip_core *core = NULL;
    struct buf out = {0};
    uint64_t version = 0;
    assert_int_equal(core_make(&core), 0);
    assert_int_equal(gossip_page_view(core, STR("k"), false, &out), 0);
    assert_text(&out, "{\"count\":1}\n");
    assert_int_equal(gossip_page_view(core, STR("k"), true, &out), 0);
    assert_text(&out, "{\n    \"count\": 1\n}\n");
    assert_int_equal(gossip_page_download(core, STR("k"), &version, &out), 0);
    assert_int_equal(version, 1);
    assert_text(&out, "a 100 0 7\n");
    assert_int_equal(gossip_page_view(core, STR("x"), false, &out), ERR_NOENT);
    assert_int_equal(gossip_page_download(core, STR("x"), &version, &out), ERR_NOENT);
    gossip_core_free(&core);
}

/* What another member tells of key k. */
static void receive(struct gossip_core *core, const char *value, wall_ms now)
{
    struct buf msg = {0};
    kv_pair_put(&msg, &(struct kv_pair){STR("k"), str_c(value), STR("test"), false, 0});
    assert_int_equal(kv_on_message(gossip_core_kv(core), buf_view(&msg), now), 0);
    buf_reset(&msg);
}

static void messages_are_numbered_over_both_directions_and_decoded(void **state)
{
    (void)state;
    struct gossip_core_config c = gossip_core_config_default();
    struct gossip_core *core = NULL;
    struct buf out = {0};
    c.members.name = STR("node");
    c.members.addr = (struct gossip_addr){.ip = {10, 0, 0, 5}, .size = 4, .port = 7946};
    c.kv.history_bytes = 10000;
    assert_int_equal(gossip_core_init(&core, &c, NULL, (struct gossip_time){0, 100000}, NULL), 0);
    assert_int_equal(kv_register(gossip_core_kv(core), &tv_codec), 0);
    receive(core, "a 100 0 7\n", 1700000000123);
    receive(core, "a 100 0 7\n", 1700000000456);
    gossip_page_json(core, 1, &out);
    assert_true(str_contains(buf_view(&out), STR("\"MessageHistoryBufferBytes\":10000,")));
    assert_true(str_contains(
        buf_view(&out),
        STR("\"ReceivedMessages\":[{\"ID\":3,\"Time\":\"2023-11-14T22:13:20.123Z\",\"Size\":21,"
            "\"Pair\":{\"key\":\"k\",\"value\":\"YSAxMDAgMCA3Cg==\",\"codec\":\"test\"},"
            "\"Version\":1,\"Changes\":[\"a\"]},{\"ID\":5,")));
    assert_true(str_contains(buf_view(&out), STR("\"Version\":0,\"Changes\":[]}]")));
    assert_true(str_contains(buf_view(&out), STR("\"SentMessages\":[{\"ID\":2,")));
    buf_clear(&out);
    assert_int_equal(gossip_page_message(core, 3, false, &out), 0);
    assert_text(&out, "{\"count\":1}\n");
    assert_int_equal(gossip_page_message(core, 2, true, &out), 0);
    assert_text(&out, "{\n    \"count\": 1\n}\n");
    assert_int_equal(gossip_page_message(core, 4, false, &out), ERR_NOENT);
    assert_int_equal(gossip_page_message(core, UINT64_MAX, false, &out), ERR_NOENT);
    kv_forget_messages(gossip_core_kv(core));
    assert_int_equal(gossip_page_message(core, 3, false, &out), ERR_NOENT);
    gossip_page_json(core, 1, &out);
    assert_true(str_contains(buf_view(&out),
                             STR("\"SentMessages\":null,\"ReceivedMessages\":null")));
    buf_reset(&out);
    gossip_core_free(&core);
}

static void without_memory_the_page_says_so(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct gossip_core *core = NULL;
        struct buf out = {0};
        mem_fail_at(n);
        int rc = core_make(&core);
        if (rc == 0) {
            gossip_page_json(core, 1, &out);
            rc = out.error;
        }
        int over = mem_fail_pending();
        mem_fail_at(0);
        gossip_core_free(&core);
        buf_reset(&out);
        if (over) {
            assert_int_equal(rc, 0);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_is_that_of_dskit),
        cmocka_unit_test(a_key_is_shown_and_taken_away),
        cmocka_unit_test(messages_are_numbered_over_both_directions_and_decoded),
        cmocka_unit_test(without_memory_the_page_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
