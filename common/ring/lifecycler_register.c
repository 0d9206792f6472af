/* ring/lifecycler_register.c - the first entry of a life: a new one, or one that goes on. */
#include "ring/lifecycler_priv.h"

enum ring_state life_wanted(const struct lifecycler *l)
{
    if (l->leaving)
        return RING_LEAVING;
    return l->established ? RING_ACTIVE : RING_JOINING;
}

int life_top_up(struct lifecycler *l, const struct ring_desc *d)
{
    struct ring_tokens *t = &l->next.tokens;
    return t->count >= l->c.num_tokens
               ? 0
               : ring_tokens_add(t, l->c.num_tokens - t->count, d, l->rng);
}

void life_take_place(struct lifecycler *l, bool observe)
{
    l->next_joined = true;
    l->next_observing = observe && l->c.observe_period_ms > 0;
    l->next.state = l->next_observing ? RING_JOINING : life_wanted(l);
}

/* What an earlier life leaves to this one. */
static int inherit(struct lifecycler *l, const struct ring_instance *had)
{
    struct entry *n = &l->next;
    n->registered_s = had->registered_s;
    n->read_only = had->read_only;
    n->read_only_since_s = had->read_only_since_s;
    if (had->token_count == 0)
        return 0;
    ring_tokens_reset(&n->tokens);
    return ring_tokens_copy(&n->tokens, had->tokens, had->token_count);
}

/* An entry of an earlier life (dskit: initRing). */
static int take_over(struct lifecycler *l, const struct ring_desc *d,
                     const struct ring_instance *had)
{
    if (had->state == RING_ACTIVE && had->token_count > 0) {
        life_take_place(l, false);
        return 0;
    }
    if (had->state == RING_LEAVING) {
        ring_tokens_shrink(&l->next.tokens, l->c.num_tokens, l->rng);
        int rc = life_top_up(l, d);
        life_take_place(l, false);
        return rc;
    }
    return 0; /* PENDING or JOINING: the beginning of a life that broke off */
}

int life_register(struct lifecycler *l, const struct ring_desc *d, wall_ms now)
{
    const struct ring_instance *had = ring_desc_find(d, l->c.id);
    l->next.registered_s = now / 1000;
    l->next.read_only = false;
    l->next.read_only_since_s = 0;
    l->next.state = RING_PENDING;
    if (had != NULL) {
        int rc = inherit(l, had);
        if (rc == 0 && !l->c.basic)
            rc = take_over(l, d, had);
        if (rc != 0 || l->next_joined)
            return rc;
    }
    if (!l->c.basic && l->next.tokens.count >= l->c.num_tokens) { /* of file or entry */
        life_take_place(l, had != NULL);
        return 0;
    }
    if (!l->c.basic && l->c.join_after_ms > 0)
        return 0;
    int rc = life_top_up(l, d);
    life_take_place(l, true);
    return rc;
}
