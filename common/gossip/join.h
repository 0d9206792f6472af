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
    uint32_t fast_min;      /* fewer reached in the first round is a failure; 0: never */
    uint32_t rounds_max;    /* more rounds without success are a failure; 0: never */
};

/* What is known of a seed. */
enum join_seed { JOIN_NO_SEED, JOIN_UNTRIED, JOIN_UNREACHED, JOIN_REACHED };

/* Reasons to end the process, where it is told to; joining goes on otherwise. */
enum join_failure { JOIN_NOT_FAILED, JOIN_FAST_FAILED, JOIN_ROUNDS_FAILED };

/* No seeds yet, which counts as joined. rng must outlive it. ERR_INVAL, ERR_NOMEM. */
int join_init(struct join **out, const struct join_config *config, struct rng *rng, mono_ms now);
void join_free(struct join **j); /* NULL-safe; leaves *j NULL */

/* Take these seeds; `self` and repeated ones are left out. What was reached before stays so. They
 * are joined at once while we are not joined, else with the next round. ERR_NOMEM: as before. */
int join_set_seeds(struct join *j, const struct gossip_addr *seeds, size_t count,
                   const struct gossip_addr *self, mono_ms now);

/* Names of the list without an address: `missing` some have none, so that without seeds we are not
 * joined; `pending` some were not looked up yet, so that a round is no failure. */
void join_set_names(struct join *j, bool pending, bool missing, mono_ms now);

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
enum join_seed join_seed_of(const struct join *j, const struct gossip_addr *seed);

/* True when any seed was ever reached, or there are none and no names that may yet have some. */
bool join_is_joined(const struct join *j);

/* True when any seed was ever reached. */
bool join_was_joined(const struct join *j);

/* Rounds begun so far: with each, names are worth looking up again. */
uint64_t join_rounds(const struct join *j);

/* Grows when what this header tells of seeds and names may have changed. From 1. */
uint64_t join_news(const struct join *j);

/* Whether joining has failed in the sense of join_config. */
enum join_failure join_failure(const struct join *j);

#endif
