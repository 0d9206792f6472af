/* Building a form: symbols are found again by hash, stacks by a trie that is walked from where
 * the previous stack left it, and everything is put in order once, at the end. */
#include "profile/form.h"

#include "base/assert.h"
#include "base/mem.h"

enum {
    TABLE_FIRST = 256,     /* slots */
    ROWS_MAX = 1 << 20,    /* per profile: 9 bytes each fit a column's 24-bit length */
    SYMBOLS_MAX = 1 << 28, /* per kind */
    HINT_MAX = 1 << 16,    /* of what is only expected */
};

/* Open addressing: hash in the upper half of a slot, entry + 1 in the lower, 0 is free. */
struct table {
    uint64_t *slots;
    uint32_t mask, count;
};

/* An array in the arena that doubles; old copies stay until the arena goes. */
struct list32 {
    void *data;
    uint32_t count, cap;
};

/* A profile and its part of the writer's rows, values and spans. */
struct entry {
    struct form_profile p;
    uint32_t first_row, rows;
    uint32_t first_value; /* rows x members from here */
    uint32_t first_span, spans;
    uint64_t totals[FORM_MEMBERS_MAX];
};

struct form_writer {
    struct arena *arena;
    struct list32 strings, mappings, functions, locations, lines, lanes, profiles;
    struct table string_table, mapping_table, function_table, location_table, node_table;
    struct table span_table, row_table; /* of the open profile, when it has spans */
    struct list32 row_nodes, row_spans; /* uint32_t; span index + 1, 0 none */
    struct list32 values, spans;        /* uint64_t; struct form_span, trace ids copied */
    struct form_node *nodes;
    uint32_t *last_child; /* per node: the child taken last */
    uint32_t *row_of; /* per node: row without span + 1; older than the open profile: none */
    uint16_t *depths;
    uint32_t node_count, node_cap, deepest;
    uint32_t *path_locations, *path_nodes; /* the previous stack */
    uint32_t path_count;
    bool is_open, is_sealed;
    struct entry open;
    struct form form;              /* once sealed */
    struct form_profile *finished; /* the profiles of `form` */
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xe7037ed1a0b428dbu);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Room for `more` entries of `size` bytes behind count. */
static int reserve(struct form_writer *w, struct list32 *l, size_t size, uint32_t more)
{
    if (l->cap - l->count >= more)
        return 0;
    if (l->count > SYMBOLS_MAX - more || more > SYMBOLS_MAX)
        return ERR_LIMIT;
    uint32_t cap = l->cap == 0 ? 64 : l->cap * 2;
    if (cap < l->count + more)
        cap = l->count + more;
    void *data = arena_alloc(w->arena, size * cap);
    if (data == NULL)
        return ERR_NOMEM;
    if (l->count > 0)
        memcpy(data, l->data, size * l->count);
    l->data = data;
    l->cap = cap;
    return 0;
}

static int table_rehash(struct form_writer *w, struct table *t, uint32_t slots)
{
    uint64_t *fresh = arena_calloc(w->arena, slots, sizeof *fresh);
    if (fresh == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; t->slots != NULL && i <= t->mask; i++) {
        if (t->slots[i] == 0)
            continue;
        uint32_t at = (uint32_t)(t->slots[i] >> 32) & (slots - 1);
        while (fresh[at] != 0)
            at = (at + 1) & (slots - 1);
        fresh[at] = t->slots[i];
    }
    t->slots = fresh;
    t->mask = slots - 1;
    return 0;
}

/* At most half full after one more entry. */
static int table_room(struct form_writer *w, struct table *t)
{
    if (t->slots == NULL)
        return table_rehash(w, t, TABLE_FIRST);
    if (t->count < (t->mask + 1) / 2)
        return 0;
    return table_rehash(w, t, (t->mask + 1) * 2);
}

/* Walk of the slots whose hash is equal: entry, or UINT32_MAX at a free slot (*at). */
static uint32_t table_next(const struct table *t, uint32_t hash, uint32_t *at)
{
    for (;; *at = (*at + 1) & t->mask) {
        uint64_t slot = t->slots[*at];
        if (slot == 0)
            return UINT32_MAX;
        if ((uint32_t)(slot >> 32) == hash)
            return (uint32_t)slot - 1;
    }
}

static void table_set(struct table *t, uint32_t at, uint32_t hash, uint32_t entry)
{
    t->slots[at] = (uint64_t)hash << 32 | (entry + 1);
    t->count++;
}

#define AT(list, type, i) (((type *)(list).data)[i])

int form_begin(struct form_writer **out, struct arena *a)
{
    struct form_writer *w = arena_zalloc(a, sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    w->arena = a;
    w->path_locations = arena_alloc(a, sizeof(uint32_t) * FORM_DEPTH_MAX);
    w->path_nodes = arena_alloc(a, sizeof(uint32_t) * FORM_DEPTH_MAX);
    if (w->path_locations == NULL || w->path_nodes == NULL ||
        reserve(w, &w->strings, sizeof(struct str), 1) != 0)
        return ERR_NOMEM;
    AT(w->strings, struct str, 0) = (struct str){0};
    w->strings.count = 1;
    *out = w;
    return 0;
}

/* Slots for `more` entries beside those that are there. */
static int table_expect(struct form_writer *w, struct table *t, uint32_t more)
{
    uint32_t want = TABLE_FIRST;
    while (want / 2 < t->count + more)
        want *= 2;
    return t->slots != NULL && t->mask + 1 >= want ? 0 : table_rehash(w, t, want);
}

static int grow_nodes(struct form_writer *w, uint32_t more);

int form_expect(struct form_writer *w, const struct form_hint *more)
{
    struct form_hint h = *more;
    uint32_t *const fields[] = {&h.strings, &h.functions, &h.locations,
                                &h.lines,   &h.nodes,     &h.rows};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        *fields[i] = *fields[i] < HINT_MAX ? *fields[i] : HINT_MAX;
    int rc = table_expect(w, &w->string_table, h.strings);
    rc = rc != 0 ? rc : table_expect(w, &w->function_table, h.functions);
    rc = rc != 0 ? rc : table_expect(w, &w->location_table, h.locations);
    rc = rc != 0 ? rc : table_expect(w, &w->node_table, h.nodes);
    rc = rc != 0 ? rc : reserve(w, &w->strings, sizeof(struct str), h.strings);
    rc = rc != 0 ? rc : reserve(w, &w->functions, sizeof(struct form_function), h.functions);
    rc = rc != 0 ? rc : reserve(w, &w->locations, sizeof(struct form_location), h.locations);
    rc = rc != 0 ? rc : reserve(w, &w->lines, sizeof(struct form_line), h.lines);
    rc = rc != 0 ? rc : reserve(w, &w->row_nodes, sizeof(uint32_t), h.rows);
    rc = rc != 0 ? rc : reserve(w, &w->row_spans, sizeof(uint32_t), h.rows);
    rc = rc != 0 ? rc : reserve(w, &w->values, sizeof(uint64_t), h.rows);
    return rc != 0 ? rc : grow_nodes(w, h.nodes + 1);
}

int form_add_string(struct form_writer *w, struct str s, uint32_t *id)
{
    ASSERT(!w->is_sealed);
    if (s.len == 0) {
        *id = 0;
        return 0;
    }
    int rc = table_room(w, &w->string_table);
    rc = rc != 0 ? rc : reserve(w, &w->strings, sizeof s, 1);
    if (rc != 0)
        return rc;
    uint32_t hash = (uint32_t)str_hash(s), at = hash & w->string_table.mask, found;
    while ((found = table_next(&w->string_table, hash, &at)) != UINT32_MAX) {
        if (str_eq(AT(w->strings, struct str, found), s)) {
            *id = found;
            return 0;
        }
        at = (at + 1) & w->string_table.mask;
    }
    *id = w->strings.count++;
    AT(w->strings, struct str, *id) = s;
    table_set(&w->string_table, at, hash, *id);
    return 0;
}

int form_add_mapping(struct form_writer *w, const struct form_mapping *m, uint32_t *id)
{
    ASSERT(!w->is_sealed && m->file < w->strings.count && m->build_id < w->strings.count);
    int rc = table_room(w, &w->mapping_table);
    rc = rc != 0 ? rc : reserve(w, &w->mappings, sizeof *m, 1);
    if (rc != 0)
        return rc;
    uint64_t h = mix(mix((uint64_t)m->file << 32 | m->build_id, m->start),
                     mix(m->limit, m->offset ^ m->flags << 56));
    uint32_t hash = (uint32_t)h, at = hash & w->mapping_table.mask, found;
    while ((found = table_next(&w->mapping_table, hash, &at)) != UINT32_MAX) {
        const struct form_mapping *o = &AT(w->mappings, struct form_mapping, found);
        if (o->file == m->file && o->build_id == m->build_id && o->start == m->start &&
            o->limit == m->limit && o->offset == m->offset && o->flags == m->flags) {
            *id = found;
            return 0;
        }
        at = (at + 1) & w->mapping_table.mask;
    }
    *id = w->mappings.count++;
    AT(w->mappings, struct form_mapping, *id) = *m;
    table_set(&w->mapping_table, at, hash, *id);
    return 0;
}

int form_add_function(struct form_writer *w, const struct form_function *f, uint32_t *id)
{
    ASSERT(!w->is_sealed && f->name < w->strings.count && f->system_name < w->strings.count &&
           f->file < w->strings.count);
    int rc = table_room(w, &w->function_table);
    rc = rc != 0 ? rc : reserve(w, &w->functions, sizeof *f, 1);
    if (rc != 0)
        return rc;
    uint64_t h =
        mix((uint64_t)f->name << 32 | f->system_name, (uint64_t)f->file << 32 ^ f->start_line);
    uint32_t hash = (uint32_t)h, at = hash & w->function_table.mask, found;
    while ((found = table_next(&w->function_table, hash, &at)) != UINT32_MAX) {
        const struct form_function *o = &AT(w->functions, struct form_function, found);
        if (o->name == f->name && o->system_name == f->system_name && o->file == f->file &&
            o->start_line == f->start_line) {
            *id = found;
            return 0;
        }
        at = (at + 1) & w->function_table.mask;
    }
    *id = w->functions.count++;
    AT(w->functions, struct form_function, *id) = *f;
    table_set(&w->function_table, at, hash, *id);
    return 0;
}

static bool same_location(const struct form_writer *w, const struct form_location *o,
                          const struct form_location *l, const struct form_line *lines,
                          uint32_t count)
{
    if (o->address != l->address || o->mapping != l->mapping || o->folded != l->folded ||
        o->line_count != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct form_line *x = &AT(w->lines, struct form_line, o->first_line + i);
        if (x->function != lines[i].function || x->line != lines[i].line)
            return false;
    }
    return true;
}

int form_add_location(struct form_writer *w, const struct form_location *l,
                      const struct form_line *lines, uint32_t count, uint32_t *id)
{
    ASSERT(!w->is_sealed && (l->mapping < w->mappings.count || l->mapping == 0));
    if (count > FORM_LINES_MAX)
        return ERR_LIMIT;
    int rc = table_room(w, &w->location_table);
    rc = rc != 0 ? rc : reserve(w, &w->locations, sizeof *l, 1);
    rc = rc != 0 ? rc : reserve(w, &w->lines, sizeof *lines, count);
    if (rc != 0)
        return rc;
    uint64_t h = mix(l->address, (uint64_t)l->mapping << 32 | count << 1 | l->folded);
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(lines[i].function < w->functions.count);
        h = mix(h ^ lines[i].function, (uint64_t)lines[i].line);
    }
    uint32_t hash = (uint32_t)h, at = hash & w->location_table.mask, found;
    while ((found = table_next(&w->location_table, hash, &at)) != UINT32_MAX) {
        if (same_location(w, &AT(w->locations, struct form_location, found), l, lines, count)) {
            *id = found;
            return 0;
        }
        at = (at + 1) & w->location_table.mask;
    }
    *id = w->locations.count++;
    struct form_location *fresh = &AT(w->locations, struct form_location, *id);
    *fresh = *l;
    fresh->first_line = w->lines.count;
    fresh->line_count = count;
    for (uint32_t i = 0; i < count; i++)
        AT(w->lines, struct form_line, w->lines.count++) = lines[i];
    table_set(&w->location_table, at, hash, *id);
    return 0;
}

static bool same_lane(const struct form_lane *lane, const uint8_t *writer,
                      const struct str *instances, uint32_t count)
{
    if (lane->count != count || memcmp(lane->writer, writer, FORM_WRITER_SIZE) != 0)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!str_eq(lane->instances[i], instances[i]))
            return false;
    return true;
}

int form_add_lane(struct form_writer *w, const uint8_t writer[FORM_WRITER_SIZE],
                  const struct str *instances, uint32_t count, uint32_t *lane)
{
    ASSERT(count > 0);
    for (uint32_t i = 0; i < w->lanes.count; i++) {
        if (same_lane(&AT(w->lanes, struct form_lane, i), writer, instances, count)) {
            *lane = i;
            return 0;
        }
    }
    if (w->lanes.count >= FORM_LANES_MAX)
        return ERR_LIMIT;
    int rc = reserve(w, &w->lanes, sizeof(struct form_lane), 1);
    if (rc != 0)
        return rc;
    struct form_lane fresh = {.count = count};
    fresh.writer = arena_dup(w->arena, writer, FORM_WRITER_SIZE);
    fresh.instances = arena_dup(w->arena, instances, sizeof *instances * count);
    if (fresh.writer == NULL || fresh.instances == NULL)
        return ERR_NOMEM;
    *lane = w->lanes.count++;
    AT(w->lanes, struct form_lane, *lane) = fresh;
    return 0;
}

/* --- stacks
 * --------------------------------------------------------------------------------------- */

static int grow_nodes(struct form_writer *w, uint32_t more)
{
    if (w->node_cap - w->node_count >= more && w->node_count > 0)
        return 0;
    if (w->node_count > SYMBOLS_MAX)
        return ERR_LIMIT;
    uint32_t cap = w->node_cap * 2 + more + 64, n = w->node_count;
    struct form_node *nodes = arena_alloc(w->arena, sizeof *nodes * cap);
    uint32_t *last_child = arena_alloc(w->arena, sizeof *last_child * cap);
    uint32_t *row_of = arena_alloc(w->arena, sizeof *row_of * cap);
    uint16_t *depths = arena_alloc(w->arena, sizeof *depths * cap);
    if (nodes == NULL || last_child == NULL || row_of == NULL || depths == NULL)
        return ERR_NOMEM;
    if (n > 0) {
        memcpy(nodes, w->nodes, sizeof *nodes * n);
        memcpy(last_child, w->last_child, sizeof *last_child * n);
        memcpy(row_of, w->row_of, sizeof *row_of * n);
        memcpy(depths, w->depths, sizeof *depths * n);
    } else {
        nodes[0] = (struct form_node){0};
        last_child[0] = row_of[0] = 0;
        depths[0] = 0;
        w->node_count = 1;
    }
    w->nodes = nodes;
    w->last_child = last_child;
    w->row_of = row_of;
    w->depths = depths;
    w->node_cap = cap;
    return 0;
}

/* Child of `parent` for `location`; room for one more node is there. */
static int child_of(struct form_writer *w, uint32_t parent, uint32_t location, uint32_t *node)
{
    uint32_t last = w->last_child[parent], at = 0, hash = 0, found;
    if (last != 0 && w->nodes[last].location == location) {
        *node = last;
        return 0;
    }
    int rc = table_room(w, &w->node_table);
    if (rc != 0)
        return rc;
    hash = (uint32_t)mix(parent, location);
    at = hash & w->node_table.mask;
    /* A node without children has none to look for, but its slot must still be found. */
    while ((found = table_next(&w->node_table, hash, &at)) != UINT32_MAX) {
        if (w->nodes[found].parent == parent && w->nodes[found].location == location) {
            w->last_child[parent] = found;
            *node = found;
            return 0;
        }
        at = (at + 1) & w->node_table.mask;
    }
    uint32_t id = w->node_count++;
    w->nodes[id] = (struct form_node){.parent = parent, .location = location};
    w->depths[id] = (uint16_t)(w->depths[parent] + 1);
    w->deepest = w->depths[id] > w->deepest ? w->depths[id] : w->deepest;
    w->last_child[id] = w->row_of[id] = 0;
    w->last_child[parent] = id;
    table_set(&w->node_table, at, hash, id);
    *node = id;
    return 0;
}

int form_add_stack(struct form_writer *w, const uint32_t *locations, uint32_t count,
                   uint32_t *node)
{
    ASSERT(!w->is_sealed);
    if (count == 0)
        return ERR_INVAL;
    if (count > FORM_DEPTH_MAX)
        return ERR_LIMIT;
    int rc = grow_nodes(w, count);
    if (rc != 0)
        return rc;
    uint32_t i = 0, both = count < w->path_count ? count : w->path_count;
    while (i < both && locations[i] == w->path_locations[i])
        i++;
    uint32_t at = i == 0 ? 0 : w->path_nodes[i - 1];
    for (; i < count; i++) {
        ASSERT(locations[i] < w->locations.count);
        w->path_count = i;
        rc = child_of(w, at, locations[i], &at);
        if (rc != 0)
            return rc;
        w->path_locations[i] = locations[i];
        w->path_nodes[i] = at;
    }
    w->path_count = count;
    *node = at;
    return 0;
}

/* --- profiles
 * --------------------------------------------------------------------------------- */

int form_begin_profile(struct form_writer *w, const struct form_profile *p)
{
    ASSERT(!w->is_open && !w->is_sealed);
    ASSERT(p->member_count > 0 && p->member_count <= FORM_MEMBERS_MAX);
    if (w->profiles.count >= FORM_PROFILES_MAX)
        return ERR_LIMIT;
    int rc = reserve(w, &w->profiles, sizeof(struct entry), 1);
    rc = rc != 0 ? rc : grow_nodes(w, 1);
    if (rc != 0)
        return rc;
    w->open = (struct entry){
        .p = *p,
        .first_row = w->row_nodes.count,
        .first_value = w->values.count,
        .first_span = w->spans.count,
    };
    w->is_open = true;
    return 0;
}

static void table_clear(struct table *t)
{
    if (t->count > 0)
        memset(t->slots, 0, sizeof *t->slots * ((size_t)t->mask + 1));
    t->count = 0;
}

/* Index + 1 of a span in the open profile's list. */
static int span_number(struct form_writer *w, const struct form_span *span, uint32_t *number)
{
    int rc = table_room(w, &w->span_table);
    rc = rc != 0 ? rc : reserve(w, &w->spans, sizeof *span, 1);
    if (rc != 0)
        return rc;
    uint64_t half[2];
    memcpy(half, span->trace_id, sizeof half);
    uint32_t hash = (uint32_t)mix(span->span_id ^ half[0], half[1]);
    uint32_t at = hash & w->span_table.mask, found;
    while ((found = table_next(&w->span_table, hash, &at)) != UINT32_MAX) {
        const struct form_span *o = &AT(w->spans, struct form_span, found);
        if (o->span_id == span->span_id && memcmp(o->trace_id, span->trace_id, 16) == 0) {
            *number = found - w->open.first_span + 1;
            return 0;
        }
        at = (at + 1) & w->span_table.mask;
    }
    struct form_span fresh = {.span_id = span->span_id,
                              .trace_id = arena_dup(w->arena, span->trace_id, 16)};
    if (fresh.trace_id == NULL)
        return ERR_NOMEM;
    found = w->spans.count++;
    AT(w->spans, struct form_span, found) = fresh;
    table_set(&w->span_table, at, hash, found);
    w->open.spans++;
    *number = found - w->open.first_span + 1;
    return 0;
}

/* A row of the open profile for (node, span number), zero values when new. */
static int row_for(struct form_writer *w, uint32_t node, uint32_t span, uint32_t *row)
{
    uint32_t hash = 0, at = 0, found;
    if (span == 0 && w->row_of[node] > w->open.first_row) {
        *row = w->row_of[node] - 1;
        return 0;
    }
    int rc = reserve(w, &w->row_nodes, sizeof(uint32_t), 1);
    rc = rc != 0 ? rc : reserve(w, &w->row_spans, sizeof(uint32_t), 1);
    rc = rc != 0 ? rc : reserve(w, &w->values, sizeof(uint64_t), w->open.p.member_count);
    rc = rc == 0 && span != 0 ? table_room(w, &w->row_table) : rc;
    if (rc != 0)
        return rc;
    if (span != 0) {
        hash = (uint32_t)mix(node, span);
        at = hash & w->row_table.mask;
        while ((found = table_next(&w->row_table, hash, &at)) != UINT32_MAX) {
            if (AT(w->row_nodes, uint32_t, found) == node &&
                AT(w->row_spans, uint32_t, found) == span) {
                *row = found;
                return 0;
            }
            at = (at + 1) & w->row_table.mask;
        }
    }
    if (w->open.rows >= ROWS_MAX)
        return ERR_LIMIT;
    w->open.rows++;
    *row = w->row_nodes.count++;
    w->row_spans.count++;
    AT(w->row_nodes, uint32_t, *row) = node;
    AT(w->row_spans, uint32_t, *row) = span;
    for (uint32_t m = 0; m < w->open.p.member_count; m++)
        AT(w->values, uint64_t, w->values.count++) = 0;
    if (span != 0)
        table_set(&w->row_table, at, hash, *row);
    else
        w->row_of[node] = *row + 1;
    return 0;
}

int form_add_at(struct form_writer *w, uint32_t node, const uint64_t *values,
                const struct form_span *span)
{
    ASSERT(w->is_open && node > 0 && node < w->node_count);
    struct entry *o = &w->open;
    uint32_t members = o->p.member_count, number = 0, row;
    /* A cell is at most its column's total, so the totals bound both. */
    for (uint32_t m = 0; m < members; m++)
        if (values[m] > INT64_MAX || values[m] > INT64_MAX - o->totals[m])
            return ERR_LIMIT;
    int rc = span == NULL ? 0 : span_number(w, span, &number);
    rc = rc != 0 ? rc : row_for(w, node, number, &row);
    if (rc != 0)
        return rc;
    uint64_t *cells = &AT(w->values, uint64_t, o->first_value + (row - o->first_row) * members);
    for (uint32_t m = 0; m < members; m++) {
        cells[m] += values[m];
        o->totals[m] += values[m];
    }
    return 0;
}

int form_add_sample(struct form_writer *w, const uint32_t *locations, uint32_t count,
                    const uint64_t *values, const struct form_span *span)
{
    uint32_t node;
    int rc = form_add_stack(w, locations, count, &node);
    return rc != 0 ? rc : form_add_at(w, node, values, span);
}

int form_end_profile(struct form_writer *w, uint32_t *samples)
{
    ASSERT(w->is_open);
    AT(w->profiles, struct entry, w->profiles.count++) = w->open;
    if (samples != NULL)
        *samples = w->open.rows;
    w->is_open = false;
    table_clear(&w->span_table);
    table_clear(&w->row_table);
    return 0;
}

void form_drop_profile(struct form_writer *w)
{
    ASSERT(w->is_open);
    for (uint32_t i = w->open.first_row; i < w->row_nodes.count; i++)
        w->row_of[AT(w->row_nodes, uint32_t, i)] = 0;
    w->row_nodes.count = w->row_spans.count = w->open.first_row;
    w->values.count = w->open.first_value;
    w->spans.count = w->open.first_span;
    w->is_open = false;
    table_clear(&w->span_table);
    table_clear(&w->row_table);
}

uint32_t form_profile_count(const struct form_writer *w)
{
    return w->profiles.count;
}

int form_set_dot(struct form_writer *w, uint32_t profile, uint32_t lane, uint32_t seq)
{
    if (profile >= w->profiles.count || lane >= w->lanes.count || seq == 0)
        return ERR_INVAL;
    struct form_profile *p = &AT(w->profiles, struct entry, profile).p;
    p->lane = lane;
    p->seq = seq;
    return 0;
}

/* --- sealing
 * ------------------------------------------------------------------------------------ */

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

static uint8_t *put_uv(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
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
    uint8_t *bytes = arena_alloc(w->arena, size), *p = bytes;
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
    int rc = grow_nodes(w, 1);
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
