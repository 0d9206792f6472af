/* alloy/parse_priv.h - between the parsers of statements and of expressions. */
#ifndef ALLOY_PARSE_PRIV_H
#define ALLOY_PARSE_PRIV_H

#include "alloy/ast.h"

struct parser {
    struct alloy_file *file;
    struct arena *arena;
    struct alloy_diags *diags;
    struct alloy_lexer lexer;
    struct alloy_token tok;
    uint32_t error_line; /* of the last parse error: one a line is kept */
    uint32_t depth, nodes;
    struct alloy_comment **comments;
    uint32_t comment_line; /* where the last comment ended */
    bool over;             /* a limit was hit, or no memory: nothing more is read */
    int error;
};

/* An error over bytes of the text; end ALLOY_NO_OFFSET for one byte. */
void parse_add_diag(struct parser *p, uint32_t start, uint32_t end, const char *message);

/* An error at the current token, unless its line has one already. */
void parse_fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Read no more: every loop ends at EOF. message may be NULL (no memory). */
void parse_give_up(struct parser *p, int error, const char *message);

/* A zeroed node in the arena; NULL: the parser gave up. */
void *parse_new_node(struct parser *p, size_t size);

/* Step to the next token that is no comment. */
void parse_next(struct parser *p);

/* Step to a token of this kind, or the end. */
void parse_advance_to(struct parser *p, enum alloy_token_kind kind);

/* Take a token of this kind; another one is an error and taken too. Returns what was there. */
struct alloy_token parse_expect(struct parser *p, enum alloy_token_kind kind);

/* Step to the end of a statement that cannot be read, brackets counted. */
void parse_skip_statement(struct parser *p);

/* Enter one level; false, with a diagnostic, when it is one too many. Leave by p->depth--. */
bool parse_enter(struct parser *p);

/* NULL only when the parser gave up. */
struct alloy_expr *parse_expr(struct parser *p);

/* Statements up to a token, which is not taken. */
struct alloy_stmt *parse_body(struct parser *p, enum alloy_token_kind until);

#endif
