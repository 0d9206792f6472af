/* alloy/eval_priv.h - between the evaluator, the operators and the functions of the language. */
#ifndef ALLOY_EVAL_PRIV_H
#define ALLOY_EVAL_PRIV_H

#include "alloy/eval.h"
#include "base/buf.h"

struct alloy_call {
    struct alloy_eval *ev;
    const struct alloy_value *callee; /* to complain about the call as a whole */
    const struct alloy_value *args;
    size_t count;
};

/* A function: `params` has one letter an argument: s string, S secret, l list(string), v any
 * value; a final * makes it any number of the letter before it. Arguments are converted first. */
struct alloy_function {
    const char *name;  /* "string.format" */
    const char *alias; /* old name, "format"; NULL for none */
    const char *params;
    int (*run)(struct alloy_call *c, struct alloy_value *out);
};

/* Operators; the sides are evaluated. ERR_PARSE with a diagnostic. */
int alloy_binary(struct alloy_eval *ev, enum alloy_token_kind op, const struct alloy_value *a,
                 const struct alloy_value *b, struct alloy_value *out);
int alloy_unary(struct alloy_eval *ev, enum alloy_token_kind op, const struct alloy_value *a,
                struct alloy_value *out);

/* Value of a literal. */
int alloy_literal(struct alloy_eval *ev, const struct alloy_expr *e, struct alloy_value *out);

/* Call with arguments evaluated: count and types are checked and converted. */
int alloy_call(struct alloy_eval *ev, const struct alloy_value *callee,
               const struct alloy_value *args, size_t count, struct alloy_value *out);

/* The buffer's text as a string value in the arena; resets the buffer. */
int alloy_take_string(struct alloy_eval *ev, struct buf *b, struct alloy_value *out);

/* A secret in the arena. */
int alloy_make_secret(struct alloy_eval *ev, struct str text, struct alloy_value *out);

/* A text of JSON or YAML as a value. ERR_PARSE with the reason in err. */
int alloy_from_json(struct alloy_eval *ev, struct str text, struct alloy_value *out,
                    struct err *err);
int alloy_from_yaml(struct alloy_eval *ev, struct str text, struct alloy_value *out,
                    struct err *err);

/* Append an object as JSON, keys sorted. ERR_PARSE for what has none (functions, capsules). */
int alloy_to_json(const struct alloy_value *v, struct buf *out);

/* Append as Go's fmt.Sprintf(format, args...). */
void alloy_sprintf(struct str format, const struct alloy_value *args, size_t count,
                   struct buf *out);

/* Functions by file: text, data. Tables end with name NULL. */
extern const struct alloy_function alloy_text_functions[];
extern const struct alloy_function alloy_data_functions[];

#endif
