/* Whoever takes too much gives way; who takes little never does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/inbound.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

enum { SEATS = 8, BYTES = 100, SHAKES = 2 };

static struct inbound *make(void)
{
    struct inbound *in = NULL;
    assert_int_equal(inbound_init(&in, &(struct inbound_limits){SEATS, BYTES, SHAKES}), 0);
    return in;
}

static struct gossip_addr at(const char *text)
{
    struct gossip_addr a;
    assert_int_equal(gossip_addr_parse(&a, str_c(text), 1), 0);
    return a;
}

static void enter(struct inbound *in, const char *from, struct inbound_seat *seat)
{
    struct gossip_addr a = at(from);
    assert_int_equal(inbound_enter(in, &a, seat), 0);
}

static void leave_all(struct inbound **in, struct inbound_seat *seats, size_t count)
{
    for (size_t i = 0; i < count; i++)
        inbound_leave(*in, &seats[i]);
    assert_int_equal(inbound_count(*in), 0);
    inbound_free(in);
    assert_null(*in);
}

static void the_peer_with_most_connections_loses_its_oldest(void **state)
{
    (void)state;
    struct inbound *in = make();
    struct inbound_seat s[SEATS + 3] = {{.bytes = 0}};
    enter(in, "10.0.0.1", &s[0]);
    enter(in, "10.0.0.2", &s[1]);
    for (int i = 2; i < SEATS; i++)
        enter(in, "10.0.0.9", &s[i]);
    assert_null(inbound_surplus(in));
    enter(in, "10.0.0.3", &s[SEATS]);
    assert_ptr_equal(inbound_surplus(in), &s[2]);
    inbound_leave(in, &s[2]);
    assert_null(inbound_surplus(in));
    /* What has said what it wants goes last. */
    inbound_settle(in, &s[3]);
    enter(in, "10.0.0.9", &s[2]);
    assert_ptr_equal(inbound_surplus(in), &s[4]);
    struct gossip_addr nine = at("10.0.0.9");
    assert_int_equal(inbound_count_of(in, &nine), SEATS - 2);
    for (int i = 4; i < SEATS; i++)
        inbound_settle(in, &s[i]);
    assert_ptr_equal(inbound_surplus(in), &s[2]);
    inbound_settle(in, &s[2]);
    assert_ptr_equal(inbound_surplus(in), &s[3]);
    leave_all(&in, s, SEATS + 3);
}

static void both_forms_of_an_address_are_one_peer(void **state)
{
    (void)state;
    struct inbound *in = make();
    struct inbound_seat s[2] = {{.bytes = 0}};
    struct gossip_addr four, six = at("::ffff:10.0.0.1");
    assert_int_equal(gossip_addr_of_bytes(&four, STR("\x0a\x00\x00\x01"), 9), 0);
    assert_int_equal(inbound_enter(in, &four, &s[0]), 0);
    assert_int_equal(inbound_enter(in, &six, &s[1]), 0);
    assert_int_equal(inbound_count_of(in, &four), 2);
    leave_all(&in, s, 2);
}

static void who_holds_most_bytes_is_dropped_not_who_asks_for_one_more(void **state)
{
    (void)state;
    struct inbound *in = make();
    struct inbound_seat s[4] = {{.bytes = 0}};
    enter(in, "10.0.0.1", &s[0]);
    enter(in, "10.0.0.9", &s[1]);
    enter(in, "10.0.0.9", &s[2]);
    enter(in, "10.0.0.2", &s[3]);
    inbound_settle(in, &s[1]);
    assert_null(inbound_hold(in, &s[0], 30));
    assert_null(inbound_hold(in, &s[1], 25));
    assert_null(inbound_hold(in, &s[2], 24));
    assert_null(inbound_hold(in, &s[3], 21));
    assert_ptr_equal(inbound_hold(in, &s[3], 22), &s[1]);
    inbound_leave(in, &s[1]);
    assert_null(inbound_hold(in, &s[3], 46));
    assert_ptr_equal(inbound_hold(in, &s[3], 47), &s[3]);
    leave_all(&in, s, 4);
}

static void handshakes_are_counted_by_peer_until_they_end_somehow(void **state)
{
    (void)state;
    struct inbound *in = make();
    struct inbound_seat s[5] = {{.bytes = 0}};
    for (int i = 0; i < 4; i++)
        enter(in, "10.0.0.1", &s[i]);
    enter(in, "10.0.0.2", &s[4]);
    assert_true(inbound_shake(in, &s[0]));
    assert_true(inbound_shake(in, &s[1]));
    assert_false(inbound_shake(in, &s[2]));
    assert_true(inbound_shake(in, &s[4]));
    inbound_settle(in, &s[0]);
    inbound_shaken(in, &s[0]);
    assert_true(inbound_shake(in, &s[2]));
    assert_false(inbound_shake(in, &s[3]));
    inbound_leave(in, &s[1]);
    assert_true(inbound_shake(in, &s[3]));
    leave_all(&in, s, 5);
}

/* Whatever happens: never more than the limit after closing the surplus, and a peer that has no
 * more than its share is not touched. */
static void a_peer_within_its_share_keeps_its_seats_whatever_others_do(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 5);
    struct inbound *in = make();
    struct inbound_seat s[400] = {{.bytes = 0}};
    enter(in, "10.0.0.1", &s[0]);
    enter(in, "10.0.0.1", &s[1]);
    for (size_t i = 2; i < 400; i++) {
        enter(in, rng_chance(&r, 1, 2) ? "10.0.0.8" : "10.0.0.9", &s[i]);
        if (rng_chance(&r, 1, 3))
            inbound_settle(in, &s[i]);
        struct inbound_seat *out = inbound_surplus(in);
        if (out != NULL) {
            assert_true(out != &s[0] && out != &s[1]);
            inbound_leave(in, out);
        }
        assert_true(inbound_count(in) <= SEATS);
    }
    leave_all(&in, s, 400);
}

static void without_memory_nobody_sits_down(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct inbound *in = NULL;
        struct inbound_seat s = {.bytes = 0};
        struct gossip_addr a = at("10.0.0.1");
        mem_fail_at(n);
        int rc = inbound_init(&in, &(struct inbound_limits){SEATS, BYTES, SHAKES});
        rc = rc != 0 ? rc : inbound_enter(in, &a, &s);
        int over = mem_fail_pending();
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        if (in != NULL)
            inbound_leave(in, &s);
        inbound_free(&in);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_peer_with_most_connections_loses_its_oldest),
        cmocka_unit_test(both_forms_of_an_address_are_one_peer),
        cmocka_unit_test(who_holds_most_bytes_is_dropped_not_who_asks_for_one_more),
        cmocka_unit_test(handshakes_are_counted_by_peer_until_they_end_somehow),
        cmocka_unit_test(a_peer_within_its_share_keeps_its_seats_whatever_others_do),
        cmocka_unit_test(without_memory_nobody_sits_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
