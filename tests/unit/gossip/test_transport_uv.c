/* Packets and streams cross, plain and under TLS; and nobody who is slow, silent, many or foreign
 * keeps others from it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/transport_uv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../lib/certs.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/loop.h"
#include "net/tls.h"

enum { CONNS = 64, FLOOD = 400 };

static char dir[] = "/tmp/emberring-transport-XXXXXX";
static char ca_path[64], cert_path[64], key_path[64];
static struct loop *loop;

struct end {
    struct transport *t;
    struct gossip_addr addr;
    struct buf log;
    struct log logger;
    int packets, accepted, connected, ended, code;
    struct buf packet, bytes;
};

static void on_log(void *arg, enum log_level level, struct str line)
{
    struct end *e = arg;
    (void)level;
    buf_str(&e->log, line);
    buf_c(&e->log, "\n");
}

static int lines(struct end *e, const char *text)
{
    int n = 0;
    buf_u8(&e->log, 0);
    for (const char *p = (const char *)e->log.data; (p = strstr(p, text)) != NULL; p++)
        n++;
    e->log.size--;
    return n;
}

static void on_packet(void *arg, const struct gossip_addr *from, struct str bytes)
{
    struct end *e = arg;
    (void)from;
    e->packets++;
    buf_clear(&e->packet);
    buf_str(&e->packet, bytes);
}

static uint32_t on_accept(void *arg, const struct gossip_addr *from)
{
    struct end *e = arg;
    (void)from;
    return (uint32_t)(1000 + ++e->accepted);
}

static void on_connect(void *arg, uint32_t stream)
{
    struct end *e = arg;
    (void)stream;
    e->connected++;
}

/* What came on a stream of another's is sent back. */
static void on_bytes(void *arg, uint32_t stream, struct str bytes)
{
    struct end *e = arg;
    buf_str(&e->bytes, bytes);
    if (stream > 1000) {
        struct buf back = {0};
        buf_str(&back, bytes);
        transport_write(e->t, stream, &back);
    }
}

static void on_end(void *arg, uint32_t stream, int code)
{
    struct end *e = arg;
    e->ended++;
    e->code = code;
    transport_close(e->t, stream);
}

static const struct transport_events events = {on_packet, on_accept, on_connect, on_bytes, on_end};

static struct tls_config secure(void)
{
    return (struct tls_config){ca_path, cert_path, key_path, "", "", "", false, true};
}

static void start(struct end *e, const struct tls_config *tls)
{
    struct transport_config c = {.packet_dial_ms = 2000, .packet_write_ms = 5000,
                                 .stream_timeout_ms = 2000, .writers_max = 8,
                                 .writer_wait_ms = 250, .conns_max = CONNS, .first_ms = 2500,
                                 .packet_ms = 600, .tls = tls};
    struct err err = {0};
    *e = (struct end){.logger = {.sink = on_log, .arg = e, .level = LOG_INFO}};
    if (transport_init(&e->t, loop, &c, &events, e, &e->logger, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(gossip_addr_parse(&e->addr, STR("127.0.0.1"), 0), 0);
    assert_int_equal(transport_listen(e->t, &e->addr, &e->addr.port, NULL), 0);
    transport_set_self(e->t, &e->addr);
}

static void finish(struct end *e)
{
    transport_free(&e->t);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    buf_reset(&e->log);
    buf_reset(&e->packet);
    buf_reset(&e->bytes);
}

static int set_up(void **state)
{
    (void)state;
    return loop_init(&loop, "test", NULL);
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(&loop);
    return 0;
}

#define UNTIL(cond)                                                                           \
    do {                                                                                      \
        mono_ms limit = clock_mono_ms() + 10000;                                              \
        bool holds = false;                                                                   \
        while (!(holds = (cond)) && clock_mono_ms() < limit)                                  \
            loop_turn(loop, 5);                                                               \
        assert_true(holds);                                                                   \
    } while (0)

static void send_to(struct end *from, const struct gossip_addr *to, const char *text)
{
    struct buf bytes = {0};
    buf_c(&bytes, text);
    transport_send(from->t, to, &bytes);
}

static void open_to(struct end *from, const struct gossip_addr *to, uint32_t number,
                    const char *text)
{
    struct buf bytes = {0};
    buf_c(&bytes, text);
    transport_open(from->t, number, to, &bytes);
}

/* A raw client from another address of this host, which does not wait. -1 where 127/8 is not all
 * of this host. */
static int raw_from(const char *from, const struct gossip_addr *to)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, from, &a.sin_addr), 1);
    if (bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    a.sin_port = htons(to->port);
    assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &a.sin_addr), 1);
    (void)connect(fd, (const struct sockaddr *)(const void *)&a, sizeof a);
    return fd;
}

static bool is_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

static void cross(const struct tls_config *tls)
{
    struct end a, b;
    start(&a, tls);
    start(&b, tls);
    for (int i = 1; i <= 5; i++) {
        send_to(&a, &b.addr, "news");
        UNTIL(b.packets == i);
    }
    assert_memory_equal(b.packet.data, "news", 4);
    open_to(&a, &b.addr, 7, "state");
    UNTIL(a.bytes.size == 5);
    assert_memory_equal(a.bytes.data, "state", 5);
    assert_int_equal(a.connected, 1);
    transport_close(a.t, 7);
    UNTIL(b.ended == 1);
    assert_int_equal(b.code, 0);
    UNTIL(transport_stats(b.t)->connections == 0 && transport_unsent(a.t) == 0);
    const struct transport_stats *s = transport_stats(a.t), *r = transport_stats(b.t);
    assert_int_equal(s->packets_sent, 5);
    assert_int_equal(r->packets_received, 5);
    assert_int_equal(r->packets_received_errors + s->packets_sent_errors, 0);
    assert_int_equal(s->tls_handshakes, tls == NULL ? 0 : 6);
    assert_int_equal(r->tls_resumed, tls == NULL ? 0 : 5);
    assert_int_equal(a.log.size + b.log.size, 0);
    finish(&a);
    finish(&b);
}

static void packets_and_streams_cross_in_plain_text(void **state)
{
    (void)state;
    cross(NULL);
}

static void packets_and_streams_cross_under_tls_and_resume_it(void **state)
{
    struct tls_config tls = secure();
    (void)state;
    cross(&tls);
}

/* --- foreign ones ---------------------------------------------------------------------------- */

static void tls_and_plain_text_meet_with_one_line_on_either_side(void **state)
{
    struct tls_config tls = secure();
    struct end a, b;
    (void)state;
    start(&a, &tls);
    start(&b, NULL);
    for (int i = 0; i < 5; i++) {
        open_to(&a, &b.addr, (uint32_t)i + 1, "x");
        UNTIL(a.ended == i + 1);
    }
    assert_int_equal(lines(&a, "is TLS switched off there?"), 1);
    assert_int_equal(lines(&b, "TLS on a gossip port without"), 1);
    assert_int_equal(transport_stats(b.t)->plain_mismatches, 5);
    assert_int_equal(transport_stats(a.t)->tls_errors, 5);
    for (int i = 0; i < 5; i++)
        send_to(&b, &a.addr, "news");
    UNTIL(transport_stats(a.t)->plain_mismatches == 5);
    assert_int_equal(a.packets, 0);
    assert_int_equal(lines(&a, "plain gossip on a port with TLS"), 1);
    assert_int_equal(transport_stats(a.t)->unknown_connections, 5);
    finish(&a);
    finish(&b);
}

static void a_server_of_tls_that_answers_plain_text_with_an_alert_is_known(void **state)
{
    struct end a;
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0), peer;
    start(&a, NULL);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&at, size), 0);
    assert_int_equal(listen(fd, 9), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&at, &size), 0);
    struct gossip_addr to = a.addr;
    to.port = ntohs(at.sin_port);
    open_to(&a, &to, 5, "state");
    UNTIL(a.connected == 1);
    assert_true((peer = accept(fd, NULL, NULL)) >= 0);
    assert_int_equal(send(peer, "\x15\x03\x03\0\2\2\x0a", 7, MSG_NOSIGNAL), 7);
    UNTIL(lines(&a, "a peer speaks TLS and this member does not") == 1);
    assert_int_equal(transport_stats(a.t)->plain_mismatches, 1);
    close(peer);
    close(fd);
    finish(&a);
}

static void http_gets_its_answer_under_tls_too(void **state)
{
    struct tls_config tls = secure();
    struct end a;
    char answer[256] = "";
    (void)state;
    start(&a, &tls);
    int fd = raw_from("127.0.0.1", &a.addr);
    loop_turn(loop, 5);
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    UNTIL(recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT) > 0);
    assert_memory_equal(answer, "HTTP/1.1 400 ", 13);
    assert_int_equal(transport_stats(a.t)->http_connections, 1);
    close(fd);
    finish(&a);
}

/* --- hostile ones ---------------------------------------------------------------------------- */

/* `count` connections from one address that send `first` and then nothing; more than there are
 * places. Meanwhile real peers come through at once. */
static void flood(const struct tls_config *tls, const char *from, struct str first)
{
    static int fds[FLOOD];
    struct end a, b;
    start(&a, tls);
    start(&b, tls);
    for (int i = 0; i < FLOOD; i++) {
        fds[i] = raw_from(from, &a.addr);
        if (fds[i] < 0)
            skip();
        if (i % 20 == 19) {
            int packets = a.packets, got = (int)b.bytes.size;
            for (int k = i - 19; k <= i; k++)
                if (first.len > 0)
                    (void)send(fds[k], first.data, first.len, MSG_NOSIGNAL);
            mono_ms began = clock_mono_ms();
            send_to(&b, &a.addr, "alive");
            open_to(&b, &a.addr, (uint32_t)i, "state");
            UNTIL(a.packets == packets + 1 && (int)b.bytes.size == got + 5);
            transport_close(b.t, (uint32_t)i);
            assert_true(clock_mono_ms() - began < 5000);
        }
        assert_true(transport_stats(a.t)->connections <= CONNS + 1);
    }
    const struct transport_stats *s = transport_stats(a.t);
    assert_true(s->connections_refused >= FLOOD - CONNS - 40);
    assert_true(s->connections_refused <= FLOOD);
    assert_in_range(lines(&a, "level=warn"), 1, 2);
    assert_int_equal(transport_stats(b.t)->packets_sent_errors, 0);
    assert_int_equal(transport_stats(b.t)->outgoing_stream_errors, 0);
    for (int i = 0; i < FLOOD; i++)
        close(fds[i]);
    finish(&a);
    finish(&b);
}

static void hundreds_of_silent_connections_do_not_keep_real_peers_out(void **state)
{
    (void)state;
    flood(NULL, "127.0.0.9", STR(""));
}

static void not_even_from_the_same_address(void **state)
{
    (void)state;
    flood(NULL, "127.0.0.1", STR(""));
}

static void nor_do_hundreds_of_packets_that_never_end(void **state)
{
    (void)state;
    flood(NULL, "127.0.0.9", STR("\x01\x0e" "10.0"));
}

static void nor_do_hundreds_of_handshakes_that_stop(void **state)
{
    struct tls_config tls = secure();
    (void)state;
    flood(&tls, "127.0.0.9", STR("\x16\x03\x01\x00\xff\x01"));
}

static void silence_and_trickle_end_at_absolute_deadlines(void **state)
{
    struct end a;
    (void)state;
    start(&a, NULL);
    int silent = raw_from("127.0.0.1", &a.addr), slow = raw_from("127.0.0.1", &a.addr);
    mono_ms began = clock_mono_ms(), slow_for = 0;
    UNTIL(transport_stats(a.t)->connections == 2);
    (void)send(slow, "\x01\x0e", 2, MSG_NOSIGNAL);
    while (!is_closed(silent) && clock_mono_ms() - began < 10000) {
        loop_turn(loop, 20);
        if (slow_for == 0 && send(slow, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
            slow_for = clock_mono_ms() - began;
    }
    assert_in_range(slow_for, 550, 2400); /* 600 ms, in spite of a byte each 20 ms */
    assert_true(clock_mono_ms() - began >= 2400);
    UNTIL(transport_stats(a.t)->connections == 0);
    assert_int_equal(transport_stats(a.t)->connections_timeout, 2);
    assert_int_equal(lines(&a, "did not come in whole in time"), 1);
    assert_int_equal(lines(&a, "did not say in time what it wants"), 1);
    close(silent);
    close(slow);
    finish(&a);
}

/* The kernel takes connections for it, nobody answers: as a process that was stopped. */
static int hung_peer(struct gossip_addr *at_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&at, size), 0);
    assert_int_equal(listen(fd, 100), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&at, &size), 0);
    at_port->port = ntohs(at.sin_port);
    return fd;
}

static void a_peer_that_hangs_does_not_hold_up_what_goes_to_others(void **state)
{
    struct tls_config tls = secure();
    struct end a, b;
    (void)state;
    start(&a, &tls);
    start(&b, &tls);
    struct gossip_addr hung = a.addr;
    int fd = hung_peer(&hung);
    for (int i = 0; i < 40; i++)
        send_to(&a, &hung, "to nobody");
    mono_ms began = clock_mono_ms();
    for (int i = 1; i <= 10; i++) {
        send_to(&a, &b.addr, "alive");
        UNTIL(b.packets == i);
    }
    assert_true(clock_mono_ms() - began < 2000);
    while (transport_stats(a.t)->packets_dropped < 38 && clock_mono_ms() - began < 5000) {
        transport_tick(a.t);
        loop_turn(loop, 20);
    }
    /* Two of the eight places are its share; the rest waited too long. */
    assert_int_equal(transport_stats(a.t)->packets_dropped, 38);
    assert_int_equal(lines(&a, "the peer is slow"), 1);
    finish(&a); /* with two on their way */
    finish(&b);
    close(fd);
}

static void what_cannot_be_served_is_an_error_at_the_start(void **state)
{
    struct tls_config tls = secure();
    struct transport_config c = {.tls = &tls};
    struct transport *t = NULL;
    struct err err = {0};
    (void)state;
    tls.cert_path = tls.key_path = "";
    assert_int_equal(transport_init(&t, loop, &c, &events, NULL, NULL, &err), ERR_INVAL);
    assert_non_null(strstr(err.msg, "certificate"));
    tls = secure();
    tls.min_version = "VersionTLS13";
    assert_int_equal(transport_init(&t, loop, &c, &events, NULL, NULL, &err), ERR_INVAL);
    assert_null(t);
}

static void without_memory_no_transport_is_made(void **state)
{
    struct tls_config tls = secure();
    struct transport_config c = {.tls = &tls};
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct transport *t = NULL;
        mem_fail_at(n);
        int rc = transport_init(&t, loop, &c, &events, NULL, NULL, NULL);
        int over = mem_fail_pending();
        mem_fail_at(0);
        assert_true((rc == 0) == (t != NULL));
        transport_free(&t);
        loop_turn(loop, 0);
        if (over)
            break;
    }
}

static int set_up_group(void **state)
{
    struct rng rng;
    struct cert ca, own;
    (void)state;
    rng_seed(&rng, 11);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(ca_path, sizeof ca_path, "%s/ca.pem", dir);
    (void)snprintf(cert_path, sizeof cert_path, "%s/cert.pem", dir);
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", dir);
    cert_make_ca(&ca, "CN=ca", &rng);
    cert_make(&own, &ca, &(struct cert_spec){.subject = "CN=n", .ip = "127.0.0.1"}, &rng);
    cert_write(ca_path, ca.cert);
    cert_write(cert_path, own.cert);
    cert_write(key_path, own.key);
    return 0;
}

static int tear_down_group(void **state)
{
    (void)state;
    (void)unlink(ca_path);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    return rmdir(dir);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(packets_and_streams_cross_in_plain_text),
        T(packets_and_streams_cross_under_tls_and_resume_it),
        T(tls_and_plain_text_meet_with_one_line_on_either_side),
        T(a_server_of_tls_that_answers_plain_text_with_an_alert_is_known),
        T(http_gets_its_answer_under_tls_too),
        T(hundreds_of_silent_connections_do_not_keep_real_peers_out),
        T(not_even_from_the_same_address),
        T(nor_do_hundreds_of_packets_that_never_end),
        T(nor_do_hundreds_of_handshakes_that_stop),
        T(silence_and_trickle_end_at_absolute_deadlines),
        T(a_peer_that_hangs_does_not_hold_up_what_goes_to_others),
        T(what_cannot_be_served_is_an_error_at_the_start),
        T(without_memory_no_transport_is_made),
    };
    return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
