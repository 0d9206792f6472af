/* A smaller form: keep some profiles and only the symbols that they reach, in the same order. */
#include "profile/form.h"

#include "base/assert.h"
#include "base/mem.h"

/* Per table: old index -> new index. While marking 1 means "needed". */
struct renumber {
    uint32_t *strings, *mappings, *functions, *locations, *nodes;
};

static void mark_nodes(const struct form *f, const uint32_t *which, uint32_t count,
                       struct renumber *to)
{
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(which[i] < f->profile_count && (i == 0 || which[i] > which[i - 1]));
        const struct form_profile *p = &f->profiles[which[i]];
        for (uint32_t k = 0; k < p->samples; k++)
            to->nodes[p->nodes[k]] = 1;
    }
    for (uint32_t i = f->node_count; i-- > 1;) {
        if (to->nodes[i] == 0)
            continue;
        to->nodes[f->nodes[i].parent] = 1;
        to->locations[f->nodes[i].location] = 1;
    }
}

static void mark_symbols(const struct form *f, struct renumber *to)
{
    for (uint32_t i = 0; i < f->location_count; i++) {
        const struct form_location *l = &f->locations[i];
        if (to->locations[i] == 0)
            continue;
        if (f->mapping_count > 0)
            to->mappings[l->mapping] = 1;
        for (uint32_t k = 0; k < l->line_count; k++)
            to->functions[f->lines[l->first_line + k].function] = 1;
    }
    for (uint32_t i = 0; i < f->function_count; i++) {
        if (to->functions[i] == 0)
            continue;
        to->strings[f->functions[i].name] = to->strings[f->functions[i].system_name] = 1;
        to->strings[f->functions[i].file] = 1;
    }
    for (uint32_t i = 0; i < f->mapping_count; i++)
        if (to->mappings[i] != 0)
            to->strings[f->mappings[i].file] = to->strings[f->mappings[i].build_id] = 1;
}

/* From marks to numbers, `first` for the first one; unmarked entries become UINT32_MAX. */
static void number(uint32_t *marks, uint32_t count)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < count; i++)
        marks[i] = marks[i] != 0 ? next++ : UINT32_MAX;
}

static int copy_symbols(const struct form *f, const struct renumber *to, struct arena *a,
                        struct form *g)
{
    struct str *strings = arena_alloc(a, sizeof *strings * ((size_t)f->string_count + 1));
    struct form_mapping *mappings =
        arena_alloc(a, sizeof *mappings * ((size_t)f->mapping_count + 1));
    struct form_function *functions =
        arena_alloc(a, sizeof *functions * ((size_t)f->function_count + 1));
    if (strings == NULL || mappings == NULL || functions == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < f->string_count; i++)
        if (to->strings[i] != UINT32_MAX)
            strings[g->string_count++] = f->strings[i];
    for (uint32_t i = 0; i < f->mapping_count; i++) {
        if (to->mappings[i] == UINT32_MAX)
            continue;
        struct form_mapping *m = &mappings[g->mapping_count++];
        *m = f->mappings[i];
        m->file = to->strings[m->file];
        m->build_id = to->strings[m->build_id];
    }
    for (uint32_t i = 0; i < f->function_count; i++) {
        if (to->functions[i] == UINT32_MAX)
            continue;
        struct form_function *fn = &functions[g->function_count++];
        *fn = f->functions[i];
        fn->name = to->strings[fn->name];
        fn->system_name = to->strings[fn->system_name];
        fn->file = to->strings[fn->file];
    }
    g->strings = strings;
    g->mappings = mappings;
    g->functions = functions;
    return 0;
}

static int copy_stacks(const struct form *f, const struct renumber *to, struct arena *a,
                       struct form *g)
{
    struct form_location *locations =
        arena_alloc(a, sizeof *locations * ((size_t)f->location_count + 1));
    struct form_line *lines = arena_alloc(a, sizeof *lines * ((size_t)f->line_count + 1));
    struct form_node *nodes = arena_alloc(a, sizeof *nodes * ((size_t)f->node_count + 1));
    if (locations == NULL || lines == NULL || nodes == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < f->location_count; i++) {
        if (to->locations[i] == UINT32_MAX)
            continue;
        const struct form_location *from = &f->locations[i];
        struct form_location *l = &locations[g->location_count++];
        *l = *from;
        l->mapping = f->mapping_count > 0 ? to->mappings[from->mapping] : 0;
        l->first_line = g->line_count;
        for (uint32_t k = 0; k < from->line_count; k++) {
            struct form_line line = f->lines[from->first_line + k];
            line.function = to->functions[line.function];
            lines[g->line_count++] = line;
        }
    }
    for (uint32_t i = 0; i < f->node_count; i++) {
        if (to->nodes[i] == UINT32_MAX)
            continue;
        struct form_node *n = &nodes[g->node_count++];
        n->parent = to->nodes[f->nodes[i].parent];
        n->location = i == 0 ? 0 : to->locations[f->nodes[i].location];
    }
    g->locations = locations;
    g->lines = lines;
    g->nodes = nodes;
    return 0;
}

static int copy_profiles(const struct form *f, const uint32_t *which, uint32_t count,
                         const struct renumber *to, struct arena *a, struct form *g)
{
    struct form_profile *profiles = arena_alloc(a, sizeof *profiles * ((size_t)count + 1));
    if (profiles == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        profiles[i] = f->profiles[which[i]];
        uint32_t *nodes = arena_alloc(a, sizeof *nodes * ((size_t)profiles[i].samples + 1));
        if (nodes == NULL)
            return ERR_NOMEM;
        for (uint32_t k = 0; k < profiles[i].samples; k++)
            nodes[k] = to->nodes[profiles[i].nodes[k]];
        profiles[i].nodes = nodes;
    }
    g->profiles = profiles;
    g->profile_count = count;
    return 0;
}

int form_subset(const struct form *f, const uint32_t *which, uint32_t count, struct arena *a,
                struct buf *out)
{
    struct renumber to = {
        .strings = arena_calloc(a, (size_t)f->string_count + 1, sizeof(uint32_t)),
        .mappings = arena_calloc(a, (size_t)f->mapping_count + 1, sizeof(uint32_t)),
        .functions = arena_calloc(a, (size_t)f->function_count + 1, sizeof(uint32_t)),
        .locations = arena_calloc(a, (size_t)f->location_count + 1, sizeof(uint32_t)),
        .nodes = arena_calloc(a, (size_t)f->node_count + 1, sizeof(uint32_t)),
    };
    if (to.strings == NULL || to.mappings == NULL || to.functions == NULL ||
        to.locations == NULL || to.nodes == NULL)
        return ERR_NOMEM;
    to.strings[0] = to.nodes[0] = 1;
    mark_nodes(f, which, count, &to);
    mark_symbols(f, &to);
    number(to.strings, f->string_count);
    number(to.mappings, f->mapping_count);
    number(to.functions, f->function_count);
    number(to.locations, f->location_count);
    number(to.nodes, f->node_count);
    struct form g = {.lanes = f->lanes, .lane_count = f->lane_count};
    int rc = copy_symbols(f, &to, a, &g);
    rc = rc != 0 ? rc : copy_stacks(f, &to, a, &g);
    rc = rc != 0 ? rc : copy_profiles(f, which, count, &to, a, &g);
    if (rc != 0)
        return rc;
    form_put(&g, out);
    return out->error;
}
