/* wire/base64.h - bytes as text: base64 and hexadecimal.
 *
 * Pure; any thread; writers append to a buffer with its sticky error.
 * Tests: tests/unit/wire/test_base64.c; fuzz: tests/fuzz/fuzz_pb.c. */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Append s in the standard alphabet, with '=' to a multiple of four when `padded`. */
void base64_put(struct buf *out, struct str s, bool padded);

/* Bytes that a text of `len` characters holds at most. */
static inline size_t base64_room(size_t len)
{
    return len / 4 * 3 + 3;
}

/* Read text of the standard or the URL alphabet, padded or not, into out (base64_room(text.len)
 * bytes). ERR_PARSE: other characters, a length that cannot be, wrong padding, or bits set that
 * belong to no byte. */
int base64_read(struct str text, uint8_t *out, size_t *size);

/* Append s as lower-case hexadecimal digits, two a byte. */
void hex_put(struct buf *out, struct str s);

/* Read exactly 2 x size digits of either case. ERR_PARSE: *out is then unspecified. */
int hex_read(struct str text, uint8_t *out, size_t size);

#endif
