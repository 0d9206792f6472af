/* A handler sees whole requests only; clients that are slow, greedy, malformed, too many or gone
 * cost what the limits say and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "raw_http.h"

enum { LIMIT = 100 * 1000, HELD = 64 };

struct world {
    struct loop *loops[2];
    struct http_server *server;
    uint16_t port;
    pthread_mutex_t lock;
    struct http_req *held[HELD];
    atomic_uint held_count, cancels, freed, seen;
    _Atomic unsigned last_status;
    struct loop_timer *timers[2];
};

static struct world *W;

/* --- handlers ------------------------------------------------------------------------------ */

static void echo(void *arg, struct http_req *req)
{
    (void)arg;
    struct buf b = {0};
    char peer[ADDR_TEXT_MAX];
    buf_printf(&b, "%s %.*s from %s\n", http_method_name(req->method), STR_ARG(req->path),
               addr_ip_text(&req->peer, peer));
    for (size_t i = 0; i < req->param_count; i++) {
        buf_str(&b, req->params[i].name);
        buf_u8(&b, '=');
        buf_str(&b, req->params[i].value); /* may hold a zero byte */
        buf_u8(&b, '\n');
    }
    buf_str(&b, req->body);
    http_reply_buf(req, 200, "text/plain", &b);
}

static void size_of_body(void *arg, struct http_req *req)
{
    (void)arg;
    uint64_t sum = 0;
    for (size_t i = 0; i < req->body.len; i++)
        sum += (unsigned char)req->body.data[i] * (i % 251);
    http_reply_text(req, 200, "%zu %llu", req->body.len, (unsigned long long)sum);
}

static void on_cancel(void *arg)
{
    struct world *w = arg;
    atomic_fetch_add(&w->cancels, 1);
}

static void hold(void *arg, struct http_req *req)
{
    struct world *w = arg;
    pthread_mutex_lock(&w->lock);
    http_req_on_cancel(req, on_cancel, w);
    w->held[atomic_fetch_add(&w->held_count, 1)] = req;
    pthread_mutex_unlock(&w->lock);
}

struct late {
    struct loop_timer *timer;
    struct http_req *req;
};

static void on_late(void *arg)
{
    struct late *l = arg;
    loop_timer_free(&l->timer);
    http_reply_text(l->req, 200, "late");
}

static void late(void *arg, struct http_req *req)
{
    (void)arg;
    struct late *l = arena_zalloc(req->arena, sizeof *l);
    l->req = req;
    assert_int_equal(loop_timer_init(&l->timer, req->loop, on_late, l), 0);
    loop_timer_start(l->timer, 30, 0);
}

static void big_free(void *arg)
{
    atomic_fetch_add(&W->freed, 1);
    mem_free(arg);
}

static void big(void *arg, struct http_req *req)
{
    (void)arg;
    size_t size = 4u << 20;
    char *bytes = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    http_reply(req, &(struct http_answer){.status = 200,
                                          .body = str_of(bytes, size),
                                          .body_free = big_free,
                                          .body_arg = bytes});
}

static void words(void *arg, struct http_req *req)
{
    struct buf b = {0};
    for (int i = 0; i < *(const int *)arg; i++)
        buf_c(&b, "0123456789");
    http_reply_buf(req, 200, "text/plain", &b);
}

static void headers(void *arg, struct http_req *req)
{
    (void)arg;
    struct http_field fields[] = {{STR_INIT("X-Good"), STR_INIT("a b")},
                                  {STR_INIT("X-Split"), STR_INIT("a\r\nX-Evil: 1")},
                                  {STR_INIT("X-Nul"), STR_INIT("a\0b")}};
    http_reply(req, &(struct http_answer){.status = 204, .headers = fields, .header_count = 3});
}

static void refuse_json(void *arg, const struct http_req *req, unsigned *status,
                        const char *message, struct buf *body, const char **type)
{
    (void)arg;
    (void)req;
    if (*status == 413)
        *status = 429;
    *type = "application/json";
    buf_printf(body, "{\"message\":\"%s\"}", message);
}

/* --- world --------------------------------------------------------------------------------- */

static void on_seen(void *arg, const struct http_seen *seen)
{
    struct world *w = arg;
    atomic_store(&w->last_status, seen->status);
    atomic_fetch_add(&w->seen, 1);
}

static void start(struct world *w, struct http_server_config config, unsigned threads)
{
    static const int small = 139, large = 200;
    const struct http_route routes[] = {
        {.path = "/echo", .methods = HTTP_GET | HTTP_POST, .body_max = LIMIT, .handler = echo},
        {.path = "/size", .methods = HTTP_POST, .body_max = 64u << 20, .handler = size_of_body},
        {.path = "/hold", .methods = HTTP_GET | HTTP_POST, .handler = hold, .arg = w},
        {.path = "/short", .methods = HTTP_GET, .handler = hold, .arg = w, .deadline_ms = 150},
        {.path = "/late", .methods = HTTP_GET, .handler = late},
        {.path = "/big", .methods = HTTP_GET, .handler = big},
        {.path = "/small", .methods = HTTP_GET, .handler = words, .arg = (void *)(uintptr_t)&small},
        {.path = "/large", .methods = HTTP_GET, .handler = words, .arg = (void *)(uintptr_t)&large},
        {.path = "/headers", .methods = HTTP_GET, .handler = headers},
        {.path = "/json", .methods = HTTP_POST, .body_max = 10, .handler = echo,
         .refuse = refuse_json, .bare_405 = true},
        {.path = "/tree/*", .methods = HTTP_GET, .handler = echo},
        {.path = "/tree/deep/*", .methods = HTTP_POST, .handler = echo},
        {.path = "/tree/leaf", .methods = HTTP_POST, .handler = size_of_body},
    };
    for (unsigned i = 0; i < threads; i++)
        assert_int_equal(loop_init(&w->loops[i], "http", NULL), 0);
    config.address = STR("127.0.0.1");
    config.on_seen = on_seen;
    config.seen_arg = w;
    assert_int_equal(http_server_init(&w->server, w->loops, threads, &config, NULL), 0);
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        assert_int_equal(http_server_route(w->server, &routes[i], NULL), 0);
    w->port = http_server_addr(w->server).port;
    assert_int_equal(http_server_start(w->server, NULL), 0);
    for (unsigned i = 0; i < threads; i++)
        assert_int_equal(loop_start(w->loops[i], NULL), 0);
}

static const struct http_server_config hurried = {
    .header_ms = 400, .body_ms = 400, .write_ms = 600, .idle_ms = 600, .handler_ms = 5000};

static void start_default(struct world *w)
{
    start(w, (struct http_server_config){0}, 1);
}

static int set_up(void **state)
{
    W = mem_zalloc(sizeof *W);
    pthread_mutex_init(&W->lock, NULL);
    *state = W;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    if (w->server != NULL)
        http_server_stop(w->server, 100);
    for (unsigned i = 0; i < HELD; i++) {
        if (w->held[i] != NULL)
            http_reply_text(w->held[i], 200, "at last");
    }
    http_server_free(&w->server);
    for (unsigned i = 0; i < 2; i++)
        loop_free(&w->loops[i]);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
    return 0;
}

#define UNTIL(cond)                                                                           \
    do {                                                                                      \
        mono_ms limit = clock_mono_ms() + RAW_WAIT_MS;                                        \
        while (!(cond) && clock_mono_ms() < limit)                                            \
            poll(NULL, 0, 2);                                                                 \
        assert_true(cond);                                                                    \
    } while (0)

static struct http_req *take_held(struct world *w, unsigned index)
{
    UNTIL(atomic_load(&w->held_count) > index);
    pthread_mutex_lock(&w->lock);
    struct http_req *req = w->held[index];
    w->held[index] = NULL;
    pthread_mutex_unlock(&w->lock);
    return req;
}

#define H "Host: x\r\n"

/* --- requests ------------------------------------------------------------------------------ */

static void a_handler_sees_method_path_query_body_and_peer(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    raw_open(&r, w->port);
    raw_say(&r, "POST /echo?a=1+2&b=%2B%00x&c&a=3 HTTP/1.1\r\n" H
                "Content-Length: 5\r\n\r\nhello");
    assert_int_equal(raw_answer(&r), 200);
    static const char wanted[] = "POST /echo from 127.0.0.1\na=1 2\nb=+\0x\nc=\na=3\nhello";
    assert_int_equal(r.body.size, sizeof wanted - 1);
    assert_memory_equal(r.body.data, wanted, r.body.size);
    /* The same connection, chunked, with an extension and a trailer. */
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
                "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n");
    assert_int_equal(raw_answer(&r), 200);
    assert_true(str_ends_with(buf_view(&r.body), STR("\nabcde")));
    raw_close(&r);
}

static void large_bodies_arrive_whole(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    static char bytes[5 << 20];
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 31 >> 5);
        sum += (unsigned char)bytes[i] * (i % 251);
    }
    char head[128], wanted[64];
    snprintf(wanted, sizeof wanted, "%zu %llu", sizeof bytes, (unsigned long long)sum);
    snprintf(head, sizeof head, "POST /size HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n",
             sizeof bytes);
    raw_open(&r, w->port);
    for (int i = 0; i < 2; i++) {
        raw_say(&r, head);
        assert_true(raw_send(&r, bytes, sizeof bytes));
        assert_int_equal(raw_answer(&r), 200);
        assert_true(str_eq(buf_view(&r.body), str_c(wanted)));
    }
    raw_close(&r);
    UNTIL(http_server_stats(w->server).memory_used == 0);
    assert_true(http_server_stats(w->server).memory_peak >= sizeof bytes);
    assert_true(http_server_stats(w->server).memory_peak < 2 * sizeof bytes);
}

static void head_is_get_without_the_body(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    raw_open(&r, w->port);
    raw_say(&r, "HEAD /small HTTP/1.1\r\n" H "\r\nGET /small HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer_to(&r, true), 200);
    assert_true(str_eq(raw_header(&r, "Content-Length"), STR("1390")));
    assert_int_equal(raw_answer(&r), 200); /* nothing of the first body is in between */
    assert_int_equal(r.body.size, 1390);
    raw_close(&r);
}

static void unknown_paths_and_methods_are_told_and_the_connection_goes_on(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    raw_open(&r, w->port);
    raw_say(&r, "GET /nothing HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 404);
    raw_say(&r, "POST /nothing HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
    assert_int_equal(raw_answer(&r), 404);
    raw_say(&r, "DELETE /echo HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 405);
    assert_true(str_eq(raw_header(&r, "Allow"), STR("GET, HEAD, POST")));
    raw_say(&r, "GET /json HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 405);
    assert_true(str_eq(raw_header(&r, "Allow"), STR("POST")));
    assert_int_equal(r.body.size, 0);
    raw_say(&r, "BREW /echo HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 405);
    raw_say(&r, "GET /echo%00 HTTP/1.1\r\n" H "\r\n"); /* is not /echo */
    assert_int_equal(raw_answer(&r), 404);
    raw_say(&r, "GET /echo HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 200);
    raw_close(&r);
}

static void exact_paths_beat_prefixes_and_longer_prefixes_shorter_ones(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    raw_open(&r, w->port);
    raw_say(&r, "GET /tree/a/b HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 200);
    raw_say(&r, "GET /tree/deep/x HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 405);
    assert_true(str_eq(raw_header(&r, "Allow"), STR("POST")));
    raw_say(&r, "POST /tree/leaf HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n");
    assert_int_equal(raw_answer(&r), 200);
    assert_true(str_eq(buf_view(&r.body), STR("0 0")));
    raw_say(&r, "GET /tree HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 404);
    raw_close(&r);
}

static void answers_are_gzipped_for_who_accepts_it_and_from_a_size_on(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    raw_open(&r, w->port);
    raw_say(&r, "GET /large HTTP/1.1\r\n" H "Accept-Encoding: gzip\r\n\r\n");
    assert_int_equal(raw_answer(&r), 200);
    assert_true(str_eq(raw_header(&r, "Content-Encoding"), STR("gzip")));
    assert_true(r.body.size < 200 && r.body.data[0] == 0x1f && r.body.data[1] == 0x8b);
    raw_say(&r, "GET /large HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 200);
    assert_int_equal(r.body.size, 2000);
    raw_say(&r, "GET /small HTTP/1.1\r\n" H "Accept-Encoding: gzip\r\n\r\n");
    assert_int_equal(raw_answer(&r), 200);
    assert_int_equal(r.body.size, 1390);
    assert_null(raw_header(&r, "Content-Encoding").data);
    raw_close(&r);
}

static void headers_cannot_be_split_by_their_values(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    assert_int_equal(raw_once(w->port, "GET /headers HTTP/1.1\r\n" H "\r\n", &r), 204);
    assert_true(str_eq(raw_header(&r, "X-Good"), STR("a b")));
    assert_null(raw_header(&r, "X-Evil").data);
    assert_null(raw_header(&r, "X-Nul").data);
    raw_close(&r);
}

/* --- answers later ------------------------------------------------------------------------- */

static void an_answer_may_come_later_and_from_another_thread(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    raw_open(&r, w->port);
    raw_say(&r, "GET /hold HTTP/1.1\r\n" H "\r\n");
    http_reply_text(take_held(w, 0), 202, "here");
    assert_int_equal(raw_answer(&r), 202);
    assert_true(str_eq(buf_view(&r.body), STR("here")));
    raw_say(&r, "GET /late HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 200);
    assert_int_equal(atomic_load(&w->cancels), 0);
    raw_close(&r);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    raw_open(&r, w->port);
    raw_say(&r, "GET /late HTTP/1.1\r\n" H "\r\nGET /echo?n=2 HTTP/1.1\r\n" H "\r\n"
                "GET /late HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 200);
    assert_true(str_eq(buf_view(&r.body), STR("late")));
    assert_int_equal(raw_answer(&r), 200);
    assert_true(str_ends_with(buf_view(&r.body), STR("n=2\n")));
    assert_int_equal(raw_answer(&r), 200);
    assert_true(str_eq(buf_view(&r.body), STR("late")));
    raw_close(&r);
}

static void many_connections_wait_without_holding_each_other(void **state)
{
    struct world *w = *state;
    struct raw waiting[40], quick;
    start(w, (struct http_server_config){0}, 2);
    for (int i = 0; i < 40; i++) {
        raw_open(&waiting[i], w->port);
        raw_say(&waiting[i], "GET /hold HTTP/1.1\r\n" H "\r\n");
    }
    UNTIL(atomic_load(&w->held_count) == 40);
    assert_int_equal(http_server_stats(w->server).inflight, 40);
    assert_int_equal(raw_once(w->port, "GET /echo HTTP/1.1\r\n" H "\r\n", &quick), 200);
    raw_close(&quick);
    unsigned on_first = 0;
    for (unsigned i = 0; i < 40; i++) {
        struct http_req *req = take_held(w, i);
        on_first += req->thread == 0;
        http_reply_text(req, 200, "x");
    }
    for (int i = 0; i < 40; i++) {
        assert_int_equal(raw_answer(&waiting[i]), 200);
        raw_close(&waiting[i]);
    }
    assert_true(on_first > 0 && on_first < 40); /* both threads take part */
}

static void the_deadline_is_answered_by_the_server_and_a_late_reply_is_dropped(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    mono_ms began = clock_mono_ms();
    assert_int_equal(raw_once(w->port, "GET /short HTTP/1.1\r\n" H "\r\n", &r), 504);
    assert_in_range(clock_mono_ms() - began, 140, 3000);
    assert_int_equal(atomic_load(&w->cancels), 1);
    http_reply_text(take_held(w, 0), 200, "too late");
    raw_say(&r, "GET /echo HTTP/1.1\r\n" H "\r\n"); /* the connection is as good as new */
    assert_int_equal(raw_answer(&r), 200);
    raw_close(&r);
}

static void a_client_that_left_does_no_harm(void **state)
{
    struct world *w = *state;
    struct raw r;
    start(w, hurried, 1);
    raw_open(&r, w->port);
    raw_say(&r, "GET /hold HTTP/1.1\r\n" H "\r\n");
    struct http_req *req = take_held(w, 0);
    raw_close(&r);
    http_reply_text(req, 200, "nobody");
    UNTIL(http_server_stats(w->server).connections == 0);
    /* Half a body, half a header. */
    raw_open(&r, w->port);
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H "Content-Length: 50\r\n\r\nabc");
    raw_close(&r);
    raw_open(&r, w->port);
    raw_say(&r, "POST /ec");
    raw_close(&r);
    raw_open(&r, w->port);
    raw_say(&r, "GET /big HTTP/1.1\r\n" H "\r\n");
    raw_more(&r, RAW_WAIT_MS);
    raw_close(&r);
    UNTIL(http_server_stats(w->server).connections == 0);
    UNTIL(http_server_stats(w->server).memory_used == 0);
    assert_int_equal(http_server_stats(w->server).inflight, 0);
    assert_int_equal(atomic_load(&w->freed), 1);
}

static void a_large_answer_is_whole_and_its_memory_is_given_back_once(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    assert_int_equal(raw_once(w->port, "GET /big HTTP/1.1\r\n" H "\r\n", &r), 200);
    assert_int_equal(r.body.size, 4u << 20);
    for (size_t i = 0; i < r.body.size; i++) {
        if (r.body.data[i] != (uint8_t)(i * 2654435761u >> 13))
            fail_msg("byte %zu", i);
    }
    UNTIL(atomic_load(&w->freed) == 1);
    raw_close(&r);
}

/* --- greedy and malformed clients ---------------------------------------------------------- */

static void bodies_over_the_limit_are_refused_however_they_come(void **state)
{
    struct world *w = *state;
    struct raw r;
    char head[200];
    static char bytes[LIMIT * 6];
    start_default(w);
    /* Announced and large: refused at once, before the body. */
    raw_open(&r, w->port);
    snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\n" H "Content-Length: %d\r\n\r\n",
             LIMIT + 1);
    raw_say(&r, head);
    assert_int_equal(raw_answer(&r), 413);
    assert_true(raw_ends(&r, RAW_WAIT_MS));
    raw_close(&r);
    /* Announced and small: read, refused, and the connection goes on. */
    raw_open(&r, w->port);
    raw_say(&r, "POST /json HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\n12345678901");
    assert_int_equal(raw_answer(&r), 429);
    assert_true(str_contains(buf_view(&r.body), STR("too large")));
    raw_say(&r, "POST /json HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n1234567890");
    assert_int_equal(raw_answer(&r), 200);
    /* Not announced: read to its end, then refused. */
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    snprintf(head, sizeof head, "%x\r\n", LIMIT * 2);
    raw_say(&r, head);
    raw_send(&r, bytes, LIMIT * 2);
    raw_say(&r, "\r\n0\r\n\r\n");
    assert_int_equal(raw_answer(&r), 413);
    raw_close(&r);
    /* Not announced and without end: cut. */
    raw_open(&r, w->port);
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    snprintf(head, sizeof head, "%x\r\n", LIMIT * 100);
    raw_say(&r, head);
    for (int i = 0; i < 16 && raw_send(&r, bytes, sizeof bytes); i++)
        ;
    assert_int_equal(raw_answer(&r), 0);
    raw_close(&r);
    assert_true(http_server_stats(w->server).memory_peak <= LIMIT + 64 * 1024);
}

static void an_early_refusal_reaches_a_client_that_is_still_sending(void **state)
{
    struct world *w = *state;
    struct raw r;
    static char bytes[256 * 1024];
    start_default(w);
    raw_open(&r, w->port);
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H "Content-Length: 20000000\r\n\r\n");
    raw_send(&r, bytes, sizeof bytes);
    assert_int_equal(raw_answer(&r), 413);
    raw_close(&r);
}

static void expect_is_answered_before_the_body_unless_it_is_refused(void **state)
{
    struct world *w = *state;
    struct raw r;
    start_default(w);
    raw_open(&r, w->port);
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H
                "Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n");
    while (r.in.size < 25 && raw_more(&r, RAW_WAIT_MS))
        ;
    assert_int_equal(r.in.size, 25);
    assert_memory_equal(r.in.data, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    static char bytes[70000];
    raw_send(&r, bytes, sizeof bytes);
    assert_int_equal(raw_answer(&r), 200);
    raw_close(&r);
    raw_open(&r, w->port);
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H
                "Expect: 100-continue\r\nContent-Length: 700000\r\n\r\n");
    while (r.in.size < 12 && raw_more(&r, RAW_WAIT_MS))
        ;
    assert_memory_equal(r.in.data, "HTTP/1.1 413", 12);
    raw_close(&r);
}

static void what_a_proxy_might_read_otherwise_is_refused(void **state)
{
    struct world *w = *state;
    start_default(w);
    static const struct {
        const char *bytes;
        unsigned status;
    } cases[] = {
        {"POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
        {"POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\nabc", 501},
        {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
        {"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct raw r;
        unsigned status = raw_once(w->port, cases[i].bytes, &r);
        if (status != cases[i].status)
            fail_msg("case %zu: %u", i, status);
        assert_true(raw_ends(&r, RAW_WAIT_MS));
        raw_close(&r);
    }
    struct raw r;
    assert_int_equal(raw_once(w->port, "GET /echo HTTP/1.0\r\n\r\n", &r), 200); /* needs no Host */
    raw_close(&r);
}

static void garbage_and_absurd_headers_end_the_connection_and_nothing_else(void **state)
{
    struct world *w = *state;
    struct raw r;
    static char long_header[100 * 1024];
    start(w, hurried, 1);
    memset(long_header, 'a', sizeof long_header - 1);
    static const char *const garbage[] = {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                                          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                          "GET\r\n\r\n",
                                          "GET /echo HTTP/9.9\r\n\r\n",
                                          "POST /echo HTTP/1.1\r\nHost: a\r\n"
                                          "Content-Length: -5\r\n\r\n",
                                          "POST /echo HTTP/1.1\r\nHost: a\r\n"
                                          "Content-Length: 99999999999999999999999\r\n\r\n"};
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        raw_open(&r, w->port);
        raw_say(&r, garbage[i]);
        shutdown(r.fd, SHUT_WR);
        assert_true(raw_ends(&r, RAW_WAIT_MS));
        raw_close(&r);
    }
    raw_open(&r, w->port);
    raw_say(&r, "GET /echo HTTP/1.1\r\nX: ");
    raw_say(&r, long_header);
    assert_true(raw_ends(&r, RAW_WAIT_MS));
    raw_close(&r);
    assert_int_equal(raw_once(w->port, "GET /echo HTTP/1.1\r\n" H "\r\n", &r), 200);
    raw_close(&r);
}

static void without_request_memory_the_answer_is_503(void **state)
{
    struct world *w = *state;
    struct raw r;
    static char bytes[64 * 1024];
    start(w, (struct http_server_config){.memory_max = 60 * 1024}, 1);
    raw_open(&r, w->port);
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H "Content-Length: 65536\r\n\r\n");
    raw_send(&r, bytes, sizeof bytes);
    assert_int_equal(raw_answer(&r), 503);
    assert_non_null(raw_header(&r, "Retry-After").data);
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    assert_int_equal(raw_answer(&r), 200);
    raw_close(&r);
    assert_true(http_server_stats(w->server).memory_peak <= 60 * 1024);
}

/* --- time ---------------------------------------------------------------------------------- */

/* Send a byte every 50 ms until the server has had enough; milliseconds that it took. */
static mono_ms drip(struct raw *r, mono_ms most)
{
    mono_ms began = clock_mono_ms();
    while (!r->eof && clock_mono_ms() - began < most) {
        raw_say(r, "a");
        raw_more(r, 50);
    }
    assert_true(r->eof);
    return clock_mono_ms() - began;
}

static void a_byte_now_and_then_gains_no_time(void **state)
{
    struct world *w = *state;
    struct raw r;
    start(w, hurried, 1);
    raw_open(&r, w->port);
    raw_say(&r, "GET /");
    assert_in_range(drip(&r, 10000), 300, 3000);
    raw_close(&r);
    raw_open(&r, w->port);
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H "Content-Length: 5000\r\n\r\n");
    assert_in_range(drip(&r, 10000), 300, 3000);
    raw_close(&r);
    assert_int_equal(http_server_stats(w->server).timeouts, 2);
    UNTIL(http_server_stats(w->server).inflight == 0);
}

static void a_header_that_drips_after_a_request_is_seen_too(void **state)
{
    struct world *w = *state;
    struct raw r;
    struct http_server_config config = hurried;
    config.idle_ms = 60 * 1000;
    start(w, config, 1);
    raw_open(&r, w->port);
    raw_say(&r, "GET /echo HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 200);
    raw_say(&r, "GET /");
    assert_in_range(drip(&r, 10000), 300, 5000);
    raw_close(&r);
}

static void silence_ends_by_the_limit_of_its_phase(void **state)
{
    struct world *w = *state;
    struct raw r;
    start(w, hurried, 1);
    mono_ms began = clock_mono_ms();
    raw_open(&r, w->port); /* says nothing at all */
    assert_true(raw_ends(&r, 5000));
    assert_in_range(clock_mono_ms() - began, 300, 3000);
    raw_close(&r);
    raw_open(&r, w->port);
    raw_say(&r, "GET /echo HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 200);
    began = clock_mono_ms();
    assert_true(raw_ends(&r, 5000));
    assert_in_range(clock_mono_ms() - began, 500, 3000);
    raw_close(&r);
}

static void a_reader_that_takes_its_time_is_cut(void **state)
{
    struct world *w = *state;
    struct raw r;
    int small = 4096;
    start(w, hurried, 1);
    raw_open(&r, w->port);
    setsockopt(r.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    raw_say(&r, "GET /big HTTP/1.1\r\n" H "\r\n");
    UNTIL(atomic_load(&w->freed) == 1);
    UNTIL(http_server_stats(w->server).connections == 0);
    assert_int_equal(http_server_stats(w->server).timeouts, 1);
    raw_close(&r);
}

static void waiting_for_a_handler_is_no_silence(void **state)
{
    struct world *w = *state;
    struct raw r;
    start(w, hurried, 1);
    raw_open(&r, w->port);
    raw_say(&r, "GET /hold HTTP/1.1\r\n" H "\r\n");
    struct http_req *req = take_held(w, 0);
    poll(NULL, 0, 1500); /* longer than every other limit */
    http_reply_text(req, 200, "still here");
    assert_int_equal(raw_answer(&r), 200);
    raw_close(&r);
}

/* --- number -------------------------------------------------------------------------------- */

static void connections_over_the_limit_are_told_so(void **state)
{
    struct world *w = *state;
    struct raw r[40], over;
    start(w, (struct http_server_config){.connections_max = 2}, 2);
    for (int i = 0; i < 2; i++) {
        raw_open(&r[i], w->port);
        raw_say(&r[i], "GET /echo HTTP/1.1\r\n" H "\r\n");
        assert_int_equal(raw_answer(&r[i]), 200);
    }
    assert_int_equal(raw_once(w->port, "GET /echo HTTP/1.1\r\n" H "\r\n", &over), 503);
    assert_non_null(raw_header(&over, "Retry-After").data);
    assert_true(str_eq_nocase(raw_header(&over, "Connection"), STR("close")));
    assert_true(raw_ends(&over, RAW_WAIT_MS));
    raw_close(&over);
    assert_int_equal(http_server_stats(w->server).rejected_connections, 1);
    /* Those that are in are served on, and a place that becomes free is given. */
    raw_say(&r[0], "GET /echo HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r[0]), 200);
    raw_close(&r[1]);
    UNTIL(http_server_stats(w->server).connections == 1);
    assert_int_equal(raw_once(w->port, "GET /echo HTTP/1.1\r\n" H "\r\n", &r[1]), 200);
    /* At the hard limit connections are closed, not left hanging. */
    for (int i = 2; i < 40; i++)
        raw_open(&r[i], w->port);
    unsigned closed = 0;
    for (int i = 2; i < 40; i++) {
        struct pollfd p = {.fd = r[i].fd, .events = POLLIN};
        closed += poll(&p, 1, closed > 0 ? 20 : 2000) == 1;
    }
    assert_true(closed >= 38 - 16);
    for (int i = 0; i < 40; i++)
        raw_close(&r[i]);
}

/* --- stopping ------------------------------------------------------------------------------ */

struct stop {
    struct world *w;
    uint32_t grace_ms;
    unsigned cut;
};

static void *stop_main(void *arg)
{
    struct stop *s = arg;
    s->cut = http_server_stop(s->w->server, s->grace_ms);
    return NULL;
}

static void stopping_serves_what_was_accepted_and_then_nothing(void **state)
{
    struct world *w = *state;
    struct raw held, idle, queued[8];
    pthread_t thread;
    start(w, (struct http_server_config){0}, 2);
    raw_open(&idle, w->port);
    raw_say(&idle, "GET /echo HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&idle), 200);
    raw_open(&held, w->port);
    raw_say(&held, "GET /hold HTTP/1.1\r\n" H "\r\n");
    struct http_req *req = take_held(w, 0);
    for (int i = 0; i < 8; i++) {
        raw_open(&queued[i], w->port);
        raw_say(&queued[i], "GET /echo HTTP/1.1\r\n" H "\r\n");
    }
    struct stop s = {.w = w, .grace_ms = RAW_WAIT_MS};
    pthread_create(&thread, NULL, stop_main, &s);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(raw_answer(&queued[i]), 200);
        raw_close(&queued[i]);
    }
    assert_true(raw_ends(&idle, RAW_WAIT_MS)); /* not kept for the idle time */
    http_reply_text(req, 200, "done");
    assert_int_equal(raw_answer(&held), 200);
    assert_true(raw_ends(&held, RAW_WAIT_MS));
    pthread_join(thread, NULL);
    assert_int_equal(s.cut, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(w->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof sa), -1);
    close(fd);
    raw_close(&held);
    raw_close(&idle);
}

static void what_outlasts_the_grace_is_answered_503(void **state)
{
    struct world *w = *state;
    struct raw r[3];
    start_default(w);
    for (int i = 0; i < 3; i++) {
        raw_open(&r[i], w->port);
        raw_say(&r[i], "GET /hold HTTP/1.1\r\n" H "\r\n");
    }
    UNTIL(atomic_load(&w->held_count) == 3);
    mono_ms began = clock_mono_ms();
    assert_int_equal(http_server_stop(w->server, 200), 3);
    assert_in_range(clock_mono_ms() - began, 190, 3000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(raw_answer(&r[i]), 503);
        raw_close(&r[i]);
    }
    assert_int_equal(atomic_load(&w->cancels), 3);
}

/* --- making -------------------------------------------------------------------------------- */

static void a_taken_port_is_an_error_also_for_a_second_server_of_the_same_user(void **state)
{
    struct world *w = *state;
    struct http_server *second = NULL;
    struct err err = {0};
    start(w, (struct http_server_config){0}, 2);
    struct http_server_config config = {.address = STR("127.0.0.1"), .port = w->port};
    assert_int_equal(http_server_init(&second, w->loops, 2, &config, &err), ERR_EXIST);
    assert_null(second);
    assert_non_null(strstr(err.msg, "127.0.0.1"));
    config = (struct http_server_config){.address = STR("localhost")};
    assert_int_equal(http_server_init(&second, w->loops, 1, &config, &err), ERR_INVAL);
}

/* Bound sockets do not show before they listen; nobody is to slip in between. */
static void a_port_is_taken_before_its_server_has_started(void **state)
{
    struct world *w = *state;
    struct http_server *second = NULL;
    struct http_server_config config = {.address = STR("127.0.0.1")};
    struct err err = {0};
    assert_int_equal(loop_init(&w->loops[0], "http", NULL), 0);
    assert_int_equal(loop_init(&w->loops[1], "http", NULL), 0);
    assert_int_equal(http_server_init(&second, w->loops, 1, &config, NULL), 0);
    config.port = http_server_addr(second).port;
    http_server_free(&second); /* a port that is free */
    assert_int_equal(http_server_init(&w->server, w->loops, 2, &config, NULL), 0);
    assert_int_equal(http_server_init(&second, w->loops, 2, &config, &err), ERR_EXIST);
    assert_null(second);
    assert_non_null(strstr(err.msg, "address already in use"));
    assert_int_equal(http_server_start(w->server, NULL), 0);
    assert_int_equal(http_server_init(&second, w->loops, 2, &config, &err), ERR_EXIST);
    http_server_free(&w->server);
    assert_int_equal(http_server_init(&w->server, w->loops, 2, &config, NULL), 0);
}

static void every_address_means_both_families(void **state)
{
    struct world *w = *state;
    struct raw r;
    struct http_server_config config = {0};
    assert_int_equal(loop_init(&w->loops[0], "http", NULL), 0);
    assert_int_equal(http_server_init(&w->server, w->loops, 1, &config, NULL), 0);
    assert_int_equal(http_server_start(w->server, NULL), 0);
    assert_int_equal(loop_start(w->loops[0], NULL), 0);
    w->port = http_server_addr(w->server).port;
    assert_int_equal(raw_once(w->port, "GET / HTTP/1.1\r\n" H "\r\n", &r), 404);
    raw_close(&r);
}

static void a_route_is_taken_once(void **state)
{
    struct world *w = *state;
    struct http_server_config config = {.address = STR("127.0.0.1")};
    struct http_route route = {.path = "/a", .methods = HTTP_GET, .handler = echo};
    assert_int_equal(loop_init(&w->loops[0], "http", NULL), 0);
    assert_int_equal(http_server_init(&w->server, w->loops, 1, &config, NULL), 0);
    assert_int_equal(http_server_route(w->server, &route, NULL), 0);
    assert_int_equal(http_server_route(w->server, &route, NULL), ERR_EXIST);
    route.methods = HTTP_POST;
    assert_int_equal(http_server_route(w->server, &route, NULL), 0);
}

static void out_of_memory_while_making_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct http_server_config config = {.address = STR("127.0.0.1")};
    struct http_route route = {.path = "/a", .methods = HTTP_GET, .handler = echo};
    assert_int_equal(loop_init(&w->loops[0], "http", NULL), 0);
    assert_int_equal(loop_init(&w->loops[1], "http", NULL), 0);
    for (uint64_t n = 1;; n++) {
        struct http_server *s = NULL;
        mem_fail_at(n);
        int rc = http_server_init(&s, w->loops, 2, &config, NULL);
        if (rc == 0)
            rc = http_server_route(s, &route, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        http_server_free(&s);
        if (over) {
            assert_int_equal(rc, 0);
            assert_true(n > 4);
            return;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
}

/* One request with the n-th allocation failing; false when all went well without a failure. */
static bool request_without_memory(struct world *w, uint64_t n)
{
    struct raw r;
    raw_open(&r, w->port);
    raw_say(&r, "POST /echo?a=1&b=2 HTTP/1.1\r\n" H "X-A: 1\r\nContent-Length: 5\r\n\r\nhello");
    mem_fail_at(n);
    struct pollfd p = {.fd = r.fd, .events = POLLIN};
    for (int i = 0; i < 500 && poll(&p, 1, 0) == 0; i++)
        loop_turn(w->loops[0], 2);
    bool over = mem_fail_pending();
    mem_fail_at(0);
    unsigned status = raw_answer(&r);
    if (over)
        assert_int_equal(status, 200);
    else
        assert_true(status == 0 || status == 200 || status == 500 || status == 503);
    raw_close(&r);
    for (int i = 0; i < 500 && http_server_stats(w->server).connections > 0; i++)
        loop_turn(w->loops[0], 2);
    assert_int_equal(http_server_stats(w->server).connections, 0);
    assert_int_equal(http_server_stats(w->server).inflight, 0);
    assert_int_equal(http_server_stats(w->server).memory_used, 0);
    return !over;
}

static void a_request_that_finds_no_memory_costs_nobody_else(void **state)
{
    struct world *w = *state;
    struct http_server_config config = {.address = STR("127.0.0.1"), .header_ms = 200};
    struct http_route route = {.path = "/echo", .methods = HTTP_POST, .handler = echo};
    assert_int_equal(loop_init(&w->loops[0], "http", NULL), 0);
    assert_int_equal(http_server_init(&w->server, w->loops, 1, &config, NULL), 0);
    assert_int_equal(http_server_route(w->server, &route, NULL), 0);
    assert_int_equal(http_server_start(w->server, NULL), 0); /* run here, not on a thread */
    w->port = http_server_addr(w->server).port;
    uint64_t n = 1;
    while (request_without_memory(w, n))
        n++;
    assert_true(n > 4); /* connection, arena, body, answer at least */
}

static void seen_requests_carry_status_and_sizes(void **state)
{
    struct world *w = *state;
    struct raw r;
    start(w, hurried, 1);
    assert_int_equal(raw_once(w->port, "GET /nothing HTTP/1.1\r\n" H "\r\n", &r), 404);
    UNTIL(atomic_load(&w->seen) == 1);
    assert_int_equal(atomic_load(&w->last_status), 404);
    raw_say(&r, "GET /echo HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(raw_answer(&r), 200);
    UNTIL(atomic_load(&w->seen) == 2);
    assert_int_equal(atomic_load(&w->last_status), 200);
    raw_say(&r, "POST /echo HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nabc");
    raw_close(&r);
    UNTIL(atomic_load(&w->seen) == 3);
    assert_int_equal(atomic_load(&w->last_status), 499);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_handler_sees_method_path_query_body_and_peer),
        T(large_bodies_arrive_whole),
        T(head_is_get_without_the_body),
        T(unknown_paths_and_methods_are_told_and_the_connection_goes_on),
        T(exact_paths_beat_prefixes_and_longer_prefixes_shorter_ones),
        T(answers_are_gzipped_for_who_accepts_it_and_from_a_size_on),
        T(headers_cannot_be_split_by_their_values),
        T(an_answer_may_come_later_and_from_another_thread),
        T(pipelined_requests_are_answered_in_order),
        T(many_connections_wait_without_holding_each_other),
        T(the_deadline_is_answered_by_the_server_and_a_late_reply_is_dropped),
        T(a_client_that_left_does_no_harm),
        T(a_large_answer_is_whole_and_its_memory_is_given_back_once),
        T(bodies_over_the_limit_are_refused_however_they_come),
        T(an_early_refusal_reaches_a_client_that_is_still_sending),
        T(expect_is_answered_before_the_body_unless_it_is_refused),
        T(what_a_proxy_might_read_otherwise_is_refused),
        T(garbage_and_absurd_headers_end_the_connection_and_nothing_else),
        T(without_request_memory_the_answer_is_503),
        T(a_byte_now_and_then_gains_no_time),
        T(a_header_that_drips_after_a_request_is_seen_too),
        T(silence_ends_by_the_limit_of_its_phase),
        T(a_reader_that_takes_its_time_is_cut),
        T(waiting_for_a_handler_is_no_silence),
        T(connections_over_the_limit_are_told_so),
        T(stopping_serves_what_was_accepted_and_then_nothing),
        T(what_outlasts_the_grace_is_answered_503),
        T(a_taken_port_is_an_error_also_for_a_second_server_of_the_same_user),
        T(a_port_is_taken_before_its_server_has_started),
        T(every_address_means_both_families),
        T(a_route_is_taken_once),
        T(out_of_memory_while_making_leaves_nothing),
        T(a_request_that_finds_no_memory_costs_nobody_else),
        T(seen_requests_carry_status_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
