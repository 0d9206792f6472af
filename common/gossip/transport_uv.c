/* gossip/transport_uv.c - connections that we open, and what both directions share. */
#include "gossip/transport_uv.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "gossip/transport_uv_priv.h"
#include "net/loop.h"
#include "net/pool.h"

/* --- making --------------------------------------------------------------------------------- */

static int secure(struct transport *t, struct err *err)
{
    int rc = tls_init(&t->tls.tls, t->cfg.tls, t->log, err);
    if (rc != 0)
        return rc;
    if (!tls_can_serve(t->tls.tls))
        return err_set(err, ERR_INVAL, "TLS needs a certificate and a key");
    return pool_init(&t->tls.pool, SHAKE_THREADS, SHAKES_WAITING_MAX, err);
}

int transport_init(struct transport **out, struct loop *loop,
                   const struct transport_config *config, const struct transport_events *events,
                   void *arg, const struct log *log, struct err *err)
{
    struct transport *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return err_set(err, ERR_NOMEM, "gossip");
    *t = (struct transport){
        .loop = loop, .cfg = *config, .events = events, .arg = arg, .log = log};
    t->cfg.writers_max = config->writers_max == 0 ? 1 : config->writers_max;
    t->cfg.conns_max = config->conns_max == 0 ? CONNS_MAX : config->conns_max;
    t->cfg.first_ms = config->first_ms == 0 ? FIRST_MS : config->first_ms;
    t->cfg.packet_ms = config->packet_ms == 0 ? READ_MS : config->packet_ms;
    list_init(&t->conns);
    list_init(&t->writing);
    list_init(&t->waiting);
    struct inbound_limits limits = {t->cfg.conns_max, HELD_MAX, SHAKES_PER_PEER};
    int rc = inbound_init(&t->inbound, &limits);
    if (rc != 0)
        (void)err_set(err, rc, "gossip");
    if (rc == 0 && config->tls != NULL)
        rc = secure(t, err);
    t->cfg.tls = NULL; /* borrowed for the call */
    if (rc != 0) {
        transport_free(&t);
        return rc;
    }
    *out = t;
    return 0;
}

/* Bytes on their way, which may outlive their connection. */
struct conn_out {
    struct buf bytes;
    struct conn *conn; /* to be told; NULL: nobody */
};

struct conn *transport_conn_new(struct transport *t, enum kind kind,
                                const struct gossip_addr *peer)
{
    struct conn *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (struct conn){.t = t, .kind = kind, .peer = *peer, .queued = loop_now(t->loop)};
    list_init(&c->link);
    return c;
}

void transport_conn_free(struct conn *c)
{
    inbound_leave(c->t->inbound, &c->seat);
    if (c->out != NULL)
        c->out->conn = NULL;
    list_remove(&c->link);
    buf_reset(&c->bytes);
    mem_free(c);
}

static struct conn *conn_by_stream(const struct transport *t, uint32_t stream)
{
    LIST_EACH(link, &t->conns) {
        struct conn *c = LIST_ITEM(link, struct conn, link);
        if (stream != 0 && c->stream == stream)
            return c;
    }
    return NULL;
}

static void on_deaf_end(struct tcp_conn *tcp, int code, void *arg)
{
    (void)tcp;
    (void)code;
    (void)arg;
}

static const struct tcp_events deaf = {.on_end = on_deaf_end};

static void abandon(struct list *conns)
{
    LIST_EACH_SAFE(link, conns) {
        struct conn *c = LIST_ITEM(link, struct conn, link);
        if (c->tcp != NULL) {
            tcp_set_user(c->tcp, &deaf, NULL);
            tcp_close(c->tcp);
        }
        transport_conn_free(c);
    }
}

void transport_free(struct transport **out)
{
    struct transport *t = *out;
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->listener_count; i++)
        tcp_listener_close(&t->listeners[i]);
    abandon(&t->conns);
    abandon(&t->writing);
    abandon(&t->waiting);
    pool_free(&t->tls.pool);
    tls_free(&t->tls.tls);
    inbound_free(&t->inbound);
    mem_free(t);
    *out = NULL;
}

int transport_listen(struct transport *t, const struct gossip_addr *ip, uint16_t *port,
                     struct err *err)
{
    struct addr where = gossip_addr_to_net(ip), bound = {0};
    if (t->listener_count == LISTENERS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d gossip addresses", LISTENERS_MAX);
    where.port = *port;
    /* The limit itself is kept by those who come in: see transport_on_accept(). */
    int rc = tcp_listen(&t->listeners[t->listener_count], t->loop, &where,
                        2 * (size_t)t->cfg.conns_max, transport_on_accept, t, &bound, err);
    if (rc != 0)
        return rc;
    t->listener_count++;
    *port = bound.port;
    return 0;
}

void transport_set_self(struct transport *t, const struct gossip_addr *self)
{
    gossip_addr_text(self, t->self);
}

/* --- for all connections -------------------------------------------------------------------- */

static void on_written(void *arg, int code)
{
    struct conn_out *w = arg;
    if (w->conn != NULL) {
        w->conn->sent = code == 0;
        w->conn->out = NULL;
    }
    buf_reset(&w->bytes);
    mem_free(w);
}

bool transport_write_taking(struct conn *c, struct buf *bytes)
{
    struct conn_out *w = mem_alloc(sizeof *w);
    size_t size = bytes->size;
    if (w == NULL) {
        buf_reset(bytes);
        return false;
    }
    *w = (struct conn_out){*bytes, c->kind == OUT_PACKET ? c : NULL};
    *bytes = (struct buf){0};
    if (tcp_write(c->tcp, buf_view(&w->bytes), on_written, w) != 0) {
        w->conn = NULL;
        on_written(w, ERR_CLOSED);
        return false;
    }
    if (c->kind == OUT_PACKET)
        c->out = w;
    else
        c->t->stats.sent_bytes += size;
    return true;
}

int transport_dial(struct conn *c, uint32_t timeout_ms, const struct tcp_events *events)
{
    struct transport *t = c->t;
    struct addr to = gossip_addr_to_net(&c->peer);
    char host[GOSSIP_ADDR_TEXT_MAX];
    int rc = tcp_connect(&c->tcp, t->loop, &to, timeout_ms, events, c);
    if (rc != 0 || t->tls.tls == NULL)
        return rc;
    gossip_addr_ip_text(&c->peer, host);
    rc = tcp_start_tls(c->tcp, &t->tls, TLS_CLIENT, str_c(host), STR(""));
    if (rc == 0) {
        c->secured = true;
        return 0;
    }
    tcp_set_user(c->tcp, &deaf, NULL);
    tcp_close(c->tcp);
    c->tcp = NULL;
    return rc;
}

void transport_warn(struct transport *t, const struct gossip_addr *peer, const char *what,
                    const char *detail)
{
    uint64_t left_out = 0;
    char text[GOSSIP_ADDR_TEXT_MAX];
    if (!quiet_pass(&t->quiet, peer, what, loop_now(t->loop), &left_out))
        return;
    gossip_addr_text(peer, text);
    if (detail != NULL)
        log_line(t->log, LOG_WARN, what, LOG_C("peer", text), LOG_C("err", detail),
                 LOG_U("left_out", left_out));
    else
        log_line(t->log, LOG_WARN, what, LOG_C("peer", text), LOG_U("left_out", left_out));
}

static struct remark *remark_of(struct transport *t, const struct gossip_addr *peer)
{
    for (size_t i = 0; i < REMARKS_MAX; i++)
        if (t->remarks[i].text[0] != '\0' && gossip_addr_eq(&t->remarks[i].peer, peer))
            return &t->remarks[i];
    return NULL;
}

/* Keep the reason; "" forgets it. The oldest ones make room. */
static void set_remark(struct transport *t, const struct gossip_addr *peer, const char *what,
                       const char *detail)
{
    char text[REMARK_SIZE];
    struct remark *r = remark_of(t, peer);
    (void)snprintf(text, sizeof text, "%s%s%s", what, detail == NULL ? "" : ": ",
                   detail == NULL ? "" : detail);
    if (r == NULL ? text[0] == '\0' : strcmp(r->text, text) == 0)
        return;
    if (r == NULL)
        r = &t->remarks[t->remark_next++ % REMARKS_MAX];
    r->peer = *peer;
    memcpy(r->text, text, sizeof text);
    t->remark_changes++;
}

const char *transport_remark(const struct transport *t, const struct gossip_addr *peer)
{
    const struct remark *r = remark_of((struct transport *)(uintptr_t)t, peer);
    return r == NULL ? NULL : r->text;
}

uint64_t transport_remark_changes(const struct transport *t)
{
    return t->remark_changes;
}

static void warn_dialled(struct conn *c, const char *what, const char *detail)
{
    set_remark(c->t, &c->peer, what, detail);
    transport_warn(c->t, &c->peer, what, detail);
}

void transport_tell_end(struct conn *c, int code)
{
    if (!c->secured || tcp_tls_is_up(c->tcp) || !tcp_has_stood(c->tcp))
        return; /* after the handshake it is a connection that broke, as others do */
    if (code == ERR_DENIED)
        warn_dialled(c, "TLS with a peer that was dialled has failed", tcp_tls_error(c->tcp));
    else
        warn_dialled(c,
                     "a peer that was dialled did not go on with the TLS handshake: is TLS "
                     "switched off there, or does it hang?", NULL);
}

void transport_check_answer(struct conn *c, struct str bytes)
{
    bool first = !c->answered;
    c->answered = true;
    if (!first || c->secured || bytes.len == 0 || (uint8_t)bytes.data[0] != TLS_ALERT_BYTE)
        return;
    c->t->stats.plain_mismatches++;
    warn_dialled(c,
                 "a peer speaks TLS and this member does not: set -memberlist.tls-enabled on "
                 "both sides or on neither", NULL);
}

/* --- streams of ours ------------------------------------------------------------------------ */

static void on_out_connected(struct tcp_conn *tcp, void *arg)
{
    struct conn *c = arg;
    (void)tcp;
    c->connected = true;
    if (c->stream != 0)
        c->t->events->on_connect(c->t->arg, c->stream);
}

static void on_out_read(struct tcp_conn *tcp, struct str bytes, void *arg)
{
    struct conn *c = arg;
    (void)tcp;
    c->t->stats.received_bytes += bytes.len;
    transport_check_answer(c, bytes);
    if (c->stream != 0)
        c->t->events->on_bytes(c->t->arg, c->stream, bytes);
}

/* A plain stream that a peer closes without a word is one that it did not understand. */
static void check_silence(struct conn *c)
{
    if (!c->connected || c->answered || c->secured || c->stream == 0)
        return;
    c->answered = true;
    warn_dialled(c,
                 "a peer closed a stream without an answer: does it have another label, demand "
                 "TLS, or is it stopping?", NULL);
}

static void on_out_eof(struct tcp_conn *tcp, void *arg)
{
    struct conn *c = arg;
    check_silence(c);
    if (c->stream != 0)
        c->t->events->on_end(c->t->arg, c->stream, 0);
    else
        tcp_close(tcp);
}

static void on_out_end(struct tcp_conn *tcp, int code, void *arg)
{
    struct conn *c = arg;
    if (c->stream != 0)
        c->t->stats.outgoing_stream_errors++;
    c->t->streams_out--;
    if (!tcp_has_stood(c->tcp))
        set_remark(c->t, &c->peer, "", NULL); /* nobody is there any more */
    if (code == ERR_CLOSED)
        check_silence(c);
    transport_tell_end(c, code);
    transport_stream_end(tcp, code, arg);
}

static const struct tcp_events out_events = {.on_connected = on_out_connected,
                                             .on_read = on_out_read,
                                             .on_eof = on_out_eof,
                                             .on_end = on_out_end};

/* A stream that never was. */
static void refuse_stream(struct transport *t, uint32_t stream, struct buf *bytes, int code)
{
    t->stats.outgoing_stream_errors++;
    buf_reset(bytes);
    t->events->on_end(t->arg, stream, code);
}

void transport_open(struct transport *t, uint32_t stream, const struct gossip_addr *to,
                    struct buf *bytes)
{
    static const char first = FIRST_STREAM;
    struct conn *c = NULL;
    int rc = ERR_LIMIT;
    t->stats.outgoing_streams++;
    if (t->streams_out < STREAMS_OUT_MAX) {
        c = transport_conn_new(t, OUT_STREAM, to);
        rc = c == NULL ? ERR_NOMEM : transport_dial(c, t->cfg.stream_timeout_ms, &out_events);
    } else {
        transport_warn(t, to, "too many streams of this member's are open", NULL);
    }
    if (rc != 0) {
        mem_free(c);
        refuse_stream(t, stream, bytes, rc);
        return;
    }
    c->stream = stream;
    t->streams_out++;
    list_push_back(&t->conns, &c->link);
    if (tcp_write(c->tcp, str_of(&first, 1), NULL, NULL) != 0 ||
        !transport_write_taking(c, bytes)) {
        buf_reset(bytes);
        tcp_close(c->tcp); /* its end is reported */
    }
}

void transport_write(struct transport *t, uint32_t stream, struct buf *bytes)
{
    struct conn *c = conn_by_stream(t, stream);
    if (c == NULL)
        buf_reset(bytes);
    else if (!transport_write_taking(c, bytes))
        tcp_close(c->tcp);
}

void transport_close(struct transport *t, uint32_t stream)
{
    struct conn *c = conn_by_stream(t, stream);
    if (c == NULL)
        return;
    c->stream = 0;
    tcp_set_deadline(c->tcp, loop_now(t->loop) + (mono_ms)t->cfg.stream_timeout_ms);
    tcp_close_after_writes(c->tcp);
}

const struct transport_stats *transport_stats(struct transport *t)
{
    t->stats.connections = inbound_count(t->inbound);
    t->stats.tls_handshakes = t->tls.handshakes;
    t->stats.tls_resumed = t->tls.resumed;
    t->stats.tls_errors = t->tls.failed;
    if (t->tls.tls != NULL) {
        t->stats.tls_reloads = tls_stats(t->tls.tls)->reloads;
        t->stats.tls_reload_errors = tls_stats(t->tls.tls)->reload_errors;
    }
    return &t->stats;
}
