/* receive-proxy/queue_run.h - what could not be sent in time, kept and sent again: the queues
 * of all pyroscope.write components, on one thread of their own.
 *
 * Each component has one queue (spool.h is its pure core): in memory, or on disk in segments
 * that are synced before a producer hears of success. The thread of `flow_thread` belongs to
 * the queues alone: it writes, syncs, reads and sends. Oldest first for each endpoint; an
 * endpoint that fails is left alone for a backoff and then tried with one; Retry-After is
 * honoured. What is older than max_age, or in the way when max_bytes is reached, is dropped and
 * counted. Tests: tests/unit/receive-proxy/test_queue_run.c. */
#ifndef RECEIVE_PROXY_QUEUE_RUN_H
#define RECEIVE_PROXY_QUEUE_RUN_H

#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "flow.h"
#include "metrics/metrics.h"
#include "settings.h"

/* Labels component_id, component_path (and reason). */
struct queue_metrics {
    struct gauge_vec *bytes, *items, *oldest_seconds;
    struct counter_vec *queued, *sent, *retries, *dropped; /* dropped: by reason */
    struct counter_vec *errors;                            /* of the disk */
};
extern const struct metric_row queue_metric_rows[];

struct queues;

/* The queues of a process on a thread whose loop is not running yet, or ours. ERR_NOMEM. */
int queues_init(struct queues **out, const struct flow_thread *thread,
                const struct queue_metrics *metrics, const struct log *log, uint64_t seed);

/* Stop sending, sync what is there, forget what is in memory (counted and logged). On the loop,
 * or when nobody runs it; after the last receiver is gone. NULL-safe. */
void queues_free(struct queues **q);

#endif
