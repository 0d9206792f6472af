/* Building a form: symbols are found again by hash, stacks by a trie that is walked from where
 * the previous stack left it, and everything is put in order once, at the end. */
#include "profile/form_priv.h"

#include <assert.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    TABLE_FIRST = 256,     /* slots */
    ROWS_MAX = 1 << 20,    /* per profile: 9 bytes each fit a column's 24-bit length */
    SYMBOLS_MAX = 1 << 28, /* per kind */
    HINT_MAX = 1 << 16,    /* of what is only expected */
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xe7037ed1a0b428dbu);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static int list_grow(struct form_writer *w, struct list32 *l, size_t size, uint32_t more)
{
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

/* Room for `more` entries of `size` bytes behind count. */
static inline int reserve(struct form_writer *w, struct list32 *l, size_t size, uint32_t more)
{
    return l->cap - l->count >= more ? 0 : list_grow(w, l, size, more);
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
static inline int table_room(struct form_writer *w, struct table *t)
{
    if (t->slots != NULL && t->count < (t->mask + 1) / 2)
        return 0;
    return table_rehash(w, t, t->slots == NULL ? TABLE_FIRST : (t->mask + 1) * 2);
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

/* --- stacks ------------------------------------------------------------------------------- */

int form_grow_nodes(struct form_writer *w, uint32_t more)
{
    if (w->node_cap - w->node_count >= more && w->node_count > 0)
        return 0;
    if (w->node_count > SYMBOLS_MAX)
        return ERR_LIMIT;
    uint32_t cap = w->node_cap * 2 + more + 64, n = w->node_count;
    struct form_node *nodes = arena_alloc(w->arena, sizeof *nodes * cap);
    uint32_t *row_of = arena_alloc(w->arena, sizeof *row_of * cap);
    uint16_t *depths = arena_alloc(w->arena, sizeof *depths * cap);
    if (nodes == NULL || row_of == NULL || depths == NULL)
        return ERR_NOMEM;
    if (n > 0) {
        memcpy(nodes, w->nodes, sizeof *nodes * n);
        memcpy(row_of, w->row_of, sizeof *row_of * n);
        memcpy(depths, w->depths, sizeof *depths * n);
    } else {
        nodes[0] = (struct form_node){0};
        row_of[0] = 0;
        depths[0] = 0;
        w->node_count = 1;
    }
    w->nodes = nodes;
    w->row_of = row_of;
    w->depths = depths;
    w->node_cap = cap;
    return 0;
}

/* Parent and location in one number: the memory of a node as it is. */
static inline uint64_t node_key(const struct form_node *node)
{
    uint64_t key;
    static_assert(sizeof *node == sizeof key, "a node is its parent and its location");
    memcpy(&key, node, sizeof key);
    return key;
}

/* At least twice as many slots as nodes will be. */
static int make_node_slots(struct form_writer *w, uint32_t nodes)
{
    uint32_t count = TABLE_FIRST;
    while (count / 2 < nodes)
        count *= 2;
    if (w->node_slots == NULL || count > w->node_mask + 1) {
        uint32_t *slots = arena_calloc(w->arena, count, sizeof *slots);
        if (slots == NULL)
            return ERR_NOMEM;
        w->node_slots = slots;
        w->node_mask = count - 1;
        for (uint32_t id = 1; id < w->node_count; id++) {
            uint32_t at = (uint32_t)mix(w->nodes[id].parent, w->nodes[id].location);
            for (at &= w->node_mask; slots[at] != 0; at = (at + 1) & w->node_mask)
                continue;
            slots[at] = id;
        }
    }
    uint32_t room = (w->node_mask + 1) / 2;
    w->node_limit = room < w->node_cap ? room : w->node_cap;
    return 0;
}

static int make_nodes(struct form_writer *w, uint32_t more)
{
    int rc = form_grow_nodes(w, more);
    return rc != 0 ? rc : make_node_slots(w, w->node_count + more);
}

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
    rc = rc != 0 ? rc : reserve(w, &w->strings, sizeof(struct str), h.strings);
    rc = rc != 0 ? rc : reserve(w, &w->functions, sizeof(struct form_function), h.functions);
    rc = rc != 0 ? rc : reserve(w, &w->locations, sizeof(struct form_location), h.locations);
    rc = rc != 0 ? rc : reserve(w, &w->lines, sizeof(struct form_line), h.lines);
    rc = rc != 0 ? rc : reserve(w, &w->row_nodes, sizeof(uint32_t), h.rows);
    rc = rc != 0 ? rc : reserve(w, &w->row_spans, sizeof(uint32_t), h.rows);
    rc = rc != 0 ? rc : reserve(w, &w->values, sizeof(uint64_t), h.rows);
    rc = rc != 0 ? rc : form_grow_nodes(w, h.nodes + 1);
    return rc != 0 ? rc : make_node_slots(w, w->node_count + h.nodes / 4);
}

/* Room for one more is there. */
static uint32_t new_node(struct form_writer *w, struct form_node node)
{
    ASSERT(node.location < w->locations.count);
    uint32_t id = w->node_count++, depth = w->depths[node.parent] + (uint32_t)1;
    w->nodes[id] = node;
    w->depths[id] = (uint16_t)depth;
    w->deepest = depth > w->deepest ? depth : w->deepest;
    w->row_of[id] = 0;
    return id;
}

/* Child of `parent` for `location`; there is room for one more node and its slot. */
static inline uint32_t child_of(struct form_writer *w, uint32_t parent, uint32_t location)
{
    struct form_node node = {.parent = parent, .location = location};
    uint64_t key = node_key(&node);
    uint32_t mask = w->node_mask, at = (uint32_t)mix(parent, location) & mask, id;
    for (; (id = w->node_slots[at]) != 0; at = (at + 1) & mask)
        if (node_key(&w->nodes[id]) == key)
            return id;
    return w->node_slots[at] = new_node(w, node);
}

int form_add_stack(struct form_writer *w, const uint32_t *locations, uint32_t count,
                   uint32_t *node)
{
    ASSERT(!w->is_sealed);
    if (count == 0)
        return ERR_INVAL;
    if (count > FORM_DEPTH_MAX)
        return ERR_LIMIT;
    int rc = w->node_count + count <= w->node_limit ? 0 : make_nodes(w, count);
    if (rc != 0)
        return rc;
    uint32_t *path = w->path_locations, *nodes = w->path_nodes;
    uint32_t i = 0, both = count < w->path_count ? count : w->path_count;
    while (i < both && locations[i] == path[i])
        i++;
    uint32_t at = i == 0 ? 0 : nodes[i - 1];
    for (; i < count; i++) {
        at = child_of(w, at, locations[i]);
        path[i] = locations[i];
        nodes[i] = at;
    }
    w->path_count = count;
    *node = at;
    return 0;
}

/* --- profiles ----------------------------------------------------------------------------- */

int form_begin_profile(struct form_writer *w, const struct form_profile *p)
{
    ASSERT(!w->is_open && !w->is_sealed);
    ASSERT(p->member_count > 0 && p->member_count <= FORM_MEMBERS_MAX);
    if (w->profiles.count >= FORM_PROFILES_MAX)
        return ERR_LIMIT;
    int rc = reserve(w, &w->profiles, sizeof(struct entry), 1);
    rc = rc != 0 ? rc : form_grow_nodes(w, 1);
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
