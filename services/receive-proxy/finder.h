/* receive-proxy/finder.h - who knows the addresses behind dns+NAME, dnssrv+NAME, dnssrvnoa+NAME
 * and ring: the seam between endpoints and discovery.
 *
 * Main makes one on top of discovery and the distributors' ring, tests make a literal one. An
 * endpoint watches an entry; the finder calls back, on any thread, with the whole set whenever
 * it changed (and once with the set known at the start, if there is one). */
#ifndef RECEIVE_PROXY_FINDER_H
#define RECEIVE_PROXY_FINDER_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "net/addr.h"

struct finder_watch;

typedef void (*finder_set_fn)(void *arg, const struct addr *addrs, size_t count);

/* Embed as first member. */
struct finder {
    /* `entry` is "dns+host:port" as discovery takes it, or "ring". May call `fn` from inside.
     * ERR_INVAL (an entry it does not know), ERR_NOMEM. */
    int (*watch)(struct finder *f, struct finder_watch **out, struct str entry,
                 finder_set_fn fn, void *arg, struct err *err);
    /* After it returned, fn is not called any more. On any thread, as the last item of an old
     * configuration ends where it ends; main may be waiting for that thread, so use a lock of the
     * finder's own and do not wait for another loop. */
    void (*unwatch)(struct finder *f, struct finder_watch *w);
};

#endif
