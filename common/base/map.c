/* base/map.c - open addressing over an array of entries in insertion order. */
#include "base/map.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

struct entry {
    char *key; /* NULL: removed */
    size_t len;
    uint64_t hash;
    void *value;
};

enum { SLOT_EMPTY = 0, MAP_FIRST = 8 };

#define SLOT_GONE UINT32_MAX

struct map {
    struct entry *entries;
    size_t used, cap, live; /* entries written, room, not removed */
    uint32_t *slots;        /* index + 1, SLOT_EMPTY or SLOT_GONE; a power of two of them */
    size_t slot_count;
};

int map_init(struct map **out)
{
    struct map *m = mem_zalloc(sizeof *m);
    if (m == NULL)
        return ERR_NOMEM;
    *out = m;
    return 0;
}

size_t map_count(const struct map *m)
{
    return m->live;
}

static size_t find(const struct map *m, struct str key, uint64_t hash)
{
    if (m->slot_count == 0)
        return SIZE_MAX;
    size_t mask = m->slot_count - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t s = m->slots[i];
        if (s == SLOT_EMPTY)
            return SIZE_MAX;
        if (s == SLOT_GONE)
            continue;
        const struct entry *e = &m->entries[s - 1];
        if (e->hash == hash && str_eq(str_of(e->key, e->len), key))
            return i;
    }
}

void *map_get(const struct map *m, struct str key)
{
    size_t at = find(m, key, str_hash(key));
    return at == SIZE_MAX ? NULL : m->entries[m->slots[at] - 1].value;
}

bool map_has(const struct map *m, struct str key)
{
    return find(m, key, str_hash(key)) != SIZE_MAX;
}

static void place(uint32_t *slots, size_t count, uint64_t hash, uint32_t index)
{
    size_t i = hash & (count - 1);
    while (slots[i] != SLOT_EMPTY && slots[i] != SLOT_GONE)
        i = (i + 1) & (count - 1);
    slots[i] = index + 1;
}

/* Drop removed entries and make room for twice the live ones. */
static int rebuild(struct map *m)
{
    size_t cap = m->live < MAP_FIRST ? (size_t)MAP_FIRST : m->live * 2;
    size_t count = MAP_FIRST * 2;
    while (count < cap * 3 / 2)
        count *= 2;
    if (cap >= SLOT_GONE - 1)
        return ERR_NOMEM;
    struct entry *entries = mem_calloc(cap, sizeof *entries);
    uint32_t *slots = mem_calloc(count, sizeof *slots);
    if (entries == NULL || slots == NULL) {
        mem_free(entries);
        mem_free(slots);
        return ERR_NOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < m->used; i++) {
        if (m->entries[i].key == NULL)
            continue;
        entries[n] = m->entries[i];
        place(slots, count, entries[n].hash, (uint32_t)n);
        n++;
    }
    mem_free(m->entries);
    mem_free(m->slots);
    m->entries = entries;
    m->slots = slots;
    m->slot_count = count;
    m->used = n;
    m->cap = cap;
    return 0;
}

int map_put(struct map *m, struct str key, void *value, void **old)
{
    uint64_t hash = str_hash(key);
    size_t at = find(m, key, hash);
    if (at != SIZE_MAX) {
        struct entry *e = &m->entries[m->slots[at] - 1];
        if (old != NULL)
            *old = e->value;
        e->value = value;
        return 0;
    }
    char *copy = str_dup_c(key);
    if (copy == NULL)
        return ERR_NOMEM;
    if (m->used == m->cap && rebuild(m) != 0) {
        mem_free(copy);
        return ERR_NOMEM;
    }
    m->entries[m->used] = (struct entry){copy, key.len, hash, value};
    place(m->slots, m->slot_count, hash, (uint32_t)m->used);
    m->used++;
    m->live++;
    if (old != NULL)
        *old = NULL;
    return 0;
}

void *map_remove(struct map *m, struct str key)
{
    size_t at = find(m, key, str_hash(key));
    if (at == SIZE_MAX)
        return NULL;
    struct entry *e = &m->entries[m->slots[at] - 1];
    void *value = e->value;
    mem_free(e->key);
    e->key = NULL;
    m->slots[at] = SLOT_GONE;
    m->live--;
    return value;
}

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
    while (*at < m->used) {
        const struct entry *e = &m->entries[(*at)++];
        if (e->key == NULL)
            continue;
        if (key != NULL)
            *key = str_of(e->key, e->len);
        if (value != NULL)
            *value = e->value;
        return true;
    }
    return false;
}

void map_clear(struct map *m)
{
    for (size_t i = 0; i < m->used; i++)
        mem_free(m->entries[i].key);
    mem_free(m->entries);
    mem_free(m->slots);
    *m = (struct map){0};
}

void map_free(struct map **m)
{
    if (*m == NULL)
        return;
    map_clear(*m);
    mem_free(*m);
    *m = NULL;
}
