/* A configuration becomes components in order, with their arguments, or diagnostics as Alloy's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloy/graph.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "example.h"

static struct alloy_graph *graph;
static struct alloy_diags diags;
static struct buf out;

static int setup(void **state)
{
    (void)state;
    graph = NULL;
    diags = (struct alloy_diags){0};
    out = (struct buf){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    alloy_graph_free(&graph);
    alloy_diags_reset(&diags);
    buf_reset(&out);
    return 0;
}

static int load(const char *text)
{
    struct alloy_host host = ex_host();
    struct alloy_text t = {STR("config.alloy"), str_c(text)};
    alloy_graph_free(&graph);
    alloy_diags_reset(&diags);
    return alloy_load(&graph, &t, 1, &host, &diags);
}

static void expect_loads(const char *text)
{
    int rc = load(text);
    if (rc != 0) {
        struct alloy_text t = {STR("config.alloy"), str_c(text)};
        alloy_diags_print(&diags, &t, 1, &out);
        fail_msg("%.*s", STR_ARG(buf_view(&out)));
    }
}

/* The diagnostics of a text that does not load, in full. */
static void expect_refused(const char *text, const char *want)
{
    struct alloy_text t = {STR("config.alloy"), str_c(text)};
    assert_int_equal(load(text), ERR_PARSE);
    assert_null(graph);
    buf_clear(&out);
    alloy_diags_print(&diags, &t, 1, &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
}

/* Only the messages. */
static void expect_messages(const char *text, const char *want)
{
    assert_int_equal(load(text), ERR_PARSE);
    buf_clear(&out);
    alloy_diags_print_short(&diags, &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
}

static const void *args_of(const char *id)
{
    const struct alloy_node *n = alloy_graph_find(graph, str_c(id));
    assert_non_null(n);
    return n->args;
}

static void assert_str(struct str s, const char *want)
{
    assert_true(str_eq(s, str_c(want)));
}

static void a_receiver_finds_its_writer_whatever_the_order(void **state)
{
    (void)state;
    expect_loads("pyroscope.receive_http \"in\" {\n"
                 "  forward_to = [pyroscope.relabel.r.receiver, pyroscope.write.out.receiver]\n"
                 "  http {\n    listen_address = \"0.0.0.0\"\n    listen_port = \"9999\"\n  }\n"
                 "}\n"
                 "pyroscope.relabel \"r\" {\n"
                 "  forward_to = [pyroscope.write.out.receiver]\n"
                 "  rule {\n    action = \"labeldrop\"\n    regex = \"pod\"\n  }\n"
                 "  rule {\n    source_labels = [\"a\", \"b\"]\n    target_label = \"c\"\n  }\n"
                 "}\n"
                 "pyroscope.write \"out\" {\n"
                 "  endpoint {\n    url = sys.env(\"URL\") + \"/base\"\n"
                 "    headers = {\"X-Scope-OrgID\" = \"team\"}\n  }\n"
                 "  endpoint {\n    url = \"http://b\"\n    remote_timeout = \"1m30s\"\n  }\n"
                 "  external_labels = {env = \"prod\", zone = 7}\n"
                 "}\n");
    assert_int_equal(alloy_graph_count(graph), 3);
    assert_string_equal(alloy_graph_node(graph, 0)->id, "pyroscope.write.out");
    assert_string_equal(alloy_graph_node(graph, 1)->id, "pyroscope.relabel.r");
    assert_string_equal(alloy_graph_node(graph, 2)->id, "pyroscope.receive_http.in");
    const struct ex_receive *r = args_of("pyroscope.receive_http.in");
    assert_int_equal(r->http.listen_port, 9999);
    assert_int_equal(r->http.conn_limit, 16384);
    assert_int_equal(r->http.idle_ms, 120000);
    assert_true(r->http.given);
    assert_false(r->http.tls.given);
    assert_str(r->http.tls.client_auth_type, "NoClientCert");
    assert_int_equal(r->forward_to.count, 2);
    assert_ptr_equal(r->forward_to.items[0]->node, alloy_graph_node(graph, 1));
    assert_ptr_equal(r->forward_to.items[1]->node, alloy_graph_node(graph, 0));
    assert_string_equal(r->forward_to.items[1]->field, "receiver");
    const struct ex_relabel *re = args_of("pyroscope.relabel.r");
    assert_int_equal(re->rules.count, 2);
    const struct ex_rule *rules = re->rules.items;
    assert_str(rules[0].action, "labeldrop");
    assert_str(rules[1].replacement, "$1");
    assert_int_equal(rules[1].source_labels.count, 2);
    assert_str(rules[1].source_labels.items[1], "b");
    const struct ex_write *w = args_of("pyroscope.write.out");
    const struct ex_endpoint *e = w->endpoints.items;
    assert_int_equal(w->endpoints.count, 2);
    assert_str(e[0].url, "http://from.env:4040/base");
    assert_str(e[0].headers.items[0].key, "X-Scope-OrgID");
    assert_int_equal(e[0].max_backoff_retries, 10);
    assert_true(e[0].retry_on_http_429);
    assert_int_equal(e[1].remote_timeout_ms, 90000);
    assert_int_equal(e[1].min_backoff_ms, 500);
    assert_str(w->external_labels.items[1].value, "7");
}

static void blocks_of_every_kind_fill_their_structs(void **state)
{
    (void)state;
    expect_loads(
        "logging {\n  level = \"debug\"\n  format = \"json\"\n}\n"
        "pyroscope.scrape \"s\" {\n"
        "  targets = array.concat([{__address__ = \"a:1\", n = 1}], [{}])\n"
        "  forward_to = []\n"
        "  params = {seconds = [\"5\", 6], empty = []}\n"
        "  one = pyroscope.write.w.receiver\n"
        "  any = {a = [1, \"x\", null]}\n"
        "  ratio = \"0.25\"\n"
        "  old = \"x\"\n"
        "  profiling_config {\n"
        "    profile.memory {\n      enabled = false\n    }\n"
        "    profile.custom \"mine\" {\n      enabled = true\n      path = \"/x\"\n    }\n"
        "    stage.two {\n      username = \"u\"\n    }\n"
        "    stage.one { }\n"
        "    stage.two { }\n"
        "  }\n"
        "}\n"
        "pyroscope.write \"w\" { }\n");
    assert_int_equal(diags.count, 1);
    assert_int_equal(diags.items[0].severity, ALLOY_WARNING);
    assert_str(diags.items[0].message, "attribute \"old\" is deprecated");
    const struct alloy_logging *l = args_of("logging");
    assert_str(l->level, "debug");
    const struct ex_scrape *s = args_of("pyroscope.scrape.s");
    assert_int_equal(s->targets.count, 2);
    assert_int_equal(s->targets.items[0].count, 2);
    assert_str(s->targets.items[0].items[0].key, "__address__");
    assert_str(s->targets.items[0].items[1].value, "1");
    assert_int_equal(s->targets.items[1].count, 0);
    assert_int_equal(s->forward_to.count, 0);
    assert_int_equal(s->params.count, 2);
    assert_str(s->params.items[1].values.items[1], "6");
    assert_string_equal(s->one->node->id, "pyroscope.write.w");
    assert_int_equal(s->any.type, ALLOY_OBJECT);
    assert_true(s->ratio > 0.24 && s->ratio < 0.26);
    assert_false(s->profiling.memory.enabled);
    assert_str(s->profiling.memory.path, "/debug/pprof/allocs");
    const struct ex_profile *custom = s->profiling.custom.items;
    assert_str(custom->type, "mine");
    assert_int_equal(s->profiling.stages.count, 3);
    assert_string_equal(s->profiling.stages.items[0].name, "stage.two");
    assert_str(((const struct ex_basic *)s->profiling.stages.items[0].at)->username, "u");
    assert_str(((const struct ex_rule *)s->profiling.stages.items[1].at)->regex, "(.*)");
    alloy_graph_print(graph, alloy_graph_find(graph, STR("logging")), &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data, "level  = \"debug\"\nformat = \"json\"");
}

static void what_is_missing_is_said_of_the_component(void **state)
{
    (void)state;
    expect_refused(
        "pyroscope.write \"out\" {\n  endpoint { }\n}\n",
        "Error: config.alloy:1:1: Failed to build component: decoding configuration: "
        "missing required attribute \"url\"\n"
        "\n"
        "1 |   pyroscope.write \"out\" {\n"
        "  |  _^^^^^^^^^^^^^^^^^^^^^^^\n"
        "2 | |   endpoint { }\n"
        "3 | | }\n"
        "  | |_^\n"
        "4 |   \n");
    expect_messages(
        "pyroscope.receive_http \"in\" { }",
        "config.alloy:1:1: Failed to build component: decoding configuration: missing "
        "required attribute \"forward_to\"\n");
}

static void what_is_unknown_or_twice_is_shown_in_its_line(void **state)
{
    (void)state;
    expect_refused(
        "pyroscope.write \"w\" {\n\tendpoint {\n\t\turl   = \"a\"\n\t\turls  = \"b\"\n"
        "\t}\n}\n",
        "Error: config.alloy:4:3: unrecognized attribute name \"urls\"\n"
        "\n"
        "3 |         url   = \"a\"\n"
        "4 |         urls  = \"b\"\n"
        "  |         ^^^^^^^^^^^\n"
        "5 |     }\n");
    expect_messages("pyroscope.write \"w\" {\n  endpont {\n  }\n}\n",
                    "config.alloy:2:3: unrecognized block name \"endpont\"\n");
    expect_messages("pyroscope.write \"w\" {\n  endpoint = 1\n}\n",
                    "config.alloy:2:3: \"endpoint\" must be a block, but is used as an "
                    "attribute\n");
    expect_messages(
        "pyroscope.write \"w\" {\n  external_labels { }\n}\n",
        "config.alloy:2:3: \"external_labels\" must be an attribute, but is used as a "
        "block\n");
    expect_messages("pyroscope.receive_http \"w\" {\n  forward_to = []\n  forward_to = []\n}\n",
                    "config.alloy:3:3: attribute \"forward_to\" may only be provided once\n");
    expect_messages(
        "pyroscope.receive_http \"w\" {\n  forward_to = []\n  http { }\n  http { }\n}\n",
        "config.alloy:3:3: block \"http\" may only be specified once\n");
    expect_messages("pyroscope.write \"w\" { }\npyroscope.write \"w\" { }\n",
                    "config.alloy:2:1: block pyroscope.write.w already declared at "
                    "config.alloy:1:1\n");
    expect_messages("logging { }\nlogging { }\n",
                    "config.alloy:2:1: block logging already declared at config.alloy:1:1\n");
    expect_messages(
        "pyroscope.write \"w\" {\n  endpoint \"x\" { url = \"a\" }\n}\n",
        "config.alloy:2:3: block \"endpoint\" does not support specifying labels\n");
    expect_messages(
        "pyroscope.scrape \"w\" {\n  profiling_config {\n    profile.custom { }\n  }\n}",
        "config.alloy:3:5: block \"profile.custom\" requires non-empty label\n");
    expect_messages("pyroscope.write { }\n",
                    "config.alloy:1:1: component \"pyroscope.write\" must have a label\n");
    expect_messages("attr = 1\n", "config.alloy:1:1: unrecognized attribute attr\n");
}

static void a_wrong_type_is_shown_with_its_expression(void **state)
{
    (void)state;
    expect_refused("pyroscope.receive_http \"in\" {\n  forward_to = \"x\"\n}\n",
                   "Error: config.alloy:2:16: \"x\" should be array, got string\n"
                   "\n"
                   "1 | pyroscope.receive_http \"in\" {\n"
                   "2 |   forward_to = \"x\"\n"
                   "  |                ^^^\n"
                   "3 | }\n");
    expect_messages("pyroscope.receive_http \"in\" {\n  forward_to = [\"x\"]\n}\n",
                    "config.alloy:2:17: \"x\" should be capsule, got string\n");
    expect_messages("pyroscope.receive_http \"in\" {\n"
                    "  forward_to = []\n  http {\n    listen_port = [1]\n  }\n}\n",
                    "config.alloy:4:19: [1] should be number, got array\n");
    expect_messages("pyroscope.receive_http \"in\" {\n"
                    "  forward_to = []\n  http {\n    listen_port = \"x9\"\n  }\n}\n",
                    "config.alloy:4:19: \"x9\" should be number, got string\n");
    expect_messages("pyroscope.relabel \"in\" {\n"
                    "  forward_to = [pyroscope.relabel.x.rules]\n}\n"
                    "pyroscope.relabel \"x\" {\n  forward_to = []\n}\n",
                    "config.alloy:2:17: pyroscope.relabel.x.rules expected "
                    "capsule(\"pyroscope.Appendable\"), got capsule(\"relabel.Rules\")\n");
    expect_messages("pyroscope.write \"w\" {\n  external_labels = {a = [1, 2]}\n}\n",
                    "config.alloy:2:26: [1, 2] should be string, got array\n");
    expect_messages("pyroscope.write \"w\" {\n  external_labels = {a = true || 1}\n}\n",
                    "config.alloy:2:34: 1 should be one of [bool] for binop ||, got number\n");
    expect_messages(
        "pyroscope.scrape \"w\" {\n  targets = encoding.from_json(`[{\"a\": [1]}]`)\n"
        "  forward_to = []\n}\n",
        "config.alloy:2:13: encoding.from_json(`[{\"a\": [1]}]`)[0].a should be string, "
        "got array\n");
    expect_messages("pyroscope.write \"w\" {\n  endpoint {\n    url = \"a\"\n"
                    "    remote_timeout = \"15\"\n  }\n}\n",
                    "config.alloy:4:22: \"15\" time: missing unit in duration \"15\"\n");
    expect_messages("pyroscope.write \"w\" {\n  endpoint {\n    url = \"a\"\n"
                    "    bearer_token = 5\n  }\n}\n",
                    "config.alloy:4:20: 5 should be capsule, got number\n");
    expect_messages("pyroscope.write \"w\" {\n  endpoint {\n    url = \"a\"\n"
                    "    follow_redirects = \"true\"\n  }\n}\n",
                    "config.alloy:4:24: \"true\" should be bool, got string\n");
}

static void references_that_lead_nowhere_are_named(void **state)
{
    (void)state;
    expect_refused(
        "pyroscope.receive_http \"in\" {\n"
        "  forward_to = [pyroscope.write.nope.receiver]\n}\n",
        "Error: config.alloy:2:17: component \"pyroscope.write.nope.receiver\" does not "
        "exist or is out of scope\n"
        "\n"
        "1 | pyroscope.receive_http \"in\" {\n"
        "2 |   forward_to = [pyroscope.write.nope.receiver]\n"
        "  |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "3 | }\n");
    expect_messages(
        "pyroscope.receive_http \"in\" {\n  forward_to = [pyroscope.write.w.nope]\n}\n"
        "pyroscope.write \"w\" { }\n",
        "config.alloy:2:35: field \"nope\" does not exist\n");
    expect_refused("prometheus.scrape \"x\" {\n  targets = []\n}\n",
                   "Error: config.alloy:1:1: cannot find the definition of component name "
                   "\"prometheus.scrape\"\n"
                   "\n"
                   "1 | prometheus.scrape \"x\" {\n"
                   "  | ^^^^^^^^^^^^^^^^^\n"
                   "2 |   targets = []\n");
    expect_messages("pyroscope.receive_http \"in\" {\n  forward_to = sys.nope\n}\n",
                    "config.alloy:2:20: field \"nope\" does not exist\n");
}

static void circles_have_no_place(void **state)
{
    (void)state;
    const char *two =
        "pyroscope.relabel \"a\" {\n  forward_to = [pyroscope.relabel.b.receiver]\n}\n"
        "pyroscope.relabel \"b\" {\n  forward_to = [pyroscope.relabel.a.receiver]\n}\n";
    expect_refused(two, "Error: -: cycle: pyroscope.relabel.a, pyroscope.relabel.b\n");
    expect_refused(
        "pyroscope.relabel \"a\" {\n  forward_to = [pyroscope.relabel.a.receiver]\n}\n",
        "Error: -: self reference: pyroscope.relabel.a\n");
}

static void several_errors_are_told_at_once(void **state)
{
    (void)state;
    expect_messages(
        "pyroscope.write \"a\" {\n  x = 1\n}\npyroscope.write \"b\" {\n  y = 1\n}\n",
        "config.alloy:2:3: unrecognized attribute name \"x\"\n"
        "config.alloy:5:3: unrecognized attribute name \"y\"\n");
    buf_clear(&out);
    alloy_diags_summary(&diags, &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data,
                        "config.alloy:2:3: unrecognized attribute name \"x\" (and 1 more "
                        "diagnostics)");
}

static void a_table_s_own_check_is_said_of_the_statement_it_names(void **state)
{
    (void)state;
    expect_messages(
        "pyroscope.write \"w\" {\n  endpoint {\n    url = \"a\"\n"
        "    bearer_token = \"t\"\n    basic_auth { }\n  }\n}\n",
        "config.alloy:5:5: Failed to build component: decoding configuration: at most "
        "one of basic_auth, authorization, oauth2, bearer_token & bearer_token_file "
        "must be configured\n");
    expect_messages(
        "logging {\n  level = \"loud\"\n}\n",
        "config.alloy:2:3: Failed to evaluate node for config block: unrecognized log "
        "level \"loud\"\n");
}

static void other_top_level_blocks_warn_or_are_refused(void **state)
{
    (void)state;
    expect_loads("tracing {\n  sampling_fraction = 1\n}\nhttp { }\nlivedebugging { }\n");
    assert_int_equal(diags.count, 3);
    assert_str(diags.items[0].message, "block \"tracing\" has no effect here");
    assert_int_equal(alloy_graph_count(graph), 0);
    expect_messages("declare \"x\" { }\n",
                    "config.alloy:1:1: block \"declare\" is not supported\n");
    expect_messages("logging \"x\" { }\n",
                    "config.alloy:1:1: block \"logging\" does not support specifying labels\n");
}

static void old_function_names_work_with_a_warning(void **state)
{
    (void)state;
    expect_loads("pyroscope.write \"w\" {\n  endpoint {\n    url = env(\"URL\")\n  }\n}\n");
    assert_int_equal(diags.count, 1);
    assert_int_equal(diags.items[0].start.line, 3);
    assert_int_equal(diags.items[0].severity, ALLOY_WARNING);
    const struct ex_write *w = args_of("pyroscope.write.w");
    assert_str(((const struct ex_endpoint *)w->endpoints.items)->url, "http://from.env:4040");
}

static void files_are_one_configuration(void **state)
{
    (void)state;
    struct alloy_host host = ex_host();
    struct alloy_text t[] = {
        {STR("a.alloy"), STR("pyroscope.receive_http \"in\" {\n"
                             "  forward_to = [pyroscope.write.w.receiver]\n}")},
        {STR("b.alloy"), STR("pyroscope.write \"w\" { }")},
        {STR("c.alloy"), STR("pyroscope.write \"w\" { }")},
    };
    assert_int_equal(alloy_load(&graph, t, 2, &host, &diags), 0);
    assert_int_equal(alloy_graph_count(graph), 2);
    assert_str(alloy_graph_node(graph, 0)->file, "b.alloy");
    alloy_graph_free(&graph);
    assert_int_equal(alloy_load(&graph, t, 3, &host, &diags), ERR_PARSE);
    alloy_diags_print(&diags, t, 3, &out);
    buf_u8(&out, 0);
    assert_string_equal(
        (const char *)out.data,
        "Error: c.alloy:1:1: block pyroscope.write.w already declared at "
        "b.alloy:1:1\n\n1 | pyroscope.write \"w\" { }\n  | ^^^^^^^^^^^^^^^^^\n");
}

static void texts_that_are_not_utf8_are_refused(void **state)
{
    (void)state;
    struct alloy_host host = ex_host();
    struct alloy_text t = {STR("a"), STR("\xff\xfe\x61\0")};
    assert_int_equal(alloy_load(&graph, &t, 1, &host, &diags), ERR_PARSE);
    assert_str(diags.items[0].message,
               "configuration is encoded with UTF16LittleEndian but must be utf8");
    alloy_diags_reset(&diags);
    t.text = STR("a \xff {}");
    assert_int_equal(alloy_load(&graph, &t, 1, &host, &diags), ERR_PARSE);
    assert_str(diags.items[0].message, "unknown encoding for config");
    expect_loads("\xef\xbb\xbfpyroscope.write \"w\" { }");
}

static void exports_that_are_values_evaluate_who_needs_them(void **state)
{
    (void)state;
    expect_loads("local.file \"token\" {\n  filename = \"/x\"\n}\n"
                 "pyroscope.write \"w\" {\n  endpoint {\n    url = \"a\"\n"
                 "    bearer_token = local.file.token.content\n  }\n}\n"
                 "pyroscope.write \"other\" { }\n");
    const struct alloy_node *file = alloy_graph_find(graph, STR("local.file.token"));
    const struct alloy_node *w = alloy_graph_find(graph, STR("pyroscope.write.w"));
    assert_int_equal(w->need_count, 1);
    assert_ptr_equal(w->needs[0], file);
    const struct ex_write *before = w->args;
    assert_str(((const struct ex_endpoint *)before->endpoints.items)->bearer_token, "");
    char text[] = "s3cret";
    struct alloy_value v = alloy_value_string(str_of(text, 6));
    assert_int_equal(alloy_graph_export(graph, file, "content", &v, &diags), 0);
    text[0] = 'X'; /* a copy was made */
    assert_int_equal(w->version, 2);
    assert_int_equal(alloy_graph_find(graph, STR("pyroscope.write.other"))->version, 1);
    const struct ex_write *after = w->args;
    assert_str(((const struct ex_endpoint *)after->endpoints.items)->bearer_token, "s3cret");
    assert_str(((const struct ex_endpoint *)before->endpoints.items)->bearer_token, "");
    struct alloy_value wrong = alloy_value_bool(true);
    assert_int_equal(alloy_graph_export(graph, file, "content", &wrong, &diags), ERR_PARSE);
    assert_str(diags.items[0].message, "local.file.token.content should be capsule, got bool");
    after = w->args;
    assert_str(((const struct ex_endpoint *)after->endpoints.items)->bearer_token, "s3cret");
    assert_int_equal(alloy_graph_export(graph, file, "nope", &v, NULL), ERR_NOENT);
    alloy_graph_print(graph, w, &out);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.data,
                        "endpoint {\n\turl          = \"a\"\n\tbearer_token = \"(secret)\"\n}");
}

static int build_calls;

/* What a service does to read a file before those that refer to it are evaluated. */
static int build(void *arg, const struct alloy_node *n, struct err *err)
{
    (void)arg;
    build_calls++;
    const struct ex_write *w = n->args;
    if (strcmp(n->type->name, "pyroscope.write") == 0 && w->endpoints.count == 0)
        return err_set(err, ERR_INVAL, "no endpoints");
    return 0;
}

static void what_building_says_is_a_diagnostic(void **state)
{
    (void)state;
    struct alloy_host host = ex_host();
    struct alloy_text t = {STR("f"), STR("pyroscope.write \"w\" { }")};
    host.build = build;
    build_calls = 0;
    assert_int_equal(alloy_load(&graph, &t, 1, &host, &diags), ERR_PARSE);
    assert_int_equal(build_calls, 1);
    assert_str(diags.items[0].message,
               "Failed to build component: building component: no endpoints");
}

static void a_failing_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    struct alloy_host host = ex_host();
    struct alloy_text t = {
        STR("f"),
        STR("pyroscope.receive_http \"in\" {\n  forward_to = [pyroscope.write.w.receiver]\n}\n"
            "pyroscope.write \"w\" {\n  endpoint {\n    url = string.format(\"%s\", \"a\")\n"
            "    headers = encoding.from_json(\"{\\\"a\\\": \\\"b\\\"}\")\n  }\n}\n")};
    for (uint64_t n = 1;; n++) {
        struct alloy_graph *g = NULL;
        struct alloy_diags d = {0};
        mem_fail_at(n);
        int rc = alloy_load(&g, &t, 1, &host, &d);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        if (rc != 0) {
            assert_int_equal(rc, ERR_NOMEM);
            assert_null(g);
        }
        alloy_graph_free(&g);
        alloy_diags_reset(&d);
        if (over) {
            assert_int_equal(rc, 0);
            break;
        }
    }
}

static void a_component_may_not_take_all_memory(void **state)
{
    (void)state;
    /* Each replace makes the text 20 times as long. */
    struct buf text = {0};
    buf_c(&text, "pyroscope.write \"w\" {\n  endpoint {\n    url = ");
    for (int i = 0; i < 12; i++)
        buf_c(&text, "string.replace(");
    buf_c(&text, "\"aaaaaaaaaaaaaaaaaaaa\"");
    for (int i = 0; i < 12; i++)
        buf_c(&text, ", \"a\", \"aaaaaaaaaaaaaaaaaaaa\")");
    buf_c(&text, "\n  }\n}\n");
    buf_u8(&text, 0);
    expect_messages(
        (const char *)text.data,
        "config.alloy:1:1: Failed to build component: decoding configuration: a text "
        "of this component is too long\n");
    buf_reset(&text);
}

static void every_documented_attribute_is_taken(void **state)
{
    (void)state;
    expect_loads(
        "pyroscope.receive_http \"all\" {\n"
        "  forward_to = []\n  debug_info_upload_timeout = \"3m\"\n"
        "  graceful_shutdown_timeout = \"5s\"\n"
        "  http {\n    listen_address = \"127.0.0.1\"\n    listen_port = 4040\n"
        "    conn_limit = 0\n    server_read_timeout = \"1m\"\n"
        "    server_write_timeout = \"1m\"\n    server_idle_timeout = \"1m\"\n"
        "    tls {\n      cert_file = \"/c\"\n      key_file = \"/k\"\n"
        "      client_ca_pem = `-----BEGIN\nx`\n"
        "      client_auth_type = \"RequireAndVerifyClientCert\"\n    }\n  }\n}\n"
        "pyroscope.write \"all\" {\n  endpoint {\n    url = \"https://h/p\"\n    name = \"n\"\n"
        "    remote_timeout = \"1s\"\n    headers = {\"A-B\" = \"c\"}\n"
        "    min_backoff_period = \"100ms\"\n    max_backoff_period = \"1m\"\n"
        "    max_backoff_retries = 3\n    retry_on_http_429 = false\n"
        "    follow_redirects = false\n    enable_http2 = false\n"
        "    proxy_url = \"http://p\"\n    no_proxy = \"a,b\"\n"
        "    proxy_from_environment = false\n"
        "    proxy_connect_header = {\"X\" = [\"y\"]}\n"
        "    http_headers = {\"Y\" = [\"1\", convert.nonsensitive(\"2\")]}\n"
        "    oauth2 {\n      client_id = \"i\"\n      client_secret = \"s\"\n"
        "      scopes = [\"a\", \"b\"]\n      token_url = \"http://t\"\n"
        "      endpoint_params = {audience = \"x\"}\n"
        "      tls_config {\n        insecure_skip_verify = true\n      }\n    }\n"
        "    tls_config {\n      ca_pem = \"x\"\n      cert_pem = \"c\"\n      key_pem = "
        "\"k\"\n"
        "      server_name = \"s\"\n      min_version = \"TLS13\"\n    }\n  }\n"
        "  endpoint {\n    url = \"a\"\n    basic_auth {\n      username = \"u\"\n"
        "      password = \"p\"\n    }\n  }\n"
        "  endpoint {\n    url = \"a\"\n    authorization {\n      type = \"X\"\n"
        "      credentials = \"p\"\n    }\n  }\n}\n"
        "pyroscope.relabel \"all\" {\n  forward_to = []\n  max_cache_size = 5\n"
        "  rule {\n    source_labels = []\n    separator = \",\"\n    regex = \"a\"\n"
        "    modulus = 4\n    target_label = \"t\"\n    replacement = \"r\"\n"
        "    action = \"hashmod\"\n  }\n}\n");
    const struct ex_write *w = args_of("pyroscope.write.all");
    const struct ex_endpoint *e = w->endpoints.items;
    assert_true(e->oauth2.given && e->oauth2.tls.insecure_skip_verify);
    assert_str(e->http_headers.items[0].values.items[1], "2");
    assert_str(e[1].basic_auth.password, "p");
    assert_str(e[2].authorization.type, "X");
    const struct ex_receive *r = args_of("pyroscope.receive_http.all");
    assert_str(r->http.tls.client_ca, "-----BEGIN\nx");
}

static void a_reload_sees_what_changed(void **state)
{
    (void)state;
    const char *text = "pyroscope.scrape \"s\" {\n  targets = [{a = \"1\"}]\n"
                       "  forward_to = [pyroscope.write.w.receiver]\n"
                       "  params = {b = [\"2\"]}\n  any = [1, {x = 2}]\n  old = \"3\"\n"
                       "  one = pyroscope.write.w.receiver\n"
                       "  profiling_config {\n    profile.custom \"l4\" {\n"
                       "      enabled = true\n      path = \"5\"\n    }\n"
                       "    stage.one {\n      regex = \"6\"\n    }\n  }\n}\n"
                       "pyroscope.write \"w\" {\n  external_labels = {c = \"7\"}\n}\n"
                       "pyroscope.write \"v\" { }\n";
    expect_loads(text);
    struct alloy_graph *first = graph;
    graph = NULL;
    expect_loads(text);
    const struct alloy_node *a = alloy_graph_find(first, STR("pyroscope.scrape.s"));
    const struct alloy_node *b = alloy_graph_find(graph, STR("pyroscope.scrape.s"));
    assert_true(alloy_schema_equal(&ex_scrape_schema, a->args, b->args));
    for (const char *at = text; *at != '\0'; at++) {
        bool digit = *at >= '1' && *at <= '7', writer = at[0] == 'w' && at[1] == '.';
        if (!digit && !writer)
            continue;
        char changed[1024];
        (void)snprintf(changed, sizeof changed, "%s", text);
        changed[at - text] = digit ? '9' : 'v';
        expect_loads(changed);
        const char *id = *at == '7' ? "pyroscope.write.w" : "pyroscope.scrape.s";
        a = alloy_graph_find(first, str_c(id));
        b = alloy_graph_find(graph, str_c(id));
        assert_false(alloy_schema_equal(a->type->args, a->args, b->args));
    }
    alloy_graph_free(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_receiver_finds_its_writer_whatever_the_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(blocks_of_every_kind_fill_their_structs, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_is_said_of_the_component, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_unknown_or_twice_is_shown_in_its_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_wrong_type_is_shown_with_its_expression, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(references_that_lead_nowhere_are_named, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(circles_have_no_place, setup, teardown),
        cmocka_unit_test_setup_teardown(several_errors_are_told_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_s_own_check_is_said_of_the_statement_it_names,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(other_top_level_blocks_warn_or_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(old_function_names_work_with_a_warning, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(files_are_one_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_that_are_not_utf8_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(exports_that_are_values_evaluate_who_needs_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(every_documented_attribute_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_sees_what_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_building_says_is_a_diagnostic, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_allocation_leaves_nothing_behind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_component_may_not_take_all_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
