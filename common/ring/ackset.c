/* ring/ackset.c - the quorum of one pending write, counted in domains. */
#include "ring/ackset.h"

#include "base/assert.h"
#include "base/mem.h"

struct target {
    enum { SENT, ACKED, FAILED } state;
    int error;
    char *domain;       /* expected, then as its ack said */
    size_t domain_size; /* bytes */
    struct disk_id disk;
    uint64_t roster_hash;
};

struct ackset {
    uint32_t need; /* W */
    uint32_t count;
    enum ackset_state state;
    struct target targets[]; /* [count] */
};

static struct str domain_of(const struct target *t)
{
    return str_of(t->domain, t->domain_size);
}

/* Distinct domains of those that acked and, if asked for, of those that still may. */
static uint32_t domains(const struct ackset *s, bool hoped)
{
    struct domain_set set = {.count = 0};
    for (uint32_t i = 0; i < s->count; i++)
        if (s->targets[i].state == ACKED || (hoped && s->targets[i].state == SENT))
            domain_set_add(&set, domain_of(&s->targets[i]));
    return set.count;
}

static bool domain_ok(struct str domain)
{
    return domain.len > 0 && domain.len <= ROSTER_NAME_MAX;
}

static int domain_set(struct target *t, struct str domain)
{
    if (t->domain != NULL && str_eq(domain_of(t), domain))
        return 0;
    char *copy = str_dup_c(domain);
    if (copy == NULL)
        return ERR_NOMEM;
    mem_free(t->domain);
    t->domain = copy;
    t->domain_size = domain.len;
    return 0;
}

int ackset_init(struct ackset **out, uint32_t replication_factor, const struct str *names,
                uint32_t count)
{
    if (replication_factor == 0 || replication_factor > REPLICATION_MAX ||
        count > ACKSET_TARGETS_MAX)
        return ERR_INVAL;
    for (uint32_t i = 0; i < count; i++)
        if (!domain_ok(names[i]))
            return ERR_INVAL;
    struct ackset *s = mem_zalloc(sizeof *s + count * sizeof s->targets[0]);
    if (s == NULL)
        return ERR_NOMEM;
    s->need = quorum_of(replication_factor);
    int rc = 0;
    for (; rc == 0 && s->count < count; s->count++)
        rc = domain_set(&s->targets[s->count], names[s->count]);
    if (rc != 0) {
        ackset_free(&s);
        return rc;
    }
    if (domains(s, true) < s->need) {
        s->state = ACKSET_FAILED;
        for (uint32_t i = 0; i < count; i++) {
            s->targets[i].state = FAILED;
            s->targets[i].error = ERR_UNAVAILABLE;
        }
    }
    *out = s;
    return 0;
}

void ackset_free(struct ackset **s)
{
    if (*s == NULL)
        return;
    for (uint32_t i = 0; i < (*s)->count; i++)
        mem_free((*s)->targets[i].domain);
    mem_free(*s);
    *s = NULL;
}

/* Decide anew; true when the state changed to `to`. */
static int decide(struct ackset *s, enum ackset_state to)
{
    if (s->state != ACKSET_OPEN)
        return 0;
    if (domains(s, false) >= s->need)
        s->state = ACKSET_ACKED;
    else if (domains(s, true) < s->need)
        s->state = ACKSET_FAILED;
    return s->state == to;
}

int ackset_ack(struct ackset *s, uint32_t target, struct disk_id disk, struct str domain,
               uint64_t roster_hash)
{
    ASSERT(target < s->count);
    struct target *t = &s->targets[target];
    int rc = disk_is_none(disk) || !domain_ok(domain) ? ERR_INVAL : domain_set(t, domain);
    if (rc != 0) {
        ackset_fail(s, target, rc);
        return rc;
    }
    t->state = ACKED;
    t->disk = disk;
    t->roster_hash = roster_hash;
    return decide(s, ACKSET_ACKED);
}

int ackset_fail(struct ackset *s, uint32_t target, int code)
{
    ASSERT(target < s->count && code < 0);
    struct target *t = &s->targets[target];
    if (t->state != SENT)
        return 0;
    t->state = FAILED;
    t->error = code;
    return decide(s, ACKSET_FAILED);
}

enum ackset_state ackset_state(const struct ackset *s)
{
    return s->state;
}

bool ackset_done(const struct ackset *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->targets[i].state == SENT)
            return false;
    return true;
}

uint32_t ackset_domains(const struct ackset *s)
{
    return domains(s, false);
}

int ackset_error(const struct ackset *s)
{
    int best = s->state == ACKSET_FAILED ? ERR_UNAVAILABLE : 0;
    uint32_t most = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t same = 0;
        for (uint32_t j = i; j < s->count && s->targets[i].state == FAILED; j++)
            same += s->targets[j].state == FAILED && s->targets[j].error == s->targets[i].error;
        if (same > most) {
            most = same;
            best = s->targets[i].error;
        }
    }
    return best;
}
