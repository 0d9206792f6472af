/* metrics/registry_run.c - families, their series, and the lock around making and showing them. */
#include "metrics/metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "metrics/text.h"

const double metric_seconds[11] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
const char metrics_content_type[] = "text/plain; version=0.0.4; charset=utf-8";

struct series {
    struct str values[METRIC_LABELS_MAX];
    void *value; /* struct counter, gauge or histogram, of the family's kind */
};

struct collector {
    struct str fixed[METRIC_LABELS_MAX]; /* values of the fixed labels */
    metrics_collect_fn fn;
    void *arg;
};

/* All of one name. */
struct family {
    struct metrics *m;
    const struct metric_row *row;
    struct str name; /* with the namespace */
    struct str labels[METRIC_LABELS_MAX];
    uint32_t own_labels, label_count; /* the row's, and with the fixed ones */
    struct map *by_values;
    struct series **series;
    uint32_t series_count, series_cap, series_max;
    struct collector *collectors;
    uint32_t collector_count;
};

/* A family seen with one set of fixed labels: what a vec pointer points to. */
struct view {
    struct family *f;
    struct str fixed[METRIC_LABELS_MAX];
    struct view *next;
    struct series *other;
    uint32_t count; /* series made through it */
};

struct metrics {
    pthread_mutex_t lock;
    char *ns;
    struct arena *arena; /* names, values, families, views; never shrinks */
    struct map *by_name; /* of struct family */
    struct view *views;
    struct counter *overflows;
};

static const struct metric_row overflow_rows[] = {
    {METRIC_COUNTER, 0, "metrics_series_overflows_total", "",
     "Look-ups of a label set that ended in the series of all others, because the metric has as "
     "many as it may have.",
     0, NULL, 0, 0},
    {.kind = METRIC_END},
};

static void free_family(struct family *f)
{
    for (uint32_t i = 0; i < f->series_count; i++) {
        mem_free(f->series[i]->value);
        mem_free(f->series[i]);
    }
    mem_free(f->series);
    mem_free(f->collectors);
    map_free(&f->by_values);
}

void metrics_free(struct metrics **m)
{
    if (*m == NULL)
        return;
    size_t at = 0;
    void *f;
    while ((*m)->by_name != NULL && map_next((*m)->by_name, &at, NULL, &f))
        free_family(f);
    map_free(&(*m)->by_name);
    arena_free(&(*m)->arena);
    mem_free((*m)->ns);
    pthread_mutex_destroy(&(*m)->lock);
    mem_free(*m);
    *m = NULL;
}

int metrics_init(struct metrics **out, const char *ns, struct err *err)
{
    if (ns[0] != '\0' && !metric_name_is_valid(str_c(ns), true))
        return err_set(err, ERR_INVAL, "metric namespace \"%s\" is not a name", ns);
    struct metrics *m = mem_zalloc(sizeof *m);
    if (m == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&m->lock, NULL);
    m->ns = str_dup_c(str_c(ns));
    int rc = m->ns == NULL ? ERR_NOMEM : arena_init(&m->arena, 4096, NULL);
    if (rc == 0)
        rc = map_init(&m->by_name);
    if (rc == 0)
        rc = metrics_register(m, overflow_rows, &m->overflows, NULL, err);
    if (rc != 0) { /* the only cause: the table above is as it must be */
        metrics_free(&m);
        return err_set(err, rc, "out of memory");
    }
    *out = m;
    return 0;
}

/* --- families, under the lock ------------------------------------------------------------- */

static int full_name(struct metrics *m, const struct metric_row *row, struct str *out)
{
    size_t n = (row->bits & METRIC_BARE) != 0 ? 0 : strlen(m->ns), k = strlen(row->name);
    size_t dash = n > 0 ? 1 : 0;
    char *s = arena_alloc(m->arena, n + dash + k + 1);
    if (s == NULL)
        return ERR_NOMEM;
    memcpy(s, m->ns, n);
    if (dash > 0)
        s[n] = '_';
    memcpy(s + n + dash, row->name, k + 1);
    *out = str_of(s, n + dash + k);
    return 0;
}

/* Names of the row's labels and the fixed ones into f. */
static int set_labels(struct family *f, const struct metric_label *fixed, struct err *err)
{
    for (struct str rest = str_c(f->row->labels), part; str_cut(&rest, ',', &part);)
        if (part.len > 0)
            f->labels[f->label_count++] = part;
    f->own_labels = f->label_count;
    for (; fixed != NULL && fixed->name != NULL; fixed++) {
        if (f->label_count == METRIC_LABELS_MAX)
            return err_set(err, ERR_INVAL, "metric %s: too many labels", f->row->name);
        struct str name = str_dup(f->m->arena, str_c(fixed->name));
        if (name.data == NULL)
            return ERR_NOMEM;
        f->labels[f->label_count++] = name;
    }
    return 0;
}

static bool same_shape(const struct family *a, const struct family *b)
{
    bool same = a->row->kind == b->row->kind && a->own_labels == b->own_labels &&
                a->label_count == b->label_count && strcmp(a->row->help, b->row->help) == 0;
    for (uint32_t i = 0; same && i < a->label_count; i++)
        same = str_eq(a->labels[i], b->labels[i]);
    return same;
}

static int find_family(struct metrics *m, const struct metric_row *row,
                       const struct metric_label *fixed, struct family **out, struct err *err)
{
    struct family *f = arena_zalloc(m->arena, sizeof *f);
    if (f == NULL)
        return ERR_NOMEM;
    f->m = m;
    f->row = row;
    f->series_max = row->series_max == 0 ? METRIC_SERIES_DEFAULT : row->series_max;
    int rc = full_name(m, row, &f->name);
    if (rc == 0)
        rc = set_labels(f, fixed, err);
    if (rc != 0)
        return rc;
    struct family *had = map_get(m->by_name, f->name);
    if (had != NULL) {
        if (!same_shape(had, f))
            return err_set(err, ERR_INVAL, "metric %.*s: registered before in another shape",
                           STR_ARG(f->name));
        *out = had;
        return 0;
    }
    rc = map_init(&f->by_values);
    if (rc == 0)
        rc = map_put(m->by_name, f->name, f, NULL);
    if (rc != 0) {
        map_free(&f->by_values);
        return rc;
    }
    *out = f;
    return 0;
}

static void *new_value(const struct metric_row *row)
{
    if (row->kind == METRIC_COUNTER)
        return mem_zalloc(sizeof(struct counter));
    if (row->kind == METRIC_GAUGE)
        return mem_zalloc(sizeof(struct gauge));
    uint32_t count = row->bounds == NULL ? sizeof metric_seconds / sizeof *metric_seconds
                                         : row->bound_count;
    struct histogram *h = mem_zalloc(sizeof *h + (count + 1) * sizeof h->buckets[0]);
    if (h != NULL) {
        h->bounds = row->bounds == NULL ? metric_seconds : row->bounds;
        h->count = count;
    }
    return h;
}

/* Values with their lengths in front: no two sets give one key. Short ones, as most are, take
 * nothing from the heap: a key is made several times per request. */
struct key {
    uint8_t small[256];
    void *large;
    struct str text;
};

/* False: no memory. */
static bool key_init(struct key *k, const struct family *f, const struct str *values)
{
    size_t size = 0;
    for (uint32_t i = 0; i < f->label_count; i++)
        size += sizeof values[i].len + values[i].len;
    k->large = size > sizeof k->small ? mem_alloc(size) : NULL;
    uint8_t *p = size > sizeof k->small ? k->large : k->small;
    if (p == NULL)
        return false;
    k->text = str_of(p, size);
    for (uint32_t i = 0; i < f->label_count; i++) {
        memcpy(p, &values[i].len, sizeof values[i].len);
        p += sizeof values[i].len;
        if (values[i].len > 0)
            memcpy(p, values[i].data, values[i].len);
        p += values[i].len;
    }
    return true;
}

static struct series *new_series(struct family *f, const struct str *values, struct str key)
{
    if (f->series_count == f->series_cap) {
        uint32_t cap = f->series_cap == 0 ? 4 : f->series_cap * 2;
        struct series **grown = mem_realloc_array(f->series, cap, sizeof *grown);
        if (grown == NULL)
            return NULL;
        f->series = grown;
        f->series_cap = cap;
    }
    struct series *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->value = new_value(f->row);
    bool whole = s->value != NULL;
    for (uint32_t i = 0; whole && i < f->label_count; i++) {
        s->values[i] = str_dup(f->m->arena, values[i]);
        whole = s->values[i].data != NULL;
    }
    if (!whole || map_put(f->by_values, key, s, NULL) != 0) {
        mem_free(s->value);
        mem_free(s);
        return NULL;
    }
    f->series[f->series_count++] = s;
    return s;
}

/* The series of these values, all labels. */
static struct series *find_series(struct family *f, const struct str *values)
{
    struct key key;
    if (!key_init(&key, f, values))
        return NULL;
    struct series *s = map_get(f->by_values, key.text);
    if (s == NULL)
        s = new_series(f, values, key.text);
    mem_free(key.large);
    return s;
}

static int new_view(struct family *f, const struct metric_label *fixed, struct view **out,
                    struct err *err)
{
    struct view *v = arena_zalloc(f->m->arena, sizeof *v);
    if (v == NULL)
        return ERR_NOMEM;
    v->f = f;
    uint32_t count = f->label_count - f->own_labels;
    for (uint32_t i = 0; i < count; i++) {
        v->fixed[i] = str_dup(f->m->arena, str_c(fixed[i].value));
        if (v->fixed[i].data == NULL)
            return ERR_NOMEM;
    }
    for (const struct view *w = f->m->views; w != NULL; w = w->next) {
        bool same = w->f == f;
        for (uint32_t i = 0; same && i < count; i++)
            same = str_eq(w->fixed[i], v->fixed[i]);
        if (same)
            return err_set(err, ERR_EXIST, "metric %.*s: registered twice", STR_ARG(f->name));
    }
    v->next = f->m->views;
    f->m->views = v;
    *out = v;
    return 0;
}

static int register_row(struct metrics *m, const struct metric_row *row, void *at,
                        const struct metric_label *fixed, struct err *err)
{
    struct family *f;
    struct view *v;
    int rc = find_family(m, row, fixed, &f, err);
    if (rc == 0)
        rc = new_view(f, fixed, &v, err);
    if (rc != 0)
        return rc;
    void **field = (void **)(void *)((char *)at + row->offset);
    if (f->own_labels > 0) {
        *field = v;
        return 0;
    }
    struct series *s = find_series(f, v->fixed);
    if (s == NULL)
        return ERR_NOMEM;
    *field = s->value;
    return 0;
}

int metrics_register(struct metrics *m, const struct metric_row *rows, void *at,
                     const struct metric_label *fixed, struct err *err)
{
    int rc = metrics_check(rows, err);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&m->lock);
    for (const struct metric_row *r = rows; rc == 0 && r->kind != METRIC_END; r++)
        rc = register_row(m, r, at, fixed, err);
    pthread_mutex_unlock(&m->lock);
    return rc == ERR_NOMEM ? err_set(err, rc, "out of memory") : rc;
}

/* --- label sets --------------------------------------------------------------------------- */

static void *value_at(struct view *v, const struct str *values)
{
    if (v == NULL)
        return NULL;
    struct family *f = v->f;
    struct str all[METRIC_LABELS_MAX];
    for (uint32_t i = 0; i < f->label_count; i++)
        all[i] = i < f->own_labels ? values[i] : v->fixed[i - f->own_labels];
    struct key key;
    if (!key_init(&key, f, all))
        return NULL;
    pthread_mutex_lock(&f->m->lock);
    struct series *s = map_get(f->by_values, key.text);
    if (s == NULL) {
        if (v->count < f->series_max) {
            s = new_series(f, all, key.text);
            v->count += s != NULL;
        } else {
            counter_inc(f->m->overflows);
            for (uint32_t i = 0; i < f->own_labels; i++)
                all[i] = STR("__other__");
            if (v->other == NULL)
                v->other = find_series(f, all);
            s = v->other;
        }
    }
    pthread_mutex_unlock(&f->m->lock);
    mem_free(key.large);
    return s == NULL ? NULL : s->value;
}

/* The vec types are names for a view: they keep kinds apart for the compiler. */
struct counter *counter_at(struct counter_vec *v, const struct str *values)
{
    return value_at((struct view *)(void *)v, values);
}

struct gauge *gauge_at(struct gauge_vec *v, const struct str *values)
{
    return value_at((struct view *)(void *)v, values);
}

struct histogram *histogram_at(struct histogram_vec *v, const struct str *values)
{
    return value_at((struct view *)(void *)v, values);
}

/* --- collectors --------------------------------------------------------------------------- */

static int add_collector(struct family *f, const struct view *v, metrics_collect_fn fn,
                         void *arg)
{
    struct collector *grown =
        mem_realloc_array(f->collectors, (size_t)f->collector_count + 1, sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    f->collectors = grown;
    struct collector *c = &grown[f->collector_count++];
    *c = (struct collector){.fn = fn, .arg = arg};
    memcpy(c->fixed, v->fixed, sizeof c->fixed);
    return 0;
}

int metrics_collector(struct metrics *m, const struct metric_row *row,
                      const struct metric_label *fixed, metrics_collect_fn fn, void *arg,
                      struct err *err)
{
    const struct metric_row rows[2] = {*row, {.kind = METRIC_END}};
    int rc = metrics_check(rows, err);
    if (rc != 0)
        return rc;
    if (row->kind == METRIC_HISTOGRAM)
        return err_set(err, ERR_INVAL, "metric %s: a collector cannot be a histogram",
                       row->name);
    struct family *f;
    struct view *v;
    pthread_mutex_lock(&m->lock);
    rc = find_family(m, row, fixed, &f, err);
    if (rc == 0)
        rc = new_view(f, fixed, &v, err);
    if (rc == 0)
        rc = add_collector(f, v, fn, arg);
    pthread_mutex_unlock(&m->lock);
    return rc == ERR_NOMEM ? err_set(err, rc, "out of memory") : rc;
}

static void forget_view(struct metrics *m, const struct family *f, const struct str *fixed)
{
    for (struct view **at = &m->views; *at != NULL; at = &(*at)->next) {
        bool same = (*at)->f == f;
        for (uint32_t i = 0; same && i < f->label_count - f->own_labels; i++)
            same = str_eq((*at)->fixed[i], fixed[i]);
        if (same) {
            *at = (*at)->next;
            return;
        }
    }
}

void metrics_collector_remove(struct metrics *m, const void *arg)
{
    size_t at = 0;
    void *value;
    pthread_mutex_lock(&m->lock);
    while (map_next(m->by_name, &at, NULL, &value)) {
        struct family *f = value;
        uint32_t kept = 0;
        for (uint32_t i = 0; i < f->collector_count; i++) {
            if (f->collectors[i].arg == arg)
                forget_view(m, f, f->collectors[i].fixed);
            else
                f->collectors[kept++] = f->collectors[i];
        }
        f->collector_count = kept;
    }
    pthread_mutex_unlock(&m->lock);
}

/* --- exposition --------------------------------------------------------------------------- */

struct metrics_sink {
    struct buf *out;
    const struct family *f;
    const struct collector *c;
    bool *head_done;
};

/* HELP and TYPE stand before the first sample of a name. */
static void put_head(const struct family *f, struct buf *out, bool *done)
{
    if (!*done)
        metric_put_head(out, f->row->kind, f->name, str_c(f->row->help));
    *done = true;
}

void metrics_emit(struct metrics_sink *sink, const struct str *values, double value)
{
    const struct family *f = sink->f;
    struct str all[METRIC_LABELS_MAX];
    for (uint32_t i = 0; i < f->label_count; i++)
        all[i] = i < f->own_labels ? values[i] : sink->c->fixed[i - f->own_labels];
    put_head(f, sink->out, sink->head_done);
    metric_put_sample(sink->out, f->name,
                      (struct metric_labels){f->labels, all, f->label_count}, value);
}

static int by_values(const void *a, const void *b)
{
    const struct series *const *x = a, *const *y = b;
    for (uint32_t i = 0; i < METRIC_LABELS_MAX; i++) {
        int c = str_cmp((*x)->values[i], (*y)->values[i]);
        if (c != 0)
            return c;
    }
    return 0;
}

static void expose_family(struct family *f, struct buf *out)
{
    bool head_done = false;
    if (f->series_count > 0) /* the order of series means nothing to others: sort in place */
        qsort(f->series, f->series_count, sizeof *f->series, by_values);
    for (uint32_t i = 0; i < f->series_count; i++) {
        const struct series *s = f->series[i];
        struct metric_labels labels = {f->labels, s->values, f->label_count};
        put_head(f, out, &head_done);
        if (f->row->kind == METRIC_COUNTER)
            metric_put_count(out, f->name, labels, counter_get(s->value));
        else if (f->row->kind == METRIC_GAUGE)
            metric_put_sample(out, f->name, labels, gauge_get(s->value));
        else
            metric_put_histogram(out, f->name, labels, s->value);
    }
    for (uint32_t i = 0; i < f->collector_count; i++) {
        struct metrics_sink sink = {out, f, &f->collectors[i], &head_done};
        f->collectors[i].fn(f->collectors[i].arg, &sink);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct family *const *x = a, *const *y = b;
    return str_cmp((*x)->name, (*y)->name);
}

void metrics_expose(struct metrics *m, struct buf *out)
{
    pthread_mutex_lock(&m->lock);
    size_t count = map_count(m->by_name), n = 0, at = 0;
    struct family **all = mem_calloc(count, sizeof *all);
    if (all == NULL)
        out->error = ERR_NOMEM;
    void *f;
    while (all != NULL && map_next(m->by_name, &at, NULL, &f))
        all[n++] = f;
    if (n > 0)
        qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++)
        expose_family(all[i], out);
    mem_free(all);
    pthread_mutex_unlock(&m->lock);
}
