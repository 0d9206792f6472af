/* profile/selector.c - a recursive descent without recursion: the grammar has one level. */
#include "profile/selector.h"

#include "base/assert.h"
#include "base/mem.h"
#include "profile/regex.h"

#include <string.h>

struct matcher {
    struct str name, value;
    enum matcher_op op;
    struct regex *re; /* of MATCH_RE and MATCH_NOT_RE */
};

struct selector {
    struct matcher *items; /* SELECTOR_MATCHERS_MAX */
    size_t count;
    struct arena *strings;
};

struct str matcher_name(const struct matcher *m)
{
    return m->name;
}

enum matcher_op matcher_op(const struct matcher *m)
{
    return m->op;
}

struct str matcher_value(const struct matcher *m)
{
    return m->value;
}

/* Does the value ("" when the label is absent) fulfil the matcher? */
static bool fulfils(const struct matcher *m, struct str value)
{
    switch (m->op) {
    case MATCH_EQ:
        return str_eq(m->value, value);
    case MATCH_NE:
        return !str_eq(m->value, value);
    case MATCH_RE:
        return regex_matches(m->re, value);
    case MATCH_NOT_RE:
        return !regex_matches(m->re, value);
    }
    UNREACHABLE();
}

static int selector_init(struct selector **out)
{
    struct selector *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    int rc = arena_init(&s->strings, 1024, NULL);
    if (rc != 0) {
        mem_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void selector_free(struct selector **s)
{
    if (*s == NULL)
        return;
    for (size_t i = 0; i < (*s)->count; i++)
        regex_free(&(*s)->items[i].re);
    mem_free((*s)->items);
    arena_free(&(*s)->strings);
    mem_free(*s);
    *s = NULL;
}

/* Room for one more matcher; the array doubles whenever the count is a power of two. */
static int make_room(struct selector *s, struct err *err)
{
    if (s->count == SELECTOR_MATCHERS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d matchers in a selector",
                       (int)SELECTOR_MATCHERS_MAX);
    if ((s->count & (s->count - 1)) != 0)
        return 0;
    size_t cap = s->count == 0 ? 1 : s->count * 2;
    struct matcher *items = mem_realloc_array(s->items, cap, sizeof *items);
    if (items == NULL)
        return err_set(err, ERR_NOMEM, "selector: no memory");
    s->items = items;
    return 0;
}

/* One more matcher; name and value are copied. ERR_NOMEM, ERR_LIMIT, ERR_PARSE: unchanged. */
static int add(struct selector *s, struct str name, enum matcher_op op, struct str value,
               struct err *err)
{
    int rc = make_room(s, err);
    if (rc != 0)
        return rc;
    struct matcher m = {.op = op};
    m.name = str_dup(s->strings, name);
    m.value = str_dup(s->strings, value);
    if (m.name.data == NULL || m.value.data == NULL)
        return err_set(err, ERR_NOMEM, "selector: no memory");
    if (op == MATCH_RE || op == MATCH_NOT_RE) {
        rc = regex_init(&m.re, m.value, err);
        if (rc != 0)
            return rc;
    }
    s->items[s->count++] = m;
    return 0;
}

size_t selector_count(const struct selector *s)
{
    return s->count;
}

const struct matcher *selector_at(const struct selector *s, size_t i)
{
    ASSERT(i < s->count);
    return &s->items[i];
}

bool selector_take_equal(struct selector *s, struct str name, struct str *value)
{
    for (size_t i = 0; i < s->count; i++) {
        struct matcher *m = &s->items[i];
        if (m->op != MATCH_EQ || !str_eq(m->name, name))
            continue;
        *value = m->value;
        memmove(m, m + 1, (s->count - i - 1) * sizeof *m);
        s->count--;
        return true;
    }
    return false;
}

bool selector_matches(const struct selector *s, selector_lookup_fn lookup, const void *arg)
{
    for (size_t i = 0; i < s->count; i++)
        if (!fulfils(&s->items[i], lookup(arg, s->items[i].name)))
            return false;
    return true;
}

static struct str look_in_labels(const void *arg, struct str name)
{
    return labels_get(*(const struct labels *)arg, name);
}

bool selector_matches_labels(const struct selector *s, struct labels set)
{
    return selector_matches(s, look_in_labels, &set);
}

static void print_quoted(struct str v, struct buf *out)
{
    bool utf8 = str_is_utf8(v);
    buf_u8(out, '"');
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.data[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
            buf_printf(out, "\\x%02x", c);
        else
            buf_u8(out, c);
    }
    buf_u8(out, '"');
}

static const char *const op_text[] = {"=", "!=", "=~", "!~"};

void selector_print(const struct selector *s, struct buf *out)
{
    buf_u8(out, '{');
    for (size_t i = 0; i < s->count; i++) {
        const struct matcher *m = &s->items[i];
        if (i > 0)
            buf_u8(out, ',');
        if (label_name_is_legacy(m->name))
            buf_str(out, m->name);
        else
            print_quoted(m->name, out);
        buf_c(out, op_text[m->op]);
        print_quoted(m->value, out);
    }
    buf_u8(out, '}');
}

struct parser {
    struct str text;
    size_t at;
    struct selector *s;
    struct buf scratch; /* of the string being read */
    struct err *err;
};

/* Byte at the reading position, or 0 at the end. */
static char peek(const struct parser *p)
{
    return p->at < p->text.len ? p->text.data[p->at] : '\0';
}

static int unexpected(struct parser *p, const char *wanted)
{
    if (p->at >= p->text.len)
        return err_set(p->err, ERR_PARSE, "selector ends at byte %zu, expected %s", p->at,
                       wanted);
    return err_set(p->err, ERR_PARSE, "selector has \"%.*s\" at byte %zu, expected %s",
                   STR_ARG(str_head(str_skip(p->text, p->at), 16)), p->at, wanted);
}

static void skip_blanks(struct parser *p)
{
    for (;; p->at++) {
        char c = peek(p);
        if (c == '#')
            while (p->at + 1 < p->text.len && p->text.data[p->at + 1] != '\n')
                p->at++;
        else if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
    }
}

static bool is_name_byte(char c, bool first, bool colon)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9') || (colon && c == ':');
}

/* An identifier at the reading position; empty when there is none. */
static struct str take_name(struct parser *p, bool colon)
{
    size_t start = p->at;
    while (is_name_byte(peek(p), p->at == start, colon))
        p->at++;
    return str_of(p->text.data + start, p->at - start);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* `count` digits of `base` at the reading position. */
static int take_number(struct parser *p, unsigned count, unsigned base, uint32_t *out)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < count; i++, p->at++) {
        unsigned d = (unsigned)digit(peek(p));
        if (d >= base)
            return unexpected(p, "a digit of an escape sequence");
        v = v * base + d;
    }
    *out = v;
    return 0;
}

static void put_rune(struct buf *out, uint32_t r)
{
    if (r < 0x80) {
        buf_u8(out, (uint8_t)r);
        return;
    }
    if (r < 0x800) {
        buf_u8(out, (uint8_t)(0xc0 | r >> 6));
    } else {
        if (r < 0x10000) {
            buf_u8(out, (uint8_t)(0xe0 | r >> 12));
        } else {
            buf_u8(out, (uint8_t)(0xf0 | r >> 18));
            buf_u8(out, (uint8_t)(0x80 | ((r >> 12) & 0x3f)));
        }
        buf_u8(out, (uint8_t)(0x80 | ((r >> 6) & 0x3f)));
    }
    buf_u8(out, (uint8_t)(0x80 | (r & 0x3f)));
}

static int take_coded_escape(struct parser *p, char kind)
{
    uint32_t v = 0;
    int rc;
    if (kind == 'x' || (kind >= '0' && kind <= '7')) {
        if (kind != 'x')
            p->at--; /* the first of three octal digits */
        rc = kind == 'x' ? take_number(p, 2, 16, &v) : take_number(p, 3, 8, &v);
        if (rc == 0 && v > 255)
            return unexpected(p, "an octal escape of at most 377");
        buf_u8(&p->scratch, (uint8_t)v);
        return rc;
    }
    rc = take_number(p, kind == 'u' ? 4 : 8, 16, &v);
    if (rc == 0 && (v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)))
        return unexpected(p, "an escape of a Unicode character");
    put_rune(&p->scratch, rc == 0 ? v : 0);
    return rc;
}

static int take_escape(struct parser *p, char quote)
{
    static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
    char c = peek(p);
    const char *plain = c == '\0' ? NULL : strchr(from, c);
    if (c == '\0')
        return unexpected(p, "an escape sequence");
    if (c == quote || plain != NULL) {
        buf_u8(&p->scratch, (uint8_t)(c == quote ? c : to[plain - from]));
        p->at++;
        return 0;
    }
    if (c != 'x' && c != 'u' && c != 'U' && (c < '0' || c > '7'))
        return unexpected(p, "an escape sequence");
    p->at++;
    return take_coded_escape(p, c);
}

/* A string in quotes at the reading position; *out is valid until the next one is read. */
static int take_string(struct parser *p, struct str *out)
{
    char quote = peek(p);
    if (quote != '"' && quote != '\'' && quote != '`')
        return unexpected(p, "a string in quotes");
    p->at++;
    buf_clear(&p->scratch);
    while (p->at < p->text.len && peek(p) != quote) {
        char c = p->text.data[p->at];
        if (c == '\n' && quote != '`')
            return unexpected(p, "the end of the string before the end of the line");
        p->at++;
        if (c != '\\' || quote == '`') {
            buf_u8(&p->scratch, (uint8_t)c);
            continue;
        }
        int rc = take_escape(p, quote);
        if (rc != 0)
            return rc;
    }
    if (p->at >= p->text.len)
        return unexpected(p, "the end of the string");
    p->at++;
    if (p->scratch.error != 0)
        return err_set(p->err, p->scratch.error, "selector: no memory");
    *out = buf_view(&p->scratch);
    return 0;
}

static int take_op(struct parser *p, enum matcher_op *op)
{
    struct str rest = str_skip(p->text, p->at);
    for (int i = MATCH_NOT_RE; i >= MATCH_EQ; i--) { /* "=~" before "=" */
        if (str_starts_with(rest, str_c(op_text[i]))) {
            *op = (enum matcher_op)i;
            p->at += strlen(op_text[i]);
            return 0;
        }
    }
    return unexpected(p, "one of = != =~ !~");
}

/* One matcher; a lone string in quotes is the metric name. */
static int take_matcher(struct parser *p)
{
    struct str name = take_name(p, false), value;
    enum matcher_op op = MATCH_EQ;
    bool quoted = name.len == 0;
    int rc = 0;
    if (quoted) {
        if (peek(p) != '"' && peek(p) != '\'' && peek(p) != '`')
            return unexpected(p, "a label name or }");
        rc = take_string(p, &name);
        if (rc != 0)
            return rc;
        name = str_dup(p->s->strings, name);
        if (name.data == NULL)
            return err_set(p->err, ERR_NOMEM, "selector: no memory");
        if (!str_is_utf8(name))
            return err_set(p->err, ERR_PARSE, "label name is not UTF-8");
    }
    skip_blanks(p);
    if (quoted && (peek(p) == ',' || peek(p) == '}'))
        return add(p->s, LABEL_NAME, MATCH_EQ, name, p->err);
    rc = take_op(p, &op);
    if (rc != 0)
        return rc;
    skip_blanks(p);
    rc = take_string(p, &value);
    return rc != 0 ? rc : add(p->s, name, op, value, p->err);
}

static int take_braces(struct parser *p)
{
    p->at++;
    skip_blanks(p);
    while (peek(p) != '}') {
        int rc = take_matcher(p);
        if (rc != 0)
            return rc;
        skip_blanks(p);
        if (peek(p) == ',')
            p->at++;
        else if (peek(p) != '}')
            return unexpected(p, "a comma or }");
        skip_blanks(p);
    }
    p->at++;
    return 0;
}

static int take_selector(struct parser *p)
{
    skip_blanks(p);
    struct str metric = take_name(p, true);
    int rc = 0;
    if (metric.len > 0)
        rc = add(p->s, LABEL_NAME, MATCH_EQ, metric, p->err);
    if (rc != 0)
        return rc;
    skip_blanks(p);
    if (peek(p) == '{')
        rc = take_braces(p);
    else if (metric.len == 0)
        return unexpected(p, "{ or a metric name");
    if (rc != 0)
        return rc;
    skip_blanks(p);
    return p->at < p->text.len ? unexpected(p, "the end") : 0;
}

int selector_parse(struct selector **out, struct str text, struct err *err)
{
    if (text.len > SELECTOR_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "selector of %zu bytes, at most %d are allowed",
                       text.len, (int)SELECTOR_BYTES_MAX);
    if (!str_is_utf8(text))
        return err_set(err, ERR_PARSE, "selector is not UTF-8");
    struct parser p = {.text = text.len == 0 ? STR("") : text, .err = err};
    int rc = selector_init(&p.s);
    if (rc != 0)
        return err_set(err, rc, "selector: no memory");
    rc = take_selector(&p);
    buf_reset(&p.scratch);
    if (rc != 0) {
        selector_free(&p.s);
        return rc;
    }
    *out = p.s;
    return 0;
}

int selectors_parse(struct selectors *out, const struct str *texts, size_t count,
                    struct err *err)
{
    if (count > SELECTORS_MAX)
        return err_set(err, ERR_LIMIT, "%zu selectors, at most %d are allowed", count,
                       (int)SELECTORS_MAX);
    struct selectors s = {0};
    s.items = mem_calloc(count, sizeof *s.items);
    if (s.items == NULL)
        return err_set(err, ERR_NOMEM, "selectors: no memory");
    for (; s.count < count; s.count++) {
        int rc = selector_parse(&s.items[s.count], texts[s.count], err);
        if (rc != 0) {
            selectors_reset(&s);
            return rc;
        }
    }
    *out = s;
    return 0;
}

bool selectors_match(const struct selectors *s, selector_lookup_fn lookup, const void *arg)
{
    for (size_t i = 0; i < s->count; i++)
        if (selector_matches(s->items[i], lookup, arg))
            return true;
    return s->count == 0;
}

bool selectors_match_labels(const struct selectors *s, struct labels set)
{
    return selectors_match(s, look_in_labels, &set);
}

void selectors_reset(struct selectors *s)
{
    for (size_t i = 0; i < s->count; i++)
        selector_free(&s->items[i]);
    mem_free(s->items);
    *s = (struct selectors){0};
}
