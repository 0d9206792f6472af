/* ingester: owns tokens in the ring, keeps profiles on its disk, answers its share of a query. */
#include "membership_run.h"
#include "metrics.h"
#include "service.h"
#include "standing.h"

#include "app/node_run.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gossip/gossip_uv.h"
#include "net/loop.h"
#include "ring/desc.h"
#include "ring/ring_uv.h"
#include "rpc/server.h"
#include "store/identity.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOST_MAX = 256, PATH_MAX_ = 4096, UNREGISTER_MS = 5000, LOOK_MS = 200 };

/* The role: what main() owns beside the node. */
struct ingester {
    struct node *node;
    const struct store_io *io;
    const char *dir;
    char instance[HOST_MAX];
    struct store_file *lock; /* of the data directory */
    struct identity identity;
    bool unborn; /* its disk's name was made by this start and is not on the disk yet */
    struct roster *roster; /* as it was on the disk */
    struct store *store;
    struct standing *standing;
    struct membership *membership;
    struct ring_life *life;
    struct loop_timer
        *look; /* until established: whether the gossip has joined changes no ring */
    struct service service;
    struct ingester_counters counters;
    struct ingester_metrics *metrics;
    struct mem_account queries, heads, requests;
    char tokens_path[PATH_MAX_];
    _Atomic(bool) unregistered;
};

/* --- the disk ----------------------------------------------------------------------------- */

static void fresh_disk(uint8_t out[DISK_SIZE])
{
    clock_entropy(out, DISK_SIZE);
}

/* The store is about to forget: another name first, synced. */
static int forget(void *arg, const char *cause, uint8_t disk[STORE_DISK_SIZE])
{
    struct ingester *g = arg;
    uint8_t fresh[DISK_SIZE];
    fresh_disk(fresh);
    log_line(&g->node->log, LOG_WARN, "the disk forgot something: it takes a new name",
             LOG_C("cause", cause));
    if (!g->unborn) /* else nobody knows the name, and as predecessor it would hide the real one */
        identity_forget(&g->identity, fresh);
    memcpy(disk, g->identity.disk, DISK_SIZE);
    return identity_write(g->io, g->dir, &g->identity);
}

/* A new directory lasts only when the one that it is in is synced. */
static int sync_above(struct ingester *g, const char *dir, struct err *err)
{
    char above[PATH_MAX_ + 4];
    (void)snprintf(above, sizeof above, "%s/..", dir);
    int rc = g->io->sync_dir(g->io->self, above);
    return rc == 0 ? 0 : err_set(err, rc, "syncing %s: %s", above, err_text(rc));
}

/* Make the folders that `dir` is in, where they are missing. */
static int make_dirs_above(struct ingester *g, struct err *err)
{
    char path[PATH_MAX_];
    (void)snprintf(path, sizeof path, "%s", g->dir);
    int rc = 0;
    for (char *at = strchr(path + 1, '/'); rc == 0 && at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(path, 0777) == 0) /* else it is there, or what needs it says what is wrong */
            rc = sync_above(g, path, err);
        *at = '/';
    }
    return rc;
}

static int make_dir(struct ingester *g, struct err *err)
{
    struct stat st;
    char why[128];
    const char *dir = g->dir;
    int rc = make_dirs_above(g, err);
    if (rc != 0)
        return rc;
    if (mkdir(dir, 0777) == 0)
        return sync_above(g, dir, err);
    if (errno == EEXIST && access(dir, R_OK | W_OK | X_OK) == 0 && stat(dir, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return 0;
        errno = ENOTDIR;
    }
    return err_set(err, ERR_IO, "-pyroscopedb.data-path: %s: %s", dir,
                   strerror_r(errno, why, sizeof why));
}

static int lock_dir(struct ingester *g, struct err *err)
{
    int rc = identity_lock(g->io, g->dir, &g->lock);
    if (rc == ERR_EXIST)
        return err_set(err, rc, "another process uses %s", g->dir);
    return rc == 0 ? 0 : err_set(err, rc, "locking %s: %s", g->dir, err_text(rc));
}

static int read_roster(struct ingester *g, struct err *err)
{
    struct buf bytes = {0};
    int rc = roster_read(g->io, g->dir, &bytes);
    if (rc == 0)
        rc = roster_decode(&g->roster, buf_view(&bytes), err);
    buf_reset(&bytes);
    /* A broken one made identity_open() take a new name; it is learnt anew from the others. */
    return rc == ERR_IO || rc == ERR_NOMEM
               ? err_set(err, rc, "%s/roster: %s", g->dir, err_text(rc))
               : 0;
}

static int open_identity(struct ingester *g, struct err *err)
{
    uint8_t fresh[DISK_SIZE];
    const char *cause = NULL;
    struct str name = str_c(g->instance);
    fresh_disk(fresh);
    int rc = identity_open(g->io, g->dir, name, name, fresh, &g->identity, &cause);
    if (rc != 0)
        return err_set(err, rc, "%s/instance: %s", g->dir, err_text(rc));
    g->unborn = cause != NULL;
    if (cause != NULL)
        log_line(&g->node->log, LOG_INFO, "the disk gets a new name", LOG_C("cause", cause));
    return read_roster(g, err);
}

static enum store_sync sync_of(const char *text)
{
    if (str_eq(str_c(text), STR("interval")))
        return STORE_SYNC_INTERVAL;
    return str_eq(str_c(text), STR("never")) ? STORE_SYNC_NEVER : STORE_SYNC_ALWAYS;
}

static int open_store(struct ingester *g, struct err *err)
{
    const struct ingester_settings *s = &g->node->settings.ingester;
    struct store_config config = {
        .dir = g->dir,
        .lock = g->lock,
        .stopped = g->identity.stopped || g->identity.starts == 0,
        .sync = sync_of(s->wal_sync),
        .sync_interval_ms = s->wal_sync_interval_ms,
        .heads = &g->heads,
        .requests = &g->requests,
        .log = log_with(&g->node->log, "store"),
        .identity_forget = forget,
        .arg = g,
    };
    memcpy(config.disk, g->identity.disk, DISK_SIZE);
    int rc = store_open(&g->store, &config, g->io, err);
    if (rc != 0)
        return rc;
    g->identity.starts++;
    g->identity.stopped = false;
    rc = identity_write(g->io, g->dir, &g->identity);
    g->unborn = false;
    if (rc == 0)
        identity_reserve(g->io, g->dir);
    return rc == 0 ? 0 : err_set(err, rc, "%s/instance: %s", g->dir, err_text(rc));
}

/* --- membership --------------------------------------------------------------------------- */

static int sync_roster(void *arg, struct str roster)
{
    struct ingester *g = arg;
    return roster_write(g->io, g->dir, roster);
}

static void on_active(void *arg)
{
    struct ingester *g = arg;
    ring_life_establish(g->life);
}

static void on_quit(void *arg, const char *why)
{
    struct ingester *g = arg;
    log_line(&g->node->log, LOG_ERROR, "this ingester cannot be a member", LOG_C("why", why));
    node_quit(g->node, 1);
}

/* Another process is further on under our disk's name: an old copy was restored here. It takes
 * a new name now and speaks under it from the next start on. */
static void on_rename(void *arg, const char *why)
{
    struct ingester *g = arg;
    uint8_t disk[STORE_DISK_SIZE];
    if (forget(g, why, disk) != 0)
        log_line(&g->node->log, LOG_ERROR, "the new name cannot be written");
    on_quit(g, why);
}

static int build_membership(struct ingester *g, struct err *err)
{
    struct node *n = g->node;
    const struct settings *s = &n->settings;
    struct membership_config config = {
        .member = {.clean = g->identity.clean,
                   .starts = g->identity.starts,
                   .instance = str_c(g->instance),
                   .domain = str_c(g->instance),
                   .addr = str_c(n->http_addr),
                   .replication_factor = s->ring.replication_factor,
                   .zone_aware = s->ring.zone_awareness,
                   .expect = s->ingester.bootstrap_expect,
                   .quiet_ms = s->ingester.bootstrap_quiet_ms},
        .loop = n->main,
        .client = n->main_client,
        .pool = n->pool,
        .standing = g->standing,
        .events = {.arg = g,
                   .sync = sync_roster,
                   .on_active = on_active,
                   .on_rename = on_rename,
                   .on_quit = on_quit},
        .log = log_with(&n->log, "member"),
    };
    memcpy(config.member.disk.bytes, g->identity.disk, DISK_SIZE);
    memcpy(config.member.predecessor.bytes, g->identity.predecessor, DISK_SIZE);
    return membership_init(&g->membership, &config, g->roster, err);
}

static int build_life(struct ingester *g, struct err *err)
{
    struct node *n = g->node;
    const struct ingester_settings *s = &n->settings.ingester;
    static const struct ring_version versions[] = {{RING_VERSION_EXACT, 1}};
    if (s->tokens_file[0] != '\0')
        (void)snprintf(g->tokens_path, sizeof g->tokens_path, "%s", s->tokens_file);
    else
        (void)snprintf(g->tokens_path, sizeof g->tokens_path, "%s/tokens", g->dir);
    struct ring_life_config config = {
        .loop = n->main,
        .gossip = n->gossip,
        .key = n->rings[NODE_RING_INGESTERS].key,
        .name = n->rings[NODE_RING_INGESTERS].name,
        .metrics = n->metrics,
        .life = {.id = str_c(g->instance),
                 .addr = str_c(n->http_addr),
                 .zone = str_c(s->zone),
                 .num_tokens = s->num_tokens,
                 .heartbeat_period_ms = s->heartbeat_period_ms,
                 .join_after_ms = s->join_after_ms,
                 .observe_period_ms = s->observe_period_ms,
                 .forget_after_ms =
                     s->auto_forget ? node_forget_ms(n->settings.ring.heartbeat_timeout_ms) : 0,
                 .min_ready_ms = s->min_ready_ms,
                 .heartbeat_timeout_ms = n->settings.ring.heartbeat_timeout_ms,
                 .check_ring_health = s->ready_on_ring_health,
                 .unregister_on_shutdown = s->unregister_on_shutdown,
                 .start_joining = true,
                 .versions = versions,
                 .version_count = 1,
                 .id_option = "-ingester.lifecycler.ID"},
        .tokens_path = g->tokens_path,
        .log = log_with(&n->log, "ring"),
    };
    return ring_life_init(&g->life, &config, err);
}

/* The ring's ingesters that are ours, for the member machine. */
static void on_ring_changed(void *arg, struct ring *ring)
{
    struct ingester *g = arg;
    size_t count = ring_count(ring), used = 0;
    struct member_peer *peers = mem_calloc(count, sizeof *peers);
    struct gossip_status status;
    if (peers == NULL || g->membership == NULL) {
        mem_free(peers);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct ring_instance *in = ring_at(ring, i);
        if (ring_instance_version(in, RING_VERSION_EXACT) != 0)
            peers[used++] = (struct member_peer){in->id, in->addr};
    }
    gossip_status(g->node->gossip, &status);
    membership_ring(g->membership, peers, (uint32_t)used, status.joined);
    mem_free(peers);
}

static void on_look(void *arg)
{
    struct ingester *g = arg;
    struct ring *ring = ring_watch_hold(g->node->ring);
    if (ring != NULL)
        on_ring_changed(g, ring);
    ring_drop(&ring);
    if (ring_life_state(g->life) == RING_ACTIVE)
        loop_timer_stop(g->look);
}

/* --- the role ----------------------------------------------------------------------------- */

static int name_instance(struct ingester *g, struct err *err)
{
    const char *id = g->node->settings.ingester.id;
    if (id[0] != '\0')
        (void)snprintf(g->instance, sizeof g->instance, "%s", id);
    else if (gethostname(g->instance, sizeof g->instance - 1) != 0)
        return err_set(err, ERR_IO, "no host name: give -ingester.lifecycler.ID");
    if (strlen(g->instance) > IDENTITY_NAME_MAX - 1)
        return err_set(err, ERR_INVAL, "-ingester.lifecycler.ID: longer than %d bytes",
                       IDENTITY_NAME_MAX - 1);
    return 0;
}

static int build_service(struct ingester *g, struct err *err)
{
    struct node *n = g->node;
    const struct ingester_sources sources = {.store = g->store,
                                             .standing = g->standing,
                                             .heads = &g->heads,
                                             .queries = &g->queries,
                                             .requests = &g->requests};
    int rc = ingester_metrics_init(&g->metrics, n->metrics, &sources, &g->counters, err);
    if (rc != 0)
        return rc;
    g->service = (struct service){
        .store = g->store,
        .standing = g->standing,
        .pool = n->pool,
        .queries = &g->queries,
        .query_memory = n->settings.limits.query_memory,
        .vector_limit = n->settings.ingester.vector_limit,
        .repeats = g->counters.repeats,
        .profiles = g->counters.profiles,
        .samples = g->counters.samples,
    };
    rc = service_register(&g->service, n->rpc, err);
    return rc != 0 ? rc : membership_register(g->membership, n->rpc, err);
}

static int build(struct ingester *g, struct err *err)
{
    struct node *n = g->node;
    g->io = store_io_posix();
    g->dir = n->settings.data_path;
    mem_account_init(&g->queries, NULL, "queries", 4 * n->settings.limits.query_memory);
    mem_account_init(&g->heads, NULL, "heads", 0);
    mem_account_init(&g->requests, NULL, "requests", n->server.memory_max);
    int rc = name_instance(g, err);
    if (rc == 0)
        rc = make_dir(g, err);
    if (rc == 0)
        rc = lock_dir(g, err);
    if (rc == 0)
        rc = open_identity(g, err);
    if (rc == 0)
        rc = open_store(g, err);
    if (rc == 0 && standing_init(&g->standing, str_c(g->instance), str_c(g->instance)) != 0)
        rc = err_set(err, ERR_NOMEM, "no memory");
    if (rc == 0)
        rc = build_membership(g, err);
    if (rc == 0)
        rc = build_life(g, err);
    return rc != 0 ? rc : build_service(g, err);
}

static int start(void *arg, struct err *err)
{
    struct ingester *g = arg;
    int rc = loop_timer_init(&g->look, g->node->main, on_look, g);
    if (rc != 0)
        return err_set(err, rc, "no timer");
    membership_start(g->membership);
    ring_life_start(g->life);
    loop_timer_start(g->look, LOOK_MS, LOOK_MS);
    return 0;
}

static int is_ready(void *arg, struct err *err)
{
    struct ingester *g = arg;
    enum ring_state state = ring_life_state(g->life);
    int rc = ring_life_unique(g->life, err);
    if (rc == 0)
        rc = membership_ready(g->membership, err);
    if (rc == 0 && state != RING_ACTIVE)
        rc = err_set(err, ERR_UNAVAILABLE, "in the ring as %s", ring_state_name((int)state));
    return rc != 0 ? rc : ring_life_ready(g->life, err);
}

static void leave(void *arg)
{
    struct ingester *g = arg;
    ring_life_leave(g->life);
}

static void on_unregistered(void *arg)
{
    struct ingester *g = arg;
    atomic_store(&g->unregistered, true);
}

static void stop(void *arg)
{
    struct ingester *g = arg;
    ring_life_unregister(g->life, on_unregistered, g);
    node_turn_until(g->node, &g->unregistered, UNREGISTER_MS);
}

/* The log's last sync, then the word that it was the last. */
static int close_store(struct ingester *g)
{
    if (g->store == NULL)
        return 0;
    int rc = store_close(&g->store);
    if (rc == 0) {
        g->identity.stopped = true;
        rc = identity_write(g->io, g->dir, &g->identity);
    }
    if (rc != 0)
        log_line(&g->node->log, LOG_ERROR, "the data could not be closed cleanly",
                 LOG_C("err", err_text(rc)));
    return rc;
}

int main(int argc, char **argv)
{
    struct ingester g = {0};
    struct err err = {0};
    int status = node_init(
        &g.node, &(struct node_role){.name = "ingester", .help = FOR_INGESTER}, argc, argv);
    if (g.node == NULL)
        return status;
    if (build(&g, &err) == 0) {
        struct node_hooks hooks = {.arg = &g,
                                   .start = start,
                                   .ready = is_ready,
                                   .ring_changed = on_ring_changed,
                                   .leave = leave,
                                   .stop = stop};
        status = node_run(g.node, &hooks);
    } else {
        log_line(&g.node->log, LOG_ERROR, "cannot start", LOG_C("err", err.msg));
        status = 1;
    }
    loop_timer_free(&g.look);
    membership_free(&g.membership);
    ingester_metrics_free(&g.metrics);
    if (close_store(&g) != 0)
        status = 1;
    if (g.lock != NULL)
        g.io->close(g.io->self, g.lock);
    ring_life_free(&g.life);
    node_free(&g.node);
    standing_free(&g.standing);
    roster_free(&g.roster);
    return status;
}
