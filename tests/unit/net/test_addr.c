/* Literal addresses are read strictly and written as they are read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/addr.h"

#include "base/err.h"

static void text_round_trips(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        uint16_t default_port;
    } cases[] = {
        {"10.1.2.3:80", "10.1.2.3:80", 0},
        {"10.1.2.3", "10.1.2.3:7946", 7946},
        {"[::1]:80", "[::1]:80", 0},
        {"[::1]", "[::1]:7946", 7946},
        {"::1", "[::1]:7946", 7946},
        {"fe80::1:2", "[fe80::1:2]:1", 1},
        {"0.0.0.0:0", "0.0.0.0:0", 0},
        {"[2001:db8:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
         "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr a;
        char text[ADDR_TEXT_MAX];
        assert_int_equal(addr_parse(&a, str_c(cases[i].in), cases[i].default_port), 0);
        assert_string_equal(addr_text(&a, text), cases[i].out);
    }
}

static void what_is_no_literal_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "localhost:80", "10.1.2:80", "10.1.2.3:65536",
                                      "10.1.2.3:", "10.1.2.3:-1",  "[::1",      "[::1]x:80",
                                      "10.1.2.3",  "[10.1.2.3]:1", ":80",       "[]:80",
                                      "10.1.2.3 :80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct addr a = {.port = 77};
        assert_int_equal(addr_parse(&a, str_c(bad[i]), 0), ERR_PARSE);
        assert_int_equal(a.port, 77);
    }
    struct addr a;
    assert_int_equal(addr_parse_ip(&a, STR("1.2.3.4\0"), 1), ERR_PARSE);
}

static void addresses_compare_by_family_ip_and_port(void **state)
{
    (void)state;
    struct addr a, b;
    assert_int_equal(addr_parse(&a, STR("1.2.3.4:5"), 0), 0);
    assert_int_equal(addr_parse(&b, STR("1.2.3.4:5"), 0), 0);
    b.ip[9] = 1; /* beyond a v4 address */
    assert_true(addr_eq(&a, &b));
    b.port = 6;
    assert_false(addr_eq(&a, &b));
    assert_int_equal(addr_parse(&b, STR("[102:304::]:5"), 0), 0);
    assert_false(addr_eq(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_round_trips),
        cmocka_unit_test(what_is_no_literal_is_refused),
        cmocka_unit_test(addresses_compare_by_family_ip_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
