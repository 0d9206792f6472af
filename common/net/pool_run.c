/* net/pool_run.c - the pool: a queue under a mutex, threads that wait for it. */
#include "net/pool.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/mem.h"

enum { THREADS_MAX = 256, STACK_BYTES = 2 * 1024 * 1024 };

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list queue; /* guarded by lock, as the rest up to `threads` */
    size_t waiting, waiting_max;
    bool stopped;
    unsigned count;
    pthread_t threads[];
};

static void *thread_main(void *arg)
{
    struct pool *p = arg;
    pthread_setname_np(pthread_self(), "cpu");
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct list *at = list_first(&p->queue);
        if (at == NULL) {
            if (p->stopped)
                break;
            pthread_cond_wait(&p->wake, &p->lock);
            continue;
        }
        list_remove(at);
        p->waiting--;
        pthread_mutex_unlock(&p->lock);
        struct pool_job *job = LIST_ITEM(at, struct pool_job, link);
        /* The job may be freed by its own run() when nobody is told. */
        struct loop *home = job->home;
        job->run(job->arg);
        if (home != NULL)
            loop_post(home, &job->back, job->done, job->arg);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int pool_init(struct pool **out, unsigned threads, size_t waiting_max, struct err *err)
{
    if (threads == 0 || threads > THREADS_MAX || waiting_max == 0)
        return err_set(err, ERR_INVAL, "a pool of %u threads, %zu waiting", threads, waiting_max);
    struct pool *p = mem_zalloc(sizeof *p + threads * sizeof p->threads[0]);
    if (p == NULL)
        return err_set(err, ERR_NOMEM, "pool");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    list_init(&p->queue);
    p->waiting_max = waiting_max;
    pthread_attr_t attr;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = 0;
    while (p->count < threads && rc == 0) {
        rc = pthread_create(&p->threads[p->count], &attr, thread_main, p);
        p->count += rc == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        char text[128];
        pool_free(&p);
        return err_set(err, ERR_IO, "thread of a pool: %s", strerror_r(rc, text, sizeof text));
    }
    *out = p;
    return 0;
}

int pool_submit(struct pool *p, struct pool_job *job)
{
    int rc = 0;
    pthread_mutex_lock(&p->lock);
    if (p->stopped) {
        rc = ERR_CLOSED;
    } else if (p->waiting >= p->waiting_max) {
        rc = ERR_LIMIT;
    } else {
        list_push_back(&p->queue, &job->link);
        p->waiting++;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

size_t pool_waiting(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->waiting;
    pthread_mutex_unlock(&p->lock);
    return n;
}

void pool_stop(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopped = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        pthread_join(p->threads[i], NULL);
    p->count = 0;
}

void pool_free(struct pool **pp)
{
    struct pool *p = *pp;
    if (p == NULL)
        return;
    *pp = NULL;
    pool_stop(p);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}
