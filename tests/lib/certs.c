/* tests/lib/certs.c - written with mbedTLS. */
#include "certs.h"

#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "net/addr.h"

#define MUST(expr)                                                                             \
    do {                                                                                       \
        if ((expr) != 0) {                                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr);                         \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

static int draw(void *arg, unsigned char *out, size_t size)
{
    rng_bytes(arg, out, size);
    return 0;
}

static void make_key(mbedtls_pk_context *key, struct rng *rng)
{
    mbedtls_pk_init(key);
    MUST(mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
    MUST(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), draw, rng));
}

/* The extension subjectAltName: a sequence of names [2] and addresses [7]. */
static void put_names(mbedtls_x509write_cert *w, const struct cert_spec *spec)
{
    uint8_t der[256];
    size_t at = 2;
    struct addr ip;
    if (spec->dns != NULL) {
        size_t n = strlen(spec->dns);
        der[at++] = 0x82;
        der[at++] = (uint8_t)n;
        memcpy(der + at, spec->dns, n);
        at += n;
    }
    if (spec->ip != NULL) {
        MUST(addr_parse_ip(&ip, str_c(spec->ip), 1));
        size_t n = ip.family == 6 ? 16 : 4;
        der[at++] = 0x87;
        der[at++] = (uint8_t)n;
        memcpy(der + at, ip.ip, n);
        at += n;
    }
    if (at == 2)
        return;
    der[0] = 0x30;
    der[1] = (uint8_t)(at - 2);
    MUST(mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                             MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0,
                                             der, at));
}

/* Sign with the key of ca, or, without one, with its own. */
static void make(struct cert *out, const struct cert *ca, const struct cert_spec *spec,
                 struct rng *rng)
{
    mbedtls_pk_context key, issuer_key;
    mbedtls_x509_crt issuer;
    mbedtls_x509write_cert w;
    mbedtls_mpi serial;
    char issuer_name[256];
    make_key(&key, rng);
    mbedtls_pk_init(&issuer_key);
    mbedtls_x509_crt_init(&issuer);
    mbedtls_mpi_init(&serial);
    mbedtls_x509write_crt_init(&w);
    (void)snprintf(issuer_name, sizeof issuer_name, "%s", spec->subject);
    if (ca != NULL) {
        MUST(mbedtls_x509_crt_parse(&issuer, (const uint8_t *)ca->cert, strlen(ca->cert) + 1));
        MUST(mbedtls_pk_parse_key(&issuer_key, (const uint8_t *)ca->key, strlen(ca->key) + 1,
                                  NULL, 0));
        MUST(mbedtls_x509_dn_gets(issuer_name, sizeof issuer_name, &issuer.subject) <= 0);
    }
    MUST(mbedtls_mpi_lset(&serial, (mbedtls_mpi_sint)(rng_u32(rng) >> 1)));
    MUST(mbedtls_x509write_crt_set_serial(&w, &serial));
    MUST(mbedtls_x509write_crt_set_validity(&w,
                                            spec->from != NULL ? spec->from : "20200101000000",
                                            spec->to != NULL ? spec->to : "20991231235959"));
    MUST(mbedtls_x509write_crt_set_issuer_name(&w, issuer_name));
    MUST(mbedtls_x509write_crt_set_subject_name(&w, spec->subject));
    mbedtls_x509write_crt_set_version(&w, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&w, &key);
    mbedtls_x509write_crt_set_issuer_key(&w, ca != NULL ? &issuer_key : &key);
    MUST(mbedtls_x509write_crt_set_basic_constraints(&w, ca == NULL, -1));
    put_names(&w, spec);
    MUST(mbedtls_x509write_crt_pem(&w, (uint8_t *)out->cert, sizeof out->cert, draw, rng));
    MUST(mbedtls_pk_write_key_pem(&key, (uint8_t *)out->key, sizeof out->key));
    mbedtls_x509write_crt_free(&w);
    mbedtls_mpi_free(&serial);
    mbedtls_x509_crt_free(&issuer);
    mbedtls_pk_free(&issuer_key);
    mbedtls_pk_free(&key);
}

void cert_make_ca(struct cert *out, const char *subject, struct rng *rng)
{
    struct cert_spec spec = {.subject = subject};
    make(out, NULL, &spec, rng);
}

void cert_make(struct cert *out, const struct cert *ca, const struct cert_spec *spec,
               struct rng *rng)
{
    make(out, ca, spec, rng);
}

void cert_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    MUST(f == NULL || fputs(text, f) < 0 || fclose(f) != 0);
}
