/* receive-proxy/endpoint_run.h - one endpoint of a pyroscope.write: sends a request until it is
 * stored, refused, or out of attempts or time (retry.h).
 *
 * Counted; shared by all threads. A send belongs to the thread it was begun on.
 * Tests: tests/unit/receive-proxy/test_write_run.c. */
#ifndef RECEIVE_PROXY_ENDPOINT_RUN_H
#define RECEIVE_PROXY_ENDPOINT_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "flow.h"
#include "outgoing.h"
#include "retry.h"
#include "settings.h"
#include "write.h"

struct endpoint;

/* One reference. ERR_INVAL (URL, files), ERR_NOMEM. `write` is the component it stands in. */
int endpoint_init(struct endpoint **out, const struct set_endpoint *s,
                  const struct set_write *write, struct str id, struct str path,
                  const struct write_world *world, struct err *err);
struct endpoint *endpoint_retain(struct endpoint *e);
void endpoint_release(struct endpoint *e); /* NULL-safe */

/* What names it in a queue, over restarts: a hash of name and URL. */
uint64_t endpoint_key(const struct endpoint *e);

/* The URL as configured, but for a password in it: set_put_url(). */
const char *endpoint_url(const struct endpoint *e);

/* Its policy: of the settings. */
const struct retry_policy *endpoint_policy(const struct endpoint *e);

/* Three attempts in a row, or more, got no answer, or one that says that it is in trouble (502 to
 * 504); and none has gone better since. Any thread. */
bool endpoint_is_failing(const struct endpoint *e);

/* The last attempt went like that. Any thread. */
bool endpoint_is_doubtful(const struct endpoint *e);

/* Hold it for failing until an attempt goes better: something waits for it. Any thread. */
void endpoint_expect_failure(struct endpoint *e);

/* How it goes. */
enum { ENDPOINT_ERROR_MAX = 400 };
struct endpoint_status {
    const char *url; /* the endpoint's */
    bool failing;
    wall_ms since;    /* of the first of the attempts that failed in a row; 0: there are none */
    wall_ms error_at; /* of the last attempt that brought no success; 0: there is none */
    char error[ENDPOINT_ERROR_MAX];
};

/* Any thread. */
void endpoint_status(struct endpoint *e, struct endpoint_status *out);

/* How a send ended. */
struct endpoint_result {
    bool stored;
    enum retry_end end; /* of one that is not: RETRY_REFUSED, _SPENT or _LATE */
    struct retry_fault fault;
    uint32_t attempts;
    struct str message; /* "deadline_exceeded: ..."; valid during the callback */
};
typedef void (*endpoint_done_fn)(void *arg, const struct endpoint_result *r);

/* Send; `out` is borrowed until `done`, which may be called from inside. attempts_max 0: as the
 * settings say. Counts attempts, latency, what was sent and what was sent again. */
void endpoint_send(struct endpoint *e, const struct flow_thread *t, const struct outgoing *out,
                   mono_ms deadline, uint32_t attempts_max, endpoint_done_fn done, void *arg);

/* It failed for good: count it as dropped; endpoint_dropped() also logs it. */
void endpoint_count_dropped(struct endpoint *e, uint64_t bytes, uint64_t profiles);
void endpoint_dropped(struct endpoint *e, enum flow_kind kind, uint64_t bytes,
                      uint64_t profiles, uint32_t attempts, struct str message);

#endif
