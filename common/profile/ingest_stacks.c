/* Symbols and stacks of a profile in the form: only what kept samples reach, each once. */
#include "profile/ingest_priv.h"

#include "base/mem.h"

/* Indexes in the form by index in the pprof, UNSEEN until needed. */
struct symbols {
    const struct pprof *p;
    struct form_writer *form;
    uint32_t *strings, *mappings, *functions, *locations;
    uint32_t stub; /* the mapping of locations that have none */
    uint32_t path[FORM_DEPTH_MAX]; /* a stack, root first, in the form's locations */
};

#define UNSEEN UINT32_MAX

static inline int string_id(struct symbols *s, uint32_t i, uint32_t *id)
{
    if (s->strings[i] == UNSEEN) {
        int rc = form_add_string(s->form, s->p->strings[i], &s->strings[i]);
        if (rc != 0)
            return rc;
    }
    *id = s->strings[i];
    return 0;
}

static int mapping_id(struct symbols *s, const struct pprof_loc_row *l, uint32_t *id)
{
    uint32_t *slot = l->has_mapping ? &s->mappings[l->mapping] : &s->stub;
    if (*slot == UNSEEN) {
        struct form_mapping m = {0};
        if (l->has_mapping) {
            const struct pprof_map_row *row = &s->p->mappings[l->mapping];
            int rc = string_id(s, row->file, &m.file);
            rc = rc != 0 ? rc : string_id(s, row->build_id, &m.build_id);
            if (rc != 0)
                return rc;
            m.flags = row->flags;
            if ((row->flags & FORM_HAS_FUNCTIONS) == 0) {
                m.start = row->start;
                m.limit = row->limit;
                m.offset = row->offset;
            }
        }
        int rc = form_add_mapping(s->form, &m, slot);
        if (rc != 0)
            return rc;
    }
    *id = *slot;
    return 0;
}

static int function_id(struct symbols *s, uint32_t i, uint32_t *id)
{
    if (s->functions[i] == UNSEEN) {
        const struct pprof_fun_row *row = &s->p->functions[i];
        struct form_function f = {.start_line = (uint64_t)row->start_line};
        int rc = string_id(s, row->name, &f.name);
        rc = rc != 0 ? rc : string_id(s, row->system_name, &f.system_name);
        rc = rc != 0 ? rc : string_id(s, row->file, &f.file);
        rc = rc != 0 ? rc : form_add_function(s->form, &f, &s->functions[i]);
        if (rc != 0)
            return rc;
    }
    *id = s->functions[i];
    return 0;
}

static int add_location(struct symbols *s, uint32_t i)
{
    const struct pprof_loc_row *row = &s->p->locations[i];
    struct form_line lines[FORM_LINES_MAX];
    struct form_location l = {.folded = row->folded, .address = row->address};
    /* Of more than FORM_LINES_MAX inlined calls the outermost stay, as of a deep stack. */
    uint32_t count = row->line_count < FORM_LINES_MAX ? row->line_count : FORM_LINES_MAX;
    const struct pprof_line_row *from = &s->p->lines[row->first_line + row->line_count - count];
    int rc = mapping_id(s, row, &l.mapping);
    if (row->has_mapping && (s->p->mappings[row->mapping].flags & FORM_HAS_FUNCTIONS) != 0)
        l.address = 0;
    for (uint32_t k = 0; k < count && rc == 0; k++) {
        lines[k].line = from[k].line;
        rc = function_id(s, from[k].function, &lines[k].function);
    }
    return rc != 0 ? rc : form_add_location(s->form, &l, lines, count, &s->locations[i]);
}

static int add_stack(struct symbols *s, const struct pprof_sample_row *row, uint32_t *node)
{
    uint32_t *path = s->path;
    const uint32_t *locations = s->locations;
    /* A tenant's own depth limit may be above ours. */
    uint32_t count = row->frame_count < FORM_DEPTH_MAX ? row->frame_count : FORM_DEPTH_MAX;
    const uint32_t *frame = s->p->frames + row->first_frame + row->frame_count;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t i = *--frame;
        if (locations[i] == UNSEEN) {
            int rc = add_location(s, i);
            if (rc != 0)
                return rc;
        }
        path[k] = locations[i];
    }
    return form_add_stack(s->form, path, count, node);
}

static uint32_t *unseen(struct arena *a, uint32_t count)
{
    uint32_t *p = arena_alloc(a, ((size_t)count + 1) * sizeof *p);
    if (p != NULL)
        memset(p, 0xff, ((size_t)count + 1) * sizeof *p);
    return p;
}

int ingest_stacks(const struct pprof *p, struct ingest *in, const struct split *split,
                  const uint32_t **nodes)
{
    struct symbols s = {
        .p = p,
        .form = in->form,
        .strings = unseen(in->arena, p->string_count),
        .mappings = unseen(in->arena, p->mapping_count),
        .functions = unseen(in->arena, p->function_count),
        .locations = unseen(in->arena, p->location_count),
        .stub = UNSEEN,
    };
    uint32_t *out = arena_alloc(in->arena, sizeof *out * p->sample_count);
    if (s.strings == NULL || s.mappings == NULL || s.functions == NULL || s.locations == NULL ||
        out == NULL)
        return ERR_NOMEM;
    struct form_hint hint = {
        .strings = p->string_count,
        .functions = p->function_count,
        .locations = p->location_count,
        .lines = p->line_count,
        .nodes = p->frame_count,
        .rows = split->kept,
    };
    int rc = form_expect(in->form, &hint);
    for (uint32_t i = 0; i < split->kept && rc == 0; i++) {
        uint32_t sample = split->order[i];
        rc = add_stack(&s, &p->samples[sample], &out[sample]);
    }
    *nodes = out;
    return rc;
}
