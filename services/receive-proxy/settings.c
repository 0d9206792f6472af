/* receive-proxy/settings.c - tables with the defaults of the documentation, and what is wrong in a
 * block. */
#include "settings.h"

#include <string.h>

#include "conf/value.h"
#include "relabel.h"

enum {
    TEXT_MAX = 4096, /* a path, a URL */
    RETRIES_MAX = 1000000,
};

#define TEXT(S, f, n) ALLOY_STR_ROW(S, f, n, 0, NULL)
#define SECRET(S, f, n) ALLOY_SECRET_ROW(S, f, n, 0, NULL)

/* --- tables ---------------------------------------------------------------------------- */

static int validate_tls(const void *at, struct err *err)
{
    return set_tls_check(at, err);
}

static int validate_endpoint(const void *at, struct err *err)
{
    return set_endpoint_check(at, err);
}

static int validate_queue(const void *at, struct err *err)
{
    return set_queue_check(at, err);
}

static int validate_rule(const void *at, struct err *err)
{
    return relabel_rule_check(at, err);
}

static int validate_relabel(const void *at, struct err *err)
{
    return set_relabel_check(at, err);
}

static const struct alloy_row tls_rows[] = {
    TEXT(set_tls, ca_pem, "ca_pem"),
    TEXT(set_tls, ca_file, "ca_file"),
    TEXT(set_tls, cert_pem, "cert_pem"),
    TEXT(set_tls, cert_file, "cert_file"),
    SECRET(set_tls, key_pem, "key_pem"),
    TEXT(set_tls, key_file, "key_file"),
    TEXT(set_tls, server_name, "server_name"),
    ALLOY_BOOL_ROW(set_tls, insecure_skip_verify, "insecure_skip_verify", 0, "false"),
    TEXT(set_tls, min_version, "min_version"),
    ALLOY_ROWS_END,
};
static const struct alloy_schema tls_schema = ALLOY_SCHEMA(set_tls, tls_rows, validate_tls);

static const struct alloy_row basic_rows[] = {
    ALLOY_GIVEN_ROW(set_basic_auth, given),
    TEXT(set_basic_auth, username, "username"),
    SECRET(set_basic_auth, password, "password"),
    TEXT(set_basic_auth, password_file, "password_file"),
    ALLOY_ROWS_END,
};
static const struct alloy_schema basic_schema = ALLOY_SCHEMA(set_basic_auth, basic_rows, NULL);

static const struct alloy_row authorization_rows[] = {
    ALLOY_GIVEN_ROW(set_authorization, given),
    ALLOY_STR_ROW(set_authorization, type, "type", 0, "Bearer"),
    SECRET(set_authorization, credentials, "credentials"),
    TEXT(set_authorization, credentials_file, "credentials_file"),
    ALLOY_ROWS_END,
};
static const struct alloy_schema authorization_schema =
    ALLOY_SCHEMA(set_authorization, authorization_rows, NULL);

#define PROXY_ROWS(S)                                                                         \
    TEXT(S, proxy.url, "proxy_url"), TEXT(S, proxy.no_proxy, "no_proxy"),                     \
        ALLOY_BOOL_ROW(S, proxy.from_environment, "proxy_from_environment", 0, "false"),      \
        ALLOY_MAP_SECRETS_ROW(S, proxy.connect_headers, "proxy_connect_header", 0)

static const struct alloy_row oauth2_rows[] = {
    ALLOY_GIVEN_ROW(set_oauth2, given),
    TEXT(set_oauth2, client_id, "client_id"),
    SECRET(set_oauth2, client_secret, "client_secret"),
    TEXT(set_oauth2, client_secret_file, "client_secret_file"),
    TEXT(set_oauth2, token_url, "token_url"),
    ALLOY_STRS_ROW(set_oauth2, scopes, "scopes", 0),
    ALLOY_MAP_ROW(set_oauth2, endpoint_params, "endpoint_params", 0),
    PROXY_ROWS(set_oauth2),
    ALLOY_BLOCK_ROW(set_oauth2, tls, set_tls, "tls_config", 0, &tls_schema),
    ALLOY_ROWS_END,
};
static const struct alloy_schema oauth2_schema = ALLOY_SCHEMA(set_oauth2, oauth2_rows, NULL);

#define MS(S, f, n, d) ALLOY_MS_ROW(S, f, n, 0, d)
#define FLAG(S, f, n, d) ALLOY_BOOL_ROW(S, f, n, 0, d)

static const struct alloy_row endpoint_rows[] = {
    ALLOY_STR_ROW(set_endpoint, url, "url", ALLOY_REQUIRED, NULL),
    TEXT(set_endpoint, name, "name"),
    MS(set_endpoint, remote_timeout_ms, "remote_timeout", "10s"),
    MS(set_endpoint, debug_info_upload_timeout_ms, "debug_info_upload_timeout", "2m"),
    ALLOY_MAP_ROW(set_endpoint, headers, "headers", ALLOY_MASKED),
    MS(set_endpoint, min_backoff_ms, "min_backoff_period", "500ms"),
    MS(set_endpoint, max_backoff_ms, "max_backoff_period", "5m"),
    ALLOY_I64_ROW(set_endpoint, max_backoff_retries, "max_backoff_retries", 0, "10"),
    FLAG(set_endpoint, retry_on_http_429, "retry_on_http_429", "true"),
    SECRET(set_endpoint, bearer_token, "bearer_token"),
    TEXT(set_endpoint, bearer_token_file, "bearer_token_file"),
    ALLOY_BLOCK_ROW(set_endpoint, basic_auth, set_basic_auth, "basic_auth", 0, &basic_schema),
    ALLOY_BLOCK_ROW(set_endpoint, authorization, set_authorization, "authorization", 0,
                    &authorization_schema),
    ALLOY_BLOCK_ROW(set_endpoint, oauth2, set_oauth2, "oauth2", 0, &oauth2_schema),
    ALLOY_BLOCK_ROW(set_endpoint, tls, set_tls, "tls_config", 0, &tls_schema),
    FLAG(set_endpoint, follow_redirects, "follow_redirects", "true"),
    FLAG(set_endpoint, enable_http2, "enable_http2", "true"),
    ALLOY_MAP_SECRETS_ROW(set_endpoint, http_headers, "http_headers", 0),
    PROXY_ROWS(set_endpoint),
    ALLOY_ROWS_END,
};
static const struct alloy_schema endpoint_schema =
    ALLOY_SCHEMA(set_endpoint, endpoint_rows, validate_endpoint);

static const struct alloy_row tracing_rows[] = {
    FLAG(set_tracing, jaeger_propagator, "jaeger_propagator", "true"),
    FLAG(set_tracing, trace_context_propagator, "trace_context_propagator", "true"),
    ALLOY_ROWS_END,
};
static const struct alloy_schema tracing_schema = ALLOY_SCHEMA(set_tracing, tracing_rows, NULL);

#define QUEUE_ROWS(better)                                                                    \
    FLAG(set_queue, enabled, "enabled", better), TEXT(set_queue, dir, "dir"),                 \
        ALLOY_STR_ROW(set_queue, max_bytes, "max_bytes", 0, "64MiB"),                         \
        MS(set_queue, max_age_ms, "max_age", "1h"), ALLOY_ROWS_END
static const struct alloy_row queue_rows[] = {QUEUE_ROWS("true")};
static const struct alloy_row alloy_queue_rows[] = {QUEUE_ROWS("false")};
static const struct alloy_schema queue_schema =
    ALLOY_SCHEMA(set_queue, queue_rows, validate_queue);
static const struct alloy_schema alloy_queue_schema =
    ALLOY_SCHEMA(set_queue, alloy_queue_rows, validate_queue);

#define WRITE_ROWS(better, queue_schema)                                                      \
    ALLOY_BLOCKS_ROW(set_write, endpoints, "endpoint", 0, &endpoint_schema),                  \
        ALLOY_MAP_ROW(set_write, external_labels, "external_labels", 0),                      \
        ALLOY_BLOCK_ROW(set_write, tracing, set_tracing, "tracing", 0, &tracing_schema),      \
        ALLOY_BLOCK_ROW(set_write, queue, set_queue, "queue", 0, queue_schema),               \
        FLAG(set_write, status_passthrough, "status_passthrough", better),                    \
        FLAG(set_write, forward_headers, "forward_headers", better),                          \
        FLAG(set_write, deadline_budget, "deadline_budget", better), ALLOY_ROWS_END
static const struct alloy_row write_rows[] = {WRITE_ROWS("true", &queue_schema)};
static const struct alloy_row alloy_write_rows[] = {WRITE_ROWS("false", &alloy_queue_schema)};
static const struct alloy_schema write_schema = ALLOY_SCHEMA(set_write, write_rows, NULL);
static const struct alloy_schema alloy_write_schema =
    ALLOY_SCHEMA(set_write, alloy_write_rows, NULL);

const struct alloy_schema *set_write_schema(bool alloy)
{
    return alloy ? &alloy_write_schema : &write_schema;
}

static const struct alloy_row rule_rows[] = {
    ALLOY_STRS_ROW(set_rule, source_labels, "source_labels", 0),
    ALLOY_STR_ROW(set_rule, separator, "separator", 0, ";"),
    ALLOY_STR_ROW(set_rule, regex, "regex", 0, "(.*)"),
    ALLOY_STR_ROW(set_rule, replacement, "replacement", 0, "$1"),
    TEXT(set_rule, target_label, "target_label"),
    ALLOY_STR_ROW(set_rule, action, "action", 0, "replace"),
    ALLOY_I64_ROW(set_rule, modulus, "modulus", 0, "0"),
    ALLOY_ROWS_END,
};
static const struct alloy_schema rule_schema = ALLOY_SCHEMA(set_rule, rule_rows, validate_rule);

static const struct alloy_row relabel_rows[] = {
    ALLOY_CAPSULES_ROW(set_relabel, forward_to, "forward_to", ALLOY_REQUIRED, SET_RECEIVER),
    ALLOY_I64_ROW(set_relabel, max_cache_size, "max_cache_size", 0, "10000"),
    ALLOY_BLOCKS_ROW(set_relabel, rules, "rule", 0, &rule_schema),
    ALLOY_ROWS_END,
};
const struct alloy_schema set_relabel_schema =
    ALLOY_SCHEMA(set_relabel, relabel_rows, validate_relabel);

/* --- checks ------------------------------------------------------------ */

static bool is_set(struct str s)
{
    return s.len > 0;
}

int set_pair_check(struct str pem, struct str file, const char *name, struct err *err)
{
    if (is_set(pem) && is_set(file))
        return err_set(err, ERR_INVAL, "at most one of %s_pem and %s_file must be configured",
                       name, name);
    return file.len > TEXT_MAX ? err_set(err, ERR_INVAL, "%s_file is too long", name) : 0;
}

int set_tls_check(const struct set_tls *s, struct err *err)
{
    static const char *const versions[] = {"", "TLS10", "TLS11", "TLS12", "TLS13"};
    bool known = false;
    int rc = set_pair_check(s->ca_pem, s->ca_file, "ca", err);
    if (rc == 0)
        rc = set_pair_check(s->cert_pem, s->cert_file, "cert", err);
    if (rc == 0)
        rc = set_pair_check(s->key_pem, s->key_file, "key", err);
    if (rc != 0)
        return rc;
    bool cert = is_set(s->cert_pem) || is_set(s->cert_file);
    bool key = is_set(s->key_pem) || is_set(s->key_file);
    if (cert && !key)
        return err_set(err, ERR_INVAL,
                       "exactly one of key_pem or key_file must be configured when a client "
                       "certificate is configured");
    if (key && !cert)
        return err_set(err, ERR_INVAL,
                       "exactly one of cert_pem or cert_file must be configured when a client "
                       "key is configured");
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        known = known || str_eq(s->min_version, str_c(versions[i]));
    if (!known)
        return err_set(err, ERR_INVAL, "unknown TLS version: %.*s", STR_ARG(s->min_version));
    return 0;
}

/* What stands in a request's head: a name as RFC 9110 has it, a value without ends of lines. */
static int check_header(struct str name, struct str value, const char *where, struct err *err)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    bool good = is_set(name);
    for (size_t i = 0; good && i < name.len; i++) {
        char c = name.data[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr(marks, c) != NULL);
    }
    for (size_t i = 0; good && i < value.len; i++)
        good = value.data[i] != '\r' && value.data[i] != '\n' && value.data[i] != '\0';
    return good ? 0
                : err_set(err, ERR_INVAL, "%s: \"%.*s\" cannot be sent as a header", where,
                          STR_ARG(str_head(name, 64)));
}

static int check_header_lists(const struct alloy_map_strs *m, const char *where, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < m->count; i++)
        for (size_t k = 0; rc == 0 && k < m->items[i].values.count; k++)
            rc = check_header(m->items[i].key, m->items[i].values.items[k], where, err);
    return rc;
}

static int check_proxy(const struct set_proxy *p, struct err *err)
{
    if (p->from_environment && (is_set(p->url) || is_set(p->no_proxy)))
        return err_set(
            err, ERR_INVAL,
            "if proxy_from_environment is configured, %s must not be configured",
            is_set(p->url) ? "proxy_url" : "no_proxy");
    if (str_starts_with(p->url, STR(":")))
        return err_set(err, ERR_INVAL, "parse \"%.*s\": missing protocol scheme",
                       STR_ARG(str_head(p->url, 64)));
    if (is_set(p->no_proxy) && !is_set(p->url))
        return err_set(err, ERR_INVAL,
                       "if no_proxy is configured, proxy_url must also be configured");
    if (p->connect_headers.count > 0 && !is_set(p->url) && !p->from_environment)
        return err_set(err, ERR_INVAL,
                       "if proxy_connect_header is configured, proxy_url or "
                       "proxy_from_environment must also be configured");
    return check_header_lists(&p->connect_headers, "proxy_connect_header", err);
}

/* What belongs to the client itself, or to settings of its own. */
static int check_reserved(const struct alloy_map_strs *m, struct err *err)
{
    static const char *const reserved[] = {
        "Authorization", "Host", "Content-Encoding", "Content-Length", "Content-Type",
        "User-Agent", "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
        "Www-Authenticate", "Accept-Encoding", "X-Prometheus-Remote-Write-Version",
        "X-Prometheus-Remote-Read-Version", "X-Prometheus-Scrape-Timeout-Seconds",
        "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"};
    for (size_t i = 0; i < m->count; i++)
        for (size_t k = 0; k < sizeof reserved / sizeof *reserved; k++)
            if (str_eq_nocase(m->items[i].key, str_c(reserved[k])))
                return err_set(err, ERR_INVAL, "setting header \"%s\" is not allowed",
                               reserved[k]);
    return 0;
}

static int check_headers(const struct set_endpoint *s, struct err *err)
{
    int rc = check_reserved(&s->http_headers, err);
    for (size_t i = 0; rc == 0 && i < s->headers.count; i++)
        rc = check_header(s->headers.items[i].key, s->headers.items[i].value, "headers", err);
    return rc != 0 ? rc : check_header_lists(&s->http_headers, "http_headers", err);
}

static int check_oauth2(const struct set_oauth2 *o, struct err *err)
{
    if (!is_set(o->client_id))
        return err_set(err, ERR_INVAL, "oauth2 client_id must be configured");
    if (!is_set(o->client_secret) && !is_set(o->client_secret_file))
        return err_set(err, ERR_INVAL,
                       "either oauth2 client_secret or client_secret_file must be configured");
    if (is_set(o->client_secret) && is_set(o->client_secret_file))
        return err_set(err, ERR_INVAL,
                       "at most one of oauth2 client_secret & client_secret_file must be "
                       "configured");
    if (!is_set(o->token_url))
        return err_set(err, ERR_INVAL, "oauth2 token_url must be configured");
    int rc = check_proxy(&o->proxy, err);
    return rc != 0 ? rc : set_tls_check(&o->tls, err);
}

static int check_client(const struct set_endpoint *s, struct err *err)
{
    unsigned ways =
        (unsigned)(s->basic_auth.given + s->authorization.given + s->oauth2.given +
                   is_set(s->bearer_token) + is_set(s->bearer_token_file));
    if (ways > 1)
        return err_set(err, ERR_INVAL,
                       "at most one of basic_auth, authorization, oauth2, bearer_token & "
                       "bearer_token_file must be configured");
    if (s->basic_auth.given && is_set(s->basic_auth.password) &&
        is_set(s->basic_auth.password_file))
        return err_set(err, ERR_INVAL,
                       "at most one of basic_auth password & password_file must be configured");
    if (s->authorization.given) {
        if (str_eq_nocase(str_trim(s->authorization.type), STR("basic")))
            return err_set(err, ERR_INVAL,
                           "authorization type cannot be set to \"basic\", use "
                           "\"basic_auth\" block instead");
        if (is_set(s->authorization.credentials) && is_set(s->authorization.credentials_file))
            return err_set(
                err, ERR_INVAL,
                "at most one of authorization credentials & credentials_file must be "
                "configured");
    }
    int rc = s->oauth2.given ? check_oauth2(&s->oauth2, err) : 0;
    if (rc == 0)
        rc = check_proxy(&s->proxy, err);
    if (rc == 0)
        rc = check_headers(s, err);
    return rc != 0 ? rc : set_tls_check(&s->tls, err);
}

void set_put_url(struct str url, struct buf *out)
{
    size_t scheme = str_find(url, ':'), end = 0;
    struct str rest = scheme == SIZE_MAX ? url : str_skip(url, scheme + 1);
    while (str_starts_with(rest, STR("/")))
        rest = str_skip(rest, 1);
    while (end < rest.len && strchr("/?#", rest.data[end]) == NULL)
        end++;
    size_t at = str_rfind(str_head(rest, end), '@');
    size_t colon = at == SIZE_MAX ? SIZE_MAX : str_find(str_head(rest, at), ':');
    if (colon == SIZE_MAX) {
        buf_str(out, url);
        return;
    }
    buf_put(out, url.data, url.len - rest.len + colon);
    buf_c(out, ":xxxxx");
    buf_str(out, str_skip(rest, at));
}

int set_endpoint_check(const struct set_endpoint *s, struct err *err)
{
    if (!str_starts_with(s->url, STR("http://")) && !str_starts_with(s->url, STR("https://"))) {
        struct buf shown = {0};
        set_put_url(s->url, &shown);
        err_set(err, ERR_INVAL, "url \"%.*s\" is not an http:// or https:// URL",
                STR_ARG(str_head(buf_view(&shown), 100)));
        buf_reset(&shown);
        return ERR_INVAL;
    }
    if (s->url.len > TEXT_MAX)
        return err_set(err, ERR_INVAL, "url is too long");
    for (size_t i = 0; i < s->url.len; i++)
        if ((unsigned char)s->url.data[i] <= ' ' || s->url.data[i] == 0x7f)
            return err_set(err, ERR_INVAL, "url has a blank or a control character");
    if (s->remote_timeout_ms <= 0)
        return err_set(err, ERR_INVAL, "remote_timeout must be positive");
    if (s->min_backoff_ms < 0 || s->max_backoff_ms < s->min_backoff_ms)
        return err_set(err, ERR_INVAL,
                       "max_backoff_period must not be less than min_backoff_period");
    if (s->max_backoff_retries < 0 || s->max_backoff_retries > RETRIES_MAX)
        return err_set(err, ERR_INVAL, "max_backoff_retries must be between 0 and %d",
                       (int)RETRIES_MAX);
    return check_client(s, err);
}

int set_queue_check(const struct set_queue *s, struct err *err)
{
    uint64_t bytes;
    if (conf_parse_size(s->max_bytes, &bytes) != 0 || bytes == 0)
        return err_set(err, ERR_INVAL, "queue: max_bytes must be a size such as 64MiB");
    if (s->max_age_ms <= 0)
        return err_set(err, ERR_INVAL, "queue: max_age must be positive");
    return s->dir.len > TEXT_MAX ? err_set(err, ERR_INVAL, "queue: dir is too long") : 0;
}

int set_write_check(const struct set_write *s, struct err *err)
{
    const struct set_endpoint *endpoints = s->endpoints.items;
    for (size_t i = 0; i < s->endpoints.count; i++) {
        int rc = set_endpoint_check(&endpoints[i], err);
        if (rc != 0)
            return rc;
    }
    return set_queue_check(&s->queue, err);
}

int set_relabel_check(const struct set_relabel *s, struct err *err)
{
    struct relabel_rules *rules = NULL;
    if (s->max_cache_size <= 0)
        return err_set(err, ERR_INVAL, "max_cache_size must be greater than 0 and is %lld",
                       (long long)s->max_cache_size);
    int rc = relabel_rules_init(&rules, s->rules.items, s->rules.count, err);
    relabel_rules_free(&rules);
    return rc;
}
