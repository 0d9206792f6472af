#include "gossip/kv.h"

#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "gossip/kv_pair.h"

struct watcher {
    struct list link;
    kv_watch_fn fn;
    void *arg;
};

struct entry {
    struct str key;               /* owned */
    const struct kv_codec *codec; /* NULL while the key is only watched */
    void *value;                  /* NULL: none yet */
    uint64_t version;
    bool deleted;
    wall_ms update_ms;
    struct list watchers;
    struct list changed; /* in kv.changed while watchers have not been told */
};

struct kv {
    struct kv_config cfg;
    const struct log *log;
    struct map *codecs;  /* id -> const struct kv_codec */
    struct map *entries; /* key -> struct entry */
    struct bcast *local, *gossip;
    bool closed;
    struct list changed; /* entries, oldest change first */
    struct kv_stats stats;
};

int kv_init(struct kv **out, const struct kv_config *config, const struct log *log)
{
    struct kv *kv = mem_zalloc(sizeof *kv);
    if (kv == NULL)
        return ERR_NOMEM;
    *kv = (struct kv){.cfg = *config, .log = log};
    list_init(&kv->changed);
    if (map_init(&kv->codecs) != 0 || map_init(&kv->entries) != 0 ||
        bcast_init(&kv->local) != 0 || bcast_init(&kv->gossip) != 0) {
        kv_free(&kv);
        return ERR_NOMEM;
    }
    *out = kv;
    return 0;
}

static void entry_free(struct entry *e)
{
    LIST_EACH_SAFE(link, &e->watchers)
        mem_free(LIST_ITEM(link, struct watcher, link));
    list_remove(&e->changed);
    if (e->codec != NULL)
        e->codec->free(&e->value);
    mem_free((void *)(uintptr_t)e->key.data);
    mem_free(e);
}

void kv_free(struct kv **out)
{
    struct kv *kv = *out;
    if (kv == NULL)
        return;
    size_t at = 0;
    void *e = NULL;
    while (kv->entries != NULL && map_next(kv->entries, &at, NULL, &e))
        entry_free(e);
    map_free(&kv->entries);
    map_free(&kv->codecs);
    bcast_free(&kv->local);
    bcast_free(&kv->gossip);
    mem_free(kv);
    *out = NULL;
}

int kv_register(struct kv *kv, const struct kv_codec *codec)
{
    if (map_has(kv->codecs, str_c(codec->id)))
        return ERR_EXIST;
    return map_put(kv->codecs, str_c(codec->id), (void *)(uintptr_t)codec, NULL);
}

/* The entry of `key`, made when it is missing. ERR_INVAL, ERR_LIMIT, ERR_NOMEM. */
static int entry_get(struct kv *kv, struct str key, struct entry **out)
{
    *out = map_get(kv->entries, key);
    if (*out != NULL)
        return 0;
    if (key.len == 0 || key.len > KV_KEY_BYTES_MAX)
        return ERR_INVAL;
    if (map_count(kv->entries) >= KV_KEYS_MAX)
        return ERR_LIMIT;
    struct entry *e = mem_zalloc(sizeof *e);
    if (e == NULL)
        return ERR_NOMEM;
    list_init(&e->watchers);
    list_init(&e->changed);
    e->key = str_of(mem_dup(key.data, key.len), key.len);
    if (e->key.data == NULL || map_put(kv->entries, key, e, NULL) != 0) {
        entry_free(e);
        return ERR_NOMEM;
    }
    *out = e;
    return 0;
}

/* Forget an entry that never got a value and that nobody watches. */
static void entry_drop_unused(struct kv *kv, struct entry *e)
{
    if (e->value != NULL || !list_is_empty(&e->watchers))
        return;
    (void)map_remove(kv->entries, e->key);
    entry_free(e);
}

static void entry_changed(struct kv *kv, struct entry *e)
{
    if (list_is_empty(&e->changed))
        list_push_back(&kv->changed, &e->changed);
}

int kv_watch(struct kv *kv, struct str key, kv_watch_fn fn, void *arg)
{
    struct entry *e = NULL;
    struct watcher *w = mem_alloc(sizeof *w);
    int rc = w == NULL ? ERR_NOMEM : entry_get(kv, key, &e);
    if (rc != 0) {
        mem_free(w);
        return rc;
    }
    *w = (struct watcher){.fn = fn, .arg = arg};
    list_push_back(&e->watchers, &w->link);
    if (e->value != NULL)
        entry_changed(kv, e);
    return 0;
}

enum { NOTIFY_MAX = 4 * KV_KEYS_MAX }; /* watchers that change keys: the rest waits */

bool kv_notify(struct kv *kv)
{
    struct list *first;
    int told = 0;
    for (; told < NOTIFY_MAX && (first = list_first(&kv->changed)) != NULL; told++) {
        struct entry *e = LIST_ITEM(first, struct entry, changed);
        list_remove(&e->changed);
        LIST_EACH(link, &e->watchers) {
            const struct watcher *w = LIST_ITEM(link, struct watcher, link);
            w->fn(w->arg, e->key, e->deleted ? NULL : e->value);
        }
    }
    return told > 0;
}

const void *kv_get(const struct kv *kv, struct str key)
{
    const struct entry *e = map_get(kv->entries, key);
    return e == NULL ? NULL : e->value;
}

/* --- telling -------------------------------------------------------------------------------- */

/* Names inside a change. */
struct names {
    struct str *items; /* views into `bytes` once complete */
    size_t count, cap;
    struct buf bytes;
    bool failed;
};

static void names_add(void *arg, struct str name)
{
    struct names *n = arg;
    if (n->count == n->cap) {
        size_t cap = n->cap * 2 + 8;
        struct str *items = mem_realloc_array(n->items, cap, sizeof *items);
        if (items == NULL) {
            n->failed = true;
            return;
        }
        n->items = items;
        n->cap = cap;
    }
    buf_str(&n->bytes, name);
    n->items[n->count++] = str_of(NULL, name.len);
}

/* Queue the change that made e's version. A failure is counted: push/pull makes up for it. */
static void tell(struct kv *kv, struct entry *e, const void *change, bool local)
{
    struct names names = {0};
    struct buf value = {0}, msg = {0};
    e->codec->content(change, names_add, &names);
    const char *at = (const char *)names.bytes.data;
    for (size_t i = 0; i < names.count && names.bytes.error == 0; i++) {
        names.items[i].data = at;
        at += names.items[i].len;
    }
    e->codec->encode(change, &value);
    kv_pair_put(&msg, &(struct kv_pair){e->key, buf_view(&value), str_c(e->codec->id), e->deleted,
                                        e->update_ms});
    if (names.failed || names.bytes.error != 0 || value.error != 0 || msg.error != 0 ||
        bcast_put_change(local ? kv->local : kv->gossip, e->key, e->version, names.items,
                         names.count, buf_view(&msg)) != 0)
        kv->stats.dropped_nomem++;
    mem_free(names.items);
    buf_reset(&names.bytes);
    buf_reset(&value);
    buf_reset(&msg);
}

/* --- merging -------------------------------------------------------------------------------- */

/* What comes in for one key. */
struct incoming {
    const struct kv_codec *codec;
    void *value; /* owned */
    bool deleted;
    wall_ms update_ms; /* 0: none */
    bool local;        /* a CAS of ours */
};

/* Merge into the entry's value; *change gets the delta or NULL. The first value is stored as it
 * came, and handed over: in->value is then NULL. ERR_NOMEM. */
static int merge_value(struct entry *e, struct incoming *in, wall_ms now, void **change)
{
    *change = NULL;
    if (e->value != NULL)
        return in->codec->merge(&e->value, in->value, in->local, now / 1000, change);
    int rc = in->codec->clone(change, in->value);
    if (rc != 0)
        return rc;
    e->value = in->value;
    in->value = NULL;
    return 0;
}

/* dskit's merge step after the value: the deleted flag, tombstones, the version. Consumes
 * *change. Returns true when there is something to tell, with *change still set. */
static bool settle(struct kv *kv, struct entry *e, struct incoming *in, bool first, wall_ms now,
                   void **change)
{
    const struct kv_codec *codec = in->codec;
    bool flag = false;
    if (in->update_ms != 0 && in->update_ms > e->update_ms && in->deleted) {
        flag = !e->deleted;
        e->update_ms = in->update_ms;
        e->deleted = true;
    }
    if (*change != NULL && codec->is_empty(*change))
        codec->free(change);
    if (*change == NULL && !flag)
        return false;
    if (kv->cfg.tombstone_ms > 0) {
        int64_t limit_s = (now - kv->cfg.tombstone_ms) / 1000;
        (void)codec->remove_tombstones(e->value, limit_s);
        if (*change != NULL) {
            (void)codec->remove_tombstones(*change, limit_s);
            if (codec->is_empty(*change))
                codec->free(change);
        }
        if (*change == NULL && !flag) {
            if (first) /* nothing but expired tombstones: as if it had not come */
                codec->free(&e->value);
            return false;
        }
    }
    if (*change == NULL && codec->clone(change, e->value) != 0)
        kv->stats.dropped_nomem++;
    e->version++;
    return true;
}

/* Merge one key. 1: changed, watchers are to be told; 0: nothing new; ERR_. Frees in->value. */
static int merge(struct kv *kv, struct str key, struct incoming *in, wall_ms now)
{
    struct entry *e = NULL;
    void *change = NULL;
    int rc = entry_get(kv, key, &e);
    if (rc == 0 && e->value != NULL && e->codec != in->codec)
        rc = ERR_INVAL;
    bool first = rc == 0 && e->value == NULL;
    if (rc == 0 && !(first && in->deleted)) { /* what is deleted is never brought to life */
        rc = merge_value(e, in, now, &change);
        if (rc == 0) {
            e->codec = in->codec;
            if (settle(kv, e, in, first, now, &change)) {
                if (change != NULL && !(in->local && kv->closed))
                    tell(kv, e, change, in->local);
                entry_changed(kv, e);
                rc = 1;
            }
        }
    }
    in->codec->free(&change);
    in->codec->free(&in->value);
    if (e != NULL)
        entry_drop_unused(kv, e);
    return rc;
}

/* Merge what came from a peer. */
static int merge_pair(struct kv *kv, const struct kv_pair *p, wall_ms now)
{
    struct incoming in = {.deleted = p->deleted, .update_ms = p->update_ms};
    struct err err = {0};
    if (p->key.len == 0)
        return ERR_PARSE;
    in.codec = map_get(kv->codecs, p->codec);
    if (in.codec == NULL)
        return ERR_NOENT;
    /* dskit takes no value for the snappy block of no bytes. */
    struct str value = p->value.len == 0 ? str_of("\0", 1) : p->value;
    int rc = in.codec->decode(&in.value, value, &err);
    if (rc != 0) {
        log_line(kv->log, LOG_DEBUG, "value cannot be read", LOG_S("key", p->key),
                 LOG_C("reason", err.msg));
        return rc;
    }
    return merge(kv, p->key, &in, now);
}

int kv_on_message(struct kv *kv, struct str msg, wall_ms now)
{
    struct kv_pair p;
    kv->stats.received++;
    kv->stats.received_bytes += msg.len;
    int rc = kv_pair_get(&p, msg);
    if (rc == 0)
        rc = merge_pair(kv, &p, now);
    if (rc == ERR_NOMEM)
        kv->stats.dropped_nomem++;
    else if (rc < 0)
        kv->stats.received_invalid++;
    return rc < 0 ? rc : 0;
}

int kv_on_state(struct kv *kv, struct str state, wall_ms now)
{
    struct kv_pair p;
    int rc;
    kv->stats.pushed++;
    kv->stats.pushed_bytes += state.len;
    while ((rc = kv_pair_next(&state, &p)) > 0)
        if (merge_pair(kv, &p, now) == ERR_NOMEM)
            kv->stats.dropped_nomem++;
    return rc;
}

void kv_put_state(struct kv *kv, struct buf *out)
{
    size_t at = 0, before = out->size;
    void *item = NULL;
    struct buf value = {0};
    while (map_next(kv->entries, &at, NULL, &item)) {
        const struct entry *e = item;
        if (e->value == NULL)
            continue;
        buf_clear(&value);
        e->codec->encode(e->value, &value);
        if (value.error != 0)
            out->error = value.error;
        kv_pair_put_framed(out, &(struct kv_pair){e->key, buf_view(&value), str_c(e->codec->id),
                                                  e->deleted, e->update_ms});
    }
    buf_reset(&value);
    kv->stats.pulled++;
    kv->stats.pulled_bytes += out->size - before;
}

/* --- our own changes ------------------------------------------------------------------------ */

static int cas(struct kv *kv, struct str key, const char *codec_id, kv_edit_fn edit, void *arg,
               wall_ms now)
{
    const struct entry *e = map_get(kv->entries, key);
    struct incoming in = {.codec = map_get(kv->codecs, str_c(codec_id)), .local = true};
    if (in.codec == NULL)
        return ERR_NOENT;
    if (e != NULL && e->value != NULL) {
        if (e->codec != in.codec)
            return ERR_INVAL;
        int rc = in.codec->clone(&in.value, e->value);
        if (rc != 0)
            return rc;
        (void)in.codec->remove_tombstones(in.value, 0);
    }
    int want = edit(arg, &in.value);
    if (want != KV_STORE || in.value == NULL) {
        in.codec->free(&in.value);
        return want < 0 ? want : 0;
    }
    int rc = merge(kv, key, &in, now);
    return rc == 0 ? ERR_AGAIN : rc < 0 ? rc : 0;
}

int kv_cas(struct kv *kv, struct str key, const char *codec, kv_edit_fn edit, void *arg,
           wall_ms now)
{
    kv->stats.cas_attempts++;
    int rc = cas(kv, key, codec, edit, arg, now);
    if (rc == 0)
        kv->stats.cas_successes++;
    else
        kv->stats.cas_failures++;
    return rc;
}

int kv_delete(struct kv *kv, struct str key, wall_ms now)
{
    struct entry *e = map_get(kv->entries, key);
    if (e == NULL || e->value == NULL)
        return ERR_NOENT;
    if (e->deleted)
        return 0;
    void *change = NULL;
    int rc = e->codec->clone(&change, e->value);
    if (rc != 0)
        return rc;
    e->deleted = true;
    e->update_ms = now;
    e->version++;
    tell(kv, e, change, true);
    e->codec->free(&change);
    entry_changed(kv, e);
    return 0;
}

void kv_expire(struct kv *kv, wall_ms now)
{
    size_t at = 0;
    void *item = NULL;
    while (kv->cfg.obsolete_ms > 0 && map_next(kv->entries, &at, NULL, &item)) {
        struct entry *e = item;
        if (e->value == NULL || !e->deleted || now - e->update_ms <= kv->cfg.obsolete_ms)
            continue;
        e->codec->free(&e->value);
        e->codec = NULL;
        e->deleted = false;
        e->version = 0;
        e->update_ms = 0;
        entry_drop_unused(kv, e);
    }
}

size_t kv_take(struct kv *kv, size_t budget, size_t overhead, size_t members, bcast_fn fn,
               void *arg)
{
    uint32_t limit = bcast_limit(kv->cfg.retransmit_mult, members);
    size_t used = bcast_take(kv->local, budget, overhead, limit, fn, arg);
    return used + bcast_take(kv->gossip, budget - used, overhead, limit, fn, arg);
}

void kv_close_local(struct kv *kv)
{
    kv->closed = true;
}

size_t kv_queued_local(const struct kv *kv)
{
    return bcast_count(kv->local);
}

size_t kv_queued_gossip(const struct kv *kv)
{
    return bcast_count(kv->gossip);
}

size_t kv_queued_bytes(const struct kv *kv)
{
    return bcast_bytes(kv->local) + bcast_bytes(kv->gossip);
}

bool kv_next(const struct kv *kv, size_t *at, struct kv_key *out)
{
    void *item = NULL;
    while (map_next(kv->entries, at, NULL, &item)) {
        const struct entry *e = item;
        if (e->value == NULL)
            continue;
        *out = (struct kv_key){e->key,     e->codec,   e->value,
                               e->version, e->deleted, e->update_ms};
        return true;
    }
    return false;
}

const struct kv_stats *kv_stats(const struct kv *kv)
{
    return &kv->stats;
}
