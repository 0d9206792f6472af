/* receive-proxy/settings.h - what a configuration says about pyroscope.write, pyroscope.relabel and
 * the queue: plain structs that a table fills, their defaults, and what is wrong with them.
 *
 * Value types. Strings and arrays belong to whoever filled them (an arena of the configuration) and
 * live as long as what is made from them is being made: write_init() and relabel_init() copy. The
 * *_defaults() functions fill every field; a table then overwrites those that were given; the
 * *_check() functions judge the whole. Names in brackets are those of the configuration where they
 * differ from the field's.
 *
 * Pure; any thread. Tests: tests/unit/receive-proxy/test_settings.c. */
#ifndef RECEIVE_PROXY_SETTINGS_H
#define RECEIVE_PROXY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* An entry of a map(string). A map(list(secret)) has one entry a value. */
struct set_pair {
    struct str name, value;
};

struct set_pairs {
    const struct set_pair *items;
    size_t count;
};

struct set_list {
    const struct str *items;
    size_t count;
};

/* Block tls_config. */
struct set_tls {
    struct str ca_pem, ca_file, cert_pem, cert_file, key_pem, key_file;
    struct str server_name;
    bool insecure_skip_verify;
    struct str min_version; /* "", "TLS10" .. "TLS13"; "" is TLS 1.2 */
};

/* How another host is reached; of an endpoint, and of oauth2. */
struct set_proxy {
    struct str url;        /* [proxy_url] */
    struct str no_proxy;   /* comma list */
    bool from_environment; /* [proxy_from_environment] */
    struct set_pairs connect_headers; /* [proxy_connect_header] */
};

/* Block oauth2; absent while token_url and client_id are both "". */
struct set_oauth2 {
    bool present;
    struct str client_id, client_secret, client_secret_file, token_url;
    struct set_list scopes;
    struct set_pairs endpoint_params;
    struct set_proxy proxy;
    struct set_tls tls; /* [tls_config] */
};

/* The arguments of the HTTP client. At most one of the five ways to authenticate. */
struct set_client {
    struct str bearer_token, bearer_token_file;
    struct {
        bool present;
        struct str username, password, password_file;
    } basic_auth;
    struct {
        bool present;
        struct str type; /* "Bearer" */
        struct str credentials, credentials_file;
    } authorization;
    struct set_oauth2 oauth2;
    struct set_tls tls; /* [tls_config] */
    bool follow_redirects;
    bool enable_http2; /* taken; requests go by HTTP/1.1, which every server of these speaks */
    struct set_pairs http_headers;
    struct set_proxy proxy;
};

/* Block endpoint. */
struct set_endpoint {
    struct str name;
    struct str url; /* http[s]://host[:port][/prefix]; host may be dns+NAME, dnssrv+NAME, dnssrvnoa+NAME
                       or, alone, "ring" */
    uint32_t remote_timeout_ms;            /* [remote_timeout] of one attempt */
    uint32_t debug_info_upload_timeout_ms; /* [debug_info_upload_timeout] taken and unused */
    struct set_pairs headers;
    uint32_t min_backoff_ms, max_backoff_ms; /* [min_backoff_period, max_backoff_period] */
    uint32_t max_backoff_retries;            /* attempts in all; 0: no end */
    bool retry_on_http_429;
    struct set_client client; /* its fields stand in the endpoint block itself */
};

/* Block queue of pyroscope.write. */
struct set_queue {
    bool enabled;       /* [enabled] */
    struct str dir;     /* "": in memory */
    uint64_t max_bytes; /* of what waits, for all endpoints of the component */
    uint64_t max_age_ms; /* [max_age] */
};

/* Where we are better than the peer, each by its own setting. set_better() and set_alloy() are the
 * two columns of the table in docs. */
struct set_better {
    bool status_passthrough; /* a receiver's 400 is a 400; one that fails does not fail the others */
    bool forward_headers;    /* tenant and content encoding go on; Retry-After is honoured and told */
    bool deadline_budget;    /* an attempt leaves time for another one */
};

/* pyroscope.write */
struct set_write {
    const struct set_endpoint *endpoints;
    size_t endpoint_count; /* 0: takes everything and sends nothing */
    struct set_pairs external_labels;
    bool jaeger_propagator, trace_context_propagator; /* of block tracing; taken and unused */
    struct set_queue queue;
    struct set_better better;
};

/* Block rule of pyroscope.relabel. */
struct set_rule {
    struct set_list source_labels;
    struct str separator, regex, replacement, target_label, action;
    uint64_t modulus;
};

/* pyroscope.relabel, without forward_to. */
struct set_relabel {
    uint32_t max_cache_size;
    const struct set_rule *rules;
    size_t rule_count;
};

/* Defaults of the documentation; `alloy` (-compat=alloy) switches back what is better. */
void set_better_defaults(struct set_better *out, bool alloy);
void set_queue_defaults(struct set_queue *out, bool alloy);
void set_client_defaults(struct set_client *out);
void set_endpoint_defaults(struct set_endpoint *out);
void set_write_defaults(struct set_write *out, bool alloy);
void set_rule_defaults(struct set_rule *out);
void set_relabel_defaults(struct set_relabel *out);

/* What is wrong in one block, in the peer's words where it has some. ERR_INVAL. */
int set_tls_check(const struct set_tls *s, struct err *err);
int set_client_check(const struct set_client *s, struct err *err);
int set_endpoint_check(const struct set_endpoint *s, struct err *err);
int set_queue_check(const struct set_queue *s, struct err *err);
int set_write_check(const struct set_write *s, struct err *err);
int set_relabel_check(const struct set_relabel *s, struct err *err);

#endif
