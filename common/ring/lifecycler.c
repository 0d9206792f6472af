/* ring/lifecycler.c - a member's life as a machine.
 *
 * step() finds the next task, edit() computes its outcome into `next`, edited() makes that the
 * truth. So an edit that is made twice, or not stored, leaves no trace. */
#include "ring/lifecycler_priv.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"

enum { RETRY_MS = 1000 };

static int copy_config(struct lifecycler *l, const struct lifecycler_config *c)
{
    l->c = *c;
    l->c.versions = NULL;
    if (l->c.id_option == NULL)
        l->c.id_option = "name";
    char *id = str_dup_c(c->id), *addr = str_dup_c(c->addr), *zone = str_dup_c(c->zone);
    l->c.id = str_of(id, c->id.len);
    l->c.addr = str_of(addr, c->addr.len);
    l->c.zone = str_of(zone, c->zone.len);
    if (c->version_count > 0)
        l->c.versions = mem_dup(c->versions, c->version_count * sizeof *c->versions);
    bool whole = id != NULL && addr != NULL && zone != NULL &&
                 (c->version_count == 0 || l->c.versions != NULL);
    return whole ? 0 : ERR_NOMEM;
}

int lifecycler_init(struct lifecycler **out, const struct lifecycler_config *config,
                    const struct ring_tokens *file_tokens, struct rng *rng,
                    const struct log *log, struct err *err)
{
    if (config->id.len == 0 || config->num_tokens == 0)
        return err_set(err, ERR_INVAL, "a ring member needs an id and at least one token");
    struct lifecycler *l = mem_zalloc(sizeof *l);
    if (l == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    l->rng = rng;
    l->log = log;
    l->entry.state = RING_PENDING;
    l->established = !config->start_joining;
    l->join_at = l->observe_at = l->beat_at = l->ready_at = MONO_NEVER;
    int rc = copy_config(l, config);
    if (rc == 0)
        rc = map_init(&l->others);
    if (rc == 0 && file_tokens != NULL)
        rc = ring_tokens_copy(&l->entry.tokens, file_tokens->all, file_tokens->count);
    if (rc != 0) {
        lifecycler_free(&l);
        return err_set(err, rc, "out of memory");
    }
    *out = l;
    return 0;
}

void lifecycler_free(struct lifecycler **l)
{
    if (*l == NULL)
        return;
    struct lifecycler *mine = *l;
    size_t at = 0;
    void *s;
    while (mine->others != NULL && map_next(mine->others, &at, NULL, &s))
        mem_free(s);
    map_free(&mine->others);
    ring_tokens_reset(&mine->entry.tokens);
    ring_tokens_reset(&mine->next.tokens);
    mem_free((void *)(uintptr_t)mine->c.id.data);
    mem_free((void *)(uintptr_t)mine->c.addr.data);
    mem_free((void *)(uintptr_t)mine->c.zone.data);
    mem_free((void *)(uintptr_t)mine->c.versions);
    mem_free(mine);
    *l = NULL;
}

/* --- time --------------------------------------------------------------------------------- */

static enum task next_task(const struct lifecycler *l, mono_ms now)
{
    if (l->over)
        return TASK_NONE;
    if (l->unregister)
        return TASK_UNREGISTER;
    if (!l->registered)
        return l->leaving ? TASK_NONE : TASK_REGISTER;
    if (!l->leaving && !l->joined)
        return now >= l->join_at ? TASK_JOIN : now >= l->beat_at ? TASK_HEARTBEAT : TASK_NONE;
    if (!l->leaving && l->observing && now >= l->observe_at)
        return TASK_OBSERVE;
    if ((l->leaving || !l->observing) && l->entry.state != life_wanted(l))
        return TASK_STATE;
    return now >= l->beat_at ? TASK_HEARTBEAT : TASK_NONE;
}

enum lifecycler_verb lifecycler_step(struct lifecycler *l, mono_ms now)
{
    ASSERT(now >= l->now);
    l->now = now;
    if (l->unregister && (!l->registered || !l->c.unregister_on_shutdown) &&
        (!l->registered || l->entry.state == RING_LEAVING))
        l->over = true;
    if (l->over)
        return LIFE_OVER;
    l->task = now < l->retry_at ? TASK_NONE : next_task(l, now);
    if (l->task == TASK_UNREGISTER && !l->c.unregister_on_shutdown)
        l->task = TASK_STATE; /* it stays in the ring, but not as ACTIVE */
    return l->task == TASK_NONE ? LIFE_WAIT : LIFE_EDIT;
}

static mono_ms earlier(mono_ms a, mono_ms b)
{
    return a < b ? a : b;
}

mono_ms lifecycler_due(const struct lifecycler *l)
{
    if (l->over)
        return MONO_NEVER;
    mono_ms due = MONO_NEVER;
    if (l->registered || !l->leaving) {
        due = l->registered ? l->beat_at : l->now;
        if (l->registered && !l->leaving && !l->joined)
            due = earlier(due, l->join_at);
        else if (l->registered && !l->leaving && l->observing)
            due = earlier(due, l->observe_at);
        else if (l->registered && l->entry.state != life_wanted(l))
            due = l->now;
    }
    if (l->unregister)
        due = l->now;
    return due < l->retry_at ? l->retry_at : due;
}

/* --- edits -------------------------------------------------------------------------------- */

/* Put `next` into the ring. Its timestamp is later than that of the entry it replaces, or of our
 * tombstone. */
static int write_entry(const struct lifecycler *l, struct ring_desc *d, wall_ms now)
{
    const struct ring_instance *had = ring_desc_find(d, l->c.id);
    int64_t now_s = now / 1000;
    int64_t last_s = had != NULL && had->timestamp_s > l->left_s ? had->timestamp_s : l->left_s;
    if (last_s >= now_s && last_s < INT64_MAX)
        now_s = last_s + 1;
    const struct ring_instance in = {
        .id = l->c.id,
        .addr = l->c.addr,
        .zone = l->c.zone,
        .timestamp_s = now_s,
        .state = (int32_t)l->next.state,
        .registered_s = l->next.registered_s,
        .read_only = l->next.read_only,
        .read_only_since_s = l->next.read_only_since_s,
        .tokens = l->next.tokens.all,
        .token_count = l->next.tokens.count,
        .versions = (struct ring_version *)(uintptr_t)l->c.versions, /* copied by put */
        .version_count = l->c.version_count,
    };
    return ring_desc_put(d, &in);
}

/* Tokens as the ring has them: a conflict may have cost us some. */
static int tokens_from_ring(struct lifecycler *l, const struct ring_instance *had)
{
    struct ring_tokens t;
    int rc = ring_tokens_copy(&t, had->tokens, had->token_count);
    if (rc != 0)
        return rc;
    ring_tokens_reset(&l->next.tokens);
    l->next.tokens = t;
    return 0;
}

static bool same_tokens(const struct ring_tokens *a, const struct ring_tokens *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->all, b->all, a->count * sizeof *a->all) == 0);
}

/* An entry that no longer has the address we gave it: another process has our id. One that is
 * leaving is what was here before us. */
static void look_for_rival(struct lifecycler *l, const struct ring_instance *had)
{
    l->next_rival[0] = '\0';
    if (had != NULL && had->state != RING_LEAVING && !str_eq(had->addr, l->c.addr))
        (void)snprintf(l->next_rival, sizeof l->next_rival, "%.*s",
                       STR_ARG(str_head(had->addr, RIVAL_SIZE - 1)));
}

static int edit_task(struct lifecycler *l, struct ring_desc *d, wall_ms now)
{
    const struct ring_instance *had = ring_desc_find(d, l->c.id);
    int rc = 0;
    if (l->task == TASK_REGISTER)
        return life_register(l, d, now);
    look_for_rival(l, had);
    if (had == NULL)
        l->next.registered_s = now / 1000; /* somebody forgot us: a new life */
    else
        rc = tokens_from_ring(l, had);
    if (rc == 0 && had != NULL && l->joined && !l->observing &&
        had->token_count < l->entry.tokens.count)
        rc = life_top_up(l, d); /* another one won some, perhaps by a copy of our file */
    if (rc != 0)
        return rc;
    switch (l->task) {
    case TASK_JOIN:
        rc = life_top_up(l, d);
        life_take_place(l, true);
        break;
    case TASK_OBSERVE:
        if (l->next.tokens.count >= l->c.num_tokens) { /* nobody took one */
            l->next_observing = false;
            l->next.state = life_wanted(l);
        } else {
            rc = life_top_up(l, d); /* choose others, look again */
        }
        break;
    case TASK_STATE:
        l->next.state = life_wanted(l);
        break;
    case TASK_NONE:
    case TASK_REGISTER:
    case TASK_HEARTBEAT:
    case TASK_UNREGISTER:
        break;
    }
    return rc;
}

/* Note what others' heartbeats say, and take out whose stood still for too long. */
static int forget_others(struct lifecycler *l, struct ring_desc *d)
{
    for (size_t i = ring_desc_count(d); i > 0; i--) {
        const struct ring_instance *in = ring_desc_at(d, i - 1);
        if (str_eq(in->id, l->c.id))
            continue;
        struct sighting *s = map_get(l->others, in->id);
        if (s == NULL) {
            s = mem_zalloc(sizeof *s);
            if (s == NULL || map_put(l->others, in->id, s, NULL) != 0) {
                mem_free(s);
                return ERR_NOMEM;
            }
            *s = (struct sighting){.timestamp_s = in->timestamp_s, .since = l->now};
        }
        s->seen = true;
        if (s->timestamp_s != in->timestamp_s) {
            s->timestamp_s = in->timestamp_s;
            s->since = l->now;
        }
        if (l->now - s->since < (mono_ms)l->c.forget_after_ms)
            continue;
        l->next_forgotten++;
        (void)ring_desc_remove(d, in->id);
    }
    size_t at = 0; /* who is no longer there needs no memory */
    struct str id;
    void *value;
    while (map_next(l->others, &at, &id, &value)) {
        struct sighting *s = value;
        if (s->seen)
            s->seen = false;
        else
            mem_free(map_remove(l->others, id));
    }
    return 0;
}

int lifecycler_edit(struct lifecycler *l, struct ring_desc **desc, wall_ms now, bool *store)
{
    ASSERT(l->task != TASK_NONE);
    *store = false;
    int rc = *desc == NULL ? ring_desc_init(desc) : 0;
    ring_tokens_reset(&l->next.tokens);
    l->next = l->entry;
    l->next.tokens = (struct ring_tokens){0};
    l->next_joined = l->joined;
    l->next_observing = l->observing;
    l->next_forgotten = 0;
    if (rc == 0)
        rc = ring_tokens_copy(&l->next.tokens, l->entry.tokens.all, l->entry.tokens.count);
    if (rc != 0)
        return rc;
    if (l->task == TASK_UNREGISTER) {
        *store = ring_desc_remove(*desc, l->c.id);
        return 0;
    }
    rc = edit_task(l, *desc, now);
    if (rc == 0 && l->c.forget_after_ms > 0 && !l->leaving)
        rc = forget_others(l, *desc);
    if (rc == 0)
        rc = write_entry(l, *desc, now);
    *store = rc == 0;
    return rc;
}

static void log_change(const struct lifecycler *l)
{
    if (l->next_forgotten > 0)
        log_line(l->log, LOG_WARN, "forgot members whose heartbeat stood still",
                 LOG_U("count", l->next_forgotten));
    if (l->next_rival[0] != '\0' && l->rival[0] == '\0')
        log_line(l->log, LOG_ERROR,
                 "another process has this ring id: give each its own",
                 LOG_C("option", l->c.id_option), LOG_S("id", l->c.id), LOG_S("addr", l->c.addr),
                 LOG_C("other", l->next_rival));
    if (l->next.state != l->entry.state || !l->registered)
        log_line(
            l->log, LOG_INFO, "ring state", LOG_S("id", l->c.id),
            LOG_C("from", l->registered ? ring_state_name((int32_t)l->entry.state) : "none"),
            LOG_C("to", ring_state_name((int32_t)l->next.state)),
            LOG_U("tokens", l->next.tokens.count));
}

void lifecycler_was_left(struct lifecycler *l, int64_t timestamp_s)
{
    if (timestamp_s > l->left_s)
        l->left_s = timestamp_s;
}

/* A period from now, more or less. */
static mono_ms next_beat(struct lifecycler *l, mono_ms now)
{
    uint32_t period = l->c.heartbeat_period_ms, most = period / 10;
    if (period == 0)
        return MONO_NEVER;
    return now + period - most + (mono_ms)rng_below(l->rng, 2 * (uint64_t)most + 1);
}

void lifecycler_edited(struct lifecycler *l, mono_ms now, int rc)
{
    ASSERT(l->task != TASK_NONE && now >= l->now);
    enum task task = l->task;
    l->task = TASK_NONE;
    l->now = now;
    if (rc != 0) {
        l->retry_at = now + RETRY_MS;
        return;
    }
    l->edits++;
    l->beats += task == TASK_HEARTBEAT;
    if (task == TASK_UNREGISTER) {
        l->over = true;
        log_line(l->log, LOG_INFO, "left the ring", LOG_S("id", l->c.id));
        return;
    }
    log_change(l);
    if (l->next_rival[0] != '\0') {
        memcpy(l->rival, l->next_rival, sizeof l->rival);
        l->rival_edits = LIFECYCLER_RIVAL_EDITS;
    } else if (l->rival_edits > 0 && --l->rival_edits == 0) {
        l->rival[0] = '\0';
    }
    bool was_joined = l->joined;
    l->generation += !same_tokens(&l->entry.tokens, &l->next.tokens) || !l->registered;
    ring_tokens_reset(&l->entry.tokens);
    l->entry = l->next;
    l->next.tokens = (struct ring_tokens){0};
    l->joined = l->next_joined;
    l->observing = l->next_observing;
    l->forgotten += l->next_forgotten;
    if (!l->registered && !l->joined)
        l->join_at = now + l->c.join_after_ms;
    if (l->observing && (!was_joined || task == TASK_OBSERVE))
        l->observe_at = now + l->c.observe_period_ms;
    l->registered = true;
    l->beat_at = next_beat(l, now);
}

/* --- events and answers ------------------------------------------------------------------- */

void lifecycler_establish(struct lifecycler *l)
{
    l->established = true;
}

void lifecycler_unestablish(struct lifecycler *l)
{
    l->established = false;
}

void lifecycler_leave(struct lifecycler *l)
{
    l->leaving = true;
}

void lifecycler_unregister(struct lifecycler *l)
{
    l->leaving = l->unregister = true;
}

enum ring_state lifecycler_state(const struct lifecycler *l)
{
    return l->entry.state;
}

bool lifecycler_read_only(const struct lifecycler *l)
{
    return l->entry.read_only;
}

const struct ring_tokens *lifecycler_tokens(const struct lifecycler *l, uint32_t *generation)
{
    if (generation != NULL)
        *generation = l->generation;
    return &l->entry.tokens;
}

uint64_t lifecycler_edits(const struct lifecycler *l)
{
    return l->edits;
}

uint64_t lifecycler_heartbeats(const struct lifecycler *l)
{
    return l->beats;
}

uint64_t lifecycler_forgotten(const struct lifecycler *l)
{
    return l->forgotten;
}

static int member_is_ready(const struct lifecycler *l, const struct ring_instance *in,
                           wall_ms wall, struct err *err)
{
    struct str addr = str_head(in->addr, 100);
    if (!ring_instance_is_alive(in, l->c.heartbeat_timeout_ms, wall))
        return err_set(err, ERR_UNAVAILABLE, "instance %.*s past heartbeat timeout",
                       STR_ARG(addr));
    if (in->state != RING_ACTIVE)
        return err_set(err, ERR_UNAVAILABLE, "instance %.*s in state %s", STR_ARG(addr),
                       ring_state_name(in->state));
    return 0;
}

static int ring_is_ready(const struct lifecycler *l, const struct ring_desc *desc, wall_ms wall,
                         struct err *err)
{
    if (!l->registered || l->entry.tokens.count == 0)
        return err_set(err, ERR_UNAVAILABLE, "this instance owns no tokens");
    if (desc == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no ring returned from the KV store");
    const struct ring_instance *me = ring_desc_find(desc, l->c.id);
    if (me == NULL || me->state == RING_LEFT)
        return err_set(err, ERR_UNAVAILABLE, "instance %.*s not found in the ring",
                       STR_ARG(str_head(l->c.id, 100)));
    if (!l->c.check_ring_health)
        return member_is_ready(l, me, wall, err);
    for (size_t i = 0; i < ring_desc_count(desc); i++) {
        const struct ring_instance *in = ring_desc_at(desc, i);
        int rc = in->state == RING_LEFT ? 0 : member_is_ready(l, in, wall, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int lifecycler_unique(const struct lifecycler *l, struct err *err)
{
    if (l->rival[0] == '\0')
        return 0;
    return err_set(err, ERR_UNAVAILABLE,
                   "%s has the same ring id %.*s: give each its own %s", l->rival,
                   STR_ARG(str_head(l->c.id, 60)), l->c.id_option);
}

int lifecycler_ready(struct lifecycler *l, const struct ring_desc *desc, mono_ms now,
                     wall_ms wall, struct err *err)
{
    if (l->leaving)
        return err_set(err, ERR_UNAVAILABLE, "instance %.*s in state LEAVING",
                       STR_ARG(str_head(l->c.addr, 100)));
    int rc = lifecycler_unique(l, err);
    if (rc != 0 || l->ready)
        return rc;
    rc = ring_is_ready(l, desc, wall, err);
    if (rc != 0) {
        l->ready_at = MONO_NEVER;
        return rc;
    }
    if (l->ready_at == MONO_NEVER)
        l->ready_at = now + l->c.min_ready_ms;
    if (now < l->ready_at)
        return err_set(err, ERR_UNAVAILABLE, "waiting for %u ms after being ready",
                       l->c.min_ready_ms);
    l->ready = true;
    return 0;
}
