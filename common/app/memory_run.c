/* app/memory_run.c - mallopt and malloc_trim. */
#include "app/memory_run.h"

#include <malloc.h>

enum {
    ARENAS = 2,
    KEPT_BYTES = 2 << 20,     /* free at the top of an arena before it shrinks */
    STEP_BYTES = 128 << 10,   /* an arena grows by this much more than it must */
    MAPPED_BYTES = 512 << 10, /* from here on memory is mapped, and unmapped when it is freed */
    REST = 10,                /* units of work between two looks of a process at rest */
};

void memory_tune(void)
{
    (void)mallopt(M_ARENA_MAX, ARENAS);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    (void)mallopt(M_TOP_PAD, STEP_BYTES);
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
}

bool memory_idle_look(struct memory_idle *m, uint64_t work, bool busy)
{
    bool idle = !busy && work - m->work <= REST;
    m->work = work;
    if (!idle) {
        m->given = false;
        return false;
    }
    if (m->given)
        return false;
    m->given = true;
    (void)malloc_trim(0);
    return true;
}
