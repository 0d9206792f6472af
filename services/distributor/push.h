/* distributor/push.h - push.v1.PusherService/Push: a request of series and profiles becomes one
 * write.
 *
 * Unpacking, checking and forming happen on the pool; sending on the request's loop. Profiles
 * that are refused do not keep the others from being stored; the push then answers with the
 * refusals. Tests: tests/cluster/test_bad_input.py, test_main_job.py. */
#ifndef DISTRIBUTOR_PUSH_H
#define DISTRIBUTOR_PUSH_H

#include <stdint.h>

#include "base/arenas.h"
#include "base/err.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "profile/ingest.h"
#include "rpc/connect.h"

struct http_client;
struct http_req;
struct http_server;
struct pool;
struct rpc_server;
struct writer;

struct push_metrics {
    struct counter_vec *discarded_samples, *discarded_bytes; /* reason, tenant */
    struct counter_vec *received_bytes;                      /* tenant, stage */
    struct counter_vec *received_profiles;                   /* tenant */
    struct gauge *replication_factor;
};

/* Rows of struct push_metrics. */
extern const struct metric_row push_metric_rows[];

/* What pushes work with; borrowed, alive until the HTTP server has stopped. */
struct pusher {
    struct writer *writer;
    struct http_client **clients; /* one per HTTP thread */
    struct pool *pool;
    struct rpc_server *rpc;
    struct profile_limits limits;
    uint64_t body_max; /* bytes of a request, and of its profiles unpacked */
    uint32_t deadline_ms; /* for the answer to a push */
    struct push_metrics *metrics;
    int64_t (*now_ns)(void);
    struct arenas arenas; /* of push_register(); pusher_reset() frees what is kept */
};

/* Register Push. */
int push_register(struct pusher *p, struct rpc_server *rpc, struct err *err);

/* Free what is kept between requests, after the last one. */
void pusher_reset(struct pusher *p);

/* Register /ingest and /pyroscope/ingest. */
int ingest_register(struct pusher *p, struct http_server *http, struct err *err);

/* --- what both routes share --------------------------------------------------------------- */

struct push;

/* The end of a push, on the request's loop: RPC_OK, or a code and its text. `push` is gone. */
typedef void (*push_reply_fn)(void *arg, enum rpc_code code, const char *message);

/* Fill a push on the pool: calls push_note() for each profile. */
typedef void (*push_fill_fn)(void *arg, struct push *push);

/* Start one for a request: `fill` on the pool, `reply` at the end. ERR_NOMEM, ERR_LIMIT (too
 * many wait): nothing will be called. Everything is borrowed until `reply`. */
int push_start(struct pusher *p, struct http_req *req, struct str tenant, push_fill_fn fill,
               push_reply_fn reply, void *arg, struct err *err);

/* What takes profiles into this push's form. */
struct ingest push_ingest(struct push *push);

/* What became of a profile of series `index`: keeps its streams, or the refusal. */
void push_note(struct push *push, size_t index, int rc, const struct ingest_result *r,
               const struct err *err);

/* A buffer that lives until `fill` has ended and its form is written, for what that borrows from.
 * NULL: no memory. */
struct buf *push_buffer(struct push *push);

/* The same for small things. */
struct arena *push_arena(struct push *push);

#endif
