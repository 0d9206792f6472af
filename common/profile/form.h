/* profile/form.h - the append form: how profiles travel between our processes and enter the
 * store.
 *
 * One symbol table per push, a trie of call stacks in level order, then the profiles that share
 * them. The distributor writes it, replicas pass it on, the ingester interns from it. Integers
 * are little-endian, `uv` is an unsigned varint in its shortest form, `zz` a zigzag-mapped one,
 * `str` a uv length and bytes. Version 1:
 *
 *   form    := u8 version, uv flags = 0, uv lanes, lanes x (16 B writer, uv n, n x str
 * instance), symbols, uv profiles, profiles x profile symbols := uv n, n x uv length, bytes
 * strings 1 .. n; string 0 is "" uv n, n x (uv file, uv build_id, uv start, uv limit, uv
 * offset, uv flags) uv n, n x (uv name, uv system_name, uv file, uv start_line) uv n, n x (uv
 * lines << 1 | folded, uv mapping, uv address, lines x (uv function, zz line))      innermost
 * line first uv n, n x (uv own - parent, uv location)        nodes 1 .. n by depth; 0 is the
 * root profile := uv pairs, pairs x (str, str), uv members, members x 5 str, u64 time_ns, u32
 * nonce, uv duration_ns, uv period, uv lane, uv seq, uv samples << 1 | has spans, samples x
 * zz(node - previous node, first absolute), members x column, [spans] column  := u8 0, u24 byte
 * length, samples x uv value | u8 1, uv factor                                 value of member
 * 0 x factor spans   := uv d, d x (u64 span_id, 16 B trace_id), samples x uv index + 1 (0:
 * none)
 *
 * Lanes are distinct and have instances; pairs are sorted by name; no value, and no sum of a
 * column, is above 2^63 - 1; member 0 is always a column of kind 0. Mapping flags are bits from
 * enum form_mapping_flag.
 *
 * form.c reads and puts, form_write.c builds, form_subset.c divides.
 * Pure; any thread. Tests: tests/unit/profile/test_form.c; fuzz: tests/fuzz/fuzz_form.c. */
#ifndef PROFILE_FORM_H
#define PROFILE_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct arena;

enum {
    FORM_VERSION = 1,
    FORM_MEMBERS_MAX = 8,
    FORM_WRITER_SIZE = 16,
    FORM_LINES_MAX = 64,   /* per location, what a writer makes */
    FORM_DEPTH_MAX = 1100, /* of a stack, what a writer makes */
    FORM_LANES_MAX = 64,
    FORM_PROFILES_MAX = 65536,
};

enum form_mapping_flag {
    FORM_HAS_FUNCTIONS = 1,
    FORM_HAS_FILENAMES = 2,
    FORM_HAS_LINE_NUMBERS = 4,
    FORM_HAS_INLINE_FRAMES = 8,
};

struct form_mapping {
    uint32_t file, build_id; /* string indexes */
    uint64_t start, limit, offset, flags;
};

struct form_function {
    uint32_t name, system_name, file; /* string indexes */
    uint64_t start_line;
};

struct form_line {
    uint32_t function; /* index */
    int64_t line;
};

struct form_location {
    uint32_t first_line, line_count; /* in form.lines, innermost first */
    uint32_t mapping;                /* index; 0 with no mappings at all */
    bool folded;
    uint64_t address;
};

struct form_node {
    uint32_t parent;   /* < own index; 0 for children of the root */
    uint32_t location; /* index */
};

struct form_lane {
    const uint8_t *writer;       /* FORM_WRITER_SIZE bytes */
    const struct str *instances; /* the set, in order */
    uint32_t count;
};

/* One sample type of a stream. */
struct form_member {
    struct str type, unit, period_type, period_unit, name; /* name: the __name__ label */
};

struct form_pair {
    struct str name, value;
};

/* A column of member values as it stands in the form: kind 0 values, kind 1 factor of member 0. */
struct form_column {
    bool proportional;
    uint64_t factor;  /* when proportional */
    struct str bytes; /* else: uv per sample, borrowed, checked to hold exactly `samples` */
};

struct form_span {
    uint64_t span_id;
    const uint8_t *trace_id; /* 16 bytes */
};

struct form_profile {
    const struct form_pair *pairs; /* sorted by name; no per-type labels */
    uint32_t pair_count;
    const struct form_member *members;
    uint32_t member_count; /* 1 .. FORM_MEMBERS_MAX */
    int64_t time_ns;
    uint32_t nonce;
    uint64_t duration_ns, period;
    uint32_t lane; /* index */
    uint32_t seq;  /* >= 1 */
    uint32_t samples;
    const uint32_t
        *nodes; /* `samples` node indexes >= 1, ascending; equal ones only with spans */
    struct form_column columns[FORM_MEMBERS_MAX];
    struct str
        spans; /* raw, empty without spans: uv d, d x (u64, 16 B), samples x uv index + 1 */
};

/* A form that was read and checked as a whole. Everything borrows from the bytes or the arena. */
struct form {
    const struct form_lane *lanes;
    uint32_t lane_count;
    const struct str *strings; /* [0] is always "" */
    uint32_t string_count;
    const struct form_mapping *mappings;
    uint32_t mapping_count;
    const struct form_function *functions;
    uint32_t function_count;
    const struct form_location *locations;
    uint32_t location_count;
    const struct form_line *lines;
    uint32_t line_count;
    const struct form_node *nodes; /* [0] is the root: parent 0, location unused */
    uint32_t node_count;           /* >= 1 */
    const struct form_profile *profiles;
    uint32_t profile_count;
};

/* Zero fields mean the defaults in brackets. */
struct form_limits {
    uint32_t depth_max;        /* of the trie [1,100] */
    uint32_t lines_max;        /* per location [64] */
    uint32_t lanes_max;        /* [64] */
    uint32_t profiles_max;     /* [65,536] */
    uint64_t string_bytes_max; /* in all [64 MiB] */
};

/* Read and check a whole form. ERR_PARSE names field and offset; ERR_VERSION for a version or
 * flag bit that is not known, named; ERR_LIMIT, ERR_NOMEM. *out is then unspecified. */
int form_open(struct form *out, struct str bytes, const struct form_limits *max,
              struct arena *a, struct err *err);

/* Append a whole form to out, as a reader gave it or as form_view() shows it. Failure is out's
 * sticky error. */
void form_put(const struct form *f, struct buf *out);

/* Builds a form in one pass: symbols first, then profiles with their samples. After a failure
 * other than of a sample (which form_drop_profile() undoes) it may only be thrown away. */
struct form_writer;

/* A writer whose tables live in `a`. ERR_NOMEM. */
int form_begin(struct form_writer **out, struct arena *a);

/* What is about to be added, so that tables need not grow step by step; a hint, cut to a bound. */
struct form_hint {
    uint32_t strings, functions, locations, lines, nodes, rows;
};

/* Make room for more of each than there is now. ERR_NOMEM. */
int form_expect(struct form_writer *w, const struct form_hint *more);

/* Each returns the index of the (new or equal) entry in *id; string "" is index 0. Indexes
 * inside must be such as were given out. ERR_NOMEM, ERR_LIMIT. */
int form_add_string(struct form_writer *w, struct str s, uint32_t *id);
int form_add_mapping(struct form_writer *w, const struct form_mapping *m, uint32_t *id);
int form_add_function(struct form_writer *w, const struct form_function *f, uint32_t *id);
/* Lines innermost first, at most FORM_LINES_MAX; first_line and line_count of *l are ignored. */
int form_add_location(struct form_writer *w, const struct form_location *l,
                      const struct form_line *lines, uint32_t count, uint32_t *id);
/* The instance strings are borrowed until form_finish. */
int form_add_lane(struct form_writer *w, const uint8_t writer[FORM_WRITER_SIZE],
                  const struct str *instances, uint32_t count, uint32_t *lane);

/* Node of a call stack, locations root first (the caller turns pprof's leaf-first order round),
 * 1 to FORM_DEPTH_MAX of them. Stacks that follow each other share the walk over their common
 * beginning. ERR_INVAL for an empty one, ERR_NOMEM, ERR_LIMIT. */
int form_add_stack(struct form_writer *w, const uint32_t *locations, uint32_t count,
                   uint32_t *node);

/* Open a profile: p's labels, members, time, nonce, duration, period, lane, seq are taken
 * (label pairs, members and their strings are borrowed until form_finish); nodes, samples,
 * columns are ignored. */
int form_begin_profile(struct form_writer *w, const struct form_profile *p);

/* One sample of the open profile at a node of form_add_stack(), one value per member. The same
 * stack again adds to its values unless spans differ; span may be NULL. ERR_NOMEM, ERR_LIMIT (a
 * sum would pass 2^63 - 1). */
int form_add_at(struct form_writer *w, uint32_t node, const uint64_t *values,
                const struct form_span *span);

/* form_add_stack() and form_add_at() in one. */
int form_add_sample(struct form_writer *w, const uint32_t *locations, uint32_t count,
                    const uint64_t *values, const struct form_span *span);

/* Close the profile. *samples (may be NULL) gets how many distinct ones it has. */
int form_end_profile(struct form_writer *w, uint32_t *samples);

/* Forget the open profile; its symbols and stacks stay. */
void form_drop_profile(struct form_writer *w);

/* Profiles closed so far. */
uint32_t form_profile_count(const struct form_writer *w);

/* Change lane and seq of profile i before form_finish: placement is decided late. */
int form_set_dot(struct form_writer *w, uint32_t profile, uint32_t lane, uint32_t seq);

/* The form as a reader would see it, nodes renumbered into level order; borrows from the
 * writer, shows later form_set_dot() and form_add_lane(). Nothing else may be added from now
 * on. ERR_NOMEM, ERR_LIMIT. */
int form_view(struct form_writer *w, const struct form **out);

/* Append the form to out: form_view() and form_put(). May be called again after form_set_dot().
 * ERR_NOMEM, ERR_LIMIT. */
int form_finish(struct form_writer *w, struct buf *out);

/* Make a smaller form of profiles `which` (rising indexes) of f with only the symbols they
 * reach; lanes as in f. Used to divide a push by replica set. ERR_NOMEM. */
int form_subset(const struct form *f, const uint32_t *which, uint32_t count, struct arena *a,
                struct buf *out);

#endif
