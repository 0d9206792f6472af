/* ring/dots.h - which profiles: sets of dots, as sorted intervals per lane.
 *
 * A writer (one life of a distributor, 16 random bytes) numbers the profiles of each replica set
 * 1, 2, 3 ...; (writer, set) is a lane, (lane, seq) a dot: the identity of one profile on every
 * replica, for ever (docs/exact-reads.md). A vector maps lanes to seqs.
 *
 * Three parts: seqset (numbers of one lane, seqset.c), vector (lanes -> seqsets, dots.c, as a
 * message dots_msg.c), aliases (which dot repeats which, aliases.c).
 *
 * Pure; value-like; one owner thread, or shared read-only. Linear in intervals. Lanes are
 * compared by content (writer bytes, ordered list of instance ids), never by index.
 * Tests: tests/unit/ring/test_dots.c; fuzz: tests/fuzz/fuzz_vector.c. */
#ifndef RING_DOTS_H
#define RING_DOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    WRITER_SIZE = 16,
    DOTS_SET_MAX = 256, /* instance ids in one set */
    DOTS_ID_MAX = 1024, /* bytes of one instance id */
    VECTOR_NEED_MAX = 16,
};

/* Sorted, disjoint, not touching intervals of u32 >= 1. All-zero is the empty set. */
struct seq_run {
    uint32_t first, last; /* both included */
};

struct seqset {
    struct seq_run *runs;
    uint32_t count, cap;
};

/* Add first..last (1 <= first <= last). At the end it is O(1). ERR_NOMEM, unchanged. */
int seqset_add(struct seqset *s, uint32_t first, uint32_t last);

/* One number is in s. */
bool seqset_has(const struct seqset *s, uint32_t seq);

/* Some number of first..last is in s. */
bool seqset_meets(const struct seqset *s, uint32_t first, uint32_t last);

/* All numbers of first..last are in s. */
bool seqset_has_all(const struct seqset *s, uint32_t first, uint32_t last);

/* How many numbers are in s. */
uint64_t seqset_size(const struct seqset *s);

/* s |= from; s -= from; s &= from. ERR_NOMEM, s unchanged. */
int seqset_union(struct seqset *s, const struct seqset *from);
int seqset_minus(struct seqset *s, const struct seqset *from);
int seqset_and(struct seqset *s, const struct seqset *from);

/* *out (all-zero) becomes a copy. ERR_NOMEM. */
int seqset_copy(struct seqset *out, const struct seqset *from);

/* `uv n, n x (uv first - previous last - 1, uv last - first)`: the log's and the wire's form. */
void seqset_encode(const struct seqset *s, struct buf *out);

/* Read one from the front of *in and move *in behind it; *out must be all-zero. At most runs_max
 * intervals. ERR_PARSE (not canonical, out of range, truncated), ERR_LIMIT, ERR_NOMEM. */
int seqset_decode(struct seqset *out, struct str *in, uint32_t runs_max);

/* Give the memory back; empty again. */
void seqset_reset(struct seqset *s);

/* What a lane is called. Borrowed. */
struct lane_name {
    const uint8_t *writer; /* WRITER_SIZE bytes */
    const struct str *set; /* instance ids in the order of the ring look-up */
    uint32_t set_count;    /* >= 1 */
};

/* Order of sets (id by id, then the shorter first) and of lanes (writer bytes, then set). */
int lane_set_cmp(struct lane_name a, struct lane_name b);
int lane_name_cmp(struct lane_name a, struct lane_name b);

/* Lanes -> seqs. Lanes iterate in the order in which they were added. */
struct vector;

/* An empty vector. ERR_NOMEM. */
int vector_init(struct vector **out);
int vector_copy(struct vector **out, const struct vector *from);
void vector_free(struct vector **v);

/* Index of a lane, added (empty) if it is not there; the name is copied. ERR_NOMEM, ERR_INVAL
 * (set_count is 0 or above DOTS_SET_MAX, an id is empty or longer than DOTS_ID_MAX). */
int vector_lane(struct vector *v, struct lane_name name, uint32_t *lane);

/* Index of a lane, or false. */
bool vector_find(const struct vector *v, struct lane_name name, uint32_t *lane);

/* Number of lanes, empty ones included. */
uint32_t vector_count(const struct vector *v);

/* Name and seqs of lane i < vector_count(); borrowed until the vector changes. */
struct lane_name vector_name(const struct vector *v, uint32_t i);
const struct seqset *vector_seqs(const struct vector *v, uint32_t i);

/* Add dots to lane i. ERR_NOMEM. */
int vector_add(struct vector *v, uint32_t i, uint32_t first, uint32_t last);

/* One dot is in v. */
bool vector_has(const struct vector *v, struct lane_name name, uint32_t seq);

/* No dot in it. */
bool vector_is_empty(const struct vector *v);

/* Every dot of `part` is in v. */
bool vector_covers(const struct vector *v, const struct vector *part);

/* Some dot is in both. */
bool vector_meets(const struct vector *v, const struct vector *other);

/* Remove all dots; names and memory stay. */
void vector_clear(struct vector *v);

/* Dots, and intervals, in all. */
uint64_t vector_size(const struct vector *v);
uint64_t vector_runs(const struct vector *v);

/* v |= from; v -= from; v &= from. On ERR_NOMEM v is some vector between old and new. */
int vector_union(struct vector *v, const struct vector *from);
int vector_minus(struct vector *v, const struct vector *from);
int vector_and(struct vector *v, const struct vector *from);

/* *out: the dots that are in at least `need` (1 .. VECTOR_NEED_MAX) of count vectors. ERR_NOMEM
 * with *out untouched. */
int vector_in_at_least(const struct vector *const *v, uint32_t count, uint32_t need,
                       struct vector **out);

struct dots_limits {
    uint64_t runs_max;  /* intervals [1 M] */
    size_t bytes_max;   /* of the message [4 MiB] */
};

struct aliases;

/* Make v's message fit into bytes_max: leave out the largest lanes, and with them the repeats of
 * their rows (repeats may be NULL), so that no dot stays whose row is not there. *cut says whether
 * anything was left out. ERR_NOMEM: v is some vector between old and new. */
int vector_cut(struct vector *v, const struct aliases *repeats, size_t bytes_max, bool *cut);

/* Append the protobuf message emberring.ingester.v1.Vector with `truncated` in it; tables and
 * lanes sorted by content, empty lanes left out, so that equal vectors have equal bytes. Failure
 * is the buffer's sticky error. */
void vector_encode(const struct vector *v, bool truncated, struct buf *out);

/* Hostile bytes. truncated and limits may be NULL. ERR_PARSE, ERR_LIMIT, ERR_NOMEM with *out
 * untouched. */
int vector_decode(struct vector **out, bool *truncated, struct str bytes,
                  const struct dots_limits *limits, struct err *err);

/* Repeats (A9): the dot of the repeat, and that of the row which counts for it. */
struct alias {
    uint32_t repeat_lane, repeat_seq; /* lanes are indexes into the aliases' own lane table */
    uint32_t row_lane, row_seq;
};

/* struct aliases is a list of these with a lane table of its own. An empty one: ERR_NOMEM. */
int aliases_init(struct aliases **out);
void aliases_free(struct aliases **a);

/* Append one; lanes are named by content. Duplicates are dropped by aliases_sort(). ERR_NOMEM,
 * ERR_INVAL (a name that vector_lane() refuses, a seq of 0). */
int aliases_add(struct aliases *a, struct lane_name repeat, uint32_t repeat_seq,
                struct lane_name row, uint32_t row_seq);

/* Append all of `from`. ERR_NOMEM: part of it may be there. */
int aliases_union(struct aliases *a, const struct aliases *from);

/* Sort by (repeat lane, repeat seq, row lane, row seq), lanes by content; drop duplicates. */
void aliases_sort(struct aliases *a);

/* How many; number i < aliases_count(); what a lane of theirs is called. Borrowed until the list
 * changes. */
size_t aliases_count(const struct aliases *a);
const struct alias *aliases_at(const struct aliases *a, size_t i);
struct lane_name aliases_lane(const struct aliases *a, uint32_t lane);

/* Append each pair of lanes as a field `number` of type emberring.ingester.v1.Alias. Its runs are
 * `uv n, n x (uv count - 1, uv gap, zz row)`: count repeats with rising seqs, whose rows rise with
 * them; gap = first seq - last seq before - 1; row = first row's seq - last row's seq before.
 * A reply is encoded without them, and this is appended: protobuf's fields may come in any order.
 * Failure is the buffer's sticky error. */
void aliases_encode(const struct aliases *a, uint32_t number, struct buf *out);

/* Add the aliases of one Alias message (hostile bytes); runs_max of limits (may be NULL) bounds
 * how many `a` may hold then. ERR_PARSE, ERR_LIMIT, ERR_NOMEM: part of them may be there. */
int aliases_decode(struct aliases *a, struct str bytes, const struct dots_limits *limits,
                   struct err *err);

#endif
