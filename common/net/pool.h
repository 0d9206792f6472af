/* net/pool.h - a fixed number of threads for work that costs CPU time; results go home by loop.
 *
 * First come, first served, with a limit on how many wait. Kept apart from libuv's own pool, so
 * that decoding never queues before or behind file operations. Any thread may submit.
 * Tests: tests/unit/net/test_loop.c. */
#ifndef NET_POOL_H
#define NET_POOL_H

#include <stddef.h>

#include "net/loop.h"

struct pool;

/* One job. Embed it, all-zero at first. `run` is called on a pool thread; then, when `home` is
 * set, `done` on that loop's thread. The job may be freed or used again in the last of the two. */
struct pool_job {
    struct list link;
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
    struct loop *home;     /* NULL: nobody is told */
    struct loop_work back; /* the pool's */
};

/* Start `threads` threads (1 to 256) that let at most `waiting_max` jobs wait.
 * ERR_INVAL, ERR_NOMEM, ERR_IO. */
int pool_init(struct pool **out, unsigned threads, size_t waiting_max, struct err *err);

/* Queue a job. ERR_LIMIT when too many wait, ERR_CLOSED after pool_stop(): the job is untouched
 * and nothing will be called. */
int pool_submit(struct pool *p, struct pool_job *job);

/* How many jobs wait now (for a gauge). */
size_t pool_waiting(struct pool *p);

/* Take no more jobs, do those that wait, end the threads. Idempotent. */
void pool_stop(struct pool *p);

/* pool_stop() and release. NULL-safe; leaves *p NULL. */
void pool_free(struct pool **p);

#endif
