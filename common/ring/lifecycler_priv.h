/* ring/lifecycler_priv.h - a life's inside, shared by lifecycler.c and lifecycler_register.c. */
#ifndef RING_LIFECYCLER_PRIV_H
#define RING_LIFECYCLER_PRIV_H

#include "ring/lifecycler.h"

#include "base/map.h"

enum { RIVAL_SIZE = 96 };

enum task {
    TASK_NONE,
    TASK_REGISTER,  /* first entry, or taking over one that is there */
    TASK_JOIN,      /* PENDING is over: tokens */
    TASK_OBSERVE,   /* JOINING is over, if the ring still says what we said */
    TASK_STATE,     /* write the wanted state */
    TASK_HEARTBEAT, /* write the same again */
    TASK_UNREGISTER,
};

/* What an entry of ours says. */
struct entry {
    enum ring_state state;
    struct ring_tokens tokens;
    int64_t registered_s;
    bool read_only;
    int64_t read_only_since_s;
};

/* Another member, as of its last change. */
struct sighting {
    int64_t timestamp_s;
    mono_ms since;
    bool seen; /* in the ring at the last look */
};

struct lifecycler {
    struct lifecycler_config c; /* texts and versions owned */
    struct rng *rng;
    const struct log *log;
    enum task task;
    mono_ms now, retry_at, beat_at, join_at, observe_at, ready_at;
    bool registered, joined, observing, leaving, unregister, over, established, ready;
    struct entry entry, next;
    int64_t left_s; /* of our tombstone in the ring */
    bool next_joined, next_observing;
    uint32_t next_forgotten;
    uint32_t generation;
    uint64_t edits, beats, forgotten;
    struct map *others; /* id -> struct sighting */
    char rival[RIVAL_SIZE], next_rival[RIVAL_SIZE]; /* who else writes our entry; empty: nobody */
    int rival_edits; /* without it, until it is forgotten */
};

/* The state our entry should have, once it has its tokens. */
enum ring_state life_wanted(const struct lifecycler *l);

/* Bring next.tokens up to the number wanted. ERR_NOMEM, ERR_LIMIT. */
int life_top_up(struct lifecycler *l, const struct ring_desc *d);

/* Tokens are chosen: look at the ring for a while, or be what is wanted. */
void life_take_place(struct lifecycler *l, bool observe);

/* Compute the first entry of this life into `next`: a new one, or what is left of an earlier
 * life. ERR_NOMEM, ERR_LIMIT. */
int life_register(struct lifecycler *l, const struct ring_desc *d, wall_ms now);

#endif
