/* net/addr.h - literal IP addresses with ports, in text and out of it. No names, no look-ups.
 *
 * Pure; any thread. Tests: tests/unit/net/test_addr.c. */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* An address of either family. All-zero is "no address". */
struct addr {
    uint8_t ip[16]; /* v4: the first four bytes */
    uint16_t port;  /* host order */
    uint8_t family; /* 4, 6 or 0 */
};

enum { ADDR_TEXT_MAX = 56 }; /* "[v6]:65535" and a NUL */

/* An IP literal ("10.1.2.3", "::1", "[::1]") with a given port. ERR_PARSE. */
int addr_parse_ip(struct addr *out, struct str ip, uint16_t port);

/* "10.1.2.3:80", "[::1]:80"; without a port default_port is taken (0: then it is ERR_PARSE).
 * "::1" alone is an address without port. ERR_PARSE with *out untouched. */
int addr_parse(struct addr *out, struct str text, uint16_t default_port);

/* "10.1.2.3:80" or "[::1]:80" into text, NUL-terminated; returns it. */
const char *addr_text(const struct addr *a, char text[ADDR_TEXT_MAX]);

/* The IP alone, without brackets; returns `text`. */
const char *addr_ip_text(const struct addr *a, char text[ADDR_TEXT_MAX]);

/* Same family, IP and port. */
bool addr_eq(const struct addr *a, const struct addr *b);

#endif
