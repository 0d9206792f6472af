/* net/http_tls.h - TLS of the HTTP server: a certificate that may be replaced while it serves, and
 * what is asked of clients.
 *
 * A handshake uses what was set last; connections keep what they began with. A client whose
 * certificate is missing or not trusted fails in the handshake, as Go's servers have it.
 * cipher_suites are Go's names; what is allowed are all combinations of their key exchanges and
 * ciphers. Over GnuTLS, as libmicrohttpd has it. Any thread.
 * Tests: tests/unit/net/test_http_tls.c. */
#ifndef NET_HTTP_TLS_H
#define NET_HTTP_TLS_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct http_tls;

/* Go's tls.ClientAuthType. */
enum http_tls_client {
    HTTP_TLS_NO_CERT,
    HTTP_TLS_REQUEST,         /* asked for, not looked at */
    HTTP_TLS_REQUIRE_ANY,     /* there must be one, not looked at */
    HTTP_TLS_VERIFY_IF_GIVEN, /* by client_ca_pem */
    HTTP_TLS_REQUIRE_AND_VERIFY,
};

/* PEM texts. All are copied. */
struct http_tls_config {
    struct str cert_pem, key_pem; /* the certificate with its chain */
    struct str client_ca_pem;
    enum http_tls_client client;
    struct str cipher_suites; /* comma-separated; "": the library's choice */
    uint8_t min_version;      /* 10, 11, 12, 13; 0: 1.2 */
};

/* ERR_INVAL (a text that is no certificate or key, a suite that is not known), ERR_NOMEM. */
int http_tls_init(struct http_tls **out, const struct http_tls_config *config, struct err *err);

/* Other certificates from now on; client, cipher_suites and min_version stay. On an error the old
 * ones stay. */
int http_tls_set(struct http_tls *t, const struct http_tls_config *config, struct err *err);

/* After the servers that use it. NULL-safe; leaves *t NULL. */
void http_tls_free(struct http_tls **t);

#endif
