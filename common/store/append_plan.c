/* What is new in a push: profiles by dot and by key against all heads and against each other. */
#include <stdlib.h>

#include "base/mem.h"
#include "profile/labels.h"
#include "store/append_priv.h"

int push_ended_code(const struct store *s)
{
    return s->open == NULL && s->refusal == ERR_NOSPC ? ERR_NOSPC : ERR_IO;
}

/* --- what the log can keep -------------------------------------------------------------------- */

/* What no vector takes as a lane must not get into the log: nothing could be answered for it, and
 * no start could read it. */
static int check_lanes(struct push *p)
{
    for (uint32_t i = 0; i < p->form.lane_count; i++) {
        const struct form_lane *l = &p->form.lanes[i];
        bool good = l->count >= 1 && l->count <= DOTS_SET_MAX;
        for (uint32_t k = 0; good && k < l->count; k++)
            good = l->instances[k].len >= 1 && l->instances[k].len <= DOTS_ID_MAX;
        if (!good)
            return err_set(p->err, ERR_PARSE, "append form: the set of a lane is not a set of "
                                              "instance ids");
    }
    return 0;
}

/* A stream or a tenant is one DEFINE record. One that fits none would wait ahead of all pushes. */
static int check_names(struct push *p)
{
    enum { NAMES_MAX = 1 << 20 };
    size_t most = p->tenant_name.len;
    for (uint32_t i = 0; i < p->form.profile_count; i++) {
        const struct form_profile *fp = &p->form.profiles[i];
        size_t bytes = 0;
        for (uint32_t k = 0; k < fp->pair_count; k++)
            bytes += fp->pairs[k].name.len + fp->pairs[k].value.len + 8;
        for (uint32_t k = 0; k < fp->member_count; k++) {
            const struct form_member *m = &fp->members[k];
            bytes += m->type.len + m->unit.len + m->period_type.len + m->period_unit.len +
                     m->name.len + 20;
        }
        most = bytes > most ? bytes : most;
    }
    if (most > NAMES_MAX)
        return err_set(p->err, ERR_LIMIT, "labels of %zu bytes, at most %d", most, NAMES_MAX);
    return 0;
}

int push_check(struct push *p)
{
    int rc = check_lanes(p);
    return rc != 0 ? rc : check_names(p);
}

/* --- dividing --------------------------------------------------------------------------------- */

static struct str service_of(const struct form_profile *p)
{
    for (uint32_t i = 0; i < p->pair_count; i++)
        if (str_eq(p->pairs[i].name, LABEL_SERVICE))
            return p->pairs[i].value;
    return STR("");
}

static struct group *group_of(struct push *p, struct str service)
{
    for (uint32_t i = 0; i < p->group_count; i++)
        if (str_eq(p->groups[i].service, service))
            return &p->groups[i];
    return NULL;
}

/* A group's own form has only the symbols that its profiles reach. */
static int cut_out(struct push *p, struct group *g)
{
    uint32_t *which = arena_alloc(p->arena, sizeof *which * ((size_t)g->count + 1)), n = 0;
    if (which == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < p->form.profile_count; i++)
        if (str_eq(service_of(&p->form.profiles[i]), g->service))
            which[n++] = i;
    int rc = form_subset(&p->form, which, n, p->arena, &g->own_bytes);
    if (rc == 0)
        rc = g->own_bytes.error;
    if (rc == 0)
        rc = form_open(&g->own, buf_view(&g->own_bytes), &p->s->c.form, p->arena, p->err);
    g->form = &g->own;
    return rc;
}

static int fill_group(struct push *p, struct group *g)
{
    int rc = 0;
    g->form = &p->form;
    if (p->group_count > 1)
        rc = cut_out(p, g);
    if (rc != 0)
        return rc;
    g->items = arena_calloc(p->arena, (size_t)g->count + 1, sizeof *g->items);
    if (g->items == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct form_profile *fp = &g->form->profiles[i];
        g->items[i].p = fp;
        g->items[i].stream_hash =
            head_stream_hash(fp->members, fp->member_count, fp->pairs, fp->pair_count);
    }
    return shelf_get(p->s, p->tenant_name, g->service, &g->shelf);
}

static int by_shelf(const void *a, const void *b)
{
    uint32_t x = ((const struct group *)a)->shelf->id, y = ((const struct group *)b)->shelf->id;
    return x < y ? -1 : x > y;
}

/* Services per push are few (the distributor sends one, or a handful when it was given a batch);
 * a form that has very many is refused rather than compared with itself. */
int push_divide(struct push *p)
{
    enum { SERVICES_MAX = 256 };
    uint32_t most = p->form.profile_count < SERVICES_MAX ? p->form.profile_count : SERVICES_MAX;
    p->groups = arena_calloc(p->arena, (size_t)most + 1, sizeof *p->groups);
    if (p->groups == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < p->form.profile_count; i++) {
        struct str service = service_of(&p->form.profiles[i]);
        struct group *g = group_of(p, service);
        if (g == NULL && p->group_count == SERVICES_MAX)
            return err_set(p->err, ERR_LIMIT, "more than %d services in one push", SERVICES_MAX);
        if (g == NULL) {
            g = &p->groups[p->group_count++];
            g->service = service;
        }
        g->count++;
    }
    for (uint32_t i = 0; i < p->group_count; i++) {
        int rc = fill_group(p, &p->groups[i]);
        if (rc != 0)
            return rc;
    }
    qsort(p->groups, p->group_count, sizeof *p->groups, by_shelf);
    for (uint32_t i = 0; i < p->group_count; i++)
        if (p->group_count > 1)
            p->groups[i].form = &p->groups[i].own;
    return 0;
}

/* --- what is known ---------------------------------------------------------------------------- */

static bool dot_known(const struct push *p, struct lane_name lane, uint32_t seq)
{
    return vector_has(p->g->all, lane, seq) || vector_has(p->s->old_rows, lane, seq) ||
           vector_has(p->tenant->extra, lane, seq);
}

/* The row that has this key, in any head, synced or not. */
static bool key_known(const struct item *it, const struct shelf *sh, struct lane_name *lane,
                      uint32_t *seq)
{
    const struct form_profile *p = it->p;
    const struct head_stream *s =
        shelf_find(sh, it->stream_hash, p->members, p->member_count, p->pairs, p->pair_count);
    if (s == NULL || p->time_ns > s->newest_ns)
        return false;
    for (; s != NULL; s = s->older) {
        struct head_walk w = head_walk(s, head_limit(s->head), p->time_ns, p->time_ns);
        for (const struct head_entry *e; (e = head_next(&w)) != NULL;) {
            if (e->nonce != p->nonce)
                continue;
            *lane = head_lane_at(s->head, e->lane)->name;
            *seq = e->seq;
            return true;
        }
    }
    return false;
}

static bool same_name(struct lane_name a, struct lane_name b)
{
    if (memcmp(a.writer, b.writer, WRITER_SIZE) != 0 || a.set_count != b.set_count)
        return false;
    for (uint32_t i = 0; i < a.set_count; i++)
        if (!str_eq(a.set[i], b.set[i]))
            return false;
    return true;
}

static bool same_stream(const struct form_profile *a, const struct form_profile *b)
{
    if (a->member_count != b->member_count || a->pair_count != b->pair_count)
        return false;
    for (uint32_t i = 0; i < a->member_count; i++) {
        const struct form_member *x = &a->members[i], *y = &b->members[i];
        if (!str_eq(x->type, y->type) || !str_eq(x->unit, y->unit) ||
            !str_eq(x->period_type, y->period_type) || !str_eq(x->period_unit, y->period_unit) ||
            !str_eq(x->name, y->name))
            return false;
    }
    for (uint32_t i = 0; i < a->pair_count; i++)
        if (!str_eq(a->pairs[i].name, b->pairs[i].name) ||
            !str_eq(a->pairs[i].value, b->pairs[i].value))
            return false;
    return true;
}

/* Items of this push by key, or by dot: index + 1, 0 is free. */
struct key_table {
    uint32_t *slots;
    uint32_t mask;
};

static int key_table_init(struct key_table *t, uint32_t count, struct arena *a)
{
    uint32_t size = 4;
    while (size < (uint64_t)count * 2)
        size *= 2;
    t->slots = arena_calloc(a, size, sizeof *t->slots);
    t->mask = size - 1;
    return t->slots == NULL ? ERR_NOMEM : 0;
}

/* The first item with the key of item i, which is i itself when there is none before. */
static struct item *first_with_key(struct key_table *t, struct group *g, uint32_t i)
{
    const struct item *it = &g->items[i];
    uint64_t h = (it->stream_hash ^ (uint64_t)it->p->time_ns) * 0x9e3779b97f4a7c15u ^ it->p->nonce;
    h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
    for (uint32_t at = (uint32_t)(h >> 32) & t->mask;; at = (at + 1) & t->mask) {
        if (t->slots[at] == 0) {
            t->slots[at] = i + 1;
            return &g->items[i];
        }
        struct item *other = &g->items[t->slots[at] - 1];
        if (other->stream_hash == it->stream_hash && other->p->time_ns == it->p->time_ns &&
            other->p->nonce == it->p->nonce && same_stream(other->p, it->p))
            return other;
    }
}

/* An item before item i has its dot. */
static bool dot_again(struct key_table *t, const struct group *g, uint32_t i)
{
    const struct form_profile *p = g->items[i].p;
    uint64_t h = ((uint64_t)p->lane << 32 | p->seq) * 0x9e3779b97f4a7c15u;
    for (uint32_t at = (uint32_t)(h >> 32) & t->mask;; at = (at + 1) & t->mask) {
        if (t->slots[at] == 0) {
            t->slots[at] = i + 1;
            return false;
        }
        const struct form_profile *other = g->items[t->slots[at] - 1].p;
        if (other->lane == p->lane && other->seq == p->seq)
            return true;
    }
}

static void judge(struct push *p, struct group *g, struct key_table *keys,
                  struct key_table *dots, uint32_t i)
{
    struct item *it = &g->items[i], *first = first_with_key(keys, g, i);
    struct lane_name own = form_lane_name(&g->form->lanes[it->p->lane]);
    if (dot_again(dots, g, i) || dot_known(p, own, it->p->seq)) {
        it->fate = FATE_KNOWN;
        return;
    }
    bool found = false;
    if (first != it && first->fate == FATE_ROW) {
        it->row_lane = form_lane_name(&g->form->lanes[first->p->lane]);
        it->row_seq = first->p->seq;
        found = true;
    } else if (first != it && first->fate == FATE_REPEAT) {
        it->row_lane = first->row_lane;
        it->row_seq = first->row_seq;
        found = true;
    }
    if (!found)
        found = key_known(it, g->shelf, &it->row_lane, &it->row_seq);
    if (!found)
        it->fate = FATE_ROW;
    else if (it->row_seq == it->p->seq && same_name(it->row_lane, own))
        it->fate = FATE_KNOWN;
    else
        it->fate = FATE_REPEAT;
    g->rows += it->fate == FATE_ROW;
    g->repeats += it->fate == FATE_REPEAT;
}

int push_judge(struct push *p)
{
    for (uint32_t i = 0; i < p->group_count; i++) {
        struct group *g = &p->groups[i];
        struct key_table keys, dots;
        int rc = key_table_init(&keys, g->count, p->arena);
        if (rc == 0)
            rc = key_table_init(&dots, g->count, p->arena);
        if (rc != 0)
            return rc;
        pthread_mutex_lock(&p->s->log_lock);
        /* `all` goes when a generation ends; what was put there is no longer known then. */
        rc = p->g == p->s->open ? 0 : push_ended_code(p->s);
        for (uint32_t k = 0; k < g->count && rc == 0; k++)
            judge(p, g, &keys, &dots, k);
        pthread_mutex_unlock(&p->s->log_lock);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* --- COVER ------------------------------------------------------------------------------------ */

int push_plan_cover(struct push *p)
{
    struct vector *less = NULL;
    int rc = vector_copy(&p->cover, p->complete);
    if (rc == 0)
        rc = vector_init(&less);
    for (uint32_t i = 0; i < p->group_count && rc == 0; i++) {
        const struct group *g = &p->groups[i];
        for (uint32_t k = 0; k < g->count && rc == 0; k++) {
            const struct form_profile *fp = g->items[k].p;
            uint32_t lane;
            if (g->items[k].fate != FATE_REPEAT)
                continue;
            rc = vector_lane(less, form_lane_name(&g->form->lanes[fp->lane]), &lane);
            if (rc == 0)
                rc = vector_add(less, lane, fp->seq, fp->seq);
        }
    }
    if (rc == 0)
        rc = vector_minus(p->cover, less);
    pthread_mutex_lock(&p->s->log_lock);
    if (rc == 0 && p->g != p->s->open)
        rc = push_ended_code(p->s);
    if (rc == 0)
        rc = vector_minus(p->cover, p->g->all);
    if (rc == 0)
        rc = vector_minus(p->cover, p->s->old_rows);
    if (rc == 0)
        rc = vector_minus(p->cover, p->tenant->extra);
    pthread_mutex_unlock(&p->s->log_lock);
    vector_free(&less);
    p->cover_lanes =
        arena_calloc(p->arena, (size_t)vector_count(p->complete) + 1, sizeof(uint32_t));
    return rc == 0 && p->cover_lanes == NULL ? ERR_NOMEM : rc;
}
