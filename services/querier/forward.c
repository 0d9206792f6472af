/* querier/forward.c - a small reverse proxy for writes. */
#include "forward.h"

#include "base/mem.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "rpc/server.h"

#include <stdatomic.h>

enum {
    FORWARD_MS = 30000,
    MARGIN_MS = 500,
    BODY_MAX = 256 << 20,
    HEADERS_MAX = 64,
    RESPONSE_MAX = 4 << 20,
};

struct forward {
    char **urls; /* without a slash at the end */
    size_t count;
    _Atomic size_t next;
    struct http_client **clients;
};

/* One request being passed on; in its arena. */
struct pass {
    struct forward *owner;
    struct http_req *req;
    size_t first, tried; /* the distributor of the first try; how many were tried */
};

static void try_next(struct pass *p);

/* Headers that speak of one connection, not of the message. */
static bool is_hop(struct str name)
{
    static const char *const hops[] = {"connection",      "keep-alive", "transfer-encoding",
                                       "content-length",  "te",         "trailer",
                                       "upgrade",         "host",       "expect",
                                       "proxy-connection"};
    for (size_t i = 0; i < sizeof hops / sizeof *hops; i++)
        if (str_eq_nocase(name, str_c(hops[i])))
            return true;
    return false;
}

static size_t keep_headers(const struct http_field *from, size_t count, struct http_field *to)
{
    size_t n = 0;
    for (size_t i = 0; i < count && n < HEADERS_MAX; i++)
        if (!is_hop(from[i].name))
            to[n++] = from[i];
    return n;
}

static void on_result(void *arg, const struct http_result *r)
{
    struct pass *p = arg;
    struct http_field headers[HEADERS_MAX];
    if (r->code != 0 && p->tried < p->owner->count) {
        try_next(p); /* a write that was taken twice counts once */
        return;
    }
    if (r->code != 0) {
        http_reply_text(p->req, r->code == ERR_TIMEOUT ? 504 : 503, "no distributor: %s\n",
                        r->message);
        return;
    }
    size_t n = 0;
    const char *type = NULL;
    char type_text[128];
    for (size_t i = 0; i < r->header_count && n < HEADERS_MAX; i++) {
        if (str_eq_nocase(r->headers[i].name, STR("content-type")) &&
            r->headers[i].value.len < sizeof type_text) {
            memcpy(type_text, r->headers[i].value.data, r->headers[i].value.len);
            type_text[r->headers[i].value.len] = '\0';
            type = type_text;
        } else if (!is_hop(r->headers[i].name) &&
                   !str_eq_nocase(r->headers[i].name, STR("date"))) {
            headers[n++] = r->headers[i];
        }
    }
    struct http_answer answer = {.status = r->status,
                                 .type = type,
                                 .headers = headers,
                                 .header_count = n,
                                 .body = r->body,
                                 .raw = true};
    http_reply(p->req, &answer);
}

/* What is left of the time, shared by the distributors that were not tried. */
static mono_ms try_until(const struct pass *p)
{
    mono_ms now = loop_now(p->req->loop), left = p->req->deadline - MARGIN_MS - now;
    return now + left / (mono_ms)(p->owner->count - p->tried);
}

static void try_next(struct pass *p)
{
    struct forward *f = p->owner;
    struct http_field headers[HEADERS_MAX];
    struct buf url = {0};
    struct err err = {0};
    buf_c(&url, f->urls[(p->first + p->tried) % f->count]);
    buf_str(&url, p->req->path);
    if (p->req->param_count > 0) {
        buf_u8(&url, '?');
        http_req_query(p->req, &url);
    }
    buf_u8(&url, '\0');
    mono_ms deadline = try_until(p);
    p->tried++;
    struct http_ask ask = {
        .method = HTTP_POST,
        .url = (const char *)url.data,
        .headers = headers,
        .header_count = keep_headers(p->req->headers, p->req->header_count, headers),
        .body = p->req->body,
        .deadline = deadline,
        .response_max = RESPONSE_MAX,
        .done = on_result,
        .arg = p,
    };
    int rc = url.error != 0 ? ERR_NOMEM
                            : http_call_start(f->clients[p->req->thread], &ask, NULL, &err);
    buf_reset(&url);
    if (rc != 0)
        http_reply_text(p->req, 503, "the write cannot be passed on: %s\n", err.msg);
}

static void on_write(void *arg, struct http_req *req)
{
    struct forward *f = arg;
    struct pass *p = arena_zalloc(req->arena, sizeof *p);
    if (p == NULL) {
        http_reply_text(req, 503, "no memory\n");
        return;
    }
    p->owner = f;
    p->req = req;
    p->first = atomic_fetch_add(&f->next, 1) % f->count;
    try_next(p);
}

static int add_urls(struct forward *f, const struct conf_list *urls, struct err *err)
{
    f->urls = mem_calloc(urls->count, sizeof *f->urls);
    if (f->urls == NULL)
        return err_set(err, ERR_NOMEM, "no memory for distributors");
    for (size_t i = 0; i < urls->count; i++) {
        struct str u = str_c(urls->items[i]);
        if (!str_starts_with(u, STR("http://")) && !str_starts_with(u, STR("https://")))
            return err_set(err, ERR_INVAL,
                           "-querier.forward-writes-to: %.100s is not an http:// URL",
                           urls->items[i]);
        while (str_ends_with(u, STR("/")))
            u.len--;
        f->urls[f->count] = str_dup_c(u);
        if (f->urls[f->count] == NULL)
            return err_set(err, ERR_NOMEM, "no memory for distributors");
        f->count++;
    }
    return 0;
}

/* Whoever tries the address of the page first learns where writes go; as Connect's JSON, of which
 * its clients tell the message. */
static void on_no_write(void *arg, struct http_req *req)
{
    (void)arg;
    rpc_http_fail(req, 404,
                  "this querier takes no writes: send them to a distributor, or start it with "
                  "-querier.forward-writes-to=http://DISTRIBUTOR:PORT");
}

static int add_routes(struct forward *f, struct http_server *http, struct err *err)
{
    static const char *const paths[] = {"/push.v1.PusherService/Push", "/ingest",
                                        "/pyroscope/ingest"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof paths / sizeof *paths; i++) {
        struct http_route route = {.path = paths[i],
                                   .methods = HTTP_POST,
                                   .body_max = BODY_MAX,
                                   .deadline_ms = FORWARD_MS,
                                   .handler = f == NULL ? on_no_write : on_write,
                                   .arg = f};
        rc = http_server_route(http, &route, err);
    }
    return rc;
}

int forward_init(struct forward **out, struct http_server *http, struct http_client **clients,
                 const struct conf_list *urls, struct err *err)
{
    *out = NULL;
    if (urls->count == 0)
        return add_routes(NULL, http, err);
    struct forward *f = mem_zalloc(sizeof *f);
    if (f == NULL)
        return err_set(err, ERR_NOMEM, "no memory for forwarding");
    f->clients = clients;
    int rc = add_urls(f, urls, err);
    if (rc == 0)
        rc = add_routes(f, http, err);
    if (rc != 0) {
        forward_free(&f);
        return rc;
    }
    *out = f;
    return 0;
}

void forward_free(struct forward **out)
{
    struct forward *f = *out;
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->count; i++)
        mem_free(f->urls[i]);
    mem_free(f->urls);
    mem_free(f);
    *out = NULL;
}
