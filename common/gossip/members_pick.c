/* Members by chance, and what becomes of chance when somebody makes up names. */
#include "base/rng.h"
#include "gossip/members_priv.h"

bool members_is_crowd(const struct members *m)
{
    size_t answered = 0, others = 0;
    for (size_t i = 0; m->count > MEMBERS_CROWD && i < m->count; i++) {
        const struct member *n = m->list[i];
        answered += n->answered && n->state <= MEMBER_SUSPECT;
        others += !n->answered && n->state <= MEMBER_SUSPECT;
    }
    return others > MEMBERS_CROWD && others > 4 * answered;
}

const struct member *members_next_answered(const struct members *m, size_t *at)
{
    for (size_t i = 0; i < m->count; i++) {
        *at = (*at + 1) % m->count;
        const struct member *n = m->list[*at];
        if (n != m->self && n->answered && n->state <= MEMBER_SUSPECT)
            return n;
    }
    return NULL;
}

/* One at random. */
static const struct member *chance(struct members *m, bool answered)
{
    size_t at = (size_t)rng_below(m->rng, m->count);
    const struct member *n = answered ? members_next_answered(m, &at) : NULL;
    return n != NULL ? n : m->list[at];
}

size_t members_pick(struct members *m, size_t k, member_filter_fn filter, void *arg,
                    const struct member **out)
{
    size_t picked = 0, crowd = members_is_crowd(m) ? (size_t)rng_below(m->rng, 2) : 2;
    for (size_t tries = 0; tries < 3 * m->count && picked < k; tries++) {
        const struct member *n = chance(m, tries < 4 * k && tries % 2 == crowd);
        bool again = false;
        for (size_t i = 0; i < picked; i++)
            again = again || out[i] == n;
        if (!again && filter(arg, n))
            out[picked++] = n;
    }
    return picked;
}
