/* ring/desc.c - members of a ring in memory. */
#include "ring/desc.h"

#include "base/assert.h"
#include "base/mem.h"
#include "ring/desc_priv.h"

enum { BLOCKS = 5, BLOCK_OVERHEAD = 16 }; /* an instance's pieces of memory */

static int copy_text(struct str *out, struct str from)
{
    char *c = str_dup_c(from);
    if (c == NULL)
        return ERR_NOMEM;
    *out = str_of(c, from.len);
    return 0;
}

static void free_text(struct str s)
{
    mem_free((void *)(uintptr_t)s.data); /* ours: made by copy_text() */
}

void ring_instance_reset(struct ring_instance *in)
{
    free_text(in->id);
    free_text(in->addr);
    free_text(in->zone);
    mem_free(in->tokens);
    mem_free(in->versions);
    memset(in, 0, sizeof *in);
}

int ring_instance_copy(struct ring_instance *out, const struct ring_instance *from)
{
    struct ring_instance c = *from;
    c.id = c.addr = c.zone = (struct str){0};
    c.tokens = NULL;
    c.versions = NULL;
    int rc = copy_text(&c.id, from->id);
    if (rc == 0)
        rc = copy_text(&c.addr, from->addr);
    if (rc == 0)
        rc = copy_text(&c.zone, from->zone);
    if (rc == 0 && c.token_count > 0 &&
        (c.tokens = mem_dup(from->tokens, c.token_count * sizeof *c.tokens)) == NULL)
        rc = ERR_NOMEM;
    if (rc == 0 && c.version_count > 0 &&
        (c.versions = mem_dup(from->versions, c.version_count * sizeof *c.versions)) == NULL)
        rc = ERR_NOMEM;
    if (rc != 0) {
        ring_instance_reset(&c);
        return rc;
    }
    *out = c;
    return 0;
}

int ring_desc_init(struct ring_desc **out)
{
    struct ring_desc *d = mem_zalloc(sizeof *d);
    if (d == NULL)
        return ERR_NOMEM;
    *out = d;
    return 0;
}

void ring_desc_free(struct ring_desc **d)
{
    if (*d == NULL)
        return;
    for (size_t i = 0; i < (*d)->count; i++)
        ring_instance_reset(&(*d)->all[i]);
    mem_free((*d)->all);
    mem_free(*d);
    *d = NULL;
}

int ring_desc_clone(struct ring_desc **out, const struct ring_desc *from)
{
    struct ring_desc *d = NULL;
    int rc = ring_desc_init(&d);
    if (rc == 0)
        rc = ring_desc_reserve(d, from->count);
    for (size_t i = 0; rc == 0 && i < from->count; i++) {
        rc = ring_instance_copy(&d->all[i], &from->all[i]);
        d->count += rc == 0;
    }
    if (rc != 0) {
        ring_desc_free(&d);
        return rc;
    }
    *out = d;
    return 0;
}

int ring_desc_reserve(struct ring_desc *d, size_t more)
{
    if (more > RING_INSTANCES_MAX - d->count)
        return ERR_LIMIT;
    if (d->cap - d->count >= more)
        return 0;
    size_t cap = d->cap == 0 ? 4 : d->cap * 2;
    if (cap < d->count + more)
        cap = d->count + more;
    struct ring_instance *grown = mem_realloc_array(d->all, cap, sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    d->all = grown;
    d->cap = cap;
    return 0;
}

size_t ring_desc_count(const struct ring_desc *d)
{
    return d->count;
}

const struct ring_instance *ring_desc_at(const struct ring_desc *d, size_t i)
{
    ASSERT(i < d->count);
    return &d->all[i];
}

bool ring_desc_search(const struct ring_desc *d, struct str id, size_t *at)
{
    size_t low = 0, high = d->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = str_cmp(d->all[mid].id, id);
        if (c == 0) {
            *at = mid;
            return true;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *at = low;
    return false;
}

const struct ring_instance *ring_desc_find(const struct ring_desc *d, struct str id)
{
    size_t at;
    return ring_desc_search(d, id, &at) ? &d->all[at] : NULL;
}

void ring_desc_move_in(struct ring_desc *d, struct ring_instance *in)
{
    size_t at;
    if (ring_desc_search(d, in->id, &at)) {
        ring_instance_reset(&d->all[at]);
    } else {
        ASSERT(d->count < d->cap);
        memmove(&d->all[at + 1], &d->all[at], (d->count - at) * sizeof *d->all);
        d->count++;
    }
    d->all[at] = *in;
    memset(in, 0, sizeof *in);
}

int ring_desc_put(struct ring_desc *d, const struct ring_instance *in)
{
    struct ring_instance copy;
    int rc = ring_instance_copy(&copy, in);
    if (rc != 0)
        return rc;
    rc = ring_desc_find(d, copy.id) != NULL ? 0 : ring_desc_reserve(d, 1);
    if (rc != 0) {
        ring_instance_reset(&copy);
        return rc;
    }
    ring_desc_move_in(d, &copy);
    return 0;
}

bool ring_desc_remove(struct ring_desc *d, struct str id)
{
    size_t at;
    if (!ring_desc_search(d, id, &at))
        return false;
    ring_instance_reset(&d->all[at]);
    d->count--;
    memmove(&d->all[at], &d->all[at + 1], (d->count - at) * sizeof *d->all);
    return true;
}

size_t ring_instance_size(const struct ring_instance *in)
{
    return sizeof *in + BLOCKS * BLOCK_OVERHEAD + in->id.len + in->addr.len + in->zone.len +
           in->token_count * sizeof *in->tokens + in->version_count * sizeof *in->versions;
}

size_t ring_desc_size(const struct ring_desc *d)
{
    size_t sum = sizeof *d + (d->cap - d->count) * sizeof *d->all;
    for (size_t i = 0; i < d->count; i++)
        sum += ring_instance_size(&d->all[i]);
    return sum;
}

uint64_t ring_instance_version(const struct ring_instance *in, uint64_t component)
{
    for (uint32_t i = 0; i < in->version_count; i++)
        if (in->versions[i].component == component)
            return in->versions[i].version;
    return 0;
}

size_t ring_desc_remove_tombstones(struct ring_desc *d, int64_t limit_s)
{
    size_t kept = 0, left = 0;
    for (size_t i = 0; i < d->count; i++) {
        bool tombstone = d->all[i].state == RING_LEFT;
        if (tombstone && (limit_s == 0 || d->all[i].timestamp_s < limit_s)) {
            ring_instance_reset(&d->all[i]);
            continue;
        }
        left += tombstone;
        d->all[kept++] = d->all[i];
    }
    d->count = kept;
    return left;
}

const char *ring_state_name(int32_t state)
{
    static const char *const names[] = {"ACTIVE", "LEAVING", "PENDING", "JOINING", "LEFT"};
    return state >= 0 && state <= RING_LEFT ? names[state] : "UNKNOWN";
}

bool ring_instance_is_alive(const struct ring_instance *in, int64_t timeout_ms, int64_t now_ms)
{
    /* Any int64 may stand in timestamp_s: compare in seconds first so that nothing overflows. */
    if (in->timestamp_s > now_ms / 1000)
        return true;
    if (in->timestamp_s < now_ms / 1000 - timeout_ms / 1000 - 2)
        return false;
    return now_ms - in->timestamp_s * 1000 <= timeout_ms;
}
