/* app/memory_run.h - how the C library's heap is to behave in a process of ours.
 *
 * With its defaults every thread gets an arena of its own, and the top of the heap goes back to the
 * kernel whenever 128 KiB are free there: the body of each request is then paged in anew, which
 * is more than half of what taking 39 kB costs. Instead some memory is kept between requests, and
 * given back when a process has had nothing to do for a while.
 * Tests: tests/unit/app/test_memory.c; bench: tests/bench/bench_http.c. */
#ifndef APP_MEMORY_RUN_H
#define APP_MEMORY_RUN_H

#include <stdbool.h>
#include <stdint.h>

/* Set the heap up. Call first in main(), before there are threads. */
void memory_tune(void);

/* Decides when to give memory back. All-zero at first. */
struct memory_idle {
    uint64_t work; /* at the last look */
    bool given;
};

/* Look now: `work` is any number that grows with what the process does, busy that it is at it
 * right now. Gives free memory back to the kernel at the first look with next to no work since the
 * one before (probes and scrapes do not count); true when it did. */
bool memory_idle_look(struct memory_idle *m, uint64_t work, bool busy);

#endif
