/* net/http_conn_uv.c - connections of the HTTP server: their number, and the time they may take.
 *
 * libmicrohttpd has an idle timeout only, which a byte a second restarts for ever. Here every
 * phase of a connection has an absolute end. A watchdog per thread walks the connections; what is
 * over time is shut down, and libmicrohttpd then closes it and says so. A request that is with its
 * handler is answered instead, since suspended connections notice nothing. */
#include <sys/socket.h>

#include "base/mem.h"
#include "net/http_server_priv.h"
#include "net/loop_priv.h"
#include "net/sock_priv.h"

enum { OVER_LIMIT_MS = 5000, DRAIN_NEW_MS = 500, LOOKS_PER_HEADER = 4 };

enum MHD_Result http_on_accept(void *cls, const struct sockaddr *sa, socklen_t size)
{
    struct http_thread *t = cls;
    (void)sa;
    (void)size;
    const struct http_server *s = t->server;
    if (s->config.wait || atomic_load(&s->connections) < s->connections_hard)
        return MHD_YES;
    atomic_fetch_add(&t->server->rejected, 1);
    return MHD_NO;
}

static struct conn *conn_new(struct http_thread *t, struct MHD_Connection *mc)
{
    struct conn *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return NULL;
    c->thread = t;
    c->mhd = mc;
    c->fd = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info != NULL && info->client_addr != NULL)
        c->peer = addr_of_sockaddr(info->client_addr);
    list_push_back(&t->conns, &c->link);
    return c;
}

/* Certificates of now, in place of those of the server's start. */
static void begin_tls(struct conn *c)
{
    const struct http_server_config *k = &c->thread->server->config;
    if (k->tls == NULL)
        return;
    if (k->tls_look != NULL)
        k->tls_look(k->tls_arg);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info != NULL && info->tls_session != NULL)
        c->creds = http_tls_begin(k->tls, info->tls_session);
    else
        shutdown(c->fd, SHUT_RDWR); /* without them nobody's certificate would be looked at */
}

void http_on_connection(void *cls, struct MHD_Connection *mc, void **socket_context,
                        enum MHD_ConnectionNotificationCode what)
{
    struct http_thread *t = cls;
    struct http_server *s = t->server;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        unsigned open = atomic_fetch_add(&s->connections, 1) + 1;
        struct conn *c = conn_new(t, mc);
        *socket_context = c;
        if (c == NULL) {
            /* Without our record it would have no clock: end it. */
            shutdown(MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
                     SHUT_RDWR);
            return;
        }
        c->over = open > s->config.connections_max && !s->config.wait;
        if (c->over)
            atomic_fetch_add(&s->rejected, 1);
        begin_tls(c);
        http_conn_phase(c, PHASE_NEW);
        return;
    }
    struct conn *c = *socket_context;
    *socket_context = NULL;
    if (s->config.wait)
        http_thread_want_run(t); /* MHD looks at its socket again, for whoever waits there */
    if (c != NULL) {
        list_remove(&c->link);
        http_tls_end(c->creds);
        mem_free(c);
    }
    pthread_mutex_lock(&s->lock);
    atomic_fetch_sub(&s->connections, 1);
    pthread_cond_broadcast(&s->gone);
    pthread_mutex_unlock(&s->lock);
}

static uint32_t phase_ms(const struct conn *c)
{
    const struct http_server_config *k = &c->thread->server->config;
    switch (c->phase) {
    case PHASE_NEW:
        if (c->thread->draining)
            return DRAIN_NEW_MS;
        return c->over && k->header_ms > OVER_LIMIT_MS ? OVER_LIMIT_MS : k->header_ms;
    case PHASE_IDLE: return c->thread->draining ? 0 : k->idle_ms;
    case PHASE_HEADER: return k->header_ms;
    case PHASE_BODY: return k->body_ms;
    case PHASE_HANDLER: return 0;
    case PHASE_WRITE: return k->write_ms;
    }
    return 0;
}

void http_conn_phase(struct conn *c, enum phase phase)
{
    struct loop *l = c->thread->loop;
    enum phase before = c->phase;
    c->phase = phase;
    c->bytes_known = false;
    if (phase == PHASE_HANDLER) {
        c->due = MONO_NEVER;
        return;
    }
    mono_ms now = loop_now(l);
    bool from_idle = phase == PHASE_BODY && before == PHASE_IDLE;
    if (phase == PHASE_NEW || phase == PHASE_HEADER || from_idle)
        c->read_began = now;
    bool whole = phase == PHASE_BODY && c->thread->server->config.read_whole;
    c->due = (whole ? c->read_began : now) + phase_ms(c);
    c->look_due = now + c->thread->server->tick_ms;
    http_watch_at(c->thread, c->due);
    http_watch_at(c->thread, now + c->thread->server->tick_ms);
}

/* The end of the peer's stream: when it comes together with bytes, MHD reads these and is not told
 * by its edge-triggered epoll that there was more. */
static bool peer_has_left(struct conn *c)
{
    char byte;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* What MHD does not tell, asked of the kernel now and then: whether the peer has left, and whether
 * a header began to drip in after a request. */
static void look(struct conn *c, mono_ms now)
{
    const struct http_server *s = c->thread->server;
    uint64_t bytes;
    if (now < c->look_due)
        return;
    c->look_due =
        now + (c->phase == PHASE_IDLE ? s->config.header_ms / LOOKS_PER_HEADER : s->tick_ms);
    if (peer_has_left(c)) {
        c->left = true;
        c->due = now;
        return;
    }
    if (c->phase != PHASE_IDLE || c->thread->draining || !sock_bytes_received(c->fd, &bytes))
        return;
    if (c->bytes_known && bytes != c->bytes_in)
        http_conn_phase(c, PHASE_HEADER);
    c->bytes_in = bytes;
    c->bytes_known = true;
}

static mono_ms watch_conn(struct conn *c, mono_ms now)
{
    struct http_server *s = c->thread->server;
    if (c->phase == PHASE_HANDLER) {
        struct request *r = c->request;
        if (!r->suspended || r->at == AT_ANSWER)
            return MONO_NEVER;
        if (now < r->pub.deadline)
            return r->pub.deadline;
        atomic_fetch_add(&s->timeouts, 1);
        http_request_cut(r, 504, "deadline exceeded");
        return MONO_NEVER;
    }
    if (c->ended)
        return MONO_NEVER;
    if (c->phase != PHASE_WRITE)
        look(c, now);
    if (now < c->due)
        return c->due;
    if (!c->thread->draining && !c->left)
        atomic_fetch_add(&s->timeouts, 1);
    c->ended = true;
    shutdown(c->fd, SHUT_RDWR); /* MHD sees the end, closes, and calls us */
    http_thread_want_run(c->thread);
    return MONO_NEVER;
}

void http_watch(struct http_thread *t)
{
    mono_ms now = loop_now(t->loop), next = MONO_NEVER;
    t->watch_due = MONO_NEVER;
    LIST_EACH_SAFE(at, &t->conns) {
        mono_ms due = watch_conn(LIST_ITEM(at, struct conn, link), now);
        next = due < next ? due : next;
    }
    if (list_is_empty(&t->conns))
        return; /* nothing to watch: no wake-ups */
    mono_ms tick = now + t->server->tick_ms;
    http_watch_at(t, next < tick ? next : tick);
}

static void on_watch(uv_timer_t *timer)
{
    http_watch(timer->data);
}

void http_watch_at(struct http_thread *t, mono_ms due)
{
    if (due >= t->watch_due)
        return;
    mono_ms now = loop_now(t->loop);
    t->watch_due = due;
    uv_timer_start(&t->watchdog, on_watch, due > now ? (uint64_t)(due - now) : 0, 0);
}
