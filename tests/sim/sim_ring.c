/* Rings of real members in one process, under one seed: each has its own copy of the ring and
 * its own life in it, changes travel through the codec over a network that loses, delays,
 * doubles and splits; clocks are wrong, members die, come back, leave, and lose their tokens
 * file.
 *
 *   sim_ring               a fixed list of seeds and a fresh one (`make test`)
 *   sim_ring --short       a few seeds (sanitizer runs)
 *   sim_ring --long        thousands
 *   sim_ring SEED...       these seeds
 *
 * What must hold:
 *   after every merge: a tombstone has no tokens; a member's tokens rise strictly; where an
 * entry brought other tokens, no two members share one. after healing, within a bound: all
 * running members hold the same ring; exactly the running ones are in it, ACTIVE, with as many
 * tokens as each believes to have; no token is shared. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "gossip/codec.h"
#include "ring/desc.h"
#include "ring/lifecycler.h"
#include "ring/lookup.h"

enum {
    NODES_MAX = 9,
    TOKENS = 16,
    TICK_MS = 100,
    STORM_MS = 300000,
    HEAL_MS = 2400000, /* forgetting takes 600 s, and tombstones may be outlived once */
    FORGET_MS = 600000,
    TOMBSTONE_S = 300,
    PACKETS_MAX = 4096,
    WALL0_S = 1700000000,
};

struct node {
    bool running, leaving, cut; /* cut: nothing goes in or out */
    int64_t skew_ms;            /* of its wall clock */
    mono_ms joined;             /* its own clock of durations starts here */
    mono_ms sync_at;
    mono_ms gone_at; /* leaving: when it unregisters */
    struct lifecycler *life;
    struct rng rng;
    struct ring_desc *ring;
    struct ring_tokens file;
    char id[8], addr[24];
};

struct packet {
    mono_ms at;
    uint32_t to;
    struct buf bytes;
};

struct world {
    struct rng rng;
    mono_ms now;
    uint32_t count;
    bool storm;
    struct node nodes[NODES_MAX];
    struct packet packets[PACKETS_MAX];
    uint32_t packet_count;
    const char *broken; /* what did not hold */
    uint64_t merges;
};

static wall_ms wall(const struct world *w, const struct node *n)
{
    return (wall_ms)WALL0_S * 1000 + w->now + n->skew_ms;
}

static void must(int rc)
{
    if (rc != 0) {
        (void)fprintf(stderr, "sim_ring: %s\n", err_text(rc));
        exit(2);
    }
}

/* --- what must hold after every merge ----------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool tokens_are_shared(const struct ring_desc *d)
{
    uint32_t all[NODES_MAX * TOKENS * 4];
    size_t count = 0;
    for (size_t i = 0; i < ring_desc_count(d); i++) {
        const struct ring_instance *in = ring_desc_at(d, i);
        for (uint32_t k = 0; k < in->token_count; k++) {
            ASSERT(count < sizeof all / sizeof *all);
            all[count++] = in->tokens[k];
        }
    }
    qsort(all, count, sizeof *all, by_value);
    for (size_t i = 1; i < count; i++)
        if (all[i - 1] == all[i])
            return true;
    return false;
}

static void check(struct world *w, const struct ring_desc *d)
{
    for (size_t i = 0; i < ring_desc_count(d); i++) {
        const struct ring_instance *in = ring_desc_at(d, i);
        if (in->state == RING_LEFT && in->token_count > 0)
            w->broken = "a tombstone has tokens";
        for (uint32_t k = 1; k < in->token_count; k++)
            if (in->tokens[k - 1] >= in->tokens[k])
                w->broken = "tokens do not rise";
    }
    if (tokens_are_shared(d))
        w->broken = "two members share a token";
}

/* --- the network -------------------------------------------------------------------------- */

static void send(struct world *w, uint32_t from, uint32_t to, const struct ring_desc *d)
{
    if (from == to || w->packet_count == PACKETS_MAX || w->nodes[from].cut ||
        w->nodes[to].cut || (w->storm && rng_chance(&w->rng, 1, 4)))
        return;
    struct packet *p = &w->packets[w->packet_count++];
    *p = (struct packet){.at = w->now + 1 + (mono_ms)rng_below(&w->rng, w->storm ? 5000 : 300),
                         .to = to};
    ring_codec.encode(d, &p->bytes);
    must(p->bytes.error);
}

static void tell(struct world *w, uint32_t from, const struct ring_desc *change)
{
    for (int i = 0; i < 3; i++) {
        uint32_t to = (uint32_t)rng_below(&w->rng, w->count);
        send(w, from, to, change);
        if (w->storm && rng_chance(&w->rng, 1, 8))
            send(w, from, to, change); /* doubled */
    }
}

static void receive(struct world *w, uint32_t to, struct str bytes)
{
    struct node *n = &w->nodes[to];
    void *news = NULL;
    struct ring_desc *change = NULL;
    must(ring_codec.decode(&news, bytes, NULL));
    must(ring_desc_merge(&n->ring, news, false, wall(w, n) / 1000, &change));
    w->merges++;
    check(w, n->ring);
    if (change != NULL)
        tell(w, to, change);
    ring_desc_free(&change);
    ring_codec.free(&news);
}

static void deliver(struct world *w)
{
    for (uint32_t i = 0; i < w->packet_count;) {
        struct packet p = w->packets[i];
        if (p.at > w->now) {
            i++;
            continue;
        }
        w->packets[i] = w->packets[--w->packet_count];
        if (w->nodes[p.to].running)
            receive(w, p.to, buf_view(&p.bytes));
        buf_reset(&p.bytes);
    }
}

/* --- members ------------------------------------------------------------------------------ */

static void start(struct world *w, uint32_t i)
{
    struct node *n = &w->nodes[i];
    const struct lifecycler_config c = {
        .id = str_c(n->id),
        .addr = str_c(n->addr),
        .num_tokens = TOKENS,
        .heartbeat_period_ms = 5000,
        .join_after_ms = rng_chance(&w->rng, 1, 4) ? 3000 : 0,
        .observe_period_ms = rng_chance(&w->rng, 1, 4) ? 4000 : 0,
        .forget_after_ms = FORGET_MS,
        .heartbeat_timeout_ms = 60000,
        .unregister_on_shutdown = true,
    };
    if (rng_chance(&w->rng, 1, 4))
        ring_tokens_reset(&n->file);
    /* Few seeds for many members: they draw the same tokens. */
    rng_seed(&n->rng, rng_below(&w->rng, 3));
    must(lifecycler_init(&n->life, &c, n->file.count > 0 ? &n->file : NULL, &n->rng, NULL,
                         NULL));
    must(ring_desc_init(&n->ring));
    n->running = true;
    n->leaving = false;
    n->joined = w->now;
    n->sync_at = w->now;
    n->skew_ms = (int64_t)rng_below(&w->rng, 20000) - 10000;
}

static void stop(struct world *w, uint32_t i)
{
    struct node *n = &w->nodes[i];
    ring_tokens_reset(&n->file);
    const struct ring_tokens *t = lifecycler_tokens(n->life, NULL);
    must(ring_tokens_copy(&n->file, t->all, t->count));
    lifecycler_free(&n->life);
    ring_desc_free(&n->ring);
    n->running = n->leaving = false;
    (void)w;
}

/* As the key-value store does it: edit a copy without tombstones, merge it locally, tell. */
static int cas(struct world *w, uint32_t i)
{
    struct node *n = &w->nodes[i];
    struct ring_desc *copy = NULL, *change = NULL;
    bool store = false;
    must(ring_desc_clone(&copy, n->ring));
    (void)ring_desc_remove_tombstones(copy, 0);
    int rc = lifecycler_edit(n->life, &copy, wall(w, n), &store);
    if (rc == 0 && store) {
        must(ring_desc_merge(&n->ring, copy, true, wall(w, n) / 1000, &change));
        check(w, n->ring);
        rc = change == NULL ? ERR_AGAIN : 0;
        if (change != NULL)
            tell(w, i, change);
    }
    ring_desc_free(&copy);
    ring_desc_free(&change);
    return rc;
}

static void live(struct world *w, uint32_t i)
{
    struct node *n = &w->nodes[i];
    mono_ms now = w->now - n->joined;
    if (w->now >= n->sync_at) { /* the full state, both ways */
        uint32_t peer = (uint32_t)rng_below(&w->rng, w->count);
        n->sync_at = w->now + 5000;
        (void)ring_desc_remove_tombstones(n->ring, wall(w, n) / 1000 - TOMBSTONE_S);
        if (w->nodes[peer].running) {
            send(w, i, peer, n->ring);
            send(w, peer, i, w->nodes[peer].ring);
        }
    }
    if (n->leaving && w->now >= n->gone_at)
        lifecycler_unregister(n->life);
    enum lifecycler_verb verb = LIFE_WAIT;
    if (now >= lifecycler_due(n->life) || lifecycler_due(n->life) == MONO_NEVER)
        while ((verb = lifecycler_step(n->life, now)) == LIFE_EDIT)
            lifecycler_edited(n->life, now, cas(w, i));
    if (verb == LIFE_OVER) /* its last words are on their way; it lingers a little in life */
        stop(w, i);
}

static void happen(struct world *w)
{
    uint32_t i = (uint32_t)rng_below(&w->rng, w->count);
    struct node *n = &w->nodes[i];
    uint64_t what = rng_below(&w->rng, 10);
    if (!n->running)
        start(w, i);
    else if (what < 3)
        stop(w, i); /* killed */
    else if (what < 5 && !n->leaving) {
        n->leaving = true;
        n->gone_at = w->now + (mono_ms)rng_below(&w->rng, 4000);
        lifecycler_leave(n->life);
    } else
        n->cut = !n->cut;
}

/* --- the end ------------------------------------------------------------------------------ */

static bool node_agrees(const struct world *w, const struct node *n, struct buf *text)
{
    struct ring_desc *d = NULL;
    uint32_t running = 0;
    bool good = true;
    must(ring_desc_clone(&d, n->ring));
    (void)ring_desc_remove_tombstones(d, 0);
    for (uint32_t i = 0; i < w->count && good; i++) {
        const struct node *other = &w->nodes[i];
        const struct ring_instance *in = ring_desc_find(d, str_c(other->id));
        running += other->running;
        if (!other->running)
            good = in == NULL;
        else
            good = in != NULL && in->state == RING_ACTIVE && in->token_count > 0 &&
                   in->token_count == lifecycler_tokens(other->life, NULL)->count;
    }
    good = good && ring_desc_count(d) == running && !tokens_are_shared(d);
    for (size_t i = 0; i < ring_desc_count(d); i++) { /* all but the beat that is under way */
        struct ring_instance in = *ring_desc_at(d, i);
        in.timestamp_s = 0;
        must(ring_desc_put(d, &in));
    }
    buf_clear(text);
    ring_desc_encode(d, text);
    ring_desc_free(&d);
    return good;
}

static bool all_agree(const struct world *w)
{
    struct buf first = {0}, one = {0};
    bool good = true, have = false;
    for (uint32_t i = 0; i < w->count && good; i++) {
        if (!w->nodes[i].running)
            continue;
        good = node_agrees(w, &w->nodes[i], have ? &one : &first) &&
               (!have || str_eq(buf_view(&one), buf_view(&first)));
        have = true;
    }
    buf_reset(&first);
    buf_reset(&one);
    return good;
}

static void tick(struct world *w)
{
    w->now += TICK_MS;
    deliver(w);
    for (uint32_t i = 0; i < w->count; i++)
        if (w->nodes[i].running)
            live(w, i);
}

static void heal(struct world *w)
{
    w->storm = false;
    for (uint32_t i = 0; i < w->count; i++) {
        w->nodes[i].cut = false;
        if (!w->nodes[i].running && (i == 0 || rng_chance(&w->rng, 2, 3)))
            start(w, i);
    }
}

/* NULL, or what did not hold. */
static const char *run(uint64_t seed, uint64_t *merges)
{
    struct world *w = mem_zalloc(sizeof *w);
    must(w == NULL ? ERR_NOMEM : 0);
    rng_seed(&w->rng, seed);
    w->count = 2 + (uint32_t)rng_below(&w->rng, NODES_MAX - 1);
    w->storm = true;
    for (uint32_t i = 0; i < w->count; i++) {
        (void)snprintf(w->nodes[i].id, sizeof w->nodes[i].id, "n%u", i % NODES_MAX);
        (void)snprintf(w->nodes[i].addr, sizeof w->nodes[i].addr, "10.0.0.%u:4040", i);
    }
    while (w->now < STORM_MS && w->broken == NULL) {
        if (rng_chance(&w->rng, 1, 50))
            happen(w);
        tick(w);
    }
    heal(w);
    mono_ms until = w->now + HEAL_MS;
    bool agreed = false;
    while (w->now < until && w->broken == NULL && !agreed) {
        tick(w);
        agreed = w->now % 1000 == 0 && all_agree(w);
    }
    const char *broken = w->broken != NULL ? w->broken : agreed ? NULL : "they do not agree";
    *merges += w->merges;
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->nodes[i].running)
            stop(w, i);
        ring_tokens_reset(&w->nodes[i].file);
    }
    for (uint32_t i = 0; i < w->packet_count; i++)
        buf_reset(&w->packets[i].bytes);
    mem_free(w);
    return broken;
}

int main(int argc, char **argv)
{
    uint64_t passed = 0, failed = 0, merges = 0, seeds = 150, first = 1;
    bool named = argc > 1 && argv[1][0] != '-';
    if (argc > 1 && strcmp(argv[1], "--short") == 0)
        seeds = 4;
    else if (argc > 1 && strcmp(argv[1], "--long") == 0)
        seeds = 5000;
    if (named)
        seeds = (uint64_t)argc - 1;
    for (uint64_t i = 0; i < seeds + !named; i++) {
        uint64_t seed = named       ? strtoull(argv[i + 1], NULL, 10)
                        : i < seeds ? first + i
                                    : (uint64_t)clock_wall_ns() % 1000000000;
        const char *broken = run(seed, &merges);
        if (broken != NULL)
            (void)printf("seed %" PRIu64 ": %s\n", seed, broken);
        *(broken == NULL ? &passed : &failed) += 1;
    }
    (void)printf("%" PRIu64 " merges\n%" PRIu64 " passed, %" PRIu64 " failed\n", merges, passed,
                 failed);
    return failed > 0;
}
