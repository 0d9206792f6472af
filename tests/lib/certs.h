/* tests/lib/certs.h - authorities and certificates made on the spot, for tests of TLS. */
#ifndef TESTS_LIB_CERTS_H
#define TESTS_LIB_CERTS_H

struct rng;

enum { CERT_PEM_MAX = 2048 };

/* A certificate and its key (P-256), as PEM texts. */
struct cert {
    char cert[CERT_PEM_MAX];
    char key[CERT_PEM_MAX];
};

/* What a certificate says. */
struct cert_spec {
    const char *subject; /* "CN=..." */
    const char *dns;     /* alternative name, or NULL */
    const char *ip;      /* literal alternative address, or NULL */
    const char *from;    /* "20200101000000" when NULL */
    const char *to;      /* "20991231235959" when NULL */
};

/* An authority, signed by itself. Ends the test on failure. */
void cert_make_ca(struct cert *out, const char *subject, struct rng *rng);

/* A certificate signed by `ca`. */
void cert_make(struct cert *out, const struct cert *ca, const struct cert_spec *spec,
               struct rng *rng);

/* Write a text to a file, whole. */
void cert_write(const char *path, const char *text);

#endif
