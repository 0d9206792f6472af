/* What a packet of the gossip costs under TLS, both sides together, in CPU time: with a full
 * handshake (mutual, P-256), with a resumed one, and as a ratio to the latter. Then bytes. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../lib/certs.h"
#include "base/assert.h"
#include "base/rng.h"
#include "net/tls_core.h"

static struct rng rng;

static void seeded(void *arg, void *out, size_t size)
{
    (void)arg;
    rng_bytes(&rng, out, size);
}

static double cpu_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static struct tls *make(void)
{
    static const struct tls_config config = {"ca", "cert", "key", "", "", "", false, true};
    struct tls_pem pem = {{0}, {0}, {0}};
    struct tls *t = NULL;
    struct cert ca, own;
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

static void carry(struct tls_session *from, struct tls_session *to)
{
    ASSERT(tls_session_feed(to, buf_view(tls_session_out(from))) == 0);
    buf_clear(tls_session_out(from));
}

/* One connection to `port`; sends `size` bytes in pieces of 16 KiB. */
static void packet(struct tls *t, uint16_t port, bool resumed, size_t size)
{
    static char bytes[16384], got[16384];
    struct tls_session *c = NULL, *s = NULL;
    ASSERT(tls_session_init(&c, t, TLS_CLIENT, STR("n"), port, 0) == 0);
    ASSERT(tls_session_init(&s, t, TLS_SERVER, STR(""), 0, 0) == 0);
    while (tls_session_step(c) == TLS_HANDSHAKE || tls_session_step(s) == TLS_HANDSHAKE) {
        carry(c, s);
        ASSERT(tls_session_step(s) != TLS_FAILED);
        carry(s, c);
    }
    ASSERT(tls_session_resumed(c) == resumed);
    tls_session_settle(c);
    carry(c, s);
    for (size_t sent = 0; sent < size; sent += sizeof bytes) {
        ASSERT(tls_session_write(c, str_of(bytes, sizeof bytes)) == 0);
        carry(c, s);
        while (tls_session_read(s, got, sizeof got) > 0)
            continue;
    }
    tls_session_free(&c);
    tls_session_free(&s);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 && strcmp(argv[1], "--smoke") == 0 ? 3 : 100;
    rng_seed(&rng, 1);
    struct tls *t = make();
    double began = cpu_ms();
    for (int i = 0; i < rounds; i++)
        packet(t, (uint16_t)(100 + i), false, 1);
    double full = (cpu_ms() - began) / rounds;
    began = cpu_ms();
    for (int i = 0; i < rounds; i++)
        packet(t, 100, true, 1);
    double resumed = (cpu_ms() - began) / rounds;
    began = cpu_ms();
    packet(t, 100, true, (size_t)rounds << 20);
    double bulk = cpu_ms() - began;
    printf("handshake and one record, both sides: full %.2f ms, resumed %.2f ms: %.0f x\n", full,
           resumed, full / resumed);
    printf("bytes, both sides: %.0f MB/s\n", (double)rounds * 1.048576 / bulk * 1e3);
    tls_free(&t);
    return 0;
}
