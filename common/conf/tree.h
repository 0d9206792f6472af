/* conf/tree.h - a YAML text as a tree of nodes with their positions; the only user of libyaml.
 *
 * Strict, as Go's yaml in strict mode: repeated keys, undefined or circular aliases, a second
 * document and keys that are not scalars are errors. Aliases share the children of their
 * anchor, and `<<` merges are copied in at one level, so a small text cannot grow large; depth
 * and nodes are bounded because libyaml bounds neither. Pure; one owner thread. Tests:
 * tests/unit/conf/test_tree.c; fuzz: tests/fuzz/fuzz_conf.c. */
#ifndef CONF_TREE_H
#define CONF_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct arena;

enum { TREE_DEPTH_MAX = 64, TREE_NODES_MAX = 10000 };

enum tree_kind { TREE_SCALAR, TREE_MAP, TREE_SEQ };

struct tree_node {
    enum tree_kind kind;
    bool quoted;     /* a scalar that is text whatever it looks like */
    uint32_t line;   /* from 1 */
    uint32_t column; /* from 1 */
    struct str text; /* of a scalar; NUL-terminated too, no NUL inside */
    uint32_t count;  /* children; of a map keys and values */
    struct tree_node *first, *last, *next;
};

/* Parse into the arena. An empty text gives *out = NULL. `name` stands in front of positions in
 * the error: "name:line:column: what". ERR_PARSE, ERR_LIMIT, ERR_NOMEM. */
int tree_parse(const struct tree_node **out, struct str text, const char *name, struct arena *a,
               struct err *err);

/* True for a plain scalar that YAML reads as null: nothing, ~, null. */
bool tree_is_null(const struct tree_node *n);

#endif
