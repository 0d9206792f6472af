/* querier/merge.c - sums and unions of parts. */
#include "merge.h"

#include "base/mem.h"
#include "profile/labels.h"
#include "profile/pprof_out.h"
#include "profile/respond.h"
#include "profile/tree.h"
#include "querier.msg.h"

#include <stdlib.h>

enum { PART_NODES_MAX = 16 << 20, NS_PER_MS = 1000000 };

int merge_trees(const struct str *parts, size_t count, struct mem_account *account,
                struct tree **out, struct err *err)
{
    struct tree *t = NULL;
    int rc = tree_init(&t, account);
    if (rc != 0)
        return err_set(err, rc, "merging trees: %s", err_text(rc));
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = tree_decode(t, parts[i], PART_NODES_MAX, err);
    if (rc != 0) {
        tree_free(&t);
        (void)err_wrap(err, "merging trees");
        return rc;
    }
    *out = t;
    return 0;
}

static int buffer_error(const struct buf *out, struct err *err)
{
    return out->error == 0 ? 0 : err_set(err, out->error, "answer: %s", err_text(out->error));
}

int merge_flamegraph(const struct str *parts, size_t count, uint64_t max_nodes, bool json,
                     struct mem_account *account, struct buf *out, struct err *err)
{
    struct tree *t = NULL;
    struct arena *a = NULL;
    struct flamegraph graph;
    int rc = merge_trees(parts, count, account, &t, err);
    if (rc != 0)
        return rc;
    rc = arena_init(&a, 0, account);
    if (rc == 0)
        rc = tree_flamegraph(t, max_nodes, a, &graph);
    if (rc != 0)
        (void)err_set(err, rc, "drawing the flame graph: %s", err_text(rc));
    else
        respond_flamegraph(&graph, json, out);
    arena_free(&a);
    tree_free(&t);
    return rc != 0 ? rc : buffer_error(out, err);
}

int merge_tree_bytes(const struct str *parts, size_t count, uint64_t max_nodes, bool json,
                     struct mem_account *account, struct buf *out, struct err *err)
{
    struct tree *t = NULL;
    struct buf bytes = {0};
    int rc = merge_trees(parts, count, account, &t, err);
    if (rc != 0)
        return rc;
    rc = tree_encode(t, max_nodes, &bytes);
    if (rc == 0)
        respond_tree(buf_view(&bytes), json, out);
    else
        (void)err_set(err, rc, "writing the tree: %s", err_text(rc));
    buf_reset(&bytes);
    tree_free(&t);
    return rc != 0 ? rc : buffer_error(out, err);
}

/* --- profiles ----------------------------------------------------------------------------- */

/* `profile` (protobuf) as the answer wants it. */
static int put_profile(struct str profile, const struct merge_profile_ask *ask, struct buf *out,
                       struct err *err)
{
    if (!ask->json) {
        if (!ask->wrapped) {
            buf_str(out, profile);
            return 0;
        }
        struct buf inner = {0}; /* pprof (5) { profile (1) } */
        buf_u8(&inner, 1 << 3 | 2);
        buf_varint(&inner, profile.len);
        buf_str(&inner, profile);
        buf_u8(out, 5 << 3 | 2);
        buf_varint(out, inner.size);
        buf_str(out, buf_view(&inner));
        if (inner.error != 0)
            out->error = inner.error;
        buf_reset(&inner);
        return 0;
    }
    struct arena *a = NULL;
    struct google_v1_profile p;
    struct msg_limits limits = {.elements_max = UINT32_MAX};
    int rc = arena_init(&a, 0, NULL);
    if (rc == 0)
        rc = msg_decode(&google_v1_profile_msg, &p, profile, a, &limits, err);
    if (rc == 0) {
        struct querier_v1_pprof_profile pprof = {&p};
        struct querier_v1_select_merge_stacktraces_response whole = {.pprof = &pprof};
        if (ask->wrapped)
            msg_to_json(&querier_v1_select_merge_stacktraces_response_msg, &whole, out);
        else
            msg_to_json(&google_v1_profile_msg, &p, out);
    }
    arena_free(&a);
    return rc;
}

int merge_profile(const struct str *parts, size_t count, const struct merge_profile_ask *ask,
                  struct mem_account *account, struct buf *out, struct err *err)
{
    struct pprof_out *p = NULL;
    struct profile_type t = {0};
    struct buf bytes = {0};
    int rc = profile_type_parse(ask->profile_type, &t, err);
    if (rc != 0)
        return rc;
    rc = pprof_out_init(&p, account);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = pprof_out_merge(p, parts[i], err);
    if (rc == 0 && ask->max_stacks > 0)
        rc = pprof_out_cut(p, ask->max_stacks);
    if (rc == 0) {
        struct pprof_head head = {
            .type = t.sample_type,
            .unit = t.sample_unit,
            .period_type = t.period_type,
            .period_unit = t.period_unit,
            .time_ns = ask->end_ms * NS_PER_MS,
            .duration_ns = (ask->end_ms - ask->start_ms) * NS_PER_MS,
            .period = pprof_out_period(t.name),
        };
        rc = pprof_out_emit(p, &head, &bytes);
    }
    if (rc != 0)
        (void)err_set(err, rc, "merging profiles: %s", err_text(rc));
    else
        rc = put_profile(buf_view(&bytes), ask, out, err);
    buf_reset(&bytes);
    pprof_out_free(&p);
    return rc != 0 ? rc : buffer_error(out, err);
}

/* --- series ------------------------------------------------------------------------------- */

int merge_series_sets(const struct str *parts, size_t count, const struct series_grid *grid,
                      struct mem_account *account, struct series_set **out, struct err *err)
{
    struct series_set *s = NULL;
    int rc = series_init(&s, grid, account);
    if (rc != 0)
        return err_set(err, rc, "merging series: %s", err_text(rc));
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = series_decode(s, parts[i], err);
    if (rc != 0) {
        series_free(&s);
        return rc;
    }
    *out = s;
    return 0;
}

int merge_series(const struct str *parts, size_t count, const struct merge_series_ask *ask,
                 struct mem_account *account, struct buf *out, struct err *err)
{
    struct series_set *s = NULL;
    struct arena *a = NULL;
    struct series_row *rows = NULL;
    size_t row_count = 0;
    int rc = merge_series_sets(parts, count, &ask->grid, account, &s, err);
    if (rc != 0)
        return rc;
    rc = arena_init(&a, 0, account);
    if (rc == 0)
        rc = series_finish(s, ask->how, ask->limit, a, &rows, &row_count);
    if (rc != 0)
        (void)err_set(err, rc, "adding up series: %s", err_text(rc));
    else
        respond_series(rows, row_count, ask->json, out);
    arena_free(&a);
    series_free(&s);
    return rc != 0 ? rc : buffer_error(out, err);
}

/* --- names -------------------------------------------------------------------------------- */

/* Sort and drop what is equal. */
static size_t unique(void *items, size_t count, size_t size,
                     int (*cmp)(const void *, const void *))
{
    char *base = items;
    size_t n = 0;
    if (count == 0)
        return 0;
    qsort(base, count, size, cmp);
    for (size_t i = 1; i < count; i++)
        if (cmp(base + n * size, base + i * size) != 0)
            memmove(base + ++n * size, base + i * size, size);
    return n + 1;
}

static int cmp_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static int cmp_type(const void *a, const void *b)
{
    const struct types_v1_profile_type *x = a, *y = b;
    return str_cmp(x->id, y->id);
}

static int cmp_labels(const void *a, const void *b)
{
    const struct types_v1_labels *x = a, *y = b;
    size_t n = x->labels_count < y->labels_count ? x->labels_count : y->labels_count;
    for (size_t i = 0; i < n; i++) {
        int c = str_cmp(x->labels[i].name, y->labels[i].name);
        if (c == 0)
            c = str_cmp(x->labels[i].value, y->labels[i].value);
        if (c != 0)
            return c;
    }
    return (x->labels_count > y->labels_count) - (x->labels_count < y->labels_count);
}

/* A growing array of elements in heap memory. */
struct pile {
    char *items;
    size_t count, cap, size; /* size of an element */
};

static int pile_add(struct pile *p, const void *items, size_t count)
{
    if (p->count + count > p->cap) {
        size_t cap = (p->count + count) * 2;
        void *grown = mem_realloc_array(p->items, cap, p->size);
        if (grown == NULL)
            return ERR_NOMEM;
        p->items = grown;
        p->cap = cap;
    }
    if (count > 0)
        memcpy(p->items + p->count * p->size, items, count * p->size);
    p->count += count;
    return 0;
}

static void put(const struct msg_type *type, const void *answer, bool json, struct buf *out)
{
    if (json)
        msg_to_json(type, answer, out);
    else
        msg_encode(type, answer, out);
}

/* What one kind of metadata answer is made of. */
struct kind {
    const char *method;
    const struct msg_type *type;
    size_t element; /* size; 0: GetProfileStats */
    int (*cmp)(const void *, const void *);
};

static const struct kind kinds[] = {
    {"ProfileTypes", &querier_v1_profile_types_response_msg,
     sizeof(struct types_v1_profile_type), cmp_type},
    {"LabelNames", &types_v1_label_names_response_msg, sizeof(struct str), cmp_str},
    {"LabelValues", &types_v1_label_values_response_msg, sizeof(struct str), cmp_str},
    {"Series", &querier_v1_series_response_msg, sizeof(struct types_v1_labels), cmp_labels},
    {"GetProfileStats", &types_v1_get_profile_stats_response_msg, 0, NULL},
};

/* All four list answers have this shape: a count and an array. */
struct list_answer {
    size_t count;
    void *items;
};
_Static_assert(sizeof(struct list_answer) == sizeof(struct querier_v1_series_response) &&
                   sizeof(struct list_answer) == sizeof(struct types_v1_label_names_response) &&
                   sizeof(struct list_answer) ==
                       sizeof(struct types_v1_label_values_response) &&
                   sizeof(struct list_answer) ==
                       sizeof(struct querier_v1_profile_types_response),
               "an answer that is one repeated field");

static void hide_names(const struct merge_names_ask *ask, struct list_answer *answer)
{
    if (ask->utf8)
        return;
    if (str_eq(str_c(ask->method), STR("LabelNames"))) {
        struct str *names = answer->items;
        size_t n = 0;
        for (size_t i = 0; i < answer->count; i++)
            if (label_name_is_legacy(names[i]))
                names[n++] = names[i];
        answer->count = n;
    } else if (str_eq(str_c(ask->method), STR("Series")) && ask->all_labels) {
        struct types_v1_labels *sets = answer->items;
        for (size_t i = 0; i < answer->count; i++) {
            size_t n = 0;
            for (size_t k = 0; k < sets[i].labels_count; k++)
                if (label_name_is_legacy(sets[i].labels[k].name))
                    sets[i].labels[n++] = sets[i].labels[k];
            sets[i].labels_count = n;
        }
    }
}

static int merge_lists(const struct kind *kind, const struct str *parts, size_t count,
                       const struct merge_names_ask *ask, struct arena *a, struct buf *out,
                       struct err *err)
{
    struct pile pile = {.size = kind->element};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct list_answer part;
        struct msg_limits limits = {.elements_max = UINT32_MAX};
        rc = msg_decode(kind->type, &part, parts[i], a, &limits, err);
        if (rc == 0 && pile_add(&pile, part.items, part.count) != 0)
            rc = err_set(err, ERR_NOMEM, "no memory for names");
    }
    if (rc == 0) {
        struct list_answer answer = {pile.count, pile.items};
        hide_names(ask, &answer);
        answer.count = unique(pile.items, answer.count, kind->element, kind->cmp);
        put(kind->type, &answer, ask->json, out);
    }
    mem_free(pile.items);
    return rc;
}

static int merge_stats(const struct str *parts, size_t count, bool json, struct arena *a,
                       struct buf *out, struct err *err)
{
    struct types_v1_get_profile_stats_response all = {0}, one;
    for (size_t i = 0; i < count; i++) {
        int rc =
            msg_decode(&types_v1_get_profile_stats_response_msg, &one, parts[i], a, NULL, err);
        if (rc != 0)
            return rc;
        if (!one.data_ingested)
            continue;
        if (!all.data_ingested || one.oldest_profile_time < all.oldest_profile_time)
            all.oldest_profile_time = one.oldest_profile_time;
        if (!all.data_ingested || one.newest_profile_time > all.newest_profile_time)
            all.newest_profile_time = one.newest_profile_time;
        all.data_ingested = true;
    }
    put(&types_v1_get_profile_stats_response_msg, &all, json, out);
    return 0;
}

int merge_names(const struct str *parts, size_t count, const struct merge_names_ask *ask,
                struct buf *out, struct err *err)
{
    struct arena *a = NULL;
    const struct kind *kind = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_eq(str_c(ask->method), str_c(kinds[i].method)))
            kind = &kinds[i];
    if (kind == NULL)
        return err_set(err, ERR_UNIMPLEMENTED, "%s has no names", ask->method);
    int rc = arena_init(&a, 0, NULL);
    if (rc != 0)
        return err_set(err, rc, "no memory for names");
    if (kind->element == 0)
        rc = merge_stats(parts, count, ask->json, a, out, err);
    else
        rc = merge_lists(kind, parts, count, ask, a, out, err);
    arena_free(&a);
    return rc != 0 ? rc : buffer_error(out, err);
}
