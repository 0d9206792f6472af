/* Where a configuration comes from: a file, a folder in the order of its names, or flags. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "source_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "pipeline_run.h"

static char dir[64];

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/source_run.XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"a.alloy", "b.alloy", "c.txt"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(path_of(names[i]));
    return rmdir(dir);
}

static void a_folder_is_read_in_the_order_of_its_names(void **state)
{
    struct source s;
    struct err err = {0};
    (void)state;
    assert_int_equal(source_read(&s, dir, &err), ERR_NOENT);
    put("b.alloy", "// two");
    put("a.alloy", "// one");
    put("c.txt", "not one of them");
    assert_int_equal(source_read(&s, dir, &err), 0);
    assert_int_equal(s.count, 2);
    assert_true(str_eq(s.texts[0].text, STR("// one")));
    assert_true(str_eq(s.texts[1].text, STR("// two")));
    assert_true(str_ends_with(s.texts[0].name, STR("/a.alloy")));
    source_reset(&s);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    struct source s;
    struct err err = {0};
    (void)state;
    assert_int_equal(source_read(&s, path_of("none.alloy"), &err), ERR_NOENT);
    assert_non_null(strstr(err.msg, "none.alloy"));
}

static void flags_are_a_configuration_like_any_other(void **state)
{
    static const char *const urls[] = {"http://a:4040", "https://dns+b\"\\c", "ring"};
    struct receive_proxy_settings flags = {.listen_address = "127.0.0.1", .listen_port = 4040};
    struct source s;
    struct err err = {0};
    struct alloy_diags diags = {0};
    (void)state;
    assert_int_equal(source_of_flags(&s, &flags, &err), ERR_INVAL);
    flags.forward_to.count = 1;
    flags.forward_to.items = (const char *const[]){"127.0.0.1:36227"};
    assert_int_equal(source_of_flags(&s, &flags, &err), ERR_INVAL);
    assert_string_equal(err.msg, "-forward-to: \"127.0.0.1:36227\" needs http:// or https://");
    flags.forward_to.count = 3;
    flags.forward_to.items = urls;
    assert_int_equal(source_of_flags(&s, &flags, &err), 0);
    assert_int_equal(pipeline_check(s.texts, s.count, false, &diags), 0);
    assert_true(str_contains(s.texts[0].text, STR("url = \"http://ring\"")));
    alloy_diags_reset(&diags);
    source_reset(&s);
}

static void memory_may_end_anywhere(void **state)
{
    static const char *const urls[] = {"http://a:4040"};
    struct receive_proxy_settings flags = {
        .listen_address = "", .forward_to = {.count = 1, .items = urls}};
    int rc = ERR_NOMEM;
    (void)state;
    put("a.alloy", "// one");
    for (uint64_t n = 1; rc != 0; n++) {
        struct source s = {0};
        mem_fail_at(n);
        rc = source_of_flags(&s, &flags, NULL);
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        source_reset(&s);
        assert_true(n < 100);
    }
    rc = ERR_NOMEM;
    for (uint64_t n = 1; rc != 0; n++) {
        struct source s = {0};
        mem_fail_at(n);
        rc = source_read(&s, dir, NULL);
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        source_reset(&s);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_is_read_in_the_order_of_its_names, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_there_is_named, set_up, tear_down),
        cmocka_unit_test(flags_are_a_configuration_like_any_other),
        cmocka_unit_test_setup_teardown(memory_may_end_anywhere, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
