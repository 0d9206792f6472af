/* A roster from hostile bytes: what is read can be written, reads the same, and merging it into
 * itself changes nothing. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "ring/roster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct roster *a = NULL, *b = NULL;
    struct roster_news news = {0};
    struct buf out = {0};
    if (roster_decode(&a, str_of(data, size), NULL) != 0)
        return 0;
    roster_encode(a, &out);
    ASSERT(out.error == 0);
    ASSERT(roster_decode(&b, buf_view(&out), NULL) == 0);
    ASSERT(roster_hash(a) == roster_hash(b) && roster_count(a) == roster_count(b));
    ASSERT(roster_merge(b, a, &news) == 0 && !news.changed);
    buf_reset(&out);
    roster_free(&a);
    roster_free(&b);
    return 0;
}
