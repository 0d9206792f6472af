/* ring/ring_uv.h - a ring on the gossip: a view that any thread may hold, and the life of a
 * member in it.
 *
 * Driver of lookup.h, lifecycler.h and skew.h over gossip/gossip_uv.h. Everything on the gossip's
 * loop but ring_watch_hold(), ring_watch_addresses() and ring_life_state(). No decisions live
 * here. Tests: tests/cluster. */
#ifndef RING_RING_UV_H
#define RING_RING_UV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "ring/lifecycler.h"
#include "ring/lookup.h"

struct arena;
struct gossip;
struct loop;
struct metrics;
struct ring_life;
struct ring_watch;

/* The ring changed. `ring` is borrowed for the call (hold it to keep it). On the loop. */
typedef void (*ring_change_fn)(void *arg, struct ring *ring);

struct ring_watch_config {
    struct loop *loop; /* the gossip's */
    struct gossip *gossip;
    const char *key; /* in the gossip store; static */
    struct ring_options options;
    const char *name;        /* of the metrics' label; static */
    struct metrics *metrics; /* may be NULL */
    struct log log;
    ring_change_fn on_change; /* may be NULL */
    void *arg;
};

/* Watch the ring: its view, its metrics, and clocks far from ours (skew.h). Before
 * gossip_start(); free after gossip_free(). ERR_NOMEM, ERR_INVAL. */
int ring_watch_init(struct ring_watch **out, const struct ring_watch_config *config,
                    struct err *err);
void ring_watch_free(struct ring_watch **w); /* NULL-safe */

/* The newest view with a reference for the caller (ring_drop()); NULL while there is none. Any
 * thread. */
struct ring *ring_watch_hold(struct ring_watch *w);

/* Addresses (host:port) of the members that are ACTIVE with a heartbeat in time, in order of
 * their ids; copied into the arena. *count is 0 while there is no view. ERR_NOMEM. Any thread. */
int ring_watch_addresses(struct ring_watch *w, struct arena *arena, struct str **out,
                         size_t *count);

struct ring_life_config {
    struct loop *loop; /* the gossip's */
    struct gossip *gossip;
    const char *key;
    struct lifecycler_config life;
    const char *tokens_path; /* "": none is kept */
    const char *name;        /* of the ring, in its metrics: "ingester" */
    struct metrics *metrics; /* may be NULL */
    struct log log;
};

/* A member of the ring, with the tokens of its file if there is one (a broken file is logged
 * and not used). ERR_INVAL, ERR_NOMEM. */
int ring_life_init(struct ring_life **out, const struct ring_life_config *config,
                   struct err *err);

/* Begin: register, take tokens, beat. */
void ring_life_start(struct ring_life *l);

/* The member may be ACTIVE. */
void ring_life_establish(struct ring_life *l);

/* Go LEAVING, with heartbeats. */
void ring_life_leave(struct ring_life *l);

/* Leave the ring as configured; `done` is called when that is in the gossip store. */
void ring_life_unregister(struct ring_life *l, void (*done)(void *arg), void *arg);

/* As lifecycler_unique(). */
int ring_life_unique(const struct ring_life *l, struct err *err);

/* As lifecycler_ready(). */
int ring_life_ready(struct ring_life *l, struct err *err);

/* The state last stored. Any thread. */
enum ring_state ring_life_state(const struct ring_life *l);

/* NULL-safe; leaves *l NULL. An entry that was not unregistered stays in the ring. */
void ring_life_free(struct ring_life **l);

#endif
