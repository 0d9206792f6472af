/* The POSIX disk does what its table says, with real files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/io.h"
#include "store/store.h"

#include "../../lib/storekit.h"

static char dir[64];

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/test_io_XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

static const char *in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

static int count_name(void *arg, const char *name)
{
    (void)name;
    ++*(unsigned *)arg;
    return 0;
}

static void files_are_made_written_mapped_cut_and_listed(void **state)
{
    (void)state;
    const struct store_io *io = store_io_posix();
    struct store_file *f, *other;
    const uint8_t *base;
    uint64_t size;
    size_t got;
    char back[8];
    unsigned names = 0;
    make_dir();
    assert_int_equal(io->open(io->self, in_dir("a"), &f, &size), ERR_NOENT);
    assert_int_equal(io->create(io->self, in_dir("a"), &f), 0);
    assert_int_equal(io->create(io->self, in_dir("a"), &other), ERR_EXIST);
    assert_int_equal(io->reserve(io->self, f, 8192), 0);
    assert_int_equal(io->map(io->self, f, 8192, &base), 0);
    assert_int_equal(io->write_at(io->self, f, 4000, "hello", 5), 0);
    assert_int_equal(io->sync(io->self, f), 0);
    assert_memory_equal(base + 4000, "hello", 5);
    assert_int_equal(io->read_at(io->self, f, 8190, back, sizeof back, &got), 0);
    assert_int_equal(got, 2);
    assert_int_equal(io->truncate(io->self, f, 4005), 0);
    io->unmap(io->self, base, 8192);
    io->close(io->self, f);
    assert_int_equal(io->open(io->self, in_dir("a"), &f, &size), 0);
    assert_int_equal(size, 4005);
    io->close(io->self, f);
    assert_int_equal(io->make_dir(io->self, in_dir("sub")), 0);
    assert_int_equal(io->make_dir(io->self, in_dir("sub")), 0);
    assert_int_equal(io->rename(io->self, in_dir("a"), in_dir("b")), 0);
    assert_int_equal(io->sync_dir(io->self, dir), 0);
    assert_int_equal(io->list(io->self, dir, count_name, &names), 0);
    assert_int_equal(names, 2);
    assert_int_equal(io->list(io->self, in_dir("none"), count_name, &names), ERR_NOENT);
    assert_int_equal(io->unlink(io->self, in_dir("b")), 0);
    assert_int_equal(io->unlink(io->self, in_dir("b")), ERR_NOENT);
    assert_true(io->free_bytes(io->self, dir) > 0);
    remove_dir();
}

static void a_lock_keeps_others_out_until_it_is_closed(void **state)
{
    (void)state;
    const struct store_io *io = store_io_posix();
    struct store_file *a, *b;
    make_dir();
    assert_int_equal(io->lock(io->self, in_dir("lock"), &a), 0);
    assert_int_equal(io->lock(io->self, in_dir("lock"), &b), ERR_EXIST);
    io->close(io->self, a);
    assert_int_equal(io->lock(io->self, in_dir("lock"), &b), 0);
    io->close(io->self, b);
    remove_dir();
}

static void whole_files_are_replaced_and_read_up_to_a_limit(void **state)
{
    (void)state;
    const struct store_io *io = store_io_posix();
    struct buf b = {0};
    make_dir();
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(io_replace_file(io, dir, in_dir("tmp"), in_dir("x"),
                                         i == 0 ? STR("old") : STR("newer")),
                         0);
    assert_int_equal(io_read_file(io, in_dir("x"), 4, &b), ERR_LIMIT);
    assert_int_equal(io_read_file(io, in_dir("x"), 5, &b), 0);
    assert_true(str_eq(buf_view(&b), STR("newer")));
    assert_int_equal(io_read_file(io, in_dir("tmp"), 5, &b), ERR_NOENT);
    buf_reset(&b);
    remove_dir();
}

static void a_store_on_real_files_keeps_what_it_acknowledged(void **state)
{
    (void)state;
    unsigned forgotten = 0;
    uint64_t sum = 0;
    make_dir();
    struct store_config c = kit_config(dir, &forgotten);
    for (unsigned round = 0; round < 3; round++) {
        struct store *s = NULL;
        struct view *v = NULL;
        c.segment_bytes = 16384;
        assert_int_equal(store_open(&s, &c, store_io_posix(), NULL), 0);
        for (unsigned i = 0; i < 30; i++) {
            struct kit_profile p = {.service = "s", .members = 2, .time_ns = 1000 + i,
                                    .nonce = round * 100 + i, .writer = round, .seq = i + 1,
                                    .stack_seed = round * 100 + i, .samples = 50};
            assert_int_equal(kit_push(s, "t", &p, 1, NULL), 0);
            sum += kit_total(&p, 0);
        }
        assert_int_equal(store_view(s, STR("t"), &v), 0);
        assert_int_equal(kit_sum(v, NULL), sum);
        view_free(&v);
        assert_int_equal(store_close(&s), 0);
        c.stopped = true;
    }
    assert_int_equal(forgotten, 0);
    remove_dir();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_made_written_mapped_cut_and_listed),
        cmocka_unit_test(a_lock_keeps_others_out_until_it_is_closed),
        cmocka_unit_test(whole_files_are_replaced_and_read_up_to_a_limit),
        cmocka_unit_test(a_store_on_real_files_keeps_what_it_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
