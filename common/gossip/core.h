/* gossip/core.h - a whole dskit member without its I/O: memberlist, the key-value store and the
 * joining, behind one set of events.
 *
 * The driver (gossip_uv.c) and the simulation (tests/sim/sim_gossip.c) both run exactly this.
 * Pure: time comes in twice, monotonic for durations and wall for what the values carry.
 * One owner thread. Tests: tests/sim/sim_gossip.c, tests/unit/gossip/test_page.c. */
#ifndef GOSSIP_CORE_H
#define GOSSIP_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "gossip/join.h"
#include "gossip/kv.h"
#include "gossip/kv_tracker.h"
#include "gossip/memberlist.h"

struct log;
struct gossip_core;

struct gossip_core_config {
    struct memberlist_config members;
    struct kv_config kv;
    struct join_config join;
    struct kv_tracker_config tracker;
    uint32_t notify_ms;      /* watchers are called at most this often; 0: after each event */
    uint32_t leave_ms;       /* longest wait for the leaving to be told; 0: no limit */
    uint32_t flush_ms;       /* longest wait for our changes to be told before; 0: no limit */
    uint64_t seed;           /* of all random choices */
};

/* dskit's values, with our own for joining. Name, addr and seed: empty. */
struct gossip_core_config gossip_core_config_default(void);

/* What time it is. Neither may be read from a clock in here. */
struct gossip_time {
    mono_ms mono;
    wall_ms wall;
};

/* A member that knows only itself. Names are copied. ERR_INVAL, ERR_NOMEM, *out untouched. */
int gossip_core_init(struct gossip_core **out, const struct gossip_core_config *config,
                     const struct log *log, struct gossip_time now, struct err *err);
void gossip_core_free(struct gossip_core **c); /* NULL-safe; leaves *c NULL */

/* Seeds to join; see join_set_seeds(). ERR_NOMEM. */
int gossip_core_seeds(struct gossip_core *c, const struct gossip_addr *seeds, size_t count,
                      struct gossip_time now);

/* Names of the join list without an address; see join_set_names(). Before gossip_core_seeds(). */
void gossip_core_names(struct gossip_core *c, bool pending, bool missing, struct gossip_time now);

/* Do what the time demands, call watchers; when to call again. */
void gossip_core_tick(struct gossip_core *c, struct gossip_time now);
mono_ms gossip_core_due(const struct gossip_core *c);

/* Events, as in gossip/memberlist.h. Watchers are called before they return. */
void gossip_core_on_packet(struct gossip_core *c, const struct gossip_addr *from,
                           struct str bytes, struct gossip_time now);
uint32_t gossip_core_on_accept(struct gossip_core *c, const struct gossip_addr *from,
                               struct gossip_time now);
void gossip_core_on_connect(struct gossip_core *c, uint32_t stream, struct gossip_time now);
void gossip_core_on_bytes(struct gossip_core *c, uint32_t stream, struct str bytes,
                          struct gossip_time now);
void gossip_core_on_end(struct gossip_core *c, uint32_t stream, int code, struct gossip_time now);

/* Pop the oldest action for the driver: packets and streams only, joins are answered inside. */
bool gossip_core_next(struct gossip_core *c, struct memberlist_action *out);

/* The store. After changing it call gossip_core_tick(), or wait for the next event. */
struct kv *gossip_core_kv(struct gossip_core *c);

/* Membership, for reading. */
const struct memberlist *gossip_core_members(const struct gossip_core *c);
const struct join *gossip_core_join(const struct gossip_core *c);

/* The propagation tracker; NULL while it is off. */
struct kv_tracker *gossip_core_tracker(struct gossip_core *c);

/* Stop: tell our changes, then leave. Ticks go on until gossip_core_is_over(). */
void gossip_core_stop(struct gossip_core *c, struct gossip_time now);
bool gossip_core_is_over(const struct gossip_core *c);

#endif
