/* Interning into open-addressing tables over segmented arrays. Tables keep 32 bits of hash beside
 * the number (nodes: the number alone, their hash is two multiplications), so that growing never
 * reads an entry. Every kind is looked up in waves of WAVE entries: hash and prefetch all slots,
 * then compare all; with cold caches that halves the time. */
#include "store/part_priv.h"

#include <string.h>

#include "base/mem.h"

enum { WAVE = 32 };

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint32_t fold(uint64_t h)
{
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t slot_of(uint32_t hash, uint32_t cap)
{
    return (uint32_t)((uint64_t)hash * cap >> 32);
}

/* --- making and freeing ----------------------------------------------------------------------- */

static void push_constants(struct part *p)
{
    *(struct str *)segs_push(&p->strings) = STR("");
    *(struct form_mapping *)segs_push(&p->mappings) = (struct form_mapping){0};
    *(struct part_node *)segs_push(&p->nodes) = (struct part_node){0};
}

int part_init(struct part **out, struct mem_account *account)
{
    struct part *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    p->account = account;
    p->strings = (struct segs){.item = sizeof(struct str), .account = account};
    p->mappings = (struct segs){.item = sizeof(struct form_mapping), .account = account};
    p->functions = (struct segs){.item = sizeof(struct form_function), .account = account};
    p->locations = (struct segs){.item = sizeof(struct part_location), .account = account};
    p->lines = (struct segs){.item = sizeof(struct form_line), .account = account};
    p->nodes = (struct segs){.item = sizeof(struct part_node), .account = account};
    int rc = arena_init(&p->bytes, 0, account);
    if (rc == 0)
        rc = segs_reserve(&p->strings, 1);
    if (rc == 0)
        rc = segs_reserve(&p->mappings, 1);
    if (rc == 0)
        rc = segs_reserve(&p->nodes, 1);
    if (rc != 0) {
        part_free(&p);
        return rc;
    }
    push_constants(p);
    part_publish(p);
    *out = p;
    return 0;
}

static void table_free(struct part *p, struct table *t)
{
    mem_uncharge(p->account, (uint64_t)t->cap * sizeof *t->slots);
    mem_free(t->slots);
    *t = (struct table){0};
}

void part_free(struct part **pp)
{
    struct part *p = *pp;
    if (p == NULL)
        return;
    segs_reset(&p->strings);
    segs_reset(&p->mappings);
    segs_reset(&p->functions);
    segs_reset(&p->locations);
    segs_reset(&p->lines);
    segs_reset(&p->nodes);
    table_free(p, &p->by_string);
    table_free(p, &p->by_mapping);
    table_free(p, &p->by_function);
    table_free(p, &p->by_location);
    mem_uncharge(p->account, (uint64_t)p->by_node.cap * sizeof *p->by_node.slots);
    mem_free(p->by_node.slots);
    arena_free(&p->bytes);
    mem_free(p);
    *pp = NULL;
}

/* --- tables ----------------------------------------------------------------------------------- */

/* Capacity for `want` entries, or 0 when `cap` will do. */
static uint32_t grown(uint32_t cap, uint64_t want)
{
    if (want * 10 <= (uint64_t)cap * 7)
        return 0;
    uint64_t next = cap == 0 ? 64 : cap;
    while (want * 10 > next * 7)
        next *= 2;
    return next > UINT32_MAX ? UINT32_MAX : (uint32_t)next;
}

static int table_reserve(struct part *p, struct table *t, uint32_t more)
{
    uint32_t cap = grown(t->cap, (uint64_t)t->used + more);
    if (cap == 0)
        return 0;
    int rc = mem_charge(p->account, (uint64_t)cap * sizeof *t->slots);
    if (rc != 0)
        return rc;
    uint64_t *slots = mem_calloc(cap, sizeof *slots);
    if (slots == NULL) {
        mem_uncharge(p->account, (uint64_t)cap * sizeof *slots);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < t->cap; i++) {
        if (t->slots[i] == 0)
            continue;
        uint32_t at = slot_of((uint32_t)(t->slots[i] >> 32), cap);
        while (slots[at] != 0)
            at = at + 1 == cap ? 0 : at + 1;
        slots[at] = t->slots[i];
    }
    uint32_t used = t->used;
    table_free(p, t);
    *t = (struct table){slots, cap, used};
    return 0;
}

/* The next slot of `hash` from *at on: its number in *id and true, or a free one and false. */
static bool table_probe(const struct table *t, uint32_t hash, uint32_t *at, uint32_t *id)
{
    for (;; *at = *at + 1 == t->cap ? 0 : *at + 1) {
        uint64_t slot = t->slots[*at];
        if (slot == 0)
            return false;
        if ((uint32_t)(slot >> 32) == hash) {
            *id = (uint32_t)slot - 1;
            return true;
        }
    }
}

static void table_set(struct table *t, uint32_t hash, uint32_t at, uint32_t id)
{
    t->slots[at] = (uint64_t)hash << 32 | (id + 1);
    t->used++;
}

static uint32_t node_hash(uint32_t parent, uint32_t location)
{
    return fold(mix((uint64_t)parent << 32 | location, 0x2545f4914f6cdd1du));
}

static const struct part_node *node_at(const struct part *p, uint32_t id)
{
    return segs_at(&p->nodes, id);
}

static int nodes_reserve(struct part *p, uint32_t more)
{
    struct node_table *t = &p->by_node;
    uint32_t cap = grown(t->cap, (uint64_t)t->used + more);
    if (cap == 0)
        return 0;
    int rc = mem_charge(p->account, (uint64_t)cap * sizeof *t->slots);
    if (rc != 0)
        return rc;
    uint32_t *slots = mem_calloc(cap, sizeof *slots);
    if (slots == NULL) {
        mem_uncharge(p->account, (uint64_t)cap * sizeof *slots);
        return ERR_NOMEM;
    }
    for (uint32_t id = 1; id <= t->used; id++) {
        const struct part_node *n = node_at(p, id);
        uint32_t at = slot_of(node_hash(n->parent, n->location), cap);
        while (slots[at] != 0)
            at = at + 1 == cap ? 0 : at + 1;
        slots[at] = id;
    }
    mem_uncharge(p->account, (uint64_t)t->cap * sizeof *slots);
    mem_free(t->slots);
    t->slots = slots;
    t->cap = cap;
    return 0;
}

/* --- interning -------------------------------------------------------------------------------- */

static int intern_strings(struct part *p, const struct form *f, uint32_t *ids)
{
    int rc = segs_reserve(&p->strings, f->string_count);
    if (rc == 0)
        rc = table_reserve(p, &p->by_string, f->string_count);
    struct table *t = &p->by_string;
    uint32_t hash[WAVE];
    ids[0] = 0;
    for (uint32_t from = 1; from < f->string_count && rc == 0; from += WAVE) {
        uint32_t n = f->string_count - from < WAVE ? f->string_count - from : WAVE;
        for (uint32_t i = 0; i < n; i++) {
            hash[i] = fold(str_hash(f->strings[from + i]));
            __builtin_prefetch(&t->slots[slot_of(hash[i], t->cap)]);
        }
        for (uint32_t i = 0; i < n && rc == 0; i++) {
            struct str s = f->strings[from + i];
            if (s.len == 0) {
                ids[from + i] = 0;
                continue;
            }
            uint32_t at = slot_of(hash[i], t->cap), id = 0;
            bool found = table_probe(t, hash[i], &at, &id);
            while (found && !str_eq(*(const struct str *)segs_at(&p->strings, id), s)) {
                at = at + 1 == t->cap ? 0 : at + 1;
                found = table_probe(t, hash[i], &at, &id);
            }
            if (!found) {
                id = p->strings.count;
                rc = part_push_string(p, s);
                if (rc == 0)
                    table_set(t, hash[i], at, id);
            }
            ids[from + i] = id;
        }
    }
    return rc;
}

static bool same_mapping(const struct form_mapping *a, const struct form_mapping *b)
{
    return a->file == b->file && a->build_id == b->build_id && a->start == b->start &&
           a->limit == b->limit && a->offset == b->offset && a->flags == b->flags;
}

/* Few per push, so without waves. */
static int intern_mappings(struct part *p, const struct form *f, const uint32_t *strings,
                           uint32_t *ids)
{
    int rc = segs_reserve(&p->mappings, f->mapping_count);
    if (rc == 0)
        rc = table_reserve(p, &p->by_mapping, f->mapping_count);
    for (uint32_t i = 0; i < f->mapping_count && rc == 0; i++) {
        struct form_mapping m = f->mappings[i];
        m.file = strings[m.file];
        m.build_id = strings[m.build_id];
        if (same_mapping(&m, segs_at(&p->mappings, 0))) {
            ids[i] = 0;
            continue;
        }
        struct table *t = &p->by_mapping;
        uint32_t hash = fold(mix(mix((uint64_t)m.file << 32 | m.build_id, m.start),
                                 mix(m.limit ^ m.flags, m.offset)));
        uint32_t at = slot_of(hash, t->cap), id = 0;
        bool found = table_probe(t, hash, &at, &id);
        while (found && !same_mapping(segs_at(&p->mappings, id), &m)) {
            at = at + 1 == t->cap ? 0 : at + 1;
            found = table_probe(t, hash, &at, &id);
        }
        if (!found) {
            id = p->mappings.count;
            *(struct form_mapping *)segs_push(&p->mappings) = m;
            table_set(t, hash, at, id);
        }
        ids[i] = id;
    }
    return rc;
}

static bool same_function(const struct form_function *a, const struct form_function *b)
{
    return a->name == b->name && a->system_name == b->system_name && a->file == b->file &&
           a->start_line == b->start_line;
}

static int intern_functions(struct part *p, const struct form *f, const uint32_t *strings,
                            uint32_t *ids)
{
    int rc = segs_reserve(&p->functions, f->function_count);
    if (rc == 0)
        rc = table_reserve(p, &p->by_function, f->function_count);
    struct table *t = &p->by_function;
    uint32_t hash[WAVE];
    struct form_function fn[WAVE];
    for (uint32_t from = 0; from < f->function_count && rc == 0; from += WAVE) {
        uint32_t n = f->function_count - from < WAVE ? f->function_count - from : WAVE;
        for (uint32_t i = 0; i < n; i++) {
            fn[i] = f->functions[from + i];
            fn[i].name = strings[fn[i].name];
            fn[i].system_name = strings[fn[i].system_name];
            fn[i].file = strings[fn[i].file];
            hash[i] = fold(mix((uint64_t)fn[i].name << 32 | fn[i].system_name,
                               (uint64_t)fn[i].file << 32 ^ fn[i].start_line));
            __builtin_prefetch(&t->slots[slot_of(hash[i], t->cap)]);
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = slot_of(hash[i], t->cap), id = 0;
            bool found = table_probe(t, hash[i], &at, &id);
            while (found && !same_function(segs_at(&p->functions, id), &fn[i])) {
                at = at + 1 == t->cap ? 0 : at + 1;
                found = table_probe(t, hash[i], &at, &id);
            }
            if (!found) {
                id = p->functions.count;
                *(struct form_function *)segs_push(&p->functions) = fn[i];
                table_set(t, hash[i], at, id);
            }
            ids[from + i] = id;
        }
    }
    return rc;
}

/* A location of a form in the partition's numbers; its lines stay in the form. */
struct wanted {
    struct part_location l;
    const struct form_line *lines;
    const uint32_t *functions;
    uint32_t hash;
};

static struct wanted location_wanted(const struct form *f, uint32_t i, const struct part_ids *ids)
{
    const struct form_location *l = &f->locations[i];
    struct wanted w = {.lines = f->lines + l->first_line, .functions = ids->functions};
    w.l = (struct part_location){.address = l->address,
                                 .mapping = f->mapping_count == 0 ? 0 : ids->mappings[l->mapping],
                                 .line_count = (uint16_t)l->line_count,
                                 .folded = l->folded};
    uint64_t h = mix(w.l.address, (uint64_t)w.l.mapping << 2 | l->folded);
    for (uint32_t k = 0; k < l->line_count; k++)
        h = mix(h ^ ids->functions[w.lines[k].function], (uint64_t)w.lines[k].line);
    w.hash = fold(h);
    return w;
}

static bool same_location(const struct part *p, uint32_t id, const struct wanted *w)
{
    const struct part_location *l = segs_at(&p->locations, id);
    if (l->address != w->l.address || l->mapping != w->l.mapping || l->folded != w->l.folded ||
        l->line_count != w->l.line_count)
        return false;
    for (uint32_t k = 0; k < l->line_count; k++) {
        const struct form_line *line = segs_at(&p->lines, l->first_line + k);
        if (line->function != w->functions[w->lines[k].function] ||
            line->line != w->lines[k].line)
            return false;
    }
    return true;
}

static uint32_t push_location(struct part *p, const struct wanted *w)
{
    uint32_t id = p->locations.count;
    struct part_location *l = segs_push(&p->locations);
    *l = w->l;
    l->first_line = p->lines.count;
    for (uint32_t k = 0; k < w->l.line_count; k++) {
        struct form_line *line = segs_push(&p->lines);
        *line = (struct form_line){w->functions[w->lines[k].function], w->lines[k].line};
    }
    return id;
}

static int intern_locations(struct part *p, const struct form *f, struct part_ids *ids)
{
    int rc = segs_reserve(&p->locations, f->location_count);
    if (rc == 0)
        rc = segs_reserve(&p->lines, f->line_count);
    if (rc == 0)
        rc = table_reserve(p, &p->by_location, f->location_count);
    struct table *t = &p->by_location;
    struct wanted wanted[WAVE];
    for (uint32_t from = 0; from < f->location_count && rc == 0; from += WAVE) {
        uint32_t n = f->location_count - from < WAVE ? f->location_count - from : WAVE;
        for (uint32_t i = 0; i < n; i++) {
            wanted[i] = location_wanted(f, from + i, ids);
            __builtin_prefetch(&t->slots[slot_of(wanted[i].hash, t->cap)]);
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t hash = wanted[i].hash, at = slot_of(hash, t->cap), id = 0;
            bool found = table_probe(t, hash, &at, &id);
            while (found && !same_location(p, id, &wanted[i])) {
                at = at + 1 == t->cap ? 0 : at + 1;
                found = table_probe(t, hash, &at, &id);
            }
            if (!found) {
                id = push_location(p, &wanted[i]);
                table_set(t, hash, at, id);
            }
            ids->locations[from + i] = id;
        }
    }
    return rc;
}

static uint32_t intern_node(struct part *p, struct part_node want, uint32_t at)
{
    struct node_table *t = &p->by_node;
    for (uint32_t id; (id = t->slots[at]) != 0; at = at + 1 == t->cap ? 0 : at + 1) {
        const struct part_node *n = node_at(p, id);
        if (n->parent == want.parent && n->location == want.location)
            return id;
    }
    uint32_t id = p->nodes.count;
    *(struct part_node *)segs_push(&p->nodes) = want;
    t->slots[at] = id;
    t->used++;
    return id;
}

/* A wave ends where a node's parent is in the wave itself: only known parents can be hashed. */
static int intern_nodes(struct part *p, const struct form *f, struct part_ids *ids)
{
    int rc = segs_reserve(&p->nodes, f->node_count);
    if (rc == 0)
        rc = nodes_reserve(p, f->node_count);
    if (rc != 0)
        return rc;
    struct node_table *t = &p->by_node;
    struct part_node want[WAVE];
    uint32_t at[WAVE];
    ids->nodes[0] = 0;
    for (uint32_t from = 1, n; from < f->node_count; from += n) {
        for (n = 0; n < WAVE && from + n < f->node_count; n++) {
            const struct form_node *node = &f->nodes[from + n];
            if (node->parent >= from)
                break;
            want[n] = (struct part_node){ids->nodes[node->parent], ids->locations[node->location]};
            at[n] = slot_of(node_hash(want[n].parent, want[n].location), t->cap);
            __builtin_prefetch(&t->slots[at[n]]);
        }
        for (uint32_t i = 0; i < n; i++)
            if (t->slots[at[i]] != 0)
                __builtin_prefetch(node_at(p, t->slots[at[i]]));
        for (uint32_t i = 0; i < n; i++)
            ids->nodes[from + i] = intern_node(p, want[i], at[i]);
    }
    return 0;
}

int part_intern(struct part *p, const struct form *f, struct arena *a, struct part_ids *ids)
{
    for (uint32_t i = 0; i < f->string_count; i++)
        if (f->strings[i].len > PART_STRING_MAX)
            return ERR_LIMIT;
    for (uint32_t i = 0; i < f->location_count; i++)
        if (f->locations[i].line_count > UINT16_MAX)
            return ERR_LIMIT;
    uint32_t *all = arena_alloc(a, sizeof *all * ((size_t)f->string_count + f->mapping_count +
                                                  f->function_count + f->location_count +
                                                  f->node_count + 1));
    if (all == NULL)
        return ERR_NOMEM;
    ids->strings = all;
    ids->mappings = ids->strings + f->string_count;
    ids->functions = ids->mappings + f->mapping_count;
    ids->locations = ids->functions + f->function_count;
    ids->nodes = ids->locations + f->location_count;
    int rc = intern_strings(p, f, ids->strings);
    if (rc == 0)
        rc = intern_mappings(p, f, ids->strings, ids->mappings);
    if (rc == 0)
        rc = intern_functions(p, f, ids->strings, ids->functions);
    if (rc == 0)
        rc = intern_locations(p, f, ids);
    if (rc == 0)
        rc = intern_nodes(p, f, ids);
    part_publish(p);
    return rc;
}
