/* app/page_ring.h - the page of a ring as HTML: first whether all is well, in a sentence; then a
 * picture, who holds what, and a table with a way to forget a member.
 *
 * Works on a view of the ring (ring/lookup.h) and answers everything by asking that view, as pushes
 * and queries do. Pure; any thread. Tests: tests/unit/app/test_page_ring.c. */
#ifndef APP_PAGE_RING_H
#define APP_PAGE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/page_html.h"

struct ring;

/* A tombstone: somebody who left or was forgotten a short while ago. */
struct page_gone {
    struct str id, zone;
    int64_t at_s;
};

/* What is to be shown. Everything is borrowed. */
struct page_ring {
    struct page_frame frame;
    const char *name; /* "ingester" */
    const char *key;
    const struct ring *ring; /* NULL: nothing is known yet */
    bool replicated;         /* its members hold copies for one another */
    bool zone_aware;
    uint32_t replication_factor;
    uint64_t component;   /* a version that a member must name to be worked with; 0: none */
    int64_t timeout_ms;   /* of a heartbeat */
    int64_t late_ms;      /* a heartbeat that is older is worth a colour */
    const struct page_gone *gone;
    size_t gone_count;
    bool telling; /* changes of ours wait to be told */
    /* What was asked for in the query; data NULL: nothing. */
    bool tokens;                /* list them all */
    const struct str *forget;   /* ask whether to forget these */
    size_t forget_count;
    bool forget_unhealthy;      /* or all that are unhealthy */
    struct str tenant, service; /* who holds it? */
};

/* Append the page. Failures are the buf's: ERR_NOMEM. */
void page_ring_html(const struct page_ring *p, struct buf *out);

#endif
