/* wire/json.h - JSON output straight into a buffer; no tree, no allocation but the buffer's.
 *
 * Commas are the writer's business; that keys and values alternate is the caller's. Strings are
 * escaped in one place: invalid UTF-8 becomes U+FFFD, so the output is always valid.
 *   struct json j = json_to(&buf);
 *   json_begin_object(&j);
 *   json_key(&j, "names");
 *   json_begin_array(&j); json_str(&j, name); json_end_array(&j);
 *   json_end_object(&j);
 * Pure; any thread. Failure is the buffer's sticky error. Tests: tests/unit/wire/test_json.c. */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct json {
    struct buf *out;
    bool comma; /* a value stands before the next one */
};

/* A writer of one document, which it appends to out. */
static inline struct json json_to(struct buf *out)
{
    return (struct json){.out = out};
}

/* Brackets. */
void json_begin_object(struct json *j);
void json_end_object(struct json *j);
void json_begin_array(struct json *j);
void json_end_array(struct json *j);

/* Key of the value that follows. */
void json_key(struct json *j, const char *key);
void json_key_str(struct json *j, struct str key);

/* Values. Numbers are JSON numbers: a 64-bit one loses digits in JavaScript above 2^53. */
void json_str(struct json *j, struct str s);
void json_c(struct json *j, const char *c);
void json_i64(struct json *j, int64_t v);
void json_u64(struct json *j, uint64_t v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);

/* 64-bit integers as protobuf's JSON has them: decimal digits in quotes. */
void json_i64_text(struct json *j, int64_t v);
void json_u64_text(struct json *j, uint64_t v);

/* The shortest digits that read back as v; not-a-number and infinities as the strings "NaN",
 * "Infinity", "-Infinity", as protobuf's JSON has them. */
void json_f64(struct json *j, double v);

/* Bytes as a string of padded base64. */
void json_base64(struct json *j, struct str bytes);

#endif
