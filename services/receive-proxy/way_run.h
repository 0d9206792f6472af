/* receive-proxy/way_run.h - how the host of an endpoint, or of its token endpoint, is reached:
 * TLS texts that follow their files, proxies, redirects.
 *
 * Any thread. Tests: tests/unit/receive-proxy/test_way_run.c. */
#ifndef RECEIVE_PROXY_WAY_RUN_H
#define RECEIVE_PROXY_WAY_RUN_H

#include <stdbool.h>

#include "base/err.h"
#include "base/time.h"
#include "net/http_client.h"
#include "settings.h"

struct tls_texts;
struct way;

/* For requests to `url` (of which scheme and host count). Proxies of the environment are those
 * that are set now: HTTPS_PROXY or HTTP_PROXY by the scheme, NO_PROXY, each also in lower case;
 * loopback hosts are never proxied. ERR_INVAL (a file), ERR_NOMEM. */
int way_init(struct way **out, const struct set_tls *tls, const struct set_proxy *proxy,
             bool follow_redirects, struct str url, struct err *err);
void way_free(struct way **w); /* NULL-safe */

/* One call's use of it: `http` is valid until way_end(). */
struct way_use {
    struct http_way http;
    struct tls_texts *texts;
};
void way_begin(struct way *w, mono_ms now, struct way_use *use);
void way_end(struct way_use *use); /* all-zero is fine */

/* The host of a URL without userinfo, port and brackets; "" when it has none. */
struct str way_host(struct str url);

#endif
