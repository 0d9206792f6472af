/* gossip/addr.c - addresses from and to bytes, texts and net/addr.h. */
#include "gossip/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

int gossip_addr_of_bytes(struct gossip_addr *out, struct str ip, uint16_t port)
{
    if (ip.len != 4 && ip.len != 16)
        return ERR_PARSE;
    *out = (struct gossip_addr){.size = (uint8_t)ip.len, .port = port};
    memcpy(out->ip, ip.data, ip.len);
    return 0;
}

/* Split "host:port", "[host]:port", "[host]" and "host"; a bare IPv6 address has no port. */
static int split(struct str text, struct str *host, struct str *port)
{
    *host = text;
    *port = (struct str){0};
    if (text.len > 0 && text.data[0] == '[') {
        size_t close = str_find(text, ']');
        if (close == SIZE_MAX)
            return ERR_PARSE;
        *host = str_of(text.data + 1, close - 1);
        struct str rest = str_skip(text, close + 1);
        if (rest.len > 0 && rest.data[0] != ':')
            return ERR_PARSE;
        if (rest.len > 0)
            *port = str_of(rest.data + 1, rest.len - 1);
        return rest.len == 1 ? ERR_PARSE : 0;
    }
    size_t colon = str_find(text, ':');
    if (colon == SIZE_MAX || colon != str_rfind(text, ':'))
        return 0;
    *host = str_head(text, colon);
    *port = str_skip(text, colon + 1);
    return port->len == 0 ? ERR_PARSE : 0;
}

int gossip_addr_parse(struct gossip_addr *out, struct str text, uint16_t port)
{
    struct str host, digits;
    char host_c[64];
    uint64_t number = port;
    if (split(text, &host, &digits) != 0 || host.len == 0 || host.len >= sizeof host_c)
        return ERR_PARSE;
    if (digits.len > 0 && (str_u64(digits, &number) != 0 || number > UINT16_MAX))
        return ERR_PARSE;
    memcpy(host_c, host.data, host.len);
    host_c[host.len] = '\0';
    struct gossip_addr a = {.size = 16, .port = (uint16_t)number};
    if (inet_pton(AF_INET, host_c, a.ip + 12) == 1)
        memcpy(a.ip, mapped, sizeof mapped);
    else if (inet_pton(AF_INET6, host_c, a.ip) != 1)
        return ERR_PARSE;
    *out = a;
    return 0;
}

bool gossip_addr_same(const struct gossip_addr *a, const struct gossip_addr *b)
{
    return a->port == b->port && a->size == b->size && memcmp(a->ip, b->ip, a->size) == 0;
}

bool gossip_addr_is_v4(const struct gossip_addr *a)
{
    return a->size == 4 || (a->size == 16 && memcmp(a->ip, mapped, sizeof mapped) == 0);
}

bool gossip_addr_eq(const struct gossip_addr *a, const struct gossip_addr *b)
{
    if (gossip_addr_is_v4(a) && gossip_addr_is_v4(b))
        return a->port == b->port && memcmp(a->ip + a->size - 4, b->ip + b->size - 4, 4) == 0;
    return gossip_addr_same(a, b);
}

void gossip_addr_ip_text(const struct gossip_addr *a, char out[GOSSIP_ADDR_TEXT_MAX])
{
    out[0] = '\0';
    if (gossip_addr_is_v4(a))
        (void)inet_ntop(AF_INET, a->ip + a->size - 4, out, GOSSIP_ADDR_TEXT_MAX);
    else if (a->size == 16)
        (void)inet_ntop(AF_INET6, a->ip, out, GOSSIP_ADDR_TEXT_MAX);
}

void gossip_addr_text(const struct gossip_addr *a, char out[GOSSIP_ADDR_TEXT_MAX])
{
    char ip[GOSSIP_ADDR_TEXT_MAX];
    gossip_addr_ip_text(a, ip);
    bool brackets = a->size == 16 && !gossip_addr_is_v4(a);
    (void)snprintf(out, GOSSIP_ADDR_TEXT_MAX, brackets ? "[%.45s]:%u" : "%.45s:%u", ip,
                   (unsigned)a->port);
}

void gossip_addr_key(const struct gossip_addr *a, uint8_t ip[16])
{
    memset(ip, 0, 16);
    if (gossip_addr_is_v4(a)) {
        ip[10] = ip[11] = 0xff;
        memcpy(ip + 12, a->ip + a->size - 4, 4);
    } else {
        memcpy(ip, a->ip, 16);
    }
}

struct gossip_addr gossip_addr_of_net(const struct addr *a)
{
    struct gossip_addr g = {.size = 16, .port = a->port};
    if (a->family == 6) {
        memcpy(g.ip, a->ip, 16);
    } else {
        g.ip[10] = g.ip[11] = 0xff;
        memcpy(g.ip + 12, a->ip, 4);
    }
    return g;
}

struct addr gossip_addr_to_net(const struct gossip_addr *g)
{
    struct addr a = {.port = g->port, .family = 6};
    if (gossip_addr_is_v4(g)) {
        a.family = 4;
        memcpy(a.ip, g->ip + g->size - 4, 4);
    } else {
        memcpy(a.ip, g->ip, 16);
    }
    return a;
}
