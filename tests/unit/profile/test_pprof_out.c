/* Profiles are put together and merged without losing or doubling a stack. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/pprof_out.h"

#include "base/mem.h"
#include "base/rng.h"
#include "profile.msg.h"
#include "wire/msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct pprof_head head = {STR_INIT("cpu"),
                                       STR_INIT("nanoseconds"),
                                       STR_INIT("cpu"),
                                       STR_INIT("nanoseconds"),
                                       5000,
                                       1000,
                                       1000000000};

static struct pprof_out *new_out(void)
{
    struct pprof_out *p = NULL;
    assert_int_equal(pprof_out_init(&p, NULL), 0);
    return p;
}

/* A location of one function per "|"-separated name, innermost first. */
static int location(struct pprof_out *p, struct str names, uint32_t *id)
{
    struct pprof_line lines[4];
    size_t n = 0;
    struct str part;
    struct pprof_mapping m = {.start = 4096, .limit = 8192, .has_functions = true};
    uint32_t mapping;
    int rc = pprof_out_string(p, STR("/bin/x"), &m.file);
    if (rc == 0)
        rc = pprof_out_mapping(p, &m, &mapping);
    while (rc == 0 && str_cut(&names, '|', &part)) {
        struct pprof_function f = {.start_line = (int64_t)part.len};
        rc = pprof_out_string(p, part, &f.name);
        if (rc == 0)
            rc = pprof_out_string(p, STR("x.c"), &f.file);
        if (rc == 0)
            rc = pprof_out_function(p, &f, &lines[n].function);
        lines[n++].line = 7;
    }
    return rc != 0 ? rc : pprof_out_location(p, mapping, 0, false, lines, n, id);
}

/* "leaf;..;root" */
static int add(struct pprof_out *p, const char *stack, uint64_t value)
{
    uint32_t ids[16];
    size_t n = 0;
    struct str rest = str_c(stack), part;
    int rc = 0;
    while (rc == 0 && str_cut(&rest, ';', &part))
        rc = location(p, part, &ids[n++]);
    return rc != 0 ? rc : pprof_out_sample(p, ids, n, value);
}

static struct buf emitted(struct pprof_out *p)
{
    struct buf b = {0};
    assert_int_equal(pprof_out_emit(p, &head, &b), 0);
    return b;
}

static const struct google_v1_function *function_of(const struct google_v1_profile *p,
                                                    uint64_t id)
{
    for (size_t i = 0; i < p->function_count; i++)
        if (p->function[i].id == id)
            return &p->function[i];
    fail_msg("no function %llu", (unsigned long long)id);
    return NULL;
}

static const struct google_v1_location *location_of(const struct google_v1_profile *p,
                                                    uint64_t id)
{
    for (size_t i = 0; i < p->location_count; i++)
        if (p->location[i].id == id)
            return &p->location[i];
    fail_msg("no location %llu", (unsigned long long)id);
    return NULL;
}

/* The samples as text, in order: "a;b|c=5 ..." */
static char *text_of(const struct google_v1_profile *p)
{
    static struct buf b;
    buf_clear(&b);
    for (size_t i = 0; i < p->sample_count; i++) {
        for (size_t k = 0; k < p->sample[i].location_id_count; k++) {
            const struct google_v1_location *l = location_of(p, p->sample[i].location_id[k]);
            buf_c(&b, k == 0 ? (i == 0 ? "" : " ") : ";");
            for (size_t n = 0; n < l->line_count; n++) {
                const struct google_v1_function *f = function_of(p, l->line[n].function_id);
                buf_printf(&b, "%s%.*s", n == 0 ? "" : "|", STR_ARG(p->string_table[f->name]));
            }
        }
        assert_int_equal(p->sample[i].value_count, 1);
        buf_printf(&b, "=%lld", (long long)p->sample[i].value[0]);
    }
    buf_u8(&b, 0);
    return (char *)b.data;
}

static struct google_v1_profile *decoded(const struct buf *b, struct arena *a)
{
    struct google_v1_profile *p = arena_zalloc(a, sizeof *p);
    assert_int_equal(msg_decode(&google_v1_profile_msg, p, buf_view(b), a, NULL, NULL), 0);
    return p;
}

static void stacks_come_out_by_value_with_only_what_they_reach(void **state)
{
    (void)state;
    struct pprof_out *p = new_out();
    struct arena *a = NULL;
    uint32_t unused;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(add(p, "leaf;main", 3), 0);
    assert_int_equal(add(p, "in|out;main", 9), 0);
    assert_int_equal(add(p, "leaf;main", 4), 0);
    assert_int_equal(add(p, "never;main", 0), 0);
    assert_int_equal(location(p, STR("unreached"), &unused), 0);
    struct buf b = emitted(p);
    const struct google_v1_profile *m = decoded(&b, a);
    assert_string_equal(text_of(m), "in|out;main=9 leaf;main=7");
    assert_int_equal(pprof_out_count(p), 2);
    assert_int_equal(m->function_count, 4);
    assert_int_equal(m->location_count, 3);
    assert_int_equal(m->mapping_count, 1);
    assert_int_equal(m->mapping[0].memory_limit, 8192);
    assert_true(m->mapping[0].has_functions && !m->mapping[0].has_filenames);
    assert_int_equal(m->string_table[0].len, 0);
    assert_int_equal(m->string_table_count, 1 + 2 + 4 + 2);
    assert_int_equal(m->sample_type_count, 1);
    assert_true(str_eq(m->string_table[m->sample_type[0].type], STR("cpu")));
    assert_true(str_eq(m->string_table[m->sample_type[0].unit], STR("nanoseconds")));
    assert_true(str_eq(m->string_table[m->period_type->type], STR("cpu")));
    assert_int_equal(m->time_nanos, 5000);
    assert_int_equal(m->duration_nanos, 1000);
    assert_int_equal(m->period, 1000000000);
    assert_int_equal(m->function[0].start_line, 2);
    buf_reset(&b);
    arena_free(&a);
    pprof_out_free(&p);
}

static void nothing_is_the_empty_profile(void **state)
{
    (void)state;
    struct pprof_out *p = new_out();
    struct buf b = emitted(p);
    assert_int_equal(b.size, 0);
    assert_int_equal(pprof_out_merge(p, buf_view(&b), NULL), 0);
    assert_int_equal(pprof_out_cut(p, 1), 0);
    assert_int_equal(pprof_out_count(p), 0);
    pprof_out_free(&p);
    assert_int_equal(pprof_out_period(STR("process_cpu")), 1000000000);
    assert_int_equal(pprof_out_period(STR("memory")), 524288);
    assert_int_equal(pprof_out_period(STR("wall")), 1);
}

static void random_stack(struct rng *r, char out[100])
{
    size_t at = 0;
    for (uint64_t n = 1 + rng_below(r, 6); n > 0; n--) {
        at += (size_t)snprintf(out + at, 100 - at, "%sf%u", at == 0 ? "" : ";",
                               (unsigned)rng_below(r, 6));
        if (rng_chance(r, 1, 5))
            at += (size_t)snprintf(out + at, 100 - at, "|g%u", (unsigned)rng_below(r, 3));
    }
}

static void merged_parts_are_the_same_bytes_as_the_whole_in_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        struct pprof_out *whole = new_out(), *merged = new_out();
        struct pprof_out *part[3] = {new_out(), new_out(), new_out()};
        for (uint64_t n = rng_below(&r, 120); n > 0; n--) {
            char stack[100];
            random_stack(&r, stack);
            uint64_t value = rng_below(&r, 20);
            assert_int_equal(add(whole, stack, value), 0);
            assert_int_equal(add(part[rng_below(&r, 3)], stack, value), 0);
        }
        for (int i = 2; i >= 0; i--) {
            struct buf b = emitted(part[i]);
            assert_int_equal(pprof_out_merge(merged, buf_view(&b), NULL), 0);
            buf_reset(&b);
            pprof_out_free(&part[i]);
        }
        struct buf want = emitted(whole), got = emitted(merged);
        assert_int_equal(got.size, want.size);
        if (got.size > 0)
            assert_memory_equal(got.data, want.data, want.size);
        buf_reset(&want);
        buf_reset(&got);
        pprof_out_free(&whole);
        pprof_out_free(&merged);
    }
}

/* Merge the message; its bytes stay in *in. */
static int merge(struct pprof_out *p, const struct google_v1_profile *m, struct buf *in,
                 struct err *e)
{
    buf_clear(in);
    msg_encode(&google_v1_profile_msg, m, in);
    return pprof_out_merge(p, buf_view(in), e);
}

static void any_numbering_and_order_of_fields_is_read(void **state)
{
    (void)state;
    struct str strings[] = {STR(""), STR("cpu"), STR("ns"), STR("a"), STR("b")};
    struct google_v1_value_type type = {1, 2};
    struct google_v1_function functions[] = {{.id = 900, .name = 3}, {.id = 5, .name = 4}};
    struct google_v1_line lines[] = {{900, 1}, {5, 2}};
    struct google_v1_location locations[] = {{.id = 77, .line = lines, .line_count = 1},
                                             {.id = 3, .line = lines + 1, .line_count = 1}};
    uint64_t ids[] = {77, 3};
    int64_t value = 6;
    struct google_v1_sample sample = {
        .location_id = ids, .location_id_count = 2, .value = &value, .value_count = 1};
    struct google_v1_profile m = {.sample_type = &type,
                                  .sample_type_count = 1,
                                  .sample = &sample,
                                  .sample_count = 1,
                                  .location = locations,
                                  .location_count = 2,
                                  .function = functions,
                                  .function_count = 2,
                                  .string_table = strings,
                                  .string_table_count = 5};
    struct pprof_out *p = new_out();
    struct arena *a = NULL;
    struct buf in = {0};
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(merge(p, &m, &in, NULL), 0);
    assert_int_equal(merge(p, &m, &in, NULL), 0);
    struct buf out = emitted(p);
    assert_string_equal(text_of(decoded(&out, a)), "a;b=12");

    struct err e = {0};
    ids[1] = 4;
    assert_int_equal(merge(p, &m, &in, &e), ERR_PARSE);
    assert_string_equal(e.msg, "pprof: sample with a location that is not there");
    ids[1] = 3;
    lines[1].function_id = 0;
    assert_int_equal(merge(p, &m, &in, &e), ERR_PARSE);
    lines[1].function_id = 5;
    functions[1].name = 5;
    assert_int_equal(merge(p, &m, &in, &e), ERR_PARSE);
    assert_string_equal(e.msg, "pprof: string index out of range");
    functions[1].name = -1;
    assert_int_equal(merge(p, &m, &in, &e), ERR_PARSE);
    functions[1].name = 0;
    locations[0].mapping_id = 1;
    assert_int_equal(merge(p, &m, &in, &e), ERR_PARSE);
    locations[0].mapping_id = 0;
    value = -1;
    assert_int_equal(merge(p, &m, &in, &e), ERR_PARSE);
    sample.value_count = 0;
    assert_int_equal(merge(p, &m, &in, &e), ERR_PARSE);
    for (size_t cut = 1; cut < out.size;
         cut++) /* no crash; an end between fields is a profile */
        (void)pprof_out_merge(p, str_of(out.data, cut), &e);
    buf_reset(&in);
    buf_reset(&out);
    arena_free(&a);
    pprof_out_free(&p);
}

static void a_cut_stack_ends_in_other_and_no_value_is_lost(void **state)
{
    (void)state;
    struct pprof_out *p = new_out();
    struct arena *a = NULL;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(add(p, "x;a;main", 10), 0);
    assert_int_equal(add(p, "y;a;main", 3), 0);
    assert_int_equal(add(p, "z;a;main", 2), 0);
    assert_int_equal(add(p, "b", 4), 0);
    assert_int_equal(add(p, "deep;c", 1), 0);
    assert_int_equal(pprof_out_cut(p, 8), 0); /* it has 8 nodes */
    assert_int_equal(pprof_out_count(p), 5);
    /* Totals: main 15, a 15, x 10, b 4, y 3, z 2, c 1, deep 1. */
    assert_int_equal(pprof_out_cut(p, 4), 0);
    struct buf b = emitted(p);
    assert_string_equal(text_of(decoded(&b, a)), "x;a;main=10 other;a;main=5 b=4 other=1");
    buf_reset(&b);
    arena_free(&a);
    pprof_out_free(&p);
}

static int build_all(struct mem_account *account)
{
    struct pprof_out *p = NULL, *q = NULL;
    struct buf b = {0};
    int rc = pprof_out_init(&p, account);
    if (rc == 0)
        rc = pprof_out_init(&q, account);
    for (int i = 0; i < 100 && rc == 0; i++) {
        char stack[40];
        snprintf(stack, sizeof stack, "leaf%d;mid%d;main", i, i / 3);
        rc = add(p, stack, (uint64_t)i);
    }
    if (rc == 0)
        rc = pprof_out_emit(p, &head, &b);
    if (rc == 0)
        rc = pprof_out_merge(q, buf_view(&b), NULL);
    if (rc == 0)
        rc = pprof_out_cut(q, 5);
    buf_reset(&b);
    pprof_out_free(&p);
    pprof_out_free(&q);
    return rc;
}

static void running_out_of_memory_or_budget_is_an_error_and_gives_all_back(void **state)
{
    (void)state;
    struct mem_account account;
    for (uint64_t n = 1;; n++) {
        mem_account_init(&account, NULL, "test", 0);
        mem_fail_at(n);
        int rc = build_all(&account);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, pending ? 0 : ERR_NOMEM);
        assert_int_equal(account.used, 0);
        if (pending)
            break;
    }
    uint64_t peak = account.peak;
    for (uint64_t limit = 1; limit < peak; limit += 997) {
        mem_account_init(&account, NULL, "test", limit);
        int rc = build_all(&account);
        assert_true(rc == ERR_LIMIT ||
                    rc == ERR_NOMEM); /* an arena says "no memory" for both */
        assert_int_equal(account.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_come_out_by_value_with_only_what_they_reach),
        cmocka_unit_test(nothing_is_the_empty_profile),
        cmocka_unit_test(merged_parts_are_the_same_bytes_as_the_whole_in_any_order),
        cmocka_unit_test(any_numbering_and_order_of_fields_is_read),
        cmocka_unit_test(a_cut_stack_ends_in_other_and_no_value_is_lost),
        cmocka_unit_test(running_out_of_memory_or_budget_is_an_error_and_gives_all_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
