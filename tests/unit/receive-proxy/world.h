/* A pyroscope.write between a test and scripted receivers, all on one loop. */
#ifndef TESTS_RECEIVE_PROXY_WORLD_H
#define TESTS_RECEIVE_PROXY_WORLD_H

#include <stdio.h>
#include <string.h>

#include "../../lib/peer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "finder.h"
#include "flow.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "queue_run.h"
#include "settings.h"
#include "store/io.h"
#include "write.h"

enum { WORLD_PEERS = 3, WORLD_RESULTS = 64 };

/* A finder whose answers the test gives. */
struct world_finder {
    struct finder finder; /* first */
    finder_set_fn fn;
    void *arg;
    char entry[100];
    struct addr addrs[8];
    size_t count;
};

struct world {
    struct loop *loop;
    struct http_client *client, *queue_client;
    struct flow_thread thread, queue_thread;
    struct metrics *metrics;
    struct write_metrics write_metrics;
    struct queue_metrics queue_metrics;
    struct queues *queues;
    struct world_finder finder;
    struct log log;
    struct buf logged;
    struct write_world write;
    struct peer peers[WORLD_PEERS];
    char urls[WORLD_PEERS][100];
    struct receiver *receiver;
    struct set_endpoint endpoints[WORLD_PEERS];
    struct set_write settings;
    struct flow_result results[WORLD_RESULTS];
    size_t count; /* of results */
    const struct store_io *io;
    struct mem_account *memory; /* of items; NULL: none */
};

static inline void world_log(void *arg, enum log_level level, struct str line)
{
    struct world *w = arg;
    if (level >= LOG_INFO) {
        buf_str(&w->logged, line);
        buf_u8(&w->logged, '\n');
    }
}

static inline bool world_logged(struct world *w, const char *text)
{
    return str_contains(buf_view(&w->logged), str_c(text));
}

static inline int world_watch(struct finder *f, struct finder_watch **out, struct str entry,
                              finder_set_fn fn, void *arg, struct err *err)
{
    struct world_finder *w = (struct world_finder *)f;
    if (str_contains(entry, STR("unknown")))
        return err_set(err, ERR_INVAL, "unknown entry");
    (void)snprintf(w->entry, sizeof w->entry, "%.*s", STR_ARG(entry));
    w->fn = fn;
    w->arg = arg;
    *out = (struct finder_watch *)(void *)w;
    fn(arg, w->addrs, w->count);
    return 0;
}

static inline void world_unwatch(struct finder *f, struct finder_watch *watch)
{
    (void)watch;
    ((struct world_finder *)f)->fn = NULL;
}

/* Loop, clients, queues, receivers; nothing is sent yet. w->settings has our defaults, one endpoint
 * for each peer, with short waits. */
static inline void world_init(struct world *w, const struct store_io *io)
{
    struct http_client_config config = {0};
    memset(w, 0, sizeof *w);
    w->io = io == NULL ? store_io_posix() : io;
    assert_int_equal(loop_init(&w->loop, "test", NULL), 0);
    assert_int_equal(http_client_init(&w->client, w->loop, &config, NULL), 0);
    assert_int_equal(http_client_init(&w->queue_client, w->loop, &config, NULL), 0);
    assert_int_equal(flow_thread_init(&w->thread, w->loop, w->client, 0), 0);
    assert_int_equal(flow_thread_init(&w->queue_thread, w->loop, w->queue_client, 1), 0);
    assert_int_equal(metrics_init(&w->metrics, "pyroscope", NULL), 0);
    assert_int_equal(
        metrics_register(w->metrics, write_metric_rows, &w->write_metrics, NULL, NULL), 0);
    assert_int_equal(
        metrics_register(w->metrics, queue_metric_rows, &w->queue_metrics, NULL, NULL), 0);
    w->log = (struct log){.sink = world_log, .arg = w, .level = LOG_DEBUG};
    assert_int_equal(queues_init(&w->queues, &w->queue_thread, w->io, &w->queue_metrics, &w->log,
                                 1),
                     0);
    w->finder.finder = (struct finder){.watch = world_watch, .unwatch = world_unwatch};
    w->write = (struct write_world){.metrics = &w->write_metrics,
                                    .log = &w->log,
                                    .queues = w->queues,
                                    .finder = &w->finder.finder,
                                    .instance_id = "the-instance",
                                    .user_agent = "emberring-test",
                                    .seed = 1};
    for (size_t i = 0; i < WORLD_PEERS; i++) {
        peer_init(&w->peers[i], w->loop, NULL);
        (void)snprintf(w->urls[i], sizeof w->urls[i], "http://%s/base/",
                       peer_address(&w->peers[i]));
        w->endpoints[i] = (struct set_endpoint){.url = str_c(w->urls[i]),
                                                .remote_timeout_ms = 5000,
                                                .min_backoff_ms = 10,
                                                .max_backoff_ms = 40,
                                                .max_backoff_retries = 10,
                                                .retry_on_http_429 = true,
                                                .authorization.type = STR_INIT("Bearer"),
                                                .follow_redirects = true};
    }
    w->settings = (struct set_write){.endpoints = {1, w->endpoints},
                                     .queue = {.max_bytes = STR_INIT("1MiB"),
                                               .max_age_ms = 3600000},
                                     .status_passthrough = true,
                                     .forward_headers = true,
                                     .deadline_budget = true};
}

/* The receiver, out of w->settings. */
static inline void world_start(struct world *w)
{
    struct err err = {0};
    int rc = write_init(&w->receiver, &w->settings, STR("pyroscope.write.x"), STR("/"), &w->write,
                        &err);
    if (rc != 0)
        print_error("%s\n", err.msg);
    assert_int_equal(rc, 0);
    assert_int_equal(write_start(w->receiver, NULL), 0);
}

static inline void world_stop(struct world *w)
{
    receiver_release(w->receiver);
    w->receiver = NULL;
    http_client_free(&w->client);
    queues_stop(w->queues);
    http_client_free(&w->queue_client);
    loop_turn(w->loop, 0);
    queues_free(&w->queues);
    flow_thread_reset(&w->thread);
    flow_thread_reset(&w->queue_thread);
    for (size_t i = 0; i < WORLD_PEERS; i++)
        peer_reset(&w->peers[i]);
    metrics_free(&w->metrics);
    loop_free(&w->loop);
    buf_reset(&w->logged);
}

#define WORLD_UNTIL(w, cond)                                                                  \
    do {                                                                                      \
        mono_ms limit_ = clock_mono_ms() + 20000;                                             \
        while (!(cond) && clock_mono_ms() < limit_)                                           \
            loop_turn((w)->loop, 10);                                                         \
        assert_true(cond);                                                                    \
    } while (0)

static inline void world_done(void *arg, const struct flow_result *r)
{
    struct world *w = arg;
    w->results[w->count++ % WORLD_RESULTS] = *r;
}

/* Send an item with that text, which lives on, for its profile; the result comes to w->results. */
static inline void world_send(struct world *w, enum flow_kind kind, const char *text,
                              mono_ms deadline)
{
    static const struct label labels[] = {{STR_INIT("__name__"), STR_INIT("cpu")},
                                          {STR_INIT("service_name"), STR_INIT("svc")}};
    static const struct str type = STR_INIT("multipart/form-data; boundary=x");
    static const struct http_field headers[] = {{STR_INIT("X-Scope-OrgID"), STR_INIT("team")}};
    static const struct http_field params[] = {{STR_INIT("from"), STR_INIT("1")}};
    static struct flow_item items[WORLD_RESULTS];
    static struct flow_sample samples[WORLD_RESULTS];
    static size_t next;
    size_t i = next++ % WORLD_RESULTS;
    samples[i] = (struct flow_sample){str_c(text), STR("the-id")};
    items[i] = (struct flow_item){.kind = kind,
                                  .labels = labels,
                                  .label_count = 2,
                                  .samples = &samples[i],
                                  .sample_count = 1,
                                  .body = str_c(text),
                                  .params = params,
                                  .param_count = 1,
                                  .content_types = &type,
                                  .content_type_count = 1,
                                  .headers = headers,
                                  .header_count = 1,
                                  .began = clock_mono_ms(),
                                  .deadline = deadline,
                                  .memory = w->memory};
    w->receiver->ops->append(w->receiver, &w->thread, &items[i], world_done, w);
}

/* Send and wait for the result. */
static inline const struct flow_result *world_ask(struct world *w, enum flow_kind kind,
                                                  const char *text)
{
    size_t before = w->count;
    world_send(w, kind, text, MONO_NEVER);
    WORLD_UNTIL(w, w->count == before + 1);
    return &w->results[before % WORLD_RESULTS];
}

static inline uint64_t world_counter(struct world *w, struct counter_vec *v, size_t peer)
{
    return counter_get(
        COUNTER_AT(v, STR("pyroscope.write.x"), STR("/"), str_c(w->urls[peer])));
}

#endif
