/* conf/page.h - the rows as text for people: -help, and the reference page of the
 * documentation.
 *
 * Pure; any thread. Tests: tests/unit/conf/test_page.c. */
#ifndef CONF_PAGE_H
#define CONF_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct conf_section;

/* Append the text of -help of `program`, one of the `which` (a CONF_FOR bit; 0: any): what
 * matters to it. With `all`, of -help-all: other programs' and advanced options, and the names
 * that are accepted without effect too. */
void conf_help(const struct conf_section *sections, size_t count, const char *program,
               unsigned which, bool all, struct buf *out);

/* Append the reference page as Markdown: one table a section, then what has no effect. Options
 * with the flag of an implemented row are not among the latter. */
void conf_reference(const struct conf_section *sections, size_t count, struct buf *out);

#endif
