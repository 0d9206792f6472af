/* wire/compress.c - gzip by libdeflate, blocks by lz4. */
#include "wire/compress.h"

#include "base/mem.h"

#include <libdeflate.h>
#include <limits.h>
#include <lz4.h>
#include <stdatomic.h>

/* deflate makes at most 1032 bytes of one (258 bytes a match, 2 bits each), lz4 255. */
enum { DEFLATE_MAX = 1032, LZ4_MAX = 255, GZIP_MIN = 18 };

/* libdeflate's allocator is one for the process. malloc and mem_alloc() give the same kind of
 * memory, so a thread that is in the library while this happens comes to no harm. */
static void use_our_heap(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&done))
        libdeflate_set_memory_allocator(mem_alloc, mem_free);
}

static size_t saturating_mul(size_t a, size_t b)
{
    size_t p;
    return __builtin_mul_overflow(a, b, &p) ? SIZE_MAX : p;
}

/* What the content probably measures: ISIZE, the last four bytes, where it can be true. */
static size_t first_guess(struct str in)
{
    const unsigned char *p = (const unsigned char *)in.data + in.len - 4;
    size_t isize = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (isize <= saturating_mul(in.len, DEFLATE_MAX))
        return isize;
    return saturating_mul(in.len, 4);
}

/* Unpack all members into out, which is empty and has room for out->cap bytes.
 * ERR_AGAIN: not enough room. */
static int unpack_members(struct libdeflate_decompressor *d, struct str in, struct buf *out,
                          struct err *err)
{
    struct str rest = in;
    while (rest.len > 0) {
        size_t used = 0, made = 0;
        enum libdeflate_result rc = libdeflate_gzip_decompress_ex(
            d, rest.data, rest.len, out->data + out->size, out->cap - out->size, &used, &made);
        if (rc == LIBDEFLATE_INSUFFICIENT_SPACE)
            return ERR_AGAIN;
        if (rc != LIBDEFLATE_SUCCESS)
            return err_set(err, ERR_PARSE, "gzip: %s at byte %zu of %zu",
                           rest.len == in.len ? "corrupt or cut-off member"
                                              : "corrupt member or trailing bytes",
                           in.len - rest.len, in.len);
        out->size += made;
        rest = str_skip(rest, used);
    }
    return 0;
}

/* Make out empty with room for exactly `cap` bytes, or the room it has if that is between cap
 * and `most`. The old room is given back first, so that both are never held at once. */
static int make_room(struct buf *out, size_t cap, size_t most)
{
    size_t limit = out->limit;
    if (out->data == NULL || out->cap < cap || out->cap > most) {
        buf_reset(out);
        out->data = mem_alloc(cap);
        if (out->data == NULL) {
            *out = (struct buf){.limit = limit, .error = ERR_NOMEM};
            return ERR_NOMEM;
        }
        out->cap = cap;
    }
    out->limit = limit;
    buf_clear(out);
    return 0;
}

static int unpack(struct libdeflate_decompressor *d, struct str in, size_t most,
                  struct buf *out, struct err *err)
{
    size_t cap = first_guess(in);
    for (;;) {
        if (cap > most)
            cap = most;
        if (make_room(out, cap == 0 ? 1 : cap, most) != 0)
            return err_set(err, ERR_NOMEM, "gzip: no memory for %zu bytes", cap);
        int rc = unpack_members(d, in, out, err);
        if (rc == 0 && out->size > most) /* most is 0, but there is room for 1 */
            rc = ERR_AGAIN;
        if (rc != ERR_AGAIN)
            return rc;
        if (out->cap >= most)
            return err_set(err, ERR_LIMIT, "gzip: content is larger than %zu bytes", most);
        size_t next = saturating_mul(out->cap, 2), four = saturating_mul(in.len, 4);
        cap = next > four ? next : four;
    }
}

int gzip_unpack(struct str in, size_t limit, struct buf *out, struct err *err)
{
    buf_clear(out);
    if (in.len < GZIP_MIN || !gzip_detect(in))
        return err_set(err, ERR_PARSE, "gzip: no gzip header in %zu bytes", in.len);
    use_our_heap();
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    if (d == NULL)
        return err_set(err, ERR_NOMEM, "gzip: no memory for the decompressor");
    size_t most = out->limit != 0 && out->limit < limit ? out->limit : limit;
    int rc = unpack(d, in, most, out, err);
    libdeflate_free_decompressor(d);
    if (rc != 0)
        buf_clear(out);
    return rc;
}

int gzip_pack(struct str in, int level, struct buf *out)
{
    if (out->error != 0)
        return out->error;
    use_our_heap();
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
    if (c == NULL)
        return out->error = ERR_NOMEM;
    size_t most = libdeflate_gzip_compress_bound(c, in.len);
    uint8_t *p = buf_reserve(out, most);
    if (p != NULL)
        out->size += libdeflate_gzip_compress(c, in.data, in.len, p, most);
    libdeflate_free_compressor(c);
    return out->error;
}

int lz4_pack(struct str in, struct buf *out)
{
    if (out->error != 0)
        return out->error;
    if (in.len > LZ4_MAX_INPUT_SIZE)
        return out->error = ERR_LIMIT;
    int most = LZ4_compressBound((int)in.len);
    char *p = (char *)buf_reserve(out, (size_t)most);
    if (p == NULL)
        return out->error;
    int n = LZ4_compress_default(in.data == NULL ? "" : in.data, p, (int)in.len, most);
    if (n <= 0) /* cannot be: the bound was reserved */
        return out->error = ERR_INTERNAL;
    out->size += (size_t)n;
    return 0;
}

int lz4_unpack(struct str in, size_t size, struct buf *out)
{
    if (out->error != 0)
        return out->error;
    if (in.len == 0 || in.len > INT_MAX || size > INT_MAX ||
        size > saturating_mul(in.len, LZ4_MAX))
        return ERR_PARSE;
    char *p = (char *)buf_reserve(out, size);
    if (p == NULL)
        return out->error;
    if (LZ4_decompress_safe(in.data, p, (int)in.len, (int)size) != (int)size)
        return ERR_PARSE;
    out->size += size;
    return 0;
}
