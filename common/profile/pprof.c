/* Three walks over the top level: count everything, decode what samples refer to, decode the
 * samples. The first two pass over a sample in a few instructions, so each byte is still
 * decoded once; knowing all counts and ids beforehand leaves no growing array and no second
 * table of ids. The file is long because the whole hot path is in it. */
#include "profile/pprof.h"

#include "base/mem.h"
#include "profile/form.h"

/* Field numbers of google.v1.Profile. */
enum {
    F_SAMPLE_TYPE = 1,
    F_SAMPLE = 2,
    F_MAPPING = 3,
    F_LOCATION = 4,
    F_FUNCTION = 5,
    F_STRING = 6,
    F_TIME = 9,
    F_DURATION = 10,
    F_PERIOD_TYPE = 11,
    F_PERIOD = 12,
    F_COMMENT = 13,
    F_KNOWN_END = 15,
};

/* Those that are messages or strings; comments are numbers, packed or not. */
enum { BYTES_FIELDS = 0x7e | 1 << F_PERIOD_TYPE };

enum {
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_BYTES = 2,
    WIRE_START = 3,
    WIRE_END = 4,
    WIRE_32 = 5
};

enum {
    GROUP_DEPTH_MAX = 32,
    RAW_MAX = INT32_MAX,
    DENSE_FACTOR = 4,
    QUICK_ROOM = 64, /* what a quick way reads behind the end of its message, at most */
};

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Number and wire type stay together as they come: apart, compilers join their comparison into
 * one wide load, which waits for the two narrow stores. */
#define TAG(number, wire) ((uint32_t)(number) << 3 | (uint32_t)(wire))
#define NUMBER(n)         TAG(n, WIRE_VARINT)
#define BYTES(n)          TAG(n, WIRE_BYTES)

struct field {
    uint32_t tag;              /* 0: skipped */
    uint64_t value;            /* of WIRE_VARINT */
    const uint8_t *data, *end; /* of WIRE_BYTES */
};

/* From ids to indexes: a plain offset, a table by id, or a hash of ids. */
struct ids {
    uint64_t dense; /* ids 1 .. dense are indexes 0 .. dense - 1 */
    uint32_t *table;
    uint64_t table_size; /* ids below it */
    uint64_t *keys;      /* hash: id, 0 free, with its index in slots */
    uint32_t *slots;
    uint64_t mask;
};

struct decoder {
    struct pprof *p;
    struct arena *arena;
    struct err *err;
    const uint8_t *start, *safe; /* before `safe` 8 bytes can be read at once */
    const uint8_t *quick;        /* messages up to here may be read quickly */
    uint64_t counts[F_KNOWN_END], bytes[F_KNOWN_END]; /* per field: messages, bytes in them */
    const uint8_t *first_sample, *after_samples;
    bool scattered;           /* other fields stand between samples */
    bool keep_values;         /* there can be as many as samples x types */
    uint64_t *line_functions; /* ids, until functions are known */
    uint64_t *location_mappings;
    struct ids mapping_ids, function_ids, location_ids;
};

static int broken(struct decoder *d, const uint8_t *at, const char *what)
{
    return err_set(d->err, ERR_PARSE, "pprof: %s at offset %zu", what, (size_t)(at - d->start));
}

/* --- varints and fields ------------------------------------------------------------------- */

static const uint8_t *varint_long(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && p < end; shift += 7) {
        uint8_t b = *p++;
        v |= shift < 63 ? (uint64_t)(b & 0x7f) << shift : (uint64_t)(b & 1) << 63;
        if (b < 0x80) {
            if (shift == 63 && b > 1)
                return NULL;
            *out = v;
            return p;
        }
    }
    return NULL;
}

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

static inline unsigned load16(const uint8_t *p)
{
    return (unsigned)p[0] | (unsigned)p[1] << 8;
}

/* The varint of `w`, 8 bytes of which at least one, the lowest of `stop`, has a clear high bit:
 * closes the gaps between groups of 7 bits, without a loop. */
static inline uint64_t squeeze(uint64_t w, uint64_t stop)
{
    w &= (stop ^ (stop - 1)) & 0x7f7f7f7f7f7f7f7fu;
    w = (w & 0x7f007f007f007f00u) >> 1 | (w & 0x007f007f007f007fu);
    w = (w & 0x3fff00003fff0000u) >> 2 | (w & 0x00003fff00003fffu);
    return (w & 0x0fffffff00000000u) >> 4 | (w & 0x0fffffffu);
}

/* The varint at p when its first byte says there are more and 8 bytes can be read. */
static inline const uint8_t *varint_wide(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t w = load64(p), stop = ~w & 0x8080808080808080u;
    if (UNLIKELY(stop == 0))
        return varint_long(p, end, out);
    *out = squeeze(w, stop);
    p += ((unsigned)__builtin_ctzll(stop) >> 3) + 1;
    return p <= end ? p : NULL;
}

/* Reads a varint; NULL when it is cut off or too long. Before `safe` 8 bytes can be read at
 * once, wherever the message ends. */
static inline const uint8_t *varint(const uint8_t *p, const uint8_t *end, const uint8_t *safe,
                                    uint64_t *out)
{
    if (UNLIKELY(p >= safe))
        return varint_long(p, end, out);
    if (p[0] >= 0x80)
        return varint_wide(p, end, out);
    *out = p[0];
    return p < end ? p + 1 : NULL;
}

/* The varint at p on a quick way: who calls sees to it that 8 bytes can be read, and looks at the
 * end whether it was reached. One or two bytes come in no order, where a guess at the branch is as
 * often wrong as right. One that is too long leads to a zero, which no quick way goes on from. */
static inline const uint8_t *varint_quick(const uint8_t *p, uint64_t *out)
{
    static const uint8_t nowhere;
    unsigned w = load16(p), more = w >> 7 & 1;
    if (LIKELY((w & 0x8080) != 0x8080)) {
        *out = (w & 0x7f) | (w >> 1 & 0x3f80 & (0 - more));
        return p + 1 + more;
    }
    uint64_t wide = load64(p), stop = ~wide & 0x8080808080808080u;
    if (UNLIKELY(stop == 0)) {
        *out = 0;
        return &nowhere;
    }
    *out = squeeze(wide, stop);
    return p + ((unsigned)__builtin_ctzll(stop) >> 3) + 1;
}

/* The number of field `tag` when that is next, else 0. */
static inline const uint8_t *expect(const uint8_t *p, uint8_t tag, uint64_t *out)
{
    *out = 0;
    return *p == tag ? varint_quick(p + 1, out) : p;
}

/* Skip one field behind its tag, groups with all that is in them. */
static const uint8_t *skip(const uint8_t *p, const uint8_t *end, const uint8_t *safe,
                           uint64_t tag)
{
    uint64_t stack[GROUP_DEPTH_MAX], v;
    unsigned depth = 0;
    for (;;) {
        size_t left = (size_t)(end - p);
        switch (tag & 7) {
        case WIRE_VARINT:
            p = varint(p, end, safe, &v);
            break;
        case WIRE_64:
            p = left < 8 ? NULL : p + 8;
            break;
        case WIRE_32:
            p = left < 4 ? NULL : p + 4;
            break;
        case WIRE_BYTES:
            p = varint(p, end, safe, &v);
            p = p == NULL || v > (uint64_t)(end - p) ? NULL : p + v;
            break;
        case WIRE_START:
            if (depth == GROUP_DEPTH_MAX)
                return NULL;
            stack[depth++] = tag >> 3;
            break;
        case WIRE_END:
            if (depth == 0 || stack[--depth] != tag >> 3)
                return NULL;
            break;
        default:
            return NULL;
        }
        if (p == NULL || depth == 0)
            return p;
        p = varint(p, end, safe, &tag);
        if (p == NULL || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
            return NULL;
    }
}

static const uint8_t *field_any(const uint8_t *p, const uint8_t *end, const uint8_t *safe,
                                struct field *f)
{
    uint64_t tag, v;
    p = varint(p, end, safe, &tag);
    if (UNLIKELY(p == NULL || tag >> 3 == 0 || tag >> 3 > 0x1fffffff))
        return NULL;
    f->tag = (uint32_t)tag;
    if (LIKELY((tag & 7) == WIRE_BYTES)) {
        p = varint(p, end, safe, &v);
        if (UNLIKELY(p == NULL || v > (uint64_t)(end - p)))
            return NULL;
        f->data = p;
        f->end = p + v;
        return p + v;
    }
    if (LIKELY((tag & 7) == WIRE_VARINT))
        return varint(p, end, safe, &f->value);
    f->tag = 0;
    return skip(p, end, safe, tag);
}

/* Reads a field, others than numbers and bytes are skipped. NULL when it is broken. Most are
 * short messages and strings, with one byte for the tag and one for the length. */
static inline const uint8_t *field(const uint8_t *p, const uint8_t *end, const uint8_t *safe,
                                   struct field *f)
{
    if (UNLIKELY(p >= safe) || (load16(p) & 0x8087) != WIRE_BYTES || p[0] < 8 ||
        end - p < 2 + (ptrdiff_t)p[1])
        return field_any(p, end, safe, f);
    f->tag = p[0];
    f->data = p + 2;
    return f->end = p + 2 + p[1];
}

/* An index as the wire has it: negative and huge ones become PPROF_NONE. */
static inline uint32_t index_of(uint64_t v)
{
    return v < PPROF_NONE ? (uint32_t)v : PPROF_NONE;
}

/* --- ids ---------------------------------------------------------------------------------- */

static uint64_t hash_id(uint64_t id)
{
    id *= 0x9e3779b97f4a7c15u;
    return id ^ id >> 32;
}

static inline uint32_t ids_find(const struct ids *ids, uint64_t id)
{
    if (LIKELY(id - 1 < ids->dense))
        return (uint32_t)(id - 1);
    if (id == 0)
        return PPROF_NONE;
    if (ids->table != NULL)
        return id < ids->table_size ? ids->table[id] : PPROF_NONE;
    if (ids->keys == NULL)
        return PPROF_NONE;
    for (uint64_t at = hash_id(id) & ids->mask; ids->keys[at] != 0; at = (at + 1) & ids->mask)
        if (ids->keys[at] == id)
            return ids->slots[at];
    return PPROF_NONE;
}

static int ids_hash(struct ids *ids, const void *rows, size_t stride, uint32_t count,
                    struct arena *a)
{
    uint64_t size = 16;
    while (size < (uint64_t)count * 2)
        size *= 2;
    ids->keys = arena_calloc(a, size, sizeof *ids->keys);
    ids->slots = arena_alloc(a, size * sizeof *ids->slots);
    if (ids->keys == NULL || ids->slots == NULL)
        return ERR_NOMEM;
    ids->mask = size - 1;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id;
        memcpy(&id, (const char *)rows + i * stride, sizeof id);
        if (id == 0)
            continue;
        uint64_t at = hash_id(id) & ids->mask;
        while (ids->keys[at] != 0 && ids->keys[at] != id)
            at = (at + 1) & ids->mask;
        ids->keys[at] = id;
        ids->slots[at] = i;
    }
    return 0;
}

/* Rows begin with their 64-bit id. Of equal ids the last one counts, as at the peer. */
static int ids_make(struct ids *ids, const void *rows, size_t stride, uint32_t count,
                    struct arena *a)
{
    uint64_t id, largest = 0;
    bool dense = true;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(&id, (const char *)rows + i * stride, sizeof id);
        dense = dense && id == (uint64_t)i + 1;
        largest = id > largest ? id : largest;
    }
    *ids = (struct ids){.dense = dense ? count : 0};
    if (dense)
        return 0;
    if (largest >= (uint64_t)count * DENSE_FACTOR + 64)
        return ids_hash(ids, rows, stride, count, a);
    ids->table_size = largest + 1;
    ids->table = arena_alloc(a, ids->table_size * sizeof *ids->table);
    if (ids->table == NULL)
        return ERR_NOMEM;
    memset(ids->table, 0xff, ids->table_size * sizeof *ids->table);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(&id, (const char *)rows + i * stride, sizeof id);
        ids->table[id] = i;
    }
    return 0;
}

/* --- counting ----------------------------------------------------------------------------- */

static void count_sample(struct decoder *d, const uint8_t *p, const uint8_t *end)
{
    if (UNLIKELY(p != d->after_samples)) {
        d->scattered = d->first_sample != NULL;
        d->first_sample = d->first_sample == NULL ? p : d->first_sample;
    }
    d->after_samples = end;
}

/* Counts short messages and strings from p on, as most are; where it came to. */
static inline const uint8_t *count_short(struct decoder *d, const uint8_t *p)
{
    while (p < d->quick && (load16(p) & 0x8087) == WIRE_BYTES &&
           (BYTES_FIELDS >> (p[0] >> 3) & 1) != 0) {
        const uint8_t *next = p + 2 + p[1];
        if (next > d->quick)
            break;
        d->counts[p[0] >> 3]++;
        d->bytes[p[0] >> 3] += p[1];
        if (p[0] == BYTES(F_SAMPLE))
            count_sample(d, p, next);
        p = next;
    }
    return p;
}

static int count_fields(struct decoder *d)
{
    const uint8_t *p = d->start, *end = p + d->p->raw.len, *at;
    struct field f;
    while ((at = count_short(d, p)) < end) {
        p = field_any(at, end, d->safe, &f);
        if (p == NULL)
            return broken(d, at, "broken field");
        uint32_t number = f.tag >> 3;
        if (number >= F_KNOWN_END || number == 0)
            continue;
        bool is_bytes = (f.tag & 7) == WIRE_BYTES;
        if (UNLIKELY((BYTES_FIELDS >> number & 1) != is_bytes) && number != F_COMMENT)
            return broken(d, at, "wrong wire type");
        if (!is_bytes)
            continue;
        d->counts[number]++;
        d->bytes[number] += (uint64_t)(f.end - f.data);
        if (number == F_SAMPLE)
            count_sample(d, at, p);
    }
    return 0;
}

/* `count` rows and one more, so that an empty table is not NULL. */
static void *rows_of(struct decoder *d, uint64_t count, size_t size)
{
    return arena_alloc(d->arena, (count + 1) * size);
}

static int make_tables(struct decoder *d)
{
    struct pprof *p = d->p;
    uint64_t lines = d->bytes[F_LOCATION] / 2; /* a line takes two bytes or more */
    uint64_t cells;
    if (__builtin_mul_overflow(d->counts[F_SAMPLE], d->counts[F_SAMPLE_TYPE], &cells) ||
        cells > UINT32_MAX)
        return err_set(d->err, ERR_LIMIT, "pprof: too many samples times sample types");
    d->keep_values =
        cells <= d->bytes[F_SAMPLE]; /* a value takes a byte; else some are missing */
    cells = d->keep_values ? cells : 0;
    p->types = rows_of(d, d->counts[F_SAMPLE_TYPE], sizeof *p->types);
    p->mappings = rows_of(d, d->counts[F_MAPPING], sizeof *p->mappings);
    p->functions = rows_of(d, d->counts[F_FUNCTION], sizeof *p->functions);
    p->locations = rows_of(d, d->counts[F_LOCATION], sizeof *p->locations);
    d->location_mappings = rows_of(d, d->counts[F_LOCATION], sizeof *d->location_mappings);
    p->lines = rows_of(d, lines, sizeof *p->lines);
    d->line_functions = rows_of(d, lines, sizeof *d->line_functions);
    p->strings = rows_of(d, d->counts[F_STRING], sizeof *p->strings);
    p->samples = rows_of(d, d->counts[F_SAMPLE], sizeof *p->samples);
    p->frames = rows_of(d, d->bytes[F_SAMPLE], sizeof *p->frames);
    p->values = rows_of(d, cells, sizeof *p->values);
    p->labels = rows_of(d, d->bytes[F_SAMPLE] / 2, sizeof *p->labels);
    if (p->types == NULL || p->mappings == NULL || p->functions == NULL ||
        p->locations == NULL || d->location_mappings == NULL || p->lines == NULL ||
        d->line_functions == NULL || p->strings == NULL || p->samples == NULL ||
        p->frames == NULL || p->values == NULL || p->labels == NULL)
        return err_set(d->err, ERR_NOMEM, "pprof: no memory for the tables");
    return 0;
}

/* --- what samples refer to ---------------------------------------------------------------- */

/* Reads a field of a nested message into *f: number 0 when it is none of ours. A known number
 * with another wire type is an unknown field, as protobuf has it. */
static inline const uint8_t *inner(const struct decoder *d, const uint8_t *p,
                                   const uint8_t *end, struct field *f)
{
    uint32_t tag = p[0];
    if (LIKELY((tag & 0x87) == WIRE_VARINT && tag != 0)) {
        f->tag = tag;
        return varint(p + 1, end, d->safe, &f->value);
    }
    return field(p, end, d->safe, f);
}

static int read_type(struct decoder *d, const struct field *m, struct pprof_type_row *row)
{
    const uint8_t *at, *p = m->data;
    struct field f;
    *row = (struct pprof_type_row){0};
    while (p < m->end) {
        at = p;
        p = inner(d, p, m->end, &f);
        if (UNLIKELY(p == NULL))
            return broken(d, at, "broken field of a sample type");
        if (f.tag == NUMBER(1))
            row->type = index_of(f.value);
        else if (f.tag == NUMBER(2))
            row->unit = index_of(f.value);
    }
    return 0;
}

static int read_mapping(struct decoder *d, const struct field *m)
{
    struct pprof_map_row *row = &d->p->mappings[d->p->mapping_count++];
    const uint8_t *at, *p = m->data;
    uint64_t v[11] = {0};
    struct field f;
    while (p < m->end) {
        at = p;
        p = inner(d, p, m->end, &f);
        if (UNLIKELY(p == NULL))
            return broken(d, at, "broken field of a mapping");
        if ((f.tag & 7) == WIRE_VARINT && f.tag >> 3 <= 10)
            v[f.tag >> 3] = f.value;
    }
    *row = (struct pprof_map_row){
        .id = v[1],
        .start = v[2],
        .limit = v[3],
        .offset = v[4],
        .file = index_of(v[5]),
        .build_id = index_of(v[6]),
    };
    for (uint32_t i = 0; i < 4; i++)
        row->flags |= (v[7 + i] != 0 ? 1u : 0u) << i;
    return 0;
}

/* A function with its fields in order, each at most once, as all writers that we know put it.
 * False: it may be anything else. */
static inline bool quick_function(const struct decoder *d, const uint8_t *p, const uint8_t *end,
                                  struct pprof_fun_row *row)
{
    uint64_t id, name, system_name, file, line;
    if (UNLIKELY(end > d->quick))
        return false;
    p = expect(p, NUMBER(1), &id);
    p = expect(p, NUMBER(2), &name);
    p = expect(p, NUMBER(3), &system_name);
    p = expect(p, NUMBER(4), &file);
    p = expect(p, NUMBER(5), &line);
    if (UNLIKELY(p != end))
        return false;
    *row = (struct pprof_fun_row){id, index_of(name), index_of(system_name), index_of(file),
                                  (int64_t)line};
    return true;
}

/* A location likewise; Go's runtime puts the mapping behind the lines. */
static inline bool quick_location(struct decoder *d, const uint8_t *p, const uint8_t *end,
                                  struct pprof_loc_row *row, uint64_t *mapping)
{
    uint64_t id, address, before, behind;
    uint32_t first = d->p->line_count, n = first;
    if (UNLIKELY(end > d->quick))
        return false;
    p = expect(p, NUMBER(1), &id);
    p = expect(p, NUMBER(2), &before);
    p = expect(p, NUMBER(3), &address);
    while (*p == BYTES(4) && p < end) {
        const uint8_t *stop = p + 2 + p[1];
        if (UNLIKELY(p[1] >= 0x80 || stop > end))
            return false;
        p = expect(p + 2, NUMBER(1), &d->line_functions[n]);
        p = expect(p, NUMBER(2), (uint64_t *)&d->p->lines[n].line);
        if (UNLIKELY(p != stop))
            return false;
        n++;
    }
    p = expect(p, NUMBER(2), &behind);
    if (UNLIKELY(p != end || (before != 0 && behind != 0)))
        return false;
    *mapping = before | behind;
    *row = (struct pprof_loc_row){.id = id,
                                  .address = address,
                                  .first_line = first,
                                  .line_count = n - first,
                                  .has_mapping = *mapping != 0};
    d->p->line_count = n;
    return true;
}

/* From here on values go straight to their place: collecting them in an array first costs a
 * third of the time, since the processor cannot forward narrow stores to the wide loads behind
 * them. */
static int read_function(struct decoder *d, const struct field *m)
{
    struct pprof_fun_row *row = &d->p->functions[d->p->function_count++];
    const uint8_t *at, *p = m->data, *end = m->end;
    struct field f;
    if (quick_function(d, p, end, row))
        return 0;
    *row = (struct pprof_fun_row){0};
    while (p < end) {
        at = p;
        p = inner(d, p, end, &f);
        if (UNLIKELY(p == NULL))
            return broken(d, at, "broken field of a function");
        switch (f.tag) {
        case NUMBER(1):
            row->id = f.value;
            break;
        case NUMBER(2):
            row->name = index_of(f.value);
            break;
        case NUMBER(3):
            row->system_name = index_of(f.value);
            break;
        case NUMBER(4):
            row->file = index_of(f.value);
            break;
        case NUMBER(5):
            row->start_line = (int64_t)f.value;
            break;
        default:
            break;
        }
    }
    return 0;
}

static inline int read_line(struct decoder *d, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *at;
    uint64_t function = 0, line = 0;
    struct field f;
    while (p < end) {
        at = p;
        p = inner(d, p, end, &f);
        if (UNLIKELY(p == NULL))
            return broken(d, at, "broken field of a line");
        if (f.tag == NUMBER(1))
            function = f.value;
        else if (f.tag == NUMBER(2))
            line = f.value;
    }
    d->line_functions[d->p->line_count] = function;
    d->p->lines[d->p->line_count++].line = (int64_t)line;
    return 0;
}

static int read_location(struct decoder *d, const struct field *m)
{
    struct pprof *p = d->p;
    uint32_t n = p->location_count++;
    struct pprof_loc_row *row = &p->locations[n];
    const uint8_t *at, *q = m->data, *end = m->end;
    struct field f;
    if (quick_location(d, q, end, row, &d->location_mappings[n]))
        return 0;
    *row = (struct pprof_loc_row){.first_line = p->line_count};
    d->location_mappings[n] = 0;
    while (q < end) {
        at = q;
        q = inner(d, q, end, &f);
        if (UNLIKELY(q == NULL))
            return broken(d, at, "broken field of a location");
        if (f.tag == BYTES(4)) {
            int rc = read_line(d, f.data, f.end);
            if (UNLIKELY(rc != 0))
                return rc;
        } else if (f.tag == NUMBER(1)) {
            row->id = f.value;
        } else if (f.tag == NUMBER(2)) {
            d->location_mappings[n] = f.value;
        } else if (f.tag == NUMBER(3)) {
            row->address = f.value;
        } else if (f.tag == NUMBER(5)) {
            row->folded = f.value != 0;
        }
    }
    row->has_mapping = d->location_mappings[n] != 0;
    row->line_count = p->line_count - row->first_line;
    return 0;
}

static int read_tables(struct decoder *d)
{
    struct pprof *p = d->p;
    const uint8_t *q = d->start, *end = q + p->raw.len;
    struct field f;
    int rc = 0;
    while (q < end && rc == 0) {
        if (q == d->first_sample && !d->scattered) {
            q = d->after_samples;
            continue;
        }
        q = field(q, end, d->safe, &f);
        switch (f.tag) {
        case BYTES(F_SAMPLE_TYPE):
            rc = read_type(d, &f, &p->types[p->type_count++]);
            break;
        case BYTES(F_MAPPING):
            rc = read_mapping(d, &f);
            break;
        case BYTES(F_LOCATION):
            rc = read_location(d, &f);
            break;
        case BYTES(F_FUNCTION):
            rc = read_function(d, &f);
            break;
        case BYTES(F_STRING):
            p->strings[p->string_count++] = str_of(f.data, (size_t)(f.end - f.data));
            break;
        case BYTES(F_PERIOD_TYPE):
            rc = read_type(d, &f, &p->period_type);
            p->has_period_type = true;
            break;
        case NUMBER(F_TIME):
            p->time_ns = (int64_t)f.value;
            break;
        case NUMBER(F_DURATION):
            p->duration_ns = (int64_t)f.value;
            break;
        case NUMBER(F_PERIOD):
            p->period = (int64_t)f.value;
            break;
        default:
            break;
        }
    }
    return rc;
}

/* Line and mapping ids to indexes. */
static int resolve(struct decoder *d, unsigned flags)
{
    struct pprof *p = d->p;
    if ((flags & PPROF_FIX_FUNCTION_IDS) != 0 && p->function_count == p->location_count) {
        uint64_t any = 0;
        for (uint32_t i = 0; i < p->function_count; i++)
            any |= p->functions[i].id;
        for (uint32_t i = 0; any == 0 && i < p->function_count; i++)
            p->functions[i].id = p->locations[i].id;
    }
    int rc =
        ids_make(&d->mapping_ids, p->mappings, sizeof *p->mappings, p->mapping_count, d->arena);
    rc = rc != 0 ? rc
                 : ids_make(&d->function_ids, p->functions, sizeof *p->functions,
                            p->function_count, d->arena);
    rc = rc != 0 ? rc
                 : ids_make(&d->location_ids, p->locations, sizeof *p->locations,
                            p->location_count, d->arena);
    if (rc != 0)
        return err_set(d->err, rc, "pprof: no memory for a table of ids");
    for (uint32_t i = 0; i < p->location_count; i++)
        p->locations[i].mapping = ids_find(&d->mapping_ids, d->location_mappings[i]);
    for (uint32_t i = 0; i < p->line_count; i++)
        p->lines[i].function = ids_find(&d->function_ids, d->line_functions[i]);
    return 0;
}

/* --- samples ------------------------------------------------------------------------------ */

/* The frame of a location id, whatever ids there are. */
static uint32_t odd_frame(struct decoder *d, uint64_t id)
{
    uint32_t i = ids_find(&d->location_ids, id);
    d->p->missing_frames = d->p->missing_frames || i == PPROF_NONE;
    return i;
}

/* Packed location ids at q .. end to frames at `out`; NULL when broken. */
static uint32_t *read_frames(struct decoder *d, const uint8_t *q, const uint8_t *end,
                             uint32_t *out)
{
    uint64_t id, dense = d->location_ids.dense;
    if (LIKELY(end <= d->quick)) {
        while (q < end) {
            const uint8_t *next = varint_quick(q, &id);
            if (UNLIKELY(id - 1 >= dense || next > end))
                break;
            *out++ = (uint32_t)(id - 1);
            q = next;
        }
    }
    while (q < end) {
        q = varint(q, end, d->safe, &id);
        if (UNLIKELY(q == NULL))
            return NULL;
        *out++ = odd_frame(d, id);
    }
    return out;
}

/* A label with its fields in order, as with functions. */
static inline bool quick_label(const struct decoder *d, const uint8_t *p, const uint8_t *end,
                               struct pprof_label_row *row)
{
    uint64_t key, text, number, unit;
    if (UNLIKELY(end > d->quick))
        return false;
    p = expect(p, NUMBER(1), &key);
    p = expect(p, NUMBER(2), &text);
    p = expect(p, NUMBER(3), &number);
    p = expect(p, NUMBER(4), &unit);
    *row = (struct pprof_label_row){index_of(key), index_of(text)};
    return p == end;
}

static int read_label(struct decoder *d, const uint8_t *p, const uint8_t *end)
{
    struct pprof_label_row *row = &d->p->labels[d->p->label_count++];
    const uint8_t *at;
    struct field f;
    if (quick_label(d, p, end, row))
        return 0;
    *row = (struct pprof_label_row){0};
    while (p < end) {
        at = p;
        p = inner(d, p, end, &f);
        if (UNLIKELY(p == NULL))
            return broken(d, at, "broken field of a label");
        if (f.tag == NUMBER(1))
            row->key = index_of(f.value);
        else if (f.tag == NUMBER(2))
            row->text = index_of(f.value);
    }
    return 0;
}

/* The sample's value number *count. */
static inline void put_value(const struct decoder *d, uint64_t v, int64_t *values,
                             uint32_t *count)
{
    if (LIKELY(*count < d->p->type_count && d->keep_values))
        values[*count] = (int64_t)v;
    (*count)++;
}

/* Packed values at q .. end; *count goes on from the sample's values so far. */
static bool read_values(struct decoder *d, const uint8_t *q, const uint8_t *end,
                        int64_t *values, uint32_t *count)
{
    uint64_t v;
    while (q < end) {
        q = varint(q, end, d->safe, &v);
        if (UNLIKELY(q == NULL))
            return false;
        put_value(d, v, values, count);
    }
    return true;
}

static int read_sample(struct decoder *d, const uint8_t *q, const uint8_t *end)
{
    struct pprof *p = d->p;
    struct pprof_sample_row row = {.first_frame = p->frame_count,
                                   .first_label = p->label_count};
    int64_t *values =
        p->values + (d->keep_values ? (size_t)p->sample_count * p->type_count : 0);
    uint32_t *frames = p->frames + p->frame_count;
    uint32_t value_count = 0;
    int rc = 0;
    while (q < end) {
        const uint8_t *at = q;
        struct field f;
        q = field(q, end, d->safe, &f);
        if (UNLIKELY(q == NULL))
            return broken(d, at, "broken field of a sample");
        switch (f.tag) {
        case BYTES(1):
            frames = read_frames(d, f.data, f.end, frames);
            if (UNLIKELY(frames == NULL))
                return broken(d, at, "broken location id");
            break;
        case NUMBER(1):
            *frames++ = odd_frame(d, f.value);
            break;
        case BYTES(2):
            if (UNLIKELY(!read_values(d, f.data, f.end, values, &value_count)))
                return broken(d, at, "broken value");
            break;
        case NUMBER(2):
            put_value(d, f.value, values, &value_count);
            break;
        case BYTES(3):
            rc = read_label(d, f.data, f.end);
            if (UNLIKELY(rc != 0))
                return rc;
            break;
        default:
            break;
        }
    }
    row.frame_count = (uint32_t)(frames - p->frames) - row.first_frame;
    row.label_count = p->label_count - row.first_label;
    p->frame_count += row.frame_count;
    if (UNLIKELY(value_count != p->type_count) && p->odd_sample == PPROF_NONE)
        p->odd_sample = p->sample_count;
    p->samples[p->sample_count++] = row;
    return 0;
}

static int read_samples(struct decoder *d)
{
    const uint8_t *q = d->first_sample;
    struct field f;
    int rc = 0;
    while (q != NULL && q < d->after_samples && rc == 0) {
        q = field(q, d->after_samples, d->safe, &f);
        if (f.tag == BYTES(F_SAMPLE))
            rc = read_sample(d, f.data, f.end);
    }
    return rc;
}

int pprof_decode(struct pprof *out, struct str raw, unsigned flags, struct arena *a,
                 struct err *err)
{
    static const uint8_t none;
    if (raw.len > RAW_MAX)
        return err_set(err, ERR_LIMIT, "pprof: %zu bytes are too many", raw.len);
    *out = (struct pprof){.raw = raw, .odd_sample = PPROF_NONE};
    struct decoder d = {.p = out, .arena = a, .err = err};
    d.start = raw.len == 0 ? &none : (const uint8_t *)raw.data;
    d.safe = raw.len < 8 ? d.start : d.start + raw.len - 7;
    d.quick = raw.len < QUICK_ROOM ? d.start : d.start + raw.len - QUICK_ROOM;
    int rc = count_fields(&d);
    rc = rc != 0 ? rc : make_tables(&d);
    rc = rc != 0 ? rc : read_tables(&d);
    rc = rc != 0 ? rc : resolve(&d, flags);
    return rc != 0 ? rc : read_samples(&d);
}
