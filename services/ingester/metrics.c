/* ingester/metrics.c - one table of figures. The figures of one exposition come from one look,
 * since collectors run one after the other with the registry locked. */
#include "metrics.h"

#include "standing.h"

#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "ring/dots.h"
#include "store/store.h"

enum {
    STATS_MS = 100,   /* age of the store's figures: those of one exposition are one look */
    LANES_MS = 15000, /* the walk over all tenants' dots is linear in them */
};

/* All that is looked at, so that a row of the table can say where it stands. */
struct look {
    struct store_stats store;
    uint64_t lanes, intervals;
    uint64_t writable;
};

struct figure {
    struct metric_row row;
    size_t offset; /* of a uint64_t in struct look */
    double unit;   /* what one of it is, in the metric's unit */
};

#define FIGURE(kind, bits, name, help, field, unit)                                            \
    {                                                                                          \
        {(kind), (bits), (name), "", (help), 0, NULL, 0, 0}, offsetof(struct look, field),     \
            (unit)                                                                             \
    }
#define GAUGE(name, field, unit, help)   FIGURE(METRIC_GAUGE, 0, name, help, field, unit)
#define COUNTER(name, field, unit, help) FIGURE(METRIC_COUNTER, 0, name, help, field, unit)

static const struct figure figures[] = {
    GAUGE("ingester_writable", writable, 1, "1: appends are taken; 0: they get 503."),
    GAUGE("ingester_tenants", store.tenants, 1, "Tenants with profiles here."),
    GAUGE("ingester_partitions", store.partitions, 1, "Partitions in all heads."),
    GAUGE("ingester_streams", store.streams, 1, "Streams of profiles in all heads."),
    GAUGE("ingester_exact_lanes", lanes, 1,
          "Writers of numbered profiles, counted once per tenant."),
    GAUGE("ingester_exact_intervals", intervals, 1,
          "Runs of numbers of profiles held; as many as lanes: no gap."),
    GAUGE("ingester_wal_bytes", store.log_bytes, 1, "Bytes of the log on the disk."),
    GAUGE("ingester_wal_segments", store.log_segments, 1, "Files of the log."),
    GAUGE("ingester_wal_generations", store.generations, 1,
          "Logs that follow one another; each fault of the disk begins a new one."),
    GAUGE("ingester_wal_replay_duration_seconds", store.replay_ms, 1e-3,
          "Time that the log took to be read at the start, in seconds."),
    GAUGE("ingester_wal_replay_bytes", store.replay_bytes, 1, "Bytes read at the start."),
    GAUGE("ingester_wal_replay_profiles", store.replay_profiles, 1,
          "Profiles read at the start."),
    GAUGE("ingester_wal_torn_tails", store.torn_tails, 1,
          "Unfinished ends of logs cut at the start: what was never acknowledged."),
    GAUGE("ingester_wal_torn_bytes", store.torn_bytes, 1, "Bytes of those."),
    GAUGE("ingester_wal_corruptions", store.corruptions, 1,
          "Damaged places found in the log at the start; 0 unless the disk lies."),
    COUNTER("ingester_wal_batches_total", store.batches, 1, "Writes to the log."),
    COUNTER("ingester_wal_syncs_total", store.syncs, 1, "Syncs of the log."),
    COUNTER("ingester_wal_sync_seconds_total", store.sync_ns, 1e-9,
            "Time spent in syncs, in seconds."),
    COUNTER("ingester_wal_failures_total", store.failures, 1,
            "Faults of the disk that ended a generation of the log."),
    COUNTER("ingester_appends_refused_no_space_total", store.refused_nospace, 1,
            "Appends refused because the disk is full."),
    COUNTER("ingester_known_profiles_total", store.known, 1,
            "Profiles that were sent again under the same number."),
};

enum { FIGURES = sizeof figures / sizeof *figures };

/* What a figure's collector is given. */
struct collected {
    struct ingester_metrics *owner;
    const struct figure *figure;
};

struct ingester_metrics {
    struct metrics *m;
    struct ingester_sources from;
    struct look look;
    mono_ms stats_at, lanes_at; /* of the look; 0: never */
    struct collected collected[FIGURES];
};

/* --- looking ------------------------------------------------------------------------------ */

static int add_lanes(void *arg, struct str tenant, const struct vector *held,
                     const struct aliases *repeats)
{
    struct look *look = arg;
    (void)tenant;
    (void)repeats;
    for (uint32_t i = 0; i < vector_count(held); i++)
        look->lanes += vector_seqs(held, i)->count > 0 ? 1 : 0;
    look->intervals += vector_runs(held);
    return 0;
}

static void refresh(struct ingester_metrics *i)
{
    mono_ms now = clock_mono_ms();
    if (i->stats_at == 0 || now - i->stats_at >= STATS_MS) {
        store_stats(i->from.store, &i->look.store);
        i->look.writable = i->look.store.writable ? 1 : 0;
        i->stats_at = now;
    }
    if (i->lanes_at == 0 || now - i->lanes_at >= LANES_MS) {
        struct look fresh = {0};
        if (store_held_all(i->from.store, STR(""), add_lanes, &fresh) == 0) {
            i->look.lanes = fresh.lanes;
            i->look.intervals = fresh.intervals;
        }
        i->lanes_at = now;
    }
}

static void collect_figure(void *arg, struct metrics_sink *sink)
{
    const struct collected *c = arg;
    uint64_t v;
    refresh(c->owner);
    memcpy(&v, (const char *)&c->owner->look + c->figure->offset, sizeof v);
    metrics_emit(sink, NULL, (double)v * c->figure->unit);
}

static void collect_disks(void *arg, struct metrics_sink *sink)
{
    const struct ingester_metrics *i = arg;
    uint32_t counts[DISK_STATES];
    standing_disks(i->from.standing, counts);
    for (unsigned s = 0; s < DISK_STATES; s++)
        metrics_emit(sink, METRIC_VALUES(str_c(disk_state_name((enum disk_state)s))),
                     counts[s]);
}

static void collect_memory(void *arg, struct metrics_sink *sink)
{
    const struct ingester_metrics *i = arg;
    const struct mem_account *const accounts[] = {i->from.heads, i->from.queries,
                                                  i->from.requests};
    for (size_t k = 0; k < sizeof accounts / sizeof *accounts; k++)
        metrics_emit(sink, METRIC_VALUES(str_c(accounts[k]->name)),
                     (double)atomic_load(&accounts[k]->used));
}

/* --- registering -------------------------------------------------------------------------- */

static const struct metric_row counter_rows[] = {
    METRIC_COUNTER_ROW(ingester_counters, profiles, 0, "head_profiles_created_total",
                       "Profiles that were stored."),
    METRIC_COUNTER_ROW(ingester_counters, samples, 0, "ingester_samples_total",
                       "Samples of profiles that were stored."),
    METRIC_COUNTER_ROW(ingester_counters, repeats, 0, "ingester_repeats_total",
                       "Profiles that were known already under another number."),
    {.kind = METRIC_END},
};

static const struct metric_row disks_row = {METRIC_GAUGE,
                                            0,
                                            "ingester_disks",
                                            "state",
                                            "Disks in the roster, by state.",
                                            0,
                                            NULL,
                                            0,
                                            0};
static const struct metric_row memory_row = {METRIC_GAUGE,
                                             0,
                                             "ingester_memory_bytes",
                                             "use",
                                             "Memory charged, in bytes.",
                                             0,
                                             NULL,
                                             0,
                                             0};

int ingester_metrics_init(struct ingester_metrics **out, struct metrics *m,
                          const struct ingester_sources *sources,
                          struct ingester_counters *counters, struct err *err)
{
    struct ingester_metrics *i = mem_zalloc(sizeof *i);
    if (i == NULL)
        return err_set(err, ERR_NOMEM, "no memory for metrics");
    i->m = m;
    i->from = *sources;
    int rc = metrics_register(m, counter_rows, counters, NULL, err);
    for (size_t k = 0; k < FIGURES && rc == 0; k++) {
        i->collected[k] = (struct collected){i, &figures[k]};
        rc = metrics_collector(m, &figures[k].row, NULL, collect_figure, &i->collected[k], err);
    }
    if (rc == 0)
        rc = metrics_collector(m, &disks_row, NULL, collect_disks, i, err);
    if (rc == 0)
        rc = metrics_collector(m, &memory_row, NULL, collect_memory, i, err);
    *out = i;
    if (rc != 0)
        ingester_metrics_free(out);
    return rc;
}

void ingester_metrics_free(struct ingester_metrics **i)
{
    if (*i == NULL)
        return;
    for (size_t k = 0; k < FIGURES; k++)
        metrics_collector_remove((*i)->m, &(*i)->collected[k]);
    metrics_collector_remove((*i)->m, *i);
    mem_free(*i);
    *i = NULL;
}
