/* alloy/graph.h - a configuration loaded: components, what they refer to, and their arguments.
 *
 *   static const struct alloy_component types[] = {
 *       {"pyroscope.receive_http", &receive_schema, NULL},
 *       {"pyroscope.write", &write_schema, write_exports},   // {"receiver",
 * "pyroscope.Appendable"}
 *       {"logging", &alloy_logging_schema, NULL, .config = true},
 *   };
 *   struct alloy_host host = {.types = types, .type_count = 3, .env = getenv_fn};
 *   struct alloy_text text = {STR("config.alloy"), contents};
 *   struct alloy_graph *g = NULL;
 *   struct alloy_diags diags = {0};
 *   int rc = alloy_load(&g, &text, 1, &host, &diags);
 *   if (rc != 0) { alloy_diags_print(&diags, &text, 1, &out); ... exit 1 }
 *   for (size_t i = 0; i < alloy_graph_count(g); i++) {        // what is referred to comes
 * first const struct alloy_node *n = alloy_graph_node(g, i); if (n->type == &types[1])
 * start_write(n->id, n->args);
 *   }
 *
 * A `forward_to` holds capsules: capsule->node->args is the component it leads to, and
 * node->index its place in the order. A reload is a second alloy_load(); compare nodes by id
 * and args. Components whose exports are values (targets, content) give them with
 * alloy_graph_export(), which evaluates again whoever depends on them.
 *
 * Pure: no file, no clock; the environment is a function. One owner thread.
 * Tests: tests/unit/alloy/test_graph.c; fuzz: tests/fuzz/fuzz_alloy.c. */
#ifndef ALLOY_GRAPH_H
#define ALLOY_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/diag.h"
#include "alloy/schema.h"
#include "alloy/value.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { ALLOY_NODES_MAX = 10000 };

/* One export of a component; a table ends with name NULL. */
struct alloy_export {
    const char *name;    /* "receiver" */
    const char *capsule; /* its type, "pyroscope.Appendable"; NULL: a value, null until set */
};

/* One kind of component, or a top-level block without label (config). */
struct alloy_component {
    const char *name; /* "pyroscope.write"; "logging" */
    const struct alloy_schema *args;
    const struct alloy_export *exports; /* NULL: none */
    bool config;                        /* no label, at most once, exports nothing */
};

struct alloy_node;

/* What the configuration is loaded into. The struct is copied, what it points to is borrowed
 * for the life of the graph. */
struct alloy_host {
    const struct alloy_component *types;
    size_t type_count;
    /* Value of an environment variable, NULL when it is not set. May be NULL: none is set. */
    const char *(*env)(void *arg, const char *name);
    /* Called during alloy_load() after a component's arguments were decoded, in order, so that
     * it may give exports (alloy_graph_export) before those that refer to it are evaluated. Not
     * 0 with err set is a diagnostic: "building component: ...". May be NULL. */
    int (*build)(void *arg, const struct alloy_node *n, struct err *err);
    void *arg;
    const char *hostname, *version; /* constants.hostname and .version; may be NULL: "" */
};

/* A component of a graph. Read only. */
struct alloy_node {
    const char *id;   /* "pyroscope.write.default", or "logging" */
    struct str label; /* "default" */
    const struct alloy_component *type;
    size_t index; /* in evaluation order */
    const void
        *args; /* the struct of type->args; valid until this node is evaluated twice more */
    struct str file; /* where it is declared */
    struct alloy_pos start, end;
    const struct alloy_node *const *needs; /* nodes this one refers to, each once */
    size_t need_count;
    uint64_t version; /* evaluations so far */
};

struct alloy_graph;

/* Load the texts as one configuration, in their order. 0 with *out the caller's and perhaps
 * warnings in diags; ERR_PARSE with *out untouched and the errors in diags; ERR_NOMEM. The
 * texts are copied. Texts are at most 4 MiB together. */
int alloy_load(struct alloy_graph **out, const struct alloy_text *texts, size_t count,
               const struct alloy_host *host, struct alloy_diags *diags);
void alloy_graph_free(struct alloy_graph **g); /* NULL-safe; leaves *g NULL */

/* Nodes in evaluation order: a node stands behind all that it refers to; else in file order. */
size_t alloy_graph_count(const struct alloy_graph *g);
const struct alloy_node *alloy_graph_node(const struct alloy_graph *g, size_t i);

/* By id ("pyroscope.write.default"), or NULL. */
const struct alloy_node *alloy_graph_find(const struct alloy_graph *g, struct str id);

/* Set an export that is a value (copied) and evaluate, in order, the nodes that refer to n,
 * except during `build`, when they come later anyhow. Nodes whose arguments no longer decode
 * keep the old ones and are named in diags (may be NULL). 0, ERR_NOENT: n has no such export;
 * ERR_PARSE: some node failed; ERR_NOMEM. */
int alloy_graph_export(struct alloy_graph *g, const struct alloy_node *n, const char *name,
                       const struct alloy_value *value, struct alloy_diags *diags);

/* The arguments as written in the file, for pages: the body of the block, formatted, with the
 * values of secret attributes replaced by (secret). */
void alloy_graph_print(const struct alloy_graph *g, const struct alloy_node *n,
                       struct buf *out);

/* logging { level, format }: the config block every host knows. */
struct alloy_logging {
    struct str level;  /* error, warn, info (default), debug */
    struct str format; /* logfmt (default) or json */
};
extern const struct alloy_schema alloy_logging_schema;

#endif
