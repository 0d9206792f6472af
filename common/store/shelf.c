/* What outlives a head: a service's lock and its streams, and the dots a tenant has been given. */
#include "base/mem.h"
#include "profile/labels.h"
#include "store/store_priv.h"

static int tenant_make(struct store *s, struct str name, struct store_tenant **out)
{
    struct store_tenant *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->name = str_dup_c(name);
    int rc = t->name == NULL ? ERR_NOMEM : vector_init(&t->extra);
    if (rc == 0)
        rc = map_put(s->tenants, name, t, NULL);
    if (rc != 0) {
        vector_free(&t->extra);
        mem_free(t->name);
        mem_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

static int tenant_locked(struct store *s, struct str name, struct store_tenant **out)
{
    *out = map_get(s->tenants, name);
    return *out != NULL ? 0 : tenant_make(s, name, out);
}

int tenant_get(struct store *s, struct str name, struct store_tenant **out)
{
    pthread_mutex_lock(&s->shelves_lock);
    int rc = tenant_locked(s, name, out);
    pthread_mutex_unlock(&s->shelves_lock);
    return rc;
}

static int shelf_make(struct store *s, struct str key, struct str tenant, struct shelf **out)
{
    struct shelf *sh = mem_zalloc(sizeof *sh);
    if (sh == NULL)
        return ERR_NOMEM;
    int rc = tenant_locked(s, tenant, &sh->tenant);
    if (rc == 0)
        rc = map_put(s->shelves, key, sh, NULL);
    if (rc != 0) {
        mem_free(sh);
        return rc;
    }
    pthread_mutex_init(&sh->lock, NULL);
    sh->id = s->next_shelf++;
    *out = sh;
    return 0;
}

int shelf_get(struct store *s, struct str tenant, struct str service, struct shelf **out)
{
    struct buf key = {0};
    buf_u64le(&key, tenant.len);
    buf_str(&key, tenant);
    buf_str(&key, service);
    int rc = key.error;
    pthread_mutex_lock(&s->shelves_lock);
    if (rc == 0) {
        *out = map_get(s->shelves, buf_view(&key));
        if (*out == NULL)
            rc = shelf_make(s, buf_view(&key), tenant, out);
    }
    pthread_mutex_unlock(&s->shelves_lock);
    buf_reset(&key);
    return rc;
}

void shelves_free(struct store *s)
{
    size_t at = 0;
    void *value;
    while (s->shelves != NULL && map_next(s->shelves, &at, NULL, &value)) {
        struct shelf *sh = value;
        pthread_mutex_destroy(&sh->lock);
        mem_free(sh->slots);
        mem_free(sh);
    }
    at = 0;
    while (s->tenants != NULL && map_next(s->tenants, &at, NULL, &value)) {
        struct store_tenant *t = value;
        vector_free(&t->extra);
        mem_free(t->name);
        mem_free(t);
    }
    map_free(&s->shelves);
    map_free(&s->tenants);
}

struct head_stream *shelf_find(const struct shelf *sh, uint64_t hash,
                               const struct form_member *members, uint32_t member_count,
                               const struct form_pair *pairs, uint32_t pair_count)
{
    if (sh->cap == 0)
        return NULL;
    for (uint32_t at = (uint32_t)hash & (sh->cap - 1);; at = (at + 1) & (sh->cap - 1)) {
        struct head_stream *s = sh->slots[at];
        if (s == NULL || head_stream_is(s, hash, members, member_count, pairs, pair_count))
            return s;
    }
}

static int shelf_grow(struct shelf *sh)
{
    uint32_t cap = sh->cap == 0 ? 16 : sh->cap * 2;
    struct head_stream **slots = mem_calloc(cap, sizeof *slots);
    if (slots == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < sh->cap; i++) {
        struct head_stream *s = sh->slots[i];
        if (s == NULL)
            continue;
        uint32_t at = (uint32_t)s->hash & (cap - 1);
        while (slots[at] != NULL)
            at = (at + 1) & (cap - 1);
        slots[at] = s;
    }
    mem_free(sh->slots);
    sh->slots = slots;
    sh->cap = cap;
    return 0;
}

int shelf_put(struct shelf *sh, struct head_stream *stream)
{
    if ((sh->used + 1) * 4 > sh->cap * 3) {
        int rc = shelf_grow(sh);
        if (rc != 0)
            return rc;
    }
    uint32_t at = (uint32_t)stream->hash & (sh->cap - 1);
    for (; sh->slots[at] != NULL; at = (at + 1) & (sh->cap - 1)) {
        struct head_stream *s = sh->slots[at];
        if (!head_stream_is(s, stream->hash, stream->members, stream->member_count, stream->pairs,
                            stream->pair_count))
            continue;
        stream->older = s;
        if (s->newest_ns > stream->newest_ns)
            stream->newest_ns = s->newest_ns;
        sh->slots[at] = stream;
        return 0;
    }
    sh->slots[at] = stream;
    sh->used++;
    return 0;
}

int shelves_add_head(struct store *s, struct head *h)
{
    for (uint32_t i = 0; i < head_partition_count(h); i++) {
        const struct head_partition *p = head_partition_at(h, i);
        struct shelf *sh;
        int rc = shelf_get(s, p->tenant->name, p->service, &sh);
        uint32_t streams = segs_count(&p->streams);
        for (uint32_t k = 0; k < streams && rc == 0; k++)
            rc = shelf_put(sh, partition_stream(p, k));
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int add_covers(struct vector *into, const struct gen *g, const struct head_tenant *t)
{
    uint32_t n = segs_count(&t->covers);
    for (uint32_t i = 0; i < n; i++) {
        const struct head_cover *c = segs_at(&t->covers, i);
        uint32_t lane;
        if (c->pos >= g->committed)
            break;
        int rc = vector_lane(into, head_lane_at(g->head, c->lane)->name, &lane);
        for (uint32_t k = 0; k < c->seqs.count && rc == 0; k++)
            rc = vector_add(into, lane, c->seqs.runs[k].first, c->seqs.runs[k].last);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Repeats count as long as the row's dot is held. */
static int add_aliases(struct vector *into, const struct vector *rows, const struct gen *g,
                       const struct head_tenant *t)
{
    uint32_t n = segs_count(&t->aliases);
    for (uint32_t i = 0; i < n; i++) {
        const struct head_alias *a = segs_at(&t->aliases, i);
        uint32_t lane;
        if (a->pos >= g->committed)
            break;
        if (!vector_has(rows, head_lane_at(g->head, a->row_lane)->name, a->row_seq))
            continue;
        int rc = vector_lane(into, head_lane_at(g->head, a->repeat_lane)->name, &lane);
        if (rc == 0)
            rc = vector_add(into, lane, a->repeat_seq, a->repeat_seq);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* One generation's part: rows and covers first, so that aliases find rows of any generation. */
static int rebuild_from(struct store *s, const struct gen *g, struct vector *rows, bool aliases)
{
    uint32_t tenants = head_tenant_count(g->head);
    for (uint32_t i = 0; i < tenants; i++) {
        const struct head_tenant *t = head_tenant_at(g->head, i);
        struct store_tenant *st;
        int rc = tenant_get(s, t->name, &st);
        if (rc == 0)
            rc = aliases ? add_aliases(st->extra, rows, g, t) : add_covers(st->extra, g, t);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int clear_extras(struct store *s)
{
    size_t at = 0;
    void *value;
    int rc = 0;
    pthread_mutex_lock(&s->shelves_lock);
    while (rc == 0 && map_next(s->tenants, &at, NULL, &value)) {
        struct store_tenant *t = value;
        struct vector *empty = NULL;
        rc = vector_init(&empty);
        if (rc == 0) {
            vector_free(&t->extra);
            t->extra = empty;
        }
    }
    pthread_mutex_unlock(&s->shelves_lock);
    return rc;
}

int store_rebuild_known(struct store *s)
{
    struct vector *rows = NULL;
    int rc = vector_init(&rows);
    if (rc == 0)
        rc = clear_extras(s);
    for (uint32_t i = 0; i < s->gone.count && rc == 0; i++) {
        struct store_tenant *t;
        rc = tenant_get(s, str_c(s->gone.tenants[i].name), &t);
        if (rc == 0)
            rc = vector_union(t->extra, s->gone.tenants[i].gone);
    }
    struct catalogue *c = catalogue_get(s);
    for (uint32_t i = 0; i < c->count && rc == 0; i++) {
        if (c->gens[i] == s->open)
            continue;
        rc = vector_union(rows, c->gens[i]->rows->dots);
        if (rc == 0)
            rc = rebuild_from(s, c->gens[i], NULL, false);
    }
    for (uint32_t i = 0; i < c->count && rc == 0; i++)
        if (c->gens[i] != s->open)
            rc = rebuild_from(s, c->gens[i], rows, true);
    catalogue_unref(c);
    if (rc != 0) {
        vector_free(&rows);
        return rc;
    }
    vector_free(&s->old_rows);
    s->old_rows = rows;
    return 0;
}
