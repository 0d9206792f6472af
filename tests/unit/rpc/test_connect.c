/* Codes, headers and error bodies are Connect's; tenants are dskit's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rpc/connect.h"

#include <string.h>

#include "rpc/tenant.h"

static void every_code_has_its_name_and_status(void **state)
{
    (void)state;
    static const struct {
        enum rpc_code code;
        const char *name;
        unsigned status, plain;
    } table[] = {
        {RPC_CANCELED, "canceled", 499, 499},
        {RPC_UNKNOWN, "unknown", 500, 500},
        {RPC_INVALID_ARGUMENT, "invalid_argument", 400, 400},
        {RPC_DEADLINE_EXCEEDED, "deadline_exceeded", 504, 504},
        {RPC_NOT_FOUND, "not_found", 404, 404},
        {RPC_ALREADY_EXISTS, "already_exists", 409, 409},
        {RPC_PERMISSION_DENIED, "permission_denied", 403, 403},
        {RPC_RESOURCE_EXHAUSTED, "resource_exhausted", 429, 429},
        {RPC_FAILED_PRECONDITION, "failed_precondition", 400, 412},
        {RPC_ABORTED, "aborted", 409, 409},
        {RPC_OUT_OF_RANGE, "out_of_range", 400, 400},
        {RPC_UNIMPLEMENTED, "unimplemented", 501, 404},
        {RPC_INTERNAL, "internal", 500, 500},
        {RPC_UNAVAILABLE, "unavailable", 503, 503},
        {RPC_DATA_LOSS, "data_loss", 500, 500},
        {RPC_UNAUTHENTICATED, "unauthenticated", 401, 401},
    };
    assert_int_equal(sizeof table / sizeof table[0], 16);
    for (size_t i = 0; i < 16; i++) {
        enum rpc_code code = RPC_OK;
        assert_string_equal(rpc_code_name(table[i].code), table[i].name);
        assert_int_equal(rpc_code_status(table[i].code), table[i].status);
        assert_int_equal(rpc_code_plain_status(table[i].code), table[i].plain);
        assert_int_equal(rpc_code_parse(str_c(table[i].name), &code), 0);
        assert_int_equal(code, table[i].code);
        assert_int_not_equal(rpc_err_of_code(code), 0);
    }
    enum rpc_code code = RPC_ABORTED;
    assert_int_equal(rpc_code_parse(STR("Canceled"), &code), ERR_PARSE);
    assert_int_equal(rpc_code_parse(STR("ok"), &code), ERR_PARSE); /* no error says so */
    assert_int_equal(code, RPC_ABORTED);
    assert_int_equal(rpc_code_status((enum rpc_code)99), 500);
}

static void statuses_without_an_error_body_are_guessed_as_connect_does(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        enum rpc_code code, plain;
    } table[] = {
        {400, RPC_INTERNAL, RPC_INVALID_ARGUMENT},
        {401, RPC_UNAUTHENTICATED, RPC_UNAUTHENTICATED},
        {403, RPC_PERMISSION_DENIED, RPC_PERMISSION_DENIED},
        {404, RPC_UNIMPLEMENTED, RPC_UNIMPLEMENTED},
        {408, RPC_UNKNOWN, RPC_UNKNOWN},
        {412, RPC_UNKNOWN, RPC_FAILED_PRECONDITION},
        {413, RPC_UNKNOWN, RPC_INVALID_ARGUMENT},
        {422, RPC_UNKNOWN, RPC_UNKNOWN},
        {429, RPC_UNAVAILABLE, RPC_RESOURCE_EXHAUSTED},
        {431, RPC_UNKNOWN, RPC_RESOURCE_EXHAUSTED},
        {499, RPC_UNKNOWN, RPC_CANCELED},
        {500, RPC_UNKNOWN, RPC_UNKNOWN},
        {502, RPC_UNAVAILABLE, RPC_UNAVAILABLE},
        {503, RPC_UNAVAILABLE, RPC_UNAVAILABLE},
        {504, RPC_UNAVAILABLE, RPC_DEADLINE_EXCEEDED},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(rpc_code_of_status(table[i].status), table[i].code);
        assert_int_equal(rpc_code_of_plain_status(table[i].status), table[i].plain);
    }
}

static void errors_of_ours_survive_the_way_over_a_wire(void **state)
{
    (void)state;
    static const int codes[] = {ERR_INVAL,   ERR_NOENT,       ERR_EXIST,         ERR_LIMIT,
                                ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_UNIMPLEMENTED, ERR_CANCELED,
                                ERR_DENIED,  ERR_STALE,       ERR_CORRUPT,       ERR_INTERNAL};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        assert_int_equal(rpc_err_of_code(rpc_code_of_err(codes[i])), codes[i]);
    assert_int_equal(rpc_code_of_err(0), RPC_OK);
    assert_int_equal(rpc_err_of_code(RPC_OK), 0);
}

static void error_bodies_round_trip(void **state)
{
    (void)state;
    struct buf b = {0};
    enum rpc_code code;
    char message[64];
    rpc_error_json(RPC_INVALID_ARGUMENT, STR("a \"b\"\n\xff"), &b);
    assert_true(str_starts_with(buf_view(&b), STR("{\"code\":\"invalid_argument\",\"message\":")));
    assert_int_equal(rpc_error_parse(buf_view(&b), &code, message, sizeof message), 0);
    assert_int_equal(code, RPC_INVALID_ARGUMENT);
    assert_string_equal(message, "a \"b\"\n\xef\xbf\xbd");
    buf_clear(&b);
    rpc_error_json(RPC_INTERNAL, STR(""), &b);
    assert_true(str_eq(buf_view(&b), STR("{\"code\":\"internal\"}")));
    assert_int_equal(rpc_error_parse(buf_view(&b), &code, message, sizeof message), 0);
    assert_string_equal(message, "");
    buf_reset(&b);
    assert_int_equal(rpc_error_parse(STR("{\"code\":\"unavailable\",\"message\":\"0123456789\","
                                         "\"details\":[{\"type\":\"a.B\",\"value\":\"aGk\"}]}"),
                                     &code, message, 5), 0);
    assert_string_equal(message, "0123");
    static const char *const bad[] = {"", "busy", "{}", "[]", "{\"code\":5}", "{\"code\":\"bad\"}",
                                      "{\"code\":\"internal\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(rpc_error_parse(str_c(bad[i]), &code, message, 5), ERR_PARSE);
}

static void timeouts_have_one_to_ten_digits(void **state)
{
    (void)state;
    uint64_t ms = 7;
    assert_int_equal(rpc_timeout_parse(STR("9999999999"), &ms), 0);
    assert_true(ms == 9999999999);
    assert_int_equal(rpc_timeout_parse(STR("0"), &ms), 0);
    assert_int_equal(ms, 0);
    static const char *const bad[] = {"", "10000000000", "-1", "1s", " 1", "+1", "1.5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(rpc_timeout_parse(str_c(bad[i]), &ms), ERR_PARSE);
}

static void content_types_name_one_of_two_codecs(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        int codec; /* -1: none */
    } cases[] = {
        {"application/proto", RPC_PROTO},
        {"application/json", RPC_JSON},
        {"Application/JSON ; Charset=UTF-8", RPC_JSON},
        {"application/json;charset=\"utf-8\"", RPC_JSON},
        {"application/json; charset=latin1", -1},
        {"application/protobuf", -1},
        {"application/grpc", -1},
        {"application/connect+proto", -1},
        {"text/plain", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum rpc_codec codec;
        int rc = rpc_codec_of_type(str_c(cases[i].type), &codec);
        assert_int_equal(rc, cases[i].codec < 0 ? ERR_UNIMPLEMENTED : 0);
        if (rc == 0)
            assert_int_equal(codec, cases[i].codec);
    }
}

static void the_coding_of_an_answer_is_the_first_known_one(void **state)
{
    (void)state;
    struct str none = {NULL, 0};
    assert_int_equal(rpc_coding_pick(none, RPC_GZIP, false), RPC_GZIP);
    assert_int_equal(rpc_coding_pick(none, RPC_IDENTITY, false), RPC_IDENTITY);
    assert_int_equal(rpc_coding_pick(STR(""), RPC_GZIP, false), RPC_IDENTITY);
    assert_int_equal(rpc_coding_pick(STR("br, gzip;q=0.1"), RPC_IDENTITY, false), RPC_GZIP);
    assert_int_equal(rpc_coding_pick(STR("identity, gzip"), RPC_GZIP, false), RPC_IDENTITY);
    assert_int_equal(rpc_coding_pick(STR("lz4, gzip"), RPC_IDENTITY, false), RPC_GZIP);
    assert_int_equal(rpc_coding_pick(STR("lz4, gzip"), RPC_IDENTITY, true), RPC_LZ4);
}

static void bodies_are_packed_and_unpacked_up_to_a_limit(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text);
    for (enum rpc_coding c = RPC_IDENTITY; c <= RPC_LZ4; c++) {
        struct buf packed = {0}, out = {0};
        assert_int_equal(rpc_pack(c, str_of(text, sizeof text), &packed), 0);
        assert_int_equal(rpc_unpack(c, buf_view(&packed), sizeof text, &out, NULL), 0);
        assert_int_equal(out.size, sizeof text);
        assert_memory_equal(out.data, text, sizeof text);
        assert_int_equal(rpc_unpack(c, buf_view(&packed), sizeof text - 1, &out, NULL),
                         ERR_LIMIT);
        assert_int_equal(rpc_unpack(c, STR(""), 10, &out, NULL), 0);
        assert_int_equal(out.size, 0);
        for (size_t cut = 1; c != RPC_IDENTITY && cut < packed.size; cut++)
            assert_int_not_equal(
                rpc_unpack(c, str_of(packed.data, cut), sizeof text, &out, NULL), 0);
        buf_reset(&packed);
        buf_reset(&out);
    }
    struct buf out = {0};
    assert_int_equal(rpc_unpack(RPC_LZ4, STR("\xff\xff\xff\x7f\x10x"), 1u << 31, &out, NULL),
                     ERR_PARSE); /* a size that the block cannot fill */
    assert_true(out.cap < 1 << 20);
    buf_reset(&out);
}

static void tenants_follow_dskits_rules(void **state)
{
    (void)state;
    struct str id, none = {NULL, 0};
    struct err err = {0};
    char longest[TENANT_ID_MAX + 1];
    assert_int_equal(tenant_of_header(false, STR("team-a"), &id, &err), 0);
    assert_true(str_eq(id, STR("anonymous")));
    assert_int_equal(tenant_of_header(true, none, &id, &err), ERR_DENIED);
    assert_int_equal(tenant_of_header(true, STR("  "), &id, &err), ERR_DENIED);
    assert_int_equal(tenant_of_header(true, STR("team-a!_.*'()9"), &id, &err), 0);
    assert_true(str_eq(id, STR("team-a!_.*'()9")));
    assert_int_equal(tenant_of_header(true, STR("team:k=v"), &id, &err), 0);
    assert_true(str_eq(id, STR("team")));
    memset(longest, 'a', sizeof longest);
    assert_int_equal(tenant_of_header(true, str_of(longest, TENANT_ID_MAX), &id, &err), 0);
    assert_int_equal(tenant_of_header(true, str_of(longest, TENANT_ID_MAX + 1), &id, &err),
                     ERR_INVAL);
    static const char *const bad[] = {".", "..", "a|b", "a/b", "a b", "\xc3\xa4", ":k=v", "a\\b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(tenant_of_header(true, str_c(bad[i]), &id, &err), ERR_INVAL);
    assert_false(tenant_is_valid(STR("a\0b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_name_and_status),
        cmocka_unit_test(statuses_without_an_error_body_are_guessed_as_connect_does),
        cmocka_unit_test(errors_of_ours_survive_the_way_over_a_wire),
        cmocka_unit_test(error_bodies_round_trip),
        cmocka_unit_test(timeouts_have_one_to_ten_digits),
        cmocka_unit_test(content_types_name_one_of_two_codecs),
        cmocka_unit_test(the_coding_of_an_answer_is_the_first_known_one),
        cmocka_unit_test(bodies_are_packed_and_unpacked_up_to_a_limit),
        cmocka_unit_test(tenants_follow_dskits_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
