/* distributor/ingest_route.c - POST /ingest: the endpoint of the Go, Node and Java SDKs. */
#include "push.h"

#include "base/mem.h"
#include "net/http_server.h"
#include "profile/ingest_http.h"
#include "rpc/server.h"

/* One request; in its arena. */
struct route {
    struct pusher *owner;
    struct http_req *req;
    unsigned status; /* that a refusal has; 0: the push's own code decides */
};

static struct ingest_query query_of(const struct http_req *req)
{
    return (struct ingest_query){
        .name = http_req_param(req, "name"),
        .from = http_req_param(req, "from"),
        .until = http_req_param(req, "until"),
        .sample_rate = http_req_param(req, "sampleRate"),
        .spy_name = http_req_param(req, "spyName"),
        .format = http_req_param(req, "format"),
        .content_type = http_req_header(req, "Content-Type"),
    };
}

/* On the pool. */
static void fill(void *arg, struct push *push)
{
    struct route *route = arg;
    struct ingest in = push_ingest(push);
    struct ingest_query query = query_of(route->req);
    struct ingest_request request = {0};
    struct ingest_result result = {.reason = DISCARD_MALFORMED_PROFILE,
                                   .bytes = route->req->body.len};
    struct err err = {0};
    struct buf *unpacked = push_buffer(push);
    int rc = unpacked == NULL ? err_set(&err, ERR_NOMEM, "no memory for the profile") : 0;
    if (rc == 0)
        rc = ingest_request_open(&query, in.now_ns, push_arena(push), &request, &err);
    if (rc == 0) {
        result.reason = DISCARD_NONE;
        rc = ingest_request_take(&in, &request, route->req->body, unpacked, &result, &err);
    }
    if (rc != 0)
        route->status = (unsigned)ingest_request_status(request.format, rc, result.reason);
    push_note(push, 0, rc, &result, &err);
}

static void reply(void *arg, enum rpc_code code, const char *message)
{
    struct route *route = arg;
    if (code == RPC_OK)
        http_reply(route->req, &(struct http_answer){.status = 200});
    else if (route->status != 0)
        rpc_http_fail(route->req, route->status, "%s", message);
    else
        rpc_http_fail(route->req, rpc_code_plain_status(code), "%s", message);
}

static void on_ingest(void *arg, struct http_req *req)
{
    struct pusher *p = arg;
    struct str tenant;
    struct err err = {0};
    if (!rpc_http_tenant(p->rpc, req, &tenant))
        return;
    struct route *route = arena_zalloc(req->arena, sizeof *route);
    if (route == NULL) {
        rpc_http_fail(req, 503, "no memory for the request");
        return;
    }
    route->owner = p;
    route->req = req;
    if (push_start(p, req, tenant, fill, reply, route, &err) != 0)
        rpc_http_fail(req, 503, "%s", err.msg);
}

int ingest_register(struct pusher *p, struct http_server *http, struct err *err)
{
    static const char *const paths[] = {"/ingest", "/pyroscope/ingest"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof paths / sizeof *paths; i++) {
        struct http_route route = {.path = paths[i],
                                   .methods = HTTP_POST,
                                   .body_max = (size_t)p->body_max,
                                   .deadline_ms = p->deadline_ms,
                                   .handler = on_ingest,
                                   .arg = p};
        rc = http_server_route(http, &route, err);
    }
    return rc;
}
