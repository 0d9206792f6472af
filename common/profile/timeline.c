/* profile/timeline.c - steps people can read, and zeros where nothing was. */
#include "profile/timeline.h"

#include "base/err.h"
#include "base/mem.h"

#define MINUTE INT64_C(60)
#define HOUR   INT64_C(3600)
#define DAY    INT64_C(86400)

enum { PARTS = 1500, STEP_MIN_S = 15, SAMPLES_MAX = 100000 };

int64_t timeline_step_s(int64_t from_ms, int64_t until_ms)
{
    static const struct {
        int64_t bound_ms, step_s;
    } steps[] = {
        {17500, 15},
        {25000, 20},
        {45000, 30},
        {90000, MINUTE},
        {210 * 1000, 2 * MINUTE},
        {450 * 1000, 5 * MINUTE},
        {750 * 1000, 10 * MINUTE},
        {1050 * 1000, 15 * MINUTE},
        {25 * MINUTE * 1000, 20 * MINUTE},
        {45 * MINUTE * 1000, 30 * MINUTE},
        {90 * MINUTE * 1000, HOUR},
        {150 * MINUTE * 1000, 2 * HOUR},
        {270 * MINUTE * 1000, 3 * HOUR},
        {9 * HOUR * 1000, 6 * HOUR},
        {DAY * 1000, 12 * HOUR},
        {7 * DAY * 1000, DAY},
        {21 * DAY * 1000, 7 * DAY},
    };
    int64_t span;
    if (__builtin_sub_overflow(until_ms, from_ms, &span))
        return 365 * DAY;
    if (span < STEP_MIN_S * 1000 * PARTS)
        return STEP_MIN_S;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (span <= steps[i].bound_ms * PARTS)
            return steps[i].step_s;
    return span < 42 * DAY * 1000 * PARTS ? 30 * DAY : 365 * DAY;
}

static int64_t snap_down(int64_t ms, int64_t step_ms)
{
    int64_t rest = ms % step_ms;
    if (ms < INT64_MIN + step_ms)
        return ms;
    return ms - (rest < 0 ? rest + step_ms : rest);
}

struct series_grid timeline_grid(int64_t from_ms, int64_t until_ms)
{
    int64_t step_ms = timeline_step_s(from_ms, until_ms) * 1000;
    int64_t end_ms = snap_down(until_ms, step_ms);
    if (end_ms < until_ms && end_ms <= INT64_MAX - step_ms)
        end_ms += step_ms;
    return (struct series_grid){snap_down(from_ms, step_ms), end_ms, step_ms};
}

int timeline_fill(const struct series_grid *g, const struct series_point *points, size_t count,
                  bool newest, struct arena *a, struct timeline *out)
{
    uint64_t span = (uint64_t)g->end_ms - (uint64_t)g->start_ms;
    uint64_t n = g->end_ms > g->start_ms ? span / (uint64_t)g->step_ms : 0;
    if (newest)
        n++;
    if (n > SAMPLES_MAX)
        return ERR_LIMIT;
    uint64_t *samples = arena_calloc(a, n, sizeof *samples);
    if (samples == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        if (points[i].time_ms < g->start_ms)
            continue;
        uint64_t at = (uint64_t)points[i].time_ms - (uint64_t)g->start_ms;
        if (at / (uint64_t)g->step_ms < n && points[i].value > 0)
            samples[at / (uint64_t)g->step_ms] += (uint64_t)points[i].value;
    }
    *out = (struct timeline){g->start_ms / 1000, g->step_ms / 1000, samples, n};
    return 0;
}
