/* Symbols of any content are refused, or are loaded and written again as they were. */
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "store/part.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct part *p = NULL, *again = NULL;
    struct buf out = {0};
    struct str in = str_of(data, size);
    ASSERT(part_init(&p, NULL) == 0 && part_init(&again, NULL) == 0);
    struct part_counts mark = part_counts(p);
    if (part_load_symbols(p, &in) == 0) {
        bool more = true;
        while (more) {
            buf_clear(&out);
            more = part_put_symbols(p, &mark, 2 << 20, &out);
            struct str piece = buf_view(&out);
            ASSERT(part_load_symbols(again, &piece) == 0 && piece.len == 0);
        }
        struct part_counts a = part_counts(p), b = part_counts(again);
        ASSERT(a.strings == b.strings && a.mappings == b.mappings &&
               a.functions == b.functions && a.locations == b.locations && a.nodes == b.nodes);
    }
    buf_reset(&out);
    part_free(&p);
    part_free(&again);
    return 0;
}
