/* gossip/kv_tracker_priv.h - what the value of the propagation tracker lends to the tracker. */
#ifndef GOSSIP_KV_TRACKER_PRIV_H
#define GOSSIP_KV_TRACKER_PRIV_H

#include "gossip/kv_tracker.h"

struct beacons {
    struct beacon *items; /* by rising id; names owned */
    size_t count, cap;
};

/* Put a copy of `item` into *value, which is made when it is NULL. ERR_NOMEM. */
int beacons_add(void **value, const struct beacon *item);

/* Take out what was published before `limit`. Returns how many. */
size_t beacons_drop_older(struct beacons *b, wall_ms limit);

#endif
