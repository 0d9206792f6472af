/* gossip/kv_tracker_value.c - the beacons' value: its protobuf form, its merge, its codec. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gossip/kv_tracker_priv.h"
#include "wire/json.h"
#include "wire/pb.h"
#include "wire/snappy.h"

enum { RAW_MAX = 8 << 20, BLOCK_OVERHEAD = 16 };

/* --- the array ------------------------------------------------------------------------------ */

static void beacon_reset(struct beacon *b)
{
    mem_free((void *)(uintptr_t)b->by.data);
    *b = (struct beacon){0};
}

static int beacon_copy(struct beacon *out, const struct beacon *b)
{
    char *by = str_dup_c(b->by);
    if (by == NULL)
        return ERR_NOMEM;
    *out = *b;
    out->by.data = by;
    return 0;
}

static void beacons_free(struct beacons *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->count; i++)
        beacon_reset(&b->items[i]);
    mem_free(b->items);
    mem_free(b);
}

static int reserve(struct beacons *b, size_t more)
{
    if (b->cap - b->count >= more)
        return 0;
    size_t cap = b->cap * 2 > b->count + more ? b->cap * 2 : b->count + more + 4;
    struct beacon *items = mem_realloc_array(b->items, cap, sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    b->items = items;
    b->cap = cap;
    return 0;
}

/* Where `id` is or belongs. */
static size_t find(const struct beacons *b, uint64_t id)
{
    size_t low = 0, high = b->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (b->items[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static const struct beacon *get(const struct beacons *b, uint64_t id)
{
    size_t at = find(b, id);
    return at < b->count && b->items[at].id == id ? &b->items[at] : NULL;
}

/* Set one, taking its name; room must be there. */
static void set(struct beacons *b, const struct beacon *item)
{
    size_t at = find(b, item->id);
    if (at < b->count && b->items[at].id == item->id) {
        beacon_reset(&b->items[at]);
    } else {
        memmove(b->items + at + 1, b->items + at, (b->count - at) * sizeof *b->items);
        b->count++;
    }
    b->items[at] = *item;
}

/* Set a copy. ERR_NOMEM. */
static int set_copy(struct beacons *b, const struct beacon *item)
{
    struct beacon copy;
    if (reserve(b, 1) != 0 || beacon_copy(&copy, item) != 0)
        return ERR_NOMEM;
    set(b, &copy);
    return 0;
}

size_t beacons_count(const struct beacons *b)
{
    return b->count;
}

const struct beacon *beacons_at(const struct beacons *b, size_t i)
{
    return &b->items[i];
}

int beacons_add(void **value, const struct beacon *item)
{
    if (*value == NULL && (*value = mem_zalloc(sizeof(struct beacons))) == NULL)
        return ERR_NOMEM;
    return set_copy(*value, item);
}

size_t beacons_drop_older(struct beacons *b, wall_ms limit)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (b->items[i].published < limit)
            beacon_reset(&b->items[i]);
        else
            b->items[kept++] = b->items[i];
    }
    size_t gone = b->count - kept;
    b->count = kept;
    return gone;
}

/* --- bytes ---------------------------------------------------------------------------------- */

static int read_beacon(struct beacon *b, struct str bytes)
{
    struct pb_reader r = pb_reader(bytes);
    struct pb_field f;
    int rc;
    while ((rc = pb_next(&r, &f)) > 0) {
        if (f.number == 1 && f.wire == PB_VARINT)
            b->published = (wall_ms)f.value;
        else if (f.number == 2 && f.wire == PB_VARINT)
            b->deleted = (wall_ms)f.value;
        else if (f.number == 3 && f.wire == PB_BYTES)
            b->by = f.bytes;
        else if (f.number <= 3)
            return ERR_PARSE;
    }
    return rc == 0 && b->by.len > BEACON_NAME_MAX ? ERR_LIMIT : rc;
}

/* One entry of the map. */
static int read_entry(struct beacons *out, struct str bytes)
{
    struct pb_reader r = pb_reader(bytes);
    struct pb_field f;
    struct beacon b = {0};
    int rc;
    while ((rc = pb_next(&r, &f)) > 0) {
        if (f.number == 1 && f.wire == PB_VARINT)
            b.id = f.value;
        else if (f.number == 2 && f.wire == PB_BYTES)
            rc = read_beacon(&b, f.bytes);
        else if (f.number <= 2)
            return ERR_PARSE;
        if (rc < 0)
            return rc;
    }
    if (rc != 0 || b.id == 0)
        return rc;
    return out->count == BEACONS_MAX && get(out, b.id) == NULL ? ERR_LIMIT : set_copy(out, &b);
}

static int decode(void **value, struct str bytes, struct err *err)
{
    struct buf raw = {0};
    struct beacons *b = mem_zalloc(sizeof *b);
    int rc = b == NULL ? ERR_NOMEM : snappy_unpack(bytes, RAW_MAX, &raw);
    struct pb_reader r = pb_reader(buf_view(&raw));
    struct pb_field f;
    int more = 0;
    while (rc == 0 && (more = pb_next(&r, &f)) > 0)
        if (f.number == 1)
            rc = f.wire == PB_BYTES ? read_entry(b, f.bytes) : ERR_PARSE;
    rc = rc == 0 ? more : rc;
    buf_reset(&raw);
    if (rc != 0) {
        beacons_free(b);
        return err_set(err, rc, "beacons: %s", err_text(rc));
    }
    *value = b;
    return 0;
}

static void encode(const void *value, struct buf *out)
{
    const struct beacons *b = value;
    struct buf raw = {0};
    for (size_t i = 0; i < b->count; i++) {
        size_t entry = pb_begin(&raw, 1);
        pb_put_varint(&raw, 1, b->items[i].id);
        size_t inner = pb_begin(&raw, 2);
        pb_put_varint_set(&raw, 1, (uint64_t)b->items[i].published);
        pb_put_varint_set(&raw, 2, (uint64_t)b->items[i].deleted);
        pb_put_bytes_set(&raw, 3, b->items[i].by);
        pb_end(&raw, inner);
        pb_end(&raw, entry);
    }
    int rc = raw.error != 0 ? raw.error : snappy_pack(buf_view(&raw), out);
    if (rc != 0 && out->error == 0)
        out->error = rc;
    buf_reset(&raw);
}

/* --- merging -------------------------------------------------------------------------------- */

static bool wins(const struct beacon *theirs, const struct beacon *mine)
{
    if (mine == NULL || theirs->published != mine->published)
        return mine == NULL || theirs->published > mine->published;
    return theirs->deleted > mine->deleted;
}

/* What `incoming` changes in `mine`. ERR_NOMEM. */
static int delta_of(const struct beacons *mine, const struct beacons *incoming, bool local_cas,
                    wall_ms now, struct beacons *out)
{
    size_t room = mine->count < BEACONS_MAX ? BEACONS_MAX - mine->count : 0;
    for (size_t i = 0; i < incoming->count; i++) {
        const struct beacon *theirs = &incoming->items[i], *old = get(mine, theirs->id);
        if (!wins(theirs, old) || (old == NULL && room == 0))
            continue;
        room -= old == NULL ? 1 : 0;
        if (set_copy(out, theirs) != 0)
            return ERR_NOMEM;
    }
    for (size_t i = 0; local_cas && i < mine->count; i++) {
        struct beacon gone = mine->items[i];
        if (gone.deleted != 0 || get(incoming, gone.id) != NULL)
            continue;
        gone.deleted = now;
        if (set_copy(out, &gone) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

static int clone(void **out, const void *value)
{
    const struct beacons *b = value;
    struct beacons *copy = mem_zalloc(sizeof *copy);
    int rc = copy == NULL ? ERR_NOMEM : reserve(copy, b->count);
    for (size_t i = 0; rc == 0 && i < b->count; i++)
        if ((rc = beacon_copy(&copy->items[i], &b->items[i])) == 0)
            copy->count++;
    if (rc != 0) {
        beacons_free(copy);
        return ERR_NOMEM;
    }
    *out = copy;
    return 0;
}

static int merge(void **into, const void *incoming, bool local_cas, int64_t now_s, void **change)
{
    struct beacons *mine = *into, *delta = mem_zalloc(sizeof *delta);
    void *copies = NULL;
    *change = NULL;
    if (delta == NULL)
        return ERR_NOMEM;
    /* All that can fail comes first. */
    if ((mine == NULL && (mine = mem_zalloc(sizeof *mine)) == NULL) ||
        delta_of(mine, incoming, local_cas, now_s * 1000, delta) != 0 ||
        clone(&copies, delta) != 0 || reserve(mine, delta->count) != 0) {
        if (*into == NULL)
            beacons_free(mine);
        beacons_free(copies);
        beacons_free(delta);
        return ERR_NOMEM;
    }
    struct beacons *own = copies;
    for (size_t i = 0; i < own->count; i++)
        set(mine, &own->items[i]);
    own->count = 0; /* the names went along */
    beacons_free(own);
    *into = mine;
    if (delta->count == 0)
        beacons_free(delta);
    else
        *change = delta;
    return 0;
}

static void free_value(void **value)
{
    beacons_free(*value);
    *value = NULL;
}

static size_t remove_tombstones(void *value, int64_t limit_s)
{
    struct beacons *b = value;
    size_t kept = 0, left = 0;
    for (size_t i = 0; i < b->count; i++) {
        wall_ms deleted = b->items[i].deleted;
        if (deleted != 0 && (limit_s == 0 || deleted / 1000 < limit_s)) {
            beacon_reset(&b->items[i]);
            continue;
        }
        left += deleted != 0 ? 1 : 0;
        b->items[kept++] = b->items[i];
    }
    b->count = kept;
    return left;
}

static bool is_empty(const void *value)
{
    return ((const struct beacons *)value)->count == 0;
}

static size_t size(const void *value)
{
    const struct beacons *b = value;
    size_t sum = sizeof *b + b->cap * sizeof *b->items;
    for (size_t i = 0; i < b->count; i++)
        sum += BLOCK_OVERHEAD + b->items[i].by.len;
    return sum;
}

static void content(const void *value, kv_name_fn each, void *arg)
{
    const struct beacons *b = value;
    for (size_t i = 0; i < b->count; i++) {
        char text[24];
        (void)snprintf(text, sizeof text, "%" PRIu64, b->items[i].id);
        each(arg, str_c(text));
    }
}

static void to_json(const void *value, struct buf *out)
{
    const struct beacons *b = value;
    struct json j = json_to(out);
    json_begin_object(&j);
    json_key(&j, "beacons");
    json_begin_object(&j);
    for (size_t i = 0; i < b->count; i++) {
        char id[24];
        (void)snprintf(id, sizeof id, "%" PRIu64, b->items[i].id);
        json_key(&j, id);
        json_begin_object(&j);
        json_key(&j, "published_at");
        json_i64(&j, b->items[i].published);
        json_key(&j, "deleted_at");
        json_i64(&j, b->items[i].deleted);
        json_key(&j, "published_by");
        json_str(&j, b->items[i].by);
        json_end_object(&j);
    }
    json_end_object(&j);
    json_end_object(&j);
}

const struct kv_codec kv_tracker_codec = {
    .id = "propagationDelayTracker",
    .decode = decode,
    .encode = encode,
    .merge = merge,
    .clone = clone,
    .free = free_value,
    .remove_tombstones = remove_tombstones,
    .is_empty = is_empty,
    .size = size,
    .content = content,
    .to_json = to_json,
};
