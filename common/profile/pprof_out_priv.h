/* profile/pprof_out_priv.h - the builder's tables, for the files that write, merge and cut. */
#ifndef PROFILE_PPROF_OUT_PRIV_H
#define PROFILE_PPROF_OUT_PRIV_H

#include "profile/pprof_out.h"

struct arena;

struct entry {
    struct str key; /* in the arena, aligned to 16 */
    uint64_t hash;  /* of the content */
    uint64_t value; /* of a stack */
};

/* Ids are from 1 on: entry i has id i + 1. */
struct table {
    struct entry *entries;
    uint32_t count, cap;
    uint32_t *slots; /* id, 0: empty; twice cap */
    uint32_t mask;
};

/* Keys: a string's bytes; struct pprof_mapping; struct pprof_function; a location's head and
 * its lines; a stack's location ids (u32), leaf first. */
struct location_key {
    uint64_t address;
    uint32_t mapping;
    uint32_t folded;
};

struct pprof_out {
    struct mem_account *account;
    uint64_t charged;
    struct arena *bytes;
    struct table strings, mappings, functions, locations, stacks;
    void *scratch;
    uint32_t scratch_cap;
};

#endif
