/* Symbols are interned exactly, logged from a mark, and loaded back as they were. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "store/part.h"
#include "store/segs.h"

#include "../../lib/storekit.h"

static void items_of_a_growing_array_stay_where_they_are(void **state)
{
    (void)state;
    struct segs s = {.item = sizeof(uint32_t)};
    uint32_t *first = NULL;
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(segs_reserve(&s, 1), 0);
        *(uint32_t *)segs_push(&s) = i * 3;
        first = i == 0 ? segs_at(&s, 0) : first;
        segs_publish(&s);
    }
    assert_ptr_equal(first, segs_at(&s, 0));
    assert_int_equal(segs_count(&s), 5000);
    uint32_t runs = 0;
    for (uint32_t i = 0, run; i < 5000; i += run, runs++) {
        run = segs_run(i, 5000);
        const uint32_t *p = segs_at(&s, i);
        for (uint32_t k = 0; k < run; k++)
            assert_int_equal(p[k], (i + k) * 3);
    }
    assert_true(runs < 10);
    segs_reset(&s);
}

static struct form open_form(unsigned from, unsigned count, struct arena *a, struct buf *bytes)
{
    struct kit_profile p[16];
    struct form f;
    struct err err = {0};
    for (unsigned i = 0; i < count; i++)
        p[i] = (struct kit_profile){.service = "s", .members = 1, .time_ns = 1, .nonce = i,
                                    .writer = 1, .seq = i + 1, .stack_seed = from + i,
                                    .samples = 30};
    kit_form(p, count, bytes);
    assert_int_equal(form_open(&f, buf_view(bytes), NULL, a, &err), 0);
    return f;
}

/* Node i of the form and node ids[i] of the partition have the same names down from the root. */
static void check_nodes(const struct part *p, const struct form *f, const struct part_ids *ids)
{
    for (uint32_t i = 1; i < f->node_count; i++) {
        const struct part_node *n;
        assert_int_equal(part_nodes(p, ids->nodes[i], ids->nodes[i] + 1, &n), 1);
        assert_int_equal(n->parent, ids->nodes[f->nodes[i].parent]);
        const struct form_location *fl = &f->locations[f->nodes[i].location];
        const struct part_location *pl = part_location(p, n->location);
        assert_int_equal(pl->line_count, fl->line_count);
        for (uint32_t k = 0; k < fl->line_count; k++) {
            const struct form_line *x = &f->lines[fl->first_line + k];
            const struct form_line *y = part_line(p, pl->first_line + k);
            struct str a = f->strings[f->functions[x->function].name];
            assert_true(str_eq(a, part_string(p, part_function(p, y->function)->name)));
            assert_int_equal(x->line, y->line);
        }
    }
}

static void equal_symbols_get_equal_numbers_and_new_ones_are_logged_once(void **state)
{
    (void)state;
    struct part *p = NULL, *copy = NULL;
    struct arena *a = NULL;
    struct buf bytes = {0}, log = {0};
    assert_int_equal(part_init(&p, NULL), 0);
    assert_int_equal(part_init(&copy, NULL), 0);
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    struct part_counts mark = part_counts(p);
    for (unsigned round = 0; round < 40; round++) {
        struct part_ids ids, again;
        buf_clear(&bytes);
        struct form f = open_form(round * 3, 1 + round % 8, a, &bytes);
        assert_int_equal(part_intern(p, &f, a, &ids), 0);
        check_nodes(p, &f, &ids);
        struct part_counts before = part_counts(p);
        assert_int_equal(part_intern(p, &f, a, &again), 0);
        struct part_counts after = part_counts(p);
        assert_memory_equal(&before, &after, sizeof after);
        assert_memory_equal(ids.nodes, again.nodes, f.node_count * sizeof *ids.nodes);
        bool more = true;
        while (more) { /* small pieces */
            buf_clear(&log);
            more = part_put_symbols(p, &mark, 400, &log);
            struct str in = buf_view(&log);
            assert_int_equal(part_load_symbols(copy, &in), 0);
            assert_int_equal(in.len, 0);
        }
        struct part_counts loaded = part_counts(copy);
        assert_memory_equal(&after, &loaded, sizeof after);
        check_nodes(copy, &f, &ids);
        arena_reset(a);
    }
    buf_reset(&bytes);
    buf_reset(&log);
    arena_free(&a);
    part_free(&p);
    part_free(&copy);
}

static void symbols_that_were_cut_or_turned_are_corrupt_or_sound(void **state)
{
    (void)state;
    struct part *p = NULL;
    struct arena *a = NULL;
    struct buf bytes = {0}, log = {0};
    struct part_ids ids;
    assert_int_equal(part_init(&p, NULL), 0);
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    struct part_counts mark = part_counts(p);
    struct form f = open_form(1, 1, a, &bytes);
    assert_int_equal(part_intern(p, &f, a, &ids), 0);
    assert_false(part_put_symbols(p, &mark, 1 << 20, &log));
    for (size_t cut = 0; cut < log.size; cut++) {
        struct part *q = NULL;
        struct str in = str_of(log.data, cut);
        assert_int_equal(part_init(&q, NULL), 0);
        assert_int_equal(part_load_symbols(q, &in), ERR_CORRUPT);
        part_free(&q);
    }
    part_free(&p);
    arena_free(&a);
    buf_reset(&bytes);
    buf_reset(&log);
}

static void memory_may_run_out_while_interning(void **state)
{
    (void)state;
    struct arena *a = NULL;
    struct buf bytes = {0};
    assert_int_equal(arena_init(&a, 1 << 20, NULL), 0);
    struct form f = open_form(5, 8, a, &bytes);
    for (uint64_t n = 1;; n++) {
        struct part *p = NULL;
        struct part_ids ids;
        mem_fail_at(n);
        int rc = part_init(&p, NULL);
        if (rc == 0)
            rc = part_intern(p, &f, a, &ids);
        bool over = mem_fail_pending() != 0;
        mem_fail_at(0);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        if (p != NULL) { /* what stayed is sound: the second try is right */
            assert_int_equal(part_intern(p, &f, a, &ids), 0);
            check_nodes(p, &f, &ids);
        }
        part_free(&p);
        if (over)
            break;
    }
    buf_reset(&bytes);
    arena_free(&a);
}

static void a_full_account_refuses_and_gets_everything_back(void **state)
{
    (void)state;
    struct mem_account account;
    struct arena *a = NULL;
    struct buf bytes = {0};
    struct part *p = NULL;
    struct part_ids ids;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    struct form f = open_form(5, 8, a, &bytes);
    mem_account_init(&account, NULL, "heads", 20000);
    assert_int_equal(part_init(&p, &account), 0);
    assert_int_equal(part_intern(p, &f, a, &ids), ERR_LIMIT);
    part_free(&p);
    assert_int_equal(account.used, 0);
    account.limit = 0;
    assert_int_equal(part_init(&p, &account), 0);
    assert_int_equal(part_intern(p, &f, a, &ids), 0);
    part_free(&p);
    assert_int_equal(account.used, 0);
    buf_reset(&bytes);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_of_a_growing_array_stay_where_they_are),
        cmocka_unit_test(equal_symbols_get_equal_numbers_and_new_ones_are_logged_once),
        cmocka_unit_test(symbols_that_were_cut_or_turned_are_corrupt_or_sound),
        cmocka_unit_test(memory_may_run_out_while_interning),
        cmocka_unit_test(a_full_account_refuses_and_gets_everything_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
