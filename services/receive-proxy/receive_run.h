/* receive-proxy/receive_run.h - a listener of pyroscope.receive_http: an HTTP server of its own on
 * the process's HTTP threads, whose requests become items for a list of receivers.
 *
 * A new configuration either gives a listener other receivers (receive_forward()), or makes a new
 * one that takes over the sockets of the old one, which then ends what it has begun
 * (receive_retire()). Requests keep the receivers they began with. All calls on the main thread.
 * What a request becomes: receive_ingest.c, receive_push.c.
 * Tests: tests/unit/receive-proxy/test_pipeline_run.c, tests/cluster/test_receive_proxy.py. */
#ifndef RECEIVE_PROXY_RECEIVE_RUN_H
#define RECEIVE_PROXY_RECEIVE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "flow.h"
#include "metrics/metrics.h"
#include "net/addr.h"
#include "receive_http.h"

struct loop;
struct pool;
struct receive;

/* One for the process; labels method, route, status_code, ws, component_id, component_path. */
struct receive_metrics {
    struct histogram_vec *duration, *request_bytes, *response_bytes;
    struct counter_vec *items, *failures;
};
extern const struct metric_row receive_metric_rows[];

/* The listeners that are there, for gauges: tcp_connections, tcp_connections_limit,
 * inflight_requests. */
struct receive_gauges;

/* ERR_NOMEM, ERR_EXIST. Outlives all listeners. */
int receive_gauges_init(struct receive_gauges **out, struct metrics *m, struct err *err);
void receive_gauges_free(struct receive_gauges **g); /* NULL-safe */

/* What all listeners share; borrowed, alive until the last one is gone. */
struct receive_world {
    struct loop *const *loops; /* the HTTP threads */
    const struct flow_thread *threads;
    unsigned thread_count;
    struct pool *pool;
    struct metrics *registry;
    const struct receive_metrics *metrics;
    struct receive_gauges *gauges;
    const struct log *log;
    uint64_t memory_max; /* bytes of requests under way, of each listener */
    bool alloy;          /* -compat=alloy */
};

/* Make a listener; its port is bound, or taken over from one of `old` that has the same address.
 * ERR_INVAL, ERR_EXIST (the port is taken), ERR_IO, ERR_NOMEM. */
int receive_init(struct receive **out, const struct set_receive *s, struct str id,
                 struct str path, struct flow_list *next, struct receive *const *old,
                 size_t old_count, const struct receive_world *world, struct err *err);

/* Serve. ERR_IO, ERR_NOMEM. */
int receive_start(struct receive *r, struct err *err);

/* From now on requests go to `next` (retained), with those settings' policy. */
void receive_forward(struct receive *r, const struct set_receive *s, struct flow_list *next);

/* Stop on a thread of its own: no more connections, what was begun is answered within the grace,
 * then everything is released. `done` (may be NULL) is called there at the end. Also for one that
 * was never started. */
void receive_retire(struct receive *r, void (*done)(void *arg), void *arg);

/* Where it listens, and what it did so far. */
struct receive_stats {
    uint64_t requests, failures; /* answered with success, and without */
    uint64_t profiles, bytes;    /* taken */
    uint64_t queued, dropped;    /* of the profiles: nobody has them but a queue; by a rule */
    unsigned connections;
};
struct addr receive_addr(const struct receive *r);
bool receive_is_tls(const struct receive *r);
struct receive_stats receive_stats(const struct receive *r);

#endif
