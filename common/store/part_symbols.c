/* Symbols of a partition as records have them, and look-ups for readers. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/part_priv.h"
#include "wire/uv.h"

enum { CHUNK_BYTES = 16 * 1024 }; /* of string bytes */

static const struct part_node *node_at(const struct part *p, uint32_t id)
{
    return segs_at(&p->nodes, id);
}

void part_publish(struct part *p)
{
    segs_publish(&p->strings);
    segs_publish(&p->mappings);
    segs_publish(&p->functions);
    segs_publish(&p->lines);
    segs_publish(&p->locations);
    segs_publish(&p->nodes);
}

static char *string_room(struct part *p, size_t len)
{
    if (len > p->chunk_left) {
        size_t size = len > CHUNK_BYTES ? len : CHUNK_BYTES;
        char *chunk = arena_alloc(p->bytes, size);
        if (chunk == NULL)
            return NULL;
        if (size == len)
            return chunk;
        p->chunk = chunk;
        p->chunk_left = size;
    }
    char *at = p->chunk;
    p->chunk += len;
    p->chunk_left -= len;
    return at;
}

int part_push_string(struct part *p, struct str s)
{
    char *copy = string_room(p, s.len);
    if (copy == NULL) { /* the account is full, or the machine is */
        int rc = mem_charge(p->account, s.len + CHUNK_BYTES);
        if (rc == 0)
            mem_uncharge(p->account, s.len + CHUNK_BYTES);
        return rc == 0 ? ERR_NOMEM : rc;
    }
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    *(struct str *)segs_push(&p->strings) = str_of(copy, s.len);
    return 0;
}

/* --- the symbols of a record ------------------------------------------------------------------ */

/* How many entries of at most `each` bytes fit the room, of those from *from to `to`. */
static uint32_t share(size_t *room, uint32_t from, uint32_t to, size_t each)
{
    uint64_t fit = *room / each;
    uint32_t n = to - from < fit ? to - from : (uint32_t)fit;
    *room -= n * each;
    return n;
}

static uint32_t put_strings(const struct part *p, uint32_t from, uint32_t to, size_t *room,
                            struct buf *out)
{
    uint32_t n = 0;
    for (; n < to - from; n++) {
        size_t bytes = part_string(p, from + n).len + 4;
        if (bytes > *room && n > 0)
            break;
        *room -= bytes < *room ? bytes : *room;
    }
    buf_varint(out, n);
    for (uint32_t i = 0; i < n; i++)
        buf_varint(out, part_string(p, from + i).len);
    for (uint32_t i = 0; i < n; i++)
        buf_str(out, part_string(p, from + i));
    return n;
}

static uint32_t put_mappings(const struct part *p, uint32_t from, uint32_t to, size_t *room,
                             struct buf *out)
{
    uint32_t n = share(room, from, to, 50);
    buf_varint(out, n);
    for (uint32_t i = from; i < from + n; i++) {
        const struct form_mapping *m = part_mapping(p, i);
        const uint64_t fields[] = {m->file, m->build_id, m->start, m->limit, m->offset, m->flags};
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
            buf_varint(out, fields[k]);
    }
    return n;
}

static uint32_t put_functions(const struct part *p, uint32_t from, uint32_t to, size_t *room,
                              struct buf *out)
{
    uint32_t n = share(room, from, to, 25);
    buf_varint(out, n);
    for (uint32_t i = from; i < from + n; i++) {
        const struct form_function *fn = part_function(p, i);
        buf_varint(out, fn->name);
        buf_varint(out, fn->system_name);
        buf_varint(out, fn->file);
        buf_varint(out, fn->start_line);
    }
    return n;
}

static uint32_t put_locations(const struct part *p, uint32_t from, uint32_t to, size_t *room,
                              struct buf *out)
{
    uint32_t n = 0;
    for (; n < to - from; n++) {
        size_t bytes = 18 + (size_t)part_location(p, from + n)->line_count * 15;
        if (bytes > *room)
            break;
        *room -= bytes;
    }
    buf_varint(out, n);
    for (uint32_t i = from; i < from + n; i++) {
        const struct part_location *l = part_location(p, i);
        buf_varint(out, (uint64_t)l->line_count << 1 | l->folded);
        buf_varint(out, l->mapping);
        buf_varint(out, l->address);
        for (uint32_t k = 0; k < l->line_count; k++) {
            const struct form_line *line = part_line(p, l->first_line + k);
            buf_varint(out, line->function);
            zz_put(out, line->line);
        }
    }
    return n;
}

static uint32_t put_nodes(const struct part *p, uint32_t from, uint32_t to, size_t *room,
                          struct buf *out)
{
    uint32_t n = share(room, from, to, 10);
    buf_varint(out, n);
    for (uint32_t i = from; i < from + n; i++) {
        const struct part_node *node = node_at(p, i);
        buf_varint(out, i - node->parent);
        buf_varint(out, node->location);
    }
    return n;
}

/* A kind is begun only when the one before, which it points to, is through. */
bool part_put_symbols(const struct part *p, struct part_counts *from, size_t room,
                      struct buf *out)
{
    struct part_counts to = part_counts(p), at = *from;
    at.strings += put_strings(p, at.strings, to.strings, &room, out);
    bool go = at.strings == to.strings;
    at.mappings += put_mappings(p, at.mappings, go ? to.mappings : at.mappings, &room, out);
    go = go && at.mappings == to.mappings;
    at.functions += put_functions(p, at.functions, go ? to.functions : at.functions, &room, out);
    go = go && at.functions == to.functions;
    at.locations += put_locations(p, at.locations, go ? to.locations : at.locations, &room, out);
    go = go && at.locations == to.locations;
    at.nodes += put_nodes(p, at.nodes, go ? to.nodes : at.nodes, &room, out);
    if (out->error == 0)
        *from = at;
    return !(go && at.nodes == to.nodes);
}

/* A count of entries of at least `each` bytes. */
static int read_count(struct str *in, size_t each, uint32_t *out)
{
    return uv_read_u32(in, out) != 0 || *out > in->len / each ? ERR_CORRUPT : 0;
}

static int read_below(struct str *in, uint32_t bound, uint32_t *out)
{
    return uv_read_u32(in, out) != 0 || *out >= bound ? ERR_CORRUPT : 0;
}

static int load_strings(struct part *p, struct str *in)
{
    uint32_t n;
    int rc = read_count(in, 1, &n);
    struct str lens = *in;
    uint64_t sum = 0, len = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        rc = uv_read(in, &len) != 0 || len > PART_STRING_MAX ? ERR_CORRUPT : 0;
        sum += len;
    }
    if (rc == 0 && sum > in->len)
        rc = ERR_CORRUPT;
    if (rc == 0)
        rc = segs_reserve(&p->strings, n);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        (void)uv_read(&lens, &len);
        rc = part_push_string(p, str_head(*in, (size_t)len));
        *in = str_skip(*in, (size_t)len);
    }
    return rc;
}

static int load_mappings(struct part *p, struct str *in)
{
    uint32_t n;
    int rc = read_count(in, 6, &n);
    if (rc == 0)
        rc = segs_reserve(&p->mappings, n);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct form_mapping m;
        if (read_below(in, p->strings.count, &m.file) != 0 ||
            read_below(in, p->strings.count, &m.build_id) != 0 || uv_read(in, &m.start) != 0 ||
            uv_read(in, &m.limit) != 0 || uv_read(in, &m.offset) != 0 ||
            uv_read(in, &m.flags) != 0)
            return ERR_CORRUPT;
        *(struct form_mapping *)segs_push(&p->mappings) = m;
    }
    return rc;
}

static int load_functions(struct part *p, struct str *in)
{
    uint32_t n;
    int rc = read_count(in, 4, &n);
    if (rc == 0)
        rc = segs_reserve(&p->functions, n);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct form_function f;
        if (read_below(in, p->strings.count, &f.name) != 0 ||
            read_below(in, p->strings.count, &f.system_name) != 0 ||
            read_below(in, p->strings.count, &f.file) != 0 || uv_read(in, &f.start_line) != 0)
            return ERR_CORRUPT;
        *(struct form_function *)segs_push(&p->functions) = f;
    }
    return rc;
}

static int load_location(struct part *p, struct str *in)
{
    uint64_t head;
    struct part_location l = {.first_line = p->lines.count};
    if (uv_read(in, &head) != 0 || head >> 1 > UINT16_MAX || head >> 1 > in->len / 2 ||
        read_below(in, p->mappings.count, &l.mapping) != 0 || uv_read(in, &l.address) != 0)
        return ERR_CORRUPT;
    l.line_count = (uint16_t)(head >> 1);
    l.folded = (head & 1) != 0;
    int rc = segs_reserve(&p->lines, l.line_count);
    for (uint32_t k = 0; k < l.line_count && rc == 0; k++) {
        struct form_line line;
        if (read_below(in, p->functions.count, &line.function) != 0 ||
            zz_read(in, &line.line) != 0)
            return ERR_CORRUPT;
        *(struct form_line *)segs_push(&p->lines) = line;
    }
    if (rc == 0)
        *(struct part_location *)segs_push(&p->locations) = l;
    return rc;
}

static int load_nodes(struct part *p, struct str *in)
{
    uint32_t n;
    int rc = read_count(in, 2, &n);
    if (rc == 0)
        rc = segs_reserve(&p->nodes, n);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        uint32_t up, location;
        if (uv_read_u32(in, &up) != 0 || up == 0 || up > p->nodes.count ||
            read_below(in, p->locations.count, &location) != 0)
            return ERR_CORRUPT;
        uint32_t parent = p->nodes.count - up;
        *(struct part_node *)segs_push(&p->nodes) = (struct part_node){parent, location};
    }
    return rc;
}

int part_load_symbols(struct part *p, struct str *in)
{
    ASSERT(p->by_string.cap == 0); /* a partition either interns or loads */
    uint32_t n = 0;
    int rc = load_strings(p, in);
    if (rc == 0)
        rc = load_mappings(p, in);
    if (rc == 0)
        rc = load_functions(p, in);
    if (rc == 0)
        rc = read_count(in, 3, &n);
    if (rc == 0)
        rc = segs_reserve(&p->locations, n);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = load_location(p, in);
    if (rc == 0)
        rc = load_nodes(p, in);
    part_publish(p);
    return rc;
}

struct part_counts part_counts(const struct part *p)
{
    return (struct part_counts){segs_count(&p->strings), segs_count(&p->mappings),
                                segs_count(&p->functions), segs_count(&p->locations),
                                segs_count(&p->nodes)};
}

/* --- reading ---------------------------------------------------------------------------------- */

struct str part_string(const struct part *p, uint32_t id)
{
    return *(const struct str *)segs_at(&p->strings, id);
}

const struct form_mapping *part_mapping(const struct part *p, uint32_t id)
{
    return segs_at(&p->mappings, id);
}

const struct form_function *part_function(const struct part *p, uint32_t id)
{
    return segs_at(&p->functions, id);
}

const struct part_location *part_location(const struct part *p, uint32_t id)
{
    return segs_at(&p->locations, id);
}

const struct form_line *part_line(const struct part *p, uint32_t id)
{
    return segs_at(&p->lines, id);
}

uint32_t part_nodes(const struct part *p, uint32_t id, uint32_t end,
                    const struct part_node **nodes)
{
    *nodes = segs_at(&p->nodes, id);
    return segs_run(id, end);
}
