/* Entries of a join list are read as dskit reads them, with a default port; faults are named. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "disco/entry.h"

static void every_form_of_an_entry_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name; /* or the address */
        enum disco_kind kind;
        uint16_t port;
    } cases[] = {
        {"10.0.0.1:80", "10.0.0.1:80", DISCO_ADDR, 0},
        {"10.0.0.1", "10.0.0.1:7946", DISCO_ADDR, 0},
        {"[::1]:80", "[::1]:80", DISCO_ADDR, 0},
        {"::1", "[::1]:7946", DISCO_ADDR, 0},
        {"dns+10.0.0.1:80", "10.0.0.1:80", DISCO_ADDR, 0},
        {"host:80", "host", DISCO_HOST, 80},
        {"host", "host", DISCO_HOST, 7946},
        {"dns+a.b-c.svc.cluster.local.", "a.b-c.svc.cluster.local.", DISCO_HOST, 7946},
        {"dns+host:1", "host", DISCO_HOST, 1},
        {"dnssrv+_gossip._tcp.x", "_gossip._tcp.x", DISCO_SRV, 0},
        {"dnssrv+x:9", "x", DISCO_SRV, 9},
        {"dnssrvnoa+x", "x", DISCO_SRV_NOA, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct disco_entry e = {0};
        struct err err = {0};
        char text[ADDR_TEXT_MAX];
        if (disco_entry_parse(&e, str_c(cases[i].text), 7946, &err) != 0)
            fail_msg("%s: %s", cases[i].text, err.msg);
        assert_int_equal(e.kind, cases[i].kind);
        assert_int_equal(e.port, cases[i].port);
        assert_string_equal(e.kind == DISCO_ADDR ? addr_text(&e.addr, text) : e.name,
                            cases[i].name);
    }
}

static void what_is_wrong_with_an_entry_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "there is no name"},
        {"dns+", "there is no name"},
        {"dnssrv+:80", "there is no name"},
        {"dns+.", "there is no name"},
        {"http+x:1", "before '+'"},
        {"+x", "before '+'"},
        {"host:0", "port"},
        {"host:65536", "port"},
        {"host:", "port"},
        {"10.0.0.1:0", "port"},
        {"host:http", "port"},
        {"10.0.0", "neither an IP address nor a name"},
        {"1.2.3.4.5", "neither an IP address nor a name"},
        {"host.7", "neither an IP address nor a name"},
        {"a..b", "between dots"},
        {"a.b..", "between dots"},
        {"a b", "letters"},
        {"a\xc3\xa4", "letters"},
        {"[::1", "IPv6"},
        {"::1::2", "IPv6"},
        {"[host]:1", "IPv6"},
        {"0123456789012345678901234567890123456789012345678901234567890123", "between dots"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct disco_entry e = {.port = 77};
        struct err err = {0};
        assert_int_equal(disco_entry_parse(&e, str_c(cases[i].text), 7946, &err), ERR_PARSE);
        if (!str_contains(str_c(err.msg), str_c(cases[i].why)))
            fail_msg("%s: %s", cases[i].text, err.msg);
        assert_int_equal(e.port, 77);
    }
    struct disco_entry e;
    assert_int_equal(disco_entry_parse(&e, STR("a\0b:1"), 1, NULL), ERR_PARSE);
}

static void without_a_default_a_host_names_its_port_and_a_service_need_not(void **state)
{
    (void)state;
    struct disco_entry e;
    struct err err = {0};
    assert_int_equal(disco_entry_parse(&e, STR("dns+host"), 0, &err), ERR_PARSE);
    assert_string_equal(err.msg, "\"dns+host\": the port is missing");
    assert_int_equal(disco_entry_parse(&e, STR("10.0.0.1"), 0, &err), ERR_PARSE);
    assert_int_equal(disco_entry_parse(&e, STR("host:80"), 0, &err), 0);
    assert_int_equal(disco_entry_parse(&e, STR("dnssrv+x"), 0, &err), 0);
    assert_int_equal(e.port, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_an_entry_is_read),
        cmocka_unit_test(what_is_wrong_with_an_entry_is_said),
        cmocka_unit_test(without_a_default_a_host_names_its_port_and_a_service_need_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
