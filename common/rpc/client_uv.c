/* rpc/client_uv.c - a call as an HTTP POST, and its answer as a code. */
#include "rpc/client.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

enum { HEADERS_MAX = 16, URL_MAX = 512, MESSAGE_MAX = 1024 };

struct rpc_out {
    struct http_call *http;
    rpc_result_fn done;
    void *arg;
    size_t response_max;
};

static enum rpc_code code_of_transport(int err_code)
{
    switch (err_code) {
    case ERR_TIMEOUT: return RPC_DEADLINE_EXCEEDED;
    case ERR_CANCELED: return RPC_CANCELED;
    case ERR_LIMIT:
    case ERR_NOMEM: return RPC_RESOURCE_EXHAUSTED;
    case ERR_INVAL: return RPC_INVALID_ARGUMENT;
    default: return RPC_UNAVAILABLE;
    }
}

/* An answer with status 200. */
static void read_answer(const struct rpc_out *out, const struct http_result *h,
                        struct rpc_result *r, struct buf *unpacked, struct err *err)
{
    enum rpc_codec codec;
    enum rpc_coding coding;
    struct str packed = http_field_get(h->headers, h->header_count, "Content-Encoding");
    struct str type = http_field_get(h->headers, h->header_count, "Content-Type");
    if (rpc_codec_of_type(type, &codec) != 0 || codec != RPC_PROTO) {
        r->code = RPC_UNKNOWN;
        err_set(err, ERR_PARSE, "the answer is \"%.*s\", not protobuf", STR_ARG(type));
    } else if (rpc_coding_parse(packed, &coding) != 0) {
        r->code = RPC_INTERNAL;
        err_set(err, ERR_PARSE, "the answer is packed with \"%.*s\"", STR_ARG(packed));
    } else if (coding == RPC_IDENTITY) {
        r->body = h->body;
    } else {
        int rc = rpc_unpack(coding, h->body, out->response_max, unpacked, err);
        r->body = buf_view(unpacked);
        if (rc != 0)
            r->code = rc == ERR_PARSE ? RPC_DATA_LOSS : RPC_RESOURCE_EXHAUSTED;
    }
}

static void on_done(void *arg, const struct http_result *h)
{
    struct rpc_out *out = arg;
    struct rpc_result r = {.status = h->code == 0 ? h->status : 0,
                           .retry_after_s = h->retry_after_s,
                           .headers = h->headers,
                           .header_count = h->header_count,
                           .message = ""};
    struct buf unpacked = {0};
    struct err err = {0};
    char text[MESSAGE_MAX] = "";
    if (h->code != 0) {
        r.code = code_of_transport(h->code);
        r.message = h->message;
    } else if (h->status == 200) {
        read_answer(out, h, &r, &unpacked, &err);
        r.message = err.msg;
    } else {
        if (rpc_error_parse(h->body, &r.code, text, sizeof text) != 0) {
            r.code = rpc_code_of_status(h->status);
            snprintf(text, sizeof text, "HTTP status %u", h->status);
        }
        r.message = text;
    }
    if (r.code != RPC_OK)
        r.body = (struct str){NULL, 0};
    out->done(out->arg, &r);
    buf_reset(&unpacked);
    mem_free(out);
}

static bool is_host_port(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && strchr(".:[]-_", c) == NULL)
            return false;
    }
    return s.len > 0;
}

static void put(struct http_field *fields, size_t *count, struct str name, struct str value)
{
    fields[(*count)++] = (struct http_field){name, value};
}

int rpc_start(struct http_client *c, const struct rpc_ask *ask, struct rpc_out **result,
              struct err *err)
{
    char url[URL_MAX], timeout[24];
    struct http_field fields[HEADERS_MAX];
    size_t count = 0;
    ASSERT(ask->header_count <= HEADERS_MAX - 6);
    int n = snprintf(url, sizeof url, "http://%.*s%s", STR_ARG(ask->host_port), ask->path);
    if (!is_host_port(ask->host_port) || n < 0 || (size_t)n >= sizeof url)
        return err_set(err, ERR_INVAL, "address \"%.*s\"", STR_ARG(ask->host_port));
    put(fields, &count, STR("Content-Type"), STR("application/proto"));
    put(fields, &count, STR("Connect-Protocol-Version"), STR("1"));
    put(fields, &count, STR("Accept-Encoding"), STR("lz4, gzip"));
    if (ask->coding != RPC_IDENTITY)
        put(fields, &count, STR("Content-Encoding"), str_c(rpc_coding_name(ask->coding)));
    if (ask->tenant.len > 0)
        put(fields, &count, STR("X-Scope-OrgID"), ask->tenant);
    if (ask->deadline != MONO_NEVER) {
        mono_ms left = ask->deadline - clock_mono_ms();
        if (left <= 0)
            return err_set(err, ERR_TIMEOUT, "%s: deadline exceeded", url);
        snprintf(timeout, sizeof timeout, "%lld",
                 (long long)(left > 9999999999 ? 9999999999 : left));
        put(fields, &count, STR("Connect-Timeout-Ms"), str_c(timeout));
    }
    for (size_t i = 0; i < ask->header_count; i++)
        put(fields, &count, ask->headers[i].name, ask->headers[i].value);
    struct rpc_out *out = mem_zalloc(sizeof *out);
    if (out == NULL)
        return err_set(err, ERR_NOMEM, "%s", url);
    out->done = ask->done;
    out->arg = ask->arg;
    out->response_max = ask->response_max == 0 ? 64u << 20 : ask->response_max;
    struct http_ask http = {.method = HTTP_POST,
                            .url = url,
                            .headers = fields,
                            .header_count = count,
                            .body = ask->body,
                            .deadline = ask->deadline,
                            .response_max = out->response_max,
                            .done = on_done,
                            .arg = out};
    int rc = http_call_start(c, &http, &out->http, err);
    if (rc != 0) {
        mem_free(out);
        return rc;
    }
    if (result != NULL)
        *result = out;
    return 0;
}

void rpc_cancel(struct rpc_out *call)
{
    http_call_cancel(call->http);
    mem_free(call);
}
