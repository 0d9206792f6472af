/* Memory goes back to the kernel once per rest, and never while there is work. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/memory_run.h"

static void a_process_at_rest_gives_back_once(void **state)
{
    (void)state;
    struct memory_idle m = {0};
    assert_false(memory_idle_look(&m, 500, false)); /* worked since the start */
    assert_true(memory_idle_look(&m, 500, false));
    assert_false(memory_idle_look(&m, 501, false)); /* a probe is no work */
    assert_false(memory_idle_look(&m, 700, false));
    assert_false(memory_idle_look(&m, 700, true)); /* one request, still under way */
    assert_true(memory_idle_look(&m, 701, false));
    assert_false(memory_idle_look(&m, 701, false));
}

static void tuning_is_harmless_to_repeat(void **state)
{
    (void)state;
    struct memory_idle m = {.work = 1};
    memory_tune();
    memory_tune();
    assert_true(memory_idle_look(&m, 1, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_at_rest_gives_back_once),
        cmocka_unit_test(tuning_is_harmless_to_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
