/* app/node_rings_run.c - the rings that a node watches. */
#include "app/node_priv.h"

#include "gossip/gossip_uv.h"
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

static void on_ring_change(void *arg, struct ring *ring)
{
    struct node *n = arg;
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
    if (gossip_register(n->gossip, &ring_codec) != 0)
        return err_set(err, ERR_NOMEM, "no memory for the rings' codec");
    struct ring_watch_config of_ingesters = {
        .options = {.replication_factor = s->replication_factor,
                    .zone_aware = s->zone_awareness},
        .log = log_with(&n->log, "ring"),
        .on_change = on_ring_change,
        .arg = n,
    };
    struct ring_watch_config of_distributors = {.options = {.replication_factor = 1},
                                                .log = log_with(&n->log, "distributor-ring")};
    int rc = watch_ring(n, ingesters, &of_ingesters, err);
    n->ring = ingesters->watch;
    return rc != 0 ? rc : watch_ring(n, distributors, &of_distributors, err);
}

void node_free_rings(struct node *n)
{
    n->ring = NULL;
    for (unsigned i = 0; i < NODE_RINGS; i++)
        ring_watch_free(&n->rings[i].watch);
}
