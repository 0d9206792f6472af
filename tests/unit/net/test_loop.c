/* Work reaches the thread of its loop, in order and once; timers fire when they are due; the pool
 * does what it took and takes no more than it may. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/pool.h"

enum { POSTS = 2000 };

struct poster {
    struct loop *loop;
    struct loop_work works[POSTS];
    int *order;
    int *count;
    int base;
};

static int seen[2 * POSTS];
static int seen_count;

static void note(void *arg)
{
    seen[seen_count++] = (int)(intptr_t)arg;
}

static void *post_many(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++)
        loop_post(p->loop, &p->works[i], note, (void *)(intptr_t)(p->base + i));
    return NULL;
}

static void posts_of_each_thread_arrive_once_and_in_order(void **state)
{
    (void)state;
    static struct poster a, b;
    struct loop *l = NULL;
    pthread_t ta, tb;
    assert_int_equal(loop_init(&l, "test", NULL), 0);
    assert_int_equal(loop_start(l, NULL), 0);
    a = (struct poster){.loop = l, .base = 0};
    b = (struct poster){.loop = l, .base = POSTS};
    seen_count = 0;
    pthread_create(&ta, NULL, post_many, &a);
    pthread_create(&tb, NULL, post_many, &b);
    pthread_join(ta, NULL);
    pthread_join(tb, NULL);
    loop_stop(l); /* behind all of them */
    loop_join(l);
    assert_int_equal(seen_count, 2 * POSTS);
    int next_a = 0, next_b = POSTS;
    for (int i = 0; i < seen_count; i++) {
        if (seen[i] < POSTS)
            assert_int_equal(seen[i], next_a++);
        else
            assert_int_equal(seen[i], next_b++);
    }
    loop_free(&l);
    assert_null(l);
}

struct where {
    struct loop *loop;
    bool mine;
    pthread_t thread;
};

static void note_where(void *arg)
{
    struct where *w = arg;
    w->mine = loop_is_mine(w->loop);
    w->thread = pthread_self();
}

static void a_call_is_made_on_the_loops_thread_and_waited_for(void **state)
{
    (void)state;
    struct where w = {0};
    assert_int_equal(loop_init(&w.loop, "test", NULL), 0);
    assert_true(loop_is_mine(w.loop));
    loop_call(w.loop, note_where, &w);
    assert_true(pthread_equal(w.thread, pthread_self()));
    assert_int_equal(loop_start(w.loop, NULL), 0);
    assert_false(loop_is_mine(w.loop));
    loop_call(w.loop, note_where, &w);
    assert_true(w.mine);
    assert_false(pthread_equal(w.thread, pthread_self()));
    loop_free(&w.loop);
}

static void work_posted_to_a_loop_that_never_ran_is_done_by_free(void **state)
{
    (void)state;
    struct loop *l = NULL;
    struct loop_work w = {0};
    seen_count = 0;
    assert_int_equal(loop_init(&l, "a name that is longer than fifteen", NULL), 0);
    loop_post(l, &w, note, (void *)7);
    loop_free(&l);
    assert_int_equal(seen_count, 1);
    assert_int_equal(seen[0], 7);
}

struct ticks {
    struct loop *loop;
    struct loop_timer *timer;
    int count, last;
    mono_ms began, fired;
};

static void on_tick(void *arg)
{
    struct ticks *t = arg;
    t->fired = clock_mono_ms();
    if (++t->count == t->last) {
        loop_timer_free(&t->timer); /* inside its own function */
        loop_stop(t->loop);
    }
}

static void a_timer_repeats_until_it_is_freed_and_is_never_early(void **state)
{
    (void)state;
    struct ticks t = {.last = 3};
    assert_int_equal(loop_init(&t.loop, "test", NULL), 0);
    assert_int_equal(loop_timer_init(&t.timer, t.loop, on_tick, &t), 0);
    t.began = clock_mono_ms();
    loop_timer_start(t.timer, 20, 10);
    loop_run(t.loop);
    assert_int_equal(t.count, 3);
    assert_true(t.fired - t.began >= 38); /* the loop's clock is read once a turn */
    loop_free(&t.loop);
}

static void a_stopped_timer_does_not_fire(void **state)
{
    (void)state;
    struct ticks t = {.last = 1};
    assert_int_equal(loop_init(&t.loop, "test", NULL), 0);
    assert_int_equal(loop_timer_init(&t.timer, t.loop, on_tick, &t), 0);
    loop_timer_start(t.timer, 5, 0);
    loop_timer_stop(t.timer);
    loop_turn(t.loop, 30);
    assert_int_equal(t.count, 0);
    loop_timer_free(&t.timer);
    loop_free(&t.loop);
}

enum { JOBS = 500 };

struct sum {
    struct loop *loop;
    atomic_int run;
    int done;
};

static struct sum sum;

static void job_run(void *arg)
{
    (void)arg;
    atomic_fetch_add(&sum.run, 1);
}

static void job_done(void *arg)
{
    (void)arg;
    assert_true(loop_is_mine(sum.loop));
    if (++sum.done == JOBS)
        loop_stop(sum.loop);
}

static void every_job_runs_once_and_comes_home(void **state)
{
    (void)state;
    static struct pool_job jobs[JOBS];
    struct pool *p = NULL;
    memset(&sum, 0, sizeof sum);
    assert_int_equal(loop_init(&sum.loop, "test", NULL), 0);
    assert_int_equal(pool_init(&p, 3, JOBS, NULL), 0);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct pool_job){.run = job_run, .done = job_done, .home = sum.loop};
        assert_int_equal(pool_submit(p, &jobs[i]), 0);
    }
    loop_run(sum.loop);
    assert_int_equal(atomic_load(&sum.run), JOBS);
    pool_free(&p);
    loop_free(&sum.loop);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_gate(void *arg)
{
    (void)arg;
    atomic_fetch_add(&sum.run, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void a_full_pool_refuses_and_a_stopped_one_finishes_what_it_took(void **state)
{
    (void)state;
    struct pool *p = NULL;
    struct pool_job jobs[4] = {{.run = wait_at_gate}, {.run = wait_at_gate}, {.run = wait_at_gate},
                               {.run = wait_at_gate}};
    assert_int_equal(pool_init(&p, 0, 1, NULL), ERR_INVAL);
    assert_int_equal(pool_init(&p, 1, 0, NULL), ERR_INVAL);
    assert_int_equal(pool_init(&p, 1, 2, NULL), 0);
    memset(&sum, 0, sizeof sum);
    pthread_mutex_lock(&gate);
    assert_int_equal(pool_submit(p, &jobs[0]), 0);
    while (atomic_load(&sum.run) == 0)
        ;
    assert_int_equal(pool_submit(p, &jobs[1]), 0);
    assert_int_equal(pool_submit(p, &jobs[2]), 0);
    assert_int_equal(pool_waiting(p), 2);
    assert_int_equal(pool_submit(p, &jobs[3]), ERR_LIMIT);
    pthread_mutex_unlock(&gate);
    pool_stop(p);
    assert_int_equal(atomic_load(&sum.run), 3);
    assert_int_equal(pool_submit(p, &jobs[3]), ERR_CLOSED);
    pool_free(&p);
}

static void constructors_survive_out_of_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct loop *l = NULL;
        struct loop_timer *t = NULL;
        struct pool *p = NULL;
        mem_fail_at(n);
        int rc = loop_init(&l, "test", NULL);
        if (rc == 0)
            rc = loop_timer_init(&t, l, on_tick, NULL);
        if (rc == 0)
            rc = pool_init(&p, 1, 1, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        pool_free(&p);
        loop_timer_free(&t);
        loop_free(&l);
        if (over) {
            assert_int_equal(rc, 0);
            assert_true(n > 3);
            return;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_of_each_thread_arrive_once_and_in_order),
        cmocka_unit_test(a_call_is_made_on_the_loops_thread_and_waited_for),
        cmocka_unit_test(work_posted_to_a_loop_that_never_ran_is_done_by_free),
        cmocka_unit_test(a_timer_repeats_until_it_is_freed_and_is_never_early),
        cmocka_unit_test(a_stopped_timer_does_not_fire),
        cmocka_unit_test(every_job_runs_once_and_comes_home),
        cmocka_unit_test(a_full_pool_refuses_and_a_stopped_one_finishes_what_it_took),
        cmocka_unit_test(constructors_survive_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
