/* querier/api.h - querier.v1.QuerierService, and /pyroscope/render, over the ingesters.
 *
 * Requests are checked and clamped here by Pyroscope's rules, asked of the ingesters by
 * fanout.h, merged on the pool by merge.h. Every answer says in X-Pyroscope-Completeness
 * whether it is certain to be complete. Tests: tests/cluster/test_query_api.py. */
#ifndef QUERIER_API_H
#define QUERIER_API_H

#include "app/settings.h"
#include "base/err.h"
#include "base/time.h"

struct fanout_env;
struct http_client;
struct http_server;
struct mem_account;
struct pool;
struct rpc_server;

/* All borrowed, alive until the HTTP server has stopped. */
struct api {
    struct fanout_env *env;
    struct http_client **clients; /* one per HTTP thread */
    struct pool *pool;
    struct rpc_server *rpc;
    const struct limit_settings *limits;
    const struct querier_settings *settings;
    struct mem_account *memory; /* parent of each query's account */
    wall_ms (*now)(void);
};

/* Register the methods of the query service. */
int api_register(struct api *api, struct rpc_server *rpc, struct err *err);

/* Register /pyroscope/render. */
int render_register(struct api *api, struct http_server *http, struct err *err);

#endif
