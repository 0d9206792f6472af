/* Two disasters of membership that must not need a human, with whole clusters of real cores:
 *
 *   one name     two processes with one node name: started one after the other, at once, or a
 *                process that comes back at another address before its death was noticed;
 *   merged       two clusters that were one for a while by mistake, some names twice, and were
 *                parted again.
 *
 *   sim_gossip_disasters            a fixed list of seeds and a fresh one (`make test`)
 *   sim_gossip_disasters --short    a few;  --long  thousands;  SEED...  these, with log lines
 *
 * Every process beats like a ring member: it writes its own entry every 5 s. A ring is right at a
 * process when the entries of all that live on its side are at most STALE_S old, and no other
 * entry is newer than the process's end or the parting. That must hold from 60 s after each
 * change on. Whoever lives must be listed by then, too, and within what probing and suspicion
 * take at this size (LISTS_MS) the lists hold nobody else. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/gossip_world.h"
#include "../unit/gossip/kv_test_codec.h"
#include "base/clock.h"
#include "base/log.h"
#include "gossip/core.h"

enum {
    STEP_MS = 1000,
    BEAT_STEPS = 5,
    STALE_S = 30,      /* of the 60 after which a ring takes a member for dead */
    CURE_MS = 60000,
    LISTS_MS = 150000, /* probing, and at most 120 s of suspicion */
    NODES_MAX = 24,
};

static const struct str key = STR_INIT("collectors/ring");

static void on_line(void *arg, enum log_level level, struct str line)
{
    (void)arg;
    (void)level;
    printf("    %.*s\n", STR_ARG(line));
}

static const struct log talking = {.sink = on_line};

/* --- beating -------------------------------------------------------------------------------- */

struct beat {
    uint32_t node;
    int64_t now_s;
};

static void entry_name(uint32_t node, char out[TV_NAME])
{
    (void)snprintf(out, TV_NAME, "p%u", node);
}

static int edit(void *arg, void **value)
{
    const struct beat *b = arg;
    char name[TV_NAME];
    entry_name(b->node, name);
    if (*value == NULL && (*value = tv_new()) == NULL)
        return ERR_NOMEM;
    tv_put(*value, name, b->now_s, b->node);
    return KV_STORE;
}

/* Let `ms` pass, with everybody beating. */
static void pass(struct world *w, mono_ms ms)
{
    for (mono_ms end = w->now + ms; w->now < end && !w->failed;) {
        world_run(w, w->now + STEP_MS < end ? w->now + STEP_MS : end);
        for (uint32_t i = 0; i < w->node_count; i++) {
            struct gossip_time t = world_time(w, i);
            struct beat b = {i, t.wall / 1000};
            if (w->nodes[i].core == NULL || (w->now / STEP_MS + i) % BEAT_STEPS != 0)
                continue;
            (void)kv_cas(gossip_core_kv(w->nodes[i].core), key, "test", edit, &b, t.wall);
            world_poke(w, i);
        }
    }
}

/* --- what must hold ------------------------------------------------------------------------- */

static bool lives(const struct world *w, uint32_t me, uint32_t other)
{
    return w->nodes[other].core != NULL && (!w->split || w->nodes[me].side == w->nodes[other].side);
}

/* The entries of all that live with `me` are fresh there; those of others stopped at `since`. */
static void check_ring(struct world *w, uint32_t me, mono_ms since, const char *when)
{
    const struct tv *v = kv_get(gossip_core_kv(w->nodes[me].core), key);
    int64_t now_s = world_time(w, me).wall / 1000;
    for (uint32_t i = 0; i < w->node_count; i++) {
        char name[TV_NAME];
        entry_name(i, name);
        const struct tv_item *e = v == NULL ? NULL : tv_find(v, name);
        if (lives(w, me, i) && (e == NULL || e->left || now_s - e->at > STALE_S)) {
            printf("  %s: entry of %s at process %u is %" PRId64 " s old\n", when, name, me,
                   e == NULL ? -1 : now_s - e->at);
            world_fail(w, "an entry of a living process is missing or stale", when);
        }
        if (!lives(w, me, i) && e != NULL && e->at > WORLD_WALL0_S + since / 1000 + 1)
            world_fail(w, "an entry of a process that is gone goes on", when);
    }
}

/* Everybody lists everybody who lives with it, by its present name; and nobody else if `exact`. */
static void check_lists(struct world *w, uint32_t me, bool exact, const char *when)
{
    const struct members *m = world_members(w, me);
    size_t living = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        if (!lives(w, me, i))
            continue;
        const struct member *self = members_self(world_members(w, i));
        const struct member *there = members_get(m, self->name);
        living++;
        if (there == NULL || there->state != MEMBER_ALIVE ||
            !gossip_addr_eq(&there->addr, &self->addr)) {
            printf("  %s: process %u lists process %u, %.*s, as %d\n", when, me, i,
                   STR_ARG(self->name), there == NULL ? -1 : (int)there->state);
            world_fail(w, "a living process is not listed", when);
        }
    }
    if (exact && members_active_count(m) != living)
        world_fail(w, "somebody is listed who is gone", when);
}

static void check_all(struct world *w, mono_ms since, bool exact, const char *when)
{
    for (uint32_t i = 0; i < w->node_count && !w->failed; i++)
        if (w->nodes[i].core != NULL) {
            check_ring(w, i, since, when);
            check_lists(w, i, exact, when);
        }
}

/* Right 60 s after what just happened, and exact in the end. */
static void must_heal(struct world *w, const char *what)
{
    mono_ms since = w->now;
    pass(w, CURE_MS);
    check_all(w, since, false, what);
    pass(w, LISTS_MS - CURE_MS);
    check_all(w, since, true, what);
}

/* --- the disasters -------------------------------------------------------------------------- */

static void world_of(struct world *w, uint64_t seed, uint32_t nodes, bool talk)
{
    world_init(w, seed, nodes);
    w->codec = &tv_codec;
    w->log = talk ? &talking : NULL;
    w->config.members.rename = true; /* as gossip/config.c has them */
    w->config.members.reclaim_ms = 10000;
    w->delay_ms = 1 + (uint32_t)rng_below(&w->rng, 40);
    w->loss = (uint32_t)rng_below(&w->rng, 30);
}

static void start_within(struct world *w, uint32_t from, uint32_t to, mono_ms ms)
{
    for (uint32_t i = from; i < to; i++) {
        world_start(w, i);
        pass(w, (mono_ms)rng_below(&w->rng, (uint64_t)ms / (to - from) + 1));
    }
}

static void one_name(struct world *w)
{
    uint32_t twin = w->node_count - 1;
    uint32_t of = WORLD_SEEDS + (uint32_t)rng_below(&w->rng, twin - WORLD_SEEDS);
    memcpy(w->nodes[twin].name, w->nodes[of].name, sizeof w->nodes[twin].name);
    bool at_once = rng_chance(&w->rng, 1, 2);
    if (at_once) { /* its addresses are above and below */
        start_within(w, 0, twin + 1, 3000);
    } else {
        start_within(w, 0, twin, 3000);
        pass(w, 90000);
        world_start(w, twin);
    }
    must_heal(w, "two processes with one name");
    uint32_t gone = rng_chance(&w->rng, 1, 2) ? twin : of;
    world_kill(w, gone);
    must_heal(w, "one of the two is gone");
    if (gone == twin)
        memcpy(w->nodes[twin].name, "other", 6); /* mended by its owner */
    world_move(w, gone);
    world_start(w, gone);
    must_heal(w, "it is back, elsewhere");
    uint32_t back = WORLD_SEEDS + (uint32_t)rng_below(&w->rng, w->node_count - WORLD_SEEDS);
    world_kill(w, back);
    pass(w, (mono_ms)rng_below(&w->rng, 20000)); /* its death is known, or not yet */
    world_move(w, back);
    world_start(w, back);
    must_heal(w, "restarted with its name at another address");
}

static void merged(struct world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++)
        w->nodes[i].side = i % 2; /* seeds on both sides: the join list of the mistake */
    for (uint32_t i = WORLD_SEEDS; i + 1 < w->node_count; i += 2)
        if (rng_chance(&w->rng, 1, 3)) /* "ingester-0" here and there */
            memcpy(w->nodes[i + 1].name, w->nodes[i].name, sizeof w->nodes[i].name);
    w->split = true;
    start_within(w, 0, w->node_count, 3000);
    must_heal(w, "two clusters");
    w->split = false;
    pass(w, 300000); /* rejoin, hear of namesakes, forget who they were */
    must_heal(w, "merged by mistake");
    w->split = true;
    must_heal(w, "parted");
    /* The dead go at the end of a round of probes. */
    pass(w, 30000 + 5000 * (mono_ms)w->node_count);
    for (uint32_t i = 0; i < w->node_count; i++)
        for (uint32_t k = 0; k < w->node_count; k++)
            if (!w->failed && w->nodes[i].side != w->nodes[k].side &&
                members_by_addr(world_members(w, i), &w->nodes[k].addr) != NULL)
                world_fail(w, "somebody of the other cluster is not forgotten", "parted");
}

static bool run_seed(uint64_t seed, bool talk)
{
    static void (*const disasters[])(struct world *) = {one_name, merged};
    bool ok = true;
    for (size_t d = 0; d < 2; d++) {
        struct world w;
        struct rng size;
        rng_seed(&size, seed * 2 + d);
        world_of(&w, seed, 6 + (uint32_t)rng_below(&size, NODES_MAX - 5), talk);
        disasters[d](&w);
        if (w.failed)
            printf("  seed %" PRIu64 ", disaster %zu, %u nodes\n", seed, d, w.node_count);
        ok = ok && !w.failed;
        world_free(&w);
    }
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t fixed = 3, passed = 0, failed = 0;
    bool named = argc > 1 && argv[1][0] != '-';
    if (argc > 1 && strcmp(argv[1], "--short") == 0)
        fixed = 1;
    if (argc > 1 && strcmp(argv[1], "--long") == 0)
        fixed = 2000;
    for (int i = 1; named && i < argc; i++)
        *(run_seed(strtoull(argv[i], NULL, 10), argc == 2) ? &passed : &failed) += 1;
    for (uint64_t seed = 1; !named && seed <= fixed; seed++)
        *(run_seed(seed, false) ? &passed : &failed) += 1;
    if (!named) {
        uint64_t fresh = (uint64_t)clock_wall_ns();
        printf("fresh seed %" PRIu64 "\n", fresh);
        *(run_seed(fresh, false) ? &passed : &failed) += 1;
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
