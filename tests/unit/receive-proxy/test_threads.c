/* Several threads send through one pyroscope.write while its receiver comes and goes and the
 * configuration is replaced: every item has one result, and nothing that was promised is lost. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <pthread.h>
#include <stdatomic.h>

#include "../../lib/memdisk.h"

enum { SENDERS = 3, ITEMS = 150, AT_ONCE = 8 };

struct sender {
    struct all *all;
    struct loop *loop;
    struct http_client *client;
    struct flow_thread thread;
    struct loop_timer *timer;
    unsigned index, sent, under_way;
    _Atomic unsigned ended;
    char bodies[ITEMS][16];
    struct flow_item items[ITEMS];
    bool good[ITEMS];
};

struct one {
    struct sender *sender;
    unsigned index;
};

struct all {
    pthread_mutex_t lock;
    struct receiver *receiver; /* under the lock */
    struct sender senders[SENDERS];
    struct one ones[SENDERS][ITEMS];
};

static void on_end(void *arg, const struct flow_result *r)
{
    struct one *o = arg;
    struct sender *s = o->sender;
    s->good[o->index] = r->stored + r->synced > 0;
    s->under_way--;
    atomic_fetch_add(&s->ended, 1);
}

static void next(struct sender *s)
{
    static const struct label labels[] = {{STR_INIT("service_name"), STR_INIT("svc")}};
    while (s->sent < ITEMS && s->under_way < AT_ONCE) {
        unsigned i = s->sent++;
        s->all->ones[s->index][i] = (struct one){s, i};
        (void)snprintf(s->bodies[i], sizeof s->bodies[i], "%u-%u", s->index, i);
        s->items[i] = (struct flow_item){.kind = FLOW_INGEST,
                                         .labels = labels,
                                         .label_count = 1,
                                         .body = str_c(s->bodies[i]),
                                         .deadline = clock_mono_ms() + 2000};
        pthread_mutex_lock(&s->all->lock);
        struct receiver *r = receiver_retain(s->all->receiver);
        pthread_mutex_unlock(&s->all->lock);
        s->under_way++;
        r->ops->append(r, &s->thread, &s->items[i], on_end, &s->all->ones[s->index][i]);
        receiver_release(r);
    }
}

static void on_timer(void *arg)
{
    next(arg);
}

static void start_sender(struct all *all, unsigned i)
{
    struct sender *s = &all->senders[i];
    struct http_client_config config = {0};
    s->all = all;
    s->index = i;
    assert_int_equal(loop_init(&s->loop, "sender", NULL), 0);
    assert_int_equal(http_client_init(&s->client, s->loop, &config, NULL), 0);
    assert_int_equal(flow_thread_init(&s->thread, s->loop, s->client, 10 + i), 0);
    assert_int_equal(loop_timer_init(&s->timer, s->loop, on_timer, s), 0);
    loop_timer_start(s->timer, 0, 2);
    assert_int_equal(loop_start(s->loop, NULL), 0);
}

static unsigned ended(struct all *all)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SENDERS; i++)
        n += atomic_load(&all->senders[i].ended);
    return n;
}

static void stop_timer(void *arg)
{
    loop_timer_stop(((struct sender *)arg)->timer);
}

static void stop_sender(struct sender *s)
{
    loop_call(s->loop, stop_timer, s);
    loop_stop(s->loop);
    loop_join(s->loop);
    loop_timer_free(&s->timer);
    http_client_free(&s->client);
    flow_thread_reset(&s->thread);
    loop_free(&s->loop);
}

/* How often a body has arrived. */
static unsigned arrivals(const struct peer *p, const char *body)
{
    unsigned n = 0;
    for (size_t i = 0; i < p->count; i++)
        n += str_eq(buf_view(&p->requests[i].body), str_c(body));
    return n;
}

/* The world's queues, on a loop. */
static void make_queues(struct world *w, struct loop *loop)
{
    struct http_client_config config = {0};
    assert_int_equal(http_client_init(&w->queue_client, loop, &config, NULL), 0);
    assert_int_equal(flow_thread_init(&w->queue_thread, loop, w->queue_client, 1), 0);
    assert_int_equal(queues_init(&w->queues, &w->queue_thread, w->io, &w->queue_metrics, &w->log,
                                 1),
                     0);
    w->write.queues = w->queues;
}

static void drop_queues(struct world *w)
{
    queues_stop(w->queues);
    http_client_free(&w->queue_client);
    queues_free(&w->queues);
}

/* Until all items have ended: the receiver answers 503, the configuration is replaced. */
static void reload_until_all_ended(struct world *w, struct all *all)
{
    unsigned turn = 0;
    mono_ms limit = clock_mono_ms() + 60000;
    while (ended(all) < SENDERS * ITEMS && clock_mono_ms() < limit) {
        loop_turn(w->loop, 5);
        if (++turn % 20 == 0) {
            struct receiver *old = all->receiver;
            world_start(w);
            pthread_mutex_lock(&all->lock);
            all->receiver = w->receiver;
            pthread_mutex_unlock(&all->lock);
            receiver_release(old);
        }
        peer_forget(&w->peers[0]); /* room for more */
    }
    assert_int_equal(ended(all), SENDERS * ITEMS);
}

/* The receiver is well again: all arrive, each once. */
static void all_arrive_once(struct world *w, struct all *all)
{
    static unsigned got[SENDERS][ITEMS];
    unsigned total = 0;
    mono_ms limit = clock_mono_ms() + 60000;
    memset(got, 0, sizeof got);
    peer_forget(&w->peers[0]);
    w->peers[0].usual.status = 200;
    while (total < SENDERS * ITEMS && clock_mono_ms() < limit) {
        loop_turn(w->loop, 5);
        for (unsigned i = 0; i < SENDERS; i++)
            for (unsigned k = 0; w->peers[0].count > 0 && k < ITEMS; k++) {
                unsigned n = arrivals(&w->peers[0], all->senders[i].bodies[k]);
                got[i][k] += n;
                total += n;
            }
        peer_forget(&w->peers[0]);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        for (unsigned k = 0; k < ITEMS; k++)
            assert_int_equal(got[i][k], 1);
}

static void every_promise_is_kept_across_threads_and_configurations(void **state)
{
    struct world *w = mem_zalloc(sizeof *w);
    struct all *all = mem_zalloc(sizeof *all);
    struct memdisk *disk = memdisk_new();
    struct loop *queue_loop = NULL;
    (void)state;
    pthread_mutex_init(&all->lock, NULL);
    world_init(w, memdisk_io(disk));
    drop_queues(w); /* they get a thread of their own */
    flow_thread_reset(&w->queue_thread);
    w->log.sink = NULL; /* the test's is for one thread */
    assert_int_equal(loop_init(&queue_loop, "queue", NULL), 0);
    make_queues(w, queue_loop);
    assert_int_equal(loop_start(queue_loop, NULL), 0);
    w->settings.queue.enabled = true;
    w->settings.queue.dir = STR("/q");
    w->endpoints[0].max_backoff_retries = 2;
    w->peers[0].usual.status = 503;
    world_start(w);
    all->receiver = w->receiver;
    for (unsigned i = 0; i < SENDERS; i++)
        start_sender(all, i);
    reload_until_all_ended(w, all);
    for (unsigned i = 0; i < SENDERS; i++)
        stop_sender(&all->senders[i]);
    for (unsigned i = 0; i < SENDERS; i++)
        for (unsigned k = 0; k < ITEMS; k++)
            assert_true(all->senders[i].good[k]); /* the disk has every one of them */
    all_arrive_once(w, all);
    receiver_release(all->receiver);
    w->receiver = NULL;
    drop_queues(w);
    loop_stop(queue_loop);
    loop_join(queue_loop);
    flow_thread_reset(&w->queue_thread);
    loop_free(&queue_loop);
    make_queues(w, w->loop); /* what world_stop() expects to find */
    world_stop(w);
    pthread_mutex_destroy(&all->lock);
    memdisk_free(&disk);
    mem_free(all);
    mem_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_promise_is_kept_across_threads_and_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
