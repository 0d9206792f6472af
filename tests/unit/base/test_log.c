/* Lines are logfmt or JSON whatever is logged; repeats are counted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"

#include <string.h>

static char last[20000];

static void keep(void *arg, enum log_level level, struct str line)
{
    (void)arg;
    (void)level;
    memcpy(last, line.data, line.len);
    last[line.len] = '\0';
}

static wall_ms fixed(void)
{
    return 1700000000123;
}

static void a_line_is_logfmt(void **state)
{
    (void)state;
    struct log log = {.sink = keep, .now = fixed, .level = LOG_INFO, .component = "store"};
    log_line(&log, LOG_WARN, "tail cut", LOG_C("file", "a b.log"), LOG_U("bytes", 7),
             LOG_I("n", -1), LOG_B("ok", true));
    assert_string_equal(last, "ts=2023-11-14T22:13:20.123Z level=warn component=store "
                              "msg=\"tail cut\" file=\"a b.log\" bytes=7 n=-1 ok=true");
}

static void hostile_text_cannot_break_a_line(void **state)
{
    (void)state;
    struct log log = {.sink = keep, .level = LOG_INFO};
    log_line(&log, LOG_INFO, "x", LOG_C("v", "a\nlevel=error \"q\" \xff"));
    assert_string_equal(last, "level=info msg=x v=\"a\\nlevel=error \\\"q\\\" \\ufffd\"");
    assert_null(strchr(last, '\n'));
}

/* A reader of lines must not meet half a one. */
static void a_line_that_is_too_long_is_its_message_alone(void **state)
{
    (void)state;
    static char text[LOG_LINE_MAX];
    memset(text, 'x', sizeof text);
    struct log log = {.sink = keep, .level = LOG_INFO};
    log_line(&log, LOG_INFO, "much", LOG_S("v", str_of(text, sizeof text)));
    assert_string_equal(last, "much");
}

static void json_lines_are_objects(void **state)
{
    (void)state;
    struct log log = log_with(&(struct log){.sink = keep, .format = LOG_JSON}, "ring");
    log_line(&log, LOG_ERROR, "m", LOG_U("n", 3));
    assert_string_equal(last, "{\"level\":\"error\",\"component\":\"ring\",\"msg\":\"m\",\"n\":3}");
}

static void a_dial_turns_a_logger_and_its_copies(void **state)
{
    (void)state;
    struct log_dial dial = {LOG_ERROR, LOG_LOGFMT};
    struct log log = {.sink = keep, .dial = &dial};
    struct log copy = log_with(&log, "ring");
    last[0] = '\0';
    log_line(&copy, LOG_WARN, "m");
    assert_string_equal(last, "");
    atomic_store(&dial.level, LOG_DEBUG);
    log_line(&copy, LOG_DEBUG, "m");
    assert_string_equal(last, "level=debug component=ring msg=m");
    atomic_store(&dial.format, LOG_JSON);
    log_line(&log, LOG_DEBUG, "m");
    assert_string_equal(last, "{\"level\":\"debug\",\"msg\":\"m\"}");
}

static void lower_levels_and_no_logger_are_silent(void **state)
{
    (void)state;
    last[0] = '\0';
    struct log log = {.sink = keep, .level = LOG_WARN};
    log_line(&log, LOG_INFO, "x");
    log_line((struct log *)NULL, LOG_ERROR, "x");
    assert_string_equal(last, "");
    enum log_level level = LOG_INFO;
    assert_int_equal(log_level_parse(STR("debug"), &level), 0);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_level_parse(STR("loud"), &level), ERR_PARSE);
    enum log_format format = LOG_LOGFMT;
    assert_int_equal(log_format_parse(STR("json"), &format), 0);
    assert_int_equal(format, LOG_JSON);
}

static void repeats_are_left_out_and_counted(void **state)
{
    (void)state;
    struct log_rate rate = {0};
    uint64_t left_out = 9;
    assert_true(log_rate_pass(&rate, 1000, 500, &left_out));
    assert_int_equal(left_out, 0);
    assert_false(log_rate_pass(&rate, 1100, 500, &left_out));
    assert_false(log_rate_pass(&rate, 1499, 500, &left_out));
    assert_true(log_rate_pass(&rate, 1500, 500, &left_out));
    assert_int_equal(left_out, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_logfmt),
        cmocka_unit_test(hostile_text_cannot_break_a_line),
        cmocka_unit_test(a_line_that_is_too_long_is_its_message_alone),
        cmocka_unit_test(json_lines_are_objects),
        cmocka_unit_test(a_dial_turns_a_logger_and_its_copies),
        cmocka_unit_test(lower_levels_and_no_logger_are_silent),
        cmocka_unit_test(repeats_are_left_out_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
