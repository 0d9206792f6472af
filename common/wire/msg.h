/* wire/msg.h - one field table per message drives protobuf and JSON, both ways.
 *
 * scripts/gen-messages makes from proto/rpc/<file>.proto the files <file>.msg.h and .msg.c: for
 * a message push.v1.PushRequest a `struct push_v1_push_request` and a table
 * `push_v1_push_request_msg` (a leading "emberring." is left out). Fields are in snake_case
 * (profile_typeID: profile_type_id; JSON has the true names). Their shapes:
 *   string, bytes      struct str name               (borrowed from the input, or in the arena)
 *   repeated T         size_t name_count; T *name    (repeated messages: array of structs)
 *   message            struct T *name                (NULL: absent; `optional` changes nothing)
 *   optional scalar    bool has_name; T name
 *   enum               int32_t name                  (enum constants are as in the .proto)
 * All-zero is a valid empty message. Recursive messages are refused by the generator.
 *
 * Pure; any thread. JSON is protobuf's mapping as connect-go reads and writes it
 * (lowerCamelCase names, 64-bit integers as strings on output, unknown fields ignored).
 * Tests: tests/unit/proto/test_msg.c; fuzz: tests/fuzz/fuzz_msg.c. */
#ifndef WIRE_MSG_H
#define WIRE_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct arena;

enum msg_kind {
    MSG_BOOL,
    MSG_I32,
    MSG_U32,
    MSG_I64,
    MSG_U64,
    MSG_FIXED32,
    MSG_FIXED64,
    MSG_DOUBLE,
    MSG_STRING, /* must be UTF-8 */
    MSG_BYTES,
    MSG_ENUM,
    MSG_MESSAGE,
};

enum { MSG_REPEATED = 1, MSG_OPTIONAL = 2 };

struct msg_enum {
    const char *name;
    int32_t value;
};

/* One field. Generated; offsets are into the message's struct. */
struct msg_field {
    uint32_t number;
    uint8_t kind;  /* enum msg_kind */
    uint8_t flags; /* MSG_REPEATED, MSG_OPTIONAL */
    uint16_t offset;
    uint16_t extra_offset;        /* of name_count or has_name */
    const char *name;             /* as in the .proto */
    const char *json;             /* protobuf's JSON name */
    const struct msg_type *type;  /* of MSG_MESSAGE */
    const struct msg_enum *names; /* of MSG_ENUM; ends with name NULL */
};

struct msg_type {
    const char *name; /* full protobuf name, "push.v1.PushRequest" */
    size_t size;      /* of the struct */
    uint32_t count;
    const struct msg_field *fields; /* rising numbers */
};

/* What a hostile message may cost. Zero fields mean the defaults in brackets. */
struct msg_limits {
    uint32_t depth_max;    /* nested messages [32] */
    uint32_t elements_max; /* repeated elements in all [1,000,000] */
    size_t json_bytes_max; /* JSON text [1 MiB; cJSON needs ten times as much heap] */
};

/* Read protobuf into *out (of t->size bytes, overwritten). Strings and bytes borrow from
 * `bytes`; arrays and sub-messages are in the arena. Unknown fields are skipped, the last of
 * repeated singular fields wins, packed and unpacked are both read. limits may be NULL.
 * ERR_PARSE (err names field and offset), ERR_LIMIT, ERR_NOMEM; *out is then unspecified. */
int msg_decode(const struct msg_type *t, void *out, struct str bytes, struct arena *a,
               const struct msg_limits *limits, struct err *err);

/* Append protobuf: fields by number, zero values omitted, repeated scalars packed. Failure is
 * the buffer's sticky error. */
void msg_encode(const struct msg_type *t, const void *in, struct buf *out);

/* Read JSON. Everything is copied into the arena. Errors as msg_decode. An empty text is
 * ERR_PARSE, as at the peer. */
int msg_from_json(const struct msg_type *t, void *out, struct str json, struct arena *a,
                  const struct msg_limits *limits, struct err *err);

/* Append JSON: zero values omitted, fields by number. */
void msg_to_json(const struct msg_type *t, const void *in, struct buf *out);

#endif
