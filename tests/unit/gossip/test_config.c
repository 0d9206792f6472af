/* The options of -memberlist.*: dskit's names and defaults, and errors that say what to do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/config.h"

#include <string.h>

#include "gossip/core.h"

/* Read a command line of at most 4 options; 0 or what went wrong, with its text. */
static int load(struct gossip_config *c, struct conf **conf, struct err *err, const char *a,
                const char *b)
{
    static struct conf_section section;
    const char *argv[] = {"x", a, b};
    section = (struct conf_section){"Gossip",    "memberlist.", "memberlist",
                                    gossip_rows, c,             gossip_config_validate};
    int rc = conf_init(conf, &section, 1, err);
    rc = rc != 0 ? rc : conf_args(*conf, a == NULL ? 1 : b == NULL ? 2 : 3, argv, err);
    rc = rc != 0 ? rc : conf_apply(*conf, err);
    return rc;
}

static void the_defaults_are_those_of_dskit(void **state)
{
    (void)state;
    struct gossip_config c = {0};
    struct conf *conf = NULL;
    struct err err = {0};
    assert_int_equal(load(&c, &conf, &err, NULL, NULL), 0);
    struct gossip_core_config got = gossip_config_core(&c), want = gossip_core_config_default();
    assert_int_equal(c.bind_port, 7946);
    assert_true(c.randomize_name);
    assert_int_equal(got.members.gossip_interval_ms, want.members.gossip_interval_ms);
    assert_int_equal(got.members.gossip_nodes, want.members.gossip_nodes);
    assert_int_equal(got.members.pushpull_interval_ms, want.members.pushpull_interval_ms);
    assert_int_equal(got.members.retransmit_mult, want.members.retransmit_mult);
    assert_int_equal(got.members.dead_gossip_ms, want.members.dead_gossip_ms);
    assert_int_equal(got.members.probe_interval_ms, want.members.probe_interval_ms);
    assert_int_equal(got.members.probe_timeout_ms, want.members.probe_timeout_ms);
    assert_int_equal(got.members.stream_timeout_ms, want.members.stream_timeout_ms);
    assert_int_equal(got.members.compression, PACKET_LZW);
    assert_int_equal(got.kv.tombstone_ms, want.kv.tombstone_ms);
    assert_int_equal(got.kv.obsolete_ms, want.kv.obsolete_ms);
    assert_int_equal(got.join.backoff_max_ms, want.join.backoff_max_ms);
    assert_int_equal(got.join.rejoin_ms, want.join.rejoin_ms);
    assert_int_equal(got.leave_ms, want.leave_ms);
    assert_int_equal(got.flush_ms, want.flush_ms);
    conf_free(&conf);
}

static void join_may_be_repeated_and_listed(void **state)
{
    (void)state;
    struct gossip_config c = {0};
    struct conf *conf = NULL;
    struct err err = {0};
    assert_int_equal(load(&c, &conf, &err, "-memberlist.join=10.0.0.1:1,10.0.0.2",
                          "-memberlist.join=[::1]:7946"),
                     0);
    assert_int_equal(c.join.count, 3);
    conf_free(&conf);
    assert_int_equal(load(&c, &conf, &err, "-memberlist.join=dns+gossip,host,dnssrvnoa+x",
                          "-memberlist.rejoin-seed-nodes=dnssrv+_a._tcp.b"),
                     0);
    assert_int_equal(c.rejoin.count, 1);
    conf_free(&conf);
}

static void what_cannot_work_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *flag, *reason;
    } rows[] = {
        {"-memberlist.join=srv+gossip:7946", "-memberlist.join: \"srv+gossip:7946\": the words"},
        {"-memberlist.join=a,b:0", "-memberlist.join: \"b:0\": the port"},
        {"-memberlist.rejoin-seed-nodes=10.0.0", "-memberlist.rejoin-seed-nodes: \"10.0.0\""},
        {"-memberlist.bind-addr=localhost", "bind-addr"},
        {"-memberlist.bind-addr=127.0.0.1:80", "bind-addr"},
        {"-memberlist.advertise-addr=host", "advertise-addr"},
        {"-memberlist.bind-port=70000", "65535"},
        {"-memberlist.gossip-interval=0", "gossip-interval"},
        {"-memberlist.probe-interval=2s", "probe-interval"},
        {"-memberlist.probe-timeout=0", "probe-timeout"},
        {"-memberlist.min-join-backoff=0", "min-join-backoff"},
        {"-memberlist.max-join-backoff=10ms", "max-join-backoff"},
        {"-memberlist.compression-algorithm=zip", "lzw or snappy"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gossip_config c = {0};
        struct conf *conf = NULL;
        struct err err = {0};
        assert_int_not_equal(load(&c, &conf, &err, rows[i].flag, NULL), 0);
        if (strstr(err.msg, rows[i].reason) == NULL)
            fail_msg("%s: %s", rows[i].flag, err.msg);
        conf_free(&conf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_dskit),
        cmocka_unit_test(join_may_be_repeated_and_listed),
        cmocka_unit_test(what_cannot_work_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
