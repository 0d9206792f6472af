/* ring/readplan.c - the rounds of a query and its verdict. */
#include "ring/readplan.h"

#include "base/assert.h"
#include "base/mem.h"
#include "ring/readplan_priv.h"

enum { HEDGE_MS = 500, VECTOR_TIMEOUT_MS = 2000, COUNT_HEDGE_MS = 2000, ROUNDS = 4 };

enum phase { GATHER, KEYS_OF, KEYS_FIND, COUNT, DONE };
enum call_state { TO_SEND, SENT, ANSWERED, FAILED };

/* Somebody to ask for a vector: an instance of the ring, or the disk of a roster. */
struct peer {
    char *names; /* holds the three */
    struct str instance, addr, domain;
    bool listed; /* by the ring view */
    bool lazy;
    enum call_state state;
    uint32_t call;
};

/* A Keys or Count to disk `disk` of the round. */
struct part {
    uint32_t disk, call;
    enum call_state state;
};

struct readplan {
    struct read_config config;
    struct roster *roster; /* all merged */
    struct peer *peers;
    uint32_t peer_count, peer_cap;
    uint32_t next_call, round;
    enum phase phase;
    mono_ms since; /* the phase began */
    bool restart, last;

    struct read_disk *disks; /* that replied in this round */
    uint32_t disk_count, disk_cap;
    struct disk_id *slow; /* disks that let a part fail or wait */
    uint32_t slow_count;
    struct aliases *links; /* aliases of the round, then equal keys */
    struct read_union found;
    struct part *parts;
    uint32_t part_count, part_answered;
    struct read_keys keys;
    bool repeats_unsure;
    struct read_verdict verdict;
};

/* --- life ---------------------------------------------------------------------------------- */

static uint32_t quorum(const struct readplan *p)
{
    uint32_t rf = roster_replication_factor(p->roster);
    return quorum_of(rf != 0 ? rf : p->config.replication_factor);
}

/* Room for one more of an array of `stride`. */
static int reserve(void **array, uint32_t count, uint32_t *cap, size_t stride)
{
    if (count < *cap)
        return 0;
    uint32_t more = *cap == 0 ? 8 : *cap * 2;
    void *p = mem_realloc_array(*array, more, stride);
    if (p == NULL)
        return ERR_NOMEM;
    *array = p;
    *cap = more;
    return 0;
}

/* Copy three names into one piece of memory. NULL: no memory. */
static char *copy_names(struct str *a, struct str *b, struct str *c)
{
    struct str *each[] = {a, b, c};
    char *names = mem_alloc(a->len + b->len + c->len), *at = names;
    for (int i = 0; names != NULL && i < 3; i++) {
        if (each[i]->len > 0)
            memcpy(at, each[i]->data, each[i]->len);
        each[i]->data = at;
        at += each[i]->len;
    }
    return names;
}

static int peer_add(struct readplan *p, struct str instance, struct str addr, struct str domain,
                    bool listed, bool lazy)
{
    if (instance.len == 0 || domain.len == 0 || instance.len > ROSTER_NAME_MAX ||
        domain.len > ROSTER_NAME_MAX || addr.len > ROSTER_NAME_MAX)
        return ERR_INVAL;
    if (p->peer_count == READ_PEERS_MAX)
        return ERR_LIMIT;
    void *peers = p->peers;
    int rc = reserve(&peers, p->peer_count, &p->peer_cap, sizeof *p->peers);
    p->peers = peers;
    if (rc != 0)
        return rc;
    struct peer peer = {.instance = instance, .addr = addr, .domain = domain,
                        .listed = listed, .lazy = lazy};
    peer.names = copy_names(&peer.instance, &peer.addr, &peer.domain);
    if (peer.names == NULL)
        return ERR_NOMEM;
    p->peers[p->peer_count++] = peer;
    return 0;
}

static bool asks_addr(const struct readplan *p, struct str addr)
{
    for (uint32_t i = 0; i < p->peer_count; i++)
        if (str_eq(p->peers[i].addr, addr))
            return true;
    return false;
}

/* Ask every disk of the roster too, once per address (A8). */
static int peers_of_roster(struct readplan *p)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < roster_count(p->roster); i++) {
        const struct disk *d = roster_at(p->roster, i);
        if (disk_is_member(d) && d->addr.len > 0 && !asks_addr(p, d->addr))
            rc = peer_add(p, d->instance, d->addr, d->domain, false, false);
    }
    return rc;
}

static void config_copy(struct readplan *p, const struct read_config *config)
{
    struct read_config *c = &p->config;
    *c = *config;
    c->hedge_ms = c->hedge_ms != 0 ? c->hedge_ms : HEDGE_MS;
    c->vector_timeout_ms = c->vector_timeout_ms != 0 ? c->vector_timeout_ms : VECTOR_TIMEOUT_MS;
    c->count_hedge_ms = c->count_hedge_ms != 0 ? c->count_hedge_ms : COUNT_HEDGE_MS;
    c->rounds = c->rounds != 0 ? c->rounds : ROUNDS;
}

static void start_round(struct readplan *p, mono_ms now);

int readplan_init(struct readplan **out, const struct read_config *config,
                  const struct read_peer *peers, uint32_t count, const struct roster *cached,
                  mono_ms now)
{
    if (config->replication_factor == 0 || config->replication_factor > REPLICATION_MAX)
        return ERR_INVAL;
    struct readplan *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    config_copy(p, config);
    p->next_call = 1;
    int rc = cached != NULL ? roster_copy(&p->roster, cached) : roster_init(&p->roster);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = peer_add(p, peers[i].instance, peers[i].addr, peers[i].domain,
                      !peers[i].roster_only, peers[i].lazy);
    rc = rc != 0 ? rc : peers_of_roster(p);
    rc = rc != 0 ? rc : aliases_init(&p->links);
    if (rc != 0)
        readplan_free(&p);
    else
        start_round(*out = p, now);
    return rc;
}

/* Forget what a round found out; peers, rosters and slow disks stay. */
static void round_reset(struct readplan *p)
{
    for (uint32_t i = 0; i < p->disk_count; i++) {
        vector_free(&p->disks[i].held);
        vector_free(&p->disks[i].given);
        mem_free(p->disks[i].names);
    }
    p->disk_count = p->part_count = p->part_answered = 0;
    read_union_reset(&p->found);
    read_keys_reset(&p->keys);
    mem_free(p->parts);
    p->parts = NULL;
    p->repeats_unsure = false;
    aliases_free(&p->links);
}

void readplan_free(struct readplan **p)
{
    if (*p == NULL)
        return;
    round_reset(*p);
    for (uint32_t i = 0; i < (*p)->peer_count; i++)
        mem_free((*p)->peers[i].names);
    mem_free((*p)->peers);
    mem_free((*p)->disks);
    mem_free((*p)->slow);
    roster_free(&(*p)->roster);
    mem_free(*p);
    *p = NULL;
}

static void start_round(struct readplan *p, mono_ms now)
{
    for (uint32_t i = 0; i < p->peer_count; i++)
        p->peers[i].state = TO_SEND;
    p->round++;
    p->phase = GATHER;
    p->since = now;
    p->last = p->round >= p->config.rounds;
}

/* --- silence and verdict (A8a, A8e) -------------------------------------------------------- */

/* The disk said what it holds, all of it. */
static bool replied(const struct readplan *p, struct disk_id id)
{
    for (uint32_t i = 0; i < p->disk_count; i++)
        if (disk_eq(p->disks[i].id, id))
            return !p->disks[i].truncated;
    return false;
}

static bool instance_replied(const struct readplan *p, struct str instance)
{
    for (uint32_t i = 0; i < p->disk_count; i++)
        if (str_eq(p->disks[i].instance, instance))
            return true;
    return false;
}

static void name_silent(struct read_verdict *v, struct str instance)
{
    for (uint32_t i = 0; i < v->silent_count; i++)
        if (str_eq(v->silent[i], instance))
            return;
    if (v->silent_count < READ_SILENT_MAX)
        v->silent[v->silent_count++] = instance;
}

/* Distinct domains of the silent disks of this round; v (may be NULL) names their instances. */
static uint32_t silent_domains(const struct readplan *p, struct read_verdict *v)
{
    struct domain_set domains = {.count = 0};
    for (uint32_t i = 0; i < roster_count(p->roster); i++) {
        const struct disk *d = roster_at(p->roster, i);
        if (!disk_is_member(d) || replied(p, d->id))
            continue;
        domain_set_add(&domains, d->domain);
        if (v != NULL)
            name_silent(v, d->instance);
    }
    for (uint32_t i = 0; i < p->peer_count; i++) {
        const struct peer *peer = &p->peers[i];
        if (!peer->listed || roster_names(p->roster, peer->instance) ||
            instance_replied(p, peer->instance))
            continue;
        domain_set_add(&domains, peer->domain);
        if (v != NULL)
            name_silent(v, peer->instance);
    }
    for (uint32_t i = 0; i < p->disk_count; i++) { /* truncated, and in no roster yet */
        if (!p->disks[i].truncated)
            continue;
        domain_set_add(&domains, p->disks[i].domain);
        if (v != NULL)
            name_silent(v, p->disks[i].instance);
    }
    return domains.count;
}

static void judge(struct readplan *p)
{
    struct read_verdict *v = &p->verdict;
    bool established = false, truncated = false;
    for (uint32_t i = 0; i < p->disk_count; i++) {
        established = established || p->disks[i].established;
        truncated = truncated || p->disks[i].truncated;
    }
    if (silent_domains(p, v) >= quorum(p))
        v->reasons |= READ_SILENT | (truncated ? READ_TRUNCATED : 0u);
    if (!established)
        v->reasons |= READ_NO_ESTABLISHED;
    if (p->part_answered < p->part_count)
        v->reasons |= READ_NOT_COUNTED;
    if (p->repeats_unsure)
        v->reasons |= READ_REPEATS;
    v->complete = v->reasons == 0;
}

static void finish(struct readplan *p, int rc)
{
    if (p->phase == DONE)
        return;
    p->verdict.rc = rc;
    p->verdict.rounds = p->round;
    if (p->disk_count == 0 && rc == 0)
        p->verdict.rc = ERR_UNAVAILABLE;
    judge(p);
    if (p->verdict.rc != 0)
        p->verdict.complete = false;
    p->phase = DONE;
}

const struct read_verdict *readplan_verdict(const struct readplan *p)
{
    ASSERT(p->phase == DONE);
    return &p->verdict;
}

const struct roster *readplan_roster(const struct readplan *p)
{
    return p->roster;
}

/* --- gathering (A8, A8b) ------------------------------------------------------------------- */

static bool is_slow(const struct readplan *p, struct disk_id id)
{
    for (uint32_t i = 0; i < p->slow_count; i++)
        if (disk_eq(p->slow[i], id))
            return true;
    return false;
}

/* Others go first in the next rounds; forgetting it for want of memory costs time only. */
static void mark_slow(struct readplan *p, struct disk_id id)
{
    if (is_slow(p, id) || p->slow_count == READ_PEERS_MAX)
        return;
    struct disk_id *slow = mem_realloc_array(p->slow, p->slow_count + 1, sizeof *slow);
    if (slow == NULL)
        return;
    p->slow = slow;
    p->slow[p->slow_count++] = id;
}

/* Fill a disk of the round from its reply. */
static int disk_fill(struct readplan *p, struct read_disk *d, const struct read_reply *r,
                     struct str addr)
{
    *d = (struct read_disk){.id = r->disk, .instance = r->instance, .domain = r->domain,
                            .addr = addr, .established = r->established,
                            .truncated = r->truncated, .slow = is_slow(p, r->disk)};
    d->names = copy_names(&d->instance, &d->domain, &d->addr);
    int rc = d->names == NULL ? ERR_NOMEM : 0;
    if (rc == 0)
        rc = r->held != NULL ? vector_copy(&d->held, r->held) : vector_init(&d->held);
    rc = rc != 0 ? rc : vector_init(&d->given);
    rc = rc != 0 || r->repeats == NULL ? rc : aliases_union(p->links, r->repeats);
    if (rc != 0) {
        vector_free(&d->held);
        vector_free(&d->given);
        mem_free(d->names);
    }
    return rc;
}

static bool has_disk(const struct readplan *p, struct disk_id id)
{
    for (uint32_t i = 0; i < p->disk_count; i++)
        if (disk_eq(p->disks[i].id, id))
            return true;
    return false;
}

/* Take a reply into the round. */
static int take_reply(struct readplan *p, const struct read_reply *r, struct str addr)
{
    if (disk_is_none(r->disk) || r->instance.len == 0 || r->domain.len == 0 ||
        r->instance.len > ROSTER_NAME_MAX || r->domain.len > ROSTER_NAME_MAX)
        return ERR_INVAL;
    if (has_disk(p, r->disk))
        return ERR_STALE;
    int rc = r->roster != NULL ? roster_merge(p->roster, r->roster, NULL) : 0;
    void *disks = p->disks;
    rc = rc != 0 ? rc : reserve(&disks, p->disk_count, &p->disk_cap, sizeof *p->disks);
    p->disks = disks;
    rc = rc != 0 ? rc : disk_fill(p, &p->disks[p->disk_count], r, addr);
    if (rc == 0)
        p->disk_count++;
    return rc;
}

static struct peer *peer_called(struct readplan *p, uint32_t call)
{
    for (uint32_t i = 0; i < p->peer_count; i++)
        if (p->peers[i].call == call && p->peers[i].state == SENT)
            return &p->peers[i];
    return NULL;
}

int readplan_replied(struct readplan *p, uint32_t call, const struct read_reply *reply,
                     mono_ms now)
{
    (void)now;
    struct peer *peer = p->phase == GATHER && !p->restart ? peer_called(p, call) : NULL;
    if (peer == NULL)
        return ERR_STALE;
    int rc = take_reply(p, reply, peer->addr);
    peer->state = rc == 0 || rc == ERR_STALE ? ANSWERED : FAILED;
    if (rc == 0 && peers_of_roster(p) == ERR_NOMEM)
        finish(p, ERR_NOMEM); /* it could not be asked whom it should: no verdict */
    return rc;
}

/* Nobody whom waiting could still bring is missing. */
static bool all_here(const struct readplan *p)
{
    for (uint32_t i = 0; i < p->peer_count; i++) {
        const struct peer *peer = &p->peers[i];
        if (peer->state == TO_SEND || (peer->state == SENT && !peer->lazy))
            return false;
    }
    return true;
}

/* --- planning ------------------------------------------------------------------------------ */

/* Parts for all disks that were given something, or (`everybody`) for all. */
static int make_parts(struct readplan *p, bool everybody)
{
    mem_free(p->parts);
    p->part_count = p->part_answered = 0;
    p->parts = mem_calloc((size_t)p->disk_count + 1, sizeof *p->parts);
    if (p->parts == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < p->disk_count; i++)
        if (everybody || !vector_is_empty(p->disks[i].given))
            p->parts[p->part_count++] = (struct part){.disk = i};
    return 0;
}

static void clear_given(struct readplan *p)
{
    for (uint32_t i = 0; i < p->disk_count; i++)
        vector_clear(p->disks[i].given);
}

static int make_union(struct readplan *p)
{
    uint32_t w = quorum(p), silent = silent_domains(p, NULL);
    read_union_reset(&p->found);
    aliases_sort(p->links);
    return read_union_make(&p->found, p->disks, p->disk_count, p->links,
                           w > silent ? w - silent : 0, w);
}

static int plan_count(struct readplan *p, mono_ms now)
{
    p->phase = COUNT;
    p->since = now;
    clear_given(p);
    int rc = read_split(p->disks, p->disk_count, p->found.plain);
    rc = rc != 0 ? rc : read_split_classes(p->disks, p->disk_count, &p->found, p->links);
    return rc != 0 ? rc : make_parts(p, false);
}

/* The replies are in: what to do about them. */
static int plan(struct readplan *p, mono_ms now)
{
    if (p->config.names) {
        finish(p, 0);
        return 0;
    }
    int rc = make_union(p);
    if (rc != 0)
        return rc;
    if (silent_domains(p, NULL) == 0 || vector_is_empty(p->found.suspects))
        return plan_count(p, now);
    if (vector_size(p->found.suspects) > READ_KEYS_MAX) {
        p->repeats_unsure = true;
        return plan_count(p, now);
    }
    p->phase = KEYS_OF;
    p->since = now;
    clear_given(p);
    rc = read_split(p->disks, p->disk_count, p->found.suspects);
    return rc != 0 ? rc : make_parts(p, false);
}

/* --- equal keys (A9d) ---------------------------------------------------------------------- */

/* All keys of the suspects are in: who else has them? */
static int plan_find(struct readplan *p, mono_ms now)
{
    int rc = read_keys_join(&p->keys, p->links);
    if (rc == 0 && p->keys.count > 0 && p->disk_count > 1) {
        p->phase = KEYS_FIND;
        p->since = now;
        return make_parts(p, true);
    }
    rc = rc != 0 ? rc : make_union(p);
    return rc != 0 ? rc : plan_count(p, now);
}

/* A phase of calls is complete. */
static void phase_done(struct readplan *p, mono_ms now)
{
    int rc = 0;
    if (p->phase == KEYS_OF) {
        rc = plan_find(p, now);
    } else if (p->phase == KEYS_FIND) {
        rc = make_union(p);
        rc = rc != 0 ? rc : plan_count(p, now);
    } else if (p->phase == COUNT) {
        finish(p, 0);
    }
    if (rc != 0)
        finish(p, rc);
}

/* --- answers to parts ---------------------------------------------------------------------- */

static struct part *part_called(struct readplan *p, uint32_t call)
{
    for (uint32_t i = 0; i < p->part_count; i++)
        if (p->parts[i].call == call && p->parts[i].state == SENT)
            return &p->parts[i];
    return NULL;
}

static bool all_answered(const struct readplan *p)
{
    return p->part_answered == p->part_count;
}

/* No call of this round is under way or to come. */
static bool all_ended(const struct readplan *p)
{
    for (uint32_t i = 0; i < p->part_count; i++)
        if (p->parts[i].state == TO_SEND || p->parts[i].state == SENT)
            return false;
    return true;
}

/* Give the round up with all its answers; in the last one go on as well as can be (A8c). */
static void abandon(struct readplan *p, uint32_t disk, mono_ms now)
{
    mark_slow(p, p->disks[disk].id);
    if (!p->last && now + p->config.vector_timeout_ms < p->config.deadline) {
        p->restart = true;
        return;
    }
    p->last = true;
    if (p->phase == COUNT) {
        if (all_ended(p))
            finish(p, 0);
        return;
    }
    p->repeats_unsure = true;
    int rc = make_union(p);
    rc = rc != 0 ? rc : plan_count(p, now);
    if (rc != 0)
        finish(p, rc);
}

int readplan_keys(struct readplan *p, uint32_t call, const struct read_key *keys, uint32_t count,
                  mono_ms now)
{
    struct part *part = p->phase == KEYS_OF || p->phase == KEYS_FIND ? part_called(p, call) : NULL;
    if (part == NULL || p->restart)
        return ERR_STALE;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = p->phase == KEYS_OF ? read_keys_add(&p->keys, &keys[i], part->disk)
                                 : read_keys_link(&p->keys, &keys[i], p->links);
    part->state = rc == 0 ? ANSWERED : FAILED;
    if (rc != 0) {
        abandon(p, part->disk, now);
        return rc;
    }
    p->part_answered++;
    if (all_answered(p))
        phase_done(p, now);
    return 0;
}

int readplan_counted(struct readplan *p, uint32_t call, mono_ms now)
{
    struct part *part = p->phase == COUNT && !p->restart ? part_called(p, call) : NULL;
    if (part == NULL)
        return ERR_STALE;
    part->state = ANSWERED;
    p->part_answered++;
    if (all_answered(p))
        phase_done(p, now);
    else if (all_ended(p))
        finish(p, 0);
    return 0;
}

/* The query itself is at fault: another replica would say the same. */
static bool is_final(int code)
{
    return code == ERR_LIMIT || code == ERR_INVAL || code == ERR_PARSE || code == ERR_DENIED ||
           code == ERR_UNIMPLEMENTED;
}

int readplan_failed(struct readplan *p, uint32_t call, int code, mono_ms now)
{
    ASSERT(code < 0);
    if (p->restart || p->phase == DONE)
        return ERR_STALE;
    if (p->phase == GATHER) {
        struct peer *peer = peer_called(p, call);
        if (peer != NULL)
            peer->state = FAILED;
        return peer != NULL ? 0 : ERR_STALE;
    }
    struct part *part = part_called(p, call);
    if (part == NULL)
        return ERR_STALE;
    part->state = FAILED;
    if (p->phase == COUNT && is_final(code))
        finish(p, code);
    else
        abandon(p, part->disk, now);
    return 0;
}

/* --- time ---------------------------------------------------------------------------------- */

/* The others hold all that this disk was given. */
static bool others_hold(const struct readplan *p, uint32_t disk)
{
    struct vector *rest = NULL;
    int rc = vector_copy(&rest, p->disks[disk].given);
    for (uint32_t i = 0; rc == 0 && i < p->disk_count; i++)
        if (i != disk)
            rc = vector_minus(rest, p->disks[i].held);
    bool held = rc == 0 && vector_is_empty(rest);
    vector_free(&rest);
    return held;
}

/* Is it time to give up waiting in this phase, and when will it be? */
static void gather_time(struct readplan *p, mono_ms now, mono_ms *due)
{
    mono_ms hedge = p->since + p->config.hedge_ms;
    mono_ms end = p->since + p->config.vector_timeout_ms;
    bool enough = silent_domains(p, NULL) < quorum(p);
    if (all_here(p) || now >= end || (now >= hedge && enough)) {
        int rc = plan(p, now);
        if (rc != 0)
            finish(p, rc);
        return;
    }
    *due = now < hedge ? hedge : end;
}

/* A part that is late while others hold its dots ends the round, except the last. A call for keys
 * may always be given up. */
static void parts_time(struct readplan *p, mono_ms now, mono_ms *due)
{
    mono_ms hedge = p->since + p->config.count_hedge_ms;
    if (p->phase == COUNT && p->last)
        return;
    if (now < hedge) {
        *due = hedge;
        return;
    }
    for (uint32_t i = 0; i < p->part_count; i++) {
        struct part *part = &p->parts[i];
        if (part->state != SENT || (p->phase == COUNT && !others_hold(p, part->disk)))
            continue;
        part->state = p->phase == COUNT ? SENT : FAILED;
        abandon(p, part->disk, now);
        return;
    }
    *due = now + p->config.count_hedge_ms;
}

static void deadline(struct readplan *p)
{
    bool counting = p->phase == COUNT && !p->restart;
    finish(p, counting || p->config.names || p->disk_count == 0 ? 0 : ERR_TIMEOUT);
}

/* --- actions ------------------------------------------------------------------------------- */

static bool next_ask(struct readplan *p, struct read_action *out)
{
    for (uint32_t i = 0; i < p->peer_count; i++) {
        struct peer *peer = &p->peers[i];
        if (peer->state != TO_SEND)
            continue;
        peer->state = SENT;
        peer->call = p->next_call++;
        *out = (struct read_action){.verb = READ_ASK, .call = peer->call, .round = p->round,
                                    .instance = peer->instance, .addr = peer->addr};
        return true;
    }
    return false;
}

/* Fill the action of a part; false: it has nothing to say and is skipped. */
static bool part_action(struct readplan *p, struct part *part, struct read_action *out)
{
    struct read_disk *d = &p->disks[part->disk];
    *out = (struct read_action){.call = part->call, .round = p->round,
                                .part = (uint32_t)(part - p->parts), .disk = d->id,
                                .instance = d->instance, .addr = d->addr};
    if (p->phase == COUNT) {
        out->verb = READ_COUNT;
        out->include = d->given;
        return true;
    }
    out->verb = READ_KEYS;
    if (p->phase == KEYS_OF) {
        out->of = d->given;
        return true;
    }
    if (read_keys_for(&p->keys, part->disk, &out->find_count) != 0)
        finish(p, ERR_NOMEM);
    out->find = p->keys.find;
    return out->find_count > 0;
}

static bool next_part(struct readplan *p, struct read_action *out, mono_ms now)
{
    for (uint32_t i = 0; i < p->part_count && p->phase != DONE && p->phase != GATHER; i++) {
        struct part *part = &p->parts[i];
        if (part->state != TO_SEND)
            continue;
        part->call = p->next_call++;
        part->state = SENT;
        if (part_action(p, part, out))
            return true;
        part->state = ANSWERED;
        p->part_answered++;
    }
    if (p->phase != DONE && p->phase != GATHER && all_answered(p)) {
        phase_done(p, now);
        return p->phase != DONE && next_part(p, out, now);
    }
    return false;
}

static enum read_verb restart(struct readplan *p, mono_ms now)
{
    p->restart = false;
    round_reset(p);
    int rc = aliases_init(&p->links);
    start_round(p, now);
    if (rc != 0)
        finish(p, rc);
    return READ_RESTART;
}

static enum read_verb next(struct readplan *p, mono_ms now, struct read_action *out, mono_ms *due)
{
    if (p->phase != DONE && now >= p->config.deadline)
        deadline(p);
    if (p->phase != DONE && p->restart)
        return restart(p, now);
    if (p->phase == GATHER && next_ask(p, out))
        return READ_ASK;
    if (p->phase == GATHER)
        gather_time(p, now, due);
    if (p->phase != GATHER && next_part(p, out, now))
        return out->verb;
    if (p->phase != GATHER && p->phase != DONE) {
        parts_time(p, now, due);
        if (p->phase != DONE && p->restart)
            return restart(p, now);
        if (p->phase != DONE && next_part(p, out, now))
            return out->verb;
    }
    return p->phase == DONE ? READ_FINISH : READ_WAIT;
}

enum read_verb readplan_next(struct readplan *p, mono_ms now, struct read_action *out,
                             mono_ms *due)
{
    mono_ms at = p->config.deadline;
    *out = (struct read_action){.round = p->round};
    enum read_verb verb = next(p, now, out, &at);
    out->verb = verb;
    out->round = p->round;
    if (due != NULL)
        *due = at < p->config.deadline ? at : p->config.deadline;
    return verb;
}

/* --- text ---------------------------------------------------------------------------------- */

void read_verdict_text(const struct read_verdict *v, struct buf *out)
{
    static const char *const names[] = {"silent",  "not-counted", "truncated",
                                        "repeats", "bucket",      "no-established"};
    if (v->complete) {
        buf_c(out, "complete");
        return;
    }
    buf_c(out, "uncertain; reasons=\"");
    const char *comma = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if ((v->reasons >> i & 1) == 0)
            continue;
        buf_c(out, comma);
        buf_c(out, names[i]);
        comma = ",";
    }
    buf_c(out, "\"");
    for (uint32_t i = 0; i < v->silent_count; i++) {
        buf_c(out, i == 0 ? "; silent=\"" : ",");
        buf_str(out, v->silent[i]);
    }
    if (v->silent_count > 0)
        buf_c(out, "\"");
}
