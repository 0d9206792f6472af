/* A DNS answer is read with bounds: aliases, compression, additional addresses; and nothing that
 * a hostile one says costs more than it should. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/dns_msg.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

enum { QUESTION_AT = 12 };

/* A message under construction: its sections are counted by whoever builds it. */
static struct buf m;

static void name(const char *text)
{
    for (struct str rest = str_c(text), label; str_cut(&rest, '.', &label);) {
        buf_u8(&m, (uint8_t)label.len);
        buf_str(&m, label);
    }
    buf_u8(&m, 0);
}

static void begin(const char *question, enum dns_type type, uint16_t answers, uint16_t extra)
{
    buf_clear(&m);
    buf_u16be(&m, 7);
    buf_u16be(&m, 0x8180);
    buf_u16be(&m, 1);
    buf_u16be(&m, answers);
    buf_u16be(&m, 0);
    buf_u16be(&m, extra);
    name(question);
    buf_u16be(&m, (uint16_t)type);
    buf_u16be(&m, 1);
}

static void pointer(uint16_t to)
{
    buf_u16be(&m, (uint16_t)(0xc000 | to));
}

/* What follows the owner of a record. */
static void record(uint16_t type, uint16_t size)
{
    buf_u16be(&m, type);
    buf_u16be(&m, 1);
    buf_u32be(&m, 60);
    buf_u16be(&m, size);
}

static void srv_head(uint16_t port, size_t name_bytes)
{
    record(DNS_SRV, (uint16_t)(6 + name_bytes));
    buf_u16be(&m, 1);
    buf_u16be(&m, 2);
    buf_u16be(&m, port);
}

static int read_it(enum dns_type type, struct dns_records *r)
{
    *r = (struct dns_records){0};
    return dns_msg_read(buf_view(&m), type, r);
}

static const char *text_of(const struct addr *a)
{
    static char text[ADDR_TEXT_MAX];
    return addr_ip_text(a, text);
}

static void addresses_behind_an_alias_are_taken(void **state)
{
    (void)state;
    struct dns_records r;
    begin("a.test", DNS_A, 3, 0);
    pointer(QUESTION_AT);
    record(5, 3); /* CNAME */
    buf_put(&m, "\1b", 3);
    name("b");
    record(DNS_A, 4);
    buf_put(&m, "\x0a\0\0\1", 4);
    name("b");
    record(DNS_A, 4);
    buf_put(&m, "\x0a\0\0\2", 4);
    assert_int_equal(read_it(DNS_A, &r), 0);
    assert_int_equal(r.addr_count, 2);
    assert_string_equal(text_of(&r.addrs[1]), "10.0.0.2");
    dns_records_reset(&r);
    assert_int_equal(read_it(DNS_AAAA, &r), 0); /* not what was asked for */
    assert_int_equal(r.addr_count, 0);
    dns_records_reset(&r);
}

static void a_service_has_its_targets_addresses_whatever_their_case(void **state)
{
    (void)state;
    struct dns_records r;
    begin("_g._tcp.test", DNS_SRV, 2, 3);
    pointer(QUESTION_AT);
    srv_head(7946, 4);
    buf_put(&m, "\1A", 2);
    pointer(QUESTION_AT + 8); /* test */
    pointer(QUESTION_AT);
    srv_head(1, 3);
    name("b");
    name("a.TEST");
    record(DNS_AAAA, 16);
    buf_put(&m, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    name("c");
    record(DNS_A, 4);
    buf_put(&m, "\x0a\0\0\3", 4);
    name("a.test");
    record(DNS_A, 4);
    buf_put(&m, "\x0a\0\0\1", 4);
    assert_int_equal(read_it(DNS_SRV, &r), 0);
    assert_int_equal(r.srv_count, 2);
    assert_string_equal(r.srvs[0].target, "a.test");
    assert_int_equal(r.srvs[0].port, 7946);
    assert_int_equal(r.srvs[0].addr_count, 2);
    assert_string_equal(r.srvs[1].target, "b");
    assert_int_equal(r.srvs[1].addr_count, 0);
    assert_int_equal(r.addr_count, 2); /* c is nobody's */
    dns_records_reset(&r);
}

static void a_service_that_is_not_there_and_names_that_are_none_are_left_out(void **state)
{
    (void)state;
    struct dns_records r;
    begin("s", DNS_SRV, 3, 0);
    name("s");
    srv_head(1, 1);
    buf_u8(&m, 0); /* "." */
    name("s");
    srv_head(1, 5);
    buf_put(&m, "\3a.b", 5);
    name("s");
    srv_head(1, 4);
    buf_put(&m, "\2a\n", 4);
    assert_int_equal(read_it(DNS_SRV, &r), 0);
    assert_int_equal(r.srv_count, 0);
    dns_records_reset(&r);
}

static void every_cut_and_every_lie_about_sizes_is_refused(void **state)
{
    (void)state;
    struct dns_records r;
    begin("s", DNS_SRV, 1, 1);
    pointer(QUESTION_AT);
    srv_head(1, 3);
    name("a");
    name("a");
    record(DNS_A, 4);
    buf_put(&m, "\x0a\0\0\1", 4);
    size_t whole = m.size;
    for (size_t size = 0; size < whole; size++) {
        void *copy = mem_dup(m.data, size); /* for the sanitizer to see what is read beyond */
        r = (struct dns_records){0};
        assert_int_equal(dns_msg_read(str_of(copy, size), DNS_SRV, &r), ERR_PARSE);
        assert_null(r.srvs);
        mem_free(copy);
    }
    assert_int_equal(read_it(DNS_SRV, &r), 0);
    dns_records_reset(&r);
    m.data[2] = 0x01; /* a question */
    assert_int_equal(read_it(DNS_SRV, &r), ERR_PARSE);
    begin("a", DNS_A, 1, 0);
    name("a");
    record(DNS_A, 3);
    buf_put(&m, "\x0a\0\0", 3);
    assert_int_equal(read_it(DNS_A, &r), ERR_PARSE);
    begin("s", DNS_SRV, 1, 0);
    name("s");
    record(DNS_SRV, 7); /* the target ends behind its record */
    buf_put(&m, "\0\1\0\1\0\1\1a", 9);
    assert_int_equal(read_it(DNS_SRV, &r), ERR_PARSE);
}

static void pointers_that_go_forward_or_in_circles_are_refused(void **state)
{
    (void)state;
    struct dns_records r;
    static const uint16_t to[] = {19, 20, 0x3fff};
    for (size_t i = 0; i < sizeof to / sizeof to[0]; i++) {
        begin("a", DNS_A, 1, 0);
        assert_int_equal(m.size, 19);
        pointer(to[i]); /* itself, and what follows */
        record(DNS_A, 4);
        buf_put(&m, "\x0a\0\0\1", 4);
        assert_int_equal(read_it(DNS_A, &r), ERR_PARSE);
    }
    begin("a", DNS_A, 2, 0); /* a long chain of pointers, each to the one before */
    name("a");
    record(9, 200);
    size_t first = m.size;
    pointer(QUESTION_AT);
    for (uint16_t i = 1; i < 100; i++)
        pointer((uint16_t)(first + 2u * (i - 1u)));
    pointer((uint16_t)(first + 198));
    record(DNS_A, 4);
    buf_put(&m, "\x0a\0\0\1", 4);
    assert_int_equal(read_it(DNS_A, &r), ERR_PARSE);
}

static void names_longer_than_the_protocol_allows_are_refused(void **state)
{
    (void)state;
    struct dns_records r;
    for (int labels = 3; labels <= 5; labels++) {
        begin("a", DNS_A, 1, 0);
        for (int i = 0; i < labels; i++) {
            buf_u8(&m, 63);
            for (int k = 0; k < 63; k++)
                buf_u8(&m, 'x');
        }
        buf_u8(&m, 0);
        record(DNS_A, 4);
        buf_put(&m, "\x0a\0\0\1", 4);
        assert_int_equal(read_it(DNS_A, &r), labels == 3 ? 0 : ERR_PARSE);
        dns_records_reset(&r);
    }
}

static void more_records_than_anybody_needs_are_cut(void **state)
{
    (void)state;
    struct dns_records r;
    begin("a", DNS_A, 3000, 0);
    for (unsigned i = 0; i < 3000; i++) {
        pointer(QUESTION_AT);
        record(DNS_A, 4);
        buf_u32be(&m, i);
    }
    assert_int_equal(read_it(DNS_A, &r), 0);
    assert_int_equal(r.addr_count, DNS_RECORDS_MAX);
    assert_true(r.cut);
    dns_records_reset(&r);
    begin("a", DNS_A, 65535, 0); /* a count that is a lie */
    assert_int_equal(read_it(DNS_A, &r), ERR_PARSE);
}

static void without_memory_nothing_is_kept(void **state)
{
    (void)state;
    struct dns_records r;
    begin("s", DNS_SRV, 1, 1);
    pointer(QUESTION_AT);
    srv_head(1, 3);
    name("a");
    name("a");
    record(DNS_A, 4);
    buf_put(&m, "\x0a\0\0\1", 4);
    int rc = ERR_NOMEM;
    for (uint64_t at = 1; rc == ERR_NOMEM; at++) {
        mem_fail_at(at);
        rc = read_it(DNS_SRV, &r);
        mem_fail_at(0);
        assert_true(rc == 0 || (r.addrs == NULL && r.srvs == NULL));
        assert_true(rc != 0 || at == 4);
    }
    assert_int_equal(r.srvs[0].addr_count, 1);
    dns_records_reset(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_behind_an_alias_are_taken),
        cmocka_unit_test(a_service_has_its_targets_addresses_whatever_their_case),
        cmocka_unit_test(a_service_that_is_not_there_and_names_that_are_none_are_left_out),
        cmocka_unit_test(every_cut_and_every_lie_about_sizes_is_refused),
        cmocka_unit_test(pointers_that_go_forward_or_in_circles_are_refused),
        cmocka_unit_test(names_longer_than_the_protocol_allows_are_refused),
        cmocka_unit_test(more_records_than_anybody_needs_are_cut),
        cmocka_unit_test(without_memory_nothing_is_kept),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_reset(&m);
    return failed;
}
