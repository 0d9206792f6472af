/* POST /ingest: names, formats, old SDKs' forms and folded text, with Pyroscope's statuses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/ingest_http.h"

#include <stdio.h>
#include <string.h>

#include "../../lib/pprof_build.h"
#include "base/mem.h"
#include "profile/form.h"
#include "profile/labels.h"
#include "wire/compress.h"

#define NOW 1700000000000000000

static struct arena *arena;
static struct pprof_build build;
static struct profile_limits limits;
static struct ingest in;
static struct ingest_result result;
static struct ingest_request request;
static struct buf unpacked, body;
static struct err error;

static int setup(void **state)
{
    (void)state;
    int rc = arena_init(&arena, 0, NULL);
    limits = profile_limits_default();
    in = (struct ingest){.arena = arena, .limits = &limits, .now_ns = NOW};
    error = (struct err){0};
    result = (struct ingest_result){0};
    return rc != 0 ? rc : form_begin(&in.form, arena);
}

static int teardown(void **state)
{
    (void)state;
    pprof_build_reset(&build);
    buf_reset(&unpacked);
    buf_reset(&body);
    arena_free(&arena);
    return 0;
}

static int open_name(const char *name)
{
    struct ingest_query q = {.name = str_c(name)};
    return ingest_request_open(&q, NOW, arena, &request, &error);
}

static int take(struct ingest_query q, struct str text)
{
    int rc = ingest_request_open(&q, NOW, arena, &request, &error);
    rc = rc != 0 ? rc : ingest_request_take(&in, &request, text, &unpacked, &result, &error);
    return ingest_request_status(request.format, rc, result.reason);
}

/* "name{pairs} type:unit:period_type:period_unit total" of the form's profile i. */
static const char *shown(uint32_t i)
{
    static char text[2048];
    const struct form *f = NULL;
    assert_int_equal(form_view(in.form, &f), 0);
    assert_true(i < f->profile_count);
    const struct form_profile *p = &f->profiles[i];
    const struct form_member *m = &p->members[0];
    size_t at = (size_t)snprintf(text, sizeof text, "%.*s{", STR_ARG(m->name));
    for (uint32_t k = 0; k < p->pair_count; k++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s=%.*s", k > 0 ? "," : "",
                               STR_ARG(p->pairs[k].name), STR_ARG(p->pairs[k].value));
    uint64_t total = 0;
    struct str values = p->columns[0].bytes;
    for (uint32_t k = 0; k < p->samples; k++) {
        uint64_t v = 0;
        for (unsigned shift = 0;; shift += 7) {
            uint8_t b = (uint8_t)values.data[0];
            values = str_skip(values, 1);
            v |= (uint64_t)(b & 0x7f) << shift;
            if (b < 0x80)
                break;
        }
        total += v;
    }
    (void)snprintf(text + at, sizeof text - at, "} %.*s:%.*s:%.*s:%.*s %llu", STR_ARG(m->type),
                   STR_ARG(m->unit), STR_ARG(m->period_type), STR_ARG(m->period_unit),
                   (unsigned long long)total);
    return text;
}

/* --- names -------------------------------------------------------------------------------- */

static void names_are_read_as_the_grammar_says(void **state)
{
    (void)state;
    const struct {
        const char *name, *app, *labels;
    } cases[] = {
        {"app", "app", ""},
        {"app{}", "app", ""},
        {"my-app/x.cpu{a=b,c=d}", "my-app/x.cpu", "a=b;c=d;"},
        {"app{ a = b , c=d e }", "app", "a=b;c=d e;"},
        {"app{a=b}c=d}", "app", "a=b;c=d;"}, /* } ends a value like a comma */
        {"app{a=b,}c=d}", "app", "a=b;"},    /* in the place of a key it ends all */
        {"app{a=b,c=d", "app", "a=b;"},      /* the last pair has no end */
        {"app{a=b,c", "app", "a=b;"},
        {"app{a=b,a=c}", "app", "a=c;"},
        {"app{__name__=other,a=}", "other", "a=;"},
        {"{__name__=other}", "other", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256] = "";
        size_t at = 0;
        assert_int_equal(open_name(cases[i].name), 0);
        assert_true(str_eq(request.app, str_c(cases[i].app)));
        for (size_t k = 0; k < request.label_count; k++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s;",
                                   STR_ARG(request.labels[k].name),
                                   STR_ARG(request.labels[k].value));
        assert_string_equal(text, cases[i].labels);
    }
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"",        "{a=b}",      "a b",     "app{junk,a=b}",
                               "app{=b}", "app{a-b=c}", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open_name(bad[i]), ERR_INVAL);
        assert_non_null(strstr(error.msg, "name"));
    }
}

static void parameters_have_defaults_and_junk_is_forgiven(void **state)
{
    (void)state;
    struct ingest_query q = {
        .name = STR("a"), .sample_rate = STR("x"), .from = STR("1600000000")};
    assert_int_equal(ingest_request_open(&q, NOW, arena, &request, &error), 0);
    assert_int_equal(request.sample_rate, 100);
    assert_int_equal(request.from_ns, 1600000000000000000);
    assert_int_equal(request.until_ns, NOW);
    assert_true(str_eq(request.spy, STR("unknown")));
    q.sample_rate = STR("0");
    q.spy_name = STR("pyspy");
    assert_int_equal(ingest_request_open(&q, NOW, arena, &request, &error), 0);
    assert_int_equal(request.sample_rate, 0);
    assert_true(str_eq(request.spy, STR("pyspy")));
}

static void the_first_rule_chooses_the_format(void **state)
{
    (void)state;
    const struct {
        struct str format, type;
        enum ingest_format want;
    } cases[] = {
        {STR_INIT(""), STR_INIT(""), INGEST_GROUPS},
        {STR_INIT("folded"), STR_INIT("text/plain"), INGEST_GROUPS},
        {STR_INIT("folded"), STR_INIT("multipart/form-data; boundary=x"), INGEST_PPROF_FORM},
        {STR_INIT("pprof"), STR_INIT("multipart/form-data; boundary=x"), INGEST_PPROF},
        {STR_INIT("lines"), STR_INIT("binary/octet-stream+tree"), INGEST_TREE},
        {STR_INIT("tree"), STR_INIT("binary/octet-stream+trie"), INGEST_TRIE},
        {STR_INIT("lines"), STR_INIT(""), INGEST_LINES},
        {STR_INIT("jfr"), STR_INIT(""), INGEST_JFR},
        {STR_INIT("speedscope"), STR_INIT(""), INGEST_SPEEDSCOPE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ingest_query q = {
            .name = STR("a"), .format = cases[i].format, .content_type = cases[i].type};
        assert_int_equal(ingest_request_open(&q, NOW, arena, &request, &error), 0);
        assert_int_equal(request.format, cases[i].want);
    }
}

/* --- folded text -------------------------------------------------------------------------- */

static void folded_text_is_a_profile(void **state)
{
    (void)state;
    struct ingest_query q = {.name = STR("shop{env=prod}"), .spy_name = STR("x")};
    assert_int_equal(take(q, STR("main;work 2\nmain 1\n\nno-count\nmain;my work 3")), 200);
    assert_int_equal(result.stream_count, 1);
    assert_string_equal(shown(0), "process_cpu{env=prod,pyroscope_spy=x,service_name=shop} "
                                  "cpu:nanoseconds:cpu:nanoseconds 60000000");
    const struct form *f;
    assert_int_equal(form_view(in.form, &f), 0);
    assert_int_equal(f->node_count, 4); /* root, main, work, my work */
    assert_true(str_eq(f->strings[f->functions[f->lines[0].function].name], STR("main")));
    assert_int_equal(f->profiles[0].period, 10000000);
}

static void the_suffix_of_the_name_says_the_type(void **state)
{
    (void)state;
    const struct {
        struct str name;
        const char *want;
    } cases[] = {
        {STR_INIT("a.itimer"), "process_cpu{pyroscope_spy=unknown,service_name=a} "
                               "cpu:nanoseconds:cpu:nanoseconds 10000000"},
        {STR_INIT("a.wall"), "wall{pyroscope_spy=unknown,service_name=a} "
                             "wall:nanoseconds:cpu:nanoseconds 10000000"},
        {STR_INIT("a.b.alloc_space"),
         "memory{pyroscope_spy=unknown,service_name=a.b} alloc_space:bytes:: 1"},
        {STR_INIT("a.bytes"), "memory{pyroscope_spy=unknown,service_name=a} samples:bytes:: 1"},
        {STR_INIT("a.goroutines"),
         "goroutine{pyroscope_spy=unknown,service_name=a} goroutines:count:: 1"},
        {STR_INIT("a.lock_duration"),
         "block{pyroscope_spy=unknown,service_name=a} delay:nanoseconds:: 1"},
        {STR_INIT("a.exceptions"),
         "exceptions{pyroscope_spy=unknown,service_name=a} samples:count:: 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(form_begin(&in.form, arena), 0);
        assert_int_equal(take((struct ingest_query){.name = cases[i].name}, STR("f 1")), 200);
        assert_string_equal(shown(0), cases[i].want);
    }
    assert_int_equal(take((struct ingest_query){.name = STR("my.service")}, STR("f 1")), 400);
    assert_non_null(strstr(error.msg, "unknown profile type"));
}

static void a_service_name_of_its_own_leaves_the_app_as_a_label(void **state)
{
    (void)state;
    struct ingest_query q = {.name = STR("a{service_name=s}"), .sample_rate = STR("0")};
    assert_int_equal(take(q, STR("f 7")), 200);
    assert_string_equal(
        shown(0),
        "process_cpu{app_name=a,pyroscope_spy=unknown,service_name=s} samples:count:: 7");
}

static void lines_count_one_each(void **state)
{
    (void)state;
    struct ingest_query q = {.name = STR("a.goroutines"), .format = STR("lines")};
    assert_int_equal(take(q, STR("f;g\nf;g 3\n\nf\r\n")), 200);
    assert_string_equal(shown(0),
                        "goroutine{pyroscope_spy=unknown,service_name=a} goroutines:count:: 3");
}

static void bad_counts_are_a_422_and_validation_a_400(void **state)
{
    (void)state;
    struct ingest_query q = {.name = STR("a")};
    assert_int_equal(take(q, STR("f 1\ng x\n")), 422);
    assert_non_null(strstr(error.msg, "line 2"));
    assert_int_equal(take(q, STR("f 9223372036854775807\n")), 422);
    q.from = STR("20200101");
    assert_int_equal(take(q, STR("f 1")), 400);
    assert_int_equal(result.reason, DISCARD_NOT_IN_INGESTION_WINDOW);
    q.from = (struct str){0};
    assert_int_equal(take(q, STR("\xff 1")), 400);
    assert_int_equal(take(q, STR("")), 200);
    assert_int_equal(form_profile_count(in.form), 0);
}

static void a_line_that_is_too_long_ends_groups_silently(void **state)
{
    (void)state;
    struct ingest_query q = {.name = STR("a.live")};
    buf_c(&body, "f 1\n");
    for (int i = 0; i < 70000; i++)
        buf_u8(&body, 'x');
    buf_c(&body, " 5\nf 2\n");
    assert_int_equal(take(q, buf_view(&body)), 200);
    assert_string_equal(shown(0),
                        "memory{pyroscope_spy=unknown,service_name=a} live:count:: 1");
    q.format = STR("lines");
    assert_int_equal(take(q, buf_view(&body)), 422);
}

static void formats_that_are_not_taken_are_refused_by_name(void **state)
{
    (void)state;
    struct ingest_query q = {.name = STR("a"), .format = STR("jfr")};
    assert_int_equal(take(q, STR("x")), 422);
    assert_non_null(strstr(error.msg, "jfr"));
    assert_non_null(strstr(error.msg, "pprof"));
    assert_non_null(strstr(error.msg, "groups"));
    assert_int_equal(error.code, ERR_UNIMPLEMENTED);
}

/* --- pprof -------------------------------------------------------------------------------- */

static void part(const char *name, struct str content)
{
    buf_printf(&body,
               "--BB\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"x\"\r\n\r\n",
               name);
    buf_str(&body, content);
    buf_c(&body, "\r\n");
}

static int take_form(struct ingest_query q)
{
    q.content_type = STR("multipart/form-data; boundary=BB");
    buf_c(&body, "--BB--\r\n");
    return take(q, buf_view(&body));
}

static struct str packed_profile(const char *type, const char *value)
{
    static struct buf packed;
    pprof_build_type(&build, type, "count");
    pprof_build_sample(&build, "main;work", value, NULL);
    buf_reset(&packed);
    assert_int_equal(gzip_pack(pprof_build_finish(&build), GZIP_FAST, &packed), 0);
    struct str out = {arena_dup(arena, packed.data, packed.size), packed.size};
    buf_reset(&packed);
    return out;
}

static void a_form_with_a_packed_profile_is_taken(void **state)
{
    (void)state;
    part("profile", packed_profile("samples", "3"));
    struct ingest_query q = {.name = STR("my.app{env=x,__type__=y,__session_id__=z}"),
                             .spy_name = STR("gospy")};
    assert_int_equal(take_form(q), 200);
    assert_string_equal(
        shown(0),
        "process_cpu{env=x,pyroscope_spy=gospy,service_name=my.app} samples:count:: 3");
    assert_string_equal(result.language, "go");
}

static void the_metric_comes_from_the_types(void **state)
{
    (void)state;
    const struct {
        const char *type, *want;
        struct str config;
    } cases[] = {
        {"wall", "wall", STR_INIT("")},
        {"inuse_space", "memory", STR_INIT("")},
        {"objects", "memory", STR_INIT("")},
        {"goroutine", "goroutines", STR_INIT("")},
        {"delay", "mutex", STR_INIT("")},
        {"strange", "strange", STR_INIT("")},
        {"delay", "block",
         STR_INIT("{\"delay\": {\"units\":\"lock_nanoseconds\",\"sampled\":true, "
                  "\"display-name\":\"block_duration\"}}")},
        {"samples", "samples", STR_INIT("{\"other\":{}}")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pprof_build_reset(&build);
        buf_clear(&body);
        assert_int_equal(form_begin(&in.form, arena), 0);
        part("profile", packed_profile(cases[i].type, "1"));
        if (cases[i].config.len > 0)
            part("sample_type_config", cases[i].config);
        assert_int_equal(take_form((struct ingest_query){.name = STR("a")}), 200);
        const struct form *f;
        assert_int_equal(form_view(in.form, &f), 0);
        assert_true(str_eq(f->profiles[0].members[0].name, str_c(cases[i].want)));
    }
}

static void a_profile_of_1970_gets_the_time_of_the_request(void **state)
{
    (void)state;
    build.time_ns = 5000000000;
    part("profile", packed_profile("samples", "1"));
    assert_int_equal(take_form((struct ingest_query){.name = STR("a"), .from = STR("now-1m")}),
                     200);
    const struct form *f;
    assert_int_equal(form_view(in.form, &f), 0);
    assert_int_equal(f->profiles[0].time_ns, NOW - (int64_t)60 * 1000000000);
}

static void scripting_languages_get_file_names(void **state)
{
    (void)state;
    part("profile", packed_profile("samples", "1"));
    assert_int_equal(
        take_form((struct ingest_query){.name = STR("a"), .spy_name = STR("pyspy")}), 200);
    const struct form *f;
    assert_int_equal(form_view(in.form, &f), 0);
    assert_true(str_eq(f->strings[f->functions[0].name], STR("main.x main")));
}

static void dotnet_types_get_underscores(void **state)
{
    (void)state;
    part("profile", packed_profile("inuse-space", "1"));
    assert_int_equal(
        take_form((struct ingest_query){.name = STR("a"), .spy_name = STR("dotnetspy")}), 200);
    assert_string_equal(shown(0),
                        "memory{pyroscope_spy=dotnetspy,service_name=a} inuse_space:count:: 1");
}

static void a_form_without_profile_is_nothing(void **state)
{
    (void)state;
    part("other", STR("x"));
    assert_int_equal(take_form((struct ingest_query){.name = STR("a")}), 200);
    assert_int_equal(result.stream_count, 0);
    buf_clear(&body);
    part("profile", STR(""));
    assert_int_equal(take_form((struct ingest_query){.name = STR("a")}), 200);
    assert_int_equal(result.stream_count, 0);
}

static void what_a_form_may_not_be(void **state)
{
    (void)state;
    const struct ingest_query q = {.name = STR("a")};
    part("prev_profile", STR("x"));
    assert_int_equal(take_form(q), 422);
    assert_non_null(strstr(error.msg, "upgrade"));
    buf_clear(&body);
    part("profile", STR("\x1f\x8b broken"));
    assert_int_equal(take_form(q), 422);
    assert_int_equal(result.reason, DISCARD_MALFORMED_PROFILE);
    buf_clear(&body);
    part("profile", STR("x"));
    part("sample_type_config", STR("{\"a\":[}"));
    assert_int_equal(take_form(q), 422);
    assert_int_equal(take((struct ingest_query){.name = STR("a"),
                                                .format = STR("pprof"),
                                                .content_type = STR("multipart/form-data; "
                                                                    "boundary=BB")},
                          buf_view(&body)),
                     422);
}

static void a_bomb_stops_at_the_limit(void **state)
{
    (void)state;
    static char zeros[1 << 20];
    struct buf packed = {0};
    limits.profile_size_bytes = 1 << 16;
    assert_int_equal(gzip_pack(str_of(zeros, sizeof zeros), GZIP_FAST, &packed), 0);
    assert_int_equal(take((struct ingest_query){.name = STR("a"), .format = STR("pprof")},
                          buf_view(&packed)),
                     422);
    assert_int_equal(result.reason, DISCARD_PROFILE_SIZE_LIMIT);
    buf_reset(&packed);
}

static void running_out_of_memory_is_an_error_anywhere(void **state)
{
    (void)state;
    part("profile", packed_profile("inuse-space", "1"));
    part("sample_type_config", STR("{\"inuse-space\":{}}"));
    buf_c(&body, "--BB--");
    struct ingest_query q = {.name = STR("a{b=c}"),
                             .spy_name = STR("pyspy"),
                             .content_type = STR("multipart/form-data; boundary=BB")};
    for (uint64_t n = 1;; n++) {
        arena_free(&arena);
        buf_reset(&unpacked);
        mem_fail_at(n);
        int rc = arena_init(&arena, 16, NULL);
        in.arena = arena;
        rc = rc != 0 ? rc : form_begin(&in.form, arena);
        rc = rc != 0 ? rc : ingest_request_open(&q, NOW, arena, &request, &error);
        rc = rc != 0 ? rc
                     : ingest_request_take(&in, &request, buf_view(&body), &unpacked, &result,
                                           &error);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        if (over) {
            assert_int_equal(rc, ERR_INVAL); /* "-" stays in types of python */
            return;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(names_are_read_as_the_grammar_says),
        T(bad_names_are_refused),
        T(parameters_have_defaults_and_junk_is_forgiven),
        T(the_first_rule_chooses_the_format),
        T(folded_text_is_a_profile),
        T(the_suffix_of_the_name_says_the_type),
        T(a_service_name_of_its_own_leaves_the_app_as_a_label),
        T(lines_count_one_each),
        T(bad_counts_are_a_422_and_validation_a_400),
        T(a_line_that_is_too_long_ends_groups_silently),
        T(formats_that_are_not_taken_are_refused_by_name),
        T(a_form_with_a_packed_profile_is_taken),
        T(the_metric_comes_from_the_types),
        T(a_profile_of_1970_gets_the_time_of_the_request),
        T(scripting_languages_get_file_names),
        T(dotnet_types_get_underscores),
        T(a_form_without_profile_is_nothing),
        T(what_a_form_may_not_be),
        T(a_bomb_stops_at_the_limit),
        T(running_out_of_memory_is_an_error_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
