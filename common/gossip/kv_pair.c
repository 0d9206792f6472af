/* Through nanopb, with a stream of our own over the message, so that strings can be borrowed:
 * the stream knows where in the message it stands. */
#include "gossip/kv_pair.h"

#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "base/err.h"
#include "kv.pb.h"

/* --- writing ------------------------------------------------------------------------------ */

static bool write_bytes(pb_ostream_t *s, const pb_byte_t *bytes, size_t count)
{
    struct buf *out = s->state;
    buf_put(out, bytes, count);
    return out->error == 0;
}

static bool write_str(pb_ostream_t *s, const pb_field_t *field, void *const *arg)
{
    const struct str *text = *arg;
    return text->len == 0 || (pb_encode_tag_for_field(s, field) &&
                              pb_encode_string(s, (const pb_byte_t *)text->data, text->len));
}

static pb_callback_t writer_of(const struct str *text)
{
    /* nanopb's argument is not const; write_str() only reads. */
    return (pb_callback_t){.funcs.encode = write_str, .arg = (void *)(uintptr_t)text};
}

void kv_pair_put(struct buf *out, const struct kv_pair *p)
{
    pb_ostream_t s = {.callback = write_bytes, .state = out, .max_size = SIZE_MAX};
    KeyValuePair m = {
        .key = writer_of(&p->key),
        .value = writer_of(&p->value),
        .codec = writer_of(&p->codec),
        .deleted = p->deleted,
        .update_time_millis = p->update_ms,
    };
    (void)pb_encode(&s, KeyValuePair_fields, &m); /* it fails only with *out, which remembers */
}

/* --- reading ------------------------------------------------------------------------------ */

/* The rest of the message. All of nanopb's substreams share it. */
struct source {
    const char *at;
};

static bool read_bytes(pb_istream_t *s, pb_byte_t *bytes, size_t count)
{
    struct source *in = s->state;
    if (bytes != NULL)
        memcpy(bytes, in->at, count);
    in->at += count;
    return true; /* nanopb asks for no more than the stream has left */
}

/* Borrow the field. A number where bytes should be arrives in a stream over a copy, not in
 * ours. */
static bool borrow(pb_istream_t *s, const pb_field_t *field, void **arg)
{
    struct str *out = *arg;
    (void)field;
    if (s->callback != read_bytes)
        return false;
    struct source *in = s->state;
    *out = str_of(in->at, s->bytes_left);
    in->at += s->bytes_left;
    s->bytes_left = 0;
    return true;
}

static pb_callback_t reader_into(struct str *out)
{
    return (pb_callback_t){.funcs.decode = borrow, .arg = out};
}

int kv_pair_get(struct kv_pair *p, struct str bytes)
{
    struct source in = {bytes.data};
    pb_istream_t s = {.callback = read_bytes, .state = &in, .bytes_left = bytes.len};
    *p = (struct kv_pair){0};
    KeyValuePair m = {
        .key = reader_into(&p->key),
        .value = reader_into(&p->value),
        .codec = reader_into(&p->codec),
    };
    if (!pb_decode_ex(&s, KeyValuePair_fields, &m, PB_DECODE_NOINIT))
        return ERR_PARSE;
    p->deleted = m.deleted;
    p->update_ms = m.update_time_millis;
    return 0;
}

/* --- framed ------------------------------------------------------------------------------- */

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
