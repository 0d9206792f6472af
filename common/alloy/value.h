/* alloy/value.h - what an expression is worth.
 *
 * A value is small and copied; what it points to lives in the arena it was made in and never
 * changes. `expr` remembers where it was written, so that an error can show it. All-zero is
 * null. Pure; any thread. Tests: tests/unit/alloy/test_eval.c. */
#ifndef ALLOY_VALUE_H
#define ALLOY_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct alloy_expr;
struct alloy_function;
struct alloy_node;

enum alloy_type {
    ALLOY_NULL,
    ALLOY_NUMBER,
    ALLOY_STRING,
    ALLOY_BOOL,
    ALLOY_ARRAY,
    ALLOY_OBJECT,
    ALLOY_FUNCTION,
    ALLOY_CAPSULE,
};

/* Order of precedence: an operation takes the higher kind of its two sides. */
enum alloy_number_kind { ALLOY_UINT, ALLOY_INT, ALLOY_FLOAT };

struct alloy_number {
    enum alloy_number_kind kind;
    union {
        uint64_t u;
        int64_t i;
        double f;
    };
};

/* Something no expression can look into: a secret text, or what a component exports for others
 * to send to. Compared and passed on, never printed. */
struct alloy_capsule {
    const char *type; /* ALLOY_SECRET_TYPE, or the type named by the export; static */
    const struct alloy_node *node; /* exporting component; NULL for secrets */
    const char *field;             /* name of the export; static */
    struct str secret;             /* text of a secret */
};

#define ALLOY_SECRET_TYPE "alloytypes.Secret"

struct alloy_value;

struct alloy_array {
    size_t count;
    const struct alloy_value *items;
};

struct alloy_field; /* key and value, below */

/* Fields sorted by key (str_cmp), each once. */
struct alloy_object {
    size_t count;
    const struct alloy_field *fields;
};

struct alloy_value {
    enum alloy_type type;
    const struct alloy_expr *expr; /* where it was written; NULL when nowhere */
    union {
        struct alloy_number number;
        struct str string;
        bool boolean;
        struct alloy_array array;
        struct alloy_object object;
        const struct alloy_function *function;
        const struct alloy_capsule *capsule;
    };
};

struct alloy_field {
    struct str key;
    uint32_t order; /* as written, 0 first */
    struct alloy_value value;
};

/* "number", "string", ... Static. */
const char *alloy_type_name(enum alloy_type type);

/* Values without a place. The string is borrowed. */
struct alloy_value alloy_value_string(struct str s);
struct alloy_value alloy_value_bool(bool b);
struct alloy_value alloy_value_int(int64_t i);
struct alloy_value alloy_value_uint(uint64_t u);
struct alloy_value alloy_value_float(double f);

/* A number as one of the three, cut and wrapped where it does not fit. */
int64_t alloy_number_int(struct alloy_number n);
uint64_t alloy_number_uint(struct alloy_number n);
double alloy_number_float(struct alloy_number n);

/* The decimal text that a number becomes where a string is wanted; no exponent. */
void alloy_number_put(struct alloy_number n, struct buf *out);

/* Value of a key, or NULL. */
const struct alloy_value *alloy_object_get(const struct alloy_object *o, struct str key);

/* Sort fields by key in place and keep the last of equal keys. Returns how many are left. */
size_t alloy_fields_sort(struct alloy_field *fields, size_t count);

/* Equal as `==` has it: other types are never equal, 3 equals 3.0, functions equal nothing.
 * Values nested deeper than ALLOY_DEPTH_MAX are unequal. */
bool alloy_value_equal(const struct alloy_value *a, const struct alloy_value *b);

/* As it would be written, for pages and logs: secrets as (secret), capsules as capsule("type"). */
void alloy_value_print(const struct alloy_value *v, struct buf *out);

#endif
