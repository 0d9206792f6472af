/* profile/tree.c - names and nodes in arrays, each found through a table of open addressing. */
#include "profile/tree.h"

#include "base/assert.h"
#include "base/mem.h"
#include "profile/tree_priv.h"

#include <string.h>

enum { TREE_FIRST = 64, TREE_MAX = 1u << 30 };

int tree_init(struct tree **out, struct mem_account *account)
{
    struct tree *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->account = account;
    int rc = arena_init(&t->bytes, 1024, account);
    if (rc != 0) {
        mem_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tree_free(struct tree **t)
{
    if (*t == NULL)
        return;
    mem_uncharge((*t)->account, (*t)->charged);
    arena_free(&(*t)->bytes);
    mem_free((*t)->names);
    mem_free((*t)->name_slots);
    mem_free((*t)->nodes);
    mem_free((*t)->slots);
    mem_free(*t);
    *t = NULL;
}

/* Slots for `cap` entries: a power of two that they fill to three quarters at most. */
static uint32_t slots_for(uint32_t cap)
{
    uint32_t n = 16;
    while (n - n / 4 < cap)
        n *= 2;
    return n;
}

static int charge(struct tree *t, uint64_t bytes)
{
    int rc = mem_charge(t->account, bytes);
    if (rc == 0)
        t->charged += bytes;
    return rc;
}

static void uncharge(struct tree *t, uint64_t bytes)
{
    mem_uncharge(t->account, bytes);
    t->charged -= bytes;
}

static uint32_t grown(uint32_t cap, uint32_t need)
{
    uint32_t n = cap < TREE_FIRST ? (uint32_t)TREE_FIRST : cap;
    while (n < need)
        n *= 2;
    return n;
}

static void place_name(uint32_t *slots, uint32_t mask, uint64_t hash, uint32_t index)
{
    uint32_t i = (uint32_t)hash & mask;
    while (slots[i] != 0)
        i = (i + 1) & mask;
    slots[i] = index + 1;
}

/* Room for `need` names in all. */
static int reserve_names(struct tree *t, uint32_t need)
{
    if (need <= t->name_cap)
        return 0;
    if (need > TREE_MAX)
        return ERR_LIMIT;
    uint32_t cap = grown(t->name_cap, need), slots = slots_for(cap);
    uint64_t old =
        (uint64_t)t->name_cap * sizeof *t->names +
        (t->name_cap == 0 ? 0 : ((uint64_t)t->name_mask + 1) * sizeof *t->name_slots);
    uint64_t bytes = (uint64_t)cap * sizeof *t->names + (uint64_t)slots * sizeof *t->name_slots;
    int rc = charge(t, bytes);
    if (rc != 0)
        return rc;
    uint32_t *table = mem_calloc(slots, sizeof *table);
    struct tree_name *names = NULL;
    if (table != NULL)
        names = mem_realloc_array(t->names, cap, sizeof *names);
    if (names == NULL) {
        mem_free(table);
        uncharge(t, bytes);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < t->name_count; i++)
        place_name(table, slots - 1, names[i].hash, i);
    mem_free(t->name_slots);
    t->names = names;
    t->name_slots = table;
    t->name_cap = cap;
    t->name_mask = slots - 1;
    uncharge(t, old);
    return 0;
}

static uint32_t find_hashed(const struct tree *t, struct str name, uint64_t hash)
{
    if (t->name_count == 0)
        return UINT32_MAX;
    for (uint32_t i = (uint32_t)hash & t->name_mask; t->name_slots[i] != 0;
         i = (i + 1) & t->name_mask) {
        const struct tree_name *n = &t->names[t->name_slots[i] - 1];
        if (n->hash == hash && str_eq(n->text, name))
            return t->name_slots[i] - 1;
    }
    return UINT32_MAX;
}

uint32_t tree_find_name(const struct tree *t, struct str name)
{
    return find_hashed(t, name, str_hash(name));
}

static int add_name(struct tree *t, struct str name, uint64_t hash, uint32_t *id)
{
    uint32_t at = find_hashed(t, name, hash);
    if (at != UINT32_MAX) {
        *id = at;
        return 0;
    }
    int rc = reserve_names(t, t->name_count + 1);
    if (rc != 0)
        return rc;
    struct str copy = str_of("", 0);
    if (name.len > 0)
        copy = str_of(arena_dup(t->bytes, name.data, name.len), name.len);
    if (copy.data == NULL)
        return ERR_NOMEM;
    t->names[t->name_count] = (struct tree_name){copy, hash};
    place_name(t->name_slots, t->name_mask, hash, t->name_count);
    *id = t->name_count++;
    return 0;
}

int tree_name(struct tree *t, struct str name, uint32_t *id)
{
    return add_name(t, name, str_hash(name), id);
}

static uint32_t slot_of(uint32_t parent, uint32_t name, uint32_t mask)
{
    uint64_t h = ((uint64_t)parent << 32 | name) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32) & mask;
}

static void place_node(struct tree_slot *slots, uint32_t mask, const struct tree_node *n,
                       uint32_t index)
{
    uint32_t i = slot_of(n->parent, n->name, mask);
    while (slots[i].node != 0)
        i = (i + 1) & mask;
    slots[i] = (struct tree_slot){n->parent, n->name, index};
}

/* Room for `need` nodes in all, the root included, which is there afterwards. */
static int reserve_nodes(struct tree *t, uint32_t need)
{
    if (need <= t->cap)
        return 0;
    if (need > TREE_MAX)
        return ERR_LIMIT;
    uint32_t cap = grown(t->cap, need), slots = slots_for(cap);
    uint64_t old = (uint64_t)t->cap * sizeof *t->nodes +
                   (t->cap == 0 ? 0 : ((uint64_t)t->mask + 1) * sizeof *t->slots);
    uint64_t bytes = (uint64_t)cap * sizeof *t->nodes + (uint64_t)slots * sizeof *t->slots;
    int rc = charge(t, bytes);
    if (rc != 0)
        return rc;
    struct tree_slot *table = mem_calloc(slots, sizeof *table);
    struct tree_node *nodes = NULL;
    if (table != NULL)
        nodes = mem_realloc_array(t->nodes, cap, sizeof *nodes);
    if (nodes == NULL) {
        mem_free(table);
        uncharge(t, bytes);
        return ERR_NOMEM;
    }
    if (t->count == 0) {
        nodes[TREE_ROOT] = (struct tree_node){0, UINT32_MAX, 0};
        t->count = 1;
    }
    for (uint32_t i = 1; i < t->count; i++)
        place_node(table, slots - 1, &nodes[i], i);
    mem_free(t->slots);
    t->nodes = nodes;
    t->slots = table;
    t->cap = cap;
    t->mask = slots - 1;
    uncharge(t, old);
    return 0;
}

int tree_child(struct tree *t, uint32_t parent, uint32_t name, uint32_t *node)
{
    int rc = reserve_nodes(t, t->count + 1);
    if (rc != 0)
        return rc;
    ASSERT(parent < t->count && name < t->name_count);
    uint32_t i = slot_of(parent, name, t->mask);
    for (; t->slots[i].node != 0; i = (i + 1) & t->mask) {
        if (t->slots[i].parent == parent && t->slots[i].name == name) {
            *node = t->slots[i].node;
            return 0;
        }
    }
    t->slots[i] = (struct tree_slot){parent, name, t->count};
    t->nodes[t->count] = (struct tree_node){parent, name, 0};
    *node = t->count++;
    return 0;
}

void tree_add(struct tree *t, uint32_t node, uint64_t value)
{
    if (node == TREE_ROOT)
        return;
    ASSERT(node < t->count);
    if (value > INT64_MAX)
        value = INT64_MAX;
    t->nodes[node].self = tree_sum(t->nodes[node].self, value);
}

uint32_t tree_count(const struct tree *t)
{
    return t->count == 0 ? 0 : t->count - 1;
}

uint64_t tree_total(const struct tree *t)
{
    uint64_t sum = 0;
    for (uint32_t i = 1; i < t->count; i++)
        sum = tree_sum(sum, t->nodes[i].self);
    return sum;
}

/* Where from's names are in `into`, added when new. */
static int map_names(struct tree *into, const struct tree *from, uint32_t *map)
{
    int rc = 0;
    for (uint32_t i = 0; i < from->name_count && rc == 0; i++)
        rc = add_name(into, from->names[i].text, from->names[i].hash, &map[i]);
    return rc;
}

static int merge_nodes(struct tree *into, const struct tree *from, const uint32_t *names,
                       uint32_t *nodes)
{
    nodes[TREE_ROOT] = TREE_ROOT;
    for (uint32_t i = 1; i < from->count; i++) {
        const struct tree_node *n = &from->nodes[i];
        int rc = tree_child(into, nodes[n->parent], names[n->name], &nodes[i]);
        if (rc != 0)
            return rc;
        struct tree_node *to = &into->nodes[nodes[i]];
        to->self = tree_sum(to->self, n->self);
    }
    return 0;
}

int tree_merge(struct tree *into, const struct tree *from)
{
    if (from->count <= 1)
        return 0;
    size_t bytes = ((size_t)from->name_count + from->count) * sizeof(uint32_t);
    int rc = mem_charge(into->account, bytes);
    if (rc != 0)
        return rc;
    uint32_t *names = mem_alloc(bytes);
    rc = names == NULL ? ERR_NOMEM : 0;
    /* At least as large as the larger one: one rehash instead of many. */
    if (rc == 0)
        rc = reserve_names(into, from->name_count);
    if (rc == 0)
        rc = reserve_nodes(into, from->count);
    if (rc == 0)
        rc = map_names(into, from, names);
    if (rc == 0)
        rc = merge_nodes(into, from, names, names + from->name_count);
    mem_free(names);
    mem_uncharge(into->account, bytes);
    return rc;
}
