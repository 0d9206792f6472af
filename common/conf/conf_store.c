/* conf/conf_store.c - texts into fields and back. */
#include "conf/conf_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "conf/tree.h"
#include "conf/value.h"

const char *conf_wants(const struct conf_row *row, int code)
{
    if (code == ERR_LIMIT)
        return "is out of range";
    switch (row->type) {
    case CONF_BOOL:
        return "is not a boolean (true or false)";
    case CONF_I64:
    case CONF_U32:
    case CONF_U64:
        return "is not a whole number";
    case CONF_DOUBLE:
        return "is not a number";
    case CONF_MS:
    case CONF_MS64:
        return "is not a duration (like 1h30m, 15s, 200ms)";
    case CONF_SIZE:
        return "is not a size (bytes, or like 64MiB)";
    case CONF_STR:
    case CONF_LIST:
    case CONF_END:
        break;
    }
    return "cannot be used";
}

/* list := list (when appending) + count more texts, which are already in the arena. */
static int list_set(struct arena *a, struct conf_list *list, const char *const *more,
                    size_t count, bool append)
{
    size_t had = append ? list->count : 0;
    const char **items = arena_calloc(a, had + count + 1, sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < had; i++)
        items[i] = list->items[i];
    for (size_t i = 0; i < count; i++)
        items[had + i] = more[i];
    *list = (struct conf_list){had + count, items};
    return 0;
}

static int list_from_text(struct arena *a, struct conf_list *list, struct str text, bool append)
{
    size_t count = 0, most = 1;
    for (size_t i = 0; i < text.len; i++)
        most += text.data[i] == ',';
    const char **items = arena_calloc(a, most, sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    for (struct str rest = text, part; str_cut(&rest, ',', &part);) {
        part = str_trim(part);
        if (part.len == 0)
            continue;
        struct str copy = str_dup(a, part);
        if (copy.data == NULL)
            return ERR_NOMEM;
        ASSERT(count < most);
        items[count++] = copy.data;
    }
    return list_set(a, list, items, count, append);
}

int conf_store_seq(struct arena *a, struct conf_list *list, const struct tree_node *seq)
{
    const char **items = arena_calloc(a, (size_t)seq->count + 1, sizeof *items);
    size_t count = 0;
    if (items == NULL)
        return ERR_NOMEM;
    for (const struct tree_node *n = seq->first; n != NULL; n = n->next) {
        if (n->kind != TREE_SCALAR || tree_is_null(n))
            return ERR_PARSE;
        items[count++] = n->text.data;
    }
    return list_set(a, list, items, count, false);
}

static int store_u32(uint32_t *field, uint64_t v)
{
    if (v > UINT32_MAX)
        return ERR_LIMIT;
    if (field != NULL)
        *field = (uint32_t)v;
    return 0;
}

static int store_text(struct arena *a, const struct conf_row *row, void *field, struct str text,
                      bool append)
{
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        return ERR_PARSE;
    if (field == NULL)
        return 0;
    if (row->type == CONF_LIST)
        return list_from_text(a, field, text, append);
    struct str copy = str_dup(a, text);
    if (copy.data == NULL)
        return ERR_NOMEM;
    *(const char **)field = copy.data;
    return 0;
}

/* A minus in front of an unsigned number is a number all the same, out of range. */
static int parse_unsigned(struct str text, uint64_t *out)
{
    int64_t negative;
    if (text.len > 0 && text.data[0] == '-')
        return conf_parse_i64(text, &negative) == ERR_PARSE ? ERR_PARSE : ERR_LIMIT;
    return conf_parse_u64(text, out);
}

int conf_store(struct arena *a, const struct conf_row *row, void *field, struct str text,
               bool append)
{
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double d;
    } v;
    int rc;
#define STORE(T, parse, m)                                                                     \
    rc = parse(text, &v.m);                                                                    \
    if (rc == 0 && field != NULL)                                                              \
        *(T *)field = v.m;                                                                     \
    return rc
    switch (row->type) {
    case CONF_BOOL:
        STORE(bool, conf_parse_bool, b);
    case CONF_I64:
        STORE(int64_t, conf_parse_i64, i);
    case CONF_U64:
        STORE(uint64_t, parse_unsigned, u);
    case CONF_DOUBLE:
        STORE(double, conf_parse_double, d);
    case CONF_MS64:
        STORE(int64_t, conf_parse_ms, i);
    case CONF_SIZE:
        STORE(uint64_t, conf_parse_size, u);
#undef STORE
    case CONF_U32:
        rc = parse_unsigned(text, &v.u);
        return rc != 0 ? rc : store_u32(field, v.u);
    case CONF_MS:
        rc = conf_parse_ms(text, &v.i);
        return rc != 0 ? rc : v.i < 0 ? ERR_LIMIT : store_u32(field, (uint64_t)v.i);
    case CONF_STR:
    case CONF_LIST:
        return store_text(a, row, field, text, append);
    case CONF_END:
        break;
    }
    UNREACHABLE();
}

static void put_list(const struct conf_list *list, struct buf *out)
{
    buf_u8(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            buf_c(out, ", ");
        conf_put_quoted(out, str_c(list->items[i]));
    }
    buf_u8(out, ']');
}

/* The shortest of 5, 64MiB, ...: a size that reads back as v. */
static void put_size(uint64_t v, struct buf *out)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    while (v != 0 && v % 1024 == 0 && i < 4) {
        v /= 1024;
        i++;
    }
    buf_udec(out, v);
    buf_c(out, units[i]);
}

void conf_put_value(const struct conf_row *row, const void *field, struct buf *out)
{
    switch (row->type) {
    case CONF_BOOL:
        buf_c(out, *(const bool *)field ? "true" : "false");
        return;
    case CONF_STR:
        conf_put_quoted(out, str_c(*(const char *const *)field));
        return;
    case CONF_LIST:
        put_list(field, out);
        return;
    case CONF_I64:
        buf_dec(out, *(const int64_t *)field);
        return;
    case CONF_U32:
        buf_udec(out, *(const uint32_t *)field);
        return;
    case CONF_U64:
        buf_udec(out, *(const uint64_t *)field);
        return;
    case CONF_DOUBLE:
        conf_put_double(out, *(const double *)field);
        return;
    case CONF_MS:
        conf_put_ms(out, *(const uint32_t *)field);
        return;
    case CONF_MS64:
        conf_put_ms(out, *(const int64_t *)field);
        return;
    case CONF_SIZE:
        put_size(*(const uint64_t *)field, out);
        return;
    case CONF_END:
        break;
    }
    UNREACHABLE();
}
