/* profile/ingest_http.h - what a request to POST /ingest means: its parameters, its formats,
 * the labels and profiles it stands for. Sending and answering are the caller's.
 *
 *   rc = ingest_request_open(&q, now_ns, arena, &r, &err);
 *   rc = rc != 0 ? rc : ingest_request_take(&in, &r, body, &unpacked, &result, &err);
 *   status = rc == 0 ? 200 : ingest_request_status(r.format, rc, result.reason);
 *
 * Pure; any thread. Tests: tests/unit/profile/test_ingest_http.c; fuzz:
 * tests/fuzz/fuzz_ingest.c. */
#ifndef PROFILE_INGEST_HTTP_H
#define PROFILE_INGEST_HTTP_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "profile/ingest.h"

enum { INGEST_NAME_PAIRS_MAX = 256 };

/* Of these GROUPS, LINES, PPROF and PPROF_FORM are taken. */
#define INGEST_FORMAT_MAP(X)                                                                   \
    X(GROUPS, "groups")                                                                        \
    X(LINES, "lines")                                                                          \
    X(TRIE, "trie")                                                                            \
    X(TREE, "tree")                                                                            \
    X(JFR, "jfr")                                                                              \
    X(PPROF, "pprof")                                                                          \
    X(PPROF_FORM, "pprof form")                                                                \
    X(SPEEDSCOPE, "speedscope")

enum ingest_format {
#define X(name, text) INGEST_##name,
    INGEST_FORMAT_MAP(X)
#undef X
};

/* Static. */
const char *ingest_format_text(enum ingest_format format);

/* The request's parameters and header, decoded; empty when absent. */
struct ingest_query {
    struct str name, from, until, sample_rate, spy_name, format, content_type;
};

struct ingest_request {
    enum ingest_format format;
    struct str app;             /* of the name, with a suffix if it has one */
    const struct label *labels; /* of the name, as they came, distinct */
    size_t label_count;
    struct str spy; /* "unknown" when not given */
    struct str content_type;
    int64_t from_ns, until_ns;
    uint32_t sample_rate;
};

/* Understand the parameters. ERR_INVAL for a bad name (HTTP 400), ERR_NOMEM. Everything borrows
 * from q or the arena. */
int ingest_request_open(const struct ingest_query *q, int64_t now_ns, struct arena *a,
                        struct ingest_request *out, struct err *err);

/* Take the body. `unpacked` holds what was compressed: the caller's, until the form is
 * finished. ERR_UNIMPLEMENTED for a format that is not taken (the message names those that
 * are), ERR_PARSE, ERR_INVAL, ERR_LIMIT, ERR_NOMEM as ingest_profile(). No profile in the
 * request: 0 without streams. */
int ingest_request_take(struct ingest *in, const struct ingest_request *r, struct str body,
                        struct buf *unpacked, struct ingest_result *out, struct err *err);

/* The HTTP status that Pyroscope has for a failure of the functions above: validation is 400
 * for text formats, 422 for pprof. */
int ingest_request_status(enum ingest_format format, int rc, enum discard reason);

#endif
