/* profile/validate.h - which profiles and labels are taken, and why not: Pyroscope's checks
 * with its reasons, limits and defaults.
 *
 * Pure; any thread. Tests: tests/unit/profile/test_validate.c. */
#ifndef PROFILE_VALIDATE_H
#define PROFILE_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct arena;
struct label;
struct pprof;

/* Why something was discarded: the label `reason` of pyroscope_discarded_samples_total. */
#define DISCARD_MAP(X)                                                                         \
    X(NONE, "")                                                                                \
    X(INVALID_LABELS, "invalid_labels")                                                        \
    X(MISSING_LABELS, "missing_labels")                                                        \
    X(RATE_LIMITED, "rate_limited")                                                            \
    X(NOT_IN_INGESTION_WINDOW, "not_in_ingestion_window")                                      \
    X(MAX_LABEL_NAMES, "max_label_names_per_series")                                           \
    X(LABEL_NAME_TOO_LONG, "label_name_too_long")                                              \
    X(LABEL_VALUE_TOO_LONG, "label_value_too_long")                                            \
    X(DUPLICATE_LABEL_NAMES, "duplicate_label_names")                                          \
    X(SERIES_LIMIT, "series_limit")                                                            \
    X(SAMPLES_LIMIT, "samples_limit")                                                          \
    X(PROFILE_SIZE_LIMIT, "profile_size_limit")                                                \
    X(SAMPLE_LABELS_LIMIT, "sample_labels_limit")                                              \
    X(MALFORMED_PROFILE, "malformed_profile")                                                  \
    X(BODY_SIZE_LIMIT, "body_size_limit_exceeded")                                             \
    X(UNKNOWN, "unknown")

enum discard {
#define X(name, text) DISCARD_##name,
    DISCARD_MAP(X)
#undef X
        DISCARD_COUNT
};

/* The text of a reason; "" for DISCARD_NONE. Static. */
const char *discard_text(enum discard reason);

/* Guards of one tenant, named after Pyroscope's flags -validation.*; 0 switches a check off. */
struct profile_limits {
    uint64_t profile_size_bytes; /* max-profile-size-bytes, uncompressed */
    uint32_t samples;            /* max-profile-stacktrace-samples */
    uint32_t sample_labels;      /* max-profile-stacktrace-sample-labels */
    uint32_t stack_depth;        /* max-profile-stacktrace-depth */
    uint32_t symbol_bytes;       /* max-profile-symbol-value-length */
    uint32_t label_name_bytes;   /* max-length-label-name */
    uint32_t label_value_bytes;  /* max-length-label-value */
    uint32_t label_names;        /* max-label-names-per-series */
    uint32_t session_ids;        /* max-sessions-per-series; 0: __session_id__ is removed */
    bool sanitize_label_names;   /* not disable-label-sanitization */
    int64_t reject_older_ns;     /* reject-older-than */
    int64_t reject_newer_ns;     /* reject-newer-than */
};

/* Pyroscope's defaults. */
struct profile_limits profile_limits_default(void);

/* Check a decoded profile at time now_ns and bring it within limits: stacks that are too deep
 * lose frames at the leaf, strings that are too long their beginning; without a time (0 or
 * less) it gets now_ns. ERR_INVAL (ERR_LIMIT for size, samples, sample labels) with *reason and
 * the text for the client. The strings array of *p is changed in place. */
int profile_validate(struct pprof *p, const struct profile_limits *limits, int64_t now_ns,
                     enum discard *reason, struct err *err);

/* Check the labels of a series, sorted by name, equal names side by side. ERR_INVAL, ERR_LIMIT
 * with *reason and the text. */
int labels_validate(const struct label *labels, size_t count,
                    const struct profile_limits *limits, enum discard *reason, struct err *err);

/* Bring label names into the old alphabet, for tenants that ask for it: a dot becomes _; any
 * other byte outside [a-zA-Z0-9_], or a digit in front, is ERR_INVAL. The array stays sorted;
 * of names that become equal the one with an equal value goes, another value is ERR_INVAL
 * (duplicate_label_names). ERR_NOMEM. */
int labels_sanitize(struct label *labels, size_t *count, struct arena *a, enum discard *reason,
                    struct err *err);

#endif
