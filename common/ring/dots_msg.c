/* ring/dots_msg.c - vectors as messages: writing, making fit, and reading what peers sent. */
#include "ring/dots.h"

#include <stdlib.h>

#include "base/mem.h"
#include "ring/dots_priv.h"
#include "wire/pb.h"

enum { RUNS_MAX = 1000 * 1000, BYTES_MAX = 4 << 20 };
enum { FIELD_WRITERS = 1, FIELD_SETS, FIELD_LANES, FIELD_TRUNCATED };
enum { SET_INSTANCES = 1 };
enum { LANE_WRITER = 1, LANE_SET, LANE_SEQS };

/* The tables and lanes of a message, in its order. */
struct plan {
    const struct vector *v;
    uint32_t *sets;      /* used sets of v by content; [set_count] */
    uint32_t *rank;      /* of v's set i: its index in sets */
    uint32_t *lanes;     /* not empty lanes of v by (writer, set); [count] */
    uint32_t *writer;    /* of lanes[i]: index of its writer; [count] */
    uint32_t set_count, writer_count, count;
};

static void plan_reset(struct plan *p)
{
    mem_free(p->sets);
    mem_free(p->rank);
    mem_free(p->lanes);
    mem_free(p->writer);
}

static struct lane_name set_name(const struct vector *v, uint32_t set)
{
    const struct dots_set *s = &v->names.sets[set];
    return (struct lane_name){.set = s->ids, .set_count = s->count};
}

static int by_content(const void *a, const void *b, void *arg)
{
    const struct vector *v = arg;
    return lane_set_cmp(set_name(v, *(const uint32_t *)a), set_name(v, *(const uint32_t *)b));
}

static int by_writer_and_rank(const void *a, const void *b, void *arg)
{
    const struct plan *p = arg;
    const struct dots_lane *x = &p->v->names.lanes[*(const uint32_t *)a];
    const struct dots_lane *y = &p->v->names.lanes[*(const uint32_t *)b];
    int c = memcmp(x->writer, y->writer, WRITER_SIZE);
    uint32_t r = p->rank[x->set], s = p->rank[y->set];
    return c != 0 ? c : (r > s) - (r < s);
}

static int plan_make(struct plan *p, const struct vector *v)
{
    const struct dots_table *t = &v->names;
    *p = (struct plan){.v = v};
    p->sets = mem_calloc(t->set_count + 1, sizeof *p->sets);
    p->rank = mem_calloc(t->set_count + 1, sizeof *p->rank);
    p->lanes = mem_calloc(t->count + 1, sizeof *p->lanes);
    p->writer = mem_calloc(t->count + 1, sizeof *p->writer);
    if (p->sets == NULL || p->rank == NULL || p->lanes == NULL || p->writer == NULL) {
        plan_reset(p);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        if (v->seqs[i].count == 0)
            continue;
        p->lanes[p->count++] = i;
        if (p->rank[t->lanes[i].set]++ == 0)
            p->sets[p->set_count++] = t->lanes[i].set;
    }
    qsort_r(p->sets, p->set_count, sizeof *p->sets, by_content, (void *)(uintptr_t)v);
    for (uint32_t i = 0; i < p->set_count; i++)
        p->rank[p->sets[i]] = i;
    qsort_r(p->lanes, p->count, sizeof *p->lanes, by_writer_and_rank, p);
    for (uint32_t i = 0; i < p->count; i++) {
        if (i == 0 || memcmp(t->lanes[p->lanes[i]].writer, t->lanes[p->lanes[i - 1]].writer,
                             WRITER_SIZE) != 0)
            p->writer_count++;
        p->writer[i] = p->writer_count - 1;
    }
    return 0;
}

static size_t field_size(size_t len)
{
    return 1 + uv_size(len) + len; /* all our field numbers fit one byte */
}

static size_t set_body(const struct vector *v, uint32_t set)
{
    size_t size = 0;
    for (uint32_t i = 0; i < v->names.sets[set].count; i++)
        size += field_size(v->names.sets[set].ids[i].len);
    return size;
}

static size_t seqs_body(const struct seqset *s)
{
    size_t size = uv_size(s->count);
    uint32_t before = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        size += uv_size(s->runs[i].first - before - 1) +
                uv_size(s->runs[i].last - s->runs[i].first);
        before = s->runs[i].last;
    }
    return size;
}

static size_t lane_body(const struct plan *p, uint32_t i)
{
    uint32_t set = p->rank[p->v->names.lanes[p->lanes[i]].set];
    return (p->writer[i] == 0 ? 0 : 1 + uv_size(p->writer[i])) +
           (set == 0 ? 0 : 1 + uv_size(set)) +
           field_size(seqs_body(&p->v->seqs[p->lanes[i]]));
}

static size_t plan_size(const struct plan *p)
{
    size_t size = p->writer_count * field_size(WRITER_SIZE);
    for (uint32_t i = 0; i < p->set_count; i++)
        size += field_size(set_body(p->v, p->sets[i]));
    for (uint32_t i = 0; i < p->count; i++)
        size += field_size(lane_body(p, i));
    return size;
}

static void encode_sets(const struct plan *p, struct buf *out)
{
    for (uint32_t i = 0; i < p->set_count; i++) {
        const struct dots_set *set = &p->v->names.sets[p->sets[i]];
        size_t message = pb_begin(out, FIELD_SETS);
        for (uint32_t j = 0; j < set->count; j++)
            pb_put_bytes(out, SET_INSTANCES, set->ids[j]);
        pb_end(out, message);
    }
}

static void encode_lanes(const struct plan *p, struct buf *out)
{
    for (uint32_t i = 0; i < p->count; i++) {
        const struct seqset *seqs = &p->v->seqs[p->lanes[i]];
        size_t message = pb_begin(out, FIELD_LANES);
        pb_put_varint_set(out, LANE_WRITER, p->writer[i]);
        pb_put_varint_set(out, LANE_SET, p->rank[p->v->names.lanes[p->lanes[i]].set]);
        size_t numbers = pb_begin(out, LANE_SEQS);
        seqset_encode(seqs, out);
        pb_end(out, numbers);
        pb_end(out, message);
    }
}

void vector_encode(const struct vector *v, bool truncated, struct buf *out)
{
    struct plan p;
    if (plan_make(&p, v) != 0) {
        out->error = out->error == 0 ? ERR_NOMEM : out->error;
        return;
    }
    for (uint32_t i = 0; i < p.count; i++) {
        if (i > 0 && p.writer[i] == p.writer[i - 1])
            continue;
        pb_put_bytes(out, FIELD_WRITERS,
                     str_of(v->names.lanes[p.lanes[i]].writer, WRITER_SIZE));
    }
    encode_sets(&p, out);
    encode_lanes(&p, out);
    pb_put_varint_set(out, FIELD_TRUNCATED, truncated);
    plan_reset(&p);
}

/* --- making it fit ------------------------------------------------------------------------- */

struct piece {
    uint32_t at; /* index in the plan's lanes */
    size_t size;
};

static int by_size(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Empty the largest lanes until `excess` bytes are gone; dropped[lane of v] is set. */
static int drop_largest(struct plan *p, struct vector *v, size_t excess, bool *dropped)
{
    struct piece *pieces = mem_calloc(p->count, sizeof *pieces);
    uint32_t *writers = mem_calloc(p->writer_count, sizeof *writers); /* lanes that use it */
    uint32_t *sets = mem_calloc(p->set_count, sizeof *sets);
    int rc = pieces == NULL || writers == NULL || sets == NULL ? ERR_NOMEM : 0;
    for (uint32_t i = 0; rc == 0 && i < p->count; i++) {
        pieces[i] = (struct piece){i, field_size(lane_body(p, i))};
        writers[p->writer[i]]++;
        sets[p->rank[v->names.lanes[p->lanes[i]].set]]++;
    }
    if (rc == 0)
        qsort(pieces, p->count, sizeof *pieces, by_size);
    size_t gone = 0;
    for (uint32_t i = 0; rc == 0 && i < p->count && gone < excess; i++) {
        uint32_t lane = p->lanes[pieces[i].at], set = v->names.lanes[lane].set;
        size_t gain = pieces[i].size;
        if (--writers[p->writer[pieces[i].at]] == 0)
            gain += field_size(WRITER_SIZE);
        if (--sets[p->rank[set]] == 0)
            gain += field_size(set_body(v, set));
        gone += gain;
        v->seqs[lane].count = 0;
        dropped[lane] = true;
    }
    mem_free(pieces);
    mem_free(writers);
    mem_free(sets);
    return rc;
}

/* Take out the repeats whose rows are in dropped lanes. */
static int drop_repeats(struct vector *v, const struct aliases *repeats, const bool *dropped)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < aliases_count(repeats); i++) {
        const struct alias *a = aliases_at(repeats, i);
        uint32_t lane;
        if (!vector_find(v, aliases_lane(repeats, a->row_lane), &lane) || !dropped[lane] ||
            !vector_find(v, aliases_lane(repeats, a->repeat_lane), &lane))
            continue;
        struct seq_run run = {a->repeat_seq, a->repeat_seq};
        rc = seqset_minus(&v->seqs[lane], &(struct seqset){&run, 1, 0});
    }
    return rc;
}

int vector_cut(struct vector *v, const struct aliases *repeats, size_t bytes_max, bool *cut)
{
    const size_t flag = 2; /* bytes of `truncated` */
    bool *dropped = mem_calloc(v->names.count + 1, sizeof *dropped);
    int rc = dropped == NULL ? ERR_NOMEM : 0;
    *cut = false;
    while (rc == 0) {
        struct plan p;
        rc = plan_make(&p, v);
        if (rc != 0)
            break;
        size_t size = plan_size(&p) + (*cut ? flag : 0);
        if (size <= bytes_max || p.count == 0) {
            plan_reset(&p);
            break;
        }
        rc = drop_largest(&p, v, size + flag - bytes_max, dropped);
        plan_reset(&p);
        if (rc == 0 && repeats != NULL)
            rc = drop_repeats(v, repeats, dropped);
        *cut = true;
    }
    mem_free(dropped);
    return rc;
}

/* --- decoding ------------------------------------------------------------------------------ */

/* The tables of a message that is being read. */
struct reading {
    struct vector *v;
    struct str *writers; /* WRITER_SIZE bytes each, borrowed */
    uint32_t *sets;      /* of v's table */
    uint32_t writer_count, set_count;
    uint64_t runs_left;
    int64_t last_writer, last_set; /* of the lane before; -1 */
    bool truncated;
};

static int count_tables(struct reading *r, struct str bytes, struct err *err)
{
    struct pb_reader fields = pb_reader(bytes);
    struct pb_field f;
    int rc;
    while ((rc = pb_next(&fields, &f)) > 0) {
        if (f.number >= FIELD_WRITERS && f.number <= FIELD_LANES && f.wire != PB_BYTES)
            return err_set(err, ERR_PARSE, "vector: field %u is no message", f.number);
        r->writer_count += f.number == FIELD_WRITERS;
        r->set_count += f.number == FIELD_SETS;
        if (f.number == FIELD_TRUNCATED)
            r->truncated = f.value != 0;
    }
    return rc < 0 ? err_set(err, ERR_PARSE, "vector: broken field") : 0;
}

static int read_set(struct reading *r, struct str body, uint32_t *set, struct err *err)
{
    struct str ids[DOTS_SET_MAX];
    struct lane_name name = {.set = ids};
    uint32_t before = r->v->names.set_count;
    int rc = dots_read_ids(body, SET_INSTANCES, ids, &name.set_count, err);
    if (rc != 0)
        return rc;
    rc = dots_table_add_set(&r->v->names, name, set);
    if (rc != 0)
        return err_set(err, rc, "vector: %s", err_text(rc));
    return r->v->names.set_count > before ? 0 : err_set(err, ERR_PARSE, "vector: a set twice");
}

/* Fill the tables; the fields are known to be whole. */
static int read_tables(struct reading *r, struct str bytes, struct err *err)
{
    uint32_t writers = 0, sets = 0;
    r->writers = mem_calloc((size_t)r->writer_count + 1, sizeof *r->writers);
    r->sets = mem_calloc((size_t)r->set_count + 1, sizeof *r->sets);
    if (r->writers == NULL || r->sets == NULL)
        return err_set(err, ERR_NOMEM, "vector: %u writers, %u sets", r->writer_count,
                       r->set_count);
    struct pb_reader fields = pb_reader(bytes);
    struct pb_field f;
    int rc = 0;
    while (rc == 0 && pb_next(&fields, &f) > 0) {
        if (f.number == FIELD_WRITERS) {
            r->writers[writers++] = f.bytes;
            if (f.bytes.len != WRITER_SIZE)
                rc = err_set(err, ERR_PARSE, "vector: a writer of %zu bytes", f.bytes.len);
        } else if (f.number == FIELD_SETS) {
            rc = read_set(r, f.bytes, &r->sets[sets++], err);
        }
    }
    return rc;
}

static int read_seqs(struct reading *r, struct str seqs, uint64_t writer, uint64_t set,
                     struct err *err)
{
    uint32_t before = r->v->names.count, lane;
    struct seqset s = {0};
    int rc = seqset_decode(&s, &seqs, (uint32_t)r->runs_left);
    if (rc == 0 && (seqs.len > 0 || s.count == 0))
        rc = ERR_PARSE;
    r->runs_left -= rc == 0 ? s.count : 0;
    if (rc == 0)
        rc = vector_lane_of_set(r->v, (const uint8_t *)r->writers[writer].data, r->sets[set],
                                &lane);
    if (rc == 0 && lane < before)
        rc = ERR_PARSE; /* a writer twice in the table */
    if (rc != 0) {
        seqset_reset(&s);
        return err_set(err, rc, "vector: numbers of a lane: %s", err_text(rc));
    }
    r->v->seqs[lane] = s;
    return 0;
}

static int read_lane(struct reading *r, struct str body, struct err *err)
{
    uint64_t writer = 0, set = 0;
    struct str seqs = {0};
    struct pb_reader fields = pb_reader(body);
    struct pb_field f;
    int rc;
    while ((rc = pb_next(&fields, &f)) > 0) {
        if (f.number == LANE_WRITER)
            writer = f.value;
        else if (f.number == LANE_SET)
            set = f.value;
        else if (f.number == LANE_SEQS)
            seqs = f.bytes;
    }
    if (rc < 0)
        return err_set(err, ERR_PARSE, "vector: broken lane");
    if (writer >= r->writer_count || set >= r->set_count)
        return err_set(err, ERR_PARSE, "vector: a lane outside the tables");
    int64_t w = (int64_t)writer, s = (int64_t)set;
    if (w < r->last_writer || (w == r->last_writer && s <= r->last_set))
        return err_set(err, ERR_PARSE, "vector: lanes do not rise");
    r->last_writer = w;
    r->last_set = s;
    return read_seqs(r, seqs, writer, set, err);
}

static int read_lanes(struct reading *r, struct str bytes, struct err *err)
{
    struct pb_reader fields = pb_reader(bytes);
    struct pb_field f;
    int rc = 0;
    while (rc == 0 && pb_next(&fields, &f) > 0)
        if (f.number == FIELD_LANES)
            rc = read_lane(r, f.bytes, err);
    return rc;
}

int vector_decode(struct vector **out, bool *truncated, struct str bytes,
                  const struct dots_limits *limits, struct err *err)
{
    uint64_t runs_max = limits != NULL && limits->runs_max > 0 ? limits->runs_max : RUNS_MAX;
    size_t bytes_max = limits != NULL && limits->bytes_max > 0 ? limits->bytes_max : BYTES_MAX;
    struct reading r = {.last_writer = -1, .last_set = -1};
    r.runs_left = runs_max < UINT32_MAX ? runs_max : UINT32_MAX;
    if (bytes.len > bytes_max)
        return err_set(err, ERR_LIMIT, "vector: %zu bytes, more than %zu", bytes.len, bytes_max);
    int rc = vector_init(&r.v);
    if (rc != 0)
        return err_set(err, rc, "vector: %s", err_text(rc));
    rc = count_tables(&r, bytes, err);
    if (rc == 0)
        rc = read_tables(&r, bytes, err);
    if (rc == 0)
        rc = read_lanes(&r, bytes, err);
    mem_free(r.writers);
    mem_free(r.sets);
    if (rc != 0) {
        vector_free(&r.v);
        return rc;
    }
    if (truncated != NULL)
        *truncated = r.truncated;
    *out = r.v;
    return 0;
}
