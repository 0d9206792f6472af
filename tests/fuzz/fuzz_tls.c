/* A peer's side of a TLS handshake from anywhere, in pieces: the first byte is the size of a piece,
 * the second the role (1: we are the client). No peer comes through without a key, whoever fails
 * is told why, and how the bytes are cut does not hide an alert. The server has a cipher suite that
 * nobody offers, so that no execution pays for a key exchange. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../lib/certs.h"
#include "base/assert.h"
#include "base/rng.h"
#include "net/tls_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rng rng;

static void seeded(void *arg, void *out, size_t size)
{
    (void)arg;
    rng_bytes(&rng, out, size);
}

static struct tls *make(void)
{
    static const struct tls_config config = {
        "ca", "cert", "key", "", "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384", "", false, true};
    struct tls_pem pem = {{0}, {0}, {0}};
    struct tls *t = NULL;
    struct cert ca, own;
    rng_seed(&rng, 1);
    cert_make_ca(&ca, "CN=ca", &rng);
    cert_make(&own, &ca, &(struct cert_spec){.subject = "CN=n", .dns = "n"}, &rng);
    buf_put(&pem.ca, ca.cert, strlen(ca.cert) + 1);
    buf_put(&pem.cert, own.cert, strlen(own.cert) + 1);
    buf_put(&pem.key, own.key, strlen(own.key) + 1);
    ASSERT(tls_init_pem(&t, &config, &pem, seeded, NULL, NULL) == 0);
    buf_reset(&pem.ca);
    buf_reset(&pem.cert);
    buf_reset(&pem.key);
    return t;
}

/* Feed everything, then the end; the reason of the failure. */
static void run(struct tls *t, enum tls_role role, struct str in, size_t piece, char reason[256])
{
    struct tls_session *s = NULL;
    rng_seed(&rng, 2);
    ASSERT(tls_session_init(&s, t, role, STR("n"), 1, 0) == 0);
    (void)tls_session_step(s);
    for (; in.len > 0; in = str_skip(in, piece)) {
        ASSERT(tls_session_feed(s, str_head(in, piece)) == 0);
        enum tls_state state = tls_session_step(s);
        ASSERT(state == TLS_HANDSHAKE || state == TLS_FAILED);
        ASSERT((state == TLS_FAILED) == (tls_session_error(s)[0] != '\0'));
    }
    ASSERT(tls_session_write(s, STR("x")) != 0);
    tls_session_eof(s);
    ASSERT(tls_session_state(s) == TLS_FAILED);
    ASSERT(strlen(tls_session_error(s)) < 256);
    memcpy(reason, tls_session_error(s), strlen(tls_session_error(s)) + 1);
    tls_session_free(&s);
}

/* The alert that was seen must not depend on the pieces. */
static void peek(struct str in, size_t piece)
{
    struct tls_peek whole = {.at = 0}, cut = {.at = 0};
    tls_peek_bytes(&whole, in);
    for (struct str rest = in; rest.len > 0; rest = str_skip(rest, piece))
        tls_peek_bytes(&cut, str_head(rest, piece));
    ASSERT(whole.alerted == cut.alerted && whole.alert == cut.alert && whole.at == cut.at);
    (void)tls_hello_is_13_only(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls *t;
    char reason[256];
    if (size < 2)
        return 0;
    if (t == NULL)
        t = make();
    struct str in = str_of(data + 2, size - 2);
    peek(in, 1 + (size_t)data[0]);
    run(t, (data[1] & 1) != 0 ? TLS_CLIENT : TLS_SERVER, in, 1 + (size_t)data[0], reason);
    return 0;
}
