/* app/node_run.h - what every role stands on: configuration, log, metrics, loops, HTTP and RPC
 * servers, gossip and the ring. Built in order, run until a signal, stopped in reverse.
 *
 *   struct node *node;
 *   int status = node_init(&node, &(struct node_role){"querier"}, argc, argv);
 *   if (node == NULL) return status;          -help, -version, or an error that was printed
 *   ... register methods and routes ...
 *   status = node_run(node, &hooks);          until SIGTERM or SIGINT
 *   node_free(&node);
 *
 * The main thread runs node->main: gossip, the ring, signals, lives. The fields are for reading,
 * after node_init() and before node_free(). Tests: tests/cluster/test_running.py. */
#ifndef APP_NODE_RUN_H
#define APP_NODE_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app/page_html.h"
#include "app/settings.h"
#include "base/err.h"
#include "base/log.h"
#include "gossip/config.h"

struct conf;
struct gossip;
struct http_client_config;
struct http_client;
struct http_server;
struct loop;
struct metrics;
struct pool;
struct ring;
struct ring_watch;
struct rpc_server;

enum { NODE_THREADS_MAX = 64 };

/* -server.*, -log.*: the process. */
struct server_settings {
    const char *http_address;
    uint32_t http_port;
    uint32_t http_threads;
    uint32_t read_timeout_ms, write_timeout_ms, idle_timeout_ms;
    uint32_t connections_max;
    uint64_t memory_max; /* bytes of all requests under way */
    uint64_t connection_memory; /* bytes */
    uint32_t grace_ms, shutdown_delay_ms;
    const char *log_level, *log_format;
    const char *metrics_namespace;
    uint32_t workers; /* 0: one a core */
};

/* The rings of the cluster, which every process watches, counts and shows. */
enum { NODE_RING_INGESTERS, NODE_RING_DISTRIBUTORS, NODE_RINGS };

struct node_ring {
    const char *title; /* "Ingesters" */
    const char *name;  /* of the metrics' label: "ingester" */
    const char *path;  /* of its page: "/ring" */
    char key[256];     /* in the gossip store */
    uint32_t heartbeat_timeout_ms;
    struct ring_watch *watch; /* gossip_get(n->gossip, key) is the value with its tombstones */
};

/* -admin-server.*: a port of its own for the pages of node_page(). */
struct admin_settings {
    const char *mode; /* disabled, additional, exclusive */
    const char *http_address;
    uint32_t http_port;
};

/* What a role is, before anything runs. */
struct node_role {
    const char *name;
    enum settings_for help; /* whose options -help shows */
    const char *http_port; /* default of -server.http-listen-port; NULL: 4040 */
    bool observer;         /* gossips, and watches the rings, only with -memberlist.join */
    bool own_file;         /* -config.file is the role's to read: node->config_file */
    bool components;       /* it has a page /components */
    const char *usage;     /* put in front of -help; NULL: nothing */
    const struct http_client_config *client; /* of its HTTP clients; NULL: the defaults */
};

struct node {
    const char *role; /* static */
    bool components;   /* there is a page of them */
    const char *config_file; /* of -config.file, for roles that read it themselves; NULL: none */
    struct settings settings;
    struct server_settings server;
    struct admin_settings admin_settings;
    struct gossip_config gossip_settings;
    struct log log;           /* level and format: of the flags */
    struct log_dial log_dial; /* those in force */
    struct metrics *metrics;
    struct loop *main;
    struct http_client *main_client; /* on it */
    struct loop *threads[NODE_THREADS_MAX];
    struct http_client *clients[NODE_THREADS_MAX]; /* one a thread */
    unsigned thread_count;
    struct pool *pool;
    struct http_server *http;
    struct http_server *admin; /* NULL: -admin-server.mode is disabled */
    struct rpc_server *rpc;
    struct gossip *gossip; /* NULL: an observer without -memberlist.join; then no rings either */
    struct node_ring rings[NODE_RINGS];
    struct ring_watch *ring; /* the ingesters' */
    char http_addr[272];     /* host:port that others reach us at */
    struct node_private *priv;
};

/* What a role adds; all on the main thread; any may be NULL. */
struct node_hooks {
    void *arg;
    /* The loops run, gossip has started. Not 0: the process ends with status 1. */
    int (*start)(void *arg, struct err *err);
    /* Is it fit to work? ERR_UNAVAILABLE with what is missing. */
    int (*ready)(void *arg, struct err *err);
    /* The ingesters' ring changed; borrowed. */
    void (*ring_changed)(void *arg, struct ring *ring);
    /* SIGHUP came, or POST /-/reload did. NULL: SIGHUP stops the process like SIGTERM. */
    void (*reload)(void *arg);
    /* A signal came to stop; requests are still taken. May use node_turn_until(). */
    void (*leave)(void *arg);
    /* No request is under way any more and the pool has ended. */
    void (*stop)(void *arg);
};

/* Parse the command line and build everything; nothing runs yet, the ports are bound. NULL in *out
 * and the exit status when there is nothing to run. */
int node_init(struct node **out, const struct node_role *role, int argc, char **argv);

/* Add a route that is for operators and not for clients: to the public server, to the admin
 * server, or to both, as -admin-server.mode says. Errors of http_server_route(). */
struct http_route;
int node_page(struct node *n, const struct http_route *route, struct err *err);

/* The frame of the page that `req` asks for: title, path, and when it is. */
struct http_req;
struct page_frame node_frame(const struct node *n, const struct http_req *req, const char *title,
                             const char *path, wall_ms now);

/* Answer 403 to what a page of another site wants changed; true when that was so. */
bool node_refuse_foreign(struct http_req *req);

/* Answer with a page and what keeps a browser from more than showing it; takes the buffer. */
void node_reply_html(struct http_req *req, struct buf *html);

/* Run until a signal; the exit status. */
int node_run(struct node *n, const struct node_hooks *hooks);

/* End the process as a signal would, with this exit status; any thread. */
void node_quit(struct node *n, int status);

/* Have the role read its configuration again, soon, as SIGHUP does; any thread. False: it has no
 * reload hook. */
bool node_reload(struct node *n);

/* Turn the main loop until *done or the time is over; in hooks only. */
void node_turn_until(struct node *n, const _Atomic(bool) *done, uint32_t timeout_ms);

/* For roles that work with ingesters: `need` of them are ACTIVE in the ring. Latched; and given up
 * 30 s after the start, so that a role can be restarted while all others are dead. In hooks
 * only. ERR_UNAVAILABLE with what is there. */
int node_sees_ingesters(struct node *n, uint32_t need, struct err *err);

/* host:port that others reach our HTTP at: `addr`, or the gossip's address if it is empty, and
 * `port`, or that of HTTP if it is 0. `option` names addr in the error. ERR_INVAL: too long. */
int node_address(const struct node *n, const char *addr, uint32_t port, const char *option,
                 char *out, size_t size, struct err *err);

/* How long a member's heartbeat may stand still before it is taken out of a ring. */
uint32_t node_forget_ms(uint32_t heartbeat_timeout_ms);

/* Wall clock in milliseconds and nanoseconds, for cores that take a function. */
wall_ms node_wall_ms(void);
int64_t node_wall_ns(void);

/* NULL-safe; leaves *n NULL. */
void node_free(struct node **n);

#endif
