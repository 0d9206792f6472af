/* alloy/schema.c - defaults, and the statements of a block against its rows. */
#include "alloy/decode_priv.h"

#include <stdlib.h>

#include "alloy/ast.h"
#include "alloy/format.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"

enum { NESTED_MAX = 16 };

/* --- durations ---------------------------------------------------------------------------- */

static int duration_error(struct err *err, const char *what, struct str unit, struct str s)
{
    struct buf text = {0};
    buf_printf(&text, "time: %s", what);
    if (unit.data != NULL) {
        alloy_quote(str_head(unit, 50), &text);
        buf_c(&text, " in duration ");
    }
    alloy_quote(str_head(s, 100), &text);
    buf_u8(&text, 0);
    int rc = err_set(err, ERR_PARSE, "%s",
                     text.error == 0 ? (const char *)text.data : "time: invalid duration");
    buf_reset(&text);
    return rc;
}

/* Nanoseconds of a unit, 0 for none. */
static uint64_t unit_ns(struct str u)
{
    static const struct {
        struct str name;
        uint64_t ns;
    } units[] = {
        {STR_INIT("ns"), 1},           {STR_INIT("us"), 1000},
        {STR_INIT("\xc2\xb5s"), 1000}, {STR_INIT("\xce\xbcs"), 1000},
        {STR_INIT("ms"), 1000000},     {STR_INIT("s"), 1000000000},
        {STR_INIT("m"), 60000000000},  {STR_INIT("h"), 3600000000000},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (str_eq(units[i].name, u))
            return units[i].ns;
    return 0;
}

/* Digits at the start of *s, and their number. False: more than 63 bits. */
static bool take_digits(struct str *s, uint64_t *value, size_t *count)
{
    *value = 0;
    *count = 0;
    while (s->len > 0 && s->data[0] >= '0' && s->data[0] <= '9') {
        if (*value > INT64_MAX / 10)
            return false;
        *value = *value * 10 + (uint64_t)(s->data[0] - '0');
        if (*value > INT64_MAX)
            return false;
        *s = str_skip(*s, 1);
        (*count)++;
    }
    return true;
}

/* As take_digits, behind a point; digits that no longer count are passed over. */
static double take_fraction(struct str *s, size_t *count)
{
    double value = 0, scale = 1;
    for (*count = 0; s->len > 0 && s->data[0] >= '0' && s->data[0] <= '9'; (*count)++) {
        if (*count < 18) {
            value = value * 10 + (s->data[0] - '0');
            scale *= 10;
        }
        *s = str_skip(*s, 1);
    }
    return value / scale;
}

int alloy_parse_ms(struct str s, int64_t *out, struct err *err)
{
    static const char invalid[] = "invalid duration ";
    struct str none = {0}, rest = s;
    bool minus = rest.len > 0 && rest.data[0] == '-';
    if (rest.len > 0 && (rest.data[0] == '-' || rest.data[0] == '+'))
        rest = str_skip(rest, 1);
    if (rest.len == 0)
        return duration_error(err, invalid, none, s);
    uint64_t total = 0;
    bool zero = str_eq(rest, STR("0"));
    while (!zero && rest.len > 0) {
        uint64_t whole;
        size_t before, after = 0;
        double fraction = 0;
        if (!take_digits(&rest, &whole, &before))
            return duration_error(err, invalid, none, s);
        if (rest.len > 0 && rest.data[0] == '.') {
            rest = str_skip(rest, 1);
            fraction = take_fraction(&rest, &after);
        }
        if (before + after == 0)
            return duration_error(err, invalid, none, s);
        size_t n = 0;
        while (n < rest.len && rest.data[n] != '.' &&
               !(rest.data[n] >= '0' && rest.data[n] <= '9'))
            n++;
        if (n == 0)
            return duration_error(err, "missing unit in duration ", none, s);
        uint64_t ns = unit_ns(str_head(rest, n));
        if (ns == 0)
            return duration_error(err, "unknown unit ", str_head(rest, n), s);
        rest = str_skip(rest, n);
        if (whole > INT64_MAX / ns || total + whole * ns > INT64_MAX)
            return duration_error(err, invalid, none, s);
        total += whole * ns + (uint64_t)(fraction * (double)ns);
        if (total > INT64_MAX)
            return duration_error(err, invalid, none, s);
    }
    int64_t ms = (int64_t)(total / 1000000 + (total % 1000000 != 0));
    *out = minus ? -ms : ms;
    return 0;
}

/* --- defaults ----------------------------------------------------------------------------- */

static void set_default(const struct alloy_row *row, void *field)
{
    struct str text = str_c(row->def);
    switch ((int)row->kind) {
    case ALLOY_K_BOOL:
        ASSERT(row->def == NULL || str_eq(text, STR("true")) || str_eq(text, STR("false")));
        *(bool *)field = str_eq(text, STR("true"));
        break;
    case ALLOY_K_I64:
        *(int64_t *)field = 0;
        ASSERT(row->def == NULL || str_i64(text, field) == 0);
        break;
    case ALLOY_K_DOUBLE:
        *(double *)field = row->def == NULL ? 0 : strtod(row->def, NULL);
        break;
    case ALLOY_K_MS:
        *(int64_t *)field = 0;
        ASSERT(row->def == NULL || alloy_parse_ms(text, field, NULL) == 0);
        break;
    case ALLOY_K_STR:
    case ALLOY_K_SECRET:
        *(struct str *)field = row->def == NULL ? STR("") : text;
        break;
    case ALLOY_K_LABEL:
        *(struct str *)field = STR("");
        break;
    default:
        break; /* zero */
    }
}

static void set_defaults(const struct alloy_schema *s, void *at, int depth)
{
    ASSERT(depth < NESTED_MAX);
    memset(at, 0, s->size);
    for (const struct alloy_row *row = s->rows; row->kind != ALLOY_K_END; row++) {
        void *field = (char *)at + row->offset;
        if (row->kind == ALLOY_K_BLOCK)
            set_defaults(row->detail, field, depth + 1);
        else
            set_default(row, field);
    }
}

void alloy_schema_defaults(const struct alloy_schema *s, void *at)
{
    set_defaults(s, at, 0);
}

/* --- statements --------------------------------------------------------------------------- */

static bool is_block(enum alloy_kind k)
{
    return k == ALLOY_K_BLOCK || k == ALLOY_K_BLOCKS;
}

static bool has_name(const struct alloy_row *row)
{
    return row->kind != ALLOY_K_LABEL && row->kind != ALLOY_K_GIVEN &&
           row->kind != ALLOY_K_VARIANTS;
}

const struct alloy_row *alloy_schema_row(const struct alloy_schema *s, struct str name)
{
    for (const struct alloy_row *row = s->rows; row->kind != ALLOY_K_END; row++)
        if (has_name(row) && str_eq(str_c(row->name), name))
            return row;
    return NULL;
}

static const struct alloy_row *row_of_kind(const struct alloy_schema *s, enum alloy_kind kind)
{
    for (const struct alloy_row *row = s->rows; row->kind != ALLOY_K_END; row++)
        if (row->kind == kind)
            return row;
    return NULL;
}

/* before "name" after, over the bytes from start to end. */
static int fail_range(struct alloy_eval *ev, const struct alloy_stmt *st, uint32_t end,
                      const char *before, const char *after)
{
    alloy_diags_addf(ev->diags, ALLOY_ERROR, ev->file->source.name,
                     alloy_pos_at(ev->file, st->start), alloy_pos_at(ev->file, end),
                     "%s\"%.*s\"%s", before, STR_ARG(str_head(st->name, 200)), after);
    return ERR_PARSE;
}

static int fail_stmt(struct alloy_eval *ev, const struct alloy_stmt *st, const char *before,
                     const char *after)
{
    return fail_range(ev, st, st->end, before, after);
}

static bool is_repeated(const struct alloy_stmt *body, const struct alloy_stmt *st)
{
    for (const struct alloy_stmt *x = body; x != st; x = x->next)
        if (x->value != NULL && str_eq(x->name, st->name))
            return true;
    return false;
}

/* A URL with a password in it: not to be shown whatever the row says. */
static bool has_password(const struct alloy_value *v)
{
    struct str s = v->type == ALLOY_STRING ? v->string : STR("");
    size_t colon = str_find(s, ':'), end = 0;
    if (colon == SIZE_MAX || !str_starts_with(str_skip(s, colon), STR("://")))
        return false;
    s = str_skip(s, colon + 3);
    while (end < s.len && s.data[end] != '/' && s.data[end] != '?' && s.data[end] != '#')
        end++;
    size_t at = str_rfind(str_head(s, end), '@');
    return at != SIZE_MAX && str_find(str_head(s, at), ':') != SIZE_MAX;
}

/* The values of a map that is written out, else all of it. */
static void mask(struct alloy_expr *e)
{
    e->secret = e->kind != ALLOY_E_OBJECT;
    for (struct alloy_key *k = e->secret ? NULL : e->fields; k != NULL; k = k->next)
        k->value->secret = true;
}

static int decode_attribute(struct alloy_eval *ev, const struct alloy_schema *s,
                            const struct alloy_stmt *body, struct alloy_stmt *st, void *at)
{
    if (is_repeated(body, st))
        return fail_stmt(ev, st, "attribute ", " may only be provided once");
    const struct alloy_row *row = alloy_schema_row(s, st->name);
    if (row == NULL)
        return fail_stmt(ev, st, "unrecognized attribute name ", "");
    if (is_block(row->kind))
        return fail_stmt(ev, st, "", " must be a block, but is used as an attribute");
    if (row->bits & ALLOY_DEPRECATED)
        alloy_diags_addf(ev->diags, ALLOY_WARNING, ev->file->source.name,
                         alloy_pos_at(ev->file, st->start), alloy_pos_at(ev->file, st->end),
                         "attribute \"%.*s\" is deprecated", STR_ARG(st->name));
    struct alloy_value v;
    int rc = alloy_eval_expr(ev, st->value, &v);
    if (rc == 0)
        rc = alloy_decode_value(ev, row, &v, (char *)at + row->offset);
    if (row->kind == ALLOY_K_SECRET || row->kind == ALLOY_K_MAP_SECRETS || has_password(&v))
        st->value->secret = true;
    else if (row->bits & ALLOY_MASKED)
        mask(st->value);
    return rc;
}

static int decode_statements(struct alloy_eval *ev, const struct alloy_schema *s,
                             struct alloy_stmt *body, void *at);

static bool is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* Where a text has a name as a word of its own; SIZE_MAX: nowhere. */
static size_t find_word(struct str text, struct str name)
{
    for (size_t i = 0; name.len > 0 && i + name.len <= text.len; i++) {
        size_t end = i + name.len;
        if ((i == 0 || !is_word(text.data[i - 1])) &&
            (end == text.len || !is_word(text.data[end])) &&
            str_eq(str_head(str_skip(text, i), name.len), name))
            return i;
    }
    return SIZE_MAX;
}

/* The statement that a message names first; NULL: none. */
static const struct alloy_stmt *find_named(const struct alloy_stmt *body, struct str message)
{
    const struct alloy_stmt *found = NULL;
    size_t first = SIZE_MAX;
    for (; body != NULL; body = body->next) {
        size_t at = find_word(message, body->name);
        if (at < first) {
            first = at;
            found = body;
        }
    }
    return found;
}

static int decode_block(struct alloy_eval *ev, const struct alloy_schema *s,
                        struct alloy_stmt *st, void *at)
{
    const struct alloy_row *label = row_of_kind(s, ALLOY_K_LABEL);
    alloy_schema_defaults(s, at);
    if (label != NULL && st->label.len == 0)
        return fail_range(ev, st, st->open, "block ", " requires non-empty label");
    if (label == NULL && st->label.len > 0)
        return fail_range(ev, st, st->open, "block ", " does not support specifying labels");
    if (label != NULL) {
        struct str *text = (struct str *)(void *)((char *)at + label->offset);
        *text = str_dup(ev->arena, st->label);
        if (text->data == NULL)
            return alloy_eval_nomem(ev);
    }
    int rc = decode_statements(ev, s, st->body, at);
    if (rc != 0 && ev->judged && ev->fault == NULL)
        ev->fault = st;
    return rc;
}

static size_t count_blocks(const struct alloy_stmt *body, struct str name)
{
    size_t n = 0;
    for (; body != NULL; body = body->next)
        n += body->value == NULL && str_eq(body->name, name);
    return n;
}

/* All blocks of a repeatable row at once, when the first of them is met. */
static int decode_repeated(struct alloy_eval *ev, const struct alloy_row *row,
                           struct alloy_stmt *st, void *at)
{
    struct alloy_blocks *blocks = (struct alloy_blocks *)(void *)((char *)at + row->offset);
    const struct alloy_schema *s = row->detail;
    if (blocks->items == NULL) {
        blocks->items = alloy_eval_alloc(ev, count_blocks(st, st->name), s->size);
        if (blocks->items == NULL)
            return alloy_eval_nomem(ev);
    }
    return decode_block(ev, s, st, (char *)blocks->items + blocks->count++ * s->size);
}

static const struct alloy_choice *find_choice(const struct alloy_row *row, struct str name)
{
    for (const struct alloy_choice *c = row->detail; c->name != NULL; c++)
        if (str_eq(str_c(c->name), name))
            return c;
    return NULL;
}

/* Another variant behind those that are there. The list grows by doubling. */
static int decode_variant(struct alloy_eval *ev, const struct alloy_row *row,
                          const struct alloy_choice *c, struct alloy_stmt *st, void *at)
{
    struct alloy_variants *list = (struct alloy_variants *)(void *)((char *)at + row->offset);
    size_t n = list->count;
    if ((n & (n - 1)) == 0) {
        struct alloy_variant *items = alloy_eval_alloc(ev, n == 0 ? 1 : n * 2, sizeof *items);
        if (items == NULL)
            return alloy_eval_nomem(ev);
        if (n > 0)
            memcpy(items, list->items, n * sizeof *items);
        list->items = items;
    }
    void *one = alloy_eval_alloc(ev, 1, c->schema->size);
    if (one == NULL)
        return alloy_eval_nomem(ev);
    ((struct alloy_variant *)(void *)(uintptr_t)list->items)[n] =
        (struct alloy_variant){c->name, one};
    list->count++;
    return decode_block(ev, c->schema, st, one);
}

static int decode_any_block(struct alloy_eval *ev, const struct alloy_schema *s,
                            const struct alloy_stmt *body, struct alloy_stmt *st, void *at)
{
    for (const struct alloy_row *row = s->rows; row->kind != ALLOY_K_END; row++) {
        const struct alloy_choice *c =
            row->kind == ALLOY_K_VARIANTS ? find_choice(row, st->name) : NULL;
        if (c != NULL)
            return decode_variant(ev, row, c, st, at);
    }
    const struct alloy_row *row = alloy_schema_row(s, st->name);
    if (row == NULL)
        return fail_stmt(ev, st, "unrecognized block name ", "");
    if (!is_block(row->kind))
        return fail_stmt(ev, st, "", " must be an attribute, but is used as a block");
    if (row->kind == ALLOY_K_BLOCKS)
        return decode_repeated(ev, row, st, at);
    if (count_blocks(body, st->name) > 1)
        return fail_stmt(ev, st, "block ", " may only be specified once");
    return decode_block(ev, row->detail, st, (char *)at + row->offset);
}

static bool is_there(const struct alloy_row *row, const struct alloy_stmt *body)
{
    for (; body != NULL; body = body->next) {
        bool named = row->kind == ALLOY_K_VARIANTS ? find_choice(row, body->name) != NULL
                                                   : str_eq(body->name, str_c(row->name));
        if (named)
            return true;
    }
    return false;
}

static int decode_statements(struct alloy_eval *ev, const struct alloy_schema *s,
                             struct alloy_stmt *body, void *at)
{
    for (struct alloy_stmt *st = body; st != NULL; st = st->next) {
        int rc = st->value != NULL ? decode_attribute(ev, s, body, st, at)
                                   : decode_any_block(ev, s, body, st, at);
        if (rc != 0)
            return rc;
    }
    for (const struct alloy_row *row = s->rows; row->kind != ALLOY_K_END; row++)
        if ((row->bits & ALLOY_REQUIRED) && !is_there(row, body))
            return err_set(&ev->err, ERR_PARSE, "missing required %s \"%s\"",
                           is_block(row->kind) || row->kind == ALLOY_K_VARIANTS ? "block"
                                                                                : "attribute",
                           row->name);
    const struct alloy_row *given = row_of_kind(s, ALLOY_K_GIVEN);
    if (given != NULL)
        *(bool *)((char *)at + given->offset) = true;
    if (s->validate == NULL || s->validate(at, &ev->err) == 0)
        return 0;
    if (ev->err.code == 0)
        (void)err_set(&ev->err, ERR_PARSE, "invalid arguments");
    ev->judged = true;
    ev->fault = find_named(body, str_c(ev->err.msg));
    return ERR_PARSE;
}

int alloy_decode_body(struct alloy_eval *ev, const struct alloy_schema *s,
                      struct alloy_stmt *body, void *at)
{
    alloy_schema_defaults(s, at);
    return decode_statements(ev, s, body, at);
}
