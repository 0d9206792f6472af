/* Opening and closing the store, and what it says about itself. */
#include "store/store.h"

#include <stdio.h>
#include <time.h>

#include "base/mem.h"
#include "store/identity.h"
#include "store/store_priv.h"

enum { BUFFER_BYTES = 32 << 20, LINGER_US = 1000, SYNC_INTERVAL_MS = 1000, RETRY_MS = 1000 };
enum { APPEND_KEPT = 2 << 20 }; /* bytes of an append's memory, at most, for the next one */

static int with_defaults(struct store *s, struct err *err)
{
    struct store_config *c = &s->c;
    c->segment_bytes = c->segment_bytes == 0 ? WAL_SPAN : c->segment_bytes;
    c->buffer_bytes = c->buffer_bytes == 0 ? BUFFER_BYTES : c->buffer_bytes;
    c->linger_us = c->linger_us == 0 ? LINGER_US : c->linger_us;
    c->sync_interval_ms = c->sync_interval_ms == 0 ? SYNC_INTERVAL_MS : c->sync_interval_ms;
    c->retry_ms = c->retry_ms == 0 ? RETRY_MS : c->retry_ms;
    if (c->segment_bytes > WAL_SPAN || c->segment_bytes < 4096 || c->segment_bytes % 8 != 0)
        return err_set(err, ERR_INVAL, "a log segment of %u bytes", c->segment_bytes);
    s->dir = str_dup_c(str_c(c->dir));
    c->dir = s->dir;
    return s->dir == NULL ? err_set(err, ERR_NOMEM, "opening the store") : 0;
}

static int init_locks(struct store *s)
{
    pthread_condattr_t attr;
    pthread_mutex_t *const locks[] = {&s->lock, &s->log_lock, &s->define_lock, &s->shelves_lock,
                                      &s->swap_lock};
    for (size_t i = 0; i < sizeof locks / sizeof *locks; i++)
        if (pthread_mutex_init(locks[i], NULL) != 0)
            return ERR_NOMEM;
    if (pthread_condattr_init(&attr) != 0)
        return ERR_NOMEM;
    int rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc |= pthread_cond_init(&s->work, &attr);
    rc |= pthread_cond_init(&s->room, &attr);
    (void)pthread_condattr_destroy(&attr);
    return rc == 0 ? 0 : ERR_NOMEM;
}

struct cleaning {
    struct store *s;
    char dir[STORE_PATH_BYTES];
};

static int remove_one(void *arg, const char *name)
{
    struct cleaning *c = arg;
    char path[STORE_PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s", c->dir, name);
    if (n > 0 && (size_t)n < sizeof path)
        (void)c->s->io->unlink(c->s->io->self, path);
    return 0;
}

/* The folders, and an empty tmp/. */
static int make_folders(struct store *s, struct err *err)
{
    static const char *const folders[] = {"log", "tmp", "bad", "tenants"};
    struct cleaning c = {.s = s};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        int n = snprintf(c.dir, sizeof c.dir, "%s/%s", s->dir, folders[i]);
        if (n < 0 || (size_t)n >= sizeof c.dir - 64)
            return err_set(err, ERR_LIMIT, "the path of the data directory is too long");
        int rc = s->io->make_dir(s->io->self, c.dir);
        if (rc != 0)
            return err_set(err, rc, "making %s: %s", c.dir, err_text(rc));
    }
    (void)snprintf(c.dir, sizeof c.dir, "%s/tmp", s->dir);
    (void)s->io->list(s->io->self, c.dir, remove_one, &c);
    int rc = s->io->sync_dir(s->io->self, s->dir);
    return rc == 0 ? 0 : err_set(err, rc, "syncing %s: %s", s->dir, err_text(rc));
}

static int lock_folder(struct store *s, struct err *err)
{
    int rc = s->c.lock != NULL ? 0 : identity_lock(s->io, s->dir, &s->lock_file);
    if (rc == ERR_EXIST)
        return err_set(err, rc, "another process uses %s", s->dir);
    return rc == 0 ? 0 : err_set(err, rc, "locking %s: %s", s->dir, err_text(rc));
}

static void store_free(struct store *s)
{
    struct catalogue *c = s->catalogue;
    shelves_free(s);
    catalogue_unref(c);
    vector_free(&s->old_rows);
    seen_reset(&s->gone);
    mem_free(s->ended);
    if (s->lock_file != NULL)
        s->io->close(s->io->self, s->lock_file);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->log_lock);
    pthread_mutex_destroy(&s->define_lock);
    pthread_mutex_destroy(&s->shelves_lock);
    pthread_mutex_destroy(&s->swap_lock);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->room);
    arenas_reset(&s->arenas);
    mem_free(s->dir);
    mem_free(s);
}

static int open_parts(struct store *s, struct err *err)
{
    int rc = with_defaults(s, err);
    if (rc == 0)
        rc = lock_folder(s, err); /* before tmp/ is emptied: it may be another's */
    if (rc == 0)
        rc = make_folders(s, err);
    if (rc != 0)
        return rc;
    identity_reserve(s->io, s->dir);
    rc = map_init(&s->shelves);
    if (rc == 0)
        rc = map_init(&s->tenants);
    if (rc == 0)
        rc = catalogue_change(s, NULL, s->c.disk);
    if (rc != 0)
        return err_set(err, rc, "opening the store: %s", err_text(rc));
    rc = seen_read(s->io, s->dir, &s->gone);
    if (rc == ERR_CORRUPT || rc == ERR_VERSION)
        log_line(&s->c.log, LOG_WARN, "the file `seen` is damaged and taken as empty",
                 LOG_C("path", s->dir));
    else if (rc != 0)
        return err_set(err, rc, "reading %s/seen: %s", s->dir, err_text(rc));
    rc = start_replay(s, err);
    if (rc != 0)
        return rc;
    rc = commit_open_generation(s);
    if (rc == ERR_NOMEM || rc == ERR_LIMIT)
        return err_set(err, rc, "opening a log generation: %s", err_text(rc));
    if (rc != 0)
        log_line(&s->c.log, LOG_ERROR, "the log cannot be written, pushes are refused",
                 LOG_C("path", s->dir), LOG_C("error", err_text(rc)));
    return 0;
}

int store_open(struct store **out, const struct store_config *c, const struct store_io *io,
               struct err *err)
{
    struct store *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "opening the store");
    err_reset(err);
    s->io = io;
    s->c = *c;
    arenas_init(&s->arenas, 0, APPEND_KEPT, c->requests);
    list_init(&s->waiters);
    int rc = init_locks(s);
    if (rc != 0) {
        mem_free(s);
        return err_set(err, rc, "making locks");
    }
    rc = open_parts(s, err);
    if (rc == 0 && pthread_create(&s->thread, NULL, commit_thread, s) != 0)
        rc = err_set(err, ERR_NOMEM, "starting the commit thread");
    if (rc != 0) {
        store_free(s);
        return rc;
    }
    s->running = true;
    *out = s;
    return 0;
}

int store_close(struct store **sp)
{
    struct store *s = *sp;
    if (s == NULL)
        return 0;
    pthread_mutex_lock(&s->log_lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->log_lock);
    (void)pthread_join(s->thread, NULL);
    int rc = s->close_result;
    store_free(s);
    *sp = NULL;
    return rc;
}

int store_rename(struct store *s, const uint8_t disk[STORE_DISK_SIZE])
{
    return catalogue_change(s, NULL, disk);
}

void store_stats(struct store *s, struct store_stats *out)
{
    struct catalogue *c = catalogue_get(s);
    pthread_mutex_lock(&s->log_lock);
    bool writable = s->open != NULL && wal_room_error(s->open->wal) == 0;
    pthread_mutex_unlock(&s->log_lock);
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
    out->writable = writable;
    out->generations = c->count;
    pthread_mutex_lock(&s->shelves_lock);
    out->tenants = map_count(s->tenants);
    pthread_mutex_unlock(&s->shelves_lock);
    out->log_bytes += out->replay_bytes;
    for (uint32_t i = 0; i < c->count; i++) {
        out->log_segments += segs_count(&c->gens[i]->segments);
        out->partitions += head_partition_count(c->gens[i]->head);
        out->streams += head_stream_count(c->gens[i]->head);
    }
    catalogue_unref(c);
}
