/* The options of -dns.*: what cannot work is refused with a reason. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "disco/config.h"

#include <string.h>

static int load(struct disco_config *c, struct conf **conf, struct err *err, const char *flag)
{
    static struct conf_section section;
    section = (struct conf_section){"Names", "dns.", "dns", disco_rows, c, disco_config_validate};
    const char *argv[] = {"x", flag};
    assert_int_equal(conf_init(conf, &section, 1, err), 0);
    int rc = conf_args(*conf, flag == NULL ? 1 : 2, argv, err);
    return rc != 0 ? rc : conf_apply(*conf, err);
}

static void servers_are_addresses_with_or_without_ports(void **state)
{
    (void)state;
    struct disco_config c = {0};
    struct conf *conf = NULL;
    struct err err = {0};
    assert_int_equal(load(&c, &conf, &err, NULL), 0);
    assert_int_equal(c.servers.count, 0);
    assert_int_equal(c.refresh_ms, 30000);
    assert_int_equal(c.timeout_ms, 2000);
    conf_free(&conf);
    assert_int_equal(load(&c, &conf, &err, "-dns.servers=10.0.0.1,10.0.0.2:5353,[::1]:53,::1"), 0);
    assert_int_equal(c.servers.count, 4);
    conf_free(&conf);
}

static void what_cannot_work_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *flag, *reason;
    } rows[] = {
        {"-dns.servers=localhost", "\"localhost\" is no IP address"},
        {"-dns.servers=10.0.0.1:0", "-dns.servers"},
        {"-dns.refresh-interval=0s", "-dns.refresh-interval"},
        {"-dns.timeout=0s", "-dns.timeout"},
        {"-dns.timeout=2m", "-dns.timeout"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct disco_config c = {0};
        struct conf *conf = NULL;
        struct err err = {0};
        assert_int_not_equal(load(&c, &conf, &err, rows[i].flag), 0);
        if (strstr(err.msg, rows[i].reason) == NULL)
            fail_msg("%s: %s", rows[i].flag, err.msg);
        conf_free(&conf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_are_addresses_with_or_without_ports),
        cmocka_unit_test(what_cannot_work_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
