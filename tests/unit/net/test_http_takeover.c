/* One server takes over the sockets of another, and a server at its limit lets clients wait. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http_server.h"

#include "raw_http.h"

enum { THREADS = 2, SHORT_MS = 300 };

static struct loop *loops[THREADS];

static int set_up(void **state)
{
    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(loop_init(&loops[i], "test", NULL), 0);
        assert_int_equal(loop_start(loops[i], NULL), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        loop_stop(loops[i]);
        loop_join(loops[i]);
        loop_free(&loops[i]);
    }
    return 0;
}

static void on_request(void *arg, struct http_req *req)
{
    http_reply_text(req, 200, "%s", (const char *)arg);
}

static struct http_server *make(const struct http_server_config *config, unsigned threads,
                                const char *name)
{
    struct http_server *s = NULL;
    struct err err = {0};
    struct http_route route = {.path = "/",
                               .methods = HTTP_GET,
                               .handler = on_request,
                               .arg = (void *)(uintptr_t)name};
    if (http_server_init(&s, loops, threads, config, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(http_server_route(s, &route, NULL), 0);
    return s;
}

static void expect_from(uint16_t port, const char *name)
{
    struct raw r;
    raw_open(&r, port);
    assert_true(raw_say(&r, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert_int_equal(raw_answer(&r), 200);
    assert_true(str_eq(buf_view(&r.body), str_c(name)));
    raw_close(&r);
}

static void an_heir_has_the_port_before_the_old_one_goes(void **state)
{
    struct http_server_config config = {.address = STR("127.0.0.1")};
    struct http_server *old = make(&config, THREADS, "old"), *heir;
    struct raw early;
    (void)state;
    assert_int_equal(http_server_start(old, NULL), 0);
    uint16_t port = http_server_addr(old).port;
    expect_from(port, "old");
    raw_open(&early, port); /* says nothing yet */
    config.inherit = old;
    heir = make(&config, THREADS, "heir");
    assert_int_equal(http_server_addr(heir).port, port);
    assert_int_equal(http_server_start(heir, NULL), 0);
    assert_int_equal(http_server_stop(old, 1000), 0);
    http_server_free(&old);
    for (unsigned i = 0; i < 20; i++)
        expect_from(port, "heir");
    raw_close(&early);
    http_server_free(&heir);
}

static void an_heir_that_never_starts_takes_nothing_away(void **state)
{
    struct http_server_config config = {.address = STR("127.0.0.1")};
    struct http_server *old = make(&config, THREADS, "old"), *heir;
    (void)state;
    assert_int_equal(http_server_start(old, NULL), 0);
    uint16_t port = http_server_addr(old).port;
    config.inherit = old;
    heir = make(&config, THREADS, "heir");
    http_server_free(&heir);
    for (unsigned i = 0; i < 8; i++)
        expect_from(port, "old");
    http_server_free(&old);
}

static void at_its_limit_a_server_may_let_clients_wait(void **state)
{
    struct http_server_config config = {
        .address = STR("127.0.0.1"), .connections_max = 1, .wait = true};
    struct http_server *s = make(&config, 1, "me");
    struct raw first, second;
    (void)state;
    assert_int_equal(http_server_start(s, NULL), 0);
    uint16_t port = http_server_addr(s).port;
    raw_open(&first, port);
    assert_true(raw_say(&first, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_int_equal(raw_answer(&first), 200);
    raw_open(&second, port);
    assert_true(raw_say(&second, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_false(raw_more(&second, SHORT_MS));
    assert_false(second.eof);
    raw_close(&first);
    assert_int_equal(raw_answer(&second), 200);
    raw_close(&second);
    http_server_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_heir_has_the_port_before_the_old_one_goes),
        cmocka_unit_test(an_heir_that_never_starts_takes_nothing_away),
        cmocka_unit_test(at_its_limit_a_server_may_let_clients_wait),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
