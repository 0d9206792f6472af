/* net/tls_priv.h - what the files of TLS share: identities, which sessions hold on to, and the
 * pure parts below them. */
#ifndef NET_TLS_PRIV_H
#define NET_TLS_PRIV_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>

#include "base/list.h"
#include "net/tls_core.h"

enum {
    TLS_SUITES_MAX = 48,
    TLS_SESSIONS_MAX = 256, /* kept by a client to be resumed */
    TLS_HOST_MAX = 256,
    TLS_HELLO_MAX = 4096, /* bytes of a client's first flight that are looked at */
};

/* Settings in the numbers of mbedTLS. */
struct tls_settings {
    int suites[TLS_SUITES_MAX + 1]; /* ends with 0 */
    int min_minor;                  /* 1: TLS 1.0, 2: 1.1, 3: 1.2 */
};

/* As tls_config_check(), with the result. */
int tls_settings_of(const struct tls_config *config, struct tls_settings *out, struct err *err);

/* What came out of one reading of the files, with all that depends on it: authorities,
 * certificate and key, tickets, sessions to resume. Counted by reference; replaced as a whole. */
struct tls_identity {
    unsigned refs;
    tls_entropy_fn entropy;
    void *entropy_arg;
    struct tls_settings settings;
    mbedtls_ctr_drbg_context rng;
    mbedtls_x509_crt ca, cert;
    mbedtls_pk_context key;
    mbedtls_ssl_config client, server;
    mbedtls_ssl_ticket_context tickets;
    bool has_cert;
    struct list sessions; /* of tls_kept, newest first */
    size_t session_count;
};

/* ERR_PARSE with a text that names the file of the settings, ERR_NOMEM, ERR_INTERNAL. */
int tls_identity_make(struct tls_identity **out, const struct tls_config *config,
                      const struct tls_pem *pem, tls_entropy_fn entropy, void *arg,
                      struct err *err);

/* One reference less. NULL-safe. */
void tls_identity_drop(struct tls_identity *id);

/* A session kept for `key` ("host:port"), or NULL; keep a copy of one. The peer's certificate was
 * verified at *verified, which is at most an hour ago: a resumed session does not look at it.
 * Failing to keep it only costs time later. */
const mbedtls_ssl_session *tls_identity_kept(const struct tls_identity *id, struct str key,
                                             mono_ms now, mono_ms *verified);
void tls_identity_keep(struct tls_identity *id, struct str key, const mbedtls_ssl_context *ssl,
                       mono_ms verified);

/* The newest identity and settings. */
struct tls_identity *tls_current(struct tls *t);
const struct tls_config *tls_config_of(const struct tls *t);

/* --- names and reasons ---------------------------------------------------------------------- */

/* What the verification of the peer's certificate found, for the log. */
struct tls_verdict {
    const char *host; /* whom to verify; NULL: no name (we are the server) */
    bool no_names;    /* the certificate has no subject alternative name */
    char subject[96], issuer[96];
};

/* Does the certificate stand for `host`, a name or an IP address? As Go's crypto/x509. */
bool tls_cert_is_for(const mbedtls_x509_crt *crt, const char *host);

/* For mbedtls_ssl_set_verify(); arg is a struct tls_verdict. */
int tls_on_verify(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags);

/* What one looks at to say why a handshake failed. */
struct tls_symptoms {
    enum tls_role role;
    int code;            /* of mbedTLS */
    uint32_t flags;      /* of the verification */
    int alert;           /* that the peer sent; -1: none */
    bool only_13;        /* the peer's hello offers TLS 1.3 alone */
    bool first;          /* nothing was understood of the peer yet */
    uint8_t first_byte;  /* the peer's first, when there is one */
    bool any;            /* the peer sent something */
    const struct tls_verdict *verdict;
};

/* A sentence into out. */
void tls_explain(const struct tls_symptoms *s, char *out, size_t size);

#endif
