/* ingester/answer.h - works out what a querier asks of one view: the share of a query (Count),
 * or names and types (Names).
 *
 * `query` is the protobuf request of the public method of querier.v1.QuerierService, as the
 * querier checked and clamped it. Costs CPU time: for workers. Any thread, one view each.
 * Tests: tests/cluster/test_query_api.py. */
#ifndef INGESTER_ANSWER_H
#define INGESTER_ANSWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "ring/dots.h"

struct arena;
struct mem_account;
struct view;

/* How much a Count read. */
struct answer_size {
    uint64_t profiles, samples;
};

/* Count exactly the profiles of `include` and append the partial result: whole tree bytes for
 * SelectMergeStacktraces and SelectMergeSpanProfile, a pprof for SelectMergeProfile, a partial
 * series set (profile/series.h) for SelectSeries. *stop (may be NULL) ends it early.
 * ERR_MOVED (the view lacks a dot of include), ERR_LIMIT, ERR_INVAL, ERR_PARSE,
 * ERR_UNIMPLEMENTED (method), ERR_CANCELED, ERR_NOMEM, ERR_CORRUPT; `out` is then unspecified. */
int answer_count(const struct view *v, struct str method, struct str query,
                 const struct vector *include, struct mem_account *account,
                 const _Atomic(bool) *stop, struct buf *out, struct answer_size *size,
                 struct err *err);

/* Append the response message of ProfileTypes, LabelNames, LabelValues, Series or
 * GetProfileStats for this view. Errors as answer_count(). */
int answer_names(const struct view *v, struct str method, struct str query, struct buf *out,
                 struct err *err);

/* Keys (exact reads, A9): append as fields 1 of KeysResponse the keys of the view's profiles
 * that the query selects and whose dot is in `of` (may be NULL), and of those that equal one of
 * the `find` keys in request bytes. ERR_LIMIT over `max` keys. */
int answer_keys(const struct view *v, struct str method, struct str query,
                const struct vector *of, const void *keys_request, size_t max, struct buf *out,
                struct err *err);

#endif
