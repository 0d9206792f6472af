/* profile/flamegraph.c - draws a cut tree in levels.
 *
 * A depth-first walk that takes the rightmost child first, because that is the order in which
 * the peer numbers names; levels therefore fill from their right ends. */
#include "profile/tree_priv.h"

#include "base/mem.h"

static const uint32_t NONE = UINT32_MAX;

/* A box to draw: node k of the cut, or (k NONE) an "other" of that total. */
struct box {
    uint32_t k, depth;
    uint64_t x, total;
};

struct painter {
    const struct tree *tree;
    struct tree_cut cut;
    struct flamegraph *out;
    uint32_t *name_index; /* by the tree's names; [name_count] is "other" */
    size_t *left;         /* by level: boxes not yet drawn, which are the leftmost */
    struct box *stack;
    size_t stack_depth;
};

/* Depths of the cut's nodes in `depth`; numbers of boxes per level in p->left (one per level of
 * the cut and one more for "other"). Returns the number of levels with a box. */
static size_t count_levels(struct painter *p, uint32_t *depth)
{
    const struct tree_cut *c = &p->cut;
    size_t levels = 1;
    depth[0] = 0;
    for (uint32_t k = 0; k < c->count; k++) {
        for (uint32_t i = c->first[k]; i < c->first[k + 1]; i++)
            depth[c->child[i]] = depth[k] + 1;
        p->left[depth[k]]++;
        if (c->rest[k] > 0)
            p->left[depth[k] + 1]++;
        size_t reach = (size_t)depth[k] + (c->rest[k] > 0 ? 2 : 1);
        levels = reach > levels ? reach : levels;
    }
    return levels;
}

static uint32_t index_of_name(struct painter *p, uint32_t name)
{
    struct flamegraph *f = p->out;
    if (p->name_index[name] == NONE) {
        p->name_index[name] = (uint32_t)f->name_count;
        bool other = name == p->tree->name_count;
        f->names[f->name_count++] = other ? STR("other") : p->tree->names[name].text;
    }
    return p->name_index[name];
}

static void push_children(struct painter *p, const struct box *b)
{
    const struct tree_cut *c = &p->cut;
    uint64_t x = b->x + (b->k == 0 ? 0 : c->node[b->k]->self);
    for (uint32_t i = c->first[b->k]; i < c->first[b->k + 1]; i++) {
        uint32_t k = c->child[i];
        p->stack[p->stack_depth++] = (struct box){k, b->depth + 1, x, c->total[k]};
        x += c->total[k];
    }
    if (c->rest[b->k] > 0)
        p->stack[p->stack_depth++] = (struct box){NONE, b->depth + 1, x, c->rest[b->k]};
}

static void draw_boxes(struct painter *p)
{
    struct flamegraph *f = p->out;
    p->stack[p->stack_depth++] = (struct box){0, 0, 0, p->cut.total[0]};
    while (p->stack_depth > 0) {
        struct box b = p->stack[--p->stack_depth];
        uint64_t self = b.total;
        uint32_t name = 0;
        if (b.k == NONE) {
            name = index_of_name(p, p->tree->name_count);
        } else if (b.k == 0) {
            self = 0;
        } else {
            self = p->cut.node[b.k]->self;
            name = index_of_name(p, p->cut.node[b.k]->name);
        }
        if ((int64_t)self > f->max_self)
            f->max_self = (int64_t)self;
        int64_t *v = f->levels[b.depth].values + 4 * --p->left[b.depth];
        v[0] = (int64_t)b.x;
        v[1] = (int64_t)b.total;
        v[2] = (int64_t)self;
        v[3] = name;
        if (b.k != NONE)
            push_children(p, &b);
    }
}

/* Absolute x into the distance to the end of the box before. */
static void make_deltas(struct flamegraph *f)
{
    for (size_t d = 0; d < f->level_count; d++) {
        uint64_t end = 0;
        for (size_t i = 0; i < f->levels[d].count; i += 4) {
            int64_t *v = f->levels[d].values + i;
            uint64_t x = (uint64_t)v[0];
            v[0] = (int64_t)(x - end);
            end = x + (uint64_t)v[1];
        }
    }
}

/* Levels, boxes, names and the walk's stack, all in the arena. */
static int make_room(struct painter *p, struct arena *a)
{
    const struct tree_cut *c = &p->cut;
    struct flamegraph *f = p->out;
    size_t most = c->count, names = (size_t)p->tree->name_count + 1;
    for (uint32_t k = 0; k < c->count; k++)
        most += c->rest[k] > 0;
    uint32_t *depth = arena_alloc(a, c->count * sizeof *depth);
    p->left = arena_calloc(a, (size_t)c->count + 1, sizeof *p->left);
    p->stack = arena_alloc(a, most * sizeof *p->stack);
    p->name_index = arena_alloc(a, names * sizeof *p->name_index);
    f->names = arena_alloc(a, (names < most ? names + 1 : most + 1) * sizeof *f->names);
    int64_t *values = arena_alloc(a, 4 * most * sizeof *values);
    if (depth == NULL || p->left == NULL || p->stack == NULL || p->name_index == NULL ||
        f->names == NULL || values == NULL)
        return ERR_NOMEM;
    f->level_count = count_levels(p, depth);
    f->levels = arena_calloc(a, f->level_count, sizeof *f->levels);
    if (f->levels == NULL)
        return ERR_NOMEM;
    for (size_t d = 0; d < f->level_count; d++) {
        f->levels[d] = (struct flamegraph_level){values, 4 * p->left[d]};
        values += f->levels[d].count;
    }
    for (size_t i = 0; i < names; i++)
        p->name_index[i] = NONE;
    return 0;
}

static int draw(struct painter *p, struct arena *a)
{
    int rc = make_room(p, a);
    if (rc != 0)
        return rc;
    struct flamegraph *f = p->out;
    f->names[f->name_count++] = STR("total");
    uint32_t total = tree_find_name(p->tree, STR("total"));
    if (total != NONE)
        p->name_index[total] = 0;
    f->total = (int64_t)p->cut.total[0];
    draw_boxes(p);
    make_deltas(f);
    return 0;
}

static int draw_nothing(struct arena *a, struct flamegraph *out)
{
    out->names = arena_alloc(a, sizeof *out->names);
    out->levels = arena_alloc(a, sizeof *out->levels);
    int64_t *values = arena_calloc(a, 4, sizeof *values);
    if (out->names == NULL || out->levels == NULL || values == NULL)
        return ERR_NOMEM;
    out->names[out->name_count++] = STR("total");
    out->levels[out->level_count++] = (struct flamegraph_level){values, 4};
    return 0;
}

int tree_flamegraph(const struct tree *t, uint64_t max_nodes, struct arena *a,
                    struct flamegraph *out)
{
    *out = (struct flamegraph){0};
    if (t->count <= 1)
        return draw_nothing(a, out);
    struct painter p = {.tree = t, .out = out};
    int rc = tree_cut_init(&p.cut, t, max_nodes, TREE_FOLD_OTHER);
    if (rc != 0)
        return rc;
    rc = draw(&p, a);
    tree_cut_reset(&p.cut, t);
    return rc;
}
