/* Values of the propagation tracker from anywhere: what is taken in can be given on and taken in
 * again, and merging it a second time changes nothing. The first byte says whether the rest
 * stands in a snappy block already. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "gossip/kv_tracker.h"
#include "wire/snappy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kv_codec *codec = &kv_tracker_codec;
    struct buf packed = {0}, again = {0};
    void *value = NULL, *merged = NULL, *change = NULL;
    if (size == 0)
        return 0;
    struct str in = str_of(data + 1, size - 1);
    if ((data[0] & 1) != 0) {
        ASSERT(snappy_pack(in, &packed) == 0);
        in = buf_view(&packed);
    }
    if (codec->decode(&value, in, NULL) == 0) {
        codec->encode(value, &again);
        ASSERT(again.error == 0 && codec->decode(&merged, buf_view(&again), NULL) == 0);
        ASSERT(codec->merge(&merged, value, false, 1, &change) == 0 && change == NULL);
        ASSERT(codec->merge(&merged, value, true, 1, &change) == 0 && change == NULL);
        (void)codec->remove_tombstones(merged, 0);
        for (size_t i = 0; i < beacons_count(merged); i++)
            ASSERT(beacons_at(merged, i)->deleted == 0);
        codec->free(&merged);
    }
    codec->free(&value);
    buf_reset(&packed);
    buf_reset(&again);
    return 0;
}
