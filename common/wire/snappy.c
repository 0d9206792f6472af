/* wire/snappy.c - raw snappy blocks by libsnappy's C interface. */
#include "wire/snappy.h"

#include <snappy-c.h>
#include <stdint.h>

/* A copy of 3 bytes makes 64: no block expands further. */
enum { SNAPPY_MAX = 22 };

int snappy_pack(struct str in, struct buf *out)
{
    if (out->error != 0)
        return out->error;
    if (in.len > UINT32_MAX)
        return out->error = ERR_LIMIT;
    size_t size = snappy_max_compressed_length(in.len);
    uint8_t *p = buf_reserve(out, size);
    if (p == NULL)
        return out->error;
    const char *from = in.data == NULL ? "" : in.data;
    if (snappy_compress(from, in.len, (char *)p, &size) != SNAPPY_OK)
        return out->error = ERR_INTERNAL; /* cannot be: the bound was reserved */
    out->size += size;
    return 0;
}

int snappy_unpack(struct str in, size_t limit, struct buf *out)
{
    if (out->error != 0)
        return out->error;
    size_t size = 0;
    if (in.len == 0 || snappy_uncompressed_length(in.data, in.len, &size) != SNAPPY_OK ||
        size / SNAPPY_MAX > in.len)
        return ERR_PARSE;
    if (size > limit)
        return ERR_LIMIT;
    uint8_t *p = buf_reserve(out, size);
    if (p == NULL)
        return out->error;
    if (snappy_uncompress(in.data, in.len, (char *)p, &size) != SNAPPY_OK)
        return ERR_PARSE;
    out->size += size;
    return 0;
}
