/* The names of Pyroscope are found, once each and in order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf/peer_flags.h"

#include <string.h>

static void flags_stand_once_and_in_order(void **state)
{
    (void)state;
    size_t flags = 0;
    for (size_t i = 0; i < peer_flags_count; i++) {
        assert_true(peer_flags[i].flag != NULL || peer_flags[i].key != NULL);
        if (peer_flags[i].flag == NULL)
            continue;
        flags++;
        if (i > 0)
            assert_true(strcmp(peer_flags[i - 1].flag, peer_flags[i].flag) < 0);
    }
    assert_true(flags > 800);
}

static void no_key_stands_inside_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < peer_flags_count; i++)
        if (peer_flags[i].key != NULL)
            assert_int_equal(peer_key_find(str_c(peer_flags[i].key)), PEER_KEY_WHOLE);
    for (size_t i = 0; i < peer_flags_count; i++)
        for (size_t k = 0; peer_flags[i].key != NULL && k < peer_flags_count; k++) {
            if (peer_flags[k].key == NULL || i == k)
                continue;
            size_t n = strlen(peer_flags[i].key);
            assert_false(strncmp(peer_flags[k].key, peer_flags[i].key, n) == 0 &&
                         (peer_flags[k].key[n] == '.' || peer_flags[k].key[n] == '\0'));
        }
}

static void booleans_are_marked(void **state)
{
    (void)state;
    assert_true(peer_flag_find(STR("memberlist.compression-enabled"))->is_bool);
    assert_false(peer_flag_find(STR("memberlist.join"))->is_bool);
    assert_true(peer_flag_find(STR("modules"))->is_bool);
    assert_null(peer_flag_find(STR("memberlist")));
    assert_null(peer_flag_find(STR("")));
}

static void paths_are_inside_whole_or_nothing(void **state)
{
    (void)state;
    assert_int_equal(peer_key_find(STR("memberlist")), PEER_KEY_INSIDE);
    assert_int_equal(peer_key_find(STR("memberlist.join_members")), PEER_KEY_WHOLE);
    assert_int_equal(peer_key_find(STR("memberlist.join")), PEER_KEY_NONE);
    assert_int_equal(peer_key_find(STR("ingester.lifecycler.ring")), PEER_KEY_INSIDE);
    assert_int_equal(peer_key_find(STR("")), PEER_KEY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_stand_once_and_in_order),
        cmocka_unit_test(no_key_stands_inside_another),
        cmocka_unit_test(booleans_are_marked),
        cmocka_unit_test(paths_are_inside_whole_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
