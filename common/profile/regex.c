/* profile/regex.c - takes out the patterns that need no engine (nine out of ten matchers are a
 * literal, an alternation of literals, or a literal with .* or .+ around it) and expands
 * templates.
 *
 * In the plain patterns `.` stands for any byte, in RE2 for a character of well-formed UTF-8:
 * they differ only for malformed texts, where Go's regexp sides with the plain ones. */
#include "profile/regex.h"

#include "base/mem.h"
#include "profile/regex_priv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum wild { WILD_NONE, WILD_ANY, WILD_SOME }; /* nothing, .*, .+ */

struct regex {
    struct engine *engine;   /* NULL: a plain pattern */
    bool grouped;            /* plain pattern in (...): group 1 is the text */
    enum wild before, after; /* of a plain pattern with one literal */
    struct str *literals;    /* sorted; their bytes lie in `bytes` */
    size_t count;
    char *bytes;
};

static bool is_meta(char c)
{
    return strchr("\\.+*?()|[]{}^$", c) != NULL; /* NUL too: left to the engine */
}

static bool is_punct(char c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

/* Read literal bytes from *p up to a '|', a '.' or the end into `to`. False: not plain. */
static bool take_literal(struct str *p, char *to, size_t *len)
{
    *len = 0;
    while (p->len > 0 && p->data[0] != '|' && p->data[0] != '.') {
        char c = p->data[0];
        if (c == '\\') {
            if (p->len < 2 || !is_punct(p->data[1]))
                return false;
            c = p->data[1];
            *p = str_skip(*p, 1);
        } else if (is_meta(c)) {
            return false;
        }
        to[(*len)++] = c;
        *p = str_skip(*p, 1);
    }
    /* A repetition would bind to the last byte of the literal, but those are meta bytes. */
    return true;
}

static enum wild take_wild(struct str *p)
{
    enum wild w = WILD_NONE;
    if (str_starts_with(*p, STR(".*")))
        w = WILD_ANY;
    else if (str_starts_with(*p, STR(".+")))
        w = WILD_SOME;
    bool more = w != WILD_NONE && p->len > 2 && strchr("?*+{", p->data[2]) != NULL;
    if (w == WILD_NONE || more)
        return WILD_NONE;
    *p = str_skip(*p, 2);
    return w;
}

static int compare(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Fill re->literals from `p`. False: not plain. There is room for every literal and byte of p. */
static bool take_plain(struct regex *re, struct str p)
{
    size_t used = 0;
    for (;;) {
        size_t len;
        enum wild before = take_wild(&p);
        if (!take_literal(&p, re->bytes + used, &len))
            return false;
        enum wild after = take_wild(&p);
        if (p.len > 0 && p.data[0] != '|')
            return false;
        re->before = before;
        re->after = after;
        bool wild = before != WILD_NONE || after != WILD_NONE;
        if (wild && (re->count > 0 || p.len > 0))
            return false; /* only pure literals alternate */
        if (before != WILD_NONE && after != WILD_NONE && len == 0)
            return false; /* .+.+ counts characters */
        re->literals[re->count++] = str_of(re->bytes + used, len);
        used += len;
        if (p.len == 0)
            break;
        p = str_skip(p, 1);
    }
    qsort(re->literals, re->count, sizeof *re->literals, compare);
    return true;
}

static struct str unwrap(struct str p, bool *grouped)
{
    *grouped = false;
    if (p.len < 2 || p.data[0] != '(' || p.data[p.len - 1] != ')')
        return p;
    bool escaped = p.data[p.len - 2] == '\\';
    if (escaped)
        return p; /* \) may close nothing: left to the engine, as is \\) */
    if (str_starts_with(p, STR("(?:")))
        return str_head(str_skip(p, 3), p.len - 4);
    *grouped = true;
    return str_head(str_skip(p, 1), p.len - 2);
}

static int init_plain(struct regex *re, struct str pattern, bool *plain)
{
    *plain = false;
    if (!str_is_utf8(pattern))
        return 0;
    struct str p = unwrap(pattern, &re->grouped);
    size_t alternatives = 1;
    for (size_t i = 0; i < p.len; i++)
        alternatives += p.data[i] == '|';
    re->literals = mem_calloc(alternatives, sizeof *re->literals);
    re->bytes = mem_alloc(p.len + 1);
    if (re->literals == NULL || re->bytes == NULL)
        return ERR_NOMEM;
    *plain = take_plain(re, p);
    return 0;
}

static int init_engine(struct regex *re, struct str pattern, struct err *err)
{
    char why[160];
    mem_free(re->literals);
    mem_free(re->bytes);
    re->literals = NULL;
    re->bytes = NULL;
    switch (engine_init(&re->engine, pattern.data, pattern.len, REGEX_PROGRAM_MAX, why,
                        sizeof why)) {
    case ENGINE_OK:
        return 0;
    case ENGINE_SYNTAX:
        return err_set(err, ERR_PARSE, "bad regular expression: %s", why);
    case ENGINE_TOO_LARGE:
        return err_set(err, ERR_LIMIT, "regular expression too large");
    case ENGINE_NO_MEMORY:
        break;
    }
    return err_set(err, ERR_NOMEM, "regular expression: no memory");
}

int regex_init(struct regex **out, struct str pattern, struct err *err)
{
    if (pattern.len > REGEX_BYTES_MAX)
        return err_set(err, ERR_LIMIT,
                       "regular expression of %zu bytes, at most %d are allowed", pattern.len,
                       (int)REGEX_BYTES_MAX);
    struct regex *re = mem_zalloc(sizeof *re);
    if (re == NULL)
        return err_set(err, ERR_NOMEM, "regular expression: no memory");
    bool plain;
    int rc = init_plain(re, pattern, &plain);
    if (rc != 0)
        err_set(err, rc, "regular expression: no memory");
    else if (!plain)
        rc = init_engine(re, pattern, err);
    if (rc != 0) {
        regex_free(&re);
        return rc;
    }
    *out = re;
    return 0;
}

static bool matches_around(const struct regex *re, struct str text)
{
    struct str lit = re->literals[0];
    size_t lead = re->before == WILD_SOME, trail = re->after == WILD_SOME;
    if (text.len < lit.len + lead + trail)
        return false;
    if (re->before == WILD_NONE)
        return str_starts_with(text, lit);
    if (re->after == WILD_NONE)
        return str_ends_with(text, lit);
    return str_contains(str_skip(str_head(text, text.len - trail), lead), lit);
}

static bool matches_plain(const struct regex *re, struct str text)
{
    if (re->before != WILD_NONE || re->after != WILD_NONE)
        return matches_around(re, text);
    if (re->count == 1)
        return str_eq(re->literals[0], text);
    return bsearch(&text, re->literals, re->count, sizeof *re->literals, compare) != NULL;
}

bool regex_matches(const struct regex *re, struct str text)
{
    if (re->engine == NULL)
        return matches_plain(re, text);
    return engine_match(re->engine, text.data, text.len, NULL, 0);
}

struct groups {
    struct engine_span spans[ENGINE_GROUPS_MAX + 1];
    size_t count; /* with group 0 */
};

static bool find_groups(const struct regex *re, struct str text, struct groups *g)
{
    if (re->engine != NULL) {
        g->count = engine_groups(re->engine) + 1;
        return engine_match(re->engine, text.data, text.len, g->spans, g->count);
    }
    g->spans[0] = g->spans[1] = (struct engine_span){text.data, text.len};
    g->count = re->grouped ? 2 : 1;
    return matches_plain(re, text);
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '_';
}

/* Read a group's name behind a dollar: word or {word}. False: not a reference. */
static bool take_reference(struct str *t, struct str *name)
{
    bool braced = t->len > 0 && t->data[0] == '{';
    struct str rest = braced ? str_skip(*t, 1) : *t;
    size_t n = 0;
    while (n < rest.len && is_word(rest.data[n]))
        n++;
    if (n == 0 || (braced && (n == rest.len || rest.data[n] != '}')))
        return false;
    *name = str_head(rest, n);
    *t = str_skip(rest, n + (braced ? 1 : 0));
    return true;
}

static void put_group(const struct regex *re, const struct groups *g, struct str name,
                      struct buf *out)
{
    uint64_t index = 0;
    if (str_u64(name, &index) != 0) {
        index = re->engine == NULL ? 0 : engine_group(re->engine, name.data, name.len);
        if (index == 0)
            return; /* no group of that name */
    }
    if (index < g->count && g->spans[index].data != NULL)
        buf_put(out, g->spans[index].data, g->spans[index].len);
}

bool regex_expand(const struct regex *re, struct str text, struct str tmpl, struct buf *out)
{
    struct groups g;
    if (!find_groups(re, text, &g))
        return false;
    while (tmpl.len > 0) {
        size_t at = str_find(tmpl, '$');
        buf_str(out, str_head(tmpl, at));
        if (at == SIZE_MAX)
            break;
        tmpl = str_skip(tmpl, at + 1);
        struct str name;
        if (take_reference(&tmpl, &name)) {
            put_group(re, &g, name, out);
        } else {
            buf_u8(out, '$');
            if (tmpl.len > 0 && tmpl.data[0] == '$')
                tmpl = str_skip(tmpl, 1);
        }
    }
    return true;
}

void regex_free(struct regex **re)
{
    if (*re == NULL)
        return;
    engine_free((*re)->engine);
    mem_free((*re)->literals);
    mem_free((*re)->bytes);
    mem_free(*re);
    *re = NULL;
}
