/* receive-proxy/receive_push.c - push.v1.PusherService/Push: each series is an item; and what is
 * refused by name. */
#include <stdio.h>

#include "base/mem.h"
#include "labelset.h"
#include "push.msg.h"
#include "receive_parts.h"

enum { AT_ONCE = 8 /* series of one request that are under way; with Alloy: 1 */ };

struct push;

/* One series. */
struct share {
    struct push *push;
    struct flow_item item;
};

/* One request; in its arena. Everything happens on its thread. */
struct push {
    struct receive *owner;
    struct rpc_call *call;
    struct receive_policy policy;
    const struct push_v1_push_request *request;
    const struct http_field *headers;
    size_t header_count;
    struct share *shares;
    size_t next, under_way;
    mono_ms deadline;
    bool pumping;
    struct flow_answer all;
};

/* --- the answer -------------------------------------------------------------------------- */

static void finish(struct push *p)
{
    struct receive *r = p->owner;
    struct receive_policy policy = p->policy;
    char after[16];
    if (p->all.ok) {
        struct push_v1_push_response empty = {0};
        rpc_reply(p->call, &empty);
    } else {
        if (policy.forward_headers && p->all.retry_after_s >= 0) {
            (void)snprintf(after, sizeof after, "%d", p->all.retry_after_s);
            rpc_header(p->call, "Retry-After", str_c(after));
        }
        rpc_fail(p->call, p->all.code, "%s", p->all.message);
    }
    receive_end(r, &policy);
}

static void note(struct push *p, const struct flow_item *item, const struct flow_result *result)
{
    struct flow_answer one;
    flow_answer(result, FLOW_PUSH, p->policy.status_passthrough, &one);
    receive_count(p->owner, item, result, one.ok);
    flow_answer_add(&p->all, &one);
}

static void fail_all(struct push *p, enum rpc_code code, const char *message)
{
    p->all = (struct flow_answer){
        .code = code, .status = rpc_code_status(code), .retry_after_s = 1};
    (void)snprintf(p->all.message, sizeof p->all.message, "%s", message);
    finish(p);
}

/* --- the series, one after the other ----------------------------------------------------- */

static void pump(struct push *p);

static void on_sent(void *arg, const struct flow_result *result)
{
    struct share *s = arg;
    struct push *p = s->push;
    note(p, &s->item, result);
    p->under_way--;
    if (!p->pumping)
        pump(p);
}

/* The labels as a set, and the samples. */
static int fill(struct push *p, const struct push_v1_raw_profile_series *in,
                struct flow_item *item)
{
    struct arena *a = p->call->arena;
    struct labels set;
    struct label *labels = arena_calloc(a, in->labels_count + 1, sizeof *labels);
    struct flow_sample *samples = arena_calloc(a, in->samples_count + 1, sizeof *samples);
    if (labels == NULL || samples == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < in->labels_count; i++)
        labels[i] = (struct label){in->labels[i].name, in->labels[i].value};
    for (size_t i = 0; i < in->samples_count; i++)
        samples[i] = (struct flow_sample){in->samples[i].raw_profile, in->samples[i].id};
    int rc = labelset_of_series(labels, in->labels_count, p->owner->world->alloy, a, &set);
    *item = (struct flow_item){.kind = FLOW_PUSH,
                               .labels = set.items,
                               .label_count = set.count,
                               .samples = samples,
                               .sample_count = in->samples_count,
                               .headers = p->headers,
                               .header_count = p->header_count,
                               .began = p->call->http->began,
                               .deadline = p->deadline,
                               .memory = p->call->http->memory};
    return rc;
}

static void send_next(struct push *p)
{
    struct receive *r = p->owner;
    struct share *s = &p->shares[p->next];
    struct flow_result none;
    const struct push_v1_raw_profile_series *series = &p->request->series[p->next];
    p->next++;
    s->push = p;
    if (fill(p, series, &s->item) == 0) {
        p->under_way++;
        flow_send(p->policy.next, &r->world->threads[p->call->http->thread], &s->item, on_sent, s);
        return;
    }
    flow_result_init(&none);
    none.failed = 1;
    flow_result_fault(&none, RPC_UNAVAILABLE, 0, 1, STR("out of request memory"));
    note(p, &(struct flow_item){.kind = FLOW_PUSH}, &none);
}

static void pump(struct push *p)
{
    size_t at_once = p->owner->world->alloy ? 1 : AT_ONCE;
    p->pumping = true;
    while (p->next < p->request->series_count && p->under_way < at_once)
        send_next(p);
    p->pumping = false;
    if (p->under_way == 0)
        finish(p);
}

static void on_push(void *arg, struct rpc_call *call)
{
    struct receive *r = arg;
    const struct push_v1_push_request *request = call->request;
    struct push *p = arena_zalloc(call->arena, sizeof *p);
    if (p == NULL) {
        rpc_fail(call, RPC_UNAVAILABLE, "out of request memory");
        return;
    }
    *p = (struct push){.owner = r,
                       .call = call,
                       .policy = receive_begin(r),
                       .request = request,
                       .deadline = receive_deadline(r, call->http),
                       .all = {.ok = true, .status = 200, .retry_after_s = -1}};
    p->shares = arena_calloc(call->arena, request->series_count + 1, sizeof *p->shares);
    if (p->shares == NULL || receive_headers(&p->policy, call->http, FLOW_PUSH, &p->headers,
                                             &p->header_count) != 0)
        fail_all(p, RPC_UNAVAILABLE, "out of request memory");
    else
        pump(p);
}

/* --- what is not served ------------------------------------------------------------------ */

static const char debug_info[] = "debug information uploads are not taken by this proxy";

static void on_debug_info(void *arg, struct http_req *req)
{
    struct buf body = {0};
    (void)arg;
    rpc_error_json(RPC_UNIMPLEMENTED, str_c(debug_info), &body);
    http_reply_buf(req, 404, "application/json", &body);
}

/* Also when the upload is longer than what is read of it. */
static void refuse_debug_info(void *arg, const struct http_req *req, unsigned *status,
                              const char *message, struct buf *body, const char **type)
{
    (void)arg;
    (void)req;
    (void)message;
    *status = 404;
    *type = "application/json";
    rpc_error_json(RPC_UNIMPLEMENTED, str_c(debug_info), body);
}

int receive_push_register(struct receive *r, struct err *err)
{
    struct http_route debug = {.path = "/debuginfo.v1alpha1.DebuginfoService/*",
                               .label = "debuginfo_v1alpha1_debuginfoservice",
                               .methods = HTTP_POST,
                               .bare_405 = true,
                               .handler = on_debug_info,
                               .refuse = refuse_debug_info,
                               .arg = r};
    r->push = (struct rpc_method){.path = "/push.v1.PusherService/Push",
                                  .request = &push_v1_push_request_msg,
                                  .response = &push_v1_push_response_msg,
                                  .handler = on_push,
                                  .arg = r,
                                  .flags = RPC_NO_TENANT,
                                  .body_max = r->body_max,
                                  .deadline_ms = r->write_ms};
    int rc = rpc_server_add(r->rpc, &r->push, 1, err);
    return rc != 0 ? rc : http_server_route(r->http, &debug, err);
}
