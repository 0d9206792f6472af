/* receive-proxy/receive_run.c - the life of a listener. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/pool.h"
#include "receive_parts.h"

enum {
    REPLY_MS = 50,        /* of a deadline, for the answer's own way */
    FILES_KEPT = 256,     /* open files that are no connections of clients */
};

/* --- metrics ----------------------------------------------------------------------------- */

#define COMPONENT "component_id,component_path"
static const double seconds[] = {.005, .01, .025, .05, .1, .25, .5,
                                 1,    2.5, 5,    10,  25, 50,  100};
static const double bytes[] = {4,     16,    64,     256,     1024,    4096,     16384,   65536,
                               262144, 1048576, 4194304, 16777216, 67108864, 268435456, 1073741824};

const struct metric_row receive_metric_rows[] = {
    METRIC_HISTOGRAM_VEC_ROW(receive_metrics, duration, METRIC_BARE,
                             "pyroscope_receive_http_request_duration_seconds",
                             "method,route,status_code,ws," COMPONENT,
                             "Seconds from a request's header to its answer.", seconds, 14),
    METRIC_HISTOGRAM_VEC_ROW(receive_metrics, request_bytes, METRIC_BARE,
                             "pyroscope_receive_http_request_message_bytes",
                             "method,route," COMPONENT, "Bytes of requests.", bytes, 15),
    METRIC_HISTOGRAM_VEC_ROW(receive_metrics, response_bytes, METRIC_BARE,
                             "pyroscope_receive_http_response_message_bytes",
                             "method,route," COMPONENT, "Bytes of answers.", bytes, 15),
    METRIC_COUNTER_VEC_ROW(receive_metrics, items, METRIC_BARE,
                           "pyroscope_receive_http_profiles_total", "api," COMPONENT,
                           "Profiles that were taken and answered with success."),
    METRIC_COUNTER_VEC_ROW(receive_metrics, failures, METRIC_BARE,
                           "pyroscope_receive_http_failed_profiles_total", "api," COMPONENT,
                           "Profiles whose sender was told of a failure."),
    {.kind = METRIC_END},
};

struct receive_gauges {
    struct metrics *metrics;
    pthread_mutex_t lock;
    struct list live;
};

static void emit(struct receive_gauges *g, struct metrics_sink *sink,
                 double (*value)(const struct receive *r), bool protocol)
{
    pthread_mutex_lock(&g->lock);
    LIST_EACH(at, &g->live) {
        const struct receive *r = LIST_ITEM(at, struct receive, live);
        struct str values[3] = {STR("http"), str_c(r->id), str_c(r->path)};
        metrics_emit(sink, protocol ? values : values + 1, value(r));
    }
    pthread_mutex_unlock(&g->lock);
}

static double count_open(const struct receive *r)
{
    return http_server_stats(r->http).connections;
}

static double count_limit(const struct receive *r)
{
    return r->conn_limit <= 0 ? 0 : (double)r->conn_limit;
}

static double count_inflight(const struct receive *r)
{
    return http_server_stats(r->http).inflight;
}

static double count_rejected(const struct receive *r)
{
    return (double)http_server_stats(r->http).rejected_connections;
}

static void collect_open(void *arg, struct metrics_sink *sink)
{
    emit(arg, sink, count_open, true);
}

static void collect_limit(void *arg, struct metrics_sink *sink)
{
    emit(arg, sink, count_limit, true);
}

static void collect_inflight(void *arg, struct metrics_sink *sink)
{
    emit(arg, sink, count_inflight, false);
}

static void collect_rejected(void *arg, struct metrics_sink *sink)
{
    emit(arg, sink, count_rejected, false);
}

int receive_gauges_init(struct receive_gauges **out, struct metrics *m, struct err *err)
{
    static const struct {
        struct metric_row row;
        metrics_collect_fn fn;
    } all[] = {
        {{.kind = METRIC_GAUGE,
          .bits = METRIC_BARE,
          .name = "pyroscope_receive_http_tcp_connections",
          .labels = "protocol," COMPONENT,
          .help = "Current number of accepted TCP connections."},
         collect_open},
        {{.kind = METRIC_GAUGE,
          .bits = METRIC_BARE,
          .name = "pyroscope_receive_http_tcp_connections_limit",
          .labels = "protocol," COMPONENT,
          .help = "Most TCP connections that are accepted; 0: no limit."},
         collect_limit},
        {{.kind = METRIC_GAUGE,
          .bits = METRIC_BARE,
          .name = "pyroscope_receive_http_inflight_requests",
          .labels = COMPONENT,
          .help = "Requests that are being answered."},
         collect_inflight},
        {{.kind = METRIC_COUNTER,
          .bits = METRIC_BARE,
          .name = "pyroscope_receive_http_rejected_connections_total",
          .labels = COMPONENT,
          .help = "Connections beyond the limit, which were told so."},
         collect_rejected},
    };
    struct receive_gauges *g = mem_zalloc(sizeof *g);
    int rc = 0;
    if (g == NULL)
        return err_set(err, ERR_NOMEM, "no memory for gauges");
    g->metrics = m;
    pthread_mutex_init(&g->lock, NULL);
    list_init(&g->live);
    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof *all; i++)
        rc = metrics_collector(m, &all[i].row, NULL, all[i].fn, g, err);
    if (rc != 0)
        receive_gauges_free(&g);
    *out = g;
    return rc;
}

void receive_gauges_free(struct receive_gauges **gp)
{
    struct receive_gauges *g = *gp;
    if (g == NULL)
        return;
    metrics_collector_remove(g->metrics, g);
    ASSERT(list_is_empty(&g->live));
    pthread_mutex_destroy(&g->lock);
    mem_free(g);
    *gp = NULL;
}

static void set_listed(struct receive *r, bool listed)
{
    struct receive_gauges *g = r->world->gauges;
    pthread_mutex_lock(&g->lock);
    if (listed && !r->listed)
        list_push_back(&g->live, &r->live);
    else if (!listed && r->listed)
        list_remove(&r->live);
    r->listed = listed;
    pthread_mutex_unlock(&g->lock);
}

/* As the peer names them. */
static struct str route_name(const char *label)
{
    static const char push[] = "push_v1_pusherservice";
    if (strncmp(label, push, sizeof push - 1) == 0)
        return STR("push_v1_pusherservice");
    return str_c(label);
}

static void on_seen(void *arg, const struct http_seen *seen)
{
    struct receive *r = arg;
    const struct receive_metrics *m = r->world->metrics;
    unsigned code = seen->status % 1000;
    const char digits[3] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10),
                            (char)('0' + code % 10)};
    struct str method = str_c(http_method_name(seen->method)), route = route_name(seen->label);
    struct str id = str_c(r->id), path = str_c(r->path);
    atomic_fetch_add(seen->status < 400 ? &r->requests : &r->failures, 1);
    histogram_observe(
        HISTOGRAM_AT(m->duration, method, route, str_of(digits, 3), STR("false"), id, path),
        (double)seen->duration_ns / 1e9);
    histogram_observe(HISTOGRAM_AT(m->request_bytes, method, route, id, path),
                      (double)seen->request_bytes);
    histogram_observe(HISTOGRAM_AT(m->response_bytes, method, route, id, path),
                      (double)seen->response_bytes);
}

/* --- what requests need ------------------------------------------------------------------ */

struct receive_policy receive_begin(struct receive *r)
{
    pthread_mutex_lock(&r->lock);
    struct receive_policy policy = r->policy;
    flow_list_retain(policy.next);
    r->owed++;
    pthread_mutex_unlock(&r->lock);
    return policy;
}

void receive_end(struct receive *r, struct receive_policy *policy)
{
    flow_list_release(policy->next);
    policy->next = NULL;
    pthread_mutex_lock(&r->lock);
    if (--r->owed == 0)
        pthread_cond_broadcast(&r->paid);
    pthread_mutex_unlock(&r->lock);
}

int receive_headers(const struct receive_policy *policy, struct http_req *req,
                    enum flow_kind kind, const struct http_field **out, size_t *count)
{
    static const char *const names[] = {"X-Scope-OrgID", "Content-Encoding"};
    size_t most = kind == FLOW_INGEST ? 2 : 1; /* Push is unpacked here */
    *count = 0;
    if (!policy->forward_headers)
        return 0;
    struct http_field *fields = arena_calloc(req->arena, most, sizeof *fields);
    if (fields == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < most; i++) {
        struct str value = http_req_header(req, names[i]);
        if (value.len > 0)
            fields[(*count)++] = (struct http_field){str_c(names[i]), value};
    }
    *out = fields;
    return 0;
}

mono_ms receive_deadline(const struct receive *r, const struct http_req *req)
{
    bool asked = http_req_header(req, "Connect-Timeout-Ms").data != NULL;
    if (r->world->alloy && !asked)
        return MONO_NEVER;
    mono_ms left = req->deadline - req->began;
    return req->deadline - (left / 10 < REPLY_MS ? left / 10 : REPLY_MS);
}

void receive_count(struct receive *r, const struct flow_item *item,
                   const struct flow_result *result, bool ok)
{
    size_t profiles = flow_item_profiles(item);
    counter_add(ok ? r->items[item->kind] : r->failed[item->kind], profiles);
    if (!ok)
        return;
    atomic_fetch_add(&r->profiles, profiles);
    atomic_fetch_add(&r->bytes, flow_item_bytes(item));
    if (result->stored == 0 && result->synced + result->kept > 0)
        atomic_fetch_add(&r->queued, profiles);
    else if (result->stored == 0 && result->dropped > 0)
        atomic_fetch_add(&r->dropped, profiles);
}

/* --- TLS --------------------------------------------------------------------------------- */

static enum http_tls_client client_auth_of(struct str type)
{
    static const struct {
        const char *name;
        enum http_tls_client value;
    } all[] = {{"RequestClientCert", HTTP_TLS_REQUEST},
               {"RequireAnyClientCert", HTTP_TLS_REQUIRE_ANY},
               {"RequireClientCert", HTTP_TLS_REQUIRE_ANY},
               {"VerifyClientCertIfGiven", HTTP_TLS_VERIFY_IF_GIVEN},
               {"RequireAndVerifyClientCert", HTTP_TLS_REQUIRE_AND_VERIFY}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_eq(type, str_c(all[i].name)))
            return all[i].value;
    return HTTP_TLS_NO_CERT;
}

static struct http_tls_config tls_config_of(const struct tls_texts *texts)
{
    return (struct http_tls_config){.cert_pem = buf_view(&texts->cert),
                                    .key_pem = buf_view(&texts->key),
                                    .client_ca_pem = buf_view(&texts->ca)};
}

/* Before each handshake: the files may have changed. */
static void on_handshake(void *arg)
{
    struct receive *r = arg;
    struct err err = {0};
    struct tls_texts *texts = tls_source_get(r->files, clock_mono_ms());
    pthread_mutex_lock(&r->lock);
    bool changed = texts != r->texts;
    struct tls_texts *old = changed ? r->texts : texts;
    r->texts = texts;
    pthread_mutex_unlock(&r->lock);
    if (changed) {
        struct http_tls_config config = tls_config_of(texts);
        if (http_tls_set(r->tls, &config, &err) != 0)
            log_line(&r->log, LOG_ERROR, "the new certificate cannot be used; the old one stays",
                     LOG_C("component", r->id), LOG_C("err", err.msg));
        else
            log_line(&r->log, LOG_INFO, "certificates were read again",
                     LOG_C("component", r->id));
    }
    tls_texts_release(old);
}

static int make_tls(struct receive *r, const struct set_server_tls *s, struct err *err)
{
    if (s == NULL)
        return 0;
    struct set_tls files = {.ca_pem = s->client_ca.len > 0 ? s->client_ca : s->client_ca_pem,
                            .ca_file = s->client_ca_file,
                            .cert_pem = s->cert_pem,
                            .cert_file = s->cert_file,
                            .key_pem = s->key_pem,
                            .key_file = s->key_file};
    int rc = tls_source_init(&r->files, &files, err);
    if (rc != 0)
        return rc;
    r->texts = tls_source_get(r->files, clock_mono_ms());
    struct http_tls_config config = tls_config_of(r->texts);
    config.client = client_auth_of(s->client_auth_type);
    config.cipher_suites = s->cipher_suites;
    if (s->min_version.len > 0) /* ...TLS10 to ...TLS13 */
        config.min_version = (uint8_t)(10 + s->min_version.data[s->min_version.len - 1] - '0');
    return http_tls_init(&r->tls, &config, err);
}

/* --- making ------------------------------------------------------------------------------ */

static uint32_t clamp_ms(int64_t ms)
{
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

/* As many connections as asked for, or as may be open. */
static unsigned connections_of(struct receive *r, int64_t limit)
{
    struct rlimit files;
    unsigned most = 1u << 20;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY &&
        files.rlim_cur < most)
        most = files.rlim_cur > 2 * FILES_KEPT ? (unsigned)files.rlim_cur - FILES_KEPT
                                               : (unsigned)files.rlim_cur / 2 + 1;
    if (limit > 0 && limit > most)
        log_line(&r->log, LOG_WARN, "conn_limit is more than files may be open",
                 LOG_I("conn_limit", limit), LOG_U("used", most));
    return limit <= 0 || limit > most ? most : (unsigned)limit;
}

/* The listener whose sockets can be taken over. */
static struct receive *find_same(struct receive *const *old, size_t count, struct str address,
                                 uint16_t port, unsigned threads)
{
    for (size_t i = 0; i < count && port != 0; i++) {
        const struct http_server_config *c = http_server_config_of(old[i]->http);
        if (str_eq(c->address, address) && http_server_addr(old[i]->http).port == port &&
            http_server_threads(old[i]->http) == threads)
            return old[i];
    }
    return NULL;
}

static bool has_port(struct receive *const *old, size_t count, uint16_t port)
{
    for (size_t i = 0; i < count; i++)
        if (port != 0 && http_server_addr(old[i]->http).port == port)
            return true;
    return false;
}

static int make_server(struct receive *r, const struct set_receive_server *s,
                       struct receive *const *old, size_t old_count, struct err *err)
{
    const struct receive_world *w = r->world;
    bool wait = str_eq(s->overload, STR("wait"));
    unsigned threads = wait ? 1 : w->thread_count; /* one counts exactly */
    struct str address =
        str_eq(s->listen_address, STR("localhost")) ? STR("127.0.0.1") : s->listen_address;
    struct receive *same = find_same(old, old_count, address, (uint16_t)s->listen_port, threads);
    struct http_server_config config = {
        .address = address,
        .port = (uint16_t)s->listen_port,
        .connections_max = connections_of(r, s->conn_limit),
        .wait = wait,
        .connection_memory = (size_t)set_receive_header_max(s),
        .header_ms = clamp_ms(s->server_read_timeout_ms),
        .body_ms = clamp_ms(s->server_read_timeout_ms),
        .read_whole = true,
        .handler_ms = clamp_ms(s->server_write_timeout_ms),
        .write_ms = clamp_ms(s->server_write_timeout_ms),
        .idle_ms = clamp_ms(s->server_idle_timeout_ms),
        .memory_max = w->memory_max,
        .inherit = same != NULL ? same->http : NULL,
        .tls = r->tls,
        .tls_look = on_handshake,
        .tls_arg = r,
        .share_port = has_port(old, old_count, (uint16_t)s->listen_port),
        .log = &r->log,
        .on_seen = on_seen,
        .seen_arg = r,
    };
    struct rpc_server_config rpc = {.pool = w->pool};
    int rc = http_server_init(&r->http, w->loops, threads, &config, err);
    if (rc == 0 && rpc_server_init(&r->rpc, r->http, &rpc) != 0)
        rc = err_set(err, ERR_NOMEM, "no memory for a listener");
    return rc;
}

static int fill(struct receive *r, const struct set_receive *s, struct str id, struct str path,
                struct err *err)
{
    const struct receive_world *w = r->world;
    static const struct str apis[2] = {[FLOW_PUSH] = STR_INIT("push"),
                                       [FLOW_INGEST] = STR_INIT("ingest")};
    r->id = str_dup_c(id);
    r->path = str_dup_c(path);
    if (r->id == NULL || r->path == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a listener");
    r->log = *w->log;
    r->conn_limit = s->http.conn_limit;
    r->write_ms = clamp_ms(s->http.server_write_timeout_ms);
    r->body_max = (size_t)set_receive_body_max(&s->http);
    for (size_t i = 0; i < 2; i++) {
        r->items[i] = COUNTER_AT(w->metrics->items, apis[i], id, path);
        r->failed[i] = COUNTER_AT(w->metrics->failures, apis[i], id, path);
    }
    if (s->http.http2.enabled)
        log_line(&r->log, LOG_WARN, "HTTP/2 is not served: clients are answered by HTTP/1.1",
                 LOG_S("component", id));
    return 0;
}

static void release(struct receive *r)
{
    http_server_free(&r->http);
    rpc_server_free(&r->rpc);
    http_tls_free(&r->tls);
    tls_texts_release(r->texts);
    tls_source_free(&r->files);
    flow_list_release(r->policy.next);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->paid);
    mem_free((char *)(uintptr_t)r->id);
    mem_free((char *)(uintptr_t)r->path);
    mem_free(r);
}

int receive_init(struct receive **out, const struct set_receive *s, struct str id,
                 struct str path, struct flow_list *next, struct receive *const *old,
                 size_t old_count, const struct receive_world *world, struct err *err)
{
    struct receive *r = mem_zalloc(sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a listener");
    r->world = world;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->paid, NULL);
    receive_forward(r, s, next);
    int rc = fill(r, s, id, path, err);
    if (rc == 0)
        rc = make_tls(r, set_receive_tls(&s->http), err);
    if (rc == 0)
        rc = make_server(r, &s->http, old, old_count, err);
    if (rc == 0)
        rc = receive_ingest_register(r, err);
    if (rc == 0)
        rc = receive_push_register(r, err);
    if (rc != 0)
        release(r);
    else
        *out = r;
    return rc;
}

int receive_start(struct receive *r, struct err *err)
{
    char text[ADDR_TEXT_MAX];
    struct addr at = http_server_addr(r->http);
    int rc = http_server_start(r->http, err);
    r->started = true; /* perhaps in part */
    if (rc != 0)
        return rc;
    set_listed(r, true);
    log_line(&r->log, LOG_INFO, "listening", LOG_C("component", r->id),
             LOG_C("address", addr_text(&at, text)), LOG_B("tls", r->tls != NULL));
    return 0;
}

void receive_forward(struct receive *r, const struct set_receive *s, struct flow_list *next)
{
    pthread_mutex_lock(&r->lock);
    struct flow_list *old = r->policy.next;
    r->grace_ms = clamp_ms(s->graceful_shutdown_timeout_ms);
    r->policy = (struct receive_policy){.next = flow_list_retain(next),
                                        .status_passthrough = s->status_passthrough,
                                        .forward_headers = s->forward_headers};
    pthread_mutex_unlock(&r->lock);
    flow_list_release(old);
}

/* --- ending ------------------------------------------------------------------------------ */

/* Requests that were cut short are answered already, but what they began goes on for as long as
 * its attempts take. */
static void wait_for_owed(struct receive *r)
{
    pthread_mutex_lock(&r->lock);
    while (r->owed > 0)
        pthread_cond_wait(&r->paid, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static void *run_retire(void *arg)
{
    struct receive *r = arg;
    void (*done)(void *) = r->done;
    void *done_arg = r->done_arg;
    unsigned cut = http_server_stop(r->http, r->grace_ms);
    if (cut > 0)
        log_line(&r->log, LOG_WARN, "requests were cut short by the end of the grace period",
                 LOG_C("component", r->id), LOG_U("requests", cut));
    wait_for_owed(r);
    release(r);
    if (done != NULL)
        done(done_arg);
    return NULL;
}

void receive_retire(struct receive *r, void (*done)(void *arg), void *arg)
{
    pthread_t thread;
    set_listed(r, false);
    r->done = done;
    r->done_arg = arg;
    if (r->started)
        http_server_quiesce(r->http); /* who connects after a reload meets the new one */
    if (r->started && pthread_create(&thread, NULL, run_retire, r) == 0)
        (void)pthread_detach(thread);
    else
        (void)run_retire(r); /* at once; without a thread, as slow as it is */
}

/* --- looking ----------------------------------------------------------------------------- */

struct addr receive_addr(const struct receive *r)
{
    return http_server_addr(r->http);
}

bool receive_is_tls(const struct receive *r)
{
    return r->tls != NULL;
}

struct receive_stats receive_stats(const struct receive *r)
{
    return (struct receive_stats){
        .requests = atomic_load(&r->requests),
        .failures = atomic_load(&r->failures),
        .profiles = atomic_load(&r->profiles),
        .bytes = atomic_load(&r->bytes),
        .queued = atomic_load(&r->queued),
        .dropped = atomic_load(&r->dropped),
        .connections = http_server_stats(r->http).connections,
    };
}
