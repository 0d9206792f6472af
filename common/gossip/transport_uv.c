#include "gossip/transport_uv.h"

#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "gossip/digest.h"
#include "net/loop.h"
#include "net/tcp.h"

enum {
    FIRST_PACKET = 1,
    FIRST_STREAM = 2,
    CONNS_MAX = 1024,            /* accepted ones, per listener */
    LISTENERS_MAX = 16,
    PACKET_MAX = 16 << 20,       /* bytes of one packet that comes in; dskit sends up to 10 MiB */
    HELD_MAX = 256 << 20,        /* bytes of all packets that are half in */
    QUEUE_MAX = 4096,            /* packets waiting for a place */
    READ_MS = 15000,             /* a packet comes in whole in this time, or not at all */
    LOG_QUIET_MS = 60000,
};

enum kind { IN_NEW, IN_PACKET, IN_STREAM, IN_OTHER, OUT_PACKET, OUT_STREAM };

struct conn {
    struct list link;
    struct transport *t;
    enum kind kind;
    struct tcp_conn *tcp; /* NULL: a packet that waits */
    uint32_t stream;      /* 0: none, or not ours to report any more */
    struct gossip_addr peer;
    struct buf bytes; /* what came in of a packet; what goes out first */
    size_t payload;   /* bytes of an outgoing packet, unframed */
    bool sent;        /* all is with the kernel */
    mono_ms queued;
};

struct transport {
    struct loop *loop;
    struct transport_config cfg;
    const struct transport_events *events;
    void *arg;
    const struct log *log;
    struct tcp_listener *listeners[LISTENERS_MAX];
    size_t listener_count;
    char self[GOSSIP_ADDR_TEXT_MAX];
    struct list conns;   /* with a socket */
    struct list waiting; /* packets without one, oldest first */
    size_t waiting_count, writing;
    size_t held;
    struct transport_stats stats;
    struct log_rate drop_rate, unknown_rate;
};

static struct gossip_addr of_net(const struct addr *a)
{
    struct gossip_addr g = {.size = 16, .port = a->port};
    if (a->family == 6) {
        memcpy(g.ip, a->ip, 16);
    } else {
        g.ip[10] = g.ip[11] = 0xff;
        memcpy(g.ip + 12, a->ip, 4);
    }
    return g;
}

static struct addr to_net(const struct gossip_addr *g)
{
    struct addr a = {.port = g->port, .family = 6};
    if (gossip_addr_is_v4(g)) {
        a.family = 4;
        memcpy(a.ip, g->ip + g->size - 4, 4);
    } else {
        memcpy(a.ip, g->ip, 16);
    }
    return a;
}

int transport_init(struct transport **out, struct loop *loop,
                   const struct transport_config *config, const struct transport_events *events,
                   void *arg, const struct log *log)
{
    struct transport *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    *t = (struct transport){
        .loop = loop, .cfg = *config, .events = events, .arg = arg, .log = log};
    t->cfg.writers_max = config->writers_max == 0 ? 1 : config->writers_max;
    list_init(&t->conns);
    list_init(&t->waiting);
    *out = t;
    return 0;
}

/* --- connections ---------------------------------------------------------------------------- */

static void hold(struct conn *c, size_t before)
{
    c->t->held += c->bytes.size - before;
}

static void conn_free(struct conn *c)
{
    if (c->kind == IN_PACKET)
        c->t->held -= c->bytes.size;
    list_remove(&c->link);
    buf_reset(&c->bytes);
    mem_free(c);
}

static struct conn *conn_new(struct transport *t, enum kind kind, const struct gossip_addr *peer)
{
    struct conn *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (struct conn){.t = t, .kind = kind, .peer = *peer, .queued = loop_now(t->loop)};
    list_init(&c->link);
    return c;
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

void transport_free(struct transport **out)
{
    struct transport *t = *out;
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->listener_count; i++)
        tcp_listener_close(&t->listeners[i]);
    LIST_EACH_SAFE(link, &t->conns) {
        struct conn *c = LIST_ITEM(link, struct conn, link);
        tcp_set_user(c->tcp, &deaf, NULL);
        tcp_close(c->tcp);
        conn_free(c);
    }
    LIST_EACH_SAFE(link, &t->waiting)
        conn_free(LIST_ITEM(link, struct conn, link));
    mem_free(t);
    *out = NULL;
}

/* Bytes that are on their way. */
static void on_written(void *arg, int code)
{
    struct buf *bytes = arg;
    (void)code;
    buf_reset(bytes);
    mem_free(bytes);
}

/* Write bytes, which are taken. False: no memory, or the connection is over. */
static bool write_taking(struct conn *c, struct buf *bytes)
{
    struct buf *moved = mem_alloc(sizeof *moved);
    size_t size = bytes->size;
    if (moved == NULL) {
        buf_reset(bytes);
        return false;
    }
    *moved = *bytes;
    *bytes = (struct buf){0};
    if (tcp_write(c->tcp, buf_view(moved), on_written, moved) != 0) {
        on_written(moved, ERR_CLOSED);
        return false;
    }
    c->t->stats.sent_bytes += size;
    return true;
}

/* --- coming in ------------------------------------------------------------------------------ */

static void log_unknown(struct conn *c, uint8_t first)
{
    uint64_t left_out = 0;
    char text[GOSSIP_ADDR_TEXT_MAX];
    if (!log_rate_pass(&c->t->unknown_rate, loop_now(c->t->loop), LOG_QUIET_MS, &left_out))
        return;
    gossip_addr_text(&c->peer, text);
    bool http = first >= 'A' && first <= 'Z';
    log_line(c->t->log, LOG_WARN,
             http ? "an HTTP request on the gossip port; is another's address set to "
                    "-memberlist.bind-port?"
                  : "a foreign protocol on the gossip port; TLS on one side only?",
             LOG_C("from", text), LOG_U("first_byte", first), LOG_U("left_out", left_out));
}

/* Neither packet nor stream. A person or a probe that speaks HTTP gets an answer. */
static void on_foreign(struct conn *c, uint8_t first)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                                 "Content-Length: 50\r\nConnection: close\r\n\r\n"
                                 "This is the gossip port, it does not answer HTTP.\n";
    c->kind = IN_OTHER;
    c->t->stats.unknown_connections++;
    log_unknown(c, first);
    if (first >= 'A' && first <= 'Z') {
        c->t->stats.http_connections++;
        (void)tcp_write(c->tcp, str_of(answer, sizeof answer - 1), NULL, NULL);
    }
    tcp_close_after_writes(c->tcp);
}

/* The first byte says what it is. False: nothing more is to be read. */
static bool on_first(struct conn *c, uint8_t first)
{
    struct transport *t = c->t;
    if (first == FIRST_PACKET) {
        c->kind = IN_PACKET;
        return true;
    }
    if (first != FIRST_STREAM) {
        on_foreign(c, first);
        return false;
    }
    c->kind = IN_STREAM;
    t->stats.incoming_streams++;
    c->stream = t->events->on_accept(t->arg, &c->peer);
    if (c->stream == 0) {
        tcp_close(c->tcp);
        return false;
    }
    tcp_set_deadline(c->tcp, MONO_NEVER); /* the machine has its own */
    return true;
}

static void on_in_read(struct tcp_conn *tcp, struct str bytes, void *arg)
{
    struct conn *c = arg;
    struct transport *t = c->t;
    t->stats.received_bytes += bytes.len;
    if (c->kind == IN_NEW) {
        if (!on_first(c, (uint8_t)bytes.data[0]))
            return;
        bytes = str_of(bytes.data + 1, bytes.len - 1);
    }
    if (c->kind == IN_STREAM && c->stream != 0 && bytes.len > 0)
        t->events->on_bytes(t->arg, c->stream, bytes);
    if (c->kind != IN_PACKET)
        return;
    size_t before = c->bytes.size;
    if (t->held + bytes.len > HELD_MAX || before + bytes.len > PACKET_MAX) {
        t->stats.packets_received_errors++;
        tcp_close(tcp);
        return;
    }
    buf_str(&c->bytes, bytes);
    hold(c, before);
    if (c->bytes.error != 0)
        tcp_close(tcp);
}

/* A packet is in whole: `u8 size, address, payload, digest`. */
static void on_packet_in(struct conn *c)
{
    struct transport *t = c->t;
    struct str in = buf_view(&c->bytes);
    size_t addr = in.len > 0 ? (uint8_t)in.data[0] : 0;
    struct gossip_addr from;
    uint8_t digest[MD5_SIZE];
    t->stats.packets_received++;
    if (in.len < 1 + addr + MD5_SIZE) {
        t->stats.packets_received_errors++;
        return;
    }
    struct str payload = str_of(in.data + 1 + addr, in.len - 1 - addr - MD5_SIZE);
    t->stats.packets_received_bytes += payload.len;
    digest_md5(payload, digest);
    if (gossip_addr_parse(&from, str_of(in.data + 1, addr), 0) != 0 ||
        memcmp(digest, payload.data + payload.len, MD5_SIZE) != 0) {
        t->stats.packets_received_errors++;
        return;
    }
    t->events->on_packet(t->arg, &from, payload);
}

static void on_in_eof(struct tcp_conn *tcp, void *arg)
{
    struct conn *c = arg;
    struct transport *t = c->t;
    if (c->kind == IN_STREAM && c->stream != 0) {
        t->events->on_end(t->arg, c->stream, 0); /* the machine closes it */
        return;
    }
    if (c->kind == IN_PACKET)
        on_packet_in(c);
    tcp_close(tcp);
}

static void on_in_end(struct tcp_conn *tcp, int code, void *arg)
{
    struct conn *c = arg;
    struct transport *t = c->t;
    uint32_t stream = c->stream;
    (void)tcp;
    conn_free(c);
    if (stream != 0)
        t->events->on_end(t->arg, stream, code != 0 ? code : ERR_CLOSED);
}

static const struct tcp_events in_events = {
    .on_read = on_in_read, .on_eof = on_in_eof, .on_end = on_in_end};

static void on_tcp_accept(void *arg, struct tcp_conn *tcp)
{
    struct transport *t = arg;
    struct addr peer = tcp_peer(tcp);
    struct gossip_addr from = of_net(&peer);
    struct conn *c = conn_new(t, IN_NEW, &from);
    if (c == NULL)
        return; /* unset events: it is closed */
    c->tcp = tcp;
    list_push_back(&t->conns, &c->link);
    tcp_set_user(tcp, &in_events, c);
    tcp_set_deadline(tcp, loop_now(t->loop) + READ_MS);
}

int transport_listen(struct transport *t, const struct gossip_addr *ip, uint16_t *port,
                     struct err *err)
{
    struct addr where = to_net(ip), bound = {0};
    if (t->listener_count == LISTENERS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d gossip addresses", LISTENERS_MAX);
    where.port = *port;
    int rc = tcp_listen(&t->listeners[t->listener_count], t->loop, &where, CONNS_MAX,
                        on_tcp_accept, t, &bound, err);
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

/* --- packets going out ---------------------------------------------------------------------- */

static void send_waiting(struct transport *t);

static void log_dropped(struct transport *t, const struct conn *c, const char *why)
{
    uint64_t left_out = 0;
    char text[GOSSIP_ADDR_TEXT_MAX];
    t->stats.packets_dropped++;
    if (!log_rate_pass(&t->drop_rate, loop_now(t->loop), LOG_QUIET_MS, &left_out))
        return;
    gossip_addr_text(&c->peer, text);
    log_line(t->log, LOG_WARN, "gossip packet dropped", LOG_C("to", text), LOG_C("reason", why),
             LOG_U("left_out", left_out));
}

static void on_packet_sent(void *arg, int code)
{
    struct conn *c = arg;
    c->sent = code == 0;
}

static void on_packet_end(struct tcp_conn *tcp, int code, void *arg)
{
    struct conn *c = arg;
    struct transport *t = c->t;
    (void)tcp;
    (void)code;
    if (c->sent) {
        t->stats.packets_sent++;
        t->stats.packets_sent_bytes += c->payload;
        t->stats.sent_bytes += c->bytes.size;
    } else {
        t->stats.packets_sent_errors++;
    }
    t->writing--;
    conn_free(c);
    send_waiting(t);
}

static const struct tcp_events packet_events = {.on_end = on_packet_end};

/* Connect, send, close. */
static void packet_start(struct transport *t, struct conn *c)
{
    struct addr to = to_net(&c->peer);
    if (tcp_connect(&c->tcp, t->loop, &to, t->cfg.packet_dial_ms, &packet_events, c) != 0) {
        t->stats.packets_sent_errors++;
        conn_free(c);
        return;
    }
    t->writing++;
    list_remove(&c->link);
    list_push_back(&t->conns, &c->link);
    if (t->cfg.packet_write_ms > 0)
        tcp_set_deadline(c->tcp, loop_now(t->loop) + t->cfg.packet_dial_ms +
                                     (mono_ms)t->cfg.packet_write_ms);
    if (tcp_write(c->tcp, buf_view(&c->bytes), on_packet_sent, c) != 0)
        tcp_close(c->tcp);
    else
        tcp_close_after_writes(c->tcp);
}

static void send_waiting(struct transport *t)
{
    struct list *first;
    while (t->writing < t->cfg.writers_max && (first = list_first(&t->waiting)) != NULL) {
        struct conn *c = LIST_ITEM(first, struct conn, link);
        list_remove(&c->link);
        t->waiting_count--;
        packet_start(t, c);
    }
}

void transport_tick(struct transport *t)
{
    struct list *first;
    while ((first = list_first(&t->waiting)) != NULL) {
        struct conn *c = LIST_ITEM(first, struct conn, link);
        if (loop_now(t->loop) - c->queued <= t->cfg.writer_wait_ms)
            break;
        log_dropped(t, c, "all places of -memberlist.max-concurrent-writes are taken");
        t->waiting_count--;
        conn_free(c);
    }
    send_waiting(t);
}

void transport_send(struct transport *t, const struct gossip_addr *to, struct buf *bytes)
{
    struct conn *c = conn_new(t, OUT_PACKET, to);
    if (c == NULL) {
        t->stats.packets_dropped++;
        buf_reset(bytes);
        return;
    }
    size_t addr = strlen(t->self);
    uint8_t digest[MD5_SIZE];
    digest_md5(buf_view(bytes), digest);
    buf_u8(&c->bytes, FIRST_PACKET);
    buf_u8(&c->bytes, (uint8_t)addr);
    buf_put(&c->bytes, t->self, addr);
    buf_str(&c->bytes, buf_view(bytes));
    buf_put(&c->bytes, digest, sizeof digest);
    c->payload = bytes->size;
    buf_reset(bytes);
    if (c->bytes.error != 0 || t->waiting_count >= QUEUE_MAX) {
        log_dropped(t, c, c->bytes.error != 0 ? "out of memory" : "too many are waiting");
        conn_free(c);
        return;
    }
    list_push_back(&t->waiting, &c->link);
    t->waiting_count++;
    send_waiting(t);
}

size_t transport_unsent(const struct transport *t)
{
    return t->waiting_count + t->writing;
}

/* --- streams of ours ------------------------------------------------------------------------ */

static void on_out_connected(struct tcp_conn *tcp, void *arg)
{
    struct conn *c = arg;
    (void)tcp;
    if (c->stream != 0)
        c->t->events->on_connect(c->t->arg, c->stream);
}

static void on_out_read(struct tcp_conn *tcp, struct str bytes, void *arg)
{
    struct conn *c = arg;
    (void)tcp;
    c->t->stats.received_bytes += bytes.len;
    if (c->stream != 0)
        c->t->events->on_bytes(c->t->arg, c->stream, bytes);
}

static void on_out_eof(struct tcp_conn *tcp, void *arg)
{
    struct conn *c = arg;
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
    on_in_end(tcp, code, arg);
}

static const struct tcp_events out_events = {.on_connected = on_out_connected,
                                             .on_read = on_out_read,
                                             .on_eof = on_out_eof,
                                             .on_end = on_out_end};

void transport_open(struct transport *t, uint32_t stream, const struct gossip_addr *to,
                    struct buf *bytes)
{
    static const char first = FIRST_STREAM;
    struct addr where = to_net(to);
    struct conn *c = conn_new(t, OUT_STREAM, to);
    t->stats.outgoing_streams++;
    if (c == NULL || tcp_connect(&c->tcp, t->loop, &where, t->cfg.stream_timeout_ms, &out_events,
                                 c) != 0) {
        t->stats.outgoing_stream_errors++;
        buf_reset(bytes);
        mem_free(c);
        t->events->on_end(t->arg, stream, c == NULL ? ERR_NOMEM : ERR_IO);
        return;
    }
    c->stream = stream;
    list_push_back(&t->conns, &c->link);
    if (tcp_write(c->tcp, str_of(&first, 1), NULL, NULL) != 0 || !write_taking(c, bytes)) {
        buf_reset(bytes);
        tcp_close(c->tcp); /* its end is reported */
    }
}

void transport_write(struct transport *t, uint32_t stream, struct buf *bytes)
{
    struct conn *c = conn_by_stream(t, stream);
    if (c == NULL)
        buf_reset(bytes);
    else if (!write_taking(c, bytes))
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

const struct transport_stats *transport_stats(const struct transport *t)
{
    return &t->stats;
}
