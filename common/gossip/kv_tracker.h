/* gossip/kv_tracker.h - how long a change takes to reach this member: dskit's propagation delay
 * tracker.
 *
 * Members publish beacons under one key; who sees a beacon of another for the first time knows
 * how old it is. Off by default. Follows grafana/dskit kv/memberlist/propagation_tracker.go; the
 * measurement is as good as the clocks of the members agree.
 * Pure; one owner thread. Tests: tests/unit/gossip/test_kv_tracker.c; fuzz:
 * tests/fuzz/fuzz_tracker.c. */
#ifndef GOSSIP_KV_TRACKER_H
#define GOSSIP_KV_TRACKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "gossip/codec.h"

struct kv;
struct kv_tracker;
struct log;

#define KV_TRACKER_KEY "memberlist-propagation-delay-tracker"

enum { BEACONS_MAX = 4096, BEACON_NAME_MAX = 1024 };

/* One beacon, as in the value. */
struct beacon {
    uint64_t id; /* never 0 */
    wall_ms published;
    wall_ms deleted; /* 0: not */
    struct str by;   /* the publishing member's name */
};

/* The value: beacons by rising id. */
struct beacons;

/* "propagationDelayTracker": snappy of the protobuf. */
extern const struct kv_codec kv_tracker_codec;

/* For reading values. */
size_t beacons_count(const struct beacons *b);
const struct beacon *beacons_at(const struct beacons *b, size_t i);

struct kv_tracker_config {
    bool enabled;
    uint32_t interval_ms;  /* at most one beacon in the whole cluster per interval */
    uint32_t lifetime_ms;  /* then a beacon is deleted */
    uint32_t log_longer_ms; /* log beacons that took longer; 0: none */
};

struct kv_tracker_stats {
    uint64_t published, received;
};

/* A delay was measured. */
typedef void (*kv_tracker_fn)(void *arg, double seconds);

/* A tracker on `kv` for the member `name` (copied). Registers codec and watch; kv, rng and log
 * must outlive it, and it must be freed after kv was last notified. ERR_NOMEM, ERR_EXIST with
 * *out untouched. */
int kv_tracker_init(struct kv_tracker **out, const struct kv_tracker_config *config,
                    struct kv *kv, struct str name, struct rng *rng, const struct log *log,
                    mono_ms now);
void kv_tracker_free(struct kv_tracker **t); /* NULL-safe; leaves *t NULL */

/* Whom to tell measured delays; fn NULL: nobody. */
void kv_tracker_observer(struct kv_tracker *t, kv_tracker_fn fn, void *arg);

/* Publish and delete beacons when it is time; when to call again. `wall` is also what the
 * watching measures by, so set it with kv_tracker_time() before kv_notify(). */
void kv_tracker_tick(struct kv_tracker *t, mono_ms now, wall_ms wall);
void kv_tracker_time(struct kv_tracker *t, wall_ms wall);
mono_ms kv_tracker_due(const struct kv_tracker *t);

/* Counted since the start; lives as long as the tracker. */
const struct kv_tracker_stats *kv_tracker_stats(const struct kv_tracker *t);

#endif
