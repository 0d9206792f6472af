/* app/node_run.c - builds a node, runs it, takes it down. */
#include "app/node_priv.h"

#include "app/version.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gossip/gossip_uv.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "ring/desc.h"
#include "ring/ring_uv.h"
#include "rpc/server.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum {
    POOL_WAITING_MAX = 4096,
    LEAVE_SLACK_MS = 2000,
    REST_LOOK_MS = 4000,
    SEE_INGESTERS_MS = 30000, /* founding takes 10 s, and then the gossip its time */
    ADMIN_GRACE_MS = 1000,
};

wall_ms node_wall_ms(void)
{
    return clock_wall_ms();
}

int64_t node_wall_ns(void)
{
    return clock_wall_ns();
}

/* --- building -------------------------------------------------------------------------------- */

static int build_loops(struct node *n, const struct http_client_config *special, struct err *err)
{
    const struct http_client_config usual = {.user_agent = "emberring"};
    const struct http_client_config *client = special != NULL ? special : &usual;
    unsigned workers = n->server.workers;
    if (workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        workers = cores < 1 ? 1 : cores > 64 ? 64 : (unsigned)cores;
    }
    int rc = loop_init(&n->main, "main", err);
    if (rc == 0)
        rc = http_client_init(&n->main_client, n->main, client, err);
    for (unsigned i = 0; rc == 0 && i < n->server.http_threads; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "http-%u", i);
        rc = loop_init(&n->threads[i], name, err);
        if (rc == 0) {
            n->thread_count++;
            rc = http_client_init(&n->clients[i], n->threads[i], client, err);
        }
    }
    if (rc == 0)
        rc = pool_init(&n->pool, workers, POOL_WAITING_MAX, err);
    return rc;
}

static int build_server(struct node *n, struct err *err)
{
    struct http_server_config config = {
        .address = str_c(n->server.http_address),
        .port = (uint16_t)n->server.http_port,
        .connections_max = n->server.connections_max,
        .connection_memory = (size_t)n->server.connection_memory,
        .header_ms = n->server.read_timeout_ms,
        .body_ms = n->server.read_timeout_ms,
        .write_ms = n->server.write_timeout_ms,
        .idle_ms = n->server.idle_timeout_ms,
        .memory_max = n->server.memory_max,
        .log = &n->log,
        .on_seen = node_seen,
        .seen_arg = n,
    };
    struct rpc_server_config rpc = {.multitenancy = n->settings.multitenancy, .pool = n->pool};
    int rc = http_server_init(&n->http, n->threads, n->thread_count, &config, err);
    if (rc == 0 && rpc_server_init(&n->rpc, n->http, &rpc) != 0)
        rc = err_set(err, ERR_NOMEM, "no memory for the RPC server");
    return rc != 0 ? rc : node_admin_init(n, &config, err);
}

static int build_gossip(struct node *n, struct err *err)
{
    int rc = gossip_init(&n->gossip, n->main, &n->gossip_settings, &n->log, n->metrics, err);
    return rc != 0 ? rc : node_watch_rings(n, err);
}

int node_address(const struct node *n, const char *addr, uint32_t port, const char *option,
                 char *out, size_t size, struct err *err)
{
    char text[GOSSIP_ADDR_TEXT_MAX];
    struct str host = str_c(addr);
    if (host.len == 0 && n->gossip != NULL) {
        struct gossip_addr self = gossip_self(n->gossip);
        gossip_addr_ip_text(&self, text);
        host = str_c(text);
    } else if (host.len == 0) {
        host = str_c(n->server.http_address[0] != '\0' ? n->server.http_address : "0.0.0.0");
    }
    if (port == 0)
        port = http_server_addr(n->http).port;
    bool bare_v6 = str_find(host, ':') != SIZE_MAX && host.data[0] != '[';
    int used = snprintf(out, size, bare_v6 ? "[%.*s]:%u" : "%.*s:%u", STR_ARG(host), port);
    return used < 0 || (size_t)used >= size ? err_set(err, ERR_INVAL, "%s: too long", option) : 0;
}

static void block_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* inherited: one thread waits for them */
    (void)signal(SIGPIPE, SIG_IGN);
}

int node_init(struct node **out, const struct node_role *role, int argc, char **argv)
{
    struct err err = {0};
    int status = 1;
    *out = NULL;
    memory_tune();
    block_signals();
    struct node *n = mem_zalloc(sizeof *n);
    if (n == NULL || (n->priv = mem_zalloc(sizeof *n->priv)) == NULL) {
        mem_free(n);
        return 1;
    }
    n->role = role->name;
    n->components = role->components;
    if (!node_configure(n, role, argc, argv, &status)) {
        node_free(&n);
        return status;
    }
    log_line(&n->log, LOG_INFO, "starting", LOG_C("role", role->name),
             LOG_C("version", app_version()), LOG_C("revision", app_revision()),
             LOG_I("pid", getpid()));
    int rc = metrics_init(&n->metrics, n->server.metrics_namespace, &err);
    if (rc == 0)
        rc = build_loops(n, role->client, &err);
    if (rc == 0)
        rc = build_server(n, &err);
    if (rc == 0 && (!role->observer || n->gossip_settings.join.count > 0))
        rc = build_gossip(n, &err);
    if (rc == 0)
        rc = node_register_pages(n, &err);
    if (rc == 0)
        rc = node_address(n, n->settings.ingester.addr, n->settings.ingester.port,
                          "-ingester.lifecycler.addr", n->http_addr, sizeof n->http_addr, &err);
    if (rc != 0) {
        log_line(&n->log, LOG_ERROR, "cannot start", LOG_C("err", err.msg));
        node_free(&n);
        return 1;
    }
    *out = n;
    return 0;
}

/* --- running --------------------------------------------------------------------------------- */

static void quit_main(void *arg)
{
    struct node *n = arg;
    loop_stop(n->main);
}

void node_quit(struct node *n, int status)
{
    if (status != 0)
        atomic_store(&n->priv->status, status);
    if (!atomic_exchange(&n->priv->quit_posted, true))
        loop_post(n->main, &n->priv->quit, quit_main, n);
}

static void reload_main(void *arg)
{
    struct node *n = arg;
    atomic_store(&n->priv->reload_posted, false);
    if (!atomic_load(&n->priv->stopping) && n->priv->hooks != NULL)
        n->priv->hooks->reload(n->priv->hooks->arg);
}

bool node_reload(struct node *n)
{
    if (!atomic_load(&n->priv->reloads))
        return false;
    if (!atomic_exchange(&n->priv->reload_posted, true))
        loop_post(n->main, &n->priv->reload, reload_main, n);
    return true;
}

static const char *signal_name(int sig)
{
    return sig == SIGINT ? "INT" : sig == SIGHUP ? "HUP" : "TERM";
}

static void *wait_for_signals(void *arg)
{
    struct node *n = arg;
    sigset_t set;
    int sig = 0;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    while (sigwait(&set, &sig) != 0 || (sig == SIGHUP && node_reload(n))) {
    }
    if (!atomic_load(&n->priv->stopping))
        log_line(&n->log, LOG_INFO, "stopping", LOG_C("signal", signal_name(sig)));
    node_quit(n, 0);
    return NULL;
}

void node_turn_until(struct node *n, const _Atomic(bool) *done, uint32_t timeout_ms)
{
    mono_ms end = clock_mono_ms() + timeout_ms;
    while (!atomic_load(done) && clock_mono_ms() < end)
        loop_turn(n->main, 20);
}

static void look_for_rest(void *arg)
{
    struct node *n = arg;
    struct http_server_stats s = http_server_stats(n->http);
    (void)memory_idle_look(&n->priv->memory, s.requests, s.inflight > 0);
}

int node_sees_ingesters(struct node *n, uint32_t need, struct err *err)
{
    struct node_private *p = n->priv;
    if (p->saw_ingesters)
        return 0;
    struct ring *ring = ring_watch_hold(n->ring);
    uint32_t active = 0;
    for (size_t i = 0; ring != NULL && i < ring_count(ring); i++) {
        const struct ring_instance *in = ring_at(ring, i);
        active += in->state == RING_ACTIVE && ring_instance_version(in, RING_VERSION_EXACT) != 0;
    }
    ring_drop(&ring);
    if (active < need && clock_mono_ms() < p->started + SEE_INGESTERS_MS)
        return err_set(err, ERR_UNAVAILABLE, "%u ingesters are ACTIVE in the ring, %u needed",
                       active, need);
    if (active < need)
        log_line(&n->log, LOG_WARN, "ready although too few ingesters are in the ring",
                 LOG_U("active", active), LOG_U("needed", need));
    p->saw_ingesters = true;
    return 0;
}

static void on_join_failed(void *arg, const char *why)
{
    struct node *n = arg;
    log_line(&n->log, LOG_ERROR, "cannot join the cluster", LOG_C("why", why));
    node_quit(n, 1);
}

static int start(struct node *n, struct err *err)
{
    n->priv->started = clock_mono_ms();
    int rc = loop_timer_init(&n->priv->rest, n->main, look_for_rest, n);
    if (rc != 0)
        return err_set(err, rc, "no memory for a timer");
    loop_timer_start(n->priv->rest, REST_LOOK_MS, REST_LOOK_MS);
    rc = node_register_index(n, err);
    for (unsigned i = 0; rc == 0 && i < n->thread_count; i++)
        rc = loop_start(n->threads[i], err);
    if (rc == 0)
        rc = http_server_start(n->http, err);
    if (rc == 0 && n->admin != NULL)
        rc = http_server_start(n->admin, err);
    if (rc == 0 && n->gossip != NULL) {
        gossip_on_failure(n->gossip, on_join_failed, n);
        rc = gossip_start(n->gossip, err);
    }
    if (rc == 0 && n->priv->hooks->start != NULL)
        rc = n->priv->hooks->start(n->priv->hooks->arg, err);
    return rc;
}

/* On a thread of its own: requests under way may need every thread of the pool. */
static void *run_drain(void *arg)
{
    struct node *n = arg;
    unsigned cut = http_server_stop(n->http, n->server.grace_ms);
    if (cut > 0)
        log_line(&n->log, LOG_WARN, "requests were cut short by the end of the grace period",
                 LOG_U("requests", cut));
    if (n->admin != NULL) /* last: it says until the end what the process does */
        (void)http_server_stop(n->admin, ADMIN_GRACE_MS);
    atomic_store(&n->priv->drained, true);
    return NULL;
}

static void on_left(void *arg)
{
    struct node *n = arg;
    atomic_store(&n->priv->left, true);
}

static void stop(struct node *n)
{
    struct node_private *p = n->priv;
    const struct node_hooks *hooks = p->hooks;
    atomic_store(&p->stopping, true); /* /ready is false from here on */
    if (atomic_load(&p->status) == 0)
        node_turn_until(n, &p->drained, n->server.shutdown_delay_ms);
    if (hooks->leave != NULL)
        hooks->leave(hooks->arg);
    if (pthread_create(&p->drain, NULL, run_drain, n) == 0) {
        node_turn_until(n, &p->drained, UINT32_MAX); /* ends soon after the grace */
        (void)pthread_join(p->drain, NULL);
    } else {
        (void)run_drain(n);
    }
    /* Jobs of requests that were cut short still run: what they work on goes after this. */
    pool_stop(n->pool);
    if (hooks->stop != NULL)
        hooks->stop(hooks->arg);
    if (n->gossip != NULL) {
        gossip_stop(n->gossip, on_left, n);
        node_turn_until(n, &p->left,
                        n->gossip_settings.leave_ms + n->gossip_settings.flush_ms +
                            LEAVE_SLACK_MS);
    }
    log_line(&n->log, LOG_INFO, "stopped");
}

int node_run(struct node *n, const struct node_hooks *hooks)
{
    struct err err = {0};
    n->priv->hooks = hooks;
    atomic_store(&n->priv->reloads, hooks->reload != NULL);
    ASSERT(pthread_create(&n->priv->signals, NULL, wait_for_signals, n) == 0);
    n->priv->signals_run = true;
    int rc = start(n, &err);
    if (rc != 0) {
        log_line(&n->log, LOG_ERROR, "cannot start", LOG_C("err", err.msg));
        atomic_store(&n->priv->status, 1);
    } else {
        log_line(&n->log, LOG_INFO, "serving", LOG_C("http", n->http_addr));
        node_admin_log(n);
        loop_run(n->main);
    }
    stop(n);
    n->priv->hooks = NULL; /* what they work on goes next */
    return atomic_load(&n->priv->status);
}

void node_free(struct node **out)
{
    struct node *n = *out;
    if (n == NULL)
        return;
    if (n->priv->signals_run) {
        (void)pthread_cancel(n->priv->signals); /* sigwait is a cancellation point */
        (void)pthread_join(n->priv->signals, NULL);
    }
    if (n->metrics != NULL)
        metrics_collector_remove(n->metrics, n);
    http_server_free(&n->admin);
    http_server_free(&n->http);
    rpc_server_free(&n->rpc);
    pool_free(&n->pool);
    gossip_free(&n->gossip);
    node_free_rings(n);
    for (unsigned i = 0; i < n->thread_count; i++) {
        loop_stop(n->threads[i]);
        loop_join(n->threads[i]);
        http_client_free(&n->clients[i]);
        loop_free(&n->threads[i]);
    }
    if (n->main != NULL) {
        loop_timer_free(&n->priv->rest);
        http_client_free(&n->main_client);
        loop_turn(n->main, 0);
        loop_free(&n->main);
    }
    metrics_free(&n->metrics);
    conf_free(&n->priv->conf);
    mem_free(n->priv);
    mem_free(n);
    *out = NULL;
}
