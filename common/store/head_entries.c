/* Entries of a stream, and what readers ask a head. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/head_priv.h"

void head_set_limit(struct head *h, wal_pos limit)
{
    atomic_store_explicit(&h->limit, limit, memory_order_release);
}

wal_pos head_limit(const struct head *h)
{
    return atomic_load_explicit(&h->limit, memory_order_acquire);
}

/* --- partition -------------------------------------------------------------------------------- */

static uint32_t count_of(const struct head_stream *s)
{
    return atomic_load_explicit(&s->count, memory_order_relaxed);
}

int head_reserve_entry(struct head_stream *s)
{
    if (count_of(s) + s->reserved < s->capacity) {
        s->reserved++;
        return 0;
    }
    int rc = mem_charge(s->head->account, head_block_size(s));
    if (rc != 0)
        return rc;
    struct head_block *b = mem_alloc(head_block_size(s));
    if (b == NULL) {
        mem_uncharge(s->head->account, head_block_size(s));
        return ERR_NOMEM;
    }
    b->next = NULL;
    b->min_ns = INT64_MAX;
    b->max_ns = INT64_MIN;
    if (s->tail == NULL)
        s->first = s->last = b;
    else
        s->tail->next = b;
    s->tail = b;
    s->capacity += HEAD_BLOCK_ENTRIES;
    s->reserved++;
    return 0;
}

void head_unreserve(struct head_stream *s)
{
    s->reserved = 0;
}

void head_add_entry(struct head_stream *s, const struct head_entry *e, const uint64_t *totals)
{
    uint32_t n = count_of(s);
    ASSERT(n < s->capacity);
    if (n > 0 && n % HEAD_BLOCK_ENTRIES == 0)
        s->last = s->last->next;
    s->reserved -= s->reserved > 0;
    struct head_block *b = s->last;
    unsigned char *at = b->entries + (n % HEAD_BLOCK_ENTRIES) * head_stride(s);
    memcpy(at, e, sizeof *e);
    memcpy(at + sizeof *e, totals, s->member_count * sizeof *totals);
    b->min_ns = e->time_ns < b->min_ns ? e->time_ns : b->min_ns;
    b->max_ns = e->time_ns > b->max_ns ? e->time_ns : b->max_ns;
    s->newest_ns = e->time_ns > s->newest_ns ? e->time_ns : s->newest_ns;
    atomic_store_explicit(&s->count, n + 1, memory_order_release);
}

uint64_t head_stream_hash(const struct form_member *members, uint32_t member_count,
                          const struct form_pair *pairs, uint32_t pair_count)
{
    uint64_t h = member_count;
    for (uint32_t i = 0; i < member_count; i++) {
        const struct str parts[] = {members[i].type, members[i].unit, members[i].period_type,
                                    members[i].period_unit, members[i].name};
        for (unsigned k = 0; k < 5; k++)
            h = (h ^ str_hash(parts[k])) * 0x9e3779b97f4a7c15u;
    }
    for (uint32_t i = 0; i < pair_count; i++) {
        h = (h ^ str_hash(pairs[i].name)) * 0x9e3779b97f4a7c15u;
        h = (h ^ str_hash(pairs[i].value)) * 0xd6e8feb86659fd93u;
    }
    return h ^ h >> 32;
}

bool head_stream_is(const struct head_stream *s, uint64_t hash, const struct form_member *members,
                    uint32_t member_count, const struct form_pair *pairs, uint32_t pair_count)
{
    if (s->hash != hash || s->member_count != member_count || s->pair_count != pair_count)
        return false;
    for (uint32_t i = 0; i < member_count; i++) {
        const struct form_member *a = &s->members[i], *b = &members[i];
        if (!str_eq(a->type, b->type) || !str_eq(a->unit, b->unit) ||
            !str_eq(a->period_type, b->period_type) || !str_eq(a->period_unit, b->period_unit) ||
            !str_eq(a->name, b->name))
            return false;
    }
    for (uint32_t i = 0; i < pair_count; i++)
        if (!str_eq(s->pairs[i].name, pairs[i].name) || !str_eq(s->pairs[i].value, pairs[i].value))
            return false;
    return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

uint32_t head_tenant_count(const struct head *h)
{
    return segs_count(&h->tenants);
}

struct head_tenant *head_tenant_at(const struct head *h, uint32_t id)
{
    return *(struct head_tenant **)segs_at(&h->tenants, id);
}

uint32_t head_partition_count(const struct head *h)
{
    return segs_count(&h->partitions);
}

struct head_partition *head_partition_at(const struct head *h, uint32_t id)
{
    return *(struct head_partition **)segs_at(&h->partitions, id);
}

uint32_t head_stream_count(const struct head *h)
{
    return segs_count(&h->streams);
}

struct head_stream *head_stream_at(const struct head *h, uint32_t id)
{
    return *(struct head_stream **)segs_at(&h->streams, id);
}

uint32_t head_set_count(const struct head *h)
{
    return segs_count(&h->sets);
}

uint32_t head_lane_count(const struct head *h)
{
    return segs_count(&h->lanes);
}

const struct head_lane *head_lane_at(const struct head *h, uint32_t id)
{
    return segs_at(&h->lanes, id);
}

const struct str *head_set_at(const struct head *h, uint32_t id, uint32_t *count)
{
    const struct set *s = segs_at(&h->sets, id);
    *count = s->count;
    return s->instances;
}

struct head_walk head_walk(const struct head_stream *s, wal_pos end, int64_t from_ns,
                           int64_t to_ns)
{
    uint32_t count = atomic_load_explicit(&s->count, memory_order_acquire);
    return (struct head_walk){.block = count == 0 ? NULL : s->first,
                              .left = count,
                              .stride = (uint32_t)head_stride(s),
                              .end = end,
                              .from_ns = from_ns,
                              .to_ns = to_ns};
}

const struct head_entry *head_next(struct head_walk *w)
{
    while (w->left > 0) {
        if (w->at == HEAD_BLOCK_ENTRIES) {
            w->block = w->block->next;
            w->at = 0;
        }
        if (w->at == 0 && w->left > HEAD_BLOCK_ENTRIES &&
            (w->block->max_ns < w->from_ns || w->block->min_ns > w->to_ns)) {
            w->left -= HEAD_BLOCK_ENTRIES;
            w->at = HEAD_BLOCK_ENTRIES;
            continue;
        }
        const struct head_entry *e =
            (const void *)(w->block->entries + (size_t)w->at * w->stride);
        w->at++;
        w->left--;
        if (e->pos >= w->end)
            w->left = 0;
        else if (e->time_ns >= w->from_ns && e->time_ns <= w->to_ns)
            return e;
    }
    return NULL;
}

bool head_times(const struct head_tenant *t, wal_pos end, int64_t *oldest_ns, int64_t *newest_ns)
{
    bool any = false;
    uint32_t partitions = segs_count(&t->partitions);
    for (uint32_t p = 0; p < partitions; p++) {
        const struct head_partition *part = tenant_partition(t, p);
        uint32_t streams = segs_count(&part->streams);
        for (uint32_t i = 0; i < streams; i++) {
            struct head_walk w =
                head_walk(partition_stream(part, i), end, INT64_MIN, INT64_MAX);
            for (const struct head_entry *e; (e = head_next(&w)) != NULL;) {
                *oldest_ns = !any || e->time_ns < *oldest_ns ? e->time_ns : *oldest_ns;
                *newest_ns = !any || e->time_ns > *newest_ns ? e->time_ns : *newest_ns;
                any = true;
            }
        }
    }
    return any;
}
