/* Expressions are worth what Alloy makes of them, and complain in its words. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloy/eval.h"

#include <string.h>

#include "base/mem.h"
#include "expressions.h"

static struct arena *arena;
static struct mem_account account;
static struct alloy_diags diags;
static struct buf out;
static struct alloy_value last;
static struct alloy_capsule secret, receiver;

static int setup(void **state)
{
    (void)state;
    mem_account_init(&account, NULL, "test", ALLOY_EVAL_BYTES_MAX);
    secret = (struct alloy_capsule){.type = ALLOY_SECRET_TYPE, .secret = STR("hush")};
    receiver = (struct alloy_capsule){
        .type = "pyroscope.Appendable", .node = (const void *)&receiver, .field = "receiver"};
    return arena_init(&arena, 0, &account);
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    alloy_diags_reset(&diags);
    buf_reset(&out);
    return 0;
}

static const char *env(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "HOME_TOWN") == 0 ? "Bern" : NULL;
}

static bool lookup(void *arg, struct str name, struct alloy_value *v)
{
    (void)arg;
    static struct alloy_value items[2];
    if (str_eq(name, STR("secret"))) {
        *v = (struct alloy_value){.type = ALLOY_CAPSULE, .capsule = &secret};
    } else if (str_eq(name, STR("receiver"))) {
        *v = (struct alloy_value){.type = ALLOY_CAPSULE, .capsule = &receiver};
    } else if (str_eq(name, STR("list"))) {
        items[0] = alloy_value_int(1);
        items[1] = alloy_value_bool(true);
        *v = (struct alloy_value){.type = ALLOY_ARRAY, .array = {2, items}};
    } else {
        return false;
    }
    return true;
}

/* The printed worth of an expression, or "! " and the complaint. */
static const char *eval(const char *text)
{
    struct buf source = {0};
    struct alloy_file *f;
    buf_printf(&source, "x = %s", text);
    struct alloy_text t = {STR("f.alloy"), str_dup(arena, buf_view(&source))};
    buf_reset(&source);
    alloy_diags_reset(&diags);
    buf_clear(&out);
    if (alloy_parse(&f, &t, arena, &diags) != 0)
        return "! cannot be parsed";
    struct alloy_eval ev = {.file = f,
                            .arena = arena,
                            .diags = &diags,
                            .lookup = lookup,
                            .env = env,
                            .hostname = "host-1",
                            .version = "v1.2.3"};
    int rc = alloy_eval_expr(&ev, f->body->value, &last);
    if (rc == 0) {
        alloy_value_print(&last, &out);
    } else {
        buf_c(&out, "! ");
        if (diags.count > 0)
            alloy_diags_summary(&diags, &out);
        else
            buf_c(&out, ev.err.msg);
    }
    buf_u8(&out, 0);
    return (const char *)out.data;
}

static void expressions_are_worth_what_the_peer_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++)
        if (strcmp(eval(expressions[i].text), expressions[i].worth) != 0)
            fail_msg("%s\n   is %s\n  not %s", expressions[i].text, (const char *)out.data,
                     expressions[i].worth);
}

static void the_environment_and_the_host_are_the_caller_s(void **state)
{
    (void)state;
    assert_string_equal(eval("sys.env(\"HOME_TOWN\") + env(\"NOT_SET\")"), "\"Bern\"");
    assert_string_equal(eval("constants.hostname + constants.version"), "\"host-1v1.2.3\"");
}

static void secrets_stay_secret(void **state)
{
    (void)state;
    assert_string_equal(eval("secret"), "(secret)");
    assert_string_equal(eval("\"a \" + secret + \"!\""), "(secret)");
    assert_true(str_eq(last.capsule->secret, STR("a hush!")));
    assert_string_equal(eval("convert.nonsensitive(secret)"), "\"hush\"");
    assert_string_equal(eval("secret == \"hush\""), "true");
    assert_string_equal(eval("[secret] == [secret]"), "true");
    assert_string_equal(eval("secret + 1"), "! f.alloy:1:14: 1 should be capsule, got number");
    assert_string_equal(eval("string.to_upper(secret)"),
                        "! f.alloy:1:21: secret should be string, got capsule");
    assert_string_equal(eval("convert.nonsensitive(5)"),
                        "! f.alloy:1:26: 5 should be capsule, got number");
    assert_string_equal(eval("coalesce(\"\", secret)"), "(secret)");
}

static void capsules_are_only_passed_on(void **state)
{
    (void)state;
    assert_string_equal(eval("[receiver]"), "[capsule(\"pyroscope.Appendable\")]");
    assert_string_equal(eval("receiver == receiver"), "true");
    assert_string_equal(
        eval("receiver + receiver"),
        "! f.alloy:1:5: receiver could not perform binop + for unknown types lhs "
        "capsule rhs capsule");
    assert_string_equal(
        eval("receiver.x"),
        "! f.alloy:1:5: receiver expected object or array or a capsule convertible "
        "to an object, got capsule");
    assert_string_equal(eval("receiver(1)"),
                        "! f.alloy:1:5: receiver should be function, got capsule");
}

static void the_way_into_a_value_is_shown_from_what_is_written(void **state)
{
    (void)state;
    assert_string_equal(eval("string.join(list, \",\")"),
                        "! f.alloy:1:17: list[1] should be string, got bool");
    assert_string_equal(eval("string.join([[1], 2], \",\")"),
                        "! f.alloy:1:18: [1] should be string, got array");
}

static void documents_are_read_as_values(void **state)
{
    (void)state;
    assert_string_equal(eval("encoding.from_json(`{\"b\": {\"c\": [1e2, -0.5]}, \"a\": null, "
                             "\"a\": \"\\u20ac\\n\"}`)"),
                        "{a = \"\xe2\x82\xac\\n\", b = {c = [100, -0.5]}}");
    assert_string_equal(eval("encoding.from_json(\"{\")"),
                        "! f.alloy:1:5: encoding.from_json JSON: no key at byte 1");
    assert_string_equal(eval("encoding.from_yaml(\"[a, 1, 18446744073709551615, 0.5, True, ~, "
                             "'1']\")"),
                        "[\"a\", 1, 18446744073709551615, 0.5, true, null, \"1\"]");
    assert_string_equal(eval("encoding.from_yaml(\"\")"), "null");
    assert_true(strstr(eval("encoding.from_yaml(\"{\")"), "encoding.from_yaml yaml:") != NULL);
    assert_string_equal(eval("encoding.to_json({s = [secret]})"),
                        "! f.alloy:1:5: encoding.to_json json: unsupported type");
    assert_string_equal(eval("encoding.from_base64(\"!\")"),
                        "! f.alloy:1:5: encoding.from_base64 illegal base64 data");
    assert_string_equal(eval("encoding.url_decode(\"%4\")"),
                        "! f.alloy:1:5: encoding.url_decode invalid URL escape");
    assert_string_equal(eval("json_path(`{\"a b\": [1, 2]}`, `$['a b'][-1]`)"), "[2]");
    assert_string_equal(eval("json_path(`{\"a\": 1}`, `a`)"), "[1]");
    assert_string_equal(eval("json_path(`[]`, `$[?(@.x)]`)"),
                        "! f.alloy:1:5: json_path the JSONPath expression is not supported");
}

static void what_grows_is_stopped(void **state)
{
    (void)state;
    struct buf text = {0};
    /* A YAML text whose aliases multiply: 10^9 elements. */
    buf_c(&text, "encoding.from_yaml(`a: &a [x,x,x,x,x,x,x,x,x,x]\n");
    for (char c = 'b'; c < 'k'; c++) {
        buf_printf(&text, "%c: &%c [", c, c);
        for (int i = 0; i < 10; i++)
            buf_printf(&text, "%s*%c", i > 0 ? "," : "", c - 1);
        buf_c(&text, "]\n");
    }
    buf_c(&text, "`)");
    buf_u8(&text, 0);
    assert_true(strstr(eval((const char *)text.data), "too much memory") != NULL);
    assert_true(account.used <= account.limit);
    buf_reset(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(expressions_are_worth_what_the_peer_says, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_environment_and_the_host_are_the_caller_s, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(secrets_stay_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(capsules_are_only_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(the_way_into_a_value_is_shown_from_what_is_written,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(documents_are_read_as_values, setup, teardown),
        cmocka_unit_test_setup_teardown(what_grows_is_stopped, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
