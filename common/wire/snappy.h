/* wire/snappy.h - snappy's raw block format (not its framing), as memberlist's users put around
 * ring values. Pure; any thread. Tests: tests/unit/wire/test_compress.c. */
#ifndef WIRE_SNAPPY_H
#define WIRE_SNAPPY_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Append `in` as one block. ERR_NOMEM, ERR_LIMIT (of the buffer, or 4 GiB), also out's. */
int snappy_pack(struct str in, struct buf *out);

/* Append the content of a block. The length that it claims is compared with `limit` and with
 * what the format can expand before anything is allocated. ERR_PARSE, ERR_LIMIT, ERR_NOMEM;
 * *out has its old content then. */
int snappy_unpack(struct str in, size_t limit, struct buf *out);

#endif
