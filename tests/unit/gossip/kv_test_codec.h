/* A codec for tests: a map of short names to numbers with times and a left flag, which merges as
 * rings do (newer time wins, left wins a tie). Encoded as lines "name time left number". */
#ifndef TESTS_GOSSIP_KV_TEST_CODEC_H
#define TESTS_GOSSIP_KV_TEST_CODEC_H

#include <string.h>

#include "base/mem.h"
#include "gossip/codec.h"

enum { TV_MAX = 512, TV_NAME = 16 };

struct tv_item {
    char name[TV_NAME];
    int64_t at; /* seconds */
    bool left;
    uint32_t number;
};

struct tv {
    size_t count;
    struct tv_item items[TV_MAX]; /* sorted by name */
};

static inline struct tv *tv_new(void)
{
    return mem_zalloc(sizeof(struct tv));
}

static inline struct tv_item *tv_find(const struct tv *v, const char *name)
{
    for (size_t i = 0; i < v->count; i++)
        if (strcmp(v->items[i].name, name) == 0)
            return (struct tv_item *)(uintptr_t)&v->items[i];
    return NULL;
}

static inline void tv_set(struct tv *v, const struct tv_item *item)
{
    struct tv_item *found = tv_find(v, item->name);
    if (found != NULL) {
        *found = *item;
        return;
    }
    if (v->count == TV_MAX)
        return;
    size_t at = v->count++;
    for (; at > 0 && strcmp(v->items[at - 1].name, item->name) > 0; at--)
        v->items[at] = v->items[at - 1];
    v->items[at] = *item;
}

static inline void tv_put(struct tv *v, const char *name, int64_t at, uint32_t number)
{
    struct tv_item item = {.at = at, .number = number};
    memcpy(item.name, name, strlen(name) < TV_NAME ? strlen(name) : TV_NAME - 1);
    tv_set(v, &item);
}

static inline int tv_decode(void **value, struct str bytes, struct err *err)
{
    struct tv *v = tv_new();
    if (v == NULL)
        return ERR_NOMEM;
    if (bytes.len == 1 && bytes.data[0] == '\0') /* "no value" */
        bytes.len = 0;
    for (struct str rest = bytes, line; rest.len > 0 && str_cut(&rest, '\n', &line);) {
        struct str name, at, left, number = line;
        struct tv_item item = {0};
        uint64_t n = 0;
        if (!str_cut(&number, ' ', &name) || !str_cut(&number, ' ', &at) ||
            !str_cut(&number, ' ', &left) || name.len == 0 || name.len >= TV_NAME ||
            memchr(name.data, 0, name.len) != NULL || str_i64(at, &item.at) != 0 ||
            str_u64(number, &n) != 0 || v->count == TV_MAX) {
            mem_free(v);
            return err_set(err, ERR_PARSE, "bad line");
        }
        memcpy(item.name, name.data, name.len);
        item.left = str_eq(left, STR("1"));
        item.number = (uint32_t)n;
        tv_set(v, &item);
    }
    *value = v;
    return 0;
}

static inline void tv_encode(const void *value, struct buf *out)
{
    const struct tv *v = value;
    for (size_t i = 0; i < v->count; i++)
        buf_printf(out, "%s %lld %d %u\n", v->items[i].name, (long long)v->items[i].at,
                   v->items[i].left ? 1 : 0, v->items[i].number);
}

static inline int tv_clone(void **out, const void *value)
{
    struct tv *v = mem_dup(value, sizeof *v);
    if (v == NULL)
        return ERR_NOMEM;
    *out = v;
    return 0;
}

static inline int tv_merge(void **into, const void *incoming, bool local_cas, int64_t now_s,
                           void **change)
{
    struct tv *mine = *into, *delta = tv_new();
    const struct tv *theirs = incoming;
    *change = NULL;
    if (delta == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < theirs->count; i++) {
        const struct tv_item *t = &theirs->items[i], *m = tv_find(mine, t->name);
        bool newer = m == NULL || t->at > m->at || (t->at == m->at && t->left && !m->left);
        if (newer || (m != NULL && t->at == m->at && t->left == m->left && t->number > m->number))
            tv_set(delta, t);
    }
    for (size_t i = 0; local_cas && i < mine->count; i++)
        if (tv_find(theirs, mine->items[i].name) == NULL && !mine->items[i].left) {
            struct tv_item gone = mine->items[i];
            gone.left = true;
            gone.at = now_s;
            tv_set(delta, &gone);
        }
    for (size_t i = 0; i < delta->count; i++)
        tv_set(mine, &delta->items[i]);
    if (delta->count > 0)
        *change = delta;
    else
        mem_free(delta);
    return 0;
}

static inline void tv_free(void **value)
{
    mem_free(*value);
    *value = NULL;
}

static inline size_t tv_remove_tombstones(void *value, int64_t limit_s)
{
    struct tv *v = value;
    size_t kept = 0, left = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (v->items[i].left && (limit_s == 0 || v->items[i].at < limit_s))
            continue;
        left += v->items[i].left ? 1 : 0;
        v->items[kept++] = v->items[i];
    }
    v->count = kept;
    return left;
}

static inline bool tv_is_empty(const void *value)
{
    return ((const struct tv *)value)->count == 0;
}

/* A name counts as much more than it takes, so that tests reach limits soon. */
enum { TV_NAME_SIZE = 128 << 10 };

static inline size_t tv_size(const void *value)
{
    return ((const struct tv *)value)->count * TV_NAME_SIZE;
}

static inline void tv_content(const void *value, kv_name_fn each, void *arg)
{
    const struct tv *v = value;
    for (size_t i = 0; i < v->count; i++)
        each(arg, str_c(v->items[i].name));
}

static inline void tv_to_json(const void *value, struct buf *out)
{
    buf_printf(out, "{\"count\":%zu}", ((const struct tv *)value)->count);
}

static const struct kv_codec tv_codec = {
    .id = "test",
    .decode = tv_decode,
    .encode = tv_encode,
    .merge = tv_merge,
    .clone = tv_clone,
    .free = tv_free,
    .remove_tombstones = tv_remove_tombstones,
    .is_empty = tv_is_empty,
    .size = tv_size,
    .content = tv_content,
    .to_json = tv_to_json,
};

#endif
