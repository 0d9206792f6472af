/* profile/attime.h - points in time as Pyroscope's HTTP parameters write them (Graphite's
 * "at"): "now-1h", "20240131", seconds, milliseconds, microseconds, nanoseconds.
 *
 * Pure; any thread. Tests: tests/unit/profile/test_attime.c; fuzz: tests/fuzz/fuzz_attime.c. */
#ifndef PROFILE_ATTIME_H
#define PROFILE_ATTIME_H

#include <stdint.h>

#include "base/str.h"

/* Nanoseconds since 1970. Never fails: blanks, commas and underscores are ignored; 8 digits
 * that are a date after 1900 are that day (UTC); other digits are Unix time, in ms with 13 of
 * them, us with 16, ns with 19, else seconds; anything else is now_ns plus the offset behind
 * the first + or
 * -: numbers with units s, m or min, h, d, w, mon or M (30 days), y (365); others count 0.
 * Stops at the ends of the range of int64_t. */
int64_t attime_parse(struct str text, int64_t now_ns);

/* The same in milliseconds, rounded down. */
int64_t attime_parse_ms(struct str text, int64_t now_ms);

#endif
