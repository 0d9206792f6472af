/* The generated tables drive protobuf and JSON both ways. The golden bytes and texts were made
 * by protobuf's own Python runtime from the same .proto files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "connect.msg.h"
#include "ingester.msg.h"
#include "push.msg.h"
#include "querier.msg.h"

#include "base/mem.h"
#include "wire/json_check.h"
#include "wire/pb.h"

#include <math.h>
#include <stdlib.h>

#define GOLDEN(t, lit, text)                                                                   \
    {                                                                                          \
        &t, STR_INIT(lit), STR_INIT(text)                                                      \
    }

static const struct {
    const struct msg_type *type;
    struct str bytes, json;
} GOLDENS[] = {
    GOLDEN(
        querier_v1_select_merge_stacktraces_request_msg,
        "\x0a\x2bprocess_cpu:cpu:nanoseconds:cpu:nanoseconds\x12\x07{a=\"b\"}\x18\x80\xd0\x95"
        "\xff\xbc\x31\x20\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01\x28\x00\x30\x02\x3a\x0c\x0a"
        "\x06\x0a\x04main\x12\x02\x08\x07\x42\x01x\x42\x00",
        "{\"profileTypeID\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\",\"labelSelector\":"
        "\"{a=\\\"b\\\"}\",\"start\":\"1700000000000\",\"end\":\"-5\",\"maxNodes\":\"0\","
        "\"format\":\"PROFILE_FORMAT_TREE\",\"stackTraceSelector\":{\"callSite\":[{\"name\":"
        "\"main\"}],\"goPgo\":{\"keepLocations\":7}},\"profileIdSelector\":[\"x\",\"\"]}"),
    GOLDEN(
        types_v1_heatmap_slot_msg,
        "\x08\x05\x12\x18\x00\x00\x00\x00\x00\x00\xe0\x3f\x00\x00\x00\x00\x00\x00\x00\x80\x9c"
        "\x75\x00\x88\x3c\xe4\x37\x7e\x1a\x11\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"
        "\xff\xff\xff\xff\x07\x22\x0b\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "{\"timestamp\":\"5\",\"yMin\":[0.5,-0,1e+300],\"counts\":[1,-1,0,2147483647],"
        "\"exemplars\":[{\"value\":\"-1\"}]}"),
    GOLDEN(
        ingester_v1_key_msg,
        "\x0a\x03\x00\xff\xfe\x12\x01\x61\x12\x01\x62\x18\xff\xff\xff\xff\x0f\x21\xff\xff\xff"
        "\xff\xff\xff\xff\xff\x28\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x35\xff\xff\xff\xff",
        "{\"writer\":\"AP/+\",\"set\":[\"a\",\"b\"],\"seq\":4294967295,\"series\":"
        "\"18446744073709551615\",\"timeNs\":\"-9223372036854775808\",\"nonce\":4294967295}"),
    GOLDEN(querier_v1_select_series_request_msg,
           "\x31\x00\x00\x00\x00\x00\x00\x2e\x40\x38\x00\x50\x4d",
           "{\"step\":15,\"aggregation\":\"TIME_SERIES_AGGREGATION_TYPE_SUM\",\"exemplarType\":"
           "77}"),
    GOLDEN(push_v1_push_response_msg, "", "{}"),
};

enum { GOLDEN_COUNT = sizeof GOLDENS / sizeof GOLDENS[0] };

static void same(struct buf *got, struct str want, const char *what, size_t i)
{
    assert_int_equal(got->error, 0);
    if (!str_eq(buf_view(got), want))
        fail_msg("golden %zu, %s: %.*s", i, what, STR_ARG(buf_view(got)));
    buf_clear(got);
}

static struct arena *arena(void)
{
    struct arena *a = NULL;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    return a;
}

static void bytes_and_json_are_those_of_protobufs_own_runtime(void **state)
{
    (void)state;
    struct arena *a = arena();
    struct buf b = {0};
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        const struct msg_type *t = GOLDENS[i].type;
        void *m = arena_alloc(a, t->size);
        assert_int_equal(msg_decode(t, m, GOLDENS[i].bytes, a, NULL, NULL), 0);
        msg_encode(t, m, &b);
        same(&b, GOLDENS[i].bytes, "encoded", i);
        msg_to_json(t, m, &b);
        same(&b, GOLDENS[i].json, "to JSON", i);
        assert_int_equal(msg_from_json(t, m, GOLDENS[i].json, a, NULL, NULL), 0);
        msg_encode(t, m, &b);
        same(&b, GOLDENS[i].bytes, "from JSON, encoded", i);
    }
    buf_reset(&b);
    arena_free(&a);
}

static void fields_land_in_their_members(void **state)
{
    (void)state;
    struct arena *a = arena();
    struct querier_v1_select_merge_stacktraces_request m;
    assert_int_equal(msg_decode(GOLDENS[0].type, &m, GOLDENS[0].bytes, a, NULL, NULL), 0);
    assert_true(str_eq(m.label_selector, STR("{a=\"b\"}")));
    assert_true(m.label_selector.data > GOLDENS[0].bytes.data); /* borrowed, not copied */
    assert_true(m.label_selector.data < GOLDENS[0].bytes.data + GOLDENS[0].bytes.len);
    assert_int_equal(m.start, 1700000000000);
    assert_int_equal(m.end, -5);
    assert_true(m.has_max_nodes);
    assert_int_equal(m.max_nodes, 0);
    assert_int_equal(m.format, PROFILE_FORMAT_TREE);
    assert_int_equal(m.stack_trace_selector->call_site_count, 1);
    assert_true(str_eq(m.stack_trace_selector->call_site[0].name, STR("main")));
    assert_int_equal(m.stack_trace_selector->go_pgo->keep_locations, 7);
    assert_false(m.stack_trace_selector->go_pgo->aggregate_callees);
    assert_int_equal(m.profile_id_selector_count, 2);
    assert_null(m.async);
    arena_free(&a);
}

static void packed_and_single_elements_mix_and_messages_merge(void **state)
{
    (void)state;
    struct arena *a = arena();
    struct google_v1_sample s;
    /* location_id: 1, then [2, 3], then 4; value absent; an unknown field and a wrong wire type */
    struct str in = STR("\x08\x01\x0a\x02\x02\x03\x08\x04\x78\x09\x15\x00\x00\x00\x00");
    assert_int_equal(msg_decode(&google_v1_sample_msg, &s, in, a, NULL, NULL), 0);
    assert_int_equal(s.location_id_count, 4);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(s.location_id[i], i + 1);
    assert_int_equal(s.value_count, 0);
    /* left: {start 1, matcher "a"}, then left: {end 2, "b"}: one message with all of it */
    struct querier_v1_diff_request d;
    in = STR("\x0a\x05\x18\x01\x42\x01"
             "a"
             "\x0a\x05\x20\x02\x42\x01"
             "b");
    assert_int_equal(msg_decode(&querier_v1_diff_request_msg, &d, in, a, NULL, NULL), 0);
    assert_int_equal(d.left->start, 1);
    assert_int_equal(d.left->end, 2);
    assert_int_equal(d.left->profile_id_selector_count, 2);
    assert_true(str_eq(d.left->profile_id_selector[0], STR("a")));
    assert_true(str_eq(d.left->profile_id_selector[1], STR("b")));
    assert_null(d.right);
    arena_free(&a);
}

static void hostile_bytes_are_refused_by_name(void **state)
{
    (void)state;
    struct arena *a = arena();
    struct push_v1_push_request m;
    struct err e = {0};
    /* series { samples { ID: "\xff" } } */
    struct str in = STR("\x0a\x05\x12\x03\x12\x01\xff");
    assert_int_equal(msg_decode(&push_v1_push_request_msg, &m, in, a, NULL, &e), ERR_PARSE);
    assert_string_equal(e.msg, "push.v1.RawSample.ID: not UTF-8 at byte 6");
    in = STR("\x0a\x05\x12\x04\x12\x01x");
    assert_int_equal(msg_decode(&push_v1_push_request_msg, &m, in, a, NULL, &e), ERR_PARSE);
    in = STR("\x0a\x05\x12\x03\x12\x01");
    assert_int_equal(msg_decode(&push_v1_push_request_msg, &m, in, a, NULL, &e), ERR_PARSE);
    struct types_v1_heatmap_slot h; /* 9 bytes of packed doubles */
    in = STR("\x12\x09"
             "123456789");
    assert_int_equal(msg_decode(&types_v1_heatmap_slot_msg, &h, in, a, NULL, &e), ERR_PARSE);
    struct querier_v1_level l; /* a packed varint without end */
    in = STR("\x0a\x02\x01\x80");
    assert_int_equal(msg_decode(&querier_v1_level_msg, &l, in, a, NULL, &e), ERR_PARSE);
    in = STR("\x0a\x02\x80\x80");
    assert_int_equal(msg_decode(&querier_v1_level_msg, &l, in, a, NULL, &e), ERR_PARSE);
    arena_free(&a);
}

static void elements_and_depth_have_an_end(void **state)
{
    (void)state;
    struct arena *a = arena();
    struct buf b = {0};
    for (int i = 0; i < 100; i++)
        pb_put_bytes(&b, 1, STR(""));
    struct push_v1_push_request m;
    struct msg_limits few = {.elements_max = 99}, enough = {.elements_max = 100};
    const struct msg_type *t = &push_v1_push_request_msg;
    assert_int_equal(msg_decode(t, &m, buf_view(&b), a, &few, NULL), ERR_LIMIT);
    assert_int_equal(msg_decode(t, &m, buf_view(&b), a, &enough, NULL), 0);
    assert_int_equal(m.series_count, 100);
    /* One singular message in 1,000 parts must not cost 1,000 squared elements. */
    buf_clear(&b);
    for (int i = 0; i < 1000; i++)
        pb_put_bytes(&b, 1, STR("\x0a\x01x"));
    struct querier_v1_diff_response d;
    struct msg_limits part = {.elements_max = 10000};
    t = &querier_v1_diff_response_msg;
    assert_int_equal(msg_decode(t, &d, buf_view(&b), a, &part, NULL), ERR_LIMIT);
    struct msg_limits flat = {.depth_max = 2};
    struct str deep = STR("\x0a\x04\x12\x02\x12\x00");
    t = &push_v1_push_request_msg;
    assert_int_equal(msg_decode(t, &m, deep, a, &flat, NULL), ERR_LIMIT);
    flat.depth_max = 3;
    assert_int_equal(msg_decode(t, &m, deep, a, &flat, NULL), 0);
    struct str json = STR("{\"series\":[{\"samples\":[{}]}]}");
    assert_int_equal(msg_from_json(t, &m, json, a, &flat, NULL), 0);
    flat.depth_max = 2;
    assert_int_equal(msg_from_json(t, &m, json, a, &flat, NULL), ERR_LIMIT);
    struct msg_limits one = {.elements_max = 1};
    assert_int_equal(msg_from_json(t, &m, json, a, &one, NULL), ERR_LIMIT);
    struct msg_limits small = {.json_bytes_max = json.len - 1};
    assert_int_equal(msg_from_json(t, &m, json, a, &small, NULL), ERR_LIMIT);
    buf_reset(&b);
    arena_free(&a);
}

static int from_json(struct arena *a, struct querier_v1_select_series_request *m,
                     const char *text)
{
    const struct msg_type *t = &querier_v1_select_series_request_msg;
    return msg_from_json(t, m, str_c(text), a, NULL, NULL);
}

static void json_numbers_are_exact_or_refused(void **state)
{
    (void)state;
    struct arena *a = arena();
    struct querier_v1_select_series_request m;
    const struct {
        const char *text;
        int64_t want;
    } good[] = {
        {"{\"start\":1676282400000}", 1676282400000},
        {"{\"start\":\"1676282400000\"}", 1676282400000},
        {"{\"start\":\"9223372036854775807\"}", INT64_MAX},
        {"{\"start\":\"-9223372036854775808\"}", INT64_MIN},
        {"{\"start\":9007199254740991}", 9007199254740991},
        {"{\"start\":-9007199254740991}", -9007199254740991},
        {"{\"start\":1.5e3}", 1500},
        {"{\"start\":\"1.5e3\"}", 1500},
        {"{\"start\":-0}", 0},
        {"{\"start\":null}", 0},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (from_json(a, &m, good[i].text) != 0 || m.start != good[i].want)
            fail_msg("%s gave %lld", good[i].text, (long long)m.start);
    }
    const char *bad[] = {
        "{\"start\":9007199254740992}", /* a double may have rounded to it */
        "{\"start\":9007199254740993}",
        "{\"start\":\"9223372036854775808\"}",
        "{\"start\":1.5}",
        "{\"start\":\"abc\"}",
        "{\"start\":\"\"}",
        "{\"start\":\" 1\"}",
        "{\"start\":\"+1\"}",
        "{\"start\":\"0x10\"}",
        "{\"start\":true}",
        "{\"start\":[1]}",
        "{\"start\":{}}",
        "{\"exemplarType\":2147483648}",
        "{\"exemplarType\":true}",
        "{\"step\":1e999}",
        "{\"step\":\"1e999\"}",
        "{\"step\":\"nan\"}",
        "{\"step\":\"0x1\"}",
        "{\"step\":\"1 \"}",
        "{\"step\":false}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (from_json(a, &m, bad[i]) != ERR_PARSE)
            fail_msg("%s was accepted", bad[i]);
    }
    assert_int_equal(from_json(a, &m, "{\"step\":\"-2.5e-1\"}"), 0);
    assert_true(m.step == -0.25);
    assert_int_equal(from_json(a, &m, "{\"step\":\"-Infinity\"}"), 0);
    assert_true(isinf(m.step) && m.step < 0);
    assert_int_equal(from_json(a, &m, "{\"step\":\"NaN\"}"), 0);
    assert_true(isnan(m.step));
    arena_free(&a);
}

static void json_names_are_exact_and_unknown_ones_ignored(void **state)
{
    (void)state;
    struct arena *a = arena();
    struct querier_v1_select_series_request m;
    assert_int_equal(
        from_json(a, &m,
                  " {\"profile_typeID\":\"a\",\"labelSelector\":\"\\u00e9\\ud83d"
                  "\\ude00\",\"LABELSELECTOR\":7,\"x\":{\"y\":[1,{}]},\"group_by\":"
                  "[\"p\",\"q\"],\"limit\":0,\"exemplarType\":\"EXEMPLAR_TYPE_SPAN\","
                  "\"aggregation\":\"NO_SUCH\"}\n"),
        0);
    assert_true(str_eq(m.profile_type_id, STR("a")));
    assert_true(str_eq(m.label_selector, STR("\xc3\xa9\xf0\x9f\x98\x80")));
    assert_int_equal(m.group_by_count, 2);
    assert_true(m.has_limit);
    assert_false(m.has_aggregation); /* an unknown name is as if it were not there */
    assert_int_equal(m.exemplar_type, EXEMPLAR_TYPE_SPAN);
    const char *bad[] = {
        "",
        "  ",
        "[]",
        "7",
        "null",
        "\"x\"",
        "{",
        "{}x",
        "{} {}",
        "{\"start\":1,}",
        "{\"start\":01}",
        "{\"start\":-01}",
        "{start:1}",
        "{\"start\":1 \"end\":2}",
        "{\"labelSelector\":7}",
        "{\"labelSelector\":\"\\u0000\"}",
        "{\"labelSelector\":\"\\ud800\"}",
        "{\"labelSelector\":\"\n\"}",
        "{\"labelSelector\":\"\xff\"}",
        "\xef\xbb\xbf{}",
        "{\"x\":\"\\q\"}",
        "{\"x\":\"\\u12g4\"}",
        "{\"start\":1,\"start\":2}",
        "{\"group_by\":[],\"groupBy\":[]}",
        "{\"groupBy\":\"p\"}",
        "{\"groupBy\":[null]}",
        "{\"stackTraceSelector\":[]}",
        "{\"x\":.5}",
        "{\"x\":1.}",
        "{\"x\":1e}",
        "{\"x\":+1}",
        "{\"x\":nul}",
        "{\"x\":NaN}",
        "{\"x\":-}",
        "{\"x\":[1,]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (from_json(a, &m, bad[i]) != ERR_PARSE)
            fail_msg("case %zu was accepted: %s", i, bad[i]);
    }
    arena_free(&a);
}

static void json_nests_to_a_bounded_depth(void **state)
{
    (void)state;
    char text[2 * JSON_DEPTH_MAX + 3];
    for (size_t d = JSON_DEPTH_MAX; d <= JSON_DEPTH_MAX + 1; d++) {
        memset(text, '[', d);
        memset(text + d, ']', d);
        assert_int_equal(json_check(str_of(text, 2 * d), NULL),
                         d > JSON_DEPTH_MAX ? ERR_LIMIT : 0);
    }
}

static void bytes_in_json_are_base64_of_either_alphabet(void **state)
{
    (void)state;
    struct arena *a = arena();
    struct push_v1_raw_sample m;
    const struct msg_type *t = &push_v1_raw_sample_msg;
    struct str good[] = {STR("{\"rawProfile\":\"+/8=\"}"), STR("{\"raw_profile\":\"-_8\"}")};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(msg_from_json(t, &m, good[i], a, NULL, NULL), 0);
        assert_true(str_eq(m.raw_profile, STR("\xfb\xff")));
    }
    struct str bad = STR("{\"rawProfile\":\"+\"}");
    assert_int_equal(msg_from_json(t, &m, bad, a, NULL, NULL), ERR_PARSE);
    arena_free(&a);
}

static void invalid_text_is_written_as_valid_json(void **state)
{
    (void)state;
    struct connect_v1_error m = {.code = STR("internal"), .message = STR("\xff\"\n")};
    struct buf b = {0};
    msg_to_json(&connect_v1_error_msg, &m, &b);
    assert_true(str_eq(buf_view(&b),
                       STR("{\"code\":\"internal\",\"message\":\"\xef\xbf\xbd\\\"\\n\"}")));
    assert_int_equal(json_check(buf_view(&b), NULL), 0);
    buf_reset(&b);
}

static void running_out_of_memory_is_told_from_bad_input(void **state)
{
    (void)state;
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        for (int json = 0; json < 2; json++) {
            for (uint64_t n = 1;; n++) {
                const struct msg_type *t = GOLDENS[i].type;
                struct arena *a = NULL;
                assert_int_equal(arena_init(&a, 16, NULL), 0); /* small: it must grow often */
                void *m = mem_alloc(t->size);
                assert_non_null(m);
                mem_fail_at(n);
                int rc = json ? msg_from_json(t, m, GOLDENS[i].json, a, NULL, NULL)
                              : msg_decode(t, m, GOLDENS[i].bytes, a, NULL, NULL);
                bool over = mem_fail_pending();
                mem_fail_at(0);
                assert_int_equal(rc, over ? 0 : ERR_NOMEM);
                mem_free(m);
                arena_free(&a);
                if (over)
                    break;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_json_are_those_of_protobufs_own_runtime),
        cmocka_unit_test(fields_land_in_their_members),
        cmocka_unit_test(packed_and_single_elements_mix_and_messages_merge),
        cmocka_unit_test(hostile_bytes_are_refused_by_name),
        cmocka_unit_test(elements_and_depth_have_an_end),
        cmocka_unit_test(json_numbers_are_exact_or_refused),
        cmocka_unit_test(json_names_are_exact_and_unknown_ones_ignored),
        cmocka_unit_test(json_nests_to_a_bounded_depth),
        cmocka_unit_test(bytes_in_json_are_base64_of_either_alphabet),
        cmocka_unit_test(invalid_text_is_written_as_valid_json),
        cmocka_unit_test(running_out_of_memory_is_told_from_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
