/* base/mem.c - heap, accounts and arenas. */
#include "base/mem.h"

#include "base/assert.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t fail_at; /* 0: off */

static bool must_fail(void)
{
    if (atomic_load_explicit(&fail_at, memory_order_relaxed) == 0)
        return false;
    return atomic_fetch_sub_explicit(&fail_at, 1, memory_order_relaxed) == 1;
}

void mem_fail_at(uint64_t n)
{
    atomic_store(&fail_at, n);
}

bool mem_fail_pending(void)
{
    return atomic_load(&fail_at) != 0;
}

void *mem_alloc(size_t size)
{
    return must_fail() ? NULL : malloc(size == 0 ? 1 : size);
}

void *mem_zalloc(size_t size)
{
    return must_fail() ? NULL : calloc(1, size == 0 ? 1 : size);
}

void *mem_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return mem_zalloc(bytes);
}

void *mem_realloc(void *p, size_t size)
{
    return must_fail() ? NULL : realloc(p, size == 0 ? 1 : size);
}

void *mem_realloc_array(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return mem_realloc(p, bytes);
}

void *mem_dup(const void *p, size_t size)
{
    void *copy = mem_alloc(size);
    if (copy != NULL && size > 0)
        memcpy(copy, p, size);
    return copy;
}

void mem_free(void *p)
{
    free(p);
}

void mem_account_init(struct mem_account *a, struct mem_account *parent, const char *name,
                      uint64_t limit)
{
    a->parent = parent;
    a->name = name;
    a->limit = limit;
    atomic_init(&a->used, 0);
    atomic_init(&a->peak, 0);
}

static bool charge_one(struct mem_account *a, uint64_t bytes)
{
    uint64_t now = atomic_fetch_add_explicit(&a->used, bytes, memory_order_relaxed) + bytes;
    if (a->limit != 0 && now > a->limit) {
        atomic_fetch_sub_explicit(&a->used, bytes, memory_order_relaxed);
        return false;
    }
    uint64_t peak = atomic_load_explicit(&a->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak(&a->peak, &peak, now)) {
    }
    return true;
}

int mem_charge(struct mem_account *a, uint64_t bytes)
{
    for (struct mem_account *p = a; p != NULL; p = p->parent) {
        if (charge_one(p, bytes))
            continue;
        for (struct mem_account *q = a; q != p; q = q->parent)
            atomic_fetch_sub_explicit(&q->used, bytes, memory_order_relaxed);
        return ERR_LIMIT;
    }
    return 0;
}

void mem_uncharge(struct mem_account *a, uint64_t bytes)
{
    for (; a != NULL; a = a->parent) {
        uint64_t before = atomic_fetch_sub_explicit(&a->used, bytes, memory_order_relaxed);
        ASSERT(before >= bytes);
    }
}

enum { ARENA_ALIGN = 16, ARENA_FIRST = 16 * 1024, ARENA_BLOCK_MAX = 1024 * 1024 };

struct block {
    _Alignas(16) struct block *next; /* older block */
    size_t size, used;               /* of the bytes behind this header */
};

struct arena {
    struct block *top;
    struct mem_account *account;
    size_t first, bytes;
};

int arena_init(struct arena **out, size_t block, struct mem_account *account)
{
    struct arena *a = mem_zalloc(sizeof *a);
    if (a == NULL)
        return ERR_NOMEM;
    a->account = account;
    a->first = block == 0 ? (size_t)ARENA_FIRST : block;
    *out = a;
    return 0;
}

static void block_free(struct arena *a, struct block *b)
{
    size_t bytes = sizeof *b + b->size;
    mem_uncharge(a->account, bytes);
    a->bytes -= bytes;
    mem_free(b);
}

static struct block *grow(struct arena *a, size_t need)
{
    size_t size = a->top == NULL ? a->first : a->top->size * 2;
    if (size > ARENA_BLOCK_MAX)
        size = ARENA_BLOCK_MAX;
    if (size < need)
        size = need;
    size_t bytes = sizeof(struct block) + size;
    if (mem_charge(a->account, bytes) != 0)
        return NULL;
    struct block *b = mem_alloc(bytes);
    if (b == NULL) {
        mem_uncharge(a->account, bytes);
        return NULL;
    }
    *b = (struct block){.next = a->top, .size = size};
    a->top = b;
    a->bytes += bytes;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    struct block *b = a->top;
    if (b == NULL || b->size - b->used < size) {
        b = grow(a, size);
        if (b == NULL)
            return NULL;
    }
    void *p = (unsigned char *)(b + 1) + b->used;
    b->used += size;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return arena_zalloc(a, bytes);
}

void *arena_dup(struct arena *a, const void *p, size_t size)
{
    void *copy = arena_alloc(a, size);
    if (copy != NULL && size > 0)
        memcpy(copy, p, size);
    return copy;
}

void arena_reset(struct arena *a)
{
    struct block *keep = NULL;
    struct block *b = a->top;
    while (b != NULL) {
        struct block *next = b->next;
        if (keep == NULL) {
            keep = b;
        } else if (b->size > keep->size) {
            block_free(a, keep);
            keep = b;
        } else {
            block_free(a, b);
        }
        b = next;
    }
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    a->top = keep;
}

size_t arena_bytes(const struct arena *a)
{
    return a->bytes;
}

void arena_free(struct arena **a)
{
    if (*a == NULL)
        return;
    while ((*a)->top != NULL) {
        struct block *b = (*a)->top;
        (*a)->top = b->next;
        block_free(*a, b);
    }
    mem_free(*a);
    *a = NULL;
}
