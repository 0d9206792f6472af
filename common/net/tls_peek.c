/* net/tls_peek.c - the few bytes of TLS that mbedTLS does not tell of: which alert the peer sent,
 * and that its hello offers nothing but TLS 1.3. RFC 5246 section 6.2.1, RFC 8446 section 4. */
#include "net/tls_core.h"

enum {
    RECORD_HEAD = 5,
    RECORD_CHANGE_CIPHER = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_MAX = 16384 + 2048,
    HELLO_CLIENT = 1,
    EXT_VERSIONS = 43,
    VERSION_12 = 0x0303,
    VERSION_13 = 0x0304,
};

/* The record in head is over, or was not one. */
static void judge(struct tls_peek *p, size_t size)
{
    if (p->head[0] == RECORD_ALERT && size == 2) {
        p->alerted = true;
        p->alert = p->head[6];
    }
    /* What follows a change of cipher is not plain any more. */
    if (p->head[0] == RECORD_CHANGE_CIPHER)
        p->blind = true;
    p->at = 0;
}

void tls_peek_bytes(struct tls_peek *p, struct str bytes)
{
    size_t i = 0;
    while (i < bytes.len && !p->blind) {
        if (p->at < RECORD_HEAD) {
            p->head[p->at++] = (uint8_t)bytes.data[i++];
            continue;
        }
        size_t size = (size_t)p->head[3] << 8 | p->head[4];
        if (p->head[0] < RECORD_CHANGE_CIPHER || p->head[0] > RECORD_HANDSHAKE || size == 0 ||
            size > RECORD_MAX) {
            p->blind = true;
            return;
        }
        size_t done = p->at - RECORD_HEAD, n = size - done;
        n = n < bytes.len - i ? n : bytes.len - i;
        for (size_t k = 0; k < n && done + k < 2; k++)
            p->head[RECORD_HEAD + done + k] = (uint8_t)bytes.data[i + k];
        p->at += n;
        i += n;
        if (done + n == size)
            judge(p, size);
    }
}

/* --- the hello ------------------------------------------------------------------------------- */

/* A cursor; once something was missing, `ok` is false and all reads give zero. */
struct cursor {
    struct str in;
    bool ok;
};

static uint32_t take(struct cursor *c, size_t bytes)
{
    uint32_t v = 0;
    if (c->in.len < bytes)
        c->ok = false;
    if (!c->ok)
        return 0;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | (uint8_t)c->in.data[i];
    c->in = str_skip(c->in, bytes);
    return v;
}

/* A part that is led by its size in `bytes` bytes. */
static struct cursor part(struct cursor *c, size_t bytes)
{
    size_t size = take(c, bytes);
    if (c->in.len < size)
        c->ok = false;
    struct cursor p = {c->ok ? str_head(c->in, size) : (struct str){0}, c->ok};
    if (c->ok)
        c->in = str_skip(c->in, size);
    return p;
}

/* The list of versions offered has 1.3 and nothing older. */
static bool is_13_only(struct cursor ext)
{
    struct cursor list = part(&ext, 1);
    bool has_13 = false, older = false;
    while (list.ok && list.in.len >= 2) {
        uint32_t v = take(&list, 2);
        bool grease = (v & 0x0f0f) == 0x0a0a;
        has_13 |= v == VERSION_13;
        older |= !grease && v <= VERSION_12;
    }
    return list.ok && has_13 && !older;
}

bool tls_hello_is_13_only(struct str flight)
{
    struct cursor c = {flight, true};
    bool record = take(&c, 1) == RECORD_HANDSHAKE;
    (void)take(&c, 4); /* version and size; a hello in several records is not looked at */
    bool hello = take(&c, 1) == HELLO_CLIENT;
    (void)take(&c, 3 + 2);
    for (int i = 0; i < 8; i++)
        (void)take(&c, 4); /* random */
    (void)part(&c, 1);     /* session */
    (void)part(&c, 2);     /* cipher suites */
    (void)part(&c, 1);     /* compression */
    (void)take(&c, 2);
    while (record && hello && c.ok && c.in.len >= 4) {
        uint32_t type = take(&c, 2);
        struct cursor ext = part(&c, 2);
        if (type == EXT_VERSIONS && c.ok)
            return is_13_only(ext);
    }
    return false;
}
