/* conf/tree.c - libyaml's events into a tree. */
#include "conf/tree.h"

#include <yaml.h>

#include "base/assert.h"
#include "base/mem.h"

enum { ANCHORS_MAX = 256 };

struct anchor {
    const char *name;
    struct tree_node *node;
    bool open; /* its container is being read: an alias to it would be a circle */
};

struct builder {
    struct arena *arena;
    struct err *err;
    const char *name;
    struct tree_node *root;
    struct tree_node *open[TREE_DEPTH_MAX];
    uint32_t depth, nodes, documents;
    struct anchor anchors[ANCHORS_MAX];
    uint32_t anchor_count;
};

/* An error at a place of the text. */
static int fail_at(struct builder *b, int code, size_t line, size_t column, const char *what,
                   struct str name)
{
    return err_set(b->err, code, "%s:%zu:%zu: %s%.*s", b->name, line, column, what,
                   STR_ARG(str_head(name, 100)));
}

static int fail_node(struct builder *b, const struct tree_node *n, const char *what,
                     struct str name)
{
    return fail_at(b, ERR_PARSE, n->line, n->column, what, name);
}

static int new_node(struct builder *b, const yaml_mark_t *mark, enum tree_kind kind,
                    struct tree_node **out)
{
    if (++b->nodes > TREE_NODES_MAX)
        return fail_at(b, ERR_LIMIT, mark->line + 1, mark->column + 1, "too many nodes",
                       (struct str){0});
    struct tree_node *n = arena_zalloc(b->arena, sizeof *n);
    if (n == NULL)
        return err_set(b->err, ERR_NOMEM, "%s: out of memory", b->name);
    n->kind = kind;
    n->line = (uint32_t)mark->line + 1;
    n->column = (uint32_t)mark->column + 1;
    *out = n;
    return 0;
}

static void append(struct tree_node *parent, struct tree_node *n)
{
    if (parent->last == NULL)
        parent->first = n;
    else
        parent->last->next = n;
    parent->last = n;
    parent->count++;
}

/* The key among the first children of a map that equals `key`, looking only before `end`. */
static const struct tree_node *key_before(const struct tree_node *map, struct str key,
                                          const struct tree_node *end)
{
    for (const struct tree_node *k = map->first; k != NULL && k != end; k = k->next->next)
        if (str_eq(k->text, key))
            return k;
    return NULL;
}

static int place(struct builder *b, struct tree_node *n)
{
    if (b->depth == 0) {
        b->root = n;
        return 0;
    }
    struct tree_node *parent = b->open[b->depth - 1];
    if (parent->kind == TREE_MAP && parent->count % 2 == 0) {
        if (n->kind != TREE_SCALAR)
            return fail_node(b, n, "a key must be a plain text", (struct str){0});
        const struct tree_node *twin = key_before(parent, n->text, NULL);
        if (twin != NULL)
            return err_set(b->err, ERR_PARSE,
                           "%s:%u:%u: key %.*s stands twice, first in line %u", b->name,
                           n->line, n->column, STR_ARG(str_head(n->text, 100)), twin->line);
    }
    append(parent, n);
    return 0;
}

/* Copy the keys of `from` that `to` lacks; children are shared. */
static int merge_map(struct builder *b, struct tree_node *to, const struct tree_node *from)
{
    for (const struct tree_node *k = from->first; k != NULL; k = k->next->next) {
        if (key_before(to, k->text, NULL) != NULL)
            continue;
        const struct tree_node *pair[2] = {k, k->next};
        for (int i = 0; i < 2; i++) {
            yaml_mark_t mark = {.line = pair[i]->line - 1, .column = pair[i]->column - 1};
            struct tree_node *copy;
            int rc = new_node(b, &mark, pair[i]->kind, &copy);
            if (rc != 0)
                return rc;
            *copy = *pair[i];
            copy->next = NULL;
            append(to, copy);
        }
    }
    return 0;
}

static bool is_merge_key(const struct tree_node *k)
{
    return !k->quoted && str_eq(k->text, STR("<<"));
}

/* A map is complete: apply its `<<`, own keys first, then the maps in their order. */
static int close_map(struct builder *b, struct tree_node *map)
{
    struct tree_node *before = NULL, *merge = map->first;
    while (merge != NULL && !is_merge_key(merge)) {
        before = merge->next;
        merge = merge->next->next;
    }
    if (merge == NULL)
        return 0;
    struct tree_node *value = merge->next;
    if (before == NULL)
        map->first = value->next;
    else
        before->next = value->next;
    if (map->last == value)
        map->last = before;
    map->count -= 2;
    if (value->kind == TREE_MAP)
        return merge_map(b, map, value);
    if (value->kind == TREE_SCALAR)
        return fail_node(b, value, "<< wants a mapping", (struct str){0});
    for (const struct tree_node *one = value->first; one != NULL; one = one->next) {
        if (one->kind != TREE_MAP)
            return fail_node(b, one, "<< wants mappings", (struct str){0});
        int rc = merge_map(b, map, one);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int set_anchor(struct builder *b, const yaml_char_t *name, struct tree_node *n,
                      bool open)
{
    if (name == NULL)
        return 0;
    if (b->anchor_count == ANCHORS_MAX)
        return fail_at(b, ERR_LIMIT, n->line, n->column, "too many anchors", (struct str){0});
    struct str copy = str_dup(b->arena, str_c((const char *)name));
    if (copy.data == NULL)
        return err_set(b->err, ERR_NOMEM, "%s: out of memory", b->name);
    b->anchors[b->anchor_count++] = (struct anchor){copy.data, n, open};
    return 0;
}

static int on_alias(struct builder *b, const yaml_event_t *ev)
{
    struct str name = str_c((const char *)ev->data.alias.anchor);
    const struct anchor *found = NULL;
    for (uint32_t i = 0; i < b->anchor_count; i++) /* the last of one name counts */
        if (str_eq(str_c(b->anchors[i].name), name))
            found = &b->anchors[i];
    size_t line = ev->start_mark.line + 1, column = ev->start_mark.column + 1;
    if (found == NULL)
        return fail_at(b, ERR_PARSE, line, column, "unknown alias *", name);
    if (found->open)
        return fail_at(b, ERR_PARSE, line, column, "the alias is inside its own anchor: *",
                       name);
    struct tree_node *n;
    int rc = new_node(b, &ev->start_mark, found->node->kind, &n);
    if (rc != 0)
        return rc;
    n->quoted = found->node->quoted;
    n->text = found->node->text;
    n->count = found->node->count;
    n->first = found->node->first;
    n->last = found->node->last;
    return place(b, n);
}

/* Only tags that say what the text says anyway: !!binary and own types would change a value. */
static bool tag_is_known(const yaml_char_t *tag)
{
    static const char *const core[] = {"str", "int", "float", "bool", "null", "map", "seq"};
    struct str t = str_c((const char *)tag), prefix = STR("tag:yaml.org,2002:");
    if (t.len == 0 || str_eq(t, STR("!")))
        return true;
    for (size_t i = 0; i < sizeof core / sizeof *core; i++)
        if (str_starts_with(t, prefix) && str_eq(str_skip(t, prefix.len), str_c(core[i])))
            return true;
    return false;
}

static int on_scalar(struct builder *b, const yaml_event_t *ev)
{
    struct tree_node *n;
    int rc = new_node(b, &ev->start_mark, TREE_SCALAR, &n);
    if (rc != 0)
        return rc;
    struct str text = str_of(ev->data.scalar.value, ev->data.scalar.length);
    if (str_find(text, '\0') != SIZE_MAX)
        return fail_node(b, n, "a NUL byte in a text", (struct str){0});
    n->text = str_dup(b->arena, text);
    if (n->text.data == NULL)
        return err_set(b->err, ERR_NOMEM, "%s: out of memory", b->name);
    n->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
                str_eq(str_c((const char *)ev->data.scalar.tag), STR("tag:yaml.org,2002:str"));
    if (!tag_is_known(ev->data.scalar.tag))
        return fail_node(b, n, "unknown tag ", str_c((const char *)ev->data.scalar.tag));
    rc = set_anchor(b, ev->data.scalar.anchor, n, false);
    return rc != 0 ? rc : place(b, n);
}

static int on_open(struct builder *b, const yaml_event_t *ev, enum tree_kind kind)
{
    bool map = kind == TREE_MAP;
    const yaml_char_t *tag = map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag;
    const yaml_char_t *anchor =
        map ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor;
    struct tree_node *n;
    int rc = new_node(b, &ev->start_mark, kind, &n);
    if (rc != 0)
        return rc;
    if (!tag_is_known(tag))
        return fail_node(b, n, "unknown tag ", str_c((const char *)tag));
    if (b->depth == TREE_DEPTH_MAX)
        return fail_at(b, ERR_LIMIT, n->line, n->column, "nested too deeply", (struct str){0});
    rc = set_anchor(b, anchor, n, true);
    if (rc == 0)
        rc = place(b, n);
    if (rc == 0)
        b->open[b->depth++] = n;
    return rc;
}

static int on_close(struct builder *b)
{
    ASSERT(b->depth > 0);
    struct tree_node *n = b->open[--b->depth];
    for (uint32_t i = 0; i < b->anchor_count; i++)
        if (b->anchors[i].node == n)
            b->anchors[i].open = false;
    return n->kind == TREE_MAP ? close_map(b, n) : 0;
}

static int on_event(struct builder *b, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++b->documents > 1)
            return fail_at(b, ERR_PARSE, ev->start_mark.line + 1, ev->start_mark.column + 1,
                           "a second document", (struct str){0});
        return 0;
    case YAML_ALIAS_EVENT:
        return on_alias(b, ev);
    case YAML_SCALAR_EVENT:
        return on_scalar(b, ev);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(b, ev, TREE_SEQ);
    case YAML_MAPPING_START_EVENT:
        return on_open(b, ev, TREE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_close(b);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return 0;
}

static int syntax_error(struct builder *b, const yaml_parser_t *p)
{
    if (p->error == YAML_MEMORY_ERROR)
        return err_set(b->err, ERR_NOMEM, "%s: out of memory", b->name);
    if (p->error == YAML_READER_ERROR) /* bad UTF-8, control characters: no line is known */
        return err_set(b->err, ERR_PARSE, "%s: byte %zu: %s", b->name, p->problem_offset,
                       p->problem == NULL ? "cannot be read" : p->problem);
    return fail_at(b, ERR_PARSE, p->problem_mark.line + 1, p->problem_mark.column + 1,
                   p->problem == NULL ? "cannot be read" : p->problem, (struct str){0});
}

int tree_parse(const struct tree_node **out, struct str text, const char *name, struct arena *a,
               struct err *err)
{
    struct builder *b = mem_zalloc(sizeof *b);
    yaml_parser_t parser;
    if (b == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", name);
    b->arena = a;
    b->err = err;
    b->name = name;
    if (!yaml_parser_initialize(&parser)) {
        mem_free(b);
        return err_set(err, ERR_NOMEM, "%s: out of memory", name);
    }
    static const unsigned char nothing[1];
    yaml_parser_set_input_string(
        &parser, text.data == NULL ? nothing : (const unsigned char *)text.data, text.len);
    int rc = 0;
    for (bool more = true; more && rc == 0;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&parser, &ev)) {
            rc = syntax_error(b, &parser);
            break;
        }
        more = ev.type != YAML_STREAM_END_EVENT;
        rc = on_event(b, &ev);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&parser);
    if (rc == 0)
        *out = b->root;
    mem_free(b);
    return rc;
}

bool tree_is_null(const struct tree_node *n)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; n->kind == TREE_SCALAR && !n->quoted && i < 5; i++)
        if (str_eq(n->text, str_c(nulls[i])))
            return true;
    return false;
}
