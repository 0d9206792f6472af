/* Certificates of the HTTP server: taken, replaced, and refused with a reason. Handshakes:
 * tests/cluster/test_receive_proxy.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http_tls.h"

#include <string.h>

#include "../../lib/certs.h"
#include "base/mem.h"
#include "base/rng.h"

static struct cert ca, one, two;

static int set_up(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 1);
    cert_make_ca(&ca, "CN=ca", &rng);
    cert_make(&one, &ca, &(struct cert_spec){.subject = "CN=one", .ip = "127.0.0.1"}, &rng);
    cert_make(&two, &ca, &(struct cert_spec){.subject = "CN=two", .ip = "127.0.0.1"}, &rng);
    return 0;
}

static struct http_tls_config config(void)
{
    return (struct http_tls_config){.cert_pem = str_c(one.cert), .key_pem = str_c(one.key)};
}

static void expect_refused(struct http_tls_config c, const char *why)
{
    struct http_tls *t = NULL;
    struct err err = {0};
    assert_int_equal(http_tls_init(&t, &c, &err), ERR_INVAL);
    assert_null(t);
    if (strstr(err.msg, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, err.msg);
}

static void what_cannot_be_used_is_refused_with_a_reason(void **state)
{
    struct http_tls_config c = config();
    (void)state;
    c.key_pem = str_c(two.key);
    expect_refused(c, "certificate and key");
    c = config();
    c.cert_pem = STR("nonsense");
    expect_refused(c, "certificate and key");
    c = config();
    c.client_ca_pem = STR("nonsense");
    expect_refused(c, "client CA");
    c = config();
    c.cipher_suites = STR("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_FOO");
    expect_refused(c, "unknown cipher suite TLS_FOO");
    c.cipher_suites = STR("TLS_DHE_DSS_WITH_AES_128_GCM_SHA256");
    expect_refused(c, "unknown cipher suite");
}

static void versions_and_suites_that_go_together_are_taken(void **state)
{
    static const char *const suites[] = {
        "", "TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA256"};
    (void)state;
    for (uint8_t version = 10; version <= 13; version++)
        for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
            struct http_tls_config c = config();
            struct http_tls *t = NULL;
            struct err err = {0};
            c.min_version = version;
            c.cipher_suites = str_c(suites[i]);
            if (http_tls_init(&t, &c, &err) != 0)
                fail_msg("%s", err.msg);
            http_tls_free(&t);
            assert_null(t);
        }
}

static void others_are_set_or_refused(void **state)
{
    struct http_tls_config c = config(), bad = {.cert_pem = STR("x"), .key_pem = STR("y")};
    struct http_tls *t = NULL;
    (void)state;
    c.client_ca_pem = str_c(ca.cert);
    c.client = HTTP_TLS_REQUIRE_AND_VERIFY;
    assert_int_equal(http_tls_init(&t, &c, NULL), 0);
    c.cert_pem = str_c(two.cert);
    assert_int_equal(http_tls_set(t, &c, NULL), ERR_INVAL); /* the key of another */
    c.key_pem = str_c(two.key);
    assert_int_equal(http_tls_set(t, &c, NULL), 0);
    assert_int_equal(http_tls_set(t, &bad, NULL), ERR_INVAL);
    http_tls_free(&t);
}

static void memory_may_end_anywhere(void **state)
{
    struct http_tls_config c = config();
    int rc = ERR_NOMEM;
    (void)state;
    c.cipher_suites = STR("TLS_AES_128_GCM_SHA256");
    for (uint64_t n = 1; rc != 0; n++) {
        struct http_tls *t = NULL;
        mem_fail_at(n);
        rc = http_tls_init(&t, &c, NULL);
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        http_tls_free(&t);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_used_is_refused_with_a_reason),
        cmocka_unit_test(versions_and_suites_that_go_together_are_taken),
        cmocka_unit_test(others_are_set_or_refused),
        cmocka_unit_test(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
