/* Reading a profile against unpacking it: MB/s of raw bytes for gunzip, for decoding alone and
 * for the whole way into an append form, on the captured profiles. Arguments: other files. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "profile/form.h"
#include "profile/ingest.h"
#include "profile/labels.h"
#include "profile/pprof.h"
#include "wire/compress.h"

enum { ROUND_NS = 150 * 1000 * 1000, FILE_MAX = 1 << 24 };

static struct arena *arena;

static bool read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return false;
    buf_clear(out);
    uint8_t *p = buf_reserve(out, FILE_MAX);
    if (p != NULL)
        out->size = fread(p, 1, FILE_MAX, f);
    (void)fclose(f);
    return p != NULL && out->size > 0;
}

struct work {
    struct str packed, raw;
    struct buf out;
};

static void do_gunzip(struct work *w)
{
    if (gzip_unpack(w->packed, FILE_MAX, &w->out, NULL) != 0)
        abort();
}

static void do_decode(struct work *w)
{
    struct pprof p;
    arena_reset(arena);
    if (pprof_decode(&p, w->raw, 0, arena, NULL) != 0)
        abort();
}

static void do_ingest(struct work *w)
{
    static const struct label labels[] = {
        {STR_INIT("__name__"), STR_INIT("process_cpu")},
        {STR_INIT("service_name"), STR_INIT("bench")},
    };
    struct profile_limits limits = profile_limits_default();
    limits.profile_size_bytes = limits.samples = 0;
    limits.reject_older_ns = limits.reject_newer_ns = 0;
    struct ingest in = {.arena = arena, .limits = &limits, .now_ns = 1};
    struct ingest_result result;
    arena_reset(arena);
    buf_clear(&w->out);
    if (form_begin(&in.form, arena) != 0 ||
        ingest_profile(&in, w->raw, labels, 2, &result, NULL) != 0 ||
        form_finish(in.form, &w->out) != 0)
        abort();
}

/* Nanoseconds of one run, the best of some. */
static double measure(void (*fn)(struct work *), struct work *w)
{
    double best = 1e18;
    fn(w);
    for (int64_t end = clock_mono_ns() + ROUND_NS; clock_mono_ns() < end;) {
        int64_t start = clock_mono_ns();
        fn(w);
        double ns = (double)(clock_mono_ns() - start);
        best = ns < best ? ns : best;
    }
    return best;
}

static void bench_file(const char *path)
{
    struct buf file = {0}, raw = {0};
    if (!read_file(path, &file) || gzip_unpack(buf_view(&file), FILE_MAX, &raw, NULL) != 0) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    struct work w = {.packed = buf_view(&file), .raw = buf_view(&raw)};
    double gunzip = measure(do_gunzip, &w), decode = measure(do_decode, &w);
    double ingest = measure(do_ingest, &w), mb = (double)raw.size * 1e3;
    const char *base = strrchr(path, '/');
    (void)printf("%-24s %8zu %8zu %8zu %7.0f %7.0f %8.0f %8.2f %8.2f\n",
                 base == NULL ? path : base + 1, file.size, raw.size, w.out.size, mb / gunzip,
                 mb / decode, ingest / 1e3, gunzip / decode, ingest / gunzip);
    buf_reset(&w.out);
    buf_reset(&file);
    buf_reset(&raw);
}

static void bench_folder(const char *folder)
{
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (str_ends_with(str_c(names[i]->d_name), STR(".pb.gz")))
            bench_file(path);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

int main(int argc, char **argv)
{
    if (arena_init(&arena, 1 << 20, NULL) != 0)
        return 1;
    (void)printf("%-24s %8s %8s %8s %7s %7s %8s %8s %8s\n", "", "", "", "", "gunzip", "decode",
                 "ingest", "decode /", "ingest /");
    (void)printf("%-24s %8s %8s %8s %7s %7s %8s %8s %8s\n", "profile", "packed B", "raw B",
                 "form B", "MB/s", "MB/s", "us", "gunzip", "gunzip");
    bool smoke = argc == 2 && strcmp(argv[1], "--smoke") == 0; /* one file: does it work at all */
    for (int i = 1; i < argc && !smoke; i++)
        bench_file(argv[i]);
    if (smoke)
        bench_file("tests/data/go-goroutine.pb.gz");
    if (argc == 1)
        bench_folder("tests/data");
    arena_free(&arena);
    return 0;
}
