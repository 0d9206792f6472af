/* gossip/members.c - the table of nodes, and what alive, suspect and dead do to it. */
#include "gossip/members_priv.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "gossip/broadcast.h"

const uint8_t member_vsn[MEMBER_VSN_SIZE] = {1, 5, 2, 0, 0, 0};

static void member_free(struct member *n)
{
    mem_free(n->suspicion);
    mem_free((void *)(uintptr_t)n->meta.data);
    mem_free((void *)(uintptr_t)n->name.data);
    mem_free(n);
}

/* A copy of `meta` for a member; a nil or empty one is data NULL. ERR_NOMEM. */
static int meta_copy(struct str *out, struct str meta)
{
    *out = (struct str){0};
    if (meta.len == 0)
        return 0;
    char *copy = mem_dup(meta.data, meta.len);
    if (copy == NULL)
        return ERR_NOMEM;
    *out = str_of(copy, meta.len);
    return 0;
}

static void log_member(struct members *m, enum log_level level, const char *msg,
                       const struct member *n)
{
    char text[GOSSIP_ADDR_TEXT_MAX];
    gossip_addr_text(&n->addr, text);
    log_line(m->log, level, msg, LOG_S("member", n->name), LOG_C("addr", text),
             LOG_U("incarnation", n->incarnation), LOG_U("members", members_active_count(m)));
}

/* A member in state dead with incarnation 0, at a random place of the list; NULL: no memory. */
static struct member *member_add(struct members *m, struct str name,
                                 const struct gossip_addr *addr, mono_ms now)
{
    if (m->count == m->cap) {
        size_t cap = m->cap * 2 + 8;
        struct member **list = mem_realloc_array(m->list, cap, sizeof *list);
        if (list == NULL)
            return NULL;
        m->list = list;
        m->cap = cap;
    }
    struct member *n = mem_zalloc(sizeof *n);
    if (n == NULL)
        return NULL;
    n->name = str_of(str_dup_c(name), name.len);
    if (n->name.data == NULL || map_put(m->by_name, name, n, NULL) != 0) {
        member_free(n);
        return NULL;
    }
    n->addr = *addr;
    n->state = MEMBER_DEAD;
    n->changed = now;
    m->list[m->count] = n;
    size_t at = (size_t)rng_below(m->rng, m->count + 1);
    m->list[m->count++] = m->list[at];
    m->list[at] = n;
    return n;
}

/* Queue a message about a member under `name`. */
int member_announce(struct members *m, struct str name, const struct buf *msg, uint64_t *id)
{
    return msg->error != 0 ? msg->error : bcast_put(m->queue, name, buf_view(msg), id);
}

static int announce_alive(struct members *m, struct str name, const struct msg_alive *a)
{
    struct buf msg = {0};
    msg_put_alive(&msg, a);
    int rc = member_announce(m, name, &msg, NULL);
    buf_reset(&msg);
    return rc;
}

int member_announce_accuse(struct members *m, bool dead, const struct msg_accuse *s,
                           uint64_t *id)
{
    struct buf msg = {0};
    if (dead)
        msg_put_dead(&msg, s);
    else
        msg_put_suspect(&msg, s);
    int rc = member_announce(m, s->node, &msg, id);
    buf_reset(&msg);
    return rc;
}

int members_init(struct members **out, const struct members_config *config, struct bcast *queue,
                 struct rng *rng, const struct log *log, mono_ms now, struct err *err)
{
    if (config->name.len == 0 || config->name.len > MEMBER_NAME_MAX)
        return err_set(err, ERR_INVAL, "node name of %zu bytes", config->name.len);
    if (config->addr.size == 0 || config->addr.port == 0)
        return err_set(err, ERR_INVAL, "no address to announce");
    if (config->meta.len > MEMBER_META_MAX)
        return err_set(err, ERR_INVAL, "metadata of %zu bytes", config->meta.len);
    static const uint8_t no_vsn[MEMBER_VSN_SIZE];
    bool own_vsn = memcmp(config->vsn, no_vsn, MEMBER_VSN_SIZE) != 0;
    const uint8_t *vsn = own_vsn ? config->vsn : member_vsn;
    struct members *m = mem_zalloc(sizeof *m);
    if (m == NULL)
        return err_set(err, ERR_NOMEM, "member table");
    *m = (struct members){
        .cfg = *config, .queue = queue, .rng = rng, .log = log, .heard = now};
    struct msg_alive a = {.incarnation = 1,
                          .node = config->name,
                          .ip = gossip_addr_ip(&config->addr),
                          .port = config->addr.port,
                          .meta = config->meta,
                          .vsn = str_of(vsn, MEMBER_VSN_SIZE)};
    if (map_init(&m->by_name) != 0 ||
        (m->self = member_add(m, config->name, &config->addr, now)) == NULL ||
        meta_copy(&m->self->meta, config->meta) != 0 || announce_alive(m, config->name, &a) != 0) {
        members_free(&m);
        return err_set(err, ERR_NOMEM, "member table");
    }
    m->base_name = m->self->name;
    m->born = now;
    m->self->state = MEMBER_ALIVE;
    m->self->incarnation = 1;
    memcpy(m->self->vsn, vsn, MEMBER_VSN_SIZE);
    *out = m;
    return 0;
}

void members_free(struct members **m)
{
    if (*m == NULL)
        return;
    for (size_t i = 0; i < (*m)->count; i++)
        member_free((*m)->list[i]);
    mem_free((*m)->list);
    map_free(&(*m)->by_name);
    for (size_t i = 0; i < (*m)->renames; i++)
        mem_free((void *)(uintptr_t)(*m)->former[i].node.data);
    mem_free(*m);
    *m = NULL;
}

/* What we know of a member, as it announces itself. */
static struct msg_alive alive_of(const struct member *n)
{
    return (struct msg_alive){.incarnation = n->incarnation,
                              .node = n->name,
                              .ip = gossip_addr_ip(&n->addr),
                              .port = n->addr.port,
                              .meta = n->meta,
                              .vsn = str_of(n->vsn, MEMBER_VSN_SIZE)};
}

/* Announce ourselves as we are now. Queued under our IP, so that it replaces only an earlier
 * message of this kind. */
int member_announce_self(struct members *m)
{
    char ip[GOSSIP_ADDR_TEXT_MAX];
    struct msg_alive a = alive_of(m->self);
    gossip_addr_ip_text(&m->self->addr, ip);
    return announce_alive(m, str_c(ip), &a);
}

/* Contradict what `from` says of us under incarnation `accused`: announce ourselves with a newer
 * one. Behind the highest number they start again at 1, which others take once they have
 * forgotten us. */
static int refute(struct members *m, uint32_t accused, struct str from)
{
    struct member *n = m->self;
    if (accused > n->incarnation)
        n->incarnation = accused;
    n->incarnation = n->incarnation == UINT32_MAX ? 1 : n->incarnation + 1;
    members_awareness_add(m, 1);
    m->stats.refuted++;
    size_t size = from.len < sizeof m->accuser - 1 ? from.len : sizeof m->accuser - 1;
    memcpy(m->accuser, size > 0 ? from.data : "", size);
    m->accuser[size] = '\0';
    log_line(m->log, LOG_WARN, "refuting an accusation of ourselves", LOG_S("by", from),
             LOG_U("incarnation", n->incarnation), LOG_U("members", members_active_count(m)));
    return member_announce_self(m);
}

struct str members_last_accuser(const struct members *m)
{
    return str_c(m->accuser);
}

int members_set_meta(struct members *m, struct str meta)
{
    struct member *n = m->self;
    struct str copy, old = n->meta;
    uint32_t before = n->incarnation;
    if (meta.len > MEMBER_META_MAX)
        return ERR_INVAL;
    if (meta_copy(&copy, meta) != 0)
        return ERR_NOMEM;
    n->meta = copy;
    n->incarnation = before == UINT32_MAX ? 1 : before + 1;
    if (member_announce_self(m) != 0) {
        n->meta = old;
        n->incarnation = before;
        mem_free((void *)(uintptr_t)copy.data);
        return ERR_NOMEM;
    }
    mem_free((void *)(uintptr_t)old.data);
    return 0;
}

/* A known member may take over another address: after leaving, long enough dead, or when its
 * former bearer has taken another name (and its farewell was overtaken by the other's refutation,
 * which nobody who holds on to the bearer would take else). */
static bool may_move(const struct members *m, const struct member *n, mono_ms now)
{
    return n->state == MEMBER_LEFT ||
           (n->state == MEMBER_DEAD && m->cfg.reclaim_ms > 0 &&
            now - n->changed > m->cfg.reclaim_ms) ||
           (m->cfg.rename && member_address_is_anothers(m, n));
}

/* Versions of another that can live with ours. With any others memberlist's members would refuse
 * to exchange state, with everybody, for as long as they have this one in their tables. */
static bool versions_fit(const struct members *m, struct str vsn)
{
    const uint8_t *v = (const uint8_t *)vsn.data, *ours = m->self->vsn;
    if (vsn.len < MEMBER_VSN_SIZE || v[0] == 0)
        return false;
    for (int i = 0; i < 6; i += 3)
        if (v[i + 2] < v[i] || v[i + 2] > v[i + 1] || v[i + 2] < ours[i] ||
            v[i + 2] > ours[i + 1] || ours[i + 2] < v[i] || ours[i + 2] > v[i + 1])
            return false;
    return true;
}

/* Valid enough to be looked at; *addr gets its address. */
static bool alive_is_valid(const struct members *m, const struct msg_alive *a,
                           struct gossip_addr *addr)
{
    if (!str_eq(a->node, m->self->name) && !versions_fit(m, a->vsn))
        return false;
    if (a->node.len == 0 || a->node.len > MEMBER_NAME_MAX || a->meta.len > MEMBER_META_MAX)
        return false;
    uint16_t port = a->port == 0 ? m->cfg.default_port : (uint16_t)a->port;
    return gossip_addr_of_bytes(addr, a->ip, port) == 0;
}

/* Take the news of another member. */
static int alive_apply(struct members *m, struct member *n, const struct msg_alive *a,
                       const struct gossip_addr *addr, mono_ms now)
{
    struct str meta;
    if (meta_copy(&meta, a->meta) != 0)
        return ERR_NOMEM;
    mem_free((void *)(uintptr_t)n->meta.data);
    n->meta = meta;
    n->addr = *addr;
    n->incarnation = (uint32_t)a->incarnation;
    memcpy(n->vsn, a->vsn.data, MEMBER_VSN_SIZE);
    if (n->state != MEMBER_ALIVE) {
        bool new = n->state != MEMBER_SUSPECT;
        n->state = MEMBER_ALIVE;
        n->changed = now;
        log_member(m, LOG_INFO, new ? "member joined" : "member is alive after all", n);
    }
    return announce_alive(m, n->name, a);
}

static void remove_at(struct members *m, size_t i)
{
    struct member *n = m->list[i];
    member_suspicion_end(m, n);
    m->list[i] = m->list[--m->count];
    (void)map_remove(m->by_name, n->name);
    member_free(n);
}

/* Have somebody go who never answered, chosen at random. False: there is none. */
static bool evict(struct members *m)
{
    size_t start = (size_t)rng_below(m->rng, m->count);
    for (size_t k = 0; k < m->count; k++) {
        size_t i = (start + k) % m->count;
        if (m->list[i] == m->self || m->list[i]->answered)
            continue;
        remove_at(m, i);
        return true;
    }
    return false;
}

/* Room for one more, or say that there is none. */
static bool has_room(struct members *m, struct str name, bool caller, mono_ms now)
{
    uint64_t left_out = 0;
    if (m->count >= m->cfg.count_max && now >= m->next_full_reap) {
        m->next_full_reap = now + FULL_REAP_MS;
        members_reap(m, now);
    }
    if (m->count < m->cfg.count_max || (caller && evict(m)))
        return true;
    m->stats.turned_away++;
    if (log_rate_pass(&m->full_rate, now, FULL_LOG_MS, &left_out))
        log_line(m->log, LOG_ERROR,
                 "the table of members is full: somebody makes up names, or the cluster is too "
                 "large; whoever is in it stays, newcomers must come themselves",
                 LOG_S("turned_away", name), LOG_U("members", m->count),
                 LOG_U("left_out", left_out));
    return false;
}

/* A member that was not known. */
static int newcomer_apply(struct members *m, const struct msg_alive *a,
                          const struct gossip_addr *addr, mono_ms now)
{
    struct member *n = member_add(m, a->node, addr, now);
    if (n == NULL)
        return ERR_NOMEM;
    int rc = alive_apply(m, n, a, addr, now);
    for (size_t i = 0; i < m->count && n->incarnation == 0; i++)
        if (m->list[i] == n) { /* no memory: a member without versions harms others */
            remove_at(m, i);
            break;
        }
    return rc;
}

void members_answered(struct members *m, struct str name)
{
    struct member *n = map_get(m->by_name, name);
    if (n != NULL)
        n->answered = true;
}

void members_answered_at(struct members *m, const struct gossip_addr *addr)
{
    for (size_t i = 0; i < m->count; i++)
        m->list[i]->answered = m->list[i]->answered || gossip_addr_eq(&m->list[i]->addr, addr);
}

static int on_alive(struct members *m, const struct msg_alive *a, bool caller, mono_ms now)
{
    struct gossip_addr addr;
    if (!alive_is_valid(m, a, &addr)) {
        m->stats.ignored++;
        return 0;
    }
    struct member *n = map_get(m->by_name, a->node);
    bool moves = false;
    if (n == m->self && m->leaving)
        return 0;
    if (n == m->self && !gossip_addr_eq(&n->addr, &addr)) {
        if (!members_on_namesake(m, &addr, (uint32_t)a->incarnation, now))
            return 0;
        n = NULL; /* it was ours; now it is a name as any other */
    }
    if (n == NULL) {
        if (a->incarnation == 0) {
            m->stats.ignored++;
            return 0;
        }
        return has_room(m, a->node, caller, now) ? newcomer_apply(m, a, &addr, now) : 0;
    }
    if (!gossip_addr_eq(&n->addr, &addr)) { /* memberlist compares forms too */
        if (!may_move(m, n, now)) {
            member_log_conflict(m, n, &addr, now);
            return 0;
        }
        moves = true;
        n->answered = false;
        m->stats.moved++;
    }
    if (n != m->self && a->incarnation <= n->incarnation && !moves)
        return 0;
    if (n == m->self && a->incarnation < n->incarnation)
        return 0;
    member_suspicion_end(m, n);
    if (n != m->self)
        return alive_apply(m, n, a, &addr, now);
    if (a->incarnation == n->incarnation && str_eq(a->meta, n->meta) &&
        str_eq(a->vsn, str_of(n->vsn, MEMBER_VSN_SIZE)))
        return 0;
    return refute(m, (uint32_t)a->incarnation, a->node);
}

int members_on_alive(struct members *m, const struct msg_alive *a, mono_ms now)
{
    return on_alive(m, a, false, now);
}

int members_on_caller(struct members *m, const struct msg_alive *a, mono_ms now)
{
    return on_alive(m, a, true, now);
}

/* An accusation that was refuted long ago: whoever spreads it missed the refutation, which is told
 * no more. Tell it again. */
static int repeat_refutation(struct members *m, const struct member *n)
{
    if (n->state != MEMBER_ALIVE || m->leaving)
        return 0;
    if (n == m->self)
        return member_announce_self(m);
    struct msg_alive a = alive_of(n);
    return announce_alive(m, n->name, &a);
}

int members_on_suspect(struct members *m, const struct msg_accuse *s, mono_ms now)
{
    struct member *n = map_get(m->by_name, s->node);
    if (n == NULL)
        return 0;
    if (s->incarnation < n->incarnation)
        return repeat_refutation(m, n);
    if (n->suspicion != NULL)
        return member_suspicion_confirm(n->suspicion, s->from)
                   ? member_announce_accuse(m, false, s, NULL)
                   : 0;
    if (n->state != MEMBER_ALIVE)
        return 0;
    if (n == m->self)
        return refute(m, (uint32_t)s->incarnation, s->from);
    if (member_suspicion_start(m, n, s->from, now) != 0)
        return ERR_NOMEM;
    n->incarnation = (uint32_t)s->incarnation;
    n->state = MEMBER_SUSPECT;
    n->changed = now;
    log_line(m->log, LOG_INFO, "member suspected", LOG_S("member", n->name),
             LOG_S("by", s->from), LOG_U("incarnation", n->incarnation),
             LOG_I("due_ms", n->suspicion->due - now));
    return member_announce_accuse(m, false, s, NULL);
}

/* Take a member's death or leaving into the table and tell the others. */
static int dead_apply(struct members *m, struct member *n, const struct msg_accuse *d,
                      mono_ms now, uint64_t *id)
{
    struct msg_accuse own = *d;
    own.node = n->name;
    int rc = member_announce_accuse(m, true, &own, id);
    n->incarnation = (uint32_t)d->incarnation;
    n->state = str_eq(d->node, d->from) ? MEMBER_LEFT : MEMBER_DEAD;
    n->changed = now;
    log_member(m, LOG_INFO, n->state == MEMBER_LEFT ? "member left" : "member is dead", n);
    return rc;
}

int members_on_dead(struct members *m, const struct msg_accuse *d, mono_ms now)
{
    struct member *n = map_get(m->by_name, d->node);
    if (n == NULL)
        return 0;
    if (d->incarnation < n->incarnation)
        return repeat_refutation(m, n);
    member_suspicion_end(m, n);
    if (n->state == MEMBER_DEAD || n->state == MEMBER_LEFT)
        return 0;
    if (n == m->self && !m->leaving)
        return refute(m, (uint32_t)d->incarnation, d->from);
    return dead_apply(m, n, d, now, NULL);
}

int members_leave(struct members *m, mono_ms now, uint64_t *id)
{
    struct member *n = m->self;
    struct msg_accuse d = {.incarnation = n->incarnation, .node = n->name, .from = n->name};
    if (m->leaving)
        return 0;
    int rc = member_announce_accuse(m, true, &d, id);
    if (rc != 0)
        return rc;
    m->leaving = true;
    n->state = MEMBER_LEFT;
    n->changed = now;
    log_member(m, LOG_INFO, "leaving the cluster", n);
    return 0;
}

bool members_is_leaving(const struct members *m)
{
    return m->leaving;
}

void members_reap(struct members *m, mono_ms now)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct member *n = m->list[i];
        bool gone = n->state == MEMBER_DEAD || n->state == MEMBER_LEFT;
        if (n == m->self || !gone || now - n->changed <= m->cfg.dead_ms) {
            m->list[kept++] = n;
        } else {
            (void)map_remove(m->by_name, n->name);
            member_free(n);
        }
    }
    m->count = kept;
    for (size_t i = kept; i > 1; i--) {
        size_t j = (size_t)rng_below(m->rng, i);
        struct member *swap = m->list[i - 1];
        m->list[i - 1] = m->list[j];
        m->list[j] = swap;
    }
}

const struct member *members_get(const struct members *m, struct str name)
{
    return map_get(m->by_name, name);
}

const struct member *members_by_addr(const struct members *m, const struct gossip_addr *a)
{
    for (size_t i = 0; i < m->count; i++)
        if (gossip_addr_eq(&m->list[i]->addr, a))
            return m->list[i];
    return NULL;
}

const struct member *members_at(const struct members *m, size_t i)
{
    ASSERT(i < m->count);
    return m->list[i];
}

const struct member *members_self(const struct members *m)
{
    return m->self;
}

size_t members_count(const struct members *m)
{
    return m->count;
}

static size_t count_up_to(const struct members *m, enum member_state last)
{
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++)
        count += m->list[i]->state <= last ? 1 : 0;
    return count;
}

size_t members_active_count(const struct members *m)
{
    return count_up_to(m, MEMBER_SUSPECT);
}

size_t members_alive_count(const struct members *m)
{
    return count_up_to(m, MEMBER_ALIVE);
}

size_t members_pick(struct members *m, size_t k, member_filter_fn filter, void *arg,
                    const struct member **out)
{
    size_t picked = 0;
    for (size_t tries = 0; tries < 3 * m->count && picked < k; tries++) {
        const struct member *n = m->list[rng_below(m->rng, m->count)];
        bool again = false;
        for (size_t i = 0; i < picked; i++)
            again = again || out[i] == n;
        if (!again && filter(arg, n))
            out[picked++] = n;
    }
    return picked;
}

uint32_t members_awareness(const struct members *m)
{
    return m->awareness;
}

void members_awareness_add(struct members *m, int32_t delta)
{
    int64_t score = (int64_t)m->awareness + delta;
    int64_t top = m->cfg.awareness_max > 0 ? (int64_t)m->cfg.awareness_max - 1 : 0;
    m->awareness = (uint32_t)(score < 0 ? 0 : score > top ? top : score);
}

const struct members_stats *members_stats(const struct members *m)
{
    return &m->stats;
}
