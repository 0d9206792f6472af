/* alloy/stdlib_data.c - functions on lists, secrets, encodings and paths. */
#include "alloy/eval_priv.h"

#include "base/mem.h"
#include "wire/base64.h"

static struct str arg(const struct alloy_call *c, size_t i)
{
    return c->args[i].string;
}

/* "<callee> message". */
static int fail_call(struct alloy_call *c, const char *message)
{
    return alloy_fault(c->ev, NULL, c->callee, "%s", message);
}

/* --- lists -------------------------------------------------------------------------------- */

static int run_concat(struct alloy_call *c, struct alloy_value *out)
{
    size_t count = 0, n = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (c->args[i].type != ALLOY_ARRAY)
            return alloy_fault_type(c->ev, NULL, &c->args[i], ALLOY_ARRAY);
        count += c->args[i].array.count;
    }
    struct alloy_value *items = alloy_eval_alloc(c->ev, count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(c->ev);
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < c->args[i].array.count; k++)
            items[n++] = c->args[i].array.items[k];
    *out = (struct alloy_value){.type = ALLOY_ARRAY, .array = {n, items}};
    return 0;
}

static bool is_empty(const struct alloy_value *v)
{
    switch (v->type) {
    case ALLOY_NULL:
        return true;
    case ALLOY_NUMBER:
        return alloy_number_float(v->number) == 0.0;
    case ALLOY_STRING:
        return v->string.len == 0;
    case ALLOY_BOOL:
        return !v->boolean;
    case ALLOY_ARRAY:
        return v->array.count == 0;
    case ALLOY_OBJECT:
        return v->object.count == 0;
    case ALLOY_FUNCTION:
        return false;
    case ALLOY_CAPSULE:
        return v->capsule->node == NULL && v->capsule->secret.len == 0;
    }
    return true;
}

/* The first argument that is not empty, else the last. */
static int run_coalesce(struct alloy_call *c, struct alloy_value *out)
{
    *out = (struct alloy_value){0};
    for (size_t i = 0; i < c->count; i++) {
        *out = c->args[i];
        if (!is_empty(out))
            break;
    }
    return 0;
}

static int run_nonsensitive(struct alloy_call *c, struct alloy_value *out)
{
    *out = alloy_value_string(arg(c, 0));
    return 0;
}

/* --- encodings ---------------------------------------------------------------------------- */

static int run_from_json(struct alloy_call *c, struct alloy_value *out)
{
    struct err err = {0};
    int rc = alloy_from_json(c->ev, arg(c, 0), out, &err);
    return rc == 0 || rc == ERR_NOMEM ? rc : fail_call(c, err.msg);
}

static int run_from_yaml(struct alloy_call *c, struct alloy_value *out)
{
    struct err err = {0};
    int rc = alloy_from_yaml(c->ev, arg(c, 0), out, &err);
    return rc == 0 || rc == ERR_NOMEM ? rc : fail_call(c, err.msg);
}

static int run_to_json(struct alloy_call *c, struct alloy_value *out)
{
    struct buf b = {.limit = ALLOY_EVAL_BYTES_MAX};
    if (c->args[0].type != ALLOY_OBJECT)
        return fail_call(c, "jsonEncode only supports map");
    if (alloy_to_json(&c->args[0], &b) != 0) {
        buf_reset(&b);
        return fail_call(c, "json: unsupported type");
    }
    return alloy_take_string(c->ev, &b, out);
}

/* Both alphabets are read by either function. */
static int run_from_base64(struct alloy_call *c, struct alloy_value *out)
{
    struct str s = arg(c, 0);
    size_t size;
    uint8_t *bytes = arena_alloc(c->ev->arena, base64_room(s.len) + 1);
    if (bytes == NULL)
        return alloy_eval_nomem(c->ev);
    if (base64_read(s, bytes, &size) != 0)
        return fail_call(c, "illegal base64 data");
    bytes[size] = '\0';
    *out = alloy_value_string(str_of(bytes, size));
    return 0;
}

static int run_to_base64(struct alloy_call *c, struct alloy_value *out)
{
    struct buf b = {0};
    base64_put(&b, arg(c, 0), true);
    return alloy_take_string(c->ev, &b, out);
}

static int run_to_url_base64(struct alloy_call *c, struct alloy_value *out)
{
    struct buf b = {0};
    base64_put(&b, arg(c, 0), true);
    for (size_t i = 0; i < b.size; i++)
        b.data[i] = b.data[i] == '+' ? '-' : b.data[i] == '/' ? '_' : b.data[i];
    return alloy_take_string(c->ev, &b, out);
}

static int run_url_encode(struct alloy_call *c, struct alloy_value *out)
{
    struct buf b = {0};
    struct str s = arg(c, 0);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.data[i];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                     (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' || ch == '.' ||
                     ch == '~';
        if (plain)
            buf_u8(&b, ch);
        else if (ch == ' ')
            buf_u8(&b, '+');
        else
            buf_printf(&b, "%%%02X", ch);
    }
    return alloy_take_string(c->ev, &b, out);
}

static int run_url_decode(struct alloy_call *c, struct alloy_value *out)
{
    struct buf b = {0};
    struct str s = arg(c, 0);
    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte = (uint8_t)s.data[i];
        if (byte == '%') {
            if (i + 2 >= s.len || hex_read(str_of(s.data + i + 1, 2), &byte, 1) != 0) {
                char message[64] = "invalid URL escape";
                buf_reset(&b);
                return fail_call(c, message);
            }
            i += 2;
        } else if (byte == '+') {
            byte = ' ';
        }
        buf_u8(&b, byte);
    }
    return alloy_take_string(c->ev, &b, out);
}

/* --- paths -------------------------------------------------------------------------------- */

/* Take away the last part of a path, unless it is .. or there is none. */
static bool drop_part(struct buf *b, bool rooted)
{
    size_t n = b->size;
    while (n > 0 && b->data[n - 1] != '/')
        n--;
    struct str last = str_of(b->data + n, b->size - n);
    if (last.len == 0 || str_eq(last, STR("..")))
        return rooted;
    b->size = n > 1 || !rooted ? (n > 0 ? n - 1 : 0) : n;
    return true;
}

/* The arguments with slashes between, without empty parts, . and .. where it can be. */
static int run_path_join(struct alloy_call *c, struct alloy_value *out)
{
    struct buf b = {.limit = ALLOY_EVAL_BYTES_MAX};
    bool first = true, rooted = false, any = false;
    for (size_t i = 0; i < c->count; i++) {
        struct str rest = arg(c, i), part;
        any = any || rest.len > 0;
        if (rest.len > 0 && first) {
            rooted = rest.data[0] == '/';
            first = false;
            if (rooted)
                buf_u8(&b, '/');
        }
        while (str_cut(&rest, '/', &part)) {
            if (part.len == 0 || str_eq(part, STR(".")))
                continue;
            if (str_eq(part, STR("..")) && drop_part(&b, rooted))
                continue;
            if (b.size > (rooted ? 1 : 0))
                buf_u8(&b, '/');
            buf_str(&b, part);
        }
    }
    if (any && b.size == 0)
        buf_u8(&b, '.');
    return alloy_take_string(c->ev, &b, out);
}

/* --- json_path ---------------------------------------------------------------------------- */

struct json_step {
    enum { STEP_KEY, STEP_INDEX, STEP_ALL } kind;
    struct str key;
    int64_t index;
};

/* The next step of a path: .name, ['name'], [0], [-1], .* or [*]. False: none of these. */
static bool take_step(struct str *path, struct json_step *step)
{
    struct str s = *path;
    *step = (struct json_step){.kind = STEP_KEY};
    if (s.data[0] == '.') {
        size_t n = 1;
        while (n < s.len && s.data[n] != '.' && s.data[n] != '[')
            n++;
        step->key = str_of(s.data + 1, n - 1);
        *path = str_skip(s, n);
        if (str_eq(step->key, STR("*")))
            step->kind = STEP_ALL;
        return step->key.len > 0;
    }
    size_t end = str_find(s, ']');
    if (s.data[0] != '[' || end == SIZE_MAX || end < 2)
        return false;
    struct str inside = str_of(s.data + 1, end - 1);
    *path = str_skip(s, end + 1);
    char quote = inside.data[0];
    if (quote == '\'' || quote == '"') {
        step->key = str_of(inside.data + 1, inside.len < 2 ? 0 : inside.len - 2);
        return inside.len >= 2 && inside.data[inside.len - 1] == quote;
    }
    step->kind = str_eq(inside, STR("*")) ? STEP_ALL : STEP_INDEX;
    return step->kind == STEP_ALL || str_i64(inside, &step->index) == 0;
}

static size_t size_of_value(const struct alloy_value *v)
{
    return v->type == ALLOY_ARRAY    ? v->array.count
           : v->type == ALLOY_OBJECT ? v->object.count
                                     : 0;
}

/* Put what a step finds in v behind `to`. */
static size_t apply_step(const struct json_step *step, const struct alloy_value *v,
                         struct alloy_value *to)
{
    if (step->kind == STEP_ALL) {
        for (size_t i = 0; i < size_of_value(v); i++)
            to[i] = v->type == ALLOY_ARRAY ? v->array.items[i] : v->object.fields[i].value;
        return size_of_value(v);
    }
    const struct alloy_value *found = NULL;
    if (step->kind == STEP_KEY && v->type == ALLOY_OBJECT)
        found = alloy_object_get(&v->object, step->key);
    if (step->kind == STEP_INDEX && v->type == ALLOY_ARRAY) {
        int64_t count = (int64_t)v->array.count;
        int64_t i = step->index < 0 ? step->index + count : step->index;
        found = i >= 0 && i < count ? &v->array.items[i] : NULL;
    }
    if (found != NULL)
        to[0] = *found;
    return found != NULL;
}

static int run_json_path(struct alloy_call *c, struct alloy_value *out)
{
    struct str path = arg(c, 1);
    struct err err = {0};
    struct alloy_value *now = alloy_eval_alloc(c->ev, 1, sizeof *now);
    if (now == NULL)
        return alloy_eval_nomem(c->ev);
    int rc = alloy_from_json(c->ev, arg(c, 0), now, &err);
    if (rc != 0)
        return rc == ERR_NOMEM ? rc : fail_call(c, err.msg);
    size_t count = 1;
    struct json_step step;
    char first[1] = {'.'};
    if (path.len > 0 && (path.data[0] == '$' || path.data[0] == '@'))
        path = str_skip(path, 1);
    else if (path.len > 0 && path.data[0] != '.' && path.data[0] != '[') {
        struct buf b = {0};
        struct alloy_value dotted;
        buf_put(&b, first, 1);
        buf_str(&b, path);
        rc = alloy_take_string(c->ev, &b, &dotted);
        if (rc != 0)
            return rc;
        path = dotted.string;
    }
    while (path.len > 0) {
        if (!take_step(&path, &step))
            return fail_call(c, "the JSONPath expression is not supported");
        size_t room = 1, n = 0;
        for (size_t i = 0; i < count; i++)
            room += step.kind == STEP_ALL ? size_of_value(&now[i]) : 1;
        struct alloy_value *next = alloy_eval_alloc(c->ev, room, sizeof *next);
        if (next == NULL)
            return alloy_eval_nomem(c->ev);
        for (size_t i = 0; i < count; i++)
            n += apply_step(&step, &now[i], next + n);
        now = next;
        count = n;
    }
    *out = (struct alloy_value){.type = ALLOY_ARRAY, .array = {count, now}};
    return 0;
}

const struct alloy_function alloy_data_functions[] = {
    {"array.concat", "concat", "v*", run_concat},
    {"coalesce", NULL, "v*", run_coalesce},
    {"convert.nonsensitive", "nonsensitive", "S", run_nonsensitive},
    {"encoding.from_base64", "base64_decode", "s", run_from_base64},
    {"encoding.from_URLbase64", NULL, "s", run_from_base64},
    {"encoding.from_json", "json_decode", "s", run_from_json},
    {"encoding.from_yaml", "yaml_decode", "s", run_from_yaml},
    {"encoding.to_base64", NULL, "s", run_to_base64},
    {"encoding.to_URLbase64", NULL, "s", run_to_url_base64},
    {"encoding.to_json", NULL, "v", run_to_json},
    {"encoding.url_decode", NULL, "s", run_url_decode},
    {"encoding.url_encode", NULL, "s", run_url_encode},
    {"file.path_join", NULL, "s*", run_path_join},
    {"json_path", NULL, "ss", run_json_path},
    {0},
};
