/* The components as JSON and as a page: who sends to whom, how they are, nothing of theirs is
 * markup. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "components.h"


#include "base/mem.h"

static const size_t to_write[] = {0, 1}, to_relabel[] = {2};
static const struct component_endpoint endpoints[] = {
    {.url = STR_INIT("http://up")},
    {.url = STR_INIT("http://down"),
     .failing = true,
     .since = 1700000000000,
     .error = STR_INIT("unavailable: <refused>"),
     .error_at = 1700000005000},
};
static const struct component_row rows[] = {
    {.id = STR_INIT("pyroscope.write.a"),
     .type = STR_INIT("pyroscope.write"),
     .label = STR_INIT("a"),
     .healthy = false,
     .message = STR_INIT("component evaluation failed: <b>&"),
     .arguments = STR_INIT("endpoint {\n\turl = \"http://a/?x=<script>\"\n}"),
     .since = 1700000000000,
     .out = 12,
     .out_rate = 0.5,
     .queued = 7,
     .dropped = 3,
     .endpoints = endpoints,
     .endpoint_count = 2,
     .queue = {true, 5, 6000, 42}},
    {.id = STR_INIT("pyroscope.write.b"), .healthy = true},
    {.id = STR_INIT("pyroscope.relabel.x"), .healthy = true, .to = to_write, .to_count = 2},
    {.id = STR_INIT("pyroscope.receive_http.r"),
     .healthy = true,
     .address = STR_INIT("http://127.0.0.1:4040"),
     .to = to_relabel,
     .to_count = 1},
};

static bool has(const struct buf *b, const char *text)
{
    return str_contains(buf_view(b), str_c(text));
}

static void json_names_both_ends_of_a_reference(void **state)
{
    struct buf b = {0};
    (void)state;
    components_json(rows, 4, &b);
    assert_int_equal(b.error, 0);
    assert_true(has(&b, "\"localID\":\"pyroscope.relabel.x\""));
    assert_true(has(&b, "\"referencesTo\":[\"pyroscope.write.a\",\"pyroscope.write.b\"]"));
    assert_true(has(&b, "\"referencedBy\":[\"pyroscope.receive_http.r\"]"));
    assert_true(has(&b, "\"state\":\"unhealthy\""));
    assert_true(has(&b, "\"address\":\"http://127.0.0.1:4040\""));
    assert_true(has(&b, "\"out\":{\"total\":12,\"perSecond\":0.5}"));
    assert_true(has(&b, "\"queued\":{\"total\":7,"));
    assert_true(has(&b, "\"dropped\":{\"total\":3,"));
    assert_true(has(&b, "{\"url\":\"http://up\",\"state\":\"ok\",\"failingSince\":\"\""));
    assert_true(has(&b, "{\"url\":\"http://down\",\"state\":\"failing\",\"failingSince\":\"2023-"));
    assert_true(has(&b, "\"queue\":{\"items\":5,\"bytes\":6000,\"oldestSeconds\":42}"));
    buf_reset(&b);
    components_json(rows, 0, &b);
    assert_true(str_eq(buf_view(&b), STR("[]")));
    buf_reset(&b);
}

static void the_page_has_boxes_lines_and_no_foreign_markup(void **state)
{
    struct buf b = {0};
    (void)state;
    struct components_page page = {.frame = {.title = "Components",
                                             .path = "/components",
                                             .folder = "static/x/",
                                             .who = STR("me"),
                                             .version = "1",
                                             .components = true,
                                             .alone = true},
                                   .rows = rows,
                                   .count = 4,
                                   .failure = STR("<i>bad</i>")};
    components_html(&page, &b);
    assert_int_equal(b.error, 0);
    assert_true(has(&b, "&lt;b&gt;&amp;"));
    assert_true(has(&b, "&lt;script&gt;"));
    assert_true(has(&b, "&lt;i&gt;bad&lt;/i&gt;"));
    assert_false(has(&b, "<i>"));
    assert_true(has(&b, "the oldest waits for 42 s"));
    assert_true(has(&b, "http://down <b>is failing</b> since "));
    assert_true(has(&b, "unavailable: &lt;refused&gt;"));
    assert_false(has(&b, "http://up"));
    assert_true(has(&b, "<rect"));
    assert_true(has(&b, "stroke-dasharray"));
    assert_true(has(&b, "endpoint {\n  url"));
    assert_true(has(&b, "href=\"components\""));
    assert_false(has(&b, "href=\"memberlist\""));
    buf_reset(&b);
}

/* A ladder: each sends to the two before it. The number of ways through it is astronomic. */
static void a_deep_graph_is_drawn_in_time(void **state)
{
    enum { DEEP = 250 };
    struct component_row *many = mem_calloc(DEEP, sizeof *many);
    size_t(*to)[2] = mem_calloc(DEEP, sizeof *to);
    struct buf b = {0};
    (void)state;
    assert_true(many != NULL && to != NULL);
    for (size_t i = 0; i < DEEP; i++) {
        to[i][0] = i - 1;
        to[i][1] = i - 2;
        many[i] = (struct component_row){
            .id = STR("c"), .healthy = true, .to = to[i], .to_count = i < 2 ? i : 2};
    }
    struct components_page page = {.frame = {.title = "t",
                                             .path = "/components",
                                             .folder = "static/x/",
                                             .version = "1"},
                                   .rows = many,
                                   .count = DEEP};
    components_html(&page, &b);
    assert_int_equal(b.error, 0);
    assert_true(has(&b, "<svg width"));
    buf_reset(&b);
    mem_free(many);
    mem_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_names_both_ends_of_a_reference),
        cmocka_unit_test(the_page_has_boxes_lines_and_no_foreign_markup),
        cmocka_unit_test(a_deep_graph_is_drawn_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
