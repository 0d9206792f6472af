/* alloy/eval.c - walking an expression, and saying where a value went wrong. */
#include "alloy/eval_priv.h"

#include <stdarg.h>
#include <stdio.h>

#include "alloy/format.h"
#include "base/mem.h"

enum { PATH_MAX_STEPS = 16, MESSAGE_MAX = 512 };

int alloy_eval_nomem(struct alloy_eval *ev)
{
    return err_set(&ev->err, ERR_NOMEM, "the values of this component take too much memory");
}

void *alloy_eval_alloc(struct alloy_eval *ev, size_t count, size_t size)
{
    return arena_calloc(ev->arena, count, size);
}

/* --- faults ------------------------------------------------------------------------------- */

struct fault {
    const struct alloy_expr *node;
    bool literal; /* the last value looked at is written at node */
    struct buf way;
};

/* What is shown is the innermost expression that the file has, and the way from there. */
static void look_at(struct fault *f, const struct alloy_value *v)
{
    if (v->expr == NULL) {
        f->literal = false;
        return;
    }
    if (f->literal)
        buf_clear(&f->way);
    f->node = v->expr;
    f->literal = true;
}

static void walk_path(struct fault *f, const struct alloy_path *path)
{
    const struct alloy_path *steps[PATH_MAX_STEPS];
    size_t count = 0;
    for (; path != NULL && count < PATH_MAX_STEPS; path = path->up)
        steps[count++] = path;
    while (count-- > 0) {
        if (steps[count]->is_field)
            buf_printf(&f->way, ".%.*s", STR_ARG(steps[count]->field));
        else
            buf_printf(&f->way, "[%zu]", steps[count]->index);
        look_at(f, steps[count]->value);
    }
}

int alloy_fault(struct alloy_eval *ev, const struct alloy_path *path,
                const struct alloy_value *value, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    struct fault f = {0};
    struct buf text = {0};
    walk_path(&f, path);
    look_at(&f, value);
    struct alloy_pos start = {0}, end = {0};
    if (f.node != NULL) {
        alloy_format_expr(ev->file, f.node, &text);
        start = alloy_pos_at(ev->file, f.node->start);
        end = alloy_pos_at(ev->file, f.node->end);
    }
    buf_str(&text, buf_view(&f.way));
    buf_printf(&text, " %s", message);
    bool whole = text.error == 0 && f.way.error == 0;
    alloy_diags_add(ev->diags, ALLOY_ERROR, ev->file->source.name, start, end,
                    whole ? buf_view(&text) : str_c(message));
    buf_reset(&text);
    buf_reset(&f.way);
    return ERR_PARSE;
}

int alloy_fault_type(struct alloy_eval *ev, const struct alloy_path *path,
                     const struct alloy_value *value, enum alloy_type expected)
{
    return alloy_fault(ev, path, value, "should be %s, got %s", alloy_type_name(expected),
                       alloy_type_name(value->type));
}

/* A name that stands for nothing. */
static int fail_missing(struct alloy_eval *ev, uint32_t start, uint32_t end, const char *what,
                        struct str name)
{
    alloy_diags_addf(ev->diags, ALLOY_ERROR, ev->file->source.name,
                     alloy_pos_at(ev->file, start), alloy_pos_at(ev->file, end),
                     "%s \"%.*s\" does not exist", what, STR_ARG(str_head(name, 300)));
    return ERR_PARSE;
}

/* --- values from pieces ------------------------------------------------------------------- */

int alloy_take_string(struct alloy_eval *ev, struct buf *b, struct alloy_value *out)
{
    struct str s = {0};
    bool over = b->error == ERR_LIMIT;
    if (b->error == 0)
        s = str_dup(ev->arena, buf_view(b));
    buf_reset(b);
    if (over)
        return err_set(&ev->err, ERR_PARSE, "a text of this component is too long");
    if (s.data == NULL)
        return alloy_eval_nomem(ev);
    *out = alloy_value_string(s);
    return 0;
}

int alloy_make_secret(struct alloy_eval *ev, struct str text, struct alloy_value *out)
{
    struct alloy_capsule *c = alloy_eval_alloc(ev, 1, sizeof *c);
    if (c == NULL)
        return alloy_eval_nomem(ev);
    *c = (struct alloy_capsule){.type = ALLOY_SECRET_TYPE, .secret = text};
    *out = (struct alloy_value){.type = ALLOY_CAPSULE, .capsule = c};
    return 0;
}

/* --- the walk ----------------------------------------------------------------------------- */

static int eval_array(struct alloy_eval *ev, const struct alloy_expr *e,
                      struct alloy_value *out)
{
    struct alloy_value *items = alloy_eval_alloc(ev, e->count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(ev);
    size_t n = 0;
    for (const struct alloy_expr *x = e->first; x != NULL; x = x->next) {
        int rc = alloy_eval_expr(ev, x, &items[n++]);
        if (rc != 0)
            return rc;
    }
    *out = (struct alloy_value){.type = ALLOY_ARRAY, .array = {n, items}};
    return 0;
}

static int eval_object(struct alloy_eval *ev, const struct alloy_expr *e,
                       struct alloy_value *out)
{
    struct alloy_field *fields = alloy_eval_alloc(ev, e->count, sizeof *fields);
    if (fields == NULL)
        return alloy_eval_nomem(ev);
    size_t n = 0;
    for (const struct alloy_key *k = e->fields; k != NULL; k = k->next, n++) {
        fields[n].key = k->name;
        int rc = alloy_eval_expr(ev, k->value, &fields[n].value);
        if (rc != 0)
            return rc;
    }
    n = alloy_fields_sort(fields, n);
    *out = (struct alloy_value){.type = ALLOY_OBJECT, .object = {n, fields}};
    return 0;
}

static int eval_access(struct alloy_eval *ev, const struct alloy_expr *e,
                       struct alloy_value *out)
{
    struct alloy_value v;
    int rc = alloy_eval_expr(ev, e->left, &v);
    if (rc != 0)
        return rc;
    if (v.type == ALLOY_CAPSULE)
        return alloy_fault(
            ev, NULL, &v,
            "expected object or array or a capsule convertible to an object, got "
            "capsule");
    if (v.type != ALLOY_OBJECT)
        return alloy_fault(ev, NULL, &v, "cannot access field \"%.*s\" on value of type %s",
                           STR_ARG(str_head(e->text, 200)), alloy_type_name(v.type));
    const struct alloy_value *field = alloy_object_get(&v.object, e->text);
    if (field == NULL)
        return fail_missing(ev, e->mark, e->end, "field", e->text);
    *out = *field;
    return 0;
}

static int eval_index(struct alloy_eval *ev, const struct alloy_expr *e,
                      struct alloy_value *out)
{
    struct alloy_value v, index;
    int rc = alloy_eval_expr(ev, e->left, &v);
    if (rc == 0)
        rc = alloy_eval_expr(ev, e->right, &index);
    if (rc != 0)
        return rc;
    if (v.type == ALLOY_ARRAY) {
        if (index.type != ALLOY_NUMBER)
            return alloy_fault_type(ev, NULL, &index, ALLOY_NUMBER);
        int64_t i = alloy_number_int(index.number);
        if (i < 0 || (uint64_t)i >= v.array.count)
            return alloy_fault(ev, NULL, &index,
                               "index %lld is out of range of array with length %zu",
                               (long long)i, v.array.count);
        *out = v.array.items[i];
        return 0;
    }
    if (v.type != ALLOY_OBJECT)
        return alloy_fault(ev, NULL, &v, "expected object or array%s, got %s",
                           v.type == ALLOY_CAPSULE ? " or a capsule convertible to an object"
                                                   : "",
                           alloy_type_name(v.type));
    if (index.type != ALLOY_STRING)
        return alloy_fault_type(ev, NULL, &index, ALLOY_STRING);
    const struct alloy_value *field = alloy_object_get(&v.object, index.string);
    *out = field == NULL ? (struct alloy_value){0} : *field;
    return 0;
}

static int eval_call(struct alloy_eval *ev, const struct alloy_expr *e, struct alloy_value *out)
{
    struct alloy_value callee;
    int rc = alloy_eval_expr(ev, e->left, &callee);
    if (rc != 0)
        return rc;
    if (callee.type != ALLOY_FUNCTION)
        return alloy_fault_type(ev, NULL, &callee, ALLOY_FUNCTION);
    struct alloy_value args;
    rc = eval_array(ev, e, &args);
    if (rc != 0)
        return rc;
    return alloy_call(ev, &callee, args.array.items, args.array.count, out);
}

static int eval_operator(struct alloy_eval *ev, const struct alloy_expr *e,
                         struct alloy_value *out)
{
    struct alloy_value a, b;
    int rc = alloy_eval_expr(ev, e->left, &a);
    if (rc != 0)
        return rc;
    if (e->kind == ALLOY_E_UNARY)
        return alloy_unary(ev, e->op, &a, out);
    rc = alloy_eval_expr(ev, e->right, &b);
    if (rc != 0)
        return rc;
    return alloy_binary(ev, e->op, &a, &b, out);
}

static int eval_name(struct alloy_eval *ev, const struct alloy_expr *e, struct alloy_value *out)
{
    if (ev->lookup != NULL && ev->lookup(ev->lookup_arg, e->text, out))
        return 0;
    if (alloy_stdlib_lookup(ev, e->text, out))
        return 0;
    if (ev->err.code != 0)
        return ev->err.code;
    return fail_missing(ev, e->start, e->end, "identifier", e->text);
}

int alloy_eval_expr(struct alloy_eval *ev, const struct alloy_expr *e, struct alloy_value *out)
{
    struct alloy_value v = {0};
    int rc = ERR_INTERNAL;
    switch (e->kind) {
    case ALLOY_E_LITERAL:
        rc = alloy_literal(ev, e, &v);
        break;
    case ALLOY_E_IDENT:
        rc = eval_name(ev, e, &v);
        break;
    case ALLOY_E_ARRAY:
        rc = eval_array(ev, e, &v);
        break;
    case ALLOY_E_OBJECT:
        rc = eval_object(ev, e, &v);
        break;
    case ALLOY_E_PAREN:
        rc = alloy_eval_expr(ev, e->left, &v);
        break;
    case ALLOY_E_UNARY:
    case ALLOY_E_BINARY:
        rc = eval_operator(ev, e, &v);
        break;
    case ALLOY_E_ACCESS:
        rc = eval_access(ev, e, &v);
        break;
    case ALLOY_E_INDEX:
        rc = eval_index(ev, e, &v);
        break;
    case ALLOY_E_CALL:
        rc = eval_call(ev, e, &v);
        break;
    }
    v.expr = e;
    *out = v;
    return rc;
}
