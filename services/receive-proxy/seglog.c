/* receive-proxy/seglog.c - segments, oldest first in a list. */
#include "seglog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "wire/hash.h"

enum {
    HEAD_SIZE = 8,
    FRAME_SIZE = 8,           /* size and CRC */
    DONE_SIZE = 1 + 8,        /* of a note */
    DATA_SIZE = 1 + 8 + 8 + 8, /* of data, without payload */
    PATH_MAX_ = 4400,
    NAME_DIGITS = 16,
};
enum { TYPE_DATA = 1, TYPE_DONE = 2 };
static const char head_text[HEAD_SIZE + 1] = "EmbQueue";
static const uint64_t file_max = (uint64_t)4 << 30;

struct segment {
    struct list link;
    uint64_t id, size;
    uint64_t live; /* data records that are needed */
    struct store_file *file; /* of the newest */
};

struct seglog {
    const struct store_io *io;
    char *dir;
    struct store_file *lock;
    struct list segments; /* oldest first */
    bool newest_is_open;  /* the last one takes records */
    bool dirty;           /* it has some that are not synced */
    int failed;           /* a sync of one that takes no more failed, and nobody was told */
    uint64_t segment_bytes, bytes, next_number, next_id, live;
    struct buf scratch;
};

static uint64_t get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = n; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

static const char *path_of(const struct seglog *l, uint64_t id, char *path)
{
    snprintf(path, PATH_MAX_, "%s/%016llx.queue", l->dir, (unsigned long long)id);
    return path;
}

static struct segment *newest(const struct seglog *l)
{
    return list_is_empty(&l->segments) ? NULL
                                       : LIST_ITEM(l->segments.prev, struct segment, link);
}

static struct segment *find(const struct seglog *l, uint64_t id)
{
    LIST_EACH(at, &l->segments) {
        struct segment *s = LIST_ITEM(at, struct segment, link);
        if (s->id == id)
            return s;
    }
    return NULL;
}

static void close_file(struct seglog *l, struct segment *s)
{
    if (s->file != NULL)
        l->io->close(l->io->self, s->file);
    s->file = NULL;
}

/* --- reading --------------------------------------------------------------------------- */

void seglog_scan(struct str bytes, uint64_t segment, seg_data_fn data, seg_done_fn done, void *arg,
                 uint64_t *good)
{
    const uint8_t *p = (const uint8_t *)bytes.data;
    *good = 0;
    if (bytes.len < HEAD_SIZE || memcmp(p, head_text, HEAD_SIZE) != 0)
        return;
    size_t at = HEAD_SIZE;
    while (bytes.len - at >= FRAME_SIZE + DONE_SIZE) {
        uint64_t size = get_le(p + at, 4), crc = get_le(p + at + 4, 4);
        if (size < DONE_SIZE || size > bytes.len - at - FRAME_SIZE)
            break;
        const uint8_t *body = p + at + FRAME_SIZE;
        uint32_t sum = hash_crc32c(hash_crc32c(0, str_of(p + at, 4)), str_of(body, size));
        bool is_data = body[0] == TYPE_DATA && size >= DATA_SIZE;
        bool is_done = body[0] == TYPE_DONE && size == DONE_SIZE;
        if (sum != crc || (!is_data && !is_done))
            break;
        uint64_t number = get_le(body + 1, 8);
        if (is_done) {
            done(arg, number);
        } else {
            struct seg_record r = {.ref = {number, segment, at, (uint32_t)size},
                                   .key = get_le(body + 9, 8),
                                   .time = (wall_ms)get_le(body + 17, 8),
                                   .payload = str_of(body + DATA_SIZE, size - DATA_SIZE)};
            data(arg, &r);
        }
        at += FRAME_SIZE + (size_t)size;
    }
    *good = at;
}

int seglog_read(struct seglog *l, const struct seg_ref *ref, struct buf *out)
{
    char path[PATH_MAX_];
    struct segment *s = find(l, ref->segment);
    uint64_t size;
    size_t got = 0, want = FRAME_SIZE + ref->size;
    int rc = s == NULL ? ERR_CORRUPT : 0;
    if (rc == 0 && s->file == NULL)
        rc = l->io->open(l->io->self, path_of(l, s->id, path), &s->file, &size);
    if (rc != 0)
        return rc == ERR_NOENT ? ERR_CORRUPT : rc; /* somebody deleted it */
    buf_clear(&l->scratch);
    uint8_t *p = buf_reserve(&l->scratch, want);
    if (p == NULL)
        return ERR_NOMEM;
    rc = l->io->read_at(l->io->self, s->file, ref->offset, p, want, &got);
    if (!l->newest_is_open || s != newest(l))
        close_file(l, s); /* a long queue has many segments */
    if (rc != 0)
        return rc;
    if (got != want || get_le(p, 4) != ref->size ||
        hash_crc32c(hash_crc32c(0, str_of(p, 4)), str_of(p + FRAME_SIZE, ref->size)) !=
            get_le(p + 4, 4))
        return ERR_CORRUPT;
    buf_put(out, p + FRAME_SIZE + DATA_SIZE, ref->size - DATA_SIZE);
    return out->error;
}

/* --- starting -------------------------------------------------------------------------- */

struct names {
    uint64_t *ids;
    size_t count, room;
    int error;
};

static int on_name(void *arg, const char *name)
{
    struct names *n = arg;
    char *end = NULL;
    if (strlen(name) != NAME_DIGITS + 6 || strcmp(name + NAME_DIGITS, ".queue") != 0)
        return 0;
    unsigned long long id = strtoull(name, &end, 16);
    if (end != name + NAME_DIGITS)
        return 0;
    if (n->count == n->room) {
        size_t room = n->room * 2 + 16;
        uint64_t *more = mem_realloc_array(n->ids, room, sizeof *more);
        if (more == NULL)
            return n->error = ERR_NOMEM;
        n->ids = more;
        n->room = room;
    }
    n->ids[n->count++] = id;
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

struct counting {
    struct seglog *log;
    struct segment *segment;
    seg_data_fn data;
    seg_done_fn done;
    void *arg;
};

static void count_data(void *arg, const struct seg_record *r)
{
    struct counting *c = arg;
    c->segment->live++;
    c->log->live++;
    if (r->ref.number >= c->log->next_number)
        c->log->next_number = r->ref.number + 1;
    c->data(c->arg, r);
}

static void count_done(void *arg, uint64_t number)
{
    struct counting *c = arg;
    if (number >= c->log->next_number)
        c->log->next_number = number + 1;
    c->done(c->arg, number);
}

static struct segment *add_segment(struct seglog *l, uint64_t id)
{
    struct segment *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->id = id;
    list_push_back(&l->segments, &s->link);
    if (id >= l->next_id)
        l->next_id = id + 1;
    return s;
}

static int cut_tail(struct seglog *l, struct segment *s, uint64_t good)
{
    char path[PATH_MAX_];
    struct store_file *f = NULL;
    uint64_t size;
    int rc = l->io->open(l->io->self, path_of(l, s->id, path), &f, &size);
    if (rc != 0)
        return rc;
    rc = l->io->truncate(l->io->self, f, good);
    if (rc == 0)
        rc = l->io->sync(l->io->self, f);
    l->io->close(l->io->self, f);
    return rc;
}

static int load_segment(struct seglog *l, uint64_t id, struct counting *c, struct seg_found *found)
{
    char path[PATH_MAX_];
    struct buf bytes = {0};
    uint64_t good = 0;
    struct segment *s = add_segment(l, id);
    if (s == NULL)
        return ERR_NOMEM;
    int rc = io_read_file(l->io, path_of(l, id, path), file_max, &bytes);
    if (rc == 0) {
        c->segment = s;
        seglog_scan(buf_view(&bytes), id, count_data, count_done, c, &good);
        found->segments++;
        found->torn_bytes += bytes.size - good;
        if (good < bytes.size)
            rc = cut_tail(l, s, good);
        s->size = good;
        l->bytes += good;
    }
    buf_reset(&bytes);
    return rc;
}

/* Make the directory, and make that durable: what is synced in it is found through its parent. One
 * that we may not read was not the place of a new directory either. */
static int make_dir(const struct seglog *l)
{
    char parent[PATH_MAX_];
    int rc = l->io->make_dir(l->io->self, l->dir);
    if (rc != 0)
        return rc;
    snprintf(parent, sizeof parent, "%s", l->dir);
    char *slash = strrchr(parent, '/');
    if (slash != NULL)
        slash[slash == parent ? 1 : 0] = '\0';
    (void)l->io->sync_dir(l->io->self, slash == NULL ? "." : parent);
    return 0;
}

int seglog_open(struct seglog **out, const struct store_io *io, struct str dir,
                uint64_t segment_bytes, seg_data_fn data, seg_done_fn done, void *arg,
                struct seg_found *found, struct err *err)
{
    char path[PATH_MAX_];
    struct names names = {0};
    struct seglog *l = mem_zalloc(sizeof *l);
    *found = (struct seg_found){0};
    if (l == NULL || (l->dir = str_dup_c(dir)) == NULL) {
        mem_free(l);
        return err_set(err, ERR_NOMEM, "no memory for a queue");
    }
    l->io = io;
    l->segment_bytes = segment_bytes;
    l->next_number = 1;
    l->next_id = 1;
    list_init(&l->segments);
    struct counting c = {.log = l, .data = data, .done = done, .arg = arg};
    int rc = make_dir(l);
    snprintf(path, sizeof path, "%s/lock", l->dir);
    if (rc == 0)
        rc = io->lock(io->self, path, &l->lock);
    if (rc == 0)
        rc = io->list(io->self, l->dir, on_name, &names);
    rc = names.error != 0 ? names.error : rc;
    if (rc == 0 && names.count > 0)
        qsort(names.ids, names.count, sizeof *names.ids, compare_ids);
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        rc = load_segment(l, names.ids[i], &c, found);
    mem_free(names.ids);
    if (rc != 0) {
        err_set(err, rc, "queue in %s: %s", l->dir,
                rc == ERR_EXIST ? "another process has it" : err_text(rc));
        seglog_close(&l);
        return rc;
    }
    *out = l;
    return 0;
}

void seglog_close(struct seglog **lp)
{
    struct seglog *l = *lp;
    struct list *at;
    if (l == NULL)
        return;
    while ((at = list_first(&l->segments)) != NULL) {
        struct segment *s = LIST_ITEM(at, struct segment, link);
        list_remove(at);
        close_file(l, s);
        mem_free(s);
    }
    if (l->lock != NULL)
        l->io->close(l->io->self, l->lock);
    buf_reset(&l->scratch);
    mem_free(l->dir);
    mem_free(l);
    *lp = NULL;
}

/* --- writing --------------------------------------------------------------------------- */

/* Take no more records into the newest segment. What is in it must be durable before a later
 * seglog_sync() succeeds. */
static void seal(struct seglog *l)
{
    struct segment *s = newest(l);
    if (l->newest_is_open && s != NULL) {
        int rc = l->dirty ? l->io->sync(l->io->self, s->file) : 0;
        l->failed = rc != 0 ? rc : l->failed;
        close_file(l, s);
    }
    l->newest_is_open = l->dirty = false;
}

static int begin_segment(struct seglog *l)
{
    char path[PATH_MAX_];
    struct store_file *f = NULL;
    seal(l);
    uint64_t id = l->next_id++; /* not again, should something of a failure be left */
    int rc = l->io->create(l->io->self, path_of(l, id, path), &f);
    if (rc != 0)
        return rc;
    rc = l->io->write_at(l->io->self, f, 0, head_text, HEAD_SIZE);
    if (rc == 0)
        rc = l->io->sync_dir(l->io->self, l->dir);
    struct segment *s = rc == 0 ? add_segment(l, id) : NULL;
    if (s == NULL) {
        l->io->close(l->io->self, f);
        l->io->unlink(l->io->self, path);
        return rc == 0 ? ERR_NOMEM : rc;
    }
    s->file = f;
    s->size = HEAD_SIZE;
    l->bytes += HEAD_SIZE;
    l->newest_is_open = true;
    return 0;
}

static void drop_segment(struct seglog *l, struct segment *s)
{
    char path[PATH_MAX_];
    if (s == newest(l))
        l->newest_is_open = l->dirty = false;
    close_file(l, s);
    l->io->unlink(l->io->self, path_of(l, s->id, path));
    l->bytes -= s->size;
    list_remove(&s->link);
    mem_free(s);
}

static int append(struct seglog *l, struct seg_ref *ref)
{
    struct segment *s = newest(l);
    struct buf *b = &l->scratch;
    if (b->error != 0)
        return b->error;
    int rc = 0;
    if (!l->newest_is_open || (s->size > HEAD_SIZE && s->size + b->size > l->segment_bytes))
        rc = begin_segment(l);
    if (rc != 0)
        return rc;
    s = newest(l);
    rc = l->io->write_at(l->io->self, s->file, s->size, b->data, b->size);
    if (rc != 0) {
        l->io->truncate(l->io->self, s->file, s->size);
        if (s->size == HEAD_SIZE)
            drop_segment(l, s); /* or a full disk gets one for every request */
        else
            seal(l); /* what is there behind its end is a torn tail */
        return rc;
    }
    ref->segment = s->id;
    ref->offset = s->size;
    ref->size = (uint32_t)(b->size - FRAME_SIZE);
    s->size += b->size;
    l->bytes += b->size;
    l->dirty = true;
    return 0;
}

/* Fill in size and CRC of the record in scratch. */
static void frame(struct buf *b)
{
    if (b->error != 0)
        return;
    size_t size = b->size - FRAME_SIZE;
    for (size_t i = 0; i < 4; i++)
        b->data[i] = (uint8_t)(size >> 8 * i);
    uint32_t crc = hash_crc32c(hash_crc32c(0, str_of(b->data, 4)),
                               str_of(b->data + FRAME_SIZE, size));
    for (size_t i = 0; i < 4; i++)
        b->data[4 + i] = (uint8_t)(crc >> 8 * i);
}

int seglog_append(struct seglog *l, uint64_t key, wall_ms time, struct str payload,
                  struct seg_ref *ref)
{
    struct buf *b = &l->scratch;
    buf_clear(b);
    if (payload.len > UINT32_MAX / 2)
        return ERR_LIMIT;
    buf_u64le(b, 0);
    buf_u8(b, TYPE_DATA);
    buf_u64le(b, l->next_number);
    buf_u64le(b, key);
    buf_u64le(b, (uint64_t)time);
    buf_str(b, payload);
    frame(b);
    int rc = append(l, ref);
    if (rc != 0)
        return rc;
    ref->number = l->next_number++;
    newest(l)->live++;
    l->live++;
    return 0;
}

int seglog_sync(struct seglog *l)
{
    int rc = l->failed;
    l->failed = 0;
    if (!l->newest_is_open || !l->dirty)
        return rc;
    int now = l->io->sync(l->io->self, newest(l)->file);
    l->dirty = false; /* a failed sync is not repeated: it could succeed without its pages */
    if (now != 0)
        seal(l);
    return rc != 0 ? rc : now;
}

/* The oldest ones without needed records; the newest too when nothing at all is needed and it has
 * grown. */
void seglog_trim(struct seglog *l)
{
    struct list *at;
    while ((at = list_first(&l->segments)) != NULL) {
        struct segment *s = LIST_ITEM(at, struct segment, link);
        bool keep = s == newest(l) && l->newest_is_open && s->size < l->segment_bytes / 4;
        if (s->live > 0 || keep)
            return;
        drop_segment(l, s);
    }
}

static bool forget(struct seglog *l, const struct seg_ref *ref)
{
    struct segment *s = find(l, ref->segment);
    if (s == NULL || s->live == 0)
        return false;
    s->live--;
    l->live--;
    return true;
}

void seglog_forget(struct seglog *l, const struct seg_ref *ref)
{
    forget(l, ref);
}

void seglog_done(struct seglog *l, const struct seg_ref *ref)
{
    struct seg_ref note;
    if (!forget(l, ref))
        return;
    buf_clear(&l->scratch);
    buf_u64le(&l->scratch, 0);
    buf_u8(&l->scratch, TYPE_DONE);
    buf_u64le(&l->scratch, ref->number);
    frame(&l->scratch);
    if (l->live > 0 || l->newest_is_open)
        append(l, &note); /* a lost note costs one more request, nothing else */
    seglog_trim(l);
}

uint64_t seglog_bytes(const struct seglog *l)
{
    return l->bytes;
}

uint64_t seglog_oldest(const struct seglog *l)
{
    return list_is_empty(&l->segments) ? 0
                                       : LIST_ITEM(l->segments.next, struct segment, link)->id;
}
