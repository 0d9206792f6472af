/* tests/lib/pprof_build.h - makes pprof files for tests out of short texts.
 *
 *   struct pprof_build b = {0};
 *   pprof_build_type(&b, "cpu", "nanoseconds");
 *   pprof_build_sample(&b, "main;work", "10", "handler=/x span_id=0102030405060708");
 *   struct str raw = pprof_build_finish(&b);     valid until pprof_build_reset()
 *
 * One function and location per frame name; no memory is an abort: this is for tests. */
#ifndef TEST_PPROF_BUILD_H
#define TEST_PPROF_BUILD_H

#include "base/buf.h"
#include "base/str.h"

struct pprof_build {
    struct buf body;
    struct str names[256];
    uint32_t name_count, function_count;
    uint32_t function_names[256];
    int64_t time_ns, duration_ns, period;
    uint32_t period_type, period_unit;
    uint64_t mapping_flags; /* bit 0: has functions */
    bool no_mapping, sparse_ids, unpacked;
};

/* Index of a string, added when new. */
uint32_t pprof_build_string(struct pprof_build *b, struct str s);

void pprof_build_type(struct pprof_build *b, const char *type, const char *unit);

/* stack: root first, ; between. values: decimal, blank between. labels: k=v, blank between, #
 * in front of the name of a numeric one; NULL for none. */
void pprof_build_sample(struct pprof_build *b, const char *stack, const char *values,
                        const char *labels);

/* The whole file, not compressed. */
struct str pprof_build_finish(struct pprof_build *b);

/* Give the memory back; *b is all-zero again. */
void pprof_build_reset(struct pprof_build *b);

#endif
