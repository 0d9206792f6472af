/* receive-proxy/way_run.c - settings into struct http_way. */
#include "way_run.h"

#include <stdlib.h>

#include "base/mem.h"
#include "creds_run.h"

enum { REDIRECTS_MAX = 10 }; /* as Go's client */

struct way {
    struct arena *arena; /* of all that follows */
    struct tls_source *tls;
    struct http_way http; /* without texts */
};

struct str way_host(struct str url)
{
    struct str rest = url;
    size_t scheme = str_find(url, ':');
    if (scheme != SIZE_MAX && str_starts_with(str_skip(url, scheme), STR("://")))
        rest = str_skip(url, scheme + 3);
    for (size_t i = 0; i < rest.len; i++)
        if (rest.data[i] == '/' || rest.data[i] == '?' || rest.data[i] == '#') {
            rest = str_head(rest, i);
            break;
        }
    size_t at = str_rfind(rest, '@');
    if (at != SIZE_MAX)
        rest = str_skip(rest, at + 1);
    if (rest.len > 0 && rest.data[0] == '[') {
        size_t end = str_find(rest, ']');
        return end == SIZE_MAX ? STR("") : str_head(str_skip(rest, 1), end - 1);
    }
    size_t colon = str_find(rest, ':');
    return colon == SIZE_MAX ? rest : str_head(rest, colon);
}

static bool is_loopback(struct str host)
{
    return str_eq_nocase(host, STR("localhost")) || str_starts_with(host, STR("127.")) ||
           str_eq(host, STR("::1"));
}

static const char *env(const char *upper, const char *lower)
{
    const char *v = getenv(upper);
    return v != NULL && v[0] != '\0' ? v : getenv(lower);
}

static int keep(struct way *w, struct str s, const char **out)
{
    struct str copy = str_dup(w->arena, s);
    *out = copy.data;
    return copy.data == NULL ? ERR_NOMEM : 0;
}

static int choose_proxy(struct way *w, const struct set_proxy *p, struct str url)
{
    struct str proxy = p->url, none = p->no_proxy;
    if (p->from_environment) {
        bool tls = str_starts_with(url, STR("https://"));
        proxy = str_c(tls ? env("HTTPS_PROXY", "https_proxy") : env("HTTP_PROXY", "http_proxy"));
        none = str_c(env("NO_PROXY", "no_proxy"));
        if (is_loopback(way_host(url)))
            return 0;
    }
    if (proxy.len == 0)
        return 0;
    int rc = keep(w, proxy, &w->http.proxy);
    return rc != 0 ? rc : keep(w, none, &w->http.no_proxy);
}

static int copy_proxy_headers(struct way *w, const struct set_proxy *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->connect_headers.count; i++)
        n += p->connect_headers.items[i].values.count;
    struct http_field *fields = arena_calloc(w->arena, n + 1, sizeof *fields);
    if (fields == NULL)
        return ERR_NOMEM;
    w->http.proxy_headers = fields;
    for (size_t i = 0; i < p->connect_headers.count; i++) {
        const struct alloy_pair_strs *header = &p->connect_headers.items[i];
        for (size_t k = 0; k < header->values.count; k++) {
            struct http_field *f = &fields[w->http.proxy_header_count++];
            f->name = str_dup(w->arena, header->key);
            f->value = str_dup(w->arena, header->values.items[k]);
            if (f->name.data == NULL || f->value.data == NULL)
                return ERR_NOMEM;
        }
    }
    return 0;
}

static uint8_t version_of(struct str text)
{
    if (str_eq(text, STR("TLS10")))
        return 10;
    if (str_eq(text, STR("TLS11")))
        return 11;
    return str_eq(text, STR("TLS13")) ? 13 : 12;
}

int way_init(struct way **out, const struct set_tls *tls, const struct set_proxy *proxy,
             bool follow_redirects, struct str url, struct err *err)
{
    struct way *w = mem_zalloc(sizeof *w);
    if (w == NULL || arena_init(&w->arena, 512, NULL) != 0) {
        mem_free(w);
        return err_set(err, ERR_NOMEM, "no memory for an endpoint");
    }
    int rc = choose_proxy(w, proxy, url);
    if (rc == 0)
        rc = copy_proxy_headers(w, proxy);
    if (rc == 0 && tls->server_name.len > 0)
        rc = keep(w, tls->server_name, &w->http.server_name);
    if (rc != 0)
        err_set(err, rc, "no memory for an endpoint");
    else
        rc = tls_source_init(&w->tls, tls, err);
    if (rc != 0) {
        way_free(&w);
        return rc;
    }
    w->http.insecure_skip_verify = tls->insecure_skip_verify;
    w->http.tls_min = version_of(tls->min_version);
    w->http.redirects_max = follow_redirects ? REDIRECTS_MAX : 0;
    *out = w;
    return 0;
}

void way_free(struct way **w)
{
    if (*w == NULL)
        return;
    tls_source_free(&(*w)->tls);
    arena_free(&(*w)->arena);
    mem_free(*w);
    *w = NULL;
}

void way_begin(struct way *w, mono_ms now, struct way_use *use)
{
    way_end(use);
    use->http = w->http;
    use->texts = tls_source_get(w->tls, now);
    use->http.ca_pem = buf_view(&use->texts->ca);
    use->http.cert_pem = buf_view(&use->texts->cert);
    use->http.key_pem = buf_view(&use->texts->key);
}

void way_end(struct way_use *use)
{
    tls_texts_release(use->texts);
    use->texts = NULL;
}
