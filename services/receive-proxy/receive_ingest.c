/* receive-proxy/receive_ingest.c - POST /ingest: the body goes on byte for byte. */
#include <stdio.h>

#include "base/mem.h"
#include "labelset.h"
#include "receive_parts.h"

/* One request; in its arena. */
struct ingest {
    struct receive *owner;
    struct http_req *req;
    struct receive_policy policy;
    struct flow_item item;
};

static void answer(struct receive *r, struct receive_policy *policy, struct http_req *req,
                   const struct flow_answer *a)
{
    char after[16];
    struct http_field headers[2];
    struct buf body = {0};
    struct http_answer out = {.status = a->ok ? 200 : a->status, .headers = headers};
    if (!a->ok) {
        headers[out.header_count++] =
            (struct http_field){STR("X-Content-Type-Options"), STR("nosniff")};
        out.type = "text/plain; charset=utf-8";
        buf_printf(&body, "%s\n", a->message);
        out.body = buf_view(&body);
    }
    if (!a->ok && policy->forward_headers && a->retry_after_s >= 0) {
        (void)snprintf(after, sizeof after, "%d", a->retry_after_s);
        headers[out.header_count++] = (struct http_field){STR("Retry-After"), str_c(after)};
    }
    http_reply(req, &out); /* with it goes what stands in its arena */
    buf_reset(&body);
    receive_end(r, policy);
}

static void on_sent(void *arg, const struct flow_result *result)
{
    struct ingest *in = arg;
    struct receive_policy policy = in->policy;
    struct flow_answer a;
    flow_answer(result, FLOW_INGEST, policy.status_passthrough, &a);
    receive_count(in->owner, &in->item, result, a.ok);
    answer(in->owner, &policy, in->req, &a);
}

static void refuse(struct ingest *in, unsigned status, const char *message)
{
    struct flow_answer a = {.status = status, .retry_after_s = status == 503 ? 1 : -1};
    struct receive_policy policy = in->policy;
    (void)snprintf(a.message, sizeof a.message, "%s", message);
    receive_count(in->owner, &in->item, NULL, false);
    answer(in->owner, &policy, in->req, &a);
}

/* All Content-Type headers, in order. */
static int put_types(struct ingest *in)
{
    const struct http_req *req = in->req;
    struct str *types = arena_calloc(req->arena, req->header_count + 1, sizeof *types);
    if (types == NULL)
        return ERR_NOMEM;
    in->item.content_types = types;
    for (size_t i = 0; i < req->header_count; i++)
        if (str_eq_nocase(req->headers[i].name, STR("Content-Type")))
            types[in->item.content_type_count++] = req->headers[i].value;
    return 0;
}

/* The labels of ?name=. A name that cannot be read is refused; Alloy goes on without labels, which
 * pyroscope.write then refuses. */
static int put_labels(struct ingest *in, struct err *err)
{
    struct labels set = {0};
    struct receive *r = in->owner;
    int rc = labelset_of_name(http_req_param(in->req, "name"), in->req->arena, &set, err);
    if (rc == ERR_INVAL && r->world->alloy) {
        log_line(&r->log, LOG_WARN, "failed to parse the name of an ingest",
                 LOG_C("err", err->msg));
        set = (struct labels){0};
        rc = 0;
    }
    in->item.labels = set.items;
    in->item.label_count = set.count;
    return rc;
}

static void on_ingest(void *arg, struct http_req *req)
{
    struct receive *r = arg;
    struct err err = {0};
    struct ingest *in = arena_zalloc(req->arena, sizeof *in);
    if (in == NULL) {
        http_reply_text(req, 503, "out of request memory\n");
        return;
    }
    *in = (struct ingest){.owner = r, .req = req, .policy = receive_begin(r)};
    in->item = (struct flow_item){.kind = FLOW_INGEST,
                                  .body = req->body,
                                  .params = req->params,
                                  .param_count = req->param_count,
                                  .began = req->began,
                                  .deadline = receive_deadline(r, req),
                                  .memory = req->memory};
    int rc = put_labels(in, &err);
    if (rc == ERR_INVAL) {
        refuse(in, 400, err.msg);
        return;
    }
    if (rc == 0)
        rc = put_types(in);
    if (rc == 0)
        rc = receive_headers(&in->policy, req, FLOW_INGEST, &in->item.headers,
                             &in->item.header_count);
    if (rc != 0)
        refuse(in, 503, "out of request memory");
    else
        flow_send(in->policy.next, &r->world->threads[req->thread], &in->item, on_sent, in);
}

int receive_ingest_register(struct receive *r, struct err *err)
{
    struct http_route route = {.path = "/ingest",
                               .methods = HTTP_POST,
                               .body_max = r->body_max,
                               .deadline_ms = r->write_ms,
                               .bare_405 = true,
                               .handler = on_ingest,
                               .arg = r};
    return http_server_route(r->http, &route, err);
}
