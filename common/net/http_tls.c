/* net/http_tls.c - credentials of GnuTLS, counted, and Go's names of ciphers. */
#include "net/http_tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/http_tls_priv.h"

struct tls_creds {
    _Atomic unsigned refs;
    gnutls_certificate_credentials_t cred;
};

struct http_tls {
    pthread_mutex_t lock; /* of creds */
    struct tls_creds *creds;
    enum http_tls_client client;
    char *cert, *key; /* of the first configuration */
    char *priorities;
};

/* --- ciphers ----------------------------------------------------------------------------- */

static bool has(struct str s, const char *part)
{
    return str_contains(s, str_c(part));
}

/* Append what a suite stands for. False: no such suite. */
static bool put_suite(struct str name, struct buf *out)
{
    static const struct {
        const char *part, *priority;
    } ciphers[] = {
        {"AES_128_GCM_SHA256", ":+AES-128-GCM:+AEAD"},
        {"AES_256_GCM_SHA384", ":+AES-256-GCM:+AEAD"},
        {"CHACHA20_POLY1305", ":+CHACHA20-POLY1305:+AEAD"},
        {"AES_128_CBC_SHA256", ":+AES-128-CBC:+SHA256"},
        {"AES_128_CBC_SHA", ":+AES-128-CBC:+SHA1"},
        {"AES_256_CBC_SHA", ":+AES-256-CBC:+SHA1"},
    };
    if (!str_starts_with(name, STR("TLS_")))
        return false;
    if (has(name, "TLS_ECDHE_RSA_WITH_"))
        buf_c(out, ":+ECDHE-RSA");
    else if (has(name, "TLS_ECDHE_ECDSA_WITH_"))
        buf_c(out, ":+ECDHE-ECDSA");
    else if (has(name, "TLS_RSA_WITH_"))
        buf_c(out, ":+RSA");
    else if (has(name, "_WITH_"))
        return false;
    for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++)
        if (has(name, ciphers[i].part)) {
            buf_c(out, ciphers[i].priority);
            return true;
        }
    return false;
}

static void put_versions(uint8_t least, struct buf *out)
{
    static const struct {
        uint8_t version;
        const char *priority;
    } all[] = {{13, ":+VERS-TLS1.3"},
               {12, ":+VERS-TLS1.2"},
               {11, ":+VERS-TLS1.1"},
               {10, ":+VERS-TLS1.0"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].version >= (least == 0 ? 12 : least))
            buf_c(out, all[i].priority);
}

static int make_priorities(struct http_tls *t, const struct http_tls_config *c, struct err *err)
{
    struct buf text = {0};
    struct str rest = c->cipher_suites, name;
    const char *at = NULL;
    gnutls_priority_t check;
    buf_c(&text, c->cipher_suites.len == 0 ? "NORMAL:-VERS-ALL"
                                           : "NONE:+SIGN-ALL:+GROUP-ALL:+CTYPE-SRV-X509"
                                             ":+CTYPE-CLI-X509:+COMP-NULL");
    put_versions(c->min_version, &text);
    while (c->cipher_suites.len > 0 && str_cut(&rest, ',', &name)) {
        if (str_trim(name).len > 0 && !put_suite(str_trim(name), &text)) {
            buf_reset(&text);
            return err_set(err, ERR_INVAL, "unknown cipher suite %.*s",
                           STR_ARG(str_head(str_trim(name), 100)));
        }
    }
    t->priorities = text.error == 0 ? str_dup_c(buf_view(&text)) : NULL;
    buf_reset(&text);
    if (t->priorities == NULL)
        return err_set(err, ERR_NOMEM, "no memory for TLS");
    if (gnutls_priority_init(&check, t->priorities, &at) != 0)
        return err_set(err, ERR_INVAL, "cipher suites that do not go together (at %s)", at);
    gnutls_priority_deinit(check);
    return 0;
}

/* --- credentials ------------------------------------------------------------------------- */

static gnutls_datum_t datum(struct str s)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)s.data, (unsigned)s.len};
}

static int fill(gnutls_certificate_credentials_t cred, const struct http_tls_config *c,
                struct err *err)
{
    gnutls_datum_t cert = datum(c->cert_pem), key = datum(c->key_pem);
    gnutls_datum_t ca = datum(c->client_ca_pem);
    int code = gnutls_certificate_set_x509_key_mem(cred, &cert, &key, GNUTLS_X509_FMT_PEM);
    if (code < 0)
        return err_set(err, code == GNUTLS_E_MEMORY_ERROR ? ERR_NOMEM : ERR_INVAL,
                       "certificate and key: %s", gnutls_strerror(code));
    if (c->client_ca_pem.len == 0)
        return 0;
    code = gnutls_certificate_set_x509_trust_mem(cred, &ca, GNUTLS_X509_FMT_PEM);
    return code > 0 ? 0
                    : err_set(err, ERR_INVAL, "client CA: %s",
                              code == 0 ? "there is no certificate in it" : gnutls_strerror(code));
}

static int make_creds(struct tls_creds **out, const struct http_tls_config *c, struct err *err)
{
    struct tls_creds *creds = mem_zalloc(sizeof *creds);
    if (creds == NULL || gnutls_certificate_allocate_credentials(&creds->cred) != 0) {
        mem_free(creds);
        return err_set(err, ERR_NOMEM, "no memory for TLS");
    }
    atomic_init(&creds->refs, 1);
    int rc = fill(creds->cred, c, err);
    if (rc == 0)
        *out = creds;
    else
        http_tls_end(creds);
    return rc;
}

void http_tls_end(struct tls_creds *c)
{
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    gnutls_certificate_free_credentials(c->cred);
    mem_free(c);
}

/* --- clients ----------------------------------------------------------------------------- */

static bool has_certificate(gnutls_session_t session)
{
    unsigned count = 0;
    return gnutls_certificate_get_peers(session, &count) != NULL && count > 0;
}

static int is_there(gnutls_session_t session)
{
    return has_certificate(session) ? 0 : GNUTLS_E_CERTIFICATE_REQUIRED;
}

static int is_trusted(gnutls_session_t session)
{
    unsigned status = 0;
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    int code = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
    return code < 0 ? code : status != 0 ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

static int is_trusted_if_there(gnutls_session_t session)
{
    return has_certificate(session) ? is_trusted(session) : 0;
}

static int is_there_and_trusted(gnutls_session_t session)
{
    return has_certificate(session) ? is_trusted(session) : GNUTLS_E_CERTIFICATE_REQUIRED;
}

static void ask(gnutls_session_t session, enum http_tls_client client)
{
    switch (client) {
    case HTTP_TLS_NO_CERT: return;
    case HTTP_TLS_REQUEST:
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
        return;
    case HTTP_TLS_REQUIRE_ANY:
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_function(session, is_there);
        return;
    case HTTP_TLS_VERIFY_IF_GIVEN:
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
        gnutls_session_set_verify_function(session, is_trusted_if_there);
        return;
    case HTTP_TLS_REQUIRE_AND_VERIFY:
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_function(session, is_there_and_trusted);
        return;
    }
}

struct tls_creds *http_tls_begin(struct http_tls *t, gnutls_session_t session)
{
    pthread_mutex_lock(&t->lock);
    struct tls_creds *c = t->creds;
    atomic_fetch_add(&c->refs, 1);
    pthread_mutex_unlock(&t->lock);
    (void)gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, c->cred);
    ask(session, t->client);
    return c;
}

/* --- life -------------------------------------------------------------------------------- */

int http_tls_init(struct http_tls **out, const struct http_tls_config *config, struct err *err)
{
    struct http_tls *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return err_set(err, ERR_NOMEM, "no memory for TLS");
    pthread_mutex_init(&t->lock, NULL);
    t->client = config->client;
    t->cert = str_dup_c(config->cert_pem);
    t->key = str_dup_c(config->key_pem);
    int rc = t->cert == NULL || t->key == NULL ? err_set(err, ERR_NOMEM, "no memory for TLS") : 0;
    if (rc == 0)
        rc = make_priorities(t, config, err);
    if (rc == 0)
        rc = make_creds(&t->creds, config, err);
    if (rc == 0)
        *out = t;
    else
        http_tls_free(&t);
    return rc;
}

int http_tls_set(struct http_tls *t, const struct http_tls_config *config, struct err *err)
{
    struct tls_creds *creds, *old;
    int rc = make_creds(&creds, config, err);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&t->lock);
    old = t->creds;
    t->creds = creds;
    pthread_mutex_unlock(&t->lock);
    http_tls_end(old);
    return 0;
}

void http_tls_free(struct http_tls **tp)
{
    struct http_tls *t = *tp;
    if (t == NULL)
        return;
    http_tls_end(t->creds);
    pthread_mutex_destroy(&t->lock);
    if (t->key != NULL)
        gnutls_memset(t->key, 0, strlen(t->key));
    mem_free(t->cert);
    mem_free(t->key);
    mem_free(t->priorities);
    mem_free(t);
    *tp = NULL;
}

const char *http_tls_cert(const struct http_tls *t)
{
    return t->cert;
}

const char *http_tls_key(const struct http_tls *t)
{
    return t->key;
}

const char *http_tls_priorities(const struct http_tls *t)
{
    return t->priorities;
}
