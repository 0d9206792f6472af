/* The instance and seen files of any content are refused, or written again as they were. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/identity.h"
#include "store/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The checksum at the end is made to fit, so that what is before it is tried. */
static void with_crc(uint8_t *bytes, size_t size)
{
    uint32_t crc = store_crc(0, bytes, size - 4);
    for (unsigned i = 0; i < 4; i++)
        bytes[size - 4 + i] = (uint8_t)(crc >> (8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct identity id;
    struct seen seen = {0};
    struct buf out = {0};
    if (size < 16 || size > 1 << 20)
        return 0;
    uint8_t *bytes = mem_dup(data, size);
    ASSERT(bytes != NULL);
    with_crc(bytes, size);
    if (identity_decode(str_of(bytes, size), &id) == 0) {
        identity_encode(&id, &out);
        ASSERT(out.size == size && memcmp(out.data, bytes, size) == 0);
    }
    if (seen_decode(str_of(bytes, size), &seen) == 0) {
        struct seen again = {0};
        buf_clear(&out);
        seen_encode(&seen, &out);
        ASSERT(seen_decode(buf_view(&out), &again) == 0 && again.count == seen.count);
        seen_reset(&again);
        seen_reset(&seen);
    }
    buf_reset(&out);
    mem_free(bytes);
    return 0;
}
