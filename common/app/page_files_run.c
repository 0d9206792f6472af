/* app/page_files_run.c - a handful of constant files. */
#include "app/page_files_run.h"

#include "base/mem.h"
#include "net/http_server.h"
#include "wire/compress.h"

enum { HEADERS_MAX = 12 };

const struct http_field page_safety[PAGE_SAFETY_COUNT] = {
    {STR_INIT("Content-Security-Policy"),
     STR_INIT("default-src 'none'; script-src 'self'; style-src 'self'; "
              "img-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; "
              "base-uri 'none'; form-action 'self'; frame-ancestors 'self'; "
              "require-trusted-types-for 'script'")},
    {STR_INIT("X-Content-Type-Options"), STR_INIT("nosniff")},
    /* Not no-referrer: with it a browser hides the origin of our own forms, too. */
    {STR_INIT("Referrer-Policy"), STR_INIT("same-origin")},
    {STR_INIT("Cross-Origin-Opener-Policy"), STR_INIT("same-origin")},
    {STR_INIT("Cross-Origin-Resource-Policy"), STR_INIT("same-origin")},
    {STR_INIT("Permissions-Policy"), STR_INIT("camera=(), geolocation=(), microphone=()")},
};

static const struct page_file *find(const struct page_files *files, struct str path)
{
    for (size_t i = 0; i < files->count; i++)
        if (str_eq(files->all[i].path, path))
            return &files->all[i];
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

void page_files_reply(const struct page_files *files, struct http_req *req)
{
    const struct page_file *f = find(files, req->path);
    if (f == NULL) {
        not_found(req);
        return;
    }
    struct http_field headers[HEADERS_MAX];
    size_t n = 0;
    for (; n < PAGE_SAFETY_COUNT; n++)
        headers[n] = page_safety[n];
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
