/* net/http_url.c - http:// URLs in their parts. */
#include "net/http_url.h"

#include <string.h>

enum { NAME_MAX_BYTES = 253 };

static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] <= ' ' || s.data[i] > '~')
            return false;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A name, that is no number in the old notations of IPv4 ("127.1", "0x7f000001"). */
static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '.' &&
            c != '-' && c != '_')
            return false;
    }
    struct str labels = str_ends_with(s, STR(".")) ? str_head(s, s.len - 1) : s;
    size_t dot = str_rfind(labels, '.');
    struct str last = str_skip(labels, dot == SIZE_MAX ? 0 : dot + 1);
    return s.len <= NAME_MAX_BYTES && last.len > 0 && !is_digit(last.data[0]);
}

static bool read_port(struct str text, uint16_t *port)
{
    uint64_t n;
    if (str_u64(text, &n) != 0 || n > UINT16_MAX || text.data[0] == '0')
        return false;
    *port = (uint16_t)n;
    return true;
}

static bool read_authority(struct str s, struct http_url *u)
{
    bool bracket = s.len > 0 && s.data[0] == '[';
    size_t end = bracket ? str_find(s, ']') : str_find(s, ':');
    struct str host = str_head(s, end == SIZE_MAX ? s.len : end + bracket);
    struct str rest = str_skip(s, host.len);
    u->port = 80;
    if (bracket && end == SIZE_MAX)
        return false;
    if (rest.len > 0 && (rest.data[0] != ':' || !read_port(str_skip(rest, 1), &u->port)))
        return false;
    u->host_header = u->port == 80 ? host : s;
    u->host = bracket ? str_of(host.data + 1, host.len - 2) : host;
    u->addr = (struct addr){0};
    return addr_parse_ip(&u->addr, host, u->port) == 0 || (!bracket && is_name(host));
}

bool http_url_split(struct str url, struct http_url *out)
{
    const struct str scheme = STR("http://");
    if (!str_starts_with(url, scheme) || !is_printable(url))
        return false;
    struct str rest = str_skip(url, scheme.len);
    size_t at = 0;
    while (at < rest.len && strchr("/?#", rest.data[at]) == NULL)
        at++;
    struct str target = str_skip(rest, at);
    target = str_head(target, str_find(target, '#'));
    if (str_contains(str_head(target, str_find(target, '?')), STR("/.")))
        return false;
    out->target = target;
    return read_authority(str_head(rest, at), out);
}
