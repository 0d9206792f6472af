/* Each cause is heard once for each peer, and a flood of peers does not flood the log. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/quiet.h"

static struct gossip_addr at(const char *text)
{
    struct gossip_addr a;
    assert_int_equal(gossip_addr_parse(&a, str_c(text), 1), 0);
    return a;
}

static void a_line_is_not_repeated_for_a_peer_and_cause_but_others_are_heard(void **state)
{
    (void)state;
    static struct quiet q;
    static const char one[] = "one", two[] = "two";
    struct gossip_addr a = at("10.0.0.1"), b = at("10.0.0.2");
    uint64_t left = 99;
    assert_true(quiet_pass(&q, &a, one, 1000, &left));
    assert_int_equal(left, 0);
    for (int i = 0; i < 7; i++)
        assert_false(quiet_pass(&q, &a, one, 2000 + i, &left));
    assert_true(quiet_pass(&q, &a, two, 2000, &left));
    assert_true(quiet_pass(&q, &b, one, 2000, &left));
    a.port = 77; /* connections have ports of their own */
    assert_true(quiet_pass(&q, &a, one, 1000 + QUIET_MS, &left));
    assert_int_equal(left, 7);
    /* However many addresses there are, the lines have an end. */
    unsigned lines = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        struct gossip_addr x = {.ip = {[12] = 9, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i},
                                .size = 16};
        x.ip[10] = x.ip[11] = 0xff;
        lines += quiet_pass(&q, &x, one, QUIET_MS * 3, &left);
    }
    assert_int_equal(lines, QUIET_ENTRIES + 1);
    assert_true(quiet_pass(&q, &b, two, QUIET_MS * 4, &left));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_not_repeated_for_a_peer_and_cause_but_others_are_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
