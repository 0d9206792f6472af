/* ring/desc.h - the value of a ring: who is in it, with which tokens, in which state.
 *
 * Merges as dskit's ring.Desc does (grafana/dskit ring/model.go), so that members built from it
 * and ours agree on every ring. Instances are kept sorted by id; nothing depends on the order
 * of a map. Pure; one owner thread, or shared read-only. Tests: tests/unit/ring/test_desc.c;
 * fuzz: tests/fuzz/fuzz_ring.c. */
#ifndef RING_DESC_H
#define RING_DESC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct kv_codec;

/* dskit's numbers. LEFT is a tombstone: it keeps older news from bringing an instance back. */
enum ring_state { RING_ACTIVE, RING_LEAVING, RING_PENDING, RING_JOINING, RING_LEFT };

enum {
    RING_INSTANCES_MAX = 10000,
    RING_TOKENS_MAX = 4 << 20, /* of all instances */
    RING_BYTES_MAX = 32 << 20, /* of a value, unpacked */
    RING_MEMORY_MAX = 64 << 20, /* of a ring in memory: what would make it larger is not merged */
    RING_VERSIONS_MAX = 64,    /* of one instance */
};

/* Our ingesters say here which major of the exact-reads protocol they speak. */
#define RING_VERSION_EXACT 0x65786163u

struct ring_version {
    uint64_t component, version;
};

/* One member. In a desc everything is owned by it; texts have a NUL behind them. */
struct ring_instance {
    struct str id;        /* the map's key, and field 9 */
    struct str addr;      /* host:port */
    struct str zone;      /* "" for none */
    int64_t timestamp_s;  /* last heartbeat, unix seconds */
    int32_t state;        /* enum ring_state, or what a later version may send */
    int64_t registered_s; /* 0: unknown */
    bool read_only;       /* shuffle sharding leaves it out */
    int64_t read_only_since_s;
    uint32_t *tokens; /* as received; sorted where we made or merged them */
    uint32_t token_count;
    struct ring_version *versions;
    uint32_t version_count;
};

struct ring_desc;

/* An empty desc. ERR_NOMEM. */
int ring_desc_init(struct ring_desc **out);
void ring_desc_free(struct ring_desc **d); /* NULL-safe */

/* *out becomes a deep copy. ERR_NOMEM with *out untouched. */
int ring_desc_clone(struct ring_desc **out, const struct ring_desc *from);

/* Members in order of their ids; tombstones too. Pointers are valid until the next change. */
size_t ring_desc_count(const struct ring_desc *d);
const struct ring_instance *ring_desc_at(const struct ring_desc *d, size_t i);

/* The member `id`, or NULL. */
const struct ring_instance *ring_desc_find(const struct ring_desc *d, struct str id);

/* Add a deep copy of `in`, or replace the member of that id by it; `in` may be a member of d.
 * ERR_NOMEM with d unchanged, ERR_LIMIT (RING_INSTANCES_MAX). */
int ring_desc_put(struct ring_desc *d, const struct ring_instance *in);

/* Take the member `id` out. False when there is none. */
bool ring_desc_remove(struct ring_desc *d, struct str id);

/* About how many bytes of memory it takes. */
size_t ring_desc_size(const struct ring_desc *d);

/* The version of a component that an instance names, 0 for none. */
uint64_t ring_instance_version(const struct ring_instance *in, uint64_t component);

/* Read the protobuf message ring.Desc (hostile). ERR_PARSE, ERR_LIMIT, ERR_NOMEM, *out
 * untouched. */
int ring_desc_decode(struct ring_desc **out, struct str bytes, struct err *err);

/* Append the protobuf message, members sorted. */
void ring_desc_encode(const struct ring_desc *d, struct buf *out);

/* Merge news into *into (made when NULL; then taken over as they are) at unix second now_s.
 * With local_cas, members that `incoming` lacks become tombstones of now_s (or of their own
 * timestamp, if that is newer: clocks differ). *change gets the members that were updated, owned
 * by the caller, or NULL for no news. Shared tokens go to the member that is not LEAVING, else to
 * the lower id. ERR_NOMEM, ERR_LIMIT (RING_INSTANCES_MAX; of others' news also RING_MEMORY_MAX)
 * with *into unchanged. */
int ring_desc_merge(struct ring_desc **into, const struct ring_desc *incoming, bool local_cas,
                    int64_t now_s, struct ring_desc **change);

/* The same for the most frequent news, without taking memory: newer states of members that d knows
 * with the same tokens and with texts of the same length. True: merged, and `incoming` is the
 * change (without members when nothing was new). False: nothing was changed, ring_desc_merge()
 * is to do it. */
bool ring_desc_refresh(struct ring_desc *d, struct ring_desc *incoming);

/* Remove tombstones with a timestamp before limit_s (0: all). Returns how many are left. */
size_t ring_desc_remove_tombstones(struct ring_desc *d, int64_t limit_s);

/* "ACTIVE", ...; a number that is not in the list is "UNKNOWN". Static. */
const char *ring_state_name(int32_t state);

/* Alive by its heartbeat: timestamp no older than timeout_ms at unix millisecond now_ms. */
bool ring_instance_is_alive(const struct ring_instance *in, int64_t timeout_ms, int64_t now_ms);

/* The codec "ringDesc" of the key-value store: values are struct ring_desc, bytes are a snappy
 * block of the protobuf message. */
extern const struct kv_codec ring_codec;

#endif
