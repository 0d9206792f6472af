/* What stands around messages: put on as memberlist puts it, taken off whatever it is, bounded. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/packet.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "gossip/messages.h"
#include "hex.h"

/* What came out, as "type:size " each. */
static void note(void *arg, uint8_t type, struct str body)
{
    buf_printf(arg, "%u:%zu ", type, body.len);
}

static int open_hex(const char *hex, struct buf *notes, uint32_t *cut)
{
    struct buf in = {0};
    hex_put(&in, hex);
    int rc = packet_open(buf_view(&in), note, notes, cut);
    buf_reset(&in);
    return rc;
}

static void assert_notes(struct buf *notes, const char *want)
{
    buf_u8(notes, 0);
    assert_string_equal((const char *)notes->data, want);
    buf_reset(notes);
}

static void a_label_must_be_ours(void **state)
{
    (void)state;
    static const char labelled[] = "\xf4\x04testX", cut[] = "\xf4\x09test", none[] = "\xf4\x00X";
    struct str s = str_of(labelled, 7);
    assert_int_equal(packet_strip_label(&s, STR("test"), false), 0);
    assert_true(str_eq(s, STR("X")));
    s = str_of(labelled, 7);
    assert_int_equal(packet_strip_label(&s, STR(""), false), ERR_DENIED);
    assert_int_equal(s.len, 7);
    assert_int_equal(packet_strip_label(&s, STR("other"), true), 0);
    assert_int_equal(s.len, 1);
    assert_int_equal(packet_strip_label(&s, STR("test"), false), ERR_DENIED);
    s = str_of(cut, 6);
    assert_int_equal(packet_strip_label(&s, STR("test"), true), ERR_PARSE);
    s = str_of(none, 3);
    assert_int_equal(packet_strip_label(&s, STR(""), true), ERR_PARSE);
    struct buf out = {0};
    packet_put_label(&out, STR("test"));
    packet_put_label(&out, STR(""));
    assert_hex(buf_view(&out), "f40474657374");
    buf_reset(&out);
}

static void a_checksum_is_checked(void **state)
{
    (void)state;
    struct buf notes = {0};
    assert_int_equal(open_hex("0ce85ba1e3" VECTOR_ALIVE, &notes, NULL), 0);
    assert_notes(&notes, "4:68 ");
    assert_int_equal(open_hex("0ce85ba1e4" VECTOR_ALIVE, &notes, NULL), ERR_PARSE);
    assert_int_equal(open_hex("0ce85b", &notes, NULL), ERR_PARSE);
    assert_int_equal(notes.size, 0);
}

static void the_compressed_vector_is_opened_and_made(void **state)
{
    (void)state;
    struct buf notes = {0}, out = {0}, alive = {0}, want = {0};
    static const char frame[] = "0982a4416c676f00a3427566da0046" VECTOR_ALIVE_LZW;
    assert_int_equal(open_hex(frame, &notes, NULL), 0);
    assert_notes(&notes, "4:68 ");
    /* 85 bytes for 78: the sender keeps the plain form. */
    hex_put(&alive, VECTOR_ALIVE);
    assert_int_equal(packet_pack(&out, buf_view(&alive), PACKET_LZW), 0);
    assert_hex(buf_view(&out), VECTOR_ALIVE);
    buf_reset(&out);
    buf_reset(&alive);
    buf_reset(&want);
}

static void both_compressions_come_back(void **state)
{
    (void)state;
    for (enum packet_compression how = PACKET_PLAIN; how <= PACKET_SNAPPY; how++) {
        struct buf in = {0}, out = {0}, notes = {0};
        buf_u8(&in, MSG_USER);
        for (int i = 0; i < 500; i++)
            buf_c(&in, "again and again ");
        assert_int_equal(packet_pack(&out, buf_view(&in), how), 0);
        assert_int_equal(out.data[0], how == PACKET_PLAIN ? MSG_USER : MSG_COMPRESS);
        assert_true(how == PACKET_PLAIN || out.size < in.size / 4);
        assert_int_equal(packet_open(buf_view(&out), note, &notes, NULL), 0);
        assert_notes(&notes, "8:8000 ");
        buf_reset(&in);
        buf_reset(&out);
    }
}

static void an_unknown_compression_is_refused(void **state)
{
    (void)state;
    struct buf notes = {0};
    assert_int_equal(open_hex("0982a4416c676f02a3427566a0", &notes, NULL), ERR_PARSE);
    assert_int_equal(open_hex("0982a4416c676f00a3427566a3000302", &notes, NULL), ERR_PARSE);
    assert_int_equal(notes.size, 0);
}

#define ACK "0282a75061796c6f6164c0a55365714e6fcd012c"
#define DEAD "0583a446726f6da161ab496e6361726e6174696f6eccc8a44e6f6465a161"

static void a_compound_is_the_vector(void **state)
{
    (void)state;
    struct buf notes = {0};
    uint32_t cut = 9;
    assert_int_equal(open_hex("07020014001e" ACK DEAD, &notes, &cut), 0);
    assert_int_equal(cut, 0);
    assert_notes(&notes, "2:19 5:29 ");
}

static void parts_cut_off_are_counted_and_a_cut_table_is_an_error(void **state)
{
    (void)state;
    struct buf notes = {0};
    uint32_t cut = 0;
    assert_int_equal(open_hex("0703001400140014" ACK ACK, &notes, &cut), 0);
    assert_int_equal(cut, 1);
    assert_notes(&notes, "2:19 2:19 ");
    assert_int_equal(open_hex("07030014", &notes, &cut), ERR_PARSE);
    assert_int_equal(open_hex("07", &notes, &cut), ERR_PARSE);
    assert_int_equal(open_hex("", &notes, &cut), ERR_PARSE);
}

/* A part that cannot be read does not take the others with it. */
static void a_bad_part_leaves_the_others(void **state)
{
    (void)state;
    struct buf notes = {0};
    assert_int_equal(open_hex("0703001400010014" ACK "09" ACK, &notes, NULL), ERR_PARSE);
    assert_notes(&notes, "2:19 2:19 ");
}

/* Compounds in compounds, as deep as they like. */
static void nesting_has_an_end(void **state)
{
    (void)state;
    struct buf packet = {0}, notes = {0};
    hex_put(&packet, ACK);
    for (int depth = 0; depth < 20; depth++) {
        struct buf outer = {0};
        hex_put(&outer, "0701");
        buf_u16be(&outer, (uint16_t)packet.size);
        buf_str(&outer, buf_view(&packet));
        buf_reset(&packet);
        packet = outer;
        buf_clear(&notes);
        int rc = packet_open(buf_view(&packet), note, &notes, NULL);
        assert_int_equal(rc, depth < 8 ? 0 : ERR_LIMIT);
        assert_int_equal(notes.size > 0, depth < 8);
    }
    buf_reset(&packet);
    buf_reset(&notes);
}

static void count_message(void *arg, uint8_t type, struct str body)
{
    (void)type;
    (void)body;
    (*(int *)arg)++;
}

/* A small packet that unpacks to more than the limit, by either algorithm, at once or in steps. */
static void bombs_stop_at_the_limit(void **state)
{
    (void)state;
    struct buf huge = {0}, bomb = {0}, half = {0}, twice = {0};
    static char zeros[1 << 20];
    int messages = 0;
    zeros[0] = MSG_USER;
    while (huge.size <= PACKET_UNPACKED_MAX)
        buf_put(&huge, zeros, sizeof zeros);
    for (enum packet_compression how = PACKET_LZW; how <= PACKET_SNAPPY; how++) {
        buf_clear(&bomb);
        assert_int_equal(packet_pack(&bomb, buf_view(&huge), how), 0);
        assert_in_range(bomb.size, 1, 3 << 20);
        assert_int_equal(packet_open(buf_view(&bomb), count_message, &messages, NULL), ERR_LIMIT);
    }
    /* Two parts of a compound, each below the limit. */
    assert_int_equal(packet_pack(&half, str_head(buf_view(&huge), 25 << 20), PACKET_LZW), 0);
    assert_in_range(half.size, 1, PACKET_PART_BYTES);
    buf_u8(&twice, MSG_COMPOUND);
    buf_u8(&twice, 2);
    buf_u16be(&twice, (uint16_t)half.size);
    buf_u16be(&twice, (uint16_t)half.size);
    buf_str(&twice, buf_view(&half));
    buf_str(&twice, buf_view(&half));
    assert_int_equal(messages, 0);
    assert_int_equal(packet_open(buf_view(&twice), count_message, &messages, NULL), ERR_LIMIT);
    assert_int_equal(messages, 1);
    buf_reset(&huge);
    buf_reset(&bomb);
    buf_reset(&half);
    buf_reset(&twice);
}

static void the_label_of_any_bytes_can_be_told(void **state)
{
    (void)state;
    assert_true(str_eq(packet_label(STR("\xf4\x03red\x06")), STR("red")));
    assert_int_equal(packet_label(STR("\xf4\x04red")).len, 0);
    assert_int_equal(packet_label(STR("\xf4")).len, 0);
    assert_int_equal(packet_label(STR("")).len, 0);
    assert_int_equal(packet_label(STR("\x06 red")).len, 0);
}

static void keep(void *arg, struct str packet)
{
    buf_printf(arg, "%u/%zu ", (uint8_t)packet.data[0], packet.len);
}

static void parts_go_out_as_memberlist_sends_them(void **state)
{
    (void)state;
    struct parts p = {0};
    struct buf big = {0}, notes = {0};
    assert_int_equal(parts_send(&p, keep, &notes), 0);
    parts_add(&p, STR("\x08"), STR("abc"));
    assert_int_equal(parts_send(&p, keep, &notes), 0);
    assert_notes(&notes, "8/4 ");
    memset(buf_reserve(&big, 70000), 5, 70000);
    big.size = 70000;
    parts_add(&p, (struct str){0}, buf_view(&big));
    parts_add(&p, (struct str){0}, str_of(big.data, 65535));
    assert_int_equal(parts_send(&p, keep, &notes), 0);
    assert_notes(&notes, "5/70000 7/65545 ");
    parts_reset(&p);
    for (int i = 0; i < 600; i++)
        parts_add(&p, (struct str){0}, STR("\x02x"));
    assert_int_equal(parts_send(&p, keep, &notes), 0);
    assert_notes(&notes, "7/1022 7/1022 7/362 ");
    parts_reset(&p);
    buf_reset(&big);
}

static void without_memory_nothing_leaks(void **state)
{
    (void)state;
    struct buf frame = {0};
    hex_put(&frame, "0702005600140982a4416c676f00a3427566da0046" VECTOR_ALIVE_LZW ACK);
    frame.data[3] = (uint8_t)(frame.size - 6 - 20);
    for (uint64_t n = 1;; n++) {
        struct buf notes = {0}, out = {0};
        struct parts p = {0};
        memset(buf_reserve(&notes, 64), 0, 64);
        mem_fail_at(n);
        int rc = packet_open(buf_view(&frame), note, &notes, NULL);
        int packed = packet_pack(&out, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                                 PACKET_LZW);
        parts_add(&p, STR("a"), STR("b"));
        parts_add(&p, STR("a"), STR("c"));
        int sent = parts_send(&p, keep, &notes);
        int over = mem_fail_pending();
        mem_fail_at(0);
        assert_true(over == (rc == 0 && packed == 0 && sent == 0));
        parts_reset(&p);
        buf_reset(&notes);
        buf_reset(&out);
        if (over)
            break;
    }
    buf_reset(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_label_must_be_ours),
        cmocka_unit_test(a_checksum_is_checked),
        cmocka_unit_test(the_compressed_vector_is_opened_and_made),
        cmocka_unit_test(both_compressions_come_back),
        cmocka_unit_test(an_unknown_compression_is_refused),
        cmocka_unit_test(a_compound_is_the_vector),
        cmocka_unit_test(parts_cut_off_are_counted_and_a_cut_table_is_an_error),
        cmocka_unit_test(a_bad_part_leaves_the_others),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(bombs_stop_at_the_limit),
        cmocka_unit_test(the_label_of_any_bytes_can_be_told),
        cmocka_unit_test(parts_go_out_as_memberlist_sends_them),
        cmocka_unit_test(without_memory_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
