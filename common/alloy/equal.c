/* alloy/equal.c - two structs of a schema, field by field: did a reload change anything? */
#include "alloy/schema.h"

#include <string.h>

#include "alloy/graph.h"
#include "base/assert.h"

enum { NESTED_MAX = 16 };

static bool strs_equal(const struct alloy_strs *a, const struct alloy_strs *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!str_eq(a->items[i], b->items[i]))
            return false;
    return true;
}

static bool map_equal(const struct alloy_map *a, const struct alloy_map *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!str_eq(a->items[i].key, b->items[i].key) ||
            !str_eq(a->items[i].value, b->items[i].value))
            return false;
    return true;
}

static bool maps_equal(const struct alloy_maps *a, const struct alloy_maps *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!map_equal(&a->items[i], &b->items[i]))
            return false;
    return true;
}

static bool map_strs_equal(const struct alloy_map_strs *a, const struct alloy_map_strs *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!str_eq(a->items[i].key, b->items[i].key) ||
            !strs_equal(&a->items[i].values, &b->items[i].values))
            return false;
    return true;
}

static bool capsule_equal(const struct alloy_capsule *a, const struct alloy_capsule *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (!str_eq(a->secret, b->secret) || !str_eq(str_c(a->type), str_c(b->type)) ||
        !str_eq(str_c(a->field), str_c(b->field)) || (a->node == NULL) != (b->node == NULL))
        return false;
    return a->node == NULL || str_eq(str_c(a->node->id), str_c(b->node->id));
}

static bool capsules_equal(const struct alloy_capsules *a, const struct alloy_capsules *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!capsule_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

static bool structs_equal(const struct alloy_schema *s, const void *a, const void *b,
                          int depth);

static bool blocks_equal(const struct alloy_schema *s, const struct alloy_blocks *a,
                         const struct alloy_blocks *b, int depth)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!structs_equal(s, (const char *)a->items + i * s->size,
                           (const char *)b->items + i * s->size, depth))
            return false;
    return true;
}

static const struct alloy_schema *schema_of(const struct alloy_choice *c, const char *name)
{
    while (c->name != name)
        c++;
    return c->schema;
}

static bool variants_equal(const struct alloy_choice *choices, const struct alloy_variants *a,
                           const struct alloy_variants *b, int depth)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i].name != b->items[i].name ||
            !structs_equal(schema_of(choices, a->items[i].name), a->items[i].at, b->items[i].at,
                           depth))
            return false;
    return true;
}

static bool fields_equal(const struct alloy_row *row, const void *a, const void *b, int depth)
{
    switch (row->kind) {
    case ALLOY_K_BOOL:
    case ALLOY_K_GIVEN:
        return *(const bool *)a == *(const bool *)b;
    case ALLOY_K_I64:
    case ALLOY_K_MS:
        return *(const int64_t *)a == *(const int64_t *)b;
    case ALLOY_K_DOUBLE:
        return memcmp(a, b, sizeof(double)) == 0;
    case ALLOY_K_STR:
    case ALLOY_K_SECRET:
    case ALLOY_K_LABEL:
        return str_eq(*(const struct str *)a, *(const struct str *)b);
    case ALLOY_K_STRS:
        return strs_equal(a, b);
    case ALLOY_K_MAP:
        return map_equal(a, b);
    case ALLOY_K_MAPS:
        return maps_equal(a, b);
    case ALLOY_K_MAP_STRS:
    case ALLOY_K_MAP_SECRETS:
        return map_strs_equal(a, b);
    case ALLOY_K_CAPSULE:
        return capsule_equal(*(const struct alloy_capsule *const *)a,
                             *(const struct alloy_capsule *const *)b);
    case ALLOY_K_CAPSULES:
        return capsules_equal(a, b);
    case ALLOY_K_VALUE:
        return alloy_value_equal(a, b);
    case ALLOY_K_BLOCK:
        return structs_equal(row->detail, a, b, depth + 1);
    case ALLOY_K_BLOCKS:
        return blocks_equal(row->detail, a, b, depth + 1);
    case ALLOY_K_VARIANTS:
        return variants_equal(row->detail, a, b, depth + 1);
    case ALLOY_K_END:
        break;
    }
    return false;
}

static bool structs_equal(const struct alloy_schema *s, const void *a, const void *b, int depth)
{
    ASSERT(depth < NESTED_MAX);
    for (const struct alloy_row *row = s->rows; row->kind != ALLOY_K_END; row++)
        if (!fields_equal(row, (const char *)a + row->offset, (const char *)b + row->offset,
                          depth))
            return false;
    return true;
}

bool alloy_schema_equal(const struct alloy_schema *s, const void *a, const void *b)
{
    return structs_equal(s, a, b, 0);
}
