/* ingester/membership_run.h - drives the member machine (ring/member.h): sends and answers
 * introductions, has the roster synced, publishes the standing.
 *
 * Lives on one loop; all calls on its thread but the RPC handler it registers. Tests:
 * tests/cluster. */
#ifndef INGESTER_MEMBERSHIP_RUN_H
#define INGESTER_MEMBERSHIP_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "ring/member.h"

struct http_client;
struct loop;
struct membership;
struct pool;
struct rpc_server;
struct standing;

/* Make `roster` (the bytes of a Roster message) durable. On the pool. 0 or an ERR_. */
typedef int (*membership_sync_fn)(void *arg, struct str roster);

/* What the machine decided; on the loop. */
struct membership_events {
    void *arg;
    membership_sync_fn sync;
    void (*on_active)(void *arg); /* established: the ring entry may be ACTIVE */
    void (*on_rename)(void *arg, const char *why); /* another process goes by our disk's name */
    void (*on_quit)(void *arg, const char *why);   /* must not go on in this cluster */
};

struct membership_config {
    struct member_config member;
    struct loop *loop;
    struct http_client *client; /* on that loop */
    struct pool *pool;
    struct standing *standing;
    struct membership_events events;
    struct log log;
};

/* Start with the roster of the disk (NULL: there is none). Borrowed for the life of *out: all
 * but `stored`. Errors as member_init(). */
int membership_init(struct membership **out, const struct membership_config *config,
                    const struct roster *stored, struct err *err);

/* Register the Introduce method. Before the server starts. */
int membership_register(struct membership *m, struct rpc_server *rpc, struct err *err);

/* The ring as gossip shows it now; `joined` as member_ring(). */
void membership_ring(struct membership *m, const struct member_peer *peers, uint32_t count,
                     bool joined);

/* As member_ready(). */
int membership_ready(const struct membership *m, struct err *err);

/* Begin to act: timers, sends. After the loop's clients stand. */
void membership_start(struct membership *m);

/* After the HTTP server has stopped. Gives calls up. NULL-safe; leaves *m NULL. */
void membership_free(struct membership **m);

#endif
