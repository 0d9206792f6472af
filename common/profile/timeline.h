/* profile/timeline.h - /pyroscope/render's timeline: a zero-filled row of numbers at a step
 * that suits the range.
 *
 * Pure; any thread. Tests: tests/unit/profile/test_timeline.c. */
#ifndef PROFILE_TIMELINE_H
#define PROFILE_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/series.h"

struct arena;

/* Step for a range, in seconds: a 1,500th of it, rounded to a round number, 15 s at least. */
int64_t timeline_step_s(int64_t from_ms, int64_t until_ms);

/* What to ask SelectSeries for: the range snapped to the step, down at its start and up at its
 * end, so that the newest step is in it although it may still be filling. */
struct series_grid timeline_grid(int64_t from_ms, int64_t until_ms);

struct timeline {
    int64_t start_s, step_s;
    uint64_t *samples;
    size_t count; /* (end - start) / step, and one more with `newest` */
};

/* Lay `points` (may be none; rising times) on the grid, gaps and edges as 0; the point at `end`
 * has a place with `newest` alone, since a step that has only begun is not nothing. ERR_NOMEM;
 * ERR_LIMIT when it would have over 100,000 samples: timeline_grid() makes so many of 100,000
 * years. */
int timeline_fill(const struct series_grid *g, const struct series_point *points, size_t count,
                  bool newest, struct arena *a, struct timeline *out);

#endif
