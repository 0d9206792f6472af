/* Arenas that are kept from one request to the next. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arenas.h"
#include "base/err.h"

#include <pthread.h>
#include <string.h>

static struct arena *take(struct arenas *s)
{
    struct arena *a = NULL;
    assert_int_equal(arenas_take(s, &a), 0);
    assert_non_null(a);
    return a;
}

static void what_was_given_is_taken_again_empty_with_its_memory(void **state)
{
    (void)state;
    struct arenas s;
    arenas_init(&s, 1024, 1 << 20, NULL);
    struct arena *a = take(&s), *first = a;
    void *p = arena_alloc(a, 512);
    size_t bytes = arena_bytes(a);
    arenas_give(&s, &a);
    assert_null(a);
    a = take(&s);
    assert_ptr_equal(a, first);
    assert_ptr_equal(arena_alloc(a, 512), p);
    assert_int_equal(arena_bytes(a), bytes);
    struct arena *other = take(&s);
    assert_ptr_not_equal(other, a);
    arenas_give(&s, &a);
    arenas_give(&s, &other);
    arenas_give(&s, &other); /* NULL */
    arenas_reset(&s);
}

static void what_grew_too_large_is_freed_and_uncharged(void **state)
{
    (void)state;
    struct arenas s;
    struct mem_account account;
    mem_account_init(&account, NULL, "test", 0);
    arenas_init(&s, 1024, 4096, &account);
    struct arena *a = take(&s);
    assert_non_null(arena_alloc(a, 8192));
    arenas_give(&s, &a);
    assert_null(a);
    assert_int_equal(atomic_load(&account.used), 0);
    a = take(&s);
    assert_non_null(arena_alloc(a, 100));
    arenas_give(&s, &a);
    assert_true(atomic_load(&account.used) > 0);
    arenas_reset(&s);
    assert_int_equal(atomic_load(&account.used), 0);
}

static void more_than_are_kept_can_be_out(void **state)
{
    (void)state;
    struct arenas s;
    struct mem_account account;
    struct arena *all[ARENAS_KEPT + 3];
    mem_account_init(&account, NULL, "test", 0);
    arenas_init(&s, 1024, 1 << 20, &account);
    for (size_t i = 0; i < ARENAS_KEPT + 3; i++) {
        all[i] = take(&s);
        assert_non_null(arena_alloc(all[i], 10));
    }
    uint64_t each = atomic_load(&account.used) / (ARENAS_KEPT + 3);
    for (size_t i = 0; i < ARENAS_KEPT + 3; i++)
        arenas_give(&s, &all[i]);
    assert_int_equal(atomic_load(&account.used), each * ARENAS_KEPT);
    arenas_reset(&s);
    assert_int_equal(atomic_load(&account.used), 0);
}

static void no_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    struct arenas s;
    struct arena *a = NULL;
    arenas_init(&s, 1024, 1 << 20, NULL);
    mem_fail_at(1);
    assert_int_equal(arenas_take(&s, &a), ERR_NOMEM);
    mem_fail_at(0);
    arenas_reset(&s);
}

static void *work(void *arg)
{
    struct arenas *s = arg;
    for (int i = 0; i < 5000; i++) {
        struct arena *a = take(s);
        unsigned char *p = arena_alloc(a, 64);
        assert_non_null(p);
        memset(p, i, 64);
        for (int k = 0; k < 64; k++)
            assert_int_equal(p[k], (unsigned char)i);
        arenas_give(s, &a);
    }
    return NULL;
}

static void no_two_threads_have_the_same_arena(void **state)
{
    (void)state;
    struct arenas s;
    pthread_t threads[4];
    arenas_init(&s, 1024, 1 << 20, NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &s), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    arenas_reset(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_given_is_taken_again_empty_with_its_memory),
        cmocka_unit_test(what_grew_too_large_is_freed_and_uncharged),
        cmocka_unit_test(more_than_are_kept_can_be_out),
        cmocka_unit_test(no_memory_is_an_error_and_leaks_nothing),
        cmocka_unit_test(no_two_threads_have_the_same_arena),
    };
    return cmocka_run_group_tests_name("arenas", tests, NULL, NULL);
}
