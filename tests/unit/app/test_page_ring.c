/* The ring's page: its sentences, its table, its dialog; names are hostile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/page_ring.h"
#include "base/err.h"
#include "base/mem.h"
#include "ring/desc.h"
#include "ring/lookup.h"

#include <stdio.h>

#define NOW 1700000100000

struct world {
    struct ring_desc *desc;
    struct ring *ring;
    struct page_ring page;
};

static void add(struct world *w, const char *id, const char *zone, int32_t state, int64_t age_s,
                uint32_t token)
{
    const struct ring_instance in = {.id = str_c(id),
                                     .addr = STR("10.0.0.1:4040"),
                                     .zone = str_c(zone),
                                     .timestamp_s = NOW / 1000 - age_s,
                                     .registered_s = 1600000000,
                                     .state = state,
                                     .tokens = &token,
                                     .token_count = token != 0};
    assert_int_equal(ring_desc_put(w->desc, &in), 0);
}

/* A view with RF 3, zone aware. */
static void look(struct world *w)
{
    const struct ring_options o = {
        .replication_factor = 3, .zone_aware = true, .heartbeat_timeout_ms = 60000};
    ring_drop(&w->ring);
    assert_int_equal(ring_init(&w->ring, w->desc, &o, NULL), 0);
    w->page.ring = w->ring;
}

static void init(struct world *w)
{
    *w = (struct world){
        .page = {.frame = {.title = "Ingesters",
                           .path = "/ring",
                           .folder = "static/ab/",
                           .who = STR("querier-0"),
                           .version = "1.2.3",
                           .now = NOW,
                           .age_ms = 1000},
                 .name = "ingester",
                 .key = "collectors/ring",
                 .replicated = true,
                 .zone_aware = true,
                 .replication_factor = 3,
                 .timeout_ms = 60000,
                 .late_ms = 20000}};
    assert_int_equal(ring_desc_init(&w->desc), 0);
}

/* Two members in each of three zones; b-1 owns a quarter of zone b. */
static void three_zones(struct world *w, int64_t age_of_b1)
{
    init(w);
    add(w, "a-0", "a", RING_ACTIVE, 2, 0x10000000);
    add(w, "a-1", "a", RING_ACTIVE, 2, 0x90000000);
    add(w, "b-0", "b", RING_ACTIVE, 2, 0x20000000);
    add(w, "b-1", "b", RING_ACTIVE, age_of_b1, 0x60000000);
    add(w, "c-0", "c", RING_ACTIVE, 30, 0x30000000);
    add(w, "c-1", "c", RING_PENDING, 2, 0);
    look(w);
}

static void end(struct world *w, struct buf *b)
{
    ring_drop(&w->ring);
    ring_desc_free(&w->desc);
    buf_reset(b);
}

static bool has(const struct buf *b, const char *text)
{
    return str_contains(buf_view(b), str_c(text));
}

static size_t count(const struct buf *b, const char *text)
{
    size_t n = 0;
    for (struct str s = buf_view(b); s.len > 0; s = str_skip(s, 1))
        n += str_starts_with(s, str_c(text));
    return n;
}

static void a_healthy_ring_is_one_sentence_and_a_table(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    three_zones(&w, 2);
    page_ring_html(&w.page, &b);
    assert_int_equal(b.error, 0);
    assert_true(has(&b, "<section class=\"verdict well\"><div><p><b>Every token range has its "
                        "quorum.</b></p></div></section>"));
    assert_true(has(&b, "5 ACTIVE</span>"));
    assert_true(has(&b, "1 PENDING</span>"));
    assert_false(has(&b, "UNHEALTHY"));
    assert_true(has(&b, "RF 3 \xc2\xb7 3 zones \xc2\xb7 5 tokens"));
    assert_true(has(&b, "<b>zone c</b> 1 of 2 ACTIVE, c-1 has no tokens yet"));
    assert_int_equal(count(&b, "<tr><td><i class=\"swatch"), 6);
    assert_int_equal(count(&b, "\">Forget \xe2\x80\xa6</a>"), 6);
    assert_true(has(&b, "<a class=\"forget\" href=\"ring?ask=a-0\">"));
    assert_true(has(&b, "25.0 %</td>") && has(&b, "75.0 %</td>"));
    assert_true(has(&b, "class=\"b-doubt\"")); /* c-0 is late, but in time */
    assert_false(has(&b, "pale") || has(&b, "<dialog"));
    end(&w, &b);
}

static void a_dead_member_is_named_with_what_it_puts_at_risk(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    three_zones(&w, 134);
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<b>Every token range has its quorum.</b> <b class=\"warn\">25.0 % of the "
                        "ring is one failure from losing it</b>, because b-1 (zone b) is "
                        "UNHEALTHY.</p><p class=\"quiet\">Reads and writes work. Stop or roll "
                        "nothing in zones a and c until it is back.</p>"));
    assert_true(has(&b, "<b>75.0 %</b> all 3 replicas"));
    assert_true(has(&b, "<b>25.0 %</b> exactly quorum, 2 of 3"));
    assert_true(has(&b, "<b>0 %</b> below"));
    assert_true(has(&b, "<tr class=\"bad\"><td><i class=\"swatch h3\"></i><span class=\"mono "
                        "name\">b-1</span>"));
    assert_true(has(&b, "2 min 14 s</td>"));
    assert_true(has(&b, "<text class=\"mid sick\" x=\"128\" y=\"138\">b-1</text>"));
    assert_true(has(&b, "25.0 % of zone b</text>"));
    assert_false(has(&b, "ask_unhealthy")); /* one is not many */
    end(&w, &b);
}

static void a_lost_quorum_is_an_error_and_all_dead_can_be_forgotten_at_once(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    three_zones(&w, 134);
    add(&w, "c-0", "c", RING_ACTIVE, 99, 0x30000000);
    look(&w);
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<section class=\"verdict error\"><div><p><b>25.0 % of the ring has lost "
                        "its quorum</b>: b-1 (zone b) and c-0 (zone c) are UNHEALTHY.</p>"));
    assert_true(has(&b, "Forget all 2 UNHEALTHY"));
    buf_clear(&b);
    w.page.forget_unhealthy = true;
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<h2 id=\"ask\">Forget 2 instances?</h2>"));
    assert_true(has(&b, "<input type=\"hidden\" name=\"forget\" value=\"b-1\"><input "
                        "type=\"hidden\" name=\"forget\" value=\"c-0\">"));
    assert_false(has(&b, "type=\"checkbox\""));
    end(&w, &b);
}

static void the_dialog_says_what_forgetting_does(void **state)
{
    struct world w;
    struct buf b = {0};
    const struct str dead = STR("b-1"), alive = STR("a-0"), nobody = STR("x");
    (void)state;
    three_zones(&w, 134);
    w.page.forget = &dead;
    w.page.forget_count = 1;
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<h2 id=\"ask\">Forget b-1?</h2><p>Its last heartbeat is <b>2 min 14 s</b> "
                        "old (time-out 60 s). It is removed from the ring; its 25.0 % of "
                        "zone b "
                        "goes to b-0.</p>"));
    assert_true(has(&b, "<form method=\"post\" action=\"ring\"><input type=\"hidden\" "
                        "name=\"forget\" value=\"b-1\">"));
    assert_true(has(&b, "autofocus href=\"ring\">Keep it"));
    assert_false(has(&b, "type=\"checkbox\""));
    buf_clear(&b);
    w.page.forget = &alive;
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<input type=\"checkbox\" name=\"anyway\" required> It still sends "
                        "heartbeats. Forget it anyway."));
    buf_clear(&b);
    w.page.forget = &nobody;
    page_ring_html(&w.page, &b);
    assert_false(has(&b, "<dialog"));
    end(&w, &b);
}

static void who_holds_a_service_is_asked_of_the_ring(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    three_zones(&w, 134);
    w.page.service = STR("checkout");
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "name=\"tenant\" size=\"10\" spellcheck=\"false\" value=\"anonymous\""));
    assert_true(has(&b, "<span>token</span> <span class=\"mono\">"));
    assert_int_equal(count(&b, "<span class=\"holder"), 3);
    end(&w, &b);
}

static void tokens_are_listed_when_asked_for(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    three_zones(&w, 2);
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<a href=\"ring?tokens=true\">Show tokens</a>"));
    assert_false(has(&b, "268435456"));
    buf_clear(&b);
    w.page.tokens = true;
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<span class=\"mono\">268435456</span>"));
    assert_true(has(&b, "<a href=\"ring?tokens=false\">Hide tokens</a>"));
    end(&w, &b);
}

static void names_cannot_break_out_of_the_page(void **state)
{
    struct world w;
    struct buf b = {0};
    const char *evil = "\"><script>alert(1)</script>\xff";
    const struct str ask = str_c(evil);
    const struct page_gone gone = {str_c(evil), str_c(evil), NOW / 1000 - 3};
    (void)state;
    init(&w);
    add(&w, evil, evil, RING_ACTIVE, 200, 7);
    add(&w, "other", evil, 77, 2, 0);
    look(&w);
    w.page.frame.who = w.page.tenant = w.page.service = str_c(evil);
    w.page.forget = &ask;
    w.page.forget_count = 1;
    w.page.gone = &gone;
    w.page.gone_count = 1;
    page_ring_html(&w.page, &b);
    assert_int_equal(b.error, 0);
    assert_false(has(&b, "<script>") || has(&b, "\xff"));
    assert_true(has(&b, "?ask=%22%3E%3Cscript%3E"));
    assert_true(has(&b, "left or forgotten 3 s ago"));
    assert_true(str_is_utf8(buf_view(&b)));
    end(&w, &b);
}

/* Whoever speaks gossip may put any number there. */
static void times_may_be_any_number(void **state)
{
    static const int64_t times[] = {INT64_MAX, INT64_MIN, INT64_MAX / 1000, 0, -1};
    struct world w;
    struct buf b = {0};
    struct str ask[5];
    struct page_gone gone[5];
    (void)state;
    init(&w);
    for (uint32_t i = 0; i < 5; i++) {
        char id[8];
        uint32_t token = i + 1;
        snprintf(id, sizeof id, "i-%u", i);
        const struct ring_instance in = {.id = str_c(id),
                                         .addr = STR("a"),
                                         .timestamp_s = times[i],
                                         .registered_s = times[i],
                                         .read_only = true,
                                         .read_only_since_s = times[i],
                                         .tokens = &token,
                                         .token_count = 1};
        assert_int_equal(ring_desc_put(w.desc, &in), 0);
        ask[i] = ring_desc_at(w.desc, i)->id;
        gone[i] = (struct page_gone){STR("g"), STR("z"), times[i]};
    }
    look(&w);
    w.page.gone = gone;
    w.page.gone_count = 5;
    w.page.forget = ask;
    for (w.page.forget_count = 1; w.page.forget_count <= 5; w.page.forget_count += 4) {
        buf_clear(&b);
        page_ring_html(&w.page, &b);
        assert_int_equal(b.error, 0);
        assert_true(has(&b, "clock ahead: "));
        assert_true(has(&b, "never"));
    }
    end(&w, &b);
}

static void an_empty_ring_and_none_at_all_are_pages_too(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    init(&w);
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "Nobody is in this ring."));
    buf_clear(&b);
    look(&w);
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "Nobody is in this ring."));
    buf_clear(&b);
    add(&w, "a", "", RING_PENDING, 1, 0);
    look(&w);
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "No instance has tokens yet."));
    end(&w, &b);
}

static void a_ring_without_copies_speaks_of_no_quorum(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    init(&w);
    w.page.replicated = false;
    w.page.frame.path = "/distributor/ring";
    add(&w, "d-0", "", RING_ACTIVE, 2, 5);
    add(&w, "d-1", "", RING_ACTIVE, 100, 9);
    look(&w);
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<b>1 of 2 instances is silent</b>: d-1 is UNHEALTHY.</p>"));
    assert_true(has(&b, "href=\"../distributor/ring?ask=d-1\""));
    assert_false(has(&b, "quorum") || has(&b, "who holds"));
    assert_true(
        has(&b, "<span>max/mean ")); /* no cause for concern where shares differ by design */
    w.page.replicated = true;
    buf_clear(&b);
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<span class=\"warn\">max/mean "));
    end(&w, &b);
}

static void members_that_are_not_ours_are_told(void **state)
{
    struct world w;
    struct buf b = {0};
    (void)state;
    three_zones(&w, 2);
    w.page.component = RING_VERSION_EXACT;
    w.page.service = STR("checkout");
    page_ring_html(&w.page, &b);
    assert_true(has(&b, "<b>100 % of the ring has lost its quorum</b>: 6 members are not ours."));
    assert_int_equal(count(&b, " <span class=\"warn\">not ours</span></td>"), 6);
    assert_int_equal(count(&b, ", not ours</span>"), 3);
    end(&w, &b);
}

static void many_members_are_coloured_by_state(void **state)
{
    struct world w;
    struct buf b = {0};
    char id[16];
    (void)state;
    init(&w);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(id, sizeof id, "i-%02u", i);
        add(&w, id, i % 2 == 0 ? "a" : "b", i == 3 ? RING_LEAVING : RING_ACTIVE, i == 7 ? 90 : 2,
            (i + 1) * 100000000);
    }
    look(&w);
    page_ring_html(&w.page, &b);
    assert_int_equal(count(&b, "<i class=\"swatch calm\">"), 38);
    assert_int_equal(count(&b, "<i class=\"swatch other\">"), 1);
    assert_int_equal(count(&b, "<i class=\"swatch bad\">"), 1);
    end(&w, &b);
}

/* Or it is whole: a list of addresses for a message that nobody reads may be missing. */
static void a_page_without_memory_says_so(void **state)
{
    struct world w;
    struct buf whole = {0};
    const struct str dead = STR("b-1");
    (void)state;
    three_zones(&w, 134);
    w.page.service = STR("checkout");
    w.page.forget = &dead;
    w.page.forget_count = 1;
    page_ring_html(&w.page, &whole);
    bool over = false;
    for (uint64_t n = 1; !over; n++) {
        struct buf b = {0};
        mem_fail_at(n);
        page_ring_html(&w.page, &b);
        over = mem_fail_pending();
        mem_fail_at(0);
        assert_true(b.error == ERR_NOMEM || str_eq(buf_view(&b), buf_view(&whole)));
        assert_true(b.error != 0 || !over || n > 10);
        buf_reset(&b);
    }
    end(&w, &whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_ring_is_one_sentence_and_a_table),
        cmocka_unit_test(a_dead_member_is_named_with_what_it_puts_at_risk),
        cmocka_unit_test(a_lost_quorum_is_an_error_and_all_dead_can_be_forgotten_at_once),
        cmocka_unit_test(the_dialog_says_what_forgetting_does),
        cmocka_unit_test(who_holds_a_service_is_asked_of_the_ring),
        cmocka_unit_test(tokens_are_listed_when_asked_for),
        cmocka_unit_test(names_cannot_break_out_of_the_page),
        cmocka_unit_test(times_may_be_any_number),
        cmocka_unit_test(an_empty_ring_and_none_at_all_are_pages_too),
        cmocka_unit_test(a_ring_without_copies_speaks_of_no_quorum),
        cmocka_unit_test(members_that_are_not_ours_are_told),
        cmocka_unit_test(many_members_are_coloured_by_state),
        cmocka_unit_test(a_page_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
