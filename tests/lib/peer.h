/* tests/lib/peer.h - an HTTP server that records what comes and says what it is told to: for tests
 * of those who send. Everything is on the thread of its loop. */
#ifndef TESTS_LIB_PEER_H
#define TESTS_LIB_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "net/tcp.h"

enum { PEER_REQUESTS_MAX = 256, PEER_CONNS_MAX = 256 };

/* One answer. All-zero: 200 with an empty body and the request's own kind of Content-Type. */
struct peer_step {
    unsigned status;     /* 0: 200 */
    const char *headers; /* more of them, each with CR LF; NULL: none */
    const char *body;
    bool hang;           /* never answer */
    bool cut;            /* close instead of answering */
    bool half;           /* close in the middle of the answer */
};

struct peer_request {
    char *head; /* request line and headers, NUL behind */
    struct buf body;
};

struct peer {
    struct loop *loop;
    struct tcp_listener *listener;
    struct addr addr;
    struct tcp_tls *tls; /* NULL: plain */
    struct peer_step usual;
    const struct peer_step *script; /* the next answers; then the usual one */
    size_t script_count;
    struct peer_request requests[PEER_REQUESTS_MAX];
    size_t count;
    struct tcp_conn *conns[PEER_CONNS_MAX];
    size_t conns_begun;
};

/* Start to listen on a port of 127.0.0.1; `tls` (may be NULL) is borrowed. Asserts. */
void peer_init(struct peer *p, struct loop *loop, struct tcp_tls *tls);

/* Nobody listens any more; connections are closed. peer_up() listens on the same port again. */
void peer_down(struct peer *p);
void peer_up(struct peer *p);

/* "127.0.0.1:port" */
const char *peer_address(const struct peer *p);

/* The value of a header of a request, or NULL; static. */
const char *peer_header(const struct peer_request *r, const char *name);

/* The request line; static. */
const char *peer_line(const struct peer_request *r);

/* Forget the requests. */
void peer_forget(struct peer *p);

/* Close all; turns the loop until that is done. */
void peer_reset(struct peer *p);

#endif
