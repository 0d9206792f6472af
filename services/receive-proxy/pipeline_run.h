/* receive-proxy/pipeline_run.h - the components of a configuration: made, wired, replaced while
 * they run, taken down.
 *
 *   pipeline_prepare(p, texts, n, &diags)   makes what is new; nothing runs yet
 *   pipeline_commit(p, &err)                it takes over; the old one ends by itself
 *
 * Components whose arguments and receivers are the same are kept as they are; listeners keep their
 * sockets. A configuration that fails changes nothing but the health of the components it named.
 * Main thread. Tests: tests/unit/receive-proxy/test_pipeline_run.c,
 * tests/cluster/test_receive_proxy.py. */
#ifndef RECEIVE_PROXY_PIPELINE_RUN_H
#define RECEIVE_PROXY_PIPELINE_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "alloy/diag.h"
#include "alloy/graph.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/time.h"
#include "receive_run.h"
#include "relabel.h"
#include "write.h"

struct pipeline;

/* What the components need; borrowed, alive until pipeline_free(). */
struct pipeline_world {
    const struct write_world *write;
    const struct relabel_metrics *relabel;
    const struct receive_world *receive;
    const struct log *log;
    const char *hostname, *version; /* constants of the language */
    bool alloy;                     /* -compat=alloy */
};

/* Check a configuration and make nothing of it: ERR_PARSE with the reasons in diags, ERR_NOMEM. */
int pipeline_check(const struct alloy_text *texts, size_t count, bool alloy,
                   struct alloy_diags *diags);

/* Without components. ERR_NOMEM. */
int pipeline_init(struct pipeline **out, const struct pipeline_world *world);

/* Make a configuration: ports are bound, receivers exist. ERR_PARSE with the reasons in diags,
 * ERR_NOMEM. What was prepared before and not committed is given up. */
int pipeline_prepare(struct pipeline *p, const struct alloy_text *texts, size_t count,
                     struct alloy_diags *diags);

/* What was prepared takes over. On an error it is given up. */
int pipeline_commit(struct pipeline *p, struct err *err);

/* Its logging block, or NULL; of what was prepared, else of what runs. */
const struct alloy_logging *pipeline_logging(const struct pipeline *p);

/* End all listeners; requests under way are still answered. */
void pipeline_retire(struct pipeline *p);

/* True once every listener that was retired has ended. Any thread. */
const _Atomic(bool) *pipeline_is_over(const struct pipeline *p);

/* After pipeline_retire(), when it is over. NULL-safe. */
void pipeline_free(struct pipeline **p);

/* One component, as it stands. */
struct pipeline_view {
    const struct alloy_node *node;
    const struct alloy_graph *graph;
    bool healthy;
    const char *message; /* of its health */
    wall_ms since;
    const struct receive *listener; /* NULL: is none */
    const struct receiver *receiver; /* of write and relabel; NULL: is none */
};
size_t pipeline_count(const struct pipeline *p);
struct pipeline_view pipeline_at(const struct pipeline *p, size_t i);

/* Why the last configuration was not taken; "" when it was. */
const char *pipeline_last_failure(const struct pipeline *p);

#endif
