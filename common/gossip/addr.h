/* gossip/addr.h - the address of a member as memberlist sends it: IP bytes and a port.
 *
 * Pure value, owns nothing; all-zero is "none". An IPv4 address may come as 4 bytes or as the
 * 16-byte v4-mapped form; both name one place, but the conflict check compares the bytes, so the
 * form that came is kept. Any thread. Tests: tests/unit/gossip/test_addr.c. */
#ifndef GOSSIP_ADDR_H
#define GOSSIP_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "net/addr.h"

struct gossip_addr {
    uint8_t ip[16];
    uint8_t size; /* bytes of ip in use: 0 (none), 4 or 16 */
    uint16_t port;
};

enum { GOSSIP_ADDR_TEXT_MAX = 56 }; /* bytes of "[...]:65535" with its NUL */

/* From wire bytes: 4 or 16 of them, else ERR_PARSE. */
int gossip_addr_of_bytes(struct gossip_addr *out, struct str ip, uint16_t port);

/* From "1.2.3.4:5", "[::1]:5", or without a port, which then is `port`. IPv4 becomes the 16-byte
 * form, as in Go. ERR_PARSE: no literal IP address, or a bad port. */
int gossip_addr_parse(struct gossip_addr *out, struct str text, uint16_t port);

/* The IP bytes as they came. Borrowed from `a`. */
static inline struct str gossip_addr_ip(const struct gossip_addr *a)
{
    return str_of(a->ip, a->size);
}

/* Same bytes and same port: memberlist's conflict check. */
bool gossip_addr_same(const struct gossip_addr *a, const struct gossip_addr *b);

/* Same place, whatever the form. */
bool gossip_addr_eq(const struct gossip_addr *a, const struct gossip_addr *b);

/* The IP in its 16-byte form, whatever form it has: who it is, for tables by peer. */
void gossip_addr_key(const struct gossip_addr *a, uint8_t ip[16]);

/* True for the IPv4 forms. */
bool gossip_addr_is_v4(const struct gossip_addr *a);

/* From an address of net, IPv4 in its 16-byte form; and to one. */
struct gossip_addr gossip_addr_of_net(const struct addr *a);
struct addr gossip_addr_to_net(const struct gossip_addr *g);

/* "1.2.3.4" or "::1", NUL-terminated; "" for none. */
void gossip_addr_ip_text(const struct gossip_addr *a, char out[GOSSIP_ADDR_TEXT_MAX]);

/* "1.2.3.4:5" or "[::1]:5", NUL-terminated. */
void gossip_addr_text(const struct gossip_addr *a, char out[GOSSIP_ADDR_TEXT_MAX]);

#endif
