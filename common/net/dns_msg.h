/* net/dns_msg.h - what a DNS answer says: the A, AAAA or SRV records of one message, read with
 * bounds (RFC 1035, 2782). The answer may come from anybody.
 *
 * Pure; any thread. Tests: tests/unit/net/test_dns_msg.c; fuzz: tests/fuzz/fuzz_dns.c. */
#ifndef NET_DNS_MSG_H
#define NET_DNS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "net/addr.h"

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33 }; /* numbers of the wire */

enum {
    DNS_NAME_MAX = 256,     /* bytes of a name as text, with its NUL */
    DNS_RECORDS_MAX = 1024, /* records that are kept of one message, of each kind */
};

/* One SRV record. */
struct dns_srv {
    char target[DNS_NAME_MAX]; /* lower case, without the dot at the end */
    uint16_t port, priority, weight;
    uint32_t addr_first, addr_count; /* its addresses in dns_records.addrs; 0: look it up */
};

/* Records. All-zero is none; dns_records_reset() gives the memory back. */
struct dns_records {
    struct addr *addrs; /* port 0. Of SRV: what the additional section has of the targets */
    size_t addr_count;
    struct dns_srv *srvs;
    size_t srv_count;
    bool cut; /* there were more than DNS_RECORDS_MAX */
};

/* Read the records of `type` from the answer section (whatever their owner: an alias may lead
 * there), for SRV the targets' addresses from the additional section too. Records of other types,
 * broken names and the target "." are left out. *out is all-zero before. ERR_PARSE: no answer, or
 * cut off; ERR_NOMEM; *out is all-zero then. */
int dns_msg_read(struct str msg, enum dns_type type, struct dns_records *out);

/* Give the memory back. */
void dns_records_reset(struct dns_records *r);

#endif
