/* gossip/gossip_uv.c - the core on its loop: a timer, a transport, calls from other threads. */
#include "gossip/gossip_uv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gossip/core.h"
#include "gossip/seeds_uv.h"
#include "gossip/stats.h"
#include "gossip/transport_uv.h"
#include "net/loop.h"
#include "net/tls.h"

enum {
    UNSENT_MS = 200,        /* between looks at packets that wait for a place */
    LOOK_MS = 5000,         /* metrics and status are no older */
    LOOK_JOINING_MS = 500,  /* while we are not joined */
    LAST_PACKETS_MS = 1000, /* wait for packets that are on their way when all is told */
    WAITING_LOG_MS = 15000, /* between lines that say that we have not joined */
    PATIENCE_MS = 2000,     /* before the first one: a cluster may be starting as a whole */
};

struct gossip {
    struct loop *loop;
    const struct gossip_config *cfg;
    struct log log;
    struct gossip_core *core;
    struct transport *transport;
    struct seeds *seeds;
    struct gossip_stats *stats;
    struct loop_timer *timer;
    bool pumping, started;
    void (*on_stopped)(void *arg);
    void *on_stopped_arg;
    bool stopping;
    void (*on_failure)(void *arg, const char *why);
    void *on_failure_arg;
    mono_ms over_at, started_at;
    mono_ms looked; /* when the timer was last due: packets that come in do not put it off */
    struct log_rate waiting_rate;
    uint64_t waiting_mark;
    size_t waiting_members; /* when that was computed */
    struct gossip_addr self;
    _Atomic(const char *) name;
    pthread_mutex_t lock; /* of what other threads read, below */
    struct gossip_status status;
    struct buf waiting_for;
};

static struct gossip_time now_of(const struct gossip *g)
{
    return (struct gossip_time){loop_now(g->loop), clock_wall_ms()};
}

/* --- the loop ------------------------------------------------------------------------------- */

/* Say now and then that we have not joined, and whom we wait for. */
static void log_waiting(struct gossip *g)
{
    uint64_t left_out = 0;
    mono_ms now = loop_now(g->loop);
    if (g->status.joined || !g->started || g->stopping || now - g->started_at < PATIENCE_MS ||
        !log_rate_pass(&g->waiting_rate, now, WAITING_LOG_MS, &left_out))
        return;
    log_line(&g->log, LOG_WARN, "not joined yet, trying on", LOG_U("reached", g->status.reached),
             LOG_U("of", g->status.seeds), LOG_S("waiting_for", buf_view(&g->waiting_for)));
}

static void publish(struct gossip *g)
{
    const struct join *j = gossip_core_join(g->core);
    const struct members *m = memberlist_members(gossip_core_members(g->core));
    uint64_t mark =
        seeds_mark(g->seeds, g->core) + (transport_remark_changes(g->transport) << 48);
    struct seeds_standing standing = {g->status.seeds, g->status.reached};
    size_t active = members_active_count(m);
    bool news = g->waiting_mark != mark ||
                (standing.reached < standing.entries && g->waiting_members != active);
    if (news)
        standing = seeds_standing(g->seeds, g->core);
    struct gossip_status s = {.joined = join_is_joined(j),
                              .reached = standing.reached,
                              .seeds = standing.entries,
                              .members = (uint32_t)active,
                              .health = members_awareness(m)};
    atomic_store(&g->name, members_self(m)->name.data);
    pthread_mutex_lock(&g->lock);
    g->status = s;
    if (news) {
        g->waiting_members = active;
        buf_clear(&g->waiting_for);
        seeds_text(g->seeds, g->core, g->transport, &g->waiting_for);
        g->waiting_mark = mark;
    }
    pthread_mutex_unlock(&g->lock);
    log_waiting(g);
}

static void send_packet(void *arg, const struct gossip_addr *to, struct buf *bytes)
{
    transport_send(arg, to, bytes);
}

static void open_stream(void *arg, uint32_t stream, const struct gossip_addr *to,
                        struct buf *bytes)
{
    transport_open(arg, stream, to, bytes);
}

static void write_stream(void *arg, uint32_t stream, struct buf *bytes)
{
    transport_write(arg, stream, bytes);
}

static void close_stream(void *arg, uint32_t stream)
{
    transport_close(arg, stream);
}

/* After each event: do what the core wants done, set the clock for the next. Performing may be an
 * event itself; its actions are then done by the outer call. */
static void pump(struct gossip *g)
{
    const struct memberlist_transport carrier = {
        g->transport, send_packet, open_stream, write_stream, close_stream};
    struct memberlist_action a;
    if (g->pumping)
        return;
    g->pumping = true;
    if (g->started && !g->stopping)
        (void)seeds_give(g->seeds, g->core, now_of(g)); /* out of memory: next time */
    while (gossip_core_next(g->core, &a))
        memberlist_perform(&carrier, &a);
    g->pumping = false;
    if (!g->started)
        return;
    mono_ms due = gossip_core_due(g->core), now = loop_now(g->loop);
    bool joined = join_is_joined(gossip_core_join(g->core));
    mono_ms look = g->looked + (transport_unsent(g->transport) > 0 ? UNSENT_MS
                                : joined                           ? LOOK_MS
                                                                   : LOOK_JOINING_MS);
    due = due < look ? due : look;
    loop_timer_start(g->timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

/* Everything is told; the last packets are on their way. */
static void check_stopped(struct gossip *g)
{
    mono_ms now = loop_now(g->loop);
    if (!g->stopping || !gossip_core_is_over(g->core))
        return;
    if (g->over_at == 0)
        g->over_at = now;
    if (transport_unsent(g->transport) > 0 && now - g->over_at < LAST_PACKETS_MS)
        return;
    void (*done)(void *) = g->on_stopped;
    g->on_stopped = NULL;
    if (done != NULL)
        done(g->on_stopped_arg); /* may free g */
}

/* Joining has failed and the options say that this ends the process: once. */
static void check_failure(struct gossip *g)
{
    enum join_failure how = join_failure(gossip_core_join(g->core));
    void (*fn)(void *, const char *) = g->on_failure;
    if (how == JOIN_NOT_FAILED || fn == NULL || g->stopping)
        return;
    g->on_failure = NULL;
    fn(g->on_failure_arg, how == JOIN_FAST_FAILED
                              ? "too few members of the join list were reached at the start "
                                "(-memberlist.abort-if-fast-join-fails)"
                              : "no member of the join list was reached in "
                                "-memberlist.max-join-retries (-memberlist.abort-if-join-fails)");
}

/* The join list's names have other addresses. */
static void on_seeds(void *arg)
{
    struct gossip *g = arg;
    if (g->started)
        loop_timer_start(g->timer, 0, 0);
}

static void on_timer(void *arg)
{
    struct gossip *g = arg;
    g->looked = loop_now(g->loop);
    transport_tick(g->transport);
    gossip_core_tick(g->core, now_of(g));
    gossip_stats_update(g->stats, g->core, transport_stats(g->transport));
    publish(g);
    pump(g);
    check_failure(g);
    check_stopped(g);
}

static void on_packet(void *arg, const struct gossip_addr *from, struct str bytes)
{
    struct gossip *g = arg;
    gossip_core_on_packet(g->core, from, bytes, now_of(g));
    pump(g);
}

static uint32_t on_accept(void *arg, const struct gossip_addr *from)
{
    struct gossip *g = arg;
    return gossip_core_on_accept(g->core, from, now_of(g));
}

static void on_connect(void *arg, uint32_t stream)
{
    struct gossip *g = arg;
    gossip_core_on_connect(g->core, stream, now_of(g));
}

static void on_bytes(void *arg, uint32_t stream, struct str bytes)
{
    struct gossip *g = arg;
    gossip_core_on_bytes(g->core, stream, bytes, now_of(g));
    pump(g);
    publish(g); /* whether we have joined */
}

static void on_end(void *arg, uint32_t stream, int code)
{
    struct gossip *g = arg;
    gossip_core_on_end(g->core, stream, code, now_of(g));
    pump(g);
    publish(g); /* whether we have joined */
}

static const struct transport_events transport_events = {.on_packet = on_packet,
                                                         .on_accept = on_accept,
                                                         .on_connect = on_connect,
                                                         .on_bytes = on_bytes,
                                                         .on_end = on_end};

/* --- life ----------------------------------------------------------------------------------- */

static int listen_on(struct gossip *g, const struct gossip_addr *ip, uint16_t *port,
                     struct err *err)
{
    char text[GOSSIP_ADDR_TEXT_MAX];
    int rc = transport_listen(g->transport, ip, port, err);
    gossip_addr_ip_text(ip, text);
    if (rc != 0) {
        (void)err_wrap(err, "gossip on %s port %u", text, (unsigned)*port);
        return rc;
    }
    struct gossip_addr bound = *ip;
    bound.port = *port;
    seeds_bound(g->seeds, &bound);
    return 0;
}

/* Without -memberlist.bind-addr: all addresses of both families, or of IPv4 where there is no
 * other. */
static int listen_any(struct gossip *g, struct gossip_addr *ip, uint16_t *port, struct err *err)
{
    (void)gossip_addr_parse(ip, STR("::"), 0);
    int rc = listen_on(g, ip, port, err);
    if (rc == 0 || rc == ERR_EXIST || rc == ERR_NOMEM)
        return rc;
    err_reset(err);
    (void)gossip_addr_parse(ip, STR("0.0.0.0"), 0);
    return listen_on(g, ip, port, err);
}

static bool binds(const struct gossip_config *c, const char *text)
{
    for (size_t i = 0; i < c->bind_addr.count; i++)
        if (strcmp(c->bind_addr.items[i], text) == 0)
            return true;
    return false;
}

/* Listen on all addresses of the config; the first one decides about a port of 0. */
static int listen_all(struct gossip *g, struct gossip_addr *first, uint16_t *port,
                      struct err *err)
{
    const struct gossip_config *c = g->cfg;
    int rc = c->bind_addr.count == 0 ? listen_any(g, first, port, err) : 0;
    for (size_t i = 0; rc == 0 && i < c->bind_addr.count; i++) {
        const char *text = c->bind_addr.items[i];
        struct gossip_addr ip;
        if (strcmp(text, "0.0.0.0") == 0 && binds(c, "::"))
            continue; /* which takes IPv4 too */
        if (gossip_addr_parse(&ip, str_c(text), 0) != 0)
            return err_set(err, ERR_INVAL, "memberlist.bind-addr: \"%s\"", text);
        rc = listen_on(g, &ip, port, err);
        *first = first->size == 0 ? ip : *first;
    }
    return rc;
}

/* What is bound, as far as the choice of our own address depends on it. */
static struct gossip_addr to_be_bound(const struct gossip_config *c)
{
    struct gossip_addr a = {0};
    if (c->bind_addr.count == 0 || gossip_addr_parse(&a, str_c(c->bind_addr.items[0]), 0) != 0)
        (void)gossip_addr_parse(&a, STR("::"), 0);
    return a;
}

/* Choose our address, then listen: until the core is there nobody may call. */
static int announce(struct gossip *g, struct err *err)
{
    const struct gossip_config *c = g->cfg;
    struct gossip_addr bound = to_be_bound(c), first = {0};
    uint16_t port = (uint16_t)c->bind_port;
    struct buf why = {0};
    char text[GOSSIP_ADDR_TEXT_MAX], on[GOSSIP_ADDR_TEXT_MAX];
    seeds_choose_self(g->seeds, &bound, &g->self, &why);
    int rc = listen_all(g, &first, &port, err);
    if (rc == 0) {
        g->self.port = c->advertise_port != 0 ? (uint16_t)c->advertise_port : port;
        transport_set_self(g->transport, &g->self);
        first.port = port;
        gossip_addr_text(&g->self, text);
        gossip_addr_text(&first, on);
        log_line(&g->log, LOG_INFO, "gossip listens", LOG_C("on", on), LOG_U("port", port),
                 LOG_C("announced", text), LOG_S("because", buf_view(&why)));
    }
    buf_reset(&why);
    return rc;
}

/* The member's name, with the suffix that keeps a restarted one apart from its dead former self. */
static void make_name(const struct gossip_config *c, char *out, size_t size)
{
    char host[256] = "";
    uint8_t r[4];
    if (gethostname(host, sizeof host - 1) != 0)
        (void)snprintf(host, sizeof host, "localhost");
    clock_entropy(r, sizeof r);
    const char *base = c->node_name[0] != '\0' ? c->node_name : host;
    if (c->randomize_name)
        (void)snprintf(out, size, "%.900s-%02x%02x%02x%02x", base, r[0], r[1], r[2], r[3]);
    else
        (void)snprintf(out, size, "%.900s", base);
}

/* The transport, with TLS where the options ask for it. */
static int make_transport(struct gossip *g, struct err *err)
{
    const struct gossip_config *c = g->cfg;
    struct tls_config tls = {.ca_path = c->tls_ca_path,
                             .cert_path = c->tls_cert_path,
                             .key_path = c->tls_key_path,
                             .server_name = c->tls_server_name,
                             .cipher_suites = c->tls_cipher_suites,
                             .min_version = c->tls_min_version,
                             .insecure_skip_verify = c->tls_insecure_skip_verify,
                             .client_auth = c->tls_client_auth};
    struct transport_config tc = {.packet_dial_ms = c->packet_dial_ms,
                                  .packet_write_ms = c->packet_write_ms,
                                  .stream_timeout_ms = c->stream_timeout_ms,
                                  .writers_max = c->writers_max,
                                  .writer_wait_ms = c->writer_wait_ms,
                                  .tls = c->tls_enabled ? &tls : NULL};
    if (!c->tls_enabled &&
        (c->tls_ca_path[0] != '\0' || c->tls_cert_path[0] != '\0' || c->tls_key_path[0] != '\0'))
        log_line(&g->log, LOG_WARN,
                 "gossip is not encrypted: certificates are given, but not "
                 "-memberlist.tls-enabled=true");
    int rc = transport_init(&g->transport, g->loop, &tc, &transport_events, g, &g->log, err);
    if (rc != 0 && c->tls_enabled)
        (void)err_wrap(err, "-memberlist.tls-*");
    return rc;
}

static int make_parts(struct gossip *g, struct metrics *metrics, struct err *err)
{
    const struct gossip_config *c = g->cfg;
    struct gossip_core_config cc = gossip_config_core(c);
    char name[1024];
    int rc = gossip_stats_init(&g->stats, metrics, err);
    if (rc != 0)
        return rc;
    rc = make_transport(g, err);
    if (rc != 0)
        return rc;
    if (loop_timer_init(&g->timer, g->loop, on_timer, g) != 0)
        return err_set(err, ERR_NOMEM, "gossip");
    rc = seeds_init(&g->seeds, g->loop, c, on_seeds, g, &g->log, metrics, err);
    if (rc == 0)
        rc = announce(g, err);
    if (rc != 0)
        return rc;
    make_name(c, name, sizeof name);
    cc.members.name = str_c(name);
    cc.members.addr = g->self;
    clock_entropy(&cc.seed, sizeof cc.seed);
    rc = gossip_core_init(&g->core, &cc, &g->log, now_of(g), err);
    if (rc == 0 && gossip_core_tracker(g->core) != NULL)
        rc = gossip_stats_track(g->stats, metrics, gossip_core_tracker(g->core), err);
    if (rc == 0) {
        const struct members *m = memberlist_members(gossip_core_members(g->core));
        atomic_store(&g->name, members_self(m)->name.data);
    }
    return rc;
}

int gossip_init(struct gossip **out, struct loop *loop, const struct gossip_config *config,
                const struct log *log, struct metrics *metrics, struct err *err)
{
    struct gossip *g = mem_zalloc(sizeof *g);
    if (g == NULL)
        return err_set(err, ERR_NOMEM, "gossip");
    *g = (struct gossip){.loop = loop, .cfg = config};
    if (log != NULL)
        g->log = log_with(log, "gossip");
    pthread_mutex_init(&g->lock, NULL);
    int rc = make_parts(g, metrics, err);
    if (rc != 0) {
        gossip_free(&g);
        return rc;
    }
    *out = g;
    return 0;
}

void gossip_free(struct gossip **g)
{
    if (*g == NULL)
        return;
    seeds_free(&(*g)->seeds);
    loop_timer_free(&(*g)->timer);
    transport_free(&(*g)->transport);
    gossip_core_free(&(*g)->core);
    gossip_stats_free(&(*g)->stats);
    pthread_mutex_destroy(&(*g)->lock);
    buf_reset(&(*g)->waiting_for);
    mem_free(*g);
    *g = NULL;
}

int gossip_start(struct gossip *g, struct err *err)
{
    g->started_at = loop_now(g->loop);
    int rc = seeds_give(g->seeds, g->core, now_of(g));
    if (rc != 0)
        return err_set(err, rc, "gossip: list of members to join");
    g->started = true;
    publish(g);
    loop_timer_start(g->timer, 0, 0);
    return 0;
}

void gossip_on_failure(struct gossip *g, void (*fn)(void *arg, const char *why), void *arg)
{
    g->on_failure = fn;
    g->on_failure_arg = arg;
}

void gossip_stop(struct gossip *g, void (*done)(void *arg), void *arg)
{
    g->on_stopped = done;
    g->on_stopped_arg = arg;
    g->stopping = true;
    gossip_core_stop(g->core, now_of(g));
    g->started = true; /* the timer must run to come to the end */
    loop_timer_start(g->timer, 0, 0);
}

/* --- the store ------------------------------------------------------------------------------ */

int gossip_register(struct gossip *g, const struct kv_codec *codec)
{
    return kv_register(gossip_core_kv(g->core), codec);
}

int gossip_watch(struct gossip *g, struct str key, kv_watch_fn fn, void *arg)
{
    int rc = kv_watch(gossip_core_kv(g->core), key, fn, arg);
    if (rc == 0 && g->started)
        loop_timer_start(g->timer, 0, 0);
    return rc;
}

const void *gossip_get(const struct gossip *g, struct str key)
{
    return kv_get(gossip_core_kv(g->core), key);
}

int gossip_cas(struct gossip *g, struct str key, const char *codec, kv_edit_fn edit, void *arg)
{
    ASSERT(loop_is_mine(g->loop));
    int rc = kv_cas(gossip_core_kv(g->core), key, codec, edit, arg, clock_wall_ms());
    if (g->started)
        loop_timer_start(g->timer, 0, 0); /* watchers, soon */
    return rc;
}

/* A gossip_cas() on its way to the loop. */
struct cas_call {
    struct gossip *g;
    struct str key;
    const char *codec;
    kv_edit_fn edit;
    void *arg;
    int rc;
};

static void cas_on_loop(void *arg)
{
    struct cas_call *call = arg;
    call->rc = gossip_cas(call->g, call->key, call->codec, call->edit, call->arg);
}

int gossip_cas_from(struct gossip *g, struct str key, const char *codec, kv_edit_fn edit,
                    void *arg)
{
    struct cas_call call = {g, key, codec, edit, arg, 0};
    loop_call(g->loop, cas_on_loop, &call);
    return call.rc;
}

/* --- for others to see ---------------------------------------------------------------------- */

void gossip_status(const struct gossip *g, struct gossip_status *out)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&g->lock;
    pthread_mutex_lock(lock);
    *out = g->status;
    pthread_mutex_unlock(lock);
}

void gossip_status_text(const struct gossip *g, struct buf *out)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&g->lock;
    pthread_mutex_lock(lock);
    if (g->status.seeds == 0)
        buf_printf(out, "no -memberlist.join, so others have to join this one");
    else
        buf_printf(out, "joined %u of %u", g->status.reached, g->status.seeds);
    if (g->waiting_for.size > 0)
        buf_printf(out, ", waiting for %.*s", STR_ARG(buf_view(&g->waiting_for)));
    pthread_mutex_unlock(lock);
}

struct gossip_packets gossip_packets(const struct gossip *g)
{
    const struct transport_stats *t = transport_stats(g->transport);
    return (struct gossip_packets){t->packets_sent, t->packets_sent_bytes, t->packets_received,
                                   t->packets_received_bytes,
                                   t->packets_sent_errors + t->packets_received_errors};
}

struct gossip_addr gossip_self(const struct gossip *g)
{
    return g->self;
}

struct str gossip_name(const struct gossip *g)
{
    return str_c(atomic_load(&g->name)); /* former names live as long as the core */
}

struct gossip_core *gossip_core_of(struct gossip *g)
{
    return g->core;
}
