/* receive-proxy/finder_run.c - one discovery for each entry that is watched; the ring is looked at
 * once a second. */
#include "finder_run.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "disco/disco_uv.h"
#include "net/loop.h"
#include "ring/ring_uv.h"

enum { RING_LOOK_MS = 1000, ADDRS_MAX = 1024 };

struct finder_watch {
    struct list link;
    struct finder_run *owner;
    struct disco *disco;      /* NULL: the ring */
    struct loop_timer *timer; /* of the ring */
    pthread_mutex_t lock;     /* of fn: NULL, and it is not called any more */
    finder_set_fn fn;
    void *arg;
    struct addr *known; /* of the ring, what was told last */
    size_t known_count;
    bool told;
    struct loop_work work;
};

struct finder_run {
    struct finder finder; /* first */
    struct loop *main;
    const struct disco_config *dns;
    struct ring_watch *ring;
    const struct log *log;
    struct list watches; /* main thread */
};

static void tell(struct finder_watch *w, const struct addr *addrs, size_t count)
{
    pthread_mutex_lock(&w->lock);
    if (w->fn != NULL)
        w->fn(w->arg, addrs, count);
    pthread_mutex_unlock(&w->lock);
}

/* --- names ------------------------------------------------------------------------------- */

static void on_names(void *arg)
{
    struct finder_watch *w = arg;
    const struct names *names = disco_names(w->disco);
    struct names_view view = names_at(names, 0);
    if (view.state != NAMES_PENDING)
        tell(w, view.addrs, view.count);
}

static int watch_name(struct finder_watch *w, struct str entry, struct err *err)
{
    struct finder_run *f = w->owner;
    struct disco_options options = {.name = "forward-to", .on_change = on_names, .arg = w};
    int rc = disco_init(&w->disco, f->main, f->dns, &options, f->log, NULL, err);
    if (rc == 0)
        rc = disco_add(w->disco, entry, err);
    if (rc == 0)
        disco_start(w->disco);
    return rc != 0 && rc != ERR_NOMEM ? ERR_INVAL : rc;
}

/* --- the ring ---------------------------------------------------------------------------- */

static bool is_known(const struct finder_watch *w, const struct addr *addrs, size_t count)
{
    if (!w->told || w->known_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!addr_eq(&w->known[i], &addrs[i]))
            return false;
    return true;
}

static void look_at_ring(void *arg)
{
    struct finder_watch *w = arg;
    struct arena *a = NULL;
    struct str *texts = NULL;
    size_t count = 0, n = 0;
    if (arena_init(&a, 0, NULL) != 0)
        return;
    int rc = ring_watch_addresses(w->owner->ring, a, &texts, &count);
    struct addr *addrs = mem_calloc(count + 1, sizeof *addrs);
    for (size_t i = 0; rc == 0 && addrs != NULL && i < count && n < ADDRS_MAX; i++)
        n += addr_parse(&addrs[n], texts[i], 0) == 0;
    arena_free(&a);
    if (rc != 0 || addrs == NULL || is_known(w, addrs, n)) {
        mem_free(addrs);
        return;
    }
    mem_free(w->known);
    w->known = addrs;
    w->known_count = n;
    w->told = true;
    log_line(w->owner->log, LOG_INFO, "distributors of the ring", LOG_U("count", n));
    tell(w, addrs, n);
}

static int watch_ring(struct finder_watch *w, struct err *err)
{
    struct finder_run *f = w->owner;
    if (f->ring == NULL)
        return err_set(err, ERR_INVAL, "ring needs -memberlist.join");
    if (loop_timer_init(&w->timer, f->main, look_at_ring, w) != 0)
        return err_set(err, ERR_NOMEM, "no memory for a timer");
    loop_timer_start(w->timer, 0, RING_LOOK_MS);
    return 0;
}

/* --- the seam ---------------------------------------------------------------------------- */

static void watch_free(void *arg)
{
    struct finder_watch *w = arg;
    list_remove(&w->link);
    disco_free(&w->disco);
    loop_timer_free(&w->timer);
    mem_free(w->known);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

static int watch(struct finder *base, struct finder_watch **out, struct str entry,
                 finder_set_fn fn, void *arg, struct err *err)
{
    struct finder_run *f = (struct finder_run *)base;
    struct finder_watch *w = mem_zalloc(sizeof *w);
    if (w == NULL)
        return err_set(err, ERR_NOMEM, "no memory for addresses");
    *w = (struct finder_watch){.owner = f, .fn = fn, .arg = arg};
    pthread_mutex_init(&w->lock, NULL);
    list_push_back(&f->watches, &w->link);
    int rc = str_eq(entry, STR("ring")) ? watch_ring(w, err) : watch_name(w, entry, err);
    if (rc == 0)
        *out = w;
    else
        watch_free(w);
    return rc;
}

static void unwatch(struct finder *base, struct finder_watch *w)
{
    struct finder_run *f = (struct finder_run *)base;
    pthread_mutex_lock(&w->lock);
    w->fn = NULL;
    pthread_mutex_unlock(&w->lock);
    loop_post(f->main, &w->work, watch_free, w);
}

int finder_init(struct finder_run **out, struct loop *main, const struct disco_config *dns,
                struct ring_watch *ring, const struct log *log)
{
    struct finder_run *f = mem_zalloc(sizeof *f);
    if (f == NULL)
        return ERR_NOMEM;
    *f = (struct finder_run){.finder = {.watch = watch, .unwatch = unwatch},
                             .main = main,
                             .dns = dns,
                             .ring = ring,
                             .log = log};
    list_init(&f->watches);
    *out = f;
    return 0;
}

struct finder *finder_of(struct finder_run *f)
{
    return &f->finder;
}

void finder_free(struct finder_run **fp)
{
    struct finder_run *f = *fp;
    if (f == NULL)
        return;
    for (unsigned i = 0; i < 100 && !list_is_empty(&f->watches); i++)
        loop_turn(f->main, 0); /* what was posted */
    ASSERT(list_is_empty(&f->watches));
    mem_free(f);
    *fp = NULL;
}
