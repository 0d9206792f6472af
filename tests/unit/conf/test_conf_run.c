/* One call loads command line, file and environment. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf/conf_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct small {
    uint32_t port;
    const char *name;
};

static const struct conf_row rows[] = {
    CONF_U32_ROW(small, port, "port", "port", "4040", 0, "Port."),
    CONF_STR_ROW(small, name, "name", "name", "", 0, "Name."),
    {.type = CONF_END},
};
static struct small small;
static const struct conf_section section = {"S", "s.", "s", rows, &small, NULL};
static char path[] = "/tmp/conf-run-XXXXXX";

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int load(struct conf **c, const char *extra, enum conf_action *action, struct err *err)
{
    const char *argv[] = {"p", "-config.file", path, extra};
    assert_int_equal(conf_init(c, &section, 1, NULL), 0);
    return conf_load(*c, extra == NULL ? 3 : 4, argv, action, err);
}

static void file_environment_and_flags_come_together(void **state)
{
    (void)state;
    struct conf *c = NULL;
    enum conf_action action = CONF_VERSION;
    struct err err = {0};
    write_file("s:\n  port: ${CONF_RUN_PORT:-99}\n  name: ${CONF_RUN_NAME}\n");
    assert_int_equal(setenv("CONF_RUN_NAME", "n1", 1), 0);
    assert_int_equal(load(&c, "-config.expand-env", &action, &err), 0);
    assert_int_equal(action, CONF_RUN);
    assert_int_equal(small.port, 99);
    assert_string_equal(small.name, "n1");
    conf_free(&c);
    write_file("s: {port: 5}");
    assert_int_equal(load(&c, "-s.port=6", &action, &err), 0);
    assert_int_equal(small.port, 6);
    conf_free(&c);
}

static void errors_name_the_file(void **state)
{
    (void)state;
    struct conf *c = NULL;
    enum conf_action action;
    struct err err = {0};
    char want[128];
    write_file("s:\n  port: ${\n");
    assert_int_equal(load(&c, "-config.expand-env", &action, &err), ERR_PARSE);
    (void)snprintf(want, sizeof want, "%s: line 2: ${ without }", path);
    assert_string_equal(err.msg, want);
    conf_free(&c);
    assert_int_equal(load(&c, NULL, &action, &err), ERR_PARSE);
    conf_free(&c);
    const char *argv[] = {"p", "-config.file=/nonexistent/x.yaml"};
    assert_int_equal(conf_init(&c, &section, 1, NULL), 0);
    assert_int_equal(conf_load(c, 2, argv, &action, &err), ERR_NOENT);
    assert_string_equal(err.msg, "/nonexistent/x.yaml: No such file or directory");
    conf_free(&c);
    argv[1] = "-config.file=/";
    assert_int_equal(conf_init(&c, &section, 1, NULL), 0);
    assert_int_equal(conf_load(c, 2, argv, &action, &err), ERR_IO);
    conf_free(&c);
}

static void help_needs_no_file(void **state)
{
    (void)state;
    struct conf *c = NULL;
    enum conf_action action = CONF_RUN;
    const char *argv[] = {"p", "-config.file=/nonexistent", "-help"};
    assert_int_equal(conf_init(&c, &section, 1, NULL), 0);
    assert_int_equal(conf_load(c, 3, argv, &action, NULL), 0);
    assert_int_equal(action, CONF_HELP);
    conf_free(&c);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    (void)close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_environment_and_flags_come_together),
        cmocka_unit_test(errors_name_the_file),
        cmocka_unit_test(help_needs_no_file),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return rc;
}
