/* services/querier/page.c - a handful of constant files, gzipped once, at build time. */
#include "page.h"

#include "base/mem.h"
#include "net/http_server.h"
#include "wire/compress.h"

enum { HEADERS_MAX = 12 };

static const struct http_field safety[] = {
    {STR_INIT("Content-Security-Policy"),
     STR_INIT("default-src 'none'; script-src 'self'; style-src 'self'; "
              "img-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; "
              "base-uri 'none'; form-action 'self'; frame-ancestors 'self'; "
              "require-trusted-types-for 'script'")},
    {STR_INIT("X-Content-Type-Options"), STR_INIT("nosniff")},
    {STR_INIT("Referrer-Policy"), STR_INIT("no-referrer")},
    {STR_INIT("Cross-Origin-Opener-Policy"), STR_INIT("same-origin")},
    {STR_INIT("Cross-Origin-Resource-Policy"), STR_INIT("same-origin")},
    {STR_INIT("Permissions-Policy"), STR_INIT("camera=(), geolocation=(), microphone=()")},
};

enum { SAFETY_COUNT = sizeof safety / sizeof *safety };

static const struct page_file *find(struct str path)
{
    for (size_t i = 0; i < page_file_count; i++)
        if (str_eq(page_files[i].path, path))
            return &page_files[i];
    return NULL;
}

static void not_found(struct http_req *req)
{
    const struct http_field headers[] = {{STR("Cache-Control"), STR("no-store")}};
    const struct http_answer answer = {.status = 404,
                                       .type = "text/plain; charset=utf-8",
                                       .headers = headers,
                                       .header_count = 1,
                                       .body = STR("not a file of this version\n"),
                                       .raw = true};
    http_reply(req, &answer);
}

static void keep(void *arg)
{
    (void)arg; /* the body is constant */
}

/* The body for who takes no gzip; data NULL: no memory. */
static struct str inflated(struct http_req *req, const struct page_file *f)
{
    struct buf plain = {0};
    if (gzip_unpack(f->gzip, f->size, &plain, NULL) != 0) {
        buf_reset(&plain);
        return str_of(NULL, 0);
    }
    struct str copy = str_dup(req->arena, buf_view(&plain));
    buf_reset(&plain);
    return copy;
}

static void on_get(void *arg, struct http_req *req)
{
    (void)arg;
    const struct page_file *f = find(req->path);
    if (f == NULL) {
        not_found(req);
        return;
    }
    struct http_field headers[HEADERS_MAX];
    size_t n = 0;
    for (; n < SAFETY_COUNT; n++)
        headers[n] = safety[n];
    headers[n++] = (struct http_field){STR("ETag"), f->etag};
    headers[n++] = (struct http_field){STR("Vary"), STR("Accept-Encoding")};
    headers[n++] = (struct http_field){STR("Cache-Control"),
                                       f->immutable ? STR("public, max-age=31536000, immutable")
                                                    : STR("no-cache")};
    struct http_answer answer = {
        .status = 200, .type = f->type, .headers = headers, .header_count = n, .raw = true};
    struct str known = http_req_header(req, "If-None-Match");
    if (str_contains(known, f->etag)) {
        answer.status = 304;
        answer.type = NULL;
    } else if (http_accepts_encoding(http_req_header(req, "Accept-Encoding"), STR("gzip"))) {
        headers[answer.header_count++] =
            (struct http_field){STR("Content-Encoding"), STR("gzip")};
        answer.body = f->gzip;
        answer.body_free = keep;
    } else {
        answer.body = inflated(req, f);
        if (answer.body.data == NULL) {
            http_reply_text(req, 503, "no memory for the page\n");
            return;
        }
    }
    http_reply(req, &answer);
}

int page_register(struct http_server *http, struct err *err)
{
    static const struct http_route routes[] = {
        {.path = "/", .label = "page", .methods = HTTP_GET, .handler = on_get},
        {.path = "/assets/*", .label = "page", .methods = HTTP_GET, .handler = on_get},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        int rc = http_server_route(http, &routes[i], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}
