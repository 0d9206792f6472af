/* distributor/write.h - sends what a request became to its replicas and says when it is kept.
 *
 * Each profile's token gives its replica set; each set's profiles get dots in that set's lane
 * and travel together, one Append per replica. A write is acknowledged when every set has a
 * quorum of synced replicas (ring/ackset.h); the other sends go on in the background until
 * -distributor.push.timeout, whatever the client does. So that an ingester that has stopped
 * answering does not fill our memory, what waits for each is bounded in bytes.
 *
 * writer: shared by all threads. A write: made on a worker, sent on the loop of its request.
 * Tests: tests/cluster/test_main_job.py. */
#ifndef DISTRIBUTOR_WRITE_H
#define DISTRIBUTOR_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "metrics/metrics.h"

struct form_writer;
struct http_client;
struct ingest_stream;
struct loop;
struct ring_watch;
struct write;
struct writer;

struct write_metrics {
    struct counter_vec *appends; /* result */
    struct gauge *inflight;      /* Append calls */
    struct counter *shed;
};

/* Rows of struct write_metrics. */
extern const struct metric_row write_metric_rows[];

struct writer_config {
    struct ring_watch *ring;
    uint32_t replication_factor;
    uint32_t timeout_ms;     /* of an Append */
    uint64_t inflight_bytes; /* that may wait for one ingester; beyond, it is not called */
    struct write_metrics *metrics;
    const struct log *log; /* may be NULL */
    wall_ms (*now)(void);
};

/* One life of this process as a writer: a random name, numbers from 1. ERR_NOMEM. */
int writer_init(struct writer **out, const struct writer_config *config);

/* After the HTTP server has stopped and the clients are freed. NULL-safe. */
void writer_free(struct writer **w);

/* Give every stream of `form` (built, not finished) its replicas and dots, and write the
 * requests. Everything is copied: the form's arena may go. ERR_UNAVAILABLE (no ring, too few
 * live replicas, in dskit's words), ERR_NOMEM, ERR_LIMIT. */
int write_init(struct write **out, struct writer *w, struct str tenant,
               struct form_writer *form, const struct ingest_stream *streams, size_t count,
               struct err *err);

/* Kept by a quorum everywhere (code 0), or never will be. On the loop, once. */
typedef void (*write_done_fn)(void *arg, int code, const char *message);

/* Send; takes `*write`, which frees itself when its last call has ended. `done` may be called
 * from inside. On the thread of `loop`, which is the client's. */
void write_send(struct write **write, struct loop *loop, struct http_client *client,
                write_done_fn done, void *arg);

/* A write that was never sent. NULL-safe. */
void write_free(struct write **write);

#endif
