/* store/query.h - asks one view: plan what matches, add up its rows, give the answer as a tree,
 * as stacks, as points in time or as names.
 *
 * The plan costs O(streams x matchers) and reads no row; the work is linear in the samples of
 * the profiles in range. Exactly the profiles with a dot in `include` are counted (without
 * one: all), each once.
 *
 * Pure but for reading mapped rows; one owner thread per query; the view must outlive it.
 * Tests: tests/unit/store/test_query.c. */
#ifndef STORE_QUERY_H
#define STORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "profile/labels.h"
#include "ring/dots.h"
#include "store/store.h"

struct arena;
struct mem_account;
struct pprof_out;
struct query;
struct selectors;
struct tree;

/* What is asked. All-zero asks for everything at time 0. */
struct query_ask {
    const struct selectors *selectors; /* which series; NULL: all */
    struct str profile_type;  /* "name:type:unit:period type:period unit"; empty: any */
    int64_t start_ns, end_ns; /* Unix, both included */
    const struct vector *include; /* the dots to count; NULL: all of the view */
    const struct str *call_site;  /* names from the root on: only stacks that begin so */
    size_t call_site_count;
    const uint64_t *span_ids;     /* only samples that carry one of them; NULL: all samples */
    size_t span_count;
    struct mem_account *account;  /* working memory; may be NULL */
};

/* Find the matching series and profiles. ERR_MOVED: `include` has a dot that the view does not
 * hold; ERR_LIMIT: needs more memory than the account has, err says how much; ERR_NOMEM;
 * ERR_CORRUPT: a row cannot be read. `ask` and what it points to are borrowed until
 * query_free(). */
int query_plan(struct query **out, const struct view *v, const struct query_ask *ask,
               struct err *err);
void query_free(struct query **q);

/* How much the plan will read. */
struct query_cost {
    uint64_t series, profiles, samples, bytes;
};
struct query_cost query_cost(const struct query *q);

/* Add the samples of all planned profiles to `into`, by function name. A location with several
 * lines gives a frame for each; one without lines gives none. Stop early (ERR_CANCELED) when
 * *stop (may be NULL) becomes true. ERR_LIMIT, ERR_NOMEM, ERR_CORRUPT. */
int query_tree(struct query *q, struct tree *into, const _Atomic(bool) *stop);

/* Add every stack with a value, whole locations with lines and mappings, to `into`. Errors as
 * query_tree(). */
int query_pprof(struct query *q, struct pprof_out *into, const _Atomic(bool) *stop);

/* A profile of a series. `series` rises with every new label set; the same labels may come again
 * under another number. Not 0 ends the walk. Borrowed for the call. */
typedef int (*query_point_fn)(void *arg, uint32_t series, struct labels labels, int64_t time_ns,
                              uint64_t total);

/* Give time and total of every planned profile; with a call site or spans the total of the
 * selected samples. Within a stream in the order of arrival. Reads stacks only when it must.
 * Returns what ended the walk, or errors as query_tree(). */
int query_points(struct query *q, query_point_fn each, void *arg);

/* Metadata: what series with a profile in the range have, sorted by bytes, each once; memory from
 * `a`. `include` is not used. ERR_NOMEM. */
int query_label_names(const struct view *v, const struct query_ask *ask, struct arena *a,
                      struct str **out, size_t *count);
int query_label_values(const struct view *v, const struct query_ask *ask, struct str name,
                       struct arena *a, struct str **out, size_t *count);

/* Profile type ids. */
int query_profile_types(const struct view *v, const struct query_ask *ask, struct arena *a,
                        struct str **out, size_t *count);

/* Label sets, reduced to `names` when there are any, sorted, each once. */
int query_series(const struct view *v, const struct query_ask *ask, const struct str *names,
                 size_t name_count, struct arena *a, struct labels **out, size_t *count);

/* Whether the tenant has profiles, and the times of the oldest and newest (Unix ms). */
void query_stats(const struct view *v, bool *any, int64_t *oldest_ms, int64_t *newest_ms);

#endif
