/* receive-proxy/proxy_run.h - the role: everything between the node (configuration, threads, the
 * main port) and the components of the configuration.
 *
 * Main thread, but proxy_healthy(). Tests: tests/cluster/test_receive_proxy.py. */
#ifndef RECEIVE_PROXY_PROXY_RUN_H
#define RECEIVE_PROXY_PROXY_RUN_H

#include <stdbool.h>

#include "base/err.h"

struct http_client_config;
struct node;
struct pipeline;
struct proxy;

/* How the proxy calls receivers: more connections than within a cluster, since many clients wait
 * for one receiver, and time for handshakes over long ways; attempts have deadlines of their
 * own. */
extern const struct http_client_config proxy_client_config;

/* Everything but the components. ERR_NOMEM, ERR_IO. */
int proxy_init(struct proxy **out, struct node *n, struct err *err);

/* Load the configuration; what is wrong with it is printed. False: do not run. */
bool proxy_load(struct proxy *p);

/* Hooks of the node. */
int proxy_start(void *arg, struct err *err);
void proxy_reload(void *arg);
void proxy_leave(void *arg);
void proxy_stop(void *arg);

/* After the node has run. False: something still works; end the process as it is. */
bool proxy_free(struct proxy **p);

/* --- for pages --------------------------------------------------------------------------- */

struct node *proxy_node(struct proxy *p);
struct pipeline *proxy_pipeline(struct proxy *p);

/* Load again now. 0, or the reason in err and in the health of components. */
int proxy_load_again(struct proxy *p, struct err *err);

/* What a component has done so far and, since a look some seconds ago, a second. */
struct component_row;
struct pipeline_view;
void proxy_rates(struct proxy *p, const struct pipeline_view *v, struct component_row *row);

/* What waits in the queue of a pyroscope.write. */
struct component_queue;
void proxy_queue(struct proxy *p, const struct pipeline_view *v, struct component_queue *out);

/* /-/ready, /-/healthy, /-/reload, /components, /api/v0/web/components. */
int proxy_register_pages(struct proxy *p, struct err *err);

#endif
