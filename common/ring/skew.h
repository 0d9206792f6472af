/* ring/skew.h - members whose clock is far from ours, told by their heartbeats.
 *
 * A heartbeat carries the second at which its member's clock made it, and is here within seconds.
 * One from the future needs no second look: one of the two clocks is wrong. One that is old when
 * it is news may merely have been on its way for long, so a clock is said to be behind only after
 * several such heartbeats in a row. When that holds for most members, it is our clock that is
 * wrong. Each finding is one log line, and another one only after it was in order again.
 *
 * Pure; one owner thread. Tests: tests/unit/ring/test_skew.c. */
#ifndef RING_SKEW_H
#define RING_SKEW_H

#include <stdint.h>

#include "base/time.h"

struct log;
struct ring_desc;
struct ring_skew;

enum {
    RING_SKEW_S = 15,     /* further apart is far */
    RING_SKEW_NEWS = 4,   /* so many old heartbeats in a row */
    RING_SKEW_GAP_MS = 1000, /* and so far apart: those of one moment were held up together */
};

/* Nothing is known yet. log (may be NULL) is borrowed. ERR_NOMEM. */
int ring_skew_init(struct ring_skew **out, const struct log *log);
void ring_skew_free(struct ring_skew **s); /* NULL-safe */

/* Look at the ring (tombstones are not looked at) by our clock. Returns how many clocks were
 * newly found far off, to be counted. Without memory for a member it is looked at next time. */
uint32_t ring_skew_look(struct ring_skew *s, const struct ring_desc *desc, wall_ms now);

#endif
