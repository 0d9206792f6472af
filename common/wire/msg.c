/* wire/msg.c - protobuf to structs and back, along field tables. */
#include "wire/msg.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/msg_slot.h"
#include "wire/pb.h"

size_t msg_element_size(const struct msg_field *f)
{
    switch ((enum msg_kind)f->kind) {
    case MSG_BOOL:
        return sizeof(bool);
    case MSG_I32:
    case MSG_U32:
    case MSG_FIXED32:
    case MSG_ENUM:
        return sizeof(uint32_t);
    case MSG_I64:
    case MSG_U64:
    case MSG_FIXED64:
    case MSG_DOUBLE:
        return sizeof(uint64_t);
    case MSG_STRING:
    case MSG_BYTES:
        return sizeof(struct str);
    case MSG_MESSAGE:
        return f->type->size;
    }
    UNREACHABLE();
}

uint64_t msg_load(enum msg_kind kind, const void *slot)
{
    switch (kind) {
    case MSG_BOOL:
        return *(const bool *)slot ? 1 : 0;
    case MSG_I32:
    case MSG_ENUM:
        return (uint64_t)(int64_t) * (const int32_t *)slot;
    case MSG_U32:
    case MSG_FIXED32:
        return *(const uint32_t *)slot;
    case MSG_I64:
        return (uint64_t) * (const int64_t *)slot;
    case MSG_U64:
    case MSG_FIXED64:
        return *(const uint64_t *)slot;
    case MSG_DOUBLE:
        return pb_double_bits(*(const double *)slot);
    case MSG_STRING:
    case MSG_BYTES:
    case MSG_MESSAGE:
        break;
    }
    UNREACHABLE();
}

void msg_store(enum msg_kind kind, void *slot, uint64_t bits)
{
    switch (kind) {
    case MSG_BOOL:
        *(bool *)slot = bits != 0;
        return;
    case MSG_I32:
    case MSG_ENUM:
        *(int32_t *)slot = (int32_t)bits;
        return;
    case MSG_U32:
    case MSG_FIXED32:
        *(uint32_t *)slot = (uint32_t)bits;
        return;
    case MSG_I64:
        *(int64_t *)slot = (int64_t)bits;
        return;
    case MSG_U64:
    case MSG_FIXED64:
        *(uint64_t *)slot = bits;
        return;
    case MSG_DOUBLE:
        *(double *)slot = pb_double(bits);
        return;
    case MSG_STRING:
    case MSG_BYTES:
    case MSG_MESSAGE:
        break;
    }
    UNREACHABLE();
}

int msg_grow(const struct msg_field *f, void *msg, size_t more, struct arena *a, size_t *budget)
{
    size_t *count = msg_count_at(f, msg), size = msg_element_size(f);
    if (more > *budget || *count > *budget - more)
        return ERR_LIMIT;
    *budget -= *count + more; /* elements that move cost again: no quadratic merges */
    char *array = arena_calloc(a, *count + more, size);
    if (array == NULL)
        return ERR_NOMEM;
    if (*count > 0)
        memcpy(array, msg_pointer(msg_at(f, msg)), *count * size);
    msg_set_pointer(msg_at(f, msg), array);
    return 0;
}

/* --- reading ----------------------------------------------------------------------------- */

struct decoder {
    const char *base; /* of the whole input, for offsets in messages */
    struct arena *arena;
    uint32_t depth_max;
    size_t budget; /* elements */
    struct err *err;
};

static int fail(const struct decoder *d, int code, const struct msg_type *t,
                const struct msg_field *f, const char *at, const char *what)
{
    return err_set(d->err, code, "%s%s%s: %s at byte %zu", t->name, f == NULL ? "" : ".",
                   f == NULL ? "" : f->name, what, (size_t)(at - d->base));
}

static enum pb_wire wire_of(const struct msg_field *f)
{
    switch ((enum msg_kind)f->kind) {
    case MSG_FIXED32:
        return PB_FIXED32;
    case MSG_FIXED64:
    case MSG_DOUBLE:
        return PB_FIXED64;
    case MSG_STRING:
    case MSG_BYTES:
    case MSG_MESSAGE:
        return PB_BYTES;
    case MSG_BOOL:
    case MSG_I32:
    case MSG_U32:
    case MSG_I64:
    case MSG_U64:
    case MSG_ENUM:
        return PB_VARINT;
    }
    UNREACHABLE();
}

static bool is_packed(const struct msg_field *f, const struct pb_field *p)
{
    return (f->flags & MSG_REPEATED) != 0 && p->wire == PB_BYTES && wire_of(f) != PB_BYTES;
}

/* The field with the number and wire type of p, or NULL: then it is unknown. *hint is where the
 * search begins, as fields mostly come in order. */
static const struct msg_field *find(const struct msg_type *t, const struct pb_field *p,
                                    uint32_t *hint)
{
    for (uint32_t n = 0; n < t->count; n++) {
        uint32_t i = *hint + n < t->count ? *hint + n : *hint + n - t->count;
        const struct msg_field *f = &t->fields[i];
        if (f->number != p->number)
            continue;
        *hint = i;
        return p->wire == wire_of(f) || is_packed(f, p) ? f : NULL;
    }
    return NULL;
}

/* How many elements p has; a packed field of fixed size that is cut off has too few. */
static size_t elements(const struct msg_field *f, const struct pb_field *p)
{
    if (!is_packed(f, p))
        return 1;
    size_t size = wire_of(f) == PB_FIXED32 ? 4 : 8;
    return wire_of(f) == PB_VARINT ? pb_varint_count(p->bytes) : p->bytes.len / size;
}

/* First pass: arrays get their room at once. */
static int make_arrays(struct decoder *d, const struct msg_type *t, void *out, struct str bytes)
{
    size_t more[MSG_FIELDS_MAX] = {0};
    struct pb_reader r = pb_reader(bytes);
    struct pb_field p;
    uint32_t hint = 0;
    int rc;
    while ((rc = pb_next(&r, &p)) > 0) {
        const struct msg_field *f = find(t, &p, &hint);
        if (f != NULL && (f->flags & MSG_REPEATED) != 0)
            more[f - t->fields] += elements(f, &p);
    }
    if (rc != 0)
        return fail(d, rc, t, NULL, r.rest.data, "malformed protobuf");
    for (uint32_t i = 0; i < t->count; i++) {
        rc = more[i] == 0 ? 0 : msg_grow(&t->fields[i], out, more[i], d->arena, &d->budget);
        if (rc != 0)
            return fail(d, rc, t, &t->fields[i], bytes.data,
                        rc == ERR_LIMIT ? "too many elements" : "no memory for elements");
    }
    return 0;
}

static int decode(struct decoder *d, const struct msg_type *t, void *out, struct str bytes,
                  uint32_t depth);

static int put_packed(struct decoder *d, const struct msg_type *t, const struct msg_field *f,
                      void *out, struct str in)
{
    size_t *count = msg_count_at(f, out), size = msg_element_size(f);
    char *array = msg_pointer(msg_at(f, out));
    if (f->kind == MSG_I64 || f->kind == MSG_U64) { /* no conversion: all at once */
        size_t n = 0, room = pb_varint_count(in);
        if (room == 0 && in.len > 0) /* a varint without end; there is no array then */
            return fail(d, ERR_PARSE, t, f, in.data, "malformed packed field");
        if (room > 0 && pb_packed(in, (uint64_t *)(void *)array + *count, room, &n) != 0)
            return fail(d, ERR_PARSE, t, f, in.data, "malformed packed field");
        *count += n;
        return 0;
    }
    while (in.len > 0) {
        uint64_t v = 0;
        uint32_t v32 = 0;
        int rc;
        if (wire_of(f) == PB_VARINT) {
            rc = pb_varint(&in, &v);
        } else if (wire_of(f) == PB_FIXED32) {
            rc = u32le_read(&in, &v32);
            v = v32;
        } else {
            rc = u64le_read(&in, &v);
        }
        if (rc != 0)
            return fail(d, rc, t, f, in.data, "malformed packed field");
        msg_store((enum msg_kind)f->kind, array + *count * size, v);
        ++*count;
    }
    return 0;
}

/* Put p into slot: a struct of its kind, or for messages the message itself. */
static int put_one(struct decoder *d, const struct msg_type *t, const struct msg_field *f,
                   void *slot, const struct pb_field *p, uint32_t depth)
{
    enum msg_kind kind = (enum msg_kind)f->kind;
    if (kind == MSG_MESSAGE) {
        if (depth >= d->depth_max)
            return fail(d, ERR_LIMIT, t, f, p->bytes.data, "nested too deep");
        return decode(d, f->type, slot, p->bytes, depth + 1);
    }
    if (kind == MSG_STRING && !str_is_utf8(p->bytes))
        return fail(d, ERR_PARSE, t, f, p->bytes.data, "not UTF-8");
    if (kind == MSG_STRING || kind == MSG_BYTES)
        *(struct str *)slot = p->bytes;
    else
        msg_store(kind, slot, p->value);
    return 0;
}

static int put(struct decoder *d, const struct msg_type *t, const struct msg_field *f,
               void *out, const struct pb_field *p, uint32_t depth)
{
    if (is_packed(f, p))
        return put_packed(d, t, f, out, p->bytes);
    void *slot = msg_at(f, out);
    if ((f->flags & MSG_REPEATED) != 0) {
        size_t *count = msg_count_at(f, out);
        char *array = msg_pointer(slot);
        return put_one(d, t, f, array + (*count)++ * msg_element_size(f), p, depth);
    }
    if (f->kind == MSG_MESSAGE) {
        void *sub = msg_pointer(slot);
        if (sub == NULL) /* else merge, as protobuf demands */
            sub = arena_zalloc(d->arena, f->type->size);
        if (sub == NULL)
            return fail(d, ERR_NOMEM, t, f, p->bytes.data, "no memory");
        msg_set_pointer(slot, sub);
        slot = sub;
    }
    if ((f->flags & MSG_OPTIONAL) != 0)
        *msg_has_at(f, out) = true;
    return put_one(d, t, f, slot, p, depth);
}

static int decode(struct decoder *d, const struct msg_type *t, void *out, struct str bytes,
                  uint32_t depth)
{
    ASSERT(t->count <= MSG_FIELDS_MAX);
    int rc = make_arrays(d, t, out, bytes);
    if (rc != 0)
        return rc;
    struct pb_reader r = pb_reader(bytes);
    struct pb_field p;
    uint32_t hint = 0;
    while ((rc = pb_next(&r, &p)) > 0) {
        const struct msg_field *f = find(t, &p, &hint);
        rc = f == NULL ? 0 : put(d, t, f, out, &p, depth);
        if (rc != 0)
            return rc;
    }
    return rc;
}

int msg_decode(const struct msg_type *t, void *out, struct str bytes, struct arena *a,
               const struct msg_limits *limits, struct err *err)
{
    struct msg_limits none = {0};
    if (limits == NULL)
        limits = &none;
    struct decoder d = {
        .base = bytes.data,
        .arena = a,
        .depth_max = limits->depth_max == 0 ? (uint32_t)MSG_DEPTH : limits->depth_max,
        .budget = limits->elements_max == 0 ? (size_t)MSG_ELEMENTS : limits->elements_max,
        .err = err,
    };
    memset(out, 0, t->size);
    return decode(&d, t, out, bytes, 1);
}

/* --- writing ----------------------------------------------------------------------------- */

static void encode_number(const struct msg_field *f, uint64_t bits, struct buf *out)
{
    enum pb_wire wire = wire_of(f);
    if (wire == PB_VARINT)
        buf_varint(out, bits);
    else if (wire == PB_FIXED32)
        buf_u32le(out, (uint32_t)bits);
    else
        buf_u64le(out, bits);
}

static void encode_repeated(const struct msg_field *f, const void *in, struct buf *out)
{
    size_t count = msg_count_in(f, in), size = msg_element_size(f);
    const char *array = msg_pointer(msg_in(f, in));
    if (count == 0)
        return;
    if (wire_of(f) != PB_BYTES) {
        size_t mark = pb_begin(out, f->number);
        for (size_t i = 0; i < count; i++)
            encode_number(f, msg_load((enum msg_kind)f->kind, array + i * size), out);
        pb_end(out, mark);
        return;
    }
    for (size_t i = 0; i < count && out->error == 0; i++) {
        const void *one = array + i * size;
        if (f->kind == MSG_MESSAGE) {
            size_t mark = pb_begin(out, f->number);
            msg_encode(f->type, one, out);
            pb_end(out, mark);
        } else {
            pb_put_bytes(out, f->number, *(const struct str *)one);
        }
    }
}

static void encode_singular(const struct msg_field *f, const void *in, struct buf *out)
{
    const void *slot = msg_in(f, in);
    bool optional = (f->flags & MSG_OPTIONAL) != 0;
    if (optional && !msg_has_in(f, in))
        return;
    if (f->kind == MSG_MESSAGE) {
        const void *sub = msg_pointer(slot);
        if (sub == NULL)
            return;
        size_t mark = pb_begin(out, f->number);
        msg_encode(f->type, sub, out);
        pb_end(out, mark);
    } else if (f->kind == MSG_STRING || f->kind == MSG_BYTES) {
        struct str s = *(const struct str *)slot;
        if (optional || s.len > 0)
            pb_put_bytes(out, f->number, s);
    } else {
        uint64_t bits = msg_load((enum msg_kind)f->kind, slot);
        if (optional || bits != 0) {
            pb_put_tag(out, f->number, wire_of(f));
            encode_number(f, bits, out);
        }
    }
}

void msg_encode(const struct msg_type *t, const void *in, struct buf *out)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct msg_field *f = &t->fields[i];
        if ((f->flags & MSG_REPEATED) != 0)
            encode_repeated(f, in, out);
        else
            encode_singular(f, in, out);
    }
}
