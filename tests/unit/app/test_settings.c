/* The tables of all roles: defaults parse, bounds are kept. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/settings.h"
#include "conf/conf.h"

#include <stdio.h>
#include <string.h>

static struct conf *conf; /* has the texts of what was loaded last */

static int unload(void **state)
{
    (void)state;
    conf_free(&conf);
    return 0;
}

static int load(struct settings *s, int argc, const char *const *argv, struct err *err)
{
    static struct conf_section sections[SETTINGS_SECTIONS];
    conf_free(&conf);
    memset(s, 0, sizeof *s);
    settings_sections(s, sections);
    int rc = conf_init(&conf, sections, SETTINGS_SECTIONS, err);
    if (rc == 0)
        rc = conf_args(conf, argc, argv, err);
    return rc != 0 ? rc : conf_apply(conf, err);
}

static void defaults_are_pyroscopes_or_documented(void **state)
{
    (void)state;
    struct settings s;
    struct err err = {0};
    const char *argv[] = {"ingester"};
    if (load(&s, 1, argv, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(s.ring.replication_factor, 1);
    assert_int_equal(s.ring.heartbeat_timeout_ms, 60000);
    assert_int_equal(s.ingester.num_tokens, 128);
    assert_int_equal(s.ingester.min_ready_ms, 0);
    assert_false(s.ingester.ready_on_ring_health);
    assert_true(s.ingester.auto_forget);
    assert_string_equal(s.distributor_ring.prefix, "collectors/");
    assert_int_equal(s.distributor_ring.heartbeat_period_ms, 15000);
    assert_int_equal(s.distributor_ring.heartbeat_timeout_ms, 60000);
    assert_string_equal(s.distributor_ring.id, "");
    assert_int_equal(s.distributor_ring.port, 0);
    assert_int_equal(s.distributor.push_timeout_ms, 5000);
    assert_int_equal(s.limits.profile_bytes_max, 4194304);
    assert_int_equal(s.limits.reject_older_ms, 3600000);
    assert_int_equal(s.limits.query_length_ms, 86400000);
    assert_int_equal(s.limits.query_lookback_ms, 7 * 86400000);
    assert_int_equal(s.limits.nodes_default, 8192);
    assert_int_equal(s.ingester.vector_limit, 262144);
}

static void values_out_of_bounds_are_refused_by_name(void **state)
{
    (void)state;
    static char long_prefix[2][300];
    for (int i = 0; i < 2; i++)
        (void)snprintf(long_prefix[i], sizeof long_prefix[i], "-%s=%0240d",
                       i == 0 ? "ring.prefix" : "distributor.ring.prefix", 1);
    const char *bad[] = {"-ring.store=consul", "-distributor.replication-factor=0",
                         "-ingester.wal-sync=sometimes", "-ingester.num-tokens=0",
                         "-ring.heartbeat-timeout=0", "-distributor.ring.store=etcd",
                         "-distributor.ring.heartbeat-timeout=0",
                         "-distributor.ring.instance-port=65536", long_prefix[0],
                         long_prefix[1], "-distributor.push.timeout=0s",
                         "-distributor.push.timeout=2h", "-querier.query-timeout=0s",
                         "-querier.exact-vector-timeout=0s",
                         "-distributor.ingestion-body-limit-mb=-1",
                         "-distributor.ingestion-body-limit-mb=0",
                         "-distributor.ingestion-body-limit-mb=1e30"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct settings s;
        struct err err = {0};
        const char *argv[] = {"ingester", bad[i]};
        assert_int_equal(load(&s, 2, argv, &err), ERR_INVAL);
        char flag[64];
        size_t n = strcspn(bad[i], "=");
        memcpy(flag, bad[i], n);
        flag[n] = '\0';
        assert_non_null(strstr(err.msg, flag));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_pyroscopes_or_documented),
        cmocka_unit_test(values_out_of_bounds_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, unload);
}
