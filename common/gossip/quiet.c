/* gossip/quiet.c - a small table of who was spoken of, and when. */
#include "gossip/quiet.h"

#include <string.h>

bool quiet_pass(struct quiet *q, const struct gossip_addr *peer, const char *cause, mono_ms now,
                uint64_t *left_out)
{
    uint8_t ip[16];
    struct quiet_entry *idle = NULL;
    gossip_addr_key(peer, ip);
    for (size_t i = 0; i < QUIET_ENTRIES; i++) {
        struct quiet_entry *e = &q->entries[i];
        if (e->cause == cause && memcmp(e->ip, ip, sizeof ip) == 0)
            return log_rate_pass(&e->rate, now, QUIET_MS, left_out);
        if ((e->cause == NULL || now >= e->rate.next) &&
            (idle == NULL || e->rate.next < idle->rate.next))
            idle = e;
    }
    if (idle == NULL)
        return log_rate_pass(&q->others, now, QUIET_OTHERS_MS, left_out);
    *idle = (struct quiet_entry){.cause = cause};
    memcpy(idle->ip, ip, sizeof ip);
    return log_rate_pass(&idle->rate, now, QUIET_MS, left_out);
}
