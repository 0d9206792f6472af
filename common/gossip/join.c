/* gossip/join.c - rounds over the seeds, and the pauses between them. */
#include "gossip/join.h"

#include "base/err.h"
#include "base/mem.h"
#include "gossip/broadcast.h"

enum { ANSWER_MS = 60000 }; /* an exchange has deadlines of its own: this one is for its loss */

struct seed {
    struct gossip_addr addr;
    bool tried, reached; /* ever */
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
    bool spread; /* the first rejoin has got its random time */
    mono_ms due; /* of the next round */
    bool pending, missing; /* names without an address */
    uint64_t news, rounds, ended; /* changes; rounds begun; and ended with all names looked up */
    enum join_failure failure;
};

int join_init(struct join **out, const struct join_config *config, struct rng *rng, mono_ms now)
{
    if (config->backoff_min_ms == 0 || config->backoff_max_ms < config->backoff_min_ms)
        return ERR_INVAL;
    struct join *j = mem_zalloc(sizeof *j);
    if (j == NULL)
        return ERR_NOMEM;
    *j = (struct join){
        .cfg = *config, .rng = rng, .backoff = config->backoff_min_ms, .due = now, .news = 1};
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
    size_t kept = 0, known = 0;
    if (fresh == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        if (gossip_addr_eq(&seeds[i], self) || seed_known(fresh, kept, &seeds[i]))
            continue;
        fresh[kept].addr = seeds[i];
        for (size_t k = 0; k < j->count; k++)
            if (gossip_addr_eq(&j->seeds[k].addr, &seeds[i])) {
                fresh[kept] = j->seeds[k];
                known++;
            }
        kept++;
    }
    if (kept == j->count && known == kept) {
        mem_free(fresh); /* the same: the running round goes on */
        return 0;
    }
    j->news++;
    mem_free(j->seeds);
    j->seeds = fresh;
    j->count = kept;
    j->in_round = false;
    j->tag = 0;
    if (!j->joined)
        j->due = now;
    return 0;
}

void join_set_names(struct join *j, bool pending, bool missing, mono_ms now)
{
    if (j->count == 0 && missing && !pending && (j->pending || !j->missing))
        j->due = now;
    j->news += j->pending != pending || j->missing != missing;
    j->pending = pending;
    j->missing = missing;
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

/* Does the end of this round call for the end of the process? */
static void judge(struct join *j)
{
    if (j->pending || (j->count == 0 && !j->missing))
        return;
    j->ended++;
    if (j->ended == 1 && join_reached(j) < j->cfg.fast_min)
        j->failure = JOIN_FAST_FAILED;
    else if (j->cfg.rounds_max > 0 && j->ended > j->cfg.rounds_max && !j->joined)
        j->failure = JOIN_ROUNDS_FAILED;
}

static void round_end(struct join *j, mono_ms now)
{
    j->in_round = false;
    judge(j);
    if (j->hits == 0) {
        j->due = now + pause_ms(j);
        return;
    }
    j->backoff = j->cfg.backoff_min_ms;
    bool first = !j->spread;
    j->spread = true;
    if (j->cfg.rejoin_ms == 0)
        j->due = MONO_NEVER;
    else if (first) /* spread the members of a cluster that started together */
        j->due = now + 1 + (mono_ms)rng_below(j->rng, j->cfg.rejoin_ms);
    else if (j->hits < j->at && j->cfg.rejoin_ms > j->cfg.backoff_max_ms)
        j->due = now + j->cfg.backoff_max_ms / 2 + /* perhaps a partition: the rest is beyond it */
                 (mono_ms)rng_below(j->rng, j->cfg.backoff_max_ms / 2 + 1);
    else
        j->due = now + j->cfg.rejoin_ms;
}

bool join_next(struct join *j, bool alone, mono_ms now, struct gossip_addr *to, uint64_t *tag)
{
    if (j->tag != 0 && j->tag_due <= now)
        join_done(j, j->tag, false, now);
    if (j->tag != 0 || (j->count == 0 && (j->pending || !j->missing)))
        return false;
    if (!j->in_round) {
        if (alone && j->joined && j->due > now + j->cfg.backoff_max_ms)
            j->due = now + pause_ms(j); /* everybody vanished: do not wait for the interval */
        if (j->due > now)
            return false;
        shuffle(j);
        j->in_round = true;
        j->rounds++;
        j->at = j->hits = 0;
    }
    if (j->count == 0) {
        round_end(j, now);
        return false;
    }
    j->seeds[j->at].tried = true;
    *to = j->seeds[j->at].addr;
    *tag = j->tag = ++j->last_tag;
    j->tag_due = now + ANSWER_MS;
    return true;
}

mono_ms join_due(const struct join *j)
{
    if (j->count == 0 && (j->pending || !j->missing))
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
    j->news++;
    if (reached) {
        j->seeds[j->at].reached = true;
        j->joined = true;
        j->hits++;
    }
    j->at++;
    size_t enough = bcast_limit(j->cfg.enough_factor, j->count);
    enough = enough < j->cfg.fast_min ? j->cfg.fast_min : enough;
    if (j->at == j->count || j->hits >= enough)
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

enum join_seed join_seed_of(const struct join *j, const struct gossip_addr *seed)
{
    for (size_t i = 0; i < j->count; i++)
        if (gossip_addr_eq(&j->seeds[i].addr, seed))
            return j->seeds[i].reached ? JOIN_REACHED
                   : j->seeds[i].tried ? JOIN_UNREACHED
                                       : JOIN_UNTRIED;
    return JOIN_NO_SEED;
}

bool join_is_joined(const struct join *j)
{
    return join_was_joined(j) || (j->count == 0 && !j->missing);
}

bool join_was_joined(const struct join *j)
{
    return j->joined;
}

uint64_t join_news(const struct join *j)
{
    return j->news;
}

uint64_t join_rounds(const struct join *j)
{
    return j->rounds;
}

enum join_failure join_failure(const struct join *j)
{
    return j->failure;
}
