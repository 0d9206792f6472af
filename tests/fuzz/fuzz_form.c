/* Any bytes as an append form. What is let in must come back byte for byte when it is put down,
 * and halves of it must be forms too. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "profile/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_subset(const struct form *f, struct arena *a)
{
    struct buf out = {0};
    struct form g;
    uint32_t which[32], count = 0;
    for (uint32_t i = 0; i < f->profile_count && count < 32; i += 2)
        which[count++] = i;
    if (form_subset(f, which, count, a, &out) != 0 ||
        form_open(&g, buf_view(&out), NULL, a, NULL) != 0 || g.profile_count != count)
        abort();
    for (uint32_t i = 0; i < count; i++)
        if (g.profiles[i].samples != f->profiles[which[i]].samples)
            abort();
    buf_reset(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = NULL;
    struct buf out = {0};
    struct form f;
    if (arena_init(&a, 0, NULL) != 0)
        return 0;
    if (form_open(&f, str_of(data, size), NULL, a, NULL) == 0) {
        form_put(&f, &out);
        if (out.error != 0 || out.size != size ||
            (size > 0 && memcmp(out.data, data, size) != 0))
            abort();
        check_subset(&f, a);
    }
    buf_reset(&out);
    arena_free(&a);
    return 0;
}
