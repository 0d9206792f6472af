/* tests/unit/alloy/example.h - component tables as a service writes them, for tests and
 * fuzzing: the arguments of the components that Alloy's documentation describes, with their
 * defaults. */
#ifndef TESTS_ALLOY_EXAMPLE_H
#define TESTS_ALLOY_EXAMPLE_H

#include "alloy/graph.h"

#define APPENDABLE "pyroscope.Appendable"

/* --- TLS and HTTP clients ----------------------------------------------------------------- */

struct ex_tls {
    bool given;
    struct str ca_pem, ca_file, cert_pem, cert_file, key_pem, key_file, server_name,
        min_version;
    bool insecure_skip_verify;
};

static const struct alloy_row ex_tls_rows[] = {
    ALLOY_GIVEN_ROW(ex_tls, given),
    ALLOY_STR_ROW(ex_tls, ca_pem, "ca_pem", 0, NULL),
    ALLOY_STR_ROW(ex_tls, ca_file, "ca_file", 0, NULL),
    ALLOY_STR_ROW(ex_tls, cert_pem, "cert_pem", 0, NULL),
    ALLOY_STR_ROW(ex_tls, cert_file, "cert_file", 0, NULL),
    ALLOY_SECRET_ROW(ex_tls, key_pem, "key_pem", 0, NULL),
    ALLOY_STR_ROW(ex_tls, key_file, "key_file", 0, NULL),
    ALLOY_STR_ROW(ex_tls, server_name, "server_name", 0, NULL),
    ALLOY_STR_ROW(ex_tls, min_version, "min_version", 0, NULL),
    ALLOY_BOOL_ROW(ex_tls, insecure_skip_verify, "insecure_skip_verify", 0, NULL),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_tls_schema = ALLOY_SCHEMA(ex_tls, ex_tls_rows, NULL);

struct ex_basic {
    bool given;
    struct str username, password, password_file;
};

static const struct alloy_row ex_basic_rows[] = {
    ALLOY_GIVEN_ROW(ex_basic, given),
    ALLOY_STR_ROW(ex_basic, username, "username", 0, NULL),
    ALLOY_SECRET_ROW(ex_basic, password, "password", 0, NULL),
    ALLOY_STR_ROW(ex_basic, password_file, "password_file", 0, NULL),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_basic_schema = ALLOY_SCHEMA(ex_basic, ex_basic_rows, NULL);

struct ex_authorization {
    bool given;
    struct str type, credentials, credentials_file;
};

static const struct alloy_row ex_authorization_rows[] = {
    ALLOY_GIVEN_ROW(ex_authorization, given),
    ALLOY_STR_ROW(ex_authorization, type, "type", 0, "Bearer"),
    ALLOY_SECRET_ROW(ex_authorization, credentials, "credentials", 0, NULL),
    ALLOY_STR_ROW(ex_authorization, credentials_file, "credentials_file", 0, NULL),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_authorization_schema =
    ALLOY_SCHEMA(ex_authorization, ex_authorization_rows, NULL);

struct ex_oauth2 {
    bool given;
    struct str client_id, client_secret, client_secret_file, token_url, proxy_url, no_proxy;
    struct alloy_strs scopes;
    struct alloy_map endpoint_params;
    struct alloy_map_strs proxy_connect_header;
    bool proxy_from_environment;
    struct ex_tls tls;
};

static const struct alloy_row ex_oauth2_rows[] = {
    ALLOY_GIVEN_ROW(ex_oauth2, given),
    ALLOY_STR_ROW(ex_oauth2, client_id, "client_id", 0, NULL),
    ALLOY_SECRET_ROW(ex_oauth2, client_secret, "client_secret", 0, NULL),
    ALLOY_STR_ROW(ex_oauth2, client_secret_file, "client_secret_file", 0, NULL),
    ALLOY_STR_ROW(ex_oauth2, token_url, "token_url", 0, NULL),
    ALLOY_STR_ROW(ex_oauth2, proxy_url, "proxy_url", 0, NULL),
    ALLOY_STR_ROW(ex_oauth2, no_proxy, "no_proxy", 0, NULL),
    ALLOY_STRS_ROW(ex_oauth2, scopes, "scopes", 0),
    ALLOY_MAP_ROW(ex_oauth2, endpoint_params, "endpoint_params", 0),
    ALLOY_MAP_SECRETS_ROW(ex_oauth2, proxy_connect_header, "proxy_connect_header", 0),
    ALLOY_BOOL_ROW(ex_oauth2, proxy_from_environment, "proxy_from_environment", 0, NULL),
    ALLOY_BLOCK_ROW(ex_oauth2, tls, ex_tls, "tls_config", 0, &ex_tls_schema),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_oauth2_schema =
    ALLOY_SCHEMA(ex_oauth2, ex_oauth2_rows, NULL);

/* --- pyroscope.write ---------------------------------------------------------------------- */

struct ex_endpoint {
    struct str url, name, bearer_token, bearer_token_file, proxy_url, no_proxy;
    int64_t remote_timeout_ms, debug_info_upload_timeout_ms, min_backoff_ms, max_backoff_ms;
    int64_t max_backoff_retries;
    bool retry_on_http_429, follow_redirects, enable_http2, proxy_from_environment;
    struct alloy_map headers;
    struct alloy_map_strs http_headers, proxy_connect_header;
    struct ex_basic basic_auth;
    struct ex_authorization authorization;
    struct ex_oauth2 oauth2;
    struct ex_tls tls;
};

static int ex_check_endpoint(const void *at, struct err *err)
{
    const struct ex_endpoint *e = at;
    int mechanisms = e->basic_auth.given + e->authorization.given + e->oauth2.given +
                     (e->bearer_token.len > 0) + (e->bearer_token_file.len > 0);
    if (mechanisms > 1)
        return err_set(err, ERR_PARSE,
                       "at most one of basic_auth, authorization, oauth2, "
                       "bearer_token & bearer_token_file must be configured");
    return 0;
}

static const struct alloy_row ex_endpoint_rows[] = {
    ALLOY_STR_ROW(ex_endpoint, url, "url", ALLOY_REQUIRED, NULL),
    ALLOY_STR_ROW(ex_endpoint, name, "name", 0, NULL),
    ALLOY_MS_ROW(ex_endpoint, remote_timeout_ms, "remote_timeout", 0, "10s"),
    ALLOY_MS_ROW(ex_endpoint, debug_info_upload_timeout_ms, "debug_info_upload_timeout", 0,
                 "2m"),
    ALLOY_MAP_ROW(ex_endpoint, headers, "headers", 0),
    ALLOY_MS_ROW(ex_endpoint, min_backoff_ms, "min_backoff_period", 0, "500ms"),
    ALLOY_MS_ROW(ex_endpoint, max_backoff_ms, "max_backoff_period", 0, "5m"),
    ALLOY_I64_ROW(ex_endpoint, max_backoff_retries, "max_backoff_retries", 0, "10"),
    ALLOY_BOOL_ROW(ex_endpoint, retry_on_http_429, "retry_on_http_429", 0, "true"),
    ALLOY_SECRET_ROW(ex_endpoint, bearer_token, "bearer_token", 0, NULL),
    ALLOY_STR_ROW(ex_endpoint, bearer_token_file, "bearer_token_file", 0, NULL),
    ALLOY_BLOCK_ROW(ex_endpoint, basic_auth, ex_basic, "basic_auth", 0, &ex_basic_schema),
    ALLOY_BLOCK_ROW(ex_endpoint, authorization, ex_authorization, "authorization", 0,
                    &ex_authorization_schema),
    ALLOY_BLOCK_ROW(ex_endpoint, oauth2, ex_oauth2, "oauth2", 0, &ex_oauth2_schema),
    ALLOY_BLOCK_ROW(ex_endpoint, tls, ex_tls, "tls_config", 0, &ex_tls_schema),
    ALLOY_BOOL_ROW(ex_endpoint, follow_redirects, "follow_redirects", 0, "true"),
    ALLOY_BOOL_ROW(ex_endpoint, enable_http2, "enable_http2", 0, "true"),
    ALLOY_MAP_SECRETS_ROW(ex_endpoint, http_headers, "http_headers", 0),
    ALLOY_STR_ROW(ex_endpoint, proxy_url, "proxy_url", 0, NULL),
    ALLOY_STR_ROW(ex_endpoint, no_proxy, "no_proxy", 0, NULL),
    ALLOY_BOOL_ROW(ex_endpoint, proxy_from_environment, "proxy_from_environment", 0, NULL),
    ALLOY_MAP_SECRETS_ROW(ex_endpoint, proxy_connect_header, "proxy_connect_header", 0),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_endpoint_schema =
    ALLOY_SCHEMA(ex_endpoint, ex_endpoint_rows, ex_check_endpoint);

struct ex_write {
    struct alloy_map external_labels;
    struct alloy_blocks endpoints; /* struct ex_endpoint */
};

static const struct alloy_row ex_write_rows[] = {
    ALLOY_MAP_ROW(ex_write, external_labels, "external_labels", 0),
    ALLOY_BLOCKS_ROW(ex_write, endpoints, "endpoint", 0, &ex_endpoint_schema),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_write_schema = ALLOY_SCHEMA(ex_write, ex_write_rows, NULL);
static const struct alloy_export ex_receiver[] = {{"receiver", APPENDABLE}, {NULL, NULL}};

/* --- pyroscope.receive_http --------------------------------------------------------------- */

struct ex_server_tls {
    bool given;
    struct str cert_file, key_file, cert_pem, key_pem, client_ca, client_ca_file;
    struct str client_auth_type;
};

static const struct alloy_row ex_server_tls_rows[] = {
    ALLOY_GIVEN_ROW(ex_server_tls, given),
    ALLOY_STR_ROW(ex_server_tls, cert_file, "cert_file", 0, NULL),
    ALLOY_STR_ROW(ex_server_tls, key_file, "key_file", 0, NULL),
    ALLOY_STR_ROW(ex_server_tls, cert_pem, "cert_pem", 0, NULL),
    ALLOY_SECRET_ROW(ex_server_tls, key_pem, "key_pem", 0, NULL),
    ALLOY_STR_ROW(ex_server_tls, client_ca, "client_ca", 0, NULL),
    ALLOY_STR_ROW(ex_server_tls, client_ca, "client_ca_pem", 0, NULL),
    ALLOY_STR_ROW(ex_server_tls, client_ca_file, "client_ca_file", 0, NULL),
    ALLOY_STR_ROW(ex_server_tls, client_auth_type, "client_auth_type", 0, "NoClientCert"),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_server_tls_schema =
    ALLOY_SCHEMA(ex_server_tls, ex_server_tls_rows, NULL);

struct ex_http {
    bool given;
    struct str listen_address;
    int64_t listen_port, conn_limit, read_ms, write_ms, idle_ms;
    struct ex_server_tls tls;
};

static const struct alloy_row ex_http_rows[] = {
    ALLOY_GIVEN_ROW(ex_http, given),
    ALLOY_STR_ROW(ex_http, listen_address, "listen_address", 0, NULL),
    ALLOY_I64_ROW(ex_http, listen_port, "listen_port", 0, "8080"),
    ALLOY_I64_ROW(ex_http, conn_limit, "conn_limit", 0, "16384"),
    ALLOY_MS_ROW(ex_http, read_ms, "server_read_timeout", 0, "30s"),
    ALLOY_MS_ROW(ex_http, write_ms, "server_write_timeout", 0, "30s"),
    ALLOY_MS_ROW(ex_http, idle_ms, "server_idle_timeout", 0, "120s"),
    ALLOY_BLOCK_ROW(ex_http, tls, ex_server_tls, "tls", 0, &ex_server_tls_schema),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_http_schema = ALLOY_SCHEMA(ex_http, ex_http_rows, NULL);

struct ex_receive {
    struct alloy_capsules forward_to;
    int64_t upload_ms, shutdown_ms;
    struct ex_http http;
};

static const struct alloy_row ex_receive_rows[] = {
    ALLOY_CAPSULES_ROW(ex_receive, forward_to, "forward_to", ALLOY_REQUIRED, APPENDABLE),
    ALLOY_MS_ROW(ex_receive, upload_ms, "debug_info_upload_timeout", 0, "2m"),
    ALLOY_MS_ROW(ex_receive, shutdown_ms, "graceful_shutdown_timeout", 0, "30s"),
    ALLOY_BLOCK_ROW(ex_receive, http, ex_http, "http", 0, &ex_http_schema),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_receive_schema =
    ALLOY_SCHEMA(ex_receive, ex_receive_rows, NULL);

/* --- pyroscope.relabel and pyroscope.scrape ----------------------------------------------- */

struct ex_rule {
    struct alloy_strs source_labels;
    struct str separator, regex, target_label, replacement, action;
    int64_t modulus;
};

static const struct alloy_row ex_rule_rows[] = {
    ALLOY_STRS_ROW(ex_rule, source_labels, "source_labels", 0),
    ALLOY_STR_ROW(ex_rule, separator, "separator", 0, ";"),
    ALLOY_STR_ROW(ex_rule, regex, "regex", 0, "(.*)"),
    ALLOY_STR_ROW(ex_rule, target_label, "target_label", 0, NULL),
    ALLOY_STR_ROW(ex_rule, replacement, "replacement", 0, "$1"),
    ALLOY_STR_ROW(ex_rule, action, "action", 0, "replace"),
    ALLOY_I64_ROW(ex_rule, modulus, "modulus", 0, NULL),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_rule_schema = ALLOY_SCHEMA(ex_rule, ex_rule_rows, NULL);

struct ex_relabel {
    struct alloy_capsules forward_to;
    int64_t max_cache_size;
    struct alloy_blocks rules; /* struct ex_rule */
};

static const struct alloy_row ex_relabel_rows[] = {
    ALLOY_CAPSULES_ROW(ex_relabel, forward_to, "forward_to", ALLOY_REQUIRED, APPENDABLE),
    ALLOY_I64_ROW(ex_relabel, max_cache_size, "max_cache_size", 0, "10000"),
    ALLOY_BLOCKS_ROW(ex_relabel, rules, "rule", 0, &ex_rule_schema),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_relabel_schema =
    ALLOY_SCHEMA(ex_relabel, ex_relabel_rows, NULL);
static const struct alloy_export ex_relabel_exports[] = {
    {"receiver", APPENDABLE}, {"rules", "relabel.Rules"}, {NULL, NULL}};

struct ex_profile {
    struct str type;
    bool enabled, delta;
    struct str path;
};

static const struct alloy_row ex_profile_rows[] = {
    ALLOY_BOOL_ROW(ex_profile, enabled, "enabled", 0, "true"),
    ALLOY_STR_ROW(ex_profile, path, "path", 0, "/debug/pprof/allocs"),
    ALLOY_BOOL_ROW(ex_profile, delta, "delta", 0, NULL),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_profile_schema =
    ALLOY_SCHEMA(ex_profile, ex_profile_rows, NULL);
static const struct alloy_row ex_custom_rows[] = {
    ALLOY_LABEL_ROW(ex_profile, type),
    ALLOY_BOOL_ROW(ex_profile, enabled, "enabled", ALLOY_REQUIRED, NULL),
    ALLOY_STR_ROW(ex_profile, path, "path", ALLOY_REQUIRED, NULL),
    ALLOY_BOOL_ROW(ex_profile, delta, "delta", 0, NULL),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_custom_schema =
    ALLOY_SCHEMA(ex_profile, ex_custom_rows, NULL);

struct ex_profiling {
    struct str path_prefix;
    struct ex_profile memory;
    struct alloy_blocks custom;   /* struct ex_profile */
    struct alloy_variants stages; /* stage.one: ex_rule, stage.two: ex_basic */
};

static const struct alloy_choice ex_stages[] = {
    {"stage.one", &ex_rule_schema}, {"stage.two", &ex_basic_schema}, {NULL, NULL}};
static const struct alloy_row ex_profiling_rows[] = {
    ALLOY_STR_ROW(ex_profiling, path_prefix, "path_prefix", 0, NULL),
    ALLOY_BLOCK_ROW(ex_profiling, memory, ex_profile, "profile.memory", 0, &ex_profile_schema),
    ALLOY_BLOCKS_ROW(ex_profiling, custom, "profile.custom", 0, &ex_custom_schema),
    ALLOY_VARIANTS_ROW(ex_profiling, stages, "stage", 0, ex_stages),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_profiling_schema =
    ALLOY_SCHEMA(ex_profiling, ex_profiling_rows, NULL);

struct ex_scrape {
    struct alloy_maps targets;
    struct alloy_capsules forward_to;
    struct alloy_map_strs params;
    const struct alloy_capsule *one;
    struct alloy_value any;
    double ratio;
    struct str old;
    struct ex_profiling profiling;
};

static const struct alloy_row ex_scrape_rows[] = {
    ALLOY_MAPS_ROW(ex_scrape, targets, "targets", ALLOY_REQUIRED),
    ALLOY_CAPSULES_ROW(ex_scrape, forward_to, "forward_to", ALLOY_REQUIRED, APPENDABLE),
    ALLOY_MAP_STRS_ROW(ex_scrape, params, "params", 0),
    ALLOY_CAPSULE_ROW(ex_scrape, one, "one", 0, APPENDABLE),
    ALLOY_VALUE_ROW(ex_scrape, any, "any", 0),
    ALLOY_DOUBLE_ROW(ex_scrape, ratio, "ratio", 0, "0.5"),
    ALLOY_STR_ROW(ex_scrape, old, "old", ALLOY_DEPRECATED, NULL),
    ALLOY_BLOCK_ROW(ex_scrape, profiling, ex_profiling, "profiling_config", 0,
                    &ex_profiling_schema),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_scrape_schema =
    ALLOY_SCHEMA(ex_scrape, ex_scrape_rows, NULL);

/* --- a component whose exports are values ------------------------------------------------- */

struct ex_file {
    struct str filename;
    bool is_secret;
};

static const struct alloy_row ex_file_rows[] = {
    ALLOY_STR_ROW(ex_file, filename, "filename", ALLOY_REQUIRED, NULL),
    ALLOY_BOOL_ROW(ex_file, is_secret, "is_secret", 0, NULL),
    ALLOY_ROWS_END,
};
static const struct alloy_schema ex_file_schema = ALLOY_SCHEMA(ex_file, ex_file_rows, NULL);
static const struct alloy_export ex_file_exports[] = {{"content", NULL}, {NULL, NULL}};

static const struct alloy_component ex_types[] = {
    {"pyroscope.receive_http", &ex_receive_schema, NULL, false},
    {"pyroscope.write", &ex_write_schema, ex_receiver, false},
    {"pyroscope.relabel", &ex_relabel_schema, ex_relabel_exports, false},
    {"pyroscope.scrape", &ex_scrape_schema, NULL, false},
    {"local.file", &ex_file_schema, ex_file_exports, false},
    {"logging", &alloy_logging_schema, NULL, true},
};

static inline const char *ex_env(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "URL") == 0 ? "http://from.env:4040" : NULL;
}

static inline struct alloy_host ex_host(void)
{
    return (struct alloy_host){.types = ex_types,
                               .type_count = sizeof ex_types / sizeof ex_types[0],
                               .env = ex_env,
                               .hostname = "host-1",
                               .version = "v1.0.0"};
}

#endif
