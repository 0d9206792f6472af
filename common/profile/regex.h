/* profile/regex.h - regular expressions of the peers' language (RE2, Go's regexp), anchored at
 * both ends: linear in the text, whatever the pattern.
 *
 * `.` matches newlines too, as in Prometheus' matchers. RE2 itself is behind regex_re2.cc,
 * the only C++ file. A compiled pattern is immutable: any thread may use it.
 * Tests: tests/unit/profile/test_regex.c. */
#ifndef PROFILE_REGEX_H
#define PROFILE_REGEX_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct regex;

enum { REGEX_BYTES_MAX = 16 * 1024, REGEX_PROGRAM_MAX = 1024 * 1024 };

/* Compile. ERR_PARSE with RE2's words; ERR_LIMIT for a pattern over REGEX_BYTES_MAX or whose
 * program would pass REGEX_PROGRAM_MAX bytes; ERR_NOMEM. *out is then untouched. */
int regex_init(struct regex **out, struct str pattern, struct err *err);

/* The whole text matches. Running out of memory counts as no match. */
bool regex_matches(const struct regex *re, struct str text);

/* When the whole text matches, append `tmpl` to out with $1, ${1}, $name, ${name} replaced by
 * groups ($$ is a dollar; groups that do not exist are empty, as in Go) and return true. */
bool regex_expand(const struct regex *re, struct str text, struct str tmpl, struct buf *out);

/* NULL-safe; leaves *re NULL. */
void regex_free(struct regex **re);

#endif
