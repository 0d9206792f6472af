/* What the wire costs, against gunzip: each push is unpacked once, so a step that takes a tenth
 * of that does not count. Input: a made-up CPU profile of 300 kB. --smoke: one short run. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "profile.msg.h"
#include "querier.msg.h"
#include "wire/compress.h"
#include "wire/hash.h"
#include "wire/pb.h"
#include "wire/snappy.h"

#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES = 6500, DEPTH = 20, NAMES = 1000, NODES = 20000 };

struct bench {
    struct buf raw, gz, lz4, snappy, out, json, flame;
    struct arena *arena;
    uint64_t sum; /* keeps results alive */
};

static void must(int rc)
{
    if (rc != 0) {
        (void)fprintf(stderr, "bench_wire: %s\n", err_text(rc));
        exit(1);
    }
}

/* A profile in protobuf, as one comes from Go: packed location ids, names in a table. */
static void make_profile(struct buf *out)
{
    struct rng r;
    rng_seed(&r, 1);
    pb_put_bytes(out, 1, STR("\x08\x01\x10\x02"));
    for (int i = 0; i < SAMPLES; i++) {
        size_t sample = pb_begin(out, 2), ids = pb_begin(out, 1);
        uint64_t root = rng_below(&r, 16);
        for (uint64_t d = 0; d < DEPTH; d++)
            buf_varint(out, 1 + (root * 61 + d * 37 + (d < 3 ? rng_below(&r, 40) : 0)) % NAMES);
        pb_end(out, ids);
        pb_put_bytes(out, 2,
                     rng_chance(&r, 1, 2) ? STR("\x80\xad\xe2\x04") : STR("\x80\xda\xc4\x09"));
        pb_end(out, sample);
    }
    for (uint32_t i = 1; i <= NAMES; i++) {
        size_t at = pb_begin(out, 4);
        pb_put_varint(out, 1, i);
        pb_put_varint(out, 3, 0x400000 + rng_below(&r, 1 << 20));
        pb_end(out, at);
    }
    for (uint32_t i = 0; i < NAMES; i++) {
        char name[80];
        int n = snprintf(name, sizeof name, "github.com/example/part%u.(*Type%u).method%u",
                         i % 31, i % 97, i);
        pb_put_bytes(out, 6, str_of(name, (size_t)n));
    }
    must(out->error);
}

static void make_flamegraph(struct bench *b)
{
    struct rng r;
    rng_seed(&r, 2);
    struct querier_v1_level level = {
        .values_count = (size_t)NODES * 4,
        .values = arena_alloc(b->arena, sizeof(int64_t) * NODES * 4),
    };
    struct str names[] = {STR("total"), STR("runtime.main"), STR("net/http.(*conn).serve")};
    if (level.values == NULL)
        must(ERR_NOMEM);
    for (size_t i = 0; i < level.values_count; i++)
        level.values[i] = (int64_t)rng_below(&r, 1000000);
    struct querier_v1_flame_graph f = {.names_count = 3,
                                       .names = names,
                                       .levels_count = 1,
                                       .levels = &level,
                                       .total = 1,
                                       .max_self = 1};
    msg_encode(&querier_v1_flame_graph_msg, &f, &b->flame);
    msg_to_json(&querier_v1_flame_graph_msg, &f, &b->json);
    must(b->flame.error);
    must(b->json.error);
}

static void run_memcpy(struct bench *b)
{
    buf_clear(&b->out);
    buf_put(&b->out, b->raw.data, b->raw.size);
    b->sum += b->out.data[b->raw.size / 2];
}

static void run_gunzip(struct bench *b)
{
    must(gzip_unpack(buf_view(&b->gz), b->raw.size, &b->out, NULL));
}

static void run_gzip(struct bench *b)
{
    buf_clear(&b->out);
    must(gzip_pack(buf_view(&b->raw), GZIP_FAST, &b->out));
}

static void run_lz4(struct bench *b)
{
    buf_clear(&b->out);
    must(lz4_pack(buf_view(&b->raw), &b->out));
}

static void run_unlz4(struct bench *b)
{
    buf_clear(&b->out);
    must(lz4_unpack(buf_view(&b->lz4), b->raw.size, &b->out));
}

static void run_unsnappy(struct bench *b)
{
    buf_clear(&b->out);
    must(snappy_unpack(buf_view(&b->snappy), b->raw.size, &b->out));
}

static void run_crc32c(struct bench *b)
{
    b->sum += hash_crc32c(0, buf_view(&b->raw));
}

static void run_crc32c_portable(struct bench *b)
{
    b->sum += hash_crc32c_portable(0, buf_view(&b->raw));
}

static void run_crc32(struct bench *b)
{
    b->sum += hash_crc32(0, buf_view(&b->raw));
}

static void run_xxh3(struct bench *b)
{
    b->sum += hash_xxh3(buf_view(&b->raw), 0);
}

static void run_utf8(struct bench *b)
{
    b->sum += str_is_utf8(buf_view(&b->json)) ? 1 : 0;
}

/* Every location id of every sample, by hand. */
static void run_fields(struct bench *b)
{
    struct pb_reader r = pb_reader(buf_view(&b->raw)), s;
    struct pb_field f, g;
    while (pb_next(&r, &f) > 0) {
        if (f.number != 2)
            continue;
        s = pb_reader(f.bytes);
        while (pb_next(&s, &g) > 0) {
            uint64_t ids[64];
            size_t n = 0;
            (void)pb_packed(g.bytes, ids, 64, &n);
            for (size_t i = 0; i < n; i++)
                b->sum += ids[i];
        }
    }
}

static void run_tables(struct bench *b)
{
    struct google_v1_profile p;
    arena_reset(b->arena);
    must(msg_decode(&google_v1_profile_msg, &p, buf_view(&b->raw), b->arena, NULL, NULL));
    b->sum += p.sample_count;
}

static void run_json_out(struct bench *b)
{
    struct querier_v1_flame_graph f;
    arena_reset(b->arena);
    buf_clear(&b->out);
    must(
        msg_decode(&querier_v1_flame_graph_msg, &f, buf_view(&b->flame), b->arena, NULL, NULL));
    msg_to_json(&querier_v1_flame_graph_msg, &f, &b->out);
    must(b->out.error);
}

static void run_json_in(struct bench *b)
{
    struct querier_v1_flame_graph f;
    struct msg_limits large = {.json_bytes_max = SIZE_MAX};
    arena_reset(b->arena);
    must(msg_from_json(&querier_v1_flame_graph_msg, &f, buf_view(&b->json), b->arena, &large,
                       NULL));
}

/* MB/s of the fastest of `runs`. */
static double speed(void (*what)(struct bench *), struct bench *b, size_t bytes, int runs)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < runs; i++) {
        int64_t start = clock_mono_ns();
        what(b);
        int64_t took = clock_mono_ns() - start;
        least = took < least ? took : least;
    }
    return (double)bytes * 1000 / (double)(least == 0 ? 1 : least);
}

int main(int argc, char **argv)
{
    int runs = argc > 1 && str_eq(str_c(argv[1]), STR("--smoke")) ? 1 : 200;
    struct bench b = {0};
    must(arena_init(&b.arena, 0, NULL));
    make_profile(&b.raw);
    make_flamegraph(&b);
    must(gzip_pack(buf_view(&b.raw), GZIP_NORMAL, &b.gz));
    must(lz4_pack(buf_view(&b.raw), &b.lz4));
    must(snappy_pack(buf_view(&b.raw), &b.snappy));
    const struct {
        const char *name;
        void (*what)(struct bench *);
        size_t bytes;
    } rows[] = {
        {"gunzip", run_gunzip, b.raw.size},
        {"gzip, fast", run_gzip, b.raw.size},
        {"lz4", run_lz4, b.raw.size},
        {"lz4, unpack", run_unlz4, b.raw.size},
        {"snappy, unpack", run_unsnappy, b.raw.size},
        {"crc32c", run_crc32c, b.raw.size},
        {"crc32c, portable", run_crc32c_portable, b.raw.size},
        {"crc32", run_crc32, b.raw.size},
        {"xxh3", run_xxh3, b.raw.size},
        {"memcpy", run_memcpy, b.raw.size},
        {"UTF-8 check", run_utf8, b.json.size},
        {"pprof by fields", run_fields, b.raw.size},
        {"pprof by tables", run_tables, b.raw.size},
        {"flame graph to JSON", run_json_out, b.json.size},
        {"flame graph from JSON", run_json_in, b.json.size},
    };
    double gunzip = speed(run_gunzip, &b, b.raw.size, runs);
    printf("profile %zu bytes, gzip %zu, lz4 %zu; flame graph %zu bytes of JSON\n", b.raw.size,
           b.gz.size, b.lz4.size, b.json.size);
    printf("%-24s %10s %10s\n", "", "MB/s", "x gunzip");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double v = speed(rows[i].what, &b, rows[i].bytes, runs);
        printf("%-24s %10.0f %10.2f\n", rows[i].name, v, v / gunzip);
    }
    buf_reset(&b.raw);
    buf_reset(&b.gz);
    buf_reset(&b.lz4);
    buf_reset(&b.snappy);
    buf_reset(&b.out);
    buf_reset(&b.json);
    buf_reset(&b.flame);
    arena_free(&b.arena);
    return b.sum == 0;
}
