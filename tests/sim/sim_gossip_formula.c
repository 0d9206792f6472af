/* How long it takes until a change is everywhere and until a death is known, against the formulae,
 * in virtual time (tests/lib/gossip_world.h); and that the options move it the way they say.
 *
 *   sim_gossip_formula          30 members, some seeds (`make test`)
 *   sim_gossip_formula --short  fewer (sanitizer runs)
 *   sim_gossip_formula --long   10, 30, 100 and 300 members, 200 seeds each
 *
 * Spread: each member that has the change sends it to `nodes` others every `interval`, at times of
 * its own, so who has it grows as e^(rt), and the last is reached as 1 - e^(-n^2 e^(-rt)): the
 * median of the whole is (2 ln n - ln ln 2) / r, with r = nodes / interval without delay and
 * r e^(rd) = nodes / interval with a delay of d.
 * Death: one of n - 1 probers meets it after (n - 1)(1 - 2^(-1/(n - 1))) intervals (the median of
 * the least of n - 1 places in as long a round), waits one interval for the answer, and suspects
 * for suspicion_mult x max(1, log10 n) intervals: others find the same long before and confirm.
 * Medians over the seeds must be within 10 % of these. gossip-interval, gossip-nodes,
 * pullpush-interval and retransmit-factor move the 99th percentile of a change's arrival. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/gossip_world.h"
#include "base/assert.h"
#include "base/mem.h"
#include "gossip/codec.h"
#include "ring/desc.h"

enum { SEEDS_MAX = 200, DELAY_MS = 2, ARRIVALS_MAX = 1 << 16 };

static const struct str key = STR_INIT("sim/ring");
static uint64_t passed, failed;

/* One change on its way. */
struct watch {
    int64_t at_s, changes;
    mono_ms made, all, first_dead;
    uint32_t arrived, of; /* of: whose entry; whose death */
    bool *has;
    mono_ms *times; /* of arrivals; NULL: not kept */
    size_t *time_count;
};

static void check_arrival(struct world *w, uint32_t i)
{
    struct watch *s = w->arg;
    const struct ring_desc *d = kv_get(gossip_core_kv(w->nodes[i].core), key);
    const struct ring_instance *in =
        s->at_s == 0 || s->has[i] || d == NULL ? NULL
                                               : ring_desc_find(d, str_c(w->nodes[s->of].name));
    if (in == NULL || in->timestamp_s < s->at_s)
        return;
    s->has[i] = true;
    if (s->times != NULL)
        s->times[(*s->time_count)++] = w->now - s->made;
    if (++s->arrived == w->node_count)
        s->all = w->now - s->made;
}

static void look(struct world *w, uint32_t i)
{
    struct watch *s = w->arg;
    check_arrival(w, i);
    if (s->first_dead != MONO_NEVER || w->nodes[s->of].core != NULL)
        return;
    const struct member *m = members_get(world_members(w, i), str_c(w->nodes[s->of].name));
    if (m == NULL || m->state == MEMBER_DEAD)
        s->first_dead = w->now;
}

static int write_own(void *arg, void **value)
{
    const struct watch *s = arg;
    struct ring_desc *d = *value;
    char name[WORLD_NAME_MAX];
    (void)snprintf(name, sizeof name, "node-%u", s->of);
    struct ring_instance in = {
        .id = str_c(name), .addr = str_c(name), .timestamp_s = s->at_s, .state = RING_ACTIVE};
    if (d == NULL && ring_desc_init(&d) != 0)
        return ERR_NOMEM;
    *value = d;
    return ring_desc_put(d, &in) == 0 ? KV_STORE : ERR_NOMEM;
}

static void make_change(struct world *w, struct watch *s)
{
    s->of = world_any(w);
    s->at_s = WORLD_WALL0_S + 100000 + ++s->changes; /* newer than any before */
    s->made = w->now;
    s->arrived = 0;
    s->all = MONO_NEVER;
    memset(s->has, 0, w->node_count * sizeof *s->has);
    int rc = kv_cas(gossip_core_kv(w->nodes[s->of].core), key, "ringDesc", write_own, s,
                    s->at_s * 1000);
    ASSERT(rc == 0);
    world_poke(w, s->of);
}

static void start(struct world *w, struct watch *s, uint64_t seed, uint32_t nodes,
                  const struct gossip_core_config *config)
{
    world_init(w, seed, nodes);
    if (config != NULL)
        w->config = *config;
    *s = (struct watch){.all = MONO_NEVER, .first_dead = MONO_NEVER};
    s->has = mem_calloc(nodes, sizeof *s->has);
    ASSERT(s->has != NULL);
    w->config.members.compression = PACKET_PLAIN;
    w->delay_min_ms = w->delay_ms = DELAY_MS;
    w->codec = &ring_codec;
    w->arg = s;
    w->after = look;
    bool formed = world_start_all(w, 3000, 120000);
    ASSERT(formed);
    world_run(w, w->now + 10000 + (mono_ms)rng_below(&w->rng, 1000)); /* the queues are empty */
}

static void end(struct world *w, struct watch *s)
{
    mem_free(s->has);
    world_free(w);
}

/* --- the formulae --------------------------------------------------------------------------- */

static double spread_formula(const struct memberlist_config *c, uint32_t n)
{
    double beta = (double)c->gossip_nodes / c->gossip_interval_ms, r = beta;
    for (int i = 0; i < 50; i++) /* r e^(r d) = beta */
        r = beta * exp(-r * DELAY_MS);
    return (2 * log(n) - log(log(2))) / r;
}

static double detect_formula(const struct memberlist_config *c, uint32_t n)
{
    double others = n - 1, scale = log10(n) > 1 ? log10(n) : 1;
    double found = others * (1 - pow(2, -1 / others));
    return c->probe_interval_ms * (found + 1 + c->suspicion_mult * scale);
}

static int by_value(const void *a, const void *b)
{
    mono_ms x = *(const mono_ms *)a, y = *(const mono_ms *)b;
    return (x > y) - (x < y);
}

static void check_median(const char *what, uint32_t n, mono_ms *times, uint64_t count,
                         double formula)
{
    qsort(times, count, sizeof *times, by_value);
    double median = (double)(times[(count - 1) / 2] + times[count / 2]) / 2;
    bool ok = fabs(median / formula - 1) <= 0.10;
    printf("%s among %u, %" PRIu64 " seeds: median %.0f ms, formula %.0f ms, ratio %.3f%s\n",
           what, n, count, median, formula, median / formula, ok ? "" : "  FAILED");
    *(ok ? &passed : &failed) += 1;
}

static void check_size(uint32_t n, uint64_t seeds)
{
    static mono_ms spread[SEEDS_MAX], detect[SEEDS_MAX];
    struct memberlist_config c = memberlist_config_dskit();
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct world w;
        struct watch s;
        start(&w, &s, seed, n, NULL);
        make_change(&w, &s);
        world_run(&w, w.now + 20000);
        spread[seed - 1] = s.all;
        s.of = world_any(&w);
        mono_ms killed = w.now;
        world_kill(&w, s.of);
        while (s.first_dead == MONO_NEVER && w.now - killed < 600000)
            world_run(&w, w.now + 1000);
        detect[seed - 1] = s.first_dead == MONO_NEVER ? MONO_NEVER / 4 : s.first_dead - killed;
        end(&w, &s);
    }
    check_median("spread", n, spread, seeds, spread_formula(&c, n));
    check_median("death", n, detect, seeds, detect_formula(&c, n));
    fflush(stdout);
}

/* --- the options ---------------------------------------------------------------------------- */

struct setting {
    uint32_t gossip_ms, gossip_nodes, pushpull_ms, retransmit, loss;
};

/* 99th percentile of the arrivals of some changes at 40 members. */
static mono_ms arrival_99(struct setting o, uint32_t changes)
{
    static mono_ms times[ARRIVALS_MAX];
    struct gossip_core_config c = gossip_core_config_default();
    struct world w;
    struct watch s;
    size_t count = 0;
    uint32_t n = 40;
    c.members.gossip_interval_ms = o.gossip_ms;
    c.members.gossip_nodes = o.gossip_nodes;
    c.members.pushpull_interval_ms = o.pushpull_ms;
    c.members.retransmit_mult = c.kv.retransmit_mult = o.retransmit;
    c.members.probe_interval_ms = 0; /* loss is to hit the gossip alone */
    c.join.rejoin_ms = 0;
    start(&w, &s, 1, n, &c);
    w.loss = o.loss;
    s.times = times;
    s.time_count = &count;
    for (uint32_t k = 0; k < changes; k++) {
        make_change(&w, &s);
        mono_ms limit = w.now + 600000;
        while (s.arrived < n && w.now < limit)
            world_run(&w, w.now + 500);
        for (; s.arrived < n; s.arrived++)
            times[count++] = 600000;
    }
    end(&w, &s);
    qsort(times, count, sizeof *times, by_value);
    return times[count * 99 / 100];
}

static void check_option(const char *what, struct setting slower, struct setting faster,
                         uint32_t changes)
{
    mono_ms slow = arrival_99(slower, changes), fast = arrival_99(faster, changes);
    bool ok = (double)slow > 1.1 * (double)fast;
    printf("%s: 99th percentile %" PRId64 " ms against %" PRId64 " ms%s\n", what, slow, fast,
           ok ? "" : "  FAILED");
    *(ok ? &passed : &failed) += 1;
}

static void check_options(uint32_t changes)
{
    check_option("gossip-interval 400ms against 100ms", (struct setting){400, 3, 30000, 4, 0},
                 (struct setting){100, 3, 30000, 4, 0}, changes);
    check_option("gossip-nodes 1 against 4", (struct setting){200, 1, 30000, 4, 0},
                 (struct setting){200, 4, 30000, 4, 0}, changes);
    check_option("pullpush-interval 60s against 5s", (struct setting){200, 3, 60000, 2, 600},
                 (struct setting){200, 3, 5000, 2, 600}, changes);
    check_option("retransmit-factor 1 against 6", (struct setting){200, 3, 30000, 1, 600},
                 (struct setting){200, 3, 30000, 6, 600}, changes);
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = {10, 30, 100, 300};
    const char *form = argc > 1 ? argv[1] : "";
    if (strcmp(form, "--long") == 0) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            check_size(sizes[i], SEEDS_MAX);
        check_options(200);
    } else if (strcmp(form, "--short") == 0) {
        check_options(5);
    } else {
        check_size(30, SEEDS_MAX);
        check_options(40);
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
