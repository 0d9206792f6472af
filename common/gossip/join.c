#include "gossip/join.h"

#include "base/err.h"
#include "base/mem.h"
#include "gossip/broadcast.h"

enum { ANSWER_MS = 60000 }; /* an exchange has deadlines of its own: this one is for its loss */

struct seed {
    struct gossip_addr addr;
    bool reached; /* ever */
};

struct join {
    struct join_config cfg;
    struct rng *rng;
    struct seed *seeds; /* in the order of the running round */
    size_t count;
    bool in_round;
    size_t at, hits; /* of the running round */
    uint64_t tag;    /* of the try that is under way; 0: none */
    uint64_t last_tag;
    mono_ms tag_due; /* when to stop waiting for its answer */
    uint64_t backoff; /* the next pause is drawn from [backoff, twice that) */
    bool joined;
    mono_ms due; /* of the next round */
};

int join_init(struct join **out, const struct join_config *config, struct rng *rng, mono_ms now)
{
    if (config->backoff_min_ms == 0 || config->backoff_max_ms < config->backoff_min_ms)
        return ERR_INVAL;
    struct join *j = mem_zalloc(sizeof *j);
    if (j == NULL)
        return ERR_NOMEM;
    *j = (struct join){
        .cfg = *config, .rng = rng, .backoff = config->backoff_min_ms, .due = now};
    *out = j;
    return 0;
}

void join_free(struct join **j)
{
    if (*j == NULL)
        return;
    mem_free((*j)->seeds);
    mem_free(*j);
    *j = NULL;
}

static bool seed_known(const struct seed *seeds, size_t count, const struct gossip_addr *a)
{
    for (size_t i = 0; i < count; i++)
        if (gossip_addr_eq(&seeds[i].addr, a))
            return true;
    return false;
}

int join_set_seeds(struct join *j, const struct gossip_addr *seeds, size_t count,
                   const struct gossip_addr *self, mono_ms now)
{
    struct seed *fresh = mem_calloc(count + 1, sizeof *fresh);
    size_t kept = 0;
    if (fresh == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        if (gossip_addr_eq(&seeds[i], self) || seed_known(fresh, kept, &seeds[i]))
            continue;
        fresh[kept].addr = seeds[i];
        for (size_t k = 0; k < j->count; k++)
            if (j->seeds[k].reached && gossip_addr_eq(&j->seeds[k].addr, &seeds[i]))
                fresh[kept].reached = true;
        kept++;
    }
    mem_free(j->seeds);
    j->seeds = fresh;
    j->count = kept;
    j->in_round = false;
    j->tag = 0;
    j->due = now;
    return 0;
}

static void shuffle(struct join *j)
{
    for (size_t i = j->count; i > 1; i--) {
        size_t k = (size_t)rng_below(j->rng, i);
        struct seed swap = j->seeds[i - 1];
        j->seeds[i - 1] = j->seeds[k];
        j->seeds[k] = swap;
    }
}

/* A pause, longer each time up to the maximum. */
static mono_ms pause_ms(struct join *j)
{
    uint64_t ms = j->backoff + rng_below(j->rng, j->backoff);
    j->backoff = j->backoff * 2 < j->cfg.backoff_max_ms ? j->backoff * 2 : j->cfg.backoff_max_ms;
    return (mono_ms)(ms < j->cfg.backoff_max_ms ? ms : j->cfg.backoff_max_ms);
}

static void round_end(struct join *j, mono_ms now)
{
    j->in_round = false;
    if (j->hits == 0) {
        j->due = now + pause_ms(j);
        return;
    }
    j->backoff = j->cfg.backoff_min_ms;
    bool first = !j->joined;
    j->joined = true;
    if (j->cfg.rejoin_ms == 0)
        j->due = MONO_NEVER;
    else if (first) /* spread the members of a cluster that started together */
        j->due = now + 1 + (mono_ms)rng_below(j->rng, j->cfg.rejoin_ms);
    else
        j->due = now + j->cfg.rejoin_ms;
}

bool join_next(struct join *j, bool alone, mono_ms now, struct gossip_addr *to, uint64_t *tag)
{
    if (j->tag != 0 && j->tag_due <= now)
        join_done(j, j->tag, false, now);
    if (j->tag != 0 || j->count == 0)
        return false;
    if (!j->in_round) {
        if (alone && j->joined && j->due > now + j->cfg.backoff_max_ms)
            j->due = now + pause_ms(j); /* everybody vanished: do not wait for the interval */
        if (j->due > now)
            return false;
        shuffle(j);
        j->in_round = true;
        j->at = j->hits = 0;
    }
    *to = j->seeds[j->at].addr;
    *tag = j->tag = ++j->last_tag;
    j->tag_due = now + ANSWER_MS;
    return true;
}

mono_ms join_due(const struct join *j)
{
    if (j->count == 0)
        return MONO_NEVER;
    if (j->tag != 0)
        return j->tag_due;
    return j->in_round ? 0 : j->due;
}

void join_done(struct join *j, uint64_t tag, bool reached, mono_ms now)
{
    if (tag == 0 || tag != j->tag)
        return;
    j->tag = 0;
    if (reached) {
        j->seeds[j->at].reached = true;
        j->hits++;
    }
    j->at++;
    if (j->at == j->count || j->hits >= bcast_limit(j->cfg.enough_factor, j->count))
        round_end(j, now);
}

size_t join_reached(const struct join *j)
{
    size_t reached = 0;
    for (size_t i = 0; i < j->count; i++)
        reached += j->seeds[i].reached ? 1 : 0;
    return reached;
}

size_t join_seeds(const struct join *j)
{
    return j->count;
}

bool join_is_joined(const struct join *j)
{
    return j->count == 0 || join_reached(j) > 0;
}

const struct gossip_addr *join_waiting_for(const struct join *j)
{
    for (size_t i = 0; i < j->count; i++)
        if (!j->seeds[i].reached)
            return &j->seeds[i].addr;
    return NULL;
}
