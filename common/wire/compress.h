/* wire/compress.h - gzip and lz4, whole bodies at a time, with a hard end.
 *
 * A compressed body names its own size; that is believed only as far as the format can expand
 * and the caller's limit allows. Nothing here holds more memory than the limit, and a lie about
 * the size costs time for one more pass. Bytes of one push share one budget: pass what is left.
 *
 * Pure; any thread. Tests: tests/unit/wire/test_compress.c; fuzz: tests/fuzz/fuzz_gunzip.c. */
#ifndef WIRE_COMPRESS_H
#define WIRE_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Levels for gzip_pack(), 1 to 12: FAST for answers on the fly, NORMAL is what clients send. */
enum { GZIP_FAST = 1, GZIP_NORMAL = 6 };

/* The bytes begin like a gzip member (1f 8b). */
static inline bool gzip_detect(struct str in)
{
    return in.len >= 2 && (unsigned char)in.data[0] == 0x1f &&
           (unsigned char)in.data[1] == 0x8b;
}

/* Unpack all members of `in` into *out, whose old content is dropped; its memory is used again
 * when it is large enough. ERR_PARSE: empty, corrupt, cut off, or something behind the last
 * member; ERR_LIMIT: the content is larger than `limit` bytes (or than out->limit); ERR_NOMEM.
 * On failure *out is empty. Never more than `limit` bytes are allocated. */
int gzip_unpack(struct str in, size_t limit, struct buf *out, struct err *err);

/* Append `in` as one gzip member. ERR_NOMEM, ERR_LIMIT (of the buffer), which is also out's. */
int gzip_pack(struct str in, int level, struct buf *out);

/* Append `in` as one lz4 block, without frame or length. ERR_NOMEM, ERR_LIMIT (also: more than
 * 1.9 GiB), which is also out's. */
int lz4_pack(struct str in, struct buf *out);

/* Append the content of an lz4 block, which must be exactly `size` bytes. `size` may come from
 * a peer once it was compared with a limit: nothing is allocated that the block cannot fill.
 * ERR_PARSE, ERR_NOMEM, ERR_LIMIT (of the buffer); *out has its old content then. */
int lz4_unpack(struct str in, size_t size, struct buf *out);

#endif
