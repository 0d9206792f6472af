/* An answer replaces an entry's addresses, also by none; a failure keeps them; and what changed is
 * logged once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "disco/names.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

static const char no_name[] = "NXDOMAIN: no such name";
static const char no_answer[] = "timeout";
static struct rng rng;
static struct names *n;
static int lines;
static char last_line[512];

static void sink(void *arg, enum log_level level, struct str line)
{
    (void)arg;
    (void)level;
    lines++;
    (void)snprintf(last_line, sizeof last_line, "%.*s", STR_ARG(line));
}

static int setup(void **state)
{
    static const struct names_config config = {7946, 30000, 1000, 30000};
    static const struct log log = {.sink = sink};
    (void)state;
    lines = 0;
    rng_seed(&rng, 1);
    return names_init(&n, &config, &rng, &log);
}

static int teardown(void **state)
{
    (void)state;
    names_free(&n);
    return 0;
}

static struct addr ip(uint8_t last)
{
    return (struct addr){.family = 4, .ip = {10, 0, 0, last}};
}

/* Expect a question and return its tag. */
static uint64_t asked(mono_ms now, bool service, const char *name)
{
    struct names_ask q = {0};
    assert_true(names_next(n, now, &q));
    assert_string_equal(q.name, name);
    assert_int_equal(q.service, service);
    return q.tag;
}

static void is_quiet(mono_ms now)
{
    struct names_ask q;
    assert_false(names_next(n, now, &q));
}

static void answer_host(uint64_t tag, const struct addr *addrs, size_t count, mono_ms now)
{
    struct addr list[16];
    memcpy(list, addrs, count * sizeof *addrs);
    struct dns_records r = {.addrs = list, .addr_count = count};
    names_answer(n, tag, 0, "", &r, now);
}

static void answer_service(uint64_t tag, struct dns_srv *srvs, size_t count, struct addr *addrs,
                           size_t addr_count, mono_ms now)
{
    struct dns_records r = {
        .srvs = srvs, .srv_count = count, .addrs = addrs, .addr_count = addr_count};
    names_answer(n, tag, 0, "", &r, now);
}

/* The addresses of entry 0, as text. */
static const char *now_has(void)
{
    static char text[512];
    struct names_view v = names_at(n, 0);
    size_t at = 0;
    text[0] = '\0';
    for (size_t k = 0; k < v.count; k++) {
        char one[ADDR_TEXT_MAX];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", k == 0 ? "" : " ",
                               addr_text(&v.addrs[k], one));
    }
    return text;
}

static void a_literal_is_there_at_once_and_never_asked_for(void **state)
{
    (void)state;
    assert_int_equal(names_add(n, STR(" 10.0.0.9 ,, [::1]:1,"), NULL), 0);
    assert_int_equal(names_count(n), 2);
    assert_true(names_settled(n));
    assert_string_equal(now_has(), "10.0.0.9:7946");
    assert_int_equal(names_due(n), MONO_NEVER);
    is_quiet(1000000);
    names_refresh(n, 5);
    is_quiet(5);
}

static void an_answer_replaces_the_addresses_and_comes_again(void **state)
{
    (void)state;
    const struct addr one[] = {ip(2), ip(1), ip(2)}, two[] = {ip(1), ip(2)}, three[] = {ip(3)};
    assert_int_equal(names_add(n, STR("dns+a:80"), NULL), 0);
    assert_false(names_settled(n));
    assert_int_equal(names_due(n), 0);
    uint64_t generation = names_generation(n);
    answer_host(asked(0, false, "a"), one, 3, 5);
    assert_string_equal(now_has(), "10.0.0.1:80 10.0.0.2:80");
    assert_true(names_generation(n) > generation);
    assert_true(names_settled(n));
    mono_ms due = names_due(n);
    assert_true(due > 27000 && due <= 30005);
    is_quiet(due - 1);
    generation = names_generation(n);
    answer_host(asked(due, false, "a"), two, 2, due);
    assert_int_equal(names_generation(n), generation); /* the same, in another order */
    assert_int_equal(lines, 1);
    due = names_due(n);
    answer_host(asked(due, false, "a"), three, 1, due);
    assert_string_equal(now_has(), "10.0.0.3:80");
    assert_int_equal(lines, 2);
    assert_int_equal(names_stats(n).lookups, 3);
    assert_int_equal(names_stats(n).failures, 0);
}

static void a_failure_keeps_the_last_addresses_and_no_such_name_does_not(void **state)
{
    (void)state;
    const struct addr one[] = {ip(1)};
    assert_int_equal(names_add(n, STR("a"), NULL), 0);
    answer_host(asked(0, false, "a"), one, 1, 0);
    mono_ms now = names_due(n), pause = 0;
    for (int i = 0; i < 20; i++) {
        names_answer(n, asked(now, false, "a"), ERR_TIMEOUT, no_answer, NULL, now);
        assert_int_equal(names_at(n, 0).state, NAMES_FAILED);
        assert_string_equal(names_at(n, 0).why, no_answer);
        assert_string_equal(now_has(), "10.0.0.1:7946");
        pause = names_due(n) - now;
        assert_true(pause >= 900 && pause <= 30000); /* sooner, then slower */
        now += pause;
    }
    assert_true(pause > 20000);
    assert_int_equal(names_stats(n).failures, 20);
    assert_int_equal(lines, 2); /* found; failed: once, not 20 times */
    assert_true(str_contains(str_c(last_line), STR("its last addresses stay in use")));
    names_answer(n, asked(now, false, "a"), ERR_NOENT, no_name, NULL, now);
    assert_int_equal(names_at(n, 0).state, NAMES_EMPTY);
    assert_string_equal(names_at(n, 0).why, no_name);
    assert_string_equal(now_has(), "");
    assert_int_equal(lines, 3);
    now = names_due(n);
    answer_host(asked(now, false, "a"), one, 1, now);
    assert_string_equal(names_at(n, 0).why, "");
    assert_int_equal(lines, 4);
    assert_int_equal(names_stats(n).failures, 20);
}

static void a_service_asks_only_for_targets_that_came_without_addresses(void **state)
{
    (void)state;
    struct addr extra[] = {ip(1), ip(2)};
    const struct addr b[] = {ip(3)};
    struct dns_srv srvs[] = {{.target = "a", .port = 1, .addr_first = 0, .addr_count = 2},
                             {.target = "b", .port = 2},
                             {.target = "b", .port = 2},
                             {.target = "c", .port = 3}};
    assert_int_equal(names_add(n, STR("dnssrv+s"), NULL), 0);
    answer_service(asked(0, true, "s"), srvs, 4, extra, 2, 0);
    assert_false(names_settled(n));
    uint64_t of_b = asked(0, false, "b"), of_c = asked(0, false, "c");
    is_quiet(0);
    assert_int_equal(names_due(n), MONO_NEVER);
    names_answer(n, of_c, ERR_NOENT, no_name, NULL, 1); /* a target that is gone */
    answer_host(of_b, b, 1, 1);
    assert_string_equal(now_has(), "10.0.0.1:1 10.0.0.2:1 10.0.0.3:2");
}

static void a_port_behind_the_name_stands_over_that_of_the_record(void **state)
{
    (void)state;
    struct addr extra[] = {ip(1)};
    struct dns_srv srvs[] = {{.target = "a", .port = 1, .addr_count = 1}};
    assert_int_equal(names_add(n, STR("dnssrv+s:99"), NULL), 0);
    answer_service(asked(0, true, "s"), srvs, 1, extra, 1, 0);
    assert_string_equal(now_has(), "10.0.0.1:99");
}

static void a_target_that_fails_fails_dnssrv_and_is_left_out_of_dnssrvnoa(void **state)
{
    (void)state;
    const struct addr a[] = {ip(1)};
    struct dns_srv srvs[] = {{.target = "a", .port = 1}, {.target = "b", .port = 2}};
    assert_int_equal(names_add(n, STR("dnssrvnoa+s"), NULL), 0);
    answer_service(asked(0, true, "s"), srvs, 2, NULL, 0, 0);
    answer_host(asked(0, false, "a"), a, 1, 0);
    names_answer(n, asked(0, false, "b"), ERR_TIMEOUT, no_answer, NULL, 0);
    assert_int_equal(names_at(n, 0).state, NAMES_FOUND);
    assert_string_equal(now_has(), "10.0.0.1:1");
    names_refresh(n, 2000);
    answer_service(asked(2000, true, "s"), srvs, 2, NULL, 0, 2000);
    names_answer(n, asked(2000, false, "a"), ERR_TIMEOUT, no_answer, NULL, 2000);
    names_answer(n, asked(2000, false, "b"), ERR_TIMEOUT, no_answer, NULL, 2000);
    assert_int_equal(names_at(n, 0).state, NAMES_FAILED); /* nothing is left: no answer */
    assert_string_equal(now_has(), "10.0.0.1:1");
    assert_int_equal(names_add(n, STR("dnssrv+t"), NULL), 0);
    answer_service(asked(2000, true, "t"), srvs, 2, NULL, 0, 2000);
    uint64_t of_a = asked(2000, false, "a"), of_b = asked(2000, false, "b");
    names_answer(n, of_b, ERR_TIMEOUT, no_answer, NULL, 2000);
    assert_int_equal(names_at(n, 1).state, NAMES_PENDING); /* the other is on its way */
    answer_host(of_a, a, 1, 2000);
    assert_int_equal(names_at(n, 1).state, NAMES_FAILED);
    assert_int_equal(names_at(n, 1).count, 0);
}

/* A server that blocks a name answers 0.0.0.0, and that would be whoever asks. */
static void addresses_that_are_nobodys_are_left_out(void **state)
{
    (void)state;
    const struct addr list[] = {{.family = 4},
                                {.family = 6},
                                {.family = 4, .ip = {224, 0, 0, 1}},
                                {.family = 4, .ip = {255, 255, 255, 255}},
                                {.family = 6, .ip = {0xff, 2}},
                                {.family = 6, .ip = {[15] = 1}}};
    assert_int_equal(names_add(n, STR("a:1"), NULL), 0);
    answer_host(asked(0, false, "a"), list, 5, 0);
    assert_int_equal(names_at(n, 0).state, NAMES_EMPTY);
    assert_string_equal(names_at(n, 0).why, "no addresses");
    names_refresh(n, 2000);
    answer_host(asked(2000, false, "a"), list, 6, 2000);
    assert_string_equal(now_has(), "[::1]:1");
}

static void refresh_asks_again_but_not_within_a_second(void **state)
{
    (void)state;
    const struct addr a[] = {ip(1)};
    assert_int_equal(names_add(n, STR("a"), NULL), 0);
    answer_host(asked(0, false, "a"), a, 1, 0);
    names_refresh(n, 999);
    is_quiet(999);
    names_refresh(n, 1000);
    uint64_t tag = asked(1000, false, "a");
    names_refresh(n, 5000); /* under way */
    is_quiet(5000);
    answer_host(tag, a, 1, 5000);
    is_quiet(5000);
}

static void hostile_answers_stay_within_bounds_and_old_tags_mean_nothing(void **state)
{
    (void)state;
    static struct addr many[DNS_RECORDS_MAX];
    static struct dns_srv srvs[64];
    for (size_t i = 0; i < DNS_RECORDS_MAX; i++)
        many[i] = (struct addr){.family = 4, .ip = {10, 1, (uint8_t)(i >> 8), (uint8_t)i}};
    for (size_t i = 0; i < 64; i++)
        srvs[i] = (struct dns_srv){
            .target = "x", .port = (uint16_t)(i + 1), .addr_count = DNS_RECORDS_MAX};
    assert_int_equal(names_add(n, STR("dnssrv+s"), NULL), 0);
    uint64_t tag = asked(0, true, "s");
    names_answer(n, tag + 1, ERR_NOENT, no_name, NULL, 0);
    names_answer(n, 0, ERR_NOENT, no_name, NULL, 0);
    assert_int_equal(names_at(n, 0).state, NAMES_PENDING);
    answer_service(tag, srvs, 64, many, DNS_RECORDS_MAX, 0);
    names_answer(n, tag, ERR_NOENT, no_name, NULL, 0);
    assert_int_equal(names_at(n, 0).count, NAMES_ADDRS_MAX);
    names_refresh(n, 2000);
    for (size_t i = 0; i < 64; i++) /* 64 names to ask, 16 at a time */
        srvs[i] = (struct dns_srv){.target = {'t', (char)('0' + i)}, .port = 1};
    answer_service(asked(2000, true, "s"), srvs, 64, NULL, 0, 2000);
    uint64_t tags[16];
    struct names_ask q;
    for (size_t i = 0; i < 16; i++) {
        assert_true(names_next(n, 2000, &q));
        tags[i] = q.tag;
    }
    is_quiet(2000);
    assert_int_equal(names_due(n), MONO_NEVER);
    for (size_t i = 0; i < 16; i++)
        answer_host(tags[i], many + i, 1, 2001);
    assert_int_equal(names_due(n), 0);
    for (size_t left = 48; left > 0; left--) {
        assert_true(names_next(n, 2001, &q));
        answer_host(q.tag, many + left, 1, 2001);
    }
    assert_int_equal(names_at(n, 0).count, 49);
}

static void too_many_entries_and_broken_ones_are_refused(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(names_add(n, STR("a,b+c"), &err), ERR_PARSE);
    assert_int_equal(names_count(n), 1);
    for (int i = 1; i < NAMES_ENTRIES_MAX; i++)
        assert_int_equal(names_add(n, STR("a"), &err), 0);
    assert_int_equal(names_add(n, STR("a"), &err), ERR_LIMIT);
    struct names_config bad = {0, 0, 1, 1};
    struct names *none = NULL;
    assert_int_equal(names_init(&none, &bad, &rng, NULL), ERR_INVAL);
    assert_null(none);
}

/* One life with the n-th allocation failing: whatever happens, nothing leaks and it goes on. */
static void without_memory_a_lookup_fails_and_comes_again(void **state)
{
    (void)state;
    const struct names_config config = {7946, 30000, 1000, 30000};
    const struct addr a[] = {ip(1), ip(2)};
    for (uint64_t at = 1;; at++) {
        names_free(&n);
        struct names_ask q;
        mono_ms now = 0;
        mem_fail_at(at);
        if (names_init(&n, &config, &rng, NULL) != 0)
            continue;
        int added = names_add(n, STR("a,10.0.0.7"), NULL);
        assert_true(added == 0 || added == ERR_NOMEM);
        for (int i = 0; i < 3; i++, now = names_due(n))
            if (names_next(n, now, &q))
                answer_host(q.tag, a, 2, now);
        bool over = mem_fail_pending() != 0;
        mem_fail_at(0);
        if (added == 0) {
            assert_string_equal(now_has(), "10.0.0.1:7946 10.0.0.2:7946");
            if (names_next(n, now, &q))
                answer_host(q.tag, a, 2, now);
            assert_int_equal(names_at(n, 0).state, NAMES_FOUND);
        }
        if (over)
            break;
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_literal_is_there_at_once_and_never_asked_for),
        T(an_answer_replaces_the_addresses_and_comes_again),
        T(a_failure_keeps_the_last_addresses_and_no_such_name_does_not),
        T(a_service_asks_only_for_targets_that_came_without_addresses),
        T(a_port_behind_the_name_stands_over_that_of_the_record),
        T(a_target_that_fails_fails_dnssrv_and_is_left_out_of_dnssrvnoa),
        T(addresses_that_are_nobodys_are_left_out),
        T(refresh_asks_again_but_not_within_a_second),
        T(hostile_answers_stay_within_bounds_and_old_tags_mean_nothing),
        T(too_many_entries_and_broken_ones_are_refused),
        T(without_memory_a_lookup_fails_and_comes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
