/* profile/selector.h - which series: Prometheus' metric selectors, parsed and matched.
 *
 * {name="v", name!="v", name=~"re", name!~"re"} with an optional metric name in front (the
 * value of __name__), names in quotes where they are not [a-zA-Z_][a-zA-Z0-9_]*, a comma
 * allowed before the brace, strings in "..." and '...' with Go's escapes or raw in `...`,
 * comments from # to the end of the line. Expressions are anchored at both ends. A label that
 * is absent has the value "".
 *
 * A parsed selector is immutable: any thread may match with it. Hostile texts are fine: size,
 * matchers and expressions are bounded. Tests: tests/unit/profile/test_selector.c;
 * fuzz: tests/fuzz/fuzz_selector.c. */
#ifndef PROFILE_SELECTOR_H
#define PROFILE_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "profile/labels.h"

enum { SELECTOR_BYTES_MAX = 64 * 1024, SELECTOR_MATCHERS_MAX = 64, SELECTORS_MAX = 64 };

enum matcher_op { MATCH_EQ, MATCH_NE, MATCH_RE, MATCH_NOT_RE };

struct matcher;

/* Label name of a matcher; borrowed from it. */
struct str matcher_name(const struct matcher *m);
enum matcher_op matcher_op(const struct matcher *m);

/* Operand as text: the value or the expression. */
struct str matcher_value(const struct matcher *m);

/* Several matchers that must all hold. */
struct selector;

/* Parse. ERR_PARSE says what was found at which byte; ERR_LIMIT; ERR_NOMEM. *out is then
 * untouched. "" is an error, {} selects everything. */
int selector_parse(struct selector **out, struct str text, struct err *err);

/* Number of matchers. */
size_t selector_count(const struct selector *s);

/* Matcher i < selector_count(). */
const struct matcher *selector_at(const struct selector *s, size_t i);

/* Take out the first matcher `name` = value and give its value in *value (in the selector's own
 * memory, valid as long as it); false when there is none. Render's queries carry the profile
 * type as __name__ like this. Only before the selector is shared. */
bool selector_take_equal(struct selector *s, struct str name, struct str *value);

/* Value of a label of the thing to match, "" when it has none. */
typedef struct str (*selector_lookup_fn)(const void *arg, struct str name);

/* Do all matchers hold? */
bool selector_matches(const struct selector *s, selector_lookup_fn lookup, const void *arg);
bool selector_matches_labels(const struct selector *s, struct labels set);

/* Append a text that parses to an equal selector. */
void selector_print(const struct selector *s, struct buf *out);

/* NULL-safe; leaves *s NULL. */
void selector_free(struct selector **s);

/* A union: what any of several selectors selects; none at all selects everything. */
struct selectors {
    struct selector **items;
    size_t count;
};

/* Parse `count` texts into *out (to be all-zero). Errors as selector_parse, and ERR_LIMIT over
 * SELECTORS_MAX; *out is then all-zero. */
int selectors_parse(struct selectors *out, const struct str *texts, size_t count,
                    struct err *err);

/* Does any of the selectors match? */
bool selectors_match(const struct selectors *s, selector_lookup_fn lookup, const void *arg);
bool selectors_match_labels(const struct selectors *s, struct labels set);

/* Free the selectors; *s is all-zero then. */
void selectors_reset(struct selectors *s);

#endif
