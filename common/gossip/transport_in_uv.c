/* gossip/transport_in_uv.c - connections that come in: what they are, packets, others' streams. */
#include <string.h>

#include "base/mem.h"
#include "gossip/digest.h"
#include "gossip/transport_uv_priv.h"
#include "net/loop.h"

/* --- limits ---------------------------------------------------------------------------------- */

/* Close a connection that has to give way. Its place and memory are free at once. */
static void evict(struct conn *c, const char *why)
{
    c->t->stats.connections_refused++;
    transport_warn(c->t, &c->peer, why, NULL);
    if (c->kind == IN_PACKET)
        c->t->stats.packets_received_errors++;
    inbound_leave(c->t->inbound, &c->seat);
    buf_reset(&c->bytes);
    if (c->kind != IN_STREAM)
        c->kind = IN_OTHER;
    tcp_close(c->tcp);
}

/* Counted from the beginning: bytes that trickle do not move it. */
static void set_deadline(struct conn *c, mono_ms after_ms)
{
    tcp_set_deadline(c->tcp, c->queued + after_ms);
}

/* --- the first byte -------------------------------------------------------------------------- */

static const char *name_foreign(const struct conn *c, uint8_t first)
{
    bool tls = c->t->tls.tls != NULL;
    if (first >= 'A' && first <= 'Z')
        return "an HTTP request on the gossip port; is another's address set to "
               "-memberlist.bind-port?";
    if (!tls && first == TLS_FIRST_BYTE)
        return "TLS on a gossip port without: set -memberlist.tls-enabled on both sides or on "
               "neither";
    if (tls && !c->secured && (first == FIRST_PACKET || first == FIRST_STREAM))
        return "plain gossip on a port with TLS: set -memberlist.tls-enabled on both sides or on "
               "neither";
    return "a foreign protocol on the gossip port";
}

/* Neither packet nor stream. A person or a probe that speaks HTTP gets an answer. */
static void on_foreign(struct conn *c, uint8_t first)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                                 "Content-Length: 50\r\nConnection: close\r\n\r\n"
                                 "This is the gossip port, it does not answer HTTP.\n";
    bool ours = first == FIRST_PACKET || first == FIRST_STREAM;
    c->kind = IN_OTHER;
    c->t->stats.unknown_connections++;
    c->t->stats.plain_mismatches += !c->secured && (ours || first == TLS_FIRST_BYTE);
    transport_warn(c->t, &c->peer, name_foreign(c, first), NULL);
    if (first >= 'A' && first <= 'Z') {
        c->t->stats.http_connections++;
        (void)tcp_write(c->tcp, str_of(answer, sizeof answer - 1), NULL, NULL);
    }
    tcp_close_after_writes(c->tcp);
}

/* The first byte of TLS: have it spoken. */
static void on_hello(struct conn *c, struct str bytes)
{
    struct transport *t = c->t;
    if (!inbound_shake(t->inbound, &c->seat)) {
        evict(c, "a peer has too many TLS handshakes under way");
        return;
    }
    c->secured = true;
    if (tcp_start_tls(c->tcp, &t->tls, TLS_SERVER, STR(""), bytes) != 0)
        tcp_close(c->tcp);
}

/* The first byte says what it is. False: nothing more is to be read. */
static bool on_first(struct conn *c, uint8_t first)
{
    struct transport *t = c->t;
    bool plain = t->tls.tls != NULL && !c->secured;
    if (plain || (first != FIRST_PACKET && first != FIRST_STREAM)) {
        on_foreign(c, first);
        return false;
    }
    inbound_settle(t->inbound, &c->seat);
    if (first == FIRST_PACKET) {
        c->kind = IN_PACKET;
        set_deadline(c, c->t->cfg.packet_ms);
        return true;
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

static void on_packet_bytes(struct conn *c, struct str bytes)
{
    size_t size = c->bytes.size + bytes.len;
    if (size > PACKET_MAX) {
        evict(c, "a packet is larger than 16 MiB");
        return;
    }
    struct inbound_seat *hog = inbound_hold(c->t->inbound, &c->seat, size);
    if (hog != NULL) {
        struct conn *other = LIST_ITEM(hog, struct conn, seat);
        evict(other, "too many bytes of packets that are half in; the largest was dropped");
        if (other == c)
            return;
    }
    buf_str(&c->bytes, bytes);
    if (c->bytes.error != 0)
        tcp_close(c->tcp);
}

static void on_in_read(struct tcp_conn *tcp, struct str bytes, void *arg)
{
    struct conn *c = arg;
    struct transport *t = c->t;
    (void)tcp;
    t->stats.received_bytes += bytes.len;
    if (c->kind == IN_NEW) {
        uint8_t first = (uint8_t)bytes.data[0];
        if (t->tls.tls != NULL && !c->secured && first == TLS_FIRST_BYTE) {
            on_hello(c, bytes);
            return;
        }
        if (!on_first(c, first))
            return;
        bytes = str_skip(bytes, 1);
    }
    if (bytes.len == 0)
        return;
    if (c->kind == IN_PACKET)
        on_packet_bytes(c, bytes);
    else if (c->kind == IN_STREAM && c->stream != 0)
        t->events->on_bytes(t->arg, c->stream, bytes);
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

void transport_stream_end(struct tcp_conn *tcp, int code, void *arg)
{
    struct conn *c = arg;
    struct transport *t = c->t;
    uint32_t stream = c->stream;
    (void)tcp;
    transport_conn_free(c);
    if (stream != 0)
        t->events->on_end(t->arg, stream, code != 0 ? code : ERR_CLOSED);
}

static void on_in_end(struct tcp_conn *tcp, int code, void *arg)
{
    struct conn *c = arg;
    struct transport *t = c->t;
    if (code == ERR_TIMEOUT && (c->kind == IN_NEW || c->kind == IN_PACKET)) {
        t->stats.connections_timeout++;
        transport_warn(t, &c->peer,
                       c->kind == IN_PACKET ? "a packet did not come in whole in time"
                                            : "a connection did not say in time what it wants",
                       NULL);
    }
    if (code == ERR_DENIED && !tcp_tls_is_up(tcp))
        transport_warn(t, &c->peer, "TLS with a peer that connected has failed",
                       tcp_tls_error(tcp));
    transport_stream_end(tcp, code, arg);
}

static const struct tcp_events in_events = {
    .on_read = on_in_read, .on_eof = on_in_eof, .on_end = on_in_end};

void transport_on_accept(void *arg, struct tcp_conn *tcp)
{
    struct transport *t = arg;
    struct addr peer = tcp_peer(tcp);
    struct gossip_addr from = gossip_addr_of_net(&peer);
    struct conn *c = transport_conn_new(t, IN_NEW, &from);
    if (c == NULL || inbound_enter(t->inbound, &from, &c->seat) != 0) {
        t->stats.connections_refused++;
        mem_free(c);
        return; /* unset events: it is closed */
    }
    c->tcp = tcp;
    list_push_back(&t->conns, &c->link);
    tcp_set_user(tcp, &in_events, c);
    set_deadline(c, t->cfg.first_ms);
    struct inbound_seat *surplus = inbound_surplus(t->inbound);
    if (surplus != NULL)
        evict(LIST_ITEM(surplus, struct conn, seat),
              "too many connections; the oldest of the peer with most of them was closed");
}
