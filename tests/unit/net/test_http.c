/* The words of HTTP are read as the RFCs and dskit have them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http.h"

#include <string.h>

static void accept_encoding_is_read_with_its_weights(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool yes;
    } cases[] = {
        {"gzip", true},           {"GZIP", true},          {"deflate, gzip", true},
        {"gzip;q=0", false},      {"gzip; q=0.0", false},  {"gzip;q=0.5", true},
        {"*", true},              {"*;q=0", false},        {"identity, *;q=0.1", true},
        {"*, gzip;q=0", false},   {"", false},             {"x-gzip", false},
        {"gzip;level=1", true},   {"br ,  gzip ", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(http_accepts_encoding(str_c(cases[i].accept), STR("gzip")),
                         cases[i].yes);
    assert_false(http_accepts_encoding((struct str){NULL, 0}, STR("gzip")));
}

static void media_types_lose_case_and_parameters(void **state)
{
    (void)state;
    char type[32];
    assert_true(http_media_type(STR("Application/JSON; charset=utf-8"), type, sizeof type));
    assert_string_equal(type, "application/json");
    assert_false(http_media_type(STR(" ; charset=utf-8"), type, sizeof type));
    assert_false(http_media_type((struct str){NULL, 0}, type, sizeof type));
    assert_false(http_media_type(STR("0123456789012345678901234567890123"), type, sizeof type));
}

static void percent_coding_round_trips_every_byte(void **state)
{
    (void)state;
    char all[256], back[768];
    struct buf b = {0};
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    http_percent_encode(str_of(all, sizeof all), &b);
    assert_int_equal(http_percent_decode(buf_view(&b), true, back), 256);
    assert_memory_equal(all, back, 256);
    buf_clear(&b);
    http_form_encode(str_of(all, sizeof all), &b);
    assert_int_equal(http_percent_decode(buf_view(&b), true, back), 256);
    assert_memory_equal(all, back, 256);
    buf_clear(&b);
    http_form_encode(STR("a +b"), &b);
    assert_true(str_eq(buf_view(&b), STR("a+%2Bb")));
    buf_reset(&b);
    size_t n = http_percent_decode(STR("a+b%20c%2Bd%zz%4"), true, back);
    assert_int_equal(n, 12);
    assert_memory_equal(back, "a b c+d%zz%4", 12);
    assert_int_equal(http_percent_decode(STR("+"), false, back), 1);
    assert_memory_equal(back, "+", 1);
}

static void route_labels_are_those_of_the_peers_dashboards(void **state)
{
    (void)state;
    static const struct {
        const char *path, *label;
    } cases[] = {
        {"/push.v1.PusherService/Push", "push_v1_pusherservice_push"},
        {"/ingest", "ingest"},
        {"/querier.v1.QuerierService/SelectSeries", "querier_v1_querierservice_selectseries"},
        {"/pyroscope/render", "pyroscope_render"},
        {"/api/v1/status/config", "api_v1_status_config"},
        {"/", "root"},
        {"/debug/*", "debug"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b = {0};
        http_route_label(cases[i].path, &b);
        assert_true(str_eq(buf_view(&b), str_c(cases[i].label)));
        buf_reset(&b);
    }
}

static void methods_have_names_and_get_brings_head(void **state)
{
    (void)state;
    struct buf b = {0};
    http_method_list(HTTP_GET | HTTP_POST, &b);
    assert_true(str_eq(buf_view(&b), STR("GET, HEAD, POST")));
    buf_reset(&b);
    assert_int_equal(http_method_of(STR("PATCH")), HTTP_PATCH);
    assert_int_equal(http_method_of(STR("get")), HTTP_OTHER);
    assert_string_equal(http_method_name(HTTP_DELETE), "DELETE");
    assert_string_equal(http_method_name(HTTP_OTHER), "OTHER");
    assert_string_equal(http_status_text(503), "Service Unavailable");
    assert_string_equal(http_status_text(599), "");
}

static void a_field_is_found_whatever_its_case_and_the_first_counts(void **state)
{
    (void)state;
    struct http_field f[] = {{STR_INIT("X-a"), STR_INIT("1")}, {STR_INIT("x-A"), STR_INIT("2")}};
    assert_true(str_eq(http_field_get(f, 2, "x-a"), STR("1")));
    assert_null(http_field_get(f, 2, "x-b").data);
}

static void names_of_fields_are_tokens_and_what_is_sent_is_one_line(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[] = {'a', (char)c};
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool mark = c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
        assert_int_equal(http_is_field_name(str_of(text, 2)), word || mark);
        bool line = c != '\0' && c != '\r' && c != '\n';
        assert_int_equal(http_is_sendable(STR("a"), str_of(text, 2)), line);
        if (word || mark)
            assert_true(http_is_sendable(str_of(text, 2), STR("")));
    }
    assert_false(http_is_field_name(STR("")));
    assert_false(http_is_sendable(STR(""), STR("")));
    assert_false(http_is_sendable(STR("a:"), STR("")));
    assert_false(http_is_sendable(STR("a b"), STR("")));
}

static void retry_after_is_seconds_or_a_date_and_at_most_a_day(void **state)
{
    const wall_ms now = 784111777000; /* 1994-11-06 08:49:37 */
    static const struct {
        const char *text;
        int seconds;
    } cases[] = {
        {"7", 7}, {"0", -1}, {"-7", -1}, {"", -1}, {"7s", -1}, {"86401", 86400},
        {"99999999999999999999999", 86400},
        {"Sun, 06 Nov 1994 08:49:38 GMT", 1},
        {"Sun, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 09:49:37 GMT", 3600},
        {"Mon, 07 Nov 1994 08:49:36 GMT", 86399},
        {"Fri, 06 Nov 2099 08:49:37 GMT", 86400},
        {"Sat, 05 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 25:49:37 GMT", -1},
        {"Sun, 06 Noc 1994 09:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 09:49:37 CET", -1},
        {"Sunday, 06-Nov-94 08:49:38 GMT", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (http_retry_after(str_c(cases[i].text), now) != cases[i].seconds)
            fail_msg("%s: %d", cases[i].text, http_retry_after(str_c(cases[i].text), now));
    /* Leap years: each is a second later than the time of the call. */
    assert_int_equal(http_retry_after(STR("Thu, 29 Feb 2024 00:00:01 GMT"), 1709164800000), 1);
    assert_int_equal(http_retry_after(STR("Fri, 01 Mar 2024 00:00:01 GMT"), 1709251200000), 1);
    assert_int_equal(http_retry_after(STR("Mon, 01 Mar 2100 00:00:01 GMT"), 4107542400000), 1);
    assert_int_equal(http_retry_after(STR("Thu, 01 Jan 1970 00:00:01 GMT"), 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_encoding_is_read_with_its_weights),
        cmocka_unit_test(media_types_lose_case_and_parameters),
        cmocka_unit_test(percent_coding_round_trips_every_byte),
        cmocka_unit_test(route_labels_are_those_of_the_peers_dashboards),
        cmocka_unit_test(methods_have_names_and_get_brings_head),
        cmocka_unit_test(a_field_is_found_whatever_its_case_and_the_first_counts),
        cmocka_unit_test(names_of_fields_are_tokens_and_what_is_sent_is_one_line),
        cmocka_unit_test(retry_after_is_seconds_or_a_date_and_at_most_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
