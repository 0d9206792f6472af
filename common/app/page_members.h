/* app/page_members.h - /memberlist as HTML: who is a member and who should be, the keys, the
 * traffic, the messages.
 *
 * Reads the gossip's core: on its thread. Pure. Tests: tests/unit/app/test_page_members.c. */
#ifndef APP_PAGE_MEMBERS_H
#define APP_PAGE_MEMBERS_H

#include <stddef.h>
#include <stdint.h>

#include "app/page_html.h"
#include "gossip/gossip_uv.h"

struct gossip_core;
struct ring_desc;

/* A ring whose instances ought to be members, too. */
struct page_members_ring {
    const char *name, *path; /* of its page */
    const struct ring_desc *desc; /* NULL: not known */
};

/* Counts since the start, to make rates of. */
struct page_traffic {
    mono_ms at;
    struct gossip_packets packets;
    uint64_t received, received_bytes; /* changes told by others, in packets */
    uint64_t probes, probes_failed;
    uint64_t pushed, pushed_bytes, pulled, pulled_bytes; /* whole states taken and given */
    uint64_t streams_failed, invalid;
};

/* What is to be shown. Everything is borrowed. */
struct page_members {
    struct page_frame frame;
    struct gossip_core *core;
    mono_ms mono;     /* now */
    struct str label; /* of the cluster */
    struct str joined; /* "joined 3 of 3" */
    const struct page_members_ring *rings;
    size_t ring_count;
    struct gossip_packets packets; /* as they stand */
    struct page_traffic before;    /* rates are since then */
    struct str key;             /* show messages of this key alone; data NULL: of all */
};

/* The counts of the core as they stand; the packets are not its. */
struct page_traffic page_traffic_now(struct gossip_core *core, mono_ms now);

/* Append the page. Failures are the buf's: ERR_NOMEM. */
void page_members_html(const struct page_members *p, struct buf *out);

#endif
