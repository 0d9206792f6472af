/* A call ends once: with an answer, or by its deadline, its limit, the network or its caller. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "net/tcp.h"
#include "hand_http.h"

enum { CALLS = 32 };

struct answer {
    int count, code;
    unsigned status;
    size_t headers;
    int retry_after_s;
    struct buf body;
    char x[32], message[128];
};

struct world {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    uint16_t port;
    struct tcp_listener *raw; /* a server that says what it is told to */
    uint16_t raw_port;
    const char *raw_says;     /* NULL: nothing */
    bool raw_closes;
    unsigned raw_conns, raw_requests;
    struct answer a[CALLS];
    struct http_req *held;
    struct http_call *call;
};

static void echo(void *arg, struct http_req *req)
{
    (void)arg;
    struct buf b = {0};
    struct http_field h = {STR_INIT("X-Got"), http_req_header(req, "X-Sent")};
    buf_printf(&b, "%s %.*s|%.*s|%.*s|", http_method_name(req->method), STR_ARG(req->path),
               STR_ARG(http_req_header(req, "Content-Type")),
               STR_ARG(http_req_header(req, "Expect")));
    buf_str(&b, req->body);
    http_reply(req, &(struct http_answer){.status = 200,
                                          .headers = &h,
                                          .header_count = 1,
                                          .body = buf_view(&b)});
    buf_reset(&b);
}

static void hold(void *arg, struct http_req *req)
{
    struct world *w = arg;
    w->held = req;
}

static void busy(void *arg, struct http_req *req)
{
    (void)arg;
    struct http_field h = {STR_INIT("Retry-After"), STR_INIT("7")};
    http_reply(req, &(struct http_answer){.status = 503, .headers = &h, .header_count = 1});
}

static void raw_read(struct tcp_conn *c, struct str bytes, void *arg)
{
    struct world *w = arg;
    if (!str_contains(bytes, STR("\r\n\r\n")))
        return;
    w->raw_requests++;
    if (w->raw_says != NULL)
        tcp_write(c, str_c(w->raw_says), NULL, NULL);
    if (w->raw_closes)
        tcp_close_after_writes(c);
}

static void raw_end(struct tcp_conn *c, int code, void *arg)
{
    (void)c;
    (void)code;
    ((struct world *)arg)->raw_conns--;
}

static const struct tcp_events raw_events = {.on_read = raw_read, .on_end = raw_end};

static void raw_accept(void *arg, struct tcp_conn *c)
{
    ((struct world *)arg)->raw_conns++;
    tcp_set_user(c, &raw_events, arg);
}

static void done(void *arg, const struct http_result *r)
{
    struct answer *a = arg;
    struct str x = http_field_get(r->headers, r->header_count, "x-got");
    a->count++;
    a->code = r->code;
    a->status = r->status;
    a->headers = r->header_count;
    a->retry_after_s = r->retry_after_s;
    buf_str(&a->body, r->body);
    snprintf(a->x, sizeof a->x, "%.*s", STR_ARG(x));
    snprintf(a->message, sizeof a->message, "%s", r->message);
}

static int set_up(void **state)
{
    struct world *w = mem_zalloc(sizeof *w);
    const struct http_route routes[] = {
        {.path = "/echo", .methods = 0x3f, .body_max = 8 << 20, .handler = echo},
        {.path = "/hold", .methods = HTTP_GET, .handler = hold, .arg = w},
        {.path = "/busy", .methods = HTTP_GET, .handler = busy},
    };
    struct addr any = {.ip = {127, 0, 0, 1}, .family = 4}, bound;
    assert_int_equal(loop_init(&w->loop, "test", NULL), 0);
    struct http_server_config config = {.address = STR("127.0.0.1")};
    assert_int_equal(http_server_init(&w->server, &w->loop, 1, &config, NULL), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(http_server_route(w->server, &routes[i], NULL), 0);
    assert_int_equal(http_server_start(w->server, NULL), 0);
    w->port = http_server_addr(w->server).port;
    assert_int_equal(tcp_listen(&w->raw, w->loop, &any, 100, raw_accept, w, &bound, NULL), 0);
    w->raw_port = bound.port;
    struct http_client_config none = {0};
    assert_int_equal(http_client_init(&w->client, w->loop, &none, NULL), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    http_client_free(&w->client);
    tcp_listener_close(&w->raw);
    mono_ms due = clock_mono_ms() + 3000;
    while (w->raw_conns > 0 && clock_mono_ms() < due)
        loop_turn(w->loop, 20);
    if (w->held != NULL)
        http_reply_text(w->held, 200, "x");
    http_server_free(&w->server);
    loop_free(&w->loop);
    for (size_t i = 0; i < CALLS; i++)
        buf_reset(&w->a[i].body);
    mem_free(w);
    return 0;
}

static void go(struct world *w, size_t i, uint16_t port, const char *path, struct http_ask ask)
{
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    ask.url = url;
    ask.done = done;
    ask.arg = &w->a[i];
    if (ask.method == 0)
        ask.method = HTTP_GET;
    if (ask.deadline == 0)
        ask.deadline = clock_mono_ms() + 5000;
    assert_int_equal(http_call_start(w->client, &ask, &w->call, NULL), 0);
    assert_int_equal(w->a[i].count, 0); /* never from inside */
}

static void a_call_carries_method_headers_and_body_both_ways(void **state)
{
    struct world *w = *state;
    struct http_field h[] = {{STR_INIT("X-Sent"), STR_INIT("yes")},
                             {STR_INIT("Content-Type"), STR_INIT("application/proto")}};
    go(w, 0, w->port, "/echo?a=1", (struct http_ask){
        .method = HTTP_POST, .headers = h, .header_count = 2, .body = STR("abc")});
    go(w, 1, w->port, "/echo", (struct http_ask){.method = HTTP_POST});
    go(w, 2, w->port, "/echo", (struct http_ask){.method = HTTP_PUT, .body = STR("put")});
    go(w, 3, w->port, "/echo", (struct http_ask){.method = HTTP_DELETE});
    go(w, 4, w->port, "/nothing", (struct http_ask){.method = HTTP_GET});
    UNTIL(w, w->a[0].count + w->a[1].count + w->a[2].count + w->a[3].count + w->a[4].count == 5);
    assert_int_equal(w->a[0].code, 0);
    assert_int_equal(w->a[0].status, 200);
    assert_string_equal(w->a[0].x, "yes");
    assert_true(str_eq(buf_view(&w->a[0].body), STR("POST /echo|application/proto||abc")));
    assert_true(str_eq(buf_view(&w->a[1].body), STR("POST /echo|||")));
    assert_true(str_eq(buf_view(&w->a[2].body), STR("PUT /echo|||put")));
    assert_true(str_eq(buf_view(&w->a[3].body), STR("DELETE /echo|||")));
    assert_int_equal(w->a[4].status, 404); /* an answer like any other */
    assert_int_equal(w->a[4].code, 0);
    assert_int_equal(http_client_inflight(w->client), 0);
}

static void large_bodies_go_without_waiting_for_a_100(void **state)
{
    struct world *w = *state;
    static char bytes[6 << 20];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 >> 9);
    go(w, 0, w->port, "/echo", (struct http_ask){
        .method = HTTP_POST, .body = str_of(bytes, sizeof bytes)});
    UNTIL(w, w->a[0].count == 1);
    assert_int_equal(w->a[0].status, 200);
    assert_int_equal(w->a[0].body.size, sizeof bytes + strlen("POST /echo|||"));
    assert_memory_equal(w->a[0].body.data + strlen("POST /echo|||"), bytes, sizeof bytes);
}

static void connections_are_kept_and_used_again(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < 10; i++) {
        go(w, i, w->port, "/echo", (struct http_ask){0});
        UNTIL(w, w->a[i].count == 1);
        assert_int_equal(http_server_stats(w->server).connections, 1);
    }
}

static void a_connection_that_ends_between_calls_wakes_nobody_and_is_not_used_again(void **state)
{
    struct world *w = *state;
    w->raw_says = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    w->raw_closes = true; /* without having said so */
    for (size_t i = 0; i < 3; i++) {
        go(w, i, w->raw_port, "/x", (struct http_ask){.method = HTTP_POST, .body = STR("abc")});
        UNTIL(w, w->a[i].count == 1);
        assert_int_equal(w->a[i].status, 200);
        assert_int_equal(w->raw_requests, i + 1);
        for (int k = 0; k < 3; k++)
            loop_turn(w->loop, 20); /* the end arrives */
        mono_ms began = clock_mono_ms();
        loop_turn(w->loop, 100);
        assert_in_range(clock_mono_ms() - began, 60, 5000);
    }
}

/* A listener whose queue is full answers no SYN: what connects there is given up half-way, and its
 * descriptor is used again by the next. */
static void who_never_takes_a_connection_harms_no_other_call(void **state)
{
    struct world *w = *state;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof in;
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill[4];
    assert_int_equal(bind(full, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(full, 0), 0);
    assert_int_equal(getsockname(full, (struct sockaddr *)&in, &size), 0);
    for (size_t i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&in, sizeof in);
    }
    for (size_t i = 0; i + 2 < CALLS && i < 6; i += 2) {
        go(w, i, ntohs(in.sin_port), "/x",
           (struct http_ask){.deadline = clock_mono_ms() + 100});
        go(w, i + 1, w->port, "/echo", (struct http_ask){.method = HTTP_GET});
        UNTIL(w, w->a[i].count == 1 && w->a[i + 1].count == 1);
        assert_int_equal(w->a[i].code, ERR_TIMEOUT);
        assert_int_equal(w->a[i + 1].status, 200);
    }
    for (size_t i = 0; i < 4; i++)
        (void)close(fill[i]);
    (void)close(full);
}

static void the_deadline_ends_a_call_and_cancel_ends_it_silently(void **state)
{
    struct world *w = *state;
    mono_ms began = clock_mono_ms();
    go(w, 0, w->port, "/hold", (struct http_ask){.deadline = began + 100});
    UNTIL(w, w->a[0].count == 1);
    assert_int_equal(w->a[0].code, ERR_TIMEOUT);
    assert_in_range(clock_mono_ms() - began, 95, 2000);
    http_reply_text(w->held, 200, "late");
    w->held = NULL;
    go(w, 1, w->port, "/hold", (struct http_ask){0});
    UNTIL(w, w->held != NULL);
    http_call_cancel(w->call);
    assert_int_equal(http_client_inflight(w->client), 0);
    http_reply_text(w->held, 200, "late");
    w->held = NULL;
    loop_turn(w->loop, 50);
    assert_int_equal(w->a[1].count, 0);
    struct http_ask over = {.method = HTTP_GET, .url = "http://127.0.0.1/", .deadline = began,
                            .done = done, .arg = &w->a[2]};
    assert_int_equal(http_call_start(w->client, &over, NULL, NULL), ERR_TIMEOUT);
    assert_int_equal(w->a[2].count, 0);
}

static void the_deadline_also_ends_a_call_that_waits_for_a_connection(void **state)
{
    struct world *w = *state;
    struct http_client *wide = w->client;
    struct http_client_config one = {.connections_per_host = 1};
    assert_int_equal(http_client_init(&w->client, w->loop, &one, NULL), 0);
    mono_ms began = clock_mono_ms();
    go(w, 0, w->raw_port, "/", (struct http_ask){.deadline = began + 3000});
    for (size_t i = 1; i < 9; i++)
        go(w, i, w->raw_port, "/", (struct http_ask){.deadline = began + 150});
    UNTIL(w, w->a[8].count == 1);
    for (size_t i = 1; i < 9; i++) {
        assert_int_equal(w->a[i].count, 1);
        assert_int_equal(w->a[i].code, ERR_TIMEOUT);
        assert_string_not_equal(w->a[i].message, "");
    }
    assert_in_range(clock_mono_ms() - began, 145, 1500);
    assert_int_equal(w->a[0].count, 0);
    assert_int_equal(http_client_inflight(w->client), 1);
    http_client_free(&w->client);
    assert_int_equal(w->a[0].code, ERR_CANCELED);
    w->client = wide;
}

static void what_goes_wrong_has_a_name(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *says;
        size_t limit;
        int code;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", 0, ERR_CLOSED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", 9, ERR_LIMIT},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", 9,
         ERR_LIMIT},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", 10,
         0},
        {"HTTP/1.1 100 Continue\r\nX-Got: no\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
         0, 0},
        {"nonsense", 0, ERR_IO},
        {NULL, 0, ERR_CLOSED},
    };
    w->raw_closes = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        w->raw_says = cases[i].says;
        go(w, i, w->raw_port, "/", (struct http_ask){.response_max = cases[i].limit});
        UNTIL(w, w->a[i].count == 1);
        if (w->a[i].code != cases[i].code)
            fail_msg("case %zu: %d %s", i, w->a[i].code, w->a[i].message);
        assert_int_equal(w->a[i].message[0] != '\0', cases[i].code != 0);
        assert_string_equal(w->a[i].x, "");
    }
    uint16_t port = w->raw_port;
    tcp_listener_close(&w->raw);
    loop_turn(w->loop, 0);
    go(w, 20, port, "/", (struct http_ask){0});
    UNTIL(w, w->a[20].count == 1);
    assert_int_equal(w->a[20].code, ERR_REFUSED);
}

static void retry_after_is_passed_on(void **state)
{
    struct world *w = *state;
    go(w, 0, w->port, "/busy", (struct http_ask){0});
    UNTIL(w, w->a[0].count == 1);
    assert_int_equal(w->a[0].status, 503);
    assert_int_equal(w->a[0].retry_after_s, 7);
    go(w, 1, w->port, "/echo", (struct http_ask){0});
    UNTIL(w, w->a[1].count == 1);
    assert_int_equal(w->a[1].retry_after_s, -1);
}

static void what_cannot_be_asked_is_refused_at_once(void **state)
{
    struct world *w = *state;
    struct http_field split = {STR_INIT("X-A"), STR_INIT("a\r\nX-B: c")};
    static const char *const urls[] = {"", "ftp://127.0.0.1/", "http://", "http://a b/",
                                       "127.0.0.1:80", "http://127.0.0.1/\r\nX: y"};
    struct http_ask ask = {.method = HTTP_GET, .deadline = MONO_NEVER, .done = done};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        ask.url = urls[i];
        assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), ERR_INVAL);
    }
    ask.url = "http://127.0.0.1/";
    ask.method = HTTP_PATCH;
    assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), ERR_INVAL);
    ask.method = HTTP_GET;
    ask.headers = &split;
    ask.header_count = 1;
    assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), ERR_INVAL);
    static const char *const names[] = {"", "X-A: b\r\nX-B", "X A", "X-A:", "X-\xc3\xa4"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        split = (struct http_field){str_c(names[i]), STR("a")};
        assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), ERR_INVAL);
    }
    assert_int_equal(http_client_inflight(w->client), 0);
}

static void calls_of_a_client_that_is_freed_end_as_canceled(void **state)
{
    struct world *w = *state;
    go(w, 0, w->raw_port, "/", (struct http_ask){0});
    UNTIL(w, w->raw_requests == 1);
    http_client_free(&w->client);
    assert_int_equal(w->a[0].count, 1);
    assert_int_equal(w->a[0].code, ERR_CANCELED);
}

static void done_and_free(void *arg, const struct http_result *r)
{
    struct world *w = arg;
    (void)r;
    http_client_free(&w->client);
}

static void a_client_may_be_freed_by_a_callback(void **state)
{
    struct world *w = *state;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/echo", w->port);
    go(w, 0, w->raw_port, "/", (struct http_ask){0});
    struct http_ask ask = {.method = HTTP_GET, .url = url, .deadline = MONO_NEVER,
                           .done = done_and_free, .arg = w};
    assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), 0);
    UNTIL(w, w->client == NULL);
    assert_int_equal(w->a[0].code, ERR_CANCELED);
}

/* --- by a server that is led by hand --------------------------------------------------------- */

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void a_request_has_what_servers_expect_and_the_callers_headers_win(void **state)
{
    struct world *w = *state;
    struct hand h = hand_open(w->loop);
    char wanted[500];
    struct http_field own[] = {{STR_INIT("host"), STR_INIT("other.test")},
                               {STR_INIT("user-agent"), STR_INIT("me")},
                               {STR_INIT("ACCEPT"), STR_INIT("text/x")},
                               {STR_INIT("content-length"), STR_INIT("99")},
                               {STR_INIT("Transfer-Encoding"), STR_INIT("chunked")},
                               {STR_INIT("X-Empty"), STR_INIT("")}};
    go(w, 0, h.port, "?q=1#part", (struct http_ask){.method = HTTP_POST});
    int fd = hand_accept(&h);
    (void)snprintf(wanted, sizeof wanted,
                   "POST /?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: emberring\r\n"
                   "Content-Length: 0\r\n\r\n", h.port);
    assert_string_equal(hand_hear(&h, fd), wanted);
    hand_say_all(fd, OK);
    UNTIL(w, w->a[0].count == 1);
    go(w, 1, h.port, "/x", (struct http_ask){.method = HTTP_POST, .headers = own,
                                             .header_count = 6, .body = STR("abc")});
    assert_string_equal(hand_hear(&h, fd),
                        "POST /x HTTP/1.1\r\nhost: other.test\r\nuser-agent: me\r\n"
                        "ACCEPT: text/x\r\nX-Empty: \r\nContent-Length: 3\r\n\r\nabc");
    hand_say_all(fd, OK);
    UNTIL(w, w->a[1].count == 1);
    go(w, 2, h.port, "/", (struct http_ask){.method = HTTP_HEAD, .body = STR("not sent")});
    (void)snprintf(wanted, sizeof wanted,
                   "HEAD / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: emberring\r\n"
                   "\r\n", h.port);
    assert_string_equal(hand_hear(&h, fd), wanted);
    hand_say_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    UNTIL(w, w->a[2].count == 1);
    assert_int_equal(w->a[2].status, 200);
    go(w, 3, h.port, "/", (struct http_ask){.method = HTTP_DELETE});
    assert_null(strstr(hand_hear(&h, fd), "Content-Length"));
    hand_say_all(fd, OK);
    UNTIL(w, w->a[3].count == 1);
    (void)close(fd);
    (void)close(h.listener);
}

static void an_answer_may_come_byte_by_byte(void **state)
{
    static const char text[] =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Got: it\r\nTransfer-Encoding: chunked"
        "\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nX-Got: not\r\n\r\n";
    struct world *w = *state;
    struct hand h = hand_open(w->loop);
    int fd = -1;
    for (size_t i = 0; i < 2; i++) { /* the second over the same connection */
        go(w, i, h.port, "/", (struct http_ask){0});
        fd = i == 0 ? hand_accept(&h) : fd;
        hand_hear(&h, fd);
        for (size_t k = 0; k < strlen(text); k++) {
            assert_int_equal(w->a[i].count, 0);
            hand_say(fd, text + k, 1);
            loop_turn(w->loop, 5);
        }
        UNTIL(w, w->a[i].count == 1);
        assert_int_equal(w->a[i].code, 0);
        assert_string_equal(w->a[i].x, "it");
        assert_true(str_eq(buf_view(&w->a[i].body), STR("abcde")));
    }
    (void)close(fd);
    (void)close(h.listener);
}

static void an_answer_that_comes_too_early_is_delivered_and_ends_the_connection(void **state)
{
    struct world *w = *state;
    static char big[32 << 20];
    static const char no[] = "HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nno!";
    struct hand h = hand_open(w->loop);
    for (size_t i = 0; i < 2; i++) {
        go(w, i, h.port, "/", (struct http_ask){
            .method = HTTP_POST, .body = str_of(big, sizeof big)});
        int fd = hand_accept(&h);
        UNTIL(w, is_readable(fd));
        hand_say_all(fd, no);
        if (i == 1) /* unread bytes are there: a reset follows the answer */
            (void)close(fd);
        UNTIL(w, w->a[i].count == 1);
        assert_int_equal(w->a[i].code, 0);
        assert_int_equal(w->a[i].status, 413);
        assert_true(str_eq(buf_view(&w->a[i].body), STR("no!")));
        if (i == 0) {
            UNTIL(w, is_over(fd));
            (void)close(fd);
        }
    }
    assert_false(is_readable(h.listener)); /* nothing was sent again */
    (void)close(h.listener);
}

static void a_call_whose_kept_connection_dies_is_sent_once_more(void **state)
{
    struct world *w = *state;
    struct hand h = hand_open(w->loop);
    go(w, 0, h.port, "/", (struct http_ask){0});
    int fd = hand_accept(&h);
    hand_hear(&h, fd);
    hand_say_all(fd, OK);
    UNTIL(w, w->a[0].count == 1);
    go(w, 1, h.port, "/again", (struct http_ask){.method = HTTP_POST, .body = STR("abc")});
    hand_hear(&h, fd);
    (void)close(fd); /* without a word */
    fd = hand_accept(&h);
    assert_non_null(strstr(hand_hear(&h, fd), "POST /again"));
    assert_int_equal(w->a[1].count, 0);
    (void)close(fd); /* a new one: that was that */
    UNTIL(w, w->a[1].count == 1);
    assert_int_equal(w->a[1].code, ERR_CLOSED);
    assert_non_null(strstr(w->a[1].message, "127.0.0.1:"));
    assert_non_null(strstr(w->a[1].message, "before an answer"));
    assert_false(is_readable(h.listener));
    /* Nor is it sent again when the answer had begun. */
    go(w, 2, h.port, "/", (struct http_ask){0});
    fd = hand_accept(&h);
    hand_hear(&h, fd);
    hand_say_all(fd, OK);
    UNTIL(w, w->a[2].count == 1);
    go(w, 3, h.port, "/", (struct http_ask){0});
    hand_hear(&h, fd);
    hand_say_all(fd, "H");
    (void)close(fd);
    UNTIL(w, w->a[3].count == 1);
    assert_int_equal(w->a[3].code, ERR_CLOSED);
    assert_non_null(strstr(w->a[3].message, "middle"));
    assert_false(is_readable(h.listener));
    (void)close(h.listener);
}

static void bytes_that_nobody_asked_for_end_a_connection(void **state)
{
    static const char *const answers[] = {OK "x", OK};
    struct world *w = *state;
    struct hand h = hand_open(w->loop);
    for (size_t i = 0; i < 2; i++) {
        go(w, i, h.port, "/", (struct http_ask){0});
        int fd = hand_accept(&h);
        hand_hear(&h, fd);
        hand_say_all(fd, answers[i]);
        UNTIL(w, w->a[i].count == 1);
        assert_int_equal(w->a[i].status, 200);
        if (i == 1)
            hand_say_all(fd, "x");
        UNTIL(w, is_over(fd));
        (void)close(fd);
    }
    (void)close(h.listener);
}

static void note_order(void *arg, const struct http_result *r)
{
    struct world *w = arg;
    assert_int_equal(r->status, 200);
    assert_int_equal(w->a[0].count, r->body.data[r->body.len - 1] - 'a');
    w->a[0].count++;
}

static void calls_beyond_the_connections_wait_in_their_order(void **state)
{
    struct world *w = *state;
    struct http_client_config one = {.connections_per_host = 1};
    http_client_free(&w->client);
    assert_int_equal(http_client_init(&w->client, w->loop, &one, NULL), 0);
    for (size_t i = 0; i < 20; i++) {
        char url[64];
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/echo", w->port);
        struct http_ask ask = {.method = HTTP_POST, .url = url,
                               .body = str_of("abcdefghijklmnopqrst" + i, 1),
                               .deadline = clock_mono_ms() + 5000, .done = note_order, .arg = w};
        assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), 0);
    }
    assert_int_equal(http_client_inflight(w->client), 20);
    UNTIL(w, w->a[0].count == 20);
    assert_int_equal(http_server_stats(w->server).connections, 1);
    assert_int_equal(http_client_inflight(w->client), 0);
}

static void the_connection_that_was_idle_longest_is_closed_for_another(void **state)
{
    struct world *w = *state;
    struct http_client_config one = {.idle_max = 1};
    http_client_free(&w->client);
    assert_int_equal(http_client_init(&w->client, w->loop, &one, NULL), 0);
    w->raw_says = OK;
    go(w, 0, w->raw_port, "/", (struct http_ask){0});
    UNTIL(w, w->a[0].count == 1);
    go(w, 1, w->port, "/echo", (struct http_ask){0});
    assert_int_equal(w->raw_conns, 1);
    UNTIL(w, w->a[1].count == 1 && w->raw_conns == 0);
    assert_int_equal(http_server_stats(w->server).connections, 1);
}

static void names_are_looked_up_and_remembered(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < 3; i++) {
        char url[100];
        (void)snprintf(url, sizeof url, "http://%s:%u/echo", i == 1 ? "LOCALhost" : "localhost",
                       w->port);
        struct http_ask ask = {.method = HTTP_GET, .url = url, .deadline = clock_mono_ms() + 5000,
                               .done = done, .arg = &w->a[i]};
        assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), 0);
        UNTIL(w, w->a[i].count == 1);
        assert_string_equal(w->a[i].message, "");
        assert_int_equal(w->a[i].status, 200);
        assert_int_equal(http_server_stats(w->server).connections, 1);
    }
    struct http_ask none = {.method = HTTP_GET, .url = "http://no-such-host.invalid/",
                            .deadline = clock_mono_ms() + 300, .done = done, .arg = &w->a[4]};
    assert_int_equal(http_call_start(w->client, &none, NULL, NULL), 0);
    UNTIL(w, w->a[4].count == 1);
    assert_true(w->a[4].code == ERR_IO || w->a[4].code == ERR_TIMEOUT);
    assert_non_null(strstr(w->a[4].message, "no-such-host.invalid: "));
}

static void a_url_with_a_user_is_libcurls(void **state)
{
    struct world *w = *state;
    struct hand h = hand_open(w->loop);
    char url[100];
    (void)snprintf(url, sizeof url, "http://me:pw@127.0.0.1:%u/", h.port);
    struct http_ask ask = {.method = HTTP_GET, .url = url, .deadline = clock_mono_ms() + 5000,
                           .done = done, .arg = &w->a[0]};
    assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), 0);
    assert_int_equal(http_client_inflight(w->client), 1);
    int fd = hand_accept(&h);
    assert_non_null(strstr(hand_hear(&h, fd), "Authorization: Basic bWU6cHc="));
    hand_say_all(fd, OK);
    UNTIL(w, w->a[0].count == 1);
    assert_int_equal(w->a[0].status, 200);
    (void)close(fd);
    (void)close(h.listener);
}

/* Calls in every state: carried, connecting, waiting, looking a name up, refused a moment ago. */
static void start_in_every_state(struct world *w, struct http_call *calls[5], mono_ms deadline)
{
    struct http_ask name = {.method = HTTP_GET, .url = "http://no-such-host.invalid/",
                            .deadline = deadline, .done = done, .arg = &w->a[3]};
    struct http_client_config one = {.connections_per_host = 1};
    http_client_free(&w->client);
    assert_int_equal(http_client_init(&w->client, w->loop, &one, NULL), 0);
    w->raw_says = NULL;
    go(w, 0, w->raw_port, "/", (struct http_ask){.deadline = deadline});
    calls[0] = w->call;
    UNTIL(w, w->raw_requests > 0);
    go(w, 1, w->port, "/hold", (struct http_ask){.deadline = deadline});
    calls[1] = w->call;
    go(w, 2, w->raw_port, "/", (struct http_ask){.deadline = deadline});
    calls[2] = w->call;
    assert_int_equal(http_call_start(w->client, &name, &calls[3], NULL), 0);
    struct addr wrong = {.ip = {255, 255, 255, 255}, .port = 1, .family = 4};
    struct http_way way = {.connect_to = &wrong};
    go(w, 4, 1, "/", (struct http_ask){.deadline = deadline, .way = &way});
    calls[4] = w->call;
    assert_int_equal(http_client_inflight(w->client), 5);
}

static void a_call_can_be_canceled_in_every_state(void **state)
{
    struct world *w = *state;
    struct http_call *calls[5];
    for (int backwards = 0; backwards < 2; backwards++) {
        w->raw_requests = 0;
        start_in_every_state(w, calls, clock_mono_ms() + 5000);
        for (int i = 0; i < 5; i++)
            http_call_cancel(calls[backwards ? 4 - i : i]);
        assert_int_equal(http_client_inflight(w->client), 0);
        for (int i = 0; i < 5; i++)
            loop_turn(w->loop, 5);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(w->a[i].count, 0);
    }
    UNTIL(w, w->raw_conns == 0);
}

static void a_client_can_be_freed_with_calls_in_every_state(void **state)
{
    struct world *w = *state;
    struct http_call *calls[5];
    start_in_every_state(w, calls, clock_mono_ms() + 5000);
    http_client_free(&w->client);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(w->a[i].count, 1);
        assert_int_equal(w->a[i].code, ERR_CANCELED);
    }
}

static void a_deadline_says_what_was_waited_for(void **state)
{
    static const char *const texts[] = {"waiting for the answer", NULL, "waiting for a connection",
                                        "no-such-host.invalid: ", "cannot be reached"};
    struct world *w = *state;
    struct http_call *calls[5];
    start_in_every_state(w, calls, clock_mono_ms() + 200);
    go(w, 5, w->port, "/echo", (struct http_ask){0}); /* waits for the one that is held */
    for (size_t i = 0; i < 5; i++) {
        UNTIL(w, w->a[i].count == 1);
        if (w->a[i].code != (i == 4 ? ERR_REFUSED : ERR_TIMEOUT) && i != 3)
            fail_msg("%zu: %d %s", i, w->a[i].code, w->a[i].message);
        if (texts[i] != NULL && strstr(w->a[i].message, texts[i]) == NULL)
            fail_msg("%zu: %s", i, w->a[i].message);
    }
    UNTIL(w, w->a[5].count == 1);
    assert_int_equal(w->a[5].status, 200);
    w->raw_says = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    go(w, 6, w->raw_port, "/", (struct http_ask){.deadline = clock_mono_ms() + 50});
    UNTIL(w, w->a[6].count == 1);
    assert_int_equal(w->a[6].code, ERR_TIMEOUT);
    assert_non_null(strstr(w->a[6].message, "middle of the answer"));
}

static void nobody_listening_is_said_for_every_call_that_waits(void **state)
{
    struct world *w = *state;
    uint16_t port = w->raw_port;
    struct http_client_config one = {.connections_per_host = 1};
    http_client_free(&w->client);
    assert_int_equal(http_client_init(&w->client, w->loop, &one, NULL), 0);
    tcp_listener_close(&w->raw);
    loop_turn(w->loop, 0);
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "127.0.0.1:%u: connection refused", port);
    for (size_t i = 0; i < CALLS; i++)
        go(w, i, port, "/", (struct http_ask){0});
    for (size_t i = 0; i < CALLS; i++) {
        UNTIL(w, w->a[i].count == 1);
        assert_int_equal(w->a[i].code, ERR_REFUSED);
        assert_string_equal(w->a[i].message, wanted);
    }
}

static void a_call_that_finds_no_memory_says_so_once(void **state)
{
    struct world *w = *state;
    struct http_field field = {STR_INIT("X-A"), STR_INIT("b")};
    char url[100];
    (void)snprintf(url, sizeof url, "http://localhost:%u/echo", w->port);
    struct http_ask ask = {.method = HTTP_POST, .url = url, .headers = &field, .header_count = 1,
                           .body = STR("abc"), .done = done, .arg = &w->a[0]};
    for (uint64_t n = 1;; n++) {
        struct http_client_config none = {0};
        http_client_free(&w->client);
        assert_int_equal(http_client_init(&w->client, w->loop, &none, NULL), 0);
        ask.deadline = clock_mono_ms() + 5000;
        w->a[0].count = 0;
        mem_fail_at(n);
        int rc = http_call_start(w->client, &ask, NULL, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        if (rc == 0)
            UNTIL(w, w->a[0].count == 1);
        else
            assert_int_equal(rc, ERR_NOMEM);
        assert_int_equal(w->a[0].count, rc == 0);
        assert_int_equal(http_client_inflight(w->client), 0);
        if (over)
            break;
    }
    assert_int_equal(w->a[0].code, 0);
}

static void out_of_memory_is_an_error_and_nothing_is_called_back(void **state)
{
    struct world *w = *state;
    struct http_client_config config = {0};
    struct http_ask ask = {.method = HTTP_GET, .url = "http://127.0.0.1:1/",
                           .deadline = MONO_NEVER, .done = done, .arg = &w->a[0]};
    struct http_client *c = NULL;
    mem_fail_at(1);
    assert_int_equal(http_client_init(&c, w->loop, &config, NULL), ERR_NOMEM);
    assert_null(c);
    mem_fail_at(1);
    assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), ERR_NOMEM);
    mem_fail_at(0);
    assert_int_equal(http_client_inflight(w->client), 0);
    assert_int_equal(w->a[0].count, 0);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every process of ours does */
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_call_carries_method_headers_and_body_both_ways),
        T(large_bodies_go_without_waiting_for_a_100),
        T(connections_are_kept_and_used_again),
        T(a_connection_that_ends_between_calls_wakes_nobody_and_is_not_used_again),
        T(who_never_takes_a_connection_harms_no_other_call),
        T(the_deadline_ends_a_call_and_cancel_ends_it_silently),
        T(the_deadline_also_ends_a_call_that_waits_for_a_connection),
        T(what_goes_wrong_has_a_name),
        T(retry_after_is_passed_on),
        T(what_cannot_be_asked_is_refused_at_once),
        T(calls_of_a_client_that_is_freed_end_as_canceled),
        T(a_client_may_be_freed_by_a_callback),
        T(a_request_has_what_servers_expect_and_the_callers_headers_win),
        T(an_answer_may_come_byte_by_byte),
        T(an_answer_that_comes_too_early_is_delivered_and_ends_the_connection),
        T(a_call_whose_kept_connection_dies_is_sent_once_more),
        T(bytes_that_nobody_asked_for_end_a_connection),
        T(calls_beyond_the_connections_wait_in_their_order),
        T(the_connection_that_was_idle_longest_is_closed_for_another),
        T(names_are_looked_up_and_remembered),
        T(a_url_with_a_user_is_libcurls),
        T(a_call_can_be_canceled_in_every_state),
        T(a_client_can_be_freed_with_calls_in_every_state),
        T(a_deadline_says_what_was_waited_for),
        T(nobody_listening_is_said_for_every_call_that_waits),
        T(a_call_that_finds_no_memory_says_so_once),
        T(out_of_memory_is_an_error_and_nothing_is_called_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
