#include "gossip/kv_pair.h"

#include "base/err.h"
#include "wire/pb.h"

enum { F_KEY = 1, F_VALUE, F_CODEC, F_DELETED, F_UPDATE };

void kv_pair_put(struct buf *out, const struct kv_pair *p)
{
    pb_put_bytes_set(out, F_KEY, p->key);
    pb_put_bytes_set(out, F_VALUE, p->value);
    pb_put_bytes_set(out, F_CODEC, p->codec);
    pb_put_varint_set(out, F_DELETED, p->deleted ? 1 : 0);
    pb_put_varint_set(out, F_UPDATE, (uint64_t)p->update_ms);
}

static int set_field(struct kv_pair *p, const struct pb_field *f)
{
    bool bytes = f->number >= F_KEY && f->number <= F_CODEC;
    if (f->number > F_UPDATE)
        return 0; /* of a later version */
    if (f->wire != (bytes ? PB_BYTES : PB_VARINT))
        return ERR_PARSE;
    if (f->number == F_KEY)
        p->key = f->bytes;
    else if (f->number == F_VALUE)
        p->value = f->bytes;
    else if (f->number == F_CODEC)
        p->codec = f->bytes;
    else if (f->number == F_DELETED)
        p->deleted = f->value != 0;
    else
        p->update_ms = (wall_ms)f->value;
    return 0;
}

int kv_pair_get(struct kv_pair *p, struct str bytes)
{
    struct pb_reader r = pb_reader(bytes);
    struct pb_field f;
    int rc;
    *p = (struct kv_pair){0};
    while ((rc = pb_next(&r, &f)) > 0)
        if (set_field(p, &f) != 0)
            return ERR_PARSE;
    return rc;
}

void kv_pair_put_framed(struct buf *out, const struct kv_pair *p)
{
    size_t at = out->size;
    buf_u32be(out, 0);
    kv_pair_put(out, p);
    if (out->error != 0)
        return;
    size_t size = out->size - at - 4;
    for (size_t i = 0; i < 4; i++)
        out->data[at + i] = (uint8_t)(size >> (24 - 8 * i));
}

int kv_pair_next(struct str *in, struct kv_pair *p)
{
    if (in->len == 0)
        return 0;
    if (in->len < 4)
        return ERR_PARSE;
    size_t size = 0;
    for (size_t i = 0; i < 4; i++)
        size = size << 8 | (uint8_t)in->data[i];
    if (in->len - 4 < size || kv_pair_get(p, str_of(in->data + 4, size)) != 0)
        return ERR_PARSE;
    *in = str_skip(*in, 4 + size);
    return 1;
}
