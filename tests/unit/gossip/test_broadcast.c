/* The queue hands out as memberlist's does: seldom sent first, long first, new first; each message
 * a limited number of times; replaced by what is newer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/broadcast.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

static void note(void *arg, struct str msg)
{
    buf_str(arg, msg);
    buf_u8(arg, ' ');
}

/* What one packet of `budget` bytes carries. */
static void assert_take(struct bcast *q, size_t budget, uint32_t limit, const char *want)
{
    struct buf out = {0};
    size_t used = bcast_take(q, budget, 2, limit, note, &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    size_t sum = 0;
    for (const char *c = want; *c != '\0'; c++)
        sum += *c == ' ' ? 2 : 1;
    assert_int_equal(used, sum);
    buf_reset(&out);
}

static struct bcast *queue(void)
{
    struct bcast *q = NULL;
    assert_int_equal(bcast_init(&q), 0);
    return q;
}

static void put(struct bcast *q, const char *name, const char *msg)
{
    assert_int_equal(bcast_put(q, str_c(name), str_c(msg), NULL), 0);
}

static void longer_go_first_then_newer(void **state)
{
    (void)state;
    struct bcast *q = queue();
    put(q, "1", "aa");
    put(q, "2", "bbbb");
    put(q, "3", "cc");
    put(q, "4", "d");
    assert_take(q, 100, 9, "bbbb cc aa d ");
    bcast_free(&q);
    assert_null(q);
}

static void what_was_sent_most_often_is_given_up_first(void **state)
{
    (void)state;
    struct bcast *q = queue();
    put(q, "1", "aaaa");
    put(q, "2", "b");
    assert_take(q, 100, 9, "aaaa b ");
    put(q, "3", "cc");
    put(q, "4", "dddd");
    bcast_prune(q, 11);
    assert_int_equal(bcast_count(q), 4);
    bcast_prune(q, 9); /* of those sent once, the shortest, and then the other */
    assert_int_equal(bcast_count(q), 2);
    assert_int_equal(bcast_bytes(q), 6);
    put(q, "2", "e"); /* what went away can come again */
    assert_take(q, 100, 9, "dddd cc e ");
    bcast_prune(q, 0);
    assert_int_equal(bcast_count(q), 0);
    bcast_free(&q);
}

static void seldom_sent_go_first(void **state)
{
    (void)state;
    struct bcast *q = queue();
    put(q, "1", "long-old");
    assert_take(q, 100, 9, "long-old ");
    put(q, "2", "new");
    assert_take(q, 100, 9, "new long-old ");
    bcast_free(&q);
}

static void what_fits_is_taken_the_largest_first(void **state)
{
    (void)state;
    struct bcast *q = queue();
    put(q, "1", "aaaaaaaaaa");
    put(q, "2", "bbbbb");
    put(q, "3", "c");
    assert_take(q, 11, 9, "bbbbb c ");
    assert_take(q, 12, 9, "aaaaaaaaaa ");
    assert_take(q, 2, 9, "");
    assert_take(q, 0, 9, "");
    bcast_free(&q);
}

static void a_message_leaves_after_its_sends(void **state)
{
    (void)state;
    struct bcast *q = queue();
    uint64_t id = 0;
    assert_int_equal(bcast_put(q, STR("n"), STR("msg"), &id), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(bcast_has(q, id));
        assert_int_equal(bcast_count(q), 1);
        assert_int_equal(bcast_bytes(q), 3);
        assert_take(q, 100, 3, "msg ");
    }
    assert_false(bcast_has(q, id));
    assert_int_equal(bcast_count(q), 0);
    assert_int_equal(bcast_bytes(q), 0);
    assert_take(q, 100, 3, "");
    bcast_free(&q);
}

static void a_name_is_queued_once(void **state)
{
    (void)state;
    struct bcast *q = queue();
    uint64_t first = 0;
    assert_int_equal(bcast_put(q, STR("n"), STR("old"), &first), 0);
    assert_take(q, 100, 9, "old ");
    put(q, "n", "new");
    put(q, "m", "x");
    assert_false(bcast_has(q, first));
    assert_take(q, 100, 9, "new x ");
    bcast_free(&q);
}

static void change(struct bcast *q, const char *key, uint64_t version, const char *names,
                   const char *msg)
{
    struct str list[8], rest = str_c(names), name;
    size_t count = 0;
    while (rest.len > 0 && str_cut(&rest, ',', &name))
        list[count++] = name;
    assert_int_equal(bcast_put_change(q, str_c(key), version, list, count, str_c(msg)), 0);
}

static void a_change_replaces_what_it_covers(void **state)
{
    (void)state;
    struct bcast *q = queue();
    change(q, "k", 1, "a,b", "AB1");
    change(q, "k", 2, "c", "C2");
    change(q, "other", 1, "a", "O");
    change(q, "k", 3, "a", "A3"); /* covers neither */
    assert_int_equal(bcast_count(q), 4);
    change(q, "k", 4, "c,b,a", "CBA4"); /* covers all of k */
    assert_take(q, 100, 9, "CBA4 O ");
    change(q, "k", 3, "a,b,c,d", "OLD"); /* an older version replaces nothing */
    assert_int_equal(bcast_count(q), 3);
    bcast_free(&q);
}

static void the_limit_grows_with_the_logarithm(void **state)
{
    (void)state;
    static const struct {
        size_t members;
        uint32_t limit;
    } rows[] = {{0, 0}, {1, 4}, {9, 4}, {10, 8}, {99, 8}, {100, 12}, {999, 12}, {1000, 16}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(bcast_limit(4, rows[i].members), rows[i].limit);
}

static void without_memory_the_queue_stays_whole(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct bcast *q = NULL;
        struct buf out = {0};
        mem_fail_at(n);
        int made = bcast_init(&q);
        int rc = made;
        for (int i = 0; i < 3 && made == 0; i++) {
            struct str names[] = {STR("x"), STR("y")};
            int one = bcast_put(q, STR("n"), STR("msg"), NULL);
            int two = bcast_put_change(q, STR("k"), (uint64_t)i, names, 2, STR("change"));
            rc = one != 0 ? one : two != 0 ? two : rc;
            (void)bcast_take(q, 100, 2, 3, note, &out);
        }
        int over = mem_fail_pending();
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        assert_true(made == 0 || q == NULL);
        if (q != NULL) { /* it still works */
            while (bcast_count(q) > 0)
                (void)bcast_take(q, 100, 2, 3, note, &out);
            assert_int_equal(bcast_bytes(q), 0);
        }
        bcast_free(&q);
        buf_reset(&out);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longer_go_first_then_newer),
        cmocka_unit_test(what_was_sent_most_often_is_given_up_first),
        cmocka_unit_test(seldom_sent_go_first),
        cmocka_unit_test(what_fits_is_taken_the_largest_first),
        cmocka_unit_test(a_message_leaves_after_its_sends),
        cmocka_unit_test(a_name_is_queued_once),
        cmocka_unit_test(a_change_replaces_what_it_covers),
        cmocka_unit_test(the_limit_grows_with_the_logarithm),
        cmocka_unit_test(without_memory_the_queue_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
