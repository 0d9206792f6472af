/* gossip/members.h - who is in the cluster, as this node believes: memberlist's node table and
 * its rules for alive, suspect and dead.
 *
 * Messages and the time go in; what must be told to others goes into a broadcast queue. Follows
 * hashicorp/memberlist state.go, suspicion.go and awareness.go (incarnations, refuting, Lifeguard).
 * Pure; one owner thread. Tests: tests/unit/gossip/test_members.c, tests/sim/sim_gossip.c. */
#ifndef GOSSIP_MEMBERS_H
#define GOSSIP_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "gossip/addr.h"
#include "gossip/messages.h"

struct bcast;
struct log;
struct members;
struct suspicion;

enum {
    MEMBER_NAME_MAX = 1024, /* bytes; longer names are ignored */
    MEMBER_META_MAX = 512,
    MEMBER_VSN_SIZE = 6,
};

/* What a node announces: protocol min, max, current; delegate min, max, current. This is what
 * memberlist announces today. */
extern const uint8_t member_vsn[MEMBER_VSN_SIZE];

/* One member. Borrowed from the table: valid until the next call that changes it. */
struct member {
    struct str name; /* NUL-terminated in memory */
    struct gossip_addr addr;
    struct str meta; /* data NULL: nil */
    uint8_t vsn[MEMBER_VSN_SIZE];
    uint32_t incarnation;
    enum member_state state;
    mono_ms changed; /* when state last changed */
    bool answered;   /* us, at some time: it is no mere name */
    struct suspicion *suspicion;
};

struct members_config {
    struct str name;         /* our own; copied */
    struct gossip_addr addr; /* what we announce, always in this form */
    uint16_t default_port;   /* for members that announce port 0 */
    struct str meta;         /* at most MEMBER_META_MAX bytes; copied */
    uint8_t vsn[MEMBER_VSN_SIZE]; /* all 0: member_vsn */
    uint32_t suspicion_mult, suspicion_max_mult;
    uint32_t probe_interval_ms; /* base of the suspicion timeout */
    uint32_t awareness_max;     /* the health score stays below it */
    uint32_t reclaim_ms;        /* a dead name may take another address after; 0: never */
    bool rename;                /* take another name when ours is somebody else's */
    uint32_t dead_ms;           /* how long the dead are kept and told of */
    size_t count_max;           /* members; more are turned away */
};

/* Counted since the start. */
struct members_stats {
    uint64_t conflicts;     /* a name announced from another address */
    uint64_t own_conflicts; /* of these, our own name */
    uint64_t moved;         /* members taken over to another address */
    uint64_t renamed;       /* times we took another name */
    uint64_t refuted;   /* times we contradicted our own death */
    uint64_t ignored;   /* messages that were not valid */
    uint64_t turned_away; /* newcomers that found the table full */
};

/* A table with ourselves in it, alive with incarnation 1, announced on `queue`. `rng` and `queue`
 * must outlive it; `log` (may be NULL) too. ERR_INVAL, ERR_NOMEM with *out untouched. */
int members_init(struct members **out, const struct members_config *config, struct bcast *queue,
                 struct rng *rng, const struct log *log, mono_ms now, struct err *err);
void members_free(struct members **m); /* NULL-safe; leaves *m NULL */

/* Apply a message. Stale, foreign and invalid ones change nothing. ERR_NOMEM: nothing changed,
 * or the change was not announced. */
int members_on_alive(struct members *m, const struct msg_alive *a, mono_ms now);
int members_on_suspect(struct members *m, const struct msg_accuse *s, mono_ms now);
int members_on_dead(struct members *m, const struct msg_accuse *d, mono_ms now);

/* The table is bounded (count_max), so that made-up names cannot fill the memory. Whoever is in it
 * keeps its place. A newcomer that finds it full is counted and turned away, but for one that came
 * itself: members_on_caller() has it take the place of somebody who never answered us, if there
 * is one. */
int members_on_caller(struct members *m, const struct msg_alive *a, mono_ms now);

/* The member of this name answered us; the one at this address did. */
void members_answered(struct members *m, struct str name);
void members_answered_at(struct members *m, const struct gossip_addr *addr);

/* Somebody says that our name is at another address: another process has it, or it is our own
 * former life, not yet known to be dead. Others hold on to whom they knew first, so one of the two
 * stays outside for as long as both live. With `rename` the one that started within the last
 * minute, or else the one with the higher address, or else, if it stays nonetheless (it is a dskit
 * process and cannot), the other after ten minutes takes a name of its own: its old one with a
 * random suffix, as dskit's randomized names have it. It says that the old one has left, which
 * lets all who took us for its bearer take the other, as soon as that one contradicts; a former
 * life cannot, and is forgotten. True when we did. `incarnation` is the one that the other is
 * known under. Borrowed names of ours stay valid for the life of the table. */
bool members_on_namesake(struct members *m, const struct gossip_addr *other, uint32_t incarnation,
                         mono_ms now);

/* The message that says that `name` has left its bearer, if that was us before we took another: for
 * who still looks for it at our address. Borrowed for the life of the table. */
bool members_farewell(const struct members *m, struct str name, struct msg_accuse *out);

/* Something came in, whatever it was. After a silence of several probes it was we who were cut off
 * or stood still: the accused could not answer us, so the silence does not count for running
 * suspicions. Else the confirmations that come in at its end would let them run out at once. What
 * time they have left is at most the least: others may have buried the accused long ago, and then
 * nobody is left to confirm. */
void members_heard(struct members *m, mono_ms now);

/* Declare those dead whose suspicion has run out. */
void members_tick(struct members *m, mono_ms now);

/* When members_tick() has something to do, or MONO_NEVER. */
mono_ms members_due(const struct members *m);

/* Announce other metadata about ourselves, under the next incarnation. ERR_INVAL: too long;
 * ERR_NOMEM: nothing changed. */
int members_set_meta(struct members *m, struct str meta);

/* Who accused us last, for telling a wrong address from a slow machine. Borrowed until the next
 * change; empty when nobody did. */
struct str members_last_accuser(const struct members *m);

/* Announce that we leave on our own will; from now on nobody can bring us back. *id gets the
 * broadcast's number in the queue. ERR_NOMEM: nothing changed. */
int members_leave(struct members *m, mono_ms now, uint64_t *id);
bool members_is_leaving(const struct members *m);

/* Remove the dead and the left after dead_ms, and shuffle the order of the rest. */
void members_reap(struct members *m, mono_ms now);

/* Lookups. members_at() counts in probe order, 0 .. members_count() - 1. */
const struct member *members_get(const struct members *m, struct str name);
const struct member *members_by_addr(const struct members *m, const struct gossip_addr *a);
const struct member *members_at(const struct members *m, size_t i);
const struct member *members_self(const struct members *m);
size_t members_count(const struct members *m);        /* all in the table */
size_t members_active_count(const struct members *m); /* alive or suspect, ourselves included */
size_t members_alive_count(const struct members *m);  /* alive, ourselves included */

/* Who may be picked. */
typedef bool (*member_filter_fn)(void *arg, const struct member *m);

/* Choose up to `k` different members that pass, at random. Returns how many stand in out[]. */
size_t members_pick(struct members *m, size_t k, member_filter_fn filter, void *arg,
                    const struct member **out);

/* Lifeguard's health score: 0 is well. */
uint32_t members_awareness(const struct members *m);
void members_awareness_add(struct members *m, int32_t delta);

/* Lives as long as the table. */
const struct members_stats *members_stats(const struct members *m);

#endif
