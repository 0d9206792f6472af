/* gossip/memberlist.h - one member of a memberlist cluster as a pure machine: packets, stream
 * bytes and the time go in; packets and streams to send come out of an outbox.
 *
 * Gossip, push/pull, probing with indirect probes, suspicion, leave. What a cluster carries above
 * membership (dskit's key-value store) hangs on a delegate, what a packet or stream is on the
 * driver. Follows hashicorp/memberlist net.go, state.go, memberlist.go at protocol 2 to 5.
 * One owner thread. Tests: tests/unit/gossip/test_memberlist.c, tests/sim/sim_gossip.c; fuzz:
 * tests/fuzz/fuzz_packet.c, fuzz_stream.c. */
#ifndef GOSSIP_MEMBERLIST_H
#define GOSSIP_MEMBERLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "gossip/addr.h"
#include "gossip/broadcast.h"
#include "gossip/members.h"
#include "gossip/packet.h"

struct log;
struct memberlist;

/* Durations in milliseconds, sizes in bytes. Texts are copied. */
struct memberlist_config {
    struct str name;
    struct gossip_addr addr; /* announced */
    uint16_t default_port;
    struct str label; /* of the cluster; "" for none */
    bool any_label;   /* accept every label */
    struct str meta;  /* announced about us */
    uint8_t vsn[MEMBER_VSN_SIZE]; /* announced; all 0: memberlist's own of today */
    enum packet_compression compression;
    bool stream_pings; /* a probe without an answer is tried over a stream too */
    uint32_t gossip_interval_ms, gossip_nodes;
    uint32_t pushpull_interval_ms; /* 0: never */
    uint32_t probe_interval_ms;    /* 0: never probe */
    uint32_t probe_timeout_ms;
    uint32_t indirect_checks;
    uint32_t suspicion_mult, suspicion_max_mult;
    uint32_t awareness_max;
    uint32_t retransmit_mult;
    uint32_t dead_gossip_ms, reclaim_ms;
    bool rename; /* take another name when ours is somebody else's; see members_on_namesake() */
    uint32_t stream_timeout_ms;
    size_t packet_bytes; /* most bytes of a packet */
    size_t members_max;
};

/* memberlist's sets for a local network, for long distances and for one host; what dskit sets (LAN
 * values, 5 s probes, packets of 10 MiB); what Alertmanager does. Name, addr, label: empty. */
struct memberlist_config memberlist_config_lan(void);
struct memberlist_config memberlist_config_wan(void);
struct memberlist_config memberlist_config_local(void);
struct memberlist_config memberlist_config_dskit(void);
struct memberlist_config memberlist_config_alertmanager(void);

/* What rides on the membership. Called from inside the machine; must not call it back. */
struct memberlist_delegate {
    void *arg;
    /* A user message; borrowed. */
    void (*on_message)(void *arg, struct str msg);
    /* Append the whole state for a push/pull. */
    void (*put_state)(void *arg, struct buf *out);
    /* The peer's whole state, never empty; borrowed. */
    void (*on_state)(void *arg, struct str state);
    /* As bcast_take() over the delegate's own queues, `members` for the transmit limit. */
    size_t (*take)(void *arg, size_t budget, size_t overhead, size_t members, bcast_fn fn,
                   void *fn_arg);
    /* Messages that take() has to hand out; NULL: always some. While nothing is to be told, gossip
     * needs no ticks. */
    size_t (*queued)(void *arg);
};

/* Encryption, which dskit never uses. `aad` is authenticated along. All fields 0: none. */
struct memberlist_seal {
    void *arg;
    size_t overhead; /* bytes that sealing adds, at most */
    /* Append the sealed or the opened bytes. 0, ERR_DENIED (no key fits), ERR_NOMEM. */
    int (*seal)(void *arg, struct str plain, struct str aad, struct buf *out);
    int (*open)(void *arg, struct str sealed, struct str aad, struct buf *out);
    bool plain_in;  /* accept what is not sealed, too */
    bool plain_out; /* send without sealing */
};

enum memberlist_verb {
    ML_PACKET,       /* send `bytes` as one packet to `to` */
    ML_STREAM_OPEN,  /* connect to `to`, send `bytes`; from then on it is stream `stream` */
    ML_STREAM_WRITE, /* send `bytes` on `stream` */
    ML_STREAM_CLOSE, /* end `stream` when all is sent; nothing more about it is expected */
    ML_JOINED,       /* the join with `tag` is over: code 0 or an ERR_ */
};

/* One thing for the driver to do. */
struct memberlist_action {
    enum memberlist_verb verb;
    struct gossip_addr to;
    uint32_t stream;
    uint64_t tag;
    int code;
    struct buf bytes;
};

/* What carries packets and streams: dskit's TCP transport, UDP and TCP, a simulated network. What
 * comes in goes to memberlist_on_...(). All with `arg`; `bytes` may be taken. */
struct memberlist_transport {
    void *arg;
    void (*packet)(void *arg, const struct gossip_addr *to, struct buf *bytes);
    void (*open)(void *arg, uint32_t stream, const struct gossip_addr *to, struct buf *bytes);
    void (*write)(void *arg, uint32_t stream, struct buf *bytes);
    void (*close)(void *arg, uint32_t stream);
};

/* Carry out an action (ML_JOINED is none) and release its bytes. */
void memberlist_perform(const struct memberlist_transport *t, struct memberlist_action *a);

/* Counted since the start. */
struct memberlist_stats {
    uint64_t packets_bad;           /* broken frames and messages */
    uint64_t packets_foreign;       /* another cluster's label */
    uint64_t packets_unlabelled;    /* no label, while we have one */
    uint64_t packets_unknown;       /* message types nobody speaks */
    uint64_t packets_misdirected;   /* pings that mean another member at our address */
    uint64_t streams_bad, streams_refused, streams_timeout;
    uint64_t streams_foreign;       /* with another label, or none */
    uint64_t streams_unanswered;    /* ours, closed without a word: typical of another label */
    uint64_t streams_ok;            /* push/pulls merged */
    uint64_t merge_refused;         /* protocol versions do not fit */
    uint64_t unreachable;           /* times that others seemed unable to reach us */
    uint64_t probes, probes_failed;
    uint64_t stream_pings_ok;       /* members that answered on a stream, but not to packets */
    uint64_t dropped_nomem;         /* things not sent or taken for lack of memory */
    uint64_t dropped_full;          /* packets not sent since too many were to be sent at once */
};

/* A member that knows only itself. rng, delegate (copied) and log must outlive it.
 * ERR_INVAL, ERR_NOMEM with *out untouched. */
int memberlist_init(struct memberlist **out, const struct memberlist_config *config,
                    const struct memberlist_delegate *delegate, struct rng *rng,
                    const struct log *log, mono_ms now, struct err *err);
void memberlist_free(struct memberlist **ml); /* NULL-safe; leaves *ml NULL */

/* Encrypt from now on (copied; what it points to must outlive the machine). Before anything was
 * sent. */
void memberlist_set_seal(struct memberlist *ml, const struct memberlist_seal *seal);

/* Announce other metadata about us. ERR_INVAL, ERR_NOMEM. */
int memberlist_set_meta(struct memberlist *ml, struct str meta, mono_ms now);

/* Do what the time demands. `now` never goes back, here and below. */
void memberlist_tick(struct memberlist *ml, mono_ms now);

/* When memberlist_tick() has something to do. */
mono_ms memberlist_due(const struct memberlist *ml);

/* A packet came. `from` is where its sender says that it can be reached. */
void memberlist_on_packet(struct memberlist *ml, const struct gossip_addr *from,
                          struct str bytes, mono_ms now);

/* A peer opened a stream: its number, or 0 when it is to be refused (too many, no memory). When
 * there are too many it gets the place of the peer's with most, unless it is that itself. */
uint32_t memberlist_on_accept(struct memberlist *ml, const struct gossip_addr *from, mono_ms now);

/* Our stream is connected; bytes came on a stream; the stream has ended or failed (`code`, 0 for
 * the peer's end of file). Streams that the machine does not know any more are ignored. */
void memberlist_on_connect(struct memberlist *ml, uint32_t stream, mono_ms now);
void memberlist_on_bytes(struct memberlist *ml, uint32_t stream, struct str bytes, mono_ms now);
void memberlist_on_end(struct memberlist *ml, uint32_t stream, int code, mono_ms now);

/* Exchange state with whoever is at `to`; ML_JOINED with `tag` tells how it went. ERR_NOMEM: it
 * will not. */
int memberlist_join(struct memberlist *ml, const struct gossip_addr *to, uint64_t tag,
                    mono_ms now);

/* Leave: the others are told with the next gossip; ticks go on. ERR_NOMEM: try again. */
int memberlist_leave(struct memberlist *ml, mono_ms now);

/* True when the leaving has been told often enough, or there is nobody to tell. */
bool memberlist_has_left(const struct memberlist *ml);

/* Pop the oldest action; false: none. *out is the caller's: buf_reset(&out->bytes). */
bool memberlist_next(struct memberlist *ml, struct memberlist_action *out);

/* The table and the counters, for reading; live as long as the machine. */
const struct members *memberlist_members(const struct memberlist *ml);
const struct memberlist_stats *memberlist_stats(const struct memberlist *ml);

/* Membership messages waiting to be told. */
size_t memberlist_queued(const struct memberlist *ml);

#endif
