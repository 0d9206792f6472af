/* ring/readplan_split.c - who counts what: every dot once, whole sets to one disk. */
#include <stdlib.h>

#include "base/mem.h"
#include "ring/readplan_priv.h"

/* Place of a disk for a set: slow ones last; in set order; then by instance id. */
struct place {
    uint32_t disk;
    bool slow;
    uint32_t rank; /* in the set, or its size */
    struct str instance;
};

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->slow != y->slow)
        return x->slow ? 1 : -1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    int c = str_cmp(x->instance, y->instance);
    return c != 0 ? c : (x->disk > y->disk) - (x->disk < y->disk);
}

static void order_for(struct place *order, const struct read_disk *disks, uint32_t count,
                      struct lane_name set)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t rank = 0;
        while (rank < set.set_count && !str_eq(set.set[rank], disks[i].instance))
            rank++;
        order[i] = (struct place){i, disks[i].slow, rank, disks[i].instance};
    }
    qsort(order, count, sizeof *order, by_place);
}

/* Move from `rest` to the disk what it holds of it. */
static int give(struct read_disk *d, struct vector *rest)
{
    struct vector *part = NULL;
    int rc = vector_copy(&part, rest);
    rc = rc != 0 ? rc : vector_and(part, d->held);
    if (rc == 0 && !vector_is_empty(part)) {
        rc = vector_union(d->given, part);
        rc = rc != 0 ? rc : vector_minus(rest, part);
    }
    vector_free(&part);
    return rc;
}

/* The first disk in order that holds all of `todo`, else the one that holds most of it. */
static int best_for(const struct read_disk *disks, const struct place *order, uint32_t count,
                    const struct vector *todo, uint32_t *best)
{
    uint64_t most = 0;
    *best = order[0].disk;
    for (uint32_t i = 0; i < count; i++) {
        if (vector_covers(disks[order[i].disk].held, todo)) {
            *best = order[i].disk;
            return 0;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct vector *part = NULL;
        int rc = vector_copy(&part, todo);
        rc = rc != 0 ? rc : vector_and(part, disks[order[i].disk].held);
        uint64_t size = rc == 0 ? vector_size(part) : 0;
        vector_free(&part);
        if (rc != 0)
            return rc;
        if (size > most) {
            most = size;
            *best = order[i].disk;
        }
    }
    return 0;
}

/* Split the dots of one set. */
static int split_set(struct read_disk *disks, uint32_t count, struct place *order,
                     struct lane_name set, struct vector *todo)
{
    uint32_t best;
    order_for(order, disks, count, set);
    int rc = best_for(disks, order, count, todo, &best);
    rc = rc != 0 ? rc : give(&disks[best], todo);
    for (uint32_t i = 0; rc == 0 && i < count && !vector_is_empty(todo); i++)
        rc = give(&disks[order[i].disk], todo);
    return rc;
}

static int by_set(const void *a, const void *b, void *arg)
{
    const struct vector *v = arg;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int c = lane_set_cmp(vector_name(v, x), vector_name(v, y));
    return c != 0 ? c : (x > y) - (x < y);
}

/* Append lane i of `from` to v. */
static int add_lane(struct vector *v, const struct vector *from, uint32_t i)
{
    const struct seqset *s = vector_seqs(from, i);
    uint32_t lane;
    int rc = vector_lane(v, vector_name(from, i), &lane);
    for (uint32_t k = 0; rc == 0 && k < s->count; k++)
        rc = vector_add(v, lane, s->runs[k].first, s->runs[k].last);
    return rc;
}

static int split_sets(struct read_disk *disks, uint32_t count, const struct vector *todo,
                      const uint32_t *lanes, struct place *order)
{
    uint32_t lane_count = vector_count(todo);
    int rc = 0;
    for (uint32_t i = 0, end; rc == 0 && i < lane_count; i = end) {
        struct lane_name set = vector_name(todo, lanes[i]);
        struct vector *of_set = NULL;
        rc = vector_init(&of_set);
        for (end = i; rc == 0 && end < lane_count &&
                      lane_set_cmp(vector_name(todo, lanes[end]), set) == 0;
             end++)
            rc = add_lane(of_set, todo, lanes[end]);
        if (rc == 0 && !vector_is_empty(of_set))
            rc = split_set(disks, count, order, set, of_set);
        vector_free(&of_set);
    }
    return rc;
}

int read_split(struct read_disk *disks, uint32_t count, const struct vector *todo)
{
    if (count == 0)
        return 0;
    uint32_t lane_count = vector_count(todo);
    uint32_t *lanes = mem_calloc((size_t)lane_count + 1, sizeof *lanes);
    struct place *order = mem_calloc(count, sizeof *order);
    int rc = lanes == NULL || order == NULL ? ERR_NOMEM : 0;
    if (rc == 0) {
        for (uint32_t i = 0; i < lane_count; i++)
            lanes[i] = i;
        qsort_r(lanes, lane_count, sizeof *lanes, by_set, (void *)(uintptr_t)todo);
        rc = split_sets(disks, count, todo, lanes, order);
    }
    mem_free(lanes);
    mem_free(order);
    return rc;
}

/* --- classes ------------------------------------------------------------------------------- */

/* Add to `given` the dots of class `root` that the disk holds; *any: it has some. */
static int give_class(struct read_disk *d, const struct read_union *u, const uint32_t *members,
                      uint32_t count, const struct aliases *links, bool *any)
{
    int rc = 0;
    *any = false;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        const struct read_node *n = &u->nodes[members[i]];
        struct lane_name name = aliases_lane(links, n->lane);
        uint32_t lane;
        if (!vector_has(d->held, name, n->seq))
            continue;
        *any = true;
        rc = vector_lane(d->given, name, &lane);
        rc = rc != 0 ? rc : vector_add(d->given, lane, n->seq, n->seq);
    }
    return rc;
}

int read_split_classes(struct read_disk *disks, uint32_t count, const struct read_union *u,
                       const struct aliases *links)
{
    if (u->node_count == 0 || count == 0)
        return 0;
    struct place *order = mem_calloc(count, sizeof *order);
    int rc = order == NULL ? ERR_NOMEM : 0;
    for (uint32_t i = 0, end; rc == 0 && i < u->node_count; i = end) {
        end = read_union_class_end(u, i);
        if (!u->strong[read_union_root(u, u->members[i])])
            continue;
        order_for(order, disks, count, aliases_lane(links, u->nodes[u->members[i]].lane));
        bool any = false;
        for (uint32_t k = 0; rc == 0 && !any && k < count; k++)
            rc = give_class(&disks[order[k].disk], u, u->members + i, end - i, links, &any);
    }
    mem_free(order);
    return rc;
}
