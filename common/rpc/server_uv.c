/* rpc/server_uv.c - from an HTTP request to a decoded call, and from an answer back to HTTP. */
#include "rpc/server.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "rpc/tenant.h"

enum { BODY_MAX = 16 << 20, POOL_BYTES = 64 << 10, GZIP_MIN = 1400, MESSAGE_MAX = 1024 };

struct service {
    struct rpc_server *server;
    const struct rpc_method *method;
    struct service *next;
};

struct rpc_server {
    struct http_server *http;
    struct rpc_server_config config;
    struct service *services;
};

struct header {
    struct http_field field;
    struct header *next;
};

struct call {
    struct rpc_call pub;
    struct service *service;
    size_t body_max;
    struct buf unpacked;
    size_t charged; /* of the budget, for `unpacked` */
    struct header *headers;
    size_t header_count;
    struct pool_job job;
    int rc;         /* of decoding */
    struct err err;
};

/* --- answers ------------------------------------------------------------------------------- */

static struct call *call_of(struct rpc_call *pub)
{
    return LIST_ITEM(pub, struct call, pub);
}

static bool speaks_lz4(const struct call *c)
{
    return (c->pub.method->flags & RPC_INTERNAL_ONLY) != 0;
}

void rpc_header(struct rpc_call *pub, const char *name, struct str value)
{
    struct call *c = call_of(pub);
    struct header *h = arena_zalloc(pub->arena, sizeof *h);
    if (h == NULL)
        return;
    h->field.name = str_dup(pub->arena, str_c(name));
    h->field.value = str_dup(pub->arena, value);
    if (h->field.name.data == NULL || h->field.value.data == NULL)
        return;
    h->next = c->headers;
    c->headers = h;
    c->header_count++;
}

/* Give back what the request needed, then answer. The body is taken. */
static void finish(struct call *c, unsigned status, const char *type, struct buf *body,
                   enum rpc_coding coding)
{
    struct http_req *req = c->pub.http;
    size_t count = 0;
    struct http_field *fields =
        arena_calloc(c->pub.arena, c->header_count + 2, sizeof(struct http_field));
    struct http_field spare[2];
    struct header *h = c->headers;
    if (fields == NULL) {
        fields = spare;
        h = NULL;
    }
    for (; h != NULL; h = h->next)
        fields[count++] = h->field;
    fields[count++] = (struct http_field){
        STR("Accept-Encoding"), speaks_lz4(c) ? STR("gzip, lz4") : STR("gzip")};
    if (coding != RPC_IDENTITY)
        fields[count++] =
            (struct http_field){STR("Content-Encoding"), str_c(rpc_coding_name(coding))};
    buf_reset(&c->unpacked);
    mem_uncharge(req->memory, c->charged);
    struct http_answer answer = {.status = status,
                                 .type = type,
                                 .headers = fields,
                                 .header_count = count,
                                 .body = buf_view(body),
                                 .body_free = mem_free,
                                 .body_arg = body->data,
                                 .raw = true};
    *body = (struct buf){0};
    http_reply(req, &answer); /* the call is in the request's arena: gone */
}

static void fail(struct call *c, enum rpc_code code, struct str message)
{
    struct buf body = {0};
    ASSERT(code != RPC_OK);
    rpc_error_json(code, message, &body);
    if (body.error != 0)
        buf_reset(&body); /* the status alone then */
    finish(c, rpc_code_status(code), "application/json", &body, RPC_IDENTITY);
}

void rpc_fail(struct rpc_call *pub, enum rpc_code code, const char *fmt, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fail(call_of(pub), code, str_c(n < 0 ? "" : text));
}

void rpc_fail_err(struct rpc_call *pub, const struct err *err)
{
    fail(call_of(pub), rpc_code_of_err(err->code),
         str_c(err->msg[0] != '\0' ? err->msg : err_text(err->code)));
}

void rpc_reply_bytes(struct rpc_call *pub, struct buf *message)
{
    struct call *c = call_of(pub);
    enum rpc_coding coding = RPC_IDENTITY;
    if (message->error != 0) {
        int code = message->error;
        buf_reset(message);
        rpc_fail(pub, RPC_INTERNAL, "answer: %s", err_text(code));
        return;
    }
    if (message->size >= c->service->server->config.gzip_min)
        coding = rpc_coding_pick(http_req_header(pub->http, "Accept-Encoding"), pub->coding,
                                 speaks_lz4(c));
    if (coding != RPC_IDENTITY) {
        struct buf packed = {0};
        if (rpc_pack(coding, buf_view(message), &packed) == 0 && packed.size < message->size) {
            buf_reset(message);
            *message = packed;
        } else {
            buf_reset(&packed);
            coding = RPC_IDENTITY;
        }
    }
    finish(c, 200, rpc_codec_type(pub->codec), message, coding);
}

void rpc_reply(struct rpc_call *pub, const void *response)
{
    struct buf message = {0};
    if (pub->codec == RPC_JSON)
        msg_to_json(pub->method->response, response, &message);
    else
        msg_encode(pub->method->response, response, &message);
    rpc_reply_bytes(pub, &message);
}

/* --- requests ------------------------------------------------------------------------------ */

/* Unpack and decode. Any thread; touches nothing but the call. */
static void decode(void *arg)
{
    struct call *c = arg;
    const struct rpc_method *m = c->pub.method;
    struct str body = c->pub.http->body;
    c->pub.bytes = body;
    if (c->pub.coding != RPC_IDENTITY) {
        c->rc = rpc_unpack(c->pub.coding, body, c->body_max, &c->unpacked, &c->err);
        if (c->rc == 0 && mem_charge(c->pub.http->memory, c->unpacked.cap) != 0)
            c->rc = err_set(&c->err, ERR_UNAVAILABLE, "out of request memory");
        else if (c->rc == 0)
            c->charged = c->unpacked.cap;
        c->pub.bytes = buf_view(&c->unpacked);
        if (c->rc != 0)
            return;
    }
    if (m->flags & RPC_RAW)
        return;
    void *out = arena_zalloc(c->pub.arena, m->request->size);
    if (out == NULL)
        c->rc = err_set(&c->err, ERR_UNAVAILABLE, "out of request memory");
    else if (c->pub.codec == RPC_JSON)
        c->rc = msg_from_json(m->request, out, c->pub.bytes, c->pub.arena, m->limits, &c->err);
    else
        c->rc = msg_decode(m->request, out, c->pub.bytes, c->pub.arena, m->limits, &c->err);
    if (c->rc == ERR_LIMIT)
        c->rc = ERR_PARSE; /* too deep, too many: not a message we understand; size was checked */
    c->pub.request = out;
}

static void decoded(void *arg)
{
    struct call *c = arg;
    if (http_req_is_over(c->pub.http)) {
        rpc_fail(&c->pub, RPC_CANCELED, "nobody waits any more");
    } else if (c->rc == ERR_NOMEM) {
        rpc_fail(&c->pub, RPC_UNAVAILABLE, "out of memory");
    } else if (c->rc != 0) {
        c->err.code = c->rc;
        rpc_fail_err(&c->pub, &c->err);
    } else {
        c->pub.method->handler(c->pub.method->arg, &c->pub);
    }
}

/* As connect-go does, but that a client of the other protocols is told what would work. */
static void refuse_type(struct http_req *req, bool proto_only)
{
    struct http_field accept = {
        STR("Accept-Post"), proto_only ? STR("application/proto")
                                       : STR("application/json, application/json; charset=utf-8, "
                                             "application/proto")};
    struct http_answer answer = {.status = 415, .headers = &accept, .header_count = 1};
    if (str_starts_with(http_req_header(req, "Content-Type"), STR("application/grpc"))) {
        answer.type = "text/plain; charset=utf-8";
        answer.body = STR("gRPC and gRPC-Web are not spoken here: use the Connect protocol\n");
    }
    http_reply(req, &answer);
}

/* Headers of Connect. False: answered. */
static bool read_headers(struct call *c)
{
    struct http_req *req = c->pub.http;
    struct str version = http_req_header(req, "Connect-Protocol-Version");
    struct str timeout = http_req_header(req, "Connect-Timeout-Ms");
    struct str packed = http_req_header(req, "Content-Encoding");
    uint64_t ms;
    if (version.len > 0 && !str_eq(version, STR("1"))) {
        rpc_fail(&c->pub, RPC_INVALID_ARGUMENT,
                 "Connect-Protocol-Version must be \"1\": got \"%.*s\"", STR_ARG(version));
        return false;
    }
    if (timeout.len > 0) {
        if (rpc_timeout_parse(timeout, &ms) != 0) {
            rpc_fail(&c->pub, RPC_INVALID_ARGUMENT,
                     "Connect-Timeout-Ms \"%.*s\" is not a number of at most 10 digits",
                     STR_ARG(timeout));
            return false;
        }
        http_req_deadline(req, loop_now(req->loop) + (mono_ms)ms);
        if (ms == 0) {
            rpc_fail(&c->pub, RPC_DEADLINE_EXCEEDED, "deadline exceeded");
            return false;
        }
    }
    if (rpc_coding_parse(packed, &c->pub.coding) != 0 ||
        (c->pub.coding == RPC_LZ4 && !speaks_lz4(c))) {
        c->pub.coding = RPC_IDENTITY;
        rpc_fail(&c->pub, RPC_UNIMPLEMENTED,
                 "unknown compression \"%.*s\": supported encodings are gzip%s", STR_ARG(packed),
                 speaks_lz4(c) ? ", lz4" : "");
        return false;
    }
    c->pub.deadline = req->deadline;
    return true;
}

static bool read_tenant(struct call *c)
{
    struct err err = {0};
    bool multi = c->service->server->config.multitenancy &&
                 (c->pub.method->flags & RPC_NO_TENANT) == 0;
    int rc = tenant_of_header(multi, http_req_header(c->pub.http, "X-Scope-OrgID"),
                              &c->pub.tenant, &err);
    if (rc == 0)
        return true;
    rpc_fail(&c->pub, rc == ERR_DENIED ? RPC_UNAUTHENTICATED : RPC_INVALID_ARGUMENT, "%s",
             err.msg);
    return false;
}

static void on_request(void *arg, struct http_req *req)
{
    struct service *service = arg;
    const struct rpc_method *m = service->method;
    const struct rpc_server_config *config = &service->server->config;
    enum rpc_codec codec;
    bool raw = (m->flags & RPC_RAW) != 0;
    if (rpc_codec_of_type(http_req_header(req, "Content-Type"), &codec) != 0 ||
        (raw && codec != RPC_PROTO)) {
        refuse_type(req, raw);
        return;
    }
    struct call *c = arena_zalloc(req->arena, sizeof *c);
    if (c == NULL) {
        http_reply_text(req, 503, "out of request memory\n");
        return;
    }
    c->pub = (struct rpc_call){
        .method = m, .http = req, .arena = req->arena, .codec = codec, .deadline = req->deadline};
    c->service = service;
    c->body_max = m->body_max == 0 ? BODY_MAX : m->body_max;
    if (!read_headers(c) || !read_tenant(c))
        return;
    if (config->pool == NULL || req->body.len < config->pool_bytes) {
        decode(c);
        decoded(c);
        return;
    }
    c->job = (struct pool_job){.run = decode, .done = decoded, .arg = c, .home = req->loop};
    if (pool_submit(config->pool, &c->job) != 0) {
        rpc_header(&c->pub, "Retry-After", STR("1"));
        rpc_fail(&c->pub, RPC_UNAVAILABLE, "too much work is waiting");
    }
}

/* What the HTTP server refuses by itself, in the words of Connect. */
static void refuse(void *arg, const struct http_req *req, unsigned *status, const char *message,
                   struct buf *body, const char **type)
{
    enum rpc_code code = *status == 413   ? RPC_RESOURCE_EXHAUSTED
                         : *status == 400 ? RPC_INVALID_ARGUMENT
                         : *status == 501 ? RPC_UNIMPLEMENTED
                         : *status == 503 ? RPC_UNAVAILABLE
                         : *status == 504 ? RPC_DEADLINE_EXCEEDED
                                          : RPC_INTERNAL;
    (void)arg;
    (void)req;
    *status = rpc_code_status(code);
    *type = "application/json";
    rpc_error_json(code, str_c(message), body);
}

/* --- life ---------------------------------------------------------------------------------- */

int rpc_server_init(struct rpc_server **out, struct http_server *http,
                    const struct rpc_server_config *config)
{
    struct rpc_server *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    s->http = http;
    s->config = *config;
    if (s->config.pool_bytes == 0)
        s->config.pool_bytes = POOL_BYTES;
    if (s->config.gzip_min == 0)
        s->config.gzip_min = GZIP_MIN;
    *out = s;
    return 0;
}

int rpc_server_add(struct rpc_server *s, const struct rpc_method *methods, size_t count,
                   struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct rpc_method *m = &methods[i];
        struct service *service = mem_zalloc(sizeof *service);
        if (service == NULL)
            return err_set(err, ERR_NOMEM, "method %s", m->path);
        *service = (struct service){.server = s, .method = m, .next = s->services};
        s->services = service; /* freed with the server, whatever follows */
        struct http_route route = {.path = m->path,
                                   .methods = HTTP_POST,
                                   .body_max = m->body_max == 0 ? BODY_MAX : m->body_max,
                                   .deadline_ms = m->deadline_ms,
                                   .bare_405 = true,
                                   .handler = on_request,
                                   .refuse = refuse,
                                   .arg = service};
        int rc = http_server_route(s->http, &route, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void rpc_server_free(struct rpc_server **sp)
{
    struct rpc_server *s = *sp;
    if (s == NULL)
        return;
    *sp = NULL;
    while (s->services != NULL) {
        struct service *next = s->services->next;
        mem_free(s->services);
        s->services = next;
    }
    mem_free(s);
}

/* --- plain HTTP ---------------------------------------------------------------------------- */

static void plain_error(struct http_req *req, unsigned status, enum rpc_code code,
                        struct str message)
{
    struct buf body = {0};
    rpc_error_json(code, message, &body);
    http_reply_buf(req, status, "application/json", &body);
}

void rpc_http_fail(struct http_req *req, unsigned status, const char *fmt, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    plain_error(req, status, rpc_code_of_plain_status(status), str_c(n < 0 ? "" : text));
}

bool rpc_http_tenant(const struct rpc_server *s, struct http_req *req, struct str *tenant)
{
    struct err err = {0};
    int rc = tenant_of_header(s->config.multitenancy, http_req_header(req, "X-Scope-OrgID"),
                              tenant, &err);
    if (rc == 0)
        return true;
    unsigned status = rc == ERR_DENIED ? 401 : 400;
    plain_error(req, status, rpc_code_of_plain_status(status), str_c(err.msg));
    return false;
}
