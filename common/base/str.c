/* base/str.c - borrowed strings. */
#include "base/str.h"

#include "base/err.h"
#include "base/mem.h"

int str_cmp(struct str a, struct str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.data, b.data, n);
    if (c != 0)
        return c;
    return (a.len > b.len) - (a.len < b.len);
}

bool str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq(str_head(s, prefix.len), prefix);
}

bool str_ends_with(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_eq(str_skip(s, s.len - suffix.len), suffix);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

size_t str_find(struct str s, char c)
{
    const char *p = s.len == 0 ? NULL : memchr(s.data, c, s.len);
    return p == NULL ? SIZE_MAX : (size_t)(p - s.data);
}

size_t str_rfind(struct str s, char c)
{
    for (size_t i = s.len; i > 0; i--)
        if (s.data[i - 1] == c)
            return i - 1;
    return SIZE_MAX;
}

bool str_contains(struct str s, struct str needle)
{
    if (needle.len == 0)
        return true;
    while (s.len >= needle.len) {
        size_t at = str_find(s, needle.data[0]);
        if (at == SIZE_MAX)
            return false;
        s = str_skip(s, at);
        if (str_starts_with(s, needle))
            return true;
        s = str_skip(s, 1);
    }
    return false;
}

struct str str_skip(struct str s, size_t from)
{
    if (from >= s.len)
        return str_of(s.data == NULL ? NULL : s.data + s.len, 0);
    return str_of(s.data + from, s.len - from);
}

struct str str_head(struct str s, size_t len)
{
    return str_of(s.data, len < s.len ? len : s.len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = str_skip(s, 1);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool str_cut(struct str *s, char sep, struct str *head)
{
    if (s->data == NULL)
        return false;
    size_t at = str_find(*s, sep);
    if (at == SIZE_MAX) {
        *head = *s;
        *s = str_of(NULL, 0);
    } else {
        *head = str_head(*s, at);
        *s = str_skip(*s, at + 1);
    }
    return true;
}

int str_u64(struct str s, uint64_t *out)
{
    if (s.len == 0)
        return ERR_PARSE;
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return ERR_PARSE;
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.data[i] - '0'), &n))
            return ERR_LIMIT;
    }
    *out = n;
    return 0;
}

int str_i64(struct str s, int64_t *out)
{
    bool minus = s.len > 0 && s.data[0] == '-';
    if (minus || (s.len > 0 && s.data[0] == '+'))
        s = str_skip(s, 1);
    uint64_t n = 0;
    int rc = str_u64(s, &n);
    if (rc != 0)
        return rc;
    uint64_t max = (uint64_t)INT64_MAX + (minus ? 1 : 0);
    if (n > max)
        return ERR_LIMIT;
    *out = minus ? (int64_t)(0 - n) : (int64_t)n;
    return 0;
}

char *str_dup_c(struct str s)
{
    char *c = mem_alloc(s.len + 1);
    if (c == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(c, s.data, s.len);
    c[s.len] = '\0';
    return c;
}

struct str str_dup(struct arena *a, struct str s)
{
    char *c = arena_alloc(a, s.len + 1);
    if (c == NULL)
        return str_of(NULL, 0);
    if (s.len > 0)
        memcpy(c, s.data, s.len);
    c[s.len] = '\0';
    return str_of(c, s.len);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    u128 p = (u128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t load64(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

uint64_t str_hash(struct str s)
{
    const char *p = s.data;
    size_t left = s.len;
    uint64_t h = 0x9e3779b97f4a7c15u ^ left;
    uint64_t w = 0;
    if (s.len >= 8) {
        for (; left > 16; left -= 16, p += 16)
            h = mix(h ^ load64(p), 0xa0761d6478bd642fu ^ load64(p + 8));
        if (left > 8)
            h = mix(h ^ load64(p), 0xa0761d6478bd642fu);
        w = load64(p + left - 8); /* the last 8, some of them for the second time */
    } else {
        for (; left > 0; left--)
            w = w << 8 | (unsigned char)*p++;
    }
    h = mix(h ^ w, 0xe7037ed1a0b428dbu);
    return mix(h, 0x8ebc6af09c88c6e3u);
}

/* Bytes of the sequence at p (1 to 4), or 0 when it is not well-formed. Unicode 15, table 3-7. */
static size_t sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        unsigned lo = p[0] == 0xe0 ? 0xa0 : 0x80, hi = p[0] == 0xed ? 0x9f : 0xbf;
        return left >= 3 && p[1] >= lo && p[1] <= hi && (p[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        unsigned lo = p[0] == 0xf0 ? 0x90 : 0x80, hi = p[0] == 0xf4 ? 0x8f : 0xbf;
        return left >= 4 && p[1] >= lo && p[1] <= hi && (p[2] & 0xc0) == 0x80 &&
                       (p[3] & 0xc0) == 0x80
                   ? 4
                   : 0;
    }
    return 0;
}

/* Whether the eight bytes at p are ASCII. */
static inline bool are_ascii(const unsigned char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return (w & 0x8080808080808080u) == 0;
}

bool str_is_utf8(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    size_t i = 0;
    while (i + 8 <= s.len && are_ascii(p + i))
        i += 8;
    if (s.len >= 8 && s.len - i < 8 && are_ascii(p + s.len - 8)) /* the rest, with some before */
        return true;
    while (i < s.len) {
        if (i + 8 <= s.len && are_ascii(p + i)) {
            i += 8;
            continue;
        }
        size_t n = sequence(p + i, s.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}
