/* querier: the query API and the page; asks the ingesters, merges, says whether it is complete. */
#include "api.h"
#include "fanout.h"
#include "forward.h"
#include "page.h"

#include "app/node_run.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "net/http_server.h"
#include "ring/desc.h"
#include "ring/lookup.h"
#include "ring/ring_uv.h"

#include <stdio.h>

/* The role: what main() owns beside the node. */
struct querier {
    struct node *node;
    struct fanout_env *env;
    struct fanout_metrics metrics;
    struct mem_account memory;
    struct api api;
    struct forward *forward;
};

/* The ring's ingesters that are ours. */
static int list_peers(void *arg, struct arena *a, struct read_peer **out, uint32_t *count)
{
    struct querier *q = arg;
    struct ring *ring = ring_watch_hold(q->node->ring);
    size_t n = ring == NULL ? 0 : ring_count(ring), used = 0;
    struct read_peer *peers = arena_calloc(a, n + 1, sizeof *peers);
    int rc = peers == NULL ? ERR_NOMEM : 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct ring_instance *in = ring_at(ring, i);
        if (ring_instance_version(in, RING_VERSION_EXACT) == 0)
            continue;
        struct str id = str_dup(a, in->id);
        peers[used] =
            (struct read_peer){.instance = id, .addr = str_dup(a, in->addr), .domain = id};
        if (peers[used].instance.data == NULL || peers[used].addr.data == NULL)
            rc = ERR_NOMEM;
        used++;
    }
    ring_drop(&ring);
    *out = peers;
    *count = (uint32_t)used;
    return rc;
}

static int build(struct querier *q, struct err *err)
{
    struct node *n = q->node;
    int rc = metrics_register(n->metrics, fanout_metric_rows, &q->metrics, NULL, err);
    if (rc != 0)
        return rc;
    struct fanout_config config = {
        .replication_factor = n->settings.ring.replication_factor,
        .vector_timeout_ms = n->settings.querier.vector_timeout_ms,
        .count_hedge_ms = n->settings.querier.count_hedge_ms,
        .peers = list_peers,
        .peers_arg = q,
        .metrics = &q->metrics,
    };
    rc = fanout_env_init(&q->env, &config);
    if (rc != 0)
        return err_set(err, rc, "no memory for queries");
    mem_account_init(&q->memory, NULL, "queries", 4 * n->settings.limits.query_memory);
    q->api = (struct api){.env = q->env,
                          .clients = n->clients,
                          .pool = n->pool,
                          .rpc = n->rpc,
                          .limits = &n->settings.limits,
                          .settings = &n->settings.querier,
                          .memory = &q->memory,
                          .now = node_wall_ms};
    rc = api_register(&q->api, n->rpc, err);
    if (rc == 0)
        rc = render_register(&q->api, n->http, err);
    if (rc == 0)
        rc = page_register(n->http, err);
    if (rc == 0)
        rc = forward_init(&q->forward, n->http, n->clients,
                          &n->settings.querier.forward_writes_to, err);
    return rc;
}

static int is_ready(void *arg, struct err *err)
{
    struct querier *q = arg;
    return node_sees_ingesters(q->node, 1, err);
}

int main(int argc, char **argv)
{
    struct querier q = {0};
    struct err err = {0};
    int status = node_init(&q.node, &(struct node_role){.name = "querier", .help = FOR_QUERIER},
                           argc, argv);
    if (q.node == NULL)
        return status;
    if (build(&q, &err) == 0) {
        struct node_hooks hooks = {.arg = &q, .ready = is_ready};
        status = node_run(q.node, &hooks);
    } else {
        (void)fprintf(stderr, "querier: %s\n", err.msg);
        status = 1;
    }
    node_free(&q.node);
    forward_free(&q.forward);
    fanout_env_free(&q.env);
    return status;
}
