/* receive-proxy/flow.h - one profile message on its way, those who take it, and what became of
 * it.
 *
 *   listener -> flow_send(receivers) -> [relabel ->] write -> endpoints
 *
 * A listener turns a request into items: /ingest into one, Push into one per series. It gives
 * each to flow_send(), which hands it to every receiver at once and reports one sum when all
 * have ended. flow_answer() (answer.h) makes the reply of that sum.
 *
 * Threads. Everything of an item happens on the thread of its request, `struct flow_thread`:
 * the call of append(), and `done`. Receivers are shared by all threads and counted: whoever
 * keeps one beyond a call retains it; an append under way keeps its receiver alive by itself,
 * so that a new configuration may replace the graph at any time.
 *
 * Ownership. An item, and all that it points to, is borrowed until `done`: the listener keeps
 * the request open so long. A receiver that goes on after `done` (the queue) has copied what it
 * needs.
 *
 * Deadline. flow_item.deadline is when the client's patience ends (Connect-Timeout-Ms), less
 * what the reply itself needs; MONO_NEVER when it named none. A client that goes away cancels
 * nothing.
 *
 * Tests: tests/unit/receive-proxy/test_flow.c. */
#ifndef RECEIVE_PROXY_FLOW_H
#define RECEIVE_PROXY_FLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "base/time.h"
#include "net/http.h"
#include "profile/labels.h"
#include "rpc/connect.h"

struct http_client;
struct loop;
struct mem_account;

/* One of the threads that carry requests; main makes one per HTTP thread, and one for the
 * queues. */
struct flow_thread {
    struct loop *loop;
    struct http_client *client;
    unsigned index; /* 0 .. FLOW_THREADS_MAX - 1, each its own */
    struct flow_waits *waits;
};

enum { FLOW_THREADS_MAX = 72 };

/* Prepare; loop and client are borrowed. ERR_NOMEM. */
int flow_thread_init(struct flow_thread *t, struct loop *loop, struct http_client *client,
                     unsigned index);

/* When nothing waits on it any more. */
void flow_thread_reset(struct flow_thread *t);

/* Before stopping, on its loop: whoever waits to send again gives up (into the queue, where
 * there is one), now and from now on, so that requests are answered soon. */
void flow_thread_hurry(const struct flow_thread *t);

/* Someone who waits on a thread; embed it. `hurry` is called once it was taken out of the list. */
struct flow_wait {
    struct list link;
    void (*hurry)(void *arg);
    void *arg;
};

/* Enter the list. False: everybody is in a hurry, do not wait. flow_wait_end() takes it out. */
bool flow_wait_begin(const struct flow_thread *t, struct flow_wait *w);
void flow_wait_end(struct flow_wait *w);

enum flow_kind {
    FLOW_PUSH,   /* one series of a Push */
    FLOW_INGEST, /* one /ingest */
};

/* One profile of a series. */
struct flow_sample {
    struct str profile; /* raw_profile, as it came */
    struct str id;      /* ID, may be "" */
};

/* What is sent. `labels` are in any order and may hold faults: pyroscope.write judges them. */
struct flow_item {
    enum flow_kind kind;
    const struct label *labels;
    size_t label_count;

    /* FLOW_PUSH */
    const struct flow_sample *samples;
    size_t sample_count;

    /* FLOW_INGEST: the body as it came, the query's parameters but `name`, and all Content-Type
     * headers. Content-Encoding is among `headers` when it shall go on. */
    struct str body;
    const struct http_field *params;
    size_t param_count;
    const struct str *content_types;
    size_t content_type_count;

    /* Headers of the request that go on as they are (tenant, content encoding). */
    const struct http_field *headers;
    size_t header_count;

    mono_ms began;
    mono_ms deadline;

    /* What is made of it until `done` is charged here; NULL: nowhere. */
    struct mem_account *memory;
};

/* Bytes of profiles in it: raw profiles of a push, the body of an ingest. */
size_t flow_item_bytes(const struct flow_item *item);

/* Number of profiles: samples of a push, 1 of an ingest. */
size_t flow_item_profiles(const struct flow_item *item);

enum { FLOW_MESSAGE_MAX = 512 };

/* What became of an item, summed over everyone who was to have it (endpoints, that is).
 * All-zero but retry_after_s = -1 is nobody: see flow_result_init(). */
struct flow_result {
    unsigned stored;  /* a receiver has it */
    unsigned synced;  /* waits in a queue on disk, which has synced it */
    unsigned kept;    /* waits in a queue in memory: best effort */
    unsigned dropped; /* a relabel rule dropped it; that is success */
    unsigned failed;  /* nobody has it and nobody will try again */

    /* Of those that were not stored (failed, kept, synced). */
    unsigned faults;    /* how many brought a code */
    enum rpc_code code; /* one code: that one. Several: RPC_UNAVAILABLE */
    unsigned status;    /* of the first answer of HTTP that was a failure; 0: there was none */
    bool mixed;         /* not all faults had that status */
    int retry_after_s;  /* the longest; -1: none */
    char message[FLOW_MESSAGE_MAX]; /* texts, joined by "; " and cut */
};

void flow_result_init(struct flow_result *r);

/* Note one fault: a code, a status of HTTP or 0, Retry-After or -1, and a text. */
void flow_result_fault(struct flow_result *r, enum rpc_code code, unsigned status,
                       int retry_after_s, struct str message);

/* Add one sum to another. */
void flow_result_add(struct flow_result *into, const struct flow_result *one);

/* Called once per append, on the item's thread; may be called from inside append(). */
typedef void (*flow_done_fn)(void *arg, const struct flow_result *result);

/* Someone who takes items. Embed it as first member of a component. */
struct receiver;
struct receiver_ops {
    /* Take the item; `done` exactly once, now or later. Never fails otherwise. */
    void (*append)(struct receiver *r, const struct flow_thread *t,
                   const struct flow_item *item, flow_done_fn done, void *arg);
    /* The last reference is gone; on any thread. */
    void (*free)(struct receiver *r);
};
struct receiver {
    const struct receiver_ops *ops;
    _Atomic unsigned refs;
};

/* One reference, the caller's. */
void receiver_prepare(struct receiver *r, const struct receiver_ops *ops);
struct receiver *receiver_retain(struct receiver *r);
void receiver_release(struct receiver *r); /* NULL-safe */

/* A list of receivers, as forward_to names them; immutable and counted, so that a request keeps
 * the one it began with. */
struct flow_list;

/* A list of `count` receivers (may be 0), each retained. ERR_NOMEM. */
int flow_list_init(struct flow_list **out, struct receiver *const *items, size_t count);
struct flow_list *flow_list_retain(struct flow_list *l);
void flow_list_release(struct flow_list *l); /* NULL-safe */
size_t flow_list_count(const struct flow_list *l);

/* Give the item to every receiver of the list and report the sum when all have ended. With
 * none, or without memory (a fault RPC_UNAVAILABLE), `done` is called from inside; else it may
 * be. The list is retained meanwhile. */
void flow_send(struct flow_list *l, const struct flow_thread *t, const struct flow_item *item,
               flow_done_fn done, void *arg);

#endif
