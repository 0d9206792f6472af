/* ring/skew.c - one clock a member, and the rule for calling it wrong. */
#include "ring/skew.h"

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ring/desc.h"

/* A member's clock, as its heartbeats tell. */
struct clock_of {
    int64_t timestamp_s; /* the last heartbeat */
    wall_ms news_at;     /* when it was news */
    int64_t off_s;       /* above 0: ahead of ours; at the last news */
    uint32_t late;       /* heartbeats in a row that were old when they came */
    bool told;
    bool seen; /* in the ring at this look */
};

struct ring_skew {
    const struct log *log;
    struct map *clocks; /* id -> struct clock_of */
    bool told_ours;
};

/* What one look counted. */
struct tally {
    uint32_t members, ahead, behind;
};

int ring_skew_init(struct ring_skew **out, const struct log *log)
{
    struct ring_skew *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    s->log = log;
    int rc = map_init(&s->clocks);
    if (rc != 0) {
        mem_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void ring_skew_free(struct ring_skew **s)
{
    if (*s == NULL)
        return;
    size_t at = 0;
    void *c;
    while (map_next((*s)->clocks, &at, NULL, &c))
        mem_free(c);
    map_free(&(*s)->clocks);
    mem_free(*s);
    *s = NULL;
}

static struct clock_of *clock_at(struct ring_skew *s, const struct ring_instance *in)
{
    struct clock_of *c = map_get(s->clocks, in->id);
    if (c != NULL)
        return c;
    c = mem_zalloc(sizeof *c);
    if (c == NULL || map_put(s->clocks, in->id, c, NULL) != 0) {
        mem_free(c);
        return NULL;
    }
    c->timestamp_s = in->timestamp_s; /* who knows when it was news */
    return c;
}

/* How far ahead of ours: no arithmetic on what may be any number. */
static int64_t off_of(int64_t timestamp_s, int64_t now_s)
{
    enum { MOST = 1 << 30 };
    if (timestamp_s > now_s + MOST)
        return MOST;
    return timestamp_s < now_s - MOST ? -MOST : timestamp_s - now_s;
}

static void look_at(struct clock_of *c, const struct ring_instance *in, wall_ms now)
{
    int64_t off_s = off_of(in->timestamp_s, now / 1000);
    bool news = in->timestamp_s != c->timestamp_s;
    c->seen = true;
    if (off_s > RING_SKEW_S) { /* is wrong whenever it came */
        c->off_s = off_s;
        c->late = 0;
    } else if (news && off_s >= -RING_SKEW_S) {
        c->off_s = 0;
        c->late = 0;
    } else if (news && (now - c->news_at >= RING_SKEW_GAP_MS || now < c->news_at)) {
        c->off_s = off_s;
        c->late += c->late < RING_SKEW_NEWS;
    } else if (c->off_s > 0) {
        c->off_s = 0; /* time has come to where it was */
    }
    if (news) {
        c->timestamp_s = in->timestamp_s;
        c->news_at = now;
    }
}

static bool is_far(const struct clock_of *c)
{
    return c->off_s > RING_SKEW_S || c->late >= RING_SKEW_NEWS;
}

static void tell(struct ring_skew *s, struct clock_of *c, const struct ring_instance *in)
{
    if (c->off_s > 0)
        log_line(s->log, LOG_WARN,
                 "a member's clock is ahead of ours: let its host and this one keep time (NTP); "
                 "its death would be noticed that much later",
                 LOG_S("id", in->id), LOG_S("addr", in->addr), LOG_I("ahead_s", c->off_s));
    else
        log_line(s->log, LOG_WARN,
                 "a member's clock is behind ours: let its host and this one keep time (NTP); "
                 "its heartbeats look old, past the heartbeat timeout it counts as dead",
                 LOG_S("id", in->id), LOG_S("addr", in->addr), LOG_I("behind_s", -c->off_s));
}

/* Forget who is no longer in the ring. */
static void drop_gone(struct ring_skew *s)
{
    size_t at = 0;
    struct str id;
    void *value;
    while (map_next(s->clocks, &at, &id, &value)) {
        struct clock_of *c = value;
        if (c->seen)
            c->seen = false;
        else
            mem_free(map_remove(s->clocks, id));
    }
}

static struct tally look_at_all(struct ring_skew *s, const struct ring_desc *desc, wall_ms now)
{
    struct tally t = {0};
    for (size_t i = 0; i < ring_desc_count(desc); i++) {
        const struct ring_instance *in = ring_desc_at(desc, i);
        struct clock_of *c = in->state == RING_LEFT ? NULL : clock_at(s, in);
        if (c == NULL)
            continue;
        look_at(c, in, now);
        t.members++;
        t.ahead += c->off_s > RING_SKEW_S;
        t.behind += c->late >= RING_SKEW_NEWS / 2;
    }
    drop_gone(s);
    return t;
}

uint32_t ring_skew_look(struct ring_skew *s, const struct ring_desc *desc, wall_ms now)
{
    struct tally t = look_at_all(s, desc, now);
    uint32_t most = t.ahead > t.behind ? t.ahead : t.behind, found = 0;
    bool ours = t.members > 2 && most * 2 > t.members;
    for (size_t i = 0; i < ring_desc_count(desc); i++) {
        const struct ring_instance *in = ring_desc_at(desc, i);
        struct clock_of *c = map_get(s->clocks, in->id);
        if (c == NULL || is_far(c) == c->told)
            continue;
        if (c->told || !ours) {
            c->told = !c->told;
            found += c->told;
            if (c->told)
                tell(s, c, in);
        } else if (!s->told_ours) {
            s->told_ours = true;
            found++;
            log_line(s->log, LOG_WARN,
                     "our clock is far from those of most members: let this host keep time (NTP); "
                     "our heartbeats mislead the others",
                     LOG_U("members", most), LOG_U("of", t.members), LOG_S("one", in->addr),
                     LOG_I("ahead_of_ours_s", c->off_s));
        }
    }
    if (!ours)
        s->told_ours = false;
    return found;
}
