/* Reading pprof: everything that protobuf allows is understood, nothing that is wrong gets
 * through unmarked. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/pprof.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "../../lib/pprof_build.h"
#include "wire/pb.h"

static struct arena *arena;
static struct pprof_build build;

static int setup(void **state)
{
    (void)state;
    return arena_init(&arena, 0, NULL);
}

static int teardown(void **state)
{
    (void)state;
    mem_fail_at(0);
    pprof_build_reset(&build);
    arena_free(&arena);
    return 0;
}

static struct str sample_file(void)
{
    build.time_ns = 1700000000000000000;
    build.duration_ns = 10;
    build.period = 7;
    build.period_type = pprof_build_string(&build, STR("cpu"));
    build.period_unit = pprof_build_string(&build, STR("nanoseconds"));
    pprof_build_type(&build, "samples", "count");
    pprof_build_type(&build, "cpu", "nanoseconds");
    pprof_build_sample(&build, "main;work;inner", "3 300000000000", "#bytes=12 thread=a");
    pprof_build_sample(&build, "main;idle", "-1 5", NULL);
    return pprof_build_finish(&build);
}

static const char *function_at(const struct pprof *p, uint32_t sample, uint32_t frame)
{
    static char text[64];
    const struct pprof_loc_row *l =
        &p->locations[p->frames[p->samples[sample].first_frame + frame]];
    struct str s = p->strings[p->functions[p->lines[l->first_line].function].name];
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return text;
}

static void check_sample_file(struct str raw)
{
    struct pprof p;
    struct err err = {0};
    assert_int_equal(pprof_decode(&p, raw, 0, arena, &err), 0);
    assert_int_equal(p.type_count, 2);
    assert_true(str_eq(p.strings[p.types[1].unit], STR("nanoseconds")));
    assert_true(p.has_period_type);
    assert_true(str_eq(p.strings[p.period_type.type], STR("cpu")));
    assert_int_equal(p.time_ns, 1700000000000000000);
    assert_int_equal(p.duration_ns, 10);
    assert_int_equal(p.period, 7);
    assert_int_equal(p.sample_count, 2);
    assert_int_equal(p.odd_sample, PPROF_NONE);
    assert_int_equal(p.samples[0].frame_count, 3);
    assert_string_equal(function_at(&p, 0, 0), "inner");
    assert_string_equal(function_at(&p, 0, 2), "main");
    assert_string_equal(function_at(&p, 1, 0), "idle");
    assert_int_equal(p.values[1], 300000000000);
    assert_int_equal(p.values[2], -1);
    assert_int_equal(p.samples[0].label_count, 2);
    assert_int_equal(p.labels[0].text, 0);
    assert_true(str_eq(p.strings[p.labels[1].text], STR("a")));
    assert_int_equal(p.locations[0].mapping, 0);
    assert_int_equal(p.mappings[0].limit, 0x500000);
    assert_int_equal(p.lines[0].line, 10);
}

static void a_profile_is_read_as_it_is(void **state)
{
    (void)state;
    check_sample_file(sample_file());
}

static void ids_may_be_any_numbers(void **state)
{
    (void)state;
    build.sparse_ids = true;
    check_sample_file(sample_file());
}

static void numbers_may_come_one_by_one(void **state)
{
    (void)state;
    build.unpacked = true;
    check_sample_file(sample_file());
}

static void unknown_fields_and_groups_are_skipped(void **state)
{
    (void)state;
    struct buf raw = {0};
    pb_put_bytes(&raw, 99, STR("unknown"));
    pb_put_fixed64(&raw, 98, 1);
    buf_put(&raw, "\xa3\x06\x08\x01\xab\x06\xac\x06\xa4\x06",
            10); /* group 100 with group 101 */
    buf_str(&raw, sample_file());
    pb_put_fixed32(&raw, 97, 1);
    check_sample_file(buf_view(&raw));
    buf_reset(&raw);
}

static void tables_may_stand_between_samples(void **state)
{
    (void)state;
    struct buf raw = {0};
    struct pb_reader r = pb_reader(sample_file());
    struct pb_field f;
    unsigned samples = 0;
    /* The second sample moves behind everything else. */
    struct str late = {0};
    while (pb_next(&r, &f) > 0) {
        if (f.wire == PB_VARINT)
            pb_put_varint(&raw, f.number, f.value);
        else if (f.number == 2 && ++samples == 2)
            late = f.bytes;
        else
            pb_put_bytes(&raw, f.number, f.bytes);
    }
    pb_put_bytes(&raw, 2, late);
    check_sample_file(buf_view(&raw));
    buf_reset(&raw);
}

static void references_to_nothing_are_marked(void **state)
{
    (void)state;
    struct buf raw = {0};
    struct pprof p;
    size_t mark = pb_begin(&raw, 4);
    pb_put_varint(&raw, 1, 1);
    pb_put_varint(&raw, 2, 5); /* mapping 5 is not there */
    size_t line = pb_begin(&raw, 4);
    pb_put_varint(&raw, 1, 9); /* nor function 9 */
    pb_end(&raw, line);
    pb_end(&raw, mark);
    mark = pb_begin(&raw, 2);
    pb_put_varint(&raw, 1, 1);
    pb_put_varint(&raw, 1, 2);
    pb_put_varint(&raw, 1, UINT64_MAX);
    pb_put_varint(&raw, 1, 0);
    pb_end(&raw, mark);
    mark = pb_begin(&raw, 1);
    pb_put_i64(&raw, 1, -1);
    pb_end(&raw, mark);
    assert_int_equal(pprof_decode(&p, buf_view(&raw), 0, arena, NULL), 0);
    assert_int_equal(p.locations[0].mapping, PPROF_NONE);
    assert_true(p.locations[0].has_mapping);
    assert_int_equal(p.lines[0].function, PPROF_NONE);
    assert_int_equal(p.frame_count, 4);
    assert_int_equal(p.frames[0], 0);
    for (uint32_t i = 1; i < 4; i++)
        assert_int_equal(p.frames[i], PPROF_NONE);
    assert_int_equal(p.types[0].type, PPROF_NONE);
    assert_int_equal(p.odd_sample, 0);
    buf_reset(&raw);
}

static void of_equal_ids_the_last_counts(void **state)
{
    (void)state;
    struct buf raw = {0};
    struct pprof p;
    for (uint64_t i = 0; i < 2; i++) {
        size_t mark = pb_begin(&raw, 4);
        pb_put_varint(&raw, 1, 7);
        pb_put_varint(&raw, 3, 100 + i);
        pb_end(&raw, mark);
    }
    size_t mark = pb_begin(&raw, 2);
    pb_put_varint(&raw, 1, 7);
    pb_end(&raw, mark);
    assert_int_equal(pprof_decode(&p, buf_view(&raw), 0, arena, NULL), 0);
    assert_int_equal(p.locations[p.frames[0]].address, 101);
    buf_reset(&raw);
}

static void a_wrong_number_of_values_is_noted(void **state)
{
    (void)state;
    struct pprof p;
    pprof_build_type(&build, "a", "b");
    pprof_build_sample(&build, "x", "1", NULL);
    pprof_build_sample(&build, "x", "1 2", NULL);
    pprof_build_sample(&build, "x", "", NULL);
    assert_int_equal(pprof_decode(&p, pprof_build_finish(&build), 0, arena, NULL), 0);
    assert_int_equal(p.odd_sample, 1);
}

static void function_ids_can_be_taken_from_locations(void **state)
{
    (void)state;
    struct buf raw = {0};
    struct pprof p;
    for (uint64_t i = 1; i <= 2; i++) {
        size_t mark = pb_begin(&raw, 4);
        pb_put_varint(&raw, 1, i);
        size_t line = pb_begin(&raw, 4);
        pb_put_varint(&raw, 1, i);
        pb_end(&raw, line);
        pb_end(&raw, mark);
        mark = pb_begin(&raw, 5);
        pb_put_varint(&raw, 2, i);
        pb_end(&raw, mark);
    }
    assert_int_equal(pprof_decode(&p, buf_view(&raw), 0, arena, NULL), 0);
    assert_int_equal(p.lines[0].function, PPROF_NONE);
    assert_int_equal(pprof_decode(&p, buf_view(&raw), PPROF_FIX_FUNCTION_IDS, arena, NULL), 0);
    assert_int_equal(p.lines[1].function, 1);
    assert_int_equal(p.functions[1].id, 2);
    buf_reset(&raw);
}

static void every_cut_is_an_error_or_a_shorter_profile(void **state)
{
    (void)state;
    struct str raw = sample_file();
    unsigned refused = 0;
    for (size_t n = 0; n <= raw.len; n++) {
        struct pprof p;
        struct err err = {0};
        char *exact = mem_dup(raw.data, n); /* so that a read past the end is seen */
        arena_reset(arena);
        int rc = pprof_decode(&p, str_of(exact, n), 0, arena, &err);
        if (rc != 0) {
            assert_int_equal(rc, ERR_PARSE);
            assert_non_null(strstr(err.msg, " at offset "));
            refused++;
        }
        mem_free(exact);
    }
    assert_true(refused > raw.len / 2);
}

static void long_and_overlong_varints_are_told_apart(void **state)
{
    (void)state;
    struct pprof p;
    /* time_nanos in ten bytes: -1; padded 1; then one byte too many, and one bit too many. */
    assert_int_equal(
        pprof_decode(&p, STR("\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0, arena, NULL),
        0);
    assert_int_equal(p.time_ns, -1);
    assert_int_equal(pprof_decode(&p, STR("\x48\x81\x80\x80\x00\x50\x05"), 0, arena, NULL), 0);
    assert_int_equal(p.time_ns, 1);
    assert_int_equal(p.duration_ns, 5);
    assert_int_equal(
        pprof_decode(&p, STR("\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), 0, arena, NULL),
        ERR_PARSE);
    assert_int_equal(pprof_decode(&p, STR("\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x80\x01"),
                                  0, arena, NULL),
                     ERR_PARSE);
}

static void varints_of_every_length_are_read_anywhere(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        for (unsigned padding = 0; padding < 12; padding += 11) {
            struct buf raw = {0};
            struct pprof p;
            int64_t v = (int64_t)(((uint64_t)1 << shift) | 1);
            pb_put_i64(&raw, 9, v);
            if (padding > 0) /* so that the wide read is taken */
                pb_put_bytes(&raw, 99, STR("0123456789"));
            assert_int_equal(pprof_decode(&p, buf_view(&raw), 0, arena, NULL), 0);
            assert_int_equal(p.time_ns, v);
            buf_reset(&raw);
        }
    }
}

/* A few numbers as fields 1 to 5 of a message, rising, mostly; of all lengths. */
static void put_numbers(struct buf *out, struct rng *rng)
{
    bool rising = !rng_chance(rng, 1, 8);
    for (uint32_t i = 1; i <= 5; i++)
        if (rng_chance(rng, 3, 4))
            pb_put_varint(out, rising ? i : 1 + (uint32_t)rng_below(rng, 5),
                          rng_u64(rng) >> (rng_chance(rng, 3, 4) ? 50 : 0) >> rng_below(rng, 14));
}

/* A message of any kind; with `plain` set it begins with a field that nobody knows, behind which
 * only the general way goes on. The numbers are the same either way. */
static void put_message(struct buf *out, struct rng *rng, bool plain)
{
    uint32_t number = (uint32_t[]){2, 4, 5}[rng_below(rng, 3)];
    size_t at = pb_begin(out, number);
    if (plain)
        pb_put_varint(out, 30, 1);
    if (number != 2)
        put_numbers(out, rng);
    for (uint64_t n = rng_below(rng, 4); n > 0 && number != 5; n--) {
        size_t inside = pb_begin(out, number == 2 ? 3 : 4);
        if (plain)
            pb_put_varint(out, 30, 1);
        put_numbers(out, rng);
        pb_end(out, inside);
    }
    if (number == 4 && rng_chance(rng, 1, 2))
        pb_put_varint(out, 2, rng_below(rng, 300));
    pb_end(out, at);
}

static struct buf messages(uint64_t seed, bool plain)
{
    struct buf out = {0};
    struct rng rng;
    rng_seed(&rng, seed);
    for (unsigned i = 0; i < 40; i++)
        put_message(&out, &rng, plain);
    return out;
}

/* The quick ways through messages whose fields come in the usual order take the same from them
 * as the general way. */
static void the_quick_ways_read_what_the_general_one_reads(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct buf quick = messages(seed, false), plain = messages(seed, true);
        struct pprof p, q;
        assert_int_equal(pprof_decode(&p, buf_view(&quick), 0, arena, NULL), 0);
        assert_int_equal(pprof_decode(&q, buf_view(&plain), 0, arena, NULL), 0);
        assert_int_equal(p.function_count, q.function_count);
        for (uint32_t i = 0; i < p.function_count; i++) {
            assert_int_equal(p.functions[i].id, q.functions[i].id);
            assert_int_equal(p.functions[i].name, q.functions[i].name);
            assert_int_equal(p.functions[i].system_name, q.functions[i].system_name);
            assert_int_equal(p.functions[i].file, q.functions[i].file);
            assert_int_equal(p.functions[i].start_line, q.functions[i].start_line);
        }
        assert_int_equal(p.location_count, q.location_count);
        for (uint32_t i = 0; i < p.location_count; i++) {
            assert_int_equal(p.locations[i].id, q.locations[i].id);
            assert_int_equal(p.locations[i].address, q.locations[i].address);
            assert_int_equal(p.locations[i].has_mapping, q.locations[i].has_mapping);
            assert_int_equal(p.locations[i].folded, q.locations[i].folded);
            assert_int_equal(p.locations[i].first_line, q.locations[i].first_line);
            assert_int_equal(p.locations[i].line_count, q.locations[i].line_count);
        }
        assert_int_equal(p.line_count, q.line_count);
        for (uint32_t i = 0; i < p.line_count; i++) {
            assert_int_equal(p.lines[i].function, q.lines[i].function);
            assert_int_equal(p.lines[i].line, q.lines[i].line);
        }
        assert_int_equal(p.label_count, q.label_count);
        for (uint32_t i = 0; i < p.label_count; i++) {
            assert_int_equal(p.labels[i].key, q.labels[i].key);
            assert_int_equal(p.labels[i].text, q.labels[i].text);
        }
        buf_reset(&quick);
        buf_reset(&plain);
        arena_reset(arena);
    }
}

static void random_damage_never_goes_out_of_bounds(void **state)
{
    (void)state;
    struct rng rng;
    struct str raw = sample_file();
    char *copy = mem_dup(raw.data, raw.len);
    rng_seed(&rng, 3);
    for (unsigned i = 0; i < 20000; i++) {
        struct pprof p;
        memcpy(copy, raw.data, raw.len);
        for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--)
            copy[rng_below(&rng, raw.len)] = (char)rng_u32(&rng);
        arena_reset(arena);
        if (pprof_decode(&p, str_of(copy, raw.len), 0, arena, NULL) != 0)
            continue;
        for (uint32_t k = 0; k < p.frame_count; k++)
            assert_true(p.frames[k] == PPROF_NONE || p.frames[k] < p.location_count);
        for (uint32_t k = 0; k < p.sample_count; k++)
            assert_true(p.samples[k].first_frame + p.samples[k].frame_count <= p.frame_count);
    }
    mem_free(copy);
}

static void running_out_of_memory_is_an_error_anywhere(void **state)
{
    (void)state;
    build.sparse_ids = true;
    struct str raw = sample_file();
    for (uint64_t n = 1;; n++) {
        struct pprof p;
        arena_free(&arena);
        assert_int_equal(arena_init(&arena, 16, NULL), 0);
        mem_fail_at(n);
        int rc = pprof_decode(&p, raw, 0, arena, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        if (over)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(a_profile_is_read_as_it_is),
        T(ids_may_be_any_numbers),
        T(numbers_may_come_one_by_one),
        T(unknown_fields_and_groups_are_skipped),
        T(tables_may_stand_between_samples),
        T(references_to_nothing_are_marked),
        T(of_equal_ids_the_last_counts),
        T(a_wrong_number_of_values_is_noted),
        T(function_ids_can_be_taken_from_locations),
        T(every_cut_is_an_error_or_a_shorter_profile),
        T(long_and_overlong_varints_are_told_apart),
        T(varints_of_every_length_are_read_anywhere),
        T(the_quick_ways_read_what_the_general_one_reads),
        T(random_damage_never_goes_out_of_bounds),
        T(running_out_of_memory_is_an_error_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
