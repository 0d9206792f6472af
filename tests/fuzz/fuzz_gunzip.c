/* gzip, lz4 and snappy from hostile bytes: never more memory than the limit, and what was
 * unpacked can be packed and unpacked again. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "wire/compress.h"
#include "wire/snappy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 18 };

static void try_gzip(struct str in)
{
    struct buf out = {0}, packed = {0}, again = {0};
    if (gzip_unpack(in, LIMIT, &out, NULL) == 0) {
        ASSERT(out.size <= LIMIT);
        ASSERT(gzip_pack(buf_view(&out), GZIP_FAST, &packed) == 0);
        ASSERT(gzip_unpack(buf_view(&packed), out.size, &again, NULL) == 0);
        ASSERT(str_eq(buf_view(&out), buf_view(&again)));
    }
    ASSERT(out.cap <= LIMIT);
    buf_reset(&out);
    buf_reset(&packed);
    buf_reset(&again);
}

static void try_blocks(struct str in)
{
    struct buf out = {0}, packed = {0}, again = {0};
    if (snappy_unpack(in, LIMIT, &out) == 0) {
        ASSERT(out.size <= LIMIT);
        ASSERT(snappy_pack(buf_view(&out), &packed) == 0);
        ASSERT(snappy_unpack(buf_view(&packed), out.size, &again) == 0);
        ASSERT(str_eq(buf_view(&out), buf_view(&again)));
    }
    buf_clear(&out);
    if (in.len >= 2) { /* the first two bytes: how large it says it is */
        size_t claim = (size_t)(uint8_t)in.data[0] << 8 | (uint8_t)in.data[1];
        int rc = lz4_unpack(str_skip(in, 2), claim, &out);
        ASSERT(rc == ERR_PARSE ? out.size == 0 : out.size == claim);
    }
    buf_reset(&out);
    buf_reset(&packed);
    buf_reset(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_gzip(str_of(data, size));
    try_blocks(str_of(data, size));
    return 0;
}
