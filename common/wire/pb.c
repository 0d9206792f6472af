/* wire/pb.c - protobuf fields over slices. */
#include "wire/pb.h"

#include "base/assert.h"

enum { WIRE_GROUP = 3, WIRE_END_GROUP = 4 }; /* the wire types that pb_next() hides */

static const uint64_t NUMBER_MAX = (1u << 29) - 1;

int pb_varint_long(struct str *in, uint64_t *out)
{
    if (in->len >= 2 && (uint8_t)in->data[1] < 0x80) { /* most that are not one byte are two */
        *out = (uint64_t)((uint8_t)in->data[0] & 0x7f) | (uint64_t)(uint8_t)in->data[1] << 7;
        in->data += 2;
        in->len -= 2;
        return 0;
    }
    const uint8_t *p = (const uint8_t *)in->data;
    size_t n = in->len < UV_BYTES_MAX ? in->len : (size_t)UV_BYTES_MAX;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] >= 0x80)
            continue;
        if (i == UV_BYTES_MAX - 1 && p[i] > 1)
            return ERR_PARSE;
        *out = v;
        *in = str_of(in->data + i + 1, in->len - i - 1);
        return 0;
    }
    return ERR_PARSE;
}

size_t pb_varint_count(struct str packed)
{
    size_t n = 0;
    for (size_t i = 0; i < packed.len; i++)
        n += ((uint8_t)packed.data[i] & 0x80) == 0;
    return n;
}

static int read_tag(struct str *in, uint32_t *number, unsigned *wire)
{
    uint64_t tag = 0;
    if (pb_varint(in, &tag) != 0 || tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        return ERR_PARSE;
    *number = (uint32_t)(tag >> 3);
    *wire = (unsigned)(tag & 7);
    return 0;
}

/* The value behind a tag that is no group's. */
static int read_value(struct str *in, unsigned wire, struct pb_field *f)
{
    uint64_t len = 0;
    uint32_t v32 = 0;
    switch (wire) {
    case PB_VARINT:
        f->wire = PB_VARINT;
        return pb_varint(in, &f->value);
    case PB_FIXED64:
        f->wire = PB_FIXED64;
        return u64le_read(in, &f->value);
    case PB_FIXED32:
        f->wire = PB_FIXED32;
        if (u32le_read(in, &v32) != 0)
            return ERR_PARSE;
        f->value = v32;
        return 0;
    case PB_BYTES:
        f->wire = PB_BYTES;
        if (pb_varint(in, &len) != 0 || len > in->len)
            return ERR_PARSE;
        return raw_read(in, (size_t)len, &f->bytes);
    default:
        return ERR_PARSE; /* end of a group that was not opened, or 6 and 7 */
    }
}

/* Move *in behind the group `number`, whose start was read. */
static int skip_group(struct str *in, uint32_t number)
{
    uint32_t open[PB_GROUP_DEPTH_MAX];
    size_t depth = 0;
    open[depth++] = number;
    while (depth > 0) {
        struct pb_field f = {0};
        unsigned wire = 0;
        if (read_tag(in, &number, &wire) != 0)
            return ERR_PARSE;
        if (wire == WIRE_GROUP) {
            if (depth == PB_GROUP_DEPTH_MAX)
                return ERR_PARSE;
            open[depth++] = number;
        } else if (wire == WIRE_END_GROUP) {
            if (open[--depth] != number)
                return ERR_PARSE;
        } else if (read_value(in, wire, &f) != 0) {
            return ERR_PARSE;
        }
    }
    return 0;
}

int pb_next(struct pb_reader *r, struct pb_field *f)
{
    while (r->rest.len > 0) {
        unsigned wire = 0;
        *f = (struct pb_field){0};
        if (read_tag(&r->rest, &f->number, &wire) != 0)
            return ERR_PARSE;
        if (wire != WIRE_GROUP)
            return read_value(&r->rest, wire, f) == 0 ? 1 : ERR_PARSE;
        if (skip_group(&r->rest, f->number) != 0)
            return ERR_PARSE;
    }
    return 0;
}

void pb_put_tag(struct buf *b, uint32_t number, enum pb_wire wire)
{
    buf_varint(b, (uint64_t)number << 3 | (uint64_t)wire);
}

void pb_put_varint(struct buf *b, uint32_t number, uint64_t v)
{
    pb_put_tag(b, number, PB_VARINT);
    buf_varint(b, v);
}

void pb_put_i64(struct buf *b, uint32_t number, int64_t v)
{
    pb_put_varint(b, number, (uint64_t)v);
}

void pb_put_fixed32(struct buf *b, uint32_t number, uint32_t v)
{
    pb_put_tag(b, number, PB_FIXED32);
    buf_u32le(b, v);
}

void pb_put_fixed64(struct buf *b, uint32_t number, uint64_t v)
{
    pb_put_tag(b, number, PB_FIXED64);
    buf_u64le(b, v);
}

void pb_put_double(struct buf *b, uint32_t number, double v)
{
    pb_put_fixed64(b, number, pb_double_bits(v));
}

void pb_put_bytes(struct buf *b, uint32_t number, struct str s)
{
    pb_put_tag(b, number, PB_BYTES);
    uv_put_str(b, s);
}

void pb_put_varint_set(struct buf *b, uint32_t number, uint64_t v)
{
    if (v != 0)
        pb_put_varint(b, number, v);
}

void pb_put_bytes_set(struct buf *b, uint32_t number, struct str s)
{
    if (s.len != 0)
        pb_put_bytes(b, number, s);
}

size_t pb_begin(struct buf *b, uint32_t number)
{
    pb_put_tag(b, number, PB_BYTES);
    buf_u8(b, 0); /* the length, grown by pb_end() */
    return b->size;
}

void pb_end(struct buf *b, size_t mark)
{
    if (b->error != 0)
        return;
    ASSERT(mark > 0 && mark <= b->size);
    uint64_t len = b->size - mark;
    size_t width = uv_size(len);
    if (width > 1) {
        if (buf_reserve(b, width - 1) == NULL)
            return;
        memmove(b->data + mark + width - 1, b->data + mark, (size_t)len);
        b->size += width - 1;
    }
    uint8_t *p = b->data + mark - 1;
    for (; len >= 0x80; len >>= 7)
        *p++ = (uint8_t)(len | 0x80);
    *p = (uint8_t)len;
}

void pb_cancel(struct buf *b, uint32_t number, size_t mark)
{
    if (b->error != 0)
        return;
    size_t head = uv_size((uint64_t)number << 3) + 1;
    ASSERT(mark >= head && mark <= b->size);
    b->size = mark - head;
}
