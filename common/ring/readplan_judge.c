/* ring/readplan_judge.c - who was silent, and what an answer is worth. */
#include "base/assert.h"
#include "ring/readplan_priv.h"

uint32_t read_quorum(const struct readplan *p)
{
    uint32_t rf = roster_replication_factor(p->roster);
    return quorum_of(rf != 0 ? rf : p->config.replication_factor);
}

/* The disk said what it holds, all of it. */
static bool replied(const struct readplan *p, struct disk_id id)
{
    for (uint32_t i = 0; i < p->disk_count; i++)
        if (disk_eq(p->disks[i].id, id))
            return !p->disks[i].truncated;
    return false;
}

static bool instance_replied(const struct readplan *p, struct str instance)
{
    for (uint32_t i = 0; i < p->disk_count; i++)
        if (str_eq(p->disks[i].instance, instance))
            return true;
    return false;
}

static void name_silent(struct read_verdict *v, struct str instance)
{
    for (uint32_t i = 0; i < v->silent_count; i++)
        if (str_eq(v->silent[i], instance))
            return;
    if (v->silent_count < READ_SILENT_MAX)
        v->silent[v->silent_count++] = instance;
}

/* Distinct domains of the silent disks of this round; v (may be NULL) names their instances. */
uint32_t read_silent_domains(const struct readplan *p, struct read_verdict *v)
{
    struct domain_set domains = {.count = 0};
    for (uint32_t i = 0; i < roster_count(p->roster); i++) {
        const struct disk *d = roster_at(p->roster, i);
        if (!disk_is_member(d) || replied(p, d->id))
            continue;
        domain_set_add(&domains, d->domain);
        if (v != NULL)
            name_silent(v, d->instance);
    }
    for (uint32_t i = 0; i < p->peer_count; i++) {
        const struct read_target *peer = &p->peers[i];
        if (!peer->listed || roster_names(p->roster, peer->instance) ||
            instance_replied(p, peer->instance))
            continue;
        domain_set_add(&domains, peer->domain);
        if (v != NULL)
            name_silent(v, peer->instance);
    }
    for (uint32_t i = 0; i < p->disk_count; i++) { /* truncated, and in no roster yet */
        if (!p->disks[i].truncated)
            continue;
        domain_set_add(&domains, p->disks[i].domain);
        if (v != NULL)
            name_silent(v, p->disks[i].instance);
    }
    return domains.count;
}

static void judge(struct readplan *p)
{
    struct read_verdict *v = &p->verdict;
    bool established = false, truncated = false;
    for (uint32_t i = 0; i < p->disk_count; i++) {
        established = established || p->disks[i].established;
        truncated = truncated || p->disks[i].truncated;
    }
    if (read_silent_domains(p, v) >= read_quorum(p))
        v->reasons |= READ_SILENT | (truncated ? READ_TRUNCATED : 0u);
    if (!established)
        v->reasons |= READ_NO_ESTABLISHED;
    if (p->part_answered < p->part_count)
        v->reasons |= READ_NOT_COUNTED;
    if (p->repeats_unsure)
        v->reasons |= READ_REPEATS;
    v->complete = v->reasons == 0;
}

void read_finish(struct readplan *p, int rc)
{
    if (p->phase == DONE)
        return;
    p->verdict.rc = rc;
    p->verdict.rounds = p->round;
    if (p->disk_count == 0 && rc == 0)
        p->verdict.rc = ERR_UNAVAILABLE;
    judge(p);
    if (p->verdict.rc != 0)
        p->verdict.complete = false;
    p->phase = DONE;
}

const struct read_verdict *readplan_verdict(const struct readplan *p)
{
    ASSERT(p->phase == DONE);
    return &p->verdict;
}

const struct roster *readplan_roster(const struct readplan *p)
{
    return p->roster;
}

/* --- text ---------------------------------------------------------------------------------- */

void read_verdict_text(const struct read_verdict *v, struct buf *out)
{
    static const char *const names[] = {"silent",  "not-counted", "truncated",
                                        "repeats", "bucket",      "no-established"};
    if (v->complete) {
        buf_c(out, "complete");
        return;
    }
    buf_c(out, "uncertain; reasons=\"");
    const char *comma = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if ((v->reasons >> i & 1) == 0)
            continue;
        buf_c(out, comma);
        buf_c(out, names[i]);
        comma = ",";
    }
    buf_c(out, "\"");
    for (uint32_t i = 0; i < v->silent_count; i++) {
        buf_c(out, i == 0 ? "; silent=\"" : ",");
        buf_str(out, v->silent[i]);
    }
    if (v->silent_count > 0)
        buf_c(out, "\"");
}
