/* profile/pprof_merge.c - reads a google.v1.Profile into the builder: strings first, wherever
 * they stand, then what refers to them. */
#include "profile/pprof_out_priv.h"

#include "base/mem.h"
#include "wire/pb.h"

#include <stdlib.h>

enum { F_SAMPLE_TYPE = 1, F_SAMPLE, F_MAPPING, F_LOCATION, F_FUNCTION, F_STRING };

/* The profile's ids of one kind and the builder's, sorted by the former. */
struct pair {
    uint64_t theirs;
    uint32_t ours;
};

struct ids {
    struct pair *pairs;
    size_t count, cap;
};

struct reader {
    struct pprof_out *p;
    struct str bytes;
    struct arena *a;
    uint32_t *strings; /* ours by theirs */
    size_t string_count;
    struct ids mappings, functions, locations;
    void *items;      /* lines of a location or locations of a sample */
    size_t items_cap; /* bytes */
    struct err *err;
};

static int malformed(const struct reader *r, const char *what)
{
    return err_set(r->err, ERR_PARSE, "pprof: %s", what);
}

/* Memory for `count` elements that lasts until the next call. */
static void *items(struct reader *r, size_t count, size_t size)
{
    size_t need = count * size + 1;
    if (need > r->items_cap) {
        void *more = arena_alloc(r->a, need * 2);
        if (more == NULL)
            return NULL;
        r->items = more;
        r->items_cap = need * 2;
    }
    return r->items;
}

static int compare_pairs(const void *a, const void *b)
{
    uint64_t x = ((const struct pair *)a)->theirs, y = ((const struct pair *)b)->theirs;
    return (x > y) - (x < y);
}

static void sort_ids(struct ids *ids)
{
    for (size_t i = 1; i < ids->count; i++) {
        if (ids->pairs[i - 1].theirs >= ids->pairs[i].theirs) {
            qsort(ids->pairs, ids->count, sizeof *ids->pairs, compare_pairs);
            return;
        }
    }
}

/* The builder's id, or 0. Most profiles number from 1 without gaps. */
static uint32_t look_up(const struct ids *ids, uint64_t theirs)
{
    if (theirs >= 1 && theirs <= ids->count && ids->pairs[theirs - 1].theirs == theirs)
        return ids->pairs[theirs - 1].ours;
    struct pair key = {theirs, 0};
    const struct pair *p =
        ids->count == 0 ? NULL
                        : bsearch(&key, ids->pairs, ids->count, sizeof key, compare_pairs);
    return p == NULL ? 0 : p->ours;
}

static int string_at(const struct reader *r, uint64_t index, uint32_t *id)
{
    if (index != 0 && index >= r->string_count)
        return malformed(r, "string index out of range");
    *id = index == 0 && r->string_count == 0 ? 0 : r->strings[index];
    return 0;
}

static int read_mapping(struct reader *r, struct str bytes)
{
    struct pprof_mapping m = {0};
    struct pb_reader in = pb_reader(bytes);
    struct pb_field f;
    uint64_t id = 0;
    int rc;
    while ((rc = pb_next(&in, &f)) > 0) {
        if (f.wire != PB_VARINT)
            return malformed(r, "bad field in a mapping");
        switch (f.number) {
        case 1:
            id = f.value;
            break;
        case 2:
            m.start = f.value;
            break;
        case 3:
            m.limit = f.value;
            break;
        case 4:
            m.offset = f.value;
            break;
        case 5:
            rc = string_at(r, f.value, &m.file);
            break;
        case 6:
            rc = string_at(r, f.value, &m.build_id);
            break;
        case 7:
            m.has_functions = f.value != 0;
            break;
        case 8:
            m.has_filenames = f.value != 0;
            break;
        case 9:
            m.has_line_numbers = f.value != 0;
            break;
        case 10:
            m.has_inline_frames = f.value != 0;
            break;
        default:
            break;
        }
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return malformed(r, "bad mapping");
    struct pair *to = &r->mappings.pairs[r->mappings.count++];
    to->theirs = id;
    return pprof_out_mapping(r->p, &m, &to->ours);
}

static int read_function(struct reader *r, struct str bytes)
{
    struct pprof_function fn = {0};
    struct pb_reader in = pb_reader(bytes);
    struct pb_field f;
    uint64_t id = 0;
    int rc;
    while ((rc = pb_next(&in, &f)) > 0) {
        if (f.wire != PB_VARINT)
            return malformed(r, "bad field in a function");
        switch (f.number) {
        case 1:
            id = f.value;
            break;
        case 2:
            rc = string_at(r, f.value, &fn.name);
            break;
        case 3:
            rc = string_at(r, f.value, &fn.system_name);
            break;
        case 4:
            rc = string_at(r, f.value, &fn.file);
            break;
        case 5:
            fn.start_line = (int64_t)f.value;
            break;
        default:
            break;
        }
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return malformed(r, "bad function");
    struct pair *to = &r->functions.pairs[r->functions.count++];
    to->theirs = id;
    return pprof_out_function(r->p, &fn, &to->ours);
}

static int read_line(struct reader *r, struct str bytes, struct pprof_line *line)
{
    struct pb_reader in = pb_reader(bytes);
    struct pb_field f;
    int rc;
    *line = (struct pprof_line){0};
    while ((rc = pb_next(&in, &f)) > 0) {
        if (f.wire != PB_VARINT)
            return malformed(r, "bad field in a line");
        if (f.number == 1)
            line->function = look_up(&r->functions, f.value);
        else if (f.number == 2)
            line->line = (int64_t)f.value;
    }
    if (rc < 0)
        return malformed(r, "bad line");
    return line->function == 0 ? malformed(r, "line of a function that is not there") : 0;
}

static int read_location(struct reader *r, struct str bytes)
{
    struct pb_reader in = pb_reader(bytes);
    struct pb_field f;
    uint64_t id = 0, address = 0, mapping = 0;
    bool folded = false;
    size_t count = 0;
    int rc;
    struct pprof_line *lines = items(r, bytes.len / 2 + 1, sizeof *lines);
    if (lines == NULL)
        return ERR_NOMEM;
    while ((rc = pb_next(&in, &f)) > 0) {
        if (f.wire != (f.number == 4 ? PB_BYTES : PB_VARINT))
            return malformed(r, "bad field in a location");
        if (f.number == 4 && (rc = read_line(r, f.bytes, &lines[count++])) < 0)
            return rc;
        if (f.number == 1)
            id = f.value;
        else if (f.number == 2)
            mapping = f.value;
        else if (f.number == 3)
            address = f.value;
        else if (f.number == 5)
            folded = f.value != 0;
    }
    if (rc < 0)
        return malformed(r, "bad location");
    uint32_t ours = look_up(&r->mappings, mapping);
    if (mapping != 0 && ours == 0)
        return malformed(r, "location in a mapping that is not there");
    struct pair *to = &r->locations.pairs[r->locations.count++];
    to->theirs = id;
    return pprof_out_location(r->p, ours, address, folded, lines, count, &to->ours);
}

/* The field's numbers, packed or single, one by one. */
static bool next_number(struct pb_field *f, uint64_t *value, int *rc)
{
    if (f->wire == PB_VARINT) {
        *value = f->value;
        *f = (struct pb_field){.wire = PB_BYTES};
        return true;
    }
    if (f->wire != PB_BYTES)
        *rc = ERR_PARSE;
    if (*rc != 0 || f->bytes.len == 0)
        return false;
    *rc = pb_varint(&f->bytes, value);
    return *rc == 0;
}

static int read_sample(struct reader *r, struct str bytes)
{
    struct pb_reader in = pb_reader(bytes);
    struct pb_field f;
    uint64_t value = 0, n;
    size_t count = 0, values = 0;
    int rc;
    uint32_t *stack = items(r, bytes.len, sizeof *stack);
    if (stack == NULL)
        return ERR_NOMEM;
    while ((rc = pb_next(&in, &f)) > 0) {
        uint32_t number = f.number;
        int bad = 0;
        while ((number == 1 || number == 2) && next_number(&f, &n, &bad)) {
            if (number == 2) {
                value = n;
                values++;
                continue;
            }
            stack[count] = look_up(&r->locations, n);
            if (stack[count++] == 0)
                return malformed(r, "sample with a location that is not there");
        }
        if (bad != 0)
            return malformed(r, "bad field in a sample");
    }
    if (rc < 0)
        return malformed(r, "bad sample");
    if (values != 1 || value > INT64_MAX)
        return malformed(r, "sample without exactly one value of at least 0");
    return pprof_out_sample(r->p, stack, count, value);
}

/* Call `read` for every field with that number. */
static int each_field(struct reader *r, uint32_t number,
                      int (*read)(struct reader *r, struct str bytes))
{
    struct pb_reader in = pb_reader(r->bytes);
    struct pb_field f;
    int rc;
    while ((rc = pb_next(&in, &f)) > 0) {
        if (f.number != number)
            continue;
        if (f.wire != PB_BYTES)
            return malformed(r, "bad field in the profile");
        rc = read(r, f.bytes);
        if (rc != 0)
            return rc;
    }
    return rc < 0 ? malformed(r, "bad field in the profile") : 0;
}

static int read_string(struct reader *r, struct str bytes)
{
    uint32_t *to = &r->strings[r->string_count++];
    return pprof_out_string(r->p, bytes, to);
}

/* Count the entries of each table, so that arrays have their size at once: no more of them than
 * the bytes hold. */
static int make_room(struct reader *r)
{
    size_t counts[F_STRING + 1] = {0};
    struct pb_reader in = pb_reader(r->bytes);
    struct pb_field f;
    int rc;
    while ((rc = pb_next(&in, &f)) > 0)
        if (f.number <= F_STRING)
            counts[f.number]++;
    if (rc < 0)
        return malformed(r, "bad field in the profile");
    if (counts[F_SAMPLE_TYPE] > 1)
        return malformed(r, "more than one sample type");
    r->strings = arena_calloc(r->a, counts[F_STRING], sizeof *r->strings);
    r->mappings.pairs = arena_calloc(r->a, counts[F_MAPPING], sizeof(struct pair));
    r->functions.pairs = arena_calloc(r->a, counts[F_FUNCTION], sizeof(struct pair));
    r->locations.pairs = arena_calloc(r->a, counts[F_LOCATION], sizeof(struct pair));
    bool room = r->strings != NULL && r->mappings.pairs != NULL && r->functions.pairs != NULL &&
                r->locations.pairs != NULL;
    return room ? 0 : ERR_NOMEM;
}

static int read_all(struct reader *r)
{
    int rc = make_room(r);
    if (rc == 0)
        rc = each_field(r, F_STRING, read_string);
    if (rc == 0)
        rc = each_field(r, F_MAPPING, read_mapping);
    sort_ids(&r->mappings);
    if (rc == 0)
        rc = each_field(r, F_FUNCTION, read_function);
    sort_ids(&r->functions);
    if (rc == 0)
        rc = each_field(r, F_LOCATION, read_location);
    sort_ids(&r->locations);
    return rc != 0 ? rc : each_field(r, F_SAMPLE, read_sample);
}

int pprof_out_merge(struct pprof_out *p, struct str bytes, struct err *err)
{
    struct reader r = {.p = p, .bytes = bytes, .err = err};
    if (bytes.len == 0)
        return 0;
    int rc = arena_init(&r.a, 0, p->account);
    if (rc == 0)
        rc = read_all(&r);
    arena_free(&r.a);
    return rc == ERR_PARSE || rc == 0 ? rc : err_set(err, rc, "pprof: %s", err_text(rc));
}
