/* app/node_rings_run.c - the rings that a node watches. */
#include "app/node_priv.h"

#include "base/log.h"
#include "gossip/gossip_uv.h"
#include "metrics/metrics.h"
#include "ring/desc.h"
#include "ring/ring_uv.h"

#include <stdio.h>

enum { FORGET_TIMEOUTS = 10 };

uint32_t node_forget_ms(uint32_t heartbeat_timeout_ms)
{
    return heartbeat_timeout_ms > UINT32_MAX / FORGET_TIMEOUTS
               ? UINT32_MAX
               : FORGET_TIMEOUTS * heartbeat_timeout_ms;
}

static const struct metric_row rows[] = {
    METRIC_GAUGE_ROW(node_ring_metrics, foreign, 0, "ring_foreign_members",
                     "Ingesters of the ring that are not ours: they get no writes and are not "
                     "asked."),
    {.kind = METRIC_END},
};

/* Ingesters that are not ours are shown and counted, and told of once. */
static void count_foreign(struct node *n, const struct ring *ring)
{
    const struct ring_instance *first = NULL;
    size_t count = 0;
    for (size_t i = 0; i < ring_count(ring); i++) {
        const struct ring_instance *in = ring_at(ring, i);
        if (ring_instance_version(in, RING_VERSION_EXACT) != 0)
            continue;
        if (count++ == 0)
            first = in;
    }
    gauge_set(n->priv->ring_metrics.foreign, (double)count);
    if (first != NULL && !n->priv->told_foreign)
        log_line(&n->log, LOG_WARN,
                 "an ingester in the ring is not ours: it gets no writes and is not asked, and in "
                 "a replica set it counts as unavailable; keep the clusters apart "
                 "(-memberlist.cluster-label) if that is not meant",
                 LOG_S("id", first->id), LOG_S("addr", first->addr), LOG_U("foreign", count));
    n->priv->told_foreign = count > 0;
}

static void on_ring_change(void *arg, struct ring *ring)
{
    struct node *n = arg;
    count_foreign(n, ring);
    const struct node_hooks *hooks = n->priv->hooks;
    if (hooks != NULL && hooks->ring_changed != NULL)
        hooks->ring_changed(hooks->arg, ring);
}

static int watch_ring(struct node *n, struct node_ring *r, const struct ring_watch_config *like,
                      struct err *err)
{
    struct ring_watch_config watch = *like;
    watch.loop = n->main;
    watch.gossip = n->gossip;
    watch.key = r->key;
    watch.options.heartbeat_timeout_ms = r->heartbeat_timeout_ms;
    watch.name = r->name;
    watch.metrics = n->metrics;
    return ring_watch_init(&r->watch, &watch, err);
}

int node_watch_rings(struct node *n, struct err *err)
{
    const struct ring_settings *s = &n->settings.ring;
    const struct distributor_ring_settings *d = &n->settings.distributor_ring;
    struct node_ring *ingesters = &n->rings[NODE_RING_INGESTERS];
    struct node_ring *distributors = &n->rings[NODE_RING_DISTRIBUTORS];
    *ingesters = (struct node_ring){.title = "Ingesters",
                                    .name = "ingester",
                                    .path = "/ring",
                                    .heartbeat_timeout_ms = s->heartbeat_timeout_ms};
    *distributors = (struct node_ring){.title = "Distributors",
                                       .name = "distributor",
                                       .path = "/distributor/ring",
                                       .heartbeat_timeout_ms = d->heartbeat_timeout_ms};
    (void)snprintf(ingesters->key, sizeof ingesters->key, "%sring", s->prefix);
    (void)snprintf(distributors->key, sizeof distributors->key, "%sdistributor", d->prefix);
    const struct metric_label fixed[] = {{"name", ingesters->name}, {NULL, NULL}};
    int rc = metrics_register(n->metrics, rows, &n->priv->ring_metrics, fixed, err);
    if (rc == 0 && gossip_register(n->gossip, &ring_codec) != 0)
        rc = err_set(err, ERR_NOMEM, "no memory for the rings' codec");
    if (rc != 0)
        return rc;
    struct ring_watch_config of_ingesters = {
        .options = {.replication_factor = s->replication_factor,
                    .zone_aware = s->zone_awareness},
        .log = log_with(&n->log, "ring"),
        .on_change = on_ring_change,
        .arg = n,
    };
    struct ring_watch_config of_distributors = {.options = {.replication_factor = 1},
                                                .log = log_with(&n->log, "distributor-ring")};
    rc = watch_ring(n, ingesters, &of_ingesters, err);
    n->ring = ingesters->watch;
    return rc != 0 ? rc : watch_ring(n, distributors, &of_distributors, err);
}

void node_free_rings(struct node *n)
{
    n->ring = NULL;
    for (unsigned i = 0; i < NODE_RINGS; i++)
        ring_watch_free(&n->rings[i].watch);
}
