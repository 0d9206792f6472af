/* Trees keep every value, cut by the peer's rule, and look the same however they were built. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/tree.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Add a stack "a;b;c" (root first). */
static void add(struct tree *t, const char *stack, uint64_t value)
{
    uint32_t node = TREE_ROOT, name;
    struct str rest = str_c(stack), part;
    while (str_cut(&rest, ';', &part)) {
        assert_int_equal(tree_name(t, part, &name), 0);
        assert_int_equal(tree_child(t, node, name, &node), 0);
    }
    tree_add(t, node, value);
}

static struct tree *new_tree(void)
{
    struct tree *t = NULL;
    assert_int_equal(tree_init(&t, NULL), 0);
    return t;
}

/* names, then levels, as text. */
static char *drawn(const struct tree *t, uint64_t max_nodes)
{
    static struct buf b;
    struct arena *a = NULL;
    struct flamegraph f;
    buf_clear(&b);
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(tree_flamegraph(t, max_nodes, a, &f), 0);
    for (size_t i = 0; i < f.name_count; i++)
        buf_printf(&b, "%s%.*s", i == 0 ? "" : ",", STR_ARG(f.names[i]));
    for (size_t d = 0; d < f.level_count; d++)
        for (size_t i = 0; i < f.levels[d].count; i++)
            buf_printf(&b, "%s%lld",
                       i == 0       ? " | "
                       : i % 4 == 0 ? "  "
                                    : " ",
                       (long long)f.levels[d].values[i]);
    buf_printf(&b, " | %lld %lld", (long long)f.total, (long long)f.max_self);
    buf_u8(&b, 0);
    arena_free(&a);
    return (char *)b.data;
}

static void a_flame_graph_is_levels_of_offset_total_self_and_name(void **state)
{
    (void)state;
    struct tree *t = new_tree();
    add(t, "main;work;b", 3);
    add(t, "main;work", 2);
    add(t, "main;idle", 4);
    add(t, "main", 1);
    add(t, "init;work", 5);
    /* Children stand side by side by name behind the parent's self; names are numbered
     * rightmost first: main, work, b, idle, init. */
    assert_string_equal(drawn(t, 0), "total,main,work,b,idle,init"
                                     " | 0 15 0 0"
                                     " | 0 5 0 5  0 10 1 1"
                                     " | 0 5 5 2  1 4 4 4  0 5 2 2"
                                     " | 12 3 3 3"
                                     " | 15 5");
    assert_int_equal(tree_total(t), 15);
    assert_int_equal(tree_count(t), 6);
    tree_free(&t);
}

static void an_empty_tree_has_one_box_and_no_bytes(void **state)
{
    (void)state;
    struct tree *t = new_tree();
    struct buf b = {0};
    assert_string_equal(drawn(t, 0), "total | 0 0 0 0 | 0 0");
    assert_int_equal(tree_encode(t, 0, &b), 0);
    assert_int_equal(b.size, 0);
    tree_add(t, TREE_ROOT, 7); /* a stack without frames has no place */
    assert_int_equal(tree_total(t), 0);
    assert_int_equal(tree_decode(t, STR("x"), 0, NULL), 0);
    assert_int_equal(tree_count(t), 0);
    tree_free(&t);
}

static void what_is_cut_becomes_other_with_self_equal_to_total(void **state)
{
    (void)state;
    struct tree *t = new_tree();
    add(t, "a;x", 10);
    add(t, "a;y", 3);
    add(t, "a;z", 2);
    add(t, "b", 4);
    /* Totals: a 15, x 10, b 4, y 3, z 2. Three nodes: a, x, b; y and z become other. */
    assert_string_equal(drawn(t, 3), "total,b,a,other,x | 0 19 0 0 | 0 15 0 2  0 4 4 1"
                                     " | 0 10 10 4  0 5 5 3 | 19 10");
    assert_string_equal(drawn(t, 1), "total,other,a | 0 19 0 0 | 0 15 0 2  0 4 4 1"
                                     " | 0 15 15 1 | 19 15");
    tree_free(&t);
}

static void ties_at_the_threshold_all_stay(void **state)
{
    (void)state;
    struct tree *t = new_tree();
    add(t, "a", 5);
    add(t, "b", 5);
    add(t, "c", 5);
    add(t, "d", 4);
    assert_string_equal(drawn(t, 2), "total,other,c,b,a | 0 19 0 0"
                                     " | 0 5 5 4  0 5 5 3  0 5 5 2  0 4 4 1 | 19 5");
    tree_free(&t);
}

static void a_real_other_is_folded_in_a_flame_graph_and_kept_in_bytes(void **state)
{
    (void)state;
    struct tree *t = new_tree(), *back = new_tree();
    struct buf b = {0};
    add(t, "a;other;deep", 50);
    add(t, "a;small", 1);
    add(t, "a;big", 60);
    assert_string_equal(drawn(t, 0), "total,a,other,small,big | 0 111 0 0 | 0 111 0 1"
                                     " | 0 60 60 4  0 1 1 3  0 50 50 2 | 111 60");
    assert_int_equal(tree_encode(t, 3, &b), 0); /* a, big, other stay, and deep by a tie */
    assert_int_equal(tree_decode(back, buf_view(&b), 0, NULL), 0);
    assert_int_equal(tree_count(back), 4);
    assert_int_equal(tree_total(back), 111);
    static const char want[] = "\0\0\1"
                               "\1a\0\2"
                               "\5other\1\1"
                               "\4deep\x32\0"
                               "\3big\x3c";
    assert_int_equal(b.size, sizeof want);
    assert_memory_equal(b.data, want, sizeof want);
    buf_reset(&b);
    tree_free(&t);
    tree_free(&back);
}

static void a_function_called_total_shares_the_root_s_name(void **state)
{
    (void)state;
    struct tree *t = new_tree();
    add(t, "total;total", 2);
    add(t, ";x", 1);
    assert_string_equal(drawn(t, 0), "total,,x | 0 3 0 0 | 0 1 0 1  0 2 0 0 | 0 1 1 2  0 2 2 0"
                                     " | 3 2");
    tree_free(&t);
}

static void bytes_hold_the_last_child_first(void **state)
{
    (void)state;
    struct tree *t = new_tree();
    struct buf b = {0};
    add(t, "b", 300);
    add(t, "a;c", 1);
    add(t, "a;d", 2);
    static const char whole[] = "\0\0\2"
                                "\1b\xac\2\0"
                                "\1a\0\2"
                                "\1d\2\0"
                                "\1c\1";
    assert_int_equal(tree_encode(t, 0, &b), 0);
    assert_int_equal(b.size, sizeof whole);
    assert_memory_equal(b.data, whole, sizeof whole);
    buf_clear(&b);
    static const char cut[] = "\0\0\2"
                              "\5other\3\0"
                              "\1b\xac\2";
    assert_int_equal(tree_encode(t, 1, &b), 0);
    assert_int_equal(b.size, sizeof cut);
    assert_memory_equal(b.data + 3 + 10 - 2, cut + 3 + 8, 4);
    buf_reset(&b);
    tree_free(&t);
}

static void sums_stop_at_the_largest_signed_value(void **state)
{
    (void)state;
    struct tree *t = new_tree(), *u = new_tree();
    add(t, "a;b", UINT64_MAX);
    add(t, "a;c", 5);
    add(u, "a;b", 1);
    assert_int_equal(tree_merge(t, u), 0);
    assert_true(tree_total(t) == INT64_MAX);
    assert_string_equal(drawn(t, 0),
                        "total,a,c,b | 0 9223372036854775807 0 0 | 0 9223372036854775807 0 1"
                        " | 0 9223372036854775807 9223372036854775807 3  0 5 5 2"
                        " | 9223372036854775807 9223372036854775807");
    tree_free(&t);
    tree_free(&u);
}

/* --- an independent reading of the rules, as plain and slow as possible ------------------- */

struct plain {
    char name[8];
    uint64_t self, total;
    struct plain *kids[64]; /* by name */
    int count;
};

static struct plain *plain_kid(struct plain *p, const char *name)
{
    int at = 0;
    while (at < p->count && strcmp(p->kids[at]->name, name) < 0)
        at++;
    if (at < p->count && strcmp(p->kids[at]->name, name) == 0)
        return p->kids[at];
    memmove(&p->kids[at + 1], &p->kids[at], (size_t)(p->count - at) * sizeof *p->kids);
    p->kids[at] = mem_calloc(1, sizeof **p->kids);
    snprintf(p->kids[at]->name, sizeof p->kids[at]->name, "%s", name);
    p->count++;
    return p->kids[at];
}

static void plain_add(struct plain *p, const char *stack, uint64_t value)
{
    struct str rest = str_c(stack), part;
    p->total += value;
    while (str_cut(&rest, ';', &part)) {
        char name[8];
        snprintf(name, sizeof name, "%.*s", STR_ARG(part));
        p = plain_kid(p, name);
        p->total += value;
    }
    p->self += value;
}

static void plain_free(struct plain *p)
{
    for (int i = 0; i < p->count; i++)
        plain_free(p->kids[i]);
    mem_free(p);
}

static void plain_totals(const struct plain *p, uint64_t *out, size_t *n)
{
    for (int i = 0; i < p->count; i++) {
        out[(*n)++] = p->kids[i]->total;
        plain_totals(p->kids[i], out, n);
    }
}

static int falling(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

static uint64_t plain_min(const struct plain *p, uint64_t max_nodes)
{
    static uint64_t totals[100000];
    size_t n = 0;
    plain_totals(p, totals, &n);
    if (max_nodes == 0 || n <= max_nodes)
        return 0;
    qsort(totals, n, sizeof *totals, falling);
    return totals[max_nodes - 1];
}

/* A copy as a flame graph (fold) or tree bytes (not fold) show it. */
static struct plain *plain_cut(const struct plain *p, uint64_t min, bool fold)
{
    struct plain *c = mem_calloc(1, sizeof *c);
    uint64_t rest = 0;
    snprintf(c->name, sizeof c->name, "%s", p->name);
    c->self = p->self;
    c->total = p->total;
    for (int i = 0; i < p->count; i++) {
        bool other = strcmp(p->kids[i]->name, "other") == 0;
        if (other ? !fold : p->kids[i]->total >= min)
            c->kids[c->count++] = plain_cut(p->kids[i], min, fold);
        else
            rest += p->kids[i]->total;
    }
    if (rest == 0)
        return c;
    struct plain *other = mem_calloc(1, sizeof *other);
    if (fold) {
        c->kids[c->count++] = other; /* always last */
        snprintf(other->name, sizeof other->name, "other");
    } else {
        mem_free(other);
        other = plain_kid(c, "other");
    }
    other->self += rest;
    other->total += rest;
    return c;
}

static char plain_names[8192][8];
static int plain_name_count;
static struct buf plain_level[64];
static uint64_t plain_end[64];
static uint64_t plain_max_self;

static int plain_name(const char *name)
{
    for (int i = 0; i < plain_name_count; i++)
        if (strcmp(plain_names[i], name) == 0)
            return i;
    snprintf(plain_names[plain_name_count], sizeof *plain_names, "%s", name);
    return plain_name_count++;
}

static void plain_number(const struct plain *p)
{
    for (int i = p->count - 1; i >= 0; i--) {
        plain_name(p->kids[i]->name);
        plain_number(p->kids[i]);
    }
}

static void plain_draw(const struct plain *p, int depth, uint64_t x)
{
    buf_printf(&plain_level[depth], "%s%llu %llu %llu %d",
               plain_level[depth].size == 0 ? " | " : "  ",
               (unsigned long long)(x - plain_end[depth]), (unsigned long long)p->total,
               (unsigned long long)p->self, depth == 0 ? 0 : plain_name(p->name));
    plain_end[depth] = x + p->total;
    if (p->self > plain_max_self)
        plain_max_self = p->self;
    x += p->self;
    for (int i = 0; i < p->count; i++) {
        plain_draw(p->kids[i], depth + 1, x);
        x += p->kids[i]->total;
    }
}

static void plain_drawn(const struct plain *p, uint64_t max_nodes, struct buf *out)
{
    struct plain *c = plain_cut(p, plain_min(p, max_nodes), true);
    plain_name_count = 0;
    plain_max_self = 0;
    memset(plain_end, 0, sizeof plain_end);
    plain_name("total");
    plain_number(c);
    plain_draw(c, 0, 0);
    for (int i = 0; i < plain_name_count; i++)
        buf_printf(out, "%s%s", i == 0 ? "" : ",", plain_names[i]);
    for (int d = 0; d < 64; d++) {
        buf_str(out, buf_view(&plain_level[d]));
        buf_reset(&plain_level[d]);
    }
    buf_printf(out, " | %llu %llu", (unsigned long long)c->total,
               (unsigned long long)plain_max_self);
    buf_u8(out, 0);
    plain_free(c);
}

static void plain_bytes(const struct plain *p, struct buf *out)
{
    buf_varint(out, strlen(p->name));
    buf_c(out, p->name);
    buf_varint(out, p->self);
    buf_varint(out, (uint64_t)p->count);
    for (int i = p->count - 1; i >= 0; i--)
        plain_bytes(p->kids[i], out);
}

static void random_stack(struct rng *r, unsigned names, char out[128])
{
    static const char *const special[] = {"other", "total", "z", ""};
    unsigned depth = 1 + (unsigned)rng_below(r, 7);
    size_t at = 0;
    for (unsigned i = 0; i < depth; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%u", (unsigned)rng_below(r, names));
        const char *pick = rng_chance(r, 1, 6) ? special[rng_below(r, 4)] : name;
        at += (size_t)snprintf(out + at, 128 - at, "%s%s", i == 0 ? "" : ";", pick);
    }
}

static void check_against_plain(struct tree *t, struct plain *p, uint64_t max_nodes)
{
    struct buf want = {0}, got = {0};
    plain_drawn(p, max_nodes, &want);
    assert_string_equal(drawn(t, max_nodes), (const char *)want.data);
    buf_clear(&want);
    struct plain *c = plain_cut(p, plain_min(p, max_nodes), false);
    plain_bytes(c, &want);
    plain_free(c);
    assert_int_equal(tree_encode(t, max_nodes, &got), 0);
    assert_int_equal(got.size, want.size);
    assert_memory_equal(got.data, want.data, want.size);
    buf_reset(&want);
    buf_reset(&got);
}

static void random_trees_are_what_a_plain_reading_of_the_rules_makes_of_them(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        struct tree *t = new_tree();
        struct plain *p = mem_calloc(1, sizeof *p);
        unsigned stacks = 1 + (unsigned)rng_below(&r, 120);
        unsigned names = 1 + (unsigned)rng_below(&r, 40);
        for (unsigned i = 0; i < stacks; i++) {
            char stack[128];
            random_stack(&r, names, stack);
            if (stack[0] == '\0')
                continue; /* str_c("") is one nameless frame to str_cut, none to the reader */
            uint64_t value = rng_below(&r, rng_chance(&r, 1, 3) ? 3 : 1000);
            add(t, stack, value);
            plain_add(p, stack, value);
        }
        if (p->count > 0) {
            check_against_plain(t, p, 0);
            check_against_plain(t, p, 1);
            check_against_plain(t, p, 1 + rng_below(&r, tree_count(t)));
            check_against_plain(t, p, tree_count(t));
        }
        plain_free(p);
        tree_free(&t);
    }
}

/* Encode, whole. */
static struct buf bytes_of(const struct tree *t)
{
    struct buf b = {0};
    assert_int_equal(tree_encode(t, 0, &b), 0);
    return b;
}

static void merging_parts_in_any_order_is_building_the_whole(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        struct tree *whole = new_tree(), *part[3], *there = new_tree(), *back = new_tree();
        for (int i = 0; i < 3; i++)
            part[i] = new_tree();
        for (unsigned n = (unsigned)rng_below(&r, 200) + 1; n > 0; n--) {
            char stack[128];
            random_stack(&r, 20, stack);
            uint64_t value = rng_below(&r, 100);
            add(whole, stack, value);
            add(part[rng_below(&r, 3)], stack, value);
        }
        struct buf want = bytes_of(whole);
        for (int i = 0; i < 3; i++) {
            struct buf b = bytes_of(part[i]);
            assert_int_equal(tree_merge(there, part[i]), 0);
            assert_int_equal(tree_decode(back, buf_view(&b), 0, NULL), 0);
            buf_reset(&b);
        }
        struct tree *reversed = new_tree();
        for (int i = 2; i >= 0; i--)
            assert_int_equal(tree_merge(reversed, part[i]), 0);
        struct tree *const same[] = {there, back, reversed};
        for (int i = 0; i < 3; i++) {
            struct buf got = bytes_of(same[i]);
            assert_int_equal(got.size, want.size);
            assert_memory_equal(got.data, want.data, want.size);
            buf_reset(&got);
        }
        buf_reset(&want);
        for (int i = 0; i < 3; i++)
            tree_free(&part[i]);
        tree_free(&whole);
        tree_free(&there);
        tree_free(&back);
        tree_free(&reversed);
    }
}

static int decode(struct str bytes, uint32_t nodes_max, struct err *e)
{
    struct tree *t = new_tree();
    int rc = tree_decode(t, bytes, nodes_max, e);
    tree_free(&t);
    return rc;
}

#define BYTES(lit) str_of(lit, sizeof(lit) - 1)

static void hostile_bytes_are_refused_with_the_place(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(decode(BYTES("\0\0\1\1a\5\0"), 0, &e), 0);
    assert_int_equal(decode(BYTES("\0\0\1\1a\5\0\0"), 0, &e), ERR_PARSE);
    assert_string_equal(e.msg, "tree: bytes behind the last node at byte 7");
    assert_int_equal(decode(BYTES("\0\0\1\1a\5"), 0, &e), ERR_PARSE);
    assert_int_equal(decode(BYTES("\0\0\2\1a\5\0"), 0, &e), ERR_PARSE);
    assert_int_equal(decode(BYTES("\0\0\xff\xff\xff\xff\x0f\1a\5\0"), 0, &e), ERR_PARSE);
    assert_string_equal(e.msg, "tree: more children announced than bytes left at byte 7");
    assert_int_equal(decode(BYTES("\1x\0\1\1a\5\0"), 0, &e), ERR_PARSE);
    assert_int_equal(decode(BYTES("\0\1\1\1a\5\0"), 0, &e), ERR_PARSE);
    assert_int_equal(decode(BYTES("\0\0\1\x09"
                                  "a\5\0"),
                            0, &e),
                     ERR_PARSE);
    assert_int_equal(decode(BYTES("\0\0\1\1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0"), 0, &e),
                     ERR_PARSE);
    /* Each node promises as many as there are bytes: the promises must add up. */
    assert_int_equal(decode(BYTES("\0\0\2\0\0\2\0\0\0\0\0\0"), 0, &e), ERR_PARSE);
    assert_int_equal(decode(BYTES("\0\0\2\0\0\1\0\0\0\0\0\0"), 0, &e), 0);
    assert_int_equal(decode(BYTES("\0\0\2\1a\5\0\1b\5\0"), 1, &e), ERR_LIMIT);
    assert_int_equal(decode(BYTES("\0\0\2\1a\5\0\1b\5\0"), 2, &e), 0);
}

static void equal_children_in_bytes_merge(void **state)
{
    (void)state;
    struct tree *t = new_tree();
    assert_int_equal(tree_decode(t, BYTES("\0\0\2\1a\5\1\1c\1\0\1a\6\0"), 0, NULL), 0);
    assert_string_equal(drawn(t, 0), "total,a,c | 0 12 0 0 | 0 12 11 1 | 11 1 1 2 | 12 11");
    tree_free(&t);
}

static void a_chain_of_any_depth_costs_no_stack(void **state)
{
    (void)state;
    struct tree *t = new_tree();
    struct buf b = {0};
    uint32_t node = TREE_ROOT, name;
    assert_int_equal(tree_name(t, STR("f"), &name), 0);
    for (int i = 0; i < 200000; i++)
        assert_int_equal(tree_child(t, node, name, &node), 0);
    tree_add(t, node, 1);
    assert_int_equal(tree_encode(t, 0, &b), 0);
    assert_int_equal(decode(buf_view(&b), 0, NULL), 0);
    struct arena *a = NULL;
    struct flamegraph f;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(tree_flamegraph(t, 0, a, &f), 0);
    assert_int_equal(f.level_count, 200001);
    arena_free(&a);
    buf_reset(&b);
    tree_free(&t);
}

static int build_all(struct mem_account *account)
{
    struct tree *t = NULL, *u = NULL;
    struct arena *a = NULL;
    struct flamegraph f;
    struct buf b = {0};
    uint32_t name, node = TREE_ROOT;
    char text[16];
    int rc = tree_init(&t, account);
    if (rc == 0)
        rc = tree_init(&u, account);
    if (rc == 0)
        rc = arena_init(&a, 0, account);
    for (int i = 0; i < 100 && rc == 0; i++) {
        snprintf(text, sizeof text, "f%d", i);
        rc = tree_name(t, str_c(text), &name);
        if (rc == 0)
            rc = tree_child(t, node, name, &node);
        if (rc == 0)
            tree_add(t, node, 2);
    }
    if (rc == 0)
        rc = tree_encode(t, 10, &b);
    if (rc == 0)
        rc = tree_decode(u, buf_view(&b), 0, NULL);
    if (rc == 0)
        rc = tree_merge(u, t);
    if (rc == 0)
        rc = tree_flamegraph(u, 0, a, &f);
    buf_reset(&b);
    arena_free(&a);
    tree_free(&t);
    tree_free(&u);
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
    for (uint64_t limit = 1; limit < peak; limit += 97) {
        mem_account_init(&account, NULL, "test", limit);
        int rc = build_all(&account);
        /* An arena says "no memory" for both. */
        assert_true(rc == ERR_LIMIT || rc == ERR_NOMEM);
        assert_int_equal(account.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flame_graph_is_levels_of_offset_total_self_and_name),
        cmocka_unit_test(an_empty_tree_has_one_box_and_no_bytes),
        cmocka_unit_test(what_is_cut_becomes_other_with_self_equal_to_total),
        cmocka_unit_test(ties_at_the_threshold_all_stay),
        cmocka_unit_test(a_real_other_is_folded_in_a_flame_graph_and_kept_in_bytes),
        cmocka_unit_test(a_function_called_total_shares_the_root_s_name),
        cmocka_unit_test(bytes_hold_the_last_child_first),
        cmocka_unit_test(sums_stop_at_the_largest_signed_value),
        cmocka_unit_test(random_trees_are_what_a_plain_reading_of_the_rules_makes_of_them),
        cmocka_unit_test(merging_parts_in_any_order_is_building_the_whole),
        cmocka_unit_test(hostile_bytes_are_refused_with_the_place),
        cmocka_unit_test(equal_children_in_bytes_merge),
        cmocka_unit_test(a_chain_of_any_depth_costs_no_stack),
        cmocka_unit_test(running_out_of_memory_or_budget_is_an_error_and_gives_all_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
