/* What a ring of 100 ingesters costs, against the read of its bytes: each heartbeat of a member
 * is decoded and merged, and gives a new view; each pushed series is one look-up. --smoke: one
 * short run. */
#include "base/clock.h"
#include "base/rng.h"
#include "ring/desc.h"
#include "ring/lookup.h"
#include "ring/token.h"
#include "wire/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS = 100, TOKENS_EACH = 128 };

static uint64_t sum; /* keeps results alive */

static void must(int rc)
{
    if (rc != 0) {
        (void)fprintf(stderr, "bench_ring: %s\n", err_text(rc));
        exit(1);
    }
}

static struct ring_desc *make_ring(void)
{
    struct ring_desc *d = NULL;
    struct rng rng;
    rng_seed(&rng, 1);
    must(ring_desc_init(&d));
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct ring_tokens t = {0};
        char id[32], addr[32], zone[8];
        (void)snprintf(id, sizeof id, "ingester-%u", i);
        (void)snprintf(addr, sizeof addr, "10.0.%u.%u:4040", i / 250, i % 250);
        (void)snprintf(zone, sizeof zone, "zone-%c", (char)('a' + i % 3));
        must(ring_tokens_add(&t, TOKENS_EACH, d, &rng));
        const struct ring_instance in = {.id = str_c(id),
                                         .addr = str_c(addr),
                                         .zone = str_c(zone),
                                         .timestamp_s = 1000,
                                         .tokens = t.all,
                                         .token_count = t.count};
        must(ring_desc_put(d, &in));
        ring_tokens_reset(&t);
    }
    return d;
}

/* Nanoseconds of one of `rounds` calls of fn. */
static double time_of(void (*fn)(void *), void *arg, int rounds)
{
    int64_t start = clock_mono_ns();
    for (int i = 0; i < rounds; i++)
        fn(arg);
    return (double)(clock_mono_ns() - start) / rounds;
}

struct bench {
    struct ring_desc *desc;
    struct buf bytes;
    struct ring *plain, *zones;
    struct ring_set set;
    struct rng rng;
    int64_t now_s;
};

static void read_bytes(void *arg)
{
    struct bench *b = arg;
    sum += hash_crc32(0, buf_view(&b->bytes));
}

static void decode(void *arg)
{
    struct bench *b = arg;
    struct ring_desc *d = NULL;
    must(ring_desc_decode(&d, buf_view(&b->bytes), NULL));
    sum += ring_desc_count(d);
    ring_desc_free(&d);
}

/* The heartbeat of one member arrives. */
static void merge_beat(void *arg)
{
    struct bench *b = arg;
    struct ring_desc *news = NULL, *change = NULL;
    struct ring_instance in = *ring_desc_at(b->desc, rng_below(&b->rng, MEMBERS));
    in.timestamp_s = ++b->now_s;
    must(ring_desc_init(&news));
    must(ring_desc_put(news, &in));
    must(ring_desc_merge(&b->desc, news, false, b->now_s, &change));
    sum += ring_desc_count(change);
    ring_desc_free(&news);
    ring_desc_free(&change);
}

static struct ring *view(const struct ring_desc *d, bool zones)
{
    struct ring *r = NULL;
    const struct ring_options o = {
        .replication_factor = 3, .zone_aware = zones, .heartbeat_timeout_ms = 60000};
    must(ring_init(&r, d, &o, NULL));
    return r;
}

static void make_view(void *arg)
{
    struct bench *b = arg;
    struct ring *r = view(b->desc, false);
    sum += ring_token_count(r);
    ring_drop(&r);
}

/* The view after a heartbeat. */
static void next_view(void *arg)
{
    struct bench *b = arg;
    struct ring *r = NULL;
    const struct ring_options o = {.replication_factor = 3, .heartbeat_timeout_ms = 60000};
    must(ring_next(&r, b->plain, b->desc, &o, NULL));
    sum += ring_token_count(r);
    ring_drop(&r);
}

static void look_up(void *arg)
{
    struct bench *b = arg;
    must(ring_get(b->plain, rng_u32(&b->rng), RING_WRITE, 0, 1000000, &b->set, NULL));
    sum += b->set.count;
}

static void look_up_zones(void *arg)
{
    struct bench *b = arg;
    must(ring_get(b->zones, rng_u32(&b->rng), RING_WRITE, 0, 1000000, &b->set, NULL));
    sum += b->set.count;
}

int main(int argc, char **argv)
{
    bool smoke = argc > 1 && strcmp(argv[1], "--smoke") == 0;
    int rounds = smoke ? 20 : 1000;
    struct bench b = {.now_s = 1000};
    b.desc = make_ring();
    rng_seed(&b.rng, 2);
    ring_desc_encode(b.desc, &b.bytes);
    b.plain = view(b.desc, false);
    b.zones = view(b.desc, true);
    double base = time_of(read_bytes, &b, rounds);
    (void)printf("a ring of %d members, %zu bytes; crc32 of them: %.1f us = 1\n", MEMBERS,
                 b.bytes.size, base / 1000);
    double read = time_of(decode, &b, rounds);
    (void)printf("decode           %8.1f us %8.2f\n", read / 1000, read / base);
    double beat = time_of(merge_beat, &b, rounds);
    (void)printf("merge heartbeat  %8.1f us %8.2f\n", beat / 1000, beat / base);
    double made = time_of(make_view, &b, rounds);
    (void)printf("make a view      %8.1f us %8.2f\n", made / 1000, made / base);
    double next = time_of(next_view, &b, rounds);
    (void)printf("the next view    %8.1f us %8.2f\n", next / 1000, next / base);
    double one = time_of(look_up, &b, rounds * 100);
    (void)printf("look-up          %8.3f us %8.4f\n", one / 1000, one / base);
    double zoned = time_of(look_up_zones, &b, rounds * 100);
    (void)printf("look-up, zones   %8.3f us %8.4f\n", zoned / 1000, zoned / base);
    (void)printf("(%llu)\n", (unsigned long long)sum);
    ring_drop(&b.plain);
    ring_drop(&b.zones);
    ring_set_reset(&b.set);
    ring_desc_free(&b.desc);
    buf_reset(&b.bytes);
    return 0;
}
