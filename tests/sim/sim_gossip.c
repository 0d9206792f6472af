/* Whole clusters of real gossip cores in one process, under one seed: virtual time, a network
 * that loses, delays, duplicates, reorders and splits, nodes that die and come back under the
 * same name. After each storm all must agree: the same members, the same value of a key.
 *
 *   sim_gossip              a fixed list of seeds and one fresh one (`make test`)
 *   sim_gossip --short      a few seeds (sanitizer runs)
 *   sim_gossip --long       thousands
 *   sim_gossip SEED...      these seeds, with a line per happening
 *
 * What must hold:
 *   at once, after every event: a node that runs never believes itself dead; nobody holds an
 *   incarnation of a member that the member itself has not reached; what a node wrote to the key
 *   never goes back at any node.
 *   after healing, within a bound: every running node lists exactly the running ones, and holds
 *   the same value, in which every running node's last write is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/gossip/kv_test_codec.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "gossip/core.h"

enum {
    NODES_MAX = 300,
    SEEDS = 3,            /* of the join list */
    STREAM_CHUNK = 3000,  /* most bytes that arrive at once */
    SETTLE_MS = 900000,   /* longest time to agree after healing */
    WALL0 = 1700000000,   /* seconds */
};

static const struct str key = STR_INIT("sim/key");

enum what { EV_TICK, EV_PACKET, EV_CONNECT, EV_BYTES, EV_END, EV_STORM };

struct event {
    mono_ms at;
    uint64_t id; /* order of making: settles ties */
    enum what what;
    uint32_t node, life; /* whom it concerns, in which of its lives */
    uint32_t from;
    uint32_t conn;
    struct buf bytes;
};

struct node {
    struct gossip_core *core; /* NULL: does not run */
    char name[TV_NAME];
    struct gossip_addr addr;
    uint32_t life;
    uint32_t side;         /* of the partition */
    int64_t skew_s;        /* of its wall clock */
    mono_ms tick_at;       /* when its next tick stands in the heap */
    int64_t written_at;    /* its last write: seconds, number */
    uint32_t written;
    uint32_t incarnation_max; /* ever announced in any life */
};

/* A stream: both ends. */
struct conn {
    uint32_t node[2], life[2], stream[2];
    bool open[2];
    mono_ms last[2]; /* arrival of the last bytes at each end: TCP keeps order */
};

struct sim {
    struct rng rng;
    mono_ms now;
    uint64_t seed, last_id, events;
    struct event *heap;
    size_t count, cap;
    struct node nodes[NODES_MAX];
    uint32_t node_count;
    struct conn *conns;
    uint32_t conn_count, conn_cap;
    uint32_t loss, dup;    /* per thousand */
    uint32_t delay_ms;     /* longest */
    bool split, one_way;
    bool talk;
    bool failed;
};

static void fail(struct sim *s, const char *what, const char *who)
{
    if (!s->failed)
        printf("seed %" PRIu64 ": at %" PRId64 " ms: %s (%s)\n", s->seed, s->now, what, who);
    s->failed = true;
}

/* --- the heap of events --------------------------------------------------------------------- */

static bool sooner(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->id < b->id;
}

static void push(struct sim *s, struct event ev)
{
    if (s->count == s->cap) {
        s->cap = s->cap * 2 + 1024;
        s->heap = mem_realloc_array(s->heap, s->cap, sizeof *s->heap);
        ASSERT(s->heap != NULL);
    }
    ev.id = ++s->last_id;
    size_t i = s->count++;
    for (; i > 0 && sooner(&ev, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = ev;
}

static struct event pop(struct sim *s)
{
    struct event first = s->heap[0], last = s->heap[--s->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->count)
            break;
        if (child + 1 < s->count && sooner(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!sooner(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return first;
}

/* --- the network ---------------------------------------------------------------------------- */

static struct gossip_time time_of(const struct sim *s, const struct node *n)
{
    return (struct gossip_time){s->now, (WALL0 + n->skew_s) * 1000 + s->now};
}

static mono_ms delay(struct sim *s)
{
    return 1 + (mono_ms)rng_below(&s->rng, s->delay_ms);
}

static bool reaches(const struct sim *s, uint32_t from, uint32_t to)
{
    if (!s->split || s->nodes[from].side == s->nodes[to].side)
        return true;
    return s->one_way && s->nodes[from].side < s->nodes[to].side;
}

static uint32_t node_at(const struct sim *s, const struct gossip_addr *a)
{
    (void)s;
    return (uint32_t)a->ip[14] << 8 | a->ip[15];
}

static void send_packet(struct sim *s, uint32_t from, struct memberlist_action *a)
{
    uint32_t to = node_at(s, &a->to);
    uint32_t copies = rng_chance(&s->rng, s->dup, 1000) ? 2 : 1;
    for (uint32_t i = 0; i < copies && to < s->node_count; i++) {
        if (!reaches(s, from, to) || rng_chance(&s->rng, s->loss, 1000))
            continue;
        struct buf copy = {0};
        buf_str(&copy, buf_view(&a->bytes));
        push(s, (struct event){.at = s->now + delay(s),
                               .what = EV_PACKET,
                               .node = to,
                               .life = s->nodes[to].life,
                               .from = from,
                               .bytes = copy});
    }
}

/* Bytes for end `end` of a stream, in pieces, in order. */
static void stream_send(struct sim *s, uint32_t conn, int end, struct str bytes)
{
    while (bytes.len > 0) {
        struct conn *c = &s->conns[conn];
        size_t size = 1 + (size_t)rng_below(&s->rng, STREAM_CHUNK);
        struct buf copy = {0};
        mono_ms at = s->now + delay(s);
        size = size < bytes.len ? size : bytes.len;
        buf_str(&copy, str_head(bytes, size));
        c->last[end] = at > c->last[end] ? at : c->last[end];
        push(s, (struct event){.at = c->last[end],
                               .what = EV_BYTES,
                               .node = c->node[end],
                               .life = c->life[end],
                               .from = (uint32_t)end,
                               .conn = conn,
                               .bytes = copy});
        bytes = str_skip(bytes, size);
    }
}

static void stream_end(struct sim *s, uint32_t conn, int end)
{
    struct conn *c = &s->conns[conn];
    mono_ms at = s->now + delay(s);
    c->last[end] = at > c->last[end] ? at : c->last[end];
    push(s, (struct event){.at = c->last[end],
                           .what = EV_END,
                           .node = c->node[end],
                           .life = c->life[end],
                           .from = (uint32_t)end,
                           .conn = conn});
}

static void stream_open(struct sim *s, uint32_t from, struct memberlist_action *a)
{
    if (s->conn_count == s->conn_cap) {
        s->conn_cap = s->conn_cap * 2 + 64;
        s->conns = mem_realloc_array(s->conns, s->conn_cap, sizeof *s->conns);
        ASSERT(s->conns != NULL);
    }
    uint32_t to = node_at(s, &a->to), id = s->conn_count++;
    s->conns[id] = (struct conn){.node = {from, to},
                                 .life = {s->nodes[from].life, 0},
                                 .stream = {a->stream, 0},
                                 .open = {true, false}};
    if (to >= s->node_count || s->nodes[to].core == NULL || !reaches(s, from, to) ||
        rng_chance(&s->rng, s->loss, 1000)) {
        s->conns[id].last[0] = s->now + 500;
        stream_end(s, id, 0);
        return;
    }
    s->conns[id].life[1] = s->nodes[to].life;
    struct buf copy = {0};
    buf_str(&copy, buf_view(&a->bytes));
    push(s, (struct event){.at = s->now + delay(s),
                           .what = EV_CONNECT,
                           .node = to,
                           .life = s->nodes[to].life,
                           .from = from,
                           .conn = id,
                           .bytes = copy});
}

/* The stream of a node by its own number, and which end it is. */
static struct conn *conn_of(struct sim *s, uint32_t node, uint32_t stream, int *end)
{
    for (uint32_t i = s->conn_count; i-- > 0;)
        for (*end = 0; *end < 2; (*end)++) {
            struct conn *c = &s->conns[i];
            if (c->open[*end] && c->node[*end] == node && c->stream[*end] == stream &&
                c->life[*end] == s->nodes[node].life)
                return c;
        }
    return NULL;
}

static void perform(struct sim *s, uint32_t node, struct memberlist_action *a)
{
    int end = 0;
    struct conn *c = NULL;
    switch (a->verb) {
    case ML_PACKET:
        send_packet(s, node, a);
        break;
    case ML_STREAM_OPEN:
        stream_open(s, node, a);
        break;
    case ML_STREAM_WRITE:
        c = conn_of(s, node, a->stream, &end);
        if (c != NULL && reaches(s, node, c->node[1 - end]))
            stream_send(s, (uint32_t)(c - s->conns), 1 - end, buf_view(&a->bytes));
        break;
    case ML_STREAM_CLOSE:
        c = conn_of(s, node, a->stream, &end);
        if (c != NULL) {
            c->open[end] = false;
            if (reaches(s, node, c->node[1 - end]))
                stream_end(s, (uint32_t)(c - s->conns), 1 - end);
        }
        break;
    case ML_JOINED:
        break;
    }
    buf_reset(&a->bytes);
}

/* --- nodes ---------------------------------------------------------------------------------- */

static void check_node(struct sim *s, uint32_t i);

/* After an event of node i: its actions, its next tick, what must hold. */
static void after(struct sim *s, uint32_t i)
{
    struct node *n = &s->nodes[i];
    struct memberlist_action a;
    while (gossip_core_next(n->core, &a))
        perform(s, i, &a);
    mono_ms due = gossip_core_due(n->core);
    due = due > s->now ? due : s->now + 1;
    if (due < n->tick_at || n->tick_at <= s->now) {
        n->tick_at = due;
        push(s, (struct event){.at = due, .what = EV_TICK, .node = i, .life = n->life});
    }
    check_node(s, i);
}

static void on_line(void *arg, enum log_level level, struct str line)
{
    (void)arg;
    (void)level;
    printf("    %.*s\n", STR_ARG(line));
}

static struct log talking = {.sink = on_line};

static void node_start(struct sim *s, uint32_t i)
{
    struct node *n = &s->nodes[i];
    struct gossip_core_config c = gossip_core_config_default();
    struct gossip_addr seeds[SEEDS];
    n->addr = (struct gossip_addr){.ip = {[10] = 0xff, 0xff, 10, 0}, .size = 16, .port = 7946};
    n->addr.ip[14] = (uint8_t)(i >> 8);
    n->addr.ip[15] = (uint8_t)i;
    n->life++;
    c.members.name = str_c(n->name);
    c.members.addr = n->addr;
    c.seed = rng_u64(&s->rng);
    ASSERT(gossip_core_init(&n->core, &c, s->talk ? &talking : NULL, time_of(s, n), NULL) == 0);
    ASSERT(kv_register(gossip_core_kv(n->core), &tv_codec) == 0);
    for (uint32_t k = 0; k < SEEDS; k++)
        seeds[k] = (struct gossip_addr){
            .ip = {[10] = 0xff, 0xff, 10, 0, 0, (uint8_t)k}, .size = 16, .port = 7946};
    ASSERT(gossip_core_seeds(n->core, seeds, SEEDS, time_of(s, n)) == 0);
    n->tick_at = 0;
    after(s, i);
}

static void node_kill(struct sim *s, uint32_t i)
{
    struct node *n = &s->nodes[i];
    gossip_core_free(&n->core);
    n->life++;
    for (uint32_t k = 0; k < s->conn_count; k++) /* the kernel closes its sockets */
        for (int end = 0; end < 2; end++)
            if (s->conns[k].open[end] && s->conns[k].node[end] == i) {
                s->conns[k].open[end] = false;
                stream_end(s, k, 1 - end);
            }
}

static int edit_own(void *arg, void **value)
{
    struct node *n = arg;
    if (*value == NULL && (*value = tv_new()) == NULL)
        return ERR_NOMEM;
    tv_put(*value, n->name, n->written_at, n->written);
    return KV_STORE;
}

static void node_write(struct sim *s, uint32_t i)
{
    struct node *n = &s->nodes[i];
    struct gossip_time t = time_of(s, n);
    int64_t before = n->written_at;
    n->written_at = t.wall / 1000 > before ? t.wall / 1000 : before + 1;
    n->written++;
    ASSERT(kv_cas(gossip_core_kv(n->core), key, "test", edit_own, n, t.wall) == 0);
    gossip_core_tick(n->core, t);
    after(s, i);
}

/* --- what must hold at once ----------------------------------------------------------------- */

static void check_node(struct sim *s, uint32_t i)
{
    struct node *n = &s->nodes[i];
    const struct members *m = memberlist_members(gossip_core_members(n->core));
    const struct member *self = members_self(m);
    if (self->state != MEMBER_ALIVE)
        fail(s, "a running node holds itself for dead", n->name);
    if (self->incarnation > n->incarnation_max)
        n->incarnation_max = self->incarnation;
    if (s->events % 64 != 0) /* the rest is dear */
        return;
    for (size_t k = 0; k < members_count(m); k++) {
        const struct member *other = members_at(m, k);
        const struct node *really = &s->nodes[node_at(s, &other->addr)];
        if (!str_eq(other->name, str_c(really->name)))
            fail(s, "a member stands at another's address", really->name);
        if (other->incarnation > really->incarnation_max)
            fail(s, "an incarnation that its member never had", really->name);
    }
    const struct tv *v = kv_get(gossip_core_kv(n->core), key);
    for (size_t k = 0; v != NULL && k < v->count; k++)
        for (uint32_t w = 0; w < s->node_count; w++)
            if (strcmp(s->nodes[w].name, v->items[k].name) == 0 &&
                (v->items[k].at > s->nodes[w].written_at || v->items[k].left))
                fail(s, "a value that nobody wrote", n->name);
}

/* --- events --------------------------------------------------------------------------------- */

static void on_connect_event(struct sim *s, struct event *ev)
{
    struct conn *c = &s->conns[ev->conn];
    struct node *n = &s->nodes[ev->node], *from = &s->nodes[ev->from];
    if (from->core != NULL && from->life == c->life[0] && c->open[0]) {
        gossip_core_on_connect(from->core, c->stream[0], time_of(s, from));
        after(s, ev->from);
    }
    c = &s->conns[ev->conn]; /* the array may have moved */
    c->stream[1] = gossip_core_on_accept(n->core, &from->addr, time_of(s, n));
    c->open[1] = c->stream[1] != 0;
    if (c->open[1])
        stream_send(s, ev->conn, 1, buf_view(&ev->bytes));
    else
        stream_end(s, ev->conn, 0);
}

static void deliver(struct sim *s, struct event *ev)
{
    struct node *n = &s->nodes[ev->node];
    bool lives = n->core != NULL && n->life == ev->life;
    struct conn *c = ev->what >= EV_CONNECT ? &s->conns[ev->conn] : NULL;
    if (!lives)
        return;
    if (ev->what == EV_TICK) {
        gossip_core_tick(n->core, time_of(s, n));
    } else if (ev->what == EV_PACKET) {
        gossip_core_on_packet(n->core, &s->nodes[ev->from].addr, buf_view(&ev->bytes),
                              time_of(s, n));
    } else if (ev->what == EV_CONNECT) {
        on_connect_event(s, ev);
    } else if (c->open[ev->from]) {
        uint32_t stream = c->stream[ev->from];
        if (ev->what == EV_BYTES) {
            gossip_core_on_bytes(n->core, stream, buf_view(&ev->bytes), time_of(s, n));
        } else {
            /* Half-closed by the peer: the node closes its side when it has seen it. */
            gossip_core_on_end(n->core, stream, 0, time_of(s, n));
            s->conns[ev->conn].open[ev->from] = false;
        }
    }
    after(s, ev->node);
}

static void run_until(struct sim *s, mono_ms end)
{
    while (!s->failed && s->count > 0 && s->heap[0].at <= end) {
        struct event ev = pop(s);
        s->now = ev.at;
        s->events++;
        deliver(s, &ev);
        buf_reset(&ev.bytes);
    }
    s->now = end;
}

/* --- agreement ------------------------------------------------------------------------------ */

static bool lists_exactly_the_running(const struct sim *s, const struct node *n)
{
    const struct members *m = memberlist_members(gossip_core_members(n->core));
    size_t running = 0;
    for (uint32_t i = 0; i < s->node_count; i++) {
        const struct member *other = members_get(m, str_c(s->nodes[i].name));
        bool listed = other != NULL && other->state == MEMBER_ALIVE;
        if (listed != (s->nodes[i].core != NULL))
            return false;
        running += listed ? 1 : 0;
    }
    return running == members_active_count(m);
}

static bool agree(const struct sim *s)
{
    const struct tv *first = NULL;
    for (uint32_t i = 0; i < s->node_count; i++) {
        const struct node *n = &s->nodes[i];
        if (n->core == NULL)
            continue;
        const struct tv *v = kv_get(gossip_core_kv(n->core), key);
        if (v == NULL || !lists_exactly_the_running(s, n))
            return false;
        if (first != NULL && (v->count != first->count ||
                              memcmp(v->items, first->items, v->count * sizeof v->items[0]) != 0))
            return false;
        first = v;
    }
    for (uint32_t i = 0; i < s->node_count && first != NULL; i++) {
        const struct node *n = &s->nodes[i];
        const struct tv_item *item = tv_find(first, n->name);
        if (n->core != NULL && n->written > 0 && (item == NULL || item->number != n->written))
            return false;
    }
    return true;
}

static mono_ms until_agreed(struct sim *s, const char *after_what)
{
    mono_ms start = s->now;
    while (!s->failed && !agree(s)) {
        if (s->now - start > SETTLE_MS) {
            fail(s, "no agreement in time", after_what);
            return SETTLE_MS;
        }
        run_until(s, s->now + 500);
    }
    return s->now - start;
}

/* --- one seed ------------------------------------------------------------------------------- */

static uint32_t running_one(struct sim *s)
{
    for (;;) {
        uint32_t i = (uint32_t)rng_below(&s->rng, s->node_count);
        if (s->nodes[i].core != NULL)
            return i;
    }
}

static uint32_t running(const struct sim *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->node_count; i++)
        count += s->nodes[i].core != NULL ? 1 : 0;
    return count;
}

/* Back under the same name, incarnations from 1 again. What it wrote last may have died with it,
 * so it writes anew, as every ring member does. */
static void node_restart(struct sim *s, uint32_t i)
{
    node_start(s, i);
    node_write(s, i);
}

/* Something happens to the cluster. */
static void storm(struct sim *s)
{
    uint32_t i = running_one(s);
    switch (rng_below(&s->rng, 6)) {
    case 0:
        if (running(s) > 2 && i >= SEEDS) /* a seed at least stays: joiners need one */
            node_kill(s, i);
        break;
    case 1:
        for (i = 0; i < s->node_count && s->nodes[i].core != NULL; i++)
            ;
        if (i < s->node_count)
            node_restart(s, i);
        break;
    case 2:
        s->split = !s->split;
        s->one_way = rng_chance(&s->rng, 1, 3);
        for (i = 0; i < s->node_count; i++)
            s->nodes[i].side = rng_chance(&s->rng, 1, 3) ? 1 : 0;
        break;
    case 3: /* killed and at once back */
        node_kill(s, i);
        node_restart(s, i);
        break;
    default:
        node_write(s, i);
    }
}

static void sim_start(struct sim *s, uint64_t seed, uint32_t nodes_max, bool talk)
{
    *s = (struct sim){.seed = seed, .talk = talk};
    rng_seed(&s->rng, seed);
    s->node_count = 4 + (uint32_t)rng_below(&s->rng, nodes_max - 3);
    s->loss = (uint32_t)rng_below(&s->rng, 100);
    s->dup = (uint32_t)rng_below(&s->rng, 30);
    s->delay_ms = 1 + (uint32_t)rng_below(&s->rng, 60);
    for (uint32_t i = 0; i < s->node_count; i++) {
        (void)snprintf(s->nodes[i].name, sizeof s->nodes[i].name, "node-%u", i);
        s->nodes[i].skew_s = (int64_t)rng_below(&s->rng, 20) - 10;
    }
}

static void sim_free(struct sim *s)
{
    for (uint32_t i = 0; i < s->node_count; i++)
        gossip_core_free(&s->nodes[i].core);
    for (size_t i = 0; i < s->count; i++)
        buf_reset(&s->heap[i].bytes);
    mem_free(s->heap);
    mem_free(s->conns);
}

/* Streams that are over at both ends need not be remembered. */
static void forget_streams(struct sim *s)
{
    uint32_t busy = 0;
    for (size_t i = 0; i < s->count; i++)
        busy += s->heap[i].what >= EV_CONNECT ? 1 : 0;
    for (uint32_t i = 0; i < s->conn_count && busy == 0; i++)
        busy += s->conns[i].open[0] || s->conns[i].open[1] ? 1 : 0;
    if (busy == 0)
        s->conn_count = 0;
}

static bool run_seed(uint64_t seed, uint32_t nodes_max, bool talk)
{
    static struct sim s;
    sim_start(&s, seed, nodes_max, talk);
    for (uint32_t i = 0; i < s.node_count && !s.failed; i++) {
        node_start(&s, i);
        run_until(&s, s.now + (mono_ms)rng_below(&s.rng, 100));
    }
    node_write(&s, 0);
    mono_ms formed = until_agreed(&s, "start");
    uint64_t storms = 10 + rng_below(&s.rng, 30);
    for (uint64_t i = 0; i < storms && !s.failed; i++) {
        storm(&s);
        run_until(&s, s.now + 100 + (mono_ms)rng_below(&s.rng, 20000));
        forget_streams(&s);
    }
    s.split = false;
    mono_ms healed = until_agreed(&s, "healing");
    run_until(&s, s.now + 60000); /* and it stays so */
    if (!s.failed && !agree(&s))
        fail(&s, "agreement was lost again", "after healing");
    if (talk || s.failed)
        printf("seed %" PRIu64 ": %u nodes, loss %u/1000, %s: formed in %" PRId64
               " ms, healed in %" PRId64 " ms, %" PRIu64 " events\n",
               seed, s.node_count, s.loss, s.failed ? "FAILED" : "ok", formed, healed, s.events);
    bool ok = !s.failed;
    sim_free(&s);
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t fixed = 30, passed = 0, failed = 0;
    bool named = argc > 1 && argv[1][0] != '-';
    if (argc > 1 && strcmp(argv[1], "--short") == 0)
        fixed = 4;
    if (argc > 1 && strcmp(argv[1], "--long") == 0)
        fixed = 5000;
    for (int i = 1; named && i < argc; i++) {
        uint64_t seed = strtoull(argv[i], NULL, 10);
        *(run_seed(seed, seed % 10 == 0 ? 150 : 30, true) ? &passed : &failed) += 1;
    }
    for (uint64_t seed = 1; !named && seed <= fixed; seed++) /* every tenth is a large cluster */
        *(run_seed(seed, seed % 10 == 0 ? 150 : 30, false) ? &passed : &failed) += 1;
    if (!named) {
        uint64_t fresh = (uint64_t)clock_wall_ns();
        printf("fresh seed %" PRIu64 "\n", fresh);
        *(run_seed(fresh, fresh % 10 == 0 ? 150 : 30, false) ? &passed : &failed) += 1;
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
