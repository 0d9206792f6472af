/* alloy/refs.c - what components refer to: edges, the order of evaluation, circles, and the
 * scope in which expressions see other components. */
#include "alloy/graph_priv.h"

#include "base/buf.h"

enum { PARTS_MAX = 64 };

/* --- names in expressions ----------------------------------------------------------------- */

struct walk {
    struct alloy_graph *g;
    struct graph_node *n;
    struct alloy_diags *diags;
    struct graph_node **found; /* each once; room for every node */
    size_t count;
    uint32_t mark; /* of this walk, in graph_node.number */
    int error;
};

/* a.b.c: the parts of a chain of accesses down to a name, outermost first; 0 when it is none. */
static size_t chain_parts(const struct alloy_expr *e, const struct alloy_expr **parts)
{
    const struct alloy_expr *up[PARTS_MAX];
    size_t n = 0;
    while (e->kind == ALLOY_E_ACCESS || e->kind == ALLOY_E_PAREN) {
        if (e->kind == ALLOY_E_ACCESS) {
            if (n == PARTS_MAX - 1)
                return 0;
            up[n++] = e;
        }
        e = e->left;
    }
    if (e->kind != ALLOY_E_IDENT)
        return 0;
    parts[0] = e;
    for (size_t i = 0; i < n; i++)
        parts[i + 1] = up[n - 1 - i];
    return n + 1;
}

static void join_parts(const struct alloy_expr **parts, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_u8(out, '.');
        buf_str(out, parts[i]->text);
    }
}

/* The component that the shortest beginning of the chain names, or NULL. */
static struct graph_node *find_target(struct walk *w, const struct alloy_expr **parts,
                                      size_t count)
{
    struct buf id = {0};
    struct graph_node *target = NULL;
    for (size_t i = 0; i < count && target == NULL; i++) {
        if (i > 0)
            buf_u8(&id, '.');
        buf_str(&id, parts[i]->text);
        target = map_get(w->g->by_id, buf_view(&id));
    }
    if (id.error != 0)
        w->error = ERR_NOMEM;
    buf_reset(&id);
    return target;
}

static void note_chain(struct walk *w, const struct alloy_expr **parts, size_t count)
{
    struct alloy_eval ev = {.file = w->n->file, .arena = w->g->scope};
    struct alloy_value ignored;
    struct graph_node *target = find_target(w, parts, count);
    if (target != NULL) {
        if (target->number != w->mark)
            w->found[w->count++] = target;
        target->number = w->mark;
        return;
    }
    struct alloy_pos start = alloy_pos_at(w->n->file, parts[0]->start);
    if (alloy_stdlib_lookup(&ev, parts[0]->text, &ignored)) {
        if (alloy_stdlib_is_deprecated(parts[0]->text))
            alloy_diags_addf(w->diags, ALLOY_WARNING, w->n->pub.file, start,
                             alloy_pos_at(w->n->file, parts[0]->end),
                             "this stdlib function is deprecated; please refer to the "
                             "documentation for updated usage and alternatives: %.*s",
                             STR_ARG(parts[0]->text));
        return;
    }
    if (ev.err.code != 0) {
        w->error = ERR_NOMEM;
        return;
    }
    struct buf name = {0};
    join_parts(parts, count, &name);
    graph_error(w->g, w->diags, w->n->file, parts[0]->start, parts[count - 1]->end,
                "component \"", str_head(buf_view(&name), 300),
                "\" does not exist or is out of scope");
    buf_reset(&name);
}

/* Recursion is bounded by the depth of the tree. */
static void walk_expr(struct walk *w, const struct alloy_expr *e)
{
    const struct alloy_expr *parts[PARTS_MAX];
    if (e == NULL)
        return;
    size_t count = chain_parts(e, parts);
    if (count > 0) {
        note_chain(w, parts, count);
        return;
    }
    walk_expr(w, e->left);
    walk_expr(w, e->right);
    for (const struct alloy_expr *x = e->first; x != NULL; x = x->next)
        walk_expr(w, x);
    for (const struct alloy_key *k = e->fields; k != NULL; k = k->next)
        walk_expr(w, k->value);
}

static void walk_body(struct walk *w, const struct alloy_stmt *body)
{
    for (; body != NULL; body = body->next) {
        walk_expr(w, body->value);
        walk_body(w, body->body);
    }
}

static int find_needs(struct walk *w)
{
    struct alloy_graph *g = w->g;
    struct graph_node *n = w->n;
    w->count = 0;
    w->mark++;
    walk_body(w, n->stmt->body);
    n->needs = arena_calloc(g->arena, w->count, sizeof(struct graph_node *));
    const struct alloy_node **needs = arena_calloc(g->arena, w->count, sizeof *needs);
    if (n->needs == NULL || needs == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < w->count; i++) {
        n->needs[i] = w->found[i];
        needs[i] = &w->found[i]->pub;
    }
    n->pub.needs = needs;
    n->pub.need_count = w->count;
    return w->error;
}

/* --- order and circles -------------------------------------------------------------------- */

/* Tarjan's search with a stack of its own: a component is put into the order once all it refers
 * to is there; several at once are a circle. */
struct search {
    struct alloy_graph *g;
    struct graph_node **path;  /* being looked into */
    struct graph_node **stack; /* not yet in the order */
    size_t path_count, stack_count, ordered;
    uint32_t next;
    struct alloy_diags *diags;
};

static void enter(struct search *s, struct graph_node *n)
{
    n->number = n->low = ++s->next;
    n->step = 0;
    n->on_stack = true;
    s->path[s->path_count++] = n;
    s->stack[s->stack_count++] = n;
}

static void report_circle(struct search *s, struct graph_node **members, size_t count)
{
    struct buf text = {0};
    if (count == 1) {
        buf_printf(&text, "self reference: %s", members[0]->pub.id);
    } else {
        buf_c(&text, "cycle: ");
        for (size_t i = 0; i < count && text.size < 3000; i++)
            buf_printf(&text, "%s%s", i > 0 ? ", " : "", members[i]->pub.id);
    }
    graph_error(s->g, s->diags, NULL, 0, 0, "",
                text.error == 0 ? buf_view(&text) : STR("cycle"), "");
    buf_reset(&text);
}

static bool refers_to_itself(const struct graph_node *n)
{
    for (size_t i = 0; i < n->pub.need_count; i++)
        if (n->needs[i] == n)
            return true;
    return false;
}

/* n and all above it on the stack are one group. */
static void leave_group(struct search *s, struct graph_node *n)
{
    size_t from = s->stack_count;
    while (s->stack[--from] != n)
        ;
    size_t count = s->stack_count - from;
    if (count > 1 || refers_to_itself(n))
        report_circle(s, s->stack + from, count);
    for (size_t i = from; i < s->stack_count; i++) {
        s->stack[i]->on_stack = false;
        s->g->order[s->ordered++] = s->stack[i];
    }
    s->stack_count = from;
}

static void search_from(struct search *s, struct graph_node *start)
{
    if (start->number != 0)
        return;
    enter(s, start);
    while (s->path_count > 0) {
        struct graph_node *n = s->path[s->path_count - 1];
        if (n->step < n->pub.need_count) {
            struct graph_node *m = n->needs[n->step++];
            if (m->number == 0)
                enter(s, m);
            else if (m->on_stack && m->number < n->low)
                n->low = m->number;
            continue;
        }
        s->path_count--;
        if (s->path_count > 0 && n->low < s->path[s->path_count - 1]->low)
            s->path[s->path_count - 1]->low = n->low;
        if (n->low == n->number)
            leave_group(s, n);
    }
}

int graph_resolve(struct alloy_graph *g, struct alloy_diags *diags)
{
    size_t room = g->count + 1;
    struct graph_node **found = mem_calloc(room, sizeof(struct graph_node *));
    struct search s = {.g = g, .diags = diags};
    s.path = mem_calloc(room, sizeof(struct graph_node *));
    s.stack = mem_calloc(room, sizeof(struct graph_node *));
    g->order = arena_calloc(g->arena, room, sizeof(struct graph_node *));
    int rc =
        found == NULL || s.path == NULL || s.stack == NULL || g->order == NULL ? ERR_NOMEM : 0;
    struct walk w = {.g = g, .diags = diags, .found = found};
    for (struct graph_node *n = g->nodes; rc == 0 && n != NULL; n = n->next) {
        w.n = n;
        rc = find_needs(&w);
    }
    for (struct graph_node *n = g->nodes; n != NULL; n = n->next)
        n->number = 0;
    for (struct graph_node *n = g->nodes; rc == 0 && n != NULL; n = n->next)
        search_from(&s, n);
    for (size_t i = 0; rc == 0 && i < g->count; i++)
        g->order[i]->pub.index = i;
    graph_forget_scope(g);
    mem_free(found);
    mem_free(s.path);
    mem_free(s.stack);
    return rc;
}

/* --- scope -------------------------------------------------------------------------------- */

/* A level of names while the scope is put together. */
struct level {
    struct map *parts; /* name of a part to its level */
    const struct graph_node *node;
};

/* The exports of a component as an object. */
static int put_exports(struct alloy_graph *g, const struct graph_node *n,
                       struct alloy_value *out)
{
    struct alloy_field *fields = arena_calloc(g->scope, n->export_count, sizeof *fields);
    if (fields == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n->export_count; i++)
        fields[i] = (struct alloy_field){.key = str_c(n->pub.type->exports[i].name),
                                         .value = n->exports[i]};
    size_t count = alloy_fields_sort(fields, n->export_count);
    *out = (struct alloy_value){.type = ALLOY_OBJECT, .object = {count, fields}};
    return 0;
}

static int new_level(struct alloy_graph *g, struct level **out)
{
    struct level *l = arena_zalloc(g->scope, sizeof *l);
    if (l == NULL)
        return ERR_NOMEM;
    int rc = map_init(&l->parts);
    if (rc == 0)
        *out = l;
    return rc;
}

static void free_level(struct level *l)
{
    size_t at = 0;
    void *child;
    while (map_next(l->parts, &at, NULL, &child))
        free_level(child);
    map_free(&l->parts);
}

/* File a component under the parts of its id. */
static int file_node(struct alloy_graph *g, struct level *l, const struct graph_node *n)
{
    struct str rest = n->id, part;
    while (str_cut(&rest, '.', &part)) {
        struct level *child = map_get(l->parts, part);
        if (child == NULL) {
            int rc = new_level(g, &child);
            if (rc != 0)
                return rc;
            rc = map_put(l->parts, part, child, NULL);
            if (rc != 0) {
                map_free(&child->parts);
                return rc;
            }
        }
        l = child;
    }
    l->node = n;
    return 0;
}

/* Depth is that of ids: bounded by the parser. */
static int make_object(struct alloy_graph *g, const struct level *l, struct alloy_value *out)
{
    if (l->node != NULL)
        return put_exports(g, l->node, out);
    struct alloy_field *fields = arena_calloc(g->scope, map_count(l->parts), sizeof *fields);
    if (fields == NULL)
        return ERR_NOMEM;
    size_t at = 0, n = 0;
    void *child;
    for (struct str key; map_next(l->parts, &at, &key, &child); n++) {
        fields[n].key = str_dup(g->scope, key);
        if (fields[n].key.data == NULL)
            return ERR_NOMEM;
        int rc = make_object(g, child, &fields[n].value);
        if (rc != 0)
            return rc;
    }
    n = alloy_fields_sort(fields, n);
    *out = (struct alloy_value){.type = ALLOY_OBJECT, .object = {n, fields}};
    return 0;
}

int graph_make_scope(struct alloy_graph *g)
{
    struct level *top;
    if (g->has_root)
        return 0;
    arena_reset(g->scope);
    int rc = new_level(g, &top);
    if (rc != 0)
        return rc;
    for (const struct graph_node *n = g->nodes; rc == 0 && n != NULL; n = n->next)
        if (!n->pub.type->config)
            rc = file_node(g, top, n);
    if (rc == 0)
        rc = make_object(g, top, &g->root);
    free_level(top);
    g->has_root = rc == 0;
    return rc;
}

bool graph_lookup(struct alloy_graph *g, struct str name, struct alloy_value *out)
{
    const struct alloy_value *v = alloy_object_get(&g->root.object, name);
    if (v != NULL)
        *out = *v;
    return v != NULL;
}

void graph_forget_scope(struct alloy_graph *g)
{
    g->has_root = false;
}
