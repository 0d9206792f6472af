/* An answer is read the same however its bytes are cut, and what is broken is refused by name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http_response.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { LIMIT = 1000 };

/* Feed in pieces, the end of the stream behind them. Returns how much was taken. */
static size_t feed(struct http_response *r, struct str in, size_t first, size_t step)
{
    size_t taken = 0;
    while (taken < in.len && r->state == HTTP_RESPONSE_MORE) {
        taken += http_response_feed(r, str_head(str_skip(in, taken), taken == 0 ? first : step));
    }
    return taken;
}

static size_t read_all(struct http_response *r, const char *text)
{
    http_response_begin(r, false, LIMIT);
    return feed(r, str_c(text), SIZE_MAX, SIZE_MAX);
}

static struct str value_of(const struct http_response *r, const char *name)
{
    struct http_field fields[HTTP_RESPONSE_FIELDS_MAX];
    return http_field_get(fields, http_response_fields(r, fields), name);
}

#define H "HTTP/1.1 200 OK\r\n"
#define LENGTH(n) "Content-Length: " #n "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static void an_answer_is_read_wherever_its_bytes_are_cut(void **state)
{
    static const struct {
        const char *text, *body;
        bool keep;
    } cases[] = {
        {H "X-Got:  a b \t\r\nX-Empty:\r\n" LENGTH(5) "\r\nhello", "hello", true},
        {"HTTP/1.1 100 Continue\r\nX-Got: no\r\n\r\n" H "X-Got: a b\r\n" LENGTH(0) "\r\n", "",
         true},
        {H "X-Got: a b\r\n" CHUNKED "\r\n5\r\nhello\r\n0A;x=\"y\"\r\n0123456789\r\n000\r\n"
           "X-Trailer: 1\r\n\r\n", "hello0123456789", true},
        {"HTTP/1.1 200\nx-got: a b\n" "content-length: 2\n\nok", "ok", true},
        {H "X-Got: a b\r\nConnection: Keep-Alive, CLOSE\r\n" LENGTH(2) "\r\nok", "ok", false},
        {"HTTP/1.0 200 OK\r\nX-Got: a b\r\n" LENGTH(2) "\r\nok", "ok", false},
        {H LENGTH(7) "X-Got: a b\r\n" CHUNKED "\r\n2\r\nok\r\n0\r\n\r\n", "ok", false},
        {"HTTP/1.1 204 No\r\nX-Got: a b\r\n\r\n", "", true},
        {"HTTP/1.1 204 No\r\nX-Got: a b\r\n" LENGTH(0) "\r\n", "", true},
        {"HTTP/1.1 204 No\r\nX-Got: a b\r\n" LENGTH(1) "\r\n", "", false},
        {"HTTP/1.1 204 No\r\nX-Got: a b\r\n" CHUNKED "\r\n", "", false},
        {"HTTP/1.1 304 No\r\nX-Got: a b\r\n" LENGTH(70) "\r\n", "", true},
    };
    struct http_response r = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str in = str_c(cases[i].text);
        for (size_t cut = 1; cut <= in.len; cut++) {
            http_response_begin(&r, false, LIMIT);
            assert_false(http_response_has_begun(&r));
            size_t taken = feed(&r, in, cut, cut % 3 == 0 ? 1 : SIZE_MAX);
            if (r.state != HTTP_RESPONSE_DONE)
                fail_msg("case %zu cut at %zu: %s", i, cut, r.error);
            assert_int_equal(taken, in.len);
            assert_true(http_response_has_begun(&r));
            assert_true(str_eq(buf_view(&r.body), str_c(cases[i].body)));
            assert_true(str_eq(value_of(&r, "X-Got"), STR("a b")));
            assert_null(value_of(&r, "X-Trailer").data);
            assert_int_equal(r.keep, cases[i].keep);
        }
    }
    http_response_reset(&r);
}

static void an_answer_without_length_ends_with_its_stream(void **state)
{
    struct http_response r = {0};
    (void)state;
    read_all(&r, "HTTP/1.1 404 No\r\n\r\nhel");
    assert_int_equal(http_response_feed(&r, STR("lo\r\n")), 4);
    assert_int_equal(r.state, HTTP_RESPONSE_MORE);
    http_response_end(&r);
    assert_int_equal(r.state, HTTP_RESPONSE_DONE);
    assert_int_equal(r.status, 404);
    assert_false(r.keep);
    assert_true(str_eq(buf_view(&r.body), STR("hello\r\n")));
    http_response_reset(&r);
}

static void an_answer_without_length_is_cut_when_its_stream_breaks_off(void **state)
{
    struct http_response r = {0};
    (void)state;
    read_all(&r, "HTTP/1.1 200 OK\r\n\r\nhel");
    http_response_cut(&r);
    assert_int_equal(r.state, HTTP_RESPONSE_BAD);
    assert_int_equal(r.code, ERR_CLOSED);
    read_all(&r, H LENGTH(1) "\r\na");
    http_response_cut(&r); /* it was complete */
    assert_int_equal(r.state, HTTP_RESPONSE_DONE);
    http_response_reset(&r);
}

static void what_follows_an_answer_is_not_taken(void **state)
{
    struct http_response r = {0};
    (void)state;
    assert_int_equal(read_all(&r, H LENGTH(1) "\r\nab"), strlen(H LENGTH(1) "\r\na"));
    assert_int_equal(r.state, HTTP_RESPONSE_DONE);
    assert_int_equal(http_response_feed(&r, STR("more")), 0);
    http_response_begin(&r, true, LIMIT); /* the answer to a HEAD has no body */
    assert_int_equal(http_response_feed(&r, STR(H LENGTH(50) "\r\nx")),
                     strlen(H LENGTH(50) "\r\n"));
    assert_int_equal(r.state, HTTP_RESPONSE_DONE);
    assert_true(r.keep);
    assert_int_equal(r.body.size, 0);
    http_response_reset(&r);
}

static void what_is_broken_is_refused_by_name(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *error;
    } cases[] = {
        {"nonsense", ERR_IO, "not HTTP/1"},
        {"\r\n" H, ERR_IO, "not HTTP/1"},
        {"SSH-2.0-x\r\n", ERR_IO, "not HTTP/1"},
        {"HTTP/2 200\r\n", ERR_IO, "not HTTP/1"},
        {"HTTP/1.2 200 OK\r\n", ERR_IO, "status line"},
        {"HTTP/1.1 20 OK\r\n", ERR_IO, "status line"},
        {"HTTP/1.1 099 OK\r\n", ERR_IO, "status line"},
        {"HTTP/1.1 2000 OK\r\n", ERR_IO, "status line"},
        {"HTTP/1.1  200 OK\r\n", ERR_IO, "status line"},
        {"HTTP/1.1 200 O\x01K\r\n", ERR_IO, "status line"},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", ERR_IO, "protocol"},
        {H "X-A: b\r\n c: d\r\n", ERR_IO, "folded"},
        {H "X-A : b\r\n", ERR_IO, "header has bytes"},
        {H ": b\r\n", ERR_IO, "header has bytes"},
        {H "no colon\r\n", ERR_IO, "header has bytes"},
        {H "X-A: b\rc\r\n", ERR_IO, "header has bytes"},
        {H "X-A: b\x7f\r\n", ERR_IO, "header has bytes"},
        {H LENGTH(-1) "\r\n", ERR_IO, "not a number"},
        {H LENGTH(+1) "\r\n", ERR_IO, "not a number"},
        {H "Content-Length: 1, 1\r\n\r\n", ERR_IO, "not a number"},
        {H LENGTH() "\r\n", ERR_IO, "not a number"},
        {H LENGTH(99999999999999999999) "\r\n", ERR_IO, "not a number"},
        {H LENGTH(3) LENGTH(3) "\r\n", ERR_IO, "twice"},
        {H LENGTH(3) LENGTH(4) "\r\n", ERR_IO, "twice"},
        {H LENGTH(1001) "\r\n", ERR_LIMIT, "too large"},
        {H CHUNKED CHUNKED "\r\n", ERR_IO, "Transfer-Encoding"},
        {H "Transfer-Encoding: gzip, chunked\r\n\r\n", ERR_IO, "Transfer-Encoding"},
        {"HTTP/1.0 200 OK\r\n" CHUNKED "\r\n", ERR_IO, "Transfer-Encoding"},
        {H CHUNKED "\r\n\r\n", ERR_IO, "size of a chunk"},
        {H CHUNKED "\r\n-1\r\n", ERR_IO, "size of a chunk"},
        {H CHUNKED "\r\n1 2\r\n", ERR_IO, "size of a chunk"},
        {H CHUNKED "\r\n10000000000000000\r\n", ERR_IO, "size of a chunk"},
        {H CHUNKED "\r\nffffffffffffffff\r\n", ERR_LIMIT, "too large"},
        {H CHUNKED "\r\n3e9\r\n", ERR_LIMIT, "too large"},
        {H CHUNKED "\r\n1\r\nabc\r\n", ERR_IO, "longer than its size"},
        {H CHUNKED "\r\n1\r\nab", ERR_IO, ""},
    };
    struct http_response r = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step < 100; step += 98) {
            http_response_begin(&r, false, LIMIT);
            (void)feed(&r, str_c(cases[i].text), step, step);
            if (cases[i].error[0] == '\0') { /* only its end tells */
                assert_int_equal(r.state, HTTP_RESPONSE_MORE);
                continue;
            }
            if (r.state != HTTP_RESPONSE_BAD || r.code != cases[i].code ||
                strstr(r.error, cases[i].error) == NULL)
                fail_msg("case %zu: state %d code %d %s", i, r.state, r.code, r.error);
        }
    }
    http_response_reset(&r);
}

static void a_stream_that_ends_too_early_is_cut(void **state)
{
    static const char *const texts[] = {"",
                                        "HTT",
                                        H,
                                        H LENGTH(5) "\r\nhell",
                                        H CHUNKED "\r\n5\r\nhello\r\n",
                                        H CHUNKED "\r\n5\r\nhello\r\n0\r\n",
                                        "HTTP/1.1 100 Continue\r\n\r\n"};
    struct http_response r = {0};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        read_all(&r, texts[i]);
        assert_int_equal(r.state, HTTP_RESPONSE_MORE);
        http_response_end(&r);
        assert_int_equal(r.state, HTTP_RESPONSE_BAD);
        assert_int_equal(r.code, ERR_CLOSED);
        assert_non_null(strstr(r.error, i == 0 ? "before" : "middle"));
    }
    http_response_reset(&r);
}

/* `count` times `line` behind a first part. */
static int code_of_many(const char *first, const char *line, size_t count)
{
    struct http_response r = {0};
    http_response_begin(&r, false, 1 << 20);
    (void)http_response_feed(&r, str_c(first));
    for (size_t i = 0; i < count && r.state == HTTP_RESPONSE_MORE; i++)
        (void)http_response_feed(&r, str_c(line));
    assert_true(r.head.size <= HTTP_RESPONSE_HEAD_MAX);
    int code = r.state == HTTP_RESPONSE_BAD ? r.code : 0;
    http_response_reset(&r);
    return code;
}

static void heads_trailers_and_extensions_are_bounded(void **state)
{
    static char line[4001];
    (void)state;
    assert_int_equal(code_of_many(H, "X-A: b\r\n", 64), 0);
    assert_int_equal(code_of_many(H, "X-A: b\r\n", 65), ERR_LIMIT);
    (void)snprintf(line, sizeof line, "X-%03990d: a\r\n", 1);
    assert_int_equal(code_of_many(H, line, 16), 0);
    assert_int_equal(code_of_many(H, line, 17), ERR_LIMIT);
    assert_int_equal(code_of_many(H CHUNKED "\r\n0\r\n", line, 16), 0);
    assert_int_equal(code_of_many(H CHUNKED "\r\n0\r\n", line, 17), ERR_LIMIT);
    assert_int_equal(code_of_many(H, "aaaaaaaaaaaaaaaa", 5000), ERR_LIMIT);
    assert_int_equal(code_of_many(H CHUNKED "\r\n1;", "x", 250), 0);
    assert_int_equal(code_of_many(H CHUNKED "\r\n1;", "x", 300), ERR_LIMIT);
    assert_int_equal(code_of_many("", "HTTP/1.1 102 Processing\r\n\r\n", 8), 0);
    assert_int_equal(code_of_many("", "HTTP/1.1 102 Processing\r\n\r\n", 9), ERR_LIMIT);
}

static void running_out_of_memory_is_a_refusal(void **state)
{
    struct http_response r = {0};
    (void)state;
    for (uint64_t n = 1;; n++) {
        mem_fail_at(n);
        read_all(&r, H "X-A: b\r\n" CHUNKED "\r\n5\r\nhello\r\n0\r\n\r\n");
        bool over = mem_fail_pending();
        mem_fail_at(0);
        if (over)
            break;
        assert_int_equal(r.state, HTTP_RESPONSE_BAD);
        assert_int_equal(r.code, ERR_NOMEM);
        http_response_reset(&r);
    }
    assert_int_equal(r.state, HTTP_RESPONSE_DONE);
    http_response_reset(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_read_wherever_its_bytes_are_cut),
        cmocka_unit_test(an_answer_without_length_ends_with_its_stream),
        cmocka_unit_test(an_answer_without_length_is_cut_when_its_stream_breaks_off),
        cmocka_unit_test(what_follows_an_answer_is_not_taken),
        cmocka_unit_test(what_is_broken_is_refused_by_name),
        cmocka_unit_test(a_stream_that_ends_too_early_is_cut),
        cmocka_unit_test(heads_trailers_and_extensions_are_bounded),
        cmocka_unit_test(running_out_of_memory_is_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
