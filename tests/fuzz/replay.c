/* tests/fuzz/replay.c - a main() for fuzz targets without libFuzzer: runs each file of the named
 * folders through the target, and with --mutate N also N random mutations of each.
 * Deterministic. */
#include "base/buf.h"
#include "base/rng.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 1 << 22 };

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
    return p != NULL;
}

/* Run a copy of exactly `size` bytes, so that a read past the end is seen. */
static void run_exact(const uint8_t *data, size_t size)
{
    struct buf copy = {0};
    buf_put(&copy, data, size);
    copy.data = realloc(copy.data, size == 0 ? 1 : size);
    LLVMFuzzerTestOneInput(copy.data, size);
    buf_reset(&copy);
}

static void mutate(struct rng *r, const struct buf *from, struct buf *to)
{
    buf_clear(to);
    size_t keep = rng_chance(r, 1, 4) ? (size_t)rng_below(r, from->size + 1) : from->size;
    buf_put(to, from->data, keep);
    uint64_t edits = 1 + rng_below(r, 6);
    for (uint64_t i = 0; i < edits && to->size > 0; i++) {
        size_t at = (size_t)rng_below(r, to->size);
        switch (rng_below(r, 4)) {
        case 0:
            to->data[at] ^= (uint8_t)(1u << rng_below(r, 8));
            break;
        case 1:
            to->data[at] = (uint8_t)rng_u32(r);
            break;
        case 2:
            to->data[at] = 0xff;
            break;
        default: {
            size_t n = (size_t)rng_below(r, to->size - at) + 1;
            size_t src = (size_t)rng_below(r, to->size - n + 1);
            memmove(to->data + at, to->data + src, n);
        }
        }
    }
}

static int run_file(const char *path, uint64_t mutations)
{
    struct buf file = {0}, changed = {0};
    if (!read_file(path, &file)) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        return 1;
    }
    run_exact(file.data, file.size);
    struct rng r;
    rng_seed(&r, file.size);
    for (uint64_t i = 0; i < mutations; i++) {
        mutate(&r, &file, &changed);
        run_exact(changed.data, changed.size);
    }
    buf_reset(&file);
    buf_reset(&changed);
    return 0;
}

static int run_path(const char *path, uint64_t mutations, unsigned *files)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return 1;
    if (!S_ISDIR(st.st_mode)) {
        (*files)++;
        return run_file(path, mutations);
    }
    DIR *d = opendir(path);
    if (d == NULL)
        return 1;
    int rc = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        char child[4096];
        (void)snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        (*files)++;
        rc |= run_file(child, mutations);
    }
    (void)closedir(d);
    return rc;
}

int main(int argc, char **argv)
{
    uint64_t mutations = 0;
    unsigned files = 0;
    int rc = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mutate") == 0 && i + 1 < argc)
            (void)str_u64(str_c(argv[++i]), &mutations);
        else
            rc |= run_path(argv[i], mutations, &files);
    }
    if (files == 0) {
        (void)fprintf(stderr, "no input files\n");
        return 1;
    }
    (void)printf("%u files, %llu mutations each\n", files, (unsigned long long)mutations);
    return rc;
}
