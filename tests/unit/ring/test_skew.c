/* A clock far off is told once, by name, with what to do; a late heartbeat is no such clock. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/skew.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "ring/desc.h"

enum { START_S = 1700000000 };

static struct ring_desc *ring;
static struct ring_skew *skew;
static struct buf said;
static int lines;
static int64_t now_s;

static void capture(void *arg, enum log_level level, struct str line)
{
    (void)arg;
    (void)level;
    lines++;
    buf_str(&said, line);
}

static struct log log_ = {.sink = capture};

static int begin(void **state)
{
    (void)state;
    now_s = START_S;
    lines = 0;
    return ring_desc_init(&ring) != 0 || ring_skew_init(&skew, &log_) != 0;
}

static int end(void **state)
{
    (void)state;
    ring_skew_free(&skew);
    ring_desc_free(&ring);
    buf_reset(&said);
    return 0;
}

/* The member's heartbeat, made off_s from now by our clock. */
static void beat(const char *id, int64_t off_s)
{
    const struct ring_instance in = {
        .id = str_c(id), .addr = STR("10.0.0.9:4040"), .timestamp_s = now_s + off_s};
    assert_int_equal(ring_desc_put(ring, &in), 0);
}

static uint32_t look(void)
{
    return ring_skew_look(skew, ring, now_s * 1000);
}

static bool told(const char *text)
{
    return str_contains(buf_view(&said), str_c(text));
}

static void a_clock_ahead_is_told_once_with_its_name_address_and_cure(void **state)
{
    (void)state;
    beat("a", 0);
    beat("b", -3);
    beat("c", 300);
    assert_int_equal(look(), 1);
    assert_int_equal(lines, 1);
    assert_true(told("ahead of ours") && told("NTP") && told("id=c") && told("10.0.0.9:4040"));
    assert_true(told("ahead_s=300"));
    for (int i = 0; i < 10; i++) {
        now_s += 5;
        beat("c", 300);
        assert_int_equal(look(), 0);
    }
    now_s += 5;
    beat("c", 300);
    assert_int_equal(lines, 1);
    now_s += 300; /* its host keeps time again */
    beat("c", 0);
    assert_int_equal(look(), 0);
    now_s += 5;
    beat("c", 20);
    assert_int_equal(look(), 1); /* and again does not */
    assert_int_equal(lines, 2);
}

static void a_clock_behind_is_told_after_several_heartbeats(void **state)
{
    (void)state;
    beat("a", 0);
    beat("b", 0);
    beat("c", -300);
    assert_int_equal(look(), 0); /* it may have stopped five minutes ago */
    for (int i = 0; i < RING_SKEW_NEWS; i++) {
        assert_int_equal(lines, 0);
        now_s += 5;
        beat("a", 0);
        beat("b", 0);
        beat("c", -300);
        assert_int_equal(look(), i == RING_SKEW_NEWS - 1);
    }
    assert_true(told("behind ours") && told("behind_s=300") && told("id=c"));
    now_s += 5;
    beat("c", -300);
    assert_int_equal(look(), 0);
    assert_int_equal(lines, 1);
}

static void the_dead_and_the_late_have_no_wrong_clock(void **state)
{
    (void)state;
    beat("dead", -1000);
    beat("late", -20);
    beat("held", 0);
    (void)look();
    for (int i = 0; i < 20; i++) { /* late now and then, never many times in a row */
        now_s += 5;
        beat("late", i % RING_SKEW_NEWS == 0 ? -1 : -20);
        assert_int_equal(look(), 0);
    }
    now_s += 120;
    for (int i = 0; i < 20; i++) { /* we were stopped: all of it comes at once */
        beat("held", -120 + 5 * i);
        assert_int_equal(look(), 0);
    }
    assert_int_equal(lines, 0);
}

static void within_the_limit_is_in_order_and_tombstones_do_not_count(void **state)
{
    (void)state;
    const struct ring_instance left = {
        .id = STR("x"), .state = RING_LEFT, .timestamp_s = now_s + 10000};
    assert_int_equal(ring_desc_put(ring, &left), 0);
    beat("a", RING_SKEW_S);
    assert_int_equal(look(), 0);
    for (int i = 0; i < 2 * RING_SKEW_NEWS; i++) {
        now_s += 5;
        beat("a", -RING_SKEW_S);
        assert_int_equal(look(), 0);
    }
    beat("a", RING_SKEW_S + 1);
    assert_int_equal(look(), 1);
    assert_int_equal(lines, 1);
}

static void when_most_clocks_are_off_it_is_ours(void **state)
{
    (void)state;
    static const char *const ids[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++)
        beat(ids[i], i == 0 ? 0 : 300); /* our clock jumped back */
    assert_int_equal(look(), 1);
    assert_int_equal(lines, 1);
    assert_true(told("our clock is far") && told("members=4") && told("of=5"));
    now_s += 5;
    beat("c", 300);
    assert_int_equal(look(), 0);
    now_s += 300;
    for (size_t i = 0; i < 5; i++)
        beat(ids[i], 0);
    assert_int_equal(look(), 0);
    for (int news = 0; news < 5; news++) /* now forward; news come one by one */
        for (size_t i = 1; i < 5; i++) {
            now_s++;
            beat(ids[i], -300);
            assert_int_equal(look(), news == 3 && i == 1);
        }
    assert_int_equal(lines, 2);
}

static void any_number_is_a_timestamp(void **state)
{
    (void)state;
    const struct ring_instance far = {
        .id = STR("x"), .addr = STR("y"), .timestamp_s = INT64_MAX};
    const struct ring_instance old = {
        .id = STR("x"), .addr = STR("y"), .timestamp_s = INT64_MIN};
    assert_int_equal(ring_desc_put(ring, &far), 0);
    assert_int_equal(look(), 1);
    assert_int_equal(ring_desc_put(ring, &old), 0);
    assert_int_equal(look(), 0);
    assert_true(ring_desc_remove(ring, STR("x")));
    assert_int_equal(look(), 0);
    assert_int_equal(ring_desc_put(ring, &far), 0);
    assert_int_equal(look(), 1); /* another one of that name */
}

static void without_memory_a_member_is_looked_at_next_time(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ring_skew *s = NULL;
        mem_fail_at(n);
        int rc = ring_skew_init(&s, NULL);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        ring_skew_free(&s);
        if (pending) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
    beat("c", 300);
    mem_fail_at(1);
    assert_int_equal(look(), 0);
    mem_fail_at(0);
    assert_int_equal(look(), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_clock_ahead_is_told_once_with_its_name_address_and_cure),
        TEST(a_clock_behind_is_told_after_several_heartbeats),
        TEST(the_dead_and_the_late_have_no_wrong_clock),
        TEST(within_the_limit_is_in_order_and_tombstones_do_not_count),
        TEST(when_most_clocks_are_off_it_is_ours),
        TEST(any_number_is_a_timestamp),
        TEST(without_memory_a_member_is_looked_at_next_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
