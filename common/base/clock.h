/* base/clock.h - the only place that reads clocks and the kernel's randomness. For drivers
 * (*_uv.c, *_run.c), services and tools; `make tidy` keeps it out of cores. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/* Milliseconds since an arbitrary start; never goes back. */
mono_ms clock_mono_ms(void);

/* Nanoseconds of the same clock. */
int64_t clock_mono_ns(void);

/* Milliseconds since 1970 UTC. */
wall_ms clock_wall_ms(void);

/* Nanoseconds since 1970 UTC. */
int64_t clock_wall_ns(void);

/* Fill `size` bytes at `out` with the kernel's randomness. The process ends if there is none:
 * nothing that asks could go on safely. */
void clock_entropy(void *out, size_t size);

#endif
