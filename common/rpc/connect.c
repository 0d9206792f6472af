/* rpc/connect.c - tables of the Connect protocol. */
#include "rpc/connect.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/http.h"
#include "wire/compress.h"
#include "wire/json.h"
#include "wire/msg.h"
#include "connect.msg.h"

enum { CODES = 17, TIMEOUT_DIGITS_MAX = 10 };

/* `plain` is Pyroscope's second table, for what is no RPC. */
static const struct {
    const char *name;
    unsigned status, plain;
} codes[CODES] = {
    [RPC_OK] = {"ok", 200, 200},
    [RPC_CANCELED] = {"canceled", 499, 499},
    [RPC_UNKNOWN] = {"unknown", 500, 500},
    [RPC_INVALID_ARGUMENT] = {"invalid_argument", 400, 400},
    [RPC_DEADLINE_EXCEEDED] = {"deadline_exceeded", 504, 504},
    [RPC_NOT_FOUND] = {"not_found", 404, 404},
    [RPC_ALREADY_EXISTS] = {"already_exists", 409, 409},
    [RPC_PERMISSION_DENIED] = {"permission_denied", 403, 403},
    [RPC_RESOURCE_EXHAUSTED] = {"resource_exhausted", 429, 429},
    [RPC_FAILED_PRECONDITION] = {"failed_precondition", 400, 412},
    [RPC_ABORTED] = {"aborted", 409, 409},
    [RPC_OUT_OF_RANGE] = {"out_of_range", 400, 400},
    [RPC_UNIMPLEMENTED] = {"unimplemented", 501, 404},
    [RPC_INTERNAL] = {"internal", 500, 500},
    [RPC_UNAVAILABLE] = {"unavailable", 503, 503},
    [RPC_DATA_LOSS] = {"data_loss", 500, 500},
    [RPC_UNAUTHENTICATED] = {"unauthenticated", 401, 401},
};

static unsigned index_of(enum rpc_code code)
{
    return (unsigned)code < CODES ? (unsigned)code : (unsigned)RPC_UNKNOWN;
}

const char *rpc_code_name(enum rpc_code code)
{
    return codes[index_of(code)].name;
}

int rpc_code_parse(struct str name, enum rpc_code *out)
{
    for (unsigned i = 1; i < CODES; i++) {
        if (str_eq(name, str_c(codes[i].name))) {
            *out = (enum rpc_code)i;
            return 0;
        }
    }
    return ERR_PARSE;
}

unsigned rpc_code_status(enum rpc_code code)
{
    return codes[index_of(code)].status;
}

unsigned rpc_code_plain_status(enum rpc_code code)
{
    return codes[index_of(code)].plain;
}

enum rpc_code rpc_code_of_status(unsigned status)
{
    switch (status) {
    case 200: return RPC_OK;
    case 400: return RPC_INTERNAL;
    case 401: return RPC_UNAUTHENTICATED;
    case 403: return RPC_PERMISSION_DENIED;
    case 404: return RPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504: return RPC_UNAVAILABLE;
    default: return RPC_UNKNOWN;
    }
}

enum rpc_code rpc_code_of_plain_status(unsigned status)
{
    switch (status) {
    case 200: return RPC_OK;
    case 400:
    case 413: return RPC_INVALID_ARGUMENT;
    case 401: return RPC_UNAUTHENTICATED;
    case 403: return RPC_PERMISSION_DENIED;
    case 404: return RPC_UNIMPLEMENTED;
    case 412: return RPC_FAILED_PRECONDITION;
    case 429:
    case 431: return RPC_RESOURCE_EXHAUSTED;
    case 499: return RPC_CANCELED;
    case 502:
    case 503: return RPC_UNAVAILABLE;
    case 504: return RPC_DEADLINE_EXCEEDED;
    default: return RPC_UNKNOWN;
    }
}

enum rpc_code rpc_code_of_err(int err_code)
{
    switch (err_code) {
    case 0: return RPC_OK;
    case ERR_INVAL:
    case ERR_PARSE: return RPC_INVALID_ARGUMENT;
    case ERR_NOENT: return RPC_NOT_FOUND;
    case ERR_EXIST: return RPC_ALREADY_EXISTS;
    case ERR_LIMIT:
    case ERR_NOMEM: return RPC_RESOURCE_EXHAUSTED;
    case ERR_TIMEOUT: return RPC_DEADLINE_EXCEEDED;
    case ERR_NOSPC:
    case ERR_CLOSED:
    case ERR_SEALED:
    case ERR_REFUSED:
    case ERR_UNAVAILABLE:
    case ERR_AGAIN:
    case ERR_IO: return RPC_UNAVAILABLE;
    case ERR_UNIMPLEMENTED:
    case ERR_VERSION: return RPC_UNIMPLEMENTED;
    case ERR_CANCELED: return RPC_CANCELED;
    case ERR_DENIED: return RPC_PERMISSION_DENIED;
    case ERR_MOVED:
    case ERR_STALE: return RPC_FAILED_PRECONDITION;
    case ERR_CORRUPT: return RPC_DATA_LOSS;
    default: return RPC_INTERNAL;
    }
}

int rpc_err_of_code(enum rpc_code code)
{
    switch (code) {
    case RPC_OK: return 0;
    case RPC_CANCELED: return ERR_CANCELED;
    case RPC_INVALID_ARGUMENT:
    case RPC_OUT_OF_RANGE: return ERR_INVAL;
    case RPC_DEADLINE_EXCEEDED: return ERR_TIMEOUT;
    case RPC_NOT_FOUND: return ERR_NOENT;
    case RPC_ALREADY_EXISTS: return ERR_EXIST;
    case RPC_PERMISSION_DENIED:
    case RPC_UNAUTHENTICATED: return ERR_DENIED;
    case RPC_RESOURCE_EXHAUSTED: return ERR_LIMIT;
    case RPC_FAILED_PRECONDITION: return ERR_STALE;
    case RPC_ABORTED: return ERR_AGAIN;
    case RPC_UNIMPLEMENTED: return ERR_UNIMPLEMENTED;
    case RPC_UNAVAILABLE: return ERR_UNAVAILABLE;
    case RPC_DATA_LOSS: return ERR_CORRUPT;
    case RPC_UNKNOWN:
    case RPC_INTERNAL: break;
    }
    return ERR_INTERNAL;
}

/* --- error bodies -------------------------------------------------------------------------- */

void rpc_error_json(enum rpc_code code, struct str message, struct buf *out)
{
    struct json j = json_to(out);
    json_begin_object(&j);
    json_key(&j, "code");
    json_c(&j, rpc_code_name(code));
    if (message.len > 0) {
        json_key(&j, "message");
        json_str(&j, message);
    }
    json_end_object(&j);
}

int rpc_error_parse(struct str json, enum rpc_code *code, char *message, size_t size)
{
    struct connect_v1_error body;
    struct arena *a = NULL;
    struct msg_limits limits = {.depth_max = 16, .elements_max = 1000, .json_bytes_max = 65536};
    if (arena_init(&a, 1024, NULL) != 0)
        return ERR_NOMEM;
    int rc = msg_from_json(&connect_v1_error_msg, &body, json, a, &limits, NULL);
    if (rc == 0)
        rc = rpc_code_parse(body.code, code);
    if (rc == 0)
        snprintf(message, size, "%.*s", STR_ARG(body.message));
    arena_free(&a);
    return rc == ERR_NOMEM ? rc : rc == 0 ? 0 : ERR_PARSE;
}

/* --- headers ------------------------------------------------------------------------------- */

int rpc_timeout_parse(struct str text, uint64_t *ms)
{
    return text.len > TIMEOUT_DIGITS_MAX || str_u64(text, ms) != 0 ? ERR_PARSE : 0;
}

/* True when all parameters of a Content-Type are a charset that is UTF-8. */
static bool has_only_utf8(struct str content_type)
{
    struct str part;
    str_cut(&content_type, ';', &part);
    while (str_cut(&content_type, ';', &part)) {
        struct str key;
        str_cut(&part, '=', &key);
        part = str_trim(part);
        if (part.len >= 2 && part.data[0] == '"' && part.data[part.len - 1] == '"')
            part = str_of(part.data + 1, part.len - 2);
        if (!str_eq_nocase(str_trim(key), STR("charset")) || !str_eq_nocase(part, STR("utf-8")))
            return false;
    }
    return true;
}

int rpc_codec_of_type(struct str content_type, enum rpc_codec *out)
{
    char type[64];
    if (!http_media_type(content_type, type, sizeof type) || !has_only_utf8(content_type))
        return ERR_UNIMPLEMENTED;
    if (strcmp(type, "application/proto") == 0)
        *out = RPC_PROTO;
    else if (strcmp(type, "application/json") == 0)
        *out = RPC_JSON;
    else
        return ERR_UNIMPLEMENTED;
    return 0;
}

const char *rpc_codec_type(enum rpc_codec codec)
{
    return codec == RPC_JSON ? "application/json" : "application/proto";
}

static const char *const codings[] = {
    [RPC_IDENTITY] = "identity", [RPC_GZIP] = "gzip", [RPC_LZ4] = "lz4"};

const char *rpc_coding_name(enum rpc_coding coding)
{
    return codings[coding];
}

int rpc_coding_parse(struct str text, enum rpc_coding *out)
{
    text = str_trim(text);
    if (text.len == 0) {
        *out = RPC_IDENTITY;
        return 0;
    }
    for (unsigned i = 0; i < sizeof codings / sizeof codings[0]; i++) {
        if (str_eq(text, str_c(codings[i]))) {
            *out = (enum rpc_coding)i;
            return 0;
        }
    }
    return ERR_UNIMPLEMENTED;
}

enum rpc_coding rpc_coding_pick(struct str accept, enum rpc_coding request, bool lz4)
{
    struct str part;
    enum rpc_coding coding;
    if (accept.data == NULL)
        return request;
    while (str_cut(&accept, ',', &part)) {
        struct str name;
        str_cut(&part, ';', &name); /* weights are not looked at, as at the peer */
        name = str_trim(name);
        if (name.len > 0 && rpc_coding_parse(name, &coding) == 0 && (lz4 || coding != RPC_LZ4))
            return coding;
    }
    return RPC_IDENTITY;
}

/* --- packing ------------------------------------------------------------------------------- */

enum { LZ4_HEAD = 4 };

static int lz4_body(struct str in, size_t limit, struct buf *out, struct err *err)
{
    if (in.len < LZ4_HEAD)
        return err_set(err, ERR_PARSE, "lz4: cut off");
    const unsigned char *p = (const unsigned char *)in.data;
    size_t size = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (size > limit)
        return err_set(err, ERR_LIMIT, "message of %zu bytes, at most %zu are taken", size, limit);
    int rc = lz4_unpack(str_skip(in, LZ4_HEAD), size, out);
    return rc == 0 ? 0 : err_set(err, rc, "lz4: %s", err_text(rc));
}

int rpc_unpack(enum rpc_coding coding, struct str in, size_t limit, struct buf *out,
               struct err *err)
{
    buf_clear(out);
    if (in.len == 0)
        return 0;
    if (coding == RPC_GZIP)
        return gzip_unpack(in, limit, out, err);
    if (coding == RPC_LZ4)
        return lz4_body(in, limit, out, err);
    if (in.len > limit)
        return err_set(err, ERR_LIMIT, "message of %zu bytes, at most %zu are taken", in.len,
                       limit);
    buf_str(out, in);
    return out->error == 0 ? 0 : err_set(err, out->error, "message of %zu bytes", in.len);
}

int rpc_pack(enum rpc_coding coding, struct str in, struct buf *out)
{
    if (coding == RPC_GZIP)
        return gzip_pack(in, GZIP_FAST, out);
    if (coding == RPC_LZ4) {
        if (in.len > UINT32_MAX)
            return ERR_LIMIT;
        buf_u32le(out, (uint32_t)in.len);
        return out->error != 0 ? out->error : lz4_pack(in, out);
    }
    buf_str(out, in);
    return out->error;
}
