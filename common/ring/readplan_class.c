/* ring/readplan_class.c - the union of what disks hold, less the weak dots, with repeats joined
 * into classes (A9b, A9c). */
#include <stdlib.h>

#include "base/mem.h"
#include "ring/readplan_priv.h"

void read_union_reset(struct read_union *u)
{
    vector_free(&u->plain);
    vector_free(&u->suspects);
    mem_free(u->nodes);
    mem_free(u->members);
    mem_free(u->strong);
    *u = (struct read_union){0};
}

/* --- classes ------------------------------------------------------------------------------- */

static int node_cmp(const void *a, const void *b)
{
    const struct read_node *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

uint32_t read_union_root(const struct read_union *u, uint32_t i)
{
    while (u->nodes[i].parent != i)
        i = u->nodes[i].parent;
    return i;
}

uint32_t read_union_class_end(const struct read_union *u, uint32_t at)
{
    uint32_t root = read_union_root(u, u->members[at]), end = at + 1;
    while (end < u->node_count && read_union_root(u, u->members[end]) == root)
        end++;
    return end;
}

static int by_root(const void *a, const void *b, void *arg)
{
    const struct read_union *u = arg;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    uint32_t r = read_union_root(u, x), s = read_union_root(u, y);
    return r != s ? (r > s) - (r < s) : (x > y) - (x < y);
}

static uint32_t node_of(const struct read_union *u, uint32_t lane, uint32_t seq)
{
    const struct read_node key = {.lane = lane, .seq = seq};
    const struct read_node *n =
        bsearch(&key, u->nodes, u->node_count, sizeof *u->nodes, node_cmp);
    return (uint32_t)(n - u->nodes);
}

/* Make a and b one class. The lower root stays, and paths are halved on the way. */
static void join(struct read_union *u, uint32_t a, uint32_t b)
{
    uint32_t ends[2] = {a, b};
    for (int k = 0; k < 2; k++) {
        uint32_t i = ends[k];
        while (u->nodes[i].parent != i) {
            u->nodes[i].parent = u->nodes[u->nodes[i].parent].parent;
            i = u->nodes[i].parent;
        }
        ends[k] = i;
    }
    if (ends[0] < ends[1])
        u->nodes[ends[1]].parent = ends[0];
    else
        u->nodes[ends[0]].parent = ends[1];
}

static int make_classes(struct read_union *u, const struct aliases *links)
{
    size_t count = aliases_count(links);
    u->nodes = mem_calloc(count * 2 + 1, sizeof *u->nodes);
    u->strong = mem_calloc(count * 2 + 1, sizeof *u->strong);
    u->members = mem_calloc(count * 2 + 1, sizeof *u->members);
    if (u->nodes == NULL || u->strong == NULL || u->members == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct alias *a = aliases_at(links, i);
        u->nodes[2 * i] = (struct read_node){.lane = a->repeat_lane, .seq = a->repeat_seq};
        u->nodes[2 * i + 1] = (struct read_node){.lane = a->row_lane, .seq = a->row_seq};
    }
    qsort(u->nodes, count * 2, sizeof *u->nodes, node_cmp);
    for (size_t i = 0; i < count * 2; i++)
        if (i == 0 || node_cmp(&u->nodes[i], &u->nodes[u->node_count - 1]) != 0)
            u->nodes[u->node_count++] = u->nodes[i];
    for (uint32_t i = 0; i < u->node_count; i++)
        u->nodes[i].parent = i;
    for (size_t i = 0; i < count; i++) {
        const struct alias *a = aliases_at(links, i);
        join(u, node_of(u, a->repeat_lane, a->repeat_seq), node_of(u, a->row_lane, a->row_seq));
    }
    for (uint32_t i = 0; i < u->node_count; i++)
        u->members[i] = i;
    qsort_r(u->members, u->node_count, sizeof *u->members, by_root, u);
    return 0;
}

static int node_to(struct vector *v, const struct read_node *n, const struct aliases *links)
{
    uint32_t lane;
    int rc = vector_lane(v, aliases_lane(links, n->lane), &lane);
    return rc != 0 ? rc : vector_add(v, lane, n->seq, n->seq);
}

/* --- domains ------------------------------------------------------------------------------- */

/* What the disks of each domain hold together. */
struct by_domain {
    struct vector **held;
    struct str *names; /* borrowed from the disks */
    uint32_t count;
};

static void by_domain_reset(struct by_domain *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        vector_free(&b->held[i]);
    mem_free(b->held);
    mem_free(b->names);
    *b = (struct by_domain){0};
}

static int group(struct by_domain *b, const struct read_disk *disks, uint32_t count)
{
    b->held = mem_calloc((size_t)count + 1, sizeof *b->held);
    b->names = mem_calloc((size_t)count + 1, sizeof *b->names);
    int rc = b->held == NULL || b->names == NULL ? ERR_NOMEM : 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        uint32_t at = 0;
        while (at < b->count && !str_eq(b->names[at], disks[i].domain))
            at++;
        if (at == b->count) {
            rc = vector_init(&b->held[at]);
            b->names[at] = disks[i].domain;
            b->count += rc == 0;
        }
        rc = rc != 0 ? rc : vector_union(b->held[at], disks[i].held);
    }
    return rc;
}

/* How many domains hold some dot of the class members[from .. end). */
static uint32_t class_domains(const struct read_union *u, uint32_t from, uint32_t end,
                              const struct by_domain *b, const struct aliases *links)
{
    uint32_t domains = 0;
    for (uint32_t d = 0; d < b->count; d++) {
        bool holds = false;
        for (uint32_t i = from; !holds && i < end; i++) {
            const struct read_node *n = &u->nodes[u->members[i]];
            holds = vector_has(b->held[d], aliases_lane(links, n->lane), n->seq);
        }
        domains += holds;
    }
    return domains;
}

/* --- the union ----------------------------------------------------------------------------- */

static int fill_plain(struct read_union *u, const struct by_domain *b, const struct vector *linked,
                      uint32_t need, uint32_t quorum)
{
    const struct vector *const *held = (const struct vector *const *)b->held;
    struct vector *safe = NULL;
    int rc = vector_in_at_least(held, b->count, need > 0 ? need : 1, &u->plain);
    rc = rc != 0 ? rc : vector_minus(u->plain, linked);
    if (rc != 0 || need >= quorum)
        return rc != 0 ? rc : vector_init(&u->suspects); /* what counts is safe */
    rc = vector_copy(&u->suspects, u->plain);
    rc = rc != 0 ? rc : vector_in_at_least(held, b->count, quorum, &safe);
    rc = rc != 0 ? rc : vector_minus(u->suspects, safe);
    vector_free(&safe);
    return rc;
}

/* Add the held dots of the class to the suspects. */
static int suspect_class(struct read_union *u, uint32_t from, uint32_t end,
                         const struct by_domain *b, const struct aliases *links)
{
    int rc = 0;
    for (uint32_t i = from; i < end; i++) {
        const struct read_node *n = &u->nodes[u->members[i]];
        for (uint32_t d = 0; rc == 0 && d < b->count; d++)
            if (vector_has(b->held[d], aliases_lane(links, n->lane), n->seq))
                rc = node_to(u->suspects, n, links);
    }
    return rc;
}

static int fill_classes(struct read_union *u, const struct by_domain *b,
                        const struct aliases *links, uint32_t need, uint32_t quorum)
{
    int rc = 0;
    for (uint32_t i = 0, end; rc == 0 && i < u->node_count; i = end) {
        end = read_union_class_end(u, i);
        uint32_t domains = class_domains(u, i, end, b, links);
        bool strong = domains >= (need > 0 ? need : 1);
        u->strong[read_union_root(u, u->members[i])] = strong;
        if (strong && domains < quorum)
            rc = suspect_class(u, i, end, b, links);
    }
    return rc;
}

int read_union_make(struct read_union *u, const struct read_disk *disks, uint32_t count,
                    const struct aliases *links, uint32_t need, uint32_t quorum)
{
    struct by_domain b = {0};
    struct vector *linked = NULL;
    int rc = group(&b, disks, count);
    rc = rc != 0 ? rc : make_classes(u, links);
    rc = rc != 0 ? rc : vector_init(&linked);
    for (uint32_t i = 0; rc == 0 && i < u->node_count; i++)
        rc = node_to(linked, &u->nodes[i], links);
    rc = rc != 0 ? rc : fill_plain(u, &b, linked, need, quorum);
    rc = rc != 0 ? rc : fill_classes(u, &b, links, need, quorum);
    by_domain_reset(&b);
    vector_free(&linked);
    if (rc != 0)
        read_union_reset(u);
    return rc;
}
