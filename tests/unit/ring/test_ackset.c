/* A write is acknowledged by W domains, whatever the order, and fails as soon as it must. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/ackset.h"

#include "base/mem.h"

static const struct str ABC[] = {STR_INIT("a"), STR_INIT("b"), STR_INIT("c")};
static const struct str AAB[] = {STR_INIT("a"), STR_INIT("a"), STR_INIT("b")};

static struct disk_id id(uint8_t n)
{
    return (struct disk_id){{n}};
}

static struct ackset *make(uint32_t rf, const struct str *domains, uint32_t count)
{
    struct ackset *s = NULL;
    assert_int_equal(ackset_init(&s, rf, domains, count), 0);
    return s;
}

static void the_second_domain_of_three_makes_the_quorum_once(void **state)
{
    (void)state;
    struct ackset *s = make(3, ABC, 3);
    assert_int_equal(ackset_ack(s, 2, id(3), STR("c"), 0), 0);
    assert_int_equal(ackset_ack(s, 2, id(3), STR("c"), 0), 0); /* doubled */
    assert_int_equal(ackset_state(s), ACKSET_OPEN);
    assert_int_equal(ackset_ack(s, 0, id(1), STR("a"), 0), 1);
    assert_int_equal(ackset_state(s), ACKSET_ACKED);
    assert_false(ackset_done(s));
    assert_int_equal(ackset_ack(s, 1, id(2), STR("b"), 0), 0);
    assert_true(ackset_done(s));
    assert_int_equal(ackset_domains(s), 3);
    ackset_free(&s);
}

static void two_disks_of_one_domain_are_not_two(void **state)
{
    (void)state;
    struct ackset *s = make(3, AAB, 3);
    assert_int_equal(ackset_ack(s, 0, id(1), STR("a"), 0), 0);
    assert_int_equal(ackset_ack(s, 1, id(2), STR("a"), 0), 0);
    assert_int_equal(ackset_state(s), ACKSET_OPEN);
    assert_int_equal(ackset_fail(s, 2, ERR_UNAVAILABLE), 1);
    assert_int_equal(ackset_state(s), ACKSET_FAILED);
    ackset_free(&s);
}

static void the_domain_that_the_disk_says_is_the_one_that_counts(void **state)
{
    (void)state;
    struct ackset *s = make(3, ABC, 3);
    assert_int_equal(ackset_ack(s, 0, id(1), STR("a"), 0), 0);
    assert_int_equal(ackset_ack(s, 1, id(2), STR("a"), 0), 0);
    assert_int_equal(ackset_ack(s, 2, id(3), STR("c"), 0), 1);
    ackset_free(&s);
}

static void it_fails_when_too_few_are_left_and_keeps_the_error_of_most(void **state)
{
    (void)state;
    struct ackset *s = make(5, (const struct str[]){STR_INIT("a"), STR_INIT("b"), STR_INIT("c"),
                                                    STR_INIT("d"), STR_INIT("e")}, 5);
    assert_int_equal(ackset_error(s), 0);
    assert_int_equal(ackset_fail(s, 0, ERR_TIMEOUT), 0);
    assert_int_equal(ackset_fail(s, 1, ERR_NOSPC), 0);
    assert_int_equal(ackset_fail(s, 1, ERR_TIMEOUT), 0); /* it has failed already */
    assert_int_equal(ackset_fail(s, 2, ERR_NOSPC), 1);
    assert_int_equal(ackset_error(s), ERR_NOSPC);
    assert_int_equal(ackset_fail(s, 3, ERR_IO), 0);
    assert_int_equal(ackset_ack(s, 4, id(1), STR("e"), 0), 0);
    assert_int_equal(ackset_state(s), ACKSET_FAILED);
    assert_true(ackset_done(s));
    ackset_free(&s);
}

static void a_failure_after_the_quorum_changes_nothing(void **state)
{
    (void)state;
    struct ackset *s = make(3, ABC, 3);
    assert_int_equal(ackset_ack(s, 0, id(1), STR("a"), 0), 0);
    assert_int_equal(ackset_ack(s, 1, id(2), STR("b"), 0), 1);
    assert_int_equal(ackset_fail(s, 1, ERR_IO), 0);
    assert_int_equal(ackset_fail(s, 2, ERR_IO), 0);
    assert_int_equal(ackset_state(s), ACKSET_ACKED);
    assert_true(ackset_done(s));
    ackset_free(&s);
}

static void too_few_domains_fail_from_the_start(void **state)
{
    (void)state;
    struct ackset *s = make(3, ABC, 1);
    assert_int_equal(ackset_state(s), ACKSET_FAILED);
    assert_int_equal(ackset_error(s), ERR_UNAVAILABLE);
    assert_true(ackset_done(s));
    ackset_free(&s);
    s = make(3, AAB, 0);
    assert_int_equal(ackset_state(s), ACKSET_FAILED);
    assert_int_equal(ackset_error(s), ERR_UNAVAILABLE);
    ackset_free(&s);
    s = make(1, ABC, 1);
    assert_int_equal(ackset_ack(s, 0, id(1), STR("a"), 0), 1);
    ackset_free(&s);
}

static void a_broken_ack_is_a_failure_of_its_target(void **state)
{
    (void)state;
    struct ackset *s = make(2, ABC, 2);
    assert_int_equal(ackset_ack(s, 0, id(0), STR("a"), 0), ERR_INVAL);
    assert_int_equal(ackset_state(s), ACKSET_FAILED);
    assert_int_equal(ackset_error(s), ERR_INVAL);
    ackset_free(&s);
    assert_int_equal(ackset_init(&s, 0, ABC, 3), ERR_INVAL);
    assert_int_equal(ackset_init(&s, 3, (const struct str[]){STR_INIT("")}, 1), ERR_INVAL);
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ackset *s = NULL;
        mem_fail_at(n);
        int rc = ackset_init(&s, 3, ABC, 3);
        int ack = rc == 0 ? ackset_ack(s, 0, id(1), STR("zz"), 0) : 0;
        bool pending = mem_fail_pending();
        mem_fail_at(0);
        ackset_free(&s);
        if (pending)
            break;
        assert_int_equal(rc != 0 ? rc : ack, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_domain_of_three_makes_the_quorum_once),
        cmocka_unit_test(two_disks_of_one_domain_are_not_two),
        cmocka_unit_test(the_domain_that_the_disk_says_is_the_one_that_counts),
        cmocka_unit_test(it_fails_when_too_few_are_left_and_keeps_the_error_of_most),
        cmocka_unit_test(a_failure_after_the_quorum_changes_nothing),
        cmocka_unit_test(too_few_domains_fail_from_the_start),
        cmocka_unit_test(a_broken_ack_is_a_failure_of_its_target),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
