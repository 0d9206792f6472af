/* gossip/codec.h - what the key-value store needs to know of a value: how to read, merge and write
 * it. The ring implements one (ring/desc.c); the store itself knows no value.
 *
 * The merge contract is dskit's (kv/memberlist/mergeable.go): idempotent, commutative, associative
 * without local_cas. Pure; one owner thread. */
#ifndef GOSSIP_CODEC_H
#define GOSSIP_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

typedef void (*kv_name_fn)(void *arg, struct str name);

struct kv_codec {
    const char *id; /* as on the wire, "ringDesc" */

    /* Read the bytes of KeyValuePair.value (for ringDesc: snappy block of a protobuf). Hostile.
     * ERR_PARSE, ERR_LIMIT, ERR_NOMEM with *value untouched. */
    int (*decode)(void **value, struct str bytes, struct err *err);

    /* Append the bytes of KeyValuePair.value. */
    void (*encode)(const void *value, struct buf *out);

    /* Merge `incoming` into *into (NULL: nothing there yet) at wall second now_s. *change gets the
     * delta (owned by the caller) or NULL when nothing changed. With local_cas entries missing
     * from incoming become tombstones. ERR_NOMEM. */
    int (*merge)(void **into, const void *incoming, bool local_cas, int64_t now_s, void **change);

    /* What merge() without local_cas does, where it can be done without taking memory: `incoming`
     * brings newer states of what `into` holds in the same shape (heartbeats). True: done, and
     * `incoming` is the delta, empty when there was no news. False: both are as they were, merge()
     * is to do it. May be NULL. */
    bool (*refresh)(void *into, void *incoming);

    int (*clone)(void **out, const void *value); /* ERR_NOMEM */
    void (*free)(void **value);                  /* NULL-safe, leaves NULL */

    /* Remove tombstones older than limit_s (unix seconds; 0: all). Returns how many are left. */
    size_t (*remove_tombstones)(void *value, int64_t limit_s);

    bool (*is_empty)(const void *value);

    /* About how many bytes of memory the value takes. */
    size_t (*size)(const void *value);

    /* Names of what is in it (for rings the instance ids), for replacing queued broadcasts. */
    void (*content)(const void *value, kv_name_fn each, void *arg);

    /* Append the value as JSON, for /memberlist's view of a key. */
    void (*to_json)(const void *value, struct buf *out);
};

#endif
