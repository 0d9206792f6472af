/* What merging and drawing trees costs, against a plain pass over as many nodes: a copy of the
 * tree's bytes into an array and a sum over it. */
#include "profile/tree.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>

/* A tree of `count` nodes as real ones look: deep, few children, long names used often. */
static struct tree *make(uint32_t count, uint64_t seed)
{
    struct tree *t = NULL;
    struct rng r;
    uint32_t ids[4000], *nodes = mem_calloc(count + 1, sizeof *nodes), n = 0;
    rng_seed(&r, 1);
    if (tree_init(&t, NULL) != 0 || nodes == NULL)
        exit(1);
    for (uint32_t i = 0; i < 4000; i++) {
        char name[100];
        snprintf(name, sizeof name,
                 "github.com/example/project/internal/part%u.(*T%u).method%u",
                 (unsigned)rng_below(&r, 50), i % 97, i);
        if (tree_name(t, str_c(name), &ids[i]) != 0)
            exit(1);
    }
    rng_seed(&r, seed);
    while (n < count) {
        uint32_t node = n == 0 || rng_chance(&r, 1, 40)
                            ? TREE_ROOT
                            : nodes[n - 1 - rng_below(&r, n < 60 ? n : 60)];
        if (tree_child(t, node, ids[rng_below(&r, 4000)], &node) != 0)
            exit(1);
        nodes[n] = node;
        n = tree_count(t);
        tree_add(t, node, 1 + rng_below(&r, 1000));
    }
    mem_free(nodes);
    return t;
}

/* Nanoseconds of the fastest of several runs of `what` on (a, b). */
static double best(void (*what)(struct tree *a, struct tree *b), struct tree *a, struct tree *b)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < 15; i++) {
        int64_t start = clock_mono_ns();
        what(a, b);
        int64_t took = clock_mono_ns() - start;
        least = took < least ? took : least;
    }
    return (double)least;
}

static void merge_into_new(struct tree *a, struct tree *b)
{
    struct tree *t = NULL;
    if (tree_init(&t, NULL) != 0 || tree_merge(t, a) != 0 || tree_merge(t, b) != 0)
        exit(1);
    tree_free(&t);
}

static void merge_equal(struct tree *a, struct tree *b)
{
    if (tree_merge(a, b) != 0)
        exit(1);
}

static void draw(struct tree *t, uint64_t max_nodes)
{
    struct arena *a = NULL;
    struct flamegraph f;
    if (arena_init(&a, 0, NULL) != 0 || tree_flamegraph(t, max_nodes, a, &f) != 0)
        exit(1);
    arena_free(&a);
}

static void draw_cut(struct tree *a, struct tree *b)
{
    (void)b;
    draw(a, 8192);
}

static void draw_whole(struct tree *a, struct tree *b)
{
    (void)b;
    draw(a, 0);
}

static struct buf bytes;

static void encode(struct tree *a, struct tree *b)
{
    (void)b;
    buf_clear(&bytes);
    if (tree_encode(a, 0, &bytes) != 0)
        exit(1);
}

static void decode(struct tree *a, struct tree *b)
{
    struct tree *t = NULL;
    (void)a;
    (void)b;
    if (tree_init(&t, NULL) != 0 || tree_decode(t, buf_view(&bytes), 0, NULL) != 0)
        exit(1);
    tree_free(&t);
}

static void plain_pass(struct tree *a, struct tree *b)
{
    (void)b;
    volatile uint64_t sum = tree_total(a);
    (void)sum;
}

static void row(const char *what, double ns, double nodes, double plain)
{
    printf("%-46s %8.2f ms %7.1f ns/node %7.1f x\n", what, ns / 1e6, ns / nodes,
           ns / nodes / plain);
}

int main(void)
{
    struct tree *small = make(8192, 1), *other = make(8192, 2), *same = make(8192, 1);
    struct tree *large = make(100000, 3);
    double plain = best(plain_pass, large, NULL) / 100000;
    printf("%-46s %8s    %7s %10s\n", "tree", "time", "", "plain pass");
    row("a plain pass over 100,000 nodes", plain * 100000, 100000, plain);
    row("merge two different trees of 8,192 nodes", best(merge_into_new, small, other), 16384,
        plain);
    row("merge a tree of 8,192 nodes into its equal", best(merge_equal, small, same), 8192,
        plain);
    row("flame graph of 100,000 nodes cut to 8,192", best(draw_cut, large, NULL), 100000,
        plain);
    row("flame graph of 100,000 nodes, whole", best(draw_whole, large, NULL), 100000, plain);
    row("encode 100,000 nodes", best(encode, large, NULL), 100000, plain);
    row("decode 100,000 nodes", best(decode, large, NULL), 100000, plain);
    buf_reset(&bytes);
    tree_free(&small);
    tree_free(&other);
    tree_free(&same);
    tree_free(&large);
    return 0;
}
