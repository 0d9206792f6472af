/* gossip/broadcast.c - items in tiers by how often they were sent, found by name and by key. */
#include "gossip/broadcast.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

/* One message; name, names and bytes stand behind the struct in the same allocation. */
struct item {
    struct list in_key; /* changes: others of the same key and bucket */
    uint64_t id, version;
    struct str name; /* of a named message, or the key of a change */
    bool change;
    uint32_t sends;
    struct str msg;
    size_t count;
    struct str names[]; /* sorted */
};

/* Messages of equal sends, longest first, then newest first. */
struct tier {
    struct item **items;
    size_t count, cap;
};

enum { BUCKETS = 256 };

/* The changes of a key, by the first of their names: a newer change replaces only those whose
 * first name is among its own. Those without a name stand in the first bucket. */
struct key {
    size_t count;
    struct list buckets[BUCKETS];
};

struct bcast {
    struct tier *tiers; /* by number of sends */
    uint32_t tier_count;
    struct map *named; /* name -> item */
    struct map *keys;  /* key -> struct key */
    uint64_t last_id;
    size_t count, bytes;
};

int bcast_init(struct bcast **out)
{
    struct bcast *q = mem_zalloc(sizeof *q);
    if (q == NULL)
        return ERR_NOMEM;
    if (map_init(&q->named) != 0 || map_init(&q->keys) != 0) {
        map_free(&q->named);
        mem_free(q);
        return ERR_NOMEM;
    }
    *out = q;
    return 0;
}

void bcast_free(struct bcast **q)
{
    if (*q == NULL)
        return;
    for (uint32_t t = 0; t < (*q)->tier_count; t++) {
        for (size_t i = 0; i < (*q)->tiers[t].count; i++)
            mem_free((*q)->tiers[t].items[i]);
        mem_free((*q)->tiers[t].items);
    }
    mem_free((*q)->tiers);
    size_t at = 0;
    void *key = NULL;
    while (map_next((*q)->keys, &at, NULL, &key))
        mem_free(key);
    map_free(&(*q)->keys);
    map_free(&(*q)->named);
    mem_free(*q);
    *q = NULL;
}

/* a stands before b in a tier. */
static bool before(const struct item *a, const struct item *b)
{
    return a->msg.len != b->msg.len ? a->msg.len > b->msg.len : a->id > b->id;
}

/* Index of the first item that does not stand before `it`: where `it` is or belongs. */
static size_t tier_find(const struct tier *t, const struct item *it)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (before(t->items[mid], it))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Make room for `more` items in tier `sends`. ERR_NOMEM. */
static int tier_reserve(struct bcast *q, uint32_t sends, size_t more)
{
    if (sends >= q->tier_count) {
        struct tier *grown = mem_realloc_array(q->tiers, sends + 1, sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        memset(grown + q->tier_count, 0, (sends + 1 - q->tier_count) * sizeof *grown);
        q->tiers = grown;
        q->tier_count = sends + 1;
    }
    struct tier *t = &q->tiers[sends];
    if (t->cap - t->count >= more)
        return 0;
    size_t cap = t->cap * 2 > t->count + more ? t->cap * 2 : t->count + more + 8;
    struct item **items = mem_realloc_array(t->items, cap, sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    t->items = items;
    t->cap = cap;
    return 0;
}

/* Put `it` into the tier of its sends, where room was made. */
static void tier_insert(struct bcast *q, struct item *it)
{
    struct tier *t = &q->tiers[it->sends];
    size_t at = tier_find(t, it);
    memmove(t->items + at + 1, t->items + at, (t->count - at) * sizeof *t->items);
    t->items[at] = it;
    t->count++;
}

/* Forget names and key of an item that is in no tier any more, and free it. */
static void item_drop(struct bcast *q, struct item *it)
{
    q->count--;
    q->bytes -= it->msg.len;
    if (!it->change) {
        if (map_get(q->named, it->name) == it)
            (void)map_remove(q->named, it->name);
    } else {
        list_remove(&it->in_key);
        struct key *k = map_get(q->keys, it->name);
        if (k != NULL && --k->count == 0) {
            (void)map_remove(q->keys, it->name);
            mem_free(k);
        }
    }
    mem_free(it);
}

/* Take an item out of its tier and drop it. */
static void item_remove(struct bcast *q, struct item *it)
{
    struct tier *t = &q->tiers[it->sends];
    size_t at = tier_find(t, it);
    ASSERT(at < t->count && t->items[at] == it);
    memmove(t->items + at, t->items + at + 1, (t->count - at - 1) * sizeof *t->items);
    t->count--;
    item_drop(q, it);
}

static char *append(char **at, struct str s)
{
    char *start = *at;
    if (s.len > 0)
        memcpy(start, s.data, s.len);
    *at += s.len;
    return start;
}

/* A new item with copies of everything, its names sorted; NULL: no memory. */
static struct item *item_make(struct bcast *q, struct str name, const struct str *names,
                              size_t count, struct str msg)
{
    size_t size = sizeof(struct item) + count * sizeof(struct str) + name.len + msg.len;
    for (size_t i = 0; i < count; i++)
        size += names[i].len;
    struct item *it = mem_zalloc(size);
    if (it == NULL)
        return NULL;
    list_init(&it->in_key);
    char *at = (char *)(it->names + count);
    it->name = str_of(append(&at, name), name.len);
    it->msg = str_of(append(&at, msg), msg.len);
    it->count = count;
    for (size_t i = 0; i < count; i++) { /* few names: insertion sort */
        struct str s = str_of(append(&at, names[i]), names[i].len);
        size_t j = i;
        for (; j > 0 && str_cmp(it->names[j - 1], s) > 0; j--)
            it->names[j] = it->names[j - 1];
        it->names[j] = s;
    }
    it->id = ++q->last_id;
    return it;
}

static void item_add(struct bcast *q, struct item *it)
{
    tier_insert(q, it);
    q->count++;
    q->bytes += it->msg.len;
}

int bcast_put(struct bcast *q, struct str name, struct str msg, uint64_t *id)
{
    if (tier_reserve(q, 0, 1) != 0)
        return ERR_NOMEM;
    struct item *it = item_make(q, name, NULL, 0, msg);
    void *old = NULL;
    if (it == NULL || map_put(q->named, it->name, it, &old) != 0) {
        mem_free(it);
        return ERR_NOMEM;
    }
    if (old != NULL)
        item_remove(q, old);
    item_add(q, it);
    if (id != NULL)
        *id = it->id;
    return 0;
}

/* All names of `old` are among those of `new`; both are sorted. */
static bool covers(const struct item *new, const struct item *old)
{
    size_t n = 0;
    for (size_t o = 0; o < old->count; o++) {
        while (n < new->count && str_cmp(new->names[n], old->names[o]) < 0)
            n++;
        if (n == new->count || !str_eq(new->names[n], old->names[o]))
            return false;
    }
    return true;
}

/* The entry of `key`, made when it is missing; NULL: no memory. */
static struct key *key_get(struct bcast *q, struct str key)
{
    struct key *k = map_get(q->keys, key);
    if (k != NULL)
        return k;
    k = mem_alloc(sizeof *k);
    if (k == NULL)
        return NULL;
    k->count = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&k->buckets[i]);
    if (map_put(q->keys, key, k, NULL) != 0) {
        mem_free(k);
        return NULL;
    }
    return k;
}

static size_t bucket_of(struct str name)
{
    return (size_t)(str_hash(name) % BUCKETS);
}

/* Drop the changes of a bucket that `it` makes superfluous. */
static void replace_in(struct bcast *q, struct list *bucket, const struct item *it)
{
    LIST_EACH_SAFE(link, bucket) {
        struct item *old = LIST_ITEM(link, struct item, in_key);
        if (old != it && old->version <= it->version && covers(it, old))
            item_remove(q, old);
    }
}

int bcast_put_change(struct bcast *q, struct str key, uint64_t version, const struct str *names,
                     size_t count, struct str msg)
{
    if (tier_reserve(q, 0, 1) != 0)
        return ERR_NOMEM;
    struct item *it = item_make(q, key, names, count, msg);
    struct key *k = it == NULL ? NULL : key_get(q, key);
    if (k == NULL) {
        mem_free(it);
        return ERR_NOMEM;
    }
    it->change = true;
    it->version = version;
    list_push_back(&k->buckets[count > 0 ? bucket_of(it->names[0]) : 0], &it->in_key);
    k->count++; /* first, so that the key stays */
    item_add(q, it);
    replace_in(q, &k->buckets[0], it);
    for (size_t i = 0; i < count && count < BUCKETS; i++)
        replace_in(q, &k->buckets[bucket_of(it->names[i])], it);
    for (size_t i = 1; i < BUCKETS && count >= BUCKETS; i++)
        replace_in(q, &k->buckets[i], it);
    return 0;
}

void bcast_prune(struct bcast *q, size_t bytes)
{
    for (uint32_t s = q->tier_count; s-- > 0;) {
        struct tier *t = &q->tiers[s];
        while (t->count > 0 && q->bytes > bytes)
            item_drop(q, t->items[--t->count]);
    }
}

/* Index of the first item of at most `size` bytes. */
static size_t tier_first_fit(const struct tier *t, size_t size)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->items[mid]->msg.len > size)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Hand out what fits of one tier; the items taken are marked by sends = next. Returns how many
 * were taken. */
static size_t tier_take(struct tier *t, uint32_t sends, size_t *left, size_t overhead,
                        bcast_fn fn, void *arg)
{
    size_t taken = 0;
    for (size_t i = 0; i < t->count && *left > overhead;) {
        struct item *it = t->items[i];
        if (it->msg.len + overhead > *left) { /* too long: go on with the longest that fits */
            size_t next = tier_first_fit(t, *left - overhead);
            i = next > i ? next : i + 1;
            continue;
        }
        fn(arg, it->msg);
        *left -= it->msg.len + overhead;
        it->sends = sends + 1;
        taken++;
        i++;
    }
    return taken;
}

/* Move the marked items of tier `sends` up, or drop those that were sent often enough. Walked
 * from the highest tier down, so that nothing is handed out twice by one call. */
static void tier_settle(struct bcast *q, uint32_t sends, uint32_t limit)
{
    struct tier *t = &q->tiers[sends];
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++) {
        struct item *it = t->items[i];
        if (it->sends == sends) {
            t->items[kept++] = it;
        } else if (it->sends >= limit) {
            item_drop(q, it);
        } else {
            tier_insert(q, it);
        }
    }
    t->count = kept;
}

size_t bcast_take(struct bcast *q, size_t budget, size_t overhead, uint32_t limit, bcast_fn fn,
                  void *arg)
{
    size_t left = budget;
    uint32_t tiers = q->tier_count;
    for (uint32_t s = 0; s < tiers && left > overhead; s++) {
        /* Room first: without it the tier's items cannot be counted, so they wait. */
        if (q->tiers[s].count == 0 || tier_reserve(q, s + 1, q->tiers[s].count) != 0)
            continue;
        (void)tier_take(&q->tiers[s], s, &left, overhead, fn, arg);
    }
    for (uint32_t s = tiers; s-- > 0;)
        tier_settle(q, s, limit);
    return budget - left;
}

bool bcast_has(const struct bcast *q, uint64_t id)
{
    for (uint32_t s = 0; s < q->tier_count; s++)
        for (size_t i = 0; i < q->tiers[s].count; i++)
            if (q->tiers[s].items[i]->id == id)
                return true;
    return false;
}

size_t bcast_count(const struct bcast *q)
{
    return q->count;
}

size_t bcast_bytes(const struct bcast *q)
{
    return q->bytes;
}

uint32_t bcast_limit(uint32_t factor, size_t members)
{
    uint32_t digits = 0; /* ceil(log10(members + 1)) */
    for (size_t power = 1; power < members + 1; power *= 10)
        digits++;
    return factor * digits;
}
