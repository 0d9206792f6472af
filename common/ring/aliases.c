/* ring/aliases.c - which dot repeats which row, and the Alias message. */
#include <stdlib.h>

#include "base/mem.h"
#include "ring/dots.h"
#include "ring/dots_priv.h"
#include "wire/pb.h"

enum { ALIASES_MAX = 1000 * 1000 };
enum { ALIAS_WRITER = 1, ALIAS_SET, ALIAS_ROW_WRITER, ALIAS_ROW_SET, ALIAS_RUNS };

struct aliases {
    struct dots_table names;
    struct alias *list;
    size_t count, cap;
};

int aliases_init(struct aliases **out)
{
    struct aliases *a = mem_zalloc(sizeof *a);
    if (a == NULL)
        return ERR_NOMEM;
    *out = a;
    return 0;
}

void aliases_free(struct aliases **a)
{
    if (*a == NULL)
        return;
    dots_table_reset(&(*a)->names);
    mem_free((*a)->list);
    mem_free(*a);
    *a = NULL;
}

static int append(struct aliases *a, struct alias one)
{
    if (a->count == a->cap) {
        size_t cap = a->cap == 0 ? 8 : a->cap * 2;
        struct alias *list = mem_realloc_array(a->list, cap, sizeof *list);
        if (list == NULL)
            return ERR_NOMEM;
        a->list = list;
        a->cap = cap;
    }
    a->list[a->count++] = one;
    return 0;
}

int aliases_add(struct aliases *a, struct lane_name repeat, uint32_t repeat_seq,
                struct lane_name row, uint32_t row_seq)
{
    struct alias one = {.repeat_seq = repeat_seq, .row_seq = row_seq};
    if (repeat_seq == 0 || row_seq == 0)
        return ERR_INVAL;
    int rc = dots_table_add(&a->names, repeat, &one.repeat_lane);
    if (rc == 0)
        rc = dots_table_add(&a->names, row, &one.row_lane);
    return rc == 0 ? append(a, one) : rc;
}

int aliases_union(struct aliases *a, const struct aliases *from)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < from->count; i++) {
        const struct alias *x = &from->list[i];
        rc = aliases_add(a, aliases_lane(from, x->repeat_lane), x->repeat_seq,
                         aliases_lane(from, x->row_lane), x->row_seq);
    }
    return rc;
}

static int compare_u32(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_lanes(const struct aliases *a, uint32_t x, uint32_t y)
{
    return x == y ? 0 : lane_name_cmp(aliases_lane(a, x), aliases_lane(a, y));
}

/* Repeat lane, repeat seq, row lane, row seq. */
static int by_repeat(const void *p, const void *q, void *arg)
{
    const struct alias *x = p, *y = q;
    int c = compare_lanes(arg, x->repeat_lane, y->repeat_lane);
    if (c == 0)
        c = compare_u32(x->repeat_seq, y->repeat_seq);
    if (c == 0)
        c = compare_lanes(arg, x->row_lane, y->row_lane);
    return c != 0 ? c : compare_u32(x->row_seq, y->row_seq);
}

/* Repeat lane, row lane, repeat seq, row seq: the order of the messages. */
static int by_pair(const void *p, const void *q, void *arg)
{
    const struct alias *x = p, *y = q;
    int c = compare_lanes(arg, x->repeat_lane, y->repeat_lane);
    if (c == 0)
        c = compare_lanes(arg, x->row_lane, y->row_lane);
    if (c == 0)
        c = compare_u32(x->repeat_seq, y->repeat_seq);
    return c != 0 ? c : compare_u32(x->row_seq, y->row_seq);
}

static bool same(const struct alias *x, const struct alias *y)
{
    return x->repeat_lane == y->repeat_lane && x->repeat_seq == y->repeat_seq &&
           x->row_lane == y->row_lane && x->row_seq == y->row_seq;
}

/* Drop neighbours that are equal; returns how many are left. */
static size_t unique(struct alias *list, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !same(&list[kept - 1], &list[i]))
            list[kept++] = list[i];
    return kept;
}

void aliases_sort(struct aliases *a)
{
    if (a->count == 0)
        return;
    qsort_r(a->list, a->count, sizeof *a->list, by_repeat, a);
    a->count = unique(a->list, a->count);
}

size_t aliases_count(const struct aliases *a)
{
    return a->count;
}

const struct alias *aliases_at(const struct aliases *a, size_t i)
{
    return &a->list[i];
}

struct lane_name aliases_lane(const struct aliases *a, uint32_t lane)
{
    return dots_table_name(&a->names, lane);
}

/* --- the message --------------------------------------------------------------------------- */

static void put_lane(struct buf *out, struct lane_name name, uint32_t writer, uint32_t set)
{
    pb_put_bytes(out, writer, str_of(name.writer, WRITER_SIZE));
    for (uint32_t i = 0; i < name.set_count; i++)
        pb_put_bytes(out, set, name.set[i]);
}

/* Length of the run at the front: repeats and rows both rise by one. */
static size_t run_length(const struct alias *list, size_t count)
{
    size_t n = 1;
    while (n < count && list[n].repeat_seq == list[n - 1].repeat_seq + 1 &&
           list[n].row_seq == list[n - 1].row_seq + 1)
        n++;
    return n;
}

/* Strictly rising repeats of one pair of lanes, as the runs of one message. */
static void put_runs(struct buf *out, const struct alias *list, size_t count)
{
    size_t runs = 0;
    for (size_t i = 0; i < count; i += run_length(list + i, count - i))
        runs++;
    buf_varint(out, runs);
    uint32_t repeat = 0, row = 0;
    for (size_t i = 0; i < count;) {
        size_t n = run_length(list + i, count - i);
        buf_varint(out, n - 1);
        buf_varint(out, list[i].repeat_seq - repeat - 1);
        zz_put(out, (int64_t)list[i].row_seq - row);
        i += n;
        repeat = list[i - 1].repeat_seq;
        row = list[i - 1].row_seq;
    }
}

static void put_message(const struct aliases *a, uint32_t number, const struct alias *list,
                        size_t count, struct buf *out)
{
    size_t message = pb_begin(out, number);
    put_lane(out, aliases_lane(a, list[0].repeat_lane), ALIAS_WRITER, ALIAS_SET);
    put_lane(out, aliases_lane(a, list[0].row_lane), ALIAS_ROW_WRITER, ALIAS_ROW_SET);
    size_t runs = pb_begin(out, ALIAS_RUNS);
    put_runs(out, list, count);
    pb_end(out, runs);
    pb_end(out, message);
}

/* One pair of lanes. A repeat with two rows (seen after damage) goes into a message of its own:
 * inside one, repeats rise. `list` is used up. */
static void put_pair(const struct aliases *a, uint32_t number, struct alias *list, size_t count,
                     struct alias *rising, struct buf *out)
{
    while (count > 0) {
        size_t taken = 0, left = 0;
        for (size_t i = 0; i < count; i++) {
            if (taken == 0 || list[i].repeat_seq > rising[taken - 1].repeat_seq)
                rising[taken++] = list[i];
            else
                list[left++] = list[i];
        }
        put_message(a, number, rising, taken, out);
        count = left;
    }
}

void aliases_encode(const struct aliases *a, uint32_t number, struct buf *out)
{
    if (a->count == 0)
        return;
    struct alias *list = mem_calloc(a->count * 2, sizeof *list); /* and as much to work with */
    if (list == NULL) {
        out->error = out->error == 0 ? ERR_NOMEM : out->error;
        return;
    }
    memcpy(list, a->list, a->count * sizeof *list);
    qsort_r(list, a->count, sizeof *list, by_pair, (void *)(uintptr_t)a);
    size_t count = unique(list, a->count);
    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && list[i + n].repeat_lane == list[i].repeat_lane &&
                    list[i + n].row_lane == list[i].row_lane;)
            n++;
        put_pair(a, number, list + i, n, list + a->count, out);
    }
    mem_free(list);
}

/* The lane whose writer and set are in the given fields. */
static int read_lane(struct aliases *a, struct str writer, struct str bytes, uint32_t set_field,
                     uint32_t *lane, struct err *err)
{
    struct str ids[DOTS_SET_MAX];
    struct lane_name name = {(const uint8_t *)writer.data, ids, 0};
    if (writer.len != WRITER_SIZE)
        return err_set(err, ERR_PARSE, "alias: a writer of %zu bytes", writer.len);
    int rc = dots_read_ids(bytes, set_field, ids, &name.set_count, err);
    if (rc != 0)
        return rc;
    rc = dots_table_add(&a->names, name, lane);
    return rc != 0 ? err_set(err, rc, "alias: %s", err_text(rc)) : 0;
}

/* Append one run behind *repeat and *row, and move them to its end. */
static int read_run(struct aliases *a, struct str *in, struct alias lanes, uint64_t *repeat,
                    int64_t *row, size_t count_max)
{
    uint64_t more, gap;
    int64_t step;
    if (uv_read(in, &more) != 0 || uv_read(in, &gap) != 0 || zz_read(in, &step) != 0)
        return ERR_PARSE;
    if (more >= UINT32_MAX || gap >= UINT32_MAX || step > UINT32_MAX || step < -(int64_t)UINT32_MAX)
        return ERR_PARSE;
    uint64_t first = *repeat + gap + 1;
    int64_t first_row = *row + step;
    if (first + more > UINT32_MAX || first_row < 1 || first_row + (int64_t)more > UINT32_MAX)
        return ERR_PARSE;
    if (a->count >= count_max || more >= count_max - a->count)
        return ERR_LIMIT;
    *repeat = first + more;
    *row = first_row + (int64_t)more;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i <= more; i++) {
        lanes.repeat_seq = (uint32_t)first + i;
        lanes.row_seq = (uint32_t)first_row + i;
        rc = append(a, lanes);
    }
    return rc;
}

int aliases_decode(struct aliases *a, struct str bytes, const struct dots_limits *limits,
                   struct err *err)
{
    uint64_t count_max = limits != NULL && limits->runs_max > 0 ? limits->runs_max : ALIASES_MAX;
    size_t bytes_max = limits != NULL && limits->bytes_max > 0 ? limits->bytes_max : SIZE_MAX;
    struct str writer = {0}, row_writer = {0}, runs = {0};
    struct alias lanes = {0};
    if (bytes.len > bytes_max)
        return err_set(err, ERR_LIMIT, "alias: %zu bytes, more than %zu", bytes.len, bytes_max);
    struct pb_reader r = pb_reader(bytes);
    struct pb_field f;
    int rc;
    while ((rc = pb_next(&r, &f)) > 0) {
        if (f.number == ALIAS_WRITER)
            writer = f.bytes;
        else if (f.number == ALIAS_ROW_WRITER)
            row_writer = f.bytes;
        else if (f.number == ALIAS_RUNS)
            runs = f.bytes;
    }
    if (rc < 0)
        return err_set(err, ERR_PARSE, "alias: broken field");
    rc = read_lane(a, writer, bytes, ALIAS_SET, &lanes.repeat_lane, err);
    if (rc == 0)
        rc = read_lane(a, row_writer, bytes, ALIAS_ROW_SET, &lanes.row_lane, err);
    if (rc != 0)
        return rc;
    uint64_t count, repeat = 0;
    int64_t row = 0;
    if (uv_read(&runs, &count) != 0 || count > runs.len)
        rc = ERR_PARSE;
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = read_run(a, &runs, lanes, &repeat, &row, (size_t)count_max);
    if (rc == 0 && runs.len > 0)
        rc = ERR_PARSE;
    return rc != 0 ? err_set(err, rc, "alias: runs: %s", err_text(rc)) : 0;
}
