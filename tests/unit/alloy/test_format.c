/* One layout for every text: that of `alloy fmt`, except where that would change what it says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloy/format.h"

#include <string.h>

#include "alloy/columns.h"
#include "base/err.h"
#include "base/mem.h"
#include "layouts.h"

static struct buf out;

static int teardown(void **state)
{
    (void)state;
    buf_reset(&out);
    return 0;
}

static const char *format(struct str text)
{
    struct alloy_text t = {STR("f.alloy"), text};
    struct alloy_diags diags = {0};
    buf_clear(&out);
    int rc = alloy_format(&t, &diags, &out);
    if (rc != 0)
        alloy_diags_print_short(&diags, &out);
    alloy_diags_reset(&diags);
    buf_u8(&out, 0);
    return (const char *)out.data;
}

static void layouts_are_those_of_the_peer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (strcmp(format(str_c(layouts[i].text)), layouts[i].laid_out) != 0)
            fail_msg("%s:\n%s\nwanted:\n%s", layouts[i].name, (const char *)out.data,
                     layouts[i].laid_out);
        if (strcmp(format(str_c(layouts[i].laid_out)), layouts[i].laid_out) != 0)
            fail_msg("%s is no fixed point:\n%s", layouts[i].name, (const char *)out.data);
    }
}

static void raw_strings_keep_their_tabs_and_blanks(void **state)
{
    (void)state;
    assert_string_equal(format(STR("a = `x\ty  \n\t\tz\t \n`\nbbb = 2\nq = \"1\t2\"\n")),
                        "a = `x\ty  \n\t\tz\t \n`\nbbb = 2\nq   = \"1\t2\"\n");
}

static void keys_keep_their_escapes(void **state)
{
    (void)state;
    assert_string_equal(format(STR("a = {\"x\\ty\" = 1, `b\"c` = 2, `d` = 3, \"\" = 4}")),
                        "a = {\"x\\ty\" = 1, `b\"c` = 2, \"d\" = 3, \"\" = 4}\n");
}

static void what_no_layout_can_keep_is_left_alone(void **state)
{
    (void)state;
    const char *text = "a. /* c\n */ b {\n  x=1\n}\n";
    assert_string_equal(format(str_c(text)), text);
}

static void errors_are_listed(void **state)
{
    (void)state;
    assert_string_equal(format(STR("a = ]\nb = [\n")),
                        "f.alloy:1:5: expected expression, got ]\n"
                        "f.alloy:3:1: expected ], got EOF\n");
}

static void secrets_are_not_shown_where_that_is_asked(void **state)
{
    (void)state;
    struct arena *a = NULL;
    struct alloy_file *f;
    struct alloy_diags diags = {0};
    struct alloy_text t = {STR("f"), STR("a = \"x\" + \"y\"\nb = 2")};
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(alloy_parse(&f, &t, a, &diags), 0);
    f->body->value->secret = true;
    buf_clear(&out);
    alloy_format_body(f, f->body, true, &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, "a = \"(secret)\"\nb = 2");
    buf_clear(&out);
    alloy_format_expr(f, f->body->value, &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, "\"x\" + \"y\"");
    arena_free(&a);
}

static void expect_columns(const char *text, const char *want)
{
    buf_clear(&out);
    assert_int_equal(columns_align(str_c(text), &out), 0);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
}

static void columns_align_over_neighbouring_lines(void **state)
{
    (void)state;
    expect_columns("a\vb\vc\nlong\vx\vy\n", "a    b c\nlong x y\n");
    expect_columns("a\vb\nlonger\vx\fc\vd", "a      b\nlonger x\nc d");
    expect_columns("\ta\vb\n\t\tc\vd\n", "\ta b\n\t\tc d\n");
    expect_columns("\xc3\xa9\xc3\xa9\vb\na\vc\n", "\xc3\xa9\xc3\xa9 b\na  c\n");
    expect_columns("x  \n\xff  y\t\n \xff z  \n", "x\n  y\t\n  z\n");
    expect_columns("", "");
}

static void quoting_is_that_of_go(void **state)
{
    (void)state;
    buf_clear(&out);
    alloy_quote(STR("a\"\\\n\t\x01\x7f\xff\xc3\xa9\xe2\x80\x8b"), &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data,
                        "\"a\\\"\\\\\\n\\t\\x01\\x7f\\xff\xc3\xa9\\u200b\"");
}

static void a_failing_allocation_leaves_the_output_alone(void **state)
{
    (void)state;
    struct alloy_text t = {STR("f"), STR("a \"b\" {\n x = [1, {`y` = 2}] // c\n}\n")};
    for (uint64_t n = 1;; n++) {
        struct buf b = {0};
        struct alloy_diags d = {0};
        mem_fail_at(n);
        int rc = alloy_format(&t, &d, &b);
        int over = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        if (!over)
            assert_int_equal(b.size, 0);
        alloy_diags_reset(&d);
        buf_reset(&b);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(layouts_are_those_of_the_peer, teardown),
        cmocka_unit_test_teardown(raw_strings_keep_their_tabs_and_blanks, teardown),
        cmocka_unit_test_teardown(keys_keep_their_escapes, teardown),
        cmocka_unit_test_teardown(what_no_layout_can_keep_is_left_alone, teardown),
        cmocka_unit_test_teardown(errors_are_listed, teardown),
        cmocka_unit_test_teardown(secrets_are_not_shown_where_that_is_asked, teardown),
        cmocka_unit_test_teardown(columns_align_over_neighbouring_lines, teardown),
        cmocka_unit_test_teardown(quoting_is_that_of_go, teardown),
        cmocka_unit_test_teardown(a_failing_allocation_leaves_the_output_alone, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
