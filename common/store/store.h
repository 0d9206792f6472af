/* store/store.h - keeps the profiles of all tenants: a log that makes them durable, heads that
 * answer for them, and views that do not change while they are read.
 *
 * Files below the data directory, the order of writes, what counts as damage: README.md beside
 * this file. What the store is given is the append form of profile/form.h; what it says about
 * what it has are vectors of ring/dots.h.
 *
 * Threads: every call may come from any thread. store_append() interns and may wait for room in
 * the log (at most a second): call it from a worker, not from an event loop. Its callback runs on
 * the commit thread and must only hand the result on. A view may be used by one thread at a time;
 * different views side by side. store_close() after all views were freed and all appends answered
 * (it answers those that are still under way itself).
 * Tests: tests/unit/store/test_store.c, test_store_model.c, test_store_faults.c. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "profile/form.h"
#include "ring/dots.h"
#include "store/io.h"

struct arena;
struct mem_account;
struct query_ask;
struct store;
struct view;

enum { STORE_DISK_SIZE = 16 };

/* When an append counts as durable (-ingester.wal-sync). */
enum store_sync {
    STORE_SYNC_ALWAYS,   /* after fdatasync: nothing acknowledged is ever lost */
    STORE_SYNC_INTERVAL, /* after write; fdatasync every sync_interval_ms. Survives the end of the
                            process, a power failure loses up to the interval */
    STORE_SYNC_NEVER,    /* after write; the kernel writes back when it likes */
};

/* The store is about to forget something that it may have acknowledged, for `cause`. Write the
 * instance file with a new disk id, synced, and put the id in `disk`. Not 0: it could not be
 * written, and the store must not go on. Called from store_open() only. */
typedef int (*store_forget_fn)(void *arg, const char *cause, uint8_t disk[STORE_DISK_SIZE]);

struct store_config {
    const char *dir;               /* the data directory; exists */
    struct store_file *lock;       /* of identity_lock(), kept by the caller until after
                                      store_close(). NULL: the store locks for itself */
    uint8_t disk[STORE_DISK_SIZE]; /* as the instance file says */
    bool stopped;                  /* as the instance file says: the last stop was clean */
    enum store_sync sync;
    uint32_t sync_interval_ms;     /* for STORE_SYNC_INTERVAL [1,000] */
    uint32_t linger_us;            /* longest wait for company after a busy batch [1,000] */
    uint32_t segment_bytes;        /* log segment; 0 means 64 MiB, which is also the most */
    uint32_t retry_ms;             /* between tries to open a segment [1,000] */
    uint32_t buffer_bytes;         /* of records that wait for the disk [32 MiB] */
    struct form_limits form;
    struct mem_account *heads;     /* tables and entries; may be NULL */
    struct mem_account *requests;  /* decoding of pushes; may be NULL */
    struct log log;                /* component "store" */
    store_forget_fn identity_forget;
    void *arg;                     /* of identity_forget */
};

/* Lock the data directory, replay every generation of the log, open a new one. Torn tails are
 * cut with a warning; damage is kept aside and makes the store call identity_forget() first.
 * ERR_EXIST: another process has the directory; ERR_VERSION: written by a newer version, named;
 * ERR_IO, ERR_NOMEM. A full disk is no error: pushes are refused until there is room.
 * `io` is borrowed until store_close(). */
int store_open(struct store **out, const struct store_config *c, const struct store_io *io,
               struct err *err);

/* Sync what was appended, end the log cleanly, stop the threads. 0: the caller may now write the
 * instance file with `stopped` set. ERR_IO: the last records could not be synced. NULL-safe. */
int store_close(struct store **s);

/* The disk got another name for a reason outside the store; the instance file is synced. Views
 * taken from now on have it. ERR_NOMEM. */
int store_rename(struct store *s, const uint8_t disk[STORE_DISK_SIZE]);

/* What became of an append. */
struct store_appended {
    uint32_t rows;                 /* profiles stored */
    uint32_t known;                /* profiles whose dot was there already */
    uint32_t repeats;              /* profiles whose key was there under another dot */
    uint64_t samples;              /* in the rows */
    uint8_t disk[STORE_DISK_SIZE]; /* in whose name this is said */
};

/* rc 0: all of it is durable and in every view taken from now on. Else ERR_IO, ERR_NOSPC,
 * ERR_CLOSED: not acknowledged; sent again it counts once. `info` is borrowed for the call. */
typedef void (*store_done_fn)(void *arg, int rc, const struct store_appended *info);

/* Append all profiles of a form. A profile whose dot or key is known stores no second row.
 * `complete` (may be NULL): the form has all profiles of the tenant with these dots.
 * Returns 0, and then calls `done` exactly once, perhaps before it returns. Or, without a call and
 * with nothing of the push visible now or later: ERR_PARSE or ERR_VERSION (bad form), ERR_LIMIT
 * (too large, or memory), ERR_NOMEM; and with perhaps a part of it in the log: ERR_NOSPC (disk
 * full; err says where), ERR_IO, ERR_CLOSED. The arguments are borrowed until it returns. */
int store_append(struct store *s, struct str tenant, struct str form,
                 const struct vector *complete, store_done_fn done, void *arg, struct err *err);

/* A consistent cut of what the tenant has, durable rows only; unmoved by what comes later. Every
 * append answered with 0 before the call is in it. A tenant that is not known gives an empty
 * view. ERR_NOMEM. */
int store_view(struct store *s, struct str tenant, struct view **out);
void view_free(struct view **v);

/* The name under which this view's dots are held; borrowed. */
const uint8_t *view_disk(const struct view *v);

/* What the view holds of the tenant between two times (Unix ms, both included): rows and repeats,
 * and how repeats belong to rows. *out and *repeats (may be NULL) are returned owned. A source
 * that may have a profile in the range is listed whole. ERR_NOMEM. */
int store_held(const struct view *v, int64_t start_ms, int64_t end_ms, struct vector **out,
               struct aliases **repeats);

/* One tenant and what is held of it. Not 0 ends the walk. Borrowed for the call. */
typedef int (*store_held_fn)(void *arg, struct str tenant, const struct vector *held,
                             const struct aliases *repeats);

/* All tenants whose name is above `after` by bytes, in order. Returns what ended the walk. */
int store_held_all(struct store *s, struct str after, store_held_fn each, void *arg);

/* What a client sent, and the dot it goes by here. */
struct store_key {
    struct lane_name lane;
    uint32_t seq;
    uint64_t series; /* fingerprint of the stream's first member */
    int64_t time_ns;
    uint32_t nonce;
};

/* Not 0 ends the walk. The key is borrowed for the call. */
typedef int (*store_key_fn)(void *arg, const struct store_key *key);

/* Keys of the profiles that the ask selects and whose dot, or the dot of a repeat of it, is in
 * `of`: one call per such dot. ask->include is not used. Returns what ended the walk, ERR_NOMEM. */
int store_keys(const struct view *v, const struct query_ask *ask, const struct vector *of,
               store_key_fn each, void *arg);

/* Every dot under which the view has one of `keys` (their lane and seq are not looked at).
 * Returns what ended the walk, ERR_NOMEM. */
int store_find_keys(const struct view *v, const struct store_key *keys, size_t count,
                    store_key_fn each, void *arg);

/* Figures for metrics and status pages. */
struct store_stats {
    uint64_t generations, log_bytes, log_segments;
    uint64_t replay_ms, replay_bytes, replay_profiles; /* of the last start */
    uint64_t torn_tails, torn_bytes;                   /* cut at the last start */
    uint64_t corruptions;                              /* damaged places found at the last start */
    uint64_t profiles, samples, known, repeats;        /* appended since the start */
    uint64_t batches, syncs, sync_ns;                  /* of the commit thread */
    uint64_t failures;                                 /* generations ended by a fault */
    uint64_t refused_nospace;                          /* appends */
    uint64_t tenants, partitions, streams;             /* in all heads */
    bool writable;                                     /* false: pushes get 503, or soon will */
};

/* Figures at this moment. */
void store_stats(struct store *s, struct store_stats *out);

#endif
