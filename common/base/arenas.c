/* base/arenas.c - slots of arenas, taken and filled with one atomic exchange each. */
#include "base/arenas.h"

void arenas_init(struct arenas *s, size_t block, size_t keep_max, struct mem_account *account)
{
    s->block = block;
    s->keep_max = keep_max;
    s->account = account;
    for (int i = 0; i < ARENAS_KEPT; i++)
        atomic_init(&s->kept[i], NULL);
}

/* The first slots are tried first, so that the last one given is most often the next one taken. */
int arenas_take(struct arenas *s, struct arena **out)
{
    for (int i = 0; i < ARENAS_KEPT; i++) {
        if (atomic_load_explicit(&s->kept[i], memory_order_relaxed) == NULL)
            continue;
        *out = atomic_exchange_explicit(&s->kept[i], NULL, memory_order_acquire);
        if (*out != NULL)
            return 0;
    }
    return arena_init(out, s->block, s->account);
}

void arenas_give(struct arenas *s, struct arena **a)
{
    if (*a == NULL)
        return;
    arena_reset(*a);
    for (int i = 0; i < ARENAS_KEPT && arena_bytes(*a) <= s->keep_max; i++) {
        struct arena *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&s->kept[i], &none, *a, memory_order_release,
                                                    memory_order_relaxed)) {
            *a = NULL;
            return;
        }
    }
    arena_free(a);
}

void arenas_reset(struct arenas *s)
{
    for (int i = 0; i < ARENAS_KEPT; i++) {
        struct arena *a = atomic_exchange(&s->kept[i], NULL);
        arena_free(&a);
    }
}
