/* Rows: sorted by stack, columns apart. */
#include "store/row.h"

#include <string.h>

#include "base/mem.h"
#include "wire/uv.h"

enum { COLUMN_BYTES_MAX = (1 << 24) - 1, SPAN_SIZE = 24, RADIX_FROM = 256 };

/* --- writing ---------------------------------------------------------------------------------- */

static uint8_t *put_uv(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

/* Small inputs are nearly sorted: the partition met their stacks in the order of the form. */
static void sort_few(uint64_t *keys, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        uint64_t k = keys[i];
        uint32_t j = i;
        for (; j > 0 && keys[j - 1] > k; j--)
            keys[j] = keys[j - 1];
        keys[j] = k;
    }
}

/* By the upper half of the key, 11 bits at a time; stable, so the lower half keeps its order. */
static uint64_t *sort_many(uint64_t *keys, uint64_t *tmp, uint32_t n, uint32_t highest)
{
    for (unsigned shift = 0; shift < 32 && highest >> shift != 0; shift += 11) {
        uint32_t at[2049] = {0};
        for (uint32_t i = 0; i < n; i++)
            at[(keys[i] >> (32 + shift) & 2047) + 1]++;
        for (unsigned b = 0; b < 2048; b++)
            at[b + 1] += at[b];
        for (uint32_t i = 0; i < n; i++)
            tmp[at[keys[i] >> (32 + shift) & 2047]++] = keys[i];
        uint64_t *swap = keys;
        keys = tmp;
        tmp = swap;
    }
    return keys;
}

/* The samples of a profile in scratch memory. */
struct samples {
    uint32_t n;
    uint64_t *keys;                     /* stack << 32 | index of the sample */
    uint64_t *values[FORM_MEMBERS_MAX]; /* by index of the sample; NULL when proportional */
    uint64_t *spans;                    /* index + 1 by index of the sample; NULL without */
    uint32_t span_count;
    struct str span_bytes;
};

static int read_values(struct str bytes, uint32_t n, uint64_t *out)
{
    for (uint32_t i = 0; i < n; i++)
        if (uv_read(&bytes, &out[i]) != 0)
            return ERR_PARSE;
    return 0;
}

static int gather_spans(const struct form_profile *p, struct arena *a, struct samples *s)
{
    struct str in = p->spans;
    s->spans = arena_alloc(a, sizeof *s->spans * ((size_t)s->n + 1));
    if (s->spans == NULL)
        return ERR_NOMEM;
    if (uv_read_u32(&in, &s->span_count) != 0 ||
        raw_read(&in, (size_t)s->span_count * SPAN_SIZE, &s->span_bytes) != 0)
        return ERR_PARSE;
    return read_values(in, s->n, s->spans);
}

/* Order the samples by stack, those of one stack by span. */
static void sort_samples(const struct form_profile *p, const uint32_t *nodes, uint64_t *keys,
                         struct samples *s)
{
    uint64_t *tmp = keys + s->n;
    uint32_t highest = 0;
    for (uint32_t i = 0; i < s->n; i++)
        highest = nodes[p->nodes[i]] > highest ? nodes[p->nodes[i]] : highest;
    if (s->spans != NULL) {
        for (uint32_t i = 0; i < s->n; i++)
            keys[i] = s->spans[i] << 32 | i;
        s->keys = sort_many(keys, tmp, s->n, s->span_count);
        tmp = s->keys == keys ? tmp : keys;
        for (uint32_t i = 0; i < s->n; i++) {
            uint32_t at = (uint32_t)s->keys[i];
            s->keys[i] = (uint64_t)nodes[p->nodes[at]] << 32 | at;
        }
        s->keys = sort_many(s->keys, tmp, s->n, highest);
        return;
    }
    for (uint32_t i = 0; i < s->n; i++)
        keys[i] = (uint64_t)nodes[p->nodes[i]] << 32 | i;
    s->keys = keys;
    if (s->n < RADIX_FROM)
        sort_few(keys, s->n);
    else
        s->keys = sort_many(keys, tmp, s->n, highest);
}

static int gather(const struct form_profile *p, const uint32_t *nodes, struct arena *a,
                  struct samples *s)
{
    s->n = p->samples;
    uint64_t *keys = arena_alloc(a, sizeof *keys * 2 * ((size_t)s->n + 1));
    if (keys == NULL)
        return ERR_NOMEM;
    int rc = p->spans.len == 0 ? 0 : gather_spans(p, a, s);
    for (uint32_t m = 0; m < p->member_count && rc == 0; m++) {
        if (p->columns[m].proportional)
            continue;
        s->values[m] = arena_alloc(a, sizeof **s->values * ((size_t)s->n + 1));
        rc = s->values[m] == NULL ? ERR_NOMEM
                                  : read_values(p->columns[m].bytes, s->n, s->values[m]);
    }
    if (rc == 0)
        sort_samples(p, nodes, keys, s);
    return rc;
}

/* Add up neighbours of one stack and span. ERR_LIMIT: a value passes 2^63 - 1. */
static int unite(struct samples *s, uint32_t members)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t at = (uint32_t)s->keys[i];
        if (kept > 0 && s->keys[kept - 1] >> 32 == s->keys[i] >> 32 &&
            (s->spans == NULL || s->spans[(uint32_t)s->keys[kept - 1]] == s->spans[at])) {
            uint32_t to = (uint32_t)s->keys[kept - 1];
            for (uint32_t m = 0; m < members; m++) {
                if (s->values[m] == NULL)
                    continue;
                s->values[m][to] += s->values[m][at];
                if (s->values[m][to] > INT64_MAX)
                    return ERR_LIMIT;
            }
            continue;
        }
        s->keys[kept++] = s->keys[i];
    }
    s->n = kept;
    return 0;
}

static int put_ids(const struct samples *s, bool spans, struct buf *out)
{
    size_t bytes = 0;
    uint32_t last = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t id = (uint32_t)(s->keys[i] >> 32);
        bytes += uv_size(id - last);
        last = id;
    }
    buf_varint(out, (uint64_t)s->n << 1 | spans);
    buf_varint(out, bytes);
    uint8_t *p = buf_reserve(out, bytes);
    if (p == NULL)
        return out->error;
    last = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t id = (uint32_t)(s->keys[i] >> 32);
        p = put_uv(p, id - last);
        last = id;
    }
    out->size += bytes;
    return 0;
}

static int put_column(const struct samples *s, const uint64_t *values, struct buf *out,
                      uint64_t *total)
{
    uint8_t *start = buf_reserve(out, 4 + (size_t)s->n * UV_BYTES_MAX);
    if (start == NULL)
        return out->error;
    uint8_t *p = start + 4;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        uint64_t v = values[(uint32_t)s->keys[i]];
        sum += v;
        if (sum > INT64_MAX)
            return ERR_LIMIT;
        p = put_uv(p, v);
    }
    size_t bytes = (size_t)(p - start - 4);
    if (bytes > COLUMN_BYTES_MAX)
        return ERR_LIMIT;
    start[0] = 0;
    for (unsigned i = 0; i < 3; i++)
        start[1 + i] = (uint8_t)(bytes >> (8 * i));
    out->size += 4 + bytes;
    *total = sum;
    return 0;
}

static void put_spans(const struct samples *s, struct buf *out)
{
    buf_varint(out, s->span_count);
    buf_str(out, s->span_bytes);
    for (uint32_t i = 0; i < s->n; i++)
        buf_varint(out, s->spans[(uint32_t)s->keys[i]]);
}

int row_put(const struct form_profile *p, const uint32_t *nodes, uint32_t stream, uint32_t lane,
            struct arena *a, struct buf *out, struct row_put *made)
{
    struct samples s = {0};
    int rc = gather(p, nodes, a, &s);
    if (rc != 0)
        return rc;
    rc = unite(&s, p->member_count);
    if (rc != 0)
        return rc;
    buf_varint(out, stream);
    buf_varint(out, lane);
    buf_varint(out, p->seq);
    buf_u64le(out, (uint64_t)p->time_ns);
    buf_u32le(out, p->nonce);
    buf_varint(out, p->duration_ns);
    buf_varint(out, p->period);
    *made = (struct row_put){.samples = s.n};
    rc = put_ids(&s, s.spans != NULL, out);
    for (uint32_t m = 0; m < p->member_count && rc == 0; m++) {
        if (!p->columns[m].proportional) {
            rc = put_column(&s, s.values[m], out, &made->totals[m]);
            continue;
        }
        buf_u8(out, 1);
        buf_varint(out, p->columns[m].factor);
        if (__builtin_mul_overflow(made->totals[0], p->columns[m].factor, &made->totals[m]) ||
            made->totals[m] > INT64_MAX)
            rc = ERR_LIMIT;
    }
    if (rc == 0 && s.spans != NULL)
        put_spans(&s, out);
    return rc != 0 ? rc : out->error;
}

/* --- reading ---------------------------------------------------------------------------------- */

int row_read_head(struct str *in, struct row *out)
{
    uint64_t time;
    *out = (struct row){0};
    if (uv_read_u32(in, &out->stream) != 0 || uv_read_u32(in, &out->lane) != 0 ||
        uv_read_u32(in, &out->seq) != 0 || u64le_read(in, &time) != 0 ||
        u32le_read(in, &out->nonce) != 0 || uv_read(in, &out->duration_ns) != 0 ||
        uv_read(in, &out->period) != 0 || out->seq == 0 || time > INT64_MAX)
        return ERR_CORRUPT;
    out->time_ns = (int64_t)time;
    return 0;
}

static int read_column(struct str *in, bool first, const struct row *r, struct row_column *out)
{
    uint8_t kind;
    struct str size;
    if (u8_read(in, &kind) != 0 || kind > 1 || (first && kind != 0))
        return ERR_CORRUPT;
    if (kind == 1) {
        out->proportional = true;
        out->bytes = r->columns[0].bytes;
        return uv_read(in, &out->factor) != 0 ? ERR_CORRUPT : 0;
    }
    if (raw_read(in, 3, &size) != 0)
        return ERR_CORRUPT;
    const uint8_t *p = (const uint8_t *)size.data;
    size_t bytes = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16;
    out->factor = 1;
    if (bytes < r->samples || raw_read(in, bytes, &out->bytes) != 0)
        return ERR_CORRUPT;
    return 0;
}

int row_read_body(struct str *in, uint32_t members, struct row *out)
{
    uint64_t head, id_bytes;
    if (uv_read(in, &head) != 0 || uv_read(in, &id_bytes) != 0 || id_bytes > in->len ||
        head >> 1 > id_bytes || members == 0 || members > FORM_MEMBERS_MAX)
        return ERR_CORRUPT;
    out->samples = (uint32_t)(head >> 1);
    out->ids = str_head(*in, (size_t)id_bytes);
    *in = str_skip(*in, (size_t)id_bytes);
    for (uint32_t m = 0; m < members; m++)
        if (read_column(in, m == 0, out, &out->columns[m]) != 0)
            return ERR_CORRUPT;
    if ((head & 1) == 0)
        return 0;
    if (uv_read_u32(in, &out->span_count) != 0 || out->span_count > in->len / SPAN_SIZE ||
        raw_read(in, (size_t)out->span_count * SPAN_SIZE, &out->spans) != 0)
        return ERR_CORRUPT;
    const char *start = in->data;
    for (uint32_t i = 0; i < out->samples; i++) {
        uint64_t index;
        if (uv_read(in, &index) != 0 || index > out->span_count)
            return ERR_CORRUPT;
    }
    out->span_indexes = str_of(start, (size_t)(in->data - start));
    return 0;
}

int row_open(struct str bytes, uint32_t members, struct row *out)
{
    if (row_read_head(&bytes, out) != 0 || row_read_body(&bytes, members, out) != 0 ||
        bytes.len != 0)
        return ERR_CORRUPT;
    return 0;
}

/* The next eight values are one byte each: their sum. */
static inline bool small_values(struct str in, uint64_t *sum)
{
    uint64_t w;
    if (in.len < 8)
        return false;
    memcpy(&w, in.data, 8);
    if ((w & 0x8080808080808080u) != 0)
        return false;
    w = (w & 0x00ff00ff00ff00ffu) + (w >> 8 & 0x00ff00ff00ff00ffu);
    *sum = w * 0x0001000100010001u >> 48;
    return true;
}

int row_total(const struct row *r, uint32_t member, uint64_t *out)
{
    const struct row_column *c = &r->columns[member];
    struct str in = c->bytes;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < r->samples;) {
        uint64_t v;
        while (r->samples - i >= 8 && small_values(in, &v)) {
            sum += v;
            in = str_skip(in, 8);
            i += 8;
        }
        if (i == r->samples)
            break;
        i++;
        if (uv_read(&in, &v) != 0 || v > INT64_MAX || (sum += v) > INT64_MAX)
            return ERR_CORRUPT;
    }
    if (in.len != 0 || __builtin_mul_overflow(sum, c->factor, out) || *out > INT64_MAX)
        return ERR_CORRUPT;
    return 0;
}

/* A uv at *p, without looking for the end: at least UV_BYTES_MAX bytes are there. */
static inline uint64_t uv_fast(const uint8_t **p)
{
    uint64_t v = *(*p)++;
    if (v < 0x80)
        return v;
    v &= 0x7f;
    for (unsigned shift = 7; shift < 64; shift += 7) {
        uint64_t b = *(*p)++;
        v |= (b & 0x7f) << shift;
        if (b < 0x80)
            break;
    }
    return v;
}

int row_add(const struct row *r, uint32_t member, uint64_t *sums, uint32_t nodes)
{
    const struct row_column *c = &r->columns[member];
    const uint8_t *ip = (const uint8_t *)r->ids.data, *vp = (const uint8_t *)c->bytes.data;
    const uint8_t *ids_end = ip + r->ids.len, *values_end = vp + c->bytes.len;
    uint64_t factor = c->factor, id = 0;
    uint32_t left = r->samples;
    while (left > 0 && ids_end - ip >= UV_BYTES_MAX && values_end - vp >= UV_BYTES_MAX) {
        id += uv_fast(&ip);
        uint64_t v = uv_fast(&vp);
        if (id >= nodes)
            return ERR_CORRUPT;
        sums[id] += v * factor;
        left--;
    }
    struct str ids = str_of(ip, (size_t)(ids_end - ip));
    struct str values = str_of(vp, (size_t)(values_end - vp));
    for (; left > 0; left--) {
        uint64_t step, v;
        if (uv_read(&ids, &step) != 0 || uv_read(&values, &v) != 0 || (id += step) >= nodes)
            return ERR_CORRUPT;
        sums[id] += v * factor;
    }
    return 0;
}

static uint64_t span_id(const struct row *r, uint64_t index)
{
    uint64_t id = 0;
    if (index == 0)
        return 0;
    struct str at = str_skip(r->spans, (size_t)(index - 1) * SPAN_SIZE);
    (void)u64le_read(&at, &id);
    return id;
}

int row_each(const struct row *r, uint32_t member, row_sample_fn each, void *arg)
{
    const struct row_column *c = &r->columns[member];
    struct str ids = r->ids, values = c->bytes, spans = r->span_indexes;
    uint64_t id = 0;
    for (uint32_t i = 0; i < r->samples; i++) {
        uint64_t step, v, span = 0;
        if (uv_read(&ids, &step) != 0 || uv_read(&values, &v) != 0 || step > UINT32_MAX ||
            (id += step) > UINT32_MAX || (r->spans.data != NULL && uv_read(&spans, &span) != 0))
            return ERR_CORRUPT;
        int rc = each(arg, (uint32_t)id, span_id(r, span), v * c->factor);
        if (rc != 0)
            return rc;
    }
    return 0;
}
