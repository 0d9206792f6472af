/* Help and reference page show each row once, and what has no effect. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf/page.h"

#include "conf/conf.h"

struct small {
    uint32_t port;
    bool on;
    const char *hidden;
};

static const struct conf_row rows[] = {
    CONF_U32_ROW(small, port, "http-listen-port", "http_listen_port", "4040", 0,
                 "Port | of HTTP."),
    CONF_BOOL_ROW(small, on, "on", NULL, "false", 0, "Switch."),
    CONF_STR_ROW(small, hidden, "hidden", "a.hidden", "", CONF_ADVANCED, "For experts."),
    {.type = CONF_END},
};
static struct small small;
static const struct conf_section section = {"Server", "server.", "server", rows, &small, NULL};

static bool has(const struct buf *b, const char *text)
{
    return str_contains(buf_view(b), str_c(text));
}

static void help_shows_basic_options_and_help_all_the_rest(void **state)
{
    (void)state;
    struct buf b = {0};
    conf_help(&section, 1, "emberring-x", 0, false, &b);
    assert_true(has(&b, "Usage of emberring-x:\n"));
    assert_true(
        has(&b, "  -server.http-listen-port int\n    \tPort | of HTTP. (default 4040)\n"));
    assert_true(has(&b, "  -server.on\n    \tSwitch.\n"));
    assert_true(has(&b, "  -config.file string\n"));
    assert_false(has(&b, "hidden"));
    assert_false(has(&b, "-target"));
    buf_clear(&b);
    conf_help(&section, 1, "emberring-x", 0, true, &b);
    assert_true(has(&b, "  -server.hidden string\n    \tFor experts.\n"));
    assert_true(has(&b, "  -target\n"));
    buf_reset(&b);
}

static void help_of_one_program_leaves_out_what_matters_to_others_alone(void **state)
{
    (void)state;
    enum { ONE = CONF_FOR, TWO = CONF_FOR << 1, THREE = CONF_FOR << 7 };
    static const struct conf_row some[] = {
        CONF_U32_ROW(small, port, "first", "first", "1", ONE, "For one."),
        CONF_BOOL_ROW(small, on, "second", NULL, "false", TWO | CONF_SECRET, "For two."),
        CONF_STR_ROW(small, hidden, "both", "both", "", ONE | TWO, "For both."),
        {.type = CONF_END},
    };
    const struct conf_section sections[] = {section, {"", "", "", some, &small, NULL}};
    static const struct {
        unsigned which;
        bool all, first, second, both;
    } want[] = {{ONE, false, true, false, true},
                {TWO, false, false, true, true},
                {THREE, false, false, false, false},
                {0, false, true, true, true},
                {THREE, true, true, true, true}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct buf b = {0};
        conf_help(sections, 2, "x", want[i].which, want[i].all, &b);
        assert_int_equal(has(&b, "  -first "), want[i].first);
        assert_int_equal(has(&b, "  -second\n"), want[i].second);
        assert_int_equal(has(&b, "  -both "), want[i].both);
        assert_true(has(&b, "  -server.on\n"));
        buf_reset(&b);
    }
}

static void the_reference_has_a_table_a_section_and_the_rest(void **state)
{
    (void)state;
    struct buf b = {0};
    conf_reference(&section, 1, &b);
    assert_true(has(&b, "\n## Server\n"));
    assert_true(has(&b,
                    "| `-server.http-listen-port` | `server.http_listen_port` | int | `4040` | "
                    "Port \\| of HTTP. |\n"));
    assert_true(has(&b, "| `-server.on` |  | boolean | `false` | Switch. |\n"));
    assert_true(
        has(&b, "| `-server.hidden` | `server.a.hidden` | string |  | (advanced) For "));
    assert_true(has(&b, "| `-config.file` |  | string |  | A YAML file to load"));
    assert_true(has(&b, "- `-target`\n"));
    assert_false(has(&b, "- `-server.http-listen-port`\n"));
    buf_reset(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_shows_basic_options_and_help_all_the_rest),
        cmocka_unit_test(help_of_one_program_leaves_out_what_matters_to_others_alone),
        cmocka_unit_test(the_reference_has_a_table_a_section_and_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
