/* net/loop_uv.c - loops over libuv: a mutex queue with one uv_async as its bell, and timers. */
#include "net/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/loop_priv.h"

enum { STACK_BYTES = 2 * 1024 * 1024, NAME_MAX_BYTES = 15, CLOSE_TURNS = 1000 };

struct loop {
    uv_loop_t uv;
    uv_async_t bell;
    uv_timer_t turn;
    char name[NAME_MAX_BYTES + 1];
    void *scratch;
    pthread_t thread;
    bool threaded; /* loop_start() was called and loop_join() was not */
    struct loop_work stop;
    atomic_bool stopping;
    atomic_bool running; /* some thread is inside, or about to enter, loop_run() */
    pthread_mutex_t lock;
    struct list queue; /* guarded by lock */
};

struct loop_timer {
    uv_timer_t uv;
    loop_fn fn;
    void *arg;
};

static _Thread_local struct loop *current;

static void run_queue(struct loop *l)
{
    struct list batch;
    list_init(&batch);
    pthread_mutex_lock(&l->lock);
    if (!list_is_empty(&l->queue)) {
        batch = l->queue;
        batch.next->prev = &batch;
        batch.prev->next = &batch;
        list_init(&l->queue);
    }
    pthread_mutex_unlock(&l->lock);
    struct list *at;
    while ((at = list_first(&batch)) != NULL) {
        struct loop_work *w = LIST_ITEM(at, struct loop_work, link);
        loop_fn fn = w->fn;
        void *arg = w->arg;
        list_remove(at);
        fn(arg);
    }
}

static void on_bell(uv_async_t *bell)
{
    run_queue(bell->data);
}

int loop_init(struct loop **out, const char *name, struct err *err)
{
    struct loop *l = mem_zalloc(sizeof *l);
    if (l == NULL || (l->scratch = mem_alloc(LOOP_SCRATCH)) == NULL) {
        mem_free(l);
        return err_set(err, ERR_NOMEM, "loop %s", name);
    }
    int rc = uv_loop_init(&l->uv);
    if (rc != 0) {
        mem_free(l->scratch);
        mem_free(l);
        return err_set(err, loop_err_of_uv(rc), "loop %s: %s", name, uv_strerror(rc));
    }
    rc = uv_async_init(&l->uv, &l->bell, on_bell);
    if (rc != 0) {
        uv_loop_close(&l->uv);
        mem_free(l->scratch);
        mem_free(l);
        return err_set(err, loop_err_of_uv(rc), "loop %s: %s", name, uv_strerror(rc));
    }
    uv_timer_init(&l->uv, &l->turn);
    l->bell.data = l;
    l->uv.data = l;
    memcpy(l->name, name, strnlen(name, NAME_MAX_BYTES));
    list_init(&l->queue);
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return 0;
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

bool loop_is_running(const struct loop *l)
{
    return atomic_load(&l->running);
}

void *loop_scratch(struct loop *l)
{
    return l->scratch;
}

static void enter(struct loop *l)
{
    struct loop *outer = current;
    current = l;
    uv_run(&l->uv, UV_RUN_DEFAULT);
    atomic_store(&l->stopping, false);
    /* What was posted until now is still done here; later posts wait for the next run. */
    bool over = false;
    while (!over) {
        run_queue(l);
        pthread_mutex_lock(&l->lock);
        over = list_is_empty(&l->queue);
        if (over)
            atomic_store(&l->running, false);
        pthread_mutex_unlock(&l->lock);
    }
    current = outer;
}

static void *thread_main(void *arg)
{
    struct loop *l = arg;
    pthread_setname_np(pthread_self(), l->name);
    enter(l);
    return NULL;
}

int loop_start(struct loop *l, struct err *err)
{
    ASSERT(!l->threaded && !atomic_load(&l->running));
    pthread_attr_t attr;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    atomic_store(&l->running, true);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the main thread's */
    int rc = pthread_create(&l->thread, &attr, thread_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        atomic_store(&l->running, false);
        return err_set(err, ERR_IO, "thread %s: %s", l->name, uv_strerror(-rc));
    }
    l->threaded = true;
    return 0;
}

void loop_run(struct loop *l)
{
    ASSERT(!atomic_load(&l->running));
    atomic_store(&l->running, true);
    enter(l);
}

static void on_turn(uv_timer_t *timer)
{
    (void)timer;
}

void loop_turn(struct loop *l, uint32_t wait_ms)
{
    ASSERT(!atomic_load(&l->running));
    if (wait_ms == 0) {
        uv_run(&l->uv, UV_RUN_NOWAIT);
        return;
    }
    uv_update_time(&l->uv);
    uv_timer_start(&l->turn, on_turn, wait_ms, 0);
    uv_run(&l->uv, UV_RUN_ONCE);
    uv_timer_stop(&l->turn);
}

static void on_stop(void *arg)
{
    struct loop *l = arg;
    uv_stop(&l->uv);
}

void loop_stop(struct loop *l)
{
    bool before = false;
    if (atomic_compare_exchange_strong(&l->stopping, &before, true))
        loop_post(l, &l->stop, on_stop, l);
}

void loop_join(struct loop *l)
{
    if (!l->threaded)
        return;
    pthread_join(l->thread, NULL);
    l->threaded = false;
}

static bool is_queue_empty(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    bool empty = list_is_empty(&l->queue);
    pthread_mutex_unlock(&l->lock);
    return empty;
}

void loop_free(struct loop **lp)
{
    struct loop *l = *lp;
    if (l == NULL)
        return;
    *lp = NULL;
    if (l->threaded) {
        loop_stop(l);
        loop_join(l);
    }
    ASSERT(!atomic_load(&l->running));
    while (!is_queue_empty(l))
        run_queue(l);
    uv_close((uv_handle_t *)&l->bell, NULL);
    uv_close((uv_handle_t *)&l->turn, NULL);
    /* Handles that were closed earlier need a turn or two to be gone. */
    int rc = UV_EBUSY;
    for (int i = 0; i < CLOSE_TURNS && rc == UV_EBUSY; i++) {
        uv_run(&l->uv, UV_RUN_NOWAIT);
        rc = uv_loop_close(&l->uv);
    }
    ASSERT(rc == 0);
    pthread_mutex_destroy(&l->lock);
    mem_free(l->scratch);
    mem_free(l);
}

bool loop_is_mine(const struct loop *l)
{
    return current == l || !atomic_load(&l->running);
}

void loop_post(struct loop *l, struct loop_work *w, loop_fn fn, void *arg)
{
    w->fn = fn;
    w->arg = arg;
    pthread_mutex_lock(&l->lock);
    list_push_back(&l->queue, &w->link);
    /* Inside the lock: whoever sees the work done may free the loop. */
    uv_async_send(&l->bell);
    pthread_mutex_unlock(&l->lock);
}

struct waiting_call {
    struct loop_work work;
    loop_fn fn;
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

static void on_waiting_call(void *arg)
{
    struct waiting_call *c = arg;
    c->fn(c->arg);
    pthread_mutex_lock(&c->lock);
    c->done = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->lock);
}

void loop_call(struct loop *l, loop_fn fn, void *arg)
{
    struct waiting_call c = {.fn = fn, .arg = arg};
    bool posted = false;
    if (current != l) {
        pthread_mutex_lock(&l->lock);
        if (atomic_load(&l->running)) {
            c.work.fn = on_waiting_call;
            c.work.arg = &c;
            pthread_mutex_init(&c.lock, NULL);
            pthread_cond_init(&c.cond, NULL);
            list_push_back(&l->queue, &c.work.link);
            uv_async_send(&l->bell);
            posted = true;
        }
        pthread_mutex_unlock(&l->lock);
    }
    if (!posted) {
        fn(arg);
        return;
    }
    pthread_mutex_lock(&c.lock);
    while (!c.done)
        pthread_cond_wait(&c.cond, &c.lock);
    pthread_mutex_unlock(&c.lock);
    pthread_cond_destroy(&c.cond);
    pthread_mutex_destroy(&c.lock);
}

mono_ms loop_now(struct loop *l)
{
    return (mono_ms)uv_now(&l->uv);
}

int loop_timer_init(struct loop_timer **out, struct loop *l, loop_fn fn, void *arg)
{
    struct loop_timer *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    uv_timer_init(&l->uv, &t->uv);
    t->uv.data = t;
    t->fn = fn;
    t->arg = arg;
    *out = t;
    return 0;
}

static void on_timer(uv_timer_t *uv)
{
    struct loop_timer *t = uv->data;
    t->fn(t->arg);
}

void loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
    uv_update_time(t->uv.loop); /* else the delay counts from the start of the turn */
    uv_timer_start(&t->uv, on_timer, delay_ms, repeat_ms);
}

void loop_timer_stop(struct loop_timer *t)
{
    uv_timer_stop(&t->uv);
}

static void on_timer_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

void loop_timer_free(struct loop_timer **tp)
{
    struct loop_timer *t = *tp;
    if (t == NULL)
        return;
    *tp = NULL;
    uv_close((uv_handle_t *)&t->uv, on_timer_closed);
}

int loop_err_of_uv(int uv_code)
{
    switch (uv_code) {
    case 0: return 0;
    case UV_ENOMEM: return ERR_NOMEM;
    case UV_EADDRINUSE: return ERR_EXIST;
    case UV_EADDRNOTAVAIL:
    case UV_EINVAL: return ERR_INVAL;
    case UV_EACCES:
    case UV_EPERM: return ERR_DENIED;
    case UV_ECONNREFUSED: return ERR_REFUSED;
    case UV_ETIMEDOUT: return ERR_TIMEOUT;
    case UV_ECONNRESET:
    case UV_EPIPE: return ERR_CLOSED;
    case UV_EMFILE:
    case UV_ENFILE: return ERR_LIMIT;
    case UV_ECANCELED: return ERR_CANCELED;
    default: return ERR_IO;
    }
}
