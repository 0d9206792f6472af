/* gossip/kv.c - the entries: merging into them, tombstones, expiry. */
#include "gossip/kv.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "gossip/kv_history.h"
#include "gossip/kv_pair.h"
#include "gossip/kv_priv.h"

enum { STRAY_LOG_MS = 600000 };

int kv_init(struct kv **out, const struct kv_config *config, const struct log *log)
{
    struct kv *kv = mem_zalloc(sizeof *kv);
    if (kv == NULL)
        return ERR_NOMEM;
    *kv = (struct kv){.cfg = *config, .log = log};
    list_init(&kv->changed);
    list_init(&kv->prefixes);
    if (map_init(&kv->codecs) != 0 || map_init(&kv->entries) != 0 ||
        bcast_init(&kv->local) != 0 || bcast_init(&kv->gossip) != 0 ||
        kv_history_init(&kv->history, config->history_bytes) != 0) {
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
    LIST_EACH_SAFE(link, &kv->prefixes) {
        struct watcher *w = LIST_ITEM(link, struct watcher, link);
        mem_free((void *)(uintptr_t)w->prefix.data);
        mem_free(w);
    }
    kv_history_free(&kv->history);
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

/* --- entries -------------------------------------------------------------------------------- */

static void set_stray_size(struct kv *kv, struct entry *e, size_t size)
{
    kv->stray_bytes += size - e->size;
    e->size = size;
}

/* The value is gone; watchers and the key itself stay. */
static void entry_clear(struct kv *kv, struct entry *e)
{
    set_stray_size(kv, e, 0);
    e->codec->free(&e->value);
    e->codec = NULL;
    e->deleted = false;
    e->version = 0;
    e->update_ms = 0;
    e->tombstones = 0;
}

/* A stray key finds no room: counted, and said once in a while. */
static void stray_dropped(struct kv *kv, struct str key, wall_ms now)
{
    uint64_t left_out;
    kv->stats.stray_dropped++;
    if (log_rate_pass(&kv->stray_rate, now, STRAY_LOG_MS, &left_out))
        log_line(kv->log, LOG_WARN,
                 "too much is held for keys that nobody here uses: a value was dropped, ours have "
                 "their room",
                 LOG_S("key", str_head(key, 100)), LOG_U("keys", kv->stray_keys),
                 LOG_U("bytes", kv->stray_bytes), LOG_U("max_keys", KV_STRAY_KEYS_MAX),
                 LOG_U("max_bytes", KV_STRAY_BYTES_MAX), LOG_U("left_out", left_out));
}

/* The codec finds a value too large with these news. */
static void too_large(struct kv *kv, struct str key, wall_ms now)
{
    uint64_t left_out;
    if (log_rate_pass(&kv->large_rate, now, STRAY_LOG_MS, &left_out))
        log_line(kv->log, LOG_WARN, "news would make a value too large, and were dropped",
                 LOG_S("key", str_head(key, 100)), LOG_U("left_out", left_out));
}

/* A stray value has grown: forget it when that is too much. */
static int settle_stray(struct kv *kv, struct entry *e, wall_ms now)
{
    if (e->ours)
        return 0;
    set_stray_size(kv, e, e->codec->size(e->value));
    if (kv->stray_bytes <= KV_STRAY_BYTES_MAX)
        return 0;
    stray_dropped(kv, e->key, now);
    entry_clear(kv, e);
    return ERR_LIMIT;
}

int kv_entry_get(struct kv *kv, struct str key, bool ours, struct entry **out)
{
    *out = map_get(kv->entries, key);
    if (*out != NULL) {
        if (ours && !(*out)->ours) {
            set_stray_size(kv, *out, 0);
            kv->stray_keys--;
            (*out)->ours = true;
        }
        return 0;
    }
    if (key.len == 0 || key.len > KV_KEY_BYTES_MAX)
        return ERR_INVAL;
    if (!ours && kv->stray_keys >= KV_STRAY_KEYS_MAX)
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
    e->ours = ours;
    kv->stray_keys += !ours;
    *out = e;
    return 0;
}

/* Forget an entry that never got a value and that nobody watches. */
static void entry_drop_unused(struct kv *kv, struct entry *e)
{
    if (e->value != NULL || !list_is_empty(&e->watchers))
        return;
    kv_entry_unchanged(kv, e);
    kv->stray_keys -= !e->ours;
    (void)map_remove(kv->entries, e->key);
    entry_free(e);
}

const void *kv_get(const struct kv *kv, struct str key)
{
    const struct entry *e = map_get(kv->entries, key);
    return e == NULL ? NULL : e->value;
}

/* --- merging -------------------------------------------------------------------------------- */

/* What comes in for one key. */
struct incoming {
    const struct kv_codec *codec;
    void *value; /* owned */
    bool deleted;
    wall_ms update_ms; /* 0: none */
    bool local;        /* a CAS of ours */
    struct str raw;    /* the pair as it came */
    bool refreshed;    /* the value kept its shape, and its size */
};

/* Merge into the entry's value; *change gets the delta or NULL. The first value is stored as it
 * came, and handed over: in->value is then NULL. ERR_NOMEM. */
static int merge_value(struct entry *e, struct incoming *in, wall_ms now, void **change)
{
    *change = NULL;
    if (e->value != NULL && !in->local && in->codec->refresh != NULL &&
        in->codec->refresh(e->value, in->value)) {
        in->refreshed = true;
        *change = in->value;
        in->value = NULL;
        return 0;
    }
    if (e->value != NULL)
        return in->codec->merge(&e->value, in->value, in->local, now / 1000, change);
    int rc = in->codec->clone(change, in->value);
    if (rc != 0)
        return rc;
    e->value = in->value;
    in->value = NULL;
    return 0;
}

/* The second before which tombstones go; never 0, which would mean all. */
static int64_t tombstone_limit(const struct kv *kv, wall_ms now)
{
    int64_t limit_s = (now - kv->cfg.tombstone_ms) / 1000;
    return limit_s == 0 ? 1 : limit_s;
}

/* Remove expired tombstones from the value, and count. */
static void clean(struct entry *e, int64_t limit_s)
{
    size_t before = e->codec->remove_tombstones(e->value, INT64_MIN);
    e->tombstones = e->codec->remove_tombstones(e->value, limit_s);
    e->tombstones_removed += before - e->tombstones;
    e->cleaned_s = limit_s;
}

/* Clean value and change. The value is walked only when the change can have brought a tombstone,
 * or a second has passed: times of values are whole seconds. */
static void settle_tombstones(struct kv *kv, struct entry *e, wall_ms now, void **change)
{
    const struct kv_codec *codec = e->codec;
    int64_t limit_s = tombstone_limit(kv, now);
    bool brought = *change != NULL && codec->remove_tombstones(*change, INT64_MIN) > 0;
    if (brought || limit_s != e->cleaned_s)
        clean(e, limit_s);
    if (!brought)
        return;
    (void)codec->remove_tombstones(*change, limit_s);
    if (codec->is_empty(*change))
        codec->free(change);
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
    if (*change != NULL && kv->cfg.tombstone_ms > 0)
        settle_tombstones(kv, e, now, change);
    if (*change == NULL && !flag) {
        if (first) /* nothing, or nothing but expired tombstones: as if it had not come */
            codec->free(&e->value);
        return false;
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
    int rc = kv_entry_get(kv, key, in->local, &e);
    if (rc == ERR_LIMIT)
        stray_dropped(kv, key, now);
    if (rc == 0 && e->value != NULL && e->codec != in->codec)
        rc = ERR_INVAL;
    bool first = rc == 0 && e->value == NULL;
    if (rc == 0 && !(first && in->deleted)) { /* what is deleted is never brought to life */
        rc = merge_value(e, in, now, &change);
        if (rc == 0) {
            e->codec = in->codec;
            bool told = settle(kv, e, in, first, now, &change);
            if (told && !in->refreshed)
                rc = settle_stray(kv, e, now);
            if (told && rc == 0) {
                if (change != NULL && !(in->local && kv->closed))
                    kv_tell(kv, e, change, in->local, now);
                kv_entry_changed(kv, e);
                rc = 1;
            }
        }
    }
    if (rc == ERR_LIMIT && e != NULL && e->value != NULL)
        too_large(kv, key, now);
    if (rc >= 0 && !in->local)
        kv_note_received(kv, e, in->raw, rc == 1 ? change : NULL, now);
    in->codec->free(&change);
    in->codec->free(&in->value);
    if (e != NULL)
        entry_drop_unused(kv, e);
    return rc;
}

/* Merge what came from a peer as the bytes `raw`. */
static int merge_pair(struct kv *kv, const struct kv_pair *p, struct str raw, wall_ms now)
{
    struct incoming in = {.deleted = p->deleted, .update_ms = p->update_ms, .raw = raw};
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
        rc = merge_pair(kv, &p, msg, now);
    if (rc == ERR_NOMEM || rc == ERR_LIMIT)
        kv->stats.received_dropped++;
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
    for (struct str before = state; (rc = kv_pair_next(&state, &p)) > 0; before = state) {
        struct str raw = str_of(before.data + 4, before.len - state.len - 4); /* no length */
        int merged = merge_pair(kv, &p, raw, now);
        if (merged == ERR_NOMEM)
            kv->stats.dropped_nomem++;
        else if (merged < 0)
            kv->stats.state_invalid++;
    }
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
    kv_tell(kv, e, change, true, now);
    e->codec->free(&change);
    kv_entry_changed(kv, e);
    return 0;
}

static bool is_obsolete(const struct kv *kv, const struct entry *e, wall_ms now)
{
    return kv->cfg.obsolete_ms > 0 && e->deleted && now - e->update_ms > kv->cfg.obsolete_ms;
}

void kv_expire(struct kv *kv, wall_ms now)
{
    size_t at = 0;
    void *item = NULL;
    while (map_next(kv->entries, &at, NULL, &item)) {
        struct entry *e = item;
        if (e->value != NULL && !is_obsolete(kv, e, now)) {
            if (kv->cfg.tombstone_ms > 0)
                clean(e, tombstone_limit(kv, now));
            if (!e->ours)
                set_stray_size(kv, e, e->codec->size(e->value));
            continue;
        }
        if (e->value == NULL)
            continue;
        entry_clear(kv, e);
        entry_drop_unused(kv, e);
    }
}

bool kv_next(const struct kv *kv, size_t *at, struct kv_key *out)
{
    void *item = NULL;
    while (map_next(kv->entries, at, NULL, &item)) {
        const struct entry *e = item;
        if (e->value == NULL)
            continue;
        *out = (struct kv_key){.key = e->key,
                               .codec = e->codec,
                               .value = e->value,
                               .version = e->version,
                               .deleted = e->deleted,
                               .update_ms = e->update_ms,
                               .tombstones = e->tombstones,
                               .tombstones_removed = e->tombstones_removed};
        return true;
    }
    return false;
}

size_t kv_stray_bytes(const struct kv *kv)
{
    return kv->stray_bytes;
}

const struct kv_stats *kv_stats(const struct kv *kv)
{
    return &kv->stats;
}
