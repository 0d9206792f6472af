/* ring/lookup.h - an immutable view of a ring: which members hold a token, and are they enough.
 *
 * Gives the same answers as grafana/dskit ring/ring.go and replication_strategy.go, zones and
 * extension past members that cannot take writes included; ring_set_living() is ours. Built from
 * a desc, never changed, counted: any thread may hold one and ask without a lock. Time is an
 * argument, so a view grows old by itself. Pure. Tests: tests/unit/ring/test_lookup.c. */
#ifndef RING_LOOKUP_H
#define RING_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct ring_desc;
struct ring_instance;

/* What is asked for: states that count as healthy (bit 1 << state), and states that make the
 * replica set one larger (bit 0x10000 << state). dskit's numbers. */
enum ring_op {
    RING_WRITE = 0x001e0001,
    RING_WRITE_NO_EXTEND = 0x00000001,
    RING_READ = 0x001c0007,
    RING_REPORTING = 0x0000ffff,
};

struct ring_options {
    uint32_t replication_factor; /* >= 1 */
    bool zone_aware;
    int64_t heartbeat_timeout_ms;
    const struct str *excluded_zones; /* members of these are left out of the view */
    size_t excluded_zone_count;
};

struct ring;

/* A view of the desc (copied), tombstones left out. One reference is the caller's. ERR_INVAL
 * (replication factor 0), ERR_NOMEM. */
int ring_init(struct ring **out, const struct ring_desc *desc,
              const struct ring_options *options, struct err *err);

/* As ring_init(), made from the view before (may be NULL): while members, zones and tokens are
 * the same, as between two heartbeats, it shares them, and costs a copy of the members only. */
int ring_next(struct ring **out, const struct ring *before, const struct ring_desc *desc,
              const struct ring_options *options, struct err *err);

/* Take and drop a reference. ring_drop is NULL-safe and leaves NULL; the last one frees. */
struct ring *ring_hold(struct ring *r);
void ring_drop(struct ring **r);

/* Members in order of their ids, and one by its id (NULL: none). Borrowed from the view. */
size_t ring_count(const struct ring *r);
const struct ring_instance *ring_at(const struct ring *r, size_t i);
const struct ring_instance *ring_find(const struct ring *r, struct str id);

/* Tokens in all, and the zones that have any. */
size_t ring_token_count(const struct ring *r);
size_t ring_zone_count(const struct ring *r);

/* A set of members; all-zero is empty and ready. The pointers borrow from the view. */
struct ring_set {
    const struct ring_instance **items;
    uint32_t count, cap;
    uint32_t dead;                  /* so many are in it only since others are dead */
    uint32_t max_errors;            /* so many of them may fail */
    uint32_t max_unavailable_zones; /* of ring_set_all() with zones: instead of max_errors */
};

/* Give the memory back; all-zero afterwards. */
void ring_set_reset(struct ring_set *s);

/* The replica set of a token in ring order, healthy or not: the nearest members clockwise, one
 * more for each member in a state that op extends on. rf 0 means the view's. This list names a
 * lane (its ids, in this order). ERR_UNAVAILABLE "empty ring", ERR_NOMEM. */
int ring_set_of(const struct ring *r, uint32_t token, uint32_t op, uint32_t rf,
                struct ring_set *out, struct err *err);

/* As ring_set_of(), and one more for each member whose heartbeat timed out at `now`: where dskit's
 * writes fail though enough members live, as beside the remains of another cluster, these go on.
 * ring_set_filter() asks for a majority as if they had not. */
int ring_set_living(const struct ring *r, uint32_t token, uint32_t op, uint32_t rf, wall_ms now,
                    struct ring_set *out, struct err *err);

/* Take the members out that are not healthy for op at `now` and set max_errors. With fewer left
 * than a majority: ERR_UNAVAILABLE with dskit's text, and *s is what is left. rf as above. */
int ring_set_filter(const struct ring *r, uint32_t op, uint32_t rf, wall_ms now,
                    struct ring_set *s, struct err *err);

/* Both in one: who takes part in op on this token now. */
int ring_get(const struct ring *r, uint32_t token, uint32_t op, uint32_t rf, wall_ms now,
             struct ring_set *out, struct err *err);

/* Healthy members whose answers together hold everything, and how many may fail.
 * ERR_UNAVAILABLE "empty ring" or "too many unhealthy instances in the ring", ERR_NOMEM. */
int ring_set_all(const struct ring *r, uint32_t op, wall_ms now, struct ring_set *out,
                 struct err *err);

/* All healthy members; no failures allowed. ERR_UNAVAILABLE "empty ring" without any member. */
int ring_set_healthy(const struct ring *r, uint32_t op, wall_ms now, struct ring_set *out,
                     struct err *err);

/* Is the member in a state that op allows, and its heartbeat in time? */
bool ring_is_healthy(const struct ring *r, const struct ring_instance *in, uint32_t op,
                     wall_ms now);

/* How much of the 2^32 keys a member owns: from each of its tokens back to the one before
 * within its zone. 0 for an unknown member. */
uint64_t ring_owned(const struct ring *r, struct str id);

#endif
