/* store/replay.h - builds a head from the records of a generation's log, and judges how the log
 * ends: cleanly, with a torn tail, or with damage.
 *
 * Rows are not decoded but for their totals. Symbols are loaded without the means to intern more:
 * nothing is ever appended to a generation that was replayed.
 * Pure but for reading mapped bytes. Tests: tests/unit/store/test_replay.c; fuzz: fuzz_log.c. */
#ifndef STORE_REPLAY_H
#define STORE_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "ring/dots.h"
#include "store/head.h"
#include "store/wal.h"

/* One segment file, in order; all numbers from 0 on. */
struct replay_segment {
    const uint8_t *base;
    uint64_t size;
};

/* A generation that a fault ended, as a newer one's log says. */
struct replay_ended {
    uint64_t generation;
    wal_pos pos;
};

enum replay_end {
    REPLAY_CLEAN,  /* zeros or the end of the file after the last record */
    REPLAY_TORN,   /* what is behind `end` was never acknowledged */
    REPLAY_DAMAGE, /* what is behind `end` was, and is lost */
};

struct replay {
    struct head *head;       /* the caller's, empty */
    struct vector *rows;     /* the caller's, empty: the dots of all rows; lane i is the head's */
    uint64_t generation;
    wal_pos limit;           /* stop here: ENDED; WAL_POS_NONE without */

    /* The result. */
    enum replay_end verdict;
    wal_pos end;             /* of the last good record */
    uint32_t used_segments;  /* segments with a header worth keeping: 0 .. used - 1 */
    uint64_t records, profiles, samples, bytes, torn_bytes;
    bool sealed;             /* there was a SEAL */
    bool lax;                /* WAL_LAX in the header of a segment */
    struct replay_ended *ended;
    size_t ended_count;
    const char *why;         /* of damage; static */
};

/* Replay `count` segments. 0 with the result; ERR_VERSION: a record or header of a newer version,
 * err names it; ERR_NOMEM, ERR_LIMIT. */
int replay_run(struct replay *r, const struct replay_segment *segments, uint32_t count,
               struct err *err);

/* Apply the body of one record at `pos`. 0, ERR_CORRUPT, ERR_VERSION, ERR_NOMEM, ERR_LIMIT; after
 * a failure entries of the record may be there, but none of its dots. */
int replay_record(struct replay *r, struct str body, wal_pos pos);

/* Give back `ended`. */
void replay_reset(struct replay *r);

#endif
