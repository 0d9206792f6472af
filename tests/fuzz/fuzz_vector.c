/* A vector, then aliases, from hostile bytes: what is read can be written, and reads the same. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "ring/dots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_vector(struct str in)
{
    struct vector *v = NULL, *w = NULL;
    struct buf out = {0}, again = {0};
    bool truncated = false, t = false;
    const struct dots_limits limits = {.runs_max = 10000};
    if (vector_decode(&v, &truncated, in, &limits, NULL) != 0)
        return;
    vector_encode(v, truncated, &out);
    ASSERT(out.error == 0);
    ASSERT(vector_decode(&w, &t, buf_view(&out), &limits, NULL) == 0);
    ASSERT(t == truncated && vector_covers(v, w) && vector_covers(w, v));
    vector_encode(w, t, &again);
    ASSERT(str_eq(buf_view(&out), buf_view(&again)));
    ASSERT(vector_cut(w, NULL, out.size / 2, &t) == 0);
    ASSERT(vector_covers(v, w));
    buf_reset(&out);
    buf_reset(&again);
    vector_free(&v);
    vector_free(&w);
}

static void try_aliases(struct str in)
{
    struct aliases *a = NULL;
    struct buf out = {0};
    const struct dots_limits limits = {.runs_max = 10000};
    if (aliases_init(&a) != 0)
        return;
    if (aliases_decode(a, in, &limits, NULL) == 0) {
        aliases_sort(a);
        aliases_encode(a, 12, &out);
        ASSERT(out.error == 0 && (out.size > 0) == (aliases_count(a) > 0));
    }
    buf_reset(&out);
    aliases_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_vector(str_of(data, size));
    try_aliases(str_of(data, size));
    return 0;
}
