/* receive-proxy/relabel.c - the receiver: a cache of label sets before the rules, a fan-out
 * behind.
 *
 * The cache holds, for the last max_cache_size sets, what the rules made of them; it is shared
 * by all threads under one lock, which is held for a look-up and a copy only. */
#include "relabel.h"

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "labelset.h"

enum {
    LABELS_MAX = 2048,  /* of an item: rules may look for each in all others */
    CACHED_MAX = 4096,  /* bytes of a set that is worth a place in the cache */
};

/* METRIC_PEER_NAME: the peer's counters lack _total. */
#define ROW(field, name, help)                                                                 \
    METRIC_COUNTER_VEC_ROW(relabel_metrics, field, METRIC_BARE | METRIC_PEER_NAME, name,       \
                           "component_id,component_path", help)
const struct metric_row relabel_metric_rows[] = {
    ROW(processed, "pyroscope_relabel_profiles_processed", "Profiles that came to the rules."),
    ROW(written, "pyroscope_relabel_profiles_written", "Profiles that were passed on."),
    ROW(dropped, "pyroscope_relabel_profiles_dropped", "Profiles that the rules dropped."),
    ROW(cache_hits, "pyroscope_relabel_cache_hits", "Label sets found in the cache."),
    ROW(cache_misses, "pyroscope_relabel_cache_misses", "Label sets not found in the cache."),
    METRIC_GAUGE_VEC_ROW(relabel_metrics, cache_size, METRIC_BARE,
                         "pyroscope_relabel_cache_size", "component_id,component_path",
                         "Label sets in the cache."),
    {.kind = METRIC_END},
};
#undef ROW

struct cached {
    struct list link;    /* newest first */
    struct arena *arena; /* of both sets */
    uint64_t key;
    struct labels in, out;
    bool keep;
};

struct relabel {
    struct receiver receiver; /* first */
    struct relabel_rules *rules;
    struct flow_list *next;
    struct counter *processed, *written, *dropped, *hits, *misses;
    struct gauge *size;
    pthread_mutex_t lock; /* what follows */
    struct map *cache;    /* key bytes -> struct cached */
    struct list recent;
    size_t cache_max;
};

/* One item on its way through. */
struct pass {
    struct arena *arena;
    struct relabel *owner;
    struct flow_item item;
    flow_done_fn done;
    void *arg;
};

static struct str key_bytes(const uint64_t *key)
{
    return str_of(key, sizeof *key);
}

static void cached_free(struct cached *c)
{
    list_remove(&c->link);
    arena_free(&c->arena);
    mem_free(c);
}

/* 1: found; 0: not; ERR_NOMEM. */
static int look_up(struct relabel *r, uint64_t key, struct labels in, struct arena *a,
                   struct labels *out, bool *keep)
{
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    struct cached *c = map_get(r->cache, key_bytes(&key));
    if (c != NULL && labels_cmp(c->in, in) == 0) {
        list_remove(&c->link);
        list_push_front(&r->recent, &c->link);
        *keep = c->keep;
        rc = labels_dup(c->out, a, out);
        rc = rc == 0 ? 1 : rc;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static struct cached *cached_new(uint64_t key, struct labels in, struct labels out, bool keep)
{
    struct cached *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return NULL;
    list_init(&c->link);
    c->key = key;
    c->keep = keep;
    if (arena_init(&c->arena, 512, NULL) != 0 || labels_dup(in, c->arena, &c->in) != 0 ||
        labels_dup(out, c->arena, &c->out) != 0) {
        cached_free(c);
        return NULL;
    }
    return c;
}

static size_t bytes_of(struct labels set)
{
    size_t sum = set.count * sizeof *set.items;
    for (size_t i = 0; i < set.count; i++)
        sum += set.items[i].name.len + set.items[i].value.len;
    return sum;
}

/* Keep it, in the place of the oldest. Without memory it is not kept, that is all. */
static void remember(struct relabel *r, uint64_t key, struct labels in, struct labels out,
                     bool keep)
{
    bool small = bytes_of(in) <= CACHED_MAX && bytes_of(out) <= CACHED_MAX;
    struct cached *c = small ? cached_new(key, in, out, keep) : NULL;
    void *old = NULL;
    if (c == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    if (map_put(r->cache, key_bytes(&key), c, &old) == 0)
        list_push_front(&r->recent, &c->link);
    else
        cached_free(c);
    if (old != NULL)
        cached_free(old);
    while (map_count(r->cache) > r->cache_max) {
        struct cached *oldest = LIST_ITEM(r->recent.prev, struct cached, link);
        map_remove(r->cache, key_bytes(&oldest->key));
        cached_free(oldest);
    }
    gauge_set(r->size, (double)map_count(r->cache));
    pthread_mutex_unlock(&r->lock);
}

static int run_rules(struct relabel *r, const struct flow_item *item, struct arena *a,
                     struct labels *out, bool *keep)
{
    struct labels in;
    if (item->label_count > LABELS_MAX)
        return ERR_INVAL;
    int rc = labelset_of_series(item->labels, item->label_count, false, a, &in);
    if (rc != 0)
        return rc;
    uint64_t key = labels_hash(in);
    rc = look_up(r, key, in, a, out, keep);
    counter_inc(rc == 1 ? r->hits : r->misses);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = relabel_apply(r->rules, in, a, out, keep);
    if (rc != 0)
        return rc;
    *keep = *keep && out->count > 0; /* nothing can be done with a profile without labels */
    remember(r, key, in, *out, *keep);
    return 0;
}

static void on_done(void *arg, const struct flow_result *result)
{
    struct pass *p = arg;
    struct arena *a = p->arena;
    p->done(p->arg, result);
    receiver_release(&p->owner->receiver);
    arena_free(&a);
}

static void end(flow_done_fn done, void *arg, int rc)
{
    struct flow_result r;
    flow_result_init(&r);
    r.dropped = rc == 0;
    r.failed = rc != 0;
    if (rc == ERR_INVAL)
        flow_result_fault(&r, RPC_INVALID_ARGUMENT, 0, -1, STR("too many labels"));
    else if (rc != 0)
        flow_result_fault(&r, RPC_UNAVAILABLE, 0, -1, STR("no memory"));
    done(arg, &r);
}

static void append(struct receiver *receiver, const struct flow_thread *t,
                   const struct flow_item *item, flow_done_fn done, void *arg)
{
    struct relabel *r = (struct relabel *)receiver;
    struct arena *a = NULL;
    struct labels out = {0};
    bool keep = true;
    if (item->label_count == 0) { /* nothing to work on; pyroscope.write refuses it */
        flow_send(r->next, t, item, done, arg);
        return;
    }
    counter_inc(r->processed); /* as the peer: a series is one */
    int rc = arena_init(&a, 1024, NULL);
    struct pass *p = rc == 0 ? arena_alloc(a, sizeof *p) : NULL;
    rc = p == NULL ? ERR_NOMEM : run_rules(r, item, a, &out, &keep);
    if (rc != 0 || !keep) {
        if (rc == 0)
            counter_inc(r->dropped);
        end(done, arg, rc);
        arena_free(&a);
        return;
    }
    counter_inc(r->written);
    *p = (struct pass){.arena = a, .owner = r, .item = *item, .done = done, .arg = arg};
    p->item.labels = out.items;
    p->item.label_count = out.count;
    receiver_retain(receiver);
    flow_send(r->next, t, &p->item, on_done, p);
}

static void relabel_free(struct receiver *receiver)
{
    struct relabel *r = (struct relabel *)receiver;
    struct list *at;
    while ((at = list_first(&r->recent)) != NULL)
        cached_free(LIST_ITEM(at, struct cached, link));
    map_free(&r->cache);
    pthread_mutex_destroy(&r->lock);
    relabel_rules_free(&r->rules);
    flow_list_release(r->next);
    mem_free(r);
}

static const struct receiver_ops ops = {.append = append, .free = relabel_free};

int relabel_init(struct receiver **out, const struct set_relabel *settings, struct str id,
                 struct str path, struct flow_list *next, const struct relabel_metrics *metrics,
                 struct err *err)
{
    int rc = set_relabel_check(settings, err);
    if (rc != 0)
        return rc;
    struct relabel *r = mem_zalloc(sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "no memory for relabel rules");
    receiver_prepare(&r->receiver, &ops);
    list_init(&r->recent);
    pthread_mutex_init(&r->lock, NULL);
    r->next = flow_list_retain(next);
    r->cache_max = (size_t)settings->max_cache_size;
    rc = map_init(&r->cache);
    if (rc != 0)
        err_set(err, rc, "no memory for relabel rules");
    if (rc == 0)
        rc = relabel_rules_init(&r->rules, settings->rules.items, settings->rules.count, err);
    if (rc != 0) {
        receiver_release(&r->receiver);
        return rc;
    }
    r->processed = COUNTER_AT(metrics->processed, id, path);
    r->written = COUNTER_AT(metrics->written, id, path);
    r->dropped = COUNTER_AT(metrics->dropped, id, path);
    r->hits = COUNTER_AT(metrics->cache_hits, id, path);
    r->misses = COUNTER_AT(metrics->cache_misses, id, path);
    r->size = GAUGE_AT(metrics->cache_size, id, path);
    *out = &r->receiver;
    return 0;
}
