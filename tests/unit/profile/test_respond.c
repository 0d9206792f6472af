/* Answers written by hand are what the field tables would write. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/respond.h"

#include "base/mem.h"
#include "querier.msg.h"
#include "wire/msg.h"

#include <string.h>

static int64_t level0[] = {0, 300, 0, 0}, level1[] = {0, 299, 299, 1, 0, 1, 1, 2};
static struct str names[] = {STR_INIT("total"), STR_INIT("a\"b"), STR_INIT("")};
static struct flamegraph_level levels[] = {{level0, 4}, {level1, 8}};
static const struct flamegraph graph = {names, 3, levels, 2, 300, 299};

static struct label label_items[] = {{STR_INIT("a"), STR_INIT("1")},
                                     {STR_INIT("b"), STR_INIT("2")}};
static const struct series_point points[] = {{0.5, 1000}, {0, 2000}, {48, 0}};
static const struct series_row rows[] = {{{label_items, 2}, points, 3}, {{NULL, 0}, points, 1}};

/* Reading `bytes` with the tables and writing it again gives `bytes`, and `json` as JSON. */
static void same_as_tables(const struct msg_type *type, struct str bytes, struct str json)
{
    struct arena *a = NULL;
    struct buf b = {0};
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    void *message = arena_zalloc(a, type->size);
    struct err e = {0};
    if (msg_decode(type, message, bytes, a, NULL, &e) != 0)
        fail_msg("%s", e.msg);
    msg_encode(type, message, &b);
    assert_int_equal(b.size, bytes.len);
    assert_memory_equal(b.data, bytes.data, bytes.len);
    buf_clear(&b);
    msg_to_json(type, message, &b);
    assert_int_equal(b.size, json.len);
    assert_memory_equal(b.data, json.data, json.len);
    buf_reset(&b);
    arena_free(&a);
}

static void is(const struct buf *b, const char *want)
{
    assert_int_equal(b->size, strlen(want));
    assert_memory_equal(b->data, want, b->size);
}

static void a_flame_graph_is_the_peer_s_message(void **state)
{
    (void)state;
    struct buf pb = {0}, json = {0};
    respond_flamegraph(&graph, false, &pb);
    respond_flamegraph(&graph, true, &json);
    same_as_tables(&querier_v1_select_merge_stacktraces_response_msg, buf_view(&pb),
                   buf_view(&json));
    is(&json, "{\"flamegraph\":{\"names\":[\"total\",\"a\\\"b\",\"\"],\"levels\":["
              "{\"values\":[\"0\",\"300\",\"0\",\"0\"]},"
              "{\"values\":[\"0\",\"299\",\"299\",\"1\",\"0\",\"1\",\"1\",\"2\"]}],"
              "\"total\":\"300\",\"maxSelf\":\"299\"}}");
    buf_reset(&pb);
    buf_reset(&json);
}

static void a_flame_graph_of_nothing_has_four_zeros(void **state)
{
    (void)state;
    struct tree *t = NULL;
    struct arena *a = NULL;
    struct flamegraph f;
    struct buf pb = {0}, json = {0};
    assert_int_equal(tree_init(&t, NULL), 0);
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(tree_flamegraph(t, 0, a, &f), 0);
    respond_flamegraph(&f, false, &pb);
    respond_flamegraph(&f, true, &json);
    same_as_tables(&querier_v1_select_merge_stacktraces_response_msg, buf_view(&pb),
                   buf_view(&json));
    is(&json, "{\"flamegraph\":{\"names\":[\"total\"],\"levels\":[{\"values\":[\"0\",\"0\","
              "\"0\",\"0\"]}]}}");
    buf_reset(&pb);
    buf_reset(&json);
    arena_free(&a);
    tree_free(&t);
}

static void a_tree_travels_as_bytes(void **state)
{
    (void)state;
    struct buf pb = {0}, json = {0};
    respond_tree(STR("\1\2\3\4"), false, &pb);
    respond_tree(STR("\1\2\3\4"), true, &json);
    same_as_tables(&querier_v1_select_merge_stacktraces_response_msg, buf_view(&pb),
                   buf_view(&json));
    is(&json, "{\"tree\":\"AQIDBA==\"}");
    buf_clear(&json);
    buf_clear(&pb);
    respond_tree(STR(""), true, &json);
    respond_tree(STR(""), false, &pb);
    is(&json, "{}");
    assert_int_equal(pb.size, 0);
    buf_reset(&pb);
    buf_reset(&json);
}

static void series_leave_out_what_is_zero(void **state)
{
    (void)state;
    struct buf pb = {0}, json = {0};
    respond_series(rows, 2, false, &pb);
    respond_series(rows, 2, true, &json);
    same_as_tables(&querier_v1_select_series_response_msg, buf_view(&pb), buf_view(&json));
    is(&json,
       "{\"series\":[{\"labels\":[{\"name\":\"a\",\"value\":\"1\"},"
       "{\"name\":\"b\",\"value\":\"2\"}],\"points\":["
       "{\"value\":0.5,\"timestamp\":\"1000\"},{\"timestamp\":\"2000\"},{\"value\":48}]},"
       "{\"points\":[{\"value\":0.5,\"timestamp\":\"1000\"}]}]}");
    buf_clear(&json);
    respond_series(NULL, 0, true, &json);
    is(&json, "{}");
    buf_reset(&pb);
    buf_reset(&json);
}

static void render_has_plain_numbers_and_the_units_of_its_sample_type(void **state)
{
    (void)state;
    uint64_t samples[] = {0, 7};
    struct render_group group = {STR("x"), {60, 15, samples, 1}};
    struct render r = {.flamegraph = &graph,
                       .timeline = {60, 15, samples, 2},
                       .type = {.sample_type = STR("cpu"), .sample_unit = STR("nanoseconds")}};
    struct buf b = {0};
    respond_render(&r, &b);
    is(&b, "{\"version\":1,\"flamebearer\":{\"names\":[\"total\",\"a\\\"b\",\"\"],\"levels\":"
           "[[0,300,0,0],[0,299,299,1,0,1,1,2]],\"numTicks\":300,\"maxSelf\":299},"
           "\"metadata\":{\"format\":\"single\",\"spyName\":\"\",\"sampleRate\":1000000000,"
           "\"units\":\"samples\",\"name\":\"cpu\"},\"timeline\":{\"startTime\":60,\"samples\":"
           "[0,7],\"durationDelta\":15,\"watermarks\":null},\"groups\":null,\"heatmap\":null}");
    buf_clear(&b);
    r.groups = &group;
    r.group_count = 1;
    r.type.sample_type = STR("inuse_space");
    r.type.sample_unit = STR("bytes");
    respond_render(&r, &b);
    buf_u8(&b, 0);
    assert_non_null(strstr((const char *)b.data,
                           "\"groups\":{\"x\":{\"startTime\":60,\"samples\""
                           ":[0],\"durationDelta\":15,\"watermarks\":null}}"));
    assert_non_null(strstr((const char *)b.data, "\"sampleRate\":100,\"units\":\"bytes\""));
    buf_clear(&b);
    r.type.sample_type = STR("alloc_objects");
    respond_render(&r, &b);
    buf_u8(&b, 0);
    assert_non_null(strstr((const char *)b.data, "\"sampleRate\":100,\"units\":\"objects\""));
    buf_reset(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flame_graph_is_the_peer_s_message),
        cmocka_unit_test(a_flame_graph_of_nothing_has_four_zeros),
        cmocka_unit_test(a_tree_travels_as_bytes),
        cmocka_unit_test(series_leave_out_what_is_zero),
        cmocka_unit_test(render_has_plain_numbers_and_the_units_of_its_sample_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
