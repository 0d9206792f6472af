/* gossip/stats.h - the counts of core and transport as Prometheus metrics, under dskit's names.
 *
 * Cores count in plain integers; gossip_stats_update() copies them now and then, on their
 * thread, into
 * the atomics that the exposition reads. Tests: tests/unit/gossip/test_gossip_uv.c. */
#ifndef GOSSIP_STATS_H
#define GOSSIP_STATS_H

#include "base/err.h"

struct gossip_core;
struct gossip_stats;
struct kv_tracker;
struct metrics;
struct transport_stats;

/* Register everything. m NULL: nothing is measured. Errors as metrics_register(). */
int gossip_stats_init(struct gossip_stats **out, struct metrics *m, struct err *err);
void gossip_stats_free(struct gossip_stats **s); /* NULL-safe; leaves *s NULL */

/* Register the tracker's metrics too, and observe its delays. */
int gossip_stats_track(struct gossip_stats *s, struct metrics *m, struct kv_tracker *tracker,
                       struct err *err);

/* Copy the counts. */
void gossip_stats_update(struct gossip_stats *s, struct gossip_core *core,
                         const struct transport_stats *transport);

#endif
