/* receive-proxy/relabel_rules.c - the rules of Prometheus' relabel package. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "profile/regex.h"
#include "relabel.h"
#include "wire/hash.h"

#define ACTION_MAP(X)                                                                          \
    X(REPLACE, "replace")                                                                      \
    X(KEEP, "keep")                                                                            \
    X(DROP, "drop")                                                                            \
    X(KEEPEQUAL, "keepequal")                                                                  \
    X(DROPEQUAL, "dropequal")                                                                  \
    X(HASHMOD, "hashmod")                                                                      \
    X(LABELMAP, "labelmap")                                                                    \
    X(LABELDROP, "labeldrop")                                                                  \
    X(LABELKEEP, "labelkeep")                                                                  \
    X(LOWERCASE, "lowercase")                                                                  \
    X(UPPERCASE, "uppercase")

enum action {
#define X(name, text) ACTION_##name,
    ACTION_MAP(X)
#undef X
};

static const char *const action_texts[] = {
#define X(name, text) text,
    ACTION_MAP(X)
#undef X
};

enum { ACTION_COUNT = sizeof action_texts / sizeof *action_texts };

struct rule {
    enum action action;
    struct str *sources;
    size_t source_count;
    struct str separator, replacement, target;
    uint64_t modulus;
    struct regex *regex;
};

struct relabel_rules {
    struct arena *arena;
    struct rule *rules;
    size_t count;
};

/* --- what may stand in a rule -------------------------------------------------------- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_';
}

/* A label's name as Pyroscope takes it: Prometheus' with dots. */
static bool is_label_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_word(s.data[i]) && s.data[i] != '.')
            return false;
    return s.len > 0 && !(s.data[0] >= '0' && s.data[0] <= '9') && s.data[0] != '.';
}

/* A name that may hold $1, ${1}, ${name}. */
static bool is_template(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] != '$') {
            if (!is_word(s.data[i]) && s.data[i] != '.')
                return false;
            continue;
        }
        bool braced = i + 1 < s.len && s.data[i + 1] == '{';
        size_t first = i + (braced ? 2 : 1), end = first;
        while (end < s.len && is_word(s.data[end]))
            end++;
        if (end == first || (braced && (end == s.len || s.data[end] != '}')))
            return false;
        i = braced ? end : end - 1;
    }
    return s.len > 0 && !(s.data[0] >= '0' && s.data[0] <= '9') && s.data[0] != '.';
}

static bool needs_target(enum action a)
{
    return a == ACTION_REPLACE || a == ACTION_HASHMOD || a == ACTION_KEEPEQUAL ||
           a == ACTION_DROPEQUAL || a == ACTION_LOWERCASE || a == ACTION_UPPERCASE;
}

static int check_target(enum action a, const struct set_rule *s, struct err *err)
{
    const char *name = action_texts[a];
    if (!needs_target(a))
        return 0;
    if (s->target_label.len == 0)
        return err_set(err, ERR_INVAL,
                       "relabel configuration for %s action requires 'target_label' value",
                       name);
    if (a == ACTION_REPLACE ? !is_template(s->target_label) : !is_label_name(s->target_label))
        return err_set(err, ERR_INVAL, "\"%.*s\" is invalid 'target_label' for %s action",
                       STR_ARG(s->target_label), name);
    return 0;
}

static int check(enum action a, const struct set_rule *s, struct err *err)
{
    const char *name = action_texts[a];
    bool plain_regex = str_eq(s->regex, STR("(.*)")), no_modulus = s->modulus <= 0,
         plain_separator = str_eq(s->separator, STR(";")),
         plain_replacement = str_eq(s->replacement, STR("$1"));
    if (a == ACTION_HASHMOD && no_modulus)
        return err_set(err, ERR_INVAL,
                       "relabel configuration for hashmod requires non-zero modulus");
    if (check_target(a, s, err) != 0)
        return ERR_INVAL;
    if ((a == ACTION_LOWERCASE || a == ACTION_UPPERCASE) && !plain_replacement)
        return err_set(err, ERR_INVAL, "'replacement' can not be set for %s action", name);
    if (a == ACTION_LABELMAP && !is_template(s->replacement))
        return err_set(err, ERR_INVAL, "\"%.*s\" is invalid 'replacement' for %s action",
                       STR_ARG(s->replacement), name);
    if ((a == ACTION_LABELDROP || a == ACTION_LABELKEEP) &&
        (s->source_labels.count > 0 || s->target_label.len > 0 || !no_modulus ||
         !plain_separator || !plain_replacement))
        return err_set(err, ERR_INVAL, "%s action requires only 'regex', and no other fields",
                       name);
    if ((a == ACTION_KEEPEQUAL || a == ACTION_DROPEQUAL) &&
        (!plain_regex || !no_modulus || !plain_separator || !plain_replacement))
        return err_set(
            err, ERR_INVAL,
            "%s action requires only 'source_labels' and 'target_label', and no other "
            "fields",
            name);
    return 0;
}

/* --- compiling ------------------------------------------------------------ */

static int copy_strings(struct rule *r, const struct set_rule *s, struct arena *a)
{
    r->sources = arena_calloc(a, s->source_labels.count + 1, sizeof *r->sources);
    if (r->sources == NULL)
        return ERR_NOMEM;
    r->source_count = s->source_labels.count;
    for (size_t i = 0; i < r->source_count; i++) {
        r->sources[i] = str_dup(a, s->source_labels.items[i]);
        if (r->sources[i].data == NULL)
            return ERR_NOMEM;
    }
    r->separator = str_dup(a, s->separator);
    r->replacement = str_dup(a, s->replacement);
    r->target = str_dup(a, s->target_label);
    bool good =
        r->separator.data != NULL && r->replacement.data != NULL && r->target.data != NULL;
    return good ? 0 : ERR_NOMEM;
}

static int compile(struct rule *r, const struct set_rule *s, struct arena *a, struct err *err)
{
    size_t i = 0;
    while (i < ACTION_COUNT && !str_eq_nocase(s->action, str_c(action_texts[i])))
        i++;
    if (i == ACTION_COUNT)
        return err_set(err, ERR_INVAL, "unknown relabel action \"%.*s\"", STR_ARG(s->action));
    r->action = (enum action)i;
    r->modulus = s->modulus > 0 ? (uint64_t)s->modulus : 0;
    int rc = check(r->action, s, err);
    if (rc != 0)
        return rc;
    if (copy_strings(r, s, a) != 0)
        return err_set(err, ERR_NOMEM, "no memory for relabel rules");
    rc = regex_init(&r->regex, s->regex, err);
    if (rc != 0 && rc != ERR_NOMEM) {
        err_wrap(err, "regex");
        rc = ERR_INVAL;
        if (err != NULL)
            err->code = rc; /* the text says it all */
    }
    return rc;
}

int relabel_rule_check(const struct set_rule *s, struct err *err)
{
    struct arena *a = NULL;
    struct rule rule = {0};
    if (arena_init(&a, 256, NULL) != 0)
        return err_set(err, ERR_NOMEM, "no memory for relabel rules");
    int rc = compile(&rule, s, a, err);
    regex_free(&rule.regex);
    arena_free(&a);
    return rc;
}

int relabel_rules_init(struct relabel_rules **out, const struct set_rule *rules, size_t count,
                       struct err *err)
{
    struct relabel_rules *r = mem_zalloc(sizeof *r);
    if (r == NULL || arena_init(&r->arena, 1024, NULL) != 0) {
        mem_free(r);
        return err_set(err, ERR_NOMEM, "no memory for relabel rules");
    }
    int rc = 0;
    r->rules = arena_calloc(r->arena, count + 1, sizeof *r->rules);
    if (r->rules == NULL)
        rc = err_set(err, ERR_NOMEM, "no memory for relabel rules");
    for (; rc == 0 && r->count < count; r->count++) {
        rc = compile(&r->rules[r->count], &rules[r->count], r->arena, err);
        if (rc != 0)
            err_wrap(err, "rule %zu", r->count + 1);
    }
    if (rc != 0) {
        relabel_rules_free(&r);
        return rc;
    }
    *out = r;
    return 0;
}

void relabel_rules_free(struct relabel_rules **r)
{
    if (*r == NULL)
        return;
    for (size_t i = 0; i < (*r)->count; i++)
        regex_free(&(*r)->rules[i].regex);
    arena_free(&(*r)->arena);
    mem_free(*r);
    *r = NULL;
}

/* --- applying ------------------------------------------------------------ */

struct work {
    struct arena *arena;
    struct label *items;
    size_t count, room;
    int error;
};

static struct str get(const struct work *w, struct str name)
{
    for (size_t i = 0; i < w->count; i++)
        if (str_eq(w->items[i].name, name))
            return w->items[i].value;
    return STR("");
}

/* An empty value takes the label away. */
static void set(struct work *w, struct str name, struct str value)
{
    size_t at = 0;
    while (at < w->count && !str_eq(w->items[at].name, name))
        at++;
    if (value.len == 0) {
        if (at < w->count)
            w->items[at] = w->items[--w->count];
        return;
    }
    if (at == w->count) {
        if (w->count == w->room) {
            size_t room = w->room * 2 + 8;
            struct label *more = arena_alloc(w->arena, room * sizeof *more);
            if (more == NULL) {
                w->error = ERR_NOMEM;
                return;
            }
            if (w->count > 0)
                memcpy(more, w->items, w->count * sizeof *more);
            w->items = more;
            w->room = room;
        }
        w->count++;
    }
    w->items[at] = (struct label){name, value};
}

/* Move a buffer's bytes into the arena. */
static struct str settle(struct work *w, struct buf *b)
{
    struct str s = b->error != 0 ? (struct str){0} : str_dup(w->arena, buf_view(b));
    if (s.data == NULL)
        w->error = ERR_NOMEM;
    buf_reset(b);
    return s;
}

static struct str join(struct work *w, const struct rule *r)
{
    struct buf b = {0};
    if (r->source_count == 0)
        return STR("");
    if (r->source_count == 1)
        return get(w, r->sources[0]);
    for (size_t i = 0; i < r->source_count; i++) {
        if (i > 0)
            buf_str(&b, r->separator);
        buf_str(&b, get(w, r->sources[i]));
    }
    return settle(w, &b);
}

static void replace(struct work *w, const struct rule *r, struct str text)
{
    struct buf b = {0};
    struct str target = r->target;
    if (str_find(target, '$') != SIZE_MAX) {
        if (!regex_expand(r->regex, text, target, &b)) {
            buf_reset(&b);
            return;
        }
        target = settle(w, &b);
    } else if (!regex_matches(r->regex, text)) {
        return;
    }
    if (w->error != 0 || !is_label_name(target))
        return;
    regex_expand(r->regex, text, r->replacement, &b);
    struct str value = settle(w, &b);
    if (w->error == 0)
        set(w, target, value);
}

/* Of ASCII only, as the names and values that are compared this way are. */
static void change_case(struct work *w, const struct rule *r, struct str text, bool upper)
{
    char *copy = arena_dup(w->arena, text.data == NULL ? "" : text.data, text.len);
    if (copy == NULL) {
        w->error = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (upper && copy[i] >= 'a' && copy[i] <= 'z')
            copy[i] = (char)(copy[i] - 'a' + 'A');
        else if (!upper && copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] - 'A' + 'a');
    }
    set(w, r->target, str_of(copy, text.len));
}

static void hash_mod(struct work *w, const struct rule *r, struct str text)
{
    uint8_t md5[MD5_SIZE];
    uint64_t n = 0;
    struct buf b = {0};
    hash_md5(text, md5);
    for (size_t i = MD5_SIZE - 8; i < MD5_SIZE; i++)
        n = n << 8 | md5[i];
    buf_udec(&b, n % r->modulus);
    struct str value = settle(w, &b);
    if (w->error == 0)
        set(w, r->target, value);
}

static void map_names(struct work *w, const struct rule *r)
{
    size_t count = w->count;
    struct label *before = arena_dup(w->arena, w->items, count * sizeof *before);
    if (before == NULL) {
        w->error = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < count && w->error == 0; i++) {
        struct buf b = {0};
        if (!regex_expand(r->regex, before[i].name, r->replacement, &b)) {
            buf_reset(&b);
            continue;
        }
        struct str name = settle(w, &b);
        if (w->error == 0 && name.len > 0)
            set(w, name, before[i].value);
    }
}

static void filter_names(struct work *w, const struct rule *r, bool keep)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++)
        if (regex_matches(r->regex, w->items[i].name) == keep)
            w->items[kept++] = w->items[i];
    w->count = kept;
}

/* False: the item is dropped. */
static bool apply(struct work *w, const struct rule *r)
{
    struct str text = join(w, r);
    if (w->error != 0)
        return true;
    switch (r->action) {
    case ACTION_REPLACE:
        replace(w, r, text);
        break;
    case ACTION_KEEP:
        return regex_matches(r->regex, text);
    case ACTION_DROP:
        return !regex_matches(r->regex, text);
    case ACTION_KEEPEQUAL:
        return str_eq(get(w, r->target), text);
    case ACTION_DROPEQUAL:
        return !str_eq(get(w, r->target), text);
    case ACTION_HASHMOD:
        hash_mod(w, r, text);
        break;
    case ACTION_LABELMAP:
        map_names(w, r);
        break;
    case ACTION_LABELDROP:
        filter_names(w, r, false);
        break;
    case ACTION_LABELKEEP:
        filter_names(w, r, true);
        break;
    case ACTION_LOWERCASE:
        change_case(w, r, text, false);
        break;
    case ACTION_UPPERCASE:
        change_case(w, r, text, true);
        break;
    }
    return true;
}

int relabel_apply(const struct relabel_rules *rules, struct labels in, struct arena *a,
                  struct labels *out, bool *keep)
{
    struct work w = {.arena = a, .room = in.count + 8};
    w.items = arena_alloc(a, w.room * sizeof *w.items);
    if (w.items == NULL)
        return ERR_NOMEM;
    if (in.count > 0)
        memcpy(w.items, in.items, in.count * sizeof *in.items);
    w.count = in.count;
    *keep = true;
    for (size_t i = 0; *keep && i < rules->count; i++) {
        *keep = apply(&w, &rules->rules[i]);
        if (w.error != 0)
            return w.error;
    }
    labels_sort(w.items, w.count);
    *out = (struct labels){w.items, w.count};
    return 0;
}
