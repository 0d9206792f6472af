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
    enum packet_compression compression;
    uint32_t gossip_interval_ms, gossip_nodes;
    uint32_t pushpull_interval_ms; /* 0: never */
    uint32_t probe_interval_ms;    /* 0: never probe */
    uint32_t probe_timeout_ms;
    uint32_t indirect_checks;
    uint32_t suspicion_mult, suspicion_max_mult;
    uint32_t awareness_max;
    uint32_t retransmit_mult;
    uint32_t dead_gossip_ms, reclaim_ms;
    uint32_t stream_timeout_ms;
    size_t packet_bytes; /* most bytes of a packet */
    size_t members_max;
};

/* What dskit sets by default: LAN values, 5 s probes, packets of 10 MiB. Name, addr: empty. */
struct memberlist_config memberlist_config_dskit(void);

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

struct memberlist_stats {
    uint64_t packets_bad, packets_foreign; /* broken frames; another cluster's label */
    uint64_t packets_unknown;              /* message types nobody speaks */
    uint64_t streams_bad, streams_refused, streams_timeout;
    uint64_t streams_ok; /* push/pulls merged */
    uint64_t merge_refused; /* protocol versions do not fit */
    uint64_t probes, probes_failed;
    uint64_t dropped_nomem; /* things not sent or taken for lack of memory */
};

/* A member that knows only itself. rng, delegate (copied) and log must outlive it.
 * ERR_INVAL, ERR_NOMEM with *out untouched. */
int memberlist_init(struct memberlist **out, const struct memberlist_config *config,
                    const struct memberlist_delegate *delegate, struct rng *rng,
                    const struct log *log, mono_ms now, struct err *err);
void memberlist_free(struct memberlist **ml); /* NULL-safe; leaves *ml NULL */

/* Do what the time demands. `now` never goes back, here and below. */
void memberlist_tick(struct memberlist *ml, mono_ms now);

/* When memberlist_tick() has something to do. */
mono_ms memberlist_due(const struct memberlist *ml);

/* A packet came. `from` is where its sender says that it can be reached. */
void memberlist_on_packet(struct memberlist *ml, const struct gossip_addr *from,
                          struct str bytes, mono_ms now);

/* A peer opened a stream: its number, or 0 when it is to be refused (too many, no memory). */
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
