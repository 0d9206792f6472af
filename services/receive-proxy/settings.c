/* receive-proxy/settings.c - defaults of the documentation, and what is wrong in a block. */
#include "settings.h"

#include "base/mem.h"
#include "profile/regex.h"
#include "relabel.h"

enum {
    QUEUE_MEMORY_BYTES = 64 << 20,
    RELABEL_CACHE = 10000,
    FILE_TEXT_MAX = 4096, /* a path, a URL */
};

void set_better_defaults(struct set_better *out, bool alloy)
{
    *out = (struct set_better){
        .status_passthrough = !alloy, .forward_headers = !alloy, .deadline_budget = !alloy};
}

void set_queue_defaults(struct set_queue *out, bool alloy)
{
    *out = (struct set_queue){.enabled = !alloy,
                              .dir = STR(""),
                              .max_bytes = QUEUE_MEMORY_BYTES,
                              .max_age_ms = 3600u * 1000};
}

void set_client_defaults(struct set_client *out)
{
    *out = (struct set_client){.follow_redirects = true, .enable_http2 = true};
    out->authorization.type = STR("Bearer");
}

void set_endpoint_defaults(struct set_endpoint *out)
{
    *out = (struct set_endpoint){.remote_timeout_ms = 10000,
                                 .debug_info_upload_timeout_ms = 120000,
                                 .min_backoff_ms = 500,
                                 .max_backoff_ms = 300000,
                                 .max_backoff_retries = 10,
                                 .retry_on_http_429 = true};
    set_client_defaults(&out->client);
}

void set_write_defaults(struct set_write *out, bool alloy)
{
    *out = (struct set_write){.jaeger_propagator = true, .trace_context_propagator = true};
    set_queue_defaults(&out->queue, alloy);
    set_better_defaults(&out->better, alloy);
}

void set_rule_defaults(struct set_rule *out)
{
    *out = (struct set_rule){.separator = STR(";"),
                             .regex = STR("(.*)"),
                             .replacement = STR("$1"),
                             .action = STR("replace")};
}

void set_relabel_defaults(struct set_relabel *out)
{
    *out = (struct set_relabel){.max_cache_size = RELABEL_CACHE};
}

/* --- checks ------------------------------------------------------------ */

static bool is_set(struct str s)
{
    return s.len > 0;
}

static int check_pair(struct str pem, struct str file, const char *name, struct err *err)
{
    if (is_set(pem) && is_set(file))
        return err_set(err, ERR_INVAL, "at most one of %s_pem and %s_file must be configured",
                       name, name);
    return file.len > FILE_TEXT_MAX ? err_set(err, ERR_INVAL, "%s_file is too long", name) : 0;
}

int set_tls_check(const struct set_tls *s, struct err *err)
{
    static const char *const versions[] = {"", "TLS10", "TLS11", "TLS12", "TLS13"};
    bool known = false;
    int rc = check_pair(s->ca_pem, s->ca_file, "ca", err);
    if (rc == 0)
        rc = check_pair(s->cert_pem, s->cert_file, "cert", err);
    if (rc == 0)
        rc = check_pair(s->key_pem, s->key_file, "key", err);
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

static int check_proxy(const struct set_proxy *p, struct err *err)
{
    if (p->from_environment && (is_set(p->url) || is_set(p->no_proxy)))
        return err_set(
            err, ERR_INVAL,
            "if proxy_from_environment is configured, neither proxy_url nor no_proxy "
            "may be");
    if (is_set(p->no_proxy) && !is_set(p->url))
        return err_set(err, ERR_INVAL, "if no_proxy is configured, proxy_url must be too");
    if (p->connect_headers.count > 0 && !is_set(p->url) && !p->from_environment)
        return err_set(err, ERR_INVAL,
                       "if proxy_connect_header is configured, proxy_url or "
                       "proxy_from_environment must be too");
    return 0;
}

static int check_oauth2(const struct set_oauth2 *o, struct err *err)
{
    if (!is_set(o->client_id))
        return err_set(err, ERR_INVAL, "oauth2 client_id must be configured");
    if (!is_set(o->token_url))
        return err_set(err, ERR_INVAL, "oauth2 token_url must be configured");
    if (is_set(o->client_secret) == is_set(o->client_secret_file))
        return err_set(err, ERR_INVAL,
                       "exactly one of oauth2 client_secret and client_secret_file must be "
                       "configured");
    int rc = check_proxy(&o->proxy, err);
    return rc != 0 ? rc : set_tls_check(&o->tls, err);
}

int set_client_check(const struct set_client *s, struct err *err)
{
    if (is_set(s->bearer_token) && is_set(s->bearer_token_file))
        return err_set(err, ERR_INVAL,
                       "at most one of bearer_token & bearer_token_file must be configured");
    unsigned ways =
        (unsigned)(s->basic_auth.present + s->authorization.present + s->oauth2.present +
                   is_set(s->bearer_token) + is_set(s->bearer_token_file));
    if (ways > 1)
        return err_set(err, ERR_INVAL,
                       "at most one of basic_auth, authorization, oauth2, bearer_token & "
                       "bearer_token_file must be configured");
    if (s->basic_auth.present && is_set(s->basic_auth.password) &&
        is_set(s->basic_auth.password_file))
        return err_set(err, ERR_INVAL,
                       "at most one of basic_auth password & password_file must be configured");
    if (s->authorization.present) {
        if (str_eq_nocase(str_trim(s->authorization.type), STR("basic")))
            return err_set(err, ERR_INVAL,
                           "authorization type cannot be set to \"basic\", use \"basic_auth\" "
                           "instead");
        if (is_set(s->authorization.credentials) && is_set(s->authorization.credentials_file))
            return err_set(
                err, ERR_INVAL,
                "at most one of authorization credentials & credentials_file must be "
                "configured");
    }
    int rc = s->oauth2.present ? check_oauth2(&s->oauth2, err) : 0;
    if (rc == 0)
        rc = check_proxy(&s->proxy, err);
    return rc != 0 ? rc : set_tls_check(&s->tls, err);
}

int set_endpoint_check(const struct set_endpoint *s, struct err *err)
{
    if (!is_set(s->url))
        return err_set(err, ERR_INVAL, "missing required attribute \"url\"");
    if (s->url.len > FILE_TEXT_MAX)
        return err_set(err, ERR_INVAL, "url is too long");
    if (s->remote_timeout_ms == 0)
        return err_set(err, ERR_INVAL, "remote_timeout must be positive");
    return set_client_check(&s->client, err);
}

int set_queue_check(const struct set_queue *s, struct err *err)
{
    if (s->enabled && s->max_bytes == 0)
        return err_set(err, ERR_INVAL, "queue: max_bytes must be positive");
    if (s->enabled && s->max_age_ms == 0)
        return err_set(err, ERR_INVAL, "queue: max_age must be positive");
    return s->dir.len > FILE_TEXT_MAX ? err_set(err, ERR_INVAL, "queue: dir is too long") : 0;
}

int set_write_check(const struct set_write *s, struct err *err)
{
    for (size_t i = 0; i < s->endpoint_count; i++) {
        int rc = set_endpoint_check(&s->endpoints[i], err);
        if (rc != 0)
            return rc;
    }
    return set_queue_check(&s->queue, err);
}

int set_relabel_check(const struct set_relabel *s, struct err *err)
{
    struct relabel_rules *rules = NULL;
    if (s->max_cache_size == 0)
        return err_set(err, ERR_INVAL, "max_cache_size must be greater than 0 and is %u",
                       s->max_cache_size);
    int rc = relabel_rules_init(&rules, s->rules, s->rule_count, err);
    relabel_rules_free(&rules);
    return rc;
}
