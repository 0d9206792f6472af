/* The experiment of the Lifeguard paper (Dadgar, Phillips, Currey: "Lifeguard: Local Health
 * Awareness for More Accurate Failure Detection", 2018, section V) on our core: of 100 nodes at
 * LAN settings, C stand still for D, run for I, stand still again, for two minutes. Who stands
 * still may be declared dead; nobody else should be. Counted: healthy nodes that healthy nodes
 * hold for dead, the paper's FP-.
 *
 *   sim_gossip_lifeguard            a part of the grid (`make test`)
 *   sim_gossip_lifeguard --short    a smaller one (sanitizer runs)
 *   sim_gossip_lifeguard --long     all of it, with more seeds
 *   sim_gossip_lifeguard --grid N   all of it with N seeds a cell, printed as a table
 *   sim_gossip_lifeguard C D SEED   one cell under one seed, both algorithms
 *
 * C = 1 .. 16, D = 64 ms .. 32 s, I = 1 ms .. 16 s (by the seed). The plain algorithm is the same
 * core without awareness and without scaling of the suspicion: SWIM with its suspicion.
 * What must hold: no false death up to C = 8; above, no more than the plain algorithm has in the
 * same cell. That the experiment can fail at all is checked, too: over the whole grid the plain
 * algorithm has false deaths. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/gossip_world.h"
#include "base/assert.h"

enum { NODES = 100, RUN_MS = 120000, SAFE_C = 8 };

struct cell {
    struct world w;
    uint32_t c;
    bool stalled[NODES];       /* one of the C */
    bool dead[NODES][NODES];   /* observer, of whom: counted already */
    uint64_t false_deaths;     /* at healthy observers */
    uint64_t true_deaths;      /* of those that stand still, at healthy observers */
    mono_ms next[NODES];       /* when it stands still again */
};

/* After an event of a healthy node: whom does it hold for dead? */
static void count_deaths(struct world *w, uint32_t i)
{
    struct cell *cell = w->arg;
    const struct members *m = world_members(w, i);
    if (cell->c == 0 || cell->stalled[i])
        return;
    for (size_t k = 0; k < members_count(m); k++) {
        const struct member *one = members_at(m, k);
        uint32_t of = world_at(w, &one->addr);
        bool dead = one->state == MEMBER_DEAD;
        if (dead && !cell->dead[i][of])
            *(cell->stalled[of] ? &cell->true_deaths : &cell->false_deaths) += 1;
        cell->dead[i][of] = dead;
    }
}

static void set_lan(struct memberlist_config *m, bool plain)
{
    m->compression = PACKET_PLAIN;
    m->probe_interval_ms = 1000;
    m->probe_timeout_ms = 500;
    if (plain) {
        m->awareness_max = 1;
        m->suspicion_max_mult = 1;
    }
}

/* C nodes stand still for D and run for I, in turn. */
static void run_anomalies(struct cell *cell, mono_ms d, mono_ms i_ms)
{
    struct world *w = &cell->w;
    mono_ms end = w->now + RUN_MS;
    for (uint32_t n = 0; n < NODES; n++)
        cell->next[n] = cell->stalled[n] ? w->now : MONO_NEVER;
    while (w->now < end) {
        mono_ms due = end;
        for (uint32_t n = 0; n < NODES; n++) {
            if (cell->next[n] <= w->now) {
                world_block(w, n, d);
                cell->next[n] = w->now + d + i_ms;
            }
            due = cell->next[n] < due ? cell->next[n] : due;
        }
        world_run(w, due);
    }
    world_run(w, w->now + d + 20000); /* and what comes of it */
}

struct deaths {
    uint64_t wrong, right;
};

static struct deaths run_cell(uint32_t c, mono_ms d, uint64_t seed, bool plain)
{
    static struct cell cell;
    static const mono_ms intervals[] = {1, 16, 64, 256, 1024, 4096, 16384};
    cell = (struct cell){.c = 0};
    world_init(&cell.w, seed, NODES);
    set_lan(&cell.w.config.members, plain);
    cell.w.arg = &cell;
    cell.w.after = count_deaths;
    cell.w.delay_ms = 5;
    bool formed = world_start_all(&cell.w, 2000, 60000);
    ASSERT(formed);
    world_run(&cell.w, cell.w.now + 5000);
    mono_ms i_ms = intervals[rng_below(&cell.w.rng, sizeof intervals / sizeof intervals[0])];
    for (uint32_t k = 0; k < c;) {
        uint32_t n = (uint32_t)rng_below(&cell.w.rng, NODES);
        k += cell.stalled[n] ? 0 : 1;
        cell.stalled[n] = true;
    }
    cell.c = c;
    run_anomalies(&cell, d, i_ms);
    struct deaths deaths = {cell.false_deaths, cell.true_deaths};
    world_free(&cell.w);
    return deaths;
}

/* --- the grid ------------------------------------------------------------------------------- */

struct grid {
    uint32_t c[8];
    mono_ms d[16];
    size_t cs, ds;
    uint64_t seeds, first;
    bool print;
};

static uint64_t passed, failed, plain_total, ours_total, right_total;

static void check_cell(const struct grid *g, uint32_t c, mono_ms d)
{
    uint64_t ours = 0, plain = 0, right = 0;
    for (uint64_t s = 0; s < g->seeds; s++) {
        uint64_t seed = g->first + s;
        struct deaths mine = run_cell(c, d, seed, false);
        struct deaths theirs = c > SAFE_C || g->print ? run_cell(c, d, seed, true)
                                                      : (struct deaths){0, 0};
        if (c <= SAFE_C && mine.wrong > 0)
            printf("replay: sim_gossip_lifeguard %u %" PRId64 " %" PRIu64 "\n", c, d, seed);
        ours += mine.wrong;
        plain += theirs.wrong;
        right += mine.right;
    }
    bool ok = c <= SAFE_C ? ours == 0 : ours <= plain;
    if (!ok || g->print)
        printf("%2u x %5" PRId64 " ms: %5" PRIu64 " false deaths, plain %6" PRIu64 ", %6" PRIu64
               " true ones%s\n",
               c, d, ours, plain, right, ok ? "" : "  FAILED");
    fflush(stdout);
    *(ok ? &passed : &failed) += 1;
    ours_total += ours;
    plain_total += plain;
    right_total += right;
}

static void run_grid(const struct grid *g)
{
    for (size_t i = 0; i < g->cs; i++)
        for (size_t k = 0; k < g->ds; k++)
            check_cell(g, g->c[i], g->d[k]);
    bool can_fail = plain_total > 0 && right_total > 0;
    *(can_fail ? &passed : &failed) += 1;
    printf("false deaths at healthy nodes: %" PRIu64 ", plain %" PRIu64
           "; true ones %" PRIu64 "\n",
           ours_total, plain_total, right_total);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
}

int main(int argc, char **argv)
{
    struct grid part = {{8, 16}, {8192, 32768}, 2, 2, 1, 1, false};
    struct grid small = {{16}, {16384}, 1, 1, 1, 1, false};
    struct grid whole = {{1, 2, 4, 8, 12, 16},
                         {64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768},
                         6,
                         10,
                         10,
                         1,
                         true};
    const char *form = argc > 1 ? argv[1] : "";
    if (argc == 4) {
        uint32_t c = (uint32_t)strtoul(argv[1], NULL, 10);
        mono_ms d = (mono_ms)strtoul(argv[2], NULL, 10);
        uint64_t seed = strtoull(argv[3], NULL, 10);
        for (int plain = 0; plain < 2 && c > 0 && c <= NODES; plain++) {
            struct deaths deaths = run_cell(c, d, seed, plain == 1);
            printf("%s: %" PRIu64 " false deaths, %" PRIu64 " true ones\n",
                   plain == 1 ? "plain" : "ours", deaths.wrong, deaths.right);
        }
        return 0;
    }
    if (strcmp(form, "--grid") == 0 && argc == 3)
        whole.seeds = strtoull(argv[2], NULL, 10);
    bool all = strcmp(form, "--grid") == 0 || strcmp(form, "--long") == 0;
    run_grid(all ? &whole : strcmp(form, "--short") == 0 ? &small : &part);
    return failed == 0 ? 0 : 1;
}
