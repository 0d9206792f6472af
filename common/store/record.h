/* store/record.h - the bodies of log records: put together here, applied by replay.c.
 *
 *   1 DEFINE  u8 what, uv id, payload
 *             what 1 tenant(str name)  2 partition(uv tenant, str service)
 *                  3 stream(uv partition, uv members, members x 5 str,
 *                           uv pairs, pairs x (str, str))
 *                  4 set(uv n, n x str instance)  5 lane(16 B writer, uv set)
 *   2 PUSH    uv partition, uv raw, [u8 codec 0|1 lz4, uv stored, bytes] iff raw > 0: new symbols,
 *             uv rows, rows x entry (row.h)
 *   3 SEAL    u64 records, u64 profiles, uv partitions, per partition uv strings, functions,
 *             locations, nodes             the last record of a generation
 *   4 ENDED   u64 generation, u64 position a fault ended that generation there
 *   5 COVER   uv tenant, uv lanes, lanes x (uv lane, seqs)
 *   6 ALIAS   uv n, n x (uv tenant, u64 time_ns, uv lane, uv seq, uv lane, uv seq)
 * Failures are the buffer's sticky error. Pure. Tests: tests/unit/store/test_replay.c. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdint.h>

#include "base/buf.h"
#include "ring/dots.h"
#include "store/head.h"

enum record_kind {
    RECORD_DEFINE = 1,
    RECORD_PUSH = 2,
    RECORD_SEAL = 3,
    RECORD_ENDED = 4,
    RECORD_COVER = 5,
    RECORD_ALIAS = 6,
};

enum record_what {
    DEFINE_TENANT = 1,
    DEFINE_PARTITION = 2,
    DEFINE_STREAM = 3,
    DEFINE_SET = 4,
    DEFINE_LANE = 5,
};

/* New symbols above this many bytes are packed by lz4. */
enum { RECORD_PACK_FROM = 256, RECORD_SYMBOLS_MAX = 8 << 20 };

/* DEFINE of each kind of thing. */
void record_tenant(const struct head_tenant *t, struct buf *out);
void record_partition(const struct head_partition *p, struct buf *out);
void record_stream(const struct head_stream *s, struct buf *out);
void record_set(const struct head *h, uint32_t id, struct buf *out);
void record_lane(const struct head *h, uint32_t id, struct buf *out);

/* PUSH up to the count of rows; the entries follow. `symbols` may be empty. */
void record_push(uint32_t partition, struct str symbols, uint32_t rows, struct buf *out);

/* SEAL of a head. */
void record_seal(const struct head *h, uint64_t records, uint64_t profiles, struct buf *out);
void record_ended(uint64_t generation, wal_pos pos, struct buf *out);

/* COVER up to the count of lanes; then one record_cover_lane() each. */
void record_cover(uint32_t tenant, uint32_t lanes, struct buf *out);
void record_cover_lane(uint32_t lane, const struct seqset *seqs, struct buf *out);

/* ALIAS up to the count; then one record_alias_entry() each. */
void record_alias(uint32_t n, struct buf *out);
void record_alias_entry(uint32_t tenant, const struct head_alias *a, struct buf *out);

#endif
