/* net/http_server_priv.h - what the files of the server share.
 *
 * http_server_uv.c has the life of the server and its threads, http_listen_uv.c its sockets,
 * http_conn_uv.c connections and their clocks, http_request_uv.c requests as they come,
 * http_reply_uv.c what handlers call. */
#ifndef NET_HTTP_SERVER_PRIV_H
#define NET_HTTP_SERVER_PRIV_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/list.h"
#include "net/http_server.h"
#include "net/http_tls_priv.h"

enum { HTTP_SMALL_BODY = 64 * 1024 }; /* read and thrown away, to keep the connection usable */

struct http_thread {
    struct http_server *server;
    struct loop *loop;
    unsigned index;
    int listen_fd; /* ours until MHD has it; -1 afterwards */
    struct MHD_Daemon *mhd;
    uv_poll_t poll;
    uv_timer_t timer;     /* MHD has more to do at once */
    uv_timer_t watchdog;  /* deadlines of connections */
    uv_prepare_t prepare; /* runs MHD when want_run */
    unsigned handles;     /* to be closed; the last frees the thread */
    bool want_run, draining;
    bool ending; /* no handler is called any more */
    mono_ms watch_due;    /* when the watchdog is armed for; MONO_NEVER: not armed */
    struct list conns;
};

struct route {
    struct http_route pub;
    struct str path; /* without the star */
    bool prefix;
    char *label;
};

struct http_server {
    struct http_server_config config;
    struct addr addr;
    struct loop **loops;
    struct http_thread **threads; /* NULL once stopped: they end with their handles */
    unsigned thread_count;
    unsigned connections_hard;
    uint32_t tick_ms;
    struct route *routes;
    size_t route_count;
    bool started, stopped;
    bool has_heir; /* the sockets are another's too */
    int guard_fd;  /* keeps the port ours until the sockets listen; -1: none */
    char *address; /* of config, ours */
    struct mem_account memory;
    atomic_uint connections, inflight;
    atomic_uint owed; /* handlers that have not replied */
    _Atomic uint64_t requests, rejected, timeouts, malformed;
    pthread_mutex_t lock; /* for `gone` */
    pthread_cond_t gone;  /* a connection or a debt is gone */
    struct log_rate log_rate;
    pthread_mutex_t log_lock;
};

enum phase {
    PHASE_NEW,     /* nothing came yet, or part of the first header */
    PHASE_IDLE,    /* between requests */
    PHASE_HEADER,  /* bytes came after PHASE_IDLE */
    PHASE_BODY,
    PHASE_HANDLER, /* the handler has it */
    PHASE_WRITE,
};

struct request;

struct conn {
    struct list link;
    struct http_thread *thread;
    struct MHD_Connection *mhd;
    int fd;
    struct addr peer;
    bool over;  /* beyond the limit: gets 503 */
    bool ended; /* shutdown() was called */
    bool left;  /* the peer has closed its side */
    enum phase phase;
    mono_ms due;        /* of the phase; MONO_NEVER: the request's own deadline */
    mono_ms read_began; /* of the request that is being read */
    uint64_t bytes_in;  /* received when PHASE_IDLE was looked at last */
    bool bytes_known;
    mono_ms look_due;   /* when to look again */
    struct request *request;
    struct tls_creds *creds; /* NULL: plain */
};

/* One request. Lives while the connection (until MHD says completed) or the handler (until it
 * replied) needs it. Touched by its thread alone, but `posted`. */
struct request {
    struct http_req pub;
    struct http_server *server;
    struct http_thread *thread;
    struct conn *conn; /* NULL: over for MHD */
    const struct route *route;
    unsigned refs;
    enum { AT_BODY, AT_HANDLER, AT_ANSWER } at;
    bool in_handler, suspended, swallow;
    bool close;            /* after the answer */
    unsigned refuse_status; /* what the end of the body is answered with; 0: the handler runs */
    const char *refuse_text;
    uint64_t swallowed, length; /* length: announced; UINT64_MAX: chunked */
    char *body;
    size_t body_size, body_cap;
    struct MHD_Response *response;
    unsigned status;
    size_t response_bytes;
    int64_t began_ns;
    loop_fn on_cancel;
    void *cancel_arg;
    struct MHD_Response *posted; /* on its way from another thread */
    unsigned posted_status;
    size_t posted_bytes;
    struct loop_work work;
};

/* Open or take over one socket a thread; close those that MHD does not have. */
int http_sockets_open(struct http_server *s, struct err *err);
void http_sockets_close(struct http_server *s);

/* The sockets listen: others that want the port find out by that. */
void http_guard_close(struct http_server *s);

/* Let MHD work soon, on its thread. */
void http_thread_want_run(struct http_thread *t);

/* The route of a path and method. NULL: none; *allowed gets the methods of the path's other routes
 * (0: no such path at all) and *any one of them. */
const struct route *http_route_find(const struct http_server *s, struct str path,
                                    enum http_method method, unsigned *allowed,
                                    const struct route **any);

/* Callbacks of MHD. */
enum MHD_Result http_on_accept(void *cls, const struct sockaddr *sa, socklen_t size);
void http_on_connection(void *cls, struct MHD_Connection *mc, void **socket_context,
                        enum MHD_ConnectionNotificationCode what);
enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mc, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **con_cls);
void http_on_completed(void *cls, struct MHD_Connection *mc, void **con_cls,
                       enum MHD_RequestTerminationCode how);

/* A connection enters a phase. */
void http_conn_phase(struct conn *c, enum phase phase);

/* Look at the clocks of a thread's connections, end what is over time, arm for the next. */
void http_watch(struct http_thread *t);

/* See that the watchdog looks at `due` or earlier. */
void http_watch_at(struct http_thread *t, mono_ms due);

/* The handler's answer (NULL: no memory for it) has come to the request's thread. */
void http_request_answer(struct request *r, struct MHD_Response *response, unsigned status,
                         size_t bytes);

/* The server answers in the handler's place: deadline or stop. */
void http_request_cut(struct request *r, unsigned status, const char *message);

#endif
