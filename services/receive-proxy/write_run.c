/* receive-proxy/write_run.c - the receiver of pyroscope.write: one request, all endpoints. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "endpoint_run.h"
#include "labelset.h"
#include "outgoing.h"
#include "queue_run.h"
#include "write.h"

enum {
    QUEUE_RESERVE_MS = 100, /* of a client's deadline, for the way into the queue */
    DOUBT_MS = 2000, /* so long an endpoint that failed last is tried before a queue on disk */
};

#define LABELS "component_id,component_path,endpoint"
const struct metric_row write_metric_rows[] = {
    METRIC_COUNTER_VEC_ROW(write_metrics, sent_bytes, METRIC_BARE,
                           "pyroscope_write_sent_bytes_total", LABELS,
                           "Bytes of profiles that an endpoint has stored."),
    METRIC_COUNTER_VEC_ROW(write_metrics, dropped_bytes, METRIC_BARE,
                           "pyroscope_write_dropped_bytes_total", LABELS,
                           "Bytes of profiles that an endpoint did not get in the end."),
    METRIC_COUNTER_VEC_ROW(write_metrics, sent_profiles, METRIC_BARE,
                           "pyroscope_write_sent_profiles_total", LABELS,
                           "Profiles that an endpoint has stored."),
    METRIC_COUNTER_VEC_ROW(write_metrics, dropped_profiles, METRIC_BARE,
                           "pyroscope_write_dropped_profiles_total", LABELS,
                           "Profiles that an endpoint did not get in the end."),
    METRIC_COUNTER_VEC_ROW(write_metrics, retries, METRIC_BARE, "pyroscope_write_retries_total",
                           LABELS, "Attempts that were made again."),
    METRIC_HISTOGRAM_VEC_ROW(write_metrics, latency, METRIC_BARE, "pyroscope_write_latency",
                             LABELS ",type",
                             "Seconds of an attempt (push_downstream, ingest_downstream), of "
                             "all attempts at one endpoint (push_endpoint, ingest_endpoint), "
                             "and of the whole write (push_total, ingest_total).",
                             metric_seconds, 11),
    {.kind = METRIC_END},
};

struct write {
    struct receiver receiver; /* first */
    struct arena *arena;
    const struct write_world *world;
    struct alloy_map external;
    bool forward_headers;
    struct queue *queue; /* NULL: none */
    struct endpoint **endpoints;
    size_t count;
    struct histogram *total[2]; /* by kind */
};

struct job;

/* An endpoint's share of a job. */
struct share {
    struct job *job;
    struct endpoint *endpoint;
    uint32_t attempts;
    struct str message; /* why it was not stored, for the log should the queue fail too */
};

/* One item on its way to all endpoints. */
struct job {
    struct write *owner;
    const struct flow_thread *thread;
    struct arena *arena;
    struct outgoing out;
    struct flow_result sum;
    size_t left;
    int64_t began_ns;
    flow_done_fn done;
    void *arg;
    struct share shares[];
};

/* --- one item -------------------------------------------------------------------------- */

static void job_free(struct job *j)
{
    arena_free(&j->arena);
    receiver_release(&j->owner->receiver);
    mem_free(j);
}

static void end_share(struct job *j)
{
    if (--j->left > 0)
        return;
    histogram_observe(j->owner->total[j->out.kind],
                      (double)(clock_mono_ns() - j->began_ns) / 1e9);
    arena_free(&j->arena); /* who is charged for it may be gone with `done` */
    j->done(j->arg, &j->sum);
    job_free(j);
}

static void give_up(struct share *s)
{
    struct job *j = s->job;
    j->sum.failed++;
    endpoint_dropped(s->endpoint, j->out.kind, j->out.bytes, j->out.profiles, s->attempts,
                     s->message);
}

static void on_queued(void *arg, enum queue_kept kept)
{
    struct share *s = arg;
    struct job *j = s->job;
    switch (kept) {
    case QUEUE_SYNCED: j->sum.synced++; break;
    case QUEUE_KEPT: j->sum.kept++; break;
    case QUEUE_NOT: give_up(s); break;
    }
    end_share(j);
}

static void keep(struct share *s)
{
    struct job *j = s->job;
    queue_put(j->owner->queue, j->thread, s->endpoint, &j->out, on_queued, s);
}

/* failed to push to endpoint <url> (<n> retries): ... As the peer counts, a failure that was worth
 * another attempt is a retry, also when none followed. */
static void note_fault(struct share *s, const struct endpoint_result *r)
{
    struct job *j = s->job;
    char text[FLOW_MESSAGE_MAX];
    snprintf(text, sizeof text, "failed to %s to endpoint %s (%u retries): %.*s",
             j->out.kind == FLOW_PUSH ? "push" : "ingest", endpoint_url(s->endpoint),
             r->attempts - (r->attempts > 0 && r->end == RETRY_REFUSED), STR_ARG(r->message));
    int after = endpoint_policy(s->endpoint)->honour_after ? r->fault.retry_after_s : -1;
    flow_result_fault(&j->sum, r->fault.code, r->fault.status, after, str_c(text));
}

static void on_sent(void *arg, const struct endpoint_result *r)
{
    struct share *s = arg;
    struct job *j = s->job;
    if (r->stored) {
        j->sum.stored++;
        end_share(j);
        return;
    }
    note_fault(s, r);
    s->attempts = r->attempts;
    s->message = str_dup(j->arena, r->message);
    bool later = r->end != RETRY_REFUSED || r->fault.code == RPC_CANCELED; /* we stop */
    if (j->owner->queue != NULL && later) {
        keep(s);
        return;
    }
    give_up(s);
    end_share(j);
}

/* Until when an endpoint is tried before the queue takes over, or the client's patience ends. */
static mono_ms deadline_of(const struct write *w, const struct endpoint *e,
                           const struct flow_item *item)
{
    if (w->queue == NULL)
        return item->deadline;
    mono_ms now = clock_mono_ms(), end = item->deadline - QUEUE_RESERVE_MS;
    if (item->deadline == MONO_NEVER)
        end = now + endpoint_policy(e)->attempt_ms;
    bool brief = queue_is_durable(w->queue) && endpoint_is_doubtful(e);
    return brief && end > now + DOUBT_MS ? now + DOUBT_MS : end;
}

static void start_share(struct share *s, const struct flow_item *item)
{
    struct job *j = s->job;
    struct write *w = j->owner;
    bool failing = w->queue != NULL && endpoint_is_failing(s->endpoint);
    if (failing && queue_waiting(w->queue) > 0) {
        /* The queue tries it and hears first when it is back. */
        s->message = STR("unavailable: the endpoint is failing");
        struct endpoint_result r = {
            .end = RETRY_LATE,
            .fault = {.code = RPC_UNAVAILABLE, .retry_after_s = -1},
            .message = s->message};
        note_fault(s, &r);
        keep(s);
        return;
    }
    /* A queue on disk is as good as an answer: no client waits for a second attempt. */
    bool once = failing || (w->queue != NULL && queue_is_durable(w->queue));
    endpoint_send(s->endpoint, j->thread, &j->out, deadline_of(w, s->endpoint, item), once,
                  on_sent, s);
}

static int make_request(struct job *j, const struct flow_item *item, struct err *err)
{
    struct write *w = j->owner;
    struct labels set;
    int rc = labelset_check(item->labels, item->label_count, err);
    if (rc != 0)
        return rc;
    if (item->kind == FLOW_PUSH)
        rc = labelset_push(item->labels, item->label_count, &w->external, j->arena, &set);
    else
        rc = labelset_ingest(item->labels, item->label_count, &w->external, j->arena, &set);
    if (rc == 0)
        rc = outgoing_make(item, set, w->forward_headers, j->arena, &j->out);
    return rc == 0 ? 0 : err_set(err, rc, "cannot make the request: %s", err_text(rc));
}

static void fail(struct write *w, flow_done_fn done, void *arg, const struct err *err)
{
    struct flow_result r;
    flow_result_init(&r);
    r.failed = (unsigned)w->count;
    flow_result_fault(&r, err->code == ERR_INVAL ? RPC_INVALID_ARGUMENT : RPC_UNAVAILABLE, 0, -1,
                      str_c(err->msg));
    done(arg, &r);
}

static struct job *job_new(struct write *w, const struct flow_thread *t,
                           struct mem_account *memory)
{
    struct job *j = mem_zalloc(sizeof *j + w->count * sizeof *j->shares);
    if (j == NULL || arena_init(&j->arena, 4096, memory) != 0) {
        mem_free(j);
        return NULL;
    }
    j->owner = w;
    j->thread = t;
    j->left = w->count;
    j->began_ns = clock_mono_ns();
    flow_result_init(&j->sum);
    receiver_retain(&w->receiver);
    for (size_t i = 0; i < w->count; i++)
        j->shares[i] = (struct share){.job = j, .endpoint = w->endpoints[i]};
    return j;
}

static void append(struct receiver *receiver, const struct flow_thread *t,
                   const struct flow_item *item, flow_done_fn done, void *arg)
{
    struct write *w = (struct write *)receiver;
    struct err err = {0};
    if (w->count == 0) {
        struct flow_result none;
        flow_result_init(&none);
        done(arg, &none);
        return;
    }
    struct job *j = job_new(w, t, item->memory);
    int rc = j == NULL ? err_set(&err, ERR_NOMEM, "no memory") : make_request(j, item, &err);
    if (rc != 0) {
        if (rc == ERR_INVAL)
            log_line(w->world->log, LOG_WARN, "profile refused", LOG_C("err", err.msg));
        if (j != NULL)
            job_free(j);
        fail(w, done, arg, &err);
        return;
    }
    j->done = done;
    j->arg = arg;
    /* The last one may end everything from inside. */
    size_t count = w->count;
    for (size_t i = 0; i < count; i++)
        start_share(&j->shares[i], item);
}

/* --- life ------------------------------------------------------------------------------ */

static void write_free(struct receiver *receiver)
{
    struct write *w = (struct write *)receiver;
    for (size_t i = 0; i < w->count; i++)
        endpoint_release(w->endpoints[i]);
    queue_release(w->queue);
    arena_free(&w->arena);
    mem_free(w);
}

static const struct receiver_ops ops = {.append = append, .free = write_free};

static int copy_external(struct write *w, const struct alloy_map *map)
{
    struct alloy_pair *pairs = arena_calloc(w->arena, map->count + 1, sizeof *pairs);
    if (pairs == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < map->count; i++) {
        pairs[i].key = str_dup(w->arena, map->items[i].key);
        pairs[i].value = str_dup(w->arena, map->items[i].value);
        if (pairs[i].key.data == NULL || pairs[i].value.data == NULL)
            return ERR_NOMEM;
    }
    w->external = (struct alloy_map){.count = map->count, .items = pairs};
    return 0;
}

static int make_endpoints(struct write *w, const struct set_write *s, struct str id,
                          struct str path, struct err *err)
{
    const struct set_endpoint *endpoints = s->endpoints.items;
    int rc = 0;
    w->endpoints = arena_calloc(w->arena, s->endpoints.count + 1, sizeof *w->endpoints);
    if (w->endpoints == NULL)
        return err_set(err, ERR_NOMEM, "no memory for endpoints");
    for (size_t i = 0; rc == 0 && i < s->endpoints.count; i++) {
        rc = endpoint_init(&w->endpoints[i], &endpoints[i], s, id, path, w->world, err);
        w->count += rc == 0;
    }
    return rc;
}

static int fill(struct write *w, const struct set_write *s, struct str id, struct str path,
                struct err *err)
{
    const struct write_metrics *m = w->world->metrics;
    w->forward_headers = s->forward_headers;
    w->total[FLOW_PUSH] = HISTOGRAM_AT(m->latency, id, path, STR("-"), STR("push_total"));
    w->total[FLOW_INGEST] = HISTOGRAM_AT(m->latency, id, path, STR("-"), STR("ingest_total"));
    if (copy_external(w, &s->external_labels) != 0)
        return err_set(err, ERR_NOMEM, "no memory for labels");
    int rc = make_endpoints(w, s, id, path, err);
    if (rc == 0 && s->queue.enabled && w->count > 0 && w->world->queues != NULL)
        rc = queue_open(&w->queue, w->world->queues, id, path, &s->queue, err);
    return rc;
}

int write_init(struct receiver **out, const struct set_write *s, struct str id, struct str path,
               const struct write_world *world, struct err *err)
{
    int rc = set_write_check(s, err);
    if (rc != 0)
        return rc;
    struct write *w = mem_zalloc(sizeof *w);
    if (w == NULL || arena_init(&w->arena, 1024, NULL) != 0) {
        mem_free(w);
        return err_set(err, ERR_NOMEM, "no memory for pyroscope.write");
    }
    receiver_prepare(&w->receiver, &ops);
    w->world = world;
    rc = fill(w, s, id, path, err);
    if (rc != 0) {
        receiver_release(&w->receiver);
        return rc;
    }
    *out = &w->receiver;
    return 0;
}

int write_start(struct receiver *receiver, struct err *err)
{
    struct write *w = (struct write *)receiver;
    int rc = w->queue == NULL ? 0 : queue_attach(w->queue, w->endpoints, w->count);
    return rc == 0 ? 0 : err_set(err, rc, "no memory for a queue");
}

bool write_is(const struct receiver *receiver)
{
    return receiver->ops == &ops;
}

size_t write_endpoint_count(const struct receiver *receiver)
{
    return ((const struct write *)receiver)->count;
}

void write_endpoint_status(const struct receiver *receiver, size_t i,
                           struct endpoint_status *out)
{
    endpoint_status(((const struct write *)receiver)->endpoints[i], out);
}
