/* Readers of fields, varints, strings, base64 and hex on hostile bytes: they end, stay inside,
 * and what has one spelling is written back as it was. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wire/base64.h"
#include "wire/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct str part, struct str whole)
{
    return part.len == 0 ||
           (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

/* Fields written again give a message that reads the same. */
static void try_fields(struct str in)
{
    struct pb_reader r = pb_reader(in), again;
    struct pb_field f, g;
    struct buf out = {0};
    size_t fields = 0;
    while (pb_next(&r, &f) > 0) {
        ASSERT(f.number > 0 && f.number < 1u << 29 && inside(f.bytes, in));
        fields++;
        if (f.wire == PB_VARINT)
            pb_put_varint(&out, f.number, f.value);
        else if (f.wire == PB_FIXED64)
            pb_put_fixed64(&out, f.number, f.value);
        else if (f.wire == PB_FIXED32)
            pb_put_fixed32(&out, f.number, (uint32_t)f.value);
        else
            pb_put_bytes(&out, f.number, f.bytes);
    }
    ASSERT(out.error == 0);
    r = pb_reader(in);
    again = pb_reader(buf_view(&out));
    for (size_t i = 0; i < fields; i++) {
        ASSERT(pb_next(&r, &f) == 1 && pb_next(&again, &g) == 1);
        ASSERT(f.number == g.number && f.wire == g.wire && f.value == g.value);
        ASSERT(str_eq(f.bytes, g.bytes));
    }
    ASSERT(pb_next(&again, &g) == 0);
    buf_reset(&out);
}

static void try_uv(struct str in)
{
    struct str rest = in;
    struct buf out = {0};
    uint64_t v;
    while (uv_read(&rest, &v) == 0)
        buf_varint(&out, v);
    ASSERT(out.error == 0 && out.size == in.len - rest.len);
    ASSERT(str_eq(buf_view(&out), str_head(in, out.size)));
    buf_clear(&out);
    struct str s;
    rest = in;
    while (uv_read_str(&rest, &s) == 0) {
        ASSERT(inside(s, in));
        uv_put_str(&out, s);
    }
    ASSERT(str_eq(buf_view(&out), str_head(in, in.len - rest.len)));
    buf_reset(&out);
}

static void try_text(struct str in)
{
    struct buf out = {0};
    uint8_t *bytes = mem_alloc(base64_room(in.len));
    ASSERT(bytes != NULL);
    size_t n = 0, m = 0;
    if (base64_read(in, bytes, &n) == 0) {
        ASSERT(n <= base64_room(in.len));
        base64_put(&out, str_of(bytes, n), true);
        uint8_t *again = mem_alloc(base64_room(out.size));
        ASSERT(again != NULL && base64_read(buf_view(&out), again, &m) == 0);
        ASSERT(str_eq(str_of(bytes, n), str_of(again, m)));
        mem_free(again);
    }
    if (in.len % 2 == 0 && hex_read(in, bytes, in.len / 2) == 0) {
        buf_clear(&out);
        hex_put(&out, str_of(bytes, in.len / 2));
        ASSERT(str_eq_nocase(buf_view(&out), in));
    }
    mem_free(bytes);
    buf_reset(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_of(data, size);
    try_fields(in);
    try_uv(in);
    try_text(in);
    return 0;
}
