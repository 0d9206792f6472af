/* net/http_tls_priv.h - how the HTTP server uses http_tls.h. */
#ifndef NET_HTTP_TLS_PRIV_H
#define NET_HTTP_TLS_PRIV_H

#include <gnutls/gnutls.h>

#include "net/http_tls.h"

struct tls_creds; /* counted */

/* What libmicrohttpd wants to have at its start; valid as long as t is. */
const char *http_tls_cert(const struct http_tls *t);
const char *http_tls_key(const struct http_tls *t);
const char *http_tls_priorities(const struct http_tls *t);

/* Set up a session before its handshake; the reference is the connection's. */
struct tls_creds *http_tls_begin(struct http_tls *t, gnutls_session_t session);
void http_tls_end(struct tls_creds *c); /* NULL-safe */

#endif
