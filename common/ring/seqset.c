/* ring/seqset.c - the numbers of one lane as sorted intervals. */
#include "ring/dots.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/uv.h"

enum { RUNS_FIRST = 4 };

/* Index of the first run whose last is >= seq; count when there is none. */
static uint32_t run_at(const struct seqset *s, uint32_t seq)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->runs[mid].last < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int reserve(struct seqset *s, uint32_t count)
{
    if (count <= s->cap)
        return 0;
    uint32_t cap = s->cap == 0 ? RUNS_FIRST : s->cap;
    while (cap < count)
        cap = cap > UINT32_MAX / 2 ? UINT32_MAX : cap * 2;
    struct seq_run *runs = mem_realloc_array(s->runs, cap, sizeof *runs);
    if (runs == NULL)
        return ERR_NOMEM;
    s->runs = runs;
    s->cap = cap;
    return 0;
}

/* Put first..last behind everything; it may touch or overlap the last run. Requires room. */
static void push(struct seqset *s, uint32_t first, uint32_t last)
{
    struct seq_run *end = s->count == 0 ? NULL : &s->runs[s->count - 1];
    if (end != NULL && first <= end->last + (end->last < UINT32_MAX)) {
        if (last > end->last)
            end->last = last;
        return;
    }
    s->runs[s->count++] = (struct seq_run){first, last};
}

int seqset_add(struct seqset *s, uint32_t first, uint32_t last)
{
    ASSERT(first >= 1 && first <= last);
    int rc = reserve(s, s->count + 1);
    if (rc != 0)
        return rc;
    if (s->count == 0 || first >= s->runs[s->count - 1].first) {
        push(s, first, last);
        return 0;
    }
    uint32_t at = run_at(s, first - (first > 1)), end = at; /* touches, or is behind */
    while (end < s->count && s->runs[end].first <= last + (last < UINT32_MAX)) {
        if (s->runs[end].first < first)
            first = s->runs[end].first;
        if (s->runs[end].last > last)
            last = s->runs[end].last;
        end++;
    }
    memmove(&s->runs[at + 1], &s->runs[end], (s->count - end) * sizeof *s->runs);
    s->count = s->count - (end - at) + 1;
    s->runs[at] = (struct seq_run){first, last};
    return 0;
}

bool seqset_has(const struct seqset *s, uint32_t seq)
{
    return seqset_has_all(s, seq, seq);
}

bool seqset_meets(const struct seqset *s, uint32_t first, uint32_t last)
{
    uint32_t at = run_at(s, first);
    return at < s->count && s->runs[at].first <= last;
}

bool seqset_has_all(const struct seqset *s, uint32_t first, uint32_t last)
{
    uint32_t at = run_at(s, first);
    return at < s->count && s->runs[at].first <= first && s->runs[at].last >= last;
}

uint64_t seqset_size(const struct seqset *s)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < s->count; i++)
        size += (uint64_t)s->runs[i].last - s->runs[i].first + 1;
    return size;
}

/* Replace s's runs by those of `by`, which is taken. */
static int replace(struct seqset *s, struct seqset *by)
{
    mem_free(s->runs);
    *s = *by;
    return 0;
}

int seqset_union(struct seqset *s, const struct seqset *from)
{
    if (from->count == 0)
        return 0;
    if (from->count == 1)
        return seqset_add(s, from->runs[0].first, from->runs[0].last);
    if (s->count == 0 || from->runs[0].first >= s->runs[s->count - 1].first) {
        int rc = reserve(s, s->count + from->count);
        for (uint32_t i = 0; rc == 0 && i < from->count; i++)
            push(s, from->runs[i].first, from->runs[i].last);
        return rc;
    }
    struct seqset merged = {0};
    int rc = reserve(&merged, s->count + from->count);
    if (rc != 0)
        return rc;
    uint32_t i = 0, j = 0;
    while (i < s->count || j < from->count) {
        bool mine = j == from->count ||
                    (i < s->count && s->runs[i].first <= from->runs[j].first);
        const struct seq_run *r = mine ? &s->runs[i++] : &from->runs[j++];
        push(&merged, r->first, r->last);
    }
    return replace(s, &merged);
}

int seqset_minus(struct seqset *s, const struct seqset *from)
{
    if (s->count == 0 || from->count == 0)
        return 0;
    struct seqset rest = {0};
    int rc = reserve(&rest, s->count + from->count);
    if (rc != 0)
        return rc;
    uint32_t j = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t first = s->runs[i].first, last = s->runs[i].last;
        while (j < from->count && from->runs[j].last < first)
            j++;
        for (uint32_t k = j; k < from->count && from->runs[k].first <= last; k++) {
            if (from->runs[k].first > first)
                push(&rest, (uint32_t)first, from->runs[k].first - 1);
            first = (uint64_t)from->runs[k].last + 1;
        }
        if (first <= last)
            push(&rest, (uint32_t)first, (uint32_t)last);
    }
    return replace(s, &rest);
}

int seqset_and(struct seqset *s, const struct seqset *from)
{
    if (s->count == 0 || from->count == 0) {
        s->count = 0;
        return 0;
    }
    struct seqset both = {0};
    int rc = reserve(&both, s->count + from->count);
    if (rc != 0)
        return rc;
    uint32_t i = 0, j = 0;
    while (i < s->count && j < from->count) {
        const struct seq_run *a = &s->runs[i], *b = &from->runs[j];
        uint32_t first = a->first > b->first ? a->first : b->first;
        uint32_t last = a->last < b->last ? a->last : b->last;
        if (first <= last)
            push(&both, first, last);
        if (a->last < b->last)
            i++;
        else
            j++;
    }
    return replace(s, &both);
}

int seqset_copy(struct seqset *out, const struct seqset *from)
{
    if (from->count == 0)
        return 0;
    int rc = reserve(out, from->count);
    if (rc != 0)
        return rc;
    memcpy(out->runs, from->runs, from->count * sizeof *out->runs);
    out->count = from->count;
    return 0;
}

void seqset_encode(const struct seqset *s, struct buf *out)
{
    buf_varint(out, s->count);
    uint32_t before = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        buf_varint(out, s->runs[i].first - before - 1);
        buf_varint(out, s->runs[i].last - s->runs[i].first);
        before = s->runs[i].last;
    }
}

/* Read one interval behind `before` (0: none yet) and append it. */
static int decode_run(struct seqset *s, struct str *in, uint64_t before)
{
    uint64_t gap, more;
    if (uv_read(in, &gap) != 0 || uv_read(in, &more) != 0)
        return ERR_PARSE;
    if ((before > 0 && gap == 0) || gap >= UINT32_MAX || more >= UINT32_MAX)
        return ERR_PARSE;
    uint64_t first = before + gap + 1;
    if (first + more > UINT32_MAX)
        return ERR_PARSE;
    int rc = reserve(s, s->count + 1);
    if (rc == 0)
        s->runs[s->count++] = (struct seq_run){(uint32_t)first, (uint32_t)(first + more)};
    return rc;
}

int seqset_decode(struct seqset *out, struct str *in, uint32_t runs_max)
{
    struct str rest = *in;
    struct seqset s = {0};
    uint64_t count;
    if (uv_read(&rest, &count) != 0 || count > rest.len)
        return ERR_PARSE;
    if (count > runs_max)
        return ERR_LIMIT;
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = decode_run(&s, &rest, s.count == 0 ? 0 : s.runs[s.count - 1].last);
    if (rc != 0) {
        seqset_reset(&s);
        return rc;
    }
    *in = rest;
    *out = s;
    return 0;
}

void seqset_reset(struct seqset *s)
{
    mem_free(s->runs);
    *s = (struct seqset){0};
}
