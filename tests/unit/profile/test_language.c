/* Which language a profile is of, and Go's shapes of type parameters. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/language.h"

#include "base/mem.h"
#include "profile/labels.h"
#include "profile/pprof.h"

static const char *guess(struct str spy, struct str text)
{
    struct str strings[] = {{0}, STR_INIT("cpu"), text, STR_INIT("late.py")};
    struct pprof p = {.strings = strings, .string_count = 4};
    struct label label = {STR("pyroscope_spy"), spy};
    return language_guess(&p, &label, spy.len > 0 ? 1 : 0);
}

static void the_label_says_it_first(void **state)
{
    (void)state;
    assert_string_equal(guess(STR("rbspy"), STR("main.go")), "ruby");
    assert_string_equal(guess(STR("grafana-agent.java"), STR("x")), "java");
    assert_string_equal(guess(STR("strange"), STR("main.go")), "go");
}

static void else_the_first_telling_string_does(void **state)
{
    (void)state;
    assert_string_equal(guess(STR(""), STR("/usr/local/go/src")), "go");
    assert_string_equal(guess(STR(""), STR("System.String")), "dotnet");
    assert_string_equal(guess(STR(""), STR("index.js")), "nodejs");
    assert_string_equal(guess(STR(""), STR("main.rs")), "rust");
    assert_string_equal(guess(STR(""), STR("nothing")), "python");
    struct pprof none = {0};
    assert_string_equal(language_guess(&none, NULL, 0), "unknown");
}

static void shapes_become_dots(void **state)
{
    (void)state;
    struct arena *a = NULL;
    static const struct {
        struct str name, want;
    } cases[] = {
        {STR_INIT("main.f"), STR_INIT("main.f")},
        {STR_INIT(""), STR_INIT("")},
        {STR_INIT("f[go.shape.int]"), STR_INIT("f[...]")},
        {STR_INIT("f[go.shape.[]uint8].g"), STR_INIT("f[...].g")},
        {STR_INIT("a[x].f[go.shape.int,go.shape.string].g[y].h"), STR_INIT("a[x].f[...].h")},
        {STR_INIT("f[go.shape.int"), STR_INIT("f[go.shape.int")},
        {STR_INIT("f[go.shape"), STR_INIT("f[go.shape")},
        {STR_INIT("f[int]"), STR_INIT("f[int]")},
    };
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(str_eq(go_name_without_shapes(cases[i].name, a), cases[i].want));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_label_says_it_first),
        cmocka_unit_test(else_the_first_telling_string_does),
        cmocka_unit_test(shapes_become_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
