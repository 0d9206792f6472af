/* wire/uv.h - integers and strings of variable length, read from the front of a slice.
 *
 * `uv` is an unsigned LEB128 varint of at most 10 bytes in its shortest form, `zz` a
 * zigzag-mapped uv, `str` a uv length and that many bytes. Our own formats have exactly one
 * spelling of every value, so a longer form is refused; protobuf's varints (pb_varint) may be
 * padded.
 *
 * Readers move *in behind what they read; on failure *in and *out are untouched. Hostile bytes
 * are fine everywhere. Pure; any thread. Tests: tests/unit/wire/test_uv.c; fuzz:
 * tests/fuzz/fuzz_pb.c. */
#ifndef WIRE_UV_H
#define WIRE_UV_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { UV_BYTES_MAX = 10 };

/* Zigzag: 0, -1, 1, -2 ... <-> 0, 1, 2, 3 ... */
static inline uint64_t zz_map(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v < 0 ? -1 : 0);
}

static inline int64_t zz_unmap(uint64_t v)
{
    return (int64_t)((v >> 1) ^ (0 - (v & 1)));
}

/* Bytes of v as a uv, 1 to 10. */
static inline size_t uv_size(uint64_t v)
{
    return (size_t)(63 - __builtin_clzll(v | 1)) / 7 + 1;
}

/* The uv behind uv_read() that is longer than a byte. */
int uv_read_long(struct str *in, uint64_t *out);

/* Read a uv. ERR_PARSE: cut off, above 64 bits, or not the shortest form. */
static inline int uv_read(struct str *in, uint64_t *out)
{
    if (in->len == 0 || (uint8_t)in->data[0] >= 0x80)
        return uv_read_long(in, out);
    *out = (uint8_t)in->data[0];
    in->data++;
    in->len--;
    return 0;
}

/* As uv_read for a value that must fit 32 bits. ERR_PARSE also when it does not. */
int uv_read_u32(struct str *in, uint32_t *out);

/* Read a zz. ERR_PARSE as uv_read. */
int zz_read(struct str *in, int64_t *out);

/* Read a str; *out borrows. ERR_PARSE also when the bytes are not all there. */
int uv_read_str(struct str *in, struct str *out);

/* Read `size` bytes as they are; *out borrows. ERR_PARSE: not all there. */
int raw_read(struct str *in, size_t size, struct str *out);

/* Little-endian integers of fixed size. ERR_PARSE: cut off. */
int u8_read(struct str *in, uint8_t *out);
int u32le_read(struct str *in, uint32_t *out);
int u64le_read(struct str *in, uint64_t *out);

/* Append a zz; buf_varint() appends a uv. */
void zz_put(struct buf *out, int64_t v);

/* Append a str. */
void uv_put_str(struct buf *out, struct str s);

#endif
