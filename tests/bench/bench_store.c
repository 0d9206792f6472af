/* The store's ratios in one run: CPU per appended profile beside a raw write and sync of the same
 * bytes, log bytes beside gzip, the scan of the head beside a plain pass over the same numbers,
 * replay beside the checksum of the log. Files go below $TMPDIR or /tmp. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "profile/form.h"
#include "profile/tree.h"
#include "store/query.h"
#include "store/store.h"
#include "store/wal.h"
#include "wire/compress.h"

#include "../lib/storekit.h"

enum { PROFILES = 4000, STREAMS = 20, SAMPLES = 126, DEPTH = 18, STACKS = 900 };

static double cpu_s(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %d\n", what, rc);
    exit(1);
}

/* A service's program: STACKS call stacks over a few hundred functions. */
struct program {
    uint32_t stacks[STACKS][DEPTH], depth[STACKS];
};

static void make_program(struct program *p, struct rng *rng)
{
    for (unsigned i = 0; i < STACKS; i++) {
        p->depth[i] = 6 + (uint32_t)rng_below(rng, DEPTH - 5);
        unsigned shared = i == 0 ? 0 : (unsigned)rng_below(rng, 6);
        for (unsigned k = 0; k < p->depth[i]; k++)
            p->stacks[i][k] = k < shared ? p->stacks[i - 1][k] : (uint32_t)rng_below(rng, 700);
    }
}

static void add_symbols(struct form_writer *w, struct arena *a, uint32_t ids[700])
{
    for (unsigned i = 0; i < 700; i++) {
        char name[64];
        struct form_function f = {.start_line = i * 3};
        struct form_line line = {.line = i * 3 + 2};
        struct form_location l = {0};
        snprintf(name, sizeof name, "example.com/some/package/%u.(*Type).Method%u", i % 37, i);
        must(form_add_string(w, str_dup(a, str_c(name)), &f.name), "string");
        f.system_name = f.name;
        snprintf(name, sizeof name, "/go/src/example.com/some/package/%u/file.go", i % 37);
        must(form_add_string(w, str_dup(a, str_c(name)), &f.file), "string");
        must(form_add_function(w, &f, &line.function), "function");
        must(form_add_location(w, &l, &line, 1, &ids[i]), "location");
    }
}

/* One push of one profile: SAMPLES stacks, cpu with its proportional second type. */
static void make_form(const struct program *prog, struct rng *rng, unsigned i, struct buf *out)
{
    struct arena *a = NULL;
    struct form_writer *w;
    uint32_t ids[700];
    struct lane_name lane = kit_lane(1);
    char pod[32];
    snprintf(pod, sizeof pod, "pod-%u", i % STREAMS);
    const struct form_pair pairs[] = {{STR("pod"), str_c(pod)},
                                      {STR("service_name"), STR("bench")}};
    const struct form_member members[] = {
        {STR("samples"), STR("count"), STR("cpu"), STR("nanoseconds"), STR("process_cpu")},
        {STR("cpu"), STR("nanoseconds"), STR("cpu"), STR("nanoseconds"), STR("process_cpu")},
    };
    struct form_profile p = {.pairs = pairs, .pair_count = 2, .members = members,
                             .member_count = 2, .time_ns = 1000000000ll * (1 + i / STREAMS),
                             .nonce = i, .duration_ns = 15000000000, .period = 10000000,
                             .seq = i + 1};
    must(arena_init(&a, 1 << 20, NULL), "arena");
    must(form_begin(&w, a), "form");
    add_symbols(w, a, ids);
    must(form_add_lane(w, lane.writer, lane.set, lane.set_count, &p.lane), "lane");
    must(form_begin_profile(w, &p), "profile");
    for (unsigned k = 0; k < SAMPLES; k++) {
        unsigned s = (unsigned)rng_below(rng, STACKS);
        uint32_t stack[DEPTH];
        for (unsigned d = 0; d < prog->depth[s]; d++)
            stack[d] = ids[prog->stacks[s][d]];
        uint64_t n = 1 + rng_below(rng, 4) * rng_below(rng, 3), values[2] = {n, n * 10000000};
        must(form_add_sample(w, stack, prog->depth[s], values, NULL), "sample");
    }
    must(form_end_profile(w, NULL), "end");
    must(form_finish(w, out), "finish");
    arena_free(&a);
}

static struct store *open_store(const char *dir)
{
    struct store *s;
    struct store_config c = {.dir = dir};
    struct err err = {0};
    if (store_open(&s, &c, store_io_posix(), &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    return s;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned answered;

static void count_answer(void *arg, int rc, const struct store_appended *info)
{
    (void)arg;
    (void)info;
    must(rc, "append");
    pthread_mutex_lock(&lock);
    answered++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void bench_append(const char *dir, const struct buf *forms, uint64_t gzip_bytes)
{
    struct store *s = open_store(dir);
    struct store_stats before, after;
    unsigned half = PROFILES / 2;
    double cpu = 0;
    for (unsigned i = 0; i < PROFILES; i++) {
        if (i == half)
            store_stats(s, &before);
        double start = cpu_s(CLOCK_THREAD_CPUTIME_ID);
        must(store_append(s, STR("t"), buf_view(&forms[i]), NULL, count_answer, NULL, NULL),
             "append");
        cpu += i < half ? 0 : cpu_s(CLOCK_THREAD_CPUTIME_ID) - start;
    }
    pthread_mutex_lock(&lock);
    while (answered < PROFILES)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    store_stats(s, &after);
    double bytes = (double)(after.log_bytes - before.log_bytes) / (PROFILES - half);
    printf("append: %.1f us of CPU per profile of %d samples (store part, symbols known)\n",
           cpu * 1e6 / (PROFILES - half), SAMPLES);
    printf("log: %.0f bytes per profile, %.2f x its gzip (of the form with all symbols)\n", bytes,
           bytes / ((double)gzip_bytes / PROFILES));
    int64_t start = clock_mono_ns();
    for (unsigned i = 0; i < 200; i++)
        must(kit_append(s, "t", buf_view(&forms[i]), NULL, NULL), "append");
    double known = (double)(clock_mono_ns() - start) / 200e3;
    printf("known dot: %.1f us wall to the answer\n", known);
    must(store_close(&s), "close");
}

static void bench_sync(const char *dir)
{
    char path[512], block[700];
    memset(block, 7, sizeof block);
    snprintf(path, sizeof path, "%s/raw", dir);
    const struct store_io *io = store_io_posix();
    struct store_file *f;
    must(io->create(NULL, path, &f), "create");
    must(io->reserve(NULL, f, 1 << 20), "reserve");
    int64_t start = clock_mono_ns();
    for (unsigned i = 0; i < 300; i++) {
        must(io->write_at(NULL, f, i * sizeof block, block, sizeof block), "write");
        must(io->sync(NULL, f), "sync");
    }
    printf("raw write and fdatasync of 700 bytes: %.1f us wall\n",
           (double)(clock_mono_ns() - start) / 300e3);
    io->close(NULL, f);
}

static void bench_scan(struct store *s)
{
    struct view *v;
    double best = 1e9, best_plan = 1e9;
    uint64_t samples = 0, nodes = 0;
    must(store_view(s, STR("t"), &v), "view");
    for (unsigned i = 0; i < 7; i++) {
        struct query_ask ask = {.profile_type = STR("process_cpu:cpu:nanoseconds:cpu:nanoseconds"),
                                .end_ns = INT64_MAX};
        struct query *q;
        struct tree *t;
        double start = cpu_s(CLOCK_THREAD_CPUTIME_ID);
        must(query_plan(&q, v, &ask, NULL), "plan");
        double planned = cpu_s(CLOCK_THREAD_CPUTIME_ID);
        must(tree_init(&t, NULL), "tree");
        must(query_tree(q, t, NULL), "query");
        double took = cpu_s(CLOCK_THREAD_CPUTIME_ID) - planned;
        best = took < best ? took : best;
        best_plan = planned - start < best_plan ? planned - start : best_plan;
        samples = query_cost(q).samples;
        nodes = tree_count(t);
        query_free(&q);
        tree_free(&t);
    }
    printf("head scan: %.1f M samples/s (%.0f k samples, tree of %.0f k nodes included), "
           "plan %.2f ms for %d profiles\n",
           (double)samples / best / 1e6, (double)samples / 1e3, (double)nodes / 1e3,
           best_plan * 1e3, PROFILES);
    view_free(&v);
}

static void bench_replay(const char *dir)
{
    double start = cpu_s(CLOCK_PROCESS_CPUTIME_ID);
    struct store *s = open_store(dir);
    double cpu = cpu_s(CLOCK_PROCESS_CPUTIME_ID) - start;
    struct store_stats st;
    store_stats(s, &st);
    size_t size = 16 << 20;
    uint8_t *block = mem_zalloc(size);
    double crc_start = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    uint32_t crc = store_crc(0, block, size);
    double crc_s = cpu_s(CLOCK_THREAD_CPUTIME_ID) - crc_start;
    double rate = (double)st.replay_bytes / cpu / 1e9;
    printf("replay: %.2f GB/s (%.1f MB in %.1f ms of CPU), %.2f x the CRC's time (%08x)\n", rate,
           (double)st.replay_bytes / 1e6, cpu * 1e3, (double)size / crc_s / 1e9 / rate, crc);
    mem_free(block);
    bench_scan(s);
    must(store_close(&s), "close");
}

int main(void)
{
    char dir[256];
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/bench_store_XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(dir) == NULL)
        return 1;
    struct rng rng;
    static struct program prog;
    static struct buf forms[PROFILES];
    uint64_t gzip_bytes = 0;
    rng_seed(&rng, 1);
    make_program(&prog, &rng);
    for (unsigned i = 0; i < PROFILES; i++) {
        make_form(&prog, &rng, i, &forms[i]);
        if (i % 100 == 0) {
            struct buf packed = {0};
            must(gzip_pack(buf_view(&forms[i]), GZIP_NORMAL, &packed), "gzip");
            gzip_bytes += packed.size * 100;
            buf_reset(&packed);
        }
    }
    bench_append(dir, forms, gzip_bytes);
    bench_sync(dir);
    bench_replay(dir);
    for (unsigned i = 0; i < PROFILES; i++)
        buf_reset(&forms[i]);
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? 0 : 1;
}
