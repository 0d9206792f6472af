/* net/tls_session.c - one connection's handshake and records. */
#include <mbedtls/error.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/addr.h"
#include "net/tls_priv.h"

enum { IN_KEEP = 4096 }; /* bytes of memory that an empty input keeps */

struct tls_session {
    mbedtls_ssl_context ssl;
    struct tls_identity *id;
    enum tls_role role;
    enum tls_state state;
    struct buf in, out;
    size_t in_at;
    struct buf flight; /* a server's copy of the hello, until the handshake is done */
    struct tls_peek peek;
    struct tls_verdict verdict;
    mono_ms now;      /* when it was made */
    mono_ms verified; /* when the session it may resume was */
    bool any, understood, eof, finished, settled;
    bool exchanged; /* keys, which a resumed handshake does not */
    uint8_t first_byte;
    char host[TLS_HOST_MAX];
    char key[TLS_HOST_MAX + 8];
    char error[256];
};

/* --- the bytes below ------------------------------------------------------------------------- */

static int bio_send(void *arg, const unsigned char *data, size_t size)
{
    struct tls_session *s = arg;
    buf_put(&s->out, data, size);
    return s->out.error != 0 ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)size;
}

static int bio_recv(void *arg, unsigned char *data, size_t size)
{
    struct tls_session *s = arg;
    size_t left = s->in.size - s->in_at, n = size < left ? size : left;
    if (n == 0)
        return s->eof ? MBEDTLS_ERR_SSL_CONN_EOF : MBEDTLS_ERR_SSL_WANT_READ;
    memcpy(data, s->in.data + s->in_at, n);
    s->in_at += n;
    if (s->in_at == s->in.size) {
        s->in_at = 0;
        if (s->in.cap > IN_KEEP)
            buf_reset(&s->in);
        else
            buf_clear(&s->in);
    }
    return (int)n;
}

/* --- making ---------------------------------------------------------------------------------- */

/* Whom to verify, and what the session is kept under. */
static int set_host(struct tls_session *s, struct tls *t, struct str host, uint16_t port)
{
    const struct tls_config *c = tls_config_of(t);
    struct str name = c->server_name[0] != '\0' ? str_c(c->server_name) : host;
    struct addr ip;
    if (name.len >= sizeof s->host || host.len + 8 > sizeof s->key)
        return ERR_INVAL;
    memcpy(s->host, name.data, name.len);
    (void)snprintf(s->key, sizeof s->key, "%.*s:%u", STR_ARG(host), port);
    s->verdict.host = s->host;
    /* The name is also what is sent as server name, where addresses have no place. */
    if (name.len == 0 || addr_parse_ip(&ip, name, 1) == 0)
        return 0;
    return mbedtls_ssl_set_hostname(&s->ssl, s->host) == 0 ? 0 : ERR_NOMEM;
}

static int set_client(struct tls_session *s, struct tls *t, struct str host, uint16_t port)
{
    int rc = set_host(s, t, host, port);
    if (rc != 0)
        return rc;
    const mbedtls_ssl_session *kept = tls_identity_kept(s->id, str_c(s->key), s->now, &s->verified);
    if (kept != NULL && mbedtls_ssl_set_session(&s->ssl, kept) != 0)
        return ERR_NOMEM;
    return 0;
}

int tls_session_init(struct tls_session **out, struct tls *t, enum tls_role role,
                     struct str host, uint16_t port, mono_ms now)
{
    tls_poll(t, now);
    struct tls_identity *id = tls_current(t);
    if (role == TLS_SERVER && !id->has_cert)
        return ERR_INVAL;
    struct tls_session *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    s->id = id;
    s->role = role;
    s->now = now;
    id->refs++;
    mbedtls_ssl_init(&s->ssl);
    int rc = mbedtls_ssl_setup(&s->ssl, role == TLS_CLIENT ? &id->client : &id->server);
    rc = rc == MBEDTLS_ERR_SSL_ALLOC_FAILED ? ERR_NOMEM : rc != 0 ? ERR_INTERNAL : 0;
    if (rc == 0) {
        mbedtls_ssl_set_bio(&s->ssl, s, bio_send, bio_recv, NULL);
        mbedtls_ssl_set_verify(&s->ssl, tls_on_verify, &s->verdict);
        rc = role == TLS_CLIENT ? set_client(s, t, host, port) : 0;
    }
    if (rc != 0) {
        tls_session_free(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void tls_session_free(struct tls_session **sp)
{
    struct tls_session *s = *sp;
    if (s == NULL)
        return;
    mbedtls_ssl_free(&s->ssl);
    tls_identity_drop(s->id);
    buf_reset(&s->in);
    buf_reset(&s->out);
    buf_reset(&s->flight);
    mem_free(s);
    *sp = NULL;
}

/* --- failing --------------------------------------------------------------------------------- */

static void fail(struct tls_session *s, int code)
{
    struct tls_symptoms y = {.role = s->role,
                             .code = code,
                             .flags = mbedtls_ssl_get_verify_result(&s->ssl),
                             .alert = s->peek.alerted ? s->peek.alert : -1,
                             .only_13 = tls_hello_is_13_only(buf_view(&s->flight)),
                             .first = !s->understood,
                             .first_byte = s->first_byte,
                             .any = s->any,
                             .verdict = &s->verdict};
    if (s->state == TLS_FAILED)
        return;
    if (s->state != TLS_HANDSHAKE)
        y.flags = 0; /* what was found then was good enough */
    s->state = TLS_FAILED;
    tls_explain(&y, s->error, sizeof s->error);
}

/* --- bytes in -------------------------------------------------------------------------------- */

int tls_session_feed(struct tls_session *s, struct str bytes)
{
    if (bytes.len == 0 || s->state == TLS_ENDED || s->state == TLS_FAILED)
        return 0;
    if (!s->any)
        s->first_byte = (uint8_t)bytes.data[0];
    s->any = true;
    tls_peek_bytes(&s->peek, bytes);
    if (s->role == TLS_SERVER && s->state == TLS_HANDSHAKE && s->flight.size < TLS_HELLO_MAX) {
        buf_str(&s->flight, str_head(bytes, TLS_HELLO_MAX - s->flight.size));
        if (s->flight.error != 0)
            return ERR_NOMEM;
    }
    buf_str(&s->in, bytes);
    return s->in.error != 0 ? ERR_NOMEM : 0;
}

size_t tls_session_fed(const struct tls_session *s)
{
    return s->in.size - s->in_at;
}

/* The peer's first message was understood: what goes wrong now is not for lack of TLS. */
static bool is_past_first(const struct tls_session *s)
{
    return s->ssl.state > (s->role == TLS_CLIENT ? MBEDTLS_SSL_SERVER_HELLO
                                                 : MBEDTLS_SSL_CLIENT_HELLO);
}

enum tls_state tls_session_step(struct tls_session *s)
{
    int rc = 0;
    while (s->state == TLS_HANDSHAKE && s->ssl.state != MBEDTLS_SSL_HANDSHAKE_OVER) {
        s->exchanged |= s->ssl.state == MBEDTLS_SSL_CLIENT_KEY_EXCHANGE;
        rc = mbedtls_ssl_handshake_step(&s->ssl);
        s->understood |= is_past_first(s);
        if (rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE)
            return s->state;
        if (rc != 0) {
            fail(s, rc);
            return s->state;
        }
    }
    if (s->state == TLS_HANDSHAKE) {
        s->state = TLS_UP;
        buf_reset(&s->flight);
    }
    return s->state;
}

void tls_session_settle(struct tls_session *s)
{
    if (s->role == TLS_CLIENT && s->state == TLS_UP && !s->settled)
        tls_identity_keep(s->id, str_c(s->key), &s->ssl,
                          tls_session_resumed(s) ? s->verified : s->now);
    s->settled = true;
}

size_t tls_session_read(struct tls_session *s, void *out, size_t size)
{
    if (s->state != TLS_UP)
        return 0;
    size_t unsent = s->out.size;
    int rc = mbedtls_ssl_read(&s->ssl, out, size);
    bool fine = rc > 0 || rc == MBEDTLS_ERR_SSL_WANT_READ;
    if (fine && s->out.size > unsent) {
        /* Reading has answered: mbedTLS says no to a negotiation as often as it is asked. */
        s->state = TLS_FAILED;
        (void)snprintf(s->error, sizeof s->error,
                       "the peer wants to negotiate anew, which is not done here");
        return 0;
    }
    if (rc > 0)
        return (size_t)rc;
    if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        s->state = TLS_ENDED;
    else if (rc == 0)
        fail(s, MBEDTLS_ERR_SSL_CONN_EOF);
    else if (rc != MBEDTLS_ERR_SSL_WANT_READ && rc != MBEDTLS_ERR_SSL_WANT_WRITE)
        fail(s, rc);
    return 0;
}

void tls_session_eof(struct tls_session *s)
{
    s->eof = true;
    if (s->state == TLS_HANDSHAKE || s->state == TLS_UP)
        fail(s, MBEDTLS_ERR_SSL_CONN_EOF);
}

/* --- bytes out ------------------------------------------------------------------------------- */

int tls_session_write(struct tls_session *s, struct str bytes)
{
    if (s->state != TLS_UP && s->state != TLS_ENDED)
        return ERR_IO;
    while (bytes.len > 0) {
        int rc = mbedtls_ssl_write(&s->ssl, (const unsigned char *)bytes.data, bytes.len);
        if (rc <= 0) {
            fail(s, rc);
            return rc == MBEDTLS_ERR_SSL_ALLOC_FAILED ? ERR_NOMEM : ERR_IO;
        }
        bytes = str_skip(bytes, (size_t)rc);
    }
    return 0;
}

void tls_session_finish(struct tls_session *s)
{
    if ((s->state != TLS_UP && s->state != TLS_ENDED) || s->finished)
        return;
    s->finished = true;
    (void)mbedtls_ssl_close_notify(&s->ssl);
}

struct buf *tls_session_out(struct tls_session *s)
{
    return &s->out;
}

enum tls_state tls_session_state(const struct tls_session *s)
{
    return s->state;
}

bool tls_session_resumed(const struct tls_session *s)
{
    return s->ssl.state == MBEDTLS_SSL_HANDSHAKE_OVER && !s->exchanged;
}

const char *tls_session_error(const struct tls_session *s)
{
    return s->error;
}
