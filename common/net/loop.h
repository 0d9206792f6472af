/* net/loop.h - one event loop per thread: work handed over from other threads, and timers.
 *
 * Everything that is built on a loop (servers, clients, sockets, timers) belongs to the thread
 * that runs it and is touched only there. A loop that nobody runs yet belongs to the thread that
 * sets it up. Only loop_post(), loop_call(), loop_stop() and loop_is_mine() are for any thread.
 * Driver over libuv. Tests: tests/unit/net/test_loop.c. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/time.h"

struct loop;
struct loop_timer;

typedef void (*loop_fn)(void *arg);

/* One piece of work on its way to a loop. Embed it in what it works on, all-zero at first; it may
 * be used again as soon as its function was entered. */
struct loop_work {
    struct list link;
    loop_fn fn;
    void *arg;
};

/* Make a loop that nobody runs yet. `name` (cut at 15 bytes) becomes the thread's name.
 * ERR_NOMEM or ERR_IO with *out untouched. */
int loop_init(struct loop **out, const char *name, struct err *err);

/* Run the loop on a thread of its own until loop_stop(). ERR_IO. */
int loop_start(struct loop *l, struct err *err);

/* Run the loop on the calling thread until loop_stop(). */
void loop_run(struct loop *l);

/* Run what is due now on the calling thread and return; waits at most wait_ms for something to
 * happen. For tests and for shutting down. */
void loop_turn(struct loop *l, uint32_t wait_ms);

/* Make the running loop return after the work that was posted before. Any thread. */
void loop_stop(struct loop *l);

/* Wait until the thread of loop_start() has ended. Nothing to do without one. */
void loop_join(struct loop *l);

/* Stop, join, and release. What was built on the loop must have been freed before: anything left
 * is our own mistake and ends the process. NULL-safe; leaves *l NULL. */
void loop_free(struct loop **l);

/* True on the thread that runs the loop; before it runs, on every thread. */
bool loop_is_mine(const struct loop *l);

/* Have `fn(arg)` called on the loop's thread, after everything posted earlier. Never fails and
 * never waits. `w` must not be on its way already. Work posted to a loop that is never run again
 * is called by loop_free(). Any thread. */
void loop_post(struct loop *l, struct loop_work *w, loop_fn fn, void *arg);

/* Call `fn(arg)` on the loop's thread and wait for it; directly when the loop is ours. */
void loop_call(struct loop *l, loop_fn fn, void *arg);

/* The loop's clock, read once per turn: clock_mono_ms() as of a moment ago. */
mono_ms loop_now(struct loop *l);

/* A timer that is not armed. `fn` is called on the loop's thread. ERR_NOMEM. */
int loop_timer_init(struct loop_timer **out, struct loop *l, loop_fn fn, void *arg);

/* Arm (or arm anew) for `delay_ms` from now, then every `repeat_ms`; repeat 0: once. Or disarm. */
void loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void loop_timer_stop(struct loop_timer *t);

/* NULL-safe; leaves *t NULL; allowed inside the timer's own function. */
void loop_timer_free(struct loop_timer **t);

#endif
