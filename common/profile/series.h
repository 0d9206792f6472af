/* profile/series.h - profile totals over time: SelectSeries' grid, groups and order.
 *
 * The grid is start, start + step, ... up to end. A profile belongs to the first grid point at
 * or after its time, cut to milliseconds: bucket (g - step, g]; the first bucket also takes
 * what lies before it (the caller reads from series_grid_from() on), what lies after the last
 * point belongs nowhere. Groups are the label sets reduced to group_by. A set of groups is a
 * partial result: sums and counts, so that those of several ingesters merge into the same
 * answer in any order.
 *
 * Pure; one owner thread. Tests: tests/unit/profile/test_series.c; fuzz:
 * tests/fuzz/fuzz_series.c. */
#ifndef PROFILE_SERIES_H
#define PROFILE_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "profile/labels.h"

struct arena;
struct mem_account;

struct series_grid {
    int64_t start_ms, end_ms, step_ms;
};

/* Check and take a request's range and step (seconds). ERR_INVAL: step under a millisecond or
 * not a number, start after end, or times that cannot be added up. */
int series_grid_init(struct series_grid *g, int64_t start_ms, int64_t end_ms, double step_s,
                     struct err *err);

/* First millisecond that the answer reads: start - step. */
int64_t series_grid_from(const struct series_grid *g);

struct series_set;

/* No groups yet. Memory is charged to `account` (may be NULL). ERR_NOMEM, ERR_LIMIT. */
int series_init(struct series_set **out, const struct series_grid *grid,
                struct mem_account *account);
void series_free(struct series_set **s);

/* The group of `labels` (a whole set: it is reduced to the group_by names here), added when
 * new. Strings are copied. ERR_NOMEM, ERR_LIMIT. */
int series_group(struct series_set *s, struct labels labels, const struct str *group_by,
                 size_t group_by_count, uint32_t *group);

/* One profile with that total; nothing when it lies behind the last grid point. A sum stops at
 * 2^63 - 1. ERR_NOMEM, ERR_LIMIT. */
int series_add(struct series_set *s, uint32_t group, int64_t time_ms, uint64_t total);

/* Add all of `from`, which must have the same grid (ERR_INVAL). ERR_NOMEM, ERR_LIMIT. */
int series_merge(struct series_set *into, const struct series_set *from);

/* Append the partial result: u8 version 1, zz start, uv end - start, uv step; uv groups, each
 * uv labels with (str name, str value), uv points with (uv bucket, after the first less the one
 * before less 1; uv sum; uv profiles). ERR_NOMEM, ERR_LIMIT, or the buffer's error. */
int series_encode(struct series_set *s, struct buf *out);

/* Merge partial bytes (hostile). ERR_PARSE with the offset, ERR_VERSION, ERR_INVAL for another
 * grid, ERR_LIMIT, ERR_NOMEM: s is then between old and new. */
int series_decode(struct series_set *s, struct str bytes, struct err *err);

enum series_aggregation { SERIES_SUM, SERIES_AVERAGE };

struct series_point {
    double value;
    int64_t time_ms;
};

struct series_row {
    struct labels labels;
    const struct series_point *points; /* rising times, only buckets with a profile in them */
    size_t count;
};

/* The answer: rows by falling sum of their points, then by labels; at most `limit` (0: all). In
 * the arena; labels borrow from the set. ERR_NOMEM. */
int series_finish(struct series_set *s, enum series_aggregation how, uint64_t limit,
                  struct arena *a, struct series_row **rows, size_t *count);

#endif
