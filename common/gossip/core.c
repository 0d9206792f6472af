/* gossip/core.c - hands events to memberlist, store and joining, and lets them see each other. */
#include "gossip/core.h"

#include "base/log.h"
#include "base/mem.h"

/* The way out, in order. */
enum phase { PHASE_RUNNING, PHASE_FLUSHING, PHASE_LEAVING, PHASE_OVER };

enum { EXPIRE_EVERY_MS = 30000, LEAVE_POLL_MS = 50 };

struct gossip_core {
    struct gossip_core_config cfg;
    const struct log *log;
    struct rng rng;
    struct memberlist *ml;
    struct kv *kv;
    struct join *join;
    struct kv_tracker *tracker; /* NULL: off */
    struct gossip_time now;
    mono_ms next_expire, next_notify;
    enum phase phase;
    mono_ms phase_due; /* latest end of the phase */
    bool was_joined;
};

struct gossip_core_config gossip_core_config_default(void)
{
    return (struct gossip_core_config){
        .members = memberlist_config_dskit(),
        .kv = {.retransmit_mult = 4,
               .tombstone_ms = 300000,
               .obsolete_ms = 30000,
               .prefix_buffer = 128},
        .tracker = {.interval_ms = 60000, .lifetime_ms = 600000},
        .join = {.backoff_min_ms = 1000,
                 .backoff_max_ms = 20000,
                 .rejoin_ms = 60000,
                 .enough_factor = 4},
        .leave_ms = 20000,
        .flush_ms = 10000,
    };
}

static void on_message(void *arg, struct str msg)
{
    struct gossip_core *c = arg;
    (void)kv_on_message(c->kv, msg, c->now.wall); /* counted there */
}

static void put_state(void *arg, struct buf *out)
{
    struct gossip_core *c = arg;
    kv_put_state(c->kv, out);
}

static void on_state(void *arg, struct str state)
{
    struct gossip_core *c = arg;
    (void)kv_on_state(c->kv, state, c->now.wall);
}

static size_t take(void *arg, size_t budget, size_t overhead, size_t members, bcast_fn fn,
                   void *fn_arg)
{
    struct gossip_core *c = arg;
    return kv_take(c->kv, budget, overhead, members, fn, fn_arg);
}

static size_t queued(void *arg)
{
    const struct gossip_core *c = arg;
    return kv_queued_local(c->kv) + kv_queued_gossip(c->kv);
}

int gossip_core_init(struct gossip_core **out, const struct gossip_core_config *config,
                     const struct log *log, struct gossip_time now, struct err *err)
{
    struct gossip_core *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return err_set(err, ERR_NOMEM, "gossip");
    *c = (struct gossip_core){
        .cfg = *config, .log = log, .now = now, .next_expire = now.mono + EXPIRE_EVERY_MS};
    rng_seed(&c->rng, config->seed);
    struct memberlist_delegate d = {.arg = c,
                                    .on_message = on_message,
                                    .put_state = put_state,
                                    .on_state = on_state,
                                    .take = take,
                                    .queued = queued};
    int rc = kv_init(&c->kv, &config->kv, log);
    if (rc == 0)
        rc = join_init(&c->join, &config->join, &c->rng, now.mono);
    if (rc != 0)
        (void)err_set(err, rc, "gossip: %s", err_text(rc));
    if (rc == 0)
        rc = memberlist_init(&c->ml, &config->members, &d, &c->rng, log, now.mono, err);
    if (rc == 0 && config->tracker.enabled) {
        rc = kv_tracker_init(&c->tracker, &config->tracker, c->kv, config->members.name, &c->rng,
                             log, now.mono);
        if (rc != 0)
            (void)err_set(err, rc, "gossip: propagation tracker: %s", err_text(rc));
    }
    if (rc != 0) {
        gossip_core_free(&c);
        return rc;
    }
    *out = c;
    return 0;
}

void gossip_core_free(struct gossip_core **c)
{
    if (*c == NULL)
        return;
    memberlist_free(&(*c)->ml);
    join_free(&(*c)->join);
    kv_free(&(*c)->kv);
    kv_tracker_free(&(*c)->tracker);
    mem_free(*c);
    *c = NULL;
}

int gossip_core_seeds(struct gossip_core *c, const struct gossip_addr *seeds, size_t count,
                      struct gossip_time now)
{
    const struct member *self = members_self(memberlist_members(c->ml));
    c->now = now;
    int rc = join_set_seeds(c->join, seeds, count, &self->addr, now.mono);
    c->was_joined = join_is_joined(c->join);
    return rc;
}

void gossip_core_names(struct gossip_core *c, bool pending, bool missing, struct gossip_time now)
{
    join_set_names(c->join, pending, missing, now.mono);
}

/* --- joining -------------------------------------------------------------------------------- */

static bool is_alone(const struct gossip_core *c)
{
    return members_active_count(memberlist_members(c->ml)) <= 1;
}

/* Say once that we are in. */
static void log_joining(struct gossip_core *c)
{
    if (c->was_joined || !join_is_joined(c->join))
        return;
    c->was_joined = true;
    log_line(c->log, LOG_INFO, "joined the cluster", LOG_U("reached", join_reached(c->join)),
             LOG_U("seeds", join_seeds(c->join)),
             LOG_U("members", members_active_count(memberlist_members(c->ml))));
}

static void join_more(struct gossip_core *c)
{
    struct gossip_addr to;
    uint64_t tag = 0;
    if (c->phase != PHASE_RUNNING)
        return;
    while (join_next(c->join, is_alone(c), c->now.mono, &to, &tag))
        if (memberlist_join(c->ml, &to, tag, c->now.mono) != 0)
            join_done(c->join, tag, false, c->now.mono);
}

/* --- stopping ------------------------------------------------------------------------------- */

static mono_ms limit_of(const struct gossip_core *c, uint32_t ms)
{
    return ms == 0 ? MONO_NEVER : c->now.mono + ms;
}

/* Move on towards the end when a phase is done or has lasted too long. */
static void stop_more(struct gossip_core *c)
{
    bool late = c->phase_due <= c->now.mono;
    if (c->phase == PHASE_FLUSHING && (late || is_alone(c) || kv_queued_local(c->kv) == 0)) {
        c->phase = PHASE_LEAVING;
        c->phase_due = limit_of(c, c->cfg.leave_ms);
        late = memberlist_leave(c->ml, c->now.mono) != 0;
    }
    if (c->phase == PHASE_LEAVING && (late || memberlist_has_left(c->ml)))
        c->phase = PHASE_OVER;
}

void gossip_core_stop(struct gossip_core *c, struct gossip_time now)
{
    c->now = now;
    if (c->phase != PHASE_RUNNING)
        return;
    c->phase = PHASE_FLUSHING;
    c->phase_due = limit_of(c, c->cfg.flush_ms);
    kv_close_local(c->kv);
    stop_more(c);
}

bool gossip_core_is_over(const struct gossip_core *c)
{
    return c->phase == PHASE_OVER;
}

/* --- events --------------------------------------------------------------------------------- */

/* Call watchers, when it is time. */
static void notify(struct gossip_core *c)
{
    if (c->next_notify > c->now.mono || kv_pending(c->kv) == 0)
        return;
    c->next_notify = c->now.mono + c->cfg.notify_ms;
    if (c->tracker != NULL)
        kv_tracker_time(c->tracker, c->now.wall);
    (void)kv_notify(c->kv);
}

/* After every event. */
static void settle(struct gossip_core *c)
{
    join_more(c);
    if (c->phase != PHASE_RUNNING)
        stop_more(c);
    notify(c);
}

void gossip_core_tick(struct gossip_core *c, struct gossip_time now)
{
    c->now = now;
    memberlist_tick(c->ml, now.mono);
    if (c->next_expire <= now.mono) {
        c->next_expire = now.mono + EXPIRE_EVERY_MS;
        kv_expire(c->kv, now.wall);
    }
    if (c->tracker != NULL && c->phase == PHASE_RUNNING)
        kv_tracker_tick(c->tracker, now.mono, now.wall);
    log_joining(c);
    settle(c);
}

mono_ms gossip_core_due(const struct gossip_core *c)
{
    mono_ms due = memberlist_due(c->ml);
    mono_ms join = c->phase == PHASE_RUNNING ? join_due(c->join) : MONO_NEVER;
    due = join < due ? join : due;
    due = c->next_expire < due ? c->next_expire : due;
    if (kv_pending(c->kv) > 0 && c->next_notify < due)
        due = c->next_notify;
    if (c->tracker != NULL && c->phase == PHASE_RUNNING && kv_tracker_due(c->tracker) < due)
        due = kv_tracker_due(c->tracker);
    if (c->phase == PHASE_FLUSHING || c->phase == PHASE_LEAVING) {
        mono_ms poll = c->now.mono + LEAVE_POLL_MS;
        due = poll < due ? poll : due;
    }
    return due;
}

void gossip_core_on_packet(struct gossip_core *c, const struct gossip_addr *from,
                           struct str bytes, struct gossip_time now)
{
    c->now = now;
    memberlist_on_packet(c->ml, from, bytes, now.mono);
    settle(c);
}

uint32_t gossip_core_on_accept(struct gossip_core *c, const struct gossip_addr *from,
                               struct gossip_time now)
{
    c->now = now;
    return memberlist_on_accept(c->ml, from, now.mono);
}

void gossip_core_on_connect(struct gossip_core *c, uint32_t stream, struct gossip_time now)
{
    c->now = now;
    memberlist_on_connect(c->ml, stream, now.mono);
}

void gossip_core_on_bytes(struct gossip_core *c, uint32_t stream, struct str bytes,
                          struct gossip_time now)
{
    c->now = now;
    memberlist_on_bytes(c->ml, stream, bytes, now.mono);
    settle(c);
}

void gossip_core_on_end(struct gossip_core *c, uint32_t stream, int code, struct gossip_time now)
{
    c->now = now;
    memberlist_on_end(c->ml, stream, code, now.mono);
    settle(c);
}

bool gossip_core_next(struct gossip_core *c, struct memberlist_action *out)
{
    while (memberlist_next(c->ml, out)) {
        if (out->verb != ML_JOINED)
            return true;
        join_done(c->join, out->tag, out->code == 0, c->now.mono);
        if (out->code == 0)
            log_joining(c);
        join_more(c);
    }
    return false;
}

struct kv *gossip_core_kv(struct gossip_core *c)
{
    return c->kv;
}

const struct memberlist *gossip_core_members(const struct gossip_core *c)
{
    return c->ml;
}

struct kv_tracker *gossip_core_tracker(struct gossip_core *c)
{
    return c->tracker;
}

const struct join *gossip_core_join(const struct gossip_core *c)
{
    return c->join;
}
