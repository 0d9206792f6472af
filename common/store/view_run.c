/* Views: a catalogue, and a pair (position, coverage) per generation, taken under one lock. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/query.h"
#include "store/store_priv.h"

int store_view(struct store *s, struct str tenant, struct view **out)
{
    struct catalogue *c = catalogue_get(s);
    struct view *v = mem_zalloc(sizeof *v + c->count * sizeof v->gens[0]);
    if (v == NULL) {
        catalogue_unref(c);
        return ERR_NOMEM;
    }
    v->store = s;
    v->catalogue = c;
    v->count = c->count;
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < c->count; i++) {
        struct gen *g = c->gens[i];
        v->gens[i] = (struct view_gen){.gen = g, .pos = g->committed, .rows = g->rows};
        atomic_fetch_add_explicit(&g->rows->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&s->lock);
    /* After the pairs: a tenant whose rows are before a position is known by now. */
    pthread_mutex_lock(&s->define_lock);
    for (uint32_t i = 0; i < v->count; i++)
        v->gens[i].tenant = head_find_tenant(v->gens[i].gen->head, tenant);
    pthread_mutex_unlock(&s->define_lock);
    *out = v;
    return 0;
}

void view_free(struct view **vp)
{
    struct view *v = *vp;
    if (v == NULL)
        return;
    for (uint32_t i = 0; i < v->count; i++)
        coverage_unref(v->gens[i].rows);
    catalogue_unref(v->catalogue);
    mem_free(v);
    *vp = NULL;
}

const uint8_t *view_disk(const struct view *v)
{
    return v->catalogue->disk;
}

static int add_seqs(struct vector *into, struct lane_name name, const struct seqset *seqs)
{
    uint32_t lane;
    int rc = seqs->count == 0 ? 0 : vector_lane(into, name, &lane);
    for (uint32_t i = 0; i < seqs->count && rc == 0; i++)
        rc = vector_add(into, lane, seqs->runs[i].first, seqs->runs[i].last);
    return rc;
}

/* Coverage of one generation for its tenant: the lanes in which the tenant has anything. */
static int add_rows(struct vector *into, const struct view_gen *vg)
{
    const struct vector *rows = vg->rows->dots;
    uint32_t lanes = segs_count(&vg->tenant->lanes);
    for (uint32_t i = 0; i < lanes; i++) {
        uint32_t lane = *(const uint32_t *)segs_at(&vg->tenant->lanes, i);
        if (lane >= vector_count(rows))
            continue;
        int rc = add_seqs(into, vector_name(rows, lane), vector_seqs(rows, lane));
        if (rc != 0)
            return rc;
    }
    uint32_t covers = segs_count(&vg->tenant->covers);
    for (uint32_t i = 0; i < covers; i++) {
        const struct head_cover *c = segs_at(&vg->tenant->covers, i);
        if (c->pos >= vg->pos)
            break;
        int rc = add_seqs(into, head_lane_at(vg->gen->head, c->lane)->name, &c->seqs);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Repeats whose row is held, of one generation, into `more`: rows and repeats often take turns in a
 * lane, and a number put between others costs as much as they are many. */
static int add_repeats(const struct vector *held, struct vector *more, struct aliases *repeats,
                       const struct view_gen *vg)
{
    const struct head *h = vg->gen->head;
    uint32_t n = segs_count(&vg->tenant->aliases);
    for (uint32_t i = 0; i < n; i++) {
        const struct head_alias *a = segs_at(&vg->tenant->aliases, i);
        uint32_t lane;
        if (a->pos >= vg->pos)
            break;
        struct lane_name row = head_lane_at(h, a->row_lane)->name;
        struct lane_name repeat = head_lane_at(h, a->repeat_lane)->name;
        if (!vector_has(held, row, a->row_seq))
            continue;
        int rc = vector_lane(more, repeat, &lane);
        if (rc == 0)
            rc = vector_add(more, lane, a->repeat_seq, a->repeat_seq);
        if (rc == 0 && repeats != NULL)
            rc = aliases_add(repeats, repeat, a->repeat_seq, row, a->row_seq);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int view_held(const struct view *v, struct vector **out, struct aliases **repeats)
{
    struct vector *held = NULL, *more = NULL;
    struct aliases *pairs = NULL;
    int rc = vector_init(&held);
    if (rc == 0)
        rc = vector_init(&more);
    if (rc == 0 && repeats != NULL)
        rc = aliases_init(&pairs);
    for (uint32_t i = 0; i < v->count && rc == 0; i++)
        if (v->gens[i].tenant != NULL)
            rc = add_rows(held, &v->gens[i]);
    for (uint32_t i = 0; i < v->count && rc == 0; i++)
        if (v->gens[i].tenant != NULL)
            rc = add_repeats(held, more, pairs, &v->gens[i]);
    if (rc == 0)
        rc = vector_union(held, more);
    vector_free(&more);
    if (rc != 0) {
        vector_free(&held);
        aliases_free(&pairs);
        return rc;
    }
    if (pairs != NULL)
        aliases_sort(pairs);
    *out = held;
    if (repeats != NULL)
        *repeats = pairs;
    return 0;
}

/* A head may have a profile of any time, so every head is listed whole. */
int store_held(const struct view *v, int64_t start_ms, int64_t end_ms, struct vector **out,
               struct aliases **repeats)
{
    (void)start_ms;
    (void)end_ms;
    return view_held(v, out, repeats);
}

static int name_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Names of all tenants above `after`, sorted, copied into the arena. */
static int tenants_above(struct store *s, struct str after, struct arena *a, struct str **out,
                         size_t *count)
{
    pthread_mutex_lock(&s->shelves_lock);
    size_t n = 0, at = 0, max = map_count(s->tenants);
    struct str key, *names = arena_alloc(a, sizeof *names * (max + 1));
    int rc = names == NULL ? ERR_NOMEM : 0;
    while (rc == 0 && map_next(s->tenants, &at, &key, NULL)) {
        if (str_cmp(key, after) <= 0)
            continue;
        names[n] = str_dup(a, key);
        rc = names[n++].data == NULL ? ERR_NOMEM : 0;
    }
    pthread_mutex_unlock(&s->shelves_lock);
    if (rc == 0 && n > 1)
        qsort(names, n, sizeof *names, name_cmp);
    *out = names;
    *count = n;
    return rc;
}

static int held_of(struct store *s, struct str tenant, store_held_fn each, void *arg)
{
    struct view *v = NULL;
    struct vector *held = NULL;
    struct aliases *repeats = NULL;
    int rc = store_view(s, tenant, &v);
    if (rc == 0)
        rc = view_held(v, &held, &repeats);
    if (rc == 0)
        rc = each(arg, tenant, held, repeats);
    vector_free(&held);
    aliases_free(&repeats);
    view_free(&v);
    return rc;
}

int store_held_all(struct store *s, struct str after, store_held_fn each, void *arg)
{
    struct arena *a = NULL;
    struct str *names;
    size_t count = 0;
    int rc = arena_init(&a, 0, NULL);
    if (rc == 0)
        rc = tenants_above(s, after, a, &names, &count);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = held_of(s, names[i], each, arg);
    arena_free(&a);
    return rc;
}
