/* net/tcp_priv.h - a connection as the two files of TCP see it: tcp_uv.c for sockets, tcp_tls_uv.c
 * for what lies between them and the user when TLS is spoken. */
#ifndef NET_TCP_PRIV_H
#define NET_TCP_PRIV_H

#include <stdbool.h>
#include <uv.h>

#include "net/loop_priv.h"
#include "net/tcp.h"

struct tls_layer;

struct tcp_conn {
    uv_tcp_t uv;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    struct loop *loop;
    struct tcp_listener *listener; /* NULL: outgoing */
    struct tls_layer *tls;         /* NULL: plain */
    const struct tcp_events *events;
    void *arg;
    struct addr peer;
    mono_ms connect_due, due;
    size_t unsent;
    int code;         /* of on_end */
    unsigned handles; /* still to be closed */
    int drained_code; /* of on_end once all is sent */
    bool connected, closing;
    bool silent;      /* nobody hears of the end */
    bool finish;      /* shut down once connected */
    bool drain;       /* close when all is sent */
    bool shut;        /* all is sent, and the peer was told */
    bool eof;         /* the peer will send no more */
    int write_code;   /* of a write that failed while there may be something to read */
};

/* --- of tcp_uv.c ---------------------------------------------------------------------------- */

/* Write as it is, whether or not the user has finished. As tcp_write(). */
int tcp_raw_write(struct tcp_conn *c, struct str bytes, tcp_written_fn done, void *arg);

/* Tell the peer that nothing more follows what is queued. */
void tcp_raw_shut(struct tcp_conn *c);

/* Read from the socket; failing ends the connection. Or do not, for a while. */
void tcp_raw_read_start(struct tcp_conn *c);
void tcp_raw_read_stop(struct tcp_conn *c);

/* End it now with that code. */
void tcp_end(struct tcp_conn *c, int code);

/* Hold the connection while a thread works on it, and let go. */
void tcp_hold(struct tcp_conn *c);
void tcp_let_go(struct tcp_conn *c);

/* Set the timer anew: whether the connection stands has changed. */
void tcp_arm(struct tcp_conn *c);

/* The peer said that it sends no more. */
void tcp_peer_ended(struct tcp_conn *c);

/* --- of tcp_tls_uv.c ------------------------------------------------------------------------ */

/* The handshake is done. */
bool tls_layer_is_up(const struct tls_layer *y);

/* The handshake, or what came later, has failed; the connection is on its way to its end. */
bool tls_layer_has_failed(const struct tls_layer *y);

/* The socket stands; bytes arrived; the socket will give no more. */
void tls_layer_begin(struct tcp_conn *c);
void tls_layer_bytes(struct tcp_conn *c, struct str bytes);
void tls_layer_eof(struct tcp_conn *c);

/* The user writes; as tcp_write(). */
int tls_layer_write(struct tcp_conn *c, struct str bytes, tcp_written_fn done, void *arg);

/* The user has finished: the end is told as soon as all is sent. */
void tls_layer_finish(struct tcp_conn *c);

/* Writes that never left are told so. */
void tls_layer_cancel(struct tcp_conn *c);

/* The connection is over: a handshake that waits for the pool is not gone on with. NULL-safe. */
void tls_layer_over(struct tls_layer *y);

/* NULL-safe. */
void tls_layer_free(struct tls_layer *y);

#endif
