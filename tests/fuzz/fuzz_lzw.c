/* LZW from anywhere stays within its limit; and what is compressed comes back. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "gossip/lzw.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = {.limit = 1 << 20}, packed = {0}, back = {.limit = size + 1};
    struct str in = str_of(data, size);
    (void)lzw_decode(&out, in);
    ASSERT(out.size <= 1 << 20);
    ASSERT(lzw_encode(&packed, in) == 0);
    ASSERT(lzw_decode(&back, buf_view(&packed)) == 0);
    ASSERT(str_eq(buf_view(&back), in));
    buf_reset(&out);
    buf_reset(&packed);
    buf_reset(&back);
    return 0;
}
