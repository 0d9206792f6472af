/* ingester/metrics.h - what an ingester counts, and what its store, its roster and its memory
 * say of themselves at each exposition.
 *
 * Any thread. Tests: tests/cluster/test_metrics.py. */
#ifndef INGESTER_METRICS_H
#define INGESTER_METRICS_H

#include "base/err.h"

struct counter;
struct mem_account;
struct metrics;
struct standing;
struct store;

/* Counted by the handlers. */
struct ingester_counters {
    struct counter *profiles, *samples, *repeats;
};

/* What is looked at; alive until ingester_metrics_free(). */
struct ingester_sources {
    struct store *store;
    struct standing *standing;
    const struct mem_account *heads, *queries, *requests;
};

struct ingester_metrics;

/* Register all of an ingester's metrics and fill *counters. `m` must outlive *out. Errors as
 * metrics_register(). */
int ingester_metrics_init(struct ingester_metrics **out, struct metrics *m,
                          const struct ingester_sources *sources,
                          struct ingester_counters *counters, struct err *err);

/* Looks no longer; the counters stay. NULL-safe; leaves *i NULL. */
void ingester_metrics_free(struct ingester_metrics **i);

#endif
