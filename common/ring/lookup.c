/* ring/lookup.c - who holds a token. */
#include "ring/lookup.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "ring/desc.h"

enum { ZONES_ON_STACK = 16 };
#define NO_TIME INT64_MIN

#define NO_ZONE UINT32_MAX

/* A token and the index of its member. */
struct point {
    uint32_t token, member;
};

/* A member, as far as a look-up needs it. */
struct member {
    uint32_t zone; /* index; NO_ZONE when the zone has no token */
    uint64_t owned;
};

/* Where tokens and zones are. The same for all views between two changes of them, which are far
 * rarer than heartbeats: shared, counted. */
struct topology {
    _Atomic uint32_t refs;
    struct point *points; /* sorted by token; no two alike */
    size_t point_count;
    struct member *members; /* parallel to the desc */
    uint32_t *zone_members; /* of each zone that has tokens: members, with tokens or without */
    uint32_t zone_count;
};

struct ring {
    _Atomic uint32_t refs;
    struct ring_desc *desc;
    struct ring_options options; /* without the borrowed zones */
    struct topology *t;
};

static int by_token(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->token != y->token)
        return x->token < y->token ? -1 : 1;
    return (x->member > y->member) - (x->member < y->member);
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Copy what belongs into the view. */
static int copy_desc(struct ring *r, const struct ring_desc *from, const struct ring_options *o)
{
    int rc = ring_desc_init(&r->desc);
    for (size_t i = 0; rc == 0 && i < ring_desc_count(from); i++) {
        const struct ring_instance *in = ring_desc_at(from, i);
        bool excluded = in->state == RING_LEFT;
        for (size_t k = 0; k < o->excluded_zone_count; k++)
            excluded = excluded || str_eq(in->zone, o->excluded_zones[k]);
        if (!excluded)
            rc = ring_desc_put(r->desc, in);
    }
    return rc;
}

static int place_tokens(struct topology *t, const struct ring_desc *d)
{
    size_t sum = 0, n = 0, kept = 0;
    for (size_t i = 0; i < ring_desc_count(d); i++)
        sum += ring_desc_at(d, i)->token_count;
    t->points = mem_calloc(sum + 1, sizeof *t->points);
    if (t->points == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < ring_desc_count(d); i++) {
        const struct ring_instance *in = ring_desc_at(d, i);
        for (uint32_t k = 0; k < in->token_count; k++)
            t->points[n++] = (struct point){in->tokens[k], (uint32_t)i};
    }
    if (n > 0)
        qsort(t->points, n, sizeof *t->points, by_token);
    for (size_t i = 0; i < n; i++) /* of members that still share one the lower id has it */
        if (kept == 0 || t->points[kept - 1].token != t->points[i].token)
            t->points[kept++] = t->points[i];
    t->point_count = kept;
    return 0;
}

/* Number the zones of members that have tokens, in order of their names. */
static int number_zones(struct topology *t, const struct ring_desc *d)
{
    size_t count = ring_desc_count(d), n = 0;
    t->members = mem_calloc(count + 1, sizeof *t->members);
    t->zone_members = mem_calloc(count + 1, sizeof *t->zone_members);
    struct str *zones = mem_calloc(count + 1, sizeof *zones);
    if (t->members == NULL || t->zone_members == NULL || zones == NULL) {
        mem_free(zones);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++)
        if (ring_desc_at(d, i)->token_count > 0)
            zones[n++] = ring_desc_at(d, i)->zone;
    if (n > 0)
        qsort(zones, n, sizeof *zones, by_text);
    for (size_t i = 0; i < n; i++)
        if (t->zone_count == 0 || !str_eq(zones[t->zone_count - 1], zones[i]))
            zones[t->zone_count++] = zones[i];
    for (size_t i = 0; i < count; i++) {
        const struct str *z = t->zone_count == 0
                                  ? NULL
                                  : bsearch(&ring_desc_at(d, i)->zone, zones, t->zone_count,
                                            sizeof *zones, by_text);
        t->members[i].zone = z == NULL ? NO_ZONE : (uint32_t)(z - zones);
        if (z != NULL)
            t->zone_members[z - zones]++;
    }
    mem_free(zones);
    return 0;
}

/* Distances within each zone. Walks the ring twice, so that every first token finds the last
 * one of its zone behind it; only the second round counts. */
static int measure_ownership(struct topology *t)
{
    uint32_t *before = mem_calloc((size_t)t->zone_count + 1, sizeof *before);
    uint32_t *tokens = mem_calloc((size_t)t->zone_count + 1, sizeof *tokens);
    if (before == NULL || tokens == NULL) {
        mem_free(before);
        mem_free(tokens);
        return ERR_NOMEM;
    }
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < t->point_count; i++) {
            struct member *m = &t->members[t->points[i].member];
            ASSERT(m->zone != NO_ZONE); /* it has a token */
            if (round == 0)
                tokens[m->zone]++;
            else if (tokens[m->zone] == 1)
                m->owned += 1ull << 32;
            else
                m->owned += (uint32_t)(t->points[i].token - before[m->zone]);
            before[m->zone] = t->points[i].token;
        }
    mem_free(before);
    mem_free(tokens);
    return 0;
}

static void drop_topology(struct topology *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    mem_free(t->points);
    mem_free(t->members);
    mem_free(t->zone_members);
    mem_free(t);
}

static int make_topology(struct topology **out, const struct ring_desc *d)
{
    struct topology *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    atomic_init(&t->refs, 1);
    int rc = place_tokens(t, d);
    if (rc == 0)
        rc = number_zones(t, d);
    if (rc == 0)
        rc = measure_ownership(t);
    if (rc != 0) {
        drop_topology(t);
        return rc;
    }
    *out = t;
    return 0;
}

/* Same members, zones and tokens. */
static bool same_topology(const struct ring_desc *a, const struct ring_desc *b)
{
    bool same = ring_desc_count(a) == ring_desc_count(b);
    for (size_t i = 0; same && i < ring_desc_count(a); i++) {
        const struct ring_instance *x = ring_desc_at(a, i), *y = ring_desc_at(b, i);
        same = str_eq(x->id, y->id) && str_eq(x->zone, y->zone) &&
               x->token_count == y->token_count &&
               (x->token_count == 0 ||
                memcmp(x->tokens, y->tokens, x->token_count * sizeof *x->tokens) == 0);
    }
    return same;
}

int ring_next(struct ring **out, const struct ring *before, const struct ring_desc *desc,
              const struct ring_options *options, struct err *err)
{
    if (options->replication_factor == 0)
        return err_set(err, ERR_INVAL, "replication factor 0");
    struct ring *r = mem_zalloc(sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    atomic_init(&r->refs, 1);
    r->options = *options;
    r->options.excluded_zones = NULL;
    r->options.excluded_zone_count = 0;
    int rc = copy_desc(r, desc, options);
    if (rc == 0 && before != NULL && same_topology(before->desc, r->desc)) {
        r->t = before->t;
        atomic_fetch_add_explicit(&r->t->refs, 1, memory_order_relaxed);
    } else if (rc == 0) {
        rc = make_topology(&r->t, r->desc);
    }
    if (rc != 0) {
        ring_drop(&r);
        return err_set(err, rc, "%s", err_text(rc));
    }
    *out = r;
    return 0;
}

int ring_init(struct ring **out, const struct ring_desc *desc,
              const struct ring_options *options, struct err *err)
{
    return ring_next(out, NULL, desc, options, err);
}

struct ring *ring_hold(struct ring *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void ring_drop(struct ring **r)
{
    struct ring *mine = *r;
    *r = NULL;
    if (mine == NULL || atomic_fetch_sub_explicit(&mine->refs, 1, memory_order_acq_rel) > 1)
        return;
    ring_desc_free(&mine->desc);
    drop_topology(mine->t);
    mem_free(mine);
}

size_t ring_count(const struct ring *r)
{
    return ring_desc_count(r->desc);
}

const struct ring_instance *ring_at(const struct ring *r, size_t i)
{
    return ring_desc_at(r->desc, i);
}

const struct ring_instance *ring_find(const struct ring *r, struct str id)
{
    return ring_desc_find(r->desc, id);
}

size_t ring_token_count(const struct ring *r)
{
    return r->t->point_count;
}

size_t ring_zone_count(const struct ring *r)
{
    return r->t->zone_count;
}

uint64_t ring_owned(const struct ring *r, struct str id)
{
    const struct ring_instance *in = ring_find(r, id);
    return in == NULL ? 0 : r->t->members[in - ring_at(r, 0)].owned;
}

void ring_set_reset(struct ring_set *s)
{
    mem_free(s->items);
    *s = (struct ring_set){0};
}

static int set_add(struct ring_set *s, const struct ring_instance *in)
{
    if (s->count == s->cap) {
        uint32_t cap = s->cap == 0 ? 4 : s->cap * 2;
        const struct ring_instance **grown = mem_realloc_array(s->items, cap, sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        s->items = grown;
        s->cap = cap;
    }
    s->items[s->count++] = in;
    return 0;
}

static bool set_has(const struct ring_set *s, const struct ring_instance *in)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->items[i] == in)
            return true;
    return false;
}

/* First point behind the token, going round. */
static size_t first_behind(const struct ring *r, uint32_t token)
{
    size_t low = 0, high = r->t->point_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->t->points[mid].token > token)
            high = mid;
        else
            low = mid + 1;
    }
    return low == r->t->point_count ? 0 : low;
}

static bool state_in(uint32_t op, int32_t state, unsigned shift)
{
    return state >= 0 && state < 16 && ((op >> shift) & (1u << state)) != 0;
}

/* Members found and looked at, by zone. */
struct zone_tally {
    uint32_t found, examined;
};

static bool zones_are_done(const struct ring *r, const struct zone_tally *t, uint32_t target)
{
    for (uint32_t z = 0; z < r->t->zone_count; z++)
        if (t[z].found < target && t[z].examined < r->t->zone_members[z])
            return false;
    return true;
}

/* What is looked up. `now` is NO_TIME when the dead count as anybody else. */
struct query {
    uint32_t token, op, rf;
    wall_ms now;
};

/* Somebody else has to stand in for this member. */
static bool is_extended(const struct ring *r, const struct ring_instance *in,
                        const struct query *q, struct ring_set *out)
{
    if (state_in(q->op, in->state, 16))
        return true;
    if (q->now == NO_TIME ||
        ring_instance_is_alive(in, r->options.heartbeat_timeout_ms, q->now))
        return false;
    out->dead++;
    return true;
}

/* The walk. `tally` has a place for each zone, all-zero; NULL without zone awareness. */
static int walk(const struct ring *r, const struct query *q, struct zone_tally *tally,
                struct ring_set *out)
{
    uint32_t size = q->rf == 0 ? r->options.replication_factor : q->rf, rf = size;
    uint32_t target = rf / r->options.replication_factor;
    if (target == 0)
        target = 1;
    size_t at = first_behind(r, q->token);
    for (size_t i = 0; i < r->t->point_count && out->count < size && out->count < ring_count(r);
         i++) {
        if (tally != NULL && zones_are_done(r, tally, target))
            break;
        uint32_t index = r->t->points[(at + i) % r->t->point_count].member;
        const struct ring_instance *in = ring_at(r, index);
        struct zone_tally *zone =
            tally != NULL && in->zone.len > 0 ? &tally[r->t->members[index].zone] : NULL;
        if (set_has(out, in) || (zone != NULL && zone->found >= target))
            continue;
        if (zone != NULL)
            zone->examined++;
        if (is_extended(r, in, q, out))
            size++; /* another one of the same zone makes up for it */
        else if (zone != NULL)
            zone->found++;
        if (set_add(out, in) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

static int look_up(const struct ring *r, const struct query *q, struct ring_set *out,
                   struct err *err)
{
    struct zone_tally few[ZONES_ON_STACK] = {{0, 0}}, *many = NULL, *tally = NULL;
    out->count = out->dead = 0;
    out->max_errors = out->max_unavailable_zones = 0;
    if (r->t->point_count == 0)
        return err_set(err, ERR_UNAVAILABLE, "empty ring");
    if (r->options.zone_aware) {
        if (r->t->zone_count > ZONES_ON_STACK &&
            (many = mem_calloc(r->t->zone_count, sizeof *many)) == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        tally = many == NULL ? few : many;
    }
    int rc = walk(r, q, tally, out);
    mem_free(many);
    return rc != 0 ? err_set(err, rc, "out of memory") : 0;
}

int ring_set_of(const struct ring *r, uint32_t token, uint32_t op, uint32_t rf,
                struct ring_set *out, struct err *err)
{
    const struct query q = {token, op, rf, NO_TIME};
    return look_up(r, &q, out, err);
}

int ring_set_living(const struct ring *r, uint32_t token, uint32_t op, uint32_t rf, wall_ms now,
                    struct ring_set *out, struct err *err)
{
    const struct query q = {token, op, rf, now};
    return look_up(r, &q, out, err);
}

bool ring_is_healthy(const struct ring *r, const struct ring_instance *in, uint32_t op,
                     wall_ms now)
{
    return state_in(op, in->state, 0) &&
           ring_instance_is_alive(in, r->options.heartbeat_timeout_ms, now);
}

int ring_set_filter(const struct ring *r, uint32_t op, uint32_t rf, wall_ms now,
                    struct ring_set *s, struct err *err)
{
    struct buf sick = {0};
    uint32_t size = rf == 0 ? r->options.replication_factor : rf, kept = 0;
    if (size < s->count - s->dead)
        size = s->count - s->dead;
    uint32_t enough = size / 2 + 1;
    for (uint32_t i = 0; i < s->count; i++) {
        if (ring_is_healthy(r, s->items[i], op, now)) {
            s->items[kept++] = s->items[i];
            continue;
        }
        buf_c(&sick, sick.size == 0 ? " - unhealthy instances: " : ",");
        buf_str(&sick, s->items[i]->addr);
    }
    s->count = kept;
    s->max_errors = kept < enough ? 0 : kept - enough;
    int rc = 0;
    if (kept < enough)
        rc = err_set(err, ERR_UNAVAILABLE,
                     "at least %u live replicas required%s, could only find %u%.*s", enough,
                     r->options.zone_aware ? " across different availability zones" : "", kept,
                     STR_ARG(buf_view(&sick)));
    buf_reset(&sick);
    return rc;
}

int ring_get(const struct ring *r, uint32_t token, uint32_t op, uint32_t rf, wall_ms now,
             struct ring_set *out, struct err *err)
{
    int rc = ring_set_of(r, token, op, rf, out, err);
    return rc != 0 ? rc : ring_set_filter(r, op, rf, now, out, err);
}

int ring_set_healthy(const struct ring *r, uint32_t op, wall_ms now, struct ring_set *out,
                     struct err *err)
{
    out->count = out->dead = 0;
    out->max_errors = out->max_unavailable_zones = 0;
    if (ring_count(r) == 0)
        return err_set(err, ERR_UNAVAILABLE, "empty ring");
    for (size_t i = 0; i < ring_count(r); i++)
        if (ring_is_healthy(r, ring_at(r, i), op, now) && set_add(out, ring_at(r, i)) != 0)
            return err_set(err, ERR_NOMEM, "out of memory");
    return 0;
}

/* A zone with one sick member is out as a whole: its data is in the other zones. */
static int all_of_zones(const struct ring *r, uint32_t op, wall_ms now, struct ring_set *s,
                        struct err *err)
{
    static const char too_many[] = "too many unhealthy instances in the ring";
    struct ring_set sick = {0}; /* one member for each failing zone */
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ring_count(r); i++) {
        const struct ring_instance *in = ring_at(r, i);
        bool known = ring_is_healthy(r, in, op, now);
        for (uint32_t k = 0; !known && k < sick.count; k++)
            known = str_eq(sick.items[k]->zone, in->zone);
        if (!known)
            rc = set_add(&sick, in);
    }
    uint32_t zones = r->t->zone_count < r->options.replication_factor
                         ? r->t->zone_count
                         : r->options.replication_factor;
    if (rc == 0 && sick.count > zones / 2)
        rc = err_set(err, ERR_UNAVAILABLE, "%s", too_many);
    uint32_t kept = 0;
    for (uint32_t i = 0; rc == 0 && i < s->count; i++) {
        bool out = false;
        for (uint32_t k = 0; k < sick.count; k++)
            out = out || str_eq(sick.items[k]->zone, s->items[i]->zone);
        if (!out)
            s->items[kept++] = s->items[i];
    }
    s->count = kept;
    s->max_unavailable_zones = rc == 0 ? zones / 2 - sick.count : 0;
    ring_set_reset(&sick);
    return rc == ERR_NOMEM ? err_set(err, rc, "out of memory") : rc;
}

int ring_set_all(const struct ring *r, uint32_t op, wall_ms now, struct ring_set *out,
                 struct err *err)
{
    out->count = 0;
    if (r->t->point_count == 0)
        return err_set(err, ERR_UNAVAILABLE, "empty ring");
    int rc = ring_set_healthy(r, op, now, out, err);
    if (rc != 0)
        return rc;
    if (r->options.zone_aware)
        return all_of_zones(r, op, now, out, err);
    size_t needed = ring_count(r);
    if (needed < r->options.replication_factor)
        needed = r->options.replication_factor;
    needed -= r->options.replication_factor / 2;
    if (out->count < needed) {
        out->count = 0;
        return err_set(err, ERR_UNAVAILABLE, "too many unhealthy instances in the ring");
    }
    out->max_errors = (uint32_t)(out->count - needed);
    return 0;
}
