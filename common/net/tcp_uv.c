/* net/tcp_uv.c - listeners and connections over uv_tcp. */
#include "net/tcp.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/sock_priv.h"
#include "net/tcp_priv.h"

enum { BACKLOG = 512, LINGER_MS = 1000 };

struct tcp_listener {
    uv_tcp_t uv;
    struct loop *loop;
    tcp_accept_fn on_accept;
    void *arg;
    size_t conns, conns_max;
    uint64_t rejected;
    unsigned refs; /* its handle, and one a connection */
    uv_tcp_t spare; /* takes who is turned away for lack of memory, */
    bool turning_away, more; /* one now, and another one waits for that */
};

struct tcp_out {
    uv_write_t uv;
    struct tcp_conn *conn;
    tcp_written_fn done;
    void *arg;
    size_t size;
    char copy[];
};

/* --- the end ------------------------------------------------------------------------------- */

static void listener_unref(struct tcp_listener *s)
{
    if (--s->refs == 0)
        mem_free(s);
}

void tcp_hold(struct tcp_conn *c)
{
    c->handles++;
}

void tcp_let_go(struct tcp_conn *c)
{
    if (--c->handles > 0)
        return;
    if (c->tls != NULL)
        tls_layer_cancel(c);
    if (c->listener != NULL) {
        c->listener->conns--;
        listener_unref(c->listener);
    }
    if (!c->silent)
        c->events->on_end(c, c->code, c->arg);
    tls_layer_free(c->tls);
    mem_free(c);
}

static void on_handle_closed(uv_handle_t *h)
{
    tcp_let_go(h->data);
}

void tcp_end(struct tcp_conn *c, int code)
{
    if (c->closing)
        return;
    c->closing = true;
    c->code = code;
    tls_layer_over(c->tls);
    uv_close((uv_handle_t *)&c->uv, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

/* --- deadlines ----------------------------------------------------------------------------- */

static void on_due(uv_timer_t *timer)
{
    struct tcp_conn *c = timer->data;
    tcp_end(c, c->drain && c->shut ? c->drained_code : ERR_TIMEOUT);
}

static bool is_up(const struct tcp_conn *c)
{
    return c->connected && (c->tls == NULL || tls_layer_is_up(c->tls));
}

void tcp_arm(struct tcp_conn *c)
{
    mono_ms due = c->due;
    if (!is_up(c) && c->connect_due < due)
        due = c->connect_due;
    if (c->closing)
        return;
    if (due == MONO_NEVER) {
        uv_timer_stop(&c->timer);
        return;
    }
    uv_update_time(c->uv.loop);
    mono_ms now = loop_now(c->loop);
    uv_timer_start(&c->timer, on_due, due > now ? (uint64_t)(due - now) : 0, 0);
}

void tcp_set_deadline(struct tcp_conn *c, mono_ms due)
{
    c->due = due;
    tcp_arm(c);
}

/* --- reading ------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *h, size_t wanted, uv_buf_t *buf)
{
    struct tcp_conn *c = h->data;
    (void)wanted;
    *buf = uv_buf_init(loop_scratch(c->loop), LOOP_SCRATCH);
}

void tcp_peer_ended(struct tcp_conn *c)
{
    c->eof = true;
    if (c->drain) {
        if (c->shut)
            tcp_end(c, c->drained_code);
    } else if (c->events->on_eof != NULL) {
        c->events->on_eof(c, c->arg);
    } else {
        tcp_end(c, 0);
    }
}

bool tcp_is_quiet(const struct tcp_conn *c)
{
    uv_os_fd_t fd;
    char byte;
    return !c->closing && !c->eof && uv_fileno((const uv_handle_t *)&c->uv, &fd) == 0 &&
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

static void take_bytes(struct tcp_conn *c, struct str bytes)
{
    /* A handshake goes on while its user waits for the end of what it wrote. */
    bool shaking = c->tls != NULL && !tls_layer_is_up(c->tls) && !tls_layer_has_failed(c->tls);
    if (c->drain && !shaking)
        return;
    if (c->tls != NULL)
        tls_layer_bytes(c, bytes);
    else if (c->events->on_read != NULL)
        c->events->on_read(c, bytes, c->arg);
}

static void on_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct tcp_conn *c = stream->data;
    if (c->closing || n == 0)
        return;
    if (n > 0) {
        take_bytes(c, str_of(buf->base, (size_t)n));
        return;
    }
    if (n != UV_EOF) {
        tcp_end(c, c->drain && c->shut ? c->drained_code : loop_err_of_uv((int)n));
        return;
    }
    uv_read_stop(stream);
    if (c->write_code != 0)
        tcp_end(c, c->write_code);
    else if (c->tls != NULL)
        tls_layer_eof(c);
    else
        tcp_peer_ended(c);
}

void tcp_raw_read_start(struct tcp_conn *c)
{
    int rc = uv_read_start((uv_stream_t *)&c->uv, on_alloc, on_bytes);
    if (rc != 0 && rc != UV_EALREADY)
        tcp_end(c, loop_err_of_uv(rc));
}

void tcp_raw_read_stop(struct tcp_conn *c)
{
    uv_read_stop((uv_stream_t *)&c->uv);
}

/* --- making -------------------------------------------------------------------------------- */

static int conn_new(struct tcp_conn **out, struct loop *l)
{
    struct tcp_conn *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    int rc = uv_tcp_init(loop_uv(l), &c->uv);
    if (rc != 0) {
        mem_free(c);
        return loop_err_of_uv(rc);
    }
    uv_timer_init(loop_uv(l), &c->timer);
    c->uv.data = c->timer.data = c;
    c->connect.data = c->shutdown.data = c;
    c->loop = l;
    c->connect_due = c->due = MONO_NEVER;
    c->handles = 2;
    *out = c;
    return 0;
}

/* What the kernel is told of a socket that stands. */
static void tune(struct tcp_conn *c)
{
    uv_os_fd_t fd;
    uv_tcp_nodelay(&c->uv, 1);
    if (uv_fileno((const uv_handle_t *)&c->uv, &fd) == 0)
        sock_notice_vanished(fd);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct tcp_conn *c = req->data;
    if (c->closing)
        return;
    if (status != 0) {
        tcp_end(c, loop_err_of_uv(status));
        return;
    }
    c->connected = true;
    tcp_arm(c);
    tune(c);
    if (c->tls != NULL) {
        tls_layer_begin(c);
        return;
    }
    tcp_raw_read_start(c);
    if (c->closing)
        return;
    if (c->finish)
        tcp_raw_shut(c);
    if (c->events->on_connected != NULL && !c->drain)
        c->events->on_connected(c, c->arg);
}

int tcp_connect(struct tcp_conn **out, struct loop *l, const struct addr *to, uint32_t timeout_ms,
                const struct tcp_events *events, void *arg)
{
    ASSERT(loop_is_mine(l) && events->on_end != NULL);
    struct tcp_conn *c;
    int rc = conn_new(&c, l);
    if (rc != 0)
        return rc;
    struct sockaddr_storage sa;
    addr_to_sockaddr(to, &sa);
    rc = uv_tcp_connect(&c->connect, &c->uv, (const struct sockaddr *)&sa, on_connected);
    if (rc != 0) {
        c->silent = true;
        tcp_end(c, 0);
        return loop_err_of_uv(rc);
    }
    c->peer = *to;
    uv_update_time(loop_uv(l));
    c->connect_due = loop_now(l) + timeout_ms;
    tcp_set_user(c, events, arg);
    tcp_arm(c);
    *out = c;
    return 0;
}

void tcp_set_user(struct tcp_conn *c, const struct tcp_events *events, void *arg)
{
    ASSERT(events->on_end != NULL);
    c->events = events;
    c->arg = arg;
}

static void turn_away(struct tcp_listener *s);

static void on_spare_closed(uv_handle_t *h)
{
    struct tcp_listener *s = h->data;
    s->turning_away = false;
    if (s->more && !uv_is_closing((uv_handle_t *)&s->uv))
        turn_away(s);
    listener_unref(s);
}

/* Who is not accepted keeps libuv from listening on: accept without taking memory, and close. */
static void turn_away(struct tcp_listener *s)
{
    s->more = s->turning_away;
    if (s->turning_away || uv_tcp_init(loop_uv(s->loop), &s->spare) != 0)
        return;
    s->turning_away = true;
    s->spare.data = s;
    s->refs++;
    (void)uv_accept((uv_stream_t *)&s->uv, (uv_stream_t *)&s->spare);
    uv_close((uv_handle_t *)&s->spare, on_spare_closed);
}

static void on_incoming(uv_stream_t *stream, int status)
{
    struct tcp_listener *s = stream->data;
    struct tcp_conn *c;
    if (status != 0) {
        s->rejected++;
        return;
    }
    if (conn_new(&c, s->loop) != 0) {
        s->rejected++;
        turn_away(s);
        return;
    }
    c->silent = true; /* until somebody takes it */
    c->connected = true;
    c->listener = s;
    s->conns++;
    s->refs++;
    int rc = uv_accept(stream, (uv_stream_t *)&c->uv);
    if (rc != 0 || s->conns > s->conns_max) {
        s->rejected++;
        tcp_end(c, 0);
        return;
    }
    struct sockaddr_storage sa = {0};
    int size = sizeof sa;
    tune(c);
    if (uv_tcp_getpeername(&c->uv, (struct sockaddr *)&sa, &size) == 0)
        c->peer = addr_of_sockaddr((const struct sockaddr *)&sa);
    s->on_accept(s->arg, c);
    c->silent = c->events == NULL;
    if (!c->closing &&
        (c->silent || uv_read_start((uv_stream_t *)&c->uv, on_alloc, on_bytes) != 0))
        tcp_end(c, ERR_IO);
}

static void on_listener_closed(uv_handle_t *h)
{
    listener_unref(h->data);
}

int tcp_listen(struct tcp_listener **out, struct loop *l, const struct addr *where,
               size_t conns_max, tcp_accept_fn on_accept, void *arg, struct addr *bound,
               struct err *err)
{
    char text[ADDR_TEXT_MAX];
    struct tcp_listener *s = mem_zalloc(sizeof *s);
    ASSERT(loop_is_mine(l));
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "listener");
    *s = (struct tcp_listener){
        .loop = l, .on_accept = on_accept, .arg = arg, .conns_max = conns_max, .refs = 1};
    struct sockaddr_storage sa;
    int size = sizeof sa;
    addr_to_sockaddr(where, &sa);
    uv_tcp_init(loop_uv(l), &s->uv);
    s->uv.data = s;
    int rc = uv_tcp_bind(&s->uv, (const struct sockaddr *)&sa, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->uv, BACKLOG, on_incoming);
    if (rc == 0)
        rc = uv_tcp_getsockname(&s->uv, (struct sockaddr *)&sa, &size);
    if (rc != 0) {
        uv_close((uv_handle_t *)&s->uv, on_listener_closed);
        return err_set(err, loop_err_of_uv(rc), "listen on %s: %s", addr_text(where, text),
                       uv_strerror(rc));
    }
    if (bound != NULL)
        *bound = addr_of_sockaddr((const struct sockaddr *)&sa);
    *out = s;
    return 0;
}

size_t tcp_listener_conns(const struct tcp_listener *s)
{
    return s->conns;
}

uint64_t tcp_listener_rejected(const struct tcp_listener *s)
{
    return s->rejected;
}

void tcp_listener_close(struct tcp_listener **sp)
{
    struct tcp_listener *s = *sp;
    if (s == NULL)
        return;
    *sp = NULL;
    uv_close((uv_handle_t *)&s->uv, on_listener_closed);
}

struct addr tcp_peer(const struct tcp_conn *c)
{
    return c->peer;
}

bool tcp_has_stood(const struct tcp_conn *c)
{
    return c->connected;
}

struct addr tcp_local(const struct tcp_conn *c)
{
    struct sockaddr_storage sa = {0};
    int size = sizeof sa;
    if (!c->connected || uv_tcp_getsockname(&c->uv, (struct sockaddr *)&sa, &size) != 0)
        return (struct addr){0};
    return addr_of_sockaddr((const struct sockaddr *)&sa);
}

/* --- writing ------------------------------------------------------------------------------- */

/* All is sent. Closing at once would reset the connection if the peer still sends, and the reset
 * may overtake our last bytes: wait a moment for its end. */
static void linger(struct tcp_conn *c)
{
    if (c->eof) {
        tcp_end(c, c->drained_code);
        return;
    }
    uv_update_time(c->uv.loop);
    mono_ms due = loop_now(c->loop) + LINGER_MS;
    tcp_set_deadline(c, due < c->due ? due : c->due);
}

static void on_shut(uv_shutdown_t *req, int status)
{
    struct tcp_conn *c = req->data;
    if (c->closing)
        return;
    if (status != 0) {
        tcp_end(c, loop_err_of_uv(status));
        return;
    }
    c->shut = true;
    if (c->drain)
        linger(c);
}

void tcp_raw_shut(struct tcp_conn *c)
{
    int rc = uv_shutdown(&c->shutdown, (uv_stream_t *)&c->uv, on_shut);
    if (rc != 0)
        tcp_end(c, loop_err_of_uv(rc));
}

/* A peer that has reset the connection may have answered before: what it sent is read first, and
 * the end of that is the connection's. */
static void write_failed(struct tcp_conn *c, int code)
{
    if (c->tls == NULL && !c->drain && c->connected && !c->eof && code == ERR_CLOSED)
        c->write_code = code;
    else
        tcp_end(c, code);
}

static void on_written(uv_write_t *req, int status)
{
    struct tcp_out *w = LIST_ITEM(req, struct tcp_out, uv);
    struct tcp_conn *c = w->conn;
    c->unsent -= w->size;
    if (w->done != NULL)
        w->done(w->arg, loop_err_of_uv(status));
    if (status != 0 && !c->closing)
        write_failed(c, loop_err_of_uv(status));
    mem_free(w);
}

int tcp_raw_write(struct tcp_conn *c, struct str bytes, tcp_written_fn done, void *arg)
{
    struct tcp_out *w = mem_alloc(sizeof *w + (done == NULL ? bytes.len : 0));
    if (w == NULL)
        return ERR_NOMEM;
    w->conn = c;
    w->done = done;
    w->arg = arg;
    w->size = bytes.len;
    uv_buf_t buf = {.base = (char *)(uintptr_t)bytes.data, .len = bytes.len};
    if (done == NULL) {
        memcpy(w->copy, bytes.data, bytes.len);
        buf.base = w->copy;
    }
    int rc = uv_write(&w->uv, (uv_stream_t *)&c->uv, &buf, 1, on_written);
    if (rc != 0) {
        mem_free(w);
        return loop_err_of_uv(rc);
    }
    c->unsent += w->size;
    return 0;
}

int tcp_write(struct tcp_conn *c, struct str bytes, tcp_written_fn done, void *arg)
{
    if (c->closing || c->finish)
        return ERR_CLOSED;
    return c->tls != NULL ? tls_layer_write(c, bytes, done, arg)
                          : tcp_raw_write(c, bytes, done, arg);
}

size_t tcp_write_now(struct tcp_conn *c, const struct str *parts, unsigned count)
{
    enum { PARTS_MAX = 4 };
    uv_buf_t bufs[PARTS_MAX];
    ASSERT(count <= PARTS_MAX);
    if (c->closing || c->finish || c->tls != NULL || !c->connected || c->unsent > 0)
        return 0;
    for (unsigned i = 0; i < count; i++)
        bufs[i] = (uv_buf_t){.base = (char *)(uintptr_t)parts[i].data, .len = parts[i].len};
    int n = uv_try_write((uv_stream_t *)&c->uv, bufs, count);
    if (n >= 0)
        return (size_t)n;
    if (n != UV_EAGAIN)
        write_failed(c, loop_err_of_uv(n));
    return 0;
}

size_t tcp_unsent(const struct tcp_conn *c)
{
    return c->unsent;
}

void tcp_finish(struct tcp_conn *c)
{
    if (c->closing || c->finish)
        return;
    c->finish = true;
    if (c->tls != NULL)
        tls_layer_finish(c);
    else if (c->connected)
        tcp_raw_shut(c);
}

void tcp_close(struct tcp_conn *c)
{
    tcp_end(c, 0);
}

void tcp_close_after_writes(struct tcp_conn *c)
{
    if (c->closing || c->drain)
        return;
    c->drain = true;
    if (c->shut)
        linger(c);
    else
        tcp_finish(c);
}
