/* tests/lib/gossip_world.c - the event loop of the world, its network and its checks. */
#include "gossip_world.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    STREAM_CHUNK = 3000, /* most bytes of a small stream that arrive at once */
    BASE_PORT = 7946,
};

#define NO_CONN UINT32_MAX

enum what { EV_TICK, EV_PACKET, EV_CONNECT, EV_BYTES, EV_END };

struct world_event {
    mono_ms at;
    uint64_t id; /* order of making: settles ties */
    enum what what;
    uint32_t node, life; /* whom it concerns, in which of its lives */
    struct gossip_addr from;
    uint32_t conn;
    int end;
    struct buf bytes;
};

/* A stream: both ends. Reused when both are closed and no event speaks of it. */
struct world_conn {
    uint32_t node[2], life[2], stream[2];
    bool open[2];
    mono_ms last[2]; /* arrival of the last bytes at each end: TCP keeps order */
    uint32_t pending; /* events */
    uint32_t next_free;
};

void world_fail(struct world *w, const char *what, const char *who)
{
    if (!w->failed)
        printf("seed %" PRIu64 ": at %" PRId64 " ms: %s (%s)\n", w->seed, w->now, what, who);
    w->failed = true;
}

/* --- the heap of events --------------------------------------------------------------------- */

static bool sooner(const struct world_event *a, const struct world_event *b)
{
    return a->at != b->at ? a->at < b->at : a->id < b->id;
}

static void push(struct world *w, struct world_event ev)
{
    if (w->count == w->cap) {
        w->cap = w->cap * 2 + 1024;
        w->heap = mem_realloc_array(w->heap, w->cap, sizeof *w->heap);
        ASSERT(w->heap != NULL);
    }
    if (ev.id == 0)
        ev.id = ++w->last_id;
    size_t i = w->count++;
    for (; i > 0 && sooner(&ev, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = ev;
}

static struct world_event pop(struct world *w)
{
    struct world_event first = w->heap[0], last = w->heap[--w->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->count)
            break;
        if (child + 1 < w->count && sooner(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!sooner(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return first;
}

/* --- the network ---------------------------------------------------------------------------- */

struct gossip_time world_time(const struct world *w, uint32_t n)
{
    return (struct gossip_time){w->now,
                                (WORLD_WALL0_S + w->nodes[n].skew_s) * 1000 + w->now};
}

/* When what node `from` sends now arrives. */
static mono_ms arrival(struct world *w, uint32_t from)
{
    uint32_t span = w->delay_ms > w->delay_min_ms ? w->delay_ms - w->delay_min_ms : 0;
    mono_ms blocked = w->nodes[from].blocked_until;
    return (blocked > w->now ? blocked : w->now) + w->delay_min_ms +
           (mono_ms)rng_below(&w->rng, (uint64_t)span + 1);
}

static bool reaches(const struct world *w, uint32_t from, uint32_t to)
{
    if (!w->split || w->nodes[from].side == w->nodes[to].side)
        return true;
    return w->one_way && w->nodes[from].side < w->nodes[to].side;
}

static struct gossip_addr addr_of(uint32_t n, uint32_t house)
{
    struct gossip_addr a = {.ip = {[10] = 0xff, 0xff, 10, 0}, .size = 16};
    a.ip[14] = (uint8_t)(n >> 8);
    a.ip[15] = (uint8_t)n;
    a.port = (uint16_t)(BASE_PORT + house);
    return a;
}

static uint32_t number_of(const struct gossip_addr *a)
{
    return (uint32_t)a->ip[14] << 8 | a->ip[15];
}

uint32_t world_at(const struct world *w, const struct gossip_addr *a)
{
    uint32_t n = number_of(a);
    return n < w->node_count && gossip_addr_eq(a, &w->nodes[n].addr) ? n : UINT32_MAX;
}

static void send_packet(struct world *w, uint32_t from, struct memberlist_action *a)
{
    uint32_t to = world_at(w, &a->to);
    uint32_t copies = rng_chance(&w->rng, w->dup, 1000) ? 2 : 1;
    w->packets++;
    w->packet_bytes += a->bytes.size;
    for (uint32_t i = 0; i < copies && to != UINT32_MAX; i++) {
        struct world_event ev = {.at = arrival(w, from),
                                 .what = EV_PACKET,
                                 .node = to,
                                 .life = w->nodes[to].life,
                                 .from = w->nodes[from].addr,
                                 .conn = NO_CONN};
        if (w->nodes[to].core == NULL || !reaches(w, from, to) ||
            rng_chance(&w->rng, w->loss, 1000))
            continue;
        if (i + 1 == copies) {
            ev.bytes = a->bytes;
            a->bytes = (struct buf){0};
        } else {
            buf_str(&ev.bytes, buf_view(&a->bytes));
        }
        push(w, ev);
    }
}

/* --- streams -------------------------------------------------------------------------------- */

static void conn_event(struct world *w, uint32_t conn, int end, enum what what, struct buf bytes)
{
    struct world_conn *c = &w->conns[conn];
    mono_ms at = arrival(w, c->node[1 - end]);
    c->last[end] = at > c->last[end] ? at : c->last[end];
    c->pending++;
    push(w, (struct world_event){.at = c->last[end],
                                 .what = what,
                                 .node = c->node[end],
                                 .life = c->life[end],
                                 .conn = conn,
                                 .end = end,
                                 .bytes = bytes});
}

/* Bytes for end `end` of a stream, in pieces (few of large ones), in order. */
static void stream_send(struct world *w, uint32_t conn, int end, struct str bytes)
{
    size_t most = bytes.len / 8 > STREAM_CHUNK ? bytes.len / 8 : STREAM_CHUNK;
    while (bytes.len > 0) {
        size_t size = 1 + (size_t)rng_below(&w->rng, most);
        struct buf copy = {0};
        size = size < bytes.len ? size : bytes.len;
        buf_str(&copy, str_head(bytes, size));
        conn_event(w, conn, end, EV_BYTES, copy);
        bytes = str_skip(bytes, size);
    }
}

static uint32_t conn_new(struct world *w)
{
    uint32_t id = w->conn_free;
    if (id != NO_CONN) {
        w->conn_free = w->conns[id].next_free;
        return id;
    }
    if (w->conn_count == w->conn_cap) {
        w->conn_cap = w->conn_cap * 2 + 64;
        w->conns = mem_realloc_array(w->conns, w->conn_cap, sizeof *w->conns);
        ASSERT(w->conns != NULL);
    }
    return w->conn_count++;
}

static void conn_drop_idle(struct world *w, uint32_t id)
{
    struct world_conn *c = &w->conns[id];
    if (c->pending > 0 || c->open[0] || c->open[1])
        return;
    c->next_free = w->conn_free;
    w->conn_free = id;
}

static void end_open(struct world *w, uint32_t conn, int end, uint32_t stream)
{
    struct world_conn *c = &w->conns[conn];
    struct world_node *n = &w->nodes[c->node[end]];
    c->open[end] = true;
    c->stream[end] = stream;
    if (n->end_count == n->end_cap) {
        n->end_cap = n->end_cap * 2 + 4;
        n->ends = mem_realloc_array(n->ends, n->end_cap, sizeof *n->ends);
        ASSERT(n->ends != NULL);
    }
    n->ends[n->end_count++] = (struct world_end){stream, conn, end};
}

static void end_close(struct world *w, uint32_t conn, int end)
{
    struct world_conn *c = &w->conns[conn];
    struct world_node *n = &w->nodes[c->node[end]];
    if (!c->open[end])
        return;
    c->open[end] = false;
    for (uint32_t i = 0; i < n->end_count; i++)
        if (n->ends[i].conn == conn && n->ends[i].end == end) {
            n->ends[i] = n->ends[--n->end_count];
            break;
        }
}

static void stream_open(struct world *w, uint32_t from, struct memberlist_action *a)
{
    uint32_t to = world_at(w, &a->to), id = conn_new(w);
    bool heard = to != UINT32_MAX && w->nodes[to].core != NULL && reaches(w, from, to) &&
                 !rng_chance(&w->rng, w->loss, 1000);
    w->conns[id] = (struct world_conn){.node = {from, heard ? to : from},
                                       .life = {w->nodes[from].life, 0}};
    end_open(w, id, 0, a->stream);
    if (!heard) {
        w->conns[id].last[0] = w->now + 500;
        conn_event(w, id, 0, EV_END, (struct buf){0});
        return;
    }
    w->conns[id].life[1] = w->nodes[to].life;
    conn_event(w, id, 1, EV_CONNECT, a->bytes);
    a->bytes = (struct buf){0};
}

static const struct world_end *end_of(const struct world *w, uint32_t node, uint32_t stream)
{
    const struct world_node *n = &w->nodes[node];
    for (uint32_t i = 0; i < n->end_count; i++)
        if (n->ends[i].stream == stream)
            return &n->ends[i];
    return NULL;
}

/* The other end is told that this one is closed. */
static void tell_end(struct world *w, uint32_t conn, int end)
{
    const struct world_conn *c = &w->conns[conn];
    if (c->open[1 - end] && reaches(w, c->node[end], c->node[1 - end]))
        conn_event(w, conn, 1 - end, EV_END, (struct buf){0});
}

static void perform(struct world *w, uint32_t node, struct memberlist_action *a)
{
    const struct world_end *found =
        a->verb == ML_STREAM_WRITE || a->verb == ML_STREAM_CLOSE ? end_of(w, node, a->stream)
                                                                 : NULL;
    struct world_end e = found != NULL ? *found : (struct world_end){0, NO_CONN, 0};
    switch (a->verb) {
    case ML_PACKET:
        send_packet(w, node, a);
        break;
    case ML_STREAM_OPEN:
        stream_open(w, node, a);
        break;
    case ML_STREAM_WRITE:
        if (found != NULL && reaches(w, node, w->conns[e.conn].node[1 - e.end]))
            stream_send(w, e.conn, 1 - e.end, buf_view(&a->bytes));
        break;
    case ML_STREAM_CLOSE:
        if (found != NULL) {
            end_close(w, e.conn, e.end);
            tell_end(w, e.conn, e.end);
            conn_drop_idle(w, e.conn);
        }
        break;
    case ML_JOINED:
        break;
    }
    buf_reset(&a->bytes);
}

/* --- nodes ---------------------------------------------------------------------------------- */

/* After an event of node i: its actions, its next tick, what must hold. */
static void after(struct world *w, uint32_t i)
{
    struct world_node *n = &w->nodes[i];
    struct memberlist_action a;
    while (gossip_core_next(n->core, &a))
        perform(w, i, &a);
    mono_ms due = gossip_core_due(n->core);
    due = due > w->now ? due : w->now + 1;
    if (due < n->tick_at || n->tick_at <= w->now) {
        n->tick_at = due;
        push(w, (struct world_event){
                    .at = due, .what = EV_TICK, .node = i, .life = n->life, .conn = NO_CONN});
    }
    if (w->after != NULL)
        w->after(w, i);
}

void world_init(struct world *w, uint64_t seed, uint32_t nodes)
{
    ASSERT(nodes <= UINT16_MAX);
    *w = (struct world){.seed = seed,
                        .node_count = nodes,
                        .conn_free = NO_CONN,
                        .delay_min_ms = 1,
                        .delay_ms = 1,
                        .config = gossip_core_config_default()};
    rng_seed(&w->rng, seed);
    w->nodes = mem_calloc(nodes, sizeof *w->nodes);
    ASSERT(w->nodes != NULL);
    for (uint32_t i = 0; i < nodes; i++) {
        w->nodes[i].addr = addr_of(i, 0);
        (void)snprintf(w->nodes[i].name, sizeof w->nodes[i].name, "node-%u", i);
    }
}

void world_free(struct world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        gossip_core_free(&w->nodes[i].core);
        mem_free(w->nodes[i].ends);
    }
    for (size_t i = 0; i < w->count; i++)
        buf_reset(&w->heap[i].bytes);
    mem_free(w->heap);
    mem_free(w->conns);
    mem_free(w->nodes);
    *w = (struct world){0};
}

void world_start(struct world *w, uint32_t i)
{
    struct world_node *n = &w->nodes[i];
    struct gossip_core_config c = w->config;
    struct gossip_addr seeds[WORLD_SEEDS];
    uint32_t count = w->node_count < WORLD_SEEDS ? w->node_count : WORLD_SEEDS;
    n->life++;
    n->stalled_until = n->blocked_until = 0;
    n->started = w->now;
    c.members.name = str_c(n->name);
    c.members.addr = n->addr;
    c.seed = rng_u64(&w->rng);
    ASSERT(gossip_core_init(&n->core, &c, w->log, world_time(w, i), NULL) == 0);
    if (w->codec != NULL)
        ASSERT(kv_register(gossip_core_kv(n->core), w->codec) == 0);
    for (uint32_t k = 0; k < count; k++)
        seeds[k] = w->nodes[k].addr; /* names are looked up at the start */
    ASSERT(gossip_core_seeds(n->core, seeds, count, world_time(w, i)) == 0);
    n->tick_at = 0;
    after(w, i);
}

void world_kill(struct world *w, uint32_t i)
{
    struct world_node *n = &w->nodes[i];
    gossip_core_free(&n->core);
    n->life++;
    while (n->end_count > 0) {
        struct world_end e = n->ends[0];
        end_close(w, e.conn, e.end);
        tell_end(w, e.conn, e.end);
        conn_drop_idle(w, e.conn);
    }
}

void world_move(struct world *w, uint32_t i)
{
    ASSERT(w->nodes[i].core == NULL);
    w->nodes[i].addr = addr_of(i, ++w->nodes[i].house);
}

void world_stall(struct world *w, uint32_t i, mono_ms ms)
{
    struct world_node *n = &w->nodes[i];
    if (w->now + ms <= n->stalled_until)
        return;
    n->stalled_until = w->now + ms;
    /* Made now, it stands before all that comes in meanwhile: the timers run first. */
    push(w, (struct world_event){.at = n->stalled_until,
                                 .what = EV_TICK,
                                 .node = i,
                                 .life = n->life,
                                 .conn = NO_CONN});
}

void world_block(struct world *w, uint32_t i, mono_ms ms)
{
    struct world_node *n = &w->nodes[i];
    n->blocked_until = w->now + ms > n->blocked_until ? w->now + ms : n->blocked_until;
}

void world_poke(struct world *w, uint32_t i)
{
    gossip_core_tick(w->nodes[i].core, world_time(w, i));
    after(w, i);
}

/* --- events --------------------------------------------------------------------------------- */

static void on_connect_event(struct world *w, struct world_event *ev)
{
    struct world_conn *c = &w->conns[ev->conn];
    uint32_t from = c->node[0];
    struct world_node *n = &w->nodes[ev->node], *f = &w->nodes[from];
    if (f->core != NULL && f->life == c->life[0] && c->open[0] && f->stalled_until <= w->now &&
        f->blocked_until <= w->now) {
        gossip_core_on_connect(f->core, c->stream[0], world_time(w, from));
        after(w, from);
    }
    uint32_t stream = gossip_core_on_accept(n->core, &f->addr, world_time(w, ev->node));
    if (stream != 0) {
        end_open(w, ev->conn, 1, stream);
        stream_send(w, ev->conn, 1, buf_view(&ev->bytes));
    } else {
        conn_event(w, ev->conn, 0, EV_END, (struct buf){0});
    }
}

static void deliver(struct world *w, struct world_event *ev)
{
    struct world_node *n = &w->nodes[ev->node];
    struct gossip_time now = world_time(w, ev->node);
    const struct world_conn *c = ev->conn != NO_CONN ? &w->conns[ev->conn] : NULL;
    if (ev->what == EV_TICK) {
        gossip_core_tick(n->core, now);
    } else if (ev->what == EV_PACKET) {
        gossip_core_on_packet(n->core, &ev->from, buf_view(&ev->bytes), now);
    } else if (ev->what == EV_CONNECT) {
        on_connect_event(w, ev);
    } else if (c->open[ev->end] && ev->what == EV_BYTES) {
        gossip_core_on_bytes(n->core, c->stream[ev->end], buf_view(&ev->bytes), now);
    } else if (c->open[ev->end]) {
        /* Half-closed by the peer: the node closes its side when it has seen it. */
        gossip_core_on_end(n->core, c->stream[ev->end], 0, now);
        end_close(w, ev->conn, ev->end);
    }
    after(w, ev->node);
}

/* When an event's node can take it. */
static mono_ms waits_until(const struct world *w, const struct world_event *ev)
{
    const struct world_node *n = &w->nodes[ev->node];
    if (n->core == NULL || n->life != ev->life)
        return 0;
    if (ev->what == EV_TICK || n->stalled_until > n->blocked_until)
        return n->stalled_until;
    return n->blocked_until;
}

void world_run(struct world *w, mono_ms end)
{
    while (!w->failed && w->count > 0 && w->heap[0].at <= end) {
        struct world_event ev = pop(w);
        const struct world_node *n = &w->nodes[ev.node];
        w->now = ev.at;
        mono_ms until = waits_until(w, &ev);
        if (until > ev.at) {
            ev.at = until; /* keeps its place among those that wait */
            push(w, ev);
            continue;
        }
        w->events++;
        if (n->core != NULL && n->life == ev.life)
            deliver(w, &ev);
        buf_reset(&ev.bytes);
        if (ev.conn != NO_CONN) {
            w->conns[ev.conn].pending--;
            conn_drop_idle(w, ev.conn);
        }
    }
    if (!w->failed)
        w->now = end;
}

/* --- questions ------------------------------------------------------------------------------ */

uint32_t world_running(const struct world *w)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->node_count; i++)
        count += w->nodes[i].core != NULL ? 1 : 0;
    return count;
}

uint32_t world_any(struct world *w)
{
    for (;;) {
        uint32_t i = (uint32_t)rng_below(&w->rng, w->node_count);
        if (w->nodes[i].core != NULL)
            return i;
    }
}

const struct members *world_members(const struct world *w, uint32_t n)
{
    return memberlist_members(gossip_core_members(w->nodes[n].core));
}

static bool lists_the_running(const struct world *w, uint32_t node, uint32_t running)
{
    const struct members *m = world_members(w, node);
    uint32_t alive = 0;
    for (size_t i = 0; i < members_count(m); i++) {
        const struct member *one = members_at(m, i);
        if (one->state > MEMBER_SUSPECT)
            continue;
        uint32_t at = world_at(w, &one->addr);
        if (one->state != MEMBER_ALIVE || at == UINT32_MAX || w->nodes[at].core == NULL ||
            !str_eq(one->name, str_c(w->nodes[at].name)))
            return false;
        alive++;
    }
    return alive == running;
}

bool world_agrees(const struct world *w)
{
    uint32_t running = world_running(w);
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].core != NULL && !lists_the_running(w, i, running))
            return false;
    return true;
}

bool world_start_all(struct world *w, mono_ms ms, mono_ms limit_ms)
{
    mono_ms start = w->now;
    for (uint32_t i = 0; i < w->node_count; i++) {
        mono_ms at = start + (mono_ms)((uint64_t)ms * i / w->node_count);
        world_run(w, at + (mono_ms)rng_below(&w->rng, (uint64_t)ms / w->node_count + 1));
        world_start(w, i);
    }
    world_run(w, start + ms);
    while (!w->failed && !world_agrees(w)) {
        if (w->now - start > limit_ms)
            return false;
        world_run(w, w->now + 100);
    }
    return !w->failed;
}

mono_ms world_pushpull_ms(const struct world *w)
{
    mono_ms factor = 1;
    for (uint32_t power = 32; power < world_running(w); power *= 2)
        factor++;
    return factor * (mono_ms)w->config.members.pushpull_interval_ms;
}
