/* gossip/kv_priv.h - what the files of the store share: kv.c (entries, merging, our changes),
 * kv_watch.c (watchers), kv_tell.c (what is told, and how much of it waits). */
#ifndef GOSSIP_KV_PRIV_H
#define GOSSIP_KV_PRIV_H

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "gossip/kv.h"

struct watcher {
    struct list link;
    kv_watch_fn fn;
    void *arg;
    struct str prefix;  /* owned; of a watcher of many keys */
    uint32_t told;      /* keys in this round */
};

struct entry {
    struct str key;               /* owned */
    const struct kv_codec *codec; /* NULL while the key is only watched */
    void *value;                  /* NULL: none yet */
    uint64_t version;
    bool deleted;
    wall_ms update_ms;
    size_t tombstones;           /* in the value, when they were last counted */
    uint64_t tombstones_removed; /* so far */
    int64_t cleaned_s;           /* the limit of the last clean-up */
    bool ours;                   /* watched by its name or written here; else stray */
    size_t size;                 /* what it adds to kv.stray_bytes */
    struct list watchers;
    struct list changed; /* in kv.changed while watchers have not been told */
};

struct kv {
    struct kv_config cfg;
    const struct log *log;
    struct map *codecs;  /* id -> const struct kv_codec */
    struct map *entries; /* key -> struct entry */
    struct bcast *local, *gossip;
    struct kv_history *history;
    bool closed;
    struct list changed; /* entries, oldest change first */
    size_t changed_count;
    struct list prefixes; /* watchers */
    size_t stray_keys, stray_bytes;
    struct log_rate stray_rate, large_rate;
    struct kv_stats stats;
};

/* The entry of `key`, made when it is missing, and ours from now on if `ours`. ERR_INVAL,
 * ERR_NOMEM, ERR_LIMIT (too many stray keys). */
int kv_entry_get(struct kv *kv, struct str key, bool ours, struct entry **out);

/* Watchers are to be told of this entry; it is told of, or it goes away. */
void kv_entry_changed(struct kv *kv, struct entry *e);
void kv_entry_unchanged(struct kv *kv, struct entry *e);

/* Queue the change that made e's version. A failure is counted: push/pull makes up for it. */
void kv_tell(struct kv *kv, struct entry *e, const void *change, bool local, wall_ms now);

/* Note a received pair in the history, and what it changed (NULL: nothing). */
void kv_note_received(struct kv *kv, const struct entry *e, struct str msg, const void *change,
                      wall_ms now);

#endif
