/* receive-proxy/labelset.c - sets of labels, made over in an arena. */
#include "labelset.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "profile/ingest_http.h"

#define APP_NAME STR("app_name")

struct work {
    struct label *items;
    size_t count;
};

static int work_init(struct work *w, size_t room, struct arena *a)
{
    w->count = 0;
    w->items = arena_alloc(a, sizeof *w->items * (room + 1));
    return w->items == NULL ? ERR_NOMEM : 0;
}

static struct label *find(const struct work *w, struct str name)
{
    for (size_t i = 0; i < w->count; i++)
        if (str_eq(w->items[i].name, name))
            return &w->items[i];
    return NULL;
}

static void set(struct work *w, struct str name, struct str value)
{
    struct label *l = find(w, name);
    if (l == NULL)
        w->items[w->count++] = (struct label){name, value};
    else
        l->value = value;
}

/* Items of one array: those with one name stay in their order. */
static int compare(const void *a, const void *b)
{
    const struct label *const *x = a, *const *y = b;
    int c = str_cmp((*x)->name, (*y)->name);
    return c != 0 ? c : *x < *y ? -1 : *x > *y;
}

static bool is_rising(const struct label *items, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (str_cmp(items[i - 1].name, items[i].name) >= 0)
            return false;
    return true;
}

/* Add a client's labels to an empty set; of doubles the last wins. A client may send as many as fit
 * into its request, so this may not look for each in all others. */
static int fill(struct work *w, const struct label *items, size_t count, struct arena *a)
{
    if (is_rising(items, count)) { /* nearly all are */
        if (count > 0)
            memcpy(w->items, items, count * sizeof *items);
        w->count = count;
        return 0;
    }
    const struct label **order = arena_alloc(a, count * sizeof *order);
    if (order == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        order[i] = &items[i];
    qsort(order, count, sizeof *order, compare);
    for (size_t i = 0; i < count; i++)
        if (i + 1 == count || !str_eq(order[i]->name, order[i + 1]->name))
            w->items[w->count++] = *order[i];
    return 0;
}

/* Without those that are empty, in order. */
static struct labels finish(struct work *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++)
        if (w->items[i].value.len > 0)
            w->items[kept++] = w->items[i];
    labels_sort(w->items, kept);
    return (struct labels){w->items, kept};
}

static void apply_service_rule(struct work *w)
{
    const struct label *name = find(w, LABEL_NAME);
    const struct label *service = find(w, LABEL_SERVICE);
    struct str app = name == NULL ? STR("") : name->value;
    if (service == NULL || service->value.len == 0)
        set(w, LABEL_SERVICE, app);
    else
        set(w, APP_NAME, app);
}

int labelset_of_name(struct str name, struct arena *a, struct labels *out, struct err *err)
{
    struct ingest_request r;
    struct ingest_query q = {.name = name};
    struct work w;
    if (name.len == 0)
        return err_set(err, ERR_INVAL, "service name is required");
    int rc = ingest_request_open(&q, 0, a, &r, err);
    if (rc != 0)
        return rc;
    if (work_init(&w, r.label_count + 3, a) != 0 ||
        fill(&w, r.labels, r.label_count, a) != 0)
        return err_set(err, ERR_NOMEM, "no memory for labels");
    set(&w, LABEL_NAME, r.app);
    apply_service_rule(&w);
    *out = finish(&w);
    return 0;
}

int labelset_of_series(const struct label *items, size_t count, bool service_rule,
                       struct arena *a, struct labels *out)
{
    struct work w;
    if (work_init(&w, count + 2, a) != 0 || fill(&w, items, count, a) != 0)
        return ERR_NOMEM;
    if (service_rule)
        apply_service_rule(&w);
    *out = finish(&w);
    return 0;
}

/* --- what is refused ------------------------------------------------------------ */

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '_' && c != '.')
            return false;
    }
    return s.len > 0;
}

static bool is_double(const struct label *items, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (str_eq(items[i].name, items[at].name))
            return true;
    return false;
}

int labelset_check(const struct label *items, size_t count, struct err *err)
{
    static const char what[] = "invalid labels in profile";
    enum { SHOWN = 64 };
    if (count == 0)
        return err_set(err, ERR_INVAL, "%s: there are none: service name is required", what);
    for (size_t i = 0; i < count; i++) {
        struct str shown = str_head(items[i].name, SHOWN);
        if (!is_name(items[i].name))
            return err_set(err, ERR_INVAL, "%s: bad label name \"%.*s\"", what, STR_ARG(shown));
        if (!str_is_utf8(items[i].value))
            return err_set(err, ERR_INVAL, "%s: the value of %.*s is not UTF-8", what,
                           STR_ARG(shown));
        /* Sorted sets, which nearly all are, need one comparison. */
        bool rising = i == 0 || str_cmp(items[i - 1].name, items[i].name) < 0;
        if (!rising && is_double(items, i))
            return err_set(err, ERR_INVAL, "%s: %.*s is there twice", what, STR_ARG(shown));
    }
    return 0;
}

/* --- what is sent ------------------------------------------------------------ */

static void add_external(struct work *w, const struct alloy_map *external)
{
    for (size_t i = 0; i < external->count; i++)
        set(w, external->items[i].key, external->items[i].value);
}

int labelset_push(const struct label *items, size_t count, const struct alloy_map *external,
                  struct arena *a, struct labels *out)
{
    struct work w;
    if (work_init(&w, count + external->count, a) != 0)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct str name = items[i].name;
        if (!str_starts_with(name, STR("__")) || str_eq(name, LABEL_NAME) ||
            str_eq(name, STR("__delta__")))
            w.items[w.count++] = items[i];
    }
    add_external(&w, external);
    *out = finish(&w);
    return 0;
}

int labelset_ingest(const struct label *items, size_t count, const struct alloy_map *external,
                    struct arena *a, struct labels *out)
{
    struct work w;
    if (work_init(&w, count + external->count + 1, a) != 0)
        return ERR_NOMEM;
    if (count > 0)
        memcpy(w.items, items, count * sizeof *items);
    w.count = count;
    const struct label *service = find(&w, LABEL_SERVICE);
    if (service != NULL && service->value.len > 0)
        set(&w, LABEL_NAME, service->value);
    add_external(&w, external);
    *out = finish(&w);
    return 0;
}

void labelset_put_name(struct labels set_, struct buf *out)
{
    bool first = true;
    buf_str(out, labels_get(set_, LABEL_NAME));
    buf_u8(out, '{');
    for (size_t i = 0; i < set_.count; i++) {
        if (str_eq(set_.items[i].name, LABEL_NAME))
            continue;
        if (!first)
            buf_u8(out, ',');
        first = false;
        buf_str(out, set_.items[i].name);
        buf_u8(out, '=');
        buf_str(out, set_.items[i].value);
    }
    buf_u8(out, '}');
}
