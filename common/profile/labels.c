/* profile/labels.c - label sets are small arrays: sorted once, searched by a scan. */
#include "profile/labels.h"

#include "base/mem.h"
#include "profile/form.h"
#include "wire/hash.h"

#include <stdlib.h>
#include <string.h>

static int label_cmp(const struct label *a, const struct label *b)
{
    int c = str_cmp(a->name, b->name);
    return c != 0 ? c : str_cmp(a->value, b->value);
}

int labels_cmp(struct labels a, struct labels b)
{
    for (size_t i = 0; i < a.count && i < b.count; i++) {
        int c = label_cmp(&a.items[i], &b.items[i]);
        if (c != 0)
            return c;
    }
    return (a.count > b.count) - (a.count < b.count);
}

static int compare(const void *a, const void *b)
{
    return label_cmp(a, b);
}

void labels_sort(struct label *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (label_cmp(&items[i - 1], &items[i]) > 0) {
            qsort(items, count, sizeof *items, compare);
            return;
        }
    }
}

struct str labels_get(struct labels set, struct str name)
{
    for (size_t i = 0; i < set.count; i++)
        if (str_eq(set.items[i].name, name))
            return set.items[i].value;
    return STR("");
}

static bool is_among(struct str name, const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}

int labels_keep(struct labels set, const struct str *names, size_t name_count, struct arena *a,
                struct labels *out)
{
    struct label *items = arena_calloc(a, set.count, sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    size_t n = 0;
    for (size_t i = 0; i < set.count; i++)
        if (is_among(set.items[i].name, names, name_count))
            items[n++] = set.items[i];
    *out = (struct labels){items, n};
    return 0;
}

int labels_dup(struct labels set, struct arena *a, struct labels *out)
{
    struct label *items = arena_calloc(a, set.count, sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < set.count; i++) {
        items[i].name = str_dup(a, set.items[i].name);
        items[i].value = str_dup(a, set.items[i].value);
        if (items[i].name.data == NULL || items[i].value.data == NULL)
            return ERR_NOMEM;
    }
    *out = (struct labels){items, set.count};
    return 0;
}

uint64_t labels_hash(struct labels set)
{
    uint64_t h = set.count;
    for (size_t i = 0; i < set.count; i++) {
        h = (h ^ str_hash(set.items[i].name)) * 0x9e3779b97f4a7c15u;
        h = (h ^ (h >> 29) ^ str_hash(set.items[i].value)) * 0xbf58476d1ce4e5b9u;
    }
    return h ^ (h >> 32);
}

uint64_t labels_fingerprint(struct labels set)
{
    struct hash_xxh64 h;
    hash_xxh64_begin(&h, 0);
    for (size_t i = 0; i < set.count; i++) {
        hash_xxh64_add(&h, set.items[i].name);
        hash_xxh64_add(&h, STR("\xff"));
        hash_xxh64_add(&h, set.items[i].value);
        hash_xxh64_add(&h, STR("\xff"));
    }
    return hash_xxh64_end(&h);
}

static void print_quoted(struct str s, struct buf *out)
{
    buf_u8(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '"' || s.data[i] == '\\')
            buf_u8(out, '\\');
        if (s.data[i] == '\n')
            buf_c(out, "\\n");
        else
            buf_u8(out, (uint8_t)s.data[i]);
    }
    buf_u8(out, '"');
}

void labels_print(struct labels set, struct buf *out)
{
    buf_u8(out, '{');
    for (size_t i = 0; i < set.count; i++) {
        if (i > 0)
            buf_c(out, ", ");
        if (label_name_is_legacy(set.items[i].name))
            buf_str(out, set.items[i].name);
        else
            print_quoted(set.items[i].name, out);
        buf_u8(out, '=');
        print_quoted(set.items[i].value, out);
    }
    buf_u8(out, '}');
}

enum { PRIVATE_COUNT = 7 };

/* The private labels of a series, those without value included, in name order. */
static void private_labels(struct str service, struct str type_id, const struct form_member *m,
                           struct label out[PRIVATE_COUNT])
{
    out[0] = (struct label){LABEL_NAME, m->name};
    out[1] = (struct label){LABEL_PERIOD_TYPE, m->period_type};
    out[2] = (struct label){LABEL_PERIOD_UNIT, m->period_unit};
    out[3] = (struct label){LABEL_PROFILE_TYPE, type_id};
    out[4] = (struct label){LABEL_PRIVATE_SERVICE, service};
    out[5] = (struct label){LABEL_TYPE, m->type};
    out[6] = (struct label){LABEL_UNIT, m->unit};
}

static bool is_private(struct str name, const struct label own[PRIVATE_COUNT])
{
    if (!str_starts_with(name, STR("__")))
        return false;
    for (size_t i = 0; i < PRIVATE_COUNT; i++)
        if (str_eq(name, own[i].name))
            return true;
    return false;
}

/* The text of the type of *m, in the arena; data NULL: no memory. */
static struct str type_of_member(const struct form_member *m, struct arena *a)
{
    const struct str parts[] = {m->name, m->type, m->unit, m->period_type, m->period_unit};
    size_t len = 4;
    for (size_t i = 0; i < 5; i++)
        len += parts[i].len;
    char *text = arena_alloc(a, len);
    if (text == NULL)
        return str_of(NULL, 0);
    size_t at = 0;
    for (size_t i = 0; i < 5; i++) {
        if (i > 0)
            text[at++] = ':';
        if (parts[i].len > 0)
            memcpy(text + at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    return str_of(text, len);
}

int labels_of_series(const struct form_pair *pairs, size_t pair_count,
                     const struct form_member *m, struct arena *a, struct labels *out)
{
    struct label own[PRIVATE_COUNT];
    struct str service = STR("");
    for (size_t i = 0; i < pair_count; i++)
        if (str_eq(pairs[i].name, LABEL_SERVICE))
            service = pairs[i].value;
    struct str type_id = type_of_member(m, a);
    struct label *items = arena_calloc(a, pair_count + PRIVATE_COUNT, sizeof *items);
    if (type_id.data == NULL || items == NULL)
        return ERR_NOMEM;
    private_labels(service, type_id, m, own);
    size_t n = 0;
    for (size_t i = 0; i < PRIVATE_COUNT; i++)
        if (own[i].value.len > 0)
            items[n++] = own[i];
    for (size_t i = 0; i < pair_count; i++)
        if (pairs[i].value.len > 0 && !is_private(pairs[i].name, own))
            items[n++] = (struct label){pairs[i].name, pairs[i].value};
    labels_sort(items, n);
    *out = (struct labels){items, n};
    return 0;
}

bool label_name_is_legacy(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.len > 0;
}

int profile_type_parse(struct str text, struct profile_type *out, struct err *err)
{
    struct str part[6], rest = text;
    size_t n = 0;
    while (n < 6 && str_cut(&rest, ':', &part[n]))
        n++;
    bool whole = rest.data == NULL && (n == 5 || (n == 6 && str_eq(part[5], STR("delta"))));
    if (!whole)
        return err_set(err, ERR_PARSE,
                       "profile type must be <name>:<sample type>:<sample unit>:<period type>:"
                       "<period unit>(:delta), got \"%.*s\"",
                       STR_ARG(str_head(text, 100)));
    *out = (struct profile_type){part[0], part[1], part[2], part[3], part[4]};
    return 0;
}

void profile_type_print(const struct profile_type *t, struct buf *out)
{
    const struct str parts[] = {t->name, t->sample_type, t->sample_unit, t->period_type,
                                t->period_unit};
    for (size_t i = 0; i < 5; i++) {
        if (i > 0)
            buf_u8(out, ':');
        buf_str(out, parts[i]);
    }
}
