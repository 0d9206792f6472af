/* alloy/graph.c - from texts to nodes, and their evaluation. References are in refs.c. */
#include "alloy/graph_priv.h"

#include "alloy/decode_priv.h"
#include "alloy/format.h"
#include "base/mem.h"

static const struct alloy_row logging_rows[] = {
    ALLOY_STR_ROW(alloy_logging, level, "level", 0, "info"),
    ALLOY_STR_ROW(alloy_logging, format, "format", 0, "logfmt"),
    ALLOY_ROWS_END,
};

static bool is_one_of(struct str s, const char *const *names)
{
    for (; *names != NULL; names++)
        if (str_eq(s, str_c(*names)))
            return true;
    return false;
}

static int check_logging(const void *at, struct err *err)
{
    static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
    static const char *const formats[] = {"logfmt", "json", NULL};
    const struct alloy_logging *l = at;
    if (!is_one_of(l->level, levels))
        return err_set(err, ERR_PARSE, "unrecognized log level \"%.*s\"",
                       STR_ARG(str_head(l->level, 50)));
    if (!is_one_of(l->format, formats))
        return err_set(err, ERR_PARSE, "unrecognized log format \"%.*s\"",
                       STR_ARG(str_head(l->format, 50)));
    return 0;
}

const struct alloy_schema alloy_logging_schema =
    ALLOY_SCHEMA(alloy_logging, logging_rows, check_logging);

void graph_error(struct alloy_graph *g, struct alloy_diags *diags, const struct alloy_file *f,
                 uint32_t start, uint32_t end, const char *before, struct str name,
                 const char *after)
{
    (void)g;
    alloy_diags_addf(diags, ALLOY_ERROR, f == NULL ? STR("") : f->source.name,
                     f == NULL ? (struct alloy_pos){0} : alloy_pos_at(f, start),
                     f == NULL ? (struct alloy_pos){0} : alloy_pos_at(f, end), "%s%.*s%s",
                     before, STR_ARG(name), after);
}

/* --- nodes -------------------------------------------------------------------------------- */

struct loading {
    struct alloy_graph *g;
    struct alloy_diags *diags;
    struct graph_node **link;
};

static const struct alloy_component *find_type(const struct alloy_graph *g, struct str name,
                                               bool config)
{
    for (size_t i = 0; i < g->host.type_count; i++)
        if (g->host.types[i].config == config && str_eq(str_c(g->host.types[i].name), name))
            return &g->host.types[i];
    return NULL;
}

static struct str make_id(struct alloy_graph *g, const struct alloy_stmt *st)
{
    if (st->label.len == 0)
        return str_dup(g->arena, st->name);
    size_t len = st->name.len + 1 + st->label.len;
    char *id = arena_alloc(g->arena, len + 1);
    if (id == NULL)
        return (struct str){0};
    memcpy(id, st->name.data, st->name.len);
    id[st->name.len] = '.';
    memcpy(id + st->name.len + 1, st->label.data, st->label.len);
    id[len] = '\0';
    return str_of(id, len);
}

/* The capsules it exports exist from the start; they say only whose they are. */
static int make_exports(struct alloy_graph *g, struct graph_node *n)
{
    const struct alloy_export *e = n->pub.type->exports;
    while (e != NULL && e[n->export_count].name != NULL)
        n->export_count++;
    n->exports = arena_calloc(g->arena, n->export_count, sizeof *n->exports);
    if (n->exports == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n->export_count; i++) {
        if (e[i].capsule == NULL)
            continue;
        struct alloy_capsule *c = arena_zalloc(g->arena, sizeof *c);
        if (c == NULL)
            return ERR_NOMEM;
        *c = (struct alloy_capsule){.type = e[i].capsule, .node = &n->pub, .field = e[i].name};
        n->exports[i] = (struct alloy_value){.type = ALLOY_CAPSULE, .capsule = c};
    }
    return 0;
}

static int add_node(struct loading *l, const struct alloy_file *f, struct alloy_stmt *st,
                    const struct alloy_component *type, struct str id)
{
    struct alloy_graph *g = l->g;
    struct graph_node *n = arena_zalloc(g->arena, sizeof *n);
    struct str label = str_dup(g->arena, st->label);
    if (n == NULL || label.data == NULL)
        return ERR_NOMEM;
    n->pub = (struct alloy_node){.id = id.data,
                                 .label = label,
                                 .type = type,
                                 .file = f->source.name,
                                 .start = alloy_pos_at(f, st->start),
                                 .end = alloy_pos_at(f, st->end)};
    n->id = id;
    n->graph = g;
    n->file = f;
    n->stmt = st;
    int rc = map_put(g->by_id, id, n, NULL);
    if (rc == 0)
        rc = make_exports(g, n);
    *l->link = n;
    l->link = &n->next;
    g->count++;
    return rc;
}

/* A block that stands a second time: say where the first is. */
static bool is_declared(struct loading *l, const struct alloy_file *f,
                        const struct alloy_stmt *st, struct str id)
{
    const struct graph_node *first = map_get(l->g->by_id, id);
    if (first == NULL)
        return false;
    alloy_diags_addf(l->diags, ALLOY_ERROR, f->source.name, alloy_pos_at(f, st->start),
                     alloy_pos_at(f, st->start + (uint32_t)id.len - 1),
                     "block %.*s already declared at %.*s:%u:%u", STR_ARG(id),
                     STR_ARG(first->pub.file), first->pub.start.line, first->pub.start.column);
    return true;
}

static const char *const config_names[] = {
    "logging",     "tracing",       "argument",   "export",  "foreach", "import.file",
    "import.http", "import.string", "import.git", "declare", "http",    "livedebugging",
    "remotecfg",   "labelstore",    "clustering", NULL,
};

/* Blocks without which the rest means the same. */
static const char *const ignored_names[] = {
    "logging",   "tracing",    "http",       "livedebugging",
    "remotecfg", "labelstore", "clustering", NULL,
};

static int add_config(struct loading *l, const struct alloy_file *f, struct alloy_stmt *st)
{
    const struct alloy_component *type = find_type(l->g, st->name, true);
    if (type == NULL && is_one_of(st->name, ignored_names)) {
        alloy_diags_addf(l->diags, ALLOY_WARNING, f->source.name, alloy_pos_at(f, st->start),
                         alloy_pos_at(f, st->start + (uint32_t)st->name.len - 1),
                         "block \"%.*s\" has no effect here", STR_ARG(st->name));
        return 0;
    }
    if (type == NULL) {
        graph_error(l->g, l->diags, f, st->start, st->start + (uint32_t)st->name.len - 1,
                    "block \"", st->name, "\" is not supported");
        return 0;
    }
    if (st->label.len > 0) {
        graph_error(l->g, l->diags, f, st->start, st->open, "block \"", st->name,
                    "\" does not support specifying labels");
        return 0;
    }
    struct str id = make_id(l->g, st);
    if (id.data == NULL)
        return ERR_NOMEM;
    return is_declared(l, f, st, id) ? 0 : add_node(l, f, st, type, id);
}

static int add_component(struct loading *l, const struct alloy_file *f, struct alloy_stmt *st)
{
    struct str id = make_id(l->g, st);
    if (id.data == NULL)
        return ERR_NOMEM;
    if (is_declared(l, f, st, id))
        return 0;
    const struct alloy_component *type = find_type(l->g, st->name, false);
    uint32_t end = st->start + (uint32_t)st->name.len - 1;
    struct str shown = str_head(st->name, 300);
    if (type == NULL)
        graph_error(l->g, l->diags, f, st->start, end,
                    "cannot find the definition of component name \"", shown, "\"");
    else if (st->label.len == 0)
        graph_error(l->g, l->diags, f, st->start, end, "component \"", shown,
                    "\" must have a label");
    else if (l->g->count >= ALLOY_NODES_MAX)
        graph_error(l->g, l->diags, f, st->start, end, "component \"", shown,
                    "\" is one too many");
    else
        return add_node(l, f, st, type, id);
    return 0;
}

/* The blocks of all files: those that configure the program first, then the components. */
static int add_blocks(struct loading *l, struct alloy_file *const *files, size_t count)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < count; i++)
            for (struct alloy_stmt *st = files[i]->body; st != NULL; st = st->next) {
                bool config = is_one_of(st->name, config_names);
                int rc = config != (pass == 0) ? 0
                         : config              ? add_config(l, files[i], st)
                                               : add_component(l, files[i], st);
                if (rc != 0)
                    return rc;
            }
    return 0;
}

/* --- files -------------------------------------------------------------------------------- */

/* Alloy refuses what is not UTF-8, by the mark at its start. */
static bool is_readable(const struct alloy_text *t, struct alloy_diags *diags)
{
    static const struct {
        struct str mark;
        const char *message;
    } marks[] = {
        {STR_INIT("\xff\xfe\0\0"),
         "configuration is encoded with UTF32LittleEndian but must be utf8"},
        {STR_INIT("\0\0\xfe\xff"),
         "configuration is encoded with UTF32BigEndian but must be utf8"},
        {STR_INIT("\xff\xfe"),
         "configuration is encoded with UTF16LittleEndian but must be utf8"},
        {STR_INIT("\xfe\xff"), "configuration is encoded with UTF16BigEndian but must be utf8"},
    };
    struct alloy_pos none = {0};
    const char *message = NULL;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0] && message == NULL; i++)
        if (str_starts_with(t->text, marks[i].mark))
            message = marks[i].message;
    if (message == NULL && !str_is_utf8(t->text))
        message = "unknown encoding for config";
    if (message != NULL)
        alloy_diags_add(diags, ALLOY_ERROR, t->name, none, none, str_c(message));
    return message == NULL;
}

/* Only blocks may stand at the top. */
static void check_top(const struct alloy_file *f, struct alloy_diags *diags)
{
    for (const struct alloy_stmt *st = f->body; st != NULL; st = st->next)
        if (st->value != NULL) {
            graph_error(NULL, diags, f, st->start, st->start + (uint32_t)st->name.len - 1,
                        "unrecognized attribute ", str_head(st->name, 300), "");
            return;
        }
}

static int parse_texts(struct alloy_graph *g, const struct alloy_text *texts, size_t count,
                       struct alloy_file **files, struct alloy_diags *diags)
{
    size_t errors = diags->errors, total = 0;
    for (size_t i = 0; i < count; i++) {
        struct alloy_text copy = {str_dup(g->arena, texts[i].name),
                                  str_dup(g->arena, texts[i].text)};
        if (copy.name.data == NULL || copy.text.data == NULL)
            return ERR_NOMEM;
        total += copy.text.len;
        if (total > ALLOY_TEXT_MAX)
            copy.text.len = total; /* refused by the parser */
        else if (!is_readable(&copy, diags))
            continue;
        int rc = alloy_parse(&files[i], &copy, g->arena, diags);
        if (rc == ERR_NOMEM)
            return rc;
        if (rc == 0)
            check_top(files[i], diags);
    }
    return diags->error != 0 ? ERR_NOMEM : diags->errors > errors ? ERR_PARSE : 0;
}

/* --- evaluation --------------------------------------------------------------------------- */

static bool lookup(void *arg, struct str name, struct alloy_value *out)
{
    return graph_lookup(arg, name, out);
}

/* True when a failure for want of memory is the limit of one node. */
static bool is_too_large(const struct mem_account *a)
{
    return a->used > a->limit / 4;
}

/* What the decoder could not say at a place of its own is said of the statement that it is about,
 * or of the whole block. */
static void fail_build(struct graph_node *n, const struct alloy_stmt *fault, const char *step,
                       const char *message, struct alloy_diags *diags)
{
    struct alloy_pos start = n->pub.start, end = n->pub.end;
    if (fault != NULL) {
        start = alloy_pos_at(n->file, fault->start);
        end = alloy_pos_at(n->file, fault->value != NULL ? fault->end : fault->open);
    }
    alloy_diags_addf(diags, ALLOY_ERROR, n->pub.file, start, end, "%s%s%s",
                     n->pub.type->config ? "Failed to evaluate node for config block: "
                                         : "Failed to build component: ",
                     step, message);
}

/* Decode the arguments of a node into its spare arena; the last ones stay as they are. */
static int evaluate(struct graph_node *n, struct alloy_diags *diags)
{
    struct alloy_graph *g = n->graph;
    size_t turn = n->pub.version % 2;
    if (n->arenas[turn] == NULL) {
        mem_account_init(&n->accounts[turn], NULL, n->pub.id, ALLOY_EVAL_BYTES_MAX);
        int rc = arena_init(&n->arenas[turn], 512, &n->accounts[turn]);
        if (rc != 0)
            return rc;
    }
    struct arena *a = n->arenas[turn];
    arena_reset(a);
    size_t errors = diags->errors;
    struct alloy_eval ev = {.file = n->file,
                            .arena = a,
                            .diags = diags,
                            .lookup = lookup,
                            .lookup_arg = g,
                            .env = g->host.env,
                            .env_arg = g->host.arg,
                            .hostname = g->host.hostname,
                            .version = g->host.version};
    void *args = arena_zalloc(a, n->pub.type->args->size);
    if (args == NULL || graph_make_scope(g) != 0)
        return ERR_NOMEM;
    int rc = alloy_decode_body(&ev, n->pub.type->args, n->stmt->body, args);
    if (rc == ERR_NOMEM && !is_too_large(&n->accounts[turn]))
        return rc;
    if (rc != 0 && diags->errors == errors)
        fail_build(n, ev.fault, n->pub.type->config ? "" : "decoding configuration: ", ev.err.msg,
                   diags);
    if (rc != 0)
        return ERR_PARSE;
    n->pub.args = args;
    n->pub.version++;
    return 0;
}

/* All nodes, so that all errors are seen at once. */
static int evaluate_all(struct alloy_graph *g, struct alloy_diags *diags)
{
    bool failed = false;
    for (size_t i = 0; i < g->count; i++) {
        struct graph_node *n = g->order[i];
        int rc = evaluate(n, diags);
        if (rc == ERR_NOMEM)
            return rc;
        if (rc == 0 && g->host.build != NULL) {
            struct err err = {0};
            rc = g->host.build(g->host.arg, &n->pub, &err);
            if (rc == ERR_NOMEM)
                return rc;
            if (rc != 0)
                fail_build(n, NULL, "building component: ", err.msg, diags);
        }
        failed = failed || rc != 0;
    }
    return failed ? ERR_PARSE : 0;
}

/* --- the object --------------------------------------------------------------------------- */

void alloy_graph_free(struct alloy_graph **pg)
{
    struct alloy_graph *g = *pg;
    if (g == NULL)
        return;
    for (struct graph_node *n = g->nodes; n != NULL; n = n->next) {
        arena_free(&n->arenas[0]);
        arena_free(&n->arenas[1]);
        arena_free(&n->export_arena);
    }
    map_free(&g->by_id);
    arena_free(&g->scope);
    arena_free(&g->arena);
    mem_free(g);
    *pg = NULL;
}

static int load(struct alloy_graph *g, const struct alloy_text *texts, size_t count,
                struct alloy_diags *diags)
{
    int rc = arena_init(&g->arena, 2048, NULL);
    if (rc == 0)
        rc = arena_init(&g->scope, 512, NULL);
    if (rc == 0)
        rc = map_init(&g->by_id);
    if (rc != 0)
        return rc;
    struct alloy_file **files = arena_calloc(g->arena, count, sizeof(struct alloy_file *));
    if (files == NULL)
        return ERR_NOMEM;
    rc = parse_texts(g, texts, count, files, diags);
    if (rc != 0)
        return rc;
    size_t errors = diags->errors;
    struct loading l = {g, diags, &g->nodes};
    rc = add_blocks(&l, files, count);
    if (rc == 0)
        rc = graph_resolve(g, diags);
    if (rc == 0 && diags->errors > errors)
        rc = ERR_PARSE;
    if (rc == 0)
        rc = evaluate_all(g, diags);
    return rc != 0 ? rc : diags->error;
}

int alloy_load(struct alloy_graph **out, const struct alloy_text *texts, size_t count,
               const struct alloy_host *host, struct alloy_diags *diags)
{
    struct alloy_graph *g = mem_zalloc(sizeof *g);
    if (g == NULL)
        return ERR_NOMEM;
    g->host = *host;
    g->loading = true;
    int rc = load(g, texts, count, diags);
    g->loading = false;
    if (rc == 0)
        *out = g;
    else
        alloy_graph_free(&g);
    return rc;
}

size_t alloy_graph_count(const struct alloy_graph *g)
{
    return g->count;
}

const struct alloy_node *alloy_graph_node(const struct alloy_graph *g, size_t i)
{
    return &g->order[i]->pub;
}

const struct alloy_node *alloy_graph_find(const struct alloy_graph *g, struct str id)
{
    const struct graph_node *n = map_get(g->by_id, id);
    return n == NULL ? NULL : &n->pub;
}

static bool needs(const struct alloy_node *n, const struct alloy_node *other)
{
    for (size_t i = 0; i < n->need_count; i++)
        if (n->needs[i] == other)
            return true;
    return false;
}

/* Replace an export by a copy of the value, with all values of the node in a new arena. */
static int replace_export(struct graph_node *n, size_t at, const struct alloy_value *value)
{
    struct arena *a = NULL;
    int rc = arena_init(&a, 512, NULL);
    if (rc != 0)
        return rc;
    struct alloy_diags none = {0};
    struct alloy_eval ev = {.file = n->file, .arena = a, .diags = &none};
    struct alloy_value *copies = arena_calloc(a, n->export_count, sizeof *copies);
    if (copies == NULL)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < n->export_count; i++)
        rc = alloy_value_copy(&ev, i == at ? value : &n->exports[i], &copies[i]);
    if (rc == 0) {
        memcpy(n->exports, copies, n->export_count * sizeof *copies);
        struct arena *old = n->export_arena;
        n->export_arena = a;
        a = old;
        graph_forget_scope(n->graph);
    }
    arena_free(&a);
    return rc;
}

int alloy_graph_export(struct alloy_graph *g, const struct alloy_node *node, const char *name,
                       const struct alloy_value *value, struct alloy_diags *diags)
{
    struct graph_node *n = map_get(g->by_id, str_c(node->id));
    size_t at = 0;
    while (at < n->export_count && (n->pub.type->exports[at].capsule != NULL ||
                                    !str_eq(str_c(n->pub.type->exports[at].name), str_c(name))))
        at++;
    if (at == n->export_count)
        return ERR_NOENT;
    int rc = replace_export(n, at, value);
    if (rc != 0 || g->loading)
        return rc;
    struct alloy_diags unseen = {0};
    int result = 0;
    for (size_t i = 0; i < g->count; i++) {
        if (!needs(&g->order[i]->pub, node))
            continue;
        rc = evaluate(g->order[i], diags != NULL ? diags : &unseen);
        result = rc != 0 ? rc : result;
    }
    alloy_diags_reset(&unseen);
    return result;
}

void alloy_graph_print(const struct alloy_graph *g, const struct alloy_node *node,
                       struct buf *out)
{
    const struct graph_node *n = map_get(g->by_id, str_c(node->id));
    alloy_format_body(n->file, n->stmt->body, true, out);
}
