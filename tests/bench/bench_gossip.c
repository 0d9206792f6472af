/* What a large cluster costs one member: a ring of 1,000 instances with 128 tokens each.
 *
 *   merge    one heartbeat into the ring: time and allocations (decoded already); and the whole way
 *            of a message: unpacked, decoded, merged, queued for the others, with the queue full
 *   state    memory of member table, ring and queues when all have said their heartbeat
 *   flood    5,000 deltas a second for some seconds of virtual time: CPU, and that none is lost
 *   spread   1,000 whole members in virtual time (tests/lib/gossip_world.h): when a change has
 *            arrived at the members, 99th percentile and last; delays 1 to 5 ms, no loss and 1 %
 *
 *   bench_gossip [--smoke] [--only merge,state,flood,spread] [--members 1000] */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/gossip_world.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gossip/codec.h"
#include "gossip/kv.h"
#include "gossip/kv_pair.h"
#include "ring/desc.h"

enum { TOKENS = 128 };

static const struct str key = STR_INIT("collectors/ring");
static uint32_t instances = 1000;
static uint32_t members = 1000; /* of `spread` */
static bool smoke;

static void die_unless(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_gossip: %s\n", what);
        exit(1);
    }
}

/* --- the ring ------------------------------------------------------------------------------- */

/* Instance i at second at_s, in memory that the next call uses again. */
static struct ring_instance instance(uint32_t i, int64_t at_s)
{
    static char id[32], addr[32];
    static uint32_t tokens[TOKENS];
    struct rng r;
    rng_seed(&r, i);
    for (uint32_t k = 0; k < TOKENS; k++) /* rising; no two instances have one in common */
        tokens[k] = k * (UINT32_MAX / TOKENS) +
                    (uint32_t)rng_below(&r, UINT32_MAX / TOKENS / instances - 1) * instances + i;
    (void)snprintf(id, sizeof id, "node-%u", i);
    (void)snprintf(addr, sizeof addr, "10.%u.%u.%u:9095", i >> 16, i >> 8 & 255, i & 255);
    return (struct ring_instance){.id = str_c(id),
                                  .addr = str_c(addr),
                                  .zone = STR("zone-a"),
                                  .timestamp_s = at_s,
                                  .registered_s = WORLD_WALL0_S - 100,
                                  .state = RING_ACTIVE,
                                  .tokens = tokens,
                                  .token_count = TOKENS};
}

static struct ring_desc *ring_of(uint32_t first, uint32_t count, int64_t at_s)
{
    struct ring_desc *d = NULL;
    die_unless(ring_desc_init(&d) == 0, "no memory");
    for (uint32_t i = first; i < first + count; i++) {
        struct ring_instance in = instance(i, at_s);
        die_unless(ring_desc_put(d, &in) == 0, "no memory");
    }
    return d;
}

/* A message of the store with these instances; framed: a whole state. */
static struct buf message(uint32_t first, uint32_t count, int64_t at_s, bool framed)
{
    struct buf value = {0}, out = {0};
    struct ring_desc *d = ring_of(first, count, at_s);
    ring_codec.encode(d, &value);
    struct kv_pair p = {.key = key, .value = buf_view(&value), .codec = STR("ringDesc")};
    if (framed)
        kv_pair_put_framed(&out, &p);
    else
        kv_pair_put(&out, &p);
    buf_reset(&value);
    ring_desc_free(&d);
    return out;
}

/* --- merge ---------------------------------------------------------------------------------- */

static void bench_merge(void)
{
    uint32_t count = instances, rounds = smoke ? 2 : 20;
    struct ring_desc *d = ring_of(0, count, WORLD_WALL0_S);
    struct ring_desc **news = mem_calloc(count, sizeof *news);
    int64_t took = 0, merges = 0;
    for (uint32_t round = 1; round <= rounds; round++) {
        for (uint32_t i = 0; i < count; i++)
            news[i] = ring_of(i * 7 % count, 1, WORLD_WALL0_S + round);
        mem_fail_at(1);
        int64_t start = clock_mono_ns();
        for (uint32_t i = 0; i < count; i++)
            merges += ring_codec.refresh(d, news[i]) && ring_desc_count(news[i]) == 1;
        took += clock_mono_ns() - start;
        die_unless(mem_fail_pending(), "a merge took memory");
        mem_fail_at(0);
        for (uint32_t i = 0; i < count; i++)
            ring_desc_free(&news[i]);
    }
    die_unless(merges == (int64_t)count * rounds, "a heartbeat was not merged");
    printf("a delta merged into %u x %d tokens [<= 3 us, no allocation]: %.2f us, none\n", count,
           TOKENS, (double)took / 1e3 / (double)merges);
    mem_free(news);
    ring_desc_free(&d);
}

static struct kv *store(void)
{
    struct kv_config c = gossip_core_config_default().kv;
    struct kv *kv = NULL;
    die_unless(kv_init(&kv, &c, NULL) == 0 && kv_register(kv, &ring_codec) == 0, "no memory");
    struct buf state = message(0, instances, WORLD_WALL0_S, true);
    die_unless(kv_on_state(kv, buf_view(&state), (wall_ms)WORLD_WALL0_S * 1000) == 0, "state");
    buf_reset(&state);
    return kv;
}

static void bench_message(void)
{
    uint32_t count = instances, rounds = smoke ? 2 : 10;
    struct kv *kv = store();
    int64_t took = 0;
    size_t bytes = 0;
    for (uint32_t round = 1; round <= rounds; round++)
        for (uint32_t i = 0; i < count; i++) {
            struct buf b = message(i * 7 % count, 1, WORLD_WALL0_S + round, false);
            int64_t start = clock_mono_ns();
            int rc = kv_on_message(kv, buf_view(&b), (WORLD_WALL0_S + (wall_ms)round) * 1000);
            took += clock_mono_ns() - start;
            die_unless(rc == 0, "message");
            bytes = b.size;
            buf_reset(&b);
        }
    printf("a message of %zu bytes unpacked, decoded, merged and queued behind %zu others: "
           "%.1f us\n",
           bytes, kv_queued_gossip(kv), (double)took / 1e3 / (count * rounds));
    kv_free(&kv);
}

/* --- state ---------------------------------------------------------------------------------- */

static size_t heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* A member of a cluster of `instances` that has the ring. */
static struct gossip_core *member(struct gossip_time now)
{
    struct gossip_core_config c = gossip_core_config_default();
    struct gossip_core *core = NULL;
    struct gossip_addr a = {.ip = {[10] = 0xff, 0xff, 10}, .size = 16, .port = 7946};
    c.members.name = STR("node-0");
    c.members.addr = a;
    c.members.pushpull_interval_ms = 0;
    c.members.probe_interval_ms = 0;
    die_unless(gossip_core_init(&core, &c, NULL, now, NULL) == 0 &&
                   kv_register(gossip_core_kv(core), &ring_codec) == 0,
               "no memory");
    for (uint32_t i = 1; i < instances; i++) {
        struct buf msg = {0};
        char name[16];
        a.ip[13] = (uint8_t)(i >> 16);
        a.ip[14] = (uint8_t)(i >> 8);
        a.ip[15] = (uint8_t)i;
        (void)snprintf(name, sizeof name, "node-%u", i);
        struct msg_alive alive = {.incarnation = 1,
                                  .node = str_c(name),
                                  .ip = gossip_addr_ip(&a),
                                  .port = 7946,
                                  .vsn = str_of(member_vsn, MEMBER_VSN_SIZE)};
        msg_put_alive(&msg, &alive);
        gossip_core_on_packet(core, &a, buf_view(&msg), now);
        buf_reset(&msg);
    }
    struct buf state = message(0, instances, WORLD_WALL0_S, true);
    die_unless(kv_on_state(gossip_core_kv(core), buf_view(&state), now.wall) == 0, "state");
    buf_reset(&state);
    return core;
}

/* Drop what the core wants to send; returns the bytes. */
static size_t drain(struct gossip_core *core)
{
    struct memberlist_action a;
    size_t bytes = 0;
    while (gossip_core_next(core, &a)) {
        bytes += a.bytes.size;
        buf_reset(&a.bytes);
    }
    return bytes;
}

static struct gossip_time at_ms(mono_ms ms)
{
    return (struct gossip_time){ms, (wall_ms)WORLD_WALL0_S * 1000 + ms};
}

static void bench_state(void)
{
    size_t before = heap_bytes();
    struct gossip_core *core = member(at_ms(0));
    for (mono_ms t = 200; t < 10000; t += 200) {
        gossip_core_tick(core, at_ms(t));
        (void)drain(core);
    }
    size_t idle = heap_bytes() - before;
    for (uint32_t i = 0; i < instances; i++) {
        struct buf b = message(i, 1, WORLD_WALL0_S + 11, false);
        (void)kv_on_message(gossip_core_kv(core), buf_view(&b), at_ms(11000).wall);
        buf_reset(&b);
    }
    size_t full = heap_bytes() - before;
    printf("full state of %u members and instances [<= 6 MB]: %.2f MB, with a heartbeat of each "
           "in the queue %.2f MB\n",
           instances, (double)idle / 1e6, (double)full / 1e6);
    gossip_core_free(&core);
}

/* --- flood ---------------------------------------------------------------------------------- */

static size_t current(struct gossip_core *core, int64_t at_s)
{
    const struct ring_desc *d = kv_get(gossip_core_kv(core), key);
    size_t count = 0;
    for (size_t i = 0; i < ring_desc_count(d); i++)
        count += ring_desc_at(d, i)->timestamp_s >= at_s ? 1 : 0;
    return count;
}

/* Each packet brings one delta; every instance has one a fifth of a second, so the times that they
 * carry run ahead: only then is each one news. */
static void bench_flood(void)
{
    uint32_t rate = 5000, seconds = smoke ? 1 : 5;
    struct gossip_core *core = member(at_ms(0));
    struct gossip_addr from = {.ip = {[10] = 0xff, 0xff, 10, 0, 0, 1}, .size = 16, .port = 7946};
    int64_t took = 0;
    uint64_t told = 0, sent = 0;
    mono_ms next_tick = 200;
    for (uint32_t i = 0; i < rate * seconds; i++) {
        mono_ms now = 1000 + (mono_ms)i * 1000 / rate;
        int64_t second = WORLD_WALL0_S + 1 + i / instances;
        struct buf b = message(i % instances, 1, second, false), packet = {0};
        buf_u8(&packet, MSG_USER);
        buf_str(&packet, buf_view(&b));
        int64_t start = clock_mono_ns();
        gossip_core_on_packet(core, &from, buf_view(&packet), at_ms(now));
        for (; next_tick <= now; next_tick += 200)
            gossip_core_tick(core, at_ms(now));
        sent += drain(core);
        took += clock_mono_ns() - start;
        buf_reset(&packet);
        buf_reset(&b);
        if ((i + 1) % instances == 0)
            told += current(core, second);
    }
    const struct kv_stats *s = kv_stats(gossip_core_kv(core));
    const struct memberlist_stats *m = memberlist_stats(gossip_core_members(core));
    uint64_t lost = (uint64_t)rate * seconds - told;
    printf("%u deltas/s for %u s [nothing dropped]: %" PRIu64 " lost, %" PRIu64
           " dropped, CPU %.1f %% of a core (%.1f us a delta), %.1f MB/s sent on\n",
           rate, seconds, lost, s->dropped_nomem + s->received_invalid + m->dropped_nomem,
           (double)took / 1e7 / seconds, (double)took / 1e3 / (rate * seconds),
           (double)sent / 1e6 / seconds);
    die_unless(lost == 0 && s->dropped_nomem == 0 && s->received_invalid == 0 &&
                   m->dropped_nomem == 0,
               "deltas were dropped");
    gossip_core_free(&core);
}

/* --- spread --------------------------------------------------------------------------------- */

enum { CHANGES = 100, SPACING_MS = 40 };

struct change {
    uint32_t node;
    int64_t at_s; /* its timestamp */
    mono_ms made;
    uint32_t arrived;
};

struct spread {
    struct world w;
    struct change changes[CHANGES];
    uint32_t count, first; /* changes made; the oldest that is not everywhere */
    bool *has;             /* [change * nodes + node] */
    mono_ms *times;
    size_t time_count;
};

static void look(struct world *w, uint32_t i)
{
    struct spread *s = w->arg;
    const struct ring_desc *d = NULL;
    while (s->first < s->count && s->changes[s->first].arrived == w->node_count)
        s->first++;
    for (uint32_t c = s->first; c < s->count; c++) {
        bool *has = &s->has[(size_t)c * w->node_count + i];
        if (*has)
            continue;
        d = d != NULL ? d : kv_get(gossip_core_kv(w->nodes[i].core), key);
        const struct ring_instance *in =
            ring_desc_find(d, str_c(w->nodes[s->changes[c].node].name));
        if (in->timestamp_s < s->changes[c].at_s)
            continue;
        *has = true;
        s->changes[c].arrived++;
        s->times[s->time_count++] = w->now - s->changes[c].made;
    }
}

static int beat(void *arg, void **value)
{
    const struct change *c = arg;
    struct ring_instance in = instance(c->node, c->at_s);
    return ring_desc_put(*value, &in) == 0 ? KV_STORE : ERR_NOMEM;
}

static void make_change(struct spread *s)
{
    struct world *w = &s->w;
    struct change *c = &s->changes[s->count];
    *c = (struct change){.node = (uint32_t)rng_below(&w->rng, w->node_count),
                         .at_s = WORLD_WALL0_S + 100000 + s->count,
                         .made = w->now};
    int rc = kv_cas(gossip_core_kv(w->nodes[c->node].core), key, "ringDesc", beat, c,
                    c->at_s * 1000);
    die_unless(rc == 0, "a change was not taken");
    s->count++;
    world_poke(w, c->node);
}

static int by_time(const void *a, const void *b)
{
    mono_ms x = *(const mono_ms *)a, y = *(const mono_ms *)b;
    return (x > y) - (x < y);
}

static void bench_spread(uint32_t loss)
{
    static struct spread s;
    s = (struct spread){.count = 0};
    uint32_t nodes = smoke ? 60 : members, changes = smoke ? 10 : CHANGES;
    instances = nodes;
    world_init(&s.w, 1, nodes);
    s.has = mem_calloc((size_t)nodes * CHANGES, sizeof *s.has);
    s.times = mem_calloc((size_t)nodes * CHANGES, sizeof *s.times);
    die_unless(s.has != NULL && s.times != NULL, "no memory");
    s.w.arg = &s;
    s.w.codec = &ring_codec;
    s.w.delay_ms = 5;
    s.w.config.members.compression = PACKET_PLAIN; /* costs time only */
    die_unless(world_start_all(&s.w, 5000, 120000), "no cluster");
    struct buf state = message(0, nodes, WORLD_WALL0_S, true);
    for (uint32_t i = 0; i < nodes; i++)
        (void)kv_on_state(gossip_core_kv(s.w.nodes[i].core), buf_view(&state),
                          world_time(&s.w, i).wall);
    buf_reset(&state);
    world_run(&s.w, s.w.now + 5000);
    s.w.loss = loss;
    s.w.after = look;
    uint64_t bytes = s.w.packet_bytes;
    for (uint32_t c = 0; c < changes; c++) {
        make_change(&s);
        world_run(&s.w, s.w.now + SPACING_MS);
    }
    world_run(&s.w, s.w.now + 10000);
    qsort(s.times, s.time_count, sizeof *s.times, by_time);
    size_t all = (size_t)nodes * changes;
    die_unless(s.time_count >= all * 99 / 100, "changes have not arrived");
    printf("%u changes among %u members, %.0f %% loss [99th percentile <= 2 s]: median %" PRId64
           " ms, 99th %" PRId64 " ms, last %" PRId64 " ms, %zu not in 10 s; a member sends %.1f "
           "kB a change\n",
           changes, nodes, loss / 10.0, s.times[all / 2], s.times[all * 99 / 100 - 1],
           s.times[s.time_count - 1], all - s.time_count,
           (double)(s.w.packet_bytes - bytes) / 1e3 / nodes / changes);
    world_free(&s.w);
    mem_free(s.has);
    mem_free(s.times);
}

int main(int argc, char **argv)
{
    const char *only = "merge,state,flood,spread";
    for (int i = 1; i < argc; i++) {
        smoke = smoke || strcmp(argv[i], "--smoke") == 0;
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--members") == 0 && i + 1 < argc)
            members = (uint32_t)strtoul(argv[++i], NULL, 10);
    }
    if (strstr(only, "merge") != NULL) {
        bench_merge();
        bench_message();
    }
    if (strstr(only, "state") != NULL)
        bench_state();
    if (strstr(only, "flood") != NULL)
        bench_flood();
    if (strstr(only, "spread") != NULL) {
        bench_spread(0);
        bench_spread(10);
    }
    return 0;
}
