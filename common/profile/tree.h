/* profile/tree.h - a call tree by function name: merge, cut to size, draw as a flame graph.
 *
 * Rules and byte formats are Pyroscope's (pkg/model/tree.go and flamegraph.go). Children of a
 * node are distinct by name; order is made when it is needed (byte order of names), so that
 * answers do not depend on the order in which stacks came. Names are copied into the tree.
 *
 * Cutting to N nodes: nodes whose total is at least the N-th largest stay, ties included; what
 * is dropped below one parent becomes one child "other" with self = total = the sum. In a flame
 * graph a child that is itself called "other" always goes into it; in tree bytes it stays and
 * grows.
 *
 * Pure; one owner thread. Tests: tests/unit/profile/test_tree.c; fuzz: tests/fuzz/fuzz_tree.c;
 * bench: tests/bench/bench_tree.c. */
#ifndef PROFILE_TREE_H
#define PROFILE_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct arena;
struct mem_account;
struct tree;

enum { TREE_ROOT = 0 }; /* the virtual root: no name, self 0 */

/* An empty tree, charged to `account` (may be NULL). ERR_NOMEM, ERR_LIMIT. */
int tree_init(struct tree **out, struct mem_account *account);
void tree_free(struct tree **t);

/* Index of `name` in the tree's name table, added when new. ERR_NOMEM, ERR_LIMIT. */
int tree_name(struct tree *t, struct str name, uint32_t *id);

/* Child of `parent` with that name, added when new; its index is above the parent's.
 * ERR_NOMEM, ERR_LIMIT. */
int tree_child(struct tree *t, uint32_t parent, uint32_t name, uint32_t *node);

/* Add to the self value of a node (values are unsigned; a sum stops at 2^63 - 1). The root has
 * no value in any of the formats: what a stack without frames adds there is dropped, as at the
 * peer. */
void tree_add(struct tree *t, uint32_t node, uint64_t value);

/* Nodes, without the virtual root. */
uint32_t tree_count(const struct tree *t);

/* Sum of all self values. */
uint64_t tree_total(const struct tree *t);

/* Add all of `from` to `into`. ERR_NOMEM, ERR_LIMIT: into is then between old and new. */
int tree_merge(struct tree *into, const struct tree *from);

/* Append the tree's bytes, cut to max_nodes (0: whole). An empty tree is zero bytes. Node: uv
 * length, name, uv self, uv number of children; the root first, then always the last child not
 * yet written of the node written last. ERR_NOMEM, ERR_LIMIT, or the buffer's error. */
int tree_encode(const struct tree *t, uint64_t max_nodes, struct buf *out);

/* Merge tree bytes (hostile) into t; fewer than two are an empty tree. At most nodes_max nodes
 * may be in them (0: 2^31). ERR_PARSE with the offset, ERR_LIMIT, ERR_NOMEM: t is then between
 * old and new. */
int tree_decode(struct tree *t, struct str bytes, uint32_t nodes_max, struct err *err);

/* A flame graph in the peer's encoding. */
struct flamegraph_level {
    int64_t *values; /* per node: delta of x, total, self, index of the name */
    size_t count;    /* values, 4 per node */
};

struct flamegraph {
    struct str *names; /* [0] is "total" */
    size_t name_count;
    struct flamegraph_level *levels;
    size_t level_count;
    int64_t total, max_self;
};

/* Draw t, cut to max_nodes (0: whole), into the arena; names borrow from the tree. An empty
 * tree gives names ["total"], one level [0,0,0,0]. ERR_NOMEM, ERR_LIMIT. */
int tree_flamegraph(const struct tree *t, uint64_t max_nodes, struct arena *a,
                    struct flamegraph *out);

#endif
