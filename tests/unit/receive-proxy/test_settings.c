/* The tables fill every argument of the documentation, and the checks name what is wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "alloy/graph.h"
#include "base/buf.h"

static const struct alloy_export receiver[] = {{"receiver", SET_RECEIVER}, {NULL, NULL}};

struct loaded {
    struct alloy_graph *graph;
    char error[2000];
};

static int load(struct loaded *l, bool compat, const char *text)
{
    static struct alloy_component types[2];
    struct alloy_text file = {STR("t.alloy"), str_c(text)};
    struct alloy_diags diags = {0};
    struct buf out = {0};
    types[0] = (struct alloy_component){"pyroscope.write", set_write_schema(compat), receiver, 0};
    types[1] = (struct alloy_component){"pyroscope.relabel", &set_relabel_schema, receiver, 0};
    struct alloy_host host = {.types = types, .type_count = 2};
    l->graph = NULL;
    l->error[0] = '\0';
    int rc = alloy_load(&l->graph, &file, 1, &host, &diags);
    if (rc != 0) {
        alloy_diags_print(&diags, &file, 1, &out);
        (void)snprintf(l->error, sizeof l->error, "%.*s", STR_ARG(buf_view(&out)));
    }
    buf_reset(&out);
    alloy_diags_reset(&diags);
    return rc;
}

static const void *args(const struct loaded *l, const char *id)
{
    const struct alloy_node *n = alloy_graph_find(l->graph, str_c(id));
    assert_non_null(n);
    return n->args;
}

static void defaults_are_those_of_the_documentation(void **state)
{
    struct loaded l;
    (void)state;
    assert_int_equal(load(&l, false, "pyroscope.write \"x\" {\n  endpoint {\n    url = "
                                     "\"http://a:4040\"\n  }\n}\n"),
                     0);
    const struct set_write *w = args(&l, "pyroscope.write.x");
    assert_int_equal(w->endpoints.count, 1);
    const struct set_endpoint *e = w->endpoints.items;
    assert_true(str_eq(e->url, STR("http://a:4040")));
    assert_int_equal(e->remote_timeout_ms, 10000);
    assert_int_equal(e->debug_info_upload_timeout_ms, 120000);
    assert_int_equal(e->min_backoff_ms, 500);
    assert_int_equal(e->max_backoff_ms, 300000);
    assert_int_equal(e->max_backoff_retries, 10);
    assert_true(e->retry_on_http_429 && e->follow_redirects && e->enable_http2);
    assert_false(e->basic_auth.given || e->oauth2.given || e->authorization.given);
    assert_true(w->status_passthrough && w->forward_headers && w->deadline_budget);
    assert_true(w->queue.enabled);
    assert_int_equal(w->queue.dir.len, 0);
    assert_true(str_eq(w->queue.max_bytes, STR("64MiB")));
    assert_int_equal(w->queue.max_age_ms, 3600000);
    assert_true(w->tracing.jaeger_propagator);
    alloy_graph_free(&l.graph);
}

static void alloys_defaults_have_nothing_better(void **state)
{
    struct loaded l;
    (void)state;
    assert_int_equal(load(&l, true, "pyroscope.write \"x\" { }\n"), 0);
    const struct set_write *w = args(&l, "pyroscope.write.x");
    assert_false(w->status_passthrough || w->forward_headers || w->deadline_budget);
    assert_false(w->queue.enabled);
    alloy_graph_free(&l.graph);
}

static void every_argument_is_taken(void **state)
{
    struct loaded l;
    (void)state;
    int rc = load(&l, false,
                  "pyroscope.write \"x\" {\n"
                  "  external_labels = { \"cluster\" = \"c\" }\n"
                  "  status_passthrough = false\n"
                  "  tracing { jaeger_propagator = false }\n"
                  "  queue {\n    dir = \"/var/q\"\n    max_bytes = \"1GiB\"\n"
                  "    max_age = \"24h\"\n  }\n"
                  "  endpoint {\n"
                  "    url = \"https://a\"\n    name = \"n\"\n    remote_timeout = \"3s\"\n"
                  "    headers = { \"X-Scope-OrgID\" = \"t\" }\n"
                  "    min_backoff_period = \"1s\"\n    max_backoff_period = \"2s\"\n"
                  "    max_backoff_retries = 0\n    retry_on_http_429 = false\n"
                  "    debug_info_upload_timeout = \"1m\"\n"
                  "    follow_redirects = false\n    enable_http2 = false\n"
                  "    http_headers = { \"A\" = [\"1\", \"2\"] }\n"
                  "    proxy_url = \"http://p\"\n    no_proxy = \"b\"\n"
                  "    proxy_connect_header = { \"B\" = [\"3\"] }\n"
                  "    oauth2 {\n      client_id = \"id\"\n      client_secret = \"s\"\n"
                  "      token_url = \"https://t\"\n      scopes = [\"a\", \"b\"]\n"
                  "      endpoint_params = { \"k\" = \"v\" }\n"
                  "      tls_config { insecure_skip_verify = true }\n    }\n"
                  "    tls_config {\n      ca_pem = \"x\"\n      server_name = \"s\"\n"
                  "      min_version = \"TLS13\"\n    }\n"
                  "  }\n"
                  "  endpoint {\n    url = \"http://b\"\n    basic_auth {\n"
                  "      username = \"u\"\n      password_file = \"/p\"\n    }\n  }\n"
                  "  endpoint {\n    url = \"http://c\"\n    authorization {\n"
                  "      credentials = \"c\"\n    }\n  }\n"
                  "  endpoint {\n    url = \"http://d\"\n    bearer_token = \"b\"\n  }\n"
                  "}\n"
                  "pyroscope.relabel \"r\" {\n"
                  "  forward_to = [pyroscope.write.x.receiver]\n  max_cache_size = 5\n"
                  "  rule {\n    action = \"hashmod\"\n    source_labels = [\"a\", \"b\"]\n"
                  "    separator = \",\"\n    target_label = \"h\"\n    modulus = 8\n  }\n"
                  "  rule {\n    action = \"labelmap\"\n    regex = \"x_(.+)\"\n  }\n"
                  "}\n");
    if (rc != 0)
        print_error("%s\n", l.error);
    assert_int_equal(rc, 0);
    const struct set_write *w = args(&l, "pyroscope.write.x");
    const struct set_endpoint *e = w->endpoints.items;
    assert_int_equal(w->endpoints.count, 4);
    assert_int_equal(e->remote_timeout_ms, 3000);
    assert_int_equal(e->max_backoff_retries, 0);
    assert_false(e->retry_on_http_429 || e->follow_redirects || w->status_passthrough);
    assert_int_equal(e->http_headers.items[0].values.count, 2);
    assert_true(e->oauth2.given && e->oauth2.tls.insecure_skip_verify);
    assert_int_equal(e->oauth2.scopes.count, 2);
    assert_true(str_eq(e->tls.min_version, STR("TLS13")));
    assert_true(e[1].basic_auth.given && e[2].authorization.given);
    assert_true(str_eq(e[2].authorization.type, STR("Bearer")));
    assert_int_equal(w->queue.max_age_ms, 86400000);
    const struct set_relabel *r = args(&l, "pyroscope.relabel.r");
    const struct set_rule *rules = r->rules.items;
    assert_int_equal(r->rules.count, 2);
    assert_int_equal(r->forward_to.count, 1);
    assert_int_equal(rules[0].modulus, 8);
    assert_true(str_eq(rules[1].replacement, STR("$1")));
    alloy_graph_free(&l.graph);
}

static void what_is_secret_is_not_shown(void **state)
{
    struct loaded l;
    struct buf out = {0};
    (void)state;
    assert_int_equal(
        load(&l, false,
             "pyroscope.write \"x\" {\n  endpoint {\n    url = \"http://u:hush1@a\"\n"
             "    proxy_url = \"http://u:hush2@p\"\n"
             "    http_headers = {\"A\" = [\"hush3\", \"hush4\"]}\n"
             "    proxy_connect_header = {\"B\" = [\"hush5\"]}\n"
             "    bearer_token = \"hush6\"\n  }\n}\n"),
        0);
    const struct set_write *w = args(&l, "pyroscope.write.x");
    const struct set_endpoint *e = w->endpoints.items;
    assert_true(str_eq(e->http_headers.items[0].values.items[0], STR("hush3")));
    alloy_graph_print(l.graph, alloy_graph_find(l.graph, STR("pyroscope.write.x")), &out);
    assert_true(str_contains(buf_view(&out), STR("(secret)")));
    assert_false(str_contains(buf_view(&out), STR("hush")));
    buf_reset(&out);
    alloy_graph_free(&l.graph);
}

static void a_url_is_shown_without_its_password(void **state)
{
    static const char *const rows[][2] = {
        {"http://a:4040/x", "http://a:4040/x"},
        {"http://u@a:4040/x", "http://u@a:4040/x"},
        {"https://u:p@a/x@y:z", "https://u:xxxxx@a/x@y:z"},
        {"http://u:p@q@a", "http://u:xxxxx@a"},
        {"http://u:@a?b", "http://u:xxxxx@a?b"},
        {"", ""},
        {"u:p@a", "u:p@a"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b = {0};
        set_put_url(str_c(rows[i][0]), &b);
        assert_true(str_eq(buf_view(&b), str_c(rows[i][1])));
        buf_reset(&b);
    }
}

static void refused(const char *inside, const char *text)
{
    struct loaded l;
    char config[2000];
    (void)snprintf(config, sizeof config,
                   "pyroscope.write \"x\" {\n  endpoint {\n    url = \"http://a\"\n%s\n  }\n}\n",
                   inside);
    assert_int_not_equal(load(&l, false, config), 0);
    if (strstr(l.error, text) == NULL)
        print_error("%s\n", l.error);
    assert_non_null(strstr(l.error, text));
}

static void what_does_not_go_together_is_refused(void **state)
{
    struct loaded l;
    (void)state;
    refused("bearer_token = \"a\"\nbasic_auth { }",
            "at most one of basic_auth, authorization, oauth2, bearer_token & bearer_token_file");
    refused("bearer_token = \"a\"\nbearer_token_file = \"b\"",
            "at most one of basic_auth, authorization, oauth2, bearer_token & bearer_token_file");
    refused("authorization {\n type = \"Basic\"\n}", "authorization type cannot be set to");
    refused("basic_auth {\n password = \"a\"\n password_file = \"b\"\n}",
            "at most one of basic_auth password & password_file");
    refused("oauth2 {\n client_id = \"a\"\n client_secret = \"b\"\n}", "token_url");
    refused("oauth2 {\n client_id = \"a\"\n token_url = \"b\"\n}", "client_secret");
    refused("tls_config {\n ca_pem = \"a\"\n ca_file = \"b\"\n}",
            "at most one of ca_pem and ca_file must be configured");
    refused("tls_config {\n cert_pem = \"a\"\n}", "key_pem or key_file");
    refused("tls_config {\n key_pem = \"a\"\n}", "cert_pem or cert_file");
    refused("tls_config {\n min_version = \"TLS14\"\n}", "unknown TLS version: TLS14");
    refused("http_headers = {\"authorization\" = [\"a\"]}",
            "setting header \"Authorization\" is not allowed");
    refused("proxy_url = \":a\"", "missing protocol scheme");
    refused("oauth2 {\n client_id = \"a\"\n client_secret = \"b\"\n client_secret_file = \"c\"\n}",
            "at most one of oauth2 client_secret & client_secret_file");
    refused("no_proxy = \"a\"", "if no_proxy is configured");
    refused("proxy_url = \"http://a\"\nproxy_from_environment = true",
            "if proxy_from_environment is configured");
    refused("remote_timeout = \"0s\"", "remote_timeout must be positive");
    refused("min_backoff_period = \"9s\"\nmax_backoff_period = \"1s\"", "max_backoff_period");
    refused("max_backoff_retries = -1", "max_backoff_retries");
    refused("headers = {\"X: y\\r\\nEvil\" = \"z\"}", "cannot be sent as a header");
    refused("headers = {\"X\" = \"a\\nb\"}", "cannot be sent as a header");
    refused("http_headers = {\"X\" = [\"a\", \"a\\r\\nb\"]}", "cannot be sent as a header");
    refused("http_headers = {\"\" = [\"a\"]}", "cannot be sent as a header");
    refused("proxy_url = \"http://p\"\nproxy_connect_header = {\"a b\" = [\"c\"]}",
            "cannot be sent as a header");
    assert_int_not_equal(
        load(&l, false, "pyroscope.write \"x\" {\n endpoint {\n url = \"http://a b\"\n }\n}\n"),
        0);
    assert_non_null(strstr(l.error, "blank"));
    assert_int_not_equal(
        load(&l, false, "pyroscope.write \"x\" {\n endpoint {\n url = \"a:4040\"\n }\n}\n"), 0);
    assert_non_null(strstr(l.error, "is not an http:// or https:// URL"));
    assert_int_not_equal(
        load(&l, false, "pyroscope.write \"x\" {\n queue {\n max_bytes = \"many\"\n }\n}\n"), 0);
    assert_non_null(strstr(l.error, "max_bytes"));
    assert_int_not_equal(load(&l, false, "pyroscope.write \"x\" {\n endpoint { }\n}\n"), 0);
    assert_non_null(strstr(l.error, "missing required attribute \"url\""));
    assert_int_not_equal(load(&l, false,
                              "pyroscope.relabel \"x\" {\n forward_to = []\n rule {\n action = "
                              "\"drop\"\n regex = \"(\"\n }\n}\n"),
                         0);
    assert_non_null(strstr(l.error, "regex: bad regular expression"));
    assert_int_not_equal(
        load(&l, false, "pyroscope.relabel \"x\" {\n forward_to = []\n max_cache_size = 0\n}\n"),
        0);
    assert_non_null(strstr(l.error, "max_cache_size must be greater than 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_documentation),
        cmocka_unit_test(alloys_defaults_have_nothing_better),
        cmocka_unit_test(every_argument_is_taken),
        cmocka_unit_test(what_is_secret_is_not_shown),
        cmocka_unit_test(a_url_is_shown_without_its_password),
        cmocka_unit_test(what_does_not_go_together_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
