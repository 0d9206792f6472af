/* store/segs.h - an array that grows and never moves, so that readers need no lock.
 *
 * Segments double in size: segment k holds SEGS_BASE << k items. One writer appends and then
 * publishes the count; a reader that loaded the count may read every item below it for as long
 * as the array lives. Tests: tests/unit/store/test_part.c. */
#ifndef STORE_SEGS_H
#define STORE_SEGS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct mem_account;

enum { SEGS_BASE_BITS = 6, SEGS_BASE = 1 << SEGS_BASE_BITS, SEGS_MAX = 25 };

/* All-zero but for `item` and `account` is an empty array. */
struct segs {
    size_t item;                 /* bytes of one */
    struct mem_account *account; /* charged per segment; may be NULL */
    uint32_t count;              /* writer's */
    uint32_t room;               /* items that the segments hold; writer's */
    _Atomic uint32_t published;  /* readers' */
    unsigned char *seg[SEGS_MAX];
};

/* Item i, which must be below a count that the caller may see. */
static inline void *segs_at(const struct segs *s, uint32_t i)
{
    uint32_t j = i + SEGS_BASE;
    unsigned k = 31u - (unsigned)__builtin_clz(j);
    return s->seg[k - SEGS_BASE_BITS] + (size_t)(j - (1u << k)) * s->item;
}

/* Items from i on that lie side by side in memory, at most up to `end`. */
static inline uint32_t segs_run(uint32_t i, uint32_t end)
{
    uint32_t j = i + SEGS_BASE;
    uint64_t next = ((uint64_t)2 << (31u - (unsigned)__builtin_clz(j))) - SEGS_BASE;
    return (uint32_t)((next < end ? next : end) - i);
}

/* Number of items for a reader. */
static inline uint32_t segs_count(const struct segs *s)
{
    return atomic_load_explicit(&s->published, memory_order_acquire);
}

/* Make room for `more` items behind `count`. ERR_NOMEM, ERR_LIMIT: nothing is lost. */
int segs_reserve(struct segs *s, uint32_t more);

/* The next item, whose room was reserved; the caller fills it, then publishes. */
void *segs_push(struct segs *s);

/* Show all items to readers. */
static inline void segs_publish(struct segs *s)
{
    atomic_store_explicit(&s->published, s->count, memory_order_release);
}

/* Give the memory back. */
void segs_reset(struct segs *s);

#endif
