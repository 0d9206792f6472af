/* profile/pprof_out.c - symbols and stacks as byte keys in tables, one table per kind.
 *
 * A key refers to other tables by index, so equal keys are equal symbols. Its hash is made of
 * the content's (strings' bytes) and not of indexes: it is the same in every process and
 * whatever came first, which gives samples of equal value an order. */
#include "profile/pprof_out.h"

#include "base/assert.h"
#include "base/mem.h"
#include "profile/pprof_out_priv.h"

#include <string.h>

enum { TABLE_FIRST = 32, TABLE_MAX = 1 << 28 };

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 32);
}

/* Resize an array of the builder to `cap` elements, charged. NULL with *rc set. */
static void *resize(struct pprof_out *p, void *array, uint32_t old, uint32_t cap, size_t size,
                    int *rc)
{
    uint64_t more = (uint64_t)(cap - old) * size;
    *rc = mem_charge(p->account, more);
    if (*rc != 0)
        return NULL;
    void *grown = mem_realloc_array(array, cap, size);
    if (grown == NULL) {
        mem_uncharge(p->account, more);
        *rc = ERR_NOMEM;
        return NULL;
    }
    p->charged += more;
    return grown;
}

static void place(struct table *t, uint64_t hash, uint32_t id)
{
    uint32_t i = (uint32_t)hash & t->mask;
    while (t->slots[i] != 0)
        i = (i + 1) & t->mask;
    t->slots[i] = id;
}

static int grow(struct pprof_out *p, struct table *t)
{
    uint32_t cap = t->cap == 0 ? (uint32_t)TABLE_FIRST : t->cap * 2;
    if (cap > TABLE_MAX)
        return ERR_LIMIT;
    int rc;
    struct entry *entries = resize(p, t->entries, t->cap, cap, sizeof *entries, &rc);
    if (entries == NULL)
        return rc;
    t->entries = entries; /* larger than cap says, should the slots fail */
    uint32_t *slots = resize(p, t->slots, t->cap * 2, cap * 2, sizeof *slots, &rc);
    if (slots == NULL)
        return rc;
    t->slots = slots;
    t->cap = cap;
    t->mask = cap * 2 - 1;
    memset(t->slots, 0, (size_t)cap * 2 * sizeof *t->slots);
    for (uint32_t i = 0; i < t->count; i++)
        place(t, t->entries[i].hash, i + 1);
    return 0;
}

/* Index (from 1) of the entry with that key, added when new. */
static int intern(struct pprof_out *p, struct table *t, struct str key, uint64_t hash,
                  uint32_t *id)
{
    for (uint32_t i = (uint32_t)hash & t->mask; t->cap > 0 && t->slots[i] != 0;
         i = (i + 1) & t->mask) {
        const struct entry *e = &t->entries[t->slots[i] - 1];
        if (e->hash == hash && str_eq(e->key, key)) {
            *id = t->slots[i];
            return 0;
        }
    }
    int rc = t->count == t->cap ? grow(p, t) : 0;
    if (rc != 0)
        return rc;
    void *copy = arena_dup(p->bytes, key.data, key.len);
    if (copy == NULL)
        return ERR_NOMEM;
    t->entries[t->count++] = (struct entry){str_of(copy, key.len), hash, 0};
    place(t, hash, t->count);
    *id = t->count;
    return 0;
}

static uint64_t hash_of(const struct table *t, uint32_t id)
{
    ASSERT(id <= t->count);
    return id == 0 ? 0 : t->entries[id - 1].hash;
}

int pprof_out_init(struct pprof_out **out, struct mem_account *account)
{
    struct pprof_out *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    p->account = account;
    int rc = arena_init(&p->bytes, 4096, account);
    if (rc != 0) {
        mem_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void pprof_out_free(struct pprof_out **out)
{
    struct pprof_out *p = *out;
    if (p == NULL)
        return;
    struct table *const tables[] = {&p->strings, &p->mappings, &p->functions, &p->locations,
                                    &p->stacks};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        mem_free(tables[i]->entries);
        mem_free(tables[i]->slots);
    }
    mem_free(p->scratch);
    mem_uncharge(p->account, p->charged);
    arena_free(&p->bytes);
    mem_free(p);
    *out = NULL;
}

int pprof_out_string(struct pprof_out *p, struct str s, uint32_t *id)
{
    *id = 0;
    return s.len == 0 ? 0 : intern(p, &p->strings, s, str_hash(s), id);
}

int pprof_out_mapping(struct pprof_out *p, const struct pprof_mapping *m, uint32_t *id)
{
    struct pprof_mapping key;
    memset(&key, 0, sizeof key); /* no padding in the key */
    key.start = m->start;
    key.limit = m->limit;
    key.offset = m->offset;
    key.file = m->file;
    key.build_id = m->build_id;
    key.has_functions = m->has_functions;
    key.has_filenames = m->has_filenames;
    key.has_line_numbers = m->has_line_numbers;
    key.has_inline_frames = m->has_inline_frames;
    uint64_t h = mix(mix(mix(1, m->start), m->limit), m->offset);
    h = mix(mix(h, hash_of(&p->strings, m->file)), hash_of(&p->strings, m->build_id));
    h = mix(h, (uint64_t)m->has_functions | (uint64_t)m->has_filenames << 1 |
                   (uint64_t)m->has_line_numbers << 2 | (uint64_t)m->has_inline_frames << 3);
    return intern(p, &p->mappings, str_of(&key, sizeof key), h, id);
}

int pprof_out_function(struct pprof_out *p, const struct pprof_function *f, uint32_t *id)
{
    struct pprof_function key;
    memset(&key, 0, sizeof key);
    key.name = f->name;
    key.system_name = f->system_name;
    key.file = f->file;
    key.start_line = f->start_line;
    uint64_t h =
        mix(mix(2, hash_of(&p->strings, f->name)), hash_of(&p->strings, f->system_name));
    h = mix(mix(h, hash_of(&p->strings, f->file)), (uint64_t)f->start_line);
    return intern(p, &p->functions, str_of(&key, sizeof key), h, id);
}

static int reserve_scratch(struct pprof_out *p, size_t size)
{
    int rc = 0;
    if (size <= p->scratch_cap)
        return 0;
    if (size > UINT32_MAX / 2)
        return ERR_LIMIT;
    uint32_t cap = (uint32_t)size + (uint32_t)size / 2;
    void *grown = resize(p, p->scratch, p->scratch_cap, cap, 1, &rc);
    if (grown == NULL)
        return rc;
    p->scratch = grown;
    p->scratch_cap = cap;
    return 0;
}

int pprof_out_location(struct pprof_out *p, uint32_t mapping, uint64_t address, bool folded,
                       const struct pprof_line *lines, size_t count, uint32_t *id)
{
    size_t size = sizeof(struct location_key) + count * sizeof(struct pprof_line);
    int rc = reserve_scratch(p, size);
    if (rc != 0)
        return rc;
    struct location_key *key = p->scratch;
    memset(key, 0, size);
    *key = (struct location_key){address, mapping, folded};
    struct pprof_line *to = (struct pprof_line *)(void *)(key + 1);
    uint64_t h = mix(mix(mix(3, address), hash_of(&p->mappings, mapping)), folded);
    for (size_t i = 0; i < count; i++) {
        to[i].function = lines[i].function;
        to[i].line = lines[i].line;
        h = mix(mix(h, hash_of(&p->functions, lines[i].function)), (uint64_t)lines[i].line);
    }
    return intern(p, &p->locations, str_of(key, size), h, id);
}

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum) || sum > INT64_MAX)
        return INT64_MAX;
    return sum;
}

int pprof_out_sample(struct pprof_out *p, const uint32_t *locations, size_t count,
                     uint64_t value)
{
    uint32_t id;
    uint64_t h = 4;
    for (size_t i = 0; i < count; i++)
        h = mix(h, hash_of(&p->locations, locations[i]));
    if (value == 0)
        return 0;
    int rc = intern(p, &p->stacks, str_of(locations, count * sizeof *locations), h, &id);
    if (rc != 0)
        return rc;
    uint64_t *to = &p->stacks.entries[id - 1].value;
    *to = add(*to, value);
    return 0;
}

size_t pprof_out_count(const struct pprof_out *p)
{
    return p->stacks.count;
}

int64_t pprof_out_period(struct str type_name)
{
    if (str_eq(type_name, STR("process_cpu")))
        return 1000000000;
    return str_eq(type_name, STR("memory")) ? 524288 : 1;
}
