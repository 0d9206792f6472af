/* Rows have defaults, and durations are read as Go reads them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloy/schema.h"

#include <string.h>

#include "example.h"

static void every_field_has_its_default(void **state)
{
    (void)state;
    struct ex_receive r;
    memset(&r, 0xff, sizeof r);
    alloy_schema_defaults(&ex_receive_schema, &r);
    assert_int_equal(r.forward_to.count, 0);
    assert_int_equal(r.upload_ms, 120000);
    assert_int_equal(r.shutdown_ms, 30000);
    assert_false(r.http.given);
    assert_int_equal(r.http.listen_port, 8080);
    assert_int_equal(r.http.listen_address.len, 0);
    assert_non_null(r.http.listen_address.data);
    assert_true(str_eq(r.http.tls.client_auth_type, STR("NoClientCert")));
    struct ex_scrape s;
    alloy_schema_defaults(&ex_scrape_schema, &s);
    assert_true(s.profiling.memory.enabled);
    assert_null(s.one);
    assert_int_equal(s.any.type, ALLOY_NULL);
}

static void rows_are_found_by_name(void **state)
{
    (void)state;
    const struct alloy_row *row = alloy_schema_row(&ex_http_schema, STR("listen_port"));
    assert_int_equal(row->kind, ALLOY_K_I64);
    assert_int_equal(alloy_schema_row(&ex_http_schema, STR("tls"))->kind, ALLOY_K_BLOCK);
    assert_null(alloy_schema_row(&ex_http_schema, STR("")));
    assert_null(alloy_schema_row(&ex_http_schema, STR("listen")));
}

static void durations_are_those_of_go(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"0", 0},       {"1h30m", 5400000},  {"500ms", 500},    {"1.5s", 1500},
        {"-2s", -2000}, {"+2s", 2000},       {"1ns", 1},        {"1001us", 2},
        {".5s", 500},   {"1.s", 1000},       {"\xc2\xb5s", -1}, {"-1us", -1},
        {"0s", 0},      {"1m0.001s", 60001},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ms = 77;
        struct err err = {0};
        int rc = alloy_parse_ms(str_c(good[i].text), &ms, &err);
        if (strcmp(good[i].text, "\xc2\xb5s") == 0) {
            assert_int_equal(rc, ERR_PARSE);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(ms, good[i].ms);
    }
    int64_t ms;
    assert_int_equal(alloy_parse_ms(STR("1\xc2\xb5s"), &ms, NULL), 0);
    assert_int_equal(alloy_parse_ms(STR("2562047h"), &ms, NULL), 0);
}

static void bad_durations_are_told_as_go_tells_them(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "time: invalid duration \"\""},
        {"-", "time: invalid duration \"-\""},
        {"15", "time: missing unit in duration \"15\""},
        {"abc", "time: invalid duration \"abc\""},
        {"1d", "time: unknown unit \"d\" in duration \"1d\""},
        {"1 s", "time: unknown unit \" s\" in duration \"1 s\""},
        {".s", "time: invalid duration \".s\""},
        {"99999999999999999999s", "time: invalid duration \"99999999999999999999s\""},
        {"2562048h", "time: invalid duration \"2562048h\""},
        {"2562047h60m", "time: invalid duration \"2562047h60m\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms = 77;
        struct err err = {0};
        assert_int_equal(alloy_parse_ms(str_c(bad[i].text), &ms, &err), ERR_PARSE);
        assert_string_equal(err.msg, bad[i].message);
        assert_int_equal(ms, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_has_its_default),
        cmocka_unit_test(rows_are_found_by_name),
        cmocka_unit_test(durations_are_those_of_go),
        cmocka_unit_test(bad_durations_are_told_as_go_tells_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
