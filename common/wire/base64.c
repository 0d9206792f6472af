/* wire/base64.c - base64 and hexadecimal. */
#include "wire/base64.h"

static const char ALPHABET[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char DIGITS[16] = "0123456789abcdef";

void base64_put(struct buf *out, struct str s, bool padded)
{
    const uint8_t *in = (const uint8_t *)s.data;
    if (s.len > SIZE_MAX / 2) {
        out->error = out->error != 0 ? out->error : ERR_LIMIT;
        return;
    }
    uint8_t *p = buf_reserve(out, s.len / 3 * 4 + 4);
    if (p == NULL)
        return;
    uint8_t *first = p;
    for (size_t i = 0; i < s.len; i += 3) {
        size_t n = s.len - i < 3 ? s.len - i : 3;
        uint32_t w = (uint32_t)in[i] << 16;
        w |= n > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        w |= n > 2 ? (uint32_t)in[i + 2] : 0;
        *p++ = (uint8_t)ALPHABET[w >> 18];
        *p++ = (uint8_t)ALPHABET[w >> 12 & 63];
        if (n > 1)
            *p++ = (uint8_t)ALPHABET[w >> 6 & 63];
        if (n > 2)
            *p++ = (uint8_t)ALPHABET[w & 63];
        for (; n < 3 && padded; n++)
            *p++ = '=';
    }
    out->size += (size_t)(p - first);
}

/* Value of a digit, or -1. */
static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

int base64_read(struct str text, uint8_t *out, size_t *size)
{
    size_t len = text.len;
    while (len > 0 && text.len - len < 2 && text.data[len - 1] == '=')
        len--;
    if (len % 4 == 1 || (len != text.len && text.len % 4 != 0))
        return ERR_PARSE;
    uint32_t w = 0;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int v = sextet(text.data[i]);
        if (v < 0)
            return ERR_PARSE;
        w = w << 6 | (uint32_t)v;
        if (i % 4 != 3)
            continue;
        out[n++] = (uint8_t)(w >> 16);
        out[n++] = (uint8_t)(w >> 8);
        out[n++] = (uint8_t)w;
    }
    if (len % 4 == 2) {
        if ((w & 0xf) != 0)
            return ERR_PARSE;
        out[n++] = (uint8_t)(w >> 4);
    } else if (len % 4 == 3) {
        if ((w & 0x3) != 0)
            return ERR_PARSE;
        out[n++] = (uint8_t)(w >> 10);
        out[n++] = (uint8_t)(w >> 2);
    }
    *size = n;
    return 0;
}

void hex_put(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t v = (uint8_t)s.data[i];
        buf_u8(out, (uint8_t)DIGITS[v >> 4]);
        buf_u8(out, (uint8_t)DIGITS[v & 15]);
    }
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_read(struct str text, uint8_t *out, size_t size)
{
    if (text.len % 2 != 0 || text.len / 2 != size)
        return ERR_PARSE;
    for (size_t i = 0; i < size; i++) {
        int hi = nibble(text.data[2 * i]), lo = nibble(text.data[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return ERR_PARSE;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}
