/* rpc/client.h - the calling side of Connect, protobuf only, over a net/http_client.
 *
 * One thread: that of the client's loop. Every call may reach the server twice (see
 * net/http_client.h). Tests: tests/unit/rpc/test_rpc_uv.c. */
#ifndef RPC_CLIENT_H
#define RPC_CLIENT_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "net/http_client.h"
#include "rpc/connect.h"

struct rpc_out; /* a call under way */

/* How a call ended; valid during the callback. */
struct rpc_result {
    enum rpc_code code;   /* RPC_OK: body is the answer */
    struct str body;      /* protobuf, unpacked */
    const char *message;  /* of the error, else "" */
    const struct http_field *headers;
    size_t header_count;
    unsigned status;      /* of HTTP; 0: there was no answer */
    int retry_after_s;    /* -1: none */
};
typedef void (*rpc_result_fn)(void *arg, const struct rpc_result *result);

/* What to call. Borrowed for rpc_start(), but `body`: until the callback or the cancel. */
struct rpc_ask {
    struct str host_port;    /* "10.1.2.3:4040" or "[::1]:4040" */
    const char *path;        /* "/push.v1.PusherService/Push" */
    struct str tenant;       /* X-Scope-OrgID; "": none is sent */
    struct str body;         /* protobuf, packed as `coding` says */
    enum rpc_coding coding;
    const struct http_field *headers; /* more of them */
    size_t header_count;
    mono_ms deadline;        /* sent along as Connect-Timeout-Ms; MONO_NEVER: none */
    size_t response_max;     /* bytes, as sent and unpacked [64 MiB] */
    rpc_result_fn done;      /* once, never from inside rpc_start() */
    void *arg;
};

/* Start a call. *out (may be NULL) is good for rpc_cancel() until `done` is entered.
 * ERR_NOMEM, ERR_INVAL, ERR_TIMEOUT (the deadline is over): done is not called. */
int rpc_start(struct http_client *c, const struct rpc_ask *ask, struct rpc_out **out,
              struct err *err);

/* Give the call up; `done` is not called. */
void rpc_cancel(struct rpc_out *call);

#endif
