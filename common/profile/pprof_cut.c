/* profile/pprof_cut.c - the rule by which trees are cut, applied to stacks of locations. */
#include "profile/pprof_out_priv.h"

#include "base/mem.h"
#include "profile/tree_priv.h"

struct cutter {
    struct pprof_out *p;
    struct tree *tree; /* of locations: a name is a location's id, as bytes */
    struct tree_cut cut;
    bool *keep;      /* by the tree's node */
    uint32_t *stack; /* being cut, leaf first */
    size_t longest;  /* locations of a stack */
    uint32_t other;  /* location of the function "other" */
};

static const uint32_t *locations_of(const struct entry *stack, size_t *count)
{
    *count = stack->key.len / sizeof(uint32_t);
    return (const uint32_t *)(const void *)stack->key.data;
}

static int step(struct tree *t, uint32_t location, uint32_t *node)
{
    uint32_t name;
    int rc = tree_name(t, str_of(&location, sizeof location), &name);
    return rc != 0 ? rc : tree_child(t, *node, name, node);
}

static int build_tree(struct cutter *c)
{
    const struct table *stacks = &c->p->stacks;
    for (uint32_t i = 0; i < stacks->count; i++) {
        size_t count;
        const uint32_t *ids = locations_of(&stacks->entries[i], &count);
        uint32_t node = TREE_ROOT;
        c->longest = count > c->longest ? count : c->longest;
        for (size_t k = count; k > 0; k--) {
            int rc = step(c->tree, ids[k - 1], &node);
            if (rc != 0)
                return rc;
        }
        tree_add(c->tree, node, stacks->entries[i].value);
    }
    return 0;
}

static int add_other(struct cutter *c)
{
    struct pprof_function f = {0};
    struct pprof_line line = {0};
    int rc = pprof_out_string(c->p, STR("other"), &f.name);
    f.system_name = f.name;
    if (rc == 0)
        rc = pprof_out_function(c->p, &f, &line.function);
    return rc != 0 ? rc : pprof_out_location(c->p, 0, 0, false, &line, 1, &c->other);
}

/* The stack less what lies below its first node that is not kept. */
static int cut_stack(struct cutter *c, const struct entry *e)
{
    size_t count, kept = 0;
    const uint32_t *ids = locations_of(e, &count);
    uint32_t node = TREE_ROOT;
    for (; kept < count; kept++) {
        int rc = step(c->tree, ids[count - 1 - kept], &node);
        if (rc != 0)
            return rc;
        if (!c->keep[node])
            break;
    }
    if (kept == count)
        return pprof_out_sample(c->p, ids, count, e->value);
    c->stack[0] = c->other;
    for (size_t i = 0; i < kept; i++)
        c->stack[1 + i] = ids[count - kept + i];
    return pprof_out_sample(c->p, c->stack, kept + 1, e->value);
}

static int cut_all(struct cutter *c, uint64_t max_nodes, struct arena *a)
{
    int rc = build_tree(c);
    if (rc == 0 && tree_count(c->tree) <= max_nodes)
        return 0;
    if (rc == 0)
        rc = add_other(c);
    if (rc == 0)
        rc = tree_cut_init(&c->cut, c->tree, max_nodes, TREE_KEEP_OTHER);
    if (rc != 0)
        return rc;
    c->keep = arena_calloc(a, c->tree->count, sizeof *c->keep);
    c->stack = arena_calloc(a, c->longest + 1, sizeof *c->stack);
    for (uint32_t k = 0; k < c->cut.count && c->keep != NULL; k++)
        c->keep[c->cut.node[k] - c->tree->nodes] = true;
    tree_cut_reset(&c->cut, c->tree);
    if (c->keep == NULL || c->stack == NULL)
        return ERR_NOMEM;
    struct table old = c->p->stacks;
    c->p->stacks = (struct table){0};
    for (uint32_t i = 0; i < old.count && rc == 0; i++)
        rc = cut_stack(c, &old.entries[i]);
    mem_free(old.entries);
    mem_free(old.slots);
    uint64_t bytes = (uint64_t)old.cap * (sizeof *old.entries + 2 * sizeof *old.slots);
    mem_uncharge(c->p->account, bytes);
    c->p->charged -= bytes;
    return rc;
}

int pprof_out_cut(struct pprof_out *p, uint64_t max_nodes)
{
    struct cutter c = {.p = p};
    struct arena *a = NULL;
    if (max_nodes == 0 || p->stacks.count == 0)
        return 0;
    int rc = arena_init(&a, 0, p->account);
    if (rc == 0)
        rc = tree_init(&c.tree, p->account);
    if (rc == 0)
        rc = cut_all(&c, max_nodes, a);
    tree_free(&c.tree);
    arena_free(&a);
    return rc;
}
