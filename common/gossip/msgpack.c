/* gossip/msgpack.c - one writer and one reader a type. */
#include "gossip/msgpack.h"

#include "base/err.h"

void mp_put_map(struct buf *out, uint32_t pairs)
{
    if (pairs < 16) {
        buf_u8(out, (uint8_t)(0x80 | pairs));
    } else if (pairs < 65536) {
        buf_u8(out, 0xde);
        buf_u16be(out, (uint16_t)pairs);
    } else {
        buf_u8(out, 0xdf);
        buf_u32be(out, pairs);
    }
}

void mp_put_nil(struct buf *out)
{
    buf_u8(out, 0xc0);
}

void mp_put_bool(struct buf *out, bool v)
{
    buf_u8(out, v ? 0xc3 : 0xc2);
}

void mp_put_raw(struct buf *out, struct str s)
{
    if (s.len < 32) {
        buf_u8(out, (uint8_t)(0xa0 | s.len));
    } else if (s.len < 65536) {
        buf_u8(out, 0xda);
        buf_u16be(out, (uint16_t)s.len);
    } else {
        buf_u8(out, 0xdb);
        buf_u32be(out, (uint32_t)s.len);
    }
    buf_str(out, s);
}

static void put_u64be(struct buf *out, uint64_t v)
{
    buf_u32be(out, (uint32_t)(v >> 32));
    buf_u32be(out, (uint32_t)v);
}

void mp_put_uint(struct buf *out, uint64_t v)
{
    if (v < 128) {
        buf_u8(out, (uint8_t)v);
    } else if (v <= UINT8_MAX) {
        buf_u8(out, 0xcc);
        buf_u8(out, (uint8_t)v);
    } else if (v <= UINT16_MAX) {
        buf_u8(out, 0xcd);
        buf_u16be(out, (uint16_t)v);
    } else if (v <= UINT32_MAX) {
        buf_u8(out, 0xce);
        buf_u32be(out, (uint32_t)v);
    } else {
        buf_u8(out, 0xcf);
        put_u64be(out, v);
    }
}

void mp_put_int(struct buf *out, int64_t v)
{
    if (v >= -32 && v < 128) {
        buf_u8(out, (uint8_t)v);
    } else if (v >= INT8_MIN && v < 0) {
        buf_u8(out, 0xd0);
        buf_u8(out, (uint8_t)v);
    } else if (v >= INT16_MIN && v <= INT16_MAX) {
        buf_u8(out, 0xd1);
        buf_u16be(out, (uint16_t)v);
    } else if (v >= INT32_MIN && v <= INT32_MAX) {
        buf_u8(out, 0xd2);
        buf_u32be(out, (uint32_t)v);
    } else {
        buf_u8(out, 0xd3);
        put_u64be(out, (uint64_t)v);
    }
}

/* The next `size` bytes as a big-endian number; size 0..8. */
static uint64_t take(struct mp_reader *r, size_t size)
{
    if (r->status != 0)
        return 0;
    if ((size_t)(r->end - r->at) < size) {
        r->status = ERR_AGAIN;
        return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++)
        v = v << 8 | r->at[i];
    r->at += size;
    return v;
}

static struct str take_bytes(struct mp_reader *r, uint64_t size)
{
    if (r->status != 0)
        return (struct str){0};
    if ((uint64_t)(r->end - r->at) < size) {
        r->status = ERR_AGAIN;
        return (struct str){0};
    }
    struct str s = str_of(r->at, (size_t)size);
    r->at += size;
    return s;
}

static void refuse(struct mp_reader *r)
{
    if (r->status == 0)
        r->status = ERR_PARSE;
}

uint32_t mp_get_map(struct mp_reader *r)
{
    uint8_t tag = (uint8_t)take(r, 1);
    if (r->status != 0 || tag == 0xc0)
        return 0;
    if ((tag & 0xf0) == 0x80)
        return tag & 0x0f;
    if (tag == 0xde)
        return (uint32_t)take(r, 2);
    if (tag == 0xdf)
        return (uint32_t)take(r, 4);
    refuse(r);
    return 0;
}

/* Length of a raw-like value from its tag; false when the tag is something else. */
static bool raw_size(struct mp_reader *r, uint8_t tag, uint64_t *size)
{
    if ((tag & 0xe0) == 0xa0)
        *size = tag & 0x1f;
    else if (tag == 0xd9 || tag == 0xc4)
        *size = take(r, 1);
    else if (tag == 0xda || tag == 0xc5)
        *size = take(r, 2);
    else if (tag == 0xdb || tag == 0xc6)
        *size = take(r, 4);
    else
        return false;
    return true;
}

struct str mp_get_raw(struct mp_reader *r)
{
    uint8_t tag = (uint8_t)take(r, 1);
    uint64_t size = 0;
    if (r->status != 0 || tag == 0xc0)
        return (struct str){0};
    if (!raw_size(r, tag, &size)) {
        refuse(r);
        return (struct str){0};
    }
    return take_bytes(r, size);
}

int64_t mp_get_int(struct mp_reader *r)
{
    uint8_t tag = (uint8_t)take(r, 1);
    if (r->status != 0 || tag == 0xc0)
        return 0;
    if (tag < 0x80 || tag >= 0xe0)
        return (int8_t)tag;
    uint64_t v = 0;
    switch (tag) {
    case 0xcc:
        return (int64_t)take(r, 1);
    case 0xcd:
        return (int64_t)take(r, 2);
    case 0xce:
        return (int64_t)take(r, 4);
    case 0xcf:
        v = take(r, 8);
        if (v > INT64_MAX)
            refuse(r);
        return r->status == 0 ? (int64_t)v : 0;
    case 0xd0:
        return (int8_t)take(r, 1);
    case 0xd1:
        return (int16_t)take(r, 2);
    case 0xd2:
        return (int32_t)take(r, 4);
    case 0xd3:
        return (int64_t)take(r, 8);
    default:
        refuse(r);
        return 0;
    }
}

uint64_t mp_get_uint(struct mp_reader *r, uint64_t max)
{
    int64_t v = mp_get_int(r);
    if (v < 0 || (uint64_t)v > max) {
        refuse(r);
        return 0;
    }
    return (uint64_t)v;
}

bool mp_get_bool(struct mp_reader *r)
{
    uint8_t tag = (uint8_t)take(r, 1);
    if (r->status != 0)
        return false;
    if (tag != 0xc0 && tag != 0xc2 && tag != 0xc3)
        refuse(r);
    return tag == 0xc3;
}

/* Payload bytes of a scalar that follow its tag; false when it is none of fixed size. */
static bool fixed_size(uint8_t tag, uint64_t *size)
{
    static const uint8_t numbers[16] = {
                                        [0xca - 0xc8] = 4, [0xcb - 0xc8] = 8,
                                        [0xcc - 0xc8] = 1, [0xcd - 0xc8] = 2,
                                        [0xce - 0xc8] = 4, [0xcf - 0xc8] = 8,
                                        [0xd0 - 0xc8] = 1, [0xd1 - 0xc8] = 2,
                                        [0xd2 - 0xc8] = 4, [0xd3 - 0xc8] = 8};
    *size = 0;
    if (tag < 0x80 || tag >= 0xe0 || tag == 0xc0 || tag == 0xc2 || tag == 0xc3)
        return true;
    if (tag >= 0xca && tag <= 0xd3) {
        *size = numbers[tag - 0xc8];
        return true;
    }
    if (tag >= 0xd4 && tag <= 0xd8) { /* fixext: a type byte, then 1, 2, 4, 8 or 16 */
        *size = 1 + ((uint64_t)1 << (tag - 0xd4));
        return true;
    }
    return false;
}

/* Values inside a container; false when the tag is no container. */
static bool container_items(struct mp_reader *r, uint8_t tag, uint64_t *items)
{
    if ((tag & 0xf0) == 0x80)
        *items = 2 * (uint64_t)(tag & 0x0f);
    else if ((tag & 0xf0) == 0x90)
        *items = tag & 0x0f;
    else if (tag == 0xdc)
        *items = take(r, 2);
    else if (tag == 0xdd)
        *items = take(r, 4);
    else if (tag == 0xde)
        *items = 2 * take(r, 2);
    else if (tag == 0xdf)
        *items = 2 * take(r, 4);
    else
        return false;
    return true;
}

void mp_skip(struct mp_reader *r)
{
    for (uint64_t todo = 1; todo > 0 && r->status == 0; todo--) {
        if (r->skipped + todo > MP_SKIP_ITEMS_MAX) {
            refuse(r);
            return;
        }
        r->skipped++;
        uint8_t tag = (uint8_t)take(r, 1);
        uint64_t size = 0, items = 0;
        if (r->status != 0)
            return;
        if (fixed_size(tag, &size) || raw_size(r, tag, &size)) {
            take_bytes(r, size);
        } else if (container_items(r, tag, &items)) {
            todo += items;
        } else if (tag >= 0xc7 && tag <= 0xc9) { /* ext8, ext16, ext32: length, type, bytes */
            size = take(r, (size_t)1 << (tag - 0xc7));
            take_bytes(r, size + 1);
        } else {
            refuse(r);
        }
    }
}
