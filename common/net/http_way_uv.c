/* net/http_way_uv.c - the options of libcurl that a way stands for.
 *
 * Certificates go in as blobs, not copied for a call; curl compares the blobs of the roots and
 * of our certificate when it looks for a kept connection. A server's name that differs from the
 * URL's host is put into the URL, and curl is told where to connect and which Host to send. */
#include "net/http_client_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

int http_lists_add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);
    if (more == NULL)
        return ERR_NOMEM;
    *list = more;
    return 0;
}

int http_lists_add(struct curl_slist **list, struct str name, struct str value)
{
    char small[512];
    size_t size = name.len + value.len + 3;
    if (!http_is_sendable(name, value))
        return ERR_INVAL;
    char *line = size <= sizeof small ? small : mem_alloc(size);
    if (line == NULL)
        return ERR_NOMEM;
    memcpy(line, name.data, name.len);
    /* "Name;" is how curl is told to send a header without a value. */
    line[name.len] = value.len > 0 ? ':' : ';';
    line[name.len + 1] = value.len > 0 ? ' ' : '\0';
    if (value.len > 0)
        memcpy(line + name.len + 2, value.data, value.len);
    line[size - 1] = '\0';
    int rc = http_lists_add_line(list, line);
    if (line != small)
        mem_free(line);
    return rc;
}

static CURLcode set_blob(CURL *e, CURLoption option, struct str pem, CURLcode rc)
{
    /* curl does not write to it. */
    struct curl_blob blob = {
        .data = (void *)(uintptr_t)pem.data, .len = pem.len, .flags = CURL_BLOB_NOCOPY};
    return rc != CURLE_OK || pem.len == 0 ? rc : curl_easy_setopt(e, option, &blob);
}

static CURLcode set_tls(CURL *e, const struct http_way *w)
{
    static const long versions[] = {CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_TLSv1_1,
                                    CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_TLSv1_3};
    unsigned min = w->tls_min >= 10 && w->tls_min <= 13 ? w->tls_min - 10u : 2;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_SSLVERSION, versions[min]);
    if (rc == CURLE_OK && w->insecure_skip_verify)
        rc = curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
    if (rc == CURLE_OK && w->insecure_skip_verify)
        rc = curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
    if (rc == CURLE_OK && w->ca_pem.len > 0)
        rc = curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    if (rc == CURLE_OK && w->ca_pem.len > 0)
        rc = curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
    rc = set_blob(e, CURLOPT_CAINFO_BLOB, w->ca_pem, rc);
    rc = set_blob(e, CURLOPT_SSLCERT_BLOB, w->cert_pem, rc);
    return set_blob(e, CURLOPT_SSLKEY_BLOB, w->key_pem, rc);
}

static CURLcode set_proxy(CURL *e, const struct http_way *w, struct http_call_lists *lists)
{
    if (w->proxy == NULL)
        return CURLE_OK;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_PROXY, w->proxy);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(e, CURLOPT_NOPROXY, w->no_proxy == NULL ? "" : w->no_proxy);
    for (size_t i = 0; i < w->proxy_header_count; i++) {
        int code = http_lists_add(&lists->proxy_headers, w->proxy_headers[i].name,
                                  w->proxy_headers[i].value);
        if (code != 0)
            return code == ERR_NOMEM ? CURLE_OUT_OF_MEMORY : CURLE_BAD_FUNCTION_ARGUMENT;
    }
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    if (rc == CURLE_OK && lists->proxy_headers != NULL)
        rc = curl_easy_setopt(e, CURLOPT_PROXYHEADER, lists->proxy_headers);
    return rc;
}

/* The parts of the URL that matter here; texts are curl's. */
struct parts {
    CURLU *url;
    char *scheme, *host, *port;
};

static CURLcode parts_init(struct parts *p, const char *url)
{
    *p = (struct parts){.url = curl_url()};
    if (p->url == NULL)
        return CURLE_OUT_OF_MEMORY;
    bool good = curl_url_set(p->url, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(p->url, CURLUPART_SCHEME, &p->scheme, 0) == CURLUE_OK &&
                curl_url_get(p->url, CURLUPART_HOST, &p->host, 0) == CURLUE_OK &&
                curl_url_get(p->url, CURLUPART_PORT, &p->port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    return good ? CURLE_OK : CURLE_URL_MALFORMAT;
}

static void parts_reset(struct parts *p)
{
    curl_free(p->scheme);
    curl_free(p->host);
    curl_free(p->port);
    curl_url_cleanup(p->url);
}

/* host:port:to, where `to` is an address or the URL's own host. */
static int add_connect_to(struct http_call_lists *lists, const char *host,
                          const struct parts *p, const struct addr *to)
{
    char text[ADDR_TEXT_MAX];
    struct buf b = {0};
    buf_printf(&b, "%s:%s:", host, p->port);
    if (to != NULL)
        buf_printf(&b, "%s", addr_text(to, text));
    else
        buf_printf(&b, "%s:%s", p->host, p->port);
    buf_u8(&b, '\0');
    int rc = b.error != 0 ? ERR_NOMEM
                          : http_lists_add_line(&lists->connect_to, (const char *)b.data);
    buf_reset(&b);
    return rc;
}

/* Put the server's name into the URL, and the URL's host into the header. */
static CURLcode rename_server(CURL *e, const char *name, const struct parts *p,
                              struct http_call_lists *lists)
{
    struct buf host = {0};
    char *url = NULL;
    buf_printf(&host, "%s", p->host);
    if (strcmp(p->port, "443") != 0)
        buf_printf(&host, ":%s", p->port);
    int rc = host.error != 0 ? ERR_NOMEM
                             : http_lists_add(&lists->headers, STR("Host"), buf_view(&host));
    buf_reset(&host);
    if (rc != 0)
        return CURLE_OUT_OF_MEMORY;
    if (curl_url_set(p->url, CURLUPART_HOST, name, 0) != CURLUE_OK ||
        curl_url_get(p->url, CURLUPART_URL, &url, 0) != CURLUE_OK)
        return CURLE_URL_MALFORMAT;
    CURLcode code = curl_easy_setopt(e, CURLOPT_URL, url);
    curl_free(url);
    if (code == CURLE_OK)
        code = curl_easy_setopt(e, CURLOPT_HTTPHEADER, lists->headers);
    return code;
}

static CURLcode set_target(CURL *e, const struct http_way *w, const char *url,
                           struct http_call_lists *lists)
{
    struct parts p;
    if (w->connect_to == NULL && w->server_name == NULL)
        return CURLE_OK;
    CURLcode rc = parts_init(&p, url);
    bool rename = rc == CURLE_OK && w->server_name != NULL && strcmp(p.scheme, "https") == 0 &&
                  strcmp(p.host, w->server_name) != 0;
    if (rename)
        rc = rename_server(e, w->server_name, &p, lists);
    if (rc == CURLE_OK && (rename || w->connect_to != NULL) &&
        add_connect_to(lists, rename ? w->server_name : p.host, &p, w->connect_to) != 0)
        rc = CURLE_OUT_OF_MEMORY;
    if (rc == CURLE_OK && lists->connect_to != NULL)
        rc = curl_easy_setopt(e, CURLOPT_CONNECT_TO, lists->connect_to);
    parts_reset(&p);
    return rc;
}

CURLcode http_way_apply(CURL *e, const struct http_way *w, const char *url, bool redirected,
                        struct http_call_lists *lists)
{
    bool follow = w->redirects_max > 0 || redirected;
    CURLcode rc = set_tls(e, w);
    if (rc == CURLE_OK)
        rc = set_proxy(e, w, lists);
    if (rc == CURLE_OK)
        rc = set_target(e, w, url, lists);
    if (rc == CURLE_OK && follow)
        rc = curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
    /* What went out under TLS does not go on without. */
    const char *to = strncmp(url, "https:", 6) == 0 ? "https" : "http,https";
    if (rc == CURLE_OK && follow)
        rc = curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, to);
    if (rc == CURLE_OK && follow)
        rc = curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)w->redirects_max);
    return rc;
}

int http_way_location(const char *url, struct str location, char **out, bool *same)
{
    struct parts before, after = {NULL, NULL, NULL, NULL};
    char *text = NULL, *relative = str_dup_c(location);
    CURLcode rc = parts_init(&before, url);
    if (rc == CURLE_OK && relative != NULL &&
        curl_url_set(before.url, CURLUPART_URL, relative, CURLU_URLENCODE) == CURLUE_OK &&
        curl_url_get(before.url, CURLUPART_URL, &text, 0) == CURLUE_OK) {
        rc = parts_init(&after, text);
        bool web = rc == CURLE_OK &&
                   (strcmp(after.scheme, "http") == 0 || strcmp(after.scheme, "https") == 0);
        *same = rc == CURLE_OK && strcmp(before.scheme, after.scheme) == 0 &&
                strcmp(before.host, after.host) == 0 && strcmp(before.port, after.port) == 0;
        *out = web ? str_dup_c(str_c(text)) : NULL;
        rc = web && *out == NULL ? CURLE_OUT_OF_MEMORY : web ? CURLE_OK : CURLE_URL_MALFORMAT;
    } else if (rc == CURLE_OK) {
        rc = relative == NULL ? CURLE_OUT_OF_MEMORY : CURLE_URL_MALFORMAT;
    }
    curl_free(text);
    mem_free(relative);
    parts_reset(&before);
    parts_reset(&after);
    return rc == CURLE_OK ? 0 : rc == CURLE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_IO;
}
