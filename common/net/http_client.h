/* net/http_client.h - HTTP calls out of a loop, with deadlines, limits and kept connections.
 *
 * One client belongs to one loop and its thread. A call may reach the server twice when a kept
 * connection dies at the wrong moment: what is sent must be idempotent.
 * Plain calls are made by connections of ours, all others by libcurl. Names of plain URLs come from
 * the hosts file and DNS, and are remembered for a minute. Content-Length and Transfer-Encoding are
 * the client's own: a caller's are not sent.
 * Driver over libuv and libcurl. Tests: tests/unit/net/test_http_client_uv.c, test_http_way.c. */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "net/addr.h"
#include "net/http.h"
#include "net/loop.h"

struct http_client;
struct http_call;

/* All-zero fields mean the values in brackets. */
struct http_client_config {
    unsigned connections_per_host; /* more calls wait for one [64] */
    unsigned idle_max;             /* kept open in all [128] */
    uint32_t idle_ms;              /* kept open without a call [90 s] */
    uint32_t connect_ms;           /* [2 s] */
    const char *user_agent;        /* static ["emberring"] */
    const char *ca_file;           /* PEM; NULL: the system's */
};

/* The way to a server, where it is not the plain one: TLS of its own, a proxy, redirects, an
 * address found by other means. All-zero is the plain one. Everything is borrowed until the
 * callback or the cancel; connections are shared only between calls whose roots and certificates
 * are equal byte for byte, so that a renewed certificate is used by the next call. */
struct http_way {
    struct str ca_pem;            /* roots that are trusted; "": the system's */
    struct str cert_pem, key_pem; /* ours, or both "" */
    const char *server_name;      /* for SNI and its certificate; NULL: the URL's host */
    bool insecure_skip_verify;
    uint8_t tls_min;          /* 10, 11, 12, 13 for TLS 1.0 to 1.3; 0: 1.2 */
    /* Redirects that are followed; 0: a redirect is the answer. One that makes a GET of a POST
     * ends the call with ERR_IO, as does one that leads from https to http. Authorization goes to
     * no other host. */
    uint8_t redirects_max;
    const char *proxy;        /* URL; NULL: none */
    const char *no_proxy;     /* comma list of hosts; NULL: none */
    const struct http_field *proxy_headers; /* for its CONNECT */
    size_t proxy_header_count;
    const struct addr *connect_to; /* where to connect, whatever the URL's host says; NULL */
};

/* How a call ended. Everything is valid during the callback. */
struct http_result {
    int code;         /* 0: there is an answer, of any status; else ERR_TIMEOUT, ERR_REFUSED (nobody
                         listens), ERR_LIMIT (answer too large), ERR_CLOSED (cut), ERR_NOMEM,
                         ERR_CANCELED (the client ends), ERR_IO (all else) */
    unsigned status;
    const struct http_field *headers;
    size_t header_count;
    struct str body;
    int retry_after_s; /* of Retry-After; -1: none */
    const char *message; /* what went wrong, for code != 0; else "" */
};
typedef void (*http_result_fn)(void *arg, const struct http_result *result);

/* What to ask. All is borrowed for the call of http_call_start(), but `body`: until the callback or
 * the cancel. */
struct http_ask {
    enum http_method method; /* GET, HEAD, POST, PUT, DELETE */
    const char *url;         /* http:// or https:// */
    const struct http_field *headers;
    size_t header_count;
    struct str body;
    mono_ms deadline;      /* absolute; MONO_NEVER: none */
    size_t response_max;   /* bytes of body [64 MiB] */
    const struct http_way *way; /* NULL: the plain one; until the callback or the cancel */
    http_result_fn done;   /* on the loop's thread, once, never from inside http_call_start() */
    void *arg;
};

/* Make a client on a loop (not running, or ours). ERR_NOMEM, ERR_IO. */
int http_client_init(struct http_client **out, struct loop *l,
                     const struct http_client_config *config, struct err *err);

/* Start a call. *out (may be NULL) is good for http_call_cancel() until `done` is entered.
 * ERR_NOMEM, ERR_INVAL (URL, method, header), ERR_TIMEOUT (the deadline is over), ERR_CLOSED (the
 * client ends), ERR_IO (libcurl could not be set up): done is not called. */
int http_call_start(struct http_client *c, const struct http_ask *ask, struct http_call **out,
                    struct err *err);

/* Give the call up; `done` is not called. Allowed in any callback of the loop. */
void http_call_cancel(struct http_call *call);

/* Calls that have not ended. */
unsigned http_client_inflight(const struct http_client *c);

/* Release; calls that are under way end with ERR_CANCELED first. Loop's thread, or when nobody
 * runs it. NULL-safe; leaves *c NULL. */
void http_client_free(struct http_client **c);

#endif
