/* profile/tree_priv.h - the tree's arrays, for the files that read them as a whole. */
#ifndef PROFILE_TREE_PRIV_H
#define PROFILE_TREE_PRIV_H

#include "profile/tree.h"

/* Parents come before their children. */
struct tree_node {
    uint32_t parent, name;
    uint64_t self;
};

/* The key lies in the table: a look-up touches one cache line. */
struct tree_slot {
    uint32_t parent, name, node; /* node 0: empty */
};

struct tree_name {
    struct str text;
    uint64_t hash;
};

struct tree {
    struct mem_account *account;
    uint64_t charged;

    struct arena *bytes; /* of the names */
    struct tree_name *names;
    uint32_t name_count, name_cap;
    uint32_t *name_slots; /* index + 1; 0: empty */
    uint32_t name_mask;

    struct tree_node *nodes; /* [0] is the root */
    uint32_t count, cap;     /* with the root */
    struct tree_slot *slots;
    uint32_t mask;
};

/* Values are at most 2^63 - 1, sums stop there. */
static inline uint64_t tree_sum(uint64_t a, uint64_t b)
{
    uint64_t s = a + b;
    return s > INT64_MAX ? INT64_MAX : s;
}

/* Index of a name that may not be there: UINT32_MAX. */
uint32_t tree_find_name(const struct tree *t, struct str name);

/* What becomes of a real child called "other". */
enum tree_fold { TREE_FOLD_OTHER, TREE_KEEP_OTHER };

/* What is left of a tree after cutting, in order. Indexes are the cut's own: k = 0 is the root,
 * parents come before children. */
struct tree_cut {
    uint32_t count;
    const struct tree_node **node; /* the tree's */
    uint64_t *total;
    uint64_t *rest;  /* sum of the dropped children */
    uint32_t *first; /* children of k: child[first[k]] .. child[first[k + 1] - 1] */
    uint32_t *child; /* in byte order of their names */
    void *memory;
    uint64_t charged;
};

/* Requires a tree with a node. ERR_NOMEM, ERR_LIMIT (the tree's account). */
int tree_cut_init(struct tree_cut *c, const struct tree *t, uint64_t max_nodes,
                  enum tree_fold fold);
void tree_cut_reset(struct tree_cut *c, const struct tree *t);

#endif
