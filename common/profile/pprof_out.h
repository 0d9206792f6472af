/* profile/pprof_out.h - puts a google.v1.Profile together out of stacks, and merges such
 * profiles.
 *
 * One sample type, as SelectMergeProfile answers. Symbols are equal by content: stacks of
 * several ingesters that look the same become one sample. Emission order does not depend on the
 * order in which things were added (samples by falling value, then by a hash of the stack's
 * content).
 *
 * Pure; one owner thread. Tests: tests/unit/profile/test_pprof_out.c;
 * fuzz: tests/fuzz/fuzz_pprof_out.c. */
#ifndef PROFILE_PPROF_OUT_H
#define PROFILE_PPROF_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct mem_account;
struct pprof_out;

/* Strings, mappings, functions, locations have indexes of this builder from 1 on; string 0 is
 * "", mapping 0 is none. */
struct pprof_mapping {
    uint64_t start, limit, offset;
    uint32_t file, build_id; /* strings */
    bool has_functions, has_filenames, has_line_numbers, has_inline_frames;
};

struct pprof_function {
    uint32_t name, system_name, file; /* strings */
    int64_t start_line;
};

struct pprof_line {
    uint32_t function;
    int64_t line;
};

/* What the answer says beside its samples. */
struct pprof_head {
    struct str type, unit, period_type, period_unit;
    int64_t time_ns, duration_ns, period;
};

/* An empty builder, its memory charged to `account` (may be NULL). ERR_NOMEM, ERR_LIMIT. */
int pprof_out_init(struct pprof_out **out, struct mem_account *account);
void pprof_out_free(struct pprof_out **p);

/* Each gives the index of the new or equal entry. ERR_NOMEM, ERR_LIMIT. Indexes inside must be
 * ones that were given out. */
int pprof_out_string(struct pprof_out *p, struct str s, uint32_t *id);
int pprof_out_mapping(struct pprof_out *p, const struct pprof_mapping *m, uint32_t *id);
int pprof_out_function(struct pprof_out *p, const struct pprof_function *f, uint32_t *id);

/* Lines innermost first, none for an address without symbols. */
int pprof_out_location(struct pprof_out *p, uint32_t mapping, uint64_t address, bool folded,
                       const struct pprof_line *lines, size_t count, uint32_t *id);

/* Add `value` to the stack, leaf first. A sum stops at 2^63 - 1. ERR_NOMEM, ERR_LIMIT. */
int pprof_out_sample(struct pprof_out *p, const uint32_t *locations, size_t count,
                     uint64_t value);

/* Add all stacks of a google.v1.Profile with one sample type (hostile bytes, not compressed; no
 * bytes are an empty profile). Labels of samples are ignored. ERR_PARSE, ERR_LIMIT, ERR_NOMEM:
 * p is then between old and new. */
int pprof_out_merge(struct pprof_out *p, struct str bytes, struct err *err);

/* Cut to max_nodes (0: not at all) as trees are, the stacks being a tree of locations: a stack
 * is cut before its first location whose total is below the max_nodes-th largest, and gets a
 * location of a function "other" instead. ERR_NOMEM, ERR_LIMIT: p may then only be freed. */
int pprof_out_cut(struct pprof_out *p, uint64_t max_nodes);

/* Number of distinct stacks with a value. */
size_t pprof_out_count(const struct pprof_out *p);

/* Append the profile: only symbols that a sample reaches. With no sample nothing is appended:
 * the empty profile. ERR_NOMEM, or the buffer's error. */
int pprof_out_emit(struct pprof_out *p, const struct pprof_head *head, struct buf *out);

/* Period of the peer's answer by the profile type's name: 1e9 for process_cpu, 524288 for
 * memory, else 1. */
int64_t pprof_out_period(struct str type_name);

#endif
