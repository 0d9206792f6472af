/* gossip/messages.h - the bodies of memberlist's messages, between structs and msgpack.
 *
 * One table of fields per body, in wire order (sorted by name), serves both directions. Decoded
 * strings are borrowed from the input. Unknown keys are skipped, missing ones are zero, as in Go.
 * Follows hashicorp/memberlist net.go. Pure; any thread.
 * Tests: tests/unit/gossip/test_messages.c. */
#ifndef GOSSIP_MESSAGES_H
#define GOSSIP_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct mp_reader;

/* First byte of every message. */
enum msg_type {
    MSG_PING = 0,
    MSG_INDIRECT_PING = 1,
    MSG_ACK = 2,
    MSG_SUSPECT = 3,
    MSG_ALIVE = 4,
    MSG_DEAD = 5,
    MSG_PUSH_PULL = 6,
    MSG_COMPOUND = 7,
    MSG_USER = 8,
    MSG_COMPRESS = 9,
    MSG_ENCRYPT = 10,
    MSG_NACK = 11,
    MSG_CRC = 12,
    MSG_ERR = 13,
    MSG_LABEL = 244,
};

/* As in the State field of a node. */
enum member_state { MEMBER_ALIVE, MEMBER_SUSPECT, MEMBER_DEAD, MEMBER_LEFT };

/* Also carries an indirect ping's request. Source fields are left out when empty. */
struct msg_ping {
    uint64_t seq;
    struct str node;
    struct str source_ip; /* 4 or 16 bytes */
    uint64_t source_port;
    struct str source_node;
};

struct msg_indirect_ping {
    uint64_t seq;
    struct str target_ip;
    uint64_t port;
    struct str node;
    bool nack;
    struct str source_ip;
    uint64_t source_port;
    struct str source_node;
};

struct msg_ack {
    uint64_t seq;
    struct str payload; /* data NULL: nil */
};

struct msg_nack {
    uint64_t seq;
};

struct msg_err {
    struct str text;
};

/* suspect and dead */
struct msg_accuse {
    uint64_t incarnation;
    struct str node;
    struct str from;
};

struct msg_alive {
    uint64_t incarnation;
    struct str node;
    struct str ip;
    uint64_t port;
    struct str meta; /* data NULL: nil */
    struct str vsn;  /* pMin pMax pCur dMin dMax dCur */
};

struct msg_push_pull {
    int64_t nodes;
    int64_t user_bytes;
    bool join;
};

/* One member inside a push/pull. */
struct msg_node {
    struct str name;
    struct str ip;
    uint64_t port;
    struct str meta;
    uint64_t incarnation;
    int64_t state; /* enum member_state, unchecked */
    struct str vsn;
};

struct msg_user_header {
    int64_t bytes;
};

struct msg_compress {
    uint64_t algo;
    struct str data;
};

/* Append the message with its type byte (a node has none). */
void msg_put_ping(struct buf *out, const struct msg_ping *m);
void msg_put_indirect_ping(struct buf *out, const struct msg_indirect_ping *m);
void msg_put_ack(struct buf *out, const struct msg_ack *m);
void msg_put_nack(struct buf *out, const struct msg_nack *m);
void msg_put_err(struct buf *out, const struct msg_err *m);
void msg_put_suspect(struct buf *out, const struct msg_accuse *m);
void msg_put_dead(struct buf *out, const struct msg_accuse *m);
void msg_put_alive(struct buf *out, const struct msg_alive *m);
void msg_put_push_pull(struct buf *out, const struct msg_push_pull *m);
void msg_put_node(struct buf *out, const struct msg_node *m);
void msg_put_user_header(struct buf *out, const struct msg_user_header *m);
void msg_put_compress(struct buf *out, const struct msg_compress *m);

/* Read one body, without its type byte, from the front of r. 0; ERR_AGAIN: the input ends too
 * early; ERR_PARSE: it will never be one. *m is set in full only on 0. */
int msg_get_ping(struct mp_reader *r, struct msg_ping *m);
int msg_get_indirect_ping(struct mp_reader *r, struct msg_indirect_ping *m);
int msg_get_ack(struct mp_reader *r, struct msg_ack *m);
int msg_get_nack(struct mp_reader *r, struct msg_nack *m);
int msg_get_err(struct mp_reader *r, struct msg_err *m);
int msg_get_accuse(struct mp_reader *r, struct msg_accuse *m);
int msg_get_alive(struct mp_reader *r, struct msg_alive *m);
int msg_get_push_pull(struct mp_reader *r, struct msg_push_pull *m);
int msg_get_node(struct mp_reader *r, struct msg_node *m);
int msg_get_user_header(struct mp_reader *r, struct msg_user_header *m);
int msg_get_compress(struct mp_reader *r, struct msg_compress *m);

#endif
