/* /memberlist: trouble first, keys with links, the history of messages; names are hostile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/page_members.h"
#include "base/err.h"
#include "base/mem.h"
#include "gossip/core.h"
#include "gossip/kv_pair.h"
#include "gossip/messages.h"
#include "gossip/packet.h"
#include "ring/desc.h"

#define NOW 1700000100000

struct world {
    struct gossip_core *core;
    struct ring_desc *ring; /* what the page is told; the store has its own */
    struct page_members_ring rings[1];
    struct page_members page;
};

static struct ring_instance instance(const char *id)
{
    return (struct ring_instance){.id = str_c(id),
                                  .addr = STR("10.0.0.9:4040"),
                                  .timestamp_s = NOW / 1000 - 3};
}

static int store(void *arg, void **value)
{
    const struct ring_instance in = instance(arg);
    int rc = *value != NULL ? 0 : ring_desc_init((struct ring_desc **)value);
    return rc == 0 && ring_desc_put(*value, &in) == 0 ? KV_STORE : ERR_NOMEM;
}

static int init(struct world *w)
{
    struct gossip_core_config c = gossip_core_config_default();
    struct gossip_time now = {100000, NOW};
    c.members.name = STR("querier-0-c042");
    c.members.addr = (struct gossip_addr){.ip = {10, 0, 0, 1}, .size = 4, .port = 7946};
    c.kv.history_bytes = 100000;
    *w = (struct world){.page = {.frame = {.title = "Memberlist",
                                           .path = "/memberlist",
                                           .folder = "static/ab/",
                                           .who = STR("querier-0"),
                                           .version = "1.2.3",
                                           .now = NOW,
                                           .age_ms = 0},
                                 .mono = 130000,
                                 .label = STR("prod"),
                                 .joined = STR("joined 3 of 3"),
                                 .before = {.at = 100000}}};
    int rc = gossip_core_init(&w->core, &c, NULL, now, NULL);
    if (rc == 0)
        rc = kv_register(gossip_core_kv(w->core), &ring_codec);
    if (rc == 0)
        rc = ring_desc_init(&w->ring);
    w->rings[0] = (struct page_members_ring){"ingester", "/ring", w->ring};
    w->page.rings = w->rings;
    w->page.ring_count = 1;
    w->page.core = w->core;
    return rc;
}

static void end(struct world *w)
{
    gossip_core_free(&w->core);
    ring_desc_free(&w->ring);
}

static int key(struct world *w, const char *name, const char *id)
{
    return kv_cas(gossip_core_kv(w->core), str_c(name), "ringDesc", store, (void *)(uintptr_t)id,
                  NOW);
}

static void in_ring(struct world *w, const char *id)
{
    const struct ring_instance in = instance(id);
    assert_int_equal(ring_desc_put(w->ring, &in), 0);
}

/* The table behind the core, which lets tests do what packets would. */
static struct members *table(struct world *w)
{
    return (struct members *)(uintptr_t)memberlist_members(gossip_core_members(w->core));
}

static void join(struct world *w, const char *name)
{
    const struct msg_alive a = {.incarnation = 1,
                                .node = str_c(name),
                                .ip = STR("\x0a\x00\x00\x02"),
                                .port = 7946,
                                .vsn = STR("\1\5\2\0\0\0")};
    assert_int_equal(members_on_alive(table(w), &a, 101000), 0);
}

static void accuse(struct world *w, const char *name, bool dead)
{
    const struct msg_accuse a = {.incarnation = 1, .node = str_c(name), .from = STR("x")};
    assert_int_equal(dead ? members_on_dead(table(w), &a, 120000)
                          : members_on_suspect(table(w), &a, 120000),
                     0);
}

static bool has(const struct buf *b, const char *text)
{
    return str_contains(buf_view(b), str_c(text));
}

static size_t place(const struct buf *b, const char *text)
{
    size_t at = 0;
    for (struct str s = buf_view(b); !str_starts_with(s, str_c(text)); s = str_skip(s, 1), at++)
        assert_true(s.len > 0);
    return at;
}

static void traffic_is_in_both_directions_and_per_second(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    assert_int_equal(init(&w), 0);
    w.page.mono = w.page.before.at + 10000;
    w.page.before.packets = (struct gossip_packets){100, 1000, 200, 2000, 1};
    w.page.packets = (struct gossip_packets){150, 6000, 225, 4000, 3};
    page_members_html(&w.page, &b);
    assert_true(has(&b,
                    "<tr><td>packets</td><td class=\"num\">5.0</td><td class=\"num\">500 B</td>"
                    "<td class=\"num\">2.5</td><td class=\"num\">200 B</td>"
                    "<td class=\"num\"><b class=\"warn\">2</b></td></tr>"));
    assert_true(has(&b, "<tr><td>changes heard</td><td colspan=\"2\"></td>"));
    buf_reset(&b);
    end(&w);
}

static void members_stand_with_the_trouble_first(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    assert_int_equal(init(&w), 0);
    join(&w, "ingester-a-0-7f21");
    join(&w, "ingester-b-2-7f21");
    join(&w, "ingester-c-1-7f21");
    in_ring(&w, "ingester-a-0");
    in_ring(&w, "ingester-b-2");
    in_ring(&w, "ingester-c-1");
    accuse(&w, "ingester-b-2-7f21", true);
    accuse(&w, "ingester-c-1-7f21", false);
    page_members_html(&w.page, &b);
    assert_int_equal(b.error, 0);
    assert_true(has(&b, "label prod, port 7946, joined 3 of 3</span>"));
    assert_true(has(&b, "2 ALIVE</span>"));
    assert_true(has(&b, "1 SUSPECT</span>"));
    assert_true(has(&b, "<b class=\"warn\">ingester-b-2 is in the ring but not a member</b> since "
                        "22:14:50: it stopped answering and was declared dead. It keeps its place "
                        "until it returns or is <a href=\"ring\">forgotten on the ring page</a>."));
    assert_true(place(&b, "<tr class=\"bad\"><td class=\"mono name\">ingester-b-2-7f21") <
                place(&b, "<td class=\"mono name\">ingester-c-1-7f21"));
    assert_true(place(&b, "<td class=\"mono name\">ingester-c-1-7f21") <
                place(&b, "<td class=\"mono name\">ingester-a-0-7f21"));
    assert_true(has(&b, "querier-0-c042 <span class=\"quiet\">this one</span>"));
    assert_true(has(&b, "2 of 1\xe2\x80\x93" "5"));
    buf_reset(&b);
    end(&w);
}

static void a_ring_whose_names_are_no_members_names_accuses_nobody(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    assert_int_equal(init(&w), 0);
    join(&w, "pod-x");
    in_ring(&w, "ingester-7");
    page_members_html(&w.page, &b);
    assert_false(has(&b, "not a member"));
    buf_reset(&b);
    end(&w);
}

static void keys_can_be_viewed_and_downloaded(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    assert_int_equal(init(&w), 0);
    assert_int_equal(key(&w, "collectors/ring", "a"), 0);
    page_members_html(&w.page, &b);
    assert_true(has(&b, "<td class=\"mono name\">collectors/ring</td><td>ringDesc</td>"
                        "<td class=\"num\">1</td><td class=\"num\">3 s ago</td>"));
    assert_true(has(&b, "<a href=\"?viewKey=collectors%2Fring&amp;format=json-pretty\">view</a> "
                        "<a href=\"?downloadKey=collectors%2Fring\">download</a>"));
    buf_reset(&b);
    end(&w);
}

/* A message as another member would send it. */
static void receive(struct world *w, const char *name, const char *id)
{
    struct ring_desc *d = NULL;
    struct buf value = {0}, msg = {0};
    assert_int_equal(store((void *)(uintptr_t)id, (void **)&d), KV_STORE);
    ring_codec.encode(d, &value);
    kv_pair_put(&msg, &(struct kv_pair){.key = str_c(name),
                                        .value = buf_view(&value),
                                        .codec = STR("ringDesc")});
    assert_int_equal(kv_on_message(gossip_core_kv(w->core), buf_view(&msg), NOW), 0);
    ring_desc_free(&d);
    buf_reset(&value);
    buf_reset(&msg);
}

static void messages_are_shown_of_all_keys_or_of_one(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    assert_int_equal(init(&w), 0);
    receive(&w, "collectors/ring", "a");
    receive(&w, "other", "b");
    receive(&w, "other", "b");
    page_members_html(&w.page, &b);
    /* Two of the three received were news and told on. */
    assert_true(has(&b, "5 kept, newest first</span>"));
    assert_true(has(&b, "<td class=\"changes\">a</td>"));
    assert_true(has(&b, "<td class=\"changes\">nothing new</td>"));
    assert_true(has(&b, "?viewMsg=3&amp;format=json-pretty\">decode</a>"));
    buf_clear(&b);
    w.page.key = STR("collectors/ring");
    page_members_html(&w.page, &b);
    assert_true(has(&b, "<option selected>collectors/ring</option>"));
    assert_false(has(&b, "nothing new"));
    buf_reset(&b);
    end(&w);
}

static void names_cannot_break_out_of_the_page(void **state)
{
    struct world w;
    struct buf b = {0};
    const char *evil = "'\"><script>alert(1)</script>";
    (void)state;
    assert_int_equal(init(&w), 0);
    join(&w, evil);
    join(&w, "known");
    in_ring(&w, "known");
    in_ring(&w, evil);
    in_ring(&w, "\"><script>gone</script>");
    receive(&w, evil, evil);
    w.page.label = w.page.joined = w.page.key = w.page.frame.who = str_c(evil);
    page_members_html(&w.page, &b);
    assert_int_equal(b.error, 0);
    assert_false(has(&b, "<script>"));
    assert_true(str_is_utf8(buf_view(&b)));
    buf_reset(&b);
    end(&w);
}

static void a_page_without_memory_says_so(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct world w;
        struct buf b = {0};
        assert_int_equal(init(&w), 0);
        join(&w, "a-1");
        in_ring(&w, "a");
        in_ring(&w, "b");
        receive(&w, "collectors/ring", "a");
        mem_fail_at(n);
        page_members_html(&w.page, &b);
        int over = mem_fail_pending(), error = b.error;
        mem_fail_at(0);
        buf_reset(&b);
        end(&w);
        if (over) {
            assert_int_equal(error, 0);
            assert_true(n > 5);
            break;
        }
        assert_int_equal(error, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traffic_is_in_both_directions_and_per_second),
        cmocka_unit_test(members_stand_with_the_trouble_first),
        cmocka_unit_test(a_ring_whose_names_are_no_members_names_accuses_nobody),
        cmocka_unit_test(keys_can_be_viewed_and_downloaded),
        cmocka_unit_test(messages_are_shown_of_all_keys_or_of_one),
        cmocka_unit_test(names_cannot_break_out_of_the_page),
        cmocka_unit_test(a_page_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
