/* receive-proxy/queue_run.h - what could not be sent in time, kept and sent again: the queues
 * of all pyroscope.write components, on one thread of their own.
 *
 * Each component has one queue (spool.h is its core): in memory, or on disk in segments that
 * are synced before a producer hears of success; what comes while one sync runs shares the
 * next. The thread belongs to the queues alone: it writes, syncs, reads and sends. An endpoint
 * that fails is left alone for a backoff of at most 5 s and then tried with one request;
 * Retry-After is honoured.
 *
 * Order of making: thread (loop, client, flow_thread_init), queues_init(), receivers. Of
 * unmaking: queues_drain(), receivers, queues_stop(), the client, queues_free(),
 * flow_thread_reset(), loop.
 * Tests: tests/unit/receive-proxy/test_queue_run.c. */
#ifndef RECEIVE_PROXY_QUEUE_RUN_H
#define RECEIVE_PROXY_QUEUE_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "flow.h"
#include "metrics/metrics.h"
#include "outgoing.h"
#include "settings.h"

struct endpoint;
struct store_io;

/* Labels component_id, component_path; of `queued` also where (memory, disk), of `dropped`
 * reason (full, old, refused, damaged, stopped). */
struct queue_metrics {
    struct gauge_vec *bytes, *items, *oldest_seconds;
    struct counter_vec *queued, *sent, *retries, *dropped, *errors;
};
extern const struct metric_row queue_metric_rows[];

struct queues;

/* The queues of a process. Everything is borrowed. ERR_NOMEM. */
int queues_init(struct queues **out, const struct flow_thread *thread,
                const struct store_io *io, const struct queue_metrics *metrics,
                const struct log *log, uint64_t seed);

/* Before the end, when no component puts any more: what waits in memory is tried at once. True as
 * soon as none is left but of endpoints that failed twice, or that are no one's. Any thread; the
 * flag is ours. */
const _Atomic(bool) *queues_drain(struct queues *q);

/* Begin nothing more, sync, and say what is lost. May come twice. Any thread. */
void queues_stop(struct queues *q);

/* After the thread's client is freed. On the loop, or when nobody runs it. NULL-safe. */
void queues_free(struct queues **q);

/* --- for pyroscope.write ------------------------------------------------------------------ */

struct queue;

/* The queue of a component: the one that is there for that id and directory, which gets the new
 * limits by queue_attach(), or a new one. *out is a handle of its own. Any thread. Errors as
 * spool_init(). */
int queue_open(struct queue **out, struct queues *qs, struct str id, struct str path,
               const struct set_queue *settings, struct err *err);

/* Give the handle back, when nothing is being put. Any thread. After the last one of a component
 * what waits in memory is still sent, until it is too old or the queues are freed; what is on disk
 * stays there. NULL-safe. */
void queue_release(struct queue *q);

/* From now on it is sent to these endpoints (retained); what waits for others waits on, until
 * one of them comes back or it is too old. Those for which something waits on disk begin as
 * failing. Any thread. ERR_NOMEM. */
int queue_attach(struct queue *q, struct endpoint *const *endpoints, size_t count);

/* Requests that wait. Any thread. */
size_t queue_waiting(const struct queue *q);

/* It is on disk. Any thread. */
bool queue_is_durable(const struct queue *q);

enum queue_kept {
    QUEUE_SYNCED, /* on disk: durable */
    QUEUE_KEPT,   /* in memory, or the disk failed to sync: best effort */
    QUEUE_NOT,    /* it is not in the queue */
};
typedef void (*queue_done_fn)(void *arg, enum queue_kept kept);

/* Keep a request for an endpoint; it is copied at once. `done` is called later on the thread
 * `t`, or from inside with QUEUE_NOT when there is no memory. */
void queue_put(struct queue *q, const struct flow_thread *t, struct endpoint *e,
               const struct outgoing *o, queue_done_fn done, void *arg);

#endif
