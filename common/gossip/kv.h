/* gossip/kv.h - dskit's key-value store: every member holds all keys, changes merge, and only
 * what changed is told on.
 *
 * Values are known through their codec alone (gossip/codec.h). What must be told waits in two
 * broadcast queues, our own changes first. Watchers are called by kv_notify(), never from inside
 * a change, and once for several changes: no news is ever dropped. Follows grafana/dskit
 * kv/memberlist.
 *
 * A key that is watched by its name or written here is ours, and always has room. All others are
 * stray: held for the sake of peers who may use them, or made up by one that floods. They share
 * KV_STRAY_KEYS_MAX and KV_STRAY_BYTES_MAX; one that grows beyond is forgotten as a whole, since
 * a value that no longer follows its tombstones would bring back to others what is gone.
 * Pure; one owner thread. Tests: tests/unit/gossip/test_kv.c; fuzz: tests/fuzz/fuzz_kv.c. */
#ifndef GOSSIP_KV_H
#define GOSSIP_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"
#include "gossip/broadcast.h"
#include "gossip/codec.h"

struct log;
struct kv;
struct kv_history;

enum {
    KV_STRAY_KEYS_MAX = 1024,
    KV_STRAY_BYTES_MAX = 64 << 20, /* of their values in memory */
    KV_KEY_BYTES_MAX = 1024,
    KV_QUEUED_BYTES_MAX = 64 << 20, /* of others' changes to be told on; push/pull tells the rest */
};

struct kv_config {
    uint32_t retransmit_mult;
    uint32_t tombstone_ms; /* merged tombstones older than this are removed; 0: never */
    uint32_t obsolete_ms;  /* deleted keys are dropped after; 0: never */
    uint32_t prefix_buffer; /* keys that one kv_notify() tells a watcher of a prefix; 0: any */
    size_t history_bytes;   /* of messages kept in each direction; 0: none */
};

struct kv_stats {
    uint64_t received, received_bytes, received_invalid;
    uint64_t received_dropped;     /* for lack of memory, or of room for stray keys */
    uint64_t stray_dropped;        /* values of stray keys not taken, or forgotten, for that */
    uint64_t pushed, pushed_bytes; /* remote states merged */
    uint64_t state_invalid;        /* pairs in them that could not be understood */
    uint64_t pulled, pulled_bytes; /* local states produced */
    uint64_t cas_attempts, cas_successes, cas_failures;
    uint64_t dropped_nomem; /* changes merged but not told, or not merged */
};

/* An empty store. log may be NULL, else it must outlive it. ERR_NOMEM with *out untouched. */
int kv_init(struct kv **out, const struct kv_config *config, const struct log *log);
void kv_free(struct kv **kv); /* NULL-safe; leaves *kv NULL */

/* Understand values of this codec (borrowed for the life of the store). ERR_NOMEM, ERR_EXIST. */
int kv_register(struct kv *kv, const struct kv_codec *codec);

/* The value of `key` changed. `value` is borrowed for the call, tombstones included; NULL after
 * the key was deleted. */
typedef void (*kv_watch_fn)(void *arg, struct str key, const void *value);

/* Call fn after every change of `key`, and once soon when it has a value already. ERR_NOMEM. */
int kv_watch(struct kv *kv, struct str key, kv_watch_fn fn, void *arg);

/* The same for every key that begins with `prefix` (copied), also those to come. ERR_NOMEM. */
int kv_watch_prefix(struct kv *kv, struct str prefix, kv_watch_fn fn, void *arg);

/* Call the watchers of what changed since. They may change keys. True when any was called. What
 * is left when a watcher of a prefix was told of `prefix_buffer` keys waits for the next call. */
bool kv_notify(struct kv *kv);

/* Changed keys whose watchers have not been told. */
size_t kv_pending(const struct kv *kv);

/* The value, tombstones included; NULL: none. Borrowed until the next change. */
const void *kv_get(const struct kv *kv, struct str key);

/* What an edit wants. */
enum kv_edit { KV_KEEP, KV_STORE };

/* Edit a value: *value is a copy without tombstones, the caller's to change or (with the codec's
 * free) to replace; NULL when there is none. Returns KV_STORE to merge it, KV_KEEP to leave all
 * as it is, or an ERR_. Entries that are missing from it become tombstones. */
typedef int (*kv_edit_fn)(void *arg, void **value);

/* Compare and swap, in one step since there is one owner. `codec` names the codec of a key that
 * does not exist yet. 0: stored, or kept; ERR_AGAIN: the merge saw no change (typically a second
 * write within one second): try again a second later; ERR_NOENT: no such codec; ERR_INVAL: a bad
 * key, or another codec than the key has; ERR_NOMEM; or what the edit returned. On failure nothing
 * is stored. */
int kv_cas(struct kv *kv, struct str key, const char *codec, kv_edit_fn edit, void *arg,
           wall_ms now);

/* Mark a key deleted and tell so. ERR_NOENT, ERR_NOMEM. */
int kv_delete(struct kv *kv, struct str key, wall_ms now);

/* Drop deleted keys and tombstones that are old enough. Call now and then. */
void kv_expire(struct kv *kv, wall_ms now);

/* A user message: one pair. 0 (also when it brought nothing new), ERR_PARSE, ERR_NOENT (unknown
 * codec), ERR_LIMIT, ERR_NOMEM. */
int kv_on_message(struct kv *kv, struct str msg, wall_ms now);

/* A peer's state: framed pairs. What can be understood is merged; ERR_PARSE when it breaks off. */
int kv_on_state(struct kv *kv, struct str state, wall_ms now);

/* Append our state: framed pairs of all keys with a value. */
void kv_put_state(struct kv *kv, struct buf *out);

/* As bcast_take(), local changes first; `members` is the number of alive and suspect ones. */
size_t kv_take(struct kv *kv, size_t budget, size_t overhead, size_t members, bcast_fn fn,
               void *arg);

/* Stop telling our own changes, those queued excepted. */
void kv_close_local(struct kv *kv);

size_t kv_queued_local(const struct kv *kv);  /* own changes waiting to be told */
size_t kv_queued_gossip(const struct kv *kv); /* others' changes waiting to be told on */
size_t kv_queued_bytes(const struct kv *kv);

/* Memory of the values of stray keys. */
size_t kv_stray_bytes(const struct kv *kv);

/* One key, for pages and metrics. */
struct kv_key {
    struct str key;
    const struct kv_codec *codec;
    const void *value;
    uint64_t version;
    bool deleted;
    wall_ms update_ms;
    size_t tombstones;           /* in the value, when they were last counted */
    uint64_t tombstones_removed; /* so far */
};

/* Walk the keys that have a value, in order of their first appearance: size_t at = 0;
 * while (kv_next(kv, &at, &k)) ... Borrowed until the next change. */
bool kv_next(const struct kv *kv, size_t *at, struct kv_key *out);

/* The messages told and received last (gossip/kv_history.h); lives as long as the store. */
const struct kv_history *kv_messages(const struct kv *kv);

/* Forget those messages. */
void kv_forget_messages(struct kv *kv);

/* Counted since the start; lives as long as the store. */
const struct kv_stats *kv_stats(const struct kv *kv);

#endif
