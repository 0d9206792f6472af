/* base/buf.h - a growing run of bytes whose failure is sticky: append freely, check once.
 *
 * A failed append (no memory, or over `limit`) sets `error` and later appends do nothing.
 * Value type; all-zero is an empty buffer without limit; buf_reset() gives the memory back.
 * One owner thread. Tests: tests/unit/base/test_buf.c. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct buf {
    uint8_t *data;
    size_t size;  /* bytes in use */
    size_t cap;   /* bytes allocated */
    size_t limit; /* most bytes it may hold; 0 = none */
    int error;    /* 0, ERR_NOMEM or ERR_LIMIT */
};

/* Make room for `more` bytes behind `size` and return where they start; the caller writes there
 * and then adds to size. NULL: error is set. */
uint8_t *buf_reserve(struct buf *b, size_t more);

/* Append bytes, a string, a C string, one byte, integers of that size and byte order. */
void buf_put(struct buf *b, const void *data, size_t size);
void buf_str(struct buf *b, struct str s);
void buf_c(struct buf *b, const char *c);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16be(struct buf *b, uint16_t v);
void buf_u32be(struct buf *b, uint32_t v);
void buf_u32le(struct buf *b, uint32_t v);
void buf_u64le(struct buf *b, uint64_t v);

/* Unsigned LEB128 in its shortest form, 1 to 10 bytes; room for 10 counts against the limit. */
void buf_varint(struct buf *b, uint64_t v);

/* Decimal text. */
void buf_dec(struct buf *b, int64_t v);
void buf_udec(struct buf *b, uint64_t v);

/* Formatted text; room for a NUL behind it counts against the limit. */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The bytes so far; valid until the next change. */
static inline struct str buf_view(const struct buf *b)
{
    return str_of(b->data, b->size);
}

/* Empty it but keep memory and limit; forgets the error. */
void buf_clear(struct buf *b);

/* Give the memory back and become all-zero (limit too). */
void buf_reset(struct buf *b);

#endif
