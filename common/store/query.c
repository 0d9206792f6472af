/* Plans, sums per stack, and what is made of them. One partition of one generation at a time: a
 * dense array of sums by node number, then one pass over the nodes. */
#include "store/query.h"

#include "base/mem.h"
#include "profile/pprof_out.h"
#include "profile/tree.h"
#include "store/match.h"
#include "store/row.h"

enum { STOP_EVERY = 64 };

#define NONE UINT32_MAX

struct query {
    const struct view *v;
    const struct query_ask *ask;
    struct match *series; /* those of one partition side by side */
    size_t count, cap;
    struct query_cost cost;
    const struct seqset **lanes[]; /* by generation of the view; see plan_lanes() */
};

/* --- plan ------------------------------------------------------------------------------------- */

/* For each generation the seqs of `include` by the head's lane; an entry that is not in them was
 * given to another replica. */
static int plan_lanes(struct query *q)
{
    if (q->ask->include == NULL)
        return 0;
    for (uint32_t i = 0; i < q->v->count; i++) {
        const struct view_gen *vg = &q->v->gens[i];
        uint32_t n = vector_count(vg->rows->dots);
        if (vg->tenant == NULL || n == 0)
            continue;
        q->lanes[i] = mem_calloc(n, sizeof *q->lanes[i]);
        if (q->lanes[i] == NULL)
            return ERR_NOMEM;
        for (uint32_t k = 0; k < n; k++) {
            uint32_t lane;
            if (vector_find(q->ask->include, vector_name(vg->rows->dots, k), &lane))
                q->lanes[i][k] = vector_seqs(q->ask->include, lane);
        }
    }
    return 0;
}

static bool wanted(const struct query *q, const struct match *m, const struct head_entry *e)
{
    if (q->ask->include == NULL)
        return true;
    const struct seqset **lanes = q->lanes[m->vg - q->v->gens];
    if (lanes == NULL || e->lane >= vector_count(m->vg->rows->dots) || lanes[e->lane] == NULL)
        return false;
    return seqset_has(lanes[e->lane], e->seq);
}

static int check_include(const struct query *q, struct err *err)
{
    struct vector *held = NULL;
    if (q->ask->include == NULL)
        return 0;
    int rc = view_held(q->v, &held, NULL);
    if (rc == 0 && !vector_covers(held, q->ask->include))
        rc = err_set(err, ERR_MOVED, "a profile to be counted is not here");
    vector_free(&held);
    return rc;
}

static int add_series(struct query *q, const struct match *m)
{
    if (q->count == q->cap) {
        size_t cap = q->cap * 2 + 64;
        struct match *series = mem_realloc_array(q->series, cap, sizeof *series);
        if (series == NULL)
            return ERR_NOMEM;
        q->series = series;
        q->cap = cap;
    }
    q->series[q->count++] = *m;
    return 0;
}

static int plan_series(struct query *q, struct err *err)
{
    struct match_walk w;
    struct match m;
    int rc = match_begin(&w, q->v, q->ask, err);
    while (rc == 0 && match_next(&w, &m)) {
        uint64_t profiles = 0;
        struct head_walk entries = match_entries(&m, q->ask);
        for (const struct head_entry *e; (e = head_next(&entries)) != NULL;) {
            if (!wanted(q, &m, e))
                continue;
            profiles++;
            q->cost.samples += e->samples;
            q->cost.bytes += e->length;
        }
        q->cost.profiles += profiles;
        q->cost.series += profiles > 0;
        if (profiles > 0)
            rc = add_series(q, &m);
    }
    return match_end(&w, rc);
}

int query_plan(struct query **out, const struct view *v, const struct query_ask *ask,
               struct err *err)
{
    struct query *q = mem_zalloc(sizeof *q + v->count * sizeof q->lanes[0]);
    if (q == NULL)
        return err_set(err, ERR_NOMEM, "planning a query");
    q->v = v;
    q->ask = ask;
    err_reset(err);
    int rc = check_include(q, err);
    if (rc == 0)
        rc = plan_lanes(q);
    if (rc == 0)
        rc = plan_series(q, err);
    if (rc != 0) {
        query_free(&q);
        if (err != NULL && err->code == 0)
            err_set(err, rc, "planning a query: %s", err_text(rc));
        return rc;
    }
    *out = q;
    return 0;
}

void query_free(struct query **qp)
{
    struct query *q = *qp;
    if (q == NULL)
        return;
    for (uint32_t i = 0; i < q->v->count; i++)
        mem_free(q->lanes[i]);
    mem_free(q->series);
    mem_free(q);
    *qp = NULL;
}

struct query_cost query_cost(const struct query *q)
{
    return q->cost;
}

/* --- sums of one partition -------------------------------------------------------------------- */

/* Working memory of a partition: sums and flags by node, and what an output maps ids to. */
struct sums {
    const struct query *q;
    const struct part *part;
    struct part_counts n;
    uint64_t *value;   /* by node */
    uint8_t *alive;    /* with a call site: the stack begins so; else NULL */
    uint32_t *node;    /* by node: the tree's */
    uint32_t *string, *function, *mapping, *location; /* the output's, NONE until needed */
    uint64_t charged;
    uint32_t since_stop;
};

static void *take(struct sums *s, size_t count, size_t size, int fill, int *rc)
{
    if (*rc != 0)
        return NULL;
    uint64_t bytes = (count + 1) * size;
    *rc = mem_charge(s->q->ask->account, bytes);
    if (*rc != 0)
        return NULL;
    s->charged += bytes;
    void *p = fill == 0 ? mem_zalloc(bytes) : mem_alloc(bytes);
    if (p == NULL)
        *rc = ERR_NOMEM;
    else if (fill != 0)
        memset(p, fill, bytes);
    return p;
}

static void sums_reset(struct sums *s)
{
    mem_free(s->value);
    mem_free(s->alive);
    mem_free(s->node);
    mem_free(s->string);
    mem_free(s->function);
    mem_free(s->mapping);
    mem_free(s->location);
    mem_uncharge(s->q->ask->account, s->charged);
    *s = (struct sums){.q = s->q};
}

/* Walks down a stack by name: how much of the call site the frames so far have matched. */
struct prefix {
    uint32_t matched;
    bool off; /* a frame differs */
};

static struct str name_of(const struct part *part, const struct form_line *line)
{
    return part_string(part, part_function(part, line->function)->name);
}

static struct prefix prefix_after(const struct sums *s, struct prefix at, uint32_t location)
{
    const struct part_location *l = part_location(s->part, location);
    for (uint32_t k = l->line_count; k > 0 && !at.off; k--) { /* outermost first */
        if (at.matched == s->q->ask->call_site_count)
            break;
        struct str name = name_of(s->part, part_line(s->part, l->first_line + k - 1));
        if (str_eq(name, s->q->ask->call_site[at.matched]))
            at.matched++;
        else
            at.off = true;
    }
    return at;
}

/* alive[node]: every frame of the call site is at the top of the node's stack. */
static int find_alive(struct sums *s)
{
    int rc = 0;
    s->alive = take(s, s->n.nodes, 1, 0, &rc);
    struct prefix *at = rc == 0 ? mem_calloc((size_t)s->n.nodes + 1, sizeof *at) : NULL;
    if (rc == 0 && at == NULL)
        rc = ERR_NOMEM;
    for (uint32_t i = 1, run; i < s->n.nodes && rc == 0; i += run) {
        const struct part_node *nodes;
        run = part_nodes(s->part, i, s->n.nodes, &nodes);
        for (uint32_t k = 0; k < run; k++) {
            at[i + k] = prefix_after(s, at[nodes[k].parent], nodes[k].location);
            s->alive[i + k] = !at[i + k].off && at[i + k].matched == s->q->ask->call_site_count;
        }
    }
    mem_free(at);
    return rc;
}

static int sums_begin(struct sums *s, const struct match *m)
{
    int rc = 0;
    s->part = m->partition->part;
    s->n = part_counts(s->part);
    s->value = take(s, s->n.nodes, sizeof *s->value, 0, &rc);
    if (rc == 0 && s->q->ask->call_site_count > 0)
        rc = find_alive(s);
    return rc;
}

/* One row with a span selector, or for a total with a call site. */
struct picking {
    const struct sums *s;
    uint64_t *value; /* by node, or NULL: into `total` */
    uint64_t total;
};

static int pick(void *arg, uint32_t stack, uint64_t span, uint64_t value)
{
    struct picking *p = arg;
    const struct query_ask *ask = p->s->q->ask;
    if (stack >= p->s->n.nodes)
        return ERR_CORRUPT;
    bool good = ask->span_ids == NULL;
    for (size_t i = 0; i < ask->span_count && !good; i++)
        good = span != 0 && ask->span_ids[i] == span;
    if (!good || (p->s->alive != NULL && p->s->alive[stack] == 0))
        return 0;
    if (p->value != NULL)
        p->value[stack] += value;
    else
        p->total += value;
    return 0;
}

static int open_row(const struct match *m, const struct head_entry *e, struct row *row)
{
    struct str bytes = gen_row(m->vg->gen, e);
    if (bytes.len != e->length)
        return ERR_CORRUPT;
    return row_open(bytes, m->stream->member_count, row);
}

static int add_series_sums(struct sums *s, const struct match *m, const _Atomic(bool) *stop)
{
    struct head_walk entries = match_entries(m, s->q->ask);
    for (const struct head_entry *e; (e = head_next(&entries)) != NULL;) {
        struct row row;
        if (!wanted(s->q, m, e))
            continue;
        if (stop != NULL && s->since_stop++ % STOP_EVERY == 0 && atomic_load(stop))
            return ERR_CANCELED;
        int rc = open_row(m, e, &row);
        struct picking p = {.s = s, .value = s->value};
        if (rc == 0 && s->q->ask->span_ids == NULL)
            rc = row_add(&row, m->member, s->value, s->n.nodes);
        else if (rc == 0)
            rc = row_each(&row, m->member, pick, &p);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Stacks off the call site do not count. */
static void drop_dead(struct sums *s)
{
    for (uint32_t i = 0; s->alive != NULL && i < s->n.nodes; i++)
        if (s->alive[i] == 0)
            s->value[i] = 0;
}

typedef int (*emit_fn)(struct sums *s, void *into);

/* Sum up partition by partition and hand each to `emit`. */
static int each_partition(struct query *q, emit_fn emit, void *into, const _Atomic(bool) *stop)
{
    int rc = 0;
    for (size_t from = 0, to; from < q->count && rc == 0; from = to) {
        struct sums s = {.q = q};
        rc = sums_begin(&s, &q->series[from]);
        for (to = from; to < q->count && rc == 0; to++) {
            if (q->series[to].partition != q->series[from].partition)
                break;
            rc = add_series_sums(&s, &q->series[to], stop);
        }
        if (rc == 0) {
            drop_dead(&s);
            rc = emit(&s, into);
        }
        sums_reset(&s);
    }
    return rc;
}

/* --- tree ------------------------------------------------------------------------------------- */

/* The tree's node of a partition's node, below its parent's: one step per line. */
static int tree_step(struct sums *s, struct tree *t, uint32_t parent, uint32_t location,
                     uint32_t *out)
{
    const struct part_location *l = part_location(s->part, location);
    for (uint32_t k = l->line_count; k > 0; k--) {
        const struct form_line *line = part_line(s->part, l->first_line + k - 1);
        uint32_t string = part_function(s->part, line->function)->name;
        int rc = 0;
        if (s->string[string] == NONE)
            rc = tree_name(t, part_string(s->part, string), &s->string[string]);
        if (rc == 0)
            rc = tree_child(t, parent, s->string[string], &parent);
        if (rc != 0)
            return rc;
    }
    *out = parent;
    return 0;
}

/* Mark every ancestor of a node with a value; children come after their parents. */
static void mark_needed(const struct sums *s, uint8_t *needed)
{
    for (uint32_t i = s->n.nodes; i-- > 1;) {
        const struct part_node *node;
        if (s->value[i] > 0)
            needed[i] = 1;
        if (needed[i] == 0)
            continue;
        (void)part_nodes(s->part, i, i + 1, &node);
        needed[node->parent] = 1;
    }
}

static int emit_tree(struct sums *s, void *into)
{
    struct tree *t = into;
    int rc = 0;
    uint8_t *needed = take(s, s->n.nodes, 1, 0, &rc);
    s->node = take(s, s->n.nodes, sizeof *s->node, 0, &rc);
    s->string = take(s, s->n.strings, sizeof *s->string, 0xff, &rc);
    if (rc == 0)
        mark_needed(s, needed);
    if (rc == 0)
        s->node[0] = TREE_ROOT;
    for (uint32_t i = 1, run; i < s->n.nodes && rc == 0; i += run) {
        const struct part_node *nodes;
        run = part_nodes(s->part, i, s->n.nodes, &nodes);
        for (uint32_t k = 0; k < run && rc == 0; k++) {
            if (needed[i + k] == 0)
                continue;
            rc = tree_step(s, t, s->node[nodes[k].parent], nodes[k].location, &s->node[i + k]);
            if (rc == 0 && s->value[i + k] > 0 && s->node[i + k] != TREE_ROOT)
                tree_add(t, s->node[i + k], s->value[i + k]);
        }
    }
    mem_free(needed);
    return rc;
}

int query_tree(struct query *q, struct tree *into, const _Atomic(bool) *stop)
{
    return each_partition(q, emit_tree, into, stop);
}

/* --- pprof ------------------------------------------------------------------------------------ */

static int out_string(struct sums *s, struct pprof_out *p, uint32_t id, uint32_t *out)
{
    int rc = 0;
    if (s->string[id] == NONE)
        rc = pprof_out_string(p, part_string(s->part, id), &s->string[id]);
    *out = s->string[id];
    return rc;
}

static int out_mapping(struct sums *s, struct pprof_out *p, uint32_t id, uint32_t *out)
{
    if (id != 0 && s->mapping[id] == NONE) {
        const struct form_mapping *m = part_mapping(s->part, id);
        struct pprof_mapping to = {
            .start = m->start,
            .limit = m->limit,
            .offset = m->offset,
            .has_functions = (m->flags & FORM_HAS_FUNCTIONS) != 0,
            .has_filenames = (m->flags & FORM_HAS_FILENAMES) != 0,
            .has_line_numbers = (m->flags & FORM_HAS_LINE_NUMBERS) != 0,
            .has_inline_frames = (m->flags & FORM_HAS_INLINE_FRAMES) != 0,
        };
        int rc = out_string(s, p, m->file, &to.file);
        if (rc == 0)
            rc = out_string(s, p, m->build_id, &to.build_id);
        if (rc == 0)
            rc = pprof_out_mapping(p, &to, &s->mapping[id]);
        if (rc != 0)
            return rc;
    }
    *out = id == 0 ? 0 : s->mapping[id];
    return 0;
}

static int out_function(struct sums *s, struct pprof_out *p, uint32_t id, uint32_t *out)
{
    if (s->function[id] == NONE) {
        const struct form_function *f = part_function(s->part, id);
        struct pprof_function to = {.start_line = (int64_t)f->start_line};
        int rc = out_string(s, p, f->name, &to.name);
        if (rc == 0)
            rc = out_string(s, p, f->system_name, &to.system_name);
        if (rc == 0)
            rc = out_string(s, p, f->file, &to.file);
        if (rc == 0)
            rc = pprof_out_function(p, &to, &s->function[id]);
        if (rc != 0)
            return rc;
    }
    *out = s->function[id];
    return 0;
}

static int make_location(struct sums *s, struct pprof_out *p, uint32_t id)
{
    const struct part_location *l = part_location(s->part, id);
    uint32_t mapping;
    int rc = out_mapping(s, p, l->mapping, &mapping);
    struct pprof_line *lines = mem_calloc((size_t)l->line_count + 1, sizeof *lines);
    if (rc == 0 && lines == NULL)
        rc = ERR_NOMEM;
    for (uint32_t k = 0; k < l->line_count && rc == 0; k++) {
        const struct form_line *line = part_line(s->part, l->first_line + k);
        lines[k].line = line->line;
        rc = out_function(s, p, line->function, &lines[k].function);
    }
    if (rc == 0)
        rc = pprof_out_location(p, mapping, l->address, l->folded, lines, l->line_count,
                                &s->location[id]);
    mem_free(lines);
    return rc;
}

/* The stack of a node, leaf first. */
struct stack {
    uint32_t *ids;
    size_t count, cap;
};

static int out_stack(struct sums *s, struct pprof_out *p, uint32_t node, struct stack *to)
{
    to->count = 0;
    while (node != 0) {
        const struct part_node *n;
        (void)part_nodes(s->part, node, node + 1, &n);
        if (s->location[n->location] == NONE) {
            int rc = make_location(s, p, n->location);
            if (rc != 0)
                return rc;
        }
        if (to->count == to->cap) {
            uint32_t *ids = mem_realloc_array(to->ids, to->cap * 2 + 64, sizeof *ids);
            if (ids == NULL)
                return ERR_NOMEM;
            to->ids = ids;
            to->cap = to->cap * 2 + 64;
        }
        to->ids[to->count++] = s->location[n->location];
        node = n->parent;
    }
    return 0;
}

static int emit_pprof(struct sums *s, void *into)
{
    struct pprof_out *p = into;
    struct stack stack = {0};
    int rc = 0;
    s->string = take(s, s->n.strings, sizeof *s->string, 0xff, &rc);
    s->function = take(s, s->n.functions, sizeof *s->function, 0xff, &rc);
    s->mapping = take(s, s->n.mappings, sizeof *s->mapping, 0xff, &rc);
    s->location = take(s, s->n.locations, sizeof *s->location, 0xff, &rc);
    for (uint32_t i = 1; i < s->n.nodes && rc == 0; i++) {
        if (s->value[i] == 0)
            continue;
        rc = out_stack(s, p, i, &stack);
        if (rc == 0)
            rc = pprof_out_sample(p, stack.ids, stack.count, s->value[i]);
    }
    mem_free(stack.ids);
    return rc;
}

int query_pprof(struct query *q, struct pprof_out *into, const _Atomic(bool) *stop)
{
    return each_partition(q, emit_pprof, into, stop);
}

/* --- points ----------------------------------------------------------------------------------- */

static int points_of(struct sums *s, const struct match *m, uint32_t series,
                     struct labels labels, query_point_fn each, void *arg)
{
    bool stacks = s->alive != NULL || s->q->ask->span_ids != NULL;
    struct head_walk entries = match_entries(m, s->q->ask);
    for (const struct head_entry *e; (e = head_next(&entries)) != NULL;) {
        uint64_t total = e->totals[m->member];
        int rc = 0;
        if (!wanted(s->q, m, e))
            continue;
        if (stacks) {
            struct row row;
            struct picking p = {.s = s};
            rc = open_row(m, e, &row);
            if (rc == 0)
                rc = row_each(&row, m->member, pick, &p);
            total = p.total;
        }
        if (rc == 0 && (!stacks || total > 0))
            rc = each(arg, series, labels, e->time_ns, total);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int query_points(struct query *q, query_point_fn each, void *arg)
{
    struct arena *a = NULL;
    struct sums s = {.q = q};
    int rc = arena_init(&a, 0, q->ask->account);
    bool stacks = q->ask->call_site_count > 0;
    for (size_t i = 0; i < q->count && rc == 0; i++) {
        const struct match *m = &q->series[i];
        struct labels labels;
        arena_reset(a);
        rc = labels_of_series(m->stream->pairs, m->stream->pair_count,
                              &m->stream->members[m->member], a, &labels);
        if (rc == 0 && s.part != m->partition->part) {
            sums_reset(&s);
            s.part = m->partition->part;
            s.n = part_counts(s.part);
            rc = stacks ? find_alive(&s) : 0;
        }
        if (rc == 0)
            rc = points_of(&s, m, (uint32_t)i, labels, each, arg);
    }
    sums_reset(&s);
    arena_free(&a);
    return rc;
}
