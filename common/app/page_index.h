/* app/page_index.h - /admin: which pages and answers a process has, and what for.
 *
 * Pure; any thread. Tests: tests/unit/app/test_page_html.c. */
#ifndef APP_PAGE_INDEX_H
#define APP_PAGE_INDEX_H

#include "app/page_html.h"

/* Append the page of a role. */
void page_index_html(const struct page_frame *f, const char *role, const char *revision,
                     struct buf *out);

#endif
