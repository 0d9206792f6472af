/* net/addr.c - literal addresses to and from text. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "net/loop_priv.h"

int addr_parse_ip(struct addr *out, struct str ip, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    struct addr a = {.port = port};
    if (ip.len >= 2 && ip.data[0] == '[' && ip.data[ip.len - 1] == ']') {
        ip = str_of(ip.data + 1, ip.len - 2);
        if (str_find(ip, ':') == SIZE_MAX)
            return ERR_PARSE; /* brackets are for v6 only */
    }
    if (ip.len == 0 || ip.len >= sizeof text || memchr(ip.data, '\0', ip.len) != NULL)
        return ERR_PARSE;
    memcpy(text, ip.data, ip.len);
    text[ip.len] = '\0';
    if (inet_pton(AF_INET, text, a.ip) == 1)
        a.family = 4;
    else if (inet_pton(AF_INET6, text, a.ip) == 1)
        a.family = 6;
    else
        return ERR_PARSE;
    *out = a;
    return 0;
}

static int port_of(struct str text, uint16_t *port)
{
    uint64_t n;
    if (str_u64(text, &n) != 0 || n > UINT16_MAX)
        return ERR_PARSE;
    *port = (uint16_t)n;
    return 0;
}

int addr_parse(struct addr *out, struct str text, uint16_t default_port)
{
    uint16_t port = default_port;
    struct str ip = text;
    size_t colon = str_rfind(text, ':');
    bool bracket = text.len > 0 && text.data[0] == '[';
    bool has_port = bracket ? (colon != SIZE_MAX && colon > 0 && text.data[colon - 1] == ']')
                            : (colon != SIZE_MAX && str_find(text, ':') == colon);
    if (has_port) {
        ip = str_head(text, colon);
        if (port_of(str_skip(text, colon + 1), &port) != 0)
            return ERR_PARSE;
    } else if (default_port == 0) {
        return ERR_PARSE;
    }
    return addr_parse_ip(out, ip, port);
}

const char *addr_ip_text(const struct addr *a, char text[ADDR_TEXT_MAX])
{
    if (a->family == 0 ||
        inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, text, ADDR_TEXT_MAX) == NULL)
        text[0] = '\0';
    return text;
}

const char *addr_text(const struct addr *a, char text[ADDR_TEXT_MAX])
{
    char ip[ADDR_TEXT_MAX];
    addr_ip_text(a, ip);
    snprintf(text, ADDR_TEXT_MAX, a->family == 6 ? "[%.45s]:%u" : "%.45s:%u", ip,
             (unsigned)a->port);
    return text;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

void addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (a->family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->ip, 16);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
    }
}

struct addr addr_of_sockaddr(const struct sockaddr *sa)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct addr a = {0};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        a.family = 4;
        a.port = ntohs(in->sin_port);
        memcpy(a.ip, &in->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        a.port = ntohs(in6->sin6_port);
        if (memcmp(&in6->sin6_addr, mapped, sizeof mapped) == 0) {
            a.family = 4; /* a v4 peer on a dual-stack socket */
            memcpy(a.ip, (const uint8_t *)&in6->sin6_addr + sizeof mapped, 4);
        } else {
            a.family = 6;
            memcpy(a.ip, &in6->sin6_addr, 16);
        }
    }
    return a;
}
