/* alloy/schema.h - one row is one attribute or block of a component: its name, its default and
 * the field of a plain C struct that it fills.
 *
 *   struct endpoint { struct str url; int64_t timeout_ms; struct alloy_map headers; };
 *   static const struct alloy_row endpoint_rows[] = {
 *       ALLOY_STR_ROW(endpoint, url, "url", ALLOY_REQUIRED, NULL),
 *       ALLOY_MS_ROW(endpoint, timeout_ms, "remote_timeout", 0, "10s"),
 *       ALLOY_MAP_ROW(endpoint, headers, "headers", 0),
 *       ALLOY_ROWS_END,
 *   };
 *   static const struct alloy_schema endpoint_schema = ALLOY_SCHEMA(endpoint, endpoint_rows,
 * check); struct write { struct alloy_map external_labels; struct alloy_blocks endpoints; };
 *   static const struct alloy_row write_rows[] = {
 *       ALLOY_MAP_ROW(write, external_labels, "external_labels", 0),
 *       ALLOY_BLOCKS_ROW(write, endpoints, "endpoint", 0, &endpoint_schema),
 *       ALLOY_ROWS_END,
 *   };
 *   const struct endpoint *e = args->endpoints.items;  // [0 .. args->endpoints.count)
 *
 * Order of decoding: defaults, then the statements in their order up to the first that is
 * wrong, then required ones that are missing, then validate. Conversions are Alloy's: a number
 * where a string is wanted and a numeric string where a number is wanted are taken, null is the
 * zero value, a boolean never converts. Everything decoded lives in the arena that was given;
 * strings have a NUL behind them that their length does not count.
 *
 * Pure; one owner thread. Tests: tests/unit/alloy/test_schema.c. */
#ifndef ALLOY_SCHEMA_H
#define ALLOY_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/value.h"
#include "base/err.h"
#include "base/str.h"

struct arena;
struct alloy_schema;

enum alloy_kind {
    ALLOY_K_END,
    ALLOY_K_BOOL,   /* bool */
    ALLOY_K_I64,    /* int64_t; a fraction is cut off, what is too large wraps */
    ALLOY_K_DOUBLE, /* double */
    ALLOY_K_STR,    /* struct str */
    ALLOY_K_SECRET, /* struct str, from a string or a secret */
    ALLOY_K_MS,     /* int64_t milliseconds from Go's duration text; parts round away from 0 */
    ALLOY_K_STRS,   /* struct alloy_strs, from list(string) */
    ALLOY_K_MAP,    /* struct alloy_map, from map(string) */
    ALLOY_K_MAPS,   /* struct alloy_maps, from list(map(string)): targets */
    ALLOY_K_MAP_STRS,    /* struct alloy_map_strs, from map(list(string)) */
    ALLOY_K_MAP_SECRETS, /* struct alloy_map_strs, from map(list(secret)) */
    ALLOY_K_CAPSULE,  /* const struct alloy_capsule *, of the row's type; NULL when not given */
    ALLOY_K_CAPSULES, /* struct alloy_capsules, of the row's type: forward_to */
    ALLOY_K_VALUE,    /* struct alloy_value, anything */
    ALLOY_K_BLOCK,    /* the block's struct, embedded; defaults when it is not written */
    ALLOY_K_BLOCKS,   /* struct alloy_blocks, repeatable, in their order */
    ALLOY_K_VARIANTS, /* struct alloy_variants: blocks name.x of several schemas, one order */
    ALLOY_K_LABEL,    /* struct str: the block has a label, and must */
    ALLOY_K_GIVEN,    /* bool: the block is written (false for one that has only defaults) */
};

enum {
    ALLOY_REQUIRED = 1,   /* missing is an error */
    ALLOY_DEPRECATED = 2, /* taken, with a warning */
    ALLOY_MASKED = 4,     /* a map whose values are not to be shown; its keys are */
};

struct alloy_strs {
    size_t count;
    const struct str *items;
};

struct alloy_pair {
    struct str key, value;
};

/* Sorted by key (str_cmp), each once. */
struct alloy_map {
    size_t count;
    const struct alloy_pair *items;
};

struct alloy_maps {
    size_t count;
    const struct alloy_map *items;
};

struct alloy_pair_strs {
    struct str key;
    struct alloy_strs values;
};

struct alloy_map_strs {
    size_t count;
    const struct alloy_pair_strs *items;
};

/* Who is sent to: item->node is the component, item->field its export. */
struct alloy_capsules {
    size_t count;
    const struct alloy_capsule *const *items;
};

struct alloy_blocks {
    size_t count;
    void *items; /* count structs of the schema's size */
};

struct alloy_variant {
    const char *name; /* full name of the block, as in the table; static */
    void *at;         /* a struct of that variant's schema */
};

struct alloy_variants {
    size_t count;
    const struct alloy_variant *items;
};

/* One choice of an ALLOY_K_VARIANTS row; a table of them ends with name NULL. */
struct alloy_choice {
    const char *name; /* "profile.custom" */
    const struct alloy_schema *schema;
};

struct alloy_row {
    enum alloy_kind kind;
    unsigned bits;      /* ALLOY_REQUIRED, ALLOY_DEPRECATED */
    const char *name;   /* "listen_port"; of blocks with dots: "profile.memory" */
    const char *def;    /* default of a scalar, as text: "8080", "30s", "true"; NULL: zero */
    size_t offset;      /* of the field */
    const void *detail; /* schema of a block, choices of variants, type name of a capsule */
};

struct alloy_schema {
    size_t size; /* of the struct */
    const struct alloy_row *rows;
    /* May be NULL. Not 0 with err->msg set: shown as the component's error. */
    int (*validate)(const void *at, struct err *err);
};

#define ALLOY_SCHEMA(S, rows, validate)                                                        \
    {                                                                                          \
        sizeof(struct S), (rows), (validate)                                                   \
    }

/* Refuses to compile when a row names a field of another C type. */
#define ALLOY_AT(S, f, T)                                                                      \
    (offsetof(struct S, f) + 0 * sizeof(char[_Generic(((struct S *)0)->f, T : 1, default       \
                                                      : -1)]))
#define ALLOY_ROW_(K, T, S, f, name, bits, def, detail)                                        \
    {                                                                                          \
        (K), (bits), (name), (def), ALLOY_AT(S, f, T), (detail)                                \
    }

/* ALLOY_x_ROW(struct tag, field, name, bits, default) */
#define ALLOY_BOOL_ROW(S, f, n, b, d)   ALLOY_ROW_(ALLOY_K_BOOL, bool, S, f, n, b, d, NULL)
#define ALLOY_I64_ROW(S, f, n, b, d)    ALLOY_ROW_(ALLOY_K_I64, int64_t, S, f, n, b, d, NULL)
#define ALLOY_DOUBLE_ROW(S, f, n, b, d) ALLOY_ROW_(ALLOY_K_DOUBLE, double, S, f, n, b, d, NULL)
#define ALLOY_STR_ROW(S, f, n, b, d)    ALLOY_ROW_(ALLOY_K_STR, struct str, S, f, n, b, d, NULL)
#define ALLOY_SECRET_ROW(S, f, n, b, d)                                                        \
    ALLOY_ROW_(ALLOY_K_SECRET, struct str, S, f, n, b, d, NULL)
#define ALLOY_MS_ROW(S, f, n, b, d) ALLOY_ROW_(ALLOY_K_MS, int64_t, S, f, n, b, d, NULL)
/* ALLOY_x_ROW(struct tag, field, name, bits): empty by default */
#define ALLOY_STRS_ROW(S, f, n, b)                                                             \
    ALLOY_ROW_(ALLOY_K_STRS, struct alloy_strs, S, f, n, b, NULL, NULL)
#define ALLOY_MAP_ROW(S, f, n, b)                                                              \
    ALLOY_ROW_(ALLOY_K_MAP, struct alloy_map, S, f, n, b, NULL, NULL)
#define ALLOY_MAPS_ROW(S, f, n, b)                                                             \
    ALLOY_ROW_(ALLOY_K_MAPS, struct alloy_maps, S, f, n, b, NULL, NULL)
#define ALLOY_MAP_STRS_ROW(S, f, n, b)                                                         \
    ALLOY_ROW_(ALLOY_K_MAP_STRS, struct alloy_map_strs, S, f, n, b, NULL, NULL)
#define ALLOY_MAP_SECRETS_ROW(S, f, n, b)                                                      \
    ALLOY_ROW_(ALLOY_K_MAP_SECRETS, struct alloy_map_strs, S, f, n, b, NULL, NULL)
#define ALLOY_VALUE_ROW(S, f, n, b)                                                            \
    ALLOY_ROW_(ALLOY_K_VALUE, struct alloy_value, S, f, n, b, NULL, NULL)
/* ALLOY_x_ROW(struct tag, field, name, bits, "pyroscope.Appendable") */
#define ALLOY_CAPSULE_ROW(S, f, n, b, type)                                                    \
    ALLOY_ROW_(ALLOY_K_CAPSULE, const struct alloy_capsule *, S, f, n, b, NULL, type)
#define ALLOY_CAPSULES_ROW(S, f, n, b, type)                                                   \
    ALLOY_ROW_(ALLOY_K_CAPSULES, struct alloy_capsules, S, f, n, b, NULL, type)
/* ALLOY_BLOCK_ROW(struct tag, field, struct tag of the field, name, bits, schema) */
#define ALLOY_BLOCK_ROW(S, f, T, n, b, schema)                                                 \
    ALLOY_ROW_(ALLOY_K_BLOCK, struct T, S, f, n, b, NULL, schema)
#define ALLOY_BLOCKS_ROW(S, f, n, b, schema)                                                   \
    ALLOY_ROW_(ALLOY_K_BLOCKS, struct alloy_blocks, S, f, n, b, NULL, schema)
/* ALLOY_VARIANTS_ROW(struct tag, field, name for "missing", bits, choices) */
#define ALLOY_VARIANTS_ROW(S, f, n, b, choices)                                                \
    ALLOY_ROW_(ALLOY_K_VARIANTS, struct alloy_variants, S, f, n, b, NULL, choices)
#define ALLOY_LABEL_ROW(S, f) ALLOY_ROW_(ALLOY_K_LABEL, struct str, S, f, "", 0, NULL, NULL)
#define ALLOY_GIVEN_ROW(S, f) ALLOY_ROW_(ALLOY_K_GIVEN, bool, S, f, "", 0, NULL, NULL)
#define ALLOY_ROWS_END                                                                         \
    {                                                                                          \
        .kind = ALLOY_K_END                                                                    \
    }

/* Set every field of the struct at `at` to its default, nested blocks too. Asserts that the
 * defaults of the table parse and that blocks are nested at most 16 deep. */
void alloy_schema_defaults(const struct alloy_schema *s, void *at);

/* The row of an attribute or block, or NULL: for pages that list what was set. */
const struct alloy_row *alloy_schema_row(const struct alloy_schema *s, struct str name);

/* True when two structs of a schema say the same, so that a reload may leave a component alone.
 * Capsules are the same when they are exports of the same name of components of the same id,
 * also in different graphs. Asserts that blocks are nested at most 16 deep. */
bool alloy_schema_equal(const struct alloy_schema *s, const void *a, const void *b);

/* A duration as Go's time.ParseDuration reads it (no days), in milliseconds rounded away from
 * zero. ERR_PARSE with Go's text in err ("time: missing unit in duration \"15\""). */
int alloy_parse_ms(struct str s, int64_t *out, struct err *err);

#endif
