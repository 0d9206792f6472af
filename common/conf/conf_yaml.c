/* conf/conf_yaml.c - a YAML tree onto the rows. */
#include "conf/conf_priv.h"

#include "base/map.h"
#include "base/mem.h"
#include "conf/peer_flags.h"
#include "conf/tree.h"

enum { PATH_MAX_LEN = 1024, MAPS_MAX = 1024 };

/* A mapping still to be walked. */
struct open_map {
    const struct tree_node *map;
    const char *path; /* "" at the top */
};

struct walk {
    struct conf *c;
    const char *name;
    struct err *err;
    struct open_map *open;
    size_t open_count;
};

static int fail(const struct walk *w, const struct tree_node *n, int code, const char *path,
                const char *what)
{
    return err_set(w->err, code, "%s:%u:%u: %s: %s", w->name, n->line, n->column, path, what);
}

/* YAML's booleans, which are more than Go's flags have. */
static struct str yaml_bool(struct str s)
{
    if (str_eq_nocase(s, STR("yes")) || str_eq_nocase(s, STR("on")) ||
        str_eq_nocase(s, STR("true")))
        return STR("true");
    if (str_eq_nocase(s, STR("no")) || str_eq_nocase(s, STR("off")) ||
        str_eq_nocase(s, STR("false")))
        return STR("false");
    return STR("?"); /* 0 and 1 are numbers here */
}

static int set_value(const struct walk *w, const struct bound *b, const struct tree_node *n)
{
    if (tree_is_null(n))
        return 0;
    int rc;
    if (n->kind == TREE_SEQ && b->row->type == CONF_LIST) {
        rc = conf_store_seq(w->c->arena, b->field, n);
        return rc == ERR_PARSE ? fail(w, n, rc, b->key, "wants a list of texts")
               : rc != 0       ? fail(w, n, rc, b->key, err_text(rc))
                               : 0;
    }
    if (n->kind != TREE_SCALAR)
        return fail(w, n, ERR_PARSE, b->key,
                    b->row->type == CONF_LIST ? "wants a list of texts"
                                              : "wants a single value");
    struct str text = n->text;
    if (b->row->type == CONF_BOOL)
        text = n->quoted ? STR("?") : yaml_bool(text);
    rc = conf_store(w->c->arena, b->row, b->field, text, false);
    if (rc == ERR_NOMEM)
        return fail(w, n, rc, b->key, err_text(rc));
    if (rc != 0)
        return err_set(w->err, rc, "%s:%u:%u: %s: \"%.*s\" %s", w->name, n->line, n->column,
                       b->key, STR_ARG(str_head(n->text, 80)), conf_wants(b->row, rc));
    return 0;
}

/* True when some option of ours lies under `path`. */
static bool is_ours_inside(const struct conf *c, struct str path)
{
    for (size_t i = 0; i < c->bound_count; i++) {
        struct str key = str_c(c->bound[i].key);
        if (key.len > path.len && key.data[path.len] == '.' && str_starts_with(key, path))
            return true;
    }
    return false;
}

static int unknown_key(const struct walk *w, const struct tree_node *key, const char *path)
{
    const char *near = conf_nearest(w->c, str_c(path), false);
    if (near == NULL)
        return fail(w, key, ERR_PARSE, path, "unknown key");
    return err_set(w->err, ERR_PARSE, "%s:%u:%u: unknown key %.100s: did you mean %.100s?",
                   w->name, key->line, key->column, path, near);
}

static int descend(struct walk *w, const struct tree_node *value, const char *path)
{
    if (tree_is_null(value))
        return 0;
    if (value->kind != TREE_MAP)
        return fail(w, value, ERR_PARSE, path, "wants a mapping");
    if (w->open_count == MAPS_MAX)
        return fail(w, value, ERR_LIMIT, path, "too many mappings");
    w->open[w->open_count++] = (struct open_map){value, path};
    return 0;
}

static int on_pair(struct walk *w, const char *above, const struct tree_node *key)
{
    const struct tree_node *value = key->next;
    size_t n = strlen(above);
    if (n + key->text.len + 2 > PATH_MAX_LEN)
        return fail(w, key, ERR_PARSE, "a key", "too long");
    char *path = arena_alloc(w->c->arena, n + key->text.len + 2);
    if (path == NULL)
        return fail(w, key, ERR_NOMEM, "a key", "out of memory");
    memcpy(path, above, n);
    if (n > 0)
        path[n++] = '.';
    if (key->text.len > 0)
        memcpy(path + n, key->text.data, key->text.len);
    path[n + key->text.len] = '\0';

    struct str full = str_c(path);
    if (str_find(key->text, '.') != SIZE_MAX) /* else "a.b: 1" would pass for "a: {b: 1}" */
        return fail(w, key, ERR_PARSE, path, "unknown key; write mappings, not dots");
    const struct bound *b = map_get(w->c->by_key, full);
    if (b != NULL)
        return set_value(w, b, value);
    enum peer_key peer = peer_key_find(full);
    if (peer == PEER_KEY_INSIDE || is_ours_inside(w->c, full))
        return descend(w, value, path);
    if (peer == PEER_KEY_NONE)
        return unknown_key(w, key, path);
    int rc = conf_ignore(w->c, "", full);
    return rc != 0 ? fail(w, key, rc, path, err_text(rc)) : 0;
}

static int walk_tree(struct walk *w, const struct tree_node *root)
{
    if (root == NULL || tree_is_null(root))
        return 0;
    if (root->kind != TREE_MAP)
        return err_set(w->err, ERR_PARSE, "%s:%u:%u: the file must be a mapping", w->name,
                       root->line, root->column);
    w->open[w->open_count++] = (struct open_map){root, ""};
    while (w->open_count > 0) {
        struct open_map m = w->open[--w->open_count];
        for (const struct tree_node *k = m.map->first; k != NULL; k = k->next->next) {
            int rc = on_pair(w, m.path, k);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

int conf_yaml(struct conf *c, struct str text, const char *name, struct err *err)
{
    const struct tree_node *root = NULL;
    int rc = tree_parse(&root, text, name, c->arena, err);
    if (rc != 0)
        return rc;
    struct walk w = {.c = c, .name = name, .err = err};
    w.open = mem_calloc(MAPS_MAX, sizeof *w.open);
    if (w.open == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", name);
    rc = walk_tree(&w, root);
    mem_free(w.open);
    return rc;
}
