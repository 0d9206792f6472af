/* The generator is the published one, uniform, and the same for the same seed. Lists too. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "base/rng.h"

#include <string.h>

static void the_same_seed_gives_the_same_numbers(void **state)
{
    (void)state;
    struct rng a, b, c;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_seed(&c, 43);
    int differ = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t x = rng_u64(&a);
        assert_true(x == rng_u64(&b));
        differ += x != rng_u64(&c);
    }
    assert_true(differ > 90);
}

static void it_is_xoshiro256_starstar(void **state)
{
    (void)state;
    /* With state {1, 2, 3, 4} the published algorithm gives these first. */
    struct rng r = {{1, 2, 3, 4}};
    assert_true(rng_u64(&r) == 11520);
    assert_true(rng_u64(&r) == 0);
    assert_true(rng_u64(&r) == 1509978240);
}

static void below_is_uniform(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    unsigned seen[10] = {0};
    for (int i = 0; i < 100000; i++)
        seen[rng_below(&r, 10)]++;
    for (int i = 0; i < 10; i++)
        assert_in_range(seen[i], 9500, 10500);
    assert_false(rng_chance(&r, 0, 5));
    assert_true(rng_chance(&r, 5, 5));
}

struct item {
    int n;
    struct list link;
};

static void a_list_keeps_its_order_and_forgives_double_removal(void **state)
{
    (void)state;
    struct list head;
    struct item items[3] = {{.n = 1}, {.n = 2}, {.n = 3}};
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head));
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    int want = 1;
    LIST_EACH(it, &head)
        assert_int_equal(LIST_ITEM(it, struct item, link)->n, want++);
    LIST_EACH_SAFE(it, &head)
        if (LIST_ITEM(it, struct item, link)->n == 2)
            list_remove(it);
    list_remove(&items[1].link);
    assert_ptr_equal(list_first(&head)->next, &items[2].link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(it_is_xoshiro256_starstar),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(a_list_keeps_its_order_and_forgives_double_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
