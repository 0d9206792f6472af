/* net/dns.h - names to addresses on a loop, without waiting: hosts file, then DNS servers.
 *
 * UDP with EDNS, TCP when an answer is cut; each server is asked twice (2 s, then 4 s). Servers and
 * search list are those of resolv.conf, which is read again when it changes, or the configured
 * ones. A result tells apart: found; the name does not exist or has no such record (an answer);
 * and failure, which says nothing about the name.
 * Everything is of the loop's thread; results never come from inside a call into this module.
 * Driver over c-ares. Tests: tests/unit/net/test_dns_uv.c (against dnsmasq). */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "net/addr.h"
#include "net/dns_msg.h"
#include "net/loop.h"

struct dns;
struct dns_query;

struct dns_config {
    const char *const *servers; /* "ip", "ip:port", "[v6]:port"; borrowed for the call */
    size_t server_count;        /* 0: those of resolv.conf */
    const char *resolv_conf;    /* NULL: /etc/resolv.conf; outlives the struct dns */
    bool no_hosts;              /* do not look into /etc/hosts */
    uint32_t timeout_ms;        /* for the first answer of a server; 0: 2000 */
    uint32_t look_ms;           /* least time between looks at resolv.conf; 0: 5000 */
};

/* What came of a query; valid during the call. */
struct dns_result {
    int code;        /* 0: found; ERR_NOENT: no such name or record; else failure: ERR_TIMEOUT,
                        ERR_UNAVAILABLE, ERR_PARSE, ERR_INVAL (bad name), ERR_NOMEM */
    const char *why; /* in words, static; "" when found */
    const struct dns_records *records;
};

typedef void (*dns_fn)(void *arg, const struct dns_result *result);

/* A resolver. ERR_INVAL: a server that is no literal address. ERR_NOMEM, ERR_IO. */
int dns_init(struct dns **out, struct loop *l, const struct dns_config *config, struct err *err);

/* Open queries are forgotten: nobody is called. NULL-safe; leaves *d NULL. */
void dns_free(struct dns **d);

/* Look up the IPv4 and IPv6 addresses of a host, through the search list where the name has few
 * dots; found when either family has one. *out (may be NULL) is for dns_cancel() until fn was
 * called. ERR_LIMIT (too many open), ERR_INVAL (name too long), ERR_NOMEM: fn is not called. */
int dns_host(struct dns *d, struct str name, dns_fn fn, void *arg, struct dns_query **out);

/* Look up the SRV records of a name, likewise. */
int dns_service(struct dns *d, struct str name, dns_fn fn, void *arg, struct dns_query **out);

/* Nobody is to be called any more. */
void dns_cancel(struct dns_query *q);

#endif
