/* ingester/standing.c - a small state under a lock. */
#include "standing.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "ingester.msg.h"

#include <pthread.h>

struct standing {
    pthread_mutex_t lock;
    char *instance, *domain;
    struct disk_id disk;
    struct roster *roster; /* NULL before the first standing_set() */
};

int standing_init(struct standing **out, struct str instance, struct str domain)
{
    struct standing *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    s->instance = str_dup_c(instance);
    s->domain = str_dup_c(domain);
    if (s->instance == NULL || s->domain == NULL) {
        mem_free(s->instance);
        mem_free(s->domain);
        mem_free(s);
        return ERR_NOMEM;
    }
    ASSERT(pthread_mutex_init(&s->lock, NULL) == 0);
    *out = s;
    return 0;
}

void standing_free(struct standing **s)
{
    if (*s == NULL)
        return;
    roster_free(&(*s)->roster);
    mem_free((*s)->instance);
    mem_free((*s)->domain);
    (void)pthread_mutex_destroy(&(*s)->lock);
    mem_free(*s);
    *s = NULL;
}

int standing_set(struct standing *s, struct disk_id disk, const struct roster *roster)
{
    struct roster *copy = NULL;
    int rc = roster == NULL ? 0 : roster_copy(&copy, roster);
    if (rc != 0)
        return rc;
    (void)pthread_mutex_lock(&s->lock);
    struct roster *old = s->roster;
    s->roster = copy;
    s->disk = disk;
    (void)pthread_mutex_unlock(&s->lock);
    roster_free(&old);
    return 0;
}

const char *disk_state_name(enum disk_state s)
{
    static const char *const names[DISK_STATES] = {"new",     "established", "refused",
                                                   "leaving", "left",        "retired"};
    return names[s];
}

static enum disk_state state_of(const struct disk *d)
{
    if (d->retired)
        return DISK_STATE_RETIRED;
    if (d->left)
        return DISK_STATE_LEFT;
    if (d->leaving)
        return DISK_STATE_LEAVING;
    if (d->refused)
        return DISK_STATE_REFUSED;
    return d->established ? DISK_STATE_ESTABLISHED : DISK_STATE_NEW;
}

void standing_disks(struct standing *s, uint32_t counts[DISK_STATES])
{
    memset(counts, 0, sizeof *counts * DISK_STATES);
    (void)pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; s->roster != NULL && i < roster_count(s->roster); i++)
        counts[state_of(roster_at(s->roster, i))]++;
    (void)pthread_mutex_unlock(&s->lock);
}

struct str standing_instance(const struct standing *s)
{
    return str_c(s->instance);
}

struct str standing_domain(const struct standing *s)
{
    return str_c(s->domain);
}

int standing_look(struct standing *s, uint64_t known, struct arena *a,
                  struct standing_look *out)
{
    struct roster *copy = NULL;
    int rc = 0;
    *out = (struct standing_look){0};
    (void)pthread_mutex_lock(&s->lock);
    out->disk = s->disk;
    if (s->roster != NULL) {
        const struct disk *self = roster_find(s->roster, s->disk);
        out->established = self != NULL && self->established;
        out->replication_factor = roster_replication_factor(s->roster);
        out->roster_hash = roster_hash(s->roster);
        if (out->roster_hash != known)
            rc = roster_copy(&copy, s->roster);
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (rc != 0 || copy == NULL)
        return rc;
    /* The message borrows from the roster, which goes: take its bytes into the arena. */
    struct buf bytes = {0};
    roster_encode(copy, &bytes);
    roster_free(&copy);
    struct str kept = str_dup(a, buf_view(&bytes));
    out->roster = arena_zalloc(a, sizeof *out->roster);
    if (bytes.error != 0 || kept.data == NULL || out->roster == NULL)
        rc = ERR_NOMEM;
    else
        rc = msg_decode(&ingester_v1_roster_msg, out->roster, kept, a, NULL, NULL);
    buf_reset(&bytes);
    return rc;
}
