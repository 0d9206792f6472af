/* ring/desc_merge.c - how two views of a ring become one (grafana/dskit ring/model.go, Merge).
 *
 * Everything that can fail happens before the first change: the news are copied twice (into the
 * ring, into the returned change) and room for resolving conflicts is taken first. */
#include <stdlib.h>

#include "base/mem.h"
#include "ring/desc_priv.h"

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

uint32_t ring_tokens_sort(uint32_t *tokens, uint32_t count)
{
    uint32_t kept = 0;
    bool rising = true;
    for (uint32_t i = 1; i < count && rising; i++)
        rising = tokens[i - 1] < tokens[i];
    if (rising)
        return count;
    qsort(tokens, count, sizeof *tokens, by_value);
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || tokens[kept - 1] != tokens[i])
            tokens[kept++] = tokens[i];
    return kept;
}

/* Give back the memory behind the first `count` tokens. */
static void keep_tokens(struct ring_instance *in, uint32_t count)
{
    in->token_count = count;
    if (count == 0) {
        mem_free(in->tokens);
        in->tokens = NULL;
        return;
    }
    uint32_t *shrunk = mem_realloc_array(in->tokens, count, sizeof *shrunk);
    if (shrunk != NULL)
        in->tokens = shrunk;
}

static void normalise(struct ring_instance *in)
{
    uint32_t count = in->state == RING_LEFT ? 0 : ring_tokens_sort(in->tokens, in->token_count);
    if (count < in->token_count)
        keep_tokens(in, count);
}

/* The rule of who wins: newer, or as old but gone. `ours` NULL counts as time 0, not gone. */
static bool is_news(const struct ring_instance *ours, const struct ring_instance *theirs)
{
    int64_t t = ours == NULL ? 0 : ours->timestamp_s;
    bool gone = ours != NULL && ours->state == RING_LEFT;
    return theirs->timestamp_s > t ||
           (theirs->timestamp_s == t && !gone && theirs->state == RING_LEFT);
}

static int collect_news(struct ring_desc *news, const struct ring_desc *ours,
                        const struct ring_desc *incoming)
{
    for (size_t i = 0; i < incoming->count; i++) {
        const struct ring_instance *theirs = &incoming->all[i];
        if (!is_news(ring_desc_find(ours, theirs->id), theirs))
            continue;
        int rc = ring_desc_reserve(news, 1);
        if (rc == 0)
            rc = ring_instance_copy(&news->all[news->count], theirs);
        if (rc != 0)
            return rc;
        normalise(&news->all[news->count++]); /* ids rise as in incoming */
    }
    return 0;
}

/* Members of ours that a local edit removed. A tombstone is at least as new as what it buries,
 * whose writer's clock may be ahead of ours: else others would bring it back. */
static int collect_removed(struct ring_desc *news, const struct ring_desc *ours,
                           const struct ring_desc *incoming, int64_t now_s)
{
    for (size_t i = 0; i < ours->count; i++) {
        struct ring_instance gone = ours->all[i];
        if (gone.state == RING_LEFT || ring_desc_find(incoming, gone.id) != NULL)
            continue;
        gone.state = RING_LEFT;
        gone.token_count = 0;
        gone.timestamp_s = now_s > gone.timestamp_s ? now_s : gone.timestamp_s;
        int rc = ring_desc_put(news, &gone);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static bool tokens_change(const struct ring_desc *ours, const struct ring_desc *news,
                          const struct ring_desc *incoming)
{
    for (size_t i = 0; i < news->count; i++) {
        const struct ring_instance *n = &news->all[i], *had = ring_desc_find(ours, n->id);
        uint32_t count = had == NULL ? 0 : had->token_count;
        if (ring_desc_find(incoming, n->id) == NULL) /* removed here: its tokens go with it */
            continue;
        if (had != NULL && n->timestamp_s == had->timestamp_s)
            continue; /* taken for LEFT only */
        if (count != n->token_count ||
            (count > 0 && memcmp(had->tokens, n->tokens, count * sizeof *n->tokens) != 0))
            return true;
    }
    return false;
}

struct claim {
    uint32_t token, owner; /* index of the member */
};

static int by_token_and_owner(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    if (x->token != y->token)
        return x->token < y->token ? -1 : 1;
    return (x->owner > y->owner) - (x->owner < y->owner);
}

/* Of claims to one token: one who is not LEAVING, then the lower id (members are sorted by it). */
static uint32_t winner(const struct ring_desc *d, const struct claim *claims, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (d->all[claims[i].owner].state != RING_LEAVING)
            return claims[i].owner;
    return claims[0].owner;
}

/* Give each token to one member, when any two claim the same. `room` holds all claims. */
static void resolve(struct ring_desc *d, struct claim *room)
{
    size_t count = 0;
    bool shared = false;
    for (size_t i = 0; i < d->count; i++)
        for (uint32_t k = 0; k < d->all[i].token_count; k++)
            room[count++] = (struct claim){d->all[i].tokens[k], (uint32_t)i};
    if (count == 0)
        return;
    qsort(room, count, sizeof *room, by_token_and_owner);
    for (size_t i = 1; i < count && !shared; i++)
        shared = room[i].token == room[i - 1].token;
    if (!shared)
        return;
    for (size_t i = 0; i < d->count; i++)
        d->all[i].token_count = 0;
    size_t kept = 0; /* a tombstone claims nothing */
    for (size_t i = 0; i < count; i++)
        if (d->all[room[i].owner].state != RING_LEFT)
            room[kept++] = room[i];
    for (size_t i = 0, end; i < kept; i = end) {
        for (end = i + 1; end < kept && room[end].token == room[i].token; end++) {
        }
        struct ring_instance *w = &d->all[winner(d, room + i, end - i)];
        w->tokens[w->token_count++] = room[i].token; /* no more than it had claimed */
    }
    for (size_t i = 0; i < d->count; i++)
        keep_tokens(&d->all[i], d->all[i].token_count);
}

static size_t tokens_of(const struct ring_desc *d)
{
    size_t sum = 0;
    for (size_t i = 0; i < d->count; i++)
        sum += d->all[i].token_count;
    return sum;
}

/* The returned change shows the tokens that its members kept. */
static void copy_tokens_back(struct ring_desc *change, const struct ring_desc *d)
{
    for (size_t i = 0; i < change->count; i++) {
        const struct ring_instance *now = ring_desc_find(d, change->all[i].id);
        change->all[i].token_count = now->token_count;
        if (now->token_count > 0)
            memcpy(change->all[i].tokens, now->tokens, now->token_count * sizeof *now->tokens);
    }
}

/* Would the news make the ring too large? What makes it no larger is always welcome. */
static bool too_large(const struct ring_desc *d, const struct ring_desc *news)
{
    size_t more = 0, less = 0;
    for (size_t i = 0; i < news->count; i++) {
        const struct ring_instance *had = ring_desc_find(d, news->all[i].id);
        more += ring_instance_size(&news->all[i]);
        less += had == NULL ? 0 : ring_instance_size(had);
    }
    return more > less && ring_desc_size(d) + (more - less) > RING_MEMORY_MAX;
}

static int apply(struct ring_desc *d, struct ring_desc *news, const struct ring_desc *incoming,
                 struct ring_desc **change)
{
    struct claim *room = NULL;
    struct ring_desc *told = NULL;
    bool conflicts = tokens_change(d, news, incoming);
    int rc = ring_desc_clone(&told, news);
    if (rc == 0)
        rc = ring_desc_reserve(d, news->count);
    if (rc == 0 && conflicts &&
        (room = mem_calloc(tokens_of(d) + tokens_of(news) + 1, sizeof *room)) == NULL)
        rc = ERR_NOMEM;
    if (rc != 0) {
        ring_desc_free(&told);
        return rc;
    }
    for (size_t i = 0; i < news->count; i++)
        ring_desc_move_in(d, &news->all[i]);
    news->count = 0;
    if (conflicts) {
        resolve(d, room);
        copy_tokens_back(told, d);
    }
    mem_free(room);
    *change = told;
    return 0;
}

static int first_value(struct ring_desc **into, const struct ring_desc *incoming,
                       struct ring_desc **change)
{
    struct ring_desc *copy = NULL;
    int rc = ring_desc_clone(&copy, incoming);
    if (rc == 0)
        rc = ring_desc_clone(change, incoming);
    if (rc != 0) {
        ring_desc_free(&copy);
        return rc;
    }
    *into = copy;
    return 0;
}

int ring_desc_merge(struct ring_desc **into, const struct ring_desc *incoming, bool local_cas,
                    int64_t now_s, struct ring_desc **change)
{
    *change = NULL;
    if (*into == NULL)
        return first_value(into, incoming, change);
    struct ring_desc *news = NULL;
    int rc = ring_desc_init(&news);
    if (rc == 0)
        rc = collect_news(news, *into, incoming);
    if (rc == 0 && local_cas)
        rc = collect_removed(news, *into, incoming, now_s);
    if (rc == 0 && !local_cas && too_large(*into, news))
        rc = ERR_LIMIT;
    if (rc == 0 && news->count > 0)
        rc = apply(*into, news, incoming, change);
    ring_desc_free(&news);
    return rc;
}

/* --- without taking memory ------------------------------------------------------------------ */

/* Tokens that a merge would leave as they are. */
static bool tokens_rise(const struct ring_instance *in)
{
    for (uint32_t i = 1; i < in->token_count; i++)
        if (in->tokens[i - 1] >= in->tokens[i])
            return false;
    return true;
}

/* `theirs` fits into the memory of `ours`, and no token changes hands. */
static bool same_shape(const struct ring_instance *ours, const struct ring_instance *theirs)
{
    return theirs->state != RING_LEFT && ours->addr.len == theirs->addr.len &&
           ours->zone.len == theirs->zone.len && ours->version_count == theirs->version_count &&
           ours->token_count == theirs->token_count &&
           (ours->token_count == 0 || memcmp(ours->tokens, theirs->tokens,
                                             ours->token_count * sizeof *ours->tokens) == 0) &&
           tokens_rise(theirs);
}

/* Texts of ours are its own: made by ring_instance_copy(). */
static void overwrite_text(struct str ours, struct str theirs)
{
    if (ours.len > 0)
        memcpy((char *)(uintptr_t)ours.data, theirs.data, ours.len);
}

static void overwrite(struct ring_instance *ours, const struct ring_instance *theirs)
{
    struct ring_instance kept = *ours;
    overwrite_text(kept.addr, theirs->addr);
    overwrite_text(kept.zone, theirs->zone);
    if (kept.version_count > 0)
        memcpy(kept.versions, theirs->versions, kept.version_count * sizeof *kept.versions);
    *ours = *theirs; /* the numbers */
    ours->id = kept.id;
    ours->addr = kept.addr;
    ours->zone = kept.zone;
    ours->tokens = kept.tokens;
    ours->versions = kept.versions;
}

bool ring_desc_refresh(struct ring_desc *d, struct ring_desc *incoming)
{
    size_t at, kept = 0;
    for (size_t i = 0; i < incoming->count; i++) {
        const struct ring_instance *theirs = &incoming->all[i];
        if (!ring_desc_search(d, theirs->id, &at) ||
            (is_news(&d->all[at], theirs) && !same_shape(&d->all[at], theirs)))
            return false;
    }
    for (size_t i = 0; i < incoming->count; i++) {
        struct ring_instance *theirs = &incoming->all[i];
        if (ring_desc_search(d, theirs->id, &at) && is_news(&d->all[at], theirs)) {
            overwrite(&d->all[at], theirs);
            if (kept != i)
                incoming->all[kept] = *theirs;
            kept++;
        } else {
            ring_instance_reset(theirs);
        }
    }
    incoming->count = kept;
    return true;
}
