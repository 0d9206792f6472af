/* store/head.h - what one generation knows of its log: tenants, partitions, streams, lanes, and an
 * entry per profile that says where its row is. Rows themselves stay in the log.
 *
 * Ids count from 0 in order of appearance in the log. Everything that readers touch grows and
 * never moves. What belongs to a record at or behind a view's position is not to be looked at:
 * entries, covers and aliases carry positions, and stand in the order of the log.
 *
 * Pure. Two kinds of writers, each one at a time by locks of the caller: `define` makes tenants,
 * partitions, streams, sets and lanes; `partition` appends to one partition and its streams.
 * Readers need no lock once they have a tenant.
 * Tests: tests/unit/store/test_replay.c, test_store_model.c. */
#ifndef STORE_HEAD_H
#define STORE_HEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "profile/form.h"
#include "ring/dots.h"
#include "store/part.h"
#include "store/segs.h"
#include "store/wal.h"

struct head;
struct mem_account;

enum { HEAD_BLOCK_ENTRIES = 14 };

/* A profile. */
struct head_entry {
    int64_t time_ns;
    wal_pos pos;      /* of the row's "uv stream" */
    uint32_t length;  /* bytes from there to the row's end */
    uint32_t samples;
    uint32_t lane, seq;
    uint32_t nonce;
    uint64_t totals[]; /* per member */
};

/* Entries in the order of the log; min and max are right once the next block is there. */
struct head_block {
    struct head_block *next;
    int64_t min_ns, max_ns;
    unsigned char entries[];
};

struct head_stream {
    struct head *head;
    struct head_partition *partition;
    uint32_t id;
    uint32_t member_count, pair_count;
    const struct form_member *members;
    const struct form_pair *pairs;
    uint64_t hash;        /* of pairs and members, for tables */
    uint64_t fingerprint; /* of the first member's series */
    struct head_block *first; /* then by `next` */
    struct head_block *last;  /* that entries are added to; writer's, as the next three */
    struct head_block *tail;  /* that was allocated */
    uint32_t capacity, reserved;
    _Atomic uint32_t count;   /* entries, published */
    struct head_stream *older;  /* the same stream in the generation before that has it */
    int64_t newest_ns;          /* of all its profiles, older heads included; writer's */
};

struct head_partition {
    struct head_tenant *tenant;
    uint32_t id;
    struct str service;
    struct part *part;
    struct part_counts logged; /* what records have of `part`; writer's */
    struct segs streams;       /* struct head_stream * */
};

/* The tenant has no more profiles with these dots than the rows before. */
struct head_cover {
    wal_pos pos;
    uint32_t lane;
    struct seqset seqs;
};

/* A repeat, and the dot of the row that counts for it, in this or an older source. */
struct head_alias {
    wal_pos pos;
    int64_t time_ns;
    uint32_t repeat_lane, repeat_seq, row_lane, row_seq;
};

struct head_tenant {
    uint32_t id;
    struct str name;
    struct segs partitions; /* struct head_partition * */
    struct segs lanes;      /* uint32_t: those of its rows and covers */
    struct segs covers;     /* struct head_cover */
    struct segs aliases;    /* struct head_alias */
    uint8_t *lane_seen;     /* bit per lane; writer's */
    uint32_t lane_seen_bits;
};

struct head_lane {
    uint8_t writer[WRITER_SIZE];
    uint32_t set;
    struct lane_name name;
};

/* An empty head; tables and entries are charged to `account` (may be NULL). ERR_NOMEM,
 * ERR_LIMIT. */
int head_init(struct head **out, struct mem_account *account);
void head_free(struct head **h);

/* The log ends there: what stands at or behind it never was. WAL_POS_NONE while it is open. */
#define WAL_POS_NONE UINT64_MAX
void head_set_limit(struct head *h, wal_pos limit);
wal_pos head_limit(const struct head *h);

/* --- define: one writer at a time. Each finds or makes; *made (may be NULL) says which. The
 * strings are copied. ERR_NOMEM, ERR_LIMIT: nothing was made. */
int head_tenant(struct head *h, struct str name, struct head_tenant **out, bool *made);
int head_partition(struct head *h, struct head_tenant *t, struct str service,
                   struct head_partition **out, bool *made);
int head_set(struct head *h, const struct str *instances, uint32_t count, uint32_t *id,
             bool *made);
int head_lane(struct head *h, const uint8_t writer[WRITER_SIZE], uint32_t set, uint32_t *id,
              bool *made);

/* A new stream; the caller knows that there is none like it (it keeps the table). */
int head_add_stream(struct head *h, struct head_partition *p, const struct form_member *members,
                    uint32_t member_count, const struct form_pair *pairs, uint32_t pair_count,
                    struct head_stream **out);

/* The tenant has a row or cover with a dot of that lane. */
int head_use_lane(struct head *h, struct head_tenant *t, uint32_t lane);

/* Append; the seqs are taken. In the order of the log. */
int head_add_cover(struct head *h, struct head_tenant *t, wal_pos pos, uint32_t lane,
                   struct seqset *seqs);
/* Make room for `more` aliases, which head_add_alias() then cannot fail to add. */
int head_reserve_aliases(struct head_tenant *t, uint32_t more);
void head_add_alias(struct head_tenant *t, const struct head_alias *alias);

/* --- partition: one writer at a time. Make room for one more entry than was asked for before;
 * each allows one head_add_entry(), which cannot fail. ERR_NOMEM, ERR_LIMIT. */
int head_reserve_entry(struct head_stream *s);
void head_add_entry(struct head_stream *s, const struct head_entry *e, const uint64_t *totals);

/* The entries that room was made for do not come after all; the room stays. */
void head_unreserve(struct head_stream *s);

/* Equal members and pairs; and the hash that goes with it. */
bool head_stream_is(const struct head_stream *s, uint64_t hash, const struct form_member *members,
                    uint32_t member_count, const struct form_pair *pairs, uint32_t pair_count);
uint64_t head_stream_hash(const struct form_member *members, uint32_t member_count,
                          const struct form_pair *pairs, uint32_t pair_count);

/* --- anyone, below published counts. */
struct head_tenant *head_find_tenant(struct head *h, struct str name); /* under the define lock */
uint32_t head_tenant_count(const struct head *h);
struct head_tenant *head_tenant_at(const struct head *h, uint32_t id);
uint32_t head_partition_count(const struct head *h);
struct head_partition *head_partition_at(const struct head *h, uint32_t id);
uint32_t head_stream_count(const struct head *h);
struct head_stream *head_stream_at(const struct head *h, uint32_t id);
uint32_t head_set_count(const struct head *h);
uint32_t head_lane_count(const struct head *h);
const struct head_lane *head_lane_at(const struct head *h, uint32_t id);
const struct str *head_set_at(const struct head *h, uint32_t id, uint32_t *count);

static inline struct head_partition *tenant_partition(const struct head_tenant *t, uint32_t i)
{
    return *(struct head_partition **)segs_at(&t->partitions, i);
}

static inline struct head_stream *partition_stream(const struct head_partition *p, uint32_t i)
{
    return *(struct head_stream **)segs_at(&p->streams, i);
}

/* Walks the entries of a stream in the order of the log, up to a position:
 * for (struct head_walk w = head_walk(s, pos, from, to); (e = head_next(&w)) != NULL;) */
struct head_walk {
    const struct head_block *block;
    uint32_t at, left, stride;
    wal_pos end;
    int64_t from_ns, to_ns;
};

/* Entries before `end` whose time is in from_ns..to_ns, both included. */
struct head_walk head_walk(const struct head_stream *s, wal_pos end, int64_t from_ns,
                           int64_t to_ns);
const struct head_entry *head_next(struct head_walk *w);

/* Times of the oldest and newest entry before `end` of all a tenant's streams; false: none. */
bool head_times(const struct head_tenant *t, wal_pos end, int64_t *oldest_ns, int64_t *newest_ns);

#endif
