/* Metadata: names, values, types and label sets of the series that an ask selects. Streams that
 * follow each other mostly have the same label names, so those of the last one are remembered. */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "store/match.h"

/* Strings, each once, in the arena. */
struct names {
    struct map *seen;
    struct arena *a;
};

static int names_add(struct names *n, struct str s)
{
    return map_has(n->seen, s) ? 0 : map_put(n->seen, s, NULL, NULL);
}

static int str_cmp_void(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static int names_finish(struct names *n, int rc, struct str **out, size_t *count)
{
    size_t at = 0, k = 0;
    struct str key;
    struct str *all = NULL;
    if (rc == 0)
        all = arena_alloc(n->a, sizeof *all * (map_count(n->seen) + 1));
    if (rc == 0 && all == NULL)
        rc = ERR_NOMEM;
    while (rc == 0 && map_next(n->seen, &at, &key, NULL)) {
        all[k] = str_dup(n->a, key);
        rc = all[k++].data == NULL ? ERR_NOMEM : 0;
    }
    map_free(&n->seen);
    if (rc != 0)
        return rc;
    qsort(all, k, sizeof *all, str_cmp_void);
    *out = all;
    *count = k;
    return 0;
}

static int names_begin(struct names *n, struct arena *a)
{
    *n = (struct names){.a = a};
    return map_init(&n->seen);
}

static bool same_pair_names(const struct head_stream *a, const struct head_stream *b)
{
    if (a == NULL || a->pair_count != b->pair_count)
        return false;
    for (uint32_t i = 0; i < a->pair_count; i++)
        if (!str_eq(a->pairs[i].name, b->pairs[i].name) ||
            (a->pairs[i].value.len == 0) != (b->pairs[i].value.len == 0))
            return false;
    return true;
}

int query_label_names(const struct view *v, const struct query_ask *ask, struct arena *a,
                      struct str **out, size_t *count)
{
    const struct str private[] = {LABEL_NAME,        LABEL_TYPE,         LABEL_UNIT,
                                  LABEL_PERIOD_TYPE, LABEL_PERIOD_UNIT,  LABEL_PROFILE_TYPE,
                                  LABEL_PRIVATE_SERVICE};
    struct names n;
    struct match_walk w;
    struct match m;
    const struct head_stream *last = NULL;
    int rc = names_begin(&n, a);
    if (rc == 0)
        rc = match_begin(&w, v, ask, NULL);
    else
        return rc;
    while (rc == 0 && match_next(&w, &m)) {
        for (size_t i = 0; i < sizeof private / sizeof *private && rc == 0; i++)
            if (match_label(&w, &m, private[i]).len > 0)
                rc = names_add(&n, private[i]);
        if (same_pair_names(last, m.stream))
            continue;
        last = m.stream;
        for (uint32_t i = 0; i < m.stream->pair_count && rc == 0; i++)
            if (match_label(&w, &m, m.stream->pairs[i].name).len > 0)
                rc = names_add(&n, m.stream->pairs[i].name);
    }
    rc = match_end(&w, rc);
    return names_finish(&n, rc, out, count);
}

int query_label_values(const struct view *v, const struct query_ask *ask, struct str name,
                       struct arena *a, struct str **out, size_t *count)
{
    struct names n;
    struct match_walk w;
    struct match m;
    int rc = names_begin(&n, a);
    if (rc != 0)
        return rc;
    rc = match_begin(&w, v, ask, NULL);
    while (rc == 0 && match_next(&w, &m)) {
        struct str value = match_label(&w, &m, name);
        if (value.len > 0)
            rc = names_add(&n, value);
    }
    rc = match_end(&w, rc);
    return names_finish(&n, rc, out, count);
}

int query_profile_types(const struct view *v, const struct query_ask *ask, struct arena *a,
                        struct str **out, size_t *count)
{
    return query_label_values(v, ask, LABEL_PROFILE_TYPE, a, out, count);
}

/* --- label sets ------------------------------------------------------------------------------- */

struct sets {
    struct labels *items;
    size_t count, cap;
};

static int sets_add(struct sets *s, struct labels set, struct arena *a)
{
    if (s->count == s->cap) {
        size_t cap = s->cap * 2 + 64;
        struct labels *items = mem_realloc_array(s->items, cap, sizeof *items);
        if (items == NULL)
            return ERR_NOMEM;
        s->items = items;
        s->cap = cap;
    }
    int rc = labels_dup(set, a, &s->items[s->count]);
    s->count += rc == 0;
    return rc;
}

static int labels_cmp_void(const void *a, const void *b)
{
    return labels_cmp(*(const struct labels *)a, *(const struct labels *)b);
}

/* The content of a set as a key: lengths keep neighbours apart. */
static void set_key(struct labels set, struct buf *out)
{
    for (size_t i = 0; i < set.count; i++) {
        buf_u64le(out, set.items[i].name.len);
        buf_str(out, set.items[i].name);
        buf_u64le(out, set.items[i].value.len);
        buf_str(out, set.items[i].value);
    }
}

static int add_series(const struct match *m, const struct str *names, size_t name_count,
                      struct map *seen, struct arena *scratch, struct arena *a, struct sets *to)
{
    struct labels set;
    struct buf key = {0};
    arena_reset(scratch);
    int rc = labels_of_series(m->stream->pairs, m->stream->pair_count,
                              &m->stream->members[m->member], scratch, &set);
    if (rc == 0 && name_count > 0)
        rc = labels_keep(set, names, name_count, scratch, &set);
    if (rc != 0)
        return rc;
    set_key(set, &key);
    rc = key.error;
    if (rc == 0 && !map_has(seen, buf_view(&key))) {
        rc = map_put(seen, buf_view(&key), NULL, NULL);
        if (rc == 0)
            rc = sets_add(to, set, a);
    }
    buf_reset(&key);
    return rc;
}

int query_series(const struct view *v, const struct query_ask *ask, const struct str *names,
                 size_t name_count, struct arena *a, struct labels **out, size_t *count)
{
    struct match_walk w;
    struct match m;
    struct map *seen = NULL;
    struct arena *scratch = NULL;
    struct sets sets = {0};
    int rc = map_init(&seen);
    if (rc == 0)
        rc = arena_init(&scratch, 0, ask->account);
    int begun = match_begin(&w, v, ask, NULL);
    rc = rc == 0 ? begun : rc;
    while (rc == 0 && match_next(&w, &m))
        rc = add_series(&m, names, name_count, seen, scratch, a, &sets);
    rc = match_end(&w, rc);
    if (rc == 0 && sets.count > 1)
        qsort(sets.items, sets.count, sizeof *sets.items, labels_cmp_void);
    if (rc == 0) {
        *out = arena_dup(a, sets.items == NULL ? (void *)&sets : sets.items,
                         sizeof *sets.items * sets.count);
        *count = sets.count;
        rc = *out == NULL ? ERR_NOMEM : 0;
    }
    mem_free(sets.items);
    map_free(&seen);
    arena_free(&scratch);
    return rc;
}

void query_stats(const struct view *v, bool *any, int64_t *oldest_ms, int64_t *newest_ms)
{
    int64_t oldest = 0, newest = 0;
    *any = false;
    for (uint32_t i = 0; i < v->count; i++) {
        int64_t from, to;
        const struct view_gen *vg = &v->gens[i];
        if (vg->tenant == NULL || !head_times(vg->tenant, vg->pos, &from, &to))
            continue;
        oldest = !*any || from < oldest ? from : oldest;
        newest = !*any || to > newest ? to : newest;
        *any = true;
    }
    *oldest_ms = oldest / 1000000;
    *newest_ms = newest / 1000000;
}
