/* alloy/graph_priv.h - between loading and references. */
#ifndef ALLOY_GRAPH_PRIV_H
#define ALLOY_GRAPH_PRIV_H

#include "alloy/ast.h"
#include "alloy/eval.h"
#include "alloy/graph.h"
#include "base/map.h"
#include "base/mem.h"

struct graph_node {
    struct alloy_node pub;
    struct str id;
    struct alloy_graph *graph;
    const struct alloy_file *file;
    struct alloy_stmt *stmt;
    struct arena *arenas[2]; /* arguments of the last two evaluations */
    struct mem_account accounts[2];
    struct arena *export_arena; /* values that were exported */
    struct alloy_value *exports;
    size_t export_count;
    struct graph_node **needs; /* the same as pub.needs */
    bool on_stack;             /* the rest is of the search for circles */
    uint32_t number, low, step;
    struct graph_node *next;
};

struct alloy_graph {
    struct alloy_host host;
    struct arena *arena; /* trees and nodes */
    struct graph_node *nodes;
    struct graph_node **order;
    size_t count;
    struct map *by_id;
    struct arena *scope; /* what names stand for, made when asked for */
    struct alloy_value root;
    bool has_root, loading;
};

/* An error "before name after" at bytes of a file (NULL: nowhere). */
void graph_error(struct alloy_graph *g, struct alloy_diags *diags, const struct alloy_file *f,
                 uint32_t start, uint32_t end, const char *before, struct str name,
                 const char *after);

/* Find out what each node refers to, and the order. Errors are in diags; ERR_NOMEM. */
int graph_resolve(struct alloy_graph *g, struct alloy_diags *diags);

/* Put together what names stand for, unless that was done since the last export. ERR_NOMEM. */
int graph_make_scope(struct alloy_graph *g);

/* What the first part of a component's name stands for: an object of objects, down to exports.
 * After graph_make_scope(). */
bool graph_lookup(struct alloy_graph *g, struct str name, struct alloy_value *out);

/* An export changed: look everything up anew. */
void graph_forget_scope(struct alloy_graph *g);

#endif
