/* Every body of memberlist is written byte for byte as Go writes it, and read back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/messages.h"

#include "base/err.h"
#include "gossip/msgpack.h"
#include "hex.h"

static const char vsn[] = {1, 5, 2, 0, 0, 0};

struct fixture {
    struct buf ip, out;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    hex_put(&f.ip, VECTOR_IP);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    buf_reset(&f->ip);
    buf_reset(&f->out);
    return 0;
}

/* A reader behind the type byte of what was just written. */
static struct mp_reader again(const struct fixture *f)
{
    return mp_reader_of(str_skip(buf_view(&f->out), 1));
}

static void a_ping_without_source_leaves_it_out(void **state)
{
    struct fixture *f = *state;
    msg_put_ping(&f->out, &(struct msg_ping){.seq = 5, .node = STR("b")});
    assert_hex(buf_view(&f->out), "0082a44e6f6465a162a55365714e6f05");
}

static void a_ping_names_its_source(void **state)
{
    struct fixture *f = *state;
    struct msg_ping m = {.seq = 300,
                         .node = STR("b"),
                         .source_ip = buf_view(&f->ip),
                         .source_port = 7946,
                         .source_node = STR("a")},
                    got;
    msg_put_ping(&f->out, &m);
    assert_hex(buf_view(&f->out),
               "0085a44e6f6465a162a55365714e6fcd012caa536f7572636541646472b0" VECTOR_IP
               "aa536f757263654e6f6465a161aa536f75726365506f7274cd1f0a");
    struct mp_reader r = again(f);
    assert_int_equal(msg_get_ping(&r, &got), 0);
    assert_int_equal(got.seq, 300);
    assert_int_equal(got.source_port, 7946);
    assert_true(str_eq(got.source_ip, buf_view(&f->ip)));
    assert_true(str_eq(got.source_node, STR("a")));
}

static void an_indirect_ping_is_as_go_writes_it(void **state)
{
    struct fixture *f = *state;
    struct msg_indirect_ping m = {.seq = 70000,
                                  .target_ip = buf_view(&f->ip),
                                  .port = 7946,
                                  .node = STR("b"),
                                  .nack = true,
                                  .source_ip = buf_view(&f->ip),
                                  .source_port = 7946,
                                  .source_node = STR("a")},
                             got;
    msg_put_indirect_ping(&f->out, &m);
    assert_hex(buf_view(&f->out),
               "0188a44e61636bc3a44e6f6465a162a4506f7274cd1f0aa55365714e6fce00011170"
               "aa536f7572636541646472b0" VECTOR_IP "aa536f757263654e6f6465a161"
               "aa536f75726365506f7274cd1f0aa6546172676574b0" VECTOR_IP);
    struct mp_reader r = again(f);
    assert_int_equal(msg_get_indirect_ping(&r, &got), 0);
    assert_true(got.nack);
    assert_int_equal(got.seq, 70000);
    assert_true(str_eq(got.target_ip, buf_view(&f->ip)));
}

static void answers_are_as_go_writes_them(void **state)
{
    struct fixture *f = *state;
    msg_put_ack(&f->out, &(struct msg_ack){.seq = 300});
    assert_hex(buf_view(&f->out), "0282a75061796c6f6164c0a55365714e6fcd012c");
    struct mp_reader r = again(f);
    struct msg_ack ack;
    assert_int_equal(msg_get_ack(&r, &ack), 0);
    assert_int_equal(ack.seq, 300);
    assert_null(ack.payload.data);
    buf_clear(&f->out);
    msg_put_nack(&f->out, &(struct msg_nack){300});
    assert_hex(buf_view(&f->out), "0b81a55365714e6fcd012c");
    buf_clear(&f->out);
    msg_put_err(&f->out, &(struct msg_err){STR("boom")});
    assert_hex(buf_view(&f->out), "0d81a54572726f72a4626f6f6d");
    r = again(f);
    struct msg_err e;
    assert_int_equal(msg_get_err(&r, &e), 0);
    assert_true(str_eq(e.text, STR("boom")));
}

static void accusations_are_as_go_writes_them(void **state)
{
    struct fixture *f = *state;
    msg_put_suspect(&f->out, &(struct msg_accuse){1, STR("b"), STR("a")});
    assert_hex(buf_view(&f->out), "0383a446726f6da161ab496e6361726e6174696f6e01a44e6f6465a162");
    buf_clear(&f->out);
    msg_put_dead(&f->out, &(struct msg_accuse){200, STR("a"), STR("a")});
    assert_hex(buf_view(&f->out),
               "0583a446726f6da161ab496e6361726e6174696f6eccc8a44e6f6465a161");
    struct mp_reader r = again(f);
    struct msg_accuse got;
    assert_int_equal(msg_get_accuse(&r, &got), 0);
    assert_int_equal(got.incarnation, 200);
    assert_true(str_eq(got.from, STR("a")));
}

static void alive_is_as_go_writes_it(void **state)
{
    struct fixture *f = *state;
    struct msg_alive got;
    msg_put_alive(&f->out, &(struct msg_alive){.incarnation = 1,
                                               .node = STR("a"),
                                               .ip = buf_view(&f->ip),
                                               .port = 7946,
                                               .vsn = str_of(vsn, 6)});
    assert_hex(buf_view(&f->out), VECTOR_ALIVE);
    struct mp_reader r = again(f);
    assert_int_equal(msg_get_alive(&r, &got), 0);
    assert_null(got.meta.data);
    assert_int_equal(got.port, 7946);
    assert_true(str_eq(got.vsn, str_of(vsn, 6)));
}

static void push_pull_is_as_go_writes_it(void **state)
{
    struct fixture *f = *state;
    msg_put_push_pull(&f->out, &(struct msg_push_pull){1, 200, true});
    assert_hex(buf_view(&f->out),
               "0683a44a6f696ec3a54e6f64657301ac5573657253746174654c656ed100c8");
    buf_clear(&f->out);
    msg_put_push_pull(&f->out, &(struct msg_push_pull){2, 70000, false});
    assert_hex(buf_view(&f->out),
               "0683a44a6f696ec2a54e6f64657302ac5573657253746174654c656ed200011170");
    buf_clear(&f->out);
    msg_put_node(&f->out, &(struct msg_node){.name = STR("a"),
                                             .ip = buf_view(&f->ip),
                                             .port = 7946,
                                             .incarnation = 1,
                                             .state = MEMBER_ALIVE,
                                             .vsn = str_of(vsn, 6)});
    assert_hex(buf_view(&f->out),
               "87a441646472b0" VECTOR_IP "ab496e6361726e6174696f6e01a44d657461c0a44e616d65a161"
               "a4506f7274cd1f0aa5537461746500a356736ea6010502000000");
    buf_clear(&f->out);
    msg_put_user_header(&f->out, &(struct msg_user_header){40000});
    assert_hex(buf_view(&f->out), "0881aa557365724d73674c656ed200009c40");
}

static void unknown_keys_are_skipped_and_order_does_not_matter(void **state)
{
    struct fixture *f = *state;
    struct msg_accuse got;
    /* {"Node":"b","New":{"x":[1,nil]},"Incarnation":3} */
    hex_put(&f->out, "0083a44e6f6465a162a34e657781a1789201c0ab496e6361726e6174696f6e03");
    struct mp_reader r = again(f);
    assert_int_equal(msg_get_accuse(&r, &got), 0);
    assert_int_equal(got.incarnation, 3);
    assert_true(str_eq(got.node, STR("b")));
    assert_int_equal(got.from.len, 0);
}

/* What is not known is read anew with every piece of a stream: it must not be a day's work. */
static void unknown_keys_may_hold_only_so_much(void **state)
{
    struct fixture *f = *state;
    struct msg_accuse got;
    for (unsigned items = 80; items <= 90; items += 10) {
        buf_clear(&f->out);
        buf_u8(&f->out, MSG_SUSPECT);
        mp_put_map(&f->out, 4);
        for (int key = 0; key < 3; key++) {
            mp_put_raw(&f->out, STR("New"));
            buf_u8(&f->out, 0xdc);
            buf_u16be(&f->out, (uint16_t)items);
            for (unsigned i = 0; i < items; i++)
                mp_put_nil(&f->out);
        }
        mp_put_raw(&f->out, STR("Incarnation"));
        mp_put_uint(&f->out, 3);
        struct mp_reader r = again(f);
        assert_int_equal(msg_get_accuse(&r, &got), items == 80 ? 0 : ERR_PARSE);
    }
    assert_in_range(3 * 81, 3, MP_SKIP_ITEMS_MAX);
}

static void a_cut_body_asks_for_more_and_a_wrong_one_is_refused(void **state)
{
    struct fixture *f = *state;
    struct msg_alive got;
    hex_put(&f->out, VECTOR_ALIVE);
    for (size_t n = 1; n < f->out.size; n++) {
        struct mp_reader r = mp_reader_of(str_of(f->out.data + 1, n - 1));
        assert_int_equal(msg_get_alive(&r, &got), ERR_AGAIN);
    }
    buf_clear(&f->out);
    hex_put(&f->out, "0481ab496e6361726e6174696f6ecf0000000100000000"); /* 2^32 */
    struct mp_reader r = again(f);
    assert_int_equal(msg_get_alive(&r, &got), ERR_PARSE);
    buf_clear(&f->out);
    hex_put(&f->out, "04dfffffffff");
    r = again(f);
    assert_int_equal(msg_get_alive(&r, &got), ERR_PARSE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_ping_without_source_leaves_it_out),
        T(a_ping_names_its_source),
        T(an_indirect_ping_is_as_go_writes_it),
        T(answers_are_as_go_writes_them),
        T(accusations_are_as_go_writes_them),
        T(alive_is_as_go_writes_it),
        T(push_pull_is_as_go_writes_it),
        T(unknown_keys_are_skipped_and_order_does_not_matter),
        T(unknown_keys_may_hold_only_so_much),
        T(a_cut_body_asks_for_more_and_a_wrong_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
