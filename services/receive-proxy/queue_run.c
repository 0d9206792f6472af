/* receive-proxy/queue_run.c - the thread of the queues: putting, syncing, sending.
 *
 * A component has a handle (struct queue) to the pile of what waits. A pile belongs to the loop,
 * with its counter of references: a handle each, a send each. Work of other threads comes by
 * loop_post(), while their handle is open; a sync is posted behind what has come, so that
 * everything posted before it shares it.
 *
 * It is long, since putting, syncing and sending share the pile and its life. */
#include "queue_run.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "endpoint_run.h"
#include "conf/value.h"
#include "net/loop.h"
#include "spool.h"

enum {
    SENDS_MAX = 8,         /* to one endpoint at a time */
    BACKOFF_MIN_MS = 500,
    BACKOFF_MAX_MS = 5000, /* so long after its return an endpoint is found to be back */
    AFTER_MAX_MS = 300000, /* the longest Retry-After that is obeyed */
    TICK_MS = 1000,
    DRAIN_FAILURES = 2, /* in a row, and an endpoint is given up when we end */
};

#define LABELS "component_id,component_path"
const struct metric_row queue_metric_rows[] = {
    METRIC_GAUGE_VEC_ROW(queue_metrics, bytes, METRIC_BARE, "pyroscope_write_queue_bytes", LABELS,
                         "Bytes that wait to be sent again: in memory, or of the files on disk."),
    METRIC_GAUGE_VEC_ROW(queue_metrics, items, METRIC_BARE, "pyroscope_write_queue_items", LABELS,
                         "Requests that wait to be sent again."),
    METRIC_GAUGE_VEC_ROW(queue_metrics, oldest_seconds, METRIC_BARE,
                         "pyroscope_write_queue_oldest_seconds", LABELS,
                         "Age of the oldest request that waits."),
    METRIC_COUNTER_VEC_ROW(queue_metrics, queued, METRIC_BARE,
                           "pyroscope_write_queue_queued_total", LABELS ",where",
                           "Requests that were kept: on disk, synced; in memory, best effort."),
    METRIC_COUNTER_VEC_ROW(queue_metrics, sent, METRIC_BARE, "pyroscope_write_queue_sent_total",
                           LABELS, "Requests that were sent out of the queue."),
    METRIC_COUNTER_VEC_ROW(queue_metrics, retries, METRIC_BARE,
                           "pyroscope_write_queue_retries_total", LABELS,
                           "Attempts out of the queue that failed and are made again."),
    METRIC_COUNTER_VEC_ROW(queue_metrics, dropped, METRIC_BARE,
                           "pyroscope_write_queue_dropped_total", LABELS ",reason",
                           "Requests that were dropped: the queue was full, they were too old, "
                           "refused, damaged, or the process stopped."),
    METRIC_COUNTER_VEC_ROW(queue_metrics, errors, METRIC_BARE,
                           "pyroscope_write_queue_errors_total", LABELS,
                           "Writes, reads and syncs of the disk that failed."),
    {.kind = METRIC_END},
};

struct queues {
    const struct flow_thread *thread;
    const struct store_io *io;
    const struct queue_metrics *metrics;
    const struct log *log;
    struct rng rng;
    struct list all;
    struct loop_timer *timer;
    bool stopped, draining;
    _Atomic(bool) drained;
};

/* An endpoint and how it goes. */
struct lane {
    struct endpoint *endpoint;
    unsigned sending, failures;
    uint32_t round; /* of attempts: one more after each failure that counts */
    mono_ms not_before;
};

struct pile {
    struct list link;
    struct queues *owner;
    unsigned refs;
    _Atomic size_t waiting;
    bool durable;
    char *id, *path, *dir; /* dir "": in memory */
    struct spool *spool;
    struct lane *lanes;
    size_t lane_count;
    size_t lost_told; /* of what waits in memory, at the end */
    struct list unsynced; /* struct put */
    struct loop_work sync;
    bool sync_is_posted;
    struct log_rate errors_logged, full_logged;
    struct gauge *bytes, *items, *oldest;
    struct counter *queued_memory, *queued_disk, *sent, *retries, *errors;
    struct counter *full, *old, *refused, *damaged, *stopped;
};

/* What a component holds. */
struct queue {
    struct pile *pile;
    uint64_t max_bytes, max_age_ms; /* from when it is attached on */
    struct loop_work closing;
};

/* A request on its way into the queue, and the answer on its way back. */
struct put {
    struct list link;
    struct loop_work work;
    struct pile *queue;
    uint64_t key;
    const struct flow_thread *from;
    struct buf record;
    enum queue_kept kept;
    queue_done_fn done;
    void *arg;
};

/* A request on its way out. */
struct sending {
    struct pile *queue;
    struct endpoint *endpoint;
    struct spool_item *item;
    uint32_t round; /* of its lane, when it began */
    struct arena *arena;
    struct buf bytes;
    struct outgoing out;
};

static struct lane *lane_of(struct pile *q, uint64_t key)
{
    for (size_t i = 0; i < q->lane_count; i++)
        if (endpoint_key(q->lanes[i].endpoint) == key)
            return &q->lanes[i];
    return NULL;
}

static void show(struct pile *q)
{
    wall_ms oldest = spool_oldest(q->spool), now = clock_wall_ms();
    atomic_store_explicit(&q->waiting, spool_count(q->spool), memory_order_relaxed);
    gauge_set(q->bytes, (double)spool_bytes(q->spool));
    gauge_set(q->items, (double)spool_count(q->spool));
    gauge_set(q->oldest, oldest == 0 || oldest > now ? 0 : (double)(now - oldest) / 1000);
}

static void disk_error(struct pile *q, const char *what, int rc)
{
    uint64_t more;
    counter_inc(q->errors);
    if (log_rate_pass(&q->errors_logged, clock_mono_ms(), 10000, &more))
        log_line(q->owner->log, LOG_ERROR, what, LOG_C("component", q->id), LOG_C("dir", q->dir),
                 LOG_C("err", err_text(rc)), LOG_U("suppressed", more));
}

static void on_drop(void *arg, const struct spool_item *item, enum spool_drop why)
{
    struct pile *q = arg;
    uint64_t more;
    struct lane *lane = lane_of(q, item->key);
    struct str text = why == SPOOL_OLD ? STR("dropped from the queue: too old")
                                       : STR("dropped from the queue: it is full");
    counter_inc(why == SPOOL_OLD ? q->old : q->full);
    if (lane != NULL)
        endpoint_count_dropped(lane->endpoint, item->bytes, item->profiles);
    if (log_rate_pass(&q->full_logged, clock_mono_ms(), 10000, &more)) /* every one: a flood */
        log_line(q->owner->log, LOG_WARN,
                 item->kind == FLOW_PUSH ? "failed to push to endpoint"
                                         : "failed to ingest to endpoint",
                 LOG_C("component", q->id),
                 LOG_C("endpoint", lane == NULL ? "" : endpoint_url(lane->endpoint)),
                 LOG_U("retries", item->attempts), LOG_S("err", text), LOG_U("suppressed", more));
}

/* --- sending --------------------------------------------------------------------------- */

static void pump(struct pile *q);

static void free_pile(struct pile *q);

/* A component that is gone leaves behind what waits in memory: it is sent, or gets too old. */
static bool is_of_use(const struct pile *q)
{
    return !q->durable && !q->owner->stopped && spool_count(q->spool) > 0;
}

static void release(struct pile *q)
{
    if (--q->refs == 0 && !is_of_use(q))
        free_pile(q);
}

/* An endpoint of a queue in memory has something to get still, and has not refused it. */
static bool is_draining(const struct pile *q)
{
    for (size_t i = 0; !q->durable && i < q->lane_count; i++) {
        const struct lane *l = &q->lanes[i];
        if (l->sending > 0 ||
            (l->failures < DRAIN_FAILURES && spool_waits(q->spool, endpoint_key(l->endpoint))))
            return true;
    }
    return false;
}

static void note_drained(struct queues *qs)
{
    LIST_EACH(at, &qs->all)
        if (is_draining(LIST_ITEM(at, struct pile, link)))
            return;
    atomic_store(&qs->drained, true);
}

static void sending_free(struct sending *s)
{
    arena_free(&s->arena);
    buf_reset(&s->bytes);
    endpoint_release(s->endpoint);
    mem_free(s);
}

static void back_off(struct pile *q, struct lane *lane, int retry_after_s)
{
    uint32_t wait = retry_backoff_ms(lane->failures, BACKOFF_MIN_MS, BACKOFF_MAX_MS,
                                     &q->owner->rng);
    const struct retry_policy *p = endpoint_policy(lane->endpoint);
    if (p->honour_after && retry_after_s > 0) {
        int64_t after = (int64_t)retry_after_s * 1000;
        after = after > AFTER_MAX_MS ? AFTER_MAX_MS : after;
        wait = (int64_t)wait < after ? (uint32_t)after : wait;
    }
    if (q->owner->draining && wait > BACKOFF_MIN_MS)
        wait = BACKOFF_MIN_MS;
    if (lane->failures < 16)
        lane->failures++;
    lane->not_before = clock_mono_ms() + wait;
}

static void on_sent(void *arg, const struct endpoint_result *r)
{
    struct sending *s = arg;
    struct pile *q = s->queue;
    struct lane *lane = lane_of(q, s->item->key);
    if (r->stored) {
        counter_inc(q->sent);
        spool_done(q->spool, s->item);
    } else if (r->end == RETRY_REFUSED && r->fault.code != RPC_CANCELED) {
        counter_inc(q->refused);
        endpoint_dropped(s->endpoint, s->item->kind, s->item->bytes, s->item->profiles,
                         s->item->attempts + 1, r->message);
        spool_done(q->spool, s->item);
    } else {
        counter_inc(q->retries);
        spool_again(q->spool, s->item);
    }
    if (lane != NULL && lane->endpoint == s->endpoint) {
        lane->sending--;
        if (r->stored || r->end == RETRY_REFUSED) {
            lane->failures = 0;
        } else if (s->round == lane->round) { /* those that fail together count once */
            back_off(q, lane, r->fault.retry_after_s);
            lane->round++;
        }
    }
    sending_free(s);
    pump(q);
    release(q);
}

/* An item that cannot be read or held in memory now. */
static void skip_item(struct pile *q, struct lane *lane, struct spool_item *item, int rc)
{
    if (rc == ERR_CORRUPT) {
        counter_inc(q->damaged);
        disk_error(q, "a request in the queue is damaged", rc);
        spool_done(q->spool, item);
        return;
    }
    if (rc != ERR_NOMEM)
        disk_error(q, "cannot read from the queue", rc);
    spool_again(q->spool, item);
    back_off(q, lane, -1);
}

static void send_item(struct pile *q, struct lane *lane, struct spool_item *item)
{
    struct sending *s = mem_zalloc(sizeof *s);
    if (s == NULL) {
        skip_item(q, lane, item, ERR_NOMEM);
        return;
    }
    s->endpoint = endpoint_retain(lane->endpoint);
    int rc = arena_init(&s->arena, 1024, NULL);
    if (rc == 0)
        rc = spool_read(q->spool, item, &s->bytes, s->arena, &s->out);
    if (rc != 0) {
        sending_free(s);
        skip_item(q, lane, item, rc);
        return;
    }
    s->queue = q;
    q->refs++;
    s->item = item;
    s->round = lane->round;
    lane->sending++;
    endpoint_send(s->endpoint, q->owner->thread, &s->out, MONO_NEVER, 1, on_sent, s);
}

static void wake_at(struct queues *qs, mono_ms at)
{
    mono_ms now = clock_mono_ms();
    uint64_t wait = at > now ? (uint64_t)(at - now) : 0;
    loop_timer_start(qs->timer, wait > TICK_MS ? TICK_MS : wait, TICK_MS);
}

/* Send what may be sent now. Sends may end from inside and come back here: then the outer one goes
 * on with what is left. */
static void pump(struct pile *q)
{
    mono_ms now = clock_mono_ms();
    for (size_t i = 0; !q->owner->stopped && i < q->lane_count; i++) {
        struct lane *lane = &q->lanes[i];
        struct spool_item *item;
        while (lane->not_before <= now &&
               lane->sending < (lane->failures > 0 ? 1 : SENDS_MAX) &&
               (item = spool_next(q->spool, endpoint_key(lane->endpoint))) != NULL)
            send_item(q, lane, item);
        if (lane->not_before > now)
            wake_at(q->owner, lane->not_before);
    }
    show(q);
    if (q->owner->draining)
        note_drained(q->owner);
}

static void on_timer(void *arg)
{
    struct queues *qs = arg;
    LIST_EACH_SAFE(at, &qs->all) {
        struct pile *q = LIST_ITEM(at, struct pile, link);
        q->refs++;
        spool_expire(q->spool, clock_wall_ms());
        pump(q);
        release(q);
    }
}

/* --- putting --------------------------------------------------------------------------- */

static void on_put_back(void *arg)
{
    struct put *p = arg;
    p->done(p->arg, p->kept);
    buf_reset(&p->record);
    mem_free(p);
}

static void answer(struct put *p, enum queue_kept kept)
{
    p->kept = kept;
    if (kept != QUEUE_NOT)
        counter_inc(kept == QUEUE_SYNCED ? p->queue->queued_disk : p->queue->queued_memory);
    loop_post(p->from->loop, &p->work, on_put_back, p);
}

static void on_sync(void *arg)
{
    struct pile *q = arg;
    struct list *at;
    q->sync_is_posted = false;
    int rc = spool_sync(q->spool);
    if (rc != 0)
        disk_error(q, "cannot sync the queue", rc);
    while ((at = list_first(&q->unsynced)) != NULL) {
        list_remove(at);
        answer(LIST_ITEM(at, struct put, link), rc == 0 ? QUEUE_SYNCED : QUEUE_KEPT);
    }
    pump(q);
}

static int put_record(struct put *p)
{
    struct arena *a = NULL;
    struct outgoing o;
    int rc = arena_init(&a, 1024, NULL);
    if (rc == 0)
        rc = outgoing_read(buf_view(&p->record), a, &o);
    if (rc == 0)
        rc = spool_put(p->queue->spool, p->key, clock_wall_ms(), &o);
    arena_free(&a);
    return rc;
}

static void on_put(void *arg)
{
    struct put *p = arg;
    struct pile *q = p->queue;
    int rc = put_record(p);
    buf_reset(&p->record);
    if (rc == ERR_EXIST) {
        rc = 0;
    } else if (rc != 0 && q->durable) {
        disk_error(q, "cannot write to the queue", rc);
    }
    show(q);
    if (rc != 0) {
        answer(p, QUEUE_NOT);
        return;
    }
    if (!q->durable) {
        answer(p, QUEUE_KEPT);
        pump(q);
        return;
    }
    list_push_back(&q->unsynced, &p->link);
    if (!q->sync_is_posted) {
        q->sync_is_posted = true;
        loop_post(q->owner->thread->loop, &q->sync, on_sync, q);
    }
}

void queue_put(struct queue *q, const struct flow_thread *t, struct endpoint *e,
               const struct outgoing *o, queue_done_fn done, void *arg)
{
    struct put *p = mem_zalloc(sizeof *p);
    if (p != NULL) {
        buf_reserve(&p->record, o->body.len + 4096);
        outgoing_put(o, &p->record);
    }
    if (p == NULL || p->record.error != 0) {
        if (p != NULL)
            buf_reset(&p->record);
        mem_free(p);
        done(arg, QUEUE_NOT);
        return;
    }
    list_init(&p->link);
    p->queue = q->pile;
    p->key = endpoint_key(e);
    p->from = t;
    p->done = done;
    p->arg = arg;
    loop_post(q->pile->owner->thread->loop, &p->work, on_put, p);
}

size_t queue_waiting(const struct queue *q)
{
    return atomic_load_explicit(&q->pile->waiting, memory_order_relaxed);
}

bool queue_is_durable(const struct queue *q)
{
    return q->pile->durable;
}

/* --- life ------------------------------------------------------------------------------ */

static void drop_lanes(struct pile *q)
{
    for (size_t i = 0; i < q->lane_count; i++)
        endpoint_release(q->lanes[i].endpoint);
    mem_free(q->lanes);
    q->lanes = NULL;
    q->lane_count = 0;
}

/* What waits in memory has no other chance, as far as that was not said before. */
static void tell_lost(struct pile *q)
{
    size_t count = q->durable ? 0 : spool_count(q->spool);
    if (count <= q->lost_told)
        return;
    counter_add(q->stopped, count - q->lost_told);
    log_line(q->owner->log, LOG_WARN, "requests in the queue in memory are lost",
             LOG_C("component", q->id), LOG_U("requests", count - q->lost_told));
    q->lost_told = count;
}

static void free_pile(struct pile *q)
{
    ASSERT(q->refs == 0);
    list_remove(&q->link);
    if (q->spool != NULL)
        tell_lost(q);
    if (q->spool != NULL && q->durable)
        spool_sync(q->spool);
    gauge_set(q->bytes, 0);
    gauge_set(q->items, 0);
    gauge_set(q->oldest, 0);
    drop_lanes(q);
    spool_free(&q->spool);
    mem_free(q->id);
    mem_free(q->path);
    mem_free(q->dir);
    mem_free(q);
}

static void set_metrics(struct pile *q)
{
    const struct queue_metrics *m = q->owner->metrics;
    struct str id = str_c(q->id), path = str_c(q->path);
    q->bytes = GAUGE_AT(m->bytes, id, path);
    q->items = GAUGE_AT(m->items, id, path);
    q->oldest = GAUGE_AT(m->oldest_seconds, id, path);
    q->queued_memory = COUNTER_AT(m->queued, id, path, STR("memory"));
    q->queued_disk = COUNTER_AT(m->queued, id, path, STR("disk"));
    q->sent = COUNTER_AT(m->sent, id, path);
    q->retries = COUNTER_AT(m->retries, id, path);
    q->errors = COUNTER_AT(m->errors, id, path);
    q->full = COUNTER_AT(m->dropped, id, path, STR("full"));
    q->old = COUNTER_AT(m->dropped, id, path, STR("old"));
    q->refused = COUNTER_AT(m->dropped, id, path, STR("refused"));
    q->damaged = COUNTER_AT(m->dropped, id, path, STR("damaged"));
    q->stopped = COUNTER_AT(m->dropped, id, path, STR("stopped"));
}

struct opening {
    struct pile **out;
    struct queues *owner;
    struct str id, path, dir;
    uint64_t max_bytes, max_age_ms;
    struct err *err;
    int rc;
};

static int pile_new(struct opening *o)
{
    struct seg_found found;
    struct pile *q = mem_zalloc(sizeof *q);
    if (q == NULL)
        return err_set(o->err, ERR_NOMEM, "no memory for a queue");
    list_init(&q->link);
    list_init(&q->unsynced);
    q->owner = o->owner;
    q->durable = o->dir.len > 0;
    q->id = str_dup_c(o->id);
    q->path = str_dup_c(o->path);
    q->dir = str_dup_c(o->dir);
    int rc = q->id == NULL || q->path == NULL || q->dir == NULL
                 ? err_set(o->err, ERR_NOMEM, "no memory for a queue")
                 : 0;
    struct spool_config config = {.dir = q->durable ? q->dir : NULL,
                                  .io = o->owner->io,
                                  .max_bytes = o->max_bytes,
                                  .max_age_ms = o->max_age_ms,
                                  .on_drop = on_drop,
                                  .arg = q};
    if (rc == 0)
        rc = spool_init(&q->spool, &config, &found, o->err);
    if (rc != 0) {
        free_pile(q);
        return rc;
    }
    set_metrics(q);
    if (spool_count(q->spool) > 0 || found.torn_bytes > 0)
        log_line(o->owner->log, LOG_INFO, "queue found on disk", LOG_C("component", q->id),
                 LOG_C("dir", q->dir), LOG_U("requests", spool_count(q->spool)),
                 LOG_U("torn_bytes", found.torn_bytes));
    list_push_back(&o->owner->all, &q->link);
    show(q);
    *o->out = q;
    return 0;
}

static void do_open(void *arg)
{
    struct opening *o = arg;
    LIST_EACH(at, &o->owner->all) {
        struct pile *q = LIST_ITEM(at, struct pile, link);
        bool same = str_eq(str_c(q->id), o->id), there = str_eq(str_c(q->dir), o->dir);
        if (same && there) {
            *o->out = q;
        } else if (there && q->durable) {
            o->rc = err_set(o->err, ERR_EXIST, "queue in %s: %s has it", q->dir, q->id);
            return;
        }
    }
    o->rc = *o->out != NULL ? 0 : pile_new(o);
    if (o->rc == 0)
        (*o->out)->refs++;
}

int queue_open(struct queue **out, struct queues *qs, struct str id, struct str path,
               const struct set_queue *settings, struct err *err)
{
    struct queue *q = mem_zalloc(sizeof *q);
    if (q == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a queue");
    struct opening o = {.out = &q->pile,
                        .owner = qs,
                        .id = id,
                        .path = path,
                        .dir = settings->dir,
                        .max_age_ms = (uint64_t)settings->max_age_ms,
                        .err = err};
    if (conf_parse_size(settings->max_bytes, &o.max_bytes) != 0)
        o.rc = err_set(err, ERR_INVAL, "queue: max_bytes is not a size");
    if (o.rc == 0)
        loop_call(qs->thread->loop, do_open, &o);
    q->max_bytes = o.max_bytes;
    q->max_age_ms = o.max_age_ms;
    if (o.rc == 0)
        *out = q;
    else
        mem_free(q);
    return o.rc;
}

static void on_close(void *arg)
{
    struct queue *q = arg;
    release(q->pile);
    mem_free(q);
}

void queue_release(struct queue *q)
{
    if (q != NULL)
        loop_post(q->pile->owner->thread->loop, &q->closing, on_close, q);
}

struct attaching {
    const struct queue *queue;
    struct endpoint *const *endpoints;
    size_t count;
    int rc;
};

static void do_attach(void *arg)
{
    struct attaching *a = arg;
    struct pile *q = a->queue->pile;
    struct lane *lanes = mem_calloc(a->count + 1, sizeof *lanes);
    if (lanes == NULL) {
        a->rc = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < a->count; i++) {
        lanes[i].endpoint = endpoint_retain(a->endpoints[i]);
        if (q->durable && spool_waits(q->spool, endpoint_key(a->endpoints[i])))
            endpoint_expect_failure(a->endpoints[i]);
    }
    drop_lanes(q);
    q->lanes = lanes;
    q->lane_count = a->count;
    spool_limit(q->spool, a->queue->max_bytes, a->queue->max_age_ms);
    pump(q);
}

int queue_attach(struct queue *q, struct endpoint *const *endpoints, size_t count)
{
    struct attaching a = {.queue = q, .endpoints = endpoints, .count = count};
    loop_call(q->pile->owner->thread->loop, do_attach, &a);
    return a.rc;
}

int queues_init(struct queues **out, const struct flow_thread *thread, const struct store_io *io,
                const struct queue_metrics *metrics, const struct log *log, uint64_t seed)
{
    struct queues *qs = mem_zalloc(sizeof *qs);
    if (qs == NULL || loop_timer_init(&qs->timer, thread->loop, on_timer, qs) != 0) {
        mem_free(qs);
        return ERR_NOMEM;
    }
    qs->thread = thread;
    qs->io = io;
    qs->metrics = metrics;
    qs->log = log;
    rng_seed(&qs->rng, seed);
    list_init(&qs->all);
    loop_timer_start(qs->timer, TICK_MS, TICK_MS);
    *out = qs;
    return 0;
}

static void do_drain(void *arg)
{
    struct queues *qs = arg;
    qs->draining = true;
    LIST_EACH_SAFE(at, &qs->all) {
        struct pile *q = LIST_ITEM(at, struct pile, link);
        q->refs++;
        for (size_t i = 0; i < q->lane_count; i++) {
            q->lanes[i].failures = 0;
            q->lanes[i].not_before = 0;
            q->lanes[i].round++; /* what is under way says nothing of how it is now */
        }
        pump(q);
        release(q);
    }
    note_drained(qs);
}

const _Atomic(bool) *queues_drain(struct queues *qs)
{
    loop_call(qs->thread->loop, do_drain, qs);
    return &qs->drained;
}

static void do_stop(void *arg)
{
    struct queues *qs = arg;
    qs->stopped = true;
    loop_timer_stop(qs->timer);
    flow_thread_hurry(qs->thread);
    LIST_EACH(at, &qs->all) {
        struct pile *q = LIST_ITEM(at, struct pile, link);
        spool_sync(q->spool);
        tell_lost(q);
    }
}

void queues_stop(struct queues *qs)
{
    loop_call(qs->thread->loop, do_stop, qs);
}

static void do_free(void *arg)
{
    struct queues *qs = arg;
    struct list *at;
    while ((at = list_first(&qs->all)) != NULL)
        free_pile(LIST_ITEM(at, struct pile, link));
    loop_timer_free(&qs->timer);
    mem_free(qs);
}

void queues_free(struct queues **qs)
{
    struct queues *q = *qs;
    if (q == NULL)
        return;
    *qs = NULL;
    loop_call(q->thread->loop, do_free, q);
}
