/* Selectors are Prometheus': what it accepts is accepted, with the same meaning, and no more. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/selector.h"

#include "base/mem.h"

#include <string.h>

/* Parse and print: shows what was understood. */
static void understood(const char *text, const char *want)
{
    struct selector *s = NULL, *again = NULL;
    struct buf b = {0}, c = {0};
    struct err e = {0};
    int rc = selector_parse(&s, str_c(text), &e);
    if (rc != 0)
        fail_msg("%s: %s", text, e.msg);
    selector_print(s, &b);
    buf_u8(&b, 0);
    assert_string_equal((const char *)b.data, want);
    assert_int_equal(selector_parse(&again, str_c((const char *)b.data), NULL), 0);
    selector_print(again, &c);
    buf_u8(&c, 0);
    assert_string_equal((const char *)c.data, want);
    selector_free(&s);
    selector_free(&again);
    buf_reset(&b);
    buf_reset(&c);
}

static void the_grammar_is_prometheus(void **state)
{
    (void)state;
    understood("{}", "{}");
    understood(" { } ", "{}");
    understood("{a=\"b\"}", "{a=\"b\"}");
    understood("{a=\"b\",}", "{a=\"b\"}");
    understood("{ a = 'b' , c!=`d\\n`,e=~\"f.*\",g!~\"h|i\" }",
               "{a=\"b\",c!=\"d\\\\n\",e=~\"f.*\",g!~\"h|i\"}");
    understood("process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name=\"x\"}",
               "{__name__=\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\",service_name=\"x\"}");
    understood("memory:samples:bytes::", "{__name__=\"memory:samples:bytes::\"}");
    understood("up # all\n{\n# only\n}", "{__name__=\"up\"}");
    understood("{\"foo.bar\"=\"x\"}", "{\"foo.bar\"=\"x\"}");
    understood("{\"foo.bar\", a=\"b\"}", "{__name__=\"foo.bar\",a=\"b\"}");
    understood("{a=\"\"}", "{a=\"\"}");
    understood("{a=\"1\",a=\"2\"}", "{a=\"1\",a=\"2\"}");
    understood("{by=\"1\"}", "{by=\"1\"}");
}

static void escapes_in_strings_are_go_s(void **state)
{
    (void)state;
    understood("{a=\"\\\"'\\\\\\n\\t\\x41\\101\\u00e9\\U0001F600\"}",
               "{a=\"\\\"'\\\\\\x0a\\x09AA\xc3\xa9\xf0\x9f\x98\x80\"}");
    understood("{a='\\'\"'}", "{a=\"'\\\"\"}");
    understood("{a=\"\\xff\"}", "{a=\"\\xff\"}");
    understood("{a=\"\\u07ff\\u0800\\uffff\"}", "{a=\"\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\"}");
}

static void what_prometheus_refuses_is_refused_and_the_place_is_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "}",
                                      "{a}",
                                      "{a=}",
                                      "{a=b}",
                                      "{a=\"b}",
                                      "{a=\"b\"",
                                      "{a=\"b\"}}",
                                      "{,}",
                                      "{a=\"b\",,}",
                                      "{a=\"b\" c=\"d\"}",
                                      "{a==\"b\"}",
                                      "{a~\"b\"}",
                                      "{a=\"b\"} x",
                                      "{1a=\"b\"}",
                                      "1{}",
                                      "{a:b=\"c\"}",
                                      "{a=\"\n\"}",
                                      "{a=\"\\'\"}",
                                      "{a=\"\\q\"}",
                                      "{a=\"\\x4\"}",
                                      "{a=\"\\400\"}",
                                      "{a=\"\\ud800\"}",
                                      "{a=\"\\U00110000\"}",
                                      "{a=~\"(\"}",
                                      "{\"a\"=~b}",
                                      "{a=\"b\"\x80}",
                                      "{\"\\xff\"=\"b\"}",
                                      "a{}b",
                                      "{a=\"\\",
                                      "{a!\"b\"}",
                                      "{a=\"b\";}",
                                      "# only a comment"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct selector *s = NULL;
        struct err e = {0};
        if (selector_parse(&s, str_c(bad[i]), &e) != ERR_PARSE)
            fail_msg("accepted: %s", bad[i]);
        assert_null(s);
        assert_int_not_equal(strlen(e.msg), 0);
    }
    struct selector *s = NULL;
    struct err e = {0};
    selector_parse(&s, STR("{a=\"b\" c=\"d\"}"), &e);
    assert_string_equal(e.msg, "selector has \"c=\"d\"}\" at byte 7, expected a comma or }");
    selector_parse(&s, STR("{a="), &e);
    assert_string_equal(e.msg, "selector ends at byte 3, expected a string in quotes");
}

static bool selects(const char *text, struct labels set)
{
    struct selector *s = NULL;
    assert_int_equal(selector_parse(&s, str_c(text), NULL), 0);
    bool yes = selector_matches_labels(s, set);
    selector_free(&s);
    return yes;
}

static void all_matchers_must_hold_and_an_absent_label_is_empty(void **state)
{
    (void)state;
    struct label items[] = {{STR("a"), STR("1")}, {STR("b"), STR("22")}};
    struct labels set = {items, 2};
    assert_true(selects("{}", set));
    assert_true(selects("{a=\"1\",b=~\"2+\"}", set));
    assert_false(selects("{a=\"1\",b=~\"2\"}", set));
    assert_false(selects("{a!=\"1\"}", set));
    assert_true(selects("{c=\"\"}", set));
    assert_true(selects("{c!=\"1\"}", set));
    assert_false(selects("{c!=\"\"}", set));
    assert_true(selects("{c=~\".*\"}", set));
    assert_false(selects("{c=~\".+\"}", set));
    assert_true(selects("{c=~\"|x\"}", set));
    assert_true(selects("{b!~\"2\"}", set));
    assert_false(selects("{b!~\"2|22\"}", set));
}

static void a_union_selects_what_any_part_does_and_none_selects_all(void **state)
{
    (void)state;
    struct label items[] = {{STR("a"), STR("1")}};
    struct labels set = {items, 1};
    struct str texts[] = {STR("{a=\"2\"}"), STR("{b=\"\"}"), STR("{a=\"2\"")};
    struct selectors u = {0};
    struct err e = {0};
    assert_int_equal(selectors_parse(&u, texts, 0, &e), 0);
    assert_true(selectors_match_labels(&u, set));
    selectors_reset(&u);
    assert_int_equal(selectors_parse(&u, texts, 1, &e), 0);
    assert_false(selectors_match_labels(&u, set));
    selectors_reset(&u);
    assert_int_equal(selectors_parse(&u, texts, 2, &e), 0);
    assert_true(selectors_match_labels(&u, set));
    selectors_reset(&u);
    assert_int_equal(selectors_parse(&u, texts, 3, &e), ERR_PARSE);
    assert_int_equal(u.count, 0);
    assert_int_equal(selectors_parse(&u, texts, SELECTORS_MAX + 1, &e), ERR_LIMIT);
}

static void a_matcher_can_be_taken_out(void **state)
{
    (void)state;
    struct selector *s = NULL;
    struct str value;
    struct buf b = {0};
    assert_int_equal(selector_parse(&s, STR("x:y{a!=\"b\"}"), NULL), 0);
    assert_false(selector_take_equal(s, STR("a"), &value));
    assert_true(selector_take_equal(s, LABEL_NAME, &value));
    assert_true(str_eq(value, STR("x:y")));
    assert_false(selector_take_equal(s, LABEL_NAME, &value));
    selector_print(s, &b);
    buf_u8(&b, 0);
    assert_string_equal((const char *)b.data, "{a!=\"b\"}");
    assert_int_equal(selector_count(s), 1);
    assert_int_equal(matcher_op(selector_at(s, 0)), MATCH_NE);
    assert_true(str_eq(matcher_name(selector_at(s, 0)), STR("a")));
    assert_true(str_eq(matcher_value(selector_at(s, 0)), STR("b")));
    selector_free(&s);
    buf_reset(&b);
}

static void size_and_number_of_matchers_have_limits(void **state)
{
    (void)state;
    struct buf b = {0};
    struct selector *s = NULL;
    buf_u8(&b, '{');
    for (int i = 0; i < SELECTOR_MATCHERS_MAX; i++)
        buf_c(&b, "a=\"b\",");
    buf_u8(&b, '}');
    assert_int_equal(selector_parse(&s, buf_view(&b), NULL), 0);
    assert_int_equal(selector_count(s), SELECTOR_MATCHERS_MAX);
    selector_free(&s);
    b.size--;
    buf_c(&b, "a=\"b\"}");
    assert_int_equal(selector_parse(&s, buf_view(&b), NULL), ERR_LIMIT);
    buf_clear(&b);
    buf_c(&b, "{a=\"");
    while (b.size <= SELECTOR_BYTES_MAX)
        buf_u8(&b, 'a');
    buf_c(&b, "\"}");
    assert_int_equal(selector_parse(&s, buf_view(&b), NULL), ERR_LIMIT);
    assert_null(s);
    buf_reset(&b);
}

static void running_out_of_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    struct str texts[] = {STR("a{\"b\"=~\"c|d\",e!~\"[f]\",g=\"h\"}"), STR("{}")};
    for (uint64_t n = 1;; n++) {
        struct selectors u = {0};
        mem_fail_at(n);
        int rc = selectors_parse(&u, texts, 2, NULL);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, pending ? 0 : ERR_NOMEM);
        selectors_reset(&u);
        if (pending)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_grammar_is_prometheus),
        cmocka_unit_test(escapes_in_strings_are_go_s),
        cmocka_unit_test(what_prometheus_refuses_is_refused_and_the_place_is_named),
        cmocka_unit_test(all_matchers_must_hold_and_an_absent_label_is_empty),
        cmocka_unit_test(a_union_selects_what_any_part_does_and_none_selects_all),
        cmocka_unit_test(a_matcher_can_be_taken_out),
        cmocka_unit_test(size_and_number_of_matchers_have_limits),
        cmocka_unit_test(running_out_of_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
