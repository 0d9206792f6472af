/* Whatever peers do wrong has one line that names cause and address, a counter, and no second
 * line; and a member that others cannot reach finds that out by itself. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/memberlist.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gossip/messages.h"
#include "gossip/msgpack.h"
#include "hex.h"

static struct rng rng;
static struct memberlist *ml;
static struct buf lines;
static int line_count;

static void on_line(void *arg, enum log_level level, struct str line)
{
    (void)arg;
    if (level < LOG_WARN)
        return;
    buf_str(&lines, line);
    buf_u8(&lines, '\n');
    line_count++;
}

static const struct log catching = {.sink = on_line};

static struct gossip_addr addr(uint8_t last)
{
    return (struct gossip_addr){
        .ip = {[10] = 0xff, 0xff, 10, 0, 0, last}, .size = 16, .port = 7946};
}

static void start(const char *label)
{
    static const struct memberlist_delegate none;
    struct memberlist_config c = memberlist_config_dskit();
    c.name = STR("self");
    c.addr = addr(1);
    c.label = str_c(label);
    c.compression = PACKET_PLAIN;
    rng_seed(&rng, 5);
    line_count = 0;
    assert_int_equal(memberlist_init(&ml, &c, &none, &rng, &catching, 0, NULL), 0);
}

static int teardown(void **state)
{
    (void)state;
    memberlist_free(&ml);
    buf_reset(&lines);
    return 0;
}

static void receive_hex(uint8_t from, const char *hex, mono_ms now)
{
    struct gossip_addr a = addr(from);
    struct buf msg = {0};
    hex_put(&msg, hex);
    memberlist_on_packet(ml, &a, buf_view(&msg), now);
    buf_reset(&msg);
}

static void alive_from(const char *name, uint64_t incarnation, uint8_t last, mono_ms now)
{
    struct buf msg = {0};
    struct gossip_addr a = addr(last);
    msg_put_alive(&msg, &(struct msg_alive){.incarnation = incarnation,
                                            .node = str_c(name),
                                            .ip = gossip_addr_ip(&a),
                                            .port = 7946,
                                            .vsn = str_of(member_vsn, 6)});
    memberlist_on_packet(ml, &a, buf_view(&msg), now);
    buf_reset(&msg);
}

/* One more line was logged, with these words. */
static void assert_line(const char *a, const char *b, const char *c)
{
    const char *const words[] = {a, b, c};
    buf_u8(&lines, 0);
    if (line_count != 1)
        fail_msg("%d lines: %s", line_count, (const char *)lines.data);
    for (int i = 0; i < 3; i++)
        if (strstr((const char *)lines.data, words[i]) == NULL)
            fail_msg("no \"%s\" in: %s", words[i], (const char *)lines.data);
    buf_clear(&lines);
    line_count = 0;
}

static void forget_actions(void)
{
    struct memberlist_action a;
    while (memberlist_next(ml, &a))
        buf_reset(&a.bytes);
}

static const struct memberlist_stats *stats(void)
{
    return memberlist_stats(ml);
}

static void another_label_is_named_with_ours_once(void **state)
{
    (void)state;
    start("blue");
    receive_hex(9, "f4037265640b", 0); /* "red" */
    assert_line("their_label=red", "our_label=blue", "10.0.0.9:7946");
    receive_hex(9, "f4037265640b", 60000);
    assert_int_equal(line_count, 0);
    assert_int_equal(stats()->packets_foreign, 2);
    receive_hex(8, "f4037265640b", 60000); /* another peer is another cause */
    assert_line("their_label=red", "our_label=blue", "10.0.0.8:7946");
    receive_hex(9, "f4037265640b", 700000);
    assert_line("left_out=1", "our_label=blue", "10.0.0.9:7946");
}

static void a_peer_without_label_is_told_apart(void **state)
{
    (void)state;
    start("blue");
    receive_hex(9, "0b81a55365714e6fcd012c", 0);
    assert_line("without cluster label", "our_label=blue", "10.0.0.9:7946");
    assert_int_equal(stats()->packets_unlabelled, 1);
    assert_int_equal(stats()->packets_foreign, 0);
    struct gossip_addr from = addr(8);
    uint32_t id = memberlist_on_accept(ml, &from, 0);
    memberlist_on_bytes(ml, id, STR("\xf4\x03red\x06"), 0);
    assert_line("their_label=red", "by=stream", "10.0.0.8:7946");
    assert_int_equal(stats()->streams_foreign, 1);
    forget_actions();
}

static void a_foreign_protocol_is_named(void **state)
{
    (void)state;
    start("");
    receive_hex(9, "47455420", 0); /* "GET " */
    assert_line("another protocol", "type=71", "10.0.0.9:7946");
    assert_int_equal(stats()->packets_unknown, 1);
    receive_hex(8, "0081", 0);
    assert_line("could not be read", "reason=", "10.0.0.8:7946");
    assert_int_equal(stats()->packets_bad, 1);
}

static void two_processes_with_one_name_are_named(void **state)
{
    (void)state;
    start("");
    alive_from("b", 1, 2, 0);
    alive_from("b", 1, 3, 0);
    assert_line("member=b", "known=10.0.0.2:7946", "ignored=10.0.0.3:7946");
    alive_from("self", 1, 7, 0);
    assert_line("another process has this member's name", "our_addr=10.0.0.1:7946",
                "other_addr=10.0.0.7:7946");
    alive_from("self", 2, 7, 0);
    assert_int_equal(line_count, 0);
    const struct members_stats *s = members_stats(memberlist_members(ml));
    assert_int_equal(s->conflicts, 3);
    assert_int_equal(s->own_conflicts, 2);
    const struct member *self = members_self(memberlist_members(ml));
    assert_int_equal(self->state, MEMBER_ALIVE);
    assert_int_equal(self->addr.ip[15], 1);
}

static void a_ping_for_another_is_named(void **state)
{
    (void)state;
    start("");
    receive_hex(9, "0082a44e6f6465a162a55365714e6f05", 0); /* for "b" */
    assert_line("a ping for another member", "meant=b", "10.0.0.9:7946");
    assert_int_equal(stats()->packets_misdirected, 1);
    forget_actions();
}

static void a_version_that_does_not_fit_is_named(void **state)
{
    (void)state;
    static const uint8_t strange[6] = {1, 5, 9, 0, 0, 0};
    struct buf msg = {0};
    struct gossip_addr a = addr(4), from = addr(5);
    start("");
    msg_put_push_pull(&msg, &(struct msg_push_pull){1, 0, true});
    msg_put_node(&msg, &(struct msg_node){.name = STR("x"),
                                          .ip = gossip_addr_ip(&a),
                                          .port = 7946,
                                          .incarnation = 1,
                                          .vsn = str_of(strange, 6)});
    uint32_t id = memberlist_on_accept(ml, &from, 0);
    memberlist_on_bytes(ml, id, buf_view(&msg), 0);
    assert_line("member=x", "spoken=9", "version_of=protocol");
    assert_int_equal(stats()->merge_refused, 1);
    buf_reset(&msg);
    forget_actions();
}

/* Begin a join; the number of its stream. */
static uint32_t join(uint8_t to_last, mono_ms now)
{
    struct gossip_addr to = addr(to_last);
    struct memberlist_action a;
    uint32_t id = 0;
    assert_int_equal(memberlist_join(ml, &to, 1, now), 0);
    while (memberlist_next(ml, &a)) {
        id = a.verb == ML_STREAM_OPEN ? a.stream : id;
        buf_reset(&a.bytes);
    }
    memberlist_on_connect(ml, id, now);
    return id;
}

static void a_refusal_in_words_or_without_is_named(void **state)
{
    (void)state;
    struct buf msg = {0};
    start("blue");
    memberlist_on_end(ml, join(4, 0), 0, 10);
    assert_line("without a word", "our_label=blue", "10.0.0.4:7946");
    assert_int_equal(stats()->streams_unanswered, 1);
    uint32_t id = join(5, 20);
    hex_put(&msg, "0d81a54572726f72a4626f6f6d");
    memberlist_on_bytes(ml, id, buf_view(&msg), 30);
    assert_line("refused", "it_said=boom", "10.0.0.5:7946");
    buf_reset(&msg);
    forget_actions();
}

/* An exchange of ours that goes well. */
static void exchange_ok(mono_ms now)
{
    struct buf msg = {0};
    msg_put_push_pull(&msg, &(struct msg_push_pull){0, 0, true});
    uint32_t id = join(2, now);
    memberlist_on_bytes(ml, id, buf_view(&msg), now);
    buf_reset(&msg);
    forget_actions();
}

/* We reach others, and nothing of them reaches us. */
static void an_announced_address_that_nobody_reaches_is_found_out(void **state)
{
    (void)state;
    start("");
    alive_from("b", 1, 2, 0);
    alive_from("c", 1, 3, 0);
    alive_from("d", 1, 4, 0);
    for (mono_ms now = 100; now <= 60000; now += 100) {
        memberlist_tick(ml, now);
        forget_actions();
        if (now % 10000 == 0)
            exchange_ok(now);
    }
    assert_int_equal(stats()->unreachable > 0, 1);
    assert_line("nothing from them arrives", "advertise-addr", "announced=10.0.0.1:7946");
}

/* The same with peers that are gone, too: then it is not our address. */
static void dead_peers_are_not_taken_for_our_fault(void **state)
{
    (void)state;
    start("");
    alive_from("b", 1, 2, 0);
    alive_from("c", 1, 3, 0);
    for (mono_ms now = 100; now <= 120000; now += 100) {
        memberlist_tick(ml, now);
        forget_actions();
    }
    assert_int_equal(stats()->unreachable, 0);
    assert_int_equal(line_count, 0);
}

struct ping_seen {
    uint64_t seq;
};

static void note_ping(void *arg, uint8_t type, struct str body)
{
    struct mp_reader r = mp_reader_of(body);
    struct msg_ping ping;
    if (type == MSG_PING && msg_get_ping(&r, &ping) == 0)
        ((struct ping_seen *)arg)->seq = ping.seq;
}

/* Members answer our probes, yet one of them accuses us every few seconds. */
static void an_accuser_that_does_not_reach_us_is_named(void **state)
{
    (void)state;
    struct memberlist_action a;
    struct gossip_addr b = addr(2);
    start("");
    alive_from("b", 1, 2, 0);
    for (mono_ms now = 100; now <= 60000; now += 100) {
        memberlist_tick(ml, now);
        while (memberlist_next(ml, &a)) {
            struct ping_seen seen = {0};
            struct buf msg = {0};
            if (a.verb == ML_PACKET)
                (void)packet_open(buf_view(&a.bytes), note_ping, &seen, NULL);
            buf_reset(&a.bytes);
            msg_put_ack(&msg, &(struct msg_ack){.seq = seen.seq});
            if (seen.seq != 0)
                memberlist_on_packet(ml, &b, buf_view(&msg), now);
            buf_reset(&msg);
        }
        if (now % 8000 == 0) {
            struct buf msg = {0};
            const struct member *self = members_self(memberlist_members(ml));
            msg_put_suspect(&msg,
                            &(struct msg_accuse){self->incarnation, self->name, STR("far")});
            line_count = 0; /* each refutation has its own line */
            buf_clear(&lines);
            memberlist_on_packet(ml, &b, buf_view(&msg), now);
            line_count = 0;
            buf_clear(&lines);
            memberlist_tick(ml, now);
            buf_reset(&msg);
            if (stats()->unreachable > 0)
                break;
        }
    }
    assert_line("again and again", "accuser=far", "announced=10.0.0.1:7946");
    forget_actions();
}

/* Who still looks for us under the name that we had is told that it has left; no line. */
static void a_ping_for_our_former_name_gets_its_farewell(void **state)
{
    (void)state;
    static const struct memberlist_delegate none;
    struct memberlist_config c = memberlist_config_dskit();
    struct memberlist_action a;
    struct gossip_addr from = addr(3);
    struct buf ping = {0}, want = {0};
    c.name = STR("self");
    c.addr = addr(1);
    c.rename = true;
    c.compression = PACKET_PLAIN;
    rng_seed(&rng, 5);
    assert_int_equal(memberlist_init(&ml, &c, &none, &rng, NULL, 0, NULL), 0);
    alive_from("self", 4, 2, 0);
    assert_int_equal(members_stats(memberlist_members(ml))->renamed, 1);
    forget_actions();
    msg_put_ping(&ping, &(struct msg_ping){.seq = 7, .node = STR("self")});
    msg_put_dead(&want, &(struct msg_accuse){4, STR("self"), STR("self")});
    memberlist_on_packet(ml, &from, buf_view(&ping), 1000);
    assert_true(memberlist_next(ml, &a));
    assert_int_equal(a.verb, ML_PACKET);
    assert_true(gossip_addr_eq(&a.to, &from));
    bool found = false;
    for (size_t i = 0; i + want.size <= a.bytes.size; i++)
        found = found || memcmp(a.bytes.data + i, want.data, want.size) == 0;
    assert_true(found);
    assert_int_equal(stats()->packets_misdirected, 0);
    buf_reset(&a.bytes);
    buf_reset(&ping);
    buf_reset(&want);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        T(another_label_is_named_with_ours_once),
        T(a_peer_without_label_is_told_apart),
        T(a_foreign_protocol_is_named),
        T(two_processes_with_one_name_are_named),
        T(a_ping_for_another_is_named),
        T(a_version_that_does_not_fit_is_named),
        T(a_refusal_in_words_or_without_is_named),
        T(an_announced_address_that_nobody_reaches_is_found_out),
        T(dead_peers_are_not_taken_for_our_fault),
        T(an_accuser_that_does_not_reach_us_is_named),
        T(a_ping_for_our_former_name_gets_its_farewell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
