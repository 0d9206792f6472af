/* Limits of profiles and labels, at their edges. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/validate.h"

#include <string.h>

#include "../../lib/pprof_build.h"
#include "base/mem.h"
#include "profile/labels.h"
#include "profile/pprof.h"

#define SECOND ((int64_t)1000000000)
#define NOW    (1700000000 * SECOND)

static struct arena *arena;
static struct pprof_build build;
static struct profile_limits limits;
static struct pprof profile;
static enum discard reason;
static struct err error;

static int setup(void **state)
{
    (void)state;
    limits = profile_limits_default();
    return arena_init(&arena, 0, NULL);
}

static int teardown(void **state)
{
    (void)state;
    pprof_build_reset(&build);
    arena_free(&arena);
    return 0;
}

static void decode(const char *labels)
{
    pprof_build_type(&build, "cpu", "ns");
    pprof_build_sample(&build, "a;b;c;d", "1", labels);
    pprof_build_sample(&build, "a", "1", NULL);
    assert_int_equal(pprof_decode(&profile, pprof_build_finish(&build), 0, arena, NULL), 0);
}

static int validate(void)
{
    return profile_validate(&profile, &limits, NOW, &reason, &error);
}

static void the_window_of_time_is_open_at_both_ends(void **state)
{
    (void)state;
    const struct {
        int64_t time;
        int want;
    } cases[] = {
        {NOW - 3600 * SECOND, ERR_INVAL}, {NOW - 3600 * SECOND + 1, 0},
        {NOW + 600 * SECOND - 1, 0},      {NOW + 600 * SECOND, ERR_INVAL},
        {INT64_MAX, ERR_INVAL},           {1, ERR_INVAL},
    };
    decode(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        profile.time_ns = cases[i].time;
        assert_int_equal(validate(), cases[i].want);
        assert_int_equal(reason,
                         cases[i].want == 0 ? DISCARD_NONE : DISCARD_NOT_IN_INGESTION_WINDOW);
    }
    profile.time_ns = -5;
    assert_int_equal(validate(), 0);
    assert_int_equal(profile.time_ns, NOW);
    limits.reject_older_ns = 0;
    profile.time_ns = 1;
    assert_int_equal(validate(), 0);
}

static void deep_stacks_lose_their_leaf_side(void **state)
{
    (void)state;
    decode(NULL);
    limits.stack_depth = 3;
    uint32_t root = profile.frames[3], second = profile.frames[2];
    assert_int_equal(validate(), 0);
    assert_int_equal(profile.samples[0].frame_count, 3);
    const uint32_t *frames = profile.frames + profile.samples[0].first_frame;
    assert_int_equal(frames[2], root);
    assert_int_equal(frames[1], second);
    assert_int_equal(profile.samples[1].frame_count, 1);
}

static void long_strings_keep_their_end(void **state)
{
    (void)state;
    decode(NULL);
    limits.symbol_bytes = 4;
    assert_int_equal(validate(), 0);
    bool seen = false;
    for (uint32_t i = 0; i < profile.string_count; i++)
        seen = seen || str_eq(profile.strings[i], STR("in.x")); /* main.x */
    assert_true(seen);
}

static void sizes_samples_and_labels_have_their_reasons(void **state)
{
    (void)state;
    decode("x=1 y=2");
    limits.sample_labels = 1;
    assert_int_equal(validate(), ERR_LIMIT);
    assert_int_equal(reason, DISCARD_SAMPLE_LABELS_LIMIT);
    limits.samples = 1;
    assert_int_equal(validate(), ERR_LIMIT);
    assert_int_equal(reason, DISCARD_SAMPLES_LIMIT);
    limits.profile_size_bytes = 10;
    assert_int_equal(validate(), ERR_LIMIT);
    assert_int_equal(reason, DISCARD_PROFILE_SIZE_LIMIT);
    limits = (struct profile_limits){0}; /* all off */
    assert_int_equal(validate(), 0);
}

static void reasons_have_pyroscopes_texts(void **state)
{
    (void)state;
    assert_string_equal(discard_text(DISCARD_NONE), "");
    assert_string_equal(discard_text(DISCARD_NOT_IN_INGESTION_WINDOW),
                        "not_in_ingestion_window");
    assert_string_equal(discard_text(DISCARD_BODY_SIZE_LIMIT), "body_size_limit_exceeded");
    assert_string_equal(discard_text(DISCARD_COUNT), "unknown");
}

static void names_are_sanitized_when_asked(void **state)
{
    (void)state;
    struct label labels[] = {{STR_INIT("a.b"), STR_INIT("1")},
                             {STR_INIT("a_b"), STR_INIT("1")},
                             {STR_INIT("z"), STR_INIT("2")}};
    size_t count = 3;
    assert_int_equal(labels_sanitize(labels, &count, arena, &reason, &error), 0);
    assert_int_equal(count, 2);
    assert_true(str_eq(labels[0].name, STR("a_b")));
    struct label clash[] = {{STR_INIT("a.b"), STR_INIT("1")}, {STR_INIT("a_b"), STR_INIT("2")}};
    count = 2;
    assert_int_equal(labels_sanitize(clash, &count, arena, &reason, &error), ERR_INVAL);
    assert_int_equal(reason, DISCARD_DUPLICATE_LABEL_NAMES);
    const struct str bad[] = {STR_INIT("1a"), STR_INIT("a b"), STR_INIT("\xc3\xa4")};
    for (size_t i = 0; i < 3; i++) {
        struct label one = {bad[i], STR("x")};
        count = 1;
        assert_int_equal(labels_sanitize(&one, &count, arena, &reason, &error), ERR_INVAL);
        assert_int_equal(reason, DISCARD_INVALID_LABELS);
    }
}

static void a_series_needs_labels_a_name_and_a_service(void **state)
{
    (void)state;
    const struct label full[] = {{STR_INIT("__name__"), STR_INIT("n")},
                                 {STR_INIT("service_name"), STR_INIT("s")}};
    assert_int_equal(labels_validate(full, 2, &limits, &reason, &error), 0);
    assert_int_equal(labels_validate(full, 0, &limits, &reason, &error), ERR_INVAL);
    assert_int_equal(reason, DISCARD_MISSING_LABELS);
    assert_int_equal(labels_validate(full, 1, &limits, &reason, &error), ERR_INVAL);
    assert_int_equal(reason, DISCARD_MISSING_LABELS);
    assert_int_equal(labels_validate(full + 1, 1, &limits, &reason, &error), ERR_INVAL);
    assert_int_equal(reason, DISCARD_INVALID_LABELS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(the_window_of_time_is_open_at_both_ends),
        T(deep_stacks_lose_their_leaf_side),
        T(long_strings_keep_their_end),
        T(sizes_samples_and_labels_have_their_reasons),
        T(reasons_have_pyroscopes_texts),
        T(names_are_sanitized_when_asked),
        T(a_series_needs_labels_a_name_and_a_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
