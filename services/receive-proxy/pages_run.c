/* receive-proxy/pages_run.c - what the proxy says of its components on the main port. */
#include <stdio.h>

#include "alloy/graph.h"
#include "app/node_run.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "pipeline_run.h"
#include "proxy_run.h"
#include "ring/page.h"
#include "wire/json.h"

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
