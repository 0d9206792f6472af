/* gossip/transport_uv.h - dskit's transport: every packet and every stream is a TCP connection of
 * its own to the peer's gossip port, with TLS where it is asked for.
 *
 * First byte 1: a packet (sender's address as text, payload, MD5 of the payload, end of file);
 * 2: a memberlist stream. Follows grafana/dskit kv/memberlist/tcp_transport.go. Connections,
 * bytes held, handshakes and waiting packets are bounded, fairly among peers (gossip/inbound.h);
 * what comes in has an absolute deadline for its first byte and for its whole; a packet that
 * cannot be sent in time is dropped, as there. Each limit has a counter and a line of the log,
 * which is not repeated for a peer (gossip/quiet.h).
 * Driver: one loop's thread. Tests: tests/unit/gossip/test_gossip_uv.c, test_transport_uv.c. */
#ifndef GOSSIP_TRANSPORT_UV_H
#define GOSSIP_TRANSPORT_UV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "gossip/addr.h"

struct log;
struct loop;
struct tls_config;
struct transport;

/* What comes in; all with `arg`, on the loop's thread. */
struct transport_events {
    void (*on_packet)(void *arg, const struct gossip_addr *from, struct str bytes);
    /* A peer opened a stream: its number, or 0 to refuse it. */
    uint32_t (*on_accept)(void *arg, const struct gossip_addr *from);
    void (*on_connect)(void *arg, uint32_t stream);
    void (*on_bytes)(void *arg, uint32_t stream, struct str bytes);
    /* The peer will send no more (code 0), or the stream has failed. */
    void (*on_end)(void *arg, uint32_t stream, int code);
};

struct transport_config {
    uint32_t packet_dial_ms, packet_write_ms;
    uint32_t stream_timeout_ms;
    uint32_t writers_max;    /* packets on their way at a time; 0 counts as 1 */
    uint32_t writer_wait_ms; /* longest wait for such a place */
    uint32_t conns_max;      /* accepted connections at a time; 0: 1024 */
    uint32_t first_ms;       /* what comes in says what it is in this time; 0: 5 s */
    uint32_t packet_ms;      /* a packet comes in whole in this time, or not at all; 0: 15 s */
    const struct tls_config *tls; /* NULL: plain text; its texts outlive the transport */
};

struct transport_stats {
    uint64_t incoming_streams, outgoing_streams, outgoing_stream_errors;
    uint64_t packets_received, packets_received_bytes, packets_received_errors;
    uint64_t packets_sent, packets_sent_bytes, packets_sent_errors, packets_dropped;
    uint64_t unknown_connections, http_connections;
    uint64_t sent_bytes, received_bytes;
    uint64_t connections_refused;  /* closed for lack of a place, theirs or a newcomer's */
    uint64_t connections_timeout;  /* came in and did not say in time what they want */
    uint64_t plain_mismatches;     /* TLS met plain text, on either side */
    uint64_t tls_handshakes, tls_resumed, tls_errors;
    uint64_t tls_reloads, tls_reload_errors; /* of the files */
    uint64_t connections; /* accepted ones that are open now */
};

/* Nothing listens yet. events is borrowed (static). ERR_NOMEM; with TLS also what tls_init() has,
 * and ERR_INVAL when there is no certificate. */
int transport_init(struct transport **out, struct loop *loop,
                   const struct transport_config *config, const struct transport_events *events,
                   void *arg, const struct log *log, struct err *err);

/* Close everything; nothing is called back any more. NULL-safe; leaves *t NULL. The loop must
 * turn once more before it is freed. */
void transport_free(struct transport **t);

/* Listen on ip:port; port 0: the kernel chooses and *port is set. May be called several times.
 * ERR_EXIST, ERR_INVAL, ERR_IO, ERR_NOMEM. */
int transport_listen(struct transport *t, const struct gossip_addr *ip, uint16_t *port,
                     struct err *err);

/* What packets name as their sender. */
void transport_set_self(struct transport *t, const struct gossip_addr *self);

/* Send a packet; takes the bytes. It may be dropped, now or later. */
void transport_send(struct transport *t, const struct gossip_addr *to, struct buf *bytes);

/* Open stream `stream`, sending bytes (taken) first. on_end follows when it cannot be. */
void transport_open(struct transport *t, uint32_t stream, const struct gossip_addr *to,
                    struct buf *bytes);

/* Send more on a stream; takes the bytes. Unknown streams are ignored here and below. */
void transport_write(struct transport *t, uint32_t stream, struct buf *bytes);

/* End a stream when all is sent; on_end does not follow. */
void transport_close(struct transport *t, uint32_t stream);

/* Give up on packets that waited too long; look whether certificates have changed. Call now and
 * then. */
void transport_tick(struct transport *t);

/* Packets that are not sent yet. */
size_t transport_unsent(const struct transport *t);

/* Counted since the start. */
const struct transport_stats *transport_stats(struct transport *t);

/* Why the last dialling of an address led to nothing although somebody is there; NULL: not known.
 * Borrowed until the loop turns. The changes grow with what is said of any address. */
const char *transport_remark(const struct transport *t, const struct gossip_addr *peer);
uint64_t transport_remark_changes(const struct transport *t);

#endif
