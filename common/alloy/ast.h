/* alloy/ast.h - a configuration text as a tree, with the place of everything.
 *
 * Places are offsets of bytes; alloy_pos_at() makes lines and columns of them. The tree lives
 * in the arena it was parsed into and borrows the text. Depth is bounded by ALLOY_DEPTH_MAX,
 * chains like a.b.c and 1+1+1 counted too, so that a walk may recurse. Pure; one owner thread.
 * Tests: tests/unit/alloy/test_parse.c; fuzz: tests/fuzz/fuzz_alloy.c. */
#ifndef ALLOY_AST_H
#define ALLOY_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/diag.h"
#include "alloy/token.h"
#include "base/str.h"

struct arena;

enum {
    ALLOY_DEPTH_MAX = 200,
    ALLOY_TREE_MAX = 200000,  /* expressions and statements of a text */
    ALLOY_TEXT_MAX = 4 << 20, /* bytes */
};

#define ALLOY_NO_OFFSET UINT32_MAX

enum alloy_expr_kind {
    ALLOY_E_LITERAL, /* text, op: kind of token */
    ALLOY_E_IDENT,   /* text */
    ALLOY_E_ARRAY,   /* first, count */
    ALLOY_E_OBJECT,  /* fields, count */
    ALLOY_E_PAREN,   /* left */
    ALLOY_E_UNARY,   /* op, left */
    ALLOY_E_BINARY,  /* left, op, right */
    ALLOY_E_ACCESS,  /* left . text */
    ALLOY_E_INDEX,   /* left [ right ] */
    ALLOY_E_CALL,    /* left ( first, count ) */
};

struct alloy_expr {
    enum alloy_expr_kind kind;
    enum alloy_token_kind op;
    uint32_t start, end; /* first and last byte */
    uint32_t mark;       /* of the operator, the name, the [ or the ( inside */
    uint32_t depth;      /* 1 for a leaf */
    bool secret;         /* decoded into a secret: not to be shown */
    struct str text;
    struct alloy_expr *left, *right;
    struct alloy_expr *first; /* elements or arguments, by next */
    struct alloy_key *fields;
    size_t count;
    struct alloy_expr *next;
};

/* A field of an object. */
struct alloy_key {
    struct str name;    /* without quotes, escapes as they stand */
    struct str literal; /* as written */
    bool quoted;
    uint32_t start;
    struct alloy_expr *value;
    struct alloy_key *next;
};

/* An attribute (value is set) or a block. */
struct alloy_stmt {
    struct str name; /* of a block with its dots */
    uint32_t start, end;
    struct alloy_expr *value;
    struct str label;        /* of a block; empty for none */
    uint32_t label_at, open; /* offsets of label (or ALLOY_NO_OFFSET) and { */
    struct alloy_stmt *body;
    struct alloy_stmt *next;
};

struct alloy_comment {
    uint32_t start;
    struct str text;
    bool begins_group; /* false for one that follows the last one closely */
    struct alloy_comment *next;
};

struct alloy_file {
    struct alloy_text source;
    struct alloy_stmt *body;
    struct alloy_comment *comments;
    const uint32_t *lines; /* offsets where lines start */
    size_t line_count;
};

/* Parse a text into the arena, borrowing it. ERR_PARSE with at least one error in diags;
 * ERR_NOMEM. *out is untouched on failure. */
int alloy_parse(struct alloy_file **out, const struct alloy_text *source, struct arena *a,
                struct alloy_diags *diags);

/* Line and column of an offset; line 0 for ALLOY_NO_OFFSET. */
struct alloy_pos alloy_pos_at(const struct alloy_file *f, uint32_t offset);

/* True when two trees say the same: all but places, comments and layout. */
bool alloy_ast_equal(const struct alloy_stmt *a, const struct alloy_stmt *b);

#endif
