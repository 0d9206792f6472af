/* Hostile text stays text; numbers and times read as people write them; the frame's links fit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/page_html.h"
#include "app/page_index.h"
#include "base/err.h"
#include "base/mem.h"

static void expect(struct buf *b, const char *want)
{
    assert_int_equal(b->error, 0);
    if (!str_eq(buf_view(b), str_c(want)))
        fail_msg("%.*s is not %s", STR_ARG(buf_view(b)), want);
    buf_clear(b);
}

static void hostile_text_stays_text(void **state)
{
    struct buf b = {0};
    (void)state;
    html_str(&b, STR("<script>alert('x')</script> & \"y\""));
    expect(&b, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;");
    html_str(&b, STR("a\0b\x1b[31m\x7f"));
    expect(&b, "a\xef\xbf\xbd" "b\xef\xbf\xbd[31m\xef\xbf\xbd");
    html_str(&b, STR("caf\xc3\xa9 \xf0\x9f\x94\xa5 \xc3 \xff \xed\xa0\x80"));
    expect(&b, "caf\xc3\xa9 \xf0\x9f\x94\xa5 \xef\xbf\xbd \xef\xbf\xbd "
               "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    html_str(&b, STR("\xe2\x82")); /* cut within a character */
    expect(&b, "\xef\xbf\xbd\xef\xbf\xbd");
    html_str(&b, STR(""));
    expect(&b, "");
    html_query(&b, STR("a b&c=\"d\"/<e>"));
    expect(&b, "a%20b%26c%3D%22d%22%2F%3Ce%3E");
    buf_reset(&b);
}

static void numbers_read_as_people_write_them(void **state)
{
    struct buf b = {0};
    (void)state;
    html_count(&b, 0);
    expect(&b, "0");
    html_count(&b, 1408);
    expect(&b, "1,408");
    html_count(&b, 1000005);
    expect(&b, "1,000,005");
    html_percent(&b, 0, 4);
    expect(&b, "0 %");
    html_percent(&b, 1, 0);
    expect(&b, "0 %");
    html_percent(&b, 1, 4000);
    expect(&b, "&lt;0.1 %");
    html_percent(&b, 22, 100);
    expect(&b, "22.0 %");
    html_percent(&b, 9.52, 100);
    expect(&b, "9.52 %");
    html_percent(&b, 99.999, 100);
    expect(&b, "99.9 %");
    html_percent(&b, 7, 7);
    expect(&b, "100 %");
    html_size(&b, 412);
    expect(&b, "412 B");
    html_size(&b, 21914);
    expect(&b, "21.4 KiB");
    html_size(&b, 1048575);
    expect(&b, "1.0 MiB");
    html_size(&b, 300 << 20);
    expect(&b, "300 MiB");
    html_size(&b, UINT64_MAX);
    expect(&b, "16777216 TiB");
    buf_reset(&b);
}

static void times_and_ages_are_short(void **state)
{
    struct buf b = {0};
    (void)state;
    html_age(&b, 1999);
    expect(&b, "1 s");
    html_age(&b, 134000);
    expect(&b, "2 min 14 s");
    html_age(&b, 60000);
    expect(&b, "60 s");
    html_age(&b, 600000);
    expect(&b, "10 min");
    html_age(&b, 7500000);
    expect(&b, "2 h 5 min");
    html_age(&b, 90000000);
    expect(&b, "1 d 1 h");
    html_age(&b, -3000);
    expect(&b, "\xe2\x88\x92" "3 s");
    html_time(&b, 1700000000250);
    expect(&b, "2023-11-14 22:13:20");
    html_minute(&b, 1700000000250);
    expect(&b, "2023-11-14 22:13");
    html_day(&b, 1700000000250);
    expect(&b, "11-14 22:13");
    html_second(&b, 1700000000250);
    expect(&b, "22:13:20");
    html_clock(&b, 1700000000031);
    expect(&b, "22:13:20.031");
    html_clock(&b, 0);
    expect(&b, "\xe2\x80\x93");
    buf_reset(&b);
}

static bool foreign(const char *site, const char *origin, const char *host)
{
    return page_is_foreign(str_c(site), str_c(origin), str_c(host), (struct str){0});
}

static void a_post_of_another_site_is_told_from_our_own(void **state)
{
    (void)state;
    assert_false(foreign(NULL, NULL, "h:4040")); /* curl */
    assert_false(foreign("same-origin", "https://proxy", "h:4040"));
    assert_false(foreign("none", NULL, "h:4040"));
    assert_true(foreign("cross-site", "http://h:4040", "h:4040"));
    assert_true(foreign("same-site", NULL, "h:4040"));
    assert_true(foreign("", NULL, "h:4040"));
    assert_false(foreign(NULL, "http://h:4040", "h:4040"));
    assert_false(foreign(NULL, "http://H:4040", "h:4040"));
    assert_true(foreign(NULL, "http://h:4041", "h:4040"));
    assert_true(foreign(NULL, "http://evil", "h:4040"));
    assert_true(foreign(NULL, "http://evil/h:4040", "h:4040"));
    assert_true(foreign(NULL, "null", "h:4040"));
    assert_true(foreign(NULL, "", "h:4040"));
    assert_true(foreign(NULL, "http://", ""));
    assert_true(foreign(NULL, "http://h:4040", NULL));
}

static void a_proxy_that_says_its_name_is_believed(void **state)
{
    (void)state;
    struct str none = {0}, inner = STR("10.0.0.5:4040"), outer = STR("profiles.example");
    assert_false(page_is_foreign(none, STR("http://profiles.example"), inner, outer));
    assert_false(page_is_foreign(none, STR("http://10.0.0.5:4040"), inner, outer));
    assert_true(page_is_foreign(none, STR("http://evil.example"), inner, outer));
    assert_true(page_is_foreign(none, STR("http://"), inner, STR("")));
    assert_true(page_is_foreign(STR("cross-site"), STR("http://profiles.example"), inner, outer));
}

static struct page_frame frame(const char *path)
{
    return (struct page_frame){.title = "T<i>",
                               .path = path,
                               .folder = "static/ab/",
                               .who = STR("q<b>"),
                               .version = "1.2.3",
                               .now = 1700000000000,
                               .age_ms = 61000};
}

static bool has(const struct buf *b, const char *text)
{
    return str_contains(buf_view(b), str_c(text));
}

static void links_of_a_frame_are_relative_to_its_page(void **state)
{
    struct buf b = {0};
    struct page_frame f = frame("/distributor/ring");
    (void)state;
    page_link(&f, "/ring", &b);
    expect(&b, "../ring");
    page_link(&f, "/", &b);
    expect(&b, ".././");
    f.path = "/ring";
    page_link(&f, "/distributor/ring", &b);
    expect(&b, "distributor/ring");
    page_link(&f, "/", &b);
    expect(&b, "./");
    page_open(&f, &b);
    page_close(&b);
    assert_true(has(&b, "<title>T&lt;i&gt; - Emberring</title>"));
    assert_true(has(&b, "href=\"static/ab/admin.css\""));
    assert_true(has(&b, "answered by <b>q&lt;b&gt;</b> 1.2.3, its view 61 s old, "
                        "2023-11-14 22:13:20 UTC"));
    assert_true(has(&b, "<a href=\"ring\" aria-current=\"page\">Ring</a>"));
    assert_true(has(&b, "<a href=\"admin\">Index</a>"));
    assert_false(has(&b, " style=") || has(&b, "<script>") || has(&b, "http"));
    buf_reset(&b);
}

static void the_index_names_every_page(void **state)
{
    static const char *const paths[] = {"ring", "distributor/ring", "memberlist",
                                        "api/v1/status/config", "metrics", "ready",
                                        "api/v1/status/buildinfo"};
    struct buf b = {0};
    struct page_frame f = frame("/admin");
    (void)state;
    page_index_html(&f, "ingester", "abc", &b);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct buf want = {0};
        buf_printf(&want, "<td><a href=\"%s\">", paths[i]);
        assert_true(str_contains(buf_view(&b), buf_view(&want)));
        buf_reset(&want);
    }
    assert_true(has(&b, "Emberring 1.2.3, commit abc"));
    buf_reset(&b);
}

static void a_page_without_memory_says_so(void **state)
{
    struct page_frame f = frame("/admin");
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct buf b = {0};
        mem_fail_at(n);
        page_index_html(&f, "ingester", "abc", &b);
        int over = mem_fail_pending(), error = b.error;
        mem_fail_at(0);
        buf_reset(&b);
        if (over) {
            assert_int_equal(error, 0);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(error, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_text_stays_text),
        cmocka_unit_test(numbers_read_as_people_write_them),
        cmocka_unit_test(times_and_ages_are_short),
        cmocka_unit_test(a_post_of_another_site_is_told_from_our_own),
        cmocka_unit_test(a_proxy_that_says_its_name_is_believed),
        cmocka_unit_test(links_of_a_frame_are_relative_to_its_page),
        cmocka_unit_test(the_index_names_every_page),
        cmocka_unit_test(a_page_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
