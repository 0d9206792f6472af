/* The ring page has the keys, states and times of the peer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/page.h"

#include "ring/desc.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(an_empty_ring_has_null_shards),
        cmocka_unit_test(members_are_shown_in_the_order_of_their_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
