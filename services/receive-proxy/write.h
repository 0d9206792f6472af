/* receive-proxy/write.h - pyroscope.write: takes items and sends each to all its endpoints.
 *
 * Labels are checked and completed (labelset.h), the request is written once (outgoing.h), each
 * endpoint tries as retry.h says (endpoint_run.h), and what an endpoint did not take in time goes
 * into the queue (queue_run.h). Tests: tests/unit/receive-proxy/test_write_run.c. */
#ifndef RECEIVE_PROXY_WRITE_H
#define RECEIVE_PROXY_WRITE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "flow.h"
#include "metrics/metrics.h"
#include "settings.h"

struct finder;
struct queues;

/* One for the process; every row has the labels component_id, component_path, endpoint (and
 * type): they count on over reloads. */
struct write_metrics {
    struct counter_vec *sent_bytes, *dropped_bytes, *sent_profiles, *dropped_profiles, *retries;
    struct histogram_vec *latency;
};

/* Rows of struct write_metrics; "pyroscope_write_..." whatever the namespace. */
extern const struct metric_row write_metric_rows[];

/* What all components of the process share; borrowed, alive until the last receiver and the queues
 * are freed. */
struct write_world {
    const struct write_metrics *metrics;
    const struct log *log;
    struct queues *queues; /* NULL: no queue at all */
    struct finder
        *finder; /* knows the addresses of dns+... and ring; NULL: these are refused */
    const char *instance_id; /* X-Alloy-Id; static, "" for none */
    const char *user_agent;  /* static */
    uint64_t seed;           /* of jitter */
};

/* Make a receiver with one reference. `id` is the component's ("pyroscope.write.default"),
 * `path` its component_path ("/"); both are copied, as are the settings. The queue of a
 * component with the same id goes on with what waits in it. ERR_INVAL (settings), ERR_NOMEM,
 * ERR_IO (directory). */
int write_init(struct receiver **out, const struct set_write *settings, struct str id,
               struct str path, const struct write_world *world, struct err *err);

/* Begin to send what waits in its queue: when the configuration it belongs to takes over.
 * ERR_NOMEM. */
int write_start(struct receiver *r, struct err *err);

/* The receiver was made by write_init(). */
bool write_is(const struct receiver *r);

/* How its endpoints are, in the order of the settings. Any thread. */
struct endpoint_status;
size_t write_endpoint_count(const struct receiver *r);
void write_endpoint_status(const struct receiver *r, size_t i, struct endpoint_status *out);

/* The UUID of this instance: read from `dir`/alloy_seed.json, made and stored there when it is
 * not; with dir "" made anew. ERR_IO with a fresh one in `out` all the same. */
enum { INSTANCE_ID_SIZE = 37 };
int instance_id_load(struct str dir, char out[INSTANCE_ID_SIZE], struct err *err);

#endif
