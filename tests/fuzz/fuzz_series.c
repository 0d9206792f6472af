/* Partial series that are taken come back the same from a second round. */
#include "profile/series.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct series_grid g = {1000, 3000, 1000};
    struct series_set *s = NULL, *again = NULL;
    struct buf first = {0}, second = {0};
    ASSERT(series_init(&s, &g, NULL) == 0 && series_init(&again, &g, NULL) == 0);
    if (series_decode(s, str_of(data, size), NULL) == 0) {
        ASSERT(series_encode(s, &first) == 0);
        ASSERT(series_decode(again, buf_view(&first), NULL) == 0);
        ASSERT(series_encode(again, &second) == 0);
        ASSERT(str_eq(buf_view(&first), buf_view(&second)));
        ASSERT(series_merge(again, s) == 0);
    }
    buf_reset(&first);
    buf_reset(&second);
    series_free(&s);
    series_free(&again);
    return 0;
}
