/* disco/entry.h - one entry of a list of peers, as dskit and Thanos write them.
 *
 *   10.0.0.1:7946  [2001:db8::1]:7946  10.0.0.1     an address
 *   host:7946  host                                 A and AAAA of a host
 *   dns+host:7946  dns+host                         the same
 *   dnssrv+_gossip._tcp.name                        SRV, then A and AAAA of each target
 *   dnssrvnoa+name                                  the same, but a target that cannot be looked up
 *                                                   is left out instead of failing the entry
 * Where no port stands, the default one is taken, or the one of the SRV record; a port behind a
 * SRV name stands over it. Pure value. Tests: tests/unit/disco/test_entry.c; fuzz:
 * tests/fuzz/fuzz_dns.c. */
#ifndef DISCO_ENTRY_H
#define DISCO_ENTRY_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "net/addr.h"
#include "net/dns_msg.h"

enum disco_kind { DISCO_ADDR, DISCO_HOST, DISCO_SRV, DISCO_SRV_NOA };

struct disco_entry {
    enum disco_kind kind;
    struct addr addr;        /* DISCO_ADDR */
    char name[DNS_NAME_MAX]; /* the others */
    uint16_t port;           /* of the others; 0: that of the SRV record */
};

/* Read one entry, without commas. default_port 0: an address or host must name its port.
 * ERR_PARSE with a text that names the entry and what is wrong; *out untouched. */
int disco_entry_parse(struct disco_entry *out, struct str text, uint16_t default_port,
                      struct err *err);

#endif
