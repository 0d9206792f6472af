/* Settings become ways: certificates follow their files, proxies come from settings or the
 * environment; and the name of an instance stays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "way_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "creds_run.h"
#include "write.h"

static char dir[] = "/tmp/emberring-waytest-XXXXXX";
static char path[100];

#define PEM "-----BEGIN CERTIFICATE-----"

static void put_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
}

static void certificates_follow_their_files(void **state)
{
    struct set_tls s = {.ca_file = str_c(path), .cert_pem = STR("c"), .key_pem = STR("k")};
    struct set_proxy none = {0};
    struct way *w = NULL;
    struct way_use first = {0}, second = {0};
    struct err err = {0};
    (void)state;
    put_file("no certificate");
    assert_int_equal(way_init(&w, &s, &none, true, STR("https://x"), &err), ERR_INVAL);
    assert_non_null(strstr(err.msg, "unable to use specified CA cert"));
    put_file(PEM "one");
    assert_int_equal(way_init(&w, &s, &none, true, STR("https://x"), NULL), 0);
    way_begin(w, 1000, &first);
    assert_true(str_eq(first.http.ca_pem, STR(PEM "one")));
    assert_true(str_eq(first.http.cert_pem, STR("c")));
    assert_true(str_eq(first.http.key_pem, STR("k")));
    assert_int_equal(first.http.tls_min, 12);
    assert_true(first.http.redirects_max > 0);
    put_file(PEM "another");
    way_begin(w, 1500, &second); /* not looked at again yet */
    assert_true(str_eq(second.http.ca_pem, STR(PEM "one")));
    way_begin(w, 2000, &second);
    assert_true(str_eq(second.http.ca_pem, STR(PEM "another")));
    assert_true(str_eq(first.http.ca_pem, STR(PEM "one"))); /* a call under way keeps its own */
    assert_int_equal(unlink(path), 0);
    way_begin(w, 4000, &second); /* gone: the last one is used */
    assert_true(str_eq(second.http.ca_pem, STR(PEM "another")));
    way_end(&first);
    way_end(&second);
    way_end(&second);
    way_free(&w);
    assert_null(w);
}

static const char *proxy_of(struct set_proxy p, const char *url)
{
    static char text[100];
    struct set_tls tls = {0};
    struct way *w = NULL;
    struct way_use use = {0};
    assert_int_equal(way_init(&w, &tls, &p, false, str_c(url), NULL), 0);
    way_begin(w, 1, &use);
    (void)snprintf(text, sizeof text, "%s|%s", use.http.proxy == NULL ? "-" : use.http.proxy,
                   use.http.no_proxy == NULL ? "-" : use.http.no_proxy);
    assert_int_equal(use.http.redirects_max, 0);
    way_end(&use);
    way_free(&w);
    return text;
}

static void proxies_are_chosen_as_go_does(void **state)
{
    struct set_proxy none = {0}, own = {.url = STR("http://p"), .no_proxy = STR("a,b")},
                     env = {.from_environment = true};
    (void)state;
    assert_int_equal(setenv("HTTP_PROXY", "http://plain", 1), 0);
    assert_int_equal(setenv("https_proxy", "http://secure", 1), 0);
    assert_int_equal(setenv("NO_PROXY", "x.test", 1), 0);
    assert_string_equal(proxy_of(none, "http://h"), "-|-");
    assert_string_equal(proxy_of(own, "http://h"), "http://p|a,b");
    assert_string_equal(proxy_of(env, "http://h"), "http://plain|x.test");
    assert_string_equal(proxy_of(env, "https://h"), "http://secure|x.test");
    assert_string_equal(proxy_of(env, "http://localhost:80/x"), "-|-");
    assert_string_equal(proxy_of(env, "http://[::1]:80"), "-|-");
    unsetenv("HTTP_PROXY");
    unsetenv("https_proxy");
    unsetenv("NO_PROXY");
    assert_string_equal(proxy_of(env, "http://h"), "-|-");
}

static void hosts_are_found_in_urls(void **state)
{
    (void)state;
    assert_true(str_eq(way_host(STR("http://a.b:80/c")), STR("a.b")));
    assert_true(str_eq(way_host(STR("https://u:p@a?x")), STR("a")));
    assert_true(str_eq(way_host(STR("http://[fe80::1]:7/")), STR("fe80::1")));
    assert_true(str_eq(way_host(STR("http://[broken")), STR("")));
    assert_true(str_eq(way_host(STR("http:///x")), STR("")));
}

static void secrets_are_trimmed_and_missing_files_named(void **state)
{
    struct secret *s = NULL;
    struct arena *a = NULL;
    struct str v;
    struct err err = {0};
    (void)state;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(secret_init(&s, STR(" as it is "), STR("")), 0);
    assert_int_equal(secret_get(s, a, &v, NULL), 0);
    assert_true(str_eq(v, STR(" as it is ")));
    secret_free(&s);
    assert_int_equal(secret_init(&s, STR("x"), str_c(path)), 0);
    assert_int_equal(secret_get(s, a, &v, &err), ERR_IO);
    assert_non_null(strstr(err.msg, path));
    put_file("\n token \n"); /* it comes later */
    assert_int_equal(secret_get(s, a, &v, NULL), 0);
    assert_true(str_eq(v, STR("token")));
    unlink(path);
    assert_int_equal(secret_get(s, a, &v, NULL), ERR_IO);
    secret_free(&s);
    secret_free(&s);
    arena_free(&a);
}

static void running_out_of_memory_is_an_error(void **state)
{
    static const struct str value = STR_INIT("v");
    static const struct alloy_pair_strs header = {STR_INIT("h"), {1, &value}};
    struct set_tls s = {.ca_pem = STR(PEM), .server_name = STR("s")};
    struct set_proxy p = {.url = STR("http://p"), .connect_headers = {1, &header}};
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct way *w = NULL;
        mem_fail_at(n);
        int rc = way_init(&w, &s, &p, true, STR("https://x"), NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        way_free(&w);
        if (over)
            break;
    }
}

static void an_instance_keeps_its_name(void **state)
{
    char one[INSTANCE_ID_SIZE], two[INSTANCE_ID_SIZE], file[200];
    struct err err = {0};
    (void)state;
    (void)snprintf(file, sizeof file, "%s/alloy_seed.json", dir);
    assert_int_equal(instance_id_load(str_c(dir), one, NULL), 0);
    assert_int_equal(strlen(one), 36);
    assert_int_equal(one[14], '4');
    assert_int_equal(instance_id_load(str_c(dir), two, NULL), 0);
    assert_string_equal(one, two);
    assert_int_equal(instance_id_load(STR(""), two, NULL), 0);
    assert_string_not_equal(one, two);
    /* Alloy's own file. */
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "{\n  \"UID\": \"01234567-89ab-cdef-0123-456789abcdef\",\n"
                           "  \"created_at\": \"2024\"\n}") > 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(instance_id_load(str_c(dir), one, NULL), 0);
    assert_string_equal(one, "01234567-89ab-cdef-0123-456789abcdef");
    unlink(file);
    assert_int_equal(instance_id_load(STR("/proc/none/x"), one, &err), ERR_IO);
    assert_int_equal(strlen(one), 36);
}

static int make_dir(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/file", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_follow_their_files),
        cmocka_unit_test(proxies_are_chosen_as_go_does),
        cmocka_unit_test(hosts_are_found_in_urls),
        cmocka_unit_test(secrets_are_trimmed_and_missing_files_named),
        cmocka_unit_test(running_out_of_memory_is_an_error),
        cmocka_unit_test(an_instance_keeps_its_name),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
