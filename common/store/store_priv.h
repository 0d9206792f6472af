/* store/store_priv.h - what the files of the running store share: generations, views, shelves,
 * and the order of locks.
 *
 *   shelf.lock  -> define_lock -> log_lock -> swap_lock -> lock      (always taken in this order)
 *
 *   shelf.lock   a (tenant, service): interning, streams, entries, key search. It outlives heads
 *   define_lock  new tenants, partitions, streams, lanes of the open head
 *   log_lock     the log's batches, dots that are known, waiters; `room` and `work` belong to it
 *   lock         the catalogue and the pairs (position, coverage) of its generations
 *
 * Only for common/store: store_run.c (open, close), start_run.c (replay at start), commit_run.c
 * (commit thread, new generations), append_run.c, view_run.c, query*.c. */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arenas.h"
#include "base/list.h"
#include "base/map.h"
#include "store/head.h"
#include "store/identity.h"
#include "store/replay.h"
#include "store/store.h"
#include "store/wal.h"

enum { STORE_PATH_BYTES = 4096 };

/* Dots of rows that views share; never changed while more than one has it. */
struct coverage {
    _Atomic uint32_t refs;
    struct vector *dots; /* lane i is lane i of the head */
};

struct gen_segment {
    struct store_file *file; /* NULL once nothing is written to it any more */
    const uint8_t *base;
    uint64_t mapped;
};

/* One head and its log. */
struct gen {
    _Atomic uint32_t refs;
    const struct store_io *io;
    uint64_t number;
    uint32_t salt;
    struct head *head;
    struct segs segments;      /* struct gen_segment; log_lock to add */
    struct wal *wal;           /* NULL: replayed. log_lock */
    struct vector *all;        /* of the open one: dots of rows, pending ones too. log_lock */
    struct {
        uint32_t tenants, partitions, streams, sets, lanes;
    } logged;                  /* what DEFINE records have. define_lock */
    uint64_t profiles;         /* log_lock */
    wal_pos committed;         /* the pair; lock */
    struct coverage *rows;
};

/* An immutable list of generations, oldest first. */
struct catalogue {
    _Atomic uint32_t refs;
    uint8_t disk[STORE_DISK_SIZE];
    uint32_t count;
    struct gen *gens[];
};

/* A service of a tenant, over all generations. */
struct shelf {
    pthread_mutex_t lock;
    uint32_t id; /* for the order of locking */
    struct store_tenant *tenant;
    struct head_stream **slots; /* open addressing; the newest head's stream of each kind */
    uint32_t cap, used;
};

/* What a tenant has beside rows, for the look-up of dots. log_lock. */
struct store_tenant {
    char *name;
    struct vector *extra; /* covers, repeats whose row is held, and what is gone */
};

/* An append that waits for its records. */
struct waiter {
    struct list link;
    uint64_t generation;
    wal_pos pos;
    store_done_fn done;
    void *arg;
    struct store_appended info;
    int rc;
};

struct store {
    const struct store_io *io;
    struct store_config c;
    char *dir;
    struct store_file *lock_file;
    struct arenas arenas; /* of appends */

    pthread_mutex_t lock;
    struct catalogue *catalogue;
    struct store_stats stats;

    pthread_mutex_t swap_lock; /* who makes a new catalogue; before `lock` */

    pthread_mutex_t log_lock;
    pthread_cond_t work;       /* for the commit thread */
    pthread_cond_t room;       /* for appenders */
    struct gen *open;          /* takes appends; NULL: none could be made */
    int refusal;               /* why there is none */
    struct vector *old_rows;   /* rows of all other generations */
    struct seen gone;          /* as the file `seen` says */
    struct list waiters;       /* of the open generation, in the order of their positions */
    bool idle;                 /* the commit thread waits for `work` */
    bool stopping;
    int close_result;
    uint64_t next_generation;
    struct replay_ended *ended; /* generations that failed in this life */
    size_t ended_count;

    pthread_mutex_t define_lock;

    pthread_mutex_t shelves_lock; /* a leaf: names of shelves and tenants */
    struct map *shelves, *tenants;
    uint32_t next_shelf;

    pthread_t thread;
    bool running;
};

struct view_gen {
    struct gen *gen;
    wal_pos pos;
    struct coverage *rows;
    struct head_tenant *tenant; /* NULL: not known there */
};

struct view {
    struct store *store;
    struct catalogue *catalogue;
    uint32_t count;
    struct view_gen gens[];
};

/* gen.c - life of generations, coverage and catalogues. */

/* A generation without segments. ERR_NOMEM, ERR_LIMIT. */
int gen_init(struct gen **out, const struct store_io *io, uint64_t number,
             struct mem_account *account);
void gen_ref(struct gen *g);
void gen_unref(struct gen *g); /* NULL-safe */

/* `<dir>/log/<generation>-<segment>.log` */
int gen_path(char out[STORE_PATH_BYTES], const char *dir, uint64_t generation, uint32_t segment);

/* Take over an open file and its mapping as the next segment. ERR_NOMEM. */
int gen_add_segment(struct gen *g, struct store_file *f, const uint8_t *base, uint64_t mapped);

/* Bytes of an entry's row, or nothing when it does not lie in a mapping. */
struct str gen_row(const struct gen *g, const struct head_entry *e);

void coverage_unref(struct coverage *c); /* NULL-safe */

/* Add dots to *c, which becomes another object when views share it. Lane names come from the head.
 * ERR_NOMEM. */
int coverage_add(struct coverage **c, const struct head *h, const struct wal_dot *dots,
                 size_t count);

/* The store's catalogue with a reference. */
struct catalogue *catalogue_get(struct store *s);
void catalogue_unref(struct catalogue *c); /* NULL-safe */

/* Replace the store's catalogue by one with `more` (may be NULL; its reference is taken over)
 * added, and with that disk (NULL: as before). ERR_NOMEM: nothing changed. */
int catalogue_change(struct store *s, struct gen *more, const uint8_t *disk);

/* shelf.c - shelves and tenants over all generations. */

/* The shelf of a service, made when new. ERR_NOMEM. */
int shelf_get(struct store *s, struct str tenant, struct str service, struct shelf **out);
int tenant_get(struct store *s, struct str name, struct store_tenant **out);
void shelves_free(struct store *s);

/* The newest stream like that, or NULL. Under the shelf's lock. */
struct head_stream *shelf_find(const struct shelf *sh, uint64_t hash,
                               const struct form_member *members, uint32_t member_count,
                               const struct form_pair *pairs, uint32_t pair_count);

/* Make `stream` the newest of its kind; what was there becomes its `older`. ERR_NOMEM. */
int shelf_put(struct shelf *sh, struct head_stream *stream);

/* Put all streams of a replayed head on their shelves. Oldest generation first. ERR_NOMEM. */
int shelves_add_head(struct store *s, struct head *h);

/* Compute `old_rows` and each tenant's `extra` again from the generations of the catalogue but
 * the open one, and from `gone`. Under log_lock, or before threads run. ERR_NOMEM. */
int store_rebuild_known(struct store *s);

/* commit_run.c */

/* Make the next generation's first segment and open it; ENDED of those that failed goes in.
 * ERR_NOSPC, ERR_IO, ERR_NOMEM: none is open then. Not under log_lock. */
int commit_open_generation(struct store *s);

/* Wake the commit thread, when it waits for work. Under log_lock. */
void commit_wake(struct store *s);

/* Wait on a condition for at most `ns` nanoseconds; its lock is held. */
void commit_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns);

/* Body of the commit thread; arg is the store. */
void *commit_thread(void *arg);

/* start_run.c */

/* Replay all that is in log/ and clear up after crashes. */
int start_replay(struct store *s, struct err *err);

/* view_run.c */

/* Repeats and rows of a view: all of it. ERR_NOMEM. */
int view_held(const struct view *v, struct vector **out, struct aliases **repeats);

#endif
