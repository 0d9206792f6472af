/* alloy/columns.h - aligning cells of neighbouring lines: elastic tab stops.
 *
 * Input: text with cells ended by '\t' (a cell that counts even when empty) or '\v', and lines
 * by
 * '\n' or '\f'; a '\f', or a line of one cell, ends the run of lines that are aligned with one
 * another. Bytes between two COLUMNS_ESCAPE are text, whatever they are. Output: lines with
 * '\n', leading empty cells as tabs, others padded with blanks, nothing at line ends. The
 * algorithm of Go's text/tabwriter, without its recursion. Pure.
 * Tests: tests/unit/alloy/test_format.c. */
#ifndef ALLOY_COLUMNS_H
#define ALLOY_COLUMNS_H

#include "base/buf.h"
#include "base/str.h"

enum { COLUMNS_ESCAPE = 0xff };

/* Append the text aligned. ERR_NOMEM; a full buffer is its sticky error. */
int columns_align(struct str text, struct buf *out);

#endif
