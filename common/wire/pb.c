/* wire/pb.c - protobuf fields over slices. */
#include "wire/pb.h"

#include "base/assert.h"

enum { WIRE_GROUP = 3, WIRE_END_GROUP = 4 }; /* the wire types that pb_next() hides */

static const uint64_t NUMBER_MAX = (1u << 29) - 1;

/* What follows reads with a cursor p in front of end, and returns the cursor behind what it
 * read, or NULL: that keeps it in registers, and parsing is most of what a push costs. */

static const uint8_t *long_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && p < end; shift += 7) {
        uint8_t c = *p++;
        if (shift == 63 && c > 1)
            return NULL;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

static inline const uint8_t *varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    if (end - p >= 2) { /* nearly all have one or two bytes */
        if (p[0] < 0x80) {
            *out = p[0];
            return p + 1;
        }
        if (p[1] < 0x80) {
            *out = (uint64_t)(p[0] & 0x7f) | (uint64_t)p[1] << 7;
            return p + 2;
        }
    }
    return long_varint(p, end, out);
}

static const uint8_t *begin_of(struct str s)
{
    return (const uint8_t *)s.data;
}

static const uint8_t *end_of(struct str s)
{
    return s.len == 0 ? begin_of(s) : begin_of(s) + s.len;
}

int pb_varint_long(struct str *in, uint64_t *out)
{
    const uint8_t *end = end_of(*in), *p = varint(begin_of(*in), end, out);
    if (p == NULL)
        return ERR_PARSE;
    *in = str_of(p, (size_t)(end - p));
    return 0;
}

int pb_packed(struct str in, uint64_t *out, size_t room, size_t *count)
{
    const uint8_t *p = begin_of(in), *end = end_of(in);
    size_t n = 0;
    for (; p < end; n++) {
        if (n == room)
            return ERR_LIMIT;
        p = varint(p, end, &out[n]);
        if (p == NULL)
            return ERR_PARSE;
    }
    *count = n;
    return 0;
}

size_t pb_varint_count(struct str packed)
{
    size_t n = 0;
    for (size_t i = 0; i < packed.len; i++)
        n += ((uint8_t)packed.data[i] & 0x80) == 0;
    return n;
}

static inline const uint8_t *fixed(const uint8_t *p, const uint8_t *end, size_t size,
                                   uint64_t *out)
{
    if ((size_t)(end - p) < size)
        return NULL;
    *out = 0;
    for (size_t i = 0; i < size; i++)
        *out |= (uint64_t)p[i] << (8 * i);
    return p + size;
}

static inline const uint8_t *tag(const uint8_t *p, const uint8_t *end, uint32_t *number,
                                 unsigned *wire)
{
    uint64_t v = 0;
    p = varint(p, end, &v);
    if (p == NULL || v >> 3 == 0 || v >> 3 > NUMBER_MAX)
        return NULL;
    *number = (uint32_t)(v >> 3);
    *wire = (unsigned)(v & 7);
    return p;
}

/* The value behind a tag that is no group's. */
static inline const uint8_t *field_value(const uint8_t *p, const uint8_t *end, unsigned wire,
                                         struct pb_field *f)
{
    uint64_t len = 0;
    f->value = 0;
    f->bytes = (struct str){0};
    f->wire = (enum pb_wire)wire;
    switch (wire) {
    case PB_VARINT:
        return varint(p, end, &f->value);
    case PB_FIXED64:
        return fixed(p, end, 8, &f->value);
    case PB_FIXED32:
        return fixed(p, end, 4, &f->value);
    case PB_BYTES:
        p = varint(p, end, &len);
        if (p == NULL || len > (uint64_t)(end - p))
            return NULL;
        f->bytes = str_of(p, (size_t)len);
        return p + len;
    default:
        return NULL; /* end of a group that was not opened, or 6 and 7 */
    }
}

/* Behind the group `number`, whose start was read. */
static const uint8_t *skip_group(const uint8_t *p, const uint8_t *end, uint32_t number)
{
    uint32_t open[PB_GROUP_DEPTH_MAX];
    size_t depth = 0;
    open[depth++] = number;
    while (depth > 0) {
        struct pb_field f;
        unsigned wire = 0;
        p = tag(p, end, &number, &wire);
        if (p == NULL)
            return NULL;
        if (wire == WIRE_GROUP) {
            if (depth == PB_GROUP_DEPTH_MAX)
                return NULL;
            open[depth++] = number;
        } else if (wire == WIRE_END_GROUP) {
            if (open[--depth] != number)
                return NULL;
        } else {
            p = field_value(p, end, wire, &f);
            if (p == NULL)
                return NULL;
        }
    }
    return p;
}

int pb_next(struct pb_reader *r, struct pb_field *f)
{
    const uint8_t *p = begin_of(r->rest), *end = end_of(r->rest);
    while (p < end) {
        unsigned wire = 0;
        p = tag(p, end, &f->number, &wire);
        if (p == NULL)
            return ERR_PARSE;
        bool group = wire == WIRE_GROUP;
        p = group ? skip_group(p, end, f->number) : field_value(p, end, wire, f);
        if (p == NULL)
            return ERR_PARSE;
        r->rest = str_of(p, (size_t)(end - p));
        if (!group)
            return 1;
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

void pb_put_head(struct buf *b, uint32_t number, size_t len)
{
    pb_put_tag(b, number, PB_BYTES);
    buf_varint(b, len);
}

size_t pb_bytes_size(uint32_t number, size_t len)
{
    return uv_size((uint64_t)number << 3) + uv_size(len) + len;
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
