/* Rosters: merging is a union in any order, hashes tell what was told, messages round-trip. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/roster.h"

#include "base/mem.h"
#include "base/rng.h"

static struct disk_id id(uint8_t n)
{
    return (struct disk_id){{n}};
}

static struct disk disk(uint8_t n, const char *instance, const char *domain)
{
    return (struct disk){.id = id(n), .instance = str_c(instance), .domain = str_c(domain),
                         .addr = str_c("10.0.0.1:4040"), .starts = 1};
}

static struct roster *empty(void)
{
    struct roster *r = NULL;
    assert_int_equal(roster_init(&r), 0);
    return r;
}

static struct roster *random_roster(struct rng *rng)
{
    static const char *const addrs[] = {"a:1", "b:1", "c:1"};
    struct roster *r = empty();
    for (uint64_t n = rng_below(rng, 8); n > 0; n--) {
        uint8_t k = (uint8_t)(1 + rng_below(rng, 5));
        struct disk_id settled = id((uint8_t)(1 + rng_below(rng, 5)));
        struct disk d = disk(k, k % 2 == 0 ? "in-0" : "in-1", "z");
        d.starts = rng_below(rng, 3);
        d.addr = str_c(addrs[rng_below(rng, 3)]);
        d.established = rng_chance(rng, 1, 3);
        d.leaving = rng_chance(rng, 1, 5);
        d.settled_by = &settled;
        d.settled_count = rng_chance(rng, 1, 2);
        assert_int_equal(roster_put(r, &d, NULL), 0);
    }
    return r;
}

static void assert_same(const struct roster *a, const struct roster *b)
{
    struct buf x = {0}, y = {0};
    roster_encode(a, &x);
    roster_encode(b, &y);
    assert_int_equal(x.error | y.error, 0);
    assert_true(str_eq(buf_view(&x), buf_view(&y)));
    assert_int_equal(roster_hash(a), roster_hash(b));
    buf_reset(&x);
    buf_reset(&y);
}

static void merging_is_a_union_whatever_the_order(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    for (int round = 0; round < 300; round++) {
        struct roster *a = random_roster(&rng), *b = random_roster(&rng), *ab = NULL, *ba = NULL;
        struct roster_news news = {0};
        assert_int_equal(roster_copy(&ab, a), 0);
        assert_int_equal(roster_copy(&ba, b), 0);
        assert_int_equal(roster_merge(ab, b, &news), 0);
        assert_int_equal(news.told, roster_hash(ab) != roster_hash(a));
        assert_int_equal(news.disks, roster_count(ab) - roster_count(a));
        assert_int_equal(roster_merge(ba, a, NULL), 0);
        assert_same(ab, ba);
        news = (struct roster_news){0};
        assert_int_equal(roster_merge(ab, a, &news), 0);
        assert_false(news.changed);
        roster_free(&a);
        roster_free(&b);
        roster_free(&ab);
        roster_free(&ba);
    }
}

static void the_address_of_the_latest_start_wins(void **state)
{
    (void)state;
    struct roster *r = empty();
    struct disk d = disk(1, "in-0", "in-0");
    struct roster_news news = {0};
    d.starts = 5;
    d.addr = STR("new:1");
    assert_int_equal(roster_put(r, &d, NULL), 0);
    uint64_t hash = roster_hash(r);
    d.starts = 4;
    d.addr = STR("old:1");
    assert_int_equal(roster_put(r, &d, &news), 0);
    assert_false(news.changed);
    assert_true(str_eq(roster_at(r, 0)->addr, STR("new:1")));
    d.starts = 6;
    assert_int_equal(roster_put(r, &d, &news), 0);
    assert_true(news.changed);
    assert_false(news.told);
    assert_int_equal(roster_hash(r), hash);
    assert_true(str_eq(roster_at(r, 0)->addr, STR("old:1")));
    roster_free(&r);
}

static void records_are_found_by_id_and_instance(void **state)
{
    (void)state;
    struct roster *r = empty();
    for (uint8_t n = 9; n > 0; n--) {
        struct disk d = disk(n, n > 5 ? "in-1" : "in-0", "z");
        assert_int_equal(roster_put(r, &d, NULL), 0);
    }
    assert_int_equal(roster_count(r), 9);
    for (uint8_t n = 1; n < 10; n++)
        assert_true(disk_eq(roster_find(r, id(n))->id, id(n)));
    assert_null(roster_find(r, id(10)));
    assert_true(roster_names(r, STR("in-1")));
    assert_false(roster_names(r, STR("in-2")));
    assert_false(roster_founded(r));
    struct disk d = disk(3, "in-0", "z");
    struct roster_news news = {0};
    d.established = true;
    assert_int_equal(roster_put(r, &d, &news), 0);
    assert_int_equal(news.established, 1);
    assert_true(roster_founded(r));
    roster_free(&r);
}

static void replication_is_fixed_once(void **state)
{
    (void)state;
    struct roster *a = empty(), *b = empty();
    struct disk d = disk(1, "in-0", "in-0");
    assert_int_equal(roster_fix(a, 0, false), ERR_INVAL);
    assert_int_equal(roster_fix(a, REPLICATION_MAX + 1, false), ERR_INVAL);
    assert_int_equal(roster_fix(a, 3, true), 0);
    assert_int_equal(roster_fix(a, 3, true), 0);
    assert_int_equal(roster_fix(a, 3, false), ERR_REFUSED);
    assert_int_equal(roster_merge(b, a, NULL), 0);
    assert_int_equal(roster_replication_factor(b), 3);
    assert_true(roster_zone_aware(b));
    roster_free(&b);
    b = empty();
    assert_int_equal(roster_fix(b, 2, true), 0);
    assert_int_equal(roster_put(b, &d, NULL), 0);
    assert_int_equal(roster_merge(a, b, NULL), ERR_REFUSED);
    assert_int_equal(roster_count(a), 0);
    roster_free(&a);
    roster_free(&b);
}

static void broken_records_are_refused(void **state)
{
    (void)state;
    struct roster *r = empty();
    struct disk none = disk(0, "in-0", "z"), nameless = disk(1, "", "z"),
                nowhere = disk(1, "in-0", "");
    assert_int_equal(roster_put(r, &none, NULL), ERR_INVAL);
    assert_int_equal(roster_put(r, &nameless, NULL), ERR_INVAL);
    assert_int_equal(roster_put(r, &nowhere, NULL), ERR_INVAL);
    assert_int_equal(roster_count(r), 0);
    roster_free(&r);
}

static void a_message_round_trips(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 2);
    for (int round = 0; round < 200; round++) {
        struct roster *a = random_roster(&rng), *b = NULL;
        struct buf x = {0};
        assert_int_equal(roster_fix(a, 3, round % 2 == 0), 0);
        roster_encode(a, &x);
        assert_int_equal(roster_decode(&b, buf_view(&x), NULL), 0);
        assert_same(a, b);
        assert_int_equal(roster_zone_aware(b), round % 2 == 0);
        buf_reset(&x);
        roster_free(&a);
        roster_free(&b);
    }
}

static void hostile_messages_are_refused(void **state)
{
    (void)state;
#define DISK_1 "\x0a\x10" "0123456789abcdef"
    static const struct {
        const char *bytes;
        size_t size;
        int rc;
    } cases[] = {
#define CASE(text, rc) {text, sizeof(text) - 1, rc}
        CASE("", 0),
        CASE("\x0a\x18" DISK_1 "\x12\x01" "i" "\x1a\x01" "d", 0),
        CASE("\x0a\x15" DISK_1 "\x12\x01" "i", ERR_PARSE),
        CASE("\x0a\x12" DISK_1, ERR_PARSE),
        CASE("\x0a\x09\x0a\x01" "0" "\x12\x01" "i" "\x1a\x01" "d", ERR_PARSE),
        CASE("\x0a\x1b" DISK_1 "\x12\x01" "i" "\x1a\x01" "d" "\x32\x01" "p", ERR_PARSE),
        CASE("\x0a\x1b" DISK_1 "\x12\x01" "i" "\x1a\x01" "d" "\x62\x01" "s", ERR_PARSE),
        CASE("\x10\x7f", ERR_PARSE),
        CASE("\x0a\x7f", ERR_PARSE),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct roster *r = NULL;
        int rc = roster_decode(&r, str_of(cases[i].bytes, cases[i].size), NULL);
        if (rc != cases[i].rc)
            fail_msg("case %zu: %d, not %d", i, rc, cases[i].rc);
        assert_true((r == NULL) == (rc != 0));
        roster_free(&r);
    }
}

static void domains_are_told_apart_by_name(void **state)
{
    (void)state;
    struct domain_set s = {.count = 0};
    assert_true(domain_set_add(&s, STR("a")));
    assert_true(domain_set_add(&s, STR("b")));
    assert_false(domain_set_add(&s, STR("a")));
    assert_int_equal(s.count, 2);
    assert_int_equal(quorum_of(1), 1);
    assert_int_equal(quorum_of(2), 2);
    assert_int_equal(quorum_of(3), 2);
    assert_int_equal(quorum_of(5), 3);
}

static int everything_once(void)
{
    struct roster *a = NULL, *b = NULL, *c = NULL;
    struct buf out = {0};
    struct disk_id by[2] = {{{7}}, {{8}}};
    struct disk d = disk(1, "in-0", "z"), e = disk(2, "in-1", "z");
    e.settled_by = by;
    e.settled_count = 2;
    int rc = roster_init(&a);
    rc = rc != 0 ? rc : roster_put(a, &d, NULL);
    rc = rc != 0 ? rc : roster_put(a, &e, NULL);
    rc = rc != 0 ? rc : roster_fix(a, 3, false);
    rc = rc != 0 ? rc : roster_copy(&b, a);
    if (rc == 0) {
        roster_encode(b, &out);
        rc = out.error;
    }
    rc = rc != 0 ? rc : roster_decode(&c, buf_view(&out), NULL);
    assert_true(rc != 0 || roster_hash(c) == roster_hash(a));
    buf_reset(&out);
    roster_free(&a);
    roster_free(&b);
    roster_free(&c);
    return rc;
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        mem_fail_at(n);
        int rc = everything_once();
        if (mem_fail_pending()) {
            mem_fail_at(0);
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merging_is_a_union_whatever_the_order),
        cmocka_unit_test(the_address_of_the_latest_start_wins),
        cmocka_unit_test(records_are_found_by_id_and_instance),
        cmocka_unit_test(replication_is_fixed_once),
        cmocka_unit_test(broken_records_are_refused),
        cmocka_unit_test(a_message_round_trips),
        cmocka_unit_test(hostile_messages_are_refused),
        cmocka_unit_test(domains_are_told_apart_by_name),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
