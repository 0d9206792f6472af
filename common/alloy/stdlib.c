/* alloy/stdlib.c - the functions and constants of the language: finding and calling them. */
#include "alloy/eval_priv.h"

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#else
#define ARCH "unknown"
#endif

static const struct alloy_function *const tables[] = {alloy_text_functions,
                                                      alloy_data_functions};

enum { TABLES = 2, NAMESPACE_MAX = 16 };

static struct alloy_value function_value(const struct alloy_function *f)
{
    return (struct alloy_value){.type = ALLOY_FUNCTION, .function = f};
}

/* "string.format" is the field "format" of the object "string". */
static bool in_namespace(const struct alloy_function *f, struct str name, struct str *field)
{
    struct str rest = str_c(f->name), head;
    bool dotted = str_find(rest, '.') != SIZE_MAX && str_cut(&rest, '.', &head);
    *field = rest;
    return dotted && str_eq(head, name);
}

static bool make_object(struct alloy_eval *ev, struct alloy_field *fields, size_t count,
                        struct alloy_value *out)
{
    struct alloy_field *copy = alloy_eval_alloc(ev, count, sizeof *copy);
    if (copy == NULL) {
        (void)alloy_eval_nomem(ev);
        return false;
    }
    memcpy(copy, fields, count * sizeof *copy);
    count = alloy_fields_sort(copy, count);
    *out = (struct alloy_value){.type = ALLOY_OBJECT, .object = {count, copy}};
    return true;
}

static bool find_constants(struct alloy_eval *ev, struct alloy_value *out)
{
    struct alloy_field f[] = {
        {.key = STR("arch"), .value = alloy_value_string(STR(ARCH))},
        {.key = STR("hostname"), .value = alloy_value_string(str_c(ev->hostname))},
        {.key = STR("os"), .value = alloy_value_string(STR("linux"))},
        {.key = STR("version"), .value = alloy_value_string(str_c(ev->version))},
    };
    return make_object(ev, f, sizeof f / sizeof f[0], out);
}

bool alloy_stdlib_lookup(struct alloy_eval *ev, struct str name, struct alloy_value *out)
{
    struct alloy_field fields[NAMESPACE_MAX];
    size_t count = 0;
    if (str_eq(name, STR("constants")))
        return find_constants(ev, out);
    for (size_t t = 0; t < TABLES; t++)
        for (const struct alloy_function *f = tables[t]; f->name != NULL; f++) {
            struct str field;
            if (str_eq(name, str_c(f->name)) ||
                (f->alias != NULL && str_eq(name, str_c(f->alias)))) {
                *out = function_value(f);
                return true;
            }
            if (in_namespace(f, name, &field) && count < NAMESPACE_MAX)
                fields[count++] =
                    (struct alloy_field){.key = field, .value = function_value(f)};
        }
    return count > 0 && make_object(ev, fields, count, out);
}

bool alloy_stdlib_is_deprecated(struct str name)
{
    for (size_t t = 0; t < TABLES; t++)
        for (const struct alloy_function *f = tables[t]; f->name != NULL; f++)
            if (f->alias != NULL && str_eq(name, str_c(f->alias)))
                return true;
    return false;
}

/* --- calls -------------------------------------------------------------------------------- */

static int to_strings(struct alloy_eval *ev, const struct alloy_value *v,
                      struct alloy_value *out)
{
    if (v->type == ALLOY_NULL) {
        *out = (struct alloy_value){.type = ALLOY_ARRAY};
        return 0;
    }
    if (v->type != ALLOY_ARRAY)
        return alloy_fault_type(ev, NULL, v, ALLOY_ARRAY);
    struct alloy_value *items = alloy_eval_alloc(ev, v->array.count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(ev);
    for (size_t i = 0; i < v->array.count; i++) {
        struct alloy_path in = {.value = v, .index = i};
        struct str s;
        int rc = alloy_to_string(ev, &in, &v->array.items[i], &s);
        if (rc != 0)
            return rc;
        items[i] = alloy_value_string(s);
    }
    *out = (struct alloy_value){.type = ALLOY_ARRAY, .array = {v->array.count, items}};
    return 0;
}

/* One argument as its letter wants it; what it was written as stays with it. */
static int convert_argument(struct alloy_eval *ev, char letter, const struct alloy_value *v,
                            struct alloy_value *out)
{
    struct str s;
    int rc = 0;
    if (letter == 'v') {
        *out = *v;
    } else if (letter == 'l') {
        rc = to_strings(ev, v, out);
    } else if (letter == 'S' && v->type == ALLOY_CAPSULE &&
               str_eq(str_c(v->capsule->type), STR(ALLOY_SECRET_TYPE))) {
        *out = alloy_value_string(v->capsule->secret);
    } else if (letter == 'S' && v->type != ALLOY_STRING && v->type != ALLOY_NULL) {
        rc = alloy_fault_type(ev, NULL, v, ALLOY_CAPSULE);
    } else {
        rc = alloy_to_string(ev, NULL, v, &s);
        if (rc == 0)
            *out = alloy_value_string(s);
    }
    out->expr = v->expr;
    return rc;
}

int alloy_call(struct alloy_eval *ev, const struct alloy_value *callee,
               const struct alloy_value *args, size_t count, struct alloy_value *out)
{
    const struct alloy_function *f = callee->function;
    struct str params = str_c(f->params);
    bool open = str_ends_with(params, STR("*"));
    size_t fixed = open ? params.len - 2 : params.len;
    if (open && count < fixed)
        return alloy_fault(ev, NULL, callee, "expected at least %zu args, got %zu", fixed,
                           count);
    if (!open && count != fixed)
        return alloy_fault(ev, NULL, callee, "expected %zu args, got %zu", fixed, count);
    struct alloy_value *converted = alloy_eval_alloc(ev, count, sizeof *converted);
    if (converted == NULL)
        return alloy_eval_nomem(ev);
    for (size_t i = 0; i < count; i++) {
        char letter = params.data[i < fixed || !open ? i : fixed];
        int rc = convert_argument(ev, letter, &args[i], &converted[i]);
        if (rc != 0)
            return rc;
    }
    struct alloy_call c = {ev, callee, converted, count};
    return f->run(&c, out);
}
