/* base/mem.h - all heap memory goes through here: it can fail on demand in tests, and it can be
 * charged to an account that has an end.
 *
 * Out of memory is NULL, for the caller to return as ERR_NOMEM. Any thread, except mem_fail_at
 * (tests, one thread). Tests: tests/unit/base/test_mem.c. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `size` bytes, uninitialised; size 0 gives a unique pointer. NULL: no memory. */
void *mem_alloc(size_t size);

/* `size` zero bytes. NULL: no memory. */
void *mem_zalloc(size_t size);

/* count x size zero bytes. NULL: no memory, or the product overflows. */
void *mem_calloc(size_t count, size_t size);

/* Resize p (may be NULL). NULL: no memory, p is untouched. */
void *mem_realloc(void *p, size_t size);

/* Resize an array to count x size bytes. NULL: no memory or overflow, p is untouched. */
void *mem_realloc_array(void *p, size_t count, size_t size);

/* A copy of `size` bytes at p. NULL: no memory. */
void *mem_dup(const void *p, size_t size);

/* Release; p may be NULL. */
void mem_free(void *p);

/* Make the n-th allocation from now on fail (1 = the next one), once; 0 switches it off.
 * For out-of-memory sweeps in tests. */
void mem_fail_at(uint64_t n);

/* True when the failure armed by mem_fail_at() has not happened yet: the sweep is over. */
bool mem_fail_pending(void);

/* Bytes charged against a limit; accounts nest, and a charge counts in every parent. */
struct mem_account {
    struct mem_account *parent; /* NULL at the root */
    const char *name;           /* for gauges and messages; static */
    uint64_t limit;             /* bytes; 0 = no limit of its own */
    _Atomic uint64_t used;      /* bytes */
    _Atomic uint64_t peak;      /* highest `used` so far */
};

/* Prepare an account with nothing charged. parent may be NULL and must outlive it. */
void mem_account_init(struct mem_account *a, struct mem_account *parent, const char *name,
                      uint64_t limit);

/* Charge `bytes`. 0, or ERR_LIMIT with nothing charged anywhere. a may be NULL (no account). */
int mem_charge(struct mem_account *a, uint64_t bytes);

/* Take back a charge. Requires that as much was charged. a may be NULL. */
void mem_uncharge(struct mem_account *a, uint64_t bytes);

/* A region that is freed as a whole. Allocation is a pointer bump; nothing is freed singly. */
struct arena;

/* An empty arena whose blocks start at `block` bytes (0: 16 KiB) and are charged to `account`
 * (may be NULL). ERR_NOMEM. */
int arena_init(struct arena **out, size_t block, struct mem_account *account);

/* `size` bytes aligned to 16, uninitialised, valid until arena_free/arena_reset. NULL: no memory,
 * or the account is full. */
void *arena_alloc(struct arena *a, size_t size);

/* As arena_alloc, zeroed. */
void *arena_zalloc(struct arena *a, size_t size);

/* count x size zero bytes. NULL also when the product overflows. */
void *arena_calloc(struct arena *a, size_t count, size_t size);

/* A copy of `size` bytes at p. NULL: no memory. */
void *arena_dup(struct arena *a, const void *p, size_t size);

/* Forget all contents but keep the largest block for reuse. */
void arena_reset(struct arena *a);

/* Bytes taken from the heap so far. */
size_t arena_bytes(const struct arena *a);

/* Free everything; NULL-safe; leaves *a NULL. */
void arena_free(struct arena **a);

#endif
