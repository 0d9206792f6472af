/* gossip/kv_watch.c - tells watchers of a key that it changed. */
#include "base/err.h"
#include "base/mem.h"
#include "gossip/kv_priv.h"

void kv_entry_changed(struct kv *kv, struct entry *e)
{
    if (!list_is_empty(&e->changed))
        return;
    list_push_back(&kv->changed, &e->changed);
    kv->changed_count++;
}

void kv_entry_unchanged(struct kv *kv, struct entry *e)
{
    if (list_is_empty(&e->changed))
        return;
    list_remove(&e->changed);
    kv->changed_count--;
}

int kv_watch(struct kv *kv, struct str key, kv_watch_fn fn, void *arg)
{
    struct entry *e = NULL;
    struct watcher *w = mem_alloc(sizeof *w);
    int rc = w == NULL ? ERR_NOMEM : kv_entry_get(kv, key, true, &e);
    if (rc != 0) {
        mem_free(w);
        return rc;
    }
    *w = (struct watcher){.fn = fn, .arg = arg};
    list_push_back(&e->watchers, &w->link);
    if (e->value != NULL)
        kv_entry_changed(kv, e);
    return 0;
}

int kv_watch_prefix(struct kv *kv, struct str prefix, kv_watch_fn fn, void *arg)
{
    struct watcher *w = mem_alloc(sizeof *w);
    char *copy = str_dup_c(prefix);
    if (w == NULL || copy == NULL) {
        mem_free(w);
        mem_free(copy);
        return ERR_NOMEM;
    }
    *w = (struct watcher){.fn = fn, .arg = arg, .prefix = str_of(copy, prefix.len)};
    list_push_back(&kv->prefixes, &w->link);
    size_t at = 0;
    void *item = NULL;
    while (map_next(kv->entries, &at, NULL, &item)) {
        struct entry *e = item;
        if (e->value != NULL && str_starts_with(e->key, w->prefix))
            kv_entry_changed(kv, e);
    }
    return 0;
}

/* A watcher of this key's prefix has been told of as many keys as it takes in one round. */
static bool is_full(const struct kv *kv, struct str key)
{
    LIST_EACH(link, &kv->prefixes) {
        const struct watcher *w = LIST_ITEM(link, struct watcher, link);
        if (str_starts_with(key, w->prefix) && kv->cfg.prefix_buffer > 0 &&
            w->told >= kv->cfg.prefix_buffer)
            return true;
    }
    return false;
}

static void tell_watchers(struct kv *kv, struct entry *e)
{
    LIST_EACH(link, &kv->prefixes) {
        struct watcher *w = LIST_ITEM(link, struct watcher, link);
        if (!str_starts_with(e->key, w->prefix) || e->value == NULL)
            continue;
        w->told++;
        w->fn(w->arg, e->key, e->deleted ? NULL : e->value);
    }
    LIST_EACH(link, &e->watchers) {
        const struct watcher *w = LIST_ITEM(link, struct watcher, link);
        w->fn(w->arg, e->key, e->deleted ? NULL : e->value);
    }
}

enum { NOTIFY_MAX = 4 * KV_STRAY_KEYS_MAX }; /* watchers that change keys: the rest waits */

bool kv_notify(struct kv *kv)
{
    struct list *first;
    int told = 0;
    LIST_EACH(link, &kv->prefixes)
        LIST_ITEM(link, struct watcher, link)->told = 0;
    for (; told < NOTIFY_MAX && (first = list_first(&kv->changed)) != NULL; told++) {
        struct entry *e = LIST_ITEM(first, struct entry, changed);
        if (is_full(kv, e->key))
            break;
        kv_entry_unchanged(kv, e);
        tell_watchers(kv, e);
    }
    return told > 0;
}

size_t kv_pending(const struct kv *kv)
{
    return kv->changed_count;
}
