/* alloy/eval.h - what an expression is worth, given what its names stand for.
 *
 * Operators, conversions and messages are Alloy's; both sides of && and || are evaluated,
 * integers divide as integers, + joins strings, and a secret joined with a string is a secret.
 * Names are looked up in the scope first, then among the functions and constants of the
 * language: sys.env, array.concat, string.*, encoding.*, convert.nonsensitive, coalesce,
 * json_path, file.path_join, constants.*, and the old names env, concat, format and so on.
 *
 * Time and memory are bounded by the arena's account: what no longer fits is a diagnostic.
 * Pure: the environment is a function. One owner thread. Tests: tests/unit/alloy/test_eval.c. */
#ifndef ALLOY_EVAL_H
#define ALLOY_EVAL_H

#include "alloy/ast.h"
#include "alloy/diag.h"
#include "alloy/value.h"
#include "base/err.h"

enum { ALLOY_EVAL_BYTES_MAX = 32 << 20 }; /* a good limit for the arena's account */

struct alloy_eval {
    const struct alloy_file *file; /* where the expressions stand */
    struct arena *arena;           /* for values */
    struct alloy_diags *diags;
    /* Value of a name, false when it stands for nothing. May be NULL. */
    bool (*lookup)(void *arg, struct str name, struct alloy_value *out);
    /* As of struct alloy_host. May be NULL. */
    const char *(*env)(void *arg, const char *name);
    void *lookup_arg, *env_arg;
    const char *hostname, *version;
    /* Text of an error that belongs to no place (or to the caller's); empty otherwise. */
    struct err err;
    /* Of such an error that a schema's validate brought: the statement that it is about, if it is
     * one inside. */
    bool judged;
    const struct alloy_stmt *fault;
};

/* Evaluate. 0; ERR_PARSE with the reason in diags, or in ev->err when it has no place;
 * ERR_NOMEM. */
int alloy_eval_expr(struct alloy_eval *ev, const struct alloy_expr *e, struct alloy_value *out);

/* What the language itself calls `name`: an object of functions, a function. False: nothing. */
bool alloy_stdlib_lookup(struct alloy_eval *ev, struct str name, struct alloy_value *out);

/* True for old names of functions, which Alloy warns about. */
bool alloy_stdlib_is_deprecated(struct str name);

/* --- errors about values, and conversions, for decoders ----------------------------------- */

/* The way from a value into its parts, innermost last. */
struct alloy_path {
    const struct alloy_path *up;
    const struct alloy_value *value; /* the array or object */
    bool is_field;
    size_t index;
    struct str field;
};

/* Add "<expression> message" at the place where `value` is written, or else where the nearest
 * value on the path is. Returns ERR_PARSE. */
int alloy_fault(struct alloy_eval *ev, const struct alloy_path *path,
                const struct alloy_value *value, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* "should be <expected>, got <type>". Returns ERR_PARSE. */
int alloy_fault_type(struct alloy_eval *ev, const struct alloy_path *path,
                     const struct alloy_value *value, enum alloy_type expected);

/* A value as a string: strings and numbers. ERR_PARSE with a diagnostic; ERR_NOMEM. */
int alloy_to_string(struct alloy_eval *ev, const struct alloy_path *path,
                    const struct alloy_value *value, struct str *out);

/* A value as a number: numbers and numeric strings. */
int alloy_to_number(struct alloy_eval *ev, const struct alloy_path *path,
                    const struct alloy_value *value, struct alloy_number *out);

/* Memory in the arena; ev->err says so when there is none. NULL: return ERR_NOMEM or ERR_PARSE,
 * as alloy_eval_nomem() gives it. */
void *alloy_eval_alloc(struct alloy_eval *ev, size_t count, size_t size);
int alloy_eval_nomem(struct alloy_eval *ev);

#endif
