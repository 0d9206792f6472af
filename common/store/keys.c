/* Keys of profiles, for readers that must tell repeats under other dots apart. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/match.h"

/* A repeat by the dot of its row; lanes as numbered by `lanes`. */
struct by_row {
    uint32_t lane, seq;
    size_t alias;
};

struct key_walk {
    const struct view *v;
    struct vector *held;     /* of no use but that view_held() makes it */
    struct aliases *repeats;
    struct vector *lanes;    /* numbers lane names */
    struct by_row *rows;
    size_t count;
    store_key_fn each;
    void *arg;
    const struct vector *of; /* NULL: every dot */
};

static int by_row_cmp(const void *a, const void *b)
{
    const struct by_row *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int key_walk_begin(struct key_walk *w)
{
    int rc = view_held(w->v, &w->held, &w->repeats);
    if (rc == 0)
        rc = vector_init(&w->lanes);
    if (rc != 0)
        return rc;
    w->count = aliases_count(w->repeats);
    w->rows = mem_calloc(w->count + 1, sizeof *w->rows);
    if (w->rows == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < w->count && rc == 0; i++) {
        const struct alias *a = aliases_at(w->repeats, i);
        w->rows[i] = (struct by_row){.seq = a->row_seq, .alias = i};
        rc = vector_lane(w->lanes, aliases_lane(w->repeats, a->row_lane), &w->rows[i].lane);
    }
    qsort(w->rows, w->count, sizeof *w->rows, by_row_cmp);
    return rc;
}

static void key_walk_end(struct key_walk *w)
{
    vector_free(&w->held);
    aliases_free(&w->repeats);
    vector_free(&w->lanes);
    mem_free(w->rows);
}

static int give(struct key_walk *w, struct store_key *key)
{
    if (w->of != NULL && !vector_has(w->of, key->lane, key->seq))
        return 0;
    return w->each(w->arg, key);
}

/* The row's own dot, and those of its repeats. */
static int give_row(struct key_walk *w, const struct match *m, const struct head_entry *e)
{
    uint32_t lane;
    struct store_key key = {.lane = head_lane_at(m->vg->gen->head, e->lane)->name,
                            .seq = e->seq,
                            .series = m->stream->fingerprint,
                            .time_ns = e->time_ns,
                            .nonce = e->nonce};
    struct lane_name row = key.lane;
    int rc = give(w, &key);
    if (rc != 0 || w->count == 0 || !vector_find(w->lanes, row, &lane))
        return rc;
    size_t low = 0, high = w->count;
    const struct by_row want = {.lane = lane, .seq = e->seq};
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (by_row_cmp(&w->rows[mid], &want) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < w->count && by_row_cmp(&w->rows[low], &want) == 0 && rc == 0; low++) {
        const struct alias *a = aliases_at(w->repeats, w->rows[low].alias);
        key.lane = aliases_lane(w->repeats, a->repeat_lane);
        key.seq = a->repeat_seq;
        rc = give(w, &key);
    }
    return rc;
}

int store_keys(const struct view *v, const struct query_ask *ask, const struct vector *of,
               store_key_fn each, void *arg)
{
    struct key_walk w = {.v = v, .each = each, .arg = arg, .of = of};
    struct match_walk walk;
    struct match m;
    const struct head_stream *last = NULL;
    int rc = key_walk_begin(&w);
    int begun = match_begin(&walk, v, ask, NULL);
    rc = rc == 0 ? begun : rc;
    while (rc == 0 && match_next(&walk, &m)) {
        if (m.stream == last) /* another member of it was selected already */
            continue;
        last = m.stream;
        struct head_walk entries = match_entries(&m, ask);
        for (const struct head_entry *e; rc == 0 && (e = head_next(&entries)) != NULL;)
            rc = give_row(&w, &m, e);
    }
    rc = match_end(&walk, rc);
    key_walk_end(&w);
    return rc;
}

static int key_cmp(const void *a, const void *b)
{
    const struct store_key *x = a, *y = b;
    if (x->series != y->series)
        return x->series < y->series ? -1 : 1;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return x->nonce < y->nonce ? -1 : x->nonce > y->nonce;
}

/* The first of the sorted keys that is not below `want`. */
static size_t key_at(const struct store_key *keys, size_t count, const struct store_key *want)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (key_cmp(&keys[mid], want) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int find_in_stream(struct key_walk *w, const struct match *m, const struct store_key *keys,
                          size_t count)
{
    struct store_key want = {.series = m->stream->fingerprint, .time_ns = INT64_MIN};
    size_t from = key_at(keys, count, &want), to = from;
    while (to < count && keys[to].series == want.series)
        to++;
    if (from == to)
        return 0;
    struct head_walk entries =
        head_walk(m->stream, m->vg->pos, keys[from].time_ns, keys[to - 1].time_ns);
    int rc = 0;
    for (const struct head_entry *e; rc == 0 && (e = head_next(&entries)) != NULL;) {
        want.time_ns = e->time_ns;
        want.nonce = e->nonce;
        size_t at = key_at(keys + from, to - from, &want);
        if (at < to - from && key_cmp(&keys[from + at], &want) == 0)
            rc = give_row(w, m, e);
    }
    return rc;
}

int store_find_keys(const struct view *v, const struct store_key *keys, size_t count,
                    store_key_fn each, void *arg)
{
    const struct query_ask ask = {.start_ns = INT64_MIN, .end_ns = INT64_MAX};
    struct key_walk w = {.v = v, .each = each, .arg = arg};
    struct match_walk walk;
    struct match m;
    const struct head_stream *last = NULL;
    struct store_key *sorted = mem_calloc(count + 1, sizeof *sorted);
    if (sorted == NULL)
        return ERR_NOMEM;
    if (count > 0)
        memcpy(sorted, keys, count * sizeof *keys);
    qsort(sorted, count, sizeof *sorted, key_cmp);
    int rc = key_walk_begin(&w);
    int begun = match_begin(&walk, v, &ask, NULL);
    rc = rc == 0 ? begun : rc;
    while (rc == 0 && match_next(&walk, &m)) {
        if (m.stream == last)
            continue;
        last = m.stream;
        rc = find_in_stream(&w, &m, sorted, count);
    }
    rc = match_end(&walk, rc);
    key_walk_end(&w);
    mem_free(sorted);
    return rc;
}
