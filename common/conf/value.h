/* conf/value.h - the texts of settings: booleans, numbers, durations and sizes, both ways.
 *
 * The grammars are those of Go's flag and time packages, which operators of Pyroscope know,
 * with days and weeks added. Each parser takes all of the text; *out is untouched on failure.
 * Pure; any thread. Tests: tests/unit/conf/test_value.c. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Go's booleans: 1 t T true TRUE True, 0 f F false FALSE False. ERR_PARSE. */
int conf_parse_bool(struct str s, bool *out);

/* A whole number with an optional sign, in Go's base 0: 0x, 0o (or 0), 0b prefixes, and single
 * underscores between digits. ERR_PARSE, ERR_LIMIT (does not fit). */
int conf_parse_i64(struct str s, int64_t *out);

/* As conf_parse_i64 without minus. */
int conf_parse_u64(struct str s, uint64_t *out);

/* A finite decimal number such as 0.05, 1e-3 or 4. ERR_PARSE, ERR_LIMIT. */
int conf_parse_double(struct str s, double *out);

/* Go's durations in milliseconds: 1h2m3.5s, 200ms, 0, -5m; units ns us ms s m h d w y (y is 365
 * days). What is not a whole millisecond is rounded away from zero, so that nothing set becomes
 * "off". ERR_PARSE (a number without unit too), ERR_LIMIT (over 292 years). */
int conf_parse_ms(struct str s, int64_t *out);

/* Bytes: a number with an optional unit B, K, KB, KiB (all 1024), M.., G.., T.., case ignored;
 * the number may have a fraction: 1.5GiB. ERR_PARSE, ERR_LIMIT. */
int conf_parse_size(struct str s, uint64_t *out);

/* A duration as Go prints it: 0s, 200ms, 1.5s, 1m0s, 1h0m0s. */
void conf_put_ms(struct buf *b, int64_t ms);

/* The shortest decimal text that reads back as v. */
void conf_put_double(struct buf *b, double v);

/* A double-quoted YAML (and JSON) string. */
void conf_put_quoted(struct buf *b, struct str s);

/* Number of single-byte insertions, removals and replacements that make a into b, or `limit`
 * when it is not below; texts are cut to 96 bytes. */
uint32_t conf_distance(struct str a, struct str b, uint32_t limit);

#endif
