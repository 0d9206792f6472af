/* Probing of members one after the other, directly, through others and over a stream. */
#include "base/mem.h"
#include "gossip/memberlist_priv.h"
#include "gossip/messages.h"
#include "gossip/msgpack.h"

enum { STREAM_PING_VERSION = 3, NACK_VERSION = 4 }; /* protocol versions that know them */

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
    ml_reach_probe(ml, acked, p->start);
    if (!acked && p->by_stream) { /* as good as an answer */
        ml_diag_stream_only(ml, &p->addr, p->name);
        acked = true;
    }
    if (!acked) {
        delta = p->nacks_expected > 0 ? (int32_t)(p->nacks_expected - p->nacks) : 1;
        ml->stats.probes_failed++;
    }
    members_awareness_add(ml->members, delta);
    if (acked)
        members_answered(ml->members, p->name);
    if (!acked) {
        struct msg_accuse s = {p->incarnation, p->name, members_self(ml->members)->name};
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
                        .vsn_max = target->vsn[1],
                        .start = ml->now,
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
    struct msg_accuse s = {target->incarnation, target->name, members_self(ml->members)->name};
    msg_put_suspect(&suspect, &s);
    parts_add(&parts, (struct str){0}, buf_view(&msg));
    parts_add(&parts, (struct str){0}, buf_view(&suspect));
    if (msg.error != 0 || suspect.error != 0)
        parts.error = ERR_NOMEM;
    buf_reset(&msg);
    buf_reset(&suspect);
    ml_send_parts(ml, &target->addr, target, &parts);
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
    if (ml->cfg.stream_pings && p->vsn_max >= STREAM_PING_VERSION)
        ml_stream_ping(ml, &p->addr, p->seq, p->name, p->due);
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

/* --- what comes in ------------------------------------------------------------------------- */

/* Where an answer goes: the source that the message names, else the packet's sender. */
static struct gossip_addr answer_to(const struct gossip_addr *from, struct str ip, uint64_t port)
{
    struct gossip_addr a;
    if (port > 0 && gossip_addr_of_bytes(&a, ip, (uint16_t)port) == 0)
        return a;
    return *from;
}

int ml_on_ping(struct memberlist *ml, const struct gossip_addr *from, struct mp_reader *r)
{
    struct msg_ping m;
    struct msg_accuse farewell;
    struct buf msg = {0};
    int rc = msg_get_ping(r, &m);
    if (rc != 0)
        return rc;
    if (m.node.len == 0 || str_eq(m.node, members_self(ml->members)->name)) {
        msg_put_ack(&msg, &(struct msg_ack){.seq = m.seq});
    } else if (members_farewell(ml->members, m.node, &farewell)) {
        msg_put_dead(&msg, &farewell);
    } else {
        ml_diag_misdirected(ml, from, m.node, m.source_node);
        return 0;
    }
    struct gossip_addr to = answer_to(from, m.source_ip, m.source_port);
    ml_send(ml, &to, NULL, &msg);
    return 0;
}

int ml_on_indirect_ping(struct memberlist *ml, const struct gossip_addr *from,
                        struct mp_reader *r)
{
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
                            .to = answer_to(from, m.source_ip, m.source_port),
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

int ml_on_ack(struct memberlist *ml, struct mp_reader *r)
{
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

void ml_on_stream_ack(struct memberlist *ml, uint32_t seq)
{
    struct probe *p = &ml->probe;
    if (p->running && p->seq == seq)
        p->by_stream = true;
}

int ml_on_nack(struct memberlist *ml, struct mp_reader *r)
{
    struct probe *p = &ml->probe;
    struct msg_nack m;
    int rc = msg_get_nack(r, &m);
    if (rc == 0 && p->running && p->seq == m.seq && p->nacks < p->nacks_expected)
        p->nacks++;
    return rc;
}
