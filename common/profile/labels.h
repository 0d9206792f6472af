/* profile/labels.h - what names a series: sorted label sets, profile types, fingerprints.
 *
 * A series is one sample type of one stream. Its labels are the stream's pairs, as pushed, and
 * the private ones that say which sample type it is (Pyroscope's data model): __name__,
 * __type__,
 * __unit__, __period_type__, __period_unit__, __profile_type__ and __service_name__.
 * An absent label and an empty one are the same thing; sets hold no empty values.
 *
 * Pure; any thread. Sets borrow their strings. Tests: tests/unit/profile/test_labels.c. */
#ifndef PROFILE_LABELS_H
#define PROFILE_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct arena;
struct form_member;
struct form_pair;

#define LABEL_NAME            STR("__name__")
#define LABEL_TYPE            STR("__type__")
#define LABEL_UNIT            STR("__unit__")
#define LABEL_PERIOD_TYPE     STR("__period_type__")
#define LABEL_PERIOD_UNIT     STR("__period_unit__")
#define LABEL_PROFILE_TYPE    STR("__profile_type__")
#define LABEL_PRIVATE_SERVICE STR("__service_name__")
#define LABEL_SERVICE         STR("service_name")

struct label {
    struct str name, value;
};

/* A set: sorted by name bytes, names distinct, no empty value. All-zero is the empty set. */
struct labels {
    const struct label *items;
    size_t count;
};

/* Order of two sets: label by label, then the shorter first. */
int labels_cmp(struct labels a, struct labels b);

/* Bring `items` into their order: by name, then by value, in byte order. */
void labels_sort(struct label *items, size_t count);

/* Value of `name`, or the empty string. */
struct str labels_get(struct labels set, struct str name);

/* The labels of `set` whose names are among `names`, in an array of the arena. ERR_NOMEM. */
int labels_keep(struct labels set, const struct str *names, size_t name_count, struct arena *a,
                struct labels *out);

/* A copy with all strings in the arena. ERR_NOMEM. */
int labels_dup(struct labels set, struct arena *a, struct labels *out);

/* Hash of the set for tables in memory; never stored or sent. */
uint64_t labels_hash(struct labels set);

/* Identity of a series as the peers compute it: xxHash64 (seed 0) over name 0xFF value 0xFF ...
 * in name order. */
uint64_t labels_fingerprint(struct labels set);

/* Append {a="b", c="d"} with quotes and backslashes escaped: for logs and messages. */
void labels_print(struct labels set, struct buf *out);

/* The labels of the series (stream with `pairs`, sample type *m) in the arena: the pairs, less
 * those with names of the list above or without value, plus the private ones that have a value.
 * The strings of the pairs are borrowed. ERR_NOMEM. */
int labels_of_series(const struct form_pair *pairs, size_t pair_count,
                     const struct form_member *m, struct arena *a, struct labels *out);

/* Matches [a-zA-Z_][a-zA-Z0-9_]*: what a client that did not ask for UTF-8 names may see. */
bool label_name_is_legacy(struct str name);

/* A profile type: name:sample_type:sample_unit:period_type:period_unit[:delta]. Parts borrow. */
struct profile_type {
    struct str name, sample_type, sample_unit, period_type, period_unit;
};

/* Split the text. ERR_PARSE unless it has 5 parts, or 6 of which the last is "delta"; any part
 * may be empty, as at the peer. */
int profile_type_parse(struct str text, struct profile_type *out, struct err *err);

/* Append the five parts, as __profile_type__ holds them (no ":delta"). */
void profile_type_print(const struct profile_type *t, struct buf *out);

#endif
