/* The facade: what was acknowledged is in every later view, once, also after a restart. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "store/store.h"

#include "../../lib/memdisk.h"
#include "../../lib/storekit.h"

static struct store *open_store(struct memdisk *d, unsigned *forgotten)
{
    struct store *s = NULL;
    struct err err = {0};
    struct store_config c = kit_config("/d", forgotten);
    int rc = store_open(&s, &c, memdisk_io(d), &err);
    if (rc != 0)
        print_message("store_open: %s\n", err.msg);
    assert_int_equal(rc, 0);
    return s;
}

static uint64_t sum_of(struct store *s, const char *tenant)
{
    struct view *v;
    assert_int_equal(store_view(s, str_c(tenant), &v), 0);
    uint64_t sum = kit_sum(v, NULL);
    view_free(&v);
    return sum;
}

static struct kit_profile profile(unsigned i)
{
    return (struct kit_profile){.service = i % 2 == 0 ? "even" : "odd",
                                .label = i % 3 == 0 ? NULL : "x",
                                .members = 1 + i % 2,
                                .proportional = i % 4 < 2,
                                .time_ns = 1000000000ll * (i + 1),
                                .nonce = i,
                                .writer = i % 5,
                                .seq = i / 5 + 1,
                                .stack_seed = i,
                                .samples = 3 + i % 40};
}

static void what_was_acknowledged_is_there_also_after_a_restart(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct kit_profile p = profile(i);
        struct store_appended info;
        assert_int_equal(kit_push(s, "t", &p, 1, &info), 0);
        assert_int_equal(info.rows, 1);
        sum += kit_total(&p, 0);
        if (i % 20 == 0)
            assert_int_equal(sum_of(s, "t"), sum);
    }
    assert_int_equal(sum_of(s, "t"), sum);
    assert_int_equal(sum_of(s, "other"), 0);
    assert_int_equal(store_close(&s), 0);
    s = open_store(d, &forgotten);
    assert_int_equal(sum_of(s, "t"), sum);
    for (unsigned i = 0; i < 200; i++) { /* the same dots again */
        struct kit_profile p = profile(i);
        struct store_appended info;
        assert_int_equal(kit_push(s, "t", &p, 1, &info), 0);
        assert_int_equal(info.known, 1);
        p.writer += 10; /* the same keys under new dots */
        assert_int_equal(kit_push(s, "t", &p, 1, &info), 0);
        assert_int_equal(info.repeats, 1);
        assert_int_equal(info.rows, 0);
    }
    assert_int_equal(sum_of(s, "t"), sum);
    assert_int_equal(store_close(&s), 0);
    assert_int_equal(forgotten, 0);
    memdisk_free(&d);
}

static void a_push_of_several_services_and_repeats_of_itself_is_stored_once(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    struct kit_profile p[8];
    uint64_t sum = 0;
    for (unsigned i = 0; i < 6; i++) {
        p[i] = profile(i);
        sum += kit_total(&p[i], 0);
    }
    p[6] = p[3]; /* the same dot */
    p[7] = p[2]; /* the same key */
    p[7].seq = 99;
    struct store_appended info;
    assert_int_equal(kit_push(s, "t", p, 8, &info), 0);
    assert_int_equal(info.rows, 6);
    assert_int_equal(info.known, 1);
    assert_int_equal(info.repeats, 1);
    assert_int_equal(sum_of(s, "t"), sum);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_is_there_also_after_a_restart),
        cmocka_unit_test(a_push_of_several_services_and_repeats_of_itself_is_stored_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
