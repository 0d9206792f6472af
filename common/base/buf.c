/* base/buf.c - growing byte buffers. */
#include "base/buf.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUF_FIRST = 64 };

uint8_t *buf_reserve(struct buf *b, size_t more)
{
    if (b->error != 0)
        return NULL;
    size_t need;
    if (__builtin_add_overflow(b->size, more, &need) || (b->limit != 0 && need > b->limit)) {
        b->error = ERR_LIMIT;
        return NULL;
    }
    if (need > b->cap || b->data == NULL) {
        size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
        if (b->cap == 0 && cap < need)
            cap = need; /* who asks for much at first knows how much it will be */
        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        if (b->limit != 0 && cap > b->limit && need <= b->limit)
            cap = b->limit;
        uint8_t *p = mem_realloc(b->data, cap);
        if (p == NULL) {
            b->error = ERR_NOMEM;
            return NULL;
        }
        b->data = p;
        b->cap = cap;
    }
    return b->data + b->size;
}

void buf_put(struct buf *b, const void *data, size_t size)
{
    uint8_t *p = buf_reserve(b, size);
    if (p == NULL || size == 0)
        return;
    memcpy(p, data, size);
    b->size += size;
}

void buf_str(struct buf *b, struct str s)
{
    buf_put(b, s.data, s.len);
}

void buf_c(struct buf *b, const char *c)
{
    buf_put(b, c, strlen(c));
}

void buf_u8(struct buf *b, uint8_t v)
{
    buf_put(b, &v, 1);
}

void buf_u16be(struct buf *b, uint16_t v)
{
    uint8_t p[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    buf_put(b, p, sizeof p);
}

void buf_u32be(struct buf *b, uint32_t v)
{
    uint8_t p[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    buf_put(b, p, sizeof p);
}

void buf_u32le(struct buf *b, uint32_t v)
{
    uint8_t p[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    buf_put(b, p, sizeof p);
}

void buf_u64le(struct buf *b, uint64_t v)
{
    buf_u32le(b, (uint32_t)v);
    buf_u32le(b, (uint32_t)(v >> 32));
}

void buf_varint(struct buf *b, uint64_t v)
{
    uint8_t *p = buf_reserve(b, 10);
    if (p == NULL)
        return;
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    b->size += n;
}

void buf_udec(struct buf *b, uint64_t v)
{
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    buf_put(b, text + at, sizeof text - at);
}

void buf_dec(struct buf *b, int64_t v)
{
    if (v < 0)
        buf_u8(b, '-');
    buf_udec(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->error = ERR_LIMIT; /* more than INT_MAX bytes */
        return;
    }
    uint8_t *p = buf_reserve(b, (size_t)n + 1);
    if (p == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf((char *)p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->size += (size_t)n;
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->error = 0;
}

void buf_reset(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){0};
}
