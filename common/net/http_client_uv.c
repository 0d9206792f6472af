/* net/http_client_uv.c - the HTTP client's face: who makes a call, and where redirects lead.
 *
 * Calls to http:// are made by http_plain_uv.c. What needs TLS or a proxy, and URLs that only
 * libcurl understands, go to http_curl_uv.c, which is set up by the first of them: most processes
 * never need it. */
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/http_client_priv.h"
#include "net/http_url.h"
#include "net/loop_priv.h"

struct http_client {
    struct loop *loop;
    struct http_client_config config;
    struct http_plain *plain;
    struct http_curl *curl; /* NULL: not needed yet */
    bool closing;
};

/* A first look; libcurl reads the rest when it begins. */
static bool is_url(const char *url)
{
    struct str s = str_c(url);
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.data[i] <= ' ')
            return false;
    }
    return (str_starts_with(s, STR("http://")) && s.len > 7) ||
           (str_starts_with(s, STR("https://")) && s.len > 8);
}

static int start_by_curl(struct http_client *c, const struct http_ask *ask, bool redirected,
                         struct http_call **out, struct err *err)
{
    int rc = c->curl != NULL ? 0 : http_curl_init(&c->curl, c->loop, &c->config, err);
    return rc != 0 ? rc : http_curl_start(c->curl, ask, redirected, out, err);
}

int http_call_start(struct http_client *c, const struct http_ask *ask, struct http_call **out,
                    struct err *err)
{
    struct http_call *none;
    struct http_url url;
    ASSERT(loop_is_mine(c->loop) && ask->done != NULL);
    uv_update_time(loop_uv(c->loop));
    if (ask->deadline <= loop_now(c->loop))
        return err_set(err, ERR_TIMEOUT, "%s: deadline exceeded", ask->url);
    if (c->closing)
        return err_set(err, ERR_CLOSED, "%s", ask->url);
    if (!is_url(ask->url))
        return err_set(err, ERR_INVAL, "%s: not an http:// or https:// URL", ask->url);
    if (http_plain_takes(ask, &url))
        return http_plain_start(c->plain, ask, &url, out != NULL ? out : &none, err);
    return start_by_curl(c, ask, false, out != NULL ? out : &none, err);
}

void http_call_cancel(struct http_call *call)
{
    if (call->by_curl)
        http_curl_cancel(call);
    else
        http_plain_cancel(call);
}

unsigned http_client_inflight(const struct http_client *c)
{
    return http_plain_inflight(c->plain) + (c->curl == NULL ? 0 : http_curl_inflight(c->curl));
}

/* --- redirects ----------------------------------------------------------------------------- */

/* What is for one server alone. */
static bool is_for_one_host(struct str name)
{
    return str_eq_nocase(name, STR("Authorization")) || str_eq_nocase(name, STR("Cookie")) ||
           str_eq_nocase(name, STR("Host"));
}

int http_client_redirect(struct http_client *c, const struct http_ask *ask, struct http_way *way,
                         unsigned status, struct str location, struct http_call **out,
                         struct err *err)
{
    bool same = false, keeps_method = status == 307 || status == 308;
    struct http_field *fields = NULL;
    char *url = NULL;
    if (!keeps_method && ask->method != HTTP_GET && ask->method != HTTP_HEAD)
        return err_set(err, ERR_IO, "a redirect turned the %s into a GET",
                       http_method_name(ask->method));
    int rc = http_way_location(ask->url, location, &url, &same);
    if (rc != 0)
        return err_set(err, rc, "%s: redirected to \"%.*s\", where HTTP does not lead", ask->url,
                       STR_ARG(str_head(location, 100)));
    struct http_ask next = *ask;
    next.url = url;
    next.header_count = 0;
    next.headers = fields = mem_calloc(ask->header_count, sizeof *fields);
    for (size_t i = 0; fields != NULL && i < ask->header_count; i++)
        if (same || !is_for_one_host(ask->headers[i].name))
            fields[next.header_count++] = ask->headers[i];
    *way = *ask->way;
    way->redirects_max--;
    next.way = way;
    if (!same) {
        way->connect_to = NULL;
        way->server_name = NULL;
    }
    rc = fields == NULL ? err_set(err, ERR_NOMEM, "%s: no memory", ask->url)
                        : start_by_curl(c, &next, true, out, err);
    mem_free(fields);
    mem_free(url);
    return rc;
}

/* --- life ---------------------------------------------------------------------------------- */

int http_client_init(struct http_client **out, struct loop *l,
                     const struct http_client_config *config, struct err *err)
{
    struct http_client *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return err_set(err, ERR_NOMEM, "HTTP client");
    c->loop = l;
    c->config = *config;
    if (c->config.connections_per_host == 0)
        c->config.connections_per_host = 64;
    if (c->config.idle_max == 0)
        c->config.idle_max = 128;
    if (c->config.idle_ms == 0)
        c->config.idle_ms = 90000;
    if (c->config.connect_ms == 0)
        c->config.connect_ms = 2000;
    if (c->config.user_agent == NULL)
        c->config.user_agent = "emberring";
    int rc = http_plain_init(&c->plain, c, l, &c->config, err);
    if (rc != 0) {
        mem_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

/* libcurl's calls first, since a plain one that was redirected waits for one of them. */
static void do_free(void *arg)
{
    struct http_client *c = arg;
    c->closing = true;
    http_curl_free(&c->curl);
    http_plain_free(&c->plain);
    mem_free(c);
}

void http_client_free(struct http_client **cp)
{
    struct http_client *c = *cp;
    if (c == NULL)
        return;
    *cp = NULL;
    loop_call(c->loop, do_free, c);
}
