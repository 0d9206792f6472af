/* Patterns that need no engine must give the answers that the engine gives. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/regex.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

static bool match(const char *pattern, const char *text)
{
    struct regex *re = NULL;
    assert_int_equal(regex_init(&re, str_c(pattern), NULL), 0);
    bool yes = regex_matches(re, str_c(text));
    regex_free(&re);
    assert_null(re);
    return yes;
}

static void expressions_are_anchored_at_both_ends(void **state)
{
    (void)state;
    assert_true(match("prod-(us|eu)-[0-9]+", "prod-eu-12"));
    assert_false(match("prod-(us|eu)-[0-9]+", "xprod-eu-12"));
    assert_false(match("prod-(us|eu)-[0-9]+", "prod-eu-12x"));
    assert_false(match("a|b", "ab"));
    assert_true(match("a|ab", "ab"));
    assert_true(match("", ""));
    assert_false(match("", "a"));
    assert_true(match("a.c", "a\nc"));
    assert_true(match("a.*", "a\n"));
}

static void a_pattern_without_engine_agrees_with_the_engine(void **state)
{
    (void)state;
    static const char *const piece[] = {"a", "b", "ab", "|",   "|", ".*",  ".+",  "\\.",
                                        "(", ")", "-",  "(?:", ".", "\\-", "\\_", "*",
                                        "+", "?", "\\", "{2",  "}", "[",   "]",   "\xc3\xa9"};
    static const char *const bytes[] = {"a", "b", ".", "-", "_", "|", "\n", "\xc3\xa9", "{2}"};
    struct rng r;
    rng_seed(&r, 7);
    unsigned compiled = 0;
    for (unsigned round = 0; round < 20000; round++) {
        char plain[80] = "", wrapped[96];
        for (uint64_t n = rng_below(&r, 7); n > 0; n--)
            strncat(plain, piece[rng_below(&r, sizeof piece / sizeof *piece)], 8);
        struct regex *fast = NULL, *slow = NULL;
        int rc = regex_init(&fast, str_c(plain), NULL);
        /* The flag group sends it to the engine and changes nothing. Checked apart from it,
         * since "a)(b" would become valid inside a group. */
        snprintf(wrapped, sizeof wrapped, "(?s)%s", plain);
        assert_int_equal(regex_init(&slow, str_c(wrapped), NULL), rc);
        for (unsigned i = 0; rc == 0 && i < 12; i++) {
            char text[48] = "";
            for (uint64_t n = rng_below(&r, 5); n > 0; n--)
                strncat(text, bytes[rng_below(&r, sizeof bytes / sizeof *bytes)], 8);
            if (regex_matches(fast, str_c(text)) != regex_matches(slow, str_c(text)))
                fail_msg("pattern \"%s\" and text \"%s\"", plain, text);
        }
        compiled += rc == 0;
        regex_free(&fast);
        regex_free(&slow);
    }
    assert_true(compiled > 2000);
}

static void what_re2_refuses_is_refused_with_its_words(void **state)
{
    (void)state;
    static const char *const bad[] = {"(",     "a)",        "[",  "a**", "\\1",
                                      "(?=a)", "a{0,1001}", "\\", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct regex *re = NULL;
        struct err e = {0};
        assert_int_equal(regex_init(&re, str_c(bad[i]), &e), ERR_PARSE);
        assert_null(re);
        assert_true(strstr(e.msg, "bad regular expression: ") == e.msg);
    }
}

static void a_pattern_that_is_too_large_is_over_a_limit(void **state)
{
    (void)state;
    static char text[REGEX_BYTES_MAX + 2];
    struct regex *re = NULL;
    memset(text, 'a', sizeof text - 1);
    assert_int_equal(regex_init(&re, str_c(text), NULL), ERR_LIMIT);
    assert_int_equal(regex_init(&re, str_c("((((a{0,99}){0,99}){0,9}){0,9})"), NULL),
                     ERR_PARSE);
    assert_int_equal(regex_init(&re, str_c("\\pL{900}\\pL{900}\\pL{900}\\pL{900}"), NULL),
                     ERR_LIMIT);
    assert_null(re);
}

static void a_hostile_pattern_costs_time_linear_in_the_text(void **state)
{
    (void)state;
    static char text[20001];
    memset(text, 'a', sizeof text - 2);
    text[sizeof text - 2] = '!';
    assert_false(match("(a+)+", text));
    assert_false(match("(a|aa)+", text));
    assert_false(match("(.*a){12}", text));
}

static void expand(const char *pattern, const char *text, const char *tmpl, const char *want)
{
    struct regex *re = NULL;
    struct buf out = {0};
    assert_int_equal(regex_init(&re, str_c(pattern), NULL), 0);
    assert_true(regex_expand(re, str_c(text), str_c(tmpl), &out));
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    buf_reset(&out);
    regex_free(&re);
}

static void templates_name_groups_as_in_go(void **state)
{
    (void)state;
    expand("(.*)-(.*)", "a-b", "$2/$1", "b/a");
    expand("(.*)", "ab", "x${1}y", "xaby"); /* without engine */
    expand("(a|b)", "b", "$1$0", "bb");     /* without engine */
    expand("a.*", "ab", "<$0$1>", "<ab>");  /* without engine and group */
    expand("(?P<x>a+)(b)?", "aa", "$x|$2|$x1|${x}1|$9|$$|$|${x", "aa|||aa1||$|$|${x");
    expand("(a)", "a", "$1_", ""); /* the name is 1_ */
    struct regex *re = NULL;
    struct buf out = {0};
    assert_int_equal(regex_init(&re, STR("(a)"), NULL), 0);
    assert_false(regex_expand(re, STR("b"), STR("$1"), &out));
    assert_int_equal(out.size, 0);
    regex_free(&re);
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    static const char *const patterns[] = {"a|b", "[ab]c"};
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t n = 1;; n++) {
            struct regex *re = NULL;
            mem_fail_at(n);
            int rc = regex_init(&re, str_c(patterns[i]), NULL);
            int pending = mem_fail_pending();
            mem_fail_at(0);
            assert_int_equal(rc, pending ? 0 : ERR_NOMEM);
            regex_free(&re);
            if (pending)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_are_anchored_at_both_ends),
        cmocka_unit_test(a_pattern_without_engine_agrees_with_the_engine),
        cmocka_unit_test(what_re2_refuses_is_refused_with_its_words),
        cmocka_unit_test(a_pattern_that_is_too_large_is_over_a_limit),
        cmocka_unit_test(a_hostile_pattern_costs_time_linear_in_the_text),
        cmocka_unit_test(templates_name_groups_as_in_go),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
