/* A world for whole clusters of real gossip cores (gossip/core.h) in one process: virtual time, a
 * network that loses, delays, duplicates, reorders and splits, nodes that are killed, come back,
 * move to another address, stand still and have wrong clocks. Everything follows from one seed.
 *
 * For tests/sim/sim_gossip*.c and tests/bench/bench_gossip.c, which say what must hold. A node is
 * known by its number; its address carries the number, its port the house it lives in: who moves
 * leaves the old address deaf. Nobody reads a clock. */
#ifndef TESTS_LIB_GOSSIP_WORLD_H
#define TESTS_LIB_GOSSIP_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/time.h"
#include "gossip/core.h"

enum {
    WORLD_SEEDS = 3,             /* nodes of the join list: the first ones */
    WORLD_WALL0_S = 1700000000,  /* wall clock at time 0 */
    WORLD_NAME_MAX = 16,
};

/* One end of an open stream. */
struct world_end {
    uint32_t stream, conn;
    int end;
};

struct world_node {
    struct gossip_core *core; /* NULL: does not run */
    char name[WORLD_NAME_MAX];
    struct gossip_addr addr;
    uint32_t life;           /* changes with every start and kill */
    uint32_t house;          /* changes with every move */
    uint32_t side;           /* of the partition */
    int64_t skew_s;          /* of its wall clock */
    mono_ms tick_at;         /* when its next tick stands among the events */
    mono_ms stalled_until;   /* nothing is done before */
    mono_ms blocked_until;   /* nothing comes in or goes out before */
    mono_ms started;
    struct world_end *ends;  /* its open streams */
    uint32_t end_count, end_cap;
};

struct world_event;
struct world_conn;

struct world {
    struct rng rng;
    mono_ms now;
    uint64_t seed, last_id, events;
    struct world_event *heap;
    size_t count, cap;
    struct world_node *nodes;
    uint32_t node_count;
    struct world_conn *conns;
    uint32_t conn_count, conn_cap, conn_free;

    /* The network; may be changed at any time. */
    uint32_t loss, dup;              /* per thousand */
    uint32_t delay_min_ms, delay_ms; /* shortest, longest */
    bool split, one_way;             /* one_way: side 0 still reaches side 1 */

    /* How nodes are made: name, addr and seed are set by the world. */
    struct gossip_core_config config;
    const struct kv_codec *codec;
    const struct log *log; /* NULL: silent */

    /* Called after every event of a node that runs. May be NULL. */
    void (*after)(struct world *w, uint32_t node);
    void *arg; /* the owner's */

    uint64_t packets, packet_bytes; /* sent */
    bool failed;
};

/* A world of `nodes` nodes, none of which runs. Names are "node-0", ... */
void world_init(struct world *w, uint64_t seed, uint32_t nodes);
void world_free(struct world *w);

/* Say what does not hold, once, with the seed to replay; the world stands still from then on. */
void world_fail(struct world *w, const char *what, const char *who);

/* What node n takes for the time. */
struct gossip_time world_time(const struct world *w, uint32_t n);

/* Start a node that does not run: joins the first WORLD_SEEDS nodes. */
void world_start(struct world *w, uint32_t n);

/* Start nodes one after the other within `ms` (each at a random time), and run until all list
 * all, but no longer than `limit_ms`. False: they do not. */
bool world_start_all(struct world *w, mono_ms ms, mono_ms limit_ms);

/* SIGKILL: the kernel closes its sockets. */
void world_kill(struct world *w, uint32_t n);

/* From its next start on the node lives at another address. */
void world_move(struct world *w, uint32_t n);

/* SIGSTOP for `ms`: what comes in waits; its timers are late, and run before what waited. */
void world_stall(struct world *w, uint32_t n, mono_ms ms);

/* For `ms` neither sending nor receiving gets through, but the timers run: all of it waits, in
 * both directions, and goes on after. */
void world_block(struct world *w, uint32_t n, mono_ms ms);

/* Let a node act now, after its store was changed: watchers, then what it has to send. */
void world_poke(struct world *w, uint32_t n);

/* Do all that happens up to the time `end`. */
void world_run(struct world *w, mono_ms end);

/* How many run; a random one of them (there must be one). */
uint32_t world_running(const struct world *w);
uint32_t world_any(struct world *w);

/* The number of the node that lives at an address now, or UINT32_MAX. */
uint32_t world_at(const struct world *w, const struct gossip_addr *a);

/* The table of a running node. */
const struct members *world_members(const struct world *w, uint32_t n);

/* True when every running node lists exactly the running ones as alive, where they live. */
bool world_agrees(const struct world *w);

/* memberlist's period of push/pull at this size. */
mono_ms world_pushpull_ms(const struct world *w);

#endif
