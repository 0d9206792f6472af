/* ring/page.h - the ring page, as JSON (grafana/dskit ring/ring_http.go).
 *
 * Pure; any thread. Tests: tests/unit/ring/test_page.c. */
#ifndef RING_PAGE_H
#define RING_PAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/time.h"

struct ring_desc;

/* Append {"shards":[...],"now":"..."} and a newline: members in order of their ids, tombstones
 * left out as in a look-up; a state is UNHEALTHY when the heartbeat is older than timeout_ms.
 * Times are RFC 3339 in UTC; shards and tokens are null without any. desc may be NULL. */
void ring_page_json(const struct ring_desc *desc, int64_t timeout_ms, wall_ms now,
                    struct buf *out);

/* Append a time as Go's RFC 3339 in UTC: 2023-11-14T22:13:20Z, with milliseconds when there are
 * any. Years outside 1 to 9999 are Go's zero time, 0001-01-01T00:00:00Z. */
void ring_page_time(wall_ms t, struct buf *out);

#endif
