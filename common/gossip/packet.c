/* gossip/packet.c - layers taken off and put on. */
#include "gossip/packet.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "gossip/digest.h"
#include "gossip/lzw.h"
#include "gossip/messages.h"
#include "gossip/msgpack.h"
#include "wire/snappy.h"

enum { ALGO_LZW = 0, ALGO_SNAPPY = 1 };

static uint8_t byte_at(struct str s, size_t at)
{
    return (uint8_t)s.data[at];
}

static uint32_t u32be_at(struct str s, size_t at)
{
    return (uint32_t)byte_at(s, at) << 24 | (uint32_t)byte_at(s, at + 1) << 16 |
           (uint32_t)byte_at(s, at + 2) << 8 | byte_at(s, at + 3);
}

struct str packet_label(struct str bytes)
{
    if (bytes.len < 2 || byte_at(bytes, 0) != MSG_LABEL || bytes.len - 2 < byte_at(bytes, 1))
        return STR("");
    return str_of(bytes.data + 2, byte_at(bytes, 1));
}

int packet_strip_label(struct str *bytes, struct str label, bool any)
{
    struct str found = packet_label(*bytes), rest = *bytes;
    if (rest.len > 0 && byte_at(rest, 0) == MSG_LABEL) {
        if (found.len == 0)
            return ERR_PARSE;
        rest = str_skip(rest, 2 + found.len);
    }
    if (!any && !str_eq(found, label))
        return ERR_DENIED;
    *bytes = rest;
    return 0;
}

void packet_put_label(struct buf *out, struct str label)
{
    ASSERT(label.len <= PACKET_LABEL_MAX);
    if (label.len == 0)
        return;
    buf_u8(out, MSG_LABEL);
    buf_u8(out, (uint8_t)label.len);
    buf_str(out, label);
}

int packet_unpack(struct buf *out, struct str body)
{
    struct mp_reader r = mp_reader_of(body);
    struct msg_compress m;
    if (msg_get_compress(&r, &m) != 0)
        return ERR_PARSE;
    if (m.algo == ALGO_LZW)
        return lzw_decode(out, m.data);
    if (m.algo == ALGO_SNAPPY)
        return snappy_unpack(m.data, out->limit == 0 ? SIZE_MAX : out->limit - out->size, out);
    return ERR_PARSE;
}

int packet_pack(struct buf *out, struct str msg, enum packet_compression how)
{
    struct buf squeezed = {0};
    size_t start = out->size;
    if (how == PACKET_LZW || how == PACKET_SNAPPY) {
        int rc = how == PACKET_LZW ? lzw_encode(&squeezed, msg) : snappy_pack(msg, &squeezed);
        struct msg_compress m = {how == PACKET_LZW ? ALGO_LZW : ALGO_SNAPPY,
                                 buf_view(&squeezed)};
        if (rc == 0)
            msg_put_compress(out, &m);
        buf_reset(&squeezed);
        if (rc != 0)
            return rc;
        if (out->error != 0 || out->size - start < msg.len)
            return out->error;
        out->size = start;
    }
    buf_str(out, msg);
    return out->error;
}

/* Frames inside frames are legal, so a packet is walked with a stack of what is left to read;
 * deeper nesting than this has no sender. */
enum { DEPTH_MAX = 8 };

struct level {
    struct str rest;    /* parts that are left, back to back */
    struct str lengths; /* their lengths, u16 each */
    struct buf owned;   /* what `rest` borrows from, if we unpacked it */
};

struct opening {
    struct level levels[DEPTH_MAX];
    uint32_t depth;
    size_t unpacked; /* bytes so far */
    uint32_t cut;
    packet_fn fn;
    void *arg;
};

/* A compound: put its parts on the stack. */
static int open_compound(struct opening *o, struct str body)
{
    if (body.len < 1 || body.len - 1 < 2 * (size_t)byte_at(body, 0))
        return ERR_PARSE;
    if (o->depth == DEPTH_MAX)
        return ERR_LIMIT;
    size_t table = 2 * (size_t)byte_at(body, 0);
    o->levels[o->depth++] =
        (struct level){.rest = str_skip(body, 1 + table), .lengths = str_of(body.data + 1, table)};
    return 0;
}

/* Unpack a compress message and put the one message inside on the stack. */
static int open_compress(struct opening *o, struct str body)
{
    if (o->depth == DEPTH_MAX)
        return ERR_LIMIT;
    struct buf out = {.limit = PACKET_UNPACKED_MAX - o->unpacked};
    int rc = out.limit == 0 ? ERR_LIMIT : packet_unpack(&out, body);
    if (rc != 0 || out.size == 0) {
        buf_reset(&out);
        return rc != 0 ? rc : ERR_PARSE;
    }
    o->unpacked += out.size;
    o->levels[o->depth++] = (struct level){.rest = buf_view(&out), .owned = out};
    return 0;
}

/* One message with its type byte: open it further or hand it out. */
static int open_message(struct opening *o, struct str msg)
{
    if (msg.len == 0)
        return ERR_PARSE;
    struct str body = str_skip(msg, 1);
    switch (byte_at(msg, 0)) {
    case MSG_COMPOUND:
        return open_compound(o, body);
    case MSG_COMPRESS:
        return open_compress(o, body);
    default:
        o->fn(o->arg, byte_at(msg, 0), body);
        return 0;
    }
}

/* The next message of the innermost level; false: that level is done. */
static bool next_part(struct opening *o, struct str *msg)
{
    struct level *l = &o->levels[o->depth - 1];
    if (l->owned.data != NULL && l->lengths.data == NULL) { /* one message, taken once */
        *msg = l->rest;
        l->rest = (struct str){0};
        return msg->len > 0;
    }
    if (l->lengths.len == 0)
        return false;
    size_t size = (size_t)byte_at(l->lengths, 0) << 8 | byte_at(l->lengths, 1);
    if (l->rest.len < size) {
        o->cut += (uint32_t)(l->lengths.len / 2);
        return false;
    }
    *msg = str_of(l->rest.data, size);
    l->rest = str_skip(l->rest, size);
    l->lengths = str_skip(l->lengths, 2);
    return true;
}

int packet_open(struct str bytes, packet_fn fn, void *arg, uint32_t *cut)
{
    if (bytes.len > 0 && byte_at(bytes, 0) == MSG_CRC) {
        if (bytes.len < 5 || u32be_at(bytes, 1) != digest_crc32(str_skip(bytes, 5)))
            return ERR_PARSE;
        bytes = str_skip(bytes, 5);
    }
    struct opening *o = mem_zalloc(sizeof *o);
    if (o == NULL)
        return ERR_NOMEM;
    o->fn = fn;
    o->arg = arg;
    int first = open_message(o, bytes);
    while (o->depth > 0) {
        struct str msg = {0};
        if (next_part(o, &msg)) {
            int rc = open_message(o, msg); /* a bad part does not harm the others */
            first = first != 0 ? first : rc;
        } else {
            o->depth--;
            buf_reset(&o->levels[o->depth].owned);
        }
    }
    if (cut != NULL)
        *cut = o->cut;
    mem_free(o);
    return first;
}

void parts_add(struct parts *p, struct str prefix, struct str msg)
{
    if (p->error != 0)
        return;
    if (p->count == p->cap) {
        size_t cap = p->cap * 2 + 8;
        struct part *items = mem_realloc_array(p->items, cap, sizeof *items);
        if (items == NULL) {
            p->error = ERR_NOMEM;
            return;
        }
        p->items = items;
        p->cap = cap;
    }
    size_t at = p->bytes.size;
    buf_str(&p->bytes, prefix);
    buf_str(&p->bytes, msg);
    p->error = p->bytes.error;
    if (p->error == 0)
        p->items[p->count++] = (struct part){at, p->bytes.size - at};
}

void parts_reset(struct parts *p)
{
    buf_reset(&p->bytes);
    mem_free(p->items);
    *p = (struct parts){0};
}

static struct str part_view(const struct parts *p, size_t i)
{
    return str_of(p->bytes.data + p->items[i].at, p->items[i].size);
}

/* Send the `count` parts at pick[] as one packet. */
static int send_compound(const struct parts *p, const size_t *pick, size_t count, parts_fn fn,
                         void *arg)
{
    if (count == 1) {
        fn(arg, part_view(p, pick[0]));
        return 0;
    }
    struct buf out = {0};
    buf_u8(&out, MSG_COMPOUND);
    buf_u8(&out, (uint8_t)count);
    for (size_t i = 0; i < count; i++)
        buf_u16be(&out, (uint16_t)p->items[pick[i]].size);
    for (size_t i = 0; i < count; i++)
        buf_str(&out, part_view(p, pick[i]));
    int rc = out.error;
    if (rc == 0)
        fn(arg, buf_view(&out));
    buf_reset(&out);
    return rc;
}

int parts_send(const struct parts *p, parts_fn fn, void *arg)
{
    size_t pick[PACKET_PARTS_MAX], count = 0;
    int rc = p->error;
    for (size_t i = 0; i < p->count && rc == 0; i++)
        if (p->items[i].size > PACKET_PART_BYTES)
            fn(arg, part_view(p, i));
    for (size_t i = 0; i < p->count && rc == 0; i++) {
        if (p->items[i].size > PACKET_PART_BYTES)
            continue;
        pick[count++] = i;
        if (count == PACKET_PARTS_MAX) {
            rc = send_compound(p, pick, count, fn, arg);
            count = 0;
        }
    }
    return rc == 0 && count > 0 ? send_compound(p, pick, count, fn, arg) : rc;
}
