/* DNS answers and entries of a join list from anywhere: what is read is within its bounds, and an
 * address that was read is written as it is read. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "disco/entry.h"
#include "net/dns_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(struct str msg, enum dns_type type)
{
    struct dns_records r = {0};
    int rc = dns_msg_read(msg, type, &r);
    ASSERT(rc == 0 || rc == ERR_PARSE);
    ASSERT(rc == 0 || (r.addrs == NULL && r.srvs == NULL));
    ASSERT(r.addr_count <= DNS_RECORDS_MAX && r.srv_count <= DNS_RECORDS_MAX);
    for (size_t i = 0; i < r.srv_count; i++) {
        const struct dns_srv *s = &r.srvs[i];
        ASSERT(strnlen(s->target, DNS_NAME_MAX) > 0);
        ASSERT(strnlen(s->target, DNS_NAME_MAX) < DNS_NAME_MAX);
        ASSERT(s->addr_first + s->addr_count <= r.addr_count);
    }
    dns_records_reset(&r);
}

static void check_entry(struct str text)
{
    struct disco_entry e, again;
    char written[ADDR_TEXT_MAX];
    struct err err = {0};
    if (disco_entry_parse(&e, text, 7946, &err) != 0) {
        ASSERT(err.code == ERR_PARSE && err.msg[0] != '\0');
        return;
    }
    if (e.kind != DISCO_ADDR) {
        ASSERT(strnlen(e.name, DNS_NAME_MAX) > 0 && strnlen(e.name, DNS_NAME_MAX) < 255);
        ASSERT(e.port != 0 || e.kind != DISCO_HOST);
        return;
    }
    ASSERT(e.addr.port != 0);
    ASSERT(disco_entry_parse(&again, str_c(addr_text(&e.addr, written)), 0, NULL) == 0);
    ASSERT(addr_eq(&e.addr, &again.addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_of(data, size);
    check_message(in, DNS_A);
    check_message(in, DNS_AAAA);
    check_message(in, DNS_SRV);
    check_entry(in);
    return 0;
}
