/* The map against a naive list, under random operations; insertion order; no memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

enum { KEYS = 64 };

struct model {
    int order[4096]; /* key numbers in insertion order */
    size_t count;
    uintptr_t value[KEYS];
    bool has[KEYS];
};

static struct str key_of(char *text, int k)
{
    (void)snprintf(text, 16, "key-%d", k);
    return str_c(text);
}

static void model_remove(struct model *m, int k)
{
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->order[i] != k)
            m->order[n++] = m->order[i];
    m->count = n;
    m->has[k] = false;
}

static void same(const struct map *m, const struct model *model)
{
    size_t at = 0, i = 0;
    struct str key;
    void *value;
    char text[16];
    while (map_next(m, &at, &key, &value)) {
        assert_true(i < model->count);
        assert_true(str_eq(key, key_of(text, model->order[i])));
        assert_true((uintptr_t)value == model->value[model->order[i]]);
        i++;
    }
    assert_int_equal(i, model->count);
    assert_int_equal(map_count(m), model->count);
}

static void it_equals_a_list_under_random_operations(void **state)
{
    (void)state;
    struct map *m = NULL;
    struct model *model = mem_zalloc(sizeof *model);
    struct rng r;
    rng_seed(&r, 1);
    assert_int_equal(map_init(&m), 0);
    for (int step = 0; step < 20000; step++) {
        char text[16];
        int k = (int)rng_below(&r, KEYS);
        struct str key = key_of(text, k);
        if (rng_chance(&r, 2, 5)) {
            void *got = map_remove(m, key);
            assert_true((uintptr_t)got == (model->has[k] ? model->value[k] : 0));
            model_remove(model, k);
        } else {
            uintptr_t v = (uintptr_t)(step + 1);
            void *old = NULL;
            assert_int_equal(map_put(m, key, (void *)v, &old), 0);
            assert_true((uintptr_t)old == (model->has[k] ? model->value[k] : 0));
            if (!model->has[k])
                model->order[model->count++] = k;
            model->has[k] = true;
            model->value[k] = v;
        }
        assert_int_equal(map_has(m, key), model->has[k]);
        if (step % 97 == 0)
            same(m, model);
    }
    map_clear(m);
    assert_int_equal(map_count(m), 0);
    map_free(&m);
    assert_null(m);
    mem_free(model);
}

static void removing_during_a_walk_is_allowed(void **state)
{
    (void)state;
    struct map *m = NULL;
    assert_int_equal(map_init(&m), 0);
    char text[16];
    for (int i = 0; i < 50; i++)
        assert_int_equal(map_put(m, key_of(text, i), text, NULL), 0);
    size_t at = 0, seen = 0;
    struct str key;
    while (map_next(m, &at, &key, NULL)) {
        (void)map_remove(m, key);
        seen++;
    }
    assert_int_equal(seen, 50);
    assert_int_equal(map_count(m), 0);
    map_free(&m);
}

static void no_memory_leaves_the_map_as_it_was(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct map *m = NULL;
        mem_fail_at(n);
        int rc = map_init(&m);
        int put = 0;
        char text[16];
        for (int i = 0; rc == 0 && i < 20; i++) {
            rc = map_put(m, key_of(text, i), NULL, NULL);
            put += rc == 0;
        }
        if (m != NULL)
            assert_int_equal(map_count(m), put);
        map_free(&m);
        if (mem_fail_pending())
            break;
        assert_int_equal(rc, ERR_NOMEM);
    }
    mem_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_equals_a_list_under_random_operations),
        cmocka_unit_test(removing_during_a_walk_is_allowed),
        cmocka_unit_test(no_memory_leaves_the_map_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
