/* receive-proxy/pages_run.c - what the proxy says of its components on the main port. */
#include <stdio.h>

#include "alloy/graph.h"
#include "app/node_run.h"
#include "base/clock.h"
#include "base/mem.h"
#include "components.h"
#include "endpoint_run.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "pipeline_run.h"
#include "proxy_run.h"

/* One request; in its arena. */
struct ask {
    struct proxy *proxy;
    struct http_req *req;
    struct loop_work work;
};

static void on_main(struct proxy *p, struct http_req *req, loop_fn fn)
{
    struct ask *ask = arena_zalloc(req->arena, sizeof *ask);
    if (ask == NULL) {
        http_reply_text(req, 503, "no memory\n");
        return;
    }
    ask->proxy = p;
    ask->req = req;
    loop_post(proxy_node(p)->main, &ask->work, fn, ask);
}

/* --- for probes -------------------------------------------------------------------------- */

static void do_ready(void *arg)
{
    struct ask *ask = arg;
    if (pipeline_count(proxy_pipeline(ask->proxy)) > 0)
        http_reply_text(ask->req, 200, "receive-proxy is ready.\n");
    else
        http_reply_text(ask->req, 503, "receive-proxy is not ready.\n");
}

static void on_ready(void *arg, struct http_req *req)
{
    on_main(arg, req, do_ready);
}

static void do_healthy(void *arg)
{
    struct ask *ask = arg;
    const struct pipeline *p = proxy_pipeline(ask->proxy);
    struct buf ill = {0};
    for (size_t i = 0; i < pipeline_count(p); i++) {
        struct pipeline_view v = pipeline_at(p, i);
        if (!v.healthy)
            buf_printf(&ill, "%s%s", ill.size > 0 ? ", " : "", v.node->id);
    }
    if (ill.size == 0)
        http_reply_text(ask->req, 200, "All components are healthy.\n");
    else
        http_reply_text(ask->req, 500, "unhealthy components: %.*s\n", STR_ARG(buf_view(&ill)));
    buf_reset(&ill);
}

static void on_healthy(void *arg, struct http_req *req)
{
    on_main(arg, req, do_healthy);
}

static void do_reload(void *arg)
{
    struct ask *ask = arg;
    struct err err = {0};
    if (proxy_load_again(ask->proxy, &err) == 0)
        http_reply_text(ask->req, 200, "config reloaded\n");
    else
        http_reply_text(ask->req, 400, "%s\n", err.msg);
}

static void on_reload(void *arg, struct http_req *req)
{
    if (!node_refuse_foreign(req))
        on_main(arg, req, do_reload);
}

/* --- components -------------------------------------------------------------------------- */

static size_t row_of(const struct pipeline *p, const struct alloy_node *node)
{
    bool there = node->index < pipeline_count(p) && pipeline_at(p, node->index).node == node;
    return there ? node->index : SIZE_MAX;
}

static int put_targets(const struct pipeline *p, const struct alloy_node *node, struct arena *a,
                       struct component_row *row)
{
    size_t *to = arena_calloc(a, node->need_count + 1, sizeof *to);
    if (to == NULL)
        return ERR_NOMEM;
    row->to = to;
    for (size_t i = 0; i < node->need_count; i++) {
        size_t at = row_of(p, node->needs[i]);
        if (at != SIZE_MAX)
            to[row->to_count++] = at;
    }
    return 0;
}

static int put_texts(const struct pipeline_view *v, struct arena *a, struct component_row *row)
{
    char text[ADDR_TEXT_MAX], address[ADDR_TEXT_MAX + 16] = "";
    struct buf arguments = {0};
    if (v->listener != NULL) {
        struct addr at = receive_addr(v->listener);
        (void)snprintf(address, sizeof address, "%s://%s",
                       receive_is_tls(v->listener) ? "https" : "http", addr_text(&at, text));
    }
    alloy_graph_print(v->graph, v->node, &arguments);
    row->address = str_dup(a, str_c(address));
    row->arguments = str_dup(a, buf_view(&arguments));
    int rc = arguments.error;
    buf_reset(&arguments);
    return row->address.data == NULL || row->arguments.data == NULL ? ERR_NOMEM : rc;
}

/* The endpoints and the queue of a pyroscope.write. */
static int put_write(struct proxy *p, const struct pipeline_view *v, struct arena *a,
                     struct component_row *row)
{
    if (v->receiver == NULL || !write_is(v->receiver))
        return 0;
    size_t n = write_endpoint_count(v->receiver);
    struct component_endpoint *all = arena_calloc(a, n + 1, sizeof *all);
    if (all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct endpoint_status s;
        write_endpoint_status(v->receiver, i, &s);
        all[i] = (struct component_endpoint){.url = str_c(s.url),
                                             .failing = s.failing,
                                             .since = s.since,
                                             .error = str_dup(a, str_c(s.error)),
                                             .error_at = s.error_at};
        if (all[i].error.data == NULL)
            return ERR_NOMEM;
    }
    row->endpoints = all;
    row->endpoint_count = n;
    proxy_queue(p, v, &row->queue);
    return 0;
}

static int put_rows(struct ask *ask, struct component_row **out, size_t *count)
{
    const struct pipeline *p = proxy_pipeline(ask->proxy);
    struct arena *a = ask->req->arena;
    size_t n = pipeline_count(p);
    struct component_row *rows = arena_calloc(a, n + 1, sizeof *rows);
    int rc = rows == NULL ? ERR_NOMEM : 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct pipeline_view v = pipeline_at(p, i);
        rows[i] = (struct component_row){.id = str_c(v.node->id),
                                         .type = str_c(v.node->type->name),
                                         .label = v.node->label,
                                         .healthy = v.healthy,
                                         .message = str_c(v.message),
                                         .since = v.since};
        proxy_rates(ask->proxy, &v, &rows[i]);
        rc = put_targets(p, v.node, a, &rows[i]);
        if (rc == 0)
            rc = put_texts(&v, a, &rows[i]);
        if (rc == 0)
            rc = put_write(ask->proxy, &v, a, &rows[i]);
    }
    *out = rows;
    *count = n;
    return rc;
}

static void do_json(void *arg)
{
    struct ask *ask = arg;
    struct component_row *rows;
    struct buf json = {0};
    size_t count;
    if (put_rows(ask, &rows, &count) != 0) {
        http_reply_text(ask->req, 503, "no memory\n");
        return;
    }
    components_json(rows, count, &json);
    http_reply_buf(ask->req, 200, "application/json", &json);
}

static void on_json(void *arg, struct http_req *req)
{
    on_main(arg, req, do_json);
}

static void do_page(void *arg)
{
    struct ask *ask = arg;
    struct components_page page = {0};
    struct component_row *rows;
    struct buf html = {0};
    if (put_rows(ask, &rows, &page.count) != 0) {
        http_reply_text(ask->req, 503, "no memory\n");
        return;
    }
    page.rows = rows;
    page.frame = node_frame(proxy_node(ask->proxy), ask->req, "Components", "/components",
                            clock_wall_ms());
    page.failure = str_c(pipeline_last_failure(proxy_pipeline(ask->proxy)));
    components_html(&page, &html);
    node_reply_html(ask->req, &html);
}

static void on_page(void *arg, struct http_req *req)
{
    on_main(arg, req, do_page);
}

int proxy_register_pages(struct proxy *p, struct err *err)
{
    static const struct {
        const char *path;
        unsigned methods;
        http_handler_fn handler;
    } all[] = {
        {"/-/ready", HTTP_GET, on_ready},
        {"/-/healthy", HTTP_GET, on_healthy},
        {"/-/reload", HTTP_POST, on_reload},
        {"/components", HTTP_GET, on_page},
        {"/api/v0/web/components", HTTP_GET, on_json},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof *all; i++) {
        struct http_route route = {.path = all[i].path,
                                   .methods = all[i].methods,
                                   .handler = all[i].handler,
                                   .arg = p};
        rc = node_page(proxy_node(p), &route, err);
    }
    return rc;
}
