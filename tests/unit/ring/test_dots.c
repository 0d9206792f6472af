/* Sets of dots: every operation agrees with a plain bitmap, messages round-trip and hostile ones
 * are refused, and a vector that is cut stays consistent with its aliases. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/dots.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

enum { SPAN = 96, LANES = 6 };

static const uint8_t W1[WRITER_SIZE] = {1}, W2[WRITER_SIZE] = {2};
static const struct str ABC[] = {STR_INIT("a"), STR_INIT("b"), STR_INIT("c")};
static const struct str BA[] = {STR_INIT("b"), STR_INIT("a")};

static struct lane_name lane(const uint8_t *writer, const struct str *set, uint32_t count)
{
    return (struct lane_name){writer, set, count};
}

/* --- seqset against a bitmap --------------------------------------------------------------- */

static void check(const struct seqset *s, const bool *bits)
{
    uint64_t size = 0;
    for (uint32_t i = 1; i < SPAN; i++) {
        assert_int_equal(seqset_has(s, i), bits[i]);
        size += bits[i];
    }
    assert_int_equal(seqset_size(s), size);
    for (uint32_t i = 0; i < s->count; i++) {
        assert_true(s->runs[i].first >= 1 && s->runs[i].first <= s->runs[i].last);
        assert_true(i == 0 || s->runs[i].first > s->runs[i - 1].last + 1);
    }
}

static void fill(struct rng *r, struct seqset *s, bool *bits)
{
    memset(bits, 0, SPAN);
    for (uint64_t n = rng_below(r, 12); n > 0; n--) {
        uint32_t first = 1 + (uint32_t)rng_below(r, SPAN - 1);
        uint32_t last = first + (uint32_t)rng_below(r, rng_chance(r, 1, 4) ? SPAN - first : 3);
        last = last < SPAN ? last : SPAN - 1;
        assert_int_equal(seqset_add(s, first, last), 0);
        for (uint32_t i = first; i <= last; i++)
            bits[i] = true;
        check(s, bits);
    }
}

static void questions_about_stretches(const struct seqset *s, const bool *bits, struct rng *r)
{
    uint32_t first = 1 + (uint32_t)rng_below(r, SPAN - 1);
    uint32_t last = first + (uint32_t)rng_below(r, SPAN - first);
    bool all = true, any = false;
    for (uint32_t i = first; i <= last; i++) {
        all = all && bits[i];
        any = any || bits[i];
    }
    assert_int_equal(seqset_has_all(s, first, last), all);
    assert_int_equal(seqset_meets(s, first, last), any);
}

static void set_algebra_agrees_with_a_bitmap(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    for (int round = 0; round < 4000; round++) {
        struct seqset a = {0}, b = {0}, c = {0};
        bool x[SPAN], y[SPAN], z[SPAN];
        fill(&r, &a, x);
        fill(&r, &b, y);
        questions_about_stretches(&a, x, &r);
        assert_int_equal(seqset_copy(&c, &a), 0);
        uint64_t op = rng_below(&r, 3);
        if (op == 0)
            assert_int_equal(seqset_union(&c, &b), 0);
        else if (op == 1)
            assert_int_equal(seqset_minus(&c, &b), 0);
        else
            assert_int_equal(seqset_and(&c, &b), 0);
        for (int i = 0; i < SPAN; i++)
            z[i] = op == 0 ? x[i] || y[i] : op == 1 ? x[i] && !y[i] : x[i] && y[i];
        check(&c, z);
        check(&a, x);
        seqset_reset(&a);
        seqset_reset(&b);
        seqset_reset(&c);
    }
}

static void the_last_number_there_is_can_be_added(void **state)
{
    (void)state;
    struct seqset s = {0}, t = {0};
    assert_int_equal(seqset_add(&s, UINT32_MAX, UINT32_MAX), 0);
    assert_int_equal(seqset_add(&s, 1, 1), 0);
    assert_int_equal(seqset_add(&s, 2, UINT32_MAX), 0);
    assert_int_equal(s.count, 1);
    assert_int_equal(seqset_size(&s), UINT32_MAX);
    assert_int_equal(seqset_add(&t, 5, UINT32_MAX), 0);
    assert_int_equal(seqset_minus(&s, &t), 0);
    assert_int_equal(seqset_size(&s), 4);
    seqset_reset(&s);
    seqset_reset(&t);
}

static void seqsets_round_trip_and_leave_what_is_behind_them(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 8);
    for (int round = 0; round < 500; round++) {
        struct seqset a = {0}, b = {0};
        bool x[SPAN];
        struct buf out = {0};
        fill(&r, &a, x);
        seqset_encode(&a, &out);
        buf_c(&out, "rest");
        struct str in = buf_view(&out);
        assert_int_equal(seqset_decode(&b, &in, 100), 0);
        assert_true(str_eq(in, STR("rest")));
        check(&b, x);
        seqset_reset(&a);
        seqset_reset(&b);
        buf_reset(&out);
    }
}

static void only_canonical_seqsets_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        uint32_t runs_max;
        int rc;
    } cases[] = {
        {"\x00", 1, 0, 0},
        {"\x01\x00\x00", 3, 1, 0},
        {"\x02\x00\x00\x01\x00", 5, 2, 0},
        {"\x02\x00\x00\x01\x00", 5, 1, ERR_LIMIT},
        {"\x02\x00\x00\x00\x00", 5, 2, ERR_PARSE},                       /* they touch */
        {"\x01\x80\x00\x00", 4, 2, ERR_PARSE},                           /* long form */
        {"\x01\x00", 2, 2, ERR_PARSE},                                   /* cut short */
        {"", 0, 2, ERR_PARSE},                                           /* nothing */
        {"\x01\xff\xff\xff\xff\x0f\x00", 7, 2, ERR_PARSE},               /* first 2^32 */
        {"\x01\xfe\xff\xff\xff\x0f\x00", 7, 2, 0},                       /* 2^32 - 1 */
        {"\x01\xfe\xff\xff\xff\x0f\x01", 7, 2, ERR_PARSE},               /* its last is beyond */
        {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", 12, 2, ERR_PARSE},
        {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00", 12, 2, ERR_PARSE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seqset s = {0};
        struct str in = str_of(cases[i].bytes, cases[i].size);
        assert_int_equal(seqset_decode(&s, &in, cases[i].runs_max), cases[i].rc);
        if (cases[i].rc != 0) {
            assert_null(s.runs);
            assert_int_equal(in.len, cases[i].size);
        }
        seqset_reset(&s);
    }
}

/* --- vectors ------------------------------------------------------------------------------- */

static struct lane_name some_lane(uint64_t i)
{
    static const struct str ids[] = {STR_INIT("in-0"), STR_INIT("in-1"), STR_INIT("in-2"),
                                     STR_INIT("in-0")};
    return lane(i % 2 == 0 ? W1 : W2, ids + i / 2, 2);
}

static struct vector *random_vector(struct rng *r)
{
    struct vector *v = NULL;
    assert_int_equal(vector_init(&v), 0);
    for (uint64_t n = rng_below(r, 20); n > 0; n--) {
        uint32_t i, first = 1 + (uint32_t)rng_below(r, 40);
        assert_int_equal(vector_lane(v, some_lane(rng_below(r, LANES)), &i), 0);
        assert_int_equal(vector_add(v, i, first, first + (uint32_t)rng_below(r, 4)), 0);
    }
    return v;
}

static void vector_algebra_works_lane_by_lane(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 9);
    for (int round = 0; round < 1500; round++) {
        struct vector *a = random_vector(&r), *b = random_vector(&r), *c = NULL;
        bool covers = true, meets = false;
        uint64_t op = rng_below(&r, 3);
        assert_int_equal(vector_copy(&c, a), 0);
        assert_int_equal((op == 0   ? vector_union
                          : op == 1 ? vector_minus
                                    : vector_and)(c, b), 0);
        for (uint64_t l = 0; l < LANES; l++) {
            for (uint32_t seq = 1; seq < 50; seq++) {
                bool x = vector_has(a, some_lane(l), seq), y = vector_has(b, some_lane(l), seq);
                bool z = op == 0 ? x || y : op == 1 ? x && !y : x && y;
                assert_int_equal(vector_has(c, some_lane(l), seq), z);
                covers = covers && (x || !y);
                meets = meets || (x && y);
            }
        }
        assert_int_equal(vector_covers(a, b), covers);
        assert_int_equal(vector_meets(a, b), meets);
        assert_int_equal(vector_is_empty(c), vector_size(c) == 0);
        vector_free(&a);
        vector_free(&b);
        vector_free(&c);
    }
}

static void dots_are_counted_over_vectors(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 13);
    for (int round = 0; round < 400; round++) {
        struct vector *v[5], *out = NULL;
        uint32_t count = (uint32_t)rng_below(&r, 6), need = 1 + (uint32_t)rng_below(&r, 4);
        for (uint32_t i = 0; i < count; i++)
            v[i] = random_vector(&r);
        assert_int_equal(vector_in_at_least((const struct vector *const *)v, count, need, &out),
                         0);
        for (uint64_t l = 0; l < LANES; l++) {
            for (uint32_t seq = 1; seq < 50; seq++) {
                uint32_t in = 0;
                for (uint32_t i = 0; i < count; i++)
                    in += vector_has(v[i], some_lane(l), seq);
                assert_int_equal(vector_has(out, some_lane(l), seq), in >= need);
            }
        }
        for (uint32_t i = 0; i < count; i++)
            vector_free(&v[i]);
        vector_free(&out);
    }
}

static void lanes_are_told_apart_by_the_order_of_their_set(void **state)
{
    (void)state;
    struct vector *v = NULL;
    uint32_t i, j, k;
    assert_int_equal(vector_init(&v), 0);
    assert_int_equal(vector_lane(v, lane(W1, ABC, 2), &i), 0);
    assert_int_equal(vector_lane(v, lane(W1, BA, 2), &j), 0);
    assert_int_equal(vector_lane(v, lane(W2, ABC, 2), &k), 0);
    assert_true(i != j && j != k && i != k);
    assert_int_equal(vector_lane(v, lane(W1, ABC, 0), &i), ERR_INVAL);
    assert_false(vector_find(v, lane(W2, BA, 2), &i));
    assert_true(lane_set_cmp(lane(W1, ABC, 2), lane(W1, ABC, 3)) < 0);
    vector_free(&v);
}

static void equal_vectors_have_equal_bytes_and_round_trip(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 10);
    for (int round = 0; round < 800; round++) {
        struct vector *a = random_vector(&r), *b = NULL, *c = NULL;
        struct buf x = {0}, y = {0};
        bool truncated = false;
        vector_encode(a, round % 2 == 0, &x);
        assert_int_equal(vector_decode(&b, &truncated, buf_view(&x), NULL, NULL), 0);
        assert_int_equal(truncated, round % 2 == 0);
        assert_true(vector_covers(a, b) && vector_covers(b, a));
        assert_int_equal(vector_init(&c), 0);
        for (uint32_t i = vector_count(a); i-- > 0;) { /* the same lanes the other way round */
            uint32_t l;
            assert_int_equal(vector_lane(c, vector_name(a, i), &l), 0);
            for (uint32_t k = 0; k < vector_seqs(a, i)->count; k++)
                assert_int_equal(vector_add(c, l, vector_seqs(a, i)->runs[k].first,
                                            vector_seqs(a, i)->runs[k].last), 0);
        }
        vector_encode(c, round % 2 == 0, &y);
        assert_true(str_eq(buf_view(&x), buf_view(&y)));
        buf_reset(&x);
        buf_reset(&y);
        vector_free(&a);
        vector_free(&b);
        vector_free(&c);
    }
}

static void the_bytes_of_a_message_are_these(void **state)
{
    (void)state;
    static const char golden[] = "\x0a\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                 "\x12\x06\x0a\x01" "a" "\x0a\x01" "b"
                                 "\x12\x06\x0a\x01" "b" "\x0a\x01" "a"
                                 "\x1a\x05\x1a\x03\x01\x02\x04"
                                 "\x1a\x09\x10\x01\x1a\x05\x02\x00\x00\x01\x00"
                                 "\x20\x01";
    struct vector *v = NULL;
    struct buf out = {0};
    uint32_t i, j;
    assert_int_equal(vector_init(&v), 0);
    assert_int_equal(vector_lane(v, lane(W1, BA, 2), &i), 0);
    assert_int_equal(vector_lane(v, lane(W1, ABC, 2), &j), 0);
    assert_int_equal(vector_lane(v, lane(W2, BA, 2), &(uint32_t){0}), 0); /* stays empty */
    assert_int_equal(vector_add(v, i, 3, 3), 0);
    assert_int_equal(vector_add(v, i, 1, 1), 0);
    assert_int_equal(vector_add(v, j, 3, 7), 0);
    vector_encode(v, true, &out);
    assert_int_equal(out.size, sizeof golden - 1);
    assert_memory_equal(out.data, golden, sizeof golden - 1);
    buf_reset(&out);
    vector_free(&v);
}

#define WRITER_1 "\x0a\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define SET_A "\x12\x03\x0a\x01" "a"
#define LANE_1 "\x1a\x05\x1a\x03\x01\x00\x00"

static void broken_messages_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        int rc;
    } cases[] = {
#define CASE(text, rc) {text, sizeof(text) - 1, rc}
        CASE("", 0),
        CASE(WRITER_1 SET_A LANE_1, 0),
        CASE(LANE_1 SET_A WRITER_1, 0),
        CASE(WRITER_1 SET_A "\x3a\x02xy" LANE_1, 0),
        CASE(WRITER_1 LANE_1, ERR_PARSE),
        CASE(SET_A LANE_1, ERR_PARSE),
        CASE(WRITER_1 SET_A LANE_1 LANE_1, ERR_PARSE),
        CASE(WRITER_1 SET_A SET_A LANE_1, ERR_PARSE),
        CASE(WRITER_1 WRITER_1 SET_A LANE_1 "\x1a\x07\x08\x01\x1a\x03\x01\x00\x00", ERR_PARSE),
        CASE(WRITER_1 "\x12\x00" LANE_1, ERR_PARSE),
        CASE(WRITER_1 "\x12\x02\x0a\x00" LANE_1, ERR_PARSE),
        CASE("\x0a\x01x" SET_A LANE_1, ERR_PARSE),
        CASE(WRITER_1 SET_A "\x1a\x03\x1a\x01\x00", ERR_PARSE),
        CASE(WRITER_1 SET_A "\x1a\x00", ERR_PARSE),
        CASE(WRITER_1 SET_A "\x1a\x06\x1a\x04\x01\x00\x00\x00", ERR_PARSE),
        CASE(WRITER_1 SET_A "\x1a\x05\x1a\x04\x01\x00\x00", ERR_PARSE),
        CASE(WRITER_1 SET_A "\x1a\x7f", ERR_PARSE),
        CASE("\x0b", ERR_PARSE),
        CASE("\x80", ERR_PARSE),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vector *v = NULL;
        struct err err = {0};
        struct str in = str_of(cases[i].bytes, cases[i].size);
        int rc = vector_decode(&v, NULL, in, NULL, &err);
        if (rc != cases[i].rc)
            fail_msg("case %zu: %d, not %d: %s", i, rc, cases[i].rc, err.msg);
        assert_true((v == NULL) == (rc != 0));
        vector_free(&v);
    }
}

static void limits_of_a_message_hold(void **state)
{
    (void)state;
    struct vector *v = NULL, *w = NULL;
    struct buf out = {0};
    uint32_t i;
    assert_int_equal(vector_init(&v), 0);
    assert_int_equal(vector_lane(v, lane(W1, ABC, 3), &i), 0);
    for (uint32_t seq = 1; seq <= 9; seq += 2)
        assert_int_equal(vector_add(v, i, seq, seq), 0);
    vector_encode(v, false, &out);
    assert_int_equal(vector_decode(&w, NULL, buf_view(&out), &(struct dots_limits){.runs_max = 4},
                                   NULL), ERR_LIMIT);
    assert_int_equal(vector_decode(&w, NULL, buf_view(&out),
                                   &(struct dots_limits){.bytes_max = out.size - 1}, NULL),
                     ERR_LIMIT);
    assert_int_equal(vector_decode(&w, NULL, buf_view(&out),
                                   &(struct dots_limits){5, out.size}, NULL), 0);
    vector_free(&v);
    vector_free(&w);
    buf_reset(&out);
}

/* --- aliases and cutting ------------------------------------------------------------------- */

static bool has_alias(const struct aliases *a, struct lane_name repeat, uint32_t repeat_seq,
                      struct lane_name row, uint32_t row_seq)
{
    for (size_t i = 0; i < aliases_count(a); i++) {
        const struct alias *x = aliases_at(a, i);
        if (x->repeat_seq == repeat_seq && x->row_seq == row_seq &&
            lane_name_cmp(aliases_lane(a, x->repeat_lane), repeat) == 0 &&
            lane_name_cmp(aliases_lane(a, x->row_lane), row) == 0)
            return true;
    }
    return false;
}

/* Read every field 12 of a reply back. */
static struct aliases *read_back(struct str bytes)
{
    struct aliases *a = NULL;
    assert_int_equal(aliases_init(&a), 0);
    while (bytes.len > 0) {
        size_t len = (uint8_t)bytes.data[1], at = 2;
        assert_int_equal(bytes.data[0], 12 << 3 | 2);
        if (len >= 0x80) {
            len = (len & 0x7f) | (size_t)(uint8_t)bytes.data[2] << 7;
            at = 3;
        }
        assert_int_equal(aliases_decode(a, str_head(str_skip(bytes, at), len), NULL, NULL), 0);
        bytes = str_skip(bytes, at + len);
    }
    return a;
}

static void aliases_round_trip_whatever_their_order(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 11);
    for (int round = 0; round < 400; round++) {
        struct aliases *a = NULL, *b = NULL;
        struct buf out = {0};
        assert_int_equal(aliases_init(&a), 0);
        for (uint64_t n = rng_below(&r, 12); n > 0; n--) {
            uint32_t first = 1 + (uint32_t)rng_below(&r, 30), row = 1 + (uint32_t)rng_below(&r, 30);
            uint64_t l = rng_below(&r, LANES), m = rng_below(&r, 2);
            for (uint32_t i = 0; i <= rng_below(&r, 4); i++)
                assert_int_equal(aliases_add(a, some_lane(l), first + i, some_lane(m), row + i),
                                 0);
        }
        aliases_sort(a);
        aliases_encode(a, 12, &out);
        assert_int_equal(out.error, 0);
        b = read_back(buf_view(&out));
        aliases_sort(b);
        assert_int_equal(aliases_count(a), aliases_count(b));
        for (size_t i = 0; i < aliases_count(a); i++) {
            const struct alias *x = aliases_at(a, i);
            assert_true(has_alias(b, aliases_lane(a, x->repeat_lane), x->repeat_seq,
                                  aliases_lane(a, x->row_lane), x->row_seq));
        }
        aliases_free(&a);
        aliases_free(&b);
        buf_reset(&out);
    }
}

static void sorting_drops_aliases_that_are_there_twice(void **state)
{
    (void)state;
    struct aliases *a = NULL, *b = NULL;
    assert_int_equal(aliases_init(&a), 0);
    assert_int_equal(aliases_init(&b), 0);
    assert_int_equal(aliases_add(a, lane(W2, BA, 2), 4, lane(W1, ABC, 3), 9), 0);
    assert_int_equal(aliases_add(a, lane(W1, BA, 2), 5, lane(W1, ABC, 3), 9), 0);
    assert_int_equal(aliases_add(a, lane(W1, BA, 2), 0, lane(W1, ABC, 3), 9), ERR_INVAL);
    assert_int_equal(aliases_union(b, a), 0);
    assert_int_equal(aliases_union(b, a), 0);
    assert_int_equal(aliases_count(b), 4);
    aliases_sort(b);
    assert_int_equal(aliases_count(b), 2);
    assert_int_equal(aliases_at(b, 0)->repeat_seq, 5);
    aliases_free(&a);
    aliases_free(&b);
}

static void a_run_cannot_expand_beyond_the_limit(void **state)
{
    (void)state;
    static const char huge[] = "\x0a\x10" "0123456789abcdef" "\x12\x01" "a"
                               "\x1a\x10" "0123456789abcdef" "\x22\x01" "b"
                               "\x2a\x08\x01\xfe\xff\xff\xff\x07\x00\x02";
    struct aliases *a = NULL;
    assert_int_equal(aliases_init(&a), 0);
    assert_int_equal(aliases_decode(a, str_of(huge, sizeof huge - 1), NULL, NULL), ERR_LIMIT);
    assert_int_equal(aliases_count(a), 0);
    assert_int_equal(aliases_decode(a, str_of(huge, sizeof huge - 2), NULL, NULL), ERR_PARSE);
    aliases_free(&a);
}

static void cutting_takes_the_largest_lane_and_the_repeats_of_its_rows(void **state)
{
    (void)state;
    struct vector *v = NULL;
    struct aliases *a = NULL;
    struct buf out = {0};
    uint32_t big, small;
    bool cut = true;
    assert_int_equal(vector_init(&v), 0);
    assert_int_equal(aliases_init(&a), 0);
    assert_int_equal(vector_lane(v, lane(W1, ABC, 3), &big), 0);
    assert_int_equal(vector_lane(v, lane(W2, BA, 2), &small), 0);
    for (uint32_t seq = 1; seq < 200; seq += 2)
        assert_int_equal(vector_add(v, big, seq, seq), 0);
    assert_int_equal(vector_add(v, small, 1, 10), 0);
    assert_int_equal(aliases_add(a, lane(W2, BA, 2), 4, lane(W1, ABC, 3), 7), 0);
    assert_int_equal(aliases_add(a, lane(W2, BA, 2), 5, lane(W2, BA, 2), 1), 0);
    assert_int_equal(vector_cut(v, a, 1000, &cut), 0);
    assert_false(cut);
    assert_int_equal(vector_cut(v, a, 150, &cut), 0);
    assert_true(cut);
    assert_int_equal(vector_size(v), 9);
    assert_false(vector_has(v, lane(W2, BA, 2), 4));
    assert_true(vector_has(v, lane(W2, BA, 2), 5));
    vector_encode(v, cut, &out);
    assert_true(out.size <= 150);
    buf_reset(&out);
    assert_int_equal(vector_cut(v, NULL, 0, &cut), 0);
    assert_true(cut && vector_is_empty(v));
    vector_free(&v);
    aliases_free(&a);
}

static void a_cut_vector_fits(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 12);
    for (int round = 0; round < 500; round++) {
        struct vector *v = random_vector(&r);
        struct buf whole = {0}, out = {0};
        bool cut;
        vector_encode(v, false, &whole);
        size_t max = (size_t)rng_below(&r, 200);
        assert_int_equal(vector_cut(v, NULL, max, &cut), 0);
        assert_int_equal(cut, whole.size > max);
        vector_encode(v, cut, &out);
        assert_true(out.size <= max || vector_is_empty(v));
        buf_reset(&whole);
        buf_reset(&out);
        vector_free(&v);
    }
}

/* --- out of memory ------------------------------------------------------------------------- */

static int everything_once(void)
{
    struct vector *v = NULL, *w = NULL, *x = NULL;
    struct aliases *a = NULL;
    struct buf out = {0};
    uint32_t i;
    bool cut;
    int rc = vector_init(&v);
    rc = rc != 0 ? rc : aliases_init(&a);
    for (uint64_t l = 0; rc == 0 && l < LANES; l++) {
        rc = vector_lane(v, some_lane(l), &i);
        for (uint32_t seq = 1; rc == 0 && seq < 12; seq += 2)
            rc = vector_add(v, i, seq, seq);
        rc = rc != 0 ? rc : aliases_add(a, some_lane(l), 1, some_lane(0), 3);
    }
    rc = rc != 0 ? rc : vector_copy(&w, v);
    rc = rc != 0 ? rc : vector_union(w, v);
    if (rc == 0)
        vector_encode(w, false, &out);
    if (rc == 0)
        aliases_encode(a, 12, &out);
    rc = rc != 0 ? rc : out.error;
    rc = rc != 0 ? rc : vector_cut(w, a, 100, &cut);
    rc = rc != 0 ? rc : vector_and(w, v);
    rc = rc != 0 ? rc : vector_minus(v, w);
    buf_clear(&out);
    if (rc == 0) {
        vector_encode(v, false, &out);
        rc = out.error;
    }
    rc = rc != 0 ? rc : vector_decode(&x, NULL, buf_view(&out), NULL, NULL);
    assert_true((x != NULL) == (rc == 0));
    buf_reset(&out);
    vector_free(&v);
    vector_free(&w);
    vector_free(&x);
    aliases_free(&a);
    return rc;
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        mem_fail_at(n);
        int rc = everything_once();
        if (mem_fail_pending()) {
            mem_fail_at(0);
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_algebra_agrees_with_a_bitmap),
        cmocka_unit_test(the_last_number_there_is_can_be_added),
        cmocka_unit_test(seqsets_round_trip_and_leave_what_is_behind_them),
        cmocka_unit_test(only_canonical_seqsets_are_read),
        cmocka_unit_test(vector_algebra_works_lane_by_lane),
        cmocka_unit_test(dots_are_counted_over_vectors),
        cmocka_unit_test(lanes_are_told_apart_by_the_order_of_their_set),
        cmocka_unit_test(equal_vectors_have_equal_bytes_and_round_trip),
        cmocka_unit_test(the_bytes_of_a_message_are_these),
        cmocka_unit_test(broken_messages_are_refused),
        cmocka_unit_test(limits_of_a_message_hold),
        cmocka_unit_test(aliases_round_trip_whatever_their_order),
        cmocka_unit_test(sorting_drops_aliases_that_are_there_twice),
        cmocka_unit_test(a_run_cannot_expand_beyond_the_limit),
        cmocka_unit_test(cutting_takes_the_largest_lane_and_the_repeats_of_its_rows),
        cmocka_unit_test(a_cut_vector_fits),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
