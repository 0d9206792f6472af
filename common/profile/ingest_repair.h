/* profile/ingest_repair.h - completes stacks of Go profiles that the runtime cut.
 *
 * Pure; any thread. Tests: tests/unit/profile/test_ingest_repair.c; fuzz:
 * tests/fuzz/fuzz_ingest.c. */
#ifndef PROFILE_INGEST_REPAIR_H
#define PROFILE_INGEST_REPAIR_H

#include <stdint.h>

#include "base/err.h"

struct arena;
struct pprof;

/* Among the `count` samples whose indexes are given (without dangling frames), complete stacks
 * that were cut at the runtime's limit of depth, at the root, from others among them. Values
 * and leaves stay as they are, so functions can only gain in their totals; equal profiles are
 * repaired equally. Replaces p->frames and the rows' places in it. ERR_NOMEM with *p as it
 * was. */
int ingest_repair(struct pprof *p, const uint32_t *samples, uint32_t count, struct arena *a);

#endif
