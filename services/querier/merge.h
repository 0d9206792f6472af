/* querier/merge.h - puts the parts that ingesters counted, or the names that they know,
 * together into one answer.
 *
 * Pure; any thread. Parts are hostile bytes as far as reading them goes. Memory is charged to
 * `account` (may be NULL). Errors: ERR_PARSE (a broken part), ERR_LIMIT, ERR_NOMEM, or the
 * buffer's. Tests: tests/cluster/test_query_api.py. */
#ifndef QUERIER_MERGE_H
#define QUERIER_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "profile/series.h"

struct arena;
struct flamegraph;
struct mem_account;
struct tree;

/* All trees in one; the caller frees it. */
int merge_trees(const struct str *parts, size_t count, struct mem_account *account,
                struct tree **out, struct err *err);

/* Append a SelectMergeStacktracesResponse with a flame graph of at most max_nodes (ties
 * beyond). */
int merge_flamegraph(const struct str *parts, size_t count, uint64_t max_nodes, bool json,
                     struct mem_account *account, struct buf *out, struct err *err);

/* Append a SelectMergeStacktracesResponse with tree bytes. */
int merge_tree_bytes(const struct str *parts, size_t count, uint64_t max_nodes, bool json,
                     struct mem_account *account, struct buf *out, struct err *err);

/* How SelectMergeProfile's answer describes itself. */
struct merge_profile_ask {
    struct str profile_type;
    int64_t start_ms, end_ms;
    uint64_t max_stacks; /* 0: all */
    bool json;
    bool wrapped; /* as SelectMergeStacktracesResponse.pprof.profile */
};
int merge_profile(const struct str *parts, size_t count, const struct merge_profile_ask *ask,
                  struct mem_account *account, struct buf *out, struct err *err);

/* All partial series sets in one; the caller frees it. */
int merge_series_sets(const struct str *parts, size_t count, const struct series_grid *grid,
                      struct mem_account *account, struct series_set **out, struct err *err);

/* Append a SelectSeriesResponse. */
struct merge_series_ask {
    struct series_grid grid;
    enum series_aggregation how;
    uint64_t limit;
    bool json;
};
int merge_series(const struct str *parts, size_t count, const struct merge_series_ask *ask,
                 struct mem_account *account, struct buf *out, struct err *err);

/* Append the union of metadata answers: ProfileTypes, LabelNames, LabelValues, Series or
 * GetProfileStats. `utf8`: names that are not [a-zA-Z_][a-zA-Z0-9_]* are shown too, where
 * LabelNames, or Series with `all_labels`, would hide them. */
struct merge_names_ask {
    const char *method;
    bool json, utf8, all_labels;
};
int merge_names(const struct str *parts, size_t count, const struct merge_names_ask *ask,
                struct buf *out, struct err *err);

#endif
