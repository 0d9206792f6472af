/* gossip/transport_uv_priv.h - what the files of the transport share: transport_uv.c (making,
 * streams of ours), transport_in_uv.c (what comes in), transport_out_uv.c (packets that go out). */
#ifndef GOSSIP_TRANSPORT_UV_PRIV_H
#define GOSSIP_TRANSPORT_UV_PRIV_H

#include "base/list.h"
#include "base/log.h"
#include "gossip/inbound.h"
#include "gossip/quiet.h"
#include "gossip/transport_uv.h"
#include "net/tcp.h"

struct conn_out;

enum {
    FIRST_PACKET = 1,
    FIRST_STREAM = 2,
    LISTENERS_MAX = 16,
    CONNS_MAX = 1024,
    SHAKES_PER_PEER = 64,       /* TLS handshakes that one address has under way */
    SHAKES_WAITING_MAX = 2048,  /* for a thread; more than there are connections */
    SHAKE_THREADS = 2,
    STREAMS_OUT_MAX = 256,      /* of ours */
    PACKET_MAX = 16 << 20,      /* bytes of one packet that comes in; dskit sends up to 10 MiB */
    HELD_MAX = 256 << 20,       /* bytes of all packets that are half in */
    QUEUE_MAX = 4096,           /* packets waiting for a place */
    REMARKS_MAX = 16,           /* addresses whose silence is explained */
    REMARK_SIZE = 256,
    FIRST_MS = 5000,
    READ_MS = 15000,
};

enum kind { IN_NEW, IN_PACKET, IN_STREAM, IN_OTHER, OUT_PACKET, OUT_STREAM };

struct conn {
    struct list link;
    struct transport *t;
    enum kind kind;
    struct tcp_conn *tcp; /* NULL: a packet that waits */
    uint32_t stream;      /* 0: none, or not ours to report any more */
    struct gossip_addr peer;
    struct inbound_seat seat; /* of what comes in */
    struct buf bytes;     /* what came in of a packet; an outgoing one that waits */
    struct conn_out *out; /* an outgoing packet on its way */
    size_t payload, size; /* bytes of an outgoing packet, without and with its frame */
    bool secured;     /* TLS is spoken, or was begun */
    bool connected;   /* an outgoing stream that stands */
    bool answered;    /* something came back */
    bool sent;        /* all is with the kernel */
    mono_ms queued;   /* since when it exists */
};

/* Why an address that was dialled does not answer, as far as that is known. */
struct remark {
    struct gossip_addr peer;
    char text[REMARK_SIZE]; /* "": the place is free */
};

struct transport {
    struct loop *loop;
    struct transport_config cfg;
    const struct transport_events *events;
    void *arg;
    const struct log *log;
    struct tcp_tls tls; /* .tls NULL: plain text */
    struct tcp_listener *listeners[LISTENERS_MAX];
    size_t listener_count;
    char self[GOSSIP_ADDR_TEXT_MAX];
    struct inbound *inbound;
    struct list conns;   /* with a socket, but for: */
    struct list writing; /* packets with one */
    struct list waiting; /* packets without one, oldest first */
    size_t waiting_count, writing_count, streams_out;
    struct transport_stats stats;
    struct log_rate drop_rate;
    struct quiet quiet;
    struct remark remarks[REMARKS_MAX];
    size_t remark_next;
    uint64_t remark_changes;
};

/* A connection in no list. NULL: no memory. */
struct conn *transport_conn_new(struct transport *t, enum kind kind,
                                const struct gossip_addr *peer);
void transport_conn_free(struct conn *c);

/* Write bytes, which are taken. False: no memory, or the connection is over. */
bool transport_write_taking(struct conn *c, struct buf *bytes);

/* Connect to c->peer, with TLS where it is asked for. 0, or nothing will be called back. */
int transport_dial(struct conn *c, uint32_t timeout_ms, const struct tcp_events *events);

/* A line about a peer, unless there was one a while ago (gossip/quiet.h); `what` is static and
 * names the cause, detail (may be NULL) is a field "err". */
void transport_warn(struct transport *t, const struct gossip_addr *peer, const char *what,
                    const char *detail);

/* An outgoing connection has ended: say so if TLS was the reason. */
void transport_tell_end(struct conn *c, int code);

/* The first bytes that came back on an outgoing connection: not TLS, where we speak plain text? */
void transport_check_answer(struct conn *c, struct str bytes);

/* A listener's function: arg is the transport. */
void transport_on_accept(void *arg, struct tcp_conn *tcp);

/* As tcp_events.on_end for connections that carry a stream; frees the conn. */
void transport_stream_end(struct tcp_conn *tcp, int code, void *arg);

/* Have packets that wait take places that are free. */
void transport_send_waiting(struct transport *t);

#endif
