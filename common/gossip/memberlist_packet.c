#include "base/log.h"
#include "base/mem.h"
#include "gossip/digest.h"
#include "gossip/memberlist_priv.h"
#include "gossip/messages.h"
#include "gossip/msgpack.h"

#include <string.h>

enum {
    COMPOUND_OVERHEAD = 2, /* per part, and once for the compound */
    USER_OVERHEAD = 3,     /* the same and a type byte */
    CRC_VERSION = 5,       /* protocol versions that know ... */
    NACK_VERSION = 4,
    QUIET_MS = 60000, /* between two log lines of one kind */
};

/* --- sending ------------------------------------------------------------------------------- */

/* Where the packets of one send go. */
struct packet_to {
    struct memberlist *ml;
    const struct gossip_addr *to;
    bool crc;
};

/* Wrap one packet: label, checksum, compression; hand it to the driver. */
static void send_packet(void *arg, struct str msg)
{
    const struct packet_to *t = arg;
    struct memberlist_action a = {.verb = ML_PACKET, .to = *t->to};
    struct buf inner = {0};
    packet_put_label(&a.bytes, t->ml->cfg.label);
    if (packet_pack(&inner, msg, t->ml->cfg.compression) != 0)
        a.bytes.error = ERR_NOMEM;
    if (t->crc) {
        buf_u8(&a.bytes, MSG_CRC);
        buf_u32be(&a.bytes, digest_crc32(buf_view(&inner)));
    }
    buf_str(&a.bytes, buf_view(&inner));
    buf_reset(&inner);
    (void)ml_act(t->ml, &a);
}

static void send_parts(struct memberlist *ml, const struct gossip_addr *to,
                       const struct member *peer, struct parts *p)
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
    return ml->cfg.packet_bytes - COMPOUND_OVERHEAD - (label == 0 ? 0 : 2 + label);
}

void ml_send(struct memberlist *ml, const struct gossip_addr *to, const struct member *peer,
             struct buf *msg)
{
    struct parts p = {0};
    parts_add(&p, (struct str){0}, buf_view(msg));
    if (msg->error != 0)
        p.error = msg->error;
    else if (packet_budget(ml) > msg->size)
        add_broadcasts(ml, &p, packet_budget(ml) - msg->size);
    buf_reset(msg);
    send_parts(ml, to, peer, &p);
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
        send_parts(ml, &peers[i]->addr, peers[i], &p);
    }
}

/* --- probing ------------------------------------------------------------------------------- */

static struct msg_ping ping_for(const struct memberlist *ml, uint32_t seq, struct str name)
{
    const struct member *self = members_self(ml->members);
    return (struct msg_ping){.seq = seq,
                             .node = name,
                             .source_ip = gossip_addr_ip(&self->addr),
                             .source_port = self->addr.port,
                             .source_node = self->name};
}

static void probe_end(struct memberlist *ml, bool acked)
{
    struct probe *p = &ml->probe;
    int32_t delta = -1;
    if (!acked) {
        delta = p->nacks_expected > 0 ? (int32_t)(p->nacks_expected - p->nacks) : 1;
        ml->stats.probes_failed++;
    }
    members_awareness_add(ml->members, delta);
    if (!acked) {
        struct msg_accuse s = {p->incarnation, p->name, ml->cfg.name};
        (void)members_on_suspect(ml->members, &s, ml->now); /* the next probe tries again */
    }
    mem_free((void *)(uintptr_t)p->name.data);
    *p = (struct probe){0};
}

/* Ping a member; a suspected one is told so in the same packet, to let it refute. */
static void probe_start(struct memberlist *ml, const struct member *target)
{
    struct probe *p = &ml->probe;
    char *name = str_dup_c(target->name);
    if (name == NULL)
        return;
    mono_ms round = (mono_ms)ml->cfg.probe_interval_ms * (members_awareness(ml->members) + 1);
    *p = (struct probe){.running = true,
                        .seq = ++ml->last_seq,
                        .addr = target->addr,
                        .name = str_of(name, target->name.len),
                        .incarnation = target->incarnation,
                        .ask_due = ml->now + ml->cfg.probe_timeout_ms,
                        .due = ml->now + round};
    ml->stats.probes++;
    struct msg_ping ping = ping_for(ml, p->seq, target->name);
    struct buf msg = {0};
    msg_put_ping(&msg, &ping);
    if (target->state == MEMBER_ALIVE) {
        ml_send(ml, &target->addr, NULL, &msg);
        return;
    }
    struct parts parts = {0};
    struct buf suspect = {0};
    struct msg_accuse s = {target->incarnation, target->name, ml->cfg.name};
    msg_put_suspect(&suspect, &s);
    parts_add(&parts, (struct str){0}, buf_view(&msg));
    parts_add(&parts, (struct str){0}, buf_view(&suspect));
    if (msg.error != 0 || suspect.error != 0)
        parts.error = ERR_NOMEM;
    buf_reset(&msg);
    buf_reset(&suspect);
    send_parts(ml, &target->addr, target, &parts);
}

void ml_probe_next(struct memberlist *ml)
{
    if (ml->probe.running || members_is_leaving(ml->members))
        return;
    for (size_t checked = 0; checked <= members_count(ml->members); checked++) {
        if (ml->probe_at >= members_count(ml->members)) { /* a full round is over */
            members_reap(ml->members, ml->now);
            ml->probe_at = 0;
        }
        const struct member *m = members_at(ml->members, ml->probe_at++);
        if (m == members_self(ml->members) || m->state > MEMBER_SUSPECT)
            continue;
        probe_start(ml, m);
        return;
    }
}

static bool can_help(void *arg, const struct member *m)
{
    const struct memberlist *ml = arg;
    return m->state == MEMBER_ALIVE && m != members_self(ml->members) &&
           !str_eq(m->name, ml->probe.name);
}

enum { HELPERS_MAX = 16 };

/* No ack in time: ask others to ping it. */
static void probe_ask_others(struct memberlist *ml)
{
    struct probe *p = &ml->probe;
    const struct member *self = members_self(ml->members), *helpers[HELPERS_MAX];
    uint32_t want = ml->cfg.indirect_checks < HELPERS_MAX ? ml->cfg.indirect_checks : HELPERS_MAX;
    size_t count = members_pick(ml->members, want, can_help, ml, helpers);
    p->asked_others = true;
    for (size_t i = 0; i < count; i++) {
        bool nack = helpers[i]->vsn[1] >= NACK_VERSION;
        struct msg_indirect_ping ask = {.seq = p->seq,
                                        .target_ip = gossip_addr_ip(&p->addr),
                                        .port = p->addr.port,
                                        .node = p->name,
                                        .nack = nack,
                                        .source_ip = gossip_addr_ip(&self->addr),
                                        .source_port = self->addr.port,
                                        .source_node = self->name};
        struct buf msg = {0};
        msg_put_indirect_ping(&msg, &ask);
        p->nacks_expected += nack ? 1 : 0;
        ml_send(ml, &helpers[i]->addr, NULL, &msg);
    }
}

static void relay_end(struct memberlist *ml, struct relay *r)
{
    list_remove(&r->link);
    ml->relay_count--;
    mem_free(r);
}

/* The target of an indirect ping did not answer in time: say so, if that was asked for. */
static void relays_tick(struct memberlist *ml)
{
    LIST_EACH_SAFE(link, &ml->relays) {
        struct relay *r = LIST_ITEM(link, struct relay, link);
        if (r->due > ml->now)
            return; /* they stand in order of time */
        if (r->nack) {
            struct buf msg = {0};
            msg_put_nack(&msg, &(struct msg_nack){r->asked_seq});
            ml_send(ml, &r->to, NULL, &msg);
        }
        relay_end(ml, r);
    }
}

void ml_probe_tick(struct memberlist *ml)
{
    struct probe *p = &ml->probe;
    relays_tick(ml);
    if (p->running && !p->asked_others && p->ask_due <= ml->now)
        probe_ask_others(ml);
    if (p->running && p->due <= ml->now)
        probe_end(ml, false);
}

mono_ms ml_probe_due(const struct memberlist *ml)
{
    const struct list *first = list_first(&ml->relays);
    mono_ms due = first == NULL ? MONO_NEVER : LIST_ITEM(first, struct relay, link)->due;
    if (ml->probe.running) {
        mono_ms next = ml->probe.asked_others ? ml->probe.due : ml->probe.ask_due;
        due = next < due ? next : due;
    }
    return due;
}

/* --- receiving ----------------------------------------------------------------------------- */

struct incoming {
    struct memberlist *ml;
    const struct gossip_addr *from;
    int bad;
};

/* Where an answer goes: the source that the message names, else the packet's sender. */
static struct gossip_addr answer_to(const struct incoming *in, struct str ip, uint64_t port)
{
    struct gossip_addr a;
    if (port > 0 && gossip_addr_of_bytes(&a, ip, (uint16_t)port) == 0)
        return a;
    return *in->from;
}

static int on_ping(struct incoming *in, struct mp_reader *r)
{
    struct msg_ping m;
    int rc = msg_get_ping(r, &m);
    if (rc != 0)
        return rc;
    if (m.node.len > 0 && !str_eq(m.node, in->ml->cfg.name))
        return 0; /* meant for another: the address changed hands */
    struct gossip_addr to = answer_to(in, m.source_ip, m.source_port);
    struct buf msg = {0};
    msg_put_ack(&msg, &(struct msg_ack){.seq = m.seq});
    ml_send(in->ml, &to, NULL, &msg);
    return 0;
}

static int on_indirect_ping(struct incoming *in, struct mp_reader *r)
{
    struct memberlist *ml = in->ml;
    struct msg_indirect_ping m;
    struct gossip_addr target;
    int rc = msg_get_indirect_ping(r, &m);
    if (rc != 0)
        return rc;
    uint16_t port = m.port == 0 ? ml->cfg.default_port : (uint16_t)m.port;
    if (gossip_addr_of_bytes(&target, m.target_ip, port) != 0)
        return ERR_PARSE;
    if (ml->relay_count == RELAYS_MAX)
        return ERR_LIMIT;
    struct relay *relay = mem_zalloc(sizeof *relay);
    if (relay == NULL)
        return ERR_NOMEM;
    *relay = (struct relay){.seq = ++ml->last_seq,
                            .asked_seq = (uint32_t)m.seq,
                            .to = answer_to(in, m.source_ip, m.source_port),
                            .nack = m.nack,
                            .due = ml->now + ml->cfg.probe_timeout_ms};
    list_push_back(&ml->relays, &relay->link);
    ml->relay_count++;
    struct msg_ping ping = ping_for(ml, relay->seq, m.node);
    struct buf msg = {0};
    msg_put_ping(&msg, &ping);
    ml_send(ml, &target, NULL, &msg);
    return 0;
}

static int on_ack(struct incoming *in, struct mp_reader *r)
{
    struct memberlist *ml = in->ml;
    struct msg_ack m;
    int rc = msg_get_ack(r, &m);
    if (rc != 0)
        return rc;
    if (ml->probe.running && ml->probe.seq == m.seq) {
        probe_end(ml, true);
        return 0;
    }
    LIST_EACH(link, &ml->relays) {
        struct relay *relay = LIST_ITEM(link, struct relay, link);
        if (relay->seq != m.seq)
            continue;
        struct buf msg = {0};
        msg_put_ack(&msg, &(struct msg_ack){.seq = relay->asked_seq});
        ml_send(ml, &relay->to, NULL, &msg);
        relay_end(ml, relay);
        break;
    }
    return 0;
}

static int on_nack(struct incoming *in, struct mp_reader *r)
{
    struct probe *p = &in->ml->probe;
    struct msg_nack m;
    int rc = msg_get_nack(r, &m);
    if (rc == 0 && p->running && p->seq == m.seq && p->nacks < p->nacks_expected)
        p->nacks++;
    return rc;
}

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
        rc = on_ping(in, &r);
        break;
    case MSG_INDIRECT_PING:
        rc = on_indirect_ping(in, &r);
        break;
    case MSG_ACK:
        rc = on_ack(in, &r);
        break;
    case MSG_NACK:
        rc = on_nack(in, &r);
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
        in->ml->stats.packets_unknown++;
        break;
    }
    if (rc == ERR_NOMEM)
        in->ml->stats.dropped_nomem++;
    else if (rc != 0)
        in->bad++;
}

static void log_foreign(struct memberlist *ml, const struct gossip_addr *from)
{
    uint64_t left_out = 0;
    char text[GOSSIP_ADDR_TEXT_MAX];
    if (!log_rate_pass(&ml->label_rate, ml->now, QUIET_MS, &left_out))
        return;
    gossip_addr_text(from, text);
    log_line(ml->log, LOG_WARN,
             "packet of another cluster dropped; compare -memberlist.cluster-label of both",
             LOG_C("from", text), LOG_S("our_label", ml->cfg.label),
             LOG_U("left_out", left_out));
}

void memberlist_on_packet(struct memberlist *ml, const struct gossip_addr *from,
                          struct str bytes, mono_ms now)
{
    struct incoming in = {ml, from, 0};
    ml->now = now;
    members_heard(ml->members, now);
    int rc = packet_strip_label(&bytes, ml->cfg.label, ml->cfg.any_label);
    if (rc == ERR_DENIED) {
        ml->stats.packets_foreign++;
        log_foreign(ml, from);
        return;
    }
    if (rc == 0)
        rc = packet_open(bytes, on_message, &in, NULL);
    if (rc == 0 && in.bad == 0)
        return;
    ml->stats.packets_bad++;
    uint64_t left_out = 0;
    if (!log_rate_pass(&ml->bad_rate, now, QUIET_MS, &left_out))
        return;
    char text[GOSSIP_ADDR_TEXT_MAX];
    gossip_addr_text(from, text);
    log_line(ml->log, LOG_WARN, "packet could not be read", LOG_C("from", text),
             LOG_C("reason", err_text(rc != 0 ? rc : ERR_PARSE)), LOG_U("bytes", bytes.len),
             LOG_U("left_out", left_out));
}
