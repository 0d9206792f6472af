/* The end of a writer: nodes into level order, rows into the order of nodes, columns into
 * bytes. */
#include "profile/form_priv.h"

#include "base/assert.h"
#include "base/mem.h"

/* Renumber the nodes by depth; *out gets the new number of each old one. */
static int level_order(struct form_writer *w, const uint32_t **out)
{
    uint32_t n = w->node_count, at = 0;
    uint32_t *first = arena_calloc(w->arena, (size_t)w->deepest + 2, sizeof *first);
    uint32_t *number = arena_alloc(w->arena, sizeof *number * n);
    struct form_node *nodes = arena_alloc(w->arena, sizeof *nodes * n);
    if (first == NULL || number == NULL || nodes == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        first[w->depths[i]]++;
    for (uint32_t d = 0; d <= w->deepest; d++) {
        uint32_t count = first[d];
        first[d] = at;
        at += count;
    }
    /* A parent is older than its children, so its new number is there. */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t to = number[i] = first[w->depths[i]]++;
        nodes[to].parent = number[w->nodes[i].parent];
        nodes[to].location = w->nodes[i].location;
    }
    w->nodes = nodes;
    *out = number;
    return 0;
}

/* Stable sort of `rows` (numbers of rows) by key, a byte at a time. */
static void sort_rows(uint32_t *rows, uint32_t *other, const uint32_t *keys, uint32_t count,
                      uint32_t keys_max)
{
    uint32_t *from = rows, *to = other;
    for (unsigned shift = 0; shift < 32 && keys_max >> shift != 0; shift += 8) {
        uint32_t at[257] = {0};
        for (uint32_t i = 0; i < count; i++)
            at[((keys[from[i]] >> shift) & 0xff) + 1]++;
        for (unsigned i = 0; i < 256; i++)
            at[i + 1] += at[i];
        for (uint32_t i = 0; i < count; i++)
            to[at[(keys[from[i]] >> shift) & 0xff]++] = from[i];
        uint32_t *was = from;
        from = to;
        to = was;
    }
    if (from != rows)
        memcpy(rows, from, sizeof *rows * count);
}

/* True when column m is a factor of column 0 in every row. */
static bool is_proportional(const struct entry *e, const uint64_t *values, uint32_t m,
                            uint64_t *factor)
{
    uint32_t members = e->p.member_count;
    *factor = 0;
    for (uint32_t i = 0; i < e->rows && *factor == 0; i++)
        if (values[i * members] != 0)
            *factor = values[i * members + m] / values[i * members];
    for (uint32_t i = 0; i < e->rows; i++, values += members) {
        uint64_t product;
        if (__builtin_mul_overflow(values[0], *factor, &product) || product != values[m])
            return false;
    }
    return true;
}

static int make_column(struct form_writer *w, const struct entry *e, const uint32_t *rows,
                       uint32_t m, struct form_column *out)
{
    const uint64_t *values = &AT(w->values, uint64_t, e->first_value);
    uint32_t members = e->p.member_count;
    *out = (struct form_column){0};
    if (m > 0 && is_proportional(e, values, m, &out->factor)) {
        out->proportional = true;
        return 0;
    }
    out->factor = 0;
    size_t size = 0;
    for (uint32_t i = 0; i < e->rows; i++) {
        uint64_t v = values[i * members + m];
        size += v == 0 ? 1 : (70 - (size_t)__builtin_clzll(v)) / 7;
    }
    uint8_t *bytes = arena_alloc(w->arena, size + PUT_UV_MAX), *p = bytes;
    if (bytes == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < e->rows; i++)
        p = put_uv(p, values[rows[i] * members + m]);
    out->bytes = str_of(bytes, (size_t)(p - bytes));
    return 0;
}

static int make_spans(struct form_writer *w, const struct entry *e, const uint32_t *rows,
                      struct str *out)
{
    *out = (struct str){0};
    if (e->spans == 0)
        return 0;
    uint8_t *bytes = arena_alloc(w->arena, 5 + (size_t)e->spans * 24 + (size_t)e->rows * 5);
    if (bytes == NULL)
        return ERR_NOMEM;
    uint8_t *p = put_uv(bytes, e->spans);
    for (uint32_t i = 0; i < e->spans; i++) {
        const struct form_span *span = &AT(w->spans, struct form_span, e->first_span + i);
        for (unsigned k = 0; k < 64; k += 8)
            *p++ = (uint8_t)(span->span_id >> k);
        memcpy(p, span->trace_id, 16);
        p += 16;
    }
    for (uint32_t i = 0; i < e->rows; i++)
        p = put_uv(p, AT(w->row_spans, uint32_t, e->first_row + rows[i]));
    *out = str_of(bytes, (size_t)(p - bytes));
    return 0;
}

/* Rows of one profile in the order of the form: by node, then by span. */
static int seal_profile(struct form_writer *w, struct entry *e, const uint32_t *number,
                        uint32_t *scratch)
{
    uint32_t *nodes = arena_alloc(w->arena, sizeof *nodes * ((size_t)e->rows + 1));
    uint32_t *rows = scratch, *other = rows + e->rows, *keys = other + e->rows;
    if (nodes == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < e->rows; i++) {
        rows[i] = i;
        keys[i] = number[AT(w->row_nodes, uint32_t, e->first_row + i)];
    }
    if (e->spans > 0 && e->rows > 0)
        sort_rows(rows, other, &AT(w->row_spans, uint32_t, e->first_row), e->rows, e->spans);
    sort_rows(rows, other, keys, e->rows, w->node_count);
    for (uint32_t i = 0; i < e->rows; i++)
        nodes[i] = keys[rows[i]];
    e->p.nodes = nodes;
    e->p.samples = e->rows;
    for (uint32_t m = 0; m < e->p.member_count; m++) {
        int rc = make_column(w, e, rows, m, &e->p.columns[m]);
        if (rc != 0)
            return rc;
    }
    return make_spans(w, e, rows, &e->p.spans);
}

static int seal(struct form_writer *w)
{
    const uint32_t *number;
    uint32_t most = 0, n = w->profiles.count;
    int rc = form_grow_nodes(w, 1);
    rc = rc != 0 ? rc : level_order(w, &number);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        if (AT(w->profiles, struct entry, i).rows > most)
            most = AT(w->profiles, struct entry, i).rows;
    uint32_t *scratch = arena_alloc(w->arena, sizeof *scratch * 3 * ((size_t)most + 1));
    w->finished = arena_alloc(w->arena, sizeof *w->finished * ((size_t)n + 1));
    if (scratch == NULL || w->finished == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        rc = seal_profile(w, &AT(w->profiles, struct entry, i), number, scratch);
        if (rc != 0)
            return rc;
    }
    w->is_sealed = true;
    return 0;
}

int form_view(struct form_writer *w, const struct form **out)
{
    ASSERT(!w->is_open);
    int rc = w->is_sealed ? 0 : seal(w);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < w->profiles.count; i++)
        w->finished[i] = AT(w->profiles, struct entry, i).p;
    w->form = (struct form){
        .lanes = w->lanes.data,
        .lane_count = w->lanes.count,
        .strings = w->strings.data,
        .string_count = w->strings.count,
        .mappings = w->mappings.data,
        .mapping_count = w->mappings.count,
        .functions = w->functions.data,
        .function_count = w->functions.count,
        .locations = w->locations.data,
        .location_count = w->locations.count,
        .lines = w->lines.data,
        .line_count = w->lines.count,
        .nodes = w->nodes,
        .node_count = w->node_count,
        .profiles = w->finished,
        .profile_count = w->profiles.count,
    };
    *out = &w->form;
    return 0;
}

int form_finish(struct form_writer *w, struct buf *out)
{
    const struct form *f;
    int rc = form_view(w, &f);
    if (rc != 0)
        return rc;
    form_put(f, out);
    return out->error;
}
