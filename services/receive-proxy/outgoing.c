/* receive-proxy/outgoing.c - requests as Alloy's pyroscope.write makes them. */
#include "outgoing.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "labelset.h"
#include "wire/pb.h"
#include "wire/uv.h"

enum { HEADERS_MAX = 256 };

/* --- making ---------------------------------------------------------------------------- */

/* The fields of push.v1.PushRequest that are sent. */
enum {
    PUSH_SERIES = 1,
    SERIES_LABELS = 1,
    SERIES_SAMPLES = 2,
    PAIR_NAME = 1,
    PAIR_VALUE = 2,
    SAMPLE_PROFILE = 1,
    SAMPLE_ID = 2,
};

static size_t set_size(uint32_t number, struct str s)
{
    return s.len == 0 ? 0 : pb_bytes_size(number, s.len);
}

static size_t label_size(const struct label *l)
{
    return set_size(PAIR_NAME, l->name) + set_size(PAIR_VALUE, l->value);
}

static size_t sample_size(const struct flow_sample *s)
{
    return set_size(SAMPLE_PROFILE, s->profile) + set_size(SAMPLE_ID, s->id);
}

/* By hand, lengths first: the profiles are by far the most of it, and are copied once. */
static int make_push_body(const struct flow_item *item, struct labels set, struct arena *a,
                          struct str *out)
{
    struct buf body = {0};
    size_t series = 0;
    for (size_t i = 0; i < set.count; i++)
        series += pb_bytes_size(SERIES_LABELS, label_size(&set.items[i]));
    for (size_t i = 0; i < item->sample_count; i++)
        series += pb_bytes_size(SERIES_SAMPLES, sample_size(&item->samples[i]));
    size_t size = pb_bytes_size(PUSH_SERIES, series);
    body.cap = size + UV_BYTES_MAX; /* what a varint makes sure of */
    body.data = arena_alloc(a, body.cap);
    if (body.data == NULL)
        return ERR_NOMEM;
    pb_put_head(&body, PUSH_SERIES, series);
    for (size_t i = 0; i < set.count; i++) {
        pb_put_head(&body, SERIES_LABELS, label_size(&set.items[i]));
        pb_put_bytes_set(&body, PAIR_NAME, set.items[i].name);
        pb_put_bytes_set(&body, PAIR_VALUE, set.items[i].value);
    }
    for (size_t i = 0; i < item->sample_count; i++) {
        pb_put_head(&body, SERIES_SAMPLES, sample_size(&item->samples[i]));
        pb_put_bytes_set(&body, SAMPLE_PROFILE, item->samples[i].profile);
        pb_put_bytes_set(&body, SAMPLE_ID, item->samples[i].id);
    }
    ASSERT(body.error == 0 && body.size == size);
    *out = buf_view(&body);
    return 0;
}

struct param {
    struct http_field field;
    size_t at; /* order in the request: what comes first stays first */
};

static int compare_params(const void *a, const void *b)
{
    const struct param *x = a, *y = b;
    int c = str_cmp(x->field.name, y->field.name);
    if (c != 0)
        return c;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* What is between the two of "a=1&&b=2". */
static bool is_empty(const struct http_field *f)
{
    return f->name.len == 0 && f->value.len == 0;
}

/* /ingest?a=1&name=app{...}&...: sorted by key. */
static int make_ingest_target(const struct flow_item *item, struct labels set, struct arena *a,
                              struct outgoing *out)
{
    struct buf name = {0}, target = {0};
    size_t n = 0;
    struct param *params = arena_calloc(a, item->param_count + 1, sizeof *params);
    if (params == NULL)
        return ERR_NOMEM;
    labelset_put_name(set, &name);
    params[n++] = (struct param){{STR("name"), buf_view(&name)}, 0};
    for (size_t i = 0; i < item->param_count; i++)
        if (!is_empty(&item->params[i]) && !str_eq(item->params[i].name, STR("name"))) {
            params[n] = (struct param){item->params[i], i};
            n++;
        }
    qsort(params, n, sizeof *params, compare_params);
    buf_c(&target, "/ingest");
    for (size_t i = 0; i < n; i++) {
        buf_u8(&target, i == 0 ? '?' : '&');
        http_form_encode(params[i].field.name, &target);
        buf_u8(&target, '=');
        http_form_encode(params[i].field.value, &target);
    }
    int rc = name.error != 0 ? name.error : target.error;
    if (rc == 0) {
        out->target = str_dup(a, buf_view(&target));
        rc = out->target.data == NULL ? ERR_NOMEM : 0;
    }
    buf_reset(&name);
    buf_reset(&target);
    return rc;
}

/* Of a push, the body is ours, and so is what describes it. */
static bool goes_along(enum flow_kind kind, struct str name)
{
    if (str_eq_nocase(name, STR("Content-Type")))
        return false;
    return kind == FLOW_INGEST || !str_eq_nocase(name, STR("Content-Encoding"));
}

static int make_headers(const struct flow_item *item, bool forward, struct arena *a,
                        struct outgoing *out)
{
    size_t most = item->content_type_count + item->header_count + 1, n = 0;
    struct http_field *fields = arena_calloc(a, most, sizeof *fields);
    if (fields == NULL)
        return ERR_NOMEM;
    if (item->kind == FLOW_PUSH)
        fields[n++] = (struct http_field){STR("Content-Type"), STR("application/proto")};
    for (size_t i = 0; item->kind == FLOW_INGEST && i < item->content_type_count; i++)
        fields[n++] = (struct http_field){STR("Content-Type"), item->content_types[i]};
    for (size_t i = 0; forward && i < item->header_count; i++)
        if (goes_along(item->kind, item->headers[i].name))
            fields[n++] = item->headers[i];
    out->headers = fields;
    out->header_count = n;
    return n > HEADERS_MAX ? ERR_LIMIT : 0;
}

int outgoing_make(const struct flow_item *item, struct labels set, bool forward, struct arena *a,
                  struct outgoing *out)
{
    *out = (struct outgoing){.kind = item->kind,
                             .bytes = flow_item_bytes(item),
                             .profiles = flow_item_profiles(item)};
    int rc = make_headers(item, forward, a, out);
    if (rc == 0 && item->kind == FLOW_INGEST) {
        out->body = item->body;
        rc = make_ingest_target(item, set, a, out);
    } else if (rc == 0) {
        out->target = STR("/push.v1.PusherService/Push");
        rc = make_push_body(item, set, a, &out->body);
    }
    return rc;
}

/* --- records --------------------------------------------------------------------------- */

static void put_str(struct buf *out, struct str s)
{
    buf_varint(out, s.len);
    buf_str(out, s);
}

void outgoing_put(const struct outgoing *o, struct buf *out)
{
    buf_u8(out, (uint8_t)o->kind);
    put_str(out, o->target);
    buf_varint(out, o->bytes);
    buf_varint(out, o->profiles);
    buf_varint(out, o->header_count);
    for (size_t i = 0; i < o->header_count; i++) {
        put_str(out, o->headers[i].name);
        put_str(out, o->headers[i].value);
    }
    put_str(out, o->body);
}

static bool get_varint(struct str *in, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
        uint8_t byte = (uint8_t)in->data[0];
        *in = str_skip(*in, 1);
        if (shift == 63 && byte > 1)
            return false;
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool get_str(struct str *in, struct str *s)
{
    uint64_t len;
    if (!get_varint(in, &len) || len > in->len)
        return false;
    *s = str_head(*in, (size_t)len);
    *in = str_skip(*in, (size_t)len);
    return true;
}

int outgoing_read(struct str in, struct arena *a, struct outgoing *out)
{
    uint64_t count;
    *out = (struct outgoing){.kind = FLOW_PUSH};
    if (in.len == 0 || (uint8_t)in.data[0] > FLOW_INGEST)
        return ERR_PARSE;
    out->kind = (enum flow_kind)in.data[0];
    in = str_skip(in, 1);
    if (!get_str(&in, &out->target) || !get_varint(&in, &out->bytes) ||
        !get_varint(&in, &out->profiles) || !get_varint(&in, &count) || count > HEADERS_MAX)
        return ERR_PARSE;
    struct http_field *fields = arena_calloc(a, (size_t)count + 1, sizeof *fields);
    if (fields == NULL)
        return ERR_NOMEM;
    out->headers = fields;
    for (; out->header_count < count; out->header_count++) {
        struct http_field *f = &fields[out->header_count];
        if (!get_str(&in, &f->name) || !get_str(&in, &f->value))
            return ERR_PARSE;
    }
    return get_str(&in, &out->body) && in.len == 0 ? 0 : ERR_PARSE;
}
