/* app/node_priv.h - shared by the files of node: configuration, building, pages, running. */
#ifndef APP_NODE_PRIV_H
#define APP_NODE_PRIV_H

#include <pthread.h>

#include "app/memory_run.h"
#include "app/node_run.h"
#include "app/page_html.h"
#include "app/page_members.h"
#include "metrics/metrics.h"
#include "net/loop.h"
#include "net/pool.h"

enum { NODE_SECTIONS = SETTINGS_SECTIONS + 5, NODE_SERVER_ROWS_MAX = 16 };

struct node_metrics {
    struct histogram_vec *duration; /* method, route, status_code, ws */
    struct histogram_vec *request_bytes, *response_bytes;
};

struct node_ring_metrics {
    struct gauge *foreign;
};

struct node_private {
    struct conf_section sections[NODE_SECTIONS];
    struct conf *conf;
    struct conf_row server_rows[NODE_SERVER_ROWS_MAX]; /* with the role's own defaults */
    struct node_metrics metrics;
    struct node_ring_metrics ring_metrics;
    bool told_foreign; /* of ingesters that are not ours */
    const struct node_hooks *hooks;
    pthread_t signals;
    bool signals_run;
    struct loop_work quit, reload;
    _Atomic(bool) stopping, quit_posted, reloads, reload_posted;
    _Atomic(int) status;
    struct memory_idle memory;
    bool explore;                  /* "/" is a page of the role's own */
    struct page_traffic traffic[2]; /* for rates: an older and a younger look */
    struct loop_timer *rest; /* looks whether there is nothing to do */
    pthread_t drain;
    _Atomic(bool) drained, left;
    mono_ms started;
    bool saw_ingesters; /* latched */
};

/* Watch all rings, with their metrics. After gossip_init(). */
int node_watch_rings(struct node *n, struct err *err);

/* After the gossip is freed. */
void node_free_rings(struct node *n);

/* Parse arguments and file into the settings. False with *status when there is nothing to run. */
bool node_configure(struct node *n, const struct node_role *role, int argc, char **argv,
                    int *status);

/* /ready, /metrics, /ring, /memberlist, status pages. */
int node_register_pages(struct node *n, struct err *err);

/* Their pages, and /memberlist. */
int node_register_rings(struct node *n, struct err *err);
int node_register_members(struct node *n, struct err *err);

/* How old the newest heartbeat in a ring is; negative: there is none. Main thread. */
int64_t node_ring_age(const struct node *n, const struct node_ring *ring, wall_ms now);

/* /admin, the files of all pages and, where the role has not taken it, "/". After the role's own
 * routes. */
int node_register_index(struct node *n, struct err *err);

/* Bind the admin server, if there is to be one; what is not about its address is as in `like`. */
struct http_server_config;
int node_admin_init(struct node *n, const struct http_server_config *like, struct err *err);

/* Check -admin-server.*. ERR_INVAL. */
int node_admin_check(const void *settings, struct err *err);

/* Say where it listens, if it does. */
void node_admin_log(const struct node *n);

/* The public server lacks what is for operators. */
bool node_admin_is_exclusive(const struct node *n);

/* One request was answered: metrics. `arg` is the node. */
struct http_seen;
void node_seen(void *arg, const struct http_seen *seen);

#endif
