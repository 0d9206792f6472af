/* alloy/value.c - numbers as numbers and as text, equality, and how values are shown. */
#include "alloy/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloy/ast.h"
#include "alloy/format.h"

static const char *const type_names[] = {
    "null", "number", "string", "bool", "array", "object", "function", "capsule",
};

const char *alloy_type_name(enum alloy_type type)
{
    return type_names[type];
}

struct alloy_value alloy_value_string(struct str s)
{
    return (struct alloy_value){.type = ALLOY_STRING, .string = s};
}

struct alloy_value alloy_value_bool(bool b)
{
    return (struct alloy_value){.type = ALLOY_BOOL, .boolean = b};
}

struct alloy_value alloy_value_int(int64_t i)
{
    return (struct alloy_value){.type = ALLOY_NUMBER, .number = {.kind = ALLOY_INT, .i = i}};
}

struct alloy_value alloy_value_uint(uint64_t u)
{
    return (struct alloy_value){.type = ALLOY_NUMBER, .number = {.kind = ALLOY_UINT, .u = u}};
}

struct alloy_value alloy_value_float(double f)
{
    return (struct alloy_value){.type = ALLOY_NUMBER, .number = {.kind = ALLOY_FLOAT, .f = f}};
}

int64_t alloy_number_int(struct alloy_number n)
{
    if (n.kind != ALLOY_FLOAT)
        return n.i;
    return n.f >= -0x1p63 && n.f < 0x1p63 ? (int64_t)n.f : INT64_MIN;
}

uint64_t alloy_number_uint(struct alloy_number n)
{
    if (n.kind != ALLOY_FLOAT)
        return n.u;
    if (n.f >= 0x1p63 && n.f < 0x1p64)
        return (uint64_t)n.f;
    return (uint64_t)alloy_number_int(n);
}

double alloy_number_float(struct alloy_number n)
{
    if (n.kind == ALLOY_FLOAT)
        return n.f;
    return n.kind == ALLOY_INT ? (double)n.i : (double)n.u;
}

/* The fewest digits that read back as f, without an exponent. */
static void put_float(double f, struct buf *out)
{
    if (!isfinite(f)) {
        buf_c(out, isnan(f) ? "NaN" : f < 0 ? "-Inf" : "+Inf");
        return;
    }
    char text[40];
    for (int digits = 0; digits < 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*e", digits, f);
        if (strtod(text, NULL) == f)
            break;
    }
    char *e = strchr(text, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    char digits[24];
    int n = 0;
    for (char *c = text; c < e; c++)
        if (*c >= '0' && *c <= '9')
            digits[n++] = *c;
    if (text[0] == '-')
        buf_u8(out, '-');
    if (exponent < 0)
        buf_c(out, "0.");
    for (int i = -1; i > exponent; i--)
        buf_u8(out, '0');
    for (int i = 0; i < n; i++) {
        if (i == exponent + 1 && exponent >= 0)
            buf_u8(out, '.');
        buf_u8(out, (uint8_t)digits[i]);
    }
    for (int i = n; i <= exponent; i++)
        buf_u8(out, '0');
}

void alloy_number_put(struct alloy_number n, struct buf *out)
{
    if (n.kind == ALLOY_INT)
        buf_dec(out, n.i);
    else if (n.kind == ALLOY_UINT)
        buf_udec(out, n.u);
    else
        put_float(n.f, out);
}

const struct alloy_value *alloy_object_get(const struct alloy_object *o, struct str key)
{
    size_t low = 0, high = o->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = str_cmp(o->fields[mid].key, key);
        if (order == 0)
            return &o->fields[mid].value;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static int compare_fields(const void *a, const void *b)
{
    const struct alloy_field *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

size_t alloy_fields_sort(struct alloy_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fields[i].order = (uint32_t)i;
    if (count > 1)
        qsort(fields, count, sizeof *fields, compare_fields);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (i + 1 == count || !str_eq(fields[i].key, fields[i + 1].key))
            fields[kept++] = fields[i];
    return kept;
}

static bool numbers_equal(struct alloy_number a, struct alloy_number b)
{
    if (a.kind == ALLOY_FLOAT || b.kind == ALLOY_FLOAT)
        return alloy_number_float(a) == alloy_number_float(b);
    return a.u == b.u;
}

static bool equal_at(const struct alloy_value *a, const struct alloy_value *b, int depth)
{
    if (a->type != b->type || depth > ALLOY_DEPTH_MAX)
        return false;
    switch (a->type) {
    case ALLOY_NULL:
        return true;
    case ALLOY_NUMBER:
        return numbers_equal(a->number, b->number);
    case ALLOY_STRING:
        return str_eq(a->string, b->string);
    case ALLOY_BOOL:
        return a->boolean == b->boolean;
    case ALLOY_ARRAY:
        if (a->array.count != b->array.count)
            return false;
        for (size_t i = 0; i < a->array.count; i++)
            if (!equal_at(&a->array.items[i], &b->array.items[i], depth + 1))
                return false;
        return true;
    case ALLOY_OBJECT:
        if (a->object.count != b->object.count)
            return false;
        for (size_t i = 0; i < a->object.count; i++) {
            const struct alloy_field *f = &a->object.fields[i];
            const struct alloy_value *other = alloy_object_get(&b->object, f->key);
            if (other == NULL || !equal_at(&f->value, other, depth + 1))
                return false;
        }
        return true;
    case ALLOY_FUNCTION:
        return false;
    case ALLOY_CAPSULE:
        return a->capsule->type == b->capsule->type && a->capsule->node == b->capsule->node &&
               a->capsule->field == b->capsule->field &&
               str_eq(a->capsule->secret, b->capsule->secret);
    }
    return false;
}

bool alloy_value_equal(const struct alloy_value *a, const struct alloy_value *b)
{
    return equal_at(a, b, 0);
}

static void print_at(const struct alloy_value *v, int depth, struct buf *out)
{
    if (depth > ALLOY_DEPTH_MAX) {
        buf_c(out, "...");
        return;
    }
    switch (v->type) {
    case ALLOY_NULL:
        buf_c(out, "null");
        break;
    case ALLOY_NUMBER:
        alloy_number_put(v->number, out);
        break;
    case ALLOY_STRING:
        alloy_quote(v->string, out);
        break;
    case ALLOY_BOOL:
        buf_c(out, v->boolean ? "true" : "false");
        break;
    case ALLOY_ARRAY:
        buf_u8(out, '[');
        for (size_t i = 0; i < v->array.count; i++) {
            buf_c(out, i > 0 ? ", " : "");
            print_at(&v->array.items[i], depth + 1, out);
        }
        buf_u8(out, ']');
        break;
    case ALLOY_OBJECT:
        buf_u8(out, '{');
        for (size_t i = 0; i < v->object.count; i++) {
            buf_c(out, i > 0 ? ", " : "");
            if (alloy_is_identifier(v->object.fields[i].key))
                buf_str(out, v->object.fields[i].key);
            else
                alloy_quote(v->object.fields[i].key, out);
            buf_c(out, " = ");
            print_at(&v->object.fields[i].value, depth + 1, out);
        }
        buf_u8(out, '}');
        break;
    case ALLOY_FUNCTION:
        buf_c(out, "function");
        break;
    case ALLOY_CAPSULE:
        if (strcmp(v->capsule->type, ALLOY_SECRET_TYPE) == 0)
            buf_c(out, "(secret)");
        else
            buf_printf(out, "capsule(\"%s\")", v->capsule->type);
        break;
    }
}

void alloy_value_print(const struct alloy_value *v, struct buf *out)
{
    print_at(v, 0, out);
}
