/* wire/uv.c - varints, zigzag, length-prefixed strings. */
#include "wire/uv.h"

int uv_read_long(struct str *in, uint64_t *out)
{
    const uint8_t *p = (const uint8_t *)in->data;
    size_t n = in->len < UV_BYTES_MAX ? in->len : (size_t)UV_BYTES_MAX;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] >= 0x80)
            continue;
        if ((i > 0 && p[i] == 0) || (i == UV_BYTES_MAX - 1 && p[i] > 1))
            return ERR_PARSE;
        *out = v;
        *in = str_of(in->data + i + 1, in->len - i - 1);
        return 0;
    }
    return ERR_PARSE;
}

int uv_read_u32(struct str *in, uint32_t *out)
{
    struct str rest = *in;
    uint64_t v = 0;
    if (uv_read(&rest, &v) != 0 || v > UINT32_MAX)
        return ERR_PARSE;
    *out = (uint32_t)v;
    *in = rest;
    return 0;
}

int zz_read(struct str *in, int64_t *out)
{
    uint64_t v = 0;
    int rc = uv_read(in, &v);
    if (rc == 0)
        *out = zz_unmap(v);
    return rc;
}

int uv_read_str(struct str *in, struct str *out)
{
    struct str rest = *in;
    uint64_t len = 0;
    if (uv_read(&rest, &len) != 0 || len > rest.len)
        return ERR_PARSE;
    *out = str_of(rest.data, (size_t)len);
    *in = str_of(rest.data + len, rest.len - (size_t)len);
    return 0;
}

int raw_read(struct str *in, size_t size, struct str *out)
{
    if (size > in->len)
        return ERR_PARSE;
    *out = str_of(in->data, size);
    *in = str_skip(*in, size);
    return 0;
}

int u8_read(struct str *in, uint8_t *out)
{
    struct str b;
    if (raw_read(in, 1, &b) != 0)
        return ERR_PARSE;
    *out = (uint8_t)b.data[0];
    return 0;
}

static uint64_t little(struct str b)
{
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++)
        v |= (uint64_t)(uint8_t)b.data[i] << (8 * i);
    return v;
}

int u32le_read(struct str *in, uint32_t *out)
{
    struct str b;
    if (raw_read(in, 4, &b) != 0)
        return ERR_PARSE;
    *out = (uint32_t)little(b);
    return 0;
}

int u64le_read(struct str *in, uint64_t *out)
{
    struct str b;
    if (raw_read(in, 8, &b) != 0)
        return ERR_PARSE;
    *out = little(b);
    return 0;
}

void zz_put(struct buf *out, int64_t v)
{
    buf_varint(out, zz_map(v));
}

void uv_put_str(struct buf *out, struct str s)
{
    buf_varint(out, s.len);
    buf_str(out, s);
}
