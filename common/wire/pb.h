/* wire/pb.h - protobuf by hand: the fields of a message one after the other, over a slice.
 *
 * For messages that need no struct (pprof, large internal ones); all others have field tables
 * (wire/msg.h). Reading:
 *   struct pb_reader r = pb_reader(bytes);
 *   struct pb_field f;
 *   while ((rc = pb_next(&r, &f)) > 0)
 *       switch (f.number) { case 1: if (f.wire != PB_BYTES) return ERR_PARSE; ... f.bytes ... }
 *   if (rc < 0) return rc;
 * Bytes borrow from the input. Hostile input is fine: no length is believed, groups are skipped
 * whole to a bounded depth. Pure; any thread.
 * Tests: tests/unit/wire/test_pb.c; fuzz: tests/fuzz/fuzz_pb.c. */
#ifndef WIRE_PB_H
#define WIRE_PB_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/uv.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

enum { PB_GROUP_DEPTH_MAX = 32 };

struct pb_reader {
    struct str rest;
};

struct pb_field {
    uint32_t number; /* 1 .. 2^29 - 1 */
    enum pb_wire wire;
    uint64_t value;   /* of all but PB_BYTES */
    struct str bytes; /* of PB_BYTES; borrowed */
};

static inline struct pb_reader pb_reader(struct str bytes)
{
    return (struct pb_reader){bytes};
}

/* Read the next field, groups left out. 1: *f is filled; 0: the end; ERR_PARSE, with the reader
 * still in front of the field that is malformed. *f is unspecified but for 1. */
int pb_next(struct pb_reader *r, struct pb_field *f);

/* The varint behind pb_varint() that is longer than a byte. */
int pb_varint_long(struct str *in, uint64_t *out);

/* A varint as protobuf reads it: at most 10 bytes and 64 bits, padding allowed. Moves *in.
 * ERR_PARSE with *in and *out untouched. */
static inline int pb_varint(struct str *in, uint64_t *out)
{
    if (in->len == 0 || (uint8_t)in->data[0] >= 0x80)
        return pb_varint_long(in, out);
    *out = (uint8_t)in->data[0];
    in->data++;
    in->len--;
    return 0;
}

/* Read all varints of a packed field into out, at most `room`: the fast way. ERR_PARSE,
 * ERR_LIMIT (more than room); out is then unspecified. */
int pb_packed(struct str in, uint64_t *out, size_t room, size_t *count);

/* How many varints a packed field holds: bytes whose high bit is clear. Cheap, for sizing
 * arrays; says nothing about their being well-formed. */
size_t pb_varint_count(struct str packed);

/* Value of a PB_FIXED64 field as a double, and back. */
static inline double pb_double(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static inline uint64_t pb_double_bits(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

/* Append a field, zero values too: whether to omit them is the caller's choice. */
void pb_put_tag(struct buf *b, uint32_t number, enum pb_wire wire);
void pb_put_varint(struct buf *b, uint32_t number, uint64_t v);
void pb_put_i64(struct buf *b, uint32_t number, int64_t v);
void pb_put_fixed32(struct buf *b, uint32_t number, uint32_t v);
void pb_put_fixed64(struct buf *b, uint32_t number, uint64_t v);
void pb_put_double(struct buf *b, uint32_t number, double v);
void pb_put_bytes(struct buf *b, uint32_t number, struct str s);

/* As pb_put_varint and pb_put_bytes, but nothing for 0 and for no bytes: proto3's defaults. */
void pb_put_varint_set(struct buf *b, uint32_t number, uint64_t v);
void pb_put_bytes_set(struct buf *b, uint32_t number, struct str s);

/* The tag and length of a nested message whose `len` bytes the caller appends next. */
void pb_put_head(struct buf *b, uint32_t number, size_t len);

/* Bytes that pb_put_bytes() appends, and pb_put_head() with its content. */
size_t pb_bytes_size(uint32_t number, size_t len);

/* A nested message or packed field of unknown length: pb_begin() returns a mark, what is
 * appended until pb_end() is its content. Calls nest. The content is moved by up to 4 bytes at
 * the end when it is longer than 127 bytes. */
size_t pb_begin(struct buf *b, uint32_t number);
void pb_end(struct buf *b, size_t mark);

#endif
