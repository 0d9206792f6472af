/* gossip/members_suspicion.c - how long a suspect has (Lifeguard), and who died of it. */
#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "gossip/members_priv.h"

enum { SILENCE_PROBES = 3 }; /* intervals without anything coming in: it is our fault */

/* The suspicion timeouts of memberlist's util.go for a table of n members. */
static void suspicion_times(const struct members *m, struct suspicion *s)
{
    double n = m->count > 1 ? (double)m->count : 1;
    double scale = log10(n) > 1 ? floor(log10(n) * 1000) / 1000 : 1;
    s->min_ms = (uint32_t)(m->cfg.suspicion_mult * scale * m->cfg.probe_interval_ms);
    s->max_ms = s->min_ms * m->cfg.suspicion_max_mult;
    s->need = m->cfg.suspicion_mult > 2 ? m->cfg.suspicion_mult - 2 : 0;
    if (s->need > CONFIRMATIONS_MAX)
        s->need = CONFIRMATIONS_MAX;
    if (m->count < 2 + (size_t)s->need)
        s->need = 0;
}

int member_suspicion_start(struct members *m, struct member *n, struct str from, mono_ms now)
{
    struct suspicion *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    suspicion_times(m, s);
    s->start = now;
    s->due = now + (s->need == 0 ? s->min_ms : s->max_ms);
    s->from[0] = str_hash(from);
    n->suspicion = s;
    m->suspects++;
    return 0;
}

bool member_suspicion_confirm(struct suspicion *s, struct str from)
{
    uint64_t hash = str_hash(from);
    if (s->have >= s->need)
        return false;
    for (uint32_t i = 0; i <= s->have; i++)
        if (s->from[i] == hash)
            return false;
    s->from[++s->have] = hash;
    double part = log((double)s->have + 1) / log((double)s->need + 1);
    double total = floor(s->max_ms - part * ((double)s->max_ms - s->min_ms));
    mono_ms due = s->start + (total > s->min_ms ? (mono_ms)total : (mono_ms)s->min_ms);
    s->due = due < s->due ? due : s->due;
    return true;
}

void member_suspicion_end(struct members *m, struct member *n)
{
    if (n->suspicion == NULL)
        return;
    m->suspects--;
    mem_free(n->suspicion);
    n->suspicion = NULL;
}

void members_heard(struct members *m, mono_ms now)
{
    mono_ms silence = now - m->heard;
    m->heard = now;
    if (silence <= SILENCE_PROBES * (mono_ms)m->cfg.probe_interval_ms)
        return;
    for (size_t i = 0; i < m->count && m->suspects > 0; i++) {
        struct suspicion *s = m->list[i]->suspicion;
        if (s == NULL || s->silences == SILENCES_MAX)
            continue;
        s->silences++;
        mono_ms began = now - silence > s->start ? now - silence : s->start;
        mono_ms rest = s->due - began;
        s->start += now - began;
        s->due = now + (rest < s->min_ms ? rest : (mono_ms)s->min_ms);
    }
}

void members_tick(struct members *m, mono_ms now)
{
    for (size_t i = 0; i < m->count && m->suspects > 0; i++) {
        struct member *n = m->list[i];
        if (n->suspicion == NULL || n->suspicion->due > now)
            continue;
        struct msg_accuse d = {n->incarnation, n->name, m->self->name};
        (void)members_on_dead(m, &d, now); /* unannounced at worst: others find out as we did */
    }
}

mono_ms members_due(const struct members *m)
{
    mono_ms due = MONO_NEVER;
    for (size_t i = 0; i < m->count && m->suspects > 0; i++)
        if (m->list[i]->suspicion != NULL && m->list[i]->suspicion->due < due)
            due = m->list[i]->suspicion->due;
    return due;
}
