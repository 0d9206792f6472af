/* receive-proxy/components.h - the components of a configuration as JSON and as a page: who they
 * send to, how they are, what goes through them.
 *
 * Pure; any thread. Tests: tests/unit/receive-proxy/test_components.c. */
#ifndef RECEIVE_PROXY_COMPONENTS_H
#define RECEIVE_PROXY_COMPONENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/page_html.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"

/* An endpoint of a pyroscope.write. */
struct component_endpoint {
    struct str url;
    bool failing;
    wall_ms since; /* it fails; 0: it does not */
    struct str error;
    wall_ms error_at; /* 0: there was none */
};

/* What waits to be sent. */
struct component_queue {
    bool there;
    double items, bytes, oldest_seconds;
};

/* One component. Texts are borrowed. */
struct component_row {
    struct str id, type, label;
    const size_t *to; /* rows that it sends to; each stands before this one */
    size_t to_count;
    bool healthy;
    struct str message; /* of its health */
    wall_ms since;
    struct str address;   /* where it listens; "": it does not */
    struct str arguments; /* as written, without secrets */
    /* So far: profiles, of a listener's `in` requests. What a queue took is not out before it has
     * been sent, what a rule dropped did not fail. */
    double in, out, queued, dropped, failed;
    double in_rate, out_rate, queued_rate, dropped_rate, failed_rate; /* a second */
    const struct component_endpoint *endpoints;
    size_t endpoint_count;
    struct component_queue queue;
};

/* What the page shows. */
struct components_page {
    struct page_frame frame;
    const struct component_row *rows;
    size_t count;
    struct str failure; /* why the last configuration was not taken; "": it was */
};

/* Append an array of components, as /api/v0/web/components of the peer has it, with `arguments` as
 * text and `rates` added. */
void components_json(const struct component_row *rows, size_t count, struct buf *out);

/* Append the page. */
void components_html(const struct components_page *page, struct buf *out);

#endif
