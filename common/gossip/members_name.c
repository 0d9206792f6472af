/* Names taken twice. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gossip/broadcast.h"
#include "gossip/members_priv.h"

/* Two processes with one name, or one that came back elsewhere before its death was noticed. */
void member_log_conflict(struct members *m, const struct member *n, const struct gossip_addr *to,
                         mono_ms now)
{
    uint64_t left_out = 0;
    char known[GOSSIP_ADDR_TEXT_MAX], other[GOSSIP_ADDR_TEXT_MAX];
    bool own = n == m->self;
    m->stats.conflicts++;
    m->stats.own_conflicts += own ? 1 : 0;
    static const char of_ours[] = "our name", of_others[] = "another's name";
    if (!quiet_pass(&m->quiet, to, own ? of_ours : of_others, now, &left_out))
        return;
    gossip_addr_text(&n->addr, known);
    gossip_addr_text(to, other);
    if (own)
        log_line(m->log, LOG_ERROR,
                 "another process has this member's name, or its former self is not yet known to "
                 "be dead: others see only one of the two; give each process its own "
                 "-memberlist.nodename, or leave -memberlist.randomize-node-name on",
                 LOG_S("member", n->name), LOG_C("our_addr", known), LOG_C("other_addr", other),
                 LOG_U("left_out", left_out));
    else
        log_line(m->log, LOG_WARN,
                 "a member's name is announced from two addresses; give each process its own "
                 "-memberlist.nodename, or leave -memberlist.randomize-node-name on",
                 LOG_S("member", n->name), LOG_C("known", known), LOG_C("ignored", other),
                 LOG_U("left_out", left_out));
}

/* Be called `name` (taken) from now on. ERR_NOMEM: nothing changed. */
static int rename_self(struct members *m, const char *name, uint32_t old_incarnation)
{
    struct member *n = m->self;
    struct str old = n->name;
    if (map_put(m->by_name, str_c(name), n, NULL) != 0)
        return ERR_NOMEM;
    (void)map_remove(m->by_name, old);
    struct msg_accuse left = {old_incarnation, old, old};
    m->former[m->renames++] = left;
    m->stats.renamed++;
    n->name = str_c(name);
    log_line(m->log, LOG_WARN, "took another name, since ours is somebody else's",
             LOG_S("old", old), LOG_S("member", n->name));
    /* Once in place of what is queued about the old name, and once where news of the other bearer
     * does not replace it. What fails for lack of memory, push/pull and probing make up for. */
    struct buf msg = {0};
    (void)member_announce_accuse(m, true, &left, NULL);
    msg_put_dead(&msg, &left);
    (void)member_announce(m, STR("our former name"), &msg, NULL);
    buf_reset(&msg);
    (void)member_announce_self(m);
    return 0;
}

bool members_on_namesake(struct members *m, const struct gossip_addr *other, uint32_t incarnation,
                         mono_ms now)
{
    uint8_t ours[16], theirs[16];
    const struct gossip_addr *self = &m->self->addr;
    member_log_conflict(m, m->self, other, now);
    if (m->stats.own_conflicts == 1 || now - m->namesake_last > NAMESAKE_MS)
        m->namesake_since = now;
    m->namesake_last = now;
    if (!m->cfg.rename || m->leaving || m->renames == RENAMES_MAX || now < m->next_rename)
        return false;
    gossip_addr_key(self, ours);
    gossip_addr_key(other, theirs);
    int order = memcmp(ours, theirs, sizeof ours);
    bool lower = order < 0 || (order == 0 && self->port < other->port);
    if (lower && now - m->born >= YOUNG_MS && now - m->namesake_since < NAMESAKE_MS)
        return false;
    struct buf name = {.limit = MEMBER_NAME_MAX};
    buf_printf(&name, "%.*s-%08x", STR_ARG(m->base_name), rng_u32(m->rng));
    const char *copy = name.error != 0 ? NULL : str_dup_c(buf_view(&name));
    buf_reset(&name);
    m->next_rename = now + RENAME_EVERY_MS;
    if (incarnation < m->self->incarnation)
        incarnation = m->self->incarnation;
    if (copy == NULL || rename_self(m, copy, incarnation) != 0) {
        mem_free((void *)(uintptr_t)copy);
        return false;
    }
    return true;
}

bool members_farewell(const struct members *m, struct str name, struct msg_accuse *out)
{
    for (size_t i = 0; i < m->renames; i++) {
        if (!str_eq(m->former[i].node, name))
            continue;
        *out = m->former[i];
        return true;
    }
    return false;
}

bool member_address_is_anothers(const struct members *m, const struct member *n)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct member *other = m->list[i];
        if (other != n && other->state == MEMBER_ALIVE && gossip_addr_eq(&other->addr, &n->addr))
            return true;
    }
    return false;
}
