/* receive-proxy/endpoint_parts.h - what endpoint_run.c (making) and endpoint_send_run.c
 * (sending) share. */
#ifndef RECEIVE_PROXY_ENDPOINT_PARTS_H
#define RECEIVE_PROXY_ENDPOINT_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "balance.h"
#include "endpoint_run.h"
#include "finder.h"
#include "metrics/metrics.h"
#include "net/http.h"
#include "oauth_run.h"
#include "way_run.h"

enum { ENDPOINT_FAILING_AFTER = 3 /* attempts in a row */ };

/* How it authenticates. */
enum scheme_auth { AUTH_NONE, AUTH_BASIC, AUTH_TYPED, AUTH_OAUTH2 };

struct endpoint {
    _Atomic unsigned refs;
    struct arena *arena; /* of all texts */
    const char *url;     /* as configured, but for a password */
    struct str scheme;   /* "http://" */
    struct str host;     /* host[:port] of it, without dns+ */
    struct str prefix;   /* of the path, without slash at its end */
    uint64_t key;
    bool better_codes;
    struct retry_policy policy;
    struct http_field *headers; /* of the settings */
    size_t header_count;
    struct way *way;
    enum scheme_auth auth;
    struct str auth_name; /* user, or type */
    struct secret *secret;
    struct oauth *oauth;

    pthread_mutex_t lock;    /* of the addresses and of the status */
    struct endpoint_status status;
    struct balance *balance; /* NULL: curl looks the host up */
    struct finder *finder;
    struct finder_watch *watch;
    bool by_address; /* the host is the address itself: a member of the ring */

    _Atomic unsigned failures; /* attempts in a row */
    _Atomic uint64_t sends;
    const struct write_world *world;
    struct counter *sent_bytes, *dropped_bytes, *sent_profiles, *dropped_profiles, *retries;
    struct histogram *attempt_latency[2], *latency[2]; /* by kind */
};

#endif
