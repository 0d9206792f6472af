/* store/head_priv.h - the inside of a head, for head.c (making and defining) and head_entries.c
 * (entries and reading). */
#ifndef STORE_HEAD_PRIV_H
#define STORE_HEAD_PRIV_H

#include "store/head.h"

struct set {
    struct str *instances;
    uint32_t count;
};

struct head {
    struct mem_account *account;
    struct arena *strings; /* names; under the define lock */
    struct map *by_name;   /* "t" name, "p" tenant id + service, "s" set, "l" lane */
    struct segs tenants, partitions, streams, sets, lanes; /* pointers, but sets and lanes */
    _Atomic wal_pos limit;
};

/* Bytes of an entry of the stream, and of a block of them. */
static inline size_t head_stride(const struct head_stream *s)
{
    return sizeof(struct head_entry) + (size_t)s->member_count * sizeof(uint64_t);
}

static inline size_t head_block_size(const struct head_stream *s)
{
    return sizeof(struct head_block) + head_stride(s) * HEAD_BLOCK_ENTRIES;
}

#endif
