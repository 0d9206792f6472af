/* ring/ring_metrics_run.h - what a ring looks like from here, as metrics with dskit's names.
 *
 * Looks at the clock and at the current view at each exposition.
 * Tests: tests/unit/ring/test_ring_metrics.c. */
#ifndef RING_RING_METRICS_RUN_H
#define RING_RING_METRICS_RUN_H

#include "base/err.h"

struct metrics;
struct ring;

/* The view of now, held for the caller (ring_watch_hold()); NULL: none yet. Any thread. */
typedef struct ring *(*ring_view_fn)(void *arg);

struct ring_metrics;

/* Register ring_members and ring_oldest_member_timestamp (by state: ACTIVE, LEAVING, PENDING,
 * JOINING, and Unhealthy for those without a heartbeat in time) and ring_tokens_total, with the
 * label name="<name>". m and what `arg` is must outlive *out. Errors as metrics_register(). */
int ring_metrics_init(struct ring_metrics **out, struct metrics *m, const char *name,
                      ring_view_fn view, void *arg, struct err *err);

/* Takes the metrics out of the registry. NULL-safe; leaves *r NULL. */
void ring_metrics_free(struct ring_metrics **r);

#endif
