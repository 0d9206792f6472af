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
#include "net/http_tls_priv.h"

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

static void versions_and_suites_become_priorities(void **state)
{
    struct http_tls_config c = config();
    struct http_tls *t = NULL;
    (void)state;
    assert_int_equal(http_tls_init(&t, &c, NULL), 0);
    assert_string_equal(http_tls_priorities(t), "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2");
    http_tls_free(&t);
    c.min_version = 13;
    c.cipher_suites = STR("TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA");
    assert_int_equal(http_tls_init(&t, &c, NULL), 0);
    assert_non_null(strstr(http_tls_priorities(t), ":+VERS-TLS1.3"));
    assert_null(strstr(http_tls_priorities(t), "TLS1.2"));
    assert_non_null(strstr(http_tls_priorities(t), ":+AES-128-GCM:+AEAD"));
    assert_non_null(strstr(http_tls_priorities(t), ":+ECDHE-ECDSA:+AES-256-CBC:+SHA1"));
    http_tls_free(&t);
    assert_null(t);
}

static void a_session_keeps_what_it_began_with(void **state)
{
    struct http_tls_config c = config(), bad = {.cert_pem = STR("x"), .key_pem = STR("y")};
    struct http_tls *t = NULL;
    gnutls_session_t session;
    (void)state;
    c.client_ca_pem = str_c(ca.cert);
    c.client = HTTP_TLS_REQUIRE_AND_VERIFY;
    assert_int_equal(http_tls_init(&t, &c, NULL), 0);
    assert_int_equal(gnutls_init(&session, GNUTLS_SERVER), 0);
    struct tls_creds *first = http_tls_begin(t, session);
    c.cert_pem = str_c(two.cert);
    c.key_pem = str_c(two.key);
    assert_int_equal(http_tls_set(t, &c, NULL), 0);
    struct tls_creds *second = http_tls_begin(t, session);
    assert_ptr_not_equal(first, second);
    assert_int_equal(http_tls_set(t, &bad, NULL), ERR_INVAL);
    struct tls_creds *third = http_tls_begin(t, session);
    assert_ptr_equal(second, third);
    http_tls_free(&t);
    http_tls_end(first); /* they outlive it */
    http_tls_end(second);
    http_tls_end(third);
    gnutls_deinit(session);
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
        cmocka_unit_test(versions_and_suites_become_priorities),
        cmocka_unit_test(a_session_keeps_what_it_began_with),
        cmocka_unit_test(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
