/* ring/member_target.c - whom a member introduces itself to: the list, kept by address. */
#include "base/mem.h"
#include "ring/member_priv.h"

static void target_reset(struct member_target *t)
{
    mem_free(t->instance);
    mem_free(t->addr);
}

void member_targets_reset(struct member_targets *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        target_reset(&t->list[i]);
    mem_free(t->list);
    *t = (struct member_targets){0};
}

struct member_target *member_target_at(struct member_targets *t, struct str addr)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (str_eq(str_of(t->list[i].addr, t->list[i].addr_size), addr))
            return &t->list[i];
    return NULL;
}

struct member_target *member_target_called(struct member_targets *t, uint64_t token)
{
    for (uint32_t i = 0; i < t->count && token != 0; i++)
        if (t->list[i].call == token)
            return &t->list[i];
    return NULL;
}

/* Room for one more. */
static int reserve(struct member_targets *t)
{
    if (t->count == MEMBER_TARGETS_MAX)
        return ERR_LIMIT;
    if (t->count < t->cap)
        return 0;
    uint32_t cap = t->cap == 0 ? 8 : t->cap * 2;
    struct member_target *list = mem_realloc_array(t->list, cap, sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    t->list = list;
    t->cap = cap;
    return 0;
}

int member_target_add(struct member_targets *t, struct str instance, struct str addr,
                      struct member_target **out)
{
    struct member_target *old = member_target_at(t, addr);
    if (old != NULL && str_eq(str_of(old->instance, old->instance_size), instance)) {
        *out = old;
        return 0;
    }
    int rc = old == NULL ? reserve(t) : 0;
    if (rc != 0)
        return rc;
    struct member_target fresh = {.instance = str_dup_c(instance), .addr = str_dup_c(addr),
                                  .instance_size = instance.len, .addr_size = addr.len,
                                  .wanted = true};
    if (fresh.instance == NULL || fresh.addr == NULL) {
        target_reset(&fresh);
        return ERR_NOMEM;
    }
    if (old == NULL)
        old = &t->list[t->count++];
    else
        target_reset(old);
    *old = fresh;
    *out = old;
    return 0;
}

void member_targets_sweep(struct member_targets *t)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->list[i].in_ring || t->list[i].in_roster)
            t->list[kept++] = t->list[i];
        else
            target_reset(&t->list[i]);
    }
    t->count = kept;
}
