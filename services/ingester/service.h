/* ingester/service.h - emberring.ingester.v1.IngesterService over the store: Append, Vector,
 * Count, Names and Keys. Introduce belongs to the member machine (membership_run.h).
 *
 * Handlers decode on the request's thread and work on the pool. A reply of Vector reads the
 * roster first and the vector after it; one of Append reads it after the sync, so
 * that an answer never knows less of the cluster than it says. Tests: tests/cluster. */
#ifndef INGESTER_SERVICE_H
#define INGESTER_SERVICE_H

#include <stdint.h>

#include "base/err.h"
#include "metrics/metrics.h"

struct mem_account;
struct pool;
struct rpc_server;
struct standing;
struct store;

/* What the handlers work with; all borrowed, alive until the HTTP server has stopped. */
struct service {
    struct store *store;
    struct standing *standing;
    struct pool *pool;
    struct mem_account *queries;                  /* parent of each query's account */
    uint64_t query_memory;                        /* bytes of one query */
    uint64_t vector_limit;                        /* bytes of one vector */
    struct counter *repeats, *profiles, *samples; /* may be NULL */
};

/* Register the methods. `s` must outlive the server. */
int service_register(struct service *s, struct rpc_server *rpc, struct err *err);

#endif
