/* The small files come back as written, a turned bit is noticed, and who forgot gets a new name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "store/identity.h"

#include "../../lib/memdisk.h"
#include "../../lib/storekit.h"

static struct identity sample(void)
{
    struct identity id = {.clean = true, .starts = 77, .rf = 3, .zone_aware = true};
    memset(id.disk, 1, sizeof id.disk);
    memset(id.predecessor, 2, sizeof id.predecessor);
    memcpy(id.instance, "ingester-0", 11);
    memcpy(id.domain, "zone-a", 7);
    return id;
}

static void the_instance_file_has_the_bytes_of_its_format(void **state)
{
    (void)state;
    struct identity id = sample(), back;
    struct buf b = {0};
    identity_encode(&id, &b);
    assert_int_equal(b.size, 8 + 4 + 16 + 16 + 1 + 1 + 8 + 1 + 10 + 1 + 6 + 4 + 1 + 4);
    assert_memory_equal(b.data, "EMBRINST\1\0\0\0\1\1", 14);
    assert_memory_equal(b.data + 44,
                        "\1\0\115\0\0\0\0\0\0\0\012ingester-0\006zone-a\3\0\0\0\1", 33);
    assert_int_equal(identity_decode(buf_view(&b), &back), 0);
    assert_memory_equal(&id, &back, sizeof id);
    for (size_t bit = 0; bit < b.size * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(identity_decode(buf_view(&b), &back), ERR_CORRUPT);
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < b.size; cut++)
        assert_int_equal(identity_decode(str_of(b.data, cut), &back), ERR_CORRUPT);
    buf_reset(&b);
}

static const char *open_cause(struct memdisk *d, const char *instance, const char *domain,
                              struct identity *out)
{
    const char *cause = "unset";
    uint8_t fresh[DISK_SIZE];
    memset(fresh, 9, sizeof fresh);
    assert_int_equal(identity_open(memdisk_io(d), "/d", str_c(instance), str_c(domain), fresh,
                                   out, &cause),
                     0);
    return cause;
}

static void a_disk_keeps_its_name_unless_it_forgot(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    struct identity id, old = sample();
    struct store_file *f;
    size_t size;
    assert_string_equal(open_cause(d, "ingester-0", "zone-a", &id), "the data directory is new");
    assert_int_equal(id.disk[0], 9);
    assert_int_equal(id.predecessor[0], 0);
    assert_string_equal(id.instance, "ingester-0");
    assert_int_equal(identity_write(memdisk_io(d), "/d", &old), 0);
    assert_null(open_cause(d, "ingester-0", "zone-a", &id));
    assert_memory_equal(&id, &old, sizeof id);
    assert_non_null(open_cause(d, "ingester-1", "zone-a", &id));
    assert_non_null(open_cause(d, "ingester-0", "zone-b", &id));
    assert_int_equal(id.disk[0], 9);
    assert_int_equal(id.predecessor[0], 1);
    assert_false(id.clean);
    assert_string_equal(id.domain, "zone-b");
    assert_int_equal(memdisk_io(d)->create(d, "/d/log/x.log", &f), 0);
    memdisk_io(d)->close(d, f);
    assert_string_equal(open_cause(d, "ingester-0", "zone-a", &id), "the roster file is missing");
    assert_int_equal(roster_write(memdisk_io(d), "/d", STR("roster")), 0);
    assert_null(open_cause(d, "ingester-0", "zone-a", &id));
    memdisk_bytes(d, "/d/roster", &size)[13] ^= 1;
    assert_string_equal(open_cause(d, "ingester-0", "zone-a", &id), "the roster file is damaged");
    memdisk_bytes(d, "/d/roster", &size)[13] ^= 1;
    memdisk_bytes(d, "/d/instance", &size)[13] ^= 1;
    assert_string_equal(open_cause(d, "ingester-0", "zone-a", &id),
                        "the instance file is damaged");
    memdisk_io(d)->unlink(d, "/d/instance");
    assert_string_equal(open_cause(d, "ingester-0", "zone-a", &id),
                        "the instance file is missing");
    memdisk_free(&d);
}

static void a_roster_comes_back(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    struct buf b = {0};
    assert_int_equal(roster_read(memdisk_io(d), "/d", &b), ERR_NOENT);
    assert_int_equal(roster_write(memdisk_io(d), "/d", STR("some message")), 0);
    assert_int_equal(roster_read(memdisk_io(d), "/d", &b), 0);
    assert_true(str_eq(buf_view(&b), STR("some message")));
    buf_reset(&b);
    memdisk_free(&d);
}

/* Whatever call fails, and then the power: the old file or the new one. */
static void a_replaced_file_is_old_or_new(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 20; n++) {
        struct memdisk *d = memdisk_new();
        struct identity id = sample(), back;
        assert_int_equal(identity_write(memdisk_io(d), "/d", &id), 0);
        id.starts++;
        memdisk_fail_at(d, n, UINT64_MAX, ERR_IO);
        int rc = identity_write(memdisk_io(d), "/d", &id);
        memdisk_crash(d, n);
        assert_int_equal(identity_read(memdisk_io(d), "/d", &back), 0);
        assert_true(back.starts == 78 || (back.starts == 77 && rc != 0));
        memdisk_free(&d);
    }
}

static void a_full_disk_gives_up_the_reserve_for_the_instance(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    struct identity id = sample(), back;
    size_t size;
    identity_reserve(memdisk_io(d), "/d");
    assert_non_null(memdisk_bytes(d, "/d/reserve", &size));
    assert_int_equal(size, 1 << 20);
    memdisk_fail_at(d, 2, 1, ERR_NOSPC);
    assert_int_equal(identity_write(memdisk_io(d), "/d", &id), 0);
    assert_null(memdisk_bytes(d, "/d/reserve", &size));
    assert_int_equal(identity_read(memdisk_io(d), "/d", &back), 0);
    memdisk_free(&d);
}

static struct seen make_seen(void)
{
    struct seen s = {.count = 2};
    s.tenants = mem_calloc(2, sizeof *s.tenants);
    assert_non_null(s.tenants);
    for (unsigned i = 0; i < 2; i++) {
        struct seen_tenant *t = &s.tenants[i];
        t->name = str_dup_c(i == 0 ? STR("anonymous") : STR("b"));
        assert_int_equal(vector_init(&t->gone), 0);
        t->last = mem_calloc(8, sizeof *t->last);
        for (unsigned k = 0; k < 5; k++) {
            uint32_t lane;
            assert_int_equal(vector_lane(t->gone, kit_lane(7 - k), &lane), 0);
            assert_int_equal(vector_add(t->gone, lane, 1 + i, 10 + k), 0);
            assert_int_equal(vector_add(t->gone, lane, 100, 4000000000u), 0);
            t->last[lane] = 1000 + k;
        }
    }
    return s;
}

static void seen_comes_back_whatever_the_order_of_lanes(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    struct seen s = make_seen(), back = {0};
    struct buf b = {0};
    assert_int_equal(seen_read(memdisk_io(d), "/d", &back), 0);
    assert_int_equal(back.count, 0);
    assert_int_equal(seen_write(memdisk_io(d), "/d", &s), 0);
    assert_int_equal(seen_read(memdisk_io(d), "/d", &back), 0);
    assert_int_equal(back.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t lane, other;
        assert_string_equal(back.tenants[i].name, s.tenants[i].name);
        assert_true(vector_covers(back.tenants[i].gone, s.tenants[i].gone));
        assert_true(vector_covers(s.tenants[i].gone, back.tenants[i].gone));
        for (unsigned k = 3; k < 8; k++) {
            assert_true(vector_find(s.tenants[i].gone, kit_lane(k), &lane));
            assert_true(vector_find(back.tenants[i].gone, kit_lane(k), &other));
            assert_int_equal(s.tenants[i].last[lane], back.tenants[i].last[other]);
        }
    }
    seen_encode(&s, &b);
    seen_reset(&back);
    for (size_t cut = 0; cut < b.size; cut++)
        assert_int_equal(seen_decode(str_of(b.data, cut), &back), ERR_CORRUPT);
    seen_reset(&s);
    buf_reset(&b);
    memdisk_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_instance_file_has_the_bytes_of_its_format),
        cmocka_unit_test(a_disk_keeps_its_name_unless_it_forgot),
        cmocka_unit_test(a_roster_comes_back),
        cmocka_unit_test(a_replaced_file_is_old_or_new),
        cmocka_unit_test(a_full_disk_gives_up_the_reserve_for_the_instance),
        cmocka_unit_test(seen_comes_back_whatever_the_order_of_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
