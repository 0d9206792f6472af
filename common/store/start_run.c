/* Starting: what is in log/ is replayed, newest generation first, and judged. Only after that is
 * said what the disk is called, and only then is anything cut back or set aside. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store_priv.h"

enum { NAME_HEX = 16, SEGMENT_HEX = 8 };

/* A file of log/. */
struct log_file {
    uint64_t generation;
    uint32_t segment;
    bool done;
};

/* A generation that was found. */
struct found {
    uint64_t number;
    uint32_t files;      /* segments 0 .. files - 1 are there */
    uint32_t beyond;     /* files behind a gap */
    uint32_t *beyond_segments;
    struct gen *gen;
    struct replay replay;
};

struct start {
    struct store *s;
    struct log_file *files;
    size_t count, cap;
    struct found *found; /* newest first */
    size_t found_count;
    struct replay_ended *ended;
    size_t ended_count;
    const char *cause;   /* why the disk needs a new name; NULL: it does not */
    int rc;
};

/* --- names ------------------------------------------------------------------------------------ */

static bool read_hex(const char *p, unsigned digits, uint64_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < digits; i++) {
        char c = p[i];
        unsigned v;
        if (c >= '0' && c <= '9')
            v = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = (unsigned)(c - 'a') + 10;
        else
            return false;
        *out = *out << 4 | v;
    }
    return true;
}

static bool parse_name(const char *name, struct log_file *out)
{
    uint64_t segment;
    struct str s = str_c(name);
    bool done = str_ends_with(s, STR(".done"));
    if (s.len != NAME_HEX + 1 + SEGMENT_HEX + (done ? 5u : 4u) ||
        (!done && !str_ends_with(s, STR(".log"))) || name[NAME_HEX] != '-' ||
        !read_hex(name, NAME_HEX, &out->generation) ||
        !read_hex(name + NAME_HEX + 1, SEGMENT_HEX, &segment))
        return false;
    out->segment = (uint32_t)segment;
    out->done = done;
    return true;
}

static int note_file(void *arg, const char *name)
{
    struct start *st = arg;
    struct log_file f;
    if (!parse_name(name, &f)) {
        log_line(&st->s->c.log, LOG_WARN, "a file in the log folder is not ours and is left alone",
                 LOG_C("file", name));
        return 0;
    }
    if (st->count == st->cap) {
        size_t cap = st->cap * 2 + 16;
        struct log_file *files = mem_realloc_array(st->files, cap, sizeof *files);
        if (files == NULL)
            return ERR_NOMEM;
        st->files = files;
        st->cap = cap;
    }
    st->files[st->count++] = f;
    return 0;
}

/* Newest generation first; in it, `.done` first, then segments in order. */
static int file_cmp(const void *a, const void *b)
{
    const struct log_file *x = a, *y = b;
    if (x->generation != y->generation)
        return x->generation > y->generation ? -1 : 1;
    if (x->done != y->done)
        return x->done ? -1 : 1;
    return x->segment < y->segment ? -1 : x->segment > y->segment;
}

static int sub_path(const struct store *s, const char *folder, uint64_t generation,
                    uint32_t segment, const char *ext, char out[STORE_PATH_BYTES])
{
    int n = snprintf(out, STORE_PATH_BYTES, "%s/%s/%016" PRIx64 "-%08" PRIx32 "%s", s->dir, folder,
                     generation, segment, ext);
    return n < 0 || n >= STORE_PATH_BYTES ? ERR_LIMIT : 0;
}

static int sync_folder(const struct store *s, const char *folder)
{
    char path[STORE_PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s", s->dir, folder);
    if (n < 0 || (size_t)n >= sizeof path)
        return ERR_LIMIT;
    return s->io->sync_dir(s->io->self, path);
}

static int remove_file(struct store *s, uint64_t generation, uint32_t segment, const char *ext)
{
    char path[STORE_PATH_BYTES];
    int rc = sub_path(s, "log", generation, segment, ext, path);
    if (rc == 0)
        rc = s->io->unlink(s->io->self, path);
    return rc == ERR_NOENT ? 0 : rc;
}

/* --- replaying -------------------------------------------------------------------------------- */

static void need_name(struct start *st, const char *cause)
{
    if (st->cause == NULL)
        st->cause = cause;
}

static void damaged(struct start *st, uint64_t generation, wal_pos pos, const char *why)
{
    char path[STORE_PATH_BYTES] = "";
    struct store *s = st->s;
    (void)sub_path(s, "log", generation, wal_segment(pos), ".log", path);
    log_line(&s->c.log, LOG_ERROR, "the log is damaged: what follows this place is lost here",
             LOG_C("file", path), LOG_U("offset", wal_offset(pos)), LOG_C("why", why));
    s->stats.corruptions++;
    need_name(st, "the log is damaged");
}

/* Open and map one segment into the generation. */
static int map_segment(struct store *s, struct gen *g, uint32_t segment,
                       struct replay_segment *out)
{
    char path[STORE_PATH_BYTES];
    struct store_file *f;
    uint64_t size = 0;
    const uint8_t *base = NULL;
    int rc = gen_path(path, s->dir, g->number, segment);
    if (rc == 0)
        rc = s->io->open(s->io->self, path, &f, &size);
    if (rc != 0)
        return rc;
    if (size > WAL_SPAN)
        size = WAL_SPAN;
    if (size > 0)
        rc = s->io->map(s->io->self, f, size, &base);
    if (rc == 0)
        rc = gen_add_segment(g, f, base, size);
    if (rc != 0) {
        s->io->unmap(s->io->self, base, size);
        s->io->close(s->io->self, f);
        return rc;
    }
    *out = (struct replay_segment){base, size};
    return 0;
}

static wal_pos limit_of(const struct start *st, uint64_t generation)
{
    wal_pos limit = WAL_POS_NONE;
    for (size_t i = 0; i < st->ended_count; i++)
        if (st->ended[i].generation == generation && st->ended[i].pos < limit)
            limit = st->ended[i].pos;
    return limit;
}

static int keep_ended(struct start *st, const struct replay *r)
{
    if (r->ended_count == 0)
        return 0;
    struct replay_ended *all =
        mem_realloc_array(st->ended, st->ended_count + r->ended_count, sizeof *all);
    if (all == NULL)
        return ERR_NOMEM;
    memcpy(all + st->ended_count, r->ended, r->ended_count * sizeof *all);
    st->ended = all;
    st->ended_count += r->ended_count;
    return 0;
}

static void report(struct start *st, const struct found *f)
{
    struct store *s = st->s;
    const struct replay *r = &f->replay;
    s->stats.replay_bytes += r->bytes;
    s->stats.replay_profiles += r->profiles;
    if (r->verdict == REPLAY_DAMAGE)
        damaged(st, f->number, r->end, r->why);
    if (f->beyond > 0)
        damaged(st, f->number, wal_pos_of(f->files, 0), "a segment is missing");
    if (r->verdict != REPLAY_TORN)
        return;
    char path[STORE_PATH_BYTES] = "";
    (void)sub_path(s, "log", f->number, wal_segment(r->end), ".log", path);
    s->stats.torn_tails++;
    s->stats.torn_bytes += r->torn_bytes;
    log_line(&s->c.log, LOG_WARN, "the log has a torn tail of records that were never acknowledged",
             LOG_C("file", path), LOG_U("offset", wal_offset(r->end)),
             LOG_U("bytes", r->torn_bytes));
    if (s->c.stopped)
        need_name(st, "the log has a torn tail after a clean stop");
}

static int replay_found(struct start *st, struct found *f, struct err *err)
{
    struct store *s = st->s;
    int rc = gen_init(&f->gen, s->io, f->number, s->c.heads);
    struct replay_segment *segments = mem_calloc((size_t)f->files + 1, sizeof *segments);
    if (rc == 0 && segments == NULL)
        rc = ERR_NOMEM;
    for (uint32_t i = 0; i < f->files && rc == 0; i++)
        rc = map_segment(s, f->gen, i, &segments[i]);
    if (rc != 0) {
        mem_free(segments);
        return err_set(err, rc, "opening the log of generation %016" PRIx64 ": %s", f->number,
                       err_text(rc));
    }
    f->replay = (struct replay){.head = f->gen->head,
                                .rows = f->gen->rows->dots,
                                .generation = f->number,
                                .limit = limit_of(st, f->number)};
    rc = replay_run(&f->replay, segments, f->files, err);
    mem_free(segments);
    if (rc == 0)
        rc = keep_ended(st, &f->replay);
    if (rc != 0)
        return rc;
    f->gen->committed = f->replay.end;
    head_set_limit(f->gen->head, f->replay.end);
    report(st, f);
    return 0;
}

/* --- finding ---------------------------------------------------------------------------------- */

/* Its blocks are done: what is left of the log goes, `.done` last. */
static int finish(struct start *st, size_t from, size_t to)
{
    int rc = 0;
    for (size_t i = from; i < to && rc == 0; i++)
        if (!st->files[i].done)
            rc = remove_file(st->s, st->files[i].generation, st->files[i].segment, ".log");
    if (rc == 0)
        rc = sync_folder(st->s, "log");
    if (rc == 0)
        rc = remove_file(st->s, st->files[from].generation, 0, ".done");
    return rc;
}

static int find(struct start *st, size_t from, size_t to, struct err *err)
{
    struct found *f = &st->found[st->found_count];
    *f = (struct found){.number = st->files[from].generation};
    while (from + f->files < to && st->files[from + f->files].segment == f->files)
        f->files++;
    f->beyond = (uint32_t)(to - from) - f->files;
    f->beyond_segments = mem_calloc((size_t)f->beyond + 1, sizeof *f->beyond_segments);
    if (f->beyond_segments == NULL)
        return ERR_NOMEM;
    st->found_count++;
    for (uint32_t i = 0; i < f->beyond; i++)
        f->beyond_segments[i] = st->files[from + f->files + i].segment;
    return replay_found(st, f, err);
}

static int find_all(struct start *st, struct err *err)
{
    char path[STORE_PATH_BYTES];
    struct store *s = st->s;
    int n = snprintf(path, sizeof path, "%s/log", s->dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return ERR_LIMIT;
    int rc = s->io->list(s->io->self, path, note_file, st);
    if (rc != 0)
        return err_set(err, rc, "listing %s: %s", path, err_text(rc));
    if (st->count > 0)
        qsort(st->files, st->count, sizeof *st->files, file_cmp);
    st->found = mem_calloc(st->count + 1, sizeof *st->found);
    if (st->found == NULL)
        return ERR_NOMEM;
    s->next_generation = st->count == 0 ? 1 : st->files[0].generation + 1;
    for (size_t from = 0, to; from < st->count && rc == 0; from = to) {
        for (to = from + 1; to < st->count; to++)
            if (st->files[to].generation != st->files[from].generation)
                break;
        rc = st->files[from].done ? finish(st, from, to) : find(st, from, to, err);
    }
    return rc;
}

/* --- clearing up ------------------------------------------------------------------------------ */

/* Copy a segment's bytes to bad/, for people. */
static int copy_aside(struct store *s, const struct gen *g, uint32_t segment)
{
    char path[STORE_PATH_BYTES];
    const struct gen_segment *seg = segs_at(&g->segments, segment);
    struct store_file *f;
    int rc = sub_path(s, "bad", g->number, segment, ".log", path);
    if (rc != 0)
        return rc;
    (void)s->io->unlink(s->io->self, path);
    rc = s->io->create(s->io->self, path, &f);
    if (rc != 0)
        return rc;
    if (seg->mapped > 0)
        rc = s->io->write_at(s->io->self, f, 0, seg->base, seg->mapped);
    if (rc == 0)
        rc = s->io->sync(s->io->self, f);
    s->io->close(s->io->self, f);
    return rc;
}

static int move_aside(struct store *s, uint64_t generation, uint32_t segment)
{
    char from[STORE_PATH_BYTES], to[STORE_PATH_BYTES];
    int rc = sub_path(s, "log", generation, segment, ".log", from);
    if (rc == 0)
        rc = sub_path(s, "bad", generation, segment, ".log", to);
    if (rc == 0)
        rc = s->io->rename(s->io->self, from, to);
    return rc;
}

/* The file in which the log ends is cut to its end, so that no later start judges it again. */
static int cut_back(struct store *s, struct found *f, bool aside)
{
    /* A full last segment ends where the next one would begin. */
    uint32_t last = wal_segment(f->replay.end - 1);
    uint64_t offset = f->replay.end - wal_pos_of(last, 0);
    if (last >= f->files)
        return 0;
    struct gen_segment *seg = segs_at(&f->gen->segments, last);
    if (seg->mapped <= offset)
        return 0;
    int rc = aside ? copy_aside(s, f->gen, last) : 0;
    if (rc == 0)
        rc = s->io->truncate(s->io->self, seg->file, offset);
    if (rc == 0)
        rc = s->io->sync(s->io->self, seg->file);
    return rc;
}

static int clear_up(struct start *st, struct found *f)
{
    struct store *s = st->s;
    bool damage = f->replay.verdict == REPLAY_DAMAGE || f->beyond > 0;
    bool empty = f->replay.records == 0;
    uint32_t keep = empty ? 0 : f->replay.used_segments;
    int rc = 0;
    if (keep > 0)
        rc = cut_back(s, f, damage);
    for (uint32_t i = keep; i < f->files && rc == 0; i++)
        rc = damage ? move_aside(s, f->number, i) : remove_file(s, f->number, i, ".log");
    for (uint32_t i = 0; i < f->beyond && rc == 0; i++)
        rc = move_aside(s, f->number, f->beyond_segments[i]);
    if (rc == 0 && damage)
        rc = sync_folder(s, "bad");
    if (rc == 0 && (keep < f->files || f->beyond > 0))
        rc = sync_folder(s, "log");
    for (uint32_t i = 0; i < f->gen->segments.count; i++) {
        struct gen_segment *seg = segs_at(&f->gen->segments, i);
        s->io->close(s->io->self, seg->file);
        seg->file = NULL;
    }
    if (rc == 0 && !empty) {
        rc = catalogue_change(s, f->gen, NULL);
        if (rc != 0)
            return rc;
        struct head *h = f->gen->head;
        f->gen = NULL; /* the catalogue's now */
        rc = shelves_add_head(s, h);
    }
    return rc;
}

/* The newest records, of which nothing may be left, were acknowledged before they were synced,
 * whatever is configured now. */
static bool was_lax(const struct start *st)
{
    for (size_t i = 0; i < st->found_count; i++)
        if (st->found[i].replay.lax || st->found[i].replay.records > 0)
            return st->found[i].replay.lax;
    return false;
}

/* The disk gets a new name before anything is cut, when it forgets. */
static int rename_disk(struct start *st, struct err *err)
{
    struct store *s = st->s;
    uint8_t disk[STORE_DISK_SIZE];
    bool lax = (s->c.sync != STORE_SYNC_ALWAYS && st->found_count > 0) || was_lax(st);
    if (lax && !s->c.stopped)
        need_name(st, "wal-sync is not always and the last stop was not clean");
    if (st->cause == NULL)
        return 0;
    memcpy(disk, s->c.disk, sizeof disk);
    int rc = s->c.identity_forget == NULL ? ERR_IO
                                          : s->c.identity_forget(s->c.arg, st->cause, disk);
    if (rc != 0)
        return err_set(err, rc, "the disk needs a new name, since %s, but it cannot be written",
                       st->cause);
    return catalogue_change(s, NULL, disk);
}

static void start_reset(struct start *st)
{
    for (size_t i = 0; i < st->found_count; i++) {
        gen_unref(st->found[i].gen);
        replay_reset(&st->found[i].replay);
        mem_free(st->found[i].beyond_segments);
    }
    mem_free(st->found);
    mem_free(st->files);
    mem_free(st->ended);
}

int start_replay(struct store *s, struct err *err)
{
    struct start st = {.s = s};
    int64_t start_ms = clock_mono_ms();
    int rc = find_all(&st, err);
    if (rc == 0)
        rc = rename_disk(&st, err);
    for (size_t i = st.found_count; i > 0 && rc == 0; i--) {
        rc = clear_up(&st, &st.found[i - 1]);
        if (rc != 0)
            err_set(err, rc, "clearing up the log of generation %016" PRIx64 ": %s",
                    st.found[i - 1].number, err_text(rc));
    }
    s->stats.replay_ms = (uint64_t)(clock_mono_ms() - start_ms);
    if (rc == 0)
        log_line(&s->c.log, LOG_INFO, "log replayed", LOG_U("generations", s->catalogue->count),
                 LOG_U("bytes", s->stats.replay_bytes),
                 LOG_U("profiles", s->stats.replay_profiles),
                 LOG_U("milliseconds", s->stats.replay_ms));
    else if (err != NULL && err->code == 0)
        err_set(err, rc, "replaying the log: %s", err_text(rc));
    start_reset(&st);
    return rc;
}
