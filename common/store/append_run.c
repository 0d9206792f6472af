/* Appending a push: decide per profile whether it is new, intern, put records, and wait.
 *
 * First everything that can fail without a trace (reading, looking up, interning, making room),
 * then the records. A push is divided by service; all its shelves are locked together, in the order
 * of their ids, so that nothing is put before all of it is known to fit. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/append_priv.h"
#include "store/record.h"

enum {
    ROOM_WAIT_MS = 5000,   /* for a segment that is being made */
    BUFFER_WAIT_MS = 1000, /* for the disk to take what waits */
    RECORD_ROOM = 64,      /* of a PUSH record beside symbols and rows */
};

/* --- defining --------------------------------------------------------------------------------- */

static int lane_id(struct push *p, struct lane_name name, uint32_t *id)
{
    uint32_t set;
    int rc = head_set(p->g->head, name.set, name.set_count, &set, NULL);
    return rc != 0 ? rc : head_lane(p->g->head, name.writer, set, id, NULL);
}

static int define_item(struct push *p, struct group *g, struct item *it)
{
    const struct form_profile *fp = it->p;
    uint32_t *lane = &p->lanes[fp->lane];
    int rc = 0;
    if (*lane == UINT32_MAX)
        rc = lane_id(p, form_lane_name(&g->form->lanes[fp->lane]), lane);
    if (rc != 0)
        return rc;
    if (it->fate == FATE_REPEAT) {
        it->alias = (struct head_alias){.time_ns = fp->time_ns,
                                        .repeat_lane = *lane,
                                        .repeat_seq = fp->seq,
                                        .row_seq = it->row_seq};
        return lane_id(p, it->row_lane, &it->alias.row_lane);
    }
    rc = head_use_lane(p->g->head, p->head_tenant, *lane);
    if (rc != 0)
        return rc;
    struct head_stream *s = shelf_find(g->shelf, it->stream_hash, fp->members, fp->member_count,
                                       fp->pairs, fp->pair_count);
    if (s == NULL || s->head != p->g->head) {
        rc = head_add_stream(p->g->head, g->partition, fp->members, fp->member_count, fp->pairs,
                             fp->pair_count, &s);
        if (rc == 0)
            rc = shelf_put(g->shelf, s);
    }
    it->stream = s;
    return rc;
}

static int define_group(struct push *p, struct group *g)
{
    int rc = 0;
    if (g->rows > 0)
        rc = head_partition(p->g->head, p->head_tenant, g->service, &g->partition, NULL);
    for (uint32_t i = 0; i < g->count && rc == 0; i++)
        if (g->items[i].fate != FATE_KNOWN)
            rc = define_item(p, g, &g->items[i]);
    return rc;
}

static int define_cover(struct push *p)
{
    int rc = 0;
    for (uint32_t i = 0; p->cover != NULL && i < vector_count(p->cover) && rc == 0; i++)
        if (vector_seqs(p->cover, i)->count > 0)
            rc = lane_id(p, vector_name(p->cover, i), &p->cover_lanes[i]);
    return rc;
}

/* --- putting ---------------------------------------------------------------------------------- */

/* Put one record. Under log_lock, which is given up while the next segment is being made. */
static int put_locked(struct push *p, const struct str *pieces, unsigned count,
                      const struct wal_dot *dots, size_t dot_count, wal_pos *pos)
{
    int64_t until = clock_mono_ms() + ROOM_WAIT_MS;
    for (;;) {
        int rc = wal_put(p->g->wal, pieces, count, dots, dot_count, pos);
        if (rc == 0)
            p->put_any = true;
        if (rc == ERR_SEALED)
            return push_ended_code(p->s);
        if (rc != ERR_AGAIN)
            return rc;
        if (clock_mono_ms() >= until)
            return ERR_IO;
        commit_wake(p->s);
        commit_wait(&p->s->room, &p->s->log_lock, 100 * 1000000ll);
    }
}

static int put_record(struct push *p, const struct buf *b)
{
    wal_pos pos;
    struct str piece = buf_view(b);
    if (b->error != 0)
        return b->error;
    pthread_mutex_lock(&p->s->log_lock);
    int rc = put_locked(p, &piece, 1, NULL, 0, &pos);
    pthread_mutex_unlock(&p->s->log_lock);
    return rc;
}

typedef void (*define_fn)(const struct head *h, uint32_t id, struct buf *out);

static void put_tenant(const struct head *h, uint32_t id, struct buf *out)
{
    record_tenant(head_tenant_at(h, id), out);
}

static void put_partition(const struct head *h, uint32_t id, struct buf *out)
{
    record_partition(head_partition_at(h, id), out);
}

static void put_stream(const struct head *h, uint32_t id, struct buf *out)
{
    record_stream(head_stream_at(h, id), out);
}

static int log_kind(struct push *p, uint32_t *logged, uint32_t count, define_fn put)
{
    while (*logged < count) {
        struct buf b = {0};
        put(p->g->head, *logged, &b);
        int rc = put_record(p, &b);
        buf_reset(&b);
        if (rc != 0)
            return rc;
        ++*logged;
    }
    return 0;
}

/* DEFINE of all that the log does not have yet, an earlier push that failed included. */
static int log_definitions(struct push *p)
{
    struct gen *g = p->g;
    int rc = log_kind(p, &g->logged.tenants, head_tenant_count(g->head), put_tenant);
    if (rc == 0)
        rc = log_kind(p, &g->logged.partitions, head_partition_count(g->head), put_partition);
    if (rc == 0)
        rc = log_kind(p, &g->logged.streams, head_stream_count(g->head), put_stream);
    if (rc == 0)
        rc = log_kind(p, &g->logged.sets, head_set_count(g->head), record_set);
    if (rc == 0)
        rc = log_kind(p, &g->logged.lanes, head_lane_count(g->head), record_lane);
    return rc;
}

static int define_all(struct push *p)
{
    pthread_mutex_lock(&p->s->define_lock);
    int rc = head_tenant(p->g->head, p->tenant_name, &p->head_tenant, NULL);
    for (uint32_t i = 0; i < p->group_count && rc == 0; i++)
        rc = define_group(p, &p->groups[i]);
    if (rc == 0)
        rc = define_cover(p);
    if (rc == 0)
        rc = log_definitions(p);
    pthread_mutex_unlock(&p->s->define_lock);
    p->put_any = false; /* definitions are not seen */
    return rc;
}

/* Intern the group's symbols and write its entries into memory. */
static int build_group(struct push *p, struct group *g)
{
    struct part_ids ids;
    if (g->rows == 0)
        return 0;
    int rc = part_intern(g->partition->part, g->form, p->arena, &ids);
    for (uint32_t i = 0; i < g->count && rc == 0; i++) {
        struct item *it = &g->items[i];
        if (it->fate != FATE_ROW)
            continue;
        it->at = g->bytes.size;
        rc = row_put(it->p, ids.nodes, it->stream->id, p->lanes[it->p->lane], p->arena, &g->bytes,
                     &it->made);
        it->length = (uint32_t)(g->bytes.size - it->at);
        if (rc == 0 && g->bytes.size - it->at > wal_body_max(p->g->wal) - RECORD_ROOM)
            rc = err_set(p->err, ERR_LIMIT, "a profile of %zu bytes is larger than a log record",
                         g->bytes.size - it->at);
    }
    return rc;
}

/* Symbols that do not fit beside the rows go ahead, in records without rows. What is left is in
 * *rest; *mark is what the log has once that is put. */
static int put_symbols(struct push *p, struct group *g, size_t first_row, struct buf *rest,
                       struct part_counts *mark)
{
    struct head_partition *part = g->partition;
    size_t body = wal_body_max(p->g->wal), half = body / 2;
    size_t room = half < RECORD_SYMBOLS_MAX ? half : RECORD_SYMBOLS_MAX;
    for (;;) {
        struct part_counts next = part->logged, now = part_counts(part->part);
        if (memcmp(&next, &now, sizeof now) == 0)
            return 0;
        buf_clear(rest);
        bool more = part_put_symbols(part->part, &next, room, rest);
        if (rest->error != 0)
            return rest->error;
        *mark = next;
        if (!more && rest->size + first_row + RECORD_ROOM <= body)
            return 0;
        struct buf b = {0};
        record_push(part->id, buf_view(rest), 0, &b);
        int rc = put_record(p, &b);
        buf_reset(&b);
        if (rc != 0)
            return rc;
        part->logged = next;
        buf_clear(rest);
    }
}

static void add_entry(struct push *p, const struct item *it, wal_pos pos)
{
    uint32_t lane = p->lanes[it->p->lane];
    struct head_entry e = {.time_ns = it->p->time_ns,
                           .pos = pos,
                           .length = it->length,
                           .samples = it->made.samples,
                           .lane = lane,
                           .seq = it->p->seq,
                           .nonce = it->p->nonce};
    head_add_entry(it->stream, &e, it->made.totals);
    /* Without memory the dot is still found by its key. */
    uint32_t index;
    if (vector_lane(p->g->all, head_lane_at(p->g->head, lane)->name, &index) == 0)
        (void)vector_add(p->g->all, index, it->p->seq, it->p->seq);
    p->waiter->info.rows++;
    p->waiter->info.samples += it->made.samples;
}

static void unreserve(struct group *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (g->items[i].stream != NULL)
            head_unreserve(g->items[i].stream);
}

/* Rows from item *next on, as many as one record takes, with the symbols before them. */
static int put_rows(struct push *p, struct group *g, uint32_t *next, struct str symbols)
{
    size_t room = wal_body_max(p->g->wal) - RECORD_ROOM - symbols.len, bytes = 0;
    uint32_t n = 0, end = *next;
    size_t from = SIZE_MAX;
    for (; end < g->count; end++) {
        struct item *it = &g->items[end];
        if (it->fate != FATE_ROW)
            continue;
        if (bytes + it->length > room)
            break;
        int rc = head_reserve_entry(it->stream);
        if (rc != 0) {
            unreserve(g);
            return rc;
        }
        from = from == SIZE_MAX ? it->at : from;
        bytes += it->length;
        n++;
    }
    struct wal_dot *dots = arena_alloc(p->arena, sizeof *dots * ((size_t)n + 1));
    struct buf head = {0};
    record_push(g->partition->id, symbols, n, &head);
    if (dots == NULL || head.error != 0) {
        buf_reset(&head);
        unreserve(g);
        return ERR_NOMEM;
    }
    for (uint32_t i = *next, k = 0; i < end; i++)
        if (g->items[i].fate == FATE_ROW)
            dots[k++] = (struct wal_dot){p->lanes[g->items[i].p->lane], g->items[i].p->seq};
    struct str pieces[2] = {buf_view(&head), str_of(g->bytes.data + from, bytes)};
    wal_pos pos;
    pthread_mutex_lock(&p->s->log_lock);
    int rc = put_locked(p, pieces, 2, dots, n, &pos);
    for (uint32_t i = *next; i < end && rc == 0; i++)
        if (g->items[i].fate == FATE_ROW)
            add_entry(p, &g->items[i], pos + head.size + (g->items[i].at - from));
    p->g->profiles += rc == 0 ? n : 0;
    pthread_mutex_unlock(&p->s->log_lock);
    buf_reset(&head);
    if (rc != 0)
        unreserve(g);
    *next = end;
    return rc;
}

static int put_group(struct push *p, struct group *g)
{
    if (g->rows == 0)
        return 0;
    uint32_t next = 0;
    while (g->items[next].fate != FATE_ROW)
        next++;
    struct buf symbols = {0};
    struct part_counts mark = g->partition->logged;
    int rc = put_symbols(p, g, g->items[next].length, &symbols, &mark);
    uint32_t left = g->rows;
    while (left > 0 && rc == 0) {
        uint32_t before = p->waiter->info.rows;
        rc = put_rows(p, g, &next, buf_view(&symbols));
        left -= p->waiter->info.rows - before;
        if (rc == 0) {
            g->partition->logged = mark;
            buf_clear(&symbols);
        }
    }
    buf_reset(&symbols);
    return rc;
}

static int put_aliases(struct push *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->group_count; i++)
        n += p->groups[i].repeats;
    if (n == 0)
        return 0;
    struct buf b = {0};
    record_alias(n, &b);
    for (uint32_t i = 0; i < p->group_count; i++)
        for (uint32_t k = 0; k < p->groups[i].count; k++)
            if (p->groups[i].items[k].fate == FATE_REPEAT)
                record_alias_entry(p->head_tenant->id, &p->groups[i].items[k].alias, &b);
    struct str piece = buf_view(&b);
    wal_pos pos;
    pthread_mutex_lock(&p->s->define_lock); /* the list is the tenant's, of all its services */
    int rc = b.error != 0 ? b.error : head_reserve_aliases(p->head_tenant, n);
    pthread_mutex_lock(&p->s->log_lock);
    if (rc == 0)
        rc = put_locked(p, &piece, 1, NULL, 0, &pos);
    for (uint32_t i = 0; i < p->group_count && rc == 0; i++) {
        for (uint32_t k = 0; k < p->groups[i].count; k++) {
            struct item *it = &p->groups[i].items[k];
            if (it->fate != FATE_REPEAT)
                continue;
            it->alias.pos = pos;
            head_add_alias(p->head_tenant, &it->alias);
            uint32_t lane; /* without memory it is found by its key again: one more alias */
            struct lane_name name = head_lane_at(p->g->head, it->alias.repeat_lane)->name;
            if (vector_lane(p->tenant->extra, name, &lane) == 0)
                (void)vector_add(p->tenant->extra, lane, it->alias.repeat_seq,
                                 it->alias.repeat_seq);
        }
    }
    pthread_mutex_unlock(&p->s->log_lock);
    pthread_mutex_unlock(&p->s->define_lock);
    buf_reset(&b);
    return rc;
}

static int put_cover(struct push *p)
{
    uint32_t lanes = 0;
    for (uint32_t i = 0; p->cover != NULL && i < vector_count(p->cover); i++)
        lanes += vector_seqs(p->cover, i)->count > 0;
    if (lanes == 0)
        return 0;
    struct buf b = {0};
    record_cover(p->head_tenant->id, lanes, &b);
    for (uint32_t i = 0; i < vector_count(p->cover); i++)
        if (vector_seqs(p->cover, i)->count > 0)
            record_cover_lane(p->cover_lanes[i], vector_seqs(p->cover, i), &b);
    struct str piece = buf_view(&b);
    wal_pos pos;
    pthread_mutex_lock(&p->s->define_lock);
    pthread_mutex_lock(&p->s->log_lock);
    int rc = b.error != 0 ? b.error : put_locked(p, &piece, 1, NULL, 0, &pos);
    for (uint32_t i = 0; i < vector_count(p->cover) && rc == 0; i++) {
        struct seqset copy = {0};
        if (vector_seqs(p->cover, i)->count == 0)
            continue;
        rc = seqset_copy(&copy, vector_seqs(p->cover, i));
        if (rc == 0)
            rc = head_add_cover(p->g->head, p->head_tenant, pos, p->cover_lanes[i], &copy);
        seqset_reset(&copy);
    }
    if (rc == 0)
        (void)vector_union(p->tenant->extra, p->cover);
    pthread_mutex_unlock(&p->s->log_lock);
    pthread_mutex_unlock(&p->s->define_lock);
    buf_reset(&b);
    return rc;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* The open generation, once what waits for the disk is not too much. */
static int enter(struct push *p)
{
    struct store *s = p->s;
    int64_t until = clock_mono_ms() + BUFFER_WAIT_MS;
    pthread_mutex_lock(&s->log_lock);
    while (s->open != NULL && !s->stopping && wal_pending(s->open->wal) > s->c.buffer_bytes &&
           clock_mono_ms() < until)
        commit_wait(&s->room, &s->log_lock, 100 * 1000000ll);
    int rc = 0;
    if (s->stopping)
        rc = err_set(p->err, ERR_CLOSED, "the store is closing");
    else if (s->open == NULL && s->refusal == ERR_NOSPC)
        rc = ERR_NOSPC;
    else if (s->open == NULL)
        rc = err_set(p->err, ERR_IO, "the log in %s cannot be written: %s", s->dir,
                     err_text(s->refusal));
    else if (wal_pending(s->open->wal) > s->c.buffer_bytes)
        rc = err_set(p->err, ERR_LIMIT, "%zu bytes wait for the disk",
                     wal_pending(s->open->wal));
    if (rc == 0) {
        p->g = s->open;
        gen_ref(p->g);
    }
    pthread_mutex_unlock(&s->log_lock);
    return rc;
}

static void lock_shelves(struct push *p)
{
    for (; p->locked < p->group_count; p->locked++)
        pthread_mutex_lock(&p->groups[p->locked].shelf->lock);
}

static void unlock_shelves(struct push *p)
{
    while (p->locked > 0)
        pthread_mutex_unlock(&p->groups[--p->locked].shelf->lock);
}

static int prepare(struct push *p, struct str form)
{
    int rc = arenas_take(&p->s->arenas, &p->arena);
    if (rc == 0)
        rc = form_open(&p->form, form, &p->s->c.form, p->arena, p->err);
    if (rc == 0)
        rc = push_check(p);
    if (rc == 0)
        rc = tenant_get(p->s, p->tenant_name, &p->tenant);
    if (rc == 0)
        rc = push_divide(p);
    if (rc != 0)
        return rc;
    p->lanes = arena_alloc(p->arena, sizeof *p->lanes * ((size_t)p->form.lane_count + 1));
    p->waiter = mem_zalloc(sizeof *p->waiter);
    if (p->lanes == NULL || p->waiter == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < p->form.lane_count; i++)
        p->lanes[i] = UINT32_MAX;
    return 0;
}

static bool has_news(const struct push *p)
{
    bool news = p->cover != NULL && !vector_is_empty(p->cover);
    for (uint32_t i = 0; i < p->group_count; i++)
        news = news || p->groups[i].rows + p->groups[i].repeats > 0;
    return news;
}

static int store_push(struct push *p)
{
    int rc = push_judge(p);
    if (rc == 0 && p->complete != NULL && !vector_is_empty(p->complete))
        rc = push_plan_cover(p);
    if (rc != 0 || !has_news(p))
        return rc;
    rc = define_all(p);
    for (uint32_t i = 0; i < p->group_count && rc == 0; i++)
        rc = build_group(p, &p->groups[i]);
    for (uint32_t i = 0; i < p->group_count && rc == 0; i++)
        rc = put_group(p, &p->groups[i]);
    if (rc == 0)
        rc = put_aliases(p);
    if (rc == 0)
        rc = put_cover(p);
    /* Once a part is in the log the push cannot be said to have left no trace. */
    return rc != 0 && rc != ERR_NOSPC && p->put_any ? ERR_IO : rc;
}

/* Wait for all that was put so far: it includes pending rows that this push found. */
static void await(struct push *p, store_done_fn done, void *arg)
{
    struct store *s = p->s;
    struct waiter *w = p->waiter;
    p->waiter = NULL;
    w->done = done;
    w->arg = arg;
    for (uint32_t i = 0; i < p->group_count; i++) {
        const struct group *g = &p->groups[i];
        w->info.repeats += g->repeats;
        w->info.known += g->count - g->rows - g->repeats;
    }
    pthread_mutex_lock(&s->lock);
    memcpy(w->info.disk, s->catalogue->disk, sizeof w->info.disk);
    s->stats.profiles += w->info.rows;
    s->stats.samples += w->info.samples;
    s->stats.known += w->info.known;
    s->stats.repeats += w->info.repeats;
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_lock(&s->log_lock);
    w->pos = wal_end(p->g->wal);
    bool waits = p->g == s->open && w->pos > wal_committed(p->g->wal);
    /* Its generation ended meanwhile: what was put may be lost. */
    w->rc = p->g == s->open ? 0 : push_ended_code(s);
    if (waits) {
        list_push_back(&s->waiters, &w->link);
        commit_wake(s);
    }
    pthread_mutex_unlock(&s->log_lock);
    if (waits)
        return;
    w->done(w->arg, w->rc, &w->info);
    mem_free(w);
}

static void push_reset(struct push *p)
{
    for (uint32_t i = 0; i < p->group_count; i++) {
        buf_reset(&p->groups[i].bytes);
        buf_reset(&p->groups[i].own_bytes);
    }
    vector_free(&p->cover);
    mem_free(p->waiter);
    gen_unref(p->g);
    arenas_give(&p->s->arenas, &p->arena);
}

int store_append(struct store *s, struct str tenant, struct str form,
                 const struct vector *complete, store_done_fn done, void *arg, struct err *err)
{
    struct push p = {.s = s, .tenant_name = tenant, .complete = complete, .err = err};
    struct err none = {0};
    p.err = err == NULL ? &none : err;
    err_reset(p.err);
    int rc = prepare(&p, form);
    if (rc == 0)
        rc = enter(&p);
    if (rc == 0) {
        lock_shelves(&p);
        rc = store_push(&p);
        unlock_shelves(&p);
    }
    if (rc == 0)
        await(&p, done, arg);
    if (rc == ERR_NOSPC)
        err_set(p.err, rc, "no space left in %s: %" PRIu64 " bytes are free", s->dir,
                s->io->free_bytes(s->io->self, s->dir));
    else if (rc != 0 && p.err->code == 0)
        err_set(p.err, rc, "append: %s", err_text(rc));
    if (rc == ERR_NOSPC) {
        pthread_mutex_lock(&s->lock);
        s->stats.refused_nospace++;
        pthread_mutex_unlock(&s->lock);
    }
    push_reset(&p);
    return rc;
}
