/* Servers that do wrong, at each moment: a plain call ends once, with its own answer or none, and
 * what it borrows is not touched afterwards. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http_client.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "hand_http.h"
#include "net/tcp.h"

enum { CALLS = 80 };

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define EVIL "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

struct world {
    struct loop *loop;
    struct http_client *client;
    struct hand hand;
    struct call {
        struct world *w;
        int count, code;
        unsigned status;
        struct buf body;
        char message[128];
        const char *then_say; /* the server says it when the call has ended, */
        bool then_close;      /* or closes, */
        int fd;               /* there; */
        size_t then_go;       /* then this call begins, from inside */
    } calls[CALLS];
};

static void open_client(struct world *w, struct http_client_config config)
{
    http_client_free(&w->client);
    assert_int_equal(http_client_init(&w->client, w->loop, &config, NULL), 0);
}

static int set_up(void **state)
{
    struct world *w = mem_zalloc(sizeof *w);
    assert_int_equal(loop_init(&w->loop, "test", NULL), 0);
    w->hand = hand_open(w->loop);
    open_client(w, (struct http_client_config){0});
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    http_client_free(&w->client);
    loop_free(&w->loop);
    (void)close(w->hand.listener);
    for (size_t i = 0; i < CALLS; i++)
        buf_reset(&w->calls[i].body);
    mem_free(w);
    return 0;
}

static void on_done(void *arg, const struct http_result *r);

static void go(struct world *w, size_t i, enum http_method method, struct str body)
{
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/%zu", w->hand.port, i);
    const struct http_ask ask = {.method = method,
                                 .url = url,
                                 .body = body,
                                 .deadline = MONO_NEVER,
                                 .done = on_done,
                                 .arg = &w->calls[i]};
    struct call *call = &w->calls[i];
    buf_reset(&call->body);
    *call = (struct call){.w = w,
                          .then_say = call->then_say,
                          .then_close = call->then_close,
                          .fd = call->fd,
                          .then_go = call->then_go};
    assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), 0);
}

static void on_done(void *arg, const struct http_result *r)
{
    struct call *call = arg;
    call->count++;
    call->code = r->code;
    call->status = r->status;
    buf_str(&call->body, r->body);
    (void)snprintf(call->message, sizeof call->message, "%s", r->message);
    if (call->then_say != NULL)
        hand_say_all(call->fd, call->then_say);
    if (call->then_close)
        (void)close(call->fd);
    if (call->then_go != 0)
        go(call->w, call->then_go, HTTP_POST, STR("abc"));
}

static void reset(int fd)
{
    const struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    (void)close(fd);
}

/* Have call i answered so that its connection is kept. */
static int keep_one(struct world *w, size_t i)
{
    go(w, i, HTTP_GET, STR(""));
    int fd = hand_accept(&w->hand);
    hand_hear(&w->hand, fd);
    hand_say_all(fd, OK);
    UNTIL(w, w->calls[i].count == 1);
    assert_int_equal(w->calls[i].status, 200);
    return fd;
}

static void an_answer_up_to_the_end_of_the_stream_is_cut_by_a_reset(void **state)
{
    struct world *w = *state;
    go(w, 0, HTTP_GET, STR(""));
    int fd = hand_accept(&w->hand);
    hand_hear(&w->hand, fd);
    hand_say_all(fd, "HTTP/1.1 200 OK\r\n\r\nhalf");
    for (int i = 0; i < 3; i++)
        loop_turn(w->loop, 5);
    reset(fd);
    UNTIL(w, w->calls[0].count == 1);
    assert_int_equal(w->calls[0].code, ERR_CLOSED);
    assert_non_null(strstr(w->calls[0].message, "middle of the answer"));
}

static void what_came_before_a_request_is_not_its_answer(void **state)
{
    struct world *w = *state;
    go(w, 0, HTTP_GET, STR(""));
    int fd = hand_accept(&w->hand);
    hand_hear(&w->hand, fd);
    w->calls[0].then_say = EVIL; /* lies in the kernel when the next call begins */
    w->calls[0].fd = fd;
    w->calls[0].then_go = 1;
    hand_say_all(fd, OK);
    UNTIL(w, w->calls[0].count == 1);
    int other = hand_accept(&w->hand);
    assert_non_null(strstr(hand_hear(&w->hand, other), "POST /1 "));
    hand_say_all(other, OK);
    UNTIL(w, w->calls[1].count == 1);
    assert_int_equal(w->calls[1].code, 0);
    assert_true(str_eq(buf_view(&w->calls[1].body), STR("ok")));
    assert_true(is_over(fd));
    (void)close(fd);
    (void)close(other);
}

static void a_connection_that_has_ended_is_not_asked_again(void **state)
{
    struct world *w = *state;
    go(w, 0, HTTP_GET, STR(""));
    w->calls[0].fd = hand_accept(&w->hand);
    w->calls[0].then_close = true;
    w->calls[0].then_go = 1;
    hand_hear(&w->hand, w->calls[0].fd);
    hand_say_all(w->calls[0].fd, OK);
    UNTIL(w, w->calls[0].count == 1);
    int fd = hand_accept(&w->hand);
    hand_hear(&w->hand, fd);
    hand_say_all(fd, OK);
    UNTIL(w, w->calls[1].count == 1);
    assert_int_equal(w->calls[1].status, 200);
    (void)close(fd);
}

/* All at once, and before the client could see that they are gone. */
static void calls_outlive_the_restart_of_a_server_with_all_its_connections(void **state)
{
    enum { MANY = 64 };
    struct world *w = *state;
    int fds[MANY];
    for (size_t i = 0; i < MANY; i++)
        go(w, i, HTTP_GET, STR(""));
    for (size_t i = 0; i < MANY; i++)
        fds[i] = hand_accept(&w->hand);
    for (size_t i = 0; i < MANY; i++) {
        hand_hear(&w->hand, fds[i]);
        hand_say_all(fds[i], OK);
    }
    for (size_t i = 0; i < MANY; i++)
        UNTIL(w, w->calls[i].count == 1);
    for (size_t i = 0; i < MANY / 2; i++)
        (void)close(fds[i]);
    for (size_t i = 0; i < MANY; i++)
        go(w, i, HTTP_POST, STR("abc"));
    for (size_t i = MANY / 2; i < MANY; i++)
        reset(fds[i]); /* with the request in its hands */
    for (size_t i = 0; i < MANY; i++)
        fds[i] = hand_accept(&w->hand);
    for (size_t i = 0; i < MANY; i++) {
        hand_hear(&w->hand, fds[i]);
        hand_say_all(fds[i], OK);
    }
    for (size_t i = 0; i < MANY; i++) {
        UNTIL(w, w->calls[i].count == 1);
        assert_int_equal(w->calls[i].code, 0);
        (void)close(fds[i]);
    }
    for (int i = 0; i < 3; i++)
        loop_turn(w->loop, 5);
    assert_false(is_readable(w->hand.listener));
}

static void a_body_where_there_must_be_none_is_nobodys_answer(void **state)
{
    static const struct {
        enum http_method method;
        const char *head, *body;
        bool over; /* the head alone says that the connection cannot be used again */
    } cases[] = {
        {HTTP_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n", EVIL, false},
        {HTTP_GET, "HTTP/1.1 204 No\r\nContent-Length: 42\r\n\r\n", EVIL, true},
        {HTTP_GET, "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n0\r\n\r\n",
         true},
        {HTTP_GET, "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", EVIL, false},
        {HTTP_GET, "HTTP/1.1 304 No\r\nContent-Length: 42\r\n\r\n", EVIL, false},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int together = 0; together < 2; together++) {
            go(w, 0, cases[i].method, STR(""));
            int fd = hand_accept(&w->hand);
            hand_hear(&w->hand, fd);
            hand_say_all(fd, cases[i].head);
            if (together)
                hand_say_all(fd, cases[i].body);
            UNTIL(w, w->calls[0].count == 1);
            assert_int_equal(w->calls[0].code, 0);
            assert_int_equal(w->calls[0].body.size, 0);
            for (int k = 0; k < 3; k++)
                loop_turn(w->loop, 1);
            assert_int_equal(is_over(fd), cases[i].over || together);
            if (!together && !cases[i].over)
                hand_say_all(fd, cases[i].body);
            go(w, 1, HTTP_GET, STR(""));
            int other = hand_accept(&w->hand);
            hand_hear(&w->hand, other);
            hand_say_all(other,
                         "HTTP/1.1 201 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            UNTIL(w, w->calls[1].count == 1);
            assert_int_equal(w->calls[1].status, 201);
            (void)close(fd);
            (void)close(other);
        }
    }
}

/* Nothing of it stalls a call that has no deadline, on a fresh connection and on a kept one. */
static void an_answer_may_be_cut_anywhere_in_each_way(void **state)
{
    static const char *const answers[] = {
        OK, "HTTP/1.1 103 Soon\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n"};
    enum { CLOSED, HALF, RESET, WAYS };
    struct world *w = *state;
    for (size_t a = 0; a < sizeof answers / sizeof *answers; a++) {
        size_t size = strlen(answers[a]);
        for (size_t i = 0; i < size * WAYS; i++) {
            size_t part = i / WAYS, way = i % WAYS;
            bool kept = i % 2 == 1;
            int fd = kept ? keep_one(w, 0) : -1;
            go(w, 1, HTTP_POST, STR("abc"));
            fd = kept ? fd : hand_accept(&w->hand);
            hand_hear(&w->hand, fd);
            hand_say(fd, answers[a], part);
            if (way == RESET) /* else it overtakes the bytes */
                loop_turn(w->loop, 1);
            if (way == HALF)
                assert_int_equal(shutdown(fd, SHUT_WR), 0);
            else if (way == RESET)
                reset(fd);
            else
                (void)close(fd);
            if (kept && part == 0) { /* once more */
                int other = hand_accept(&w->hand);
                hand_hear(&w->hand, other);
                (void)close(other);
            }
            UNTIL(w, w->calls[1].count == 1);
            bool to_the_end = a == 1 && part >= size - 2 && way != RESET;
            if (w->calls[1].code != (to_the_end ? 0 : ERR_CLOSED))
                fail_msg("answer %zu cut at %zu, way %zu: %d %s", a, part, way, w->calls[1].code,
                         w->calls[1].message);
            assert_int_equal(http_client_inflight(w->client), 0);
            if (way == HALF) {
                UNTIL(w, is_over(fd));
                (void)close(fd);
            }
        }
    }
    assert_false(is_readable(w->hand.listener));
}

static void connections_that_nobody_uses_are_closed(void **state)
{
    struct world *w = *state;
    open_client(w, (struct http_client_config){.idle_ms = 200});
    int fds[2];
    go(w, 0, HTTP_GET, STR(""));
    go(w, 1, HTTP_GET, STR(""));
    for (size_t i = 0; i < 2; i++) {
        fds[i] = hand_accept(&w->hand);
        hand_hear(&w->hand, fds[i]);
    }
    mono_ms began = clock_mono_ms();
    hand_say_all(fds[0], OK);
    UNTIL(w, w->calls[0].count + w->calls[1].count == 1);
    UNTIL(w, is_over(fds[0]));
    assert_in_range(clock_mono_ms() - began, 195, 5000);
    assert_false(is_over(fds[1])); /* a call without a deadline */
    began = clock_mono_ms();
    hand_say_all(fds[1], OK);
    UNTIL(w, w->calls[0].count + w->calls[1].count == 2);
    UNTIL(w, is_over(fds[1]));
    assert_in_range(clock_mono_ms() - began, 195, 5000);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void calls_that_wait_for_a_server_that_takes_nobody_all_end(void **state)
{
    struct world *w = *state;
    struct hand full = hand_open(w->loop);
    int fill[4];
    assert_int_equal(listen(full.listener, 0), 0);
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(full.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&in, sizeof in);
    }
    open_client(w, (struct http_client_config){.connections_per_host = 2, .connect_ms = 50});
    uint16_t good = w->hand.port;
    w->hand.port = full.port;
    for (size_t i = 0; i < 7; i++)
        go(w, i, HTTP_GET, STR(""));
    for (size_t i = 0; i < 7; i++) {
        UNTIL(w, w->calls[i].count == 1);
        assert_int_equal(w->calls[i].code, ERR_TIMEOUT);
    }
    assert_int_equal(http_client_inflight(w->client), 0);
    w->hand.port = good;
    for (size_t i = 0; i < 4; i++)
        (void)close(fill[i]);
    (void)close(full.listener);
}

/* --- callers -------------------------------------------------------------------------------- */

struct stubborn {
    struct http_client *client;
    struct http_ask ask;
    struct http_way way;
    struct addr nowhere;
    unsigned calls;
};

static void ask_again(void *arg, const struct http_result *r)
{
    struct stubborn *s = arg;
    assert_int_equal(r->code, ERR_REFUSED);
    if (++s->calls < 1000)
        assert_int_equal(http_call_start(s->client, &s->ask, NULL, NULL), 0);
}

static void who_asks_again_at_once_does_not_stop_the_loop(void **state)
{
    struct world *w = *state;
    struct stubborn s = {.client = w->client,
                         .nowhere = {.ip = {255, 255, 255, 255}, .port = 1, .family = 4}};
    s.way.connect_to = &s.nowhere;
    s.ask = (struct http_ask){.method = HTTP_GET, .url = "http://127.0.0.1/", .way = &s.way,
                              .deadline = MONO_NEVER, .done = ask_again, .arg = &s};
    assert_int_equal(http_call_start(w->client, &s.ask, NULL, NULL), 0);
    while (s.calls == 0)
        loop_turn(w->loop, 20);
    assert_in_range(s.calls, 1, 900);
    while (s.calls < 1000)
        loop_turn(w->loop, 20);
}

static void a_call_that_runs_out_of_memory_at_any_moment_ends_once(void **state)
{
    struct world *w = *state;
    for (uint64_t n = 1;; n++) {
        open_client(w, (struct http_client_config){0});
        char url[64];
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", w->hand.port);
        struct call *call = &w->calls[0];
        call->count = 0;
        const struct http_ask post = {.method = HTTP_POST, .url = url, .body = STR("abc"),
                                      .deadline = MONO_NEVER, .done = on_done, .arg = call};
        mem_fail_at(n);
        int rc = http_call_start(w->client, &post, NULL, NULL), fd = -1;
        mono_ms limit = clock_mono_ms() + 10000;
        bool said = false;
        while (rc == 0 && call->count == 0 && clock_mono_ms() < limit) {
            loop_turn(w->loop, 5);
            if (fd < 0 && is_readable(w->hand.listener))
                fd = accept4(w->hand.listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0 && !said && is_readable(fd)) {
                hand_say_all(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "2\r\nok\r\n0\r\n\r\n");
                said = true;
            }
        }
        bool over = mem_fail_pending();
        mem_fail_at(0);
        assert_int_equal(call->count, rc == 0);
        assert_int_equal(http_client_inflight(w->client), 0);
        if (!over)
            assert_int_equal(rc != 0 ? rc : call->code, ERR_NOMEM);
        if (fd >= 0)
            (void)close(fd);
        while (is_readable(w->hand.listener))
            (void)close(accept4(w->hand.listener, NULL, NULL, SOCK_CLOEXEC));
        if (over)
            break;
        assert_true(n < 100);
    }
}

/* --- a storm -------------------------------------------------------------------------------- */

enum { STORM_CALLS = 100, STORM_BODY = 1 << 20 };

struct storm {
    struct world *w;
    struct rng rng;
    unsigned started, ended, conns;
    uint16_t port;
    struct storm_call {
        struct storm *s;
        struct http_call *call; /* NULL: not under way */
        char *body;
        mono_ms deadline;
    } calls[STORM_CALLS];
};

static void storm_end(struct tcp_conn *c, int code, void *arg)
{
    (void)c;
    (void)code;
    ((struct storm *)arg)->conns--;
}

static void storm_read(struct tcp_conn *c, struct str bytes, void *arg)
{
    static const char *const says[] = {
        OK,
        OK,
        OK,
        OK OK,
        "HTTP/1.1 200 OK\r\n\r\nto the end",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 307 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc",
        "what?",
        "",
    };
    struct storm *s = arg;
    (void)bytes;
    const char *text = says[rng_below(&s->rng, sizeof says / sizeof *says)];
    if (text[0] != '\0')
        (void)tcp_write(c, str_c(text), NULL, NULL);
    switch (rng_below(&s->rng, 12)) {
    case 0: tcp_close(c); break;
    case 1: tcp_close_after_writes(c); break;
    case 2: tcp_finish(c); break;
    default: break;
    }
}

static const struct tcp_events storm_events = {.on_read = storm_read, .on_end = storm_end};

static void storm_accept(void *arg, struct tcp_conn *c)
{
    struct storm *s = arg;
    if (rng_below(&s->rng, 10) == 0)
        return; /* closed */
    s->conns++;
    tcp_set_user(c, &storm_events, s);
    if (rng_below(&s->rng, 10) == 0)
        (void)tcp_write(c, STR(OK), NULL, NULL); /* before it is asked */
}

static void storm_over(struct storm_call *call)
{
    call->s->ended++;
    call->call = NULL;
    if (call->body != NULL)
        memset(call->body, 'x', STORM_BODY);
    mem_free(call->body);
    call->body = NULL;
}

static void storm_cancel(struct storm *s)
{
    struct storm_call *any = &s->calls[rng_below(&s->rng, s->started)];
    if (any->call == NULL)
        return;
    http_call_cancel(any->call);
    storm_over(any);
}

static void storm_start(struct storm *s);

static void storm_done(void *arg, const struct http_result *r)
{
    struct storm_call *call = arg;
    assert_non_null(call->call);
    assert_true(r->code != 0 || r->status >= 200);
    assert_true(r->code == 0 || r->message[0] != '\0');
    storm_over(call);
    if (rng_below(&call->s->rng, 8) == 0)
        storm_cancel(call->s);
    if (rng_below(&call->s->rng, 2) == 0)
        storm_start(call->s);
}

static void storm_start(struct storm *s)
{
    static const struct http_way follow = {.redirects_max = 1};
    char url[64];
    if (s->started == STORM_CALLS)
        return;
    struct storm_call *call = &s->calls[s->started];
    *call = (struct storm_call){.s = s};
    call->deadline = clock_mono_ms() + 20 + (mono_ms)rng_below(&s->rng, 200);
    if (rng_below(&s->rng, 6) == 0)
        assert_non_null(call->body = mem_zalloc(STORM_BODY));
    (void)snprintf(url, sizeof url, "http://%s:%u/", rng_below(&s->rng, 4) == 0 ? "localhost"
                                                                                : "127.0.0.1",
                   s->port);
    const struct http_ask ask = {
        .method = rng_below(&s->rng, 8) == 0 ? HTTP_HEAD : HTTP_POST,
        .url = url,
        .body = call->body != NULL ? str_of(call->body, STORM_BODY) : STR("abc"),
        .deadline = call->deadline,
        .way = rng_below(&s->rng, 3) == 0 ? &follow : NULL,
        .done = storm_done,
        .arg = call};
    s->started++;
    int rc = http_call_start(s->w->client, &ask, &call->call, NULL);
    if (rc == ERR_TIMEOUT) /* this machine stood still */
        storm_over(call);
    else
        assert_int_equal(rc, 0);
}

static void each_call_of_a_storm_ends_once_and_in_time(void **state)
{
    struct world *w = *state;
    struct addr any = {.ip = {127, 0, 0, 1}, .family = 4}, bound;
    struct storm *s = mem_zalloc(sizeof *s);
    struct tcp_listener *listener;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        *s = (struct storm){.w = w};
        rng_seed(&s->rng, seed);
        open_client(w, (struct http_client_config){
            .connections_per_host = 4, .idle_max = 5, .idle_ms = 20});
        assert_int_equal(tcp_listen(&listener, w->loop, &any, 100, storm_accept, s, &bound, NULL),
                         0);
        s->port = bound.port;
        mono_ms due = clock_mono_ms() + 90000;
        while ((s->started < STORM_CALLS || s->ended < STORM_CALLS) && clock_mono_ms() < due) {
            if (s->started - s->ended < 30)
                storm_start(s);
            if (rng_below(&s->rng, 10) == 0 && s->started > 0)
                storm_cancel(s);
            loop_turn(w->loop, 1);
        }
        assert_int_equal(s->ended, STORM_CALLS);
        assert_int_equal(http_client_inflight(w->client), 0);
        http_client_free(&w->client);
        UNTIL(w, s->conns == 0); /* no connection is left */
        tcp_listener_close(&listener);
        loop_turn(w->loop, 1);
    }
    mem_free(s);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every process of ours does */
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(an_answer_up_to_the_end_of_the_stream_is_cut_by_a_reset),
        T(what_came_before_a_request_is_not_its_answer),
        T(a_connection_that_has_ended_is_not_asked_again),
        T(calls_outlive_the_restart_of_a_server_with_all_its_connections),
        T(a_body_where_there_must_be_none_is_nobodys_answer),
        T(an_answer_may_be_cut_anywhere_in_each_way),
        T(connections_that_nobody_uses_are_closed),
        T(calls_that_wait_for_a_server_that_takes_nobody_all_end),
        T(who_asks_again_at_once_does_not_stop_the_loop),
        T(a_call_that_runs_out_of_memory_at_any_moment_ends_once),
        T(each_call_of_a_storm_ends_once_and_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
