/* Framing of records and the queue of batches. */
#include "store/wal.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "wire/hash.h"

struct batch {
    struct list link;
    struct buf bytes;
    struct wal_dot *dots;
    size_t dot_count, dot_cap;
    uint32_t segment, offset, records;
    bool out;
};

struct wal {
    uint32_t salt, segment_bytes;
    struct list batches; /* oldest first */
    struct batch *spare; /* a batch kept for its buffers */
    wal_pos committed;
    uint32_t segment, offset; /* of the next record */
    uint32_t ready;           /* last segment that may be written */
    int room_error;           /* why the one after it is not there; 0: not known */
    bool starved;             /* a record did not fit, and there was no next segment */
    bool sealed;
    size_t pending;
    uint64_t records;
};

enum { SPARE_BYTES_MAX = 1 << 20 };

static const char magic[8] = {'E', 'M', 'B', 'R', 'L', 'O', 'G', '1'};

uint32_t store_crc(uint32_t crc, const void *data, size_t size)
{
    return hash_crc32c(crc, str_of(data, size));
}

/* --- little-endian ---------------------------------------------------------------------------- */

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* --- header ----------------------------------------------------------------------------------- */

void wal_header_put(const struct wal_header *h, uint8_t out[WAL_HEADER_SIZE])
{
    memset(out, 0, WAL_HEADER_SIZE);
    memcpy(out, magic, sizeof magic);
    put32(out + 8, WAL_VERSION);
    put32(out + 12, h->flags);
    put64(out + 16, h->generation);
    put32(out + 24, h->segment);
    put32(out + 28, h->salt);
    put64(out + 32, (uint64_t)h->created);
    memcpy(out + 40, h->disk, sizeof h->disk);
    put32(out + 60, store_crc(0, out, 60));
}

int wal_header_read(struct str bytes, struct wal_header *out)
{
    const uint8_t *p = (const uint8_t *)bytes.data;
    if (bytes.len < WAL_HEADER_SIZE || memcmp(p, magic, sizeof magic) != 0 ||
        get32(p + 60) != store_crc(0, p, 60))
        return ERR_CORRUPT;
    if (get32(p + 8) != WAL_VERSION || (get32(p + 12) & ~(uint32_t)WAL_LAX) != 0)
        return ERR_VERSION;
    *out = (struct wal_header){.flags = get32(p + 12),
                               .generation = get64(p + 16),
                               .segment = get32(p + 24),
                               .salt = get32(p + 28),
                               .created = (wall_ms)get64(p + 32)};
    memcpy(out->disk, p + 40, sizeof out->disk);
    return 0;
}

/* --- putting ---------------------------------------------------------------------------------- */

int wal_init(struct wal **out, uint32_t salt, uint32_t segment_bytes)
{
    ASSERT(segment_bytes <= WAL_SPAN && segment_bytes >= 4096);
    struct wal *w = mem_zalloc(sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    w->salt = salt;
    w->segment_bytes = segment_bytes;
    w->offset = WAL_HEADER_SIZE;
    w->committed = wal_pos_of(0, WAL_HEADER_SIZE);
    list_init(&w->batches);
    *out = w;
    return 0;
}

static void batch_free(struct batch *b)
{
    if (b == NULL)
        return;
    buf_reset(&b->bytes);
    mem_free(b->dots);
    mem_free(b);
}

static void drop_batches(struct wal *w)
{
    LIST_EACH_SAFE(it, &w->batches) {
        list_remove(it);
        batch_free(LIST_ITEM(it, struct batch, link));
    }
    w->pending = 0;
}

void wal_free(struct wal **wp)
{
    struct wal *w = *wp;
    if (w == NULL)
        return;
    drop_batches(w);
    batch_free(w->spare);
    mem_free(w);
    *wp = NULL;
}

static uint32_t record_size(size_t body)
{
    return (uint32_t)((WAL_PREFIX_SIZE + body + 7) / 8 * 8);
}

size_t wal_body_max(const struct wal *w)
{
    size_t room = w->segment_bytes - WAL_HEADER_SIZE - WAL_PREFIX_SIZE - 8;
    return room < WAL_BODY_MAX ? room : WAL_BODY_MAX;
}

/* The batch that takes a record at (segment, offset): the last one, unless it is out. */
static struct batch *batch_at(struct wal *w, uint32_t segment, uint32_t offset)
{
    if (!list_is_empty(&w->batches)) {
        struct batch *last = LIST_ITEM(w->batches.prev, struct batch, link);
        if (!last->out && last->segment == segment)
            return last;
    }
    struct batch *b = w->spare;
    w->spare = NULL;
    if (b == NULL)
        b = mem_zalloc(sizeof *b);
    if (b == NULL)
        return NULL;
    b->segment = segment;
    b->offset = offset;
    list_push_back(&w->batches, &b->link);
    return b;
}

static int dots_reserve(struct batch *b, size_t more)
{
    if (b->dot_count + more <= b->dot_cap)
        return 0;
    size_t cap = b->dot_cap * 2 > b->dot_count + more ? b->dot_cap * 2 : b->dot_count + more + 16;
    struct wal_dot *dots = mem_realloc_array(b->dots, cap, sizeof *dots);
    if (dots == NULL)
        return ERR_NOMEM;
    b->dots = dots;
    b->dot_cap = cap;
    return 0;
}

static uint32_t record_crc(uint32_t salt, const uint8_t *record, uint32_t length)
{
    uint8_t head[12];
    put32(head, salt);
    memcpy(head + 4, record, 4);
    memcpy(head + 8, record + 8, 4);
    return store_crc(store_crc(0, head, sizeof head), record + WAL_PREFIX_SIZE, length);
}

int wal_put(struct wal *w, const struct str *pieces, unsigned count, const struct wal_dot *dots,
            size_t dot_count, wal_pos *pos)
{
    if (w->sealed)
        return ERR_SEALED;
    size_t length = 0;
    for (unsigned i = 0; i < count; i++)
        length += pieces[i].len;
    if (length > wal_body_max(w))
        return ERR_LIMIT;
    ASSERT(length > 0);
    uint32_t size = record_size(length), segment = w->segment, offset = w->offset;
    if (offset + size > w->segment_bytes) {
        w->starved = segment + 1 > w->ready;
        if (w->starved)
            return w->room_error != 0 ? w->room_error : ERR_AGAIN;
        segment++;
        offset = WAL_HEADER_SIZE;
    }
    struct batch *b = batch_at(w, segment, offset);
    if (b == NULL || dots_reserve(b, dot_count) != 0)
        return ERR_NOMEM; /* an empty batch may stay; it is skipped */
    uint8_t *p = buf_reserve(&b->bytes, size);
    if (p == NULL) {
        b->bytes.error = 0;
        return ERR_NOMEM;
    }
    put32(p, (uint32_t)length);
    put32(p + 8, (uint32_t)b->bytes.size);
    uint8_t *at = p + WAL_PREFIX_SIZE;
    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].len > 0)
            memcpy(at, pieces[i].data, pieces[i].len);
        at += pieces[i].len;
    }
    memset(at, 0, size - WAL_PREFIX_SIZE - length);
    put32(p + 4, record_crc(w->salt, p, (uint32_t)length));
    if (dot_count > 0)
        memcpy(b->dots + b->dot_count, dots, dot_count * sizeof *dots);
    b->dot_count += dot_count;
    b->bytes.size += size;
    b->records++;
    w->records++;
    w->pending += size;
    w->segment = segment;
    w->offset = offset + size;
    *pos = wal_pos_of(segment, offset + WAL_PREFIX_SIZE);
    return 0;
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Keep one batch for its buffers, unless they grew beyond reason. */
static void retire(struct wal *w, struct batch *b)
{
    list_remove(&b->link);
    if (w->spare != NULL || b->bytes.cap > SPARE_BYTES_MAX) {
        batch_free(b);
        return;
    }
    buf_clear(&b->bytes);
    b->dot_count = 0;
    b->records = 0;
    b->out = false;
    w->spare = b;
}

bool wal_next_batch(struct wal *w, struct wal_batch *out)
{
    LIST_EACH_SAFE(it, &w->batches) {
        struct batch *b = LIST_ITEM(it, struct batch, link);
        ASSERT(!b->out);
        if (b->records == 0) { /* memory ran out before its first record */
            retire(w, b);
            continue;
        }
        b->out = true;
        *out = (struct wal_batch){.segment = b->segment,
                                  .offset = b->offset,
                                  .bytes = buf_view(&b->bytes),
                                  .dots = b->dots,
                                  .dot_count = b->dot_count,
                                  .records = b->records,
                                  .end = wal_pos_of(b->segment, b->offset + b->bytes.size)};
        return true;
    }
    return false;
}

void wal_batch_done(struct wal *w, int result)
{
    struct batch *b = LIST_ITEM(w->batches.next, struct batch, link);
    ASSERT(!list_is_empty(&w->batches) && b->out);
    if (result != 0) {
        w->sealed = true;
        drop_batches(w);
        w->segment = wal_segment(w->committed);
        w->offset = wal_offset(w->committed);
        return;
    }
    w->committed = wal_pos_of(b->segment, b->offset + b->bytes.size);
    w->pending -= b->bytes.size;
    retire(w, b);
}

void wal_seal(struct wal *w)
{
    w->sealed = true;
}

wal_pos wal_committed(const struct wal *w)
{
    return w->committed;
}

wal_pos wal_end(const struct wal *w)
{
    return wal_pos_of(w->segment, w->offset);
}

size_t wal_pending(const struct wal *w)
{
    return w->pending;
}

uint32_t wal_waiting_records(const struct wal *w)
{
    uint32_t n = 0;
    LIST_EACH(it, &w->batches) {
        const struct batch *b = LIST_ITEM(it, struct batch, link);
        n += b->out ? 0 : b->records;
    }
    return n;
}

uint64_t wal_records(const struct wal *w)
{
    return w->records;
}

/* --- segments --------------------------------------------------------------------------------- */

bool wal_wants_segment(const struct wal *w, uint32_t *segment)
{
    if (w->sealed || w->ready != w->segment || w->ready + 1 >= WAL_SEGMENTS_MAX ||
        (w->offset < w->segment_bytes / 4 * 3 && !w->starved))
        return false;
    *segment = w->ready + 1;
    return true;
}

void wal_segment_ready(struct wal *w, uint32_t segment)
{
    ASSERT(segment == w->ready + 1);
    w->ready = segment;
    w->room_error = 0;
    w->starved = false;
}

void wal_segment_failed(struct wal *w, int code)
{
    w->room_error = code;
}

int wal_room_error(const struct wal *w)
{
    return w->room_error;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The record at `at` is whole and its checksum fits. */
static bool valid_at(const struct wal_cursor *c, uint64_t at)
{
    if (at + WAL_PREFIX_SIZE > c->size)
        return false;
    const uint8_t *p = c->base + at;
    uint32_t length = get32(p), back = get32(p + 8);
    return length > 0 && length <= WAL_BODY_MAX && length <= c->size - at - WAL_PREFIX_SIZE &&
           back <= at - WAL_HEADER_SIZE && back % 8 == 0 &&
           get32(p + 4) == record_crc(c->salt, p, length);
}

int wal_read(struct wal_cursor *c, struct str *body)
{
    if (c->at + WAL_PREFIX_SIZE > c->size)
        return 0;
    const uint8_t *p = c->base + c->at;
    uint32_t length = get32(p);
    if (length == 0)
        return 0;
    if (!valid_at(c, c->at))
        return ERR_CORRUPT;
    *body = str_of(p + WAL_PREFIX_SIZE, length);
    c->body_at = c->at + WAL_PREFIX_SIZE;
    c->batch = c->at - get32(p + 8);
    c->at += record_size(length);
    return 1;
}

bool wal_has_later(const struct wal_cursor *c)
{
    for (uint64_t at = c->at + 8; at + WAL_PREFIX_SIZE <= c->size; at += 8) {
        const uint8_t *p = c->base + at;
        uint32_t length = get32(p);
        if (length == 0 || length > WAL_BODY_MAX)
            continue;
        uint32_t back = get32(p + 8);
        if (back <= at - WAL_HEADER_SIZE && at - back > c->at && valid_at(c, at))
            return true;
    }
    return false;
}

bool wal_is_zero_from(const struct wal_cursor *c)
{
    uint64_t at = c->at;
    for (; at < c->size && at % 8 != 0; at++)
        if (c->base[at] != 0)
            return false;
    for (; at + 8 <= c->size; at += 8)
        if (get64(c->base + at) != 0)
            return false;
    for (; at < c->size; at++)
        if (c->base[at] != 0)
            return false;
    return true;
}
