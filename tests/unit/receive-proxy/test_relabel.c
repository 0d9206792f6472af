/* The rules of Prometheus' relabelling, and the receiver that applies them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "relabel.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define L(n, v) {STR_INIT(n), STR_INIT(v)}
#define RULE(...) rule((struct set_rule){__VA_ARGS__})

/* What is not given is the default. */
static struct set_rule rule(struct set_rule r)
{
    if (r.separator.data == NULL)
        r.separator = STR(";");
    if (r.regex.data == NULL)
        r.regex = STR("(.*)");
    if (r.replacement.data == NULL)
        r.replacement = STR("$1");
    if (r.action.data == NULL)
        r.action = STR("replace");
    return r;
}

static const struct label in_items[] = {L("__name__", "cpu"), L("env", "Prod"), L("pod", "web-7"),
                                        L("zone", "a")};
static const struct str env_zone[] = {STR_INIT("env"), STR_INIT("zone")};
static const struct str pod[] = {STR_INIT("pod")};
static const struct str missing[] = {STR_INIT("missing")};
static const struct alloy_strs of_env_zone = {2, env_zone}, of_pod = {1, pod},
                               of_missing = {1, missing};

/* The labels after some rules, or "dropped". */
static const char *apply(const struct set_rule *rules, size_t count)
{
    static char text[600];
    struct relabel_rules *r = NULL;
    struct arena *a = NULL;
    struct err err = {0};
    struct labels out;
    struct buf b = {0};
    bool keep = false;
    if (relabel_rules_init(&r, rules, count, &err) != 0) {
        snprintf(text, sizeof text, "%s", err.msg);
        return text;
    }
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(relabel_apply(r, (struct labels){in_items, 4}, a, &out, &keep), 0);
    if (keep)
        labels_print(out, &b);
    else
        buf_c(&b, "dropped");
    snprintf(text, sizeof text, "%.*s", STR_ARG(buf_view(&b)));
    buf_reset(&b);
    arena_free(&a);
    relabel_rules_free(&r);
    assert_null(r);
    return text;
}

#define ONE(...) apply((const struct set_rule[]){RULE(__VA_ARGS__)}, 1)
#define ALL "__name__=\"cpu\", env=\"Prod\", pod=\"web-7\", zone=\"a\""

static void replace_expands_groups_into_value_and_name(void **state)
{
    (void)state;
    assert_string_equal(ONE(.source_labels = of_pod, .regex = STR("([a-z]+)-(?P<n>\\d+)"),
                            .replacement = STR("${n}/$1/${2}$$"), .target_label = STR("x")),
                        "{__name__=\"cpu\", env=\"Prod\", pod=\"web-7\", x=\"7/web/7$\", "
                        "zone=\"a\"}");
    assert_string_equal(ONE(.source_labels = of_pod, .regex = STR("([a-z]+)-.*"),
                            .replacement = STR("v"), .target_label = STR("${1}_name")),
                        "{__name__=\"cpu\", env=\"Prod\", pod=\"web-7\", web_name=\"v\", "
                        "zone=\"a\"}");
    assert_string_equal(ONE(.source_labels = of_env_zone, .target_label = STR("j")),
                        "{__name__=\"cpu\", env=\"Prod\", j=\"Prod;a\", pod=\"web-7\", "
                        "zone=\"a\"}");
    assert_string_equal(ONE(.source_labels = of_env_zone, .separator = STR(""),
                            .target_label = STR("j")),
                        "{__name__=\"cpu\", env=\"Prod\", j=\"Proda\", pod=\"web-7\", "
                        "zone=\"a\"}");
}

static void replace_changes_nothing_when_it_does_not_match_as_a_whole(void **state)
{
    (void)state;
    assert_string_equal(ONE(.source_labels = of_pod, .regex = STR("web"),
                            .replacement = STR("x"), .target_label = STR("zone")),
                        "{" ALL "}");
    /* A name that is none is nothing. */
    assert_string_equal(ONE(.source_labels = of_pod, .regex = STR("(.*)"),
                            .replacement = STR("x"), .target_label = STR("$1")),
                        "{" ALL "}");
    /* An empty result takes the label away. */
    assert_string_equal(ONE(.source_labels = of_missing, .target_label = STR("zone")),
                        "{__name__=\"cpu\", env=\"Prod\", pod=\"web-7\"}");
}

static void keep_and_drop_look_at_the_joined_values(void **state)
{
    (void)state;
    assert_string_equal(ONE(.action = STR("keep"), .source_labels = of_env_zone,
                            .regex = STR("Prod;.")), "{" ALL "}");
    assert_string_equal(ONE(.action = STR("keep"), .source_labels = of_env_zone,
                            .regex = STR("Prod")), "dropped");
    assert_string_equal(ONE(.action = STR("Drop"), .source_labels = of_pod,
                            .regex = STR("web.*")), "dropped");
    assert_string_equal(ONE(.action = STR("drop"), .source_labels = of_missing,
                            .regex = STR("x.*")), "{" ALL "}");
    assert_string_equal(ONE(.action = STR("keepequal"), .source_labels = of_pod,
                            .target_label = STR("pod")), "{" ALL "}");
    assert_string_equal(ONE(.action = STR("keepequal"), .source_labels = of_pod,
                            .target_label = STR("env")), "dropped");
    assert_string_equal(ONE(.action = STR("dropequal"), .source_labels = of_pod,
                            .target_label = STR("pod")), "dropped");
    assert_string_equal(ONE(.action = STR("dropequal"), .source_labels = of_pod,
                            .target_label = STR("env")), "{" ALL "}");
}

static void names_are_mapped_dropped_and_kept(void **state)
{
    (void)state;
    assert_string_equal(ONE(.action = STR("labelmap"), .regex = STR("(zone|pod)"),
                            .replacement = STR("k8s_$1")),
                        "{__name__=\"cpu\", env=\"Prod\", k8s_pod=\"web-7\", k8s_zone=\"a\", "
                        "pod=\"web-7\", zone=\"a\"}");
    assert_string_equal(ONE(.action = STR("labeldrop"), .regex = STR("(zone|pod|en)")),
                        "{__name__=\"cpu\", env=\"Prod\"}");
    assert_string_equal(ONE(.action = STR("labelkeep"), .regex = STR("__name__|env")),
                        "{__name__=\"cpu\", env=\"Prod\"}");
}

static void case_and_hash_are_set(void **state)
{
    (void)state;
    assert_string_equal(ONE(.action = STR("lowercase"), .source_labels = of_env_zone,
                            .target_label = STR("zone")),
                        "{__name__=\"cpu\", env=\"Prod\", pod=\"web-7\", zone=\"prod;a\"}");
    assert_string_equal(ONE(.action = STR("uppercase"), .source_labels = of_pod,
                            .target_label = STR("zone")),
                        "{__name__=\"cpu\", env=\"Prod\", pod=\"web-7\", zone=\"WEB-7\"}");
    /* md5("") = d41d8cd98f00b204e9800998ecf8427e: its last eight bytes mod 1000. */
    assert_string_equal(ONE(.action = STR("hashmod"), .source_labels = of_missing,
                            .target_label = STR("h"), .modulus = 1000),
                        "{__name__=\"cpu\", env=\"Prod\", h=\"958\", pod=\"web-7\", "
                        "zone=\"a\"}");
}

static void rules_apply_one_after_the_other(void **state)
{
    const struct set_rule rules[] = {
        RULE(.source_labels = of_pod, .regex = STR("(.*)-.*"), .target_label = STR("missing")),
        RULE(.source_labels = of_missing, .action = STR("keep"), .regex = STR("web")),
        RULE(.action = STR("labelkeep"), .regex = STR("missing")),
    };
    (void)state;
    assert_string_equal(apply(rules, 3), "{missing=\"web\"}");
}

static void rules_that_make_no_sense_are_refused_by_name(void **state)
{
    (void)state;
    assert_string_equal(ONE(.action = STR("nothing")),
                        "rule 1: unknown relabel action \"nothing\"");
    assert_string_equal(ONE(.source_labels = of_pod),
                        "rule 1: relabel configuration for replace action requires "
                        "'target_label' value");
    assert_string_equal(ONE(.action = STR("hashmod"), .target_label = STR("x")),
                        "rule 1: relabel configuration for hashmod requires non-zero modulus");
    assert_string_equal(ONE(.target_label = STR("a-b")),
                        "rule 1: \"a-b\" is invalid 'target_label' for replace action");
    assert_string_equal(ONE(.action = STR("labeldrop"), .target_label = STR("x")),
                        "rule 1: labeldrop action requires only 'regex', and no other fields");
    assert_non_null(strstr(ONE(.target_label = STR("x"), .regex = STR("(")),
                           "rule 1: regex: bad regular expression"));
    assert_non_null(strstr(ONE(.action = STR("lowercase"), .target_label = STR("x"),
                               .replacement = STR("y")),
                           "'replacement' can not be set for lowercase action"));
    assert_non_null(strstr(ONE(.action = STR("keepequal"), .target_label = STR("x"),
                               .regex = STR("y")),
                           "keepequal action requires only"));
    assert_non_null(strstr(ONE(.action = STR("labelmap"), .replacement = STR("a-b")),
                           "invalid 'replacement'"));
}

/* --- the receiver ---------------------------------------------------------------------- */

struct sink {
    struct receiver receiver; /* first */
    unsigned got;
    char labels[300];
};

static void sink_append(struct receiver *r, const struct flow_thread *t,
                        const struct flow_item *item, flow_done_fn done, void *arg)
{
    struct sink *s = (struct sink *)r;
    struct flow_result result;
    struct buf b = {0};
    (void)t;
    s->got++;
    labels_print((struct labels){item->labels, item->label_count}, &b);
    snprintf(s->labels, sizeof s->labels, "%.*s", STR_ARG(buf_view(&b)));
    buf_reset(&b);
    flow_result_init(&result);
    result.stored = 1;
    done(arg, &result);
}

static void sink_free(struct receiver *r)
{
    (void)r;
}

static const struct receiver_ops sink_ops = {.append = sink_append, .free = sink_free};

struct world {
    struct metrics *metrics;
    struct relabel_metrics m;
    struct sink sink;
    struct flow_list *list;
    struct receiver *relabel;
    struct flow_result result;
};

static void on_done(void *arg, const struct flow_result *r)
{
    ((struct world *)arg)->result = *r;
}

static const struct set_rule drop_env_rule = {.separator = STR_INIT(";"),
                                              .regex = STR_INIT("(a|b)"),
                                              .replacement = STR_INIT("$1"),
                                              .action = STR_INIT("keep"),
                                              .source_labels = {1, &env_zone[1]}};

static void world_init(struct world *w, const struct set_rule *rules, size_t count, int64_t cache)
{
    struct receiver *next = &w->sink.receiver;
    struct set_relabel s = {.max_cache_size = cache,
                            .rules = {count, (void *)(uintptr_t)rules}};
    memset(w, 0, sizeof *w);
    assert_int_equal(metrics_init(&w->metrics, "pyroscope", NULL), 0);
    assert_int_equal(metrics_check(relabel_metric_rows, NULL), 0);
    assert_int_equal(metrics_register(w->metrics, relabel_metric_rows, &w->m, NULL, NULL), 0);
    receiver_prepare(next, &sink_ops);
    assert_int_equal(flow_list_init(&w->list, &next, 1), 0);
    assert_int_equal(relabel_init(&w->relabel, &s, STR("pyroscope.relabel.x"), STR("/"), w->list,
                                  &w->m, NULL),
                     0);
}

static void world_free(struct world *w)
{
    receiver_release(w->relabel);
    flow_list_release(w->list);
    metrics_free(&w->metrics);
}

static void send(struct world *w, const char *zone)
{
    const struct label items[] = {{STR_INIT("zone"), str_c(zone)}, L("__name__", "cpu")};
    struct flow_item item = {
        .kind = FLOW_INGEST, .labels = items, .label_count = 2, .deadline = MONO_NEVER};
    w->relabel->ops->append(w->relabel, NULL, &item, on_done, w);
}

static uint64_t count(struct world *w, struct counter_vec *v)
{
    (void)w;
    return counter_get(COUNTER_AT(v, STR("pyroscope.relabel.x"), STR("/")));
}

static void what_is_dropped_is_a_success_and_what_is_kept_goes_on(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, &drop_env_rule, 1, 100);
    send(&w, "a");
    assert_int_equal(w.result.stored, 1);
    assert_string_equal(w.sink.labels, "{__name__=\"cpu\", zone=\"a\"}");
    send(&w, "x");
    assert_int_equal(w.result.dropped, 1);
    assert_int_equal(w.result.stored + w.result.failed, 0);
    assert_int_equal(w.sink.got, 1);
    for (int i = 0; i < 5; i++) {
        send(&w, "a");
        send(&w, "x");
    }
    assert_int_equal(w.sink.got, 6);
    assert_int_equal(count(&w, w.m.processed), 12);
    assert_int_equal(count(&w, w.m.written), 6);
    assert_int_equal(count(&w, w.m.dropped), 6);
    assert_int_equal(count(&w, w.m.cache_misses), 2);
    assert_int_equal(count(&w, w.m.cache_hits), 10);
    world_free(&w);
}

static void the_cache_forgets_the_oldest(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, &drop_env_rule, 1, 2);
    send(&w, "a");
    send(&w, "b");
    send(&w, "a"); /* hit: b is the oldest now */
    send(&w, "c");
    send(&w, "a"); /* hit */
    send(&w, "b"); /* gone */
    assert_int_equal(count(&w, w.m.cache_hits), 2);
    assert_int_equal(count(&w, w.m.cache_misses), 4);
    assert_true(gauge_get(GAUGE_AT(w.m.cache_size, STR("pyroscope.relabel.x"), STR("/"))) == 2);
    world_free(&w);
}

static void hostile_label_sets_fill_neither_the_cache_nor_the_time(void **state)
{
    static char large[5000];
    static struct label many[2049];
    struct world w;
    (void)state;
    memset(large, 'a', sizeof large - 1);
    world_init(&w, NULL, 0, 100);
    send(&w, large);
    send(&w, large);
    assert_int_equal(w.sink.got, 2);
    assert_int_equal(count(&w, w.m.cache_hits), 0);
    assert_true(gauge_get(GAUGE_AT(w.m.cache_size, STR("pyroscope.relabel.x"), STR("/"))) == 0);
    for (size_t i = 0; i < 2049; i++)
        many[i] = (struct label){str_of(large, i + 1), STR("v")};
    struct flow_item item = {
        .kind = FLOW_PUSH, .labels = many, .label_count = 2049, .deadline = MONO_NEVER};
    w.relabel->ops->append(w.relabel, NULL, &item, on_done, &w);
    assert_int_equal(w.result.failed, 1);
    assert_int_equal(w.result.code, RPC_INVALID_ARGUMENT);
    item.label_count = 2048;
    w.relabel->ops->append(w.relabel, NULL, &item, on_done, &w);
    assert_int_equal(w.result.stored, 1);
    world_free(&w);
}

static void a_profile_without_labels_passes_and_one_that_loses_all_is_dropped(void **state)
{
    struct world w;
    struct flow_item none = {.kind = FLOW_PUSH, .deadline = MONO_NEVER};
    const struct set_rule strip = RULE(.action = STR("labeldrop"), .regex = STR(".*"));
    (void)state;
    world_init(&w, &strip, 1, 10);
    w.relabel->ops->append(w.relabel, NULL, &none, on_done, &w);
    assert_int_equal(w.sink.got, 1);
    for (int i = 0; i < 2; i++) {
        send(&w, "a");
        assert_int_equal(w.result.dropped, 1);
    }
    assert_int_equal(w.sink.got, 1);
    world_free(&w);
}

static void running_out_of_memory_fails_the_item_and_nothing_else(void **state)
{
    struct world w;
    const struct set_rule rules[] = {
        RULE(.source_labels = of_env_zone, .target_label = STR("$1x"), .regex = STR("(.*);.*")),
        RULE(.action = STR("hashmod"), .modulus = 7, .target_label = STR("h")),
        RULE(.action = STR("labelmap"), .regex = STR("(.*)"), .replacement = STR("m_$1")),
    };
    (void)state;
    world_init(&w, rules, 3, 1);
    for (uint64_t n = 1;; n++) {
        w.result.stored = w.result.failed = 9;
        mem_fail_at(n);
        send(&w, n % 2 ? "a" : "b");
        bool over = mem_fail_pending();
        mem_fail_at(0);
        /* What is not kept in the cache for want of memory is sent all the same. */
        assert_int_equal(w.result.stored + w.result.failed, 1);
        if (over)
            break;
    }
    world_free(&w);
    for (uint64_t n = 1;; n++) {
        struct relabel_rules *r = NULL;
        mem_fail_at(n);
        int rc = relabel_rules_init(&r, rules, 3, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        relabel_rules_free(&r);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replace_expands_groups_into_value_and_name),
        cmocka_unit_test(replace_changes_nothing_when_it_does_not_match_as_a_whole),
        cmocka_unit_test(keep_and_drop_look_at_the_joined_values),
        cmocka_unit_test(names_are_mapped_dropped_and_kept),
        cmocka_unit_test(case_and_hash_are_set),
        cmocka_unit_test(rules_apply_one_after_the_other),
        cmocka_unit_test(rules_that_make_no_sense_are_refused_by_name),
        cmocka_unit_test(what_is_dropped_is_a_success_and_what_is_kept_goes_on),
        cmocka_unit_test(the_cache_forgets_the_oldest),
        cmocka_unit_test(hostile_label_sets_fill_neither_the_cache_nor_the_time),
        cmocka_unit_test(a_profile_without_labels_passes_and_one_that_loses_all_is_dropped),
        cmocka_unit_test(running_out_of_memory_fails_the_item_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
