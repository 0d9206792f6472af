/* alloy/document.c - JSON and YAML texts as values, and values as JSON. */
#include "alloy/eval_priv.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/tree.h"
#include "wire/json.h"
#include "wire/json_check.h"

/* --- JSON --------------------------------------------------------------------------------- */

/* The text was found good by json_check(), so the reader only has to tell values apart. */
struct reader {
    struct alloy_eval *ev;
    struct str rest;
};

static void skip_blanks(struct reader *r)
{
    while (r->rest.len > 0 && r->rest.data[0] != '\0' &&
           strchr(" \t\r\n", r->rest.data[0]) != NULL)
        r->rest = str_skip(r->rest, 1);
}

static char peek(struct reader *r)
{
    skip_blanks(r);
    return r->rest.len == 0 ? '\0' : r->rest.data[0];
}

static char take(struct reader *r)
{
    char c = r->rest.len == 0 ? '\0' : r->rest.data[0];
    r->rest = str_skip(r->rest, 1);
    return c;
}

static int32_t take_hex4(struct reader *r)
{
    int32_t n = 0;
    for (int i = 0; i < 4; i++) {
        char c = take(r);
        n = n * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return n;
}

/* A \u escape, with the second half of a pair; halves alone become U+FFFD. */
static int32_t take_unicode(struct reader *r)
{
    int32_t high = take_hex4(r);
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || !str_starts_with(r->rest, STR("\\u")))
        return 0xfffd;
    struct str before = r->rest;
    r->rest = str_skip(r->rest, 2);
    int32_t low = take_hex4(r);
    if (low >= 0xdc00 && low <= 0xdfff)
        return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    r->rest = before;
    return 0xfffd;
}

static int read_string(struct reader *r, struct str *out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    (void)take(r);
    size_t room = 0;
    while (room < r->rest.len && r->rest.data[room] != '"')
        room += r->rest.data[room] == '\\' ? 2 : 1;
    char *text = arena_alloc(r->ev->arena, room + 5);
    if (text == NULL)
        return alloy_eval_nomem(r->ev);
    size_t n = 0;
    while (r->rest.len > 0) {
        char c = take(r);
        if (c == '"')
            break;
        if (c != '\\') {
            text[n++] = c;
            continue;
        }
        c = take(r);
        const char *simple = c == '\0' ? NULL : strchr(from, c);
        if (c == 'u')
            n += alloy_rune_put(take_unicode(r), text + n);
        else
            text[n++] = simple != NULL ? to[simple - from] : c;
    }
    text[n] = '\0';
    *out = str_of(text, n);
    return 0;
}

static int read_number(struct reader *r, struct alloy_value *out)
{
    char text[400];
    size_t n = 0;
    while (r->rest.len > 0 && r->rest.data[0] != '\0' &&
           strchr("+-.0123456789eE", r->rest.data[0]) != NULL) {
        char c = take(r);
        if (n < sizeof text - 1)
            text[n++] = c;
    }
    text[n] = '\0';
    *out = alloy_value_float(strtod(text, NULL));
    return 0;
}

static int read_value(struct reader *r, struct alloy_value *out);

/* Number of elements or fields of the array or object that begins here. */
static size_t count_members(struct str s)
{
    size_t n = 1;
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        depth += (c == '[' || c == '{') - (c == ']' || c == '}');
        if (depth == 0)
            break;
        n += c == ',' && depth == 1;
    }
    return n;
}

static int read_array(struct reader *r, struct alloy_value *out)
{
    struct alloy_value *items = alloy_eval_alloc(r->ev, count_members(r->rest), sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(r->ev);
    size_t n = 0;
    (void)take(r);
    while (peek(r) != ']' && r->rest.len > 0) {
        int rc = read_value(r, &items[n++]);
        if (rc != 0)
            return rc;
        if (peek(r) == ',')
            (void)take(r);
    }
    (void)take(r);
    *out = (struct alloy_value){.type = ALLOY_ARRAY, .array = {n, items}};
    return 0;
}

static int read_object(struct reader *r, struct alloy_value *out)
{
    struct alloy_field *fields =
        alloy_eval_alloc(r->ev, count_members(r->rest), sizeof *fields);
    if (fields == NULL)
        return alloy_eval_nomem(r->ev);
    size_t n = 0;
    (void)take(r);
    while (peek(r) == '"') {
        int rc = read_string(r, &fields[n].key);
        if (rc == 0 && peek(r) == ':')
            (void)take(r);
        if (rc == 0)
            rc = read_value(r, &fields[n].value);
        if (rc != 0)
            return rc;
        n++;
        if (peek(r) == ',')
            (void)take(r);
        (void)peek(r);
    }
    (void)take(r);
    n = alloy_fields_sort(fields, n);
    *out = (struct alloy_value){.type = ALLOY_OBJECT, .object = {n, fields}};
    return 0;
}

/* Depth was bounded by json_check(). */
static int read_value(struct reader *r, struct alloy_value *out)
{
    *out = (struct alloy_value){0};
    switch (peek(r)) {
    case '{':
        return read_object(r, out);
    case '[':
        return read_array(r, out);
    case '"':
        out->type = ALLOY_STRING;
        return read_string(r, &out->string);
    case 't':
        r->rest = str_skip(r->rest, 4);
        *out = alloy_value_bool(true);
        return 0;
    case 'f':
        r->rest = str_skip(r->rest, 5);
        *out = alloy_value_bool(false);
        return 0;
    case 'n':
        r->rest = str_skip(r->rest, 4);
        return 0;
    default:
        return read_number(r, out);
    }
}

int alloy_from_json(struct alloy_eval *ev, struct str text, struct alloy_value *out,
                    struct err *err)
{
    int rc = json_check(text, err);
    if (rc != 0)
        return rc == ERR_NOMEM ? rc : ERR_PARSE;
    struct reader r = {ev, text};
    return read_value(&r, out);
}

static int put_json(struct json *j, const struct alloy_value *v, int depth)
{
    if (depth > ALLOY_DEPTH_MAX)
        return ERR_PARSE;
    int rc = 0;
    switch (v->type) {
    case ALLOY_NULL:
        json_null(j);
        break;
    case ALLOY_NUMBER:
        if (v->number.kind == ALLOY_FLOAT)
            json_f64(j, v->number.f);
        else if (v->number.kind == ALLOY_INT)
            json_i64(j, v->number.i);
        else
            json_u64(j, v->number.u);
        break;
    case ALLOY_STRING:
        json_str(j, v->string);
        break;
    case ALLOY_BOOL:
        json_bool(j, v->boolean);
        break;
    case ALLOY_ARRAY:
        json_begin_array(j);
        for (size_t i = 0; rc == 0 && i < v->array.count; i++)
            rc = put_json(j, &v->array.items[i], depth + 1);
        json_end_array(j);
        break;
    case ALLOY_OBJECT:
        json_begin_object(j);
        for (size_t i = 0; rc == 0 && i < v->object.count; i++) {
            json_key_str(j, v->object.fields[i].key);
            rc = put_json(j, &v->object.fields[i].value, depth + 1);
        }
        json_end_object(j);
        break;
    case ALLOY_FUNCTION:
    case ALLOY_CAPSULE:
        rc = ERR_PARSE;
        break;
    }
    return rc;
}

int alloy_to_json(const struct alloy_value *v, struct buf *out)
{
    struct json j = json_to(out);
    return put_json(&j, v, 0);
}

/* --- YAML --------------------------------------------------------------------------------- */

/* What a plain scalar is: a number, a boolean, null, or text. */
static int yaml_scalar(struct alloy_eval *ev, const struct tree_node *n,
                       struct alloy_value *out)
{
    int64_t i;
    uint64_t u;
    *out = (struct alloy_value){0};
    if (tree_is_null(n))
        return 0;
    struct str s = n->text;
    if (!n->quoted) {
        if (str_i64(s, &i) == 0) {
            *out = alloy_value_int(i);
            return 0;
        }
        if (str_u64(s, &u) == 0) {
            *out = alloy_value_uint(u);
            return 0;
        }
        bool yes = str_eq(s, STR("true")) || str_eq(s, STR("True")) || str_eq(s, STR("TRUE"));
        bool no = str_eq(s, STR("false")) || str_eq(s, STR("False")) || str_eq(s, STR("FALSE"));
        if (yes || no) {
            *out = alloy_value_bool(yes);
            return 0;
        }
        size_t digits = strspn(s.data, "0123456789.eE+-");
        char *end;
        double f = strtod(s.data, &end);
        if (s.len > 0 && digits == s.len && end == s.data + s.len && end[-1] != 'e') {
            *out = alloy_value_float(f);
            return 0;
        }
    }
    s = str_dup(ev->arena, s);
    *out = alloy_value_string(s);
    return s.data == NULL ? alloy_eval_nomem(ev) : 0;
}

static int yaml_value(struct alloy_eval *ev, const struct tree_node *n,
                      struct alloy_value *out);

static int yaml_map(struct alloy_eval *ev, const struct tree_node *n, struct alloy_value *out)
{
    struct alloy_field *fields = alloy_eval_alloc(ev, n->count / 2, sizeof *fields);
    if (fields == NULL)
        return alloy_eval_nomem(ev);
    size_t count = 0;
    for (const struct tree_node *k = n->first; k != NULL; k = k->next->next) {
        fields[count].key = str_dup(ev->arena, k->text);
        if (fields[count].key.data == NULL)
            return alloy_eval_nomem(ev);
        int rc = yaml_value(ev, k->next, &fields[count++].value);
        if (rc != 0)
            return rc;
    }
    count = alloy_fields_sort(fields, count);
    *out = (struct alloy_value){.type = ALLOY_OBJECT, .object = {count, fields}};
    return 0;
}

/* Depth is bounded by the tree; aliases that multiply, by the arena's account. */
static int yaml_value(struct alloy_eval *ev, const struct tree_node *n, struct alloy_value *out)
{
    if (n->kind == TREE_SCALAR)
        return yaml_scalar(ev, n, out);
    if (n->kind == TREE_MAP)
        return yaml_map(ev, n, out);
    struct alloy_value *items = alloy_eval_alloc(ev, n->count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(ev);
    size_t count = 0;
    for (const struct tree_node *x = n->first; x != NULL; x = x->next) {
        int rc = yaml_value(ev, x, &items[count++]);
        if (rc != 0)
            return rc;
    }
    *out = (struct alloy_value){.type = ALLOY_ARRAY, .array = {count, items}};
    return 0;
}

int alloy_from_yaml(struct alloy_eval *ev, struct str text, struct alloy_value *out,
                    struct err *err)
{
    const struct tree_node *root = NULL;
    int rc = tree_parse(&root, text, "yaml", ev->arena, err);
    *out = (struct alloy_value){0};
    if (rc == 0 && root != NULL)
        rc = yaml_value(ev, root, out);
    if (rc == ERR_LIMIT)
        rc = ERR_PARSE;
    return rc;
}
