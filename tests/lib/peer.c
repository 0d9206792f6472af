/* An HTTP server for tests, on TCP with or without TLS. */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

struct conn {
    struct peer *peer;
    struct buf in;
    size_t slot;
    bool over;
};

static void take_request(struct peer *p, struct str head, struct str body)
{
    if (p->count == PEER_REQUESTS_MAX)
        return;
    struct peer_request *r = &p->requests[p->count++];
    r->head = str_dup_c(head);
    buf_str(&r->body, body);
    ASSERT(r->head != NULL && r->body.error == 0);
}

static void answer(struct peer *p, struct tcp_conn *c, const struct peer_request *r)
{
    struct peer_step step = p->usual;
    struct buf b = {0};
    if (p->script_count > 0) {
        step = *p->script++;
        p->script_count--;
    }
    if (step.hang)
        return;
    if (step.cut) {
        tcp_close(c);
        return;
    }
    const char *type = peer_header(r, "Content-Type"), *body = step.body == NULL ? "" : step.body;
    bool typed = step.headers != NULL && strcasestr(step.headers, "content-type:") != NULL;
    buf_printf(&b, "HTTP/1.1 %u Said\r\nContent-Length: %zu\r\n",
               step.status == 0 ? 200 : step.status, strlen(body) + (step.half ? 100 : 0));
    if (!typed && type != NULL)
        buf_printf(&b, "Content-Type: %s\r\n", type);
    buf_printf(&b, "%s\r\n%s", step.headers == NULL ? "" : step.headers, body);
    (void)tcp_write(c, buf_view(&b), NULL, NULL);
    buf_reset(&b);
    if (step.half)
        tcp_close_after_writes(c);
}

/* True: one request was taken out. */
static bool next_request(struct conn *k, struct tcp_conn *c)
{
    struct str in = buf_view(&k->in);
    size_t end = 0;
    while (end + 4 <= in.len && memcmp(in.data + end, "\r\n\r\n", 4) != 0)
        end++;
    if (end + 4 > in.len)
        return false;
    struct peer_request probe = {.head = str_dup_c(str_head(in, end + 2))};
    ASSERT(probe.head != NULL);
    const char *length = peer_header(&probe, "Content-Length");
    size_t size = length == NULL ? 0 : strtoul(length, NULL, 10);
    mem_free(probe.head);
    if (in.len - end - 4 < size)
        return false;
    struct peer *p = k->peer;
    size_t before = p->count;
    take_request(p, str_head(in, end + 2), str_head(str_skip(in, end + 4), size));
    size_t used = end + 4 + size;
    memmove(k->in.data, k->in.data + used, k->in.size - used);
    k->in.size -= used;
    if (p->count > before)
        answer(p, c, &p->requests[before]);
    return true;
}

static void on_read(struct tcp_conn *c, struct str bytes, void *arg)
{
    struct conn *k = arg;
    if (k->peer->tls != NULL && !k->over) {
        k->over = true;
        if (tcp_start_tls(c, k->peer->tls, TLS_SERVER, STR(""), bytes) != 0)
            tcp_close(c);
        return;
    }
    buf_str(&k->in, bytes);
    while (next_request(k, c))
        continue;
}

static void on_end(struct tcp_conn *c, int code, void *arg)
{
    struct conn *k = arg;
    (void)c;
    (void)code;
    k->peer->conns[k->slot] = NULL;
    buf_reset(&k->in);
    mem_free(k);
}

static const struct tcp_events events = {.on_read = on_read, .on_end = on_end};

static void on_accept(void *arg, struct tcp_conn *c)
{
    struct peer *p = arg;
    struct conn *k = mem_zalloc(sizeof *k);
    ASSERT(k != NULL);
    k->peer = p;
    while (k->slot < PEER_CONNS_MAX && p->conns[k->slot] != NULL)
        k->slot++;
    ASSERT(k->slot < PEER_CONNS_MAX);
    p->conns[k->slot] = c;
    p->conns_begun++;
    tcp_set_user(c, &events, k);
}

void peer_up(struct peer *p)
{
    ASSERT(tcp_listen(&p->listener, p->loop, &p->addr, PEER_CONNS_MAX, on_accept, p, &p->addr,
                      NULL) == 0);
}

void peer_init(struct peer *p, struct loop *loop, struct tcp_tls *tls)
{
    memset(p, 0, sizeof *p);
    p->loop = loop;
    p->tls = tls;
    p->addr = (struct addr){.ip = {127, 0, 0, 1}, .family = 4};
    peer_up(p);
}

static size_t open_conns(const struct peer *p)
{
    size_t n = 0;
    for (size_t i = 0; i < PEER_CONNS_MAX; i++)
        n += p->conns[i] != NULL;
    return n;
}

void peer_down(struct peer *p)
{
    tcp_listener_close(&p->listener);
    for (size_t i = 0; i < PEER_CONNS_MAX; i++)
        if (p->conns[i] != NULL)
            tcp_close(p->conns[i]);
    mono_ms limit = clock_mono_ms() + 5000;
    while (open_conns(p) > 0 && clock_mono_ms() < limit)
        loop_turn(p->loop, 10);
    ASSERT(open_conns(p) == 0);
}

const char *peer_address(const struct peer *p)
{
    static char text[8][ADDR_TEXT_MAX];
    static unsigned next;
    return addr_text(&p->addr, text[next++ % 8]);
}

const char *peer_header(const struct peer_request *r, const char *name)
{
    static char value[8][1024];
    static unsigned next;
    size_t len = strlen(name);
    for (const char *at = strstr(r->head, "\r\n"); at != NULL; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, len) != 0 || at[len] != ':')
            continue;
        char *out = value[next++ % 8];
        const char *end = strstr(at, "\r\n");
        (void)snprintf(out, sizeof value[0], "%.*s",
                       (int)(end == NULL ? 0 : end - at - (long)len - 2), at + len + 2);
        return out;
    }
    return NULL;
}

const char *peer_line(const struct peer_request *r)
{
    static char line[1024];
    const char *end = strstr(r->head, "\r\n");
    (void)snprintf(line, sizeof line, "%.*s", (int)(end == NULL ? 0 : end - r->head), r->head);
    return line;
}

void peer_forget(struct peer *p)
{
    for (size_t i = 0; i < p->count; i++) {
        mem_free(p->requests[i].head);
        buf_reset(&p->requests[i].body);
    }
    p->count = 0;
}

void peer_reset(struct peer *p)
{
    peer_down(p);
    peer_forget(p);
}
