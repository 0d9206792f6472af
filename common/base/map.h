/* base/map.h - a hash map from byte strings to pointers that iterates in insertion order.
 *
 * Keys are copied; values are the caller's. Order never depends on addresses or hashes, so that
 * cores stay deterministic. Removing keeps the order of the rest. One owner thread.
 * Tests: tests/unit/base/test_map.c. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct map;

/* An empty map. ERR_NOMEM with *out untouched. */
int map_init(struct map **out);

/* Number of entries. */
size_t map_count(const struct map *m);

/* Value of `key`, or NULL when there is none. */
void *map_get(const struct map *m, struct str key);

/* True when `key` has an entry (its value may be NULL). */
bool map_has(const struct map *m, struct str key);

/* Set `key` to `value`; *old (may be NULL) gets the value it replaced, or NULL. ERR_NOMEM with
 * the map unchanged. */
int map_put(struct map *m, struct str key, void *value, void **old);

/* Remove `key` and return its value, or NULL. */
void *map_remove(struct map *m, struct str key);

/* Walk: size_t at = 0; while (map_next(m, &at, &key, &value)) ... key and value may be NULL.
 * Removing the current entry during the walk is allowed, adding is not. */
bool map_next(const struct map *m, size_t *at, struct str *key, void **value);

/* Remove all entries; values are not freed. */
void map_clear(struct map *m);

/* NULL-safe; leaves *m NULL; values are not freed. */
void map_free(struct map **m);

#endif
