/* rpc/connect.h - the Connect protocol's unary rules: codes, statuses, error bodies, deadlines.
 *
 * Follows connectrpc.com/docs/protocol and connect-go. Pure; any thread.
 * Tests: tests/unit/rpc/test_connect.c; fuzz: tests/fuzz/fuzz_connect.c. */
#ifndef RPC_CONNECT_H
#define RPC_CONNECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Connect's codes; the numbers are gRPC's. */
enum rpc_code {
    RPC_OK = 0,
    RPC_CANCELED = 1,
    RPC_UNKNOWN = 2,
    RPC_INVALID_ARGUMENT = 3,
    RPC_DEADLINE_EXCEEDED = 4,
    RPC_NOT_FOUND = 5,
    RPC_ALREADY_EXISTS = 6,
    RPC_PERMISSION_DENIED = 7,
    RPC_RESOURCE_EXHAUSTED = 8,
    RPC_FAILED_PRECONDITION = 9,
    RPC_ABORTED = 10,
    RPC_OUT_OF_RANGE = 11,
    RPC_UNIMPLEMENTED = 12,
    RPC_INTERNAL = 13,
    RPC_UNAVAILABLE = 14,
    RPC_DATA_LOSS = 15,
    RPC_UNAUTHENTICATED = 16,
};

/* "invalid_argument"; "ok" for 0; "unknown" for numbers outside. Static. */
const char *rpc_code_name(enum rpc_code code);

/* The code of a name. ERR_PARSE with *out untouched. */
int rpc_code_parse(struct str name, enum rpc_code *out);

/* HTTP status of a Connect error; 200 for RPC_OK. */
unsigned rpc_code_status(enum rpc_code code);

/* What a client takes an HTTP status for when the body is no Connect error. */
enum rpc_code rpc_code_of_status(unsigned status);

/* The second table, of Pyroscope's plain HTTP endpoints (/ingest, /pyroscope/render): which code
 * their JSON error names for a status, and the status for a code. */
enum rpc_code rpc_code_of_plain_status(unsigned status);
unsigned rpc_code_plain_status(enum rpc_code code);

/* The code that says best what an error of ours (ERR_...) means to a caller. */
enum rpc_code rpc_code_of_err(int err_code);

/* And back: the error of ours that a caller gets for a peer's code; 0 for RPC_OK. */
int rpc_err_of_code(enum rpc_code code);

/* Append {"code":"...","message":"..."}; message "" is left out. Bytes that are not UTF-8 are
 * replaced. */
void rpc_error_json(enum rpc_code code, struct str message, struct buf *out);

/* Read an error body. ERR_PARSE when it is no JSON object with a known "code". message (size
 * bytes, NUL-terminated, cut) is "" when absent. */
int rpc_error_parse(struct str json, enum rpc_code *code, char *message, size_t size);

/* Connect-Timeout-Ms: 1 to 10 digits. ERR_PARSE for all else. */
int rpc_timeout_parse(struct str text, uint64_t *ms);

/* How a message is written. */
enum rpc_codec { RPC_PROTO, RPC_JSON };

/* Codec of a Content-Type: application/proto, application/json (charset utf-8 or none).
 * ERR_UNIMPLEMENTED for others, the empty one too. */
int rpc_codec_of_type(struct str content_type, enum rpc_codec *out);

/* "application/proto", "application/json". */
const char *rpc_codec_type(enum rpc_codec codec);

/* How a body is packed. lz4 is spoken between processes of ours only. */
enum rpc_coding { RPC_IDENTITY, RPC_GZIP, RPC_LZ4 };

/* Coding of a Content-Encoding; "" is identity. ERR_UNIMPLEMENTED for others. */
int rpc_coding_parse(struct str text, enum rpc_coding *out);

/* The coding for an answer: the first of Accept-Encoding that we know, as connect-go picks it;
 * without that header (data NULL) the request's own. lz4 only counts when it may be spoken. */
enum rpc_coding rpc_coding_pick(struct str accept, enum rpc_coding request, bool lz4);

/* Unpack a body into *out (old content dropped), at most `limit` bytes of it. Identity copies; no
 * bytes at all are an empty message in every coding. lz4 is ours: the size as 4 bytes, little
 * endian, then one block. ERR_PARSE, ERR_LIMIT, ERR_NOMEM. */
int rpc_unpack(enum rpc_coding coding, struct str in, size_t limit, struct buf *out,
               struct err *err);

/* Append a packed body. ERR_NOMEM, ERR_LIMIT, which is also out's. */
int rpc_pack(enum rpc_coding coding, struct str in, struct buf *out);

/* "identity", "gzip", "lz4". */
const char *rpc_coding_name(enum rpc_coding coding);

#endif
