/* ring/member.c - introduction, founding, and the order of syncs and words. */
#include "ring/member.h"

#include <stdio.h>

#include "base/mem.h"
#include "ring/member_priv.h"

enum { QUIET_MS = 10000, RETRY_MS = 1000, SLOW_MS = 5000, EXCHANGE_MS = 15000 };

/* An introduction of another that waits for our sync. */
struct waiting {
    uint64_t token;
    uint64_t generation; /* to be on the disk first */
    struct disk_id disk;
    bool refused_group;
};

struct member {
    struct member_config config; /* strings are ours */
    char *names;                 /* their bytes */
    struct roster *roster;       /* all that we know */
    struct roster *syncing;      /* being written, or NULL */
    struct roster *durable;      /* on the disk, or NULL */
    uint64_t generation, syncing_generation, durable_generation;
    bool sync_asked;  /* SYNC was handed out for `syncing` */
    mono_ms sync_due; /* not before; after a failed write */

    struct member_targets targets;
    uint64_t next_call;
    uint32_t ring_count; /* instances of the view, ours included */
    bool lowest;         /* our instance is in the view, and the lowest of it */
    bool joined;

    struct disk_id *oks; /* disks that said ok to this one */
    uint32_t ok_count;
    struct waiting *waiting;
    uint32_t waiting_count;

    uint32_t tries;
    mono_ms send_due, exchange_due;
    uint32_t exchange_at;
    mono_ms quiet_since; /* since when founding's conditions hold, or MONO_NEVER */
    bool active_said, rename, quit, end_said;
    char why[160];
};

/* --- life ---------------------------------------------------------------------------------- */

static bool name_ok(struct str s)
{
    return s.len > 0 && s.len <= ROSTER_NAME_MAX;
}

/* Put a copy of *s at *at, which moves behind it. */
static void copy_name(struct str *s, char **at)
{
    memcpy(*at, s->data, s->len);
    s->data = *at;
    *at += s->len;
}

static int config_copy(struct member *m, const struct member_config *config)
{
    struct member_config *c = &m->config;
    *c = *config;
    m->names = mem_alloc(c->instance.len + c->domain.len + c->addr.len);
    if (m->names == NULL)
        return ERR_NOMEM;
    char *at = m->names;
    copy_name(&c->instance, &at);
    copy_name(&c->domain, &at);
    copy_name(&c->addr, &at);
    c->expect = c->expect != 0 ? c->expect : c->replication_factor;
    c->quiet_ms = c->quiet_ms != 0 ? c->quiet_ms : QUIET_MS;
    c->retry_ms = c->retry_ms != 0 ? c->retry_ms : RETRY_MS;
    c->slow_ms = c->slow_ms != 0 ? c->slow_ms : SLOW_MS;
    c->exchange_ms = c->exchange_ms != 0 ? c->exchange_ms : EXCHANGE_MS;
    return 0;
}

static struct disk own_record(const struct member *m)
{
    const struct member_config *c = &m->config;
    return (struct disk){.id = c->disk, .predecessor = c->predecessor, .clean = c->clean,
                         .instance = c->instance, .domain = c->domain, .addr = c->addr,
                         .starts = c->starts};
}

static bool group_fits(const struct member *m, const struct roster *r)
{
    uint32_t rf = roster_replication_factor(r);
    return rf == 0 || (rf == m->config.replication_factor &&
                       roster_zone_aware(r) == m->config.zone_aware);
}

int member_init(struct member **out, const struct member_config *config,
                const struct roster *stored, mono_ms now, struct err *err)
{
    if (disk_is_none(config->disk) || !name_ok(config->instance) || !name_ok(config->domain) ||
        !name_ok(config->addr) || config->replication_factor == 0 ||
        config->replication_factor > REPLICATION_MAX)
        return err_set(err, ERR_INVAL, "member: disk, names or replication factor %u",
                       config->replication_factor);
    struct member *m = mem_zalloc(sizeof *m);
    if (m == NULL)
        return err_set(err, ERR_NOMEM, "member: %s", err_text(ERR_NOMEM));
    m->quiet_since = MONO_NEVER;
    m->send_due = now;
    m->generation = 1; /* our own record: synced before the first word */
    m->next_call = 1;
    int rc = config_copy(m, config);
    rc = rc != 0 ? rc : roster_init(&m->roster);
    if (rc == 0 && stored != NULL)
        rc = group_fits(m, stored) ? roster_merge(m->roster, stored, NULL) : ERR_REFUSED;
    m->exchange_due = now + m->config.exchange_ms;
    struct disk self = own_record(m);
    rc = rc != 0 ? rc : roster_put(m->roster, &self, NULL);
    if (rc != 0) {
        err_set(err, rc, "member: %s", rc == ERR_REFUSED ? "the cluster of this disk has another "
                                                           "replication factor or zone awareness"
                                                         : err_text(rc));
        member_free(&m);
        return rc;
    }
    *out = m;
    return 0;
}

void member_free(struct member **m)
{
    if (*m == NULL)
        return;
    member_targets_reset(&(*m)->targets);
    mem_free((*m)->oks);
    mem_free((*m)->waiting);
    mem_free((*m)->names);
    roster_free(&(*m)->roster);
    roster_free(&(*m)->syncing);
    roster_free(&(*m)->durable);
    mem_free(*m);
    *m = NULL;
}

/* --- what we are --------------------------------------------------------------------------- */

const struct disk *member_self(const struct member *m)
{
    return m->durable == NULL ? NULL : roster_find(m->durable, m->config.disk);
}

bool member_is_established(const struct member *m)
{
    const struct disk *self = member_self(m);
    return self != NULL && self->established && !m->rename && !m->quit;
}

const struct roster *member_roster(const struct member *m)
{
    return m->durable;
}

/* Established in memory; the sync may be under way. */
static bool decided(const struct member *m)
{
    return roster_find(m->roster, m->config.disk)->established;
}

/* --- targets ------------------------------------------------------------------------------- */

static bool is_me(const struct member *m, struct str instance, struct str addr)
{
    return str_eq(instance, m->config.instance) || str_eq(addr, m->config.addr) || addr.len == 0;
}

/* Targets for the members of the roster that the ring view does not list. */
static int targets_of_roster(struct member *m)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < roster_count(m->roster); i++) {
        const struct disk *d = roster_at(m->roster, i);
        struct member_target *t = NULL;
        if (!disk_is_member(d) || is_me(m, d->instance, d->addr))
            continue;
        t = member_target_at(&m->targets, d->addr);
        if (t == NULL)
            rc = member_target_add(&m->targets, d->instance, d->addr, &t);
        if (rc == 0)
            t->in_roster = true;
    }
    return rc;
}

int member_ring(struct member *m, const struct member_peer *peers, uint32_t count, bool joined,
                mono_ms now)
{
    bool present = false, lowest = true;
    uint32_t listed = 0;
    (void)now;
    for (uint32_t i = 0; i < m->targets.count; i++)
        m->targets.list[i].in_ring = m->targets.list[i].in_roster = false;
    int rc = targets_of_roster(m);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        struct member_target *t = NULL;
        listed++;
        present = present || str_eq(peers[i].instance, m->config.instance);
        lowest = lowest && str_cmp(peers[i].instance, m->config.instance) >= 0;
        if (is_me(m, peers[i].instance, peers[i].addr))
            continue;
        rc = member_target_add(&m->targets, peers[i].instance, peers[i].addr, &t);
        if (rc == 0)
            t->in_ring = true;
    }
    if (rc == 0)
        member_targets_sweep(&m->targets);
    m->ring_count = rc == 0 ? listed : 0; /* half a view founds nothing */
    m->lowest = rc == 0 && present && lowest;
    m->joined = joined;
    return rc;
}

/* --- merging and syncing ------------------------------------------------------------------- */

static void stop(struct member *m, bool *how, const char *why)
{
    if (m->rename || m->quit)
        return;
    *how = true;
    snprintf(m->why, sizeof m->why, "%s", why);
}

/* After any merge: is there something to write, and are we still who we are? */
static void after_merge(struct member *m, const struct roster_news *news)
{
    m->generation += news->changed;
    if (roster_find(m->roster, m->config.disk)->starts > m->config.starts)
        stop(m, &m->rename, "the others have seen later starts of this disk: it is an old copy");
}

/* Merge a roster whose group fits. */
static int merge_in(struct member *m, const struct roster *from)
{
    struct roster_news news = {0};
    if (from == NULL)
        return 0;
    if (!group_fits(m, from)) {
        if (!decided(m))
            stop(m, &m->quit, "the cluster was founded with another replication factor or zone "
                              "awareness");
        return ERR_REFUSED;
    }
    int rc = roster_merge(m->roster, from, &news);
    after_merge(m, &news);
    if (rc == 0 && news.disks > 0)
        rc = targets_of_roster(m);
    return rc;
}

void member_synced(struct member *m, bool ok, mono_ms now)
{
    if (m->syncing == NULL || !m->sync_asked)
        return;
    if (ok) {
        roster_free(&m->durable);
        m->durable = m->syncing;
        m->durable_generation = m->syncing_generation;
    } else {
        roster_free(&m->syncing);
        m->sync_due = now + m->config.retry_ms;
    }
    m->syncing = NULL;
    m->sync_asked = false;
}

/* --- becoming established ------------------------------------------------------------------ */

static bool said_ok(const struct member *m, struct disk_id id)
{
    for (uint32_t i = 0; i < m->ok_count; i++)
        if (disk_eq(m->oks[i], id))
            return true;
    return false;
}

static int remember_ok(struct member *m, struct disk_id id)
{
    if (said_ok(m, id))
        return 0;
    if (m->ok_count == ROSTER_DISKS_MAX)
        return ERR_LIMIT;
    struct disk_id *oks = mem_realloc_array(m->oks, m->ok_count + 1, sizeof *oks);
    if (oks == NULL)
        return ERR_NOMEM;
    m->oks = oks;
    m->oks[m->ok_count++] = id;
    return 0;
}

/* We are what became of that disk, with its roster. It never replies again, so wherever it is known
 * its domain counts as silent, which is what an ok of it is good for; and where nobody else can
 * say ok (one ingester with a damaged log) we would wait for ourselves. */
static bool inherited(const struct member *m, struct disk_id id)
{
    struct disk_id from = m->config.predecessor;
    for (uint32_t i = 0; i < roster_count(m->roster) && !disk_is_none(from); i++) {
        if (disk_eq(from, id))
            return true;
        const struct disk *d = roster_find(m->roster, from);
        from = d == NULL ? (struct disk_id){{0}} : d->predecessor;
    }
    return false;
}

/* A5: ok from established disks of W domains; where the roster has such disks in fewer domains,
 * from every disk. Without an established disk nobody is introduced into anything. */
static bool introduced(const struct member *m)
{
    struct domain_set established = {.count = 0}, ok = {.count = 0};
    bool all = true;
    uint32_t need = quorum_of(m->config.replication_factor);
    for (uint32_t i = 0; i < roster_count(m->roster); i++) {
        const struct disk *d = roster_at(m->roster, i);
        if (disk_eq(d->id, m->config.disk) || !disk_is_member(d) || d->refused)
            continue;
        bool said = said_ok(m, d->id) || inherited(m, d->id);
        all = all && said;
        if (d->established)
            domain_set_add(&established, d->domain);
        if (d->established && said)
            domain_set_add(&ok, d->domain);
    }
    if (established.count == 0)
        return false;
    return established.count >= need ? ok.count >= need : all;
}

/* A7, but for its duration. */
static bool may_found(const struct member *m)
{
    if (roster_founded(m->roster) || !disk_is_none(m->config.predecessor) || !m->joined ||
        !m->lowest || m->ring_count != m->config.expect)
        return false;
    uint32_t answered = 0;
    for (uint32_t i = 0; i < m->targets.count; i++) {
        if (!m->targets.list[i].in_ring)
            continue;
        if (!m->targets.list[i].fresh)
            return false;
        answered++;
    }
    return answered + 1 == m->ring_count;
}

static int establish(struct member *m)
{
    struct roster_news news = {0};
    struct disk self = own_record(m);
    self.established = true;
    int rc = roster_fix(m->roster, m->config.replication_factor, m->config.zone_aware);
    rc = rc != 0 ? rc : roster_put(m->roster, &self, &news);
    m->generation++;
    for (uint32_t i = 0; i < m->targets.count; i++) {
        m->targets.list[i].told = false; /* all hear of it at once */
        m->targets.list[i].wanted = true;
    }
    m->tries = 0;
    return rc;
}

/* Become established when the rules allow it. Out of memory: the next call tries again. */
static void try_establish(struct member *m, mono_ms now)
{
    if (decided(m) || m->durable == NULL)
        return;
    if (introduced(m)) {
        (void)establish(m);
        return;
    }
    if (!may_found(m))
        m->quiet_since = MONO_NEVER;
    else if (m->quiet_since == MONO_NEVER)
        m->quiet_since = now;
    else if (now - m->quiet_since >= m->config.quiet_ms)
        (void)establish(m);
}

int member_ready(const struct member *m, struct err *err)
{
    const uint32_t expect = m->config.expect;
    if (member_is_established(m))
        return 0;
    if (!m->joined)
        return err_set(err, ERR_UNAVAILABLE, "the gossip has reached nobody yet");
    if (roster_founded(m->roster) || !disk_is_none(m->config.predecessor) || m->durable == NULL)
        return err_set(err, ERR_UNAVAILABLE, "waiting for other ingesters to take note of it");
    if (m->ring_count != expect)
        return err_set(err, ERR_UNAVAILABLE,
                       "a new cluster is founded by exactly %u ingesters (set by "
                       "-ingester.bootstrap-expect, each of an own -ingester.lifecycler.ID), and "
                       "%u are in the ring",
                       expect, m->ring_count);
    return err_set(err, ERR_UNAVAILABLE,
                   "founding a new cluster: all %u ingesters must see each other for %g s",
                   expect, m->config.quiet_ms / 1000.0);
}

/* --- events -------------------------------------------------------------------------------- */

int member_merge(struct member *m, const struct roster *from, mono_ms now)
{
    int rc = merge_in(m, from);
    try_establish(m, now);
    return rc;
}

int member_replied(struct member *m, uint64_t token, const struct member_reply *reply,
                   mono_ms now)
{
    int rc = disk_is_none(reply->disk) ? ERR_INVAL : merge_in(m, reply->roster);
    if (rc == 0 && reply->ok)
        rc = remember_ok(m, reply->disk);
    if (reply->your_starts > m->config.starts)
        stop(m, &m->rename, "another has seen later starts of this disk: it is an old copy");
    /* Found only now: merging may have moved them. */
    struct member_target *t = member_target_called(&m->targets, token);
    if (t != NULL) {
        t->call = 0;
        t->told = t->told || (rc == 0 && reply->ok);
        t->fresh = rc == 0 && reply->ok && reply->fresh;
    }
    try_establish(m, now);
    return rc;
}

void member_failed(struct member *m, uint64_t token, mono_ms now)
{
    struct member_target *t = member_target_called(&m->targets, token);
    if (t == NULL)
        return;
    t->call = 0;
    t->fresh = false;
    try_establish(m, now);
}

int member_asked(struct member *m, const struct disk *self, const struct roster *theirs,
                 uint64_t token, mono_ms now)
{
    struct roster_news news = {0};
    if (m->waiting_count == MEMBER_WAITING_MAX)
        return ERR_LIMIT;
    struct waiting *w = mem_realloc_array(m->waiting, m->waiting_count + 1, sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    m->waiting = w;
    bool fits = theirs == NULL || group_fits(m, theirs);
    int rc = fits ? merge_in(m, theirs) : 0;
    if (rc == 0 && fits)
        rc = roster_put(m->roster, self, &news);
    after_merge(m, &news);
    if (rc == 0 && news.disks > 0)
        rc = targets_of_roster(m);
    if (rc != 0)
        return rc;
    w[m->waiting_count++] = (struct waiting){token, m->generation, self->id, !fits};
    try_establish(m, now);
    return 0;
}

/* --- actions ------------------------------------------------------------------------------- */

static enum member_verb end(struct member *m, struct member_action *out)
{
    if (m->end_said)
        return MEMBER_NONE;
    m->end_said = true;
    memcpy(out->why, m->why, sizeof out->why);
    return m->rename ? MEMBER_RENAME : MEMBER_QUIT;
}

/* Start writing what changed. */
static enum member_verb next_sync(struct member *m, mono_ms now, struct member_action *out)
{
    if (m->syncing != NULL || m->generation == m->durable_generation || now < m->sync_due)
        return MEMBER_NONE;
    if (roster_copy(&m->syncing, m->roster) != 0) {
        m->sync_due = now + m->config.retry_ms;
        return MEMBER_NONE;
    }
    m->syncing_generation = m->generation;
    m->sync_asked = true;
    out->roster = m->syncing;
    return MEMBER_SYNC;
}

static enum member_verb next_answer(struct member *m, struct member_action *out)
{
    uint32_t i = 0;
    while (i < m->waiting_count && m->waiting[i].generation > m->durable_generation)
        i++;
    if (i == m->waiting_count)
        return MEMBER_NONE;
    struct waiting w = m->waiting[i];
    memmove(&m->waiting[i], &m->waiting[i + 1], (--m->waiting_count - i) * sizeof w);
    const struct disk *d = roster_find(m->durable, w.disk);
    out->token = w.token;
    out->fresh = !roster_founded(m->durable);
    out->your_starts = d == NULL ? 0 : d->starts;
    out->ok = !w.refused_group && d != NULL && !d->refused;
    if (w.refused_group)
        snprintf(out->why, sizeof out->why, "wrong_replication_factor");
    else if (!out->ok)
        snprintf(out->why, sizeof out->why, "refused");
    return MEMBER_ANSWER;
}

/* Decide whom to call now. */
static void plan_sends(struct member *m, mono_ms now)
{
    bool round = now >= m->send_due, established = decided(m);
    for (uint32_t i = 0; i < m->targets.count; i++) {
        struct member_target *t = &m->targets.list[i];
        if (t->wanted || (round && !(established && t->told)))
            t->send_now = t->call == 0;
        t->wanted = t->wanted && t->call != 0;
    }
    if (round) {
        m->tries++;
        m->send_due =
            now + (m->tries < MEMBER_FAST_TRIES ? m->config.retry_ms : m->config.slow_ms);
    }
    if (now >= m->exchange_due) {
        m->exchange_due = now + m->config.exchange_ms;
        if (m->targets.count > 0) {
            struct member_target *t = &m->targets.list[m->exchange_at++ % m->targets.count];
            t->send_now = t->call == 0;
        }
    }
}

static enum member_verb next_send(struct member *m, mono_ms now, struct member_action *out)
{
    if (m->durable == NULL)
        return MEMBER_NONE; /* nobody hears of a disk that is not on the disk */
    plan_sends(m, now);
    for (uint32_t i = 0; i < m->targets.count; i++) {
        struct member_target *t = &m->targets.list[i];
        if (!t->send_now)
            continue;
        t->send_now = false;
        out->token = t->call = m->next_call++;
        out->instance = str_of(t->instance, t->instance_size);
        out->addr = str_of(t->addr, t->addr_size);
        return MEMBER_SEND;
    }
    return MEMBER_NONE;
}

static enum member_verb next(struct member *m, mono_ms now, struct member_action *out)
{
    if (m->rename || m->quit)
        return end(m, out);
    try_establish(m, now);
    enum member_verb verb = next_sync(m, now, out);
    if (verb == MEMBER_NONE)
        verb = next_answer(m, out);
    if (verb == MEMBER_NONE && !m->active_said && member_is_established(m)) {
        m->active_said = true;
        verb = MEMBER_ACTIVE;
    }
    return verb != MEMBER_NONE ? verb : next_send(m, now, out);
}

static mono_ms earlier(mono_ms a, mono_ms b)
{
    return a < b ? a : b;
}

enum member_verb member_next(struct member *m, mono_ms now, struct member_action *out,
                             mono_ms *due)
{
    *out = (struct member_action){0};
    out->verb = next(m, now, out);
    if (due == NULL)
        return out->verb;
    *due = MONO_NEVER;
    if (m->rename || m->quit)
        return out->verb;
    if (m->durable != NULL)
        *due = earlier(m->send_due, m->exchange_due);
    if (m->syncing == NULL && m->generation != m->durable_generation)
        *due = earlier(*due, m->sync_due);
    if (m->quiet_since != MONO_NEVER && !decided(m))
        *due = earlier(*due, m->quiet_since + m->config.quiet_ms);
    return out->verb;
}
