/* Final labels of the groups of a profile. */
#include "profile/ingest_priv.h"

#include "base/mem.h"

/* Labels that the default rules add at most, beside those of series and samples. */
enum { RULE_LABELS = 2 };

static const struct str hidden[] = {
    /* Said per sample type, or a hint for us: not part of the stream's labels. */
    STR_INIT("__name__"),         STR_INIT("__type__"),        STR_INIT("__unit__"),
    STR_INIT("__period_type__"),  STR_INIT("__period_unit__"), STR_INIT("__profile_type__"),
    STR_INIT("__service_name__"), STR_INIT("__delta__"),       STR_INIT("__otel__"),
    STR_INIT("__order__"),
};

static bool is_hidden(struct str name)
{
    if (!str_starts_with(name, STR("__")))
        return false;
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (str_eq(hidden[i], name))
            return true;
    return false;
}

static struct label *find(struct label *labels, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(labels[i].name, name))
            return &labels[i];
    return NULL;
}

static void set(struct label *labels, size_t *count, struct str name, struct str value)
{
    struct label *l = find(labels, *count, name);
    if (l == NULL)
        l = &labels[(*count)++];
    *l = (struct label){name, value};
}

/* Pyroscope's default relabel rules: godeltaprof's names are the plain ones, already
 * differences; a name "wall" for type cpu is process_cpu. */
static void default_rules(struct label *labels, size_t *count)
{
    static const struct str delta = STR_INIT("godeltaprof_");
    static const struct str replaced = STR_INIT("__name_replaced__");
    struct label *name = find(labels, *count, LABEL_NAME);
    if (name == NULL)
        return;
    struct str old = name->value;
    if (str_starts_with(old, delta) && old.len > delta.len) {
        name->value = str_skip(old, delta.len);
        set(labels, count, replaced, old);
        set(labels, count, STR("__delta__"), STR("false"));
    }
    const struct label *type = find(labels, *count, LABEL_TYPE);
    if (type != NULL && str_eq(type->value, STR("cpu")) && str_eq(name->value, STR("wall"))) {
        name->value = STR("process_cpu");
        set(labels, count, replaced, STR("wall"));
    }
}

/* The labels of group g from those of the series and of its samples, into `work`. */
static size_t merge(const struct pprof *p, const struct label *labels, size_t count,
                    const struct split *s, const struct sample_group *g, struct label *work)
{
    size_t n = count;
    if (count > 0)
        memcpy(work, labels, sizeof *work * count);
    for (uint32_t i = 0; i < g->pair_count; i++) {
        const struct pprof_label_row *pair = &s->pairs[g->first_pair + i];
        /* Two indexes may be of equal text: the first stays. */
        if (find(work, n, p->strings[pair->key]) == NULL)
            work[n++] = (struct label){p->strings[pair->key], p->strings[pair->text]};
    }
    default_rules(work, &n);
    labels_sort(work, n);
    return n;
}

static int finish_group(struct sample_group *g, const struct label *work, size_t n,
                        struct arena *a)
{
    g->labels = arena_alloc(a, sizeof *g->labels * (n + 1));
    if (g->labels == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        if (!is_hidden(work[i].name))
            g->labels[g->label_count++] = (struct form_pair){work[i].name, work[i].value};
    g->name = labels_get((struct labels){work, n}, LABEL_NAME);
    g->service = labels_get((struct labels){work, n}, LABEL_SERVICE);
    return 0;
}

static bool same_labels(const struct sample_group *a, const struct sample_group *b)
{
    if (a->label_count != b->label_count || !str_eq(a->name, b->name))
        return false;
    for (uint32_t i = 0; i < a->label_count; i++)
        if (!str_eq(a->labels[i].name, b->labels[i].name) ||
            !str_eq(a->labels[i].value, b->labels[i].value))
            return false;
    return true;
}

static uint64_t hash_labels(const struct sample_group *g)
{
    uint64_t h = str_hash(g->name);
    for (uint32_t i = 0; i < g->label_count; i++)
        h = (h ^ str_hash(g->labels[i].name)) * 0x9e3779b97f4a7c15u +
            str_hash(g->labels[i].value);
    return h ^ h >> 29;
}

/* Point groups with equal final labels at the first of them, and chain them. */
static int join_groups(struct split *s, struct arena *a)
{
    uint32_t size = 16;
    while (size < s->group_count * 2)
        size *= 2;
    uint32_t *slots = arena_calloc(a, size, sizeof *slots);
    uint32_t *last = arena_alloc(a, sizeof *last * s->group_count);
    if (slots == NULL || last == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->group_count; i++) {
        uint32_t at = (uint32_t)hash_labels(&s->groups[i]) & (size - 1);
        while (slots[at] != 0 && !same_labels(&s->groups[slots[at] - 1], &s->groups[i]))
            at = (at + 1) & (size - 1);
        if (slots[at] == 0)
            slots[at] = i + 1;
        uint32_t first = slots[at] - 1;
        s->groups[i].same_as = first;
        if (first != i)
            s->groups[last[first]].next = i;
        last[first] = i;
    }
    return 0;
}

int ingest_group_labels(const struct pprof *p, const struct ingest *in,
                        const struct label *labels, size_t count, struct split *s,
                        enum discard *reason, struct err *err)
{
    size_t most = 0;
    for (uint32_t i = 0; i < s->group_count; i++)
        most = s->groups[i].pair_count > most ? s->groups[i].pair_count : most;
    struct label *work = arena_alloc(in->arena, sizeof *work * (count + most + RULE_LABELS));
    if (work == NULL)
        return err_set(err, ERR_NOMEM, "no memory for labels");
    for (uint32_t i = 0; i < s->group_count; i++) {
        size_t n = merge(p, labels, count, s, &s->groups[i], work);
        int rc = 0;
        if (in->limits->sanitize_label_names)
            rc = labels_sanitize(work, &n, in->arena, reason, err);
        rc = rc != 0 ? rc : labels_validate(work, n, in->limits, reason, err);
        if (rc != 0)
            return rc;
        if (finish_group(&s->groups[i], work, n, in->arena) != 0)
            return err_set(err, ERR_NOMEM, "no memory for labels");
    }
    if (s->group_count > 1 && join_groups(s, in->arena) != 0)
        return err_set(err, ERR_NOMEM, "no memory for labels");
    return 0;
}
