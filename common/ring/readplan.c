/* ring/readplan.c - the rounds of a query and its verdict. */
#include "ring/readplan.h"

#include "base/assert.h"
#include "base/mem.h"
#include "ring/readplan_priv.h"

enum { HEDGE_MIN_MS = 50, HEDGE_MS = 500, ROUNDS = 4 };
enum { VECTOR_TIMEOUT_MS = 2000, COUNT_HEDGE_MS = 2000 };


/* --- life ---------------------------------------------------------------------------------- */

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
        rc = read_target_add(p, peers[i].instance, peers[i].addr, peers[i].domain,
                      !peers[i].roster_only, peers[i].lazy);
    rc = rc != 0 ? rc : read_targets_of_roster(p);
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

uint32_t read_hedge_ms(uint32_t median_ms)
{
    if (median_ms >= HEDGE_MS / 2)
        return HEDGE_MS;
    return median_ms * 2 > HEDGE_MIN_MS ? median_ms * 2 : HEDGE_MIN_MS;
}

/* --- gathering (A8) ---------------------------------------------------------------------- */

int readplan_replied(struct readplan *p, uint32_t call, const struct read_reply *reply,
                     mono_ms now)
{
    (void)now;
    struct read_target *peer = read_target_called(p, call);
    if (peer == NULL || p->phase != GATHER || p->restart)
        return ERR_STALE;
    int rc = read_take_reply(p, reply, peer->addr);
    peer->state = rc == 0 || rc == ERR_STALE ? ANSWERED : FAILED;
    if (rc == 0 && read_targets_of_roster(p) == ERR_NOMEM)
        read_finish(p, ERR_NOMEM); /* it could not be asked whom it should: no verdict */
    return rc;
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
            p->parts[p->part_count++] = (struct read_part){.disk = i};
    return 0;
}

static void clear_given(struct readplan *p)
{
    for (uint32_t i = 0; i < p->disk_count; i++)
        vector_clear(p->disks[i].given);
}

static int make_union(struct readplan *p)
{
    uint32_t w = read_quorum(p), silent = read_silent_domains(p, NULL);
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
        read_finish(p, 0);
        return 0;
    }
    int rc = make_union(p);
    if (rc != 0)
        return rc;
    if (read_silent_domains(p, NULL) == 0 || vector_is_empty(p->found.suspects))
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
        read_finish(p, 0);
    }
    if (rc != 0)
        read_finish(p, rc);
}

/* --- answers to parts ---------------------------------------------------------------------- */

static struct read_part *part_called(struct readplan *p, uint32_t call)
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
    read_mark_slow(p, p->disks[disk].id);
    if (!p->last && now + p->config.vector_timeout_ms < p->config.deadline) {
        p->restart = true;
        return;
    }
    p->last = true;
    if (p->phase == COUNT) {
        if (all_ended(p))
            read_finish(p, 0);
        return;
    }
    p->repeats_unsure = true;
    int rc = make_union(p);
    rc = rc != 0 ? rc : plan_count(p, now);
    if (rc != 0)
        read_finish(p, rc);
}

int readplan_keys(struct readplan *p, uint32_t call, const struct read_key *keys, uint32_t count,
                  mono_ms now)
{
    struct read_part *part = part_called(p, call);
    if (part == NULL || p->restart || (p->phase != KEYS_OF && p->phase != KEYS_FIND))
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
    struct read_part *part = p->phase == COUNT && !p->restart ? part_called(p, call) : NULL;
    if (part == NULL)
        return ERR_STALE;
    part->state = ANSWERED;
    p->part_answered++;
    if (all_answered(p))
        phase_done(p, now);
    else if (all_ended(p))
        read_finish(p, 0);
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
        struct read_target *peer = read_target_called(p, call);
        if (peer != NULL)
            peer->state = FAILED;
        return peer != NULL ? 0 : ERR_STALE;
    }
    struct read_part *part = part_called(p, call);
    if (part == NULL)
        return ERR_STALE;
    part->state = FAILED;
    if (p->phase == COUNT && is_final(code))
        read_finish(p, code);
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
    bool enough = read_silent_domains(p, NULL) < read_quorum(p);
    if (read_all_here(p) || now >= end || (now >= hedge && enough)) {
        int rc = plan(p, now);
        if (rc != 0)
            read_finish(p, rc);
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
        struct read_part *part = &p->parts[i];
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
    read_finish(p, counting || p->config.names || p->disk_count == 0 ? 0 : ERR_TIMEOUT);
}

/* --- actions ------------------------------------------------------------------------------- */

static bool next_ask(struct readplan *p, struct read_action *out)
{
    for (uint32_t i = 0; i < p->peer_count; i++) {
        struct read_target *peer = &p->peers[i];
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
static bool part_action(struct readplan *p, struct read_part *part, struct read_action *out)
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
        read_finish(p, ERR_NOMEM);
    out->find = p->keys.find;
    return out->find_count > 0;
}

static bool next_part(struct readplan *p, struct read_action *out, mono_ms now)
{
    for (uint32_t i = 0; i < p->part_count && p->phase != DONE && p->phase != GATHER; i++) {
        struct read_part *part = &p->parts[i];
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
        read_finish(p, rc);
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
