/* net/tls_core.h - the parts of TLS that stand without files and sessions, for net/tls*.c and
 * their tests. */
#ifndef NET_TLS_CORE_H
#define NET_TLS_CORE_H

#include "net/tls.h"

/* Where randomness comes from: fills `size` bytes. */
typedef void (*tls_entropy_fn)(void *arg, void *out, size_t size);

/* The texts of the files, each with a NUL at its end that counts (mbedTLS wants it for PEM).
 * Empty: none. */
struct tls_pem {
    struct buf ca, cert, key;
};

/* A struct tls on PEM texts in place of files and on given randomness. It never reads anything
 * again. As tls_init(). */
int tls_init_pem(struct tls **out, const struct tls_config *config, const struct tls_pem *pem,
                 tls_entropy_fn entropy, void *arg, struct err *err);

/* --- a look at the records ------------------------------------------------------------------ */

/* Follows the records of one direction as long as they are plain. All-zero at first. */
struct tls_peek {
    uint8_t head[7];  /* of the record: type, version, size, and its first two bytes */
    size_t at;        /* bytes of the record so far */
    bool blind;       /* the rest is encrypted, or is not TLS */
    bool alerted;
    uint8_t alert;    /* the peer's last one */
};

/* Look at bytes that arrived, in order. */
void tls_peek_bytes(struct tls_peek *p, struct str bytes);

/* True when `flight`, the first bytes of a client, is a hello that offers TLS 1.3 and nothing
 * older. False also for what cannot be read, or is not whole. */
bool tls_hello_is_13_only(struct str flight);

#endif
