/* receive-proxy/receive_parts.h - what receive_run.c (the listener), receive_ingest.c and
 * receive_push.c (its requests) share. */
#ifndef RECEIVE_PROXY_RECEIVE_PARTS_H
#define RECEIVE_PROXY_RECEIVE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "answer.h"
#include "base/list.h"
#include "creds_run.h"
#include "net/http_server.h"
#include "net/http_tls.h"
#include "receive_run.h"
#include "rpc/server.h"

/* What a request takes along when it begins. */
struct receive_policy {
    struct flow_list *next;
    bool status_passthrough, forward_headers;
};

struct receive {
    const struct receive_world *world;
    struct http_server *http;
    struct rpc_server *rpc;
    struct http_tls *tls;     /* NULL: plain */
    struct tls_source *files; /* of it */
    struct tls_texts *texts;  /* in force; a reference */
    struct rpc_method push; /* registered */
    const char *id, *path;
    struct log log;
    struct list live; /* in the gauges */
    bool listed, started;
    int64_t conn_limit;
    uint32_t write_ms, grace_ms;
    size_t body_max;
    pthread_mutex_t lock; /* of policy, owed, and texts */
    pthread_cond_t paid;
    struct receive_policy policy;
    unsigned owed; /* requests that are under way */
    _Atomic uint64_t requests, failures, profiles, bytes, queued, dropped;
    struct counter *items[2], *failed[2]; /* by kind */
    void (*done)(void *arg);
    void *done_arg;
};

/* A request begins: what it takes along, to be given back by receive_end() on any thread. */
struct receive_policy receive_begin(struct receive *r);
void receive_end(struct receive *r, struct receive_policy *policy);

/* The headers of a request that go on; in its arena. ERR_NOMEM. */
int receive_headers(const struct receive_policy *policy, struct http_req *req,
                    enum flow_kind kind, const struct http_field **out, size_t *count);

/* When an item's time is over: the client's, or the listener's own; MONO_NEVER: none. */
mono_ms receive_deadline(const struct receive *r, const struct http_req *req);

/* An item was answered: counts. `result` is needed when it was with success. */
void receive_count(struct receive *r, const struct flow_item *item,
                   const struct flow_result *result, bool ok);

/* Add the routes. */
int receive_ingest_register(struct receive *r, struct err *err);
int receive_push_register(struct receive *r, struct err *err);

#endif
