/* net/tls_identity.c - authorities, certificate, key, and all of mbedTLS's settings on them. */
#include <mbedtls/error.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_priv.h"

enum { TICKET_S = 3600 }; /* how long a session may be resumed */

/* A session kept by a client. */
struct kept {
    struct list link;
    mbedtls_ssl_session session;
    mono_ms verified;
    size_t key_len;
    char key[];
};

static int draw(void *arg, unsigned char *out, size_t size)
{
    struct tls_identity *id = arg;
    id->entropy(id->entropy_arg, out, size);
    return 0;
}

/* --- sessions to resume ---------------------------------------------------------------------- */

static void kept_free(struct tls_identity *id, struct kept *k)
{
    list_remove(&k->link);
    id->session_count--;
    mbedtls_ssl_session_free(&k->session);
    mem_free(k);
}

static struct kept *kept_find(const struct tls_identity *id, struct str key)
{
    LIST_EACH(link, &id->sessions) {
        struct kept *k = LIST_ITEM(link, struct kept, link);
        if (str_eq(str_of(k->key, k->key_len), key))
            return k;
    }
    return NULL;
}

const mbedtls_ssl_session *tls_identity_kept(const struct tls_identity *id, struct str key,
                                             mono_ms now, mono_ms *verified)
{
    const struct kept *k = kept_find(id, key);
    if (k == NULL || now - k->verified > (mono_ms)TICKET_S * 1000)
        return NULL;
    *verified = k->verified;
    return &k->session;
}

void tls_identity_keep(struct tls_identity *id, struct str key, const mbedtls_ssl_context *ssl,
                       mono_ms verified)
{
    struct kept *old = kept_find(id, key), *k = mem_alloc(sizeof *k + key.len);
    if (old != NULL)
        kept_free(id, old);
    if (k == NULL)
        return;
    k->verified = verified;
    k->key_len = key.len;
    memcpy(k->key, key.data, key.len);
    mbedtls_ssl_session_init(&k->session);
    list_push_front(&id->sessions, &k->link);
    id->session_count++;
    if (mbedtls_ssl_get_session(ssl, &k->session) != 0)
        kept_free(id, k);
    if (id->session_count > TLS_SESSIONS_MAX)
        kept_free(id, LIST_ITEM(id->sessions.prev, struct kept, link));
}

/* --- making ---------------------------------------------------------------------------------- */

static int refuse(struct err *err, int rc, const char *what, const char *path)
{
    char text[128] = "";
    mbedtls_strerror(rc, text, sizeof text);
    return err_set(err, ERR_PARSE, "TLS %s %s: %s (-0x%04x)", what, path, text, (unsigned)-rc);
}

static int parse(struct tls_identity *id, const struct tls_config *c, const struct tls_pem *pem,
                 struct err *err)
{
    /* A count above zero is of certificates that could not be read; the others will do. */
    int rc = pem->ca.size == 0 ? 0 : mbedtls_x509_crt_parse(&id->ca, pem->ca.data, pem->ca.size);
    if (rc < 0 || (rc > 0 && id->ca.version == 0))
        return refuse(err, rc, "authorities", c->ca_path);
    if (pem->cert.size == 0)
        return 0;
    rc = mbedtls_x509_crt_parse(&id->cert, pem->cert.data, pem->cert.size);
    if (rc != 0)
        return refuse(err, rc < 0 ? rc : MBEDTLS_ERR_X509_INVALID_FORMAT, "certificate",
                      c->cert_path);
    rc = mbedtls_pk_parse_key(&id->key, pem->key.data, pem->key.size, NULL, 0);
    if (rc != 0)
        return refuse(err, rc, "key", c->key_path);
    rc = mbedtls_pk_check_pair(&id->cert.pk, &id->key);
    if (rc != 0)
        return err_set(err, ERR_PARSE, "TLS key %s is not that of the certificate %s",
                       c->key_path, c->cert_path);
    id->has_cert = true;
    return 0;
}

static int set_up(struct tls_identity *id, mbedtls_ssl_config *conf, int endpoint, int authmode)
{
    int rc = mbedtls_ssl_config_defaults(conf, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                         MBEDTLS_SSL_PRESET_DEFAULT);
    if (rc != 0)
        return rc;
    mbedtls_ssl_conf_rng(conf, mbedtls_ctr_drbg_random, &id->rng);
    mbedtls_ssl_conf_authmode(conf, authmode);
    mbedtls_ssl_conf_ca_chain(conf, &id->ca, NULL);
    mbedtls_ssl_conf_ciphersuites(conf, id->settings.suites);
    mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, id->settings.min_minor);
    return id->has_cert ? mbedtls_ssl_conf_own_cert(conf, &id->cert, &id->key) : 0;
}

static int configure(struct tls_identity *id, const struct tls_config *c)
{
    int rc = mbedtls_ctr_drbg_seed(&id->rng, draw, id, NULL, 0);
    if (rc == 0)
        rc = mbedtls_ssl_ticket_setup(&id->tickets, mbedtls_ctr_drbg_random, &id->rng,
                                      MBEDTLS_CIPHER_AES_256_GCM, TICKET_S);
    if (rc == 0)
        rc = set_up(id, &id->client, MBEDTLS_SSL_IS_CLIENT,
                    c->insecure_skip_verify ? MBEDTLS_SSL_VERIFY_NONE
                                            : MBEDTLS_SSL_VERIFY_REQUIRED);
    if (rc == 0)
        rc = set_up(id, &id->server, MBEDTLS_SSL_IS_SERVER,
                    c->client_auth ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_session_tickets(&id->client, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
    mbedtls_ssl_conf_session_tickets_cb(&id->server, mbedtls_ssl_ticket_write,
                                        mbedtls_ssl_ticket_parse, &id->tickets);
    return rc;
}

int tls_identity_make(struct tls_identity **out, const struct tls_config *config,
                      const struct tls_pem *pem, tls_entropy_fn entropy, void *arg,
                      struct err *err)
{
    struct tls_identity *id = mem_zalloc(sizeof *id);
    if (id == NULL)
        return err_set(err, ERR_NOMEM, "TLS");
    id->refs = 1;
    id->entropy = entropy;
    id->entropy_arg = arg;
    list_init(&id->sessions);
    mbedtls_ctr_drbg_init(&id->rng);
    mbedtls_x509_crt_init(&id->ca);
    mbedtls_x509_crt_init(&id->cert);
    mbedtls_pk_init(&id->key);
    mbedtls_ssl_config_init(&id->client);
    mbedtls_ssl_config_init(&id->server);
    mbedtls_ssl_ticket_init(&id->tickets);
    int rc = tls_settings_of(config, &id->settings, err);
    if (rc == 0)
        rc = parse(id, config, pem, err);
    if (rc == 0) {
        int code = configure(id, config);
        if (code != 0)
            rc = err_set(err, ERR_INTERNAL, "TLS cannot be set up (-0x%04x)", (unsigned)-code);
    }
    if (rc != 0) {
        tls_identity_drop(id);
        return rc;
    }
    *out = id;
    return 0;
}

void tls_identity_drop(struct tls_identity *id)
{
    if (id == NULL || --id->refs > 0)
        return;
    LIST_EACH_SAFE(link, &id->sessions)
        kept_free(id, LIST_ITEM(link, struct kept, link));
    mbedtls_ssl_config_free(&id->client);
    mbedtls_ssl_config_free(&id->server);
    mbedtls_ssl_ticket_free(&id->tickets);
    mbedtls_pk_free(&id->key);
    mbedtls_x509_crt_free(&id->cert);
    mbedtls_x509_crt_free(&id->ca);
    mbedtls_ctr_drbg_free(&id->rng);
    mem_free(id);
}
