/* Lists: links keep their order, and removing is harmless whenever it happens. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"

struct item {
    int number;
    struct list link;
};

static int digits(const struct list *head)
{
    int all = 0;
    LIST_EACH(it, head)
        all = all * 10 + LIST_ITEM(it, struct item, link)->number;
    return all;
}

static void elements_keep_the_order_in_which_they_were_put(void **state)
{
    (void)state;
    struct item a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    struct list head;
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head));
    list_push_back(&head, &b.link);
    list_push_back(&head, &c.link);
    list_push_front(&head, &a.link);
    assert_int_equal(digits(&head), 123);
    assert_ptr_equal(list_first(&head), &a.link);
    assert_ptr_equal(head.prev, &c.link);
}

static void what_is_removed_is_gone_and_may_be_removed_again(void **state)
{
    (void)state;
    struct item a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    struct list head;
    list_init(&head);
    list_push_back(&head, &a.link);
    list_push_back(&head, &b.link);
    list_push_back(&head, &c.link);
    list_remove(&b.link);
    list_remove(&b.link);
    assert_int_equal(digits(&head), 13);
    LIST_EACH_SAFE(it, &head)
        list_remove(it);
    assert_true(list_is_empty(&head));
    list_push_back(&head, &b.link);
    assert_int_equal(digits(&head), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_keep_the_order_in_which_they_were_put),
        cmocka_unit_test(what_is_removed_is_gone_and_may_be_removed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
