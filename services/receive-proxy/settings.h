/* receive-proxy/settings.h - the arguments of pyroscope.write and pyroscope.relabel: plain
 * structs, the tables that fill them from a configuration, their defaults, and what is wrong
 * with them.
 *
 * Value types. Strings and arrays are the configuration's; write_init() and relabel_init() copy
 * what they keep. Durations are in milliseconds.
 *
 * Pure; any thread. Tests: tests/unit/receive-proxy/test_settings.c. */
#ifndef RECEIVE_PROXY_SETTINGS_H
#define RECEIVE_PROXY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/schema.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Block tls_config. */
struct set_tls {
    struct str ca_pem, ca_file, cert_pem, cert_file, key_pem, key_file;
    struct str server_name;
    bool insecure_skip_verify;
    struct str min_version; /* "", TLS10 .. TLS13; "" is TLS 1.2 */
};

/* How another host is reached; its fields stand in the block that has it. */
struct set_proxy {
    struct str url;                        /* proxy_url */
    struct str no_proxy;                   /* comma list */
    bool from_environment;                 /* proxy_from_environment */
    struct alloy_map_strs connect_headers; /* proxy_connect_header */
};

/* Block basic_auth. */
struct set_basic_auth {
    bool given;
    struct str username, password, password_file;
};

/* Block authorization. */
struct set_authorization {
    bool given;
    struct str type, credentials, credentials_file;
};

/* Block oauth2. */
struct set_oauth2 {
    bool given;
    struct str client_id, client_secret, client_secret_file, token_url;
    struct alloy_strs scopes;
    struct alloy_map endpoint_params;
    struct set_proxy proxy;
    struct set_tls tls;
};

/* Block endpoint. */
struct set_endpoint {
    /* http[s]://host[:port][/prefix]; host may be dns+NAME, dnssrv+NAME, dnssrvnoa+NAME or,
     * without a port, "ring". */
    struct str url;
    struct str name;
    int64_t remote_timeout_ms;            /* of one attempt */
    int64_t debug_info_upload_timeout_ms; /* taken and unused */
    struct alloy_map headers;
    int64_t min_backoff_ms, max_backoff_ms; /* min_backoff_period, max_backoff_period */
    int64_t max_backoff_retries;            /* attempts in all; 0: no end */
    bool retry_on_http_429;
    /* At most one of the five ways to authenticate. */
    struct str bearer_token, bearer_token_file;
    struct set_basic_auth basic_auth;
    struct set_authorization authorization;
    struct set_oauth2 oauth2;
    struct set_tls tls; /* tls_config */
    bool follow_redirects;
    bool enable_http2; /* taken; requests go by HTTP/1.1, which every receiver speaks */
    struct alloy_map_strs http_headers; /* secrets */
    struct set_proxy proxy;
};

/* Block queue of pyroscope.write. */
struct set_queue {
    bool enabled;
    struct str dir; /* "": in memory */
    struct str
        max_bytes; /* of what waits for all endpoints of the component: as conf_parse_size() */
    int64_t max_age_ms;
};

/* Block tracing; taken and unused: no trace is begun here. */
struct set_tracing {
    bool jaeger_propagator, trace_context_propagator;
};

/* pyroscope.write */
struct set_write {
    struct alloy_blocks
        endpoints; /* of struct set_endpoint; none: takes all and sends nothing */
    struct alloy_map external_labels;
    struct set_tracing tracing;
    struct set_queue queue;
    /* Where we are better than Alloy, each by its own setting. */
    bool status_passthrough; /* a refusal is told apart from a failure: it is not sent again */
    bool forward_headers;    /* tenant and content encoding go on; Retry-After is honoured */
    bool deadline_budget;    /* an attempt leaves time for another one before the deadline */
};

/* Block rule of pyroscope.relabel. */
struct set_rule {
    struct alloy_strs source_labels;
    struct str separator, regex, replacement, target_label, action;
    int64_t modulus;
};

/* pyroscope.relabel */
struct set_relabel {
    struct alloy_capsules forward_to; /* whoever builds the graph makes a flow_list of it */
    int64_t max_cache_size;
    struct alloy_blocks rules; /* of struct set_rule */
};

/* Type of the capsules in forward_to. */
#define SET_RECEIVER "pyroscope.Appendable"

/* The tables; `alloy` (-compat=alloy) has the peer's defaults where ours are better: the three
 * of set_write, and no queue. Their validate functions are the checks below. */
const struct alloy_schema *set_write_schema(bool alloy);
extern const struct alloy_schema set_relabel_schema;

/* Append a URL as it may be shown, in logs, metrics and answers: a password in it is xxxxx. */
void set_put_url(struct str url, struct buf *out);

/* What is wrong in one block, in the peer's words where it has some. ERR_INVAL. */
int set_tls_check(const struct set_tls *s, struct err *err);
/* NAME_pem and NAME_file: not both. */
int set_pair_check(struct str pem, struct str file, const char *name, struct err *err);
int set_endpoint_check(const struct set_endpoint *s, struct err *err);
int set_queue_check(const struct set_queue *s, struct err *err);
int set_write_check(const struct set_write *s, struct err *err);
int set_relabel_check(const struct set_relabel *s, struct err *err);

#endif
