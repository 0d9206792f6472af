/* Members on a real loop with real sockets: they find each other, share a key, leave; and what
 * comes to the gossip port from elsewhere is read, answered or refused as dskit does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/gossip_uv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "gossip/core.h"
#include "gossip/messages.h"
#include "hex.h"
#include "kv_test_codec.h"
#include "metrics/metrics.h"
#include "net/loop.h"

enum { PATIENCE_MS = 10000 };

static struct loop *loop;

/* A member and the options it borrows. */
struct one {
    struct gossip_config config;
    struct conf *conf;
    struct gossip *g;
    int changes;
    bool stopped;
};

static int setup(void **state)
{
    (void)state;
    return loop_init(&loop, "test", NULL);
}

static int teardown(void **state)
{
    (void)state;
    loop_turn(loop, 0);
    loop_free(&loop);
    return 0;
}

static void on_change(void *arg, struct str key, const void *value)
{
    struct one *o = arg;
    (void)key;
    (void)value;
    o->changes++;
}

static uint16_t bind_port; /* of the next to start; 0: a free one */

static void start(struct one *o, const char *name, const char *label, uint16_t seed,
                  struct metrics *metrics)
{
    static struct conf_section sections[4];
    static int used;
    char name_flag[64], join_flag[64], label_flag[64], bind_flag[64];
    struct err err = {0};
    struct conf_section *s = &sections[used++ % 4];
    *o = (struct one){0};
    *s = (struct conf_section){"Gossip",    "memberlist.", "memberlist",
                               gossip_rows, &o->config,    gossip_config_validate};
    (void)snprintf(name_flag, sizeof name_flag, "-memberlist.nodename=%s", name);
    (void)snprintf(label_flag, sizeof label_flag, "-memberlist.cluster-label=%s", label);
    (void)snprintf(join_flag, sizeof join_flag, "-memberlist.join=127.0.0.1:%u", seed);
    (void)snprintf(bind_flag, sizeof bind_flag, "-memberlist.bind-port=%u", bind_port);
    const char *argv[] = {"x",
                          name_flag,
                          label_flag,
                          "-memberlist.randomize-node-name=false",
                          "-memberlist.bind-addr=127.0.0.1",
                          bind_flag,
                          "-memberlist.gossip-interval=20ms",
                          join_flag};
    assert_int_equal(conf_init(&o->conf, s, 1, &err), 0);
    assert_int_equal(conf_args(o->conf, seed == 0 ? 7 : 8, argv, &err), 0);
    assert_int_equal(conf_apply(o->conf, &err), 0);
    if (gossip_init(&o->g, loop, &o->config, NULL, metrics, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(gossip_register(o->g, &tv_codec), 0);
    assert_int_equal(gossip_watch(o->g, STR("collectors/ring"), on_change, o), 0);
    assert_int_equal(gossip_start(o->g, &err), 0);
}

static void end(struct one *o)
{
    gossip_free(&o->g);
    conf_free(&o->conf);
    loop_turn(loop, 0);
}

static size_t members_of(const struct one *o)
{
    struct gossip_status s;
    gossip_status(o->g, &s);
    return s.members;
}

/* Turn the loop until `cond` holds. */
#define WAIT(cond)                                                                             \
    do {                                                                                       \
        mono_ms until = clock_mono_ms() + PATIENCE_MS;                                         \
        bool holds = false;                                                                    \
        while (!(holds = (cond)) && clock_mono_ms() < until)                                   \
            loop_turn(loop, 5);                                                                \
        assert_true(holds);                                                                    \
    } while (0)

static int edit(void *arg, void **value)
{
    if (*value == NULL && (*value = tv_new()) == NULL)
        return ERR_NOMEM;
    tv_put(*value, arg, clock_wall_ms() / 1000, 7);
    return KV_STORE;
}

static void on_stopped(void *arg)
{
    ((struct one *)arg)->stopped = true;
}

static void members_find_each_other_share_a_key_and_leave(void **state)
{
    (void)state;
    struct one a, b;
    struct metrics *metrics = NULL;
    struct buf out = {0};
    assert_int_equal(metrics_init(&metrics, "pyroscope", NULL), 0);
    start(&a, "a", "", 0, metrics);
    start(&b, "b", "", gossip_self(a.g).port, NULL);
    gossip_status_text(b.g, &out);
    assert_true(str_starts_with(buf_view(&out), STR("joined 0 of 1, waiting for 127.0.0.1:")));
    WAIT(members_of(&a) == 2 && members_of(&b) == 2);
    struct gossip_status s;
    gossip_status(b.g, &s);
    assert_true(s.joined && s.reached == 1 && s.seeds == 1);
    struct str key = STR("collectors/ring");
    assert_int_equal(gossip_cas(a.g, key, "test", edit, "from-a"), 0);
    assert_int_equal(a.changes, 0); /* not from within */
    WAIT(b.changes == 1 && a.changes == 1);
    assert_int_equal(tv_find(gossip_get(b.g, key), "from-a")->number, 7);
    assert_int_equal(gossip_cas(a.g, key, "test", edit, "from-a"), ERR_AGAIN);
    gossip_stop(b.g, on_stopped, &b);
    WAIT(b.stopped && members_of(&a) == 1);
    buf_clear(&out);
    metrics_expose(metrics, &out);
    assert_true(str_contains(buf_view(&out),
                             STR("pyroscope_memberlist_client_cluster_members_count 1\n")));
    assert_true(str_contains(buf_view(&out),
                             STR("pyroscope_memberlist_client_cas_success_total 1\n")));
    end(&b);
    end(&a);
    metrics_free(&metrics);
    buf_reset(&out);
}

/* Connect to a member as a stranger. */
static int dial(const struct one *o)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(gossip_self(o->g).port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 5);
    return fd;
}

static void send_all(const struct one *o, struct str bytes)
{
    int fd = dial(o);
    assert_int_equal(send(fd, bytes.data, bytes.len, MSG_NOSIGNAL), bytes.len);
    close(fd);
    for (int i = 0; i < 10; i++)
        loop_turn(loop, 5);
}

static uint64_t received(const struct one *o, uint64_t *invalid)
{
    const struct kv_stats *s = kv_stats(gossip_core_kv(gossip_core_of(o->g)));
    *invalid = s->received_invalid;
    return s->received;
}

/* The packet of the vectors carries a codec that this test does not know: it must come as far as
 * the store. With a wrong digest, or another label, it must not. */
static void the_packet_of_the_vectors_is_read(void **state)
{
    (void)state;
    struct one a, other;
    uint64_t invalid = 0;
    struct buf packet = {0};
    start(&a, "a", "test", 0, NULL);
    start(&other, "other", "", 0, NULL);
    hex_put(&packet, VECTOR_TCP_PACKET);
    send_all(&a, buf_view(&packet));
    WAIT(received(&a, &invalid) == 1);
    assert_int_equal(invalid, 1);
    send_all(&other, buf_view(&packet));
    assert_int_equal(received(&other, &invalid), 0);
    assert_int_equal(
        memberlist_stats(gossip_core_members(gossip_core_of(other.g)))->packets_foreign, 1);
    packet.data[packet.size - 1] ^= 1;
    send_all(&a, buf_view(&packet));
    send_all(&a, str_head(buf_view(&packet), 20));
    send_all(&a, STR("\x01"));
    send_all(&a, STR("\x00"));
    assert_int_equal(received(&a, &invalid), 1);
    end(&a);
    end(&other);
    buf_reset(&packet);
}

static bool says(const struct one *o, const char *part)
{
    struct buf text = {0};
    gossip_status_text(o->g, &text);
    bool has = str_contains(buf_view(&text), str_c(part));
    buf_reset(&text);
    return has;
}

static void who_was_not_there_and_then_joined_us_is_not_waited_for(void **state)
{
    (void)state;
    struct one a, b;
    struct gossip_status s;
    start(&a, "a", "", 0, NULL); /* for a port that was free */
    uint16_t port = gossip_self(a.g).port;
    end(&a);
    start(&a, "a", "", port, NULL);
    WAIT(says(&a, "no answer to gossip"));
    bind_port = port;
    start(&b, "b", "", gossip_self(a.g).port, NULL);
    bind_port = 0;
    WAIT(members_of(&a) == 2);
    gossip_status(a.g, &s); /* long before we try again */
    assert_true(s.reached == 1 && s.seeds == 1);
    assert_true(says(&a, "joined 1 of 1") && !says(&a, "waiting"));
    end(&b);
    end(&a);
}

static void http_on_the_gossip_port_gets_an_answer(void **state)
{
    (void)state;
    struct one a;
    char answer[512] = "";
    ssize_t got = -1;
    start(&a, "a", "", 0, NULL);
    int fd = dial(&a);
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    WAIT((got = recv(fd, answer, sizeof answer - 1, 0)) > 0);
    assert_memory_equal(answer, "HTTP/1.1 400 ", 13);
    const char *body = strstr(answer, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), 50); /* what Content-Length says */
    WAIT(recv(fd, answer, sizeof answer, 0) == 0);
    close(fd);
    end(&a);
}

static void a_stream_ping_is_answered_over_the_socket(void **state)
{
    (void)state;
    struct one a;
    uint8_t answer[64];
    struct buf msg = {0};
    ssize_t got = -1;
    start(&a, "a", "", 0, NULL);
    buf_u8(&msg, 2);
    msg_put_ping(&msg, &(struct msg_ping){.seq = 300, .node = STR("a")});
    int fd = dial(&a);
    assert_int_equal(send(fd, msg.data, msg.size, MSG_NOSIGNAL), msg.size);
    WAIT((got = recv(fd, answer, sizeof answer, 0)) > 0);
    assert_hex(str_of(answer, (size_t)got), "0282a75061796c6f6164c0a55365714e6fcd012c");
    close(fd);
    end(&a);
    buf_reset(&msg);
}

static void an_address_in_use_is_said_so(void **state)
{
    (void)state;
    struct one a, b;
    struct err err = {0};
    start(&a, "a", "", 0, NULL);
    start(&b, "b", "", 0, NULL);
    struct gossip_config same = b.config;
    struct gossip *none = NULL;
    same.bind_port = gossip_self(a.g).port;
    assert_int_equal(gossip_init(&none, loop, &same, NULL, NULL, &err), ERR_EXIST);
    assert_null(none);
    end(&a);
    end(&b);
}

static void without_memory_no_member_is_made(void **state)
{
    (void)state;
    struct one a;
    start(&a, "a", "", 0, NULL);
    for (uint64_t n = 1;; n++) {
        struct gossip *g = NULL;
        mem_fail_at(n);
        int rc = gossip_init(&g, loop, &a.config, NULL, NULL, NULL);
        int over = mem_fail_pending();
        mem_fail_at(0);
        assert_true((rc == 0) == (g != NULL));
        gossip_free(&g);
        loop_turn(loop, 0);
        if (over) {
            assert_int_equal(rc, 0);
            break;
        }
    }
    end(&a);
}

static void capture(void *arg, enum log_level level, struct str line)
{
    (void)level;
    buf_str(arg, line);
    buf_u8(arg, '\n');
}

/* A member with these two options more; what it logs, and what it says of its join list at once. */
static void said_with(const char *one, const char *two, struct buf *lines, struct buf *text)
{
    struct one o = {0};
    struct err err = {0};
    struct conf_section s = {"Gossip",    "memberlist.", "memberlist",
                             gossip_rows, &o.config,     gossip_config_validate};
    struct log log = {.sink = capture, .arg = lines};
    const char *argv[] = {"x", "-memberlist.bind-addr=127.0.0.1", "-memberlist.bind-port=0", one,
                          two};
    assert_int_equal(conf_init(&o.conf, &s, 1, &err), 0);
    assert_int_equal(conf_args(o.conf, 5, argv, &err), 0);
    assert_int_equal(conf_apply(o.conf, &err), 0);
    assert_int_equal(gossip_init(&o.g, loop, &o.config, &log, NULL, &err), 0);
    assert_int_equal(gossip_register(o.g, &tv_codec), 0);
    assert_int_equal(gossip_start(o.g, &err), 0);
    gossip_status_text(o.g, text);
    end(&o);
}

static void an_address_whose_port_lacks_brackets_is_shown_as_it_was_taken(void **state)
{
    struct buf lines = {0}, text = {0};
    (void)state;
    said_with("-memberlist.join=::1:5701", "-memberlist.join=[::1]:5702,127.0.0.2:5703", &lines,
              &text);
    assert_true(str_contains(buf_view(&text), STR("waiting for ::1:5701 = [::1:5701]:7946; or is "
                                                  "[::1]:5701 meant? (")));
    assert_true(str_contains(buf_view(&text), STR(", [::1]:5702 (")));
    assert_true(str_contains(buf_view(&text), STR(", 127.0.0.2:5703 (")));
    buf_clear(&text);
    said_with("-memberlist.join=fe00::a:b", "-memberlist.cluster-label=", &lines, &text);
    assert_true(str_contains(buf_view(&text), STR("waiting for fe00::a:b = [fe00::a:b]:7946 (")));
    buf_reset(&text);
    buf_reset(&lines);
}

static void a_peer_that_closes_without_an_answer_is_waited_for_with_that_reason(void **state)
{
    struct one a, b;
    (void)state;
    start(&a, "a", "one", 0, NULL);
    start(&b, "b", "another", gossip_self(a.g).port, NULL);
    WAIT(says(&b, "(no answer to gossip: a peer closed a stream without an answer: does it have "
                  "another label"));
    end(&a); /* and now nobody is there */
    WAIT(says(&b, "(no answer to gossip)"));
    end(&b);
}

static void certificates_without_tls_are_warned_about(void **state)
{
    struct buf lines = {0}, text = {0};
    (void)state;
    said_with("-memberlist.tls-cert-path=/none", "-memberlist.tls-enabled=false", &lines, &text);
    assert_true(str_contains(buf_view(&lines), STR("-memberlist.tls-enabled=true")));
    buf_clear(&lines);
    said_with("-memberlist.tls-enabled=false", "-memberlist.cluster-label=", &lines, &text);
    assert_true(lines.size > 0);
    assert_false(str_contains(buf_view(&lines), STR("tls-enabled")));
    buf_reset(&text);
    buf_reset(&lines);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(members_find_each_other_share_a_key_and_leave),
        T(the_packet_of_the_vectors_is_read),
        T(who_was_not_there_and_then_joined_us_is_not_waited_for),
        T(http_on_the_gossip_port_gets_an_answer),
        T(a_stream_ping_is_answered_over_the_socket),
        T(an_address_in_use_is_said_so),
        T(an_address_whose_port_lacks_brackets_is_shown_as_it_was_taken),
        T(a_peer_that_closes_without_an_answer_is_waited_for_with_that_reason),
        T(certificates_without_tls_are_warned_about),
        T(without_memory_no_member_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
