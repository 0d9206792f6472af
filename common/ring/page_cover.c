/* ring/page_cover.c - how well the keys are covered, and by whom. */
#include "ring/page.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "ring/desc.h"
#include "ring/lookup.h"

#define KEYS ((uint64_t)1 << 32)

/* A token and the place of its member. */
struct spot {
    uint32_t token, member;
};

struct spots {
    struct spot *all;
    size_t count;
};

static int by_token(const void *a, const void *b)
{
    const struct spot *x = a, *y = b;
    return (x->token > y->token) - (x->token < y->token);
}

/* The tokens in order, those of one zone or (NULL) all. */
static int spots_of(const struct ring *r, const struct str *zone, struct spots *out)
{
    *out = (struct spots){.all = mem_calloc(ring_token_count(r) + 1, sizeof *out->all)};
    if (out->all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < ring_count(r); i++) {
        const struct ring_instance *in = ring_at(r, i);
        if (zone != NULL && !str_eq(in->zone, *zone))
            continue;
        for (uint32_t k = 0; k < in->token_count && out->count < ring_token_count(r); k++)
            out->all[out->count++] = (struct spot){in->tokens[k], (uint32_t)i};
    }
    qsort(out->all, out->count, sizeof *out->all, by_token);
    return 0;
}

/* --- cover ------------------------------------------------------------------------------------ */

/* How many of a set speak what is to be spoken. */
static uint32_t count_ours(const struct ring_set *set, uint64_t component)
{
    uint32_t ours = 0;
    for (uint32_t i = 0; i < set->count; i++)
        ours += component == 0 || ring_instance_version(set->items[i], component) != 0;
    return ours;
}

static int count_range(const struct ring *r, uint32_t key, uint64_t size, uint64_t component,
                       wall_ms now, struct ring_set *set, struct ring_cover *out)
{
    int rc = ring_set_of(r, key, RING_WRITE, 0, set, NULL);
    uint32_t wanted = set->count;
    if (rc == 0)
        rc = ring_set_filter(r, RING_WRITE, 0, now, set, NULL);
    if (rc != 0 && rc != ERR_UNAVAILABLE)
        return rc;
    uint32_t fit = count_ours(set, component), enough = set->count - set->max_errors;
    if (rc != 0 || fit < enough)
        out->below += size;
    else if (fit == wanted)
        out->whole += size;
    else if (fit > enough)
        out->spare += size;
    else
        out->quorum += size;
    return 0;
}

int ring_page_cover(const struct ring *r, uint64_t component, wall_ms now,
                    struct ring_cover *out)
{
    struct spots s;
    struct ring_set set = {0};
    int rc = spots_of(r, NULL, &s);
    *out = (struct ring_cover){0};
    for (size_t i = 0; rc == 0 && i < s.count; i++) {
        /* A key belongs to the first token behind it: the range begins with the token before. */
        uint32_t from = s.all[i == 0 ? s.count - 1 : i - 1].token;
        uint64_t size = s.all[i].token - from;
        if (i > 0 && size == 0)
            continue; /* two members, one token */
        rc = count_range(r, from, i == 0 && size == 0 ? KEYS : size, component, now, &set,
                         out);
    }
    ring_set_reset(&set);
    mem_free(s.all);
    return rc;
}

/* --- share ------------------------------------------------------------------------------------ */

/* The member that owns most of the keys from `from` to before `to`. *at is the first token behind
 * `from`, or the count of them; weights are all 0 before and after. */
static uint32_t owner_of(const struct spots *s, size_t *at, uint64_t from, uint64_t to,
                         uint64_t *weights)
{
    uint32_t best = s->all[0].member; /* behind the last token it goes round */
    size_t first = *at;
    for (uint64_t key = from; key < to;) {
        const struct spot *p = *at < s->count ? &s->all[*at] : &s->all[0];
        uint64_t end = *at < s->count && p->token < to ? p->token : to;
        weights[p->member] += end - key;
        if (weights[p->member] > weights[best])
            best = p->member;
        key = end;
        while (*at < s->count && s->all[*at].token <= key)
            ++*at;
    }
    weights[s->all[0].member] = 0;
    for (size_t i = first; i < s->count && i <= *at; i++)
        weights[s->all[i].member] = 0;
    return best;
}

int ring_page_owners(const struct ring *r, struct str zone, uint32_t *owners, size_t count)
{
    struct spots s;
    uint64_t *weights = mem_calloc(ring_count(r) + 1, sizeof *weights);
    int rc = spots_of(r, &zone, &s);
    if (rc == 0 && weights == NULL)
        rc = ERR_NOMEM;
    size_t at = 0;
    while (rc == 0 && at < s.count && s.all[at].token == 0)
        at++;
    for (size_t i = 0; rc == 0 && i < count; i++)
        owners[i] = s.count == 0 ? RING_NOBODY
                                 : owner_of(&s, &at, KEYS * i / count, KEYS * (i + 1) / count,
                                            weights);
    mem_free(weights);
    mem_free(s.all);
    return rc;
}
