/* Streams from anywhere, in pieces: the first byte is the size of a piece, the second says whose
 * stream it is (a peer's, or one of ours with the peer's answer). No stream may stay open behind
 * its deadline, and none may keep memory. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "gossip/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gossip_addr from = {.ip = {10, 0, 0, 9}, .size = 4, .port = 7946};
    struct gossip_core_config c = gossip_core_config_default();
    struct gossip_core *core = NULL;
    struct gossip_time now = {0, 0};
    struct memberlist_action act;
    uint32_t stream = 0;
    if (size < 2)
        return 0;
    c.members.name = STR("a");
    c.members.addr = (struct gossip_addr){.ip = {10, 0, 0, 1}, .size = 4, .port = 7946};
    c.seed = 1;
    ASSERT(gossip_core_init(&core, &c, NULL, now, NULL) == 0);
    if ((data[1] & 1) == 0) {
        stream = gossip_core_on_accept(core, &from, now);
    } else {
        ASSERT(gossip_core_seeds(core, &from, 1, now) == 0);
        gossip_core_tick(core, now);
        while (gossip_core_next(core, &act)) {
            stream = act.verb == ML_STREAM_OPEN ? act.stream : stream;
            buf_reset(&act.bytes);
        }
        gossip_core_on_connect(core, stream, now);
    }
    size_t piece = 1 + (size_t)data[0] * 8;
    for (struct str in = str_of(data + 2, size - 2); in.len > 0; in = str_skip(in, piece))
        gossip_core_on_bytes(core, stream, str_head(in, piece), now);
    if ((data[1] & 2) != 0)
        gossip_core_on_end(core, stream, 0, now);
    now.mono = 10000;
    gossip_core_tick(core, now);
    while (gossip_core_next(core, &act))
        buf_reset(&act.bytes);
    ASSERT(members_self(memberlist_members(gossip_core_members(core)))->state == MEMBER_ALIVE);
    gossip_core_free(&core);
    return 0;
}
