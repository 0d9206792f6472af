/* net/tcp.h - TCP on a loop: listen, accept, connect, read, write, close; with deadlines, and with
 * TLS where it is asked for.
 *
 * The thin shell under protocols of ours that speak their own bytes. All functions and all
 * callbacks are of the loop's thread. A connection ends exactly once: on_end is its last callback,
 * after which the pointer is gone. Nothing is called back from inside a call into this module:
 * tcp_close() too reports later.
 * A peer that vanishes without a word (a half-open connection) is noticed by the kernel's probes
 * after half a minute, if no deadline comes first.
 * Driver over libuv. Tests: tests/unit/net/test_tcp_uv.c, test_tcp_tls_uv.c. */
#ifndef NET_TCP_H
#define NET_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/tls.h"

struct pool;
struct tcp_listener;
struct tcp_conn;

/* What a connection tells its user; all with the `arg` of tcp_set_user(). Any may be NULL but
 * on_end. */
struct tcp_events {
    /* Outgoing only: the connection stands. */
    void (*on_connected)(struct tcp_conn *c, void *arg);
    /* Bytes arrived; valid during the call. */
    void (*on_read)(struct tcp_conn *c, struct str bytes, void *arg);
    /* The peer will send no more; writing still works. Without this callback it ends the
     * connection with code 0. */
    void (*on_eof)(struct tcp_conn *c, void *arg);
    /* It is over: 0 (closed by us, or an end of stream as above), ERR_TIMEOUT (deadline),
     * ERR_REFUSED, ERR_CLOSED (reset by the peer), ERR_DENIED (TLS has failed: tcp_tls_error()
     * says why; ERR_LIMIT: too many handshakes wait), ERR_IO. The connection is gone when this
     * returns. */
    void (*on_end)(struct tcp_conn *c, int code, void *arg);
};

/* A new connection. Give it its events with tcp_set_user() before returning, or leave it: it is
 * then closed. */
typedef void (*tcp_accept_fn)(void *arg, struct tcp_conn *c);

/* What was written has gone to the kernel (0), or will not (an ERR_ code). `arg` owns the bytes. */
typedef void (*tcp_written_fn)(void *arg, int code);

/* Listen on `where` (port 0: the kernel chooses; *bound, may be NULL, gets the real address). At
 * most `conns_max` accepted connections are open at a time; what comes beyond is closed at once
 * and counted. ERR_EXIST (address in use), ERR_INVAL (not an address of this host), ERR_IO. */
int tcp_listen(struct tcp_listener **out, struct loop *l, const struct addr *where,
               size_t conns_max, tcp_accept_fn on_accept, void *arg, struct addr *bound,
               struct err *err);

/* Accepted connections that are open, and how many were turned away so far. */
size_t tcp_listener_conns(const struct tcp_listener *s);
uint64_t tcp_listener_rejected(const struct tcp_listener *s);

/* Stop listening. Accepted connections go on. NULL-safe; leaves *s NULL. */
void tcp_listener_close(struct tcp_listener **s);

/* Start to connect; gives up after timeout_ms. Success and failure come by `events`, later.
 * ERR_NOMEM, ERR_IO: nothing will be called back. */
int tcp_connect(struct tcp_conn **out, struct loop *l, const struct addr *to, uint32_t timeout_ms,
                const struct tcp_events *events, void *arg);

/* Who hears of the connection from now on. `events` is borrowed (static). */
void tcp_set_user(struct tcp_conn *c, const struct tcp_events *events, void *arg);

/* Absolute time at which the connection ends with ERR_TIMEOUT, whatever it is doing.
 * MONO_NEVER: none (the state at first). */
void tcp_set_deadline(struct tcp_conn *c, mono_ms due);

/* The other end. */
struct addr tcp_peer(const struct tcp_conn *c);

/* Our end; all-zero before the connection stands. */
struct addr tcp_local(const struct tcp_conn *c);

/* It stands, or once stood; TLS aside. */
bool tcp_has_stood(const struct tcp_conn *c);

/* Send bytes, in order; they are borrowed until `done` (may be NULL: then copied), and not looked
 * at any more after tcp_close(). Allowed before the connection stands. ERR_NOMEM, ERR_CLOSED:
 * `done` is not called. */
int tcp_write(struct tcp_conn *c, struct str bytes, tcp_written_fn done, void *arg);

/* Send what the kernel takes at once of these runs of bytes (4 at most) in one system call, and
 * return how many it took: nothing is copied or kept. The rest is for tcp_write(). 0 too when
 * something waits to be sent, under TLS, before the connection stands, and when sending has
 * failed, whose end follows. */
size_t tcp_write_now(struct tcp_conn *c, const struct str *parts, unsigned count);

/* Nothing has arrived that was not told yet, neither bytes nor an end: asks the kernel. */
bool tcp_is_quiet(const struct tcp_conn *c);

/* Bytes written and not yet taken by the kernel. */
size_t tcp_unsent(const struct tcp_conn *c);

/* Send what is queued, then tell the peer that no more will come; reading goes on. */
void tcp_finish(struct tcp_conn *c);

/* End it now; what is not sent is lost (its `done` gets ERR_CANCELED), then on_end(0). */
void tcp_close(struct tcp_conn *c);

/* Send what is queued, then end it. Bytes that still arrive are dropped. */
void tcp_close_after_writes(struct tcp_conn *c);

/* --- TLS ------------------------------------------------------------------------------------ */

/* What connections that speak TLS share; the user's, and only read by him. Must stand until
 * tcp_close() was called for each of them; then `pool` may be freed, before the loop is. What
 * waits for the pool is not done any more for a connection that is over: freeing it is quick. */
struct tcp_tls {
    struct tls *tls;
    struct pool *pool;   /* does the handshakes, which cost up to 15 ms; NULL: the loop does */
    uint64_t handshakes; /* that were done, */
    uint64_t resumed;    /* how many of these were resumed ones, */
    uint64_t failed;     /* and that failed, timeouts and closed ones left out */
};

/* Speak TLS on a connection from now on: right after tcp_connect(), as client that verifies
 * `host`; or as server, when the first bytes show that the peer does, which are passed. Then
 * on_connected (outgoing only) comes when the handshake is done, which the timeout of
 * tcp_connect() covers; all that is written waits for it. ERR_NOMEM, ERR_INVAL (no certificate):
 * the connection is as before. */
int tcp_start_tls(struct tcp_conn *c, struct tcp_tls *use, enum tls_role role, struct str host,
                  struct str first);

/* Why TLS has failed; "" if it has not. Valid in on_end. */
const char *tcp_tls_error(const struct tcp_conn *c);

/* The handshake is done. */
bool tcp_tls_is_up(const struct tcp_conn *c);

#endif
