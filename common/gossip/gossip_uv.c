#include "gossip/gossip_uv.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gossip/core.h"
#include "gossip/stats.h"
#include "gossip/transport_uv.h"
#include "net/loop.h"

enum { LAST_PACKETS_MS = 1000 }; /* wait for packets that are on their way when all is told */

struct gossip {
    struct loop *loop;
    const struct gossip_config *cfg;
    struct log log;
    struct gossip_core *core;
    struct transport *transport;
    struct gossip_stats *stats;
    struct loop_timer *timer;
    bool pumping, started;
    void (*on_stopped)(void *arg);
    void *on_stopped_arg;
    bool stopping;
    mono_ms over_at;
    struct gossip_addr self;
    pthread_mutex_t lock; /* of what other threads read, below */
    struct gossip_status status;
    char waiting_for[GOSSIP_ADDR_TEXT_MAX];
};

static struct gossip_time now_of(const struct gossip *g)
{
    return (struct gossip_time){loop_now(g->loop), clock_wall_ms()};
}

/* --- the loop ------------------------------------------------------------------------------- */

static void publish(struct gossip *g)
{
    const struct join *j = gossip_core_join(g->core);
    const struct members *m = memberlist_members(gossip_core_members(g->core));
    const struct gossip_addr *waiting = join_waiting_for(j);
    struct gossip_status s = {.joined = join_is_joined(j),
                              .reached = (uint32_t)join_reached(j),
                              .seeds = (uint32_t)join_seeds(j),
                              .members = (uint32_t)members_active_count(m),
                              .health = members_awareness(m)};
    pthread_mutex_lock(&g->lock);
    g->status = s;
    g->waiting_for[0] = '\0';
    if (waiting != NULL)
        gossip_addr_text(waiting, g->waiting_for);
    pthread_mutex_unlock(&g->lock);
}

static void perform(struct gossip *g, struct memberlist_action *a)
{
    switch (a->verb) {
    case ML_PACKET:
        transport_send(g->transport, &a->to, &a->bytes);
        break;
    case ML_STREAM_OPEN:
        transport_open(g->transport, a->stream, &a->to, &a->bytes);
        break;
    case ML_STREAM_WRITE:
        transport_write(g->transport, a->stream, &a->bytes);
        break;
    case ML_STREAM_CLOSE:
        transport_close(g->transport, a->stream);
        break;
    case ML_JOINED:
        break;
    }
    buf_reset(&a->bytes);
}

/* After each event: do what the core wants done, set the clock for the next. Performing may be an
 * event itself; its actions are then done by the outer call. */
static void pump(struct gossip *g)
{
    struct memberlist_action a;
    if (g->pumping)
        return;
    g->pumping = true;
    while (gossip_core_next(g->core, &a))
        perform(g, &a);
    g->pumping = false;
    if (!g->started)
        return;
    mono_ms due = gossip_core_due(g->core), now = loop_now(g->loop);
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

static void on_timer(void *arg)
{
    struct gossip *g = arg;
    transport_tick(g->transport);
    gossip_core_tick(g->core, now_of(g));
    gossip_stats_update(g->stats, g->core, transport_stats(g->transport));
    publish(g);
    pump(g);
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
}

static void on_end(void *arg, uint32_t stream, int code)
{
    struct gossip *g = arg;
    gossip_core_on_end(g->core, stream, code, now_of(g));
    pump(g);
}

static const struct transport_events transport_events = {.on_packet = on_packet,
                                                         .on_accept = on_accept,
                                                         .on_connect = on_connect,
                                                         .on_bytes = on_bytes,
                                                         .on_end = on_end};

/* --- our own address ------------------------------------------------------------------------ */

static bool is_unspecified(const struct gossip_addr *a)
{
    static const uint8_t zero[16];
    size_t v4 = gossip_addr_is_v4(a) ? 12 : 0;
    return memcmp(a->ip + v4, zero + v4, 16 - v4) == 0;
}

/* Of a socket address; ERR_INVAL for families other than IP. */
static int of_sockaddr(struct gossip_addr *out, const struct sockaddr *sa)
{
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
    const void *ip = sa->sa_family == AF_INET    ? (const void *)&v4->sin_addr
                     : sa->sa_family == AF_INET6 ? (const void *)&v6->sin6_addr
                                                 : NULL;
    if (ip == NULL || inet_ntop(sa->sa_family, ip, text, sizeof text) == NULL)
        return ERR_INVAL;
    if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
        return ERR_INVAL;
    return gossip_addr_parse(out, str_c(text), 0);
}

/* The address that the kernel would send from towards `to`: no packet is sent. */
static int address_towards(struct gossip_addr *out, const struct gossip_addr *to)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    bool is_v4 = gossip_addr_is_v4(to);
    memcpy(&v4.sin_addr, to->ip + (is_v4 ? to->size - 4 : 0), 4);
    memcpy(&v6.sin6_addr, to->ip, 16);
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    const void *peer = is_v4 ? (const void *)&v4 : (const void *)&v6;
    int rc = ERR_IO;
    if (connect(fd, peer, is_v4 ? sizeof v4 : sizeof v6) == 0 &&
        getsockname(fd, (struct sockaddr *)(void *)&bound, &size) == 0)
        rc = of_sockaddr(out, (const struct sockaddr *)(const void *)&bound);
    close(fd);
    return rc;
}

static bool is_loopback(const struct gossip_addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return gossip_addr_is_v4(a) ? a->ip[12] == 127 : memcmp(a->ip, one, 16) == 0;
}

/* The first address of this host that others could reach; IPv4 is preferred. */
static int address_of_host(struct gossip_addr *out)
{
    struct ifaddrs *list = NULL;
    int rc = ERR_NOENT;
    if (getifaddrs(&list) != 0)
        return ERR_IO;
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        struct gossip_addr a;
        if (i->ifa_addr == NULL || of_sockaddr(&a, i->ifa_addr) != 0 || is_loopback(&a))
            continue;
        if (rc != 0 || (gossip_addr_is_v4(&a) && !gossip_addr_is_v4(out)))
            *out = a;
        rc = 0;
    }
    freeifaddrs(list);
    return rc;
}

/* What to announce: what was asked for, the bound address, the one on the way to a seed, the
 * host's first; and why, for the log. */
static const char *choose_self(struct gossip *g, const struct gossip_addr *bound)
{
    struct gossip_addr seed;
    const struct gossip_config *c = g->cfg;
    if (c->advertise_addr[0] != '\0' &&
        gossip_addr_parse(&g->self, str_c(c->advertise_addr), 0) == 0)
        return "-memberlist.advertise-addr";
    if (!is_unspecified(bound)) {
        g->self = *bound;
        return "the address listened on";
    }
    for (size_t i = 0; i < c->join.count; i++)
        if (gossip_addr_parse(&seed, str_c(c->join.items[i]), 7946) == 0 &&
            address_towards(&g->self, &seed) == 0)
            return "the address on the route to a member of the join list";
    if (address_of_host(&g->self) == 0)
        return "the first address of this host";
    (void)gossip_addr_parse(&g->self, STR("127.0.0.1"), 0);
    return "no other address found: only this host can reach it";
}

/* --- life ----------------------------------------------------------------------------------- */

/* Listen on all addresses of the config; the first one decides about a port of 0. */
static int listen_all(struct gossip *g, struct err *err)
{
    const struct gossip_config *c = g->cfg;
    struct gossip_addr first = {0};
    uint16_t port = (uint16_t)c->bind_port;
    for (size_t i = 0; i == 0 || i < c->bind_addr.count; i++) {
        const char *text = c->bind_addr.count == 0 ? "0.0.0.0" : c->bind_addr.items[i];
        struct gossip_addr ip;
        if (gossip_addr_parse(&ip, str_c(text), 0) != 0)
            return err_set(err, ERR_INVAL, "memberlist.bind-addr: \"%s\"", text);
        int rc = transport_listen(g->transport, &ip, &port, err);
        if (rc != 0) {
            (void)err_wrap(err, "gossip on %s port %u", text, (unsigned)port);
            return rc;
        }
        first = i == 0 ? ip : first;
    }
    const char *why = choose_self(g, &first);
    char text[GOSSIP_ADDR_TEXT_MAX];
    g->self.port = c->advertise_port != 0 ? (uint16_t)c->advertise_port : port;
    transport_set_self(g->transport, &g->self);
    gossip_addr_text(&g->self, text);
    log_line(&g->log, LOG_INFO, "gossip listens", LOG_U("port", port), LOG_C("announced", text),
             LOG_C("because", why));
    return 0;
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

static int make_parts(struct gossip *g, struct metrics *metrics, struct err *err)
{
    const struct gossip_config *c = g->cfg;
    struct transport_config tc = {.packet_dial_ms = c->packet_dial_ms,
                                  .packet_write_ms = c->packet_write_ms,
                                  .stream_timeout_ms = c->stream_timeout_ms,
                                  .writers_max = c->writers_max,
                                  .writer_wait_ms = c->writer_wait_ms};
    struct gossip_core_config cc = gossip_config_core(c);
    char name[1024];
    int rc = gossip_stats_init(&g->stats, metrics, err);
    if (rc != 0)
        return rc;
    if (transport_init(&g->transport, g->loop, &tc, &transport_events, g, &g->log) != 0 ||
        loop_timer_init(&g->timer, g->loop, on_timer, g) != 0)
        return err_set(err, ERR_NOMEM, "gossip");
    rc = listen_all(g, err);
    if (rc != 0)
        return rc;
    make_name(c, name, sizeof name);
    cc.members.name = str_c(name);
    cc.members.addr = g->self;
    clock_entropy(&cc.seed, sizeof cc.seed);
    rc = gossip_core_init(&g->core, &cc, &g->log, now_of(g), err);
    if (rc == 0 && gossip_core_tracker(g->core) != NULL)
        rc = gossip_stats_track(g->stats, metrics, gossip_core_tracker(g->core), err);
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
    loop_timer_free(&(*g)->timer);
    transport_free(&(*g)->transport);
    gossip_core_free(&(*g)->core);
    gossip_stats_free(&(*g)->stats);
    pthread_mutex_destroy(&(*g)->lock);
    mem_free(*g);
    *g = NULL;
}

int gossip_start(struct gossip *g, struct err *err)
{
    const struct conf_list *list = &g->cfg->join;
    struct gossip_addr *seeds = mem_calloc(list->count + 1, sizeof *seeds);
    size_t count = 0;
    if (seeds == NULL)
        return err_set(err, ERR_NOMEM, "gossip");
    for (size_t i = 0; i < list->count; i++)
        if (gossip_addr_parse(&seeds[count], str_c(list->items[i]), 7946) == 0)
            count++;
    int rc = gossip_core_seeds(g->core, seeds, count, now_of(g));
    mem_free(seeds);
    if (rc != 0)
        return err_set(err, rc, "gossip: list of members to join");
    g->started = true;
    publish(g);
    loop_timer_start(g->timer, 0, 0);
    return 0;
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
    if (!g->status.joined && g->waiting_for[0] != '\0')
        buf_printf(out, ", waiting for %s", g->waiting_for);
    pthread_mutex_unlock(lock);
}

struct gossip_addr gossip_self(const struct gossip *g)
{
    return g->self;
}

struct str gossip_name(const struct gossip *g)
{
    return members_self(memberlist_members(gossip_core_members(g->core)))->name;
}

struct gossip_core *gossip_core_of(struct gossip *g)
{
    return g->core;
}
