/* net/http_url.h - the parts of a plain http:// URL that a client needs.
 *
 * Takes what is written canonically and nothing else: no user, no escape or non-ASCII byte in the
 * host, no number that only looks like an IPv4 address, no "/./" that would have to be resolved.
 * Pure; any thread. Tests: tests/unit/net/test_http_url.c. */
#ifndef NET_HTTP_URL_H
#define NET_HTTP_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "net/addr.h"

struct http_url {
    struct str host;   /* name, or literal address without brackets */
    struct str host_header; /* host, brackets and port; the port left out where it is 80 */
    struct str target; /* path and query without fragment; may lack the "/" it has to begin with */
    struct addr addr;  /* of a literal address; family 0: a name */
    uint16_t port;
};

/* Split `url`, whose bytes the parts borrow. False: it is none of those. */
bool http_url_split(struct str url, struct http_url *out);

#endif
