/* net/http_reply_uv.c - the handler's side of a request: its fields, its answer from any thread.
 *
 * The answer is built where the handler is, and queued on the thread of the request. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/http_server_priv.h"
#include "wire/compress.h"

static struct request *request_of(const struct http_req *req)
{
    return LIST_ITEM((uintptr_t)req, struct request, pub);
}

static void on_posted(void *arg)
{
    struct request *r = arg;
    http_request_answer(r, r->posted, r->posted_status, r->posted_bytes);
}

/* One header, if it can stand in a header. */
static void add_header(struct MHD_Response *response, struct str name, struct str value)
{
    char small[512];
    char *text = small;
    if (memchr(name.data, 0, name.len) != NULL ||
        (value.len > 0 && memchr(value.data, 0, value.len) != NULL))
        return;
    if (name.len + value.len + 2 > sizeof small)
        text = mem_alloc(name.len + value.len + 2);
    if (text == NULL)
        return;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    if (value.len > 0)
        memcpy(text + name.len + 1, value.data, value.len);
    text[name.len + 1 + value.len] = '\0';
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)text[name.len + 1 + i] < ' ')
            text[name.len + 1 + i] = ' ';
    }
    MHD_add_response_header(response, text, text + name.len + 1);
    if (text != small)
        mem_free(text);
}

static bool is_packable(const struct request *r, const struct http_answer *a)
{
    return !a->raw && a->status == 200 && a->body.len >= r->server->config.gzip_min &&
           r->pub.method == HTTP_GET &&
           http_field_get(a->headers, a->header_count, "Content-Encoding").data == NULL &&
           http_accepts_encoding(http_req_header(&r->pub, "Accept-Encoding"), STR("gzip"));
}

static struct MHD_Response *response_of(const struct request *r, const struct http_answer *a,
                                        size_t *bytes)
{
    struct MHD_Response *response = NULL;
    struct buf packed = {0};
    bool gzip = is_packable(r, a) && gzip_pack(a->body, GZIP_FAST, &packed) == 0;
    *bytes = gzip ? packed.size : a->body.len;
    if (gzip) {
        response = MHD_create_response_from_buffer_with_free_callback_cls(packed.size, packed.data,
                                                                          mem_free, packed.data);
        if (response == NULL)
            buf_reset(&packed);
        if (a->body_free != NULL)
            a->body_free(a->body_arg);
    } else if (a->body_free != NULL && a->body.len > 0) {
        response = MHD_create_response_from_buffer_with_free_callback_cls(
            a->body.len, (void *)(uintptr_t)a->body.data, a->body_free, a->body_arg);
        if (response == NULL)
            a->body_free(a->body_arg);
    } else {
        response = MHD_create_response_from_buffer(
            a->body.len, (void *)(uintptr_t)(a->body.len == 0 ? "" : a->body.data),
            MHD_RESPMEM_MUST_COPY);
        if (a->body_free != NULL)
            a->body_free(a->body_arg);
    }
    if (response == NULL)
        return NULL;
    if (a->type != NULL)
        MHD_add_response_header(response, "Content-Type", a->type);
    if (gzip) {
        MHD_add_response_header(response, "Content-Encoding", "gzip");
        MHD_add_response_header(response, "Vary", "Accept-Encoding");
    }
    for (size_t i = 0; i < a->header_count; i++)
        add_header(response, a->headers[i].name, a->headers[i].value);
    return response;
}

void http_reply(struct http_req *req, const struct http_answer *a)
{
    struct request *r = request_of(req);
    size_t bytes;
    ASSERT(a->status >= 200 && a->status <= 599);
    struct MHD_Response *response = response_of(r, a, &bytes);
    if (loop_is_mine(req->loop)) {
        http_request_answer(r, response, a->status, bytes);
        return;
    }
    r->posted = response;
    r->posted_status = a->status;
    r->posted_bytes = bytes;
    loop_post(req->loop, &r->work, on_posted, r);
}

void http_reply_buf(struct http_req *req, unsigned status, const char *type, struct buf *body)
{
    if (body->error != 0) {
        buf_reset(body);
        http_reply_text(req, 500, "out of memory\n");
        return;
    }
    struct http_answer a = {.status = status,
                            .type = type,
                            .body = buf_view(body),
                            .body_free = mem_free,
                            .body_arg = body->data};
    *body = (struct buf){0};
    http_reply(req, &a);
}

void http_reply_text(struct http_req *req, unsigned status, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t size = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    http_reply(req, &(struct http_answer){.status = status,
                                          .type = "text/plain; charset=utf-8",
                                          .body = str_of(text, size)});
}

struct str http_req_header(const struct http_req *req, const char *name)
{
    return http_field_get(req->headers, req->header_count, name);
}

struct str http_req_param(const struct http_req *req, const char *name)
{
    struct str wanted = str_c(name);
    for (size_t i = 0; i < req->param_count; i++) {
        if (str_eq(req->params[i].name, wanted))
            return req->params[i].value;
    }
    return (struct str){NULL, 0};
}

void http_req_query(const struct http_req *req, struct buf *out)
{
    for (size_t i = 0; i < req->param_count; i++) {
        if (i > 0)
            buf_u8(out, '&');
        http_percent_encode(req->params[i].name, out);
        buf_u8(out, '=');
        http_percent_encode(req->params[i].value, out);
    }
}

void http_req_deadline(struct http_req *req, mono_ms deadline)
{
    ASSERT(request_of(req)->in_handler);
    if (deadline < req->deadline)
        req->deadline = deadline;
}

bool http_req_is_of(const struct http_req *req, const struct http_server *s)
{
    return request_of(req)->server == s;
}

bool http_req_is_over(const struct http_req *req)
{
    const struct request *r = request_of(req);
    return r->conn == NULL || r->at == AT_ANSWER;
}

void http_req_on_cancel(struct http_req *req, loop_fn fn, void *arg)
{
    struct request *r = request_of(req);
    r->on_cancel = fn;
    r->cancel_arg = arg;
}
