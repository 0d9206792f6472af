/* The machine with other parameters than dskit's: sets for other networks, versions, metadata,
 * pings over streams, encryption, another transport. */
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

static struct rng rng;

static struct gossip_addr addr(uint8_t last)
{
    return (struct gossip_addr){
        .ip = {[10] = 0xff, 0xff, 10, 0, 0, last}, .size = 16, .port = 7946};
}

static struct memberlist *member(struct memberlist_config c, const char *name, uint8_t last)
{
    static const struct memberlist_delegate none;
    struct memberlist *ml = NULL;
    c.name = str_c(name);
    c.addr = addr(last);
    rng_seed(&rng, last);
    assert_int_equal(memberlist_init(&ml, &c, &none, &rng, NULL, 0, NULL), 0);
    return ml;
}

/* Config.go's tables, and what dskit and Alertmanager make of the first. */
static void the_sets_are_memberlists(void **state)
{
    (void)state;
    const struct memberlist_config sets[] = {memberlist_config_lan(), memberlist_config_wan(),
                                             memberlist_config_local(), memberlist_config_dskit(),
                                             memberlist_config_alertmanager()};
    static const uint32_t want[][13] = {
        {10000, 3, 4, 4, 6, 30000, 1000, 500, 8, 3, 200, 30000, 1},
        {30000, 3, 4, 6, 6, 60000, 5000, 3000, 8, 4, 500, 60000, 1},
        {1000, 1, 2, 3, 6, 15000, 1000, 200, 8, 3, 100, 15000, 1},
        {2000, 3, 4, 4, 6, 30000, 5000, 2000, 8, 3, 200, 30000, 0},
        {10000, 3, 4, 4, 6, 60000, 1000, 500, 8, 3, 200, 30000, 1},
    };
    for (size_t i = 0; i < 5; i++) {
        const struct memberlist_config *c = &sets[i];
        const uint32_t got[13] = {c->stream_timeout_ms, c->indirect_checks,
                                  c->retransmit_mult,   c->suspicion_mult,
                                  c->suspicion_max_mult, c->pushpull_interval_ms,
                                  c->probe_interval_ms, c->probe_timeout_ms,
                                  c->awareness_max,     c->gossip_nodes,
                                  c->gossip_interval_ms, c->dead_gossip_ms,
                                  c->stream_pings};
        for (size_t k = 0; k < 13; k++)
            if (got[k] != want[i][k])
                fail_msg("set %zu, value %zu: %u", i, k, got[k]);
        assert_int_equal(c->packet_bytes, i == 3 ? 10 << 20 : 1400);
        assert_int_equal(c->reclaim_ms, 0);
        struct memberlist *ml = member(*c, "x", 1);
        memberlist_free(&ml);
    }
}

/* --- two members by hand -------------------------------------------------------------------- */

struct wire {
    struct memberlist *a, *b; /* at addresses 1 and 2 */
    bool no_packets;          /* only streams arrive, as where UDP is blocked */
    uint32_t a_stream[64], b_stream[64]; /* both ends of each stream that a opened */
    size_t streams;
    struct buf seen; /* all bytes that went over the wire */
};

static void carry(struct wire *w, struct memberlist *from, struct memberlist_action *act,
                  mono_ms now)
{
    struct gossip_addr a = addr(1), b = addr(2);
    bool from_a = from == w->a;
    struct memberlist *to = from_a ? w->b : w->a;
    buf_str(&w->seen, buf_view(&act->bytes));
    if (act->verb == ML_PACKET && !w->no_packets) {
        memberlist_on_packet(to, from_a ? &a : &b, buf_view(&act->bytes), now);
    } else if (act->verb == ML_STREAM_OPEN && from_a && w->streams < 64) {
        uint32_t id = memberlist_on_accept(w->b, &a, now);
        w->a_stream[w->streams] = act->stream;
        w->b_stream[w->streams++] = id;
        memberlist_on_connect(w->a, act->stream, now);
        memberlist_on_bytes(w->b, id, buf_view(&act->bytes), now);
    } else if (act->verb == ML_STREAM_WRITE && !from_a) {
        for (size_t i = 0; i < w->streams; i++)
            if (w->b_stream[i] == act->stream)
                memberlist_on_bytes(w->a, w->a_stream[i], buf_view(&act->bytes), now);
    }
    buf_reset(&act->bytes);
}

static void settle(struct wire *w, mono_ms now)
{
    struct memberlist_action act;
    bool again = true;
    while (again) {
        again = false;
        while (memberlist_next(w->a, &act)) {
            carry(w, w->a, &act, now);
            again = true;
        }
        while (memberlist_next(w->b, &act)) {
            carry(w, w->b, &act, now);
            again = true;
        }
    }
}

static void run(struct wire *w, mono_ms from, mono_ms until)
{
    for (mono_ms now = from; now <= until; now += 100) {
        memberlist_tick(w->a, now);
        memberlist_tick(w->b, now);
        settle(w, now);
    }
}

static void wire_free(struct wire *w)
{
    memberlist_free(&w->a);
    memberlist_free(&w->b);
    buf_reset(&w->seen);
}

static const struct member *seen_by(struct memberlist *ml, const char *name)
{
    return members_get(memberlist_members(ml), str_c(name));
}

static void join(struct wire *w)
{
    struct gossip_addr to = addr(2);
    assert_int_equal(memberlist_join(w->a, &to, 1, 0), 0);
    settle(w, 0);
}

static void metadata_and_versions_are_announced_and_changed(void **state)
{
    (void)state;
    static const uint8_t vsn[6] = {1, 5, 3, 2, 4, 3};
    struct memberlist_config c = memberlist_config_dskit();
    memcpy(c.vsn, vsn, sizeof vsn);
    struct wire w = {.b = member(c, "b", 2)};
    c.meta = STR("zone-a");
    w.a = member(c, "a", 1);
    join(&w);
    assert_true(str_eq(seen_by(w.b, "a")->meta, STR("zone-a")));
    assert_memory_equal(seen_by(w.b, "a")->vsn, vsn, 6);
    assert_int_equal(memberlist_set_meta(w.a, STR("zone-b"), 0), 0);
    run(&w, 0, 2000);
    assert_true(str_eq(seen_by(w.b, "a")->meta, STR("zone-b")));
    assert_int_equal(seen_by(w.b, "a")->incarnation, 2);
    assert_int_equal(memberlist_set_meta(w.a, STR(""), 2000), 0);
    run(&w, 2000, 4000);
    assert_int_equal(seen_by(w.b, "a")->meta.len, 0);
    assert_int_equal(seen_by(w.b, "a")->incarnation, 3);
    char long_meta[MEMBER_META_MAX + 1] = {0};
    assert_int_equal(memberlist_set_meta(w.a, str_of(long_meta, sizeof long_meta), 4000),
                     ERR_INVAL);
    for (uint64_t n = 1; n <= 2; n++) {
        mem_fail_at(n);
        int rc = memberlist_set_meta(w.a, STR("new"), 4000);
        mem_fail_at(0);
        assert_int_equal(rc, ERR_NOMEM);
        assert_int_equal(seen_by(w.a, "a")->incarnation, 3);
        assert_int_equal(seen_by(w.a, "a")->meta.len, 0);
    }
    wire_free(&w);
}

/* Where packets are lost and streams are not, members stay alive by pings over streams. */
static void a_ping_over_a_stream_saves_a_member(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        struct memberlist_config c = memberlist_config_lan();
        c.stream_pings = with == 1;
        c.pushpull_interval_ms = 0;
        struct wire w = {.a = member(c, "a", 1), .b = member(c, "b", 2), .no_packets = true};
        join(&w);
        run(&w, 0, 15000);
        const struct memberlist_stats *s = memberlist_stats(w.a);
        assert_int_equal(seen_by(w.a, "b")->state, with ? MEMBER_ALIVE : MEMBER_DEAD);
        assert_int_equal(s->stream_pings_ok > 5, with);
        assert_int_equal(s->probes_failed == 0, with);
        wire_free(&w);
    }
}

/* --- encryption ----------------------------------------------------------------------------- */

enum { TAG = 9 };

/* Not a cipher: it turns each byte and appends a checksum over text and aad, keyed by *arg. */
static uint8_t checksum(uint8_t key, struct str plain, struct str aad)
{
    uint8_t sum = key;
    for (size_t i = 0; i < plain.len; i++)
        sum = (uint8_t)(sum * 31 + (uint8_t)plain.data[i]);
    for (size_t i = 0; i < aad.len; i++)
        sum = (uint8_t)(sum * 31 + (uint8_t)aad.data[i]);
    return sum;
}

static int toy_seal(void *arg, struct str plain, struct str aad, struct buf *out)
{
    uint8_t key = *(uint8_t *)arg;
    buf_put(out, "\1nonce..", TAG - 1);
    for (size_t i = 0; i < plain.len; i++)
        buf_u8(out, (uint8_t)plain.data[i] ^ key);
    buf_u8(out, checksum(key, plain, aad));
    return out->error;
}

static int toy_open(void *arg, struct str sealed, struct str aad, struct buf *out)
{
    uint8_t key = *(uint8_t *)arg;
    if (sealed.len < TAG || sealed.data[0] != 1)
        return ERR_DENIED;
    for (size_t i = TAG - 1; i + 1 < sealed.len; i++)
        buf_u8(out, (uint8_t)sealed.data[i] ^ key);
    bool ok = (uint8_t)sealed.data[sealed.len - 1] == checksum(key, buf_view(out), aad);
    if (!ok)
        buf_clear(out);
    return ok ? out->error : ERR_DENIED;
}

static struct memberlist_seal toy(uint8_t *key)
{
    return (struct memberlist_seal){
        .arg = key, .overhead = TAG, .seal = toy_seal, .open = toy_open};
}

static void sealed_members_understand_each_other_and_nobody_else(void **state)
{
    (void)state;
    uint8_t key = 0xa5, other = 0x5a;
    struct memberlist_seal seal = toy(&key), wrong = toy(&other);
    struct memberlist_config c = memberlist_config_lan();
    c.label = STR("lab");
    for (int mode = 0; mode < 3; mode++) { /* both; another key; no key */
        struct wire w = {.a = member(c, "alpha", 1), .b = member(c, "beta", 2)};
        memberlist_set_seal(w.a, &seal);
        if (mode != 2)
            memberlist_set_seal(w.b, mode == 0 ? &seal : &wrong);
        join(&w);
        run(&w, 0, 5000);
        assert_int_equal(seen_by(w.a, "beta") != NULL, mode == 0);
        assert_int_equal(seen_by(w.b, "alpha") != NULL, mode == 0);
        if (mode == 0) {
            assert_int_equal(memberlist_stats(w.a)->packets_bad, 0);
            assert_int_equal(memberlist_stats(w.a)->probes_failed, 0);
            assert_true(memberlist_stats(w.a)->probes > 2);
            assert_null(memmem(w.seen.data, w.seen.size, "alpha", 5)); /* nothing in clear */
        } else {
            assert_true(memberlist_stats(w.b)->streams_bad > 0);
        }
        wire_free(&w);
    }
}

/* While a cluster is moved to encryption, both are taken. */
static void plain_text_may_be_allowed(void **state)
{
    (void)state;
    uint8_t key = 1;
    struct memberlist_seal seal = toy(&key);
    struct memberlist_config c = memberlist_config_lan();
    struct wire w = {.a = member(c, "alpha", 1), .b = member(c, "beta", 2)};
    seal.plain_in = true;
    seal.plain_out = true;
    memberlist_set_seal(w.a, &seal); /* sends in clear, understands both */
    seal.plain_out = false;
    memberlist_set_seal(w.b, &seal); /* sends sealed, understands both */
    join(&w);
    run(&w, 0, 5000);
    assert_non_null(seen_by(w.a, "beta"));
    assert_non_null(seen_by(w.b, "alpha"));
    assert_int_equal(memberlist_stats(w.a)->packets_bad + memberlist_stats(w.b)->packets_bad, 0);
    assert_int_equal(memberlist_stats(w.a)->probes_failed, 0);
    wire_free(&w);
}

/* --- the transport -------------------------------------------------------------------------- */

static void note_packet(void *arg, const struct gossip_addr *to, struct buf *bytes)
{
    buf_printf(arg, "packet to .%u of %zu; ", to->ip[15], bytes->size);
}

static void note_open(void *arg, uint32_t stream, const struct gossip_addr *to, struct buf *bytes)
{
    buf_printf(arg, "open %u to .%u of %zu; ", stream, to->ip[15], bytes->size);
}

static void note_write(void *arg, uint32_t stream, struct buf *bytes)
{
    buf_printf(arg, "write %u of %zu; ", stream, bytes->size);
}

static void note_close(void *arg, uint32_t stream)
{
    buf_printf(arg, "close %u; ", stream);
}

static void actions_reach_the_transport(void **state)
{
    (void)state;
    struct buf notes = {0};
    const struct memberlist_transport t = {&notes, note_packet, note_open, note_write,
                                           note_close};
    for (enum memberlist_verb v = ML_PACKET; v <= ML_JOINED; v++) {
        struct memberlist_action a = {.verb = v, .to = addr(7), .stream = 5};
        buf_c(&a.bytes, "123");
        memberlist_perform(&t, &a);
        assert_null(a.bytes.data);
    }
    buf_u8(&notes, 0);
    assert_string_equal((const char *)notes.data,
                        "packet to .7 of 3; open 5 to .7 of 3; write 5 of 3; close 5; ");
    buf_reset(&notes);
}

/* An incarnation at the end of the numbers must not make a member vanish for ever. */
static void the_highest_incarnation_is_survived(void **state)
{
    (void)state;
    struct wire w = {.a = member(memberlist_config_dskit(), "a", 1),
                     .b = member(memberlist_config_dskit(), "b", 2)};
    struct gossip_addr from = addr(9);
    struct buf msg = {0};
    join(&w);
    msg_put_dead(&msg, &(struct msg_accuse){UINT32_MAX, STR("a"), STR("evil")});
    memberlist_on_packet(w.a, &from, buf_view(&msg), 0);
    memberlist_on_packet(w.b, &from, buf_view(&msg), 0);
    assert_int_equal(seen_by(w.b, "a")->state, MEMBER_DEAD);
    run(&w, 0, 60000); /* until it is forgotten */
    for (mono_ms now = 60000; now < 130000; now += 10000) {
        struct gossip_addr to = addr(2);
        (void)memberlist_join(w.a, &to, 2, now);
        run(&w, now, now + 9900);
    }
    assert_non_null(seen_by(w.b, "a"));
    assert_int_equal(seen_by(w.b, "a")->state, MEMBER_ALIVE);
    buf_reset(&msg);
    wire_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sets_are_memberlists),
        cmocka_unit_test(metadata_and_versions_are_announced_and_changed),
        cmocka_unit_test(a_ping_over_a_stream_saves_a_member),
        cmocka_unit_test(sealed_members_understand_each_other_and_nobody_else),
        cmocka_unit_test(plain_text_may_be_allowed),
        cmocka_unit_test(actions_reach_the_transport),
        cmocka_unit_test(the_highest_incarnation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
