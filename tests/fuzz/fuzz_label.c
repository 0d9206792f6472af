/* Label headers from anywhere: what is taken off is exactly what would be put on; the label of a
 * stream is found as that of a packet. The first byte says how long our own label is, which is
 * taken from the input, and whether every label is let in. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"
#include "gossip/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf again = {0};
    if (size == 0)
        return 0;
    bool any = (data[0] & 1) != 0;
    struct str in = str_of(data + 1, size - 1);
    struct str ours = str_head(in, data[0] >> 1), rest, found;
    in = str_skip(in, ours.len);
    found = packet_label(in);
    rest = in;
    int rc = packet_strip_label(&rest, ours, any);
    if (rc == 0) {
        ASSERT(any || str_eq(found, ours));
        packet_put_label(&again, found);
        buf_str(&again, rest);
        ASSERT(str_eq(buf_view(&again), in));
    } else {
        ASSERT(rest.data == in.data && rest.len == in.len);
        ASSERT(rc == ERR_PARSE || (rc == ERR_DENIED && !any && !str_eq(found, ours)));
    }
    buf_reset(&again);
    return 0;
}
