/* gossip/inbound.c - the peers that are connected, and who has to make room. */
#include "gossip/inbound.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"

struct inbound_peer {
    struct list link;
    uint8_t ip[16];
    struct list fresh, settled; /* seats, oldest first */
    size_t count, bytes, shaking;
};

struct inbound {
    struct inbound_limits limits;
    struct map *peers; /* by IP */
    struct list list;  /* the same */
    size_t count, bytes;
};

int inbound_init(struct inbound **out, const struct inbound_limits *limits)
{
    struct inbound *in = mem_zalloc(sizeof *in);
    if (in == NULL)
        return ERR_NOMEM;
    in->limits = *limits;
    list_init(&in->list);
    if (map_init(&in->peers) != 0) {
        mem_free(in);
        return ERR_NOMEM;
    }
    *out = in;
    return 0;
}

void inbound_free(struct inbound **in)
{
    if (*in == NULL)
        return;
    ASSERT((*in)->count == 0);
    map_free(&(*in)->peers);
    mem_free(*in);
    *in = NULL;
}

/* IPv4 is the same in either form. */
static struct str key_of(const struct gossip_addr *a, uint8_t ip[16])
{
    gossip_addr_key(a, ip);
    return str_of(ip, 16);
}

static struct inbound_peer *peer_new(struct inbound *in, struct str key)
{
    struct inbound_peer *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return NULL;
    memcpy(p->ip, key.data, sizeof p->ip);
    list_init(&p->link);
    list_init(&p->fresh);
    list_init(&p->settled);
    if (map_put(in->peers, key, p, NULL) != 0) {
        mem_free(p);
        return NULL;
    }
    list_push_back(&in->list, &p->link);
    return p;
}

int inbound_enter(struct inbound *in, const struct gossip_addr *from, struct inbound_seat *seat)
{
    uint8_t ip[16];
    struct str key = key_of(from, ip);
    struct inbound_peer *p = map_get(in->peers, key);
    if (p == NULL)
        p = peer_new(in, key);
    if (p == NULL)
        return ERR_NOMEM;
    *seat = (struct inbound_seat){.peer = p};
    list_init(&seat->link);
    list_push_back(&p->fresh, &seat->link);
    p->count++;
    in->count++;
    return 0;
}

void inbound_leave(struct inbound *in, struct inbound_seat *seat)
{
    struct inbound_peer *p = seat->peer;
    if (p == NULL)
        return;
    inbound_shaken(in, seat);
    in->bytes -= seat->bytes;
    p->bytes -= seat->bytes;
    in->count--;
    p->count--;
    list_remove(&seat->link);
    *seat = (struct inbound_seat){0};
    if (p->count > 0)
        return;
    (void)map_remove(in->peers, str_of(p->ip, sizeof p->ip));
    list_remove(&p->link);
    mem_free(p);
}

struct inbound_seat *inbound_surplus(const struct inbound *in)
{
    struct inbound_peer *most = NULL;
    if (in->count <= in->limits.seats)
        return NULL;
    LIST_EACH(link, &in->list) {
        struct inbound_peer *p = LIST_ITEM(link, struct inbound_peer, link);
        if (most == NULL || p->count > most->count)
            most = p;
    }
    ASSERT(most != NULL);
    struct list *oldest = list_first(&most->fresh);
    oldest = oldest != NULL ? oldest : list_first(&most->settled);
    ASSERT(oldest != NULL);
    return LIST_ITEM(oldest, struct inbound_seat, link);
}

/* The seat with most bytes in a list, or `best`. */
static struct inbound_seat *largest(const struct list *head, struct inbound_seat *best)
{
    LIST_EACH(link, head) {
        struct inbound_seat *s = LIST_ITEM(link, struct inbound_seat, link);
        if (best == NULL || s->bytes > best->bytes)
            best = s;
    }
    return best;
}

struct inbound_seat *inbound_hold(struct inbound *in, struct inbound_seat *seat, size_t bytes)
{
    struct inbound_peer *most = seat->peer;
    in->bytes += bytes - seat->bytes;
    seat->peer->bytes += bytes - seat->bytes;
    seat->bytes = bytes;
    if (in->bytes <= in->limits.bytes)
        return NULL;
    LIST_EACH(link, &in->list) {
        struct inbound_peer *p = LIST_ITEM(link, struct inbound_peer, link);
        if (p->bytes > most->bytes)
            most = p;
    }
    return largest(&most->settled, largest(&most->fresh, NULL));
}

bool inbound_shake(struct inbound *in, struct inbound_seat *seat)
{
    if (seat->peer->shaking >= in->limits.shakes_per_peer)
        return false;
    seat->shaking = true;
    seat->peer->shaking++;
    return true;
}

void inbound_shaken(struct inbound *in, struct inbound_seat *seat)
{
    (void)in;
    if (seat->shaking)
        seat->peer->shaking--;
    seat->shaking = false;
}

void inbound_settle(struct inbound *in, struct inbound_seat *seat)
{
    inbound_shaken(in, seat);
    if (seat->settled)
        return;
    seat->settled = true;
    list_remove(&seat->link);
    list_push_back(&seat->peer->settled, &seat->link);
}

size_t inbound_count(const struct inbound *in)
{
    return in->count;
}

size_t inbound_count_of(const struct inbound *in, const struct gossip_addr *from)
{
    uint8_t ip[16];
    const struct inbound_peer *p = map_get(in->peers, key_of(from, ip));
    return p == NULL ? 0 : p->count;
}
