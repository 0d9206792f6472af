/* store/match.h - which series of a view an ask selects: the walk that plans, points and names
 * share.
 *
 * Only for common/store. Pure; one owner thread. Tests: tests/unit/store/test_query.c. */
#ifndef STORE_MATCH_H
#define STORE_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "profile/labels.h"
#include "store/query.h"
#include "store/store_priv.h"

/* A series that was found. */
struct match {
    const struct view_gen *vg;
    const struct head_partition *partition;
    const struct head_stream *stream;
    uint32_t member;
};

/* The walk: for (match_begin(&w, v, ask, &err); match_next(&w, &m);) and then match_end(). A
 * series is given only when it has a profile in the ask's range. */
struct match_walk {
    const struct view *v;
    const struct query_ask *ask;
    struct profile_type type; /* when typed */
    bool typed;
    struct buf text;          /* __profile_type__ of the series at hand */
    bool text_made;
    int rc;                   /* the text could not be made */
    uint32_t gen, partition, stream, member;
    bool in_range;            /* of the stream at hand */
    struct match at;
};

/* ERR_PARSE: the ask's profile type. */
int match_begin(struct match_walk *w, const struct view *v, const struct query_ask *ask,
                struct err *err);
bool match_next(struct match_walk *w, struct match *out);
/* Returns `rc`, or if that is 0 what went wrong in the walk: ERR_NOMEM. */
int match_end(struct match_walk *w, int rc);

/* The value of a label of the series, "" when it has none; borrowed until the next call. */
struct str match_label(struct match_walk *w, const struct match *m, struct str name);

/* Entries of a stream that the ask's range selects. */
struct head_walk match_entries(const struct match *m, const struct query_ask *ask);

#endif
