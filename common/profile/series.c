/* profile/series.c - groups in a table, each with a list of buckets that is put in order only
 * when it is full or read: streams come one after the other, each mostly in order of time. */
#include "profile/series.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/uv.h"

#include <stdlib.h>
#include <string.h>

enum { POINTS_FIRST = 16, GROUPS_FIRST = 16, GROUPS_MAX = 1 << 24, SERIES_VERSION = 1 };

struct point {
    uint64_t bucket, sum, profiles;
};

struct group {
    struct labels labels;
    uint64_t hash;
    struct point *points;
    uint32_t count, cap;
    bool sorted; /* by bucket, each bucket once */
};

struct series_set {
    struct series_grid grid;
    uint64_t last; /* bucket of the last grid point */
    struct mem_account *account;
    uint64_t charged;
    struct arena *strings;
    struct group *groups;
    uint32_t count, cap;
    uint32_t *slots; /* index + 1; a power of two above cap */
    uint32_t mask;
    struct label *scratch; /* of the labels being looked up */
    size_t scratch_cap;
};

int series_grid_init(struct series_grid *g, int64_t start_ms, int64_t end_ms, double step_s,
                     struct err *err)
{
    int64_t from, span;
    if (!(step_s >= 0.001))
        return err_set(err, ERR_INVAL, "step must be at least 1 ms");
    if (step_s > 9e9)
        return err_set(err, ERR_INVAL, "step is too large");
    if (start_ms > end_ms)
        return err_set(err, ERR_INVAL, "start is after end");
    int64_t step_ms = (int64_t)(step_s * 1e9) / 1000000;
    if (__builtin_sub_overflow(start_ms, step_ms, &from) ||
        __builtin_sub_overflow(end_ms, start_ms, &span))
        return err_set(err, ERR_INVAL, "time range is too large");
    *g = (struct series_grid){start_ms, end_ms, step_ms};
    return 0;
}

int64_t series_grid_from(const struct series_grid *g)
{
    return g->start_ms - g->step_ms;
}

int series_init(struct series_set **out, const struct series_grid *grid,
                struct mem_account *account)
{
    ASSERT(grid->step_ms > 0 && grid->start_ms <= grid->end_ms);
    struct series_set *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    s->grid = *grid;
    s->last = ((uint64_t)grid->end_ms - (uint64_t)grid->start_ms) / (uint64_t)grid->step_ms;
    s->account = account;
    int rc = arena_init(&s->strings, 1024, account);
    if (rc != 0) {
        mem_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void series_free(struct series_set **s)
{
    if (*s == NULL)
        return;
    for (uint32_t i = 0; i < (*s)->count; i++)
        mem_free((*s)->groups[i].points);
    mem_uncharge((*s)->account, (*s)->charged);
    mem_free((*s)->groups);
    mem_free((*s)->slots);
    mem_free((*s)->scratch);
    arena_free(&(*s)->strings);
    mem_free(*s);
    *s = NULL;
}

/* Resize an array of the set from `old` to `new` elements, charged. NULL with *rc set. */
static void *resize(struct series_set *s, void *p, size_t old, size_t new, size_t size, int *rc)
{
    uint64_t more = (uint64_t)(new - old) * size;
    *rc = mem_charge(s->account, more);
    if (*rc != 0)
        return NULL;
    void *grown = mem_realloc_array(p, new, size);
    if (grown == NULL) {
        mem_uncharge(s->account, more);
        *rc = ERR_NOMEM;
        return NULL;
    }
    s->charged += more;
    return grown;
}

static void place(struct series_set *s, uint64_t hash, uint32_t index)
{
    uint32_t i = (uint32_t)hash & s->mask;
    while (s->slots[i] != 0)
        i = (i + 1) & s->mask;
    s->slots[i] = index + 1;
}

static int grow_groups(struct series_set *s)
{
    int rc;
    uint32_t cap = s->cap == 0 ? (uint32_t)GROUPS_FIRST : s->cap * 2;
    if (cap > GROUPS_MAX)
        return ERR_LIMIT;
    struct group *groups = resize(s, s->groups, s->cap, cap, sizeof *groups, &rc);
    if (groups == NULL)
        return rc;
    s->groups = groups;
    uint32_t *slots =
        resize(s, s->slots, (size_t)s->cap * 2, (size_t)cap * 2, sizeof *slots, &rc);
    if (slots == NULL) {
        /* The larger array stays, unused, and charged with the set. */
        return rc;
    }
    s->cap = cap;
    s->slots = slots;
    s->mask = cap * 2 - 1;
    memset(slots, 0, (size_t)cap * 2 * sizeof *slots);
    for (uint32_t i = 0; i < s->count; i++)
        place(s, groups[i].hash, i);
    return 0;
}

static int find_group(struct series_set *s, struct labels labels, uint32_t *group)
{
    uint64_t hash = labels_hash(labels);
    for (uint32_t i = (uint32_t)hash & s->mask; s->cap > 0 && s->slots[i] != 0;
         i = (i + 1) & s->mask) {
        const struct group *g = &s->groups[s->slots[i] - 1];
        if (g->hash == hash && labels_cmp(g->labels, labels) == 0) {
            *group = s->slots[i] - 1;
            return 0;
        }
    }
    int rc = s->count == s->cap ? grow_groups(s) : 0;
    struct group g = {.hash = hash, .sorted = true};
    if (rc == 0)
        rc = labels_dup(labels, s->strings, &g.labels);
    if (rc != 0)
        return rc;
    s->groups[s->count] = g;
    place(s, hash, s->count);
    *group = s->count++;
    return 0;
}

static int reserve_scratch(struct series_set *s, size_t need)
{
    int rc = 0;
    if (need <= s->scratch_cap)
        return 0;
    struct label *scratch = resize(s, s->scratch, s->scratch_cap, need, sizeof *scratch, &rc);
    if (scratch == NULL)
        return rc;
    s->scratch = scratch;
    s->scratch_cap = need;
    return 0;
}

int series_group(struct series_set *s, struct labels labels, const struct str *group_by,
                 size_t group_by_count, uint32_t *group)
{
    int rc = reserve_scratch(s, labels.count);
    if (rc != 0)
        return rc;
    size_t n = 0;
    for (size_t i = 0; i < labels.count; i++)
        for (size_t k = 0; k < group_by_count; k++)
            if (str_eq(labels.items[i].name, group_by[k])) {
                s->scratch[n++] = labels.items[i];
                break;
            }
    return find_group(s, (struct labels){s->scratch, n}, group);
}

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum) || sum > INT64_MAX)
        return INT64_MAX;
    return sum;
}

static int compare_points(const void *a, const void *b)
{
    uint64_t x = ((const struct point *)a)->bucket, y = ((const struct point *)b)->bucket;
    return (x > y) - (x < y);
}

/* Order by bucket and make one point of each bucket's. */
static void settle(struct group *g)
{
    if (g->sorted)
        return;
    qsort(g->points, g->count, sizeof *g->points, compare_points);
    uint32_t n = 0;
    for (uint32_t i = 1; i < g->count; i++) {
        struct point *to = &g->points[n];
        const struct point *p = &g->points[i];
        if (p->bucket != to->bucket) {
            g->points[++n] = *p;
            continue;
        }
        to->sum = add(to->sum, p->sum);
        to->profiles = add(to->profiles, p->profiles);
    }
    g->count = n + 1;
    g->sorted = true;
}

/* Room for one more point: first what putting in order saves, then, unless that was half, more
 * memory. So an addition costs O(log n) on average and memory follows the distinct buckets. */
static int make_room(struct series_set *s, struct group *g)
{
    int rc;
    if (g->count < g->cap)
        return 0;
    if (g->count > 0)
        settle(g);
    if (g->count < g->cap / 2)
        return 0;
    if (g->cap > UINT32_MAX / 2)
        return ERR_LIMIT;
    uint32_t cap = g->cap == 0 ? (uint32_t)POINTS_FIRST : g->cap * 2;
    struct point *points = resize(s, g->points, g->cap, cap, sizeof *points, &rc);
    if (points == NULL)
        return rc;
    g->points = points;
    g->cap = cap;
    return 0;
}

static int add_point(struct series_set *s, uint32_t group, struct point p)
{
    ASSERT(group < s->count);
    struct group *g = &s->groups[group];
    struct point *last = g->count == 0 ? NULL : &g->points[g->count - 1];
    if (last != NULL && last->bucket == p.bucket) {
        last->sum = add(last->sum, p.sum);
        last->profiles = add(last->profiles, p.profiles);
        return 0;
    }
    int rc = make_room(s, g);
    if (rc != 0)
        return rc;
    if (g->count > 0 && g->points[g->count - 1].bucket >= p.bucket)
        g->sorted = false;
    g->points[g->count++] = p;
    return 0;
}

int series_add(struct series_set *s, uint32_t group, int64_t time_ms, uint64_t total)
{
    uint64_t step = (uint64_t)s->grid.step_ms, bucket = 0;
    if (time_ms > s->grid.start_ms) {
        uint64_t after = (uint64_t)time_ms - (uint64_t)s->grid.start_ms;
        bucket = (after - 1) / step + 1;
    }
    if (bucket > s->last)
        return 0;
    return add_point(s, group, (struct point){bucket, add(total, 0), 1});
}

static bool same_grid(const struct series_grid *a, const struct series_grid *b)
{
    return a->start_ms == b->start_ms && a->end_ms == b->end_ms && a->step_ms == b->step_ms;
}

int series_merge(struct series_set *into, const struct series_set *from)
{
    if (!same_grid(&into->grid, &from->grid))
        return ERR_INVAL;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct group *g = &from->groups[i];
        uint32_t group;
        int rc = find_group(into, g->labels, &group);
        for (uint32_t p = 0; rc == 0 && p < g->count; p++)
            rc = add_point(into, group, g->points[p]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int series_encode(struct series_set *s, struct buf *out)
{
    buf_u8(out, SERIES_VERSION);
    zz_put(out, s->grid.start_ms);
    buf_varint(out, (uint64_t)s->grid.end_ms - (uint64_t)s->grid.start_ms);
    buf_varint(out, (uint64_t)s->grid.step_ms);
    buf_varint(out, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        struct group *g = &s->groups[i];
        buf_varint(out, g->labels.count);
        for (size_t k = 0; k < g->labels.count; k++) {
            uv_put_str(out, g->labels.items[k].name);
            uv_put_str(out, g->labels.items[k].value);
        }
        settle(g);
        buf_varint(out, g->count);
        for (uint32_t p = 0; p < g->count; p++) {
            uint64_t before = p == 0 ? 0 : g->points[p - 1].bucket + 1;
            buf_varint(out, g->points[p].bucket - before);
            buf_varint(out, g->points[p].sum);
            buf_varint(out, g->points[p].profiles);
        }
    }
    return out->error;
}

struct reader {
    struct series_set *set;
    struct str in;
    size_t size;
    struct err *err;
};

static int malformed(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_PARSE, "partial series: %s at byte %zu", what,
                   r->size - r->in.len);
}

static int read_head(struct reader *r)
{
    const struct series_grid *g = &r->set->grid;
    uint64_t span, step;
    int64_t start;
    uint8_t version;
    if (u8_read(&r->in, &version) != 0)
        return malformed(r, "no version");
    if (version != SERIES_VERSION)
        return err_set(r->err, ERR_VERSION, "partial series of version %u, %d is known",
                       version, (int)SERIES_VERSION);
    if (zz_read(&r->in, &start) != 0 || uv_read(&r->in, &span) != 0 ||
        uv_read(&r->in, &step) != 0)
        return malformed(r, "bad grid");
    if (start != g->start_ms || span != (uint64_t)g->end_ms - (uint64_t)g->start_ms ||
        step != (uint64_t)g->step_ms)
        return err_set(r->err, ERR_INVAL, "partial series of another range or step");
    return 0;
}

static int read_labels(struct reader *r, struct labels *out)
{
    uint64_t count;
    if (uv_read(&r->in, &count) != 0 || count > r->in.len / 2)
        return malformed(r, "bad number of labels");
    int rc = reserve_scratch(r->set, count);
    if (rc != 0)
        return err_set(r->err, rc, "partial series: %s", err_text(rc));
    struct label *items = r->set->scratch;
    for (uint64_t i = 0; i < count; i++) {
        if (uv_read_str(&r->in, &items[i].name) != 0 ||
            uv_read_str(&r->in, &items[i].value) != 0)
            return malformed(r, "bad label");
        if (i > 0 && str_cmp(items[i - 1].name, items[i].name) >= 0)
            return malformed(r, "labels out of order");
    }
    *out = (struct labels){items, count};
    return 0;
}

static int read_points(struct reader *r, uint32_t group)
{
    uint64_t count, next = 0;
    if (uv_read(&r->in, &count) != 0 || count > r->in.len / 3)
        return malformed(r, "bad number of points");
    for (uint64_t i = 0; i < count; i++) {
        struct point p;
        if (uv_read(&r->in, &p.bucket) != 0 || p.bucket > r->set->last ||
            next > r->set->last - p.bucket)
            return malformed(r, "bad bucket");
        p.bucket += next;
        if (uv_read(&r->in, &p.sum) != 0 || p.sum > INT64_MAX)
            return malformed(r, "bad sum");
        if (uv_read(&r->in, &p.profiles) != 0 || p.profiles == 0 || p.profiles > INT64_MAX)
            return malformed(r, "bad number of profiles");
        int rc = add_point(r->set, group, p);
        if (rc != 0)
            return err_set(r->err, rc, "partial series: %s", err_text(rc));
        next = p.bucket + 1;
    }
    return 0;
}

int series_decode(struct series_set *s, struct str bytes, struct err *err)
{
    struct reader r = {s, bytes, bytes.len, err};
    uint64_t groups;
    int rc = read_head(&r);
    if (rc != 0)
        return rc;
    if (uv_read(&r.in, &groups) != 0 || groups > r.in.len / 2)
        return malformed(&r, "bad number of groups");
    for (uint64_t i = 0; i < groups; i++) {
        struct labels labels;
        uint32_t group;
        rc = read_labels(&r, &labels);
        if (rc != 0)
            return rc;
        rc = find_group(s, labels, &group);
        if (rc != 0)
            return err_set(err, rc, "partial series: %s", err_text(rc));
        rc = read_points(&r, group);
        if (rc != 0)
            return rc;
    }
    return r.in.len > 0 ? malformed(&r, "bytes behind the last group") : 0;
}

struct ranked {
    struct series_row row;
    double sum;
};

static int compare_rows(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->sum != y->sum)
        return x->sum < y->sum ? 1 : -1;
    return labels_cmp(x->row.labels, y->row.labels);
}

/* One group's points as the answer has them. */
static int make_row(const struct series_set *s, struct group *g, enum series_aggregation how,
                    struct arena *a, struct ranked *out)
{
    settle(g);
    struct series_point *points = arena_alloc(a, g->count * sizeof *points);
    if (points == NULL)
        return ERR_NOMEM;
    out->sum = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct point *p = &g->points[i];
        points[i].time_ms = s->grid.start_ms + (int64_t)(p->bucket * (uint64_t)s->grid.step_ms);
        points[i].value = (double)p->sum;
        if (how == SERIES_AVERAGE)
            points[i].value /= (double)p->profiles;
        out->sum += points[i].value;
    }
    out->row = (struct series_row){g->labels, points, g->count};
    return 0;
}

int series_finish(struct series_set *s, enum series_aggregation how, uint64_t limit,
                  struct arena *a, struct series_row **rows, size_t *count)
{
    struct ranked *ranked = arena_alloc(a, s->count * sizeof *ranked);
    size_t n = 0;
    if (ranked == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->groups[i].count == 0)
            continue; /* nothing of it fell on the grid */
        int rc = make_row(s, &s->groups[i], how, a, &ranked[n++]);
        if (rc != 0)
            return rc;
    }
    qsort(ranked, n, sizeof *ranked, compare_rows);
    if (limit > 0 && limit < n)
        n = limit;
    struct series_row *out = arena_alloc(a, n * sizeof *out);
    if (out == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        out[i] = ranked[i].row;
    *rows = out;
    *count = n;
    return 0;
}
