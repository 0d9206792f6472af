/* ring/readplan.h - one query over replicated ingesters: whom to ask, who counts what, and
 * whether the answer is complete.
 *
 * A round: every ingester says which dots it holds; their union is split into disjoint parts, one
 * per disk; each counts exactly its part. When a part fails, the round is abandoned with all its
 * answers and a new one starts from zero. The verdict rests on the last round alone
 * (docs/exact-reads.md, A8, A9). Names, labels, types and series need no counting: the union of
 * the replies, under the same verdict.
 *
 * Use: readplan_init(), then after every event and at every due time readplan_next() until it
 * says READ_WAIT. Calls are numbered; what comes late names a call that is forgotten and is
 * dropped with ERR_STALE. Pure; one owner thread.
 * Files: readplan.c (rounds), readplan_gather.c (replies), readplan_class.c (repeats, weak dots),
 * readplan_split.c (the partition), readplan_keys.c (equal keys), readplan_judge.c (verdict).
 * Tests: tests/unit/ring/test_readplan.c, tests/sim/sim_exact.c. */
#ifndef RING_READPLAN_H
#define RING_READPLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "ring/dots.h"
#include "ring/roster.h"

enum {
    READ_PEERS_MAX = 4096, /* instances and disks to ask */
    READ_KEYS_MAX = 20000, /* dots whose keys are compared (A9d) */
    READ_SILENT_MAX = 64,  /* instances that a verdict names */
};

/* An instance of the ring view, in any state but LEFT; ours only. */
struct read_peer {
    struct str instance, addr, domain;
    bool lazy;        /* missed its last 3 calls: asked, not waited for */
    bool roster_only; /* the ring does not list it: given to say that this address is lazy */
};

/* Times in milliseconds; 0 means the default in brackets. */
struct read_config {
    uint32_t replication_factor; /* until a roster says it */
    bool names;                  /* only replies: no vectors, no Count */
    mono_ms deadline;            /* of the query */
    uint32_t hedge_ms;           /* wait for the last few replicas [500] */
    uint32_t vector_timeout_ms;  /* wait for more than a few [2000] */
    uint32_t count_hedge_ms;     /* a part is slow [2000] */
    uint32_t rounds;             /* [4] */
};

/* An answer to ASK. Everything is borrowed for the call. */
struct read_reply {
    struct disk_id disk;
    struct str instance, domain;
    bool established, truncated;
    const struct vector *held;     /* NULL: nothing, or names */
    const struct aliases *repeats; /* may be NULL */
    const struct roster *roster;   /* may be NULL: as the one that was named to it */
};

/* What a client sent, under one of its dots. */
struct read_key {
    struct lane_name lane;
    uint32_t seq;
    uint64_t series;
    int64_t time_ns;
    uint32_t nonce;
};

enum read_verb {
    READ_WAIT,    /* nothing to do until an event or *due */
    READ_ASK,     /* Vector (or Names) to addr */
    READ_KEYS,    /* Keys to the disk at addr: those of `of`, and who has `find` */
    READ_COUNT,   /* Count to the disk at addr: exactly `include` */
    READ_RESTART, /* cancel every call, and drop every result so far */
    READ_FINISH,  /* see readplan_verdict(); cancel what is still under way */
};

/* Everything in it is valid until the next event or the next round. */
struct read_action {
    enum read_verb verb;
    uint32_t call, round, part;
    struct disk_id disk; /* KEYS, COUNT; of ASK only when one is known */
    struct str instance, addr;
    const struct vector *of;      /* KEYS; NULL: none */
    const struct read_key *find;  /* KEYS; [find_count] */
    uint32_t find_count;
    const struct vector *include; /* COUNT */
};

enum read_reason {
    READ_SILENT = 1,          /* disks of W domains did not reply */
    READ_NOT_COUNTED = 2,     /* a part has no answer */
    READ_TRUNCATED = 4,       /* a reply was cut short */
    READ_REPEATS = 8,         /* repeats could not be told apart */
    READ_BUCKET = 16,         /* the bucket's listing is old */
    READ_NO_ESTABLISHED = 32, /* no established disk replied */
};

struct read_verdict {
    int rc; /* 0; ERR_UNAVAILABLE: nobody replied; ERR_TIMEOUT: the deadline came before any
             * counting; or a part's own error (ERR_LIMIT, ERR_INVAL, ...), or ERR_NOMEM */
    bool complete;
    uint32_t reasons; /* enum read_reason, or-ed; 0 when complete */
    uint32_t rounds;  /* that were begun */
    struct str silent[READ_SILENT_MAX]; /* instances; borrowed from the plan */
    uint32_t silent_count;
};

struct readplan;

/* A query of `count` ring instances, by a process that knows `cached` (may be NULL). Everything is
 * copied. ERR_INVAL (replication factor, names), ERR_LIMIT, ERR_NOMEM. */
int readplan_init(struct readplan **out, const struct read_config *config,
                  const struct read_peer *peers, uint32_t count, const struct roster *cached,
                  mono_ms now);
void readplan_free(struct readplan **p);

/* Events. 0: taken (of ASK: for names, merge its result; of COUNT: add its result). ERR_STALE: of
 * an abandoned round, too late or doubled: drop it. Others (ERR_INVAL: a broken reply,
 * ERR_REFUSED: of a cluster with other replication, ERR_NOMEM): drop it, it counts as failed. */
int readplan_replied(struct readplan *p, uint32_t call, const struct read_reply *reply,
                     mono_ms now);
int readplan_keys(struct readplan *p, uint32_t call, const struct read_key *keys, uint32_t count,
                  mono_ms now);
int readplan_counted(struct readplan *p, uint32_t call, mono_ms now);

/* A call failed with `code` (< 0); ERR_MOVED and all that may pass are tried anew. */
int readplan_failed(struct readplan *p, uint32_t call, int code, mono_ms now);

/* What to do now. READ_FINISH is said from then on. *due (may be NULL) is when to ask again. */
enum read_verb readplan_next(struct readplan *p, mono_ms now, struct read_action *out,
                             mono_ms *due);

/* Requires that readplan_next() has said READ_FINISH. Borrowed. */
const struct read_verdict *readplan_verdict(const struct readplan *p);

/* All rosters merged: for the process to keep. Borrowed. */
const struct roster *readplan_roster(const struct readplan *p);

/* hedge_ms for replicas whose replies take median_ms: twice that, 50 to 500 ms. */
uint32_t read_hedge_ms(uint32_t median_ms);

/* The value of X-Pyroscope-Completeness: `complete`, or
 * `uncertain; reasons="silent,bucket"; silent="ingester-1,ingester-4"`. */
void read_verdict_text(const struct read_verdict *v, struct buf *out);

#endif
