/* Bytes arrive, deadlines end connections, and every connection ends exactly once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/tcp.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "until.h"

struct side {
    struct tcp_conn *conn;
    struct buf got;
    bool connected, eof;
    int ends, code;
    bool echo;              /* send back what comes */
    bool close_on_read;     /* answer "bye" and close after it */
    bool refuse;            /* do not take the connection */
    mono_ms deadline;       /* for accepted ones; 0: none */
};

struct world {
    struct loop *loop;
    struct tcp_listener *listener;
    struct addr addr;
    struct side server, client;
};

static void on_connected(struct tcp_conn *c, void *arg)
{
    struct side *s = arg;
    (void)c;
    s->connected = true;
}

static void on_read(struct tcp_conn *c, struct str bytes, void *arg)
{
    struct side *s = arg;
    buf_str(&s->got, bytes);
    if (s->echo)
        assert_int_equal(tcp_write(c, bytes, NULL, NULL), 0);
    if (s->close_on_read) {
        assert_int_equal(tcp_write(c, STR("bye"), NULL, NULL), 0);
        tcp_close_after_writes(c);
    }
}

static void on_eof(struct tcp_conn *c, void *arg)
{
    struct side *s = arg;
    s->eof = true;
    tcp_close_after_writes(c);
}

static void on_end(struct tcp_conn *c, int code, void *arg)
{
    struct side *s = arg;
    (void)c;
    s->conn = NULL;
    s->ends++;
    s->code = code;
}

static const struct tcp_events events = {on_connected, on_read, on_eof, on_end};
static const struct tcp_events events_no_eof = {on_connected, on_read, NULL, on_end};

static void on_accept(void *arg, struct tcp_conn *c)
{
    struct world *w = arg;
    if (w->server.refuse)
        return;
    w->server.conn = c;
    tcp_set_user(c, &events, &w->server);
    if (w->server.deadline != 0)
        tcp_set_deadline(c, w->server.deadline);
}

static int set_up(void **state)
{
    struct world *w = mem_zalloc(sizeof *w);
    struct addr any = {.ip = {127, 0, 0, 1}, .family = 4};
    assert_int_equal(loop_init(&w->loop, "test", NULL), 0);
    assert_int_equal(
        tcp_listen(&w->listener, w->loop, &any, 2, on_accept, w, &w->addr, NULL), 0);
    assert_int_not_equal(w->addr.port, 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    tcp_listener_close(&w->listener);
    if (w->client.conn != NULL)
        tcp_close(w->client.conn);
    if (w->server.conn != NULL)
        tcp_close(w->server.conn);
    loop_free(&w->loop);
    assert_true(w->client.ends <= 1);
    buf_reset(&w->server.got);
    buf_reset(&w->client.got);
    mem_free(w);
    return 0;
}

static void call(struct world *w)
{
    assert_int_equal(
        tcp_connect(&w->client.conn, w->loop, &w->addr, 5000, &events, &w->client), 0);
}

static void bytes_go_both_ways_also_those_written_before_the_connection_stands(void **state)
{
    struct world *w = *state;
    w->server.echo = true;
    call(w);
    assert_int_equal(tcp_write(w->client.conn, STR("hello"), NULL, NULL), 0);
    UNTIL(w, w->client.got.size == 5);
    assert_memory_equal(w->client.got.data, "hello", 5);
    assert_true(w->client.connected);
    struct addr peer = tcp_peer(w->server.conn), local = tcp_local(w->client.conn);
    assert_true(addr_eq(&peer, &local));
    assert_int_equal(tcp_listener_conns(w->listener), 1);
    tcp_finish(w->client.conn);
    assert_int_equal(tcp_write(w->client.conn, STR("x"), NULL, NULL), ERR_CLOSED);
    UNTIL(w, w->server.ends == 1 && w->client.ends == 1);
    assert_true(w->server.eof);
    assert_int_equal(w->server.code, 0);
    assert_int_equal(w->client.code, 0);
    assert_int_equal(tcp_listener_conns(w->listener), 0);
}

struct big {
    int done, code;
};

static void on_big(void *arg, int code)
{
    struct big *b = arg;
    b->done++;
    b->code = code;
}

static void a_large_write_completes_once_and_whole(void **state)
{
    struct world *w = *state;
    struct big b = {0};
    size_t size = 8u << 20;
    char *bytes = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 31 >> 7);
    call(w);
    assert_int_equal(tcp_write(w->client.conn, str_of(bytes, size), on_big, &b), 0);
    assert_int_equal(tcp_unsent(w->client.conn), size);
    UNTIL(w, w->server.got.size == size && b.done == 1);
    assert_int_equal(b.code, 0);
    assert_memory_equal(w->server.got.data, bytes, size);
    assert_int_equal(tcp_unsent(w->client.conn), 0);
    mem_free(bytes);
}

static void an_answer_before_closing_is_not_lost_to_bytes_that_still_come(void **state)
{
    struct world *w = *state;
    static char junk[1 << 20];
    w->server.close_on_read = true;
    call(w);
    assert_int_equal(tcp_write(w->client.conn, str_of(junk, sizeof junk), NULL, NULL), 0);
    UNTIL(w, w->client.ends == 1 && w->server.ends == 1);
    assert_int_equal(w->client.got.size, 3);
    assert_true(w->client.eof);
    assert_int_equal(w->server.code, 0);
}

static void a_write_cut_by_close_says_so_before_the_end(void **state)
{
    struct world *w = *state;
    struct big b = {0};
    static char junk[16 << 20];
    call(w);
    UNTIL(w, w->client.connected && w->server.conn != NULL);
    assert_int_equal(tcp_write(w->client.conn, str_of(junk, sizeof junk), on_big, &b), 0);
    tcp_close(w->client.conn);
    assert_int_equal(w->client.ends, 0); /* never from inside the call */
    UNTIL(w, w->client.ends == 1);
    assert_int_equal(b.done, 1);
    assert_int_equal(b.code, ERR_CANCELED);
    assert_int_equal(w->client.code, 0);
}

static void a_deadline_ends_a_connection_that_is_silent(void **state)
{
    struct world *w = *state;
    w->server.deadline = clock_mono_ms() + 100;
    mono_ms began = clock_mono_ms();
    call(w);
    UNTIL(w, w->server.ends == 1);
    assert_int_equal(w->server.code, ERR_TIMEOUT);
    assert_true(clock_mono_ms() - began >= 90);
    UNTIL(w, w->client.ends == 1);
}

static void connections_over_the_limit_and_those_nobody_takes_are_closed(void **state)
{
    struct world *w = *state;
    struct side more[3] = {{0}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(tcp_connect(&more[i].conn, w->loop, &w->addr, 5000, &events_no_eof,
                                     &more[i]), 0);
    UNTIL(w, more[0].ends + more[1].ends + more[2].ends == 1 &&
                 tcp_listener_rejected(w->listener) == 1);
    w->server.refuse = true;
    for (int i = 0; i < 3; i++) {
        if (more[i].conn != NULL)
            tcp_close(more[i].conn);
    }
    UNTIL(w, more[0].ends + more[1].ends + more[2].ends == 3);
    UNTIL(w, tcp_listener_conns(w->listener) == 0);
    call(w);
    UNTIL(w, w->client.ends == 1);
    assert_int_equal(w->client.code, 0);
    w->server.conn = NULL; /* its last one ended with the others */
}

static void nobody_listening_is_refused_and_a_silent_host_times_out(void **state)
{
    struct world *w = *state;
    tcp_listener_close(&w->listener);
    loop_turn(w->loop, 0);
    call(w);
    UNTIL(w, w->client.ends == 1);
    assert_int_equal(w->client.code, ERR_REFUSED);
    assert_false(w->client.connected);
    /* 192.0.2.0/24 is for documentation: nothing answers, or the network says so at once. */
    struct addr nowhere = {.ip = {192, 0, 2, 1}, .port = 9, .family = 4};
    struct side s = {0};
    int rc = tcp_connect(&s.conn, w->loop, &nowhere, 100, &events, &s);
    if (rc == 0) {
        UNTIL(w, s.ends == 1);
        assert_true(s.code == ERR_TIMEOUT || s.code == ERR_IO || s.code == ERR_REFUSED);
    }
}

static void a_taken_port_is_said_by_name(void **state)
{
    struct world *w = *state;
    struct tcp_listener *second = NULL;
    struct err err = {0};
    assert_int_equal(tcp_listen(&second, w->loop, &w->addr, 1, on_accept, w, NULL, &err),
                     ERR_EXIST);
    assert_non_null(strstr(err.msg, "127.0.0.1"));
    assert_null(second);
}

static void version_six_works_where_the_host_has_it(void **state)
{
    struct world *w = *state;
    struct addr six = {.ip = {[15] = 1}, .family = 6}, bound;
    struct tcp_listener *l6 = NULL;
    int rc = tcp_listen(&l6, w->loop, &six, 2, on_accept, w, &bound, NULL);
    if (rc == ERR_INVAL)
        skip(); /* no ::1 here */
    assert_int_equal(rc, 0);
    w->server.echo = true;
    assert_int_equal(tcp_connect(&w->client.conn, w->loop, &bound, 5000, &events, &w->client), 0);
    assert_int_equal(tcp_write(w->client.conn, STR("six"), NULL, NULL), 0);
    UNTIL(w, w->client.got.size == 3);
    tcp_listener_close(&l6);
}

static void no_memory_is_an_error_and_nothing_is_called_back(void **state)
{
    struct world *w = *state;
    struct side s = {0};
    struct tcp_listener *l = NULL;
    mem_fail_at(1);
    assert_int_equal(tcp_connect(&s.conn, w->loop, &w->addr, 100, &events, &s), ERR_NOMEM);
    mem_fail_at(1);
    assert_int_equal(tcp_listen(&l, w->loop, &w->addr, 1, on_accept, w, NULL, NULL), ERR_NOMEM);
    call(w);
    mem_fail_at(1);
    assert_int_equal(tcp_write(w->client.conn, STR("x"), NULL, NULL), ERR_NOMEM);
    mem_fail_at(0);
    assert_null(s.conn);
    assert_null(l);
    assert_int_equal(s.ends, 0);
}

static void who_finds_no_memory_is_turned_away_and_the_next_one_is_not(void **state)
{
    struct world *w = *state;
    for (unsigned i = 1; i <= 3; i++) {
        w->client.ends = 0;
        call(w);
        mem_fail_at(1);
        UNTIL(w, w->client.ends == 1);
        assert_int_equal(mem_fail_pending(), 0);
        mem_fail_at(0);
        assert_int_equal(tcp_listener_rejected(w->listener), i);
        assert_null(w->server.conn);
    }
    w->client.ends = 0;
    call(w);
    UNTIL(w, w->server.conn != NULL);
    assert_int_equal(tcp_listener_conns(w->listener), 1);
}

static void what_the_kernel_takes_at_once_is_sent_and_the_rest_is_told(void **state)
{
    struct world *w = *state;
    static char big[32 << 20];
    const struct str parts[] = {STR("head,"), STR(""), STR("body")};
    const struct str much[] = {STR("more"), str_of(big, sizeof big)};
    call(w);
    assert_int_equal(tcp_write_now(w->client.conn, parts, 3), 0); /* it does not stand yet */
    UNTIL(w, w->client.connected && w->server.conn != NULL);
    assert_int_equal(tcp_write_now(w->client.conn, parts, 3), 9);
    assert_int_equal(tcp_unsent(w->client.conn), 0);
    UNTIL(w, w->server.got.size == 9);
    assert_memory_equal(w->server.got.data, "head,body", 9);
    size_t n = tcp_write_now(w->client.conn, much, 2);
    assert_in_range(n, 4, sizeof big);
    struct str rest = str_skip(much[1], n - 4);
    assert_int_equal(tcp_write(w->client.conn, rest, NULL, NULL), 0);
    assert_int_equal(tcp_write_now(w->client.conn, parts, 3), 0); /* others wait before it */
    UNTIL(w, w->server.got.size == 9 + 4 + sizeof big);
    tcp_finish(w->client.conn);
    assert_int_equal(tcp_write_now(w->client.conn, parts, 3), 0);
}

/* Whoever refuses a request early and goes is still heard. */
static void what_a_peer_said_before_it_reset_the_connection_is_read(void **state)
{
    struct world *w = *state;
    call(w);
    UNTIL(w, w->client.connected && w->server.conn != NULL);
    const struct str bytes[] = {STR("request")};
    assert_true(tcp_is_quiet(w->server.conn));
    assert_int_equal(tcp_write_now(w->client.conn, bytes, 1), 7);
    assert_false(tcp_is_quiet(w->server.conn));
    UNTIL(w, w->server.got.size == 7);
    assert_int_equal(tcp_write_now(w->client.conn, bytes, 1), 7); /* unread: a reset follows */
    const struct str no[] = {STR("no")};
    assert_int_equal(tcp_write_now(w->server.conn, no, 1), 2);
    tcp_close(w->server.conn);
    assert_int_equal(tcp_write_now(w->client.conn, bytes, 1), 0);
    assert_int_equal(tcp_write(w->client.conn, STR("rest"), NULL, NULL), 0);
    assert_int_equal(w->client.got.size, 0);
    UNTIL(w, w->client.ends == 1);
    assert_int_equal(w->client.code, ERR_CLOSED);
    assert_int_equal(w->client.got.size, 2);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every process of ours does */
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(bytes_go_both_ways_also_those_written_before_the_connection_stands),
        T(a_large_write_completes_once_and_whole),
        T(an_answer_before_closing_is_not_lost_to_bytes_that_still_come),
        T(a_write_cut_by_close_says_so_before_the_end),
        T(a_deadline_ends_a_connection_that_is_silent),
        T(connections_over_the_limit_and_those_nobody_takes_are_closed),
        T(nobody_listening_is_refused_and_a_silent_host_times_out),
        T(a_taken_port_is_said_by_name),
        T(version_six_works_where_the_host_has_it),
        T(no_memory_is_an_error_and_nothing_is_called_back),
        T(who_finds_no_memory_is_turned_away_and_the_next_one_is_not),
        T(what_the_kernel_takes_at_once_is_sent_and_the_rest_is_told),
        T(what_a_peer_said_before_it_reset_the_connection_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
