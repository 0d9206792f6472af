/* app/node_pages_run.c - what a node says of itself over HTTP to programs: readiness, metrics, the
 * configuration. Pages for people: node_ring_page_run.c, node_members_page_run.c. */
#include "app/node_priv.h"

#include "app/version.h"
#include "gossip/gossip_uv.h"
#include "metrics/process_run.h"
#include "base/mem.h"
#include "net/http_server.h"

#include <stdio.h>

/* A page that is made on the main thread; in the request's arena. */
struct page {
    struct node *node;
    struct http_req *req;
    struct loop_work work;
};

/* Have `fn` called with a page on the main thread, or answer that we are stopping. */
static void on_main(struct node *n, struct http_req *req, loop_fn fn)
{
    struct page *p = arena_zalloc(req->arena, sizeof *p);
    if (p == NULL) {
        http_reply_text(req, 503, "no memory\n");
        return;
    }
    p->node = n;
    p->req = req;
    loop_post(n->main, &p->work, fn, p);
}

static void page_ready(void *arg)
{
    struct page *p = arg;
    struct node *n = p->node;
    struct err err = {0};
    struct gossip_status g = {.joined = true};
    if (n->gossip != NULL)
        gossip_status(n->gossip, &g);
    const struct node_hooks *hooks = n->priv->hooks;
    if (hooks == NULL) {
        http_reply_text(p->req, 503, "%s is starting\n", n->role);
    } else if (hooks->ready != NULL && hooks->ready(hooks->arg, &err) != 0) {
        struct buf text = {0};
        if (n->gossip != NULL && (!g.joined || g.seeds == 0 || g.reached < g.seeds)) {
            buf_c(&text, "; gossip: ");
            gossip_status_text(n->gossip, &text);
        }
        http_reply_text(p->req, 503, "%s not ready: %s%.*s\n", n->role, err.msg,
                        STR_ARG(buf_view(&text)));
        buf_reset(&text);
    } else if (!g.joined) {
        struct buf text = {0}; /* ready, but nobody is to take it for a cluster */
        gossip_status_text(n->gossip, &text);
        http_reply_text(p->req, 200, "ready\ngossip: %.*s\n", STR_ARG(buf_view(&text)));
        buf_reset(&text);
    } else {
        http_reply_text(p->req, 200, "ready\n");
    }
}

static void on_ready(void *arg, struct http_req *req)
{
    struct node *n = arg;
    if (atomic_load(&n->priv->stopping))
        http_reply_text(req, 503, "%s is stopping\n", n->role);
    else
        on_main(n, req, page_ready);
}

static void on_metrics(void *arg, struct http_req *req)
{
    struct node *n = arg;
    struct buf text = {0};
    metrics_expose(n->metrics, &text);
    http_reply_buf(req, 200, metrics_content_type, &text);
}

static void on_config(void *arg, struct http_req *req)
{
    struct node *n = arg;
    struct buf yaml = {0};
    conf_dump(n->priv->conf, &yaml);
    http_reply_buf(req, 200, "text/plain; charset=utf-8", &yaml);
}

static void on_buildinfo(void *arg, struct http_req *req)
{
    (void)arg;
    struct buf json = {0};
    buf_printf(&json,
               "{\"status\":\"success\",\"data\":{\"version\":\"%s\",\"revision\":\"%s\","
               "\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}",
               app_version(), app_revision());
    http_reply_buf(req, 200, "application/json", &json);
}

static const double byte_bounds[] = {1024, 16384, 65536, 262144, 1048576, 4194304, 16777216};

static const struct metric_row rows[] = {
    METRIC_HISTOGRAM_VEC_ROW(node_metrics, duration, 0, "request_duration_seconds",
                             "method,route,status_code,ws",
                             "Time from a request's header to its answer, in seconds.", NULL, 0),
    METRIC_HISTOGRAM_VEC_ROW(node_metrics, request_bytes, 0, "request_message_bytes",
                             "method,route", "Bytes of requests.", byte_bounds, 7),
    METRIC_HISTOGRAM_VEC_ROW(node_metrics, response_bytes, 0, "response_message_bytes",
                             "method,route", "Bytes of answers.", byte_bounds, 7),
    {.kind = METRIC_END},
};

void node_seen(void *arg, const struct http_seen *seen)
{
    struct node *n = arg;
    const struct node_metrics *m = &n->priv->metrics;
    char status[8];
    (void)snprintf(status, sizeof status, "%u", seen->status);
    struct str method = str_c(http_method_name(seen->method)), route = str_c(seen->label);
    histogram_observe(HISTOGRAM_AT(m->duration, method, route, str_c(status), STR("false")),
                      (double)seen->duration_ns / 1e9);
    histogram_observe(HISTOGRAM_AT(m->request_bytes, method, route), (double)seen->request_bytes);
    histogram_observe(HISTOGRAM_AT(m->response_bytes, method, route),
                      (double)seen->response_bytes);
}

static void collect_inflight(void *arg, struct metrics_sink *sink)
{
    struct node *n = arg;
    metrics_emit(sink, NULL, (double)http_server_stats(n->http).inflight);
}

static void collect_connections(void *arg, struct metrics_sink *sink)
{
    struct node *n = arg;
    metrics_emit(sink, NULL, (double)http_server_stats(n->http).connections);
}

static int register_metrics(struct node *n, struct err *err)
{
    static const struct metric_row inflight = {.kind = METRIC_GAUGE,
                                               .name = "inflight_requests",
                                               .labels = "",
                                               .help = "Requests that are being answered."};
    static const struct metric_row connections = {.kind = METRIC_GAUGE,
                                                  .name = "tcp_connections",
                                                  .labels = "",
                                                  .help = "Open HTTP connections."};
    int rc = metrics_register(n->metrics, rows, &n->priv->metrics, NULL, err);
    if (rc == 0)
        rc = metrics_process(n->metrics, err);
    if (rc == 0)
        rc = metrics_build_info(n->metrics, app_version(), app_revision(), "", err);
    if (rc == 0)
        rc = metrics_collector(n->metrics, &inflight, NULL, collect_inflight, n, err);
    if (rc == 0)
        rc = metrics_collector(n->metrics, &connections, NULL, collect_connections, n, err);
    return rc;
}

/* Clients ask for it too, to know whom they speak to: on every server. */
static int register_buildinfo(struct node *n, struct err *err)
{
    struct http_route route = {.path = "/api/v1/status/buildinfo",
                               .methods = HTTP_GET,
                               .handler = on_buildinfo,
                               .arg = n};
    int rc = http_server_route(n->http, &route, err);
    return rc == 0 && n->admin != NULL ? http_server_route(n->admin, &route, err) : rc;
}

int node_register_pages(struct node *n, struct err *err)
{
    static const struct {
        const char *path;
        http_handler_fn handler;
    } pages[] = {
        {"/ready", on_ready},
        {"/metrics", on_metrics},
        {"/api/v1/status/config", on_config},
    };
    int rc = register_metrics(n, err);
    for (size_t i = 0; rc == 0 && i < sizeof pages / sizeof *pages; i++) {
        struct http_route route = {
            .path = pages[i].path, .methods = HTTP_GET, .handler = pages[i].handler, .arg = n};
        rc = node_page(n, &route, err);
    }
    if (rc == 0 && n->gossip != NULL)
        rc = node_register_rings(n, err);
    if (rc == 0 && n->gossip != NULL)
        rc = node_register_members(n, err);
    return rc != 0 ? rc : register_buildinfo(n, err);
}
