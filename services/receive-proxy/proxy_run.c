/* receive-proxy/proxy_run.c - the role is made, loads its configuration, and ends. */
#include "proxy_run.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/node_run.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/mem.h"
#include "components.h"
#include "finder_run.h"
#include "metrics/metrics.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "pipeline_run.h"
#include "queue_run.h"
#include "source_run.h"
#include "store/io.h"

enum {
    END_SLACK_MS = 12000, /* an attempt's remote_timeout, and some */
    DRAIN_MS = 5000,      /* for what waits in memory alone */
    LOOKS_MAX = 256,      /* components whose rates are known */
    LOOK_MS = 2000,
};

const struct http_client_config proxy_client_config = {.user_agent = "emberring",
                                                       .connections_per_host = 256,
                                                       .idle_max = 512,
                                                       .connect_ms = 10000};

struct load_metrics {
    struct gauge *good, *good_at;
};

static const struct metric_row load_rows[] = {
    METRIC_GAUGE_ROW(load_metrics, good, METRIC_BARE, "alloy_config_last_load_successful",
                     "1: the last configuration was taken."),
    METRIC_GAUGE_ROW(load_metrics, good_at, METRIC_BARE,
                     "alloy_config_last_load_success_timestamp_seconds",
                     "Unix seconds of when a configuration was taken last."),
    {.kind = METRIC_END},
};

/* What a component has done so far, in requests or profiles. */
struct proxy_counts {
    double in, out, queued, dropped, failed;
};

/* What a component had done when it was looked at before. */
struct look {
    uint64_t id; /* hash of the component's */
    mono_ms at[2]; /* an older look and a younger one */
    struct proxy_counts counts[2];
};

struct proxy {
    struct node *node;
    bool alloy;
    struct flow_thread threads[NODE_THREADS_MAX];
    unsigned thread_count; /* that were prepared */
    struct loop *queue_loop;
    struct http_client *queue_client;
    struct flow_thread queue_thread;
    struct write_metrics write_metrics;
    struct relabel_metrics relabel_metrics;
    struct queue_metrics queue_metrics;
    struct receive_metrics receive_metrics;
    struct load_metrics load_metrics;
    struct receive_gauges *gauges;
    struct queues *queues;
    struct finder_run *finder;
    char instance[INSTANCE_ID_SIZE], user_agent[64], hostname[256];
    struct write_world write;
    struct receive_world receive;
    struct pipeline_world world;
    struct pipeline *pipeline;
    mono_ms began;
    struct look looks[LOOKS_MAX];
    size_t look_count;
};

/* --- making ------------------------------------------------------------------------------ */

static int register_metrics(struct proxy *p, struct err *err)
{
    struct metrics *m = p->node->metrics;
    int rc = metrics_register(m, write_metric_rows, &p->write_metrics, NULL, err);
    if (rc == 0)
        rc = metrics_register(m, relabel_metric_rows, &p->relabel_metrics, NULL, err);
    if (rc == 0)
        rc = metrics_register(m, queue_metric_rows, &p->queue_metrics, NULL, err);
    if (rc == 0)
        rc = metrics_register(m, receive_metric_rows, &p->receive_metrics, NULL, err);
    if (rc == 0)
        rc = metrics_register(m, load_rows, &p->load_metrics, NULL, err);
    return rc != 0 ? rc : receive_gauges_init(&p->gauges, m, err);
}

/* One for each HTTP thread, and one with a loop of its own for the queues. */
static int make_threads(struct proxy *p, struct err *err)
{
    struct node *n = p->node;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < n->thread_count; i++) {
        rc = flow_thread_init(&p->threads[i], n->threads[i], n->clients[i], i);
        p->thread_count += rc == 0;
    }
    if (rc != 0)
        return err_set(err, rc, "no memory for threads");
    rc = loop_init(&p->queue_loop, "queues", err);
    if (rc == 0)
        rc = http_client_init(&p->queue_client, p->queue_loop, &proxy_client_config, err);
    if (rc != 0)
        return rc;
    rc = flow_thread_init(&p->queue_thread, p->queue_loop, p->queue_client, p->thread_count);
    return rc == 0 ? 0 : err_set(err, rc, "no memory for threads");
}

static void name_instance(struct proxy *p)
{
    struct err err = {0};
    const char *dir = p->node->settings.receive_proxy.storage_path;
    if (instance_id_load(str_c(dir), p->instance, &err) != 0)
        log_line(&p->node->log, LOG_WARN, "the name of this instance cannot be kept",
                 LOG_C("err", err.msg));
    (void)snprintf(p->user_agent, sizeof p->user_agent, "Emberring/%s", app_version());
    if (gethostname(p->hostname, sizeof p->hostname - 1) != 0)
        p->hostname[0] = '\0';
}

static void describe(struct proxy *p)
{
    struct node *n = p->node;
    uint64_t seed;
    clock_entropy(&seed, sizeof seed);
    p->write = (struct write_world){.metrics = &p->write_metrics,
                                    .log = &n->log,
                                    .queues = p->queues,
                                    .finder = finder_of(p->finder),
                                    .instance_id = p->instance,
                                    .user_agent = p->user_agent,
                                    .seed = seed};
    p->receive = (struct receive_world){.loops = n->threads,
                                        .threads = p->threads,
                                        .thread_count = n->thread_count,
                                        .pool = n->pool,
                                        .registry = n->metrics,
                                        .metrics = &p->receive_metrics,
                                        .gauges = p->gauges,
                                        .log = &n->log,
                                        .memory_max = n->server.memory_max,
                                        .alloy = p->alloy};
    p->world = (struct pipeline_world){.write = &p->write,
                                       .relabel = &p->relabel_metrics,
                                       .receive = &p->receive,
                                       .log = &n->log,
                                       .hostname = p->hostname,
                                       .version = app_version(),
                                       .alloy = p->alloy};
}

/* Connections are open files: as many as we may have. */
static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int build(struct proxy *p, struct err *err)
{
    struct node *n = p->node;
    struct ring_watch *ring =
        n->gossip == NULL ? NULL : n->rings[NODE_RING_DISTRIBUTORS].watch;
    uint64_t seed;
    int rc = register_metrics(p, err);
    if (rc == 0)
        rc = make_threads(p, err);
    if (rc != 0)
        return rc;
    clock_entropy(&seed, sizeof seed);
    rc = queues_init(&p->queues, &p->queue_thread, store_io_posix(), &p->queue_metrics, &n->log,
                     seed);
    if (rc == 0)
        rc = finder_init(&p->finder, n->main, &n->gossip_settings.dns, ring, &n->log);
    if (rc != 0)
        return err_set(err, rc, "no memory for queues");
    name_instance(p);
    describe(p);
    rc = pipeline_init(&p->pipeline, &p->world);
    return rc == 0 ? proxy_register_pages(p, err) : err_set(err, rc, "no memory for components");
}

int proxy_init(struct proxy **out, struct node *n, struct err *err)
{
    struct proxy *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the proxy");
    p->node = n;
    p->began = clock_mono_ms();
    p->alloy = strcmp(n->settings.receive_proxy.compat, "alloy") == 0;
    raise_file_limit();
    int rc = build(p, err);
    if (rc == 0)
        *out = p;
    else
        (void)proxy_free(&p);
    return rc;
}

/* --- the configuration ------------------------------------------------------------------- */

static int read_source(struct proxy *p, struct source *s, struct err *err)
{
    const struct node *n = p->node;
    const struct receive_proxy_settings *flags = &n->settings.receive_proxy;
    if (n->config_file != NULL && flags->forward_to.count > 0)
        return err_set(err, ERR_INVAL, "give -config.file or -forward-to, not both");
    return n->config_file != NULL ? source_read(s, n->config_file, err)
                                  : source_of_flags(s, flags, err);
}

static void note_load(struct proxy *p, bool good)
{
    gauge_set(p->load_metrics.good, good);
    if (good)
        gauge_set(p->load_metrics.good_at, (double)(clock_wall_ms() / 1000));
}

static void log_warnings(struct proxy *p, const struct alloy_diags *diags)
{
    for (size_t i = 0; i < diags->count; i++)
        if (diags->items[i].severity == ALLOY_WARNING)
            log_line(&p->node->log, LOG_WARN, "configuration",
                     LOG_S("warning", diags->items[i].message),
                     LOG_U("line", diags->items[i].start.line));
}

/* The logging block; without one, what the flags say. */
static void apply_logging(struct proxy *p)
{
    const struct alloy_logging *l = pipeline_logging(p->pipeline);
    struct node *n = p->node;
    enum log_level level = n->log.level;
    enum log_format format = n->log.format;
    if (l != NULL) {
        (void)log_level_parse(l->level, &level);
        (void)log_format_parse(l->format, &format);
    }
    atomic_store(&n->log_dial.level, level);
    atomic_store(&n->log_dial.format, format);
}

static void put_flag_fault(struct str message, struct buf *out)
{
    static const char *const steps[] = {"Failed to build component: ", "decoding configuration: ",
                                        "building component: "};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (str_starts_with(message, str_c(steps[i])))
            message = str_skip(message, strlen(steps[i]));
    bool listens = str_contains(message, STR("listen"));
    buf_printf(out, "Error: %s: %.*s\n", listens ? "-receive.http-listen-address" : "-forward-to",
               STR_ARG(message));
}

/* Of flags only what is wrong: the text that they stand for is nobody's. */
static void print_faults(const struct proxy *p, const struct source *s,
                         const struct alloy_diags *diags)
{
    struct buf text = {0};
    if (p->node->config_file != NULL)
        alloy_diags_print(diags, s->texts, s->count, &text);
    if (text.size > 0)
        buf_u8(&text, '\n');
    for (size_t i = 0; p->node->config_file == NULL && i < diags->count; i++)
        if (diags->items[i].severity == ALLOY_ERROR)
            put_flag_fault(diags->items[i].message, &text);
    (void)fwrite(text.data, 1, text.size, stderr);
    buf_reset(&text);
}

bool proxy_load(struct proxy *p)
{
    struct source s = {0};
    struct alloy_diags diags = {0};
    struct err err = {0};
    int rc = read_source(p, &s, &err);
    if (rc != 0) {
        (void)fprintf(stderr, "Error: %s\n", err.msg);
        return false;
    }
    rc = pipeline_prepare(p->pipeline, s.texts, s.count, &diags);
    if (rc != 0) {
        print_faults(p, &s, &diags);
        (void)fprintf(stderr, "Error: could not perform the initial load successfully\n");
    } else {
        log_warnings(p, &diags);
        apply_logging(p);
    }
    alloy_diags_reset(&diags);
    source_reset(&s);
    return rc == 0;
}

int proxy_load_again(struct proxy *p, struct err *err)
{
    struct source s = {0};
    struct alloy_diags diags = {0};
    int rc = read_source(p, &s, err);
    if (rc == 0) {
        rc = pipeline_prepare(p->pipeline, s.texts, s.count, &diags);
        if (rc != 0)
            rc = err_set(err, rc, "%s", pipeline_last_failure(p->pipeline));
        else
            rc = pipeline_commit(p->pipeline, err);
        if (rc == 0)
            apply_logging(p);
        log_warnings(p, &diags);
    }
    alloy_diags_reset(&diags);
    source_reset(&s);
    note_load(p, rc == 0);
    if (rc == 0)
        log_line(&p->node->log, LOG_INFO, "config reloaded");
    else
        log_line(&p->node->log, LOG_ERROR, "failed to reload config", LOG_C("err", err->msg));
    return rc;
}

/* --- hooks ------------------------------------------------------------------------------- */

int proxy_start(void *arg, struct err *err)
{
    struct proxy *p = arg;
    int rc = loop_start(p->queue_loop, err);
    if (rc == 0)
        rc = pipeline_commit(p->pipeline, err);
    note_load(p, rc == 0);
    return rc;
}

void proxy_reload(void *arg)
{
    struct err err = {0};
    (void)proxy_load_again(arg, &err);
}

static void hurry(void *arg)
{
    flow_thread_hurry(arg);
}

void proxy_leave(void *arg)
{
    struct proxy *p = arg;
    pipeline_retire(p->pipeline);
    for (unsigned i = 0; i < p->thread_count; i++)
        loop_call(p->threads[i].loop, hurry, &p->threads[i]);
    node_turn_until(p->node, pipeline_is_over(p->pipeline),
                    p->node->server.grace_ms + END_SLACK_MS);
    uint32_t grace = p->node->server.grace_ms;
    node_turn_until(p->node, queues_drain(p->queues), grace < DRAIN_MS ? grace : DRAIN_MS);
}

void proxy_stop(void *arg)
{
    struct proxy *p = arg;
    queues_stop(p->queues);
}

/* --- ending ------------------------------------------------------------------------------ */

bool proxy_free(struct proxy **pp)
{
    struct proxy *p = *pp;
    if (p == NULL)
        return true;
    if (p->pipeline != NULL && !atomic_load(pipeline_is_over(p->pipeline)))
        pipeline_retire(p->pipeline); /* it never ran: at once */
    if (p->pipeline != NULL && !atomic_load(pipeline_is_over(p->pipeline))) {
        queues_stop(p->queues);
        return false;
    }
    pipeline_free(&p->pipeline);
    if (p->queues != NULL)
        queues_stop(p->queues);
    if (p->queue_loop != NULL) {
        loop_stop(p->queue_loop);
        loop_join(p->queue_loop);
    }
    http_client_free(&p->queue_client);
    if (p->queue_loop != NULL)
        loop_turn(p->queue_loop, 0); /* what was posted to it, and it never ran */
    queues_free(&p->queues);
    finder_free(&p->finder);
    flow_thread_reset(&p->queue_thread);
    for (unsigned i = 0; i < p->thread_count; i++)
        flow_thread_reset(&p->threads[i]);
    loop_free(&p->queue_loop);
    receive_gauges_free(&p->gauges);
    mem_free(p);
    *pp = NULL;
    return true;
}

/* --- for pages --------------------------------------------------------------------------- */

struct node *proxy_node(struct proxy *p)
{
    return p->node;
}

struct pipeline *proxy_pipeline(struct proxy *p)
{
    return p->pipeline;
}

static uint64_t count_at(struct counter_vec *v, struct str id)
{
    return counter_get(COUNTER_AT(v, id, STR("/")));
}

static void count_write(struct proxy *p, const struct pipeline_view *v, struct proxy_counts *c)
{
    const struct set_write *s = v->node->args;
    const struct set_endpoint *endpoints = s->endpoints.items;
    struct str id = str_c(v->node->id);
    for (size_t i = 0; i < s->endpoints.count; i++) {
        struct buf shown = {0};
        set_put_url(endpoints[i].url, &shown);
        struct str url = buf_view(&shown);
        c->out += (double)counter_get(
            COUNTER_AT(p->write_metrics.sent_profiles, id, STR("/"), url));
        c->failed += (double)counter_get(
            COUNTER_AT(p->write_metrics.dropped_profiles, id, STR("/"), url));
        buf_reset(&shown);
    }
    const struct queue_metrics *q = &p->queue_metrics;
    c->queued = (double)(counter_get(COUNTER_AT(q->queued, id, STR("/"), STR("memory"))) +
                         counter_get(COUNTER_AT(q->queued, id, STR("/"), STR("disk"))));
    c->in = c->out + c->failed + gauge_get(GAUGE_AT(q->items, id, STR("/")));
}

void proxy_queue(struct proxy *p, const struct pipeline_view *v, struct component_queue *out)
{
    const struct queue_metrics *q = &p->queue_metrics;
    const struct set_write *s = v->node->args;
    struct str id = str_c(v->node->id), path = STR("/");
    *out = (struct component_queue){
        .there = s->queue.enabled,
        .items = gauge_get(GAUGE_AT(q->items, id, path)),
        .bytes = gauge_get(GAUGE_AT(q->bytes, id, path)),
        .oldest_seconds = gauge_get(GAUGE_AT(q->oldest_seconds, id, path))};
}

static struct proxy_counts count_all(struct proxy *p, const struct pipeline_view *v)
{
    struct proxy_counts c = {0};
    struct str id = str_c(v->node->id);
    if (v->listener != NULL) {
        struct receive_stats s = receive_stats(v->listener);
        c = (struct proxy_counts){.in = (double)(s.requests + s.failures),
                                  .out = (double)(s.profiles - s.queued - s.dropped),
                                  .queued = (double)s.queued,
                                  .dropped = (double)s.dropped,
                                  .failed = (double)s.failures};
    } else if (strcmp(v->node->type->name, "pyroscope.write") == 0) {
        count_write(p, v, &c);
    } else if (strcmp(v->node->type->name, "pyroscope.relabel") == 0) {
        c.in = (double)count_at(p->relabel_metrics.processed, id);
        c.out = (double)count_at(p->relabel_metrics.written, id);
        c.dropped = (double)count_at(p->relabel_metrics.dropped, id);
    }
    return c;
}

/* The look of a component; NULL: there are too many. */
static struct look *look_of(struct proxy *p, uint64_t id)
{
    for (size_t i = 0; i < p->look_count; i++)
        if (p->looks[i].id == id)
            return &p->looks[i];
    if (p->look_count == LOOKS_MAX)
        return NULL;
    struct look *l = &p->looks[p->look_count++];
    *l = (struct look){.id = id, .at = {p->began, p->began}};
    return l;
}

static double rate_of(double now, double before, double seconds)
{
    return seconds > 0 && now > before ? (now - before) / seconds : 0;
}

void proxy_rates(struct proxy *p, const struct pipeline_view *v, struct component_row *row)
{
    struct proxy_counts now = count_all(p, v), before = {0};
    struct look *l = look_of(p, str_hash(str_c(v->node->id)));
    mono_ms at = clock_mono_ms();
    if (l != NULL && at - l->at[1] >= LOOK_MS) {
        l->at[0] = l->at[1];
        l->counts[0] = l->counts[1];
        l->at[1] = at;
        l->counts[1] = now;
    }
    double seconds = (double)(at - (l == NULL ? p->began : l->at[0])) / 1000;
    before = l == NULL ? before : l->counts[0];
    row->in = now.in;
    row->out = now.out;
    row->queued = now.queued;
    row->dropped = now.dropped;
    row->failed = now.failed;
    row->in_rate = rate_of(now.in, before.in, seconds);
    row->out_rate = rate_of(now.out, before.out, seconds);
    row->queued_rate = rate_of(now.queued, before.queued, seconds);
    row->dropped_rate = rate_of(now.dropped, before.dropped, seconds);
    row->failed_rate = rate_of(now.failed, before.failed, seconds);
}
