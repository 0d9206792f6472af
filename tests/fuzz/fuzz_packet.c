/* Packets from anywhere: whatever comes, the member stays a member, believes itself alive, and
 * what it then says can be read by another. The first byte chooses the label of the cluster. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "gossip/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gossip_core *member(const char *name, uint8_t last, const char *label)
{
    struct gossip_core_config c = gossip_core_config_default();
    struct gossip_core *core = NULL;
    c.members.name = str_c(name);
    c.members.label = str_c(label);
    c.members.addr = (struct gossip_addr){.ip = {10, 0, 0, last}, .size = 4, .port = 7946};
    c.seed = 1;
    ASSERT(gossip_core_init(&core, &c, NULL, (struct gossip_time){0, 0}, NULL) == 0);
    return core;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gossip_addr from = {.ip = {10, 0, 0, 9}, .size = 4, .port = 7946};
    struct gossip_time now = {0, 0};
    if (size == 0)
        return 0;
    const char *label = (data[0] & 1) != 0 ? "test" : "";
    struct gossip_core *a = member("a", 1, label), *b = member("b", 2, label);
    gossip_core_on_packet(a, &from, str_of(data + 1, size - 1), now);
    for (int i = 0; i < 4; i++) {
        struct memberlist_action act;
        now.mono += 200;
        gossip_core_tick(a, now);
        while (gossip_core_next(a, &act)) {
            if (act.verb == ML_PACKET)
                gossip_core_on_packet(b, &from, buf_view(&act.bytes), now);
            buf_reset(&act.bytes);
        }
    }
    const struct members *m = memberlist_members(gossip_core_members(a));
    ASSERT(members_self(m)->state == MEMBER_ALIVE);
    ASSERT(memberlist_stats(gossip_core_members(b))->packets_foreign == 0);
    gossip_core_free(&a);
    gossip_core_free(&b);
    return 0;
}
