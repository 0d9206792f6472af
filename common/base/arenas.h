/* base/arenas.h - a few arenas kept for the next request, so that its memory is paged in and in the
 * processor's caches already.
 *
 *   struct arena *a;
 *   if (arenas_take(&shared, &a) == 0) { ... arenas_give(&shared, &a); }
 *
 * For work that ends where it began, on one of a few threads; at most ARENAS_KEPT are kept, and
 * none that a large request made larger than keep_max. What is kept stays charged to the account.
 * Value type. Any thread, without locks. Tests: tests/unit/base/test_arenas.c. */
#ifndef BASE_ARENAS_H
#define BASE_ARENAS_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/mem.h"

enum { ARENAS_KEPT = 8 };

struct arenas {
    _Atomic(struct arena *) kept[ARENAS_KEPT];
    size_t block, keep_max;
    struct mem_account *account;
};

/* Prepare with none kept: arenas as arena_init() makes them of block and account. */
void arenas_init(struct arenas *s, size_t block, size_t keep_max, struct mem_account *account);

/* An empty arena, kept or new. ERR_NOMEM. */
int arenas_take(struct arenas *s, struct arena **out);

/* Give one back; its contents are gone. NULL-safe; leaves *a NULL. */
void arenas_give(struct arenas *s, struct arena **a);

/* Free those that are kept. Nobody may be taking or giving. */
void arenas_reset(struct arenas *s);

#endif
