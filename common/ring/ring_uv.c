/* ring/ring_uv.c - timers and the gossip store around views and lives. */
#include "ring/ring_uv.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "gossip/codec.h"
#include "gossip/gossip_uv.h"
#include "net/loop.h"
#include "metrics/metrics.h"
#include "ring/desc.h"
#include "ring/ring_metrics_run.h"
#include "ring/skew.h"
#include "ring/token_run.h"

#include <pthread.h>
#include <stdatomic.h>

/* --- the view ----------------------------------------------------------------------------- */

struct ring_watch {
    struct ring_watch_config c;
    pthread_mutex_t lock; /* over `ring` for as long as a reference takes */
    struct ring *ring;
    struct ring_metrics *shown;
    struct ring_kv_metrics kv;
    struct ring_skew *skew;
    struct ring_watch_metrics {
        struct counter *skews;
    } metrics;
    mono_ms looked; /* at the clocks */
};

enum { SKEW_LOOK_MS = 1000 };

static const struct metric_row watch_rows[] = {
    METRIC_COUNTER_ROW(ring_watch_metrics, skews, 0, "ring_clock_skews_total",
                       "Times that a clock was found far from ours by a member's heartbeats."),
    {.kind = METRIC_END},
};

static void look_at_clocks(struct ring_watch *w, const struct ring_desc *desc)
{
    mono_ms now = loop_now(w->c.loop);
    if (w->looked != 0 && now < w->looked + SKEW_LOOK_MS)
        return;
    w->looked = now;
    counter_add(w->metrics.skews, ring_skew_look(w->skew, desc, clock_wall_ms()));
}

static void on_value(void *arg, struct str key, const void *value)
{
    struct ring_watch *w = arg;
    struct ring *ring = NULL;
    struct err err = {0};
    (void)key;
    if (value == NULL)
        return; /* the key was deleted: keep what was known */
    look_at_clocks(w, value);
    if (ring_next(&ring, w->ring, value, &w->c.options, &err) != 0) {
        log_line(&w->c.log, LOG_ERROR, "the ring's view cannot be made", LOG_C("err", err.msg));
        return;
    }
    (void)pthread_mutex_lock(&w->lock);
    struct ring *old = w->ring;
    w->ring = ring_hold(ring);
    (void)pthread_mutex_unlock(&w->lock);
    ring_drop(&old);
    if (w->c.on_change != NULL)
        w->c.on_change(w->c.arg, ring);
    ring_drop(&ring);
}

static struct ring *view_of(void *arg)
{
    return ring_watch_hold(arg);
}

static int init_metrics(struct ring_watch *w, struct err *err)
{
    const struct metric_label fixed[] = {{"name", w->c.name}, {NULL, NULL}};
    if (w->c.metrics == NULL)
        return 0;
    int rc = metrics_register(w->c.metrics, watch_rows, &w->metrics, fixed, err);
    if (rc == 0)
        rc = ring_kv_metrics_init(&w->kv, w->c.metrics, w->c.name, "ring", err);
    return rc != 0 ? rc
                   : ring_metrics_init(&w->shown, w->c.metrics, w->c.name,
                                       w->c.options.zone_aware, view_of, w, err);
}

int ring_watch_init(struct ring_watch **out, const struct ring_watch_config *config,
                    struct err *err)
{
    struct ring_watch *w = mem_zalloc(sizeof *w);
    if (w == NULL)
        return err_set(err, ERR_NOMEM, "watching the ring");
    w->c = *config;
    ASSERT(pthread_mutex_init(&w->lock, NULL) == 0);
    int rc = ring_skew_init(&w->skew, &w->c.log);
    int64_t began = clock_mono_ns();
    if (rc != 0)
        (void)err_set(err, rc, "watching the ring: %s", err_text(rc));
    else
        rc = init_metrics(w, err);
    if (rc == 0) {
        rc = gossip_watch(config->gossip, str_c(config->key), on_value, w);
        if (rc != 0)
            (void)err_set(err, rc, "watching the ring: %s", err_text(rc));
    }
    if (rc != 0) {
        ring_watch_free(&w);
        return rc;
    }
    ring_kv_seen(&w->kv, "GET", 0, clock_mono_ns() - began);
    *out = w;
    return 0;
}

void ring_watch_free(struct ring_watch **w)
{
    if (*w == NULL)
        return;
    ring_metrics_free(&(*w)->shown);
    ring_skew_free(&(*w)->skew);
    ring_drop(&(*w)->ring);
    (void)pthread_mutex_destroy(&(*w)->lock);
    mem_free(*w);
    *w = NULL;
}

struct ring *ring_watch_hold(struct ring_watch *w)
{
    (void)pthread_mutex_lock(&w->lock);
    struct ring *r = w->ring == NULL ? NULL : ring_hold(w->ring);
    (void)pthread_mutex_unlock(&w->lock);
    return r;
}

int ring_watch_addresses(struct ring_watch *w, struct arena *arena, struct str **out,
                         size_t *count)
{
    struct ring *r = ring_watch_hold(w);
    wall_ms now = clock_wall_ms();
    size_t members = r == NULL ? 0 : ring_count(r), used = 0;
    struct str *all = members == 0 ? NULL : arena_calloc(arena, members, sizeof *all);
    int rc = members > 0 && all == NULL ? ERR_NOMEM : 0;
    for (size_t i = 0; rc == 0 && i < members; i++) {
        const struct ring_instance *in = ring_at(r, i);
        if (!ring_is_healthy(r, in, RING_WRITE_NO_EXTEND, now))
            continue;
        all[used] = str_dup(arena, in->addr);
        rc = all[used++].data == NULL ? ERR_NOMEM : 0;
    }
    ring_drop(&r);
    if (rc != 0)
        return rc;
    *out = all;
    *count = used;
    return 0;
}

/* --- the life ----------------------------------------------------------------------------- */

struct ring_life {
    struct ring_life_config c;
    struct lifecycler *machine;
    struct rng rng;
    struct loop_timer *timer;
    uint32_t saved; /* generation of the tokens in the file */
    bool running;
    _Atomic int state;
    struct ring_life_metrics metrics;
    mono_ms leaving_since; /* MONO_NEVER before that */
    void (*done)(void *arg);
    void *done_arg;
};

static void step(struct ring_life *l);

static void on_timer(void *arg)
{
    step(arg);
}

static int load_tokens(struct ring_life *l, struct ring_tokens *tokens)
{
    struct err err = {0};
    if (l->c.tokens_path[0] == '\0')
        return ERR_NOENT;
    int rc = ring_tokens_load(tokens, l->c.tokens_path, &err);
    if (rc != 0 && rc != ERR_NOENT)
        log_line(&l->c.log, LOG_WARN, "tokens file is not used: new tokens will be taken",
                 LOG_C("path", l->c.tokens_path), LOG_C("err", err.msg));
    return rc;
}

int ring_life_init(struct ring_life **out, const struct ring_life_config *config,
                   struct err *err)
{
    struct ring_life *l = mem_zalloc(sizeof *l);
    struct ring_tokens tokens = {0};
    if (l == NULL)
        return err_set(err, ERR_NOMEM, "a life in the ring");
    l->c = *config;
    uint64_t seed;
    clock_entropy(&seed, sizeof seed);
    rng_seed(&l->rng, seed);
    bool loaded = load_tokens(l, &tokens) == 0;
    int rc = lifecycler_init(&l->machine, &config->life, loaded ? &tokens : NULL, &l->rng,
                             &l->c.log, err);
    ring_tokens_reset(&tokens);
    if (rc == 0) {
        rc = loop_timer_init(&l->timer, config->loop, on_timer, l);
        if (rc != 0)
            (void)err_set(err, rc, "a life in the ring: no timer");
    }
    if (rc == 0)
        rc = ring_life_metrics_init(&l->metrics, config->metrics, config->name,
                                    config->life.basic, err);
    if (rc != 0) {
        ring_life_free(&l);
        return rc;
    }
    gauge_set(l->metrics.to_own, config->life.num_tokens);
    l->leaving_since = MONO_NEVER;
    atomic_init(&l->state, RING_PENDING);
    *out = l;
    return 0;
}

static int edit(void *arg, void **value)
{
    struct ring_life *l = arg;
    bool store = false;
    struct ring_desc *desc = *value;
    int rc = lifecycler_edit(l->machine, &desc, clock_wall_ms(), &store);
    *value = desc;
    if (rc != 0)
        return rc;
    return store ? KV_STORE : KV_KEEP;
}

/* The store edits a copy without tombstones, so ours is looked for here. */
static void look_for_tombstone(struct ring_life *l)
{
    const struct ring_desc *all = gossip_get(l->c.gossip, str_c(l->c.key));
    const struct ring_instance *in = all == NULL ? NULL : ring_desc_find(all, l->c.life.id);
    if (in != NULL && in->state == RING_LEFT)
        lifecycler_was_left(l->machine, in->timestamp_s);
}

static void save_tokens(struct ring_life *l)
{
    uint32_t generation = 0;
    struct err err = {0};
    const struct ring_tokens *tokens = lifecycler_tokens(l->machine, &generation);
    if (generation == l->saved || l->c.tokens_path[0] == '\0' || tokens == NULL)
        return;
    l->saved = generation;
    if (ring_tokens_save(tokens, l->c.tokens_path, &err) != 0)
        log_line(&l->c.log, LOG_ERROR, "tokens file cannot be written",
                 LOG_C("path", l->c.tokens_path), LOG_C("err", err.msg));
}

static void show(struct ring_life *l)
{
    uint64_t beats = lifecycler_heartbeats(l->machine);
    atomic_store(&l->state, (int)lifecycler_state(l->machine));
    counter_add(l->metrics.heartbeats, beats - counter_get(l->metrics.heartbeats));
    gauge_set(l->metrics.read_only, lifecycler_read_only(l->machine));
    gauge_set(l->metrics.owned, lifecycler_tokens(l->machine, NULL)->count);
}

static void step(struct ring_life *l)
{
    if (!l->running)
        return;
    mono_ms now = loop_now(l->c.loop);
    enum lifecycler_verb verb;
    while ((verb = lifecycler_step(l->machine, now)) == LIFE_EDIT) {
        int64_t began = clock_mono_ns();
        look_for_tombstone(l);
        int rc = gossip_cas(l->c.gossip, str_c(l->c.key), ring_codec.id, edit, l);
        ring_kv_seen(&l->metrics.kv, "CAS", rc == ERR_AGAIN ? 0 : rc, clock_mono_ns() - began);
        lifecycler_edited(l->machine, now, rc);
        if (rc != 0 && rc != ERR_AGAIN)
            log_line(&l->c.log, LOG_ERROR, "the ring entry cannot be stored",
                     LOG_C("err", err_text(rc)));
    }
    show(l);
    save_tokens(l);
    if (verb == LIFE_OVER) {
        loop_timer_stop(l->timer);
        l->running = false;
        if (l->done != NULL)
            l->done(l->done_arg);
        return;
    }
    mono_ms due = lifecycler_due(l->machine);
    if (due != MONO_NEVER)
        loop_timer_start(l->timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

void ring_life_start(struct ring_life *l)
{
    l->running = true;
    step(l);
}

void ring_life_establish(struct ring_life *l)
{
    lifecycler_establish(l->machine);
    step(l);
}

void ring_life_leave(struct ring_life *l)
{
    lifecycler_leave(l->machine);
    l->leaving_since = loop_now(l->c.loop);
    step(l);
}

void ring_life_unregister(struct ring_life *l, void (*done)(void *arg), void *arg)
{
    l->done = done;
    l->done_arg = arg;
    if (l->leaving_since != MONO_NEVER)
        histogram_observe(HISTOGRAM_AT(l->metrics.shutdown, STR("flush"), STR("success")),
                          (double)(loop_now(l->c.loop) - l->leaving_since) / 1000);
    if (!l->running) {
        if (done != NULL)
            done(arg);
        return;
    }
    lifecycler_unregister(l->machine);
    step(l);
}

int ring_life_unique(const struct ring_life *l, struct err *err)
{
    return lifecycler_unique(l->machine, err);
}

int ring_life_ready(struct ring_life *l, struct err *err)
{
    return lifecycler_ready(l->machine, gossip_get(l->c.gossip, str_c(l->c.key)),
                            loop_now(l->c.loop), clock_wall_ms(), err);
}

enum ring_state ring_life_state(const struct ring_life *l)
{
    return (enum ring_state)atomic_load(&l->state);
}

void ring_life_free(struct ring_life **l)
{
    if (*l == NULL)
        return;
    loop_timer_free(&(*l)->timer);
    lifecycler_free(&(*l)->machine);
    mem_free(*l);
    *l = NULL;
}
