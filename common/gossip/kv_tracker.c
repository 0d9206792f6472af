/* gossip/kv_tracker.c - publishes beacons and times those of others. */
#include "gossip/kv_tracker.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gossip/kv.h"
#include "gossip/kv_tracker_priv.h"

struct kv_tracker {
    struct kv_tracker_config cfg;
    struct kv *kv;
    struct rng *rng;
    const struct log *log;
    char *name; /* owned */
    mono_ms due;
    wall_ms wall;
    uint64_t *seen; /* ids of the value that was last looked at, rising */
    size_t seen_count, seen_cap;
    bool looked; /* what was there when we came tells nothing about delays */
    kv_tracker_fn observer;
    void *observer_arg;
    struct kv_tracker_stats stats;
    struct log_rate log_rate;
};

static bool was_seen(const struct kv_tracker *t, uint64_t id)
{
    size_t low = 0, high = t->seen_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->seen[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->seen_count && t->seen[low] == id;
}

static void measure(struct kv_tracker *t, const struct beacon *b)
{
    wall_ms delay = t->wall - b->published;
    uint64_t left_out = 0;
    t->stats.received++;
    delay = delay < 0 ? 0 : delay; /* the publisher's clock is ahead of ours */
    if (t->observer != NULL)
        t->observer(t->observer_arg, (double)delay / 1000);
    if (t->cfg.log_longer_ms > 0 && delay > t->cfg.log_longer_ms &&
        log_rate_pass(&t->log_rate, t->due, t->cfg.interval_ms, &left_out))
        log_line(t->log, LOG_WARN, "a change took long to reach this member",
                 LOG_I("delay_ms", delay), LOG_S("published_by", b->by), LOG_U("id", b->id),
                 LOG_U("left_out", left_out));
}

/* The beacons changed: measure those of others that are new, remember all. */
static void on_beacons(void *arg, struct str key, const void *value)
{
    struct kv_tracker *t = arg;
    const struct beacons *b = value;
    (void)key;
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->count; i++) {
        const struct beacon *it = &b->items[i];
        if (t->looked && it->deleted == 0 && !was_seen(t, it->id) &&
            !str_eq(it->by, str_c(t->name)))
            measure(t, it);
    }
    t->looked = true;
    if (b->count > t->seen_cap) {
        uint64_t *seen = mem_realloc_array(t->seen, b->count, sizeof *seen);
        if (seen == NULL)
            return; /* some are measured again: better than never */
        t->seen = seen;
        t->seen_cap = b->count;
    }
    t->seen_count = b->count;
    for (size_t i = 0; i < b->count; i++)
        t->seen[i] = b->items[i].id;
}

int kv_tracker_init(struct kv_tracker **out, const struct kv_tracker_config *config,
                    struct kv *kv, struct str name, struct rng *rng, const struct log *log,
                    mono_ms now)
{
    struct kv_tracker *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    *t = (struct kv_tracker){.cfg = *config, .kv = kv, .rng = rng, .log = log};
    t->name = str_dup_c(name);
    t->due = now + (mono_ms)rng_below(rng, (uint64_t)config->interval_ms + 1);
    int rc = t->name == NULL ? ERR_NOMEM : kv_register(kv, &kv_tracker_codec);
    if (rc == 0)
        rc = kv_watch(kv, STR(KV_TRACKER_KEY), on_beacons, t);
    if (rc != 0) {
        kv_tracker_free(&t);
        return rc;
    }
    *out = t;
    return 0;
}

void kv_tracker_free(struct kv_tracker **t)
{
    if (*t == NULL)
        return;
    mem_free((*t)->seen);
    mem_free((*t)->name);
    mem_free(*t);
    *t = NULL;
}

void kv_tracker_observer(struct kv_tracker *t, kv_tracker_fn fn, void *arg)
{
    t->observer = fn;
    t->observer_arg = arg;
}

struct publication {
    struct kv_tracker *t;
    uint64_t id; /* of a new beacon; 0: none was due */
};

/* Delete old beacons; add one when none is younger than the interval. */
static int edit(void *arg, void **value)
{
    struct publication *p = arg;
    const struct kv_tracker *t = p->t;
    struct beacons *b = *value;
    size_t gone = b == NULL ? 0 : beacons_drop_older(b, t->wall - t->cfg.lifetime_ms);
    bool young = false;
    for (size_t i = 0; b != NULL && i < b->count; i++)
        young = young || b->items[i].published > t->wall - t->cfg.interval_ms;
    if (young)
        return gone > 0 ? KV_STORE : KV_KEEP;
    do
        p->id = rng_u64(t->rng);
    while (p->id == 0);
    struct beacon new = {.id = p->id, .published = t->wall, .by = str_c(t->name)};
    int rc = beacons_add(value, &new);
    return rc != 0 ? rc : KV_STORE;
}

void kv_tracker_tick(struct kv_tracker *t, mono_ms now, wall_ms wall)
{
    struct publication p = {.t = t};
    t->wall = wall;
    if (t->due > now)
        return;
    t->due = now + t->cfg.interval_ms;
    /* One that fails is made up for by the next. */
    if (kv_cas(t->kv, STR(KV_TRACKER_KEY), kv_tracker_codec.id, edit, &p, wall) == 0 && p.id != 0)
        t->stats.published++;
}

void kv_tracker_time(struct kv_tracker *t, wall_ms wall)
{
    t->wall = wall;
}

mono_ms kv_tracker_due(const struct kv_tracker *t)
{
    return t->due;
}

const struct kv_tracker_stats *kv_tracker_stats(const struct kv_tracker *t)
{
    return &t->stats;
}
