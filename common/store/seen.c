/* The file `seen`: dots that were taken on purpose. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/identity_priv.h"
#include "wire/uv.h"

enum { LANES_MAX = 1 << 20 };

/* --- writing ---------------------------------------------------------------------------------- */

static int set_cmp(struct lane_name a, struct lane_name b)
{
    uint32_t n = a.set_count < b.set_count ? a.set_count : b.set_count;
    for (uint32_t i = 0; i < n; i++) {
        int c = str_cmp(a.set[i], b.set[i]);
        if (c != 0)
            return c;
    }
    return a.set_count < b.set_count ? -1 : a.set_count > b.set_count;
}

/* A lane of a vector with the places of its writer and set in their sorted tables. */
struct lane {
    struct lane_name name;
    uint32_t index, writer, set;
};

static int by_writer(const void *a, const void *b)
{
    return memcmp(((const struct lane *)a)->name.writer, ((const struct lane *)b)->name.writer,
                  WRITER_SIZE);
}

static int by_set(const void *a, const void *b)
{
    return set_cmp(((const struct lane *)a)->name, ((const struct lane *)b)->name);
}

static int by_both(const void *a, const void *b)
{
    const struct lane *x = a, *y = b;
    if (x->writer != y->writer)
        return x->writer < y->writer ? -1 : 1;
    return x->set < y->set ? -1 : x->set > y->set;
}

static void put_sets(struct lane *lanes, uint32_t n, struct buf *out)
{
    uint32_t sets = 0;
    qsort(lanes, n, sizeof *lanes, by_set);
    for (uint32_t i = 0; i < n; i++) {
        sets += i == 0 || by_set(&lanes[i - 1], &lanes[i]) != 0;
        lanes[i].set = sets - 1;
    }
    buf_varint(out, sets);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && lanes[i].set == lanes[i - 1].set)
            continue;
        buf_varint(out, lanes[i].name.set_count);
        for (uint32_t k = 0; k < lanes[i].name.set_count; k++)
            uv_put_str(out, lanes[i].name.set[k]);
    }
}

static void put_writers(struct lane *lanes, uint32_t n, struct buf *out)
{
    uint32_t writers = 0;
    qsort(lanes, n, sizeof *lanes, by_writer);
    for (uint32_t i = 0; i < n; i++) {
        writers += i == 0 || by_writer(&lanes[i - 1], &lanes[i]) != 0;
        lanes[i].writer = writers - 1;
    }
    buf_varint(out, writers);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || lanes[i].writer != lanes[i - 1].writer)
            buf_put(out, lanes[i].name.writer, WRITER_SIZE);
}

static void put_tenant(const struct seen_tenant *t, struct buf *out)
{
    uint32_t n = 0, all = vector_count(t->gone);
    struct lane *lanes = mem_calloc((size_t)all + 1, sizeof *lanes);
    if (lanes == NULL) {
        out->error = out->error != 0 ? out->error : ERR_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < all; i++)
        if (vector_seqs(t->gone, i)->count > 0)
            lanes[n++] = (struct lane){.name = vector_name(t->gone, i), .index = i};
    uv_put_str(out, str_c(t->name));
    put_sets(lanes, n, out);
    put_writers(lanes, n, out);
    qsort(lanes, n, sizeof *lanes, by_both);
    buf_varint(out, n);
    for (uint32_t i = 0; i < n; i++) {
        buf_varint(out, lanes[i].writer);
        buf_varint(out, lanes[i].set);
    }
    buf_varint(out, n);
    for (uint32_t i = 0; i < n; i++) {
        buf_varint(out, i);
        buf_u64le(out, (uint64_t)t->last[lanes[i].index]);
        seqset_encode(vector_seqs(t->gone, lanes[i].index), out);
    }
    mem_free(lanes);
}

void seen_encode(const struct seen *s, struct buf *out)
{
    size_t from = out->size;
    buf_str(out, identity_magic_seen);
    buf_u32le(out, IDENTITY_VERSION);
    buf_varint(out, s->count);
    for (uint32_t i = 0; i < s->count; i++)
        put_tenant(&s->tenants[i], out);
    identity_put_crc(out, from);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Tables of one tenant's lanes while they are read. */
struct tables {
    struct str *instances; /* of all sets, one behind the other */
    uint32_t *first, sets; /* where each set begins; sets + 1 of them */
    struct str writers;
    uint32_t writer_count;
};

static int read_sets(struct str *in, struct tables *t)
{
    uint32_t used = 0, cap = 0;
    if (uv_read_u32(in, &t->sets) != 0 || t->sets > in->len / 2)
        return ERR_CORRUPT;
    t->first = mem_calloc((size_t)t->sets + 1, sizeof *t->first);
    if (t->first == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < t->sets; i++) {
        uint32_t n;
        if (uv_read_u32(in, &n) != 0 || n == 0 || n > in->len)
            return ERR_CORRUPT;
        if (used + n > cap) {
            cap = (used + n) * 2;
            struct str *all = mem_realloc_array(t->instances, cap, sizeof *all);
            if (all == NULL)
                return ERR_NOMEM;
            t->instances = all;
        }
        for (uint32_t k = 0; k < n; k++)
            if (uv_read_str(in, &t->instances[used++]) != 0)
                return ERR_CORRUPT;
        t->first[i + 1] = used;
    }
    return 0;
}

static int read_lane(struct str *in, const struct tables *t, struct vector *gone)
{
    uint32_t writer, set, lane, before = vector_count(gone);
    if (uv_read_u32(in, &writer) != 0 || writer >= t->writer_count ||
        uv_read_u32(in, &set) != 0 || set >= t->sets)
        return ERR_CORRUPT;
    struct lane_name name = {(const uint8_t *)t->writers.data + (size_t)writer * WRITER_SIZE,
                             t->instances + t->first[set], t->first[set + 1] - t->first[set]};
    int rc = vector_lane(gone, name, &lane);
    if (rc == ERR_NOMEM)
        return rc;
    return rc != 0 || lane != before ? ERR_CORRUPT : 0; /* each at most once */
}

static int read_dots(struct str *in, struct seen_tenant *t, uint32_t lanes)
{
    uint32_t n, at = 0;
    if (uv_read_u32(in, &n) != 0 || n > lanes)
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t lane;
        uint64_t last;
        struct seqset seqs = {0};
        if (uv_read_u32(in, &lane) != 0 || lane >= lanes || lane < at ||
            u64le_read(in, &last) != 0)
            return ERR_CORRUPT;
        at = lane + 1;
        t->last[lane] = (wall_ms)last;
        int rc = seqset_decode(&seqs, in, UINT32_MAX);
        rc = rc == ERR_PARSE || rc == ERR_LIMIT ? ERR_CORRUPT : rc;
        for (uint32_t k = 0; k < seqs.count && rc == 0; k++)
            rc = vector_add(t->gone, lane, seqs.runs[k].first, seqs.runs[k].last);
        seqset_reset(&seqs);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_tenant(struct str *in, struct seen_tenant *t)
{
    struct tables tables = {0};
    struct str name;
    uint32_t lanes = 0;
    int rc = uv_read_str(in, &name) != 0 ? ERR_CORRUPT : vector_init(&t->gone);
    if (rc == 0 && (t->name = str_dup_c(name)) == NULL)
        rc = ERR_NOMEM;
    if (rc == 0)
        rc = read_sets(in, &tables);
    if (rc == 0 && (uv_read_u32(in, &tables.writer_count) != 0 ||
                    tables.writer_count > in->len / WRITER_SIZE ||
                    raw_read(in, (size_t)tables.writer_count * WRITER_SIZE, &tables.writers) != 0))
        rc = ERR_CORRUPT;
    if (rc == 0 && (uv_read_u32(in, &lanes) != 0 || lanes > LANES_MAX || lanes > in->len / 2))
        rc = ERR_CORRUPT;
    for (uint32_t i = 0; i < lanes && rc == 0; i++)
        rc = read_lane(in, &tables, t->gone);
    if (rc == 0 && (t->last = mem_calloc((size_t)lanes + 1, sizeof *t->last)) == NULL)
        rc = ERR_NOMEM;
    if (rc == 0)
        rc = read_dots(in, t, lanes);
    mem_free(tables.instances);
    mem_free(tables.first);
    return rc;
}

int seen_decode(struct str bytes, struct seen *out)
{
    struct str in;
    uint32_t count;
    struct seen s = {0};
    int rc = identity_open_file(bytes, identity_magic_seen, &in);
    if (rc == 0)
        rc = identity_read_version(&in);
    if (rc != 0)
        return rc;
    if (uv_read_u32(&in, &count) != 0 || count > in.len / 5)
        return ERR_CORRUPT;
    s.tenants = mem_calloc((size_t)count + 1, sizeof *s.tenants);
    if (s.tenants == NULL)
        return ERR_NOMEM;
    while (s.count < count && rc == 0)
        rc = read_tenant(&in, &s.tenants[s.count++]);
    if (rc == 0 && in.len != 0)
        rc = ERR_CORRUPT;
    if (rc != 0) {
        seen_reset(&s);
        return rc;
    }
    *out = s;
    return 0;
}

int seen_read(const struct store_io *io, const char *dir, struct seen *out)
{
    struct buf b = {0};
    int rc = identity_read_named(io, dir, "seen", &b);
    rc = rc == ERR_LIMIT ? ERR_CORRUPT : rc;
    if (rc == 0)
        rc = seen_decode(buf_view(&b), out);
    buf_reset(&b);
    return rc == ERR_NOENT ? 0 : rc;
}

int seen_write(const struct store_io *io, const char *dir, const struct seen *s)
{
    struct buf b = {0};
    seen_encode(s, &b);
    int rc = identity_replace(io, dir, "seen", &b);
    buf_reset(&b);
    return rc;
}

void seen_reset(struct seen *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        vector_free(&s->tenants[i].gone);
        mem_free(s->tenants[i].last);
        mem_free(s->tenants[i].name);
    }
    mem_free(s->tenants);
    *s = (struct seen){0};
}
