/* The ring page has the keys, states and times of the peer, and counts what is covered. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/page.h"

#include "base/err.h"
#include "base/mem.h"
#include "ring/desc.h"
#include "ring/lookup.h"

static void expect_time(wall_ms t, const char *want)
{
    struct buf b = {0};
    ring_page_time(t, &b);
    assert_true(str_eq(buf_view(&b), str_c(want)));
    buf_reset(&b);
}

static void times_are_rfc_3339(void **state)
{
    (void)state;
    expect_time(0, "1970-01-01T00:00:00Z");
    expect_time(1700000000000, "2023-11-14T22:13:20Z");
    expect_time(1709164800120, "2024-02-29T00:00:00.12Z");
    expect_time(1709251199999, "2024-02-29T23:59:59.999Z");
    expect_time(4107542400500, "2100-03-01T00:00:00.5Z"); /* no leap day in 2100 */
    expect_time(-1, "1969-12-31T23:59:59.999Z");
    expect_time(-62135596800000, "0001-01-01T00:00:00Z");
    expect_time(253402300799000, "9999-12-31T23:59:59Z");
    expect_time(253402300800000, "0001-01-01T00:00:00Z");
    expect_time(INT64_MAX, "0001-01-01T00:00:00Z");
    expect_time(INT64_MIN, "0001-01-01T00:00:00Z");
}

static void an_empty_ring_has_null_shards(void **state)
{
    (void)state;
    struct buf b = {0};
    ring_page_json(NULL, 60000, 1700000000000, &b);
    assert_true(
        str_eq(buf_view(&b), STR("{\"shards\":null,\"now\":\"2023-11-14T22:13:20Z\"}\n")));
    buf_reset(&b);
}

static void members_are_shown_in_the_order_of_their_ids(void **state)
{
    (void)state;
    struct ring_desc *d = NULL;
    struct buf b = {0};
    uint32_t tokens[] = {1, 4294967295u};
    struct ring_version v = {RING_VERSION_EXACT, 1};
    const struct ring_instance b1 = {.id = STR("b"),
                                     .addr = STR("10.0.0.1:4040"),
                                     .zone = STR("za"),
                                     .timestamp_s = 1700000000,
                                     .registered_s = 1699999990,
                                     .state = RING_JOINING,
                                     .tokens = tokens,
                                     .token_count = 2,
                                     .versions = &v,
                                     .version_count = 1};
    const struct ring_instance a = {
        .id = STR("a"), .timestamp_s = INT64_MIN, .read_only = true, .read_only_since_s = 1};
    const struct ring_instance gone = {.id = STR("c"), .state = RING_LEFT};
    assert_int_equal(ring_desc_init(&d), 0);
    assert_int_equal(ring_desc_put(d, &b1), 0);
    assert_int_equal(ring_desc_put(d, &a), 0);
    assert_int_equal(ring_desc_put(d, &gone), 0);
    ring_page_json(d, 60000, 1700000001250, &b);
    assert_true(str_eq(
        buf_view(&b),
        STR("{\"shards\":[{\"id\":\"a\",\"state\":\"UNHEALTHY\",\"address\":\"\","
            "\"timestamp\":\"0001-01-01T00:00:00Z\",\"registered_timestamp\":\"0001-01-01T00:"
            "00:"
            "00Z\",\"read_only\":true,\"read_only_updated_timestamp\":\"1970-01-01T00:00:01Z\","
            "\"zone\":\"\",\"tokens\":null},"
            "{\"id\":\"b\",\"state\":\"JOINING\",\"address\":\"10.0.0.1:4040\","
            "\"timestamp\":\"2023-11-14T22:13:20Z\",\"registered_timestamp\":\"2023-11-14T22:"
            "13:"
            "10Z\",\"read_only\":false,\"read_only_updated_timestamp\":\"0001-01-01T00:00:"
            "00Z\","
            "\"zone\":\"za\",\"tokens\":[1,4294967295],\"versions\":{\"1702388067\":1}}],"
            "\"now\":\"2023-11-14T22:13:21.25Z\"}\n")));
    buf_reset(&b);
    ring_desc_free(&d);
}

/* Three zones of one member each but b, which has two: b-1 owns a quarter. */
static struct ring *three_zones(struct ring_desc **d, int64_t age_of_b1)
{
    static const struct {
        const char *id, *zone;
        uint32_t token;
    } all[] = {{"a-0", "a", 0x10000000},
               {"b-0", "b", 0x20000000},
               {"b-1", "b", 0x60000000},
               {"c-0", "c", 0x30000000}};
    const struct ring_options o = {
        .replication_factor = 3, .zone_aware = true, .heartbeat_timeout_ms = 60000};
    struct ring *r = NULL;
    assert_int_equal(ring_desc_init(d), 0);
    for (size_t i = 0; i < 4; i++) {
        const struct ring_instance in = {.id = str_c(all[i].id),
                                         .zone = str_c(all[i].zone),
                                         .timestamp_s = 1000 - (i == 2 ? age_of_b1 : 0),
                                         .tokens = (uint32_t *)(uintptr_t)&all[i].token,
                                         .token_count = 1};
        assert_int_equal(ring_desc_put(*d, &in), 0);
    }
    assert_int_equal(ring_init(&r, *d, &o, NULL), 0);
    return r;
}

static void keys_are_counted_by_how_many_can_be_written_to(void **state)
{
    struct ring_desc *d = NULL;
    struct ring_cover c;
    (void)state;
    struct ring *r = three_zones(&d, 0);
    assert_int_equal(ring_page_cover(r, 0, 1000000, &c), 0);
    assert_true(c.whole == (uint64_t)1 << 32 && c.spare == 0 && c.quorum == 0 && c.below == 0);
    ring_drop(&r);
    ring_desc_free(&d);
    r = three_zones(&d, 100);
    assert_int_equal(ring_page_cover(r, 0, 1000000, &c), 0);
    assert_true(c.whole == 0xc0000000u && c.spare == 0 && c.quorum == 0x40000000u && c.below == 0);
    assert_int_equal(ring_page_cover(r, 0, 1100000, &c), 0); /* by now all are silent */
    assert_true(c.below == (uint64_t)1 << 32 && c.whole + c.spare + c.quorum == 0);
    ring_drop(&r);
    ring_desc_free(&d);
}

static void members_that_speak_something_else_count_as_unfit(void **state)
{
    struct ring_desc *d = NULL;
    struct ring_cover c;
    struct ring_version ours = {RING_VERSION_EXACT, 1};
    const struct ring_options o = {
        .replication_factor = 3, .zone_aware = true, .heartbeat_timeout_ms = 60000};
    (void)state;
    struct ring *r = three_zones(&d, 0);
    for (size_t i = 0; i < 3; i++) { /* all but c-0 */
        struct ring_instance in = *ring_desc_at(d, i);
        in.versions = &ours;
        in.version_count = 1;
        assert_int_equal(ring_desc_put(d, &in), 0);
    }
    ring_drop(&r);
    assert_int_equal(ring_init(&r, d, &o, NULL), 0);
    assert_int_equal(ring_page_cover(r, RING_VERSION_EXACT, 1000000, &c), 0);
    assert_true(c.quorum == (uint64_t)1 << 32);
    assert_int_equal(ring_page_cover(r, 7, 1000000, &c), 0); /* nobody speaks that */
    assert_true(c.below == (uint64_t)1 << 32);
    ring_drop(&r);
    ring_desc_free(&d);
}

static void one_token_covers_everything_and_none_covers_nothing(void **state)
{
    const struct ring_options o = {.replication_factor = 1, .heartbeat_timeout_ms = 60000};
    struct ring_desc *d = NULL;
    struct ring *r = NULL;
    struct ring_cover c;
    uint32_t token = 0, owners[4];
    (void)state;
    assert_int_equal(ring_desc_init(&d), 0);
    assert_int_equal(ring_init(&r, d, &o, NULL), 0);
    assert_int_equal(ring_page_cover(r, 0, 0, &c), 0);
    assert_true(c.whole + c.spare + c.quorum + c.below == 0);
    assert_int_equal(ring_page_owners(r, STR(""), owners, 4), 0);
    assert_true(owners[0] == RING_NOBODY && owners[3] == RING_NOBODY);
    ring_drop(&r);
    const struct ring_instance in = {
        .id = STR("a"), .timestamp_s = 1000, .tokens = &token, .token_count = 1};
    assert_int_equal(ring_desc_put(d, &in), 0);
    assert_int_equal(ring_init(&r, d, &o, NULL), 0);
    assert_int_equal(ring_page_cover(r, 0, 1000000, &c), 0);
    assert_true(c.whole == (uint64_t)1 << 32);
    assert_int_equal(ring_page_owners(r, STR(""), owners, 4), 0);
    assert_true(owners[0] == 0 && owners[3] == 0);
    ring_drop(&r);
    ring_desc_free(&d);
}

static void a_part_belongs_to_who_owns_most_of_it(void **state)
{
    struct ring_desc *d = NULL;
    uint32_t owners[16];
    (void)state;
    struct ring *r = three_zones(&d, 0);
    assert_int_equal(ring_page_owners(r, STR("b"), owners, 16), 0);
    for (size_t i = 0; i < 16; i++) /* keys before 0x20000000, and from 0x60000000, are b-0's */
        assert_int_equal(owners[i], i >= 2 && i < 6 ? 2 : 1);
    assert_int_equal(ring_page_owners(r, STR("b"), owners, 3), 0);
    assert_true(owners[0] == 2 && owners[1] == 1 && owners[2] == 1);
    assert_int_equal(ring_page_owners(r, STR("none"), owners, 1), 0);
    assert_true(owners[0] == RING_NOBODY);
    ring_drop(&r);
    ring_desc_free(&d);
}

static void the_newest_heartbeat_is_found_among_those_who_live(void **state)
{
    struct ring_desc *d = NULL;
    (void)state;
    struct ring *r = three_zones(&d, 0);
    const struct ring_instance gone = {.id = STR("z"), .timestamp_s = 2000, .state = RING_LEFT};
    assert_int_equal(ring_desc_put(d, &gone), 0);
    assert_true(ring_page_newest(d) == 1000000);
    assert_true(ring_page_newest(NULL) == 0);
    ring_drop(&r);
    ring_desc_free(&d);
}

static void without_memory_nothing_is_counted(void **state)
{
    struct ring_desc *d = NULL;
    (void)state;
    struct ring *r = three_zones(&d, 0);
    for (uint64_t n = 1;; n++) {
        struct ring_cover c;
        uint32_t owners[4];
        mem_fail_at(n);
        int rc = ring_page_cover(r, 0, 1000000, &c);
        if (rc == 0)
            rc = ring_page_owners(r, STR("b"), owners, 4);
        int over = mem_fail_pending();
        mem_fail_at(0);
        if (over) {
            assert_int_equal(rc, 0);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
    ring_drop(&r);
    ring_desc_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(an_empty_ring_has_null_shards),
        cmocka_unit_test(members_are_shown_in_the_order_of_their_ids),
        cmocka_unit_test(keys_are_counted_by_how_many_can_be_written_to),
        cmocka_unit_test(members_that_speak_something_else_count_as_unfit),
        cmocka_unit_test(one_token_covers_everything_and_none_covers_nothing),
        cmocka_unit_test(a_part_belongs_to_who_owns_most_of_it),
        cmocka_unit_test(the_newest_heartbeat_is_found_among_those_who_live),
        cmocka_unit_test(without_memory_nothing_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
