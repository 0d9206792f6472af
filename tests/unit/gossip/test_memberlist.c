/* The machine as a peer sees it: pings are answered, indirect pings carried out, states exchanged
 * in pieces of any size, and nothing that comes in can hold it up or blow it up. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/memberlist.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "gossip/messages.h"
#include "gossip/msgpack.h"
#include "hex.h"

static struct rng rng;
static struct memberlist *ml;
static struct buf heard; /* user messages and states */

static void on_message(void *arg, struct str msg)
{
    (void)arg;
    buf_printf(&heard, "msg %.*s;", STR_ARG(msg));
}

static void put_state(void *arg, struct buf *out)
{
    (void)arg;
    buf_c(out, "our state");
}

static void on_state(void *arg, struct str state)
{
    (void)arg;
    buf_printf(&heard, "state %.*s;", STR_ARG(state));
}

static const struct memberlist_delegate delegate = {
    .on_message = on_message, .put_state = put_state, .on_state = on_state};

static struct gossip_addr addr(uint8_t last)
{
    return (struct gossip_addr){
        .ip = {[10] = 0xff, 0xff, 10, 0, 0, last}, .size = 16, .port = 7946};
}

static struct memberlist_config config(const char *name, uint8_t last)
{
    struct memberlist_config c = memberlist_config_dskit();
    c.name = str_c(name);
    c.addr = addr(last);
    c.compression = PACKET_PLAIN;
    return c;
}

static int setup(void **state)
{
    struct memberlist_config c = config("self", 1);
    (void)state;
    rng_seed(&rng, 5);
    assert_int_equal(memberlist_init(&ml, &c, &delegate, &rng, NULL, 0, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    memberlist_free(&ml);
    buf_reset(&heard);
    return 0;
}

static void receive(const struct buf *msg, mono_ms now)
{
    struct gossip_addr from = addr(9);
    memberlist_on_packet(ml, &from, buf_view(msg), now);
}

/* --- what goes out -------------------------------------------------------------------------- */

/* The messages of the packets that wait, as "to.last:type ", and forget them. */
struct sent {
    struct buf text;
    uint8_t to;
    uint64_t ack_seq, ping_seq, nack_seq;
};

static void note(void *arg, uint8_t type, struct str body)
{
    struct sent *s = arg;
    struct mp_reader r = mp_reader_of(body);
    struct msg_ack ack;
    struct msg_nack nack;
    struct msg_ping ping;
    buf_printf(&s->text, "%u:%u ", s->to, type);
    if (type == MSG_ACK && msg_get_ack(&r, &ack) == 0)
        s->ack_seq = ack.seq;
    if (type == MSG_NACK && msg_get_nack(&r, &nack) == 0)
        s->nack_seq = nack.seq;
    if (type == MSG_PING && msg_get_ping(&r, &ping) == 0)
        s->ping_seq = ping.seq;
}

static struct sent assert_sent(const char *want)
{
    struct sent s = {0};
    struct memberlist_action a;
    while (memberlist_next(ml, &a)) {
        s.to = a.to.ip[15];
        if (a.verb == ML_PACKET)
            assert_int_equal(packet_open(buf_view(&a.bytes), note, &s, NULL), 0);
        buf_reset(&a.bytes);
    }
    buf_u8(&s.text, 0);
    assert_string_equal((const char *)s.text.data, want);
    buf_reset(&s.text);
    return s;
}

static void know(const char *name, uint8_t last)
{
    struct buf msg = {0};
    struct gossip_addr a = addr(last);
    msg_put_alive(&msg, &(struct msg_alive){.incarnation = 1,
                                            .node = str_c(name),
                                            .ip = gossip_addr_ip(&a),
                                            .port = 7946,
                                            .vsn = str_of(member_vsn, 6)});
    receive(&msg, 0);
    buf_reset(&msg);
}

/* Nothing is left to tell, so that a packet holds only what a test asks for. */
static void drain(mono_ms *now)
{
    struct memberlist_action a;
    struct buf ping = {0};
    msg_put_ping(&ping, &(struct msg_ping){.seq = 1});
    for (int i = 0; i < 40; i++) {
        receive(&ping, *now); /* the answer takes news along */
        while (memberlist_next(ml, &a))
            buf_reset(&a.bytes);
    }
    buf_reset(&ping);
    assert_int_equal(memberlist_queued(ml), 0);
}

/* --- packets -------------------------------------------------------------------------------- */

static void a_ping_is_answered_where_it_says(void **state)
{
    (void)state;
    struct buf msg = {0};
    struct gossip_addr b = addr(7);
    know("b", 2);
    mono_ms now = 0;
    drain(&now);
    msg_put_ping(&msg, &(struct msg_ping){.seq = 300, .node = STR("self")});
    receive(&msg, now);
    assert_int_equal(assert_sent("9:2 ").ack_seq, 300); /* the packet's sender */
    buf_clear(&msg);
    msg_put_ping(&msg, &(struct msg_ping){.seq = 301,
                                          .node = STR("self"),
                                          .source_ip = gossip_addr_ip(&b),
                                          .source_port = 7946,
                                          .source_node = STR("b")});
    receive(&msg, now);
    assert_int_equal(assert_sent("7:2 ").ack_seq, 301);
    buf_clear(&msg);
    msg_put_ping(&msg, &(struct msg_ping){.seq = 302, .node = STR("other")});
    receive(&msg, now); /* meant for who had our address before */
    assert_sent("");
    buf_reset(&msg);
}

static void news_rides_on_every_packet(void **state)
{
    (void)state;
    struct buf msg = {0};
    know("b", 2);
    msg_put_ping(&msg, &(struct msg_ping){.seq = 1});
    receive(&msg, 0);
    assert_sent("9:2 9:4 9:4 "); /* ack, alive of b and of ourselves */
    buf_reset(&msg);
}

static void ask_for(struct buf *msg, uint64_t seq, uint8_t target)
{
    struct gossip_addr to = addr(target), back = addr(8);
    buf_clear(msg);
    msg_put_indirect_ping(msg, &(struct msg_indirect_ping){.seq = seq,
                                                           .target_ip = gossip_addr_ip(&to),
                                                           .port = 7946,
                                                           .node = STR("b"),
                                                           .nack = true,
                                                           .source_ip = gossip_addr_ip(&back),
                                                           .source_port = 7946,
                                                           .source_node = STR("asker")});
}

static void an_indirect_ping_is_carried_out(void **state)
{
    (void)state;
    struct buf msg = {0};
    mono_ms now = 0;
    drain(&now);
    ask_for(&msg, 70000, 2); /* of a member that we need not know */
    receive(&msg, now);
    uint64_t own = assert_sent("2:0 ").ping_seq;
    assert_int_not_equal(own, 70000);
    buf_clear(&msg);
    msg_put_ack(&msg, &(struct msg_ack){.seq = own});
    receive(&msg, now);
    assert_int_equal(assert_sent("8:2 ").ack_seq, 70000);
    receive(&msg, now); /* twice: only once */
    assert_sent("");
    ask_for(&msg, 70001, 2);
    receive(&msg, now);
    assert_sent("2:0 ");
    memberlist_tick(ml, now + 1999);
    assert_sent("");
    memberlist_tick(ml, now + 2000);
    assert_int_equal(assert_sent("8:11 ").nack_seq, 70001);
    buf_reset(&msg);
}

static void asking_without_end_is_refused(void **state)
{
    (void)state;
    struct buf msg = {0};
    for (uint64_t i = 0; i < 3000; i++) {
        ask_for(&msg, i, 2);
        receive(&msg, 0);
    }
    assert_int_equal(memberlist_stats(ml)->packets_bad, 3000 - 1024);
    buf_reset(&msg);
}

static void user_messages_reach_the_delegate(void **state)
{
    (void)state;
    struct buf msg = {0};
    hex_put(&msg, "0701000308");
    buf_c(&msg, "hi");
    receive(&msg, 0);
    buf_u8(&heard, 0);
    assert_string_equal((const char *)heard.data, "msg hi;");
    buf_reset(&msg);
}

static void garbage_is_counted(void **state)
{
    (void)state;
    static const char *bad[] = {"", "ff", "00", "0081", "07ff", "0900", "0a00000000", "f4",
                                "f403616263", "0c00000000aa"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf msg = {0};
        hex_put(&msg, bad[i]);
        receive(&msg, 0);
        buf_reset(&msg);
    }
    const struct memberlist_stats *s = memberlist_stats(ml);
    assert_int_equal(s->packets_bad + s->packets_unknown + s->packets_foreign,
                     sizeof bad / sizeof bad[0]);
    assert_int_equal(s->packets_foreign, 1);
    assert_sent("");
}

/* --- probing -------------------------------------------------------------------------------- */

/* Ping, ask others, suspect, declare dead: with nobody answering. */
static void a_silent_member_is_found_dead(void **state)
{
    (void)state;
    struct memberlist_action a;
    know("b", 2);
    const struct members *m = memberlist_members(ml);
    mono_ms suspected = 0, declared = 0;
    for (mono_ms now = 0; now <= 40000; now += 100) {
        memberlist_tick(ml, now);
        while (memberlist_next(ml, &a))
            buf_reset(&a.bytes);
        const struct member *b = members_get(m, STR("b"));
        if (b != NULL && b->state == MEMBER_SUSPECT && suspected == 0)
            suspected = now;
        if (b != NULL && b->state == MEMBER_DEAD && declared == 0)
            declared = now;
    }
    assert_int_equal(suspected, 10000); /* probed at 5 s, the round lasts 5 s */
    assert_int_equal(declared, 30000);  /* the least suspicion, of two there is no third */
}

static void a_member_that_answers_stays(void **state)
{
    (void)state;
    struct memberlist_action a;
    know("b", 2);
    for (mono_ms now = 0; now <= 60000; now += 100) {
        memberlist_tick(ml, now);
        while (memberlist_next(ml, &a)) {
            struct sent s = {0};
            struct buf msg = {0};
            if (a.verb == ML_PACKET)
                assert_int_equal(packet_open(buf_view(&a.bytes), note, &s, NULL), 0);
            buf_reset(&a.bytes);
            buf_reset(&s.text);
            msg_put_ack(&msg, &(struct msg_ack){.seq = s.ping_seq});
            if (s.ping_seq != 0)
                receive(&msg, now);
            buf_reset(&msg);
        }
    }
    assert_int_equal(members_get(memberlist_members(ml), STR("b"))->state, MEMBER_ALIVE);
    assert_true(memberlist_stats(ml)->probes >= 11);
    assert_int_equal(memberlist_stats(ml)->probes_failed, 0);
}

/* --- streams -------------------------------------------------------------------------------- */

/* The bytes of an exchange that `from` begins. */
static void exchange_bytes(struct buf *out, enum packet_compression how)
{
    struct memberlist *other = NULL;
    struct memberlist_config c = config("other", 4);
    struct gossip_addr to = addr(1);
    struct memberlist_action a;
    c.compression = how;
    assert_int_equal(memberlist_init(&other, &c, &delegate, &rng, NULL, 0, NULL), 0);
    assert_int_equal(memberlist_join(other, &to, 1, 0), 0);
    while (memberlist_next(other, &a)) {
        if (a.verb == ML_STREAM_OPEN)
            buf_str(out, buf_view(&a.bytes));
        buf_reset(&a.bytes);
    }
    memberlist_free(&other);
}

/* Feed a stream in pieces of `piece` bytes; returns the bytes of the answer. */
static size_t feed(struct str bytes, size_t piece)
{
    struct gossip_addr from = addr(4);
    uint32_t id = memberlist_on_accept(ml, &from, 0);
    struct memberlist_action a;
    size_t answer = 0;
    bool closed = false;
    for (; bytes.len > 0; bytes = str_skip(bytes, piece))
        memberlist_on_bytes(ml, id, str_head(bytes, piece), 0);
    while (memberlist_next(ml, &a)) {
        assert_false(closed);
        closed = a.verb == ML_STREAM_CLOSE;
        answer += a.verb == ML_STREAM_WRITE ? a.bytes.size : 0;
        buf_reset(&a.bytes);
    }
    if (!closed)
        memberlist_on_end(ml, id, 0, 0);
    while (memberlist_next(ml, &a))
        buf_reset(&a.bytes);
    return answer;
}

static void states_are_merged_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 7, 100, 100000};
    for (enum packet_compression how = PACKET_PLAIN; how <= PACKET_SNAPPY; how++)
        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
            struct buf bytes = {0};
            exchange_bytes(&bytes, how);
            buf_clear(&heard);
            assert_true(feed(buf_view(&bytes), pieces[i]) > 50);
            buf_u8(&heard, 0);
            assert_string_equal((const char *)heard.data, "state our state;");
            assert_non_null(members_get(memberlist_members(ml), STR("other")));
            buf_reset(&bytes);
        }
    assert_int_equal(memberlist_stats(ml)->streams_ok, 15);
}

/* Every prefix, and every prefix with a wrong byte behind it. */
static void a_cut_or_wrong_stream_is_no_harm(void **state)
{
    (void)state;
    struct buf bytes = {0};
    exchange_bytes(&bytes, PACKET_PLAIN);
    for (size_t n = 0; n < bytes.size; n++) {
        (void)feed(str_head(buf_view(&bytes), n), 64);
        uint8_t was = bytes.data[n];
        bytes.data[n] = 0xc1;
        (void)feed(buf_view(&bytes), 64);
        bytes.data[n] = was;
    }
    assert_int_equal(memberlist_due(ml) > 0, 1);
    buf_reset(&bytes);
}

static void a_stream_ping_is_answered(void **state)
{
    (void)state;
    struct buf msg = {0};
    msg_put_ping(&msg, &(struct msg_ping){.seq = 5, .node = STR("self")});
    assert_true(feed(buf_view(&msg), 3) > 0);
    buf_clear(&msg);
    msg_put_ping(&msg, &(struct msg_ping){.seq = 5, .node = STR("other")});
    assert_int_equal(feed(buf_view(&msg), 3), 0);
    buf_reset(&msg);
}

static void foreign_versions_are_refused(void **state)
{
    (void)state;
    struct buf msg = {0};
    struct gossip_addr a = addr(4);
    static const uint8_t strange[6] = {6, 9, 7, 0, 0, 0};
    msg_put_push_pull(&msg, &(struct msg_push_pull){2, 0, true});
    struct msg_node n = {.name = STR("x"),
                         .ip = gossip_addr_ip(&a),
                         .port = 7946,
                         .incarnation = 1,
                         .vsn = str_of(strange, 6)};
    msg_put_node(&msg, &n);
    n.name = STR("y");
    n.vsn = (struct str){0};
    msg_put_node(&msg, &n);
    (void)feed(buf_view(&msg), 1000);
    assert_int_equal(memberlist_stats(ml)->merge_refused, 1);
    assert_int_equal(members_count(memberlist_members(ml)), 1);
    buf_reset(&msg);
}

static void absurd_lengths_are_refused_at_once(void **state)
{
    (void)state;
    static const struct msg_push_pull bad[] = {
        {1 << 21, 0, false}, {-1, 0, false}, {0, (int64_t)1 << 40, false}, {0, -1, false}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf msg = {0};
        msg_put_push_pull(&msg, &bad[i]);
        (void)feed(buf_view(&msg), 1000);
        buf_reset(&msg);
    }
    assert_int_equal(memberlist_stats(ml)->streams_bad, 4);
}

/* A ping whose name never ends keeps no megabytes. */
static void an_endless_ping_is_refused(void **state)
{
    (void)state;
    struct buf msg = {0};
    buf_u8(&msg, MSG_PING);
    mp_put_map(&msg, 1);
    mp_put_raw(&msg, STR("Node"));
    buf_u8(&msg, 0xdb);
    buf_u32be(&msg, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buf_u8(&msg, 'n');
    assert_int_equal(feed(str_head(buf_view(&msg), 60000), 1000), 0);
    assert_true(feed(buf_view(&msg), 1000) > 0); /* told why, long before a megabyte */
    buf_reset(&msg);
}

static void silent_streams_end_and_are_bounded(void **state)
{
    (void)state;
    struct gossip_addr from = addr(4);
    struct memberlist_action a;
    size_t open = 0, closed = 0;
    while (memberlist_on_accept(ml, &from, 0) != 0)
        open++;
    assert_int_equal(open, 127); /* memberlist takes no 128th at a time */
    assert_int_equal(memberlist_stats(ml)->streams_refused, 1);
    memberlist_tick(ml, 2000);
    while (memberlist_next(ml, &a)) {
        closed += a.verb == ML_STREAM_CLOSE ? 1 : 0;
        buf_reset(&a.bytes);
    }
    assert_int_equal(closed, 127);
    assert_int_not_equal(memberlist_on_accept(ml, &from, 2000), 0);
}

static void a_join_tells_how_it_went(void **state)
{
    (void)state;
    struct gossip_addr to = addr(4);
    struct memberlist_action a;
    int code = 1;
    assert_int_equal(memberlist_join(ml, &to, 77, 0), 0);
    assert_true(memberlist_next(ml, &a));
    assert_int_equal(a.verb, ML_STREAM_OPEN);
    memberlist_on_end(ml, a.stream, ERR_REFUSED, 10);
    buf_reset(&a.bytes);
    assert_true(memberlist_next(ml, &a));
    assert_int_equal(a.verb, ML_JOINED);
    assert_int_equal(a.tag, 77);
    assert_int_equal(a.code, ERR_REFUSED);
    assert_int_equal(memberlist_join(ml, &to, 78, 0), 0);
    assert_true(memberlist_next(ml, &a));
    uint32_t id = a.stream;
    buf_reset(&a.bytes);
    struct buf answer = {0}; /* a peer's answer is its own exchange */
    exchange_bytes(&answer, PACKET_LZW);
    memberlist_on_connect(ml, id, 20);
    memberlist_on_bytes(ml, id, buf_view(&answer), 30);
    while (memberlist_next(ml, &a)) {
        code = a.verb == ML_JOINED ? a.code : code;
        buf_reset(&a.bytes);
    }
    assert_int_equal(code, 0);
    buf_reset(&answer);
}

static void leaving_is_told_before_it_is_over(void **state)
{
    (void)state;
    struct memberlist_action a;
    mono_ms now = 0;
    know("b", 2);
    drain(&now);
    struct buf doubt = {0}; /* who is only suspected is told, too */
    msg_put_suspect(&doubt, &(struct msg_accuse){1, STR("b"), STR("c")});
    receive(&doubt, now);
    buf_reset(&doubt);
    drain(&now);
    assert_int_equal(memberlist_leave(ml, now), 0);
    assert_false(memberlist_has_left(ml));
    for (int i = 0; i < 10 && !memberlist_has_left(ml); i++) {
        now += 200;
        memberlist_tick(ml, now);
        while (memberlist_next(ml, &a))
            buf_reset(&a.bytes);
    }
    assert_true(memberlist_has_left(ml));
}

static void without_memory_nothing_leaks(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct memberlist_config c = config("third", 5);
    struct gossip_addr from = addr(4);
    struct memberlist_action a;
    exchange_bytes(&bytes, PACKET_LZW);
    for (uint64_t n = 1;; n++) {
        struct memberlist *t = NULL;
        mem_fail_at(n);
        int rc = memberlist_init(&t, &c, &delegate, &rng, NULL, 0, NULL);
        assert_true(rc == 0 || t == NULL);
        if (rc == 0) {
            uint32_t id = memberlist_on_accept(t, &from, 0);
            memberlist_on_bytes(t, id, buf_view(&bytes), 0);
            (void)memberlist_join(t, &from, 1, 0);
            memberlist_tick(t, 300);
            while (memberlist_next(t, &a))
                buf_reset(&a.bytes);
        }
        int over = mem_fail_pending();
        mem_fail_at(0);
        memberlist_free(&t);
        buf_reset(&heard);
        if (over)
            break;
    }
    buf_reset(&bytes);
}

/* 65,000 pings in one packet: a few thousand answers wait, and the rest costs nothing. */
static void one_packet_cannot_ask_for_answers_without_end(void **state)
{
    (void)state;
    struct buf ping = {0}, inner = {0}, outer = {0}, packed = {0};
    struct memberlist_action a;
    size_t answers = 0;
    msg_put_ping(&ping, &(struct msg_ping){.seq = 7});
    buf_u8(&inner, MSG_COMPOUND);
    buf_u8(&inner, 255);
    for (int i = 0; i < 255; i++)
        buf_u16be(&inner, (uint16_t)ping.size);
    for (int i = 0; i < 255; i++)
        buf_str(&inner, buf_view(&ping));
    buf_u8(&outer, MSG_COMPOUND);
    buf_u8(&outer, 255);
    for (int i = 0; i < 255; i++)
        buf_u16be(&outer, (uint16_t)inner.size);
    for (int i = 0; i < 255; i++)
        buf_str(&outer, buf_view(&inner));
    assert_int_equal(packet_pack(&packed, buf_view(&outer), PACKET_SNAPPY), 0);
    receive(&packed, 0);
    while (memberlist_next(ml, &a)) {
        answers++;
        buf_reset(&a.bytes);
    }
    assert_int_equal(answers, 4096);
    assert_int_equal(memberlist_stats(ml)->dropped_full, 255 * 255 - 4096);
    receive(&ping, 0);
    (void)assert_sent("9:2 "); /* and then it goes on */
    buf_reset(&ping);
    buf_reset(&inner);
    buf_reset(&outer);
    buf_reset(&packed);
}

/* Who opens streams without end takes only its own places. */
static void a_peer_with_many_streams_keeps_nobody_out(void **state)
{
    (void)state;
    struct gossip_addr flooder = addr(66), other = addr(4);
    struct memberlist_action a;
    struct buf bytes = {0};
    size_t written = 0;
    uint32_t first = memberlist_on_accept(ml, &flooder, 0);
    for (int i = 1; i < 127; i++)
        assert_true(memberlist_on_accept(ml, &flooder, 0) != 0);
    assert_int_equal(memberlist_on_accept(ml, &flooder, 0), 0);
    uint32_t id = memberlist_on_accept(ml, &other, 0);
    assert_true(id != 0);
    assert_true(memberlist_next(ml, &a)); /* the oldest had to go */
    assert_int_equal(a.verb, ML_STREAM_CLOSE);
    assert_int_equal(a.stream, first);
    assert_int_equal(memberlist_stats(ml)->streams_refused, 2);
    exchange_bytes(&bytes, PACKET_PLAIN);
    memberlist_on_bytes(ml, id, buf_view(&bytes), 0);
    while (memberlist_next(ml, &a)) {
        written += a.verb == ML_STREAM_WRITE && a.stream == id;
        buf_reset(&a.bytes);
    }
    assert_int_equal(written, 1);
    assert_int_equal(memberlist_stats(ml)->streams_ok, 1);
    buf_reset(&bytes);
}

static size_t nothing_queued(void *arg)
{
    (void)arg;
    return 0;
}

static void hear_of(struct memberlist *t, uint8_t last, mono_ms now)
{
    struct gossip_addr a = addr(last);
    struct buf msg = {0};
    char name[2] = {(char)('a' + last), '\0'};
    struct msg_alive alive = {.incarnation = 1,
                              .node = str_c(name),
                              .ip = gossip_addr_ip(&a),
                              .port = a.port,
                              .vsn = str_of(member_vsn, MEMBER_VSN_SIZE)};
    msg_put_alive(&msg, &alive);
    memberlist_on_packet(t, &a, buf_view(&msg), now);
    buf_reset(&msg);
}

/* Tick when it is due; how many packets went out. */
static unsigned packets_of(struct memberlist *t, mono_ms now)
{
    struct memberlist_action a;
    unsigned count = 0;
    memberlist_tick(t, now);
    for (; memberlist_next(t, &a); count++)
        buf_reset(&a.bytes);
    return count;
}

static void with_nothing_to_tell_gossip_sleeps_and_keeps_its_beat(void **state)
{
    (void)state;
    struct memberlist_delegate quiet = {.queued = nothing_queued};
    struct memberlist_config c = config("quiet", 9);
    struct memberlist *t = NULL;
    c.probe_interval_ms = c.pushpull_interval_ms = 0;
    assert_int_equal(memberlist_init(&t, &c, &quiet, &rng, NULL, 0, NULL), 0);
    hear_of(t, 2, 0);
    mono_ms now = memberlist_due(t);
    assert_int_equal(now, 200);
    for (; now != MONO_NEVER; now = memberlist_due(t)) {
        assert_true(now <= 10000);
        (void)packets_of(t, now);
    }
    assert_int_equal(memberlist_queued(t), 0);
    hear_of(t, 3, 10050);
    assert_true(memberlist_due(t) <= 10050);
    assert_int_equal(packets_of(t, 10050), 0);
    assert_int_equal(memberlist_due(t), 10200);
    assert_int_equal(packets_of(t, 10200), 2);
    memberlist_free(&t);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_ping_is_answered_where_it_says),
        T(news_rides_on_every_packet),
        T(an_indirect_ping_is_carried_out),
        T(asking_without_end_is_refused),
        T(user_messages_reach_the_delegate),
        T(garbage_is_counted),
        T(a_silent_member_is_found_dead),
        T(a_member_that_answers_stays),
        T(states_are_merged_in_pieces_of_any_size),
        T(a_cut_or_wrong_stream_is_no_harm),
        T(a_stream_ping_is_answered),
        T(foreign_versions_are_refused),
        T(absurd_lengths_are_refused_at_once),
        T(an_endless_ping_is_refused),
        T(silent_streams_end_and_are_bounded),
        T(a_join_tells_how_it_went),
        T(leaving_is_told_before_it_is_over),
        T(with_nothing_to_tell_gossip_sleeps_and_keeps_its_beat),
        T(without_memory_nothing_leaks),
        T(one_packet_cannot_ask_for_answers_without_end),
        T(a_peer_with_many_streams_keeps_nobody_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
