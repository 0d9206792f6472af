/* app/page_files_run.h - constant files of a web page, gzipped once, at build time, and served:
 * scripts/embed makes a table of them.
 *
 * Files below their folder may be kept for ever, since its name changes with any of them; an index
 * is asked for anew each time (an ETag makes that cheap). A path there that is not known is 404
 * with `no-store`: another version behind the same address. Nothing on a page comes from outside,
 * and its headers forbid it. Any thread. Tests: tests/cluster/test_page.py, test_admin_pages.py. */
#ifndef APP_PAGE_FILES_RUN_H
#define APP_PAGE_FILES_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "net/http.h"

struct http_req;

/* One file, as scripts/embed writes it. */
struct page_file {
    struct str path;  /* with the leading slash */
    const char *type; /* Content-Type */
    struct str etag;  /* with its quotes */
    struct str gzip;
    size_t size; /* bytes when inflated */
    bool immutable;
};

/* The files of one folder. */
struct page_files {
    const struct page_file *all;
    size_t count;
    const char *folder; /* "static/0123456789ab/" */
};

/* The style, script and mark of the pages that every node has. */
extern const struct page_files app_page;

/* What every page says of itself to a browser: nothing from outside, no frames, no guessing. */
enum { PAGE_SAFETY_COUNT = 6 };
extern const struct http_field page_safety[PAGE_SAFETY_COUNT];

/* Answer with the file that the request's path names. */
void page_files_reply(const struct page_files *files, struct http_req *req);

#endif
