/* receive-proxy/oauth_run.h - tokens by OAuth2's client credentials (RFC 6749, 4.4): fetched
 * when one is wanted, kept until shortly before they expire, and shared by all threads.
 *
 * The client's id and secret go into the Authorization header; a token endpoint that refuses
 * that is asked once more with them in the body, as Go's oauth2 does, and from then on so.
 * Redirects of a token endpoint are not followed: a body with the secret would go along.
 * Tests: tests/unit/receive-proxy/test_oauth_run.c. */
#ifndef RECEIVE_PROXY_OAUTH_RUN_H
#define RECEIVE_PROXY_OAUTH_RUN_H

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "flow.h"
#include "settings.h"

struct oauth;

/* `header` is "Bearer ..." (valid in the call), or error is not NULL. */
typedef void (*oauth_done_fn)(void *arg, struct str header, const char *error);

/* Someone who waits; embed it. It cannot be taken back: a fetch ends within 10 s. */
struct oauth_wait {
    struct list link;
    oauth_done_fn done;
    void *arg;
};

/* ERR_INVAL, ERR_NOMEM. */
int oauth_init(struct oauth **out, const struct set_oauth2 *s, struct err *err);

/* When nobody waits. NULL-safe. */
void oauth_free(struct oauth **o);

/* Have w->done called with a token, from inside when there is one. On the thread's loop. */
void oauth_get(struct oauth *o, const struct flow_thread *t, struct oauth_wait *w);

/* This thread's token was refused: the next one is another. */
void oauth_forget(struct oauth *o, const struct flow_thread *t);

#endif
