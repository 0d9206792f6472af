/* Generations, the coverage that views share, and catalogues: reference counts and what they
 * free. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/store_priv.h"

/* Nothing covered yet. */
static int coverage_init(struct coverage **out)
{
    struct coverage *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    atomic_init(&c->refs, 1);
    int rc = vector_init(&c->dots);
    if (rc != 0) {
        mem_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

int gen_init(struct gen **out, const struct store_io *io, uint64_t number,
             struct mem_account *account)
{
    struct gen *g = mem_zalloc(sizeof *g);
    if (g == NULL)
        return ERR_NOMEM;
    atomic_init(&g->refs, 1);
    g->io = io;
    g->number = number;
    g->segments = (struct segs){.item = sizeof(struct gen_segment)};
    g->committed = wal_pos_of(0, WAL_HEADER_SIZE);
    int rc = head_init(&g->head, account);
    if (rc == 0)
        rc = coverage_init(&g->rows);
    if (rc != 0) {
        gen_unref(g);
        return rc;
    }
    *out = g;
    return 0;
}

void gen_ref(struct gen *g)
{
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
}

void gen_unref(struct gen *g)
{
    if (g == NULL || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < g->segments.count; i++) {
        struct gen_segment *s = segs_at(&g->segments, i);
        if (s->file != NULL)
            g->io->close(g->io->self, s->file);
        g->io->unmap(g->io->self, s->base, s->mapped);
    }
    segs_reset(&g->segments);
    wal_free(&g->wal);
    vector_free(&g->all);
    coverage_unref(g->rows);
    head_free(&g->head);
    mem_free(g);
}

int gen_path(char out[STORE_PATH_BYTES], const char *dir, uint64_t generation, uint32_t segment)
{
    int n = snprintf(out, STORE_PATH_BYTES, "%s/log/%016" PRIx64 "-%08" PRIx32 ".log", dir,
                     generation, segment);
    return n < 0 || n >= STORE_PATH_BYTES ? ERR_LIMIT : 0;
}

int gen_add_segment(struct gen *g, struct store_file *f, const uint8_t *base, uint64_t mapped)
{
    int rc = segs_reserve(&g->segments, 1);
    if (rc != 0)
        return rc;
    *(struct gen_segment *)segs_push(&g->segments) =
        (struct gen_segment){.file = f, .base = base, .mapped = mapped};
    segs_publish(&g->segments);
    return 0;
}

struct str gen_row(const struct gen *g, const struct head_entry *e)
{
    uint32_t segment = wal_segment(e->pos), offset = wal_offset(e->pos);
    if (segment >= segs_count(&g->segments))
        return (struct str){0};
    const struct gen_segment *s = segs_at(&g->segments, segment);
    if (offset > s->mapped || e->length > s->mapped - offset)
        return (struct str){0};
    return str_of(s->base + offset, e->length);
}

void coverage_unref(struct coverage *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    vector_free(&c->dots);
    mem_free(c);
}

/* As vector_copy(), but with the lanes that are empty so far: lane i must stay lane i. */
static int copy_dots(struct vector **out, const struct vector *from)
{
    struct vector *v = NULL;
    int rc = vector_init(&v);
    for (uint32_t i = 0; i < vector_count(from) && rc == 0; i++) {
        uint32_t lane;
        rc = vector_lane(v, vector_name(from, i), &lane);
        ASSERT(rc != 0 || lane == i);
    }
    if (rc == 0)
        rc = vector_union(v, from);
    if (rc != 0)
        vector_free(&v);
    else
        *out = v;
    return rc;
}

/* A view takes its reference under the store's lock, as the caller holds it: one reference means
 * that nobody else can look. */
int coverage_add(struct coverage **cp, const struct head *h, const struct wal_dot *dots,
                 size_t count)
{
    struct coverage *c = *cp;
    if (count == 0)
        return 0;
    if (atomic_load_explicit(&c->refs, memory_order_acquire) > 1) {
        struct coverage *mine = mem_zalloc(sizeof *mine);
        if (mine == NULL)
            return ERR_NOMEM;
        atomic_init(&mine->refs, 1);
        int rc = copy_dots(&mine->dots, c->dots);
        if (rc != 0) {
            mem_free(mine);
            return rc;
        }
        coverage_unref(c);
        *cp = c = mine;
    }
    for (size_t i = 0; i < count; i++) {
        int rc = 0;
        for (uint32_t n = vector_count(c->dots); n <= dots[i].lane && rc == 0; n++) {
            uint32_t lane;
            rc = vector_lane(c->dots, head_lane_at(h, n)->name, &lane);
            ASSERT(rc != 0 || lane == n);
        }
        if (rc == 0)
            rc = vector_add(c->dots, dots[i].lane, dots[i].seq, dots[i].seq);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void catalogue_unref(struct catalogue *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < c->count; i++)
        gen_unref(c->gens[i]);
    mem_free(c);
}

struct catalogue *catalogue_get(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    struct catalogue *c = s->catalogue;
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&s->lock);
    return c;
}

int catalogue_change(struct store *s, struct gen *more, const uint8_t *disk)
{
    pthread_mutex_lock(&s->swap_lock);
    struct catalogue *old = s->catalogue;
    uint32_t count = old == NULL ? 0 : old->count;
    struct catalogue *c = mem_zalloc(sizeof *c + (count + 1) * sizeof(struct gen *));
    if (c == NULL) {
        pthread_mutex_unlock(&s->swap_lock);
        return ERR_NOMEM;
    }
    atomic_init(&c->refs, 1);
    memcpy(c->disk, disk != NULL || old == NULL ? disk : old->disk, STORE_DISK_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        c->gens[c->count++] = old->gens[i];
        gen_ref(old->gens[i]);
    }
    if (more != NULL)
        c->gens[c->count++] = more;
    pthread_mutex_lock(&s->lock);
    s->catalogue = c;
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_unlock(&s->swap_lock);
    catalogue_unref(old);
    return 0;
}
