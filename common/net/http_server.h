/* net/http_server.h - an HTTP/1.1 server over several loops; a handler sees a whole request and
 * answers when it likes.
 *
 * Each loop has its own listening socket (SO_REUSEPORT) and its own libmicrohttpd daemon, so that
 * everything of a request happens on one thread. The body is collected before the handler runs,
 * counted against one budget for the process. What a client may take is bounded in time (header,
 * body, waiting, reading the answer: each absolute, a byte a second gains nothing), in bytes and
 * in connections; beyond the limit of connections it is told 503.
 * Driver over libmicrohttpd. Tests: tests/unit/net/test_http_server_uv.c. */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "net/addr.h"
#include "net/http.h"
#include "net/loop.h"

struct http_server;
struct http_route;
struct http_tls;

/* A request, complete. It and all it points at live until http_reply() was called, also when the
 * client went away long before. Read-only for handlers but `user`. */
struct http_req {
    enum http_method method; /* HEAD is shown as HTTP_GET to routes of GET */
    struct str path;         /* as it was sent: percent signs are not decoded */
    const struct http_field *params; /* of the query, decoded, in order */
    size_t param_count;
    const struct http_field *headers; /* in order; names in the client's case */
    size_t header_count;
    struct str body;        /* as sent; Content-Encoding is not undone */
    struct addr peer;
    mono_ms began;          /* headers were complete */
    mono_ms deadline;       /* at this time the server itself answers 504 */
    struct arena *arena;    /* for the handler; in the server's budget; freed with the request */
    struct mem_account *memory; /* the server's budget, for what the handler takes beside it */
    struct loop *loop;      /* the thread of this request */
    unsigned thread;        /* its index, 0 .. threads-1 */
    const struct http_route *route;
    void *user;             /* the handler's */
};

/* Called on the request's thread. Must see to it that http_reply() is called exactly once, now or
 * later, whatever happens. */
typedef void (*http_handler_fn)(void *arg, struct http_req *req);

/* Writes the body of an answer that the server gives by itself (404 has no route and is plain
 * text; of a route: 400, 413, 500, 503, 504) in the style of the route. May change *status; sets
 * *type to a static media type. `req` may lack its body. */
typedef void (*http_refuse_fn)(void *arg, const struct http_req *req, unsigned *status,
                               const char *message, struct buf *body, const char **type);

/* What is served where. */
struct http_route {
    const char *path;     /* exact; or "/debug/" + "*": everything that starts so */
    const char *label;    /* route label of metrics; NULL: made from the path */
    unsigned methods;     /* HTTP_GET | ...; GET includes HEAD */
    size_t body_max;      /* bytes; more is answered 413. 0: 64 KiB */
    uint32_t deadline_ms; /* for the answer, from the end of the body; 0: the server's */
    bool bare_405;        /* 405 with an empty body (Connect) */
    http_handler_fn handler;
    http_refuse_fn refuse; /* NULL: plain text */
    void *arg;
};

/* One finished request, for metrics; called on the request's thread, also for requests without
 * a route (label "other") and for those whose client went away (status 499). */
struct http_seen {
    enum http_method method;
    const char *label;
    unsigned status;
    int64_t duration_ns; /* headers complete .. answer sent */
    size_t request_bytes, response_bytes; /* bodies */
};
typedef void (*http_seen_fn)(void *arg, const struct http_seen *seen);

/* All-zero fields mean the values in brackets. */
struct http_server_config {
    struct str address;         /* IP literal; "": all, of both families */
    uint16_t port;              /* 0: the kernel chooses */
    unsigned connections_max;   /* beyond: 503 [half of RLIMIT_NOFILE, at most 10000] */
    bool wait;                  /* beyond: they wait in the kernel's backlog; one loop only */
    size_t connection_memory;   /* bytes each, once used; bounds its headers [32 KiB] */
    uint32_t header_ms;         /* from connecting, or from a header's first byte [30 s] */
    uint32_t body_ms;           /* from the end of the header [30 s] */
    bool read_whole;            /* body_ms counts from where header_ms does */
    uint32_t handler_ms;        /* from the end of the body to the answer [60 s] */
    uint32_t write_ms;          /* from the answer to its last byte [60 s] */
    uint32_t idle_ms;           /* between requests [120 s] */
    uint64_t memory_max;        /* bytes of bodies and arenas of all requests [256 MiB] */
    size_t gzip_min;            /* GET answers from this size on may be gzipped [1400] */
    /* Another server, of as many loops, whose sockets are taken over: until it stops, both accept
     * from them; what it has not accepted when it stops is left to the heir. Borrowed until
     * http_server_start(). */
    struct http_server *inherit;
    struct http_tls *tls;       /* borrowed, outlives the server; NULL: plain */
    void (*tls_look)(void *arg); /* before a handshake, on its thread; may be NULL */
    void *tls_arg;
    bool share_port;            /* a socket of this process may have the port already */
    const struct log *log;      /* borrowed; may be NULL */
    http_seen_fn on_seen;       /* may be NULL */
    void *seen_arg;
};

/* Counters and gauges of the server; any thread. */
struct http_server_stats {
    unsigned connections;      /* open now */
    unsigned inflight;         /* requests between header and end of answer */
    uint64_t requests;         /* begun so far */
    uint64_t memory_used, memory_peak;
    uint64_t rejected_connections; /* told 503, or closed at the hard limit */
    uint64_t timeouts;         /* connections ended by a deadline */
    uint64_t malformed;        /* requests refused before a handler saw them */
};

/* Make a server on `count` loops (1 to 64) that are not running yet, or run elsewhere; binds and
 * reports the port. Serves nothing before http_server_start(). The loops are borrowed until
 * http_server_free(). ERR_EXIST when the port is taken, ERR_INVAL, ERR_NOMEM, ERR_IO. */
int http_server_init(struct http_server **out, struct loop *const *loops, unsigned count,
                     const struct http_server_config *config, struct err *err);

/* Add a route (copied; its strings are borrowed). Before start only. Longer prefixes win over
 * shorter ones, exact paths over prefixes; the same path may be added again with other methods.
 * ERR_EXIST when path and method are taken, ERR_NOMEM. */
int http_server_route(struct http_server *s, const struct http_route *route, struct err *err);

/* Start to accept. ERR_IO, ERR_NOMEM. */
int http_server_start(struct http_server *s, struct err *err);

/* The address that is listened on. */
struct addr http_server_addr(const struct http_server *s);

/* What it was made with, with the defaults filled in; on how many loops. Address and port are as
 * they were asked for. */
const struct http_server_config *http_server_config_of(const struct http_server *s);
unsigned http_server_threads(const struct http_server *s);

/* A look at the counters. Any thread. */
struct http_server_stats http_server_stats(const struct http_server *s);

/* Stop accepting, and no more; http_server_stop() does the rest. For one that has an heir: from
 * here on the heir alone accepts. Not on one of the loops, as below. */
void http_server_quiesce(struct http_server *s);

/* Stop accepting, answer what was accepted (the kernel's backlog too), wait for it up to grace_ms,
 * then answer the rest 503 and close everything. Blocks; not on one of the loops unless it is
 * the only one and not running. Returns the number of requests that were cut short. */
unsigned http_server_stop(struct http_server *s, uint32_t grace_ms);

/* Release; stops without grace if need be. Requires that every handler has replied, or that its
 * loop still runs until it did: waits for them up to 5 s. NULL-safe; leaves *s NULL. */
void http_server_free(struct http_server **s);

/* --- for handlers --------------------------------------------------------------------------- */

/* An answer. Everything is borrowed for the call, but `body` when body_free is set. */
struct http_answer {
    unsigned status;
    const char *type; /* Content-Type; NULL: none */
    const struct http_field *headers;
    size_t header_count;
    struct str body;
    void (*body_free)(void *arg); /* NULL: the body is copied; else it is taken, always */
    void *body_arg;
    bool raw; /* the body is as it shall be: never gzip it */
};

/* Answer a request: once, from any thread, at any time; the request is gone afterwards. Headers
 * with control bytes in them are left out. */
void http_reply(struct http_req *req, const struct http_answer *answer);

/* As http_reply() with `body` taken out of a buffer, which is all-zero afterwards. */
void http_reply_buf(struct http_req *req, unsigned status, const char *type, struct buf *body);

/* As http_reply() with a formatted line of plain text. */
void http_reply_text(struct http_req *req, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Did it come to this server? */
bool http_req_is_of(const struct http_req *req, const struct http_server *s);

/* A header's value, whatever its case; data NULL: absent. */
struct str http_req_header(const struct http_req *req, const char *name);

/* First query parameter of that name; data NULL: absent. */
struct str http_req_param(const struct http_req *req, const char *name);

/* Append the query again, encoded, without '?'; for passing a request on. */
void http_req_query(const struct http_req *req, struct buf *out);

/* Bring the deadline forward; a later one than the present is ignored. Request's thread only,
 * from inside the handler. */
void http_req_deadline(struct http_req *req, mono_ms deadline);

/* True when the server has answered already, or the client is known to be gone: what would be
 * replied is thrown away. Request's thread only. */
bool http_req_is_over(const struct http_req *req);

/* Have `fn(arg)` called on the request's thread should the server answer it before the handler
 * does (deadline, stop): a chance to cancel work. http_reply() is owed all the same. Request's
 * thread only; NULL takes it back. */
void http_req_on_cancel(struct http_req *req, loop_fn fn, void *arg);

#endif
