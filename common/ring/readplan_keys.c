/* ring/readplan_keys.c - dots that carry equal keys are made one class (A9d). */
#include <stdlib.h>

#include "base/mem.h"
#include "ring/readplan_priv.h"

void read_keys_reset(struct read_keys *k)
{
    mem_free(k->list);
    mem_free(k->find);
    aliases_free(&k->lanes);
    *k = (struct read_keys){0};
}

int read_keys_add(struct read_keys *k, const struct read_key *key, uint32_t disk)
{
    if (k->count == READ_KEYS_MAX)
        return ERR_LIMIT;
    if (k->lanes == NULL && aliases_init(&k->lanes) != 0)
        return ERR_NOMEM;
    if (k->count == k->cap) {
        uint32_t cap = k->cap == 0 ? 16 : k->cap * 2;
        struct read_said *list = mem_realloc_array(k->list, cap, sizeof *list);
        if (list == NULL)
            return ERR_NOMEM;
        k->list = list;
        k->cap = cap;
    }
    int rc = aliases_add(k->lanes, key->lane, key->seq, key->lane, key->seq);
    if (rc == 0)
        k->list[k->count++] = (struct read_said){*key, disk};
    return rc;
}

static int key_cmp(const struct read_key *a, const struct read_key *b)
{
    if (a->series != b->series)
        return a->series < b->series ? -1 : 1;
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns ? -1 : 1;
    return (a->nonce > b->nonce) - (a->nonce < b->nonce);
}

static int said_cmp(const void *a, const void *b)
{
    const struct read_said *x = a, *y = b;
    int c = key_cmp(&x->key, &y->key);
    if (c == 0)
        c = lane_name_cmp(x->key.lane, y->key.lane);
    return c != 0 ? c : (x->key.seq > y->key.seq) - (x->key.seq < y->key.seq);
}

int read_keys_join(struct read_keys *k, struct aliases *links)
{
    for (uint32_t i = 0; i < k->count; i++) /* our copies of the names have settled now */
        k->list[i].key.lane = aliases_lane(k->lanes, aliases_at(k->lanes, i)->row_lane);
    if (k->count > 0)
        qsort(k->list, k->count, sizeof *k->list, said_cmp);
    int rc = 0;
    for (uint32_t i = 1; rc == 0 && i < k->count; i++) {
        const struct read_key *a = &k->list[i - 1].key, *b = &k->list[i].key;
        if (key_cmp(a, b) == 0)
            rc = aliases_add(links, b->lane, b->seq, a->lane, a->seq);
    }
    return rc;
}

int read_keys_link(const struct read_keys *k, const struct read_key *key, struct aliases *links)
{
    uint32_t low = 0, high = k->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (key_cmp(&k->list[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == k->count || key_cmp(&k->list[low].key, key) != 0)
        return 0; /* not one that was asked for */
    const struct read_key *mine = &k->list[low].key;
    return aliases_add(links, key->lane, key->seq, mine->lane, mine->seq);
}

int read_keys_for(struct read_keys *k, uint32_t disk, uint32_t *count)
{
    *count = 0;
    if (k->find == NULL)
        k->find = mem_calloc((size_t)k->count + 1, sizeof *k->find);
    if (k->find == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < k->count; i++) {
        const struct read_said *s = &k->list[i];
        if (s->disk != disk &&
            (*count == 0 || key_cmp(&k->find[*count - 1], &s->key) != 0))
            k->find[(*count)++] = s->key;
    }
    return 0;
}
