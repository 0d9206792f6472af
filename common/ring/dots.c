/* ring/dots.c - vectors: lanes with the numbers that are in them. */
#include "ring/dots.h"

#include "base/assert.h"
#include "base/mem.h"
#include "ring/dots_priv.h"

int vector_init(struct vector **out)
{
    struct vector *v = mem_zalloc(sizeof *v);
    if (v == NULL)
        return ERR_NOMEM;
    *out = v;
    return 0;
}

int vector_copy(struct vector **out, const struct vector *from)
{
    struct vector *v = NULL;
    int rc = vector_init(&v);
    if (rc == 0)
        rc = vector_union(v, from);
    if (rc != 0)
        vector_free(&v);
    else
        *out = v;
    return rc;
}

void vector_free(struct vector **v)
{
    if (*v == NULL)
        return;
    for (uint32_t i = 0; i < (*v)->names.count; i++)
        seqset_reset(&(*v)->seqs[i]);
    mem_free((*v)->seqs);
    dots_table_reset(&(*v)->names);
    mem_free(*v);
    *v = NULL;
}

/* Room for the seqs of one lane more. */
static int seqs_reserve(struct vector *v)
{
    if (v->names.count < v->cap)
        return 0;
    uint32_t cap = v->cap == 0 ? 4 : v->cap * 2;
    struct seqset *seqs = mem_realloc_array(v->seqs, cap, sizeof *seqs);
    if (seqs == NULL)
        return ERR_NOMEM;
    v->seqs = seqs;
    v->cap = cap;
    return 0;
}

int vector_lane_of_set(struct vector *v, const uint8_t *writer, uint32_t set,
                       uint32_t *lane)
{
    uint32_t before = v->names.count;
    int rc = seqs_reserve(v);
    if (rc == 0)
        rc = dots_table_add_lane(&v->names, writer, set, lane);
    if (rc == 0 && v->names.count > before)
        v->seqs[before] = (struct seqset){0};
    return rc;
}

int vector_lane(struct vector *v, struct lane_name name, uint32_t *lane)
{
    uint32_t set;
    int rc = dots_table_add_set(&v->names, name, &set);
    return rc != 0 ? rc : vector_lane_of_set(v, name.writer, set, lane);
}

bool vector_find(const struct vector *v, struct lane_name name, uint32_t *lane)
{
    return dots_table_find(&v->names, name, lane);
}

uint32_t vector_count(const struct vector *v)
{
    return v->names.count;
}

struct lane_name vector_name(const struct vector *v, uint32_t i)
{
    return dots_table_name(&v->names, i);
}

const struct seqset *vector_seqs(const struct vector *v, uint32_t i)
{
    return &v->seqs[i];
}

int vector_add(struct vector *v, uint32_t i, uint32_t first, uint32_t last)
{
    return seqset_add(&v->seqs[i], first, last);
}

bool vector_has(const struct vector *v, struct lane_name name, uint32_t seq)
{
    uint32_t lane;
    return vector_find(v, name, &lane) && seqset_has(&v->seqs[lane], seq);
}

bool vector_is_empty(const struct vector *v)
{
    for (uint32_t i = 0; i < v->names.count; i++)
        if (v->seqs[i].count > 0)
            return false;
    return true;
}

/* Every number of `part` is in s. */
static bool seqs_cover(const struct seqset *s, const struct seqset *part)
{
    uint32_t i = 0;
    for (uint32_t j = 0; j < part->count; j++) {
        while (i < s->count && s->runs[i].last < part->runs[j].last)
            i++;
        if (i == s->count || s->runs[i].first > part->runs[j].first)
            return false;
    }
    return true;
}

static bool seqs_meet(const struct seqset *a, const struct seqset *b)
{
    uint32_t i = 0, j = 0;
    while (i < a->count && j < b->count) {
        if (a->runs[i].last < b->runs[j].first)
            i++;
        else if (b->runs[j].last < a->runs[i].first)
            j++;
        else
            return true;
    }
    return false;
}

bool vector_covers(const struct vector *v, const struct vector *part)
{
    for (uint32_t i = 0; i < part->names.count; i++) {
        uint32_t lane;
        if (part->seqs[i].count == 0)
            continue;
        if (!dots_table_find_of(&v->names, &part->names, i, &lane) ||
            !seqs_cover(&v->seqs[lane], &part->seqs[i]))
            return false;
    }
    return true;
}

bool vector_meets(const struct vector *v, const struct vector *other)
{
    for (uint32_t i = 0; i < other->names.count; i++) {
        uint32_t lane;
        if (other->seqs[i].count > 0 &&
            dots_table_find_of(&v->names, &other->names, i, &lane) &&
            seqs_meet(&v->seqs[lane], &other->seqs[i]))
            return true;
    }
    return false;
}

void vector_clear(struct vector *v)
{
    for (uint32_t i = 0; i < v->names.count; i++)
        v->seqs[i].count = 0;
}

uint64_t vector_size(const struct vector *v)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < v->names.count; i++)
        size += seqset_size(&v->seqs[i]);
    return size;
}

uint64_t vector_runs(const struct vector *v)
{
    uint64_t runs = 0;
    for (uint32_t i = 0; i < v->names.count; i++)
        runs += v->seqs[i].count;
    return runs;
}

int vector_union(struct vector *v, const struct vector *from)
{
    uint32_t *sets = mem_calloc(from->names.set_count + 1, sizeof *sets); /* theirs -> mine + 1 */
    int rc = sets == NULL ? ERR_NOMEM : 0;
    for (uint32_t i = 0; rc == 0 && i < from->names.count; i++) {
        uint32_t *set = &sets[from->names.lanes[i].set], mine, lane;
        if (from->seqs[i].count == 0)
            continue;
        if (*set == 0) {
            rc = dots_table_add_set(&v->names, vector_name(from, i), &mine);
            *set = rc == 0 ? mine + 1 : 0;
        }
        if (rc == 0)
            rc = vector_lane_of_set(v, from->names.lanes[i].writer, *set - 1, &lane);
        if (rc == 0)
            rc = seqset_union(&v->seqs[lane], &from->seqs[i]);
    }
    mem_free(sets);
    return rc;
}

int vector_minus(struct vector *v, const struct vector *from)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < v->names.count; i++) {
        uint32_t lane;
        if (v->seqs[i].count > 0 && dots_table_find_of(&from->names, &v->names, i, &lane))
            rc = seqset_minus(&v->seqs[i], &from->seqs[lane]);
    }
    return rc;
}

int vector_and(struct vector *v, const struct vector *from)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < v->names.count; i++) {
        uint32_t lane;
        if (v->seqs[i].count == 0)
            continue;
        if (dots_table_find_of(&from->names, &v->names, i, &lane))
            rc = seqset_and(&v->seqs[i], &from->seqs[lane]);
        else
            v->seqs[i].count = 0;
    }
    return rc;
}

/* into |= a & b, lane by lane. */
static int union_of_both(struct vector *into, const struct vector *a, const struct vector *b)
{
    struct seqset both = {0};
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < a->names.count; i++) {
        uint32_t other, lane;
        if (a->seqs[i].count == 0 || !dots_table_find_of(&b->names, &a->names, i, &other) ||
            !seqs_meet(&a->seqs[i], &b->seqs[other]))
            continue;
        seqset_reset(&both);
        rc = seqset_copy(&both, &a->seqs[i]);
        rc = rc != 0 ? rc : seqset_and(&both, &b->seqs[other]);
        if (rc == 0 && !dots_table_find_of(&into->names, &a->names, i, &lane))
            rc = vector_lane(into, vector_name(a, i), &lane);
        rc = rc != 0 ? rc : seqset_union(&into->seqs[lane], &both);
    }
    seqset_reset(&both);
    return rc;
}

int vector_in_at_least(const struct vector *const *v, uint32_t count, uint32_t need,
                       struct vector **out)
{
    struct vector *level[VECTOR_NEED_MAX] = {0}; /* level[k]: in more than k of those so far */
    ASSERT(need >= 1 && need <= VECTOR_NEED_MAX);
    int rc = 0;
    for (uint32_t k = 0; rc == 0 && k < need; k++)
        rc = vector_init(&level[k]);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        for (uint32_t k = need - 1; rc == 0 && k > 0; k--)
            rc = union_of_both(level[k], v[i], level[k - 1]);
        rc = rc != 0 ? rc : vector_union(level[0], v[i]);
    }
    if (rc == 0) {
        *out = level[need - 1];
        level[need - 1] = NULL;
    }
    for (uint32_t k = 0; k < need; k++)
        vector_free(&level[k]);
    return rc;
}
