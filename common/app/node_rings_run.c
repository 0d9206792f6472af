/* app/node_rings_run.c - the rings that a node watches. */
#include "app/node_priv.h"

#include "gossip/gossip_uv.h"
#include "ring/desc.h"
#include "ring/ring_metrics_run.h"
#include "ring/ring_uv.h"

#include <stdio.h>

static void on_ring_change(void *arg, struct ring *ring)
{
    struct node *n = arg;
    const struct node_hooks *hooks = n->priv->hooks;
    if (hooks != NULL && hooks->ring_changed != NULL)
        hooks->ring_changed(hooks->arg, ring);
}

static struct ring *hold_ring(void *arg)
{
    const struct node_ring *r = arg;
    return ring_watch_hold(r->watch);
}

static int watch_ring(struct node *n, struct node_ring *r, const struct ring_watch_config *like,
                      struct err *err)
{
    struct ring_watch_config watch = *like;
    watch.loop = n->main;
    watch.gossip = n->gossip;
    watch.key = r->key;
    watch.log = log_with(&n->log, "ring");
    watch.options.heartbeat_timeout_ms = r->heartbeat_timeout_ms;
    int rc = ring_watch_init(&r->watch, &watch, err);
    return rc != 0 ? rc
                   : ring_metrics_init(&r->metrics, n->metrics, r->name, hold_ring, r, err);
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
    if (gossip_register(n->gossip, &ring_codec) != 0)
        return err_set(err, ERR_NOMEM, "no memory for the rings' codec");
    struct ring_watch_config of_ingesters = {
        .options = {.replication_factor = s->replication_factor,
                    .zone_aware = s->zone_awareness},
        .on_change = on_ring_change,
        .arg = n,
    };
    struct ring_watch_config of_distributors = {.options = {.replication_factor = 1}};
    int rc = watch_ring(n, ingesters, &of_ingesters, err);
    n->ring = ingesters->watch;
    return rc != 0 ? rc : watch_ring(n, distributors, &of_distributors, err);
}

void node_free_ring_metrics(struct node *n)
{
    for (unsigned i = 0; i < NODE_RINGS; i++)
        ring_metrics_free(&n->rings[i].metrics);
}

void node_free_rings(struct node *n)
{
    n->ring = NULL;
    for (unsigned i = 0; i < NODE_RINGS; i++)
        ring_watch_free(&n->rings[i].watch);
}
