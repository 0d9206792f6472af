/* Configurations replace each other: what is the same is kept, what is new is there before the old
 * goes, and what is wrong changes nothing but the health of whom it names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include "pipeline_run.h"

struct bench {
    struct world w;
    struct relabel_metrics relabel_metrics;
    struct receive_metrics receive_metrics;
    struct receive_gauges *gauges;
    struct receive_world receive;
    struct pipeline_world world;
    struct pipeline *pipeline;
    struct loop *loops[1];
};

static int set_up(void **state)
{
    struct bench *b = mem_zalloc(sizeof *b);
    struct world *w = &b->w;
    world_init(w, NULL);
    b->loops[0] = w->loop;
    assert_int_equal(
        metrics_register(w->metrics, relabel_metric_rows, &b->relabel_metrics, NULL, NULL), 0);
    assert_int_equal(
        metrics_register(w->metrics, receive_metric_rows, &b->receive_metrics, NULL, NULL), 0);
    assert_int_equal(receive_gauges_init(&b->gauges, w->metrics, NULL), 0);
    b->receive = (struct receive_world){.loops = b->loops,
                                        .threads = &w->thread,
                                        .thread_count = 1,
                                        .registry = w->metrics,
                                        .metrics = &b->receive_metrics,
                                        .gauges = b->gauges,
                                        .log = &w->log,
                                        .memory_max = 1 << 20};
    b->world = (struct pipeline_world){.write = &w->write,
                                       .relabel = &b->relabel_metrics,
                                       .receive = &b->receive,
                                       .log = &w->log,
                                       .hostname = "here",
                                       .version = "1"};
    assert_int_equal(pipeline_init(&b->pipeline, &b->world), 0);
    assert_int_equal(loop_start(w->loop, NULL), 0); /* listeners that retire wait for its turns */
    *state = b;
    return 0;
}

static void on_turn(void *arg)
{
    (void)arg;
}

static void settle(struct bench *b)
{
    for (unsigned i = 0; i < 20; i++)
        loop_call(b->w.loop, on_turn, NULL);
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    pipeline_retire(b->pipeline);
    mono_ms limit = clock_mono_ms() + 20000;
    while (!atomic_load(pipeline_is_over(b->pipeline)) && clock_mono_ms() < limit)
        settle(b);
    assert_true(atomic_load(pipeline_is_over(b->pipeline)));
    loop_stop(b->w.loop);
    loop_join(b->w.loop);
    pipeline_free(&b->pipeline);
    loop_turn(b->w.loop, 1);
    receive_gauges_free(&b->gauges);
    world_stop(&b->w);
    mem_free(b);
    return 0;
}

static int prepare(struct bench *b, const char *text, struct buf *said)
{
    struct alloy_text source = {STR("test.alloy"), str_c(text)};
    struct alloy_diags diags = {0};
    int rc = pipeline_prepare(b->pipeline, &source, 1, &diags);
    if (said != NULL)
        alloy_diags_print_short(&diags, said);
    else if (rc == ERR_PARSE && diags.count > 0)
        print_message("%.*s\n", STR_ARG(diags.items[0].message));
    alloy_diags_reset(&diags);
    return rc;
}

static void load(struct bench *b, const char *text)
{
    assert_int_equal(prepare(b, text, NULL), 0);
    assert_int_equal(pipeline_commit(b->pipeline, NULL), 0);
    settle(b);
}

static struct pipeline_view view_of(struct bench *b, const char *id)
{
    for (size_t i = 0; i < pipeline_count(b->pipeline); i++)
        if (strcmp(pipeline_at(b->pipeline, i).node->id, id) == 0)
            return pipeline_at(b->pipeline, i);
    fail_msg("no component %s", id);
    return (struct pipeline_view){0};
}

#define RECEIVE(http, to)                                                                      \
    "pyroscope.receive_http \"r\" {\n http {\n listen_address = \"127.0.0.1\"\n " http         \
    "\n }\n forward_to = [" to "]\n}\n"
#define WRITE(label, url)                                                                      \
    "pyroscope.write \"" label "\" {\n endpoint {\n url = \"" url "\"\n }\n}\n"
#define RELABEL                                                                                \
    "pyroscope.relabel \"x\" {\n forward_to = [pyroscope.write.a.receiver]\n"                  \
    " rule {\n action = \"labeldrop\"\n regex = \"pod\"\n }\n}\n"

static void a_listener_that_stays_the_same_keeps_its_socket(void **state)
{
    struct bench *b = *state;
    load(b, RECEIVE("listen_port = 0", "pyroscope.write.a.receiver") WRITE("a", "http://a"));
    const struct receive *before = view_of(b, "pyroscope.receive_http.r").listener;
    uint16_t port = receive_addr(before).port;
    load(b, RECEIVE("listen_port = 0", "pyroscope.write.b.receiver, pyroscope.relabel.x.receiver")
                WRITE("b", "http://b") WRITE("a", "http://a") RELABEL);
    assert_ptr_equal(view_of(b, "pyroscope.receive_http.r").listener, before);
    assert_int_equal(receive_addr(before).port, port);
    assert_int_equal(pipeline_count(b->pipeline), 4);
}

static void a_listener_that_changes_takes_over_the_socket(void **state)
{
    struct bench *b = *state;
    char text[600];
    load(b, RECEIVE("listen_port = 0", "pyroscope.write.a.receiver") WRITE("a", "http://a"));
    uint16_t port = receive_addr(view_of(b, "pyroscope.receive_http.r").listener).port;
    const struct receive *before = view_of(b, "pyroscope.receive_http.r").listener;
    (void)snprintf(text, sizeof text, RECEIVE("listen_port = %u\nconn_limit = 7", ""), port);
    load(b, text);
    const struct receive *now = view_of(b, "pyroscope.receive_http.r").listener;
    assert_ptr_not_equal(now, before);
    assert_int_equal(receive_addr(now).port, port);
}

static void what_a_header_holds_is_not_shown(void **state)
{
    struct bench *b = *state;
    struct buf shown = {0};
    load(b, "pyroscope.write \"a\" {\n endpoint {\n url = \"http://a\"\n"
            " headers = {\"X-Token\" = \"headersecret\", \"X-Two\" = \"se\" + \"cret2\"}\n }\n}\n"
            "pyroscope.write \"b\" {\n endpoint {\n url = \"http://b\"\n"
            " headers = json_decode(\"{\\\"X-Token\\\": \\\"headersecret\\\"}\")\n }\n}\n");
    for (size_t i = 0; i < 2; i++) {
        struct pipeline_view v = pipeline_at(b->pipeline, i);
        alloy_graph_print(v.graph, v.node, &shown);
        assert_false(str_contains(buf_view(&shown), STR("secret2")));
        assert_false(str_contains(buf_view(&shown), STR("headersecret")));
        assert_true(str_contains(buf_view(&shown), STR("(secret)")));
    }
    assert_true(str_contains(buf_view(&shown), STR("X-Token")));
    buf_reset(&shown);
}

static void what_is_wrong_is_said_where_it_stands(void **state)
{
    static const struct {
        const char *text, *where;
    } rows[] = {
        {"pyroscope.write \"a\" {\n endpoint {\n  name = \"x\"\n  url = \"127.0.0.1:1\"\n }\n}\n",
         "test.alloy:4:3: "},
        {"pyroscope.write \"a\" {\n queue {\n  max_bytes = \"many\"\n }\n}\n", "test.alloy:3:3: "},
        {"pyroscope.relabel \"a\" {\n forward_to = []\n rule {\n  action = \"no\"\n }\n}\n",
         "test.alloy:4:3: "},
        {"pyroscope.relabel \"a\" {\n forward_to = []\n rule {\n  target_label = \"x\"\n"
         "  regex = \"(\"\n }\n}\n",
         "test.alloy:5:3: "},
        {"pyroscope.relabel \"a\" {\n forward_to = []\n rule { }\n}\n", "test.alloy:3:2: "},
        {"pyroscope.relabel \"a\" {\n forward_to = []\n max_cache_size = 0\n}\n",
         "test.alloy:3:2: "},
    };
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf said = {0};
        assert_int_equal(prepare(b, rows[i].text, &said), ERR_PARSE);
        if (!str_starts_with(buf_view(&said), str_c(rows[i].where)))
            fail_msg("%.*s is not at %s", STR_ARG(buf_view(&said)), rows[i].where);
        buf_reset(&said);
    }
}

static void two_listeners_of_one_address_are_refused_at_a_reload_too(void **state)
{
    struct bench *b = *state;
    char text[600];
    struct buf said = {0};
    load(b, RECEIVE("listen_port = 0", ""));
    uint16_t port = receive_addr(view_of(b, "pyroscope.receive_http.r").listener).port;
    (void)snprintf(text, sizeof text,
                   RECEIVE("listen_port = 0", "") "pyroscope.receive_http \"a\" {\n http {\n "
                   "listen_address = \"127.0.0.1\"\n listen_port = %u\n }\n forward_to = []\n}\n",
                   port);
    assert_int_equal(prepare(b, text, &said), ERR_PARSE);
    assert_true(str_contains(buf_view(&said), STR("address already in use by")));
    assert_int_equal(pipeline_count(b->pipeline), 1);
    buf_reset(&said);
}

static void what_is_wrong_changes_nothing_but_health(void **state)
{
    struct bench *b = *state;
    struct buf said = {0};
    load(b, RECEIVE("listen_port = 0", "pyroscope.write.a.receiver") WRITE("a", "http://a"));
    const struct receive *before = view_of(b, "pyroscope.receive_http.r").listener;
    assert_int_equal(prepare(b,
                             RECEIVE("listen_port = 0", "pyroscope.write.a.receiver")
                                 WRITE("a", "ftp://a"),
                             &said),
                     ERR_PARSE);
    assert_true(str_contains(buf_view(&said), STR("not an http:// or https:// URL")));
    assert_ptr_equal(view_of(b, "pyroscope.receive_http.r").listener, before);
    assert_true(view_of(b, "pyroscope.receive_http.r").healthy);
    assert_false(view_of(b, "pyroscope.write.a").healthy);
    assert_non_null(strstr(view_of(b, "pyroscope.write.a").message, "ftp://a"));
    assert_non_null(strstr(pipeline_last_failure(b->pipeline), "ftp://a"));
    load(b, RECEIVE("listen_port = 0", "pyroscope.write.a.receiver") WRITE("a", "http://a"));
    assert_true(view_of(b, "pyroscope.write.a").healthy);
    assert_string_equal(pipeline_last_failure(b->pipeline), "");
    buf_reset(&said);
}

static void faults_are_said_once_and_not_of_those_that_follow_from_them(void **state)
{
    struct bench *b = *state;
    struct buf said = {0};
    assert_int_equal(prepare(b,
                             RECEIVE("listen_port = 0", "pyroscope.relabel.x.receiver")
                                 WRITE("a", "http://ring:1/") RELABEL
                             "pyroscope.write \"b\" {\n endpoint {\n }\n}\n",
                             &said),
                     ERR_PARSE);
    assert_true(str_contains(buf_view(&said), STR("missing required attribute \"url\"")));
    assert_false(str_contains(buf_view(&said), STR("receive_http")));
    assert_int_equal(pipeline_count(b->pipeline), 0);
    buf_reset(&said);
}

static void memory_may_end_anywhere(void **state)
{
    struct bench *b = *state;
    static const char text[] = RECEIVE("listen_port = 0", "pyroscope.relabel.x.receiver")
        WRITE("a", "http://a") RELABEL;
    load(b, text);
    const struct receive *before = view_of(b, "pyroscope.receive_http.r").listener;
    static const char next[] = RECEIVE("listen_port = 0\nconn_limit = 9",
                                       "pyroscope.relabel.x.receiver, pyroscope.write.b.receiver")
        WRITE("b", "http://b") WRITE("a", "http://a") RELABEL;
    int rc = ERR_NOMEM;
    for (uint64_t n = 1; rc != 0; n++) {
        assert_true(n < 5000);
        mem_fail_at(n);
        rc = prepare(b, next, NULL);
        mem_fail_at(0);
        if (rc != 0)
            assert_ptr_equal(view_of(b, "pyroscope.receive_http.r").listener, before);
        settle(b);
    }
    assert_int_equal(pipeline_commit(b->pipeline, NULL), 0);
    assert_int_equal(pipeline_count(b->pipeline), 4);
}

static void the_logging_block_is_known_before_anything_runs(void **state)
{
    struct bench *b = *state;
    assert_int_equal(prepare(b, "logging {\n level = \"warn\"\n}\n", NULL), 0);
    assert_true(str_eq(pipeline_logging(b->pipeline)->level, STR("warn")));
    assert_int_equal(pipeline_commit(b->pipeline, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_listener_that_stays_the_same_keeps_its_socket, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_a_header_holds_is_not_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said_where_it_stands, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_listener_that_changes_takes_over_the_socket, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            two_listeners_of_one_address_are_refused_at_a_reload_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_changes_nothing_but_health, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            faults_are_said_once_and_not_of_those_that_follow_from_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_may_end_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_logging_block_is_known_before_anything_runs, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
