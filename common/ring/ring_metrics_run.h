/* ring/ring_metrics_run.h - what a ring looks like from here and how a member fares in it, as
 * metrics with dskit's names.
 *
 * Looks at the clock and at the current view at each exposition.
 * Tests: tests/unit/ring/test_ring_metrics.c. */
#ifndef RING_RING_METRICS_RUN_H
#define RING_RING_METRICS_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct counter;
struct gauge;
struct histogram_vec;
struct metrics;
struct ring;

/* The view of now, held for the caller (ring_watch_hold()); NULL: none yet. Any thread. */
typedef struct ring *(*ring_view_fn)(void *arg);

struct ring_metrics;

/* Register, with the label name="<name>": ring_members and ring_oldest_member_timestamp by state
 * (ACTIVE, LEAVING, PENDING, JOINING, and Unhealthy for those without a heartbeat in time),
 * ring_tokens_total and, with zones, ring_zone_members. A state without members has the oldest
 * timestamp 0, as in dskit, but ACTIVE has none then: time() minus 0 is nobody's age. m and what
 * `arg` is must outlive *out. Errors as metrics_register(). */
int ring_metrics_init(struct ring_metrics **out, struct metrics *m, const char *name, bool zones,
                      ring_view_fn view, void *arg, struct err *err);

/* Takes the metrics out of the registry. NULL-safe; leaves *r NULL. */
void ring_metrics_free(struct ring_metrics **r);

/* Uses of the gossip store on behalf of a ring. All-zero counts nothing. */
struct ring_kv_metrics {
    struct histogram_vec *duration; /* operation, status_code */
};

/* Register kv_request_duration_seconds with kv_name="<name>-<part>". m may be NULL: nothing is
 * counted. Errors as metrics_register(). */
int ring_kv_metrics_init(struct ring_kv_metrics *out, struct metrics *m, const char *name,
                         const char *part, struct err *err);

/* One use: "CAS" or "GET", its result, how long it took. Any thread. */
void ring_kv_seen(const struct ring_kv_metrics *k, const char *operation, int rc,
                  int64_t duration_ns);

/* A member's life: with `basic` as dskit's BasicLifecycler counts, else as its Lifecycler. What
 * the other kind counts stays NULL. */
struct ring_life_metrics {
    struct counter *heartbeats;
    struct gauge *read_only;
    struct gauge *owned, *to_own;   /* basic: tokens */
    struct histogram_vec *shutdown; /* not basic: op, status */
    struct ring_kv_metrics kv;
};

/* m may be NULL: nothing is counted. Errors as metrics_register(). */
int ring_life_metrics_init(struct ring_life_metrics *out, struct metrics *m, const char *name,
                           bool basic, struct err *err);

#endif
