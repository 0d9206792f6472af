/* receive-proxy/balance.c - round robin over those that work. */
#include "balance.h"

#include "base/err.h"
#include "base/mem.h"

enum { ASIDE_MIN_MS = 1000, ASIDE_MAX_MS = 30000 };

struct seat {
    struct addr addr;
    unsigned failures; /* in a row */
    mono_ms aside_until;
};

struct balance {
    struct seat *seats;
    size_t count, next;
};

int balance_init(struct balance **out)
{
    struct balance *b = mem_zalloc(sizeof *b);
    if (b == NULL)
        return ERR_NOMEM;
    *out = b;
    return 0;
}

void balance_free(struct balance **b)
{
    if (*b == NULL)
        return;
    mem_free((*b)->seats);
    mem_free(*b);
    *b = NULL;
}

static struct seat *find(struct seat *seats, size_t count, const struct addr *a)
{
    for (size_t i = 0; i < count; i++)
        if (addr_eq(&seats[i].addr, a))
            return &seats[i];
    return NULL;
}

int balance_set(struct balance *b, const struct addr *addrs, size_t count)
{
    size_t n = 0;
    if (count > BALANCE_MAX)
        count = BALANCE_MAX;
    struct seat *fresh = mem_calloc(count + 1, sizeof *fresh);
    if (fresh == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        if (find(fresh, n, &addrs[i]) != NULL)
            continue;
        const struct seat *old = find(b->seats, b->count, &addrs[i]);
        fresh[n++] = old != NULL ? *old : (struct seat){.addr = addrs[i]};
    }
    mem_free(b->seats);
    b->seats = fresh;
    b->count = n;
    return 0;
}

size_t balance_count(const struct balance *b)
{
    return b->count;
}

size_t balance_ready(const struct balance *b, mono_ms now)
{
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++)
        n += b->seats[i].failures == 0 || b->seats[i].aside_until <= now;
    return n;
}

bool balance_pick(struct balance *b, mono_ms now, struct addr *out)
{
    struct seat *soonest = NULL;
    for (size_t i = 0; i < b->count; i++) {
        struct seat *s = &b->seats[(b->next + i) % b->count];
        if (s->failures == 0 || s->aside_until <= now) {
            b->next = (b->next + i + 1) % b->count;
            if (s->failures > 0)
                s->aside_until = now + ASIDE_MIN_MS; /* one tries it, not all at once */
            *out = s->addr;
            return true;
        }
        if (soonest == NULL || s->aside_until < soonest->aside_until)
            soonest = s;
    }
    if (soonest == NULL)
        return false;
    *out = soonest->addr;
    return true;
}

void balance_worked(struct balance *b, const struct addr *a)
{
    struct seat *s = find(b->seats, b->count, a);
    if (s != NULL)
        s->failures = 0;
}

void balance_failed(struct balance *b, const struct addr *a, mono_ms now)
{
    struct seat *s = find(b->seats, b->count, a);
    if (s == NULL)
        return;
    mono_ms wait = s->failures < 5 ? (mono_ms)ASIDE_MIN_MS << s->failures : ASIDE_MAX_MS;
    s->failures++;
    s->aside_until = now + wait;
}
