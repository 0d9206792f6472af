#include "gossip/quiet.h"

#include "base/str.h"

/* Never 0. The form of an address does not matter, nor does its port: a peer behind a changing
 * source port is one place. */
static uint64_t key_of(uint32_t cause, const struct gossip_addr *where)
{
    char ip[GOSSIP_ADDR_TEXT_MAX] = "";
    if (where != NULL)
        gossip_addr_ip_text(where, ip);
    return str_hash(str_c(ip)) * 256 + cause % 255 + 1;
}

bool diag_quiet_pass(struct diag_quiet *q, uint32_t cause, const struct gossip_addr *where,
                     mono_ms now, uint64_t *left_out)
{
    uint64_t key = key_of(cause, where);
    struct diag_quiet_place *oldest = &q->places[0], *found = NULL;
    for (int i = 0; i < QUIET_PLACES; i++) {
        struct diag_quiet_place *p = &q->places[i];
        found = p->key == key ? p : found;
        oldest = p->until < oldest->until ? p : oldest;
    }
    if (found != NULL && now < found->until) {
        found->left_out++;
        return false;
    }
    if (now >= q->window_end) {
        q->window_end = now + QUIET_WINDOW_MS;
        q->lines = 0;
    }
    if (q->lines >= QUIET_WINDOW_LINES) {
        q->left_out++;
        return false;
    }
    q->lines++;
    *left_out = q->left_out + (found != NULL ? found->left_out : 0);
    q->left_out = 0;
    *(found != NULL ? found : oldest) = (struct diag_quiet_place){key, now + QUIET_MS, 0};
    return true;
}
