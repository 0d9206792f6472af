/* Putting a form down, in the grammar of form.h. */
#include "profile/form_priv.h"

static uint64_t zz(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

/* Room for `count` entries of at most `each` bytes; NULL sets out's error. */
static uint8_t *room(struct buf *out, size_t count, size_t each)
{
    return buf_reserve(out, 10 + count * each);
}

static void took(struct buf *out, const uint8_t *end)
{
    out->size = (size_t)(end - out->data);
}

static void put_strings(const struct form *f, struct buf *out)
{
    size_t n = f->string_count == 0 ? 0 : f->string_count - 1, sum = 0;
    uint8_t *p = room(out, n, 10);
    if (p == NULL)
        return;
    p = put_uv(p, n);
    for (size_t i = 1; i <= n; i++) {
        p = put_uv(p, f->strings[i].len);
        sum += f->strings[i].len;
    }
    took(out, p);
    p = room(out, 1, sum);
    if (p == NULL)
        return;
    for (size_t i = 1; i <= n; i++) {
        if (f->strings[i].len > 0)
            memcpy(p, f->strings[i].data, f->strings[i].len);
        p += f->strings[i].len;
    }
    took(out, p);
}

static void put_mappings(const struct form *f, struct buf *out)
{
    uint8_t *p = room(out, f->mapping_count, 50);
    if (p == NULL)
        return;
    p = put_uv(p, f->mapping_count);
    for (uint32_t i = 0; i < f->mapping_count; i++) {
        const struct form_mapping *m = &f->mappings[i];
        p = put_uv(put_uv(p, m->file), m->build_id);
        p = put_uv(put_uv(put_uv(put_uv(p, m->start), m->limit), m->offset), m->flags);
    }
    took(out, p);
}

static void put_functions(const struct form *f, struct buf *out)
{
    uint8_t *p = room(out, f->function_count, 25);
    if (p == NULL)
        return;
    p = put_uv(p, f->function_count);
    for (uint32_t i = 0; i < f->function_count; i++) {
        const struct form_function *fn = &f->functions[i];
        p = put_uv(put_uv(put_uv(put_uv(p, fn->name), fn->system_name), fn->file),
                   fn->start_line);
    }
    took(out, p);
}

static void put_locations(const struct form *f, struct buf *out)
{
    uint8_t *p = room(out, (size_t)f->location_count + f->line_count, 20);
    if (p == NULL)
        return;
    p = put_uv(p, f->location_count);
    for (uint32_t i = 0; i < f->location_count; i++) {
        const struct form_location *l = &f->locations[i];
        p = put_uv(p, (uint64_t)l->line_count << 1 | l->folded);
        p = put_uv(put_uv(p, l->mapping), l->address);
        for (uint32_t k = 0; k < l->line_count; k++) {
            const struct form_line *line = &f->lines[l->first_line + k];
            p = put_uv(put_uv(p, line->function), zz(line->line));
        }
    }
    took(out, p);
}

static void put_nodes(const struct form *f, struct buf *out)
{
    uint8_t *p = room(out, f->node_count, 10);
    if (p == NULL)
        return;
    p = put_uv(p, f->node_count == 0 ? 0 : f->node_count - 1);
    for (uint32_t i = 1; i < f->node_count; i++)
        p = put_uv(put_uv(p, i - f->nodes[i].parent), f->nodes[i].location);
    took(out, p);
}

static void put_symbols(const struct form *f, struct buf *out)
{
    put_strings(f, out);
    put_mappings(f, out);
    put_functions(f, out);
    put_locations(f, out);
    put_nodes(f, out);
}

static void put_str(struct buf *out, struct str s)
{
    buf_varint(out, s.len);
    buf_str(out, s);
}

static void put_profile(const struct form_profile *p, struct buf *out)
{
    buf_varint(out, p->pair_count);
    for (uint32_t i = 0; i < p->pair_count; i++) {
        put_str(out, p->pairs[i].name);
        put_str(out, p->pairs[i].value);
    }
    buf_varint(out, p->member_count);
    for (uint32_t i = 0; i < p->member_count; i++) {
        const struct form_member *m = &p->members[i];
        const struct str *all[] = {&m->type, &m->unit, &m->period_type, &m->period_unit,
                                   &m->name};
        for (size_t k = 0; k < 5; k++)
            put_str(out, *all[k]);
    }
    buf_u64le(out, (uint64_t)p->time_ns);
    buf_u32le(out, p->nonce);
    uint8_t *at = room(out, (size_t)p->samples + 5, 10);
    if (at == NULL)
        return;
    at = put_uv(put_uv(put_uv(put_uv(at, p->duration_ns), p->period), p->lane), p->seq);
    at = put_uv(at, (uint64_t)p->samples << 1 | (p->spans.len > 0));
    uint32_t last = 0;
    for (uint32_t i = 0; i < p->samples; i++) {
        at = put_uv(at, (uint64_t)(p->nodes[i] - last) << 1);
        last = p->nodes[i];
    }
    took(out, at);
    for (uint32_t m = 0; m < p->member_count; m++) {
        const struct form_column *c = &p->columns[m];
        buf_u8(out, c->proportional ? 1 : 0);
        if (c->proportional) {
            buf_varint(out, c->factor);
            continue;
        }
        for (unsigned k = 0; k < 24; k += 8)
            buf_u8(out, (uint8_t)(c->bytes.len >> k));
        buf_str(out, c->bytes);
    }
    buf_str(out, p->spans);
}

void form_put(const struct form *f, struct buf *out)
{
    buf_u8(out, FORM_VERSION);
    buf_varint(out, 0);
    buf_varint(out, f->lane_count);
    for (uint32_t i = 0; i < f->lane_count; i++) {
        buf_put(out, f->lanes[i].writer, FORM_WRITER_SIZE);
        buf_varint(out, f->lanes[i].count);
        for (uint32_t k = 0; k < f->lanes[i].count; k++)
            put_str(out, f->lanes[i].instances[k]);
    }
    put_symbols(f, out);
    buf_varint(out, f->profile_count);
    for (uint32_t i = 0; i < f->profile_count; i++)
        put_profile(&f->profiles[i], out);
}
