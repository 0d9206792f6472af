/* receive-proxy/receive_http.c - tables with the defaults of the code where the documentation says
 * otherwise (conn_limit), and what is wrong in a block. */
#include "receive_http.h"

#include "conf/value.h"
#include "net/addr.h"
#include "net/http_server.h"
#include "settings.h"

enum {
    PORT_MAX = 65535,
    CONN_LIMIT_MAX = 1000000,
    DAY_MS = 24 * 3600 * 1000,
    HEADER_LEAST = 2048,
    HEADER_MOST = 1 << 20,
    BODY_LEAST = 1024,
};

#define TEXT(S, f, n)    ALLOY_STR_ROW(S, f, n, 0, NULL)
#define FLAG(S, f, n, d) ALLOY_BOOL_ROW(S, f, n, 0, d)
#define MS(S, f, n, d)   ALLOY_MS_ROW(S, f, n, 0, d)
#define I64(S, f, n, d)  ALLOY_I64_ROW(S, f, n, 0, d)

/* --- tables ------------------------------------------------------------------------------ */

static int validate_tls(const void *at, struct err *err)
{
    return set_server_tls_check(at, err);
}

static int validate_server(const void *at, struct err *err)
{
    return set_receive_server_check(at, err);
}

static const struct alloy_row tls_rows[] = {
    ALLOY_GIVEN_ROW(set_server_tls, given),
    TEXT(set_server_tls, cert_pem, "cert_pem"),
    TEXT(set_server_tls, cert_file, "cert_file"),
    ALLOY_SECRET_ROW(set_server_tls, key_pem, "key_pem", 0, NULL),
    TEXT(set_server_tls, key_file, "key_file"),
    TEXT(set_server_tls, client_ca, "client_ca"),
    TEXT(set_server_tls, client_ca_pem, "client_ca_pem"),
    TEXT(set_server_tls, client_ca_file, "client_ca_file"),
    TEXT(set_server_tls, client_auth_type, "client_auth_type"),
    TEXT(set_server_tls, cipher_suites, "cipher_suites"),
    TEXT(set_server_tls, min_version, "min_version"),
    ALLOY_ROWS_END,
};
static const struct alloy_schema tls_schema =
    ALLOY_SCHEMA(set_server_tls, tls_rows, validate_tls);

static const struct alloy_row http2_rows[] = {
    FLAG(set_http2, enabled, "enabled", "false"),
    I64(set_http2, max_concurrent_streams, "max_concurrent_streams", "100"),
    I64(set_http2, max_read_frame_size, "max_read_frame_size", "0"),
    MS(set_http2, ping_timeout_ms, "ping_timeout", "15s"),
    ALLOY_ROWS_END,
};
static const struct alloy_schema http2_schema = ALLOY_SCHEMA(set_http2, http2_rows, NULL);

#define TLS_ROWS(S)                                                                            \
    ALLOY_BLOCK_ROW(S, tls, set_server_tls, "tls", 0, &tls_schema),                            \
        ALLOY_BLOCK_ROW(S, tls_config, set_server_tls, "tls_config", 0, &tls_schema)

#define SERVER_ROWS(overload_)                                                                 \
    TEXT(set_receive_server, listen_address, "listen_address"),                                \
        I64(set_receive_server, listen_port, "listen_port", "8080"),                           \
        I64(set_receive_server, conn_limit, "conn_limit", "16384"),                            \
        MS(set_receive_server, server_read_timeout_ms, "server_read_timeout", "30s"),          \
        MS(set_receive_server, server_write_timeout_ms, "server_write_timeout", "30s"),        \
        MS(set_receive_server, server_idle_timeout_ms, "server_idle_timeout", "2m"),           \
        TLS_ROWS(set_receive_server),                                                          \
        ALLOY_BLOCK_ROW(set_receive_server, http2, set_http2, "http2", 0, &http2_schema),      \
        ALLOY_STR_ROW(set_receive_server, overload, "overload", 0, overload_),                 \
        ALLOY_STR_ROW(set_receive_server, max_body_size, "max_body_size", 0, "64MiB"),         \
        ALLOY_STR_ROW(set_receive_server, max_header_size, "max_header_size", 0, "8KiB"),      \
        ALLOY_ROWS_END
static const struct alloy_row server_rows[] = {SERVER_ROWS("reject")};
static const struct alloy_row alloy_server_rows[] = {SERVER_ROWS("wait")};
static const struct alloy_schema server_schema =
    ALLOY_SCHEMA(set_receive_server, server_rows, validate_server);
static const struct alloy_schema alloy_server_schema =
    ALLOY_SCHEMA(set_receive_server, alloy_server_rows, validate_server);

static const struct alloy_row grpc_rows[] = {
    TEXT(set_receive_grpc, listen_address, "listen_address"),
    I64(set_receive_grpc, listen_port, "listen_port", "0"),
    I64(set_receive_grpc, conn_limit, "conn_limit", "0"),
    MS(set_receive_grpc, max_connection_age_ms, "max_connection_age", "0s"),
    MS(set_receive_grpc, max_connection_age_grace_ms, "max_connection_age_grace", "0s"),
    MS(set_receive_grpc, max_connection_idle_ms, "max_connection_idle", "0s"),
    I64(set_receive_grpc, max_recv_msg, "server_max_recv_msg_size", "4194304"),
    I64(set_receive_grpc, max_send_msg, "server_max_send_msg_size", "4194304"),
    I64(set_receive_grpc, max_concurrent_streams, "server_max_concurrent_streams", "100"),
    TLS_ROWS(set_receive_grpc),
    ALLOY_ROWS_END,
};
static const struct alloy_schema grpc_schema = ALLOY_SCHEMA(set_receive_grpc, grpc_rows, NULL);

#define RECEIVE_ROWS(better, server_schema_)                                                   \
    ALLOY_CAPSULES_ROW(set_receive, forward_to, "forward_to", ALLOY_REQUIRED, SET_RECEIVER),   \
        MS(set_receive, debug_info_upload_timeout_ms, "debug_info_upload_timeout", "2m"),      \
        MS(set_receive, graceful_shutdown_timeout_ms, "graceful_shutdown_timeout", "30s"),     \
        ALLOY_BLOCK_ROW(set_receive, http, set_receive_server, "http", 0, server_schema_),     \
        ALLOY_BLOCK_ROW(set_receive, grpc, set_receive_grpc, "grpc", 0, &grpc_schema),         \
        FLAG(set_receive, status_passthrough, "status_passthrough", better),                   \
        FLAG(set_receive, forward_headers, "forward_headers", better), ALLOY_ROWS_END
static const struct alloy_row receive_rows[] = {RECEIVE_ROWS("true", &server_schema)};
static const struct alloy_row alloy_receive_rows[] = {
    RECEIVE_ROWS("false", &alloy_server_schema)};

static int validate_receive(const void *at, struct err *err)
{
    const struct set_receive *s = at;
    return s->graceful_shutdown_timeout_ms < 0 || s->graceful_shutdown_timeout_ms > DAY_MS
               ? err_set(err, ERR_INVAL, "graceful_shutdown_timeout must be 0s to 24h")
               : 0;
}

static const struct alloy_schema receive_schema =
    ALLOY_SCHEMA(set_receive, receive_rows, validate_receive);
static const struct alloy_schema alloy_receive_schema =
    ALLOY_SCHEMA(set_receive, alloy_receive_rows, validate_receive);

const struct alloy_schema *set_receive_schema(bool alloy)
{
    return alloy ? &alloy_receive_schema : &receive_schema;
}

bool set_receive_same_server(const struct set_receive *a, const struct set_receive *b)
{
    return alloy_schema_equal(&server_schema, &a->http, &b->http); /* defaults do not matter */
}

/* --- reading ----------------------------------------------------------------------------- */

const struct set_server_tls *set_receive_tls(const struct set_receive_server *s)
{
    return s->tls.given ? &s->tls : s->tls_config.given ? &s->tls_config : NULL;
}

uint64_t set_receive_body_max(const struct set_receive_server *s)
{
    uint64_t bytes = 0;
    (void)conf_parse_size(s->max_body_size, &bytes);
    return bytes;
}

uint64_t set_receive_header_max(const struct set_receive_server *s)
{
    uint64_t bytes = 0;
    (void)conf_parse_size(s->max_header_size, &bytes);
    return bytes;
}

/* --- checks ------------------------------------------------------------------------------ */

static bool is_set(struct str s)
{
    return s.len > 0;
}

static bool is_one_of(struct str s, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(s, str_c(names[i])))
            return true;
    return false;
}

static int check_client_auth(const struct set_server_tls *s, struct err *err)
{
    static const char *const none[] = {"", "NoClientCert"};
    static const char *const asking[] = {"RequestClientCert", "RequireAnyClientCert",
                                         "RequireClientCert"};
    static const char *const verifying[] = {"VerifyClientCertIfGiven",
                                            "RequireAndVerifyClientCert"};
    bool ca = is_set(s->client_ca) || is_set(s->client_ca_pem) || is_set(s->client_ca_file);
    struct str type = s->client_auth_type;
    if (is_one_of(type, none, 2))
        return !ca ? 0
                   : err_set(err, ERR_INVAL,
                             "a client CA is configured without a client_auth_type that asks "
                             "for certificates");
    if (is_one_of(type, asking, 3))
        return 0;
    if (!is_one_of(type, verifying, 2))
        return err_set(err, ERR_INVAL, "invalid ClientAuth: %.*s",
                       STR_ARG(str_head(type, 100)));
    return ca ? 0
              : err_set(err, ERR_INVAL,
                        "client_auth_type %.*s needs client_ca_pem or client_ca_file",
                        STR_ARG(type));
}

int set_server_tls_check(const struct set_server_tls *s, struct err *err)
{
    static const char *const versions[] = {"",
                                           "VersionTLS10",
                                           "VersionTLS11",
                                           "VersionTLS12",
                                           "VersionTLS13",
                                           "TLS10",
                                           "TLS11",
                                           "TLS12",
                                           "TLS13"};
    bool cert = is_set(s->cert_pem) || is_set(s->cert_file);
    bool key = is_set(s->key_pem) || is_set(s->key_file);
    if (!s->given)
        return 0;
    int rc = set_pair_check(s->cert_pem, s->cert_file, "cert", err);
    if (rc == 0)
        rc = set_pair_check(s->key_pem, s->key_file, "key", err);
    if (rc == 0 && is_set(s->client_ca) && is_set(s->client_ca_pem))
        rc = err_set(err, ERR_INVAL, "client_ca and client_ca_pem are two names of one argument");
    if (rc == 0)
        rc = set_pair_check(is_set(s->client_ca) ? s->client_ca : s->client_ca_pem,
                            s->client_ca_file, "client_ca", err);
    if (rc != 0)
        return rc;
    if (!cert || !key)
        return err_set(err, ERR_INVAL, "a tls block needs a certificate and a key: %s is missing",
                       cert  ? "the key (key_pem or key_file)"
                       : key ? "the certificate (cert_pem or cert_file)"
                             : "each of them");
    if (!is_one_of(s->min_version, versions, sizeof versions / sizeof *versions))
        return err_set(err, ERR_INVAL, "unknown TLS version: %.*s",
                       STR_ARG(str_head(s->min_version, 100)));
    return check_client_auth(s, err);
}

static int check_size(struct str text, const char *name, uint64_t least, uint64_t most,
                      struct err *err)
{
    uint64_t bytes;
    if (conf_parse_size(text, &bytes) != 0 || bytes < least || bytes > most)
        return err_set(err, ERR_INVAL, "%s must be a size from %llu bytes to %llu MiB", name,
                       (unsigned long long)least, (unsigned long long)(most >> 20));
    return 0;
}

static int check_timeout(int64_t ms, const char *name, struct err *err)
{
    return ms > 0 && ms <= DAY_MS
               ? 0
               : err_set(err, ERR_INVAL, "%s must be more than 0s and at most 24h", name);
}

int set_receive_server_check(const struct set_receive_server *s, struct err *err)
{
    struct addr a;
    if (s->listen_port < 0 || s->listen_port > PORT_MAX)
        return err_set(err, ERR_INVAL, "listen_port %lld is not in 0 to %d",
                       (long long)s->listen_port, (int)PORT_MAX);
    if (is_set(s->listen_address) && !str_eq(s->listen_address, STR("localhost")) &&
        addr_parse_ip(&a, s->listen_address, 0) != 0)
        return err_set(err, ERR_INVAL, "listen_address \"%.*s\" is not an IP address",
                       STR_ARG(str_head(s->listen_address, 100)));
    if (s->conn_limit > CONN_LIMIT_MAX)
        return err_set(err, ERR_INVAL, "conn_limit must be at most %d", (int)CONN_LIMIT_MAX);
    if (!str_eq(s->overload, STR("reject")) && !str_eq(s->overload, STR("wait")))
        return err_set(err, ERR_INVAL, "overload must be \"reject\" or \"wait\"");
    if (s->tls.given && s->tls_config.given)
        return err_set(err, ERR_INVAL, "tls and tls_config are two names of one block");
    int rc = check_timeout(s->server_read_timeout_ms, "server_read_timeout", err);
    if (rc == 0)
        rc = check_timeout(s->server_write_timeout_ms, "server_write_timeout", err);
    if (rc == 0)
        rc = check_timeout(s->server_idle_timeout_ms, "server_idle_timeout", err);
    if (rc == 0)
        rc = check_size(s->max_body_size, "max_body_size", BODY_LEAST, (uint64_t)2047 << 20, err);
    return rc != 0 ? rc
                   : check_size(s->max_header_size, "max_header_size", HEADER_LEAST, HEADER_MOST,
                                err);
}
