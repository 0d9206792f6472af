/* Exact reads under chaos: the real ackset, readplan, member and dots, with simulated disks,
 * network and time, under one seed.
 *
 *   sim_exact                   about 25 s: seeds of both kinds, and that each rule is missed
 *                               when it is broken
 *   sim_exact --short           the same with few seeds (for sanitizers)
 *   sim_exact --long            100,000 seeds of each kind, and the rules
 *   sim_exact --seeds A-B       just these; --single: of the single-fault kind; --trace: events
 *   sim_exact --break RULE      seeds from 1 on, until the missing rule is noticed
 *
 * Checked (docs/exact-reads.md):
 *   I1  no profile counts twice by one dot in an answer - whatever fails
 *   I2  an answer marked complete has every profile that was acknowledged before it began
 *   I3  every acknowledged profile is synced on disks of >= W domains; a disk that was lost counts
 *       with what it had: it stays named, so it stays missed
 *   I4  one disk has one row per key; where all sets have the same members, a complete answer
 *       counts a key once
 *   I5  single-fault seeds: with one domain impaired, and after it has healed, pushes are
 *       acknowledged and answers complete within 30 virtual seconds
 *
 * Rules are broken here, in the driver: what it hands to the machines or does with their actions
 * is what a program without the rule would do. The machines have no switches.
 *
 * The file is long because a simulation is one world; it goes: world, network, disks, ingesters,
 * distributors, queriers, faults, runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ring/ackset.h"
#include "ring/dots.h"
#include "ring/member.h"
#include "ring/readplan.h"

enum {
    ING_MAX = 6,
    DIST_MAX = 3,
    QUER_MAX = 2,
    FIRST_DIST = ING_MAX,
    FIRST_QUER = FIRST_DIST + DIST_MAX,
    NODES = FIRST_QUER + QUER_MAX,
    KEYS_MAX = 48,
    PUSH_MAX = 384,
    LANES_MAX = 512,
    ENTRY_MAX = 512,
    WAIT_MAX = 256,
    GRAVES_MAX = 64,
    QUERY_MAX = 8,
    CALL_TIMEOUT_MS = 3000,
    LIVE_MS = 30000,
};

enum rule {
    NOTHING,
    A1_RETRY_TAKES_NEW_DOT,
    A2_ACK_BEFORE_SYNC,
    A2_VECTOR_HAS_UNSYNCED,
    A4_INSTANCES_NOT_DOMAINS,
    A5_ACK_BEFORE_INTRODUCTION,
    A7_NEWCOMERS_FOUND_AGAIN,
    A6_EMPTY_KEEPS_NAME,
    A6_DAMAGED_KEEPS_NAME,
    A8C_LATE_ANSWERS_COUNT,
    A8D_COUNT_AS_FIRST,
    A8E_SILENCE_NOT_JUDGED,
    A8E_NOT_ALL_COUNTED,
    A8E_OLDER_ROUND,
    A9_NO_ALIASES,
    A9_WEAK_DOTS_COUNT,
    A9_NO_KEYS,
    A9_PART_SPLITS_CLASS,
    CUT_LEAVES_REPEATS,
    RULES
};

/* Must be noticed within so many seeds: by every run, and after a change of the world's dice, when
 * --long looks for it. */
static const struct {
    const char *name;
    uint32_t fast, slow;
} rules[RULES] = {
    [NOTHING] = {"nothing", 0, 0},
    [A1_RETRY_TAKES_NEW_DOT] = {"A1", 100, 20000},
    [A2_ACK_BEFORE_SYNC] = {"A2-ack", 100, 20000},
    [A2_VECTOR_HAS_UNSYNCED] = {"A2-vector", 400, 20000},
    [A4_INSTANCES_NOT_DOMAINS] = {"A4", 100, 20000},
    [A5_ACK_BEFORE_INTRODUCTION] = {"A5", 100, 20000},
    [A7_NEWCOMERS_FOUND_AGAIN] = {"A7", 100, 20000},
    [A6_EMPTY_KEEPS_NAME] = {"A6-empty", 100, 20000},
    [A6_DAMAGED_KEEPS_NAME] = {"A6-damaged", 100, 20000},
    [A8C_LATE_ANSWERS_COUNT] = {"A8c", 100, 20000},
    [A8D_COUNT_AS_FIRST] = {"A8d", 100, 20000},
    [A8E_SILENCE_NOT_JUDGED] = {"A8e-silence", 100, 20000},
    [A8E_NOT_ALL_COUNTED] = {"A8e-counted", 100, 20000},
    [A8E_OLDER_ROUND] = {"A8e-round", 100, 20000},
    [A9_NO_ALIASES] = {"A9-aliases", 100, 20000},
    [A9_WEAK_DOTS_COUNT] = {"A9-weak", 100, 20000},
    [A9_NO_KEYS] = {"A9-keys", 100, 20000},
    [A9_PART_SPLITS_CLASS] = {"A9-class", 100, 20000},
    [CUT_LEAVES_REPEATS] = {"A9-cut", 100, 20000},
};

/* --- world --------------------------------------------------------------------------------- */

struct lane {
    uint8_t writer[WRITER_SIZE];
    struct str set[ING_MAX];
    uint32_t set_count;
    uint32_t next; /* last number given */
};

/* One profile on one disk: its row, or an alias of the row of the same key. */
struct entry {
    int lane;
    uint32_t seq;
    int key, push;
    int row; /* index of the row; its own for a row */
};

/* What survives a crash. entries[0 .. synced) are on the disk. */
struct store {
    struct disk_id id, predecessor;
    uint64_t starts;
    struct roster *roster;
    struct entry entries[ENTRY_MAX];
    int count, synced;
};

struct call;

struct waiter {
    struct call *call;
    int position; /* answered when so many entries are synced */
};

struct ingester {
    char name[16], domain[16];
    struct store store;
    bool exists, up, syncing;
    int sync_to;
    struct member *member;
    mono_ms member_due;
    struct waiter waiters[WAIT_MAX];
    int waiter_count;
    struct call *intros[WAIT_MAX]; /* by token - 1, of this life */
    int intro_count;
};

/* A name whose memory is gone; `keys` is what it had. */
struct grave {
    int domain_of; /* ingester */
    uint64_t keys;
};

struct push {
    int node, epoch, key, lane;
    uint32_t seq;
    struct ackset *acks;
    int targets[ING_MAX], tries[ING_MAX];
    int target_count;
};

struct query {
    struct readplan *plan; /* NULL: free */
    int node, epoch;
    uint64_t acked; /* keys acknowledged before it began */
    uint16_t by_push[PUSH_MAX];
    mono_ms due;
    struct disk_id seen[ING_MAX]; /* who replied in an earlier round */
    uint32_t generation;
};

struct node {
    bool up;
    int epoch;
    mono_ms hung_until;
    uint32_t view;                /* ingesters that it knows of */
    uint8_t writer[WRITER_SIZE];  /* distributors */
    struct roster *roster;        /* queriers */
};

enum event_kind {
    EV_REQUEST,
    EV_RESPONSE,
    EV_TIMEOUT,
    EV_MEMBER,
    EV_ROSTER,
    EV_SYNC,
    EV_QUERY,
    EV_STEP,
    EV_START,
};

struct response;

struct event {
    mono_ms at;
    uint64_t id;
    enum event_kind kind;
    int node, epoch, extra;
    struct call *call;
    struct response *response;
};

struct world {
    uint64_t seed;
    enum rule broken;
    bool single, trace, settled;
    struct rng rng;
    mono_ms now;
    uint64_t next_id, next_disk;
    struct event *heap;
    int heap_count, heap_cap;

    int n, distributors, queriers, zones; /* zones 0: instances are the domains */
    uint32_t rf, expect;
    int late; /* ingester that joins later, or -1 */
    uint32_t loss, doubled, slow, repeats, truncate; /* per cent */
    bool same_sets;
    struct node nodes[NODES];
    struct ingester ing[ING_MAX];
    bool cut[NODES][NODES]; /* messages from a to b are lost */
    struct lane lanes[LANES_MAX];
    int lane_count;
    struct push pushes[PUSH_MAX];
    int push_count, key_count;
    uint64_t acked; /* keys */
    struct query queries[QUERY_MAX];
    struct grave graves[GRAVES_MAX];
    int grave_count;

    int steps;
    int impaired;                          /* single: the ingester whose domain it is, or -1 */
    mono_ms fault_at, ack_at, complete_at; /* single */
    int phase, locked;                     /* single: domain that has lost a name, or -1 */

    char failure[200];
    uint64_t completes, uncertains, rounds, acks, checked;
};

static void fail(struct world *w, const char *invariant, const char *what, int64_t which)
{
    if (w->failure[0] == '\0')
        snprintf(w->failure, sizeof w->failure, "%s at %lld ms: %s (%lld)", invariant,
                 (long long)w->now, what, (long long)which);
}

#define TRACE(w, ...)                                                                         \
    do {                                                                                      \
        if ((w)->trace) {                                                                     \
            printf("%7lld ", (long long)(w)->now);                                            \
            printf(__VA_ARGS__);                                                              \
            printf("\n");                                                                     \
        }                                                                                     \
    } while (0)

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)rng_below(&w->rng, n);
}

static bool percent(struct world *w, uint32_t p)
{
    return rng_chance(&w->rng, p, 100);
}

/* --- events -------------------------------------------------------------------------------- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->id < b->id;
}

static void schedule(struct world *w, struct event e)
{
    if (w->heap_count == w->heap_cap) {
        w->heap_cap = w->heap_cap == 0 ? 256 : w->heap_cap * 2;
        w->heap = mem_realloc_array(w->heap, (size_t)w->heap_cap, sizeof *w->heap);
        ASSERT(w->heap != NULL);
    }
    e.id = w->next_id++;
    int i = w->heap_count++;
    while (i > 0 && before(&e, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = e;
}

static struct event pop(struct world *w)
{
    struct event top = w->heap[0], last = w->heap[--w->heap_count];
    int i = 0;
    for (;;) {
        int child = 2 * i + 1;
        if (child >= w->heap_count)
            break;
        if (child + 1 < w->heap_count && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
}

/* --- calls --------------------------------------------------------------------------------- */

enum call_kind { APPEND, INTRODUCE, VECTOR, COUNT, KEYS };

struct call {
    int refs; /* events that will still look at it */
    enum call_kind kind;
    int from, epoch, to;
    bool over;      /* the caller has its answer, or has given up */
    uint64_t token; /* member's or the plan's */
    int owner, target; /* push and its target, or query */
    uint32_t generation; /* of the query */
    int key, lane;  /* APPEND */
    uint32_t seq;
    struct disk self; /* INTRODUCE; names are the ingester's */
    struct roster *roster;
    struct disk_id disk;    /* COUNT, KEYS */
    struct vector *include; /* COUNT; KEYS: of */
    uint64_t find;          /* KEYS: keys */
};

struct response {
    int code;
    struct disk_id disk;
    int node;
    bool established, truncated, ok, fresh;
    uint64_t your_starts;
    struct roster *roster;
    struct vector *held;
    struct aliases *repeats;
    int pushes[ENTRY_MAX]; /* COUNT: rows counted; KEYS: entries */
    int count;
};

static void response_free(struct response **r)
{
    if (*r == NULL)
        return;
    roster_free(&(*r)->roster);
    vector_free(&(*r)->held);
    aliases_free(&(*r)->repeats);
    mem_free(*r);
    *r = NULL;
}

static void call_release(struct call *c)
{
    if (--c->refs > 0)
        return;
    roster_free(&c->roster);
    vector_free(&c->include);
    mem_free(c);
}

static mono_ms delay(struct world *w)
{
    if (percent(w, w->slow))
        return 1 + below(w, 2500);
    return 1 + below(w, 15);
}

static bool lost(struct world *w, int from, int to)
{
    return w->cut[from][to] || percent(w, w->loss);
}

/* Send a request: perhaps twice, perhaps never; the caller gives up after the timeout. */
static void call_send(struct world *w, struct call *c)
{
    int copies = lost(w, c->from, c->to) ? 0 : percent(w, w->doubled) ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        c->refs++;
        schedule(w, (struct event){.at = w->now + delay(w), .kind = EV_REQUEST, .node = c->to,
                                   .call = c});
    }
    c->refs++;
    schedule(w, (struct event){.at = w->now + CALL_TIMEOUT_MS, .kind = EV_TIMEOUT,
                               .node = c->from, .call = c});
}

static struct call *call_make(struct world *w, enum call_kind kind, int from, int to)
{
    struct call *c = mem_zalloc(sizeof *c);
    ASSERT(c != NULL);
    *c = (struct call){.kind = kind, .from = from, .to = to, .epoch = w->nodes[from].epoch};
    return c;
}

static struct response *response_make(int code)
{
    struct response *r = mem_zalloc(sizeof *r);
    ASSERT(r != NULL);
    r->code = code;
    return r;
}

/* Takes the response. */
static void respond(struct world *w, struct call *c, struct response *r)
{
    r->node = c->to;
    if (lost(w, c->to, c->from)) {
        response_free(&r);
        return;
    }
    c->refs++;
    schedule(w, (struct event){.at = w->now + delay(w), .kind = EV_RESPONSE, .node = c->from,
                               .call = c, .response = r});
}

/* --- disks --------------------------------------------------------------------------------- */

static struct lane_name lane_name(const struct world *w, int lane)
{
    const struct lane *l = &w->lanes[lane];
    return (struct lane_name){l->writer, l->set, l->set_count};
}

static struct disk_id new_disk(struct world *w)
{
    struct disk_id id = {{0}};
    rng_bytes(&w->rng, id.bytes, DISK_SIZE - 1);
    id.bytes[DISK_SIZE - 1] = (uint8_t)++w->next_disk;
    return id;
}

static struct str domain_of(const struct world *w, int i)
{
    return str_c(w->ing[i].domain);
}

/* Entries below `end` as a vector and their aliases. */
static void store_held(const struct world *w, const struct store *s, int end,
                       struct vector **held, struct aliases **repeats)
{
    ASSERT(vector_init(held) == 0);
    ASSERT(repeats == NULL || aliases_init(repeats) == 0);
    for (int i = 0; i < end; i++) {
        const struct entry *e = &s->entries[i];
        uint32_t lane;
        ASSERT(vector_lane(*held, lane_name(w, e->lane), &lane) == 0);
        ASSERT(vector_add(*held, lane, e->seq, e->seq) == 0);
        const struct entry *row = &s->entries[e->row];
        if (repeats != NULL && e->row != i)
            ASSERT(aliases_add(*repeats, lane_name(w, e->lane), e->seq, lane_name(w, row->lane),
                               row->seq) == 0);
    }
}

static uint64_t store_keys(const struct store *s)
{
    uint64_t keys = 0;
    for (int i = 0; i < s->synced; i++)
        keys |= 1ull << s->entries[i].key;
    return keys;
}

/* I4: search and insert are one step. */
static int store_append(struct world *w, struct store *s, const struct call *c)
{
    int row = -1;
    for (int i = 0; i < s->count; i++) {
        struct entry *e = &s->entries[i];
        if (e->lane == c->lane && e->seq == c->seq)
            return i;
        if (e->key == c->key && e->row == i && w->broken != A9_NO_ALIASES)
            row = i;
    }
    ASSERT(s->count < ENTRY_MAX);
    int at = s->count++;
    s->entries[at] = (struct entry){.lane = c->lane, .seq = c->seq, .key = c->key,
                                    .push = c->owner, .row = row >= 0 ? row : at};
    return at;
}

static void bury(struct world *w, int i)
{
    if (w->grave_count < GRAVES_MAX)
        w->graves[w->grave_count++] = (struct grave){i, store_keys(&w->ing[i].store)};
}

/* The data directory is gone. */
static void disk_empty(struct world *w, int i)
{
    struct store *s = &w->ing[i].store;
    struct disk_id old = s->id;
    TRACE(w, "in-%d: empty disk", i);
    if (w->broken != A6_EMPTY_KEEPS_NAME)
        bury(w, i);
    roster_free(&s->roster);
    *s = (struct store){.id = w->broken == A6_EMPTY_KEEPS_NAME ? old : new_disk(w),
                        .starts = w->broken == A6_EMPTY_KEEPS_NAME ? s->starts : 0};
}

/* Drop entry `at`; aliases of a row that is gone are gone with it. */
static void entry_drop(struct store *s, int at)
{
    int to[ENTRY_MAX], kept = 0;
    for (int i = 0; i < s->synced; i++)
        to[i] = i == at || s->entries[i].row == at ? -1 : kept++;
    for (int i = 0; i < s->synced; i++) {
        if (to[i] < 0)
            continue;
        struct entry e = s->entries[i];
        e.row = to[e.row];
        s->entries[to[i]] = e;
    }
    s->count = s->synced = kept;
}

/* Rot in the log, noticed at the start. */
static void disk_damage(struct world *w, int i)
{
    struct store *s = &w->ing[i].store;
    if (s->synced == 0)
        return;
    TRACE(w, "in-%d: damaged disk", i);
    if (w->broken != A6_DAMAGED_KEEPS_NAME) {
        bury(w, i);
        s->predecessor = s->id;
        s->id = new_disk(w);
        s->starts = 0;
    }
    for (uint32_t n = 1 + below(w, 3); n > 0 && s->synced > 0; n--)
        entry_drop(s, (int)below(w, (uint32_t)s->synced));
}

/* --- ingesters ----------------------------------------------------------------------------- */

static void schedule_member(struct world *w, int i, mono_ms at)
{
    struct ingester *g = &w->ing[i];
    if (at == MONO_NEVER || (g->member_due > w->now && g->member_due <= at))
        return;
    g->member_due = at;
    schedule(w, (struct event){.at = at > w->now ? at : w->now + 1, .kind = EV_MEMBER, .node = i,
                               .epoch = w->nodes[i].epoch});
}

/* The node at an address, which is the name of an ingester. */
static int node_at(struct str addr)
{
    uint64_t i = 0;
    ASSERT(str_u64(str_skip(addr, 3), &i) == 0 && i < ING_MAX);
    return (int)i;
}

static void member_send(struct world *w, int i, const struct member_action *a)
{
    const struct member *m = w->ing[i].member;
    int to = node_at(a->addr);
    struct call *c = call_make(w, INTRODUCE, i, to);
    c->token = a->token;
    c->self = *member_self(m);
    c->self.instance = str_c(w->ing[i].name);
    c->self.addr = c->self.instance;
    c->self.domain = domain_of(w, i);
    ASSERT(roster_copy(&c->roster, member_roster(m)) == 0);
    call_send(w, c);
}

static void intro_answer(struct world *w, int i, const struct member_action *a)
{
    struct ingester *g = &w->ing[i];
    struct response *r = response_make(0);
    struct call *c = g->intros[a->token - 1];
    g->intros[a->token - 1] = NULL;
    r->disk = g->store.id;
    r->ok = a->ok;
    r->fresh = a->fresh;
    r->your_starts = a->your_starts;
    ASSERT(roster_copy(&r->roster, member_roster(g->member)) == 0);
    respond(w, c, r);
    call_release(c);
}

static void crash(struct world *w, int i, mono_ms down);

static void pump_member(struct world *w, int i)
{
    struct ingester *g = &w->ing[i];
    struct member_action a;
    mono_ms due;
    while (g->up && g->member != NULL) {
        enum member_verb verb = member_next(g->member, w->now, &a, &due);
        if (verb == MEMBER_NONE) {
            schedule_member(w, i, due);
            return;
        }
        if (verb == MEMBER_SEND) {
            member_send(w, i, &a);
        } else if (verb == MEMBER_ANSWER) {
            intro_answer(w, i, &a);
        } else if (verb == MEMBER_SYNC) {
            roster_free(&w->nodes[i].roster);
            ASSERT(roster_copy(&w->nodes[i].roster, a.roster) == 0);
            schedule(w, (struct event){.at = w->now + 1 + below(w, 10), .kind = EV_ROSTER,
                                       .node = i, .epoch = w->nodes[i].epoch});
        } else if (verb == MEMBER_ACTIVE) {
            TRACE(w, "in-%d: established", i);
        } else {
            fail(w, "member", a.why, i);
            return;
        }
    }
}

/* The roster is on the disk, or the write failed. */
static void on_roster(struct world *w, int i)
{
    struct ingester *g = &w->ing[i];
    bool ok = !percent(w, w->single ? 0 : 2);
    if (ok) {
        roster_free(&g->store.roster);
        g->store.roster = w->nodes[i].roster;
        w->nodes[i].roster = NULL;
    }
    member_synced(g->member, ok, w->now);
    pump_member(w, i);
}

static void tell_ring(struct world *w, int i)
{
    struct ingester *g = &w->ing[i];
    struct member_peer peers[ING_MAX];
    uint32_t count = 0;
    bool alone = w->broken == A7_NEWCOMERS_FOUND_AGAIN;
    for (int k = 0; k < w->n; k++)
        if (k == i || (!alone && (w->nodes[i].view >> k & 1) != 0))
            peers[count++] = (struct member_peer){str_c(w->ing[k].name), str_c(w->ing[k].name)};
    ASSERT(member_ring(g->member, peers, count, true, w->now) == 0);
}

static void start_ingester(struct world *w, int i)
{
    struct ingester *g = &w->ing[i];
    g->up = w->nodes[i].up = true;
    g->store.starts++;
    struct member_config config = {
        .disk = g->store.id,
        .predecessor = g->store.predecessor,
        .starts = g->store.starts,
        .instance = str_c(g->name),
        .domain = domain_of(w, i),
        .addr = str_c(g->name),
        .replication_factor = w->rf,
        .zone_aware = w->zones > 0,
        .expect = w->broken == A7_NEWCOMERS_FOUND_AGAIN ? 1 : w->expect,
        .quiet_ms = 1000,
        .exchange_ms = w->single ? 5000 : 0,
    };
    TRACE(w, "in-%d: starts (%d entries)", i, g->store.count);
    ASSERT(member_init(&g->member, &config, g->store.roster, w->now, NULL) == 0);
    tell_ring(w, i);
    pump_member(w, i);
}

/* kill -9: what was not synced is lost but for some of it, in order. */
static void crash(struct world *w, int i, mono_ms down)
{
    struct ingester *g = &w->ing[i];
    struct store *s = &g->store;
    if (!g->up)
        return;
    TRACE(w, "in-%d: crash for %lld ms", i, (long long)down);
    g->up = w->nodes[i].up = false;
    w->nodes[i].epoch++;
    g->syncing = false;
    g->member_due = 0;
    s->synced += (int)below(w, (uint32_t)(s->count - s->synced) + 1);
    s->count = s->synced;
    for (int k = 0; k < g->waiter_count; k++)
        call_release(g->waiters[k].call);
    for (int k = 0; k < g->intro_count; k++)
        if (g->intros[k] != NULL)
            call_release(g->intros[k]);
    g->waiter_count = g->intro_count = 0;
    member_free(&g->member);
    roster_free(&w->nodes[i].roster);
    if (down >= 0)
        schedule(w, (struct event){.at = w->now + down, .kind = EV_START, .node = i});
}

static bool takes_writes(const struct world *w, int i)
{
    return w->broken == A5_ACK_BEFORE_INTRODUCTION || member_is_established(w->ing[i].member);
}

static void answer_append(struct world *w, int i, struct call *c, int code)
{
    struct response *r = response_make(code);
    r->disk = w->ing[i].store.id;
    respond(w, c, r);
}

static void start_sync(struct world *w, int i)
{
    struct ingester *g = &w->ing[i];
    if (g->syncing || g->store.synced == g->store.count)
        return;
    g->syncing = true;
    g->sync_to = g->store.count;
    mono_ms takes = 1 + (mono_ms)below(w, !w->single && percent(w, 10) ? 400 : 12);
    schedule(w, (struct event){.at = w->now + takes, .kind = EV_SYNC, .node = i,
                               .epoch = w->nodes[i].epoch});
}

static void on_append(struct world *w, int i, struct call *c)
{
    struct ingester *g = &w->ing[i];
    if (!takes_writes(w, i) || g->store.count == ENTRY_MAX || g->waiter_count == WAIT_MAX) {
        answer_append(w, i, c, ERR_UNAVAILABLE);
        return;
    }
    int at = store_append(w, &g->store, c);
    if (at < g->store.synced || w->broken == A2_ACK_BEFORE_SYNC) {
        answer_append(w, i, c, 0);
    } else {
        c->refs++;
        g->waiters[g->waiter_count++] = (struct waiter){c, at + 1};
    }
    start_sync(w, i);
}

/* A batch is synced, or failed: then its pending dots are forgotten and every waiter fails. */
static void on_sync(struct world *w, int i)
{
    struct ingester *g = &w->ing[i];
    bool ok = !percent(w, w->single ? 0 : 2);
    g->syncing = false;
    if (ok)
        g->store.synced = g->sync_to;
    else
        g->store.count = g->store.synced;
    int kept = 0;
    for (int k = 0; k < g->waiter_count; k++) {
        struct waiter waiter = g->waiters[k];
        if (ok && waiter.position > g->store.synced) {
            g->waiters[kept++] = waiter;
            continue;
        }
        bool held = waiter.position <= g->store.synced;
        answer_append(w, i, waiter.call, held ? 0 : ERR_IO);
        call_release(waiter.call);
    }
    g->waiter_count = kept;
    start_sync(w, i);
}

static void on_vector(struct world *w, int i, struct call *c)
{
    struct ingester *g = &w->ing[i];
    const struct roster *roster = member_roster(g->member);
    if (roster == NULL) {
        respond(w, c, response_make(ERR_UNAVAILABLE));
        return;
    }
    struct response *r = response_make(0);
    int end = w->broken == A2_VECTOR_HAS_UNSYNCED ? g->store.count : g->store.synced;
    r->disk = g->store.id;
    r->established = takes_writes(w, i);
    ASSERT(roster_copy(&r->roster, roster) == 0);
    store_held(w, &g->store, end, &r->held, &r->repeats);
    if (percent(w, w->truncate))
        ASSERT(vector_cut(r->held, w->broken == CUT_LEAVES_REPEATS ? NULL : r->repeats,
                          60 + below(w, 120), &r->truncated) == 0);
    respond(w, c, r);
}

/* A8d, or `moved`. */
static void on_count(struct world *w, int i, struct call *c)
{
    struct store *s = &w->ing[i].store;
    struct vector *held = NULL;
    int end = w->broken == A2_VECTOR_HAS_UNSYNCED ? s->count : s->synced;
    store_held(w, s, end, &held, NULL);
    bool moved = !disk_eq(s->id, c->disk) || !vector_covers(held, c->include);
    struct response *r = response_make(moved ? ERR_MOVED : 0);
    for (int k = 0; !moved && k < end; k++) {
        const struct entry *e = &s->entries[k];
        bool mine = vector_has(c->include, lane_name(w, e->lane), e->seq);
        if (w->broken == A8D_COUNT_AS_FIRST)
            mine = str_eq(w->lanes[e->lane].set[0], str_c(w->ing[i].name));
        if (e->row == k && mine)
            r->pushes[r->count++] = e->push;
    }
    vector_free(&held);
    respond(w, c, r);
}

/* Lane, seq and key of an entry in one number. */
static int wire_key(const struct entry *e)
{
    return e->lane << 20 | (int)e->seq << 8 | e->key;
}

static void on_keys(struct world *w, int i, struct call *c)
{
    struct store *s = &w->ing[i].store;
    bool moved = !disk_eq(s->id, c->disk);
    struct response *r = response_make(moved ? ERR_MOVED : 0);
    for (int k = 0; !moved && k < s->synced && w->broken != A9_NO_KEYS; k++) {
        const struct entry *e = &s->entries[k];
        bool asked = c->include != NULL && vector_has(c->include, lane_name(w, e->lane), e->seq);
        if (asked || (e->row == k && (c->find >> e->key & 1) != 0))
            r->pushes[r->count++] = k;
    }
    for (int k = 0; k < r->count; k++)
        r->pushes[k] = wire_key(&s->entries[r->pushes[k]]);
    respond(w, c, r);
}

static void on_introduce(struct world *w, int i, struct call *c)
{
    struct ingester *g = &w->ing[i];
    if (g->intro_count == WAIT_MAX) { /* tokens of a life are used up: a new life */
        crash(w, i, 100);
        return;
    }
    uint64_t token = (uint64_t)g->intro_count + 1;
    if (member_asked(g->member, &c->self, c->roster, token, w->now) != 0) {
        respond(w, c, response_make(ERR_UNAVAILABLE));
    } else {
        c->refs++;
        g->intros[g->intro_count++] = c;
    }
    pump_member(w, i);
}

static void on_request(struct world *w, struct call *c)
{
    int i = c->to;
    if (!w->ing[i].up)
        return; /* refused or lost: the caller's timeout says it */
    switch (c->kind) {
    case APPEND:
        on_append(w, i, c);
        break;
    case INTRODUCE:
        on_introduce(w, i, c);
        break;
    case VECTOR:
        on_vector(w, i, c);
        break;
    case COUNT:
        on_count(w, i, c);
        break;
    case KEYS:
        on_keys(w, i, c);
        break;
    }
}

/* --- distributors -------------------------------------------------------------------------- */

/* The set of a service, in an order that depends on it alone: distinct domains first come. */
static int set_of(struct world *w, int node, int service, int *set)
{
    int count = 0;
    for (int k = 0; k < w->n && count < (int)w->rf; k++) {
        int i = (k * (1 + service % 2 * 4) + service) % w->n; /* two directions of walk */
        bool taken = (w->nodes[node].view >> i & 1) == 0;
        for (int j = 0; j < count; j++)
            taken = taken || set[j] == i || str_eq(domain_of(w, set[j]), domain_of(w, i));
        if (!taken)
            set[count++] = i;
    }
    return count;
}

static int lane_of(struct world *w, int node, const int *set, int count)
{
    for (int l = 0; l < w->lane_count; l++) {
        const struct lane *lane = &w->lanes[l];
        bool same = lane->set_count == (uint32_t)count &&
                    memcmp(lane->writer, w->nodes[node].writer, WRITER_SIZE) == 0;
        for (int k = 0; same && k < count; k++)
            same = str_eq(lane->set[k], str_c(w->ing[set[k]].name));
        if (same)
            return l;
    }
    if (w->lane_count == LANES_MAX)
        return -1;
    struct lane *lane = &w->lanes[w->lane_count];
    *lane = (struct lane){.set_count = (uint32_t)count};
    memcpy(lane->writer, w->nodes[node].writer, WRITER_SIZE);
    for (int k = 0; k < count; k++)
        lane->set[k] = str_c(w->ing[set[k]].name);
    return w->lane_count++;
}

static void send_append(struct world *w, int p, int target)
{
    struct push *push = &w->pushes[p];
    struct call *c = call_make(w, APPEND, push->node, push->targets[target]);
    c->owner = p;
    c->target = target;
    c->key = push->key;
    c->lane = push->lane;
    c->seq = push->seq;
    if (w->broken == A1_RETRY_TAKES_NEW_DOT && target + push->tries[target] > 0)
        c->seq = ++w->lanes[push->lane].next;
    push->tries[target]++;
    call_send(w, c);
}

/* Send where the set says, with some of it taken for dead and replaced by others. */
static void choose_targets(struct world *w, struct push *push, const int *set, int count)
{
    for (int k = 0; k < count; k++) {
        bool dead = !w->single && !w->same_sets && percent(w, w->ing[set[k]].up ? 5 : 60);
        if (!dead)
            push->targets[push->target_count++] = set[k];
    }
    for (int i = 0; i < w->n && push->target_count < count; i++) {
        bool taken = (w->nodes[push->node].view >> i & 1) == 0;
        for (int k = 0; k < count; k++)
            taken = taken || set[k] == i;
        for (int k = 0; k < push->target_count; k++)
            taken = taken || push->targets[k] == i;
        if (!taken)
            push->targets[push->target_count++] = i;
    }
}

static void acknowledged(struct world *w, const struct push *push)
{
    TRACE(w, "push %d: key %d acknowledged", (int)(push - w->pushes), push->key);
    w->acked |= 1ull << push->key;
    w->ack_at = w->now;
    w->acks++;
}

static void push_start(struct world *w)
{
    int node = FIRST_DIST + (int)below(w, (uint32_t)w->distributors);
    bool again = w->key_count > 0 && percent(w, w->repeats);
    if (!w->nodes[node].up || w->push_count == PUSH_MAX)
        return;
    if (!again && w->key_count == KEYS_MAX) {
        if (!w->single)
            return;
        again = true; /* keys are used up: sending again must succeed as well */
    }
    int set[ING_MAX], p = w->push_count;
    int key = again ? (int)below(w, (uint32_t)w->key_count) : w->key_count;
    int count = set_of(w, node, key % 3, set);
    int lane = count == 0 ? -1 : lane_of(w, node, set, count);
    if (lane < 0)
        return;
    struct push *push = &w->pushes[p];
    *push = (struct push){.node = node, .epoch = w->nodes[node].epoch, .key = key, .lane = lane};
    push->seq = ++w->lanes[lane].next;
    choose_targets(w, push, set, count);
    struct str domains[ING_MAX];
    for (int k = 0; k < push->target_count; k++)
        domains[k] = w->broken == A4_INSTANCES_NOT_DOMAINS ? str_c(w->ing[push->targets[k]].name)
                                                          : domain_of(w, push->targets[k]);
    ASSERT(ackset_init(&push->acks, w->rf, domains, (uint32_t)push->target_count) == 0);
    w->push_count++;
    w->key_count += !again;
    TRACE(w, "push %d: key %d, lane %d seq %u, %d targets", p, key, lane, push->seq,
          push->target_count);
    if (ackset_state(push->acks) == ACKSET_FAILED)
        return;
    for (int k = 0; k < push->target_count; k++)
        if (w->single || !percent(w, w->truncate > 0 ? 30 : 10)) /* some sends never happen */
            send_append(w, p, k);
        else
            (void)ackset_fail(push->acks, (uint32_t)k, ERR_TIMEOUT);
}

static void append_done(struct world *w, const struct call *c, const struct response *r)
{
    struct push *push = &w->pushes[c->owner];
    int code = r == NULL ? ERR_TIMEOUT : r->code;
    if (code == 0) {
        struct str domain = w->broken == A4_INSTANCES_NOT_DOMAINS ? str_c(w->ing[c->to].name)
                                                                  : domain_of(w, c->to);
        if (ackset_ack(push->acks, (uint32_t)c->target, r->disk, domain, 0) == 1)
            acknowledged(w, push);
    } else if (push->tries[c->target] < 3 && percent(w, 60)) {
        send_append(w, c->owner, c->target);
    } else {
        (void)ackset_fail(push->acks, (uint32_t)c->target, code);
    }
}

/* --- queriers ------------------------------------------------------------------------------ */

static void pump_query(struct world *w, struct query *q);

/* A roster as a querier without the group's size would know it (to break A9c). */
static struct roster *roster_without_group(const struct roster *from)
{
    struct roster *r = NULL;
    ASSERT(roster_init(&r) == 0);
    for (uint32_t i = 0; i < roster_count(from); i++)
        ASSERT(roster_put(r, roster_at(from, i), NULL) == 0);
    return r;
}

static void query_start(struct world *w)
{
    int node = FIRST_QUER + (int)below(w, (uint32_t)w->queriers);
    struct query *q = NULL;
    for (int i = 0; i < QUERY_MAX; i++)
        if (w->queries[i].plan == NULL)
            q = &w->queries[i];
    if (q == NULL || !w->nodes[node].up)
        return;
    struct read_peer peers[ING_MAX];
    uint32_t count = 0;
    for (int i = 0; i < w->n; i++)
        if ((w->nodes[node].view >> i & 1) != 0)
            peers[count++] = (struct read_peer){str_c(w->ing[i].name), str_c(w->ing[i].name),
                                                domain_of(w, i), percent(w, 5), false};
    const struct read_config config = {
        .replication_factor = w->broken == A9_WEAK_DOTS_COUNT ? 1 : w->rf,
        .deadline = w->now + 3000 + below(w, 15000),
        .hedge_ms = 50 + below(w, 450),
        .count_hedge_ms = w->single ? 0 : 200 + below(w, 1800),
    };
    uint32_t generation = q->generation + 1;
    *q = (struct query){.node = node, .epoch = w->nodes[node].epoch, .acked = w->acked,
                        .generation = generation};
    ASSERT(readplan_init(&q->plan, &config, peers, count, w->nodes[node].roster, w->now) == 0);
    TRACE(w, "query %d starts", (int)(q - w->queries));
    pump_query(w, q);
}

/* I1, I2, I4 of a finished answer. */
static void check_answer(struct world *w, const struct query *q, bool complete)
{
    int by_key[KEYS_MAX] = {0};
    for (int p = 0; p < w->push_count; p++) {
        if (q->by_push[p] > 1)
            fail(w, "I1", "a dot was counted twice, push", p);
        by_key[w->pushes[p].key] += q->by_push[p];
    }
    for (int k = 0; k < w->key_count && complete; k++) {
        if ((q->acked >> k & 1) != 0 && by_key[k] == 0)
            fail(w, "I2", "complete without an acknowledged profile, key", k);
        if (w->same_sets && by_key[k] > 1)
            fail(w, "I4", "complete with a profile counted twice, key", k);
    }
    w->checked++;
}

static void query_finish(struct world *w, struct query *q)
{
    const struct read_verdict *v = readplan_verdict(q->plan);
    bool complete = v->complete;
    if (w->broken == A8E_SILENCE_NOT_JUDGED && v->rc == 0)
        complete = (v->reasons & ~(uint32_t)(READ_SILENT | READ_TRUNCATED)) == 0;
    if (w->broken == A8E_NOT_ALL_COUNTED && v->rc == 0)
        complete = (v->reasons & ~(uint32_t)READ_NOT_COUNTED) == 0;
    TRACE(w, "query %d: %s, reasons %u, rc %d, rounds %u", (int)(q - w->queries),
          complete ? "complete" : "uncertain", v->reasons, v->rc, v->rounds);
    check_answer(w, q, complete);
    w->completes += complete;
    w->uncertains += !complete;
    w->rounds += v->rounds;
    if (complete)
        w->complete_at = w->now;
    roster_free(&w->nodes[q->node].roster);
    if (w->broken == A9_WEAK_DOTS_COUNT)
        w->nodes[q->node].roster = roster_without_group(readplan_roster(q->plan));
    else
        ASSERT(roster_copy(&w->nodes[q->node].roster, readplan_roster(q->plan)) == 0);
    readplan_free(&q->plan);
}

static void query_call(struct world *w, struct query *q, const struct read_action *a)
{
    static const enum call_kind kinds[] = {
        [READ_ASK] = VECTOR, [READ_COUNT] = COUNT, [READ_KEYS] = KEYS};
    struct call *c = call_make(w, kinds[a->verb], q->node, node_at(a->addr));
    c->owner = (int)(q - w->queries);
    c->generation = q->generation;
    c->token = a->call;
    c->disk = a->disk;
    if (a->verb == READ_COUNT)
        ASSERT(vector_copy(&c->include, a->include) == 0);
    if (a->verb == READ_KEYS && a->of != NULL)
        ASSERT(vector_copy(&c->include, a->of) == 0);
    for (uint32_t i = 0; i < a->find_count; i++)
        c->find |= 1ull << a->find[i].nonce;
    call_send(w, c);
}

static void pump_query(struct world *w, struct query *q)
{
    struct read_action a;
    mono_ms due;
    for (;;) {
        switch (readplan_next(q->plan, w->now, &a, &due)) {
        case READ_ASK:
        case READ_KEYS:
        case READ_COUNT:
            query_call(w, q, &a);
            break;
        case READ_RESTART:
            TRACE(w, "query %d: round abandoned", (int)(q - w->queries));
            if (w->broken != A8C_LATE_ANSWERS_COUNT)
                memset(q->by_push, 0, sizeof q->by_push);
            break;
        case READ_FINISH:
            query_finish(w, q);
            return;
        case READ_WAIT:
            if (q->due <= w->now || due < q->due) {
                q->due = due > w->now ? due : w->now + 1;
                schedule(w, (struct event){.at = q->due, .kind = EV_QUERY, .node = q->node,
                                           .epoch = q->epoch, .extra = (int)(q - w->queries)});
            }
            return;
        }
    }
}

static void query_vector(struct world *w, struct query *q, const struct call *c,
                         const struct response *r)
{
    struct read_reply reply = {
        .disk = r->disk,
        .instance = str_c(w->ing[r->node].name),
        .domain = domain_of(w, r->node),
        .established = r->established,
        .truncated = r->truncated,
        .held = r->held,
        .repeats = r->repeats,
        .roster = r->roster,
    };
    struct aliases *none = NULL;
    struct roster *bare = NULL;
    if (w->broken == A9_PART_SPLITS_CLASS) {
        ASSERT(aliases_init(&none) == 0);
        reply.repeats = none;
    }
    if (w->broken == A9_WEAK_DOTS_COUNT)
        reply.roster = bare = roster_without_group(r->roster);
    q->seen[r->node] = r->disk;
    (void)readplan_replied(q->plan, (uint32_t)c->token, &reply, w->now);
    aliases_free(&none);
    roster_free(&bare);
}

static void query_keys(struct world *w, struct query *q, const struct call *c,
                       const struct response *r)
{
    struct read_key keys[ENTRY_MAX];
    for (int i = 0; i < r->count; i++)
        keys[i] = (struct read_key){
            .lane = lane_name(w, r->pushes[i] >> 20),
            .seq = (uint32_t)r->pushes[i] >> 8 & 0xfff,
            .series = 7,
            .nonce = (uint32_t)r->pushes[i] & 0xff,
        };
    (void)readplan_keys(q->plan, (uint32_t)c->token, keys, (uint32_t)r->count, w->now);
}

/* No answer. The program without the rule takes what the disk said in an earlier round. */
static void query_unanswered(struct world *w, struct query *q, const struct call *c, int code)
{
    if (w->broken == A8E_OLDER_ROUND && c->kind == VECTOR && !disk_is_none(q->seen[c->to])) {
        struct read_reply reply = {.disk = q->seen[c->to],
                                   .instance = str_c(w->ing[c->to].name),
                                   .domain = domain_of(w, c->to), .established = true};
        (void)readplan_replied(q->plan, (uint32_t)c->token, &reply, w->now);
        return;
    }
    (void)readplan_failed(q->plan, (uint32_t)c->token, code, w->now);
}

static void query_done(struct world *w, const struct call *c, const struct response *r)
{
    struct query *q = &w->queries[c->owner];
    if (q->plan == NULL || q->generation != c->generation)
        return;
    if (r == NULL || r->code != 0) {
        query_unanswered(w, q, c, r == NULL ? ERR_TIMEOUT : r->code);
    } else if (c->kind == VECTOR) {
        query_vector(w, q, c, r);
    } else if (c->kind == KEYS) {
        query_keys(w, q, c, r);
    } else if (readplan_counted(q->plan, (uint32_t)c->token, w->now) == 0 ||
               w->broken == A8C_LATE_ANSWERS_COUNT) {
        for (int i = 0; i < r->count; i++)
            q->by_push[r->pushes[i]]++;
    }
    pump_query(w, q);
}

/* An answer arrives at the caller, or its timeout (r NULL). */
static void call_done(struct world *w, struct call *c, const struct response *r)
{
    if (!w->nodes[c->from].up || w->nodes[c->from].epoch != c->epoch)
        return;
    bool late = c->over;
    c->over = true;
    if (late && (r == NULL || c->kind == APPEND))
        return; /* answered; late answers of the others reach the machines, which must drop them */
    if (c->kind == APPEND) {
        append_done(w, c, r);
    } else if (c->kind == INTRODUCE) {
        struct member *m = w->ing[c->from].member;
        if (r == NULL || r->code != 0)
            member_failed(m, c->token, w->now);
        else
            (void)member_replied(m, c->token,
                                 &(struct member_reply){r->disk, r->ok, r->fresh, r->your_starts,
                                                        r->roster}, w->now);
        pump_member(w, c->from);
    } else {
        query_done(w, c, r);
    }
}

/* --- I3 ------------------------------------------------------------------------------------ */

static void check_copies(struct world *w)
{
    uint64_t held[ING_MAX];
    for (int i = 0; i < w->n; i++)
        held[i] = store_keys(&w->ing[i].store);
    for (int g = 0; g < w->grave_count; g++)
        held[w->graves[g].domain_of] |= w->graves[g].keys;
    for (int k = 0; k < w->key_count; k++) {
        struct domain_set domains = {.count = 0};
        if ((w->acked >> k & 1) == 0)
            continue;
        for (int i = 0; i < w->n; i++)
            if ((held[i] >> k & 1) != 0)
                domain_set_add(&domains, domain_of(w, i));
        if (domains.count < quorum_of(w->rf))
            fail(w, "I3", "an acknowledged profile on too few domains, key", k);
    }
}

static void check_rows(struct world *w)
{
    for (int i = 0; i < w->n; i++) {
        uint64_t rows = 0;
        for (int k = 0; k < w->ing[i].store.count; k++) {
            const struct entry *e = &w->ing[i].store.entries[k];
            if (e->row != k)
                continue;
            if ((rows >> e->key & 1) != 0)
                fail(w, "I4", "two rows for one key on a disk, key", e->key);
            rows |= 1ull << e->key;
        }
    }
}

/* --- faults -------------------------------------------------------------------------------- */

static bool others_established(const struct world *w, int i)
{
    for (int k = 0; k < w->n; k++) {
        const struct store *s = &w->ing[k].store;
        const struct disk *d = s->roster == NULL ? NULL : roster_find(s->roster, s->id);
        if (k != i && d != NULL && d->established)
            return true;
    }
    return false;
}

/* Lose or damage the disk of a process that is down. Not when it is the last memory of the
 * cluster: that is beyond what can be noticed. */
static void maybe_lose(struct world *w, int i, uint32_t chance)
{
    if (!percent(w, chance) || !others_established(w, i))
        return;
    if (percent(w, 50))
        disk_empty(w, i);
    else
        disk_damage(w, i);
    w->locked = i;
}

static void restart_client(struct world *w, int node)
{
    TRACE(w, "node %d restarts", node);
    w->nodes[node].epoch++;
    rng_bytes(&w->rng, w->nodes[node].writer, WRITER_SIZE);
    roster_free(&w->nodes[node].roster);
    for (int i = 0; i < QUERY_MAX; i++)
        if (w->queries[i].plan != NULL && w->queries[i].node == node)
            readplan_free(&w->queries[i].plan);
}

static void isolate(struct world *w, int node, bool cut)
{
    for (int k = 0; k < NODES; k++)
        w->cut[node][k] = w->cut[k][node] = cut;
}

static int any_ingester(struct world *w)
{
    return (int)below(w, (uint32_t)w->n);
}

static void change_view(struct world *w)
{
    int node = (int)below(w, NODES);
    uint32_t view = 0;
    for (int i = 0; i < w->n; i++)
        if (w->ing[i].exists && percent(w, 92))
            view |= 1u << i;
    w->nodes[node].view = view;
    if (node < w->n && w->ing[node].up) {
        tell_ring(w, node);
        pump_member(w, node);
    }
}

static void chaos_fault(struct world *w)
{
    int i = any_ingester(w), a = (int)below(w, NODES), b = (int)below(w, NODES);
    switch (below(w, 8)) {
    case 0:
    case 1:
        if (w->ing[i].up) {
            crash(w, i, 50 + below(w, percent(w, 30) ? 15000 : 1500));
            maybe_lose(w, i, 30);
        }
        break;
    case 2:
        w->nodes[i].hung_until = w->now + below(w, 6000);
        break;
    case 3:
        w->cut[a][b] = true;
        w->cut[b][a] = w->cut[b][a] || percent(w, 50);
        break;
    case 4:
        isolate(w, i, true);
        break;
    case 5:
        memset(w->cut, 0, sizeof w->cut);
        break;
    case 6:
        restart_client(w, FIRST_DIST + (int)below(w, (uint32_t)(DIST_MAX + QUER_MAX)));
        break;
    default:
        change_view(w);
        break;
    }
}

static void chaos_step(struct world *w)
{
    uint32_t r = below(w, 100);
    if (w->late >= 0 && w->steps > 120 && !w->ing[w->late].exists) {
        w->ing[w->late].exists = true;
        w->expect++;
        for (int k = 0; k < NODES; k++)
            if (k == w->late || percent(w, 70))
                w->nodes[k].view |= 1u << w->late;
        start_ingester(w, w->late);
    }
    if (r < 40)
        push_start(w);
    else if (r < 75)
        query_start(w);
    else if (r < 79 && w->now > 2500)
        chaos_fault(w);
    else if (r < 82)
        change_view(w);
    else if (r < 84)
        memset(w->cut, 0, sizeof w->cut);
    schedule(w, (struct event){.at = w->now + 1 + below(w, 150), .kind = EV_STEP});
}

/* --- single faults ------------------------------------------------------------------------- */

static void single_fault(struct world *w)
{
    int i = any_ingester(w);
    while (w->locked >= 0 && !str_eq(domain_of(w, i), domain_of(w, w->locked)))
        i = any_ingester(w);
    w->impaired = i;
    switch (below(w, 4)) {
    case 0:
        crash(w, i, 500);
        maybe_lose(w, i, 40);
        break;
    case 1:
        crash(w, i, 60000);
        maybe_lose(w, i, 20);
        break;
    case 2:
        w->nodes[i].hung_until = w->now + 60000;
        break;
    default:
        isolate(w, i, true);
        break;
    }
}

static void single_heal(struct world *w)
{
    int i = w->impaired;
    isolate(w, i, false);
    w->nodes[i].hung_until = 0;
    if (!w->ing[i].up)
        start_ingester(w, i);
}

/* Alternate fault and healing; each must be followed by an ack and a complete answer. */
static void single_step(struct world *w)
{
    if (percent(w, 60))
        push_start(w);
    query_start(w);
    if (w->now >= w->fault_at + LIVE_MS) {
        if (w->ack_at <= w->fault_at)
            fail(w, "I5", w->phase % 2 ? "no push acknowledged with one fault, ingester"
                                       : "no push acknowledged after healing, ingester",
                 w->impaired);
        if (w->complete_at <= w->fault_at)
            fail(w, "I5", w->phase % 2 ? "no complete answer with one fault, ingester"
                                       : "no complete answer after healing, ingester",
                 w->impaired);
        w->phase++;
        w->fault_at = w->now;
        TRACE(w, "%s", w->phase % 2 ? "fault" : "heal");
        if (w->phase % 2)
            single_fault(w);
        else
            single_heal(w);
    }
    schedule(w, (struct event){.at = w->now + 300 + below(w, 500), .kind = EV_STEP});
}

/* --- runs ---------------------------------------------------------------------------------- */

static void world_options(struct world *w)
{
    static const uint32_t factors[] = {1, 2, 3, 3, 3, 5};
    w->rf = w->single ? (percent(w, 80) ? 3 : 5) : factors[below(w, 6)];
    w->zones = percent(w, 40) ? (int)(w->rf < 3 ? 2 : w->rf) : 0;
    w->n = 1 + (int)below(w, ING_MAX);
    if (w->single || percent(w, 85))
        w->n = w->n < (int)w->rf ? (int)w->rf : w->n;
    w->same_sets = w->zones == 0 && w->n == (int)w->rf;
    w->distributors = 1 + (int)below(w, DIST_MAX);
    w->queriers = 1 + (int)below(w, QUER_MAX);
    w->late = !w->single && w->n > 1 && percent(w, 25) ? w->n - 1 : -1;
    w->expect = (uint32_t)w->n - (w->late >= 0);
    w->repeats = percent(w, 50) ? 40 : 5;
    if (w->single)
        return;
    w->loss = percent(w, 50) ? below(w, 25) : 0;
    w->doubled = percent(w, 50) ? below(w, 20) : 0;
    w->slow = percent(w, 50) ? below(w, 15) : 0;
    w->truncate = percent(w, 15) ? 20 : 0;
}

static void world_init(struct world *w, uint64_t seed, bool single, enum rule broken, bool trace)
{
    *w = (struct world){.seed = seed, .single = single, .broken = broken, .trace = trace,
                        .impaired = -1, .locked = -1, .next_id = 1};
    rng_seed(&w->rng, seed * 2 + single);
    world_options(w);
    for (int i = 0; i < w->n; i++) {
        struct ingester *g = &w->ing[i];
        snprintf(g->name, sizeof g->name, "in-%d", i);
        if (w->zones > 0)
            snprintf(g->domain, sizeof g->domain, "z%d", i % w->zones);
        else
            snprintf(g->domain, sizeof g->domain, "in-%d", i);
        g->store.id = new_disk(w);
        g->exists = i != w->late;
        if (g->exists)
            schedule(w, (struct event){.at = 1 + below(w, 500), .kind = EV_START, .node = i});
    }
    for (int k = 0; k < NODES; k++) {
        w->nodes[k].up = k >= FIRST_DIST;
        w->nodes[k].view = (1u << w->n) - 1;
        if (w->late >= 0)
            w->nodes[k].view &= ~(1u << w->late);
        rng_bytes(&w->rng, w->nodes[k].writer, WRITER_SIZE);
    }
    TRACE(w, "rf %u, %d ingesters, %d zones, late %d", w->rf, w->n, w->zones, w->late);
    schedule(w, (struct event){.at = 100, .kind = EV_STEP});
}

static void event_free(struct event *e)
{
    if (e->call != NULL)
        call_release(e->call);
    response_free(&e->response);
}

static void world_free(struct world *w)
{
    for (int i = 0; i < w->n; i++) {
        crash(w, i, -1);
        roster_free(&w->ing[i].store.roster);
    }
    for (int i = 0; i < w->push_count; i++)
        ackset_free(&w->pushes[i].acks);
    for (int i = 0; i < QUERY_MAX; i++)
        readplan_free(&w->queries[i].plan);
    for (int i = 0; i < NODES; i++)
        roster_free(&w->nodes[i].roster);
    for (int i = 0; i < w->heap_count; i++)
        event_free(&w->heap[i]);
    mem_free(w->heap);
}

static void on_step(struct world *w)
{
    w->steps++;
    if (w->single)
        single_step(w);
    else
        chaos_step(w);
    if (w->steps % 8 == 0) {
        check_copies(w);
        check_rows(w);
    }
}

static void deliver(struct world *w, struct event *e)
{
    bool current = w->nodes[e->node].up && w->nodes[e->node].epoch == e->epoch;
    switch (e->kind) {
    case EV_REQUEST:
        on_request(w, e->call);
        break;
    case EV_RESPONSE:
        call_done(w, e->call, e->response);
        break;
    case EV_TIMEOUT:
        call_done(w, e->call, NULL);
        break;
    case EV_MEMBER:
        if (current)
            pump_member(w, e->node);
        break;
    case EV_ROSTER:
        if (current)
            on_roster(w, e->node);
        break;
    case EV_SYNC:
        if (current)
            on_sync(w, e->node);
        break;
    case EV_QUERY:
        if (current && w->queries[e->extra].plan != NULL)
            pump_query(w, &w->queries[e->extra]);
        break;
    case EV_STEP:
        on_step(w);
        break;
    case EV_START:
        if (!w->ing[e->node].up && w->ing[e->node].exists)
            start_ingester(w, e->node);
        break;
    }
}

static void run(struct world *w, int steps)
{
    while (w->steps < steps && w->failure[0] == '\0') {
        struct event e = pop(w);
        w->now = e.at > w->now ? e.at : w->now;
        mono_ms hung = e.kind == EV_STEP ? 0 : w->nodes[e.node].hung_until;
        if (hung > w->now) { /* it does nothing until then; what was sent to it waits */
            e.at = hung;
            schedule(w, e);
            continue;
        }
        deliver(w, &e);
        event_free(&e);
    }
}

struct totals {
    uint64_t seeds, completes, uncertains, rounds, acks;
    char failure[200]; /* of the last seed */
};

/* One seed; true when nothing was found. */
static bool run_seed(uint64_t seed, bool single, enum rule broken, bool trace, struct totals *t)
{
    static struct world w;
    world_init(&w, seed, single, broken, trace);
    run(&w, single ? 500 : 700);
    bool ok = w.failure[0] == '\0';
    if (!ok && broken == NOTHING)
        printf("seed %llu%s: %s\n", (unsigned long long)seed, single ? " --single" : "",
               w.failure);
    else if (trace)
        printf("seed %llu: %s\n", (unsigned long long)seed, ok ? "nothing found" : w.failure);
    memcpy(t->failure, w.failure, sizeof t->failure);
    t->seeds++;
    t->completes += w.completes;
    t->uncertains += w.uncertains;
    t->rounds += w.rounds;
    t->acks += w.acks;
    world_free(&w);
    return ok;
}

/* Seeds until the missing rule is noticed; 0: it is not. */
static uint64_t seeds_to_detect(enum rule broken, uint64_t limit, char *how, size_t how_size)
{
    struct totals t = {0};
    for (uint64_t seed = 1; seed <= limit; seed++) {
        if (run_seed(seed, false, broken, false, &t))
            continue;
        snprintf(how, how_size, "%s", t.failure);
        return seed;
    }
    return 0;
}

static uint64_t elapsed_ms(clock_t since)
{
    return (uint64_t)(clock() - since) * 1000 / CLOCKS_PER_SEC;
}

struct options {
    uint64_t first, last, budget_ms;
    bool single, trace, rules_too, all_rules;
    enum rule broken;
};

static int check_rules(const struct options *o, uint64_t *checks)
{
    int failed = 0;
    for (int r = 1; r < RULES; r++) {
        uint32_t limit = o->all_rules ? rules[r].slow : rules[r].fast;
        char how[200] = "";
        uint64_t seed = seeds_to_detect((enum rule)r, limit, how, sizeof how);
        if (seed == 0)
            printf("without %s nothing is noticed in %u seeds\n", rules[r].name, limit);
        else
            printf("without %-12s noticed by seed %llu: %s\n", rules[r].name,
                   (unsigned long long)seed, how);
        failed += seed == 0;
        *checks += 1;
    }
    return failed;
}

static int run_all(const struct options *o)
{
    struct totals t[2] = {{0}, {0}};
    clock_t start = clock();
    int failed = 0;
    for (uint64_t seed = o->first; seed <= o->last; seed++) {
        if (o->budget_ms > 0 && elapsed_ms(start) > o->budget_ms)
            break;
        if (!o->single)
            failed += !run_seed(seed, false, o->broken, o->trace, &t[0]);
        if (o->single || (o->rules_too && seed % 4 == 0)) /* they take ten times as long */
            failed += !run_seed(seed, true, o->broken, o->trace, &t[1]);
    }
    for (int i = 0; i < 2; i++)
        if (t[i].seeds > 0)
            printf("%s: %llu seeds, %llu acks, %llu complete and %llu uncertain answers, "
                   "%llu rounds\n", i == 0 ? "chaos" : "single faults",
                   (unsigned long long)t[i].seeds, (unsigned long long)t[i].acks,
                   (unsigned long long)t[i].completes, (unsigned long long)t[i].uncertains,
                   (unsigned long long)t[i].rounds);
    if (o->rules_too)
        failed += check_rules(o, &t[0].seeds);
    printf("%llu passed, %d failed\n", (unsigned long long)(t[0].seeds + t[1].seeds) -
                                        (unsigned long long)failed, failed);
    return failed > 0;
}

static int detect(const char *name)
{
    for (int r = 1; r < RULES; r++) {
        if (strcmp(rules[r].name, name) != 0)
            continue;
        char how[200] = "";
        uint64_t seed = seeds_to_detect((enum rule)r, rules[r].slow, how, sizeof how);
        printf("without %s: %s by seed %llu: %s\n", name, seed > 0 ? "noticed" : "NOT noticed",
               (unsigned long long)seed, how);
        return seed == 0;
    }
    fprintf(stderr, "no rule %s\n", name);
    return 2;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim_exact [--short|--long|--seeds A-B [--single] [--trace]|"
                    "--break RULE]\nrules:");
    for (int r = 1; r < RULES; r++)
        fprintf(stderr, " %s", rules[r].name);
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct options o = {.first = 1, .last = UINT64_MAX - 1, .budget_ms = 18000,
                        .rules_too = true};
    setvbuf(stdout, NULL, _IOLBF, 0); /* what is found is said, whatever comes then */
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--break") == 0 && i + 1 < argc)
            return detect(argv[i + 1]);
        if (strcmp(arg, "--short") == 0) {
            o.last = 24;
        } else if (strcmp(arg, "--long") == 0) {
            o.last = 100000;
            o.budget_ms = 0;
            o.all_rules = true;
        } else if (strcmp(arg, "--single") == 0) {
            o.single = true;
        } else if (strcmp(arg, "--trace") == 0) {
            o.trace = true;
        } else if (strcmp(arg, "--seeds") == 0 && i + 1 < argc) {
            char *end = NULL;
            o.first = o.last = strtoull(argv[++i], &end, 10);
            if (*end == '-')
                o.last = strtoull(end + 1, NULL, 10);
            o.budget_ms = 0;
            o.rules_too = false;
        } else {
            return usage();
        }
    }
    return run_all(&o);
}
