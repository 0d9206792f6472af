/* Heap that fails on demand, accounts that end, arenas that are freed whole. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

static void the_nth_allocation_fails_once(void **state)
{
    (void)state;
    mem_fail_at(2);
    void *a = mem_alloc(8);
    assert_non_null(a);
    assert_true(mem_fail_pending());
    assert_null(mem_zalloc(8));
    assert_false(mem_fail_pending());
    void *b = mem_alloc(0);
    assert_non_null(b);
    mem_free(a);
    mem_free(b);
}

static void a_product_that_overflows_is_no_memory(void **state)
{
    (void)state;
    volatile size_t huge = SIZE_MAX / 2;
    assert_null(mem_calloc(huge, 4));
    assert_null(mem_realloc_array(NULL, huge, 4));
}

static void a_charge_counts_in_every_parent_or_nowhere(void **state)
{
    (void)state;
    struct mem_account root, child;
    mem_account_init(&root, NULL, "root", 100);
    mem_account_init(&child, &root, "child", 0);
    assert_int_equal(mem_charge(&child, 60), 0);
    assert_int_equal(mem_charge(&child, 41), ERR_LIMIT);
    assert_int_equal(child.used, 60);
    assert_int_equal(root.used, 60);
    assert_int_equal(mem_charge(&child, 40), 0);
    mem_uncharge(&child, 100);
    assert_int_equal(root.used, 0);
    assert_int_equal(root.peak, 100);
}

static void an_arena_gives_aligned_memory_and_returns_its_charge(void **state)
{
    (void)state;
    struct mem_account acc;
    mem_account_init(&acc, NULL, "arena", 1 << 20);
    struct arena *a = NULL;
    assert_int_equal(arena_init(&a, 64, &acc), 0);
    for (size_t i = 1; i < 200; i++) {
        unsigned char *p = arena_zalloc(a, i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_int_equal(p[i - 1], 0);
        memset(p, 0xff, i);
    }
    assert_true(acc.used > 0);
    assert_int_equal(acc.used, arena_bytes(a));
    arena_reset(a);
    assert_non_null(arena_dup(a, "abc", 4));
    assert_null(arena_alloc(a, 2 << 20)); /* over the account */
    assert_null(arena_calloc(a, SIZE_MAX / 2, 3));
    arena_free(&a);
    assert_null(a);
    arena_free(&a);
    assert_int_equal(acc.used, 0);
}

static void no_memory_leaves_the_arena_usable(void **state)
{
    (void)state;
    struct arena *a = NULL;
    mem_fail_at(1);
    assert_int_equal(arena_init(&a, 0, NULL), ERR_NOMEM);
    assert_null(a);
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    mem_fail_at(1);
    assert_null(arena_alloc(a, 10));
    assert_non_null(arena_alloc(a, 10));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_allocation_fails_once),
        cmocka_unit_test(a_product_that_overflows_is_no_memory),
        cmocka_unit_test(a_charge_counts_in_every_parent_or_nowhere),
        cmocka_unit_test(an_arena_gives_aligned_memory_and_returns_its_charge),
        cmocka_unit_test(no_memory_leaves_the_arena_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
