/* profile/pprof.h - reads a google.v1.Profile (pprof's protobuf) into flat arrays in one go.
 *
 * Ids become indexes, labels and values stand in arrays that samples point into; nothing is
 * allocated per sample. Strings borrow from the bytes. What the bytes say is kept as it is:
 * wrong references become PPROF_NONE, counts that do not fit are noted, and profile/validate.h
 * judges. Packed and unpacked repeated numbers are taken, unknown fields skipped, nothing is
 * believed.
 *
 * Pure; any thread. Tests: tests/unit/profile/test_pprof.c; fuzz: tests/fuzz/fuzz_pprof.c;
 * bench: tests/bench/bench_pprof.c. */
#ifndef PROFILE_PPROF_H
#define PROFILE_PPROF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct arena;

/* An index that is not there: a negative or huge number, or an id that nothing has. */
#define PPROF_NONE UINT32_MAX

/* How pprof_decode() reads. */
enum pprof_flag {
    PPROF_FIX_FUNCTION_IDS =
        1, /* all function ids 0, as many as locations: take the locations' */
};

/* String indexes of all rows are as sent, PPROF_NONE when beyond 32 bits: check them. */
struct pprof_type_row {
    uint32_t type, unit;
};

struct pprof_map_row {
    uint64_t id, start, limit, offset;
    uint32_t file, build_id;
    uint32_t flags; /* enum form_mapping_flag */
};

struct pprof_fun_row {
    uint64_t id;
    uint32_t name, system_name, file;
    int64_t start_line;
};

struct pprof_line_row {
    uint32_t function; /* index, or PPROF_NONE */
    int64_t line;
};

struct pprof_loc_row {
    uint64_t id, address;
    uint32_t mapping; /* index, or PPROF_NONE: see has_mapping */
    uint32_t first_line, line_count;
    bool has_mapping; /* a mapping id other than 0 was given */
    bool folded;
};

struct pprof_label_row {
    uint32_t key, text; /* text 0: a numeric label */
};

struct pprof_sample_row {
    uint32_t first_frame, frame_count; /* in pprof.frames, leaf first */
    uint32_t first_label, label_count;
};

struct pprof {
    struct str raw;
    struct str *strings; /* [0] should be "" */
    uint32_t string_count;
    struct pprof_type_row *types;
    uint32_t type_count;
    struct pprof_map_row *mappings;
    uint32_t mapping_count;
    struct pprof_fun_row *functions;
    uint32_t function_count;
    struct pprof_loc_row *locations;
    uint32_t location_count;
    struct pprof_line_row *lines;
    uint32_t line_count;
    struct pprof_sample_row *samples;
    uint32_t sample_count;
    uint32_t *frames; /* location indexes, or PPROF_NONE */
    uint32_t frame_count;
    bool missing_frames; /* some frame is PPROF_NONE */
    int64_t *values; /* sample_count x type_count */
    struct pprof_label_row *labels;
    uint32_t label_count;
    uint32_t odd_sample; /* first one whose number of values is not type_count; PPROF_NONE */
    bool has_period_type;
    struct pprof_type_row period_type;
    int64_t time_ns, duration_ns, period;
};

/* Read `raw` (not compressed). ERR_PARSE says what is broken and at which offset; ERR_LIMIT for
 * more than 2^31 bytes; ERR_NOMEM. Tables take up to about 10 bytes of the arena per byte. */
int pprof_decode(struct pprof *out, struct str raw, unsigned flags, struct arena *a,
                 struct err *err);

#endif
