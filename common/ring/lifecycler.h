/* ring/lifecycler.h - one member's life in a ring: register, take tokens, beat, leave.
 *
 * Follows grafana/dskit ring/lifecycler.go (PENDING, JOINING, ACTIVE, LEAVING), which lives in
 * the ingesters' ring, or with `basic` ring/basic_lifecycler.go, which lives in all others: it
 * registers in one step, ACTIVE (or JOINING), whatever its entry of an earlier life said, with
 * that entry's tokens topped up. Differences from both: what two writes of one second would do
 * is done in one; a write after another of the same second gets the next second's timestamp,
 * which dskit's merge needs to see it at all;
 * a member that lost tokens to another takes new ones at its next heartbeat; heartbeats come up to
 * a tenth of their period earlier or later, by chance: of two processes with one id that began in
 * the same second, neither would ever see the other's entries, none newer than its own;
 * and members whose heartbeat stood still for long are forgotten (as dskit's BasicLifecycler
 * does, but judged by our own clock of durations, so that a jump of the wall clock forgets
 * nobody).
 *
 * Pure machine. The driver, after every event and at lifecycler_due():
 *   while (lifecycler_step(l, now) == LIFE_EDIT)
 *       lifecycler_edited(l, now, kv_cas(key, edit that calls lifecycler_edit(), ...));
 * One owner thread. Tests: tests/unit/ring/test_lifecycler.c, tests/sim/sim_ring.c. */
#ifndef RING_LIFECYCLER_H
#define RING_LIFECYCLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "ring/desc.h"
#include "ring/token.h"

struct log;
struct rng;

enum { LIFECYCLER_RIVAL_EDITS = 3 };

struct lifecycler_config {
    struct str id, addr, zone;    /* addr is host:port; all copied */
    uint32_t num_tokens;          /* >= 1 */
    uint32_t heartbeat_period_ms; /* 0: no heartbeats */
    uint32_t join_after_ms;       /* stay PENDING so long first */
    uint32_t observe_period_ms;   /* stay JOINING until nobody took a token for so long */
    uint32_t forget_after_ms;     /* others whose heartbeat stood still; 0: never */
    uint32_t min_ready_ms;        /* lifecycler_ready() holds back so long */
    int64_t heartbeat_timeout_ms; /* of others, for lifecycler_ready() */
    bool check_ring_health;       /* lifecycler_ready() looks at all members, not at us alone */
    bool unregister_on_shutdown;  /* else the entry stays, LEAVING */
    bool basic;                   /* dskit's BasicLifecycler; join_after_ms has no effect */
    bool start_joining;           /* JOINING is the goal until lifecycler_establish() */
    const struct ring_version *versions; /* field 12 of our entry; copied */
    uint32_t version_count;
    const char *id_option; /* static; what to set where two members have one id */
};

struct lifecycler;

/* A member that is not in the ring yet. file_tokens (may be NULL) are those of an earlier life,
 * used when the ring has no entry of ours with tokens. rng and log (may be NULL) are borrowed
 * for its life. ERR_INVAL (no id, no tokens wanted), ERR_NOMEM. */
int lifecycler_init(struct lifecycler **out, const struct lifecycler_config *config,
                    const struct ring_tokens *file_tokens, struct rng *rng,
                    const struct log *log, struct err *err);
void lifecycler_free(struct lifecycler **l); /* NULL-safe */

enum lifecycler_verb {
    LIFE_WAIT, /* until lifecycler_due(), or an event */
    LIFE_EDIT, /* edit the ring now, with lifecycler_edit(), and say lifecycler_edited() */
    LIFE_OVER, /* out of the ring, or left in it as LEAVING: the end */
};

/* Move to `now`, never earlier than before, and say what to do. */
enum lifecycler_verb lifecycler_step(struct lifecycler *l, mono_ms now);

/* When lifecycler_step() next has something to do, or MONO_NEVER. */
mono_ms lifecycler_due(const struct lifecycler *l);

/* Make the edit that step() asked for: *desc is the ring without tombstones (NULL: no ring
 * yet), and is changed or made. *store says whether it is to be stored. Nothing of it counts
 * before lifecycler_edited(); may be called again. ERR_NOMEM, ERR_LIMIT. */
int lifecycler_edit(struct lifecycler *l, struct ring_desc **desc, wall_ms now, bool *store);

/* The ring has a tombstone of ours of this second, which edit() does not get to see: what is
 * written from here on is later. It may be ahead of our clock, if that was wrong in an earlier
 * life, and we would not come back before. */
void lifecycler_was_left(struct lifecycler *l, int64_t timestamp_s);

/* The edit was stored (rc 0), or failed: then it is made again a second later. */
void lifecycler_edited(struct lifecycler *l, mono_ms now, int rc);

/* The member may be ACTIVE (start_joining is over). Has no effect once it is leaving. */
void lifecycler_establish(struct lifecycler *l);

/* Go back to JOINING: it does not take writes for now. Has no effect once it is leaving. */
void lifecycler_unestablish(struct lifecycler *l);

/* Shutting down: LEAVING, with heartbeats, until lifecycler_unregister(). */
void lifecycler_leave(struct lifecycler *l);

/* The last step: take the entry out (or leave it, as configured). Implies lifecycler_leave(). */
void lifecycler_unregister(struct lifecycler *l);

/* The state that was last stored; RING_PENDING before that. */
enum ring_state lifecycler_state(const struct lifecycler *l);

/* Whether the entry is marked read-only, as somebody may have done in an earlier life. */
bool lifecycler_read_only(const struct lifecycler *l);

/* The tokens in force; borrowed until the next lifecycler_edited(). `generation` (may be NULL)
 * grows with every change: save the file then. */
const struct ring_tokens *lifecycler_tokens(const struct lifecycler *l, uint32_t *generation);

/* How many edits were stored, how many of them were mere heartbeats, and how many others were
 * forgotten. */
uint64_t lifecycler_edits(const struct lifecycler *l);
uint64_t lifecycler_heartbeats(const struct lifecycler *l);
uint64_t lifecycler_forgotten(const struct lifecycler *l);

/* ERR_UNAVAILABLE, naming both, when at one of the last LIFECYCLER_RIVAL_EDITS edits another
 * process had written the entry with our id: two members of one name. It is logged as an error too.
 */
int lifecycler_unique(const struct lifecycler *l, struct err *err);

/* May /ready say yes? Latched once it does, but not while the id is not unique. desc is the ring
 * (NULL: none). ERR_UNAVAILABLE with the reason, in dskit's words. */
int lifecycler_ready(struct lifecycler *l, const struct ring_desc *desc, mono_ms now,
                     wall_ms wall, struct err *err);

#endif
