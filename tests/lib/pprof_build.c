/* Writes fields with wire/pb.h; ids are 1 .. n, or spread out with sparse_ids. */
#include "pprof_build.h"

#include <stdlib.h>

#include "base/mem.h"
#include "wire/pb.h"

enum { MAX = 256, DEPTH_MAX = 2048 };

uint32_t pprof_build_string(struct pprof_build *b, struct str s)
{
    if (b->name_count == 0)
        b->names[b->name_count++] = STR("");
    for (uint32_t i = 0; i < b->name_count; i++)
        if (str_eq(b->names[i], s))
            return i;
    char *copy = mem_dup(s.data, s.len);
    if (copy == NULL || b->name_count == MAX)
        abort();
    b->names[b->name_count] = str_of(copy, s.len);
    return b->name_count++;
}

static void value_type(struct pprof_build *b, uint32_t field, uint32_t type, uint32_t unit)
{
    size_t mark = pb_begin(&b->body, field);
    pb_put_varint(&b->body, 1, type);
    pb_put_varint(&b->body, 2, unit);
    pb_end(&b->body, mark);
}

void pprof_build_type(struct pprof_build *b, const char *type, const char *unit)
{
    uint32_t t = pprof_build_string(b, str_c(type)), u = pprof_build_string(b, str_c(unit));
    value_type(b, 1, t, u);
}

static uint64_t id_of(const struct pprof_build *b, uint32_t i)
{
    return b->sparse_ids ? ((uint64_t)i + 1) * 0x100000001u : (uint64_t)i + 1;
}

static uint32_t function_of(struct pprof_build *b, struct str name)
{
    uint32_t s = pprof_build_string(b, name);
    for (uint32_t i = 0; i < b->function_count; i++)
        if (b->function_names[i] == s)
            return i;
    if (b->function_count == MAX)
        abort();
    b->function_names[b->function_count] = s;
    return b->function_count++;
}

static void label(struct pprof_build *b, struct str pair)
{
    struct str key;
    bool numeric = str_starts_with(pair, STR("#"));
    if (numeric)
        pair = str_skip(pair, 1);
    if (!str_cut(&pair, '=', &key))
        abort();
    uint32_t k = pprof_build_string(b, key);
    uint64_t number = 0;
    if (numeric && str_u64(pair, &number) != 0)
        abort();
    uint32_t v = numeric ? 0 : pprof_build_string(b, pair);
    size_t mark = pb_begin(&b->body, 3);
    pb_put_varint(&b->body, 1, k);
    pb_put_varint_set(&b->body, 2, v);
    pb_put_varint_set(&b->body, 3, number);
    pb_end(&b->body, mark);
}

void pprof_build_sample(struct pprof_build *b, const char *stack, const char *values,
                        const char *labels)
{
    struct str rest = str_c(stack), part;
    uint64_t path[DEPTH_MAX];
    size_t depth = 0;
    while (rest.len > 0 && str_cut(&rest, ';', &part))
        path[depth++] = id_of(b, function_of(b, part));
    size_t sample = pb_begin(&b->body, 2), mark = b->unpacked ? 0 : pb_begin(&b->body, 1);
    while (depth-- > 0) {
        if (b->unpacked)
            pb_put_varint(&b->body, 1, path[depth]);
        else
            buf_varint(&b->body, path[depth]);
    }
    if (!b->unpacked)
        pb_end(&b->body, mark);
    mark = b->unpacked ? 0 : pb_begin(&b->body, 2);
    for (rest = str_c(values); rest.len > 0 && str_cut(&rest, ' ', &part);) {
        int64_t v;
        if (str_i64(part, &v) != 0)
            abort();
        if (b->unpacked)
            pb_put_i64(&b->body, 2, v);
        else
            buf_varint(&b->body, (uint64_t)v);
    }
    if (!b->unpacked)
        pb_end(&b->body, mark);
    for (rest = str_c(labels); rest.len > 0 && str_cut(&rest, ' ', &part);)
        label(b, part);
    pb_end(&b->body, sample);
}

static void put_symbols(struct pprof_build *b, uint32_t file)
{
    for (uint32_t i = 0; i < b->function_count; i++) {
        size_t mark = pb_begin(&b->body, 4);
        pb_put_varint(&b->body, 1, id_of(b, i));
        pb_put_varint_set(&b->body, 2, b->no_mapping ? 0 : 1);
        pb_put_varint(&b->body, 3, 0x1000 + i);
        size_t line = pb_begin(&b->body, 4);
        pb_put_varint(&b->body, 1, id_of(b, i));
        pb_put_varint(&b->body, 2, 10 + i);
        pb_end(&b->body, line);
        pb_end(&b->body, mark);
        mark = pb_begin(&b->body, 5);
        pb_put_varint(&b->body, 1, id_of(b, i));
        pb_put_varint(&b->body, 2, b->function_names[i]);
        pb_put_varint(&b->body, 4, file);
        pb_end(&b->body, mark);
    }
}

struct str pprof_build_finish(struct pprof_build *b)
{
    uint32_t file = pprof_build_string(b, STR("main.x"));
    if (!b->no_mapping) {
        size_t mark = pb_begin(&b->body, 3);
        pb_put_varint(&b->body, 1, 1);
        pb_put_varint(&b->body, 2, 0x400000);
        pb_put_varint(&b->body, 3, 0x500000);
        pb_put_varint(&b->body, 5, file);
        pb_put_varint_set(&b->body, 7, b->mapping_flags & 1);
        pb_end(&b->body, mark);
    }
    put_symbols(b, file);
    if (b->period_type != 0)
        value_type(b, 11, b->period_type, b->period_unit);
    pb_put_i64(&b->body, 9, b->time_ns);
    pb_put_i64(&b->body, 10, b->duration_ns);
    pb_put_i64(&b->body, 12, b->period);
    for (uint32_t i = 0; i < b->name_count; i++)
        pb_put_bytes(&b->body, 6, b->names[i]);
    if (b->body.error != 0)
        abort();
    return buf_view(&b->body);
}

void pprof_build_reset(struct pprof_build *b)
{
    for (uint32_t i = 1; i < b->name_count; i++)
        mem_free((void *)(uintptr_t)b->names[i].data);
    buf_reset(&b->body);
    *b = (struct pprof_build){0};
}
