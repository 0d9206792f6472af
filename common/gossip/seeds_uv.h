/* gossip/seeds_uv.h - the join list by name: keeps looking its entries up, gives the core their
 * addresses to join, says for whom we wait, and finds the address to announce on the way to them.
 *
 * Loop's thread, or any thread before the loop runs. Driver: when to join is gossip/join.h, what a
 * look-up means disco/names.h.
 * Tests: tests/unit/gossip/test_gossip_uv.c, tests/cluster/test_dns.py. */
#ifndef GOSSIP_SEEDS_UV_H
#define GOSSIP_SEEDS_UV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "gossip/addr.h"
#include "gossip/config.h"
#include "gossip/core.h"

struct log;
struct loop;
struct metrics;
struct seeds;
struct transport;

/* Of -memberlist.join and -memberlist.rejoin-seed-nodes; look-ups begin as soon as the loop turns.
 * on_change is called when seeds_give() has something new to give. config is borrowed, log (may be
 * NULL) must outlive it. Errors as disco_init() and disco_add(). */
int seeds_init(struct seeds **out, struct loop *loop, const struct gossip_config *config,
               void (*on_change)(void *arg), void *arg, const struct log *log,
               struct metrics *metrics, struct err *err);
void seeds_free(struct seeds **s); /* NULL-safe; leaves *s NULL */

/* Put into *self (not its port) the address to announce when `bound` is listened on, and why into
 * `why`. It stays for the life of the process. Where no name could be looked up in time and the way
 * to the seeds turns out to be another, one line says so: the remedy is another start, or
 * -memberlist.advertise-addr. A move in place would not be a smaller thing: others hold on to
 * a live member's first address (memberlist ignores an alive with another one until the member
 * has left), and the rosters of exact reads bind an ingester's address to its start.
 * Turns the loop for up to three seconds where the choice depends on a name: before the loop runs,
 * and with nobody on it who must not be called yet. */
void seeds_choose_self(struct seeds *s, const struct gossip_addr *bound, struct gossip_addr *self,
                       struct buf *why);

/* What is listened on, one call for each, with its port: an address of this host that leads there
 * is ourselves, whatever it is called, and nobody to join. */
void seeds_bound(struct seeds *s, const struct gossip_addr *bound);

/* Give the core the addresses as they are now, when they or its needs have changed; look names up
 * when it begins a round. After every event; cheap when nothing changed. ERR_NOMEM: the next call
 * tries again. */
int seeds_give(struct seeds *s, struct gossip_core *core, struct gossip_time now);

/* How it stands with the join list's entries. */
struct seeds_standing {
    uint32_t entries, reached; /* reached: an address of it, which is a member's by now or was
                                * joined once; or it names nobody but us */
};

/* Loop's thread. */
struct seeds_standing seeds_standing(const struct seeds *s, struct gossip_core *core);

/* Another value: seeds_standing() and seeds_text() may say something else. Cheap. */
uint64_t seeds_mark(const struct seeds *s, struct gossip_core *core);

/* Append the entries that are waited for, and why: "dns+a:7946 (NXDOMAIN: no such name), ...".
 * Nothing when none is. Remarks of `t` say why an address does not answer. */
void seeds_text(const struct seeds *s, struct gossip_core *core, const struct transport *t,
                struct buf *out);

#endif
