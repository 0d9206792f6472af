/* gossip/lzw.c - an encoder over a hash of codes, and a decoder over their prefixes. */
#include "gossip/lzw.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum {
    LZW_CLEAR = 256,
    LZW_EOF = 257,
    LZW_WIDTH_MIN = 9,
    LZW_WIDTH_MAX = 12,
    LZW_CODES = 1 << LZW_WIDTH_MAX,
    HASH_SLOTS = 4 * LZW_CODES, /* a power of two; at most a quarter full */
};

/* Bits on their way out. */
struct bits {
    struct buf *out;
    uint32_t acc;
    uint32_t count;
};

static void bits_put(struct bits *b, uint32_t code, uint32_t width)
{
    b->acc |= code << b->count;
    b->count += width;
    while (b->count >= 8) {
        buf_u8(b->out, (uint8_t)b->acc);
        b->acc >>= 8;
        b->count -= 8;
    }
}

/* The dictionary: (code << 8 | byte) + 1 in `key` (0: free), its code in `code`. */
struct encoder {
    struct bits bits;
    uint32_t width, hi, overflow;
    uint32_t key[HASH_SLOTS];
    uint16_t code[HASH_SLOTS];
};

static void encoder_clear(struct encoder *e)
{
    e->width = LZW_WIDTH_MIN;
    e->hi = LZW_EOF;
    e->overflow = 1u << LZW_WIDTH_MIN;
    memset(e->key, 0, sizeof e->key);
}

/* Count one more code. False: the table was full and has been cleared. */
static bool encoder_grow(struct encoder *e)
{
    e->hi++;
    if (e->hi == e->overflow) {
        e->width++;
        e->overflow *= 2;
    }
    if (e->hi < LZW_CODES - 1)
        return true;
    bits_put(&e->bits, LZW_CLEAR, e->width);
    encoder_clear(e);
    return false;
}

/* Slot of `key`, or the free slot where it belongs. */
static uint32_t encoder_slot(const struct encoder *e, uint32_t key)
{
    uint32_t slot = (key * 2654435761u) >> (32 - 14);
    while (e->key[slot] != 0 && e->key[slot] != key)
        slot = (slot + 1) & (HASH_SLOTS - 1);
    return slot;
}

static void encode_all(struct encoder *e, const uint8_t *in, size_t size)
{
    bits_put(&e->bits, LZW_CLEAR, e->width);
    if (size > 0) {
        uint32_t code = in[0];
        for (size_t i = 1; i < size; i++) {
            uint32_t key = (code << 8 | in[i]) + 1;
            uint32_t slot = encoder_slot(e, key);
            if (e->key[slot] == key) {
                code = e->code[slot];
                continue;
            }
            bits_put(&e->bits, code, e->width);
            code = in[i];
            if (encoder_grow(e)) {
                e->key[slot] = key;
                e->code[slot] = (uint16_t)e->hi;
            }
        }
        bits_put(&e->bits, code, e->width);
        (void)encoder_grow(e);
    }
    bits_put(&e->bits, LZW_EOF, e->width);
    if (e->bits.count > 0)
        bits_put(&e->bits, 0, 8 - e->bits.count);
}

int lzw_encode(struct buf *out, struct str in)
{
    struct encoder *e = mem_alloc(sizeof *e);
    if (e == NULL)
        return ERR_NOMEM;
    e->bits = (struct bits){.out = out};
    encoder_clear(e);
    encode_all(e, (const uint8_t *)in.data, in.len);
    mem_free(e);
    return out->error;
}

struct decoder {
    const uint8_t *at, *end;
    uint32_t acc, bits;
    uint32_t width, hi;
    uint32_t last; /* previous code; LZW_CODES right after a clear */
    uint16_t prefix[LZW_CODES];
    uint8_t suffix[LZW_CODES];
    uint8_t text[LZW_CODES]; /* one expansion, filled from the back */
};

/* Next code, or -1 at the end of the input. */
static int32_t decoder_code(struct decoder *d)
{
    while (d->bits < d->width) {
        if (d->at == d->end)
            return -1;
        d->acc |= (uint32_t)*d->at++ << d->bits;
        d->bits += 8;
    }
    uint32_t code = d->acc & ((1u << d->width) - 1);
    d->acc >>= d->width;
    d->bits -= d->width;
    return (int32_t)code;
}

/* Append the text of `code` (at most hi) and return its first byte. A code's prefix is always
 * smaller than the code, so the walk ends. */
static uint8_t decoder_expand(struct decoder *d, uint32_t code, struct buf *out)
{
    uint32_t at = LZW_CODES, c = code;
    if (code == d->hi && d->last != LZW_CODES) { /* being defined: the last text + its head */
        for (c = d->last; c >= LZW_CLEAR; c = d->prefix[c])
            ;
        d->text[--at] = (uint8_t)c;
        c = d->last;
    }
    for (; c >= LZW_CLEAR; c = d->prefix[c])
        d->text[--at] = d->suffix[c];
    d->text[--at] = (uint8_t)c;
    buf_put(out, d->text + at, LZW_CODES - at);
    return (uint8_t)c;
}

static void decoder_clear(struct decoder *d)
{
    d->width = LZW_WIDTH_MIN;
    d->hi = LZW_EOF;
    d->last = LZW_CODES;
}

/* Take one data code: expand it and define the next table entry. A full table stays as it is,
 * at 12 bits, until it is cleared. */
static void decoder_step(struct decoder *d, uint32_t code, struct buf *out)
{
    uint8_t first = decoder_expand(d, code, out);
    if (d->last != LZW_CODES) {
        d->prefix[d->hi] = (uint16_t)d->last;
        d->suffix[d->hi] = first;
    }
    d->last = code;
    d->hi++;
    if (d->hi < (1u << d->width))
        return;
    if (d->width < LZW_WIDTH_MAX) {
        d->width++;
    } else {
        d->hi--;
        d->last = LZW_CODES;
    }
}

int lzw_decode(struct buf *out, struct str in)
{
    struct decoder *d = mem_alloc(sizeof *d);
    if (d == NULL)
        return ERR_NOMEM;
    d->at = (const uint8_t *)in.data;
    d->end = in.data == NULL ? NULL : d->at + in.len;
    d->acc = d->bits = 0;
    decoder_clear(d);
    int rc = 0;
    while (rc == 0) {
        int32_t code = decoder_code(d);
        if (code == LZW_EOF)
            break;
        if (code == LZW_CLEAR)
            decoder_clear(d);
        else if (code < 0 || (uint32_t)code > d->hi)
            rc = ERR_PARSE;
        else
            decoder_step(d, (uint32_t)code, out);
        if (rc == 0)
            rc = out->error;
    }
    mem_free(d);
    return rc;
}
