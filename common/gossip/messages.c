/* gossip/messages.c - the tables of fields, and the two walks over them. */
#include "gossip/messages.h"

#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "gossip/msgpack.h"

/* How a field travels. OPT fields are left out when empty or zero; a NIL string without data is
 * nil instead of empty. */
enum kind { K_U8, K_U16, K_U16_OPT, K_U32, K_INT, K_BOOL, K_RAW, K_RAW_NIL, K_RAW_OPT };

struct field {
    const char *key;
    enum kind kind;
    size_t at;
};

struct body {
    const struct field *fields;
    uint32_t count;
};

/* A row that does not compile when the member has another type than T. */
#define ROW(S, m, key, kind, T)                                                                \
    {key, kind, offsetof(struct S, m) + 0 * sizeof(char[_Generic(((struct S *)0)->m, T: 1)])}
#define U8(S, m, k) ROW(S, m, k, K_U8, uint64_t)
#define U16(S, m, k) ROW(S, m, k, K_U16, uint64_t)
#define U16_OPT(S, m, k) ROW(S, m, k, K_U16_OPT, uint64_t)
#define U32(S, m, k) ROW(S, m, k, K_U32, uint64_t)
#define INT(S, m, k) ROW(S, m, k, K_INT, int64_t)
#define BOOL(S, m, k) ROW(S, m, k, K_BOOL, bool)
#define RAW(S, m, k) ROW(S, m, k, K_RAW, struct str)
#define RAW_NIL(S, m, k) ROW(S, m, k, K_RAW_NIL, struct str)
#define RAW_OPT(S, m, k) ROW(S, m, k, K_RAW_OPT, struct str)
#define BODY(name, ...)                                                                        \
    static const struct field name##_fields[] = {__VA_ARGS__};                                \
    static const struct body name = {name##_fields, sizeof name##_fields / sizeof(struct field)}

BODY(ping, RAW(msg_ping, node, "Node"), U32(msg_ping, seq, "SeqNo"),
     RAW_OPT(msg_ping, source_ip, "SourceAddr"), RAW_OPT(msg_ping, source_node, "SourceNode"),
     U16_OPT(msg_ping, source_port, "SourcePort"));
BODY(indirect_ping, BOOL(msg_indirect_ping, nack, "Nack"), RAW(msg_indirect_ping, node, "Node"),
     U16(msg_indirect_ping, port, "Port"), U32(msg_indirect_ping, seq, "SeqNo"),
     RAW_OPT(msg_indirect_ping, source_ip, "SourceAddr"),
     RAW_OPT(msg_indirect_ping, source_node, "SourceNode"),
     U16_OPT(msg_indirect_ping, source_port, "SourcePort"),
     RAW(msg_indirect_ping, target_ip, "Target"));
BODY(ack, RAW_NIL(msg_ack, payload, "Payload"), U32(msg_ack, seq, "SeqNo"));
BODY(nack, U32(msg_nack, seq, "SeqNo"));
BODY(err_reply, RAW(msg_err, text, "Error"));
BODY(accuse, RAW(msg_accuse, from, "From"), U32(msg_accuse, incarnation, "Incarnation"),
     RAW(msg_accuse, node, "Node"));
BODY(alive, RAW(msg_alive, ip, "Addr"), U32(msg_alive, incarnation, "Incarnation"),
     RAW_NIL(msg_alive, meta, "Meta"), RAW(msg_alive, node, "Node"),
     U16(msg_alive, port, "Port"), RAW(msg_alive, vsn, "Vsn"));
BODY(push_pull, BOOL(msg_push_pull, join, "Join"), INT(msg_push_pull, nodes, "Nodes"),
     INT(msg_push_pull, user_bytes, "UserStateLen"));
BODY(node, RAW(msg_node, ip, "Addr"), U32(msg_node, incarnation, "Incarnation"),
     RAW_NIL(msg_node, meta, "Meta"), RAW(msg_node, name, "Name"), U16(msg_node, port, "Port"),
     INT(msg_node, state, "State"), RAW(msg_node, vsn, "Vsn"));
BODY(user_header, INT(msg_user_header, bytes, "UserMsgLen"));
BODY(compress, U8(msg_compress, algo, "Algo"), RAW(msg_compress, data, "Buf"));

static bool left_out(const struct field *f, const void *m)
{
    const char *at = (const char *)m + f->at;
    if (f->kind == K_U16_OPT)
        return *(const uint64_t *)(const void *)at == 0;
    return f->kind == K_RAW_OPT && ((const struct str *)(const void *)at)->len == 0;
}

static void put_field(struct buf *out, const struct field *f, const void *m)
{
    const void *at = (const char *)m + f->at;
    const struct str *s = at;
    mp_put_raw(out, str_c(f->key));
    switch (f->kind) {
    case K_U8:
    case K_U16:
    case K_U16_OPT:
    case K_U32:
        mp_put_uint(out, *(const uint64_t *)at);
        break;
    case K_INT:
        mp_put_int(out, *(const int64_t *)at);
        break;
    case K_BOOL:
        mp_put_bool(out, *(const bool *)at);
        break;
    case K_RAW_NIL:
        if (s->data == NULL) {
            mp_put_nil(out);
            break;
        }
        mp_put_raw(out, *s);
        break;
    case K_RAW:
    case K_RAW_OPT:
        mp_put_raw(out, *s);
        break;
    }
}

static void put_body(struct buf *out, const struct body *b, const void *m)
{
    uint32_t pairs = 0;
    for (uint32_t i = 0; i < b->count; i++)
        pairs += left_out(&b->fields[i], m) ? 0 : 1;
    mp_put_map(out, pairs);
    for (uint32_t i = 0; i < b->count; i++)
        if (!left_out(&b->fields[i], m))
            put_field(out, &b->fields[i], m);
}

static void get_field(struct mp_reader *r, const struct field *f, void *m)
{
    void *at = (char *)m + f->at;
    switch (f->kind) {
    case K_U8:
        *(uint64_t *)at = mp_get_uint(r, UINT8_MAX);
        break;
    case K_U16:
    case K_U16_OPT:
        *(uint64_t *)at = mp_get_uint(r, UINT16_MAX);
        break;
    case K_U32:
        *(uint64_t *)at = mp_get_uint(r, UINT32_MAX);
        break;
    case K_INT:
        *(int64_t *)at = mp_get_int(r);
        break;
    case K_BOOL:
        *(bool *)at = mp_get_bool(r);
        break;
    case K_RAW:
    case K_RAW_NIL:
    case K_RAW_OPT:
        *(struct str *)at = mp_get_raw(r);
        break;
    }
}

enum { PAIRS_MAX = 64 }; /* a body has at most 8; the rest leaves room for later versions */

static int get_body(struct mp_reader *r, const struct body *b, void *m, size_t size)
{
    memset(m, 0, size);
    uint32_t pairs = mp_get_map(r);
    r->skipped = 0;
    if (r->status == 0 && pairs > PAIRS_MAX)
        r->status = ERR_PARSE;
    for (uint32_t i = 0; i < pairs && r->status == 0; i++) {
        struct str key = mp_get_raw(r);
        uint32_t f = 0;
        while (f < b->count && !str_eq(key, str_c(b->fields[f].key)))
            f++;
        if (r->status == 0 && f < b->count)
            get_field(r, &b->fields[f], m);
        else if (r->status == 0)
            mp_skip(r);
    }
    return r->status;
}

#define PUT(name, type, S, body)                                                               \
    void name(struct buf *out, const struct S *m)                                              \
    {                                                                                          \
        buf_u8(out, type);                                                                     \
        put_body(out, &body, m);                                                               \
    }
PUT(msg_put_ping, MSG_PING, msg_ping, ping)
PUT(msg_put_indirect_ping, MSG_INDIRECT_PING, msg_indirect_ping, indirect_ping)
PUT(msg_put_ack, MSG_ACK, msg_ack, ack)
PUT(msg_put_nack, MSG_NACK, msg_nack, nack)
PUT(msg_put_err, MSG_ERR, msg_err, err_reply)
PUT(msg_put_suspect, MSG_SUSPECT, msg_accuse, accuse)
PUT(msg_put_dead, MSG_DEAD, msg_accuse, accuse)
PUT(msg_put_alive, MSG_ALIVE, msg_alive, alive)
PUT(msg_put_push_pull, MSG_PUSH_PULL, msg_push_pull, push_pull)
PUT(msg_put_user_header, MSG_USER, msg_user_header, user_header)
PUT(msg_put_compress, MSG_COMPRESS, msg_compress, compress)

void msg_put_node(struct buf *out, const struct msg_node *m)
{
    put_body(out, &node, m);
}

#define GET(name, S, body)                                                                     \
    int name(struct mp_reader *r, struct S *m)                                                 \
    {                                                                                          \
        return get_body(r, &body, m, sizeof *m);                                               \
    }
GET(msg_get_ping, msg_ping, ping)
GET(msg_get_indirect_ping, msg_indirect_ping, indirect_ping)
GET(msg_get_ack, msg_ack, ack)
GET(msg_get_nack, msg_nack, nack)
GET(msg_get_err, msg_err, err_reply)
GET(msg_get_accuse, msg_accuse, accuse)
GET(msg_get_alive, msg_alive, alive)
GET(msg_get_push_pull, msg_push_pull, push_pull)
GET(msg_get_node, msg_node, node)
GET(msg_get_user_header, msg_user_header, user_header)
GET(msg_get_compress, msg_compress, compress)
