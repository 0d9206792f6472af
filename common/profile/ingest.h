/* profile/ingest.h - what a distributor makes of one pushed profile: checked, normalised,
 * divided into streams and written into an append form. Protocol and placement are the
 * caller's.
 *
 * Normalising is Pyroscope's: numeric labels go; samples with a negative value, with only
 * zeros, with a dangling reference or without frames go; equal stacks add up; addresses and the
 * range of a mapping that has function names go. Go's type shapes are cut from names, and stacks
 * that its runtime cut at 32 (heap) or 64 frames (cpu) are completed at the root from others of
 * the profile (values and leaves stay). One stream per set of string sample labels and per
 * family of sample types: those with an equal stem before the first _ ("alloc_objects",
 * "alloc_space"), "samples" with "cpu", "contentions" with "delay"; others stand alone. Streams
 * without any value are left out.
 *
 * A profile's nonce is taken from its uncompressed bytes and the stream's number: XXH3-64 of
 * the 8 bytes (little-endian) of XXH3-64 of the profile, seeded by the number, low half. Equal
 * bytes sent again under equal labels are therefore the same profiles.
 *
 * Pure; one owner thread. Tests: tests/unit/profile/test_ingest*.c; fuzz:
 * tests/fuzz/fuzz_ingest.c. */
#ifndef PROFILE_INGEST_H
#define PROFILE_INGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "profile/validate.h"

struct arena;
struct form_writer;
struct label;
struct pprof;

enum {
    INGEST_TYPES_MAX = 256, /* sample types of a profile; more is malformed */
};

/* One per request, or per series of it. All borrowed until the form is finished. */
struct ingest {
    struct arena *arena;
    struct form_writer *form;
    const struct profile_limits *limits;
    int64_t now_ns;
};

/* A profile of the form: what its placement needs. */
struct ingest_stream {
    uint32_t profile;   /* index in the form; give it its dot with form_set_dot() */
    uint32_t samples;   /* distinct stacks */
    struct str service; /* service_name: the token's input, beside the tenant */
};

struct ingest_result {
    const struct ingest_stream *streams; /* in the arena; none when nothing was left */
    size_t stream_count;
    enum discard reason;  /* why it was refused, for the counters */
    uint32_t samples;     /* as they came, for the counters */
    uint64_t bytes;       /* uncompressed, for the counters */
    const char *language; /* static */
};

/* Take one profile: `raw` is pprof, not compressed; `labels` are the series' own, in any order.
 * ERR_PARSE, ERR_INVAL, ERR_LIMIT refuse it with out->reason and a text for the client, and
 * leave no profile in the form. ERR_NOMEM ends the request. */
int ingest_profile(struct ingest *in, struct str raw, const struct label *labels, size_t count,
                   struct ingest_result *out, struct err *err);

/* The same for one that is decoded (and maybe rewritten) already. *p is changed. */
int ingest_decoded(struct ingest *in, struct pprof *p, const struct label *labels, size_t count,
                   struct ingest_result *out, struct err *err);

#endif
