/* multipart/form-data: what clients send is divided, what is broken is refused with its place. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/multipart.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

static struct multipart form;
static struct err error;

static int parse(struct str body)
{
    error = (struct err){0};
    return multipart_parse(&form, body, STR("XX"), &error);
}

#define FILE_PART(name, content)                                                               \
    "--XX\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"f\"\r\n"            \
    "Content-Type: application/octet-stream\r\n\r\n" content "\r\n"

static void parts_come_apart(void **state)
{
    (void)state;
    assert_int_equal(
        parse(STR(FILE_PART("profile", "a\r\n--X\r\nb") "--XX\r\n"
                                                        "content-disposition:form-data;name="
                                                        "plain\r\n\r\nvalue\r\n--XX--\r\n")),
        0);
    assert_int_equal(form.count, 2);
    assert_true(str_eq(form.parts[0].body, STR("a\r\n--X\r\nb")));
    assert_true(str_eq(form.parts[1].body, STR("value")));
    assert_true(str_eq(form.parts[1].name, STR("plain")));
    assert_ptr_equal(multipart_file(&form, STR("profile")), &form.parts[0]);
    assert_null(multipart_file(&form, STR("plain"))); /* not a file */
}

static void the_first_of_equal_names_counts(void **state)
{
    (void)state;
    assert_int_equal(parse(STR(FILE_PART("p", "1") FILE_PART("p", "2") "--XX--")), 0);
    assert_true(str_eq(multipart_file(&form, STR("p"))->body, STR("1")));
}

static void a_preamble_and_empty_parts_are_fine(void **state)
{
    (void)state;
    assert_int_equal(parse(STR("hello\r\n" FILE_PART("p", "") "--XX--")), 0);
    assert_int_equal(form.count, 1);
    assert_int_equal(form.parts[0].body.len, 0);
    assert_int_equal(parse(STR("--XX--")), 0);
    assert_int_equal(form.count, 0);
}

static void an_empty_file_name_is_still_a_file(void **state)
{
    (void)state;
    assert_int_equal(parse(STR("--XX\r\nContent-Disposition: form-data; filename=\"\"; "
                               "name=p\r\n\r\nx\r\n--XX--")),
                     0);
    assert_non_null(multipart_file(&form, STR("p")));
}

static void what_is_broken_is_refused(void **state)
{
    (void)state;
    const struct str bad[] = {
        STR_INIT(""),
        STR_INIT("no boundary"),
        STR_INIT("--XX"),
        STR_INIT("--XXjunk\r\n"),
        STR_INIT("--XX\r\nContent-Disposition: form-data; name=p"),
        STR_INIT("--XX\r\nContent-Disposition: form-data; name=p\r\n\r\nbody without end"),
        STR_INIT("--XX\r\nContent-Disposition: form-data; name=\"p\r\n\r\nx\r\n--XX--"),
        STR_INIT("--XX\r\nContent-Disposition: attachment; name=p\r\n\r\nx\r\n--XX--"),
        STR_INIT("--XX\r\n\r\nx\r\n--XX--"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (parse(bad[i]) != ERR_PARSE)
            fail_msg("case %zu", i);
        assert_non_null(strstr(error.msg, "multipart: "));
    }
}

static void parts_and_headers_are_bounded(void **state)
{
    (void)state;
    struct buf body = {0};
    for (int i = 0; i <= MULTIPART_PARTS_MAX; i++)
        buf_c(&body, FILE_PART("p", "x"));
    buf_c(&body, "--XX--");
    assert_int_equal(parse(buf_view(&body)), ERR_LIMIT);
    buf_clear(&body);
    buf_c(&body, "--XX\r\nX-Long: ");
    for (int i = 0; i < MULTIPART_HEADER_BYTES_MAX; i++)
        buf_u8(&body, 'x');
    buf_c(&body, "\r\n\r\nx\r\n--XX--");
    assert_int_equal(parse(buf_view(&body)), ERR_LIMIT);
    buf_reset(&body);
}

static void boundaries_are_found_in_the_content_type(void **state)
{
    (void)state;
    struct str b;
    assert_int_equal(multipart_boundary(STR("multipart/form-data; boundary=abc"), &b, NULL), 0);
    assert_true(str_eq(b, STR("abc")));
    assert_int_equal(
        multipart_boundary(STR("multipart/form-data; charset=x; Boundary=\"a;b\""), &b, NULL),
        0);
    assert_true(str_eq(b, STR("a;b")));
    assert_int_equal(multipart_boundary(STR("multipart/form-data"), &b, &error), ERR_PARSE);
    assert_int_equal(multipart_boundary(STR("multipart/form-data; boundary="), &b, NULL),
                     ERR_PARSE);
    char text[200];
    (void)snprintf(text, sizeof text, "m/f; boundary=%080d", 1);
    assert_int_equal(multipart_boundary(str_c(text), &b, NULL), ERR_PARSE);
}

static void every_cut_of_a_form_is_refused(void **state)
{
    (void)state;
    const struct str whole = STR(FILE_PART("p", "abc") "--XX--");
    for (size_t n = 0; n < whole.len; n++)
        assert_int_equal(parse(str_head(whole, n)), ERR_PARSE);
    assert_int_equal(parse(whole), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_come_apart),
        cmocka_unit_test(the_first_of_equal_names_counts),
        cmocka_unit_test(a_preamble_and_empty_parts_are_fine),
        cmocka_unit_test(an_empty_file_name_is_still_a_file),
        cmocka_unit_test(what_is_broken_is_refused),
        cmocka_unit_test(parts_and_headers_are_bounded),
        cmocka_unit_test(boundaries_are_found_in_the_content_type),
        cmocka_unit_test(every_cut_of_a_form_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
