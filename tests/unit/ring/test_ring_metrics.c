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
    assert_int_equal(ring_metrics_init(&rm, m, "ingester", false, view_of, &r, NULL), 0);
    assert_true(shows(m, "pyroscope_ring_members{state=\"ACTIVE\",name=\"ingester\"} 0\n"));
    assert_false(shows(m, "oldest_member_timestamp{state=\"ACTIVE\"")); /* nobody has no age */
    assert_true(shows(m, "oldest_member_timestamp{state=\"LEAVING\",name=\"ingester\"} 0\n"));
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

static void members_are_counted_by_zone_when_zones_matter(void **state)
{
    (void)state;
    struct metrics *m = NULL;
    struct ring_metrics *rm = NULL;
    struct ring_desc *d = NULL;
    struct ring *r = NULL;
    int64_t now = clock_wall_ms() / 1000;
    assert_int_equal(metrics_init(&m, "pyroscope", NULL), 0);
    assert_int_equal(ring_metrics_init(&rm, m, "ingester", true, view_of, &r, NULL), 0);
    assert_false(shows(m, "ring_zone_members{"));
    assert_int_equal(ring_desc_init(&d), 0);
    for (int i = 0; i < 40; i++) { /* more zones than are shown */
        char id[8], zone[8];
        (void)snprintf(id, sizeof id, "m%02d", i);
        (void)snprintf(zone, sizeof zone, "z%02d", i < 3 ? 0 : i);
        const struct ring_instance in = {.id = str_c(id),
                                         .zone = str_c(zone),
                                         .state = i == 1 ? RING_LEAVING : RING_ACTIVE,
                                         .timestamp_s = i == 2 ? now - 1000 : now};
        assert_int_equal(ring_desc_put(d, &in), 0);
    }
    const struct ring_options o = {
        .replication_factor = 3, .zone_aware = true, .heartbeat_timeout_ms = 60000};
    assert_int_equal(ring_init(&r, d, &o, NULL), 0);
    const char *const first[] = {"ACTIVE", "LEAVING", "Unhealthy"};
    for (size_t i = 0; i < 3; i++) {
        char want[128];
        (void)snprintf(
            want, sizeof want,
            "pyroscope_ring_zone_members{zone=\"z00\",state=\"%s\",name=\"ingester\"} 1\n",
            first[i]);
        assert_true(shows(m, want));
    }
    assert_true(shows(m, "zone=\"z00\",state=\"JOINING\",name=\"ingester\"} 0\n"));
    assert_true(shows(m, "zone=\"z33\",state=\"ACTIVE\",name=\"ingester\"} 1\n"));
    assert_false(shows(m, "z34"));
    assert_false(shows(m, "__other__"));
    ring_metrics_free(&rm);
    ring_drop(&r);
    ring_desc_free(&d);
    metrics_free(&m);
}

static void a_life_is_counted_as_the_peer_counts_its_kind(void **state)
{
    (void)state;
    struct metrics *m = NULL;
    struct ring_life_metrics life = {0}, basic = {0}, none = {0};
    assert_int_equal(metrics_init(&m, "pyroscope", NULL), 0);
    assert_int_equal(ring_life_metrics_init(&life, m, "ingester", false, NULL), 0);
    assert_int_equal(ring_life_metrics_init(&basic, m, "distributor", true, NULL), 0);
    assert_int_equal(ring_life_metrics_init(&none, NULL, "x", true, NULL), 0);
    counter_inc(life.heartbeats);
    counter_inc(none.heartbeats);
    counter_add(basic.heartbeats, 2);
    gauge_set(basic.owned, 1);
    gauge_set(basic.to_own, 1);
    histogram_observe(HISTOGRAM_AT(life.shutdown, STR("flush"), STR("success")), 15);
    ring_kv_seen(&basic.kv, "CAS", 0, 2000000);
    ring_kv_seen(&basic.kv, "CAS", ERR_NOMEM, 2000000);
    assert_true(shows(m, "pyroscope_member_consul_heartbeats_total{name=\"ingester\"} 1\n"));
    assert_true(shows(m, "pyroscope_ring_member_heartbeats_total{name=\"distributor\"} 2\n"));
    assert_true(shows(m, "pyroscope_ring_member_tokens_owned{name=\"distributor\"} 1\n"));
    assert_true(shows(m, "pyroscope_ring_member_tokens_to_own{name=\"distributor\"} 1\n"));
    assert_true(shows(m, "pyroscope_lifecycler_read_only{name=\"ingester\"} 0\n"));
    assert_true(shows(m, "shutdown_duration_seconds_bucket{op=\"flush\",status=\"success\","
                         "name=\"ingester\",le=\"20\"} 1\n"));
    static const char *const status[] = {"200", "500"};
    for (size_t i = 0; i < 2; i++) {
        char want[200];
        (void)snprintf(want, sizeof want,
                       "pyroscope_kv_request_duration_seconds_count{operation=\"CAS\","
                       "status_code=\"%s\",kv_name=\"distributor-lifecycler\","
                       "role=\"primary\",type=\"memberlist\"} 1\n",
                       status[i]);
        assert_true(shows(m, want));
    }
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
        int rc = ring_metrics_init(&rm, m, "x", true, view_of, &r, NULL);
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
        cmocka_unit_test(members_are_counted_by_zone_when_zones_matter),
        cmocka_unit_test(a_life_is_counted_as_the_peer_counts_its_kind),
        cmocka_unit_test(running_out_of_memory_registers_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
