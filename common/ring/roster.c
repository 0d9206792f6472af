/* ring/roster.c - the records of disks and their merge. */
#include "ring/roster.h"

#include "base/mem.h"
#include "wire/hash.h"
#include "wire/pb.h"

struct roster {
    struct disk *disks; /* by rising id; names and settled_by are ours */
    uint32_t count, cap;
    uint32_t replication_factor;
    bool zone_aware;
    uint64_t hash; /* 0: could not be computed */
};

static int id_cmp(struct disk_id a, struct disk_id b)
{
    return memcmp(a.bytes, b.bytes, DISK_SIZE);
}

struct disk_id disk_of(struct str bytes)
{
    struct disk_id id = {{0}};
    if (bytes.len == DISK_SIZE)
        memcpy(id.bytes, bytes.data, DISK_SIZE);
    return id;
}

/* --- hash ---------------------------------------------------------------------------------- */

static void hash_record(const struct disk *d, struct buf *b)
{
    buf_put(b, d->id.bytes, DISK_SIZE);
    buf_put(b, d->predecessor.bytes, DISK_SIZE);
    uv_put_str(b, d->instance);
    uv_put_str(b, d->domain);
    buf_u8(b, (uint8_t)(d->established | d->clean << 1 | d->refused << 2 | d->leaving << 3 |
                        d->left << 4 | d->retired << 5 | d->abandoned << 6));
    buf_varint(b, d->settled_count);
    for (uint32_t i = 0; i < d->settled_count; i++)
        buf_put(b, d->settled_by[i].bytes, DISK_SIZE);
}

/* Compute the hash anew after a change. */
static int rehash(struct roster *r)
{
    struct buf b = {0};
    buf_varint(&b, r->replication_factor);
    buf_u8(&b, r->zone_aware);
    for (uint32_t i = 0; i < r->count; i++)
        hash_record(&r->disks[i], &b);
    int rc = b.error;
    r->hash = rc == 0 ? hash_xxh64(buf_view(&b), 0) : 0;
    buf_reset(&b);
    return rc;
}

uint64_t roster_hash(const struct roster *r)
{
    return r->hash;
}

/* --- life ---------------------------------------------------------------------------------- */

int roster_init(struct roster **out)
{
    struct roster *r = mem_zalloc(sizeof *r);
    int rc = r == NULL ? ERR_NOMEM : rehash(r);
    if (rc != 0)
        mem_free(r);
    else
        *out = r;
    return rc;
}

static void record_reset(struct disk *d)
{
    mem_free((void *)(uintptr_t)d->instance.data);
    mem_free((void *)(uintptr_t)d->domain.data);
    mem_free((void *)(uintptr_t)d->addr.data);
    mem_free(d->settled_by);
    *d = (struct disk){0};
}

void roster_free(struct roster **r)
{
    if (*r == NULL)
        return;
    for (uint32_t i = 0; i < (*r)->count; i++)
        record_reset(&(*r)->disks[i]);
    mem_free((*r)->disks);
    mem_free(*r);
    *r = NULL;
}

int roster_copy(struct roster **out, const struct roster *from)
{
    struct roster *r = NULL;
    int rc = roster_init(&r);
    if (rc == 0)
        rc = roster_merge(r, from, NULL);
    if (rc != 0)
        roster_free(&r);
    else
        *out = r;
    return rc;
}

/* --- looking ------------------------------------------------------------------------------- */

uint32_t roster_count(const struct roster *r)
{
    return r->count;
}

const struct disk *roster_at(const struct roster *r, uint32_t i)
{
    return &r->disks[i];
}

/* Index of the first record whose id is not below. */
static uint32_t record_at(const struct roster *r, struct disk_id id)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (id_cmp(r->disks[mid].id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct disk *roster_find(const struct roster *r, struct disk_id id)
{
    uint32_t at = record_at(r, id);
    return at < r->count && disk_eq(r->disks[at].id, id) ? &r->disks[at] : NULL;
}

bool roster_names(const struct roster *r, struct str instance)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (str_eq(r->disks[i].instance, instance))
            return true;
    return false;
}

bool roster_founded(const struct roster *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->disks[i].established)
            return true;
    return false;
}

uint32_t roster_replication_factor(const struct roster *r)
{
    return r->replication_factor;
}

bool roster_zone_aware(const struct roster *r)
{
    return r->zone_aware;
}

bool domain_set_add(struct domain_set *s, struct str domain)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (str_eq(s->names[i], domain))
            return false;
    if (s->count == DOMAINS_MAX)
        return false;
    s->names[s->count++] = domain;
    return true;
}

/* --- merging ------------------------------------------------------------------------------- */

static int fix(struct roster *r, uint32_t replication_factor, bool zone_aware, bool *changed)
{
    if (replication_factor == 0 || replication_factor > REPLICATION_MAX)
        return ERR_INVAL;
    if (r->replication_factor == replication_factor && r->zone_aware == zone_aware)
        return 0;
    if (r->replication_factor != 0)
        return ERR_REFUSED;
    r->replication_factor = replication_factor;
    r->zone_aware = zone_aware;
    *changed = true;
    return 0;
}

int roster_fix(struct roster *r, uint32_t replication_factor, bool zone_aware)
{
    bool changed = false;
    int rc = fix(r, replication_factor, zone_aware, &changed);
    return rc == 0 && changed ? rehash(r) : rc;
}

/* Replace an owned string. */
static int string_set(struct str *s, struct str by)
{
    char *copy = str_dup_c(by);
    if (copy == NULL)
        return ERR_NOMEM;
    mem_free((void *)(uintptr_t)s->data);
    *s = str_of(copy, by.len);
    return 0;
}

/* *s becomes the greater of the two, so that rosters that disagree converge. */
static int string_max(struct str *s, struct str by, bool *changed)
{
    if (str_cmp(by, *s) <= 0)
        return 0;
    *changed = true;
    return string_set(s, by);
}

static void flag_or(bool *flag, bool by, bool *changed)
{
    *changed = *changed || (by && !*flag);
    *flag = *flag || by;
}

/* Insert into a sorted array that is ours. */
static int settled_add(struct disk *d, struct disk_id by, bool *changed)
{
    uint32_t at = 0;
    while (at < d->settled_count && id_cmp(d->settled_by[at], by) < 0)
        at++;
    if (at < d->settled_count && disk_eq(d->settled_by[at], by))
        return 0;
    if (d->settled_count == ROSTER_DISKS_MAX)
        return ERR_LIMIT;
    struct disk_id *more =
        mem_realloc_array(d->settled_by, d->settled_count + 1, sizeof *more);
    if (more == NULL)
        return ERR_NOMEM;
    memmove(more + at + 1, more + at, (d->settled_count - at) * sizeof *more);
    more[at] = by;
    d->settled_by = more;
    d->settled_count++;
    *changed = true;
    return 0;
}

/* The record of an id, added without names if it is not there. */
static int record_for(struct roster *r, struct disk_id id, struct disk **out,
                      struct roster_news *news)
{
    uint32_t at = record_at(r, id);
    if (at < r->count && disk_eq(r->disks[at].id, id)) {
        *out = &r->disks[at];
        return 0;
    }
    if (r->count == ROSTER_DISKS_MAX)
        return ERR_LIMIT;
    if (r->count == r->cap) {
        uint32_t cap = r->cap == 0 ? 4 : r->cap * 2;
        struct disk *disks = mem_realloc_array(r->disks, cap, sizeof *disks);
        if (disks == NULL)
            return ERR_NOMEM;
        r->disks = disks;
        r->cap = cap;
    }
    memmove(&r->disks[at + 1], &r->disks[at], (r->count - at) * sizeof *r->disks);
    r->disks[at] = (struct disk){.id = id};
    r->count++;
    news->disks++;
    news->told = true;
    *out = &r->disks[at];
    return 0;
}

static bool record_ok(const struct disk *d)
{
    return !disk_is_none(d->id) && d->instance.len > 0 && d->domain.len > 0 &&
           d->instance.len <= ROSTER_NAME_MAX && d->domain.len <= ROSTER_NAME_MAX &&
           d->addr.len <= ROSTER_NAME_MAX;
}

static int merge_names(struct disk *mine, const struct disk *d, struct roster_news *news)
{
    int rc = string_max(&mine->instance, d->instance, &news->told);
    rc = rc != 0 ? rc : string_max(&mine->domain, d->domain, &news->told);
    if (id_cmp(d->predecessor, mine->predecessor) > 0) {
        mine->predecessor = d->predecessor;
        news->told = true;
    }
    return rc;
}

static int merge_starts(struct disk *mine, const struct disk *d, struct roster_news *news)
{
    if (d->starts > mine->starts) {
        mine->starts = d->starts;
        news->changed = true;
        return string_set(&mine->addr, d->addr);
    }
    return d->starts == mine->starts ? string_max(&mine->addr, d->addr, &news->changed) : 0;
}

static int merge_record(struct roster *r, const struct disk *d, struct roster_news *news)
{
    struct disk *mine = NULL;
    if (!record_ok(d))
        return ERR_INVAL;
    int rc = record_for(r, d->id, &mine, news);
    if (rc != 0)
        return rc;
    news->established += d->established && !mine->established;
    flag_or(&mine->established, d->established, &news->told);
    flag_or(&mine->clean, d->clean, &news->told);
    flag_or(&mine->refused, d->refused, &news->told);
    flag_or(&mine->leaving, d->leaving, &news->told);
    flag_or(&mine->left, d->left, &news->told);
    flag_or(&mine->retired, d->retired, &news->told);
    flag_or(&mine->abandoned, d->abandoned, &news->told);
    rc = merge_names(mine, d, news);
    rc = rc != 0 ? rc : merge_starts(mine, d, news);
    for (uint32_t i = 0; rc == 0 && i < d->settled_count; i++)
        rc = settled_add(mine, d->settled_by[i], &news->told);
    return rc;
}

/* Close a merge: hash, and what the caller hears. */
static int merged(struct roster *r, int rc, const struct roster_news *own,
                  struct roster_news *news)
{
    if (rc == 0 && own->told)
        rc = rehash(r);
    if (rc != 0)
        r->hash = 0;
    if (news != NULL) {
        news->changed = news->changed || own->changed || own->told;
        news->told = news->told || own->told;
        news->disks += own->disks;
        news->established += own->established;
    }
    return rc;
}

int roster_put(struct roster *r, const struct disk *d, struct roster_news *news)
{
    struct roster_news own = {0};
    int rc = merge_record(r, d, &own);
    return merged(r, rc, &own, news);
}

int roster_merge(struct roster *into, const struct roster *from, struct roster_news *news)
{
    struct roster_news own = {0};
    int rc = from->replication_factor == 0
                 ? 0
                 : fix(into, from->replication_factor, from->zone_aware, &own.told);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < from->count; i++)
        rc = merge_record(into, &from->disks[i], &own);
    own.told = own.told || into->hash == 0;
    return merged(into, rc, &own, news);
}
