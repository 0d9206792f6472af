/* ring/member.h - how the disk of an ingester becomes known, so that it may acknowledge.
 *
 * Before its first ack a disk introduces itself to all instances of ring and roster; who is asked
 * merges, syncs, and only then says ok (docs/exact-reads.md, A5). The very first disk of a cluster
 * is founded by the instance with the lowest id (A7). A disk that took over what is left of
 * another (its predecessor, A6) need not ask that one: it never replies again. The machine owns
 * the process's roster: it merges what others say, has it synced, and tells nothing that is not
 * synced yet.
 *
 * Use: feed events (a ring view, an answer, a request, a sync), then call member_next() until it
 * says MEMBER_NONE, and again at the time it gave. Pure; one owner thread; nothing is sent from
 * in here. Tests: tests/unit/ring/test_member.c, tests/sim/sim_exact.c. */
#ifndef RING_MEMBER_H
#define RING_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "ring/roster.h"

enum {
    MEMBER_TARGETS_MAX = 4096, /* addresses to introduce to */
    MEMBER_WAITING_MAX = 1024, /* introductions that wait for a sync */
};

/* All strings are copied. Times in milliseconds; 0 means the default in brackets. */
struct member_config {
    struct disk_id disk;
    struct disk_id predecessor; /* none, or what this disk was called before it forgot */
    bool clean;                 /* nothing was lost since the predecessor */
    uint64_t starts;            /* of this disk, this one included */
    struct str instance, domain, addr;
    uint32_t replication_factor;
    bool zone_aware;
    uint32_t expect;   /* instances of a cluster that is founded; 0: replication_factor */
    uint32_t quiet_ms; /* how long founding's conditions must last [10 s] */
    uint32_t retry_ms; /* between introductions [1 s] */
    uint32_t slow_ms;  /* the same after MEMBER_FAST_TRIES [5 s] */
    uint32_t exchange_ms; /* an established one greets one other [15 s] */
};

enum { MEMBER_FAST_TRIES = 10 };

/* One instance of the ring view. */
struct member_peer {
    struct str instance, addr;
};

/* An answer to one of our introductions. */
struct member_reply {
    struct disk_id disk;
    bool ok;
    bool fresh;                  /* it knows no established disk */
    uint64_t your_starts;        /* as it knows them */
    const struct roster *roster; /* may be NULL */
};

enum member_verb {
    MEMBER_NONE,
    MEMBER_SEND,   /* Introduce { self, synced roster } to addr; then member_replied or _failed */
    MEMBER_SYNC,   /* write `roster` to the disk, then member_synced() */
    MEMBER_ANSWER, /* answer the introduction `token` with what follows and the synced roster */
    MEMBER_ACTIVE, /* established, and synced: the ring entry becomes ACTIVE; said once */
    MEMBER_RENAME, /* another process is further on under this disk: take a new one (A6) */
    MEMBER_QUIT,   /* the cluster was founded with other replication: end, saying `why` */
};

struct member_action {
    enum member_verb verb;
    const struct roster *roster; /* SYNC: what to write. Valid until member_synced() */
    uint64_t token;              /* SEND: for the reply; ANSWER: of the request */
    struct str instance, addr;   /* SEND: valid until the next event */
    bool ok, fresh;              /* ANSWER */
    uint64_t your_starts;        /* ANSWER */
    char why[160];               /* ANSWER that is not ok, RENAME, QUIT */
};

struct member;

/* A member at `now`, with the roster of its disk (NULL: it never had one). ERR_INVAL (names,
 * counts), ERR_REFUSED (the roster was founded with other replication), ERR_NOMEM. */
int member_init(struct member **out, const struct member_config *config,
                const struct roster *stored, mono_ms now, struct err *err);
void member_free(struct member **m);

/* The ring lists these ingesters (any state but LEFT; ours only). `joined`: gossip reached a peer,
 * or has none to reach. ERR_LIMIT, ERR_NOMEM: the view before stays. */
int member_ring(struct member *m, const struct member_peer *peers, uint32_t count, bool joined,
                mono_ms now);

/* The answer to the SEND with this token, or that there was none. Late and doubled ones are fine:
 * what they say is merged. ERR_NOMEM, ERR_LIMIT: it counts as no answer. */
int member_replied(struct member *m, uint64_t token, const struct member_reply *reply,
                   mono_ms now);
void member_failed(struct member *m, uint64_t token, mono_ms now);

/* Somebody introduces itself: `self` with its roster (may be NULL). The answer comes as ANSWER
 * with `token`. ERR_LIMIT (too many wait), ERR_INVAL (a broken record), ERR_NOMEM: answer with
 * that error, there will be no ANSWER. */
int member_asked(struct member *m, const struct disk *self, const struct roster *theirs,
                 uint64_t token, mono_ms now);

/* Merge a roster that came with another call. ERR_REFUSED (other replication), ERR_LIMIT,
 * ERR_NOMEM. */
int member_merge(struct member *m, const struct roster *from, mono_ms now);

/* The roster of the last SYNC is on the disk; or `ok` false: it could not be written, try again
 * in retry_ms. */
void member_synced(struct member *m, bool ok, mono_ms now);

/* What to do now; call until MEMBER_NONE. *due (may be NULL) is when to ask again if nothing
 * happens. */
enum member_verb member_next(struct member *m, mono_ms now, struct member_action *out,
                             mono_ms *due);

/* May store and answer appends (A3): established, and that is synced. */
bool member_is_established(const struct member *m);

/* 0 when established; else ERR_UNAVAILABLE and in words what it waits for. */
int member_ready(const struct member *m, struct err *err);

/* The synced roster: the only one to send. Valid until the next event. */
const struct roster *member_roster(const struct member *m);

/* Our own record in it; NULL before the first sync. */
const struct disk *member_self(const struct member *m);

#endif
