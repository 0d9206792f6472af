/* net/http_server_uv.c - the life of the HTTP server: sockets, threads, routes, start and stop.
 *
 * Each loop runs one libmicrohttpd daemon in external epoll mode: its epoll descriptor is watched
 * by the loop, and a prepare handle runs it once per turn after answers came. Suspended requests
 * are resumed on their own thread only. */
#include "net/http_server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/http_server_priv.h"
#include "net/loop_priv.h"

enum {
    THREADS_MAX = 64,
    BACKLOG = 1024,
    CONNECTIONS_MOST = 10000,
    OWED_WAIT_MS = 5000,
    LOG_EVERY_MS = 10000,
    TICK_MAX_MS = 1000,
    TICK_MIN_MS = 10,
};

/* --- routes -------------------------------------------------------------------------------- */

int http_server_route(struct http_server *s, const struct http_route *route, struct err *err)
{
    ASSERT(!s->started && route->handler != NULL && route->methods != 0);
    struct str path = str_c(route->path);
    bool prefix = path.len > 0 && path.data[path.len - 1] == '*';
    if (prefix)
        path.len--;
    for (size_t i = 0; i < s->route_count; i++) {
        const struct route *have = &s->routes[i];
        if (have->prefix == prefix && str_eq(have->path, path) &&
            (have->pub.methods & route->methods) != 0)
            return err_set(err, ERR_EXIST, "route %s is taken", route->path);
    }
    struct buf label = {0};
    if (route->label != NULL)
        buf_c(&label, route->label);
    else
        http_route_label(route->path, &label);
    buf_u8(&label, '\0');
    struct route *routes =
        label.error != 0
            ? NULL
            : mem_realloc_array(s->routes, s->route_count + 1, sizeof s->routes[0]);
    if (routes == NULL) {
        buf_reset(&label);
        return err_set(err, ERR_NOMEM, "route %s", route->path);
    }
    s->routes = routes;
    struct route *r = &s->routes[s->route_count++];
    *r = (struct route){
        .pub = *route, .path = path, .prefix = prefix, .label = (char *)label.data};
    if (r->pub.body_max == 0)
        r->pub.body_max = HTTP_SMALL_BODY;
    r->pub.label = r->label;
    return 0;
}

const struct route *http_route_find(const struct http_server *s, struct str path,
                                    enum http_method method, unsigned *allowed,
                                    const struct route **any)
{
    const struct route *best = NULL, *other = NULL;
    for (size_t i = 0; i < s->route_count; i++) {
        const struct route *r = &s->routes[i];
        if (r->prefix ? !str_starts_with(path, r->path) : !str_eq(path, r->path))
            continue;
        /* Exact paths first, then the longest prefix. */
        const struct route *top = other;
        if (top == NULL || (top->prefix && (!r->prefix || r->path.len > top->path.len))) {
            other = r;
            best = NULL;
            *allowed = 0;
        } else if (top->prefix != r->prefix || top->path.len != r->path.len) {
            continue;
        }
        *allowed |= r->pub.methods;
        if (r->pub.methods & method)
            best = r;
    }
    *any = other;
    return best;
}

/* --- making -------------------------------------------------------------------------------- */

static unsigned connections_default(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur / 2 > CONNECTIONS_MOST)
        return CONNECTIONS_MOST;
    return limit.rlim_cur < 64 ? 32 : (unsigned)(limit.rlim_cur / 2);
}

static uint32_t or_default(uint32_t value, uint32_t other)
{
    return value == 0 ? other : value;
}

static void set_defaults(struct http_server *s)
{
    struct http_server_config *c = &s->config;
    c->connections_max = or_default(c->connections_max, connections_default());
    c->connection_memory = c->connection_memory == 0 ? 32 * 1024 : c->connection_memory;
    c->header_ms = or_default(c->header_ms, 30 * 1000);
    c->body_ms = or_default(c->body_ms, 30 * 1000);
    c->handler_ms = or_default(c->handler_ms, 60 * 1000);
    c->write_ms = or_default(c->write_ms, 60 * 1000);
    c->idle_ms = or_default(c->idle_ms, 120 * 1000);
    c->memory_max = c->memory_max == 0 ? 256u << 20 : c->memory_max;
    c->gzip_min = c->gzip_min == 0 ? 1400 : c->gzip_min;
    s->connections_hard = c->connections_max + c->connections_max / 4 + 16;
    uint32_t least = c->header_ms < c->body_ms ? c->header_ms : c->body_ms;
    least = c->write_ms < least ? c->write_ms : least;
    least = c->idle_ms < least ? c->idle_ms : least;
    s->tick_ms = least / 4;
    s->tick_ms = s->tick_ms > TICK_MAX_MS ? TICK_MAX_MS : s->tick_ms;
    s->tick_ms = s->tick_ms < TICK_MIN_MS ? TICK_MIN_MS : s->tick_ms;
}

static void server_release(struct http_server *s)
{
    http_sockets_close(s);
    for (unsigned i = 0; s->threads != NULL && i < s->thread_count; i++)
        mem_free(s->threads[i]); /* those that were never started */
    for (size_t i = 0; i < s->route_count; i++)
        mem_free(s->routes[i].label);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->log_lock);
    pthread_cond_destroy(&s->gone);
    mem_free(s->routes);
    mem_free(s->threads);
    mem_free(s->loops);
    mem_free(s->address);
    mem_free(s);
}

static int make_threads(struct http_server *s, struct loop *const *loops, unsigned count)
{
    s->threads = mem_calloc(count, sizeof(struct http_thread *));
    s->loops = mem_dup(loops, count * sizeof(struct loop *));
    if (s->threads == NULL || s->loops == NULL)
        return ERR_NOMEM;
    s->thread_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct http_thread *t = s->threads[i] = mem_zalloc(sizeof *t);
        if (t == NULL)
            return ERR_NOMEM;
        t->server = s;
        t->loop = loops[i];
        t->index = i;
        t->listen_fd = -1;
        t->watch_due = MONO_NEVER;
        list_init(&t->conns);
    }
    return 0;
}

int http_server_init(struct http_server **out, struct loop *const *loops, unsigned count,
                     const struct http_server_config *config, struct err *err)
{
    if (count == 0 || count > THREADS_MAX)
        return err_set(err, ERR_INVAL, "%u HTTP threads", count);
    ASSERT(!config->wait || count == 1);
    ASSERT(config->inherit == NULL || config->inherit->thread_count == count);
    struct http_server *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "HTTP server");
    s->config = *config;
    s->guard_fd = -1;
    set_defaults(s);
    mem_account_init(&s->memory, NULL, "http requests", s->config.memory_max);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->gone, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->log_lock, NULL);
    int rc = make_threads(s, loops, count);
    s->address = str_dup_c(config->address);
    s->config.address = str_c(s->address);
    if (rc == 0 && s->address == NULL)
        rc = ERR_NOMEM;
    if (rc != 0)
        err_set(err, rc, "HTTP server");
    else
        rc = http_sockets_open(s, err);
    if (rc != 0) {
        server_release(s);
        return rc;
    }
    *out = s;
    return 0;
}

/* --- running MHD --------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void run(struct http_thread *t)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (t->mhd == NULL)
        return;
    t->want_run = false;
    MHD_run(t->mhd);
    /* 0 means that some connection can go on; a timer lets others have their turn first. */
    if (MHD_get_timeout(t->mhd, &ms) == MHD_YES)
        uv_timer_start(&t->timer, on_timer, ms, 0);
    else
        uv_timer_stop(&t->timer);
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct http_thread *t = prepare->data;
    if (t->want_run)
        run(t);
}

void http_thread_want_run(struct http_thread *t)
{
    t->want_run = true;
}

/* What MHD has to say is about clients mostly: told at debug level, and rarely. */
__attribute__((format(printf, 2, 0))) static void on_log(void *cls, const char *fmt,
                                                         va_list args)
{
    struct http_server *s = cls;
    char text[256];
    uint64_t left_out;
    vsnprintf(text, sizeof text, fmt, args);
    if (s->config.log == NULL)
        return;
    pthread_mutex_lock(&s->log_lock);
    bool pass = log_rate_pass(&s->log_rate, clock_mono_ms(), LOG_EVERY_MS, &left_out);
    pthread_mutex_unlock(&s->log_lock);
    if (pass)
        log_line(s->config.log, LOG_DEBUG, "libmicrohttpd says",
                 LOG_S("text", str_trim(str_c(text))), LOG_U("left_out", left_out));
}

/* Paths and queries stay as they were sent; MHD would cut them at %00. */
static size_t keep_escapes(void *cls, struct MHD_Connection *mc, char *text)
{
    (void)cls;
    (void)mc;
    return strlen(text);
}

static struct MHD_OptionItem tls_option(enum MHD_OPTION what, const char *text)
{
    return (struct MHD_OptionItem){what, 0, (void *)(uintptr_t)text};
}

static int start_mhd(struct http_thread *t)
{
    struct http_server *s = t->server;
    if (listen(t->listen_fd, BACKLOG) != 0)
        return ERR_IO;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_END, 0, NULL}, {0, 0, NULL}, {0, 0, NULL},
                                   {MHD_OPTION_END, 0, NULL}};
    if (s->config.tls != NULL) {
        flags |= MHD_USE_TLS;
        tls[0] = tls_option(MHD_OPTION_HTTPS_MEM_CERT, http_tls_cert(s->config.tls));
        tls[1] = tls_option(MHD_OPTION_HTTPS_MEM_KEY, http_tls_key(s->config.tls));
        tls[2] = tls_option(MHD_OPTION_HTTPS_PRIORITIES, http_tls_priorities(s->config.tls));
    }
    t->mhd = MHD_start_daemon(
        flags, 0, http_on_accept, t, http_on_request, t, MHD_OPTION_EXTERNAL_LOGGER, on_log, s,
        MHD_OPTION_LISTEN_SOCKET, t->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, t,
        MHD_OPTION_NOTIFY_CONNECTION, http_on_connection, t, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        s->config.connection_memory, MHD_OPTION_CONNECTION_LIMIT,
        s->config.wait ? s->config.connections_max : s->connections_hard + 64,
        MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (t->mhd == NULL)
        return ERR_IO;
    t->listen_fd = -1; /* MHD's now */
    return 0;
}

struct starting {
    struct http_thread *t;
    int rc;
};

static void start_thread(void *arg)
{
    struct starting *st = arg;
    struct http_thread *t = st->t;
    st->rc = start_mhd(t);
    if (st->rc != 0)
        return;
    uv_loop_t *uv = loop_uv(t->loop);
    uv_timer_init(uv, &t->timer);
    uv_timer_init(uv, &t->watchdog);
    uv_prepare_init(uv, &t->prepare);
    int fd = MHD_get_daemon_info(t->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    uv_poll_init(uv, &t->poll, fd);
    t->handles = 4;
    t->timer.data = t->watchdog.data = t->prepare.data = t->poll.data = t;
    uv_prepare_start(&t->prepare, on_prepare);
    uv_poll_start(&t->poll, UV_READABLE, on_poll);
    run(t);
}

int http_server_start(struct http_server *s, struct err *err)
{
    ASSERT(!s->started);
    for (unsigned i = 0; i < s->thread_count; i++) {
        struct starting st = {.t = s->threads[i]};
        loop_call(st.t->loop, start_thread, &st);
        if (st.rc == 0)
            s->started = true;
        else
            return err_set(err, st.rc, "HTTP thread %u: %s", i, uv_strerror(-errno));
    }
    http_guard_close(s);
    if (s->config.inherit != NULL)
        s->config.inherit->has_heir = true;
    s->config.inherit = NULL;
    return 0;
}

const struct http_server_config *http_server_config_of(const struct http_server *s)
{
    return &s->config;
}

unsigned http_server_threads(const struct http_server *s)
{
    return s->thread_count;
}

struct addr http_server_addr(const struct http_server *s)
{
    return s->addr;
}

struct http_server_stats http_server_stats(const struct http_server *s)
{
    return (struct http_server_stats){
        .connections = atomic_load(&s->connections),
        .inflight = atomic_load(&s->inflight),
        .requests = atomic_load(&s->requests),
        .memory_used = atomic_load(&s->memory.used),
        .memory_peak = atomic_load(&s->memory.peak),
        .rejected_connections = atomic_load(&s->rejected),
        .timeouts = atomic_load(&s->timeouts),
        .malformed = atomic_load(&s->malformed),
    };
}

/* --- stopping ------------------------------------------------------------------------------ */

/* Stop accepting; what the kernel has accepted for us already is still served. */
static void drain_thread(void *arg)
{
    struct http_thread *t = arg;
    if (t->mhd == NULL || t->draining)
        return;
    t->draining = true;
    int fd = MHD_quiesce_daemon(t->mhd);
    while (!t->server->has_heir) {
        struct sockaddr_storage sa;
        socklen_t size = sizeof sa;
        int conn = accept4(fd, (struct sockaddr *)&sa, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (conn < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (conn < 0)
            break;
        MHD_add_connection(t->mhd, conn, (const struct sockaddr *)&sa, size);
    }
    close(fd);
    LIST_EACH(at, &t->conns) {
        struct conn *c = LIST_ITEM(at, struct conn, link);
        if (c->phase == PHASE_NEW || c->phase == PHASE_IDLE)
            http_conn_phase(c, c->phase); /* with the shorter times of draining */
    }
    run(t);
    http_watch(t);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct http_thread *t = h->data;
    if (--t->handles == 0)
        mem_free(t);
}

struct stopping {
    struct http_thread *t;
    unsigned cut;
};

/* End what is left. MHD aborts the process when it is stopped with suspended connections. */
static void stop_thread(void *arg)
{
    struct stopping *st = arg;
    struct http_thread *t = st->t;
    if (t->mhd == NULL) { /* its start failed */
        if (t->listen_fd >= 0)
            close(t->listen_fd);
        mem_free(t);
        return;
    }
    t->ending = true;
    LIST_EACH(at, &t->conns) {
        struct conn *c = LIST_ITEM(at, struct conn, link);
        if (c->request != NULL)
            st->cut++;
        if (c->request != NULL && c->request->suspended)
            http_request_cut(c->request, 503, "shutting down");
    }
    run(t);
    run(t);
    struct MHD_Daemon *mhd = t->mhd;
    uv_poll_stop(&t->poll);
    uv_timer_stop(&t->watchdog);
    MHD_stop_daemon(mhd);
    t->mhd = NULL;
    uv_close((uv_handle_t *)&t->poll, on_handle_closed);
    uv_close((uv_handle_t *)&t->timer, on_handle_closed);
    uv_close((uv_handle_t *)&t->watchdog, on_handle_closed);
    uv_close((uv_handle_t *)&t->prepare, on_handle_closed);
}

/* Wait until a counter is 0. Loops that nobody runs are run here. */
static bool wait_for(struct http_server *s, atomic_uint *counter, uint32_t wait_ms)
{
    mono_ms due = clock_mono_ms() + wait_ms;
    while (atomic_load(counter) > 0) {
        mono_ms now = clock_mono_ms();
        if (now >= due)
            return false;
        bool idle = false;
        for (unsigned i = 0; i < s->thread_count; i++) {
            if (!loop_is_running(s->loops[i])) {
                loop_turn(s->loops[i], 5);
                idle = true;
            }
        }
        if (idle)
            continue;
        struct timespec until = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000};
        pthread_mutex_lock(&s->lock);
        if (atomic_load(counter) > 0)
            pthread_cond_timedwait(&s->gone, &s->lock, &until);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_lock(&s->lock); /* whoever counted down last has left */
    pthread_mutex_unlock(&s->lock);
    return true;
}

void http_server_quiesce(struct http_server *s)
{
    for (unsigned i = 0; s->started && !s->stopped && i < s->thread_count; i++)
        loop_call(s->threads[i]->loop, drain_thread, s->threads[i]);
}

unsigned http_server_stop(struct http_server *s, uint32_t grace_ms)
{
    unsigned cut = 0;
    if (!s->started || s->stopped)
        return 0;
    http_server_quiesce(s);
    s->stopped = true;
    wait_for(s, &s->connections, grace_ms);
    for (unsigned i = 0; i < s->thread_count; i++) {
        struct stopping st = {.t = s->threads[i]};
        loop_call(s->loops[i], stop_thread, &st);
        s->threads[i] = NULL;
        cut += st.cut;
    }
    return cut;
}

void http_server_free(struct http_server **sp)
{
    struct http_server *s = *sp;
    if (s == NULL)
        return;
    *sp = NULL;
    http_server_stop(s, 0);
    if (!wait_for(s, &s->owed, OWED_WAIT_MS)) {
        /* A handler may still reply into it: better lost than freed. */
        log_line(s->config.log, LOG_ERROR, "requests were never answered by their handlers",
                 LOG_U("count", atomic_load(&s->owed)));
        return;
    }
    server_release(s);
}
