/* net/http_request_uv.c - one request: checked, collected, handed over, answered.
 *
 * libmicrohttpd calls http_on_request() when the headers are complete, for each piece of the body,
 * at its end, and again after a resume. An answer can be queued in the first and in the last of
 * these, never in between: a refusal that comes while a body is read waits for its end, or, when
 * the body is too long for that, closes the connection. */
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/http_server_priv.h"

enum {
    ARENA_BLOCK = 4096, /* a push is done with one: with 2 KiB it takes a second */
    BODY_START = 16 * 1024,
    SWALLOW_FACTOR = 4,
    FIELDS_MAX = 512,
};

/* --- life ---------------------------------------------------------------------------------- */

static void body_free(struct request *r)
{
    mem_free(r->body);
    mem_uncharge(&r->server->memory, r->body_cap);
    r->body = NULL;
    r->body_size = r->body_cap = 0;
}

static void unref(struct request *r)
{
    if (--r->refs > 0)
        return;
    if (r->response != NULL)
        MHD_destroy_response(r->response);
    body_free(r);
    struct arena *a = r->pub.arena;
    arena_free(&a); /* the request itself is in it */
}

static void debt_paid(struct http_server *s)
{
    pthread_mutex_lock(&s->lock);
    atomic_fetch_sub(&s->owed, 1);
    pthread_cond_broadcast(&s->gone);
    pthread_mutex_unlock(&s->lock);
}

/* --- refusals ------------------------------------------------------------------------------ */

static void refusal_body(struct request *r, unsigned *status, const char *message,
                         struct buf *body, const char **type)
{
    *type = "text/plain; charset=utf-8";
    if (*status == 405 && r->route != NULL && r->route->pub.bare_405) {
        *type = NULL;
        return;
    }
    if (r->route != NULL && r->route->pub.refuse != NULL) {
        r->route->pub.refuse(r->route->pub.arg, &r->pub, status, message, body, type);
        return;
    }
    buf_c(body, message);
    buf_u8(body, '\n');
}

static void add_allow(struct request *r, struct MHD_Response *response)
{
    unsigned allowed = 0;
    const struct route *any = NULL;
    struct buf list = {0};
    http_route_find(r->server, r->pub.path, HTTP_OTHER, &allowed, &any);
    http_method_list(allowed, &list);
    buf_u8(&list, '\0');
    if (list.error == 0)
        MHD_add_response_header(response, "Allow", (const char *)list.data);
    buf_reset(&list);
}

/* The server's own answer. NULL: no memory. */
static struct MHD_Response *refusal(struct request *r, unsigned *status, const char *message,
                                    size_t *bytes)
{
    struct buf body = {0};
    const char *type = NULL;
    unsigned plain_status = *status;
    refusal_body(r, status, message, &body, &type);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.size, body.size == 0 ? (void *)(uintptr_t)"" : body.data, MHD_RESPMEM_MUST_COPY);
    *bytes = body.size;
    buf_reset(&body);
    if (response == NULL)
        return NULL;
    if (type != NULL)
        MHD_add_response_header(response, "Content-Type", type);
    if (plain_status == 405)
        add_allow(r, response);
    if (*status == 503)
        MHD_add_response_header(response, "Retry-After", "1");
    if (r->close)
        MHD_add_response_header(response, "Connection", "close");
    return response;
}

static enum MHD_Result queue(struct request *r)
{
    if (r->response == NULL)
        return MHD_NO; /* no memory for any answer: the connection is cut */
    http_conn_phase(r->conn, PHASE_WRITE);
    return MHD_queue_response(r->conn->mhd, r->status, r->response);
}

static enum MHD_Result refuse_now(struct request *r, unsigned status, const char *message)
{
    ASSERT(r->response == NULL);
    r->at = AT_ANSWER;
    r->status = status;
    r->response = refusal(r, &r->status, message, &r->response_bytes);
    return queue(r);
}

void http_request_cut(struct request *r, unsigned status, const char *message)
{
    r->at = AT_ANSWER;
    r->status = status;
    r->response = refusal(r, &r->status, message, &r->response_bytes);
    if (r->suspended) {
        r->suspended = false;
        MHD_resume_connection(r->conn->mhd);
        http_thread_want_run(r->thread);
    }
    if (r->on_cancel != NULL) {
        loop_fn fn = r->on_cancel;
        r->on_cancel = NULL;
        fn(r->cancel_arg);
    }
}

/* --- headers complete ---------------------------------------------------------------------- */

struct collect {
    struct request *r;
    struct http_field *fields;
    size_t count;
    bool is_param, failed;
};

static struct str decoded(struct arena *a, const char *data, size_t size)
{
    char *copy = arena_alloc(a, size + 1);
    if (copy == NULL)
        return (struct str){NULL, 0};
    size = http_percent_decode(str_of(data, size), false, copy); /* MHD did the '+' */
    copy[size] = '\0';
    return str_of(copy, size);
}

static enum MHD_Result on_field(void *cls, enum MHD_ValueKind kind, const char *key,
                                size_t key_size, const char *value, size_t value_size)
{
    struct collect *c = cls;
    struct arena *a = c->r->pub.arena;
    (void)kind;
    if (c->count == FIELDS_MAX) {
        c->failed = true;
        return MHD_NO;
    }
    if (value == NULL) { /* "?a" */
        value = "";
        value_size = 0;
    }
    struct http_field *f = &c->fields[c->count++];
    f->name = c->is_param ? decoded(a, key, key_size) : str_dup(a, str_of(key, key_size));
    f->value = c->is_param ? decoded(a, value, value_size) : str_dup(a, str_of(value, value_size));
    c->failed |= f->name.data == NULL || f->value.data == NULL;
    return c->failed ? MHD_NO : MHD_YES;
}

static bool collect(struct request *r, struct MHD_Connection *mc, enum MHD_ValueKind kind,
                    const struct http_field **fields, size_t *count)
{
    int n = MHD_get_connection_values_n(mc, kind, NULL, NULL);
    if (n <= 0)
        return n == 0;
    struct collect c = {.r = r, .is_param = kind == MHD_GET_ARGUMENT_KIND};
    c.fields = arena_calloc(r->pub.arena, (size_t)(n < FIELDS_MAX ? n : FIELDS_MAX),
                            sizeof *c.fields);
    if (c.fields == NULL)
        return false;
    MHD_get_connection_values_n(mc, kind, on_field, &c);
    *fields = c.fields;
    *count = c.count;
    return !c.failed;
}

/* What 0.9.75 lets through and a proxy in front of us may read otherwise. NULL: fine. */
static const char *check_framing(struct request *r, const char *version, unsigned *status)
{
    unsigned lengths = 0, codings = 0, hosts = 0;
    struct str coding = {NULL, 0};
    *status = 400;
    for (size_t i = 0; i < r->pub.header_count; i++) {
        const struct http_field *f = &r->pub.headers[i];
        if (str_eq_nocase(f->name, STR("Content-Length"))) {
            lengths++;
            if (str_u64(f->value, &r->length) != 0)
                return "Content-Length is not a number";
        } else if (str_eq_nocase(f->name, STR("Transfer-Encoding"))) {
            codings++;
            coding = f->value;
        } else if (str_eq_nocase(f->name, STR("Host"))) {
            hosts++;
        }
    }
    if (lengths > 1)
        return "more than one Content-Length";
    if (codings > 1)
        return "more than one Transfer-Encoding";
    if (lengths == 1 && codings == 1)
        return "both Content-Length and Transfer-Encoding";
    if (hosts > 1)
        return "more than one Host";
    if (hosts == 0 && strcmp(version, "HTTP/1.0") != 0)
        return "no Host";
    if (codings == 1) {
        *status = 501;
        if (!str_eq_nocase(coding, STR("chunked")))
            return "only the transfer encoding chunked is supported";
        r->length = UINT64_MAX;
    }
    return NULL;
}

static int request_new(struct request **out, struct http_thread *t, struct conn *c,
                       const char *url, const char *method)
{
    struct arena *a = NULL;
    int rc = arena_init(&a, ARENA_BLOCK, &t->server->memory);
    struct request *r = rc == 0 ? arena_zalloc(a, sizeof *r) : NULL;
    if (r == NULL) {
        arena_free(&a);
        return ERR_NOMEM;
    }
    r->server = t->server;
    r->thread = t;
    r->conn = c;
    r->refs = 1;
    r->began_ns = clock_mono_ns();
    r->pub = (struct http_req){.method = http_method_of(str_c(method)),
                               .path = str_dup(a, str_c(url)),
                               .peer = c->peer,
                               .began = loop_now(t->loop),
                               .deadline = MONO_NEVER,
                               .arena = a,
                               .memory = &t->server->memory,
                               .loop = t->loop,
                               .thread = t->index};
    if (r->pub.path.data == NULL) {
        arena_free(&a);
        return ERR_NOMEM;
    }
    *out = r;
    return 0;
}

/* A refusal that keeps the connection when the body is short enough to be read first. */
static enum MHD_Result refuse(struct request *r, unsigned status, const char *message)
{
    if (r->length > HTTP_SMALL_BODY)
        return refuse_now(r, status, message);
    r->refuse_status = status;
    r->refuse_text = message;
    r->swallow = true;
    return MHD_YES;
}

static enum MHD_Result find_route(struct request *r)
{
    unsigned allowed = 0;
    const struct route *any = NULL;
    enum http_method m = r->pub.method == HTTP_HEAD ? HTTP_GET : r->pub.method;
    r->route = http_route_find(r->server, r->pub.path, m, &allowed, &any);
    if (r->route == NULL) {
        r->route = any;
        return allowed == 0 ? refuse(r, 404, "not found")
                            : refuse(r, 405, "method not allowed");
    }
    r->pub.method = m;
    r->pub.route = &r->route->pub;
    if (r->length != UINT64_MAX && r->length > r->route->pub.body_max)
        return refuse(r, 413, "request body too large");
    return MHD_YES;
}

static enum MHD_Result on_headers(struct http_thread *t, struct MHD_Connection *mc,
                                  const char *url, const char *method, const char *version,
                                  void **con_cls)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct conn *c = info != NULL ? info->socket_context : NULL;
    struct request *r;
    if (c == NULL || request_new(&r, t, c, url, method) != 0)
        return MHD_NO; /* nothing can be said without memory */
    *con_cls = r;
    c->request = r;
    atomic_fetch_add(&t->server->inflight, 1);
    atomic_fetch_add(&t->server->requests, 1);
    http_conn_phase(c, PHASE_BODY);
    bool whole = collect(r, mc, MHD_HEADER_KIND, &r->pub.headers, &r->pub.header_count) &&
                 collect(r, mc, MHD_GET_ARGUMENT_KIND, &r->pub.params, &r->pub.param_count);
    unsigned status;
    const char *wrong = check_framing(r, version, &status);
    if (c->over || !whole) {
        r->close = true;
        return refuse_now(r, 503, c->over ? "too many connections" : "out of request memory");
    }
    if (wrong != NULL) {
        atomic_fetch_add(&t->server->malformed, 1);
        r->close = true;
        return refuse_now(r, status, wrong);
    }
    return find_route(r);
}

/* --- body ---------------------------------------------------------------------------------- */

static void refuse_body(struct request *r, unsigned status, const char *message)
{
    body_free(r);
    r->refuse_status = status;
    r->refuse_text = message;
    r->swallow = true;
}

/* Room for `more` bytes; grows as bytes come, never on a promise of more than BODY_START. */
static bool body_reserve(struct request *r, size_t more)
{
    size_t need = r->body_size + more, cap = r->body_cap * 2;
    if (need <= r->body_cap)
        return true;
    if (cap < BODY_START)
        cap = r->length <= HTTP_SMALL_BODY ? (size_t)r->length : BODY_START;
    if (r->length != UINT64_MAX && cap > r->length)
        cap = (size_t)r->length;
    if (cap > r->route->pub.body_max)
        cap = r->route->pub.body_max;
    if (cap < need)
        cap = need;
    if (mem_charge(&r->server->memory, cap - r->body_cap) != 0)
        return false;
    char *body = mem_realloc(r->body, cap);
    if (body == NULL) {
        mem_uncharge(&r->server->memory, cap - r->body_cap);
        return false;
    }
    r->body = body;
    r->body_cap = cap;
    return true;
}

static enum MHD_Result on_body(struct request *r, const char *bytes, size_t size)
{
    if (!r->swallow && r->body_size + size > r->route->pub.body_max)
        refuse_body(r, 413, "request body too large");
    if (!r->swallow && !body_reserve(r, size))
        refuse_body(r, 503, "out of request memory");
    if (r->swallow) {
        r->swallowed += size;
        size_t max = r->route != NULL ? r->route->pub.body_max : 0;
        if (max < HTTP_SMALL_BODY)
            max = HTTP_SMALL_BODY;
        return r->swallowed / SWALLOW_FACTOR > max ? MHD_NO : MHD_YES;
    }
    memcpy(r->body + r->body_size, bytes, size);
    r->body_size += size;
    return MHD_YES;
}

static enum MHD_Result on_end(struct request *r)
{
    if (r->refuse_status != 0)
        return refuse_now(r, r->refuse_status, r->refuse_text);
    if (r->thread->ending)
        return refuse_now(r, 503, "shutting down");
    const struct http_route *route = &r->route->pub;
    uint32_t wait = route->deadline_ms != 0 ? route->deadline_ms : r->server->config.handler_ms;
    r->pub.body = str_of(r->body, r->body_size);
    r->pub.deadline = loop_now(r->thread->loop) + wait;
    r->at = AT_HANDLER;
    r->refs++;
    atomic_fetch_add(&r->server->owed, 1);
    http_conn_phase(r->conn, PHASE_HANDLER);
    r->in_handler = true;
    route->handler(route->arg, &r->pub);
    r->in_handler = false;
    if (r->at == AT_ANSWER)
        return queue(r);
    r->suspended = true;
    MHD_suspend_connection(r->conn->mhd);
    http_watch_at(r->thread, r->pub.deadline);
    return MHD_YES;
}

enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mc, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **con_cls)
{
    struct request *r = *con_cls;
    if (r == NULL)
        return on_headers(cls, mc, url, method, version, con_cls);
    if (*upload_size > 0) {
        enum MHD_Result rc = on_body(r, upload, *upload_size);
        *upload_size = 0;
        return rc;
    }
    switch (r->at) {
    case AT_BODY: return on_end(r);
    case AT_ANSWER: return queue(r);
    case AT_HANDLER: break; /* resumed by nobody of ours */
    }
    UNREACHABLE();
}

void http_on_completed(void *cls, struct MHD_Connection *mc, void **con_cls,
                       enum MHD_RequestTerminationCode how)
{
    struct http_thread *t = cls;
    struct http_server *s = t->server;
    struct request *r = *con_cls;
    (void)mc;
    *con_cls = NULL;
    if (r == NULL)
        return;
    bool whole = how == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    if (s->config.on_seen != NULL) {
        struct http_seen seen = {.method = r->pub.method,
                                 .label = r->route != NULL ? r->route->label : "other",
                                 .status = whole || r->at == AT_ANSWER ? r->status : 499,
                                 .duration_ns = clock_mono_ns() - r->began_ns,
                                 .request_bytes = r->body_size,
                                 .response_bytes = r->response_bytes};
        s->config.on_seen(s->config.seen_arg, &seen);
    }
    atomic_fetch_sub(&s->inflight, 1);
    r->conn->request = NULL;
    http_conn_phase(r->conn, PHASE_IDLE);
    r->conn = NULL;
    r->suspended = false;
    if (r->on_cancel != NULL && r->at == AT_HANDLER) {
        loop_fn fn = r->on_cancel;
        r->on_cancel = NULL;
        fn(r->cancel_arg);
    }
    unref(r);
}

void http_request_answer(struct request *r, struct MHD_Response *response, unsigned status,
                         size_t bytes)
{
    struct http_server *s = r->server;
    r->on_cancel = NULL;
    if (r->conn == NULL || r->at == AT_ANSWER) {
        if (response != NULL)
            MHD_destroy_response(response); /* too late */
    } else {
        r->at = AT_ANSWER;
        r->response = response;
        r->status = status;
        r->response_bytes = bytes;
        if (response == NULL) {
            r->status = 500;
            r->response = refusal(r, &r->status, "out of memory", &r->response_bytes);
        }
        if (r->suspended) {
            r->suspended = false;
            MHD_resume_connection(r->conn->mhd);
            http_thread_want_run(r->thread);
        }
    }
    unref(r);
    debt_paid(s);
}
