/* gossip/packet.h - what stands around memberlist's messages in a packet: label, checksum,
 * compression, compound.
 *
 * Outermost to innermost as in hashicorp/memberlist net.go; encryption, which dskit never uses,
 * is refused. Opening hands out single messages; nothing from the wire is believed and the bytes
 * that one packet may unpack to are bounded. Pure; any thread.
 * Tests: tests/unit/gossip/test_packet.c; fuzz: tests/fuzz/fuzz_packet.c. */
#ifndef GOSSIP_PACKET_H
#define GOSSIP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum {
    PACKET_UNPACKED_MAX = 40 << 20, /* bytes out of compression, per packet or stream frame */
    PACKET_LABEL_MAX = 255,
    PACKET_PARTS_MAX = 255,    /* messages in one compound */
    PACKET_PART_BYTES = 65535, /* the longest that fits into a compound */
};

enum packet_compression { PACKET_PLAIN, PACKET_LZW, PACKET_SNAPPY };

/* One message, without its type byte; borrowed during the call. */
typedef void (*packet_fn)(void *arg, uint8_t type, struct str body);

/* Take the label header off *bytes. Without header the label is "". any: accept every label.
 * ERR_PARSE: a broken header; ERR_DENIED: another label than ours; *bytes untouched. */
int packet_strip_label(struct str *bytes, struct str label, bool any);

/* The label in front of the bytes; "" when there is none, or it is broken. Borrowed. */
struct str packet_label(struct str bytes);

/* Append the label header; nothing for "". Requires label.len <= PACKET_LABEL_MAX. */
void packet_put_label(struct buf *out, struct str label);

/* Append what the body of a compress message unpacks to; out->limit bounds it (set it).
 * ERR_PARSE (also: empty result of unknown algorithm), ERR_LIMIT, ERR_NOMEM. */
int packet_unpack(struct buf *out, struct str body);

/* Append `msg` compressed if that is shorter, else as it is. ERR_NOMEM, ERR_LIMIT. */
int packet_pack(struct buf *out, struct str msg, enum packet_compression how);

/* Open a packet behind its label and call fn for each message in it, in order. 0; or the first
 * failure, ERR_PARSE (a bad checksum, a broken frame), ERR_LIMIT, ERR_NOMEM, after the messages
 * before it were handed out. Parts cut off at the end of a compound are counted in *cut (may be
 * NULL), as memberlist does, and are no failure. */
int packet_open(struct str bytes, packet_fn fn, void *arg, uint32_t *cut);

/* Messages on their way into packets. All-zero is empty; parts_reset() gives memory back. */
struct parts {
    struct buf bytes;
    struct part {
        size_t at, size;
    } * items;
    size_t count, cap;
    int error; /* sticky: ERR_NOMEM */
};

/* Add a copy of prefix (may be empty) and msg as one message. */
void parts_add(struct parts *p, struct str prefix, struct str msg);
void parts_reset(struct parts *p);

/* Send the parts: each call of fn gets the bytes of one packet (before checksum and label): a bare
 * message when there is one, else compounds of at most PACKET_PARTS_MAX. Parts longer than
 * PACKET_PART_BYTES go alone and first. ERR_NOMEM. */
typedef void (*parts_fn)(void *arg, struct str packet);
int parts_send(const struct parts *p, parts_fn fn, void *arg);

#endif
