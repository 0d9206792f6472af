/* profile/respond.h - the query API's answers that are too big for field tables: written
 * straight into a buffer, as protobuf and as JSON.
 *
 * JSON is protobuf's mapping (zero values left out, 64-bit integers as strings), except for
 * respond_render(), which is Pyroscope's older /pyroscope/render with plain numbers.
 * Pure; any thread. Failure is the buffer's sticky error. Tests:
 * tests/unit/profile/test_respond.c. */
#ifndef PROFILE_RESPOND_H
#define PROFILE_RESPOND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"
#include "profile/labels.h"
#include "profile/series.h"
#include "profile/timeline.h"
#include "profile/tree.h"

/* SelectMergeStacktracesResponse { flamegraph }. */
void respond_flamegraph(const struct flamegraph *f, bool json, struct buf *out);

/* SelectMergeStacktracesResponse { tree }: bytes of tree_encode(). */
void respond_tree(struct str tree, bool json, struct buf *out);

/* SelectSeriesResponse. */
void respond_series(const struct series_row *rows, size_t count, bool json, struct buf *out);

/* One value of groupBy in render's answer. */
struct render_group {
    struct str value; /* of the group label; "*" for series that lack it */
    struct timeline timeline;
};

struct render {
    const struct flamegraph *flamegraph;
    struct timeline timeline;
    struct profile_type type;
    const struct render_group *groups; /* NULL: "groups": null */
    size_t group_count;
};

/* /pyroscope/render's JSON. */
void respond_render(const struct render *r, struct buf *out);

#endif
