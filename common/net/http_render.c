/* net/http_render.c - the head of a plain call's request. */
#include "base/err.h"
#include "net/http_plain_priv.h"

static void put_line(struct buf *b, struct str name, struct str value)
{
    buf_str(b, name);
    buf_put(b, ": ", 2);
    buf_str(b, value);
    buf_put(b, "\r\n", 2);
}

/* Where the body ends is ours to say. */
static bool is_framing(struct str name)
{
    return str_eq_nocase(name, STR("Content-Length")) ||
           str_eq_nocase(name, STR("Transfer-Encoding"));
}

static bool has(const struct http_ask *ask, const char *name)
{
    return http_field_get(ask->headers, ask->header_count, name).data != NULL;
}

int http_call_render(struct plain_call *call, const struct http_ask *ask,
                     const struct http_url *url)
{
    struct buf *b = &call->head;
    struct str whole = str_c(ask->url);
    buf_clear(b);
    buf_c(b, http_method_name(ask->method));
    if (url->target.len == 0 || url->target.data[0] != '/')
        buf_put(b, " /", 2);
    else
        buf_u8(b, ' ');
    buf_str(b, url->target);
    buf_c(b, " HTTP/1.1\r\n");
    if (!has(ask, "Host"))
        put_line(b, STR("Host"), url->host_header);
    if (!has(ask, "User-Agent"))
        put_line(b, STR("User-Agent"), str_c(call->plain->config.user_agent));
    call->own_at = b->size;
    call->own_count = 0;
    for (size_t i = 0; i < ask->header_count; i++) {
        if (!http_is_sendable(ask->headers[i].name, ask->headers[i].value))
            return ERR_INVAL;
        if (is_framing(ask->headers[i].name))
            continue;
        put_line(b, ask->headers[i].name, ask->headers[i].value);
        call->own_count++;
    }
    call->own_end = b->size;
    if (ask->method == HTTP_POST || ask->method == HTTP_PUT || call->body.len > 0) {
        buf_c(b, "Content-Length: ");
        buf_udec(b, call->body.len);
        buf_put(b, "\r\n", 2);
    }
    buf_put(b, "\r\n", 2);
    call->head_len = b->size;
    buf_put(b, whole.data, whole.len + 1);
    if (b->error != 0)
        return ERR_NOMEM;
    call->shown = str_of(b->data + call->head_len + (url->host_header.data - whole.data),
                         url->host_header.len);
    return 0;
}

size_t http_call_own_fields(const struct plain_call *call, struct http_field *out)
{
    struct str rest = str_of(call->head.data + call->own_at, call->own_end - call->own_at), line;
    size_t count = 0;
    while (rest.len > 0 && str_cut(&rest, '\n', &line)) {
        str_cut(&line, ':', &out[count].name);
        out[count++].value = str_trim(line);
    }
    return count;
}
