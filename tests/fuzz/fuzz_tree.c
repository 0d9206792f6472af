/* Tree bytes that are taken come back the same from a second round, whole or cut. */
#include "profile/tree.h"

#include "base/assert.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_flamegraph(const struct tree *t, uint64_t max_nodes)
{
    struct arena *a = NULL;
    struct flamegraph f;
    ASSERT(arena_init(&a, 0, NULL) == 0);
    ASSERT(tree_flamegraph(t, max_nodes, a, &f) == 0);
    ASSERT(f.level_count >= 1 && f.levels[0].count == 4);
    for (size_t d = 0; d < f.level_count; d++)
        for (size_t i = 0; i < f.levels[d].count; i += 4)
            ASSERT((uint64_t)f.levels[d].values[i + 3] < f.name_count);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tree *t = NULL, *again = NULL;
    struct buf first = {0}, second = {0};
    ASSERT(tree_init(&t, NULL) == 0 && tree_init(&again, NULL) == 0);
    if (tree_decode(t, str_of(data, size), 100000, NULL) == 0) {
        ASSERT(tree_encode(t, 0, &first) == 0);
        ASSERT(tree_decode(again, buf_view(&first), 0, NULL) == 0);
        ASSERT(tree_count(again) == tree_count(t) && tree_total(again) == tree_total(t));
        ASSERT(tree_encode(again, 0, &second) == 0);
        ASSERT(str_eq(buf_view(&first), buf_view(&second)));
        check_flamegraph(t, 0);
        check_flamegraph(t, 3);
        buf_clear(&second);
        ASSERT(tree_encode(t, 3, &second) == 0);
        ASSERT(tree_merge(again, t) == 0);
    }
    buf_reset(&first);
    buf_reset(&second);
    tree_free(&t);
    tree_free(&again);
    return 0;
}
