/* ring/page.h - what a ring page shows: the ring as JSON (grafana/dskit ring/ring_http.go), how
 * well the keys are covered, who owns which part of a zone.
 *
 * Pure; any thread. Tests: tests/unit/ring/test_page.c. */
#ifndef RING_PAGE_H
#define RING_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"

struct ring;
struct ring_desc;

/* Append {"shards":[...],"now":"..."} and a newline: members in order of their ids, tombstones
 * left out as in a look-up; a state is UNHEALTHY when the heartbeat is older than timeout_ms.
 * Times are RFC 3339 in UTC; shards and tokens are null without any. desc may be NULL. */
void ring_page_json(const struct ring_desc *desc, int64_t timeout_ms, wall_ms now,
                    struct buf *out);

/* Append a time as Go's RFC 3339 in UTC: 2023-11-14T22:13:20Z, with milliseconds when there are
 * any. Years outside 1 to 9999 are Go's zero time, 0001-01-01T00:00:00Z. */
void ring_page_time(wall_ms t, struct buf *out);

/* When the newest heartbeat in the ring was; 0 without any, or desc NULL. */
wall_ms ring_page_newest(const struct ring_desc *desc);

/* How many of the 2^32 keys have so many members of their replica set fit to be written to. The
 * four together are 2^32, or 0 for a ring without tokens. */
struct ring_cover {
    uint64_t whole;  /* all of them */
    uint64_t spare;  /* not all, more than a quorum */
    uint64_t quorum; /* exactly a quorum: one failure from losing it */
    uint64_t below;
};

/* Count by asking the ring itself for each of its ranges. Members that do not name a version of
 * `component` are not written to (0: all are). ERR_NOMEM. */
int ring_page_cover(const struct ring *r, uint64_t component, wall_ms now,
                    struct ring_cover *out);

#define RING_NOBODY UINT32_MAX

/* Cut the keys into `count` parts of equal size: owners[i] is the place (ring_at()) of the member
 * that owns most of part i among the tokens of this zone; RING_NOBODY when it has none.
 * ERR_NOMEM. */
int ring_page_owners(const struct ring *r, struct str zone, uint32_t *owners, size_t count);

#endif
