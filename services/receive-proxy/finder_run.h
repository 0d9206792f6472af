/* receive-proxy/finder_run.h - the addresses behind dns+NAME, dnssrv+NAME and dnssrvnoa+NAME, by
 * discovery, and behind ring, the healthy distributors of the distributors' ring.
 *
 * Made on the main thread, where it works; entries may be given up on any thread.
 * Tests: tests/cluster/test_receive_proxy.py. */
#ifndef RECEIVE_PROXY_FINDER_RUN_H
#define RECEIVE_PROXY_FINDER_RUN_H

#include "base/err.h"
#include "base/log.h"
#include "disco/config.h"
#include "finder.h"

struct finder_run;
struct loop;
struct ring_watch;

/* ring NULL: "ring" is refused, since the proxy has not joined the cluster. Everything is borrowed.
 * ERR_NOMEM. */
int finder_init(struct finder_run **out, struct loop *main, const struct disco_config *dns,
                struct ring_watch *ring, const struct log *log);

/* The seam. */
struct finder *finder_of(struct finder_run *f);

/* On the main thread, when nobody watches any more. NULL-safe; leaves *f NULL. */
void finder_free(struct finder_run **f);

#endif
