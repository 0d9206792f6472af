/* net/tcp_tls_uv.c - TLS between a socket and the user of its connection.
 *
 * While a pool thread works on the handshake, the socket is not read: the session is that
 * thread's, and a peer that sends on waits. */
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/pool.h"
#include "net/tcp_priv.h"

enum { RECORD_MAX = 16384 };

struct tls_layer {
    struct tls_session *session;
    struct tcp_tls *use;
    struct pool_job job;
    struct list waiting; /* of plain_out: written before the handshake was done */
    bool busy;           /* the session is with the pool */
    bool up, failed;
    bool eof; /* the socket gave its last */
    _Atomic(bool) over; /* nobody waits for the handshake any more */
};

/* What the user wrote too early to be encrypted. */
struct plain_out {
    struct list link;
    struct str bytes;
    tcp_written_fn done;
    void *arg;
    char copy[];
};

/* Encrypted bytes on their way. */
struct cipher_out {
    struct buf bytes;
    tcp_written_fn done;
    void *arg;
};

bool tls_layer_is_up(const struct tls_layer *y)
{
    return y->up;
}

bool tls_layer_has_failed(const struct tls_layer *y)
{
    return y->failed;
}

/* --- bytes out ------------------------------------------------------------------------------- */

static void on_cipher_written(void *arg, int code)
{
    struct cipher_out *w = arg;
    if (w->done != NULL)
        w->done(w->arg, code);
    buf_reset(&w->bytes);
    mem_free(w);
}

/* Send what the session has for the peer. */
static int flush(struct tcp_conn *c, tcp_written_fn done, void *arg)
{
    struct buf *out = tls_session_out(c->tls->session);
    if (out->size == 0 && done == NULL)
        return 0;
    struct cipher_out *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    *w = (struct cipher_out){*out, done, arg};
    *out = (struct buf){0};
    int rc = tcp_raw_write(c, buf_view(&w->bytes), on_cipher_written, w);
    if (rc != 0) {
        buf_reset(&w->bytes);
        mem_free(w);
    }
    return rc;
}

/* It cannot go on. An alert that tells the peer is sent first. */
static void fail(struct tcp_conn *c)
{
    struct tls_layer *y = c->tls;
    if (y->failed)
        return;
    y->failed = true;
    y->use->failed++;
    if (y->up && c->finish) { /* the end was told already: no alert can follow */
        tcp_end(c, ERR_DENIED);
        return;
    }
    c->drain = c->finish = true;
    c->drained_code = ERR_DENIED;
    if (flush(c, NULL, NULL) != 0) {
        tcp_end(c, ERR_DENIED);
        return;
    }
    if (y->eof)
        c->eof = true;
    else
        tcp_raw_read_start(c); /* to its end, which shows that the alert was taken */
    if (!c->closing)
        tcp_raw_shut(c);
}

/* Encrypt and send. After a failure nothing can follow, as the sequence has a gap. */
static int send_now(struct tcp_conn *c, struct str bytes, tcp_written_fn done, void *arg)
{
    int rc = tls_session_write(c->tls->session, bytes);
    rc = rc != 0 ? rc : flush(c, done, arg);
    if (rc != 0)
        tcp_end(c, rc);
    return rc;
}

int tls_layer_write(struct tcp_conn *c, struct str bytes, tcp_written_fn done, void *arg)
{
    struct tls_layer *y = c->tls;
    if (y->failed)
        return ERR_CLOSED;
    if (y->up)
        return send_now(c, bytes, done, arg);
    struct plain_out *w = mem_alloc(sizeof *w + (done == NULL ? bytes.len : 0));
    if (w == NULL)
        return ERR_NOMEM;
    *w = (struct plain_out){.bytes = bytes, .done = done, .arg = arg};
    if (done == NULL && bytes.len > 0) {
        memcpy(w->copy, bytes.data, bytes.len);
        w->bytes.data = w->copy;
    }
    list_init(&w->link);
    list_push_back(&y->waiting, &w->link);
    c->unsent += bytes.len;
    return 0;
}

static struct plain_out *take_waiting(struct tcp_conn *c)
{
    struct list *first = list_first(&c->tls->waiting);
    if (first == NULL)
        return NULL;
    struct plain_out *w = LIST_ITEM(first, struct plain_out, link);
    list_remove(&w->link);
    c->unsent -= w->bytes.len;
    return w;
}

static void send_waiting(struct tcp_conn *c)
{
    struct plain_out *w;
    while (!c->closing && (w = take_waiting(c)) != NULL) {
        int rc = send_now(c, w->bytes, w->done, w->arg);
        if (rc != 0 && w->done != NULL)
            w->done(w->arg, rc);
        mem_free(w);
    }
}

void tls_layer_cancel(struct tcp_conn *c)
{
    struct plain_out *w;
    while ((w = take_waiting(c)) != NULL) {
        if (w->done != NULL)
            w->done(w->arg, ERR_CANCELED);
        mem_free(w);
    }
}

void tls_layer_finish(struct tcp_conn *c)
{
    struct tls_layer *y = c->tls;
    if (!y->up || y->failed)
        return; /* on_up() does it */
    tls_session_finish(y->session);
    if (flush(c, NULL, NULL) != 0)
        tcp_end(c, ERR_NOMEM);
    else
        tcp_raw_shut(c);
}

/* --- bytes in -------------------------------------------------------------------------------- */

/* Hand the user what can be decrypted. */
static void deliver(struct tcp_conn *c)
{
    char plain[RECORD_MAX];
    struct tls_layer *y = c->tls;
    size_t n;
    while (!c->closing && (n = tls_session_read(y->session, plain, sizeof plain)) > 0)
        if (!c->drain && c->events->on_read != NULL)
            c->events->on_read(c, str_of(plain, n), c->arg);
    if (c->closing)
        return;
    if (tls_session_state(y->session) == TLS_FAILED)
        fail(c);
    else if (tls_session_state(y->session) == TLS_ENDED && !c->eof)
        tcp_peer_ended(c);
}

static void on_up(struct tcp_conn *c)
{
    struct tls_layer *y = c->tls;
    y->up = true;
    y->use->handshakes++;
    y->use->resumed += tls_session_resumed(y->session);
    tls_session_settle(y->session);
    tcp_arm(c);
    tcp_raw_read_start(c);
    send_waiting(c);
    if (!c->closing && c->finish)
        tls_layer_finish(c);
    if (!c->closing && !c->drain && c->listener == NULL && c->events->on_connected != NULL)
        c->events->on_connected(c, c->arg);
    if (!c->closing)
        deliver(c);
}

static void after_step(struct tcp_conn *c)
{
    enum tls_state state = tls_session_state(c->tls->session);
    if (state != TLS_FAILED && flush(c, NULL, NULL) != 0)
        tcp_end(c, ERR_NOMEM);
    else if (state == TLS_FAILED)
        fail(c);
    else if (state == TLS_HANDSHAKE)
        tcp_raw_read_start(c);
    else
        on_up(c);
}

static void on_step(void *arg)
{
    struct tls_layer *y = ((struct tcp_conn *)arg)->tls;
    if (!atomic_load(&y->over))
        (void)tls_session_step(y->session);
}

static void on_stepped(void *arg)
{
    struct tcp_conn *c = arg;
    c->tls->busy = false;
    if (!c->closing)
        after_step(c);
    tcp_let_go(c);
}

/* Have the handshake go on, by the pool. */
static void step(struct tcp_conn *c)
{
    struct tls_layer *y = c->tls;
    ASSERT(!y->busy);
    tcp_raw_read_stop(c);
    if (y->use->pool == NULL) {
        (void)tls_session_step(y->session);
        after_step(c);
        return;
    }
    y->job.run = on_step;
    y->job.done = on_stepped;
    y->job.arg = c;
    y->job.home = c->loop;
    y->busy = true;
    tcp_hold(c);
    if (pool_submit(y->use->pool, &y->job) == 0)
        return;
    y->busy = false;
    y->use->failed++;
    tcp_end(c, ERR_LIMIT);
    tcp_let_go(c); /* its end comes later, by its handles */
}

void tls_layer_begin(struct tcp_conn *c)
{
    step(c);
}

void tls_layer_bytes(struct tcp_conn *c, struct str bytes)
{
    struct tls_layer *y = c->tls;
    if (y->failed)
        return;
    if (tls_session_feed(y->session, bytes) != 0)
        tcp_end(c, ERR_NOMEM);
    else if (y->up)
        deliver(c);
    else
        step(c);
}

void tls_layer_eof(struct tcp_conn *c)
{
    struct tls_layer *y = c->tls;
    y->eof = true;
    if (y->failed || c->eof || (y->up && c->drain)) {
        /* It was told before, or nobody listens any more. */
        if (c->drain)
            tcp_peer_ended(c);
        return;
    }
    tls_session_eof(y->session);
    fail(c);
}

/* --- making ---------------------------------------------------------------------------------- */

int tcp_start_tls(struct tcp_conn *c, struct tcp_tls *use, enum tls_role role, struct str host,
                  struct str first)
{
    ASSERT(c->tls == NULL && !c->finish && c->unsent == 0);
    struct tls_layer *y = mem_zalloc(sizeof *y);
    if (y == NULL)
        return ERR_NOMEM;
    list_init(&y->waiting);
    y->use = use;
    int rc = tls_session_init(&y->session, use->tls, role, host, c->peer.port,
                              loop_now(c->loop));
    if (rc == 0)
        rc = tls_session_feed(y->session, first);
    if (rc != 0) {
        tls_layer_free(y);
        return rc;
    }
    c->tls = y;
    if (c->connected)
        step(c);
    return 0;
}

void tls_layer_over(struct tls_layer *y)
{
    if (y != NULL)
        atomic_store(&y->over, true);
}

void tls_layer_free(struct tls_layer *y)
{
    if (y == NULL)
        return;
    ASSERT(!y->busy);
    tls_session_free(&y->session);
    mem_free(y);
}

const char *tcp_tls_error(const struct tcp_conn *c)
{
    return c->tls == NULL || c->tls->busy ? "" : tls_session_error(c->tls->session);
}

bool tcp_tls_is_up(const struct tcp_conn *c)
{
    return c->tls != NULL && c->tls->up;
}
