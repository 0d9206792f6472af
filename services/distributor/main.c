/* distributor: takes profiles, finds their replicas in the ring, answers at quorum. */
#include "push.h"
#include "write.h"

#include "app/node_run.h"
#include "metrics/metrics.h"
#include "net/http_server.h"
#include "ring/lookup.h"
#include "ring/ring_uv.h"

#include <stdio.h>
#include <unistd.h>

enum {
    RING_TOKENS = 1, /* as Pyroscope's distributors have */
    UNREGISTER_MS = 3000,
};

enum { FILL_MS = 60000 }; /* to wait for a worker and become a write; then the push timeout */

/* The role: what main() owns beside the node. */
struct distributor {
    struct node *node;
    struct writer *writer;
    struct pusher pusher;
    struct push_metrics push_metrics;
    struct write_metrics write_metrics;
    struct ring_life *life; /* in the distributors' ring, for others to find us */
    char instance[256], addr[272];
    _Atomic(bool) unregistered;
};

static struct profile_limits limits_of(const struct limit_settings *l)
{
    return (struct profile_limits){
        .profile_size_bytes = l->profile_bytes_max,
        .samples = l->samples_max,
        .sample_labels = l->sample_labels_max,
        .stack_depth = l->depth_max,
        .symbol_bytes = l->symbol_max,
        .label_name_bytes = l->label_name_max,
        .label_value_bytes = l->label_value_max,
        .label_names = l->label_names_max,
        .sanitize_label_names = !l->disable_sanitization,
        .reject_older_ns = l->reject_older_ms * 1000000,
        .reject_newer_ns = l->reject_newer_ms * 1000000,
    };
}

static int build_life(struct distributor *d, struct err *err)
{
    struct node *n = d->node;
    const struct distributor_ring_settings *s = &n->settings.distributor_ring;
    const struct node_ring *ring = &n->rings[NODE_RING_DISTRIBUTORS];
    if (s->id[0] != '\0')
        (void)snprintf(d->instance, sizeof d->instance, "%s", s->id);
    else if (gethostname(d->instance, sizeof d->instance - 1) != 0)
        return err_set(err, ERR_IO, "no host name: give -distributor.ring.instance-id");
    int rc = node_address(n, s->addr, s->port, "-distributor.ring.instance-addr", d->addr,
                          sizeof d->addr, err);
    struct ring_life_config config = {
        .loop = n->main,
        .gossip = n->gossip,
        .key = ring->key,
        .life = {.id = str_c(d->instance),
                 .addr = str_c(d->addr),
                 .num_tokens = RING_TOKENS,
                 .heartbeat_period_ms = s->heartbeat_period_ms,
                 .forget_after_ms = node_forget_ms(s->heartbeat_timeout_ms),
                 .heartbeat_timeout_ms = s->heartbeat_timeout_ms,
                 .unregister_on_shutdown = true,
                 .basic = true,
                 .id_option = "-distributor.ring.instance-id"},
        .tokens_path = "",
        .name = ring->name,
        .metrics = n->metrics,
        .log = log_with(&n->log, "distributor-ring"),
    };
    return rc != 0 ? rc : ring_life_init(&d->life, &config, err);
}

static int build(struct distributor *d, struct err *err)
{
    struct node *n = d->node;
    int rc = metrics_register(n->metrics, push_metric_rows, &d->push_metrics, NULL, err);
    if (rc == 0)
        rc = metrics_register(n->metrics, write_metric_rows, &d->write_metrics, NULL, err);
    if (rc != 0)
        return rc;
    gauge_set(d->push_metrics.replication_factor, n->settings.ring.replication_factor);
    struct writer_config writer = {.ring = n->ring,
                                   .replication_factor = n->settings.ring.replication_factor,
                                   .timeout_ms = n->settings.distributor.push_timeout_ms,
                                   .inflight_bytes = n->settings.distributor.inflight_bytes,
                                   .metrics = &d->write_metrics,
                                   .log = &n->log,
                                   .now = node_wall_ms};
    rc = writer_init(&d->writer, &writer);
    if (rc != 0)
        return err_set(err, rc, "no memory for the writer");
    d->pusher = (struct pusher){
        .writer = d->writer,
        .clients = n->clients,
        .pool = n->pool,
        .rpc = n->rpc,
        .limits = limits_of(&n->settings.limits),
        .deadline_ms = FILL_MS + n->settings.distributor.push_timeout_ms,
        .body_max = (uint64_t)(n->settings.distributor.body_limit_mb * 1048576),
        .metrics = &d->push_metrics,
        .now_ns = node_wall_ns,
    };
    rc = push_register(&d->pusher, n->rpc, err);
    if (rc == 0)
        rc = ingest_register(&d->pusher, n->http, err);
    return rc != 0 ? rc : build_life(d, err);
}

static int start(void *arg, struct err *err)
{
    struct distributor *d = arg;
    (void)err;
    ring_life_start(d->life);
    return 0;
}

static void leave(void *arg)
{
    struct distributor *d = arg;
    ring_life_leave(d->life);
}

static void on_unregistered(void *arg)
{
    struct distributor *d = arg;
    atomic_store(&d->unregistered, true);
}

static void stop(void *arg)
{
    struct distributor *d = arg;
    ring_life_unregister(d->life, on_unregistered, d);
    node_turn_until(d->node, &d->unregistered, UNREGISTER_MS);
}

static int is_ready(void *arg, struct err *err)
{
    struct distributor *d = arg;
    int rc = ring_life_unique(d->life, err);
    uint32_t quorum = d->node->settings.ring.replication_factor / 2 + 1;
    return rc != 0 ? rc : node_sees_ingesters(d->node, quorum, err);
}

int main(int argc, char **argv)
{
    struct distributor d = {0};
    struct err err = {0};
    int status =
        node_init(&d.node, &(struct node_role){.name = "distributor", .help = FOR_DISTRIBUTOR},
                  argc, argv);
    if (d.node == NULL)
        return status;
    if (build(&d, &err) == 0) {
        struct node_hooks hooks = {
            .arg = &d, .start = start, .ready = is_ready, .leave = leave, .stop = stop};
        status = node_run(d.node, &hooks);
    } else {
        (void)fprintf(stderr, "distributor: %s\n", err.msg);
        status = 1;
    }
    ring_life_free(&d.life);
    node_free(&d.node);
    pusher_reset(&d.pusher);
    writer_free(&d.writer); /* after the clients: their last calls end in it */
    return status;
}
