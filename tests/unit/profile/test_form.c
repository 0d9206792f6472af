/* The append form: what a writer was given comes back, and nothing else is let in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/form.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

static const uint8_t writer_a[16] = "writer-a........";
static const uint8_t writer_b[16] = "writer-b........";

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    return arena_init(&arena, 0, NULL);
}

static int teardown(void **state)
{
    (void)state;
    mem_fail_at(0);
    arena_free(&arena);
    return 0;
}

static const struct form_pair pairs[] = {
    {STR_INIT("env"), STR_INIT("prod")},
    {STR_INIT("service_name"), STR_INIT("shop")},
};

static const struct form_member members[] = {
    {STR_INIT("samples"), STR_INIT("count"), STR_INIT("cpu"), STR_INIT("nanoseconds"),
     STR_INIT("process_cpu")},
    {STR_INIT("cpu"), STR_INIT("nanoseconds"), STR_INIT("cpu"), STR_INIT("nanoseconds"),
     STR_INIT("process_cpu")},
};

static struct form_profile profile_head(int64_t time, uint32_t member_count)
{
    return (struct form_profile){.pairs = pairs,
                                 .pair_count = 2,
                                 .members = members,
                                 .member_count = member_count,
                                 .time_ns = time,
                                 .nonce = 0xdeadbeef,
                                 .duration_ns = 10000000000,
                                 .period = 10000000,
                                 .seq = 1};
}

/* Locations 0 .. n-1, location i being function "f<i>" at line 10 i. */
static int add_locations(struct form_writer *w, uint32_t n, uint32_t *ids)
{
    uint32_t file, map, rc = 0;
    rc |= (uint32_t)form_add_string(w, STR("/bin/shop"), &file);
    struct form_mapping m = {
        .file = file, .start = 0x400000, .limit = 0x500000, .flags = FORM_HAS_FUNCTIONS};
    rc |= (uint32_t)form_add_mapping(w, &m, &map);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        char text[16];
        int len = snprintf(text, sizeof text, "f%u", i);
        struct str name = str_dup(arena, str_of(text, (size_t)len));
        if (name.data == NULL)
            return ERR_NOMEM;
        struct form_function fn = {.start_line = i};
        rc |= (uint32_t)form_add_string(w, name, &fn.name);
        fn.system_name = fn.name;
        fn.file = file;
        struct form_line line = {.line = (int64_t)i * 10};
        if (rc == 0)
            rc |= (uint32_t)form_add_function(w, &fn, &line.function);
        struct form_location loc = {.mapping = map, .address = 0x1000 + i};
        if (rc == 0)
            rc |= (uint32_t)form_add_location(w, &loc, &line, 1, &ids[i]);
    }
    return (int)rc;
}

/* Two lanes, two profiles (one with two members, one with spans). */
static int build(struct form_writer **w, struct buf *out)
{
    uint32_t ids[8], lane;
    struct str set[] = {STR_INIT("ingester-0"), STR_INIT("ingester-1")};
    uint8_t trace[16] = {1, 2, 3};
    struct form_span span = {.span_id = 77, .trace_id = trace};
    int rc = form_begin(w, arena);
    rc = rc != 0 ? rc : add_locations(*w, 8, ids);
    rc = rc != 0 ? rc : form_add_lane(*w, writer_a, set, 2, &lane);
    rc = rc != 0 ? rc : form_add_lane(*w, writer_b, set, 2, &lane);
    if (rc != 0)
        return rc;
    struct form_profile p = profile_head(1700000000000000000, 2);
    rc = form_begin_profile(*w, &p);
    const uint32_t deep[] = {ids[0], ids[1], ids[2]}, flat[] = {ids[0], ids[3]};
    rc = rc != 0 ? rc : form_add_sample(*w, deep, 3, (uint64_t[]){2, 20}, NULL);
    rc = rc != 0 ? rc : form_add_sample(*w, flat, 2, (uint64_t[]){1, 10}, NULL);
    rc = rc != 0 ? rc : form_add_sample(*w, deep, 3, (uint64_t[]){3, 30}, NULL);
    rc = rc != 0 ? rc : form_end_profile(*w, NULL);
    p = profile_head(1700000000000000001, 1);
    p.lane = 1;
    p.seq = 9;
    rc = rc != 0 ? rc : form_begin_profile(*w, &p);
    rc = rc != 0 ? rc : form_add_sample(*w, &ids[5], 1, (uint64_t[]){4}, NULL);
    rc = rc != 0 ? rc : form_add_sample(*w, &ids[5], 1, (uint64_t[]){5}, &span);
    rc = rc != 0 ? rc : form_add_sample(*w, deep, 2, (uint64_t[]){6}, &span);
    rc = rc != 0 ? rc : form_add_sample(*w, &ids[5], 1, (uint64_t[]){7}, &span);
    rc = rc != 0 ? rc : form_end_profile(*w, NULL);
    return rc != 0 ? rc : form_finish(*w, out);
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

/* "f0;f1=value," ... of member 0, in the order of the form. */
static const char *rows_text(const struct form *f, uint32_t profile)
{
    static char text[4096];
    size_t at = 0;
    const struct form_profile *p = &f->profiles[profile];
    struct str values = p->columns[0].bytes;
    for (uint32_t i = 0; i < p->samples; i++) {
        uint32_t path[64], depth = 0;
        for (uint32_t n = p->nodes[i]; n != 0; n = f->nodes[n].parent)
            path[depth++] = n;
        while (depth-- > 0) {
            const struct form_location *l = &f->locations[f->nodes[path[depth]].location];
            uint32_t name = f->functions[f->lines[l->first_line].function].name;
            at += (size_t)snprintf(text + at, sizeof text - at, "%.*s%s",
                                   STR_ARG(f->strings[name]), depth > 0 ? ";" : "=");
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "%llu,",
                               (unsigned long long)next_value(&values));
    }
    return text;
}

static void a_form_comes_back_as_it_was_written(void **state)
{
    (void)state;
    struct form_writer *w;
    struct buf out = {0};
    struct form f;
    struct err err = {0};
    assert_int_equal(build(&w, &out), 0);
    assert_int_equal(form_open(&f, buf_view(&out), NULL, arena, &err), 0);
    assert_int_equal(f.lane_count, 2);
    assert_memory_equal(f.lanes[1].writer, writer_b, 16);
    assert_true(str_eq(f.lanes[0].instances[1], STR("ingester-1")));
    assert_int_equal(f.location_count, 8);
    assert_int_equal(f.locations[3].address, 0x1003);
    assert_int_equal(f.lines[f.locations[3].first_line].line, 30);
    assert_int_equal(f.mappings[0].limit, 0x500000);
    assert_int_equal(f.profile_count, 2);
    const struct form_profile *p = &f.profiles[0];
    assert_int_equal(p->time_ns, 1700000000000000000);
    assert_int_equal(p->nonce, 0xdeadbeef);
    assert_int_equal(p->duration_ns, 10000000000);
    assert_true(str_eq(p->pairs[1].value, STR("shop")));
    assert_true(str_eq(p->members[1].type, STR("cpu")));
    assert_int_equal(f.profiles[1].lane, 1);
    assert_int_equal(f.profiles[1].seq, 9);
    assert_string_equal(rows_text(&f, 0), "f0;f3=1,f0;f1;f2=5,");
    buf_reset(&out);
}

static void equal_stacks_add_up_and_a_second_type_in_step_is_a_factor(void **state)
{
    (void)state;
    struct form_writer *w;
    struct buf out = {0};
    struct form f;
    assert_int_equal(build(&w, &out), 0);
    assert_int_equal(form_open(&f, buf_view(&out), NULL, arena, NULL), 0);
    assert_int_equal(f.profiles[0].samples, 2);
    assert_false(f.profiles[0].columns[0].proportional);
    assert_true(f.profiles[0].columns[1].proportional);
    assert_int_equal(f.profiles[0].columns[1].factor, 10);
    buf_reset(&out);
}

static void samples_with_different_spans_stay_apart(void **state)
{
    (void)state;
    struct form_writer *w;
    struct buf out = {0};
    struct form f;
    assert_int_equal(build(&w, &out), 0);
    assert_int_equal(form_open(&f, buf_view(&out), NULL, arena, NULL), 0);
    assert_string_equal(rows_text(&f, 1), "f5=4,f5=12,f0;f1=6,");
    struct str spans = f.profiles[1].spans;
    assert_int_equal(spans.len, 1 + 24 + 3);
    assert_int_equal(spans.data[1], 77);
    assert_int_equal(spans.data[9], 1); /* the trace id begins */
    assert_memory_equal(spans.data + 25, "\0\1\1", 3);
    buf_reset(&out);
}

static void nodes_are_in_level_order(void **state)
{
    (void)state;
    struct form_writer *w;
    struct buf out = {0};
    struct form f;
    uint32_t depth[64] = {0};
    assert_int_equal(build(&w, &out), 0);
    assert_int_equal(form_open(&f, buf_view(&out), NULL, arena, NULL), 0);
    for (uint32_t i = 1; i < f.node_count; i++) {
        depth[i] = depth[f.nodes[i].parent] + 1;
        assert_true(depth[i] >= depth[i - 1]);
    }
    assert_int_equal(f.node_count, 6);
    buf_reset(&out);
}

static void a_dot_set_late_shows_in_the_next_finish(void **state)
{
    (void)state;
    struct form_writer *w;
    struct buf out = {0};
    struct form f;
    assert_int_equal(build(&w, &out), 0);
    assert_int_equal(form_set_dot(w, 0, 1, 300), 0);
    assert_int_equal(form_set_dot(w, 0, 2, 1), ERR_INVAL);
    assert_int_equal(form_set_dot(w, 2, 0, 1), ERR_INVAL);
    assert_int_equal(form_set_dot(w, 1, 0, 0), ERR_INVAL);
    buf_clear(&out);
    assert_int_equal(form_finish(w, &out), 0);
    assert_int_equal(form_open(&f, buf_view(&out), NULL, arena, NULL), 0);
    assert_int_equal(f.profiles[0].lane, 1);
    assert_int_equal(f.profiles[0].seq, 300);
    assert_string_equal(rows_text(&f, 0), "f0;f3=1,f0;f1;f2=5,");
    buf_reset(&out);
}

static void a_subset_keeps_rows_and_only_the_symbols_it_reaches(void **state)
{
    (void)state;
    struct form_writer *w;
    struct buf out = {0}, small = {0};
    struct form f, g;
    assert_int_equal(build(&w, &out), 0);
    assert_int_equal(form_open(&f, buf_view(&out), NULL, arena, NULL), 0);
    assert_int_equal(form_subset(&f, (uint32_t[]){1}, 1, arena, &small), 0);
    assert_int_equal(form_open(&g, buf_view(&small), NULL, arena, NULL), 0);
    assert_int_equal(g.profile_count, 1);
    assert_int_equal(g.location_count, 3); /* f0, f1, f5 */
    assert_int_equal(g.string_count, 5);   /* "", the binary and three names */
    assert_int_equal(g.node_count, 4);
    assert_string_equal(rows_text(&g, 0), "f5=4,f5=12,f0;f1=6,");
    assert_true(str_eq(g.profiles[0].spans, f.profiles[1].spans));
    assert_int_equal(g.profiles[0].lane, 1);
    assert_int_equal(g.lane_count, 2);
    buf_clear(&small);
    assert_int_equal(form_subset(&f, (uint32_t[]){0, 1}, 2, arena, &small), 0);
    assert_int_equal(form_open(&g, buf_view(&small), NULL, arena, NULL), 0);
    assert_string_equal(rows_text(&g, 0), "f0;f3=1,f0;f1;f2=5,");
    buf_reset(&small);
    buf_reset(&out);
}

static void a_dropped_profile_leaves_no_row_behind(void **state)
{
    (void)state;
    struct form_writer *w;
    struct buf out = {0};
    struct form f;
    uint32_t ids[2], samples = 0, lane;
    struct str set[] = {STR_INIT("i")};
    assert_int_equal(form_begin(&w, arena), 0);
    assert_int_equal(add_locations(w, 2, ids), 0);
    assert_int_equal(form_add_lane(w, writer_a, set, 1, &lane), 0);
    struct form_profile p = profile_head(5, 1);
    assert_int_equal(form_begin_profile(w, &p), 0);
    assert_int_equal(form_add_sample(w, ids, 2, (uint64_t[]){100}, NULL), 0);
    form_drop_profile(w);
    assert_int_equal(form_begin_profile(w, &p), 0);
    assert_int_equal(form_add_sample(w, ids, 2, (uint64_t[]){1}, NULL), 0);
    assert_int_equal(form_end_profile(w, &samples), 0);
    assert_int_equal(samples, 1);
    assert_int_equal(form_finish(w, &out), 0);
    assert_int_equal(form_open(&f, buf_view(&out), NULL, arena, NULL), 0);
    assert_int_equal(f.profile_count, 1);
    assert_string_equal(rows_text(&f, 0), "f0;f1=1,");
    buf_reset(&out);
}

static void sums_that_would_pass_the_limit_are_refused(void **state)
{
    (void)state;
    struct form_writer *w;
    uint32_t ids[2], samples;
    assert_int_equal(form_begin(&w, arena), 0);
    assert_int_equal(add_locations(w, 2, ids), 0);
    struct form_profile p = profile_head(5, 1);
    assert_int_equal(form_begin_profile(w, &p), 0);
    assert_int_equal(form_add_sample(w, ids, 0, (uint64_t[]){1}, NULL), ERR_INVAL);
    assert_int_equal(form_add_sample(w, ids, 1, (uint64_t[]){INT64_MAX}, NULL), 0);
    assert_int_equal(form_add_sample(w, ids, 1, (uint64_t[]){1}, NULL), ERR_LIMIT);
    assert_int_equal(form_add_sample(w, ids + 1, 1, (uint64_t[]){1}, NULL), ERR_LIMIT);
    assert_int_equal(form_add_sample(w, ids, 1, (uint64_t[]){UINT64_MAX}, NULL), ERR_LIMIT);
    assert_int_equal(form_end_profile(w, &samples), 0);
    assert_int_equal(samples, 1);
}

static void every_cut_is_refused_with_its_place(void **state)
{
    (void)state;
    struct form_writer *w;
    struct buf out = {0};
    struct form f;
    assert_int_equal(build(&w, &out), 0);
    for (size_t n = 0; n < out.size; n++) {
        struct err err = {0};
        assert_int_equal(form_open(&f, str_of(out.data, n), NULL, arena, &err), ERR_PARSE);
        assert_non_null(strstr(err.msg, " at offset "));
    }
    buf_u8(&out, 0);
    struct err err = {0};
    assert_int_equal(form_open(&f, buf_view(&out), NULL, arena, &err), ERR_PARSE);
    assert_non_null(strstr(err.msg, "bytes after the end"));
    buf_reset(&out);
}

/* Whatever is let in must be walkable: indexes in range, parents before children. */
static void walk(const struct form *f)
{
    uint64_t sum = 0;
    for (uint32_t i = 1; i < f->node_count; i++) {
        assert_true(f->nodes[i].parent < i);
        assert_true(f->nodes[i].location < f->location_count);
    }
    for (uint32_t i = 0; i < f->location_count; i++)
        for (uint32_t k = 0; k < f->locations[i].line_count; k++)
            sum += f->lines[f->locations[i].first_line + k].function;
    for (uint32_t i = 0; i < f->string_count; i++)
        sum += f->strings[i].len > 0 ? (uint8_t)f->strings[i].data[f->strings[i].len - 1] : 0;
    for (uint32_t i = 0; i < f->profile_count; i++) {
        const struct form_profile *p = &f->profiles[i];
        struct str values = p->columns[0].bytes;
        for (uint32_t k = 0; k < p->samples; k++) {
            assert_in_range(p->nodes[k], 1, f->node_count - 1);
            sum += next_value(&values);
        }
        assert_int_equal(values.len, 0);
    }
    assert_true(sum < UINT64_MAX);
}

static void flipped_bytes_are_refused_or_harmless(void **state)
{
    (void)state;
    struct form_writer *w;
    struct buf out = {0};
    struct form f;
    struct rng rng;
    unsigned refused = 0;
    rng_seed(&rng, 7);
    assert_int_equal(build(&w, &out), 0);
    for (unsigned i = 0; i < 4000; i++) {
        struct arena *scratch = NULL;
        assert_int_equal(arena_init(&scratch, 0, NULL), 0);
        size_t at = (size_t)rng_below(&rng, out.size);
        uint8_t was = out.data[at];
        out.data[at] = (uint8_t)rng_u32(&rng);
        if (form_open(&f, buf_view(&out), NULL, scratch, NULL) == 0)
            walk(&f);
        else
            refused++;
        out.data[at] = was;
        arena_free(&scratch);
    }
    assert_in_range(refused, 500, 3900);
    buf_reset(&out);
}

static void unknown_versions_and_flags_are_named(void **state)
{
    (void)state;
    struct form f;
    struct err err = {0};
    assert_int_equal(form_open(&f, STR("\2\0"), NULL, arena, &err), ERR_VERSION);
    assert_string_equal(err.msg, "append form of version 2; this build knows 1");
    assert_int_equal(form_open(&f, STR("\1\4"), NULL, arena, &err), ERR_VERSION);
    assert_string_equal(err.msg, "append form with unknown flag bits 0x4");
}

/* version, flags, no lanes, then symbols by hand. */
#define HEAD "\1\0\0"

static void wrong_symbols_are_refused_by_name(void **state)
{
    (void)state;
    const struct {
        struct str bytes;
        const char *what;
    } cases[] = {
        {STR(HEAD "\x80\x00"), "count of strings"},             /* not the shortest varint */
        {STR(HEAD "\xff\xff\xff\xff\x0f"), "count of strings"}, /* more than there are bytes */
        {STR(HEAD "\2\1\3ab"), "length of a string"},
        {STR(HEAD "\0\1\1\0\0\0\0\0"), "file of a mapping"},
        {STR(HEAD "\0\0\1\0\0\1\0"), "file of a function"},
        {STR(HEAD "\0\0\0\1\0\1\0"), "mapping of a location"},
        {STR(HEAD "\0\0\0\1\2\0\0\0\0"), "function of a line"},
        {STR(HEAD "\0\0\0\1\0\0\0\1\0\0"), "parent of a node"},
        {STR(HEAD "\0\0\0\1\0\0\0\1\2\0"), "parent of a node"},
        {STR(HEAD "\0\0\0\1\0\0\0\1\1\1"), "location of a node"},
        {STR(HEAD "\0\0\0\1\0\0\0\3\1\0\1\0\3\0\0"), "level order"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct form f;
        struct err err = {0};
        assert_int_equal(form_open(&f, cases[i].bytes, NULL, arena, &err), ERR_PARSE);
        if (strstr(err.msg, cases[i].what) == NULL)
            fail_msg("case %zu: %s", i, err.msg);
    }
}

static void limits_are_named_codes(void **state)
{
    (void)state;
    struct form f;
    struct form_writer *w;
    struct buf out = {0};
    assert_int_equal(build(&w, &out), 0);
    struct form_limits limits[] = {
        {.depth_max = 2}, {.lanes_max = 1}, {.profiles_max = 1}, {.string_bytes_max = 10}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        assert_int_equal(form_open(&f, buf_view(&out), &limits[i], arena, NULL), ERR_LIMIT);
    struct form_limits enough = {.depth_max = 3,
                                 .lanes_max = 2,
                                 .profiles_max = 2,
                                 .string_bytes_max = 100,
                                 .lines_max = 1};
    assert_int_equal(form_open(&f, buf_view(&out), &enough, arena, NULL), 0);
    buf_reset(&out);
}

static void many_stacks_come_back_against_a_plain_model(void **state)
{
    (void)state;
    enum { LOCS = 40, STACKS = 3000, DEPTH = 12 };
    static uint32_t ids[LOCS], stack[STACKS][DEPTH], depth[STACKS];
    struct form_writer *w;
    struct buf out = {0};
    struct form f;
    struct rng rng;
    uint32_t lane, samples;
    uint64_t want = 0, self[LOCS] = {0}, got[LOCS] = {0};
    struct str set[] = {STR_INIT("i")};
    rng_seed(&rng, 11);
    assert_int_equal(form_begin(&w, arena), 0);
    assert_int_equal(add_locations(w, LOCS, ids), 0);
    assert_int_equal(form_add_lane(w, writer_a, set, 1, &lane), 0);
    struct form_profile p = profile_head(5, 1);
    assert_int_equal(form_begin_profile(w, &p), 0);
    for (uint32_t i = 0; i < STACKS; i++) {
        depth[i] = 1 + (uint32_t)rng_below(&rng, DEPTH);
        for (uint32_t k = 0; k < depth[i]; k++)
            stack[i][k] = ids[rng_below(&rng, k < 3 ? 3 : LOCS)];
        uint64_t v = rng_below(&rng, 1u << 30);
        self[stack[i][depth[i] - 1]] += v;
        want += v;
        assert_int_equal(form_add_sample(w, stack[i], depth[i], &v, NULL), 0);
    }
    assert_int_equal(form_end_profile(w, &samples), 0);
    assert_int_equal(form_finish(w, &out), 0);
    assert_int_equal(form_open(&f, buf_view(&out), NULL, arena, NULL), 0);
    assert_int_equal(f.profiles[0].samples, samples);
    struct str values = f.profiles[0].columns[0].bytes;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < samples; i++) {
        uint64_t v = next_value(&values);
        sum += v;
        got[f.nodes[f.profiles[0].nodes[i]].location] += v;
        if (i > 0)
            assert_true(f.profiles[0].nodes[i] > f.profiles[0].nodes[i - 1]);
    }
    assert_int_equal(sum, want);
    assert_memory_equal(got, self, sizeof got);
    buf_reset(&out);
}

static void running_out_of_memory_is_an_error_anywhere(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct form_writer *w;
        struct buf out = {0};
        struct form f;
        arena_free(&arena);
        assert_int_equal(arena_init(&arena, 64, NULL), 0);
        mem_fail_at(n);
        int rc = build(&w, &out);
        if (rc == 0)
            rc = form_open(&f, buf_view(&out), NULL, arena, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        buf_reset(&out);
        if (over) {
            assert_int_equal(rc, 0);
            assert_true(n > 5);
            return;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(a_form_comes_back_as_it_was_written),
        T(equal_stacks_add_up_and_a_second_type_in_step_is_a_factor),
        T(samples_with_different_spans_stay_apart),
        T(nodes_are_in_level_order),
        T(a_dot_set_late_shows_in_the_next_finish),
        T(a_subset_keeps_rows_and_only_the_symbols_it_reaches),
        T(a_dropped_profile_leaves_no_row_behind),
        T(sums_that_would_pass_the_limit_are_refused),
        T(every_cut_is_refused_with_its_place),
        T(flipped_bytes_are_refused_or_harmless),
        T(unknown_versions_and_flags_are_named),
        T(wrong_symbols_are_refused_by_name),
        T(limits_are_named_codes),
        T(many_stacks_come_back_against_a_plain_model),
        T(running_out_of_memory_is_an_error_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
