/* Stacks of Go that the runtime cut: which profiles are taken for cut, what is put below their
 * roots, and what never changes. Stacks are runs of numbered frames: run(a, b) calls f<a> first
 * and f<b> last. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/ingest_repair.h"

#include <stdio.h>
#include <string.h>

#include "../../lib/pprof_build.h"
#include "base/mem.h"
#include "profile/form.h"
#include "profile/ingest.h"
#include "profile/labels.h"
#include "profile/pprof.h"

static struct arena *arena;
static struct pprof_build build;
static struct pprof profile;
static const uint32_t all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

static int setup(void **state)
{
    (void)state;
    return arena_init(&arena, 0, NULL);
}

static int teardown(void **state)
{
    (void)state;
    mem_fail_at(0);
    pprof_build_reset(&build);
    arena_free(&arena);
    return 0;
}

/* "f<first>;...;f<last>" and then `tail`, in a text that lives until the next call but three. */
static const char *run(unsigned first, unsigned last, const char *tail)
{
    static char texts[4][4096];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    size_t at = 0;
    for (unsigned i = first; i <= last; i++)
        at += (size_t)snprintf(text + at, sizeof texts[0] - at, "f%u;", i);
    if (tail != NULL)
        (void)snprintf(text + at, sizeof texts[0] - at, "%s", tail);
    else
        text[at - 1] = '\0';
    return text;
}

static void heap(void)
{
    pprof_build_type(&build, "alloc_objects", "count");
    pprof_build_type(&build, "alloc_space", "bytes");
}

static void cpu(void)
{
    pprof_build_type(&build, "samples", "count");
    pprof_build_type(&build, "cpu", "nanoseconds");
}

static void sample(const char *stack)
{
    pprof_build_sample(&build, stack, "1 2", NULL);
}

static void repair(void)
{
    struct err err = {0};
    assert_int_equal(pprof_decode(&profile, pprof_build_finish(&build), 0, arena, &err), 0);
    assert_in_range(profile.sample_count, 1, sizeof all / sizeof *all);
    assert_int_equal(ingest_repair(&profile, all, profile.sample_count, arena), 0);
}

static struct str name_of(uint32_t location)
{
    const struct pprof_loc_row *l = &profile.locations[location];
    return profile.strings[profile.functions[profile.lines[l->first_line].function].name];
}

/* The stack of a sample, root first. */
static const char *stack_of(uint32_t i)
{
    static char text[16384];
    const struct pprof_sample_row *row = &profile.samples[i];
    size_t at = 0;
    for (uint32_t k = row->frame_count; k-- > 0;)
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s%s",
                               STR_ARG(name_of(profile.frames[row->first_frame + k])),
                               k > 0 ? ";" : "");
    return text;
}

static void a_cut_stack_gets_the_root_of_the_one_that_was_cut_less(void **state)
{
    (void)state;
    heap();
    sample(run(1, 30, "whole"));
    sample(run(6, 36, "cut"));
    repair();
    assert_string_equal(stack_of(0), run(1, 30, "whole"));
    assert_string_equal(stack_of(1), run(1, 36, "cut"));
}

static void the_order_of_samples_does_not_matter(void **state)
{
    (void)state;
    heap();
    sample(run(6, 36, "cut"));
    sample(run(1, 30, "whole"));
    repair();
    assert_string_equal(stack_of(0), run(1, 36, "cut"));
    assert_string_equal(stack_of(1), run(1, 30, "whole"));
}

static void all_stacks_with_the_same_root_are_completed(void **state)
{
    (void)state;
    heap();
    sample(run(6, 36, "a"));
    sample(run(6, 36, "b"));
    sample(run(6, 30, "shorter"));
    sample(run(1, 31, NULL));
    repair();
    assert_string_equal(stack_of(0), run(1, 36, "a"));
    assert_string_equal(stack_of(1), run(1, 36, "b"));
    assert_string_equal(stack_of(2), run(1, 30, "shorter"));
}

static void completion_goes_on_over_stacks_that_were_cut_themselves(void **state)
{
    (void)state;
    heap();
    for (unsigned i = 0; i <= 10; i++)
        sample(run(i * 8, i * 8 + 31, NULL));
    repair();
    for (unsigned i = 0; i <= 10; i++)
        assert_string_equal(stack_of(i), run(0, i * 8 + 31, NULL));
}

static void the_most_complete_of_several_is_taken(void **state)
{
    (void)state;
    heap();
    sample(run(8, 38, "cut"));
    sample(run(6, 36, "less"));
    sample(run(2, 32, "least"));
    repair();
    assert_string_equal(stack_of(0), run(2, 38, "cut"));
    assert_string_equal(stack_of(1), run(2, 36, "less"));
    assert_string_equal(stack_of(2), run(2, 32, "least"));
}

static void too_little_in_common_says_nothing(void **state)
{
    (void)state;
    heap();
    sample(run(1, 24, "whole"));
    sample(run(10, 40, "cut")); /* 9 frames further: 15 in common */
    repair();
    assert_string_equal(stack_of(1), run(10, 40, "cut"));
}

static void short_stacks_neither_give_nor_get(void **state)
{
    (void)state;
    heap();
    sample(run(1, 23, NULL));
    sample(run(4, 35, NULL));
    sample(run(5, 27, NULL));
    repair();
    assert_string_equal(stack_of(0), run(1, 23, NULL));
    assert_string_equal(stack_of(1), run(4, 35, NULL));
    assert_string_equal(stack_of(2), run(5, 27, NULL));
}

static void whole_stacks_that_share_their_root_stay(void **state)
{
    (void)state;
    heap();
    sample(run(1, 30, "a"));
    sample(run(1, 30, "b"));
    sample("main;work");
    repair();
    assert_string_equal(stack_of(0), run(1, 30, "a"));
    assert_string_equal(stack_of(1), run(1, 30, "b"));
    assert_string_equal(stack_of(2), "main;work");
}

static void processor_samples_are_cut_at_sixty_four(void **state)
{
    (void)state;
    cpu();
    sample(run(1, 60, NULL));
    sample(run(5, 68, NULL));
    repair();
    assert_string_equal(stack_of(1), run(1, 68, NULL));
}

static void other_profiles_and_depths_are_left_alone(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        unsigned depth; /* of the deepest stack */
        bool repaired;
    } cases[] = {
        {"alloc_objects", 27, false},
        {"alloc_objects", 28, true},
        {"inuse_space", 32, true},
        {"inuse_space", 33, false},
        {"inuse_objects", 91, false},
        {"cpu", 59, false},
        {"cpu", 60, true},
        {"cpu", 90, true},
        {"goroutine", 32, false},
        {"delay", 64, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pprof_build_type(&build, cases[i].type, "x");
        pprof_build_sample(&build, run(1, 25, NULL), "1", NULL);
        pprof_build_sample(&build, run(3, 2 + cases[i].depth, NULL), "1", NULL);
        repair();
        assert_string_equal(stack_of(1),
                            run(cases[i].repaired ? 1 : 3, 2 + cases[i].depth, NULL));
        pprof_build_reset(&build);
    }
}

static void deep_recursion_is_left_alone(void **state)
{
    (void)state;
    char stack[4096];
    heap();
    /* a;b;c;a... from each of its frames: each shows another one's root, round in a circle. */
    for (unsigned first = 0; first < 3; first++) {
        size_t at = 0;
        for (unsigned i = 0; i < 32; i++)
            at += (size_t)snprintf(stack + at, sizeof stack - at, "%s%c", i > 0 ? ";" : "",
                                   "abc"[(i + first) % 3]);
        sample(stack);
    }
    sample(run(6, 36, "cut"));
    sample(run(1, 31, NULL));
    repair();
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(profile.samples[i].frame_count, i == 4 ? 31 : 32);
}

static void one_function_over_and_over_is_whole(void **state)
{
    (void)state;
    char stack[4096];
    size_t at = 0;
    heap();
    for (unsigned i = 0; i < 32; i++)
        at += (size_t)snprintf(stack + at, sizeof stack - at, "%sf", i > 0 ? ";" : "");
    sample(stack);
    sample(run(1, 30, NULL));
    repair();
    assert_int_equal(profile.samples[0].frame_count, 32);
    assert_string_equal(stack_of(1), run(1, 30, NULL));
}

static void samples_that_are_not_named_neither_give_nor_get(void **state)
{
    (void)state;
    struct err err = {0};
    heap();
    sample(run(1, 31, NULL));
    sample(run(6, 36, "a"));
    sample(run(8, 38, "b"));
    assert_int_equal(pprof_decode(&profile, pprof_build_finish(&build), 0, arena, &err), 0);
    assert_int_equal(ingest_repair(&profile, all + 1, 2, arena), 0);
    assert_string_equal(stack_of(1), run(6, 36, "a"));
    assert_string_equal(stack_of(2), run(6, 38, "b"));
}

static void a_stack_that_would_not_fit_stays_whole_at_its_leaf(void **state)
{
    (void)state;
    static char stack[FORM_DEPTH_MAX * 8];
    for (unsigned over = 0; over < 2; over++) {
        size_t at = (size_t)snprintf(stack, sizeof stack, "%s", run(6, 40, NULL));
        for (unsigned i = 35; i < FORM_DEPTH_MAX - 5 + over; i++)
            at +=
                (size_t)snprintf(stack + at, sizeof stack - at, ";%c", i % 2 == 0 ? 'a' : 'b');
        cpu();
        sample(run(1, 31, NULL));
        sample(stack);
        repair();
        assert_int_equal(profile.samples[1].frame_count,
                         over == 0 ? FORM_DEPTH_MAX : FORM_DEPTH_MAX - 4);
        pprof_build_reset(&build);
    }
}

static void values_and_leaves_stay(void **state)
{
    (void)state;
    heap();
    pprof_build_sample(&build, run(1, 31, NULL), "3 300", NULL);
    pprof_build_sample(&build, run(6, 37, NULL), "4 400", "k=v");
    pprof_build_sample(&build, run(7, 37, NULL), "5 500", "k=v");
    repair();
    static const int64_t values[] = {3, 300, 4, 400, 5, 500};
    assert_memory_equal(profile.values, values, sizeof values);
    assert_true(str_eq(name_of(profile.frames[profile.samples[1].first_frame]), STR("f37")));
    assert_string_equal(stack_of(1), run(1, 37, NULL));
    assert_string_equal(stack_of(2), run(1, 37, NULL));
}

/* Through ingest_profile(): the rows of the stream, and its deepest stack. */
static void take(struct str spy, uint32_t *rows, uint32_t *deepest)
{
    const struct label series[] = {{LABEL_NAME, STR("memory")}, {STR("pyroscope_spy"), spy}};
    struct profile_limits limits = profile_limits_default();
    struct ingest in = {.arena = arena, .limits = &limits, .now_ns = 1700000000000000000};
    struct ingest_result result;
    struct err err = {0};
    const struct form *f = NULL;
    assert_int_equal(form_begin(&in.form, arena), 0);
    struct str raw = pprof_build_finish(&build);
    assert_int_equal(ingest_profile(&in, raw, series, 2, &result, &err), 0);
    assert_int_equal(result.stream_count, 1);
    assert_int_equal(form_view(in.form, &f), 0);
    *rows = f->profiles[0].samples;
    *deepest = 0;
    for (uint32_t i = 0; i < *rows; i++) {
        uint32_t depth = 0;
        for (uint32_t n = f->profiles[0].nodes[i]; n != 0; n = f->nodes[n].parent)
            depth++;
        *deepest = depth > *deepest ? depth : *deepest;
    }
}

static void only_gos_profiles_are_repaired_and_equal_stacks_add_up(void **state)
{
    (void)state;
    uint32_t rows, deepest;
    heap();
    sample(run(1, 31, NULL));
    sample(run(6, 37, NULL));
    sample(run(7, 37, NULL));
    take(STR("rbspy"), &rows, &deepest);
    assert_int_equal(rows, 3);
    assert_int_equal(deepest, 32);
    take(STR("gospy"), &rows, &deepest);
    assert_int_equal(rows, 2);
    assert_int_equal(deepest, 37);
}

static void running_out_of_memory_leaves_the_profile_as_it_was(void **state)
{
    (void)state;
    struct err err = {0};
    heap();
    for (unsigned i = 0; i <= 10; i++)
        sample(run(i * 8, i * 8 + 31, NULL));
    struct str raw = pprof_build_finish(&build);
    for (uint64_t n = 1;; n++) {
        struct arena *small = NULL;
        assert_int_equal(pprof_decode(&profile, raw, 0, arena, &err), 0);
        const uint32_t *frames = profile.frames;
        assert_int_equal(arena_init(&small, 16, NULL), 0);
        mem_fail_at(n);
        int rc = ingest_repair(&profile, all, 11, small);
        bool pending = mem_fail_pending() != 0;
        mem_fail_at(0);
        assert_int_equal(rc, pending ? 0 : ERR_NOMEM);
        if (pending)
            assert_int_equal(profile.samples[10].frame_count, 112);
        else
            assert_ptr_equal(profile.frames, frames);
        arena_free(&small);
        if (pending)
            return;
        assert_int_equal(profile.samples[10].frame_count, 32);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_cut_stack_gets_the_root_of_the_one_that_was_cut_less),
        CASE(the_order_of_samples_does_not_matter),
        CASE(all_stacks_with_the_same_root_are_completed),
        CASE(completion_goes_on_over_stacks_that_were_cut_themselves),
        CASE(the_most_complete_of_several_is_taken),
        CASE(too_little_in_common_says_nothing),
        CASE(short_stacks_neither_give_nor_get),
        CASE(whole_stacks_that_share_their_root_stay),
        CASE(processor_samples_are_cut_at_sixty_four),
        CASE(other_profiles_and_depths_are_left_alone),
        CASE(deep_recursion_is_left_alone),
        CASE(one_function_over_and_over_is_whole),
        CASE(samples_that_are_not_named_neither_give_nor_get),
        CASE(a_stack_that_would_not_fit_stays_whole_at_its_leaf),
        CASE(values_and_leaves_stay),
        CASE(only_gos_profiles_are_repaired_and_equal_stacks_add_up),
        CASE(running_out_of_memory_leaves_the_profile_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
