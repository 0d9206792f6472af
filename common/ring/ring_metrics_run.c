/* ring/ring_metrics_run.c - a ring counted by states. */
#include "ring/ring_metrics_run.h"

#include <stdint.h>

#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "ring/desc.h"
#include "ring/lookup.h"

enum { STATES = 5, UNHEALTHY = 4 };

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

static struct by_state count_states(const struct ring *r, wall_ms now)
{
    struct by_state b = {0};
    b.tokens = r == NULL ? 0 : ring_token_count(r);
    for (size_t i = 0; r != NULL && i < ring_count(r); i++) {
        const struct ring_instance *in = ring_at(r, i);
        bool known = in->state >= 0 && in->state < UNHEALTHY;
        unsigned s = known && ring_is_healthy(r, in, RING_REPORTING, now) ? (unsigned)in->state
                                                                          : UNHEALTHY;
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
        metrics_emit(sink, METRIC_VALUES(state_label(s)), (double)b.oldest_s[s]);
}

static void emit_tokens(void *arg, struct metrics_sink *sink)
{
    metrics_emit(sink, NULL, (double)look(arg).tokens);
}

int ring_metrics_init(struct ring_metrics **out, struct metrics *m, const char *name,
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
    };
    const struct metric_label fixed[] = {{"name", name}, {NULL, NULL}};
    struct ring_metrics *r = mem_zalloc(sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    *r = (struct ring_metrics){m, view, arg};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof *all; i++)
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
