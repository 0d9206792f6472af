/* receive-proxy/spool.c - lists by age and by lane over memory or a log of segments. */
#include "spool.h"

#include "base/map.h"
#include "base/mem.h"
#include "wire/hash.h"

enum {
    ITEM_SIZE = 256,            /* what an item costs beside its payload */
    SEGMENT_MAX = 16 << 20,
    SEGMENT_MIN = 64 << 10,
    SEGMENTS = 8,               /* that a full spool has at least */
    COUNT_MAX = 250000,         /* an item of a queue on disk takes 200 bytes of memory */
};

struct lane {
    struct list link, items;
    uint64_t key;
};

struct spool {
    struct spool_config config;
    struct seglog *log; /* NULL: in memory */
    struct list items;  /* oldest first */
    struct list gone;   /* pushed out while they are sent */
    struct list lanes;
    struct map *index;  /* in memory: hash -> item; while starting: number -> item */
    size_t count;
    uint64_t bytes; /* in memory */
    int error;      /* while starting */
};

/* --- items ----------------------------------------------------------------------------- */

static struct str key_of(const uint64_t *v)
{
    return str_of(v, sizeof *v);
}

static struct lane *lane_of(struct spool *s, uint64_t key, bool make)
{
    LIST_EACH(at, &s->lanes) {
        struct lane *l = LIST_ITEM(at, struct lane, link);
        if (l->key == key)
            return l;
    }
    struct lane *l = make ? mem_zalloc(sizeof *l) : NULL;
    if (l == NULL)
        return NULL;
    l->key = key;
    list_init(&l->items);
    list_push_back(&s->lanes, &l->link);
    return l;
}

static struct spool_item *item_new(struct spool *s, uint64_t key, wall_ms added,
                                   const struct outgoing *o)
{
    struct lane *lane = lane_of(s, key, true);
    struct spool_item *item = lane == NULL ? NULL : mem_zalloc(sizeof *item);
    if (item == NULL)
        return NULL;
    list_init(&item->by_age);
    list_init(&item->by_lane);
    item->key = key;
    item->added = added;
    item->kind = o->kind;
    item->bytes = o->bytes;
    item->profiles = o->profiles;
    return item;
}

/* Put it at the end of its lists. */
static void link_item(struct spool *s, struct spool_item *item)
{
    list_push_back(&s->items, &item->by_age);
    list_push_back(&lane_of(s, item->key, false)->items, &item->by_lane);
    s->count++;
}

static void unlink_item(struct spool *s, struct spool_item *item)
{
    list_remove(&item->by_age);
    list_remove(&item->by_lane);
    s->count--;
    if (s->log == NULL) {
        map_remove(s->index, key_of(&item->hash));
        s->bytes -= item->size;
    }
    mem_free(item->payload);
    mem_free(item);
}

static void drop(struct spool *s, struct spool_item *item, enum spool_drop why)
{
    if (s->config.on_drop != NULL)
        s->config.on_drop(s->config.arg, item, why);
    if (s->log != NULL)
        seglog_done(s->log, &item->ref);
    unlink_item(s, item);
}

static struct spool_item *oldest_idle(const struct spool *s)
{
    LIST_EACH(at, &s->items) {
        struct spool_item *item = LIST_ITEM(at, struct spool_item, by_age);
        if (!item->busy)
            return item;
    }
    return NULL;
}

/* --- starting -------------------------------------------------------------------------- */

static void on_data(void *arg, const struct seg_record *r)
{
    struct spool *s = arg;
    struct arena *a = NULL;
    struct outgoing o = {.kind = FLOW_PUSH};
    if (s->error != 0)
        return;
    if (arena_init(&a, 512, NULL) != 0) {
        s->error = ERR_NOMEM;
        return;
    }
    int rc = outgoing_read(r->payload, a, &o);
    arena_free(&a);
    /* Whole, but not to be understood: sent to nobody, it goes when it is too old. */
    struct spool_item *item = rc == ERR_NOMEM ? NULL : item_new(s, r->key, r->time, &o);
    if (item == NULL || map_put(s->index, key_of(&r->ref.number), item, NULL) != 0) {
        mem_free(item);
        s->error = ERR_NOMEM;
        return;
    }
    item->ref = r->ref;
    item->size = r->ref.size;
    link_item(s, item);
}

static void on_done(void *arg, uint64_t number)
{
    struct spool *s = arg;
    struct spool_item *item = map_get(s->index, key_of(&number));
    if (item != NULL)
        item->busy = true; /* for a moment: it means gone */
}

static uint64_t segment_bytes(const struct spool_config *c)
{
    uint64_t size = c->max_bytes / SEGMENTS;
    return size > SEGMENT_MAX ? SEGMENT_MAX : size < SEGMENT_MIN ? SEGMENT_MIN : size;
}

static int open_log(struct spool *s, struct seg_found *found, struct err *err)
{
    struct seglog *log = NULL;
    int rc = seglog_open(&log, s->config.io, str_c(s->config.dir), segment_bytes(&s->config),
                         on_data, on_done, s, found, err);
    s->log = log; /* from here on items are not in memory */
    if (rc == 0 && s->error != 0)
        rc = err_set(err, s->error, "queue in %s: no memory", s->config.dir);
    if (rc != 0)
        return rc;
    map_clear(s->index);
    LIST_EACH_SAFE(at, &s->items) {
        struct spool_item *item = LIST_ITEM(at, struct spool_item, by_age);
        if (!item->busy)
            continue;
        seglog_forget(log, &item->ref);
        unlink_item(s, item);
    }
    seglog_trim(log);
    return 0;
}

int spool_init(struct spool **out, const struct spool_config *config, struct seg_found *found,
               struct err *err)
{
    struct spool *s = mem_zalloc(sizeof *s);
    *found = (struct seg_found){0};
    if (s == NULL || map_init(&s->index) != 0) {
        mem_free(s);
        return err_set(err, ERR_NOMEM, "no memory for a queue");
    }
    s->config = *config;
    list_init(&s->items);
    list_init(&s->gone);
    list_init(&s->lanes);
    int rc = config->dir == NULL ? 0 : open_log(s, found, err);
    if (rc != 0) {
        spool_free(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void spool_free(struct spool **sp)
{
    struct spool *s = *sp;
    struct list *at;
    if (s == NULL)
        return;
    while ((at = list_first(&s->items)) != NULL)
        unlink_item(s, LIST_ITEM(at, struct spool_item, by_age));
    while ((at = list_first(&s->gone)) != NULL) {
        list_remove(at);
        mem_free(LIST_ITEM(at, struct spool_item, by_age));
    }
    while ((at = list_first(&s->lanes)) != NULL) {
        list_remove(at);
        mem_free(LIST_ITEM(at, struct lane, link));
    }
    map_free(&s->index);
    seglog_close(&s->log);
    mem_free(s);
    *sp = NULL;
}

void spool_limit(struct spool *s, uint64_t max_bytes, uint64_t max_age_ms)
{
    s->config.max_bytes = max_bytes;
    s->config.max_age_ms = max_age_ms;
}

/* --- coming and going ------------------------------------------------------------------ */

/* Push one out of the disk: its segment goes when all in it are. */
static void push_out(struct spool *s, struct spool_item *item)
{
    seglog_forget(s->log, &item->ref);
    if (!item->busy) {
        if (s->config.on_drop != NULL)
            s->config.on_drop(s->config.arg, item, SPOOL_FULL);
        unlink_item(s, item);
        return;
    }
    list_remove(&item->by_age);
    list_remove(&item->by_lane);
    s->count--;
    item->gone = true;
    list_push_back(&s->gone, &item->by_age);
}

/* Push out the oldest until `more` bytes fit. */
static void make_room(struct spool *s, uint64_t more)
{
    while (s->count > 0 &&
           (s->count >= COUNT_MAX || spool_bytes(s) + more > s->config.max_bytes)) {
        if (s->log != NULL) {
            push_out(s, LIST_ITEM(s->items.next, struct spool_item, by_age));
            seglog_trim(s->log);
            continue;
        }
        struct spool_item *item = oldest_idle(s);
        if (item == NULL)
            return;
        drop(s, item, SPOOL_FULL);
    }
}

static int put_in_memory(struct spool *s, struct spool_item *item, struct str record)
{
    item->hash = hash_xxh3(record, item->key);
    if (map_has(s->index, key_of(&item->hash)))
        return ERR_EXIST;
    item->payload = mem_dup(record.data, record.len); /* not a byte more: they are counted */
    if (item->payload == NULL)
        return ERR_NOMEM;
    item->size = record.len + ITEM_SIZE;
    int rc = map_put(s->index, key_of(&item->hash), item, NULL);
    if (rc == 0)
        s->bytes += item->size;
    return rc;
}

int spool_put(struct spool *s, uint64_t key, wall_ms now, const struct outgoing *o)
{
    struct buf record = {0};
    outgoing_put(o, &record);
    int rc = record.error;
    if (rc == 0 && record.size + ITEM_SIZE > s->config.max_bytes)
        rc = ERR_LIMIT;
    struct spool_item *item = rc == 0 ? item_new(s, key, now, o) : NULL;
    if (rc == 0 && item == NULL)
        rc = ERR_NOMEM;
    if (rc == 0 && s->log == NULL) {
        rc = put_in_memory(s, item, buf_view(&record));
    } else if (rc == 0) {
        make_room(s, record.size + ITEM_SIZE);
        rc = seglog_append(s->log, key, now, buf_view(&record), &item->ref);
        item->size = record.size;
    }
    buf_reset(&record);
    if (rc != 0) {
        if (item != NULL)
            mem_free(item->payload);
        mem_free(item);
        return rc;
    }
    link_item(s, item);
    if (s->log == NULL) {
        item->busy = true; /* it does not push itself out */
        make_room(s, 0);
        item->busy = false;
    }
    return 0;
}

int spool_sync(struct spool *s)
{
    return s->log == NULL ? 0 : seglog_sync(s->log);
}

bool spool_is_durable(const struct spool *s)
{
    return s->log != NULL;
}

struct spool_item *spool_next(struct spool *s, uint64_t key)
{
    struct lane *lane = lane_of(s, key, false);
    if (lane == NULL)
        return NULL;
    LIST_EACH(at, &lane->items) {
        struct spool_item *item = LIST_ITEM(at, struct spool_item, by_lane);
        if (!item->busy) {
            item->busy = true;
            return item;
        }
    }
    return NULL;
}

bool spool_waits(struct spool *s, uint64_t key)
{
    struct lane *lane = lane_of(s, key, false);
    return lane != NULL && !list_is_empty(&lane->items);
}

int spool_read(struct spool *s, const struct spool_item *item, struct buf *bytes, struct arena *a,
               struct outgoing *out)
{
    int rc = 0;
    struct str record = str_of(item->payload, item->payload == NULL ? 0 : item->size - ITEM_SIZE);
    if (s->log != NULL) {
        buf_clear(bytes);
        rc = seglog_read(s->log, &item->ref, bytes);
        record = buf_view(bytes);
    }
    if (rc == 0)
        rc = outgoing_read(record, a, out);
    return rc == ERR_PARSE ? ERR_CORRUPT : rc;
}

/* The last chance of one that was pushed out is over. */
static void bury(struct spool_item *item)
{
    list_remove(&item->by_age);
    mem_free(item);
}

void spool_done(struct spool *s, struct spool_item *item)
{
    if (item->gone) {
        bury(item);
        return;
    }
    if (s->log != NULL)
        seglog_done(s->log, &item->ref);
    unlink_item(s, item);
}

void spool_again(struct spool *s, struct spool_item *item)
{
    item->attempts++;
    if (item->gone) {
        if (s->config.on_drop != NULL)
            s->config.on_drop(s->config.arg, item, SPOOL_FULL);
        bury(item);
        return;
    }
    item->busy = false;
    list_remove(&item->by_lane);
    list_push_back(&lane_of(s, item->key, false)->items, &item->by_lane);
    if (s->log == NULL)
        make_room(s, 0); /* while it was busy, others may have had to stay too */
}

void spool_expire(struct spool *s, wall_ms now)
{
    LIST_EACH_SAFE(at, &s->items) {
        struct spool_item *item = LIST_ITEM(at, struct spool_item, by_age);
        if (item->added <= now && (uint64_t)(now - item->added) <= s->config.max_age_ms)
            break; /* the rest is younger */
        if (item->added <= now && !item->busy)
            drop(s, item, SPOOL_OLD);
    }
}

size_t spool_count(const struct spool *s)
{
    return s->count;
}

uint64_t spool_bytes(const struct spool *s)
{
    return s->log != NULL ? seglog_bytes(s->log) : s->bytes;
}

wall_ms spool_oldest(const struct spool *s)
{
    return list_is_empty(&s->items)
               ? 0
               : LIST_ITEM(s->items.next, struct spool_item, by_age)->added;
}
