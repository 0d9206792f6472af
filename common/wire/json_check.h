/* wire/json_check.h - is this text one JSON value, to the letter?
 *
 * cJSON takes more than JSON and cuts strings at an escaped NUL; what comes from outside passes
 * here first. Recursion is bounded. Pure; any thread.
 * Tests: tests/unit/wire/test_json.c; fuzz: tests/fuzz/fuzz_msg.c. */
#ifndef WIRE_JSON_CHECK_H
#define WIRE_JSON_CHECK_H

#include "base/err.h"
#include "base/str.h"

enum { JSON_DEPTH_MAX = 128 };

/* 0 when all of text is one value of RFC 8259 in UTF-8, without byte-order mark, with at most
 * JSON_DEPTH_MAX nested arrays and objects, and without \u0000. Half surrogate pairs pass.
 * ERR_PARSE with the offset in err; ERR_LIMIT: nested too deep. */
int json_check(struct str text, struct err *err);

#endif
