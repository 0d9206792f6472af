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
#include "profile/form.h"
#include "ring/dots.h"
#include "store/store.h"

struct arena;
struct mem_account;
struct query;
struct selector;
struct tree;

/* What is asked. All-zero asks for everything at time 0. */
struct query_ask {
    const struct selector *const *selectors; /* a series matches one of them; none: all match */
    size_t selector_count;
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
 * ERR_CORRUPT: a row cannot be read. `ask` and what it points to are borrowed until query_free(). */
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

/* Where the stacks of a pprof go. Ids rise from 1 per kind; an entry is given before it is used.
 * Entries of different partitions are given apart although they may be equal. Borrowed for the
 * call; a result other than 0 ends the query with it. */
struct query_line {
    uint32_t function; /* id */
    int64_t line;
};
struct query_stacks {
    void *arg;
    int (*mapping)(void *arg, uint32_t id, struct str file, struct str build_id,
                   const struct form_mapping *m);
    int (*function)(void *arg, uint32_t id, struct str name, struct str system_name,
                    struct str file, uint64_t start_line);
    /* mapping 0: none. Lines innermost first. */
    int (*location)(void *arg, uint32_t id, uint32_t mapping, uint64_t address, bool folded,
                    const struct query_line *lines, uint32_t count);
    /* Location ids, leaf first. */
    int (*sample)(void *arg, const uint32_t *locations, uint32_t count, uint64_t value);
};

/* Give every stack with a value once per partition. Errors as query_tree(). */
int query_stacks(struct query *q, const struct query_stacks *to, const _Atomic(bool) *stop);

/* A series: its labels with the per-type ones, sorted by name. */
struct query_labels {
    const struct form_pair *pairs;
    size_t count;
};

/* A profile of a series. `series` rises with every new label set; the same labels may come again
 * under another number. Not 0 ends the walk. Borrowed for the call. */
typedef int (*query_point_fn)(void *arg, uint32_t series, const struct query_labels *labels,
                              int64_t time_ns, uint64_t total);

/* Give time and total of every planned profile; with a call site or spans the total of the
 * selected samples. Within a stream in the order of arrival. Reads stacks only when it must. */
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
                 size_t name_count, struct arena *a, struct query_labels **out, size_t *count);

/* Whether the tenant has profiles, and the times of the oldest and newest (Unix ms). */
void query_stats(const struct view *v, bool *any, int64_t *oldest_ms, int64_t *newest_ms);

#endif
