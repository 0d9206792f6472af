/* profile/tree_cut.c - which nodes stay, and in which order their children stand. */
#include "profile/tree_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The n-th largest of the values (1 <= n <= count): byte by byte from the top, counting how
 * many values share the prefix found so far. Eight passes at most, whatever the values are. */
static uint64_t nth_largest(const uint64_t *values, uint32_t count, uint64_t n)
{
    uint64_t prefix = 0, mask = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        uint32_t histogram[256] = {0};
        for (uint32_t i = 0; i < count; i++)
            if ((values[i] & mask) == prefix)
                histogram[values[i] >> shift & 0xff]++;
        unsigned b = 255;
        while (histogram[b] < n)
            n -= histogram[b--];
        prefix |= (uint64_t)b << shift;
        mask |= UINT64_C(0xff) << shift;
    }
    return prefix;
}

/* Totals of all nodes of the tree, children before parents. */
static void fold_totals(const struct tree *t, uint64_t *total)
{
    for (uint32_t i = 0; i < t->count; i++)
        total[i] = t->nodes[i].self;
    for (uint32_t i = t->count - 1; i > 0; i--) {
        uint64_t *up = &total[t->nodes[i].parent];
        *up = tree_sum(*up, total[i]);
    }
}

/* Keep what passes, in place: the cut's arrays never run ahead of the tree's. */
static void keep_nodes(struct tree_cut *c, const struct tree *t, uint64_t min,
                       enum tree_fold fold, uint32_t *parent)
{
    uint32_t other = tree_find_name(t, STR("other"));
    uint32_t *map = c->child; /* tree's index -> cut's index or UINT32_MAX, for now */
    c->node[0] = &t->nodes[TREE_ROOT];
    c->rest[0] = 0;
    map[0] = 0;
    c->count = 1;
    for (uint32_t i = 1; i < t->count; i++) {
        const struct tree_node *n = &t->nodes[i];
        uint32_t up = map[n->parent], k = c->count;
        bool keep = n->name == other ? fold == TREE_KEEP_OTHER : c->total[i] >= min;
        map[i] = UINT32_MAX;
        if (up == UINT32_MAX)
            continue;
        if (!keep) {
            c->rest[up] = tree_sum(c->rest[up], c->total[i]);
            continue;
        }
        map[i] = k;
        parent[k] = up;
        c->node[k] = n;
        c->total[k] = c->total[i]; /* k <= i */
        c->rest[k] = 0;
        c->count++;
    }
}

struct by_name {
    const struct tree *tree;
    const struct tree_cut *cut;
};

static int compare_names(const void *a, const void *b, void *arg)
{
    const struct by_name *by = arg;
    uint32_t x = by->cut->node[*(const uint32_t *)a]->name;
    uint32_t y = by->cut->node[*(const uint32_t *)b]->name;
    return str_cmp(by->tree->names[x].text, by->tree->names[y].text);
}

/* Sort one parent's children; most have one or two. */
static void sort_children(uint32_t *kids, uint32_t count, struct by_name *by)
{
    if (count > 12) {
        qsort_r(kids, count, sizeof *kids, compare_names, by);
        return;
    }
    for (uint32_t i = 1; i < count; i++) {
        uint32_t kid = kids[i], at = i;
        for (; at > 0 && compare_names(&kids[at - 1], &kid, by) > 0; at--)
            kids[at] = kids[at - 1];
        kids[at] = kid;
    }
}

/* A counting sort by parent, then by name inside. */
static void order_children(struct tree_cut *c, const struct tree *t, const uint32_t *parent)
{
    struct by_name by = {t, c};
    memset(c->first, 0, ((size_t)c->count + 2) * sizeof *c->first);
    for (uint32_t k = 1; k < c->count; k++)
        c->first[parent[k] + 2]++;
    for (uint32_t k = 2; k <= c->count; k++)
        c->first[k] += c->first[k - 1];
    for (uint32_t k = 1; k < c->count; k++)
        c->child[c->first[parent[k] + 1]++] = k;
    for (uint32_t k = 0; k < c->count; k++)
        sort_children(c->child + c->first[k], c->first[k + 1] - c->first[k], &by);
}

int tree_cut_init(struct tree_cut *c, const struct tree *t, uint64_t max_nodes,
                  enum tree_fold fold)
{
    ASSERT(t->count > 1);
    size_t n = t->count;
    size_t bytes =
        n * (sizeof *c->node + 2 * sizeof(uint64_t)) + (3 * n + 2) * sizeof(uint32_t);
    int rc = mem_charge(t->account, bytes);
    if (rc != 0)
        return rc;
    void *memory = mem_alloc(bytes);
    if (memory == NULL) {
        mem_uncharge(t->account, bytes);
        return ERR_NOMEM;
    }
    *c = (struct tree_cut){.memory = memory, .charged = bytes};
    c->total = memory;
    c->rest = c->total + n;
    c->node = (const struct tree_node **)(c->rest + n);
    c->child = (uint32_t *)(c->node + n);
    uint32_t *parent = c->child + n;
    c->first = parent + n;
    fold_totals(t, c->total);
    uint64_t min = 0;
    if (max_nodes > 0 && max_nodes < n - 1)
        min = nth_largest(c->total + 1, (uint32_t)n - 1, max_nodes);
    keep_nodes(c, t, min, fold, parent);
    order_children(c, t, parent);
    return 0;
}

void tree_cut_reset(struct tree_cut *c, const struct tree *t)
{
    mem_free(c->memory);
    mem_uncharge(t->account, c->charged);
    *c = (struct tree_cut){0};
}
