/* alloy/diag.h - what is wrong with a configuration, where, and how it is shown.
 *
 * A diagnostic has a range of bytes in one of the texts of a load, and is printed as Alloy
 * prints it: "Error: file:line:col: message", a blank line, the lines around it with carets
 * below. Columns count bytes from 1. A list keeps its own copies, so it may outlive the texts;
 * printing with lines needs the texts again. Pure; one owner thread. Tests:
 * tests/unit/alloy/test_parse.c, test_graph.c. */
#ifndef ALLOY_DIAG_H
#define ALLOY_DIAG_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct arena;

enum { ALLOY_DIAGS_MAX = 200 };

/* One file: its name as shown, and its contents. Both borrowed. */
struct alloy_text {
    struct str name;
    struct str text;
};

/* A place; line 0 is no place. */
struct alloy_pos {
    uint32_t offset; /* bytes from the start */
    uint32_t line;   /* from 1 */
    uint32_t column; /* bytes, from 1 */
};

enum alloy_severity { ALLOY_ERROR, ALLOY_WARNING };

struct alloy_diag {
    enum alloy_severity severity;
    struct str file;             /* name of the text; empty without place */
    struct alloy_pos start, end; /* end is the last byte of it; line 0: as start */
    struct str message;
};

/* A list; all-zero is empty. What is beyond ALLOY_DIAGS_MAX is counted only. */
struct alloy_diags {
    struct arena *arena;
    struct alloy_diag *items;
    size_t count, cap;
    size_t errors;  /* how many of all have severity ALLOY_ERROR, dropped ones too */
    size_t dropped; /* over the limit */
    int error;      /* 0 or ERR_NOMEM: one is missing; sticky */
};

/* Append; file, start and end may be empty. The strings are copied. */
void alloy_diags_add(struct alloy_diags *d, enum alloy_severity severity, struct str file,
                     struct alloy_pos start, struct alloy_pos end, struct str message);

/* Append with a formatted message of at most 4 KiB. */
void alloy_diags_addf(struct alloy_diags *d, enum alloy_severity severity, struct str file,
                      struct alloy_pos start, struct alloy_pos end, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* Give the memory back and become empty. */
void alloy_diags_reset(struct alloy_diags *d);

/* All of them in full, with one line of context on either side, a blank line between two. Lines
 * are left out for a file that is not among the texts. */
void alloy_diags_print(const struct alloy_diags *d, const struct alloy_text *texts,
                       size_t count, struct buf *out);

/* Only "file:line:col: message", one a line, as `fmt` lists them. */
void alloy_diags_print_short(const struct alloy_diags *d, struct buf *out);

/* One line for a log: the first error, and "(and N more diagnostics)". "no errors" without any. */
void alloy_diags_summary(const struct alloy_diags *d, struct buf *out);

#endif
