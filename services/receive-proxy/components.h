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
    double in, out, failed;             /* so far: profiles, of a listener's `in` requests */
    double in_rate, out_rate, failed_rate; /* a second */
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
