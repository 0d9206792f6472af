/* base/str.h - a borrowed run of bytes: pointer and length, never NUL-terminated by promise.
 *
 * Pure; any thread. A `struct str` owns nothing. All-zero is the empty string.
 * Tests: tests/unit/base/test_str.c. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct arena;

struct str {
    const char *data;
    size_t len; /* bytes */
};

/* A string literal as a struct str, usable in initialisers. */
#define STR_INIT(lit) {(lit), sizeof(lit) - 1}
#define STR(lit) ((struct str)STR_INIT(lit))

/* printf: "%.*s", STR_ARG(s). Longer than INT_MAX is cut. */
#define STR_ARG(s)                                                                            \
    (int)((s).len > 0x7fffffff ? 0x7fffffff : (s).len), (s).data == NULL ? "" : (s).data

static inline struct str str_of(const void *data, size_t len)
{
    return (struct str){(const char *)data, len};
}

/* A NUL-terminated C string; NULL is the empty string. */
static inline struct str str_c(const char *c)
{
    return (struct str){c, c == NULL ? 0 : strlen(c)};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Order of the bytes, a prefix before what it begins: < 0, 0 or > 0. */
int str_cmp(struct str a, struct str b);

/* An empty prefix or suffix always fits. */
bool str_starts_with(struct str s, struct str prefix);
bool str_ends_with(struct str s, struct str suffix);

/* Equal but for the case of ASCII letters. */
bool str_eq_nocase(struct str a, struct str b);

/* Index of the first byte c, or SIZE_MAX. */
size_t str_find(struct str s, char c);

/* Index of the last byte c, or SIZE_MAX. */
size_t str_rfind(struct str s, char c);

/* True when `needle` occurs in s; an empty needle always does. */
bool str_contains(struct str s, struct str needle);

/* s from byte `from` on; empty when from >= s.len. */
struct str str_skip(struct str s, size_t from);

/* At most the first `len` bytes of s. */
struct str str_head(struct str s, size_t len);

/* s without blanks, tabs, CR and LF at both ends. */
struct str str_trim(struct str s);

/* Split at the first `sep`: *head is what is before it, *s what is behind; without one *head is all
 * of it, and *s is used up (data NULL). False, with nothing touched, when *s is used up. "a,,b"
 * gives "a", "" and "b" to: for (struct str rest = text, part; str_cut(&rest, ',', &part);) */
bool str_cut(struct str *s, char sep, struct str *head);

/* Parse all of s as a decimal number. 0, ERR_PARSE (empty, sign, other bytes) or ERR_LIMIT (too
 * large); *out is untouched on failure. */
int str_u64(struct str s, uint64_t *out);

/* As str_u64 with an optional sign. */
int str_i64(struct str s, int64_t *out);

/* Copy into NUL-terminated heap memory (mem_free). NULL: no memory. */
char *str_dup_c(struct str s);

/* Copy into an arena, with a NUL behind it that len does not count. data NULL: no memory. */
struct str str_dup(struct arena *a, struct str s);

/* 64-bit hash of the bytes; for tables only, never stored or sent. */
uint64_t str_hash(struct str s);

/* True when s is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool str_is_utf8(struct str s);

#endif
