/* Tables become metrics; what is exposed is what was counted, in valid text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "metrics/metrics.h"

#include <pthread.h>

#include "base/mem.h"

struct demo {
    struct counter *packets;
    struct counter_vec *errors;
    struct gauge *queue;
    struct gauge_vec *members;
    struct histogram *seconds;
    struct histogram_vec *calls;
};

static const double bounds[] = {0.1, 1, 10};

static const struct metric_row rows[] = {
    METRIC_COUNTER_ROW(demo, packets, 0, "packets_total", "Packets seen."),
    METRIC_COUNTER_VEC_ROW(demo, errors, 0, "errors_total", "queue,reason", "Errors."),
    METRIC_GAUGE_ROW(demo, queue, 0, "queue_bytes", "Bytes waiting."),
    METRIC_GAUGE_VEC_ROW(demo, members, 0, "ring_members", "state", "Members."),
    METRIC_HISTOGRAM_ROW(demo, seconds, 0, "wait_seconds", "Waits.", bounds, 3),
    METRIC_HISTOGRAM_VEC_ROW(demo, calls, METRIC_BARE, "call_seconds", "route", "Calls.", NULL,
                             0),
    {.kind = METRIC_END},
};

static struct metrics *fresh(struct demo *d, const char *ns)
{
    struct metrics *m = NULL;
    assert_int_equal(metrics_init(&m, ns, NULL), 0);
    assert_int_equal(metrics_register(m, rows, d, NULL, NULL), 0);
    return m;
}

static bool shows(struct metrics *m, const char *text)
{
    struct buf b = {0};
    metrics_expose(m, &b);
    assert_int_equal(b.error, 0);
    bool found = str_contains(buf_view(&b), str_c(text));
    buf_reset(&b);
    return found;
}

static void the_text_is_exactly_as_prometheus_wants_it(void **state)
{
    (void)state;
    struct demo d = {0};
    struct metrics *m = fresh(&d, "pyroscope");
    counter_add(d.packets, 3);
    counter_inc(COUNTER_AT(d.errors, STR("b"), STR("x")));
    counter_inc(COUNTER_AT(d.errors, STR("a"), STR("say \"no\"\\\n")));
    counter_inc(COUNTER_AT(d.errors, STR("b"), STR("x")));
    gauge_set(d.queue, 0.1);
    gauge_add(d.queue, 0.2);
    histogram_observe(d.seconds, 0.1);
    histogram_observe(d.seconds, 5);
    histogram_observe(d.seconds, 50);
    struct buf b = {0};
    metrics_expose(m, &b);
    const char *want =
        "# HELP pyroscope_errors_total Errors.\n"
        "# TYPE pyroscope_errors_total counter\n"
        "pyroscope_errors_total{queue=\"a\",reason=\"say \\\"no\\\"\\\\\\n\"} 1\n"
        "pyroscope_errors_total{queue=\"b\",reason=\"x\"} 2\n"
        "# HELP pyroscope_metrics_series_overflows_total Look-ups of a label set "
        "that ended in the series of all others, because the metric has as many as "
        "it may have.\n"
        "# TYPE pyroscope_metrics_series_overflows_total counter\n"
        "pyroscope_metrics_series_overflows_total 0\n"
        "# HELP pyroscope_packets_total Packets seen.\n"
        "# TYPE pyroscope_packets_total counter\n"
        "pyroscope_packets_total 3\n"
        "# HELP pyroscope_queue_bytes Bytes waiting.\n"
        "# TYPE pyroscope_queue_bytes gauge\n"
        "pyroscope_queue_bytes 0.30000000000000004\n"
        "# HELP pyroscope_wait_seconds Waits.\n"
        "# TYPE pyroscope_wait_seconds histogram\n"
        "pyroscope_wait_seconds_bucket{le=\"0.1\"} 1\n"
        "pyroscope_wait_seconds_bucket{le=\"1\"} 1\n"
        "pyroscope_wait_seconds_bucket{le=\"10\"} 2\n"
        "pyroscope_wait_seconds_bucket{le=\"+Inf\"} 3\n"
        "pyroscope_wait_seconds_sum 55.1\n"
        "pyroscope_wait_seconds_count 3\n";
    assert_int_equal(b.size, strlen(want));
    assert_memory_equal(b.data, want, b.size);
    buf_reset(&b);
    metrics_free(&m);
    assert_null(m);
}

static void a_bare_name_has_no_namespace_and_le_comes_last(void **state)
{
    (void)state;
    struct demo d = {0};
    struct metrics *m = fresh(&d, "phlare");
    histogram_observe(HISTOGRAM_AT(d.calls, STR("/push")), 0.2);
    assert_true(shows(m, "\ncall_seconds_bucket{route=\"/push\",le=\"0.25\"} 1\n"));
    assert_true(shows(m, "\ncall_seconds_count{route=\"/push\"} 1\n"));
    assert_true(shows(m, "phlare_packets_total 0\n"));
    assert_false(shows(m, "ring_members")); /* no series, no lines */
    metrics_free(&m);
    m = fresh(&d, "");
    assert_true(shows(m, "\npackets_total 0\n"));
    metrics_free(&m);
}

static void one_table_serves_two_rings_by_a_fixed_label(void **state)
{
    (void)state;
    struct demo a = {0}, b = {0}, c = {0};
    struct metrics *m = NULL;
    struct err err = {0};
    const struct metric_label ingester[] = {{"name", "ingester"}, {NULL, NULL}};
    const struct metric_label compactor[] = {{"name", "compactor"}, {NULL, NULL}};
    assert_int_equal(metrics_init(&m, "p", NULL), 0);
    assert_int_equal(metrics_register(m, rows, &a, ingester, NULL), 0);
    assert_int_equal(metrics_register(m, rows, &b, compactor, NULL), 0);
    counter_inc(a.packets);
    gauge_set(GAUGE_AT(b.members, STR("ACTIVE")), 4);
    assert_true(shows(
        m, "p_packets_total{name=\"compactor\"} 0\np_packets_total{name=\"ingester\"} 1\n"));
    assert_true(shows(m, "p_ring_members{state=\"ACTIVE\",name=\"compactor\"} 4\n"));
    assert_int_equal(metrics_register(m, rows, &c, ingester, &err), ERR_EXIST);
    assert_string_equal(err.msg, "metric p_packets_total: registered twice");
    assert_int_equal(metrics_register(m, rows, &c, NULL, &err), ERR_INVAL);
    assert_string_equal(err.msg, "metric p_packets_total: registered before in another shape");
    metrics_free(&m);
}

static void too_many_label_sets_share_one_series(void **state)
{
    (void)state;
    static const struct metric_row small[] = {
        {METRIC_COUNTER, 0, "x_total", "tenant", "X.", 0, NULL, 0, 2}, {.kind = METRIC_END}};
    struct metrics *m = NULL;
    struct counter_vec *v = NULL;
    assert_int_equal(metrics_init(&m, "p", NULL), 0);
    assert_int_equal(metrics_register(m, small, &v, NULL, NULL), 0);
    static const char *const tenants[] = {"a", "b", "c", "d", "a"};
    for (size_t i = 0; i < 5; i++)
        counter_inc(COUNTER_AT(v, str_c(tenants[i])));
    assert_true(shows(m, "p_x_total{tenant=\"__other__\"} 2\np_x_total{tenant=\"a\"} 2\n"
                         "p_x_total{tenant=\"b\"} 1\n"));
    assert_true(shows(m, "p_metrics_series_overflows_total 2\n"));
    metrics_free(&m);
}

static void label_values_are_told_apart_at_any_length(void **state)
{
    (void)state;
    static const struct metric_row row[] = {
        {METRIC_COUNTER, 0, "x_total", "a,b", "X.", 0, NULL, 0, 0}, {.kind = METRIC_END}};
    static char text[1000];
    struct metrics *m = NULL;
    struct counter_vec *v = NULL;
    assert_int_equal(metrics_init(&m, "p", NULL), 0);
    assert_int_equal(metrics_register(m, row, &v, NULL, NULL), 0);
    memset(text, 'x', sizeof text);
    /* Where a value ends is part of it, and none is cut. */
    for (size_t len = 0; len < sizeof text; len += 37)
        counter_inc(COUNTER_AT(v, str_of(text, len), str_of(text, sizeof text - len)));
    for (size_t len = 0; len < sizeof text; len += 37) {
        struct counter *c = COUNTER_AT(v, str_of(text, len), str_of(text, sizeof text - len));
        assert_int_equal(counter_get(c), 1);
    }
    metrics_free(&m);
}

static void what_is_not_measured_costs_nothing(void **state)
{
    (void)state;
    struct demo d = {0};
    counter_inc(d.packets);
    assert_int_equal(counter_get(d.packets), 0);
    counter_inc(COUNTER_AT(d.errors, STR("a"), STR("b")));
    gauge_set(d.queue, 1);
    gauge_add(GAUGE_AT(d.members, STR("x")), 1);
    assert_true(gauge_get(d.queue) <= 0);
    histogram_observe(d.seconds, 1);
    histogram_observe(HISTOGRAM_AT(d.calls, STR("x")), 1);
}

static void emit_two(void *arg, struct metrics_sink *sink)
{
    const double *base = arg;
    metrics_emit(sink, METRIC_VALUES(STR("b")), *base + 1);
    metrics_emit(sink, METRIC_VALUES(STR("a")), *base);
}

static void a_collector_is_asked_until_it_is_removed(void **state)
{
    (void)state;
    static const struct metric_row row = {METRIC_GAUGE, 0, "depth", "queue", "D.", 0,
                                          NULL,         0, 0};
    struct metrics *m = NULL;
    struct err err = {0};
    double one = 10, two = 20;
    const struct metric_label fixed[] = {{"ring", "r1"}, {NULL, NULL}};
    const struct metric_label other[] = {{"ring", "r2"}, {NULL, NULL}};
    assert_int_equal(metrics_init(&m, "p", NULL), 0);
    assert_int_equal(metrics_collector(m, &row, fixed, emit_two, &one, NULL), 0);
    assert_int_equal(metrics_collector(m, &row, other, emit_two, &two, NULL), 0);
    assert_int_equal(metrics_collector(m, &row, fixed, emit_two, &one, &err), ERR_EXIST);
    assert_true(shows(m, "# TYPE p_depth gauge\np_depth{queue=\"b\",ring=\"r1\"} 11\n"));
    assert_true(shows(m, "p_depth{queue=\"a\",ring=\"r2\"} 20\n"));
    metrics_collector_remove(m, &one);
    assert_false(shows(m, "r1"));
    assert_true(shows(m, "# TYPE p_depth gauge\np_depth{queue=\"b\",ring=\"r2\"} 21\n"));
    assert_int_equal(metrics_collector(m, &row, fixed, emit_two, &one, NULL), 0);
    assert_true(shows(m, "r1"));
    struct metric_row histogram = row;
    histogram.kind = METRIC_HISTOGRAM;
    histogram.name = "h";
    assert_int_equal(metrics_collector(m, &histogram, fixed, emit_two, &one, &err), ERR_INVAL);
    metrics_free(&m);
}

static void refuse(struct metric_row row, const char *why)
{
    struct err err = {0};
    const struct metric_row table[] = {row, {.kind = METRIC_END}};
    assert_int_equal(metrics_check(table, &err), ERR_INVAL);
    assert_string_equal(err.msg, why);
}

static void a_table_that_breaks_the_rules_is_refused(void **state)
{
    (void)state;
    static const double falling[] = {2, 1};
    const struct metric_row good = {METRIC_COUNTER, 0, "a_total", "x,y", "A.", 0, NULL, 0, 0};
    struct metric_row r = good;
    assert_int_equal(metrics_check(rows, NULL), 0);
    r.name = "a";
    refuse(r, "metric a: a counter must end in _total");
    r.bits = METRIC_PEER_NAME;
    assert_int_equal(metrics_check((const struct metric_row[]){r, {.kind = METRIC_END}}, NULL),
                     0);
    r = good;
    r.kind = METRIC_GAUGE;
    refuse(r, "metric a_total: only counters end in _total");
    r = good;
    r.name = "1a_total";
    refuse(r, "metric 1a_total: the name is not valid");
    r = good;
    r.help = "";
    refuse(r, "metric a_total: no help");
    r = good;
    r.labels = "x,le";
    refuse(r, "metric a_total: a label's name is not valid");
    r.labels = "x,,y";
    refuse(r, "metric a_total: a label's name is not valid");
    r.labels = "x,y,x";
    refuse(r, "metric a_total: a label stands twice");
    r.labels = "a,b,c,d,e,f,g,h,i";
    refuse(r, "metric a_total: too many labels");
    r = (struct metric_row){METRIC_HISTOGRAM, 0, "h", "", "H.", 0, falling, 2, 0};
    refuse(r, "metric h: bounds must rise, without +Inf");
    struct err err = {0};
    assert_int_equal(
        metrics_check((const struct metric_row[]){good, good, {.kind = METRIC_END}}, &err),
        ERR_INVAL);
    assert_string_equal(err.msg, "metric a_total: stands twice in a table");
    struct metrics *m = NULL;
    assert_int_equal(metrics_init(&m, "no-name", &err), ERR_INVAL);
    assert_null(m);
}

enum { ADDERS = 4, ROUNDS = 20000 };

static struct demo shared;

static void *add_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        counter_inc(shared.packets);
        gauge_add(shared.queue, 1);
        histogram_observe(shared.seconds, 0.5);
        if (i % 100 == 0)
            counter_inc(
                COUNTER_AT(shared.errors, STR("q"), i % 200 == 0 ? STR("a") : STR("b")));
    }
    return NULL;
}

static void no_increment_is_lost_between_threads(void **state)
{
    (void)state;
    struct metrics *m = fresh(&shared, "p");
    pthread_t t[ADDERS];
    for (int i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 50; i++)
        assert_true(shows(m, "p_packets_total "));
    for (int i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_true(shows(m, "p_packets_total 80000\n"));
    assert_true(shows(m, "p_queue_bytes 80000\n"));
    assert_true(shows(m, "p_wait_seconds_sum 40000\np_wait_seconds_count 80000\n"));
    assert_true(shows(m, "p_errors_total{queue=\"q\",reason=\"a\"} 400\n"));
    metrics_free(&m);
}

static void running_out_of_memory_is_an_error_everywhere(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct metrics *m = NULL;
        struct demo d = {0};
        mem_fail_at(n);
        int rc = metrics_init(&m, "p", NULL);
        if (rc == 0)
            rc = metrics_register(m, rows, &d, NULL, NULL);
        if (rc == 0 && GAUGE_AT(d.members, STR("x")) == NULL)
            rc = ERR_NOMEM;
        int pending = mem_fail_pending();
        mem_fail_at(0);
        metrics_free(&m);
        if (pending) {
            assert_int_equal(rc, 0);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_exactly_as_prometheus_wants_it),
        cmocka_unit_test(a_bare_name_has_no_namespace_and_le_comes_last),
        cmocka_unit_test(one_table_serves_two_rings_by_a_fixed_label),
        cmocka_unit_test(too_many_label_sets_share_one_series),
        cmocka_unit_test(label_values_are_told_apart_at_any_length),
        cmocka_unit_test(what_is_not_measured_costs_nothing),
        cmocka_unit_test(a_collector_is_asked_until_it_is_removed),
        cmocka_unit_test(a_table_that_breaks_the_rules_is_refused),
        cmocka_unit_test(no_increment_is_lost_between_threads),
        cmocka_unit_test(running_out_of_memory_is_an_error_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
