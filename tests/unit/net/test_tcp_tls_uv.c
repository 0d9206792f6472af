/* TLS under TCP connections: the same promises as without, on the pool and on the loop. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/tcp.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../lib/certs.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/pool.h"
#include "until.h"

struct side {
    struct tcp_conn *conn;
    struct buf got;
    bool connected, eof, echo, up;
    int ends, code, done, done_code;
    char error[256];
};

struct world {
    struct loop *loop;
    struct pool *pool;
    struct tcp_listener *listener;
    struct addr addr;
    struct tcp_tls client_tls, server_tls;
    struct side server, client;
    bool plain_server;
};

static char dir[] = "/tmp/emberring-tcptls-XXXXXX";
static char ca_path[64], cert_path[64], key_path[64], other_path[64];

static void on_done(void *arg, int code)
{
    struct side *s = arg;
    s->done++;
    s->done_code = code;
}

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
    s->conn = NULL;
    s->ends++;
    s->code = code;
    s->up = tcp_tls_is_up(c);
    (void)snprintf(s->error, sizeof s->error, "%s", tcp_tls_error(c));
}

static const struct tcp_events events = {on_connected, on_read, on_eof, on_end};

static struct world *world_of(struct side *server)
{
    return (struct world *)(void *)((char *)server - offsetof(struct world, server));
}

/* The first bytes: TLS begins with them. */
static void on_first(struct tcp_conn *c, struct str bytes, void *arg)
{
    struct side *s = arg;
    struct world *w = world_of(s);
    tcp_set_user(c, &events, s);
    assert_int_equal(tcp_start_tls(c, &w->server_tls, TLS_SERVER, STR(""), bytes), 0);
}

static const struct tcp_events first_events = {NULL, on_first, NULL, on_end};

static void on_accept(void *arg, struct tcp_conn *c)
{
    struct world *w = arg;
    w->server.conn = c;
    tcp_set_user(c, w->plain_server ? &events : &first_events, &w->server);
}

static void make_tls(struct tls **out, const char *ca)
{
    struct tls_config config = {ca, cert_path, key_path, "", "", "", false, false};
    struct err err = {0};
    if (tls_init(out, &config, NULL, &err) != 0)
        fail_msg("%s", err.msg);
}

static int set_up(void **state, unsigned threads)
{
    struct world *w = mem_zalloc(sizeof *w);
    struct addr any = {.ip = {127, 0, 0, 1}, .family = 4};
    assert_int_equal(loop_init(&w->loop, "test", NULL), 0);
    if (threads > 0)
        assert_int_equal(pool_init(&w->pool, threads, 8, NULL), 0);
    assert_int_equal(
        tcp_listen(&w->listener, w->loop, &any, 9, on_accept, w, &w->addr, NULL), 0);
    make_tls(&w->client_tls.tls, ca_path);
    make_tls(&w->server_tls.tls, ca_path);
    w->client_tls.pool = w->server_tls.pool = w->pool;
    *state = w;
    return 0;
}

static int with_pool(void **state)
{
    return set_up(state, 2);
}

static int on_loop(void **state)
{
    return set_up(state, 0);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    tcp_listener_close(&w->listener);
    if (w->client.conn != NULL)
        tcp_close(w->client.conn);
    if (w->server.conn != NULL)
        tcp_close(w->server.conn);
    pool_free(&w->pool);
    loop_free(&w->loop);
    assert_true(w->client.ends <= 1 && w->server.ends <= 1);
    tls_free(&w->client_tls.tls);
    tls_free(&w->server_tls.tls);
    buf_reset(&w->server.got);
    buf_reset(&w->client.got);
    mem_free(w);
    return 0;
}

static void call(struct world *w, const char *host)
{
    assert_int_equal(
        tcp_connect(&w->client.conn, w->loop, &w->addr, 5000, &events, &w->client), 0);
    assert_int_equal(
        tcp_start_tls(w->client.conn, &w->client_tls, TLS_CLIENT, str_c(host), STR("")), 0);
}

static void renew(struct side *s)
{
    buf_reset(&s->got);
    *s = (struct side){.echo = s->echo};
}

static void bytes_go_both_ways_and_the_end_is_told(void **state)
{
    struct world *w = *state;
    static char big[3 << 20];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 31 >> 7);
    w->server.echo = true;
    call(w, "127.0.0.1");
    assert_int_equal(tcp_write(w->client.conn, STR("hello "), NULL, NULL), 0);
    assert_int_equal(
        tcp_write(w->client.conn, str_of(big, sizeof big), on_done, &w->client), 0);
    assert_int_equal(tcp_unsent(w->client.conn), sizeof big + 6);
    UNTIL(w, w->client.got.size == sizeof big + 6);
    assert_true(w->client.connected);
    assert_int_equal(w->client.done, 1);
    assert_int_equal(w->client.done_code, 0);
    assert_memory_equal(w->client.got.data, "hello ", 6);
    assert_memory_equal(w->client.got.data + 6, big, sizeof big);
    tcp_finish(w->client.conn);
    assert_int_equal(tcp_write(w->client.conn, STR("x"), NULL, NULL), ERR_CLOSED);
    UNTIL(w, w->server.ends == 1 && w->client.ends == 1);
    assert_true(w->server.eof && w->client.eof);
    assert_int_equal(w->server.code, 0);
    assert_int_equal(w->client.code, 0);
    assert_string_equal(w->client.error, "");
    assert_int_equal(w->server_tls.handshakes, 1);
}

/* As a packet of the gossip: connect, write, close, all before the connection stands. */
static void what_is_written_and_closed_at_once_arrives_whole(void **state)
{
    struct world *w = *state;
    for (uint64_t i = 0; i < 3; i++) {
        call(w, "127.0.0.1");
        assert_int_equal(tcp_write(w->client.conn, STR("packet"), on_done, &w->client), 0);
        tcp_close_after_writes(w->client.conn);
        UNTIL(w, w->server.ends == 1 && w->client.ends == 1);
        assert_int_equal(w->server.got.size, 6);
        assert_true(w->server.eof);
        assert_int_equal(w->client.code, 0);
        assert_int_equal(w->client.done, 1);
        assert_int_equal(w->client.done_code, 0);
        assert_int_equal(w->client_tls.resumed, i);
        assert_int_equal(w->server_tls.resumed, i);
        renew(&w->client);
        renew(&w->server);
    }
}

static void a_refused_peer_ends_both_sides_with_the_reason(void **state)
{
    struct world *w = *state;
    tls_free(&w->client_tls.tls);
    make_tls(&w->client_tls.tls, other_path);
    call(w, "127.0.0.1");
    assert_int_equal(tcp_write(w->client.conn, STR("secret"), on_done, &w->client), 0);
    UNTIL(w, w->server.ends == 1 && w->client.ends == 1);
    assert_int_equal(w->client.code, ERR_DENIED);
    assert_int_equal(w->server.code, ERR_DENIED);
    assert_non_null(strstr(w->client.error, "unknown authority"));
    assert_non_null(strstr(w->server.error, "the peer refused (alert 48)"));
    assert_false(w->client.connected);
    assert_int_equal(w->client.done, 1);
    assert_int_equal(w->client.done_code, ERR_CANCELED);
    assert_int_equal(w->server.got.size, 0);
    assert_int_equal(w->client_tls.failed, 1);
    assert_int_equal(w->server_tls.failed, 1);
}

static void a_name_that_is_not_in_the_certificate_is_refused(void **state)
{
    struct world *w = *state;
    call(w, "127.0.0.2");
    UNTIL(w, w->server.ends == 1 && w->client.ends == 1);
    assert_non_null(strstr(w->client.error, "not for \"127.0.0.2\""));
}

static void a_peer_that_speaks_plain_text_is_found_out(void **state)
{
    struct world *w = *state;
    w->plain_server = true;
    call(w, "127.0.0.1");
    UNTIL(w, w->server.got.size > 0);
    assert_int_equal(w->server.got.data[0], TLS_FIRST_BYTE);
    assert_int_equal(tcp_write(w->server.conn, STR("HTTP/1.1 400\r\n"), NULL, NULL), 0);
    UNTIL(w, w->client.ends == 1);
    assert_int_equal(w->client.code, ERR_DENIED);
    assert_non_null(strstr(w->client.error, "speaks HTTP"));
}

static void a_handshake_that_stops_half_way_ends_with_the_deadline_of_connecting(void **state)
{
    struct world *w = *state;
    w->plain_server = true;
    mono_ms began = clock_mono_ms();
    assert_int_equal(
        tcp_connect(&w->client.conn, w->loop, &w->addr, 200, &events, &w->client), 0);
    assert_int_equal(
        tcp_start_tls(w->client.conn, &w->client_tls, TLS_CLIENT, STR("127.0.0.1"), STR("")), 0);
    UNTIL(w, w->client.ends == 1);
    assert_int_equal(w->client.code, ERR_TIMEOUT);
    assert_true(clock_mono_ms() - began >= 190);
    assert_false(w->client.connected);
}

static void closing_while_the_pool_works_is_safe(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 20; i++) {
        call(w, "127.0.0.1");
        for (int k = 0; k < i % 7; k++)
            loop_turn(w->loop, 1);
        if (w->client.conn != NULL)
            tcp_close(w->client.conn);
        if (w->server.conn != NULL)
            tcp_close(w->server.conn);
        UNTIL(w, w->client.ends == 1 && tcp_listener_conns(w->listener) == 0);
        renew(&w->client);
        renew(&w->server);
        loop_turn(w->loop, 5); /* one that was accepted late */
        if (w->server.conn != NULL) {
            tcp_close(w->server.conn);
            UNTIL(w, w->server.ends == 1);
        }
        renew(&w->server);
    }
}

/* A socket that is connected to the server. */
static int raw(const struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(w->addr.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to), 0);
    return fd;
}

/* Keeps a thread of the pool busy until the gate is open. */
static void wait_at_gate(void *arg)
{
    assert_int_equal(sem_wait(arg), 0);
}

static void handshakes_that_wait_for_a_thread_end_with_their_connections(void **state)
{
    struct world *w = *state;
    struct pool_job jobs[2];
    sem_t gate;
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    for (int i = 0; i < 2; i++) {
        jobs[i] = (struct pool_job){.run = wait_at_gate, .arg = &gate};
        assert_int_equal(pool_submit(w->pool, &jobs[i]), 0);
    }
    UNTIL(w, pool_waiting(w->pool) == 0);
    int fd = raw(w);
    assert_int_equal(send(fd, "\x16\x03\x01\x00\x02no", 7, MSG_NOSIGNAL), 7);
    UNTIL(w, pool_waiting(w->pool) == 1);
    tcp_close(w->server.conn);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sem_post(&gate), 0);
    pool_stop(w->pool); /* what waits is done before */
    UNTIL(w, w->server.ends == 1 && w->server.code == 0);
    assert_string_equal(w->server.error, ""); /* nobody has looked at those bytes */
    close(fd);
    (void)sem_destroy(&gate);
}

static void an_end_that_was_not_told_is_not_taken_for_one(void **state)
{
    struct world *w = *state;
    call(w, "127.0.0.1");
    UNTIL(w, w->client.connected && w->server.conn != NULL);
    assert_int_equal(tcp_write(w->client.conn, STR("half"), NULL, NULL), 0);
    UNTIL(w, w->server.got.size == 4);
    tcp_close(w->client.conn); /* no close_notify */
    UNTIL(w, w->server.ends == 1);
    assert_false(w->server.eof);
    assert_true(w->server.up);
    assert_int_equal(w->server.code, ERR_DENIED);
    assert_non_null(strstr(w->server.error, "cut"));
}

/* The state of our end of a connection in /proc/net/tcp: which timer runs. */
static int timer_of(struct addr local, struct addr remote)
{
    char line[512], want[64];
    unsigned timer = 99, found = 99;
    FILE *f = fopen("/proc/net/tcp", "r");
    if (f == NULL)
        return -1;
    (void)snprintf(want, sizeof want, "0100007F:%04X 0100007F:%04X", local.port, remote.port);
    while (fgets(line, sizeof line, f) != NULL)
        if (strstr(line, want) != NULL &&
            sscanf(line, "%*s %*s %*s %*s %*[^ ] %x:", &timer) == 1)
            found = timer;
    (void)fclose(f);
    return (int)found;
}

static void the_kernel_looks_after_silent_peers_on_both_sides(void **state)
{
    enum { KEEPALIVE = 2 };
    struct world *w = *state;
    w->plain_server = true;
    call(w, "127.0.0.1");
    UNTIL(w, w->server.got.size > 0);
    struct addr near = tcp_local(w->server.conn), far = tcp_peer(w->server.conn);
    if (timer_of(near, far) == -1)
        skip();
    UNTIL(w, timer_of(near, far) == KEEPALIVE);
    UNTIL(w, timer_of(far, near) == KEEPALIVE);
}

static void no_memory_leaves_the_connection_plain(void **state)
{
    struct world *w = *state;
    assert_int_equal(
        tcp_connect(&w->client.conn, w->loop, &w->addr, 5000, &events, &w->client), 0);
    for (uint64_t n = 1; n < 3; n++) {
        mem_fail_at(n);
        assert_int_equal(tcp_start_tls(w->client.conn, &w->client_tls, TLS_CLIENT, STR("a"),
                                       STR("")), ERR_NOMEM);
        mem_fail_at(0);
        assert_false(tcp_tls_is_up(w->client.conn));
        assert_string_equal(tcp_tls_error(w->client.conn), "");
    }
}

static int set_up_group(void **state)
{
    struct rng rng;
    struct cert ca, other, own;
    (void)state;
    rng_seed(&rng, 3);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(ca_path, sizeof ca_path, "%s/ca.pem", dir);
    (void)snprintf(other_path, sizeof other_path, "%s/other.pem", dir);
    (void)snprintf(cert_path, sizeof cert_path, "%s/cert.pem", dir);
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", dir);
    cert_make_ca(&ca, "CN=ca", &rng);
    cert_make_ca(&other, "CN=other", &rng);
    cert_make(&own, &ca, &(struct cert_spec){.subject = "CN=n", .ip = "127.0.0.1"}, &rng);
    cert_write(ca_path, ca.cert);
    cert_write(other_path, other.cert);
    cert_write(cert_path, own.cert);
    cert_write(key_path, own.key);
    return 0;
}

static int tear_down_group(void **state)
{
    (void)state;
    (void)unlink(ca_path);
    (void)unlink(other_path);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    return rmdir(dir);
}

int main(void)
{
#define P(f) cmocka_unit_test_setup_teardown(f, with_pool, tear_down)
#define L(f) {#f "_on_the_loop", f, on_loop, tear_down, NULL}
    const struct CMUnitTest tests[] = {
        P(bytes_go_both_ways_and_the_end_is_told),
        L(bytes_go_both_ways_and_the_end_is_told),
        P(what_is_written_and_closed_at_once_arrives_whole),
        L(what_is_written_and_closed_at_once_arrives_whole),
        P(a_refused_peer_ends_both_sides_with_the_reason),
        L(a_refused_peer_ends_both_sides_with_the_reason),
        P(a_name_that_is_not_in_the_certificate_is_refused),
        P(a_peer_that_speaks_plain_text_is_found_out),
        P(a_handshake_that_stops_half_way_ends_with_the_deadline_of_connecting),
        P(closing_while_the_pool_works_is_safe),
        P(handshakes_that_wait_for_a_thread_end_with_their_connections),
        P(an_end_that_was_not_told_is_not_taken_for_one),
        P(the_kernel_looks_after_silent_peers_on_both_sides),
        P(no_memory_leaves_the_connection_plain),
    };
    return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
