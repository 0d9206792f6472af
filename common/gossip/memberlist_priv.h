/* gossip/memberlist_priv.h - what the files of the machine share: memberlist.c (time, outbox),
 * memberlist_packet.c (packets), memberlist_probe.c (probes), memberlist_stream.c (streams),
 * memberlist_merge.c (push/pull), memberlist_diag.c (what the log says of foreign peers). */
#ifndef GOSSIP_MEMBERLIST_PRIV_H
#define GOSSIP_MEMBERLIST_PRIV_H

#include "base/list.h"
#include "gossip/memberlist.h"
#include "gossip/quiet.h"

enum {
    STREAMS_IN_MAX = 127,           /* push/pulls from others at a time, as in memberlist */
    STREAM_BYTES_MAX = 64 << 20,    /* one stream's input */
    STREAM_BYTES_TOTAL = 160 << 20, /* all streams' input */
    STREAM_NODES_MAX = 1 << 20,     /* members in one push/pull */
    STREAM_ITEM_MAX = 64 << 10,     /* bytes of one header or member in a push/pull */
    ACTIONS_MAX = 4096,             /* packets to be sent at a time: one that came may ask for
                                       millions of answers */
    RELAYS_MAX = 1024,              /* indirect pings that wait for their ack */
    SEALED_MAX = 20 << 20,          /* an encrypted stream frame, as in memberlist */
};

/* How far the reading of a stream is. */
enum stream_stage { ST_LABEL, ST_FRAME, ST_HEADER, ST_NODES, ST_USER, ST_OVER };

struct stream {
    struct list link;
    uint32_t id;
    bool ours; /* we opened it */
    bool join;
    bool ping; /* a probe's, not a push/pull */
    uint32_t seq;
    bool opened; /* what was sealed is open now */
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
    bool by_stream; /* it answered there */
    uint32_t seq;
    struct gossip_addr addr;
    struct str name; /* data owned */
    uint32_t incarnation;
    uint8_t vsn_max; /* the target's */
    mono_ms start, ask_due, due;
    uint32_t nacks_expected, nacks;
};

/* Whether others can reach us, from what can be seen here. */
struct reach {
    uint32_t failed;           /* probes without an answer, in a row */
    mono_ms failed_since;      /* start of the first of them */
    mono_ms last_in, last_out; /* a packet or stream came; a push/pull of ours succeeded */
    uint64_t acks;
    uint64_t refuted;          /* of members_stats, as seen last */
    uint32_t refutes;          /* in this window */
    mono_ms window;            /* its start */
    uint64_t window_acks;
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
    size_t action_count;
    struct list streams;
    size_t streams_in, stream_bytes;
    uint32_t last_stream, last_seq;
    struct list relays;
    size_t relay_count;
    struct probe probe;
    size_t probe_at;
    mono_ms next_gossip, next_probe, next_pushpull;
    bool idle; /* nothing was to be told at the last tick */
    mono_ms now;
    uint64_t leave_id; /* broadcast of our leaving */
    struct memberlist_seal seal; /* .seal NULL: none */
    struct reach reach;
    struct quiet quiet;
    struct memberlist_stats stats;
};

/* Queue an action; *a's bytes are taken in any case. ERR_NOMEM. */
int ml_act(struct memberlist *ml, struct memberlist_action *a);

/* Send one message to `to`, with broadcasts piggybacked. `peer` may be NULL. */
void ml_send(struct memberlist *ml, const struct gossip_addr *to, const struct member *peer,
             struct buf *msg);

/* Gossip to random members. */
void ml_gossip(struct memberlist *ml);

/* One frame of a stream, sealed if we seal. */
void ml_put_frame(struct memberlist *ml, struct buf *out, struct str plain);

/* Append our whole state as a push/pull frame; merge a peer's, complete in s. 0 or ERR_. */
void ml_put_state(struct memberlist *ml, struct buf *out, bool join);
int ml_merge(struct memberlist *ml, struct stream *s);

/* Ping over a stream. */
void ml_stream_ping(struct memberlist *ml, const struct gossip_addr *to, uint32_t seq,
                    struct str name, mono_ms due);

/* Messages of probes that came in. 0, or why not. */
struct mp_reader;
int ml_on_ping(struct memberlist *ml, const struct gossip_addr *from, struct mp_reader *r);
int ml_on_indirect_ping(struct memberlist *ml, const struct gossip_addr *from,
                        struct mp_reader *r);
int ml_on_ack(struct memberlist *ml, struct mp_reader *r);
int ml_on_nack(struct memberlist *ml, struct mp_reader *r);
void ml_on_stream_ack(struct memberlist *ml, uint32_t seq);

/* Send several messages as they are, without piggyback; `peer` may be NULL. */
struct parts;
void ml_send_parts(struct memberlist *ml, const struct gossip_addr *to, const struct member *peer,
                   struct parts *p);

/* What the log says, once for each cause and peer, and the counters beside it. */
void ml_diag_label(struct memberlist *ml, const struct gossip_addr *from, struct str theirs,
                   bool stream);
void ml_diag_unknown(struct memberlist *ml, const struct gossip_addr *from, uint8_t type);
void ml_diag_bad(struct memberlist *ml, const struct gossip_addr *from, const char *what,
                 const char *reason, size_t bytes);
void ml_diag_misdirected(struct memberlist *ml, const struct gossip_addr *from, struct str meant,
                         struct str source);
void ml_diag_unanswered(struct memberlist *ml, const struct gossip_addr *peer);
void ml_diag_refused(struct memberlist *ml, const struct gossip_addr *peer, struct str text);
void ml_diag_stream_only(struct memberlist *ml, const struct gossip_addr *peer, struct str name);
void ml_diag_version(struct memberlist *ml, const struct gossip_addr *peer, struct str name,
                     const char *part, const uint8_t range_and_spoken[3]);

/* A probe is over; look whether others can reach us at all. */
void ml_reach_probe(struct memberlist *ml, bool acked, mono_ms start);
void ml_watch_reach(struct memberlist *ml);

/* Probing: begin the next one, go on with the running one, give up on relays. */
void ml_probe_next(struct memberlist *ml);
void ml_probe_tick(struct memberlist *ml);
mono_ms ml_probe_due(const struct memberlist *ml);

/* Start a push/pull. ERR_NOMEM. */
int ml_exchange(struct memberlist *ml, const struct gossip_addr *to, bool join, uint64_t tag);
void ml_streams_tick(struct memberlist *ml);
mono_ms ml_streams_due(const struct memberlist *ml);

#endif
