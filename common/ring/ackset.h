/* ring/ackset.h - when a pending write is acknowledged, when it has failed for good, and when
 * nothing more can come.
 *
 * A write of one replica set goes to its instances (and to those beyond it that the look-up gave
 * in place of dead ones). It is acknowledged when synced acks came from W = RF/2 + 1 distinct
 * domains, whatever size the set has; the other sends go on in the background
 * (docs/exact-reads.md, A4). It has failed for good when the acks that are there and those that
 * may still come are of fewer domains.
 *
 * The newest ack of each disk is kept with the hash of the roster under which it was made.
 *
 * Pure; one owner thread. Tests: tests/unit/ring/test_ackset.c, tests/sim/sim_exact.c. */
#ifndef RING_ACKSET_H
#define RING_ACKSET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "ring/roster.h"

enum { ACKSET_TARGETS_MAX = 64 };

enum ackset_state {
    ACKSET_OPEN,   /* not decided */
    ACKSET_ACKED,  /* W domains: answer the client */
    ACKSET_FAILED, /* can no longer reach W: answer with ackset_error() */
};

struct ackset;

/* A write to `count` targets whose domains the ring look-up says; 1 <= replication_factor <=
 * REPLICATION_MAX. ERR_INVAL (counts out of range, a domain empty or longer than
 * ROSTER_NAME_MAX), ERR_NOMEM. When the targets are of fewer than W domains it is FAILED from
 * the start, with ERR_UNAVAILABLE, and nothing should be sent. */
int ackset_init(struct ackset **out, uint32_t replication_factor, const struct str *domains,
                uint32_t count);
void ackset_free(struct ackset **s);

/* Target `target` says: synced by this disk, of this domain, under this roster. Late and doubled
 * ones are fine. 1: this ack made the quorum. 0: it did not. ERR_INVAL: no disk, no domain, or a
 * domain too long; counts as failure of the target. */
int ackset_ack(struct ackset *s, uint32_t target, struct disk_id disk, struct str domain,
               uint64_t roster_hash);

/* Target `target` failed with `code` (< 0), or ran into its deadline. 1: the write has just
 * failed for good. After an ack of the target it changes nothing. */
int ackset_fail(struct ackset *s, uint32_t target, int code);

enum ackset_state ackset_state(const struct ackset *s);

/* Every target has answered or failed: nothing refers to it any more, it can be freed. */
bool ackset_done(const struct ackset *s);

/* Distinct domains that acked. */
uint32_t ackset_domains(const struct ackset *s);

/* Why it failed: the error of most targets, the earlier one of equals; 0 when none failed. */
int ackset_error(const struct ackset *s);

#endif
