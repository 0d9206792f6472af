/* gossip/join.h - whom to join and when: the seeds in random order, again and again until one
 * answers, then at long intervals, and anew when we find ourselves alone.
 *
 * Rounds follow dskit (fast join: enough seeds, not all); retries are jittered from 1 s to 20 s
 * and never end. Our own address is no seed: a node must not take itself for a cluster.
 * Pure; one owner thread. Tests: tests/unit/gossip/test_join.c. */
#ifndef GOSSIP_JOIN_H
#define GOSSIP_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/time.h"
#include "gossip/addr.h"

struct join;

struct join_config {
    uint32_t backoff_min_ms, backoff_max_ms; /* 0 < min <= max */
    uint32_t rejoin_ms;                      /* 0: never once joined */
    uint32_t enough_factor; /* seeds to reach in a round: factor x ceil(log10(seeds + 1)) */
};

/* No seeds yet, which counts as joined. rng must outlive it. ERR_INVAL, ERR_NOMEM. */
int join_init(struct join **out, const struct join_config *config, struct rng *rng, mono_ms now);
void join_free(struct join **j); /* NULL-safe; leaves *j NULL */

/* Take these seeds; `self` and repeated ones are left out. What was reached before stays so.
 * ERR_NOMEM: as before. */
int join_set_seeds(struct join *j, const struct gossip_addr *seeds, size_t count,
                   const struct gossip_addr *self, mono_ms now);

/* The next seed to join now, one at a time: *tag is for join_done(). False: none now. `alone`:
 * nobody else is alive in our table. */
bool join_next(struct join *j, bool alone, mono_ms now, struct gossip_addr *to, uint64_t *tag);

/* When join_next() may have one, or MONO_NEVER. */
mono_ms join_due(const struct join *j);

/* The exchange is over. Unknown and old tags are ignored. */
void join_done(struct join *j, uint64_t tag, bool reached, mono_ms now);

/* Seeds that were reached at some time, and all seeds. */
size_t join_reached(const struct join *j);
size_t join_seeds(const struct join *j);

/* True when a seed was reached, or there are none. */
bool join_is_joined(const struct join *j);

/* The first seed that was never reached, for messages; NULL: none. */
const struct gossip_addr *join_waiting_for(const struct join *j);

#endif
