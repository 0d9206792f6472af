/* gossip/kv_history.c - two rings of rows, bounded in bytes. */
#include "gossip/kv_history.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* A message; pair and names stand behind the struct in the same allocation. */
struct kept {
    wall_ms at;
    uint64_t id, version;
    size_t msg_size, changes_size;
    char bytes[];
};

/* Oldest first in a ring of pointers. */
struct row {
    struct kept **items;
    size_t first, count, cap;
    size_t bytes;
    uint64_t last_id;
};

struct kv_history {
    size_t bytes_max;
    struct row rows[2];
};

int kv_history_init(struct kv_history **out, size_t bytes_max)
{
    struct kv_history *h = mem_zalloc(sizeof *h);
    if (h == NULL)
        return ERR_NOMEM;
    h->bytes_max = bytes_max;
    *out = h;
    return 0;
}

size_t kv_history_max(const struct kv_history *h)
{
    return h->bytes_max;
}

static size_t cost(const struct kept *k)
{
    return sizeof *k + sizeof k + k->msg_size + k->changes_size;
}

static void drop_oldest(struct row *r)
{
    struct kept *k = r->items[r->first];
    r->bytes -= cost(k);
    r->first = (r->first + 1) % r->cap;
    r->count--;
    mem_free(k);
}

void kv_history_clear(struct kv_history *h)
{
    for (int d = 0; d < 2; d++)
        while (h->rows[d].count > 0)
            drop_oldest(&h->rows[d]);
}

void kv_history_free(struct kv_history **h)
{
    if (*h == NULL)
        return;
    kv_history_clear(*h);
    for (int d = 0; d < 2; d++)
        mem_free((*h)->rows[d].items);
    mem_free(*h);
    *h = NULL;
}

bool kv_history_is_on(const struct kv_history *h)
{
    return h->bytes_max > 0;
}

/* Room for one more pointer. ERR_NOMEM. */
static int row_reserve(struct row *r)
{
    if (r->count < r->cap)
        return 0;
    size_t cap = r->cap * 2 + 16;
    struct kept **items = mem_calloc(cap, sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < r->count; i++)
        items[i] = r->items[(r->first + i) % r->cap];
    mem_free(r->items);
    r->items = items;
    r->first = 0;
    r->cap = cap;
    return 0;
}

void kv_history_add(struct kv_history *h, enum kv_direction d, wall_ms at, struct str msg,
                    uint64_t version, struct str changes)
{
    struct row *r = &h->rows[d];
    struct kept head = {.at = at,
                        .version = version,
                        .msg_size = msg.len,
                        .changes_size = changes.len};
    if (h->bytes_max == 0)
        return;
    head.id = ++r->last_id; /* what is not kept shows as a gap */
    if (cost(&head) > h->bytes_max || row_reserve(r) != 0)
        return;
    struct kept *k = mem_alloc(sizeof *k + msg.len + changes.len);
    if (k == NULL)
        return;
    *k = head;
    if (msg.len > 0)
        memcpy(k->bytes, msg.data, msg.len);
    if (changes.len > 0)
        memcpy(k->bytes + msg.len, changes.data, changes.len);
    while (r->bytes + cost(k) > h->bytes_max)
        drop_oldest(r);
    r->items[(r->first + r->count++) % r->cap] = k;
    r->bytes += cost(k);
}

bool kv_history_next(const struct kv_history *h, enum kv_direction d, size_t *at,
                     struct kv_message *out)
{
    const struct row *r = &h->rows[d];
    if (*at >= r->count)
        return false;
    const struct kept *k = r->items[(r->first + (*at)++) % r->cap];
    *out = (struct kv_message){.at = k->at,
                               .id = k->id,
                               .size = k->msg_size,
                               .version = k->version,
                               .changes = str_of(k->bytes + k->msg_size, k->changes_size)};
    if (kv_pair_get(&out->pair, str_of(k->bytes, k->msg_size)) != 0)
        out->pair = (struct kv_pair){0}; /* received, but not readable */
    return true;
}

size_t kv_history_count(const struct kv_history *h, enum kv_direction d)
{
    return h->rows[d].count;
}
