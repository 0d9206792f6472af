/* receive-proxy/labelset.h - what becomes of an item's labels between client and receiver: the
 * rules of Alloy's pyroscope.write and pyroscope.receive_http.
 *
 * Pure; any thread. Sets are made in an arena and borrow the strings of the item and the
 * settings. Tests: tests/unit/receive-proxy/test_labelset.c. */
#ifndef RECEIVE_PROXY_LABELSET_H
#define RECEIVE_PROXY_LABELSET_H

#include <stdbool.h>
#include <stddef.h>

#include "alloy/schema.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "profile/labels.h"

struct arena;

/* The labels of an /ingest's `name` (app{k=v,...}) and of its service: app is __name__, and
 * service_name too unless it is given; then app_name has it. Sorted, none empty. ERR_INVAL (a
 * bad name; without one: "service name is required"), ERR_NOMEM. */
int labelset_of_name(struct str name, struct arena *a, struct labels *out, struct err *err);

/* The labels of a pushed series as a set: of doubles the last wins, empty ones go.
 * `service_rule` applies the rule of /ingest to it, as Alloy does; else they are left alone.
 * ERR_NOMEM. */
int labelset_of_series(const struct label *items, size_t count, bool service_rule,
                       struct arena *a, struct labels *out);

/* What every item must keep: a label at least, no name twice, names of [a-zA-Z0-9_.]+
 * (`__name__` is one, dots are fine), values of UTF-8. ERR_INVAL: "invalid labels in profile:
 * ...". */
int labelset_check(const struct label *items, size_t count, struct err *err);

/* What is sent of a push: no name with __ in front but __name__ and __delta__, then the
 * external labels over it, sorted. An external label with an empty value takes the label away.
 * ERR_NOMEM. */
int labelset_push(const struct label *items, size_t count, const struct alloy_map *external,
                  struct arena *a, struct labels *out);

/* What is sent of an ingest: __name__ is service_name's value where that is set, then the
 * external labels. ERR_NOMEM. */
int labelset_ingest(const struct label *items, size_t count, const struct alloy_map *external,
                    struct arena *a, struct labels *out);

/* Append <__name__>{k=v,...}: the parameter `name`. */
void labelset_put_name(struct labels set, struct buf *out);

#endif
