/* disco/disco_uv.c - asks the resolver what names.h wants to know, and publishes the outcome. */
#include "disco/disco_uv.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "net/dns.h"
#include "net/loop.h"

enum { RETRY_MIN_MS = 1000 };

struct disco_metrics {
    struct counter *lookups, *failures;
    struct gauge_vec *results;
};

struct disco {
    struct loop *loop;
    const struct disco_config *cfg;
    struct disco_options options;
    struct log log;
    struct rng rng;
    struct names *names;
    struct dns *dns; /* made with the first name */
    struct loop_timer *timer;
    struct disco_metrics metrics;
    struct list asked;
    uint64_t told; /* generation */
    bool started;
};

/* A question on its way. */
struct asked {
    struct list link;
    struct disco *d;
    uint64_t tag;
};

static const struct metric_row rows[] = {
    METRIC_COUNTER_ROW(disco_metrics, lookups, 0, "dns_lookups_total", "Names looked up."),
    METRIC_COUNTER_ROW(disco_metrics, failures, 0, "dns_failures_total",
                       "Look-ups of names that failed; no such name is none."),
    METRIC_GAUGE_VEC_ROW(disco_metrics, results, METRIC_PEER_NAME, "dns_provider_results", "addr",
                         "Addresses in force for a configured name."),
    {.kind = METRIC_END},
};

static void publish(struct disco *d)
{
    struct names_stats s = names_stats(d->names);
    counter_add(d->metrics.lookups, s.lookups - counter_get(d->metrics.lookups));
    counter_add(d->metrics.failures, s.failures - counter_get(d->metrics.failures));
    for (size_t i = 0; i < names_count(d->names); i++) {
        struct names_view v = names_at(d->names, i);
        gauge_set(GAUGE_AT(d->metrics.results, str_c(v.text)), (double)v.count);
    }
}

static void arm(struct disco *d)
{
    mono_ms due = names_due(d->names), now = loop_now(d->loop);
    if (!d->started)
        return;
    if (due == MONO_NEVER)
        loop_timer_stop(d->timer);
    else
        loop_timer_start(d->timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

/* on_change may free d: it comes last. */
static void settle(struct disco *d)
{
    uint64_t generation = names_generation(d->names);
    bool changed = d->told != generation;
    d->told = generation;
    publish(d);
    arm(d);
    if (changed && d->options.on_change != NULL)
        d->options.on_change(d->options.arg);
}

static void on_result(void *arg, const struct dns_result *r)
{
    struct asked *a = arg;
    struct disco *d = a->d;
    names_answer(d->names, a->tag, r->code, r->why, r->records, loop_now(d->loop));
    list_remove(&a->link);
    mem_free(a);
    settle(d);
}

static void ask(struct disco *d, const struct names_ask *q)
{
    struct str name = str_c(q->name);
    struct asked *a = mem_zalloc(sizeof *a);
    int rc = ERR_NOMEM;
    if (a != NULL) {
        *a = (struct asked){.d = d, .tag = q->tag};
        list_push_back(&d->asked, &a->link);
        rc = q->service ? dns_service(d->dns, name, on_result, a, NULL)
                        : dns_host(d->dns, name, on_result, a, NULL);
    }
    if (rc == 0)
        return;
    if (a != NULL)
        list_remove(&a->link);
    mem_free(a);
    names_answer(d->names, q->tag, rc, err_text(rc), NULL, loop_now(d->loop));
}

static void on_timer(void *arg)
{
    struct disco *d = arg;
    struct names_ask q;
    while (names_next(d->names, loop_now(d->loop), &q))
        ask(d, &q);
    settle(d);
}

int disco_init(struct disco **out, struct loop *loop, const struct disco_config *config,
               const struct disco_options *options, const struct log *log,
               struct metrics *metrics, struct err *err)
{
    struct names_config nc = {.default_port = options->default_port,
                              .refresh_ms = config->refresh_ms,
                              .retry_min_ms = RETRY_MIN_MS,
                              .retry_max_ms = config->refresh_ms};
    const struct metric_label fixed[] = {{"name", options->name}, {NULL, NULL}};
    uint64_t seed;
    struct disco *d = mem_zalloc(sizeof *d);
    if (d == NULL)
        return err_set(err, ERR_NOMEM, "discovery");
    *d = (struct disco){.loop = loop, .cfg = config, .options = *options};
    list_init(&d->asked);
    if (log != NULL)
        d->log = log_with(log, "disco");
    clock_entropy(&seed, sizeof seed);
    rng_seed(&d->rng, seed);
    int rc = names_init(&d->names, &nc, &d->rng, &d->log);
    if (rc == 0)
        rc = loop_timer_init(&d->timer, loop, on_timer, d);
    if (rc != 0)
        (void)err_set(err, rc, "discovery: %s", err_text(rc));
    if (rc == 0 && metrics != NULL)
        rc = metrics_register(metrics, rows, &d->metrics, fixed, err);
    if (rc != 0) {
        disco_free(&d);
        return rc;
    }
    *out = d;
    return 0;
}

void disco_free(struct disco **out)
{
    struct disco *d = *out;
    if (d == NULL)
        return;
    *out = NULL;
    dns_free(&d->dns);
    LIST_EACH_SAFE(it, &d->asked)
        mem_free(LIST_ITEM(it, struct asked, link));
    loop_timer_free(&d->timer);
    names_free(&d->names);
    mem_free(d);
}

/* A resolver, should there be a name. */
static int need_dns(struct disco *d, struct err *err)
{
    bool named = false;
    for (size_t i = 0; i < names_count(d->names); i++)
        named = named || names_at(d->names, i).state == NAMES_PENDING;
    struct dns_config config = {.servers = d->cfg->servers.items,
                                .server_count = d->cfg->servers.count,
                                .timeout_ms = d->cfg->timeout_ms};
    return named && d->dns == NULL ? dns_init(&d->dns, d->loop, &config, err) : 0;
}

int disco_add(struct disco *d, struct str text, struct err *err)
{
    int rc = names_add(d->names, text, err);
    if (rc == 0)
        rc = need_dns(d, err);
    arm(d);
    return rc;
}

void disco_start(struct disco *d)
{
    d->started = true;
    loop_timer_start(d->timer, 0, 0);
}

void disco_refresh(struct disco *d)
{
    names_refresh(d->names, loop_now(d->loop));
    arm(d);
}

const struct names *disco_names(const struct disco *d)
{
    return d->names;
}
