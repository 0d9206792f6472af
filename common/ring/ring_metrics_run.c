/* ring/ring_metrics_run.c - a ring counted by states and zones; a life counted. */
#include "ring/ring_metrics_run.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "ring/desc.h"
#include "ring/lookup.h"

enum { STATES = 5, UNHEALTHY = 4, ZONES_MAX = 32 };

struct by_state {
    uint32_t count[STATES];
    int64_t oldest_s[STATES]; /* 0: nobody */
    size_t tokens;
};

struct ring_metrics {
    struct metrics *m;
    ring_view_fn view;
    void *arg;
};

static unsigned state_of(const struct ring *r, const struct ring_instance *in, wall_ms now)
{
    bool known = in->state >= 0 && in->state < UNHEALTHY;
    return known && ring_is_healthy(r, in, RING_REPORTING, now) ? (unsigned)in->state
                                                                : UNHEALTHY;
}

static struct by_state count_states(const struct ring *r, wall_ms now)
{
    struct by_state b = {0};
    b.tokens = r == NULL ? 0 : ring_token_count(r);
    for (size_t i = 0; r != NULL && i < ring_count(r); i++) {
        const struct ring_instance *in = ring_at(r, i);
        unsigned s = state_of(r, in, now);
        if (b.count[s]++ == 0 || in->timestamp_s < b.oldest_s[s])
            b.oldest_s[s] = in->timestamp_s;
    }
    return b;
}

static struct by_state look(const struct ring_metrics *r)
{
    struct ring *ring = r->view(r->arg);
    struct by_state b = count_states(ring, clock_wall_ms());
    ring_drop(&ring);
    return b;
}

static struct str state_label(unsigned s)
{
    return s == UNHEALTHY ? STR("Unhealthy") : str_c(ring_state_name((int32_t)s));
}

static void emit_members(void *arg, struct metrics_sink *sink)
{
    struct by_state b = look(arg);
    for (unsigned s = 0; s < STATES; s++)
        metrics_emit(sink, METRIC_VALUES(state_label(s)), b.count[s]);
}

static void emit_oldest(void *arg, struct metrics_sink *sink)
{
    struct by_state b = look(arg);
    for (unsigned s = 0; s < STATES; s++)
        if (s != RING_ACTIVE || b.count[s] > 0)
            metrics_emit(sink, METRIC_VALUES(state_label(s)), (double)b.oldest_s[s]);
}

static void emit_tokens(void *arg, struct metrics_sink *sink)
{
    metrics_emit(sink, NULL, (double)look(arg).tokens);
}

/* Members of the first ZONES_MAX zones that have any. */
struct by_zone {
    size_t count;
    struct str names[ZONES_MAX];
    uint32_t members[ZONES_MAX][STATES];
};

static struct by_zone count_zones(const struct ring *r, wall_ms now)
{
    struct by_zone z = {0};
    for (size_t i = 0; i < ring_count(r); i++) {
        const struct ring_instance *in = ring_at(r, i);
        size_t at = 0;
        while (at < z.count && !str_eq(z.names[at], in->zone))
            at++;
        if (at == ZONES_MAX)
            continue;
        if (at == z.count)
            z.names[z.count++] = in->zone;
        z.members[at][state_of(r, in, now)]++;
    }
    return z;
}

static void emit_zones(void *arg, struct metrics_sink *sink)
{
    const struct ring_metrics *m = arg;
    struct ring *ring = m->view(m->arg);
    if (ring == NULL)
        return;
    struct by_zone z = count_zones(ring, clock_wall_ms());
    for (size_t i = 0; i < z.count; i++)
        for (unsigned s = 0; s < STATES; s++)
            metrics_emit(sink, METRIC_VALUES(z.names[i], state_label(s)), z.members[i][s]);
    ring_drop(&ring);
}

int ring_metrics_init(struct ring_metrics **out, struct metrics *m, const char *name, bool zones,
                      ring_view_fn view, void *arg, struct err *err)
{
    static const struct {
        struct metric_row row;
        metrics_collect_fn fn;
    } all[] = {
        {{METRIC_GAUGE, 0, "ring_members", "state", "Members of the ring, by state.", 0, NULL,
          0, 0},
         emit_members},
        {{METRIC_GAUGE, 0, "ring_oldest_member_timestamp", "state",
          "Timestamp of the oldest heartbeat of a member in the ring, in unix seconds.", 0,
          NULL, 0, 0},
         emit_oldest},
        {{METRIC_GAUGE, METRIC_PEER_NAME, "ring_tokens_total", "", "Tokens in the ring.", 0,
          NULL, 0, 0},
         emit_tokens},
        {{METRIC_GAUGE, 0, "ring_zone_members", "zone,state",
          "Members of the ring, by zone and state.", 0, NULL, 0, ZONES_MAX * STATES},
         emit_zones},
    };
    size_t count = sizeof all / sizeof *all - !zones;
    const struct metric_label fixed[] = {{"name", name}, {NULL, NULL}};
    struct ring_metrics *r = mem_zalloc(sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    *r = (struct ring_metrics){m, view, arg};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = metrics_collector(m, &all[i].row, fixed, all[i].fn, r, err);
    if (rc != 0) {
        ring_metrics_free(&r);
        return rc;
    }
    *out = r;
    return 0;
}

void ring_metrics_free(struct ring_metrics **r)
{
    if (*r == NULL)
        return;
    metrics_collector_remove((*r)->m, *r);
    mem_free(*r);
    *r = NULL;
}

static const struct metric_row kv_rows[] = {
    METRIC_HISTOGRAM_VEC_ROW(ring_kv_metrics, duration, 0, "kv_request_duration_seconds",
                             "operation,status_code",
                             "Time of uses of the key-value store, in seconds.", NULL, 0),
    {.kind = METRIC_END},
};

int ring_kv_metrics_init(struct ring_kv_metrics *out, struct metrics *m, const char *name,
                         const char *part, struct err *err)
{
    char kv_name[64];
    (void)snprintf(kv_name, sizeof kv_name, "%s-%s", name, part);
    const struct metric_label fixed[] = {
        {"kv_name", kv_name}, {"role", "primary"}, {"type", "memberlist"}, {NULL, NULL}};
    return m == NULL ? 0 : metrics_register(m, kv_rows, out, fixed, err);
}

void ring_kv_seen(const struct ring_kv_metrics *k, const char *operation, int rc,
                  int64_t duration_ns)
{
    struct str status = rc == 0 ? STR("200") : STR("500");
    histogram_observe(HISTOGRAM_AT(k->duration, str_c(operation), status),
                      (double)duration_ns / 1e9);
}

static const double shutdown_bounds[] = {10, 20, 40, 80, 160, 320, 640, 1280};

static const struct metric_row life_rows[] = {
    METRIC_COUNTER_ROW(ring_life_metrics, heartbeats, 0, "member_consul_heartbeats_total",
                       "Heartbeats that this member wrote to the ring."),
    METRIC_HISTOGRAM_VEC_ROW(ring_life_metrics, shutdown, 0, "shutdown_duration_seconds",
                             "op,status", "Time of a clean stop, in seconds.", shutdown_bounds,
                             8),
    METRIC_GAUGE_ROW(ring_life_metrics, read_only, 0, "lifecycler_read_only",
                     "1 while this member is marked read-only in the ring."),
    {.kind = METRIC_END},
};

static const struct metric_row basic_rows[] = {
    METRIC_COUNTER_ROW(ring_life_metrics, heartbeats, 0, "ring_member_heartbeats_total",
                       "Heartbeats that this member wrote to the ring."),
    METRIC_GAUGE_ROW(ring_life_metrics, owned, 0, "ring_member_tokens_owned",
                     "Tokens that this member has in the ring."),
    METRIC_GAUGE_ROW(ring_life_metrics, to_own, 0, "ring_member_tokens_to_own",
                     "Tokens that this member is to have in the ring."),
    METRIC_GAUGE_ROW(ring_life_metrics, read_only, 0, "lifecycler_read_only",
                     "1 while this member is marked read-only in the ring."),
    {.kind = METRIC_END},
};

int ring_life_metrics_init(struct ring_life_metrics *out, struct metrics *m, const char *name,
                           bool basic, struct err *err)
{
    const struct metric_label fixed[] = {{"name", name}, {NULL, NULL}};
    if (m == NULL)
        return 0;
    int rc = metrics_register(m, basic ? basic_rows : life_rows, out, fixed, err);
    return rc != 0 ? rc : ring_kv_metrics_init(&out->kv, m, name, "lifecycler", err);
}
