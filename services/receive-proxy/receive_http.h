/* receive-proxy/receive_http.h - the arguments of pyroscope.receive_http: plain structs, the
 * tables that fill them from a configuration, their defaults, and what is wrong with them.
 *
 * Value types. Strings and arrays are the configuration's; receive_init() copies what it keeps.
 * Durations are in milliseconds. Where the documentation of the peer and its code name a thing
 * differently, both names are taken.
 *
 * Pure; any thread. Tests: tests/unit/receive-proxy/test_receive_http.c. */
#ifndef RECEIVE_PROXY_RECEIVE_HTTP_H
#define RECEIVE_PROXY_RECEIVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/schema.h"
#include "base/err.h"
#include "base/str.h"

/* Block tls of http (also: tls_config). */
struct set_server_tls {
    bool given;
    struct str cert_pem, cert_file, key_pem, key_file;
    struct str client_ca, client_ca_pem, client_ca_file; /* the first two are one */
    struct str client_auth_type;                         /* "": NoClientCert */
    struct str cipher_suites;                            /* Go's names, comma-separated */
    struct str min_version; /* "" (TLS 1.2), VersionTLS10 .. VersionTLS13 */
};

/* Block http2 of http; taken, and warned about when it asks for something: HTTP/1.1 is spoken. */
struct set_http2 {
    bool enabled;
    int64_t max_concurrent_streams, max_read_frame_size, ping_timeout_ms;
};

/* Block http. */
struct set_receive_server {
    struct str listen_address; /* IP literal; "": all */
    int64_t listen_port;
    int64_t conn_limit; /* 0 or less: as many as files may be open */
    int64_t server_read_timeout_ms, server_write_timeout_ms, server_idle_timeout_ms;
    struct set_server_tls tls, tls_config; /* one of the two at most */
    struct set_http2 http2;
    struct str overload;        /* reject, wait */
    struct str max_body_size;   /* as conf_parse_size() */
    struct str max_header_size; /* of a request; what each connection costs */
};

/* Block grpc; taken and unused: no gRPC is spoken, and no second port is opened for it. */
struct set_receive_grpc {
    struct str listen_address;
    int64_t listen_port, conn_limit, max_connection_age_ms, max_connection_age_grace_ms,
        max_connection_idle_ms, max_recv_msg, max_send_msg, max_concurrent_streams;
    struct set_server_tls tls, tls_config;
};

/* pyroscope.receive_http */
struct set_receive {
    struct alloy_capsules forward_to; /* whoever builds the graph makes a flow_list of it */
    int64_t debug_info_upload_timeout_ms; /* taken and unused */
    int64_t graceful_shutdown_timeout_ms;
    struct set_receive_server http;
    struct set_receive_grpc grpc;
    /* Where we are better than Alloy, each by its own setting. */
    bool status_passthrough; /* the receiver's own status goes back */
    bool forward_headers;    /* tenant and content encoding go on, Retry-After comes back */
};

/* The tables; `alloy` (-compat=alloy) has the peer's defaults where ours are better. */
const struct alloy_schema *set_receive_schema(bool alloy);

/* Two listeners are the same but for who they forward to and how they answer. */
bool set_receive_same_server(const struct set_receive *a, const struct set_receive *b);

/* The TLS block that is given, or NULL: plain. */
const struct set_server_tls *set_receive_tls(const struct set_receive_server *s);

/* Bytes of a body, and of a request's header. */
uint64_t set_receive_body_max(const struct set_receive_server *s);
uint64_t set_receive_header_max(const struct set_receive_server *s);

/* What is wrong in one block. ERR_INVAL. */
int set_server_tls_check(const struct set_server_tls *s, struct err *err);
int set_receive_server_check(const struct set_receive_server *s, struct err *err);

#endif
