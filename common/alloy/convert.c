/* alloy/convert.c - values into the fields of a struct, one function a kind. */
#include "alloy/decode_priv.h"

#include "base/mem.h"

static int store_secret(struct alloy_eval *ev, const struct alloy_path *path,
                        const struct alloy_value *v, struct str *out)
{
    if (v->type == ALLOY_NULL || v->type == ALLOY_STRING)
        return alloy_to_string(ev, path, v, out);
    if (v->type != ALLOY_CAPSULE)
        return alloy_fault_type(ev, path, v, ALLOY_CAPSULE);
    if (!str_eq(str_c(v->capsule->type), STR(ALLOY_SECRET_TYPE)))
        return alloy_fault(ev, path, v, "expected capsule(\"%s\"), got capsule(\"%s\")",
                           ALLOY_SECRET_TYPE, v->capsule->type);
    *out = str_dup(ev->arena, v->capsule->secret);
    return out->data == NULL ? alloy_eval_nomem(ev) : 0;
}

static int store_ms(struct alloy_eval *ev, const struct alloy_value *v, int64_t *out)
{
    struct str text;
    struct err err = {0};
    *out = 0;
    if (v->type == ALLOY_NULL)
        return 0;
    int rc = alloy_to_string(ev, NULL, v, &text);
    if (rc == 0 && alloy_parse_ms(text, out, &err) != 0)
        rc = alloy_fault(ev, NULL, v, "%s", err.msg);
    return rc;
}

static struct alloy_path into_element(const struct alloy_path *up, const struct alloy_value *v,
                                      size_t index)
{
    return (struct alloy_path){.up = up, .value = v, .index = index};
}

static struct alloy_path into_field(const struct alloy_path *up, const struct alloy_value *v,
                                    size_t index)
{
    return (struct alloy_path){
        .up = up, .value = v, .is_field = true, .field = v->object.fields[index].key};
}

/* list(string), or list(secret). */
static int store_strs(struct alloy_eval *ev, const struct alloy_path *path,
                      const struct alloy_value *v, bool secret, struct alloy_strs *out)
{
    *out = (struct alloy_strs){0};
    if (v->type == ALLOY_NULL)
        return 0;
    if (v->type != ALLOY_ARRAY)
        return alloy_fault_type(ev, path, v, ALLOY_ARRAY);
    struct str *items = alloy_eval_alloc(ev, v->array.count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(ev);
    for (size_t i = 0; i < v->array.count; i++) {
        struct alloy_path in = into_element(path, v, i);
        int rc = secret ? store_secret(ev, &in, &v->array.items[i], &items[i])
                        : alloy_to_string(ev, &in, &v->array.items[i], &items[i]);
        if (rc != 0)
            return rc;
    }
    *out = (struct alloy_strs){v->array.count, items};
    return 0;
}

static int copy_key(struct alloy_eval *ev, struct str key, struct str *out)
{
    *out = str_dup(ev->arena, key);
    return out->data == NULL ? alloy_eval_nomem(ev) : 0;
}

static int store_map(struct alloy_eval *ev, const struct alloy_path *path,
                     const struct alloy_value *v, struct alloy_map *out)
{
    *out = (struct alloy_map){0};
    if (v->type == ALLOY_NULL)
        return 0;
    if (v->type != ALLOY_OBJECT)
        return alloy_fault_type(ev, path, v, ALLOY_OBJECT);
    struct alloy_pair *items = alloy_eval_alloc(ev, v->object.count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(ev);
    for (size_t i = 0; i < v->object.count; i++) {
        struct alloy_path in = into_field(path, v, i);
        int rc = copy_key(ev, v->object.fields[i].key, &items[i].key);
        if (rc == 0)
            rc = alloy_to_string(ev, &in, &v->object.fields[i].value, &items[i].value);
        if (rc != 0)
            return rc;
    }
    *out = (struct alloy_map){v->object.count, items};
    return 0;
}

static int store_maps(struct alloy_eval *ev, const struct alloy_value *v,
                      struct alloy_maps *out)
{
    *out = (struct alloy_maps){0};
    if (v->type == ALLOY_NULL)
        return 0;
    if (v->type != ALLOY_ARRAY)
        return alloy_fault_type(ev, NULL, v, ALLOY_ARRAY);
    struct alloy_map *items = alloy_eval_alloc(ev, v->array.count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(ev);
    for (size_t i = 0; i < v->array.count; i++) {
        struct alloy_path in = into_element(NULL, v, i);
        int rc = store_map(ev, &in, &v->array.items[i], &items[i]);
        if (rc != 0)
            return rc;
    }
    *out = (struct alloy_maps){v->array.count, items};
    return 0;
}

static int store_map_strs(struct alloy_eval *ev, const struct alloy_value *v, bool secret,
                          struct alloy_map_strs *out)
{
    *out = (struct alloy_map_strs){0};
    if (v->type == ALLOY_NULL)
        return 0;
    if (v->type != ALLOY_OBJECT)
        return alloy_fault_type(ev, NULL, v, ALLOY_OBJECT);
    struct alloy_pair_strs *items = alloy_eval_alloc(ev, v->object.count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(ev);
    for (size_t i = 0; i < v->object.count; i++) {
        struct alloy_path in = into_field(NULL, v, i);
        int rc = copy_key(ev, v->object.fields[i].key, &items[i].key);
        if (rc == 0)
            rc = store_strs(ev, &in, &v->object.fields[i].value, secret, &items[i].values);
        if (rc != 0)
            return rc;
    }
    *out = (struct alloy_map_strs){v->object.count, items};
    return 0;
}

static int store_capsule(struct alloy_eval *ev, const struct alloy_path *path, const char *type,
                         const struct alloy_value *v, const struct alloy_capsule **out)
{
    *out = NULL;
    if (v->type == ALLOY_NULL)
        return 0;
    if (v->type != ALLOY_CAPSULE)
        return alloy_fault_type(ev, path, v, ALLOY_CAPSULE);
    if (!str_eq(str_c(v->capsule->type), str_c(type)))
        return alloy_fault(ev, path, v, "expected capsule(\"%s\"), got capsule(\"%s\")", type,
                           v->capsule->type);
    *out = v->capsule;
    return 0;
}

/* Nulls in the list are left out. */
static int store_capsules(struct alloy_eval *ev, const char *type, const struct alloy_value *v,
                          struct alloy_capsules *out)
{
    *out = (struct alloy_capsules){0};
    if (v->type == ALLOY_NULL)
        return 0;
    if (v->type != ALLOY_ARRAY)
        return alloy_fault_type(ev, NULL, v, ALLOY_ARRAY);
    const struct alloy_capsule **items = alloy_eval_alloc(ev, v->array.count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(ev);
    size_t n = 0;
    for (size_t i = 0; i < v->array.count; i++) {
        struct alloy_path in = into_element(NULL, v, i);
        int rc = store_capsule(ev, &in, type, &v->array.items[i], &items[n]);
        if (rc != 0)
            return rc;
        n += items[n] != NULL;
    }
    *out = (struct alloy_capsules){n, items};
    return 0;
}

static int copy_at(struct alloy_eval *ev, const struct alloy_value *v, int depth,
                   struct alloy_value *out)
{
    *out = *v;
    out->expr = NULL;
    if (depth > 2 * ALLOY_DEPTH_MAX)
        return err_set(&ev->err, ERR_PARSE, "the value is nested too deeply");
    if (v->type == ALLOY_STRING) {
        out->string = str_dup(ev->arena, v->string);
        return out->string.data == NULL ? alloy_eval_nomem(ev) : 0;
    }
    if (v->type == ALLOY_CAPSULE && v->capsule->node == NULL) {
        struct alloy_capsule *c = arena_dup(ev->arena, v->capsule, sizeof *c);
        if (c == NULL)
            return alloy_eval_nomem(ev);
        out->capsule = c;
        return copy_key(ev, v->capsule->secret, &c->secret);
    }
    if (v->type == ALLOY_ARRAY) {
        struct alloy_value *items = alloy_eval_alloc(ev, v->array.count, sizeof *items);
        int rc = items == NULL ? alloy_eval_nomem(ev) : 0;
        for (size_t i = 0; rc == 0 && i < v->array.count; i++)
            rc = copy_at(ev, &v->array.items[i], depth + 1, &items[i]);
        out->array.items = items;
        return rc;
    }
    if (v->type == ALLOY_OBJECT) {
        struct alloy_field *fields = alloy_eval_alloc(ev, v->object.count, sizeof *fields);
        int rc = fields == NULL ? alloy_eval_nomem(ev) : 0;
        for (size_t i = 0; rc == 0 && i < v->object.count; i++) {
            rc = copy_key(ev, v->object.fields[i].key, &fields[i].key);
            if (rc == 0)
                rc = copy_at(ev, &v->object.fields[i].value, depth + 1, &fields[i].value);
        }
        out->object.fields = fields;
        return rc;
    }
    return 0;
}

int alloy_value_copy(struct alloy_eval *ev, const struct alloy_value *v,
                     struct alloy_value *out)
{
    return copy_at(ev, v, 0, out);
}

int alloy_decode_value(struct alloy_eval *ev, const struct alloy_row *row,
                       const struct alloy_value *v, void *field)
{
    struct alloy_number n = {0};
    int rc;
    switch ((int)row->kind) {
    case ALLOY_K_BOOL:
        if (v->type != ALLOY_BOOL && v->type != ALLOY_NULL)
            return alloy_fault_type(ev, NULL, v, ALLOY_BOOL);
        *(bool *)field = v->type == ALLOY_BOOL && v->boolean;
        return 0;
    case ALLOY_K_I64:
        rc = alloy_to_number(ev, NULL, v, &n);
        *(int64_t *)field = alloy_number_int(n);
        return rc;
    case ALLOY_K_DOUBLE:
        rc = alloy_to_number(ev, NULL, v, &n);
        *(double *)field = alloy_number_float(n);
        return rc;
    case ALLOY_K_STR:
        return alloy_to_string(ev, NULL, v, field);
    case ALLOY_K_SECRET:
        return store_secret(ev, NULL, v, field);
    case ALLOY_K_MS:
        return store_ms(ev, v, field);
    case ALLOY_K_STRS:
        return store_strs(ev, NULL, v, false, field);
    case ALLOY_K_MAP:
        return store_map(ev, NULL, v, field);
    case ALLOY_K_MAPS:
        return store_maps(ev, v, field);
    case ALLOY_K_MAP_STRS:
    case ALLOY_K_MAP_SECRETS:
        return store_map_strs(ev, v, row->kind == ALLOY_K_MAP_SECRETS, field);
    case ALLOY_K_CAPSULE:
        return store_capsule(ev, NULL, row->detail, v, field);
    case ALLOY_K_CAPSULES:
        return store_capsules(ev, row->detail, v, field);
    case ALLOY_K_VALUE:
        return alloy_value_copy(ev, v, field);
    default:
        return err_set(&ev->err, ERR_INTERNAL, "%s is no attribute", row->name);
    }
}
