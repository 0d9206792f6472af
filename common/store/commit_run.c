/* The commit thread: one write and one sync per batch, then the pair (position, coverage), then
 * the waiters. It also makes segments ahead, ends a generation that failed and opens the next. */
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/record.h"
#include "store/store_priv.h"

enum { LINGER_FROM_RECORDS = 2, NOMEM_TRIES = 100 };

static const int64_t ms_ns = 1000000;

/* State of the thread itself. */
struct commit {
    struct store *s;
    bool busy;            /* the last batch had company */
    bool dirty;           /* written and not synced: STORE_SYNC_INTERVAL */
    uint32_t dirty_segment;
    int64_t sync_due_ns;
    int64_t open_due_ns;  /* when to try again to open a generation, or to make a segment */
    int64_t segment_due_ns;
    int64_t told_due_ns;  /* when to say again that there is no room */
};

void commit_wake(struct store *s)
{
    if (s->idle)
        pthread_cond_signal(&s->work);
}

void commit_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns)
{
    int64_t until = clock_mono_ns() + (ns < 0 ? 0 : ns);
    struct timespec ts = {.tv_sec = (time_t)(until / 1000000000),
                          .tv_nsec = (long)(until % 1000000000)};
    (void)pthread_cond_timedwait(cond, lock, &ts);
}

/* --- making segments and generations ---------------------------------------------------------- */

static int write_header(struct store *s, struct gen *g, struct store_file *f, uint32_t segment)
{
    uint8_t bytes[WAL_HEADER_SIZE];
    struct wal_header h = {.flags = s->c.sync == STORE_SYNC_ALWAYS ? 0 : WAL_LAX,
                           .generation = g->number,
                           .segment = segment,
                           .salt = g->salt,
                           .created = clock_wall_ms()};
    pthread_mutex_lock(&s->lock);
    memcpy(h.disk, s->catalogue->disk, sizeof h.disk);
    pthread_mutex_unlock(&s->lock);
    wal_header_put(&h, bytes);
    int rc = s->io->reserve(s->io->self, f, s->c.segment_bytes);
    if (rc == 0)
        rc = s->io->write_at(s->io->self, f, 0, bytes, sizeof bytes);
    if (rc == 0)
        rc = s->io->sync(s->io->self, f);
    return rc;
}

static int make_segment(struct store *s, struct gen *g, uint32_t segment)
{
    char path[STORE_PATH_BYTES], dir[STORE_PATH_BYTES];
    struct store_file *f;
    const uint8_t *base = NULL;
    int rc = gen_path(path, s->dir, g->number, segment);
    if (rc != 0)
        return rc;
    memcpy(dir, path, sizeof dir);
    *strrchr(dir, '/') = '\0';
    (void)s->io->unlink(s->io->self, path); /* of a try that failed */
    rc = s->io->create(s->io->self, path, &f);
    if (rc != 0)
        return rc == ERR_EXIST ? ERR_IO : rc;
    rc = write_header(s, g, f, segment);
    if (rc == 0)
        rc = s->io->sync_dir(s->io->self, dir);
    if (rc == 0)
        rc = s->io->map(s->io->self, f, s->c.segment_bytes, &base);
    if (rc == 0) {
        pthread_mutex_lock(&s->log_lock);
        rc = gen_add_segment(g, f, base, s->c.segment_bytes);
        pthread_mutex_unlock(&s->log_lock);
    }
    if (rc != 0) {
        s->io->unmap(s->io->self, base, s->c.segment_bytes);
        s->io->close(s->io->self, f);
        (void)s->io->unlink(s->io->self, path);
    }
    return rc;
}

static int put_ended(struct store *s, struct gen *g)
{
    int rc = 0;
    for (size_t i = 0; i < s->ended_count && rc == 0; i++) {
        struct buf b = {0};
        wal_pos pos;
        record_ended(s->ended[i].generation, s->ended[i].pos, &b);
        struct str piece = buf_view(&b);
        rc = b.error != 0 ? b.error : wal_put(g->wal, &piece, 1, NULL, 0, &pos);
        buf_reset(&b);
    }
    return rc;
}

static int make_generation(struct store *s, struct gen **out)
{
    struct gen *g = NULL;
    int rc = gen_init(&g, s->io, s->next_generation++, s->c.heads);
    if (rc != 0)
        return rc;
    clock_entropy(&g->salt, sizeof g->salt);
    rc = wal_init(&g->wal, g->salt, s->c.segment_bytes);
    if (rc == 0)
        rc = vector_init(&g->all);
    if (rc == 0)
        rc = put_ended(s, g);
    if (rc == 0)
        rc = make_segment(s, g, 0);
    if (rc != 0) {
        gen_unref(g);
        return rc;
    }
    *out = g;
    return 0;
}

int commit_open_generation(struct store *s)
{
    struct gen *g = NULL;
    pthread_mutex_lock(&s->log_lock);
    int rc = store_rebuild_known(s);
    pthread_mutex_unlock(&s->log_lock);
    if (rc == 0)
        rc = make_generation(s, &g);
    if (rc == 0 && (rc = catalogue_change(s, g, NULL)) != 0) {
        char path[STORE_PATH_BYTES];
        if (gen_path(path, s->dir, g->number, 0) == 0)
            (void)s->io->unlink(s->io->self, path);
        gen_unref(g);
    }
    pthread_mutex_lock(&s->log_lock);
    s->open = rc == 0 ? g : NULL;
    s->refusal = rc;
    pthread_mutex_unlock(&s->log_lock);
    return rc;
}

/* --- answering -------------------------------------------------------------------------------- */

/* Take out the waiters up to `pos`, with their result. Under log_lock. */
static void take_waiters(struct store *s, wal_pos pos, int rc, struct list *out)
{
    list_init(out);
    LIST_EACH_SAFE(it, &s->waiters) {
        struct waiter *w = LIST_ITEM(it, struct waiter, link);
        if (rc == 0 && w->pos > pos)
            break;
        w->rc = rc;
        list_remove(it);
        list_push_back(out, it);
    }
}

static void answer(struct store *s, struct list *waiters)
{
    LIST_EACH_SAFE(it, waiters) {
        struct waiter *w = LIST_ITEM(it, struct waiter, link);
        list_remove(it);
        pthread_mutex_lock(&s->lock);
        memcpy(w->info.disk, s->catalogue->disk, sizeof w->info.disk);
        pthread_mutex_unlock(&s->lock);
        w->done(w->arg, w->rc, &w->info);
        mem_free(w);
    }
}

/* Publish the pair. A moment without memory is waited out: what is synced must become visible
 * before it is acknowledged, and half of a batch's dots must not be seen. */
static void publish_pair(struct store *s, struct gen *g, const struct wal_batch *b)
{
    pthread_mutex_lock(&s->lock);
    int rc = coverage_add(&g->rows, g->head, b->dots, b->dot_count);
    for (int i = 0; rc != 0 && i < NOMEM_TRIES; i++) {
        struct timespec pause = {.tv_nsec = 10 * ms_ns};
        (void)nanosleep(&pause, NULL);
        rc = coverage_add(&g->rows, g->head, b->dots, b->dot_count);
    }
    ASSERT(rc == 0);
    g->committed = b->end;
    s->stats.batches++;
    s->stats.log_bytes += b->bytes.len;
    pthread_mutex_unlock(&s->lock);
}

/* --- ending ----------------------------------------------------------------------------------- */

static void close_files(struct gen *g)
{
    for (uint32_t i = 0; i < g->segments.count; i++) {
        struct gen_segment *seg = segs_at(&g->segments, i);
        if (seg->file != NULL)
            g->io->close(g->io->self, seg->file);
        seg->file = NULL;
    }
}

/* A write or a sync failed: the log ends at what was committed, everybody who waits is refused.
 * Under log_lock, which is released: nobody may look in between, while records are dropped and
 * their dots are still known. */
static void end_generation_locked(struct commit *c, struct gen *g, int rc)
{
    struct store *s = c->s;
    struct list waiters;
    wal_seal(g->wal);
    wal_pos end = wal_committed(g->wal);
    s->open = NULL;
    s->refusal = rc;
    head_set_limit(g->head, end);
    struct replay_ended *all =
        mem_realloc_array(s->ended, s->ended_count + 1, sizeof *s->ended);
    for (int i = 0; all == NULL && i < NOMEM_TRIES; i++)
        all = mem_realloc_array(s->ended, s->ended_count + 1, sizeof *s->ended);
    ASSERT(all != NULL);
    all[s->ended_count++] = (struct replay_ended){g->number, end};
    s->ended = all;
    take_waiters(s, 0, rc == ERR_NOSPC ? ERR_NOSPC : ERR_IO, &waiters);
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->log_lock);
    close_files(g);
    pthread_mutex_lock(&s->lock);
    s->stats.failures++;
    pthread_mutex_unlock(&s->lock);
    log_line(&s->c.log, LOG_ERROR, "the log failed; its generation ends here",
             LOG_U("generation", g->number), LOG_U("position", end), LOG_C("error", err_text(rc)));
    c->dirty = false;
    answer(s, &waiters);
}

/* --- one batch -------------------------------------------------------------------------------- */

static int sync_segment(struct commit *c, struct gen *g, uint32_t segment)
{
    struct gen_segment *seg = segs_at(&g->segments, segment);
    int64_t start = clock_mono_ns();
    int rc = c->s->io->sync(c->s->io->self, seg->file);
    pthread_mutex_lock(&c->s->lock);
    c->s->stats.syncs++;
    c->s->stats.sync_ns += (uint64_t)(clock_mono_ns() - start);
    pthread_mutex_unlock(&c->s->lock);
    return rc;
}

static int write_batch(struct commit *c, struct gen *g, const struct wal_batch *b)
{
    struct store *s = c->s;
    struct gen_segment *seg = segs_at(&g->segments, b->segment);
    int rc = s->io->write_at(s->io->self, seg->file, b->offset, b->bytes.data, b->bytes.len);
    if (rc != 0)
        return rc;
    if (s->c.sync == STORE_SYNC_ALWAYS)
        return sync_segment(c, g, b->segment);
    if (s->c.sync == STORE_SYNC_INTERVAL) {
        if (c->dirty && c->dirty_segment != b->segment)
            rc = sync_segment(c, g, c->dirty_segment);
        if (!c->dirty)
            c->sync_due_ns = clock_mono_ns() + s->c.sync_interval_ms * ms_ns;
        c->dirty = true;
        c->dirty_segment = b->segment;
    }
    return rc;
}

/* Write what waits. False when there was nothing. */
static bool commit_batch(struct commit *c)
{
    struct store *s = c->s;
    struct wal_batch b;
    struct list waiters;
    pthread_mutex_lock(&s->log_lock);
    struct gen *g = s->open;
    bool any = g != NULL && wal_next_batch(g->wal, &b);
    pthread_mutex_unlock(&s->log_lock);
    if (!any)
        return false;
    c->busy = b.records >= LINGER_FROM_RECORDS;
    int rc = write_batch(c, g, &b);
    if (rc == 0)
        publish_pair(s, g, &b);
    pthread_mutex_lock(&s->log_lock);
    wal_pos end = b.end;
    wal_batch_done(g->wal, rc);
    if (rc != 0) {
        end_generation_locked(c, g, rc);
        return true;
    }
    take_waiters(s, end, 0, &waiters);
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->log_lock);
    answer(s, &waiters);
    return true;
}

/* Each second is tried, each minute is said. */
static void complain(struct commit *c, const char *what, int rc)
{
    struct store *s = c->s;
    int64_t now = clock_mono_ns();
    if (now < c->told_due_ns)
        return;
    c->told_due_ns = now + 60000 * ms_ns;
    log_line(&s->c.log, LOG_WARN, what, LOG_C("path", s->dir),
             LOG_U("free_bytes", s->io->free_bytes(s->io->self, s->dir)),
             LOG_C("error", err_text(rc)));
}

/* Make the next segment when the last one fills up; a failure is tried again each second. */
static void make_ahead(struct commit *c)
{
    struct store *s = c->s;
    uint32_t segment;
    pthread_mutex_lock(&s->log_lock);
    struct gen *g = s->open;
    bool wanted = g != NULL && wal_wants_segment(g->wal, &segment);
    pthread_mutex_unlock(&s->log_lock);
    if (!wanted || clock_mono_ns() < c->segment_due_ns)
        return;
    int rc = make_segment(s, g, segment);
    pthread_mutex_lock(&s->log_lock);
    if (rc == 0)
        wal_segment_ready(g->wal, segment);
    else
        wal_segment_failed(g->wal, rc == ERR_NOSPC ? ERR_NOSPC : ERR_IO);
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->log_lock);
    c->segment_due_ns = rc == 0 ? 0 : clock_mono_ns() + s->c.retry_ms * ms_ns;
    if (rc != 0)
        complain(c, "no new log segment: pushes are refused when this one is full", rc);
    else if (c->told_due_ns != 0)
        log_line(&s->c.log, LOG_INFO, "a new log segment is there", LOG_U("segment", segment));
    c->told_due_ns = rc == 0 ? 0 : c->told_due_ns;
}

/* With no generation open, try to open one: at once, then each second. */
static void reopen(struct commit *c)
{
    struct store *s = c->s;
    pthread_mutex_lock(&s->log_lock);
    bool needed = s->open == NULL && !s->stopping;
    pthread_mutex_unlock(&s->log_lock);
    if (!needed || clock_mono_ns() < c->open_due_ns)
        return;
    int rc = commit_open_generation(s);
    c->open_due_ns = clock_mono_ns() + s->c.retry_ms * ms_ns;
    if (rc == 0)
        log_line(&s->c.log, LOG_INFO, "a new log generation is open",
                 LOG_U("generation", s->open->number));
    else
        complain(c, "no new log generation: pushes are refused", rc);
    c->told_due_ns = rc == 0 ? 0 : c->told_due_ns;
}

static void sync_when_due(struct commit *c, bool now)
{
    if (!c->dirty || (!now && clock_mono_ns() < c->sync_due_ns))
        return;
    struct gen *g = c->s->open;
    int rc = sync_segment(c, g, c->dirty_segment);
    c->dirty = false;
    if (rc != 0) {
        pthread_mutex_lock(&c->s->log_lock);
        end_generation_locked(c, g, rc);
    }
}

/* --- the thread ------------------------------------------------------------------------------- */

/* The last words of a generation that ends with the process. */
static int seal(struct commit *c)
{
    struct store *s = c->s;
    struct gen *g = s->open;
    if (g == NULL) /* none that failed, and none opened for want of room: nothing was at stake */
        return s->stats.failures == 0 ? 0 : s->refusal;
    char path[STORE_PATH_BYTES];
    if (wal_records(g->wal) == 0) { /* nothing in it: nothing to keep */
        close_files(g);
        for (uint32_t i = 0; i < g->segments.count; i++)
            if (gen_path(path, s->dir, g->number, i) == 0)
                (void)s->io->unlink(s->io->self, path);
        return 0;
    }
    struct buf b = {0};
    wal_pos pos;
    record_seal(g->head, wal_records(g->wal), g->profiles, &b);
    struct str piece = buf_view(&b);
    pthread_mutex_lock(&s->log_lock);
    /* Without room for it the log ends without a SEAL, which is fine too. */
    if (b.error == 0)
        (void)wal_put(g->wal, &piece, 1, NULL, 0, &pos);
    pthread_mutex_unlock(&s->log_lock);
    buf_reset(&b);
    while (commit_batch(c))
        ;
    g = s->open;
    if (g == NULL)
        return s->refusal;
    wal_pos end = wal_committed(g->wal);
    uint32_t last = wal_segment(end - 1); /* a full one ends where the next one would begin */
    struct gen_segment *seg = segs_at(&g->segments, last);
    uint32_t from = s->c.sync == STORE_SYNC_ALWAYS    ? last + 1
                    : s->c.sync == STORE_SYNC_INTERVAL ? last
                                                       : 0;
    int rc = 0;
    for (uint32_t i = from; i <= last && rc == 0; i++)
        rc = sync_segment(c, g, i);
    if (rc == 0) /* give back the room that was kept; a failure costs only that */
        (void)s->io->truncate(s->io->self, seg->file, end - wal_pos_of(last, 0));
    return rc;
}

static void wait_for_work(struct commit *c)
{
    struct store *s = c->s;
    pthread_mutex_lock(&s->log_lock);
    if (c->busy && !s->stopping) {
        commit_wait(&s->work, &s->log_lock, (int64_t)s->c.linger_us * 1000);
    } else if (!s->stopping && (s->open == NULL || wal_waiting_records(s->open->wal) == 0)) {
        int64_t ns = s->c.retry_ms * ms_ns;
        if (c->dirty)
            ns = c->sync_due_ns - clock_mono_ns();
        s->idle = true;
        commit_wait(&s->work, &s->log_lock, ns);
        s->idle = false;
    }
    pthread_mutex_unlock(&s->log_lock);
}

void *commit_thread(void *arg)
{
    struct store *s = arg;
    struct commit c = {.s = s};
    for (;;) {
        wait_for_work(&c);
        if (!commit_batch(&c))
            c.busy = false;
        sync_when_due(&c, false);
        make_ahead(&c);
        reopen(&c);
        pthread_mutex_lock(&s->log_lock);
        bool stop = s->stopping && (s->open == NULL || wal_pending(s->open->wal) == 0);
        pthread_mutex_unlock(&s->log_lock);
        if (stop)
            break;
    }
    s->close_result = seal(&c);
    return NULL;
}
