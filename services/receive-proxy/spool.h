/* receive-proxy/spool.h - what waits to be sent again: who is next, who is too old, who must
 * go.
 *
 * Requests wait in lanes, one an endpoint: oldest first, those that failed once more last. Their
 * bytes are bounded: a new one pushes out the oldest of all lanes. In memory the bytes are those
 * of the requests, and what is being sent stays; on disk they are those of the segments, and the
 * oldest segment goes as a whole: what is being sent out of it has no other chance. In memory the
 * same request is kept once, however often a client sends it.
 *
 * No clock, no thread; a disk only through store/io.h. One owner thread.
 * Tests: tests/unit/receive-proxy/test_spool.c. */
#ifndef RECEIVE_PROXY_SPOOL_H
#define RECEIVE_PROXY_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "base/time.h"
#include "flow.h"
#include "outgoing.h"
#include "seglog.h"

struct spool;

/* A request that waits. Read only. */
struct spool_item {
    struct list by_age, by_lane;
    uint64_t key; /* of its endpoint */
    wall_ms added;
    uint64_t size; /* bytes of its record */
    enum flow_kind kind;
    uint64_t bytes, profiles; /* of profiles */
    uint32_t attempts;
    bool busy; /* given out by spool_next() */
    bool gone; /* busy, and pushed out of the disk meanwhile: this is its last chance */
    struct seg_ref ref; /* on disk */
    void *payload; /* in memory */
    uint64_t hash;
};

/* Why an item goes unsent. */
enum spool_drop { SPOOL_FULL, SPOOL_OLD };
typedef void (*spool_drop_fn)(void *arg, const struct spool_item *item, enum spool_drop why);

struct spool_config {
    const char *dir; /* NULL: in memory */
    const struct store_io *io;
    uint64_t max_bytes, max_age_ms;
    spool_drop_fn on_drop;
    void *arg;
};

/* Open; what waits on disk is there again. Errors as seglog_open(). */
int spool_init(struct spool **out, const struct spool_config *config, struct seg_found *found,
               struct err *err);

/* What is in memory is gone, what is on disk stays. NULL-safe. */
void spool_free(struct spool **s);

/* New limits; takes effect with the next put or expire. */
void spool_limit(struct spool *s, uint64_t max_bytes, uint64_t max_age_ms);

/* Add a request for an endpoint. ERR_LIMIT (larger than the whole spool), ERR_IO, ERR_NOSPC,
 * ERR_NOMEM; ERR_EXIST: the same waits already, in memory. */
int spool_put(struct spool *s, uint64_t key, wall_ms now, const struct outgoing *o);

/* Make what was put durable. ERR_IO, ERR_NOSPC: it waits all the same, but a crash may lose it. */
int spool_sync(struct spool *s);

/* True when it is on disk. */
bool spool_is_durable(const struct spool *s);

/* The first item of a lane that is not busy, now busy; NULL: none. */
struct spool_item *spool_next(struct spool *s, uint64_t key);

/* The lane has items. */
bool spool_waits(struct spool *s, uint64_t key);

/* Its request; strings are in *bytes or the arena. ERR_IO, ERR_CORRUPT, ERR_NOMEM. */
int spool_read(struct spool *s, const struct spool_item *item, struct buf *bytes,
               struct arena *a, struct outgoing *out);

/* A busy item is sent (or of no use), or shall be tried again: behind the others of its lane, so
 * that one which a receiver cannot digest holds up nobody; the item may be gone then. */
void spool_done(struct spool *s, struct spool_item *item);
void spool_again(struct spool *s, struct spool_item *item);

/* Drop what is older than max_age. */
void spool_expire(struct spool *s, wall_ms now);

size_t spool_count(const struct spool *s);
uint64_t spool_bytes(const struct spool *s);

/* When the oldest was added; 0: empty. */
wall_ms spool_oldest(const struct spool *s);

#endif
