/* A text becomes a tree with places, or every diagnostic that Alloy's parser has for it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloy/ast.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "diagnostics.h"

static struct arena *arena;
static struct alloy_diags diags;
static struct alloy_file *file;
static struct buf out;

static int setup(void **state)
{
    (void)state;
    diags = (struct alloy_diags){0};
    out = (struct buf){0};
    return arena_init(&arena, 0, NULL);
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    alloy_diags_reset(&diags);
    buf_reset(&out);
    return 0;
}

static int parse(struct str text)
{
    struct alloy_text t = {STR("f.alloy"), text};
    alloy_diags_reset(&diags);
    file = NULL;
    return alloy_parse(&file, &t, arena, &diags);
}

static const char *printed(struct str text)
{
    struct alloy_text t = {STR("f.alloy"), text};
    buf_clear(&out);
    alloy_diags_print(&diags, &t, 1, &out);
    buf_u8(&out, 0);
    return (const char *)out.data;
}

static void diagnostics_are_those_of_the_peer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof diagnostics / sizeof diagnostics[0]; i++) {
        struct str text = str_c(diagnostics[i].text);
        if (parse(text) != ERR_PARSE)
            fail_msg("%s: parses", diagnostics[i].name);
        if (strcmp(printed(text), diagnostics[i].printed) != 0)
            fail_msg("%s:\n%s\nwanted:\n%s", diagnostics[i].name, (const char *)out.data,
                     diagnostics[i].printed);
    }
}

/* Expressions with all their parentheses. */
static void put(const struct alloy_expr *e)
{
    if (e->kind == ALLOY_E_BINARY || e->kind == ALLOY_E_UNARY) {
        buf_u8(&out, '(');
        if (e->kind == ALLOY_E_BINARY)
            put(e->left);
        buf_c(&out, alloy_token_name(e->op));
        put(e->kind == ALLOY_E_BINARY ? e->right : e->left);
        buf_u8(&out, ')');
    } else if (e->kind == ALLOY_E_ACCESS || e->kind == ALLOY_E_INDEX) {
        put(e->left);
        buf_u8(&out, e->kind == ALLOY_E_ACCESS ? '.' : '[');
        if (e->kind == ALLOY_E_ACCESS)
            buf_str(&out, e->text);
        else
            put(e->right);
    } else if (e->kind == ALLOY_E_CALL) {
        put(e->left);
        buf_printf(&out, "/%zu", e->count);
    } else {
        buf_str(&out, e->text);
    }
}

static void expect_tree(const char *text, const char *want)
{
    assert_int_equal(parse(str_c(text)), 0);
    buf_clear(&out);
    put(file->body->value);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
}

static void operators_bind_by_their_precedence(void **state)
{
    (void)state;
    expect_tree("x = 1 + 2 * 3 - 4", "((1+(2*3))-4)");
    expect_tree("x = 2 ^ 3 ^ 4", "(2^(3^4))");
    expect_tree("x = -2 ^ 2", "((-2)^2)");
    expect_tree("x = a || b && c == d + e", "(a||(b&&(c==(d+e))))");
    expect_tree("x = 1 < 2 == true", "((1<2)==true)");
    expect_tree("x = !a.b[1](2, 3,).c", "(!a.b[1/2.c)");
    expect_tree("x = 6 / 3 % 2", "((6/3)%2)");
    expect_tree("x = a +\n  b", "(a+b)");
}

static void statements_know_their_places(void **state)
{
    (void)state;
    assert_int_equal(parse(STR("// note\na.b \"c\" {\n\tx = 1\n}\n\nd { } // end")), 0);
    const struct alloy_stmt *s = file->body;
    assert_true(str_eq(s->name, STR("a.b")));
    assert_true(str_eq(s->label, STR("c")));
    struct alloy_pos at = alloy_pos_at(file, s->start), end = alloy_pos_at(file, s->end);
    assert_int_equal(at.line, 2);
    assert_int_equal(at.column, 1);
    assert_int_equal(end.line, 4);
    assert_int_equal(alloy_pos_at(file, s->body->value->start).column, 6);
    assert_true(str_eq(s->next->name, STR("d")));
    assert_int_equal(s->next->label_at, ALLOY_NO_OFFSET);
    assert_int_equal(alloy_pos_at(file, ALLOY_NO_OFFSET).line, 0);
    assert_true(str_eq(file->comments->text, STR("// note")));
    assert_true(str_eq(file->comments->next->text, STR("// end")));
    assert_null(file->comments->next->next);
}

static void names_may_stand_apart_from_their_dots(void **state)
{
    (void)state;
    assert_int_equal(parse(STR("a . b\t.c { }")), 0);
    assert_true(str_eq(file->body->name, STR("a.b.c")));
    assert_int_equal(parse(STR("\xc3\xa9t\xc3\xa9_1 = 1")), 0);
    assert_true(alloy_is_identifier(STR("\xd0\xb6\xd9\xa1")));
    assert_false(alloy_is_identifier(STR("\xd9\xa1\xd0\xb6")));
    assert_false(alloy_is_identifier(STR("")));
}

static void newlines_end_only_what_is_complete(void **state)
{
    (void)state;
    assert_int_equal(parse(STR("a = 1 /* x */ // y\nb = [ // z\n 1, /* u\n */ 2, ]\n")), 0);
    assert_int_equal(parse(STR("a = 1 /* x\n */ b = 2")), 0);
    assert_true(str_eq(file->body->next->name, STR("b")));
    assert_int_equal(parse(STR("a = 1 /* x */ b = 2")), ERR_PARSE);
    assert_int_equal(parse(STR("")), 0);
    assert_null(file->body);
    assert_int_equal(parse(STR("\n\n// only\n")), 0);
    assert_int_equal(parse((struct str){0}), 0);
}

static void repeat(struct buf *b, const char *text, int times)
{
    for (int i = 0; i < times; i++)
        buf_c(b, text);
}

static void depth_is_bounded_however_it_comes_about(void **state)
{
    (void)state;
    static const char *const units[] = {
        "[", "(", "-", "!", "{a = ", "1 ^ ", "1 + ", "a(", "x[", "a."};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct buf b = {0};
        buf_c(&b, "x = ");
        repeat(&b, units[i], 100000);
        buf_c(&b, "y\n");
        assert_int_equal(parse(buf_view(&b)), ERR_PARSE);
        assert_true(diags.errors >= 1);
        assert_true(str_eq(diags.items[diags.count - 1].message,
                           STR("the configuration is nested too deeply")));
        buf_reset(&b);
    }
    struct buf b = {0};
    repeat(&b, "a {\n", 100000);
    assert_int_equal(parse(buf_view(&b)), ERR_PARSE);
    buf_reset(&b);
    repeat(&b, "x = 1\n", 150000);
    assert_int_equal(parse(buf_view(&b)), ERR_PARSE);
    assert_true(
        str_eq(diags.items[0].message, STR("the configuration has too many expressions")));
    buf_reset(&b);
    buf_c(&b, "a.");
    repeat(&b, "b . ", 40);
    buf_c(&b, "c { }\n");
    assert_int_equal(parse(buf_view(&b)), ERR_PARSE);
    assert_true(str_eq(diags.items[0].message, STR("the name has too many parts")));
    buf_reset(&b);
}

static void only_so_many_diagnostics_are_kept(void **state)
{
    (void)state;
    struct buf b = {0};
    repeat(&b, "a = ]\n", 1000);
    assert_int_equal(parse(buf_view(&b)), ERR_PARSE);
    assert_int_equal(diags.count, ALLOY_DIAGS_MAX);
    assert_int_equal(diags.count + diags.dropped, diags.errors);
    buf_reset(&b);
}

static void a_failing_allocation_is_told(void **state)
{
    (void)state;
    struct alloy_text t = {STR("f"),
                           STR("a . b \"c\" {\n x = [1, {y = f(2)[3].z}] + -1 // c\n}\n")};
    for (uint64_t n = 1;; n++) {
        struct arena *a = NULL;
        struct alloy_diags d = {0};
        struct alloy_file *f = NULL;
        mem_fail_at(n);
        int rc = arena_init(&a, 16, NULL);
        if (rc == 0)
            rc = alloy_parse(&f, &t, a, &d);
        int over = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        alloy_diags_reset(&d);
        arena_free(&a);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(diagnostics_are_those_of_the_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(operators_bind_by_their_precedence, setup, teardown),
        cmocka_unit_test_setup_teardown(statements_know_their_places, setup, teardown),
        cmocka_unit_test_setup_teardown(names_may_stand_apart_from_their_dots, setup, teardown),
        cmocka_unit_test_setup_teardown(newlines_end_only_what_is_complete, setup, teardown),
        cmocka_unit_test_setup_teardown(depth_is_bounded_however_it_comes_about, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(only_so_many_diagnostics_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_allocation_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
