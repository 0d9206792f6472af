/* wire/msg_json.c - JSON to structs and back, along field tables: protobuf's mapping.
 *
 * cJSON builds a tree of the checked text; it is gone when msg_from_json() returns. */
#include "wire/msg.h"

#include "base/mem.h"
#include "wire/base64.h"
#include "wire/json.h"
#include "wire/json_check.h"
#include "wire/msg_slot.h"
#include "wire/pb.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

/* --- reading ----------------------------------------------------------------------------- */

struct reader {
    struct arena *arena;
    uint32_t depth_max;
    size_t budget; /* elements */
    struct err *err;
};

/* cJSON does not say why it failed, and its allocator is one for the process: the thread's last
 * parse leaves word here. */
static _Thread_local bool heap_failed;

static void *tree_alloc(size_t size)
{
    void *p = mem_alloc(size);
    if (p == NULL)
        heap_failed = true;
    return p;
}

/* malloc and mem_alloc() give the same kind of memory, so trees of other threads come to no
 * harm when this changes under them. */
static void use_our_heap(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&done))
        cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = tree_alloc, .free_fn = mem_free});
}

static int fail(const struct reader *r, int code, const struct msg_type *t,
                const struct msg_field *f, const char *what)
{
    return err_set(r->err, code, "%s.%s: %s", t->name, f->json, what);
}

static const struct msg_field *find(const struct msg_type *t, const char *key)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (strcmp(t->fields[i].json, key) == 0 || strcmp(t->fields[i].name, key) == 0)
            return &t->fields[i];
    return NULL;
}

/* The number that the text of a string is; JSON's grammar only. */
static bool text_number(const char *text, double *v)
{
    struct str s = str_c(text);
    if (s.len == 0 || str_find(STR("-0123456789"), s.data[0]) == SIZE_MAX ||
        str_find(STR("0123456789"), s.data[s.len - 1]) == SIZE_MAX || json_check(s, NULL) != 0)
        return false;
    *v = strtod(text, NULL);
    return !isinf(*v);
}

/* A whole number that a double holds without doubt. 2^53 itself may be a neighbour rounded. */
static bool whole(double v, int64_t *out)
{
    if (!(v > -9007199254740992.0 && v < 9007199254740992.0) || v != floor(v))
        return false;
    *out = (int64_t)v;
    return true;
}

static bool read_i64(const cJSON *item, int64_t *out)
{
    double v;
    if (cJSON_IsNumber(item))
        return whole(item->valuedouble, out);
    if (!cJSON_IsString(item) || item->valuestring[0] == '+')
        return false;
    return str_i64(str_c(item->valuestring), out) == 0 ||
           (text_number(item->valuestring, &v) && whole(v, out));
}

static bool read_u64(const cJSON *item, uint64_t *out)
{
    int64_t v = 0;
    if (cJSON_IsString(item) && str_u64(str_c(item->valuestring), out) == 0)
        return true;
    if (!read_i64(item, &v) || v < 0)
        return false;
    *out = (uint64_t)v;
    return true;
}

static bool read_double(const cJSON *item, double *out)
{
    *out = item->valuedouble;
    if (cJSON_IsNumber(item))
        return !isinf(*out);
    if (!cJSON_IsString(item))
        return false;
    struct str s = str_c(item->valuestring);
    if (str_eq(s, STR("NaN")))
        *out = (double)NAN;
    else if (str_eq(s, STR("Infinity")) || str_eq(s, STR("-Infinity")))
        *out = s.len == 8 ? (double)INFINITY : -(double)INFINITY;
    else
        return text_number(item->valuestring, out);
    return true;
}

/* Of an enum: its number, or that of its name; *known is false for a name that we do not have. */
static bool read_enum(const struct msg_field *f, const cJSON *item, int64_t *out, bool *known)
{
    if (!cJSON_IsString(item))
        return read_i64(item, out);
    for (const struct msg_enum *e = f->names; e->name != NULL; e++) {
        if (strcmp(e->name, item->valuestring) == 0) {
            *out = e->value;
            return true;
        }
    }
    *known = false;
    return true;
}

static int read_bytes(struct reader *r, const struct msg_type *t, const struct msg_field *f,
                      void *slot, const cJSON *item)
{
    if (!cJSON_IsString(item))
        return fail(r, ERR_PARSE, t, f, "not a string");
    struct str text = str_c(item->valuestring);
    if (f->kind == MSG_STRING) {
        *(struct str *)slot = str_dup(r->arena, text);
        return ((struct str *)slot)->data == NULL ? fail(r, ERR_NOMEM, t, f, "no memory") : 0;
    }
    uint8_t *bytes = arena_alloc(r->arena, base64_room(text.len));
    if (bytes == NULL)
        return fail(r, ERR_NOMEM, t, f, "no memory");
    size_t size = 0;
    if (base64_read(text, bytes, &size) != 0)
        return fail(r, ERR_PARSE, t, f, "not base64");
    *(struct str *)slot = str_of(bytes, size);
    return 0;
}

/* A number, bool or enum. *known: see read_enum(). */
static int read_number(struct reader *r, const struct msg_type *t, const struct msg_field *f,
                       void *slot, const cJSON *item, bool *known)
{
    enum msg_kind kind = (enum msg_kind)f->kind;
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    bool good;
    if (kind == MSG_BOOL) {
        good = cJSON_IsBool(item);
        u = cJSON_IsTrue(item) ? 1 : 0;
    } else if (kind == MSG_DOUBLE) {
        good = read_double(item, &d);
        u = pb_double_bits(d);
    } else if (kind == MSG_U64 || kind == MSG_FIXED64) {
        good = read_u64(item, &u);
    } else if (kind == MSG_U32 || kind == MSG_FIXED32) {
        good = read_u64(item, &u) && u <= UINT32_MAX;
    } else {
        good = kind == MSG_ENUM ? read_enum(f, item, &i, known) : read_i64(item, &i);
        good = good && (kind == MSG_I64 || (i >= INT32_MIN && i <= INT32_MAX));
        u = (uint64_t)i;
    }
    if (!good)
        return fail(r, ERR_PARSE, t, f,
                    cJSON_IsNumber(item) ? "out of range, or too large for a JSON number"
                                         : "wrong type");
    msg_store(kind, slot, u);
    return 0;
}

static int read_object(struct reader *r, const struct msg_type *t, void *out, const cJSON *o,
                       uint32_t depth);

/* One value into slot. */
static int read_one(struct reader *r, const struct msg_type *t, const struct msg_field *f,
                    void *slot, const cJSON *item, uint32_t depth, bool *known)
{
    if (f->kind == MSG_STRING || f->kind == MSG_BYTES)
        return read_bytes(r, t, f, slot, item);
    if (f->kind != MSG_MESSAGE)
        return read_number(r, t, f, slot, item, known);
    if (!cJSON_IsObject(item))
        return fail(r, ERR_PARSE, t, f, "not an object");
    if (depth >= r->depth_max)
        return fail(r, ERR_LIMIT, t, f, "nested too deep");
    return read_object(r, f->type, slot, item, depth + 1);
}

static int read_array(struct reader *r, const struct msg_type *t, const struct msg_field *f,
                      void *out, const cJSON *item, uint32_t depth)
{
    if (!cJSON_IsArray(item))
        return fail(r, ERR_PARSE, t, f, "not an array");
    size_t n = 0, size = msg_element_size(f), *count = msg_count_at(f, out);
    const cJSON *e;
    cJSON_ArrayForEach(e, item) n++;
    int rc = n == 0 ? 0 : msg_grow(f, out, n, r->arena, &r->budget);
    if (rc != 0)
        return fail(r, rc, t, f, rc == ERR_LIMIT ? "too many elements" : "no memory");
    cJSON_ArrayForEach(e, item)
    {
        bool known = true;
        char *array = msg_pointer(msg_at(f, out));
        rc = read_one(r, t, f, array + *count * size, e, depth, &known);
        if (rc != 0)
            return rc;
        if (known)
            ++*count;
    }
    return 0;
}

static int read_member(struct reader *r, const struct msg_type *t, const struct msg_field *f,
                       void *out, const cJSON *item, uint32_t depth)
{
    if ((f->flags & MSG_REPEATED) != 0)
        return read_array(r, t, f, out, item, depth);
    void *slot = msg_at(f, out);
    if (f->kind == MSG_MESSAGE) {
        void *sub = arena_zalloc(r->arena, f->type->size);
        if (sub == NULL)
            return fail(r, ERR_NOMEM, t, f, "no memory");
        msg_set_pointer(slot, sub);
        slot = sub;
    }
    bool known = true;
    int rc = read_one(r, t, f, slot, item, depth, &known);
    if (rc == 0 && known && (f->flags & MSG_OPTIONAL) != 0)
        *msg_has_at(f, out) = true;
    return rc;
}

static int read_object(struct reader *r, const struct msg_type *t, void *out, const cJSON *o,
                       uint32_t depth)
{
    uint64_t seen = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, o)
    {
        const struct msg_field *f = find(t, item->string);
        if (f == NULL)
            continue;
        uint64_t bit = (uint64_t)1 << (f - t->fields);
        if ((seen & bit) != 0)
            return fail(r, ERR_PARSE, t, f, "given twice");
        seen |= bit;
        int rc = cJSON_IsNull(item) ? 0 : read_member(r, t, f, out, item, depth);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int msg_from_json(const struct msg_type *t, void *out, struct str json, struct arena *a,
                  const struct msg_limits *limits, struct err *err)
{
    struct msg_limits none = {0};
    if (limits == NULL)
        limits = &none;
    memset(out, 0, t->size);
    size_t most = limits->json_bytes_max == 0 ? (size_t)MSG_JSON : limits->json_bytes_max;
    if (json.len > most)
        return err_set(err, ERR_LIMIT, "JSON of %zu bytes, at most %zu are taken", json.len,
                       most);
    int rc = json_check(json, err);
    if (rc != 0)
        return rc;
    use_our_heap();
    heap_failed = false;
    cJSON *tree = cJSON_ParseWithLength(json.data, json.len);
    if (tree == NULL)
        return heap_failed ? err_set(err, ERR_NOMEM, "JSON: no memory for the tree")
                           : err_set(err, ERR_PARSE,
                                     "JSON: half a surrogate pair or a number too long");
    struct reader r = {
        .arena = a,
        .depth_max = limits->depth_max == 0 ? (uint32_t)MSG_DEPTH : limits->depth_max,
        .budget = limits->elements_max == 0 ? (size_t)MSG_ELEMENTS : limits->elements_max,
        .err = err,
    };
    rc = cJSON_IsObject(tree) ? read_object(&r, t, out, tree, 1)
                              : err_set(err, ERR_PARSE, "%s: JSON is not an object", t->name);
    cJSON_Delete(tree);
    return rc;
}

/* --- writing ----------------------------------------------------------------------------- */

static void write_object(const struct msg_type *t, const void *in, struct json *j);

static void write_enum(const struct msg_field *f, int32_t v, struct json *j)
{
    for (const struct msg_enum *e = f->names; e->name != NULL; e++) {
        if (e->value == v) {
            json_c(j, e->name);
            return;
        }
    }
    json_i64(j, v);
}

/* One value; for messages slot is the message itself. */
static void write_one(const struct msg_field *f, const void *slot, struct json *j)
{
    switch ((enum msg_kind)f->kind) {
    case MSG_BOOL:
        json_bool(j, *(const bool *)slot);
        break;
    case MSG_I32:
        json_i64(j, *(const int32_t *)slot);
        break;
    case MSG_U32:
    case MSG_FIXED32:
        json_u64(j, *(const uint32_t *)slot);
        break;
    case MSG_I64:
        json_i64_text(j, *(const int64_t *)slot);
        break;
    case MSG_U64:
    case MSG_FIXED64:
        json_u64_text(j, *(const uint64_t *)slot);
        break;
    case MSG_DOUBLE:
        json_f64(j, *(const double *)slot);
        break;
    case MSG_STRING:
        json_str(j, *(const struct str *)slot);
        break;
    case MSG_BYTES:
        json_base64(j, *(const struct str *)slot);
        break;
    case MSG_ENUM:
        write_enum(f, *(const int32_t *)slot, j);
        break;
    case MSG_MESSAGE:
        write_object(f->type, slot, j);
        break;
    }
}

static void write_array(const struct msg_field *f, const void *in, struct json *j)
{
    size_t count = msg_count_in(f, in), size = msg_element_size(f);
    const char *array = msg_pointer(msg_in(f, in));
    if (count == 0)
        return;
    json_key(j, f->json);
    json_begin_array(j);
    for (size_t i = 0; i < count && j->out->error == 0; i++)
        write_one(f, array + i * size, j);
    json_end_array(j);
}

/* True when a singular field stands in the output. *slot is moved to the message, if it is one. */
static bool is_set(const struct msg_field *f, const void *in, const void **slot)
{
    if (f->kind == MSG_MESSAGE) {
        *slot = msg_pointer(*slot);
        return *slot != NULL;
    }
    if ((f->flags & MSG_OPTIONAL) != 0)
        return msg_has_in(f, in);
    if (f->kind == MSG_STRING || f->kind == MSG_BYTES)
        return ((const struct str *)*slot)->len > 0;
    return msg_load((enum msg_kind)f->kind, *slot) != 0;
}

static void write_object(const struct msg_type *t, const void *in, struct json *j)
{
    json_begin_object(j);
    for (uint32_t i = 0; i < t->count; i++) {
        const struct msg_field *f = &t->fields[i];
        const void *slot = msg_in(f, in);
        if ((f->flags & MSG_REPEATED) != 0) {
            write_array(f, in, j);
        } else if (is_set(f, in, &slot)) {
            json_key(j, f->json);
            write_one(f, slot, j);
        }
    }
    json_end_object(j);
}

void msg_to_json(const struct msg_type *t, const void *in, struct buf *out)
{
    struct json j = json_to(out);
    write_object(t, in, &j);
}
