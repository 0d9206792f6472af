/* One table of rows makes flags and YAML; every wrong input is an error that says where. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf/conf.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

struct gossip_like {
    struct conf_list join;
    uint32_t gossip_ms, nodes;
    bool compress;
    const char *label;
    const char *secret;
    int64_t delta;
    uint64_t bytes, count;
    double ratio;
    int64_t keep_ms;
};

static const struct conf_row rows[] = {
    CONF_LIST_ROW(gossip_like, join, "join", "join_members", "", 0, "Seeds."),
    CONF_MS_ROW(gossip_like, gossip_ms, "gossip-interval", "gossip_interval", "200ms", 0,
                "Tick."),
    CONF_U32_ROW(gossip_like, nodes, "gossip-nodes", "gossip_nodes", "3", 0, "Targets."),
    CONF_BOOL_ROW(gossip_like, compress, "compression-enabled", "compression_enabled", "true",
                  0, "Compress."),
    CONF_STR_ROW(gossip_like, label, "cluster-label", "cluster_label", "", 0, "Label."),
    CONF_STR_ROW(gossip_like, secret, "password", "auth.password", "", CONF_SECRET, "Secret."),
    CONF_I64_ROW(gossip_like, delta, "delta", "auth.delta", "-4", CONF_ADVANCED, "Any number."),
    CONF_SIZE_ROW(gossip_like, bytes, "bytes", "bytes", "64MiB", 0, "A size."),
    CONF_U64_ROW(gossip_like, count, "count", "count", "5", 0, "A count."),
    CONF_DOUBLE_ROW(gossip_like, ratio, "ratio", "ratio", "0.05", 0, "A ratio."),
    CONF_MS64_ROW(gossip_like, keep_ms, "keep", NULL, "90d", 0, "Flag only."),
    {.type = CONF_END},
};

static int nodes_are_few(const void *at, struct err *err)
{
    const struct gossip_like *g = at;
    if (g->nodes > 100)
        return err_set(err, ERR_INVAL, "memberlist.gossip-nodes: %u is over 100", g->nodes);
    return 0;
}

static struct gossip_like g;
static const struct conf_section sections[] = {
    {"Gossip", "memberlist.", "memberlist", rows, &g, nodes_are_few},
};

static struct conf *fresh(void)
{
    struct conf *c = NULL;
    struct err err = {0};
    memset(&g, 0xee, sizeof g);
    if (conf_init(&c, sections, 1, &err) != 0)
        fail_msg("%s", err.msg);
    return c;
}

/* Load a YAML text (or NULL) and up to eight arguments; the error's text or "". */
static char message[512];
static const char *load(struct conf *c, const char *yaml, const char *const *args)
{
    struct err err = {0};
    const char *argv[16] = {"prog"};
    int argc = 1, rc = 0;
    while (args != NULL && args[argc - 1] != NULL && argc < 15) {
        argv[argc] = args[argc - 1];
        argc++;
    }
    rc = conf_args(c, argc, argv, &err);
    if (rc == 0 && yaml != NULL)
        rc = conf_yaml(c, str_c(yaml), "c.yaml", &err);
    if (rc == 0)
        rc = conf_apply(c, &err);
    assert_int_equal(rc, err.code);
    memcpy(message, err.msg, sizeof err.msg);
    return message;
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect(const char *yaml, const char *const *args, const char *want)
{
    struct conf *c = fresh();
    assert_string_equal(load(c, yaml, args), want);
    conf_free(&c);
    assert_null(c);
}

static void defaults_come_from_the_rows(void **state)
{
    (void)state;
    struct conf *c = fresh();
    assert_string_equal(load(c, NULL, NULL), "");
    assert_int_equal(g.join.count, 0);
    assert_int_equal(g.gossip_ms, 200);
    assert_int_equal(g.nodes, 3);
    assert_true(g.compress);
    assert_string_equal(g.label, "");
    assert_int_equal(g.delta, -4);
    assert_int_equal(g.bytes, 64 << 20);
    assert_true(g.keep_ms == 90 * 86400000LL);
    conf_free(&c);
}

static void flags_stand_over_yaml_and_yaml_over_defaults(void **state)
{
    (void)state;
    struct conf *c = fresh();
    const char *yaml = "memberlist:\n  gossip_nodes: 5\n  gossip_interval: 1s\n"
                       "  compression_enabled: no\n  join_members: [a, b]\n";
    assert_string_equal(load(c, yaml, ARGS("-memberlist.gossip-nodes", "7")), "");
    assert_int_equal(g.nodes, 7);
    assert_int_equal(g.gossip_ms, 1000);
    assert_false(g.compress);
    assert_int_equal(g.join.count, 2);
    assert_string_equal(g.join.items[1], "b");
    conf_free(&c);
}

static void flags_have_the_four_forms_of_go(void **state)
{
    (void)state;
    struct conf *c = fresh();
    assert_string_equal(
        load(c, NULL,
             ARGS("-memberlist.cluster-label=a=b", "--memberlist.gossip-nodes=0x10",
                  "--memberlist.delta", "-9", "-memberlist.compression-enabled=F")),
        "");
    assert_string_equal(g.label, "a=b");
    assert_int_equal(g.nodes, 16);
    assert_int_equal(g.delta, -9);
    assert_false(g.compress);
    conf_free(&c);
    /* A boolean never takes the next argument. */
    expect(NULL, ARGS("-memberlist.compression-enabled", "false"),
           "unexpected argument \"false\": options start with a dash");
    expect(NULL, ARGS("-memberlist.compression-enabled", "--"), "");
}

static void a_repeated_list_flag_appends_and_replaces_the_file(void **state)
{
    (void)state;
    struct conf *c = fresh();
    assert_string_equal(load(c, "memberlist: {join_members: 'x, y'}",
                             ARGS("-memberlist.join", "a:1,b:2,", "-memberlist.join=c")),
                        "");
    assert_int_equal(g.join.count, 3);
    assert_string_equal(g.join.items[0], "a:1");
    assert_string_equal(g.join.items[2], "c");
    conf_free(&c);
}

static void a_wrong_command_line_says_what_is_wrong(void **state)
{
    (void)state;
    expect(NULL, ARGS("-memberlist.gosip-nodes", "7"),
           "unknown option -memberlist.gosip-nodes: did you mean -memberlist.gossip-nodes?");
    expect(NULL, ARGS("-versoin"), "unknown option -versoin: did you mean -version?");
    expect(NULL, ARGS("-qqqq"), "unknown option -qqqq (see -help)");
    expect(NULL, ARGS("-memberlist.gossip-nodes"),
           "option -memberlist.gossip-nodes needs a value");
    expect(NULL, ARGS("-memberlist.gossip-nodes", "x"),
           "-memberlist.gossip-nodes: \"x\" is not a whole number");
    expect(NULL, ARGS("-memberlist.gossip-nodes", "-1"),
           "-memberlist.gossip-nodes: \"-1\" is out of range");
    expect(NULL, ARGS("-memberlist.gossip-nodes", "4294967296"),
           "-memberlist.gossip-nodes: \"4294967296\" is out of range");
    expect(NULL, ARGS("-memberlist.count=-2"), "-memberlist.count: \"-2\" is out of range");
    expect(NULL, ARGS("-memberlist.gossip-interval=5"),
           "-memberlist.gossip-interval: \"5\" is not a duration (like 1h30m, 15s, 200ms)");
    expect(NULL, ARGS("-memberlist.gossip-interval=-5s"),
           "-memberlist.gossip-interval: \"-5s\" is out of range");
    expect(NULL, ARGS("-memberlist.gossip-interval=50d"),
           "-memberlist.gossip-interval: \"50d\" is out of range");
    expect(NULL, ARGS("-memberlist.bytes=5q"),
           "-memberlist.bytes: \"5q\" is not a size (bytes, or like 64MiB)");
    expect(NULL, ARGS("-memberlist.ratio=a"), "-memberlist.ratio: \"a\" is not a number");
    expect(NULL, ARGS("-memberlist.compression-enabled=maybe"),
           "-memberlist.compression-enabled: \"maybe\" is not a boolean (true or false)");
    expect(NULL, ARGS("-help=maybe"), "-help: \"maybe\" is not a boolean (true or false)");
    expect(NULL, ARGS("serve"), "unexpected argument \"serve\": options start with a dash");
    expect(NULL, ARGS("-"), "unexpected argument \"-\": options start with a dash");
    expect(NULL, ARGS("---x"), "bad option syntax: ---x");
    expect(NULL, ARGS("-=x"), "bad option syntax: -=x");
    expect(NULL, ARGS("--", "x"), "bad option syntax: --");
    expect(NULL, ARGS("-memberlist.gossip-nodes=200"),
           "memberlist.gossip-nodes: 200 is over 100");
}

static void a_wrong_file_says_where(void **state)
{
    (void)state;
    expect("memberlist:\n  gosip_nodes: 1\n", NULL,
           "c.yaml:2:3: unknown key memberlist.gosip_nodes: did you mean "
           "memberlist.gossip_nodes?");
    expect("zzzz: 1\n", NULL, "c.yaml:1:1: zzzz: unknown key");
    expect("memberlist:\n  gossip_nodes: 1\n  gossip_nodes: 2\n", NULL,
           "c.yaml:3:3: key gossip_nodes stands twice, first in line 2");
    expect("memberlist:\n  gossip_nodes: three\n", NULL,
           "c.yaml:2:17: memberlist.gossip_nodes: \"three\" is not a whole number");
    expect("memberlist:\n  gossip_nodes: [1]\n", NULL,
           "c.yaml:2:17: memberlist.gossip_nodes: wants a single value");
    expect("memberlist:\n  join_members: [[a]]\n", NULL,
           "c.yaml:2:17: memberlist.join_members: wants a list of texts");
    expect("memberlist:\n  join_members: {a: b}\n", NULL,
           "c.yaml:2:17: memberlist.join_members: wants a list of texts");
    expect("memberlist:\n  compression_enabled: 'true'\n", NULL,
           "c.yaml:2:24: memberlist.compression_enabled: \"true\" is not a boolean (true or "
           "false)");
    expect(
        "memberlist:\n  compression_enabled: 1\n", NULL,
        "c.yaml:2:24: memberlist.compression_enabled: \"1\" is not a boolean (true or false)");
    expect("memberlist: 5\n", NULL, "c.yaml:1:13: memberlist: wants a mapping");
    expect("memberlist.gossip_nodes: 5\n", NULL,
           "c.yaml:1:1: memberlist.gossip_nodes: unknown key; write mappings, not dots");
    expect("- a\n", NULL, "c.yaml:1:1: the file must be a mapping");
    expect("memberlist:\n  gossip_nodes: 101\n", NULL,
           "memberlist.gossip-nodes: 101 is over 100");
}

static void a_file_may_be_empty_or_null(void **state)
{
    (void)state;
    expect("", NULL, "");
    expect("# nothing\n", NULL, "");
    expect("memberlist:\n", NULL, "");
    expect("memberlist:\n  gossip_nodes: ~\n", NULL, "");
    assert_int_equal(g.nodes, 3);
}

static void capture(void *arg, enum log_level level, struct str line)
{
    assert_int_equal(level, LOG_WARN);
    buf_str(arg, line);
}

static void one_warning_names_once_what_only_pyroscope_knows(void **state)
{
    (void)state;
    struct buf lines = {0};
    struct log log = {.sink = capture, .arg = &lines};
    struct conf *c = fresh();
    assert_string_equal(load(c, NULL, NULL), "");
    conf_log_ignored(c, &log);
    assert_int_equal(lines.size, 0);
    const char *yaml = "memberlist:\n  pull_push_interval: 30s\n"
                       "limits:\n  ingestion_relabeling_rules: [{a: {b: [c]}}]\n"
                       "server:\n  graceful_shutdown_timeout: 5s\n";
    assert_string_equal(
        load(c, yaml,
             ARGS("-target", "all", "-memberlist.randomize-node-name", "-target=ingester")),
        "");
    conf_log_ignored(c, &log);
    struct str line = buf_view(&lines);
    assert_true(str_contains(line, STR(" count=5 ")));
    assert_true(str_contains(line, STR("options=\"-target -memberlist.randomize-node-name ")));
    assert_true(str_contains(line, STR(" limits.ingestion_relabeling_rules")));
    conf_free(&c);
    buf_reset(&lines);
}

static void the_command_line_asks_for_help_version_or_a_file(void **state)
{
    (void)state;
    struct conf *c = fresh();
    assert_int_equal(conf_action(c), CONF_RUN);
    assert_null(conf_file(c));
    assert_string_equal(load(c, NULL, ARGS("-config.file", "a.yaml", "-config.expand-env")),
                        "");
    assert_string_equal(conf_file(c), "a.yaml");
    assert_true(conf_expands_env(c));
    assert_int_equal(conf_action(c), CONF_RUN);
    assert_string_equal(load(c, NULL, ARGS("-h")), "");
    assert_int_equal(conf_action(c), CONF_HELP);
    assert_string_equal(load(c, NULL, ARGS("--help-all", "-help=false")), "");
    assert_int_equal(conf_action(c), CONF_HELP_ALL);
    assert_string_equal(load(c, NULL, ARGS("-version=true")), "");
    assert_int_equal(conf_action(c), CONF_VERSION);
    assert_string_equal(load(c, NULL, ARGS("-config.reference")), "");
    assert_int_equal(conf_action(c), CONF_REFERENCE);
    conf_free(&c);
}

static void the_dump_is_yaml_that_loads_again_with_secrets_masked(void **state)
{
    (void)state;
    struct conf *c = fresh();
    struct buf out = {0};
    assert_string_equal(load(c,
                             "memberlist: {auth: {password: hunter2}, cluster_label: 'a\"b'}",
                             ARGS("-memberlist.join=a,b")),
                        "");
    conf_dump(c, &out);
    assert_true(str_eq(buf_view(&out), STR("memberlist:\n"
                                           "  auth:\n"
                                           "    delta: -4\n"
                                           "    password: \"********\"\n"
                                           "  bytes: 64MiB\n"
                                           "  cluster_label: \"a\\\"b\"\n"
                                           "  compression_enabled: true\n"
                                           "  count: 5\n"
                                           "  gossip_interval: 200ms\n"
                                           "  gossip_nodes: 3\n"
                                           "  join_members: [\"a\", \"b\"]\n"
                                           "  ratio: 0.05\n")));
    buf_u8(&out, '\0');
    expect((const char *)out.data, NULL, "");
    conf_free(&c);
    buf_reset(&out);
}

static void a_wrong_table_is_refused(void **state)
{
    (void)state;
    struct conf *c = NULL;
    struct err err = {0};
    static const struct conf_row wrong[] = {
        CONF_U32_ROW(gossip_like, nodes, "n", "n", "x", 0, "Wrong default."),
        {.type = CONF_END}};
    static const struct conf_row twice[] = {
        CONF_U32_ROW(gossip_like, nodes, "n", "n", "1", 0, "One."),
        CONF_BOOL_ROW(gossip_like, compress, "n", "m", "1", 0, "Two."),
        {.type = CONF_END}};
    struct conf_section s = {"T", "t.", "t", wrong, &g, NULL};
    assert_int_equal(conf_init(&c, &s, 1, &err), ERR_INVAL);
    assert_string_equal(err.msg, "default of t.n: \"x\" is not a whole number");
    s.rows = twice;
    assert_int_equal(conf_init(&c, &s, 1, &err), ERR_INVAL);
    assert_string_equal(err.msg, "option t.n stands in two tables");
    assert_null(c);
}

static void running_out_of_memory_is_an_error_everywhere(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct conf *c = NULL;
        struct err err = {0};
        const char *argv[] = {"p", "-memberlist.join=a,b", "-target=x"};
        mem_fail_at(n);
        int rc = conf_init(&c, sections, 1, &err);
        if (rc == 0)
            rc = conf_args(c, 3, argv, &err);
        if (rc == 0)
            rc = conf_yaml(c, STR("memberlist: {join_members: [a], cluster_label: b}"), "c",
                           &err);
        if (rc == 0)
            rc = conf_apply(c, &err);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        conf_free(&c);
        if (pending) {
            assert_int_equal(rc, 0);
            assert_true(n > 5);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
        assert_int_equal(err.code, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_come_from_the_rows),
        cmocka_unit_test(flags_stand_over_yaml_and_yaml_over_defaults),
        cmocka_unit_test(flags_have_the_four_forms_of_go),
        cmocka_unit_test(a_repeated_list_flag_appends_and_replaces_the_file),
        cmocka_unit_test(a_wrong_command_line_says_what_is_wrong),
        cmocka_unit_test(a_wrong_file_says_where),
        cmocka_unit_test(a_file_may_be_empty_or_null),
        cmocka_unit_test(one_warning_names_once_what_only_pyroscope_knows),
        cmocka_unit_test(the_command_line_asks_for_help_version_or_a_file),
        cmocka_unit_test(the_dump_is_yaml_that_loads_again_with_secrets_masked),
        cmocka_unit_test(a_wrong_table_is_refused),
        cmocka_unit_test(running_out_of_memory_is_an_error_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
