/* ring/desc_codec.c - a ring on the wire and as JSON. Field numbers: grafana/dskit ring.proto. */
#include <stdlib.h>

#include "base/mem.h"
#include "gossip/codec.h"
#include "ring/desc_priv.h"
#include "wire/json.h"
#include "wire/pb.h"
#include "wire/snappy.h"

enum {
    F_DESC_INGESTERS = 1,
    F_ENTRY_KEY = 1,
    F_ENTRY_VALUE = 2,
    F_ADDR = 1,
    F_TIMESTAMP = 2,
    F_STATE = 3,
    F_TOKENS = 6,
    F_ZONE = 7,
    F_REGISTERED = 8,
    F_ID = 9,
    F_READ_ONLY_SINCE = 10,
    F_READ_ONLY = 11,
    F_VERSIONS = 12,
};

static int add_token(struct ring_instance *in, uint32_t *cap, uint64_t v)
{
    if (in->token_count == *cap) {
        uint32_t grown_cap = *cap == 0 ? 128 : *cap * 2;
        if (grown_cap > 2 * RING_TOKENS_MAX)
            return ERR_LIMIT;
        uint32_t *grown = mem_realloc_array(in->tokens, grown_cap, sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        in->tokens = grown;
        *cap = grown_cap;
    }
    in->tokens[in->token_count++] = (uint32_t)v; /* as protobuf does: the lower 32 bits */
    return 0;
}

static int read_tokens(struct ring_instance *in, uint32_t *cap, const struct pb_field *f)
{
    if (f->wire == PB_VARINT)
        return add_token(in, cap, f->value);
    if (f->wire != PB_BYTES)
        return ERR_PARSE;
    for (struct str rest = f->bytes; rest.len > 0;) {
        uint64_t v;
        int rc = pb_varint(&rest, &v);
        if (rc == 0)
            rc = add_token(in, cap, v);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* One pair of the map `versions`; a repeated component replaces the one before. */
static int read_version(struct ring_instance *in, struct str bytes)
{
    struct ring_version v = {0, 0};
    struct pb_reader r = pb_reader(bytes);
    struct pb_field f;
    int rc;
    while ((rc = pb_next(&r, &f)) > 0) {
        if ((f.number == 1 || f.number == 2) && f.wire != PB_VARINT)
            return ERR_PARSE;
        if (f.number == 1)
            v.component = f.value;
        else if (f.number == 2)
            v.version = f.value;
    }
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < in->version_count; i++)
        if (in->versions[i].component == v.component) {
            in->versions[i].version = v.version;
            return 0;
        }
    if (in->version_count == RING_VERSIONS_MAX)
        return ERR_LIMIT;
    struct ring_version *grown =
        mem_realloc_array(in->versions, (size_t)in->version_count + 1, sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    in->versions = grown;
    in->versions[in->version_count++] = v;
    return 0;
}

static bool wire_is_right(const struct pb_field *f)
{
    switch (f->number) {
    case F_ADDR:
    case F_ZONE:
    case F_ID:
    case F_VERSIONS:
        return f->wire == PB_BYTES;
    case F_TIMESTAMP:
    case F_STATE:
    case F_REGISTERED:
    case F_READ_ONLY_SINCE:
    case F_READ_ONLY:
        return f->wire == PB_VARINT;
    default:
        return true;
    }
}

/* One field into *in; texts still borrow from the message. */
static int read_field(struct ring_instance *in, uint32_t *cap, const struct pb_field *f)
{
    if (!wire_is_right(f))
        return ERR_PARSE;
    switch (f->number) {
    case F_ADDR:
        in->addr = f->bytes;
        break;
    case F_ZONE:
        in->zone = f->bytes;
        break;
    case F_TIMESTAMP:
        in->timestamp_s = (int64_t)f->value;
        break;
    case F_STATE:
        in->state = (int32_t)(uint32_t)f->value;
        break;
    case F_TOKENS:
        return read_tokens(in, cap, f);
    case F_REGISTERED:
        in->registered_s = (int64_t)f->value;
        break;
    case F_READ_ONLY_SINCE:
        in->read_only_since_s = (int64_t)f->value;
        break;
    case F_READ_ONLY:
        in->read_only = f->value != 0;
        break;
    case F_VERSIONS:
        return read_version(in, f->bytes);
    default: /* the id too: the map's key is what counts, old writers leave it out */
        break;
    }
    return 0;
}

/* One pair of the map `ingesters`; *in borrows its texts and owns its arrays, also on failure. */
static int read_entry(struct ring_instance *in, struct str bytes)
{
    struct pb_reader r = pb_reader(bytes);
    struct pb_field f;
    uint32_t cap = 0;
    int rc;
    while ((rc = pb_next(&r, &f)) > 0) {
        if ((f.number == F_ENTRY_KEY || f.number == F_ENTRY_VALUE) && f.wire != PB_BYTES)
            return ERR_PARSE;
        if (f.number == F_ENTRY_KEY)
            in->id = f.bytes;
        if (f.number != F_ENTRY_VALUE)
            continue;
        struct pb_reader inner = pb_reader(f.bytes);
        struct pb_field g;
        int irc = 0;
        while (irc >= 0 && (irc = pb_next(&inner, &g)) > 0) {
            int frc = read_field(in, &cap, &g);
            irc = frc < 0 ? frc : irc;
        }
        if (irc < 0)
            return irc;
    }
    return rc;
}

/* Give *in texts of its own. */
static int own_entry(struct ring_instance *in)
{
    struct ring_instance owned;
    if (!str_is_utf8(in->id) || !str_is_utf8(in->addr) || !str_is_utf8(in->zone))
        return ERR_PARSE;
    if (in->id.len > 4096 || in->addr.len > 4096 || in->zone.len > 4096)
        return ERR_LIMIT;
    int rc = ring_instance_copy(&owned, in);
    if (rc != 0)
        return rc;
    mem_free(in->tokens);
    mem_free(in->versions);
    *in = owned;
    return 0;
}

static int append_entry(struct ring_desc *d, struct str bytes, size_t *tokens)
{
    struct ring_instance in = {0};
    int rc = ring_desc_reserve(d, 1);
    if (rc == 0)
        rc = read_entry(&in, bytes);
    if (rc == 0 && (*tokens += in.token_count) > RING_TOKENS_MAX)
        rc = ERR_LIMIT;
    if (rc == 0)
        rc = own_entry(&in);
    if (rc != 0) {
        mem_free(in.tokens);
        mem_free(in.versions);
        return rc;
    }
    d->all[d->count++] = in;
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const struct ring_instance *x = a, *y = b;
    return str_cmp(x->id, y->id);
}

/* Sort what was read, and keep the last of each id. qsort is not stable: the place in the
 * message stands in `order` (parallel to all) before it is sorted along. */
struct placed {
    struct ring_instance in;
    size_t place;
};

static int by_id_and_place(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    int c = str_cmp(x->in.id, y->in.id);
    return c != 0 ? c : (x->place > y->place) - (x->place < y->place);
}

static int sort_entries(struct ring_desc *d)
{
    bool rising = true;
    for (size_t i = 1; i < d->count && rising; i++)
        rising = by_id(&d->all[i - 1], &d->all[i]) < 0;
    if (rising)
        return 0;
    struct placed *all = mem_calloc(d->count, sizeof *all);
    if (all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < d->count; i++)
        all[i] = (struct placed){d->all[i], i};
    qsort(all, d->count, sizeof *all, by_id_and_place);
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++) {
        bool last = i + 1 == d->count || !str_eq(all[i].in.id, all[i + 1].in.id);
        if (last)
            d->all[kept++] = all[i].in;
        else
            ring_instance_reset(&all[i].in);
    }
    d->count = kept;
    mem_free(all);
    return 0;
}

int ring_desc_decode(struct ring_desc **out, struct str bytes, struct err *err)
{
    struct ring_desc *d = NULL;
    size_t tokens = 0;
    int rc = ring_desc_init(&d);
    struct pb_reader r = pb_reader(bytes);
    struct pb_field f;
    int more = 0;
    while (rc == 0 && (more = pb_next(&r, &f)) > 0) {
        if (f.number != F_DESC_INGESTERS)
            continue;
        rc = f.wire != PB_BYTES ? ERR_PARSE : append_entry(d, f.bytes, &tokens);
    }
    if (rc == 0 && more < 0)
        rc = more;
    if (rc == 0)
        rc = sort_entries(d);
    if (rc != 0) {
        size_t count = d == NULL ? 0 : d->count;
        ring_desc_free(&d);
        return err_set(err, rc, "ring: member %zu: %s", count + 1, err_text(rc));
    }
    *out = d;
    return 0;
}

static void encode_instance(const struct ring_instance *in, struct buf *out)
{
    pb_put_bytes_set(out, F_ADDR, in->addr);
    pb_put_varint_set(out, F_TIMESTAMP, (uint64_t)in->timestamp_s);
    pb_put_varint_set(out, F_STATE, (uint64_t)(int64_t)in->state);
    if (in->token_count > 0) {
        size_t mark = pb_begin(out, F_TOKENS);
        for (uint32_t i = 0; i < in->token_count; i++)
            buf_varint(out, in->tokens[i]);
        pb_end(out, mark);
    }
    pb_put_bytes_set(out, F_ZONE, in->zone);
    pb_put_varint_set(out, F_REGISTERED, (uint64_t)in->registered_s);
    pb_put_bytes_set(out, F_ID, in->id);
    pb_put_varint_set(out, F_READ_ONLY_SINCE, (uint64_t)in->read_only_since_s);
    pb_put_varint_set(out, F_READ_ONLY, in->read_only);
    for (uint32_t i = 0; i < in->version_count; i++) {
        size_t mark = pb_begin(out, F_VERSIONS);
        pb_put_varint(out, 1, in->versions[i].component);
        pb_put_varint(out, 2, in->versions[i].version);
        pb_end(out, mark);
    }
}

void ring_desc_encode(const struct ring_desc *d, struct buf *out)
{
    for (size_t i = 0; i < d->count; i++) {
        size_t entry = pb_begin(out, F_DESC_INGESTERS);
        pb_put_bytes(out, F_ENTRY_KEY, d->all[i].id);
        size_t value = pb_begin(out, F_ENTRY_VALUE);
        encode_instance(&d->all[i], out);
        pb_end(out, value);
        pb_end(out, entry);
    }
}

/* --- the codec of the key-value store ----------------------------------------------------- */

static int codec_decode(void **value, struct str bytes, struct err *err)
{
    struct buf raw = {0};
    struct ring_desc *d = NULL;
    int rc = bytes.len == 0 ? 0 : snappy_unpack(bytes, RING_BYTES_MAX, &raw);
    if (rc != 0)
        err_set(err, rc, "ring: snappy: %s", err_text(rc));
    else
        rc = ring_desc_decode(&d, buf_view(&raw), err);
    buf_reset(&raw);
    if (rc == 0)
        *value = d;
    return rc;
}

static void codec_encode(const void *value, struct buf *out)
{
    struct buf raw = {0};
    ring_desc_encode(value, &raw);
    int rc = raw.error != 0 ? raw.error : snappy_pack(buf_view(&raw), out);
    if (rc != 0 && out->error == 0)
        out->error = rc;
    buf_reset(&raw);
}

static int codec_merge(void **into, const void *incoming, bool local_cas, int64_t now_s,
                       void **change)
{
    struct ring_desc *d = *into, *c = NULL;
    int rc = ring_desc_merge(&d, incoming, local_cas, now_s, &c);
    *into = d;
    *change = c;
    return rc;
}

static bool codec_refresh(void *into, void *incoming)
{
    return ring_desc_refresh(into, incoming);
}

static int codec_clone(void **out, const void *value)
{
    struct ring_desc *d = NULL;
    int rc = ring_desc_clone(&d, value);
    if (rc == 0)
        *out = d;
    return rc;
}

static void codec_free(void **value)
{
    struct ring_desc *d = *value;
    ring_desc_free(&d);
    *value = NULL;
}

static size_t codec_remove_tombstones(void *value, int64_t limit_s)
{
    return ring_desc_remove_tombstones(value, limit_s);
}

static bool codec_is_empty(const void *value)
{
    return ((const struct ring_desc *)value)->count == 0;
}

static size_t codec_size(const void *value)
{
    return ring_desc_size(value);
}

static void codec_content(const void *value, kv_name_fn each, void *arg)
{
    const struct ring_desc *d = value;
    for (size_t i = 0; i < d->count; i++)
        each(arg, d->all[i].id);
}

static void json_i64_set(struct json *j, const char *key, int64_t v)
{
    if (v == 0)
        return;
    json_key(j, key);
    json_i64(j, v);
}

static void json_str_set(struct json *j, const char *key, struct str v)
{
    if (v.len == 0)
        return;
    json_key(j, key);
    json_str(j, v);
}

/* Go's JSON of the struct: zero fields left out, 64-bit numbers as numbers. */
static void instance_to_json(const struct ring_instance *in, struct json *j)
{
    json_begin_object(j);
    json_str_set(j, "addr", in->addr);
    json_i64_set(j, "timestamp", in->timestamp_s);
    json_i64_set(j, "state", in->state);
    if (in->token_count > 0) {
        json_key(j, "tokens");
        json_begin_array(j);
        for (uint32_t i = 0; i < in->token_count; i++)
            json_u64(j, in->tokens[i]);
        json_end_array(j);
    }
    json_str_set(j, "zone", in->zone);
    json_i64_set(j, "registered_timestamp", in->registered_s);
    json_str_set(j, "id", in->id);
    json_i64_set(j, "read_only_updated_timestamp", in->read_only_since_s);
    if (in->read_only) {
        json_key(j, "read_only");
        json_bool(j, true);
    }
    ring_versions_to_json(in, j);
    json_end_object(j);
}

void ring_versions_to_json(const struct ring_instance *in, struct json *j)
{
    if (in->version_count == 0)
        return;
    json_key(j, "versions");
    json_begin_object(j);
    for (uint32_t i = 0; i < in->version_count; i++) {
        struct buf key = {0};
        buf_udec(&key, in->versions[i].component);
        json_key_str(j, buf_view(&key));
        json_u64(j, in->versions[i].version);
        buf_reset(&key);
    }
    json_end_object(j);
}

static void codec_to_json(const void *value, struct buf *out)
{
    const struct ring_desc *d = value;
    struct json j = json_to(out);
    json_begin_object(&j);
    if (d->count > 0) {
        json_key(&j, "ingesters");
        json_begin_object(&j);
        for (size_t i = 0; i < d->count; i++) {
            json_key_str(&j, d->all[i].id);
            instance_to_json(&d->all[i], &j);
        }
        json_end_object(&j);
    }
    json_end_object(&j);
}

const struct kv_codec ring_codec = {
    .id = "ringDesc",
    .decode = codec_decode,
    .encode = codec_encode,
    .merge = codec_merge,
    .refresh = codec_refresh,
    .clone = codec_clone,
    .free = codec_free,
    .remove_tombstones = codec_remove_tombstones,
    .is_empty = codec_is_empty,
    .size = codec_size,
    .content = codec_content,
    .to_json = codec_to_json,
};
