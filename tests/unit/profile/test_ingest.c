/* From a pushed profile to streams: what is kept, how it is divided, what is refused and why. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/pprof_build.h"
#include "base/mem.h"
#include "profile/form.h"
#include "profile/labels.h"
#include "wire/pb.h"

#define NOW 1700000000000000000

static struct arena *arena;
static struct pprof_build build;
static struct profile_limits limits;
static struct ingest in;
static struct ingest_result result;
static struct err error;

static const struct label series[] = {
    {STR_INIT("service_name"), STR_INIT("shop")},
    {STR_INIT("__name__"), STR_INIT("process_cpu")},
};

static int setup(void **state)
{
    (void)state;
    int rc = arena_init(&arena, 0, NULL);
    limits = profile_limits_default();
    in = (struct ingest){.arena = arena, .limits = &limits, .now_ns = NOW};
    error = (struct err){0};
    return rc != 0 ? rc : form_begin(&in.form, arena);
}

static int teardown(void **state)
{
    (void)state;
    mem_fail_at(0);
    pprof_build_reset(&build);
    arena_free(&arena);
    return 0;
}

static int take(const struct label *labels, size_t count)
{
    return ingest_profile(&in, pprof_build_finish(&build), labels, count, &result, &error);
}

static int take_series(void)
{
    return take(series, 2);
}

static const struct form *view(void)
{
    const struct form *f = NULL;
    assert_int_equal(form_view(in.form, &f), 0);
    return f;
}

static uint64_t next_value(struct str *s)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t b = (uint8_t)s->data[0];
        *s = str_skip(*s, 1);
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return v;
    }
}

static size_t put_stack(const struct form *f, uint32_t node, char *text, size_t size)
{
    uint32_t path[64], depth = 0;
    size_t at = 0;
    for (uint32_t n = node; n != 0; n = f->nodes[n].parent)
        path[depth++] = n;
    while (depth-- > 0) {
        const struct form_location *l = &f->locations[f->nodes[path[depth]].location];
        for (uint32_t k = l->line_count; k-- > 0;) {
            struct str name =
                f->strings[f->functions[f->lines[l->first_line + k].function].name];
            at += (size_t)snprintf(text + at, size - at, "%.*s%s", STR_ARG(name),
                                   depth > 0 || k > 0 ? ";" : "");
        }
    }
    return at;
}

/* "labels | member types | stack=v0,v1 ..." of one profile, rows in the order of the form. */
static const char *shown(uint32_t i)
{
    static char text[8192];
    const struct form *f = view();
    const struct form_profile *p = &f->profiles[i];
    size_t at = 0;
    for (uint32_t k = 0; k < p->pair_count; k++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s ",
                               STR_ARG(p->pairs[k].name), STR_ARG(p->pairs[k].value));
    at += (size_t)snprintf(text + at, sizeof text - at, "|");
    for (uint32_t m = 0; m < p->member_count; m++)
        at +=
            (size_t)snprintf(text + at, sizeof text - at, " %.*s", STR_ARG(p->members[m].type));
    at += (size_t)snprintf(text + at, sizeof text - at, " |");
    struct str columns[FORM_MEMBERS_MAX];
    for (uint32_t m = 0; m < p->member_count; m++)
        columns[m] = p->columns[m].bytes;
    for (uint32_t k = 0; k < p->samples; k++) {
        uint64_t first = 0;
        text[at++] = ' ';
        at += put_stack(f, p->nodes[k], text + at, sizeof text - at);
        for (uint32_t m = 0; m < p->member_count; m++) {
            uint64_t v = p->columns[m].proportional ? first * p->columns[m].factor
                                                    : next_value(&columns[m]);
            first = m == 0 ? v : first;
            at += (size_t)snprintf(text + at, sizeof text - at, "%c%llu", m == 0 ? '=' : ',',
                                   (unsigned long long)v);
        }
    }
    text[at] = '\0';
    return text;
}

static void a_profile_becomes_a_stream_with_its_siblings(void **state)
{
    (void)state;
    build.time_ns = NOW - 1;
    build.duration_ns = 15;
    build.period = 10;
    build.period_type = pprof_build_string(&build, STR("cpu"));
    build.period_unit = pprof_build_string(&build, STR("nanoseconds"));
    pprof_build_type(&build, "samples", "count");
    pprof_build_type(&build, "cpu", "nanoseconds");
    pprof_build_sample(&build, "main;work", "2 20", NULL);
    pprof_build_sample(&build, "main;idle", "1 10", NULL);
    pprof_build_sample(&build, "main;work", "1 10", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(result.stream_count, 1);
    assert_int_equal(result.streams[0].samples, 2);
    assert_true(str_eq(result.streams[0].service, STR("shop")));
    assert_int_equal(result.samples, 3);
    assert_string_equal(shown(0),
                        "service_name=shop | samples cpu | main;work=3,30 main;idle=1,10");
    const struct form_profile *p = &view()->profiles[0];
    assert_int_equal(p->time_ns, NOW - 1);
    assert_int_equal(p->duration_ns, 15);
    assert_int_equal(p->period, 10);
    assert_true(str_eq(p->members[1].name, STR("process_cpu")));
    assert_true(str_eq(p->members[1].period_unit, STR("nanoseconds")));
}

static void types_of_other_families_are_streams_of_their_own(void **state)
{
    (void)state;
    const char *const types[] = {"alloc_objects", "alloc_space", "inuse_objects",
                                 "inuse_space",   "wall",        "cpu"};
    for (size_t i = 0; i < 6; i++)
        pprof_build_type(&build, types[i], "count");
    pprof_build_sample(&build, "a", "1 2 0 0 5 6", NULL);
    pprof_build_sample(&build, "b", "0 0 0 4 0 0", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(result.stream_count, 4);
    assert_string_equal(shown(0), "service_name=shop | alloc_objects alloc_space | a=1,2");
    assert_string_equal(shown(1), "service_name=shop | inuse_objects inuse_space | b=0,4");
    assert_string_equal(shown(2), "service_name=shop | wall | a=5");
    assert_string_equal(shown(3), "service_name=shop | cpu | a=6");
}

static void streams_without_values_are_left_out(void **state)
{
    (void)state;
    pprof_build_type(&build, "alloc_space", "bytes");
    pprof_build_type(&build, "inuse_space", "bytes");
    pprof_build_sample(&build, "a", "1 0", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(result.stream_count, 1);
    assert_string_equal(shown(0), "service_name=shop | alloc_space | a=1");
}

static void samples_that_say_nothing_or_nonsense_are_dropped(void **state)
{
    (void)state;
    pprof_build_type(&build, "a_x", "count");
    pprof_build_type(&build, "a_y", "count");
    pprof_build_sample(&build, "zero", "0 0", NULL);
    pprof_build_sample(&build, "negative", "5 -1", NULL);
    pprof_build_sample(&build, "", "7 7", NULL);
    pprof_build_sample(&build, "good", "1 0", NULL);
    assert_int_equal(take_series(), 0);
    assert_string_equal(shown(0), "service_name=shop | a_x a_y | good=1,0");
    assert_int_equal(view()->location_count, 1);
    assert_int_equal(view()->string_count, 3); /* "", file, good */
}

static void a_profile_of_nothing_is_accepted_silently(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "zero", "0", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(result.stream_count, 0);
    assert_int_equal(form_profile_count(in.form), 0);
}

static void string_labels_divide_and_numeric_ones_do_not(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", "zone=b");
    pprof_build_sample(&build, "f", "2", "#bytes=3");
    pprof_build_sample(&build, "f", "4", "zone=a handler=/");
    pprof_build_sample(&build, "f", "8", "handler=/ zone=a #bytes=9");
    pprof_build_sample(&build, "f", "16", "zone=b");
    assert_int_equal(take_series(), 0);
    assert_int_equal(result.stream_count, 3);
    assert_string_equal(shown(0), "service_name=shop zone=b | a | f=17");
    assert_string_equal(shown(1), "service_name=shop | a | f=2");
    assert_string_equal(shown(2), "handler=/ service_name=shop zone=a | a | f=12");
}

static void labels_of_the_series_win_and_equal_groups_join(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", "service_name=x");
    pprof_build_sample(&build, "f", "2", "service_name=y");
    pprof_build_sample(&build, "g", "4", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(result.stream_count, 1);
    assert_string_equal(shown(0), "service_name=shop | a | f=3 g=4");
}

static void spans_stay_with_their_samples(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", "span_id=0102030405060708");
    pprof_build_sample(&build, "f", "2",
                       "span_id=0102030405060708 trace_id=000102030405060708090a0b0c0d0e0F");
    pprof_build_sample(&build, "f", "4", "profile_id=0102030405060708");
    pprof_build_sample(&build, "f", "8", "span_id=nothex");
    assert_int_equal(take_series(), 0);
    assert_int_equal(result.stream_count, 1);
    assert_string_equal(shown(0), "service_name=shop | a | f=8 f=5 f=2");
    struct str spans = view()->profiles[0].spans;
    assert_int_equal(spans.data[0], 2);
    assert_memory_equal(spans.data + 1, "\1\2\3\4\5\6\7\10", 8);
    assert_memory_equal(spans.data + 1 + 24 + 8, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17",
                        16);
}

static void addresses_go_where_names_are_known(void **state)
{
    (void)state;
    build.mapping_flags = 1;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(view()->locations[0].address, 0);
    assert_int_equal(view()->mappings[0].limit, 0);
    assert_int_equal(view()->mappings[0].flags, FORM_HAS_FUNCTIONS);
}

static void addresses_stay_where_they_are_all_there_is(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(view()->locations[0].address, 0x1000);
    assert_int_equal(view()->mappings[0].limit, 0x500000);
}

static void a_location_without_mapping_gets_an_empty_one(void **state)
{
    (void)state;
    build.no_mapping = true;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(view()->mapping_count, 1);
    assert_int_equal(view()->mappings[0].file, 0);
}

static void samples_with_dangling_references_are_dropped(void **state)
{
    (void)state;
    struct buf raw = {0};
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "good", "1", NULL);
    buf_str(&raw, pprof_build_finish(&build));
    const uint64_t bad[][4] = {
        {50, 9, 1, 1}, {51, 1, 9, 1}, {52, 1, 0, 0}}; /* id, map, func, addr */
    for (size_t i = 0; i < 3; i++) {
        size_t mark = pb_begin(&raw, 4);
        pb_put_varint(&raw, 1, bad[i][0]);
        pb_put_varint(&raw, 2, bad[i][1]);
        pb_put_varint_set(&raw, 3, bad[i][3]);
        if (bad[i][2] != 0) {
            size_t line = pb_begin(&raw, 4);
            pb_put_varint(&raw, 1, bad[i][2]);
            pb_end(&raw, line);
        }
        pb_end(&raw, mark);
        mark = pb_begin(&raw, 2);
        pb_put_varint(&raw, 1, bad[i][0]);
        pb_put_varint(&raw, 2, 100);
        pb_end(&raw, mark);
    }
    size_t mark = pb_begin(&raw, 2);
    pb_put_varint(&raw, 1, 1);
    pb_put_varint(&raw, 1, 99); /* no such location */
    pb_put_varint(&raw, 2, 100);
    pb_end(&raw, mark);
    assert_int_equal(ingest_profile(&in, buf_view(&raw), series, 2, &result, &error), 0);
    assert_string_equal(shown(0), "service_name=shop | a | good=1");
    buf_reset(&raw);
}

static void gos_shapes_are_one_function(void **state)
{
    (void)state;
    const struct label go[] = {
        series[0], series[1], {STR_INIT("pyroscope_spy"), STR_INIT("gospy")}};
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f[go.shape.int].g[x]", "1", NULL);
    pprof_build_sample(&build, "f[go.shape.[]uint8].h", "2", NULL);
    pprof_build_sample(&build, "f[go.shape.string].h", "4", NULL);
    assert_int_equal(take(go, 3), 0);
    assert_string_equal(result.language, "go");
    /* Locations differ by line, so the stacks stay two; their function is one. */
    assert_string_equal(
        shown(0), "pyroscope_spy=gospy service_name=shop | a | f[...]=1 f[...].h=2 f[...].h=4");
}

static void shapes_stay_in_other_languages(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f[go.shape.int]", "1", NULL);
    assert_int_equal(take_series(), 0);
    assert_string_equal(result.language, "unknown");
    assert_string_equal(shown(0), "service_name=shop | a | f[go.shape.int]=1");
}

static void default_rules_rename(void **state)
{
    (void)state;
    const struct label delta[] = {series[0],
                                  {STR_INIT("__name__"), STR_INIT("godeltaprof_memory")}};
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", NULL);
    assert_int_equal(take(delta, 2), 0);
    assert_string_equal(shown(0),
                        "__name_replaced__=godeltaprof_memory service_name=shop | a | f=1");
    assert_true(str_eq(view()->profiles[0].members[0].name, STR("memory")));
}

static void hints_and_per_type_labels_are_not_kept(void **state)
{
    (void)state;
    const struct label all[] = {
        series[0],
        series[1],
        {STR_INIT("__delta__"), STR_INIT("false")},
        {STR_INIT("__session_id__"), STR_INIT("0123")},
        {STR_INIT("__unit__"), STR_INIT("x")},
        {STR_INIT("empty"), STR_INIT("")},
        {STR_INIT("__other__"), STR_INIT("y")},
    };
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", NULL);
    assert_int_equal(take(all, 7), 0);
    assert_string_equal(shown(0), "__other__=y service_name=shop | a | f=1");
}

static void a_missing_service_has_a_name(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", NULL);
    assert_int_equal(take(series + 1, 1), 0);
    assert_true(str_eq(result.streams[0].service, STR("unknown_service")));
    assert_string_equal(shown(0), "service_name=unknown_service | a | f=1");
}

static void equal_bytes_have_equal_nonces_and_others_do_not(void **state)
{
    (void)state;
    uint32_t nonces[3][2];
    for (unsigned round = 0; round < 3; round++) {
        struct form_writer *form;
        pprof_build_reset(&build);
        build.time_ns = NOW;
        pprof_build_type(&build, "wall", "count");
        pprof_build_type(&build, "other", "count");
        pprof_build_sample(&build, "f", round == 2 ? "1 2" : "1 1", NULL);
        assert_int_equal(form_begin(&form, arena), 0);
        in.form = form;
        assert_int_equal(take_series(), 0);
        assert_int_equal(result.stream_count, 2);
        for (unsigned i = 0; i < 2; i++)
            nonces[round][i] = view()->profiles[i].nonce;
    }
    assert_memory_equal(nonces[0], nonces[1], sizeof nonces[0]);
    assert_int_not_equal(nonces[0][0], nonces[0][1]);
    assert_int_not_equal(nonces[0][0], nonces[2][0]);
    assert_int_not_equal(nonces[0][1], nonces[2][1]);
}

static void a_profile_without_time_gets_ours(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(view()->profiles[0].time_ns, NOW);
}

static void sums_beyond_the_range_are_refused_and_leave_nothing(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "9223372036854775807", NULL);
    pprof_build_sample(&build, "g", "1", NULL);
    assert_int_equal(take_series(), ERR_INVAL);
    assert_int_equal(result.reason, DISCARD_MALFORMED_PROFILE);
    assert_int_equal(form_profile_count(in.form), 0);
}

static void the_same_type_twice_counts_once(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1 2", NULL);
    assert_int_equal(take_series(), 0);
    assert_int_equal(result.stream_count, 1);
    assert_string_equal(shown(0), "service_name=shop | a | f=1");
}

static void several_profiles_share_one_form(void **state)
{
    (void)state;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f;g", "1", NULL);
    assert_int_equal(take_series(), 0);
    struct pprof_build other = {0};
    pprof_build_type(&other, "b", "count");
    pprof_build_sample(&other, "f;g", "5", NULL);
    assert_int_equal(
        ingest_profile(&in, pprof_build_finish(&other), series, 2, &result, &error), 0);
    assert_int_equal(result.streams[0].profile, 1);
    assert_int_equal(view()->node_count, 3);
    assert_string_equal(shown(1), "service_name=shop | b | f;g=5");
    pprof_build_reset(&other);
}

static void refused_with(enum discard reason, int code, const char *text)
{
    assert_int_equal(result.reason, reason);
    assert_int_equal(error.code, code);
    if (strstr(error.msg, text) == NULL)
        fail_msg("%s does not contain %s", error.msg, text);
    assert_int_equal(form_profile_count(in.form), 0);
}

static void what_is_refused_says_why(void **state)
{
    (void)state;
    assert_int_equal(ingest_profile(&in, STR("not a profile"), series, 2, &result, &error),
                     ERR_PARSE);
    refused_with(DISCARD_MALFORMED_PROFILE, ERR_PARSE, "offset");
    assert_int_equal(ingest_profile(&in, STR(""), series, 2, &result, &error), ERR_INVAL);
    refused_with(DISCARD_MALFORMED_PROFILE, ERR_INVAL, "no sample types");
    build.time_ns = NOW - (int64_t)3600 * 1000000000;
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", NULL);
    assert_int_equal(take_series(), ERR_INVAL);
    refused_with(DISCARD_NOT_IN_INGESTION_WINDOW, ERR_INVAL, "ingestion window");
    pprof_build_reset(&build);
    pprof_build_type(&build, "a-b", "count");
    assert_int_equal(take_series(), ERR_INVAL);
    refused_with(DISCARD_MALFORMED_PROFILE, ERR_INVAL, "contains -");
}

static void bad_labels_are_refused_by_reason(void **state)
{
    (void)state;
    static const char long_text[2049] = {0};
    const struct {
        struct label label;
        enum discard reason;
    } cases[] = {
        {{STR_INIT("service_name"), STR_INIT("again")}, DISCARD_DUPLICATE_LABEL_NAMES},
        {{{long_text, 1025}, STR_INIT("x")}, DISCARD_LABEL_NAME_TOO_LONG},
        {{STR_INIT("x"), {long_text, 2049}}, DISCARD_LABEL_VALUE_TOO_LONG},
        {{STR_INIT("x"), STR_INIT("\xff")}, DISCARD_INVALID_LABELS},
        {{STR_INIT("\xff"), STR_INIT("x")}, DISCARD_INVALID_LABELS},
        {{STR_INIT(""), STR_INIT("x")}, DISCARD_INVALID_LABELS},
    };
    pprof_build_type(&build, "a", "count");
    pprof_build_sample(&build, "f", "1", NULL);
    struct str raw = pprof_build_finish(&build);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct label labels[] = {series[0], series[1], cases[i].label};
        assert_int_equal(ingest_profile(&in, raw, labels, 3, &result, &error), ERR_INVAL);
        refused_with(cases[i].reason, ERR_INVAL, "label");
    }
    assert_int_equal(ingest_profile(&in, raw, series, 1, &result, &error), ERR_INVAL);
    refused_with(DISCARD_INVALID_LABELS, ERR_INVAL, "__name__");
    struct label many[31];
    for (size_t i = 0; i < 31; i++)
        many[i] = (struct label){str_of(&"abcdefghijklmnopqrstuvwxyzABCDEFG"[i], 1), STR("x")};
    assert_int_equal(ingest_profile(&in, raw, many, 31, &result, &error), ERR_INVAL);
    refused_with(DISCARD_MAX_LABEL_NAMES, ERR_INVAL, "32 labels");
}

static void running_out_of_memory_is_an_error_anywhere(void **state)
{
    (void)state;
    pprof_build_type(&build, "alloc_a", "count");
    pprof_build_type(&build, "b", "count");
    pprof_build_sample(&build, "f;g;h[go.shape.int]", "1 2", "zone=a span_id=0102030405060708");
    pprof_build_sample(&build, "f;g", "1 2", "zone=b");
    build.sparse_ids = true;
    struct str raw = pprof_build_finish(&build);
    const struct label go[] = {
        series[0], series[1], {STR_INIT("pyroscope_spy"), STR_INIT("gospy")}};
    for (uint64_t n = 1;; n++) {
        arena_free(&arena);
        mem_fail_at(n);
        const struct form *f = NULL;
        int rc = arena_init(&arena, 16, NULL);
        in.arena = arena;
        rc = rc != 0 ? rc : form_begin(&in.form, arena);
        rc = rc != 0 ? rc : ingest_profile(&in, raw, go, 3, &result, &error);
        rc = rc != 0 ? rc : form_view(in.form, &f);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        if (over) {
            assert_true(n > 4);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(a_profile_becomes_a_stream_with_its_siblings),
        T(types_of_other_families_are_streams_of_their_own),
        T(streams_without_values_are_left_out),
        T(samples_that_say_nothing_or_nonsense_are_dropped),
        T(a_profile_of_nothing_is_accepted_silently),
        T(string_labels_divide_and_numeric_ones_do_not),
        T(labels_of_the_series_win_and_equal_groups_join),
        T(spans_stay_with_their_samples),
        T(addresses_go_where_names_are_known),
        T(addresses_stay_where_they_are_all_there_is),
        T(a_location_without_mapping_gets_an_empty_one),
        T(samples_with_dangling_references_are_dropped),
        T(gos_shapes_are_one_function),
        T(shapes_stay_in_other_languages),
        T(default_rules_rename),
        T(hints_and_per_type_labels_are_not_kept),
        T(a_missing_service_has_a_name),
        T(equal_bytes_have_equal_nonces_and_others_do_not),
        T(a_profile_without_time_gets_ours),
        T(sums_beyond_the_range_are_refused_and_leave_nothing),
        T(the_same_type_twice_counts_once),
        T(several_profiles_share_one_form),
        T(what_is_refused_says_why),
        T(bad_labels_are_refused_by_reason),
        T(running_out_of_memory_is_an_error_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
