/* querier/ask.h - what a query may ask: ranges, limits and selectors by Pyroscope's rules.
 *
 * Pure; any thread. Texts of errors are for users. Tests: tests/cluster/test_query_api.py. */
#ifndef QUERIER_ASK_H
#define QUERIER_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "app/settings.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct http_req;

enum { ASK_MARGIN_MS = 200 }; /* kept of the caller's deadline for merging and answering */

/* Check a range (Unix ms) and clamp its start to the look-back. *empty: it lies before that,
 * the answer is empty. ERR_INVAL. */
int ask_range(const struct limit_settings *l, wall_ms now, int64_t *start, int64_t *end,
              bool *empty, struct err *err);

/* The same for metadata: without a range (both 0) everything is meant, any length will do. */
int ask_names_range(const struct limit_settings *l, wall_ms now, int64_t *start, int64_t *end,
                    bool *empty, struct err *err);

/* The number of nodes in force. ERR_INVAL. */
int ask_nodes(const struct limit_settings *l, bool given, int64_t asked, uint64_t *out,
              struct err *err);

/* A profile type that parses, a selector that parses and is not "". ERR_INVAL. */
int ask_selection(struct str profile_type, struct str selector, struct err *err);

/* Selectors of metadata calls. ERR_INVAL. */
int ask_matchers(const struct str *matchers, size_t count, struct err *err);

/* Whether an answer that is not certain to be complete is to be refused: -querier.require-complete,
 * or the request's X-Pyroscope-Require-Complete. */
bool ask_wants_complete(const struct querier_settings *s, const struct http_req *req);

#endif
