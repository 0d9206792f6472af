/* profile/tree_bytes.c - trees on the wire: written cut, read with suspicion. */
#include "profile/tree_priv.h"

#include "base/mem.h"
#include "wire/uv.h"

static const struct str other = STR_INIT("other");

/* A node to be written: one of the cut, or an "other" made up for dropped children. */
struct pending {
    uint32_t k;     /* UINT32_MAX: made up */
    uint64_t extra; /* added to its self value */
};

struct writer {
    const struct tree *tree;
    struct tree_cut cut;
    struct pending *stack; /* never more than there are nodes to write */
    size_t depth;
    struct buf *out;
};

static void put_node(struct buf *out, struct str name, uint64_t self, uint32_t children)
{
    uv_put_str(out, name);
    buf_varint(out, self);
    buf_varint(out, children);
}

/* Push k's children in name order; the sum of the dropped ones goes into a child "other", made
 * up in its place when there is none. Returns how many. */
static uint32_t push_children(struct writer *w, uint32_t k)
{
    uint64_t rest = w->cut.rest[k];
    size_t before = w->depth;
    for (uint32_t i = w->cut.first[k]; i < w->cut.first[k + 1]; i++) {
        struct pending next = {w->cut.child[i], 0};
        int c = -1;
        if (rest > 0)
            c = str_cmp(w->tree->names[w->cut.node[next.k]->name].text, other);
        if (c > 0)
            w->stack[w->depth++] = (struct pending){UINT32_MAX, rest};
        else if (c == 0)
            next.extra = rest;
        if (c >= 0)
            rest = 0;
        w->stack[w->depth++] = next;
    }
    if (rest > 0)
        w->stack[w->depth++] = (struct pending){UINT32_MAX, rest};
    return (uint32_t)(w->depth - before);
}

static void write_nodes(struct writer *w)
{
    put_node(w->out, STR(""), 0, push_children(w, 0));
    while (w->depth > 0) {
        struct pending p = w->stack[--w->depth];
        if (p.k == UINT32_MAX) {
            put_node(w->out, other, p.extra, 0);
            continue;
        }
        const struct tree_node *n = w->cut.node[p.k];
        uint64_t self = tree_sum(n->self, p.extra);
        uv_put_str(w->out, w->tree->names[n->name].text);
        buf_varint(w->out, self);
        buf_varint(w->out, push_children(w, p.k));
    }
}

int tree_encode(const struct tree *t, uint64_t max_nodes, struct buf *out)
{
    if (t->count <= 1)
        return out->error;
    struct writer w = {.tree = t, .out = out};
    int rc = tree_cut_init(&w.cut, t, max_nodes, TREE_KEEP_OTHER);
    if (rc != 0)
        return rc;
    /* Every node of the cut and one "other" for each parent that lost children. */
    size_t most = w.cut.count;
    for (uint32_t k = 0; k < w.cut.count; k++)
        most += w.cut.rest[k] > 0;
    rc = mem_charge(t->account, most * sizeof *w.stack);
    if (rc == 0) {
        w.stack = mem_alloc(most * sizeof *w.stack);
        rc = w.stack == NULL ? ERR_NOMEM : 0;
        if (rc == 0)
            write_nodes(&w);
        mem_free(w.stack);
        mem_uncharge(t->account, most * sizeof *w.stack);
    }
    tree_cut_reset(&w.cut, t);
    return rc != 0 ? rc : out->error;
}

/* A node whose children are still to come. */
struct open_node {
    uint32_t node;
    uint64_t missing; /* >= 1 */
};

struct reader {
    struct tree *tree;
    struct str in;
    size_t size; /* of the whole input */
    struct open_node *stack;
    size_t depth, cap;
    uint64_t promised; /* children announced and not read */
    struct err *err;
};

static int malformed(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_PARSE, "tree: %s at byte %zu", what, r->size - r->in.len);
}

/* The smallest node: no name, self 0, no children. */
enum { NODE_BYTES_MIN = 3 };

static int push_open(struct reader *r, uint32_t node, uint64_t children)
{
    uint64_t room = r->in.len / NODE_BYTES_MIN;
    if (children > room || r->promised > room - children)
        return malformed(r, "more children announced than bytes left");
    r->promised += children;
    if (children == 0)
        return 0;
    if (r->depth == r->cap) {
        size_t cap = r->cap == 0 ? 64 : r->cap * 2;
        int rc = mem_charge(r->tree->account, (cap - r->cap) * sizeof *r->stack);
        if (rc != 0)
            return err_set(r->err, rc, "tree: over the memory limit");
        struct open_node *stack = mem_realloc_array(r->stack, cap, sizeof *stack);
        if (stack == NULL) {
            mem_uncharge(r->tree->account, (cap - r->cap) * sizeof *r->stack);
            return err_set(r->err, ERR_NOMEM, "tree: no memory");
        }
        r->stack = stack;
        r->cap = cap;
    }
    r->stack[r->depth++] = (struct open_node){node, children};
    return 0;
}

static int read_node(struct reader *r, struct str *name, uint64_t *self, uint64_t *children)
{
    if (uv_read_str(&r->in, name) != 0)
        return malformed(r, "bad name");
    if (uv_read(&r->in, self) != 0 || *self > INT64_MAX)
        return malformed(r, "bad value");
    if (uv_read(&r->in, children) != 0)
        return malformed(r, "bad number of children");
    return 0;
}

/* Take the next node below the parent whose children are being read. */
static int take_node(struct reader *r)
{
    struct open_node *up = &r->stack[r->depth - 1];
    uint32_t parent = up->node, id, node;
    uint64_t self, children;
    struct str name;
    int rc = read_node(r, &name, &self, &children);
    if (rc != 0)
        return rc;
    r->promised--;
    if (--up->missing == 0)
        r->depth--;
    rc = tree_name(r->tree, name, &id);
    if (rc == 0)
        rc = tree_child(r->tree, parent, id, &node);
    if (rc != 0)
        return err_set(r->err, rc, "tree: %s", err_text(rc));
    tree_add(r->tree, node, self);
    return push_open(r, node, children);
}

static int read_nodes(struct reader *r, uint32_t nodes_max)
{
    struct str name;
    uint64_t self, children;
    int rc = read_node(r, &name, &self, &children);
    if (rc == 0 && (name.len > 0 || self > 0))
        rc = malformed(r, "root with a name or value");
    if (rc == 0)
        rc = push_open(r, TREE_ROOT, children);
    for (uint32_t n = 0; rc == 0 && r->depth > 0; n++) {
        if (n >= nodes_max)
            return err_set(r->err, ERR_LIMIT, "tree: more than %u nodes", nodes_max);
        rc = take_node(r);
    }
    if (rc == 0 && r->in.len > 0)
        return malformed(r, "bytes behind the last node");
    return rc;
}

int tree_decode(struct tree *t, struct str bytes, uint32_t nodes_max, struct err *err)
{
    if (bytes.len < 2)
        return 0;
    struct reader r = {.tree = t, .in = bytes, .size = bytes.len, .err = err};
    int rc = read_nodes(&r, nodes_max == 0 ? UINT32_C(1) << 31 : nodes_max);
    mem_uncharge(t->account, r.cap * sizeof *r.stack);
    mem_free(r.stack);
    return rc;
}
