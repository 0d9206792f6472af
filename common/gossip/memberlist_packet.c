/* gossip/memberlist_packet.c - what goes into a packet that is sent, what is in one that came. */
#include "gossip/digest.h"
#include "gossip/memberlist_priv.h"
#include "gossip/messages.h"
#include "gossip/msgpack.h"


enum {
    COMPOUND_OVERHEAD = 2, /* per part, and once for the compound */
    USER_OVERHEAD = 3,     /* the same and a type byte */
    CRC_VERSION = 5,       /* protocol version that knows checksums */
};

/* --- sending ------------------------------------------------------------------------------- */

/* Where the packets of one send go. */
struct packet_to {
    struct memberlist *ml;
    const struct gossip_addr *to;
    bool crc;
};

static bool seals(const struct memberlist *ml)
{
    return ml->seal.seal != NULL && !ml->seal.plain_out;
}

/* Wrap one packet: label, encryption, checksum, compression; hand it to the driver. */
static void send_packet(void *arg, struct str msg)
{
    const struct packet_to *t = arg;
    struct memberlist *ml = t->ml;
    struct memberlist_action a = {.verb = ML_PACKET, .to = *t->to};
    struct buf inner = {0}, frame = {0};
    packet_put_label(&a.bytes, ml->cfg.label);
    if (packet_pack(&inner, msg, ml->cfg.compression) != 0)
        a.bytes.error = ERR_NOMEM;
    struct buf *out = seals(ml) ? &frame : &a.bytes;
    if (t->crc) {
        buf_u8(out, MSG_CRC);
        buf_u32be(out, digest_crc32(buf_view(&inner)));
    }
    buf_str(out, buf_view(&inner));
    if (frame.error != 0 ||
        (seals(ml) && ml->seal.seal(ml->seal.arg, buf_view(&frame), ml->cfg.label, &a.bytes) != 0))
        a.bytes.error = ERR_NOMEM;
    buf_reset(&inner);
    buf_reset(&frame);
    (void)ml_act(ml, &a);
}

void ml_send_parts(struct memberlist *ml, const struct gossip_addr *to, const struct member *peer,
                   struct parts *p)
{
    struct packet_to t = {ml, to, peer != NULL && peer->vsn[1] >= CRC_VERSION};
    if (parts_send(p, send_packet, &t) != 0)
        ml->stats.dropped_nomem++;
    parts_reset(p);
}

static void add_plain(void *arg, struct str msg)
{
    parts_add(arg, (struct str){0}, msg);
}

static void add_user(void *arg, struct str msg)
{
    static const char type = MSG_USER;
    parts_add(arg, str_of(&type, 1), msg);
}

/* Add broadcasts of membership, then the delegate's, up to `budget` bytes. */
static void add_broadcasts(struct memberlist *ml, struct parts *p, size_t budget)
{
    size_t members = members_count(ml->members);
    uint32_t limit = bcast_limit(ml->cfg.retransmit_mult, members);
    size_t used = bcast_take(ml->queue, budget, COMPOUND_OVERHEAD, limit, add_plain, p);
    if (budget - used > USER_OVERHEAD && ml->delegate.take != NULL)
        (void)ml->delegate.take(ml->delegate.arg, budget - used, USER_OVERHEAD,
                                members_active_count(ml->members), add_user, p);
}

static size_t packet_budget(const struct memberlist *ml)
{
    size_t label = ml->cfg.label.len;
    size_t wrap = (label == 0 ? 0 : 2 + label) + (seals(ml) ? ml->seal.overhead : 0);
    return ml->cfg.packet_bytes - COMPOUND_OVERHEAD - wrap;
}

void ml_send(struct memberlist *ml, const struct gossip_addr *to, const struct member *peer,
             struct buf *msg)
{
    struct parts p = {0};
    if (ml->action_count >= ACTIONS_MAX) { /* before any work is put into it */
        ml->stats.dropped_full++;
        buf_reset(msg);
        return;
    }
    parts_add(&p, (struct str){0}, buf_view(msg));
    if (msg->error != 0)
        p.error = msg->error;
    else if (packet_budget(ml) > msg->size)
        add_broadcasts(ml, &p, packet_budget(ml) - msg->size);
    buf_reset(msg);
    ml_send_parts(ml, to, peer, &p);
}

static bool wants_gossip(void *arg, const struct member *m)
{
    const struct memberlist *ml = arg;
    if (m == members_self(ml->members))
        return false;
    return m->state <= MEMBER_SUSPECT ||
           (m->state == MEMBER_DEAD && ml->now - m->changed <= ml->cfg.dead_gossip_ms);
}

enum { GOSSIP_NODES_MAX = 64 };

void ml_gossip(struct memberlist *ml)
{
    const struct member *peers[GOSSIP_NODES_MAX];
    size_t want = ml->cfg.gossip_nodes;
    size_t count = members_pick(ml->members, want < GOSSIP_NODES_MAX ? want : GOSSIP_NODES_MAX,
                                wants_gossip, ml, peers);
    for (size_t i = 0; i < count; i++) {
        struct parts p = {0};
        add_broadcasts(ml, &p, packet_budget(ml));
        if (p.count == 0) {
            parts_reset(&p);
            return;
        }
        ml_send_parts(ml, &peers[i]->addr, peers[i], &p);
    }
}

/* --- receiving ----------------------------------------------------------------------------- */

struct incoming {
    struct memberlist *ml;
    const struct gossip_addr *from;
    int bad;
};

static int on_member_news(struct incoming *in, uint8_t type, struct mp_reader *r)
{
    struct members *members = in->ml->members;
    struct msg_alive alive;
    struct msg_accuse accuse;
    int rc = type == MSG_ALIVE ? msg_get_alive(r, &alive) : msg_get_accuse(r, &accuse);
    if (rc != 0)
        return rc;
    if (type == MSG_ALIVE)
        return members_on_alive(members, &alive, in->ml->now);
    if (type == MSG_SUSPECT)
        return members_on_suspect(members, &accuse, in->ml->now);
    return members_on_dead(members, &accuse, in->ml->now);
}

/* One message of a packet. */
static void on_message(void *arg, uint8_t type, struct str body)
{
    struct incoming *in = arg;
    struct mp_reader r = mp_reader_of(body);
    int rc = 0;
    switch (type) {
    case MSG_PING:
        rc = ml_on_ping(in->ml, in->from, &r);
        break;
    case MSG_INDIRECT_PING:
        rc = ml_on_indirect_ping(in->ml, in->from, &r);
        break;
    case MSG_ACK:
        rc = ml_on_ack(in->ml, &r);
        break;
    case MSG_NACK:
        rc = ml_on_nack(in->ml, &r);
        break;
    case MSG_ALIVE:
    case MSG_SUSPECT:
    case MSG_DEAD:
        rc = on_member_news(in, type, &r);
        break;
    case MSG_USER:
        if (in->ml->delegate.on_message != NULL)
            in->ml->delegate.on_message(in->ml->delegate.arg, body);
        break;
    default:
        ml_diag_unknown(in->ml, in->from, type);
        break;
    }
    if (rc == ERR_NOMEM)
        in->ml->stats.dropped_nomem++;
    else if (rc != 0)
        in->bad++;
}

/* Open what is sealed: *bytes then borrows from *opened. */
static int unseal(const struct memberlist *ml, struct str *bytes, struct buf *opened)
{
    if (ml->seal.open == NULL)
        return 0;
    int rc = ml->seal.open(ml->seal.arg, *bytes, ml->cfg.label, opened);
    if (rc == ERR_DENIED && ml->seal.plain_in)
        return 0;
    *bytes = buf_view(opened);
    return rc;
}

void memberlist_on_packet(struct memberlist *ml, const struct gossip_addr *from,
                          struct str bytes, mono_ms now)
{
    struct incoming in = {ml, from, 0};
    struct buf opened = {0};
    ml->now = now;
    members_heard(ml->members, now);
    ml->reach.last_in = now;
    int rc = packet_strip_label(&bytes, ml->cfg.label, ml->cfg.any_label);
    if (rc == ERR_DENIED) {
        ml_diag_label(ml, from, packet_label(bytes), false);
        return;
    }
    if (rc == 0)
        rc = unseal(ml, &bytes, &opened);
    if (rc == 0)
        rc = packet_open(bytes, on_message, &in, NULL);
    if (rc == ERR_NOMEM) {
        ml->stats.dropped_nomem++;
    } else if (rc != 0 || in.bad > 0) {
        ml->stats.packets_bad++;
        ml_diag_bad(ml, from,
                    rc == ERR_DENIED ? "packet could not be decrypted; do both have the same key?"
                                     : "packet could not be read",
                    err_text(rc != 0 ? rc : ERR_PARSE), bytes.len);
    }
    buf_reset(&opened);
}
