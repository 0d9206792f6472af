/* The captured profiles, taken as a distributor takes them: each sample type's total is what
 * the independent reader (tests/lib/pprof_reader.py) says of the same file; the broken ones are
 * refused or taken without harm. Runs in the folder of the repository. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "profile/form.h"
#include "profile/ingest.h"
#include "profile/labels.h"
#include "wire/compress.h"
#include "wire/pb.h"

enum { FILE_MAX = 1 << 20, UNPACKED_MAX = 4 << 20 };

static struct arena *arena;
static struct buf file, raw;

static int setup(void **state)
{
    (void)state;
    return arena_init(&arena, 0, NULL);
}

static int teardown(void **state)
{
    (void)state;
    buf_reset(&file);
    buf_reset(&raw);
    arena_free(&arena);
    return 0;
}

static void read_file(const char *folder, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s cannot be opened: run the test in the repository's folder", path);
    buf_clear(&file);
    uint8_t *p = buf_reserve(&file, FILE_MAX);
    assert_non_null(p);
    file.size = fread(p, 1, FILE_MAX, f);
    (void)fclose(f);
}

static int take(struct str bytes, struct ingest *in, struct ingest_result *out, struct err *err)
{
    static const struct label labels[] = {{STR_INIT("__name__"), STR_INIT("x")},
                                          {STR_INIT("service_name"), STR_INIT("y")}};
    static struct profile_limits limits;
    limits = profile_limits_default();
    limits.reject_older_ns = limits.reject_newer_ns = 0;
    *in = (struct ingest){.arena = arena, .limits = &limits, .now_ns = 1};
    assert_int_equal(form_begin(&in->form, arena), 0);
    return ingest_profile(in, bytes, labels, 2, out, err);
}

static uint64_t total_of(const struct form_profile *p, uint32_t member)
{
    uint64_t total = 0;
    if (p->columns[member].proportional)
        return total_of(p, 0) * p->columns[member].factor;
    struct str bytes = p->columns[member].bytes;
    while (bytes.len > 0) {
        uint64_t v = 0;
        for (unsigned shift = 0;; shift += 7) {
            uint8_t b = (uint8_t)bytes.data[0];
            bytes = str_skip(bytes, 1);
            v |= (uint64_t)(b & 0x7f) << shift;
            if (b < 0x80)
                break;
        }
        total += v;
    }
    return total;
}

static void totals_of_real_profiles_are_the_readers(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        struct str type;
        uint64_t total;
    } want[] = {
        {"go-cpu.pb.gz", STR_INIT("samples"), 564},
        {"go-cpu.pb.gz", STR_INIT("cpu"), 5640000000},
        {"go-goroutine.pb.gz", STR_INIT("goroutine"), 25},
        {"go-heap.pb.gz", STR_INIT("alloc_objects"), 567494},
        {"go-heap.pb.gz", STR_INIT("alloc_space"), 5875570117},
        {"go-heap.pb.gz", STR_INIT("inuse_objects"), 326},
        {"go-heap.pb.gz", STR_INIT("inuse_space"), 64774},
        {"go-heap-cut.pb.gz", STR_INIT("alloc_objects"), 2533},
        {"go-heap-cut.pb.gz", STR_INIT("alloc_space"), 4135488},
        {"node-heap.pb.gz", STR_INIT("inuse_objects"), 236923},
        {"node-heap.pb.gz", STR_INIT("inuse_space"), 16231733},
        {"node-wall.pb.gz", STR_INIT("sample"), 470},
        {"node-wall.pb.gz", STR_INIT("wall"), 4971660000},
        {"python-cpu.pb.gz", STR_INIT("cpu"), 9170000000},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct ingest in;
        struct ingest_result result;
        struct buf wire = {0};
        struct form f;
        uint32_t lane;
        uint64_t total = 0;
        const struct str instance = STR("ingester-0");
        read_file("tests/data", want[i].file);
        assert_int_equal(gzip_unpack(buf_view(&file), UNPACKED_MAX, &raw, NULL), 0);
        assert_int_equal(take(buf_view(&raw), &in, &result, NULL), 0);
        assert_int_equal(
            form_add_lane(in.form, (const uint8_t *)"0123456789abcdef", &instance, 1, &lane),
            0);
        assert_int_equal(form_finish(in.form, &wire), 0);
        assert_int_equal(form_open(&f, buf_view(&wire), NULL, arena, NULL), 0);
        for (uint32_t k = 0; k < f.profile_count; k++)
            for (uint32_t m = 0; m < f.profiles[k].member_count; m++)
                if (str_eq(f.profiles[k].members[m].type, want[i].type))
                    total += total_of(&f.profiles[k], m);
        assert_int_equal(total, want[i].total);
        buf_reset(&wire);
    }
}

/* Bytes below a function at the root: of stacks that begin with it. */
static uint64_t bytes_below(const struct form *f, struct str root)
{
    const struct form_profile *p = &f->profiles[0];
    struct str bytes = p->columns[1].bytes;
    uint64_t sum = 0;
    assert_true(str_eq(p->members[1].type, STR("alloc_space")));
    assert_false(p->columns[1].proportional);
    for (uint32_t i = 0; i < p->samples; i++) {
        uint32_t n = p->nodes[i];
        uint64_t v = 0;
        assert_int_equal(pb_varint(&bytes, &v), 0);
        while (f->nodes[n].parent != 0)
            n = f->nodes[n].parent;
        const struct form_location *l = &f->locations[f->nodes[n].location];
        uint32_t outer = f->lines[l->first_line + l->line_count - 1].function;
        if (str_eq(f->strings[f->functions[outer].name], root))
            sum += v;
    }
    return sum;
}

static void stacks_that_gos_runtime_cut_begin_at_its_main_again(void **state)
{
    (void)state;
    struct ingest in;
    struct ingest_result result;
    const struct form *f = NULL;
    read_file("tests/data", "go-heap-cut.pb.gz");
    assert_int_equal(gzip_unpack(buf_view(&file), UNPACKED_MAX, &raw, NULL), 0);
    assert_int_equal(take(buf_view(&raw), &in, &result, NULL), 0);
    assert_int_equal(form_view(in.form, &f), 0);
    /* 3109504 as the runtime wrote it; all that the program allocated, after it. */
    assert_int_equal(bytes_below(f, STR("runtime.main")), 4133504);
    assert_int_equal(bytes_below(f, STR("main.eval")), 0);
}

static void pythons_labels_divide_its_profile(void **state)
{
    (void)state;
    struct ingest in;
    struct ingest_result result;
    read_file("tests/data", "python-cpu.pb.gz");
    assert_int_equal(gzip_unpack(buf_view(&file), UNPACKED_MAX, &raw, NULL), 0);
    assert_int_equal(take(buf_view(&raw), &in, &result, NULL), 0);
    assert_string_equal(result.language, "python");
    assert_true(result.stream_count >= 2);
}

static void broken_files_have_the_outcome_that_their_name_says(void **state)
{
    (void)state;
    static const char *const accepted[] = {
        "good.pb",       "dangling-location.pb", "dangling-function.pb", "dangling-mapping.pb",
        "huge-ids.pb",   "negative-value.pb",    "no-frames.pb",         "deep-stack.pb",
        "labels.pb",     "unpacked.pb",          "many-lines.pb",        "old.pb",
        "far-future.pb",
    };
    unsigned seen = 0;
    DIR *d = opendir("tests/data/malformed");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct ingest in;
        struct ingest_result result;
        struct err err = {0};
        bool want = false;
        if (!str_ends_with(str_c(e->d_name), STR(".pb")))
            continue;
        for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
            want = want || strcmp(accepted[i], e->d_name) == 0;
        read_file("tests/data/malformed", e->d_name);
        int rc = take(buf_view(&file), &in, &result, &err);
        if ((rc == 0) != want)
            fail_msg("%s: %d %s", e->d_name, rc, err.msg);
        if (rc != 0) {
            assert_int_not_equal(result.reason, DISCARD_NONE);
            assert_int_not_equal(err.msg[0], '\0');
            assert_int_equal(form_profile_count(in.form), 0);
        }
        seen++;
    }
    (void)closedir(d);
    assert_true(seen >= 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(totals_of_real_profiles_are_the_readers),
        T(stacks_that_gos_runtime_cut_begin_at_its_main_again),
        T(pythons_labels_divide_its_profile),
        T(broken_files_have_the_outcome_that_their_name_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
