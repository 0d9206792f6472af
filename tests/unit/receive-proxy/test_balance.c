/* Addresses take turns; one that fails is passed over for a while and then tried again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "balance.h"

#include "base/err.h"
#include "base/mem.h"

static struct addr addr(uint8_t last)
{
    return (struct addr){.ip = {10, 0, 0, last}, .port = 80, .family = 4};
}

static uint8_t pick(struct balance *b, mono_ms now)
{
    struct addr a;
    assert_true(balance_pick(b, now, &a));
    return a.ip[3];
}

static struct balance *three(void)
{
    struct balance *b = NULL;
    struct addr a[] = {addr(1), addr(2), addr(3), addr(2)};
    assert_int_equal(balance_init(&b), 0);
    assert_int_equal(balance_set(b, a, 4), 0);
    assert_int_equal(balance_count(b), 3);
    return b;
}

static void they_take_turns(void **state)
{
    struct balance *b = three();
    (void)state;
    for (int i = 0; i < 9; i++)
        assert_int_equal(pick(b, 0), i % 3 + 1);
    balance_free(&b);
    assert_null(b);
    balance_free(&b);
}

static void one_that_fails_is_passed_over_and_tried_again(void **state)
{
    struct balance *b = three();
    struct addr bad = addr(2);
    (void)state;
    balance_failed(b, &bad, 1000);
    assert_int_equal(balance_ready(b, 1000), 2);
    for (int i = 0; i < 6; i++)
        assert_int_not_equal(pick(b, 1999), 2);
    unsigned tried = 0;
    for (int i = 0; i < 6; i++)
        tried += pick(b, 2000) == 2;
    assert_int_equal(tried, 1); /* one request finds out, not a third of them */
    balance_failed(b, &bad, 2000);
    for (int i = 0; i < 6; i++)
        assert_int_not_equal(pick(b, 3999), 2);
    balance_worked(b, &bad);
    tried = 0;
    for (int i = 0; i < 6; i++)
        tried += pick(b, 3999) == 2;
    assert_int_equal(tried, 2);
    balance_free(&b);
}

static void it_is_never_left_alone_for_more_than_half_a_minute(void **state)
{
    struct balance *b = three();
    struct addr bad = addr(1);
    (void)state;
    for (int i = 0; i < 100; i++)
        balance_failed(b, &bad, 0);
    assert_int_equal(balance_ready(b, 29999), 2);
    assert_int_equal(balance_ready(b, 30000), 3);
    balance_free(&b);
}

static void when_all_fail_the_next_to_recover_is_tried_all_the_same(void **state)
{
    struct balance *b = three();
    struct addr a[] = {addr(1), addr(2), addr(3)};
    (void)state;
    balance_failed(b, &a[0], 100);
    balance_failed(b, &a[1], 50);
    balance_failed(b, &a[2], 200);
    assert_int_equal(balance_ready(b, 300), 0);
    assert_int_equal(pick(b, 300), 2);
    balance_free(&b);
}

static void a_new_set_keeps_what_is_known_of_those_that_stay(void **state)
{
    struct balance *b = three();
    struct addr next[] = {addr(2), addr(4)}, gone = addr(1), stays = addr(2), a;
    (void)state;
    balance_failed(b, &stays, 0);
    assert_int_equal(balance_set(b, next, 2), 0);
    assert_int_equal(balance_ready(b, 0), 1);
    assert_int_equal(pick(b, 0), 4);
    balance_failed(b, &gone, 0); /* nobody any more */
    balance_worked(b, &gone);
    assert_int_equal(balance_set(b, NULL, 0), 0);
    assert_false(balance_pick(b, 0, &a));
    balance_free(&b);
}

static void without_memory_the_old_set_stays(void **state)
{
    struct balance *b = NULL;
    struct addr one = addr(9);
    (void)state;
    mem_fail_at(1);
    assert_int_equal(balance_init(&b), ERR_NOMEM);
    b = three();
    mem_fail_at(1);
    assert_int_equal(balance_set(b, &one, 1), ERR_NOMEM);
    mem_fail_at(0);
    assert_int_equal(balance_count(b), 3);
    balance_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_take_turns),
        cmocka_unit_test(one_that_fails_is_passed_over_and_tried_again),
        cmocka_unit_test(it_is_never_left_alone_for_more_than_half_a_minute),
        cmocka_unit_test(when_all_fail_the_next_to_recover_is_tried_all_the_same),
        cmocka_unit_test(a_new_set_keeps_what_is_known_of_those_that_stay),
        cmocka_unit_test(without_memory_the_old_set_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
