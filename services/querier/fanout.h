/* querier/fanout.h - drives one read plan (ring/readplan.h): asks the ingesters, collects the
 * parts that were counted, hands over what belongs to the last round and the verdict.
 *
 * A fan-out lives on the loop of its request's thread and uses that thread's HTTP client; the
 * environment is shared by all threads. Tests: tests/cluster. */
#ifndef QUERIER_FANOUT_H
#define QUERIER_FANOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "metrics/metrics.h"
#include "ring/readplan.h"

struct arena;
struct fanout;
struct fanout_env;
struct http_client;
struct loop;

/* The ingesters of the ring at the moment, in any state but LEFT; in the arena, `lazy` unset.
 * Any thread. 0 or ERR_NOMEM. */
typedef int (*fanout_peers_fn)(void *arg, struct arena *a, struct read_peer **out,
                               uint32_t *count);

struct fanout_metrics {
    struct counter_vec *completeness; /* result, reason */
    struct histogram *rounds, *vector_bytes;
    struct counter_vec *abandoned; /* cause */
};

/* Rows of struct fanout_metrics. */
extern const struct metric_row fanout_metric_rows[];

struct fanout_config {
    uint32_t replication_factor;
    uint32_t vector_timeout_ms, count_hedge_ms;
    fanout_peers_fn peers;
    void *peers_arg;
    struct fanout_metrics *metrics; /* borrowed */
};

/* What all queries share: the cached roster, who missed its last calls. ERR_NOMEM. */
int fanout_env_init(struct fanout_env **out, const struct fanout_config *config);
void fanout_env_free(struct fanout_env **env); /* NULL-safe */

/* One answer of an ingester: the result of a Count, or of Names. */
struct fanout_part {
    struct str bytes;
};

/* How it ended. Valid during the callback, parts included. */
struct fanout_result {
    const struct read_verdict *verdict; /* NULL when `rc` is not of the plan */
    int rc;                             /* 0, or as read_verdict.rc */
    const char *message;                /* of a failure */
    const struct fanout_part *parts;    /* of the last round */
    size_t part_count;
    struct str completeness; /* value of X-Pyroscope-Completeness */
};
typedef void (*fanout_done_fn)(void *arg, const struct fanout_result *result);

/* A copy of a result's parts, for after the callback: to be merged on the pool. */
struct fanout_parts {
    struct buf copy;
    struct str *items; /* into the copy; the array is in the arena */
    size_t count;
};

/* ERR_NOMEM: nothing is kept. */
int fanout_keep(const struct fanout_result *result, struct arena *a, struct fanout_parts *out);
void fanout_parts_reset(struct fanout_parts *p); /* also of zeros */

struct fanout_ask {
    struct loop *loop;          /* the caller's thread */
    struct http_client *client; /* on that loop */
    struct str tenant;
    const char *method;       /* of querier.v1.QuerierService; static */
    struct str query;         /* its request, protobuf; borrowed until done */
    bool names;               /* metadata: replies only */
    int64_t start_ms, end_ms; /* what is read, for the vectors */
    mono_ms deadline;
    fanout_done_fn done; /* once, on the loop; never from inside fanout_start() */
    void *arg;
};

/* Start; *out is good for fanout_cancel() until `done` is entered. Errors: nothing will be called.
 * ERR_NOMEM, ERR_LIMIT. */
int fanout_start(struct fanout **out, struct fanout_env *env, const struct fanout_ask *ask,
                 struct err *err);

/* Give it up: calls under way end, `done` is called with ERR_CANCELED. On the loop, from outside
 * of `done`. */
void fanout_cancel(struct fanout *f);

#endif
