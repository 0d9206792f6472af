/* services/querier/page.h - the web page, linked into the binary by scripts/embed.
 *
 * "/" is asked for anew each time (an ETag makes that cheap); the files below /assets/<hash>/
 * may be kept for ever, their path changes with any of them. A path there that is not known is
 * 404 with `no-store`: another version behind the same address. Nothing on the page comes from
 * outside, and its headers forbid it. Constant; any thread. Tests: tests/cluster/test_page.py.
 */
#ifndef QUERIER_PAGE_H
#define QUERIER_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

struct http_server;

/* One file of the page, as scripts/embed writes it. */
struct page_file {
    struct str path;  /* with the leading slash */
    const char *type; /* Content-Type */
    struct str etag;  /* with its quotes */
    struct str gzip;
    size_t size; /* bytes when inflated */
    bool immutable;
};

extern const struct page_file page_files[];
extern const size_t page_file_count;

/* Add the page's routes. Errors of http_server_route(). */
int page_register(struct http_server *http, struct err *err);

#endif
