/* store/row.h - one profile as bytes in the log: written once, read in place by every query.
 *
 *   entry  := uv stream, uv lane, uv seq, u64 time_ns, u32 nonce, uv duration_ns, uv period, row
 *   row    := uv n << 1 | has spans, uv id_bytes, n x uv stack delta, members x column, [spans]
 *   column := u8 0, u24 byte length, n x uv value | u8 1, uv factor (of member 0's values)
 *   spans  := uv d, d x (u64 span_id, 16 B trace_id), n x uv index + 1 (0: none)
 * Stacks are node numbers of the partition, rising; equal ones only with different spans.
 *
 * Pure; any thread. Bytes that are read are taken as hostile: what does not fit is ERR_CORRUPT.
 * Tests: tests/unit/store/test_row.c. */
#ifndef STORE_ROW_H
#define STORE_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "profile/form.h"

struct arena;

/* What row_put() made. */
struct row_put {
    uint32_t samples;
    uint64_t totals[FORM_MEMBERS_MAX];
};

/* Append the entry of a checked profile; nodes[i] is the partition's number of the form's node i,
 * scratch memory comes from `a`. Stacks that became equal are added up. ERR_LIMIT: a column over
 * 16 MiB, or a total over 2^63 - 1; ERR_NOMEM, or out's sticky error. */
int row_put(const struct form_profile *p, const uint32_t *nodes, uint32_t stream, uint32_t lane,
            struct arena *a, struct buf *out, struct row_put *made);

struct row_column {
    bool proportional;
    uint64_t factor;
    struct str bytes; /* of member 0 when proportional */
};

/* An entry that was read; borrows its bytes. */
struct row {
    uint32_t stream, lane, seq, nonce;
    int64_t time_ns;
    uint64_t duration_ns, period;
    uint32_t samples;
    struct str ids;
    struct row_column columns[FORM_MEMBERS_MAX];
    uint32_t span_count;
    struct str spans;        /* span_count x 24 bytes */
    struct str span_indexes; /* a uv per sample; data NULL without spans */
};

/* Read the part of an entry before its row, from the front of *in. ERR_CORRUPT. */
int row_read_head(struct str *in, struct row *out);

/* Read the row behind it, of a stream with `members`. ERR_CORRUPT. */
int row_read_body(struct str *in, uint32_t members, struct row *out);

/* Both, for an entry that fills `bytes`. ERR_CORRUPT. */
int row_open(struct str bytes, uint32_t members, struct row *out);

/* Sum of a member's values. ERR_CORRUPT: bad varints, or more than 2^63 - 1. */
int row_total(const struct row *r, uint32_t member, uint64_t *out);

/* Add a member's values to sums[stack]. ERR_CORRUPT: a stack is not below `nodes`; some may have
 * been added. */
int row_add(const struct row *r, uint32_t member, uint64_t *sums, uint32_t nodes);

/* Calls each(arg, stack, span id or 0, value) per sample. ERR_CORRUPT, or what ended the walk. */
typedef int (*row_sample_fn)(void *arg, uint32_t stack, uint64_t span, uint64_t value);
int row_each(const struct row *r, uint32_t member, row_sample_fn each, void *arg);

#endif
