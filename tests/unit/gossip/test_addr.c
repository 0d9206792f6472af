/* Addresses in the forms of the wire and of people. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/addr.h"

#include "base/err.h"
#include "hex.h"

static void texts_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"10.0.0.5:7946", "10.0.0.5:7946"}, {"10.0.0.5", "10.0.0.5:7946"},
        {"[::1]:80", "[::1]:80"},           {"[::1]", "[::1]:7946"},
        {"::1", "[::1]:7946"},              {"2001:db8::7", "[2001:db8::7]:7946"},
        {"::ffff:1.2.3.4", "1.2.3.4:7946"}, {"1.2.3.4:65535", "1.2.3.4:65535"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gossip_addr a;
        char text[GOSSIP_ADDR_TEXT_MAX];
        assert_int_equal(gossip_addr_parse(&a, str_c(rows[i].in), 7946), 0);
        gossip_addr_text(&a, text);
        assert_string_equal(text, rows[i].out);
        struct addr net = gossip_addr_to_net(&a);
        assert_string_equal(addr_text(&net, text), rows[i].out);
        struct gossip_addr back = gossip_addr_of_net(&net);
        assert_true(gossip_addr_same(&a, &back));
    }
}

static void what_is_no_literal_is_refused(void **state)
{
    (void)state;
    static const char *bad[] = {"",          "host",      "host:7946", "1.2.3.4:",  "1.2.3.4:x",
                                "1.2.3:80",  "[::1",      "[::1]80",   "[::1]:",    "1.2.3.4:70000",
                                "dns+x:7946", "1.2.3.4:-1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct gossip_addr a;
        assert_int_equal(gossip_addr_parse(&a, str_c(bad[i]), 1), ERR_PARSE);
    }
}

/* Four bytes and sixteen name one place, but the conflict check tells them apart. */
static void both_forms_of_ipv4_are_one_place(void **state)
{
    (void)state;
    struct buf four = {0}, sixteen = {0};
    struct gossip_addr a, b, c;
    hex_put(&four, "0a000005");
    hex_put(&sixteen, VECTOR_IP);
    assert_int_equal(gossip_addr_of_bytes(&a, buf_view(&four), 7946), 0);
    assert_int_equal(gossip_addr_of_bytes(&b, buf_view(&sixteen), 7946), 0);
    assert_true(gossip_addr_eq(&a, &b));
    assert_false(gossip_addr_same(&a, &b));
    assert_int_equal(gossip_addr_of_bytes(&c, str_head(buf_view(&sixteen), 15), 1), ERR_PARSE);
    b.port = 1;
    assert_false(gossip_addr_eq(&a, &b));
    assert_true(gossip_addr_is_v4(&a) && gossip_addr_is_v4(&b));
    buf_reset(&four);
    buf_reset(&sixteen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_and_written),
        cmocka_unit_test(what_is_no_literal_is_refused),
        cmocka_unit_test(both_forms_of_ipv4_are_one_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
