/* ring/dots_priv.h - what vectors and aliases share: a table of lane names.
 *
 * Only for common/ring. Pure. */
#ifndef RING_DOTS_PRIV_H
#define RING_DOTS_PRIV_H

#include "ring/dots.h"

/* Open addressing: index + 1 of an entry, 0 = free. `size` is a power of two, or 0. */
struct dots_slots {
    uint32_t *at;
    uint32_t size;
};

struct dots_set {
    struct str *ids; /* owned, their bytes behind them */
    uint32_t count;
    uint64_t hash;
};

struct dots_lane {
    uint8_t writer[WRITER_SIZE];
    uint32_t set; /* index into sets */
    uint64_t hash;
};

/* Interned sets and lanes. All-zero is empty. Lanes are never removed. */
struct dots_table {
    struct dots_set *sets;
    struct dots_lane *lanes;
    uint32_t set_count, set_cap;
    uint32_t count, cap;
    struct dots_slots set_slots, lane_slots;
};

/* Index of a lane, added if it is not there. ERR_NOMEM, ERR_INVAL with nothing added. */
int dots_table_add(struct dots_table *t, struct lane_name name, uint32_t *lane);

/* Index of a set, added if it is not there. ERR_NOMEM, ERR_INVAL with nothing added. */
int dots_table_add_set(struct dots_table *t, struct lane_name name, uint32_t *set);

/* Index of the lane of a writer and a set of the table, added if it is not there. ERR_NOMEM. */
int dots_table_add_lane(struct dots_table *t, const uint8_t *writer, uint32_t set,
                        uint32_t *lane);

/* Index of the lane that is lane i of `other`, or false. */
bool dots_table_find_of(const struct dots_table *t, const struct dots_table *other, uint32_t i,
                        uint32_t *lane);

/* Index of a lane, or false. */
bool dots_table_find(const struct dots_table *t, struct lane_name name, uint32_t *lane);

/* Name of lane i < count; borrowed until the table changes. */
struct lane_name dots_table_name(const struct dots_table *t, uint32_t i);

/* Release everything; all-zero again. */
void dots_table_reset(struct dots_table *t);

struct vector {
    struct dots_table names;
    struct seqset *seqs; /* of lane i */
    uint32_t cap;
};

/* Lane of a writer and a set of v's table, added if it is not there. ERR_NOMEM. */
int vector_lane_of_set(struct vector *v, const uint8_t *writer, uint32_t set, uint32_t *lane);

/* Read the instance ids of a repeated string field `number`; other fields are skipped. *ids is
 * DOTS_SET_MAX long. ERR_PARSE, ERR_LIMIT. */
int dots_read_ids(struct str bytes, uint32_t number, struct str *ids, uint32_t *count,
                  struct err *err);

#endif
