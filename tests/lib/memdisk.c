/* Files in memory. A file's content is two arrays: what programs see, and what a power failure
 * leaves. Names are durable once their directory was synced. */
#include "memdisk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { FILES_MAX = 128, PAGE = 4096, PATH = 96 };

/* Content; shared by names and handles. */
struct node {
    uint8_t *now, *kept;
    size_t size, kept_size, cap;
    uint8_t *dirty; /* per page */
    bool locked;
};

struct entry {
    char path[PATH];
    struct node *node; /* NULL: free, or unlinked and not durably so */
    struct node *kept; /* what the name durably means; NULL: nothing */
};

struct store_file {
    struct node *node;
    bool lock;
};

struct memdisk {
    pthread_mutex_t lock;
    struct store_io io;
    struct entry entries[FILES_MAX];
    size_t count;
    struct node **nodes;
    size_t node_count;
    uint64_t calls, fail_at, fail_times;
    int fail_code;
    bool frozen;
};

static void *grab(size_t size)
{
    void *p = calloc(1, size + 1);
    if (p == NULL)
        abort();
    return p;
}

static struct node *node_new(struct memdisk *d)
{
    struct node *n = grab(sizeof *n);
    d->nodes = realloc(d->nodes, (d->node_count + 1) * sizeof *d->nodes);
    if (d->nodes == NULL)
        abort();
    d->nodes[d->node_count++] = n;
    return n;
}

/* Content never moves once it was reserved, so that mappings stay good. */
static int node_room(struct node *n, size_t size)
{
    if (size <= n->cap)
        return 0;
    size_t cap = (size + PAGE - 1) / PAGE * PAGE * (n->cap == 0 ? 1 : 2);
    uint8_t *now = grab(cap), *kept = grab(cap), *dirty = grab(cap / PAGE + 1);
    memcpy(now, n->now == NULL ? (uint8_t *)"" : n->now, n->size);
    memcpy(kept, n->kept == NULL ? (uint8_t *)"" : n->kept, n->kept_size);
    if (n->dirty != NULL)
        memcpy(dirty, n->dirty, n->cap / PAGE);
    free(n->now);
    free(n->kept);
    free(n->dirty);
    n->now = now;
    n->kept = kept;
    n->dirty = dirty;
    n->cap = cap;
    return 0;
}

static struct entry *look_up(struct memdisk *d, const char *path)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->entries[i].path, path) == 0)
            return &d->entries[i];
    return NULL;
}

static struct entry *entry_for(struct memdisk *d, const char *path)
{
    struct entry *e = look_up(d, path);
    if (e != NULL)
        return e;
    if (d->count == FILES_MAX || strlen(path) >= PATH)
        abort();
    e = &d->entries[d->count++];
    memset(e, 0, sizeof *e);
    strncpy(e->path, path, PATH - 1);
    return e;
}

/* Counts a call that changes something; the code it must fail with, or 0. */
static int step(struct memdisk *d)
{
    d->calls++;
    if (d->frozen)
        return ERR_IO;
    if (d->fail_at == 0)
        return 0;
    if (d->fail_at > 1) {
        d->fail_at--;
        return 0;
    }
    if (d->fail_times == 0)
        return 0;
    d->fail_times -= d->fail_times != UINT64_MAX;
    return d->fail_code;
}

static struct memdisk *enter(void *self)
{
    struct memdisk *d = self;
    pthread_mutex_lock(&d->lock);
    return d;
}

static int leave(struct memdisk *d, int rc)
{
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static struct store_file *handle(struct node *n)
{
    struct store_file *f = grab(sizeof *f);
    f->node = n;
    return f;
}

static int mem_create(void *self, const char *path, struct store_file **out)
{
    struct memdisk *d = enter(self);
    int rc = step(d);
    if (rc != 0)
        return leave(d, rc);
    struct entry *e = entry_for(d, path);
    if (e->node != NULL)
        return leave(d, ERR_EXIST);
    e->node = node_new(d);
    *out = handle(e->node);
    return leave(d, 0);
}

static int mem_open(void *self, const char *path, struct store_file **out, uint64_t *size)
{
    struct memdisk *d = enter(self);
    struct entry *e = look_up(d, path);
    if (d->frozen || e == NULL || e->node == NULL)
        return leave(d, d->frozen ? ERR_IO : ERR_NOENT);
    *out = handle(e->node);
    *size = e->node->size;
    return leave(d, 0);
}

static void mem_close(void *self, struct store_file *f)
{
    struct memdisk *d = enter(self);
    if (f != NULL && f->lock)
        f->node->locked = false;
    free(f);
    (void)leave(d, 0);
}

static void touch(struct node *n, size_t at, size_t size)
{
    for (size_t p = at / PAGE; size > 0 && p <= (at + size - 1) / PAGE; p++)
        n->dirty[p] = 1;
}

static int mem_reserve(void *self, struct store_file *f, uint64_t size)
{
    struct memdisk *d = enter(self);
    int rc = step(d);
    if (rc == 0) {
        (void)node_room(f->node, size);
        f->node->size = size > f->node->size ? size : f->node->size;
    }
    return leave(d, rc);
}

static int mem_write_at(void *self, struct store_file *f, uint64_t at, const void *data,
                        size_t size)
{
    struct memdisk *d = enter(self);
    int rc = step(d);
    if (rc != 0)
        size = d->frozen ? 0 : size / 2; /* a short write */
    (void)node_room(f->node, at + size);
    if (size > 0)
        memcpy(f->node->now + at, data, size);
    touch(f->node, at, size);
    f->node->size = at + size > f->node->size ? at + size : f->node->size;
    return leave(d, rc);
}

static int mem_read_at(void *self, struct store_file *f, uint64_t at, void *out, size_t size,
                       size_t *got)
{
    struct memdisk *d = enter(self);
    *got = at >= f->node->size ? 0 : f->node->size - at;
    *got = *got < size ? *got : size;
    if (*got > 0)
        memcpy(out, f->node->now + at, *got);
    return leave(d, 0);
}

static void keep_node(struct node *n)
{
    (void)node_room(n, n->size);
    if (n->size > 0)
        memcpy(n->kept, n->now, n->size);
    n->kept_size = n->size;
    if (n->cap > 0)
        memset(n->dirty, 0, n->cap / PAGE);
}

static int mem_sync(void *self, struct store_file *f)
{
    struct memdisk *d = enter(self);
    int rc = step(d);
    if (rc == 0)
        keep_node(f->node);
    return leave(d, rc);
}

static int mem_truncate(void *self, struct store_file *f, uint64_t size)
{
    struct memdisk *d = enter(self);
    int rc = step(d);
    if (rc == 0 && size < f->node->size) {
        memset(f->node->now + size, 0, f->node->size - size);
        f->node->size = size;
    }
    return leave(d, rc);
}

static int mem_map(void *self, struct store_file *f, uint64_t size, const uint8_t **out)
{
    struct memdisk *d = enter(self);
    (void)size;
    *out = f->node->now;
    return leave(d, d->frozen ? ERR_IO : 0);
}

static void mem_unmap(void *self, const uint8_t *base, uint64_t size)
{
    (void)self;
    (void)base;
    (void)size;
}

static int mem_rename(void *self, const char *from, const char *to)
{
    struct memdisk *d = enter(self);
    int rc = step(d);
    struct entry *e = look_up(d, from);
    if (rc == 0 && (e == NULL || e->node == NULL))
        rc = ERR_NOENT;
    if (rc == 0) {
        struct entry *t = entry_for(d, to);
        e = look_up(d, from);
        t->node = e->node;
        e->node = NULL;
    }
    return leave(d, rc);
}

static int mem_unlink(void *self, const char *path)
{
    struct memdisk *d = enter(self);
    int rc = step(d);
    struct entry *e = look_up(d, path);
    if (rc == 0 && (e == NULL || e->node == NULL))
        rc = ERR_NOENT;
    if (rc == 0)
        e->node = NULL;
    return leave(d, rc);
}

static int mem_make_dir(void *self, const char *path)
{
    (void)path;
    struct memdisk *d = enter(self);
    return leave(d, d->frozen ? ERR_IO : 0);
}

/* The part of the path behind "<dir>/", or NULL when it lies elsewhere. */
static const char *name_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    if (strncmp(path, dir, n) != 0 || path[n] != '/' || strchr(path + n + 1, '/') != NULL)
        return NULL;
    return path + n + 1;
}

static int mem_sync_dir(void *self, const char *path)
{
    struct memdisk *d = enter(self);
    int rc = step(d);
    for (size_t i = 0; i < d->count && rc == 0; i++)
        if (name_in(d->entries[i].path, path) != NULL)
            d->entries[i].kept = d->entries[i].node;
    return leave(d, rc);
}

static int mem_list(void *self, const char *path, store_list_fn each, void *arg)
{
    struct memdisk *d = enter(self);
    static _Thread_local char names[FILES_MAX][PATH];
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++) {
        const char *name = name_in(d->entries[i].path, path);
        if (name != NULL && d->entries[i].node != NULL)
            memcpy(names[n++], name, strlen(name) + 1);
    }
    int rc = leave(d, d->frozen ? ERR_IO : 0);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = each(arg, names[i]);
    return rc;
}

static int mem_lock(void *self, const char *path, struct store_file **out)
{
    struct memdisk *d = enter(self);
    if (d->frozen)
        return leave(d, ERR_IO);
    struct entry *e = entry_for(d, path);
    if (e->node == NULL)
        e->node = e->kept = node_new(d);
    if (e->node->locked)
        return leave(d, ERR_EXIST);
    e->node->locked = true;
    *out = handle(e->node);
    (*out)->lock = true;
    return leave(d, 0);
}

static uint64_t mem_free_bytes(void *self, const char *path)
{
    (void)self;
    (void)path;
    return 12345;
}

struct memdisk *memdisk_new(void)
{
    struct memdisk *d = grab(sizeof *d);
    pthread_mutex_init(&d->lock, NULL);
    d->io = (struct store_io){
        .self = d,
        .create = mem_create,
        .open = mem_open,
        .close = mem_close,
        .reserve = mem_reserve,
        .write_at = mem_write_at,
        .read_at = mem_read_at,
        .sync = mem_sync,
        .truncate = mem_truncate,
        .map = mem_map,
        .unmap = mem_unmap,
        .rename = mem_rename,
        .unlink = mem_unlink,
        .make_dir = mem_make_dir,
        .sync_dir = mem_sync_dir,
        .list = mem_list,
        .lock = mem_lock,
        .free_bytes = mem_free_bytes,
    };
    return d;
}

void memdisk_free(struct memdisk **dp)
{
    struct memdisk *d = *dp;
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->node_count; i++) {
        free(d->nodes[i]->now);
        free(d->nodes[i]->kept);
        free(d->nodes[i]->dirty);
        free(d->nodes[i]);
    }
    free(d->nodes);
    pthread_mutex_destroy(&d->lock);
    free(d);
    *dp = NULL;
}

const struct store_io *memdisk_io(struct memdisk *d)
{
    return &d->io;
}

uint64_t memdisk_calls(struct memdisk *d)
{
    pthread_mutex_lock(&d->lock);
    uint64_t calls = d->calls;
    pthread_mutex_unlock(&d->lock);
    return calls;
}

void memdisk_fail_at(struct memdisk *d, uint64_t n, uint64_t times, int code)
{
    (void)enter(d);
    d->fail_at = n;
    d->fail_times = times;
    d->fail_code = code;
    (void)leave(d, 0);
}

void memdisk_freeze(struct memdisk *d)
{
    (void)enter(d);
    d->frozen = true;
    (void)leave(d, 0);
}

void memdisk_thaw(struct memdisk *d)
{
    (void)enter(d);
    d->frozen = false;
    d->fail_at = 0;
    (void)leave(d, 0);
}

/* Of a file's unsynced pages each is kept or not; what was reserved and not written is zeros. */
static void lose_pages(struct node *n, struct rng *rng)
{
    if (n->cap == 0)
        return;
    for (size_t p = 0; p * PAGE < n->cap; p++) {
        if (n->dirty[p] == 0 || rng_chance(rng, 1, 2))
            continue;
        memcpy(n->now + p * PAGE, n->kept + p * PAGE, PAGE);
    }
    if (n->size < n->kept_size) { /* a cut that was not synced */
        if (rng_chance(rng, 1, 2)) {
            memcpy(n->now + n->size, n->kept + n->size, n->kept_size - n->size);
            n->size = n->kept_size;
        }
    } else if (n->size > n->kept_size && rng_chance(rng, 1, 2)) {
        memset(n->now + n->kept_size, 0, n->size - n->kept_size);
        n->size = n->kept_size;
    }
    keep_node(n);
}

void memdisk_crash(struct memdisk *d, uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    (void)enter(d);
    for (size_t i = 0; i < d->count; i++) {
        struct entry *e = &d->entries[i];
        if (e->node != e->kept && rng_chance(&rng, 1, 2))
            e->node = e->kept;
        e->kept = e->node;
    }
    for (size_t i = 0; i < d->node_count; i++) {
        lose_pages(d->nodes[i], &rng);
        d->nodes[i]->locked = false;
    }
    d->frozen = false;
    d->fail_at = 0;
    (void)leave(d, 0);
}

uint8_t *memdisk_bytes(struct memdisk *d, const char *path, size_t *size)
{
    struct entry *e = look_up(d, path);
    *size = e == NULL || e->node == NULL ? 0 : e->node->size;
    return *size == 0 ? NULL : e->node->now;
}

void memdisk_cut(struct memdisk *d, const char *path, size_t size)
{
    struct entry *e = look_up(d, path);
    if (e == NULL || e->node == NULL || size > e->node->size)
        abort();
    memset(e->node->now + size, 0, e->node->size - size);
    e->node->size = size;
    keep_node(e->node);
}

struct memdisk *memdisk_copy(struct memdisk *d)
{
    struct memdisk *c = memdisk_new();
    for (size_t i = 0; i < d->count; i++) {
        const struct entry *e = &d->entries[i];
        if (e->node == NULL)
            continue;
        struct entry *t = entry_for(c, e->path);
        t->node = t->kept = node_new(c);
        (void)node_room(t->node, e->node->size);
        if (e->node->size > 0)
            memcpy(t->node->now, e->node->now, e->node->size);
        t->node->size = e->node->size;
        keep_node(t->node);
    }
    return c;
}

void memdisk_each(struct memdisk *d, void (*each)(void *arg, const char *path), void *arg)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->entries[i].node != NULL)
            each(arg, d->entries[i].path);
}
