/* gossip/memberlist_priv.h - what the files of the machine share: memberlist.c (time, outbox),
 * memberlist_packet.c (packets, probes), memberlist_stream.c (push/pull). */
#ifndef GOSSIP_MEMBERLIST_PRIV_H
#define GOSSIP_MEMBERLIST_PRIV_H

#include "base/list.h"
#include "gossip/memberlist.h"

enum {
    STREAMS_IN_MAX = 128,           /* push/pulls from others at a time, as in memberlist */
    STREAM_BYTES_MAX = 64 << 20,    /* one stream's input */
    STREAM_BYTES_TOTAL = 160 << 20, /* all streams' input */
    STREAM_NODES_MAX = 1 << 20,     /* members in one push/pull */
    STREAM_ITEM_MAX = 64 << 10,     /* bytes of one header or member in a push/pull */
    RELAYS_MAX = 1024,              /* indirect pings that wait for their ack */
};

/* How far the reading of a stream is. */
enum stream_stage { ST_LABEL, ST_FRAME, ST_HEADER, ST_NODES, ST_USER, ST_OVER };

struct stream {
    struct list link;
    uint32_t id;
    bool ours; /* we opened it */
    bool join;
    bool whole; /* all input is here: it was one compressed frame */
    uint64_t tag; /* of a join */
    struct gossip_addr peer;
    mono_ms deadline;
    enum stream_stage stage;
    struct buf in;
    size_t at;            /* bytes of `in` that are read */
    size_t nodes_at;      /* where the members start */
    int64_t nodes, nodes_left, user_bytes;
};

/* An indirect ping that we carry out. */
struct relay {
    struct list link;
    uint32_t seq;       /* of our ping */
    uint32_t asked_seq; /* of the request */
    struct gossip_addr to;
    bool nack;
    mono_ms due;
};

/* The one probe that runs. */
struct probe {
    bool running, asked_others;
    uint32_t seq;
    struct gossip_addr addr;
    struct str name; /* data owned */
    uint32_t incarnation;
    mono_ms ask_due, due;
    uint32_t nacks_expected, nacks;
};

struct action_item {
    struct list link;
    struct memberlist_action act;
};

struct memberlist {
    struct memberlist_config cfg;
    struct memberlist_delegate delegate;
    struct rng *rng;
    const struct log *log;
    struct bcast *queue;
    struct members *members;
    char *label; /* owned; cfg.label points here */
    struct list actions;
    struct list streams;
    size_t streams_in, stream_bytes;
    uint32_t last_stream, last_seq;
    struct list relays;
    size_t relay_count;
    struct probe probe;
    size_t probe_at;
    mono_ms next_gossip, next_probe, next_pushpull;
    mono_ms now;
    uint64_t leave_id; /* broadcast of our leaving */
    struct log_rate label_rate, version_rate, bad_rate;
    struct memberlist_stats stats;
};

/* Queue an action; *a's bytes are taken in any case. ERR_NOMEM. */
int ml_act(struct memberlist *ml, struct memberlist_action *a);

/* Send one message to `to`, with broadcasts piggybacked. `peer` may be NULL. */
void ml_send(struct memberlist *ml, const struct gossip_addr *to, const struct member *peer,
             struct buf *msg);

/* Gossip to random members. */
void ml_gossip(struct memberlist *ml);

/* Probing: begin the next one, go on with the running one, give up on relays. */
void ml_probe_next(struct memberlist *ml);
void ml_probe_tick(struct memberlist *ml);
mono_ms ml_probe_due(const struct memberlist *ml);

/* Start a push/pull. ERR_NOMEM. */
int ml_exchange(struct memberlist *ml, const struct gossip_addr *to, bool join, uint64_t tag);
void ml_streams_tick(struct memberlist *ml);
mono_ms ml_streams_due(const struct memberlist *ml);

#endif
