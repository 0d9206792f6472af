/* querier/forward.h - passes the write routes on to distributors, so that one address serves
 * SDKs, Grafana and browsers. With several it takes turns; one that cannot be reached is passed
 * over.
 *
 * Pushes are idempotent, so a second try elsewhere is safe. Tests:
 * tests/cluster/test_running.py. */
#ifndef QUERIER_FORWARD_H
#define QUERIER_FORWARD_H

#include "base/err.h"
#include "conf/conf.h"

struct forward;
struct http_client;
struct http_server;

/* Register the routes; without `urls` *out is NULL, and they answer 404 with where to go.
 * Clients: one per HTTP thread. ERR_INVAL (not an http:// URL), ERR_NOMEM. */
int forward_init(struct forward **out, struct http_server *http, struct http_client **clients,
                 const struct conf_list *urls, struct err *err);

/* After the HTTP server is gone. NULL-safe. */
void forward_free(struct forward **f);

#endif
