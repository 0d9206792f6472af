/* The arguments of pyroscope.receive_http: defaults, both names of a thing, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "receive_http.h"

#include <string.h>

static struct set_receive defaults(bool alloy)
{
    struct set_receive s;
    alloy_schema_defaults(set_receive_schema(alloy), &s);
    return s;
}

static void defaults_are_the_codes_and_the_better_ones(void **state)
{
    struct set_receive ours = defaults(false), theirs = defaults(true);
    (void)state;
    assert_int_equal(ours.http.listen_port, 8080);
    assert_int_equal(ours.http.conn_limit, 16384);
    assert_int_equal(ours.http.server_read_timeout_ms, 30000);
    assert_int_equal(ours.http.server_write_timeout_ms, 30000);
    assert_int_equal(ours.http.server_idle_timeout_ms, 120000);
    assert_int_equal(ours.graceful_shutdown_timeout_ms, 30000);
    assert_true(ours.status_passthrough && ours.forward_headers);
    assert_false(theirs.status_passthrough || theirs.forward_headers);
    assert_true(str_eq(ours.http.overload, STR("reject")));
    assert_true(str_eq(theirs.http.overload, STR("wait")));
    assert_null(set_receive_tls(&ours.http));
    assert_int_equal(set_receive_body_max(&ours.http), 64 << 20);
    assert_int_equal(set_receive_header_max(&ours.http), 8 << 10);
    assert_int_equal(set_receive_server_check(&ours.http, NULL), 0);
}

static void expect(const struct set_server_tls *s, const char *why)
{
    struct err err = {0};
    int rc = set_server_tls_check(s, &err);
    if (why == NULL) {
        if (rc != 0)
            fail_msg("%s", err.msg);
        return;
    }
    assert_int_equal(rc, ERR_INVAL);
    if (strstr(err.msg, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, err.msg);
}

#define TLS(...)                                                                               \
    &(struct set_server_tls)                                                                   \
    {                                                                                          \
        .given = true, __VA_ARGS__                                                             \
    }
#define PAIR .cert_pem = STR("c"), .key_file = STR("k")

static void a_tls_block_is_whole_or_refused(void **state)
{
    (void)state;
    expect(&(struct set_server_tls){0}, NULL); /* not written */
    expect(TLS(PAIR), NULL);
    expect(TLS(.cert_file = STR("c")), "the key (key_pem or key_file) is missing");
    expect(TLS(.key_pem = STR("k")), "the certificate (cert_pem or cert_file) is missing");
    expect(TLS(.client_auth_type = STR("")), "each of them is missing");
    expect(TLS(PAIR, .cert_file = STR("c")), "at most one of cert_pem and cert_file");
    expect(TLS(PAIR, .key_pem = STR("k")), "at most one of key_pem and key_file");
    expect(TLS(PAIR, .min_version = STR("VersionTLS13")), NULL);
    expect(TLS(PAIR, .min_version = STR("SSL3")), "unknown TLS version: SSL3");
}

static void clients_are_asked_in_gos_words(void **state)
{
    (void)state;
    expect(TLS(PAIR, .client_auth_type = STR("NoClientCert")), NULL);
    expect(TLS(PAIR, .client_auth_type = STR("RequestClientCert")), NULL);
    expect(TLS(PAIR, .client_auth_type = STR("RequireClientCert")), NULL);
    expect(TLS(PAIR, .client_auth_type = STR("RequireAnyClientCert")), NULL);
    expect(TLS(PAIR, .client_auth_type = STR("RequireAndVerifyClientCert")), "needs client_ca");
    expect(TLS(PAIR, .client_auth_type = STR("VerifyClientCertIfGiven"),
               .client_ca = STR("ca")),
           NULL);
    expect(TLS(PAIR, .client_auth_type = STR("VerifyClientCertIfGiven"),
               .client_ca_pem = STR("ca")),
           NULL);
    expect(TLS(PAIR, .client_auth_type = STR("VerifyClientCertIfGiven"),
               .client_ca_pem = STR("ca"), .client_ca = STR("ca")),
           "two names of one argument");
    expect(TLS(PAIR, .client_ca_pem = STR("ca"), .client_ca_file = STR("ca")),
           "at most one of client_ca_pem and client_ca_file");
    expect(TLS(PAIR, .client_ca_file = STR("ca")), "without a client_auth_type");
    expect(TLS(PAIR, .client_auth_type = STR("Yes")), "invalid ClientAuth: Yes");
}

static void limits_of_a_listener_are_checked(void **state)
{
    struct set_receive_server s = defaults(false).http, bad;
    (void)state;
#define REFUSED(field, value)                                                                  \
    bad = s;                                                                                   \
    bad.field = value;                                                                         \
    assert_int_equal(set_receive_server_check(&bad, NULL), ERR_INVAL)
    REFUSED(listen_port, 65536);
    REFUSED(listen_port, -1);
    REFUSED(listen_address, STR("example.org"));
    REFUSED(conn_limit, 1000001);
    REFUSED(server_read_timeout_ms, 0);
    REFUSED(server_write_timeout_ms, -1);
    REFUSED(server_idle_timeout_ms, 1000LL * 3600 * 25);
    REFUSED(max_body_size, STR("much"));
    REFUSED(max_body_size, STR("4GiB"));
    REFUSED(max_header_size, STR("1KiB"));
    REFUSED(overload, STR(""));
    bad = s;
    bad.tls.given = bad.tls_config.given = true;
    assert_int_equal(set_receive_server_check(&bad, NULL), ERR_INVAL);
    bad = s;
    bad.conn_limit = -1;
    bad.listen_address = STR("::1");
    assert_int_equal(set_receive_server_check(&bad, NULL), 0);
}

static void only_the_http_block_makes_another_listener(void **state)
{
    struct set_receive a = defaults(false), b = defaults(false);
    (void)state;
    b.graceful_shutdown_timeout_ms = 1;
    b.status_passthrough = false;
    b.grpc.listen_port = 1;
    assert_true(set_receive_same_server(&a, &b));
    b.http.conn_limit++;
    assert_false(set_receive_same_server(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_codes_and_the_better_ones),
        cmocka_unit_test(a_tls_block_is_whole_or_refused),
        cmocka_unit_test(clients_are_asked_in_gos_words),
        cmocka_unit_test(limits_of_a_listener_are_checked),
        cmocka_unit_test(only_the_http_block_makes_another_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
