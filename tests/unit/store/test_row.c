/* A row gives back what went in, equal stacks added up, spans kept apart. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "store/row.h"

enum { NODES = 600, MAX = 700 };

/* A profile over made-up nodes, and the sums that it must give by stack. */
struct made {
    uint32_t nodes[MAX], map[MAX + 1];
    struct buf columns[2], spans;
    struct form_profile p;
    uint64_t sums[2][NODES], spanned[NODES];
};

static void make(struct made *m, uint64_t seed, uint32_t n, bool proportional, bool spans)
{
    struct rng rng;
    memset(m, 0, sizeof *m);
    rng_seed(&rng, seed);
    if (spans) {
        buf_varint(&m->spans, 2);
        for (unsigned i = 0; i < 2; i++) {
            buf_u64le(&m->spans, 100 + i);
            buf_put(&m->spans, "0123456789abcdef", 16);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        m->nodes[i] = i + 1;
        m->map[i + 1] = (uint32_t)rng_below(&rng, NODES - 1) + 1; /* many become equal */
        uint64_t v = rng_chance(&rng, 1, 2) ? rng_below(&rng, 100) : rng_u64(&rng) >> 30;
        uint64_t w = proportional ? v * 7 : rng_below(&rng, 5000);
        unsigned span = (unsigned)rng_below(&rng, 3);
        buf_varint(&m->columns[0], v);
        buf_varint(&m->columns[1], w);
        if (spans)
            buf_varint(&m->spans, span);
        m->sums[0][m->map[i + 1]] += v;
        m->sums[1][m->map[i + 1]] += w;
        m->spanned[m->map[i + 1]] += spans && span == 2 ? v : 0;
    }
    m->p = (struct form_profile){.member_count = 2, .time_ns = 77, .nonce = 5, .duration_ns = 8,
                                 .period = 9, .seq = 3, .samples = n, .nodes = m->nodes};
    m->p.columns[0].bytes = buf_view(&m->columns[0]);
    m->p.columns[1] = proportional
                          ? (struct form_column){.proportional = true, .factor = 7}
                          : (struct form_column){.bytes = buf_view(&m->columns[1])};
    m->p.spans = buf_view(&m->spans);
}

static void made_reset(struct made *m)
{
    buf_reset(&m->columns[0]);
    buf_reset(&m->columns[1]);
    buf_reset(&m->spans);
}

static int add_spanned(void *arg, uint32_t stack, uint64_t span, uint64_t value)
{
    uint64_t *sums = arg;
    sums[stack] += span == 101 ? value : 0;
    return 0;
}

static int add_bounded(void *arg, uint32_t stack, uint64_t span, uint64_t value)
{
    return stack < NODES ? add_spanned(arg, stack, span, value) : ERR_CORRUPT;
}

static void check(const struct made *m, struct str bytes, const struct row_put *put, bool spans)
{
    struct row r;
    assert_int_equal(row_open(bytes, 2, &r), 0);
    assert_int_equal(r.time_ns, 77);
    assert_int_equal(r.nonce, 5);
    assert_int_equal(r.duration_ns, 8);
    assert_int_equal(r.period, 9);
    assert_int_equal(r.stream, 11);
    assert_int_equal(r.lane, 12);
    assert_int_equal(r.seq, 3);
    assert_int_equal(r.samples, put->samples);
    uint32_t distinct = 0;
    for (unsigned k = 0; k < 2; k++) {
        uint64_t sums[NODES] = {0}, total = 0, expected = 0;
        assert_int_equal(row_add(&r, k, sums, NODES), 0);
        assert_memory_equal(sums, m->sums[k], sizeof sums);
        assert_int_equal(row_total(&r, k, &total), 0);
        for (unsigned i = 0; i < NODES; i++)
            expected += m->sums[k][i];
        assert_int_equal(total, expected);
        assert_int_equal(put->totals[k], expected);
    }
    for (uint32_t i = 1; i <= m->p.samples && !spans; i++) {
        bool before = false;
        for (uint32_t j = 1; j < i; j++)
            before = before || m->map[j] == m->map[i];
        distinct += !before;
    }
    if (!spans)
        assert_int_equal(r.samples, distinct);
    uint64_t spanned[NODES] = {0};
    assert_int_equal(row_each(&r, 0, add_spanned, spanned), 0);
    assert_memory_equal(spanned, m->spanned, sizeof spanned);
}

static void a_row_gives_back_what_went_in(void **state)
{
    (void)state;
    static struct made m;
    static const uint32_t sizes[] = {0, 1, 2, 7, 100, 255, 256, 257, MAX};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes * 4; i++) {
        struct arena *a = NULL;
        struct buf out = {0};
        struct row_put put;
        bool spans = i % 4 >= 2;
        make(&m, i, sizes[i / 4], i % 2 == 1, spans);
        assert_int_equal(arena_init(&a, 0, NULL), 0);
        assert_int_equal(row_put(&m.p, m.map, 11, 12, a, &out, &put), 0);
        check(&m, buf_view(&out), &put, spans);
        for (size_t cut = 0; cut < out.size; cut += 1 + out.size / 100) {
            struct row r;
            assert_int_equal(row_open(str_of(out.data, cut), 2, &r), ERR_CORRUPT);
        }
        struct row r; /* fewer nodes than the row names */
        uint64_t sums[NODES] = {0};
        assert_int_equal(row_open(buf_view(&out), 2, &r), 0);
        if (put.samples > 0)
            assert_int_equal(row_add(&r, 0, sums, 1), ERR_CORRUPT);
        buf_reset(&out);
        arena_free(&a);
        made_reset(&m);
    }
}

static void turned_bits_never_reach_outside(void **state)
{
    (void)state;
    static struct made m;
    struct arena *a = NULL;
    struct buf out = {0};
    struct row_put put;
    make(&m, 9, 60, false, true);
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(row_put(&m.p, m.map, 11, 12, a, &out, &put), 0);
    unsigned refused = 0;
    for (size_t at = 0; at < out.size * 8; at++) {
        struct row r;
        uint64_t sums[NODES] = {0}, total;
        out.data[at / 8] ^= (uint8_t)(1u << at % 8);
        uint8_t *copy = mem_dup(out.data, out.size); /* exactly as long, for the sanitizer */
        if (row_open(str_of(copy, out.size), 2, &r) != 0) {
            refused++;
        } else {
            (void)row_add(&r, 0, sums, NODES);
            (void)row_total(&r, 1, &total);
            (void)row_each(&r, 1, add_bounded, sums);
        }
        mem_free(copy);
        out.data[at / 8] ^= (uint8_t)(1u << at % 8);
    }
    assert_true(refused > 10);
    buf_reset(&out);
    arena_free(&a);
    made_reset(&m);
}

static void a_total_above_the_limit_is_refused(void **state)
{
    (void)state;
    struct arena *a = NULL;
    struct buf column = {0}, out = {0};
    const uint32_t nodes[] = {1, 2}, map[] = {0, 4, 4};
    struct row_put put;
    buf_varint(&column, INT64_MAX);
    buf_varint(&column, 1);
    struct form_profile p = {.member_count = 1, .seq = 1, .samples = 2, .nodes = nodes};
    p.columns[0].bytes = buf_view(&column);
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(row_put(&p, map, 0, 0, a, &out, &put), ERR_LIMIT);
    arena_free(&a);
    buf_reset(&column);
    buf_reset(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_gives_back_what_went_in),
        cmocka_unit_test(turned_bits_never_reach_outside),
        cmocka_unit_test(a_total_above_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
