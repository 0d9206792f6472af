/* gossip/memberlist.c - the machine as a whole: its parts, its clock, its outbox. */
#include "gossip/memberlist.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "gossip/memberlist_priv.h"

static int init_parts(struct memberlist *ml, mono_ms now, struct err *err)
{
    ml->label = str_dup_c(ml->cfg.label);
    if (ml->label == NULL || bcast_init(&ml->queue) != 0)
        return err_set(err, ERR_NOMEM, "memberlist");
    ml->cfg.label.data = ml->label;
    struct members_config mc = {
        .name = ml->cfg.name,
        .addr = ml->cfg.addr,
        .default_port = ml->cfg.default_port,
        .meta = ml->cfg.meta,
        .suspicion_mult = ml->cfg.suspicion_mult,
        .suspicion_max_mult = ml->cfg.suspicion_max_mult,
        .probe_interval_ms = ml->cfg.probe_interval_ms,
        .awareness_max = ml->cfg.awareness_max,
        .reclaim_ms = ml->cfg.reclaim_ms,
        .rename = ml->cfg.rename,
        .dead_ms = ml->cfg.dead_gossip_ms,
        .count_max = ml->cfg.members_max,
    };
    memcpy(mc.vsn, ml->cfg.vsn, sizeof mc.vsn);
    ml->cfg.meta = (struct str){0}; /* the table has its own copy */
    ml->cfg.name = (struct str){0};
    return members_init(&ml->members, &mc, ml->queue, ml->rng, ml->log, now, err);
}

int memberlist_init(struct memberlist **out, const struct memberlist_config *config,
                    const struct memberlist_delegate *delegate, struct rng *rng,
                    const struct log *log, mono_ms now, struct err *err)
{
    if (config->label.len > PACKET_LABEL_MAX)
        return err_set(err, ERR_INVAL, "cluster label of %zu bytes, at most %d",
                       config->label.len, PACKET_LABEL_MAX);
    if (config->gossip_interval_ms == 0 || config->packet_bytes < 1400)
        return err_set(err, ERR_INVAL, "gossip interval or packet size too small");
    struct memberlist *ml = mem_zalloc(sizeof *ml);
    if (ml == NULL)
        return err_set(err, ERR_NOMEM, "memberlist");
    *ml = (struct memberlist){
        .cfg = *config, .delegate = *delegate, .rng = rng, .log = log, .now = now};
    list_init(&ml->actions);
    list_init(&ml->streams);
    list_init(&ml->relays);
    int rc = init_parts(ml, now, err);
    if (rc != 0) {
        memberlist_free(&ml);
        return rc;
    }
    ml->last_seq = rng_u32(rng);
    ml->next_gossip = now + config->gossip_interval_ms;
    ml->next_probe =
        config->probe_interval_ms == 0 ? MONO_NEVER : now + config->probe_interval_ms;
    ml->next_pushpull = MONO_NEVER;
    if (config->pushpull_interval_ms > 0)
        ml->next_pushpull = now + config->pushpull_interval_ms +
                            (mono_ms)rng_below(rng, config->pushpull_interval_ms);
    *out = ml;
    return 0;
}

static void action_free(struct action_item *item)
{
    list_remove(&item->link);
    buf_reset(&item->act.bytes);
    mem_free(item);
}

void memberlist_free(struct memberlist **out)
{
    struct memberlist *ml = *out;
    if (ml == NULL)
        return;
    LIST_EACH_SAFE(a, &ml->actions)
        action_free(LIST_ITEM(a, struct action_item, link));
    LIST_EACH_SAFE(s, &ml->streams) {
        struct stream *st = LIST_ITEM(s, struct stream, link);
        buf_reset(&st->in);
        mem_free(st);
    }
    LIST_EACH_SAFE(r, &ml->relays)
        mem_free(LIST_ITEM(r, struct relay, link));
    mem_free((void *)(uintptr_t)ml->probe.name.data);
    members_free(&ml->members);
    bcast_free(&ml->queue);
    mem_free(ml->label);
    mem_free(ml);
    *out = NULL;
}

int ml_act(struct memberlist *ml, struct memberlist_action *a)
{
    struct action_item *item = a->bytes.error != 0 ? NULL : mem_alloc(sizeof *item);
    if (item == NULL) {
        buf_reset(&a->bytes);
        ml->stats.dropped_nomem++;
        return ERR_NOMEM;
    }
    item->act = *a;
    list_push_back(&ml->actions, &item->link);
    ml->action_count++;
    return 0;
}

void memberlist_perform(const struct memberlist_transport *t, struct memberlist_action *a)
{
    switch (a->verb) {
    case ML_PACKET:
        t->packet(t->arg, &a->to, &a->bytes);
        break;
    case ML_STREAM_OPEN:
        t->open(t->arg, a->stream, &a->to, &a->bytes);
        break;
    case ML_STREAM_WRITE:
        t->write(t->arg, a->stream, &a->bytes);
        break;
    case ML_STREAM_CLOSE:
        t->close(t->arg, a->stream);
        break;
    case ML_JOINED:
        break;
    }
    buf_reset(&a->bytes);
}

void memberlist_set_seal(struct memberlist *ml, const struct memberlist_seal *seal)
{
    ml->seal = *seal;
}

int memberlist_set_meta(struct memberlist *ml, struct str meta, mono_ms now)
{
    ml->now = now;
    return members_set_meta(ml->members, meta);
}

bool memberlist_next(struct memberlist *ml, struct memberlist_action *out)
{
    struct list *first = list_first(&ml->actions);
    if (first == NULL)
        return false;
    struct action_item *item = LIST_ITEM(first, struct action_item, link);
    *out = item->act;
    item->act.bytes = (struct buf){0};
    action_free(item);
    ml->action_count--;
    return true;
}

/* memberlist's util.go, pushPullScale: larger clusters exchange whole states less often. */
static mono_ms pushpull_interval(const struct memberlist *ml)
{
    size_t n = members_count(ml->members);
    mono_ms factor = 1; /* ceil(log2(n) - 5) + 1 above 32 */
    for (size_t power = 32; power < n; power *= 2)
        factor++;
    return factor * ml->cfg.pushpull_interval_ms;
}

static bool is_alive_other(void *arg, const struct member *m)
{
    const struct memberlist *ml = arg;
    return m->state == MEMBER_ALIVE && m != members_self(ml->members);
}

static void pushpull(struct memberlist *ml)
{
    const struct member *peer = NULL;
    if (members_pick(ml->members, 1, is_alive_other, ml, &peer) == 1)
        (void)ml_exchange(ml, &peer->addr, false, 0);
}

/* The next time on the grid that is still to come: what was missed is not made up for. */
static mono_ms step(mono_ms due, mono_ms interval, mono_ms now)
{
    due += interval;
    return due > now ? due : now + interval;
}

static bool has_news(const struct memberlist *ml)
{
    return bcast_count(ml->queue) > 0 || ml->delegate.queued == NULL ||
           ml->delegate.queued(ml->delegate.arg) > 0;
}

void memberlist_tick(struct memberlist *ml, mono_ms now)
{
    ASSERT(now >= ml->now);
    ml->now = now;
    if (ml->idle && ml->next_gossip < now) { /* nobody ticked: on with the same grid */
        mono_ms interval = ml->cfg.gossip_interval_ms;
        ml->next_gossip += (now - ml->next_gossip + interval - 1) / interval * interval;
    }
    members_tick(ml->members, now);
    ml_probe_tick(ml);
    ml_streams_tick(ml);
    if (ml->next_probe <= now) {
        ml->next_probe = step(ml->next_probe, ml->cfg.probe_interval_ms, now);
        ml_probe_next(ml);
    }
    if (ml->next_pushpull <= now) {
        ml->next_pushpull = step(ml->next_pushpull, pushpull_interval(ml), now);
        if (!members_is_leaving(ml->members))
            pushpull(ml);
    }
    if (ml->next_gossip <= now) {
        ml->next_gossip = step(ml->next_gossip, ml->cfg.gossip_interval_ms, now);
        ml_gossip(ml);
    }
    ml->idle = !has_news(ml);
    ml_watch_reach(ml);
}

static mono_ms earlier(mono_ms a, mono_ms b)
{
    return a < b ? a : b;
}

mono_ms memberlist_due(const struct memberlist *ml)
{
    mono_ms due = earlier(ml->next_probe, ml->next_pushpull);
    if (has_news(ml))
        due = earlier(due, ml->next_gossip);
    due = earlier(due, earlier(ml_probe_due(ml), ml_streams_due(ml)));
    return earlier(due, members_due(ml->members));
}

int memberlist_join(struct memberlist *ml, const struct gossip_addr *to, uint64_t tag,
                    mono_ms now)
{
    ml->now = now;
    return ml_exchange(ml, to, true, tag);
}

int memberlist_leave(struct memberlist *ml, mono_ms now)
{
    ml->now = now;
    return members_leave(ml->members, now, &ml->leave_id);
}

bool memberlist_has_left(const struct memberlist *ml)
{
    return members_is_leaving(ml->members) &&
           (members_active_count(ml->members) == 0 || !bcast_has(ml->queue, ml->leave_id));
}

const struct members *memberlist_members(const struct memberlist *ml)
{
    return ml->members;
}

const struct memberlist_stats *memberlist_stats(const struct memberlist *ml)
{
    return &ml->stats;
}

size_t memberlist_queued(const struct memberlist *ml)
{
    return bcast_count(ml->queue);
}
