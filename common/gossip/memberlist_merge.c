/* Push/pull: our whole state, and what comes of a peer's. */
#include <string.h>

#include "base/err.h"
#include "gossip/memberlist_priv.h"
#include "gossip/messages.h"
#include "gossip/msgpack.h"

/* Append our whole state: members, then the delegate's. */
static void put_state(struct memberlist *ml, struct buf *out, bool join)
{
    struct buf user = {0};
    if (ml->delegate.put_state != NULL)
        ml->delegate.put_state(ml->delegate.arg, &user);
    struct msg_push_pull header = {.nodes = (int64_t)members_count(ml->members),
                                   .user_bytes = (int64_t)user.size,
                                   .join = join};
    msg_put_push_pull(out, &header);
    for (size_t i = 0; i < members_count(ml->members); i++) {
        const struct member *m = members_at(ml->members, i);
        struct msg_node n = {.name = m->name,
                             .ip = gossip_addr_ip(&m->addr),
                             .port = m->addr.port,
                             .meta = m->meta,
                             .incarnation = m->incarnation,
                             .state = m->state,
                             .vsn = str_of(m->vsn, MEMBER_VSN_SIZE)};
        msg_put_node(out, &n);
    }
    buf_str(out, buf_view(&user));
    if (user.error != 0)
        out->error = user.error;
    buf_reset(&user);
}

void ml_put_state(struct memberlist *ml, struct buf *out, bool join)
{
    struct buf plain = {0};
    put_state(ml, &plain, join);
    if (plain.error != 0)
        out->error = plain.error;
    else
        ml_put_frame(ml, out, buf_view(&plain));
    buf_reset(&plain);
}

/* --- merging -------------------------------------------------------------------------------- */

/* Ranges of versions that all alive members speak. */
struct ranges {
    uint8_t min[2], max[2]; /* protocol, delegate */
};

static void ranges_add(struct ranges *r, const uint8_t *vsn)
{
    for (int i = 0; i < 2; i++) {
        r->min[i] = vsn[3 * i] > r->min[i] ? vsn[3 * i] : r->min[i];
        r->max[i] = vsn[3 * i + 1] < r->max[i] ? vsn[3 * i + 1] : r->max[i];
    }
}

/* 0 for the protocol, 1 for the delegate, whichever a member speaks outside of the ranges; or 2. */
static int ranges_broken(const struct ranges *r, const uint8_t *vsn)
{
    int i = 0;
    while (i < 2 && vsn[3 * i + 2] >= r->min[i] && vsn[3 * i + 2] <= r->max[i])
        i++;
    return i;
}

static bool fits(struct memberlist *ml, const struct stream *s, const struct ranges *r,
                 struct str name, const uint8_t *vsn)
{
    static const char *const parts[] = {"protocol", "delegate"};
    int bad = ranges_broken(r, vsn);
    if (bad == 2)
        return true;
    const uint8_t what[3] = {r->min[bad], r->max[bad], vsn[3 * bad + 2]};
    ml_diag_version(ml, &s->peer, name, parts[bad], what);
    return false;
}

static struct mp_reader nodes_reader(const struct stream *s)
{
    return mp_reader_of(str_of(s->in.data + s->nodes_at, s->in.size - s->nodes_at));
}

static void vsn_of(const struct msg_node *n, uint8_t out[MEMBER_VSN_SIZE])
{
    for (size_t i = 0; i < MEMBER_VSN_SIZE; i++)
        out[i] = i < n->vsn.len ? (uint8_t)n->vsn.data[i] : 0;
}

/* memberlist's verifyProtocol: every member, here and there, must speak what all alive ones do. */
static bool versions_fit(struct memberlist *ml, const struct stream *s)
{
    struct ranges r = {.max = {UINT8_MAX, UINT8_MAX}};
    uint8_t vsn[MEMBER_VSN_SIZE];
    struct msg_node n;
    struct mp_reader first = nodes_reader(s), second = first;
    for (int64_t i = 0; i < s->nodes && msg_get_node(&first, &n) == 0; i++) {
        vsn_of(&n, vsn);
        if (n.state == MEMBER_ALIVE && n.vsn.len >= 5)
            ranges_add(&r, vsn);
    }
    for (size_t i = 0; i < members_count(ml->members); i++)
        if (members_at(ml->members, i)->state == MEMBER_ALIVE)
            ranges_add(&r, members_at(ml->members, i)->vsn);
    for (int64_t i = 0; i < s->nodes && msg_get_node(&second, &n) == 0; i++) {
        vsn_of(&n, vsn);
        if (!fits(ml, s, &r, n.name, vsn))
            return false;
    }
    for (size_t i = 0; i < members_count(ml->members); i++) {
        const struct member *m = members_at(ml->members, i);
        if (!fits(ml, s, &r, m->name, m->vsn))
            return false;
    }
    return true;
}

/* Is that us, at another address? Then it is not we who are suspected. */
static void look_for_namesake(struct memberlist *ml, const struct msg_node *n)
{
    const struct member *self = members_self(ml->members);
    struct gossip_addr addr;
    uint16_t port = n->port == 0 ? ml->cfg.default_port : (uint16_t)n->port;
    if (str_eq(n->name, self->name) && gossip_addr_of_bytes(&addr, n->ip, port) == 0 &&
        !gossip_addr_eq(&addr, &self->addr))
        (void)members_on_namesake(ml->members, &addr, (uint32_t)n->incarnation, ml->now);
}

/* The peer's own entry, if *callers are left: one exchange brings one caller. We dialled its
 * address, or it called from there (its port then is another). */
static bool is_caller(const struct stream *s, const struct msg_node *n, int *callers)
{
    struct gossip_addr addr;
    uint8_t ours[16], theirs[16];
    if (*callers == 0 || gossip_addr_of_bytes(&addr, n->ip, (uint16_t)n->port) != 0)
        return false;
    gossip_addr_key(&s->peer, ours);
    gossip_addr_key(&addr, theirs);
    if (memcmp(ours, theirs, sizeof ours) != 0 || (s->ours && addr.port != s->peer.port))
        return false;
    *callers -= 1;
    return true;
}

/* One member as the peer sees it. What it holds for dead we only suspect, so that the member has
 * the chance to refute. */
static int merge_node(struct memberlist *ml, const struct stream *s, const struct msg_node *n,
                      int *callers)
{
    struct msg_alive alive = {.incarnation = n->incarnation,
                              .node = n->name,
                              .ip = n->ip,
                              .port = n->port,
                              .meta = n->meta,
                              .vsn = n->vsn};
    struct msg_accuse accuse = {n->incarnation, n->name, {0}};
    switch (n->state) {
    case MEMBER_ALIVE:
        return members_get(ml->members, n->name) == NULL && is_caller(s, n, callers)
                   ? members_on_caller(ml->members, &alive, ml->now)
                   : members_on_alive(ml->members, &alive, ml->now);
    case MEMBER_LEFT:
        accuse.from = n->name;
        return members_on_dead(ml->members, &accuse, ml->now);
    case MEMBER_SUSPECT:
    case MEMBER_DEAD:
        look_for_namesake(ml, n);
        accuse.from = members_self(ml->members)->name;
        return members_on_suspect(ml->members, &accuse, ml->now);
    default:
        return 0;
    }
}

int ml_merge(struct memberlist *ml, struct stream *s)
{
    struct msg_node n;
    struct mp_reader r = nodes_reader(s);
    int callers = 1;
    if (!versions_fit(ml, s))
        return ERR_VERSION;
    for (int64_t i = 0; i < s->nodes && msg_get_node(&r, &n) == 0; i++)
        if (merge_node(ml, s, &n, &callers) != 0)
            ml->stats.dropped_nomem++;
    if (s->user_bytes > 0 && ml->delegate.on_state != NULL)
        ml->delegate.on_state(ml->delegate.arg,
                              str_of(s->in.data + s->at, (size_t)s->user_bytes));
    ml->stats.streams_ok++;
    return 0;
}
