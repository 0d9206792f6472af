/* rpc/server.h - the serving side of Connect: a table of methods becomes routes of the HTTP
 * server; handlers see decoded messages and answer with messages.
 *
 * Bodies are unpacked and decoded on the request's thread when small, on the pool when not, and
 * the handler is called on the request's thread. Answers may come from any thread.
 * Tests: tests/unit/rpc/test_rpc_uv.c. */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "net/http_server.h"
#include "net/pool.h"
#include "rpc/connect.h"
#include "wire/msg.h"

struct rpc_server;
struct rpc_method;

/* One call. It and all it points at live until rpc_reply*() or rpc_fail(). */
struct rpc_call {
    const struct rpc_method *method;
    struct http_req *http;     /* headers, peer, loop, thread */
    struct str tenant;         /* valid and single */
    mono_ms deadline;          /* of the caller, or the server's if that is earlier */
    struct arena *arena;       /* freed after the reply */
    const void *request;       /* the decoded struct; NULL for RPC_RAW */
    struct str bytes;          /* the message as sent, unpacked */
    enum rpc_codec codec;      /* how it was written, and the answer will be */
    enum rpc_coding coding;    /* how it was packed */
    void *user;                /* the handler's */
};

/* Called on the request's thread; exactly one of rpc_reply(), rpc_reply_bytes(), rpc_fail() must
 * follow, now or later. */
typedef void (*rpc_handler_fn)(void *arg, struct rpc_call *call);

enum {
    RPC_RAW = 1,       /* do not decode: the handler reads call->bytes; JSON is answered 415 */
    RPC_NO_TENANT = 2, /* X-Scope-OrgID is not looked at; the tenant is "anonymous" */
    RPC_INTERNAL_ONLY = 4, /* lz4 is taken and offered: between processes of ours */
};

/* A method of a service. */
struct rpc_method {
    const char *path; /* "/push.v1.PusherService/Push"; static */
    const struct msg_type *request, *response;
    rpc_handler_fn handler;
    void *arg;
    unsigned flags;       /* RPC_... */
    size_t body_max;      /* bytes, as sent and unpacked; beyond: resource_exhausted [16 MiB] */
    uint32_t deadline_ms; /* when the caller sets none [60 s] */
    const struct msg_limits *limits; /* of decoding; NULL: wire's defaults */
};

/* All-zero fields mean the values in brackets. */
struct rpc_server_config {
    bool multitenancy;    /* -auth.multitenancy-enabled */
    struct pool *pool;    /* for large bodies; NULL: all is done on the request's thread */
    size_t pool_bytes;    /* packed size from which the pool is used [64 KiB] */
    size_t gzip_min;      /* answers from this size on are gzipped for who accepts it [1400] */
};

/* Make the rpc side of an HTTP server; both are borrowed. ERR_NOMEM. */
int rpc_server_init(struct rpc_server **out, struct http_server *http,
                    const struct rpc_server_config *config);

/* Register `count` methods (borrowed, static). Before http_server_start().
 * ERR_EXIST, ERR_NOMEM. */
int rpc_server_add(struct rpc_server *s, const struct rpc_method *methods, size_t count,
                   struct err *err);

/* After http_server_free(). NULL-safe; leaves *s NULL. */
void rpc_server_free(struct rpc_server **s);

/* Add a header to the answer to come; copied. Without memory it is left out. */
void rpc_header(struct rpc_call *call, const char *name, struct str value);

/* Answer with a struct of the method's response type; it is encoded in the request's codec before
 * this returns, and may borrow from the request. Any thread; the call is gone afterwards. */
void rpc_reply(struct rpc_call *call, const void *response);

/* Answer with a message that is encoded already, in call->codec; taken out of the buffer, which is
 * all-zero afterwards. A buffer with its error set is answered as internal. */
void rpc_reply_bytes(struct rpc_call *call, struct buf *message);

/* Answer with an error. */
void rpc_fail(struct rpc_call *call, enum rpc_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Answer with an error of ours: its code by rpc_code_of_err(), its message as it is. */
void rpc_fail_err(struct rpc_call *call, const struct err *err);

/* For plain HTTP handlers: the tenant of a request by the same rules, or an answered 401/400 JSON
 * error and false (the request is gone then). */
bool rpc_http_tenant(const struct rpc_server *s, struct http_req *req, struct str *tenant);

/* For plain HTTP handlers: answer {"code","message"} with the second table's code. */
void rpc_http_fail(struct http_req *req, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
