/* The process says how much it uses, in the units of the names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "metrics/process_run.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "metrics/metrics.h"

/* The value of a line that starts with `name `; fails without one. */
static double value_of(struct metrics *m, const char *name)
{
    struct buf b = {0};
    double v = 0;
    bool found = false;
    metrics_expose(m, &b);
    struct str rest = buf_view(&b);
    for (struct str line; str_cut(&rest, '\n', &line);)
        if (str_starts_with(line, str_c(name)) && line.data[strlen(name)] == ' ') {
            v = strtod(line.data + strlen(name) + 1, NULL);
            found = true;
        }
    buf_reset(&b);
    if (!found)
        fail_msg("%s is not exposed", name);
    return v;
}

static void the_process_is_measured(void **state)
{
    (void)state;
    struct metrics *m = NULL;
    assert_int_equal(metrics_init(&m, "pyroscope", NULL), 0);
    assert_int_equal(metrics_process(m, NULL), 0);
    assert_int_equal(metrics_process(m, NULL), ERR_EXIST);
    assert_true(value_of(m, "process_resident_memory_bytes") > 100000);
    assert_true(value_of(m, "process_virtual_memory_bytes") >
                value_of(m, "process_resident_memory_bytes"));
    assert_true(value_of(m, "process_threads") >= 1);
    assert_true(value_of(m, "process_max_fds") >= 16);
    double now = (double)clock_wall_ms() / 1000;
    double start = value_of(m, "process_start_time_seconds");
    assert_true(start > now - 3600 && start < now + 5);
    double fds = value_of(m, "process_open_fds");
    int fd = open("/dev/null", O_RDONLY);
    assert_true(fd >= 0);
    assert_true(value_of(m, "process_open_fds") > fds + 0.5);
    assert_int_equal(close(fd), 0);
    double cpu = value_of(m, "process_cpu_seconds_total");
    int64_t until = clock_mono_ms() + 2000;
    while (value_of(m, "process_cpu_seconds_total") < cpu + 0.02)
        assert_true(clock_mono_ms() < until);
    metrics_free(&m);
}

static void the_build_names_itself(void **state)
{
    (void)state;
    struct metrics *m = NULL;
    struct buf b = {0};
    assert_int_equal(metrics_init(&m, "pyroscope", NULL), 0);
    assert_int_equal(metrics_build_info(m, "1.2.3", "abc", "main", NULL), 0);
    metrics_expose(m, &b);
    assert_true(
        str_contains(buf_view(&b), STR("\npyroscope_build_info{version=\"1.2.3\",revision="
                                       "\"abc\",branch=\"main\",compiler=\"")));
    buf_reset(&b);
    metrics_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_is_measured),
        cmocka_unit_test(the_build_names_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
