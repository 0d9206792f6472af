/* A generation ends while pushes are under way: what was acknowledged is there, whoever was quick
 * enough to ask in that moment. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "store/store.h"

#include "../../lib/memdisk.h"
#include "../../lib/storekit.h"

enum { THREADS = 4, PUSHES = 400 };

struct pusher {
    struct store *s;
    unsigned writer;
    unsigned acknowledged, lost;
};

static _Atomic unsigned running;

static bool holds(struct store *s, unsigned writer, uint32_t seq)
{
    struct view *v;
    struct vector *held = NULL;
    bool has = store_view(s, STR("t"), &v) == 0 && store_held(v, 0, 1, &held, NULL) == 0 &&
               vector_has(held, kit_lane(writer), seq);
    vector_free(&held);
    view_free(&v);
    return has;
}

/* Pushes each profile until it is acknowledged, as a distributor's client does. Two push the same
 * dots, as a client library does that sends twice: one often finds the other's dot pending. */
static void *push_all(void *arg)
{
    struct pusher *me = arg;
    for (unsigned i = 0; i < PUSHES; i++) {
        struct kit_profile p = {.service = me->writer % 2 == 0 ? "even" : "odd",
                                .members = 1,
                                .time_ns = 1000000000ll * (i + 1),
                                .nonce = me->writer << 16 | i,
                                .writer = me->writer,
                                .seq = i + 1,
                                .stack_seed = i,
                                .samples = 3};
        struct store_appended info;
        for (unsigned n = 0; n < 20000 && kit_push(me->s, "t", &p, 1, &info) != 0; n++)
            (void)sched_yield();
        me->acknowledged++;
        (void)sched_yield();
        me->lost += !holds(me->s, me->writer, i + 1);
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void nothing_is_acknowledged_that_the_end_of_a_generation_took(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0, lost = 0;
    struct store *s = NULL;
    struct store_config c = kit_config("/d", &forgotten);
    struct pusher pushers[THREADS];
    pthread_t threads[THREADS];
    c.retry_ms = 1;
    assert_int_equal(store_open(&s, &c, memdisk_io(d), NULL), 0);
    atomic_store(&running, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        (void)kit_lane(i); /* made now, not by two threads at once */
    for (unsigned i = 0; i < THREADS; i++) {
        pushers[i] = (struct pusher){.s = s, .writer = i / 2};
        assert_int_equal(pthread_create(&threads[i], NULL, push_all, &pushers[i]), 0);
    }
    for (uint64_t n = 0; atomic_load(&running) > 0; n++) {
        uint64_t from = memdisk_calls(d);
        memdisk_fail_at(d, 8 + n % 17, 1, ERR_IO);
        while (memdisk_calls(d) < from + 40 && atomic_load(&running) > 0)
            (void)sched_yield();
    }
    memdisk_fail_at(d, 0, 0, 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(pushers[i].acknowledged, PUSHES);
        lost += pushers[i].lost;
    }
    assert_int_equal(lost, 0);
    struct store_stats stats;
    store_stats(s, &stats);
    assert_true(stats.failures > 5);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_acknowledged_that_the_end_of_a_generation_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
