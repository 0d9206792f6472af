/* conf/conf.c - sections bound to names, and the command line. */
#include "conf/conf_priv.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "conf/peer_flags.h"
#include "conf/value.h"

/* prefix + name with `dot` between them when both are there; NULL: no memory. */
static const char *join(struct arena *a, const char *prefix, const char *dot, const char *name)
{
    size_t n = strlen(prefix), m = strlen(name), d = n == 0 ? 0 : strlen(dot);
    char *s = arena_alloc(a, n + d + m + 1);
    if (s == NULL)
        return NULL;
    memcpy(s, prefix, n);
    memcpy(s + n, dot, d);
    memcpy(s + n + d, name, m + 1);
    return s;
}

static int add_name(struct map *names, const char *name, struct bound *b, struct err *err)
{
    if (name == NULL)
        return 0;
    if (map_has(names, str_c(name)))
        return err_set(err, ERR_INVAL, "option %s stands in two tables", name);
    return map_put(names, str_c(name), b, NULL);
}

static int bind_row(struct conf *c, const struct conf_section *s, const struct conf_row *row,
                    struct err *err)
{
    struct bound *b = &c->bound[c->bound_count++];
    *b = (struct bound){.row = row, .field = (char *)s->at + row->offset};
    if (row->flag != NULL && (b->flag = join(c->arena, s->prefix, "", row->flag)) == NULL)
        return ERR_NOMEM;
    if (row->key != NULL && (b->key = join(c->arena, s->path, ".", row->key)) == NULL)
        return ERR_NOMEM;
    int rc = add_name(c->by_flag, b->flag, b, err);
    if (rc == 0)
        rc = add_name(c->by_key, b->key, b, err);
    if (rc != 0)
        return rc;
    if (row->type == CONF_LIST)
        memset(b->field, 0, sizeof(struct conf_list));
    rc = conf_store(c->arena, row, b->field, str_c(row->def), false);
    if (rc == ERR_PARSE || rc == ERR_LIMIT)
        return err_set(err, ERR_INVAL, "default of %s: \"%s\" %s",
                       b->flag == NULL ? b->key : b->flag, row->def, conf_wants(row, rc));
    return rc;
}

static int bind_all(struct conf *c, struct err *err)
{
    size_t rows = 0;
    for (size_t i = 0; i < c->section_count; i++)
        for (const struct conf_row *r = c->sections[i].rows; r->type != CONF_END; r++)
            rows++;
    c->bound = arena_calloc(c->arena, rows + 1, sizeof *c->bound);
    if (c->bound == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->section_count; i++)
        for (const struct conf_row *r = c->sections[i].rows; r->type != CONF_END; r++) {
            int rc = bind_row(c, &c->sections[i], r, err);
            if (rc != 0)
                return rc;
        }
    return 0;
}

int conf_init(struct conf **out, const struct conf_section *sections, size_t count,
              struct err *err)
{
    struct conf *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    c->sections = sections;
    c->section_count = count;
    int rc = arena_init(&c->arena, 0, NULL);
    if (rc == 0)
        rc = map_init(&c->by_flag);
    if (rc == 0)
        rc = map_init(&c->by_key);
    if (rc == 0)
        rc = map_init(&c->ignored_set);
    if (rc == 0)
        rc = bind_all(c, err);
    if (rc != 0) {
        if (rc == ERR_NOMEM)
            err_set(err, rc, "out of memory");
        conf_free(&c);
        return rc;
    }
    *out = c;
    return 0;
}

void conf_free(struct conf **c)
{
    if (*c == NULL)
        return;
    map_free(&(*c)->by_flag);
    map_free(&(*c)->by_key);
    map_free(&(*c)->ignored_set);
    arena_free(&(*c)->arena);
    mem_free(*c);
    *c = NULL;
}

int conf_ignore(struct conf *c, const char *dash, struct str name)
{
    char *text = arena_alloc(c->arena, strlen(dash) + name.len + 1);
    if (text == NULL)
        return ERR_NOMEM;
    memcpy(text, dash, strlen(dash));
    memcpy(text + strlen(dash), name.data, name.len);
    text[strlen(dash) + name.len] = '\0';
    if (map_has(c->ignored_set, str_c(text)))
        return 0;
    size_t most = 2 * peer_flags_count; /* each row has at most a flag and a key */
    if (c->ignored == NULL)
        c->ignored = arena_calloc(c->arena, most, sizeof *c->ignored);
    if (c->ignored == NULL || map_put(c->ignored_set, str_c(text), NULL, NULL) != 0)
        return ERR_NOMEM;
    ASSERT(c->ignored_count < most);
    c->ignored[c->ignored_count++] = text;
    return 0;
}

struct nearest {
    const char *name;
    uint32_t distance;
};

static void consider(struct nearest *n, struct str wanted, const char *name)
{
    if (name == NULL)
        return;
    uint32_t d = conf_distance(wanted, str_c(name), n->distance);
    if (d < n->distance)
        *n = (struct nearest){name, d};
}

const char *conf_nearest(const struct conf *c, struct str name, bool flags)
{
    /* Further away than half of the name it would be a guess. */
    struct nearest n = {NULL, (uint32_t)(name.len > 96 ? 96 : name.len) / 2 + 1};
    for (size_t i = 0; i < c->bound_count; i++)
        consider(&n, name, flags ? c->bound[i].flag : c->bound[i].key);
    static const char *const own[] = {"config.file", "config.expand-env", "config.reference",
                                      "help",        "help-all",          "version"};
    for (size_t i = 0; flags && i < sizeof own / sizeof *own; i++)
        consider(&n, name, own[i]);
    for (size_t i = 0; i < peer_flags_count; i++)
        consider(&n, name, flags ? peer_flags[i].flag : peer_flags[i].key);
    return n.name;
}

/* The options of the command line itself. Booleans but for config.file. */
enum own_flag {
    OWN_NONE,
    OWN_HELP,
    OWN_HELP_ALL,
    OWN_VERSION,
    OWN_REFERENCE,
    OWN_EXPAND,
    OWN_FILE,
};

static enum own_flag own_flag(struct str name)
{
    static const struct {
        const char *name;
        enum own_flag flag;
    } own[] = {{"h", OWN_HELP},
               {"help", OWN_HELP},
               {"help-all", OWN_HELP_ALL},
               {"version", OWN_VERSION},
               {"config.reference", OWN_REFERENCE},
               {"config.expand-env", OWN_EXPAND},
               {"config.file", OWN_FILE}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (str_eq(name, str_c(own[i].name)))
            return own[i].flag;
    return OWN_NONE;
}

static int set_own(struct conf *c, enum own_flag flag, struct str value)
{
    bool on = true;
    if (flag != OWN_FILE) {
        int rc = conf_parse_bool(value, &on);
        if (rc != 0)
            return rc;
    }
    switch (flag) {
    case OWN_HELP:
        c->action = on ? CONF_HELP : c->action;
        break;
    case OWN_HELP_ALL:
        c->action = on ? CONF_HELP_ALL : c->action;
        break;
    case OWN_VERSION:
        c->action = on ? CONF_VERSION : c->action;
        break;
    case OWN_REFERENCE:
        c->action = on ? CONF_REFERENCE : c->action;
        break;
    case OWN_EXPAND:
        c->expand_env = on;
        break;
    case OWN_FILE:
        c->file = str_dup(c->arena, value).data;
        return c->file == NULL ? ERR_NOMEM : 0;
    case OWN_NONE:
        break;
    }
    return 0;
}

/* A word of the command line, taken apart. */
struct word {
    struct str name, value;
    bool has_value;
};

static int split_word(const char *text, struct word *w, struct err *err)
{
    struct str s = str_c(text);
    if (s.len < 2 || s.data[0] != '-')
        return err_set(err, ERR_PARSE, "unexpected argument \"%s\": options start with a dash",
                       text);
    s = str_skip(s, s.data[1] == '-' ? 2 : 1);
    if (s.len == 0 || s.data[0] == '-' || s.data[0] == '=')
        return err_set(err, ERR_PARSE, "bad option syntax: %s", text);
    size_t eq = str_find(s, '=');
    w->has_value = eq != SIZE_MAX;
    w->name = w->has_value ? str_head(s, eq) : s;
    w->value = w->has_value ? str_skip(s, eq + 1) : (struct str){0};
    return 0;
}

static int unknown_flag(const struct conf *c, struct str name, struct err *err)
{
    const char *near = conf_nearest(c, name, true);
    name = str_head(name, 100);
    if (near == NULL)
        return err_set(err, ERR_PARSE, "unknown option -%.*s (see -help)", STR_ARG(name));
    return err_set(err, ERR_PARSE, "unknown option -%.*s: did you mean -%s?", STR_ARG(name),
                   near);
}

static int use_word(struct conf *c, const struct word *w, struct bound *b, enum own_flag own,
                    struct err *err)
{
    struct str shown = str_head(w->name, 100), value = str_head(w->value, 80);
    if (own != OWN_NONE) {
        int rc = set_own(c, own, w->value);
        return rc != ERR_PARSE
                   ? rc
                   : err_set(err, rc, "-%.*s: \"%.*s\" is not a boolean (true or false)",
                             STR_ARG(shown), STR_ARG(value));
    }
    if (b == NULL)
        return conf_ignore(c, "-", w->name);
    int rc = conf_store(c->arena, b->row, NULL, w->value, false);
    if (rc == ERR_PARSE || rc == ERR_LIMIT)
        return err_set(err, rc, "-%.*s: \"%.*s\" %s", STR_ARG(shown), STR_ARG(value),
                       conf_wants(b->row, rc));
    c->args[c->arg_count++] = (struct conf_arg){b, w->value};
    return rc;
}

int conf_args(struct conf *c, int argc, const char *const *argv, struct err *err)
{
    c->arg_count = 0;
    c->args = arena_calloc(c->arena, (size_t)(argc > 0 ? argc : 0) + 1, sizeof *c->args);
    if (c->args == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (int i = 1; i < argc; i++) {
        struct word w = {0};
        if (strcmp(argv[i], "--") == 0 && i + 1 == argc)
            break;
        int rc = split_word(argv[i], &w, err);
        if (rc != 0)
            return rc;
        struct bound *b = map_get(c->by_flag, w.name);
        enum own_flag own = b == NULL ? own_flag(w.name) : OWN_NONE;
        const struct peer_flag *peer =
            b == NULL && own == OWN_NONE ? peer_flag_find(w.name) : NULL;
        if (b == NULL && own == OWN_NONE && peer == NULL)
            return unknown_flag(c, w.name, err);
        bool is_bool = b != NULL      ? b->row->type == CONF_BOOL
                       : peer != NULL ? peer->is_bool
                                      : own != OWN_FILE;
        if (!w.has_value && !is_bool && i + 1 == argc)
            return err_set(err, ERR_PARSE, "option -%.*s needs a value",
                           STR_ARG(str_head(w.name, 100)));
        if (!w.has_value)
            w.value = is_bool ? STR("true") : str_c(argv[++i]);
        rc = use_word(c, &w, b, own, err);
        if (rc == ERR_NOMEM)
            err_set(err, rc, "out of memory");
        if (rc != 0)
            return rc;
    }
    return 0;
}

enum conf_action conf_action(const struct conf *c)
{
    return c->action;
}

const char *conf_file(const struct conf *c)
{
    return c->file;
}

bool conf_expands_env(const struct conf *c)
{
    return c->expand_env;
}

int conf_apply(struct conf *c, struct err *err)
{
    for (size_t i = 0; i < c->bound_count; i++)
        c->bound[i].from_flags = false;
    for (size_t i = 0; i < c->arg_count; i++) {
        struct bound *b = c->args[i].to;
        int rc = conf_store(c->arena, b->row, b->field, c->args[i].value, b->from_flags);
        if (rc != 0)
            return err_set(err, rc, "-%s: %s", b->flag, err_text(rc));
        b->from_flags = true;
    }
    for (size_t i = 0; i < c->section_count; i++) {
        const struct conf_section *s = &c->sections[i];
        int rc = s->validate == NULL ? 0 : s->validate(s->at, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void conf_log_ignored(const struct conf *c, const struct log *log)
{
    struct buf names = {0};
    if (c->ignored_count == 0)
        return;
    for (size_t i = 0; i < c->ignored_count; i++) {
        buf_c(&names, i == 0 ? "" : " ");
        buf_c(&names, c->ignored[i]);
    }
    log_line(log, LOG_WARN, "options of Pyroscope without effect here",
             LOG_U("count", c->ignored_count), LOG_S("options", buf_view(&names)));
    buf_reset(&names);
}
