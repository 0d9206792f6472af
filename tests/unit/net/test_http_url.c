/* A plain URL is split into what a client needs; whatever could be read in two ways is left to
 * others. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http_url.h"

static void a_url_has_host_port_and_target(void **state)
{
    static const struct {
        const char *url, *host, *header, *target;
        uint16_t port;
        uint8_t family;
    } cases[] = {
        {"http://a.example:4040/x/y?z=/.#f", "a.example", "a.example:4040", "/x/y?z=/.", 4040, 0},
        {"http://a", "a", "a", "", 80, 0},
        {"http://A_b-c.d.:80?q", "A_b-c.d.", "A_b-c.d.", "?q", 80, 0},
        {"http://127.0.0.1:65535/", "127.0.0.1", "127.0.0.1:65535", "/", 65535, 4},
        {"http://[::1]:1/a", "::1", "[::1]:1", "/a", 1, 6},
        {"http://[fe80::2]#f", "fe80::2", "[fe80::2]", "", 80, 6},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_url u;
        assert_true(http_url_split(str_c(cases[i].url), &u));
        assert_true(str_eq(u.host, str_c(cases[i].host)));
        assert_true(str_eq(u.host_header, str_c(cases[i].header)));
        assert_true(str_eq(u.target, str_c(cases[i].target)));
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.addr.family, cases[i].family);
        assert_int_equal(u.addr.port, cases[i].family == 0 ? 0 : cases[i].port);
    }
}

static void what_is_not_canonical_is_not_taken(void **state)
{
    static const char *const urls[] = {
        "",           "https://a/",        "HTTP://a/",          "http://",       "http:///a",
        "http://:80", "http://a:/",        "http://a:0/",        "http://a:65536/", "http://a:x/",
        "http://a:080/",
        "http://a:8 0/", "http://u@a/",    "http://u:p@a/",      "http://a/ b",   "http://a/\x01",
        "http://a/\xc3\xa4", "http://\xc3\xa4/", "http://%61/", "http://127.1/",
        "http://1.2.3.4.5/", "http://0x7f000001/", "http://a.1/", "http://a../", "http://.",
        "http://[::1/", "http://[::1]x/",  "http://[1.2.3.4]/",  "http://[fe80::1%25e]/",
        "http://::1/", "http://a/./b",     "http://a/b/../c",    "http://a/.b", "http://a\\b/"};
    struct http_url u;
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        if (http_url_split(str_c(urls[i]), &u))
            fail_msg("%s was taken", urls[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_has_host_port_and_target),
        cmocka_unit_test(what_is_not_canonical_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
