/* profile/pprof_emit.c - writes what samples reach, numbered in the order in which they reach
 * it. */
#include "profile/pprof_out_priv.h"

#include "base/mem.h"
#include "wire/pb.h"

#include <stdlib.h>
#include <string.h>

/* New numbers of one table's entries: 0 is not reached yet. */
struct renumbered {
    uint32_t *number; /* by id */
    uint32_t *order;  /* ids by number - 1 */
    uint32_t count;
};

struct emitter {
    struct pprof_out *p;
    struct renumbered strings, mappings, functions, locations;
    struct buf *out;
};

static uint32_t reach(struct renumbered *r, uint32_t id)
{
    if (id == 0)
        return 0;
    if (r->number[id] == 0) {
        r->order[r->count++] = id;
        r->number[id] = r->count;
    }
    return r->number[id];
}

static int room_for(struct renumbered *r, const struct table *t, struct arena *a)
{
    r->number = arena_calloc(a, (size_t)t->count + 1, sizeof *r->number);
    r->order = arena_calloc(a, (size_t)t->count + 1, sizeof *r->order);
    return r->number == NULL || r->order == NULL ? ERR_NOMEM : 0;
}

static uint32_t string(struct emitter *e, struct str s)
{
    uint32_t id = 0;
    /* Interned before numbering began: it is there. */
    (void)pprof_out_string(e->p, s, &id);
    return reach(&e->strings, id);
}

static void put_value_type(struct emitter *e, uint32_t field, struct str type, struct str unit)
{
    size_t m = pb_begin(e->out, field);
    pb_put_varint_set(e->out, 1, string(e, type));
    pb_put_varint_set(e->out, 2, string(e, unit));
    pb_end(e->out, m);
}

static void put_sample(struct emitter *e, const struct entry *stack)
{
    const uint32_t *ids = (const uint32_t *)(const void *)stack->key.data;
    size_t sample = pb_begin(e->out, 2);
    size_t count = stack->key.len / sizeof *ids;
    if (count > 0) {
        size_t packed = pb_begin(e->out, 1);
        for (size_t i = 0; i < count; i++)
            buf_varint(e->out, reach(&e->locations, ids[i]));
        pb_end(e->out, packed);
    }
    size_t value = pb_begin(e->out, 2);
    buf_varint(e->out, stack->value);
    pb_end(e->out, value);
    pb_end(e->out, sample);
}

static void put_location(struct emitter *e, uint32_t number, const struct entry *location)
{
    const struct location_key *key =
        (const struct location_key *)(const void *)location->key.data;
    const struct pprof_line *lines = (const struct pprof_line *)(const void *)(key + 1);
    size_t count = (location->key.len - sizeof *key) / sizeof *lines;
    size_t m = pb_begin(e->out, 4);
    pb_put_varint(e->out, 1, number);
    pb_put_varint_set(e->out, 2, reach(&e->mappings, key->mapping));
    pb_put_varint_set(e->out, 3, key->address);
    for (size_t i = 0; i < count; i++) {
        size_t line = pb_begin(e->out, 4);
        pb_put_varint_set(e->out, 1, reach(&e->functions, lines[i].function));
        pb_put_varint_set(e->out, 2, (uint64_t)lines[i].line);
        pb_end(e->out, line);
    }
    pb_put_varint_set(e->out, 5, key->folded);
    pb_end(e->out, m);
}

static void put_mapping(struct emitter *e, uint32_t number, const struct entry *mapping)
{
    const struct pprof_mapping *key =
        (const struct pprof_mapping *)(const void *)mapping->key.data;
    size_t m = pb_begin(e->out, 3);
    pb_put_varint(e->out, 1, number);
    pb_put_varint_set(e->out, 2, key->start);
    pb_put_varint_set(e->out, 3, key->limit);
    pb_put_varint_set(e->out, 4, key->offset);
    pb_put_varint_set(e->out, 5, reach(&e->strings, key->file));
    pb_put_varint_set(e->out, 6, reach(&e->strings, key->build_id));
    pb_put_varint_set(e->out, 7, key->has_functions);
    pb_put_varint_set(e->out, 8, key->has_filenames);
    pb_put_varint_set(e->out, 9, key->has_line_numbers);
    pb_put_varint_set(e->out, 10, key->has_inline_frames);
    pb_end(e->out, m);
}

static void put_function(struct emitter *e, uint32_t number, const struct entry *function)
{
    const struct pprof_function *key =
        (const struct pprof_function *)(const void *)function->key.data;
    size_t m = pb_begin(e->out, 5);
    pb_put_varint(e->out, 1, number);
    pb_put_varint_set(e->out, 2, reach(&e->strings, key->name));
    pb_put_varint_set(e->out, 3, reach(&e->strings, key->system_name));
    pb_put_varint_set(e->out, 4, reach(&e->strings, key->file));
    pb_put_varint_set(e->out, 5, (uint64_t)key->start_line);
    pb_end(e->out, m);
}

static int by_value(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a;
    const struct entry *y = *(const struct entry *const *)b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return str_cmp(x->key, y->key);
}

static void put_all(struct emitter *e, const struct pprof_head *h, const struct entry **samples)
{
    struct pprof_out *p = e->p;
    put_value_type(e, 1, h->type, h->unit);
    for (uint32_t i = 0; i < p->stacks.count; i++)
        put_sample(e, samples[i]);
    /* What is reached stands behind what reaches it; protobuf allows fields in any order. */
    for (uint32_t i = 0; i < e->locations.count; i++)
        put_location(e, i + 1, &p->locations.entries[e->locations.order[i] - 1]);
    for (uint32_t i = 0; i < e->mappings.count; i++)
        put_mapping(e, i + 1, &p->mappings.entries[e->mappings.order[i] - 1]);
    for (uint32_t i = 0; i < e->functions.count; i++)
        put_function(e, i + 1, &p->functions.entries[e->functions.order[i] - 1]);
    uint32_t period_type = string(e, h->period_type), period_unit = string(e, h->period_unit);
    pb_put_bytes(e->out, 6, STR(""));
    for (uint32_t i = 0; i < e->strings.count; i++)
        pb_put_bytes(e->out, 6, p->strings.entries[e->strings.order[i] - 1].key);
    pb_put_varint_set(e->out, 9, (uint64_t)h->time_ns);
    pb_put_varint_set(e->out, 10, (uint64_t)h->duration_ns);
    if (period_type != 0 || period_unit != 0) {
        size_t m = pb_begin(e->out, 11);
        pb_put_varint_set(e->out, 1, period_type);
        pb_put_varint_set(e->out, 2, period_unit);
        pb_end(e->out, m);
    }
    pb_put_varint_set(e->out, 12, (uint64_t)h->period);
}

static int emit(struct emitter *e, const struct pprof_head *h, struct arena *a)
{
    struct pprof_out *p = e->p;
    const struct str texts[] = {h->type, h->unit, h->period_type, h->period_unit};
    int rc = 0;
    uint32_t id;
    for (size_t i = 0; i < 4 && rc == 0; i++)
        rc = pprof_out_string(p, texts[i], &id);
    if (rc == 0)
        rc = room_for(&e->strings, &p->strings, a);
    if (rc == 0)
        rc = room_for(&e->mappings, &p->mappings, a);
    if (rc == 0)
        rc = room_for(&e->functions, &p->functions, a);
    if (rc == 0)
        rc = room_for(&e->locations, &p->locations, a);
    const struct entry **samples = arena_alloc(a, p->stacks.count * sizeof *samples);
    if (rc != 0 || samples == NULL)
        return rc != 0 ? rc : ERR_NOMEM;
    for (uint32_t i = 0; i < p->stacks.count; i++)
        samples[i] = &p->stacks.entries[i];
    qsort(samples, p->stacks.count, sizeof *samples, by_value);
    put_all(e, h, samples);
    return 0;
}

int pprof_out_emit(struct pprof_out *p, const struct pprof_head *head, struct buf *out)
{
    struct arena *a = NULL;
    struct emitter e = {.p = p, .out = out};
    if (p->stacks.count == 0)
        return out->error;
    int rc = arena_init(&a, 0, p->account);
    if (rc != 0)
        return rc;
    rc = emit(&e, head, a);
    arena_free(&a);
    return rc != 0 ? rc : out->error;
}
