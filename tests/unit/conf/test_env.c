/* Variables are replaced in the text, before it is YAML. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf/env.h"

#include <string.h>

static const char *env(void *arg, const char *name)
{
    (void)arg;
    if (strcmp(name, "HOST") == 0)
        return "h1";
    return strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

static void expect(const char *text, int rc, const char *want)
{
    struct buf out = {0};
    struct err err = {0};
    assert_int_equal(conf_expand_env(str_c(text), env, NULL, &out, &err), rc);
    if (rc == 0)
        assert_true(str_eq(buf_view(&out), str_c(want)));
    else
        assert_string_equal(err.msg, want);
    buf_reset(&out);
}

static void variables_and_defaults_are_put_in(void **state)
{
    (void)state;
    expect("a: ${HOST}:1\n", 0, "a: h1:1\n");
    expect("${NONE}|${EMPTY}|${NONE:-d}|${EMPTY:-e f}|${HOST:-x}|${NONE:-}", 0, "||d|e f|h1|");
    expect("$HOST $ $$ }", 0, "$HOST $ $$ }");
    expect("", 0, "");
}

static void other_forms_are_errors_with_their_line(void **state)
{
    (void)state;
    expect("a\n${HOST", ERR_PARSE, "line 2: ${ without }");
    expect("${}", ERR_PARSE, "line 1: ${} is not ${NAME} or ${NAME:-default}");
    expect("\n\n${1A}", ERR_PARSE, "line 3: ${1A} is not ${NAME} or ${NAME:-default}");
    expect("${A-b}", ERR_PARSE, "line 1: ${A-b} is not ${NAME} or ${NAME:-default}");
    expect("${A:-x\ny}\n${%}", ERR_PARSE, "line 3: ${%} is not ${NAME} or ${NAME:-default}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_and_defaults_are_put_in),
        cmocka_unit_test(other_forms_are_errors_with_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
