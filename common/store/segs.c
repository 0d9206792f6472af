/* Arrays of doubling segments. */
#include "store/segs.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

int segs_reserve(struct segs *s, uint32_t more)
{
    if (more > UINT32_MAX / 2 - s->count)
        return ERR_LIMIT;
    while (s->room < s->count + more) {
        unsigned k = 31u - (unsigned)__builtin_clz(s->room + SEGS_BASE) - SEGS_BASE_BITS;
        if (k >= SEGS_MAX)
            return ERR_LIMIT;
        size_t bytes = s->item * ((size_t)SEGS_BASE << k);
        int rc = mem_charge(s->account, bytes);
        if (rc != 0)
            return rc;
        s->seg[k] = mem_alloc(bytes);
        if (s->seg[k] == NULL) {
            mem_uncharge(s->account, bytes);
            return ERR_NOMEM;
        }
        s->room += (uint32_t)SEGS_BASE << k;
    }
    return 0;
}

void *segs_push(struct segs *s)
{
    ASSERT(s->count < s->room);
    return segs_at(s, s->count++);
}

void segs_reset(struct segs *s)
{
    for (unsigned k = 0; k < SEGS_MAX && s->seg[k] != NULL; k++) {
        mem_free(s->seg[k]);
        mem_uncharge(s->account, s->item * ((size_t)SEGS_BASE << k));
        s->seg[k] = NULL;
    }
    s->count = s->room = 0;
    atomic_store_explicit(&s->published, 0, memory_order_relaxed);
}
