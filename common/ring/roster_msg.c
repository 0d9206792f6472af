/* ring/roster_msg.c - rosters as messages. */
#include "ring/roster.h"

#include "base/mem.h"
#include "ingester.msg.h"

static struct disk_id optional_id(struct str bytes, bool *ok)
{
    *ok = *ok && (bytes.len == 0 || bytes.len == DISK_SIZE);
    return disk_of(bytes);
}

int disk_from_msg(struct disk *out, const struct ingester_v1_disk *m, struct err *err)
{
    bool ok = m->id.len == DISK_SIZE;
    *out = (struct disk){
        .id = disk_of(m->id),
        .predecessor = optional_id(m->predecessor, &ok),
        .instance = m->instance,
        .domain = m->domain,
        .addr = m->addr,
        .starts = m->starts,
        .established = m->established,
        .clean = m->clean,
        .refused = m->refused,
        .leaving = m->leaving,
        .left = m->left,
        .retired = m->retired,
        .abandoned = m->abandoned,
    };
    if (!ok || disk_is_none(out->id))
        return err_set(err, ERR_PARSE, "roster: a disk whose id is not %d bytes", DISK_SIZE);
    return 0;
}

/* Merge the record of one message. */
static int read_disk(struct roster *r, const struct ingester_v1_disk *m, struct err *err)
{
    struct disk d;
    int rc = disk_from_msg(&d, m, err);
    if (rc != 0)
        return rc;
    if (m->settled_by_count > ROSTER_DISKS_MAX)
        return err_set(err, ERR_LIMIT, "roster: a disk settled by %zu", m->settled_by_count);
    d.settled_by = mem_calloc(m->settled_by_count + 1, sizeof *d.settled_by);
    if (d.settled_by == NULL)
        return err_set(err, ERR_NOMEM, "roster: %s", err_text(ERR_NOMEM));
    bool ok = true;
    for (size_t i = 0; i < m->settled_by_count; i++) {
        d.settled_by[d.settled_count++] = disk_of(m->settled_by[i]);
        ok = ok && m->settled_by[i].len == DISK_SIZE;
    }
    rc = ok ? roster_put(r, &d, NULL) : ERR_PARSE;
    mem_free(d.settled_by);
    if (rc == ERR_INVAL)
        rc = ERR_PARSE;
    return rc != 0 ? err_set(err, rc, "roster: a disk: %s", err_text(rc)) : 0;
}

int roster_from_msg(struct roster **out, const struct ingester_v1_roster *m, struct err *err)
{
    struct roster *r = NULL;
    if (m->disks_count > ROSTER_DISKS_MAX)
        return err_set(err, ERR_LIMIT, "roster: %zu disks", m->disks_count);
    int rc = roster_init(&r);
    if (rc != 0)
        return err_set(err, rc, "roster: %s", err_text(rc));
    if (m->replication_factor != 0) {
        rc = roster_fix(r, m->replication_factor, m->zone_aware);
        if (rc == ERR_INVAL)
            rc = ERR_PARSE;
        if (rc != 0)
            err_set(err, rc, "roster: replication factor %u", m->replication_factor);
    }
    for (size_t i = 0; rc == 0 && i < m->disks_count; i++)
        rc = read_disk(r, &m->disks[i], err);
    if (rc != 0)
        roster_free(&r);
    else
        *out = r;
    return rc;
}

static int write_disk(const struct disk *d, struct arena *a, struct ingester_v1_disk *m)
{
    *m = (struct ingester_v1_disk){
        .id = disk_str(&d->id),
        .predecessor = disk_is_none(d->predecessor) ? (struct str){0} : disk_str(&d->predecessor),
        .instance = d->instance,
        .domain = d->domain,
        .addr = d->addr,
        .starts = d->starts,
        .established = d->established,
        .clean = d->clean,
        .refused = d->refused,
        .leaving = d->leaving,
        .left = d->left,
        .retired = d->retired,
        .abandoned = d->abandoned,
        .settled_by_count = d->settled_count,
    };
    m->settled_by = arena_calloc(a, (size_t)d->settled_count + 1, sizeof *m->settled_by);
    if (m->settled_by == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < d->settled_count; i++)
        m->settled_by[i] = disk_str(&d->settled_by[i]);
    return 0;
}

int roster_to_msg(const struct roster *r, struct arena *a, struct ingester_v1_roster *out)
{
    struct ingester_v1_roster m = {
        .disks_count = roster_count(r),
        .replication_factor = roster_replication_factor(r),
        .zone_aware = roster_zone_aware(r),
    };
    m.disks = arena_calloc(a, m.disks_count + 1, sizeof *m.disks);
    int rc = m.disks == NULL ? ERR_NOMEM : 0;
    for (uint32_t i = 0; rc == 0 && i < m.disks_count; i++)
        rc = write_disk(roster_at(r, i), a, &m.disks[i]);
    if (rc == 0)
        *out = m;
    return rc;
}

void roster_encode(const struct roster *r, struct buf *out)
{
    struct arena *a = NULL;
    struct ingester_v1_roster m;
    int rc = arena_init(&a, 0, NULL);
    if (rc == 0)
        rc = roster_to_msg(r, a, &m);
    if (rc == 0)
        msg_encode(&ingester_v1_roster_msg, &m, out);
    else if (out->error == 0)
        out->error = rc;
    arena_free(&a);
}

int roster_decode(struct roster **out, struct str bytes, struct err *err)
{
    struct arena *a = NULL;
    struct ingester_v1_roster m;
    int rc = arena_init(&a, 0, NULL);
    if (rc != 0)
        return err_set(err, rc, "roster: %s", err_text(rc));
    rc = msg_decode(&ingester_v1_roster_msg, &m, bytes, a, NULL, err);
    if (rc == 0)
        rc = roster_from_msg(out, &m, err);
    arena_free(&a);
    return rc;
}
