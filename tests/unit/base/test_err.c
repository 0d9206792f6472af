/* Errors keep their code and grow their text outwards. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"

#include <string.h>

static void context_is_added_in_front_and_the_code_stays(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_PARSE, "bad byte %d", 7), ERR_PARSE);
    assert_int_equal(err_wrap(&e, "loading %s", "x.yaml"), ERR_PARSE);
    assert_string_equal(e.msg, "loading x.yaml: bad byte 7");
    assert_int_equal(e.code, ERR_PARSE);
}

static void a_long_text_is_cut_not_overrun(void **state)
{
    (void)state;
    struct err e = {0};
    char text[600];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&e, ERR_IO, "%s", text);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    err_wrap(&e, "%s", text);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

static void a_null_error_is_accepted_everywhere(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_LIMIT, "x"), ERR_LIMIT);
    assert_int_equal(err_wrap(NULL, "x"), ERR_INTERNAL);
    err_reset(NULL);
}

static void every_code_has_a_text(void **state)
{
    (void)state;
    assert_string_equal(err_text(ERR_NOSPC), "no space left");
    assert_string_equal(err_text(-999), "unknown error");
    assert_string_equal(err_text(0), "success");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(context_is_added_in_front_and_the_code_stays),
        cmocka_unit_test(a_long_text_is_cut_not_overrun),
        cmocka_unit_test(a_null_error_is_accepted_everywhere),
        cmocka_unit_test(every_code_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
