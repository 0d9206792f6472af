/* net/http_plain_priv.h - plain HTTP calls as their files see them: http_plain_uv.c for the calls,
 * http_render.c for what they send, http_host_uv.c for where they go.
 *
 * A call has a place at its host from start to end: it waits, or it has one of the host's slots.
 * A slot is a connection, or the attempt to get one. */
#ifndef NET_HTTP_PLAIN_PRIV_H
#define NET_HTTP_PLAIN_PRIV_H

#include <stdbool.h>

#include "base/list.h"
#include "net/addr.h"
#include "net/dns.h"
#include "net/http_client_priv.h"
#include "net/http_response.h"
#include "net/http_url.h"
#include "net/loop.h"
#include "net/tcp.h"

enum {
    HTTP_BUCKETS = 64,
    HTTP_HOSTS_UNUSED_MAX = 128, /* remembered without connections, for the addresses of names */
    HTTP_ADDRS_MAX = 16,         /* of a name that are tried */
    HTTP_NAME_GOOD_MS = 60000,   /* how long its addresses are used */
    HTTP_CALLS_SPARE_MAX = 64,
    HTTP_SPARE_BYTES_MAX = 8 * 1024, /* memory for texts that a spare call may keep */
};

struct http_plain {
    struct http_client *client;
    struct loop *loop;
    struct http_client_config config;
    struct list calls;          /* under way */
    struct list failing;        /* those of them that failed, until the timer says so */
    struct list spare;          /* call structs for reuse */
    struct list conns;          /* all */
    struct list idle;           /* those without a call, the oldest first */
    struct list unused;         /* hosts without connections and calls, the oldest first */
    struct list hosts[HTTP_BUCKETS];
    unsigned inflight, spare_count, idle_count, unused_count;
    struct loop_timer *timer;
    mono_ms due;     /* when it rings */
    struct dns *dns; /* NULL: no name was asked for yet */
    unsigned refs;   /* one, and one a function that calls back */
    bool closing;
};

/* Where calls go: an address or a name, and a port. */
struct http_host {
    struct list link;    /* of its bucket */
    struct list unused;  /* of http_plain.unused */
    struct list idle;    /* connections, the one used last first */
    struct list waiting; /* calls that have no slot, in the order they came */
    struct list naming;  /* calls that have one and wait for the name's addresses */
    struct http_plain *plain;
    struct dns_query *query;
    unsigned slots; /* taken */
    bool serving;   /* http_host_serve() is at work */
    struct addr addrs[HTTP_ADDRS_MAX];
    unsigned addr_count;
    mono_ms good_until; /* of addrs */
    uint16_t port;
    size_t name_len; /* 0: an address */
    char name[];
};

struct http_conn {
    struct list link;      /* of http_plain.conns */
    struct list host_link; /* of http_host.idle */
    struct list idle_link; /* of http_plain.idle */
    struct http_plain *plain; /* NULL: given up, nobody hears of it */
    struct http_host *host;
    struct tcp_conn *tcp;
    struct plain_call *call; /* NULL: idle */
    mono_ms idle_due;        /* when it is closed, if it stays idle */
    bool kept;               /* carried a call before this one */
    bool at_end;             /* the server sends no more */
};

/* Where a call is. */
enum place {
    CALL_WAITING,    /* for a slot */
    CALL_NAMING,     /* for the addresses of a name */
    CALL_CONNECTING, /* conn is being opened */
    CALL_BUSY,       /* conn carries it */
    CALL_FAILING,    /* has failed, and will hear of it */
    CALL_ELSEWHERE,  /* was redirected */
};

struct plain_call {
    struct http_call call;
    enum place place;
    struct list link;  /* of http_plain.calls */
    struct list queue; /* of the list of its place, if that has one */
    struct http_plain *plain;
    struct http_host *host;
    struct http_conn *conn;
    struct http_call *elsewhere;
    struct buf head;  /* of the request; behind head_len its URL with a NUL */
    size_t head_len, own_at, own_end, own_count; /* own: the caller's headers */
    struct str shown; /* host and port as the URL has them, for messages */
    struct str body;
    enum http_method method;
    mono_ms deadline, connect_due;
    unsigned next_addr; /* of the host's to be tried */
    bool again;         /* was sent again after a kept connection had died */
    size_t response_max;
    const struct http_way *way;
    struct http_way own_way; /* after a redirect */
    http_result_fn done;
    void *arg;
    int code; /* of a failing one */
    char text[256];
    struct http_response response;
};

/* --- http_host_uv.c -------------------------------------------------------------------------- */

/* The host that a call goes to, made if need be. ERR_NOMEM. */
int http_host_get(struct http_host **out, struct http_plain *p, const struct http_url *url,
                  const struct addr *connect_to);

/* Forget what nobody uses, and the rest too when the client ends. */
void http_hosts_free(struct http_plain *p);

/* Take a slot, or give one up; then whoever waits must be served by http_host_serve(). */
void http_host_take(struct http_host *h);
void http_host_give(struct http_host *h);

/* Have the calls that wait take what is free. */
void http_host_serve(struct http_host *h);

/* Queue a call for the addresses of its host's name. ERR_NOMEM, ERR_LIMIT, ERR_INVAL, ERR_IO. */
int http_host_resolve(struct http_host *h, struct plain_call *call);

/* A connection without call: keep it for the next one, or take the one that was used last. NULL:
 * there is none that is still good. */
void http_conn_keep(struct http_conn *c);
struct http_conn *http_conn_take(struct http_host *h);

/* Close what has been idle for too long, and have the timer ring for the next. */
void http_conns_expire(struct http_plain *p, mono_ms now);

/* Close a connection, which is gone afterwards; its slot is free. */
void http_conn_drop(struct http_conn *c);

/* --- http_render.c --------------------------------------------------------------------------- */

/* Write request line and headers into call->head, with the URL behind them. ERR_INVAL (a header
 * that cannot be sent), ERR_NOMEM. */
int http_call_render(struct plain_call *call, const struct http_ask *ask,
                     const struct http_url *url);

/* The caller's headers, own_count of them, read back from there. Returns how many. */
size_t http_call_own_fields(const struct plain_call *call, struct http_field *out);

/* --- http_plain_uv.c ------------------------------------------------------------------------- */

/* Have the timer ring at `at`, if not earlier. */
void http_plain_watch(struct http_plain *p, mono_ms at);

/* Use an idle connection or open one. The caller has seen that there may be one. */
void http_call_place(struct plain_call *call);

/* Connect to the next address. */
void http_call_connect(struct plain_call *call);

/* End a call soon: it lets go of what it holds, and hears of it from the loop. `why` in words. */
void http_call_fail(struct plain_call *call, int code, const char *why);

#endif
