/* alloy/format.h - the one layout of a configuration text: what `fmt` prints.
 *
 * Tabs to indent, one blank line between blocks, equal signs aligned over neighbouring one-line
 * attributes, at most one blank line in a row, comments kept: the layout of `alloy fmt`. Where
 * that would change what a text says (tabs and line ends inside raw strings, escapes in keys),
 * it does not here: alloy_format() reads back what it wrote, and its output is its own fixed
 * point. Pure; any thread. Tests: tests/unit/alloy/test_format.c; fuzz:
 * tests/fuzz/fuzz_alloy_fmt.c. */
#ifndef ALLOY_FORMAT_H
#define ALLOY_FORMAT_H

#include "alloy/ast.h"
#include "alloy/diag.h"
#include "base/buf.h"

/* Append the text in its layout, with one newline at its end. ERR_PARSE with the errors in
 * diags, ERR_NOMEM; out is as before then. */
int alloy_format(const struct alloy_text *source, struct alloy_diags *diags, struct buf *out);

/* Append one expression on its own, without comments. */
void alloy_format_expr(const struct alloy_file *f, const struct alloy_expr *e, struct buf *out);

/* Append statements without comments; with `redact`, values of secret attributes as "(secret)". */
void alloy_format_body(const struct alloy_file *f, const struct alloy_stmt *body, bool redact,
                       struct buf *out);

/* Append s in double quotes, escaped as Go's %q. */
void alloy_quote(struct str s, struct buf *out);

#endif
