/* ring/readplan_gather.c - whom to ask for what they hold, and taking their replies. */
#include "base/mem.h"
#include "ring/readplan_priv.h"

/* Room for one more of an array of `stride`. */
int read_reserve(void **array, uint32_t count, uint32_t *cap, size_t stride)
{
    if (count < *cap)
        return 0;
    uint32_t more = *cap == 0 ? 8 : *cap * 2;
    void *p = mem_realloc_array(*array, more, stride);
    if (p == NULL)
        return ERR_NOMEM;
    *array = p;
    *cap = more;
    return 0;
}

/* Copy three names into one piece of memory. NULL: no memory. */
char *read_copy_names(struct str *a, struct str *b, struct str *c)
{
    struct str *each[] = {a, b, c};
    char *names = mem_alloc(a->len + b->len + c->len), *at = names;
    for (int i = 0; names != NULL && i < 3; i++) {
        if (each[i]->len > 0)
            memcpy(at, each[i]->data, each[i]->len);
        each[i]->data = at;
        at += each[i]->len;
    }
    return names;
}

int read_target_add(struct readplan *p, struct str instance, struct str addr, struct str domain,
                    bool listed, bool lazy)
{
    if (instance.len == 0 || domain.len == 0 || instance.len > ROSTER_NAME_MAX ||
        domain.len > ROSTER_NAME_MAX || addr.len > ROSTER_NAME_MAX)
        return ERR_INVAL;
    if (p->peer_count == READ_PEERS_MAX)
        return ERR_LIMIT;
    void *peers = p->peers;
    int rc = read_reserve(&peers, p->peer_count, &p->peer_cap, sizeof *p->peers);
    p->peers = peers;
    if (rc != 0)
        return rc;
    struct read_target peer = {.instance = instance, .addr = addr, .domain = domain,
                        .listed = listed, .lazy = lazy};
    peer.names = read_copy_names(&peer.instance, &peer.addr, &peer.domain);
    if (peer.names == NULL)
        return ERR_NOMEM;
    p->peers[p->peer_count++] = peer;
    return 0;
}

static bool asks_addr(const struct readplan *p, struct str addr)
{
    for (uint32_t i = 0; i < p->peer_count; i++)
        if (str_eq(p->peers[i].addr, addr))
            return true;
    return false;
}

/* Ask every disk of the roster too, once per address (A8). */
int read_targets_of_roster(struct readplan *p)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < roster_count(p->roster); i++) {
        const struct disk *d = roster_at(p->roster, i);
        if (disk_is_member(d) && d->addr.len > 0 && !asks_addr(p, d->addr))
            rc = read_target_add(p, d->instance, d->addr, d->domain, false, false);
    }
    return rc;
}

static bool is_slow(const struct readplan *p, struct disk_id id)
{
    for (uint32_t i = 0; i < p->slow_count; i++)
        if (disk_eq(p->slow[i], id))
            return true;
    return false;
}

/* Others go first in the next rounds; forgetting it for want of memory costs time only. */
void read_mark_slow(struct readplan *p, struct disk_id id)
{
    if (is_slow(p, id) || p->slow_count == READ_PEERS_MAX)
        return;
    struct disk_id *slow = mem_realloc_array(p->slow, p->slow_count + 1, sizeof *slow);
    if (slow == NULL)
        return;
    p->slow = slow;
    p->slow[p->slow_count++] = id;
}

/* Fill a disk of the round from its reply. */
static int disk_fill(struct readplan *p, struct read_disk *d, const struct read_reply *r,
                     struct str addr)
{
    *d = (struct read_disk){.id = r->disk, .instance = r->instance, .domain = r->domain,
                            .addr = addr, .established = r->established,
                            .truncated = r->truncated, .slow = is_slow(p, r->disk)};
    d->names = read_copy_names(&d->instance, &d->domain, &d->addr);
    int rc = d->names == NULL ? ERR_NOMEM : 0;
    if (rc == 0)
        rc = r->held != NULL ? vector_copy(&d->held, r->held) : vector_init(&d->held);
    rc = rc != 0 ? rc : vector_init(&d->given);
    rc = rc != 0 || r->repeats == NULL ? rc : aliases_union(p->links, r->repeats);
    if (rc != 0) {
        vector_free(&d->held);
        vector_free(&d->given);
        mem_free(d->names);
    }
    return rc;
}

static bool has_disk(const struct readplan *p, struct disk_id id)
{
    for (uint32_t i = 0; i < p->disk_count; i++)
        if (disk_eq(p->disks[i].id, id))
            return true;
    return false;
}

/* Take a reply into the round. */
int read_take_reply(struct readplan *p, const struct read_reply *r, struct str addr)
{
    if (disk_is_none(r->disk) || r->instance.len == 0 || r->domain.len == 0 ||
        r->instance.len > ROSTER_NAME_MAX || r->domain.len > ROSTER_NAME_MAX)
        return ERR_INVAL;
    if (has_disk(p, r->disk))
        return ERR_STALE;
    int rc = r->roster != NULL ? roster_merge(p->roster, r->roster, NULL) : 0;
    void *disks = p->disks;
    rc = rc != 0 ? rc : read_reserve(&disks, p->disk_count, &p->disk_cap, sizeof *p->disks);
    p->disks = disks;
    rc = rc != 0 ? rc : disk_fill(p, &p->disks[p->disk_count], r, addr);
    if (rc == 0)
        p->disk_count++;
    return rc;
}

struct read_target *read_target_called(struct readplan *p, uint32_t call)
{
    for (uint32_t i = 0; i < p->peer_count; i++)
        if (p->peers[i].call == call && p->peers[i].state == SENT)
            return &p->peers[i];
    return NULL;
}

/* Nobody whom waiting could still bring is missing. */
bool read_all_here(const struct readplan *p)
{
    for (uint32_t i = 0; i < p->peer_count; i++) {
        const struct read_target *peer = &p->peers[i];
        if (peer->state == TO_SEND || (peer->state == SENT && !peer->lazy))
            return false;
    }
    return true;
}

