/* The facade: what was acknowledged is in every later view, once, also after a restart. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

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

/* A lane may be known and have no row: of a repeat. Views that are held make the coverage a copy,
 * in which such lanes must keep their places. */
static void lanes_without_rows_do_not_disturb_others_while_views_are_held(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    struct view *views[12];
    uint64_t sums[12], sum = 0;
    for (unsigned i = 0; i < 12; i++) {
        struct kit_profile p = profile(i);
        struct vector *held = NULL;
        p.writer = i;
        p.seq = 1;
        assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
        sum += kit_total(&p, 0);
        p.writer = 20 + i; /* a repeat, so its lane has no row */
        assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
        assert_int_equal(store_view(s, STR("t"), &views[i]), 0);
        sums[i] = sum;
        assert_int_equal(store_held(views[i], 0, 1, &held, NULL), 0);
        assert_int_equal(vector_size(held), 2 * (i + 1));
        assert_int_equal(kit_sum(views[i], held), sum);
        vector_free(&held);
    }
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(kit_sum(views[i], NULL), sums[i]);
        view_free(&views[i]);
    }
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

static bool holds(struct store *s, const char *tenant, unsigned writer, unsigned seq)
{
    struct view *v;
    struct vector *held = NULL;
    assert_int_equal(store_view(s, str_c(tenant), &v), 0);
    assert_int_equal(store_held(v, 0, 1, &held, NULL), 0);
    bool has = vector_has(held, kit_lane(writer), seq);
    vector_free(&held);
    view_free(&v);
    return has;
}

/* What a repair says is complete is held by the tenant, without rows, for good; but not a dot that
 * the push itself repeats, whose row is what counts. */
static void complete_dots_are_held_also_after_a_restart(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    struct vector *complete = NULL;
    struct store_appended info;
    struct buf form = {0};
    uint32_t lane;
    struct kit_profile p[2] = {profile(0), profile(0)};
    p[1].seq = 50; /* a repeat of the first */
    kit_form(p, 2, &form);
    assert_int_equal(vector_init(&complete), 0);
    assert_int_equal(vector_lane(complete, kit_lane(0), &lane), 0);
    assert_int_equal(vector_add(complete, lane, 1, 60), 0);
    assert_int_equal(vector_lane(complete, kit_lane(8), &lane), 0);
    assert_int_equal(vector_add(complete, lane, 7, 9), 0);
    assert_int_equal(kit_append(s, "t", buf_view(&form), complete, &info), 0);
    assert_int_equal(info.rows, 1);
    assert_int_equal(info.repeats, 1);
    for (unsigned round = 0; round < 2; round++) {
        assert_true(holds(s, "t", 0, 1) && holds(s, "t", 0, 50) && holds(s, "t", 0, 60));
        assert_true(holds(s, "t", 8, 7) && holds(s, "t", 8, 9) && !holds(s, "t", 8, 10));
        assert_false(holds(s, "other", 8, 7)); /* for this tenant only */
        struct kit_profile q = profile(3); /* comes late: the tenant has it not, by repair's word */
        q.writer = 8;
        q.seq = 8;
        assert_int_equal(kit_push(s, "t", &q, 1, &info), 0);
        assert_int_equal(info.known, 1);
        assert_int_equal(kit_append(s, "t", buf_view(&form), complete, &info), 0);
        assert_int_equal(info.known, 2);
        assert_int_equal(store_close(&s), 0);
        s = open_store(d, &forgotten);
    }
    assert_int_equal(store_close(&s), 0);
    assert_int_equal(forgotten, 0);
    vector_free(&complete);
    buf_reset(&form);
    memdisk_free(&d);
}

static int note_tenant(void *arg, struct str tenant, const struct vector *held,
                       const struct aliases *repeats)
{
    struct buf *names = arg;
    buf_str(names, tenant);
    buf_u8(names, (uint8_t)('0' + vector_size(held) + aliases_count(repeats)));
    return 0;
}

static void all_tenants_are_walked_in_order(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    struct buf names = {0};
    static const char *const tenants[] = {"c", "a", "b"};
    for (unsigned i = 0; i < 3; i++) {
        struct kit_profile p = profile(i);
        assert_int_equal(kit_push(s, tenants[i], &p, 1, NULL), 0);
    }
    assert_int_equal(store_held_all(s, STR(""), note_tenant, &names), 0);
    assert_true(str_eq(buf_view(&names), STR("a1b1c1")));
    buf_clear(&names);
    assert_int_equal(store_held_all(s, STR("a"), note_tenant, &names), 0);
    assert_true(str_eq(buf_view(&names), STR("b1c1")));
    uint8_t disk[STORE_DISK_SIZE] = {42};
    struct view *before, *after;
    assert_int_equal(store_view(s, STR("a"), &before), 0);
    assert_int_equal(store_rename(s, disk), 0);
    assert_int_equal(store_view(s, STR("a"), &after), 0);
    assert_int_equal(view_disk(before)[0], 7);
    assert_int_equal(view_disk(after)[0], 42);
    view_free(&before);
    view_free(&after);
    buf_reset(&names);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

static void a_bad_form_changes_nothing(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    struct kit_profile p = profile(1);
    struct buf form = {0};
    struct store_stats before, after;
    kit_form(&p, 1, &form);
    store_stats(s, &before);
    for (size_t cut = 0; cut < form.size; cut++)
        assert_int_equal(kit_append(s, "t", str_of(form.data, cut), NULL, NULL), ERR_PARSE);
    form.data[0] = 9;
    assert_int_equal(kit_append(s, "t", buf_view(&form), NULL, NULL), ERR_VERSION);
    store_stats(s, &after);
    assert_memory_equal(&before, &after, sizeof before);
    buf_reset(&form);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_is_there_also_after_a_restart),
        cmocka_unit_test(a_push_of_several_services_and_repeats_of_itself_is_stored_once),
        cmocka_unit_test(lanes_without_rows_do_not_disturb_others_while_views_are_held),
        cmocka_unit_test(complete_dots_are_held_also_after_a_restart),
        cmocka_unit_test(all_tenants_are_walked_in_order),
        cmocka_unit_test(a_bad_form_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
