/* Whole clusters of real gossip cores under one seed, in tests/lib/gossip_world.h: a network that
 * loses, delays, duplicates, reorders and splits (both ways or one), nodes that are killed, leave,
 * stand still, come back under the same name or move to another address, and clocks that differ.
 * They share a ring; entries are written, forgotten by others, and written again.
 *
 *   sim_gossip              a fixed list of seeds and one fresh one (`make test`)
 *   sim_gossip --short      a few seeds (sanitizer runs)
 *   sim_gossip --long       thousands, with clusters of up to 1,000
 *   sim_gossip --range A B  seeds A to B
 *   sim_gossip SEED...      these seeds, with a line per happening
 *
 * What must hold:
 *   at once, after every event: a node that runs never believes itself dead; nobody holds an
 *   incarnation of a member that the member itself has not reached, and the addresses of those
 *   that never moved are theirs; what a node holds of the ring never goes back, above all not
 *   behind a tombstone; merging any three nodes' rings is commutative, associative, idempotent.
 *   after healing, within two periods of push/pull at that size: every running node lists exactly
 *   the running ones, and all hold the same ring, in which every last write is. Deaths and moves
 *   are given the time of their own bounds before (suspicion, reaping): they are no healing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/gossip_world.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gossip/codec.h"
#include "ring/desc.h"

enum {
    FORM_MS = 900000,  /* longest time to agree after the start */
    MOVES_MAX = 40,    /* nodes above this do not move: being reaped takes a round of probes */
    SMALL_MAX = 30,    /* nodes of which everything is looked at after each event */
    CHECK_EVERY = 64,  /* with more of them: events per look at everything a node holds */
    LARGE_MIN = 301,   /* nodes that know all deaths long before the bound for one alone */
    LAWS_EVERY = 512,  /* events per check of the merge laws */
};

static const struct str key = STR_INIT("sim/ring");

/* What is true of a node, whatever others believe. */
struct truth {
    uint32_t incarnation_max; /* ever announced in any life */
    bool leaving;
    int64_t written_s;   /* its last write */
    int64_t forgotten_s; /* the newest tombstone of it */
};

/* What a node last held of another's entry, in this life. */
struct seen {
    int64_t at_s;
    bool left;
};

struct storm {
    struct world w;
    struct truth *truths;
    struct seen *seen; /* [holder * nodes + of] */
    bool talk;
    bool look;          /* check all that the node holds after this event */
    mono_ms last_death; /* the last kill or move */
    bool moved;
};

static struct storm *storm_of(struct world *w)
{
    return w->arg;
}

static const struct ring_desc *ring_of(const struct world *w, uint32_t n)
{
    return kv_get(gossip_core_kv(w->nodes[n].core), key);
}

static uint32_t number_of_name(struct str name)
{
    uint64_t n = 0;
    if (!str_starts_with(name, STR("node-")) || str_u64(str_skip(name, 5), &n) != 0)
        return UINT32_MAX;
    return (uint32_t)n;
}

/* --- what must hold at once ----------------------------------------------------------------- */

static void check_members(struct world *w, uint32_t i)
{
    const struct members *m = world_members(w, i);
    for (size_t k = 0; k < members_count(m); k++) {
        const struct member *other = members_at(m, k);
        uint32_t n = number_of_name(other->name);
        if (n >= w->node_count) {
            world_fail(w, "a member that does not exist", w->nodes[i].name);
            return;
        }
        if (w->nodes[n].house == 0 && world_at(w, &other->addr) != n)
            world_fail(w, "a member stands at another's address", w->nodes[n].name);
        if (other->incarnation > storm_of(w)->truths[n].incarnation_max)
            world_fail(w, "an incarnation that its member never had", w->nodes[n].name);
    }
}

/* A tombstone that is old enough to be removed protects no longer. Where not every event is looked
 * at, one may have come and gone between two looks. */
static bool has_expired(const struct world *w, const struct seen *seen, const struct truth *t)
{
    int64_t kept_s = w->config.kv.tombstone_ms / 1000 - 20; /* clocks differ */
    int64_t since_s = WORLD_WALL0_S + w->now / 1000 - kept_s;
    if (seen->left)
        return seen->at_s < since_s;
    return w->node_count > SMALL_MAX && t->forgotten_s >= seen->at_s && t->forgotten_s < since_s;
}

/* A node's view of one entry may only go forward. */
static void check_entry(struct world *w, uint32_t holder, const struct ring_instance *in)
{
    struct storm *s = storm_of(w);
    uint32_t of = number_of_name(in->id);
    if (of >= w->node_count) {
        world_fail(w, "an entry that nobody wrote", w->nodes[holder].name);
        return;
    }
    struct seen *seen = &s->seen[(size_t)holder * w->node_count + of];
    const struct truth *t = &s->truths[of];
    bool left = in->state == RING_LEFT;
    if (in->timestamp_s > (left ? t->forgotten_s : t->written_s))
        world_fail(w, "an entry newer than what was written", w->nodes[of].name);
    if (!has_expired(w, seen, t) &&
        (in->timestamp_s < seen->at_s ||
         (in->timestamp_s == seen->at_s && seen->left && !left)))
        world_fail(w, seen->left ? "a forgotten entry is back" : "an entry went back",
                   w->nodes[of].name);
    *seen = (struct seen){in->timestamp_s, left};
}

static bool same_entry(const struct ring_instance *a, const struct ring_instance *b)
{
    return str_eq(a->id, b->id) && a->timestamp_s == b->timestamp_s && a->state == b->state &&
           a->token_count == b->token_count;
}

static bool same_ring(const struct ring_desc *a, const struct ring_desc *b)
{
    bool same = ring_desc_count(a) == ring_desc_count(b);
    for (size_t i = 0; same && i < ring_desc_count(a); i++)
        same = same_entry(ring_desc_at(a, i), ring_desc_at(b, i));
    return same;
}

/* A copy of a with b merged into it. */
static struct ring_desc *merged(const struct ring_desc *a, const struct ring_desc *b, bool *news)
{
    struct ring_desc *out = NULL, *change = NULL;
    ASSERT(ring_desc_clone(&out, a) == 0);
    ASSERT(ring_desc_merge(&out, b, false, 0, &change) == 0);
    *news = change != NULL;
    ring_desc_free(&change);
    return out;
}

static void check_laws(struct world *w)
{
    const struct ring_desc *a = ring_of(w, world_any(w)), *b = ring_of(w, world_any(w)),
                           *c = ring_of(w, world_any(w));
    bool news = false;
    if (a == NULL || b == NULL || c == NULL)
        return;
    struct ring_desc *ab = merged(a, b, &news), *ba = merged(b, a, &news);
    struct ring_desc *bc = merged(b, c, &news), *ab_c = merged(ab, c, &news);
    struct ring_desc *a_bc = merged(a, bc, &news);
    if (!same_ring(ab, ba))
        world_fail(w, "merge is not commutative", "ring");
    if (!same_ring(ab_c, a_bc))
        world_fail(w, "merge is not associative", "ring");
    struct ring_desc *again = merged(ab, b, &news);
    if (news || !same_ring(again, ab))
        world_fail(w, "merge is not idempotent", "ring");
    ring_desc_free(&ab);
    ring_desc_free(&ba);
    ring_desc_free(&bc);
    ring_desc_free(&ab_c);
    ring_desc_free(&a_bc);
    ring_desc_free(&again);
}

static void check_node(struct world *w, uint32_t i)
{
    struct storm *s = storm_of(w);
    const struct member *self = members_self(world_members(w, i));
    if (self->state != MEMBER_ALIVE && !s->truths[i].leaving)
        world_fail(w, "a running node holds itself for dead", w->nodes[i].name);
    if (self->incarnation > s->truths[i].incarnation_max)
        s->truths[i].incarnation_max = self->incarnation;
    if (w->events % LAWS_EVERY == 0)
        check_laws(w);
    if (w->node_count > SMALL_MAX && w->events % CHECK_EVERY != 0 && !s->look)
        return;
    s->look = false;
    check_members(w, i);
    const struct ring_desc *d = ring_of(w, i);
    for (size_t k = 0; d != NULL && k < ring_desc_count(d); k++)
        check_entry(w, i, ring_desc_at(d, k));
}

/* --- agreement ------------------------------------------------------------------------------ */

/* The members of the ring that are not forgotten; skips tombstones. */
static const struct ring_instance *next_member(const struct ring_desc *d, size_t *at)
{
    while (*at < ring_desc_count(d)) {
        const struct ring_instance *in = ring_desc_at(d, (*at)++);
        if (in->state != RING_LEFT)
            return in;
    }
    return NULL;
}

static bool same_members(const struct ring_desc *a, const struct ring_desc *b)
{
    size_t i = 0, k = 0;
    for (;;) {
        const struct ring_instance *x = next_member(a, &i), *y = next_member(b, &k);
        if (x == NULL || y == NULL)
            return x == y;
        if (!same_entry(x, y))
            return false;
    }
}

static bool rings_agree(const struct world *w, const struct truth *truths)
{
    const struct ring_desc *first = NULL;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct ring_desc *d = w->nodes[i].core == NULL ? NULL : ring_of(w, i);
        if (w->nodes[i].core == NULL)
            continue;
        if (d == NULL || (first != NULL && !same_members(first, d)))
            return false;
        first = d;
    }
    for (uint32_t i = 0; i < w->node_count && first != NULL; i++) {
        const struct truth *t = &truths[i];
        const struct ring_instance *in = ring_desc_find(first, str_c(w->nodes[i].name));
        if (w->nodes[i].core != NULL && t->written_s > t->forgotten_s &&
            (in == NULL || in->timestamp_s != t->written_s))
            return false;
    }
    return true;
}

static bool agree(const struct storm *s)
{
    return world_agrees(&s->w) && rings_agree(&s->w, s->truths);
}

static mono_ms until_agreed(struct storm *s, mono_ms limit, const char *after_what)
{
    mono_ms start = s->w.now;
    while (!s->w.failed && !agree(s)) {
        if (s->w.now - start > limit) {
            world_fail(&s->w, world_agrees(&s->w) ? "rings do not agree in time"
                                                  : "members do not agree in time",
                       after_what);
            break;
        }
        world_run(&s->w, s->w.now + 500);
    }
    return s->w.now - start;
}

/* --- what happens --------------------------------------------------------------------------- */

struct edit {
    struct str id;
    int64_t at_s; /* 0: forget it */
    bool done;
};

static int edit_ring(void *arg, void **value)
{
    struct edit *e = arg;
    struct ring_desc *d = *value;
    if (d == NULL && ring_desc_init(&d) != 0)
        return ERR_NOMEM;
    *value = d;
    if (e->at_s == 0) {
        e->done = ring_desc_remove(d, e->id);
        return e->done ? KV_STORE : KV_KEEP;
    }
    uint32_t token = number_of_name(e->id) * 1000 + 1;
    struct ring_instance in = {.id = e->id,
                               .addr = e->id,
                               .timestamp_s = e->at_s,
                               .state = RING_ACTIVE,
                               .tokens = &token,
                               .token_count = 1};
    return ring_desc_put(d, &in) == 0 ? KV_STORE : ERR_NOMEM;
}

/* A heartbeat, newer than all that the node wrote and than its tombstone, should it see one. */
static void node_write(struct storm *s, uint32_t i)
{
    struct world *w = &s->w;
    struct gossip_time now = world_time(w, i);
    const struct ring_desc *d = ring_of(w, i);
    struct str id = str_c(w->nodes[i].name);
    const struct ring_instance *had = d == NULL ? NULL : ring_desc_find(d, id);
    int64_t at = s->truths[i].written_s + 1;
    at = had != NULL && had->timestamp_s >= at ? had->timestamp_s + 1 : at;
    at = now.wall / 1000 > at ? now.wall / 1000 : at;
    struct edit e = {id, at, false};
    s->truths[i].written_s = at;
    ASSERT(kv_cas(gossip_core_kv(w->nodes[i].core), key, "ringDesc", edit_ring, &e, now.wall) ==
           0);
    world_poke(w, i);
}

/* Node i forgets what it holds of node `of`. */
static void node_forget(struct storm *s, uint32_t i, uint32_t of)
{
    struct world *w = &s->w;
    struct edit e = {str_c(w->nodes[of].name), 0, false};
    struct gossip_time now = world_time(w, i);
    int rc = kv_cas(gossip_core_kv(w->nodes[i].core), key, "ringDesc", edit_ring, &e, now.wall);
    ASSERT(rc == 0);
    const struct ring_instance *in = e.done ? ring_desc_find(ring_of(w, i), e.id) : NULL;
    if (in != NULL && in->timestamp_s > s->truths[of].forgotten_s)
        s->truths[of].forgotten_s = in->timestamp_s;
    s->look = true;
    world_poke(w, i);
}

static void node_kill(struct storm *s, uint32_t i)
{
    world_kill(&s->w, i);
    s->last_death = s->w.now;
}

/* Back, incarnations from 1 again. What it wrote last may have died with it, so it writes anew,
 * as every ring member does. */
static void node_start(struct storm *s, uint32_t i)
{
    struct world *w = &s->w;
    memset(&s->seen[(size_t)i * w->node_count], 0, w->node_count * sizeof *s->seen);
    s->truths[i].leaving = false;
    world_start(w, i);
    node_write(s, i);
}

static void node_move(struct storm *s, uint32_t i)
{
    node_kill(s, i);
    world_move(&s->w, i);
    s->moved = true;
    node_start(s, i);
}

/* Those that have said goodbye end. */
static void bury_leavers(struct storm *s)
{
    for (uint32_t i = 0; i < s->w.node_count; i++) {
        struct world_node *n = &s->w.nodes[i];
        if (n->core != NULL && s->truths[i].leaving && gossip_core_is_over(n->core))
            node_kill(s, i);
    }
}

static uint32_t a_dead_one(const struct world *w)
{
    uint32_t i = 0;
    while (i < w->node_count && w->nodes[i].core != NULL)
        i++;
    return i;
}

static void split(struct world *w)
{
    w->split = !w->split;
    w->one_way = rng_chance(&w->rng, 1, 3);
    for (uint32_t i = 0; i < w->node_count; i++)
        w->nodes[i].side = rng_chance(&w->rng, 1, 3) ? 1 : 0;
}

static void strike(struct storm *s)
{
    struct world *w = &s->w;
    uint32_t i = world_any(w), dead = a_dead_one(w);
    bool may_go = world_running(w) > 2 && i >= WORLD_SEEDS && !s->truths[i].leaving;
    switch (rng_below(&w->rng, 10)) {
    case 0:
        if (may_go) /* a seed at least stays: joiners need one */
            node_kill(s, i);
        break;
    case 1:
        if (dead < w->node_count)
            node_start(s, dead);
        break;
    case 2:
        split(w);
        break;
    case 3: /* killed and at once back */
        node_kill(s, i);
        node_start(s, i);
        break;
    case 4:
        if (may_go && w->node_count <= MOVES_MAX)
            node_move(s, i);
        break;
    case 5:
        world_stall(w, i, 1 + (mono_ms)rng_below(&w->rng, 40000));
        break;
    case 6:
        if (may_go) {
            s->truths[i].leaving = true;
            gossip_core_stop(w->nodes[i].core, world_time(w, i));
            world_poke(w, i);
        }
        break;
    case 7:
        if (!s->truths[i].leaving)
            node_forget(s, i, dead < w->node_count ? dead : world_any(w));
        break;
    default:
        if (!s->truths[i].leaving)
            node_write(s, i);
    }
}

/* --- one seed ------------------------------------------------------------------------------- */

static void on_line(void *arg, enum log_level level, struct str line)
{
    (void)arg;
    (void)level;
    printf("    %.*s\n", STR_ARG(line));
}

static struct log talking = {.sink = on_line};

static uint32_t size_of(uint64_t seed, bool large)
{
    if (large && seed % 1000 == 0)
        return 1000;
    if (large && seed % 100 == 0)
        return 300;
    return seed % 10 == 0 ? 150 : 30;
}

static void storm_init(struct storm *s, uint64_t seed, uint32_t nodes_max, bool talk)
{
    struct rng r;
    *s = (struct storm){.talk = talk};
    rng_seed(&r, seed);
    uint32_t nodes = nodes_max == 1000 ? 1000 : 5 + (uint32_t)rng_below(&r, nodes_max - 4);
    world_init(&s->w, seed, nodes);
    struct world *w = &s->w;
    w->loss = (uint32_t)rng_below(&w->rng, 100);
    w->dup = (uint32_t)rng_below(&w->rng, 30);
    w->delay_ms = 1 + (uint32_t)rng_below(&w->rng, 60);
    w->codec = &ring_codec;
    w->log = talk ? &talking : NULL;
    w->after = check_node;
    w->arg = s;
    w->config.members.reclaim_ms = rng_chance(&w->rng, 1, 2) ? 10000 : 0;
    if (nodes > 60)
        w->config.members.compression = PACKET_PLAIN;
    s->truths = mem_calloc(nodes, sizeof *s->truths);
    s->seen = mem_calloc((size_t)nodes * nodes, sizeof *s->seen);
    ASSERT(s->truths != NULL && s->seen != NULL);
    for (uint32_t i = 0; i < nodes; i++)
        w->nodes[i].skew_s = (int64_t)rng_below(&w->rng, 20) - 10;
}

static void storm_free(struct storm *s)
{
    world_free(&s->w);
    mem_free(s->truths);
    mem_free(s->seen);
}

/* The longest time until a death is known and its address free again: a probe that failed when
 * the prober was at its slowest, the longest suspicion, and for moves the reaping. */
static mono_ms death_ms(const struct storm *s)
{
    const struct memberlist_config *c = &s->w.config.members;
    mono_ms probe = (mono_ms)c->probe_interval_ms * (c->awareness_max + 1);
    uint32_t digits = bcast_limit(1, s->w.node_count); /* not below log10 */
    mono_ms suspicion = (mono_ms)c->suspicion_mult * c->suspicion_max_mult * digits *
                        c->probe_interval_ms;
    mono_ms round = (mono_ms)c->probe_interval_ms * s->w.node_count;
    return probe + round + suspicion + (s->moved ? c->dead_gossip_ms + 2 * round : 0);
}

/* No running node believes in one that does not run. */
static bool deaths_are_known(const struct world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct members *m = w->nodes[i].core == NULL ? NULL : world_members(w, i);
        for (size_t k = 0; m != NULL && k < members_count(m); k++) {
            const struct member *other = members_at(m, k);
            uint32_t n = number_of_name(other->name);
            if (other->state <= MEMBER_SUSPECT && n < w->node_count && w->nodes[n].core == NULL)
                return false;
        }
    }
    return true;
}

/* The storm is over: the stalled wake, leavers are gone, deaths are known; then the net heals. */
static mono_ms heal(struct storm *s)
{
    struct world *w = &s->w;
    world_run(w, w->now + 40000);
    bury_leavers(s);
    mono_ms calm = s->last_death + death_ms(s);
    bool large = w->node_count >= LARGE_MIN;
    while (w->now < calm && !(large && deaths_are_known(w)))
        world_run(w, large ? w->now + 5000 : calm);
    w->split = false;
    w->loss = w->dup = 0;
    return until_agreed(s, 2 * world_pushpull_ms(w), "healing");
}

static double worst; /* time to heal, in periods of push/pull */

static bool run_seed(uint64_t seed, uint32_t nodes_max, bool talk)
{
    struct storm s;
    storm_init(&s, seed, nodes_max, talk);
    struct world *w = &s.w;
    for (uint32_t i = 0; i < w->node_count && !w->failed; i++) {
        node_start(&s, i);
        world_run(w, w->now + (mono_ms)rng_below(&w->rng, 100));
    }
    mono_ms formed = until_agreed(&s, FORM_MS, "start");
    uint64_t strikes = 10 + rng_below(&w->rng, 40);
    for (uint64_t i = 0; i < strikes && !w->failed; i++) {
        strike(&s);
        world_run(w, w->now + 100 + (mono_ms)rng_below(&w->rng, 20000));
        bury_leavers(&s);
    }
    mono_ms healed = heal(&s), period = world_pushpull_ms(w);
    double periods = (double)healed / (double)period;
    world_run(w, w->now + 60000); /* and it stays so */
    if (!w->failed && !agree(&s))
        world_fail(w, "agreement was lost again", "after healing");
    worst = periods > worst ? periods : worst;
    if (talk || w->failed)
        printf("seed %" PRIu64 ": %u nodes, %s: formed in %" PRId64 " ms, healed in %" PRId64
               " ms (%.2f periods), %" PRIu64 " events; replay: sim_gossip %" PRIu64 "\n",
               seed, w->node_count, w->failed ? "FAILED" : "ok", formed, healed, periods,
               w->events, seed);
    bool ok = !w->failed;
    storm_free(&s);
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, last = 15, passed = 0, failed = 0;
    const char *form = argc > 1 ? argv[1] : "";
    bool named = form[0] != '-' && form[0] != '\0';
    bool large = named || strcmp(form, "--long") == 0 || strcmp(form, "--range") == 0;
    if (strcmp(form, "--short") == 0)
        last = 4;
    if (strcmp(form, "--long") == 0)
        last = 5000;
    if (strcmp(form, "--range") == 0 && argc == 4) {
        first = strtoull(argv[2], NULL, 10);
        last = strtoull(argv[3], NULL, 10);
    }
    for (int i = 1; named && i < argc; i++) {
        uint64_t seed = strtoull(argv[i], NULL, 10);
        *(run_seed(seed, size_of(seed, large), true) ? &passed : &failed) += 1;
    }
    for (uint64_t seed = first; !named && seed <= last; seed++) {
        *(run_seed(seed, size_of(seed, large), false) ? &passed : &failed) += 1;
        if (large && seed % 100 == 0)
            printf("to seed %" PRIu64 ": %" PRIu64 " passed, %" PRIu64 " failed, %.2f periods\n",
                   seed, passed, failed, worst);
        fflush(stdout);
    }
    if (!named && strcmp(form, "--range") != 0) {
        uint64_t fresh = (uint64_t)clock_wall_ns() | 1; /* not large */
        printf("fresh seed %" PRIu64 "\n", fresh);
        *(run_seed(fresh, size_of(fresh, true), false) ? &passed : &failed) += 1;
    }
    printf("healed within %.2f periods of push/pull at most\n", worst);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
