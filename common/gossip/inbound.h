/* gossip/inbound.h - who may be connected: places for connections that come in, shared fairly.
 *
 * Nobody is turned away because others were first. When all places are taken, the newcomer gets
 * that of the peer (an IP address) with the most: its oldest connection that has not said what it
 * wants yet, or else its oldest. So a peer that opens connections without end takes only its own
 * places, and one that is quick gets through even if it shares an address with such a peer. The
 * same goes for the bytes of half-received packets. TLS handshakes, which cost time, are counted
 * by peer too.
 * Pure core; one owner thread. Tests: tests/unit/gossip/test_inbound.c. */
#ifndef GOSSIP_INBOUND_H
#define GOSSIP_INBOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/time.h"
#include "gossip/addr.h"

struct inbound;
struct inbound_peer;

struct inbound_limits {
    size_t seats;             /* connections in all */
    size_t bytes;             /* held for packets that are half in */
    size_t shakes_per_peer;   /* TLS handshakes under way */
};

/* A connection's place. Embed it, all-zero at first. */
struct inbound_seat {
    struct list link;
    struct inbound_peer *peer; /* NULL: it has none */
    size_t bytes;
    bool shaking, settled;
};

/* ERR_NOMEM. */
int inbound_init(struct inbound **out, const struct inbound_limits *limits);

/* All seats must have been left. NULL-safe; leaves *in NULL. */
void inbound_free(struct inbound **in);

/* Take a seat; there may be one too many now, see inbound_surplus(). ERR_NOMEM. */
int inbound_enter(struct inbound *in, const struct gossip_addr *from, struct inbound_seat *seat);

/* Give it back. Does nothing without a seat. */
void inbound_leave(struct inbound *in, struct inbound_seat *seat);

/* The one whose connection is to be closed, since there are more than there are places; NULL:
 * there are not. */
struct inbound_seat *inbound_surplus(const struct inbound *in);

/* It holds `bytes` in all for a packet. Returns the one whose connection is to be closed, since
 * all hold more than there is room for: the largest of the peer that holds most; may be `seat`. */
struct inbound_seat *inbound_hold(struct inbound *in, struct inbound_seat *seat, size_t bytes);

/* A handshake begins: false when its peer has too many under way. It ends. */
bool inbound_shake(struct inbound *in, struct inbound_seat *seat);
void inbound_shaken(struct inbound *in, struct inbound_seat *seat);

/* It has said what it wants. */
void inbound_settle(struct inbound *in, struct inbound_seat *seat);

/* Seats taken, and those of one peer. */
size_t inbound_count(const struct inbound *in);
size_t inbound_count_of(const struct inbound *in, const struct gossip_addr *from);

#endif
