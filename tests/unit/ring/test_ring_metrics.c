/* A ring is counted by states, every state is there, and the silent are Unhealthy. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/ring_metrics_run.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "ring/desc.h"
#include "ring/lookup.h"

static struct ring *view_of(void *arg)
{
    struct ring **r = arg;
    return *r == NULL ? NULL : ring_hold(*r);
}

static bool shows(struct metrics *m, const char *text)
{
    struct buf b = {0};
    metrics_expose(m, &b);
    bool found = str_contains(buf_view(&b), str_c(text));
    buf_reset(&b);
    return found;
}

static void members_are_counted_by_state(void **state)
{
    (void)state;
    struct metrics *m = NULL;
    struct ring_metrics *rm = NULL;
    struct ring_desc *d = NULL;
    struct ring *r = NULL;
    int64_t now = clock_wall_ms() / 1000;
    uint32_t tokens[] = {1, 2, 3};
    static const struct {
        const char *id;
        int32_t state;
        int64_t age_s;
    } all[] = {{"a", RING_ACTIVE, 10},
               {"b", RING_ACTIVE, 20},
               {"c", RING_JOINING, 5},
               {"d", RING_ACTIVE, 1000},
               {"e", RING_LEAVING, 900}};
    assert_int_equal(metrics_init(&m, "pyroscope", NULL), 0);
    assert_int_equal(ring_metrics_init(&rm, m, "ingester", view_of, &r, NULL), 0);
    assert_true(shows(m, "pyroscope_ring_members{state=\"ACTIVE\",name=\"ingester\"} 0\n"));
    assert_int_equal(ring_desc_init(&d), 0);
    for (size_t i = 0; i < 5; i++) {
        const struct ring_instance in = {.id = str_c(all[i].id),
                                         .state = all[i].state,
                                         .timestamp_s = now - all[i].age_s,
                                         .tokens = i == 0 ? tokens : NULL,
                                         .token_count = i == 0 ? 3 : 0};
        assert_int_equal(ring_desc_put(d, &in), 0);
    }
    const struct ring_options o = {.replication_factor = 3, .heartbeat_timeout_ms = 60000};
    assert_int_equal(ring_init(&r, d, &o, NULL), 0);
    assert_true(shows(m, "pyroscope_ring_members{state=\"ACTIVE\",name=\"ingester\"} 2\n"
                         "pyroscope_ring_members{state=\"LEAVING\",name=\"ingester\"} 0\n"
                         "pyroscope_ring_members{state=\"PENDING\",name=\"ingester\"} 0\n"
                         "pyroscope_ring_members{state=\"JOINING\",name=\"ingester\"} 1\n"
                         "pyroscope_ring_members{state=\"Unhealthy\",name=\"ingester\"} 2\n"));
    assert_true(shows(m, "pyroscope_ring_tokens_total{name=\"ingester\"} 3\n"));
    char want[128];
    (void)snprintf(
        want, sizeof want,
        "pyroscope_ring_oldest_member_timestamp{state=\"Unhealthy\",name=\"ingester\"} "
        "%lld\n",
        (long long)(now - 1000));
    assert_true(shows(m, want));
    assert_true(shows(m, "timestamp{state=\"PENDING\",name=\"ingester\"} 0\n"));
    ring_metrics_free(&rm);
    assert_false(shows(m, "ring_members"));
    ring_drop(&r);
    ring_desc_free(&d);
    metrics_free(&m);
}

static void running_out_of_memory_registers_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct metrics *m = NULL;
        struct ring_metrics *rm = NULL;
        struct ring *r = NULL;
        assert_int_equal(metrics_init(&m, "p", NULL), 0);
        mem_fail_at(n);
        int rc = ring_metrics_init(&rm, m, "x", view_of, &r, NULL);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(shows(m, "ring_members"), rc == 0);
        ring_metrics_free(&rm);
        metrics_free(&m);
        if (pending) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_counted_by_state),
        cmocka_unit_test(running_out_of_memory_registers_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
