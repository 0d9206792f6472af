/* receive-proxy/pipeline_run.c - from a graph of blocks to components that run. */
#include "pipeline_run.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloy/ast.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "settings.h"

enum { REASON_MAX = 512, ID_MAX = 512 };

/* One component of a configuration. */
struct part {
    const struct alloy_node *node;
    struct receiver *receiver; /* of write and relabel; a reference */
    struct receive *listener;  /* of receive_http */
    bool kept;     /* receiver or listener are those of the configuration before */
    bool started;  /* the listener */
    struct flow_list *next; /* of a listener; a reference */
    bool healthy;
    char message[REASON_MAX];
    wall_ms since;
};

struct plan {
    struct alloy_graph *graph;
    struct part *parts;
    size_t count, room;
};

struct pipeline {
    const struct pipeline_world *world;
    struct alloy_component types[4];
    struct plan *now, *next; /* may be NULL */
    pthread_mutex_t lock; /* of the two below */
    unsigned retiring;    /* listeners that have not ended */
    bool retired;         /* there will be no more */
    _Atomic(bool) over;
    char failure[REASON_MAX];
};

/* --- the language ------------------------------------------------------------------------ */

enum { RECEIVE, RELABEL, WRITE, LOGGING, TYPES };

static const struct alloy_export receiver_exports[] = {{"receiver", SET_RECEIVER}, {NULL, NULL}};
static const struct alloy_export relabel_exports[] = {
    {"receiver", SET_RECEIVER}, {"rules", "relabel.Rules"}, {NULL, NULL}};

static void list_types(struct alloy_component out[TYPES], bool alloy)
{
    out[RECEIVE] = (struct alloy_component){.name = "pyroscope.receive_http",
                                            .args = set_receive_schema(alloy)};
    out[RELABEL] = (struct alloy_component){
        .name = "pyroscope.relabel", .args = &set_relabel_schema, .exports = relabel_exports};
    out[WRITE] = (struct alloy_component){
        .name = "pyroscope.write", .args = set_write_schema(alloy), .exports = receiver_exports};
    out[LOGGING] = (struct alloy_component){
        .name = "logging", .args = &alloy_logging_schema, .config = true};
}

static const char *get_env(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

int pipeline_check(const struct alloy_text *texts, size_t count, bool alloy,
                   struct alloy_diags *diags)
{
    struct alloy_component types[TYPES];
    struct alloy_graph *g = NULL;
    list_types(types, alloy);
    struct alloy_host host = {.types = types, .type_count = TYPES, .env = get_env};
    int rc = alloy_load(&g, texts, count, &host, diags);
    alloy_graph_free(&g);
    return rc;
}

/* --- plans ------------------------------------------------------------------------------- */

static struct part *find_node(const struct plan *plan, const struct alloy_node *node)
{
    if (node->index < plan->count && plan->parts[node->index].node == node)
        return &plan->parts[node->index]; /* always, but where some could not be made */
    for (size_t i = 0; i < plan->count; i++)
        if (plan->parts[i].node == node)
            return &plan->parts[i];
    return NULL;
}

static struct part *find_id(const struct plan *plan, struct str id)
{
    const struct alloy_node *node =
        plan == NULL || plan->graph == NULL ? NULL : alloy_graph_find(plan->graph, id);
    return node == NULL ? NULL : find_node(plan, node);
}

static void on_retired(void *arg)
{
    struct pipeline *p = arg;
    pthread_mutex_lock(&p->lock);
    if (--p->retiring == 0 && p->retired)
        atomic_store(&p->over, true);
    pthread_mutex_unlock(&p->lock);
}

static void retire(struct pipeline *p, struct receive *r)
{
    pthread_mutex_lock(&p->lock);
    p->retiring++;
    pthread_mutex_unlock(&p->lock);
    receive_retire(r, on_retired, p);
}

/* Its listeners end too, but those that were kept from the configuration before, or for the one
 * after. */
static void plan_free(struct pipeline *p, struct plan **pp)
{
    struct plan *plan = *pp;
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->count; i++) {
        struct part *part = &plan->parts[i];
        receiver_release(part->receiver);
        flow_list_release(part->next);
        if (part->listener != NULL && !part->kept)
            retire(p, part->listener);
    }
    alloy_graph_free(&plan->graph);
    mem_free(plan->parts);
    mem_free(plan);
    *pp = NULL;
}

static struct part *add_part(struct plan *plan)
{
    if (plan->count == plan->room) {
        size_t room = plan->room == 0 ? 8 : plan->room * 2;
        struct part *parts = mem_realloc_array(plan->parts, room, sizeof *parts);
        if (parts == NULL)
            return NULL;
        plan->parts = parts;
        plan->room = room;
    }
    struct part *part = &plan->parts[plan->count++];
    *part = (struct part){.healthy = true};
    return part;
}

/* --- components -------------------------------------------------------------------------- */

static int list_receivers(const struct plan *plan, const struct alloy_capsules *to,
                          struct flow_list **out, struct err *err)
{
    struct receiver **items = mem_calloc(to->count + 1, sizeof *items);
    if (items == NULL)
        return err_set(err, ERR_NOMEM, "no memory for forward_to");
    size_t n = 0;
    for (size_t i = 0; i < to->count; i++) {
        const struct part *part = find_node(plan, to->items[i]->node);
        ASSERT(part != NULL && part->receiver != NULL); /* needs_are_built() */
        items[n++] = part->receiver;
    }
    int rc = flow_list_init(out, items, n);
    mem_free(items);
    return rc == 0 ? 0 : err_set(err, rc, "no memory for forward_to");
}

/* Everything it sends to exists: else the load fails anyhow, for the reason that was told. */
static bool needs_are_built(const struct plan *plan, const struct alloy_node *node)
{
    for (size_t i = 0; i < node->need_count; i++) {
        const struct part *part = find_node(plan, node->needs[i]);
        if (part == NULL || part->receiver == NULL)
            return false;
    }
    return true;
}

/* Everything it sends to is what it was. */
static bool needs_are_kept(const struct plan *plan, const struct alloy_node *node)
{
    for (size_t i = 0; i < node->need_count; i++) {
        const struct part *part = find_node(plan, node->needs[i]);
        if (part == NULL || !part->kept)
            return false;
    }
    return true;
}

static bool is_same(const struct plan *plan, const struct alloy_node *node,
                    const struct part *before)
{
    return before != NULL && before->node->type == node->type &&
           alloy_schema_equal(node->type->args, node->args, before->node->args) &&
           needs_are_kept(plan, node);
}

static int build_relabel(struct pipeline *p, struct plan *plan, struct part *part,
                         struct err *err)
{
    const struct set_relabel *s = part->node->args;
    struct flow_list *next = NULL;
    int rc = list_receivers(plan, &s->forward_to, &next, err);
    if (rc == 0)
        rc = relabel_init(&part->receiver, s, str_c(part->node->id), STR("/"), next,
                          p->world->relabel, err);
    flow_list_release(next);
    return rc;
}

/* All listeners that run, for their sockets. */
static size_t list_listeners(const struct plan *plan, struct receive **out)
{
    size_t n = 0;
    for (size_t i = 0; plan != NULL && i < plan->count; i++)
        if (plan->parts[i].listener != NULL)
            out[n++] = plan->parts[i].listener;
    return n;
}

/* Sockets that are taken over would let two listeners of one address go unnoticed. */
static int check_address(const struct plan *plan, const struct part *part, struct err *err)
{
    char text[ADDR_TEXT_MAX];
    struct addr at = receive_addr(part->listener);
    for (size_t i = 0; i < plan->count; i++) {
        const struct part *other = &plan->parts[i];
        struct addr theirs;
        if (other == part || other->listener == NULL)
            continue;
        theirs = receive_addr(other->listener);
        if (addr_eq(&at, &theirs))
            return err_set(err, ERR_EXIST, "listen on %s: address already in use by %s",
                           addr_text(&at, text), other->node->id);
    }
    return 0;
}

static int build_receive(struct pipeline *p, struct plan *plan, struct part *part,
                         struct err *err)
{
    const struct set_receive *s = part->node->args;
    struct str id = str_c(part->node->id);
    const struct part *before = find_id(p->now, id);
    int rc = list_receivers(plan, &s->forward_to, &part->next, err);
    if (rc != 0)
        return rc;
    if (before != NULL && before->listener != NULL &&
        set_receive_same_server(s, before->node->args)) {
        part->listener = before->listener;
        part->kept = part->started = true;
        return check_address(plan, part, err);
    }
    struct receive **old = mem_calloc((p->now == NULL ? 0 : p->now->count) + 1, sizeof *old);
    if (old == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a listener");
    size_t count = list_listeners(p->now, old);
    rc = receive_init(&part->listener, s, id, STR("/"), part->next, old, count,
                      p->world->receive, err);
    mem_free(old);
    return rc == 0 ? check_address(plan, part, err) : rc;
}

static int build(void *arg, const struct alloy_node *node, struct err *err)
{
    struct pipeline *p = arg;
    struct plan *plan = p->next;
    struct part *part = add_part(plan);
    if (part == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a component");
    const struct part *before = find_id(p->now, str_c(node->id));
    part->node = node;
    part->since = clock_wall_ms();
    (void)snprintf(part->message, sizeof part->message, "started component");
    if (!needs_are_built(plan, node))
        return 0;
    if (node->type == &p->types[RECEIVE])
        return build_receive(p, plan, part, err);
    if (is_same(plan, node, before)) {
        part->receiver = before->receiver == NULL ? NULL : receiver_retain(before->receiver);
        part->kept = true;
        part->since = before->healthy ? before->since : part->since;
        return 0;
    }
    if (node->type == &p->types[RELABEL])
        return build_relabel(p, plan, part, err);
    if (node->type == &p->types[WRITE])
        return write_init(&part->receiver, node->args, str_c(node->id), STR("/"),
                          p->world->write, err);
    return 0;
}

/* --- what went wrong --------------------------------------------------------------------- */

static void mark(struct part *part, struct str why)
{
    part->healthy = false;
    part->since = clock_wall_ms();
    (void)snprintf(part->message, sizeof part->message, "component evaluation failed: %.*s",
                   STR_ARG(str_head(why, REASON_MAX - 64)));
}

/* The block of a text that a place is in. */
static const struct alloy_stmt *block_at(const struct alloy_file *f, uint32_t offset)
{
    for (const struct alloy_stmt *s = f->body; s != NULL; s = s->next)
        if (offset >= s->start && offset <= s->end)
            return s;
    return NULL;
}

static void mark_block(struct pipeline *p, const struct alloy_stmt *s, struct str why)
{
    char id[ID_MAX];
    (void)snprintf(id, sizeof id, s->label.len > 0 ? "%.*s.%.*s" : "%.*s%.*s", STR_ARG(s->name),
                   STR_ARG(s->label));
    struct part *part = find_id(p->now, str_c(id));
    if (part != NULL)
        mark(part, why);
}

/* The components that run, and whose new form has faults, are unhealthy. */
static void mark_faults(struct pipeline *p, const struct alloy_text *texts, size_t count,
                        const struct alloy_diags *diags)
{
    for (size_t t = 0; t < count; t++) {
        struct arena *a = NULL;
        struct alloy_file *file = NULL;
        struct alloy_diags ignored = {0};
        if (arena_init(&a, 0, NULL) != 0)
            return;
        if (alloy_parse(&file, &texts[t], a, &ignored) == 0) {
            for (size_t i = 0; i < diags->count; i++) {
                const struct alloy_diag *d = &diags->items[i];
                const struct alloy_stmt *s =
                    d->severity == ALLOY_ERROR && d->start.line > 0 &&
                            str_eq(d->file, texts[t].name)
                        ? block_at(file, d->start.offset)
                        : NULL;
                if (s != NULL)
                    mark_block(p, s, d->message);
            }
        }
        alloy_diags_reset(&ignored);
        arena_free(&a);
    }
}

static void note_failure(struct pipeline *p, const struct alloy_diags *diags)
{
    struct buf text = {0};
    alloy_diags_summary(diags, &text);
    (void)snprintf(p->failure, sizeof p->failure, "%.*s", STR_ARG(buf_view(&text)));
    buf_reset(&text);
}

/* --- life -------------------------------------------------------------------------------- */

int pipeline_init(struct pipeline **out, const struct pipeline_world *world)
{
    struct pipeline *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    p->world = world;
    pthread_mutex_init(&p->lock, NULL);
    list_types(p->types, world->alloy);
    *out = p;
    return 0;
}

int pipeline_prepare(struct pipeline *p, const struct alloy_text *texts, size_t count,
                     struct alloy_diags *diags)
{
    struct alloy_host host = {.types = p->types,
                              .type_count = TYPES,
                              .env = get_env,
                              .build = build,
                              .arg = p,
                              .hostname = p->world->hostname,
                              .version = p->world->version};
    plan_free(p, &p->next);
    p->next = mem_zalloc(sizeof *p->next);
    if (p->next == NULL)
        return ERR_NOMEM;
    int rc = alloy_load(&p->next->graph, texts, count, &host, diags);
    if (rc == 0)
        return 0;
    plan_free(p, &p->next);
    note_failure(p, diags);
    mark_faults(p, texts, count, diags);
    return rc;
}

/* Everything that can fail, before anything old is touched. */
static int start_new(struct pipeline *p, struct plan *plan, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->count; i++) {
        struct part *part = &plan->parts[i];
        if (part->listener == NULL || part->started)
            continue;
        rc = receive_start(part->listener, err);
        part->started = rc == 0;
        struct part *before = find_id(p->now, str_c(part->node->id));
        if (rc != 0 && before != NULL)
            mark(before, str_c(err->msg));
    }
    /* Queues are handed over last: nothing is sent to receivers of a configuration that fails. */
    for (size_t i = 0; rc == 0 && i < plan->count; i++) {
        struct part *part = &plan->parts[i];
        if (part->receiver != NULL && !part->kept && write_is(part->receiver))
            rc = write_start(part->receiver, err);
    }
    return rc;
}

int pipeline_commit(struct pipeline *p, struct err *err)
{
    struct plan *plan = p->next, *old = p->now;
    ASSERT(plan != NULL);
    int rc = start_new(p, plan, err);
    if (rc != 0) {
        (void)snprintf(p->failure, sizeof p->failure, "%s", err->msg);
        plan_free(p, &p->next);
        return rc;
    }
    for (size_t i = 0; i < plan->count; i++) {
        struct part *part = &plan->parts[i];
        if (part->listener == NULL || !part->kept)
            continue;
        receive_forward(part->listener, part->node->args, part->next);
        part->kept = false; /* it is this plan's to end now */
        struct part *before = find_id(old, str_c(part->node->id));
        before->listener = NULL;
    }
    for (size_t i = 0; old != NULL && i < old->count; i++)
        old->parts[i].kept = false;
    p->now = plan;
    p->next = NULL;
    p->failure[0] = '\0';
    plan_free(p, &old);
    return 0;
}

const struct alloy_logging *pipeline_logging(const struct pipeline *p)
{
    const struct plan *plan = p->next != NULL ? p->next : p->now;
    const struct part *part = find_id(plan, STR("logging"));
    return part == NULL ? NULL : part->node->args;
}

void pipeline_retire(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    p->retiring++; /* until all have been told */
    p->retired = true;
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; p->now != NULL && i < p->now->count; i++) {
        struct part *part = &p->now->parts[i];
        if (part->listener != NULL)
            retire(p, part->listener);
        part->listener = NULL;
    }
    on_retired(p);
}

const _Atomic(bool) *pipeline_is_over(const struct pipeline *p)
{
    return &p->over;
}

void pipeline_free(struct pipeline **pp)
{
    struct pipeline *p = *pp;
    if (p == NULL)
        return;
    plan_free(p, &p->next);
    plan_free(p, &p->now);
    pthread_mutex_lock(&p->lock); /* the last listener has left it */
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
    *pp = NULL;
}

size_t pipeline_count(const struct pipeline *p)
{
    return p->now == NULL ? 0 : p->now->count;
}

struct pipeline_view pipeline_at(const struct pipeline *p, size_t i)
{
    const struct part *part = &p->now->parts[i];
    return (struct pipeline_view){.node = part->node,
                                  .graph = p->now->graph,
                                  .healthy = part->healthy,
                                  .message = part->message,
                                  .since = part->since,
                                  .listener = part->listener,
                                  .receiver = part->receiver};
}

const char *pipeline_last_failure(const struct pipeline *p)
{
    return p->failure;
}
